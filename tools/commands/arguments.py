"""Types of arguments that several commands take."""

import argparse
from pathlib import Path

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


def add_layout_arguments(
    parser: argparse.ArgumentParser, *, nargs: str = "+", more: str = ""
) -> None:
    """Add the arguments of a command that reads layouts in the classes of a network's weights.

    Args:
        parser: Of the command.
        nargs: How many layouts there may be.
        more: What the help of LAYOUT says besides.
    """
    parser.add_argument(
        "layouts", type=Path, nargs=nargs, metavar="LAYOUT",
        help="label map (PNG of file ids, or of the classes' colours), a folder of them, or the "
        "folder of a dataset" + more,
    )  # fmt: skip
    parser.add_argument("--split", metavar="S", help="of a dataset, this split only, e.g. val")
    parser.add_argument("--limit", type=positive, metavar="N", help="the first N layouts only")
    parser.add_argument(
        "--size", type=size_hw, metavar="HxW",
        help="bring layouts to this height and width in pixels, by nearest, first",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=Path, metavar="FILE",
        help="classes.json with the meaning of the layouts' values (default: that of the dataset "
        "they lie in, else the classes of the weights); matched to those of the weights by name",
    )  # fmt: skip
    parser.add_argument(
        "--repair", choices=["none", "nearest"], default="none",
        help="nearest: take the nearest class where a value is none (default: %(default)s)",
    )  # fmt: skip
