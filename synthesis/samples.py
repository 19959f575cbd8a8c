"""Batches of simulated canvases for the synthesis network."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from scenequilt.synthesis.canvas_set import CanvasPair, CanvasSet
from scenequilt.synthesis.objective import SynthesisBatch

Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasSampleSettings:
    """What of a canvas is seen in a step.

    Attributes:
        crop_hw: (height, width) in pixels of the piece.
        mirror: Mirror half of the pieces.
        light: Standard deviation of the logarithm of a factor on the brightness of a piece, the
            same for canvas and photograph.

    Raises:
        ValueError: If the piece is below 32 pixels a side, or light is negative.
    """

    crop_hw: tuple[int, int] = (192, 256)
    mirror: bool = True
    light: float = 0.1

    def __post_init__(self) -> None:
        if min(self.crop_hw) < 32:
            raise ValueError(f"crop_hw must be at least 32 pixels a side, got {self.crop_hw}")
        if self.light < 0:
            raise ValueError(f"light is {self.light}, expected at least 0")


class CanvasBatches:
    """An endless row of batches; what one holds depends on the seed and its number alone.

    Every canvas is seen once before one is seen twice.

    Args:
        canvases: Where they come from.
        places: Which of them.
        settings: What is seen of them.
        batch_size: Pieces in a batch.
        seed: Of all that is drawn.

    Raises:
        ValueError: If there is no canvas, or one is smaller than the piece.
    """

    def __init__(
        self,
        canvases: CanvasSet,
        places: list[int],
        settings: CanvasSampleSettings,
        *,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        if not places:
            raise ValueError(f"{canvases.path} holds no canvas to learn from, expected at least 1")
        for place in places:
            size = canvases.size_hw(place)
            if settings.crop_hw[0] > size[0] or settings.crop_hw[1] > size[1]:
                raise ValueError(
                    f"crop_hw is {settings.crop_hw}, but canvas {place} of {canvases.path} is "
                    f"{size[0]}x{size[1]} (height x width in pixels); give a piece within all"
                )
        self._canvases = canvases
        self._places = places
        self._settings = settings
        self._batch_size = batch_size
        self._seed = seed

    def batch(self, number: int) -> SynthesisBatch:
        """Return the batch of a number, from 1."""
        rng = np.random.default_rng((self._seed, 1, number))
        pieces = [
            canvas_piece(self._canvases.read(place), self._settings, rng)
            for place in self._next((number - 1) * self._batch_size)
        ]
        return as_batch(pieces)

    def _next(self, first: int) -> Iterator[int]:
        """Yield a batch's places in a row of shuffled rounds over the canvases."""
        for position in range(first, first + self._batch_size):
            round_number, place = divmod(position, len(self._places))
            order = np.random.default_rng((self._seed, 0, round_number))
            yield self._places[int(order.permutation(len(self._places))[place])]


def canvas_piece(
    pair: CanvasPair, settings: CanvasSampleSettings, rng: np.random.Generator
) -> CanvasPair:
    """Cut a random piece out of a canvas and its photograph, mirror it or not, change its light."""
    height, width = settings.crop_hw
    top = int(rng.integers(pair.label_map.shape[0] - height + 1))
    left = int(rng.integers(pair.label_map.shape[1] - width + 1))
    mirrored = settings.mirror and rng.random() < 0.5
    light = float(np.exp(settings.light * rng.normal()))

    def piece(array: NDArray[Kind]) -> NDArray[Kind]:
        cut = array[top : top + height, left : left + width]
        return cut[:, ::-1] if mirrored else cut

    def lit(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(np.clip(np.rint(colors * light), 0, 255), np.uint8)

    return CanvasPair(
        photograph=pair.photograph,
        image=lit(piece(pair.image)),
        label_map=piece(pair.label_map),
        canvas=lit(piece(pair.canvas)),
        coverage=piece(pair.coverage),
        elided=piece(pair.elided),
    )


def as_batch(pairs: list[CanvasPair]) -> SynthesisBatch:
    """Stack pairs of one size."""

    def colors(arrays: list[NDArray[np.uint8]]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).contiguous()

    def mask(arrays: list[NDArray[np.bool_]]) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays))[:, None]

    return SynthesisBatch(
        label_map=torch.from_numpy(np.stack([pair.label_map for pair in pairs])),
        canvas=colors([pair.canvas for pair in pairs]),
        coverage=mask([pair.coverage for pair in pairs]),
        elided=mask([pair.elided for pair in pairs]),
        photograph=colors([pair.image for pair in pairs]),
    )
