import numpy as np

from scenequilt.memory_bank.toytown.camera import Camera
from scenequilt.memory_bank.toytown.light import rgb
from scenequilt.memory_bank.toytown.painter import Painter

SQUARE = np.array([(2.0, 1.0), (6.0, 1.0), (6.0, 5.0), (2.0, 5.0)])


def small_painter() -> Painter:
    return Painter(Camera((8, 8), 8.0, (4.0, 3.0), 1.5, 0.0))


def test_what_was_never_drawn_belongs_to_nobody_and_has_no_depth() -> None:
    surfaces = small_painter().surfaces()

    assert not surfaces.object_map.any()
    assert not surfaces.depth_m.any()


def test_a_filled_square_owns_its_pixels_at_its_depth() -> None:
    painter = small_painter()
    painter.begin_object(7)
    painter.begin_board(12.0)

    painter.fill(SQUARE, rgb(200, 100, 50))

    surfaces = painter.surfaces()
    inside = surfaces.object_map == 7
    assert inside[1:5, 2:6].all()
    assert inside.sum() <= 25
    np.testing.assert_allclose(surfaces.depth_m[inside], 12.0)
    assert painter.picture()[3, 4].tolist() == [200, 100, 50]


def test_the_later_of_two_owns_what_both_cover() -> None:
    painter = small_painter()
    for object_id, depth_m in ((1, 20.0), (2, 5.0)):
        painter.begin_object(object_id)
        painter.begin_board(depth_m)
        painter.fill(SQUARE + object_id, rgb(9, 9, 9))

    surfaces = painter.surfaces()

    assert surfaces.object_map[4, 5] == 2
    assert surfaces.depth_m[4, 5] == 5.0
    assert surfaces.object_map[2, 3] == 1


def test_more_surfaces_than_the_tables_begin_with_keep_their_objects() -> None:
    painter = small_painter()
    for object_id in range(1, 700):
        painter.begin_object(object_id)
        painter.begin_board(float(object_id))
    painter.fill(SQUARE, rgb(1, 2, 3))

    assert painter.surfaces().object_map.max() == 699


def test_the_ground_under_a_pixel_is_as_far_as_the_pinhole_says() -> None:
    painter = small_painter()
    painter.begin_object(1)
    corners = np.array([(-50.0, 0.0, 1.0), (50.0, 0.0, 1.0), (50.0, 0.0, 90.0), (-50.0, 0.0, 90.0)])

    painter.fill_in_street(corners, rgb(90, 90, 90))

    # One sample a pixel, a quarter of a pixel below its upper edge.
    row = 6
    expected = 8.0 * 1.5 / (row + 0.25 - 3.0)
    np.testing.assert_allclose(painter.surfaces().depth_m[row], expected, rtol=1e-5)


def test_a_texture_lands_upright_and_unmirrored() -> None:
    painter = Painter(Camera((16, 16), 16.0, (8.0, 8.0), 1.5, 0.0))
    painter.begin_object(1)
    texture = np.zeros((4, 4, 3), np.uint8)
    texture[:2, :2] = 250  # upper left
    corners = np.array([(-2.0, 3.5, 4.0), (2.0, 3.5, 4.0), (2.0, -0.5, 4.0), (-2.0, -0.5, 4.0)])

    painter.paste_in_street(texture, corners)

    picture = painter.picture()
    assert picture[3, 3, 0] > 200
    assert picture[3, 12, 0] < 50
    assert picture[12, 3, 0] < 50


def test_modulation_leaves_other_objects_alone() -> None:
    painter = small_painter()
    painter.begin_object(1)
    painter.begin_board(9.0)
    painter.fill(SQUARE - 2, rgb(100, 100, 100))
    painter.begin_object(2)
    painter.begin_board(4.0)
    painter.fill(SQUARE, rgb(100, 100, 100))

    painter.modulate(np.array([(0.0, 0.0), (8.0, 8.0)]), np.full((4, 4), 64, np.uint8))

    picture = painter.picture()
    assert picture[3, 4].tolist() == [50, 50, 50]
    assert picture[0, 0].tolist() == [100, 100, 100]
