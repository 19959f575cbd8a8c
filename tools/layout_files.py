"""The layouts a run is asked for: found on disk, named, and read in the bank's classes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scenequilt.memory_bank.datasets.files import OWN_CLASSES
from scenequilt.memory_bank.datasets.interface import Repair
from scenequilt.memory_bank.datasets.layout_file import Companions, companions, read_layout
from scenequilt.memory_bank.datasets.open import READERS, open_dataset
from scenequilt.memory_bank.errors import LabelError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy, read_taxonomy

NOT_LABELS = ("_instanceIds", "_color", "_instanceTrainIds", "_polygons")
"""Endings of files that lie beside Cityscapes label maps and are none."""


OTHER_CLASSES = (
    "if the layout has other classes than the bank, say what its values mean with --classes FILE, a "
    "classes.json whose names are the bank's"
)
"""Remedy for a layout's value that is no class of the bank."""


@dataclass(frozen=True, slots=True)
class LayoutFile:
    """A label map on disk and the name its pictures get.

    Attributes:
        name: Folder of its pictures: the file's name without suffix; where two files share it,
            with as many parent folders in front as tell them apart ("val-0001", "train-0001").
        path: The label map.
    """

    name: str
    path: Path


def find_layout_files(
    arguments: Sequence[Path],
    *,
    split: str | None = None,
    reserved: Sequence[str] = (),
    outside: Path | None = None,
) -> list[LayoutFile]:
    """List the label maps that files and folders stand for, each once, in the order given.

    A dataset's folder stands for the label maps of its photographs, or of those of one split; any
    other folder for every PNG in it and below it, by name.

    Args:
        arguments: Label maps, folders of them, and folders of datasets.
        split: Which split of a dataset; None for all.
        reserved: Names that no layout may have.
        outside: Folder that is written to; what lies in it is no layout, even if it lies in a
            folder that is given.

    Raises:
        DatasetError: If a dataset has no such split; the message lists those there are.
        ValueError: If a path does not exist, a folder holds no PNG or is no dataset where a split
            is asked for, or two names cannot be told apart.
    """
    paths: dict[Path, None] = {}
    for argument in arguments:
        if argument.is_dir():
            found = _label_maps_of(argument, split, outside)
            if not found:
                raise ValueError(
                    f"{argument}: no label map in this folder, expected *.png; name the folder "
                    "that holds them"
                )
        elif argument.is_file():
            found = [argument]
        else:
            raise ValueError(
                f"{argument}: no such file or folder, expected a label map or a folder"
            )
        paths.update(dict.fromkeys(path.resolve() for path in found))
    names = _distinct_names(list(paths), reserved)
    return [LayoutFile(name, path) for name, path in zip(names, paths, strict=True)]


def read_layout_file(
    path: Path,
    taxonomy: Taxonomy,
    *,
    classes: Taxonomy | None = None,
    size_hw: tuple[int, int] | None = None,
    repair: Repair = "none",
) -> Layout:
    """Read a label map, with the instance map and depth that lie beside it, in a bank's classes.

    Args:
        path: The label map.
        taxonomy: The bank's classes.
        classes: What the values in the file mean, if not file ids of the bank; matched by name.
        size_hw: (height, width) to bring it to, by nearest pixel; None keeps its own.
        repair: What to do with values that are no ids.

    Raises:
        LabelError: If the file cannot be read as a label map, holds a class that the bank's
            taxonomy has not, or nothing but void; or its instance map is missing.
    """
    beside = companions_of(path)
    layout = read_layout(
        path,
        classes or taxonomy,
        instance_path=beside.instance_path,
        depth_path=beside.depth_path,
        repair=repair,
        unknown_remedy=OTHER_CLASSES if classes is None else OWN_CLASSES,
    )
    if classes is not None:
        layout = in_taxonomy(layout, taxonomy, where=str(path))
    if size_hw is not None:
        layout = layout.resized(size_hw)
    if not (layout.label_map != VOID).any():
        raise LabelError(
            f"{path}: every pixel is void, expected a class of {taxonomy.name!r}; "
            "leave the file out or give --classes with the meaning of its values"
        )
    return layout


def classes_of_layouts(layouts: Sequence[Path], given: Path | None) -> Taxonomy | None:
    """Return what the layouts' values mean: as given, as their dataset says, or None if neither.

    Args:
        layouts: Label maps, folders of them, and folders of datasets.
        given: A classes.json, None if there is none.

    Raises:
        ValueError: If the layouts are of several taxonomies.
    """
    if given is not None:
        return read_taxonomy(given)
    found = {path: _classes_beside(path) for path in layouts}
    distinct = set(found.values())
    if len(distinct) > 1:
        named = "; ".join(
            f"{path}: {'no classes.json' if taxonomy is None else taxonomy.name}"
            for path, taxonomy in found.items()
        )
        raise ValueError(
            f"the layouts' values mean different classes ({named}); take one dataset "
            "after the other, or say what all of them mean with --classes FILE"
        )
    return distinct.pop()


def _classes_beside(path: Path) -> Taxonomy | None:
    if path.is_dir() and any(reader.recognises(path) for reader in READERS.values()):
        return open_dataset(path).taxonomy
    # labels/[split/]NAME.png, and the folders of it, have classes.json beside labels/.
    whole = path.resolve()
    for folder in (whole, *whole.parents[:3]):
        if folder.name == "labels" and (folder.parent / "classes.json").is_file():
            return read_taxonomy(folder.parent / "classes.json")
    beside = (whole if path.is_dir() else whole.parent) / "classes.json"
    return read_taxonomy(beside) if beside.is_file() else None


def read_in_classes(
    path: Path,
    taxonomy: Taxonomy,
    own: Taxonomy | None,
    size_hw: tuple[int, int] | None,
    repair: Repair,
    *,
    instance_path: Path | None = None,
) -> Layout:
    """Read a layout in the classes that a network was trained on.

    Args:
        path: The label map; instance and depth maps are looked for beside it.
        taxonomy: The network's.
        own: What the file's values mean, None if they are file ids of taxonomy; matched by name.
        size_hw: (height, width) in pixels to bring it to, by nearest; None keeps its own.
        repair: What to do with values that are no ids.
        instance_path: Its instance map, where that does not lie beside it.

    Raises:
        LabelError: If a file is unreadable, nothing is labelled, or a class is not of the taxonomy.
    """
    beside = companions_of(path)
    layout = read_layout(
        path,
        own or taxonomy,
        instance_path=instance_path or beside.instance_path,
        depth_path=beside.depth_path,
        repair=repair,
        unknown_remedy="say what the values mean with --classes FILE, a classes.json",
    )
    shown = [int(label) for label in np.unique(layout.label_map) if label != VOID]
    if not shown:
        raise LabelError(
            f"{path}: every pixel is void, so there is nothing to go on from; label some of it"
        )
    if own is not None and own != taxonomy:
        known = [entry.name for entry in taxonomy.classes]
        unknown = [
            own.classes[label].name for label in shown if own.classes[label].name not in known
        ]
        if unknown:
            raise LabelError(
                f"{path}: taxonomy {own.name!r} has class {unknown[0]!r}, but the weights are of "
                f"taxonomy {taxonomy.name!r} with {', '.join(known)}; give weights that were "
                "trained on the layout's classes, or match them by name with --classes FILE"
            )
        layout = in_taxonomy(layout, taxonomy, where=str(path))
    return layout if size_hw is None else layout.resized(size_hw)


def companions_of(path: Path) -> Companions:
    """Find the instance and depth maps that lie beside a label map.

    Raises:
        LabelError: If instances/ or depth/ lies beside labels/ and holds none for this label map.
    """
    found = companions(path)
    for folder in (path.parent, path.parent.parent):
        if folder.name != "labels":
            continue
        for kind, beside in (("instances", found.instance_path), ("depth", found.depth_path)):
            if beside is None and (folder.parent / kind).is_dir():
                missing = (folder.parent / kind / path.relative_to(folder)).with_suffix(".png")
                raise LabelError(
                    f"{path}: {missing} is missing, expected because {kind}/ lies beside labels/; "
                    f"add it, or copy the label map out of labels/ to compose it without {kind}"
                )
        break
    return found


def in_taxonomy(layout: Layout, taxonomy: Taxonomy, *, where: str) -> Layout:
    """Return the layout in the classes of another taxonomy, matched by name.

    Args:
        layout: The layout.
        taxonomy: The classes it shall have.
        where: The file, for messages.

    Raises:
        LabelError: If the layout shows a class that the other taxonomy has not.
    """
    names = {entry.name: class_id for class_id, entry in enumerate(taxonomy.classes)}
    table = np.full(256, VOID, np.uint8)
    shown = np.flatnonzero(np.bincount(layout.label_map.ravel(), minlength=256))
    for class_id in shown[shown != VOID]:
        entry = layout.taxonomy.classes[class_id]
        if entry.name not in names:
            raise LabelError(
                f"{where}: holds class {entry.name!r} (value {entry.file_id}), but the bank's "
                f"taxonomy {taxonomy.name!r} has {', '.join(names)}; rename the class in the "
                "--classes file, or list its value under void_ids"
            )
        table[class_id] = names[entry.name]
    return Layout(table[layout.label_map], layout.instance_map, taxonomy, layout.depth_m)


def _label_maps_of(folder: Path, split: str | None, outside: Path | None) -> list[Path]:
    if split is None and (folder / "labels").is_dir():
        return _label_maps_below(folder / "labels", outside)
    if any(reader.recognises(folder) for reader in READERS.values()):
        entries = open_dataset(folder).entries(split)
        return [entry.label_path for entry in entries if entry.label_path.is_file()]
    if split is not None:
        raise ValueError(
            f"{folder}: split {split!r} is asked for, but this is no dataset's folder; leave "
            "--split out, or name the folder of the dataset"
        )
    return _label_maps_below(folder, outside)


def _label_maps_below(folder: Path, outside: Path | None) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() == ".png"
        and not path.is_dir()
        and not path.name.startswith(".")
        and not path.stem.endswith(NOT_LABELS)
        and not (outside is not None and path.resolve().is_relative_to(outside.resolve()))
    )


def _distinct_names(paths: Sequence[Path], reserved: Sequence[str]) -> list[str]:
    depths = [0] * len(paths)
    while True:
        names = [_name(path, depth) for path, depth in zip(paths, depths, strict=True)]
        # Names become folders, and not every file system tells "A" from "a".
        counts = Counter([name.casefold() for name in names] + [n.casefold() for n in reserved])
        doubled = [place for place, name in enumerate(names) if counts[name.casefold()] > 1]
        if not doubled:
            return names
        for place in doubled:
            depths[place] += 1
            if depths[place] >= len(paths[place].parts):
                raise ValueError(
                    f"{paths[place]}: the name {names[place]!r} is taken by another layout or by "
                    "a file of the run; rename the label map"
                )


def _name(path: Path, depth: int) -> str:
    parents = path.parts[len(path.parts) - 1 - depth : -1]
    return "-".join([*(part.strip("/\\:") for part in parents), path.stem])
