"""Completing layouts: what is labelled stays, void is filled, objects are numbered."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.synthesis.completion.coarse import CoarseSettings, simulate_coarse
from scenequilt.synthesis.completion.completer import (
    LayoutCompleter,
    NearestCompleter,
    fill_void,
)
from scenequilt.synthesis.completion.network import CompletionNet, CompletionNetSettings

TINY = CompletionNetSettings(modules=3, width=1 / 256, start="nearest")


class SaysAlways(CompletionNet):
    """Holds one class for sure, three of four, whatever it is shown."""

    def __init__(self, class_id: int) -> None:
        super().__init__(4, TINY)
        self.said = class_id
        self.seen_hw = (0, 0)

    def forward(self, coarse: Tensor, nearest: Tensor) -> Tensor:
        """Return logits whose softmax is 0.75 for the class, the rest divided evenly."""
        height, width = coarse.shape[-2:]
        self.seen_hw = (height, width)
        logits = torch.zeros(len(coarse), 4, height, width)
        logits[:, self.said] = np.log(9.0)
        return logits


def _layout(rows: list[list[int]], numbers: list[list[int]], taxonomy: Taxonomy) -> Layout:
    return Layout(np.array(rows, np.uint8), np.array(numbers, np.int32), taxonomy)


def _coarse(street: Layout) -> Layout:
    return simulate_coarse(street, CoarseSettings(), np.random.default_rng(3))


def _completer(network: CompletionNet, taxonomy: Taxonomy, height_px: int = 32) -> LayoutCompleter:
    return LayoutCompleter(network, taxonomy, height_px=height_px)


@pytest.mark.parametrize("learned", [False, True])
def test_what_is_labelled_stays_and_no_void_is_left(street: Layout, learned: bool) -> None:
    coarse = _coarse(street)
    network = CompletionNet(4, TINY)
    completer = _completer(network, street.taxonomy) if learned else NearestCompleter()

    completed = completer.complete(coarse)

    given = coarse.label_map != VOID
    np.testing.assert_array_equal(completed.filled, ~given)
    for before, after in (
        (coarse.label_map, completed.layout.label_map),
        (coarse.instance_map, completed.layout.instance_map),
    ):
        np.testing.assert_array_equal(before[given], after[given])
    assert (completed.layout.label_map != VOID).all()
    is_thing = np.array([False, False, True, True])[completed.layout.label_map]
    assert not completed.layout.instance_map[~is_thing].any()
    assert completed.layout.instance_map[is_thing & completed.filled].all()


def test_a_guess_is_the_networks_and_so_is_its_probability(street: Layout) -> None:
    coarse = _coarse(street)

    completed = _completer(SaysAlways(1), street.taxonomy).complete(coarse)

    void = coarse.label_map == VOID
    assert (completed.layout.label_map[void] == 1).all()
    assert completed.probability is not None
    np.testing.assert_allclose(completed.probability[void], 0.75, rtol=1e-5)
    assert (completed.probability[~void] == 1).all()


def test_the_network_sees_layouts_at_the_height_it_knows_in_their_own_shape(street: Layout) -> None:
    network = SaysAlways(1)

    _completer(network, street.taxonomy, 20).complete(_coarse(street).resized((64, 96)))

    assert network.seen_hw == (20, 30)


def test_the_closed_form_takes_the_nearest_label(taxonomy: Taxonomy) -> None:
    layout = _layout([[0, 255, 255, 255, 1]] * 2, [[0] * 5] * 2, taxonomy)

    completed = NearestCompleter().complete(layout)

    assert completed.probability is None
    np.testing.assert_array_equal(completed.layout.label_map[:, :2], 0)
    np.testing.assert_array_equal(completed.layout.label_map[:, 3:], 1)


def test_depth_stays(street: Layout) -> None:
    depth = np.full(street.size_hw, 3.5, np.float32)
    coarse = _coarse(street)
    deep = Layout(coarse.label_map, coarse.instance_map, coarse.taxonomy, depth)

    completed = _completer(SaysAlways(0), street.taxonomy).complete(deep)

    assert completed.layout.depth_m is depth


def test_a_layout_without_void_comes_back_as_it_is(street: Layout) -> None:
    completed = _completer(SaysAlways(0), street.taxonomy).complete(street)

    assert completed.layout is street
    assert not completed.filled.any()
    assert completed.probability is not None and (completed.probability == 1).all()


def test_filled_pixels_join_the_object_that_they_touch(taxonomy: Taxonomy) -> None:
    layout = _layout(
        [[0, 255, 2, 255, 255, 255, 2, 255, 0]], [[0, 0, 5, 0, 0, 0, 8, 0, 0]], taxonomy
    )
    guess = np.full((1, 9), 2, np.uint8)

    filled = fill_void(layout, guess)

    # The pixel in the middle is as near to the one as to the other; the rest is not.
    np.testing.assert_array_equal(filled.instance_map[0, :4], [0, 5, 5, 5])
    np.testing.assert_array_equal(filled.instance_map[0, 5:], [8, 8, 8, 0])
    assert filled.instance_map[0, 4] in (5, 8)


def test_what_touches_no_object_is_new_each_piece_for_itself(taxonomy: Taxonomy) -> None:
    layout = _layout(
        [[2, 0, 255, 0, 255], [0, 0, 0, 255, 0], [255, 0, 0, 0, 0]],
        [[7, 0, 0, 0, 0], [0] * 5, [0] * 5],
        taxonomy,
    )
    guess = np.full((3, 5), 2, np.uint8)
    guess[0, 4] = 1

    filled = fill_void(layout, guess)

    numbers = filled.instance_map
    assert numbers[0, 0] == 7
    # The two that touch by a corner are one object, the third is another; stuff has none.
    assert numbers[0, 2] == numbers[1, 3] == 8
    assert numbers[2, 0] == 9
    assert numbers[0, 4] == 0


def test_what_touches_a_thing_without_a_number_has_none(taxonomy: Taxonomy) -> None:
    layout = _layout([[2, 255, 0]], [[0, 0, 0]], taxonomy)

    filled = fill_void(layout, np.full((1, 3), 2, np.uint8))

    np.testing.assert_array_equal(filled.label_map, [[2, 2, 0]])
    np.testing.assert_array_equal(filled.instance_map, [[0, 0, 0]])


def test_objects_of_another_class_are_not_joined(taxonomy: Taxonomy) -> None:
    layout = _layout([[3, 255, 0]], [[4, 0, 0]], taxonomy)

    filled = fill_void(layout, np.full((1, 3), 2, np.uint8))

    np.testing.assert_array_equal(filled.instance_map, [[4, 5, 0]])


@pytest.mark.parametrize(
    ("guess", "message"),
    [
        (np.zeros((2, 2), np.uint8), r"guess must be \(1, 3\) uint8, got \(2, 2\)"),
        (
            np.full((1, 3), 4, np.uint8),
            "guess holds 4 where the layout is void, expected .* below 4",
        ),
        (np.full((1, 3), VOID, np.uint8), "guess holds 255 where the layout is void"),
    ],
)
def test_a_guess_that_does_not_fit_is_refused(
    guess: NDArray[np.uint8], message: str, taxonomy: Taxonomy
) -> None:
    with pytest.raises(ValueError, match=message):
        fill_void(_layout([[0, 255, 1]], [[0, 0, 0]], taxonomy), guess)


def test_a_layout_of_other_classes_is_refused_by_name(street: Layout) -> None:
    other = Taxonomy("rooms", (ClassInfo(0, "wall", (1, 2, 3), "stuff"),))
    layout = Layout(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.int32), other)

    with pytest.raises(
        ValueError,
        match="taxonomy 'rooms' with wall, but these weights complete taxonomy 'four' with "
        "sky, road, car, pole; use weights that were trained on the layout's classes",
    ):
        _completer(SaysAlways(0), street.taxonomy).complete(layout)


def test_a_layout_that_is_all_void_has_no_nearest_label(taxonomy: Taxonomy) -> None:
    void = np.full((4, 4), VOID, np.uint8)

    with pytest.raises(ValueError, match="every pixel of the layout is void.*label some of it"):
        NearestCompleter().complete(Layout(void, np.zeros((4, 4), np.int32), taxonomy))


def test_a_network_of_other_classes_or_height_is_refused(taxonomy: Taxonomy) -> None:
    with pytest.raises(ValueError, match="knows 3 classes, but taxonomy 'four' has 4"):
        LayoutCompleter(CompletionNet(3, TINY), taxonomy, height_px=32)
    with pytest.raises(ValueError, match="height_px is 0, expected at least 1"):
        LayoutCompleter(CompletionNet(4, TINY), taxonomy, height_px=0)


def test_the_closed_form_needs_no_torch() -> None:
    script = (
        "import sys\n"
        "import scenequilt.synthesis.completion.completer\n"
        "print('torch' in sys.modules)\n"
    )

    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout

    assert printed == "False\n"
