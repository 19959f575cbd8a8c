"""Layouts: what they check, and their colours."""

import numpy as np
import pytest

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy

TAXONOMY = Taxonomy(
    "two",
    (
        ClassInfo(0, "sky", (70, 130, 180), "stuff"),
        ClassInfo(7, "car", (0, 0, 142), "thing"),
    ),
)


def test_size_is_height_and_width() -> None:
    layout = Layout(np.zeros((3, 5), np.uint8), np.zeros((3, 5), np.int32), TAXONOMY)

    assert layout.size_hw == (3, 5)


def test_colored_gives_each_class_its_color_and_void_black() -> None:
    label_map = np.array([[0, 1, 255]], np.uint8)

    colored = Layout(label_map, np.zeros((1, 3), np.int32), TAXONOMY).colored()

    assert colored.tolist() == [[[70, 130, 180], [0, 0, 142], [0, 0, 0]]]


def test_label_that_is_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"class id 2, but taxonomy 'two' has 2 classes; use 255"):
        Layout(np.full((2, 2), 2, np.uint8), np.zeros((2, 2), np.int32), TAXONOMY)


def test_label_map_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label_map must be \(H, W\) uint8, got \(2, 2\) int32"):
        Layout(np.zeros((2, 2), np.int32), np.zeros((2, 2), np.int32), TAXONOMY)


def test_instance_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"instance_map must be \(2, 2\) int32, got \(2, 3\)"):
        Layout(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.int32), TAXONOMY)


def test_depth_of_another_size_is_refused() -> None:
    labels, instances = np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.int32)

    with pytest.raises(ValueError, match=r"depth_m must be \(2, 2\), got \(1, 2\)"):
        Layout(labels, instances, TAXONOMY, np.zeros((1, 2), np.float32))


def _numbered(height: int, width: int) -> Layout:
    """Return a layout whose instances and depths number the pixels."""
    numbers = np.arange(height * width).reshape(height, width)
    return Layout(
        (numbers % 2).astype(np.uint8),
        numbers.astype(np.int32),
        TAXONOMY,
        numbers.astype(np.float32),
    )


def test_a_smaller_layout_has_the_pixels_under_its_centres() -> None:
    """Of 5 columns the 2 centres stand at 1.25 and 3.75, of 4 rows the 3 at 0.67, 2 and 3.33."""
    layout = _numbered(4, 5).resized((3, 2))

    assert layout.instance_map.tolist() == [[1, 3], [11, 13], [16, 18]]
    assert layout.label_map.tolist() == [[1, 1], [1, 1], [0, 0]]
    assert layout.depth_m is not None
    assert layout.depth_m.tolist() == layout.instance_map.tolist()


def test_a_larger_layout_repeats_pixels() -> None:
    layout = _numbered(2, 3).resized((4, 9))

    expected = _numbered(2, 3).instance_map.repeat(2, axis=0).repeat(3, axis=1)
    assert np.array_equal(layout.instance_map, expected)
    assert layout.taxonomy is TAXONOMY


@pytest.mark.parametrize("times", [2, 3, 5])
def test_larger_and_back_is_what_it_was(times: int) -> None:
    layout = _numbered(7, 11)

    back = layout.resized((7 * times, 11 * times)).resized((7, 11))

    assert np.array_equal(back.instance_map, layout.instance_map)


@pytest.mark.parametrize("size_hw", [(3, 4), (5, 9), (16, 1), (12, 20)])
def test_a_resized_layout_that_is_turned_is_the_turned_one_resized(
    size_hw: tuple[int, int],
) -> None:
    layout = _numbered(7, 11)
    turned = Layout(layout.label_map[::-1, ::-1], layout.instance_map[::-1, ::-1], TAXONOMY)

    found = turned.resized(size_hw).instance_map

    # A centre that falls on the border of two pixels belongs to the later one, turned or not.
    rows, columns = (_on_no_border(*sides) for sides in zip((7, 11), size_hw, strict=True))
    expected = layout.resized(size_hw).instance_map[::-1, ::-1]
    assert np.array_equal(found[np.ix_(rows, columns)], expected[np.ix_(rows, columns)])


def _on_no_border(length: int, wanted: int) -> list[int]:
    return [place for place in range(wanted) if (2 * place + 1) * length % (2 * wanted)]


def test_a_layout_of_the_size_is_itself() -> None:
    layout = _numbered(3, 4)

    assert layout.resized((3, 4)) is layout


def test_a_layout_without_depth_stays_without() -> None:
    layout = Layout(np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.int32), TAXONOMY)

    assert layout.resized((1, 1)).depth_m is None
