"""What the command prints."""

from dataclasses import replace
from pathlib import Path

from scenequilt.tools.evaluation.report.tables import systems_title
from scenequilt.tools.evaluation.report.words import (
    distribution_warnings,
    evaluation_in_words,
    facts,
    headline,
)
from scenequilt.tools.evaluation.results import Evaluation, Interval


def test_the_headline_compares_the_system_with_the_photographs(evaluation: Evaluation) -> None:
    assert headline(evaluation) == (
        "In the pictures of closed form, the segmenter cgnet 0016E5+0001TP finds the requested "
        "layout with a mean IoU of 0.557 (0.543–0.570 with 95 %), that is 0.880 times what it "
        "reaches in the photographs (0.633)."
    )


def test_without_photographs_the_headline_compares_with_nothing(evaluation: Evaluation) -> None:
    row = evaluation.rows[0]
    alone = replace(row, fidelity=[replace(entry, of_real=None) for entry in row.fidelity])

    assert headline(replace(evaluation, rows=[alone])).endswith("0.557 (0.543–0.570 with 95 %).")


def test_a_figure_without_bounds_is_quoted_without(evaluation: Evaluation) -> None:
    row = evaluation.rows[0]
    score = replace(row.fidelity[0].requested, mean_iou=Interval(1.0, 1.0, 1.0))
    perfect = replace(row, fidelity=[replace(row.fidelity[0], requested=score, of_real=None)])

    text = headline(replace(evaluation, rows=[perfect]))

    assert text.endswith("with a mean IoU of 1.000.")


def test_without_a_segmenter_there_is_no_headline(bare: Evaluation) -> None:
    assert headline(bare) == ""


def test_the_text_names_counts_size_figures_and_the_report(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    text = evaluation_in_words(evaluation, tmp_path)

    assert text.startswith(
        "Closed-form compositions of CamVid 0006R0: 101 pictures of 101 layouts at 360 x 480 px"
    )
    assert "nearest      0.392 (0.378–0.405)      0.620" in text
    assert f"report  {tmp_path / 'report.html'}" in text


def test_warnings_stand_before_the_table(evaluation: Evaluation, tmp_path: Path) -> None:
    text = evaluation_in_words(evaluation, tmp_path)

    assert text.index("warning: 101 pictures") < text.index("row  ")


def test_where_nothing_can_be_compared_provenance_is_shown(
    evaluation: Evaluation, bare: Evaluation, tmp_path: Path
) -> None:
    row = replace(bare.rows[0], provenance=evaluation.rows[0].provenance)

    text = evaluation_in_words(replace(bare, rows=[row]), tmp_path)

    assert "None of the figures by which systems are compared was measured." in text
    assert "synthesised" in text
    assert "SSIM" not in text


def test_the_text_says_what_is_missing_and_why(evaluation: Evaluation, tmp_path: Path) -> None:
    lines = evaluation_in_words(evaluation, tmp_path).splitlines()

    assert any(line.startswith("warning: 101 pictures") for line in lines)
    assert any(line.startswith("not measured: FID: no Inception-v3 weights") for line in lines)
    assert "left out: 0006R0_f00930: no picture of this layout in generated/" in lines


def test_a_long_list_of_what_was_left_out_is_cut_with_a_count(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    many = {f"layout{number}": "no picture" for number in range(40)}

    text = evaluation_in_words(replace(evaluation, left_out=many), tmp_path)

    assert text.count("left out: ") == 6
    assert "left out: 35 more, see the report" in text


def test_the_tables_fit_a_terminal(evaluation: Evaluation, tmp_path: Path) -> None:
    lines = evaluation_in_words(evaluation, tmp_path).splitlines()

    table = [line for line in lines if line.split("  ")[0] in ("row", "real", "jpeg30")]
    assert len(table) == 6
    assert max(len(line) for line in table) <= 120


def test_a_warning_of_all_rows_names_none_and_one_of_some_names_them(
    evaluation: Evaluation,
) -> None:
    shared = "101 pictures span less than 512 dimensions"
    assert distribution_warnings(evaluation, "vgg16") == [shared]

    row = evaluation.rows[0]
    calm = replace(row, distribution=[replace(entry, warning="") for entry in row.distribution])
    some = replace(evaluation, rows=[calm, *evaluation.rows[1:]])

    assert distribution_warnings(some, "vgg16") == [f"real, jpeg30, nearest, random: {shared}"]


def test_every_system_is_named(evaluation: Evaluation, tmp_path: Path) -> None:
    first = evaluation.rows[0]
    second = replace(first, name="spade", title="SPADE of the authors", pictures=99)
    both = replace(evaluation, rows=[first, second, *evaluation.rows[1:]])

    text = evaluation_in_words(both, tmp_path)

    assert "SPADE of the authors: 99 pictures of 101 layouts" in text
    assert headline(both).count("finds the requested layout") == 2
    assert "In the pictures of spade, " in headline(both)
    assert ("pictures", "101, 99") in facts(both)
    assert systems_title(both) == f"{first.title}, SPADE of the authors"
