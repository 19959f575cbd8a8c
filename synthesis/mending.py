"""Mending: closing the specks of void that labelling left within a stuff segment."""

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Segment
from scenequilt.memory_bank.taxonomy import VOID

REACH = 1 / 72
"""Width of the widest crack that is closed, as a share of the photograph's height."""


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
