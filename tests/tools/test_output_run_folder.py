"""What a run may write where, what counts as finished, and what a killed run leaves."""

import json
from pathlib import Path
from typing import Any

import pytest

from scenequilt.tools.output.run_folder import RunFolder

PLAN = {"choices": {"seed": 3}, "layouts": [{"name": "street", "path": "labels/street.png"}]}


def read_manifest(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "manifest.jsonl").read_text().splitlines()]


def test_a_finished_picture_is_in_its_folder_and_in_the_manifest(hand_made_run: RunFolder) -> None:
    rows = read_manifest(hand_made_run.path)

    assert [row["folder"] for row in rows] == ["street/00", "street/01"]
    assert (hand_made_run.path / "street" / "00" / "image.png").is_file()


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(ValueError, match=r"not empty and no folder of an earlier run.*other --out"):
        RunFolder.start(tmp_path, PLAN, force=True)


def test_a_file_is_refused_as_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")

    with pytest.raises(ValueError, match="is a file, expected a folder"):
        RunFolder.start(tmp_path / "out", PLAN)


def test_an_earlier_run_is_refused_with_the_remedies(hand_made_run: RunFolder) -> None:
    with pytest.raises(ValueError, match=r"--resume goes on with it, --force replaces it"):
        RunFolder.start(hand_made_run.path, PLAN)


def test_force_takes_the_pictures_away_and_leaves_strangers_alone(hand_made_run: RunFolder) -> None:
    (hand_made_run.path / "notes.txt").write_text("mine")

    run = RunFolder.start(hand_made_run.path, PLAN, force=True)

    assert run.rows == {}
    assert sorted(path.name for path in run.path.iterdir()) == [
        "manifest.jsonl",
        "notes.txt",
        "run.json",
    ]


def test_resume_finds_what_is_finished(hand_made_run: RunFolder) -> None:
    run = RunFolder.start(hand_made_run.path, PLAN, resume=True)

    assert sorted(run.rows) == [("street", 0), ("street", 1)]


def test_resume_refuses_other_choices_and_names_both(hand_made_run: RunFolder) -> None:
    plan = {**PLAN, "choices": {"seed": 4}}

    with pytest.raises(ValueError, match=r"earlier run had seed 3, this one has 4; give the same"):
        RunFolder.start(hand_made_run.path, plan, resume=True)


def test_resume_refuses_another_file_under_the_same_name(hand_made_run: RunFolder) -> None:
    plan = {**PLAN, "layouts": [{"name": "street", "path": "elsewhere/street.png"}]}

    with pytest.raises(ValueError, match=r"'street' was labels/street.png, now it is elsewhere"):
        RunFolder.start(hand_made_run.path, plan, resume=True)


def test_half_a_line_of_a_killed_run_is_a_picture_to_be_made_again(
    hand_made_run: RunFolder,
) -> None:
    manifest = hand_made_run.path / "manifest.jsonl"
    manifest.write_text(manifest.read_text()[:-40])

    run = RunFolder.start(hand_made_run.path, PLAN, resume=True)

    assert list(run.rows) == [("street", 0)]


def test_a_picture_without_its_line_is_replaced(hand_made_run: RunFolder) -> None:
    (hand_made_run.path / "manifest.jsonl").write_text("")
    run = RunFolder.start(hand_made_run.path, PLAN, resume=True)
    workplace = run.workplace("street", 0)
    (workplace / "recipe.json").write_text("new")

    run.finish(workplace, {"layout": "street", "variant": 0, "folder": "street/00"})

    assert [path.name for path in (run.path / "street" / "00").iterdir()] == ["recipe.json"]


def test_what_a_killed_run_was_writing_is_cleared_away(hand_made_run: RunFolder) -> None:
    hand_made_run.workplace("street", 1)

    run = RunFolder.start(hand_made_run.path, PLAN, resume=True)

    assert not list(run.path.glob(".*"))


def test_discarding_a_layout_takes_its_rows_and_its_folder(hand_made_run: RunFolder) -> None:
    hand_made_run.discard("street")
    hand_made_run.close([])

    assert read_manifest(hand_made_run.path) == []
    assert not (hand_made_run.path / "street").exists()


def test_failures_are_listed_with_their_message(hand_made_run: RunFolder) -> None:
    hand_made_run.close([("labels/a.png", 'holds 9, expected "0"')])

    text = (hand_made_run.path / "failures.csv").read_text()
    assert text == 'layout,message\nlabels/a.png,"holds 9, expected ""0"""\n'


def test_run_json_says_what_was_asked_for(hand_made_run: RunFolder) -> None:
    plan = json.loads((hand_made_run.path / "run.json").read_text())

    assert plan["format"] == "scenequilt run"
    assert plan["layouts"] == PLAN["layouts"]
