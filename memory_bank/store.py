"""One shard: an HDF5 file of segments, written once, checked, and read through the page cache."""

import hashlib
import json
import mmap
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import BankCorruptError, BankError, BankFormatError
from scenequilt.memory_bank.segment import Box, size_of

SHARD_FORMAT = "scenequilt shard"
SHARD_VERSION = 1

Codec = Literal["jpeg95", "png"]
"""How colour crops are stored: JPEG of quality 95 without chroma subsampling, or lossless PNG."""

CODECS: tuple[Codec, ...] = ("jpeg95", "png")

CROP_MARGIN_PX = 16
"""A colour crop reaches this far beyond the box; at least this far from the mask it is real."""

SEGMENT_DTYPE = np.dtype(
    [
        ("segment_id", "<i8"),
        ("word_offset", "<i8"),
        ("color_offset", "<i8"),
        ("mask_offset", "<i8"),
        ("digest", "u1", (16,)),
        ("box", "<i4", (4,)),
        ("crop_box", "<i4", (4,)),
        ("source_row", "<i4"),
        ("instance_id", "<i4"),
        ("area_px", "<i4"),
        ("frame_area", "<i4"),
        ("color_bytes", "<i4"),
        ("mask_bytes", "<i4"),
        ("color_crc", "<u4"),
        ("mask_crc", "<u4"),
        ("lab_mean", "<f4", (3,)),
        ("lab_std", "<f4", (3,)),
        ("frame_box", "<i2", (4,)),
        ("class_id", "u1"),
        ("cut_by_frame", "?"),
        ("unused", "u1", (2,)),
        ("row_crc", "<u4"),
    ]
)
"""One row a segment.

segment_id: stable number, of the photograph's hash, class, box and mask. word_offset: first word
of its frame mask in Shard.words. color_offset, color_bytes, color_crc: encoded crop in the blob
"color", its length and crc32; mask_* likewise in "mask" (bits packed over box, zlib). digest:
blake2b of everything a user can see of the segment. box, crop_box: (top, left, bottom, right) in
pixels of the photograph. source_row: place in Shard.sources. area_px: pixels in the photograph;
frame_area: pixels at frame size. lab_mean, lab_std: CIE L*a*b* (L 0..100) of its own pixels.
frame_box: box at frame size. row_crc: crc32 of the row before it, its words, cells and shape.
"""

_CRC_BYTES = SEGMENT_DTYPE.itemsize - 4


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One photograph that segments were cut from.

    Attributes:
        source_id: Name, unique in the bank.
        size_hw: (height, width) in pixels.
        split: "train", "val", ...; "" where the dataset has none.
        sequence: Film, drive or room; "" if not known.
        licence: Name or address of its licence; "" if not known.
        address: Where it comes from; "" if not known.
        image_sha256: Of the photograph's file, in hex.
        label_sha256: Of the label map's file, in hex.
        image_path: Where the photograph was when it was read, as it was given.
    """

    source_id: str
    size_hw: tuple[int, int]
    split: str
    sequence: str
    licence: str
    address: str
    image_sha256: str
    label_sha256: str
    image_path: str

    def content(self) -> bytes:
        """Return what a fingerprint covers: all but where the file was, and how labels are encoded.

        What the labels say is covered by the masks and the layout around.
        """
        fields = asdict(self)
        del fields["image_path"], fields["label_sha256"]
        return _canonical(fields)


@dataclass(frozen=True, eq=False)
class ShardContents:
    """Everything in a shard, in memory. N segments, S sources, frame of (frame_h, frame_w).

    Attributes:
        frame_hw: Size at which masks and layouts are compared.
        sources: The S photographs.
        segments: (N,) SEGMENT_DTYPE; seal() fills in digest and row_crc.
        color: uint8 blob of encoded crops.
        mask: uint8 blob of packed masks.
        words: uint64 blob of frame masks, as descriptor.Descriptions.words.
        cells: (N, 8, 16) uint8.
        shapes: (N, 16) uint64.
        run_offset: (S + 1,) int64, first run of each source.
        run_row_offset: (S, frame_h + 1) uint32, first run of each row, counted within its source.
        run_end: (R,) uint16, first column after each run.
        run_label: (R,) uint8, class id of each run, 255 = void.
    """

    frame_hw: tuple[int, int]
    sources: tuple[SourceRecord, ...]
    segments: NDArray[Any]
    color: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    words: NDArray[np.uint64]
    cells: NDArray[np.uint8]
    shapes: NDArray[np.uint64]
    run_offset: NDArray[np.int64]
    run_row_offset: NDArray[np.uint32]
    run_end: NDArray[np.uint16]
    run_label: NDArray[np.uint8]

    @property
    def size_bytes(self) -> int:
        """Bytes of all arrays together, about what they take on disk."""
        arrays = (getattr(self, field.name) for field in fields(self))
        return sum(array.nbytes for array in arrays if isinstance(array, np.ndarray))


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A finished shard on disk: its checksum in hex and its size."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written.

    Attributes:
        file: Name of the file within the bank's folder.
        record: What in it is damaged, e.g. "segment 123 (row 4)"; "" if not one record.
        message: What is wrong.
    """

    file: str
    record: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.record, self.message) if part)


def segment_id_of(
    image_sha256: str, class_id: int, box: Box, packed_mask: NDArray[np.uint8]
) -> int:
    """Return the stable number of a segment, in [0, 2^63).

    It follows from the photograph's bytes, the class and the exact mask, and from nothing else: not
    from the order of a build, its workers or its shards.
    """
    number = hashlib.blake2b(digest_size=8)
    number.update(bytes.fromhex(image_sha256))
    number.update(np.array([class_id, *box], "<i4").tobytes())
    number.update(packed_mask.tobytes())
    return int.from_bytes(number.digest(), "little") >> 1


def is_segment_number(number: int) -> bool:
    """Return True if a segment can have this number: one in [0, 2^63)."""
    return 0 <= number < 1 << 63


def pack_mask(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return a mask (h, w) as ceil(h * w / 8) bytes, first pixel in the highest bit."""
    return np.packbits(mask)


def encode_mask(packed_mask: NDArray[np.uint8]) -> bytes:
    """Return a packed mask compressed, as the blob "mask" holds it."""
    return zlib.compress(packed_mask.tobytes(), 1)


def encode_color(crop_bgr: NDArray[np.uint8], mask: NDArray[np.bool_], codec: Codec) -> bytes:
    """Compress a colour crop.

    Blocks of 16x16 pixels that hold none of the mask, nor touch a block that does, are made grey
    first: nothing reads them, and they cost nearly no bytes.

    Args:
        crop_bgr: (h, w, 3) uint8, blue first, as OpenCV writes it.
        mask: (h, w) bool, the segment.
        codec: "jpeg95" or "png".

    Raises:
        ValueError: If codec is neither.
    """
    import cv2

    if codec not in CODECS:
        raise ValueError(f"codec {codec!r}; there are {', '.join(CODECS)}")
    height, width = mask.shape
    if height * width > 9 * CROP_MARGIN_PX**2:
        crop_bgr = _blank_far_blocks(crop_bgr, mask)
    if codec == "png":
        done, encoded = cv2.imencode(".png", crop_bgr, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    else:
        quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
        sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        done, encoded = cv2.imencode(".jpg", crop_bgr, [*quality, *sampling])
    if not done:
        raise BankError(f"a colour crop of {height}x{width} pixels could not be encoded")
    return bytes(encoded)


def _blank_far_blocks(crop_bgr: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the crop with 16x16 blocks grey that are more than a block away from the mask."""
    import cv2

    side = CROP_MARGIN_PX
    height, width = mask.shape
    rows, columns = -(-height // side), -(-width // side)
    padded = np.zeros((rows * side, columns * side), np.uint8)
    padded[:height, :width] = mask
    occupied = np.logical_or.reduceat(padded, np.arange(0, rows * side, side), axis=0)
    occupied = np.logical_or.reduceat(occupied, np.arange(0, columns * side, side), axis=1)
    near = cv2.dilate(occupied.astype(np.uint8), np.ones((3, 3), np.uint8))
    if near.all():
        return crop_bgr
    keep = cv2.resize(near, (columns * side, rows * side), interpolation=cv2.INTER_NEAREST)
    blanked = np.full((height, width, 3), 128, np.uint8)
    cv2.copyTo(crop_bgr, keep[:height, :width], blanked)
    return blanked


def seal(contents: ShardContents) -> ShardContents:
    """Fill in digest and row_crc of every segment; the other fields stay as they are."""
    segments = contents.segments.copy()
    surroundings = [
        _source_digest(record, contents, row) for row, record in enumerate(contents.sources)
    ]
    for row in range(len(segments)):
        segment = segments[row]
        color = _blob(contents.color, segment["color_offset"], segment["color_bytes"])
        mask = _blob(contents.mask, segment["mask_offset"], segment["mask_bytes"])
        digest = hashlib.blake2b(digest_size=16)
        digest.update(
            np.array(
                [
                    segment["segment_id"],
                    segment["class_id"],
                    segment["cut_by_frame"],
                    segment["instance_id"],
                    segment["area_px"],
                    *segment["box"],
                    *segment["crop_box"],
                ],
                "<i8",
            ).tobytes()
        )
        digest.update(color)
        digest.update(zlib.decompress(mask))
        digest.update(surroundings[segment["source_row"]])
        segment["digest"] = np.frombuffer(digest.digest(), np.uint8)
        segment["row_crc"] = 0
    sealed = replace(contents, segments=segments)
    segments["row_crc"] = _row_crcs(sealed)
    return sealed


def write_shard(
    path: Path, contents: ShardContents, *, task_id: str = "", notes: bytes = b""
) -> ShardFile:
    """Write a shard so that it is either there and whole, or not there.

    It is written under a temporary name ending in ".tmp", flushed to the disk, checksummed, renamed
    to path, and the folder is flushed.

    Args:
        path: Where to; a file of that name is replaced.
        contents: What seal() returned.
        task_id: What the shard is the result of, to recognise it by when a build is resumed.
        notes: What the build wants to find again then.
    """
    import h5py

    temporary = path.with_name(f"{path.name}.{os.urandom(6).hex()}.tmp")
    try:
        # Aligned datasets can be mapped as 64-bit words; no times, so that bytes repeat.
        with h5py.File(temporary, "w", alignment_threshold=1, alignment_interval=64) as file:
            file.attrs["format"] = SHARD_FORMAT
            file.attrs["version"] = SHARD_VERSION
            file.attrs["frame_hw"] = contents.frame_hw
            file.attrs["task_id"] = task_id
            arrays = _datasets(contents) | {"notes": np.frombuffer(notes, np.uint8)}
            for name, array in arrays.items():
                file.create_dataset(name, data=array, track_times=False)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        written = ShardFile(sha256_of(temporary), temporary.stat().st_size)
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_folder(path.parent)
    return written


class Shard:
    """A finished shard, mapped into memory read-only.

    The HDF5 file is open only while this object is made; afterwards there is one mapping and no
    handle, so that it may cross a fork. Arrays are views of the mapping and cost no memory of
    their own. Names and shapes of the arrays are those of ShardContents.

    Args:
        path: The file.

    Raises:
        BankFormatError: If it is no shard, or of another version.
        BankCorruptError: If it is missing or cannot be read.
    """

    segments: NDArray[Any]
    words: NDArray[np.uint64]
    cells: NDArray[np.uint8]
    shapes: NDArray[np.uint64]
    run_offset: NDArray[np.int64]
    run_row_offset: NDArray[np.uint32]
    run_end: NDArray[np.uint16]
    run_label: NDArray[np.uint8]

    def __init__(self, path: Path) -> None:
        import h5py

        self.path = path
        try:
            # Shards never change, and file systems that cannot lock should be readable too.
            with h5py.File(path, "r", locking=False) as file:
                _check_format(path, file.attrs)
                height, width = (int(value) for value in file.attrs["frame_hw"])
                self.frame_hw = (height, width)
                self.task_id = str(file.attrs["task_id"])
                self.notes = bytes(file["notes"][()])
                places = {
                    name: (file[name].id.get_offset(), file[name].shape, file[name].dtype)
                    for name in _DTYPES
                }
            self._arrays = _map(path, places)
        except FileNotFoundError as error:
            raise BankCorruptError(
                f"{path} is missing; bring it back from a copy, or build the bank again"
            ) from error
        except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise BankCorruptError(
                f"{path} cannot be read as a shard ({error}); bring it back from a copy, or build "
                "the bank again"
            ) from error
        self.segments = self._arrays["segments"]
        self.words = self._arrays["words"]
        self.cells = self._arrays["cells"]
        self.shapes = self._arrays["shapes"]
        self.run_offset = self._arrays["run_offset"]
        self.run_row_offset = self._arrays["run_row_offset"]
        self.run_end = self._arrays["run_end"]
        self.run_label = self._arrays["run_label"]
        self._sources: list[SourceRecord] | None = None
        self._checked_arrays = False

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def name(self) -> str:
        """File name of the shard."""
        return self.path.name

    @property
    def sources(self) -> list[SourceRecord]:
        """The photographs that segments["source_row"] counts.

        Raises:
            BankCorruptError: If a record or a layout is not what was written.
        """
        if self._sources is None:
            sources = self._read_sources()
            for row in self._damaged_sources():
                name = sources[row].source_id
                raise self._corrupt(f"source {name} (row {row}) has another crc32 than was written")
            self._sources = sources
        return self._sources

    def row(self, row: int) -> np.void:
        """Return the row of a segment, checked here unless check_arrays() did.

        Raises:
            BankCorruptError: If the row or the segment's frame mask is not what was written.
        """
        segment: np.void = self.segments[row]
        if not self._checked_arrays and _row_crc(self, row) != segment["row_crc"]:
            raise self._corrupt(f"segment in row {row} has another crc32 than was written")
        return segment

    def check_arrays(self) -> None:
        """Check all that a search compares: rows, frame masks and layouts; the first time only.

        It takes 1.4 us a segment and 8 us a photograph. Crops and masks in full size are checked
        one by one when they are read.

        Raises:
            BankCorruptError: If one of them is not what was written.
        """
        if self._checked_arrays or not self.sources:
            return
        for row in np.flatnonzero(_row_crcs(self) != self.segments["row_crc"]).tolist():
            raise self._corrupt(f"segment in row {row} has another crc32 than was written")
        self._checked_arrays = True

    def color(self, row: int) -> NDArray[np.uint8]:
        """Return (h, w, 3) uint8 RGB over the segment's crop_box.

        Raises:
            BankCorruptError: If the stored bytes are not what was written.
        """
        import cv2

        segment = self.row(row)
        encoded = np.frombuffer(self._checked(segment, "color"), np.uint8)
        color = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
        if color is None or color.shape[:2] != size_of(box_of(segment["crop_box"])):
            raise self._corrupt(f"segment {segment['segment_id']}: color crop cannot be decoded")
        return np.asarray(color, np.uint8)

    def box_mask(self, row: int) -> NDArray[np.bool_]:
        """Return (h, w) bool over the segment's box, True on the segment.

        Raises:
            BankCorruptError: If the stored bytes are not what was written.
        """
        segment = self.row(row)
        height, width = size_of(box_of(segment["box"]))
        try:
            packed = np.frombuffer(zlib.decompress(self._checked(segment, "mask")), np.uint8)
            mask = np.unpackbits(packed, count=height * width)
            return mask.reshape(height, width).view(np.bool_)
        except (zlib.error, ValueError) as error:
            raise self._corrupt(
                f"segment {segment['segment_id']}: mask cannot be unpacked ({error})"
            ) from error

    def mask(self, row: int) -> NDArray[np.bool_]:
        """Return (h, w) bool over the segment's crop_box, True on the segment.

        Raises:
            BankCorruptError: If the stored bytes are not what was written.
        """
        segment = self.row(row)
        top, left, bottom, right = box_of(segment["box"])
        crop_top, crop_left, _, _ = crop_box = box_of(segment["crop_box"])
        mask = np.zeros(size_of(crop_box), np.bool_)
        inside = np.s_[top - crop_top : bottom - crop_top, left - crop_left : right - crop_left]
        mask[inside] = self.box_mask(row)
        return mask

    def label_map(self, source_row: int) -> NDArray[np.uint8]:
        """Return the layout of a photograph at frame size, (frame_h, frame_w) uint8 class ids.

        Raises:
            BankCorruptError: If the record of the photograph or its layout is not what was written.
        """
        if _source_crc(self, self._arrays, source_row) != self._arrays["source_crc"][source_row]:
            raise self._corrupt(f"source in row {source_row} has another crc32 than was written")
        height, width = self.frame_hw
        start, end = int(self.run_offset[source_row]), int(self.run_offset[source_row + 1])
        rows = self.run_row_offset[source_row].astype(np.int64)
        ends = self.run_end[start:end].astype(np.int64)
        ends += np.repeat(np.arange(height), np.diff(rows)) * width
        lengths = np.diff(ends, prepend=0)
        return np.repeat(self.run_label[start:end], lengths).reshape(height, width)

    def source_digest(self, source_row: int) -> NDArray[np.uint8]:
        """Return (16,) uint8: blake2b of what is known of a photograph and of its layout."""
        digest = _source_digest(self.sources[source_row], self, source_row)
        return np.frombuffer(digest, np.uint8)

    def contents(self) -> ShardContents:
        """Return the whole shard as it was written; the arrays are still views of the file."""
        return ShardContents(
            frame_hw=self.frame_hw,
            sources=tuple(self.sources),
            segments=self.segments,
            color=self._arrays["color"],
            mask=self._arrays["mask"],
            words=self.words,
            cells=self.cells,
            shapes=self.shapes,
            run_offset=self.run_offset,
            run_row_offset=self.run_row_offset,
            run_end=self.run_end,
            run_label=self.run_label,
        )

    def faults(self) -> Iterator[Fault]:
        """Check every record against its crc32 and yield what does not hold."""
        place = f"shards/{self.name}"
        try:
            sources, damaged = self._read_sources(), self._damaged_sources()
        except (BankCorruptError, ValueError, IndexError) as error:
            yield Fault(place, "table of sources", str(error))
            return
        for row in damaged:
            name = sources[row].source_id
            yield Fault(place, f"source {name} (row {row})", "record or layout has another crc32")
        try:
            row_crcs = _row_crcs(self)
        except (ValueError, IndexError) as error:
            yield Fault(place, "table of segments", str(error))
            return
        for row, segment in enumerate(self.segments):
            record = f"segment {segment['segment_id']} (row {row})"
            if row_crcs[row] != segment["row_crc"]:
                yield Fault(place, record, "row or frame mask has another crc32")
                continue
            for what, name in (("color", "color crop"), ("mask", "mask")):
                encoded = _blob(
                    self._arrays[what], segment[f"{what}_offset"], segment[f"{what}_bytes"]
                )
                if zlib.crc32(encoded) != segment[f"{what}_crc"]:
                    yield Fault(place, record, f"{name} has another crc32")

    def _read_sources(self) -> list[SourceRecord]:
        offset, blob = self._arrays["source_offset"], self._arrays["sources"]
        try:
            return [
                _source_from_json(bytes(blob[offset[row] : offset[row + 1]]))
                for row in range(len(offset) - 1)
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._corrupt(f"the record of a source cannot be read ({error})") from error

    def _damaged_sources(self) -> list[int]:
        crcs = _source_crcs(self, self._arrays)
        found: list[int] = np.flatnonzero(crcs != self._arrays["source_crc"]).tolist()
        return found

    def _corrupt(self, what: str) -> BankCorruptError:
        bank = self.path.parents[1] if self.path.parent.name == "shards" else "BANK"
        return BankCorruptError(
            f"{self.path}: {what}; the whole damage: scenequilt bank verify {bank}; bring the file "
            "back from a copy, or build the bank again"
        )

    def _checked(self, segment: np.void, what: Literal["color", "mask"]) -> memoryview:
        encoded = _blob(self._arrays[what], segment[f"{what}_offset"], segment[f"{what}_bytes"])
        found, expected = zlib.crc32(encoded), int(segment[f"{what}_crc"])
        if found != expected:
            raise self._corrupt(
                f"segment {segment['segment_id']}: {what} has crc32 {found:08x}, expected "
                f"{expected:08x}"
            )
        return encoded


def box_of(row: NDArray[np.integer[Any]]) -> Box:
    """Return a box field of a segment row as a tuple of int."""
    top, left, bottom, right = row.tolist()
    return top, left, bottom, right


def word_count(frame_box: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return how many 64-bit words the frame masks of boxes (..., 4) take."""
    box = frame_box.astype(np.int64)
    columns = (box[..., 3] - 1) // 64 - box[..., 1] // 64 + 1
    return np.asarray((box[..., 2] - box[..., 0]) * columns, np.int64)


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Flush a folder, so that a rename in it outlives a power cut; nothing where unsupported."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_DTYPES: dict[str, np.dtype[Any]] = {
    "segments": SEGMENT_DTYPE,
    "sources": np.dtype("u1"),
    "source_offset": np.dtype("<i8"),
    "source_crc": np.dtype("<u4"),
    "color": np.dtype("u1"),
    "mask": np.dtype("u1"),
    "words": np.dtype("<u8"),
    "cells": np.dtype("u1"),
    "shapes": np.dtype("<u8"),
    "run_offset": np.dtype("<i8"),
    "run_row_offset": np.dtype("<u4"),
    "run_end": np.dtype("<u2"),
    "run_label": np.dtype("u1"),
}


def _datasets(contents: ShardContents) -> dict[str, NDArray[Any]]:
    records = [_canonical(asdict(record)) for record in contents.sources]
    sources = np.frombuffer(b"".join(records), np.uint8)
    source_offset = np.cumsum([0, *map(len, records)], dtype=np.int64)
    arrays: dict[str, NDArray[Any]] = {
        "sources": sources,
        "source_offset": source_offset,
    }
    arrays["source_crc"] = _source_crcs(contents, arrays)
    for name in _DTYPES.keys() - arrays.keys():
        arrays[name] = getattr(contents, name)
    return {name: np.ascontiguousarray(arrays[name], dtype) for name, dtype in _DTYPES.items()}


def _map(
    path: Path, places: dict[str, tuple[int | None, tuple[int, ...], np.dtype[Any]]]
) -> dict[str, NDArray[Any]]:
    with path.open("rb") as stream:
        mapping = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    arrays = {}
    for name, (offset, shape, dtype) in places.items():
        if dtype != _DTYPES[name]:
            raise ValueError(f"dataset {name} has type {dtype}, expected {_DTYPES[name]}")
        count = int(np.prod(shape))
        if count == 0:
            arrays[name] = np.zeros(shape, dtype)
            continue
        if offset is None or offset % 8:
            raise ValueError(f"dataset {name} starts at byte {offset}, expected a multiple of 8")
        arrays[name] = np.frombuffer(mapping, dtype, count, offset).reshape(shape)
    return arrays


def _check_format(path: Path, attributes: Any) -> None:  # noqa: ANN401
    found = (str(attributes.get("format", "")), int(attributes.get("version", 0)))
    if found != (SHARD_FORMAT, SHARD_VERSION):
        raise BankFormatError(
            f"{path}: format {found[0]!r} version {found[1]}, this program reads "
            f"{SHARD_FORMAT!r} version {SHARD_VERSION}; build the bank again with this program, "
            "or use the one that wrote it"
        )


def _canonical(table: dict[str, Any]) -> bytes:
    return json.dumps(table, sort_keys=True, separators=(",", ":")).encode()


def _source_from_json(line: bytes) -> SourceRecord:
    table = json.loads(line)
    height, width = table.pop("size_hw")
    return SourceRecord(size_hw=(int(height), int(width)), **table)


def _blob(blob: NDArray[np.uint8], offset: int, length: int) -> memoryview:
    return blob[offset : offset + length].data


class _Runs(Protocol):
    """The layouts of ShardContents, or of a shard."""

    @property
    def run_offset(self) -> NDArray[np.int64]: ...
    @property
    def run_row_offset(self) -> NDArray[np.uint32]: ...
    @property
    def run_end(self) -> NDArray[np.uint16]: ...
    @property
    def run_label(self) -> NDArray[np.uint8]: ...


class _Rows(Protocol):
    """What row_crc covers of ShardContents, or of a shard."""

    @property
    def segments(self) -> NDArray[Any]: ...
    @property
    def words(self) -> NDArray[np.uint64]: ...
    @property
    def cells(self) -> NDArray[np.uint8]: ...
    @property
    def shapes(self) -> NDArray[np.uint64]: ...


def _run_bytes(contents: _Runs, row: int) -> bytes:
    runs = slice(int(contents.run_offset[row]), int(contents.run_offset[row + 1]))
    return b"".join(
        np.ascontiguousarray(part).tobytes()
        for part in (
            contents.run_row_offset[row],
            contents.run_end[runs],
            contents.run_label[runs],
        )
    )


def _source_digest(record: SourceRecord, contents: _Runs, row: int) -> bytes:
    text = record.content() + _run_bytes(contents, row)
    return hashlib.blake2b(text, digest_size=16).digest()


def _source_crcs(contents: _Runs, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint32]:
    count = len(arrays["source_offset"]) - 1
    return np.array([_source_crc(contents, arrays, row) for row in range(count)], np.uint32)


def _source_crc(contents: _Runs, arrays: Mapping[str, NDArray[Any]], row: int) -> int:
    offset = arrays["source_offset"]
    crc = zlib.crc32(arrays["sources"][offset[row] : offset[row + 1]].tobytes())
    crc = zlib.crc32(offset[row : row + 2].tobytes(), crc)
    crc = zlib.crc32(contents.run_offset[row : row + 2].tobytes(), crc)
    return zlib.crc32(_run_bytes(contents, row), crc)


def _row_crc(contents: _Rows, row: int) -> int:
    """Return the row_crc that a row should have."""
    segment = contents.segments[row]
    start, count = int(segment["word_offset"]), int(word_count(segment["frame_box"]))
    crc = zlib.crc32(segment.tobytes()[:_CRC_BYTES])
    crc = zlib.crc32(contents.words[start : start + count].tobytes(), crc)
    crc = zlib.crc32(contents.cells[row].tobytes(), crc)
    return zlib.crc32(contents.shapes[row].tobytes(), crc)


def _row_crcs(contents: _Rows) -> NDArray[np.uint32]:
    """Return _row_crc of all rows, several times as quickly a row."""
    segments = contents.segments
    if not len(segments):
        return np.zeros(0, np.uint32)
    starts = 8 * segments["word_offset"]
    ends = starts + 8 * word_count(segments["frame_box"])
    rows, words, cells, shapes = (
        np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        for array in (segments, contents.words, contents.cells, contents.shapes)
    )
    row_bytes, cell_bytes, shape_bytes = (
        len(blob) // len(segments) for blob in (rows, cells, shapes)
    )
    crc32 = zlib.crc32
    crcs = []
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        crc = crc32(rows[row * row_bytes : row * row_bytes + _CRC_BYTES])
        crc = crc32(words[start:end], crc)
        crc = crc32(cells[row * cell_bytes : (row + 1) * cell_bytes], crc)
        crcs.append(crc32(shapes[row * shape_bytes : (row + 1) * shape_bytes], crc))
    return np.array(crcs, np.uint32)
