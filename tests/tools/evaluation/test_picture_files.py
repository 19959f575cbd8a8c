"""Which pictures a folder stands for, and the names they go by."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.tools.evaluation.picture_files import (
    PictureIndex,
    dataset_at,
    find_pictures,
    in_words,
    names_of,
    plain_name,
)


def _save(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)
    return path


@pytest.mark.parametrize("stem", ["x_leftImg8bit", "x_gtFine_labelIds", "x_gtFine_labelTrainIds"])
def test_a_name_is_compared_without_what_cityscapes_adds(stem: str) -> None:
    assert plain_name(stem) == "x"


def test_a_picture_goes_by_its_name_and_by_its_folders_and_its_name() -> None:
    names = names_of(Path("/data/images/val/0001_leftImg8bit.png"))

    assert names == ["0001", "val-0001", "images-val-0001", "data-images-val-0001"]


def test_two_splits_may_use_one_name() -> None:
    train, val = Path("/d/train/1.jpg"), Path("/d/val/1.jpg")

    index = PictureIndex([train, val])

    assert index.find("1") == [train, val]
    assert index.find("val-1") == [val]
    assert index.find("2") == []


def test_pictures_of_every_kind_are_found_below_a_folder(tmp_path: Path) -> None:
    expected = [_save(tmp_path / name) for name in ("a.webp", "b/c.JPG", "b/d.png")]
    _save(tmp_path / ".thumbs" / "a.png")
    (tmp_path / "notes.txt").write_text("")

    assert find_pictures(tmp_path, "--real") == expected


def test_of_a_dataset_the_photographs_are_found(street: Path) -> None:
    found = find_pictures(street, "--real")

    assert [path.relative_to(street).as_posix() for path in found] == [
        f"images/{name}.png" for name in ("dawn", "dusk", "night", "noon")
    ]


def test_of_cityscapes_folders_the_photographs_are_found(tmp_path: Path) -> None:
    photograph = _save(tmp_path / "train_img" / "x_leftImg8bit.png")
    _save(tmp_path / "train_label" / "x_gtFine_labelIds.png")

    assert find_pictures(tmp_path, "--real") == [photograph]


def test_a_folder_with_a_table_of_classes_alone_is_no_dataset(street: Path) -> None:
    shutil.rmtree(street / "images")

    assert dataset_at(street) is None


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"--generated .*: no picture in this folder.*\*\.png"):
        find_pictures(tmp_path, "--generated")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"--real .*gone does not exist; expected a folder"):
        find_pictures(tmp_path / "gone", "--real")
    with pytest.raises(DatasetError, match=r"--real .*a\.png is a file; expected a folder"):
        find_pictures(_save(tmp_path / "a.png"), "--real")


def test_a_long_list_shows_its_first_names() -> None:
    assert in_words(["a", "b", "c"]) == "a, b, c"
    assert in_words(["a", "b", "c", "d"]) == "a, b, c, ..."
