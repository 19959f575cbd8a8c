"""A folder of maps or pictures that a command writes, told from everybody else's by a mark in it."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.picture import label_bits
from scenequilt.tools.output.png import encode_grey

MAX_DEPTH_MM = 65535
"""Farthest that a depth file says; what is farther is written as this."""


@dataclass(frozen=True, slots=True)
class SetFolder:
    """A kind of folder.

    Attributes:
        contents: What it holds, in the plural, for messages.
        mark: JSON file whose "format" says that a folder is of this kind.
        format: What it says.
        version: Of the form.
        folders: Folders in it that are the command's own.
        files: Files in it that are, beside the mark.
    """

    contents: str
    mark: str
    format: str
    version: int
    folders: tuple[str, ...]
    files: tuple[str, ...]

    def refuse_other(self, out: Path, *, force: bool) -> None:
        """Refuse to write where somebody else's files or an earlier set are; call it early.

        Raises:
            ValueError: If out is a file or holds something else, or an earlier set and force is not
                given.
        """
        if out.exists() and not out.is_dir():
            raise ValueError(f"{out}: is a file, expected a folder to write; choose another --out")
        if out.is_dir() and any(out.iterdir()):
            if not self.is_own(out):
                raise ValueError(
                    f"{out}: not empty and no folder of {self.contents} that this command made (its "
                    f"{self.mark} does not say so), so nothing is written there; choose another "
                    "--out"
                )
            if not force:
                raise ValueError(f"{out}: holds {self.contents} already; --force replaces them")

    def is_own(self, out: Path) -> bool:
        """Return True if a folder is of this kind."""
        try:
            table = json.loads((out / self.mark).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError):
            return False
        return isinstance(table, dict) and table.get("format") == self.format

    def start(self, out: Path, *, force: bool = False, folders: Sequence[str]) -> None:
        """Make the folder, or empty that of an earlier set, and mark it.

        Args:
            out: The folder.
            force: Replace an earlier set.
            folders: Of its own folders, those to make.

        Raises:
            ValueError: If the folder is refused (see refuse_other).
        """
        self.refuse_other(out, force=force)
        if self.is_own(out):
            for name in self.folders:
                if (out / name).is_dir():
                    shutil.rmtree(out / name)
            # The mark that the folder is ours goes last.
            for name in (*self.files, self.mark):
                (out / name).unlink(missing_ok=True)
        for name in folders:
            (out / name).mkdir(parents=True, exist_ok=True)
        self.write_mark(out, {})

    def write_mark(self, out: Path, about: Mapping[str, Any]) -> None:
        """Write the mark with what is to be told of the set, JSON."""
        text = json.dumps({"format": self.format, "version": self.version, **about}, indent=1)
        write_atomically(out / self.mark, text + "\n")


def write_classes(out: Path, taxonomy: Taxonomy) -> None:
    """Write classes.json, by which readers know what labels mean."""
    write_atomically(out / "classes.json", json.dumps(taxonomy.as_json(), indent=1) + "\n")


def write_maps(out: Path, name: str, layout: Layout, folders: Sequence[str]) -> None:
    """Write the maps of a layout; all of them are encoded before one is written.

    labels/NAME.png holds file ids of the taxonomy, instances/NAME.png numbers of objects (16 bit),
    depth/NAME.png millimetres (16 bit).

    Args:
        out: The folder.
        name: Of the layout.
        layout: With depth, if that is to be written.
        folders: "labels", "instances" and "depth", whichever are to be written.

    Raises:
        ValueError: If a number is too large for its file.
    """
    file_ids = layout.taxonomy.encode(layout.label_map)
    maps = {"labels": encode_grey(file_ids, "label map", bits=label_bits(layout.taxonomy))}
    if "instances" in folders:
        maps["instances"] = encode_grey(layout.instance_map, "instance map", bits=16)
    if "depth" in folders:
        assert layout.depth_m is not None, "callers ask for depth only where every layout has it"
        millimetres = np.minimum(np.rint(layout.depth_m * 1000), MAX_DEPTH_MM)
        maps["depth"] = encode_grey(millimetres.astype(np.uint16), "depth map", bits=16)
    for folder, content in maps.items():
        write_atomically(out / folder / f"{name}.png", content)
