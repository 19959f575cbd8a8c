"""The sky: a gradient, the glow of the sun, and clouds on a flat layer far above."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.toytown.camera import Points
from scenequilt.memory_bank.toytown.classes import SKY
from scenequilt.memory_bank.toytown.light import Light
from scenequilt.memory_bank.toytown.painter import SAMPLES, Painter
from scenequilt.memory_bank.toytown.textures import fractal_noise, wrapped
from scenequilt.memory_bank.toytown.world import Footprint

_FAR_M = 1e5


@dataclass(frozen=True, slots=True)
class Sky:
    """The whole sky; its depth is unknown.

    Attributes:
        seed: Of the clouds.
    """

    seed: int

    @property
    def class_id(self) -> int:
        """Sky."""
        return SKY

    @property
    def footprint(self) -> Footprint:
        """Beyond everything."""
        return Footprint(-_FAR_M, _FAR_M, _FAR_M, _FAR_M)

    def shadows(self, light: Light) -> list[Points]:
        """Return nothing: the light says how clouded it is."""
        return []

    def draw(self, painter: Painter, light: Light) -> None:
        """Color every sample down to a little below the horizon."""
        height, width = painter.camera.size_hw
        rows = min(height, math.ceil(painter.camera.horizon_px) + 2)
        if rows <= 0:
            return
        painter.begin_surface((0.0, 0.0, 0.0), (0.0, 0.0))
        painter.surface[: rows * SAMPLES] = painter.surface.dtype.type(painter.current_surface)
        colors = _sky_colors(painter, light, rows, np.random.default_rng(self.seed))
        size = (width * SAMPLES, rows * SAMPLES)
        painter.color[: rows * SAMPLES] = cv2.resize(colors, size, interpolation=cv2.INTER_LINEAR)


def _sky_colors(
    painter: Painter, light: Light, rows: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    camera = painter.camera
    # Every second pixel will do: nothing in the sky is sharp.
    lines = np.linspace(0, rows, max(2, rows // 2), endpoint=False)
    up = np.maximum(camera.horizon_px - (lines + 1.0), 0.0) / camera.focal_px
    columns = np.linspace(0, camera.size_hw[1], max(2, camera.size_hw[1] // 2), endpoint=False)
    right = (columns + 1.0 - camera.center_xy[0]) / camera.focal_px
    up32, right32 = up.astype(np.float32)[:, None], right.astype(np.float32)[None, :]

    part = (np.clip(up / 0.55, 0, 1) ** 0.62)[:, None]
    gradient = (light.sky_horizon + (light.sky_top - light.sky_horizon) * part)[:, None, :]
    sky = np.broadcast_to(gradient, (len(up), len(right), 3)).astype(np.float32)

    sun_x, sun_y, sun_z = light.toward_sun.tolist()
    cosine, sine = math.cos(camera.yaw_rad), math.sin(camera.yaw_rad)
    ahead = sun_x * sine + sun_z * cosine
    toward = (right32 * (sun_x * cosine - sun_z * sine) + up32 * sun_y + ahead) / np.sqrt(
        1 + right32**2 + up32**2
    )
    angle = np.maximum(toward, 0) ** 2
    glow = 0.42 * angle**4 + 0.5 * angle**40
    if light.sunny:
        glow += 2.0 * np.minimum(angle, 1) ** 2200
    sky += glow[:, :, None] * (light.sky_glow.astype(np.float32) - sky * 0.9)

    drift = rng.uniform(0, 512, 2)
    distance = 1 / (up32 + 0.09)
    x = (right32 * cosine + sine) * distance
    z = (cosine - right32 * sine) * distance
    scale = rng.uniform(26, 44)
    map_x = (x * scale + drift[0]).astype(np.float32)
    map_z = (z * scale * 1.5 + drift[1]).astype(np.float32)
    noise = _look_up(map_x, map_z)
    towards = 5.0 * np.array([sun_x, sun_z]) / max(math.hypot(sun_x, sun_z), 0.2)
    lit_side = _look_up(map_x + np.float32(towards[0]), map_z + np.float32(towards[1]))
    threshold = 0.78 - 0.56 * light.cloud_cover
    softness = 0.16 + 0.2 * light.cloud_cover
    cover = np.clip((noise - threshold) / softness, 0, 1)
    cover = cover * cover * (3 - 2 * cover)
    brightness = np.clip(0.62 + (noise - lit_side) * 4.5 - (noise - threshold) * 0.85, 0, 1)
    shade = light.cloud_shade.astype(np.float32)
    cloud = shade + brightness[:, :, None] * (light.cloud_light.astype(np.float32) - shade)
    # Clouds fade into the haze above the horizon.
    cover = cover * np.clip(up32 / 0.07 + 0.12, 0, 1) * np.float32(0.94)
    sky += cover[:, :, None] * (cloud + glow[:, :, None] * 60 - sky)
    return np.clip(sky, 0, 255).astype(np.uint8)


def _look_up(map_x: NDArray[np.float32], map_z: NDArray[np.float32]) -> NDArray[np.float32]:
    found = cv2.remap(
        fractal_noise(),
        wrapped(map_x, 512),
        wrapped(map_z, 512),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(found, np.float32)
