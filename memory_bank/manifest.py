"""What belongs to a bank: one JSON file, replaced as a whole, that is the truth about the folder."""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import (
    BankCorruptError,
    BankError,
    BankFormatError,
    DatasetError,
)
from scenequilt.memory_bank.lock import LOCK_NAME
from scenequilt.memory_bank.store import Shard, sync_folder
from scenequilt.memory_bank.taxonomy import Taxonomy, taxonomy_from_json

MANIFEST_NAME = "manifest.json"
BANK_FORMAT = "scenequilt bank"
BANK_VERSION = 1

_CHECKSUM = re.compile(rb'"checksum": "([0-9a-f]{64})"')
_NO_CHECKSUM = "0" * 64


@dataclass(frozen=True, slots=True)
class LicenceCount:
    """How much of a shard stands under one licence."""

    sources: int
    segments: int


@dataclass(frozen=True)
class ShardRecord:
    """One shard of a bank.

    Attributes:
        name: File name in shards/.
        sha256: Of the file, in hex.
        size_bytes: Of the file.
        segments: Rows, removed ones included.
        sources: Photographs, removed ones included.
        classes: Rows by class name.
        licences: Photographs and rows by licence; "" where it is not known.
        removed_sources: Names of photographs that were taken out, with all their segments.
        removed_segments: Numbers of segments that were taken out one by one.
    """

    name: str
    sha256: str
    size_bytes: int
    segments: int
    sources: int
    classes: dict[str, int]
    licences: dict[str, LicenceCount]
    removed_sources: tuple[str, ...] = ()
    removed_segments: tuple[int, ...] = ()

    @property
    def is_whole(self) -> bool:
        """True if nothing was removed from it."""
        return not self.removed_sources and not self.removed_segments

    def live_sources(self, shard: Shard) -> NDArray[np.bool_]:
        """Return (S,) bool, False where the photograph was removed."""
        live = np.ones(len(shard.run_offset) - 1, np.bool_)
        if self.removed_sources:
            removed = set(self.removed_sources)
            for row, source in enumerate(shard.sources):
                live[row] = source.source_id not in removed
        return live

    def live_rows(self, shard: Shard) -> NDArray[np.bool_]:
        """Return (N,) bool, False where the segment was removed."""
        if self.is_whole:
            return np.ones(len(shard), np.bool_)
        live = self.live_sources(shard)[shard.segments["source_row"]]
        return np.asarray(
            live & ~np.isin(shard.segments["segment_id"], np.array(self.removed_segments, np.int64))
        )


@dataclass(frozen=True, slots=True)
class Skipped:
    """A photograph that could not be used, and why."""

    source_id: str
    path: str
    message: str


Beginner = Literal["build", "merge", "write"]
"""Who begins a bank: build_bank, which can be resumed, or merge_banks and write_bank, which begin
again."""


@dataclass(frozen=True)
class Plan:
    """A bank that is not finished.

    Attributes:
        plan_id: Hash of the settings and of every photograph's files; "" but for a build.
        settings: What it was begun with, for the message when it is resumed with other ones.
        shards: How many shards it will have; 0 if that is not known.
        photographs: How many photographs it reads; 0 if that is not known.
        begun_by: What began it.
    """

    plan_id: str
    settings: dict[str, Any]
    shards: int
    photographs: int
    begun_by: Beginner = "build"


@dataclass(frozen=True)
class Manifest:
    """What belongs to a bank.

    Attributes:
        taxonomy: The classes.
        frame_hw: Size at which masks and layouts are compared.
        settings: min_area_px and codec: what add goes on with.
        shards: The shards, by name.
        skipped: Photographs that could not be used.
        fingerprint: Hash of the content, "" while a build is not finished.
        pending: What is to be done until the bank is finished, or None.
        program: Version of the program that wrote this.
        created: When the bank was begun, UTC.
        updated: When it was last changed, UTC.
    """

    taxonomy: Taxonomy
    frame_hw: tuple[int, int]
    settings: dict[str, Any]
    shards: tuple[ShardRecord, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    fingerprint: str = ""
    pending: Plan | None = None
    program: str = field(default_factory=lambda: version("scenequilt"))
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    updated: str = ""

    def with_shard(self, record: ShardRecord, skipped: tuple[Skipped, ...] = ()) -> "Manifest":
        """Return a manifest that holds a shard too; one of the same name is replaced."""
        others = [shard for shard in self.shards if shard.name != record.name]
        shards = tuple(sorted([*others, record], key=lambda shard: shard.name))
        return replace(self, shards=shards, skipped=self.skipped + skipped)


def is_bank(folder: Path) -> bool:
    """Return True if there is a manifest in the folder."""
    return (folder / MANIFEST_NAME).exists()


def foreign_files(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder without a manifest that no writer of ours can have left there.

    The manifest is written before the first shard, so that finished shards without one belong to a
    bank that lost it, and are nobody's to delete.
    """
    for path in folder.iterdir():
        if path.name == "shards" and path.is_dir():
            yield from (inner for inner in path.iterdir() if not inner.match("*.h5.*.tmp"))
        elif path.name != LOCK_NAME and not path.match(f"{MANIFEST_NAME}.*.tmp"):
            yield path


def check_free(out: Path) -> None:
    """Refuse a place for a new bank where something else is.

    Raises:
        BankError: If out is a file, or a folder of anything but an empty bank's; the message has
            the remedy.
    """
    if not out.exists() or (out.is_dir() and not any(foreign_files(out))):
        return
    if _has_shards(out):
        raise BankError(f"{out} {_NO_MANIFEST}, or choose another folder for the new bank")
    raise BankError(f"{out} exists and is not a memory bank; choose another folder")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a bank.

    Raises:
        BankFormatError: If the folder holds no bank, or one that lost its manifest or is of another
            version.
        BankCorruptError: If a byte of the manifest is not what was written.
    """
    path = folder / MANIFEST_NAME
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if _has_shards(folder):
            raise BankFormatError(
                f"{folder} {_NO_MANIFEST}, or build the bank again elsewhere: "
                "scenequilt bank build DATASET --out OTHER"
            ) from error
        if folder.exists():
            raise BankFormatError(
                f"{folder} is no memory bank: it has no {MANIFEST_NAME}; if it is a dataset, make a "
                f"bank of it: scenequilt bank build {folder} --out {folder.name}.bank"
            ) from error
        raise BankFormatError(
            f"{folder} does not exist, expected a memory bank; make one with: "
            f"scenequilt bank build DATASET --out {folder}"
        ) from error
    try:
        table = json.loads(text)
    except ValueError as error:
        raise BankCorruptError(f"{path} is damaged: {error}; {_REMEDY}") from error
    found = (table.get("format"), table.get("version")) if isinstance(table, dict) else (None, None)
    if _checksum_holds(text) and found != (BANK_FORMAT, BANK_VERSION):
        raise BankFormatError(
            f"{path}: format {found[0]!r} version {found[1]!r}, this program reads {BANK_FORMAT!r} "
            f"version {BANK_VERSION}; build the bank again, or use the program that wrote it"
        )
    if not _checksum_holds(text):
        if found[0] not in (None, BANK_FORMAT) and not _CHECKSUM.search(text):
            raise BankFormatError(f"{path}: format {found[0]!r}, expected {BANK_FORMAT!r}")
        raise BankCorruptError(f"{path} is not what was written: its checksum differs; {_REMEDY}")
    return _manifest_from_json(table, path)


def replace_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Replace the manifest of a bank at once, and return what was written.

    Whoever reads meanwhile sees the old one or the new one. The folder's lock must be held.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = replace(manifest, updated=now, program=version("scenequilt"))
    text = json.dumps(_manifest_as_json(manifest), indent=1).encode() + b"\n"
    checksum = hashlib.sha256(text).hexdigest()
    text = text.replace(_NO_CHECKSUM.encode(), checksum.encode(), 1)
    temporary = folder / f"{MANIFEST_NAME}.{os.urandom(6).hex()}.tmp"
    try:
        with temporary.open("wb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(folder / MANIFEST_NAME)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_folder(folder)
    return manifest


def open_shards(folder: Path, manifest: Manifest) -> list[Shard]:
    """Open the shards that the manifest names, in its order.

    Raises:
        BankCorruptError: If one is missing or of another size; the message names it.
    """
    shards = []
    for record in manifest.shards:
        path = folder / "shards" / record.name
        size = path.stat().st_size if path.exists() else None
        if size is not None and size != record.size_bytes:
            raise BankCorruptError(
                f"{path} has {size} bytes, expected {record.size_bytes}; bring it back from a "
                "copy, or build the bank again"
            )
        shards.append(Shard(path))
    return shards


def fingerprint_of(folder: Path, manifest: Manifest) -> str:
    """Return the fingerprint of a bank's content, in hex.

    It covers every segment that is not removed (pixels, mask, class, the layout around it, what is
    known of its photograph), every photograph without a segment likewise, the taxonomy and the
    frame size. It does not depend on the order, shards, workers or interruptions by which the bank
    came about, nor on how label files are encoded.
    """
    digests = []
    for record, shard in zip(manifest.shards, open_shards(folder, manifest), strict=True):
        live = record.live_rows(shard)
        digests.append(shard.segments["digest"][live])
        bare = record.live_sources(shard)
        bare[shard.segments["source_row"][live]] = False
        digests += [shard.source_digest(row)[None] for row in np.flatnonzero(bare).tolist()]
    halves = np.ascontiguousarray(np.concatenate([np.zeros((0, 16), np.uint8), *digests]))
    numbers = halves.view(">u8").reshape(-1, 2)
    order = np.lexsort((numbers[:, 1], numbers[:, 0]))
    whole = hashlib.sha256()
    whole.update(json.dumps(manifest.taxonomy.as_json(), sort_keys=True).encode())
    whole.update(json.dumps(list(manifest.frame_hw)).encode())
    whole.update(halves[order].tobytes())
    return whole.hexdigest()


def check_finished(folder: Path, manifest: Manifest) -> None:
    """Refuse a bank whose build or merge was interrupted.

    Raises:
        BankError: If it was; the message says how to go on.
    """
    if manifest.pending is not None:
        raise BankError(f"{folder} is not finished: {how_to_finish(manifest, manifest.pending)}")


def how_to_finish(manifest: Manifest, pending: Plan) -> str:
    """Say how far a bank came that is not finished, and how to complete it."""
    if pending.begun_by != "build":
        remedy = f"give the command that began it again, which starts the {pending.begun_by} anew"
        return f"its {pending.begun_by} was stopped; {remedy}"
    return (
        f"{len(manifest.shards)} of {pending.shards} shards are there; complete it with the "
        "command that began it and --resume"
    )


def check_same_classes(found: Taxonomy, expected: Taxonomy, where: str) -> None:
    """Refuse two taxonomies whose class ids do not mean the same.

    Raises:
        BankError: If a class differs; the message names the first.
    """
    pairs = zip(found.classes, expected.classes, strict=False)
    for class_id, (one, other) in enumerate(pairs):
        if (one.name, one.kind) != (other.name, other.kind):
            raise BankError(
                f"{where}: class {class_id} of taxonomy {found.name!r} is {one.name} ({one.kind}), "
                f"the bank's taxonomy {expected.name!r} has {other.name} ({other.kind}); bring "
                "the dataset to the bank's classes, or use a bank of its own"
            )
    if len(found) != len(expected):
        raise BankError(
            f"{where}: taxonomy {found.name!r} has {len(found)} classes, the bank's taxonomy "
            f"{expected.name!r} has {len(expected)}; bring the dataset to the bank's classes, or "
            "use a bank of its own"
        )


_NO_MANIFEST = (
    f"has shards/ but no {MANIFEST_NAME}, which says what belongs to a bank; bring {MANIFEST_NAME} "
    "back from a copy"
)
_REMEDY = "bring it back from a copy, or build the bank again"


def _has_shards(folder: Path) -> bool:
    return any((folder / "shards").glob("*.h5"))


def _checksum_holds(text: bytes) -> bool:
    match = _CHECKSUM.search(text)
    if match is None:
        return False
    blank = text[: match.start(1)] + _NO_CHECKSUM.encode() + text[match.end(1) :]
    return hashlib.sha256(blank).hexdigest() == match.group(1).decode()


def _manifest_as_json(manifest: Manifest) -> dict[str, Any]:
    return {
        "format": BANK_FORMAT,
        "version": BANK_VERSION,
        "checksum": _NO_CHECKSUM,
        "program": manifest.program,
        "created": manifest.created,
        "updated": manifest.updated,
        "fingerprint": manifest.fingerprint,
        "frame_hw": list(manifest.frame_hw),
        "settings": manifest.settings,
        "pending": None if manifest.pending is None else asdict(manifest.pending),
        "taxonomy": manifest.taxonomy.as_json(),
        "shards": [asdict(record) for record in manifest.shards],
        "skipped": [asdict(skipped) for skipped in manifest.skipped],
    }


def _manifest_from_json(table: dict[str, Any], path: Path) -> Manifest:
    try:
        height, width = table["frame_hw"]
        return Manifest(
            taxonomy=taxonomy_from_json(table["taxonomy"], str(path)),
            frame_hw=(int(height), int(width)),
            settings=table["settings"],
            shards=tuple(_record_from_json(entry) for entry in table["shards"]),
            skipped=tuple(Skipped(**entry) for entry in table["skipped"]),
            fingerprint=table["fingerprint"],
            pending=None if table["pending"] is None else Plan(**table["pending"]),
            program=table["program"],
            created=table["created"],
            updated=table["updated"],
        )
    except (KeyError, TypeError, ValueError, DatasetError) as error:
        raise BankCorruptError(f"{path} cannot be understood: {error!r}; {_REMEDY}") from error


def _record_from_json(entry: dict[str, Any]) -> ShardRecord:
    return ShardRecord(
        name=entry["name"],
        sha256=entry["sha256"],
        size_bytes=entry["size_bytes"],
        segments=entry["segments"],
        sources=entry["sources"],
        classes=entry["classes"],
        licences={name: LicenceCount(**count) for name, count in entry["licences"].items()},
        removed_sources=tuple(entry["removed_sources"]),
        removed_segments=tuple(entry["removed_segments"]),
    )
