"""From a matrix to pixels: copying, interpolating, averaging, tracing back."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scenequilt.alignment.affine import (
    compose,
    identity,
    invert,
    mirroring,
    rotation,
    scaling,
    transform,
    translation,
)
from scenequilt.alignment.warp import WarpedSegment, sample_mask, warp_mask, warp_segment
from scenequilt.memory_bank.segment import Candidate, Segment

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
MASK = RNG.random((6, 8)) < 0.5
CANDIDATE = Candidate(1, "a", 0, 1.0, 1.0, 1.0, 0.0, "frame")


def test_identity_loses_no_row_or_column() -> None:
    patch = warp_segment(COLOR, MASK, (0, 0, 6, 8), identity(), (6, 8))

    assert patch.box == (0, 0, 6, 8)
    np.testing.assert_array_equal(patch.color, COLOR)
    np.testing.assert_array_equal(patch.mask, MASK)


@given(st.integers(-7, 7), st.integers(-5, 5))
def test_whole_pixel_shift_equals_slicing(across: int, down: int) -> None:
    patch = warp_segment(COLOR, MASK, (0, 0, 6, 8), translation(-across, -down), (6, 8))

    rows = slice(max(-down, 0), 6 - max(down, 0))
    columns = slice(max(-across, 0), 8 - max(across, 0))
    assert patch.box == (max(down, 0), max(across, 0), 6 + min(down, 0), 8 + min(across, 0))
    np.testing.assert_array_equal(patch.color, COLOR[rows, columns])
    np.testing.assert_array_equal(patch.mask, MASK[rows, columns])


def test_a_crop_from_the_middle_of_its_photograph_lands_where_it_stood() -> None:
    patch = warp_segment(COLOR, MASK, (10, 20, 16, 28), identity(), (100, 100))

    assert patch.box == (10, 20, 16, 28)
    np.testing.assert_array_equal(patch.color, COLOR)


def test_mirroring_reverses_the_columns() -> None:
    patch = warp_segment(COLOR, MASK, (0, 0, 6, 8), mirroring(4), (6, 8))

    assert patch.box == (0, 0, 6, 8)
    np.testing.assert_array_equal(patch.color, COLOR[:, ::-1])
    np.testing.assert_array_equal(patch.mask, MASK[:, ::-1])


def test_doubling_keeps_the_area_of_a_block() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2:4, 2:6] = True

    patch = warp_segment(COLOR, mask, (0, 0, 6, 8), scaling(0.5, 0.5), (12, 16))

    expected = np.zeros((12, 16), bool)
    expected[4:8, 4:12] = True
    np.testing.assert_array_equal(patch.mask, expected)


def test_a_mask_up_to_the_border_stays_up_to_the_border() -> None:
    mask = np.ones((6, 8), bool)

    patch = warp_segment(COLOR, mask, (0, 0, 6, 8), scaling(8 / 11, 6 / 7), (7, 11))

    assert patch.mask.all()


def test_shrinking_averages_what_a_pixel_covers() -> None:
    color = np.zeros((8, 8, 3), np.uint8)
    color[:, ::4] = 200  # every fourth column: sampling would find all of it or nothing

    patch = warp_segment(color, np.ones((8, 8), bool), (0, 0, 8, 8), scaling(4, 4), (2, 2))

    np.testing.assert_array_equal(patch.color, np.full((2, 2, 3), 50))
    assert patch.mask.all()


@pytest.mark.parametrize(
    "target_from_source",
    [
        compose(translation(7.3, 4.6), scaling(1.3, 0.9)),
        compose(translation(20.0, 5.0), rotation(0.2), scaling(0.8, 0.8)),
        compose(translation(60.0, 0.0), mirroring(0.0), scaling(1.5, 1.5)),
        compose(translation(3.0, 2.0), scaling(0.3, 0.4)),
    ],
)
def test_color_at_traced_coordinates_equals_the_placed_color(
    target_from_source: NDArray[np.float64],
) -> None:
    # In this photograph red is x and green is y, in half pixels: each pixel tells where it was.
    y, x = np.mgrid[0:60, 0:60]
    photograph = np.stack([2 * x + 1, 2 * y + 1, 0 * x], axis=-1).astype(np.uint8)
    crop_box = (10, 8, 50, 40)
    color = photograph[10:50, 8:40]
    source_from_target = invert(target_from_source)

    patch = warp_segment(color, np.ones((40, 32), bool), crop_box, source_from_target, (60, 60))

    rows, columns = np.nonzero(patch.mask)
    centers = np.stack([columns + patch.box[1] + 0.5, rows + patch.box[0] + 0.5], axis=-1)
    traced = transform(source_from_target, centers)
    inside = ((traced > [10, 12]) & (traced < [38, 48])).all(axis=1)  # off the crop's own edge
    assert inside.sum() > 50
    told = patch.color[rows, columns, :2].astype(float) / 2
    assert np.abs(told - traced)[inside].max() < 0.6


def test_the_mask_alone_is_the_mask_of_the_whole_warp() -> None:
    matrix = compose(translation(1.5, 0.2), rotation(0.1), scaling(0.7, 0.6))

    box, mask = warp_mask(MASK, (0, 0, 6, 8), matrix, (12, 12))

    patch = warp_segment(COLOR, MASK, (0, 0, 6, 8), matrix, (12, 12))
    assert box == patch.box
    np.testing.assert_array_equal(mask, patch.mask)


def test_samples_are_taken_at_the_centres_of_grid_cells() -> None:
    mask = np.array([[True, False], [False, True]])

    samples = sample_mask(mask, (5, 5, 7, 7), compose(translation(5, 5), scaling(0.5, 0.5)), (4, 4))

    assert samples.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]


def test_a_crop_that_falls_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="outside of a layout of 6x8 pixels"):
        warp_segment(COLOR, MASK, (0, 0, 6, 8), translation(-50, 0), (6, 8))


def test_the_colour_of_a_warped_segment_is_that_of_warping_all_of_it() -> None:
    color = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)
    mask = np.ones((12, 16), np.bool_)
    box = (4, 6, 16, 22)
    segment = Segment(1, 0, "a", box, box, color, mask, (40, 60), False)
    source_from_target = compose(scaling(0.8, 0.7), translation(-3, 2))
    whole = warp_segment(color, mask, box, source_from_target, (40, 60))

    placed = WarpedSegment(
        0, segment, CANDIDATE, source_from_target, whole.box, None, whole.mask, 0.5
    )

    assert "color" not in vars(placed), "nothing is warped before it is asked for"
    np.testing.assert_array_equal(placed.color, whole.color)
    assert placed.color is placed.color
    smaller = replace(
        placed, box=(0, 0, 1, 2), color=placed.color[:1, :2], mask=placed.mask[:1, :2]
    )
    np.testing.assert_array_equal(smaller.color, whole.color[:1, :2])


def test_a_warped_segment_has_nothing_else_that_it_lacks() -> None:
    color, mask = np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), np.bool_)
    box = (0, 0, 2, 2)
    segment = Segment(1, 0, "a", box, box, color, mask, (4, 4), False)
    placed = WarpedSegment(0, segment, CANDIDATE, identity(), box, color, mask, 1.0)

    with pytest.raises(AttributeError, match="WarpedSegment has no 'colour'"):
        _ = placed.colour
    with pytest.raises(ValueError, match=r"mask is \(2, 2\) and color is \(1, 2, 3\)"):
        WarpedSegment(0, segment, CANDIDATE, identity(), box, color[:1], mask, 1.0)
