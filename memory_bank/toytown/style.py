"""What the pictures of one town share: hour, weather, season, building style."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.toytown.facades import Wall
from scenequilt.memory_bank.toytown.ground import (
    CenterLine,
    Paving,
)
from scenequilt.memory_bank.toytown.light import (
    TIMES_OF_DAY,
    WEATHERS,
    Light,
    TimeOfDay,
    Weather,
    gray,
    make_light,
    pick,
    rgb,
)
from scenequilt.memory_bank.toytown.painter import Color
from scenequilt.memory_bank.toytown.plants import Habit

RowKind = Literal["terrace", "high street", "villas", "park"]

LEAF_COLORS: dict[str, NDArray[np.float64]] = {
    "spring": np.array([(132, 164, 62), (116, 154, 66), (150, 170, 74)], float),
    "summer": np.array([(92, 132, 54), (80, 118, 56), (106, 138, 58)], float),
    "autumn": np.array([(178, 126, 50), (158, 88, 46), (184, 148, 64), (124, 124, 58)], float),
}
_BLOSSOM = np.array([(232, 186, 196), (238, 222, 216)], float)
_LAMP_COLORS = np.array([(44, 52, 50), (66, 70, 74), (118, 122, 126)], float)


@dataclass(frozen=True, eq=False)
class Style:
    """What the pictures of one town share."""

    light: Light
    weather: Weather
    time_of_day: TimeOfDay
    season: str
    rows: tuple[RowKind, RowKind]
    road_width_m: float
    walk_widths_m: tuple[float, float]
    paving: Paving
    center_line: CenterLine
    edge_color: Color | None
    road_color: Color
    walk_color: Color
    walls: tuple[Wall, ...]
    storeys: tuple[int, int]
    habit: Habit
    leaf_color: Color
    tree_spacing_m: float
    lamp_color: Color
    lamp_arms: bool
    end: Literal["trees", "houses"]
    bustle: float


def draw_style(rng: np.random.Generator) -> Style:
    """Draw what the pictures of one town share."""
    time_of_day = TIMES_OF_DAY[rng.choice(5, p=[0.14, 0.2, 0.26, 0.24, 0.16])]
    weather = WEATHERS[rng.choice(5, p=[0.34, 0.3, 0.13, 0.14, 0.09])]
    light = make_light(time_of_day, weather, rng)
    season = ("spring", "summer", "autumn")[rng.choice(3, p=[0.3, 0.45, 0.25])]
    kinds: tuple[RowKind, ...] = ("terrace", "high street", "villas", "park")
    first = kinds[rng.choice(4, p=[0.36, 0.34, 0.3, 0.0])]
    second = kinds[rng.choice(4, p=[0.3, 0.22, 0.26, 0.22])]
    rows = (first, second) if rng.random() < 0.5 else (second, first)
    walls: tuple[tuple[Wall, ...], ...] = (
        ("brick", "brick", "plaster"),
        ("plaster", "plaster", "stone"),
        ("brick", "plaster", "stone"),
        ("plaster", "brick", "panel"),
    )
    leaf_palette = LEAF_COLORS[season]
    if season == "spring" and rng.random() < 0.3:
        leaf_palette = _BLOSSOM
    habits: tuple[Habit, ...] = ("round", "oval", "poplar", "conifer")
    busy = rng.random() < 0.4
    return Style(
        light=light,
        weather=weather,
        time_of_day=time_of_day,
        season=season,
        rows=rows,
        road_width_m=rng.uniform(8.6, 10.6),
        walk_widths_m=(rng.uniform(2.2, 3.8), rng.uniform(2.2, 3.8)),
        paving="cobbles" if rng.random() < 0.16 else "asphalt",
        center_line=("dashes", "double", "none")[rng.choice(3, p=[0.6, 0.14, 0.26])],
        edge_color=(None, rgb(216, 176, 52), rgb(222, 222, 216))[rng.choice(3, p=[0.5, 0.3, 0.2])],
        road_color=gray(rng.uniform(98, 128)) + rng.normal(0, 2.5, 3),
        walk_color=pick(rng, np.array([(176, 168, 158), (164, 164, 166), (186, 166, 146)], float)),
        walls=walls[rng.integers(4)],
        storeys=((2, 3), (2, 4), (3, 5))[rng.choice(3, p=[0.4, 0.4, 0.2])],
        habit=habits[rng.choice(4, p=[0.5, 0.28, 0.12, 0.1])],
        leaf_color=leaf_palette[rng.integers(len(leaf_palette))],
        tree_spacing_m=rng.choice([9.0, 12.0, 16.0, 26.0]),
        lamp_color=pick(rng, _LAMP_COLORS),
        lamp_arms=bool(rng.random() < 0.6),
        end="trees" if rng.random() < 0.6 else "houses",
        bustle=rng.uniform(0.9, 1.5) if busy else rng.uniform(0.45, 0.9),
    )
