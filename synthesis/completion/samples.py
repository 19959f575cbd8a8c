"""Pairs for the completion network: dense layouts of a dataset and simulations of coarse ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.completion.coarse import CoarseSettings, simulate_coarse
from scenequilt.synthesis.completion.nearest import nearest_labels

CACHE_BYTES = 2**30
"""Memory that layouts may take; beyond it they are read again each time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionSampleSettings:
    """What the network sees.

    Attributes:
        size_hw: (height, width) in pixels that pieces of layouts are brought to. The network then
            does best on whole layouts at this height.
        least_share: A piece's height and width are drawn between this share of the largest piece
            of its shape and the whole of it.
        mirror: Mirror half of the pieces.

    Raises:
        ValueError: If a number is out of range.
    """

    size_hw: tuple[int, int] = (256, 512)
    least_share: float = 0.7
    mirror: bool = True

    def __post_init__(self) -> None:
        if len(self.size_hw) != 2 or min(self.size_hw) < 1:
            raise ValueError(
                f"size_hw is {tuple(self.size_hw)}, expected height and width of at least 1 pixel"
            )
        if not 0 < self.least_share <= 1:
            raise ValueError(f"least_share is {self.least_share}, expected above 0, at most 1")


@dataclass(frozen=True, eq=False)
class CompletionBatch:
    """What the completion network learns from in one step.

    Attributes:
        coarse: (B, H, W) uint8 class ids, 255 = void.
        nearest: (B, H, W) uint8, the same with its void labelled like the nearest labelled pixel.
        truth: (B, H, W) uint8, the same dense.
    """

    coarse: Tensor
    nearest: Tensor
    truth: Tensor


class LayoutSource(Protocol):
    """Layouts by number; same place, same layout. layouts.source.DatasetLayouts is one."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def read(self, place: int) -> Layout:
        """Return the layout at a place, 0 to len - 1."""
        ...


class CompletionBatches:
    """An endless row of batches; what one holds depends on the seed and its number alone.

    Every layout is seen once before one is seen twice.

    Args:
        layouts: The dense layouts.
        settings: What pieces are made of them.
        coarse: How coarse ones are simulated.
        batch_size: Pieces in a batch.
        seed: Of all that is drawn.

    Raises:
        ValueError: If there is no layout.
    """

    def __init__(
        self,
        layouts: LayoutSource,
        settings: CompletionSampleSettings,
        coarse: CoarseSettings,
        *,
        batch_size: int,
        seed: int = 0,
        limit_bytes: int = CACHE_BYTES,
    ) -> None:
        if len(layouts) == 0:
            raise ValueError("there are no layouts to learn from, expected at least 1")
        self._layouts = layouts
        self._settings = settings
        self._coarse = coarse
        self._batch_size = batch_size
        self._seed = seed
        self._kept: dict[int, Layout] = {}
        self._room_bytes = limit_bytes

    def batch(self, number: int) -> CompletionBatch:
        """Return the batch of a number, from 1.

        Raises:
            DatasetError: If a layout cannot be read; the message names the file.
        """
        rng = np.random.default_rng((self._seed, 1, number))
        coarse, truth = [], []
        for place in self._places((number - 1) * self._batch_size):
            piece = layout_piece(self._read(place), self._settings, rng)
            truth.append(piece.label_map)
            coarse.append(simulate_coarse(piece, self._coarse, rng).label_map)
        nearest = [nearest_labels(label_map) for label_map in coarse]
        stacked = (torch.from_numpy(np.stack(maps)) for maps in (coarse, nearest, truth))
        return CompletionBatch(*stacked)

    def _places(self, first: int) -> Iterator[int]:
        """Yield a batch's places in a row of shuffled rounds over the layouts."""
        for position in range(first, first + self._batch_size):
            round_number, place = divmod(position, len(self._layouts))
            order = np.random.default_rng((self._seed, 0, round_number))
            yield int(order.permutation(len(self._layouts))[place])

    def _read(self, place: int) -> Layout:
        if place in self._kept:
            return self._kept[place]
        layout = self._layouts.read(place)
        size_bytes = layout.label_map.nbytes + layout.instance_map.nbytes
        if size_bytes <= self._room_bytes:
            self._room_bytes -= size_bytes
            # Without its depth, of which nothing is learnt.
            self._kept[place] = Layout(layout.label_map, layout.instance_map, layout.taxonomy)
        return layout


def layout_piece(
    layout: Layout, settings: CompletionSampleSettings, rng: np.random.Generator
) -> Layout:
    """Cut a random piece of random size out of a layout, mirror it or not, bring it to a size.

    The piece has the shape of the wanted size, so that nothing is squeezed.

    Args:
        layout: The layout.
        settings: What may happen.
        rng: Decides what does.

    Returns:
        The piece at settings.size_hw, every pixel that of its nearest neighbour.
    """
    height, width = layout.size_hw
    wanted_height, wanted_width = settings.size_hw
    scale = min(height / wanted_height, width / wanted_width)
    scale *= rng.uniform(settings.least_share, 1.0)
    top = rng.uniform(0, height - scale * wanted_height)
    left = rng.uniform(0, width - scale * wanted_width)
    rows = _nearest(top, scale, wanted_height, height)
    columns = _nearest(left, scale, wanted_width, width)
    if settings.mirror and rng.random() < 0.5:
        columns = columns[::-1]
    place = np.ix_(rows, columns)
    return Layout(layout.label_map[place], layout.instance_map[place], layout.taxonomy)


def _nearest(first: float, scale: float, wanted: int, there: int) -> NDArray[np.intp]:
    # The pixel under the centre of each wanted one.
    found = (first + (np.arange(wanted) + 0.5) * scale).astype(np.intp)
    return np.minimum(found, there - 1)
