"""Retrieval from open shards: filters first, then exact or proposed search, then exact scores."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.descriptor import (
    Descriptions,
    Runs,
    cell_counts,
    cell_edges,
    coarse_step_px,
    describe,
    encode_runs,
    largest_cell_px,
    resample_labels,
)
from scenequilt.memory_bank.errors import EmptyClassError, FaissError
from scenequilt.memory_bank.index import (
    Device,
    Index,
    IndexReport,
    IndexSettings,
    build_index,
    describe_query,
    load_index,
    order_digest,
    rebuild_remedy,
)
from scenequilt.memory_bank.kernels import (
    CELL_STEPS,
    CELLS,
    QueryTable,
    Table,
    Terms,
    count_shapes,
    draw_planes,
    encode_contexts,
    score_rows,
    search_rows,
)
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.rerank import ScoreWeights, ShapeLimits
from scenequilt.memory_bank.segment import Box, Candidate, Query, Retrieval
from scenequilt.memory_bank.table import BankRows, ShardArrays, address_of, build_table, list_rows
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.memory_bank.where import SourceNames, Where

_LOG = logging.getLogger(__name__)

Search = Literal["exact", "faiss", "auto"]
SEARCHES: tuple[Search, ...] = ("exact", "faiss", "auto")

AUTO_EXACT_ROWS = 2_000_000
"""Segments of a class up to which "auto" compares with all of them."""

KEPT_FILTERS = 4
"""Filters whose rows are remembered: a layout's queries mostly share one."""

KEPT_LAYOUTS = 4
"""Layouts whose encoded context is remembered, below a megabyte each."""


class SearchShard(ShardArrays, Protocol):
    """What the searcher reads of a shard; store.Shard has it."""

    @property
    def sources(self) -> Sequence[SourceNames]: ...


@dataclass(frozen=True, eq=False)
class EncodedQuery:
    """A query at the bank's frame size, ready to be compared.

    Attributes:
        class_id: Class id.
        is_thing: True if the class is countable.
        table: Arrays that the kernels read.
        area: Pixels of its mask, context_area: non-void pixels in its enlarged box.
        shape_area: Points of its shape.
        runs: Its layout.
    """

    class_id: int
    is_thing: bool
    table: QueryTable
    runs: Runs
    area: int
    context_area: int
    shape_area: int


@dataclass(frozen=True, eq=False)
class _Context:
    """A layout in the bank's frame; it is held so that its id stays its own."""

    layout: Layout
    runs: Runs
    planes: NDArray[np.uint64]
    plane_of_label: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Filter:
    """Rows of one class that pass a filter; allowed is empty where every row does."""

    allowed: NDArray[np.uint8]
    passed: int
    removed: dict[str, int]


class Searcher:
    """Finds the segments of a bank that fit a query.

    Arrays of a class are gathered when it is first asked for: about 200 bytes a segment. Masks,
    shapes and layouts are read from the mapped shards. Any number of threads may call it.

    Args:
        shards: The open shards; they must stay open.
        live: For each shard (rows,) bool, False where a segment has been removed.
        taxonomy: The bank's classes; a query's layout must have the same ones.
        frame_hw: Size at which masks and layouts are compared.
        index_dir: Folder of the FAISS index, or None if there is none.
        fingerprint: The bank's fingerprint; an index of another one is not used.
        threads: Threads that retrieve_many uses unless told otherwise.
        device: Where FAISS searches, "cpu" or "gpu".

    Raises:
        ValueError: If live does not fit the shards, or threads is below 1.
        BankCorruptError: If a shard contradicts itself.
    """

    def __init__(
        self,
        shards: Sequence[SearchShard],
        live: Sequence[NDArray[np.bool_]],
        taxonomy: Taxonomy,
        frame_hw: tuple[int, int],
        *,
        index_dir: Path | None = None,
        fingerprint: str = "",
        threads: int = 1,
        device: Device = "cpu",
    ) -> None:
        _check_threads(threads)
        self._index_dir = index_dir
        self._fingerprint = fingerprint
        self._device: Device = device
        self._index: Index | None = None
        self._index_orders: dict[int, str] = {}
        self._index_checked: set[int] = set()
        self._index_failed = False
        self.taxonomy = taxonomy
        self.frame_hw = frame_hw
        self.threads = threads
        self._shards = tuple(shards)
        self._rows: BankRows = list_rows(shards, live, frame_hw, len(taxonomy))
        self._class_names = tuple(entry.name for entry in taxonomy.classes)
        self._in_class = np.bincount(self._rows.class_of_row, minlength=256)
        self._tables: dict[int, Table] = {}
        self._filters: OrderedDict[tuple[Where, tuple[str, ...], int], _Filter] = OrderedDict()
        self._contexts: OrderedDict[int, _Context] = OrderedDict()
        self._names: list[str] | None = None
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return int(self._in_class[:255].sum())

    def retrieve(
        self,
        query: Query,
        k: int = 10,
        *,
        where: Where | None = None,
        weights: ScoreWeights | None = None,
        limits: ShapeLimits | None = None,
        search: Search = "auto",
        exclude_sources: Collection[str] = (),
        allow_empty: bool = False,
    ) -> Retrieval:
        """Find the k segments of the query's class that fit it best; see retrieve_many."""
        return self.retrieve_many(
            [query],
            k,
            where=where,
            weights=weights,
            limits=limits,
            search=search,
            exclude_sources=exclude_sources,
            allow_empty=allow_empty,
            threads=1,
        )[0]

    def retrieve_many(
        self,
        queries: Sequence[Query],
        k: int = 10,
        *,
        where: Where | None = None,
        weights: ScoreWeights | None = None,
        limits: ShapeLimits | None = None,
        search: Search = "auto",
        exclude_sources: Collection[str] = (),
        allow_empty: bool = False,
        threads: int | None = None,
    ) -> list[Retrieval]:
        """Find the k segments that fit each query best, among those of its class.

        The score is that of Qi et al. 2018: overlap of the masks plus agreement of the layouts
        around both, each an intersection over union in [0, 1] at the bank's frame size. A thing may
        also be compared by its shape alone, within limits. Equal scores are ranked by segment id.

        Args:
            queries: The queries, of one or several layouts.
            k: Candidates a query, at least 1.
            where: Filters, applied before ranking; None lets every segment pass.
            weights: Weights of mask and context; None means 1 and 1.
            limits: How far a thing may be moved; None means the defaults.
            search: "exact" compares with the whole class. "faiss" compares with what the index
                proposes, or with the whole class where few segments pass the filters or the index
                proposes fewer than k. "auto" is exact, which is quick enough, up to two million
                segments a class, and "faiss" above; if the index cannot be used, it is exact too,
                and a warning is logged once. Retrieval.search says which one answered.
            exclude_sources: Ids of photographs that may not answer, e.g. the query's own.
            allow_empty: True returns no candidates where the filters leave none.
            threads: Threads to use; None means what the searcher was made with.

        Raises:
            ValueError: If an argument is out of range, or a layout has other classes.
            EmptyClassError: If no segment is left for a query, naming its class and the filter.
            FaissError: If search is "faiss" and FAISS or the index cannot be used.
        """
        where = where or Where()
        weights = weights or ScoreWeights()
        limits = limits or ShapeLimits()
        threads = self.threads if threads is None else threads
        _check_threads(threads)
        if k < 1:
            raise ValueError(f"k is {k}, expected at least 1")
        if search not in SEARCHES:
            raise ValueError(f"search is {search!r}, expected one of {', '.join(SEARCHES)}")
        encoded = self._encode(queries)
        excluded = tuple(sorted(set(exclude_sources)))

        def answer(query: EncodedQuery) -> Retrieval:
            return self._answer(query, k, where, weights, limits, search, excluded, allow_empty)

        if threads == 1 or len(encoded) < 2:
            return [answer(query) for query in encoded]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(answer, encoded))

    def resident_bytes(self) -> int:
        """Return the bytes that this searcher's arrays hold beside the mapped shards."""
        with self._lock:
            tables = sum(array.nbytes for table in self._tables.values() for array in table)
            filters = sum(entry.allowed.nbytes for entry in self._filters.values())
            sources = sum(array.nbytes for array in self._rows.sources)
            return int(tables + filters + sources + self._rows.class_of_row.nbytes)

    def _answer(
        self,
        query: EncodedQuery,
        k: int,
        where: Where,
        weights: ScoreWeights,
        limits: ShapeLimits,
        search: Search,
        excluded: tuple[str, ...],
        allow_empty: bool,
    ) -> Retrieval:
        in_class = int(self._in_class[query.class_id])
        if in_class == 0:
            if allow_empty:
                return Retrieval((), 0)
            name = self._class_names[query.class_id]
            raise EmptyClassError(
                f"the bank has no segment of class {name!r}; add photographs that show one"
            )
        table = self.table(query.class_id)
        passing = self._filter(where, excluded, query.class_id, table)
        if passing.passed == 0:
            if allow_empty:
                return Retrieval((), in_class, dict(passing.removed))
            raise EmptyClassError(self._empty_message(query.class_id, in_class, passing.removed))
        count = min(k, passing.passed)
        scores = np.empty(count, np.float64)
        places = np.empty(count, np.int64)
        parts = np.empty((count, 3), np.float64)
        terms = self._terms(query, weights, limits)
        before = (table, self._rows.sources, query.table, terms)
        after = (scores, places, parts)
        proposed = self._propose(query, k, weights, search, table, terms, passing)
        if proposed is None:
            found, compared = search_rows(*before, passing.allowed, *after)
        else:
            found, compared = score_rows(*before, proposed, *after)
        candidates = self._candidates(table, places[:found], scores[:found], parts[:found])
        return Retrieval(
            candidates,
            in_class,
            dict(passing.removed),
            int(compared),
            "exact" if proposed is None else "faiss",
        )

    def _candidates(
        self,
        table: Table,
        places: NDArray[np.int64],
        scores: NDArray[np.float64],
        parts: NDArray[np.float64],
    ) -> tuple[Candidate, ...]:
        names = self._source_ids()
        rows = zip(
            table.segment_id[places].tolist(),
            table.source[places].tolist(),
            scores.tolist(),
            parts.tolist(),
            strict=True,
        )
        return tuple(
            Candidate(
                segment_id,
                names[source],
                rank,
                score,
                mask_iou,
                context_iou,
                shape_iou,
                "shape" if shape_iou > mask_iou else "frame",
            )
            for rank, (segment_id, source, score, (mask_iou, context_iou, shape_iou)) in enumerate(
                rows
            )
        )

    def _source_ids(self) -> list[str]:
        with self._lock:
            if self._names is None:
                self._names = [
                    source.source_id for shard in self._shards for source in shard.sources
                ]
            return self._names

    def table(self, class_id: int) -> Table:
        """Return the arrays of a class, gathered from the shards when first asked for."""
        with self._lock:
            found = self._tables.get(class_id)
            if found is None:
                is_thing = self.taxonomy.classes[class_id].kind == "thing"
                found = build_table(self._rows, class_id, is_thing)
                self._tables[class_id] = found
            return found

    def _propose(
        self,
        query: EncodedQuery,
        k: int,
        weights: ScoreWeights,
        search: Search,
        table: Table,
        terms: Terms,
        passing: _Filter,
    ) -> NDArray[np.int64] | None:
        """Return the rows that the index proposes, or None where the whole class is compared."""
        if search == "exact" or (search == "auto" and len(table.area) <= AUTO_EXACT_ROWS):
            return None
        index = self._index_for(query.class_id, table, search)
        if index is None:
            return None
        count = max(index.settings.proposals, 4 * k)
        if passing.passed <= count:
            return None
        proposed = []
        for kind in ("frame", "shape") if terms.compare_shape else ("frame",):
            descriptor = describe_query(
                query.table, query.runs, weights, self.frame_hw, len(self.taxonomy), kind
            )
            found = index.classes[query.class_id, kind]
            proposed.append(found.propose(descriptor, count, passing.allowed))
        rows = np.unique(np.concatenate(proposed))
        rows = rows[rows >= 0]
        if len(passing.allowed):
            # A GPU proposes without looking at the filter.
            rows = rows[passing.allowed[rows] != 0]
        return rows if len(rows) >= k else None

    def _index_for(self, class_id: int, table: Table, search: Search) -> Index | None:
        """Return the index; None where "auto" has to do without, which is logged once."""
        if search == "faiss":
            return self._opened_index(class_id, table)
        with self._lock:
            if self._index_failed:
                return None
            try:
                return self._opened_index(class_id, table)
            except FaissError as error:
                self._index_failed = True
                _LOG.warning("every segment of a class is compared: %s", error)
                return None

    def _opened_index(self, class_id: int, table: Table) -> Index:
        with self._lock:
            if self._index is None:
                self._index, self._index_orders = load_index(
                    self._index_dir, self._fingerprint, device=self._device
                )
            if class_id not in self._index_checked:
                if self._index_orders.get(class_id) != order_digest(table):
                    name = self._class_names[class_id]
                    raise FaissError(
                        f"the index in {self._index_dir} is stale: its segments of class {name!r} "
                        f"are not the bank's; {rebuild_remedy(self._index_dir)}"
                    )
                self._index_checked.add(class_id)
            return self._index

    def build_index(
        self,
        *,
        settings: IndexSettings | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> IndexReport:
        """Build the FAISS index of this bank, in place of what is in its folder.

        Args:
            settings: How to build it; None means the defaults.
            progress: Called with the segments done so far.

        Raises:
            FaissError: If FAISS cannot be used.
            ValueError: If the searcher was made without a folder for the index.
        """
        if self._index_dir is None:
            raise ValueError("index_dir is None; name the folder that the index is written to")
        report = build_index(
            self.table,
            np.flatnonzero(self._in_class[:VOID]).tolist(),
            self._rows.sources,
            self.frame_hw,
            len(self.taxonomy),
            self._index_dir,
            self._fingerprint,
            settings=settings,
            progress=progress,
        )
        with self._lock:
            self._index = None
            self._index_checked.clear()
            self._index_failed = False
        return report

    def _terms(self, query: EncodedQuery, weights: ScoreWeights, limits: ShapeLimits) -> Terms:
        return Terms(
            float(weights.mask),
            float(weights.context),
            query.area,
            query.context_area,
            query.shape_area,
            query.is_thing and limits.enabled,
            float(limits.max_scale),
            float(limits.max_stretch),
            self.frame_hw[0],
            self.frame_hw[1],
            largest_cell_px(self.frame_hw),
            coarse_step_px(self.frame_hw),
        )

    def _encode(self, queries: Sequence[Query]) -> list[EncodedQuery]:
        """Bring queries to the frame; those of one layout are described in one go."""
        places: dict[int, list[int]] = {}
        for place, query in enumerate(queries):
            places.setdefault(id(query.layout), []).append(place)
        encoded: dict[int, EncodedQuery] = {}
        for group in places.values():
            layout = queries[group[0]].layout
            context = self._context(layout)
            regions = [queries[place].region for place in group]
            found = describe(regions, layout.size_hw, self.frame_hw)
            for place, entry in zip(
                group,
                self._encoded([queries[place] for place in group], found, context),
                strict=True,
            ):
                encoded[place] = entry
        return [encoded[place] for place in range(len(queries))]

    def _context(self, layout: Layout) -> _Context:
        with self._lock:
            context = self._contexts.get(id(layout))
            if context is None:
                names = tuple(entry.name for entry in layout.taxonomy.classes)
                if names != self._class_names:
                    raise ValueError(
                        f"the layout's classes are {', '.join(names)}, but the bank's are "
                        f"{', '.join(self._class_names)}; use a layout of the bank's classes"
                    )
                labels = resample_labels(layout.label_map, self.frame_hw)
                shown = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[:VOID])
                plane_of_label = np.full(256, len(shown), np.uint8)
                plane_of_label[shown] = np.arange(len(shown))
                height, width = self.frame_hw
                planes = np.zeros((height, len(shown) + 1, -(-width // 64)), np.uint64)
                runs = encode_runs(labels)
                draw_planes(runs.row_offset, runs.end, runs.label, plane_of_label, planes)
                context = _Context(layout, runs, planes, plane_of_label)
                self._contexts[id(layout)] = context
                while len(self._contexts) > KEPT_LAYOUTS:
                    self._contexts.popitem(last=False)
            return context

    def _encoded(
        self, queries: Sequence[Query], found: Descriptions, context: _Context
    ) -> Iterator[EncodedQuery]:
        count = len(queries)
        boxes = found.frame_box.astype(np.int64)
        counts = cell_counts(found, self.frame_hw)
        edges = cell_edges(self.frame_hw)
        cell_range = np.empty((count, 4), np.int64)
        context_counts = np.zeros((count, CELLS, len(self.taxonomy)), np.int32)
        context_box = np.empty((count, 4), np.int64)
        context_range = np.empty((count, 4), np.int64)
        context_area = np.empty(count, np.int64)
        runs = context.runs
        encode_contexts(
            boxes,
            address_of(runs.row_offset),
            address_of(runs.end),
            address_of(runs.label),
            *edges,
            context_counts,
            cell_range,
            context_box,
            context_range,
            context_area,
        )
        shape_area = np.bitwise_count(found.shape).sum(axis=1)
        shape_cells = count_shapes(found.shape)
        counts *= CELL_STEPS
        query_boxes, context_boxes = _boxes(boxes), _boxes(context_box)
        cell_ranges, context_ranges = _boxes(cell_range), _boxes(context_range)
        for n, query in enumerate(queries):
            words = found.words[found.word_offset[n] : found.word_offset[n + 1]]
            table = QueryTable(
                query_boxes[n],
                context_boxes[n],
                words,
                counts[n],
                cell_ranges[n],
                found.shape[n],
                shape_cells[n],
                context_ranges[n],
                context_counts[n],
                *edges,
                context.planes,
                context.plane_of_label,
            )
            yield EncodedQuery(
                query.class_id,
                query.is_thing,
                table,
                runs,
                int(found.frame_area[n]),
                int(context_area[n]),
                int(shape_area[n]),
            )

    def _filter(
        self, where: Where, excluded: tuple[str, ...], class_id: int, table: Table
    ) -> _Filter:
        key = (where, excluded, class_id)
        with self._lock:
            found = self._filters.get(key)
            if found is None:
                found = self._apply(where, excluded, table)
                self._filters[key] = found
                while len(self._filters) > KEPT_FILTERS * len(self.taxonomy):
                    self._filters.popitem(last=False)
            self._filters.move_to_end(key)
            return found

    def _apply(self, where: Where, excluded: tuple[str, ...], table: Table) -> _Filter:
        if where.is_empty and not excluded:
            return _Filter(np.empty(0, np.uint8), len(table.area), {})
        allowed = np.ones(len(table.area), np.bool_)
        removed: dict[str, int] = {}

        def keep(name: str, passing: NDArray[np.bool_]) -> None:
            removed[name] = int(np.count_nonzero(allowed & ~passing))
            np.logical_and(allowed, passing, out=allowed)

        for source_filter in where.source_filters():
            passing = self._passing_sources(source_filter.passes)
            keep(source_filter.expression, passing[table.source])
        rows = table.row.astype(np.int64)
        order = np.argsort(rows)
        for segment_filter in where.segment_filters():
            values = self._rows.gather(rows[order], segment_filter.field)
            passing = np.empty(len(rows), np.bool_)
            passing[order] = segment_filter.passes(values)
            keep(segment_filter.expression, passing)
        if excluded:
            names = set(excluded)
            passing = self._passing_sources(lambda source: source.source_id not in names)
            keep("exclude_sources", passing[table.source])
        return _Filter(allowed.view(np.uint8), int(np.count_nonzero(allowed)), removed)

    def _passing_sources(self, passes: Callable[[SourceNames], bool]) -> NDArray[np.bool_]:
        return np.array(
            [passes(source) for shard in self._shards for source in shard.sources], np.bool_
        )

    def _empty_message(self, class_id: int, in_class: int, removed: dict[str, int]) -> str:
        left = in_class
        story = []
        for name, count in removed.items():
            left -= count
            story.append(f"{name} removed {count}" + ("" if left else ", the last ones"))
            if left == 0:
                culprit = name
                break
        return (
            f"no segment of class {self._class_names[class_id]!r} is left of {in_class}: "
            f"{'; '.join(story)}; loosen {culprit}"
        )


def _boxes(array: NDArray[np.int64]) -> list[Box]:
    return [(top, left, bottom, right) for top, left, bottom, right in array.tolist()]


def _check_threads(threads: int) -> None:
    if threads < 1:
        raise ValueError(f"threads is {threads}, expected at least 1")
