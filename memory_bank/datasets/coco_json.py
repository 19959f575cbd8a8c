"""The parts of COCO's annotation files that the readers use, parsed once a process."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from scenequilt.memory_bank.errors import DatasetError


@dataclass(frozen=True, slots=True)
class CocoImage:
    """What a COCO file says of a photograph.

    Attributes:
        file_name: Its file.
        licence: Name of its licence, or its address, or ""
        address: Where it was published, or "".
    """

    file_name: str
    licence: str
    address: str


@dataclass(frozen=True, slots=True)
class CocoSegment:
    """A segment of a panoptic file.

    Attributes:
        segment_id: R + 256 G + 65536 B of its pixels.
        category_id: Its category.
        is_crowd: True if it is a group that was not taken apart.
    """

    segment_id: int
    category_id: int
    is_crowd: bool


@dataclass(frozen=True, slots=True)
class CocoObject:
    """An object of an instances file.

    Attributes:
        category_id: Its category.
        polygons: Flat x, y, x, y, ... in pixels.
    """

    category_id: int
    polygons: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, eq=False)
class CocoFile:
    """A parsed annotation file.

    Attributes:
        categories: As they are in the file.
        images: Photographs by name without suffix.
        segments: Panoptic segments by name of the photograph.
        objects: Objects with polygons by name of the photograph.
    """

    categories: tuple[Mapping[str, Any], ...]
    images: Mapping[str, CocoImage]
    segments: Mapping[str, tuple[CocoSegment, ...]]
    objects: Mapping[str, tuple[CocoObject, ...]]


def read_coco(path: Path) -> CocoFile:
    """Read a panoptic or instances file of COCO; one that did not change is parsed once a process.

    Raises:
        DatasetError: If it is missing, no JSON, or lacks a key; the message names it.
    """
    try:
        changed_ns = path.stat().st_mtime_ns
    except OSError as error:
        raise DatasetError(f"{path}: annotation file is missing") from error
    return _parse(path, changed_ns)


@lru_cache(maxsize=8)
def _parse(path: Path, changed_ns: int) -> CocoFile:
    try:
        table = json.loads(path.read_bytes())
        return _coco_file(table)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path} is not JSON: {error}; copy it again") from error
    except KeyError as error:
        raise DatasetError(
            f"{path}: no key {error.args[0]!r}; expected COCO's images, annotations, categories"
        ) from error
    except (AttributeError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} is not of COCO's form: {error}") from error


def _coco_file(table: Mapping[str, Any]) -> CocoFile:
    licences = {
        entry["id"]: entry.get("name") or entry.get("url") or ""
        for entry in table.get("licenses", [])
    }
    images = {}
    name_of: dict[int, str] = {}
    for image in table["images"]:
        name = Path(image["file_name"]).stem
        name_of[image["id"]] = name
        licence = image.get("license", "")
        images[name] = CocoImage(
            image["file_name"],
            str(licences.get(licence, licence)),
            image.get("flickr_url") or image.get("coco_url") or "",
        )
    segments: dict[str, tuple[CocoSegment, ...]] = {}
    objects: dict[str, list[CocoObject]] = {}
    for annotation in table.get("annotations", []):
        if "segments_info" in annotation:
            segments[Path(annotation["file_name"]).stem] = tuple(
                CocoSegment(part["id"], part["category_id"], bool(part.get("iscrowd", 0)))
                for part in annotation["segments_info"]
            )
        elif isinstance(annotation.get("segmentation"), list):
            polygons = tuple(tuple(polygon) for polygon in annotation["segmentation"])
            objects.setdefault(name_of[annotation["image_id"]], []).append(
                CocoObject(annotation["category_id"], polygons)
            )
    return CocoFile(
        tuple(table.get("categories", [])),
        images,
        segments,
        {name: tuple(found) for name, found in objects.items()},
    )
