"""Zones: stuff goes on behind things."""

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.synthesis.zones import NO_ZONE, stuff_zones, zone_labels

TAXONOMY = Taxonomy(
    "three",
    (
        ClassInfo(0, "sky", (0, 0, 1), "stuff"),
        ClassInfo(1, "road", (0, 1, 0), "stuff"),
        ClassInfo(2, "car", (1, 0, 0), "thing"),
    ),
)


def test_behind_a_car_the_horizon_stays_level(make_street: Callable[..., Layout]) -> None:
    layout = make_street(horizon=16, car=(12, 18))
    queries = extract_queries(layout)

    behind = zone_labels(stuff_zones(layout, queries), queries)

    assert (behind[:16] == 0).all()
    assert (behind[16:] == 1).all()


def test_a_layout_without_stuff_has_no_zone() -> None:
    layout = Layout(np.full((4, 6), 2, np.uint8), np.ones((4, 6), np.int32), TAXONOMY)
    queries = extract_queries(layout)

    zones = stuff_zones(layout, queries)

    assert (zones == NO_ZONE).all()
    assert (zone_labels(zones, queries) == VOID).all()


@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.sampled_from([0, 1, 2, VOID]),
    )
)
def test_stuff_keeps_its_own_pixels_and_every_pixel_gets_a_zone(label_map: np.ndarray) -> None:
    layout = Layout(label_map, (label_map == 2).astype(np.int32), TAXONOMY)
    queries = extract_queries(layout)

    zones = stuff_zones(layout, queries)

    stuff = label_map < 2
    assert (zone_labels(zones, queries)[stuff] == label_map[stuff]).all()
    assert (zones != NO_ZONE).all() == stuff.any()
