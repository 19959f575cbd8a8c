"""What composing costs and how well it keeps to the layout, on streets that the bank does not know."""

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.rerank import ScoreWeights, ShapeLimits
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.ordering.class_order import class_ranks
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.composition import Composition
from scenequilt.synthesis.finish import ClosedFinish, Finish
from scenequilt.synthesis.look import SourceLooks
from scenequilt.synthesis.recompose import swap
from scenequilt.tools.benchmarks.machine import describe_machine, peak_memory_bytes

SWAPS = 4
"""Segments of each picture that are changed one after the other."""


@dataclass(frozen=True)
class Fit:
    """How well pictures keep to their layouts.

    Attributes:
        coverage: Share of the non-void pixels that a segment covers before any filling, mean over
            the pictures.
        agreement: Share of the non-void pixels whose delivered class is the requested one, mean.
        agreement_by_class: The same over all pixels of a class, by name.
        median_ms: Time of a picture from layout to arrays, reading and writing files left out.
    """

    coverage: float
    agreement: float
    agreement_by_class: dict[str, float]
    median_ms: float


@dataclass(frozen=True)
class SwapTimes:
    """How long it takes to change one segment of a picture, finish included.

    Attributes:
        count: Changes that were timed.
        median_ms: Of all of them.
        first_ms: Median of the first change of each picture, which finds less to take up again.
        stages_ms: Median time of each stage.
    """

    count: int
    median_ms: float
    first_ms: float
    stages_ms: dict[str, float]


@dataclass(frozen=True)
class Reference:
    """A network that is timed beside, in the same run and at the same size.

    Attributes:
        name: What it is.
        median_ms: Time of one picture.
        peak_memory_bytes: Most that the process held once it had run.
    """

    name: str
    median_ms: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class ComposeBenchmark:
    """Figures of one run.

    Attributes:
        machine: Processor, cores, versions.
        dataset: Its name, the split, the sequence held out.
        size_hw: (height, width) of the pictures.
        photographs: In the bank.
        segments: In the bank.
        build_seconds: Of the bank, process start included.
        build_workers: Processes it was built with.
        decode_seconds: Of reading the same photographs and layouts and nothing else, one process:
            what the build is measured against.
        bank_bytes: Size of the bank's folder.
        pictures: Composed.
        ours: Of compose.
        crude: Of the reference: for each region the nearest segment by mask IoU, pasted where it
            stood, in class order; OpenCV's inpainting (Telea 2004) for the rest.
        finish: Name of the finish.
        stages_ms: Median time of each stage.
        but_finish_ms: Median time of everything but the finish.
        swaps: Time of changing one segment.
        states: Mean share of pixels copied, recoloured, blended and synthesised.
        peak_memory_bytes: Most that this process held at once up to there; the build's workers are
            others, and the references come later.
        references: Networks that were timed beside.
    """

    machine: dict[str, str]
    dataset: dict[str, str]
    size_hw: tuple[int, int]
    photographs: int
    segments: int
    build_seconds: float
    build_workers: int
    decode_seconds: float
    bank_bytes: int
    pictures: int
    ours: Fit
    crude: Fit
    finish: str
    stages_ms: dict[str, float]
    but_finish_ms: float
    swaps: SwapTimes
    states: dict[str, float]
    peak_memory_bytes: int
    references: tuple[Reference, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return dataclasses.asdict(self)

    def as_text(self) -> str:
        """Return the figures for a person."""
        lines = [
            f"machine    {', '.join(f'{key} {value}' for key, value in self.machine.items())}",
            (
                f"data       {', '.join(f'{key} {value}' for key, value in self.dataset.items())}, "
                f"{self.size_hw[0]}x{self.size_hw[1]}"
            ),
            (
                f"bank       {self.photographs} photographs, {self.segments} segments, "
                f"{self.bank_bytes / 1e6:.0f} MB in {self.build_seconds:.1f} s with "
                f"{self.build_workers} workers; reading alone takes {self.decode_seconds:.1f} s"
            ),
            f"memory     {self.peak_memory_bytes / 1e6:.0f} MB at most, one process",
            "",
            f"{self.pictures} pictures   {'ours':>10} {'crude':>10}",
            f"median ms     {self.ours.median_ms:>10.0f} {self.crude.median_ms:>10.0f}",
            f"covered       {self.ours.coverage:>10.4f} {self.crude.coverage:>10.4f}",
            f"agreement     {self.ours.agreement:>10.4f} {self.crude.agreement:>10.4f}",
        ]
        for name, ours in self.ours.agreement_by_class.items():
            crude = self.crude.agreement_by_class[name]
            lines.append(f"  {name:<12}{ours:>10.4f} {crude:>10.4f}")
        states = ", ".join(f"{state} {100 * share:.1f} %" for state, share in self.states.items())
        lines += [
            f"stages, ms    {_listed(self.stages_ms)}; all but the finish {self.but_finish_ms:.1f}",
            (
                f"one change    {self.swaps.median_ms:.1f} ms, {self.swaps.first_ms:.1f} ms the first "
                f"of a picture; {self.swaps.count} of them: {_listed(self.swaps.stages_ms)}"
            ),
            f"finish        {self.finish}",
            f"pixels        {states}",
        ]
        lines += [
            f"beside        {each.name}: {each.median_ms:.1f} ms a picture, "
            f"{each.peak_memory_bytes / 1e6:.0f} MB at most"
            for each in self.references
        ]
        return "\n".join(lines)


def _listed(stages_ms: Mapping[str, float]) -> str:
    return ", ".join(f"{stage} {ms:.1f}" for stage, ms in stages_ms.items())


def measure_compose(
    reader: DatasetReader,
    work: Path,
    *,
    split: str | None,
    hold_out: str,
    pictures: int,
    workers: int,
    size_hw: tuple[int, int] | None = None,
    finish: Finish | None = None,
    references: Mapping[str, Callable[[tuple[int, int]], object]] | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> ComposeBenchmark:
    """Build a bank without one sequence and compose the layouts of that sequence.

    Args:
        reader: The dataset.
        work: Folder that the bank is made in; it must not hold it yet.
        split: Split that bank and layouts are taken from; None for all.
        hold_out: Sequence whose layouts are composed and whose photographs the bank leaves out.
        pictures: How many of them, evenly spread; 0 for all.
        workers: Processes for the bank.
        size_hw: (height, width) to bring the layouts to; None leaves them as they are.
        finish: Makes the pictures; the closed form if None.
        references: By name, what makes one picture of a size by a network that is timed beside.
        progress: Told what is going on.

    Raises:
        BankError: If work holds the bank already.
        DatasetError: If the sequence does not exist; the message lists those there are.
    """
    held_out, others = _part(reader.entries(split), hold_out)
    progress(f"reading {len(others)} photographs")
    started = time.perf_counter()
    for entry in others:
        reader.read(entry)
    decode_seconds = time.perf_counter() - started

    folder = work / f"bank-without-{hold_out}"
    progress(f"building a bank of {len(others)} photographs")
    started = time.perf_counter()
    built = build_bank(reader, folder, split=split, exclude_sequence=[hold_out], workers=workers)
    build_seconds = time.perf_counter() - started

    count = min(pictures or len(held_out), len(held_out))
    chosen = [held_out[place * len(held_out) // count] for place in range(count)]
    layouts = [reader.read(entry).layout for entry in chosen]
    if size_hw is not None:
        layouts = [layout.resized(size_hw) for layout in layouts]
    finish = finish or ClosedFinish()
    with MemoryBank.open(folder) as bank:
        looks = SourceLooks(bank)
        swap_one_by_one(compose(layouts[0], bank, finish=finish, looks=looks), bank, 1)
        progress(f"composing {len(layouts)} layouts, and changing them")
        ours, stages, but_finish_ms, swaps, states = _measure_ours(layouts, bank, looks, finish)
        peak = peak_memory_bytes()
        progress("composing them crudely")
        crude = _measure_crude(layouts, bank)
    beside = []
    for name, make_picture in (references or {}).items():
        progress(f"timing {name}")
        beside.append(measure_reference(name, make_picture, layouts[0].size_hw))
    return ComposeBenchmark(
        machine=describe_machine(("numpy", "numba", "opencv-python-headless")),
        dataset={
            "name": reader.taxonomy.name,
            "split": split or "all",
            "held out": f"{hold_out} ({len(held_out)} photographs)",
        },
        size_hw=layouts[0].size_hw,
        photographs=built.photographs,
        segments=built.segments,
        build_seconds=build_seconds,
        build_workers=workers,
        decode_seconds=decode_seconds,
        bank_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        pictures=len(layouts),
        ours=ours,
        crude=crude,
        finish=finish.name,
        stages_ms=stages,
        but_finish_ms=but_finish_ms,
        swaps=swaps,
        states=states,
        peak_memory_bytes=peak,
        references=tuple(beside),
    )


def measure_reference(
    name: str,
    make_picture: Callable[[tuple[int, int]], object],
    size_hw: tuple[int, int],
    *,
    runs: int = 5,
) -> Reference:
    """Time a network that makes one picture, after a run that is not counted.

    Args:
        name: What it is.
        make_picture: Makes one picture of a size, (height, width) in pixels; tuned beforehand.
        size_hw: Of the pictures.
        runs: That count.
    """
    make_picture(size_hw)
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        make_picture(size_hw)
        times.append(1e3 * (time.perf_counter() - started))
    return Reference(name, statistics.median(times), peak_memory_bytes())


def swap_one_by_one(
    made: Composition, bank: MemoryBank, count: int
) -> list[tuple[float, Composition]]:
    """Change up to so many segments of a composition, one after the other, evenly spread.

    Returns:
        Milliseconds of each change, and what came of it.
    """
    queries = [n for n, answer in enumerate(made.retrievals) if len(answer.candidates) > 1]
    count = min(count, len(queries))
    changes = []
    for place in range(count):
        started = time.perf_counter()
        made = swap(made, bank, queries[place * len(queries) // count])
        changes.append((1e3 * (time.perf_counter() - started), made))
    return changes


def compose_crudely(
    layout: Layout, bank: MemoryBank
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_]]:
    """Compose as simply as can be: nearest segments where they stood, and plain inpainting.

    Returns:
        image (H, W, 3) uint8 RGB, label map (H, W) uint8 that it shows (an inpainted pixel has the
        class of the nearest pasted one), and coverage (H, W) bool before inpainting.
    """
    queries = extract_queries(layout, min_area_px=16)
    answers = bank.retrieve_many(
        queries,
        1,
        weights=ScoreWeights(mask=1, context=0),
        limits=ShapeLimits(enabled=False),
        search="exact",
        allow_empty=True,
    )
    height, width = layout.size_hw
    image = np.zeros((height, width, 3), np.uint8)
    label_map = np.full((height, width), VOID, np.uint8)
    ranks = class_ranks(layout.taxonomy)
    found = [answer.candidates[0].segment_id for answer in answers if answer.candidates]
    for segment in sorted(map(bank.segment, found), key=lambda item: ranks[item.class_id]):
        color = np.zeros((*segment.source_size_hw, 3), np.uint8)
        mask = np.zeros(segment.source_size_hw, np.uint8)
        top, left, bottom, right = segment.crop_box
        color[top:bottom, left:right] = segment.color
        mask[top:bottom, left:right] = segment.mask
        if segment.source_size_hw != layout.size_hw:
            color = _resized(color, layout.size_hw, cv2.INTER_AREA)
            mask = _resized(mask, layout.size_hw, cv2.INTER_NEAREST)
        image[mask > 0] = color[mask > 0]
        label_map[mask > 0] = segment.class_id
    coverage = label_map != VOID
    _, nearest = cv2.distanceTransformWithLabels(
        (~coverage).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5,
        labelType=cv2.DIST_LABEL_PIXEL,
    )  # fmt: skip
    label_of = np.zeros(int(nearest.max()) + 1, np.uint8)
    label_of[nearest[coverage]] = label_map[coverage]
    inpainted = cv2.inpaint(image, (~coverage).astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return np.asarray(inpainted, np.uint8), label_of[nearest], coverage


def _measure_ours(
    layouts: Sequence[Layout], bank: MemoryBank, looks: SourceLooks, finish: Finish
) -> tuple[Fit, dict[str, float], float, SwapTimes, dict[str, float]]:
    tally = _Tally()
    stages: dict[str, list[float]] = {}
    swap_stages: dict[str, list[float]] = {}
    states: dict[str, list[float]] = {}
    but_finish, swaps, first = [], [], []
    for seed, layout in enumerate(layouts):
        started = time.perf_counter()
        made: Composition = compose(layout, bank, finish=finish, seed=seed, looks=looks)
        ms = 1e3 * (time.perf_counter() - started)
        tally.add(layout, made.delivered.label_map, made.coverage, ms)
        but_finish.append(ms - 1e3 * made.seconds["finish"])
        _add_ms(stages, made.seconds)
        for state, share in made.state_shares.items():
            states.setdefault(state, []).append(share)
        changes = swap_one_by_one(made, bank, SWAPS)
        first += [ms for ms, _ in changes[:1]]
        swaps += [ms for ms, _ in changes]
        for _, changed in changes:
            _add_ms(swap_stages, changed.seconds)
    return (
        tally.fit(),
        _medians(stages),
        statistics.median(but_finish),
        SwapTimes(
            len(swaps),
            statistics.median(swaps) if swaps else 0.0,
            statistics.median(first) if first else 0.0,
            _medians(swap_stages),
        ),
        {state: statistics.fmean(values) for state, values in states.items()},
    )


def _add_ms(stages: dict[str, list[float]], seconds: Mapping[str, float]) -> None:
    for stage, value in seconds.items():
        stages.setdefault(stage, []).append(1e3 * value)


def _medians(stages: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {stage: statistics.median(values) for stage, values in stages.items()}


def _measure_crude(layouts: Sequence[Layout], bank: MemoryBank) -> Fit:
    tally = _Tally()
    for layout in layouts:
        started = time.perf_counter()
        _, label_map, coverage = compose_crudely(layout, bank)
        tally.add(layout, label_map, coverage, 1e3 * (time.perf_counter() - started))
    return tally.fit()


def _resized(
    picture: NDArray[np.uint8], size_hw: tuple[int, int], interpolation: int
) -> NDArray[np.uint8]:
    resized = cv2.resize(picture, size_hw[::-1], interpolation=interpolation)
    return np.asarray(resized, np.uint8)


class _Tally:
    """Coverage, agreement and time of one picture after another."""

    def __init__(self) -> None:
        self._coverage: list[float] = []
        self._agreement: list[float] = []
        self._ms: list[float] = []
        self._by_class: dict[str, tuple[int, int]] = {}

    def add(
        self,
        layout: Layout,
        delivered: NDArray[np.uint8],
        coverage: NDArray[np.bool_],
        ms: float,
    ) -> None:
        asked = layout.label_map
        known = asked != VOID
        agree = (delivered == asked) & known
        self._coverage.append(np.count_nonzero(coverage & known) / np.count_nonzero(known))
        self._agreement.append(np.count_nonzero(agree) / np.count_nonzero(known))
        self._ms.append(ms)
        for class_id, entry in enumerate(layout.taxonomy.classes):
            pixels = int(np.count_nonzero(asked == class_id))
            if pixels:
                agreed, total = self._by_class.get(entry.name, (0, 0))
                here = int(np.count_nonzero(agree & (asked == class_id)))
                self._by_class[entry.name] = (agreed + here, total + pixels)

    def fit(self) -> Fit:
        return Fit(
            statistics.fmean(self._coverage),
            statistics.fmean(self._agreement),
            {name: agreed / total for name, (agreed, total) in sorted(self._by_class.items())},
            statistics.median(self._ms),
        )


def _part(entries: Sequence[Entry], hold_out: str) -> tuple[list[Entry], list[Entry]]:
    held_out = [entry for entry in entries if entry.sequence == hold_out]
    others = [entry for entry in entries if entry.sequence != hold_out]
    if not held_out or not others:
        names = ", ".join(sorted({entry.sequence for entry in entries}))
        raise DatasetError(
            f"sequence {hold_out!r} cannot be held out: the photographs are of {names or 'none'}"
        )
    return held_out, others
