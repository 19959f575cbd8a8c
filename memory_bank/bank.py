"""The memory bank as its users see it: segments by number, sources by name, and what fits a query."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.manifest import (
    MANIFEST_NAME,
    LicenceCount,
    Manifest,
    Skipped,
    check_finished,
    open_shards,
    read_manifest,
)
from scenequilt.memory_bank.segment import Query, Retrieval, Segment
from scenequilt.memory_bank.store import Shard, SourceRecord, box_of, is_segment_number
from scenequilt.memory_bank.taxonomy import Taxonomy

if TYPE_CHECKING:
    # Imported when they are needed: they bring the compiler of the search along.
    from scenequilt.memory_bank.rerank import ScoreWeights, ShapeLimits
    from scenequilt.memory_bank.search import Search, Searcher
    from scenequilt.memory_bank.where import Where

INDEX_FOLDER = "index"

CACHE_BYTES = 256 << 20
"""Decoded segments that a bank keeps at hand, in bytes, unless another limit is asked for."""

KEPT_LABEL_MAPS = 128
"""Decoded layouts of photographs that a bank keeps at hand."""


@dataclass(frozen=True)
class BankInfo:
    """What is in a bank. Removed segments and photographs count in removed_* only.

    Attributes:
        path: Its folder.
        finished: False if its build or merge was interrupted.
        segments: Segments.
        sources: Photographs.
        size_bytes: Of manifest, shards and index on disk.
        shards: Shard files.
        classes: Segments by class name, in the taxonomy's order, absent classes included.
        licences: Photographs and segments by licence; "" where it is not known.
        splits: Photographs by split.
        sequences: Photographs by sequence.
        removed_segments: Segments taken out but still on disk; compact reclaims them.
        removed_sources: Photographs likewise.
        skipped: Photographs that could not be used.
        manifest: The manifest itself.
    """

    path: Path
    finished: bool
    segments: int
    sources: int
    size_bytes: int
    shards: int
    classes: dict[str, int]
    licences: dict[str, LicenceCount]
    splits: dict[str, int]
    sequences: dict[str, int]
    removed_segments: int
    removed_sources: int
    skipped: tuple[Skipped, ...]
    manifest: Manifest


def describe_bank(path: Path) -> BankInfo:
    """Count what is in a bank, whether its build is finished or not.

    Raises:
        BankFormatError: If there is no bank.
        BankCorruptError: If a file is missing or damaged.
    """
    manifest = read_manifest(path)
    by_class = np.zeros(256, np.int64)
    sources: Counter[str] = Counter()
    segments: Counter[str] = Counter()
    splits: Counter[str] = Counter()
    sequences: Counter[str] = Counter()
    seen: set[str] = set()
    removed_segments = removed_sources = 0
    for record, shard in zip(manifest.shards, open_shards(path, manifest), strict=True):
        live = record.live_rows(shard)
        rows = shard.segments[live]
        by_class += np.bincount(rows["class_id"], minlength=256)
        by_source = np.bincount(rows["source_row"], minlength=record.sources).tolist()
        removed_segments += len(live) - len(rows)
        live_sources = record.live_sources(shard).tolist()
        for source, is_live, count in zip(shard.sources, live_sources, by_source, strict=True):
            if not is_live:
                removed_sources += 1
                continue
            segments[source.licence] += count
            if source.image_sha256 not in seen:
                seen.add(source.image_sha256)
                sources[source.licence] += 1
                splits[source.split] += 1
                sequences[source.sequence] += 1
    files = [path / MANIFEST_NAME, *(path / "shards" / record.name for record in manifest.shards)]
    files += [file for file in (path / INDEX_FOLDER).rglob("*") if file.is_file()]
    return BankInfo(
        path=path,
        finished=manifest.pending is None,
        segments=int(by_class.sum()),
        sources=len(seen),
        size_bytes=sum(file.stat().st_size for file in files),
        shards=len(manifest.shards),
        classes={
            entry.name: int(by_class[class_id])
            for class_id, entry in enumerate(manifest.taxonomy.classes)
        },
        licences={name: LicenceCount(sources[name], segments[name]) for name in sorted(segments)},
        splits=dict(sorted(splits.items())),
        sequences=dict(sorted(sequences.items())),
        removed_segments=removed_segments,
        removed_sources=removed_sources,
        skipped=manifest.skipped,
        manifest=manifest,
    )


class MemoryBank:
    """All segments of a bank, with what finds them.

    Opening is cheap: shards are mapped, the search structures are made at the first retrieval. A
    bank sees what was there when it was opened; it may be shared by threads, and is opened anew
    where it is unpickled. After close() only what its manifest says can be asked, and everything
    else is a ValueError.

    Args:
        path: Folder of the bank.
        threads: That a retrieval may use.
        cache_bytes: Decoded segments to keep at hand, in bytes.

    Raises:
        BankFormatError: If there is no bank, or one of another format.
        BankCorruptError: If a file is missing or damaged.
        BankError: If its build or merge is not finished.
        ValueError: If threads is less than 1.
    """

    def __init__(self, path: Path, *, threads: int = 1, cache_bytes: int = CACHE_BYTES) -> None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.path = Path(path)
        self._threads = threads
        self._cache_bytes = cache_bytes
        self.manifest = read_manifest(self.path)
        check_finished(self.path, self.manifest)
        self._shards: list[Shard] = open_shards(self.path, self.manifest)
        self._live = [
            record.live_rows(shard)
            for record, shard in zip(self.manifest.shards, self._shards, strict=True)
        ]
        self._count = int(sum(np.count_nonzero(live) for live in self._live))
        self._lock = threading.RLock()
        self._cache: OrderedDict[int, Segment] = OrderedDict()
        self._cached_bytes = 0
        self._label_maps: OrderedDict[str, NDArray[np.uint8]] = OrderedDict()
        self._numbers: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._places: dict[str, tuple[int, int]] | None = None
        self._searcher: Searcher | None = None
        self._closed = False

    @classmethod
    def open(cls, path: Path | str, threads: int = 1) -> Self:
        """Open the bank in a folder; see the class for what can go wrong."""
        return cls(Path(path), threads=threads)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        self._check_open()
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        return {
            "path": self.path, "threads": self._threads, "cache_bytes": self._cache_bytes
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(  # type: ignore[misc]
            state["path"], threads=state["threads"], cache_bytes=state["cache_bytes"]
        )

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self.manifest.taxonomy

    @property
    def frame_hw(self) -> tuple[int, int]:
        """Size at which masks and layouts are compared, (height, width)."""
        return self.manifest.frame_hw

    @property
    def fingerprint(self) -> str:
        """Hash of the content in hex: the same for the same segments, however they came here."""
        return self.manifest.fingerprint

    def close(self) -> None:
        """Let go of everything that was read; closing again does nothing."""
        with self._lock:
            self._closed = True
            self._cache.clear()
            self._label_maps.clear()
            self._cached_bytes = 0
            self._searcher = None
            self._numbers = self._places = None
            self._shards, self._live = [], []

    def info(self) -> BankInfo:
        """Count what is in the bank's folder now."""
        self._check_open()
        return describe_bank(self.path)

    def segment(self, segment_id: int) -> Segment:
        """Return a segment, decoded and checked. Its arrays are shared and cannot be written to.

        Raises:
            KeyError: If the bank holds no such segment.
            BankCorruptError: If its bytes are not what was written.
            ValueError: If the bank was closed.
        """
        with self._lock:
            self._check_open()
            if segment_id in self._cache:
                self._cache.move_to_end(segment_id)
                return self._cache[segment_id]
        shard, row = self.locate(segment_id)
        table = shard.row(row)
        source = shard.sources[table["source_row"]]
        color, mask = shard.color(row), shard.mask(row)
        color.flags.writeable = False
        mask.flags.writeable = False
        segment = Segment(
            segment_id=int(table["segment_id"]),
            class_id=int(table["class_id"]),
            source_id=source.source_id,
            box=box_of(table["box"]),
            crop_box=box_of(table["crop_box"]),
            color=color,
            mask=mask,
            source_size_hw=source.size_hw,
            cut_by_frame=bool(table["cut_by_frame"]),
        )
        with self._lock:
            if segment_id not in self._cache:
                self._cache[segment_id] = segment
                self._cached_bytes += color.nbytes + mask.nbytes
            while self._cached_bytes > self._cache_bytes and self._cache:
                _, oldest = self._cache.popitem(last=False)
                self._cached_bytes -= oldest.color.nbytes + oldest.mask.nbytes
        return segment

    def row(self, segment_id: int) -> np.void:
        """Return a segment's row (store.SEGMENT_DTYPE): boxes, area, colour statistics.

        Raises:
            KeyError: If the bank holds no such segment.
        """
        shard, row = self.locate(segment_id)
        return shard.row(row)

    def locate(self, segment_id: int) -> tuple[Shard, int]:
        """Return the shard of a segment and its row there.

        Raises:
            KeyError: If the bank holds no such segment.
            BankCorruptError: If a row of the bank is not what was written.
        """
        numbers, places = self._sorted_numbers()
        at = len(numbers)
        if is_segment_number(segment_id):
            at = int(np.searchsorted(numbers, segment_id))
        if at == len(numbers) or numbers[at] != segment_id:
            raise KeyError(f"{self.path} holds no segment {segment_id}")
        place = int(places[at])
        return self._shards[place >> 32], place & 0xFFFFFFFF

    def segment_ids(self) -> NDArray[np.int64]:
        """Return the numbers of all segments, (N,) int64 ascending."""
        return self._sorted_numbers()[0].copy()

    def sources(self) -> list[SourceRecord]:
        """Return the photographs by name, those without a segment included."""
        places = self._source_places()
        return [self._shards[shard].sources[row] for _, (shard, row) in sorted(places.items())]

    def rows(self) -> Iterator[tuple[SourceRecord, NDArray[Any]]]:
        """Yield the photographs shard by shard, each with the rows of its segments.

        Raises:
            BankCorruptError: If a row of the bank is not what was written.
        """
        self._check_arrays()
        for number, (shard, live) in enumerate(zip(self._shards, self._live, strict=True)):
            live_sources = self.manifest.shards[number].live_sources(shard).tolist()
            source_rows = shard.segments["source_row"]
            for row, source in enumerate(shard.sources):
                if live_sources[row]:
                    yield source, shard.segments[live & (source_rows == row)]

    def segments_by_source(self) -> Counter[str]:
        """Return how many segments each photograph has, by its name."""
        counts: Counter[str] = Counter()
        for source, segments in self.rows():
            counts[source.source_id] += len(segments)
        return counts

    def source(self, source_id: str) -> SourceRecord:
        """Return what is known of a photograph.

        Raises:
            KeyError: If the bank holds no such photograph.
        """
        shard, row = self._source_place(source_id)
        return shard.sources[row]

    def label_map(self, source_id: str) -> NDArray[np.uint8]:
        """Return the layout of a photograph at frame size, (frame_h, frame_w) class ids.

        The array is shared and cannot be written to.

        Raises:
            KeyError: If the bank holds no such photograph.
            BankCorruptError: If the layout is not what was written.
        """
        with self._lock:
            self._check_open()
            if source_id in self._label_maps:
                self._label_maps.move_to_end(source_id)
                return self._label_maps[source_id]
        shard, row = self._source_place(source_id)
        label_map = shard.label_map(row)
        label_map.flags.writeable = False
        with self._lock:
            self._label_maps[source_id] = label_map
            while len(self._label_maps) > KEPT_LABEL_MAPS:
                self._label_maps.popitem(last=False)
        return label_map

    def retrieve(
        self,
        query: Query,
        k: int = 10,
        *,
        where: "Where | None" = None,
        weights: "ScoreWeights | None" = None,
        limits: "ShapeLimits | None" = None,
        search: "Search" = "auto",
        exclude_sources: Collection[str] = (),
        allow_empty: bool = False,
    ) -> Retrieval:
        """Find the k segments of the query's class that fit it best; see search.Searcher."""
        return self.searcher.retrieve(
            query,
            k,
            where=where,
            weights=weights,
            limits=limits,
            search=search,
            exclude_sources=exclude_sources,
            allow_empty=allow_empty,
        )

    def retrieve_many(
        self,
        queries: Sequence[Query],
        k: int = 10,
        *,
        where: "Where | None" = None,
        weights: "ScoreWeights | None" = None,
        limits: "ShapeLimits | None" = None,
        search: "Search" = "auto",
        exclude_sources: Collection[str] = (),
        allow_empty: bool = False,
        threads: int | None = None,
    ) -> list[Retrieval]:
        """Find the k segments that fit each query best; see search.Searcher."""
        return self.searcher.retrieve_many(
            queries,
            k,
            where=where,
            weights=weights,
            limits=limits,
            search=search,
            exclude_sources=exclude_sources,
            allow_empty=allow_empty,
            threads=threads,
        )

    @property
    def searcher(self) -> "Searcher":
        """What retrieve asks; made when it is first asked for.

        Raises:
            BankCorruptError: If something that it would compare is not what was written.
        """
        from scenequilt.memory_bank.search import Searcher

        with self._lock:
            self._check_open()
            if self._searcher is None:
                self._check_arrays()
                self._searcher = Searcher(
                    self._shards,
                    self._live,
                    self.taxonomy,
                    self.frame_hw,
                    index_dir=self.path / INDEX_FOLDER,
                    fingerprint=self.fingerprint,
                    threads=self._threads,
                )
            return self._searcher

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError(f"the bank {self.path} was closed; open it again: MemoryBank.open()")

    def _check_arrays(self) -> None:
        """Refuse a damaged bank before its rows are relied on: the first time only."""
        with self._lock:
            self._check_open()
            for shard in self._shards:
                shard.check_arrays()

    def _source_place(self, source_id: str) -> tuple[Shard, int]:
        places = self._source_places()
        if source_id not in places:
            raise KeyError(f"{self.path} holds no photograph {source_id!r}")
        shard, row = places[source_id]
        return self._shards[shard], row

    def _source_places(self) -> dict[str, tuple[int, int]]:
        with self._lock:
            self._check_open()
            if self._places is None:
                self._places = {}
                for number, shard in enumerate(self._shards):
                    live = self.manifest.shards[number].live_sources(shard).tolist()
                    for row, source in enumerate(shard.sources):
                        if live[row]:
                            self._places.setdefault(source.source_id, (number, row))
            return self._places

    def _sorted_numbers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return all segment numbers, ascending, and (shard << 32 | row) of each."""
        with self._lock:
            self._check_open()
            if self._numbers is None:
                self._check_arrays()
                numbers = [np.zeros(0, np.int64)]
                places = [np.zeros(0, np.int64)]
                for shard_number, (shard, live) in enumerate(
                    zip(self._shards, self._live, strict=True)
                ):
                    rows = np.flatnonzero(live)
                    numbers.append(shard.segments["segment_id"][rows])
                    places.append(rows + (shard_number << 32))
                all_numbers = np.concatenate(numbers)
                order = np.argsort(all_numbers, kind="stable")
                self._numbers = all_numbers[order], np.concatenate(places)[order]
            return self._numbers
