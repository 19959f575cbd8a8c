"""Figures as text, with as many digits as their interval supports."""

import math

from scenequilt.tools.evaluation.results import Interval

DASH = "–"
"""Stands where nothing was measured."""

PLACES = 3
"""Decimal places of a figure whose precision is not known."""

MOST_PLACES = 5
SMALLEST = 1e-9
"""Figures below it are 0: what is left of them is rounding of the arithmetic."""


def in_digits(value: float, places: int = PLACES) -> str:
    """Return a number with so many decimal places; a negative one with a true minus sign."""
    text = f"{value:.{places}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def in_significant_digits(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, in powers of ten where it is tiny."""
    size = abs(value)
    if size < SMALLEST:
        return "0"
    places = digits - 1 - math.floor(math.log10(size))
    if places > digits + MOST_PLACES:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    return in_digits(value, max(places, 0))


def interval_in_digits(interval: Interval) -> tuple[str, str]:
    """Return a figure and its bounds, rounded to two digits of half the width of the interval.

    Returns:
        The value, and "low–high", e.g. ("0.512", "0.498–0.527"). An interval of no width gives
        three decimal places and no bounds.
    """
    half = (interval.high - interval.low) / 2
    if half < SMALLEST:
        return in_digits(interval.value), ""
    largest = max(abs(interval.value), abs(interval.low), abs(interval.high))
    places = max(1 - math.floor(math.log10(half)), 0)
    if places > MOST_PLACES and largest < 10**-PLACES:
        value, low, high = (
            in_significant_digits(number, 2)
            for number in (interval.value, interval.low, interval.high)
        )
    else:
        places = min(places, MOST_PLACES)
        value, low, high = (
            in_digits(number, places) for number in (interval.value, interval.low, interval.high)
        )
    between = " to " if interval.low < 0 else "–"
    return value, f"{low}{between}{high}"


def aligned(texts: list[str], *, digit: str = " ", point: str = " ") -> list[str]:
    """Pad numbers on the right so that right-aligned their decimal points stand in one column.

    Args:
        texts: Cells of a column; those that are no number are left as they are.
        digit: What is as wide as a digit.
        point: What is as wide as a decimal point.
    """
    tails = [len(text.partition(".")[2]) if _is_number(text) else 0 for text in texts]
    longest = max(tails, default=0)
    padded = []
    for text, tail in zip(texts, tails, strict=True):
        if not _is_number(text) or not longest:
            padded.append(text)
        else:
            padded.append(text + ("" if tail else point) + digit * (longest - tail))
    return padded


def _is_number(text: str) -> bool:
    return text.lstrip("−").replace(".", "", 1).isdecimal()
