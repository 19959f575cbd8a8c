"""Maps from a segment to a query in closed form: in the frame, by shift, by box, by moments.

None of them mirrors: a mirrored fit is the fit of the mirrored photograph.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.affine import (
    Affine,
    Point,
    compose,
    rotation,
    scaling,
    through,
)
from scenequilt.memory_bank.segment import Box, size_of

_PIXEL_VARIANCE = 1 / 12
"""Variance of a point within its pixel: a mask of one pixel has an extent."""


@dataclass(frozen=True, slots=True)
class MaskMoments:
    """Where a mask is and how it spreads, in continuous coordinates of its frame.

    Attributes:
        area_px: Number of pixels.
        centroid_xy: Mean of the points.
        variance_x: Mean squared distance from the centroid along x, px^2.
        variance_y: The same along y.
        covariance: Mean product of both distances.
    """

    area_px: float
    centroid_xy: Point
    variance_x: float
    variance_y: float
    covariance: float

    @property
    def axis_rad(self) -> float:
        """Direction of the widest spread, in (-pi/2, pi/2]; 0 for a round mask."""
        return math.atan2(2 * self.covariance, self.variance_x - self.variance_y) / 2

    @property
    def spreads(self) -> tuple[float, float]:
        """Standard deviation along the widest and along the narrowest direction, px."""
        mean = (self.variance_x + self.variance_y) / 2
        radius = math.hypot((self.variance_x - self.variance_y) / 2, self.covariance)
        # Against rounding only: a line of pixels still has the variance of a pixel across.
        narrow = max(mean - radius, _PIXEL_VARIANCE / 2)
        return math.sqrt(mean + radius), math.sqrt(narrow)

    def mirrored(self, axis_x: float) -> "MaskMoments":
        """Return the moments of the mask mirrored about the line x = axis_x."""
        x, y = self.centroid_xy
        return MaskMoments(
            self.area_px, (2 * axis_x - x, y), self.variance_x, self.variance_y, -self.covariance
        )


def moments_of(mask: NDArray[np.bool_], box: Box) -> MaskMoments:
    """Measure a mask (h, w) that covers a box of its frame.

    Raises:
        ValueError: If no pixel is set, or the sizes differ.
    """
    if mask.shape != size_of(box):
        raise ValueError(f"box {box} is {size_of(box)}, but mask is {mask.shape}")
    sums = cv2.moments(np.ascontiguousarray(mask).view(np.uint8), binaryImage=True)
    area = sums["m00"]
    if area == 0:
        raise ValueError(f"mask over box {box} has no pixel set")
    top, left = box[:2]
    return MaskMoments(
        area,
        (left + 0.5 + sums["m10"] / area, top + 0.5 + sums["m01"] / area),
        sums["mu20"] / area + _PIXEL_VARIANCE,
        sums["mu02"] / area + _PIXEL_VARIANCE,
        sums["mu11"] / area,
    )


def fit_frame(size_hw: tuple[int, int], source_size_hw: tuple[int, int]) -> Affine:
    """Return target_from_source that leaves a segment where it stands in the frame.

    Args:
        size_hw: (height, width) of the layout.
        source_size_hw: (height, width) of the photograph.
    """
    height, width = size_hw
    source_height, source_width = source_size_hw
    return scaling(width / source_width, height / source_height)


def fit_shift(query: MaskMoments, segment: MaskMoments, frame_fit: Affine) -> Affine:
    """Return target_from_source that keeps the size it has in the frame and joins the centroids.

    The move is a whole number of layout pixels, so that pixels are copied where the photograph has
    the layout's size.
    """
    x, y = segment.centroid_xy
    start_x, start_y = frame_fit[:, :2] @ np.array([x, y]) + frame_fit[:, 2]
    moved = frame_fit.copy()
    moved[0, 2] += round(query.centroid_xy[0] - start_x)
    moved[1, 2] += round(query.centroid_xy[1] - start_y)
    return moved


def fit_boxes(query_box: Box, segment_box: Box) -> Affine:
    """Return target_from_source that takes the segment's box onto the query's, side by side.

    Args:
        query_box: In layout pixels.
        segment_box: In source pixels.

    Raises:
        ValueError: If a box is empty.
    """
    for name, box in (("query_box", query_box), ("segment_box", segment_box)):
        if min(size_of(box)) <= 0:
            raise ValueError(f"{name} {box} is empty, expected (top, left, bottom, right)")
    height, width = size_of(query_box)
    segment_height, segment_width = size_of(segment_box)
    stretched = scaling(width / segment_width, height / segment_height)
    return through(stretched, _center_of(segment_box), _center_of(query_box))


@dataclass(frozen=True, slots=True)
class SideFit:
    """A fit by the sides that can be seen.

    Attributes:
        target_from_source: (2, 3) float64.
        fixed_xy: Point of the photograph that has its place for certain; a change of scale leaves
            it there.
    """

    target_from_source: Affine
    fixed_xy: Point


def fit_visible_sides(
    query_box: Box,
    segment_box: Box,
    size_hw: tuple[int, int],
    source_size_hw: tuple[int, int],
) -> SideFit:
    """Fit boxes by the sides that are ends of the object, not of the picture.

    Where the layout's border cuts the query and the photograph's does not cut the segment, the
    object goes on beyond the border: that side is free, and the magnification of the other axis
    serves for both, unless it leaves the visible part uncovered. Where both are cut at the same
    side, the cuts lie on each other. With nothing cut this is fit_boxes.

    Args:
        query_box: In layout pixels.
        segment_box: In source pixels.
        size_hw: (height, width) of the layout.
        source_size_hw: (height, width) of the photograph.

    Raises:
        ValueError: If a box is empty.
    """
    fit_boxes(query_box, segment_box)  # refuses empty boxes
    axes = []
    for axis in (1, 0):  # x, then y; a box is (top, left, bottom, right)
        start, end = query_box[axis], query_box[axis + 2]
        segment_start, segment_end = segment_box[axis], segment_box[axis + 2]
        start_seen = start > 0 or segment_start <= 0
        end_seen = end < size_hw[axis] or segment_end >= source_size_hw[axis]
        axes.append(_AxisFit(start, end, segment_start, segment_end, start_seen, end_seen))
    horizontal, vertical = axes
    if not horizontal.known and not vertical.known:
        frame_x, frame_y = (size_hw[axis] / source_size_hw[axis] for axis in (1, 0))
        whole = max(horizontal.ratio, vertical.ratio, math.sqrt(frame_x * frame_y))
        scale_x = scale_y = whole
    else:
        scale_x = horizontal.ratio if horizontal.known else max(vertical.ratio, horizontal.ratio)
        scale_y = vertical.ratio if vertical.known else max(horizontal.ratio, vertical.ratio)
    # What stands on the ground stays on it: where both ends are seen, the lower one holds.
    from_xy = (horizontal.fixed(0.5)[0], vertical.fixed(1.0)[0])
    to_xy = (horizontal.fixed(0.5)[1], vertical.fixed(1.0)[1])
    return SideFit(through(scaling(scale_x, scale_y), from_xy, to_xy), from_xy)


@dataclass(frozen=True, slots=True)
class _AxisFit:
    start: int
    end: int
    segment_start: int
    segment_end: int
    start_seen: bool
    end_seen: bool

    @property
    def ratio(self) -> float:
        return (self.end - self.start) / (self.segment_end - self.segment_start)

    @property
    def known(self) -> bool:
        return self.start_seen and self.end_seen

    def fixed(self, share: float) -> tuple[float, float]:
        """Return the coordinate that holds, in the photograph and in the layout."""
        if self.start_seen != self.end_seen:
            share = 0.0 if self.start_seen else 1.0
        elif not self.known:
            share = 0.5
        return (
            self.segment_start + share * (self.segment_end - self.segment_start),
            self.start + share * (self.end - self.start),
        )


def fit_moments(query: MaskMoments, segment: MaskMoments, *, rotate: bool = False) -> Affine:
    """Return target_from_source that gives the segment the query's centroid and spread.

    Args:
        query: Moments of the query's mask, in layout pixels.
        segment: Moments of the segment's mask, in source pixels.
        rotate: Also join the directions of widest spread, by the smaller of the two turns. Without,
            the spreads along x and y are joined and nothing turns.
    """
    if rotate:
        wide, narrow = query.spreads
        segment_wide, segment_narrow = segment.spreads
        turn = math.remainder(query.axis_rad - segment.axis_rad, math.pi)
        linear = compose(
            rotation(segment.axis_rad + turn),
            scaling(wide / segment_wide, narrow / segment_narrow),
            rotation(-segment.axis_rad),
        )
    else:
        linear = scaling(
            math.sqrt(query.variance_x / segment.variance_x),
            math.sqrt(query.variance_y / segment.variance_y),
        )
    return through(linear, segment.centroid_xy, query.centroid_xy)


def _center_of(box: Box) -> Point:
    top, left, bottom, right = box
    return (left + right) / 2, (top + bottom) / 2
