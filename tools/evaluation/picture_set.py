"""What an evaluation judges: pictures, photographs and label maps, paired and checked first."""

import dataclasses
import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.datasets.files import read_photograph
from scenequilt.memory_bank.errors import DatasetError, LabelError
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy, read_taxonomy
from scenequilt.tools.evaluation import sizes
from scenequilt.tools.evaluation.compose_run import (
    ComposeRun,
    is_compose_run,
    open_compose_run,
)
from scenequilt.tools.evaluation.file_hash import file_sha256
from scenequilt.tools.evaluation.label_maps import (
    LabelMaps,
    find_label_maps,
    label_maps_of_run,
    matching_ids,
)
from scenequilt.tools.evaluation.pairing import LayoutItem, Pairing, Picture, pair_files
from scenequilt.tools.evaluation.picture_files import check_folder, dataset_at, in_words
from scenequilt.tools.evaluation.readable import readable_only
from scenequilt.tools.evaluation.remedies import without_reader_options
from scenequilt.tools.evaluation.rows import Row, View
from scenequilt.tools.evaluation.sizes import (
    PICTURE_MODES,
    RESIZE_RULE,
    read_size,
    sized_map,
    sized_picture,
)
from scenequilt.tools.progress import Progress

VOID_RULE = (
    "Pixels that are void in the requested layout are not counted, whatever the picture shows "
    "there; classes that no requested layout shows are left out of means over classes."
)
"""What is done to void, as reports say it."""

RULES: Mapping[str, str] = {"size": RESIZE_RULE, "void": VOID_RULE}

CALIBRATION_NAMES = ("real", "jpeg30", "nearest", "random")
"""Names of the rows that every table has."""

TAKEN_NAMES = (*CALIBRATION_NAMES, "labels")
"""Names of rows, and of what is hashed beside them, that no system may have."""

MIN_LAYOUTS = 2
"""A distribution, and two halves of the photographs, are of at least two."""


@dataclass(frozen=True)
class PictureSet:
    """Pictures, photographs and label maps of the same layouts, sorted by the layouts' names.

    Everything it reads is at size_hw and in the ids of its taxonomy. It may be shared by threads.

    Attributes:
        name: Of the system.
        title: The same in words.
        items: The layouts.
        taxonomy: Their classes.
        size_hw: (height, width) at which everything is judged.
        run: The run that the pictures are of, or None.
        left_out: What partial left out: name -> reason.
        notes: What a reader should know, in sentences.
    """

    name: str
    title: str
    items: tuple[LayoutItem, ...]
    taxonomy: Taxonomy
    size_hw: tuple[int, int]
    run: ComposeRun | None
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    _packed_labels: tuple[bytes, ...] = field(repr=False)
    _delivered_ids: NDArray[np.uint8] | None = field(repr=False)

    @property
    def layouts(self) -> tuple[str, ...]:
        """Names of the layouts."""
        return tuple(item.name for item in self.items)

    @property
    def generated(self) -> Row:
        """The row of the system."""
        return GeneratedRow(self)

    @property
    def real(self) -> Row | None:
        """The row of the photographs, None without photographs."""
        return RealRow(self) if self.has_photographs else None

    @property
    def has_photographs(self) -> bool:
        """True if every layout has its photograph."""
        return all(item.photograph_path is not None for item in self.items)

    @property
    def pictures(self) -> int:
        """Pictures of the system, variants included."""
        return sum(len(item.pictures) for item in self.items)

    def requested(self, place: int) -> NDArray[np.uint8]:
        """Return the label map of the layout at a place, (H, W) class ids, 255 = void."""
        labels = np.frombuffer(zlib.decompress(self._packed_labels[place]), np.uint8)
        # A copy: bytes cannot be written to, and compiled code takes such arrays for another type.
        return labels.reshape(self.size_hw).copy()

    def photograph(self, place: int) -> NDArray[np.uint8] | None:
        """Read the photograph of the layout at a place, (H, W, 3) uint8 RGB, or None."""
        path = self.items[place].photograph_path
        return None if path is None else sized_picture(read_photograph(path), self.size_hw)

    def delivered(self, picture: Picture) -> NDArray[np.uint8] | None:
        """Read the label map that is true of a picture, (H, W) class ids, or None."""
        labels = picture.delivered()
        if labels is None or self._delivered_ids is None:
            return None
        return sized_map(self._delivered_ids[labels], self.size_hw)

    def only(self, layouts: Collection[str], why: str) -> "PictureSet":
        """Return the set without its other layouts.

        Args:
            layouts: Names of those that stay.
            why: Reason for which the others are left out.
        """
        gone = [name for name in self.layouts if name not in layouts]
        if not gone:
            return self
        kept = [place for place, name in enumerate(self.layouts) if name in layouts]
        return dataclasses.replace(
            self,
            items=tuple(self.items[place] for place in kept),
            left_out={**self.left_out, **dict.fromkeys(gone, why)},
            _packed_labels=tuple(self._packed_labels[place] for place in kept),
        )

    def hashes(self) -> dict[str, str]:
        """Return sha256 in hex over names and bytes of all files, in order.

        Keys are "generated", "labels" and, where there are photographs, "real".
        """
        files: dict[str, list[tuple[str, Path]]] = {"generated": [], "labels": [], "real": []}
        for item in self.items:
            files["generated"] += [(each.name, each.image_path) for each in item.pictures]
            files["labels"].append((item.name, item.label_path))
            if item.photograph_path is not None:
                files["real"].append((item.name, item.photograph_path))
        return {role: _sha256(each) for role, each in files.items() if each}


@dataclass(frozen=True)
class GeneratedRow:
    """The pictures of the system that is judged."""

    judged: PictureSet

    @property
    def name(self) -> str:
        """Of the system."""
        return self.judged.name

    @property
    def title(self) -> str:
        """The same in words."""
        return self.judged.title

    def views(self, place: int) -> tuple[View, ...]:
        """Read the pictures of the layout at a place: one, or its variants."""
        judged, item = self.judged, self.judged.items[place]
        requested, real = judged.requested(place), judged.photograph(place)
        views = []
        for picture in item.pictures:
            ownership, state = picture.ownership(), picture.state()
            views.append(
                View(
                    name=picture.name,
                    layout=item.name,
                    image=sized_picture(picture.image(), judged.size_hw),
                    requested=requested,
                    delivered=judged.delivered(picture),
                    real=real,
                    ownership=None if ownership is None else sized_map(ownership, judged.size_hw),
                    state=None if state is None else sized_map(state, judged.size_hw),
                    sources=picture.sources,
                )
            )
        return tuple(views)


@dataclass(frozen=True)
class RealRow:
    """The photographs themselves: what a perfect score would be."""

    judged: PictureSet
    name: str = "real"
    title: str = "the real photographs"

    def views(self, place: int) -> tuple[View, ...]:
        """Read the photograph of the layout at a place."""
        photograph = self.judged.photograph(place)
        assert photograph is not None, "a set with this row has a photograph a layout"
        requested, name = self.judged.requested(place), self.judged.items[place].name
        return (
            View(
                name, name, photograph, requested, delivered=requested, real=photograph
            ),
        )  # fmt: skip


def open_picture_set(
    generated: Path,
    *,
    real: Path | None = None,
    labels: Path | None = None,
    classes: Path | None = None,
    size_hw: tuple[int, int] | None = None,
    partial: bool = False,
    name: str | None = None,
    progress: Progress | None = None,
) -> PictureSet:
    """Pair pictures with label maps and photographs, and check everything that can be checked.

    Names are file names without suffix, and without what Cityscapes adds to them; where two files
    share a name, their folders' names come in front ("val-0001"). A picture in a folder that is
    named as a layout is a variant of it; any other picture is the one of the layout it is named as.
    Every file is decoded once, so that a damaged one is found before anything is measured.

    Args:
        generated: Folder of pictures, or of a run of compose.
        real: Folder of photographs, or of a dataset; photographs of no layout are not used.
        labels: Folder of label maps, of a run of compose, or of a dataset, of which those layouts
            count that have a picture. None: what the run was asked for, else those of the dataset
            at real.
        classes: classes.json or the folder that holds it. None: that in or beside the folder of
            label maps, else those of the run or the dataset.
        size_hw: Size to bring everything to. None: the label maps' own, which all must have.
        partial: Go on with what is complete, and say what was left out.
        name: Of the system; None: the folder's.
        progress: Told how many label maps are read.

    Raises:
        DatasetError: If a folder or a file is not what it should be, pairs are missing, sizes or
            class tables differ; the message has names, counts and the remedy.
        ValueError: If label maps or their classes are not given and cannot be found, the name is
            that of another row, or fewer than two layouts are left.
    """
    system = _system_name(generated, name)
    run = open_compose_run(generated) if is_compose_run(generated) else None
    if run is not None and not partial:
        run.refuse_damage()
    table = None if classes is None else _read_classes(classes)
    maps = _label_maps(generated, real, labels, table, run, partial=partial)
    taxonomy = table or maps.taxonomy
    class_ids = matching_ids(
        maps.taxonomy,
        taxonomy,
        their_name=f"the label maps in {maps.where}",
        our_name=f"--classes {classes}",
    )
    delivered_ids = None
    if run is not None:
        delivered_ids = matching_ids(
            run.taxonomy,
            taxonomy,
            their_name=f"the run {run.path}",
            our_name=f"--classes {classes}" if table else f"the label maps in {maps.where}",
        )

    pairing = pair_files(generated, run, maps, real)
    if not partial:
        pairing.check_complete(generated, maps.where, real)
    pairing = readable_only(pairing, partial=partial)
    if len(pairing.items) < MIN_LAYOUTS:
        raise ValueError(
            f"{generated}: {len(pairing.items)} of {len(maps.paths)} layouts can be judged, "
            f"expected at least {MIN_LAYOUTS}: distances between sets of pictures need more than "
            f"one{_why_so_few(pairing)}"
        )
    judged_hw = _common_size(pairing.items, size_hw)
    packed = _read_label_maps(pairing.items, maps, class_ids, judged_hw, progress)
    return PictureSet(
        name=system,
        title=_title(generated, run, system),
        items=tuple(pairing.items),
        taxonomy=taxonomy,
        size_hw=judged_hw,
        run=run,
        left_out={entry.name: entry.reason for entry in pairing.problems},
        notes=_notes(pairing, generated, maps, real, run),
        _packed_labels=packed,
        _delivered_ids=delivered_ids,
    )


def _system_name(generated: Path, name: str | None) -> str:
    if name in TAKEN_NAMES:
        raise ValueError(
            f"--name {name!r} is taken by a calibration row or by the label maps; choose one that "
            f"is none of {', '.join(TAKEN_NAMES)}"
        )
    own = generated.resolve().name
    return name or ("generated" if own in TAKEN_NAMES else own)


def _title(generated: Path, run: ComposeRun | None, system: str) -> str:
    folder = generated.resolve().name
    if run is None:
        title = f"the pictures in {folder}"
    else:
        title = f"pictures of the run {folder} (scenequilt {run.program})"
    return title if system == folder else f"{system}: {title}"


def _read_classes(path: Path) -> Taxonomy:
    if not path.is_dir():
        return read_taxonomy(path)
    if (path / "classes.json").is_file():
        return read_taxonomy(path / "classes.json")
    reader = dataset_at(path)
    if reader is None:
        raise DatasetError(
            f"--classes {path}: no classes.json in this folder and no dataset of a known form; "
            "name the file"
        )
    return reader.taxonomy


def _label_maps(
    generated: Path,
    real: Path | None,
    labels: Path | None,
    classes: Taxonomy | None,
    run: ComposeRun | None,
    *,
    partial: bool,
) -> LabelMaps:
    if labels is not None and is_compose_run(labels):
        asked = open_compose_run(labels)
        if not partial:
            asked.refuse_damage()
        return label_maps_of_run(asked)
    if labels is not None:
        return find_label_maps(labels, classes, run.taxonomy if run else _classes_of(real))
    if run is not None:
        return label_maps_of_run(run)
    if real is not None:
        check_folder(real, "--real")
        if dataset_at(real) is not None:
            return find_label_maps(real, classes)
    raise ValueError(
        f"--labels is not given, {generated} is no run of compose and --real is no dataset; name "
        "the folder of the label maps that the pictures were made for"
    )


def _classes_of(real: Path | None) -> Taxonomy | None:
    """Return the classes of the dataset at real, None if it is none."""
    if real is None:
        return None
    check_folder(real, "--real")
    reader = dataset_at(real)
    return None if reader is None else reader.taxonomy


def _why_so_few(pairing: Pairing) -> str:
    if not pairing.problems:
        return ""
    first = pairing.problems[0]
    return f"; {len(pairing.problems)} were left out, the first is {first.name!r}: {first.reason}"


def _common_size(items: Sequence[LayoutItem], size_hw: tuple[int, int] | None) -> tuple[int, int]:
    """Return the size at which everything is judged; headers of all files are read on the way."""
    of_label = {item.name: read_size(item.label_path, "label map") for item in items}
    others: list[tuple[str, str, tuple[int, int]]] = []
    for item in items:
        for picture in item.pictures:
            others.append((item.name, "picture", _picture_size(picture.image_path, "picture")))
        if item.photograph_path is not None:
            size = _picture_size(item.photograph_path, "photograph")
            others.append((item.name, "photograph", size))
    if size_hw is not None:
        return size_hw
    first = of_label[items[0].name]
    unlike = [name for name, size in of_label.items() if size != first]
    if unlike:
        raise DatasetError(
            f"{len(unlike)} of {len(items)} label maps are not {sizes.in_words(first)} (height x "
            f"width) like {items[0].name!r}, e.g. {unlike[0]!r} is "
            f"{sizes.in_words(of_label[unlike[0]])}; bring all to one size with --size HxW"
        )
    for what in ("picture", "photograph"):
        found = [(name, size) for name, kind, size in others if kind == what and size != first]
        if found:
            checked = sum(kind == what for _, kind, _ in others)
            named = in_words([f"{name!r} {sizes.in_words(size)}" for name, size in found])
            raise DatasetError(
                f"{len(found)} of {checked} {what}s are not {sizes.in_words(first)} (height x "
                f"width) like their label maps: {named}; --size {sizes.in_words(first)} brings all "
                "to one size"
            )
    return first


def _picture_size(path: Path, what: str) -> tuple[int, int]:
    return read_size(path, what, modes=PICTURE_MODES)


def _read_label_maps(
    items: Sequence[LayoutItem],
    maps: LabelMaps,
    class_ids: NDArray[np.uint8],
    size_hw: tuple[int, int],
    progress: Progress | None,
) -> tuple[bytes, ...]:
    """Read every label map once, so that a wrong value is found first; kept in a hundredth."""
    packed = []
    for done, item in enumerate(items, start=1):
        try:
            own_ids = maps.read(item.label_path)
        except LabelError as error:
            raise LabelError(without_reader_options(str(error))) from error
        labels = sized_map(class_ids[own_ids], size_hw)
        if not (labels != VOID).any():
            raise LabelError(
                f"{item.label_path}: every pixel is void, expected a class of "
                f"{maps.taxonomy.name!r}; leave the layout out or give --classes with the meaning "
                "of its values"
            )
        packed.append(zlib.compress(labels.tobytes(), 1))
        if progress is not None:
            progress(done, len(items))
    return tuple(packed)


def _notes(
    pairing: Pairing, generated: Path, maps: LabelMaps, real: Path | None, run: ComposeRun | None
) -> tuple[str, ...]:
    notes = []
    if pairing.unasked:
        some = "1 layout" if pairing.unasked == 1 else f"{pairing.unasked:,} layouts"
        notes.append(
            f"{some} of the dataset {maps.where} without a picture in {generated} "
            f"{'was' if pairing.unasked == 1 else 'were'} not asked for; figures are of the "
            f"{len(pairing.items):,} that have one."
        )
    if real is None:
        notes.append(
            "No photographs were given (--real): there is no ceiling, no distance to them and no "
            "row of them."
        )
    if pairing.problems:
        notes.append(
            f"{len(pairing.problems)} layouts or pictures were left out because they are not "
            "complete (--partial); figures are of the others."
        )
    if run is None:
        notes.append(
            "The pictures are of no run of compose: nothing says which photographs their pixels "
            "come from, or what they truly show."
        )
    else:
        if run.damage:
            notes.append(f"{run.damage} (--partial); figures are of the pictures that it lists.")
        notes += _incomplete_records(pairing.items)
    return tuple(notes)


RECORDS = {
    "state.png": "shares of what was done to pixels are",
    "ownership.png": "seams between owners are",
    "label.png": "figures against the delivered layout are",
    "provenance.json": "their sources are taken from manifest.jsonl, and the full record is",
}
"""Files beside a run's picture, and what is of those pictures only that have them."""


def _incomplete_records(items: Sequence[LayoutItem]) -> list[str]:
    """Return a sentence for each record that some pictures of a run lack, but not all."""
    pictures = [picture for item in items for picture in item.pictures]
    notes = []
    for name, figures in RECORDS.items():
        without = [each.name for each in pictures if not (each.image_path.parent / name).is_file()]
        if without and len(without) < len(pictures):
            notes.append(
                f"{len(without)} of {len(pictures)} pictures have no {name} ({in_words(without)}): "
                f"{figures} of the other {len(pictures) - len(without)}."
            )
    return notes


def _sha256(files: Sequence[tuple[str, Path]]) -> str:
    total = hashlib.sha256()
    for name, path in files:
        total.update(f"{name}\0{file_sha256(path)}\n".encode())
    return total.hexdigest()
