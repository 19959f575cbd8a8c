"""A street of four classes, and one thread."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy

TAXONOMY = Taxonomy(
    "four",
    (
        ClassInfo(7, "sky", (70, 130, 180), "stuff"),
        ClassInfo(8, "road", (128, 64, 128), "stuff"),
        ClassInfo(26, "car", (0, 0, 142), "thing"),
        ClassInfo(30, "pole", (150, 150, 150), "thing", thin=True),
    ),
    (0, 255),
)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tiny networks are faster without a second thread to wait for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    """Sky, road, car, pole."""
    return TAXONOMY


@pytest.fixture
def street() -> Layout:
    """64x128: sky above row 24, road below, cars 1 and 2, and a pole of 2 pixels in front of both."""
    label_map = np.zeros((64, 128), np.uint8)
    label_map[24:] = 1
    instance_map = np.zeros((64, 128), np.int32)
    for number, left in ((1, 8), (2, 70)):
        label_map[20:44, left : left + 40] = 2
        instance_map[20:44, left : left + 40] = number
    label_map[4:60, 60:62] = 3
    instance_map[4:60, 60:62] = 3
    return Layout(label_map, instance_map, TAXONOMY)
