"""COCO panoptic: PNGs of segment ids and a JSON that says what they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from scenequilt.memory_bank.datasets.classes import class_info, distinct_color
from scenequilt.memory_bank.datasets.coco_json import CocoSegment, read_coco
from scenequilt.memory_bank.datasets.files import read_raster
from scenequilt.memory_bank.datasets.folder import FolderReader, files_by_name, paired
from scenequilt.memory_bank.datasets.interface import Entry, Repair
from scenequilt.memory_bank.errors import DatasetError, LabelError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy


@dataclass(frozen=True)
class CocoPanopticReader(FolderReader):
    """Reads annotations/panoptic_SPLIT.json, its folder of PNGs, and SPLIT/ or images/SPLIT/.

    A pixel's segment is R + 256 G + 65536 B, and 0 is void. Crowds are things without a number.
    """

    form = "coco_panoptic"
    expects = (
        "annotations/panoptic_SPLIT.json, annotations/panoptic_SPLIT/ or panoptic_SPLIT/ with "
        "NAME.png, SPLIT/ or images/SPLIT/ with NAME.jpg"
    )

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return True for a folder with annotations/panoptic_*.json."""
        return bool(_annotation_files(root))

    @classmethod
    def open(cls, root: Path, repair: Repair = "none") -> Self:
        """Make a reader of a folder; the classes are the categories of the annotation files.

        Raises:
            DatasetError: If there is no annotation file, one cannot be read, or two differ in
                their categories; or if repair is asked for, which segment ids do not allow.
        """
        if repair != "none":
            raise DatasetError(f"{root}: segment ids cannot be repaired; leave --repair out")
        paths = _annotation_files(root)
        if not paths:
            raise DatasetError(f"{root}: no annotations/panoptic_*.json; expected {cls.expects}")
        taxonomies = [_taxonomy(path) for path in paths]
        for path, taxonomy in zip(paths, taxonomies, strict=True):
            if taxonomy != taxonomies[0]:
                raise DatasetError(
                    f"{path}: categories differ from those of {paths[0].name}; read the two as "
                    "two datasets"
                )
        return cls(root, taxonomies[0], repair)

    def list_entries(self) -> Iterator[Entry]:
        """Yield the photographs of all splits."""
        for path in _annotation_files(self.root):
            split = path.stem.removeprefix("panoptic_")
            annotations = read_coco(path)
            images = _existing(self.root / split, self.root / "images" / split)
            labels = _existing(path.with_suffix(""), self.root / path.stem)
            listed = {name: labels / f"{name}.png" for name in annotations.segments}
            for name, image_path, label_path in paired(
                files_by_name(images), listed, images / "*.jpg", labels / "*.png"
            ):
                image = annotations.images.get(name)
                yield Entry(
                    source_id=name,
                    image_path=image_path,
                    label_path=label_path,
                    split=split,
                    licence="" if image is None else image.licence,
                    address="" if image is None else image.address,
                )

    def files(self, entry: Entry) -> list[Path]:
        """List the files of an entry, and the annotations of its split."""
        return [*super().files(entry), self._annotation_file(entry)]

    def read_layout(self, entry: Entry) -> Layout:
        """Read the layout of an entry from its segment ids.

        Raises:
            DatasetError: If the file is unreadable, or holds a segment that is not in the JSON.
        """
        path = self._annotation_file(entry)
        segments = read_coco(path).segments.get(entry.source_id)
        if segments is None:
            raise DatasetError(f"{entry.label_path}: label map is not listed in {path}")
        raster = read_raster(entry.label_path, "label map")
        if raster.mode not in ("RGB", "RGBA"):
            raise LabelError(
                f"{raster.path}: label map has mode {raster.mode}, expected RGB with segment id "
                "R + 256 G + 65536 B"
            )
        red, green, blue = (raster.values[..., channel].astype(np.int32) for channel in range(3))
        segment_ids = red + 256 * green + 65536 * blue
        known, values, instances = self._tables(segments, path)
        place = np.searchsorted(known, segment_ids).clip(max=len(known) - 1)
        wrong = known[place] != segment_ids
        if wrong.any():
            y, x = np.argwhere(wrong)[0].tolist()
            raise LabelError(
                f"{raster.path}: label map holds segment {segment_ids[y, x]} at x={x} y={y} "
                f"({np.count_nonzero(wrong)} pixels), which {path.name} does not list for it; copy "
                "both files again, or leave this photograph out"
            )
        return Layout(values[place], instances[place], self.taxonomy)

    def _annotation_file(self, entry: Entry) -> Path:
        return self.root / "annotations" / f"panoptic_{entry.split}.json"

    def _tables(
        self, segments: Sequence[CocoSegment], path: Path
    ) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Return segment ids in order, 0 among them, with class id and instance of each."""
        rows = [(0, VOID, 0)]
        class_ids = {entry.file_id: place for place, entry in enumerate(self.taxonomy.classes)}
        for number, segment in enumerate(segments, start=1):
            class_id = class_ids.get(segment.category_id)
            if class_id is None:
                raise DatasetError(
                    f"{path}: segment {segment.segment_id} is of category {segment.category_id}, "
                    "which categories does not list; add it there"
                )
            is_thing = self.taxonomy.classes[class_id].kind == "thing"
            numbered = is_thing and not segment.is_crowd
            rows.append((segment.segment_id, class_id, number if numbered else 0))
        rows.sort()
        known, values, instances = zip(*rows, strict=True)
        return np.array(known), np.array(values, np.uint8), np.array(instances, np.int32)


def _annotation_files(root: Path) -> list[Path]:
    return sorted((root / "annotations").glob("panoptic_*.json"))


def _existing(first: Path, second: Path) -> Path:
    return second if second.is_dir() and not first.is_dir() else first


def _taxonomy(path: Path) -> Taxonomy:
    categories = read_coco(path).categories
    try:
        classes = tuple(
            class_info(
                int(category["id"]),
                str(category["name"]),
                _color(category, number),
                "thing" if category.get("isthing", 1) else "stuff",
            )
            for number, category in enumerate(categories)
        )
        taken = {entry.file_id for entry in classes}
        return Taxonomy("coco_panoptic", classes, (0,) if 0 not in taken else (VOID,))
    except KeyError as error:
        raise DatasetError(
            f"{path}: a category has no {error.args[0]!r}; expected id, name and isthing"
        ) from error
    except ValueError as error:
        raise DatasetError(f"{path}: {error}") from error


def _color(category: Mapping[str, Any], number: int) -> tuple[int, int, int]:
    if "color" not in category:
        return distinct_color(number)
    red, green, blue = category["color"]
    return int(red), int(green), int(blue)
