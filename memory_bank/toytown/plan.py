"""A scene before it is drawn: camera, light, street, and what stands in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scenequilt.memory_bank.toytown.camera import Camera, Points
from scenequilt.memory_bank.toytown.ground import (
    Road,
    Street,
    Verge,
    VergeStrip,
    Walk,
)
from scenequilt.memory_bank.toytown.light import (
    Light,
    TimeOfDay,
    Weather,
    gray,
)
from scenequilt.memory_bank.toytown.placement import StreetFurnisher, lane_x
from scenequilt.memory_bank.toytown.sky import Sky
from scenequilt.memory_bank.toytown.style import RowKind, Style, draw_style
from scenequilt.memory_bank.toytown.world import WorldObject


@dataclass(frozen=True, eq=False)
class Plan:
    """A scene before it is drawn.

    Attributes:
        camera: The camera.
        light: The light.
        street: The lie of the street.
        sky: The sky.
        ground: Verges, road and pavements, in the order they are drawn.
        standing: What stands on the ground, in no order.
        lamps: (N, 2) x, z below the street lamps.
        weather: As in light.WEATHERS.
        time_of_day: As in light.TIMES_OF_DAY.
        street_seed: What the style was drawn from.
    """

    camera: Camera
    light: Light
    street: Street
    sky: Sky
    ground: Sequence[WorldObject]
    standing: Sequence[WorldObject]
    lamps: Points
    weather: Weather
    time_of_day: TimeOfDay
    street_seed: int


def draw_plan(seed: int, size_hw: tuple[int, int], street_seed: int) -> Plan:
    """Draw a scene; see render_scene for the seeds."""
    style = draw_style(np.random.default_rng([street_seed, 1]))
    rng = np.random.default_rng([seed, 2])
    camera = _draw_camera(size_hw, rng)
    street = _draw_street(style, rng)
    furnisher = StreetFurnisher(style, street, camera, rng)
    furnisher.furnish()
    ground: list[WorldObject] = [
        VergeStrip(street, -1),
        VergeStrip(street, 1),
        Road(street),
        Walk(street, -1),
        Walk(street, 1),
    ]
    return Plan(
        camera,
        style.light,
        street,
        Sky(int(rng.integers(2**31))),
        ground,
        furnisher.standing,
        np.array(furnisher.lamps).reshape(-1, 2),
        style.weather,
        style.time_of_day,
        street_seed,
    )


def _draw_camera(size_hw: tuple[int, int], rng: np.random.Generator) -> Camera:
    height, width = size_hw
    focal = 0.8 * max(width, 1.2 * height) * rng.uniform(0.92, 1.12)
    center = (width * rng.uniform(0.47, 0.53), height * rng.uniform(0.46, 0.56))
    return Camera(size_hw, focal, center, rng.uniform(1.4, 2.0), rng.uniform(-0.12, 0.1))


def _draw_street(style: Style, rng: np.random.Generator) -> Street:
    width = style.road_width_m
    center = -lane_x(width) + rng.uniform(-0.3, 0.4)
    left, right = center - width / 2, center + width / 2
    verge: dict[RowKind, Verge] = {
        "terrace": "paving",
        "high street": "paving",
        "villas": "grass",
        "park": "grass",
    }
    patches = [
        (x, x + rng.uniform(0.8, 2.4), z, z + rng.uniform(1.0, 5.0))
        for x, z in zip(rng.uniform(left + 0.6, right - 2.8, 3), rng.uniform(3, 40, 3), strict=True)
    ]
    covers = np.stack([rng.uniform(left + 1, right - 1, 3), rng.uniform(5, 30, 3)], axis=-1)
    crossing = rng.uniform(9, 24) if rng.random() < 0.4 else 0.0
    return Street(
        road_left=left,
        road_right=right,
        walk_left=left - style.walk_widths_m[0],
        walk_right=right + style.walk_widths_m[1],
        end_z=rng.uniform(62, 96),
        paving=style.paving,
        verges=(verge[style.rows[0]], verge[style.rows[1]]),
        center_line=style.center_line if style.paving == "asphalt" else "none",
        edge_color=style.edge_color if style.paving == "asphalt" else None,
        crossing_z=crossing,
        stop_line=bool(rng.random() < 0.7),
        patches=np.array(patches) if style.paving == "asphalt" else np.zeros((0, 4)),
        covers=covers,
        road_color=style.road_color,
        walk_color=style.walk_color,
        kerb_color=gray(178 + rng.normal(0, 6)),
    )
