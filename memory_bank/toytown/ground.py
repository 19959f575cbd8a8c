"""The ground: road, pavements and verges, their markings, and the shadows on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.toytown.camera import Camera, Points, clip_near
from scenequilt.memory_bank.toytown.classes import PAVEMENT, ROAD, VEGETATION
from scenequilt.memory_bank.toytown.light import Light, blend, gray, rgb
from scenequilt.memory_bank.toytown.painter import SAMPLES, Color, Painter
from scenequilt.memory_bank.toytown.textures import (
    asphalt,
    cobbles,
    fractal_noise,
    grass,
    slabs,
    wrapped,
)
from scenequilt.memory_bank.toytown.world import Footprint, ellipse

KERB_M = 0.12
"""Height of the pavements above the road."""

BEHIND_M = -4.0
FAR_M = 600.0

Verge = Literal["grass", "paving"]
Paving = Literal["asphalt", "cobbles"]
CenterLine = Literal["dashes", "double", "none"]


@dataclass(frozen=True, eq=False)
class Street:
    """The lie of the street, x in metres to the right of the camera, z along the street.

    Attributes:
        road_left, road_right: Edges of the road.
        walk_left, walk_right: Outer edges of the pavements.
        end_z: Where the houses end.
        paving: What the road is made of.
        verges: What lies beyond the pavements, left and right.
        center_line: Marking along the middle.
        edge_color: Of the lines along the kerbs; None for no such lines.
        crossing_z: Where people cross; 0 for no crossing.
        stop_line: True for a stop line before the crossing.
        patches: (N, 4) mended parts of the road: left, right, near, far.
        covers: (N, 2) manholes at x, z.
        road_color, walk_color, kerb_color: Of the materials.
    """

    road_left: float
    road_right: float
    walk_left: float
    walk_right: float
    end_z: float
    paving: Paving
    verges: tuple[Verge, Verge]
    center_line: CenterLine
    edge_color: Color | None
    crossing_z: float
    stop_line: bool
    patches: Points
    covers: Points
    road_color: Color
    walk_color: Color
    kerb_color: Color

    @property
    def center_x(self) -> float:
        """Middle of the road."""
        return (self.road_left + self.road_right) / 2


@dataclass(frozen=True, slots=True)
class Road:
    """The road and what is painted on it."""

    street: Street

    @property
    def class_id(self) -> int:
        """Road."""
        return ROAD

    @property
    def footprint(self) -> Footprint:
        """From kerb to kerb."""
        return Footprint(self.street.road_left, self.street.road_right, BEHIND_M, FAR_M)

    def shadows(self, light: Light) -> list[Points]:
        """Return nothing: the ground is flat."""
        return []

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw the road as its bare colour; shade_ground adds grain, light and shadow."""
        street = self.street
        left, right = street.road_left, street.road_right
        painter.fill_in_street(_flat(left - 0.3, right + 0.3, BEHIND_M, FAR_M), street.road_color)
        for x0, x1, near, far in street.patches.tolist():
            painter.add_in_street(_flat(x0, x1, near, far), street.road_color * 0.82)
        gutter = blend(street.road_color, street.kerb_color, 0.25) * 0.9
        painter.add_in_street(_flat(left, left + 0.28, BEHIND_M, 60), gutter)
        painter.add_in_street(_flat(right - 0.28, right, BEHIND_M, 60), gutter)
        self._draw_markings(painter)
        for x, z in street.covers.tolist():
            angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
            rim = np.stack([x + 0.36 * np.cos(angle), 0 * angle, z + 0.36 * np.sin(angle)], -1)
            painter.add_in_street(rim, street.road_color * 0.5)
            painter.add_in_street((rim - (x, 0, z)) * 0.8 + (x, 0, z), gray(74))

    def _draw_markings(self, painter: Painter) -> None:
        street = self.street
        white = rgb(226, 226, 220)
        middle = street.center_x
        if street.center_line == "dashes":
            for near in np.arange(-3.0, min(street.end_z, 110), 6.0):
                if not _meets(near, near + 3, street.crossing_z, 4.2):
                    painter.add_in_street(
                        _flat(middle - 0.07, middle + 0.07, near, near + 3), white
                    )
        elif street.center_line == "double":
            for offset in (-0.16, 0.16):
                for near, far in (
                    (BEHIND_M, street.crossing_z - 4),
                    (street.crossing_z + 4, street.end_z),
                ):
                    if far > max(near, 0.5):
                        x = middle + offset
                        painter.add_in_street(_flat(x - 0.055, x + 0.055, near, far), white)
        if street.edge_color is not None:
            for x in (street.road_left + 0.42, street.road_right - 0.42):
                painter.add_in_street(
                    _flat(x - 0.05, x + 0.05, BEHIND_M, street.end_z), street.edge_color
                )
        if street.crossing_z:
            z = street.crossing_z
            for x in np.arange(street.road_left + 0.35, street.road_right - 0.6, 1.0):
                painter.add_in_street(_flat(x, x + 0.5, z - 1.5, z + 1.5), white)
            if street.stop_line:
                painter.add_in_street(
                    _flat(middle + 0.2, street.road_right - 0.5, z - 2.9, z - 2.5), white
                )


@dataclass(frozen=True, slots=True)
class Walk:
    """The pavement of one side, with its kerb.

    Attributes:
        side: -1 left, 1 right.
    """

    street: Street
    side: int

    @property
    def class_id(self) -> int:
        """Pavement."""
        return PAVEMENT

    @property
    def footprint(self) -> Footprint:
        """From the kerb to the houses."""
        kerb, outer = self._edges()
        return Footprint(min(kerb, outer), max(kerb, outer), BEHIND_M, FAR_M)

    def shadows(self, light: Light) -> list[Points]:
        """Return nothing: a kerb is too low."""
        return []

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw kerb and slabs as their bare colours."""
        street = self.street
        kerb, outer = self._edges()
        face = np.array(
            [
                (kerb, 0, BEHIND_M),
                (kerb, 0, FAR_M),
                (kerb, KERB_M, FAR_M),
                (kerb, KERB_M, BEHIND_M),
            ]
        )
        painter.fill_in_street(face, street.kerb_color * 0.68)
        inner = kerb + self.side * 0.18
        painter.fill_in_street(
            _flat(kerb, outer + self.side * 0.05, BEHIND_M, FAR_M, KERB_M), street.walk_color
        )
        painter.add_in_street(_flat(kerb, inner, BEHIND_M, 80, KERB_M), street.kerb_color)

    def _edges(self) -> tuple[float, float]:
        if self.side < 0:
            return self.street.road_left, self.street.walk_left
        return self.street.road_right, self.street.walk_right


@dataclass(frozen=True, slots=True)
class VergeStrip:
    """What lies beyond the pavement of one side: grass, or more paving.

    Attributes:
        side: -1 left, 1 right.
    """

    street: Street
    side: int

    @property
    def class_id(self) -> int:
        """Vegetation for grass, else pavement."""
        return VEGETATION if self.kind == "grass" else PAVEMENT

    @property
    def kind(self) -> Verge:
        """Grass or paving."""
        return self.street.verges[0 if self.side < 0 else 1]

    @property
    def footprint(self) -> Footprint:
        """From the pavement to the horizon."""
        if self.side < 0:
            return Footprint(-300.0, self.street.walk_left, BEHIND_M, FAR_M)
        return Footprint(self.street.walk_right, 300.0, BEHIND_M, FAR_M)

    def shadows(self, light: Light) -> list[Points]:
        """Return nothing: the ground is flat."""
        return []

    def draw(self, painter: Painter, light: Light) -> None:
        """Draw it as its bare colour."""
        foot = self.footprint
        color = rgb(98, 128, 62) if self.kind == "grass" else self.street.walk_color * 0.93
        painter.fill_in_street(_flat(foot.left, foot.right, BEHIND_M, FAR_M, KERB_M), color)


def shade_ground(
    painter: Painter,
    street: Street,
    light: Light,
    shadows: Sequence[Points],
    contacts: Iterable[Footprint],
    lamps: Points,
) -> None:
    """Give the bare ground its grain, its light and its shadows.

    Args:
        painter: With the ground drawn and nothing in front of it yet.
        street: The street.
        light: The light.
        shadows: (N, 2) convex polygons of (x, z) out of the sun.
        contacts: Where things stand: the sky's light does not reach under them.
        lamps: (N, 2) x, z below the street lamps.
    """
    camera = painter.camera
    height, width = camera.size_hw
    first_row = max(0, int(np.floor(camera.horizon_px + 1.0)))
    if first_row >= height:
        return
    material = _material(street, *camera.ground_grid(first_row)) * np.float32(128)
    if light.wetness > 0:
        material *= np.float32(0.8)
    outlines = [_outline(foot, 0.1) for foot in contacts if foot.near < 80]
    contact = _soft_map(camera, street, outlines, first_row, max(0.8, height / 130))
    shielded = material * (1 - contact * np.float32(0.7))
    in_shade = light.on((0, 1, 0), in_sun=False)
    from_sun = light.on((0, 1, 0)) - in_shade
    sunlit = np.ones_like(shielded)
    if light.sunny:
        sunlit -= _soft_map(camera, street, shadows, first_row, max(0.6, height / 320))
    channels = [
        shielded * (sunlit * np.float32(sun) + np.float32(shade))
        for sun, shade in zip(from_sun.tolist(), in_shade.tolist(), strict=True)
    ]
    if light.lamps_lit:
        circles = [ellipse((x, z), (2.6, 2.6)) for x, z in lamps.tolist() if z > 2]
        pools = material * _soft_map(camera, street, circles, first_row, height / 24)
        for channel, warmth in zip(channels, _LAMP_WARMTH, strict=True):
            channel += pools * np.float32(warmth)
    small = np.minimum(cv2.merge(channels), 255).astype(np.uint8)
    size = (width * SAMPLES, (height - first_row) * SAMPLES)
    large = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    region = painter.color[first_row * SAMPLES :]
    cv2.multiply(region, large, dst=region, scale=1 / 128)


_LAMP_WARMTH = (0.6, 0.47, 0.26)
"""What a street lamp adds to the light on the ground below it: red, green, blue."""


def _soft_map(
    camera: Camera, street: Street, outlines: Sequence[Points], first_row: int, sigma_px: float
) -> NDArray[np.float32]:
    """Return (H - first_row, W) float32 in [0, 1]: outlines on the ground, their edges blurred."""
    height, width = camera.size_hw
    drawn = np.zeros((height - first_row, width), np.uint8)
    for polygon in _ground_polygons(camera, street, outlines):
        polygon[:, 1] -= first_row << 4
        cv2.fillConvexPoly(drawn, polygon, (255,), cv2.LINE_AA, 4)
    blurred = cv2.GaussianBlur(drawn, (0, 0), sigma_px)
    return np.asarray(blurred, np.float32) * np.float32(1 / 255)


def _material(
    street: Street, x: NDArray[np.float32], z: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the grain (h, w) of the ground at street x, z; 1 leaves a colour as it is."""
    road = cobbles() if street.paving == "cobbles" else asphalt()
    verges = [grass() if verge == "grass" else slabs() for verge in street.verges]
    # Each tile repeats its first row and column, so that linear reading never leaves it.
    tiles = [
        cv2.copyMakeBorder(tile, 0, 1, 0, 1, cv2.BORDER_WRAP)
        for tile in (verges[0], slabs(), road, slabs(), verges[1])
    ]
    atlas = cv2.hconcat(tiles)
    column, row = wrapped(x * np.float32(64), 256), wrapped(z * np.float32(64), 256)
    for edge in (street.walk_left, street.road_left, street.road_right, street.walk_right):
        column += (x > edge) * np.float32(257)
    near = np.asarray(cv2.remap(atlas, column, row, cv2.INTER_LINEAR), np.float32)
    stain = cv2.remap(
        fractal_noise(),
        wrapped(x * np.float32(24), 512),
        wrapped(z * np.float32(9), 512),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    sharp = np.exp(-np.abs(z[:, z.shape[1] // 2, None]) * np.float32(1 / 13))
    material = np.float32(1) + (near * np.float32(1 / 128) - np.float32(1)) * sharp
    material += (np.asarray(stain, np.float32) - np.float32(0.5)) * np.float32(0.5)
    # Wheels keep two tracks a lane clean and dark; oil drips between them.
    across = (x - np.float32(street.center_x)) * np.float32(
        4 / (street.road_right - street.road_left)
    )
    track = 1 - 4 * np.abs(across - np.rint(across))
    material -= np.maximum(track, 0) * (np.abs(across) < 2) * np.float32(0.045)
    result: NDArray[np.float32] = material
    return result


def _ground_polygons(
    camera: Camera, street: Street, outlines: Sequence[Points]
) -> list[NDArray[np.int32]]:
    """Return the pixels, in 1/16, of (N, 2) outlines (x, z) that lie on road or pavement."""
    if not outlines:
        return []
    every = np.concatenate(outlines)
    ends = np.cumsum([len(outline) for outline in outlines])
    raised = (every[:, 0] < street.road_left) | (every[:, 0] > street.road_right)
    seen = camera.to_camera(np.column_stack([every[:, 0], raised * KERB_M, every[:, 1]]))
    polygons = []
    for corners in np.split(seen, ends[:-1]):
        ahead = clip_near(corners, 1.0)
        if len(ahead) >= 3:
            polygons.append(np.rint((camera.to_pixels(ahead) - 0.5) * 16).astype(np.int32))
    return polygons


def _outline(foot: Footprint, margin_m: float) -> Points:
    left, right = foot.left - margin_m, foot.right + margin_m
    near, far = foot.near - margin_m, foot.far + margin_m
    return np.array([(left, near), (right, near), (right, far), (left, far)])


def _flat(left: float, right: float, near: float, far: float, y: float = 0.0) -> Points:
    return np.array([(left, y, near), (right, y, near), (right, y, far), (left, y, far)], float)


def _meets(near: float, far: float, center: float, reach: float) -> bool:
    return center != 0 and near < center + reach and far > center - reach
