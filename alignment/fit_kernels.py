"""The compiled arithmetic of fits: matrices, the fits themselves, and their limits.

Matrices are six numbers, (a, b, x, c, d, y), row by row. The arithmetic is that of affine.py, in the
same order, so that the same matrices come out as if it were called.
"""

import math
from typing import NamedTuple

import numpy as np

from scenequilt.memory_bank.kernels import compiled, inlined
from scenequilt.memory_bank.segment import Box

Matrix = tuple[float, float, float, float, float, float]

SLACK = 1e-9
"""What rounding may add to a limit."""

SPLITTER = 134217729.0
"""2 to the 27th, and 1: splits a double into halves whose products are exact (Dekker 1971)."""

PIXEL_VARIANCE = 1 / 12
"""Variance of a point within its pixel: a mask of one pixel has an extent."""


class Bounds(NamedTuple):
    """How far a map may go from the one that leaves a segment in the frame.

    Attributes:
        max_enlargement: Largest growth of a length.
        max_reduction: Largest shrinking of a length.
        max_stretch: Largest ratio between the magnifications of two directions.
        max_rotation_rad: Largest turn either way.
        frame: The map that leaves a segment in the frame.
    """

    max_enlargement: float
    max_reduction: float
    max_stretch: float
    max_rotation_rad: float
    frame: Matrix


class Moments(NamedTuple):
    """Where a mask is and how it spreads; see fit.MaskMoments."""

    centroid_x: float
    centroid_y: float
    variance_x: float
    variance_y: float
    covariance: float


class Place(NamedTuple):
    """What a fit has to know of a region, in the query's layout or in the segment's photograph.

    Attributes:
        box: (top, left, bottom, right) of the mask.
        moments: Of the mask.
        height: Of the layout or photograph.
        width: Likewise.
        cut: True if its frame cuts the region.
    """

    box: Box
    moments: Moments
    height: int
    width: int
    cut: bool


@inlined
def chained(first: Matrix, second: Matrix) -> Matrix:
    """Return affine.compose(first, second)."""
    a, b, x, c, d, y = first
    e, f, u, g, h, v = second
    return (
        a * e + b * g, a * f + b * h, a * u + b * v + x,
        c * e + d * g, c * f + d * h, c * u + d * v + y,
    )  # fmt: skip


@inlined
def inverse(matrix: Matrix) -> Matrix:
    """Return affine.invert(matrix), which is not flat."""
    a, b, x, c, d, y = matrix
    determinant = a * d - b * c
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return a, b, -a * x - b * y, c, d, -c * x - d * y


@inlined
def squared(number: float) -> tuple[float, float]:
    """Return the square of a number, and what rounding took from it."""
    scaled = number * SPLITTER
    high = scaled - (scaled - number)
    low = number - high
    square = number * number
    return square, ((high * high - square) + 2 * high * low) + low * low


@inlined
def hypotenuse(x: float, y: float) -> float:
    """Return math.hypot(x, y) to the last bit; Numba's own is a bit off now and then."""
    x_square, x_rest = squared(x)
    y_square, y_rest = squared(y)
    total = x_square + y_square
    if total == 0:
        # Both are 0, or so small that their squares are.
        return max(abs(x), abs(y))
    from_y = total - x_square
    rest = (x_square - (total - from_y)) + (y_square - from_y) + x_rest + y_rest
    root = math.sqrt(total + rest)
    root_square, root_rest = squared(root)
    return root + (((total - root_square) - root_rest) + rest) / (2 * root)


@inlined
def apart(matrix: Matrix) -> tuple[float, float, float, float, bool]:
    """Return affine.take_apart: scale, stretch, rotation_rad, stretch_axis_rad, mirrored."""
    a, b, _, c, d, _ = matrix
    determinant = a * d - b * c
    mirrored = determinant < 0
    if mirrored:
        a, c = -a, -c
    turning, stretching = hypotenuse(a + d, c - b) / 2, hypotenuse(a - d, b + c) / 2
    angle = math.atan2(c - b, a + d)
    axis = (math.atan2(b + c, a - d) - angle) / 2 if stretching > 0 else 0.0
    area = abs(determinant)
    return math.sqrt(area), (turning + stretching) ** 2 / area, angle, axis, mirrored


@inlined
def turned(angle_rad: float) -> Matrix:
    """Return affine.rotation about the origin."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    return cos, -sin, 0.0, sin, cos, 0.0


@inlined
def moved(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    """Return the point that a matrix takes a point to."""
    a, b, u, c, d, v = matrix
    return a * x + b * y + u, c * x + d * y + v


@inlined
def together(
    scale: float, stretch: float, rotation_rad: float, axis_rad: float, mirrored: bool
) -> Matrix:
    """Return the linear part of affine.put_together."""
    major, minor = scale * math.sqrt(stretch), scale / math.sqrt(stretch)
    widened = chained(turned(rotation_rad + axis_rad), (major, 0.0, 0.0, 0.0, minor, 0.0))
    matrix = chained(widened, turned(-axis_rad))
    if mirrored:
        matrix = chained(matrix, (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    return matrix


@inlined
def through_points(matrix: Matrix, x: float, y: float, to_x: float, to_y: float) -> Matrix:
    """Return affine.through: the same linear part, taking one given point to another."""
    a, b, _, c, d, _ = matrix
    return a, b, to_x - a * x - b * y, c, d, to_y - c * x - d * y


@inlined
def shape_allowed(stretch: float, rotation_rad: float, bounds: Bounds) -> bool:
    """Return True if neither stretch nor turn is beyond its bound."""
    if stretch > bounds.max_stretch + SLACK:
        return False
    return abs(rotation_rad) <= bounds.max_rotation_rad + SLACK


@inlined
def is_allowed(matrix: Matrix, bounds: Bounds) -> bool:
    """Return True if a map is within the bounds."""
    frame_scale, frame_stretch, _, _, _ = apart(bounds.frame)
    scale, stretch, rotation_rad, _, _ = apart(matrix)
    growth = scale / frame_scale
    if not 1 / bounds.max_reduction - SLACK <= growth <= bounds.max_enlargement + SLACK:
        return False
    if shape_allowed(stretch, rotation_rad, bounds):
        return True
    if frame_stretch <= 1 + SLACK:
        return False
    _, stretch, rotation_rad, _, _ = apart(chained(matrix, inverse(bounds.frame)))
    return shape_allowed(stretch, rotation_rad, bounds)


@inlined
def within_bounds(matrix: Matrix, bounds: Bounds, fixed_x: float, fixed_y: float) -> Matrix:
    """Return a map brought within the bounds, with a point of the photograph left in its place."""
    if is_allowed(matrix, bounds):
        return matrix
    scale, stretch, rotation_rad, axis_rad, mirrored = apart(matrix)
    framed = apart(chained(matrix, inverse(bounds.frame)))
    growth = scale / apart(bounds.frame)[0]
    allowed_growth = min(max(growth, 1 / bounds.max_reduction), bounds.max_enlargement)
    by_frame = stretch > framed[1]
    if by_frame:
        scale, stretch, rotation_rad, axis_rad, mirrored = framed
    limited = together(
        scale * (allowed_growth / growth),
        min(stretch, bounds.max_stretch),
        min(max(rotation_rad, -bounds.max_rotation_rad), bounds.max_rotation_rad),
        axis_rad,
        mirrored,
    )
    x, y = moved(matrix, fixed_x, fixed_y)
    if by_frame:
        frame_x, frame_y = moved(bounds.frame, fixed_x, fixed_y)
        return chained(through_points(limited, frame_x, frame_y, x, y), bounds.frame)
    return through_points(limited, fixed_x, fixed_y, x, y)


@inlined
def middle_of(box: Box) -> tuple[float, float]:
    """Return the middle of a box, (x, y)."""
    return (box[1] + box[3]) / 2, (box[0] + box[2]) / 2


@inlined
def shift_fit(asked: Moments, given: Moments, frame: Matrix) -> Matrix:
    """Return fit.fit_shift."""
    start_x, start_y = moved(frame, given.centroid_x, given.centroid_y)
    a, b, x, c, d, y = frame
    return (
        a, b, x + np.rint(asked.centroid_x - start_x),
        c, d, y + np.rint(asked.centroid_y - start_y),
    )  # fmt: skip


@inlined
def boxes_fit(asked: Box, given: Box) -> Matrix:
    """Return fit.fit_boxes."""
    across = (asked[3] - asked[1]) / (given[3] - given[1])
    down = (asked[2] - asked[0]) / (given[2] - given[0])
    from_x, from_y = middle_of(given)
    to_x, to_y = middle_of(asked)
    return through_points((across, 0.0, 0.0, 0.0, down, 0.0), from_x, from_y, to_x, to_y)


@inlined
def axis_fit(
    start: int,
    end: int,
    given_start: int,
    given_end: int,
    length: int,
    given_length: int,
    middle: float,
) -> tuple[float, bool, float, float]:
    """Fit along one axis by the ends that are seen.

    Returns the magnification, if it is known, and the coordinate that holds, in the photograph and
    in the layout: that of the one end that is seen, or of the share middle between the two.
    """  # fmt: skip
    start_seen = start > 0 or given_start <= 0
    end_seen = end < length or given_end >= given_length
    known = start_seen and end_seen
    share = middle if known else 0.5
    if start_seen != end_seen:
        share = 0.0 if start_seen else 1.0
    return (
        (end - start) / (given_end - given_start),
        known,
        given_start + share * (given_end - given_start),
        start + share * (end - start),
    )


@inlined
def sides_fit(asked: Place, given: Place) -> tuple[Matrix, float, float]:
    """Return fit.fit_visible_sides: the map, and the point that has its place for certain."""
    # What stands on the ground stays on it: where both ends are seen, the lower one holds.
    ratio_x, known_x, from_x, to_x = axis_fit(
        asked.box[1], asked.box[3], given.box[1], given.box[3], asked.width, given.width, 0.5
    )
    ratio_y, known_y, from_y, to_y = axis_fit(
        asked.box[0], asked.box[2], given.box[0], given.box[2], asked.height, given.height, 1.0
    )
    if not known_x and not known_y:
        by_frame = math.sqrt(asked.width / given.width * (asked.height / given.height))
        across = down = max(ratio_x, ratio_y, by_frame)
    else:
        across = ratio_x if known_x else max(ratio_y, ratio_x)
        down = ratio_y if known_y else max(ratio_x, ratio_y)
    matrix = through_points((across, 0.0, 0.0, 0.0, down, 0.0), from_x, from_y, to_x, to_y)
    return matrix, from_x, from_y


@inlined
def axis_of(moments: Moments) -> float:
    """Return fit.MaskMoments.axis_rad."""
    return math.atan2(2 * moments.covariance, moments.variance_x - moments.variance_y) / 2


@inlined
def spreads_of(moments: Moments) -> tuple[float, float]:
    """Return fit.MaskMoments.spreads."""
    mean = (moments.variance_x + moments.variance_y) / 2
    radius = hypotenuse((moments.variance_x - moments.variance_y) / 2, moments.covariance)
    # Against rounding only: a line of pixels still has the variance of a pixel across.
    narrow = max(mean - radius, PIXEL_VARIANCE / 2)
    return math.sqrt(mean + radius), math.sqrt(narrow)


@inlined
def moments_fit(asked: Moments, given: Moments, rotate: bool) -> Matrix:
    """Return fit.fit_moments."""
    if rotate:
        wide, narrow = spreads_of(asked)
        given_wide, given_narrow = spreads_of(given)
        axis = axis_of(given)
        turn = axis_of(asked) - axis
        turn -= math.pi * np.rint(turn / math.pi)
        linear = chained(
            turned(axis + turn),
            (wide / given_wide, 0.0, 0.0, 0.0, narrow / given_narrow, 0.0),
        )
        linear = chained(linear, turned(-axis))
    else:
        across = math.sqrt(asked.variance_x / given.variance_x)
        down = math.sqrt(asked.variance_y / given.variance_y)
        linear = (across, 0.0, 0.0, 0.0, down, 0.0)
    return through_points(
        linear, given.centroid_x, given.centroid_y, asked.centroid_x, asked.centroid_y
    )


@inlined
def mirror_image(given: Place) -> Place:
    """Return what a fit has to know of a segment in its mirrored photograph."""
    top, left, bottom, right = given.box
    x, y, variance_x, variance_y, covariance = given.moments
    moments = Moments(given.width - x, y, variance_x, variance_y, -covariance)
    box = (top, given.width - right, bottom, given.width - left)
    return Place(box, moments, given.height, given.width, given.cut)


@compiled
def compiled_shift(asked: Moments, given: Moments, frame: Matrix) -> Matrix:
    """Return shift_fit, for callers that are not compiled."""
    return shift_fit(asked, given, frame)


@compiled
def compiled_boxes(asked: Box, given: Box) -> Matrix:
    """Return boxes_fit, likewise."""
    return boxes_fit(asked, given)


@compiled
def compiled_sides(asked: Place, given: Place) -> tuple[Matrix, float, float]:
    """Return sides_fit, likewise."""
    return sides_fit(asked, given)


@compiled
def compiled_moments(asked: Moments, given: Moments, rotate: bool) -> Matrix:
    """Return moments_fit, likewise."""
    return moments_fit(asked, given, rotate)


@compiled
def compiled_allows(matrix: Matrix, bounds: Bounds) -> bool:
    """Return is_allowed, likewise."""
    return is_allowed(matrix, bounds)


@compiled
def compiled_limit(matrix: Matrix, bounds: Bounds, fixed_x: float, fixed_y: float) -> Matrix:
    """Return within_bounds, likewise."""
    return within_bounds(matrix, bounds, fixed_x, fixed_y)
