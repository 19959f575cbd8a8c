"""What a layout says about which of two of its regions is in front."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box, Query
from scenequilt.memory_bank.taxonomy import GROUND_NAMES

Source = Literal["class", "ground", "depth", "enclosure", "network", "candidate", "fixed"]
"""Where a statement about a pair comes from.

class: the usual order of their classes. ground: what touches the ground lower in the picture is
nearer. depth: the layout's depth map. enclosure: the one has the other all around it. network: a
trained one. candidate: both answer one query, and the better candidate is in front. fixed: the
caller said so.
"""

LAYOUT_SOURCES: frozenset[Source] = frozenset(["class", "ground", "depth", "enclosure"])
"""The sources that look at the layout, and can be left out."""

OUTLINE_SOURCES: tuple[Source, ...] = ("class", "ground", "enclosure")
"""Those that need no depth, in the order in which a network weighs them."""

NOT_STANDING_NAMES = frozenset(
    [
        "window",
        "windowpane",
        "door",
        "picture",
        "painting",
        "poster",
        "mirror",
        "whiteboard",
        "clock",
        "shelves",
        "curtain",
        "shower_curtain",
        "blinds",
        "television",
        "monitor",
        "sign",
        "sign_symbol",
        "traffic_sign",
        "traffic_light",
        "lamp",
        "light",
        "chandelier",
        "sink",
        "pillow",
        "cushion",
        "blanket",
        "towel",
        "clothes",
        "books",
        "book",
        "paper",
        "box",
        "bag",
        "bottle",
        "cup",
        "bowl",
        "plate",
        "vase",
        "laptop",
        "keyboard",
        "mouse",
        "remote",
        "cell_phone",
        "bird",
        "kite",
        "airplane",
        "backpack",
        "handbag",
        "rider",
    ]
)
"""Things that hang, lie on or are carried by something else: where they end below says nothing."""

STANDING_NAMES = frozenset(["street_light", "floor_lamp", "mail_box"])
"""Things that stand on the ground, though their last word is among those that do not."""

# Logits: 1 is a chance of 0.73, 2 of 0.88, 3 of 0.95, 4 of 0.98.
_CLASS_PER_RANK = 4.0
_CLASS_CAP = 2.5
_STUFF_CAP = 1.0
_STANDING_CAP = 1.0
_GROUND_PER_HEIGHT = 40.0
_GROUND_CAP = 3.0
_DEPTH_PER_LOG_RATIO = 25.0
_DEPTH_CAP = 5.0
_ENCLOSED_LOGIT = 1.5
_ENCLOSED_FROM = 0.7
_CANDIDATE_LOGIT = 4.0

_STRIP_PER_HEIGHT = 5 / 256
"""Reach of the strip along a shared border: 11 pixels wide at 256 (Qi et al. 2018, code)."""

_MOST_DEPTHS = 2048
"""A median of so many is good enough."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One statement about a pair.

    Attributes:
        source: Where it comes from.
        probability: That the first of the pair is in front, in (0, 1); 1 or 0 only where fixed.
    """

    source: Source
    probability: float


def combine(evidence: Iterable[Evidence]) -> float:
    """Return the probability in [0, 1] that all statements give together, taken as independent.

    Log odds add up; without any statement it is 0.5.
    """
    total = 0.0
    for statement in evidence:
        if statement.probability in (0.0, 1.0):
            return statement.probability
        total += math.log(statement.probability / (1 - statement.probability))
    return _sigmoid(total)


def candidate_evidence(first_rank: int, second_rank: int) -> Evidence:
    """Weigh two placed segments of one query by the ranks of their candidates, 0 the best."""
    sign = (second_rank > first_rank) - (second_rank < first_rank)
    return Evidence("candidate", _sigmoid(sign * _CANDIDATE_LOGIT))


class LayoutEvidence:
    """Statements about pairs of queries of one layout."""

    def __init__(
        self,
        queries: Iterable[Query],
        ranks: NDArray[np.float64],
        sources: Collection[Source] = LAYOUT_SOURCES,
    ) -> None:
        """Take the queries and the painting ranks (K,) of their taxonomy's classes."""
        self._views = {query.query_id: _QueryView(query) for query in queries}
        self._ranks = ranks
        self._sources = frozenset(sources)

    def between(self, first_id: int, second_id: int) -> tuple[Evidence, ...]:
        """Return what speaks for the first query being in front of the second, or against it."""
        logits = self.logits(first_id, second_id)
        return tuple(
            Evidence(source, _sigmoid(logit)) for source, logit in logits.items() if logit != 0
        )

    def logits(self, first_id: int, second_id: int) -> dict[Source, float]:
        """Return the same as log odds, by source; 0 from a source that says nothing."""
        first, second = self._views[first_id], self._views[second_id]
        found: dict[Source, float] = {}
        if "class" in self._sources:
            found["class"] = self._class_logit(first, second)
        if "ground" in self._sources:
            found["ground"] = _ground_logit(first, second)
        if "depth" in self._sources:
            found["depth"] = _depth_logit(first, second)
        if "enclosure" in self._sources:
            found["enclosure"] = _enclosure_logit(first, second)
        return found

    def log_depth_ratio(self, first_id: int, second_id: int) -> float | None:
        """Return how much farther the second query is than the first, as log(second / first).

        Medians of the depths of each within a strip along their common border; of two things that
        are apart, of all of each.

        Returns:
            None without depth on both sides, and between a surface and what may stand on it, which
            are equally far where they meet.
        """
        return _log_depth_ratio(self._views[first_id], self._views[second_id])

    def are_near(self, first_id: int, second_id: int) -> bool:
        """Return True if either query has a pixel in the strip along the border of the other."""
        first, second = self._views[first_id], self._views[second_id]
        reach_px = _reach_px(first.query.layout.size_hw[0])
        grown, grown_box = second.grown(reach_px)
        window = _common(first.box, grown_box)
        if window is None:
            return False
        return bool(
            (_within(first.mask, first.box, window) & _within(grown, grown_box, window)).any()
        )

    def _class_logit(self, first: "_QueryView", second: "_QueryView") -> float:
        if first.is_thing and second.is_surface:
            return _CLASS_CAP
        if second.is_thing and first.is_surface:
            return -_CLASS_CAP
        if first.stands and second.stands:
            # Who stands nearer does not depend on what stands there.
            cap = _STANDING_CAP
        elif first.is_thing or second.is_thing:
            cap = _CLASS_CAP
        else:
            # Stuff is clipped to its region: wrong by a few pixels at most, so it is first to go.
            cap = _STUFF_CAP
        ahead = float(self._ranks[first.query.class_id] - self._ranks[second.query.class_id])
        return _capped(_CLASS_PER_RANK * ahead, cap)


class _QueryView:
    """A query and what is measured on it, each at most once."""

    def __init__(self, query: Query) -> None:
        entry = query.layout.taxonomy.classes[query.class_id]
        self.query = query
        self.is_thing = entry.kind == "thing"
        # Where something meets the ground it stands on both are as far: depth says nothing there.
        self.is_surface = not self.is_thing and entry.known_as(GROUND_NAMES)
        known_name = entry.known_name(NOT_STANDING_NAMES | STANDING_NAMES)
        self.stands = self.is_thing and known_name not in NOT_STANDING_NAMES
        self.mask = np.ascontiguousarray(query.region.mask)
        self.box = query.region.box
        self._grown: dict[int, NDArray[np.bool_]] = {}
        self._median: float | None = None

    def grown(self, reach_px: int) -> tuple[NDArray[np.bool_], Box]:
        """Return the region grown to all sides, and its box, which may leave the layout."""
        if reach_px not in self._grown:
            side = 2 * reach_px + 1
            height, width = self.mask.shape
            framed = np.zeros((height + 2 * reach_px, width + 2 * reach_px), np.uint8)
            framed[reach_px:-reach_px, reach_px:-reach_px] = self.mask
            dilated = cv2.dilate(framed, np.ones((side, side), np.uint8))
            self._grown[reach_px] = np.asarray(dilated, np.uint8).view(np.bool_)
        top, left, bottom, right = self.box
        box = (top - reach_px, left - reach_px, bottom + reach_px, right + reach_px)
        return self._grown[reach_px], box

    def median_depth_m(self, depth_m: NDArray[np.float32]) -> float:
        """Return the median depth of the whole region, 0 where none is known."""
        if self._median is None:
            top, left, bottom, right = self.box
            self._median = _median_of(depth_m[top:bottom, left:right][self.mask])
        return self._median


def _ground_logit(first: _QueryView, second: _QueryView) -> float:
    if not (first.stands and second.stands):
        return 0.0
    height = first.query.layout.size_hw[0]
    first_bottom, second_bottom = first.box[2], second.box[2]
    if max(first_bottom, second_bottom) >= height:
        # The frame cuts off the feet of one: it stands lower than can be seen.
        return _GROUND_CAP * ((first_bottom >= height) - (second_bottom >= height))
    lower = (first_bottom - second_bottom) / height
    return _capped(_GROUND_PER_HEIGHT * lower, _GROUND_CAP)


def _depth_logit(first: _QueryView, second: _QueryView) -> float:
    ratio = _log_depth_ratio(first, second)
    return 0.0 if ratio is None else _capped(_DEPTH_PER_LOG_RATIO * ratio, _DEPTH_CAP)


def _log_depth_ratio(first: _QueryView, second: _QueryView) -> float | None:
    depth_m = first.query.layout.depth_m
    if depth_m is None:
        return None
    if first.is_surface != second.is_surface:
        return None
    reach_px = _reach_px(depth_m.shape[0])
    first_m = _median_of(_depths_beside(first, second, depth_m, reach_px))
    second_m = _median_of(_depths_beside(second, first, depth_m, reach_px))
    if (first_m == 0 or second_m == 0) and first.is_thing and second.is_thing:
        # Apart in the layout. A thing is narrow in depth, so all of it will do; stuff is not.
        first_m, second_m = first.median_depth_m(depth_m), second.median_depth_m(depth_m)
    if first_m == 0 or second_m == 0:
        return None
    return math.log(second_m / first_m)


def _reach_px(height_px: int) -> int:
    return max(2, round(_STRIP_PER_HEIGHT * height_px))


def _depths_beside(
    view: _QueryView, other: _QueryView, depth_m: NDArray[np.float32], reach_px: int
) -> NDArray[np.float32]:
    """Return the depths (N,) of a region within reach of another, unknown ones included."""
    grown, grown_box = other.grown(reach_px)
    window = _common(view.box, grown_box)
    if window is None:
        return np.zeros(0, np.float32)
    strip = _within(view.mask, view.box, window) & _within(grown, grown_box, window)
    top, left, bottom, right = window
    return depth_m[top:bottom, left:right][strip]


def _median_of(depths_m: NDArray[np.float32]) -> float:
    """Return the median of the known depths, 0 where there is none."""
    some = depths_m[:: len(depths_m) // _MOST_DEPTHS + 1]
    known = some[some > 0]
    if known.size == 0:
        return 0.0
    middle = known.size // 2
    return float(np.partition(known, middle)[middle])


def _enclosure_logit(first: _QueryView, second: _QueryView) -> float:
    if not (first.is_thing and second.is_thing):
        return 0.0
    if _encloses(second, first):
        return _ENCLOSED_LOGIT
    return -_ENCLOSED_LOGIT if _encloses(first, second) else 0.0


def _encloses(outer: _QueryView, inner: _QueryView) -> bool:
    """Return True if most of what borders on the inner region belongs to the outer one."""
    top, left, bottom, right = inner.box
    around = (top - 1, left - 1, bottom + 1, right + 1)
    window = _common(outer.box, around)
    # Most pairs are settled by their boxes.
    if window is None or 2 * _area_of(window) < _area_of(around):
        return False
    grown, _ = inner.grown(1)
    ring = grown.copy()
    ring[1:-1, 1:-1] &= ~inner.mask
    facing = _within(ring, around, window) & _within(outer.mask, outer.box, window)
    return bool(np.count_nonzero(facing) >= _ENCLOSED_FROM * np.count_nonzero(ring))


def _area_of(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _common(box: Box, other: Box) -> Box | None:
    top, left = max(box[0], other[0]), max(box[1], other[1])
    bottom, right = min(box[2], other[2]), min(box[3], other[3])
    return (top, left, bottom, right) if bottom > top and right > left else None


def _within(mask: NDArray[np.bool_], box: Box, window: Box) -> NDArray[np.bool_]:
    top, left, bottom, right = window
    return mask[top - box[0] : bottom - box[0], left - box[1] : right - box[1]]


def _capped(logit: float, cap: float) -> float:
    return min(max(logit, -cap), cap)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
