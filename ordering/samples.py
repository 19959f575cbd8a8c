"""Pairs of regions for training an ordering network, and for asking how good it is."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.ordering.view import PairView, RegionMap, ViewSettings, map_regions, view_pair

if TYPE_CHECKING:
    from scenequilt.ordering.depth_source import DepthSource
    from scenequilt.ordering.pair_labels import (
        ClassStatistics,
        Neighbours,
        PaintedObject,
        PairLabel,
    )

KEPT_LINES = 192
"""Height in pixels of the maps that are kept in memory; a view takes fewer samples than that."""


_LEAST_TOWN_CLASSES = 6

_ALSO_CALLED = {
    "building": ("house",),
    "road": ("street",),
    "pavement": ("sidewalk",),
    "vegetation": ("tree",),
    "person": ("pedestrian",),
    "bicyclist": ("rider", "cyclist"),
    "sign": ("traffic_sign", "sign_symbol"),
}
"""Other names of toytown's classes, by the name that they have there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """Which pairs are learned from, and what is done to them.

    Attributes:
        min_area_share: Regions of a smaller share of the picture are left out, in [0, 1).
        nearer_by: Ratio of two depths from which they count as different, > 1.
        layout_weight: What a pair counts of which neither occlusion nor depth is known, in [0, 1];
            its label is what the layout says. 0 leaves those out.
        zoom: Least share of a view's height and width that is left by cutting, in (0, 1].
        toytown_scenes: Scenes of toytown, whose occlusion is exact, that are rendered beside a
            dataset of streets; 0 for none.
        toytown_share: Share of the pairs of a batch that are of them, in [0, 1).

    Raises:
        ValueError: If a setting is out of range.
    """

    min_area_share: float = 0.0076
    nearer_by: float = 1.03
    layout_weight: float = 0.1
    zoom: float = 0.8
    toytown_scenes: int = 0
    toytown_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.min_area_share < 1:
            raise ValueError(f"min_area_share is {self.min_area_share}, expected 0 to below 1")
        if not self.nearer_by > 1:
            raise ValueError(f"nearer_by is {self.nearer_by}, expected a ratio above 1")
        if not 0 <= self.layout_weight <= 1:
            raise ValueError(f"layout_weight is {self.layout_weight}, expected 0 to 1")
        if not 0 < self.zoom <= 1:
            raise ValueError(f"zoom is {self.zoom}, expected a share in (0, 1]")
        if self.toytown_scenes < 0:
            raise ValueError(f"toytown_scenes is {self.toytown_scenes}, expected at least 0")
        if not 0 <= self.toytown_share < 1:
            raise ValueError(f"toytown_share is {self.toytown_share}, expected 0 to below 1")


@dataclass(frozen=True, eq=False)
class PairPicture:
    """The regions of one photograph and what is known of its pairs.

    Attributes:
        source_id: The photograph.
        region_map: Its regions, at most KEPT_LINES high.
        labels: Its pairs.
    """

    source_id: str
    region_map: RegionMap
    labels: "tuple[PairLabel, ...]"


@dataclass(frozen=True, eq=False)
class PairBatch:
    """B pairs, each as the network sees it.

    Attributes:
        masks: (B, 2, H, W) bool, first and second.
        label_map: (B, H, W) uint8 class ids, 255 = void.
        places: (B, 2, H, W) float32 in [-1, 1], x and y in the picture.
        extents: (B, 2, 5) float32, see view.PairView.
        outline_logits: (B, S) float32, what the closed form says by each of S sources.
        in_front: (B,) float32, 1 where the first is in front, 0 where not; between them where only
            a probability is known.
        weight: (B,) float32, what each pair counts.
    """

    masks: Tensor
    label_map: Tensor
    places: Tensor
    extents: Tensor
    outline_logits: Tensor
    in_front: Tensor
    weight: Tensor


def read_pairs(
    reader: DatasetReader,
    entries: Sequence[Entry],
    settings: PairSettings,
    *,
    depth: "DepthSource | None" = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[PairPicture]:
    """Read photographs and say which of their regions are in front.

    Args:
        reader: The dataset.
        entries: Its photographs.
        settings: Which pairs.
        depth: Asked for the depth of photographs that come without.
        progress: Called with (photographs done, all) after each.

    Returns:
        The photographs that have a pair, in the order of entries.

    Raises:
        DatasetError: If a photograph or its depth cannot be read, or none of them has a pair.
    """
    from scenequilt.ordering.pair_labels import ClassStatistics, read_painted_objects

    statistics = ClassStatistics(len(reader.taxonomy))
    seen = []
    for done, entry in enumerate(entries, start=1):
        photograph = reader.read(entry)
        layout = photograph.layout
        if layout.depth_m is None and depth is not None:
            layout = replace(layout, depth_m=depth.depth(entry.source_id, photograph.image))
        looked = _look_at(entry.source_id, layout, read_painted_objects(entry), settings)
        statistics.add(looked.neighbours)
        seen.append(looked)
        if progress is not None:
            progress(done, len(entries))
    found = [_labelled(each, settings, statistics) for each in seen]
    pictures = [picture for picture in found if picture.labels]
    if not pictures:
        raise DatasetError(
            f"none of {len(entries)} photographs has two regions next to each other whose order is "
            f"known, of at least {settings.min_area_share:.2%} of the picture; lower "
            "min_area_share, raise layout_weight above 0, or give depth"
        )
    return pictures


def render_pairs(taxonomy: Taxonomy, settings: PairSettings, seed: int) -> list[PairPicture]:
    """Render scenes of toytown in the classes of a dataset of streets, with their exact occlusion.

    Classes are found by name: its vegetation is a dataset's tree, its pavement a sidewalk. What a
    dataset has no class for is void.

    Args:
        taxonomy: The dataset's.
        settings: How many scenes, and which pairs.
        seed: What they are drawn from, >= 0.

    Raises:
        ValueError: If fewer than six of toytown's classes are among the dataset's.
    """
    from scenequilt.memory_bank.toytown.classes import TOYTOWN_TAXONOMY
    from scenequilt.memory_bank.toytown.scene import render_scene
    from scenequilt.ordering.pair_labels import PaintedObject

    class_of = np.full(256, VOID, np.uint8)
    for town_id, entry in enumerate(TOYTOWN_TAXONOMY.classes):
        names = {entry.name, *_ALSO_CALLED.get(entry.name, ())}
        known = [n for n, other in enumerate(taxonomy.classes) if other.known_as(names)]
        class_of[town_id] = known[0] if known else VOID
    if np.count_nonzero(class_of != VOID) < _LEAST_TOWN_CLASSES:
        raise ValueError(
            f"toytown_scenes is {settings.toytown_scenes}, but only "
            f"{np.count_nonzero(class_of != VOID)} of the classes of {taxonomy.name!r} are found "
            "in toytown, which is a street; set it to 0"
        )
    pictures = []
    for number in range(settings.toytown_scenes):
        scene = render_scene(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
        layout = replace(
            scene.layout, label_map=class_of[scene.layout.label_map], taxonomy=taxonomy
        )
        numbered = set(np.unique(layout.instance_map).tolist())
        painted = [
            PaintedObject(
                taxonomy.classes[class_of[item.class_id]].name,
                item.object_id if item.object_id in numbered else 0,
            )
            for item in scene.occlusion_order
            if class_of[item.class_id] != VOID
        ]
        looked = _look_at(f"toytown {number}", layout, painted, settings)
        picture = _labelled(looked, settings, None)
        if picture.labels:
            pictures.append(picture)
    return pictures


@dataclass(frozen=True, eq=False)
class _Looked:
    source_id: str
    region_map: RegionMap | None
    neighbours: "list[Neighbours]"


def _look_at(
    source_id: str, layout: Layout, painted: "Sequence[PaintedObject]", settings: PairSettings
) -> _Looked:
    from scenequilt.memory_bank.extract import extract_queries
    from scenequilt.ordering.pair_labels import find_neighbours

    least_px = max(1, round(settings.min_area_share * layout.label_map.size))
    queries = extract_queries(layout, min_area_px=least_px)
    region_map = _reduced(map_regions(queries)) if queries else None
    return _Looked(source_id, region_map, find_neighbours(queries, painted=painted))


def _labelled(
    looked: _Looked, settings: PairSettings, statistics: "ClassStatistics | None"
) -> PairPicture:
    from scenequilt.ordering.pair_labels import label_pairs

    labels = label_pairs(
        looked.neighbours,
        statistics=statistics if settings.layout_weight > 0 else None,
        nearer_by=settings.nearer_by,
    )
    region_map = looked.region_map or RegionMap(
        np.zeros((1, 1), np.uint8), np.full((1, 1), -1, np.int16), {}, {}
    )
    boxes = region_map.boxes
    kept = tuple(pair for pair in labels if pair.first in boxes and pair.second in boxes)
    return PairPicture(looked.source_id, region_map, kept)


class PairSamples:
    """Endless batches of pairs, each pair as likely as any other.

    Args:
        pictures: What they are drawn from.
        view: How they are shown.
        settings: What is done to them.
        batch_size: Pairs in a batch.
        seed: What everything is drawn with.
        others: What settings.toytown_share of them are drawn from.

    Raises:
        ValueError: If there is no pair, or batch_size is below 1.
    """

    def __init__(
        self,
        pictures: Sequence[PairPicture],
        view: ViewSettings,
        settings: PairSettings,
        *,
        batch_size: int,
        seed: int,
        others: Sequence[PairPicture] = (),
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        self._pairs = _pairs_of(pictures)
        self._other_pairs = _pairs_of(others)
        if not self._pairs:
            raise ValueError("there are no pairs to train on, expected at least 1")
        self._view, self._settings = view, settings
        self._batch_size, self._seed = batch_size, seed

    def __len__(self) -> int:
        """Return how many pairs there are, others included."""
        return len(self._pairs) + len(self._other_pairs)

    def batch(self, number: int) -> PairBatch:
        """Return the batch of a number, from 1."""
        random = np.random.default_rng([self._seed, number])
        views, logits, in_front, weights = [], [], [], []
        for _ in range(self._batch_size):
            share = self._settings.toytown_share if self._other_pairs else 0
            pairs = self._other_pairs if random.random() < share else self._pairs
            picture, label = pairs[int(random.integers(len(pairs)))]
            views.append(
                view_pair(
                    picture.region_map,
                    label.first,
                    label.second,
                    self._view,
                    random=random,
                    zoom=self._settings.zoom,
                )
            )
            logits.append(label.outline_logits)
            in_front.append(label.first_in_front)
            weights.append(self._settings.layout_weight if label.truth == "layout" else 1.0)
        return PairBatch(
            *stack_views(views),
            torch.tensor(logits, dtype=torch.float32),
            torch.tensor(in_front, dtype=torch.float32),
            torch.tensor(weights, dtype=torch.float32),
        )


def stack_views(views: Sequence[PairView]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return masks, label maps, places and extents as tensors, as OrderNet takes them."""
    return (
        torch.from_numpy(np.stack([view.masks for view in views])),
        torch.from_numpy(np.stack([view.label_map for view in views])),
        torch.from_numpy(np.stack([view.places for view in views])),
        torch.from_numpy(np.stack([view.extents for view in views])),
    )


def hash_of_pairs(pictures: Sequence[PairPicture]) -> str:
    """Return the SHA-256, in hex, over all that is learned from."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(np.ascontiguousarray(picture.region_map.label_map).tobytes())
        digest.update(np.ascontiguousarray(picture.region_map.regions).tobytes())
        for label in picture.labels:
            row = (label.first, label.second, round(label.first_in_front, 6), label.truth)
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _pairs_of(pictures: Sequence[PairPicture]) -> "list[tuple[PairPicture, PairLabel]]":
    return [(picture, label) for picture in pictures for label in picture.labels]


def _reduced(region_map: RegionMap) -> RegionMap:
    """Return a map of at most KEPT_LINES lines; regions that no sample meets are gone from it."""
    height, width = region_map.label_map.shape
    lines = min(height, KEPT_LINES)
    columns = max(1, round(width * lines / height))
    grid = np.ix_(
        ((np.arange(lines) + 0.5) * height / lines).astype(np.intp),
        ((np.arange(columns) + 0.5) * width / columns).astype(np.intp),
    )
    regions = region_map.regions[grid]
    boxes, areas_px = {}, {}
    for number in region_map.boxes:
        found = regions == number
        rows, along = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
        if len(rows):
            areas_px[number] = int(np.count_nonzero(found))
            boxes[number] = (int(rows[0]), int(along[0]), int(rows[-1]) + 1, int(along[-1]) + 1)
    return RegionMap(region_map.label_map[grid], regions, boxes, areas_px)
