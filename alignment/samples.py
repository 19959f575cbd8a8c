"""Pairs that the alignment network learns from: displaced segments, and real ones that were retrieved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenequilt.alignment.affine import Affine, compose, identity, invert, rotation, through
from scenequilt.alignment.view import View, ViewSettings
from scenequilt.memory_bank.datasets.interface import Entry, LabelledPhotograph
from scenequilt.memory_bank.segment import Box, PlacedSegment, Query, size_of


class Photographs(Protocol):
    """Reads labelled photographs."""

    def read(self, entry: Entry) -> LabelledPhotograph:
        """Read one photograph with its layout."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """How pairs are made.

    Attributes:
        scale: Least and greatest factor by which a displaced segment is magnified.
        stretch: Greatest ratio between the magnifications of two directions, >= 1.
        shear: Greatest shear either way: how far a point moves along x for its distance along y.
        rotation_deg: Greatest turn either way, in degrees.
        shift: Greatest move along each axis, as a share of the segment's box.
        crop: Greatest share of the box that is cut off at one side, in [0, 1).
        min_area: Smaller regions are left out, as a share of the photograph.
        a_photograph: Greatest number of pairs that a batch takes from one photograph, >= 1.
        real_share: Share of the pairs that are a region and a segment which the bank has for it, as
            the closed form places it, in [0, 1]; above 0 needs a bank.
        candidates: How many segments of the bank one is drawn from, >= 1. Neighbouring frames of a
            film are among the best; with few candidates little is left to correct.

    Raises:
        ValueError: If a value is out of range.
    """

    scale: tuple[float, float] = (0.85, 1.15)
    stretch: float = 1.1
    shear: float = 0.05
    rotation_deg: float = 5.0
    shift: float = 0.1
    crop: float = 0.2
    min_area: float = 0.002
    a_photograph: int = 8
    real_share: float = 0.5
    candidates: int = 20

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ValueError(f"scale is {self.scale}, expected two positive factors, least first")
        if not self.stretch >= 1:
            raise ValueError(f"stretch is {self.stretch}, expected at least 1")
        for name, limit in (("shear", 1), ("shift", 1), ("crop", 1), ("min_area", 1)):
            value = getattr(self, name)
            if not 0 <= value < limit:
                raise ValueError(f"{name} is {value}, expected 0 to {limit}")
        if not 0 <= self.rotation_deg < 90:
            raise ValueError(f"rotation_deg is {self.rotation_deg}, expected 0 to 90")
        if not 0 <= self.real_share <= 1:
            raise ValueError(f"real_share is {self.real_share}, expected 0 to 1")
        for name in ("a_photograph", "candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")


@dataclass(frozen=True, eq=False)
class AlignmentBatch:
    """B pairs on their views, H x W pixels; masks are 0 or 1.

    Attributes:
        color: (B, 3, H, W) RGB in [0, 1]: the segment before it is aligned, 0 where it is not.
        segment_mask: (B, 1, H, W): where it is.
        query_mask: (B, 1, H, W): where it is wanted.
        label_map: (B, H, W) uint8: the layout, 255 = void and beyond its border.
        inside: (B, 1, H, W): 0 beyond the border of the layout, where nothing counts.
        target: (B, 3, H, W): the photograph on the query, 0 elsewhere and of real pairs.
        displaced: (B,): 1 where color is target displaced, 0 for a real pair.
        thing: (B,): 1 where the query is a thing, 0 for stuff.
    """

    color: Tensor
    segment_mask: Tensor
    query_mask: Tensor
    label_map: Tensor
    inside: Tensor
    target: Tensor
    displaced: Tensor
    thing: Tensor


class AlignmentSamples:
    """An endless row of batches. Same settings, seed and number, same batch.

    Args:
        reader: Reads the photographs.
        entries: Which.
        batch_size: Pairs in a batch.
        seed: Of everything that is drawn.
        view: How pairs are shown.
        settings: How they are made.
        bank: Folder of the bank that real pairs come from; its taxonomy is the photographs'.

    Raises:
        ValueError: If there is no photograph, batch_size is below 1, or real pairs are asked for
            without a bank.
    """

    def __init__(
        self,
        reader: Photographs,
        entries: Sequence[Entry],
        *,
        batch_size: int,
        seed: int,
        view: ViewSettings,
        settings: PairSettings,
        bank: Path | None = None,
    ) -> None:
        if not entries:
            raise ValueError("there are no photographs to make pairs of, expected at least 1")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        if settings.real_share > 0 and bank is None:
            raise ValueError(
                f"real_share is {settings.real_share}, but there is no bank to retrieve from; "
                "give --bank, or set real_share = 0 to learn from displaced segments alone"
            )
        self._reader = reader
        self._entries = list(entries)
        self._batch_size = batch_size
        self._seed = seed
        self._view = view
        self._settings = settings
        self._bank_path = bank if settings.real_share > 0 else None
        self._retriever: _Retriever | None = None

    def batch(self, number: int) -> AlignmentBatch:
        """Return the batch of a number, from 1.

        Raises:
            ValueError: If no photograph has a region that is large enough.
        """
        random = np.random.default_rng([self._seed, number])
        pairs: list[_Pair] = []
        misses = 0
        while len(pairs) < self._batch_size:
            entry = self._entries[random.integers(len(self._entries))]
            wanted = min(self._settings.a_photograph, self._batch_size - len(pairs))
            found = self._pairs_of(entry, wanted, random)
            misses = 0 if found else misses + 1
            if misses > 10 * len(self._entries) + 100:
                raise ValueError(
                    f"none of {len(self._entries)} photographs gives a pair: no region has "
                    f"min_area {self._settings.min_area} of its photograph; lower it"
                )
            pairs += found
        return _batch_of(pairs)

    def _pairs_of(self, entry: Entry, wanted: int, random: np.random.Generator) -> list["_Pair"]:
        from scenequilt.memory_bank.extract import extract_queries

        photograph = self._reader.read(entry)
        layout = photograph.layout
        least_px = max(1, math.ceil(self._settings.min_area * layout.label_map.size))
        queries = extract_queries(layout, min_area_px=least_px)
        if not queries:
            return []
        drawn = [queries[place] for place in random.permutation(len(queries))[:wanted]]
        pairs = []
        for query in drawn:
            pair = None
            if random.random() < self._settings.real_share:
                pair = self._real_pair(query, entry, random)
            pairs.append(pair or self._displaced_pair(query, photograph, random))
        return pairs

    def _displaced_pair(
        self, query: Query, photograph: LabelledPhotograph, random: np.random.Generator
    ) -> "_Pair":
        box = query.region.box
        top, left, bottom, right = box
        view = View.of(box, query.layout.size_hw, self._view)
        photograph_crop = photograph.image[top:bottom, left:right]
        target, _ = view.segment(photograph_crop, query.region.mask, box, identity())
        moved_from_layout = draw_displacement(box, self._settings, random)
        kept = query.region.mask & _cropped(size_of(box), self._settings.crop, random)
        if not kept.any():
            kept = query.region.mask
        color, mask = view.segment(photograph_crop, kept, box, invert(moved_from_layout))
        return _Pair(color, mask, query, view, target, True)

    def _real_pair(self, query: Query, entry: Entry, random: np.random.Generator) -> "_Pair | None":
        if self._retriever is None:
            assert self._bank_path is not None
            self._retriever = _Retriever(self._bank_path, self._settings.candidates)
        placed = self._retriever.draw(query, entry, random)
        if placed is None:
            return None
        box, segment = query.region.box, placed.segment
        # How far the closed form is from the best differs: from as it is to well displaced.
        moved_from_layout = draw_displacement(box, self._settings, random, random.uniform(0, 1))
        view = View.of(box, query.layout.size_hw, self._view)
        color, mask = view.segment(
            segment.color,
            segment.mask,
            segment.crop_box,
            compose(placed.source_from_target, invert(moved_from_layout)),
        )
        return _Pair(color, mask, query, view, np.zeros_like(color), False) if mask.any() else None


def draw_displacement(
    box: Box, settings: PairSettings, random: np.random.Generator, strength: float = 1.0
) -> Affine:
    """Draw moved_from_layout, about the centre of a segment's box, in pixels.

    Scale, stretch along a random direction, shear, turn and shift are drawn evenly (scale and
    stretch by their logarithm) and independently; the original's code draws a turn and forgets it,
    and takes the height where the width is meant.

    Args:
        box: Of the segment, in layout pixels.
        settings: The ranges.
        random: Draws.
        strength: What the ranges are multiplied by, those of scale and stretch as logarithms.
    """
    height, width = size_of(box)
    scale = math.exp(strength * random.uniform(*np.log(settings.scale)))
    stretch = math.exp(strength * random.uniform(0, math.log(settings.stretch)) / 2)
    axis = rotation(random.uniform(0, math.pi))
    shear = strength * random.uniform(-settings.shear, settings.shear)
    turn_deg = strength * random.uniform(-settings.rotation_deg, settings.rotation_deg)
    turn = rotation(math.radians(turn_deg))
    shift_x, shift_y = (
        strength * random.uniform(-settings.shift, settings.shift, 2) * (width, height)
    )
    linear = compose(
        turn,
        np.array([[1, shear, 0], [0, 1, 0]]),
        axis,
        np.array([[scale * stretch, 0, 0], [0, scale / stretch, 0]]),
        invert(axis),
    )
    x, y = (box[1] + box[3]) / 2, (box[0] + box[2]) / 2
    return through(linear, (x, y), (x + float(shift_x), y + float(shift_y)))


def _cropped(
    size_hw: tuple[int, int], greatest: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Return (h, w) bool, False on a strip at one side."""
    kept = np.ones(size_hw, np.bool_)
    axis, at_end = int(random.integers(2)), bool(random.integers(2))
    strip_px = int(random.uniform(0, greatest) * size_hw[axis])
    side = slice(size_hw[axis] - strip_px, None) if at_end else slice(0, strip_px)
    kept[(side, slice(None)) if axis == 0 else (slice(None), side)] = False
    return kept


class _Retriever:
    """Draws segments of a bank as the closed form places them."""

    def __init__(self, path: Path, candidates: int) -> None:
        from scenequilt.alignment.aligner import ClosedFormAligner
        from scenequilt.memory_bank.bank import MemoryBank

        self._bank: MemoryBank = MemoryBank.open(path)
        self._aligner: ClosedFormAligner = ClosedFormAligner()
        self._candidates = candidates
        self._sequences = {source.sequence for source in self._bank.sources()}

    def draw(self, query: Query, entry: Entry, random: np.random.Generator) -> PlacedSegment | None:
        """Return a segment where the closed form places it; None if the bank has none.

        It is of another sequence, where the bank has one: its own film shows the very object.
        """
        from scenequilt.memory_bank.where import Where

        own = self._sequences & {entry.sequence}
        retrieval = self._bank.retrieve(
            query,
            self._candidates,
            where=Where(not_sequences=tuple(own)) if own < self._sequences else None,
            exclude_sources=[entry.source_id],
            allow_empty=True,
        )
        if not retrieval.candidates:
            return None
        candidate = retrieval.candidates[random.integers(len(retrieval.candidates))]
        segment = self._bank.segment(candidate.segment_id)
        return self._aligner.place(query, segment, candidate)


@dataclass(frozen=True, eq=False)
class _Pair:
    color: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    query: Query
    view: View
    target: NDArray[np.uint8]
    displaced: bool


def _batch_of(pairs: Sequence[_Pair]) -> AlignmentBatch:
    regions = [(pair.view, pair.query.region, pair.query.layout) for pair in pairs]
    return AlignmentBatch(
        color=_pictures([pair.color for pair in pairs]),
        segment_mask=_masks([pair.mask for pair in pairs]),
        query_mask=_masks([view.mask(region.mask, region.box) for view, region, _ in regions]),
        label_map=torch.from_numpy(
            np.stack([view.label_map(layout.label_map) for view, _, layout in regions])
        ),
        inside=_masks([view.inside(layout.size_hw) for view, _, layout in regions]),
        target=_pictures([pair.target for pair in pairs]),
        displaced=torch.tensor([float(pair.displaced) for pair in pairs]),
        thing=torch.tensor([float(pair.query.is_thing) for pair in pairs]),
    )


def _pictures(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def _masks(masks: Sequence[NDArray[np.bool_]]) -> Tensor:
    """Return (B, 1, H, W), 0 or 1."""
    return torch.from_numpy(np.stack(masks))[:, None].float()
