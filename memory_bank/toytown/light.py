"""Sun, sky and air: what the hour and the weather do to every colour."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.toytown.painter import Color

TimeOfDay = Literal["dawn", "noon", "afternoon", "golden hour", "dusk"]
Weather = Literal["clear", "cloudy", "overcast", "rain", "fog"]

TIMES_OF_DAY: tuple[TimeOfDay, ...] = ("dawn", "noon", "afternoon", "golden hour", "dusk")
WEATHERS: tuple[Weather, ...] = ("clear", "cloudy", "overcast", "rain", "fog")


@dataclass(frozen=True, eq=False)
class Light:
    """What falls on every surface. Colours are RGB; factors multiply colours, 1 = unchanged.

    Attributes:
        toward_sun: (3,) unit vector in street coordinates.
        sun: (3,) factor added where the sun shines straight on a surface; 0 under clouds.
        ambient: (3,) factor of the sky's light on an upright surface.
        sky_top: Colour overhead.
        sky_horizon: Colour at the horizon, which reflections and far things take.
        sky_glow: Colour around the sun.
        cloud_light: Colour of the bright side of clouds.
        cloud_shade: Colour of their lower side.
        cloud_cover: Part of the sky behind clouds, in [0, 1].
        air_per_m: Part of a colour that a metre of air replaces by sky_horizon.
        wetness: How much of a mirror the ground is, in [0, 1].
        lamps_lit: True if windows, street lamps and headlights shine.
    """

    toward_sun: Color
    sun: Color
    ambient: Color
    sky_top: Color
    sky_horizon: Color
    sky_glow: Color
    cloud_light: Color
    cloud_shade: Color
    cloud_cover: float
    air_per_m: float
    wetness: float
    lamps_lit: bool

    @property
    def sunny(self) -> bool:
        """True if things cast shadows."""
        return bool(self.sun.max() > 0.05)

    def on(self, normal: tuple[float, float, float], *, in_sun: bool = True) -> Color:
        """Return the (3,) factor of light on a surface with a unit normal in the street."""
        up = 0.82 + 0.22 * normal[1]
        factor = self.ambient * up
        if in_sun:
            factor = factor + self.sun * max(0.0, float(np.dot(self.toward_sun, normal)))
        return factor

    def on_figure(self, *, in_sun: bool) -> Color:
        """Return the (3,) factor of light on something round that stands upright."""
        return self.ambient + (self.sun * 0.62 if in_sun else 0.0)

    def shadow_offset(self, height_m: float) -> tuple[float, float]:
        """Return how far (x, z), in metres, the shadow of a point at a height lies from its foot."""
        x, y, z = self.toward_sun.tolist()
        return -x / y * height_m, -z / y * height_m


def make_light(time_of_day: TimeOfDay, weather: Weather, rng: np.random.Generator) -> Light:
    """Return the light of an hour and a weather; the sun's bearing is drawn."""
    palette = _PALETTES[time_of_day]
    elevation = math.radians(palette.elevation_deg + rng.uniform(-4, 4))
    # Never square across the street: the houses would leave none of it in the sun.
    bearing = rng.choice([0.0, math.pi], p=[0.4, 0.6]) + rng.choice([-1, 1]) * rng.uniform(0.2, 1.0)
    toward_sun = np.array(
        [
            math.sin(bearing) * math.cos(elevation),
            math.sin(elevation),
            math.cos(bearing) * math.cos(elevation),
        ]
    )
    sun, ambient = np.array(palette.sun), np.array(palette.ambient)
    top, horizon, glow = (np.array(c) for c in (palette.top, palette.horizon, palette.glow))
    cloud_light = np.minimum(horizon * 0.35 + np.array([255.0, 250, 244]) * 0.65, 255)
    cloud_light = cloud_light * palette.cloud_light
    cloud_shade = cloud_light * 0.72 + top * 0.1
    cover = {"clear": 0.18, "cloudy": 0.55, "overcast": 1.0, "rain": 1.0, "fog": 1.0}[weather]
    grey = np.array([0.98, 1.0, 1.03])
    air, wetness = 0.0016, 0.0
    lamps_lit = time_of_day == "dusk"
    if weather == "cloudy":
        sun = sun * 0.85
        air = 0.0022
    if weather in ("overcast", "rain", "fog"):
        level = ambient.mean() + sun.mean() * {"overcast": 0.55, "rain": 0.3, "fog": 0.5}[weather]
        ambient, sun = ambient * 0.3 + level * 0.7 * grey, sun * 0.0
        brightness = {"overcast": 222.0, "rain": 188.0, "fog": 214.0}[weather] * palette.cloud_light
        horizon = horizon * 0.25 + brightness * 0.78 * grey
        top = top * 0.25 + brightness * 0.66 * grey
        cloud_light, cloud_shade = horizon * 0.98, top * 0.82
        glow = horizon
        air = {"overcast": 0.0026, "rain": 0.006, "fog": 0.017}[weather]
    if weather == "rain":
        wetness = 1.0
        lamps_lit = lamps_lit or bool(rng.random() < 0.4)
    if weather == "fog":
        top = cloud_light = cloud_shade = horizon
    return Light(
        toward_sun,
        sun,
        ambient,
        top,
        horizon,
        glow,
        cloud_light,
        cloud_shade,
        cover,
        air,
        wetness,
        lamps_lit,
    )


@dataclass(frozen=True, slots=True)
class _Palette:
    elevation_deg: float
    sun: tuple[float, float, float]
    ambient: tuple[float, float, float]
    top: tuple[float, float, float]
    horizon: tuple[float, float, float]
    glow: tuple[float, float, float]
    cloud_light: float


_PALETTES: dict[TimeOfDay, _Palette] = {
    "dawn": _Palette(
        17, (0.64, 0.48, 0.38), (0.63, 0.61, 0.67), (112, 146, 196), (246, 214, 196), (255, 206, 168), 0.96
    ),
    "noon": _Palette(
        56, (0.66, 0.62, 0.54), (0.60, 0.63, 0.69), (70, 128, 208), (196, 220, 240), (255, 250, 236), 1.0
    ),
    "afternoon": _Palette(
        38, (0.72, 0.63, 0.51), (0.58, 0.60, 0.66), (80, 138, 208), (208, 224, 236), (255, 244, 220), 1.0
    ),
    "golden hour": _Palette(
        19, (0.80, 0.58, 0.36), (0.56, 0.55, 0.61), (100, 142, 196), (250, 216, 168), (255, 206, 126), 0.97
    ),
    "dusk": _Palette(
        7, (0.0, 0.0, 0.0), (0.64, 0.60, 0.70), (58, 82, 146), (236, 158, 128), (255, 170, 110), 0.62
    ),
}  # fmt: skip


def blend(first: Color, second: Color, part: float) -> Color:
    """Return the colour that is `part` of the way from the first to the second."""
    return first + (second - first) * part


def gray(value: float) -> Color:
    """Return a neutral colour."""
    return np.full(3, float(value))


def rgb(red: float, green: float, blue: float) -> Color:
    """Return a colour."""
    return np.array([red, green, blue], np.float64)


def pick(rng: np.random.Generator, palette: NDArray[np.float64], spread: float = 8.0) -> Color:
    """Draw a colour from a (N, 3) palette and vary it a little."""
    deviation = rng.standard_normal(4) * spread
    varied = palette[rng.integers(len(palette))] + deviation[:3] * 0.4 + deviation[3]
    color: Color = np.minimum(np.maximum(varied, 4), 250)
    return color
