"""Finishes that need no weights: from a canvas to a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.blending import BLENDS, Blend, Layer, blend_layers
from scenequilt.synthesis.canvas import NO_OWNER, Canvas
from scenequilt.synthesis.color_transfer import TransferSettings, recolor_placed
from scenequilt.synthesis.composition import PixelState
from scenequilt.synthesis.filling import fill_holes
from scenequilt.synthesis.look import Look, SourceLooks
from scenequilt.synthesis.shadows import ShadowSettings, cast_contact_shadows


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
        classes = canvas.delivered.taxonomy.classes
        band_px = max(1, round(self.band * canvas.ownership.shape[0]))
        visible = visible_places(canvas)
        layers = self._layers(canvas, surroundings, visible, band_px)
        layer_of = {place: number for number, place in enumerate(visible)}
        blended = blend_layers(
            layers,
            [layer_of[place] for place in canvas.order.back_to_front if place in layer_of],
            canvas.delivered.size_hw,
            how=self.blend,
            band_px=band_px,
        )
        image = blended.image
        if self.shadows is not None:
            image = cast_contact_shadows(image, canvas, self.shadows)
        changed = (image != canvas.color).any(axis=2)
        state = np.full(canvas.ownership.shape, PixelState.OPEN, np.uint8)
        state[canvas.coverage] = PixelState.COPIED
        state[changed & canvas.coverage] = PixelState.RECOLOURED
        state[changed & blended.mixed] = PixelState.BLENDED
        if not self.fill:
            return Finished(image, canvas.delivered, state)

        filled = fill_holes(
            image,
            canvas.delivered.label_map,
            canvas.ownership == NO_OWNER,
            surroundings.wanted,
            seed=seed,
            stuff=[c for c, entry in enumerate(classes) if entry.kind == "stuff"],
        )
        state[filled.textured | filled.inpainted] = PixelState.SYNTHESISED
        state[filled.mixed] = PixelState.BLENDED
        delivered = Layout(
            filled.label_map, canvas.delivered.instance_map, canvas.delivered.taxonomy
        )
        return Finished(filled.image, delivered, state)

    def _layers(
        self, canvas: Canvas, surroundings: Surroundings, visible: Sequence[int], band_px: int
    ) -> list[Layer]:
        """Return the visible ones of the placed segments in the light of the picture, as layers."""
        classes = canvas.delivered.taxonomy.classes
        colors = recolored(canvas, surroundings, visible, self.transfer, band_px=band_px)
        layers = []
        for number, place in enumerate(visible):
            item = canvas.placed[place]
            class_id = item.segment.class_id
            group = class_id if classes[class_id].kind == "stuff" else len(classes) + number
            layers.append(Layer(item.box, colors[number], canvas.reach[place], item.mask, group))
        return layers


def visible_places(canvas: Canvas) -> list[int]:
    """Return the placed segments that own a pixel, ascending.

    One that is wholly hidden lends nothing to a picture, or its photograph would be on no record.
    """
    return list(canvas.visible)


def recolored(
    canvas: Canvas,
    surroundings: Surroundings,
    places: Sequence[int],
    transfer: TransferSettings | None,
    *,
    band_px: int,
) -> list[NDArray[np.uint8]]:
    """Return the colours of some placed segments in the light of the picture.

    Args:
        canvas: With the segments.
        surroundings: Light of the picture and of the photographs.
        places: Which of the segments.
        transfer: How far colours may be moved; None leaves them.
        band_px: Reach of the blending, along which pieces of one region are compared.

    Returns:
        For each (h, w, 3) uint8 RGB over its box.
    """
    placed = [canvas.placed[place] for place in places]
    if transfer is None or surroundings.look is None:
        return [item.color for item in placed]
    moved = recolor_placed(
        placed,
        [canvas.reach[place] for place in places],
        surroundings.look,
        surroundings.looks,
        surroundings.segment_means[list(places)],
        surroundings.segment_spreads[list(places)],
        canvas.delivered.taxonomy,
        canvas.delivered.size_hw,
        transfer,
        band_px=2 * band_px,
    )
    return list(moved.colors)
