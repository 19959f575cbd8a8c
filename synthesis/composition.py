"""What composing a layout yields: the picture, its true layout, and where every pixel came from."""

import time
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import PlacedSegment, Query, Retrieval
from scenequilt.memory_bank.taxonomy import VOID

if TYPE_CHECKING:
    from scenequilt.synthesis.groundwork import Groundwork


class PixelState(IntEnum):
    """What was done to a pixel after it was pasted."""

    OPEN = 0
    """Nothing is there: no segment covers it and nothing filled it."""
    COPIED = 1
    """The warped segment's own colour, bit by bit."""
    RECOLOURED = 2
    """One segment's pixel, its colour moved towards its surroundings."""
    BLENDED = 3
    """Mixed across a border: ownership names the segment that was pasted there; texture mixed in
    beside a hole weighs at most as much as what was there."""
    SYNTHESISED = 4
    """No segment's pixel: texture of the same class, or an inpainted hole."""


Reason = Literal["score", "used", "look", "fit", "cut", "covered", "swapped"]
"""Why a candidate lost. score: worth less than the chosen one. used: this picture or an earlier
variant shows it. look: its light and colour are far from the picture's. fit: another one's outline
fits better once placed. cut: the frame of its photograph would cut it in the middle of the picture.
covered: what it would show was covered by then. swapped: the caller put another in its place."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that is not in the picture.

    Attributes:
        query_id: The query it was proposed for.
        segment_id: The segment.
        reason: What decided.
    """

    query_id: int
    segment_id: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Swap:
    """A choice of the caller's: what answers a query instead of what did.

    Attributes:
        query_id: The query.
        segment_id: The segment that answers it since; of stuff, the one that shows first.
        instead_of: The segment that did before.
    """

    query_id: int
    segment_id: int
    instead_of: int


class PaintingOrder(Protocol):
    """Which placed segment is painted when; whatever else an orderer records comes along."""

    @property
    def back_to_front(self) -> tuple[int, ...]:
        """Places in the sequence of placed segments, the furthest back first."""
        ...


@dataclass(frozen=True, eq=False)
class Composition:
    """A photograph composed for a layout, with its record.

    Attributes:
        image: (H, W, 3) uint8 RGB. Open pixels are black.
        requested: The layout that was asked for.
        delivered: The layout that is true of the picture; void where the picture is open.
        ownership: (H, W) int32, place in placed of the segment that a pixel belongs to, -1 = none.
        placed: Every segment that was pasted; the mask is what was offered to the canvas, before
            segments in front hid some of it.
        order: Who was painted over whom.
        queries: The regions of the layout, by query_id.
        retrievals: What the bank answered, by query_id.
        rejected: The candidates that lost, and why.
        state: (H, W) uint8, PixelState of every pixel.
        coverage: (H, W) bool, True where a segment was pasted, before any filling.
        elided: (H, W) bool, pixels near a seam that a learned finish should repaint; nothing in
            image was changed there.
        seconds: Time of each stage, in the order they ran.
        seed: What the random choices were drawn with.
        variant: 0 for the best choice, 1... for the ones that differ from it.
        anchor_source_id: Photograph whose light the picture follows, "" if none.
        finish_name: Finish that made the picture of the canvas.
        swaps: What was swapped since it was composed, in order; the same swaps of the same
            composition give the same picture.
        groundwork: What swapping goes by; None for a composition that was put together by hand.
    """

    image: NDArray[np.uint8]
    requested: Layout
    delivered: Layout
    ownership: NDArray[np.int32]
    placed: tuple[PlacedSegment, ...]
    order: PaintingOrder
    queries: tuple[Query, ...]
    retrievals: tuple[Retrieval, ...]
    rejected: tuple[Rejection, ...]
    state: NDArray[np.uint8]
    coverage: NDArray[np.bool_]
    elided: NDArray[np.bool_]
    seconds: dict[str, float]
    seed: int
    variant: int
    anchor_source_id: str
    finish_name: str
    swaps: tuple[Swap, ...] = ()
    groundwork: "Groundwork | None" = None

    @cached_property
    def segment_ids(self) -> NDArray[np.int64]:
        """(H, W) int64, segment id of every pixel, -1 where no segment owns it."""
        ids = np.array([-1, *(item.segment.segment_id for item in self.placed)], np.int64)
        return ids[self.ownership + 1]

    @cached_property
    def owned_px(self) -> NDArray[np.int64]:
        """(P,) int64, pixels that each placed segment owns; 0 for one that is wholly hidden."""
        return np.bincount(self.ownership.ravel() + 1, minlength=len(self.placed) + 1)[1:]

    @cached_property
    def chosen_ids(self) -> tuple[int, ...]:
        """Segment id of every placed segment, in the order of placed."""
        return tuple(item.segment.segment_id for item in self.placed)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Photographs that own at least one pixel, the largest share first.

        No other photograph's pixels went into the picture, mixed in, as texture or otherwise. Only
        the light that colours are moved towards may be of one more: anchor_source_id names it.
        """
        shares: dict[str, int] = {}
        for item, pixels in zip(self.placed, self.owned_px, strict=True):
            if pixels:
                shares[item.segment.source_id] = shares.get(item.segment.source_id, 0) + int(pixels)
        return tuple(sorted(shares, key=lambda source_id: (-shares[source_id], source_id)))

    @cached_property
    def coverage_share(self) -> float:
        """Share of the non-void requested pixels that a segment covers before any filling."""
        return _share(self.coverage, self.requested.label_map != VOID)

    @cached_property
    def agreement(self) -> float:
        """Share of the non-void requested pixels whose delivered class is the requested one."""
        asked = self.requested.label_map
        return _share(self.delivered.label_map == asked, asked != VOID)

    @cached_property
    def agreement_by_class(self) -> dict[str, float]:
        """The same for each class that is asked for, by class name in the taxonomy's order."""
        asked = self.requested.label_map
        agree = self.delivered.label_map == asked
        return {
            entry.name: _share(agree, asked == class_id)
            for class_id, entry in enumerate(self.requested.taxonomy.classes)
            if (asked == class_id).any()
        }

    @cached_property
    def state_shares(self) -> dict[str, float]:
        """Share of all pixels in each state, by its lower-case name."""
        counts = np.bincount(self.state.ravel(), minlength=len(PixelState))
        return {state.name.lower(): float(counts[state] / counts.sum()) for state in PixelState}


class Stopwatch:
    """Seconds of each stage, in the order they ran."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Write down how long a stage took that has just ended."""
        now = time.perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _share(true: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    total = np.count_nonzero(among)
    return float(np.count_nonzero(true & among) / total) if total else 1.0
