"""ClosedFormOrderer: each kind of evidence alone, against each other, and the caller's word."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import (
    Box,
    Candidate,
    PlacedSegment,
    Query,
    Region,
    Segment,
    size_of,
)
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.ordering.class_order import class_ranks
from scenequilt.ordering.evidence import Evidence, LayoutEvidence, combine
from scenequilt.ordering.orderer import ClosedFormOrderer, FixedPair

TAXONOMY = Taxonomy(
    "street",
    (
        ClassInfo(0, "sky", (70, 130, 180), "stuff"),
        ClassInfo(1, "building", (70, 70, 70), "stuff"),
        ClassInfo(2, "road", (128, 64, 128), "stuff"),
        ClassInfo(3, "car", (0, 0, 142), "thing"),
        ClassInfo(4, "person", (220, 20, 60), "thing"),
        ClassInfo(5, "sign", (220, 220, 0), "thing"),
    ),
)
SKY, BUILDING, ROAD, CAR, PERSON, SIGN = range(6)
SIZE_HW = (100, 100)


@dataclass(frozen=True)
class Piece:
    """One region and the segment placed on it, grown so that neighbours overlap."""

    class_id: int
    box: Box
    depth_m: float = 0.0
    grown_px: int = 4


def scene(pieces: Sequence[Piece]) -> tuple[list[PlacedSegment], list[Query]]:
    """Lay pieces over each other, the last on top, and place a grown segment on each."""
    label_map = np.full(SIZE_HW, 255, np.uint8)
    depth_m = np.zeros(SIZE_HW, np.float32)
    owner = np.full(SIZE_HW, -1)
    for number, piece in enumerate(pieces):
        inside = np.s_[piece.box[0] : piece.box[2], piece.box[1] : piece.box[3]]
        label_map[inside], depth_m[inside], owner[inside] = piece.class_id, piece.depth_m, number
    layout = Layout(
        label_map,
        np.zeros(SIZE_HW, np.int32),
        TAXONOMY,
        depth_m if depth_m.any() else None,
    )
    queries, placed = [], []
    for number, piece in enumerate(pieces):
        rows, columns = np.nonzero(owner == number)
        top, left = int(rows.min()), int(columns.min())
        box = (top, left, int(rows.max()) + 1, int(columns.max()) + 1)
        mask = owner[box[0] : box[2], box[1] : box[3]] == number
        queries.append(Query(number, Region(piece.class_id, 0, box, mask, False), layout))
        placed.append(placed_on(number, piece))
    return placed, queries


def placed_on(query_id: int, piece: Piece, *, rank: int = 0) -> PlacedSegment:
    top, left, bottom, right = piece.box
    grown = piece.grown_px
    box = (
        max(top - grown, 0),
        max(left - grown, 0),
        min(bottom + grown, SIZE_HW[0]),
        min(right + grown, SIZE_HW[1]),
    )
    mask = np.ones(size_of(box), bool)
    color = np.zeros((*size_of(box), 3), np.uint8)
    segment_id = 100 * rank + query_id
    segment = Segment(
        segment_id, piece.class_id, "photograph", box, box, color, mask, SIZE_HW, False
    )
    candidate = Candidate(segment_id, "photograph", rank, 1.0, 1.0, 1.0, 0.0, "frame")
    identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    return PlacedSegment(query_id, segment, candidate, identity, box, color, mask, 1.0)


STREET = [
    Piece(SKY, (0, 0, 30, 100)),
    Piece(BUILDING, (30, 0, 60, 100)),
    Piece(ROAD, (60, 0, 100, 100)),
    Piece(CAR, (45, 10, 70, 50)),
    Piece(CAR, (55, 40, 90, 95)),
    Piece(PERSON, (40, 60, 80, 72)),
]


def test_a_street_is_painted_from_the_sky_forward() -> None:
    order = ClosedFormOrderer().sort(*scene(STREET))

    assert order.back_to_front == (0, 1, 2, 3, 5, 4)


def test_the_lower_of_two_cars_is_in_front() -> None:
    far, near = Piece(CAR, (30, 10, 60, 50)), Piece(CAR, (40, 40, 85, 90))

    order = ClosedFormOrderer().sort(*scene([near, far]))

    assert order.back_to_front == (1, 0)
    assert [statement.source for statement in order.edges[0].evidence] == ["ground"]


def test_cars_in_a_row_are_sorted_by_where_they_stand() -> None:
    cars = [Piece(CAR, (20, 10 * k, 40 + 5 * k, 10 * k + 30)) for k in (3, 0, 4, 1, 2)]

    order = ClosedFormOrderer().sort(*scene(cars))

    assert order.back_to_front == (1, 3, 4, 0, 2)


def test_a_car_whose_wheels_are_out_of_the_picture_is_nearer() -> None:
    near, far = Piece(CAR, (60, 0, 100, 40)), Piece(CAR, (50, 35, 95, 90))

    order = ClosedFormOrderer(sources=["ground"]).sort(*scene([near, far]))

    assert order.back_to_front == (1, 0)


def test_where_a_sign_ends_below_says_nothing() -> None:
    sign, car = Piece(SIGN, (20, 30, 40, 45)), Piece(CAR, (35, 10, 70, 60))

    order = ClosedFormOrderer().sort(*scene([car, sign]))

    assert order.back_to_front == (0, 1)


def test_depth_beats_class_order() -> None:
    person = Piece(PERSON, (30, 20, 70, 40), depth_m=20.0)
    car = Piece(CAR, (30, 38, 71, 90), depth_m=8.0)
    placed, queries = scene([person, car])

    by_depth = ClosedFormOrderer().sort(placed, queries)
    by_class = ClosedFormOrderer(sources=["class"]).sort(placed, queries)

    assert by_depth.back_to_front == (0, 1)
    assert by_class.back_to_front == (1, 0)


def test_depth_is_compared_where_the_regions_meet() -> None:
    # A wall that runs from near to far: as a whole it is nearer than the car, at the car it is not.
    placed, queries = scene(
        [Piece(BUILDING, (0, 0, 60, 100), depth_m=3.0), Piece(CAR, (30, 60, 70, 90), depth_m=8.0)]
    )
    depth_m = queries[0].layout.depth_m
    assert depth_m is not None
    depth_m[:60, 50:][depth_m[:60, 50:] == 3.0] = 30.0

    order = ClosedFormOrderer(sources=["depth"]).sort(placed, queries)

    assert order.back_to_front == (0, 1)
    assert order.edges[0].front == 1


def test_unknown_depth_is_no_evidence() -> None:
    placed, queries = scene(
        [Piece(CAR, (30, 0, 60, 40), depth_m=5.0), Piece(CAR, (30, 38, 60, 90), depth_m=0.0)]
    )

    order = ClosedFormOrderer(sources=["depth"]).sort(placed, queries)

    assert order.edges == ()


def test_depth_says_nothing_of_a_thing_and_what_it_stands_on() -> None:
    placed, queries = scene(
        [Piece(ROAD, (60, 0, 100, 100), depth_m=5.0), Piece(CAR, (40, 20, 80, 60), depth_m=9.0)]
    )

    order = ClosedFormOrderer().sort(placed, queries)

    assert order.back_to_front == (0, 1)
    assert {statement.source for statement in order.edges[0].evidence} == {"class"}


def test_what_another_surrounds_is_in_front_of_it() -> None:
    placed, queries = scene([Piece(CAR, (20, 20, 80, 80)), Piece(CAR, (30, 30, 60, 60))])

    order = ClosedFormOrderer(sources=["enclosure"]).sort(placed, queries)

    assert order.back_to_front == (0, 1)
    assert order.edges[0].front == 1


def test_the_better_candidate_of_a_query_is_in_front() -> None:
    piece = Piece(ROAD, (60, 0, 100, 100))
    placed, queries = scene([piece])

    order = ClosedFormOrderer().sort([*placed, placed_on(0, piece, rank=1)], queries)

    assert order.back_to_front == (1, 0)
    assert order.edges[0].evidence[0].source == "candidate"


def test_segments_apart_follow_class_then_lower_edge() -> None:
    pieces = [
        Piece(PERSON, (10, 80, 20, 90), grown_px=0),
        Piece(CAR, (70, 0, 90, 20), grown_px=0),
        Piece(CAR, (40, 30, 60, 50), grown_px=0),
    ]

    order = ClosedFormOrderer().sort(*scene(pieces))

    assert order.back_to_front == (2, 1, 0)
    assert order.edges == ()


def test_a_fixed_pair_wins_over_everything() -> None:
    placed, queries = scene(STREET)

    order = ClosedFormOrderer().sort(placed, queries, fixed=[FixedPair(front=1, back=4)])

    assert order.back_to_front.index(1) > order.back_to_front.index(4)
    fixed = next(edge for edge in order.edges if edge.front == 1 and edge.back == 4)
    assert fixed.probability == 1
    assert fixed.evidence == (Evidence("fixed", 1.0),)


def test_a_fixed_pair_holds_for_segments_apart() -> None:
    pieces = [
        Piece(CAR, (70, 0, 90, 20), grown_px=0),
        Piece(CAR, (40, 30, 60, 50), grown_px=0),
    ]

    order = ClosedFormOrderer().sort(*scene(pieces), fixed=[FixedPair(front=1, back=0)])

    assert order.back_to_front == (0, 1)


def test_what_contradicts_fixed_pairs_is_broken_and_recorded() -> None:
    near = Piece(CAR, (30, 10, 80, 50))
    middle = Piece(CAR, (30, 30, 70, 70))
    far = Piece(CAR, (30, 40, 60, 90))

    order = ClosedFormOrderer().sort(*scene([near, middle, far]), fixed=[FixedPair(2, 0)])

    assert order.back_to_front.index(2) > order.back_to_front.index(0)
    assert len(order.broken) == 1
    assert order.broken[0].probability < 1


def test_a_cycle_of_depths_is_broken_at_its_weakest() -> None:
    # Clearly 0 is before 1 where they meet, and 1 before 2; barely 2 is before 0.
    placed, queries = scene(
        [
            Piece(BUILDING, (10, 0, 50, 30), depth_m=5.0),
            Piece(BUILDING, (10, 30, 50, 60), depth_m=6.0),
            Piece(BUILDING, (50, 0, 80, 60), depth_m=5.0),
        ]
    )
    depth_m = queries[0].layout.depth_m
    assert depth_m is not None
    depth_m[46:50, 0:26] = 5.2
    depth_m[46:50, 34:60] = 5.0
    depth_m[50:54, 34:60] = 6.0

    order = ClosedFormOrderer(sources=["depth"]).sort(placed, queries)

    assert order.back_to_front == (2, 1, 0)
    assert [(edge.front, edge.back) for edge in order.broken] == [(2, 0)]


def test_fixed_pairs_that_contradict_each_other_are_named() -> None:
    placed, queries = scene(STREET)

    with pytest.raises(ValueError, match="contradict each other: 3 in front of 5 in front of 3"):
        ClosedFormOrderer().sort(placed, queries, fixed=[FixedPair(3, 5), FixedPair(5, 3)])


def test_a_fixed_pair_of_an_unknown_query_is_refused() -> None:
    placed, queries = scene(STREET)

    with pytest.raises(ValueError, match="fixed pair 3 in front of 99: there is no query 99"):
        ClosedFormOrderer().sort(placed, queries, fixed=[FixedPair(3, 99)])


def test_a_segment_of_an_unknown_query_is_refused() -> None:
    placed, queries = scene(STREET)

    with pytest.raises(ValueError, match="segment 5 answers query 5, which is not among the 5"):
        ClosedFormOrderer().sort(placed, queries[:5])


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match="no source 'fixed'; there are class, depth, enclosure"):
        ClosedFormOrderer(sources=["class", "fixed"])


def test_ranks_of_another_taxonomy_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ranks must be \(6,\) for taxonomy 'street', got \(3,\)"):
        ClosedFormOrderer(ranks=np.zeros(3)).sort(*scene(STREET))


def test_ranks_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"ranks must lie in \[0, 1\], got 0.0 to 7.0"):
        ClosedFormOrderer(ranks=np.array([0.0, 7.0]))


def test_nothing_placed_is_an_empty_order() -> None:
    _, queries = scene(STREET)

    assert ClosedFormOrderer().sort([], queries).back_to_front == ()


@st.composite
def pieces_of_scenes(draw: st.DrawFn) -> list[Piece]:
    """Draw two to seven pieces; each keeps a pixel of its own to be seen by."""
    pieces = []
    for number in range(draw(st.integers(2, 7))):
        top, left = draw(st.integers(0, 79)), draw(st.integers(0, 79))
        box = (top, left, top + draw(st.integers(3, 20)), left + draw(st.integers(3, 20)))
        class_id = draw(st.integers(0, 5))
        pieces.append(Piece(class_id, box, depth_m=draw(st.sampled_from([0.0, 4.0, 4.2, 9.0]))))
        pieces.append(Piece(SKY, (99, number, 100, number + 1), grown_px=0))
    return pieces


def visible(pieces: list[Piece]) -> list[Piece]:
    """Leave out pieces that later ones cover."""
    owner = np.full(SIZE_HW, -1)
    for number, piece in enumerate(pieces):
        owner[piece.box[0] : piece.box[2], piece.box[1] : piece.box[3]] = number
    return [piece for number, piece in enumerate(pieces) if (owner == number).any()]


@settings(deadline=None, max_examples=60)
@given(pieces_of_scenes(), st.randoms(use_true_random=False))
def test_another_sequence_of_the_same_segments_has_the_same_order(
    pieces: list[Piece], random: object
) -> None:
    placed, queries = scene(visible(pieces))
    numbers = list(range(len(placed)))
    random.shuffle(numbers)  # type: ignore[attr-defined]

    order = ClosedFormOrderer().sort(placed, queries)
    shuffled = ClosedFormOrderer().sort([placed[n] for n in numbers], queries[::-1])

    assert tuple(numbers[place] for place in shuffled.back_to_front) == order.back_to_front


@settings(deadline=None, max_examples=60)
@given(pieces_of_scenes())
def test_the_order_obeys_its_edges(pieces: list[Piece]) -> None:
    placed, queries = scene(visible(pieces))

    order = ClosedFormOrderer().sort(placed, queries)

    assert sorted(order.back_to_front) == list(range(len(placed)))
    position = {place: number for number, place in enumerate(order.back_to_front)}
    for edge in order.edges:
        assert position[edge.front] > position[edge.back]
        assert 0.5 < edge.probability <= 1
        assert combine(edge.evidence) == pytest.approx(edge.probability)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [([], 0.5), ([0.8], 0.8), ([0.8, 0.2], 0.5), ([0.8, 0.5], 0.8), ([0.8, 0.8], 16 / 17)],
)
def test_statements_combine_by_their_odds(probabilities: list[float], expected: float) -> None:
    statements = [Evidence("class", probability) for probability in probabilities]

    assert combine(statements) == pytest.approx(expected)


def test_evidence_is_antisymmetric() -> None:
    _, queries = scene(STREET)
    evidence = LayoutEvidence(queries, class_ranks(TAXONOMY))

    for first in range(len(queries)):
        for second in range(first):
            there = combine(evidence.between(first, second))
            assert there + combine(evidence.between(second, first)) == pytest.approx(1)
