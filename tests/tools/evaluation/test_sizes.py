"""Sizes from headers, and the one rule that brings pictures and maps to a size."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.tools.evaluation.sizes import (
    PICTURE_MODES,
    check_decodes,
    in_words,
    read_size,
    sized_map,
    sized_picture,
)


def test_a_size_is_height_and_width(tmp_path: Path) -> None:
    Image.new("RGB", (12, 5)).save(tmp_path / "a.jpg")

    assert read_size(tmp_path / "a.jpg", "picture") == (5, 12)
    assert in_words((5, 12)) == "5x12"


def test_a_missing_file_is_named_with_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.png: photograph is missing"):
        read_size(tmp_path / "a.png", "photograph")


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no image")

    with pytest.raises(DatasetError, match=r"a\.png: picture is no image that can be decoded"):
        read_size(tmp_path / "a.png", "picture")


def test_a_picture_of_another_mode_is_refused_by_its_header(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.jpg")

    with pytest.raises(DatasetError, match=r"a\.jpg: picture has mode CMYK, expected 8-bit RGB"):
        read_size(tmp_path / "a.jpg", "picture", modes=PICTURE_MODES)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_file_that_is_cut_off_is_found_by_decoding(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(1).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(path)
    check_decodes(path, "picture", modes=PICTURE_MODES)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    assert read_size(path, "picture") == (40, 60), "the header says nothing"
    with pytest.raises(DatasetError, match=rf"a\.{suffix}: picture is damaged .*write it again"):
        check_decodes(path, "picture")


def test_empty_missing_and_unknown_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("no image")

    with pytest.raises(DatasetError, match=r"empty\.png: picture .*\(the file is empty\)"):
        check_decodes(tmp_path / "empty.png", "picture")
    with pytest.raises(DatasetError, match=r"text\.png: picture .*\(its form is not known\)"):
        check_decodes(tmp_path / "text.png", "picture")
    with pytest.raises(DatasetError, match=r"gone\.png: photograph is missing"):
        check_decodes(tmp_path / "gone.png", "photograph")


def test_colours_of_16_bits_are_refused_though_pillow_opens_them(tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), np.zeros((4, 6, 3), np.uint16))

    with pytest.raises(DatasetError, match=r"picture has 16 bits a channel, expected 8-bit RGB"):
        check_decodes(path, "picture", modes=PICTURE_MODES)
    check_decodes(path, "depth map")


def test_a_map_takes_the_pixel_under_each_centre() -> None:
    numbers = np.arange(16, dtype=np.int32).reshape(4, 4)

    half, double = sized_map(numbers, (2, 2)), sized_map(numbers, (8, 4))

    assert half.tolist() == [[5, 7], [13, 15]], "the centre of 2x2 pixels is the corner of the last"
    assert double.tolist() == np.repeat(numbers, 2, axis=0).tolist()


@pytest.mark.parametrize("size_hw", [(3, 5), (7, 7), (20, 9)])
def test_maps_are_resized_as_compose_resizes_layouts(size_hw: tuple[int, int]) -> None:
    taxonomy = Taxonomy("two", (ClassInfo(0, "a", (1, 1, 1), "stuff"),))
    labels = (np.random.default_rng(2).integers(0, 2, (11, 8)) * 255).astype(np.uint8)
    layout = Layout(labels, np.zeros((11, 8), np.int32), taxonomy)

    assert np.array_equal(sized_map(labels, size_hw), layout.resized(size_hw).label_map)


def test_a_picture_that_shrinks_is_averaged() -> None:
    stripes = np.zeros((8, 64, 3), np.uint8)
    stripes[:, ::2] = 200

    small = sized_picture(stripes, (4, 8))

    assert np.abs(small.astype(int) - 100).max() <= 12, "without antialiasing it is 0 or 200"


def test_what_has_the_size_is_left_alone() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)

    assert sized_picture(picture, (4, 6)) is picture
    assert sized_map(picture[..., 0], (4, 6)).base is picture
