"""Pictures, label maps and photographs of the same layouts, paired by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.datasets.files import read_photograph
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.tools.evaluation.compose_run import ComposeRun
from scenequilt.tools.evaluation.label_maps import LabelMaps
from scenequilt.tools.evaluation.picture_files import (
    PictureIndex,
    find_pictures,
    in_words,
    names_of,
    plain_name,
)


class Picture(Protocol):
    """One picture to be judged, not read yet; maps that it came without are None."""

    @property
    def name(self) -> str: ...

    @property
    def image_path(self) -> Path: ...

    @property
    def sources(self) -> tuple[str, ...]: ...

    def image(self) -> NDArray[np.uint8]: ...

    def delivered(self) -> NDArray[np.uint8] | None: ...

    def ownership(self) -> NDArray[np.int32] | None: ...

    def state(self) -> NDArray[np.uint8] | None: ...


@dataclass(frozen=True)
class FilePicture:
    """A picture that comes with nothing but itself."""

    name: str
    image_path: Path
    sources: tuple[str, ...] = ()

    def image(self) -> NDArray[np.uint8]:
        """Read the picture, (H, W, 3) uint8 RGB."""
        return read_photograph(self.image_path)

    def delivered(self) -> None:
        """Return None: no label map came with it."""

    def ownership(self) -> None:
        """Return None: no ownership map came with it."""

    def state(self) -> None:
        """Return None: no state map came with it."""


@dataclass(frozen=True)
class LayoutItem:
    """One layout with its files.

    Attributes:
        name: Of the layout.
        label_path: Its label map.
        pictures: What a system made of it: one, or its variants.
        photograph_path: The photograph whose label map it is, or None.
    """

    name: str
    label_path: Path
    pictures: tuple[Picture, ...]
    photograph_path: Path | None


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a layout, or a picture of none, cannot be judged.

    Attributes:
        name: Of the layout, of a variant of it ("street/01"); of a picture without label map, its
            path in its folder.
        kind: What is missing.
        reason: The same in words.
    """

    name: str
    kind: Literal["picture", "label map", "photograph"]
    reason: str


@dataclass(frozen=True, slots=True)
class Pairing:
    """What pairs and what does not.

    Attributes:
        items: Layouts with all their files, sorted by name.
        problems: What is left over, sorted by name.
        unasked: Layouts of a dataset without a picture, of the splits that have one.
    """

    items: Sequence[LayoutItem]
    problems: Sequence[Problem]
    unasked: int = 0

    def check_complete(self, generated: Path, labels: Path, real: Path | None) -> None:
        """Refuse a pairing that leaves something over.

        Args:
            generated: Where pictures were looked for, for the message.
            labels: Where label maps were.
            real: Where photographs were, None if there were to be none.

        Raises:
            DatasetError: If anything is missing; the message has counts, names and the remedy.
        """
        if self.problems:
            raise DatasetError(_missing(self, generated, labels, real))


def pair_files(
    generated: Path, run: ComposeRun | None, maps: LabelMaps, real: Path | None
) -> Pairing:
    """Pair pictures with label maps and, where there are to be photographs, with those.

    A picture in a folder that is named as a layout is a variant of it; any other picture is the one
    of the layout it is named as. Of a dataset's label maps those are asked for that have a
    picture, of any other folder's all. Photographs of no layout are not used.

    Args:
        generated: Folder of the pictures.
        run: The run in it, or None.
        maps: The label maps.
        real: Folder of photographs, or None.

    Raises:
        DatasetError: If a folder is missing or empty, or two files are of one name.
    """
    found = _pictures_of_run(run, maps) if run else _pictures_of_folder(generated, maps)
    photographs = None if real is None else PictureIndex(find_pictures(real, "--real"))
    items = []
    problems = list(found.problems)
    for name in sorted(found.pictures):
        photograph = None
        if photographs is not None:
            there = photographs.find(name)
            if len(there) > 1:
                raise DatasetError(
                    f"--real {real}: {len(there)} photographs are named {name!r} "
                    f"({in_words([str(path) for path in there])}); name the folder of one split"
                )
            if not there:
                reason = f"{real} has no photograph of this name"
                problems.append(Problem(name, "photograph", reason))
                continue
            photograph = there[0]
        items.append(LayoutItem(name, maps.paths[name], tuple(found.pictures[name]), photograph))
    return Pairing(items, sorted(problems, key=lambda each: each.name), found.unasked)


@dataclass(frozen=True, slots=True)
class _Found:
    """Pictures of layouts that have a label map, by layout, and what is left over."""

    pictures: Mapping[str, Sequence[Picture]]
    problems: Sequence[Problem]
    unasked: int = 0


def _pictures_of_run(run: ComposeRun, maps: LabelMaps) -> _Found:
    problems = [
        Problem(plain_name(layout), "picture", run.why_missing(layout))
        for layout in run.asked
        if layout not in run.pictures
    ]
    problems += [
        Problem(f"{plain_name(layout)}/{variant:02d}", "picture", run.why_missing(layout))
        for layout, items in run.pictures.items()
        for variant in range(run.variants)
        if f"{layout}/{variant:02d}" not in {item.name for item in items}
    ]
    pictures = {plain_name(layout): items for layout, items in run.pictures.items()}
    problems += [
        Problem(name, "label map", f"{maps.where} has no label map of it")
        for name in pictures
        if name not in maps.paths
    ]
    paired = {name: items for name, items in pictures.items() if name in maps.paths}
    return _Found(paired, problems)


def _pictures_of_folder(generated: Path, maps: LabelMaps) -> _Found:
    pictures: dict[str, list[FilePicture]] = {}
    problems = []
    for path in find_pictures(generated, "--generated"):
        folder = plain_name(path.parent.name)
        named = [name for name in names_of(path) if name in maps.paths]
        if path.parent != generated and folder in maps.paths:
            pictures.setdefault(folder, []).append(FilePicture(f"{folder}/{path.stem}", path))
        elif named:
            pictures.setdefault(named[0], []).append(FilePicture(named[0], path))
        else:
            reason = f"{maps.where} has no label map of this name"
            name = path.relative_to(generated).with_suffix("").as_posix()
            problems.append(Problem(name, "label map", reason))
    for name, items in pictures.items():
        if len({item.name for item in items}) < len(items):
            raise DatasetError(
                f"--generated {generated}: {len(items)} pictures of layout {name!r} have one name "
                f"({in_words([str(item.image_path) for item in items])}); keep one, or put "
                f"variants in a folder {name}/"
            )
    without = [name for name in maps.paths if name not in pictures]
    if maps.is_dataset:
        # A dataset is more than what a system was given: pictures say which of it was asked for.
        splits = {maps.split_of[name] for name in pictures}
        return _Found(pictures, problems, sum(maps.split_of[name] in splits for name in without))
    reason = f"{generated} has no picture of this name"
    problems += [Problem(name, "picture", reason) for name in without]
    return _Found(pictures, problems)


def _missing(pairing: Pairing, generated: Path, labels: Path, real: Path | None) -> str:
    parts = []
    for kind, whose, where in (
        ("picture", "layout", generated),
        ("label map", "picture", labels),
        ("photograph", "layout", real),
    ):
        names = [entry.name for entry in pairing.problems if entry.kind == kind]
        if names:
            have = f"{whose} has" if len(names) == 1 else f"{whose}s have"
            parts.append(f"{len(names)} {have} no {kind} in {where} ({in_words(names)})")
    complete = len(pairing.items)
    remedy = f", or go on with the {complete} complete ones by --partial" if complete > 1 else ""
    return (
        f"{generated}: files do not pair: {'; '.join(parts)}; files pair by their names without "
        f"suffix, and {complete} layouts are complete: add what is missing, or name folders that "
        f"hold the same layouts{remedy}"
    )
