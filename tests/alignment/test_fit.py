"""Closed-form fits against boxes and masks whose answer is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenequilt.alignment.affine import (
    compose,
    identity,
    rotation,
    scaling,
    take_apart,
    transform,
)
from scenequilt.alignment.fit import (
    MaskMoments,
    fit_boxes,
    fit_frame,
    fit_moments,
    fit_shift,
    fit_visible_sides,
    moments_of,
)
from scenequilt.memory_bank.segment import Box


def box_after(matrix: np.ndarray, box: Box) -> list[float]:
    top, left, bottom, right = box
    corners = transform(matrix, np.array([[left, top], [right, bottom]], np.float64))
    (x0, y0), (x1, y1) = corners.tolist()
    return [y0, x0, y1, x1]


def boxes(limit: int = 100) -> st.SearchStrategy[Box]:
    sides = st.tuples(st.integers(0, limit - 1), st.integers(0, limit - 1))
    sizes = st.tuples(st.integers(1, limit), st.integers(1, limit))
    return st.builds(
        lambda start, size: (
            start[0],
            start[1],
            min(start[0] + size[0], limit),
            min(start[1] + size[1], limit),
        ),
        sides,
        sizes,
    )


@settings(deadline=None)  # the first example may compile
@given(boxes(), boxes())
def test_box_fit_takes_box_onto_box(query_box: Box, segment_box: Box) -> None:
    fit = fit_boxes(query_box, segment_box)

    assert box_after(fit, segment_box) == pytest.approx(list(query_box), abs=1e-9)


def test_an_empty_box_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"segment_box \(3, 3, 3, 9\) is empty"):
        fit_boxes((0, 0, 4, 4), (3, 3, 3, 9))


def test_frame_fit_takes_photograph_onto_layout() -> None:
    fit = fit_frame((100, 400), (50, 100))

    assert box_after(fit, (0, 0, 50, 100)) == pytest.approx([0, 0, 100, 400])


def test_frame_fit_between_equal_sizes_is_the_identity() -> None:
    np.testing.assert_array_equal(fit_frame((30, 40), (30, 40)), identity())


def test_moments_of_a_rectangle_are_those_of_the_textbook() -> None:
    mask = np.ones((4, 6), bool)

    moments = moments_of(mask, (10, 20, 14, 26))

    assert moments.area_px == 24
    assert moments.centroid_xy == pytest.approx((23, 12))
    assert moments.variance_x == pytest.approx(6**2 / 12)
    assert moments.variance_y == pytest.approx(4**2 / 12)
    assert moments.covariance == pytest.approx(0)


def test_the_widest_spread_of_a_diagonal_runs_along_it() -> None:
    moments = moments_of(np.eye(20, dtype=bool), (0, 0, 20, 20))

    assert math.degrees(moments.axis_rad) == pytest.approx(45)
    assert moments.spreads[0] > 5 * moments.spreads[1]


def test_mirrored_moments_are_those_of_the_mirrored_mask() -> None:
    mask = np.tri(6, 9, dtype=bool)

    mirrored = moments_of(mask, (0, 2, 6, 11)).mirrored(axis_x=10)

    expected = moments_of(mask[:, ::-1], (0, 9, 6, 18))
    assert mirrored.centroid_xy == pytest.approx(expected.centroid_xy)
    assert mirrored.covariance == pytest.approx(expected.covariance)
    assert mirrored.variance_x == pytest.approx(expected.variance_x)


def test_an_empty_mask_has_no_moments() -> None:
    with pytest.raises(ValueError, match=r"mask over box \(0, 0, 2, 2\) has no pixel set"):
        moments_of(np.zeros((2, 2), bool), (0, 0, 2, 2))


def test_moments_refuse_a_mask_that_is_not_the_boxs_size() -> None:
    with pytest.raises(ValueError, match=r"is \(2, 2\), but mask is \(3, 2\)"):
        moments_of(np.ones((3, 2), bool), (0, 0, 2, 2))


def test_moment_fit_finds_scale_and_place_of_a_rectangle() -> None:
    segment = moments_of(np.ones((4, 6), bool), (0, 0, 4, 6))
    query = moments_of(np.ones((8, 18), bool), (5, 7, 13, 25))

    fit = fit_moments(query, segment)

    assert box_after(fit, (0, 0, 4, 6)) == pytest.approx([5, 7, 13, 25])


@settings(deadline=None)  # the first example may compile
@given(st.floats(-1.5, 1.5), st.floats(0.5, 2), st.floats(-50, 50))
def test_moment_fit_with_turn_finds_the_turn(angle: float, scale: float, shift: float) -> None:
    segment = MaskMoments(100, (10, 20), 90, 10, 0)
    motion = compose(rotation(angle), scaling(scale, scale))
    linear = motion[:, :2]
    spread = linear @ np.diag([90, 10]) @ linear.T
    query = MaskMoments(
        100 * scale**2,
        (10 + shift, 20),
        float(spread[0, 0]),
        float(spread[1, 1]),
        float(spread[0, 1]),
    )

    fit = fit_moments(query, segment, rotate=True)

    np.testing.assert_allclose(fit[:, :2], linear, atol=1e-6)
    np.testing.assert_allclose(transform(fit, np.array([[10.0, 20.0]])), [[10 + shift, 20]])


def test_moment_fit_takes_the_smaller_of_two_turns() -> None:
    upright = MaskMoments(100, (0, 0), 10, 90, 1.0)
    leaning = MaskMoments(100, (0, 0), 10, 90, -1.0)

    fit = fit_moments(upright, leaning, rotate=True)

    assert abs(math.degrees(take_apart(fit).rotation_rad)) < 5


def test_shift_joins_the_centroids_by_whole_pixels() -> None:
    segment = MaskMoments(4, (10.0, 10.0), 1, 1, 0)
    query = MaskMoments(4, (13.4, 9.8), 1, 1, 0)

    fit = fit_shift(query, segment, identity())

    assert fit.tolist() == [[1, 0, 3], [0, 1, 0]]


@settings(deadline=None)  # the first example may compile
@given(boxes(98), boxes(98))
def test_with_nothing_cut_visible_sides_are_the_box_fit(query_box: Box, segment_box: Box) -> None:
    def inner(box: Box) -> Box:
        return (box[0] + 1, box[1] + 1, box[2] + 1, box[3] + 1)

    fit = fit_visible_sides(inner(query_box), inner(segment_box), (100, 100), (100, 100))

    np.testing.assert_allclose(
        fit.target_from_source, fit_boxes(inner(query_box), inner(segment_box)), atol=1e-9
    )


def test_a_whole_car_overflows_the_border_that_cuts_the_query() -> None:
    query_box = (40, 0, 60, 20)  # 20 high, 20 of its width in sight
    segment_box = (10, 30, 30, 70)  # 20 high, 40 wide, whole

    fit = fit_visible_sides(query_box, segment_box, (100, 100), (100, 100))

    assert box_after(fit.target_from_source, segment_box) == pytest.approx([40, -20, 60, 20])


def test_a_car_cut_on_the_right_is_placed_by_its_left_side() -> None:
    fit = fit_visible_sides((40, 80, 60, 100), (10, 30, 30, 70), (100, 100), (100, 100))

    assert box_after(fit.target_from_source, (10, 30, 30, 70)) == pytest.approx([40, 80, 60, 120])


def test_two_cars_cut_at_the_same_side_meet_at_the_border() -> None:
    fit = fit_visible_sides((40, 0, 60, 20), (10, 0, 30, 40), (100, 100), (100, 100))

    assert box_after(fit.target_from_source, (10, 0, 30, 40)) == pytest.approx([40, 0, 60, 20])


def test_a_query_cut_at_two_corners_keeps_the_size_it_has_in_the_frame() -> None:
    query_box = (70, 0, 100, 30)

    fit = fit_visible_sides(query_box, (10, 10, 70, 60), (100, 100), (100, 100))

    assert box_after(fit.target_from_source, (10, 10, 70, 60)) == pytest.approx([70, -20, 130, 30])


def test_a_query_cut_at_two_corners_is_covered() -> None:
    query_box = (60, 0, 100, 80)

    fit = fit_visible_sides(query_box, (10, 10, 30, 50), (100, 100), (100, 100))

    top, left, bottom, right = box_after(fit.target_from_source, (10, 10, 30, 50))
    assert (top, right) == pytest.approx((60, 80))
    assert bottom >= 100
    assert left <= 0
