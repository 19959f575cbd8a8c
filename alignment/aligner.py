"""ClosedFormAligner: the best of a few fits, within limits, undone where it helps nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.affine import Affine, compose, invert, mirroring, scaling, translation
from scenequilt.alignment.fit import (
    MaskMoments,
    fit_boxes,
    fit_frame,
    fit_moments,
    fit_shift,
    fit_visible_sides,
    moments_of,
)
from scenequilt.alignment.limits import LimitsByKind
from scenequilt.alignment.warp import WarpedPatch, sample_mask, warp_mask, warp_segment
from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Query, Segment, size_of

_GRID = 64
"""Most samples along a side when fits are compared; smaller queries are compared exactly."""

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
        the frame, scaled from the photograph's size to the layout's.

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
        patch = _warp(segment, chosen, size_hw)
        iou = _iou(query, patch.box, patch.mask)
        if chosen is not frame:
            left = warp_mask(segment.mask, segment.crop_box, invert(frame), size_hw)
            if iou < _iou(query, *left):
                chosen = frame
                patch = _warp(segment, frame, size_hw)
                iou = _iou(query, patch.box, patch.mask)
        return PlacedSegment(
            query.query_id,
            segment,
            candidate,
            invert(chosen),
            patch.box,
            patch.color,
            patch.mask,
            iou,
        )

    def _choose(self, query: Query, segment: Segment, frame: Affine) -> Affine:
        """Return the fit of the best rating; the frame itself where nothing gains enough."""
        rating = _SampledRating(query, segment, 1.0 if query.is_thing else self.stuff_excess)
        best, best_value = frame, rating.of(frame)
        for fits in self._fits(query, segment, frame):
            value, fit = max(((rating.of(fit), fit) for fit in fits), key=lambda pair: pair[0])
            if value >= best_value + self.min_gain:
                best, best_value = fit, value
        value, fit = self._search(query, rating, best, best_value, frame)
        return fit if value >= best_value + self.min_gain else best

    def _search(
        self, query: Query, rating: "_SampledRating", fit: Affine, value: float, frame: Affine
    ) -> tuple[float, Affine]:
        """Move and scale a fit as long as its rating rises; return the rating and the fit."""
        limits = self.limits.of(query.layout.taxonomy.classes[query.class_id])
        step = _FIRST_STEP
        for _ in range(self.rounds):
            risen = False
            for nudge in _nudges(query.region.box, step):
                nudged = compose(nudge, fit)
                if not limits.allows(nudged, frame):
                    continue
                nudged_value = rating.of(nudged)
                if nudged_value > value + _LEAST_STEP_GAIN:
                    value, fit, risen = nudged_value, nudged, True
            if not risen:
                step /= 2
            if step < _LAST_STEP:
                break
        return value, fit

    def _fits(self, query: Query, segment: Segment, frame: Affine) -> Iterator[list[Affine]]:
        """Yield fits within the limits, in groups, the furthest from the photograph last."""
        entry = query.layout.taxonomy.classes[query.class_id]
        source_width = segment.source_size_hw[1]
        asked = moments_of(query.region.mask, query.region.box)
        given = moments_of(segment.mask, segment.crop_box)
        yield [fit_shift(asked, given, frame)]
        yield self._bent(query, segment, frame, asked, given)
        if self.allow_flip and not entry.text:
            mirror = mirroring(source_width / 2)
            flipped = given.mirrored(source_width / 2)
            fits = [frame, fit_shift(asked, flipped, frame)]
            fits += self._bent(query, segment, frame, asked, flipped, mirrored=True)
            yield [compose(fit, mirror) for fit in fits]

    def _bent(
        self,
        query: Query,
        segment: Segment,
        frame: Affine,
        asked: MaskMoments,
        given: MaskMoments,
        *,
        mirrored: bool = False,
    ) -> list[Affine]:
        """Return the fits that change size or proportions, for the photograph or its mirror."""
        limits = self.limits.of(query.layout.taxonomy.classes[query.class_id])
        size_hw, source_size_hw = query.layout.size_hw, segment.source_size_hw
        top, left, bottom, right = segment.box
        if mirrored:
            left, right = source_size_hw[1] - right, source_size_hw[1] - left
        box = (top, left, bottom, right)
        sides = fit_visible_sides(query.region.box, box, size_hw, source_size_hw)
        fits = [(sides.target_from_source, sides.fixed_xy)]
        if not query.is_thing:
            fits.append((fit_boxes(query.region.box, box), given.centroid_xy))
        if query.region.cut_by_frame == segment.cut_by_frame or not query.is_thing:
            for rotate in (False, True):
                fits.append((fit_moments(asked, given, rotate=rotate), given.centroid_xy))
        return [limits.clamp(fit, frame, fixed_xy) for fit, fixed_xy in fits]


def _warp(segment: Segment, target_from_source: Affine, size_hw: tuple[int, int]) -> WarpedPatch:
    return warp_segment(
        segment.color, segment.mask, segment.crop_box, invert(target_from_source), size_hw
    )


def _nudges(box: Box, step: float) -> list[Affine]:
    """Return small moves and stretches of a box, either way along both axes."""
    height, width = size_of(box)
    center_xy = ((box[1] + box[3]) / 2, (box[0] + box[2]) / 2)
    grown, shrunk = 1 + step, 1 / (1 + step)
    return [
        translation(step * width, 0),
        translation(-step * width, 0),
        translation(0, step * height),
        translation(0, -step * height),
        scaling(grown, 1, center_xy),
        scaling(shrunk, 1, center_xy),
        scaling(1, grown, center_xy),
        scaling(1, shrunk, center_xy),
    ]


class _SampledRating:
    """How well fits meet one query, on a grid over the query's box.

    The rating is shared / (shared + open + excess_cost * excess), areas of: segment and query,
    query alone, segment alone (Tversky 1977, "Features of similarity"); with excess_cost = 1 it is
    the IoU. What is shared is counted where the grid samples it. The segment's area is that in the
    photograph times the change of area; of a segment that overflows the layout, the part that
    falls within, which a turned one is sampled for.
    """

    def __init__(self, query: Query, segment: Segment, excess_cost: float) -> None:
        self._segment = segment
        self._mask = np.ascontiguousarray(segment.mask).view(np.uint8)
        self._size_hw = query.layout.size_hw
        self._excess_cost = excess_cost
        self._query_area_px = query.region.area_px
        self._segment_area_px = int(np.count_nonzero(segment.mask))
        self._grid = _Grid.over(query.region.box)
        self._layout_grid = _Grid.over((0, 0, *self._size_hw))
        self._query_samples = sample_mask(
            query.region.mask, query.region.box, self._grid.frame_from_grid, self._grid.size_hw
        )

    def of(self, target_from_source: Affine) -> float:
        """Return the rating, in [0, 1], that a map would have."""
        source_from_target = invert(target_from_source)
        samples = self._sample(source_from_target, self._grid)
        shared_px = cv2.countNonZero(samples & self._query_samples) * self._grid.cell_px
        if shared_px == 0:
            return 0.0
        excess_px = max(self._area_px(target_from_source, source_from_target) - shared_px, 0.0)
        total_px = max(self._query_area_px, shared_px) + self._excess_cost * excess_px
        return shared_px / total_px

    def _area_px(self, target_from_source: Affine, source_from_target: Affine) -> float:
        height, width = self._size_hw
        (a, b, x), (c, d, y) = target_from_source.tolist()
        top, left, bottom, right = self._segment.box
        center_x, center_y = (left + right) / 2, (top + bottom) / 2
        half_x, half_y = (right - left) / 2, (bottom - top) / 2
        middle_x, middle_y = a * center_x + b * center_y + x, c * center_x + d * center_y + y
        reach_x = abs(a) * half_x + abs(b) * half_y
        reach_y = abs(c) * half_x + abs(d) * half_y
        if reach_x <= middle_x <= width - reach_x and reach_y <= middle_y <= height - reach_y:
            return float(abs(a * d - b * c)) * self._segment_area_px
        if abs(b) + abs(c) < 1e-9:
            (across, _, from_x), (_, down, from_y) = source_from_target.tolist()
            rows = _span(from_y, from_y + down * height, self._segment.crop_box[0])
            columns = _span(from_x, from_x + across * width, self._segment.crop_box[1])
            return float(abs(a * d)) * cv2.countNonZero(self._mask[rows, columns])
        samples = self._sample(source_from_target, self._layout_grid)
        return cv2.countNonZero(samples) * self._layout_grid.cell_px

    def _sample(self, source_from_target: Affine, grid: "_Grid") -> NDArray[np.uint8]:
        """Return sample_mask of the segment; in plain numbers, since it is called so often."""
        (a, b, x), (c, d, y) = source_from_target.tolist()
        top, left = self._segment.crop_box[:2]
        start_x, start_y = grid.left + grid.step_x / 2, grid.top + grid.step_y / 2
        at_centers = np.array(
            [
                [a * grid.step_x, b * grid.step_y, a * start_x + b * start_y + x - left - 0.5],
                [c * grid.step_x, d * grid.step_y, c * start_x + d * start_y + y - top - 0.5],
            ]
        )
        samples = cv2.warpAffine(
            self._mask,
            at_centers,
            grid.size_hw[::-1],
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        )
        return np.asarray(samples, np.uint8)


def _span(first: float, second: float, start: int) -> slice:
    """Return the pixels between two coordinates, counted from a start."""
    low, high = min(first, second), max(first, second)
    return slice(max(round(low) - start, 0), max(round(high) - start, 0))


@dataclass(frozen=True, slots=True)
class _Grid:
    """Cells over a box of the layout; the centre of a cell is its sample."""

    top: int
    left: int
    size_hw: tuple[int, int]
    step_x: float
    step_y: float

    @classmethod
    def over(cls, box: Box) -> "_Grid":
        height, width = size_of(box)
        rows, columns = min(height, _GRID), min(width, _GRID)
        return cls(box[0], box[1], (rows, columns), width / columns, height / rows)

    @property
    def cell_px(self) -> float:
        return self.step_x * self.step_y

    @property
    def frame_from_grid(self) -> Affine:
        return compose(translation(self.left, self.top), scaling(self.step_x, self.step_y))


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
