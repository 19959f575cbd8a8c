"""lay_over: a placed segment moved to what is open, and still traced to its photograph."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Segment
from scenequilt.synthesis.texture import lay_over

SIZE_HW = (20, 30)


def placed(box: Box, mask: NDArray[np.bool_]) -> PlacedSegment:
    """A segment that stands where it stood; each pixel's colour says its column and row."""
    rows, columns = np.mgrid[box[0] : box[2], box[1] : box[3]]
    color = np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)
    segment = Segment(7, 0, "a", box, box, color, mask, SIZE_HW, False)
    candidate = Candidate(7, "a", 0, 1.0, 1.0, 1.0, 0.0, "frame")
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    return PlacedSegment(0, segment, candidate, identity, box, color, mask, 0.5)


def test_it_is_moved_to_where_it_covers_all_that_is_open() -> None:
    open_part = np.zeros(SIZE_HW, bool)
    open_part[4:9, 20:26] = True

    moved = lay_over(
        open_part, (0, 0, *SIZE_HW), [placed((4, 2, 10, 10), np.ones((6, 8), bool))], SIZE_HW
    )

    top, left, bottom, right = moved.box
    assert (top <= 4, bottom >= 9, left <= 20, right >= 26) == (True,) * 4
    assert moved.mask.all()


def test_its_pixels_are_traced_to_where_they_were() -> None:
    open_part = np.zeros(SIZE_HW, bool)
    open_part[12:18, 22:30] = True

    moved = lay_over(
        open_part, (0, 0, *SIZE_HW), [placed((2, 2, 8, 10), np.ones((6, 8), bool))], SIZE_HW
    )

    top, left = moved.box[:2]
    for row, column in np.ndindex(*moved.mask.shape):
        at = moved.source_from_target @ (left + column + 0.5, top + row + 0.5, 1)
        assert tuple(np.floor(at).astype(int)) == tuple(moved.color[row, column, :2])


def test_it_is_cut_at_the_border_of_the_layout() -> None:
    open_part = np.zeros(SIZE_HW, bool)
    open_part[:, 28:] = True

    moved = lay_over(
        open_part, (0, 0, *SIZE_HW), [placed((0, 0, 20, 10), np.ones((20, 10), bool))], SIZE_HW
    )

    assert 0 <= moved.box[1] < moved.box[3] <= SIZE_HW[1]
    assert moved.color.shape[:2] == moved.mask.shape


def test_the_segment_that_covers_most_is_taken() -> None:
    open_part = np.ones((10, 10), bool)
    small = placed((0, 0, 4, 4), np.ones((4, 4), bool))
    large = placed((5, 15, 15, 25), np.ones((10, 10), bool))

    assert lay_over(open_part, (5, 3, 15, 13), [small, large], SIZE_HW).mask.sum() == 100


def test_nothing_open_is_refused() -> None:
    item = placed((0, 0, 4, 4), np.ones((4, 4), bool))

    with pytest.raises(ValueError, match="needs an open pixel"):
        lay_over(np.zeros((5, 5), bool), (0, 0, 5, 5), [item], SIZE_HW)
