"""Damaged files are found before anything is measured."""

from pathlib import Path

import pytest
from PIL import Image

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.tools.evaluation.pairing import FilePicture, LayoutItem, Pairing, Problem
from scenequilt.tools.evaluation.readable import readable_only


@pytest.fixture
def pairing(tmp_path: Path) -> Pairing:
    """Five layouts, "0" to "4", of one file each, and a picture that belongs to none of them."""
    items = []
    for name in "01234":
        path = tmp_path / f"{name}.png"
        Image.new("L", (12, 8)).save(path)
        items.append(LayoutItem(name, path, (FilePicture(name, path),), path))
    return Pairing(items, [Problem("2b", "label map", "there is none")], 3)


def test_what_can_be_decoded_stays_as_it_is(pairing: Pairing) -> None:
    assert readable_only(pairing, partial=False) is pairing


def test_what_is_damaged_joins_what_is_left_over(pairing: Pairing) -> None:
    pairing.items[3].label_path.write_bytes(b"")

    found = readable_only(pairing, partial=True)

    assert [item.name for item in found.items] == ["0", "1", "2", "4"]
    assert [problem.name for problem in found.problems] == ["2b", "3"]
    assert found.unasked == 3


def test_of_many_damaged_files_the_first_are_named(pairing: Pairing) -> None:
    for item in pairing.items[1:]:
        item.label_path.unlink()

    with pytest.raises(DatasetError, match="4 layouts have a file .*, the first: ") as refused:
        readable_only(pairing, partial=False)

    message = str(refused.value)
    assert message.count("is missing") == 3
    assert "--partial" not in message, "one layout is too few to go on with"
