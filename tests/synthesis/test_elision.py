"""Elision: a mask along borders, never a colour."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.ordering.orderer import Order
from scenequilt.synthesis.canvas import Canvas, paste
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.elision import ElisionSettings, elide_borders, is_ground
from scenequilt.synthesis.stages import Bank


@pytest.fixture(scope="module")
def canvas(make_street: Callable[..., Layout], street_bank: Bank) -> Canvas:
    made = compose(make_street(), street_bank)
    return paste(made.placed, made.order, made.requested, made.queries)


def test_inner_elision_stays_within_the_band(canvas: Canvas) -> None:
    settings = ElisionSettings(inner_band=0.04, inner_ratio=(1.0, 1.0), outer_band=0.0, overhang=0)

    elided = elide_borders(canvas, seed=0, settings=settings)

    own = canvas.ownership
    beside = np.zeros(own.shape, np.bool_)
    beside[1:] |= own[1:] != own[:-1]
    beside[:-1] |= own[1:] != own[:-1]
    assert elided[beside].all()
    assert not elided[:4].any() and not elided[-4:, :4].any()


def test_the_ratio_is_the_share_of_the_band(canvas: Canvas) -> None:
    full = ElisionSettings(inner_ratio=(1.0, 1.0), outer_band=0.0)
    half = ElisionSettings(inner_ratio=(0.5, 0.5), outer_band=0.0)

    share = (
        elide_borders(canvas, seed=0, settings=half).sum()
        / elide_borders(canvas, seed=0, settings=full).sum()
    )

    assert 0.4 < share < 0.7


def test_without_bands_nothing_is_elided(canvas: Canvas) -> None:
    settings = ElisionSettings(inner_band=0.0, inner_ratio=(0.0, 0.0), outer_band=0.0)

    assert not elide_borders(canvas, seed=0, settings=settings).any()


def test_outer_elision_takes_ground_beside_a_car_and_nothing_above_it(canvas: Canvas) -> None:
    settings = ElisionSettings(inner_band=0.0, inner_ratio=(0.0, 0.0), outer_band=0.1)

    elided = elide_borders(canvas, seed=0, settings=settings)

    assert elided.any()
    assert (canvas.delivered.label_map[elided] == 1).all()
    cars = np.nonzero(canvas.delivered.label_map == 2)
    assert np.nonzero(elided)[0].min() >= cars[0].min()


def test_the_same_seed_elides_the_same(canvas: Canvas) -> None:
    assert np.array_equal(elide_borders(canvas, seed=3), elide_borders(canvas, seed=3))
    assert not np.array_equal(elide_borders(canvas, seed=3), elide_borders(canvas, seed=4))


def test_the_canvas_is_not_changed(canvas: Canvas) -> None:
    before = canvas.color.copy()

    elide_borders(canvas, seed=0)

    assert np.array_equal(canvas.color, before)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"inner_ratio": (0.8, 0.4)}, r"inner_ratio must be rising within \[0, 1\]"),
        ({"outer_band": -0.1}, r"outer_band must not be negative, got -0.1"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ElisionSettings(**wrong)


def test_ground_is_known_by_longer_names_too() -> None:
    names = ("pavement_merged", "lane_marking", "wall_brick", "sky_other_merged", "floor_wood")
    classes = tuple(ClassInfo(n, name, (0, 0, 0), "stuff") for n, name in enumerate(names))

    ground = is_ground(Taxonomy("coco", classes))

    assert ground[: len(names)].tolist() == [True, True, False, False, True]
    assert ground[VOID]


def test_another_piece_of_one_query_changes_nothing_elsewhere(canvas: Canvas) -> None:
    # It lies behind everything, so that no border moves.
    placed = [canvas.placed[0], replace(canvas.placed[0]), *canvas.placed[1:]]
    order = tuple(place + (place > 0) for place in canvas.order.back_to_front)
    queries = extract_queries(canvas.delivered)
    again = paste(
        placed,
        replace(cast(Order, canvas.order), back_to_front=(1, *order)),
        canvas.delivered,
        queries,
    )

    before, now = elide_borders(canvas, seed=4), elide_borders(again, seed=4)

    assert not np.array_equal(again.ownership, canvas.ownership)
    assert np.array_equal(now, before)
