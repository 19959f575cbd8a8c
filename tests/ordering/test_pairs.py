"""Overlapping and touching pairs, by hand and against a slow loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Segment, size_of
from scenequilt.ordering.pairs import Pair, find_pairs


def placed_at(box: Box, mask: NDArray[np.bool_] | None = None) -> PlacedSegment:
    """Make a placed segment that covers a box, or a mask of it."""
    whole = np.ones(size_of(box), bool) if mask is None else mask
    color = np.zeros((*size_of(box), 3), np.uint8)
    segment = Segment(1, 0, "photograph", box, box, color, whole, (100, 100), False)
    candidate = Candidate(1, "photograph", 0, 1.0, 1.0, 1.0, 0.0, "frame")
    identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    return PlacedSegment(0, segment, candidate, identity, box, color, whole, 1.0)


def test_shared_pixels_are_counted() -> None:
    pairs = find_pairs([placed_at((0, 0, 4, 4)), placed_at((2, 1, 6, 6))])

    assert pairs == [Pair(0, 1, 6)]


def test_neighbours_touch_without_overlap() -> None:
    pairs = find_pairs([placed_at((0, 0, 4, 4)), placed_at((0, 4, 4, 8))])

    assert pairs == [Pair(0, 1, 0)]


def test_corners_that_meet_touch() -> None:
    assert find_pairs([placed_at((0, 0, 4, 4)), placed_at((4, 4, 8, 8))]) == [Pair(0, 1, 0)]


def test_a_pixel_between_is_apart() -> None:
    assert find_pairs([placed_at((0, 0, 4, 4)), placed_at((0, 5, 4, 8))]) == []


def test_boxes_that_overlap_do_not_make_masks_overlap() -> None:
    lower = np.tri(8, dtype=bool)
    upper = np.triu(np.ones((8, 8), bool), 4)

    assert find_pairs([placed_at((0, 0, 8, 8), lower), placed_at((0, 0, 8, 8), upper)]) == []


def test_one_segment_has_no_pair() -> None:
    assert find_pairs([placed_at((0, 0, 4, 4))]) == []


@st.composite
def scenes(draw: st.DrawFn) -> list[PlacedSegment]:
    """Draw up to six segments of random masks in 12x12 pixels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    segments = []
    for _ in range(draw(st.integers(0, 6))):
        top, left = draw(st.integers(0, 10)), draw(st.integers(0, 10))
        bottom, right = draw(st.integers(top + 1, 12)), draw(st.integers(left + 1, 12))
        mask = rng.random((bottom - top, right - left)) < draw(st.sampled_from([0.05, 0.3, 1.0]))
        segments.append(placed_at((top, left, bottom, right), mask))
    return segments


@given(scenes())
def test_pairs_are_those_of_a_slow_loop(segments: list[PlacedSegment]) -> None:
    pixels = []
    for segment in segments:
        rows, columns = np.nonzero(segment.mask)
        pixels.append(
            {
                (r + segment.box[0], c + segment.box[1])
                for r, c in zip(rows.tolist(), columns.tolist(), strict=True)
            }
        )
    expected = []
    for first, inside in enumerate(pixels):
        around = {(r + dr, c + dc) for r, c in inside for dr in (-1, 0, 1) for dc in (-1, 0, 1)}
        for second in range(first + 1, len(pixels)):
            if around & pixels[second]:
                expected.append(Pair(first, second, len(inside & pixels[second])))

    assert find_pairs(segments) == expected
