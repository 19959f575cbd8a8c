"""From a layout to a photograph: the whole path on one screen."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.memory_bank.errors import EmptyClassError
from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.rerank import ScoreWeights
from scenequilt.memory_bank.search import Search
from scenequilt.memory_bank.segment import (
    Box,
    Candidate,
    PlacedSegment,
    Query,
    Retrieval,
    Segment,
)
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.memory_bank.where import Where
from scenequilt.ordering.orderer import ClosedFormOrderer
from scenequilt.synthesis.canvas import paste
from scenequilt.synthesis.choice import (
    ChoiceSettings,
    Chosen,
    Preferences,
    choose_thing,
    cover_zone,
    leftover_queries,
    rank_candidates,
)
from scenequilt.synthesis.composition import Composition, PaintingOrder
from scenequilt.synthesis.diversity import choose_anchor, support_of_sources
from scenequilt.synthesis.elision import ElisionSettings, elide_borders
from scenequilt.synthesis.finish import ClosedFinish, Finish, Surroundings
from scenequilt.synthesis.look import (
    Look,
    ShardRows,
    SourceLooks,
    light_between,
    look_distance,
    look_of_photograph,
)
from scenequilt.synthesis.mending import mend_mask
from scenequilt.synthesis.zones import stuff_zones, zone_labels

SAME_OBJECT_LAB = 2.5
"""Difference of colour statistics up to which two segments of a class may be one object."""


class Bank(Protocol):
    """What composing asks of a memory bank."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        ...

    def retrieve_many(
        self,
        queries: Sequence[Query],
        k: int = 10,
        *,
        where: Where | None = None,
        weights: ScoreWeights | None = None,
        search: Search = "auto",
        allow_empty: bool = False,
    ) -> list[Retrieval]:
        """Find the k segments that fit each query best."""
        ...

    def segment(self, segment_id: int) -> Segment:
        """Load a segment."""
        ...

    def segment_ids(self) -> NDArray[np.int64]:
        """Return the numbers of all segments, ascending."""
        ...

    def label_map(self, source_id: str) -> NDArray[np.uint8]:
        """Return the layout of a photograph at the bank's frame size."""
        ...

    def locate(self, segment_id: int) -> tuple[ShardRows, int]:
        """Return the shard of a segment and its row there."""
        ...


class Aligner(Protocol):
    """Bends a segment to a query."""

    def place(self, query: Query, segment: Segment, candidate: Candidate) -> PlacedSegment:
        """Return the segment on the layout's pixels."""
        ...


class Orderer(Protocol):
    """Says who is in front."""

    def sort(self, placed: Sequence[PlacedSegment], queries: Sequence[Query]) -> PaintingOrder:
        """Return the order in which the segments are painted."""
        ...


@dataclass(frozen=True, slots=True)
class ComposeSettings:
    """How a layout is composed.

    Attributes:
        k: Candidates asked of the bank for each region.
        anchor_k: Candidates asked of the anchor photograph beside, for each stuff region.
        min_area_px: Smaller regions of the layout are not asked for; what is around covers them.
        weights: What mask and context count in retrieval.
        search: How the bank searches.
        choice: How candidates are chosen.
        elision: Bands for a learned finish.
        style_strength: Share of the way from the anchor's overall colour to a style's that the
            picture goes, in [0, 1].

    Raises:
        ValueError: If a number is out of range.
    """

    k: int = 20
    anchor_k: int = 2
    min_area_px: int = 16
    weights: ScoreWeights = field(default_factory=ScoreWeights)
    search: Search = "auto"
    choice: ChoiceSettings = field(default_factory=ChoiceSettings)
    elision: ElisionSettings = field(default_factory=ElisionSettings)
    style_strength: float = 0.7

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("anchor_k", 0), ("min_area_px", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if not 0 <= self.style_strength <= 1:
            raise ValueError(f"style_strength is {self.style_strength}, expected 0 to 1")


def compose(
    layout: Layout,
    bank: Bank,
    aligner: Aligner | None = None,
    orderer: Orderer | None = None,
    finish: Finish | None = None,
    *,
    settings: ComposeSettings | None = None,
    seed: int = 0,
    where: Where | None = None,
    style: NDArray[np.uint8] | None = None,
    earlier: Sequence[Composition] = (),
    looks: SourceLooks | None = None,
) -> Composition:
    """Make a photograph of a layout out of the bank's segments.

    Args:
        layout: What it should show, (H, W), in the bank's taxonomy.
        bank: Where the segments come from.
        aligner: Bends segments; the closed form if None.
        orderer: Says who is in front; the closed form if None.
        finish: Makes a picture of the canvas; the closed form if None.
        settings: The defaults if None.
        seed: Same arguments, same seed, same bytes. It draws what is elided, the texture of
            fillings, and lots among near equals for all variants but the first.
        where: Which segments may be used.
        style: (h, w, 3) uint8 RGB photograph whose light and colour are preferred, or None.
        earlier: Variants made before, which this one is to differ from.
        looks: Looks of the bank's photographs, to be shared between calls; made anew if None.

    Raises:
        ValueError: If the layout's classes are not the bank's.
        EmptyClassError: If the bank has no segment for any region of the layout.
    """
    _check_classes(layout, bank)
    aligner, orderer = aligner or ClosedFormAligner(), orderer or ClosedFormOrderer()
    finish, settings = finish or ClosedFinish(), settings or ComposeSettings()
    looks = looks or SourceLooks(bank)
    watch = _Stopwatch()

    queries = extract_queries(layout, min_area_px=settings.min_area_px)
    zones = stuff_zones(layout, queries)
    watch.lap("extract")
    retrievals = _retrieve(bank, queries, settings.k, settings, where)
    watch.lap("retrieve")
    looks.meet(candidate for answer in retrievals for candidate in answer.candidates)
    preferences, look = _prefer(queries, retrievals, bank, looks, settings, style, seed, earlier)
    retrievals = _ask_anchor(bank, queries, retrievals, preferences, settings, where)
    watch.lap("choose")
    chooser = _Chooser(bank, aligner, zones, preferences, settings)
    chosen = chooser.choose(queries, retrievals)
    more = _leftovers(queries, chosen, settings)
    if more:
        answers = _retrieve(bank, more, settings.k, settings, where)
        looks.meet(candidate for answer in answers for candidate in answer.candidates)
        chosen += chooser.choose(more, answers)
        queries, retrievals = queries + more, retrievals + answers
    placed = [item for choice in chosen for item in choice.placed]
    reach = [mask for choice in chosen for mask in choice.reach]
    if not placed:
        raise EmptyClassError(_nothing_found(queries, retrievals))
    watch.lap("align")
    order = orderer.sort(placed, queries)
    watch.lap("order")
    canvas = paste(placed, order, layout, queries, reach=reach)
    elided = elide_borders(canvas, seed=seed, settings=settings.elision)
    watch.lap("paste")
    surroundings = Surroundings(
        zone_labels(zones, queries), look, looks, *_lab_statistics(placed, bank)
    )
    finished = finish.finish(canvas, surroundings, seed=seed)
    watch.lap("finish")
    return Composition(
        image=finished.image,
        requested=layout,
        delivered=finished.delivered,
        ownership=canvas.ownership,
        placed=canvas.placed,
        order=order,
        queries=tuple(queries),
        retrievals=tuple(retrievals),
        rejected=tuple(rejection for choice in chosen for rejection in choice.rejected),
        state=finished.state,
        coverage=canvas.coverage,
        elided=elided,
        seconds=watch.seconds,
        seed=seed,
        variant=len(earlier),
        anchor_source_id=preferences.anchor_source_id,
        finish_name=finish.name,
    )


def compose_variants(
    layout: Layout,
    bank: Bank,
    aligner: Aligner | None = None,
    orderer: Orderer | None = None,
    finish: Finish | None = None,
    *,
    variants: int,
    settings: ComposeSettings | None = None,
    seed: int = 0,
    where: Where | None = None,
    style: NDArray[np.uint8] | None = None,
    looks: SourceLooks | None = None,
) -> list[Composition]:
    """Make several photographs of one layout that differ from each other.

    The first is what compose makes; each further one avoids the segments and photographs of those
    before it and follows the light of another one. The first n of more variants are the same as n
    variants.

    Raises:
        ValueError: If variants is below 1; and as compose.
        EmptyClassError: As compose.
    """
    if variants < 1:
        raise ValueError(f"variants is {variants}, expected at least 1")
    looks = looks or SourceLooks(bank)
    made: list[Composition] = []
    for _ in range(variants):
        made.append(
            compose(
                layout,
                bank,
                aligner,
                orderer,
                finish,
                settings=settings,
                seed=seed,
                where=where,
                style=style,
                earlier=made,
                looks=looks,
            )
        )
    return made


class _Stopwatch:
    """Seconds of each stage, in the order they ran."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _check_classes(layout: Layout, bank: Bank) -> None:
    ours = [entry.name for entry in layout.taxonomy.classes]
    theirs = [entry.name for entry in bank.taxonomy.classes]
    if ours != theirs:
        raise ValueError(
            f"the layout has taxonomy {layout.taxonomy.name!r} with classes {', '.join(ours)}, but "
            f"the bank {bank.taxonomy.name!r} with {', '.join(theirs)}; read the layout with the "
            "bank's taxonomy"
        )


def _retrieve(
    bank: Bank, queries: Sequence[Query], k: int, settings: ComposeSettings, where: Where | None
) -> list[Retrieval]:
    return bank.retrieve_many(
        queries,
        k,
        where=where,
        weights=settings.weights,
        search=settings.search,
        allow_empty=True,
    )


def _prefer(
    queries: Sequence[Query],
    retrievals: Sequence[Retrieval],
    bank: Bank,
    looks: SourceLooks,
    settings: ComposeSettings,
    style: NDArray[np.uint8] | None,
    seed: int,
    earlier: Sequence[Composition],
) -> tuple[Preferences, Look | None]:
    """Choose the picture's light, and say what its segments should be like."""
    wanted = None
    if style is not None:
        wanted = (
            look_of_photograph(style, None, len(queries[0].layout.taxonomy)) if queries else None
        )
    anchor = choose_anchor(
        support_of_sources(queries, retrievals),
        looks,
        earlier=[item.anchor_source_id for item in earlier],
        style=wanted,
    )
    look = looks[anchor] if anchor else None
    if look is not None and wanted is not None:
        change = settings.style_strength * (wanted.mean - look.mean)
        look = replace(look, class_mean=look.class_mean + change, mean=look.mean + change)
    sources = sorted({c.source_id for retrieval in retrievals for c in retrieval.candidates})
    gaps = {source: look_distance(looks[source], look) for source in sources} if look else {}
    material_gaps = _material_gaps(queries, retrievals, looks, look, bank) if look else {}
    lots = None
    if earlier and queries:
        rng = np.random.default_rng([seed, len(earlier), 0xD1CE])
        lots = rng.standard_normal((len(queries), settings.k + settings.anchor_k))
    preferences = Preferences(
        anchor,
        gaps,
        frozenset(segment_id for item in earlier for segment_id in item.chosen_ids),
        frozenset(source_id for item in earlier for source_id in item.sources),
        lots,
        material_gaps,
    )
    return preferences, look


def _material_gaps(
    queries: Sequence[Query],
    retrievals: Sequence[Retrieval],
    looks: SourceLooks,
    look: Look,
    bank: Bank,
) -> dict[int, float]:
    """Return how far each stuff candidate's colour would be from the picture's of its class."""
    light: dict[str, NDArray[np.float64]] = {}
    gaps: dict[int, float] = {}
    for query, retrieval in zip(queries, retrievals, strict=True):
        if query.is_thing or not look.class_share[query.class_id]:
            continue
        for candidate in retrieval.candidates:
            source_id = candidate.source_id
            if source_id not in light:
                light[source_id] = light_between(looks[source_id], look)
            shard, row = bank.locate(candidate.segment_id)
            seen = shard.segments["lab_mean"][row] + light[source_id]
            gaps[candidate.segment_id] = float(
                np.linalg.norm(seen - look.class_mean[query.class_id])
            )
    return gaps


def _ask_anchor(
    bank: Bank,
    queries: Sequence[Query],
    retrievals: Sequence[Retrieval],
    preferences: Preferences,
    settings: ComposeSettings,
    where: Where | None,
) -> list[Retrieval]:
    """Add what the anchor photograph itself has for the stuff, if it is not among the best."""
    extended = list(retrievals)
    if not preferences.anchor_source_id or not settings.anchor_k:
        return extended
    stuff = [query for query in queries if not query.is_thing]
    only = replace(where or Where(), sources=(preferences.anchor_source_id,))
    for query, more in zip(
        stuff, _retrieve(bank, stuff, settings.anchor_k, settings, only), strict=True
    ):
        first = extended[query.query_id]
        known = {candidate.segment_id for candidate in first.candidates}
        added = [c for c in more.candidates if c.segment_id not in known]
        extended[query.query_id] = replace(
            first,
            candidates=first.candidates
            + tuple(
                replace(candidate, rank=len(known) + number)
                for number, candidate in enumerate(added)
            ),
        )
    return extended


def _leftovers(
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


class _Chooser:
    """Chooses and places segments, one query after the other, and knows what is shown already."""

    def __init__(
        self,
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
        self._shown: dict[int, list[NDArray[np.float64]]] = {}

    def choose(self, queries: Sequence[Query], retrievals: Sequence[Retrieval]) -> list[Chosen]:
        """Return what is pasted for each query."""
        return [
            self._choose(query, retrieval)
            for query, retrieval in zip(queries, retrievals, strict=True)
        ]

    def _choose(self, query: Query, retrieval: Retrieval) -> Chosen:
        shown = self._shown_already(query, retrieval) if query.is_thing else ()
        ranked = rank_candidates(
            query, retrieval.candidates, self._preferences, self._settings, shown=shown
        )

        def place(candidate: Candidate) -> PlacedSegment:
            segment = self._bank.segment(candidate.segment_id)
            if not query.is_thing:
                segment = mend_mask(segment, self._bank.label_map(segment.source_id))
            return self._aligner.place(query, segment, candidate)

        if query.is_thing:
            chosen = choose_thing(query, ranked, place, self._settings)
        else:
            zone, box = self._zone_of(query)
            margin_px = max(4, self._zones.shape[0] // 24)
            chosen = cover_zone(
                query, zone, box, ranked, place, self._settings, margin_px=margin_px
            )
        for item in chosen.placed:
            colors = self._colors_of(item.segment.segment_id)
            self._shown.setdefault(query.class_id, []).append(colors)
        return chosen

    def _shown_already(self, query: Query, retrieval: Retrieval) -> set[int]:
        """Return the candidates that show an object which is in the picture already.

        Frames of one film show the same car or person under different numbers; what is of one
        class and of the same colours, in mean and spread, is taken for the same.
        """
        shown = self._shown.get(query.class_id)
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


def _lab_statistics(
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


def _nothing_found(queries: Sequence[Query], retrievals: Sequence[Retrieval]) -> str:
    if not queries:
        return "the layout has no region to ask for: all of it is void, or too small"
    names = sorted({query.layout.taxonomy.classes[query.class_id].name for query in queries})
    removed: dict[str, int] = {}
    for retrieval in retrievals:
        for name, count in retrieval.removed.items():
            removed[name] = removed.get(name, 0) + count
    filters = ", ".join(f"{name} removed {count}" for name, count in removed.items() if count)
    reason = f"the filters left none ({filters})" if filters else "the bank holds none"
    return f"no segment for any of the classes {', '.join(names)}: {reason}"
