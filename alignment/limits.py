"""How far a segment may be enlarged, reduced, stretched and turned before it looks wrong."""

import math
from dataclasses import dataclass, replace

import numpy as np

from scenequilt.alignment.affine import (
    Affine,
    AffineParts,
    Point,
    compose,
    invert,
    put_together,
    take_apart,
    transform,
)
from scenequilt.memory_bank.taxonomy import ClassInfo

_SLACK = 1e-9
"""What rounding may add to a limit."""


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
        """
        square, frame = take_apart(target_from_source), take_apart(frame_fit)
        growth = square.scale / frame.scale
        if not 1 / self.max_reduction - _SLACK <= growth <= self.max_enlargement + _SLACK:
            return False
        if self._allows_shape(square):
            return True
        if frame.stretch <= 1 + _SLACK:
            return False
        return self._allows_shape(take_apart(compose(target_from_source, invert(frame_fit))))

    def _allows_shape(self, parts: AffineParts) -> bool:
        limit_rad = math.radians(self.max_rotation_deg)
        return (
            parts.stretch <= self.max_stretch + _SLACK
            and abs(parts.rotation_rad) <= limit_rad + _SLACK
        )

    def clamp(self, target_from_source: Affine, frame_fit: Affine, fixed_xy: Point) -> Affine:
        """Return the map brought within the limits.

        Args:
            target_from_source: (2, 3). The map.
            frame_fit: (2, 3). The map that leaves a segment where it stands in the frame.
            fixed_xy: Point of the photograph whose place in the layout does not change.

        Returns:
            (2, 3) float64; target_from_source itself if it is within the limits.
        """
        if self.allows(target_from_source, frame_fit):
            return target_from_source
        bent = compose(target_from_source, invert(frame_fit))
        square = take_apart(target_from_source)
        framed = take_apart(bent)
        growth = square.scale / take_apart(frame_fit).scale
        allowed_growth = min(max(growth, 1 / self.max_reduction), self.max_enlargement)
        ((x, y),) = transform(target_from_source, np.array([fixed_xy])).tolist()
        if square.stretch <= framed.stretch:
            return put_together(self._clamped(square, allowed_growth / growth), fixed_xy, (x, y))
        ((frame_x, frame_y),) = transform(frame_fit, np.array([fixed_xy])).tolist()
        parts = self._clamped(framed, allowed_growth / growth)
        return compose(put_together(parts, (frame_x, frame_y), (x, y)), frame_fit)

    def _clamped(self, parts: AffineParts, factor: float) -> AffineParts:
        limit_rad = math.radians(self.max_rotation_deg)
        return replace(
            parts,
            scale=parts.scale * factor,
            stretch=min(parts.stretch, self.max_stretch),
            rotation_rad=min(max(parts.rotation_rad, -limit_rad), limit_rad),
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
