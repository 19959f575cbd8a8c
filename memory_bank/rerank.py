"""Exact scores: how a query and a segment overlap in mask, context and shape."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScoreWeights:
    """How much each part counts (Qi et al. 2018 use 1 and 1).

    Attributes:
        mask: Weight of the overlap of the masks, at least 0.
        context: Weight of the agreement of the layouts around, at least 0.

    Raises:
        ValueError: If one is negative or not finite, or both are 0.
    """

    mask: float = 1.0
    context: float = 1.0

    def __post_init__(self) -> None:
        for name in ("mask", "context"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"weight of {name} is {value}, expected a number of at least 0")
        if self.mask + self.context == 0:
            raise ValueError("both weights are 0; raise one of mask and context")


@dataclass(frozen=True, slots=True)
class ShapeLimits:
    """How far a thing may be moved to another place and size; stuff never is.

    A segment that the frame cuts stands for an object that goes on outside. It is compared by shape
    only with queries that the frame cuts at the same sides, and a whole one only with whole ones.

    Attributes:
        max_scale: Largest change of size, either way, as a ratio of lengths; at least 1.
        max_stretch: Largest change of the ratio of height to width, either way; at least 1.
        enabled: False compares in the frame only.

    Raises:
        ValueError: If a limit is below 1.
    """

    max_scale: float = 2.0
    max_stretch: float = 1.5
    enabled: bool = True

    def __post_init__(self) -> None:
        for name in ("max_scale", "max_stretch"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 1):
                raise ValueError(f"{name} is {value}, expected a ratio of at least 1")
