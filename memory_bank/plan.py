"""What a build will read: photographs are listed, hashed, named and divided among shards."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.store import SHARD_VERSION, Codec
from scenequilt.memory_bank.taxonomy import Taxonomy

MAX_FRAME_PX = 1 << 18
"""A bank's frame has at most this many pixels, unless another one is asked for."""

LARGEST_FRAME_PX = 1 << 24
"""No bank's frame has more pixels than this: what retrieval counts by is made for it."""

_SHARDS_PER_BUILD = 16
_SHARD_PX = (1 << 17, 1 << 25)
_MAX_SHARDS = 512


@dataclass(frozen=True, slots=True)
class PlannedPhotograph:
    """A photograph that will be cut, with what its files were when the build was planned.

    Attributes:
        entry: Its files.
        source_id: Its name in the bank; the entry's, made unique.
        size_hw: (height, width) as the file says, (0, 0) if it cannot be read.
        image_sha256: Of the photograph's file, in hex; "" if it cannot be read.
        label_sha256: Of the label map's file, likewise.
        files_sha256: Of the names and hashes of all files that reading it depends on.
    """

    entry: Entry
    source_id: str
    size_hw: tuple[int, int]
    image_sha256: str
    label_sha256: str
    files_sha256: str


@dataclass(frozen=True)
class ShardTask:
    """What one shard is made of. Tasks can be pickled; the same task gives the same bytes.

    Attributes:
        reader: Reads the photographs.
        photographs: The photographs, in order.
        path: File to write.
        frame_hw: Size at which masks and layouts are compared.
        min_area_px: Regions of fewer pixels are left out.
        codec: How colour crops are stored.
        task_id: Hash of all this and of the files' contents.
    """

    reader: DatasetReader
    photographs: tuple[PlannedPhotograph, ...]
    path: Path
    frame_hw: tuple[int, int]
    min_area_px: int
    codec: Codec
    task_id: str


def choose_frame(sizes_hw: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the frame size for photographs of these sizes.

    The commonest size, the larger one in a tie; if it has more than 2^18 pixels, divided by the
    smallest whole number that brings it there and divides it, if one up to twice the least will do,
    and else scaled to just fit.

    Raises:
        DatasetError: If no size is known.
    """
    counts = Counter(size for size in sizes_hw if size != (0, 0))
    if not counts:
        raise DatasetError(
            f"none of {len(sizes_hw)} photographs can be read; see: scenequilt inspect"
        )
    height, width = max(counts, key=lambda size: (counts[size], size[0] * size[1], size))
    if height * width <= MAX_FRAME_PX:
        return height, width
    least = (height * width / MAX_FRAME_PX) ** 0.5
    for divisor in range(int(np.ceil(least)), int(2 * least) + 1):
        if height % divisor == 0 and width % divisor == 0:
            return height // divisor, width // divisor
    return max(1, int(height / least)), max(1, int(width / least))


def list_entries(
    reader: DatasetReader, split: str | None, exclude_sequence: Sequence[str]
) -> list[Entry]:
    """Return what a reader has, sorted by split and name, without some sequences.

    Raises:
        DatasetError: If there is no such split or sequence, or nothing is left.
    """
    entries = reader.entries(split)
    sequences = {entry.sequence for entry in entries}
    for name in exclude_sequence:
        if name not in sequences:
            there = ", ".join(sorted(sequences - {""})) or "none"
            raise DatasetError(f"no sequence {name!r} to exclude; there are: {there}")
    kept = [entry for entry in entries if entry.sequence not in exclude_sequence]
    if not kept:
        raise DatasetError(
            f"nothing is left to read: all {len(entries)} photographs are of excluded sequences"
        )
    return sorted(kept, key=lambda entry: (entry.split, entry.source_id))


def plan_photographs(
    reader: DatasetReader,
    entries: Sequence[Entry],
    names: Mapping[str, str],
    hashes: Collection[str],
) -> tuple[list[PlannedPhotograph], int]:
    """Hash the files, leave out photographs that are there already, and make names unique.

    Args:
        reader: Says which files reading an entry depends on.
        entries: What there is to read.
        names: Hash of the photograph by name, of all that the bank has or had.
        hashes: Hashes of the photographs that it has.

    Returns:
        The photographs to cut, in order, and how many were left out.
    """
    # Photographs may share a file, e.g. the annotations of their split.
    hash_of = cache(_hash_of)
    with ThreadPoolExecutor(2) as threads:
        measured = list(threads.map(lambda entry: _measure(reader, entry, hash_of), entries))
    names, hashes = dict(names), set(hashes)
    photographs = []
    for photo in measured:
        if photo.image_sha256 and photo.image_sha256 in hashes:
            continue
        source_id = photo.source_id
        if names.get(source_id, photo.image_sha256) != photo.image_sha256:
            source_id = f"{source_id}~{photo.image_sha256[:8]}"
        names[source_id] = photo.image_sha256
        hashes.add(photo.image_sha256)
        photographs.append(replace(photo, source_id=source_id))
    return photographs, len(measured) - len(photographs)


def _hash_of(path: Path) -> str:
    # What cannot be read here is reported when the reader fails on it.
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _measure(
    reader: DatasetReader, entry: Entry, hash_of: Callable[[Path], str]
) -> PlannedPhotograph:
    from PIL import Image

    try:
        with Image.open(entry.image_path) as image:
            size_hw = (image.height, image.width)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        size_hw = (0, 0)
    files = [(path.name, hash_of(path)) for path in reader.files(entry)]
    return PlannedPhotograph(
        entry,
        entry.source_id,
        size_hw,
        hash_of(entry.image_path),
        hash_of(entry.label_path),
        hashlib.sha256(json.dumps(files).encode()).hexdigest(),
    )


def plan_id_of(
    settings: dict[str, Any], taxonomy: Taxonomy, photographs: Sequence[PlannedPhotograph]
) -> str:
    """Return a hash in hex of all that a build's shards depend on."""
    plan = {
        "shard_version": SHARD_VERSION,
        "settings": settings,
        "taxonomy": taxonomy.as_json(),
        "photographs": [
            [
                photo.source_id,
                photo.entry.split,
                photo.entry.sequence,
                photo.entry.licence,
                photo.entry.address,
                photo.files_sha256,
            ]
            for photo in photographs
        ],
    }
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def divide_photographs(
    reader: DatasetReader,
    photographs: Sequence[PlannedPhotograph],
    folder: Path,
    plan_id: str,
    *,
    frame_hw: tuple[int, int],
    min_area_px: int,
    codec: Codec,
) -> list[ShardTask]:
    """Return the tasks of a build: what to read for each shard.

    How photographs are divided follows from their sizes alone, not from how many workers there are.
    """
    pixels = [max(1, photo.size_hw[0] * photo.size_hw[1]) for photo in photographs]
    low, high = _SHARD_PX
    wanted = max(min(max(sum(pixels) // _SHARDS_PER_BUILD, low), high), sum(pixels) // _MAX_SHARDS)
    groups: list[list[PlannedPhotograph]] = [[]]
    filled = 0
    for photo, size in zip(photographs, pixels, strict=True):
        if groups[-1] and filled + size / 2 > wanted:
            groups.append([])
            filled = 0
        groups[-1].append(photo)
        filled += size
    return [
        ShardTask(
            reader,
            tuple(group),
            folder / "shards" / f"{plan_id[:12]}-{number:04d}.h5",
            frame_hw,
            min_area_px,
            codec,
            f"{plan_id}-{number}",
        )
        for number, group in enumerate(groups)
    ]
