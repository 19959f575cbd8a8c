"""What is shown of a pair: where the view is cut, what is in it, and that both ways show the same."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Query, Region
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.ordering.view import RegionMap, ViewSettings, map_regions, view_pair

TAXONOMY = Taxonomy(
    "street",
    (
        ClassInfo(0, "road", (128, 64, 128), "stuff"),
        ClassInfo(1, "car", (0, 0, 142), "thing"),
    ),
)
WHOLE = ViewSettings(size_hw=(32, 64), around="picture")


def regions(*boxes: tuple[int, int, int, int], size_hw: tuple[int, int] = (64, 128)) -> RegionMap:
    """Lay boxes over each other, the last on top, each with the class of its number's parity."""
    region_map = np.full(size_hw, -1, np.int16)
    label_map = np.full(size_hw, 255, np.uint8)
    for number, (top, left, bottom, right) in enumerate(boxes):
        region_map[top:bottom, left:right] = number
        label_map[top:bottom, left:right] = number % 2
    areas_px = {number: int((region_map == number).sum()) for number in range(len(boxes))}
    return RegionMap(label_map, region_map, dict(enumerate(boxes)), areas_px)


def test_the_whole_picture_is_sampled_at_the_centres() -> None:
    region_map = regions((32, 0, 64, 128), (16, 32, 48, 96))

    seen = view_pair(region_map, 0, 1, WHOLE)

    assert np.array_equal(seen.masks[0], region_map.regions[1::2, 1::2] == 0)
    assert np.array_equal(seen.masks[1], region_map.regions[1::2, 1::2] == 1)
    assert np.array_equal(seen.label_map, region_map.label_map[1::2, 1::2])


def test_places_are_those_of_the_picture() -> None:
    seen = view_pair(regions((32, 0, 64, 128), (16, 32, 48, 96)), 0, 1, WHOLE)

    assert seen.places[0, 0, [0, -1]] == pytest.approx([-63 / 64, 63 / 64])
    assert seen.places[1, [0, -1], 0] == pytest.approx([-31 / 32, 31 / 32])


def test_the_view_is_around_the_smaller_region() -> None:
    # A box of 8x16 with 16 to each side, in a picture where all of that fits.
    region_map = regions((0, 0, 64, 128), (20, 40, 28, 56))
    settings = ViewSettings(size_hw=(40, 48), margin=1.0)

    seen = view_pair(region_map, 0, 1, settings)

    assert np.array_equal(seen.masks[1], region_map.regions[4:44, 24:72] == 1)


def test_a_tiny_region_has_an_eighth_of_the_height_around_it() -> None:
    region_map = regions((0, 0, 64, 128), (30, 60, 32, 62))

    seen = view_pair(region_map, 0, 1, ViewSettings(size_hw=(36, 36)))

    rows = (seen.places[1, :, 0] + 1) * 32
    assert rows[0] == pytest.approx(30 - 8 + 0.25)
    assert rows[-1] == pytest.approx(32 + 8 - 0.25)


def test_the_view_ends_at_the_frame() -> None:
    seen = view_pair(regions((0, 0, 64, 128), (0, 0, 16, 16)), 0, 1, ViewSettings())

    assert seen.places.min() > -1
    assert seen.places[1].max() < 0


def test_both_ways_show_the_same_even_of_equal_regions() -> None:
    region_map = regions((10, 10, 20, 20), (10, 20, 20, 30))

    there = view_pair(region_map, 0, 1, ViewSettings())
    back = view_pair(region_map, 1, 0, ViewSettings())

    assert np.array_equal(there.masks, back.masks[::-1])
    assert np.array_equal(there.label_map, back.label_map)
    assert np.array_equal(there.places, back.places)
    assert np.array_equal(there.extents, back.extents[::-1])


@pytest.mark.parametrize("thin", [(10, 33, 60, 34), (3, 0, 4, 128), (50, 100, 51, 101)])
def test_no_mask_is_empty(thin: tuple[int, int, int, int]) -> None:
    seen = view_pair(regions((0, 0, 64, 128), thin), 0, 1, WHOLE)

    rows, columns = np.nonzero(seen.masks[1])
    assert len(rows) > 0
    assert (np.abs(2 * rows + 1 - np.clip(2 * rows + 1, thin[0], thin[2])) <= 2).all()
    assert (np.abs(2 * columns + 1 - np.clip(2 * columns + 1, thin[1], thin[3])) <= 2).all()


def test_what_is_outside_of_the_view_is_drawn_at_its_edge() -> None:
    region_map = regions((2, 2, 6, 6), (30, 100, 60, 128))

    seen = view_pair(region_map, 0, 1, ViewSettings(size_hw=(32, 32)))

    assert seen.masks[1, -1, -1]
    assert np.count_nonzero(seen.masks[1]) == 1


def test_cuts_and_mirrors_are_of_the_seed() -> None:
    region_map = regions((32, 0, 64, 128), (16, 32, 48, 96))

    def seen(seed: int) -> NDArray[np.float32]:
        random = np.random.default_rng(seed)
        return view_pair(region_map, 0, 1, WHOLE, random=random, zoom=0.5).places

    assert np.array_equal(seen(3), seen(3))
    spans = [float(np.ptp(seen(seed)[1])) for seed in range(20)]
    assert min(spans) >= 2 * 0.5 * 31 / 32 - 1e-6
    assert max(spans) <= 2 * 31 / 32


def test_a_mirrored_view_is_that_of_the_mirrored_picture() -> None:
    region_map = regions((32, 0, 64, 128), (16, 16, 48, 64))
    mirrored = regions((32, 0, 64, 128), (16, 64, 48, 112))
    views = [
        view_pair(region_map, 0, 1, WHOLE, random=np.random.default_rng(seed)) for seed in range(9)
    ]

    plain, turned = view_pair(region_map, 0, 1, WHOLE), view_pair(mirrored, 0, 1, WHOLE)

    for name in ("masks", "label_map", "places", "extents"):
        options = [getattr(plain, name), getattr(turned, name)]
        assert all(any(np.allclose(getattr(v, name), o) for o in options) for v in views)
    assert {bool(np.allclose(view.extents, turned.extents)) for view in views} == {True, False}


def test_extents_are_boxes_and_areas_of_the_picture() -> None:
    seen = view_pair(regions((32, 0, 64, 128), (16, 32, 48, 96)), 0, 1, ViewSettings())

    assert seen.extents[1] == pytest.approx([-0.5, -0.5, 0.5, 0.5, 0.5 * np.log(0.25)])
    # The other one is partly hidden: its box is whole, its area is not.
    assert seen.extents[0] == pytest.approx([0, -1, 1, 1, 0.5 * np.log(0.375)])


def test_queries_are_drawn_by_their_number() -> None:
    layout = Layout(np.zeros((4, 6), np.uint8), np.zeros((4, 6), np.int32), TAXONOMY)
    left = Query(3, Region(0, 0, (0, 0, 4, 2), np.ones((4, 2), bool), True), layout)
    right = Query(5, Region(1, 0, (1, 3, 3, 6), np.ones((2, 3), bool), True), layout)

    found = map_regions([left, right])

    assert found.regions.tolist() == [
        [3, 3, -1, -1, -1, -1],
        [3, 3, -1, 5, 5, 5],
        [3, 3, -1, 5, 5, 5],
        [3, 3, -1, -1, -1, -1],
    ]
    assert found.boxes == {3: (0, 0, 4, 2), 5: (1, 3, 3, 6)}
    assert found.areas_px == {3: 8, 5: 6}


def test_no_queries_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no queries to draw, expected at least 1"):
        map_regions([])


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"size_hw is \(16, 64\), .* at least 32"):
        ViewSettings(size_hw=(16, 64))
    with pytest.raises(ValueError, match='around is \'pair\', expected "smaller" or "picture"'):
        ViewSettings(around="pair")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="margin is -1, expected at least 0"):
        ViewSettings(margin=-1)
