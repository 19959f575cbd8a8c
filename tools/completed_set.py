"""A folder of completed layouts: maps that compose reads, and what each was made of."""

import json
import shutil
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
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.picture import label_bits
from scenequilt.tools.output.png import encode_grey
from scenequilt.tools.progress import Progress

SET_FORMAT = "scenequilt completed layouts"
SET_VERSION = 1

MAX_DEPTH_MM = 65535
"""Farthest that a depth file says; what is farther is written as this."""

_FOLDERS = ("labels", "instances", "depth")
_FILES = ("completion.json", "layouts.jsonl", "classes.json")


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
class Parent:
    """The photograph whose layout a layout is.

    Attributes:
        names: As its dataset has it, or of several that went into a derived layout.
        image_sha256: Of their files.
    """

    names: tuple[str, ...] = ()
    image_sha256: tuple[str, ...] = ()


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


def refuse_other_folder(out: Path, *, force: bool) -> None:
    """Refuse to write where somebody else's files or an earlier set are; call it early.

    Raises:
        ValueError: If out is a file or holds something else, or an earlier set and force is not
            given.
    """
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file, expected a folder to write; choose another --out")
    if out.is_dir() and any(out.iterdir()):
        if not _is_completed_set(out):
            raise ValueError(
                f"{out}: not empty and no folder of completed layouts (its completion.json does "
                "not say so), so nothing is written there; choose another --out"
            )
        if not force:
            raise ValueError(f"{out}: holds completed layouts already; --force replaces them")


def write_completed_set(
    files: Sequence[LayoutFile],
    read: Callable[[Path], Layout],
    completer: Completer,
    taxonomy: Taxonomy,
    out: Path,
    *,
    parent_of: Callable[[Path], Parent],
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
        parent_of: Finds the photographs whose layout a label map is.
        request: What was asked for, JSON, kept in completion.json.
        with_depth: True if every layout has depth, which is then written as well.
        force: Replace an earlier set.
        show: Called with name, layout and what came of it.
        progress: Called after each layout.

    Raises:
        ValueError: If the folder is refused (see refuse_other_folder).
    """
    refuse_other_folder(out, force=force)
    _empty(out)
    has_things = any(entry.kind == "thing" for entry in taxonomy.classes)
    folders = ["labels", *["instances"] * has_things, *["depth"] * with_depth]
    for name in folders:
        (out / name).mkdir(parents=True, exist_ok=True)
    about = {"completer": completer.name, "request": dict(request)}
    _write_about(out, about)
    write_atomically(out / "classes.json", json.dumps(taxonomy.as_json(), indent=1) + "\n")
    rows: list[CompletedRow] = []
    lines: list[str] = []
    failures: list[tuple[str, str]] = []
    for done, file in enumerate(files, start=1):
        try:
            layout = read(file.path)
            completed = completer.complete(layout)
            _write_maps(out, file.name, completed.layout, folders)
        except (DatasetError, ValueError) as error:
            where = "" if str(file.path) in str(error) else f"{file.path}: "
            failures.append((file.name, f"{where}{error}"))
        else:
            rows.append(_row(file, layout, completed))
            lines.append(json.dumps({**rows[-1].as_json(), **_parents(parent_of(file.path))}))
            if show is not None:
                show(file.name, layout, completed)
        if progress is not None:
            progress(done, len(files))
    write_atomically(out / "layouts.jsonl", "".join(f"{line}\n" for line in lines))
    _write_about(out, {**about, "failures": [message for _, message in failures]})
    return CompletedSetReport(tuple(rows), tuple(failures))


def _is_completed_set(out: Path) -> bool:
    try:
        table = json.loads((out / "completion.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return False
    return isinstance(table, dict) and table.get("format") == SET_FORMAT


def _empty(out: Path) -> None:
    if _is_completed_set(out):
        for name in _FOLDERS:
            if (out / name).is_dir():
                shutil.rmtree(out / name)
        # The mark that the folder is ours goes last.
        for name in reversed(_FILES):
            (out / name).unlink(missing_ok=True)


def _write_about(out: Path, table: Mapping[str, Any]) -> None:
    text = json.dumps({"format": SET_FORMAT, "version": SET_VERSION, **table}, indent=1)
    write_atomically(out / "completion.json", text + "\n")


def _write_maps(out: Path, name: str, layout: Layout, folders: Sequence[str]) -> None:
    """Write the maps of a layout; all of them are encoded before one is written."""
    file_ids = layout.taxonomy.encode(layout.label_map)
    maps = {"labels": encode_grey(file_ids, "label map", bits=label_bits(layout.taxonomy))}
    if "instances" in folders:
        maps["instances"] = encode_grey(layout.instance_map, "instance map", bits=16)
    if "depth" in folders:
        assert layout.depth_m is not None, "with_depth says that every layout has depth"
        millimetres = np.minimum(np.rint(layout.depth_m * 1000), MAX_DEPTH_MM)
        maps["depth"] = encode_grey(millimetres.astype(np.uint16), "depth map", bits=16)
    for folder, content in maps.items():
        write_atomically(out / folder / f"{name}.png", content)


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


def _parents(parent: Parent) -> dict[str, Any]:
    """Return what read_parents reads; hashes are numbered, for their names may be several's."""
    hashes = {str(number): each for number, each in enumerate(parent.image_sha256)}
    return {"parents": list(parent.names), "image_sha256": hashes}
