"""LearnedOrderer: what it asks, what it makes of the answers, and what it has in common with others."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Query, Region, Segment
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.ordering.evidence import Evidence, combine
from scenequilt.ordering.learned import LearnedOrderer, ask_network
from scenequilt.ordering.network import OrderNet, OrderNetSettings
from scenequilt.ordering.orderer import FixedPair
from scenequilt.ordering.view import ViewSettings, map_regions

TAXONOMY = Taxonomy(
    "street",
    (
        ClassInfo(0, "building", (70, 70, 70), "stuff"),
        ClassInfo(1, "car", (0, 0, 142), "thing"),
    ),
)
BUILDING, CAR = 0, 1
SIZE_HW = (64, 96)
VIEW = ViewSettings(size_hw=(32, 48))
TINY = OrderNetSettings(width=4 / 512, dropout=0.0)

THREE_CARS: tuple[Box, ...] = ((20, 10, 44, 30), (20, 28, 44, 60), (24, 58, 44, 90))
"""Side by side, equally near by where they stand; grown by four pixels, neighbours overlap."""


class Leftmost(OrderNet):
    """Says by 2 that whatever is further to the left is in front; counts questions."""

    def __init__(self) -> None:
        super().__init__(2, TINY, VIEW)
        self.asked: list[int] = []

    def forward(self, masks: Tensor, label_map: Tensor, places: Tensor, extents: Tensor) -> Tensor:
        self.asked.append(len(masks))
        left = (masks * places[:, :1]).sum(dim=(2, 3)) / masks.sum(dim=(2, 3))  # (B, 2)
        return 2 * torch.sign(left[:, 1] - left[:, 0])


@dataclass(frozen=True)
class Scene:
    placed: list[PlacedSegment]
    queries: list[Query]


def scene(
    boxes: Sequence[Box] = THREE_CARS, *, class_id: int = CAR, depths_m: Sequence[float] = ()
) -> Scene:
    label_map = np.full(SIZE_HW, 255, np.uint8)
    depth_m = np.zeros(SIZE_HW, np.float32)
    for place, (top, left, bottom, right) in enumerate(boxes):
        label_map[top:bottom, left:right] = class_id
        if depths_m:
            depth_m[top:bottom, left:right] = depths_m[place]
    layout = Layout(label_map, np.zeros(SIZE_HW, np.int32), TAXONOMY, depth_m if depths_m else None)
    queries = [
        Query(
            number,
            Region(class_id, 0, box, np.ones((box[2] - box[0], box[3] - box[1]), bool), False),
            layout,
        )
        for number, box in enumerate(boxes)
    ]
    return Scene([placed_on(query) for query in queries], queries)


def placed_on(query: Query, *, rank: int = 0) -> PlacedSegment:
    top, left, bottom, right = query.region.box
    box = (top - 4, left - 4, bottom + 4, right + 4)
    size = (box[2] - box[0], box[3] - box[1])
    color, mask = np.zeros((*size, 3), np.uint8), np.ones(size, bool)
    number = 100 * rank + query.query_id
    segment = Segment(number, query.class_id, "p", box, box, color, mask, SIZE_HW, False)
    candidate = Candidate(number, "p", rank, 1.0, 1.0, 1.0, 0.0, "frame")
    return PlacedSegment(query.query_id, segment, candidate, np.eye(2, 3), box, color, mask, 1.0)


def test_the_network_decides() -> None:
    cars = scene()

    order = LearnedOrderer(Leftmost(), TAXONOMY).sort(cars.placed, cars.queries)

    assert order.back_to_front == (2, 1, 0)
    assert [(edge.front, edge.back) for edge in order.edges] == [(0, 1), (1, 2)]
    assert order.edges[0].evidence[0].source == "network"
    assert order.edges[0].probability == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-3)


def test_only_pairs_that_overlap_are_asked_about_and_all_at_once() -> None:
    network, cars = Leftmost(), scene()

    LearnedOrderer(network, TAXONOMY).sort(cars.placed, cars.queries)

    # Each pair both ways.
    assert network.asked == [2, 2]


def test_what_was_said_of_a_layout_is_remembered() -> None:
    network, cars = Leftmost(), scene()
    orderer = LearnedOrderer(network, TAXONOMY)

    first = orderer.sort(cars.placed[:2], cars.queries)
    again = orderer.sort(cars.placed, cars.queries)
    orderer.sort(scene().placed, scene().queries)

    assert first.back_to_front == (1, 0)
    assert again.back_to_front == (2, 1, 0)
    # One pair, then the other one, then both of another layout.
    assert network.asked == [1, 1, 1, 1, 2, 2]


def test_temperature_makes_it_less_sure() -> None:
    network, cars = Leftmost(), scene()
    network.temperature.fill_(2.0)

    order = LearnedOrderer(network, TAXONOMY).sort(cars.placed, cars.queries)

    assert order.edges[0].probability == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-3)


def test_it_is_never_certain() -> None:
    network, cars = Leftmost(), scene()
    network.temperature.fill_(0.01)

    order = LearnedOrderer(network, TAXONOMY).sort(cars.placed, cars.queries)

    assert order.edges[0].probability < 1


def test_depth_speaks_beside_the_network() -> None:
    cars = scene(depths_m=(9.0, 5.0, 5.0))

    with_depth = LearnedOrderer(Leftmost(), TAXONOMY).sort(cars.placed, cars.queries)
    without = LearnedOrderer(Leftmost(), TAXONOMY, depth=False).sort(cars.placed, cars.queries)

    assert with_depth.back_to_front == (0, 2, 1)
    assert [statement.source for statement in with_depth.edges[0].evidence] == ["network", "depth"]
    assert without.back_to_front == (2, 1, 0)


def test_what_the_closed_form_says_is_weighed() -> None:
    network = Leftmost()
    network.temperature.fill_(4.0)
    with torch.no_grad():
        network.outline_weight.copy_(torch.tensor([1.0, 0.5, 1.0]))
    # The right one stands four lines lower of 64, which is 2.5 in log odds.
    cars = scene([(20, 10, 40, 30), (20, 28, 44, 60)])

    (edge,) = LearnedOrderer(network, TAXONOMY).sort(cars.placed, cars.queries).edges

    said = {
        each.source: np.log(each.probability / (1 - each.probability)) for each in edge.evidence
    }
    assert (edge.front, edge.back) == (0, 1)
    assert said == pytest.approx({"network": 2 / 4, "ground": -0.5 * 2.5 / 4})
    assert np.log(edge.probability / (1 - edge.probability)) == pytest.approx(0.75 / 4)


def test_fixed_pairs_and_candidates_are_not_asked_about() -> None:
    network, cars = Leftmost(), scene()
    second = placed_on(cars.queries[0], rank=1)

    order = LearnedOrderer(network, TAXONOMY).sort(
        [*cars.placed[:2], second], cars.queries, fixed=[FixedPair(front=1, back=0)]
    )

    assert network.asked == []
    assert order.back_to_front == (2, 0, 1)
    assert order.edges[-1].evidence == (Evidence("candidate", combine(order.edges[-1].evidence)),)


def test_cycles_are_broken_and_recorded() -> None:
    cars = scene()

    order = LearnedOrderer(Leftmost(), TAXONOMY).sort(
        cars.placed, cars.queries, fixed=[FixedPair(front=2, back=0)]
    )

    # 0 before 1, 1 before 2, and by the caller 2 before 0.
    assert len(order.broken) == 1
    assert order.back_to_front.index(2) > order.back_to_front.index(0)


def test_another_sequence_has_the_same_order() -> None:
    cars = scene()

    there = LearnedOrderer(Leftmost(), TAXONOMY).sort(cars.placed, cars.queries)
    back = LearnedOrderer(Leftmost(), TAXONOMY).sort(cars.placed[::-1], cars.queries[::-1])

    assert tuple(2 - place for place in back.back_to_front) == there.back_to_front


def test_nothing_placed_asks_nothing() -> None:
    network = Leftmost()

    assert LearnedOrderer(network, TAXONOMY).sort([], scene().queries).back_to_front == ()
    assert LearnedOrderer(network, TAXONOMY).sort([], []).back_to_front == ()
    assert network.asked == []


def test_answers_do_not_depend_on_what_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = OrderNet(2, TINY, VIEW).eval()
    region_map = map_regions(scene().queries)
    pairs = [(0, 1), (1, 2), (2, 1), (0, 2)]

    together = ask_network(network, region_map, pairs)
    monkeypatch.setattr("scenequilt.ordering.learned._PAIRS_AT_ONCE", 1)
    alone = ask_network(network, region_map, pairs)

    assert together == pytest.approx(alone, abs=1e-5)
    assert together[1] == pytest.approx(-together[2], abs=1e-5)
    assert ask_network(network, region_map, []).shape == (0,)


def test_a_layout_of_other_classes_is_refused() -> None:
    other = Taxonomy("town", (TAXONOMY.classes[1], replace(TAXONOMY.classes[0], name="tree")))
    orderer = LearnedOrderer(Leftmost(), other)
    cars = scene()

    assert orderer.knows(other)
    with pytest.raises(
        ValueError,
        match=r"has the classes building, car \('street'\), but .* trained on car, tree; train one",
    ):
        orderer.sort(cars.placed, cars.queries)


def test_a_network_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="knows 3 classes, but taxonomy 'street' has 2"):
        LearnedOrderer(OrderNet(3, TINY), TAXONOMY)


def test_a_placed_segment_of_an_unknown_query_is_refused() -> None:
    cars = scene()

    with pytest.raises(ValueError, match="segment 2 answers query 2, which is not among the 2"):
        LearnedOrderer(Leftmost(), TAXONOMY).sort(cars.placed, cars.queries[:2])


def test_the_closed_form_does_not_load_torch() -> None:
    code = (
        "import sys, scenequilt.ordering.orderer, scenequilt.ordering.pair_labels, "
        "scenequilt.ordering.depth_source; print('torch' in sys.modules)"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "False"
