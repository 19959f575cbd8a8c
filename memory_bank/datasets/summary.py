"""What is in a dataset: classes, sizes, values, regions, and the files that cannot be read."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scenequilt.memory_bank.datasets.files import read_raster
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry, LabelledPhotograph
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.extract import extract_regions
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry that could not be read.

    Attributes:
        source_id: Its name.
        split: Its split.
        message: What is wrong, naming the file.
    """

    source_id: str
    split: str
    message: str


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One class over all photographs that were read.

    Attributes:
        pixels: Its pixels.
        photographs: Photographs that show it.
        regions: Its regions: objects of a thing, connected components of stuff.
        median_area_px: Median area of a region, 0 if there is none.
    """

    pixels: int
    photographs: int
    regions: int
    median_area_px: int


@dataclass(frozen=True, eq=False)
class DatasetSummary:
    """What is in a dataset.

    Attributes:
        taxonomy: The classes.
        photographs: How many were read.
        classes: One for each class of the taxonomy.
        void_px: Pixels of void.
        sizes: Photographs by (height, width).
        splits: Photographs by split.
        sequences: Photographs by sequence.
        licences: Photographs by licence.
        values: Pixels by value of the label files, where these have one channel.
        with_instances: Photographs that bring an instance file.
        with_depth: Photographs that bring depth.
        unreadable: What could not be read.
    """

    taxonomy: Taxonomy
    photographs: int
    classes: tuple[ClassSummary, ...]
    void_px: int
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    sequences: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    values: Counter[int] = field(default_factory=Counter)
    with_instances: int = 0
    with_depth: int = 0
    unreadable: tuple[Unreadable, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the summary in types that JSON has."""
        return {
            "taxonomy": self.taxonomy.name,
            "photographs": self.photographs,
            "void_px": self.void_px,
            "with_instances": self.with_instances,
            "with_depth": self.with_depth,
            "sizes": [
                {"width": width, "height": height, "photographs": count}
                for (height, width), count in self.sizes.most_common()
            ],
            "splits": dict(sorted(self.splits.items())),
            "sequences": dict(sorted(self.sequences.items())),
            "licences": dict(sorted(self.licences.items())),
            "values": {str(value): count for value, count in sorted(self.values.items())},
            "classes": [
                {
                    "id": entry.file_id,
                    "name": entry.name,
                    "kind": entry.kind,
                    "thin": entry.thin,
                    "text": entry.text,
                    "pixels": summary.pixels,
                    "photographs": summary.photographs,
                    "regions": summary.regions,
                    "median_area_px": summary.median_area_px,
                }
                for entry, summary in zip(self.taxonomy.classes, self.classes, strict=True)
            ],
            "unreadable": [
                {"source_id": bad.source_id, "split": bad.split, "message": bad.message}
                for bad in self.unreadable
            ],
        }


def summarise(
    reader: DatasetReader,
    entries: Sequence[Entry],
    on_read: Callable[[int, LabelledPhotograph | None], None] = lambda done, photograph: None,
) -> DatasetSummary:
    """Read photographs and count what is in them; those that cannot be read are named.

    Args:
        reader: Of the dataset.
        entries: What to read.
        on_read: Called after each entry with how many are done and what was read, or None where
            it could not be.
    """
    taxonomy = reader.taxonomy
    pixels = np.zeros(256, np.int64)
    photographs = np.zeros(256, np.int64)
    areas: list[list[int]] = [[] for _ in taxonomy.classes]
    summary = DatasetSummary(taxonomy, 0, (), 0)
    unreadable = []
    with_instances = with_depth = 0
    for done, entry in enumerate(entries, start=1):
        summary.splits[entry.split] += 1
        summary.sequences[entry.sequence] += 1
        summary.licences[entry.licence] += 1
        try:
            photograph = reader.read(entry)
        except DatasetError as error:
            unreadable.append(Unreadable(entry.source_id, entry.split, str(error)))
            on_read(done, None)
            continue
        layout = photograph.layout
        summary.sizes[layout.size_hw] += 1
        with_instances += entry.instance_path is not None
        with_depth += layout.depth_m is not None
        counts = np.bincount(layout.label_map.ravel(), minlength=256)
        pixels += counts
        photographs += counts > 0
        for region in extract_regions(layout):
            areas[region.class_id].append(region.area_px)
        _count_values(entry, summary.values)
        on_read(done, photograph)
    return DatasetSummary(
        taxonomy,
        len(entries) - len(unreadable),
        tuple(
            ClassSummary(
                int(pixels[class_id]),
                int(photographs[class_id]),
                len(found),
                int(np.median(found)) if found else 0,
            )
            for class_id, found in enumerate(areas)
        ),
        int(pixels[VOID]),
        summary.sizes,
        summary.splits,
        summary.sequences,
        summary.licences,
        summary.values,
        with_instances,
        with_depth,
        tuple(unreadable),
    )


def _count_values(entry: Entry, values: Counter[int]) -> None:
    raster = read_raster(entry.label_path, "label map")
    if raster.values.ndim == 2:
        counts = np.bincount(raster.values.ravel())
        for value in np.flatnonzero(counts).tolist():
            values[value] += int(counts[value])
