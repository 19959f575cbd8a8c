"""Simulated coarse annotation: what is left out, what stays, and that it is right."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.memory_bank.toytown import render_scene
from scenequilt.synthesis.completion.coarse import CoarseSettings, simulate_coarse

EXACT = CoarseSettings(
    erode=(0.0, 0.0), simplify=(0.0, 0.0), smallest=(0.0, 0.0), drop_things=0.0, drop_stuff=0.0,
    blobs=(0, 0),
)  # fmt: skip


def _coarse(layout: Layout, settings: CoarseSettings, seed: int = 0) -> Layout:
    return simulate_coarse(layout, settings, np.random.default_rng(seed))


def _layout(label_map: NDArray[np.uint8], taxonomy: Taxonomy) -> Layout:
    return Layout(label_map, np.zeros(label_map.shape, np.int32), taxonomy)


def test_an_annotator_with_all_the_time_draws_what_is_there(street: Layout) -> None:
    coarse = _coarse(street, EXACT)

    np.testing.assert_array_equal(coarse.label_map, street.label_map)
    np.testing.assert_array_equal(coarse.instance_map, street.instance_map)


def test_polygons_keep_their_distance_from_borders_but_not_from_the_frame(
    taxonomy: Taxonomy,
) -> None:
    label_map = np.zeros((100, 60), np.uint8)
    label_map[50:] = 1

    coarse = _coarse(_layout(label_map, taxonomy), replace(EXACT, erode=(0.05, 0.05)))

    void = coarse.label_map == VOID
    np.testing.assert_array_equal(void.any(axis=1), (np.arange(100) >= 45) & (np.arange(100) < 55))
    assert void[45:55].all()


def test_narrow_things_are_drawn_too(street: Layout) -> None:
    coarse = _coarse(street, replace(EXACT, erode=(0.1, 0.1)))

    assert (coarse.label_map == 3).any()


def test_objects_are_left_out_whole(street: Layout) -> None:
    coarse = _coarse(street, replace(EXACT, drop_things=1.0))

    assert not np.isin(coarse.label_map, (2, 3)).any()
    assert not coarse.instance_map.any()
    np.testing.assert_array_equal(coarse.label_map == VOID, street.instance_map > 0)


def test_stuff_is_left_out_whole(street: Layout) -> None:
    coarse = _coarse(street, replace(EXACT, drop_stuff=1.0))

    np.testing.assert_array_equal(coarse.label_map == VOID, street.label_map < 2)


def test_small_pieces_are_left_out_and_small_holes_drawn_over(taxonomy: Taxonomy) -> None:
    label_map = np.ones((40, 50), np.uint8)
    label_map[10:13, 10:13] = 2  # 9 pixels of 2000
    label_map[20:30, 20:30] = 2  # 100 pixels

    coarse = _coarse(_layout(label_map, taxonomy), replace(EXACT, smallest=(0.01, 0.01)))

    assert (coarse.label_map[10:13, 10:13] == 1).all()
    assert (coarse.label_map[20:30, 20:30] == 2).all()


def test_a_bay_that_opens_to_the_frame_is_no_hole(taxonomy: Taxonomy) -> None:
    label_map = np.ones((40, 50), np.uint8)
    label_map[0:3, 10:13] = VOID

    coarse = _coarse(_layout(label_map, taxonomy), replace(EXACT, smallest=(0.01, 0.01)))

    assert (coarse.label_map[0:3, 10:13] == VOID).all()


def test_blobs_make_void(street: Layout) -> None:
    coarse = _coarse(street, replace(EXACT, blobs=(3, 3), blob_radius=(0.1, 0.2)))

    share = (coarse.label_map == VOID).mean()
    assert 0.005 < share < 0.3
    assert not coarse.instance_map[coarse.label_map == VOID].any()


def test_polygons_have_fewer_corners_the_coarser_they_are(taxonomy: Taxonomy) -> None:
    rows, columns = np.mgrid[:100, :100]
    label_map = np.where(np.hypot(rows - 50, columns - 50) < 40, 1, VOID).astype(np.uint8)

    coarse = _coarse(_layout(label_map, taxonomy), replace(EXACT, simplify=(0.2, 0.2)))

    # A disc drawn with sides that stray by 20 pixels is a polygon of few corners, well inside.
    area = np.count_nonzero(coarse.label_map == 1) / np.count_nonzero(label_map == 1)
    assert 0.4 < area < 0.9


def test_what_is_drawn_depends_on_the_seed_alone(street: Layout) -> None:
    first, again, other = (_coarse(street, CoarseSettings(), seed) for seed in (4, 4, 5))

    np.testing.assert_array_equal(first.label_map, again.label_map)
    assert (first.label_map != other.label_map).any()


def test_towns_are_labelled_by_two_thirds_and_nearly_right() -> None:
    shares, right = [], []
    for seed in range(4):
        town = render_scene(seed, (128, 256)).layout
        coarse = _coarse(town, CoarseSettings(), seed).label_map
        shares.append((coarse != VOID).mean())
        right.append((coarse == town.label_map)[coarse != VOID].mean())

    assert 0.6 < np.mean(shares) < 0.8
    assert np.mean(right) > 0.97


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"erode": (0.2, 0.1)}, r"erode is \(0.2, 0.1\), expected least and greatest"),
        ({"blobs": (-1, 2)}, r"blobs is \(-1, 2\), expected least and greatest"),
        ({"drop_things": 1.5}, "drop_things is 1.5, expected a chance from 0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CoarseSettings(**change)
