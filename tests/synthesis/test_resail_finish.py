"""The finish by the retrieval-guided generator: what it leaves alone, and what it says of the rest."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.composition import Composition, PixelState
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.finish import ClosedFinish, NoFinish
from scenequilt.synthesis.finishing import PaintedFinish
from scenequilt.synthesis.painting import UNCHANGED, PaintingNetwork, before_network
from scenequilt.synthesis.recompose import swap
from scenequilt.synthesis.resail import ResailGenerator, ResailSettings
from scenequilt.synthesis.resail_finish import Kept, ResailFinish
from scenequilt.synthesis.stages import Bank, ComposeSettings

MakeLayout = Callable[..., Layout]

ELISION = ElisionSettings(inner_band=0.04, outer_band=0.04)
SETTINGS = ComposeSettings(elision=ELISION)
TINY = ResailSettings(channels=(8, 8, 4), hidden=(4, 4, 4), encoder=(6, 4, 4))
PLAIN = before_network(transfer=None, blend="hard")
"""Leaves the canvas as it is."""

EVERY = pytest.mark.parametrize("kept", ["exact", "harmonise", "free"])


def _network() -> ResailGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ResailGenerator(3, TINY).eval()
        nn.init.normal_(network.rgb.weight, std=0.3)
    return network


class Brighter(ResailGenerator):
    """Gives every canvas back, so many steps of 255 brighter, and green where there is none."""

    steps = 0

    def forward(
        self, layout: Tensor, canvas: Tensor, coverage: Tensor, elided: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See ResailGenerator."""
        green = canvas.new_tensor([0, 1, 0]).view(1, 3, 1, 1)
        moved = (canvas + self.steps / 255).clamp(0, 1)
        return torch.where(coverage, moved, green), canvas.new_zeros(1)


def _brighter(steps: int) -> Brighter:
    network = Brighter(3, TINY).eval()
    network.steps = steps
    return network


def _composed(
    layout: Layout,
    bank: Bank,
    network: ResailGenerator | None = None,
    *,
    kept: Kept = "exact",
    before: ClosedFinish = PLAIN,
    elides: bool = True,
    margin_px: int = 1,
    radius: float = 0.2,
) -> Composition:
    network = network or _network()
    finish = ResailFinish(network, ELISION, before, elides, kept, margin_px, radius)
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


def _keep(made: Composition, margin_px: int = 1, *, elides: bool = True) -> NDArray[np.bool_]:
    """Return the kept pixels another way: a loop over all that lie around."""
    gone = ~made.coverage | (made.elided & elides)
    ownership = made.ownership
    for rows, columns in ((1, 0), (0, 1)):
        change = ownership[rows:, columns:] != ownership[: -rows or None, : -columns or None]
        gone[rows:, columns:] |= change
        gone[: -rows or None, : -columns or None] |= change
    around = np.zeros_like(gone)
    for row, column in np.argwhere(gone):
        above, left = max(row - margin_px, 0), max(column - margin_px, 0)
        around[above : row + margin_px + 1, left : column + margin_px + 1] = True
    return ~around


def test_kept_pixels_are_the_canvas_bit_for_bit_and_copied(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    made = _composed(layout, street_bank)

    keep = _keep(made)
    assert made.finish_name == "resail"
    assert keep.mean() > 0.1
    assert np.array_equal(made.image[keep], canvas.image[keep])
    assert (made.state[keep] == PixelState.COPIED).all()


@pytest.mark.parametrize("margin_px", [1, 2, 3])
def test_only_kept_pixels_are_left_alone_whatever_the_network_paints(
    layout: Layout, street_bank: Bank, canvas: Composition, margin_px: int
) -> None:
    made = _composed(layout, street_bank, _brighter(60), margin_px=margin_px)

    present = made.coverage & ~made.elided & (canvas.image.max(axis=2) < 190)
    same = (made.image == canvas.image).all(axis=2)
    assert np.array_equal(same & present, _keep(made, margin_px) & present)


def test_outside_of_what_is_kept_the_canvas_fades(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    """With a margin of 2 a third and two thirds of the way to the network's picture."""
    made = _composed(layout, street_bank, _brighter(60), margin_px=2)

    keep = _keep(made, 2).astype(np.uint8)
    steps = [cv2.dilate(keep, np.ones((size, size), np.uint8)) > 0 for size in (1, 3, 5)]
    present = made.coverage & ~made.elided & (canvas.image.max(axis=2) < 190)
    change = made.image.astype(int) - canvas.image
    for inner, outer, expected in ((0, 1, 20), (1, 2, 40)):
        ring = steps[outer] & ~steps[inner] & present
        assert ring.any()
        assert (change[ring] == expected).all()
    assert (change[~steps[2] & present] == 60).all()


def test_what_was_open_or_elided_is_synthesised_in_every_mode(
    layout: Layout, street_bank: Bank
) -> None:
    modes: tuple[Kept, ...] = ("exact", "harmonise", "free")
    for kept in modes:
        made = _composed(layout, street_bank, kept=kept)

        touched = made.elided | ~made.coverage
        assert made.elided.any()
        assert (~made.coverage).any()
        assert (made.state[touched] == PixelState.SYNTHESISED).all()


def test_what_came_before_is_kept_with_its_state(layout: Layout, street_bank: Bank) -> None:
    """In the style of a white photograph, so that something has to move."""
    style, before = np.full((8, 8, 3), 235, np.uint8), before_network()
    finishes = before, ResailFinish(_network(), ELISION, before, margin_px=1)
    prepared, made = (
        compose(layout, street_bank, finish=each, settings=SETTINGS, style=style)
        for each in finishes
    )

    keep = _keep(made)
    assert np.array_equal(made.image[keep], prepared.image[keep])
    assert np.array_equal(made.state[keep], prepared.state[keep])
    assert {PixelState.RECOLOURED} <= set(made.state[keep].tolist())


@EVERY
def test_a_copied_pixel_has_the_bytes_of_its_segment(
    layout: Layout, street_bank: Bank, canvas: Composition, kept: Kept
) -> None:
    made = _composed(layout, street_bank, kept=kept, before=before_network())

    copied = made.state == PixelState.COPIED
    assert np.array_equal(made.image[copied], canvas.image[copied])
    assert made.coverage[copied].all()


def test_harmonising_moves_all_that_is_kept_by_a_like_amount(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    """A change that is the same everywhere is slow: all of it is taken over."""
    made = _composed(layout, street_bank, _brighter(-20), kept="harmonise")

    keep = _keep(made)
    assert canvas.image[keep].min() >= 20, "nothing is clipped"
    assert (made.image[keep].astype(int) - canvas.image[keep] == -20).all()
    assert (made.state[keep] == PixelState.RECOLOURED).all()


def test_harmonising_keeps_the_grain_of_the_canvas(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    """Differences between neighbours are the canvas's, while their level is the network's."""
    moved = {
        kept: _composed(layout, street_bank, kept=kept).image.astype(int) - canvas.image
        for kept in ("harmonise", "free")
    }
    keep = _keep(canvas)
    both = keep[:, 1:] & keep[:, :-1]

    steps = {kept: np.abs(np.diff(change, axis=1))[both].mean() for kept, change in moved.items()}
    levels = {kept: change[keep].mean() for kept, change in moved.items()}
    assert steps["harmonise"] < 0.2 * steps["free"]
    assert levels["harmonise"] == pytest.approx(levels["free"], abs=3)


@pytest.mark.parametrize("steps", [0, UNCHANGED, UNCHANGED + 1])
def test_a_free_finish_takes_what_the_network_paints(
    layout: Layout, street_bank: Bank, canvas: Composition, steps: int
) -> None:
    """But for a change that nobody sees."""
    made = _composed(layout, street_bank, _brighter(steps), kept="free")

    present = made.coverage & ~made.elided & (canvas.image.max(axis=2) < 230)
    step = 0 if steps <= UNCHANGED else steps
    assert (made.image[present].astype(int) - canvas.image[present] == step).all()


def test_no_elision_leaves_borders_to_the_network_all_the_same(
    layout: Layout, street_bank: Bank, canvas: Composition
) -> None:
    made = _composed(layout, street_bank, _brighter(60), elides=False)

    keep = _keep(made, elides=False)
    present = made.coverage & (canvas.image.max(axis=2) < 190)
    same = (made.image == canvas.image).all(axis=2)
    assert keep.sum() > _keep(made).sum()
    assert np.array_equal(same & present, keep & present)


@EVERY
def test_a_finish_changes_no_owner_and_covers_no_more(
    layout: Layout, street_bank: Bank, canvas: Composition, kept: Kept
) -> None:
    made = _composed(layout, street_bank, kept=kept)

    assert np.array_equal(made.ownership, canvas.ownership)
    assert np.array_equal(made.coverage, canvas.coverage)
    assert np.array_equal(made.delivered.instance_map, canvas.delivered.instance_map)
    assert made.sources == canvas.sources


@EVERY
def test_the_same_seed_gives_the_same_bytes(layout: Layout, street_bank: Bank, kept: Kept) -> None:
    first, second = (
        _composed(layout, street_bank, kept=kept, before=before_network()) for _ in range(2)
    )

    assert first.image.tobytes() == second.image.tobytes()
    assert first.state.tobytes() == second.state.tobytes()


def test_after_a_swap_it_is_what_it_would_be_anew(layout: Layout, street_bank: Bank) -> None:
    finish = ResailFinish(_network(), ELISION, PLAIN, margin_px=1)
    assert isinstance(finish, PaintedFinish)
    made = compose(layout, street_bank, finish=finish, settings=SETTINGS)
    car = next(query.query_id for query in made.queries if query.class_id == 2)

    swapped = swap(made, street_bank, car)

    assert swapped.groundwork is not None
    again = finish.finish(swapped.groundwork.canvas, swapped.groundwork.surroundings, seed=0)
    assert np.array_equal(swapped.image, again.image)
    assert np.array_equal(swapped.state, again.state)


def test_the_layout_may_be_of_any_size(make_street: MakeLayout, street_bank: Bank) -> None:
    layout = make_street(horizon=15, car=(16, 22), size_hw=(37, 51))

    assert _composed(layout, street_bank).image.shape == (37, 51, 3)


def test_the_network_is_one_that_paints() -> None:
    assert isinstance(_network(), PaintingNetwork)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kept": "all"}, "kept is 'all', expected exact, harmonise, free"),
        ({"margin_px": 0}, "margin_px is 0, expected at least 1"),
        ({"radius": 0.0}, "radius is 0.0, expected more than 0"),
    ],
)
def test_a_finish_out_of_range_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResailFinish(_network(), ELISION, **changes)  # type: ignore[arg-type]
