"""A folder of completed layouts: maps that compose reads, and what each was made of."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.completion.completer import Completed
from scenequilt.tools.layout_files import LayoutFile
from scenequilt.tools.layout_parents import Parents, parents_as_json
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.set_folder import SetFolder, write_classes, write_maps
from scenequilt.tools.progress import Progress

COMPLETED_SET = SetFolder(
    contents="completed layouts",
    mark="completion.json",
    format="scenequilt completed layouts",
    version=1,
    folders=("labels", "instances", "depth"),
    files=("classes.json", "layouts.jsonl"),
)
"""The folder that write_completed_set writes."""


class Completer(Protocol):
    """Fills the void of a layout."""

    @property
    def name(self) -> str:
        """Return what fills it, in words."""
        ...

    def complete(self, layout: Layout) -> Completed:
        """Return the layout without void."""
        ...


@dataclass(frozen=True, slots=True)
class CompletedRow:
    """What came of a layout.

    Attributes:
        name: Of its files.
        path: The label map that it was read from.
        size_hw: (height, width) in pixels.
        void_share: Share of its pixels that were void.
        filled: Share of its pixels that were void and became a class, by the class's name.
        probability: Mean that the network gives what it filled in; None without network or void.
        objects: How many objects are new.
    """

    name: str
    path: Path
    size_hw: tuple[int, int]
    void_share: float
    filled: Mapping[str, float]
    probability: float | None
    objects: int

    def as_json(self) -> dict[str, Any]:
        """Return the row as it stands in layouts.jsonl, without its parents."""
        return {
            "name": self.name,
            "path": str(self.path),
            "size_hw": list(self.size_hw),
            "void_share": self.void_share,
            "filled": dict(self.filled),
            "probability": self.probability,
            "objects": self.objects,
        }


@dataclass(frozen=True, slots=True)
class CompletedSetReport:
    """What came of completing layouts.

    Attributes:
        rows: One a layout that was written.
        failures: (name, message) of each layout that was left out.
    """

    rows: tuple[CompletedRow, ...]
    failures: tuple[tuple[str, str], ...]


def write_completed_set(
    files: Sequence[LayoutFile],
    read: Callable[[Path], Layout],
    completer: Completer,
    taxonomy: Taxonomy,
    out: Path,
    *,
    parents_of: Callable[[Path], Parents],
    request: Mapping[str, Any],
    with_depth: bool = False,
    force: bool = False,
    show: Callable[[str, Layout, Completed], None] | None = None,
    progress: Progress | None = None,
) -> CompletedSetReport:
    """Complete layouts and write their folder.

    labels/NAME.png holds file ids of the taxonomy, instances/NAME.png numbers of objects (16 bit)
    if there is a class of things, depth/NAME.png millimetres, classes.json the classes,
    layouts.jsonl a line a layout, completion.json how they were made.

    Args:
        files: The layouts.
        read: Reads one in the taxonomy's classes.
        completer: Fills them.
        taxonomy: The classes.
        out: The folder; made if it is not there.
        parents_of: Finds the photographs whose layout a label map is.
        request: What was asked for, JSON, kept in completion.json.
        with_depth: True if every layout has depth, which is then written as well.
        force: Replace an earlier set.
        show: Called with name, layout and what came of it.
        progress: Called after each layout.

    Raises:
        ValueError: If the folder is refused (see SetFolder.refuse_other).
    """
    has_things = any(entry.kind == "thing" for entry in taxonomy.classes)
    folders = ["labels", *["instances"] * has_things, *["depth"] * with_depth]
    COMPLETED_SET.start(out, force=force, folders=folders)
    about = {"completer": completer.name, "request": dict(request)}
    COMPLETED_SET.write_mark(out, about)
    write_classes(out, taxonomy)
    rows: list[CompletedRow] = []
    lines: list[str] = []
    failures: list[tuple[str, str]] = []
    for done, file in enumerate(files, start=1):
        try:
            layout = read(file.path)
            completed = completer.complete(layout)
            write_maps(out, file.name, completed.layout, folders)
        except (DatasetError, ValueError) as error:
            where = "" if str(file.path) in str(error) else f"{file.path}: "
            failures.append((file.name, f"{where}{error}"))
        else:
            rows.append(_row(file, layout, completed))
            lines.append(
                json.dumps({**rows[-1].as_json(), **parents_as_json(parents_of(file.path))})
            )
            if show is not None:
                show(file.name, layout, completed)
        if progress is not None:
            progress(done, len(files))
    write_atomically(out / "layouts.jsonl", "".join(f"{line}\n" for line in lines))
    COMPLETED_SET.write_mark(out, {**about, "failures": [message for _, message in failures]})
    return CompletedSetReport(tuple(rows), tuple(failures))


def _row(file: LayoutFile, layout: Layout, completed: Completed) -> CompletedRow:
    filled = completed.filled
    counts = np.bincount(completed.layout.label_map[filled], minlength=VOID + 1)
    probability = None
    if completed.probability is not None and filled.any():
        probability = float(completed.probability[filled].mean())
    numbers = np.unique(completed.layout.instance_map[filled])
    return CompletedRow(
        name=file.name,
        path=file.path,
        size_hw=layout.size_hw,
        void_share=float(filled.mean()),
        filled={
            entry.name: float(counts[class_id] / filled.size)
            for class_id, entry in enumerate(layout.taxonomy.classes)
            if counts[class_id]
        },
        probability=probability,
        objects=int(np.setdiff1d(numbers[numbers > 0], layout.instance_map).size),
    )
