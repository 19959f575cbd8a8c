"""Mending: closing the specks of void in a segment of stuff, and leaving others' shadows behind."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.descriptor import sampling
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Box, Segment
from scenequilt.memory_bank.taxonomy import GROUND_NAMES, VOID

REACH = 1 / 72
"""Width of the widest crack that is closed, as a share of the photograph's height."""

SHADOW = 0.025
"""How far from an object its contact shadow goes, as a share of the photograph's height, rounded
down to pixels of the label map: below 40 rows, nowhere."""

SHADOW_ABOVE = 0.3
"""How far it goes up the picture, behind the object, as a share of SHADOW."""

COMPACT = 1.4
"""A convex hull of so many times the pixels is that of one object, and not of a row of them."""

LEAST_LIT = 0.6
"""Share of a segment that has to be left for the shadows in it to be taken out."""


def mend_mask(segment: Segment, label_map: NDArray[np.uint8]) -> Segment:
    """Give a stuff segment the void that it surrounds.

    Label maps are speckled with void: along lane markings, between two strokes of a brush. Pasted
    as it is, each speck would be a hole, to be covered by another photograph's pixel. Where nothing
    was labelled, and the segment is within reach on both sides, the photograph goes on there; a
    pixel of any other class is never taken. So nothing is mended by a label map of another size
    than the photograph: a sample of its labels does not say what stands between the samples.

    Args:
        segment: As cut.
        label_map: (h, w) uint8 class ids of its photograph, 255 = void.

    Returns:
        The segment with the larger mask, or itself if nothing changes.
    """
    if label_map.shape != segment.source_size_hw:
        return segment
    top, left, bottom, right = segment.crop_box
    unlabelled = label_map[top:bottom, left:right] == VOID
    if not unlabelled.any():
        return segment
    side = 2 * max(1, round(REACH * label_map.shape[0] / 2)) + 1
    closed = cv2.morphologyEx(
        segment.mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((side, side), np.uint8)
    )
    mended = segment.mask | ((closed > 0) & unlabelled)
    if np.array_equal(mended, segment.mask):
        return segment
    return replace(segment, mask=mended)


class ShadowPlaces:
    """Where the objects of photographs cast contact shadows that a layout has no use for.

    The object stays behind when its road is lent, and a hole with a dark rim would lie on the
    street. Shadows fall below and beside a foot, and hardly above it. Thin things and those that
    bear writing stand on posts, and throw none that counts. Where the layout asks for an object at
    the same place of the frame, the shadow is welcome, and stays.

    Args:
        layout: What is composed.
        label_map_of: Returns the (h, w) uint8 class ids of a photograph by its source id, at any
            size. Each photograph is asked for once.
    """

    def __init__(self, layout: Layout, label_map_of: Callable[[str], NDArray[np.uint8]]) -> None:
        self.taxonomy = layout.taxonomy
        self._label_map_of = label_map_of
        self._casts = np.zeros(256, np.uint8)
        for class_id, entry in enumerate(self.taxonomy.classes):
            self._casts[class_id] = entry.kind == "thing" and not entry.thin and not entry.text
        self._asked = _with_underbodies(_looked_up(layout.label_map, self._casts))
        self._not_asked: dict[tuple[int, int], NDArray[np.uint8]] = {}
        self._dark: dict[str, NDArray[np.uint8] | None] = {}

    def of(self, source_id: str) -> NDArray[np.uint8] | None:
        """Return (h, w) uint8 at the size of the label map, 1 in shadow; None if there is none."""
        if source_id not in self._dark:
            self._dark[source_id] = self._find(self._label_map_of(source_id))
        return self._dark[source_id]

    def _find(self, label_map: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        reach = int(SHADOW * label_map.shape[0])
        if reach == 0:
            return None
        objects = _with_underbodies(_looked_up(label_map, self._casts))
        objects &= self._nothing_asked(label_map.shape[0], label_map.shape[1])
        if not objects.any():
            return None
        above = round(SHADOW_ABOVE * reach)
        kernel = np.ones((above + reach + 1, 2 * reach + 1), np.uint8)
        # Seen from a pixel: what is up to a reach above it throws the shadow that it lies in.
        return np.asarray(cv2.dilate(objects, kernel, anchor=(reach, reach)), np.uint8)

    def _nothing_asked(self, height: int, width: int) -> NDArray[np.uint8]:
        if (height, width) not in self._not_asked:
            self._not_asked[height, width] = 1 - _laid_on(self._asked, height, width)
        return self._not_asked[height, width]


def take_out_shadows(segment: Segment, shadows: ShadowPlaces) -> Segment:
    """Take out of a ground segment what lies in the contact shadow of its photograph's objects.

    Args:
        segment: Of any class; only ground is changed.
        shadows: Of the photographs, in the segment's classes.

    Returns:
        The segment with the smaller mask, or itself if nothing changes, or too little is left.
    """
    if not shadows.taxonomy.classes[segment.class_id].known_as(GROUND_NAMES):
        return segment
    dark = shadows.of(segment.source_id)
    if dark is None:
        return segment
    lit = segment.mask & (_laid_on(dark, *segment.source_size_hw, segment.crop_box) == 0)
    lit_px, all_px = np.count_nonzero(lit), np.count_nonzero(segment.mask)
    if lit_px == all_px or lit_px < LEAST_LIT * all_px:
        return segment
    top, left = segment.crop_box[:2]
    own_rows, own_columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    box = (
        top + int(own_rows[0]),
        left + int(own_columns[0]),
        top + int(own_rows[-1]) + 1,
        left + int(own_columns[-1]) + 1,
    )
    return replace(segment, mask=lit, box=box)


def _looked_up(labels: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.LUT(labels, table), np.uint8)


def _with_underbodies(objects: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a mask of objects that covers the dark between their wheels or feet as well."""
    filled = objects.copy()
    outlines, _ = cv2.findContours(objects, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for outline in outlines:
        hull = cv2.convexHull(outline)
        if cv2.contourArea(hull) <= COMPACT * cv2.contourArea(outline):
            cv2.fillConvexPoly(filled, hull, 1)
    return filled


def _laid_on(
    values: NDArray[np.uint8], height: int, width: int, window: Box | None = None
) -> NDArray[np.uint8]:
    """Return a window of a map at another size, by nearest neighbour; all of it if None."""
    top, left, bottom, right = window or (0, 0, height, width)
    if values.shape == (height, width):
        return values[top:bottom, left:right]
    rows = sampling(values.shape[0], height)[top:bottom]
    columns = sampling(values.shape[1], width)[left:right]
    return values[rows][:, columns]
