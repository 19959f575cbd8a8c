"""The finish by the synthesis network: what state a pixel is in, and that it never lies."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.composition import Composition, PixelState
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.finish import ClosedFinish, NoFinish
from scenequilt.synthesis.network import CanvasGenerator, CanvasGeneratorSettings
from scenequilt.synthesis.painting import REPAINTED, UNCHANGED, before_network
from scenequilt.synthesis.sims_finish import SimsFinish
from scenequilt.synthesis.stages import Bank, ComposeSettings

MakeLayout = Callable[..., Layout]

ELISION = ElisionSettings(inner_band=0.06, outer_band=0.06)
SETTINGS = ComposeSettings(elision=ELISION)


def _network(*, brighter: float = 0, draw: bool = False) -> CanvasGenerator:
    """Return a network that makes of a canvas the canvas, so many steps of 255 brighter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CanvasGenerator(3, CanvasGeneratorSettings(width=0.01)).eval()
        nn.init.constant_(network.rgb.bias, brighter / 255)  # type: ignore[arg-type]
        if draw:
            nn.init.normal_(network.rgb.weight, std=0.1)
    return network


PLAIN = before_network(transfer=None, blend="hard")
"""Leaves the canvas as it is."""


def _composed(
    layout: Layout,
    bank: Bank,
    network: CanvasGenerator,
    *,
    before: ClosedFinish = PLAIN,
    elides: bool = True,
) -> Composition:
    finish = SimsFinish(network, ELISION, before, elides)
    return compose(layout, bank, finish=finish, settings=SETTINGS)


@pytest.fixture
def layout(make_street: MakeLayout) -> Layout:
    """A street with a void corner and a car that nothing in the bank quite fits."""
    street = make_street(horizon=14, car=(13, 30))
    label_map = street.label_map.copy()
    label_map[26:, 40:] = VOID
    return replace(street, label_map=label_map)


@pytest.fixture
def canvas(layout: Layout, street_bank: Bank) -> Composition:
    """The same without a finish: the image is the canvas."""
    return compose(layout, street_bank, finish=NoFinish(), settings=SETTINGS)


def _touched(made: Composition) -> NDArray[np.bool_]:
    return made.elided | ~made.coverage


def test_a_network_that_changes_nothing_copies_all_but_what_was_taken_out(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    made = _composed(layout, street_bank, _network())

    kept = ~_touched(made)
    assert made.finish_name == "sims"
    assert kept.any()
    assert (made.state[kept] == PixelState.COPIED).all()
    assert np.array_equal(made.image[kept], canvas.image[kept])
    assert np.array_equal(made.elided, canvas.elided)


@pytest.mark.parametrize("brighter", [0, -255])
def test_what_was_open_or_elided_is_synthesised(
    layout: Layout, street_bank: Bank, brighter: int
) -> None:
    """Even where it is painted as it was before: an open pixel black, an elided one its segment's."""
    made = _composed(layout, street_bank, _network(brighter=brighter))

    assert made.elided.any()
    assert (~made.coverage).any()
    assert (made.state[_touched(made)] == PixelState.SYNTHESISED).all()


def test_a_copied_pixel_has_the_bytes_of_its_segment(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    made = _composed(layout, street_bank, _network(draw=True), before=before_network())

    copied = made.state == PixelState.COPIED
    assert np.array_equal(made.image[copied], canvas.image[copied])
    assert (made.coverage[copied]).all()


def test_a_pixel_that_is_not_copied_has_other_bytes(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    made = _composed(layout, street_bank, _network(brighter=20))

    other = made.coverage & (made.state != PixelState.COPIED)
    assert (made.image[other] != canvas.image[other]).any(axis=1).all()


@pytest.mark.parametrize(
    ("brighter", "state"),
    [
        (UNCHANGED, PixelState.COPIED),
        (UNCHANGED + 1, PixelState.RECOLOURED),
        (REPAINTED, PixelState.RECOLOURED),
        (REPAINTED + 1, PixelState.SYNTHESISED),
    ],
)
def test_how_far_a_pixel_goes_decides_what_it_is(
    layout: Layout, street_bank: Bank, canvas: Composition, brighter: int, state: PixelState
) -> None:
    made = _composed(layout, street_bank, _network(brighter=brighter))

    # Road and car are dark enough to get so much brighter without being clipped.
    dark = ~_touched(made) & (canvas.image.max(axis=2) < 255 - brighter)
    assert dark.any()
    assert (made.state[dark] == state).all()
    step = 0 if state == PixelState.COPIED else brighter
    assert (made.image[dark].astype(int) - canvas.image[dark] == step).all()


def test_what_the_colour_transfer_moves_is_recoloured(layout: Layout, street_bank: Bank) -> None:
    """In the style of a white photograph, so that something has to move."""
    style = np.full((8, 8, 3), 235, np.uint8)
    moving = before_network(blend="hard")

    moved, unmoved = (
        compose(
            layout,
            street_bank,
            finish=SimsFinish(_network(), ELISION, before),
            settings=SETTINGS,
            style=style,
        )
        for before in (moving, PLAIN)
    )

    changed = ~_touched(moved) & (moved.image != unmoved.image).any(axis=2)
    assert changed.any()
    assert (moved.state[changed] == PixelState.RECOLOURED).all()


@pytest.mark.parametrize(
    ("brighter", "kept"), [(UNCHANGED, True), (REPAINTED, True), (REPAINTED + 1, False)]
)
def test_what_was_blended_before_stays_so_until_it_is_painted_anew(
    layout: Layout, street_bank: Bank, brighter: int, kept: bool
) -> None:
    """With nothing elided, or nothing would be left of what is mixed across seams."""
    before = before_network(transfer=None, blend="feathered")
    mixed = compose(layout, street_bank, finish=before, settings=SETTINGS)

    made = _composed(layout, street_bank, _network(brighter=brighter), before=before, elides=False)

    blended = mixed.state == PixelState.BLENDED
    blended &= mixed.image.max(axis=2) < 255 - brighter
    assert blended.any()
    expected = PixelState.BLENDED if kept else PixelState.SYNTHESISED
    assert (made.state[blended] == expected).all()


def test_no_elision_lets_the_network_see_all_that_is_covered(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    made = _composed(layout, street_bank, _network(), elides=False)

    assert made.elided.any(), "the record says what would have been"
    assert (made.state[made.coverage] == PixelState.COPIED).all()
    assert np.array_equal(made.image[made.coverage], canvas.image[made.coverage])


def test_where_nothing_was_pasted_it_delivers_what_was_wanted(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    made = _composed(layout, street_bank, _network())

    delivered, pasted = made.delivered.label_map, canvas.delivered.label_map
    there = pasted != VOID
    filled = ~there & (delivered != VOID)
    assert filled.any()
    assert np.array_equal(delivered[there], pasted[there])
    asked = filled & (layout.label_map != VOID)
    # Stuff goes on behind objects that the bank has none for.
    stuff = asked & (layout.label_map != 2)
    assert np.array_equal(delivered[stuff], layout.label_map[stuff])
    assert np.array_equal(made.delivered.instance_map, canvas.delivered.instance_map)


def test_a_finish_changes_no_owner_and_covers_no_more(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    made = _composed(layout, street_bank, _network(draw=True))

    assert np.array_equal(made.ownership, canvas.ownership)
    assert np.array_equal(made.coverage, canvas.coverage)
    assert made.sources == canvas.sources


def test_the_same_seed_gives_the_same_bytes(layout: Layout, street_bank: Bank) -> None:
    first, second = (
        _composed(layout, street_bank, _network(draw=True), before=before_network())
        for _ in range(2)
    )

    assert first.image.tobytes() == second.image.tobytes()
    assert first.state.tobytes() == second.state.tobytes()


def test_bfloat16_paints_nearly_the_same(layout: Layout, street_bank: Bank) -> None:
    exact = _composed(layout, street_bank, _network(draw=True))
    rough = _composed(layout, street_bank, _network(draw=True).to(torch.bfloat16))

    apart = np.abs(exact.image.astype(int) - rough.image)
    assert apart.max() <= 6
    assert apart.mean() < 1


def test_the_layout_may_be_of_any_size(make_street: MakeLayout, street_bank: Bank) -> None:
    layout = make_street(horizon=15, car=(16, 22), size_hw=(37, 51))

    made = _composed(layout, street_bank, _network(draw=True))

    assert made.image.shape == (37, 51, 3)
