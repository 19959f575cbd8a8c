"""Choice: in which order a query's candidates are tried, and which of them are used."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Query, Region
from scenequilt.synthesis.composition import Reason, Rejection
from scenequilt.synthesis.texture import lay_over

Place = Callable[[Candidate], PlacedSegment]
"""Loads a candidate's segment and bends it to its query."""


CUT_MARGIN_PX = 3
"""A cut so close to the picture's own frame is not seen."""


@dataclass(frozen=True, slots=True)
class ChoiceSettings:
    """What a candidate is worth beside its fit. Units are shares of the query's best score.

    Attributes:
        look_cost: Lost for each Lab unit between a photograph's light and the picture's.
        anchor_gain: Won by the segments of the anchor photograph itself: its pieces belong
            together.
        segment_reuse_cost: Lost by a segment that an earlier variant shows.
        cut_cost: Lost by a thing that its photograph's frame cut, where the cut would show.
        source_reuse_cost: Lost by a photograph that an earlier variant uses.
        tolerance: Most that a candidate may fall short of the best score and still be taken before
            any that does not.
        draw: Spread of the seeded lots that let later variants differ among equals.
        stuff_pieces: Most segments that one stuff region is made of.
        stuff_trials: Candidates that are placed and compared for each of them.
        stuff_budget: Candidates that are placed for a stuff region at most, once one shows.
        thing_trials: Candidates that are placed and compared for a thing.
        small_px: Regions of fewer pixels get one trial a piece, and three at most: there is little
            to see.
        good_iou: A thing that fits as well as this is taken without a further trial.
        least_gain: Share of what is open that a further piece must cover, or it is not worth the
            seam.
        least_open: Share of a region that may stay open for the finish.
        texture_open: Share of a region that has to be open still for its candidates to be laid over
            it once more, as texture.
        texture_pieces: Most segments that are laid over a region as texture.
        leftover: Share of a thing's region that, left uncovered in one piece, is asked for again:
            labels often draw a row of cars as one.
        leftover_pieces: Most such pieces of one thing.
        material_cost: Lost by stuff for each Lab unit between its colour, in the picture's light,
            and the anchor's colour of its class: a hedge in front of a white wall is no hedge.
    """

    look_cost: float = 0.018
    anchor_gain: float = 0.15
    segment_reuse_cost: float = 0.5
    cut_cost: float = 0.5
    source_reuse_cost: float = 0.12
    tolerance: float = 0.4
    draw: float = 0.04
    stuff_pieces: int = 4
    stuff_trials: int = 3
    stuff_budget: int = 8
    thing_trials: int = 3
    small_px: int = 400
    good_iou: float = 0.7
    least_gain: float = 0.15
    least_open: float = 0.01
    texture_open: float = 0.03
    texture_pieces: int = 6
    leftover: float = 0.2
    leftover_pieces: int = 2
    material_cost: float = 0.008


@dataclass(frozen=True, eq=False)
class Preferences:
    """What a picture wants of its segments.

    Attributes:
        anchor_source_id: Photograph whose light it follows.
        look_gaps: Distance of each photograph's look from the picture's, in Lab units.
        used_segments: Segments that earlier variants show.
        used_sources: Photographs that earlier variants use.
        material_gaps: For segments of stuff, how far their colour would be from the anchor's of
            their class, in Lab units.
        lots: Drawn for each (query id, place among its candidates); empty for the first variant.
    """

    anchor_source_id: str
    look_gaps: Mapping[str, float]
    used_segments: Collection[int] = field(default_factory=frozenset)
    used_sources: Collection[str] = field(default_factory=frozenset)
    lots: NDArray[np.float64] | None = None
    material_gaps: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A candidate and what it is worth to this picture.

    Attributes:
        candidate: The bank's proposal.
        worth: 1 for a candidate of the best score that suits the picture; higher is better.
        handicap: What cost it most beside its score.
        repeats: 0 for a new object; 1 for one that looks like an object of this picture; 2 for a
            segment that stands in the picture already.
    """

    candidate: Candidate
    worth: float
    handicap: Reason
    repeats: int = 0


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is pasted for one query.

    Attributes:
        placed: Segments, clipped to what they are to show.
        reach: Their masks before clipping.
        rejected: The candidates that lost.
    """

    placed: tuple[PlacedSegment, ...]
    reach: tuple[NDArray[np.bool_], ...]
    rejected: tuple[Rejection, ...]


def rank_candidates(
    query: Query,
    candidates: Sequence[Candidate],
    preferences: Preferences,
    settings: ChoiceSettings,
    *,
    shown: Collection[int] = (),
    alike: Collection[int] = (),
) -> list[Ranked]:
    """Return the candidates of a query, the one worth most to this picture first.

    No two people are the same: a thing that the picture shows already comes behind all others,
    whatever it is worth, and what only looks like one that it shows comes right before.

    Args:
        query: The region.
        candidates: What the bank proposes.
        preferences: What the picture wants.
        settings: What counts how much.
        shown: Segments that are in the picture already.
        alike: Segments that look like an object which is in the picture already.
    """
    if not candidates:
        return []
    best = max(max(candidate.score for candidate in candidates), 1e-9)
    ranked = []
    for position, candidate in enumerate(candidates):
        fit = candidate.score / best
        costs: dict[Reason, float] = {
            "score": 1 - fit,
            "look": settings.look_cost * preferences.look_gaps.get(candidate.source_id, 0.0)
            + settings.material_cost * preferences.material_gaps.get(candidate.segment_id, 0.0),
            "used": settings.segment_reuse_cost
            * (candidate.segment_id in preferences.used_segments)
            + settings.source_reuse_cost * (candidate.source_id in preferences.used_sources),
        }
        worth = 1 - sum(costs.values())
        if candidate.source_id == preferences.anchor_source_id:
            worth += settings.anchor_gain
        if fit < 1 - settings.tolerance:
            worth -= 1
        if preferences.lots is not None:
            row = preferences.lots[query.query_id % len(preferences.lots)]
            worth += settings.draw * float(row[position % len(row)])
        repeats = 0
        if query.is_thing:
            repeats = 2 if candidate.segment_id in shown else int(candidate.segment_id in alike)
        handicap: Reason = "used" if repeats else max(costs, key=lambda reason: costs[reason])
        ranked.append(Ranked(candidate, worth, handicap, repeats))
    return sorted(ranked, key=lambda entry: (entry.repeats, -entry.worth, entry.candidate.rank))


def choose_thing(
    query: Query, ranked: Sequence[Ranked], place: Place, settings: ChoiceSettings
) -> Chosen:
    """Choose the segment of a thing: the best of the first few, once they are placed.

    An object that the picture shows already is tried only if nothing else could be placed. What is
    chosen is not clipped to the query: the layout follows the outline of what is really there.
    """
    trials: list[tuple[float, PlacedSegment]] = []
    tried: dict[int, Reason] = {}
    count = settings.thing_trials if query.region.area_px >= settings.small_px else 1
    least_repeats = 0
    for entry in ranked:
        if trials and entry.repeats > least_repeats:
            break
        least_repeats = entry.repeats
        placed = place(entry.candidate)
        is_cut = shows_a_cut(placed, query.layout.size_hw)
        tried[placed.segment.segment_id] = "cut" if is_cut else "fit"
        if placed.mask.any():
            trials.append((entry.worth + placed.iou - settings.cut_cost * is_cut, placed))
        if len(trials) >= count or (placed.iou >= settings.good_iou and not is_cut):
            break
    if not trials:
        return Chosen((), (), _rejections(query, ranked, tried, set()))
    _, winner = max(trials, key=lambda trial: trial[0])
    rejected = _rejections(query, ranked, tried, {winner.segment.segment_id})
    return Chosen((winner,), (winner.mask,), rejected)


def shows_a_cut(placed: PlacedSegment, size_hw: tuple[int, int]) -> bool:
    """Return True if the frame of its photograph cuts a placed segment within the picture.

    Args:
        placed: The segment.
        size_hw: (height, width) of the picture.
    """
    segment = placed.segment
    height, width = segment.source_size_hw
    top, left, bottom, right = segment.box
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    sides = [
        (middle_x, top, top == 0),
        (left, middle_y, left == 0),
        (middle_x, bottom, bottom == height),
        (right, middle_y, right == width),
    ]
    if not any(is_cut for _, _, is_cut in sides):
        return False
    inverse = np.linalg.inv(np.vstack([placed.source_from_target, [0, 0, 1]]))
    for x, y, is_cut in sides:
        if is_cut:
            target_x, target_y, _ = inverse @ (x, y, 1)
            inside_x = CUT_MARGIN_PX < target_x < size_hw[1] - CUT_MARGIN_PX
            inside_y = CUT_MARGIN_PX < target_y < size_hw[0] - CUT_MARGIN_PX
            if inside_x and inside_y:
                return True
    return False


def leftover_queries(
    query: Query, chosen: Chosen, *, first_id: int, first_instance: int, settings: ChoiceSettings
) -> list[Query]:
    """Ask again for what a thing's segment leaves of a region that is more than one object.

    Args:
        query: The thing.
        chosen: What was placed for it.
        first_id: Query id of the first new query; the next ones follow.
        first_instance: Instance number of the first; likewise.
        settings: From which size on.

    Returns:
        Queries for the largest connected pieces that are left uncovered, largest first.
    """
    region = query.region
    if not chosen.placed or region.area_px < settings.small_px:
        return []
    left = region.mask.copy()
    for item in chosen.placed:
        left &= ~_within(item.mask, item.box, region.box)
    least_px = max(settings.leftover * region.area_px, settings.small_px)
    if np.count_nonzero(left) < least_px:
        return []
    side = 2 * max(1, round(0.03 * min(left.shape))) + 1
    solid = cv2.morphologyEx(
        left.astype(np.uint8),
        cv2.MORPH_OPEN,
        np.ones((side, side), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    found = [n for n in range(1, len(stats)) if stats[n, cv2.CC_STAT_AREA] >= least_px]
    found.sort(key=lambda n: (-int(stats[n, cv2.CC_STAT_AREA]), n))
    height, width = query.layout.size_hw
    queries = []
    for place, number in enumerate(found[: settings.leftover_pieces]):
        x, y, w, h = (int(value) for value in stats[number, :4])
        box = (region.box[0] + y, region.box[1] + x, region.box[0] + y + h, region.box[1] + x + w)
        cut = box[0] == 0 or box[1] == 0 or box[2] == height or box[3] == width
        mask = numbers[y : y + h, x : x + w] == number
        piece = Region(region.class_id, first_instance + place, box, mask, cut)
        queries.append(Query(first_id + place, piece, query.layout))
    return queries


def cover_zone(
    query: Query,
    zone: NDArray[np.bool_],
    zone_box: Box,
    ranked: Sequence[Ranked],
    place: Place,
    settings: ChoiceSettings,
    *,
    margin_px: int,
    first_is_given: bool = False,
) -> Chosen:
    """Cover the zone of a stuff region with as few segments as it takes.

    The first piece is the candidate worth most, its share of the zone counted in, or, if that is
    given, the first of the candidates, whatever it is worth; each further one
    is the candidate that covers most of what is open then, those of photographs already in the
    zone preferred. A piece is clipped to what it is to show. Where much stays open all the same,
    what was placed is laid over it again, moved by whole pixels: texture of the class, whose every
    pixel has its photograph.

    Args:
        query: The region.
        zone: (h, w) bool over zone_box: the region, and what of it goes on behind things.
        zone_box: In layout pixels.
        ranked: Candidates, best first.
        place: Bends a candidate to the query.
        settings: Limits.
        margin_px: How far a piece's colour is kept around what it shows, for blending.
        first_is_given: True if the caller has said which candidate shows first.
    """
    area = int(np.count_nonzero(zone))
    small = area < settings.small_px
    count = 1 if small else settings.stuff_trials
    budget = settings.stuff_trials if small else settings.stuff_budget
    open_part = zone.copy()
    left = area
    waiting = list(ranked)
    trials: list[tuple[Ranked, PlacedSegment, NDArray[np.bool_]]] = []
    pieces: list[PlacedSegment] = []
    reach: list[NDArray[np.bool_]] = []
    tried: dict[int, Reason] = {}
    textures: list[PlacedSegment] = []
    while len(pieces) < settings.stuff_pieces and left > max(settings.least_open * area, 8):
        spare = max(budget - len(tried), 0) if pieces else count
        if first_is_given and not tried:
            spare = 1
        fresh, waiting = waiting[: min(count, spare)], waiting[min(count, spare) :]
        for entry in fresh:
            placed = place(entry.candidate)
            trials.append((entry, placed, _within(placed.mask, placed.box, zone_box)))
            textures.append(placed)
            tried[placed.segment.segment_id] = "covered"
        if not trials:
            break
        sources = {piece.segment.source_id for piece in pieces}
        values = []
        for entry, placed, mask in trials:
            gain = np.count_nonzero(mask & open_part) / left
            bonus = settings.anchor_gain * (placed.segment.source_id in sources)
            values.append((2 * gain + entry.worth + bonus, gain))
        winner = max(range(len(trials)), key=lambda number: values[number])
        if values[winner][1] < (settings.least_gain if pieces else 1e-9):
            if not fresh:
                break
            continue
        _, placed, mask = trials.pop(winner)
        shown = mask & open_part
        piece, own = _clip(placed, shown, zone_box, margin_px)
        pieces.append(piece)
        reach.append(own)
        open_part &= ~shown
        left = int(np.count_nonzero(open_part))
    for _ in range(settings.texture_pieces):
        if left <= max(settings.texture_open * area, settings.small_px) or not textures:
            break
        moved = lay_over(open_part, zone_box, textures, query.layout.size_hw)
        shown = _within(moved.mask, moved.box, zone_box) & open_part
        if np.count_nonzero(shown) < settings.least_gain * left:
            break
        piece, own = _clip(moved, shown, zone_box, margin_px)
        pieces.append(piece)
        reach.append(own)
        open_part &= ~shown
        left = int(np.count_nonzero(open_part))
    used = {piece.segment.segment_id for piece in pieces}
    return Chosen(tuple(pieces), tuple(reach), _rejections(query, ranked, tried, used))


def _within(mask: NDArray[np.bool_], box: Box, other: Box) -> NDArray[np.bool_]:
    """Return a mask over box as a mask over another box."""
    result = np.zeros((other[2] - other[0], other[3] - other[1]), np.bool_)
    top, left = max(box[0], other[0]), max(box[1], other[1])
    bottom, right = min(box[2], other[2]), min(box[3], other[3])
    if top < bottom and left < right:
        result[top - other[0] : bottom - other[0], left - other[1] : right - other[1]] = mask[
            top - box[0] : bottom - box[0], left - box[1] : right - box[1]
        ]
    return result


def _clip(
    placed: PlacedSegment, shown: NDArray[np.bool_], zone_box: Box, margin_px: int
) -> tuple[PlacedSegment, NDArray[np.bool_]]:
    """Return the piece that shows some pixels of the zone, cut down to them and a margin."""
    rows = np.flatnonzero(shown.any(axis=1))
    columns = np.flatnonzero(shown.any(axis=0))
    top = max(zone_box[0] + int(rows[0]) - margin_px, placed.box[0])
    bottom = min(zone_box[0] + int(rows[-1]) + 1 + margin_px, placed.box[2])
    left = max(zone_box[1] + int(columns[0]) - margin_px, placed.box[1])
    right = min(zone_box[1] + int(columns[-1]) + 1 + margin_px, placed.box[3])
    window = (
        slice(top - placed.box[0], bottom - placed.box[0]),
        slice(left - placed.box[1], right - placed.box[1]),
    )
    box = (top, left, bottom, right)
    piece = replace(placed, box=box, color=placed.color[window], mask=_within(shown, zone_box, box))
    return piece, placed.mask[window]


def _rejections(
    query: Query, ranked: Sequence[Ranked], tried: Mapping[int, Reason], used: Collection[int]
) -> tuple[Rejection, ...]:
    return tuple(
        Rejection(
            query.query_id,
            entry.candidate.segment_id,
            tried.get(entry.candidate.segment_id, entry.handicap),
        )
        for entry in ranked
        if entry.candidate.segment_id not in used
    )
