"""How well segments meet their queries: left in the frame, in closed form, and learned."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.affine import invert
from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.alignment.fit import fit_frame
from scenequilt.alignment.warp import warp_mask
from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry, LabelledPhotograph
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Query, Segment
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.benchmarks.machine import describe_machine

_WAYS = f"{'frame':>9}{'closed':>9}{'learned':>9}"


class Refiner(Protocol):
    """What is asked of a learned aligner."""

    def place(self, query: Query, segment: Segment, candidate: Candidate) -> PlacedSegment:
        """Return the segment on the layout's pixels."""
        ...

    def refine(
        self, queries: Sequence[Query], placed: Sequence[PlacedSegment]
    ) -> list[PlacedSegment]:
        """Correct what the closed form placed; what is not corrected are the same objects."""
        ...


@dataclass(frozen=True)
class Overlap:
    """Means over the pairs of one way to place.

    Attributes:
        iou: Of the placed mask with the query's, in [0, 1].
        coverage: Share of the query that the placed mask covers, in [0, 1].
    """

    iou: float
    coverage: float


@dataclass(frozen=True)
class KindFigures:
    """Figures of the things, of the stuff, or of both.

    Attributes:
        pairs: Pairs of a query and a candidate.
        frame: Left where the segment stands in the frame.
        closed: As the closed form places it.
        learned: As the learned aligner does; None without one.
        kept: Share of the pairs where the network's answer was kept; None likewise.
    """

    pairs: int
    frame: Overlap
    closed: Overlap
    learned: Overlap | None
    kept: float | None


@dataclass(frozen=True)
class AlignmentBenchmark:
    """Figures of one run.

    Attributes:
        machine: Processor, cores, versions.
        dataset: Its name, split and what was held out.
        photographs: In the bank.
        pictures: Whose regions are the queries.
        candidates: Best ones of the bank that each query is paired with.
        min_area: Smaller regions are not asked for, as a share of the picture.
        kinds: "thing", "stuff" and "all"; a kind without pairs is not there.
        closed_ms: Median time of the closed form for one pair.
        learned_ms: Median time that the network adds for one pair; None without a network.
        batched_ms: The same where all pairs of a picture go through it together, mean; None likewise.
    """

    machine: dict[str, str]
    dataset: dict[str, str]
    photographs: int
    pictures: int
    candidates: int
    min_area: float
    kinds: dict[str, KindFigures]
    closed_ms: float
    learned_ms: float | None
    batched_ms: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return dataclasses.asdict(self)

    def as_text(self) -> str:
        """Return the figures for a person."""
        lines = [
            f"machine    {', '.join(f'{key} {value}' for key, value in self.machine.items())}",
            f"data       {', '.join(f'{key} {value}' for key, value in self.dataset.items())}",
            (
                f"pairs      regions of {self.pictures} pictures, from {self.min_area:.2%} of one, "
                f"each with its {self.candidates} best of {self.photographs} photographs"
            ),
            f"time       closed form {self.closed_ms:.2f} ms a pair" + self._times(),
            "",
            f"{'':<8}{'pairs':>7}{'IoU':>9}{'':18}{'kept':>8}{'coverage':>11}",
            f"{'':<15}{_WAYS}{'':8}{_WAYS}",
        ]
        for name, kind in self.kinds.items():
            ways = (kind.frame, kind.closed, kind.learned)
            ious = "".join(_number(None if way is None else way.iou) for way in ways)
            coverages = "".join(_number(None if way is None else way.coverage) for way in ways)
            kept = "-" if kind.kept is None else f"{kind.kept:.1%}"
            lines.append(f"{name:<8}{kind.pairs:>7}{ious}{kept:>8}{coverages}")
        return "\n".join(lines)

    def _times(self) -> str:
        if self.learned_ms is None or self.batched_ms is None:
            return ""
        return (
            f"; the network adds {self.learned_ms:.2f} ms, or {self.batched_ms:.2f} ms where a "
            "picture's pairs go through it together"
        )


def measure_alignment(
    reader: DatasetReader,
    work: Path,
    aligner: Refiner | None = None,
    *,
    split: str | None = None,
    hold_out: str | None = None,
    hold_out_last: int = 0,
    pictures: int = 0,
    candidates: int = 3,
    min_area: float = 0.002,
    workers: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> AlignmentBenchmark:
    """Place a bank's segments for the regions of photographs that the bank leaves out.

    Args:
        reader: The dataset.
        work: Folder that the bank is made in; it must not hold it yet.
        aligner: The learned one; None measures the closed form alone. It must have learned from
            nothing that is held out.
        split: Split that bank and queries are taken from; None for all.
        hold_out: Sequence whose regions are the queries.
        hold_out_last: Instead, for datasets without sequences, so many photographs at the end by
            name.
        pictures: How many of those held out, evenly spread; 0 for all.
        candidates: Segments that each query is paired with.
        min_area: Smaller regions are not asked for, as a share of the picture.
        workers: Processes for the bank.
        progress: Told what is going on.

    Raises:
        BankError: If work holds the bank already.
        DatasetError: If the sequence does not exist, or nothing is left for the bank.
        ValueError: If not exactly one of hold_out and hold_out_last is given, or no region is large
            enough.
    """
    held_out, others, name = _part(reader.entries(split), hold_out, hold_out_last)
    progress(f"building a bank of {len(others)} photographs")
    folder = work / f"bank-without-{name}"
    built = build_bank(_SomeOf(reader, tuple(others)), folder, split=split, workers=workers)
    count = min(pictures or len(held_out), len(held_out))
    chosen = [held_out[place * len(held_out) // count] for place in range(count)]
    progress(f"placing segments for {count} pictures")
    tally = _Tally()
    with MemoryBank.open(folder) as bank:
        for entry in chosen:
            layout = reader.read(entry).layout
            least_px = max(1, math.ceil(min_area * layout.label_map.size))
            queries = extract_queries(layout, min_area_px=least_px)
            retrievals = bank.retrieve_many(queries, candidates, allow_empty=True)
            pairs = [
                (query, bank.segment(candidate.segment_id), candidate)
                for query, retrieval in zip(queries, retrievals, strict=True)
                for candidate in retrieval.candidates
            ]
            if pairs:
                tally.add(pairs, aligner)
    if not tally.things:
        raise ValueError(
            f"none of {count} pictures has a region of at least {min_area:.2%} that the bank has a "
            "segment for; lower the least area"
        )
    return AlignmentBenchmark(
        machine=describe_machine(("numpy", "opencv-python-headless", "torch")),
        dataset={"name": reader.taxonomy.name, "split": split or "all", "held out": name},
        photographs=built.photographs,
        pictures=count,
        candidates=candidates,
        min_area=min_area,
        kinds=tally.kinds(),
        closed_ms=statistics.median(tally.closed_ms),
        learned_ms=statistics.median(tally.learned_ms) if tally.learned_ms else None,
        batched_ms=statistics.fmean(tally.batched_ms) if tally.batched_ms else None,
    )


def _part(
    entries: Sequence[Entry], hold_out: str | None, hold_out_last: int
) -> tuple[list[Entry], list[Entry], str]:
    """Return the photographs held out, the others, and what to call the former."""
    if (hold_out is None) == (hold_out_last < 1):
        raise ValueError(
            f"hold_out is {hold_out!r} and hold_out_last {hold_out_last}; give one of them: a "
            "sequence, or a number of photographs at the end"
        )
    if hold_out is not None:
        held_out = [entry for entry in entries if entry.sequence == hold_out]
        others = [entry for entry in entries if entry.sequence != hold_out]
        name = hold_out
    else:
        by_name = sorted(entries, key=lambda entry: entry.source_id)
        held_out, others = by_name[-hold_out_last:], by_name[:-hold_out_last]
        name = f"last-{hold_out_last}"
    if not held_out or not others:
        names = ", ".join(sorted({entry.sequence for entry in entries} - {""})) or "none"
        raise DatasetError(
            f"{name} of {len(entries)} photographs cannot be held out; the sequences are: {names}"
        )
    return held_out, others, name


class _Tally:
    """Overlaps and times of one picture after another."""

    def __init__(self) -> None:
        self.things: list[bool] = []
        self.closed_ms: list[float] = []
        self.learned_ms: list[float] = []
        self.batched_ms: list[float] = []
        self._kept: list[bool] = []
        self._overlaps: dict[str, list[Overlap]] = {"frame": [], "closed": [], "learned": []}

    def add(
        self, pairs: Sequence[tuple[Query, Segment, Candidate]], aligner: Refiner | None
    ) -> None:
        closed_form = ClosedFormAligner()
        placed = []
        for query, segment, candidate in pairs:
            started = time.perf_counter()
            placed.append(closed_form.place(query, segment, candidate))
            self.closed_ms.append(1e3 * (time.perf_counter() - started))
            self.things.append(query.is_thing)
            self._overlaps["frame"].append(_left_in_frame(query, segment))
            self._overlaps["closed"].append(_overlap(query, placed[-1].box, placed[-1].mask))
        if aligner is None:
            return
        queries = [query for query, _, _ in pairs]
        started = time.perf_counter()
        refined = aligner.refine(queries, placed)
        self.batched_ms.append(1e3 * (time.perf_counter() - started) / len(pairs))
        for query, before, after in zip(queries, placed, refined, strict=True):
            started = time.perf_counter()
            aligner.refine([query], [before])
            self.learned_ms.append(1e3 * (time.perf_counter() - started))
            self._overlaps["learned"].append(_overlap(query, after.box, after.mask))
            self._kept.append(after is not before)

    def kinds(self) -> dict[str, KindFigures]:
        everything = range(len(self.things))
        places = {
            "thing": [place for place in everything if self.things[place]],
            "stuff": [place for place in everything if not self.things[place]],
            "all": list(everything),
        }
        return {name: self._figures(chosen) for name, chosen in places.items() if chosen}

    def _figures(self, places: Sequence[int]) -> KindFigures:
        frame, closed, learned = (
            _mean(overlaps[place] for place in places) if overlaps else None
            for overlaps in self._overlaps.values()
        )
        assert frame is not None and closed is not None
        kept = statistics.fmean(self._kept[place] for place in places) if self._kept else None
        return KindFigures(len(places), frame, closed, learned, kept)


def _mean(overlaps: Iterable[Overlap]) -> Overlap:
    listed = list(overlaps)
    return Overlap(
        statistics.fmean(each.iou for each in listed),
        statistics.fmean(each.coverage for each in listed),
    )


def _left_in_frame(query: Query, segment: Segment) -> Overlap:
    size_hw = query.layout.size_hw
    frame = fit_frame(size_hw, segment.source_size_hw)
    return _overlap(query, *warp_mask(segment.mask, segment.crop_box, invert(frame), size_hw))


def _overlap(query: Query, box: Box, mask: NDArray[np.bool_]) -> Overlap:
    """Count on the whole layout: slower than the aligners do, and independent of them."""
    placed = np.zeros(query.layout.size_hw, np.bool_)
    asked = placed.copy()
    placed[box[0] : box[2], box[1] : box[3]] = mask
    top, left, bottom, right = query.region.box
    asked[top:bottom, left:right] = query.region.mask
    shared_px = np.count_nonzero(placed & asked)
    return Overlap(
        float(shared_px / np.count_nonzero(placed | asked)),
        float(shared_px / np.count_nonzero(asked)),
    )


def _number(value: float | None) -> str:
    return f"{'-' if value is None else f'{value:.4f}':>9}"


@dataclass(frozen=True)
class _SomeOf:
    """A reader of some of a dataset's photographs."""

    reader: DatasetReader
    kept: tuple[Entry, ...]

    @property
    def form(self) -> str:
        return self.reader.form

    @property
    def taxonomy(self) -> Taxonomy:
        return self.reader.taxonomy

    def entries(self, split: str | None = None) -> list[Entry]:
        return [entry for entry in self.kept if split in (None, entry.split)]

    def files(self, entry: Entry) -> list[Path]:
        return self.reader.files(entry)

    def read(self, entry: Entry) -> LabelledPhotograph:
        return self.reader.read(entry)
