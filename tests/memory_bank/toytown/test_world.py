import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scenequilt.memory_bank.toytown.light import make_light
from scenequilt.memory_bank.toytown.world import (
    Footprint,
    box_shadow,
    convex_hull,
    ellipse,
    stream,
)


def test_the_hull_of_a_square_leaves_out_what_is_inside() -> None:
    points = np.array([(0, 0), (2, 0), (1, 1), (2, 2), (0, 2), (1, 0)], float)

    assert convex_hull(points).tolist() == [[0, 0], [2, 0], [2, 2], [0, 2]]


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=12))
def test_no_point_is_outside_of_its_hull(points: list[tuple[int, int]]) -> None:
    hull = convex_hull(np.array(points, float))

    for corner, following in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        side = following - corner
        offset = np.array(points) - corner
        assert (side[0] * offset[:, 1] - side[1] * offset[:, 0] >= -1e-9).all()


def test_an_ellipse_touches_its_box() -> None:
    outline = ellipse((5, 1), (3, 2), 16)

    np.testing.assert_allclose(outline.min(axis=0), (2, -1), atol=1e-9)
    np.testing.assert_allclose(outline.max(axis=0), (8, 3), atol=1e-9)


def test_the_shadow_of_a_box_holds_its_foot_and_its_moved_top() -> None:
    light = make_light("noon", "clear", np.random.default_rng(1))

    shadow = box_shadow(Footprint(0, 2, 4, 7), 3.0, light)

    x, z = light.shadow_offset(3.0)
    low, high = shadow.min(axis=0), shadow.max(axis=0)
    np.testing.assert_allclose(low, (min(0, x), min(4, 4 + z)))
    np.testing.assert_allclose(high, (max(2, 2 + x), max(7, 7 + z)))


def test_streams_of_one_seed_differ_and_repeat() -> None:
    assert stream(5, 1).random() == stream(5, 1).random()
    assert stream(5, 1).random() != stream(5, 2).random()


def test_footprints_overlap_when_they_are_closer_than_the_margin() -> None:
    car = Footprint(0, 2, 4, 8)

    assert car.overlaps(Footprint(1.5, 3, 7, 9))
    assert not car.overlaps(Footprint(2.2, 3, 4, 8))
    assert car.overlaps(Footprint(2.2, 3, 4, 8), margin_m=0.3)
