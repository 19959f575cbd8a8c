"""Houses: textured facades along the street, gable ends, roofs and chimneys."""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import cv2
import numpy as np

from scenequilt.memory_bank.toytown.camera import Points
from scenequilt.memory_bank.toytown.classes import BUILDING
from scenequilt.memory_bank.toytown.light import Light, blend, gray, pick, rgb
from scenequilt.memory_bank.toytown.painter import SAMPLES, Color, Painter
from scenequilt.memory_bank.toytown.textures import Tile, bricks, cut, grain, stains
from scenequilt.memory_bank.toytown.world import Footprint, box_shadow, stream

GroundFloor = Literal["door", "shop", "garage"]
Wall = Literal["brick", "plaster", "stone", "panel"]
Roof = Literal["pitched", "flat"]

_SHOP_COLORS = np.array(
    [
        (36, 66, 52),
        (120, 30, 34),
        (28, 44, 84),
        (44, 44, 46),
        (168, 116, 40),
        (88, 40, 70),
        (30, 96, 110),
        (206, 196, 172),
    ],
    float,
)
_DOOR_COLORS = np.array(
    [(120, 28, 30), (24, 60, 44), (28, 46, 92), (46, 40, 38), (200, 190, 170), (148, 98, 44)], float
)
_GOODS_COLORS = np.array(
    [
        (214, 92, 60),
        (232, 188, 80),
        (92, 150, 110),
        (210, 210, 214),
        (70, 110, 170),
        (180, 80, 130),
    ],
    float,
)


@dataclass(frozen=True, eq=False)
class House:
    """One house whose front faces the street.

    Attributes:
        side: -1 on the left of the street, 1 on the right, 0 across its end, facing the camera.
        place: Ground that it covers.
        height_m: From the pavement to the eaves.
        roof_m: From the eaves to the ridge; 0 for a flat roof.
        storeys: Floors, the ground floor included.
        wall: What it is built of.
        wall_color, trim_color, roof_color: Of its parts.
        ground_floor: What is at the pavement.
        window_m: (width, height) of its windows.
        bay_m: Distance between the axes of neighbouring windows.
        shade_below_m: The house opposite keeps the sun from the wall below this height.
        end_above_m: The nearer neighbour hides the end wall up to this height; 0 if it stands free.
        seed: Of curtains, goods, stains.
    """

    side: int
    place: Footprint
    height_m: float
    roof_m: float
    storeys: int
    wall: Wall
    wall_color: Color
    trim_color: Color
    roof_color: Color
    ground_floor: GroundFloor
    window_m: tuple[float, float]
    bay_m: float
    shade_below_m: float
    end_above_m: float
    seed: int

    @property
    def class_id(self) -> int:
        """Building."""
        return BUILDING

    @property
    def footprint(self) -> Footprint:
        """The ground that it covers."""
        return self.place

    def shadows(self, light: Light) -> list[Points]:
        """Return the outline of its shadow."""
        return [box_shadow(self.place, self.height_m + 0.6 * self.roof_m, light)]

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw chimneys, end wall, roof, then the front."""
        if not self._in_view(painter):
            return
        if self.side == 0:
            self._draw_across(painter, light)
            return
        place, top, side = self.place, self.height_m, self.side
        front_x = place.right if side < 0 else place.left
        back_x = place.left if side < 0 else place.right
        ridge_x = (front_x + back_x) / 2
        ridge = top + self.roof_m
        near, far = place.near, place.far
        if self.roof_m:
            self._draw_chimneys(painter, light, ridge_x, ridge)
        self._draw_end(painter, light, front_x, back_x)
        if self.roof_m:
            verge = near - 0.2
            eaves_x = front_x - side * 0.35
            eaves_y = top - 0.35 * self.roof_m / abs(ridge_x - front_x)
            slope = np.array(
                [
                    (ridge_x, ridge, verge),
                    (ridge_x, ridge, far),
                    (eaves_x, eaves_y, far),
                    (eaves_x, eaves_y, verge),
                ]
            )
            length = float(np.hypot(ridge_x - front_x, self.roof_m))
            normal = (-side * self.roof_m / length, abs(ridge_x - front_x) / length, 0.0)
            self._draw_roof(painter, slope, light.on(normal), length)
        if side < 0:
            corners = [
                (front_x, top, near),
                (front_x, top, far),
                (front_x, 0, far),
                (front_x, 0, near),
            ]
        else:
            corners = [
                (front_x, top, far),
                (front_x, top, near),
                (front_x, 0, near),
                (front_x, 0, far),
            ]
        self._draw_front(painter, light, np.array(corners, float), (-side, 0.0, 0.0), far - near)

    def _in_view(self, painter: Painter) -> bool:
        place = self.place
        corners = [(x, 0.0, z) for x in (place.left, place.right) for z in (place.near, place.far)]
        x = painter.camera.project(np.array(corners))[:, 0]
        return bool(x.max() > 0 and x.min() < painter.camera.size_hw[1])

    def _draw_end(self, painter: Painter, light: Light, front_x: float, back_x: float) -> None:
        """Draw the end wall that faces the camera, with its gable."""
        near, top, ridge = self.place.near, self.height_m, self.height_m + self.roof_m
        left, right = min(front_x, back_x), max(front_x, back_x)
        corners = np.array(
            [(left, ridge, near), (right, ridge, near), (right, 0, near), (left, 0, near)]
        )
        points = painter.camera.project(corners)
        edge = points[:, 0]
        if edge.max() < 0 or edge.min() > painter.camera.size_hw[1]:
            return
        if self.end_above_m:
            self._draw_end_above(painter, light, left, right)
            return
        samples_per_m = SAMPLES * painter.camera.focal_px / painter.camera.depth_of(front_x, near)
        density = _density(min(samples_per_m, 25.0))
        size = (max(4, round(ridge * density)), max(4, round((right - left) * density)))
        tile = bricks((density, density)) if self.wall == "brick" else grain()
        roughness = 1.0 if self.wall == "brick" else 0.3
        texture = _colored(
            np.asarray(
                cv2.convertScaleAbs(
                    cut(tile, size, self.seed), alpha=roughness, beta=122 * (1 - roughness)
                ),
                np.uint8,
            ),
            self.wall_color * light.on((0, 0, -1)),
        )
        mask = None
        if self.roof_m:
            across = np.abs(np.linspace(-1, 1, size[1], dtype=np.float32))[None, :]
            up = np.linspace(ridge, 0, size[0])[:, None]
            mask = (up < top + self.roof_m * (1 - across) + 0.06).astype(np.uint8) * np.uint8(255)
        painter.paste_in_street(texture, corners, mask)

    def _draw_end_above(self, painter: Painter, light: Light, left: float, right: float) -> None:
        """Draw what shows of the end wall above the neighbour's roof."""
        near, low, top = self.place.near, self.end_above_m - 0.3, self.height_m
        outline = [
            (left, low),
            (left, top),
            ((left + right) / 2, top + self.roof_m),
            (right, top),
            (right, low),
        ]
        if low >= top:
            rise = self.height_m + self.roof_m - low
            if not self.roof_m or rise <= 0:
                return
            half = rise / self.roof_m * (right - left) / 2
            middle = (left + right) / 2
            outline = [(middle - half, low), (middle, low + rise), (middle + half, low)]
        corners = np.array([(x, y, near) for x, y in outline])
        painter.fill_in_street(corners, self.wall_color * light.on((0, 0, -1)) * 0.9)

    def _draw_across(self, painter: Painter, light: Light) -> None:
        place, top = self.place, self.height_m
        z = place.near
        if self.roof_m:
            middle = (place.near + place.far) / 2
            slope = np.array(
                [
                    (place.left, top + self.roof_m, middle),
                    (place.right, top + self.roof_m, middle),
                    (place.right, top, z),
                    (place.left, top, z),
                ]
            )
            normal = (0.0, 0.8, -0.6)
            self._draw_chimneys(
                painter, light, (place.left * 0.8 + place.right * 0.2), top + self.roof_m
            )
            self._draw_roof(painter, slope, light.on(normal), self.roof_m * 1.6)
        corners = np.array(
            [(place.left, top, z), (place.right, top, z), (place.right, 0, z), (place.left, 0, z)]
        )
        self._draw_front(painter, light, corners, (0.0, 0.0, -1.0), place.right - place.left)

    def _draw_roof(self, painter: Painter, slope: Points, light: Color, length_m: float) -> None:
        color = np.clip(self.roof_color * light, 0, 255)
        points = painter.camera.project(slope)
        extent = np.abs(points[0] - points[1]).max() + np.abs(points[0] - points[3]).max()
        if extent < 50:
            painter.fill_in_street(slope, color)
            return
        rows = int(np.clip(length_m / 0.3, 6, 24))
        texture = cut(grain(), (rows * 4, 96), self.seed)
        tiles = np.where((np.arange(rows * 4) % 4 == 3)[:, None], texture // 4 * 3, texture)
        painter.paste_in_street(_colored(tiles.astype(np.uint8), color), slope)

    def _draw_chimneys(self, painter: Painter, light: Light, x: float, ridge: float) -> None:
        rng = stream(self.seed, 1)
        place = self.place
        fine = painter.camera.focal_px / painter.camera.depth_of(x, place.near) > 8
        for _ in range(int(rng.integers(1, 3)) if fine else 1):
            z = rng.uniform(place.near + 0.5, place.far - 1.0) if self.side else place.near + 2
            tall, wide = rng.uniform(0.8, 1.5), rng.uniform(0.5, 0.9)
            low = ridge - 0.5
            left, right = x - 0.4, x + 0.4
            brick = blend(self.wall_color, rgb(128, 76, 60), 0.6)
            face = [
                (left, low, z),
                (right, low, z),
                (right, ridge + tall, z),
                (left, ridge + tall, z),
            ]
            painter.fill_in_street(np.array(face, float), brick * light.on((0, 0, -1)))
            flank = x - self.side * 0.4
            street_side = [
                (flank, low, z),
                (flank, low, z + wide),
                (flank, ridge + tall, z + wide),
                (flank, ridge + tall, z),
            ]
            if self.side:
                painter.fill_in_street(
                    np.array(street_side, float), brick * light.on((-self.side, 0, 0))
                )
            for offset in (0.15, 0.5) if fine else ():
                pot = z + offset * wide
                points = painter.camera.project(
                    np.array([(x, ridge + tall, pot), (x, ridge + tall + 0.35, pot)])
                )
                painter.stroke(
                    points,
                    0.22 * painter.camera.focal_px / painter.camera.depth_of(x, pot),
                    rgb(150, 92, 68) * light.on((0, 0, -1)),
                )

    def _draw_front(
        self,
        painter: Painter,
        light: Light,
        corners: Points,
        normal: tuple[float, float, float],
        width_m: float,
    ) -> None:
        points = painter.camera.project(corners) * SAMPLES
        lefts, rights = points[[0, 3]], points[[1, 2]]
        size = np.array(painter.camera.size_hw[::-1]) * SAMPLES
        if (points.max(axis=0) < 0).any() or (points.min(axis=0) > size).any():
            return
        # As many texels as samples where the wall is nearest, less where it is seen edge-on.
        down = max(lefts[1, 1] - lefts[0, 1], rights[1, 1] - rights[0, 1]) / self.height_m
        across = _widest_metre(painter, corners, width_m)
        facade = _Facade(self, light, normal, width_m, (_density(0.9 * down), _density(across)))
        painter.paste_in_street(facade.paint(), corners)


_DENSITIES = (4, 6, 9, 13, 18, 25, 34, 46)
"""Texels a metre that facades are painted at; few steps, so that tiles can be shared."""


def _widest_metre(painter: Painter, corners: Points, width_m: float) -> float:
    """Return how many samples a metre of a wall's foot has where it is seen best."""
    steps = np.linspace(corners[3], corners[2], max(3, round(width_m) + 1))
    x = painter.camera.project(steps)[:, 0]
    seen = np.flatnonzero((x > 0) & (x < painter.camera.size_hw[1]))
    first, last = (seen[0], seen[-1]) if seen.size else (0, len(x) - 1)
    shown = np.abs(np.diff(x[max(first - 1, 0) : last + 2]))
    return float(shown.max()) * SAMPLES * (len(x) - 1) / width_m * 0.8


def _density(samples_per_m: float) -> int:
    return next((step for step in _DENSITIES if step >= samples_per_m), _DENSITIES[-1])


class _Facade:
    """Paints the front of one house as a texture, top row at the eaves."""

    def __init__(
        self,
        house: House,
        light: Light,
        normal: tuple[float, float, float],
        width_m: float,
        texels_per_m: tuple[int, int],
    ) -> None:
        self.house = house
        self.rng = stream(house.seed, 2)
        self.lamps_lit = light.lamps_lit
        self.down, self.across = texels_per_m
        self.fine = self.down >= 13 and self.across >= 6
        self.width_m = width_m
        self.size_hw = (
            max(2, round(house.height_m * self.down)),
            max(2, round(width_m * self.across)),
        )
        self.lit = light.on(normal)
        self.shaded = light.on(normal, in_sun=False)
        self.sky = blend(light.sky_horizon, light.sky_top, 0.35)
        self.glow = rgb(255, 206, 128)

    def paint(self) -> Tile:
        """Return (h, w, 3) uint8 RGB."""
        house, rng = self.house, self.rng
        self.texture = self._bare_wall()
        floor_m = house.height_m / house.storeys
        self._paint_bands(floor_m)
        windows = max(1, int((self.width_m - 0.5) / house.bay_m))
        axes = ((np.arange(windows) + 0.5) * self.width_m / windows).tolist()
        lit_share = 0.42 if self.lamps_lit else 0.0
        stock = [self._window() for _ in range(4)] if self.fine else []
        lit_stock = [self._window(lit=True) for _ in range(2)] if self.fine and lit_share else []

        def place_window(axis: float, sill: float) -> None:
            choice = lit_stock if rng.random() < lit_share else stock
            if self.fine:
                window = choice[rng.integers(len(choice))]
                self._paste(window, axis - house.window_m[0] / 2 - 0.18, sill - 0.22)
            else:
                self._paint_far_window(axis, sill, lit=choice is lit_stock)

        for storey in range(1, house.storeys):
            for axis in axes:
                place_window(axis, storey * floor_m + 0.85)
        if house.ground_floor == "shop":
            self._paint_shop(min(floor_m - 0.15, 3.6))
        else:
            entrance = int(rng.integers(windows))
            for number, axis in enumerate(axes):
                if number == entrance:
                    self._paint_door(axis, floor_m)
                else:
                    place_window(axis, 0.97)
        if self.across >= 9:
            pipe = 0.12 if rng.random() < 0.5 else self.width_m - 0.2
            self._rectangle(
                pipe, 0, pipe + 0.09, house.height_m, self._light(house.trim_color * 0.5)
            )
            self._rectangle(
                pipe + 0.09, 0, pipe + 0.13, house.height_m, self._light(house.wall_color * 0.72)
            )
        return self.texture

    def _light(self, color: Color) -> Color:
        return color * self.lit

    def _bare_wall(self) -> Tile:
        house, size = self.house, self.size_hw
        place = int(self.rng.integers(2**20))
        tile = bricks((self.down, self.across)) if house.wall == "brick" else grain()
        roughness = {"brick": 1.0, "plaster": 0.22, "stone": 0.5, "panel": 0.15}[house.wall]
        row, column = place % 448, place // 977 % 448
        stain = cv2.resize(
            stains()[row : row + 64, column : column + 64],
            size[::-1],
            interpolation=cv2.INTER_LINEAR,
        )
        offset = 128 * (1 - roughness) - 0.45 * 128
        modulation = cv2.addWeighted(cut(tile, size, place), roughness, stain, 0.45, offset)
        if house.wall == "stone":
            joints = cut(_ashlar(self.down, self.across), size, 0)
            modulation = cv2.addWeighted(modulation, 1.0, joints, 1.0, -128)
        # Dirt rises from the pavement and runs down from the eaves.
        height = house.height_m * (1 - (np.arange(size[0], dtype=np.float32) + 0.5) / size[0])
        dirt = 0.20 * np.exp(-height / 0.7) + 0.22 * np.exp((height - house.height_m) / 0.35)
        dirty = np.flatnonzero(dirt > 0.02)
        wall = np.asarray(modulation, np.uint8)
        wall[dirty] = (wall[dirty] * (1 - dirt[dirty, None])).astype(np.uint8)
        return self._in_light_and_shade(wall)

    def _in_light_and_shade(self, modulation: Tile) -> Tile:
        """Color the wall, sunlit above the shadow of the house opposite."""
        house, rows = self.house, self.size_hw[0]
        edge = rows - round(min(house.shade_below_m / house.height_m, 1.0) * rows)
        # From here on details are lit as the larger part of the wall is.
        sunlit = self.lit
        if edge < 0.4 * rows:
            self.lit = self.shaded
        if edge >= rows:
            return _colored(modulation, house.wall_color * sunlit)
        if edge <= 0:
            return _colored(modulation, house.wall_color * self.shaded)
        above = _colored(modulation[:edge], house.wall_color * sunlit)
        below = _colored(modulation[edge:], house.wall_color * self.shaded)
        return np.concatenate([above, below])

    def _paint_bands(self, floor_m: float) -> None:
        house = self.house
        top = house.height_m
        trim = self._light(house.trim_color)
        self._rectangle(0, top - 0.38, self.width_m, top, trim)
        self._rectangle(0, top - 0.46, self.width_m, top - 0.38, trim * 0.62)
        if self.rng.random() < 0.6:
            for storey in range(1, house.storeys):
                y = storey * floor_m
                self._rectangle(0, y, self.width_m, y + 0.14, trim * 0.96)
                self._rectangle(0, y - 0.06, self.width_m, y, self._light(house.wall_color) * 0.66)
        self._rectangle(
            0, 0, self.width_m, 0.45, self._light(blend(house.wall_color, gray(92), 0.6)) * 0.85
        )

    def _window(self, *, lit: bool = False) -> Tile:
        """Return a window with its surround, 0.18 m around it and 0.22 m below."""
        house, rng = self.house, self.rng
        wide, high = house.window_m
        width = max(3, round((wide + 0.36) * self.across))
        height = max(4, round((high + 0.5) * self.down))
        scale_x, scale_y = width / (wide + 0.36), height / (high + 0.5)
        window = np.empty((height, width, 3), np.uint8)
        trim = self._light(house.trim_color)
        window[:] = np.minimum(trim, 255)

        def box(left: float, bottom: float, right: float, top: float, color: Color) -> None:
            x0, x1 = round(left * scale_x), round(right * scale_x)
            y0, y1 = height - round(top * scale_y), height - round(bottom * scale_y)
            corner = (max(x1, x0 + 1) - 1, max(y1, y0 + 1) - 1)
            cv2.rectangle(window, (x0, y0), corner, color.tolist(), -1)

        sill = 0.22
        box(0, 0, wide + 0.36, 0.12, self._light(house.wall_color) * 0.7)
        box(0, 0.12, wide + 0.36, sill, trim * 1.05)
        frame = self._light(rgb(232, 230, 224) if rng.random() < 0.8 else rgb(70, 60, 54))
        box(0.12, sill, wide + 0.24, sill + high + 0.06, trim * 0.55)
        box(0.18, sill, wide + 0.18, sill + high, frame)
        left, right = 0.25, wide + 0.11
        low, top = sill + 0.07, sill + high - 0.07
        x0, x1 = round(left * scale_x), max(round(right * scale_x), round(left * scale_x) + 1)
        y0, y1 = height - round(top * scale_y), height - round(low * scale_y)
        y1 = max(y1, y0 + 1)
        window[y0:y1, x0:x1] = self._glass(y1 - y0, x1 - x0, lit=lit)
        if self.down >= 9:
            curtain = pick(rng, _CURTAINS) * (self.shaded if not lit else 1.15)
            kind = rng.random()
            part = (right - left) * rng.uniform(0.14, 0.3)
            if kind < 0.45:
                box(left, low, left + part, top, curtain)
                box(right - part, low, right, top, curtain * 0.9)
            elif kind < 0.65:
                box(left, top - (top - low) * rng.uniform(0.2, 0.7), right, top, curtain)
        if self.down >= 13:
            middle = (left + right) / 2
            box(middle - 0.03, low, middle + 0.03, top, frame)
            rail = low + (top - low) * (0.5 if rng.random() < 0.5 else 0.68)
            box(left, rail - 0.03, right, rail + 0.03, frame * 0.95)
            box(left, top - 0.07, right, top, gray(18))
        return window

    def _paint_far_window(self, axis: float, sill: float, *, lit: bool) -> None:
        """Paint a window of a few texels."""
        wide, high = self.house.window_m
        left, right = axis - wide / 2, axis + wide / 2
        trim = self._light(self.house.trim_color)
        self._rectangle(left - 0.15, sill - 0.12, right + 0.15, sill + high + 0.12, trim)
        glass = (
            self.glow * 0.9
            if lit
            else blend(rgb(30, 36, 42), self.sky, self.rng.uniform(0.08, 0.4))
        )
        self._rectangle(left, sill, right, sill + high, glass)

    def _glass(self, height: int, width: int, *, lit: bool) -> Tile:
        if lit:
            warm = self.glow * self.rng.uniform(0.75, 1.0)
            corners = np.array([[warm, warm], [warm * 0.72, warm * 0.72]])
        else:
            # Upper panes mirror the sky, lower ones the houses opposite.
            mirrored, turn = self.rng.uniform(0.12, 0.62), self.rng.uniform(0.1, 0.9)
            high = blend(rgb(34, 42, 50), self.sky, mirrored)
            low = blend(rgb(26, 30, 34), self.sky * 0.55, mirrored * 0.55)
            corners = np.array(
                [[high, blend(high, low, turn)], [blend(low, high, turn * 0.5), low]]
            )
        gradient = cv2.resize(
            np.minimum(corners, 255).astype(np.uint8),
            (width, height),
            interpolation=cv2.INTER_LINEAR,
        )
        return np.asarray(gradient, np.uint8)

    def _paint_door(self, axis: float, floor_m: float) -> None:
        color = self._light(pick(self.rng, _DOOR_COLORS))
        trim = self._light(self.house.trim_color)
        left, right, top = axis - 0.52, axis + 0.52, min(2.25, floor_m - 0.5)
        self._rectangle(left - 0.2, 0, right + 0.2, top + 0.62, trim)
        self._rectangle(left - 0.3, top + 0.55, right + 0.3, top + 0.72, trim * 1.06)
        self._rectangle(left - 0.3, top + 0.48, right + 0.3, top + 0.55, trim * 0.6)
        self._rectangle(left, 0.12, right, top, color)
        fan = self.glow if self.lamps_lit else blend(rgb(40, 46, 52), self.sky, 0.4)
        self._rectangle(left, top + 0.06, right, top + 0.42, fan)
        self._rectangle(left - 0.3, 0, right + 0.3, 0.14, self._light(gray(168)))
        if self.down >= 13:
            for x0 in (left + 0.12, axis + 0.08):
                for y0, y1 in ((0.3, 1.0), (1.15, top - 0.15)):
                    self._rectangle(x0, y0, x0 + 0.32, y1, color * 0.72)
                    self._rectangle(x0 + 0.03, y0, x0 + 0.32, y1 - 0.03, color * 1.12)
            self._rectangle(right - 0.12, 1.05, right - 0.05, 1.12, rgb(220, 190, 110) * self.lit)

    def _paint_shop(self, height_m: float) -> None:
        rng = self.rng
        color = pick(rng, _SHOP_COLORS)
        lit = self.lamps_lit or rng.random() < 0.35
        fascia = height_m - 0.62
        self._rectangle(0.1, 0, self.width_m - 0.1, height_m, self._light(color))
        self._rectangle(
            0.1, height_m - 0.06, self.width_m - 0.1, height_m + 0.06, self._light(color) * 1.3
        )
        inner = 255 * np.array([1.0, 0.86, 0.62]) if lit else blend(rgb(44, 48, 52), self.sky, 0.16)
        panes = max(2, round(self.width_m / 2.2)) if self.fine else 1
        edges = np.linspace(0.35, self.width_m - 0.35, panes + 1).tolist()
        entrance = int(rng.integers(panes))
        for pane in range(panes):
            left, right = edges[pane] + 0.06, edges[pane + 1] - 0.06
            low = 0.1 if pane == entrance else 0.6
            if not self.fine:
                shade = inner * (0.6 if lit else 0.5)
                self._rectangle(left, low, right, fascia - 0.12, shade)
                continue
            x0, x1, y0, y1 = self._texels(left, low, right, fascia - 0.12)
            glass = self._glass(y1 - y0, x1 - x0, lit=False).astype(np.float32)
            glow = np.linspace(0.75, 0.4, y1 - y0)[:, None, None] * (0.9 if lit else 0.5)
            room = glass + (inner - glass) * glow
            self.texture[y0:y1, x0:x1] = np.clip(room, 0, 255).astype(np.uint8)
            if self.fine and pane != entrance:
                for shelf in (low + 0.05, low + 0.75):
                    x = left + 0.1
                    while x < right - 0.2:
                        wide, high = rng.uniform(0.1, 0.34), rng.uniform(0.15, 0.55)
                        goods = pick(rng, _GOODS_COLORS, 14) * (0.85 if lit else self.shaded * 0.6)
                        self._rectangle(x, shelf, min(x + wide, right - 0.08), shelf + high, goods)
                        x += wide + rng.uniform(0.05, 0.3)
            if pane == entrance:
                axis = (left + right) / 2
                self._rectangle(
                    axis - 0.03, low, axis + 0.03, fascia - 0.12, self._light(color) * 1.1
                )
                self._rectangle(axis + 0.1, 1.0, axis + 0.16, 1.35, gray(200) * self.lit)
        if not self.fine:
            return
        lettering = rgb(240, 226, 186) if color.mean() < 150 else rgb(60, 48, 40)
        x = self.width_m * rng.uniform(0.12, 0.3)
        end = self.width_m * rng.uniform(0.62, 0.88)
        while x < end:
            wide = rng.uniform(0.09, 0.26)
            bottom = fascia + (0.16 if rng.random() < 0.75 else 0.1)
            tall = rng.uniform(0.22, 0.34)
            self._rectangle(x, bottom, x + wide, bottom + tall, self._light(lettering))
            if wide > 0.14 and self.down >= 18:
                self._rectangle(
                    x + 0.05,
                    bottom + 0.08,
                    x + wide - 0.05,
                    bottom + tall * 0.6,
                    self._light(color),
                )
            x += wide + (0.06 if rng.random() < 0.82 else 0.24)
        if rng.random() < 0.55:
            self._paint_awning(fascia, pick(rng, _SHOP_COLORS))

    def _paint_awning(self, top: float, color: Color) -> None:
        low = top - self.rng.uniform(0.55, 0.85)
        stripes = max(4, round((self.width_m - 0.4) / (0.45 if self.fine else 0.9)))
        edges = np.linspace(0.2, self.width_m - 0.2, stripes + 1).tolist()
        bright = self.lit * 1.12
        for stripe in range(stripes):
            cloth = color * 1.15 if stripe % 2 else rgb(236, 230, 214)
            left, right = edges[stripe], edges[stripe + 1]
            self._rectangle(left, low, right, top, cloth * bright)
            self._rectangle(left, low - 0.14, right, low + 0.02, cloth * bright * 0.76)
        self._rectangle(0.2, low - 0.5, self.width_m - 0.2, low - 0.14, None, 0.62)

    def _texels(
        self, left: float, bottom: float, right: float, top: float
    ) -> tuple[int, int, int, int]:
        """Return columns and rows x0, x1, y0, y1 of a part in metres; at least one texel."""
        height, width = self.size_hw
        x0 = min(max(round(left * self.across), 0), width - 1)
        x1 = min(max(round(right * self.across), x0 + 1), width)
        y0 = min(max(height - round(top * self.down), 0), height - 1)
        y1 = min(max(height - round(bottom * self.down), y0 + 1), height)
        return x0, x1, y0, y1

    def _rectangle(
        self,
        left: float,
        bottom: float,
        right: float,
        top: float,
        color: Color | None,
        darken: float = 1.0,
    ) -> None:
        """Color a part of the wall given in metres, or darken it where color is None."""
        if color is None:
            x0, x1, y0, y1 = self._texels(left, bottom, right, top)
            part = self.texture[y0:y1, x0:x1]
            self.texture[y0:y1, x0:x1] = (part * darken).astype(np.uint8)
            return
        column, row = round(left * self.across), self.size_hw[0] - round(top * self.down)
        last_column = max(round(right * self.across) - 1, column)
        last_row = max(self.size_hw[0] - round(bottom * self.down) - 1, row)
        cv2.rectangle(self.texture, (column, row), (last_column, last_row), color.tolist(), -1)

    def _paste(self, picture: Tile, left: float, bottom: float) -> None:
        height, width = self.size_hw
        x, y = round(left * self.across), height - round(bottom * self.down) - picture.shape[0]
        x0, y0 = max(x, 0), max(y, 0)
        x1, y1 = min(x + picture.shape[1], width), min(y + picture.shape[0], height)
        if x1 > x0 and y1 > y0:
            self.texture[y0:y1, x0:x1] = picture[y0 - y : y1 - y, x0 - x : x1 - x]


_CURTAINS = np.array(
    [
        (226, 220, 206),
        (206, 196, 176),
        (150, 60, 56),
        (92, 110, 140),
        (190, 160, 110),
        (235, 235, 235),
    ],
    float,
)


@cache
def _ashlar(down: int, across: int) -> Tile:
    """Return a modulation tile of large cut stones, 1.6 m wide and 0.8 m high."""
    height, width = round(0.8 * down), round(1.6 * across)
    tile = np.full((height, width), 128, np.uint8)
    if min(down, across) >= 6:
        tile[0] = tile[height // 2] = 96
        tile[: height // 2, 0] = 96
        tile[height // 2 :, width // 2] = 96
        tile[: height // 2] += 6
    return tile


def _colored(modulation: Tile, color: Color) -> Tile:
    """Return (h, w, 3) uint8 RGB of a (h, w) modulation, 128 = the colour itself."""
    ramp = np.arange(256)[None, :, None] * (color * (1 / 128))
    table = np.minimum(ramp, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(cv2.merge([modulation] * 3), table), np.uint8)
