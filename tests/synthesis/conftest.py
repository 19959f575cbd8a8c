"""A small bank in memory, and photographs simple enough to know every answer."""

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.extract import extract_regions
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.rerank import ScoreWeights
from scenequilt.memory_bank.search import Search
from scenequilt.memory_bank.segment import Candidate, Query, Region, Retrieval, Segment
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.memory_bank.where import Where

SKY, ROAD, CAR = 0, 1, 2

TAXONOMY = Taxonomy(
    "tiny",
    (
        ClassInfo(0, "sky", (70, 130, 180), "stuff"),
        ClassInfo(1, "road", (128, 64, 128), "stuff"),
        ClassInfo(2, "car", (0, 0, 142), "thing"),
    ),
)

ROW_DTYPE = np.dtype(
    [
        ("segment_id", "i8"),
        ("source_row", "i4"),
        ("class_id", "u1"),
        ("area_px", "i4"),
        ("lab_mean", "f4", (3,)),
        ("lab_std", "f4", (3,)),
    ]
)


def street(
    *,
    horizon: int = 12,
    car: tuple[int, int] | None = (14, 20),
    size_hw: tuple[int, int] = (32, 48),
) -> Layout:
    """Return sky over road, and a car of 8x12 pixels at (top, left)."""
    label_map = np.full(size_hw, ROAD, np.uint8)
    label_map[:horizon] = SKY
    instance_map = np.zeros(size_hw, np.int32)
    if car is not None:
        top, left = car
        label_map[top : top + 8, left : left + 12] = CAR
        instance_map[top : top + 8, left : left + 12] = 7
    return Layout(label_map, instance_map, TAXONOMY)


def photograph(layout: Layout, seed: int, *, light: int = 0) -> NDArray[np.uint8]:
    """Return a noisy picture of a layout, lighter by some grey levels."""
    base = np.zeros((256, 3), np.int16)
    base[[SKY, ROAD, CAR]] = [[120, 160, 210], [90, 90, 95], [170, 40, 40]]
    base[VOID] = 60
    noise = np.random.default_rng(seed).integers(-12, 13, (*layout.size_hw, 3))
    image: NDArray[np.uint8] = np.clip(base[layout.label_map] + noise + light, 0, 255).astype(
        np.uint8
    )
    return image


class FakeBank:
    """A bank of whole photographs in memory, searched by overlap in the frame."""

    def __init__(
        self, photographs: Sequence[tuple[str, NDArray[np.uint8], Layout]], taxonomy: Taxonomy
    ) -> None:
        self.taxonomy = taxonomy
        self._label_maps = {name: layout.label_map for name, _, layout in photographs}
        self._segments: list[tuple[Segment, Region]] = []
        rows = []
        for source_row, (source_id, image, layout) in enumerate(photographs):
            lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
            for region in extract_regions(layout, min_area_px=4):
                segment_id = 1000 + len(self._segments)
                top, left, bottom, right = region.box
                crop = (
                    max(top - 16, 0),
                    max(left - 16, 0),
                    min(bottom + 16, image.shape[0]),
                    min(right + 16, image.shape[1]),
                )
                mask = np.zeros((crop[2] - crop[0], crop[3] - crop[1]), np.bool_)
                mask[top - crop[0] : bottom - crop[0], left - crop[1] : right - crop[1]] = (
                    region.mask
                )
                color = image[crop[0] : crop[2], crop[1] : crop[3]]
                segment = Segment(
                    segment_id,
                    region.class_id,
                    source_id,
                    region.box,
                    crop,
                    color,
                    mask,
                    layout.size_hw,
                    region.cut_by_frame,
                )
                self._segments.append((segment, region))
                own = lab[top:bottom, left:right][region.mask]
                rows.append(
                    (
                        segment_id,
                        source_row,
                        region.class_id,
                        len(own),
                        own.mean(axis=0),
                        own.std(axis=0),
                    )
                )
        self.segments: NDArray[Any] = np.array(rows, ROW_DTYPE)

    def retrieve_many(
        self,
        queries: Sequence[Query],
        k: int = 10,
        *,
        where: Where | None = None,
        weights: ScoreWeights | None = None,
        search: Search = "auto",
        allow_empty: bool = False,
    ) -> list[Retrieval]:
        """Rank the segments of each query's class by overlap where they stand."""
        return [self._retrieve(query, k, where or Where()) for query in queries]

    def _retrieve(self, query: Query, k: int, where: Where) -> Retrieval:
        found = []
        in_class = [entry for entry in self._segments if entry[0].class_id == query.class_id]
        for segment, region in in_class:
            if where.sources is not None and segment.source_id not in where.sources:
                continue
            score = _overlap(query.region, region)
            found.append((-score, segment.segment_id, segment.source_id))
        candidates = tuple(
            Candidate(segment_id, source_id, rank, -score, -score, 0.0, 0.0, "frame")
            for rank, (score, segment_id, source_id) in enumerate(sorted(found)[:k])
        )
        return Retrieval(candidates, len(in_class), {}, len(found))

    def segment(self, segment_id: int) -> Segment:
        """Return a segment."""
        return self._segments[segment_id - 1000][0]

    def segment_ids(self) -> NDArray[np.int64]:
        """Return the numbers of all segments."""
        ids: NDArray[np.int64] = self.segments["segment_id"]
        return ids

    def label_map(self, source_id: str) -> NDArray[np.uint8]:
        """Return the layout of a photograph."""
        return self._label_maps[source_id]

    def locate(self, segment_id: int) -> tuple["FakeBank", int]:
        """Return the only shard, which is the bank itself, and the row."""
        return self, segment_id - 1000


def _overlap(one: Region, other: Region) -> float:
    bottom, right = (max(one.box[i], other.box[i]) for i in (2, 3))
    masks = []
    for region in (one, other):
        mask = np.zeros((bottom, right), np.bool_)
        mask[region.box[0] : region.box[2], region.box[1] : region.box[3]] = region.mask
        masks.append(mask)
    return float((masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum())


@pytest.fixture(scope="session")
def street_bank() -> FakeBank:
    """Six streets in two kinds of light, each a little different in place and shape."""
    photographs = []
    for number in range(6):
        layout = street(horizon=10 + number, car=(13 + number % 3, 10 + 4 * number))
        image = photograph(layout, number, light=0 if number < 3 else 35)
        photographs.append((f"street_{number}", image, layout))
    return FakeBank(photographs, TAXONOMY)


@pytest.fixture(scope="session")
def make_street() -> Callable[..., Layout]:
    """Return street()."""
    return street


@pytest.fixture(scope="session")
def make_photograph() -> Callable[..., NDArray[np.uint8]]:
    """Return photograph()."""
    return photograph


@pytest.fixture(scope="session")
def make_bank() -> Callable[..., FakeBank]:
    """Return FakeBank."""
    return FakeBank
