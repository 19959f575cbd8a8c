import numpy as np
import pytest

from scenequilt.memory_bank.toytown.textures import asphalt, bricks, cut, grass, slabs


def test_a_cut_larger_than_its_tile_repeats_it() -> None:
    tile = np.arange(12, dtype=np.uint8).reshape(3, 4)

    piece = cut(tile, (6, 8), 0)

    np.testing.assert_array_equal(piece, np.tile(tile, (2, 2)))


@pytest.mark.parametrize("place", [0, 1, 977, 123456, 2**31 - 1])
def test_a_cut_has_the_size_asked_for(place: int) -> None:
    assert cut(asphalt(), (31, 300), place).shape == (31, 300)


@pytest.mark.parametrize("tile", [asphalt(), grass(), slabs(), bricks((18, 25))])
def test_tiles_leave_the_mean_colour_about_as_it_is(tile: np.ndarray) -> None:
    assert tile.mean() == pytest.approx(128, abs=10)


def test_tiles_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        asphalt()[0, 0] = 1
