"""Affine matrices between pixel frames: make, compose, invert, apply, take apart.

A matrix is (2, 3) float64 and named to_from: `a_from_b` takes a point (x, y, 1) of frame b to frame
a. Points are continuous: pixel (x, y) covers [x, x + 1) by [y, y + 1), its centre is
(x + 0.5, y + 0.5). x runs to the right, y down, so a positive angle turns clockwise on the screen.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]
"""(2, 3) float64."""

Point = tuple[float, float]
"""(x, y), continuous."""


@dataclass(frozen=True, slots=True)
class AffineParts:
    """The linear part of a matrix as a turn after a stretch (polar decomposition).

    Attributes:
        scale: Square root of the change of area, > 0.
        stretch: Ratio of the largest to the smallest magnification over all directions, >= 1.
        rotation_rad: Angle of the turn, in (-pi, pi].
        stretch_axis_rad: Direction, before the turn, that is magnified most.
        mirrored: True if left and right are exchanged before the rest.
    """

    scale: float
    stretch: float
    rotation_rad: float
    stretch_axis_rad: float
    mirrored: bool


def numbers_of(matrix: Affine) -> tuple[float, float, float, float, float, float]:
    """Return a matrix as its six numbers, row by row: what compiled loops take."""
    (a, b, x), (c, d, y) = matrix.tolist()
    return a, b, x, c, d, y


def from_numbers(numbers: tuple[float, float, float, float, float, float]) -> Affine:
    """Return the matrix of six numbers, row by row."""
    return np.array([numbers[:3], numbers[3:]])


def identity() -> Affine:
    """Return the matrix that leaves every point where it is."""
    return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def translation(x: float, y: float) -> Affine:
    """Return the matrix that moves points by (x, y) pixels."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y]])


def scaling(x: float, y: float, center_xy: Point = (0.0, 0.0)) -> Affine:
    """Return the matrix that magnifies by x and y about a point that stays."""
    return np.array([[x, 0.0, center_xy[0] * (1 - x)], [0.0, y, center_xy[1] * (1 - y)]])


def mirroring(axis_x: float) -> Affine:
    """Return the matrix that exchanges left and right about the line x = axis_x."""
    return scaling(-1.0, 1.0, (axis_x, 0.0))


def rotation(angle_rad: float, center_xy: Point = (0.0, 0.0)) -> Affine:
    """Return the matrix that turns by an angle, clockwise on the screen, about a point."""
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    x, y = center_xy
    return np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y]])


def compose(first: Affine, *others: Affine) -> Affine:
    """Return a_from_c for compose(a_from_b, b_from_c), and so on for longer chains."""
    # In plain numbers: for matrices this small NumPy's calls cost more than the work.
    (a, b, x), (c, d, y) = first.tolist()
    for matrix in others:
        (e, f, u), (g, h, v) = matrix.tolist()
        x, y = a * u + b * v + x, c * u + d * v + y
        a, b, c, d = a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h
    return np.array([[a, b, x], [c, d, y]])


def invert(a_from_b: Affine) -> Affine:
    """Return b_from_a.

    Raises:
        ValueError: If the matrix flattens the plane onto a line or a point.
    """
    (a, b, x), (c, d, y) = a_from_b.tolist()
    determinant = a * d - b * c
    if abs(determinant) < 1e-12:
        raise ValueError(f"matrix {a_from_b.tolist()} has no inverse: its determinant is 0")
    a, b, c, d = d / determinant, -b / determinant, -c / determinant, a / determinant
    return np.array([[a, b, -a * x - b * y], [c, d, -c * x - d * y]])


def transform(to_from: Affine, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take points (N, 2) of one frame to the other.

    Raises:
        ValueError: If points_xy is not (N, 2) or the matrix not (2, 3).
    """
    if to_from.shape != (2, 3):
        raise ValueError(f"to_from must be (2, 3), got {to_from.shape}")
    if points_xy.ndim != 2 or points_xy.shape[1] != 2:
        raise ValueError(f"points_xy must be (N, 2), got {points_xy.shape}")
    moved: NDArray[np.float64] = points_xy @ to_from[:, :2].T + to_from[:, 2]
    return moved


def at_pixel_centers(to_from: Affine) -> Affine:
    """Return the same map for coordinates that are whole at the centres of pixels.

    That is OpenCV's convention: its pixel (0, 0) is our point (0.5, 0.5). The original system got
    this wrong and lost the last row and column even under the identity.
    """
    (a, b, x), (c, d, y) = to_from.tolist()
    return np.array([[a, b, x + (a + b - 1) / 2], [c, d, y + (c + d - 1) / 2]])


def is_whole_pixel_shift(to_from: Affine) -> bool:
    """Return True if the matrix only moves, by whole pixels, so that pixels can be copied."""
    (a, b, x), (c, d, y) = to_from.tolist()
    unbent = max(abs(a - 1), abs(b), abs(c), abs(d - 1)) < 1e-9
    return bool(unbent and max(abs(x - round(x)), abs(y - round(y))) < 1e-6)


def take_apart(to_from: Affine) -> AffineParts:
    """Split the linear part into mirror, stretch and turn; put_together is the inverse.

    Raises:
        ValueError: If the matrix flattens the plane.
    """
    (a, b, _), (c, d, _) = to_from.tolist()
    determinant = a * d - b * c
    if abs(determinant) < 1e-12:
        raise ValueError(f"matrix {to_from.tolist()} cannot be taken apart: its determinant is 0")
    mirrored = determinant < 0
    if mirrored:
        a, c = -a, -c
    # The two circles of a 2x2 matrix: singular values are sum and difference of their radii.
    turning, stretching = math.hypot(a + d, c - b) / 2, math.hypot(a - d, b + c) / 2
    angle = math.atan2(c - b, a + d)
    axis = (math.atan2(b + c, a - d) - angle) / 2 if stretching > 0 else 0.0
    return AffineParts(
        scale=math.sqrt(abs(determinant)),
        stretch=(turning + stretching) ** 2 / abs(determinant),
        rotation_rad=angle,
        stretch_axis_rad=axis,
        mirrored=mirrored,
    )


def put_together(parts: AffineParts, fixed_from_xy: Point, fixed_to_xy: Point) -> Affine:
    """Return the matrix of such parts that takes one given point to another."""
    major = parts.scale * math.sqrt(parts.stretch)
    minor = parts.scale / math.sqrt(parts.stretch)
    before, after = -parts.stretch_axis_rad, parts.rotation_rad + parts.stretch_axis_rad
    matrix = compose(rotation(after), scaling(major, minor), rotation(before))
    if parts.mirrored:
        matrix = compose(matrix, mirroring(0.0))
    return through(matrix, fixed_from_xy, fixed_to_xy)


def through(to_from: Affine, from_xy: Point, to_xy: Point) -> Affine:
    """Return the matrix with the same linear part that takes from_xy to to_xy."""
    (a, b, _), (c, d, _) = to_from.tolist()
    x, y = from_xy
    return np.array([[a, b, to_xy[0] - a * x - b * y], [c, d, to_xy[1] - c * x - d * y]])
