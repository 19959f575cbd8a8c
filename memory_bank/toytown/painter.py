"""The canvas: colour and surface of every sample, drawn back to front."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.toytown.camera import Camera, Points, clip_near

Color = NDArray[np.float64]
"""(3,) RGB, 0 to 255; larger values are clipped when they are drawn."""

SAMPLES = 2
"""Samples along a pixel's side: colour is their mean, labels are one of them."""

_FRACTION_BITS = 4
_GROWTH = 256


@dataclass(frozen=True, eq=False)
class Surfaces:
    """What the samples of one picture belong to, at one sample a pixel.

    Attributes:
        object_map: (H, W) int32 object id, 0 where nothing was drawn.
        depth_m: (H, W) float32 along the view axis; 0 where unknown.
    """

    object_map: NDArray[np.int32]
    depth_m: NDArray[np.float32]


class Painter:
    """Draws objects back to front; what is drawn later owns the samples.

    Pixel points are (x, y) at the size of the picture, whatever the number of samples. Every
    method that takes a colour and claims samples does both with one rasterisation, so that colour
    and surface agree to the sample.
    """

    def __init__(self, camera: Camera) -> None:
        height, width = camera.size_hw
        self.camera = camera
        self.color = np.zeros((height * SAMPLES, width * SAMPLES, 3), np.uint8)
        self.surface = np.zeros((height * SAMPLES, width * SAMPLES), np.uint16)
        self._object_of = np.zeros(_GROWTH, np.int32)
        self._plane_of = np.zeros((_GROWTH, 3))
        self._depth_range_of = np.zeros((_GROWTH, 2))
        self._object_id = 0
        self._first_surface = 1
        self._current = 0

    def begin_object(self, object_id: int) -> None:
        """Let what is drawn from now on belong to an object."""
        self._object_id = object_id
        self._first_surface = self._current + 1

    def begin_surface(
        self, plane: tuple[float, float, float], depth_range_m: tuple[float, float]
    ) -> None:
        """Let what is drawn from now on lie in a plane.

        Args:
            plane: (a, b, c) of 1 / depth = a * x + b * y + c; zeros for unknown depth.
            depth_range_m: Depths between which the surface lies.
        """
        self._current += 1
        if self._current == len(self._object_of):
            self._object_of = np.concatenate([self._object_of, np.zeros(_GROWTH, np.int32)])
            self._plane_of = np.concatenate([self._plane_of, np.zeros((_GROWTH, 3))])
            self._depth_range_of = np.concatenate([self._depth_range_of, np.zeros((_GROWTH, 2))])
        self._object_of[self._current] = self._object_id
        self._plane_of[self._current] = plane
        self._depth_range_of[self._current] = depth_range_m

    @property
    def current_surface(self) -> int:
        """Number that samples of the current surface hold."""
        return self._current

    def begin_board(self, depth_m: float) -> None:
        """Let what is drawn from now on lie at one depth."""
        self.begin_surface((0.0, 0.0, 1.0 / depth_m), (depth_m, depth_m))

    def fill(self, points: Points, color: Color) -> None:
        """Fill a convex polygon of (N, 2) pixel points, and claim its samples."""
        fixed = _fixed_point(points)
        cv2.fillConvexPoly(self.color, fixed, _scalar(color), cv2.LINE_8, _FRACTION_BITS)
        cv2.fillConvexPoly(self.surface, fixed, (self._current,), cv2.LINE_8, _FRACTION_BITS)

    def fill_each(self, polygons: Points, colors: Sequence[Color]) -> None:
        """Fill (P, N, 2) convex polygons, one colour each, and claim their samples."""
        claim = (self._current,)
        for fixed, color in zip(_fixed_point(polygons), colors, strict=True):
            cv2.fillConvexPoly(self.color, fixed, _scalar(color), cv2.LINE_8, _FRACTION_BITS)
            cv2.fillConvexPoly(self.surface, fixed, claim, cv2.LINE_8, _FRACTION_BITS)

    def fill_any(self, points: Points, color: Color) -> None:
        """Fill a simple polygon of (N, 2) pixel points, convex or not, and claim its samples."""
        fixed = _fixed_point(points)
        cv2.fillPoly(self.color, [fixed], _scalar(color), cv2.LINE_8, _FRACTION_BITS)
        cv2.fillPoly(self.surface, [fixed], (self._current,), cv2.LINE_8, _FRACTION_BITS)

    def stroke(
        self, points: Points, width_px: float, color: Color, *, closed: bool = False
    ) -> None:
        """Draw a line through (N, 2) pixel points, and claim its samples."""
        fixed = [_fixed_point(points)]
        thickness = max(1, round(width_px * SAMPLES))
        paint, claim = _scalar(color), (self._current,)
        cv2.polylines(self.color, fixed, closed, paint, thickness, cv2.LINE_8, _FRACTION_BITS)
        cv2.polylines(self.surface, fixed, closed, claim, thickness, cv2.LINE_8, _FRACTION_BITS)

    def fill_in_street(self, corners: Points, color: Color) -> Points | None:
        """Fill a flat convex polygon of (N, 3) street points as a surface of its own.

        Returns:
            Its (M, 2) pixel points, or None if it is behind the camera.
        """
        seen = clip_near(self.camera.to_camera(corners))
        if len(seen) < 3:
            return None
        points = self.camera.to_pixels(seen)
        self.begin_plane(seen)
        self.fill(points, color)
        return points

    def add_in_street(self, corners: Points, color: Color) -> None:
        """Fill a flat convex polygon of (N, 3) street points of the surface begun last."""
        seen = clip_near(self.camera.to_camera(corners))
        if len(seen) >= 3:
            self.fill(self.camera.to_pixels(seen), color)

    def begin_plane(self, seen: Points) -> None:
        """Let what is drawn from now on lie in the plane of (N, 3) camera points."""
        depth = seen[:, 2]
        self.begin_surface(
            self.camera.inverse_depth_plane(seen), (float(depth.min()), float(depth.max()))
        )

    def paste_in_street(
        self,
        texture: NDArray[np.uint8],
        corners: Points,
        mask: NDArray[np.uint8] | None = None,
    ) -> None:
        """Draw a texture on a rectangle of the street, as a surface of its own.

        Args:
            texture: (h, w, 3) uint8 RGB.
            corners: (4, 3) street points of the texture's top left, top right, bottom right and
                bottom left corner, all in front of the camera.
            mask: (h, w) uint8, 255 where the texture is opaque, else 0; None for all of it.
        """
        seen = self.camera.to_camera(corners)
        points = self.camera.to_pixels(seen) * SAMPLES
        self.begin_plane(seen)
        height, width = self.surface.shape
        left, top = np.maximum(np.floor(points.min(axis=0)), 0).astype(int)
        right, bottom = np.minimum(np.ceil(points.max(axis=0)), (width, height)).astype(int)
        if right <= left or bottom <= top:
            return
        texture_height, texture_width = texture.shape[:2]
        from_corners = np.array(
            [[0, 0], [texture_width, 0], [texture_width, texture_height], [0, texture_height]],
            np.float32,
        )
        # Edges to edges: cv2 counts from pixel centres, hence the halves.
        local = (points - (left, top)).astype(np.float32)
        homography = cv2.getPerspectiveTransform(from_corners - 0.5, local - 0.5)
        size = (int(right - left), int(bottom - top))
        warped = cv2.warpPerspective(
            texture, homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        opaque = np.zeros(size[::-1], np.uint8)
        cv2.fillConvexPoly(
            opaque,
            _fixed_point((points - (left, top)) / SAMPLES),
            (255,),
            cv2.LINE_8,
            _FRACTION_BITS,
        )
        if mask is not None:
            opaque &= np.asarray(
                cv2.warpPerspective(mask, homography, size, flags=cv2.INTER_NEAREST), np.uint8
            )
        self._copy(warped, opaque, int(left), int(top))

    def paste(
        self, color: NDArray[np.uint8], mask: NDArray[np.uint8], left_top: tuple[int, int]
    ) -> None:
        """Copy a picture of samples where its mask is 255, and claim them.

        Args:
            color: (h, w, 3) uint8 RGB, one entry a sample.
            mask: (h, w) uint8, 255 or 0.
            left_top: Sample (x, y) of its first corner; may lie outside.
        """
        left, top = left_top
        height, width = self.surface.shape
        cut_left, cut_top = max(0, -left), max(0, -top)
        keep_w, keep_h = min(mask.shape[1], width - left), min(mask.shape[0], height - top)
        if keep_w <= cut_left or keep_h <= cut_top:
            return
        rows, columns = slice(cut_top, keep_h), slice(cut_left, keep_w)
        self._copy(color[rows, columns], mask[rows, columns], left + cut_left, top + cut_top)

    def _copy(
        self, color: cv2.typing.MatLike, mask: cv2.typing.MatLike, left: int, top: int
    ) -> None:
        rows, columns = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        cv2.copyTo(color, mask, self.color[rows, columns])
        self.surface[rows, columns][mask > 0] = self._current

    def modulate(self, points: Points, modulation: NDArray[np.uint8]) -> None:
        """Multiply the object's samples around (N, 2) pixel points by a smooth pattern.

        Args:
            points: Points whose bounding box is treated.
            modulation: (h, w) or (h, w, 3) uint8, 128 = unchanged, stretched over the box.
        """
        height, width = self.surface.shape
        low = np.floor(points.min(axis=0) * SAMPLES).astype(int)
        high = np.ceil(points.max(axis=0) * SAMPLES).astype(int) + 1
        left, top = max(int(low[0]), 0), max(int(low[1]), 0)
        right, bottom = min(int(high[0]), width), min(int(high[1]), height)
        if right <= left or bottom <= top:
            return
        full_w, full_h = int(high[0] - low[0]), int(high[1] - low[1])
        grid_h, grid_w = modulation.shape[:2]
        # Only what is inside the picture is stretched: a near object may be many times its size.
        scale = np.array(
            [
                [grid_w / full_w, 0.0, (left - low[0] + 0.5) * grid_w / full_w - 0.5],
                [0.0, grid_h / full_h, (top - low[1] + 0.5) * grid_h / full_h - 0.5],
            ]
        )
        stretched = cv2.warpAffine(
            modulation,
            scale,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        region = self.color[top:bottom, left:right]
        own = (self.surface[top:bottom, left:right] >= self._first_surface).astype(np.uint8)
        if stretched.ndim == 2:
            stretched = cv2.merge([stretched] * 3)
        cv2.copyTo(cv2.multiply(region, stretched, scale=1 / 128), own, region)

    def picture(self) -> NDArray[np.uint8]:
        """Return the mean of the samples of each pixel, (H, W, 3) uint8 RGB."""
        height, width = self.camera.size_hw
        return np.asarray(
            cv2.resize(self.color, (width, height), interpolation=cv2.INTER_AREA), np.uint8
        )

    def surfaces(self) -> Surfaces:
        """Return what one sample of each pixel belongs to."""
        height, width = self.camera.size_hw
        surface = self.surface[::SAMPLES, ::SAMPLES]
        offset = 0.5 / SAMPLES
        x = (np.arange(width) + offset).astype(np.float32)
        y = (np.arange(height) + offset).astype(np.float32)[:, None]
        a, b, c = self._plane_of.astype(np.float32).T
        with np.errstate(divide="ignore"):
            nearest, farthest = (1.0 / self._depth_range_of.astype(np.float32)).T
        inverse = a[surface] * x + b[surface] * y + c[surface]
        # Samples on an edge may lie just outside of the surface that claims them.
        inverse = np.minimum(np.maximum(inverse, farthest[surface]), nearest[surface])
        with np.errstate(divide="ignore"):
            depth = np.where(np.isinf(inverse), np.float32(0), 1 / inverse)
        return Surfaces(self._object_of[surface], depth.astype(np.float32))


def _fixed_point(points: Points) -> NDArray[np.int32]:
    # The half moves from edges to centres; another half rounds instead of cutting off.
    scaled = points * (SAMPLES << _FRACTION_BITS) + (0.5 - (1 << _FRACTION_BITS) / 2)
    return np.floor(scaled).astype(np.int32)


def _scalar(color: Color) -> Sequence[float]:
    values: list[float] = color.tolist()
    return values
