"""Pictures of a study: found, brought to one size, spoilt, mixed into a mask."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.tools.people.pictures import (
    common_size,
    encode_jpeg,
    find_photographs,
    find_system,
    mask_picture,
    picture_size,
    read_at_size,
    spoil,
)


def _save(path: Path, size_hw: tuple[int, int] = (4, 6)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size_hw[::-1], (90, 120, 30)).save(path)
    return path


def _gradient() -> NDArray[np.uint8]:
    return np.asarray(np.indices((48, 64)).sum(axis=0)[..., None].repeat(3, axis=2), np.uint8)


def test_pictures_of_a_folder_are_named_by_their_files(tmp_path: Path) -> None:
    _save(tmp_path / "b.png")
    _save(tmp_path / "a.JPG")
    (tmp_path / "notes.txt").write_text("")

    assert find_system("x", tmp_path).files == {"a": tmp_path / "a.JPG", "b": tmp_path / "b.png"}


def test_pictures_of_a_run_are_the_first_variants(tmp_path: Path) -> None:
    first = _save(tmp_path / "street" / "00" / "image.png")
    _save(tmp_path / "street" / "01" / "image.png")
    _save(tmp_path / "contact_sheet.png")

    assert find_system("x", tmp_path).files == {"street": first}


def test_the_first_of_variants_is_taken_and_the_others_are_counted(tmp_path: Path) -> None:
    """Compose writes LAYOUT/00/image.png; pictures gathered by hand are LAYOUT/00.png."""
    first = {name: _save(tmp_path / "by_hand" / name / "00.png") for name in ("a", "b")}
    for name in ("a/01", "a/02", "b/01"):
        _save(tmp_path / "by_hand" / f"{name}.png")
    alone = _save(tmp_path / "by_hand" / "c.png")
    for name in ("a/00", "a/01", "b/00"):
        _save(tmp_path / "run" / name / "image.png")

    by_hand, run = (find_system("x", tmp_path / name) for name in ("by_hand", "run"))

    assert by_hand.files == {**first, "c": alone}
    assert (by_hand.left_aside, run.left_aside) == (3, 1)


def test_numbered_pictures_of_one_folder_are_no_variants(tmp_path: Path) -> None:
    for name in ("00", "01"):
        _save(tmp_path / "val" / f"{name}.png")

    assert set(find_system("x", tmp_path).files) == {"00", "01"}


def test_pictures_in_folders_below_go_by_their_names(tmp_path: Path) -> None:
    nested = _save(tmp_path / "val" / "berlin" / "berlin_0_leftImg8bit.png")
    flat = _save(tmp_path / "bonn_1.webp")
    _save(tmp_path / ".cache" / "thumbnail.png")

    assert find_system("x", tmp_path).files == {"berlin_0": nested, "bonn_1": flat}


def test_folders_tell_pictures_of_one_name_apart(tmp_path: Path) -> None:
    train, val = (_save(tmp_path / "x" / split / "a.png") for split in ("train", "val"))
    top = _save(tmp_path / "x" / "a.png")
    b = _save(tmp_path / "x" / "val" / "b.png")

    files = find_system("x", tmp_path / "x").files

    assert files == {"a": top, "train-a": train, "val-a": val, "b": b}


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such folder, expected the pictures of 'x'"):
        find_system("x", tmp_path / "nowhere")


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"'x'.*no picture in this folder or below, expected \*"):
        find_system("x", tmp_path)


def test_two_pictures_of_one_layout_are_refused(tmp_path: Path) -> None:
    _save(tmp_path / "a.png")
    _save(tmp_path / "a.jpg")

    with pytest.raises(ValueError, match=r"a\.jpg and a\.png are both of layout 'a'"):
        find_system("x", tmp_path)


def test_variants_and_a_picture_of_one_layout_are_refused(tmp_path: Path) -> None:
    _save(tmp_path / "a" / "00.png")
    _save(tmp_path / "a.png")

    with pytest.raises(ValueError, match=r"a/00\.png and a\.png are both of layout 'a'"):
        find_system("x", tmp_path)


def _dataset(folder: Path) -> Path:
    """Write photographs of two splits, one name of them in both."""
    for name in ("train/a", "train/b", "val/a", "val/c"):
        _save(folder / "images" / f"{name}.jpg")
    (folder / "labels").mkdir()
    return folder


def test_photographs_of_a_dataset_are_those_of_the_layouts(tmp_path: Path) -> None:
    folder = _dataset(tmp_path)

    found = find_photographs("photograph", folder, ["val-a", "b", "elsewhere"])

    assert found.files == {
        "b": folder / "images" / "train" / "b.jpg",
        "val-a": folder / "images" / "val" / "a.jpg",
    }


def test_two_photographs_of_one_layout_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--real .*: 2 photographs are of layout 'a'.*one split"):
        find_photographs("photograph", _dataset(tmp_path), ["a"])


def test_photographs_of_no_layout_are_all_named(tmp_path: Path) -> None:
    found = find_photographs("photograph", _dataset(tmp_path), ["elsewhere"])

    assert sorted(found.files) == ["a", "b", "c"]


def test_photographs_in_one_folder_or_as_a_run_are_found(tmp_path: Path) -> None:
    plain = _save(tmp_path / "plain" / "a.png")
    run = _save(tmp_path / "run" / "a" / "00" / "image.png")

    assert find_photographs("photograph", tmp_path / "plain", ["a"]).files == {"a": plain}
    assert find_photographs("photograph", tmp_path / "run", ["a"]).files == {"a": run}


def test_a_folder_of_photographs_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--real .*nowhere does not exist"):
        find_photographs("photograph", tmp_path / "nowhere", ["a"])


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")

    with pytest.raises(ValueError, match=r"a\.png: cannot be read as a picture"):
        picture_size(tmp_path / "a.png")


def test_the_smallest_size_is_the_common_one() -> None:
    sizes = {Path("a"): (200, 400), Path("b"): (100, 200), Path("c"): (400, 800)}

    assert common_size(sizes, 560) == (100, 200)


def test_the_common_size_is_no_wider_than_asked() -> None:
    assert common_size({Path("a"): (512, 1024)}, 560) == (280, 560)


def test_other_shapes_are_refused_with_their_sizes() -> None:
    sizes = {Path("a.png"): (360, 480), Path("b.png"): (256, 512)}

    with pytest.raises(ValueError, match=r"a\.png is 360x480 and b\.png 256x512.*--size"):
        common_size(sizes, 560)


def test_every_picture_is_brought_to_the_size(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", (10, 20))

    assert read_at_size(path, (5, 8)).shape == (5, 8, 3)
    assert (read_at_size(path, (5, 8)) == (90, 120, 30)).all(), "a plain picture stays plain"


@pytest.mark.parametrize("size_hw", [(48, 64), (47, 61), (3, 5)])
def test_a_spoilt_picture_is_far_from_its_original(size_hw: tuple[int, int]) -> None:
    image = np.resize(_gradient(), (*size_hw, 3))

    spoilt = spoil(image, random.Random(0))

    assert spoilt.shape == image.shape
    assert np.abs(spoilt.astype(int) - image).mean() > 10


def test_a_mask_is_made_of_every_picture() -> None:
    images = [np.full((48, 64, 3), value, np.uint8) for value in (10, 20, 30)]

    mask = mask_picture(images, random.Random(0))

    assert mask.shape == (48, 64, 3)
    assert set(np.unique(mask)) == {10, 20, 30}


def test_a_jpeg_is_close_to_the_picture_and_holds_no_metadata() -> None:
    with Image.open(io.BytesIO(encode_jpeg(_gradient()))) as picture:
        assert np.abs(np.asarray(picture).astype(int) - _gradient()).max() <= 4
        assert set(picture.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        assert not picture.getexif()
