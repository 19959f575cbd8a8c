"""Finishes that need no weights: from a canvas to a picture."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.blending import BLENDS, Blend
from scenequilt.synthesis.canvas import Canvas
from scenequilt.synthesis.color_transfer import TransferSettings
from scenequilt.synthesis.composition import PixelState
from scenequilt.synthesis.look import Look, SourceLooks
from scenequilt.synthesis.shadows import ShadowSettings


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a finish may know beside the canvas.

    Attributes:
        wanted: (H, W) uint8 class id of the stuff that belongs behind each pixel, void if none.
        look: Light and colour that the picture is to have, or None.
        looks: Look of each photograph, by source id.
        segment_means: (P, 3) mean Lab colour of each placed segment.
        segment_spreads: (P,) standard deviation of L of each.
        elided: (H, W) bool, pixels near a seam that a learned finish repaints.
    """

    wanted: NDArray[np.uint8]
    look: Look | None
    looks: Mapping[str, Look] | SourceLooks
    segment_means: NDArray[np.floating]
    segment_spreads: NDArray[np.floating]
    elided: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished picture.

    Attributes:
        image: (H, W, 3) uint8 RGB, black where open.
        delivered: The layout that is true of it.
        state: (H, W) uint8, PixelState of every pixel.
    """

    image: NDArray[np.uint8]
    delivered: Layout
    state: NDArray[np.uint8]


class Finish(Protocol):
    """Turns a canvas into a picture. Same canvas, same seed, same bytes."""

    @property
    def name(self) -> str:
        """How it is called on the command line."""
        ...

    def finish(self, canvas: Canvas, surroundings: Surroundings, *, seed: int) -> Finished:
        """Return the picture, its true layout, and what was done to every pixel."""
        ...


@dataclass(frozen=True, slots=True)
class NoFinish:
    """Stops at the canvas: segments as they were cut, open pixels black."""

    name: str = "none"

    def finish(self, canvas: Canvas, surroundings: Surroundings, *, seed: int) -> Finished:
        """Return the canvas as it is."""
        state = np.where(canvas.coverage, PixelState.COPIED, PixelState.OPEN).astype(np.uint8)
        return Finished(canvas.color, canvas.delivered, state)


@dataclass(frozen=True, slots=True)
class ClosedFinish:
    """Colour transfer, then blending, then filling of what is open.

    Attributes:
        blend: What happens along seams.
        band: Reach of the blending on either side of a seam, as a share of the picture's height.
        transfer: How far colours may be moved; None leaves them as they are.
        shadows: How objects darken the ground they stand on; None leaves it as it is.
        fill: False leaves open pixels open and black.
        name: How it is called on the command line.

    Raises:
        ValueError: If there is no such blend, or the band is not in [0, 0.25].
    """

    blend: Blend = "multiband"
    band: float = 0.02
    transfer: TransferSettings | None = field(default_factory=TransferSettings)
    shadows: ShadowSettings | None = field(default_factory=ShadowSettings)
    fill: bool = True
    name: str = "closed"

    def __post_init__(self) -> None:
        if self.blend not in BLENDS:
            raise ValueError(f"no blend {self.blend!r}; there are {', '.join(BLENDS)}")
        if not 0 <= self.band <= 0.25:
            raise ValueError(f"band must be in [0, 0.25] of the height, got {self.band}")

    def finish(self, canvas: Canvas, surroundings: Surroundings, *, seed: int) -> Finished:
        """Return the picture made of the canvas, with the state of every pixel."""
        # There it can take up its own earlier work too, which needs this class to be known.
        from scenequilt.synthesis.finishing import finish_closed

        return finish_closed(self, canvas, surroundings, seed=seed)[0]


def visible_places(canvas: Canvas) -> list[int]:
    """Return the placed segments that own a pixel, ascending.

    One that is wholly hidden lends nothing to a picture, or its photograph would be on no record.
    """
    return list(canvas.visible)
