"""Batches of labelled photographs for generators that learn from them without a bank."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.refinement import one_hot_layout


@dataclass(frozen=True, eq=False)
class PhotographBatch:
    """Labelled photographs. B of them, H x W pixels.

    Attributes:
        number: Of the batch, from 1, so that an objective knows how far the training has come.
        label_map: (B, H, W) uint8 class ids, 255 = void.
        instance_map: (B, H, W) int32, 0 = stuff; things without a number are connected components.
        photograph: (B, 3, H, W) uint8 RGB.
        extra: What a generator wants made of each photograph beside these, by name: (B, ...) each.
    """

    number: int
    label_map: Tensor
    instance_map: Tensor
    photograph: Tensor
    extra: Mapping[str, Tensor]

    def conditions(self, classes: int) -> Conditions:
        """Return layout and instances as generators are shown them."""
        return Conditions(
            layout=one_hot_layout(self.label_map, classes), instances=self.instance_map
        )

    @property
    def real(self) -> Tensor:
        """(B, 3, H, W) float RGB in [0, 1]."""
        return self.photograph.float() / 255


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotographSampleSettings:
    """What of a photograph is seen in a step.

    Attributes:
        crop_hw: (height, width) in pixels of the piece.
        enlarge: Greatest factor by which a photograph is enlarged beyond the smallest size that holds
            the piece, before that is cut out at random; the factor is drawn from 1 on, where the
            code of pix2pix enlarges all by 286 / 256. 1 cuts all off one side alone.
        mirror: Mirror half of the pieces.

    Raises:
        ValueError: If the piece is below 32 pixels a side, or enlarge below 1.
    """

    crop_hw: tuple[int, int] = (256, 256)
    enlarge: float = 1.0
    mirror: bool = True

    def __post_init__(self) -> None:
        if min(self.crop_hw) < 32:
            raise ValueError(f"crop_hw must be at least 32 pixels a side, got {self.crop_hw}")
        if self.enlarge < 1:
            raise ValueError(f"enlarge is {self.enlarge}, expected at least 1")


class PhotographSource(Protocol):
    """Labelled photographs by number. Same place, same bytes."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def read(self, place: int) -> tuple[NDArray[np.uint8], Layout]:
        """Return (H, W, 3) uint8 RGB and its layout; sizes may differ from place to place."""
        ...


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of a photograph.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        label_map: (h, w) uint8 class ids, 255 = void.
        instance_map: (h, w) int32, 0 = stuff.
    """

    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    instance_map: NDArray[np.int32]


ExtraMaker = Callable[[Piece, np.random.Generator], Mapping[str, NDArray[np.generic]]]
"""Makes of a piece what a generator wants beside it: (C, h, w) arrays by name. Must be picklable."""


class PhotographBatches:
    """An endless row of batches; what one holds depends on the seed and its number alone.

    Every photograph is seen once before one is seen twice.

    Args:
        photographs: Where they come from.
        settings: What is seen of them.
        extra: Makes further conditions of a piece; None for none.
        batch_size: Pieces in a batch.
        seed: Of all that is drawn.

    Raises:
        ValueError: If there is no photograph.
    """

    def __init__(
        self,
        photographs: PhotographSource,
        settings: PhotographSampleSettings,
        *,
        extra: ExtraMaker | None = None,
        batch_size: int,
        seed: int = 0,
    ) -> None:
        if len(photographs) == 0:
            raise ValueError("there are no photographs to learn from, expected at least 1")
        self._photographs = photographs
        self._settings = settings
        self._extra = extra
        self._batch_size = batch_size
        self._seed = seed

    def batch(self, number: int) -> PhotographBatch:
        """Return the batch of a number, from 1."""
        rng = np.random.default_rng((self._seed, 1, number))
        pieces, extras = [], []
        for place in self._next((number - 1) * self._batch_size):
            image, layout = self._photographs.read(place)
            piece = cut_piece(image, layout, self._settings, rng)
            pieces.append(piece)
            extras.append(self._extra(piece, rng) if self._extra is not None else {})
        return as_photograph_batch(pieces, extras, number=number)

    def _next(self, first: int) -> Iterator[int]:
        """Yield a batch's places in a row of shuffled rounds over the photographs."""
        for position in range(first, first + self._batch_size):
            round_number, place = divmod(position, len(self._photographs))
            order = np.random.default_rng((self._seed, 0, round_number))
            yield int(order.permutation(len(self._photographs))[place])


def cut_piece(
    image: NDArray[np.uint8],
    layout: Layout,
    settings: PhotographSampleSettings,
    rng: np.random.Generator,
) -> Piece:
    """Cut a random piece out of a photograph and its layout, mirror it or not.

    Args:
        image: (H, W, 3) uint8 RGB.
        layout: Of the same size.
        settings: What is seen.
        rng: Decides where.
    """
    height, width = settings.crop_hw
    scale = max(height / layout.size_hw[0], width / layout.size_hw[1])
    scale *= float(rng.uniform(1, settings.enlarge))
    seen_height, seen_width = (
        min(side / scale, full) for side, full in zip((height, width), layout.size_hw, strict=True)
    )
    top = float(rng.uniform(0, layout.size_hw[0] - seen_height))
    left = float(rng.uniform(0, layout.size_hw[1] - seen_width))
    box = (left, top, left + seen_width, top + seen_height)
    mirrored = settings.mirror and rng.random() < 0.5

    # Pillow takes boxes in fractions of pixels, the same for all three.
    def cut(array: NDArray[np.generic], filter_: Image.Resampling) -> NDArray[np.generic]:
        piece = np.asarray(Image.fromarray(array).resize((width, height), filter_, box))
        return np.ascontiguousarray(piece[:, ::-1]) if mirrored else piece

    return Piece(
        cut(image, Image.Resampling.BICUBIC).astype(np.uint8),
        cut(layout.label_map, Image.Resampling.NEAREST).astype(np.uint8),
        cut(layout.instance_map, Image.Resampling.NEAREST).astype(np.int32),
    )


def as_photograph_batch(
    pieces: list[Piece], extras: list[Mapping[str, NDArray[np.generic]]], *, number: int = 1
) -> PhotographBatch:
    """Stack pieces of one size, and what was made of each."""
    images = torch.from_numpy(np.stack([piece.image for piece in pieces]))
    return PhotographBatch(
        number=number,
        label_map=torch.from_numpy(np.stack([piece.label_map for piece in pieces])),
        instance_map=torch.from_numpy(np.stack([piece.instance_map for piece in pieces])),
        photograph=images.permute(0, 3, 1, 2).contiguous(),
        extra={
            name: torch.from_numpy(np.stack([extra[name] for extra in extras]))
            for name in extras[0]
        },
    )
