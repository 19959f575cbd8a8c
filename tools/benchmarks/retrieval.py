"""What a query costs against what it would cost otherwise, on a real bank and on a large one."""

import dataclasses
import hashlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.build import build_bank, write_bank
from scenequilt.memory_bank.cut import Crop, contents_of, join_contents
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.descriptor import describe
from scenequilt.memory_bank.errors import FaissError
from scenequilt.memory_bank.extract import derive_instances, extract_queries, extract_regions
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.manifest import is_bank
from scenequilt.memory_bank.rerank import ScoreWeights, ShapeLimits
from scenequilt.memory_bank.search import Search
from scenequilt.memory_bank.segment import Query, Retrieval
from scenequilt.memory_bank.store import (
    ShardContents,
    SourceRecord,
)
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.tools.benchmarks.machine import describe_machine, own_memory_bytes

K = 10
QUERY_AREA_PX = 50
SEGMENT_AREA_PX = 1
JITTERED_AREA_PX = 10
"""Least areas of segments: all of the real ones; turning a label map leaves some dust."""
REPEATS = 3
"""Each query is timed this many times; the best counts, for other programs share the machine."""

SOURCES_A_SHARD = 128

MOST_LAYOUTS = 12
"""Layouts that queries are taken from: about 16 each, as few as a picture has, or fewer."""

CHUNK_BYTES = 1 << 19
"""Packed masks are compared in pieces that stay in the cache, which is NumPy's best."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Timing:
    """Milliseconds a query, one thread: the best of REPEATS passes, then over the queries."""

    median_ms: float
    mean_ms: float
    p95_ms: float


@dataclass(frozen=True)
class PathFigures:
    """One way to ask the bank.

    Attributes:
        time: Asked one by one, through MemoryBank.retrieve.
        batched_ms: Mean of a query when all are asked in one call.
        recall_at_10: Share of the exact ten that it finds.
        compared: Share of the class whose masks were compared at full resolution, mean.
    """

    time: Timing
    batched_ms: float
    recall_at_10: float
    compared: float


@dataclass(frozen=True)
class BankFigures:
    """Figures of one bank.

    Attributes:
        segments: In the bank.
        sources: Photographs.
        frame_hw: Size at which masks are compared.
        bytes_on_disk: Of the shards and the index.
        open_seconds: Until the first query can be asked, tables left out.
        cold_ms: First query of each class, which gathers its table: median.
        array_bytes_a_segment: Arrays that retrieval holds beside the mapped shards.
        grown_bytes_a_segment: Growth of the process's own memory (file mappings left out) by
            opening the bank and asking every class; None where the system does not tell.
        index_seconds: Of building the index; None where it was there, or without FAISS.
        paths: Figures by way of asking: "exact" or "faiss", with the score: "mask" (the original's,
            in the frame), "mask+context" (Qi et al. 2018, in the frame), "full" (the default: things
            by shape as well).
    """

    segments: int
    sources: int
    frame_hw: tuple[int, int]
    bytes_on_disk: int
    open_seconds: float
    cold_ms: float
    array_bytes_a_segment: float
    grown_bytes_a_segment: float | None
    index_seconds: float | None
    paths: dict[str, PathFigures]


@dataclass(frozen=True)
class Baselines:
    """Other ways to the same ten segments, timed on some of the queries.

    Attributes:
        queries: How many were timed.
        original: Boolean and/or over every full-resolution mask of the class, NumPy.
        packed: The same over packed bits, with the areas known: and, then count.
        ours: Our exact search of the same queries, mask score.
        same_answers: True if all three gave the same ten with the same scores.
        original_over_ours: Ratio of the mean times.
        packed_over_ours: Ratio of the mean times.
        median_original_over_ours: Ratio of the median times.
        median_packed_over_ours: Ratio of the median times.
    """

    queries: int
    original: Timing
    packed: Timing
    ours: Timing
    same_answers: bool
    original_over_ours: float
    packed_over_ours: float
    median_original_over_ours: float
    median_packed_over_ours: float


@dataclass(frozen=True)
class RetrievalBenchmark:
    """Figures of one run.

    Attributes:
        machine: Processor, cores, versions.
        queries: Asked of each bank, spread over the classes.
        layouts: That they were taken from.
        real: Figures of the real bank.
        baselines: On the real bank.
        jittered: Figures of the large bank, or None if it was not asked for.
    """

    machine: dict[str, str]
    queries: int
    layouts: int
    real: BankFigures
    baselines: Baselines
    jittered: BankFigures | None

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return dataclasses.asdict(self)

    def as_text(self) -> str:
        """Return the figures for a person."""
        lines = [
            f"machine   {', '.join(f'{key} {value}' for key, value in self.machine.items())}",
            f"queries   {self.queries} of {self.layouts} layouts, one thread, ms a query",
        ]
        for title, figures in (("real bank", self.real), ("jittered bank", self.jittered)):
            if figures is not None:
                lines += ["", *_bank_lines(title, figures)]
        base = self.baselines
        lines += [
            "",
            (
                f"against NumPy on the real bank, {base.queries} queries, mask score"
                f" ({'same' if base.same_answers else 'OTHER'} answers)"
            ),
            f"  {'':<22}{'median':>10}{'mean':>10}{'median/ours':>13}{'mean/ours':>11}",
            _baseline_line("boolean and/or", base.original, base.ours),
            _baseline_line("packed bits", base.packed, base.ours),
            _baseline_line("ours, exact", base.ours, base.ours),
        ]
        return "\n".join(lines)


def measure_retrieval(
    bank_path: Path,
    layouts: Sequence[Layout],
    work: Path,
    *,
    queries: int = 200,
    segments: int = 1_000_000,
    tell: Tell = lambda text: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> RetrievalBenchmark:
    """Measure retrieval on a bank, and on a large one made by jittering its layouts.

    Args:
        bank_path: The real bank.
        layouts: Where the queries are taken from; of the bank's classes.
        work: Folder for the large bank; one made of the same bank is used again.
        queries: How many to ask, spread evenly over the classes.
        segments: Least size of the large bank; 0 leaves it out.
        tell: Called with what is being done.
        progress: Called with segments made and segments wanted.

    Raises:
        ValueError: If the layouts have no region to ask for.
    """
    chosen = choose_queries(layouts, queries)
    tell(f"asking {bank_path}")
    real = measure_bank(bank_path, chosen, tell)
    with MemoryBank.open(bank_path) as bank:
        tell("asking NumPy")
        baselines = measure_baselines(bank, chosen)
        fingerprint = bank.fingerprint
    jittered = None
    if segments:
        large = work / f"jittered_{segments}_{fingerprint[:16]}"
        if not is_bank(large):
            tell(f"making {large}")
            with MemoryBank.open(bank_path) as bank:
                write_bank(
                    large,
                    bank.taxonomy,
                    bank.frame_hw,
                    jittered_shards(bank, segments, progress=progress),
                )
        tell(f"asking {large}")
        jittered = measure_bank(large, chosen, tell)
    return RetrievalBenchmark(
        describe_machine(("numpy", "numba", "faiss-cpu", "faiss-gpu")),
        len(chosen),
        len({id(query.layout) for query in chosen}),
        real,
        baselines,
        jittered,
    )


def ensure_bank(
    data: Path, work: Path, *, reader: str | None, split: str, tell: Tell = lambda text: None
) -> Path:
    """Return a bank of a dataset's split with small segments too; build what is missing of it.

    Raises:
        BankError: If the bank in its place was made of other photographs, or in another way.
        DatasetError: If the dataset cannot be read.
    """
    path = work / f"{data.resolve().name}_{split}"
    tell(f"{'checking' if is_bank(path) else 'building'} {path}")
    opened = open_dataset(data, reader)
    build_bank(opened, path, split=split, min_area_px=SEGMENT_AREA_PX, resume=True)
    return path


def layouts_of_dataset(
    data: Path, *, reader: str | None, split: str, most: int = MOST_LAYOUTS
) -> list[Layout]:
    """Read layouts of a split, evenly spread over it."""
    opened = open_dataset(data, reader)
    entries = opened.entries(split)
    return [opened.read(entry).layout for entry in entries[:: -(-len(entries) // most)]]


def layouts_of_bank(path: Path, *, most: int = MOST_LAYOUTS) -> list[Layout]:
    """Return layouts of a bank's own photographs: each query then finds itself, at no less cost."""
    with MemoryBank.open(path) as bank:
        sources = bank.sources()
        chosen = sources[:: -(-len(sources) // most)]
        label_maps = [bank.label_map(source.source_id) for source in chosen]
        return [
            Layout(label_map, derive_instances(label_map, bank.taxonomy), bank.taxonomy)
            for label_map in label_maps
        ]


def choose_queries(layouts: Sequence[Layout], count: int) -> list[Query]:
    """Choose regions of the layouts, each class as often as it can be, always the same ones.

    They stand in the order of their layouts, as they do in composing.

    Raises:
        ValueError: If there is none of at least QUERY_AREA_PX pixels.
    """
    by_class: dict[int, list[Query]] = {}
    for layout in layouts:
        for query in extract_queries(layout, min_area_px=QUERY_AREA_PX):
            by_class.setdefault(query.class_id, []).append(query)
    if not by_class:
        raise ValueError(f"no layout has a region of {QUERY_AREA_PX} pixels to ask for")
    rng = np.random.default_rng(0)
    share = -(-count // len(by_class))
    chosen = []
    for class_id in sorted(by_class):
        found = by_class[class_id]
        chosen += [found[n] for n in sorted(rng.permutation(len(found))[:share])]
    place = {id(layout): n for n, layout in enumerate(layouts)}
    return sorted(chosen[:count], key=lambda query: (place[id(query.layout)], query.query_id))


def measure_bank(
    path: Path, queries: Sequence[Query], tell: Tell = lambda text: None
) -> BankFigures:
    """Ask a bank in every way."""
    before = own_memory_bytes()
    begin = time.perf_counter()
    bank = MemoryBank.open(path)
    _ = bank.searcher
    open_seconds = time.perf_counter() - begin
    # Classes that the bank lacks cannot be asked for.
    names = bank.info().classes
    held = [query for query in queries if names.get(bank.taxonomy.classes[query.class_id].name)]
    first = {query.class_id: query for query in reversed(held)}
    bank.retrieve(held[0], K, allow_empty=True)
    cold = [_time_once(bank, query) for query in first.values() if query is not held[0]]
    after = own_memory_bytes()
    array_bytes = bank.searcher.resident_bytes() / len(bank)
    grown = None if before is None or after is None else (after - before) / len(bank)
    index_seconds, has_index = _ensure_index(bank, held[0], tell)
    weights = {
        "mask": (ScoreWeights(1, 0), ShapeLimits(enabled=False)),
        "mask+context": (ScoreWeights(1, 1), ShapeLimits(enabled=False)),
        "full": (ScoreWeights(1, 1), ShapeLimits()),
    }
    paths = {}
    for name, (weight, limits) in weights.items():
        exact = None
        searches: tuple[Search, ...] = ("exact", "faiss") if has_index else ("exact",)
        for search in searches:
            tell(f"  {search} {name}")
            answers, path_figures = _measure_path(bank, held, weight, limits, search, exact)
            exact = exact or answers
            paths[f"{search} {name}"] = path_figures
    figures = BankFigures(
        segments=len(bank),
        sources=len(bank.sources()),
        frame_hw=bank.frame_hw,
        bytes_on_disk=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
        open_seconds=open_seconds,
        cold_ms=1e3 * statistics.median(cold) if cold else 0.0,
        array_bytes_a_segment=array_bytes,
        grown_bytes_a_segment=grown,
        index_seconds=index_seconds,
        paths=paths,
    )
    bank.close()
    return figures


def measure_baselines(bank: MemoryBank, queries: Sequence[Query]) -> Baselines:
    """Time the original's search and packed NumPy beside ours, on two queries of each class."""
    by_class: dict[int, list[Query]] = {}
    for query in queries:
        by_class.setdefault(query.class_id, []).append(query)
    weights, limits = ScoreWeights(1, 0), ShapeLimits(enabled=False)
    original, packed, ours = [], [], []
    same = True
    for class_id, found in by_class.items():
        packs, ids = pack_class(bank, class_id)
        if not len(ids):
            continue
        areas = np.bitwise_count(packs).sum(axis=1, dtype=np.int64)
        for query in found[:2]:
            mask = frame_mask(query, bank.frame_hw)
            seconds, scores = search_boolean(mask, packs, bank.frame_hw)
            original.append(seconds)
            best = min((search_packed(mask, packs, areas) for _ in range(REPEATS)), key=_seconds)
            packed.append(best[0])
            answer = bank.retrieve(query, K, weights=weights, limits=limits, search="exact")
            again = [
                _time_once(bank, query, weights=weights, limits=limits, search="exact")
                for _ in range(REPEATS)
            ]
            ours.append(min(again))
            expected = best_of(scores, ids)
            got = [(found.segment_id, found.score) for found in answer.candidates]
            same &= got == expected and got == best_of(best[1], ids)
    slowest, slow, own = _timing(original), _timing(packed), _timing(ours)
    return Baselines(
        queries=len(ours),
        original=slowest,
        packed=slow,
        ours=own,
        same_answers=same,
        original_over_ours=slowest.mean_ms / own.mean_ms,
        packed_over_ours=slow.mean_ms / own.mean_ms,
        median_original_over_ours=slowest.median_ms / own.median_ms,
        median_packed_over_ours=slow.median_ms / own.median_ms,
    )


def pack_class(bank: MemoryBank, class_id: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return every mask of a class over the whole frame as (N, words) uint64 bits, and its ids."""
    height, width = bank.frame_hw
    words = -(-width // 64)
    masks, ids = [], []
    for segment_id in bank.segment_ids().tolist():
        shard, row = bank.locate(segment_id)
        segment = shard.segments[row]
        if segment["class_id"] != class_id:
            continue
        top, left, bottom, right = (int(edge) for edge in segment["frame_box"])
        first, end = left // 64, (right - 1) // 64 + 1
        offset, count = int(segment["word_offset"]), (bottom - top) * (end - first)
        mask = np.zeros((height, words), np.uint64)
        mask[top:bottom, first:end] = shard.words[offset : offset + count].reshape(bottom - top, -1)
        masks.append(mask.ravel())
        ids.append(segment_id)
    if not masks:
        return np.zeros((0, height * words), np.uint64), np.zeros(0, np.int64)
    return np.stack(masks), np.array(ids, np.int64)


def frame_mask(query: Query, frame_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a query's mask over the whole frame, (H, W) bool."""
    found = describe([query.region], query.layout.size_hw, frame_hw)
    top, left, bottom, right = (int(edge) for edge in found.frame_box[0])
    rows = found.words.reshape(bottom - top, -1).view(np.uint8)
    bits = np.unpackbits(rows, axis=1, bitorder="little")
    mask = np.zeros(frame_hw, np.bool_)
    begin = left - left // 64 * 64
    mask[top:bottom, left:right] = bits[:, begin : begin + right - left]
    return mask


def search_boolean(
    mask: NDArray[np.bool_], packs: NDArray[np.uint64], frame_hw: tuple[int, int]
) -> tuple[float, NDArray[np.float64]]:
    """The original's search stated in NumPy: intersection and union of whole boolean images.

    Masks are unpacked some at a time to bound the memory; unpacking is not counted.

    Returns:
        Seconds, and the IoU with every mask.
    """
    height, width = frame_hw
    scores = np.empty(len(packs), np.float64)
    seconds = 0.0
    for at in range(0, len(packs), 64):
        rows = packs[at : at + 64].view(np.uint8)
        bits = np.unpackbits(rows, axis=1, bitorder="little")
        masks = np.ascontiguousarray(bits.reshape(len(bits), height, -1)[:, :, :width]).view(
            np.bool_
        )
        begin = time.perf_counter()
        shared = np.logical_and(masks, mask).sum(axis=(1, 2))
        union = np.logical_or(masks, mask).sum(axis=(1, 2))
        scores[at : at + 64] = shared / union
        seconds += time.perf_counter() - begin
    begin = time.perf_counter()
    np.argsort(-scores, kind="stable")
    return seconds + time.perf_counter() - begin, scores


def search_packed(
    mask: NDArray[np.bool_], packs: NDArray[np.uint64], areas: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """The best that NumPy does over packed bits: and, count, and the union from known areas.

    Returns:
        Seconds, and the IoU with every mask.
    """
    words = packs.shape[1]
    wide = np.zeros((mask.shape[0], words // mask.shape[0] * 64), np.bool_)
    wide[:, : mask.shape[1]] = mask
    asked = np.packbits(wide, axis=1, bitorder="little").view(np.uint64).ravel()
    rows = max(1, CHUNK_BYTES // (8 * words))
    both = np.empty((rows, words), np.uint64)
    counts = np.empty((rows, words), np.uint8)
    shared = np.empty(len(packs), np.int64)
    begin = time.perf_counter()
    area = int(np.bitwise_count(asked).sum())
    for at in range(0, len(packs), rows):
        chunk = packs[at : at + rows]
        np.bitwise_and(chunk, asked, out=both[: len(chunk)])
        np.bitwise_count(both[: len(chunk)], out=counts[: len(chunk)])
        shared[at : at + len(chunk)] = counts[: len(chunk)].sum(axis=1, dtype=np.int64)
    scores = shared / (areas + area - shared)
    np.argpartition(-scores, min(K, len(scores) - 1))
    return time.perf_counter() - begin, scores


def best_of(scores: NDArray[np.float64], ids: NDArray[np.int64]) -> list[tuple[int, float]]:
    """Return the K best (segment id, score), ties by id."""
    order = np.lexsort((ids, -scores))[:K]
    return list(zip(ids[order].tolist(), scores[order].tolist(), strict=True))


def jittered_shards(
    bank: MemoryBank,
    segments: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[ShardContents]:
    """Yield shards of at least so many segments, cut from jittered layouts of the bank.

    Each layout is scaled, stretched, turned, shifted and mirrored as a whole, so that masks and the
    layouts around them still belong together. Colour is one flat tone: nobody looks at it.
    """
    flats: dict[tuple[int, int], bytes] = {}
    layouts = [(source, bank.label_map(source.source_id)) for source in bank.sources()]
    made = turn = 0
    while made < segments:
        rng = np.random.default_rng([seed, turn])
        parts = []
        for source, label_map in layouts:
            name = f"{source.source_id}~{turn:03d}"
            part = _cut_layout(jitter(label_map, rng), bank.taxonomy, name, source.sequence, flats)
            made += len(part.segments)
            parts.append(part)
            progress(min(made, segments), segments)
            if len(parts) == SOURCES_A_SHARD:
                yield join_contents(bank.frame_hw, parts)
                parts = []
            if made >= segments:
                break
        if parts:
            yield join_contents(bank.frame_hw, parts)
        turn += 1


def jitter(label_map: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the label map scaled, stretched, turned, shifted and maybe mirrored; void around it."""
    height, width = label_map.shape
    scale, stretch = np.exp(rng.uniform(-0.25, 0.25)), np.exp(rng.uniform(-0.08, 0.08))
    angle = rng.uniform(-0.07, 0.07)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([mirror * scale * stretch, scale / stretch])
    center = np.array([width / 2, height / 2])
    shift = rng.uniform(-0.1, 0.1, 2) * (width, height)
    target_from_source = np.column_stack([linear, center + shift - linear @ center])
    warped = cv2.warpAffine(
        label_map, target_from_source, (width, height),
        flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=VOID,
    )  # fmt: skip
    return np.asarray(warped, np.uint8)


def _cut_layout(
    label_map: NDArray[np.uint8],
    taxonomy: Taxonomy,
    name: str,
    sequence: str,
    flats: dict[tuple[int, int], bytes],
) -> ShardContents:
    layout = Layout(label_map, derive_instances(label_map, taxonomy), taxonomy)
    regions = extract_regions(layout, min_area_px=JITTERED_AREA_PX)
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    source = SourceRecord(name, layout.size_hw, "jittered", sequence, "", "", sha256, sha256, "")
    no_color = np.zeros(3, np.float32)
    return contents_of(
        regions,
        label_map,
        source,
        lambda region: Crop(_flat_crop(region.mask.shape, flats), region.box, no_color, no_color),
    )


def _flat_crop(size_hw: tuple[int, ...], flats: dict[tuple[int, int], bytes]) -> bytes:
    height, width = size_hw
    if (height, width) not in flats:
        done, encoded = cv2.imencode(".png", np.full((height, width, 3), 128, np.uint8))
        assert done
        flats[height, width] = bytes(encoded)
    return flats[height, width]


def _measure_path(
    bank: MemoryBank,
    queries: Sequence[Query],
    weights: ScoreWeights,
    limits: ShapeLimits,
    search: Search,
    exact: list[Retrieval] | None,
) -> tuple[list[Retrieval], PathFigures]:
    options: dict[str, Any] = {"weights": weights, "limits": limits, "search": search}
    answers = bank.retrieve_many(queries, K, **options, threads=1)
    batched = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        bank.retrieve_many(queries, K, **options, threads=1)
        batched.append((time.perf_counter() - begin) / len(queries))
    # In whole passes: what one query left in the processor's caches is gone at its next turn.
    passes = [[_time_once(bank, query, **options) for query in queries] for _ in range(REPEATS)]
    seconds = [min(times) for times in zip(*passes, strict=True)]
    recalls = [
        _recall(answer, truth) for answer, truth in zip(answers, exact or answers, strict=True)
    ]
    compared = [answer.compared / answer.in_class for answer in answers]
    return answers, PathFigures(
        _timing(seconds),
        1e3 * min(batched),
        statistics.fmean(recalls),
        statistics.fmean(compared),
    )


def _recall(answer: Retrieval, truth: Retrieval) -> float:
    expected = {found.segment_id for found in truth.candidates}
    return len(expected & {found.segment_id for found in answer.candidates}) / len(expected)


def _ensure_index(bank: MemoryBank, query: Query, tell: Tell) -> tuple[float | None, bool]:
    """Build the index if there is none that fits; without FAISS there is none."""
    from scenequilt.memory_bank.index import check_faiss
    from scenequilt.memory_bank.maintenance import reindex_bank

    try:
        check_faiss()
    except FaissError as error:
        tell(f"  no index: {error}")
        return None, False
    try:
        bank.retrieve(query, K, search="faiss")
    except FaissError:
        tell("  building the index")
        begin = time.perf_counter()
        reindex_bank(bank.path)
        return time.perf_counter() - begin, True
    return None, True


def _time_once(bank: MemoryBank, query: Query, **options: Any) -> float:  # noqa: ANN401
    begin = time.perf_counter()
    bank.retrieve(query, K, **options)
    return time.perf_counter() - begin


def _timing(seconds: Sequence[float]) -> Timing:
    ms = 1e3 * np.array(seconds)
    return Timing(float(np.median(ms)), float(ms.mean()), float(np.quantile(ms, 0.95)))


def _seconds(found: tuple[float, NDArray[np.float64]]) -> float:
    return found[0]


def _bank_lines(title: str, figures: BankFigures) -> list[str]:
    height, width = figures.frame_hw
    grown = figures.grown_bytes_a_segment
    lines = [
        (
            f"{title}: {figures.segments} segments of {figures.sources} photographs, "
            f"{height}x{width}, {figures.bytes_on_disk / 1e6:.0f} MB on disk"
        ),
        f"  memory a segment beside the shards: {figures.array_bytes_a_segment:.0f} bytes of arrays"
        + ("" if grown is None else f", the process grew by {grown:.0f}"),
        f"  opened in {figures.open_seconds:.2f} s; first query of a class {figures.cold_ms:.0f} ms"
        + (
            ""
            if figures.index_seconds is None
            else f"; index built in {figures.index_seconds:.0f} s"
        ),
        (
            f"  {'':<22}{'median':>10}{'mean':>10}{'p95':>10}{'batched':>10}{'recall@10':>11}"
            f"{'compared':>10}"
        ),
    ]
    for name, path in figures.paths.items():
        lines.append(
            f"  {name:<22}{path.time.median_ms:>10.3f}{path.time.mean_ms:>10.3f}"
            f"{path.time.p95_ms:>10.3f}{path.batched_ms:>10.3f}{path.recall_at_10:>11.4f}"
            f"{100 * path.compared:>8.2f} %"
        )
    return lines


def _baseline_line(name: str, found: Timing, ours: Timing) -> str:
    return (
        f"  {name:<22}{found.median_ms:>10.3f}{found.mean_ms:>10.3f}"
        f"{found.median_ms / ours.median_ms:>13.0f}{found.mean_ms / ours.mean_ms:>11.0f}"
    )
