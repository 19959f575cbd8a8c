"""Sizes of pictures and maps: read from headers, and brought to one by one rule."""

import struct
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from scenequilt.memory_bank.errors import DatasetError

RESIZE_RULE = (
    "Everything is judged at the size of the requested label maps, or at --size; pictures and "
    "photographs of another size are brought there in 8 bit by Pillow's antialiased bicubic "
    "filter, stretched where the shape differs; label, ownership and state maps take the pixel "
    "under the centre of each wanted one."
)
"""What is done to sizes, as reports say it."""

PICTURE_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
"""What Pillow calls pictures of 8 bits a channel that are grey or RGB."""

Number = TypeVar("Number", np.uint8, np.int32)

_BROKEN_IMAGE = (
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for damaged files."""

_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_BITS_AT = 24
"""Of the byte that says how many bits a channel of a PNG has."""


def read_size(path: Path, what: str, *, modes: Collection[str] = ()) -> tuple[int, int]:
    """Read (height, width) of a picture from its header.

    Args:
        path: The file.
        what: What it is, for messages, e.g. "picture".
        modes: Pillow's modes that it may have; () for any.

    Raises:
        DatasetError: If it is missing, no image, or of another mode.
    """
    try:
        with Image.open(path) as picture:
            (width, height), mode = picture.size, picture.mode
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: {what} is missing; add it, as the others have one") from error
    except _BROKEN_IMAGE as error:
        raise DatasetError(
            f"{path}: {what} is no image that can be decoded; expected PNG or JPEG: write it again"
        ) from error
    _refuse_other_modes(path, what, mode, modes)
    return height, width


def check_decodes(path: Path, what: str, *, modes: Collection[str] = ()) -> None:
    """Decode a picture whole, since a header says nothing of what is missing behind it.

    Args:
        path: The file.
        what: What it is, for messages, e.g. "picture".
        modes: Pillow's modes that it may have, of 8 bits a channel; () for any.

    Raises:
        DatasetError: If it is missing, empty, cut off or no image, or of another mode.
    """
    head = b""
    try:
        # Pillow opens 16-bit colours of a PNG as 8-bit ones, so that the file itself is asked.
        with path.open("rb") as file:
            head = file.read(_PNG_BITS_AT + 1)
            file.seek(0)
            with Image.open(file) as picture:
                mode = picture.mode
                picture.load()
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: {what} is missing; add it, as the others have one") from error
    except _BROKEN_IMAGE as error:
        raise DatasetError(
            f"{path}: {what} is damaged or no image ({_reason(error, head)}); expected PNG or JPEG "
            "that can be decoded: write it again"
        ) from error
    _refuse_other_modes(path, what, mode, modes)
    if modes and head.startswith(_PNG_HEAD) and head[_PNG_BITS_AT] > 8:
        raise DatasetError(
            f"{path}: {what} has {head[_PNG_BITS_AT]} bits a channel, expected 8-bit RGB or grey; "
            "convert it to 8-bit RGB"
        )


def _refuse_other_modes(path: Path, what: str, mode: str, modes: Collection[str]) -> None:
    if modes and mode not in modes:
        raise DatasetError(
            f"{path}: {what} has mode {mode}, expected 8-bit RGB or grey; convert it to 8-bit RGB"
        )


def _reason(error: BaseException, head: bytes) -> str:
    if not head:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "its form is not known"
    return str(error)


def sized_picture(picture: NDArray[np.uint8], size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) uint8 at another size, by RESIZE_RULE; as it is if it has it."""
    height, width = size_hw
    if picture.shape[:2] == (height, width):
        return picture
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(resized)


def sized_map(numbers: NDArray[Number], size_hw: tuple[int, int]) -> NDArray[Number]:
    """Return a map (H, W) at another size, by RESIZE_RULE; as it is if it has it."""
    if numbers.shape == size_hw:
        return numbers
    rows, columns = (
        ((np.arange(wanted) + 0.5) * length / wanted).astype(np.intp)
        for length, wanted in zip(numbers.shape, size_hw, strict=True)
    )
    resized: NDArray[Number] = numbers[rows[:, None], columns[None, :]]
    return resized


def in_words(size_hw: tuple[int, int]) -> str:
    """Return a size as --size takes it, e.g. "360x480" for 360 rows of 480 pixels."""
    return f"{size_hw[0]}x{size_hw[1]}"
