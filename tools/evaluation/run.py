"""One evaluation from folders to figures: what is asked for, what is read, what comes of it."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.bank_photographs import BankPhotographs
from scenequilt.tools.evaluation.calibration import CalibrationRows, make_calibration_rows
from scenequilt.tools.evaluation.cautions import cautions
from scenequilt.tools.evaluation.evaluate import LEAST_HALVED, Measured, evaluate
from scenequilt.tools.evaluation.features import FeatureNetwork, load_features
from scenequilt.tools.evaluation.file_hash import file_sha256
from scenequilt.tools.evaluation.judges import Judges
from scenequilt.tools.evaluation.pairs import LEAST_SIDE_PX
from scenequilt.tools.evaluation.perceptual import (
    NETWORK_RULE,
    SMALLEST_SIDE,
    PerceptualNetwork,
    read_perceptual,
)
from scenequilt.tools.evaluation.picture_set import (
    MIN_LAYOUTS,
    RULES,
    PictureSet,
    open_picture_set,
)
from scenequilt.tools.evaluation.power_spectrum import log10_range, spectrum_picture
from scenequilt.tools.evaluation.report.gallery import Gallery, GalleryItem
from scenequilt.tools.evaluation.results import (
    PROTOCOL_VERSION,
    Evaluation,
    FileRecord,
    PictureFigures,
    RowFigures,
)
from scenequilt.tools.evaluation.rows import Row
from scenequilt.tools.evaluation.segmenter import Segmenter, load_segmenter
from scenequilt.tools.evaluation.sizes import in_words
from scenequilt.tools.evaluation.weights_folder import find_networks
from scenequilt.tools.progress import Progress

LIBRARIES = (
    "numpy", "torch", "torchmetrics", "scikit-image", "pillow", "opencv-python-headless",
    "onnxruntime",
)  # fmt: skip
"""Whose version a figure may depend on."""


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What an evaluation is asked for.

    Attributes:
        generated: Folders of pictures or runs of compose, one a system.
        names: Of the systems; () for those of the folders.
        real: Folder of photographs or of a dataset, or None.
        labels: Folder of label maps or of a dataset; None: what the runs were asked for.
        classes: classes.json, or None: the runs' or the dataset's.
        segmenters: Files of weights, the one that figures are quoted with first.
        weights: Folder of further networks, or a file of one, or None.
        bank: Folder of a bank, or None.
        bank_photographs: Folder of the bank's photographs, if they are not where they were.
        size_hw: Size to bring everything to, or None: the label maps'.
        partial: Go on with the pairs that there are.
        seed: Of halves, resampling and random segments.
        batch: Layouts that go through a network together.
        workers: Threads; None: one a processor.
        shown: Pictures shown as the worst, and as the best.
    """

    generated: tuple[Path, ...]
    names: tuple[str, ...] = ()
    real: Path | None = None
    labels: Path | None = None
    classes: Path | None = None
    segmenters: tuple[Path, ...] = ()
    weights: Path | None = None
    bank: Path | None = None
    bank_photographs: Path | None = None
    size_hw: tuple[int, int] | None = None
    partial: bool = False
    seed: int = 0
    batch: int = 1
    workers: int | None = None
    shown: int = 4

    def __post_init__(self) -> None:
        if not self.generated:
            raise ValueError("--generated names no folder, expected at least one")
        if self.names and len(self.names) != len(self.generated):
            raise ValueError(
                f"--name is given {len(self.names)} times for {len(self.generated)} folders of "
                "--generated; give one name a folder, or none"
            )
        for name, value, least in (
            ("--seed", self.seed, 0),
            ("--batch", self.batch, 1),
            ("--workers", self.workers, 1),
            ("--shown", self.shown, 0),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name} is {value}, expected at least {least}")
        if self.size_hw is not None and min(self.size_hw) < LEAST_SIDE_PX:
            raise ValueError(
                f"--size is {in_words(self.size_hw)}, expected at least {LEAST_SIDE_PX} pixels a "
                "side, which is the window of SSIM; give a larger one"
            )


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """What came of an evaluation.

    Attributes:
        evaluation: Every figure.
        gallery: Pictures to look at.
        taxonomy: The classes.
    """

    evaluation: Evaluation
    gallery: Gallery
    taxonomy: Taxonomy


def run_evaluation(
    request: EvaluationRequest,
    *,
    progress: Callable[[str], Progress] = lambda stage: lambda done, total: None,
) -> EvaluationResult:
    """Check everything that is asked for, then measure it.

    Args:
        request: What is asked for.
        progress: Takes the name of a stage to a function that is told how far it is.

    Raises:
        DatasetError: If pictures, photographs or label maps do not fit together.
        CheckpointError: If a network cannot be read, or is one of other classes.
        BankError: If the bank cannot be opened.
        ValueError: If a setting is out of range, or there is nothing to measure by.
    """
    started = time.perf_counter()
    sets = _open_sets(request, progress("reading label maps"))
    judged = sets[0]
    judges, files, unread = load_judges(request, judged.taxonomy)
    _refuse_small_pictures(judged, judges, is_asked=request.size_hw is not None)
    _refuse_nothing_to_measure(sets, judges, has_bank=request.bank is not None)
    if request.classes is not None and request.classes.is_file():
        files.append(
            FileRecord(
                "classes",
                judged.taxonomy.name,
                str(request.classes),
                file_sha256(request.classes),
            )
        )
    with ExitStack() as stack:
        bank = None
        photographs = None
        if request.bank is not None:
            bank = stack.enter_context(MemoryBank.open(request.bank))
            files.append(FileRecord("bank", request.bank.name, str(request.bank), bank.fingerprint))
            photographs = BankPhotographs(bank, judged.size_hw, request.bank_photographs)
        calibration = make_calibration_rows(
            judged, bank=bank, seed=request.seed, bank_photographs=request.bank_photographs
        )
        rows: list[Row] = [*(each.generated for each in sets), *calibration.rows]
        measured = evaluate(
            rows,
            len(judged.items),
            judges,
            judged.taxonomy,
            judged.size_hw,
            reference=photographs,
            own=calibration.own,
            seed=request.seed,
            batch=request.batch,
            workers=request.workers,
            progress=progress,
        )
        gallery = _gallery(sets[0], measured, judges, request.shown)
    evaluation = Evaluation(
        protocol_version=PROTOCOL_VERSION,
        program=version("scenequilt"),
        libraries=_versions(),
        size_hw=judged.size_hw,
        rules={**RULES, "networks": NETWORK_RULE},
        seed=request.seed,
        layouts=len(judged.items),
        left_out=_left_out(sets),
        unmeasured=_unmeasured(judged, judges, calibration),
        warnings=[
            *cautions(measured.rows, len(sets)),
            *dict.fromkeys(note for each in sets for note in each.notes),
            *calibration.notes,
            *unread,
        ],
        files=files,
        pictures_sha256=_hashes(sets),
        rows=measured.rows,
        seconds=time.perf_counter() - started,
    )
    return EvaluationResult(evaluation, gallery, judged.taxonomy)


def load_judges(
    request: EvaluationRequest, taxonomy: Taxonomy
) -> tuple[Judges, list[FileRecord], list[str]]:
    """Read every network that is asked for.

    Segmenters that are named come before those that lie in the folder of weights.

    Returns:
        The networks, their files, and sentences: for each segmenter whose classes were taken by
        number, and for each file of the folder that was not used.

    Raises:
        CheckpointError: If a file cannot be read, is of other classes, two are of one name, or the
            folder holds none.
    """
    segmenter_files, unread = list(request.segmenters), []
    perceptual_files: tuple[Path, ...] = ()
    feature_files: tuple[Path, ...] = ()
    if request.weights is not None:
        found = find_networks(request.weights, taxonomy)
        named = {path.resolve() for path in segmenter_files}
        segmenter_files += [path for path in found.segmenters if path.resolve() not in named]
        perceptual_files, feature_files = found.perceptual, found.features
        unread = [f"not used: {reason}" for reason in found.unknown.values()]
    loaded = [load_segmenter(path, taxonomy) for path in segmenter_files]
    segmenters: list[Segmenter] = [*loaded]
    notes = [_by_number(each.name, taxonomy) for each in loaded if each.is_by_number]
    _refuse_twins("segmenters", [each.name for each in segmenters], segmenter_files)
    perceptual: list[PerceptualNetwork] = [read_perceptual(path) for path in perceptual_files]
    features: list[FeatureNetwork] = [load_features(path) for path in feature_files]
    # The distance to the nearest photograph is measured by the first.
    order = sorted(range(len(features)), key=lambda place: features[place].name != "inception-v3")
    features = [features[place] for place in order]
    feature_files = tuple(feature_files[place] for place in order)
    _refuse_twins(
        "networks for features",
        [each.name for each in (*features, *perceptual)],
        [*feature_files, *perceptual_files],
    )
    files: list[tuple[str, Sequence[FeatureNetwork | Segmenter], Sequence[Path]]] = [
        ("segmenter", segmenters, segmenter_files),
        ("features, LPIPS", perceptual, perceptual_files),
        ("features", features, feature_files),
    ]
    records = [
        FileRecord(role, network.name, str(path), network.sha256)
        for role, networks, paths in files
        for network, path in zip(networks, paths, strict=True)
    ]
    return Judges(segmenters, perceptual, features), records, [*notes, *unread]


def _by_number(segmenter: str, taxonomy: Taxonomy) -> str:
    names = [entry.name for entry in taxonomy.classes]
    return (
        f"the file of the segmenter {segmenter} names no classes: its classes are taken by number "
        f"as those of {taxonomy.name!r} (0 {names[0]}, ... {len(names) - 1} {names[-1]}); figures "
        "are wrong if it was trained in another order"
    )


def _refuse_nothing_to_measure(
    sets: Sequence[PictureSet], judges: Judges, *, has_bank: bool
) -> None:
    """Refuse what would end in a report of dashes."""
    has_variants = any(len(item.pictures) > 1 for each in sets for item in each.items)
    if (
        sets[0].has_photographs
        or any(each.run is not None for each in sets)
        or judges.segmenters
        or (judges.feature_networks and has_bank)
        or (judges.heads and has_variants)
    ):
        return
    lacking = " and no bank" if judges.feature_networks else ", no networks"
    raise ValueError(
        "nothing can be measured: there are no photographs, no segmenter"
        f"{lacking}, and the pictures are of no run of compose; name the photographs of the layouts "
        "with --real, or a segmenter with --segmenter (scenequilt train segmenter makes one)"
    )


def _refuse_small_pictures(judged: PictureSet, judges: Judges, *, is_asked: bool) -> None:
    """Refuse a size at which a network sees nothing, or SSIM has no window."""
    least = {network.name: SMALLEST_SIDE[network.name] for network in judges.perceptual}
    if judged.has_photographs:
        least["SSIM"] = LEAST_SIDE_PX
    for name, side_px in least.items():
        if min(judged.size_hw) < side_px:
            raise ValueError(
                f"{'--size is' if is_asked else 'pictures are of'} {in_words(judged.size_hw)}, and "
                f"{name} needs at least {side_px} pixels a side; give a larger --size, or leave "
                f"{'--real' if name == 'SSIM' else 'the network'} out"
            )


def _refuse_twins(what: str, names: Sequence[str], paths: Sequence[Path]) -> None:
    """Refuse two networks of one name, whose figures could not be told apart."""
    twins = {name for name in names if names.count(name) > 1}
    if twins:
        files = [str(path) for name, path in zip(names, paths, strict=True) if name in twins]
        raise CheckpointError(
            f"{len(files)} {what} have one name ({', '.join(sorted(twins))}): {', '.join(files)}; "
            "rename a segmenter's file, or leave all but one out"
        )


def _left_out(sets: Sequence[PictureSet]) -> dict[str, str]:
    """Return what any system lacks, with every reason once."""
    reasons: dict[str, dict[str, None]] = {}
    for each in sets:
        for name, reason in each.left_out.items():
            reasons.setdefault(name, {})[reason] = None
    return {name: "; ".join(found) for name, found in sorted(reasons.items())}


def _unmeasured(judged: PictureSet, judges: Judges, calibration: CalibrationRows) -> dict[str, str]:
    """Return what was not measured, and why."""
    reasons = judges.unmeasured()
    reasons |= {f"row {name}": reason for name, reason in calibration.unmade.items()}
    if judges.feature_networks and judged.has_photographs and len(judged.items) < LEAST_HALVED:
        reasons["distribution of the row real"] = (
            f"there are {len(judged.items)} photographs, and halves need at least {LEAST_HALVED}; "
            "judge more layouts"
        )
    if judges.feature_networks and "nearest" in calibration.unmade:
        reasons["distance to the nearest photograph"] = calibration.unmade["nearest"]
    return reasons


def _open_sets(request: EvaluationRequest, progress: Progress) -> list[PictureSet]:
    sets: list[PictureSet] = []
    for place, generated in enumerate(request.generated):
        sets.append(
            open_picture_set(
                generated,
                real=request.real,
                labels=request.labels,
                classes=request.classes,
                size_hw=request.size_hw,
                partial=request.partial,
                name=request.names[place] if request.names else None,
                progress=progress,
            )
        )
    if request.partial:
        sets = _shared_layouts(sets)
    first = sets[0]
    for generated, other in zip(request.generated[1:], sets[1:], strict=True):
        if other.name in [each.name for each in sets if each is not other]:
            raise ValueError(
                f"two systems have the name {other.name!r}; tell them apart with --name, one a folder"
            )
        ours, theirs = set(first.layouts), set(other.layouts)
        if ours != theirs:
            only = sorted(ours ^ theirs)
            raise ValueError(
                f"{request.generated[0]} has {len(ours)} layouts and {generated} {len(theirs)}, not "
                f"the same ones ({', '.join(only[:3])}{', ...' if len(only) > 3 else ''} in one of "
                "them only); systems of one table show the same layouts: take the others out, or "
                "go on with the shared ones by --partial"
            )
        if (first.taxonomy, first.size_hw) != (other.taxonomy, other.size_hw):
            raise ValueError(
                f"{request.generated[0]} is judged at {first.size_hw[0]}x{first.size_hw[1]} in "
                f"classes {first.taxonomy.name!r}, {generated} at {other.size_hw[0]}x"
                f"{other.size_hw[1]} in {other.taxonomy.name!r}; give --labels, --classes and --size"
            )
        differ = [
            name
            for place, name in enumerate(first.layouts)
            if not np.array_equal(first.requested(place), other.requested(place))
        ]
        if differ:
            raise ValueError(
                f"{request.generated[0]} and {generated} were made for different label maps of "
                f"{len(differ)} layouts ({', '.join(differ[:3])}); give the ones they are to be "
                "judged by with --labels"
            )
    return sets


def _shared_layouts(sets: Sequence[PictureSet]) -> list[PictureSet]:
    """Return the sets with those layouts that every system shows."""
    shared = set(sets[0].layouts).intersection(*(each.layouts for each in sets[1:]))
    if len(shared) < MIN_LAYOUTS:
        raise ValueError(
            f"{len(sets)} systems ({', '.join(each.name for each in sets)}) share {len(shared)} "
            f"layouts, expected at least {MIN_LAYOUTS}; name folders that show the same layouts"
        )
    return [each.only(shared, "not every system shows this layout") for each in sets]


def _gallery(judged: PictureSet, measured: Measured, judges: Judges, shown: int) -> Gallery:
    row = measured.rows[0]
    ranking = _ranking_of(row)
    ranked_by = ""
    if ranking is None:
        worst: list[PictureFigures] = []
        best: list[PictureFigures] = []
    else:
        ranked_by, score = ranking
        ranked = sorted(row.each, key=lambda each: (score(each), each.name))
        shown = min(shown, len(ranked) // 2)
        worst, best = ranked[:shown], ranked[::-1][:shown]
    low, high = log10_range(*(each.power for each in measured.spectra.values()))
    # Pictures of one colour each have no range; any will do to draw them by.
    high = max(high, low + 1)
    return Gallery(
        [_gallery_item(judged, judges, each) for each in worst],
        [_gallery_item(judged, judges, each) for each in best],
        {
            name: spectrum_picture(each.power, low_log10=low, high_log10=high)
            for name, each in measured.spectra.items()
        },
        ranked_by,
    )


def _ranking_of(row: RowFigures) -> tuple[str, Callable[[PictureFigures], float]] | None:
    """Return what pictures are ranked by, higher is better; None if nothing ranks them."""
    if row.fidelity:
        words = f"mean IoU of each picture, seen by {row.fidelity[0].segmenter}"
        return words, lambda each: each.mean_iou if each.mean_iou is not None else 0.0
    if all(each.lpips is not None for each in row.each):
        words = f"LPIPS {next(iter(row.perception.lpips), '')} of each picture to its photograph"
        return words, lambda each: -(each.lpips or 0.0)
    return None


def _gallery_item(judged: PictureSet, judges: Judges, figures: PictureFigures) -> GalleryItem:
    place = judged.layouts.index(figures.layout)
    view = next(each for each in judged.generated.views(place) if each.name == figures.name)
    palette = judged.taxonomy.palette
    pictures: dict[str, NDArray[np.uint8]] = {
        "layout": palette[view.requested],
        "picture": view.image,
    }
    if view.real is not None:
        pictures["photograph"] = view.real
    if judges.segmenters:
        pictures["what the segmenter sees"] = palette[
            judges.segmenters[0].predict(view.image[None])[0]
        ]
    words = []
    if figures.mean_iou is not None:
        words += [f"mIoU {figures.mean_iou:.2f}", f"pixel accuracy {figures.pixel_accuracy:.2f}"]
    if figures.lpips is not None:
        words.append(f"LPIPS {judges.heads[0].name} {figures.lpips:.2f}")
    return GalleryItem(figures.name, ", ".join(words), pictures)


def _hashes(sets: Sequence[PictureSet]) -> dict[str, str]:
    hashes = dict(sets[0].hashes())
    found = {sets[0].name: hashes.pop("generated")}
    found |= {each.name: each.hashes()["generated"] for each in sets[1:]}
    return {**found, **hashes}


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
