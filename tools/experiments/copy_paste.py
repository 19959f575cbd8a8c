"""Random copy-paste: objects at random places, scales and sides on a photograph, labels following."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Segment
from scenequilt.memory_bank.taxonomy import Taxonomy

SCALE_LIMITS = (0.5, 2.0)
"""Between these a segment's scale is drawn, evenly in its logarithm."""


@dataclass(frozen=True, slots=True)
class Pasting:
    """Where a segment was pasted.

    Attributes:
        segment_id: The segment.
        box: (top, left, bottom, right) of the whole segment in pixels; may reach out of the picture.
        scale: It was pasted at, times its own size.
        mirrored: True if left and right were exchanged.
    """

    segment_id: int
    box: tuple[int, int, int, int]
    scale: float
    mirrored: bool


def paste_at_random(
    image: NDArray[np.uint8],
    label_map: NDArray[np.uint8],
    segments: Sequence[Segment],
    taxonomy: Taxonomy,
    rng: np.random.Generator,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[Pasting, ...]]:
    """Paste segments onto a photograph, each anywhere, without regard to what is there.

    The middle of a segment falls on any pixel alike. What bears text is not mirrored.

    Args:
        image: (H, W, 3) uint8 RGB.
        label_map: (H, W) uint8 class ids of the photograph, 255 = void.
        segments: Pasted in this order, the last one on top.
        taxonomy: The classes of both.
        rng: Draws places, scales and sides.

    Returns:
        New picture and label map, and where each segment went.

    Raises:
        ValueError: If image and label map differ in size.

    Source:
        Ghiasi et al. 2021, "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
        Segmentation".
    """
    if image.shape != (*label_map.shape, 3):
        raise ValueError(
            f"image must be {(*label_map.shape, 3)} like its label map, got {image.shape}"
        )
    image, label_map = image.copy(), label_map.copy()
    pastings = []
    for segment in segments:
        scale = float(np.exp(rng.uniform(*np.log(SCALE_LIMITS))))
        may_turn = not taxonomy.classes[segment.class_id].text
        turned = bool(rng.random() < 0.5) and may_turn
        color, mask = _at_scale(segment, scale)
        if turned:
            color, mask = color[:, ::-1], mask[:, ::-1]
        height, width = mask.shape
        top = int(rng.integers(label_map.shape[0])) - height // 2
        left = int(rng.integers(label_map.shape[1])) - width // 2
        rows = slice(max(top, 0), min(top + height, label_map.shape[0]))
        columns = slice(max(left, 0), min(left + width, label_map.shape[1]))
        inside = np.s_[
            rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
        ]
        np.copyto(image[rows, columns], color[inside], where=mask[inside][..., None])
        np.copyto(label_map[rows, columns], np.uint8(segment.class_id), where=mask[inside])
        box = (top, left, top + height, left + width)
        pastings.append(Pasting(segment.segment_id, box, scale, turned))
    return image, label_map, tuple(pastings)


def _at_scale(segment: Segment, scale: float) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    height, width = (max(1, round(scale * side)) for side in segment.mask.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    color = cv2.resize(segment.color, (width, height), interpolation=method)
    cover = cv2.resize(segment.mask.astype(np.float32), (width, height), interpolation=method)
    return np.asarray(color, np.uint8), np.asarray(cover >= 0.5, np.bool_)
