"""What the alignment network looks at: a window of the layout, sampled at one size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.affine import Affine, compose, invert
from scenequilt.memory_bank.segment import Box, size_of
from scenequilt.memory_bank.taxonomy import VOID

LEAST_PX = 32
"""Least side of a view: the network halves it five times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSettings:
    """How queries are shown to the network.

    Attributes:
        size_hw: (height, width) of what the network sees, in pixels.
        whole_layout: Show all of the layout, as Qi et al. 2018 do, instead of a window around the
            query. In a window a small object is as large as a wide one.
        margin: What a window shows beyond the query's box on each side, as a share of the box.

    Raises:
        ValueError: If a value is out of range.
    """

    size_hw: tuple[int, int] = (64, 64)
    whole_layout: bool = False
    margin: float = 0.25

    def __post_init__(self) -> None:
        if min(self.size_hw) < LEAST_PX:
            raise ValueError(f"size_hw is {self.size_hw}, expected at least {LEAST_PX} pixels each")
        if not 0 <= self.margin <= 2:
            raise ValueError(f"margin is {self.margin}, expected 0 to 2 boxes")


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A window of a layout.

    Attributes:
        size_hw: (height, width) at which it is sampled.
        layout_from_view: (2, 3). Takes a point of the view, in [-1, 1] over its outer edges, x to
            the right, y down, to the layout's pixels.
        layout_from_pixels: (2, 3). Takes a point of the view in pixels there.
    """

    size_hw: tuple[int, int]
    layout_from_view: Affine
    layout_from_pixels: Affine

    @classmethod
    def of(cls, box: Box, layout_hw: tuple[int, int], settings: ViewSettings) -> "View":
        """Return the view for a query with such a box, in a layout of such a size."""
        if settings.whole_layout:
            left = top = 0.0
            height, width = map(float, layout_hw)
        else:
            box_height, box_width = size_of(box)
            top, left = box[0] - settings.margin * box_height, box[1] - settings.margin * box_width
            height = (1 + 2 * settings.margin) * box_height
            width = (1 + 2 * settings.margin) * box_width
        rows, columns = settings.size_hw
        return cls(
            settings.size_hw,
            np.array([[width / 2, 0, left + width / 2], [0, height / 2, top + height / 2]]),
            np.array([[width / columns, 0, left], [0, height / rows, top]]),
        )

    def in_view(self, layout_from_layout: Affine) -> Affine:
        """Return a map between points of the layout as one between points of the view."""
        return compose(invert(self.layout_from_view), layout_from_layout, self.layout_from_view)

    def in_layout(self, view_from_view: Affine) -> Affine:
        """Return a map between points of the view as one between points of the layout."""
        return compose(self.layout_from_view, view_from_view, invert(self.layout_from_view))

    def segment(
        self,
        color: NDArray[np.uint8],
        mask: NDArray[np.bool_],
        crop_box: Box,
        source_from_layout: Affine,
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return a segment as it stands on the view.

        Args:
            color: (h, w, 3) uint8 RGB over crop_box.
            mask: (h, w) bool over crop_box.
            crop_box: In pixels of the photograph.
            source_from_layout: (2, 3). Takes a point of the layout to the point of the photograph
                that is shown there.

        Returns:
            (height, width, 3) uint8, 0 outside of the mask, and (height, width) bool. Both are
            empty where the segment lies outside of the view.
        """
        from scenequilt.alignment.warp import warp_segment, warped_box

        shown = np.zeros((*self.size_hw, 3), np.uint8)
        where = np.zeros(self.size_hw, np.bool_)
        source_from_pixels = compose(source_from_layout, self.layout_from_pixels)
        try:
            warped_box(crop_box, source_from_pixels, self.size_hw)
        except ValueError:
            return shown, where
        patch = warp_segment(color, mask, crop_box, source_from_pixels, self.size_hw)
        top, left, bottom, right = patch.box
        shown[top:bottom, left:right] = patch.color * patch.mask[..., None]
        where[top:bottom, left:right] = patch.mask
        return shown, where

    def mask(self, mask: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
        """Return a mask over a box of the layout on the view, (height, width) bool."""
        from scenequilt.alignment.warp import warp_mask

        where = np.zeros(self.size_hw, np.bool_)
        (top, left, bottom, right), patch = warp_mask(
            mask, box, self.layout_from_pixels, self.size_hw
        )
        where[top:bottom, left:right] = patch
        return where

    def label_map(self, label_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the layout's classes on the view, (height, width) uint8; void beyond its border."""
        height, width = label_map.shape
        rows, columns = self._centers()
        shown: NDArray[np.uint8] = label_map[
            np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))
        ]
        shown[~self.inside((height, width))] = VOID
        return shown

    def inside(self, layout_hw: tuple[int, int]) -> NDArray[np.bool_]:
        """Return where the view shows the layout, (height, width) bool, False beyond its border."""
        rows, columns = self._centers()
        return np.logical_and.outer(
            (rows >= 0) & (rows < layout_hw[0]), (columns >= 0) & (columns < layout_hw[1])
        )

    def _centers(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the layout's rows and columns under the centres of the view's pixels."""
        (step_x, _, left), (_, step_y, top) = self.layout_from_pixels.tolist()
        height, width = self.size_hw
        rows = np.floor(top + step_y * (np.arange(height) + 0.5)).astype(np.int64)
        return rows, np.floor(left + step_x * (np.arange(width) + 0.5)).astype(np.int64)
