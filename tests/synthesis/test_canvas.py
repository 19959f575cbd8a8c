"""paste: order, ownership, and the layout that is true of the canvas."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Query, Region, Segment
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.synthesis.canvas import differing, lay_on, paste

TAXONOMY = Taxonomy(
    "two", (ClassInfo(0, "road", (1, 2, 3), "stuff"), ClassInfo(1, "car", (4, 5, 6), "thing"))
)
LAYOUT = Layout(np.full((6, 8), VOID, np.uint8), np.zeros((6, 8), np.int32), TAXONOMY)


@dataclass(frozen=True)
class Order:
    """Whatever order a test wants."""

    back_to_front: tuple[int, ...]


def place(box: Box, shade: int, *, class_id: int = 1, query_id: int = 0) -> PlacedSegment:
    size = (box[2] - box[0], box[3] - box[1])
    color = np.full((*size, 3), shade, np.uint8)
    mask = np.ones(size, np.bool_)
    segment = Segment(100 + shade, class_id, "a", box, box, color, mask, (6, 8), False)
    candidate = Candidate(100 + shade, "a", 0, 1.0, 1.0, 0.0, 0.0, "frame")
    return PlacedSegment(query_id, segment, candidate, np.eye(2, 3), box, color, mask, 1.0)


def ask(instances: Sequence[int]) -> list[Query]:
    mask = np.ones((1, 1), np.bool_)
    return [
        Query(number, Region(1, instance, (0, 0, 1, 1), mask, False), LAYOUT)
        for number, instance in enumerate(instances)
    ]


def test_the_last_in_the_order_owns_the_overlap() -> None:
    placed = [place((0, 0, 4, 4), 10), place((2, 2, 6, 6), 20)]

    behind = paste(placed, Order((0, 1)), LAYOUT, ask([7]))
    in_front = paste(placed, Order((1, 0)), LAYOUT, ask([7]))

    assert behind.ownership[3, 3] == 1 and (behind.color[3, 3] == 20).all()
    assert in_front.ownership[3, 3] == 0 and (in_front.color[3, 3] == 10).all()


def test_where_nothing_is_pasted_nobody_owns_and_the_layout_is_void() -> None:
    canvas = paste([place((0, 0, 4, 4), 10)], Order((0,)), LAYOUT, ask([7]))

    assert canvas.ownership[5, 7] == -1
    assert not canvas.coverage[5, 7]
    assert canvas.delivered.label_map[5, 7] == VOID


def test_a_black_segment_covers() -> None:
    canvas = paste([place((0, 0, 4, 4), 0)], Order((0,)), LAYOUT, ask([7]))

    assert canvas.coverage[:4, :4].all()


def test_delivered_has_the_class_of_the_segment_and_the_number_of_the_object() -> None:
    placed = [place((0, 0, 6, 8), 10, class_id=0), place((1, 1, 3, 3), 20, query_id=1)]

    delivered = paste(placed, Order((0, 1)), LAYOUT, ask([0, 42])).delivered

    assert (delivered.label_map[1:3, 1:3] == 1).all()
    assert (delivered.instance_map[1:3, 1:3] == 42).all()
    assert np.count_nonzero(delivered.instance_map) == 4


def test_an_order_that_leaves_one_out_is_refused() -> None:
    placed = [place((0, 0, 4, 4), 10), place((2, 2, 6, 6), 20)]

    with pytest.raises(ValueError, match=r"names 1 places, expected each of the 2 placed"):
        paste(placed, Order((0,)), LAYOUT, ask([7]))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    top, left = draw(st.integers(0, 5)), draw(st.integers(0, 7))
    return top, left, draw(st.integers(top + 1, 6)), draw(st.integers(left + 1, 8))


@given(st.lists(boxes(), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_every_covered_pixel_has_the_colour_of_its_owner(found: list[Box], random: Random) -> None:
    placed = [place(box, 10 + number) for number, box in enumerate(found)]
    back_to_front = list(range(len(placed)))
    random.shuffle(back_to_front)

    canvas = paste(placed, Order(tuple(back_to_front)), LAYOUT, ask([7]))

    assert (canvas.coverage == (canvas.ownership >= 0)).all()
    assert (canvas.color[canvas.coverage, 0] == 10 + canvas.ownership[canvas.coverage]).all()
    assert (canvas.color[~canvas.coverage] == 0).all()
    assert ((canvas.delivered.label_map != VOID) == canvas.coverage).all()


def test_one_channel_is_enough_to_differ() -> None:
    one = np.zeros((3, 2, 3), np.uint8)
    other = one.copy()
    other[0, 0, 0] = other[1, 1, 1] = other[2, 0, 2] = 1

    assert differing(one, other).tolist() == [[True, False], [False, True], [True, False]]
    assert not differing(one, one).any()


def test_colour_is_laid_where_it_is_told_and_into_a_window_too() -> None:
    picture = np.zeros((4, 5, 3), np.uint8)
    color = np.full((2, 3, 3), 9, np.uint8)
    where = np.array([[True, False, True], [False, True, False]])

    lay_on(picture[1:3, 2:5], color, where)

    expected = np.zeros((4, 5), np.uint8)
    expected[1:3, 2:5] = 9 * where
    assert (picture == expected[..., None]).all()
