"""Blending: only seams change, and outlines only by what is really behind them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.synthesis import blending
from scenequilt.synthesis.blending import BLENDS, Blend, Layer, blend_layers

SIZE = (24, 40)
SOFT: tuple[Blend, ...] = ("feathered", "multiband")


def piece(columns: slice, shade: int, *, reach: slice | None = None, group: int = 0) -> Layer:
    """Return a layer of one shade over some columns, with colour over others too."""
    offered = np.zeros(SIZE, np.bool_)
    offered[:, columns] = True
    own = offered.copy()
    if reach is not None:
        own[:, reach] = True
    color = np.full((*SIZE, 3), shade, np.uint8)
    return Layer((0, 0, *SIZE), color, own, offered, group)


def halves(group: int = 0) -> list[Layer]:
    left = piece(slice(0, 20), 100, reach=slice(0, 40))
    return [left, piece(slice(20, 40), 160, reach=slice(0, 40), group=group)]


def step(image: NDArray[np.uint8]) -> int:
    """Return the greatest jump from one column to the next."""
    return int(np.abs(np.diff(image[12, :, 0].astype(int))).max())


@pytest.mark.parametrize("how", SOFT)
def test_a_seam_within_a_region_becomes_a_slope(how: Blend) -> None:
    blended = blend_layers(halves(), [0, 1], SIZE, how=how, band_px=6)

    assert step(blended.image) <= 15


@pytest.mark.parametrize("how", BLENDS)
def test_pixels_beyond_the_band_stay_bit_by_bit(how: Blend) -> None:
    blended = blend_layers(halves(), [0, 1], SIZE, how=how, band_px=4)

    assert (blended.image[:, :15] == 100).all()
    assert (blended.image[:, 25:] == 160).all()


@pytest.mark.parametrize("how", BLENDS)
def test_what_is_not_mixed_is_what_its_layer_holds(how: Blend) -> None:
    rng = np.random.default_rng(3)
    layers = halves()
    for layer in layers:
        layer.color[:] = rng.integers(0, 256, layer.color.shape)

    blended = blend_layers(layers, [0, 1], SIZE, how=how, band_px=4)

    hard = np.where(layers[1].offered[..., None], layers[1].color, layers[0].color)
    assert (blended.image[~blended.mixed] == hard[~blended.mixed]).all()


def test_hard_mixes_nothing() -> None:
    blended = blend_layers(halves(), [0, 1], SIZE, how="hard", band_px=6)

    assert not blended.mixed.any()
    assert step(blended.image) == 60


@pytest.mark.parametrize("how", SOFT)
def test_equal_colours_stay_equal(how: Blend) -> None:
    layers = [
        piece(slice(0, 20), 90, reach=slice(0, 40)),
        piece(slice(20, 40), 90, reach=slice(0, 40)),
    ]

    blended = blend_layers(layers, [0, 1], SIZE, how=how, band_px=6)

    assert (blended.image == 90).all()


@pytest.mark.parametrize("how", SOFT)
def test_without_overlap_there_is_nothing_to_mix(how: Blend) -> None:
    layers = [piece(slice(0, 20), 100), piece(slice(20, 40), 160)]

    blended = blend_layers(layers, [0, 1], SIZE, how=how, band_px=6)

    assert not blended.mixed.any()


def test_an_outline_is_softened_inwards_by_one_pixel_only() -> None:
    ground = piece(slice(0, 40), 100)
    thing = piece(slice(10, 30), 200, group=1)

    image = blend_layers([ground, thing], [0, 1], SIZE, how="feathered", band_px=6).image

    assert (image[:, :10] == 100).all(), "an object lends its surroundings nothing"
    assert (image[1:-1, 10] < 200).all() and (image[1:-1, 10] > 150).all()
    assert (image[:, 11:29] == 200).all()


def test_a_pole_one_pixel_wide_stays_mostly_pole() -> None:
    layers = [piece(slice(0, 40), 200), piece(slice(20, 21), 0, group=1)]

    image = blend_layers(layers, [0, 1], SIZE, how="feathered", band_px=6).image

    assert (image[:, 20] <= 70).all()


def test_nothing_is_black_where_no_layer_is() -> None:
    blended = blend_layers([piece(slice(0, 20), 90)], [0], SIZE, how="multiband", band_px=6)

    assert (blended.image[:, 20:] == 0).all()


def test_an_unknown_blend_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"no blend 'soft'; there are hard, feathered, multiband"):
        blend_layers(halves(), [0, 1], SIZE, how="soft", band_px=6)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", BLENDS)
def test_a_group_of_the_very_same_arrays_is_taken_from_before(how: Blend) -> None:
    layers = [*halves(), piece(slice(5, 15), 30, group=1)]
    earlier = blend_layers(layers, [0, 1, 2], SIZE, how=how, band_px=6)
    moved = [*layers[:2], piece(slice(7, 17), 30, group=4)]

    blended = blend_layers(moved, [0, 1, 2], SIZE, how=how, band_px=6, earlier=earlier)

    whole = blend_layers(moved, [0, 1, 2], SIZE, how=how, band_px=6)
    assert np.array_equal(blended.image, whole.image)
    assert np.array_equal(blended.mixed, whole.mixed)
    assert blended.sheets[0] is earlier.sheets[0]
    assert blended.sheets[1] is not earlier.sheets[1]


def test_pieces_in_another_order_are_joined_anew() -> None:
    layers = halves()
    earlier = blend_layers(layers, [0, 1], SIZE, how="multiband", band_px=6)

    blended = blend_layers(layers, [1, 0], SIZE, how="multiband", band_px=6, earlier=earlier)

    assert blended.sheets[0] is not earlier.sheets[0]


def test_a_seam_is_mixed_as_by_pyramids_over_all_of_the_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = (160, 400)
    rng = np.random.default_rng(0)
    layers = []
    for columns, reach in ((slice(0, 203), slice(0, 230)), (slice(203, 400), slice(180, 400))):
        offered, own = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        offered[:, columns] = own[:, reach] = True
        color = rng.integers(0, 256, (*size, 3), np.uint8)
        layers.append(Layer((0, 0, *size), color, own, offered, 0))

    windowed = blend_layers(layers, [0, 1], size, how="multiband", band_px=10)

    monkeypatch.setattr(blending, "PYRAMID_MARGIN", 1000)
    whole = blend_layers(layers, [0, 1], size, how="multiband", band_px=10)
    assert np.array_equal(windowed.image, whole.image)
