"""From a matrix to pixels: a segment's colour and mask as they fall on a layout."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.affine import (
    Affine,
    at_pixel_centers,
    compose,
    invert,
    is_whole_pixel_shift,
    scaling,
    translation,
)
from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Segment, size_of

PREFILTER_FROM = 2.0
"""Source pixels a layout pixel has to cover before they are averaged first."""


@dataclass(frozen=True, eq=False)
class WarpedPatch:
    """Colour and mask over a box of the layout.

    Attributes:
        box: In layout pixels, within the layout.
        color: (h, w, 3) uint8 RGB.
        mask: (h, w) bool.
    """

    box: Box
    color: NDArray[np.uint8]
    mask: NDArray[np.bool_]


class WarpedSegment(PlacedSegment):
    """A placed segment whose colour is warped when it is first asked for.

    Of the candidates that are placed to be compared, most lose by their masks, and are never seen.

    Args:
        color: (h, w, 3) uint8 RGB over the box; None warps the segment's when it is asked for, by
            source_from_target, on the box that warp_mask gives.
    """

    def __init__(
        self,
        query_id: int,
        segment: Segment,
        candidate: Candidate,
        source_from_target: Affine,
        box: Box,
        color: NDArray[np.uint8] | None,
        mask: NDArray[np.bool_],
        iou: float,
    ) -> None:
        known = {"query_id": query_id, "segment": segment, "candidate": candidate}
        known |= {"source_from_target": source_from_target, "box": box, "mask": mask, "iou": iou}
        self.__dict__.update(known if color is None else {**known, "color": color})
        if color is not None:
            self.__post_init__()

    def __getattr__(self, name: str) -> NDArray[np.uint8]:
        """Return the colour, which is not there yet."""
        if name != "color":
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        color = _warp_color(
            self.segment.color, self.segment.crop_box, self.source_from_target, self.box
        )
        self.__dict__["color"] = color
        return color


def warped_box(crop_box: Box, source_from_target: Affine, size_hw: tuple[int, int]) -> Box:
    """Return the layout pixels that a box of the photograph falls on, clipped to the layout.

    Raises:
        ValueError: If it falls outside of the layout.
    """
    top, left, bottom, right = crop_box
    (a, b, x), (c, d, y) = invert(source_from_target).tolist()
    across = [a * u + b * v + x for u in (left, right) for v in (top, bottom)]
    down = [c * u + d * v + y for u in (left, right) for v in (top, bottom)]
    height, width = size_hw
    # The small numbers keep rounding errors from adding a row or a column.
    box = (
        max(math.floor(min(down) + 1e-6), 0),
        max(math.floor(min(across) + 1e-6), 0),
        min(math.ceil(max(down) - 1e-6), height),
        min(math.ceil(max(across) - 1e-6), width),
    )
    if min(size_of(box)) <= 0:
        raise ValueError(
            f"crop box {crop_box} falls on {box}, outside of a layout of {height}x{width} pixels"
        )
    return box


def warp_segment(
    color: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    crop_box: Box,
    source_from_target: Affine,
    size_hw: tuple[int, int],
) -> WarpedPatch:
    """Read colour and mask of a crop where a matrix says each layout pixel comes from.

    Whole-pixel shifts copy. Otherwise colour is interpolated bicubically, after averaging where a
    layout pixel covers two source pixels or more, and the mask is set where at least half of the
    bilinearly interpolated mask is.

    Args:
        color: (h, w, 3) uint8 RGB over crop_box.
        mask: (h, w) bool over crop_box.
        crop_box: In source pixels.
        source_from_target: (2, 3). Takes a point of the layout to the point of the photograph
            that it is read from.
        size_hw: (height, width) of the layout.

    Raises:
        ValueError: If the crop falls outside of the layout.
    """
    box, warped = warp_mask(mask, crop_box, source_from_target, size_hw)
    return WarpedPatch(box, _warp_color(color, crop_box, source_from_target, box), warped)


def warp_mask(
    mask: NDArray[np.bool_], crop_box: Box, source_from_target: Affine, size_hw: tuple[int, int]
) -> tuple[Box, NDArray[np.bool_]]:
    """Return box and mask of warp_segment, without the work on colour.

    Raises:
        ValueError: If the crop falls outside of the layout.
    """
    box = warped_box(crop_box, source_from_target, size_hw)
    if is_whole_pixel_shift(source_from_target):
        rows, columns = _copied(box, crop_box, source_from_target)
        return box, mask[rows, columns].copy()
    reduced_hw, patch = _patch_map(crop_box, source_from_target, box)
    return box, _warp_soft(mask, reduced_hw, patch, box)


def sample_mask(
    mask: NDArray[np.bool_], box: Box, frame_from_grid: Affine, size_hw: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return (height, width) uint8, 1 where the centre of a grid cell falls on the mask.

    Args:
        mask: (h, w) bool over box.
        box: Of some frame.
        frame_from_grid: (2, 3). Takes a point of the grid to that frame.
        size_hw: (height, width) of the grid.
    """
    patch = compose(translation(-box[1], -box[0]), frame_from_grid)
    return _read(
        np.ascontiguousarray(mask).view(np.uint8),
        patch,
        size_hw,
        cv2.INTER_NEAREST,
        cv2.BORDER_CONSTANT,
    )


def _warp_color(
    color: NDArray[np.uint8], crop_box: Box, source_from_target: Affine, box: Box
) -> NDArray[np.uint8]:
    """Return (h, w, 3) uint8 RGB over a box of the layout."""
    if is_whole_pixel_shift(source_from_target):
        return color[_copied(box, crop_box, source_from_target)].copy()
    reduced_hw, patch = _patch_map(crop_box, source_from_target, box)
    if reduced_hw != color.shape[:2]:
        color = np.asarray(cv2.resize(color, reduced_hw[::-1], interpolation=cv2.INTER_AREA))
    return _read(color, patch, size_of(box), cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)


def _copied(box: Box, crop_box: Box, source_from_target: Affine) -> tuple[slice, slice]:
    down = round(float(source_from_target[1, 2])) - crop_box[0]
    across = round(float(source_from_target[0, 2])) - crop_box[1]
    return slice(box[0] + down, box[2] + down), slice(box[1] + across, box[3] + across)


def _patch_map(
    crop_box: Box, source_from_target: Affine, box: Box
) -> tuple[tuple[int, int], Affine]:
    """Return the size to reduce the crop to, and reduced_from_patch."""
    height, width = size_of(crop_box)
    crop_from_patch = compose(
        translation(-crop_box[1], -crop_box[0]), source_from_target, translation(box[1], box[0])
    )
    (a, b, _), (c, d, _) = crop_from_patch.tolist()
    covered_x, covered_y = abs(a) + abs(b), abs(c) + abs(d)
    reduced_height = math.ceil(height / covered_y) if covered_y >= PREFILTER_FROM else height
    reduced_width = math.ceil(width / covered_x) if covered_x >= PREFILTER_FROM else width
    if (reduced_height, reduced_width) == (height, width):
        return (height, width), crop_from_patch
    reduced_from_crop = scaling(reduced_width / width, reduced_height / height)
    return (reduced_height, reduced_width), compose(reduced_from_crop, crop_from_patch)


def _warp_soft(
    mask: NDArray[np.bool_], reduced_hw: tuple[int, int], patch: Affine, box: Box
) -> NDArray[np.bool_]:
    soft = mask.view(np.uint8) * np.uint8(255)
    if reduced_hw != mask.shape:
        soft = np.asarray(
            cv2.resize(soft, reduced_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8
        )
    warped = _read(soft, patch, size_of(box), cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)
    return warped >= 128


def _read(
    image: NDArray[np.uint8],
    image_from_patch: Affine,
    size_hw: tuple[int, int],
    interpolation: int,
    border: int,
) -> NDArray[np.uint8]:
    warped = cv2.warpAffine(
        image,
        at_pixel_centers(image_from_patch),
        size_hw[::-1],
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
    return np.asarray(warped, np.uint8)
