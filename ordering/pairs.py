"""Which placed segments overlap or touch."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box, PlacedSegment

_SQUARE = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two placed segments that share pixels or border on each other.

    Attributes:
        first: Index of the one.
        second: Index of the other, > first.
        overlap_px: Pixels that both cover; 0 if they only touch, corners included.
    """

    first: int
    second: int
    overlap_px: int


def find_pairs(placed: Sequence[PlacedSegment]) -> list[Pair]:
    """Return the pairs that overlap or touch, by first, then second."""
    if len(placed) < 2:
        return []
    boxes = np.array([segment.box for segment in placed])
    # Grown by a pixel: boxes that only touch meet too.
    meet = (
        (boxes[:, None, 0] <= boxes[None, :, 2])
        & (boxes[:, None, 1] <= boxes[None, :, 3])
        & (boxes[None, :, 0] <= boxes[:, None, 2])
        & (boxes[None, :, 1] <= boxes[:, None, 3])
    )
    masks = [np.ascontiguousarray(segment.mask).view(np.uint8) for segment in placed]
    grown: dict[int, NDArray[np.uint8]] = {}
    pairs = []
    for first, second in np.argwhere(np.triu(meet, 1)).tolist():
        box, other = placed[first].box, placed[second].box
        overlap_px = _shared_px(masks[first], box, masks[second], other)
        if overlap_px == 0:
            # The smaller one is grown: less to do.
            if masks[first].size > masks[second].size:
                small, large = second, first
            else:
                small, large = first, second
            if small not in grown:
                grown[small] = _grow(masks[small])
            top, left, bottom, right = placed[small].box
            around = (top - 1, left - 1, bottom + 1, right + 1)
            if _shared_px(grown[small], around, masks[large], placed[large].box) == 0:
                continue
        pairs.append(Pair(first, second, overlap_px))
    return pairs


def _grow(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mask (h + 2, w + 2) grown by a pixel to all sides, corners included."""
    framed = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    framed[1:-1, 1:-1] = mask
    return np.asarray(cv2.dilate(framed, _SQUARE), np.uint8)


def _shared_px(mask: NDArray[np.uint8], box: Box, other_mask: NDArray[np.uint8], other: Box) -> int:
    """Return how many pixels two masks, each over its box, have in common."""
    top, left = max(box[0], other[0]), max(box[1], other[1])
    bottom, right = min(box[2], other[2]), min(box[3], other[3])
    if bottom <= top or right <= left:
        return 0
    window = mask[top - box[0] : bottom - box[0], left - box[1] : right - box[1]]
    facing = other_mask[top - other[0] : bottom - other[0], left - other[1] : right - other[1]]
    return int(np.count_nonzero(window & facing))
