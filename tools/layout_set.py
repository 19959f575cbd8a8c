"""A folder of new layouts: label and instance maps that compose reads, and what they were made of."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.store import sha256_of
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.layouts.factory import LayoutFactory, NewLayout
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.set_folder import SetFolder, write_classes, write_maps
from scenequilt.tools.progress import Progress

LAYOUT_SET = SetFolder(
    contents="layouts",
    mark="statistics.json",
    format="scenequilt layouts",
    version=1,
    folders=("labels", "instances"),
    files=("classes.json", "layouts.jsonl"),
)
"""The folder that write_layout_set fills, once it is started."""


@dataclass(frozen=True, slots=True)
class ClassChange:
    """How a class's share changed.

    Attributes:
        name: Of the class.
        share_before: Of the pixels that are not void, in the layouts that the new ones were derived
            from, each counted as often as it was drawn: what differs is what the edits did.
        share_after: The same of the new layouts.
        inserted: Objects of it that were put in.
        dropped: Objects of it that were taken out.
    """

    name: str
    share_before: float
    share_after: float
    inserted: int
    dropped: int


@dataclass(frozen=True, slots=True)
class LayoutSetReport:
    """What came of making layouts.

    Attributes:
        names: Of the layouts that were written.
        changes: One entry a class.
        edits: How often each kind of edit was done.
        failures: (place, message) of each layout that could not be made.
        no_stuff: For how many layouts other stuff was drawn in vain, by reason.
    """

    names: tuple[str, ...]
    changes: tuple[ClassChange, ...]
    edits: dict[str, int]
    failures: tuple[tuple[int, str], ...]
    no_stuff: dict[str, int]


def layout_name(place: int) -> str:
    """Return the name of the new layout at a place."""
    return f"layout_{place:05d}"


def write_layout_set(
    factory: LayoutFactory,
    out: Path,
    *,
    count: int,
    seed: int,
    request: dict[str, Any] | None = None,
    image_path: Callable[[str], Path] | None = None,
    progress: Progress | None = None,
) -> LayoutSetReport:
    """Make layouts and write them into a folder that was started as a LAYOUT_SET.

    labels/NAME.png holds file ids of the taxonomy, instances/NAME.png numbers of objects (16 bit),
    classes.json the classes, layouts.jsonl one line a layout with its parents, the sha256 of their
    photographs, and edits, statistics.json the shares of the classes before and after.

    Args:
        factory: Makes them.
        out: The folder.
        count: How many.
        seed: What they are drawn with.
        request: What was asked for, to be kept in statistics.json.
        image_path: Finds the photograph of a parent by its name; None leaves their sha256 out.
        progress: Called after each layout.
    """
    taxonomy = factory.statistics.taxonomy
    write_classes(out, taxonomy)
    before, after = np.zeros(256, np.int64), np.zeros(256, np.int64)
    no_stuff = Counter[str]()
    sha256s: dict[str, str] = {}
    inserted, dropped, edits = Counter[str](), Counter[str](), Counter[str]()
    names: list[str] = []
    failures: list[tuple[int, str]] = []
    lines: list[str] = []
    for place in range(count):
        try:
            made = factory.make(place, seed)
        except DatasetError as error:
            failures.append((place, str(error)))
        else:
            names.append(layout_name(place))
            write_maps(out, names[-1], made.layout, LAYOUT_SET.folders)
            if image_path is not None:
                for parent in made.parents:
                    if parent not in sha256s:
                        sha256s[parent] = sha256_of(image_path(parent))
            lines.append(json.dumps(_row(names[-1], made, sha256s)) + "\n")
            before += factory.pixels(made.parents[0])
            after += np.bincount(made.layout.label_map.ravel(), minlength=256)
            no_stuff.update([made.no_stuff] if made.no_stuff else [])
            edits.update(edit.kind for edit in made.edits)
            inserted.update(edit.class_name for edit in made.edits if edit.kind == "insert")
            dropped.update(edit.class_name for edit in made.edits if edit.kind == "drop")
        if progress is not None:
            progress(place + 1, count)
    write_atomically(out / "layouts.jsonl", "".join(lines))
    known_before, known_after = (max(int(each[:VOID].sum()), 1) for each in (before, after))
    changes = tuple(
        ClassChange(
            entry.name,
            float(before[class_id] / known_before),
            float(after[class_id] / known_after),
            inserted[entry.name],
            dropped[entry.name],
        )
        for class_id, entry in enumerate(factory.statistics.classes)
    )
    report = LayoutSetReport(tuple(names), changes, dict(edits), tuple(failures), dict(no_stuff))
    LAYOUT_SET.write_mark(
        out,
        {
            "request": {"count": count, "seed": seed, **(request or {})},
            "dataset": factory.statistics.as_json(),
            "edits": report.edits,
            "shares": {
                change.name: {"before": change.share_before, "after": change.share_after}
                for change in changes
            },
        },
    )
    return report


def _row(name: str, made: NewLayout, sha256s: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "size_hw": list(made.layout.size_hw),
        "parents": list(made.parents),
        "image_sha256": {name: sha256s[name] for name in made.parents if name in sha256s},
        "edits": [edit.as_json() for edit in made.edits],
    }
