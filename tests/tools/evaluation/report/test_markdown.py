"""report.md and its tables."""

from dataclasses import replace

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.report.gallery import Gallery
from scenequilt.tools.evaluation.report.markdown import report_md
from scenequilt.tools.evaluation.results import Evaluation


def table_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_every_table_fits_a_terminal(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    lines = table_lines(report_md(evaluation, gallery, taxonomy))

    assert len(lines) > 100
    assert max(len(line) for line in lines) <= 120


def test_every_line_of_a_table_is_as_long_as_the_first(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    for block in report_md(evaluation, gallery, taxonomy).split("\n\n"):
        lines = table_lines(block)
        assert len({len(line) for line in lines}) <= 1
        assert len({line.count("|") for line in lines}) <= 1


def test_the_main_table_has_a_line_a_row_with_the_system_first(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    lines = table_lines(report_md(evaluation, gallery, taxonomy))

    names = [line.split("|")[1].strip() for line in lines[2:7]]
    assert names == ["closed form", "real", "jpeg30", "nearest", "random"]
    assert "0.557 (0.543–0.570)" in lines[2]


def test_dashes_are_explained(evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy) -> None:
    assert "\n– not measured" in report_md(evaluation, gallery, taxonomy)


def test_an_evaluation_with_nothing_measured_has_a_report(
    bare: Evaluation, taxonomy: Taxonomy
) -> None:
    text = report_md(bare, Gallery(), taxonomy)

    assert "FID: no Inception-v3 weights were given" in text
    assert "nan" not in text.lower()
    assert "–" not in text
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## What was judged", "## Results", "## Rules", "## Files", "## Libraries",
    ]  # fmt: skip


def test_a_long_list_of_what_was_left_out_is_cut_with_a_count(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    many = {f"layout{number}": "no picture" for number in range(40)}

    text = report_md(replace(evaluation, left_out=many), gallery, taxonomy)

    assert text.count(": no picture\n") == 10
    assert "Left out (40):" in text
    assert "- and 30 more, all of them in metrics.json" in text


def test_warnings_stand_before_the_main_table(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    text = report_md(evaluation, gallery, taxonomy)

    assert text.index("- 101 pictures: distances between sets") < text.index("| row ")


def test_the_report_says_by_what_pictures_are_the_worst(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    text = report_md(evaluation, replace(gallery, ranked_by="LPIPS alexnet"), taxonomy)

    assert "## Worst pictures\n\nBy LPIPS alexnet.\n\n- 0006R0_f01200" in text


def test_warnings_reasons_and_hashes_stand_in_the_report(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    text = report_md(evaluation, gallery, taxonomy)

    assert "- 101 pictures: distances between sets" in text
    assert "- 0006R0_f00930: no picture of this layout in generated/" in text
    assert "- segmenter, cgnet, weights/cgnet_0016E5.pth: " + "3f" * 32 in text
    assert "- pictures, real: " + "22" * 32 in text
    assert "- 0006R0_f01200: mIoU 0.31, pixel accuracy 0.61" in text


def test_a_name_cannot_break_a_table(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    row = replace(evaluation.rows[0], name="a|b <i>")

    lines = table_lines(report_md(replace(evaluation, rows=[row]), gallery, taxonomy))

    assert r"a\|b \<i\>" in lines[2]
