"""Pictures and maps as PNG, and back."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_rgb(image: NDArray[np.uint8]) -> bytes:
    """Return an (H, W, 3) uint8 RGB picture as PNG."""
    return _encode(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def encode_grey(numbers: NDArray[Any], what: str, *, bits: int) -> bytes:
    """Return an (H, W) map of numbers as greyscale PNG.

    Args:
        numbers: (H, W) integers.
        what: What they are, for messages.
        bits: 8 or 16.

    Raises:
        ValueError: If a number does not fit.
    """
    limit = (1 << bits) - 1
    if numbers.size and not 0 <= int(numbers.min()) <= int(numbers.max()) <= limit:
        raise ValueError(
            f"{what}: values {numbers.min()} to {numbers.max()} do not fit a {bits}-bit PNG, "
            f"expected 0 to {limit}; compose the layout in parts"
        )
    return _encode(numbers.astype(np.uint8 if bits == 8 else np.uint16))


def encode_indexed(numbers: NDArray[np.uint8], colors: Sequence[tuple[int, int, int]]) -> bytes:
    """Return an (H, W) uint8 map as palette PNG, number n shown in color n."""
    picture = Image.fromarray(numbers)
    picture.putpalette([value for color in colors for value in color])
    blob = BytesIO()
    picture.save(blob, "PNG")
    return blob.getvalue()


def decode_rgb(path: Path) -> NDArray[np.uint8]:
    """Return a picture as (H, W, 3) uint8 RGB."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.uint8)


def decode_numbers(path: Path) -> NDArray[np.int32]:
    """Return a greyscale or palette PNG as (H, W) int32: the numbers, not the colours."""
    with Image.open(path) as picture:
        return np.asarray(picture).astype(np.int32)


def _encode(pixels: NDArray[Any]) -> bytes:
    done, blob = cv2.imencode(".png", pixels)
    assert done, "PNG takes any 8-bit or 16-bit array"
    return bytes(blob)
