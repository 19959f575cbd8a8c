"""Mending: closing the specks of void in a segment of stuff, and leaving others' shadows behind."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.descriptor import sampling
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Segment
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


def take_out_shadows(segment: Segment, label_map: NDArray[np.uint8], layout: Layout) -> Segment:
    """Take out of a ground segment what lies in the contact shadow of its photograph's objects.

    The object stays behind when its road is lent, and a hole with a dark rim would lie on the
    street. Shadows fall below and beside a foot, and hardly above it. Thin things and those that
    bear writing stand on posts, and throw none that counts. Where the layout asks for an object at
    the same place of the frame, the shadow is welcome, and stays.

    Args:
        segment: Of any class; only ground is changed.
        label_map: (h, w) uint8 class ids of its photograph, at any size.
        layout: What is composed.

    Returns:
        The segment with the smaller mask, or itself if nothing changes, or too little is left.
    """
    taxonomy = layout.taxonomy
    if not taxonomy.classes[segment.class_id].known_as(GROUND_NAMES):
        return segment
    casts = np.zeros(256, np.uint8)
    for class_id, entry in enumerate(taxonomy.classes):
        casts[class_id] = entry.kind == "thing" and not entry.thin and not entry.text
    reach = int(SHADOW * label_map.shape[0])
    if reach == 0:
        return segment
    objects = _with_underbodies(np.asarray(cv2.LUT(label_map, casts), np.uint8))
    asked = _with_underbodies(np.asarray(cv2.LUT(layout.label_map, casts), np.uint8))
    objects &= 1 - _laid_on(asked, *label_map.shape)
    if not objects.any():
        return segment
    above = round(SHADOW_ABOVE * reach)
    kernel = np.ones((above + reach + 1, 2 * reach + 1), np.uint8)
    # Seen from a pixel: what is up to a reach above it throws the shadow that it lies in.
    dark = np.asarray(cv2.dilate(objects, kernel, anchor=(reach, reach)), np.uint8)
    height, width = segment.source_size_hw
    top, left, bottom, right = segment.crop_box
    lit = segment.mask & (_laid_on(dark, height, width)[top:bottom, left:right] == 0)
    lit_px, all_px = np.count_nonzero(lit), np.count_nonzero(segment.mask)
    if lit_px == all_px or lit_px < LEAST_LIT * all_px:
        return segment
    own_rows, own_columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    box = (
        top + int(own_rows[0]),
        left + int(own_columns[0]),
        top + int(own_rows[-1]) + 1,
        left + int(own_columns[-1]) + 1,
    )
    return replace(segment, mask=lit, box=box)


def _with_underbodies(objects: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a mask of objects that covers the dark between their wheels or feet as well."""
    filled = objects.copy()
    outlines, _ = cv2.findContours(objects, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for outline in outlines:
        hull = cv2.convexHull(outline)
        if cv2.contourArea(hull) <= COMPACT * cv2.contourArea(outline):
            cv2.fillConvexPoly(filled, hull, 1)
    return filled


def _laid_on(values: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Return a map at another size, by nearest neighbour."""
    if values.shape == (height, width):
        return values
    return values[np.ix_(sampling(values.shape[0], height), sampling(values.shape[1], width))]
