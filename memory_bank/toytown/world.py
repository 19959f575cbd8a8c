"""What the things of a scene have in common: where they stand, how they draw, what shade they cast."""

from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np

from scenequilt.memory_bank.toytown.camera import Points
from scenequilt.memory_bank.toytown.light import Light
from scenequilt.memory_bank.toytown.painter import Painter


@dataclass(frozen=True, slots=True)
class Footprint:
    """The part of the ground that an object stands on, in metres of the street.

    Attributes:
        left: Smallest x.
        right: Largest x.
        near: Smallest z.
        far: Largest z.
    """

    left: float
    right: float
    near: float
    far: float

    @property
    def center(self) -> tuple[float, float]:
        """(x, z) of the middle."""
        return (self.left + self.right) / 2, (self.near + self.far) / 2

    def overlaps(self, other: "Footprint", margin_m: float = 0.0) -> bool:
        """Return whether two come closer than a margin along both x and z."""
        return (
            self.left < other.right + margin_m
            and other.left < self.right + margin_m
            and self.near < other.far + margin_m
            and other.near < self.far + margin_m
        )


class WorldObject(Protocol):
    """Something that can be drawn. Its drawing depends on nothing that was drawn before."""

    @property
    def class_id(self) -> int:
        """Class id in TOYTOWN_TAXONOMY, or VOID."""
        ...

    @property
    def footprint(self) -> Footprint:
        """Where it stands."""
        ...

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw it; the painter has begun the object already."""
        ...

    def shadows(self, light: Light) -> list[Points]:
        """Return (N, 2) convex polygons of (x, z) on the ground that it keeps the sun from."""
        ...


def box_shadow(footprint: Footprint, height_m: float, light: Light) -> Points:
    """Return the (N, 2) convex outline of the shadow of a box, its foot included."""
    foot = np.array(
        [
            (footprint.left, footprint.near),
            (footprint.right, footprint.near),
            (footprint.right, footprint.far),
            (footprint.left, footprint.far),
        ]
    )
    return convex_hull(np.concatenate([foot, foot + light.shadow_offset(height_m)]))


def convex_hull(points: Points) -> Points:
    """Return the corners (M, 2) of the convex hull of (N, 2) points, in order (Andrew 1979)."""
    ordered = sorted(map(tuple, points.tolist()))
    outline: list[tuple[float, float]] = []
    for sweep in (ordered, ordered[::-1]):
        start = len(outline)
        for x, y in sweep:
            while len(outline) >= start + 2:
                (ax, ay), (bx, by) = outline[-2], outline[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                outline.pop()
            outline.append((x, y))
        outline.pop()
    return np.array(outline)


def ellipse(center: tuple[float, float], radii: tuple[float, float], corners: int = 16) -> Points:
    """Return the (corners, 2) outline of an ellipse."""
    outline: Points = _unit_circle(corners) * radii + center
    return outline


@cache
def _unit_circle(corners: int) -> Points:
    angle = np.arange(corners) * (2 * np.pi / corners)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    circle.setflags(write=False)
    return circle


def stream(seed: int, number: int) -> np.random.Generator:
    """Return one of an object's own streams of random numbers, independent of what else is drawn."""
    return np.random.Generator(np.random.SFC64(seed * 16 + number))
