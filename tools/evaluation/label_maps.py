"""Requested label maps: found in a folder, a dataset or a run, and what their values mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.datasets.files import decode_ids, read_raster
from scenequilt.memory_bank.datasets.folder import FolderReader
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.datasets.layout_file import read_layout
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy, read_taxonomy
from scenequilt.tools.evaluation.compose_run import ComposeRun
from scenequilt.tools.evaluation.picture_files import dataset_at, in_words, plain_name
from scenequilt.tools.layout_files import find_layout_files

OTHER_VALUES = (
    "say what the values mean with --classes FILE, a classes.json that lists them as classes or in "
    "void_ids"
)
"""Remedy for a value that is no class."""


@dataclass(frozen=True)
class LabelMaps:
    """Label maps by the names of their layouts.

    Attributes:
        where: Folder they are in.
        taxonomy: What their values mean.
        paths: Files by name, sorted by name.
        split_of: Split of the dataset that a layout is of, by name; {} outside of datasets.
        read: Takes a file to (H, W) uint8 class ids of the taxonomy, 255 = void.
    """

    where: Path
    taxonomy: Taxonomy
    paths: Mapping[str, Path]
    split_of: Mapping[str, str]
    read: Callable[[Path], NDArray[np.uint8]]

    @property
    def is_dataset(self) -> bool:
        """True if they are a dataset's, of which pictures may show a part."""
        return bool(self.split_of)


def label_maps_of_run(run: ComposeRun) -> LabelMaps:
    """Return the label maps that a run was asked for, of those layouts that it has pictures of."""

    def read(path: Path) -> NDArray[np.uint8]:
        return decode_ids(read_raster(path, "label map"), run.taxonomy)

    paths = {
        plain_name(layout): pictures[0].requested_path
        for layout, pictures in sorted(run.pictures.items())
    }
    return LabelMaps(run.path, run.taxonomy, paths, {}, read)


def find_label_maps(
    folder: Path, classes: Taxonomy | None, otherwise: Taxonomy | None = None
) -> LabelMaps:
    """Find the label maps of a folder, or those of a dataset's photographs.

    Args:
        folder: A dataset, or a folder of PNG with class ids or with the classes' colours.
        classes: What the values mean where no classes.json in the folder says it.
        otherwise: The same where classes is None and there is no classes.json beside the folder,
            either.

    Raises:
        DatasetError: If the folder does not exist, or two files are of one layout.
        ValueError: If it holds no label map, or nothing says what their values mean.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DatasetError(f"--labels {folder} {what}; expected a folder of label maps")
    reader = dataset_at(folder)
    if reader is not None:
        return _of_dataset(folder, reader)
    found = _table_of(folder, classes) or otherwise
    if found is None:
        raise ValueError(
            f"--labels {folder}: nothing says what the values mean, expected a dataset's folder, a "
            "classes.json in this folder or beside it, or --classes FILE"
        )
    taxonomy = found

    def read(path: Path) -> NDArray[np.uint8]:
        return read_layout(path, taxonomy, unknown_remedy=OTHER_VALUES).label_map

    paths = [file.path for file in find_layout_files([folder])]
    return LabelMaps(folder, taxonomy, _by_name(_of_one_kind(paths, taxonomy)), {}, read)


def matching_ids(
    theirs: Taxonomy, ours: Taxonomy, *, their_name: str, our_name: str
) -> NDArray[np.uint8]:
    """Return (256,) uint8 that takes class ids of one table to those of another, by name.

    Args:
        theirs: The one.
        ours: The other; it must have the same names, in any order.
        their_name: Where the one comes from, for messages.
        our_name: Where the other comes from.

    Raises:
        DatasetError: If one has a name that the other has not.
    """
    their_names = [entry.name for entry in theirs.classes]
    our_names = [entry.name for entry in ours.classes]
    only_theirs = [name for name in their_names if name not in our_names]
    only_ours = [name for name in our_names if name not in their_names]
    if only_theirs or only_ours:
        raise DatasetError(
            f"class tables differ: {their_name} has {len(theirs)} classes ({theirs.name!r}), "
            f"{our_name} has {len(ours)} ({ours.name!r}); only in the first: "
            f"{in_words(only_theirs, 8) or 'none'}; only in the second: "
            f"{in_words(only_ours, 8) or 'none'}; bring both to one table with the same names"
        )
    table = np.full(256, VOID, np.uint8)
    table[: len(theirs)] = [our_names.index(name) for name in their_names]
    return table


def _table_of(folder: Path, classes: Taxonomy | None) -> Taxonomy | None:
    inside, beside = folder / "classes.json", folder.resolve().parent / "classes.json"
    if inside.is_file():
        return read_taxonomy(inside)
    if classes is None and beside.is_file():
        return read_taxonomy(beside)
    return classes


def _of_dataset(folder: Path, reader: DatasetReader) -> LabelMaps:
    entries = {
        entry.label_path.resolve(): entry
        for entry in reader.entries()
        if entry.label_path.is_file()
    }
    paths = _by_name([file.path for file in find_layout_files(list(entries))])

    def read(path: Path) -> NDArray[np.uint8]:
        return _read_entry(reader, entries[path])

    splits = {name: entries[path].split for name, path in paths.items()}
    return LabelMaps(folder, reader.taxonomy, paths, splits, read)


def _read_entry(reader: DatasetReader, entry: Entry) -> NDArray[np.uint8]:
    if isinstance(reader, FolderReader):
        return reader.read_layout(entry).label_map
    return reader.read(entry).layout.label_map


def _of_one_kind(paths: list[Path], taxonomy: Taxonomy) -> list[Path]:
    """Leave one of the two files out that Cityscapes has for a layout: the one of other ids."""
    other = "_labelIds" if taxonomy.name == "cityscapes19_train_ids" else "_labelTrainIds"
    kept = [path for path in paths if not path.stem.endswith(other)]
    return kept or paths


def _by_name(paths: list[Path]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for file in find_layout_files(paths):
        name = plain_name(file.name)
        if name in named:
            raise DatasetError(
                f"{named[name]} and {file.path} are both the label map of {name!r}; keep one"
            )
        named[name] = file.path
    return dict(sorted(named.items()))
