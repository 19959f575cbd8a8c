"""Looking after a bank: verify, remove, compact, merge."""

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.bank import INDEX_FOLDER, MemoryBank
from scenequilt.memory_bank.build import beginning, clear_leftovers, leftover_files, record_of
from scenequilt.memory_bank.errors import BankCorruptError, BankError
from scenequilt.memory_bank.lock import writing_to
from scenequilt.memory_bank.manifest import (
    MANIFEST_NAME,
    Manifest,
    Plan,
    ShardRecord,
    Skipped,
    check_finished,
    check_same_classes,
    fingerprint_of,
    how_to_finish,
    open_shards,
    read_manifest,
    replace_manifest,
)
from scenequilt.memory_bank.store import (
    Fault,
    Shard,
    ShardContents,
    is_segment_number,
    seal,
    sha256_of,
    sync_folder,
    word_count,
    write_shard,
)

if TYPE_CHECKING:
    # Imported when it is needed: it brings the compiler of the search along.
    from scenequilt.memory_bank.index import IndexReport


@dataclass(frozen=True)
class VerifyReport:
    """What a look at every byte of a bank found.

    Attributes:
        faults: What is not as it was written; empty if all is well.
        notes: What is no fault but worth knowing: an unfinished build, leftovers.
        shards: Shards looked at.
        segments: Segments looked at, removed ones included.
        removed: How many of segments were removed, as far as their shards can be read.
        size_bytes: Bytes looked at.
    """

    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    shards: int
    segments: int
    removed: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """What was taken out of a bank: segments, and photographs as a whole."""

    segments: int
    sources: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What compacting gave: shards written anew or dropped, and bytes of shards before and after."""

    shards: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What merging gave: segments and photographs of the new bank, and segments there twice."""

    segments: int
    sources: int
    doubled: int
    fingerprint: str


def verify_bank(
    folder: Path, *, progress: Callable[[int, int], None] | None = None
) -> VerifyReport:
    """Read every byte of a bank and compare it with its checksums.

    Args:
        folder: The bank.
        progress: Called with the shards done and their number, after each shard.

    Raises:
        BankFormatError: If there is no bank, or one of another format.
    """
    try:
        manifest = read_manifest(folder)
    except BankCorruptError as error:
        return VerifyReport((Fault(MANIFEST_NAME, "", str(error)),), (), 0, 0, 0, 0)
    faults: list[Fault] = []
    segments = removed = size_bytes = 0
    whole = True
    numbers = [np.zeros(0, np.int64)]
    for done, record in enumerate(manifest.shards, start=1):
        path = folder / "shards" / record.name
        shard = _verify_shard(path, record, manifest, faults)
        segments += record.segments
        size_bytes += record.size_bytes
        if shard is None:
            whole = False
        else:
            live = record.live_rows(shard)
            removed += int(np.count_nonzero(~live))
            numbers.append(shard.segments["segment_id"][live])
        if progress is not None:
            progress(done, len(manifest.shards))
    values, counts = np.unique(np.concatenate(numbers), return_counts=True)
    faults += [
        Fault(MANIFEST_NAME, f"segment {number}", "is in the bank more than once")
        for number in values[counts > 1].tolist()
    ]
    if manifest.pending is None and whole:
        found = fingerprint_of(folder, manifest)
        if found != manifest.fingerprint:
            faults.append(
                Fault(
                    MANIFEST_NAME,
                    "fingerprint",
                    f"the content has {found}, expected {manifest.fingerprint}",
                )
            )
    notes = _notes(folder, manifest)
    if (folder / INDEX_FOLDER).exists():
        _verify_index(folder, manifest, faults, notes)
    return VerifyReport(
        tuple(faults), tuple(notes), len(manifest.shards), segments, removed, size_bytes
    )


def remove_from_bank(
    folder: Path,
    *,
    sources: Collection[str] = (),
    licences: Collection[str] = (),
    sequences: Collection[str] = (),
    segments: Collection[int] = (),
    dry_run: bool = False,
) -> RemoveReport:
    """Take photographs and segments out of a bank.

    They are marked as removed in the manifest, at once; compact_bank() takes their bytes off the
    disk. Everything named must be there, or nothing is removed.

    Args:
        folder: The bank.
        sources: Photographs by name.
        licences: Photographs by licence.
        sequences: Photographs by sequence.
        segments: Segments by number.
        dry_run: Count, and change nothing.

    Raises:
        BankError: If something named is not in the bank; the message names it.
        BankLockedError: If another process writes to the bank.
        ValueError: If nothing is named.
    """
    wanted: dict[str, set[Any]] = {
        "photograph": set(sources),
        "licence": set(licences),
        "sequence": set(sequences),
        "segment": set(segments),
    }
    listed = np.array(sorted(filter(is_segment_number, wanted["segment"])), np.int64)
    if not any(wanted.values()):
        raise ValueError("name at least one photograph, licence, sequence or segment to remove")
    read_manifest(folder)
    with writing_to(folder):
        manifest = read_manifest(folder)
        check_finished(folder, manifest)
        clear_leftovers(folder, manifest)
        missing = {kind: set(names) for kind, names in wanted.items()}
        records = []
        rows_removed = sources_removed = 0
        for record, shard in zip(manifest.shards, open_shards(folder, manifest), strict=True):
            live = record.live_rows(shard)
            live_sources = record.live_sources(shard).tolist()
            gone = []
            for source, is_live in zip(shard.sources, live_sources, strict=True):
                if not is_live:
                    continue
                named = {
                    "photograph": source.source_id,
                    "licence": source.licence,
                    "sequence": source.sequence,
                }
                hits = [kind for kind, name in named.items() if name in wanted[kind]]
                for kind in hits:
                    missing[kind].discard(named[kind])
                if hits:
                    gone.append(source.source_id)
            ids = shard.segments["segment_id"]
            found = ids[live & np.isin(ids, listed)].tolist()
            missing["segment"] -= set(found)
            changed = replace(
                record,
                removed_sources=tuple(sorted({*record.removed_sources, *gone})),
                removed_segments=tuple(sorted({*record.removed_segments, *found})),
            )
            rows_removed += int(live.sum() - changed.live_rows(shard).sum())
            sources_removed += len(gone)
            records.append(changed)
        _refuse_missing(folder, missing)
        if dry_run:
            return RemoveReport(rows_removed, sources_removed, manifest.fingerprint)
        manifest = replace(manifest, shards=tuple(records))
        manifest = replace(manifest, fingerprint=fingerprint_of(folder, manifest))
        replace_manifest(folder, manifest)
    return RemoveReport(rows_removed, sources_removed, manifest.fingerprint)


def compact_bank(folder: Path) -> CompactReport:
    """Write the shards that hold removed segments anew without them, and delete the old ones.

    The content, and with it the fingerprint, stays what it was.

    Raises:
        BankCorruptError: If such a shard is damaged; nothing changes then.
        BankLockedError: If another process writes to the bank.
    """
    read_manifest(folder)
    with writing_to(folder):
        manifest = read_manifest(folder)
        check_finished(folder, manifest)
        clear_leftovers(folder, manifest)
        before = sum(record.size_bytes for record in manifest.shards)
        records = []
        for record in manifest.shards:
            if record.is_whole:
                records.append(record)
                continue
            shard = Shard(folder / "shards" / record.name)
            _refuse_damaged(shard)
            kept = take_rows(shard.contents(), record.live_rows(shard), record.live_sources(shard))
            if kept.sources:
                records.append(_write_anew(folder, kept, manifest))
        compacted = replace(manifest, shards=tuple(sorted(records, key=lambda record: record.name)))
        found = fingerprint_of(folder, compacted)
        if found != manifest.fingerprint:
            raise BankCorruptError(
                f"{folder}: compacting would change the fingerprint from {manifest.fingerprint} to "
                f"{found}; nothing was changed; see: scenequilt bank verify {folder}"
            )
        replace_manifest(folder, compacted)
        clear_leftovers(folder, compacted)
    after = sum(record.size_bytes for record in compacted.shards)
    anew = sum(not record.is_whole for record in manifest.shards)
    return CompactReport(anew, before, after)


def merge_banks(folders: Sequence[Path], out: Path) -> MergeReport:
    """Join banks of the same classes and frame into a new one; the old ones stay.

    A segment that several banks hold is in the new one once. A photograph whose name another one
    has already gets "~" and the beginning of its hash behind it. A process that is killed leaves a
    bank that is not finished; the same call begins it again.

    Args:
        folders: The banks, at least two.
        out: Folder of the new bank; it must not hold one, nor anything else.

    Raises:
        BankError: If classes or frames differ, or out is taken; the message names what.
        BankCorruptError: If a shard is not what was written.
        ValueError: If fewer than two banks are given.
    """
    if len(folders) < 2:
        raise ValueError(f"merging needs at least two banks, got {len(folders)}")
    manifests = [read_manifest(folder) for folder in folders]
    _check_mergeable(folders, manifests)
    with beginning(out, "merge"):
        first = manifests[0]
        settings = {name: value for name, value in first.settings.items() if name != "plan_id"}
        merged = Manifest(first.taxonomy, first.frame_hw, settings)
        plan = Plan("", {"banks": len(folders)}, 0, 0, "merge")
        replace_manifest(out, replace(merged, pending=plan))
        names: dict[str, str] = {}
        hashes: set[str] = set()
        numbers = np.zeros(0, np.int64)
        doubled = 0
        for folder, manifest in zip(folders, manifests, strict=True):
            fresh_numbers = [numbers]
            fresh_hashes: set[str] = set()
            for record, shard in zip(manifest.shards, open_shards(folder, manifest), strict=True):
                record, twice = _without_doubled(record, shard, numbers, hashes)
                doubled += twice
                live = record.live_rows(shard)
                live_sources = record.live_sources(shard)
                fresh_numbers.append(shard.segments["segment_id"][live])
                fresh_hashes |= {
                    source.image_sha256
                    for source, is_live in zip(shard.sources, live_sources.tolist(), strict=True)
                    if is_live
                }
                if live_sources.any():
                    merged = merged.with_shard(
                        _take_over(out, record, shard, live_sources, names, merged)
                    )
            numbers = np.concatenate(fresh_numbers)
            hashes |= fresh_hashes
            merged = replace(merged, skipped=_joined_skips(merged.skipped, manifest.skipped))
        merged = replace(merged, fingerprint=fingerprint_of(out, merged))
        replace_manifest(out, merged)
    return MergeReport(len(numbers), len(hashes), doubled, merged.fingerprint)


def reindex_bank(folder: Path, *, progress: Callable[[int], None] | None = None) -> "IndexReport":
    """Make the search index of a bank anew.

    Args:
        folder: The bank.
        progress: Called with the segments done so far.

    Raises:
        BankError: If the bank is not finished.
        BankLockedError: If another process writes to the bank.
        FaissError: If FAISS cannot be used.
    """
    read_manifest(folder)
    with writing_to(folder):
        manifest = read_manifest(folder)
        # First: a shard that is finished but not registered belongs to the build that is resumed.
        check_finished(folder, manifest)
        clear_leftovers(folder, manifest)
        with MemoryBank.open(folder) as bank:
            return bank.searcher.build_index(progress=progress)


def take_rows(
    contents: ShardContents, rows: NDArray[np.bool_], sources: NDArray[np.bool_]
) -> ShardContents:
    """Return a shard's contents with some segments and photographs only.

    Args:
        contents: The shard.
        rows: (N,) bool, segments to keep; those of photographs that go must go too.
        sources: (S,) bool, photographs to keep.
    """
    segments = contents.segments[rows].copy()
    counts = word_count(segments["frame_box"])
    color, segments["color_offset"] = _gather(
        contents.color, segments["color_offset"], segments["color_bytes"]
    )
    mask, segments["mask_offset"] = _gather(
        contents.mask, segments["mask_offset"], segments["mask_bytes"]
    )
    words, segments["word_offset"] = _gather(contents.words, segments["word_offset"], counts)
    segments["source_row"] = (np.cumsum(sources) - 1)[segments["source_row"]]
    starts, lengths = contents.run_offset[:-1][sources], np.diff(contents.run_offset)[sources]
    run_end, run_start = _gather(contents.run_end, starts, lengths)
    run_label, _ = _gather(contents.run_label, starts, lengths)
    return ShardContents(
        frame_hw=contents.frame_hw,
        sources=tuple(
            source for source, keep in zip(contents.sources, sources.tolist(), strict=True) if keep
        ),
        segments=segments,
        color=color,
        mask=mask,
        words=words,
        cells=contents.cells[rows],
        shapes=contents.shapes[rows],
        run_offset=np.append(run_start, len(run_end)).astype(np.int64),
        run_row_offset=contents.run_row_offset[sources],
        run_end=run_end,
        run_label=run_label,
    )


def _verify_shard(
    path: Path, record: ShardRecord, manifest: Manifest, faults: list[Fault]
) -> Shard | None:
    """Add what is wrong with a shard to faults; return the shard if it can be read at all."""
    place = f"shards/{record.name}"
    if not path.exists():
        faults.append(Fault(place, "", "is missing"))
        return None
    size = path.stat().st_size
    if size != record.size_bytes:
        faults.append(Fault(place, "", f"has {size} bytes, expected {record.size_bytes}"))
    checksum = sha256_of(path)
    try:
        shard = Shard(path)
    except BankError as error:
        faults.append(Fault(place, "", str(error)))
        return None
    found = list(shard.faults())
    if checksum != record.sha256 and not found:
        found = [
            Fault(
                place,
                "",
                f"has sha256 {checksum}, expected {record.sha256}; the damage is outside every "
                "record, in what HDF5 writes between them",
            )
        ]
    faults += found
    if found:
        return None
    for what, number, expected in (
        ("segments", len(shard), record.segments),
        ("photographs", len(shard.sources), record.sources),
        ("frame", shard.frame_hw, manifest.frame_hw),
    ):
        if number != expected:
            faults.append(Fault(place, what, f"has {number}, the manifest says {expected}"))
    stale = set(record.removed_sources) - {source.source_id for source in shard.sources}
    faults += [
        Fault(MANIFEST_NAME, f"removed photograph {name}", f"is not in {place}")
        for name in sorted(stale)
    ]
    listed = np.array(record.removed_segments, np.int64)
    absent = listed[~np.isin(listed, shard.segments["segment_id"])].tolist()
    faults += [
        Fault(MANIFEST_NAME, f"removed segment {number}", f"is not in {place}") for number in absent
    ]
    return shard


def _verify_index(folder: Path, manifest: Manifest, faults: list[Fault], notes: list[str]) -> None:
    from scenequilt.memory_bank.index import index_problems

    for problem in index_problems(folder / INDEX_FOLDER, manifest.fingerprint):
        # The index is a cache: one of another state of the bank is of no use, but no damage.
        if problem.kind == "damaged":
            faults.append(Fault(INDEX_FOLDER, "", problem.message))
        else:
            notes.append(f"{problem.message}; make it anew with: scenequilt bank reindex {folder}")


def _notes(folder: Path, manifest: Manifest) -> list[str]:
    notes = []
    if manifest.pending is not None:
        notes.append(
            f"the {manifest.pending.begun_by} is not finished: "
            f"{how_to_finish(manifest, manifest.pending)}"
        )
    left = leftover_files(folder, manifest)
    if left:
        notes.append(
            f"{len(left)} files of a writer that was stopped or is at work; the next writer clears "
            "them away"
        )
    return notes


def _refuse_missing(folder: Path, missing: dict[str, set[Any]]) -> None:
    for kind, names in missing.items():
        if names:
            some = ", ".join(str(name) or "(none)" for name in sorted(names, key=str)[:5])
            raise BankError(
                f"{folder} has no {kind} {some}, or it was removed before; nothing was changed; "
                f"see what there is: scenequilt bank list {folder}"
            )


def _refuse_damaged(shard: Shard) -> None:
    for fault in shard.faults():
        raise BankCorruptError(
            f"{shard.path}: {fault.record}: {fault.message}; bring the file back from a copy, or "
            "build the bank again"
        )


def _write_anew(folder: Path, kept: ShardContents, manifest: Manifest) -> ShardRecord:
    kept = seal(kept)
    name = hashlib.sha256(kept.segments["digest"].tobytes())
    for source in kept.sources:
        name.update(source.content())
    path = folder / "shards" / f"{name.hexdigest()[:16]}.h5"
    return record_of(path.name, kept, write_shard(path, kept), manifest.taxonomy)


def _check_mergeable(folders: Sequence[Path], manifests: Sequence[Manifest]) -> None:
    for folder, manifest in zip(folders, manifests, strict=True):
        check_finished(folder, manifest)
        check_same_classes(
            manifest.taxonomy, manifests[0].taxonomy, f"cannot merge {folder} with {folders[0]}"
        )
        if manifest.frame_hw != manifests[0].frame_hw:
            height, width = manifests[0].frame_hw
            raise BankError(
                f"cannot merge {folder} with {folders[0]}: frame {manifest.frame_hw[0]}x"
                f"{manifest.frame_hw[1]} and {height}x{width}; build one of them again with "
                f"--frame {height}x{width}"
            )


def _without_doubled(
    record: ShardRecord, shard: Shard, numbers: NDArray[np.int64], hashes: set[str]
) -> tuple[ShardRecord, int]:
    """Mark what the merged bank has already as removed; return the record and how much it was."""
    live = record.live_rows(shard)
    ids = shard.segments["segment_id"]
    twice = live & np.isin(ids, numbers)
    fresh = np.bincount(shard.segments["source_row"][live & ~twice], minlength=record.sources)
    gone = {
        source.source_id
        for row, source in enumerate(shard.sources)
        if fresh[row] == 0 and source.image_sha256 in hashes
    }
    by_source = replace(record, removed_sources=tuple(sorted({*record.removed_sources, *gone})))
    one_by_one = ids[twice & by_source.live_rows(shard)].tolist()
    removed = tuple(sorted({*record.removed_segments, *one_by_one}))
    return replace(by_source, removed_segments=removed), int(twice.sum())


def _take_over(
    out: Path,
    record: ShardRecord,
    shard: Shard,
    live_sources: NDArray[np.bool_],
    names: dict[str, str],
    merged: Manifest,
) -> ShardRecord:
    """Copy a shard into a bank; write it anew where a name or a mark is in the way."""
    renamed = {}
    for source, is_live in zip(shard.sources, live_sources.tolist(), strict=True):
        if not is_live:
            continue
        name = source.source_id
        if names.get(name, source.image_sha256) != source.image_sha256:
            name = f"{name}~{source.image_sha256[:8]}"
            renamed[source.source_id] = name
        names[name] = source.image_sha256
    taken = any(other.name == record.name for other in merged.shards)
    if not renamed and not taken:
        path = out / "shards" / record.name
        temporary = path.with_name(f"{path.name}.copy.tmp")
        shutil.copyfile(shard.path, temporary)
        found = sha256_of(temporary)
        if found != record.sha256:
            raise BankCorruptError(
                f"{shard.path} has sha256 {found}, expected {record.sha256}; see: scenequilt bank "
                f"verify {shard.path.parents[1]}"
            )
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
        return record
    _refuse_damaged(shard)
    kept = take_rows(shard.contents(), record.live_rows(shard), live_sources)
    sources = tuple(
        replace(source, source_id=renamed.get(source.source_id, source.source_id))
        for source in kept.sources
    )
    return _write_anew(out, replace(kept, sources=sources), merged)


def _joined_skips(skips: tuple[Skipped, ...], others: tuple[Skipped, ...]) -> tuple[Skipped, ...]:
    return skips + tuple(skip for skip in others if skip not in skips)


def _gather(
    blob: NDArray[Any], starts: NDArray[np.int64], lengths: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return pieces of a blob one after another, and where each of them starts now."""
    pieces = [blob[:0]]
    pieces += [
        blob[start : start + length]
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
    ]
    moved = np.cumsum(lengths, dtype=np.int64) - lengths
    return np.concatenate(pieces), moved.astype(np.int64)
