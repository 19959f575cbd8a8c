"""Maps from a segment to a query in closed form: in the frame, by shift, by box, by moments.

None of them mirrors: a mirrored fit is the fit of the mirrored photograph.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.affine import Affine, Point, from_numbers, numbers_of, scaling
from scenequilt.alignment.fit_kernels import (
    PIXEL_VARIANCE,
    Moments,
    Place,
    compiled_boxes,
    compiled_moments,
    compiled_shift,
    compiled_sides,
)
from scenequilt.memory_bank.segment import Box, size_of


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
    def numbers(self) -> Moments:
        """What compiled loops take."""
        return Moments(*self.centroid_xy, self.variance_x, self.variance_y, self.covariance)

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
        narrow = max(mean - radius, PIXEL_VARIANCE / 2)
        return math.sqrt(mean + radius), math.sqrt(narrow)

    def mirrored(self, axis_x: float) -> "MaskMoments":
        """Return the moments of the mask mirrored about the line x = axis_x."""
        x, y = self.centroid_xy
        return MaskMoments(
            self.area_px, (2 * axis_x - x, y), self.variance_x, self.variance_y, -self.covariance
        )


_NO_MOMENTS = Moments(0.0, 0.0, 0.0, 0.0, 0.0)


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
        sums["mu20"] / area + PIXEL_VARIANCE,
        sums["mu02"] / area + PIXEL_VARIANCE,
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
    return from_numbers(compiled_shift(query.numbers, segment.numbers, numbers_of(frame_fit)))


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
    return from_numbers(compiled_boxes(query_box, segment_box))


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
    matrix, x, y = compiled_sides(
        Place(query_box, _NO_MOMENTS, *size_hw, False),
        Place(segment_box, _NO_MOMENTS, *source_size_hw, False),
    )
    return SideFit(from_numbers(matrix), (x, y))


def fit_moments(query: MaskMoments, segment: MaskMoments, *, rotate: bool = False) -> Affine:
    """Return target_from_source that gives the segment the query's centroid and spread.

    Args:
        query: Moments of the query's mask, in layout pixels.
        segment: Moments of the segment's mask, in source pixels.
        rotate: Also join the directions of widest spread, by the smaller of the two turns. Without,
            the spreads along x and y are joined and nothing turns.
    """
    return from_numbers(compiled_moments(query.numbers, segment.numbers, rotate))
