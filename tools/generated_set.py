"""A folder of generated pictures with the layouts that they show: a dataset, if there is one of each."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.synthesis.manipulation import Scene
from scenequilt.tools.layout_files import LayoutFile
from scenequilt.tools.layout_parents import Parents, parents_as_json
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.png import encode_rgb
from scenequilt.tools.output.set_folder import SetFolder, write_classes, write_maps
from scenequilt.tools.progress import Progress

GENERATED_SET = SetFolder(
    contents="generated pictures",
    mark="generated.json",
    format="scenequilt generated pictures",
    version=1,
    folders=("images", "labels", "instances"),
    files=("classes.json", "layouts.jsonl"),
)
"""The folder that write_generated_set writes."""


class Painter(Protocol):
    """Makes pictures of layouts."""

    def paint(self, name: str, scene: Scene, *, seed: int) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB of the layout's size.

        Args:
            name: Of the layout, by which what belongs to it is found.
            scene: The layout with numbered things, and chosen styles of some.
            seed: Same seed, same picture.

        Raises:
            DatasetError: If a file that belongs to the layout cannot be read.
            ScenequiltError: If something that the generator needs is missing.
        """
        ...


@dataclass(frozen=True, slots=True)
class GeneratedRow:
    """What came of a layout.

    Attributes:
        name: Of the layout.
        path: Its label map.
        size_hw: (height, width) in pixels.
        images: Of its pictures, below the folder; one a seed.
        seeds: Of each.
        seconds: That each took.
    """

    name: str
    path: str
    size_hw: tuple[int, int]
    images: tuple[str, ...]
    seeds: tuple[int, ...]
    seconds: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the line of layouts.jsonl; how long it took is no part of it."""
        return {
            "name": self.name,
            "size_hw": list(self.size_hw),
            "images": list(self.images),
            "seeds": list(self.seeds),
        }


@dataclass(frozen=True, slots=True)
class GeneratedSetReport:
    """What came of all.

    Attributes:
        rows: Of the layouts that have their pictures.
        failures: (name, message) of those that have none.
    """

    rows: tuple[GeneratedRow, ...]
    failures: tuple[tuple[str, str], ...]


def write_generated_set(
    files: Sequence[LayoutFile],
    read: Callable[[Path], Scene],
    painter: Painter,
    taxonomy: Taxonomy,
    out: Path,
    *,
    seeds: Sequence[int],
    parents_of: Callable[[Path], Parents],
    about: Mapping[str, Any],
    force: bool = False,
    progress: Progress | None = None,
) -> GeneratedSetReport:
    """Make pictures of layouts and write their folder.

    images/NAME.png holds a layout's picture, or images/NAME/00.png, 01.png, ... those of several
    seeds; labels/ and instances/ the layout that it shows, classes.json the classes, layouts.jsonl
    a line a layout, generated.json how they were made.

    Args:
        files: The layouts.
        read: Reads one in the taxonomy's classes, and edits it.
        painter: Makes the pictures.
        taxonomy: The classes.
        out: The folder; made if it is not there.
        seeds: One a picture of each layout.
        parents_of: Finds the photographs whose layout a label map is.
        about: How they are made, JSON, kept in generated.json.
        force: Replace an earlier set.
        progress: Called after each layout.

    Raises:
        ValueError: If the folder is refused (see SetFolder.refuse_other).
        ScenequiltError: If the generator lacks a condition, which every layout would.
    """
    GENERATED_SET.start(out, force=force, folders=GENERATED_SET.folders)
    GENERATED_SET.write_mark(out, about)
    write_classes(out, taxonomy)
    rows: list[GeneratedRow] = []
    lines: list[str] = []
    failures: list[tuple[str, str]] = []
    for done, file in enumerate(files, start=1):
        try:
            scene = read(file.path)
            pictures, seconds = [], []
            for seed in seeds:
                began = time.perf_counter()
                pictures.append(painter.paint(file.name, scene, seed=seed))
                seconds.append(time.perf_counter() - began)
            write_maps(out, file.name, scene.layout, ["labels", "instances"])
            images = _write_pictures(out, file.name, pictures)
        except (DatasetError, ValueError) as error:
            where = "" if str(file.path) in str(error) else f"{file.path}: "
            failures.append((file.name, f"{where}{error}"))
        else:
            row = GeneratedRow(
                file.name,
                str(file.path),
                scene.layout.size_hw,
                images,
                tuple(seeds),
                tuple(seconds),
            )
            rows.append(row)
            parents = parents_as_json(parents_of(file.path))
            lines.append(json.dumps({**row.as_json(), **parents}))
        if progress is not None:
            progress(done, len(files))
    write_atomically(out / "layouts.jsonl", "".join(f"{line}\n" for line in lines))
    GENERATED_SET.write_mark(out, {**about, "failures": [message for _, message in failures]})
    return GeneratedSetReport(tuple(rows), tuple(failures))


def _write_pictures(out: Path, name: str, pictures: Sequence[NDArray[np.uint8]]) -> tuple[str, ...]:
    """Write the pictures of a layout; return where, below the folder."""
    if len(pictures) == 1:
        images = [f"images/{name}.png"]
    else:
        images = [f"images/{name}/{number:02d}.png" for number in range(len(pictures))]
        (out / "images" / name).mkdir()
    for image, picture in zip(images, pictures, strict=True):
        write_atomically(out / image, encode_rgb(picture))
    return tuple(images)
