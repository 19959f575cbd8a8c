"""The segments of a class as exact search scans them: gathered from the shards, in tight blocks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.descriptor import cell_edges, coarse_step_px
from scenequilt.memory_bank.errors import BankCorruptError
from scenequilt.memory_bank.kernels import (
    BLOCK_ROWS,
    CELL_COLUMNS,
    CELL_ROWS,
    CELLS,
    COARSE_NUMBERS,
    SHAPE_CELLS,
    SHAPE_WORDS,
    SourceTable,
    Table,
    coarse_layouts,
    context_areas,
    count_shapes,
    enlarge_boxes,
    shape_areas,
)
from scenequilt.memory_bank.taxonomy import VOID

SHAPE_SPREAD = 4.0
"""How much a factor of e in stretch or scale counts in block_order, in mean sides of the boxes.

On a million segments 4 halves the time of things; 12 rules out more by shape, less by place.
"""


class ShardArrays(Protocol):
    """What retrieval reads of a shard; names and shapes are those of store.ShardContents."""

    @property
    def segments(self) -> NDArray[Any]: ...
    @property
    def words(self) -> NDArray[np.uint64]: ...
    @property
    def cells(self) -> NDArray[np.uint8]: ...
    @property
    def shapes(self) -> NDArray[np.uint64]: ...
    @property
    def run_offset(self) -> NDArray[np.int64]: ...
    @property
    def run_row_offset(self) -> NDArray[np.uint32]: ...
    @property
    def run_end(self) -> NDArray[np.uint16]: ...
    @property
    def run_label(self) -> NDArray[np.uint8]: ...


@dataclass(frozen=True, eq=False)
class BankRows:
    """All rows of a bank, shard after shard, and where each source's data lie in memory.

    Attributes:
        shards: The shards; they must stay open as long as this is used.
        first_row: (shards + 1,) int64 number of the first row of each, and the end.
        first_source: (shards + 1,) int64 likewise of the sources.
        class_of_row: (N,) uint8 class id, 255 where the row is removed.
        sources: Addresses.
        frame_hw: Size at which masks and layouts are compared.
    """

    shards: tuple[ShardArrays, ...]
    first_row: NDArray[np.int64]
    first_source: NDArray[np.int64]
    class_of_row: NDArray[np.uint8]
    sources: SourceTable
    frame_hw: tuple[int, int]

    def gather(self, rows: NDArray[np.int64], field: str) -> NDArray[Any]:
        """Return one field of the segment rows, which must be sorted."""
        parts = [shard.segments[field][local] for shard, local, _ in self._split(rows)]
        return np.concatenate(parts) if parts else self._empty(field)

    def _empty(self, field: str) -> NDArray[Any]:
        if not self.shards:
            return np.empty(0, np.int64)
        return self.shards[0].segments[field][:0].copy()

    def _split(self, rows: NDArray[np.int64]) -> list[tuple[ShardArrays, NDArray[np.int64], int]]:
        cuts = np.searchsorted(rows, self.first_row)
        return [
            (shard, rows[cuts[s] : cuts[s + 1]] - self.first_row[s], s)
            for s, shard in enumerate(self.shards)
            if cuts[s + 1] > cuts[s]
        ]


def list_rows(
    shards: Sequence[ShardArrays],
    live: Sequence[NDArray[np.bool_]],
    frame_hw: tuple[int, int],
    classes: int,
) -> BankRows:
    """Number the rows and the sources of the shards, and take the addresses of their layouts.

    Args:
        shards: The shards.
        live: For each shard (rows,) bool, False where a segment has been removed.
        frame_hw: The bank's frame.
        classes: Classes of the bank's taxonomy.

    Raises:
        ValueError: If live does not fit the shards.
        BankCorruptError: If the run-length layouts do not have the frame's size, or show a class
            that the taxonomy lacks.
    """
    if [len(mask) for mask in live] != [len(shard.segments) for shard in shards]:
        raise ValueError("live must hold a bool for every row of every shard")
    first_row = np.zeros(len(shards) + 1, np.int64)
    first_source = np.zeros(len(shards) + 1, np.int64)
    class_ids = []
    columns: list[list[NDArray[np.uint64]]] = [[], [], [], []]
    for s, (shard, mask) in enumerate(zip(shards, live, strict=True)):
        first_row[s + 1] = first_row[s] + len(shard.segments)
        count = len(shard.run_row_offset)
        first_source[s + 1] = first_source[s] + count
        class_ids.append(np.where(mask, shard.segments["class_id"], 255).astype(np.uint8))
        _check_runs(shard, frame_hw, classes)
        start = shard.run_offset[:-1].astype(np.uint64)
        order = np.arange(count, dtype=np.uint64)
        columns[0].append(
            address_of(shard.run_row_offset) + order * np.uint64(4 * (frame_hw[0] + 1))
        )
        columns[1].append(address_of(shard.run_end) + start * np.uint64(2))
        columns[2].append(address_of(shard.run_label) + start)
        # Address arithmetic wraps around as the machine's does.
        shape_at = (int(address_of(shard.shapes)) - 8 * SHAPE_WORDS * int(first_row[s])) % 2**64
        columns[3].append(np.full(count, shape_at, np.uint64))
    joined = [np.concatenate(parts) if parts else np.empty(0, np.uint64) for parts in columns]
    run_row_at, run_end_at, run_label_at, shapes_at = joined
    sources = SourceTable(
        run_row_at,
        run_end_at,
        run_label_at,
        shapes_at,
        np.empty((0, CELLS, COARSE_NUMBERS), np.uint16),
    )
    bank = BankRows(
        tuple(shards),
        first_row,
        first_source,
        np.concatenate(class_ids) if class_ids else np.empty(0, np.uint8),
        sources,
        frame_hw,
    )
    return _with_coarse_layouts(bank, classes)


def build_table(bank: BankRows, class_id: int, is_thing: bool) -> Table:
    """Gather the live segments of a class and sort them into blocks of near ones.

    Raises:
        BankCorruptError: If a mask leaves the frame or the stored words.
    """
    rows = np.flatnonzero(bank.class_of_row == class_id)
    box = bank.gather(rows, "frame_box").astype(np.int16, copy=False).reshape(-1, 4)
    segment_id = bank.gather(rows, "segment_id").astype(np.int64, copy=False)
    # Sorted by id first: the order does not depend on how the shards were written.
    order = np.argsort(segment_id, kind="stable")
    order = order[block_order(box[order], is_thing)]
    sources, word_at = _places(bank, rows)
    box, source, row = box[order], sources[order], rows[order]
    cells = np.empty((len(rows), CELL_ROWS, CELL_COLUMNS), np.uint8)
    things = len(rows) if is_thing else 0
    shape_area = np.empty(things, np.int16)
    shape_cells = np.empty((things, SHAPE_CELLS), np.uint8)
    rank = np.empty(len(rows), np.int64)
    rank[order] = np.arange(len(rows))
    at = 0
    for shard, local, _ in bank._split(rows):
        places = rank[at : at + len(local)]
        cells[places] = shard.cells[local]
        if is_thing:
            shapes = np.ascontiguousarray(shard.shapes[local])
            shape_area[places], shape_cells[places] = shape_areas(shapes), count_shapes(shapes)
        at += len(local)
    area = bank.gather(rows, "frame_area").astype(np.int32, copy=False)[order]
    context_area = np.empty(len(rows), np.int32)
    context_areas(box, source, bank.sources, *bank.frame_hw, context_area)
    starts = np.arange(0, len(rows), BLOCK_ROWS)
    sides = np.stack([box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]], axis=1)
    enlarged = np.empty_like(box)
    enlarge_boxes(box, *bank.frame_hw, enlarged)
    low, high = np.minimum.reduceat, np.maximum.reduceat

    def hull(boxes: NDArray[np.int16]) -> NDArray[np.int16]:
        return np.concatenate([low(boxes[:, :2], starts), high(boxes[:, 2:], starts)], axis=1)

    def spread(values: NDArray[Any]) -> NDArray[Any]:
        return np.stack([low(values, starts), high(values, starts)], axis=1)

    block_size = np.stack(
        [low(sides[:, 0], starts), high(sides[:, 0], starts)]
        + [low(sides[:, 1], starts), high(sides[:, 1], starts)],
        axis=1,
    )
    return Table(
        cells=cells,
        box=box,
        area=area,
        context_area=context_area,
        shape_area=shape_area,
        shape_cells=shape_cells,
        word_at=word_at[order],
        source=source,
        row=row.astype(np.int32),
        segment_id=segment_id[order],
        block_cells=high(cells, starts),
        block_box=hull(box),
        block_context=hull(enlarged),
        block_size=block_size,
        block_area=spread(area),
        block_context_area=low(context_area, starts),
        block_shape_area=spread(shape_area) if is_thing else np.empty((0, 2), np.int16),
        block_shape_cells=high(shape_cells, starts) if is_thing else shape_cells,
    )


def block_order(box: NDArray[np.int16], by_shape: bool) -> NDArray[np.int64]:
    """Sort boxes (N, 4) so that every BLOCK_ROWS of them are near in place and size.

    A k-d tree over the four edges: each group is halved, at a multiple of the block, along the edge
    that spreads most in relation to the group's mean side. Where rows are compared by shape too,
    wherever they stand, it also halves along the logarithms of stretch and scale, by which the
    limits rule out whole blocks; SHAPE_SPREAD says how much those count.
    """
    keys = box.astype(np.float32)
    if by_shape:
        heights, widths = keys[:, 2] - keys[:, 0], keys[:, 3] - keys[:, 1]
        stretch, scale = np.log(heights / widths), np.log(heights * widths) / 2
        keys = np.column_stack([keys, SHAPE_SPREAD * stretch, SHAPE_SPREAD * scale])
    order = np.arange(len(box))
    starts = np.zeros(1, np.int64)
    ends = np.full(1, len(box), np.int64)
    while (ends - starts).max(initial=0) > BLOCK_ROWS:
        sorted_keys = keys[order]
        spread = np.maximum.reduceat(sorted_keys, starts) - np.minimum.reduceat(sorted_keys, starts)
        sides = sorted_keys[:, 2:4] - sorted_keys[:, :2]
        mean_side = np.add.reduceat(sides, starts) / (ends - starts)[:, None]
        spread[:, :2] /= mean_side
        spread[:, 2:4] /= mean_side
        group = np.repeat(np.arange(len(starts)), ends - starts)
        key = sorted_keys[np.arange(len(order)), np.argmax(spread, axis=1)[group]]
        order = order[np.lexsort((key, group))]
        blocks = -(-(ends - starts) // BLOCK_ROWS)
        middle = starts + blocks // 2 * BLOCK_ROWS
        split = blocks > 1
        starts = np.sort(np.concatenate([starts, middle[split]]))
        ends = np.append(starts[1:], len(box))
    return order


def _places(
    bank: BankRows, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.uint64]]:
    """Return source number and address of the first mask word of each row."""
    sources, word_at = [], []
    height, width = bank.frame_hw
    for shard, local, s in bank._split(rows):
        box = shard.segments["frame_box"][local].astype(np.int64)
        offset = shard.segments["word_offset"][local]
        needed = (box[:, 2] - box[:, 0]) * ((box[:, 3] - 1) // 64 - box[:, 1] // 64 + 1)
        source_row = shard.segments["source_row"][local]
        wrong = (
            (box[:, :2] < 0).any(axis=1)
            | (box[:, 2:] <= box[:, :2]).any(axis=1)
            | (box[:, 2] > height)
            | (box[:, 3] > width)
            | (offset < 0)
            | (offset + needed > len(shard.words))
            | (source_row < 0)
            | (source_row >= len(shard.run_row_offset))
        )
        if wrong.any():
            row = int(local[int(np.argmax(wrong))])
            raise BankCorruptError(
                f"{_name(shard)}: row {row} points outside the frame or the stored masks; "
                "see: scenequilt bank verify"
            )
        sources.append((source_row + bank.first_source[s]).astype(np.int32))
        word_at.append(address_of(shard.words) + offset.astype(np.uint64) * np.uint64(8))
    if not sources:
        return np.empty(0, np.int32), np.empty(0, np.uint64)
    return np.concatenate(sources), np.concatenate(word_at)


def _with_coarse_layouts(bank: BankRows, classes: int) -> BankRows:
    coarse = np.zeros((len(bank.sources.run_row_at), CELLS, COARSE_NUMBERS), np.uint16)
    counts = np.zeros((1, CELLS, classes), np.int32)
    step = coarse_step_px(bank.frame_hw)
    coarse_layouts(bank.sources, *cell_edges(bank.frame_hw), step, counts, coarse)
    return replace(bank, sources=bank.sources._replace(coarse=coarse))


def _check_runs(shard: ShardArrays, frame_hw: tuple[int, int], classes: int) -> None:
    """Refuse layouts whose rows do not end at the frame's width: the merge of runs trusts that."""
    height, width = frame_hw
    rows = shard.run_row_offset
    fits = rows.shape[1:] == (height + 1,) and len(shard.run_offset) == len(rows) + 1
    if fits and len(rows):
        start = shard.run_offset[:-1].astype(np.int64)
        last = start[:, None] + rows[:, 1:].astype(np.int64) - 1
        fits = bool(
            (np.diff(rows.astype(np.int64), axis=1) > 0).all()
            and (rows[:, 0] == 0).all()
            and last.max() < len(shard.run_end)
            and start.min() >= 0
            and (shard.run_end[last] == width).all()
        )
    label = np.asarray(shard.run_label)
    fits = fits and bool(((label < classes) | (label == VOID)).all())
    if not fits:
        raise BankCorruptError(
            f"{_name(shard)}: the stored layouts are not of the bank's frame, {height}x{width}, and classes; "
            "see: scenequilt bank verify"
        )


def _name(shard: ShardArrays) -> str:
    return str(getattr(shard, "path", "shard"))


def address_of(array: NDArray[Any]) -> np.uint64:
    """Return where an array's first item lies; the array must outlive its use."""
    return np.uint64(array.__array_interface__["data"][0])
