"""The photographs of a bank: found where they were or in a folder, never another file."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.tools.evaluation.bank_photographs import BankPhotographs, own_photographs
from scenequilt.tools.evaluation.picture_set import open_picture_set


@pytest.fixture
def bank(street_bank: Path) -> Iterator[MemoryBank]:
    with MemoryBank.open(street_bank) as opened:
        yield opened


def test_photographs_are_read_in_the_order_of_their_names(street: Path, bank: MemoryBank) -> None:
    photographs = BankPhotographs(bank, (24, 36))

    read = dict(photographs)

    assert tuple(read) == photographs.names == ("dawn", "dusk", "night", "noon")
    assert len(photographs) == 4
    with Image.open(street / "images" / "night.png") as picture:
        assert np.array_equal(read["night"], np.array(picture))


def test_photographs_are_brought_to_a_size(bank: MemoryBank) -> None:
    assert BankPhotographs(bank, (12, 20)).read(0).shape == (12, 20, 3)


def test_photographs_that_moved_are_found_in_a_folder(
    street: Path, bank: MemoryBank, tmp_path: Path
) -> None:
    shutil.move(street / "images", tmp_path / "album")

    assert len(list(BankPhotographs(bank, (24, 36), tmp_path / "album"))) == 4


def test_photographs_that_moved_are_counted_with_a_remedy(street: Path, bank: MemoryBank) -> None:
    for name in ("dawn", "noon"):
        (street / "images" / f"{name}.png").unlink()

    with pytest.raises(
        DatasetError,
        match=r"2 of 4 photographs of the bank are not where they were: dawn \(.*dawn\.png\), noon "
        r".*--bank-photographs DIR",
    ):
        BankPhotographs(bank, (24, 36))


def test_photographs_that_the_folder_lacks_are_named(
    street: Path, bank: MemoryBank, tmp_path: Path
) -> None:
    (tmp_path / "album").mkdir()
    shutil.copy(street / "images" / "noon.png", tmp_path / "album")

    with pytest.raises(DatasetError, match=r"3 of 4 .* are not in .*album: dawn, dusk, night;"):
        BankPhotographs(bank, (24, 36), tmp_path / "album")


def test_a_photograph_that_changed_is_refused(street: Path, bank: MemoryBank) -> None:
    shutil.copy(street / "images" / "noon.png", street / "images" / "dawn.png")
    photographs = BankPhotographs(bank, (24, 36))

    with pytest.raises(
        DatasetError, match=r"dawn\.png: is not the photograph 'dawn' .*sha256 is not"
    ):
        photographs.read(0)


def test_of_two_files_of_one_name_the_one_that_the_bank_knows_is_read(
    street: Path, bank: MemoryBank, tmp_path: Path
) -> None:
    shutil.copytree(street / "images", tmp_path / "album" / "b")
    shutil.copytree(street / "made", tmp_path / "album" / "a")

    photographs = BankPhotographs(bank, (24, 36), tmp_path / "album")

    assert photographs.check(2) == tmp_path / "album" / "b" / "night.png"


def test_own_photographs_go_by_name_by_photograph_and_by_label_map(
    street: Path, bank: MemoryBank, tmp_path: Path
) -> None:
    for kind in ("images", "labels", "made"):
        (tmp_path / kind).mkdir()
    shutil.copy(street / "images" / "dawn.png", tmp_path / "images" / "one.png")
    shutil.copy(street / "labels" / "noon.png", tmp_path / "labels" / "one.png")
    shutil.copy(street / "made" / "night.png", tmp_path / "images" / "dusk.png")
    Image.new("L", (36, 24), 7).save(tmp_path / "labels" / "dusk.png")
    for name in ("one", "dusk"):
        shutil.copy(street / "made" / "noon.png", tmp_path / "made" / f"{name}.png")
    judged = open_picture_set(
        tmp_path / "made",
        real=tmp_path / "images",
        labels=tmp_path / "labels",
        classes=street / "classes.json",
    )

    own = own_photographs(judged, bank)

    assert judged.layouts == ("dusk", "one")
    assert own == [frozenset({"dusk"}), frozenset({"dawn", "noon"})]
