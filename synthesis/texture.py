"""Stuff as texture: a placed segment moved to where nothing covers its class yet."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box, PlacedSegment

SEARCH_PX = 48
"""Size of the longer side at which the best place is searched."""

ROW_COST = 0.5
"""Share of what a place covers that moving up or down by the picture's height costs: stuff seen in
perspective is like itself only at its own height."""


def lay_over(
    open_part: NDArray[np.bool_],
    box: Box,
    placed: Sequence[PlacedSegment],
    size_hw: tuple[int, int],
) -> PlacedSegment:
    """Move one of several placed segments by whole pixels, so that it covers most of what is open.

    Args:
        open_part: (h, w) bool over box, True where nothing is yet; not all False.
        box: In layout pixels.
        placed: Segments of the class, at least one; those that show no pixel are passed over.
        size_hw: (height, width) of the layout.

    Returns:
        The best of them, moved and cut at the layout's border. Its iou is that of the place it was
        moved from.

    Raises:
        ValueError: If nothing is open, or no segment shows a pixel.
    """
    moves = [
        (*_best_move(open_part, box, item, size_hw[0]), item) for item in placed if item.mask.any()
    ]
    if not moves or not open_part.any():
        raise ValueError("lay_over needs an open pixel and a segment that shows one")
    _, down, right, best = max(moves, key=lambda move: move[0])
    back = np.array([[1, 0, -right], [0, 1, -down], [0, 0, 1]], np.float64)
    top, left = best.box[0] + down, best.box[1] + right
    rows = slice(max(-top, 0), min(size_hw[0] - top, best.mask.shape[0]))
    columns = slice(max(-left, 0), min(size_hw[1] - left, best.mask.shape[1]))
    return replace(
        best,
        box=(top + rows.start, left + columns.start, top + rows.stop, left + columns.stop),
        color=best.color[rows, columns],
        mask=best.mask[rows, columns],
        source_from_target=best.source_from_target @ back,
    )


def _best_move(
    open_part: NDArray[np.bool_], box: Box, item: PlacedSegment, height: int
) -> tuple[float, int, int]:
    """Return the worth of the best move of a segment, and how far it goes down and right."""
    step = max(1, -(-max(*open_part.shape, *item.mask.shape) // SEARCH_PX))
    wanted = _shrunk(open_part, step)
    given = _shrunk(item.mask, step)
    rows, columns = given.shape
    padded = cv2.copyMakeBorder(
        wanted, rows - 1, rows - 1, columns - 1, columns - 1, cv2.BORDER_CONSTANT, value=0
    )
    covered = np.asarray(cv2.matchTemplate(padded, given, cv2.TM_CCORR), np.float64)
    down = box[0] - item.box[0] + step * (np.arange(covered.shape[0]) - rows + 1)
    right = box[1] - item.box[1] + step * (np.arange(covered.shape[1]) - columns + 1)
    worth = covered * step**2 * (1 - ROW_COST * np.minimum(np.abs(down) / height, 1))[:, None]
    place = int(np.argmax(worth))
    y, x = divmod(place, covered.shape[1])
    return float(worth[y, x]), int(down[y]), int(right[x])


def _shrunk(mask: NDArray[np.bool_], step: int) -> NDArray[np.float32]:
    """Return the share of each cell of step x step pixels that is True; what lies outside is not."""
    height, width = mask.shape
    full = np.zeros((-(-height // step) * step, -(-width // step) * step), np.float32)
    full[:height, :width] = mask
    cells = full.reshape(full.shape[0] // step, step, full.shape[1] // step, step)
    return np.ascontiguousarray(cells.mean(axis=(1, 3)))
