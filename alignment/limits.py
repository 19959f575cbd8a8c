"""How far a segment may be enlarged, reduced, stretched and turned before it looks wrong."""

import math
from dataclasses import dataclass

from scenequilt.alignment.affine import Affine, Point, from_numbers, numbers_of
from scenequilt.alignment.fit_kernels import Bounds, compiled_allows, compiled_limit
from scenequilt.memory_bank.taxonomy import ClassInfo


@dataclass(frozen=True, slots=True)
class PlacementLimits:
    """Bounds on the map from a photograph to a layout.

    Enlargement and reduction are relative to leaving the segment in the frame, so that a layout of
    another size than the photograph is no change. Stretch and turn are measured against square
    pixels or against the frame as it is bent to the layout's shape, whichever allows the map.

    Attributes:
        max_enlargement: Largest growth of a length, >= 1.
        max_reduction: Largest shrinking of a length, >= 1; 2 allows down to a half.
        max_stretch: Largest ratio between the magnifications of two directions, >= 1.
        max_rotation_deg: Largest turn either way, in degrees, 0 to 180.

    Raises:
        ValueError: If a bound is out of its range.
    """

    max_enlargement: float
    max_reduction: float
    max_stretch: float
    max_rotation_deg: float

    def __post_init__(self) -> None:
        for name in ("max_enlargement", "max_reduction", "max_stretch"):
            value: float = getattr(self, name)
            if not 1 <= value < math.inf:
                raise ValueError(f"{name} is {value}, expected a finite ratio of at least 1")
        if not 0 <= self.max_rotation_deg <= 180:
            raise ValueError(f"max_rotation_deg is {self.max_rotation_deg}, expected 0 to 180")

    def allows(self, target_from_source: Affine, frame_fit: Affine) -> bool:
        """Return True if a map is within the limits.

        Args:
            target_from_source: (2, 3). The map.
            frame_fit: (2, 3). The map that leaves a segment where it stands in the frame.

        Raises:
            ValueError: If a map flattens the plane.
        """
        _refuse_flat(target_from_source)
        return bool(compiled_allows(numbers_of(target_from_source), self.bounds(frame_fit)))

    def clamp(self, target_from_source: Affine, frame_fit: Affine, fixed_xy: Point) -> Affine:
        """Return the map brought within the limits.

        Args:
            target_from_source: (2, 3). The map.
            frame_fit: (2, 3). The map that leaves a segment where it stands in the frame.
            fixed_xy: Point of the photograph whose place in the layout does not change.

        Returns:
            (2, 3) float64; the numbers of target_from_source if it is within the limits.

        Raises:
            ValueError: If a map flattens the plane.
        """
        _refuse_flat(target_from_source)
        x, y = fixed_xy
        numbers, bounds = numbers_of(target_from_source), self.bounds(frame_fit)
        return from_numbers(compiled_limit(numbers, bounds, float(x), float(y)))

    def bounds(self, frame_fit: Affine) -> Bounds:
        """Return the limits as the compiled loops take them.

        Args:
            frame_fit: (2, 3). The map that leaves a segment where it stands in the frame.

        Raises:
            ValueError: If it flattens the plane.
        """
        _refuse_flat(frame_fit)
        return Bounds(
            float(self.max_enlargement),
            float(self.max_reduction),
            float(self.max_stretch),
            math.radians(self.max_rotation_deg),
            numbers_of(frame_fit),
        )


def _refuse_flat(matrix: Affine) -> None:
    (a, b, _), (c, d, _) = matrix.tolist()
    if abs(a * d - b * c) < 1e-12:
        raise ValueError(
            f"matrix {matrix.tolist()} has determinant 0, expected one that can be inverted"
        )


STUFF_LIMITS = PlacementLimits(
    max_enlargement=2.0, max_reduction=2.0, max_stretch=1.6, max_rotation_deg=3.0
)
"""Texture forgives a stretch, but its horizontal lines do not forgive a turn."""

THING_LIMITS = PlacementLimits(
    max_enlargement=2.5, max_reduction=4.0, max_stretch=1.25, max_rotation_deg=4.0
)
"""An object's proportions are known to everybody; its distance is free."""

THIN_LIMITS = PlacementLimits(
    max_enlargement=2.5, max_reduction=4.0, max_stretch=2.0, max_rotation_deg=8.0
)
"""A pole may be longer or lean."""


@dataclass(frozen=True, slots=True)
class LimitsByKind:
    """Placement limits for each kind of class.

    Attributes:
        stuff: For classes that cannot be counted.
        thing: For classes that can.
        thin: For poles and the like, thing or stuff.
    """

    stuff: PlacementLimits = STUFF_LIMITS
    thing: PlacementLimits = THING_LIMITS
    thin: PlacementLimits = THIN_LIMITS

    def of(self, entry: ClassInfo) -> PlacementLimits:
        """Return the limits of a class."""
        if entry.thin:
            return self.thin
        return self.thing if entry.kind == "thing" else self.stuff
