"""The compiled inner loops of description and retrieval."""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import VOID

_LOG = logging.getLogger(__name__)

Array = NDArray[Any]

Box = tuple[int, int, int, int]

Address = np.uint64
"""Where something lies in memory; unsigned, for signed and unsigned make a float when added."""

Function = TypeVar("Function", bound=Callable[..., Any])

CELL_ROWS = 8
CELL_COLUMNS = 16
CELLS = CELL_ROWS * CELL_COLUMNS
CELL_STEPS = 255
"""A cell's count is stored in this many steps, rounded up."""

SHAPE_SIDE = 32
SHAPE_WORDS = SHAPE_SIDE * SHAPE_SIDE // 64
SHAPE_CELLS = 16

VOID_LABEL = VOID
EVERY_BIT = np.uint64(2**64 - 1)


def compiled(function: Function) -> Function:
    """Compile a loop; it releases the interpreter's lock and is kept on disk where that works."""
    return _compile(function)


def inlined(function: Function) -> Function:
    """Make a function part of the loops that call it.

    It may make no arrays. References to arrays are then not counted, which would cost more than
    the work: a table has sixteen.
    """
    return _compile(function, forceinline=True, _nrt=False)


def _compile(function: Function, **options: Any) -> Function:  # noqa: ANN401
    """Compile with a cache on disk if there is a place for one.

    A program that is installed where nobody may write, with no home folder either, has no place to
    keep machine code: it then compiles anew in every process, and says so in the log.
    """
    try:
        return cast(Function, numba.njit(nogil=True, cache=True, **options)(function))
    except RuntimeError as error:
        _LOG.warning("%s; set NUMBA_CACHE_DIR to a folder that can be written to", error)
        return cast(Function, numba.njit(nogil=True, **options)(function))


if TYPE_CHECKING:
    # What the compiled code sees of these is in the other branch; a checker sees plain numbers.
    def popcount(word: Any) -> int: ...  # noqa: ANN401
    def signed(value: Any) -> int: ...  # noqa: ANN401
    def unsigned(value: Any) -> Any: ...  # noqa: ANN401
    def load_64(address: Address) -> int: ...
    def load_32(address: Address) -> int: ...
    def load_16(address: Address) -> int: ...
    def load_8(address: Address) -> int: ...
else:
    signed = np.int64
    unsigned = np.uint64

    @intrinsic
    def popcount(typing_context: Any, word: Any) -> Any:  # noqa: ANN401
        """Bits that are set in a 64-bit word."""
        if not isinstance(word, types.Integer):
            return None

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
            return builder.ctpop(args[0])

        return types.int64(types.uint64), generate

    def loader(result: Any) -> Any:  # noqa: ANN401
        """Make a function that reads a number of a type from an address."""

        @intrinsic
        def load(typing_context: Any, address: Any) -> Any:  # noqa: ANN401
            def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ANN401
                pointer = builder.inttoptr(args[0], context.get_value_type(result).as_pointer())
                # HDF5 does not promise that a blob begins at a multiple of its item size.
                return builder.load(pointer, align=1)

            return result(types.uint64), generate

        return load

    load_64 = loader(types.uint64)
    load_32 = loader(types.uint32)
    load_16 = loader(types.uint16)
    load_8 = loader(types.uint8)


@compiled
def pack_masks(
    pixels: Array,
    pixel_offset: Array,
    boxes: Array,
    rows: Array,
    columns: Array,
    frame_box: Array,
    frame_area: Array,
    word_offset: Array,
    words: Array,
) -> int:
    """Pack masks (bytes, one after another) into the frame's 64-bit grid.

    rows and columns give the layout's row and column under each one of the frame. words must have
    room for every box in full height and width; what a mask does not need is left to the next one.
    Every word up to the number returned, the words used, is written whole.
    """
    frame_height, frame_width = rows.shape[0], columns.shape[0]
    used = 0
    for n in range(boxes.shape[0]):
        top, left, bottom, right = boxes[n, 0], boxes[n, 1], boxes[n, 2], boxes[n, 3]
        width = right - left
        first_row = np.searchsorted(rows, top)
        end_row = np.searchsorted(rows, bottom)
        first_column = np.searchsorted(columns, left)
        end_column = np.searchsorted(columns, right)
        # Tight box in the frame: sampling may miss the mask's outermost pixels.
        low_row, high_row, low_column, high_column, area = frame_height, 0, frame_width, 0, 0
        for y in range(first_row, end_row):
            base = pixel_offset[n] + (rows[y] - top) * width - left
            in_row = 0
            for x in range(first_column, end_column):
                in_row += pixels[base + columns[x]]
            if in_row:
                area += in_row
                low_row = min(low_row, y)
                high_row = y + 1
                x = first_column
                while x < low_column and not pixels[base + columns[x]]:
                    x += 1
                low_column = min(low_column, x)
                x = end_column
                while x > high_column and not pixels[base + columns[x - 1]]:
                    x -= 1
                high_column = max(high_column, x)
        word_offset[n] = used
        if area == 0:
            # Smaller than a pixel of the frame: its middle pixel stands for it.
            seen, half = 0, 0
            for p in range(pixel_offset[n], pixel_offset[n + 1]):
                half += pixels[p]
            half = (half + 1) // 2
            for p in range(pixel_offset[n], pixel_offset[n + 1]):
                seen += pixels[p]
                if seen == half:
                    y = top + (p - pixel_offset[n]) // width
                    x = left + (p - pixel_offset[n]) % width
                    break
            low_row = min(np.searchsorted(rows, y), frame_height - 1)
            low_column = min(np.searchsorted(columns, x), frame_width - 1)
            high_row, high_column, area = low_row + 1, low_column + 1, 1
            words[used] = unsigned(1) << unsigned(low_column & 63)
            used += 1
        else:
            first_word, last_word = low_column >> 6, (high_column - 1) >> 6
            for y in range(low_row, high_row):
                base = pixel_offset[n] + (rows[y] - top) * width - left
                for w in range(first_word, last_word + 1):
                    begin = max(low_column, w << 6)
                    end = min(high_column, (w + 1) << 6)
                    word = unsigned(0)
                    for x in range(begin, end):
                        word |= unsigned(pixels[base + columns[x]]) << unsigned(x & 63)
                    words[used] = word
                    used += 1
        frame_box[n, 0], frame_box[n, 1] = low_row, low_column
        frame_box[n, 2], frame_box[n, 3] = high_row, high_column
        frame_area[n] = area
    word_offset[boxes.shape[0]] = used
    return used


@compiled
def count_cells(
    frame_box: Array,
    word_offset: Array,
    words: Array,
    row_edges: Array,
    column_edges: Array,
    counts: Array,
) -> None:
    """Count each packed mask's pixels in the cells of a grid: counts (N, rows, columns) int32."""
    for n in range(frame_box.shape[0]):
        top, left, bottom, right = (
            frame_box[n, 0],
            frame_box[n, 1],
            frame_box[n, 2],
            frame_box[n, 3],
        )
        first_word = left >> 6
        per_row = ((right - 1) >> 6) - first_word + 1
        for r in range(row_edges.shape[0] - 1):
            for c in range(column_edges.shape[0] - 1):
                begin, end = max(left, column_edges[c]), min(right, column_edges[c + 1])
                total = 0
                if begin < end:
                    for w in range(begin >> 6, ((end - 1) >> 6) + 1):
                        keep = ~unsigned(0)
                        if begin > w << 6:
                            keep &= ~unsigned(0) << unsigned(begin & 63)
                        if end < (w + 1) << 6:
                            keep &= ~(~unsigned(0) << unsigned(end & 63))
                        for y in range(max(top, row_edges[r]), min(bottom, row_edges[r + 1])):
                            at = word_offset[n] + (y - top) * per_row + w - first_word
                            total += popcount(words[at] & keep)
                counts[n, r, c] = total


@compiled
def stretch_shapes(pixels: Array, pixel_offset: Array, boxes: Array, shape: Array) -> None:
    """Sample each mask (bytes over its box) at 32x32 points and pack the bits: shape (N, 16)."""
    for n in range(boxes.shape[0]):
        height, width = boxes[n, 2] - boxes[n, 0], boxes[n, 3] - boxes[n, 1]
        for r in range(SHAPE_SIDE):
            base = pixel_offset[n] + (2 * r + 1) * height // (2 * SHAPE_SIDE) * width
            bits = unsigned(0)
            for c in range(SHAPE_SIDE):
                pixel = pixels[base + (2 * c + 1) * width // (2 * SHAPE_SIDE)]
                bits |= unsigned(pixel) << unsigned(c)
            shape[n, r >> 1] |= bits << unsigned(SHAPE_SIDE * (r & 1))


@compiled
def find_runs(label_map: Array, row_offset: Array, end: Array, label: Array) -> int:
    """Write the runs of equal labels of each row, return how many there are."""
    height, width = label_map.shape
    used = 0
    for y in range(height):
        row_offset[y] = used
        current = label_map[y, 0]
        for x in range(1, width):
            if label_map[y, x] != current:
                end[used], label[used] = x, current
                used += 1
                current = label_map[y, x]
        end[used], label[used] = width, current
        used += 1
    row_offset[height] = used
    return used


CELL_LABELS = 3
"""Classes of a cell that a source's coarse layout names; the others are summed."""

COARSE_NUMBERS = 8

BATCH_BLOCKS = 16
"""Blocks whose rows are bounded before the best of them are compared."""

TOUCHED_ROWS = 16
"""Rows whose data are called for before they are compared."""

BLOCK_ROWS = 32
"""Rows of a class are bounded in blocks of this many, near each other in place and size."""


class Table(NamedTuple):
    """The N segments of one class as they are scanned, in blocks of BLOCK_ROWS.

    Attributes:
        cells: (N, 8, 16) uint8 rounded-up counts.
        box: (N, 4) int16 frame boxes.
        area: (N,) int32 pixels of the frame mask.
        context_area: (N,) int32 non-void pixels in the enlarged box.
        shape_area: (N,) int16 points of the shape; empty for stuff.
        shape_cells: (N, 16) uint8 its points in 4x4 cells of 8x8; empty for stuff.
        word_at: (N,) uint64 address of the first mask word.
        source: (N,) int32 source among all sources of the bank.
        row: (N,) int32 row among all rows of the bank.
        segment_id: (N,) int64.
        block_cells: (B, 8, 16) uint8 largest count of the block.
        block_box: (B, 4) int16 hull of the block's boxes.
        block_context: (B, 4) int16 hull of its enlarged boxes.
        block_size: (B, 4) int16 least height, largest height, least width, largest width.
        block_area: (B, 2) int32 least and largest area.
        block_context_area: (B,) int32 least context area.
        block_shape_area: (B, 2) int16 least and largest shape area; empty for stuff.
        block_shape_cells: (B, 16) uint8 largest count of the block; empty for stuff.
    """

    cells: Array
    box: Array
    area: Array
    context_area: Array
    shape_area: Array
    shape_cells: Array
    word_at: Array
    source: Array
    row: Array
    segment_id: Array
    block_cells: Array
    block_box: Array
    block_context: Array
    block_size: Array
    block_area: Array
    block_context_area: Array
    block_shape_area: Array
    block_shape_cells: Array


class SourceTable(NamedTuple):
    """What belongs to each of S sources; addresses are (S,) uint64.

    Attributes:
        run_row_at: Address of its H + 1 row offsets (uint32).
        run_end_at: Address of its run ends (uint16).
        run_label_at: Address of its run labels (uint8).
        shape_at: Address at which the shape of row 0 of the whole bank would be, if its shard held
            every row.
        coarse: (S, 128, 8) uint16 its layout cell by cell: the CELL_LABELS commonest class ids,
            their pixels, the pixels of the other classes (void left out), and a 0. Pixels are in
            steps of Terms.coarse_step, rounded up. All that a bound needs of a cell lies in one
            line of the processor's cache.
    """

    run_row_at: Array
    run_end_at: Array
    run_label_at: Array
    shape_at: Array
    coarse: Array


class QueryTable(NamedTuple):
    """One query as it is compared.

    Attributes:
        box: Frame box.
        context_box: The box enlarged.
        words: (W,) uint64 its packed mask.
        counts: (8, 16) int32 its pixels in each cell, times CELL_STEPS.
        cell_range: First and end cell row, first and end cell column with pixels.
        shape: (16,) uint64, shape_cells: (16,) uint8 its points in 4x4 cells.
        context_range: Likewise of the cells that the enlarged box touches.
        context_counts: (128, 256 or fewer) int32 pixels of each class in each cell, within the
            enlarged box.
        row_edges: (9,) int64, column_edges: (17,) int64 of the cells.
        planes: (H, L, words) uint64 where its layout shows each class: bit i of word w is column
            64 * w + i of the frame.
        plane_of_label: (256,) uint8 plane of a class; classes that the layout does not show, and
            void, have an empty one.
    """

    box: Box
    context_box: Box
    words: Array
    counts: Array
    cell_range: Box
    shape: Array
    shape_cells: Array
    context_range: Box
    context_counts: Array
    row_edges: Array
    column_edges: Array
    planes: Array
    plane_of_label: Array


class Terms(NamedTuple):
    """The numbers of one comparison.

    Attributes:
        mask_weight: Weight of the mask, context_weight: of the context.
        area: Pixels of the query, context_area: non-void pixels in its enlarged box.
        shape_area: Points of its shape.
        compare_shape: True if segments may be compared by shape.
        max_scale: Largest ratio of lengths, max_stretch: of height to width.
        frame_height: Of the frame, frame_width: likewise, in pixels.
        largest_cell: Pixels of the largest cell.
        coarse_step: Pixels that 1 stands for in SourceTable.coarse.
    """

    mask_weight: float
    context_weight: float
    area: int
    context_area: int
    shape_area: int
    compare_shape: bool
    max_scale: float
    max_stretch: float
    frame_height: int
    frame_width: int
    largest_cell: int
    coarse_step: int


@inlined
def mask_overlap(box: Box, words: Array, other_box: Box, other_at: Address) -> int:
    """Pixels that a packed mask and one at an address share."""
    top, bottom = max(box[0], other_box[0]), min(box[2], other_box[2])
    left, right = max(box[1], other_box[1]), min(box[3], other_box[3])
    if top >= bottom or left >= right:
        return 0
    first, last = left >> 6, (right - 1) >> 6
    per_row = ((box[3] - 1) >> 6) - (box[1] >> 6) + 1
    other_per_row = ((other_box[3] - 1) >> 6) - (other_box[1] >> 6) + 1
    at = (top - box[0]) * per_row + first - (box[1] >> 6)
    skipped = (top - other_box[0]) * other_per_row + first - (other_box[1] >> 6)
    address = unsigned(other_at) + unsigned(8 * skipped)
    step = unsigned(8 * other_per_row)
    shared = 0
    if first == last:
        for _ in range(top, bottom):
            shared += popcount(words[at] & load_64(address))
            at += per_row
            address += step
    else:
        for _ in range(top, bottom):
            for w in range(last - first + 1):
                shared += popcount(words[at + w] & load_64(address + unsigned(8 * w)))
            at += per_row
            address += step
    return shared


@inlined
def context_overlap(
    query: QueryTable, sources: SourceTable, source: int, box: Box, needed: int
) -> int:
    """Pixels in both enlarged boxes whose labels agree and are not void.

    -1 as soon as it is sure that they are fewer than needed; most rows are no more than that.
    """
    top, bottom = max(query.context_box[0], box[0]), min(query.context_box[2], box[2])
    left, right = max(query.context_box[1], box[1]), min(query.context_box[3], box[3])
    if left >= right:
        return 0
    row_at, end_at = sources.run_row_at[source], sources.run_end_at[source]
    label_at = sources.run_label_at[source]
    agreed = 0
    for y in range(top, bottom):
        j = unsigned(load_32(row_at + unsigned(4 * y)))
        while load_16(end_at + unsigned(2) * j) <= left:
            j += unsigned(1)
        x = left
        while x < right:
            end = min(signed(load_16(end_at + unsigned(2) * j)), right)
            plane = query.plane_of_label[load_8(label_at + j)]
            first, last = x >> 6, (end - 1) >> 6
            # Columns before x and after end - 1 are shifted out of the first and the last word.
            begun = EVERY_BIT << unsigned(x & 63)
            ended = EVERY_BIT >> unsigned(63 - ((end - 1) & 63))
            if first == last:
                agreed += popcount(query.planes[y, plane, first] & begun & ended)
            else:
                agreed += popcount(query.planes[y, plane, first] & begun)
                for w in range(first + 1, last):
                    agreed += popcount(query.planes[y, plane, w])
                agreed += popcount(query.planes[y, plane, last] & ended)
            x = end
            j += unsigned(1)
        if agreed + (bottom - 1 - y) * (right - left) < needed:
            return -1
    return agreed


@inlined
def shape_overlap(shape: Array, address: Address) -> int:
    """Points that two shapes share."""
    shared = 0
    for w in range(SHAPE_WORDS):
        shared += popcount(shape[w] & load_64(unsigned(address) + unsigned(8 * w)))
    return shared


@inlined
def enlarge(box: Box, frame_height: int, frame_width: int) -> Box:
    """Enlarge a box by 1/8 of its sides (rounded up) at each side, clipped to the frame."""
    margin_y, margin_x = (box[2] - box[0] + 7) // 8, (box[3] - box[1] + 7) // 8
    return (
        max(0, box[0] - margin_y),
        max(0, box[1] - margin_x),
        min(frame_height, box[2] + margin_y),
        min(frame_width, box[3] + margin_x),
    )


@inlined
def ratio(shared: int, first: int, second: int) -> float:
    """Intersection over union from the intersection and both sizes; 0 where both are empty."""
    union = first + second - shared
    if union <= 0:
        return 0.0
    return shared / union


@inlined
def shape_allowed(query_box: Box, box: Box, terms: Terms) -> bool:
    """Say if placing the box on the query's keeps the limits and the frame cuts both alike."""
    if (
        (box[0] <= 0) != (query_box[0] <= 0)
        or (box[1] <= 0) != (query_box[1] <= 0)
        or (box[2] >= terms.frame_height) != (query_box[2] >= terms.frame_height)
        or (box[3] >= terms.frame_width) != (query_box[3] >= terms.frame_width)
    ):
        return False
    height, width = query_box[2] - query_box[0], query_box[3] - query_box[1]
    tall, wide = box[2] - box[0], box[3] - box[1]
    limit = terms.max_scale * terms.max_scale
    return (
        height * width <= tall * wide * limit
        and tall * wide <= height * width * limit
        and height * wide <= width * tall * terms.max_stretch
        and width * tall <= height * wide * terms.max_stretch
    )


@inlined
def cell_bound(cells: Array, i: int, query: QueryTable, largest_cell: int) -> int:
    """Bound the overlap with the query from counts per cell; never below the truth."""
    total = 0
    for r in range(query.cell_range[0], query.cell_range[1]):
        for c in range(query.cell_range[2], query.cell_range[3]):
            total += min(np.int32(cells[i, r, c]) * np.int32(largest_cell), query.counts[r, c])
    return total // CELL_STEPS


@inlined
def shape_bound(cells: Array, i: int, query: QueryTable) -> int:
    """Bound the points that two shapes share from their counts in 4x4 cells."""
    total = 0
    for c in range(SHAPE_CELLS):
        total += min(signed(cells[i, c]), signed(query.shape_cells[c]))
    return total


@inlined
def box_at(boxes: Array, i: int) -> Box:
    """Return row i of boxes (N, 4)."""
    return (
        signed(boxes[i, 0]),
        signed(boxes[i, 1]),
        signed(boxes[i, 2]),
        signed(boxes[i, 3]),
    )


@inlined
def box_overlap(first: Box, second: Box) -> int:
    """Pixels that two boxes share."""
    height = min(first[2], second[2]) - max(first[0], second[0])
    width = min(first[3], second[3]) - max(first[1], second[1])
    if height <= 0 or width <= 0:
        return 0
    return height * width


@compiled
def bound_blocks(table: Table, query: QueryTable, terms: Terms, bounds: Array) -> None:
    """Write the score that no segment of each block exceeds: bounds (B,) float64."""
    height, width = query.box[2] - query.box[0], query.box[3] - query.box[1]
    limit = terms.max_scale * terms.max_scale
    for b in range(table.block_box.shape[0]):
        shared = min(box_overlap(query.box, box_at(table.block_box, b)), terms.area)
        shared = min(shared, table.block_area[b, 1])
        fit = 0.0
        if shared > 0:
            shared = min(shared, cell_bound(table.block_cells, b, query, terms.largest_cell))
            fit = ratio(shared, terms.area, max(table.block_area[b, 0], shared))
        if terms.compare_shape and fit < 1.0:
            short, tall = signed(table.block_size[b, 0]), signed(table.block_size[b, 1])
            narrow, wide = signed(table.block_size[b, 2]), signed(table.block_size[b, 3])
            if (
                height * width <= tall * wide * limit
                and short * narrow <= height * width * limit
                and height * narrow <= width * tall * terms.max_stretch
                and width * short <= height * wide * terms.max_stretch
            ):
                common = shape_bound(table.block_shape_cells, b, query)
                common = min(common, signed(table.block_shape_area[b, 1]))
                least = max(signed(table.block_shape_area[b, 0]), common)
                fit = max(fit, ratio(common, terms.shape_area, least))
        agreed = 0.0
        if terms.context_weight > 0.0:
            pixels = box_overlap(query.context_box, box_at(table.block_context, b))
            pixels = min(pixels, terms.context_area)
            agreed = ratio(pixels, terms.context_area, max(table.block_context_area[b], pixels))
        bounds[b] = terms.mask_weight * fit + terms.context_weight * agreed


@inlined
def shape_ratio(
    table: Table, sources: SourceTable, query: QueryTable, terms: Terms, i: int
) -> float:
    """IoU of the shapes of query and row i."""
    address = sources.shape_at[table.source[i]] + unsigned(8 * SHAPE_WORDS * table.row[i])
    shared = shape_overlap(query.shape, address)
    return ratio(shared, terms.shape_area, signed(table.shape_area[i]))


@inlined
def context_ratio(
    table: Table, sources: SourceTable, query: QueryTable, terms: Terms, i: int, least: float
) -> float:
    """IoU of the layouts around query and row i; -1 where it is sure to be below least."""
    enlarged = enlarge(box_at(table.box, i), terms.frame_height, terms.frame_width)
    both = terms.context_area + signed(table.context_area[i])
    needed = 0
    if least > 0.0:
        # One pixel less than what solves for the intersection: rounding may not decide.
        needed = int(least * both / (1.0 + least)) - 1
    shared = context_overlap(query, sources, table.source[i], enlarged, needed)
    if shared < 0:
        return -1.0
    return ratio(shared, terms.context_area, signed(table.context_area[i]))


@inlined
def mask_ratio(table: Table, query: QueryTable, terms: Terms, i: int) -> float:
    """IoU of the masks of query and row i."""
    shared = mask_overlap(query.box, query.words, box_at(table.box, i), table.word_at[i])
    return ratio(shared, terms.area, signed(table.area[i]))


@compiled
def complete_parts(
    table: Table,
    sources: SourceTable,
    query: QueryTable,
    terms: Terms,
    places: Array,
    parts: Array,
) -> None:
    """Compute the parts of the found rows that ranking could do without: NaN until now."""
    for p in range(places.shape[0]):
        i = places[p]
        if np.isnan(parts[p, 1]):
            parts[p, 1] = context_ratio(table, sources, query, terms, i, 0.0)
        if np.isnan(parts[p, 2]):
            parts[p, 2] = 0.0
            if terms.compare_shape and shape_allowed(query.box, box_at(table.box, i), terms):
                parts[p, 2] = shape_ratio(table, sources, query, terms, i)


@compiled
def insert(
    scores: Array,
    places: Array,
    parts: Array,
    found: int,
    ids: Array,
    score: float,
    place: int,
    part: Array,
) -> int:
    """Insert into the best so far: scores falling, ties by segment id; return how many there are."""
    k = len(scores)
    at = found
    while at > 0 and (
        scores[at - 1] < score or (scores[at - 1] == score and ids[places[at - 1]] > ids[place])
    ):
        at -= 1
    if at == k:
        return found
    for p in range(min(found, k - 1), at, -1):
        scores[p], places[p] = scores[p - 1], places[p - 1]
        parts[p] = parts[p - 1]
    scores[at], places[at] = score, place
    parts[at] = part
    return min(found + 1, k)


@inlined
def context_bound(
    query: QueryTable, sources: SourceTable, source: int, box: Box, coarse_step: int
) -> int:
    """Bound the agreement of the layouts from the classes of each cell; never below the truth."""
    top, bottom = max(query.context_box[0], box[0]), min(query.context_box[2], box[2])
    left, right = max(query.context_box[1], box[1]), min(query.context_box[3], box[3])
    total = 0
    for r in range(query.context_range[0], query.context_range[1]):
        height = min(bottom, query.row_edges[r + 1]) - max(top, query.row_edges[r])
        if height <= 0:
            continue
        for c in range(query.context_range[2], query.context_range[3]):
            width = min(right, query.column_edges[c + 1]) - max(left, query.column_edges[c])
            if width <= 0:
                continue
            cell = r * CELL_COLUMNS + c
            agreed = signed(sources.coarse[source, cell, 2 * CELL_LABELS]) * coarse_step
            for n in range(CELL_LABELS):
                here = query.context_counts[cell, sources.coarse[source, cell, n]]
                there = signed(sources.coarse[source, cell, CELL_LABELS + n]) * coarse_step
                agreed += min(signed(here), there)
            total += min(agreed, height * width)
    return total


@inlined
def bound_nearby(
    table: Table, query: QueryTable, terms: Terms, i: int, least: float
) -> tuple[float, float, float, float, int]:
    """Bound the score of row i from the table's arrays, which are read in order.

    Goes no further than needed to fall below least. Returns the bound, and in it the weighted
    context, the mask IoU, the shape IoU, and the pixels that may agree.
    """
    box = box_at(table.box, i)
    enlarged = enlarge(box, terms.frame_height, terms.frame_width)
    context_area = signed(table.context_area[i])
    pixels = 0
    rest = 0.0
    if terms.context_weight > 0.0:
        pixels = min(box_overlap(query.context_box, enlarged), terms.context_area, context_area)
        if pixels > 0:
            rest = terms.context_weight * ratio(pixels, terms.context_area, context_area)
        bound = terms.mask_weight + rest
        if bound < least:
            return bound, rest, 1.0, 1.0, pixels
    shared = box_overlap(query.box, box)
    fit = 0.0
    if shared > 0:
        area = signed(table.area[i])
        shared = min(shared, terms.area, area)
        fit = ratio(shared, terms.area, area)
        if terms.mask_weight * fit + rest >= least:
            shared = min(shared, cell_bound(table.cells, i, query, terms.largest_cell))
            fit = ratio(shared, terms.area, area)
    by_shape = 0.0
    if terms.compare_shape and shape_allowed(query.box, box, terms):
        common = shape_bound(table.shape_cells, i, query)
        by_shape = ratio(common, signed(table.shape_area[i]), terms.shape_area)
    bound = terms.mask_weight * max(fit, by_shape) + rest
    return bound, rest, fit, by_shape, pixels


@inlined
def tighten_bound(
    table: Table,
    sources: SourceTable,
    query: QueryTable,
    terms: Terms,
    i: int,
    least: float,
    nearby: tuple[float, float, float, float, int],
) -> tuple[float, float, float]:
    """Lower what bound_nearby said of row i, from its source and its shape, which lie anywhere.

    Returns the bound, and in it the weighted context and the shape IoU.
    """
    bound, rest, fit, by_shape, pixels = nearby
    if bound >= least and pixels > 0:
        context_area = signed(table.context_area[i])
        enlarged = enlarge(box_at(table.box, i), terms.frame_height, terms.frame_width)
        agreed = context_bound(query, sources, table.source[i], enlarged, terms.coarse_step)
        pixels = min(pixels, agreed)
        rest = terms.context_weight * ratio(pixels, terms.context_area, context_area)
        bound = terms.mask_weight * max(fit, by_shape) + rest
    if bound >= least and by_shape > fit:
        by_shape = shape_ratio(table, sources, query, terms, i)
        bound = terms.mask_weight * max(fit, by_shape) + rest
    return bound, rest, by_shape


@inlined
def touch_row(table: Table, sources: SourceTable, i: int) -> int:
    """Load a little of what comparing row i will read.

    These loads wait for memory side by side; those of the comparisons wait one after another, which
    made up a tenth of a query on a million segments. The sum is of no use but this: whoever adds
    such sums asks if they are EVERY_BIT, which so few bytes never are, or the compiler would drop
    the loads.
    """
    source = table.source[i]
    row_at = sources.run_row_at[source]
    top, bottom = signed(table.box[i, 0]), signed(table.box[i, 2]) - 1
    first = unsigned(load_32(row_at + unsigned(4 * top)))
    last = unsigned(load_32(row_at + unsigned(4 * bottom)))
    loaded: int = unsigned(0) + load_8(table.word_at[i])
    loaded += load_8(sources.run_end_at[source] + unsigned(2) * first)
    loaded += load_8(sources.run_end_at[source] + unsigned(2) * last)
    loaded += load_8(sources.run_label_at[source] + first)
    loaded += load_8(sources.run_label_at[source] + last)
    return loaded


@compiled
def compare_rows(
    table: Table,
    sources: SourceTable,
    query: QueryTable,
    terms: Terms,
    rows: Array,
    bounds: Array,
    rests: Array,
    by_shapes: Array,
    found: int,
    scores: Array,
    places: Array,
    parts: Array,
) -> tuple[int, int]:
    """Compare rows exactly, the most promising first; return how many are kept and were compared.

    bounds, rests and by_shapes are what bound_row said of each row.
    """
    k = scores.shape[0]
    least = scores[k - 1] if found == k else -1.0
    compared = 0
    part = np.empty(3, np.float64)
    order = falling_order(bounds, terms.mask_weight + terms.context_weight)
    touched = unsigned(0)
    for p in range(order.shape[0]):
        if p % TOUCHED_ROWS == 0:
            for m in order[p : p + TOUCHED_ROWS]:
                if bounds[m] >= least:
                    touched += touch_row(table, sources, rows[m])
        n = order[p]
        if bounds[n] < least:
            continue
        i = rows[n]
        compared += 1
        part[0], part[1], part[2] = mask_ratio(table, query, terms, i), np.nan, np.nan
        fit = part[0]
        if by_shapes[n] > fit:
            if terms.mask_weight * by_shapes[n] + rests[n] < least:
                continue
            part[2] = shape_ratio(table, sources, query, terms, i)
            fit = max(fit, part[2])
        if terms.mask_weight * fit + rests[n] < least:
            continue
        score = terms.mask_weight * fit
        if terms.context_weight > 0.0:
            missing = (least - score) / terms.context_weight
            part[1] = context_ratio(table, sources, query, terms, i, missing)
            if part[1] < 0.0:
                continue
            score += terms.context_weight * part[1]
        found = insert(scores, places, parts, found, table.segment_id, score, i, part)
        if found == k:
            least = scores[k - 1]
    if touched == EVERY_BIT:
        return found, 0
    return found, compared


@inlined
def touch_bound(table: Table, sources: SourceTable, query: QueryTable, terms: Terms, i: int) -> int:
    """Load a little of what tighten_bound will read of row i; see touch_row."""
    source = table.source[i]
    cell = query.context_range[0] * CELL_COLUMNS + query.context_range[2]
    loaded: int = unsigned(0) + sources.coarse[source, cell, 0]
    if terms.compare_shape:
        address = sources.shape_at[source] + unsigned(8 * SHAPE_WORDS * table.row[i])
        loaded += load_8(address)
        loaded += load_8(address + unsigned(64))
    return loaded


@compiled
def search_rows(
    table: Table,
    sources: SourceTable,
    query: QueryTable,
    terms: Terms,
    allowed: Array,
    scores: Array,
    places: Array,
    parts: Array,
) -> tuple[int, int]:
    """Find the best rows of a class, exactly.

    allowed (N,) uint8 says which rows may answer; empty means all. scores (K,), places (K,) and
    parts (K, 3) receive the best K. Returns how many were found, and how many were compared.

    A bound is the expression of the score with larger overlaps in it, and division, product and sum
    of floating-point numbers are monotone: what a bound excludes could not have entered the list.
    """
    blocks = table.block_box.shape[0]
    rows = table.area.shape[0]
    block_bounds = np.empty(blocks, np.float64)
    bound_blocks(table, query, terms, block_bounds)
    order = falling_order(block_bounds, terms.mask_weight + terms.context_weight)
    k = scores.shape[0]
    least = -1.0
    # Not a literal 0, for which compare_rows would be compiled once more.
    found = signed(0)
    compared = 0
    touched = unsigned(0)
    batch = np.empty(BATCH_BLOCKS * BLOCK_ROWS, np.int64)
    pixels = np.empty(BATCH_BLOCKS * BLOCK_ROWS, np.int64)
    fits = np.empty(BATCH_BLOCKS * BLOCK_ROWS, np.float64)
    bounds = np.empty(BATCH_BLOCKS * BLOCK_ROWS, np.float64)
    rests = np.empty(BATCH_BLOCKS * BLOCK_ROWS, np.float64)
    by_shapes = np.empty(BATCH_BLOCKS * BLOCK_ROWS, np.float64)
    for start in range(0, blocks, BATCH_BLOCKS):
        size = 0
        for b in order[start : start + BATCH_BLOCKS]:
            if block_bounds[b] < least:
                continue
            for i in range(b * BLOCK_ROWS, min((b + 1) * BLOCK_ROWS, rows)):
                if allowed.shape[0] and not allowed[i]:
                    continue
                nearby = bound_nearby(table, query, terms, i, least)
                if nearby[0] >= least:
                    batch[size], pixels[size] = i, nearby[4]
                    bounds[size], rests[size], fits[size], by_shapes[size] = nearby[:4]
                    size += 1
        for n in range(size):
            touched += touch_bound(table, sources, query, terms, batch[n])
        near, size = size, 0
        for n in range(near):
            i = batch[n]
            nearby = (bounds[n], rests[n], fits[n], by_shapes[n], pixels[n])
            bound, rest, by_shape = tighten_bound(table, sources, query, terms, i, least, nearby)
            if bound >= least:
                batch[size], bounds[size] = i, bound
                rests[size], by_shapes[size] = rest, by_shape
                size += 1
        if size:
            found, more = compare_rows(
                table,
                sources,
                query,
                terms,
                batch[:size],
                bounds[:size],
                rests[:size],
                by_shapes[:size],
                found,
                scores,
                places,
                parts,
            )
            compared += more
            if found == k:
                least = scores[k - 1]
    complete_parts(table, sources, query, terms, places[:found], parts)
    if touched == EVERY_BIT:
        return found, 0
    return found, compared


@compiled
def score_rows(
    table: Table,
    sources: SourceTable,
    query: QueryTable,
    terms: Terms,
    proposed: Array,
    scores: Array,
    places: Array,
    parts: Array,
) -> tuple[int, int]:
    """Rank the proposed rows (P,) int64 by their exact scores, best K as search_rows does."""
    bounds = np.empty(proposed.shape[0], np.float64)
    rests = np.empty(proposed.shape[0], np.float64)
    by_shapes = np.empty(proposed.shape[0], np.float64)
    for n in range(proposed.shape[0]):
        nearby = bound_nearby(table, query, terms, proposed[n], -1.0)
        bounds[n], rests[n], by_shapes[n] = tighten_bound(
            table, sources, query, terms, proposed[n], -1.0, nearby
        )
    found, compared = compare_rows(
        table,
        sources,
        query,
        terms,
        proposed,
        bounds,
        rests,
        by_shapes,
        signed(0),
        scores,
        places,
        parts,
    )
    complete_parts(table, sources, query, terms, places[:found], parts)
    return found, compared


@compiled
def falling_order(bounds: Array, largest: float) -> Array:
    """Return places of the bounds, the larger ones first, sorted as finely as 1024 buckets do."""
    buckets = 1024
    start = np.zeros(buckets + 1, np.int64)
    count = bounds.shape[0]
    bucket = np.empty(count, np.int64)
    for b in range(count):
        place = buckets - 1 - int(bounds[b] / largest * (buckets - 1))
        bucket[b] = min(max(place, 0), buckets - 1)
        start[bucket[b] + 1] += 1
    for p in range(buckets):
        start[p + 1] += start[p]
    order = np.empty(count, np.int64)
    for b in range(count):
        order[start[bucket[b]]] = b
        start[bucket[b]] += 1
    return order


@compiled
def context_areas(
    boxes: Array,
    source: Array,
    sources: SourceTable,
    frame_height: int,
    frame_width: int,
    areas: Array,
) -> None:
    """Count the non-void pixels in the enlarged box of each row: areas (N,) int32."""
    for n in range(boxes.shape[0]):
        top, left, bottom, right = enlarge(box_at(boxes, n), frame_height, frame_width)
        row_at, end_at = sources.run_row_at[source[n]], sources.run_end_at[source[n]]
        label_at = sources.run_label_at[source[n]]
        total = 0
        for y in range(top, bottom):
            j = unsigned(load_32(row_at + unsigned(4 * y)))
            while load_16(end_at + unsigned(2) * j) <= left:
                j += unsigned(1)
            x = left
            while x < right:
                stop = min(signed(load_16(end_at + unsigned(2) * j)), right)
                if load_8(label_at + j) != VOID_LABEL:
                    total += stop - x
                x = stop
                j += unsigned(1)
        areas[n] = total


@compiled
def enlarge_boxes(boxes: Array, frame_height: int, frame_width: int, enlarged: Array) -> None:
    """Write the enlarged box of each row of boxes (N, 4) to enlarged (N, 4)."""
    for n in range(boxes.shape[0]):
        top, left, bottom, right = enlarge(box_at(boxes, n), frame_height, frame_width)
        enlarged[n, 0], enlarged[n, 1], enlarged[n, 2], enlarged[n, 3] = top, left, bottom, right


@compiled
def count_shapes(shapes: Array) -> Array:
    """Count the points of each shape (N, 16) uint64 in 4x4 cells of 8x8 points: (N, 16) uint8."""
    cells = np.zeros((shapes.shape[0], SHAPE_CELLS), np.uint8)
    for n in range(shapes.shape[0]):
        for w in range(SHAPE_WORDS):
            for c in range(4):
                # Eight columns of the even row of points, and the same of the odd one.
                bits = unsigned(0x000000FF000000FF) << unsigned(8 * c)
                cells[n, 4 * (w >> 2) + c] += popcount(shapes[n, w] & bits)
    return cells


@compiled
def shape_areas(shapes: Array) -> Array:
    """Count the points of each shape (N, 16): (N,) int16."""
    areas = np.empty(shapes.shape[0], np.int16)
    for n in range(shapes.shape[0]):
        total = 0
        for w in range(SHAPE_WORDS):
            total += popcount(shapes[n, w])
        areas[n] = total
    return areas


@inlined
def count_context(
    box: Box,
    row_at: Address,
    end_at: Address,
    label_at: Address,
    row_edges: Array,
    column_edges: Array,
    counts: Array,
    n: int,
) -> int:
    """Count the classes of a run-length layout within a box, for each cell of a grid.

    The layout is given by the addresses of its row offsets, run ends and labels. counts
    (N, cells, classes) int32 is added to at n; void is left out. Returns the pixels counted.
    """
    columns = column_edges.shape[0] - 1
    total = 0
    r = 0
    for y in range(box[0], box[2]):
        while row_edges[r + 1] <= y:
            r += 1
        j = unsigned(load_32(row_at + unsigned(4 * y)))
        while load_16(end_at + unsigned(2) * j) <= box[1]:
            j += unsigned(1)
        c = 0
        while column_edges[c + 1] <= box[1]:
            c += 1
        x = box[1]
        while x < box[3]:
            end = signed(load_16(end_at + unsigned(2) * j))
            label = load_8(label_at + j)
            stop = min(end, column_edges[c + 1], box[3])
            if label != VOID_LABEL:
                counts[n, r * columns + c, label] += stop - x
                total += stop - x
            x = stop
            j += unsigned(stop == end)
            while c < columns and column_edges[c + 1] <= x:
                c += 1
    return total


@inlined
def touched_cells(
    boxes: Array, n: int, row_edges: Array, column_edges: Array, touched: Array
) -> None:
    """Write first and end cell row, first and end cell column that box n touches."""
    touched[n, 0] = np.searchsorted(row_edges, boxes[n, 0], side="right") - 1
    touched[n, 1] = np.searchsorted(row_edges, boxes[n, 2])
    touched[n, 2] = np.searchsorted(column_edges, boxes[n, 1], side="right") - 1
    touched[n, 3] = np.searchsorted(column_edges, boxes[n, 3])


@compiled
def encode_contexts(
    boxes: Array,
    row_at: Address,
    end_at: Address,
    label_at: Address,
    row_edges: Array,
    column_edges: Array,
    counts: Array,
    cell_range: Array,
    context_box: Array,
    context_range: Array,
    context_area: Array,
) -> None:
    """Enlarge boxes (N, 4) and count the classes in their cells: counts (N, 128, classes), zero."""
    for n in range(boxes.shape[0]):
        box = enlarge(box_at(boxes, n), row_edges[-1], column_edges[-1])
        for edge in range(4):
            context_box[n, edge] = box[edge]
        context_area[n] = count_context(
            box, row_at, end_at, label_at, row_edges, column_edges, counts, n
        )
        touched_cells(boxes, n, row_edges, column_edges, cell_range)
        touched_cells(context_box, n, row_edges, column_edges, context_range)


@compiled
def coarse_layouts(
    sources: SourceTable,
    row_edges: Array,
    column_edges: Array,
    step: int,
    counts: Array,
    coarse: Array,
) -> None:
    """Write what SourceTable.coarse holds to coarse (S, 128, 8), zero, in steps of so many pixels.

    counts (1, 128, classes) int32 is working space.
    """
    whole = (0, 0, row_edges[-1], column_edges[-1])
    for source in range(coarse.shape[0]):
        counts[:] = 0
        count_context(
            whole,
            sources.run_row_at[source],
            sources.run_end_at[source],
            sources.run_label_at[source],
            row_edges,
            column_edges,
            counts,
            0,
        )
        for cell in range(counts.shape[1]):
            for n in range(CELL_LABELS):
                best = np.argmax(counts[0, cell])
                coarse[source, cell, n] = best
                coarse[source, cell, CELL_LABELS + n] = (counts[0, cell, best] + step - 1) // step
                counts[0, cell, best] = 0
            others = counts[0, cell].sum()
            coarse[source, cell, 2 * CELL_LABELS] = (others + step - 1) // step


@compiled
def draw_planes(
    run_row: Array, run_end: Array, run_label: Array, plane_of_label: Array, planes: Array
) -> None:
    """Set the bits of every run in the plane of its class: planes (H, L, words) uint64, zero."""
    for y in range(planes.shape[0]):
        x = 0
        for j in range(run_row[y], run_row[y + 1]):
            end = signed(run_end[j])
            plane = plane_of_label[run_label[j]]
            while run_label[j] != VOID_LABEL and x < end:
                stop = min(end, ((x >> 6) + 1) << 6)
                bits = EVERY_BIT >> unsigned(64 - (stop - x))
                planes[y, plane, x >> 6] |= bits << unsigned(x & 63)
                x = stop
            x = end


@compiled
def describe_masks(
    boxes: Array, word_at: Array, row_edges: Array, column_edges: Array, counts: Array
) -> None:
    """Count the pixels of packed masks at addresses in a grid: counts (N, rows, columns), zero."""
    for n in range(boxes.shape[0]):
        top, left, bottom, right = box_at(boxes, n)
        address = word_at[n]
        for y in range(top, bottom):
            r = np.searchsorted(row_edges, y, side="right") - 1
            for w in range(left >> 6, ((right - 1) >> 6) + 1):
                word = load_64(address)
                address += unsigned(8)
                c = np.searchsorted(column_edges, w << 6, side="right") - 1
                while c < counts.shape[2] and column_edges[c] < (w + 1) << 6:
                    begin = max(column_edges[c] - (w << 6), 0)
                    end = min(column_edges[c + 1] - (w << 6), 64)
                    if begin < end:
                        bits = EVERY_BIT >> unsigned(64 - (end - begin))
                        counts[n, r, c] += popcount(word & (bits << unsigned(begin)))
                    c += 1


@compiled
def describe_layouts(
    boxes: Array,
    source: Array,
    sources: SourceTable,
    row_edges: Array,
    column_edges: Array,
    counts: Array,
) -> None:
    """Count the classes in the enlarged boxes of rows: counts (N, cells, classes) int32, zero."""
    for n in range(boxes.shape[0]):
        box = enlarge(box_at(boxes, n), row_edges[-1], column_edges[-1])
        count_context(
            box,
            sources.run_row_at[source[n]],
            sources.run_end_at[source[n]],
            sources.run_label_at[source[n]],
            row_edges,
            column_edges,
            counts,
            n,
        )


@compiled
def describe_shapes(source: Array, row: Array, sources: SourceTable, counts: Array) -> None:
    """Count the points of stored shapes in 8x8 cells of 4x4: counts (N, 64) float32."""
    for n in range(source.shape[0]):
        address = sources.shape_at[source[n]] + unsigned(8 * SHAPE_WORDS * row[n])
        for w in range(SHAPE_WORDS):
            count_shape_word(load_64(address + unsigned(8 * w)), w, counts, n)


@compiled
def describe_shape(shape: Array, counts: Array) -> None:
    """Count the points of one shape (16,) in 8x8 cells of 4x4: counts (1, 64) float32, zero."""
    for w in range(SHAPE_WORDS):
        count_shape_word(shape[w], w, counts, 0)


@inlined
def count_shape_word(word: int, w: int, counts: Array, n: int) -> None:
    """Add two rows of points, word w of a shape, to its 8x8 cells."""
    for c in range(8):
        # Four columns of the even row, and the same of the odd one.
        bits = unsigned(0x0000000F0000000F) << unsigned(4 * c)
        counts[n, 8 * (w >> 1) + c] += popcount(unsigned(word) & bits)
