"""What lies between the street and the photograph: air, wet ground, lens and sensor."""

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.toytown.camera import Camera
from scenequilt.memory_bank.toytown.light import Light
from scenequilt.memory_bank.toytown.textures import fractal_noise, sensor_noise, wrapped


def expose(
    picture: NDArray[np.uint8],
    depth_m: NDArray[np.float32],
    ground: NDArray[np.bool_],
    light: Light,
    camera: Camera,
    seed: int,
) -> NDArray[np.uint8]:
    """Return the photograph (H, W, 3) uint8 RGB of a clean picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        depth_m: (H, W) float32 metres, 0 = sky.
        ground: (H, W) True on road, pavement and verge: what mirrors when it is wet.
        light: For the air, the wetness and the lamps.
        camera: For the lens.
        seed: Of the sensor's noise.
    """
    rng = np.random.default_rng([seed, 7])
    height, width = camera.size_hw
    if light.wetness > 0:
        picture = _mirrored(picture, ground, light, camera, rng)
    color = picture.astype(np.float32)
    air = 1 - np.exp(depth_m * np.float32(-light.air_per_m))
    # A pixel of sky at an edge holds some of what is beside it, seen through as much air.
    air = np.where(
        depth_m > 0, air, np.asarray(cv2.dilate(air, np.ones((3, 3), np.uint8)), np.float32)
    )
    haze = light.sky_horizon.astype(np.float32) * np.float32(0.99)
    color += air[:, :, None] * (haze - color)
    if light.lamps_lit:
        color += _bloom(picture)
    x = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    y = (np.arange(height, dtype=np.float32) + 0.5) / height - 0.5
    vignette = np.float32(1.03) - np.float32(0.34) * (x[None, :] ** 2 + y[:, None] ** 2)
    color *= vignette[:, :, None]
    sigma = 1.8 + (1.0 if light.lamps_lit else 0.0)
    color += _noise(color.shape, rng) * np.float32(sigma / 64)
    return np.clip(color, 0, 255).astype(np.uint8)


def _mirrored(
    picture: NDArray[np.uint8],
    ground: NDArray[np.bool_],
    light: Light,
    camera: Camera,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Return the picture with what stands on the ground mirrored at its foot, column by column."""
    height, width = camera.size_hw
    rows = np.arange(height)[:, None]
    foot = np.maximum.accumulate(np.where(ground, 0, rows), axis=0)
    source = np.maximum(2 * foot - rows, 0)
    mirror = picture[source, np.arange(width)[None, :]]
    mirror = np.asarray(cv2.blur(mirror, (3, max(3, height // 24))), np.uint8)
    first = max(0, min(height - 1, int(camera.horizon_px) + 2))
    x, z = camera.ground_grid(first)
    drift = rng.uniform(0, 512, 2)
    puddles = np.zeros((height, width), np.float32)
    puddles[first:] = cv2.remap(
        fractal_noise(),
        wrapped(x * 26 + np.float32(drift[0]), 512),
        wrapped(z * 11 + np.float32(drift[1]), 512),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    # Flat puddles mirror, rough ground less; both more the lower the eye (Fresnel).
    down = np.clip((rows - camera.horizon_px) / camera.focal_px, 0.0, 1.0)
    grazing = (1 - np.sqrt(down)) ** 2
    flat = np.clip((puddles - 0.5) * 6, 0, 1)
    part = light.wetness * ground * (0.12 + 0.38 * grazing + flat * (0.22 + 0.2 * grazing))
    mixed = picture + part[:, :, None].astype(np.float32) * (mirror.astype(np.float32) - picture)
    return np.asarray(mixed, np.uint8)


def _bloom(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the light (H, W, 3) that spills over from what is brightest."""
    height, width = picture.shape[:2]
    small = cv2.resize(
        picture, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA
    )
    bright = np.maximum(small.astype(np.float32) - 178, 0)
    # Only what is bright in itself, not the sky: lamps and windows are warm.
    warm = np.maximum(bright[:, :, :1] - bright[:, :, 2:], 0) * np.array(
        [1.0, 0.8, 0.45], np.float32
    )
    spread = cv2.GaussianBlur(warm, (0, 0), max(1.0, height / 80))
    return np.asarray(cv2.resize(spread * np.float32(1.3), (width, height)), np.float32)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    tile = sensor_noise().reshape(-1)
    count = int(np.prod(shape))
    if count > len(tile):
        tile = np.tile(tile, count // len(tile) + 1)
    start = int(rng.integers(len(tile) - count + 1))
    return tile[start : start + count].reshape(shape).astype(np.float32)
