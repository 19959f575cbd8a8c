"""What the readers of folder forms share: listing, pairing, and reading one photograph."""

import logging
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from scenequilt.memory_bank.datasets.files import (
    FIXED_CLASSES,
    PHOTOGRAPH_SUFFIXES,
    has_exif_rotation,
    read_photograph,
)
from scenequilt.memory_bank.datasets.interface import Entry, LabelledPhotograph, Repair
from scenequilt.memory_bank.datasets.layout_file import read_layout
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import Taxonomy

logger = logging.getLogger(__name__)

_SEVERAL = ".*"
"""Suffix of a path that stands for several files of one name; no form accepts it for a file."""


@dataclass(frozen=True)
class FolderReader(ABC):
    """Reads one folder form; holds paths and settings only.

    Attributes:
        root: The dataset's folder.
        taxonomy: The classes.
        repair: What to do with label values that are no class.
    """

    form: ClassVar[str]
    """Name of the form on the command line."""

    expects: ClassVar[str]
    """What the form looks like, for messages."""

    unknown_remedy: ClassVar[str] = FIXED_CLASSES
    """What a user can do about a label value that is no class, for messages."""

    root: Path
    taxonomy: Taxonomy
    repair: Repair = "none"

    @classmethod
    @abstractmethod
    def recognises(cls, root: Path) -> bool:
        """Return True if the folder looks like this form."""

    @classmethod
    @abstractmethod
    def open(cls, root: Path, repair: Repair = "none") -> Self:
        """Make a reader of a folder.

        Raises:
            DatasetError: If the folder is not of this form.
        """

    @abstractmethod
    def list_entries(self) -> Iterator[Entry]:
        """Yield the photographs of all splits in any order."""

    def entries(self, split: str | None = None) -> list[Entry]:
        """List the photographs of a split, or of all, sorted by split and source_id.

        A photograph without label map, or the other way round, is listed where its split has
        complete pairs: reading it says what is missing, and the others can be used.

        Raises:
            DatasetError: If there is no photograph, or no such split; the message lists the splits.
        """
        found = sorted(self.list_entries(), key=lambda entry: (entry.split, entry.source_id))
        if not found:
            raise DatasetError(
                f"{self.root}: no photograph with a label map; expected {self.expects}"
            )
        if split is None:
            return found
        chosen = [entry for entry in found if entry.split == split]
        if not chosen:
            counts = Counter(entry.split for entry in found)
            if set(counts) == {""}:
                raise DatasetError(
                    f"{self.root}: split {split!r} is asked for, but this dataset has no splits, "
                    f"only {len(found)} photographs; leave the split out"
                )
            there = ", ".join(f"{name or '(none)'} ({n})" for name, n in sorted(counts.items()))
            raise DatasetError(
                f"{self.root}: split {split!r} does not exist or has no photograph with a label "
                f"map; there are {there}"
            )
        return chosen

    def files(self, entry: Entry) -> list[Path]:
        """List every file that what read(entry) returns depends on, missing ones included.

        A path that stands for several files (see files_by_name) counts as missing.
        """
        paths = (entry.image_path, entry.label_path, entry.instance_path, entry.depth_path)
        return [path for path in paths if path is not None]

    def read(self, entry: Entry) -> LabelledPhotograph:
        """Read one photograph with its layout.

        Raises:
            DatasetError: If a file is missing, there twice or unreadable, sizes differ, or a value
                is unknown.
        """
        for path in (entry.image_path, entry.label_path, entry.instance_path, entry.depth_path):
            if path is not None and path.suffix == _SEVERAL:
                raise DatasetError(_several_files(path))
        if not entry.image_path.is_file() and not entry.label_path.is_file():
            raise DatasetError(
                f"{entry.image_path}: photograph and label map {entry.label_path} are both "
                f"missing; add them, or take {entry.source_id!r} off the list that names it"
            )
        if not entry.image_path.is_file():
            raise DatasetError(
                f"{entry.label_path}: label map without photograph; expected {entry.image_path}: "
                "add it, or take the label map away"
            )
        if not entry.label_path.is_file():
            raise DatasetError(
                f"{entry.image_path}: photograph without label map; expected {entry.label_path}: "
                "add it, or take the photograph away"
            )
        image = read_photograph(entry.image_path)
        layout = self.read_layout(entry)
        if image.shape[:2] != layout.size_hw:
            height, width = layout.size_hw
            turned = ""
            if has_exif_rotation(entry.image_path):
                turned = " (its EXIF orientation is not applied: store the pixels upright)"
            raise DatasetError(
                f"{entry.label_path}: label map is {width}x{height}, but the photograph "
                f"{entry.image_path} is {image.shape[1]}x{image.shape[0]}{turned}; make them one "
                "size, the label map by nearest neighbour"
            )
        return LabelledPhotograph(entry, image, layout)

    def read_layout(self, entry: Entry) -> Layout:
        """Read the layout of an entry: class ids, and objects as the entry's files number them.

        Raises:
            LabelError: If a file is unreadable, sizes differ, or a value is unknown.
        """
        return read_layout(
            entry.label_path,
            self.taxonomy,
            instance_path=entry.instance_path,
            depth_path=entry.depth_path,
            repair=self.repair,
            label_form="ids",
            unknown_remedy=self.unknown_remedy,
        )


def files_by_name(
    folder: Path, suffixes: tuple[str, ...] = PHOTOGRAPH_SUFFIXES, ending: str = ""
) -> dict[str, Path]:
    """List the files of a folder by their names without ending and suffix.

    Where files differ in their suffix only, none of them is chosen: the name has the path "NAME.*",
    which stands for several files, and reading such an entry says which.

    Args:
        folder: Looked at without its subfolders; one that does not exist is empty.
        suffixes: Accepted suffixes, in any case.
        ending: What the name ends with before the suffix, e.g. "_leftImg8bit".
    """
    found: dict[str, Path] = {}
    if not folder.is_dir():
        return found
    # Tens of thousands of files: scandir tells files from folders without asking for each.
    with os.scandir(folder) as listing:
        files = sorted(item.name for item in listing if item.is_file())
    for file_name in files:
        stem, suffix = os.path.splitext(file_name)
        if suffix.lower() not in suffixes or stem.startswith(".") or not stem.endswith(ending):
            continue
        name = stem.removesuffix(ending)
        found[name] = folder / (f"{stem}{_SEVERAL}" if name in found else file_name)
    return found


def _several_files(path: Path) -> str:
    """Say which files a path stands for that files_by_name made of several."""
    there = sorted(
        other.name
        for other in path.parent.iterdir()
        if other.stem == path.stem and other.suffix.lower() in PHOTOGRAPH_SUFFIXES
    )
    return f"{path.parent}: {' and '.join(there)} have the same name; keep one of them"


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def paired(
    images: Mapping[str, Path], labels: Mapping[str, Path], image_for: Path, label_for: Path
) -> Iterator[tuple[str, Path, Path]]:
    """Pair photographs with label maps by name.

    Where only one of the two exists the other's path is where it should be. Nothing is paired if no
    name has both: those are photographs without labels, or layouts without photographs.

    Args:
        images: Photographs by name.
        labels: Label maps by name.
        image_for: Where a missing photograph should be, its name written "*".
        label_for: Where a missing label map should be, its name written "*".

    Yields:
        Name, photograph, label map.
    """
    if not images.keys() & labels.keys():
        return
    for name in sorted(images.keys() | labels.keys()):
        image_path = images.get(name, image_for.with_name(image_for.name.replace("*", name)))
        label_path = labels.get(name, label_for.with_name(label_for.name.replace("*", name)))
        yield name, image_path, label_path


def companion(files: Mapping[str, Path], expected: Path, name: str) -> Path | None:
    """Return the file of a photograph, or where it should be if others have theirs, or None.

    Args:
        files: Instance or depth files by the name of their photograph.
        expected: Where a missing one should be, its name written "*".
        name: The photograph.
    """
    if not files:
        return None
    return files.get(name, expected.with_name(expected.name.replace("*", name)))
