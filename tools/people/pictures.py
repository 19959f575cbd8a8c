"""The pictures of a study: found in folders, brought to one size, spoilt for sentinels, as JPEG."""

import io
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from scenequilt.memory_bank.datasets.files import read_photograph
from scenequilt.tools.evaluation.picture_files import (
    PictureIndex,
    find_pictures,
    in_words,
    names_of,
    plain_name,
)

JPEG_QUALITY = 92

FIRST_VARIANT = "00"
"""Name of the first of several pictures of one layout."""

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
        left_aside: Further variants in the folder; of each layout the first is in files.
    """

    name: str
    folder: Path
    files: dict[str, Path]
    left_aside: int = 0


def find_system(name: str, folder: Path) -> System:
    """Find the pictures of a folder, by layout.

    The folder is a run of compose or generate, whose pictures are LAYOUT/00/image.png, or holds
    pictures, itself or in folders below, that go by the names that evaluate knows them by. A folder
    LAYOUT/ with a picture 00 holds variants. Of variants the first is taken.

    Args:
        name: Of the system.
        folder: Where its pictures are.

    Raises:
        ValueError: If there is no such folder, or two pictures are of one layout.
        DatasetError: If no picture is in it.
    """
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: no such folder, expected the pictures of {name!r}; name a folder of "
            "pictures or of a run"
        )
    run = sorted(folder.glob(f"*/{FIRST_VARIANT}/image.png"))
    if run:
        named = [(plain_name(path.parents[1].name), path) for path in run]
        return System(name, folder, _one_each(folder, named), _count_variants(folder) - len(run))
    paths = find_pictures(folder, f"pictures of {name!r}:")
    folders = {path.parent for path in paths}
    # Folders of variants come in numbers; one that holds all pictures is no layout.
    variants = {
        path.parent: path
        for path in paths
        if path.stem == FIRST_VARIANT and path.parent != folder and len(folders) > 1
    }
    others = [path for path in paths if path.parent not in variants]
    named = [(plain_name(parent.name), path) for parent, path in variants.items()]
    files = _one_each(folder, [*named, *_named(folder, others)])
    return System(name, folder, files, len(paths) - len(others) - len(variants))


def find_photographs(name: str, folder: Path, layouts: Iterable[str]) -> System:
    """Find the photographs of layouts, in whatever evaluate takes as --real.

    Args:
        name: Of the system.
        folder: Of a dataset, with images/ below; of a run; or one that holds photographs, itself or
            in folders below.
        layouts: Their names. Photographs of others are left aside, as a dataset has many more.

    Raises:
        ValueError: If two photographs are of one layout.
        DatasetError: If there is no such folder, or no picture in it.
    """
    if folder.is_dir() and any(folder.glob("*/00/image.png")):
        return find_system(name, folder)
    paths = find_pictures(folder, "--real")
    index = PictureIndex(paths)
    files: dict[str, Path] = {}
    for layout in sorted(set(layouts)):
        found = index.find(layout)
        if len(found) > 1:
            raise ValueError(
                f"--real {folder}: {len(found)} photographs are of layout {layout!r} "
                f"({in_words([str(path) for path in found])}), expected one; name the folder of "
                "one split"
            )
        if found:
            files[layout] = found[0]
    # Where none fits, the names that are there tell the reader why.
    return System(name, folder, files or {names_of(path)[0]: path for path in paths})


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


def _count_variants(run: Path) -> int:
    return sum(path.parent.name.isdecimal() for path in run.glob("*/*/image.png"))


def _named(folder: Path, paths: Sequence[Path]) -> list[tuple[str, Path]]:
    """Name pictures by their files; where those agree, with as many folders in front as it takes.

    No folder above the one that was given is part of a name: it differs from system to system.
    """
    by_stem: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_stem[names_of(path)[0]].append(path)
    named: list[tuple[str, Path]] = []
    for alike in by_stem.values():
        choices = [
            names_of(path)[: len(path.relative_to(folder).parts)] if path.is_relative_to(folder)
            else names_of(path)
            for path in alike
        ]  # fmt: skip
        deepest = max(map(len, choices))
        tried = [[each[min(depth, len(each) - 1)] for each in choices] for depth in range(deepest)]
        names = next((row for row in tried if len(set(row)) == len(row)), tried[0])
        named += zip(names, alike, strict=True)
    return named


def _one_each(folder: Path, named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for layout, path in named:
        if layout in files:
            one, other = (
                each.relative_to(folder) if each.is_relative_to(folder) else each
                for each in (files[layout], path)
            )
            raise ValueError(
                f"{folder}: {one} and {other} are both of layout {layout!r}, expected one picture "
                f"a layout; take one of them away, or put variants in {layout}/{FIRST_VARIANT}.png, "
                f"{layout}/01.png, ..."
            )
        files[layout] = path
    return files
