"""Chooses and places segments for the queries of one picture."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Query, Retrieval
from scenequilt.synthesis.choice import (
    Chosen,
    Preferences,
    Ranked,
    choose_thing,
    cover_zone,
    leftover_queries,
    rank_candidates,
)
from scenequilt.synthesis.composition import Rejection
from scenequilt.synthesis.mending import ShadowPlaces, mend_mask, take_out_shadows
from scenequilt.synthesis.stages import Aligner, Bank, ComposeSettings

SAME_OBJECT_LAB = 2.5
"""Difference of colour statistics up to which two segments of a class may be one object."""


class Chooser:
    """Chooses and places segments, one query after the other, and knows what is shown already.

    It is made for one picture: zones are (H, W) int32 query ids of the stuff behind each pixel.
    """

    def __init__(
        self,
        layout: Layout,
        bank: Bank,
        aligner: Aligner,
        zones: NDArray[np.int32],
        preferences: Preferences,
        settings: ComposeSettings,
    ) -> None:
        self._bank = bank
        self._aligner = aligner
        self._zones = zones
        self._preferences = preferences
        self._settings = settings.choice
        self._shadows = ShadowPlaces(layout, bank.label_map)
        self._shown: set[int] = set()
        self._colors_shown: dict[int, list[NDArray[np.float64]]] = {}

    def choose(self, queries: Sequence[Query], retrievals: Sequence[Retrieval]) -> list[Chosen]:
        """Return what is pasted for each query."""
        return [
            self._choose(query, retrieval)
            for query, retrieval in zip(queries, retrievals, strict=True)
        ]

    def remember(self, query: Query, chosen: Chosen) -> None:
        """Take it that the picture shows what was chosen for a query."""
        for item in chosen.placed:
            segment_id = item.segment.segment_id
            self._shown.add(segment_id)
            shown = self._colors_shown.setdefault(query.class_id, [])
            shown.append(self._colors_of(segment_id))

    def rank(self, query: Query, retrieval: Retrieval) -> list[Ranked]:
        """Return the candidates of a query in the order in which they are tried."""
        return rank_candidates(
            query,
            retrieval.candidates,
            self._preferences,
            self._settings,
            shown=self._shown,
            alike=self._like_those_shown(query, retrieval) if query.is_thing else (),
        )

    def answer(self, query: Query, ranked: Sequence[Ranked], *, first: Ranked) -> Chosen:
        """Return what is pasted for a query if the caller says by which of its candidates.

        Stuff that the candidate leaves open is covered by the others as ever.
        """
        rest = [entry for entry in ranked if entry is not first]
        if query.is_thing:
            placed = self._place(query, first.candidate)
            pieces = (placed,) if placed.mask.any() else ()
            lost = (Rejection(query.query_id, e.candidate.segment_id, e.handicap) for e in rest)
            return Chosen(pieces, tuple(item.mask for item in pieces), tuple(lost))
        return self._cover(query, [first, *rest], first_is_given=True)

    def _choose(self, query: Query, retrieval: Retrieval) -> Chosen:
        ranked = self.rank(query, retrieval)
        if query.is_thing:
            chosen = choose_thing(query, ranked, partial(self._place, query), self._settings)
        else:
            chosen = self._cover(query, ranked)
        self.remember(query, chosen)
        return chosen

    def _cover(
        self, query: Query, ranked: Sequence[Ranked], *, first_is_given: bool = False
    ) -> Chosen:
        zone, box = self._zone_of(query)
        return cover_zone(
            query,
            zone,
            box,
            ranked,
            partial(self._place, query),
            self._settings,
            margin_px=max(4, self._zones.shape[0] // 24),
            first_is_given=first_is_given,
        )

    def _place(self, query: Query, candidate: Candidate) -> PlacedSegment:
        segment = self._bank.segment(candidate.segment_id)
        if not query.is_thing:
            segment = mend_mask(segment, self._bank.label_map(segment.source_id))
            segment = take_out_shadows(segment, self._shadows)
        return self._aligner.place(query, segment, candidate)

    def _like_those_shown(self, query: Query, retrieval: Retrieval) -> set[int]:
        """Return the candidates that look like an object which is in the picture already.

        Frames of one film show the same car or person under different numbers; what is of one
        class and of the same colours, in mean and spread, is taken for the same.
        """
        shown = self._colors_shown.get(query.class_id)
        if not shown:
            return set()
        ids = [candidate.segment_id for candidate in retrieval.candidates]
        colors = np.array([self._colors_of(segment_id) for segment_id in ids]).reshape(-1, 1, 6)
        nearest = np.abs(colors - np.array(shown)).max(axis=2).min(axis=1)
        return {ids[place] for place in np.flatnonzero(nearest <= SAME_OBJECT_LAB).tolist()}

    def _colors_of(self, segment_id: int) -> NDArray[np.float64]:
        """Return (6,) mean and standard deviation of a segment's Lab colours."""
        shard, row = self._bank.locate(segment_id)
        segments = shard.segments
        return np.concatenate([segments["lab_mean"][row], segments["lab_std"][row]], dtype=float)

    def _zone_of(self, query: Query) -> tuple[NDArray[np.bool_], Box]:
        """Return the mask of a region's zone over its box, and the box."""
        zone = self._zones == query.query_id
        rows, columns = np.flatnonzero(zone.any(axis=1)), np.flatnonzero(zone.any(axis=0))
        box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
        return zone[box[0] : box[2], box[1] : box[3]], box


def leftovers(
    queries: Sequence[Query], chosen: Sequence[Chosen], settings: ComposeSettings
) -> list[Query]:
    """Return queries for what the segments of things leave of regions of several objects."""
    more: list[Query] = []
    for query, choice in zip(queries, chosen, strict=True):
        if query.is_thing:
            more += leftover_queries(
                query,
                choice,
                first_id=len(queries) + len(more),
                first_instance=int(query.layout.instance_map.max()) + 1 + len(more),
                settings=settings.choice,
            )
    return more


def lab_statistics(
    placed: Sequence[PlacedSegment], bank: Bank
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (P, 3) mean Lab colour and (P,) standard deviation of L of the segments."""
    means = np.empty((len(placed), 3), np.float32)
    spreads = np.empty(len(placed), np.float32)
    for place, item in enumerate(placed):
        shard, row = bank.locate(item.segment.segment_id)
        means[place] = shard.segments["lab_mean"][row]
        spreads[place] = shard.segments["lab_std"][row][0]
    return means, spreads
