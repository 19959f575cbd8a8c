"""View: what of a layout the network is shown, and the maps there and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenequilt.alignment.affine import compose, identity, invert, transform, translation
from scenequilt.alignment.view import View, ViewSettings

RNG = np.random.default_rng(0)
COLOR = RNG.integers(0, 256, (40, 48, 3), dtype=np.uint8)
MASK = RNG.random((40, 48)) < 0.5
PLAIN = View.of((16, 16, 48, 48), (64, 80), ViewSettings(size_hw=(32, 32), margin=0.0))
"""A view whose pixels are those of rows and columns 16 to 48 of a layout of 64x80."""


def corners(view: View) -> list[list[float]]:
    """Return the layout's points at the upper left and lower right of a view."""
    ends = transform(view.layout_from_view, np.array([[-1.0, -1.0], [1.0, 1.0]]))
    size = np.array([[0.0, 0.0], [view.size_hw[1], view.size_hw[0]]])
    np.testing.assert_allclose(transform(view.layout_from_pixels, size), ends, atol=1e-9)
    listed: list[list[float]] = ends.tolist()
    return listed


def test_a_window_goes_a_margin_beyond_the_box() -> None:
    view = View.of((10, 20, 30, 60), (100, 100), ViewSettings(size_hw=(32, 64), margin=0.25))

    assert view.size_hw == (32, 64)
    assert corners(view) == [[10, 5], [70, 35]]


def test_the_whole_layout_is_what_the_paper_shows() -> None:
    view = View.of((10, 20, 30, 60), (90, 120), ViewSettings(whole_layout=True))

    assert corners(view) == [[0, 0], [120, 90]]


def test_a_shift_by_a_quarter_of_the_window_is_half_a_unit() -> None:
    view = View.of((0, 0, 40, 80), (100, 100), ViewSettings(margin=0.0))

    np.testing.assert_allclose(view.in_view(translation(20, 0)), translation(0.5, 0), atol=1e-12)
    np.testing.assert_allclose(view.in_layout(translation(0, 0.5)), translation(0, 10), atol=1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_maps_go_there_and_back(values: list[float]) -> None:
    view = View.of((3, 5, 24, 60), (70, 90), ViewSettings())
    matrix = np.array(values).reshape(2, 3)

    np.testing.assert_allclose(view.in_layout(view.in_view(matrix)), matrix, atol=1e-9)


def test_a_view_of_the_layouts_pixels_is_a_piece_of_it() -> None:
    label_map = RNG.integers(0, 5, (64, 80)).astype(np.uint8)

    color, mask = PLAIN.segment(COLOR, MASK, (10, 20, 50, 68), identity())

    where = np.zeros((64, 80), bool)
    where[10:50, 20:68] = MASK
    photograph = np.zeros((64, 80, 3), np.uint8)
    photograph[10:50, 20:68] = COLOR
    np.testing.assert_array_equal(mask, where[16:48, 16:48])
    np.testing.assert_array_equal(color, (photograph * where[..., None])[16:48, 16:48])
    np.testing.assert_array_equal(PLAIN.mask(MASK, (10, 20, 50, 68)), where[16:48, 16:48])
    np.testing.assert_array_equal(PLAIN.label_map(label_map), label_map[16:48, 16:48])
    assert PLAIN.inside((64, 80)).all()


def test_a_segment_is_shown_where_it_is_read_from() -> None:
    _, mask = PLAIN.segment(COLOR, MASK, (0, 0, 40, 48), translation(-20, -10))

    where = np.zeros((64, 80), bool)
    where[10:50, 20:68] = MASK
    np.testing.assert_array_equal(mask, where[16:48, 16:48])


def test_what_lies_beyond_the_border_is_void_and_not_inside() -> None:
    view = View.of((32, 0, 64, 32), (64, 80), ViewSettings(size_hw=(64, 64), margin=0.5))
    label_map = np.full((64, 80), 3, np.uint8)

    inside = view.inside((64, 80))

    assert inside[:48, 16:].all()
    assert not inside[48:].any() and not inside[:, :16].any()
    np.testing.assert_array_equal(view.label_map(label_map), np.where(inside, 3, 255))


def test_a_segment_outside_of_the_view_is_not_there() -> None:
    color, mask = PLAIN.segment(COLOR, MASK, (0, 0, 40, 48), translation(500, 0))

    assert not mask.any() and not color.any()


def test_a_large_segment_is_averaged_rather_than_sampled() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[::2] = 200
    view = View.of((0, 0, 256, 256), (256, 256), ViewSettings(size_hw=(32, 32), margin=0.0))

    color, _ = view.segment(stripes, np.ones((256, 256), bool), (0, 0, 256, 256), identity())

    assert abs(color.astype(int) - 100).max() <= 1


def test_a_map_within_the_view_moves_what_is_shown() -> None:
    """What is composed after a placement is what the view shows after the same map there."""
    shift = PLAIN.in_layout(translation(0.25, 0))  # a quarter of 16 px

    _, mask = PLAIN.segment(COLOR, MASK, (10, 20, 50, 68), compose(identity(), shift))
    _, before = PLAIN.segment(COLOR, MASK, (10, 20, 50, 68), identity())

    np.testing.assert_array_equal(mask[:, :-4], before[:, 4:])
    np.testing.assert_allclose(invert(shift), translation(-4, 0), atol=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size_hw": (16, 64)}, r"size_hw is \(16, 64\), expected at least 32"),
        ({"margin": -0.1}, r"margin is -0.1, expected 0 to 2 boxes"),
    ],
)
def test_views_that_cannot_be_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViewSettings(**values)  # type: ignore[arg-type]
