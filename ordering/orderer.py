"""ClosedFormOrderer: who occludes whom, from class order, ground contact and depth."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import PlacedSegment, Query
from scenequilt.ordering.class_order import class_ranks
from scenequilt.ordering.evidence import (
    LAYOUT_SOURCES,
    Evidence,
    LayoutEvidence,
    Source,
    candidate_evidence,
    combine,
)
from scenequilt.ordering.graph import GraphEdge, break_cycles, find_cycle, sort_back_to_front
from scenequilt.ordering.pairs import find_pairs


@dataclass(frozen=True, slots=True)
class FixedPair:
    """The caller's word on a pair, which nothing overrules.

    Attributes:
        front: Query whose segments are to be in front.
        back: Query whose segments are to be behind.
    """

    front: int
    back: int


@dataclass(frozen=True, slots=True)
class OcclusionEdge:
    """One placed segment in front of another.

    Attributes:
        front: Place in the sequence of placed segments of the one in front.
        back: Place of the one behind.
        probability: That this is so, in [0.5, 1]; 1 where the caller said so.
        evidence: What it was made of; each probability is again that of this front and back.
    """

    front: int
    back: int
    probability: float
    evidence: tuple[Evidence, ...]

    @property
    def confidence(self) -> float:
        """How far the probability is from a coin's, in [0, 1]."""
        return 2 * self.probability - 1


@dataclass(frozen=True, slots=True)
class Order:
    """Placed segments from back to front.

    Attributes:
        back_to_front: Places in the sequence of placed segments, the furthest back first.
        edges: The occlusions that the order obeys.
        broken: The occlusions that were given up because stronger ones contradict them.
    """

    back_to_front: tuple[int, ...]
    edges: tuple[OcclusionEdge, ...]
    broken: tuple[OcclusionEdge, ...]


Judge = Callable[[Sequence[tuple[Query, Query]]], Sequence[tuple[Evidence, ...]]]
"""Says for pairs of queries, all at once, what speaks for the first being in front."""


class ClosedFormOrderer:
    """Sorts placed segments without weights."""

    def __init__(
        self,
        *,
        ranks: NDArray[np.float64] | None = None,
        sources: Collection[Source] = LAYOUT_SOURCES,
    ) -> None:
        """Choose what to go by.

        Args:
            ranks: (K,) in [0, 1], painting rank of each class, 0 = furthest back; by the classes'
                names where None.
            sources: Which of class, ground, depth and enclosure may speak. ("class",) alone is the
                fixed order that the code of Qi et al. 2018 paints in.

        Raises:
            ValueError: If a source is none of these, or a rank lies outside of [0, 1].
        """
        unknown = set(sources) - LAYOUT_SOURCES
        if unknown:
            raise ValueError(
                f"no source {min(unknown)!r}; there are {', '.join(sorted(LAYOUT_SOURCES))}"
            )
        if ranks is not None and not ((ranks >= 0) & (ranks <= 1)).all():
            raise ValueError(f"ranks must lie in [0, 1], got {ranks.min()} to {ranks.max()}")
        self._ranks = ranks
        self._sources = frozenset(sources)

    def sort(
        self,
        placed: Sequence[PlacedSegment],
        queries: Sequence[Query],
        *,
        fixed: Sequence[FixedPair] = (),
    ) -> Order:
        """Put placed segments in order.

        Only segments that share pixels need an order; the others follow the rank of their class,
        then their lower edge. The same segments in another sequence come out in the same order.

        Args:
            placed: The segments; several may answer one query.
            queries: The queries they answer, all of one layout; others may be among them.
            fixed: Pairs of queries whose order is given.

        Raises:
            ValueError: If a placed segment or a fixed pair names a query that is not there, fixed
                pairs contradict each other, or ranks do not fit the taxonomy.
        """
        if not placed or not queries:
            return put_in_order(placed, queries, lambda pairs: [], np.zeros(0), fixed=fixed)
        ranks = self._ranks_for(queries[0])
        evidence = LayoutEvidence(queries, ranks, self._sources)

        def judge(pairs: Sequence[tuple[Query, Query]]) -> list[tuple[Evidence, ...]]:
            return [evidence.between(first.query_id, second.query_id) for first, second in pairs]

        return put_in_order(placed, queries, judge, ranks, fixed=fixed)

    def _ranks_for(self, query: Query) -> NDArray[np.float64]:
        taxonomy = query.layout.taxonomy
        if self._ranks is None:
            return class_ranks(taxonomy)
        if self._ranks.shape != (len(taxonomy),):
            raise ValueError(
                f"ranks must be ({len(taxonomy)},) for taxonomy {taxonomy.name!r}, "
                f"got {self._ranks.shape}"
            )
        return self._ranks


def put_in_order(
    placed: Sequence[PlacedSegment],
    queries: Sequence[Query],
    judge: Judge,
    ranks: NDArray[np.float64],
    *,
    fixed: Sequence[FixedPair] = (),
) -> Order:
    """Put placed segments in order by what a judge says about the pairs that overlap.

    Segments of one query follow the ranks of their candidates, fixed pairs the caller; the judge
    is asked about the others, once for each pair of queries, the smaller query_id first, so that
    the outcome does not depend on the sequence of placed. Cycles are broken at their least sure.

    Args:
        placed: The segments; several may answer one query.
        queries: The queries they answer, all of one layout; others may be among them.
        judge: Called once, or not at all where there is nothing to ask.
        ranks: (K,) painting rank of each class: what decides where nothing else does.
        fixed: Pairs of queries whose order is given.

    Raises:
        ValueError: If a placed segment or a fixed pair names a query that is not there, or fixed
            pairs contradict each other.
    """
    by_id = {query.query_id: query for query in queries}
    _refuse_strangers(placed, by_id, fixed)
    if not placed:
        return Order((), (), ())
    edges = [*_fixed_edges(placed, fixed), *_judged_edges(placed, by_id, judge, fixed)]
    tie_break = [_tie_break(segment, by_id[segment.query_id], ranks) for segment in placed]
    graph = [GraphEdge(edge.front, edge.back, edge.confidence) for edge in edges]
    kept, broken = break_cycles(len(placed), graph, tie_break)
    order = sort_back_to_front(len(placed), [graph[index] for index in kept], tie_break)
    return Order(
        tuple(order),
        tuple(edges[index] for index in kept),
        tuple(edges[index] for index in broken),
    )


def _judged_edges(
    placed: Sequence[PlacedSegment],
    by_id: dict[int, Query],
    judge: Judge,
    fixed: Sequence[FixedPair],
) -> list[OcclusionEdge]:
    decided = {frozenset((pair.front, pair.back)) for pair in fixed}
    overlapping: list[tuple[int, int]] = []
    for pair in find_pairs(placed):
        # Asked in one direction, so that rounding does not depend on the sequence of placed.
        first, second = sorted((pair.first, pair.second), key=lambda place: placed[place].query_id)
        ids = {placed[first].query_id, placed[second].query_id}
        if pair.overlap_px > 0 and ids not in decided:
            overlapping.append((first, second))
    asked = sorted(
        {
            (placed[first].query_id, placed[second].query_id)
            for first, second in overlapping
            if placed[first].query_id != placed[second].query_id
        }
    )
    answers = judge([(by_id[first], by_id[second]) for first, second in asked]) if asked else []
    said = dict(zip(asked, answers, strict=True))
    edges = []
    for first, second in overlapping:
        ids_of = placed[first].query_id, placed[second].query_id
        if ids_of[0] == ids_of[1]:
            ranked = candidate_evidence(placed[first].candidate.rank, placed[second].candidate.rank)
            evidence: tuple[Evidence, ...] = (ranked,)
        else:
            evidence = said[ids_of]
        edge = _edge(first, second, evidence)
        if edge is not None:
            edges.append(edge)
    return edges


def _edge(first: int, second: int, evidence: tuple[Evidence, ...]) -> OcclusionEdge | None:
    """Return the edge that the evidence for the first being in front gives; None for a tie."""
    probability = combine(evidence)
    if probability > 0.5:
        return OcclusionEdge(first, second, probability, evidence)
    if probability < 0.5:
        reversed_evidence = tuple(
            Evidence(statement.source, 1 - statement.probability) for statement in evidence
        )
        return OcclusionEdge(second, first, 1 - probability, reversed_evidence)
    return None


def _fixed_edges(
    placed: Sequence[PlacedSegment], fixed: Sequence[FixedPair]
) -> list[OcclusionEdge]:
    said = (Evidence("fixed", 1.0),)
    return [
        OcclusionEdge(front, back, 1.0, said)
        for pair in dict.fromkeys(fixed)
        for front, in_front in enumerate(placed)
        for back, behind in enumerate(placed)
        if in_front.query_id == pair.front and behind.query_id == pair.back
    ]


def _tie_break(
    segment: PlacedSegment, query: Query, ranks: NDArray[np.float64]
) -> tuple[float, int, int, int, int]:
    """Return what decides between segments that nothing else puts in order, back first."""
    return (
        float(ranks[query.class_id]),
        query.region.box[2],
        -segment.candidate.rank,
        segment.query_id,
        segment.segment.segment_id,
    )


def _refuse_strangers(
    placed: Sequence[PlacedSegment], by_id: dict[int, Query], fixed: Sequence[FixedPair]
) -> None:
    for segment in placed:
        if segment.query_id not in by_id:
            raise ValueError(
                f"segment {segment.segment.segment_id} answers query {segment.query_id}, "
                f"which is not among the {len(by_id)} queries"
            )
    for pair in fixed:
        for query_id in (pair.front, pair.back):
            if query_id not in by_id:
                raise ValueError(
                    f"fixed pair {pair.front} in front of {pair.back}: there is no query "
                    f"{query_id} among the {len(by_id)} queries"
                )
    numbers = {query_id: number for number, query_id in enumerate(by_id)}
    edges = [GraphEdge(numbers[pair.front], numbers[pair.back], 1.0) for pair in fixed]
    cycle = find_cycle(len(numbers), edges)
    if cycle:
        ids = list(by_id)
        chain = " in front of ".join(str(ids[number]) for number in [*cycle, cycle[0]])
        raise ValueError(f"fixed pairs contradict each other: {chain}; leave one of them out")
