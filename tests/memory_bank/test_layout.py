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
