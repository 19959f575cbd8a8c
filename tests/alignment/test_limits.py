"""Limits: what they allow, and what clamping leaves in place."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenequilt.alignment.affine import (
    compose,
    identity,
    mirroring,
    rotation,
    scaling,
    take_apart,
    transform,
    translation,
)
from scenequilt.alignment.limits import (
    STUFF_LIMITS,
    THIN_LIMITS,
    THING_LIMITS,
    LimitsByKind,
    PlacementLimits,
)
from scenequilt.memory_bank.taxonomy import ClassInfo

LIMITS = PlacementLimits(
    max_enlargement=2.0, max_reduction=4.0, max_stretch=1.5, max_rotation_deg=5.0
)


@pytest.mark.parametrize(
    ("matrix", "allowed"),
    [
        (identity(), True),
        (translation(500, 0), True),
        (scaling(2, 2), True),
        (scaling(2.1, 2.1), False),
        (scaling(0.25, 0.25), True),
        (scaling(0.24, 0.24), False),
        (scaling(1.5, 1), True),
        (scaling(1.6, 1), False),
        (rotation(math.radians(4.9)), True),
        (rotation(math.radians(-5.1)), False),
        (mirroring(100), True),
    ],
)
def test_limits_hold_on_both_sides(matrix: np.ndarray, allowed: bool) -> None:
    assert LIMITS.allows(matrix, identity()) is allowed


def test_scale_is_relative_to_the_frame() -> None:
    frame = scaling(0.1, 0.1)

    assert LIMITS.allows(scaling(0.2, 0.2), frame)
    assert not LIMITS.allows(scaling(1, 1), frame)


def test_square_pixels_are_no_stretch_in_a_frame_of_another_shape() -> None:
    frame = scaling(2, 1)

    assert LIMITS.allows(scaling(1.4, 1.4), frame)
    assert LIMITS.allows(frame, frame)


@settings(deadline=None)  # the first example may compile
@given(
    st.tuples(st.floats(0.05, 20), st.floats(0.05, 20)),
    st.floats(-3, 3),
    st.floats(-3, 3),
    st.booleans(),
    st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    st.tuples(st.floats(-100, 100), st.floats(-100, 100)),
)
def test_what_is_clamped_is_allowed_and_holds_its_point(
    scale_xy: tuple[float, float],
    before: float,
    after: float,
    mirrored: bool,
    frame_xy: tuple[float, float],
    fixed_xy: tuple[float, float],
) -> None:
    matrix = compose(translation(3, 4), rotation(after), scaling(*scale_xy), rotation(before))
    if mirrored:
        matrix = compose(matrix, mirroring(10))
    frame = scaling(*frame_xy)

    clamped = LIMITS.clamp(matrix, frame, fixed_xy)

    assert LIMITS.allows(clamped, frame)
    point = np.array([fixed_xy])
    np.testing.assert_allclose(
        transform(clamped, point), transform(matrix, point), rtol=1e-6, atol=1e-6
    )


def test_clamping_leaves_an_allowed_map_alone() -> None:
    matrix = scaling(1.3, 1.1)

    np.testing.assert_array_equal(LIMITS.clamp(matrix, identity(), (0, 0)), matrix)


def test_clamping_a_stretch_keeps_the_area() -> None:
    clamped = LIMITS.clamp(scaling(2, 0.5), identity(), (0, 0))

    parts = take_apart(clamped)
    assert parts.scale == pytest.approx(1)
    assert parts.stretch == pytest.approx(1.5)


def test_a_turn_is_clamped_to_the_largest_allowed() -> None:
    clamped = LIMITS.clamp(rotation(-1.0), identity(), (0, 0))

    assert math.degrees(take_apart(clamped).rotation_rad) == pytest.approx(-5)


def test_an_objects_proportions_are_held_tighter_than_a_textures() -> None:
    assert THING_LIMITS.max_stretch < STUFF_LIMITS.max_stretch < THIN_LIMITS.max_stretch


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (ClassInfo(0, "road", (0, 0, 0), "stuff"), STUFF_LIMITS),
        (ClassInfo(0, "car", (0, 0, 0), "thing"), THING_LIMITS),
        (ClassInfo(0, "pole", (0, 0, 0), "thing", thin=True), THIN_LIMITS),
        (ClassInfo(0, "pole", (0, 0, 0), "stuff", thin=True), THIN_LIMITS),
    ],
)
def test_limits_go_by_the_kind_of_class(entry: ClassInfo, expected: PlacementLimits) -> None:
    assert LimitsByKind().of(entry) is expected


@pytest.mark.parametrize("name", ["max_enlargement", "max_reduction", "max_stretch"])
def test_a_ratio_below_one_is_refused_by_name(name: str) -> None:
    values = {"max_enlargement": 2.0, "max_reduction": 2.0, "max_stretch": 2.0, name: 0.5}

    with pytest.raises(ValueError, match=f"{name} is 0.5, expected a finite ratio of at least 1"):
        PlacementLimits(**values, max_rotation_deg=0)


def test_an_impossible_angle_is_refused() -> None:
    with pytest.raises(ValueError, match="max_rotation_deg is 200, expected 0 to 180"):
        PlacementLimits(2, 2, 2, 200)


def test_a_turn_too_small_to_be_squared_is_clamped_like_others() -> None:
    """Its square is 0, which the compiled hypotenuse once divided by."""
    frame = scaling(2.0, 1.0)
    turned = compose(translation(3, 4), scaling(2.0, 1.0), rotation(1.588204443099643e-222))

    clamped = LIMITS.clamp(turned, frame, (0.0, 0.0))

    assert LIMITS.allows(clamped, frame)
