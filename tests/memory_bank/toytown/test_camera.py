import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenequilt.memory_bank.toytown.camera import Camera, clip_near


def straight_camera() -> Camera:
    return Camera((100, 200), 100.0, (100.0, 40.0), 1.5, 0.0)


def test_a_point_of_the_ground_lies_below_the_horizon_by_focal_times_height_over_depth() -> None:
    pixel = straight_camera().project(np.array([2.0, 0.0, 10.0]))

    np.testing.assert_allclose(pixel, (100 + 100 * 2 / 10, 40 + 100 * 1.5 / 10))


def test_a_turn_to_the_right_moves_the_street_to_the_left() -> None:
    turned = Camera((100, 200), 100.0, (100.0, 40.0), 1.5, 0.1)

    assert turned.project(np.array([0.0, 1.5, 10.0]))[0] < 100


@given(
    x=st.floats(-8, 8),
    y=st.floats(0, 6),
    z=st.floats(5, 60),
    yaw=st.floats(-0.2, 0.2),
)
def test_a_plane_gives_back_the_depth_of_its_points(
    x: float, y: float, z: float, yaw: float
) -> None:
    camera = Camera((100, 200), 100.0, (100.0, 40.0), 1.5, yaw)
    corners = np.array([(x, y, z), (x + 3, y, z + 1), (x + 3, y + 2, z + 1)])
    seen = camera.to_camera(corners)

    a, b, c = camera.inverse_depth_plane(seen)

    pixels = camera.to_pixels(seen)
    if abs(np.linalg.det(seen)) > 1e-3:  # else the plane is seen edge-on
        inverse = a * pixels[:, 0] + b * pixels[:, 1] + c
        np.testing.assert_allclose(1 / inverse, seen[:, 2], rtol=1e-6)


def test_the_ground_grid_is_where_its_points_project() -> None:
    camera = Camera((60, 80), 90.0, (41.0, 20.0), 1.6, -0.07)

    x, z = camera.ground_grid(30)

    points = np.stack([x, np.zeros_like(x), z], axis=-1).astype(float)
    pixels = camera.project(points)
    columns, rows = np.meshgrid(np.arange(80) + 0.5, np.arange(30, 60) + 0.5)
    np.testing.assert_allclose(pixels[..., 0], columns, atol=1e-3)
    np.testing.assert_allclose(pixels[..., 1], rows, atol=1e-3)


@pytest.mark.parametrize(("behind", "corners"), [(0, 3), (1, 4), (2, 3), (3, 0)])
def test_what_is_behind_the_camera_is_cut_off(behind: int, corners: int) -> None:
    triangle = np.array([(0.0, 0.0, 5.0), (1.0, 0.0, 6.0), (0.0, 1.0, 7.0)])
    triangle[:behind, 2] *= -1

    clipped = clip_near(triangle)

    assert len(clipped) == corners
    assert (clipped[:, 2] > 0.39).all()
