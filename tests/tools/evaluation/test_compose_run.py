"""A run of compose, read back: what it was asked for, what it made, what failed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.synthesis.composition import Composition
from scenequilt.tools.evaluation.compose_run import is_compose_run, open_compose_run
from scenequilt.tools.output.run_folder import RunFolder


@pytest.fixture
def run(hand_made_run: RunFolder, composition: Composition) -> Path:
    """The folder of a run with one layout, "street", in two variants, and its classes."""
    table = composition.requested.taxonomy.as_json()
    (hand_made_run.path / "classes.json").write_text(json.dumps(table))
    return hand_made_run.path


def _same(found: NDArray[Any] | None, expected: NDArray[Any] | None) -> bool:
    return found is not None and expected is not None and np.array_equal(found, expected)


def _change_plan(run: Path, **changes: object) -> None:
    plan = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**plan, **changes}))


def test_a_run_is_known_by_its_run_json(run: Path, tmp_path: Path) -> None:
    assert is_compose_run(run)
    assert not is_compose_run(tmp_path)


def test_pictures_are_listed_by_layout_and_variant(run: Path) -> None:
    found = open_compose_run(run)

    assert found.asked == ("street",)
    assert [item.name for item in found.pictures["street"]] == ["street/00", "street/01"]
    assert found.pictures["street"][0].sources == ("noon", "dusk")


def test_what_a_picture_holds_is_read_back(run: Path, composition: Composition) -> None:
    picture = open_compose_run(run).pictures["street"][0]

    assert _same(picture.image(), composition.image)
    assert _same(picture.delivered(), composition.delivered.label_map)
    assert _same(picture.ownership(), composition.ownership)
    assert _same(picture.state(), composition.state)


def test_maps_that_a_picture_came_without_are_none(run: Path) -> None:
    picture = open_compose_run(run).pictures["street"][0]
    for name in ("label.png", "ownership.png", "state.png"):
        (picture.folder / name).unlink()

    assert picture.delivered() is None
    assert picture.ownership() is None
    assert picture.state() is None


def test_the_bank_of_a_run_is_told(run: Path) -> None:
    _change_plan(run, bank={"path": "town.bank", "fingerprint": "ab"}, program="9.9")

    found = open_compose_run(run)

    assert (found.bank_path, found.bank_fingerprint, found.program) == ("town.bank", "ab", "9.9")


def test_a_layout_that_failed_is_missing_with_its_message(run: Path) -> None:
    layouts = [{"name": name, "path": f"labels/{name}.png"} for name in ("street", "lane", "alley")]
    _change_plan(run, layouts=layouts)
    (run / "failures.csv").write_text("layout,message\nlabels/lane.png,every pixel is void\n")

    found = open_compose_run(run)

    assert found.why_missing("lane") == "every pixel is void"
    assert "--resume" in found.why_missing("alley")


def test_half_a_line_of_a_killed_run_does_not_count(run: Path) -> None:
    manifest = run / "manifest.jsonl"
    manifest.write_text(manifest.read_text()[:-20])

    found = open_compose_run(run)

    assert [item.name for item in found.pictures["street"]] == ["street/00"]
    assert found.unlisted == ("street/01",)
    with pytest.raises(
        DatasetError,
        match=r"is damaged: its last line is cut off and it lists 1 of 2 pictures .*street/01\); "
        "compose --resume",
    ):
        found.refuse_damage()


def test_a_lost_manifest_is_named(run: Path) -> None:
    (run / "manifest.jsonl").unlink()

    with pytest.raises(DatasetError, match="is damaged: it is missing and it lists 0 of 2"):
        open_compose_run(run).refuse_damage()


def test_a_whole_manifest_is_not_damaged(run: Path) -> None:
    open_compose_run(run).refuse_damage()

    assert open_compose_run(run).damage == ""


@pytest.mark.parametrize(
    ("content", "what"), [(None, "is missing"), ("{", "cannot be read"), ("[]", "cannot be read")]
)
def test_a_run_without_its_run_json_is_not_taken_for_a_folder_of_pictures(
    run: Path, content: str | None, what: str
) -> None:
    (run / "run.json").unlink()
    if content is not None:
        (run / "run.json").write_text(content)

    with pytest.raises(
        DatasetError,
        match=rf'looks like a run .*manifest\.jsonl.*run\.json {what}; expected .*"scenequilt run".*'
        "restore it, or give the folders",
    ):
        is_compose_run(run)


def test_a_picture_that_was_made_again_counts_once(run: Path) -> None:
    manifest = run / "manifest.jsonl"
    first = json.loads(manifest.read_text().splitlines()[0])
    with manifest.open("a") as lines:
        lines.write(json.dumps({**first, "sources": ["dusk"]}) + "\n")

    pictures = open_compose_run(run).pictures["street"]

    assert [item.name for item in pictures] == ["street/00", "street/01"]
    assert pictures[0].sources == ("dusk",)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"is no run, expected a run\.json.*--out"):
        open_compose_run(tmp_path)


def test_a_run_of_a_later_program_is_refused(run: Path) -> None:
    _change_plan(run, version=2)

    with pytest.raises(DatasetError, match="format version 2, this program reads 1"):
        open_compose_run(run)


def test_a_damaged_run_is_refused(run: Path) -> None:
    _change_plan(run, layouts=[{"path": "a.png"}])

    with pytest.raises(DatasetError, match=r"damaged \(KeyError\('name'\)\).*--force"):
        open_compose_run(run)
