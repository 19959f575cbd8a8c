"""Tiles of noise and of building materials, made once by pure functions and never changed.

Every tile wraps around. Modulation tiles hold 128 where a colour stays as it is.
"""

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Tile = NDArray[np.uint8]


def _periodic_noise(size: int, cells: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return smooth (size, size) noise that wraps around, of variance about 1."""
    grid = rng.standard_normal((cells, cells)).astype(np.float32)
    margin = 3
    padded = np.pad(grid, margin, mode="wrap")
    factor = size // cells
    large = cv2.resize(padded, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    inner = slice(margin * factor, margin * factor + size)
    return np.asarray(large[inner, inner], np.float32)


@cache
def fractal_noise() -> NDArray[np.float32]:
    """Return (512, 512) float32 fractal noise in [0, 1], mean 0.5: clouds, stains, patches."""
    rng = np.random.default_rng(11)
    total = np.zeros((512, 512), np.float32)
    for octave in range(7):
        total += _periodic_noise(512, 4 << octave, rng) * np.float32(0.56**octave)
    total -= total.mean()
    total = 0.5 + total / (5.0 * total.std())
    noise: NDArray[np.float32] = np.clip(total, 0, 1).astype(np.float32)
    noise.setflags(write=False)
    return noise


@cache
def stains() -> Tile:
    """Return a (512, 512) modulation tile of large soft stains."""
    return _modulation((fractal_noise() - 0.5) * 120)


@cache
def grain() -> Tile:
    """Return a (512, 512) modulation tile of fine, slightly clumped grain: stone, cloth, dirt."""
    rng = np.random.default_rng(12)
    fine = rng.standard_normal((512, 512)).astype(np.float32)
    soft = cv2.GaussianBlur(np.pad(fine, 8, mode="wrap"), (0, 0), 1.2)[8:-8, 8:-8]
    patches = (fractal_noise() - 0.5) * 5
    mixed = fine * 0.35 + soft / soft.std() * 0.8 + patches * 0.7
    return _modulation(mixed * 9)


@cache
def leaves() -> Tile:
    """Return a (512, 512) brightness tile of foliage, mean 128, about 8 m wide."""
    rng = np.random.default_rng(13)
    total = np.zeros((512, 512), np.float32)
    for cells, weight in ((32, 0.75), (64, 0.9), (128, 0.8), (256, 0.6)):
        octave = _periodic_noise(512, cells, rng)
        # Billows: rounded clumps with dark, narrow gaps between them.
        total += (0.8 - np.abs(octave)) * np.float32(weight)
    total = (total - total.mean()) / total.std()
    return _modulation(total * 42)


@cache
def sensor_noise() -> NDArray[np.int16]:
    """Return (768, 1536) int16 noise of unit sigma times 64, slightly correlated."""
    rng = np.random.default_rng(14)
    noise = rng.standard_normal((768, 1536)).astype(np.float32)
    noise = np.asarray(cv2.GaussianBlur(noise, (3, 3), 0.55), np.float32)
    scaled: NDArray[np.int16] = np.rint(noise / noise.std() * 64).astype(np.int16)
    scaled.setflags(write=False)
    return scaled


@cache
def bricks(texels_per_m: tuple[int, int]) -> Tile:
    """Return a modulation tile of a brick wall, 2.4 m wide and 1.8 m high.

    Args:
        texels_per_m: Down and across.
    """
    rng = np.random.default_rng(15)
    course_m, brick_m = 0.09, 0.24
    down, across = texels_per_m
    height, width = round(1.8 * down), round(2.4 * across)
    rows = (np.arange(height) + 0.5) / down
    columns = (np.arange(width) + 0.5) / across
    course = np.floor(rows / course_m).astype(int)
    shifted = columns[None, :] + (course % 2)[:, None] * brick_m / 2
    brick = np.floor(shifted / brick_m).astype(int) % round(2.4 / brick_m)
    tones = rng.normal(0, 13, (64, 16))
    tone = tones[course[:, None] % 20, brick]
    # Joints narrower than a texel fade instead of flickering.
    joint_m = 0.018
    from_course = np.minimum(rows / course_m % 1, 1 - rows / course_m % 1)[:, None] * course_m
    from_brick = np.minimum(shifted / brick_m % 1, 1 - shifted / brick_m % 1) * brick_m
    level = np.where(
        from_course * down < max(0.5, joint_m * down / 2), min(1, 25 * joint_m * down / 12), 0
    )
    upright = np.where(
        from_brick * across < max(0.5, joint_m * across / 2), min(1, joint_m * across), 0
    )
    part = np.maximum(level, upright)
    return _modulation((tone * (1 - part) + 24 * part) * min(1.0, down / 24))


@cache
def slabs() -> Tile:
    """Return a (256, 256) modulation tile of paving slabs, 4 m wide."""
    rng = np.random.default_rng(16)
    edge = np.arange(256)
    row, column = edge // 32, edge // 43
    tones = rng.normal(0, 6, (8, 6))
    tone = tones[row[:, None], np.minimum(column, 5)[None, :]]
    tone = tone + rng.normal(0, 3, (256, 256))
    joint = (edge % 32 == 0)[:, None] | ((edge % 43 == 0) & (edge < 256))[None, :]
    return _modulation(np.where(joint, -30, tone))


@cache
def cobbles() -> Tile:
    """Return a (256, 256) modulation tile of cobblestones, 4 m wide."""
    rng = np.random.default_rng(17)
    edge = np.arange(256)
    row = edge // 10 % 25
    shifted = edge[None, :] + (row % 2)[:, None] * 8
    column = shifted // 16 % 16
    tone = rng.normal(0, 14, (25, 16))[row[:, None], column]
    dome = np.sin(edge % 10 / 10 * math.pi)[:, None] * np.sin(shifted % 16 / 16 * math.pi)
    return _modulation(tone * 0.7 + (dome - 0.55) * 70 + rng.normal(0, 4, (256, 256)))


@cache
def asphalt() -> Tile:
    """Return a (256, 256) modulation tile of asphalt, 4 m wide."""
    rng = np.random.default_rng(18)
    fine = rng.standard_normal((256, 256))
    coarse = _periodic_noise(256, 64, rng) * 0.6 + _periodic_noise(256, 16, rng) * 0.5
    return _modulation(fine * 8 + coarse * 5)


@cache
def grass() -> Tile:
    """Return a (256, 256) modulation tile of grass, 4 m wide."""
    rng = np.random.default_rng(19)
    blades = rng.standard_normal((256, 256)).astype(np.float32)
    blades = np.asarray(
        cv2.GaussianBlur(np.pad(blades, 8, mode="wrap"), (3, 7), 0)[8:-8, 8:-8], np.float32
    )
    return _modulation(blades / blades.std() * 20 + _periodic_noise(256, 16, rng) * 8)


def cut(tile: Tile, size_hw: tuple[int, int], place: int) -> Tile:
    """Return a (h, w) piece of a tile that is repeated for ever; the number says where it begins."""
    (height, width), (tile_h, tile_w) = size_hw, tile.shape
    if height > tile_h or width > tile_w:
        tile = np.asarray(
            cv2.copyMakeBorder(
                tile, 0, max(0, height - tile_h), 0, max(0, width - tile_w), cv2.BORDER_WRAP
            ),
            np.uint8,
        )
    top = place % (tile.shape[0] - height + 1)
    left = place // 977 % (tile.shape[1] - width + 1)
    return tile[top : top + height, left : left + width]


def wrapped(places: NDArray[np.float32], period: int) -> NDArray[np.float32]:
    """Return places modulo a period, in [0, period]; many times faster than the operator."""
    result: NDArray[np.float32] = places - np.floor(places * np.float32(1 / period)) * period
    return result


def _modulation(deviation: NDArray[np.floating]) -> Tile:
    tile: Tile = np.clip(np.rint(128 + deviation), 0, 255).astype(np.uint8)
    tile.setflags(write=False)
    return tile
