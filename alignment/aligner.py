"""ClosedFormAligner: the best of a few fits, within limits, undone where it helps nothing."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.affine import (
    Affine,
    compose,
    from_numbers,
    invert,
    scaling,
    translation,
)
from scenequilt.alignment.fit import fit_frame, moments_of
from scenequilt.alignment.fit_kernels import Place
from scenequilt.alignment.limits import LimitsByKind
from scenequilt.alignment.rating_kernels import (
    LARGEST_GRID,
    Asked,
    Climbing,
    Given,
    Grid,
    choose_fit,
)
from scenequilt.alignment.warp import WarpedSegment, sample_mask, warp_mask
from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Query, Segment, size_of

_FIRST_STEP = 1 / 12
_LAST_STEP = 1 / 60
"""Steps of the search around the best fit, as shares of the query's box."""

_LEAST_STEP_GAIN = 0.002
"""Below this a better rating may be the sampling's."""


@dataclass(frozen=True)
class ClosedFormAligner:
    """Places segments without weights.

    Attributes:
        limits: How far each kind of class may be bent.
        allow_flip: Try mirrored forms too, except for classes that bear text.
        min_gain: What a step away from the photograph must gain in rating: from leaving the
            segment in the frame to moving it, to bending it, to mirroring it. Copied pixels are
            sharper than warped ones, and light comes from one side only. In [0, 1).
        stuff_excess: What a pixel of stuff outside of its query costs, relative to a pixel of the
            query left open, in [0, 1]. Stuff is clipped to its region when it is pasted, so that
            excess is hidden and openings are not. 1 rates stuff by IoU, as things are.
        rounds: Rounds of the search that moves and scales the best fit a little, >= 0.

    Raises:
        ValueError: If a value is out of range.
    """

    limits: LimitsByKind = field(default_factory=LimitsByKind)
    allow_flip: bool = True
    min_gain: float = 0.01
    stuff_excess: float = 0.4
    rounds: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.min_gain < 1:
            raise ValueError(f"min_gain is {self.min_gain}, expected 0 to 1")
        if not 0 <= self.stuff_excess <= 1:
            raise ValueError(f"stuff_excess is {self.stuff_excess}, expected 0 to 1")
        if self.rounds < 0:
            raise ValueError(f"rounds is {self.rounds}, expected at least 0")

    def place(self, query: Query, segment: Segment, candidate: Candidate) -> PlacedSegment:
        """Bend a segment to a query.

        The mask's IoU with the query is at least that of leaving the segment where it stands in
        the frame, scaled from the photograph's size to the layout's. Its colour is warped when it
        is first asked for.

        Raises:
            ValueError: If the candidate is another segment, or a mask is empty.
        """
        if candidate.segment_id != segment.segment_id:
            raise ValueError(
                f"candidate is segment {candidate.segment_id}, but segment "
                f"{segment.segment_id} came with it; load the segment that the candidate names"
            )
        size_hw = query.layout.size_hw
        frame = fit_frame(size_hw, segment.source_size_hw)
        chosen = self._choose(query, segment, frame)
        source_from_target = invert(chosen)
        box, mask = warp_mask(segment.mask, segment.crop_box, source_from_target, size_hw)
        iou = _iou(query, box, mask)
        if chosen is not frame:
            source_from_frame = invert(frame)
            left = warp_mask(segment.mask, segment.crop_box, source_from_frame, size_hw)
            left_iou = _iou(query, *left)
            if iou < left_iou:
                source_from_target, (box, mask), iou = source_from_frame, left, left_iou
        return WarpedSegment(
            query.query_id,
            segment,
            candidate,
            source_from_target,
            box,
            None,
            mask,
            iou,
        )

    def _choose(self, query: Query, segment: Segment, frame: Affine) -> Affine:
        """Return the fit of the best rating; the frame itself where nothing gains enough."""
        asked = _asked(query, 1.0 if query.is_thing else self.stuff_excess)
        entry = query.layout.taxonomy.classes[query.class_id]
        mask = np.ascontiguousarray(segment.mask).view(np.uint8)
        moments = moments_of(segment.mask, segment.crop_box)
        top, left = segment.crop_box[:2]
        place = Place(segment.box, moments.numbers, *segment.source_size_hw, segment.cut_by_frame)
        numbers, is_frame = choose_fit(
            asked,
            Given(place, int(moments.area_px), mask, top, left),
            self.limits.of(entry).bounds(frame),
            float(self.min_gain),
            self.allow_flip and not entry.text,
            Climbing(self.rounds, _FIRST_STEP, _LAST_STEP, _LEAST_STEP_GAIN),
        )
        return frame if is_frame else from_numbers(numbers)


@lru_cache(maxsize=4)
def _asked(query: Query, excess_cost: float) -> Asked:
    """Prepare a query, which mostly comes several times in a row."""
    region, size_hw = query.region, query.layout.size_hw
    grid = _grid_over(region.box)
    frame_from_grid = compose(translation(grid.left, grid.top), scaling(grid.step_x, grid.step_y))
    samples = sample_mask(region.mask, region.box, frame_from_grid, (grid.rows, grid.columns))
    rows, columns = np.nonzero(samples)
    moments = moments_of(region.mask, region.box)
    return Asked(
        Place(region.box, moments.numbers, *size_hw, region.cut_by_frame),
        region.area_px,
        query.is_thing,
        grid,
        np.searchsorted(rows, np.arange(grid.rows + 1)).astype(np.int32),
        columns.astype(np.int32),
        _grid_over((0, 0, *size_hw)),
        float(excess_cost),
    )


def _grid_over(box: Box) -> Grid:
    height, width = size_of(box)
    rows, columns = min(height, LARGEST_GRID), min(width, LARGEST_GRID)
    return Grid(float(box[0]), float(box[1]), rows, columns, width / columns, height / rows)


def _iou(query: Query, box: Box, mask: NDArray[np.bool_]) -> float:
    """Return the IoU of a placed mask with the query's, in [0, 1]."""
    region = query.region
    top, left = max(box[0], region.box[0]), max(box[1], region.box[1])
    bottom, right = min(box[2], region.box[2]), min(box[3], region.box[3])
    area_px = int(np.count_nonzero(mask))
    if bottom <= top or right <= left:
        return 0.0
    both = _within(mask, box, (top, left, bottom, right)) & _within(
        region.mask, region.box, (top, left, bottom, right)
    )
    overlap_px = int(np.count_nonzero(both))
    return overlap_px / (area_px + region.area_px - overlap_px)


def _within(mask: NDArray[np.bool_], box: Box, window: Box) -> NDArray[np.bool_]:
    top, left, bottom, right = window
    return mask[top - box[0] : bottom - box[0], left - box[1] : right - box[1]]
