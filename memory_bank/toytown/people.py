"""People on foot and on bicycles, drawn of limbs and clothes on boards that face the camera."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scenequilt.memory_bank.toytown.camera import Points
from scenequilt.memory_bank.toytown.classes import BICYCLIST, PERSON
from scenequilt.memory_bank.toytown.light import Light, blend, gray, pick, rgb
from scenequilt.memory_bank.toytown.painter import Color, Painter
from scenequilt.memory_bank.toytown.textures import grain
from scenequilt.memory_bank.toytown.world import Footprint, convex_hull, ellipse, stream

Facing = Literal["left", "right", "camera", "away"]
Outfit = Literal["trousers", "skirt", "coat", "shorts"]

SKIN_COLORS = np.array(
    [
        (238, 200, 172),
        (224, 178, 144),
        (198, 146, 110),
        (152, 104, 74),
        (108, 72, 52),
        (84, 56, 42),
    ],
    float,
)
HAIR_COLORS = np.array(
    [(36, 28, 24), (66, 44, 30), (112, 76, 44), (188, 150, 92), (150, 70, 36), (170, 168, 164)],
    float,
)
TOP_COLORS = np.array(
    [
        (196, 44, 46),
        (34, 62, 118),
        (226, 186, 62),
        (52, 112, 88),
        (238, 236, 230),
        (46, 46, 52),
        (150, 84, 130),
        (226, 122, 62),
        (96, 138, 176),
        (120, 110, 92),
    ],
    float,
)
LEG_COLORS = np.array(
    [(40, 52, 84), (34, 34, 38), (108, 98, 82), (70, 82, 112), (84, 60, 46), (150, 144, 132)], float
)
UMBRELLA_COLORS = np.array(
    [(30, 32, 40), (160, 30, 40), (34, 60, 110), (220, 180, 60), (90, 40, 90)], float
)


class _Figure:
    """Draws limbs of one figure in metres (right, up) beside its feet; side views look right."""

    def __init__(
        self,
        painter: Painter,
        light: Light,
        position: tuple[float, float, float],
        *,
        mirrored: bool,
        in_sun: bool,
    ) -> None:
        x, y, z = position
        camera = painter.camera
        self.painter = painter
        self.depth = camera.depth_of(x, z)
        self.scale = camera.focal_px / self.depth
        self.foot = camera.project(np.array([x, y, z]))
        self.flip = -1.0 if mirrored else 1.0
        self.light = light.on_figure(in_sun=in_sun and light.sunny)
        painter.begin_board(self.depth)

    def pixels(self, points: Points | Sequence[tuple[float, float]]) -> Points:
        """Take (N, 2) metres to pixels."""
        placed: Points = self.foot + np.asarray(points, float) * (
            self.scale * self.flip,
            -self.scale,
        )
        return placed

    def shape(self, points: Points | Sequence[tuple[float, float]], color: Color) -> None:
        """Fill a polygon, convex or not."""
        self.painter.fill_any(self.pixels(points), color * self.light)

    def mark(self, points: Points | Sequence[tuple[float, float]], color: Color) -> None:
        """Fill a convex polygon."""
        self.painter.fill(self.pixels(points), color * self.light)

    def limb(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        wide: float,
        narrow: float,
        color: Color,
    ) -> None:
        """Fill a limb that is `wide` metres thick at its start and `narrow` at its end."""
        (x0, y0), (x1, y1) = start, end
        length = max(float(np.hypot(x1 - x0, y1 - y0)), 1e-6)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        a, b = wide / 2, narrow / 2
        outline = np.array(
            [
                (x0 - dy * a, y0 + dx * a),
                (x0 - dx * a * 0.7, y0 - dy * a * 0.7),
                (x0 + dy * a, y0 - dx * a),
                (x1 + dy * b, y1 - dx * b),
                (x1 + dx * b * 0.7, y1 + dy * b * 0.7),
                (x1 - dy * b, y1 + dx * b),
            ]
        )
        self.painter.fill(self.pixels(outline), color * self.light)

    def disc(self, center: tuple[float, float], radii: tuple[float, float], color: Color) -> None:
        """Fill an ellipse."""
        self.painter.fill(self.pixels(ellipse(center, radii, 14)), color * self.light)

    def line(self, points: Sequence[tuple[float, float]], width_m: float, color: Color) -> None:
        """Draw a line."""
        self.painter.stroke(self.pixels(points), width_m * self.scale, color * self.light)

    def ring(
        self, center: tuple[float, float], radius: float, width_m: float, color: Color
    ) -> None:
        """Draw a circle."""
        points = self.pixels(ellipse(center, (radius, radius), 22))
        self.painter.stroke(points, width_m * self.scale, color * self.light, closed=True)

    def round_off(self, light: Light, half_m: float, height_m: float, seed: int) -> None:
        """Darken the side away from the sun, and give cloth its grain."""
        toward = float(light.toward_sun[0]) if light.sunny else 0.25
        across = np.linspace(-1, 1, 24, dtype=np.float32)[None, :]
        up = np.linspace(1, 0, 64, dtype=np.float32)[:, None]
        grained = grain()[seed % 400 : seed % 400 + 64, seed // 7 % 400 : seed // 7 % 400 + 24]
        pattern = grained.astype(np.float32) * np.float32(0.7) + 38
        pattern = pattern * (1 + np.float32(0.26 * toward) * across) * (0.86 + 0.16 * up)
        corners = self.foot + np.array([(-half_m, -height_m), (half_m, 0.0)]) * self.scale
        self.painter.modulate(corners, np.clip(pattern, 0, 255).astype(np.uint8))


def _figure_shadow(x: float, z: float, height_m: float, light: Light) -> list[Points]:
    offset = np.array(light.shadow_offset(height_m))
    feet = ellipse((x, z), (0.16, 0.12), 8)
    shoulders = ellipse((x, z), (0.24, 0.16), 8) + offset * 0.8
    body = convex_hull(np.concatenate([feet + offset * 0.05, shoulders]))
    return [body, ellipse((x, z), (0.12, 0.12), 8) + offset * 0.95]


@dataclass(frozen=True, eq=False)
class Walker:
    """A person on foot.

    Attributes:
        x, y, z: Where the feet are.
        height_m: From sole to crown.
        facing: Which way they walk.
        outfit: What they wear below.
        stride: Phase of the step, in [0, 1); how far the legs are apart.
        umbrella: True if one is held up.
        bag: True if one is carried.
        in_sun: False if the place is in shadow.
        seed: Of colours and small things.
    """

    x: float
    y: float
    z: float
    height_m: float
    facing: Facing
    outfit: Outfit
    stride: float
    umbrella: bool
    bag: bool
    in_sun: bool
    seed: int

    @property
    def class_id(self) -> int:
        """Person, with all they carry."""
        return PERSON

    @property
    def footprint(self) -> Footprint:
        """Where they stand."""
        return Footprint(self.x - 0.22, self.x + 0.22, self.z - 0.16, self.z + 0.16)

    def shadows(self, light: Light) -> list[Points]:
        """Return the shadows of body and head."""
        return _figure_shadow(self.x, self.z, self.height_m, light)

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw the far limbs, the body, the head, the near limbs."""
        rng = stream(self.seed, 8)
        figure = _Figure(
            painter,
            light,
            (self.x, self.y, self.z),
            mirrored=self.facing == "left",
            in_sun=self.in_sun,
        )
        top, legs = pick(rng, TOP_COLORS), pick(rng, LEG_COLORS)
        skin, hair = pick(rng, SKIN_COLORS, 3), pick(rng, HAIR_COLORS, 4)
        shoes = pick(
            rng, np.array([(30, 28, 28), (236, 234, 230), (120, 74, 44), (180, 40, 44)], float)
        )
        unit = self.height_m / 1.75
        if self.facing in ("left", "right"):
            self._draw_side(figure, rng, unit, top, legs, skin, hair, shoes)
        else:
            self._draw_front(figure, rng, unit, top, legs, skin, hair, shoes)
        if self.umbrella:
            self._draw_umbrella(figure, rng, unit)
        figure.round_off(light, 0.34, self.height_m, self.seed)

    def _draw_side(
        self,
        figure: _Figure,
        rng: np.random.Generator,
        unit: float,
        top: Color,
        legs: Color,
        skin: Color,
        hair: Color,
        shoes: Color,
    ) -> None:
        swing = np.sin(2 * np.pi * self.stride) * 0.3
        hip, shoulder, head = 0.9 * unit, 1.4 * unit, 1.6 * unit
        bare = self.outfit in ("shorts", "skirt")
        for sign, tone in ((-1.0, 0.72), (1.0, 1.0)):
            reach = swing * sign
            knee = (reach * 0.62 + 0.03, 0.48 * unit)
            foot = (reach * 1.05 - (0.06 if reach < 0 else 0.0), 0.06 + max(0.0, -reach) * 0.25)
            cloth = (skin if bare else legs) * tone
            figure.limb(
                (0, hip),
                knee,
                0.19,
                0.13,
                (legs if self.outfit == "shorts" else cloth)
                * (tone if self.outfit == "shorts" else 1),
            )
            figure.limb(knee, foot, 0.13, 0.085, cloth)
            figure.limb(
                (foot[0] - 0.04, foot[1] - 0.01),
                (foot[0] + 0.15, foot[1] - 0.02),
                0.09,
                0.06,
                shoes * tone,
            )
            if sign < 0:
                elbow = (swing * 0.55, 1.13 * unit)
                figure.limb((0, shoulder - 0.04), elbow, 0.11, 0.09, top * 0.66)
                figure.limb(elbow, (swing * 0.9 + 0.1, 0.92 * unit), 0.085, 0.065, top * 0.66)
        low = {"coat": 0.55, "skirt": 0.5}.get(self.outfit, 0.84) * unit
        flare = 0.2 if self.outfit == "skirt" else 0.15
        if self.outfit == "skirt":
            figure.shape(
                [
                    (-0.11, 0.95 * unit),
                    (0.11, 0.95 * unit),
                    (flare + 0.03, low),
                    (-flare - 0.03, low),
                ],
                legs,
            )
            low = 0.86 * unit
        figure.shape(
            [
                (-0.1, shoulder + 0.04),
                (0.07, shoulder + 0.05),
                (0.14, shoulder - 0.14),
                (0.13, 1.0 * unit),
                (flare, low),
                (-flare, low),
                (-0.13, 1.0 * unit),
                (-0.15, shoulder - 0.1),
            ],
            top,
        )
        figure.mark(
            [(-0.15, shoulder - 0.1), (-0.06, shoulder), (-0.05, low), (-0.14, low)], top * 0.78
        )
        if self.bag:
            if rng.random() < 0.5:
                figure.limb(
                    (-0.17, shoulder - 0.08),
                    (-0.19, 1.02 * unit),
                    0.2,
                    0.22,
                    pick(rng, TOP_COLORS) * 0.8,
                )
            else:
                figure.line([(0, shoulder), (-0.1, 0.95 * unit)], 0.025, gray(40))
                figure.shape(
                    [
                        (-0.24, 0.98 * unit),
                        (0.02, 0.98 * unit),
                        (0.05, 0.74 * unit),
                        (-0.26, 0.74 * unit),
                    ],
                    pick(rng, LEG_COLORS),
                )
        figure.limb((0.0, shoulder), (0.025, head - 0.08), 0.09, 0.085, skin * 0.85)
        figure.disc((0.03, head), (0.095, 0.125), skin)
        figure.disc((0.12, head - 0.015), (0.02, 0.022), skin)
        figure.shape(
            [
                (0.1, head + 0.07),
                (0.06, head + 0.135),
                (-0.03, head + 0.145),
                (-0.1, head + 0.08),
                (-0.105, head - 0.03),
                (-0.05, head - 0.08),
                (-0.02, head + 0.03),
            ],
            hair,
        )
        if rng.random() < 0.4:
            figure.limb((-0.07, head + 0.04), (-0.1, head - 0.24), 0.13, 0.09, hair)
        elbow = (-swing * 0.5 - 0.03, 1.13 * unit)
        hand = (-swing * 0.85 + 0.08, 0.9 * unit)
        if self.umbrella:
            elbow, hand = (0.06, 1.12 * unit), (0.2, 1.22 * unit)
        sleeve = top * 0.92
        figure.limb((-0.01, shoulder - 0.03), elbow, 0.115, 0.095, sleeve)
        figure.limb(elbow, hand, 0.09, 0.07, sleeve if rng.random() < 0.7 else skin)
        figure.disc(hand, (0.04, 0.045), skin)

    def _draw_front(
        self,
        figure: _Figure,
        rng: np.random.Generator,
        unit: float,
        top: Color,
        legs: Color,
        skin: Color,
        hair: Color,
        shoes: Color,
    ) -> None:
        lift = np.sin(2 * np.pi * self.stride) * 0.1
        hip, shoulder, head = 0.9 * unit, 1.42 * unit, 1.61 * unit
        bare = self.outfit in ("shorts", "skirt")
        cloth = skin if bare else legs
        for sign in (-1.0, 1.0):
            raised = max(0.0, lift * sign)
            foot = (0.09 * sign, 0.05 + raised)
            knee = (0.095 * sign, 0.48 * unit + raised * 0.5)
            tone = 0.82 if raised else 1.0
            figure.limb(
                (0.085 * sign, hip),
                knee,
                0.19,
                0.14,
                (legs if self.outfit == "shorts" else cloth) * tone,
            )
            figure.limb(knee, foot, 0.135, 0.1, cloth * tone)
            figure.limb(
                (foot[0], foot[1] + 0.02),
                (foot[0] + 0.02 * sign, foot[1] - 0.02),
                0.11,
                0.11,
                shoes * tone,
            )
        for sign in (-1.0, 1.0):
            elbow = (0.25 * sign, 1.12 * unit)
            hand = (0.24 * sign, 0.88 * unit - lift * sign)
            if self.umbrella and sign > 0:
                hand = (0.16, 1.25 * unit)
            figure.limb((0.19 * sign, shoulder - 0.05), elbow, 0.115, 0.095, top * 0.84)
            figure.disc(hand, (0.042, 0.05), skin)
            figure.limb(elbow, hand, 0.09, 0.07, top * 0.84)
        low = {"coat": 0.52, "skirt": 0.86}.get(self.outfit, 0.83) * unit
        if self.outfit == "skirt":
            figure.shape(
                [
                    (-0.15, 0.95 * unit),
                    (0.15, 0.95 * unit),
                    (0.25, 0.5 * unit),
                    (-0.25, 0.5 * unit),
                ],
                legs,
            )
        flare = 0.22 if self.outfit == "coat" else 0.165
        figure.shape(
            [
                (-0.08, shoulder + 0.06),
                (0.08, shoulder + 0.06),
                (0.22, shoulder - 0.03),
                (0.17, 1.05 * unit),
                (flare, low),
                (-flare, low),
                (-0.17, 1.05 * unit),
                (-0.22, shoulder - 0.03),
            ],
            top,
        )
        if self.facing == "camera":
            if self.outfit in ("coat", "trousers") and rng.random() < 0.6:
                shirt = rgb(236, 234, 228)
                figure.mark(
                    [(-0.05, shoulder + 0.05), (0.05, shoulder + 0.05), (0.0, shoulder - 0.2)],
                    shirt,
                )
            figure.mark(
                [(-0.008, low), (0.008, low), (0.008, shoulder - 0.1), (-0.008, shoulder - 0.1)],
                top * 0.72,
            )
        figure.limb((0, shoulder), (0, head - 0.08), 0.1, 0.09, skin * 0.82)
        figure.disc((0, head), (0.09, 0.125), skin if self.facing == "camera" else hair)
        long_hair = rng.random() < 0.45
        if self.facing == "camera":
            figure.shape(
                [
                    (-0.1, head - 0.0),
                    (-0.095, head + 0.1),
                    (-0.03, head + 0.15),
                    (0.04, head + 0.15),
                    (0.098, head + 0.09),
                    (0.1, head - 0.0),
                    (0.07, head + 0.06),
                    (-0.05, head + 0.075),
                ],
                hair,
            )
            if long_hair:
                for sign in (-1.0, 1.0):
                    figure.limb(
                        (0.088 * sign, head + 0.05), (0.1 * sign, head - 0.2), 0.05, 0.06, hair
                    )
            figure.mark(ellipse((-0.035, head + 0.005), (0.012, 0.01), 6), gray(34))
            figure.mark(ellipse((0.035, head + 0.005), (0.012, 0.01), 6), gray(34))
            figure.mark(
                [(-0.025, head - 0.065), (0.025, head - 0.065), (0.0, head - 0.08)],
                blend(skin, rgb(150, 60, 60), 0.5),
            )
        elif long_hair:
            figure.limb((0, head), (0, head - 0.22), 0.19, 0.15, hair)
        if self.bag:
            bag = pick(rng, TOP_COLORS) * 0.85
            if self.facing == "away":
                figure.shape(
                    [
                        (-0.14, shoulder - 0.02),
                        (0.14, shoulder - 0.02),
                        (0.16, 1.0 * unit),
                        (-0.16, 1.0 * unit),
                    ],
                    bag,
                )
                figure.mark(
                    [
                        (-0.1, 1.2 * unit),
                        (0.1, 1.2 * unit),
                        (0.1, 1.05 * unit),
                        (-0.1, 1.05 * unit),
                    ],
                    bag * 0.75,
                )
            else:
                figure.line([(0.16, shoulder), (-0.24, 0.92 * unit)], 0.025, bag * 0.6)
                figure.shape(
                    [
                        (-0.36, 0.96 * unit),
                        (-0.14, 0.96 * unit),
                        (-0.13, 0.74 * unit),
                        (-0.38, 0.74 * unit),
                    ],
                    bag,
                )

    def _draw_umbrella(self, figure: _Figure, rng: np.random.Generator, unit: float) -> None:
        color = pick(rng, UMBRELLA_COLORS)
        x, top = 0.14, 2.12 * unit
        figure.line([(x + 0.04, 1.15 * unit), (x, top)], 0.022, gray(70))
        low = top - 0.27
        dome = [(x + 0.56 * np.cos(a), low + 0.3 * np.sin(a)) for a in np.linspace(0, np.pi, 11)]
        scallops = [
            (x - 0.56 + 0.28 * k + 0.14, low - 0.0 + (0.05 if k < 4 else 0)) for k in range(4)
        ]
        figure.shape(np.array(dome + scallops), color)
        figure.mark([(x, top + 0.02), (x + 0.2, low + 0.03), (x - 0.16, low + 0.03)], color * 1.22)
        figure.line([(x, top + 0.01), (x, top + 0.09)], 0.025, gray(60))


@dataclass(frozen=True, eq=False)
class Cyclist:
    """A bicycle and who rides it.

    Attributes:
        x, y, z: Middle of the wheels on the ground.
        facing: Which way they ride.
        cadence: Phase of the pedals, in [0, 1).
        in_sun: False if the place is in shadow.
        seed: Of colours.
    """

    x: float
    y: float
    z: float
    facing: Facing
    cadence: float
    in_sun: bool
    seed: int

    @property
    def class_id(self) -> int:
        """Bicyclist, the bicycle included."""
        return BICYCLIST

    @property
    def footprint(self) -> Footprint:
        """Where the wheels are."""
        if self.facing in ("left", "right"):
            return Footprint(self.x - 0.85, self.x + 0.85, self.z - 0.2, self.z + 0.2)
        return Footprint(self.x - 0.25, self.x + 0.25, self.z - 0.3, self.z + 0.3)

    def shadows(self, light: Light) -> list[Points]:
        """Return the shadows of wheels and rider."""
        return _figure_shadow(self.x, self.z, 1.7, light)

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw bicycle and rider."""
        rng = stream(self.seed, 9)
        figure = _Figure(
            painter,
            light,
            (self.x, self.y, self.z),
            mirrored=self.facing == "left",
            in_sun=self.in_sun,
        )
        top, legs = pick(rng, TOP_COLORS), pick(rng, LEG_COLORS)
        skin, hair = pick(rng, SKIN_COLORS, 3), pick(rng, HAIR_COLORS, 4)
        frame = pick(rng, TOP_COLORS)
        helmet = pick(rng, TOP_COLORS) if rng.random() < 0.7 else None
        if self.facing in ("left", "right"):
            self._draw_side(figure, top, legs, skin, hair, frame, helmet)
            figure.round_off(light, 0.9, 1.85, self.seed)
        else:
            self._draw_end(figure, top, legs, skin, hair, helmet)
            figure.round_off(light, 0.35, 1.85, self.seed)

    def _draw_side(
        self,
        figure: _Figure,
        top: Color,
        legs: Color,
        skin: Color,
        hair: Color,
        frame: Color,
        helmet: Color | None,
    ) -> None:
        back, front, hub = (-0.52, 0.34), (0.54, 0.34), (-0.04, 0.3)
        saddle, bars = (-0.2, 0.92), (0.42, 1.02)
        angle = 2 * np.pi * self.cadence
        hip, shoulder = (-0.18, 1.0), (0.14, 1.42)

        def leg(turn: float, tone: float) -> None:
            pedal = (hub[0] + 0.16 * np.cos(turn), hub[1] + 0.16 * np.sin(turn))
            knee = ((hip[0] + pedal[0]) / 2 + 0.24, (hip[1] + pedal[1]) / 2 + 0.1)
            figure.limb(hip, knee, 0.19, 0.14, legs * tone)
            figure.limb(knee, (pedal[0], pedal[1] + 0.06), 0.13, 0.09, legs * tone)
            figure.limb(
                (pedal[0] - 0.06, pedal[1] + 0.02),
                (pedal[0] + 0.14, pedal[1] + 0.02),
                0.08,
                0.06,
                gray(40) * tone,
            )

        leg(angle + np.pi, 0.68)
        for wheel in (back, front):
            figure.ring(wheel, 0.315, 0.05, gray(32))
            figure.ring(wheel, 0.285, 0.018, gray(168))
            for spoke in range(4):
                turn = angle + spoke * np.pi / 4
                dx, dy = 0.28 * np.cos(turn), 0.28 * np.sin(turn)
                if figure.scale > 40:
                    figure.line(
                        [(wheel[0] - dx, wheel[1] - dy), (wheel[0] + dx, wheel[1] + dy)],
                        0.008,
                        gray(140),
                    )
        for start, end in (
            (back, hub),
            (back, saddle),
            (hub, saddle),
            (hub, (0.38, 0.86)),
            ((-0.17, 0.84), (0.38, 0.86)),
            ((0.37, 0.98), front),
        ):
            figure.line([start, end], 0.045, frame)
        figure.line([(0.36, 1.0), bars], 0.04, gray(50))
        figure.limb((-0.32, 0.94), (-0.06, 0.94), 0.08, 0.05, gray(30))
        figure.limb(hip, shoulder, 0.27, 0.3, top)
        figure.mark([(-0.3, 1.06), (-0.14, 1.0), (0.04, 1.36), (-0.04, 1.44)], top * 0.8)
        leg(angle, 1.0)
        head = (0.25, 1.64)
        figure.limb(shoulder, (0.22, 1.58), 0.1, 0.09, skin * 0.85)
        figure.disc(head, (0.095, 0.12), skin)
        figure.shape(
            [(0.33, 1.7), (0.3, 1.77), (0.2, 1.79), (0.14, 1.7), (0.16, 1.58), (0.22, 1.68)], hair
        )
        if helmet is not None:
            dome = [
                (0.25 + 0.135 * np.cos(a), 1.7 + 0.11 * np.sin(a)) for a in np.linspace(0, np.pi, 8)
            ]
            figure.shape(np.array(dome), helmet)
        figure.limb((shoulder[0], shoulder[1] - 0.04), (0.32, 1.16), 0.11, 0.09, top * 0.9)
        figure.limb((0.32, 1.16), bars, 0.085, 0.07, top * 0.9)
        figure.disc(bars, (0.045, 0.045), skin)

    def _draw_end(
        self,
        figure: _Figure,
        top: Color,
        legs: Color,
        skin: Color,
        hair: Color,
        helmet: Color | None,
    ) -> None:
        turn = 0.12 * np.sin(2 * np.pi * self.cadence)
        figure.limb((0, 0.03), (0, 0.66), 0.055, 0.055, gray(34))
        for sign in (-1.0, 1.0):
            foot = (0.13 * sign, 0.26 + turn * sign)
            knee = (0.17 * sign, 0.66 + turn * sign)
            figure.limb((0.1 * sign, 0.98), knee, 0.18, 0.14, legs * (0.9 if sign < 0 else 1.0))
            figure.limb(knee, foot, 0.13, 0.09, legs * 0.95)
            figure.limb(foot, (foot[0], foot[1] - 0.05), 0.1, 0.09, gray(44))
        figure.line([(-0.3, 1.02), (0.3, 1.02)], 0.04, gray(60))
        figure.shape(
            [(-0.09, 1.5), (0.09, 1.5), (0.21, 1.4), (0.16, 0.96), (-0.16, 0.96), (-0.21, 1.4)], top
        )
        for sign in (-1.0, 1.0):
            figure.limb((0.2 * sign, 1.4), (0.31 * sign, 1.18), 0.11, 0.09, top * 0.85)
            figure.limb((0.31 * sign, 1.18), (0.28 * sign, 1.03), 0.085, 0.07, top * 0.85)
            figure.disc((0.28 * sign, 1.03), (0.04, 0.04), skin)
        figure.limb((0, 1.48), (0, 1.58), 0.1, 0.09, skin * 0.82)
        figure.disc((0, 1.65), (0.09, 0.12), skin if self.facing == "camera" else hair)
        dome = [(0.115 * np.cos(a), 1.68 + 0.12 * np.sin(a)) for a in np.linspace(0, np.pi, 8)]
        figure.shape(np.array(dome), hair if helmet is None else helmet)
        if self.facing == "away":
            figure.mark(ellipse((0, 0.74), (0.03, 0.03), 8), rgb(240, 40, 30))
        else:
            figure.mark(ellipse((0, 1.0), (0.04, 0.04), 8), rgb(255, 250, 226))
