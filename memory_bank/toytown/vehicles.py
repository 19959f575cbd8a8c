"""Cars and vans as solids: body, cabin, windows, wheels, lights and number plates."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.toytown.camera import NEAR_M, Points
from scenequilt.memory_bank.toytown.classes import CAR
from scenequilt.memory_bank.toytown.light import Light, blend, gray, rgb
from scenequilt.memory_bank.toytown.painter import Color, Painter
from scenequilt.memory_bank.toytown.textures import grain
from scenequilt.memory_bank.toytown.world import Footprint, convex_hull, ellipse

Body = Literal["hatchback", "saloon", "estate", "suv", "van"]


@dataclass(frozen=True, slots=True)
class _Shape:
    """Outlines of a body from the side: (N, 2) points (forward, up) in metres, counterclockwise
    seen from the car's right; half widths of body, cabin foot and roof; wheels."""

    body: tuple[tuple[float, float], ...]
    cabin: tuple[tuple[float, float], ...]
    half_widths_m: tuple[float, float, float]
    axles_m: tuple[float, float]
    wheel_m: float
    pillars: tuple[float, ...]


_SHAPES: dict[Body, _Shape] = {
    "hatchback": _Shape(
        (
            (-1.92, 0.3),
            (1.9, 0.3),
            (1.98, 0.56),
            (1.86, 0.74),
            (1.0, 0.94),
            (-1.86, 0.98),
            (-1.98, 0.6),
        ),
        ((-1.86, 0.97), (1.04, 0.93), (0.32, 1.4), (-0.2, 1.47), (-1.2, 1.44), (-1.56, 1.36)),
        (0.87, 0.84, 0.62),
        (-1.24, 1.26),
        0.31,
        (-0.95, 0.0),
    ),
    "saloon": _Shape(
        (
            (-2.2, 0.32),
            (2.2, 0.3),
            (2.28, 0.54),
            (2.18, 0.72),
            (1.2, 0.92),
            (-1.4, 0.98),
            (-2.2, 0.94),
            (-2.28, 0.6),
        ),
        ((-1.62, 0.97), (1.16, 0.92), (0.42, 1.38), (-0.1, 1.44), (-0.7, 1.42)),
        (0.9, 0.86, 0.62),
        (-1.36, 1.42),
        0.32,
        (-0.78, 0.05),
    ),
    "estate": _Shape(
        (
            (-2.24, 0.32),
            (2.2, 0.3),
            (2.28, 0.54),
            (2.18, 0.72),
            (1.2, 0.92),
            (-2.2, 0.98),
            (-2.3, 0.6),
        ),
        ((-2.2, 0.97), (1.16, 0.92), (0.42, 1.4), (-0.2, 1.47), (-1.6, 1.45), (-1.9, 1.38)),
        (0.9, 0.86, 0.64),
        (-1.38, 1.42),
        0.32,
        (-1.3, -0.62, 0.05),
    ),
    "suv": _Shape(
        (
            (-2.1, 0.4),
            (2.08, 0.4),
            (2.16, 0.72),
            (2.06, 0.92),
            (1.1, 1.08),
            (-2.08, 1.12),
            (-2.18, 0.74),
        ),
        ((-2.06, 1.11), (1.08, 1.07), (0.46, 1.58), (-0.2, 1.66), (-1.5, 1.64), (-1.84, 1.54)),
        (0.93, 0.9, 0.7),
        (-1.32, 1.34),
        0.36,
        (-1.2, -0.5, 0.12),
    ),
    "van": _Shape(
        (
            (-2.5, 0.36),
            (2.4, 0.34),
            (2.5, 0.66),
            (2.36, 0.98),
            (1.72, 1.14),
            (-2.48, 1.16),
            (-2.52, 0.6),
        ),
        ((-2.48, 1.15), (1.76, 1.13), (1.02, 1.86), (0.6, 1.98), (-2.3, 1.98), (-2.46, 1.9)),
        (0.96, 0.95, 0.86),
        (-1.55, 1.6),
        0.34,
        (0.1,),
    ),
}

PAINTS = np.array(
    [
        (206, 210, 214),
        (236, 236, 234),
        (30, 32, 36),
        (92, 98, 106),
        (158, 24, 30),
        (26, 58, 124),
        (44, 96, 148),
        (22, 70, 56),
        (206, 160, 52),
        (110, 44, 40),
        (176, 186, 176),
        (214, 98, 38),
        (130, 164, 186),
    ],
    float,
)


@dataclass(frozen=True, eq=False)
class Car:
    """A car on the road.

    Attributes:
        x, z: Its middle.
        heading_rad: Where its front points: 0 along the street away from the camera, pi towards
            it, pi / 2 to the right.
        body: Its shape.
        paint: Its colour.
        in_sun: False if it is parked in shadow.
        driving: True if its lights are on and somebody is in it.
        seed: Of plate and small things.
    """

    x: float
    z: float
    heading_rad: float
    body: Body
    paint: Color
    in_sun: bool
    driving: bool
    seed: int

    @property
    def class_id(self) -> int:
        """Car."""
        return CAR

    @property
    def footprint(self) -> Footprint:
        """The box around it."""
        corners = self._outline()
        left, near = corners.min(axis=0).tolist()
        right, far = corners.max(axis=0).tolist()
        return Footprint(left, right, near, far)

    def shadows(self, light: Light) -> list[Points]:
        """Return the shadows of body and cabin."""
        low, high = self._outline(), self._outline(0.66)
        top = max(y for _, y in _SHAPES[self.body].cabin)
        body = convex_hull(np.concatenate([low, low + light.shadow_offset(0.95)]))
        return [body, convex_hull(np.concatenate([high, high + light.shadow_offset(top)]))]

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw the solid's faces that the camera sees, and what is on them."""
        _CarDrawing(self, painter, light).draw()

    def _outline(self, part: float = 1.0) -> Points:
        shape = _SHAPES[self.body]
        back, front = min(p[0] for p in shape.body) * part, max(p[0] for p in shape.body) * part
        half = shape.half_widths_m[0] * (0.85 if part < 1 else 1)
        local = np.array([(back, -half), (front, -half), (front, half), (back, half)])
        sine, cosine = math.sin(self.heading_rad), math.cos(self.heading_rad)
        return np.stack(
            [
                self.x + local[:, 0] * sine + local[:, 1] * cosine,
                self.z + local[:, 0] * cosine - local[:, 1] * sine,
            ],
            axis=-1,
        )


class _CarDrawing:
    """One car on one canvas. Local points are (forward, up, right) in metres."""

    def __init__(self, car: Car, painter: Painter, light: Light) -> None:
        self.car = car
        self.painter = painter
        self.light = light
        self.shape = _SHAPES[car.body]
        self.sine, self.cosine = math.sin(car.heading_rad), math.cos(car.heading_rad)
        eye_x, eye_z = -car.x, -car.z
        self.eye = np.array(
            [
                eye_x * self.sine + eye_z * self.cosine,
                painter.camera.height_m,
                eye_x * self.cosine - eye_z * self.sine,
            ]
        )
        local_to_street = np.array(
            [(self.sine, 0.0, self.cosine), (0.0, 1.0, 0.0), (self.cosine, 0.0, -self.sine)]
        )
        self.local_to_camera = local_to_street @ painter.camera.street_to_camera
        self.offset = painter.camera.to_camera(np.array([car.x, 0.0, car.z]))
        self.scale = painter.camera.focal_px / max(painter.camera.depth_of(car.x, car.z), 1.0)
        self.fine = self.scale > 11
        self.mirror = blend(light.sky_horizon, light.sky_top, 0.3)

    def draw(self) -> None:
        """Draw underside, body, cabin and what is on them, back to front."""
        half, foot, roof = self.shape.half_widths_m
        side = 1.0 if self.eye[2] > 0 else -1.0
        body = np.array(self.shape.body)
        points = self._pixels(self._box_points())
        if points is None or not self._in_view(points):
            return
        self._draw_underside(side)
        self._draw_strips(body, np.full(len(body), half), glass=False)
        sees_side = abs(self.eye[2]) > half
        if sees_side:
            self._draw_side(body, half, side)
        self._draw_ends(half)
        cabin = np.array(self.shape.cabin)
        low, high = cabin[:, 1].min(), cabin[:, 1].max()
        widths = foot + (roof - foot) * ((cabin[:, 1] - low) / (high - low)) ** 1.3
        self._draw_strips(cabin, widths, glass=True)
        if sees_side:
            self._draw_cabin_side(cabin, widths, side)
        self._shade(points)

    def _in_view(self, points: Points) -> bool:
        height, width = self.painter.camera.size_hw
        low, high = points.min(axis=0), points.max(axis=0)
        return bool(high[0] > 0 and low[0] < width and high[1] > 0 and low[1] < height)

    def _seen(self, local: Points) -> Points:
        """Take local points to camera points."""
        seen: Points = local @ self.local_to_camera + self.offset
        return seen

    def _pixels(self, local: Points) -> Points | None:
        """Return pixel points, or None if any is too near or behind the camera."""
        seen = self._seen(local)
        return None if seen[..., 2].min() < NEAR_M else self.painter.camera.to_pixels(seen)

    def _face(self, local: Points, color: Color) -> None:
        """Fill a flat face as a surface of its own."""
        seen = self._seen(local)
        self.painter.begin_plane(seen)
        self.painter.fill(self.painter.camera.to_pixels(seen), color)

    def _add(self, local: Points, color: Color) -> None:
        """Fill a flat convex polygon on the face begun last."""
        self.painter.fill(self.painter.camera.to_pixels(self._seen(local)), color)

    def _add_each(self, quads: list[list[tuple[float, float, float]]], colors: list[Color]) -> None:
        """Fill flat quads on the face begun last, one colour each."""
        pixels = self.painter.camera.to_pixels(self._seen(np.array(quads)))
        self.painter.fill_each(pixels, colors)

    def _normal_light(self, forward: float, up: float, right: float) -> Color:
        normal = (
            forward * self.sine + right * self.cosine,
            up,
            forward * self.cosine - right * self.sine,
        )
        factor = self.light.on(normal, in_sun=self.car.in_sun and self.light.sunny)
        return factor

    def _box_points(self) -> Points:
        half = self.shape.half_widths_m[0]
        back, front = min(p[0] for p in self.shape.body), max(p[0] for p in self.shape.body)
        top = max(y for _, y in self.shape.cabin)
        return np.array(
            [(f, u, r) for f in (back, front) for u in (0.0, top) for r in (-half, half)]
        )

    def _draw_underside(self, side: float) -> None:
        """Draw the dark between the wheels, and the wheels seen from the ends."""
        half = self.shape.half_widths_m[0]
        back, front = self.shape.axles_m
        radius = self.shape.wheel_m
        dark = gray(16) * self.light.ambient
        end = front if self.eye[0] > 0 else back
        reach = math.copysign(radius * 0.6, self.eye[0])
        across = np.array(
            [
                (end, 0.16, -half + 0.1),
                (end, 0.16, half - 0.1),
                (end, 0.5, half - 0.1),
                (end, 0.5, -half + 0.1),
            ]
        )
        self._face(across, dark)
        if abs(self.eye[2]) > half:
            along = np.array(
                [
                    (back, 0.14, side * half * 0.85),
                    (front, 0.14, side * half * 0.85),
                    (front, 0.5, side * half * 0.85),
                    (back, 0.5, side * half * 0.85),
                ]
            )
            self._face(along, dark)
        for right in (-half + 0.02, half - 0.22):
            tyre = np.array(
                [
                    (end + reach, 0.0, right),
                    (end + reach, 0.0, right + 0.2),
                    (end + reach, radius * 1.5, right + 0.2),
                    (end + reach, radius * 1.5, right),
                ]
            )
            self._face(tyre, gray(30) * self.light.ambient)

    def _draw_strips(self, outline: Points, widths: NDArray[np.float64], *, glass: bool) -> None:
        """Draw the faces across the car between neighbouring points of an outline."""
        count = len(outline)
        for index in range(count):
            (f0, u0), (f1, u1) = outline[index], outline[(index + 1) % count]
            along, up = f1 - f0, u1 - u0
            length = math.hypot(along, up)
            normal = (up / length, -along / length)
            if (self.eye[0] - f0) * normal[0] + (self.eye[1] - u0) * normal[1] <= 0:
                continue
            w0, w1 = widths[index], widths[(index + 1) % count]
            quad = np.array([(f0, u0, -w0), (f0, u0, w0), (f1, u1, w1), (f1, u1, -w1)])
            factor = self._normal_light(normal[0], normal[1], 0.0)
            mirrored = 0.10 + 0.22 * max(0.0, normal[1])
            color = blend(self.car.paint * factor, self.mirror, mirrored)
            self._face(quad, color)
            is_window = glass and abs(normal[0]) > 0.35 and length > 0.3
            if is_window and not (self.car.body == "van" and normal[0] < 0):
                self._draw_window(quad, normal[1])
            elif glass and self.car.body == "van" and normal[0] < 0 and length > 0.3:
                for side in (0.08, 0.53):
                    self._draw_window(
                        _inset(quad, side, 0.15, side + 0.39, 0.8), normal[1], margin=0.0
                    )

    def _draw_window(self, quad: Points, up: float, margin: float = 0.08) -> None:
        pane = _inset(quad, margin, 0.1, 1 - margin, 0.9) if margin else quad
        dark = rgb(26, 32, 38) * (self.light.ambient + 0.2)
        self._add(pane, blend(dark, self.mirror, 0.16 + 0.3 * up))
        if self.fine:
            self._add(_inset(pane, 0.0, 0.55, 1.0, 1.0), blend(dark, self.mirror, 0.3 + 0.3 * up))
            if self.scale > 24:
                for left in (0.14, 0.6):
                    seat = _inset(pane, left, 0.08, left + 0.22, 0.5)
                    self._add(seat, blend(dark, self.mirror, 0.1 + 0.1 * up))
            streak = np.array(
                [_at(pane, 0.62, 0), _at(pane, 0.7, 0), _at(pane, 0.9, 1), _at(pane, 0.78, 1)]
            )
            if self.fine:
                self._add(streak, blend(dark, self.mirror, 0.5 + 0.25 * up))

    def _draw_side(self, body: Points, half: float, side: float) -> None:
        factor = self._normal_light(0.0, 0.0, side)
        paint = self.car.paint * factor
        right = side * half
        outline = np.column_stack([body, np.full(len(body), right)])
        self._face(outline, blend(paint, self.mirror, 0.05))
        back, front = self.shape.axles_m
        low, high = body[:, 1].min(), body[:, 1].max()
        start, end = body[:, 0].min() + 0.06, body[:, 0].max() - 0.08

        quads: list[list[tuple[float, float, float]]] = []
        colors: list[Color] = []

        def patch(f0: float, u0: float, f1: float, u1: float, color: Color) -> None:
            quads.append([(f0, u0, right), (f1, u0, right), (f1, u1, right), (f0, u1, right)])
            colors.append(color)

        if self.fine:
            patch(
                start + 0.1, high - 0.17, front - 0.1, high - 0.08, blend(paint, self.mirror, 0.3)
            )
            patch(start, low, end, low + 0.14, paint * 0.5)
            for pillar in (*self.shape.pillars, self.shape.axles_m[1] - 0.5):
                patch(pillar - 0.012, low + 0.12, pillar + 0.012, high - 0.03, paint * 0.55)
                patch(
                    pillar + 0.08,
                    high - 0.24,
                    pillar + 0.26,
                    high - 0.2,
                    blend(paint, gray(220), 0.3) * 0.9,
                )
            self._add_each(quads, colors)
        for axle in (back, front):
            self._draw_wheel(axle, right, factor)

    def _draw_wheel(self, axle: float, right: float, factor: Color) -> None:
        radius, ambient = self.shape.wheel_m, self.light.ambient
        if self.fine:  # the arch lies on the body: nothing of it below the sill
            arch = self._disc(axle, right, radius * 1.2, self.shape.body[0][1])
            self._add(arch, gray(14) * ambient)
        self.painter.begin_surface(*self._side_plane(right))
        tyre = self._seen(self._disc(axle, right, radius, 0.0))
        self.painter.fill(self.painter.camera.to_pixels(tyre), gray(34) * ambient)
        self._draw_disc(axle, right, radius * 0.66, gray(150) * factor)
        if not self.fine:
            return
        self._draw_disc(axle, right, radius * 0.52, gray(96) * factor)
        if self.scale > 24:
            for turn in np.arange(5) * (2 * np.pi / 5) + self.car.seed % 7:
                dx, dy = math.cos(turn) * radius * 0.6, math.sin(turn) * radius * 0.6
                spoke = [
                    (axle - dy * 0.14, radius + dx * 0.14, right),
                    (axle + dy * 0.14, radius - dx * 0.14, right),
                    (axle + dx, radius + dy, right),
                ]
                self._add(np.array(spoke), gray(186) * factor)
        self._draw_disc(axle, right, radius * 0.16, gray(170) * factor)

    def _side_plane(self, right: float) -> tuple[tuple[float, float, float], tuple[float, float]]:
        corners = np.array([(-2.0, 0.0, right), (2.0, 0.0, right), (2.0, 1.0, right)])
        seen = self._seen(corners)
        depth = seen[:, 2]
        return self.painter.camera.inverse_depth_plane(seen), (
            float(max(depth.min() - 0.5, NEAR_M)),
            float(depth.max() + 0.5),
        )

    def _draw_disc(self, axle: float, right: float, radius: float, color: Color) -> None:
        """Color a disc around the middle of a wheel, no lower than the road."""
        self._add(self._disc(axle, right, radius, 0.0), color)

    def _disc(self, axle: float, right: float, radius: float, lowest: float) -> Points:
        circle = ellipse((axle, self.shape.wheel_m), (radius, radius), 16)
        up = np.maximum(circle[:, 1], lowest)
        return np.column_stack([circle[:, 0], up, np.full(16, right)])

    def _draw_ends(self, half: float) -> None:
        """Draw lights, grille, bumper and plate of the end that faces the camera."""
        body = np.array(self.shape.body)
        front = self.eye[0] > 0
        edge = body[:, 0].max() if front else body[:, 0].min()
        if (self.eye[0] - edge) * (1 if front else -1) <= 0.3:
            return
        factor = self._normal_light(1.0 if front else -1.0, 0.1, 0.0)
        end = np.array([(edge, 0.0, -half), (edge, 0.0, half), (edge, 1.0, half)])
        self.painter.begin_plane(self._seen(end))
        high = float(body[:, 1].max())
        f = float(edge)
        low = float(body[0][1])

        quads: list[list[tuple[float, float, float]]] = []
        colors: list[Color] = []

        def patch(r0: float, u0: float, r1: float, u1: float, color: Color) -> None:
            quads.append([(f, u0, r0), (f, u0, r1), (f, u1, r1), (f, u1, r0)])
            colors.append(color)

        paint = self.car.paint * factor
        patch(-half + 0.02, low, half - 0.02, low + 0.13, blend(paint * 0.5, gray(30), 0.6))
        belt = low + 0.24
        if front:
            patch(-half * 0.5, belt - 0.02, half * 0.5, belt + 0.13, gray(22) * self.light.ambient)
            if self.fine:
                patch(-half * 0.5, belt + 0.045, half * 0.5, belt + 0.065, gray(150) * factor)
            lamp = rgb(255, 252, 236) if self.car.driving else gray(206) * factor
            for sign in (-1.0, 1.0):
                near, far = sorted((sign * half * 0.55, sign * half * 0.94))
                patch(near, belt, far, belt + 0.16, lamp)
                if self.fine:
                    patch(
                        near + 0.06,
                        belt + 0.03,
                        far - 0.12,
                        belt + 0.13,
                        np.minimum(lamp * 1.15, 255) if self.car.driving else gray(150) * factor,
                    )
        else:
            shade = paint * 0.74
            if self.fine:
                patch(-half * 0.8, belt + 0.1, half * 0.8, belt + 0.115, shade)
                patch(-0.42, belt + 0.02, 0.42, belt + 0.24, paint * 0.86)
            lamp = (
                rgb(255, 44, 30)
                if self.car.driving
                else rgb(150, 20, 22) * (self.light.ambient + 0.35)
            )
            rise = 0.42 if self.car.body in ("van", "estate") else 0.2
            for sign in (-1.0, 1.0):
                near, far = sorted((sign * half * 0.66, sign * half * 0.97))
                patch(near, belt + 0.02, far, min(belt + 0.02 + rise, high - 0.06), lamp)
                if self.fine:
                    patch(near, belt + 0.02, far, belt + 0.07, rgb(230, 200, 180) * factor)
        plate = rgb(236, 232, 214) if front else rgb(236, 204, 72)
        center = belt - 0.06 if front else belt + 0.13
        patch(-0.26, center - 0.055, 0.26, center + 0.055, plate * factor)
        if self.scale > 20:
            for left in (-0.21, -0.14, -0.07, 0.03, 0.1, 0.17):
                patch(left, center - 0.035, left + 0.045, center + 0.035, gray(36) * factor)
        self._add_each(quads, colors)

    def _draw_cabin_side(self, cabin: Points, widths: NDArray[np.float64], side: float) -> None:
        outline = np.column_stack([cabin, widths * side])
        factor = self._normal_light(0.0, 0.25, side * 0.97)
        paint = self.car.paint * factor
        self._face(outline, blend(paint, self.mirror, 0.08))
        if not self.fine and self.scale < 6:
            return
        center = outline.mean(axis=0)
        dark = rgb(26, 32, 38) * (self.light.ambient + 0.2)
        pane = center + (outline - center) * (0.86, 0.78, 1.0)
        if self.car.body == "van":
            pane[:, 0] = np.maximum(pane[:, 0], 0.35)
        self._add(pane, blend(dark, self.mirror, 0.24))
        if self.fine:
            middle = float(center[1])
            upper = pane.copy()
            upper[:, 1] = np.maximum(upper[:, 1], middle + 0.02)
            self._add(upper, blend(dark, self.mirror, 0.38))
            for pillar in self.shape.pillars:
                inside = pane[:, 0].min() < pillar < pane[:, 0].max()
                if inside:
                    low, high = float(pane[:, 1].min()), float(pane[:, 1].max())
                    foot, head = float(widths[0]) * side, float(widths.min()) * side
                    post = np.array(
                        [
                            (pillar - 0.04, low, foot),
                            (pillar + 0.04, low, foot),
                            (pillar, high, head),
                            (pillar - 0.08, high, head),
                        ]
                    )
                    self._add(post, paint * 0.55)

    def _shade(self, points: Points) -> None:
        """Darken towards the ground, and dust it."""
        seed = self.car.seed
        dust = grain()[seed % 400 : seed % 400 + 48, seed // 11 % 400 : seed // 11 % 400 + 96]
        up = np.linspace(1, 0, 48, dtype=np.float32)[:, None]
        pattern = (dust.astype(np.float32) * np.float32(0.3) + 91) * (0.84 + 0.2 * up)
        self.painter.modulate(points.reshape(-1, 2), np.clip(pattern, 0, 255).astype(np.uint8))


def _at(quad: Points, across: float, along: float) -> Points:
    """Return the point of a quad (first two corners at along = 0) at two parts in [0, 1]."""
    low = quad[0] + (quad[1] - quad[0]) * across
    high = quad[3] + (quad[2] - quad[3]) * across
    point: Points = low + (high - low) * along
    return point


def _inset(quad: Points, left: float, low: float, right: float, high: float) -> Points:
    """Return the part of a quad between two parts across and two along."""
    return np.array(
        [_at(quad, left, low), _at(quad, right, low), _at(quad, right, high), _at(quad, left, high)]
    )
