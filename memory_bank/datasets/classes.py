"""Class tables of published datasets: names and colours made into a taxonomy's entries."""

import colorsys
import re

from scenequilt.memory_bank.datasets.files import Color
from scenequilt.memory_bank.taxonomy import TEXT_NAMES, THIN_NAMES, ClassInfo, Kind

_GOLDEN_RATIO = 0.61803398875


def class_info(file_id: int, name: str, color: Color, kind: Kind) -> ClassInfo:
    """Make the entry of a class; thin and text follow from its name."""
    name = class_name(name)
    return ClassInfo(
        file_id,
        name,
        color,
        kind,
        thin=name in THIN_NAMES,
        text=name in TEXT_NAMES,
    )


def class_name(published: str) -> str:
    """Return a published name in lower case with words joined by "_"."""
    return re.sub(r"[^a-z0-9]+", "_", published.lower()).strip("_")


def distinct_color(number: int) -> Color:
    """Return a colour that is unlike those of the numbers before it; numbers run from 0.

    Hues step by the golden ratio; saturation and value change every few steps.
    """
    hue = (number * _GOLDEN_RATIO) % 1.0
    saturation = (0.60, 0.85, 0.40)[number // 3 % 3]
    value = (0.85, 0.60, 0.98, 0.72)[number // 5 % 4]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)
