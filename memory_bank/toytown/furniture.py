"""What stands on pavements: lamp posts, traffic signs and lights, fences, bins."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.memory_bank.toytown.camera import Points
from scenequilt.memory_bank.toytown.classes import FENCE, POLE, SIGN
from scenequilt.memory_bank.toytown.ground import KERB_M
from scenequilt.memory_bank.toytown.light import Light, gray, rgb
from scenequilt.memory_bank.toytown.painter import Color, Painter
from scenequilt.memory_bank.toytown.textures import bricks, cut, grain
from scenequilt.memory_bank.toytown.world import Footprint, box_shadow, convex_hull, ellipse, stream

SignKind = Literal["limit", "warning", "stop", "parking", "crossing", "no entry", "lights", "name"]
FenceKind = Literal["boards", "wall", "pickets", "railing"]


class _Board:
    """Pixel points of a board that faces the camera, from metres beside its foot."""

    def __init__(self, painter: Painter, x: float, z: float, y: float = KERB_M) -> None:
        camera = painter.camera
        self.depth = camera.depth_of(x, z)
        self.scale = camera.focal_px / self.depth
        self.foot = camera.project(np.array([x, y, z]))
        painter.begin_board(self.depth)

    def place(self, points: Points) -> Points:
        """Take (N, 2) metres (right, up) to (N, 2) pixels."""
        pixels: Points = self.foot + points * (self.scale, -self.scale)
        return pixels

    def box(self, left: float, bottom: float, right: float, top: float) -> Points:
        """Return the corners of a rectangle in pixels."""
        return self.place(np.array([(left, bottom), (right, bottom), (right, top), (left, top)]))


def _post_shadow(x: float, z: float, height_m: float, light: Light) -> Points:
    foot = np.array([(x - 0.06, z - 0.02), (x + 0.06, z + 0.02)])
    return convex_hull(np.concatenate([foot, foot + light.shadow_offset(height_m)]))


@dataclass(frozen=True, eq=False)
class LampPost:
    """A street lamp.

    Attributes:
        x, z: Its foot.
        height_m: To the lamp.
        arm_m: How far the lamp hangs to the right of the post, negative to the left; 0 for a
            lantern on top.
        color: Of the post.
    """

    x: float
    z: float
    height_m: float
    arm_m: float
    color: Color

    @property
    def class_id(self) -> int:
        """Pole, lamp and all."""
        return POLE

    @property
    def footprint(self) -> Footprint:
        """Of the post."""
        return Footprint(self.x - 0.1, self.x + 0.1, self.z - 0.1, self.z + 0.1)

    def shadows(self, light: Light) -> list[Points]:
        """Return the shadow of the post."""
        return [_post_shadow(self.x, self.z, self.height_m, light)]

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw post, arm and lamp."""
        board = _Board(painter, self.x, self.z)
        top = self.height_m
        color = self.color * light.on_figure(in_sun=light.sunny)
        thin = max(0.055, 0.7 / board.scale)
        painter.fill(
            board.place(np.array([(-thin, 0), (thin, 0), (thin * 0.7, top), (-thin * 0.7, top)])),
            color,
        )
        painter.fill(board.box(thin * 0.25, 0, thin * 0.7, top), color * 0.66)
        painter.fill(board.box(-thin * 1.7, 0, thin * 1.7, 0.85), color * 0.92)
        bulb = rgb(255, 240, 196) if light.lamps_lit else rgb(226, 228, 222) * light.ambient
        if self.arm_m:
            arm = np.array([(0, top - 0.5), (self.arm_m * 0.25, top), (self.arm_m, top + 0.15)])
            painter.stroke(board.place(arm), 0.07 * board.scale, color)
            end, side = self.arm_m, np.sign(self.arm_m)
            painter.fill(
                board.place(
                    np.array(
                        [
                            (end - side * 0.1, top + 0.05),
                            (end + side * 0.62, top + 0.1),
                            (end + side * 0.55, top + 0.26),
                            (end, top + 0.25),
                        ]
                    )
                ),
                color,
            )
            painter.fill(
                board.box(min(end, end + side * 0.5), top, max(end, end + side * 0.5), top + 0.09),
                bulb,
            )
        else:
            painter.fill(
                board.place(
                    np.array([(-0.14, top), (0.14, top), (0.24, top + 0.5), (-0.24, top + 0.5)])
                ),
                bulb,
            )
            painter.fill(
                board.place(np.array([(-0.3, top + 0.5), (0.3, top + 0.5), (0.0, top + 0.76)])),
                color,
            )
            painter.stroke(
                board.place(np.array([(0, top), (0, top + 0.5)])), 0.03 * board.scale, color
            )


@dataclass(frozen=True, eq=False)
class SignPost:
    """The post of a traffic sign.

    Attributes:
        x, z: Its foot.
        height_m: Of the post.
    """

    x: float
    z: float
    height_m: float

    @property
    def class_id(self) -> int:
        """Pole."""
        return POLE

    @property
    def footprint(self) -> Footprint:
        """Of the post."""
        return Footprint(self.x - 0.04, self.x + 0.04, self.z, self.z + 0.08)

    def shadows(self, light: Light) -> list[Points]:
        """Return the shadow of the post."""
        return [_post_shadow(self.x, self.z, self.height_m, light)]

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw the post."""
        board = _Board(painter, self.x, self.z)
        thin = max(0.04, 0.6 / board.scale)
        color = rgb(150, 154, 158) * light.on_figure(in_sun=light.sunny)
        painter.fill(board.box(-thin, 0, thin, self.height_m), color)
        painter.fill(board.box(thin * 0.2, 0, thin, self.height_m), color * 0.7)


@dataclass(frozen=True, eq=False)
class Sign:
    """A traffic sign, a traffic light or a street name on a post.

    Attributes:
        x, z: Foot of its post.
        middle_m: Height of its middle.
        kind: What it says.
        away: True if its grey back is to the camera.
        lit: For traffic lights: 0 red, 1 amber, 2 green.
    """

    x: float
    z: float
    middle_m: float
    kind: SignKind
    away: bool = False
    lit: int = 0

    @property
    def class_id(self) -> int:
        """Sign."""
        return SIGN

    @property
    def footprint(self) -> Footprint:
        """A hand's breadth in front of the post."""
        return Footprint(self.x - 0.3, self.x + 0.3, self.z - 0.06, self.z - 0.01)

    def shadows(self, light: Light) -> list[Points]:
        """Return nothing: the post's shadow stands for both."""
        return []

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw its outline, then what is on it."""
        board = _Board(painter, self.x, self.z - 0.03)
        factor = light.on((0, 0, -1)) * 1.08
        y = self.middle_m
        white, red, blue, black = rgb(240, 240, 238), rgb(196, 28, 34), rgb(28, 78, 168), gray(24)

        def disc(radius: float, corners: int = 20, up: float = 0.0) -> Points:
            return board.place(ellipse((0, y + up), (radius, radius), corners))

        def bar(left: float, bottom: float, right: float, top: float) -> Points:
            return board.box(left, y + bottom, right, y + top)

        if self.kind == "lights":
            painter.fill(bar(-0.17, -0.48, 0.17, 0.48), gray(34) * factor)
            for place, color in enumerate((rgb(255, 54, 40), rgb(255, 176, 40), rgb(60, 232, 130))):
                shown = color if place == self.lit and not self.away else color * 0.14
                painter.fill(disc(0.105, 12, 0.3 - 0.3 * place), shown)
        elif self.kind == "name":
            painter.fill(bar(-0.55, -0.13, 0.55, 0.13), blue * factor)
            for left in np.arange(-0.44, 0.4, 0.1):
                if round(left * 100) % 30:
                    painter.fill(bar(left, -0.06, left + 0.06, 0.06), white * factor)
        elif self.kind in ("parking", "crossing"):
            painter.fill(bar(-0.3, -0.3, 0.3, 0.3), (gray(132) if self.away else white) * factor)
            if not self.away:
                painter.fill(bar(-0.275, -0.275, 0.275, 0.275), blue * factor)
                if self.kind == "parking":
                    painter.fill(bar(-0.12, -0.2, -0.04, 0.2), white * factor)
                    painter.fill(disc(0.115, 12, 0.09), white * factor)
                    painter.fill(disc(0.05, 10, 0.09), blue * factor)
                else:
                    triangle = np.array([(-0.2, y - 0.17), (0.2, y - 0.17), (0, y + 0.2)])
                    painter.fill(board.place(triangle), white * factor)
                    painter.fill(bar(-0.04, -0.14, 0.04, 0.04), black * factor)
        elif self.kind == "warning":
            outline = np.array([(-0.36, -0.24), (0.36, -0.24), (0, 0.4)])
            painter.fill(board.place(outline + (0, y)), (gray(132) if self.away else red) * factor)
            if not self.away:
                painter.fill(board.place(outline * 0.66 + (0, y + 0.0)), white * factor)
                painter.fill(bar(-0.035, -0.04, 0.035, 0.15), black * factor)
                painter.fill(bar(-0.035, -0.12, 0.035, -0.07), black * factor)
        else:
            corners = 8 if self.kind == "stop" else 20
            painter.fill(disc(0.32, corners), (gray(132) if self.away else red) * factor)
            if not self.away:
                if self.kind == "limit":
                    painter.fill(disc(0.235), white * factor)
                    painter.fill(bar(-0.15, -0.12, -0.03, 0.12), black * factor)
                    painter.fill(bar(0.03, -0.12, 0.15, 0.12), black * factor)
                    painter.fill(bar(0.07, -0.06, 0.11, 0.06), white * factor)
                    painter.fill(bar(-0.15, 0.02, -0.08, 0.06), white * factor)
                elif self.kind == "stop":
                    for left in (-0.22, -0.1, 0.02, 0.14):
                        painter.fill(bar(left, -0.08, left + 0.08, 0.08), white * factor)
                else:
                    painter.fill(bar(-0.23, -0.06, 0.23, 0.06), white * factor)


@dataclass(frozen=True, eq=False)
class Fence:
    """A fence or a garden wall along the street.

    Attributes:
        side: -1 on the left of the street, 1 on the right.
        place: Ground that it covers; its long face is on the side of the street.
        height_m: Of the fence.
        kind: What it is made of; one sees through a railing.
        color: Of its boards, stones or bars.
        seed: Of its grain.
    """

    side: int
    place: Footprint
    height_m: float
    kind: FenceKind
    color: Color
    seed: int

    @property
    def class_id(self) -> int:
        """Fence."""
        return FENCE

    @property
    def footprint(self) -> Footprint:
        """The ground that it covers."""
        return self.place

    def shadows(self, light: Light) -> list[Points]:
        """Return the outline of its shadow; that of a railing is too thin to draw."""
        return [] if self.kind == "railing" else [box_shadow(self.place, self.height_m, light)]

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw the near end and the long face, or the bars of a railing."""
        if self.kind == "railing":
            self._draw_bars(painter, light)
            return
        place, top = self.place, self.height_m
        front_x = place.right if self.side < 0 else place.left
        lit = light.on((-self.side, 0, 0))
        end = [
            (place.left, 0, place.near),
            (place.right, 0, place.near),
            (place.right, top, place.near),
            (place.left, top, place.near),
        ]
        painter.fill_in_street(np.array(end, float), self.color * light.on((0, 0, -1)))
        ends = [place.near, place.far] if self.side < 0 else [place.far, place.near]
        corners = np.array(
            [
                (front_x, top, ends[0]),
                (front_x, top, ends[1]),
                (front_x, 0, ends[1]),
                (front_x, 0, ends[0]),
            ],
            float,
        )
        self._paste_face(painter, lit, corners)

    def _paste_face(self, painter: Painter, lit: Color, corners: Points) -> None:
        texels_per_m = 26
        size = (
            max(6, round(self.height_m * texels_per_m)),
            max(6, round((self.place.far - self.place.near) * texels_per_m)),
        )
        if self.kind == "wall":
            modulation = cut(bricks((texels_per_m, texels_per_m)), size, self.seed).astype(
                np.float32
            )
            modulation[: max(1, size[0] // 10)] = 156
        else:
            modulation = cut(grain(), size, self.seed).astype(np.float32)
            board = 4 if self.kind == "boards" else 5
            column = np.arange(size[1])
            tones = stream(self.seed, 6).normal(0, 9, size[1] // board + 1)
            modulation += tones[column // board][None, :]
            gap = column % board == 0
            modulation[:, gap] *= 0.6 if self.kind == "boards" else 0.32
            if self.kind == "pickets":
                modulation[: max(1, size[0] // 12), column % board < 2] *= 0.5
            else:
                modulation[: max(1, size[0] // 16)] *= 0.82
        down = np.linspace(1.05, 0.8, size[0], dtype=np.float32)[:, None]
        factor = modulation * down * np.float32(1 / 128)
        color = (self.color * lit).astype(np.float32) * factor[:, :, None]
        painter.paste_in_street(np.clip(color, 0, 255).astype(np.uint8), corners)

    def _draw_bars(self, painter: Painter, light: Light) -> None:
        camera = painter.camera
        x = (self.place.left + self.place.right) / 2
        top, near, far = self.height_m, self.place.near, self.place.far
        color = self.color * light.on_figure(in_sun=light.sunny)
        ends = np.array([(x, 0, near), (x, 0, far), (x, top, far)], float)
        painter.begin_plane(camera.to_camera(ends))
        scale = camera.focal_px / camera.depth_of(x, near)
        for y in (KERB_M + 0.12, top):
            rail = camera.project(np.array([(x, y, near), (x, y, far)], float))
            painter.stroke(rail, 0.045 * scale * 0.6, color)
        posts = np.arange(near, far + 0.01, 1.8)
        bars = np.arange(near, far, 0.15) if scale > 34 else posts
        for z in bars:
            bar = camera.project(np.array([(x, KERB_M, z), (x, top, z)], float))
            local = camera.focal_px / camera.depth_of(x, z)
            painter.stroke(bar, 0.022 * local, color * 0.9)
        for z in posts:
            bar = camera.project(np.array([(x, 0, z), (x, top + 0.05, z)], float))
            local = camera.focal_px / camera.depth_of(x, z)
            painter.stroke(bar, 0.06 * local, color)


@dataclass(frozen=True, eq=False)
class Bin:
    """A litter bin: something that the taxonomy has no class for.

    Attributes:
        x, z: Its foot.
        color: Of its sides.
    """

    x: float
    z: float
    color: Color

    @property
    def class_id(self) -> int:
        """Void."""
        return VOID

    @property
    def footprint(self) -> Footprint:
        """Where it stands."""
        return Footprint(self.x - 0.25, self.x + 0.25, self.z - 0.25, self.z + 0.25)

    def shadows(self, light: Light) -> list[Points]:
        """Return the outline of its shadow."""
        return [box_shadow(self.footprint, 0.95, light)]

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw it."""
        board = _Board(painter, self.x, self.z)
        lit = self.color * light.on_figure(in_sun=light.sunny)
        painter.fill(board.box(-0.24, 0, 0.24, 0.88), lit)
        painter.fill(board.box(0.08, 0, 0.24, 0.88), lit * 0.72)
        painter.fill(board.box(-0.2, 0.62, 0.2, 0.76), gray(26) * light.ambient)
        painter.fill(board.box(-0.27, 0.86, 0.27, 0.98), lit * 0.85)
