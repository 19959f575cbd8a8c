"""Types of arguments that several commands take."""

import argparse

FAVOR = 4.0
"""What a class counts that is favored without a number."""


def size_hw(text: str) -> tuple[int, int]:
    """Read "HxW", height and width in pixels."""
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) > 0 and int(width) > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a size; give height x width in pixels, e.g. 256x512"
        )
    return int(height), int(width)


def seed(text: str) -> int:
    """Read a whole number from 0 to below 2^63."""
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to below 2^63")
    return int(text)


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def favor(text: str) -> tuple[str, float]:
    """Read "CLASS" or "CLASS=W", a class and what it counts, at least 0."""
    name, equals, number = text.partition("=")
    try:
        weight = float(number) if equals else FAVOR
    except ValueError:
        weight = -1.0
    if not name or not 0 <= weight < float("inf"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no favor; give CLASS or CLASS=W with W of at least 0, e.g. bicyclist=3"
        )
    return name, weight
