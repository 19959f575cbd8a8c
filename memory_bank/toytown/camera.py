"""The pinhole camera: street coordinates to pixels, and planes to depth."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

NEAR_M = 0.4
"""Nothing nearer than this along the view axis is drawn."""


@dataclass(frozen=True)
class Camera:
    """A camera above the ground that looks along the street, turned by a small angle.

    Street coordinates are metres: x to the right, y up from the road, z along the street; the
    camera is at (0, height_m, 0). Its axis is level (the horizon is moved by a shift of the lens),
    so upright lines stay upright and the depth of the ground depends on the row alone. Pixel
    coordinates run over the outer edges of the pixels.

    Attributes:
        size_hw: (height, width) of the picture in pixels.
        focal_px: Focal length.
        center_xy: Where the axis meets the picture: x, and the row of the horizon.
        height_m: Of the camera above the road.
        yaw_rad: Turn of the axis away from the street, positive to the right.
    """

    size_hw: tuple[int, int]
    focal_px: float
    center_xy: tuple[float, float]
    height_m: float
    yaw_rad: float

    @property
    def horizon_px(self) -> float:
        """Row of the horizon."""
        return self.center_xy[1]

    @cached_property
    def street_to_camera(self) -> Points:
        """(3, 3): a street point as a row, times this, plus camera_offset, is the camera point."""
        cosine, sine = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        return np.array([(cosine, 0.0, sine), (0.0, -1.0, 0.0), (-sine, 0.0, cosine)])

    @cached_property
    def camera_offset(self) -> Points:
        """(3,) camera point of the street's origin."""
        return np.array([0.0, self.height_m, 0.0])

    @cached_property
    def _center(self) -> Points:
        return np.array(self.center_xy)

    def to_camera(self, points: Points) -> Points:
        """Take (..., 3) street points to (right, down, depth along the axis), in metres."""
        seen: Points = points @ self.street_to_camera + self.camera_offset
        return seen

    def to_pixels(self, seen: Points) -> Points:
        """Take (..., 3) camera points of positive depth to (..., 2) pixel points (x, y)."""
        pixels: Points = seen[..., :2] * (self.focal_px / seen[..., 2:3]) + self._center
        return pixels

    def project(self, points: Points) -> Points:
        """Take (..., 3) street points in front of the camera to (..., 2) pixel points (x, y)."""
        return self.to_pixels(self.to_camera(points))

    def depth_of(self, x: float, z: float) -> float:
        """Return the depth in metres of what stands at x, z."""
        return x * math.sin(self.yaw_rad) + z * math.cos(self.yaw_rad)

    def inverse_depth_plane(self, seen: Points) -> tuple[float, float, float]:
        """Return (a, b, c) of 1 / depth = a * x + b * y + c over the pixels of a plane.

        Args:
            seen: (N, 3) camera points, N >= 3, the first, second and last not on one line.
        """
        (ax, ay, az), (bx, by, bz) = seen[0].tolist(), seen[1].tolist()
        cx, cy, cz = seen[-1].tolist()
        ux, uy, uz = bx - ax, by - ay, bz - az
        vx, vy, vz = cx - ax, cy - ay, cz - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        offset = nx * ax + ny * ay + nz * az
        if abs(offset) < 1e-9:  # seen edge-on: it covers a line at most
            return 0.0, 0.0, 1.0 / max(az, NEAR_M)
        a = nx / (offset * self.focal_px)
        b = ny / (offset * self.focal_px)
        c = nz / offset - a * self.center_xy[0] - b * self.center_xy[1]
        return float(a), float(b), float(c)

    def ground_grid(self, first_row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return street x and z, (H - first_row, W) float32 each, of the ground under every pixel.

        Args:
            first_row: A row below the horizon.
        """
        height, width = self.size_hw
        rows = np.arange(first_row, height) + 0.5
        depth = self.focal_px * self.height_m / (rows - self.horizon_px)
        right = (np.arange(width) + 0.5 - self.center_xy[0]) / self.focal_px
        cosine, sine = math.cos(self.yaw_rad), math.sin(self.yaw_rad)
        far = depth.astype(np.float32)[:, None]
        x = far * (right * cosine + sine).astype(np.float32)
        z = far * (cosine - right * sine).astype(np.float32)
        return x, z


def clip_near(seen: Points, near_m: float = NEAR_M) -> Points:
    """Cut a polygon of (N, 3) camera points at the near plane; (M, 3), M may be 0."""
    depth = seen[:, 2]
    if depth.min() >= near_m:
        return seen
    kept = []
    for index in range(len(seen)):
        here, there = seen[index - 1], seen[index]
        if (here[2] >= near_m) != (there[2] >= near_m):
            kept.append(here + (there - here) * ((near_m - here[2]) / (there[2] - here[2])))
        if there[2] >= near_m:
            kept.append(there)
    return np.array(kept).reshape(-1, 3)
