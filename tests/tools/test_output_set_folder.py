"""Folders of a command's own: told from others by their mark, emptied, refused."""

from pathlib import Path

import numpy as np
import pytest

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.tools.output.png import decode_numbers
from scenequilt.tools.output.set_folder import SetFolder, write_maps

KIND = SetFolder(
    contents="pots",
    mark="pots.json",
    format="somebody's pots",
    version=1,
    folders=("labels", "shelves"),
    files=("list.txt",),
)


def test_a_started_folder_is_its_own(tmp_path: Path) -> None:
    KIND.start(tmp_path / "out", folders=["labels"])

    assert KIND.is_own(tmp_path / "out")
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["labels", "pots.json"]


def test_starting_again_takes_away_what_is_its_own_and_nothing_else(tmp_path: Path) -> None:
    KIND.start(tmp_path, folders=["labels", "shelves"])
    for name in ("labels/a.png", "list.txt", "somebody.txt"):
        (tmp_path / name).write_text("")

    KIND.start(tmp_path, force=True, folders=["labels"])

    left = sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*"))
    assert left == ["labels", "pots.json", "somebody.txt"]


def test_somebody_elses_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pots.json").write_text('{"format": "cups"}')

    with pytest.raises(ValueError, match=r"not empty and no folder of pots .*pots\.json"):
        KIND.start(tmp_path, force=True, folders=["labels"])

    assert [each.name for each in tmp_path.iterdir()] == ["pots.json"]


def test_an_earlier_set_wants_force(tmp_path: Path) -> None:
    KIND.start(tmp_path, folders=[])

    with pytest.raises(ValueError, match="holds pots already; --force replaces them"):
        KIND.refuse_other(tmp_path, force=False)


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")

    with pytest.raises(ValueError, match="is a file, expected a folder"):
        KIND.refuse_other(tmp_path / "out", force=True)


def test_maps_hold_file_ids_numbers_and_millimetres(tmp_path: Path) -> None:
    taxonomy = Taxonomy(
        "two", (ClassInfo(7, "sky", (0, 0, 0), "stuff"), ClassInfo(26, "car", (9, 9, 9), "thing"))
    )
    layout = Layout(
        np.array([[0, 1]], np.uint8),
        np.array([[0, 300]], np.int32),
        taxonomy,
        np.array([[1.5, 99.0]], np.float32),
    )
    for name in ("labels", "instances", "depth"):
        (tmp_path / name).mkdir()

    write_maps(tmp_path, "a", layout, ["labels", "instances", "depth"])

    found = {
        name: decode_numbers(tmp_path / name / "a.png").tolist()
        for name in ("labels", "instances", "depth")
    }
    assert found == {"labels": [[7, 26]], "instances": [[0, 300]], "depth": [[1500, 65535]]}
