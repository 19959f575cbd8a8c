"""Mending: void is closed, other classes are not."""

import numpy as np

from scenequilt.memory_bank.segment import Segment
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.mending import mend_mask

SIZE = (72, 96)


def road(mask: np.ndarray) -> Segment:
    box = (0, 0, *SIZE)
    return Segment(1, 0, "a", box, box, np.zeros((*SIZE, 3), np.uint8), mask, SIZE, True)


def cracked(value: int) -> tuple[Segment, np.ndarray]:
    """Return a road with a crack one pixel wide, of some class."""
    label_map = np.zeros(SIZE, np.uint8)
    label_map[:, 40] = value
    return road(label_map == 0), label_map


def test_a_crack_of_void_is_closed() -> None:
    segment, label_map = cracked(VOID)

    assert mend_mask(segment, label_map).mask.all()


def test_a_pole_is_not() -> None:
    segment, label_map = cracked(3)

    assert mend_mask(segment, label_map) is segment


def test_a_wide_void_is_not() -> None:
    label_map = np.zeros(SIZE, np.uint8)
    label_map[:, 30:50] = VOID

    segment = road(label_map == 0)

    assert mend_mask(segment, label_map) is segment


def test_a_smaller_label_map_mends_nothing_for_a_pole_may_stand_between_its_samples() -> None:
    label_map = np.zeros(SIZE, np.uint8)
    label_map[:, 40:42] = VOID
    label_map[20:, 41] = 3
    segment = road(label_map == 0)

    assert (label_map[::2, ::2] != 3).all()
    assert mend_mask(segment, label_map[::2, ::2]) is segment
