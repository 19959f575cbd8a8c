"""The pictures of a study: found in folders, brought to one size, spoilt for sentinels, as JPEG."""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from scenequilt.memory_bank.datasets.files import PHOTOGRAPH_SUFFIXES, read_photograph

JPEG_QUALITY = 92

MASK_BLOCK_PX = 16
"""Side of the blocks that the mask picture is put together from."""

SAME_SHAPE = 0.03
"""Ratios of width to height that differ by no more than this share pass as equal."""


@dataclass(frozen=True, slots=True)
class System:
    """Pictures of one origin.

    Attributes:
        name: Unique in the study; no person who takes part ever reads it.
        folder: Where the pictures are.
        files: By layout.
    """

    name: str
    folder: Path
    files: dict[str, Path]


def find_system(name: str, folder: Path) -> System:
    """Find the pictures of a folder, by layout.

    The folder is a run of compose or generate, whose pictures are LAYOUT/00/image.png (further
    variants are left aside), or holds one picture a layout, named after it.

    Raises:
        ValueError: If there is no such folder, no picture in it, or two for one layout.
    """
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: no such folder, expected the pictures of {name!r}; name a folder of "
            "pictures or of a run"
        )
    run = {path.parents[1].name: path for path in sorted(folder.glob("*/00/image.png"))}
    if run:
        return System(name, folder, run)
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in PHOTOGRAPH_SUFFIXES or not path.is_file():
            continue
        if path.stem in files:
            raise ValueError(
                f"{folder}: {files[path.stem].name} and {path.name} are both of layout "
                f"{path.stem!r}, expected one picture a layout; take one of them away"
            )
        files[path.stem] = path
    if not files:
        raise ValueError(
            f"{folder}: no picture in this folder, expected *.png or *.jpg named after layouts, or "
            "NAME/00/image.png; name the folder that holds them"
        )
    return System(name, folder, files)


def picture_size(path: Path) -> tuple[int, int]:
    """Return (height, width) of a picture in pixels, without decoding it.

    Raises:
        ValueError: If it cannot be read as a picture.
    """
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except OSError as reason:
        raise ValueError(
            f"{path}: cannot be read as a picture ({reason}); write it again, or take it away"
        ) from reason


def common_size(sizes_hw: dict[Path, tuple[int, int]], widest_px: int) -> tuple[int, int]:
    """Return the size that all pictures are brought to where none is asked for.

    The smallest, so that no picture of one system is enlarged beside one of another that is not;
    and no wider than widest_px.

    Args:
        sizes_hw: (height, width) by file.
        widest_px: Two of this width fit side by side on a usual screen.

    Raises:
        ValueError: If pictures differ in shape.
    """
    smallest = min(sizes_hw, key=lambda path: sizes_hw[path][0] * sizes_hw[path][1])
    height, width = sizes_hw[smallest]
    for path, (other_height, other_width) in sizes_hw.items():
        if abs(other_width / other_height * height / width - 1) > SAME_SHAPE:
            raise ValueError(
                f"{path} is {other_height}x{other_width} and {smallest} {height}x{width} (height x "
                "width), expected one shape; cut them alike, or stretch all with --size HxW"
            )
    if width > widest_px:
        height, width = max(1, round(height * widest_px / width)), widest_px
    return height, width


def read_at_size(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a picture and bring it to a size by Lanczos, which does not alias when it shrinks.

    Raises:
        DatasetError: If the file is no 8-bit picture.
    """
    pixels = read_photograph(path)
    if pixels.shape[:2] == size_hw:
        return pixels
    height, width = size_hw
    resized = Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(resized, np.uint8)


def spoil(image: NDArray[np.uint8], draw: random.Random) -> NDArray[np.uint8]:
    """Return a picture that nobody who looks takes for a photograph.

    Blurred, cut into about 6x8 blocks that change places, posterised to five grey levels a channel,
    under strong noise.

    Args:
        image: (H, W, 3) uint8 RGB.
        draw: Source of the random choices.
    """
    height, width = image.shape[:2]
    blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(max(1.0, width / 80)))
    rows, columns = _blocks(height, 6), _blocks(width, 8)
    # Blocks are read from a picture whose sides are whole numbers of blocks, and cut at the end.
    whole = np.asarray(blurred.resize((columns[0] * columns[1], rows[0] * rows[1])))
    blocks = whole.reshape(rows[0], rows[1], columns[0], columns[1], 3).swapaxes(1, 2)
    blocks = blocks.reshape(-1, rows[1], columns[1], 3)
    places = draw.sample(range(len(blocks)), len(blocks))
    shuffled = blocks[places].reshape(rows[0], columns[0], rows[1], columns[1], 3).swapaxes(1, 2)
    shuffled = shuffled.reshape(whole.shape)[:height, :width].astype(np.float64)
    posterised = np.round(shuffled / 255 * 4) / 4 * 255
    noise = np.random.default_rng(draw.getrandbits(64)).normal(0, 40, posterised.shape)
    return np.clip(np.round(posterised + noise), 0, 255).astype(np.uint8)


def mask_picture(images: Sequence[NDArray[np.uint8]], draw: random.Random) -> NDArray[np.uint8]:
    """Return a picture that wipes out what was seen before it: blocks of all pictures, mixed.

    It has the colours and edges of the pictures, so it masks at their own frequencies.

    Args:
        images: (H, W, 3) uint8 RGB, all of one size.
        draw: Source of the random choices.
    """
    height, width = images[0].shape[:2]
    mask = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, MASK_BLOCK_PX):
        for left in range(0, width, MASK_BLOCK_PX):
            image = draw.choice(images)
            target = mask[top : top + MASK_BLOCK_PX, left : left + MASK_BLOCK_PX]
            y = draw.randint(0, height - target.shape[0])
            x = draw.randint(0, width - target.shape[1])
            target[:] = image[y : y + target.shape[0], x : x + target.shape[1]]
    return mask


def encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    """Return an (H, W, 3) uint8 RGB picture as JPEG with full colour resolution, no metadata."""
    blob = io.BytesIO()
    Image.fromarray(image).save(blob, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return blob.getvalue()


def _blocks(length: int, wanted: int) -> tuple[int, int]:
    """Return (count, side) of blocks that cover a length."""
    count = min(wanted, length)
    return count, -(-length // count)
