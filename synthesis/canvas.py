"""The canvas: placed segments painted back to front, and whose pixel is whose."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import PlacedSegment, Query
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.composition import PaintingOrder

NO_OWNER = -1


@dataclass(frozen=True, eq=False)
class Canvas:
    """All placed segments pasted in order.

    Attributes:
        placed: What was pasted; a mask says where the segment was offered.
        reach: For each placed segment (h, w) bool over its box, where its colour is its own
            photograph's: the mask before it was clipped to a zone. A finish may blend within it.
        order: Who was painted over whom.
        color: (H, W, 3) uint8 RGB, black where nothing was pasted.
        coverage: (H, W) bool, True where a segment was pasted.
        ownership: (H, W) int32, place in placed, -1 = none.
        delivered: The layout that is true of the canvas: void where nothing was pasted; objects
            keep the number they have in the requested instance map.
    """

    placed: tuple[PlacedSegment, ...]
    reach: tuple[NDArray[np.bool_], ...]
    order: PaintingOrder
    color: NDArray[np.uint8]
    coverage: NDArray[np.bool_]
    ownership: NDArray[np.int32]
    delivered: Layout

    @cached_property
    def visible(self) -> tuple[int, ...]:
        """Places of the segments that own a pixel, ascending."""
        owned_px = np.bincount(self.ownership.ravel() + 1, minlength=1)[1:]
        return tuple(np.flatnonzero(owned_px).tolist())


def paste(
    placed: Sequence[PlacedSegment],
    order: PaintingOrder,
    layout: Layout,
    queries: Sequence[Query],
    *,
    reach: Sequence[NDArray[np.bool_]] | None = None,
) -> Canvas:
    """Paint placed segments back to front; the last one to be painted owns the pixel.

    Args:
        placed: Segments on the layout's pixels.
        order: Every place in placed once, the furthest back first.
        layout: The requested layout, (H, W).
        queries: Its regions, by query_id: they carry the instance numbers.
        reach: For each placed segment its mask before clipping; the masks themselves if None.

    Raises:
        ValueError: If the order does not name every placed segment exactly once.
    """
    if sorted(order.back_to_front) != list(range(len(placed))):
        raise ValueError(
            f"the order names {len(order.back_to_front)} places, expected each of the "
            f"{len(placed)} placed segments exactly once"
        )
    ownership = np.full(layout.size_hw, NO_OWNER, np.int32)
    for place in order.back_to_front:
        top, left, bottom, right = placed[place].box
        np.copyto(ownership[top:bottom, left:right], np.int32(place), where=placed[place].mask)

    color = np.zeros((*layout.size_hw, 3), np.uint8)
    label_of = np.full(len(placed) + 1, VOID, np.uint8)
    instance_of = np.zeros(len(placed) + 1, np.int32)
    for place, item in enumerate(placed):
        top, left, bottom, right = item.box
        mine = ownership[top:bottom, left:right] == place
        lay_on(color[top:bottom, left:right], item.color, mine)
        label_of[place + 1] = item.segment.class_id
        instance_of[place + 1] = queries[item.query_id].region.instance_id
    delivered = Layout(label_of[ownership + 1], instance_of[ownership + 1], layout.taxonomy)
    return Canvas(
        placed=tuple(placed),
        reach=tuple(reach) if reach is not None else tuple(item.mask for item in placed),
        order=order,
        color=color,
        coverage=ownership != NO_OWNER,
        ownership=ownership,
        delivered=delivered,
    )


def differing(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return (H, W) bool, where two pictures (H, W, 3) have another colour."""
    unlike = one != other
    # NumPy takes five times as long to reduce so short an axis.
    result: NDArray[np.bool_] = unlike[..., 0] | unlike[..., 1]
    result |= unlike[..., 2]
    return result


def lay_on(under: NDArray[np.uint8], color: NDArray[np.uint8], where: NDArray[np.bool_]) -> None:
    """Write colour (h, w, 3) over what is under it, itself or a window of a picture, where (h, w)."""
    # NumPy's masked copy takes ten times as long for three channels.
    cv2.copyTo(color, np.ascontiguousarray(where).view(np.uint8), under)
