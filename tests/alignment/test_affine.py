"""Affine matrices: known answers, there and back, OpenCV's convention."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from scenequilt.alignment.affine import (
    at_pixel_centers,
    compose,
    identity,
    invert,
    is_whole_pixel_shift,
    mirroring,
    put_together,
    rotation,
    scaling,
    take_apart,
    through,
    transform,
    translation,
)

NUMBERS = st.floats(-50, 50)
SCALES = st.floats(0.2, 5)
ANGLES = st.floats(-3, 3)


@st.composite
def matrices(draw: st.DrawFn) -> NDArray[np.float64]:
    """Draw any turn, stretch, mirror and move."""
    matrix = compose(
        translation(draw(NUMBERS), draw(NUMBERS)),
        rotation(draw(ANGLES)),
        scaling(draw(SCALES), draw(SCALES)),
        rotation(draw(ANGLES)),
    )
    return compose(matrix, mirroring(draw(NUMBERS))) if draw(st.booleans()) else matrix


def moved(matrix: NDArray[np.float64], x: float, y: float) -> list[float]:
    (point,) = transform(matrix, np.array([[x, y]])).tolist()
    return [float(value) for value in point]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (identity(), [3, 4]),
        (translation(10, -1), [13, 3]),
        (scaling(2, 3), [6, 12]),
        (scaling(2, 3, center_xy=(3, 4)), [3, 4]),
        (scaling(2, 3, center_xy=(2, 4)), [4, 4]),
        (mirroring(5), [7, 4]),
        (rotation(math.pi / 2), [-4, 3]),
        (rotation(math.pi, center_xy=(3, 5)), [3, 6]),
    ],
)
def test_constructors_move_the_point_3_4(
    matrix: NDArray[np.float64], expected: list[float]
) -> None:
    assert moved(matrix, 3, 4) == pytest.approx(expected)


def test_composition_applies_the_last_matrix_first() -> None:
    chain = compose(translation(1, 0), scaling(2, 2))

    assert moved(chain, 3, 4) == pytest.approx([7, 8])


@given(matrices(), NUMBERS, NUMBERS)
def test_there_and_back_is_the_identity(matrix: NDArray[np.float64], x: float, y: float) -> None:
    there = moved(matrix, x, y)

    assert moved(invert(matrix), *there) == pytest.approx([x, y], abs=1e-6)


@given(matrices(), matrices(), matrices())
def test_composition_is_associative(
    first: NDArray[np.float64], second: NDArray[np.float64], third: NDArray[np.float64]
) -> None:
    np.testing.assert_allclose(
        compose(compose(first, second), third),
        compose(first, compose(second, third)),
        rtol=1e-6,
        atol=1e-6,
    )


@given(matrices(), NUMBERS, NUMBERS)
def test_parts_put_together_are_the_matrix(matrix: NDArray[np.float64], x: float, y: float) -> None:
    there = moved(matrix, x, y)

    again = put_together(take_apart(matrix), (x, y), (there[0], there[1]))

    np.testing.assert_allclose(again, matrix, atol=1e-6)


def test_parts_of_a_mirrored_stretched_turn_are_those_it_was_made_of() -> None:
    matrix = compose(rotation(0.3), scaling(4, 1), mirroring(7))

    parts = take_apart(matrix)

    assert parts.scale == pytest.approx(2)
    assert parts.stretch == pytest.approx(4)
    assert parts.rotation_rad == pytest.approx(0.3)
    assert parts.mirrored


def test_through_moves_one_point_and_keeps_the_linear_part() -> None:
    matrix = through(scaling(2, 3), (1, 1), (10, 20))

    assert moved(matrix, 1, 1) == pytest.approx([10, 20])
    assert matrix[:, :2].tolist() == [[2, 0], [0, 3]]


def test_identity_through_opencv_loses_no_row_or_column() -> None:
    image = np.random.default_rng(0).integers(1, 255, (5, 7), dtype=np.uint8)

    same = cv2.warpAffine(
        image, at_pixel_centers(identity()), (7, 5), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )

    np.testing.assert_array_equal(same, image)


def test_doubling_through_opencv_repeats_pixels_evenly() -> None:
    image = np.array([[10, 20]], np.uint8)
    source_from_target = scaling(0.5, 1)

    twice = cv2.warpAffine(
        image,
        at_pixel_centers(source_from_target),
        (4, 1),
        flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
    )

    assert twice.tolist() == [[10, 10, 20, 20]]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (translation(3, -2), True),
        (translation(3.5, 0), False),
        (scaling(1.01, 1), False),
        (mirroring(4), False),
    ],
)
def test_whole_pixel_shifts_are_known(matrix: NDArray[np.float64], expected: bool) -> None:
    assert is_whole_pixel_shift(matrix) is expected


def test_a_flat_matrix_has_no_inverse() -> None:
    with pytest.raises(ValueError, match="has no inverse: its determinant is 0"):
        invert(scaling(0, 1))


def test_a_flat_matrix_is_not_taken_apart() -> None:
    with pytest.raises(ValueError, match="cannot be taken apart: its determinant is 0"):
        take_apart(scaling(0, 1))


def test_points_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"points_xy must be \(N, 2\), got \(2,\)"):
        transform(identity(), np.array([1.0, 2.0]))


def test_a_matrix_of_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"to_from must be \(2, 3\), got \(3, 3\)"):
        transform(np.eye(3), np.zeros((1, 2)))
