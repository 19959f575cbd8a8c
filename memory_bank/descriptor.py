"""Regions as they are searched: packed masks, counts per cell, shapes, and run-length labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.kernels import (
    CELL_COLUMNS,
    CELL_ROWS,
    CELL_STEPS,
    SHAPE_WORDS,
    count_cells,
    find_runs,
    pack_masks,
    stretch_shapes,
)
from scenequilt.memory_bank.segment import Region

MAX_FRAME_SIDE = 32767

COARSE_STEPS = 65535
"""The coarse layouts of retrieval count a cell's pixels in at most this many steps."""


@dataclass(frozen=True, eq=False)
class Descriptions:
    """What N regions are searched by. The bank's frame is the size at which masks are compared.

    Attributes:
        frame_box: (N, 4) int16 top, left, bottom, right of the mask in frame pixels, end exclusive.
        frame_area: (N,) int32 pixels of the mask in the frame, at least 1.
        words: (W,) uint64 packed masks, one after another. A mask has a row of words for each row
            of its frame_box, covering columns 64 * (left // 64) to the word that holds right - 1;
            bit i of a word that begins at column x is column x + i.
        word_offset: (N + 1,) int64 first word of each mask, and the end.
        cells: (N, 8, 16) uint8 pixels of the mask in each cell of the frame, in steps of 1/255 of
            the largest cell, rounded up, so that a sum of minima never falls short of the overlap.
        shape: (N, 16) uint64 the mask stretched to 32x32 points of its own box; bit 32 * (r % 2) + c
            of word r // 2 is the point of row r, column c.
    """

    frame_box: NDArray[np.int16]
    frame_area: NDArray[np.int32]
    words: NDArray[np.uint64]
    word_offset: NDArray[np.int64]
    cells: NDArray[np.uint8]
    shape: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.frame_area)


@dataclass(frozen=True, eq=False)
class Runs:
    """A label map row by row as runs of equal labels.

    Attributes:
        row_offset: (H + 1,) uint32 first run of each row, and the end.
        end: (R,) uint16 column after the last one of each run.
        label: (R,) uint8 class id, 255 = void.
    """

    row_offset: NDArray[np.uint32]
    end: NDArray[np.uint16]
    label: NDArray[np.uint8]


def describe(
    regions: Sequence[Region], size_hw: tuple[int, int], frame_hw: tuple[int, int]
) -> Descriptions:
    """Describe the regions of a layout of size_hw at the bank's frame size.

    Masks of another size are resampled by nearest neighbour; one that falls between the frame's
    pixels keeps one.

    Raises:
        ValueError: If a size is not positive, a region is empty, or it leaves the layout.
    """
    _check_frame(frame_hw)
    count = len(regions)
    boxes = np.empty((count, 4), np.int64)
    for n, region in enumerate(regions):
        boxes[n] = region.box
    _check_boxes(boxes, size_hw)
    pixel_offset = np.zeros(count + 1, np.int64)
    np.cumsum((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), out=pixel_offset[1:])
    pixels = np.empty(pixel_offset[-1], np.uint8)
    for n, region in enumerate(regions):
        pixels[pixel_offset[n] : pixel_offset[n + 1]].reshape(region.mask.shape)[:] = region.mask
    if count and not np.logical_or.reduceat(pixels, pixel_offset[:-1]).all():
        empty = int(np.argmin(np.logical_or.reduceat(pixels, pixel_offset[:-1])))
        raise ValueError(f"region {empty} with box {regions[empty].box} has no pixel in its mask")
    return _describe(pixels, pixel_offset, boxes, size_hw, frame_hw)


def encode_runs(label_map: NDArray[np.uint8]) -> Runs:
    """Encode a label map (H, W) of class ids as runs.

    Raises:
        ValueError: If it is not a (H, W) uint8 map with sides of 1 to 32767.
    """
    if label_map.ndim != 2 or label_map.dtype != np.uint8:
        raise ValueError(f"label_map must be (H, W) uint8, got {label_map.shape} {label_map.dtype}")
    height, width = label_map.shape
    _check_frame((height, width))
    row_offset = np.empty(height + 1, np.uint32)
    end = np.empty(height * width, np.uint16)
    label = np.empty(height * width, np.uint8)
    used = find_runs(np.ascontiguousarray(label_map), row_offset, end, label)
    return Runs(row_offset, end[:used].copy(), label[:used].copy())


def resample_labels(label_map: NDArray[np.uint8], frame_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Resample a label map (H, W) to the frame by nearest neighbour, as `describe` does masks."""
    _check_frame(frame_hw)
    if label_map.shape == frame_hw:
        return label_map
    rows, columns = (
        sampling(label_map.shape[0], frame_hw[0]),
        sampling(label_map.shape[1], frame_hw[1]),
    )
    return np.ascontiguousarray(label_map[rows][:, columns])


def sampling(size: int, frame_size: int) -> NDArray[np.int64]:
    """Return which of size pixels lies under the centre of each of frame_size pixels."""
    return (2 * np.arange(frame_size, dtype=np.int64) + 1) * size // (2 * frame_size)


def cell_edges(frame_hw: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the row edges (9,) and column edges (17,) of the frame's cells, in pixels."""
    return (
        np.arange(CELL_ROWS + 1, dtype=np.int64) * frame_hw[0] // CELL_ROWS,
        np.arange(CELL_COLUMNS + 1, dtype=np.int64) * frame_hw[1] // CELL_COLUMNS,
    )


def largest_cell_px(frame_hw: tuple[int, int]) -> int:
    """Return the pixels of the largest cell: 255 steps of a stored count."""
    row_edges, column_edges = cell_edges(frame_hw)
    return max(1, int(np.diff(row_edges).max() * np.diff(column_edges).max()))


def coarse_step_px(frame_hw: tuple[int, int]) -> int:
    """Return the pixels of a step in which a cell's counts fit 16 bits: 1 up to 65535 a cell."""
    return -(-largest_cell_px(frame_hw) // COARSE_STEPS)


def cell_counts(found: Descriptions, frame_hw: tuple[int, int]) -> NDArray[np.int32]:
    """Return (N, 8, 16) int32: the pixels of each mask in each cell of the frame, exactly."""
    row_edges, column_edges = cell_edges(frame_hw)
    counts = np.empty((len(found), CELL_ROWS, CELL_COLUMNS), np.int32)
    count_cells(found.frame_box, found.word_offset, found.words, row_edges, column_edges, counts)
    return counts


def _describe(
    pixels: NDArray[np.uint8],
    pixel_offset: NDArray[np.int64],
    boxes: NDArray[np.int64],
    size_hw: tuple[int, int],
    frame_hw: tuple[int, int],
) -> Descriptions:
    count = len(boxes)
    rows, columns = sampling(size_hw[0], frame_hw[0]), sampling(size_hw[1], frame_hw[1])
    frame_box = np.empty((count, 4), np.int16)
    frame_area = np.empty(count, np.int32)
    word_offset = np.empty(count + 1, np.int64)
    heights = np.searchsorted(rows, boxes[:, 2]) - np.searchsorted(rows, boxes[:, 0])
    widths = np.searchsorted(columns, boxes[:, 3]) - np.searchsorted(columns, boxes[:, 1])
    words = np.empty(int(np.sum(np.maximum(heights, 1) * (widths // 64 + 2))), np.uint64)
    used = pack_masks(
        pixels, pixel_offset, boxes, rows, columns, frame_box, frame_area, word_offset, words
    )
    words = words[:used].copy()
    counts = np.empty((count, CELL_ROWS, CELL_COLUMNS), np.int32)
    count_cells(frame_box, word_offset, words, *cell_edges(frame_hw), counts)
    largest = largest_cell_px(frame_hw)
    cells = ((counts * CELL_STEPS + largest - 1) // largest).astype(np.uint8)
    shape = np.zeros((count, SHAPE_WORDS), np.uint64)
    stretch_shapes(pixels, pixel_offset, boxes, shape)
    return Descriptions(frame_box, frame_area, words, word_offset, cells, shape)


def _check_frame(frame_hw: tuple[int, int]) -> None:
    if not all(1 <= side <= MAX_FRAME_SIDE for side in frame_hw):
        raise ValueError(f"frame is {frame_hw}, expected sides of 1 to {MAX_FRAME_SIDE} pixels")


def _check_boxes(boxes: NDArray[np.int64], size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    outside = (
        (boxes[:, 0] < 0)
        | (boxes[:, 1] < 0)
        | (boxes[:, 2] > height)
        | (boxes[:, 3] > width)
        | (boxes[:, 2] <= boxes[:, 0])
        | (boxes[:, 3] <= boxes[:, 1])
    )
    if outside.any():
        bad = tuple(int(v) for v in boxes[int(np.argmax(outside))])
        raise ValueError(f"box {bad} is empty or leaves the layout of {height}x{width} pixels")
