"""The folder of an evaluation: what is written, what is refused, what is replaced."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.report.gallery import Gallery
from scenequilt.tools.evaluation.report.write import (
    metrics_json,
    refuse_other_folder,
    try_folder,
    write_report,
)
from scenequilt.tools.evaluation.results import Evaluation, Spectrum


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_three_files_are_written_and_nothing_is_left_over(
    bare: Evaluation, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    write_report(tmp_path / "a" / "out", bare, Gallery(), taxonomy)

    assert names(tmp_path / "a" / "out") == ["metrics.json", "report.html", "report.md"]


def test_the_same_evaluation_gives_the_same_bytes(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        write_report(tmp_path / name, evaluation, gallery, taxonomy)

    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_figures_come_back_from_metrics_json_bit_by_bit(evaluation: Evaluation) -> None:
    row = evaluation.rows[0]
    awkward = replace(row.spectrum, distance=0.1 + 0.2, radial=[5e-324, 1 / 3, 1e300, -0.0])
    evaluation = replace(evaluation, rows=[replace(row, spectrum=awkward)])

    found = json.loads(metrics_json(evaluation))

    expected = evaluation.as_json()
    expected["size_hw"] = list(expected["size_hw"])
    assert found == expected
    assert found["format"] == "scenequilt evaluation"
    assert found["rows"][0]["spectrum"]["distance"] == 0.30000000000000004


def test_lists_of_numbers_stand_on_one_line_and_strings_are_left_alone(
    evaluation: Evaluation,
) -> None:
    title = "two  blanks [1,\n  2] and é"
    row = replace(
        evaluation.rows[0], title=title, spectrum=Spectrum(None, [0.25, 0.5], [1e-9, 2.0])
    )

    text = metrics_json(replace(evaluation, rows=[row]))

    assert '"frequency": [0.25, 0.5],' in text
    assert '"radial": [1e-09, 2.0]' in text
    assert json.loads(text)["rows"][0]["title"] == title


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_not_finite_is_refused_by_its_place(
    evaluation: Evaluation, value: float
) -> None:
    row = evaluation.rows[1]
    rows = [evaluation.rows[0], replace(row, seams=replace(row.seams, label=value))]

    with pytest.raises(ValueError, match=rf"rows\[1\]\.seams\.label is {value}, expected a finite"):
        metrics_json(replace(evaluation, rows=rows))


def test_a_report_that_cannot_be_written_leaves_the_earlier_one(
    evaluation: Evaluation, bare: Evaluation, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    write_report(tmp_path, bare, Gallery(), taxonomy)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(ValueError, match="seconds is nan"):
        write_report(tmp_path, replace(bare, seconds=float("nan")), Gallery(), taxonomy, force=True)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_evaluation_without_rows_is_refused(
    evaluation: Evaluation, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="evaluation.rows is empty"):
        write_report(tmp_path / "out", replace(evaluation, rows=[]), Gallery(), taxonomy)

    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_files_is_refused_even_by_force(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(ValueError, match=r"not empty and no folder of an earlier.*other --out"):
        refuse_other_folder(tmp_path, force=True)


@pytest.mark.parametrize("content", ["{", "[]", '{"format": "another"}', "\udcff"])
def test_another_programs_metrics_json_is_not_ours(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_bytes(content.encode("utf-8", "surrogateescape"))

    with pytest.raises(ValueError, match="it has no metrics.json of one"):
        refuse_other_folder(tmp_path, force=True)


def test_a_file_is_refused_as_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")

    with pytest.raises(ValueError, match="is a file, expected a folder"):
        refuse_other_folder(tmp_path / "out", force=True)


def test_an_empty_folder_and_none_at_all_are_fine(tmp_path: Path) -> None:
    refuse_other_folder(tmp_path, force=False)
    refuse_other_folder(tmp_path / "not yet", force=False)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    for out in (tmp_path / "file" / "report", tmp_path / "new" / ("n" * 300)):
        with pytest.raises(ValueError, match="cannot be written .*; choose another --out"):
            refuse_other_folder(out, force=False)
            try_folder(out)

    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_trying_a_folder_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()

    try_folder(tmp_path / "new" / "report")
    try_folder(tmp_path / "there")

    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_an_earlier_evaluation_is_refused_with_the_remedy(
    bare: Evaluation, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    write_report(tmp_path, bare, Gallery(), taxonomy)

    with pytest.raises(ValueError, match="holds an earlier evaluation; --force replaces it"):
        write_report(tmp_path, bare, Gallery(), taxonomy)


def test_force_replaces_the_report_and_leaves_strangers_alone(
    bare: Evaluation, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    write_report(tmp_path, bare, Gallery(), taxonomy)
    (tmp_path / "notes.txt").write_text("mine")

    write_report(tmp_path, replace(bare, seed=99), Gallery(), taxonomy, force=True)

    assert json.loads((tmp_path / "metrics.json").read_text())["seed"] == 99
    assert "seed: 99" in (tmp_path / "report.md").read_text()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_what_a_killed_run_was_writing_is_no_strangers_file(
    bare: Evaluation, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    (tmp_path / ".metrics.json.4711.partial").write_text("{")

    write_report(tmp_path, bare, Gallery(), taxonomy)

    assert names(tmp_path) == ["metrics.json", "report.html", "report.md"]
