"""Trees with ragged crowns through which the sky shows, hedges, and the far tree line."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.toytown.camera import Points
from scenequilt.memory_bank.toytown.classes import VEGETATION
from scenequilt.memory_bank.toytown.ground import KERB_M
from scenequilt.memory_bank.toytown.light import Light, rgb
from scenequilt.memory_bank.toytown.painter import SAMPLES, Color, Painter
from scenequilt.memory_bank.toytown.textures import Tile, cut, fractal_noise, leaves
from scenequilt.memory_bank.toytown.world import Footprint, box_shadow, ellipse, stream

Habit = Literal["round", "oval", "poplar", "conifer"]


@dataclass(frozen=True, eq=False)
class Tree:
    """A tree: a board at one depth that faces the camera.

    Attributes:
        x, z: Foot of the trunk.
        height_m: To the top.
        crown_m: Width of the crown.
        trunk_m: Height at which the crown starts.
        habit: Shape of the crown.
        leaf_color: Of leaves in the middle of light and shade.
        density: How much of the crown is leaves, about 0.5 (winter) to 1.
        seed: Of the crown's outline.
    """

    x: float
    z: float
    height_m: float
    crown_m: float
    trunk_m: float
    habit: Habit
    leaf_color: Color
    density: float
    seed: int

    @property
    def class_id(self) -> int:
        """Vegetation, trunk and all."""
        return VEGETATION

    @property
    def footprint(self) -> Footprint:
        """The trunk."""
        return Footprint(self.x - 0.2, self.x + 0.2, self.z - 0.2, self.z + 0.2)

    def shadows(self, light: Light) -> list[Points]:
        """Return the shadows of the trunk and of the crown as some loose ellipses."""
        rng = stream(self.seed, 4)
        foot = np.array([(self.x - 0.15, self.z), (self.x + 0.15, self.z)])
        trunk = np.concatenate([foot, foot[::-1] + light.shadow_offset(self.trunk_m + 1)])
        count = 24 if self.z < 30 else 6
        spread = self.crown_m * 0.34
        heights = rng.uniform(self.trunk_m + 0.5, self.height_m - 0.6, (count, 1))
        centers = (self.x, self.z) + heights * light.shadow_offset(1.0)
        centers = centers + rng.normal(0, spread * 0.62, (count, 2))
        radii = rng.uniform(0.12, 0.42, (count, 1)) * spread
        stretch = 1 + 0.4 * min(float(np.hypot(*light.shadow_offset(1.0))), 2.0)
        ring = ellipse((0, 0), (1, stretch), 9)
        loose = ring * rng.uniform(0.86, 1.14, (count, 9, 1))
        return [trunk, *(centers[:, None] + radii[:, None] * loose)]

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw trunk and branches, then the leaves."""
        camera = painter.camera
        depth = camera.depth_of(self.x, self.z)
        scale = camera.focal_px / depth  # pixels a metre
        foot = camera.project(np.array([self.x, KERB_M, self.z]))
        rng = stream(self.seed, 3)
        painter.begin_board(depth)
        self._draw_trunk(painter, light, foot, scale, rng)
        self._draw_leaves(painter, light, foot, scale, rng)

    def _draw_trunk(
        self, painter: Painter, light: Light, foot: Points, scale: float, rng: np.random.Generator
    ) -> None:
        bark = rgb(104, 86, 70) * light.on_figure(in_sun=light.sunny)
        crown_low, top = self.trunk_m, self.height_m
        half = 0.022 * self.height_m
        lean = rng.uniform(-0.15, 0.15)

        def place(points: list[tuple[float, float]]) -> Points:
            return foot + np.array(points) * (scale, -scale)

        reach = crown_low + (top - crown_low) * 0.55
        trunk = [
            (-half * 1.5, 0),
            (half * 1.5, 0),
            (half, 0.4),
            (half * 0.5 + lean, reach),
            (-half * 0.5 + lean, reach),
            (-half, 0.4),
        ]
        painter.fill_any(place(trunk), bark)
        painter.fill(
            place(
                [
                    (half * 0.2, 0.1),
                    (half, 0.1),
                    (half * 0.45 + lean, reach),
                    (half * 0.1 + lean, reach),
                ]
            ),
            bark * 0.68,
        )
        if scale * half > 0.8 and self.habit in ("round", "oval"):
            for side in (-1, 1, -1, 1, -1):
                start = rng.uniform(crown_low * 0.95, reach * 0.9)
                out = side * rng.uniform(0.15, 0.3) * self.crown_m
                up = start + rng.uniform(0.6, 0.95) * abs(out) + 0.4
                base = lean * start / reach
                limb = [
                    (base, start),
                    (base + out * 0.45, start + (up - start) * 0.6),
                    (base + out, up),
                ]
                painter.stroke(place(limb), half * 0.55 * scale, bark * 0.85)

    def _draw_leaves(
        self, painter: Painter, light: Light, foot: Points, scale: float, rng: np.random.Generator
    ) -> None:
        sample = scale * SAMPLES
        width = round(self.crown_m * 1.15 * sample)
        height = round((self.height_m - self.trunk_m) * 1.08 * sample)
        if min(width, height) < 3:
            return
        texels = 24 if height < 60 else 40 if height < 200 else 72
        solid, lit = _crown(self.habit, light, rng, texels)
        size = (width, height)
        # Leaves keep their size in metres: the same cut of the tile for near and far trees.
        cut_h = int(np.clip((self.height_m - self.trunk_m) * 64, 16, 512))
        cut_w = int(np.clip(self.crown_m * 64, 16, 512))
        leaf_cut = cut(leaves(), (cut_h, cut_w), int(rng.integers(2**20)))
        shrink = cv2.INTER_AREA if height < cut_h else cv2.INTER_LINEAR
        leaf = cv2.resize(leaf_cut, size, interpolation=shrink)
        solid_large = cv2.resize(solid, size, interpolation=cv2.INTER_LINEAR)
        # Leaves part the sky where the crown is thin: solidity and leaf brightness together.
        field = cv2.addWeighted(solid_large, 1.0, leaf, 0.75, 32 + 30 * (self.density - 1) - 128)
        _, mask = cv2.threshold(field, 104, 255, cv2.THRESH_BINARY)
        lit_large = cv2.resize(lit, size, interpolation=cv2.INTER_LINEAR)
        brightness = cv2.addWeighted(lit_large, 0.62, leaf, 0.62, -30)
        color = cv2.LUT(cv2.merge([brightness] * 3), self._leaf_colors(light))
        left = round(float(foot[0]) * SAMPLES - width / 2)
        top = round(float(foot[1]) * SAMPLES - self.height_m * 1.02 * sample)
        painter.paste(np.asarray(color, np.uint8), np.asarray(mask, np.uint8), (left, top))

    def _leaf_colors(self, light: Light) -> Tile:
        return _leaf_ramp(self.leaf_color, light)


def _leaf_ramp(leaf_color: Color, light: Light) -> Tile:
    """Return (1, 256, 3) uint8: the colour of foliage by brightness, shade to sunlit."""
    part = (np.arange(256) / 255)[:, None]
    in_shade = leaf_color * light.on_figure(in_sun=False) * (0.34, 0.42, 0.5)
    in_sun = leaf_color * light.on_figure(in_sun=True) * (1.30, 1.22, 0.86)
    ramp = in_shade + (in_sun - in_shade) * part**1.15 * 1.25
    return np.clip(ramp, 0, 255).astype(np.uint8)[None]


def _crown(habit: Habit, light: Light, rng: np.random.Generator, size: int) -> tuple[Tile, Tile]:
    """Return how solid a crown is and how lit, (size, size) uint8 each."""
    y, x = _grid(size)
    toward = (light.toward_sun if light.sunny else np.array([0.1, 0.95, 0.0])).astype(np.float32)
    clumps = np.array(_clumps(habit, rng), np.float32).T  # (4, clumps)
    across = ((x - clumps[0, :, None, None]) / clumps[2, :, None, None]) ** 2
    down = ((y - clumps[1, :, None, None]) / clumps[3, :, None, None]) ** 2
    center_x, center_y, radius_x, radius_y = clumps[:, (across + down).argmin(axis=0)]
    dx, dy = (x - center_x) / radius_x, (y - center_y) / radius_y
    solid = 1 - dx * dx - dy * dy
    lit = dx * toward[0] - dy * toward[1] - np.sqrt(np.maximum(solid, 0)) * toward[2]
    solid = np.maximum(solid, -1)
    corner = int(rng.integers(512 - size))
    rough = fractal_noise()[corner : corner + size, -size:] - np.float32(0.5)
    solid = 112 * solid + 140 * rough + 76
    shade = 128 + 92 * lit - 34 * (y - np.float32(0.1))
    return np.clip(solid, 0, 255).astype(np.uint8), np.clip(shade, 0, 255).astype(np.uint8)


def _clumps(habit: Habit, rng: np.random.Generator) -> list[tuple[float, float, float, float]]:
    """Return (x, y, radius x, radius y) of the clumps of a crown in [-1, 1], y downwards."""
    if habit == "poplar":
        return [
            (rng.normal(0, 0.08), y, 0.5 * (1.1 - 0.35 * abs(y)), 0.42)
            for y in np.linspace(-0.66, 0.66, 5)
        ]
    if habit == "conifer":
        return [
            (rng.normal(0, 0.05), y, 0.12 + 0.4 * (y + 1), 0.26) for y in np.linspace(-0.8, 0.72, 7)
        ]
    tall = 1.0 if habit == "oval" else 0.86
    count = int(rng.integers(6, 10))
    angle = 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    reach, radius = rng.uniform(0.42, 0.6, count), rng.uniform(0.28, 0.44, count)
    outer = [reach * np.cos(angle), tall * reach * np.sin(angle) - 0.04, radius, radius * 0.88]
    return [(0.0, 0.0, 0.66, 0.68 * tall), *zip(*(part.tolist() for part in outer), strict=True)]


@cache
def _grid(size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    axis = ((np.arange(size) + 0.5) / size * 2 - 1).astype(np.float32)
    return axis[:, None], axis[None, :]


@dataclass(frozen=True, eq=False)
class Hedge:
    """A clipped hedge along the street.

    Attributes:
        side: -1 on the left of the street, 1 on the right.
        place: Ground that it covers.
        height_m: Of the hedge.
        leaf_color: Of its leaves.
        seed: Of its outline.
    """

    side: int
    place: Footprint
    height_m: float
    leaf_color: Color
    seed: int

    @property
    def class_id(self) -> int:
        """Vegetation."""
        return VEGETATION

    @property
    def footprint(self) -> Footprint:
        """The ground that it covers."""
        return self.place

    def shadows(self, light: Light) -> list[Points]:
        """Return the outline of its shadow."""
        return [box_shadow(self.place, self.height_m, light)]

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw the near end, then the long face with its ragged top."""
        place, top = self.place, self.height_m
        front_x = place.right if self.side < 0 else place.left
        ramp = _leaf_ramp(self.leaf_color, light)
        toward = light.on((-self.side, 0, 0)).mean() / max(light.on_figure(in_sun=True).mean(), 0.1)
        self._draw_face(
            painter,
            ramp,
            [(place.left, place.near), (place.right, place.near)],
            0.55,
            1,
        )
        ends = [(front_x, place.near), (front_x, place.far)]
        self._draw_face(
            painter, ramp, ends if self.side < 0 else ends[::-1], 0.35 + 0.4 * toward, 2, top
        )

    def _draw_face(
        self,
        painter: Painter,
        ramp: Tile,
        ends: list[tuple[float, float]],
        brightness: float,
        number: int,
        top: float | None = None,
    ) -> None:
        rng = stream(self.seed, number)
        (x0, z0), (x1, z1) = ends
        rise = self.height_m * 1.12
        corners = np.array([(x0, rise, z0), (x1, rise, z1), (x1, KERB_M, z1), (x0, KERB_M, z0)])
        texels_per_m = 32
        length = float(np.hypot(x1 - x0, z1 - z0))
        size = (max(4, round(rise * texels_per_m)), max(4, round(length * texels_per_m)))
        leaf = cut(leaves(), size, int(rng.integers(2**20))).astype(np.float32)
        height = np.linspace(1.12, 0, size[0], dtype=np.float32)[:, None]
        lit = leaf * np.float32(0.7) + np.float32(160 * brightness) * (0.35 + 0.65 * height) - 40
        color = cv2.LUT(cv2.merge([np.clip(lit, 0, 255).astype(np.uint8)] * 3), ramp)
        ragged = (height - 1) * 9 < (leaf - 128) * np.float32(1 / 64)
        mask = ragged.astype(np.uint8) * np.uint8(255)
        painter.paste_in_street(np.asarray(color, np.uint8), corners, mask)


@dataclass(frozen=True, eq=False)
class TreeLine:
    """Trees and hills beyond the last house: they close the view.

    Attributes:
        z: How far away.
        height_m: Of the trees, about.
        leaf_color: Of their leaves.
        seed: Of the outline.
    """

    z: float
    height_m: float
    leaf_color: Color
    seed: int

    @property
    def class_id(self) -> int:
        """Vegetation."""
        return VEGETATION

    @property
    def footprint(self) -> Footprint:
        """All across the view."""
        return Footprint(-1e4, 1e4, self.z, self.z + 1)

    def shadows(self, light: Light) -> list[Points]:
        """Return nothing: it is too far away to matter."""
        return []

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw the band with its ragged outline."""
        camera = painter.camera
        scale = camera.focal_px / self.z
        columns = camera.size_hw[1] * SAMPLES
        rng = stream(self.seed, 5)
        metres = np.arange(columns) / (scale * SAMPLES)
        start = rng.uniform(0, 1000)
        row = int(rng.integers(512))
        noise = fractal_noise()
        hills = noise[row, ((metres + start) * 0.6).astype(int) % 512]
        clumps = noise[(row + 99) % 512, ((metres + start) * 4).astype(int) % 512]
        tops = self.height_m * (0.45 + 0.8 * hills + 0.45 * (clumps - 0.5)) * scale * SAMPLES
        base = (camera.horizon_px + camera.height_m * scale) * SAMPLES
        first = int(max(0, np.floor(base - tops.max())))
        last = int(min(np.ceil(base), camera.size_hw[0] * SAMPLES))
        if last <= first:
            return
        rows = np.arange(first, last)[:, None] + 0.5
        mask = (rows > base - tops[None, :]).astype(np.uint8) * np.uint8(255)
        leaf = cut(leaves(), (last - first, columns), row).astype(np.float32)
        up = (base - rows) / np.maximum(tops[None, :], 1)
        lit = np.clip(leaf * 0.45 + 40 + 70 * up, 0, 255).astype(np.uint8)
        color = cv2.LUT(cv2.merge([lit] * 3), _leaf_ramp(self.leaf_color, light))
        painter.begin_board(self.z)
        painter.paste(np.asarray(color, np.uint8), mask, (0, first))
