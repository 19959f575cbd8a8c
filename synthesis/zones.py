"""Zones: where each stuff region would show if nothing stood in front of it."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Query
from scenequilt.memory_bank.taxonomy import VOID

NO_ZONE = -1
ROW_PREFERENCE = 3
"""A step along a row counts a third of a step along a column: behind an object, what stands left
and right of it goes on at its own height, so that a horizon stays level."""


def stuff_zones(layout: Layout, queries: Sequence[Query]) -> NDArray[np.int32]:
    """Extend the stuff of a layout under its things and its void.

    Every pixel goes to the nearest stuff region, distances along rows counting less. So a thing
    that turns out smaller than what was asked for uncovers the stuff around it, and not a hole.

    Args:
        layout: What is asked for, (H, W).
        queries: Its regions.

    Returns:
        (H, W) int32 query id of the stuff region behind each pixel; -1 everywhere if the layout
        has no stuff.
    """
    zones = np.full(layout.size_hw, NO_ZONE, np.int32)
    for query in queries:
        if not query.is_thing:
            top, left, bottom, right = query.region.box
            zones[top:bottom, left:right][query.region.mask] = query.query_id
    unknown = zones == NO_ZONE
    if unknown.all() or not unknown.any():
        return zones
    squeezed = np.ascontiguousarray(zones[:, ::ROW_PREFERENCE])
    if (squeezed == NO_ZONE).all():
        squeezed = zones
    nearest = _nearest(squeezed)
    step = ROW_PREFERENCE if squeezed is not zones else 1
    columns = np.arange(zones.shape[1]) // step
    return np.where(unknown, nearest[:, columns], zones)


def zone_labels(zones: NDArray[np.int32], queries: Sequence[Query]) -> NDArray[np.uint8]:
    """Return the (H, W) uint8 class id of each pixel's zone, void where there is none."""
    table = np.full(len(queries) + 1, VOID, np.uint8)
    for query in queries:
        table[query.query_id + 1] = query.class_id
    return table[zones + 1]


def _nearest(zones: NDArray[np.int32]) -> NDArray[np.int32]:
    _, label = cv2.distanceTransformWithLabels(
        (zones == NO_ZONE).astype(np.uint8),
        cv2.DIST_L2,
        cv2.DIST_MASK_5,
        labelType=cv2.DIST_LABEL_PIXEL,
    )
    zone_of_label = np.full(int(label.max()) + 1, NO_ZONE, np.int32)
    known = zones != NO_ZONE
    zone_of_label[label[known]] = zones[known]
    return zone_of_label[label]
