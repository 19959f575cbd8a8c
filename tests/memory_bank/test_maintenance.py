"""Looking after a bank: what is taken out is out, and the content stays what it was."""

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from scenequilt.memory_bank.bank import MemoryBank, describe_bank
from scenequilt.memory_bank.build import Progress, add_photographs, build_bank
from scenequilt.memory_bank.datasets.interface import DatasetReader
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import BankCorruptError, BankError, BankLockedError
from scenequilt.memory_bank.index import IndexProblem, ProblemKind
from scenequilt.memory_bank.lock import writing_to
from scenequilt.memory_bank.maintenance import (
    compact_bank,
    merge_banks,
    reindex_bank,
    remove_from_bank,
    verify_bank,
)
from scenequilt.memory_bank.manifest import open_shards, read_manifest, replace_manifest
from scenequilt.memory_bank.store import Shard
from scenequilt.memory_bank.toytown import write_dataset


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> DatasetReader:
    """Sixteen pictures of 128 x 192: fourteen to train in two towns, two to validate."""
    folder = tmp_path_factory.mktemp("toytown") / "data"
    write_dataset(folder, count=16, seed=7, size_hw=(128, 192))
    return open_dataset(folder)


@pytest.fixture(scope="session")
def built(reader: DatasetReader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "bank"
    build_bank(reader, out)
    return out


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy of the bank that a test may spoil."""
    return shutil.copytree(built, tmp_path / "bank")


def fingerprint(folder: Path) -> str:
    return read_manifest(folder).fingerprint


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "shards").iterdir()}


def flip(path: Path, share: float) -> None:
    spoilt = bytearray(path.read_bytes())
    spoilt[int(share * len(spoilt))] ^= 0x55
    path.write_bytes(spoilt)


def spoil_color(shard: Shard, row: int) -> None:
    """Flip a bit in the middle of a segment's stored colours."""
    with h5py.File(shard.path) as file:
        start = file["color"].id.get_offset()
    segment = shard.segments[row]
    spoilt = bytearray(shard.path.read_bytes())
    spoilt[start + int(segment["color_offset"]) + int(segment["color_bytes"]) // 2] ^= 1
    shard.path.write_bytes(spoilt)


def build_part(reader: DatasetReader, out: Path, split: str) -> Path:
    build_bank(reader, out, split=split, frame_hw=(128, 192))
    return out


def test_an_undamaged_bank_is_found_to_be_so(folder: Path) -> None:
    report = verify_bank(folder)

    assert report.faults == ()
    assert report.notes == ()
    assert report.segments == len(MemoryBank.open(folder))


@pytest.mark.parametrize("share", [i / 23 for i in range(23)])
def test_a_flipped_byte_anywhere_in_a_shard_is_found(folder: Path, share: float) -> None:
    shard = min((folder / "shards").iterdir())

    flip(shard, share)

    faults = verify_bank(folder).faults
    assert faults
    assert {fault.file for fault in faults} == {f"shards/{shard.name}"}


def test_a_flipped_byte_of_the_manifest_is_found(folder: Path) -> None:
    flip(folder / "manifest.json", 0.5)

    assert [fault.file for fault in verify_bank(folder).faults] == ["manifest.json"]


def test_a_flipped_byte_names_the_record(folder: Path) -> None:
    manifest = read_manifest(folder)
    shard = open_shards(folder, manifest)[0]
    number = int(shard.segments["segment_id"][2])
    spoil_color(shard, 2)

    (fault,) = verify_bank(folder).faults

    assert str(fault) == (
        f"shards/{shard.name}: segment {number} (row 2): color crop has another crc32"
    )


def test_every_damaged_shard_is_listed(folder: Path) -> None:
    first, second = sorted((folder / "shards").iterdir())[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-100])

    messages = [str(fault) for fault in verify_bank(folder).faults]

    assert f"shards/{first.name}: is missing" in messages
    assert any(f"shards/{second.name}: has " in message for message in messages)


def test_marks_of_what_is_not_there_are_found(folder: Path) -> None:
    manifest = read_manifest(folder)
    stale = replace(manifest.shards[0], removed_sources=("moon",), removed_segments=(42,))
    replace_manifest(folder, manifest.with_shard(stale))

    messages = [str(fault) for fault in verify_bank(folder).faults]

    assert any("removed photograph moon: is not in shards/" in message for message in messages)
    assert any("removed segment 42: is not in shards/" in message for message in messages)


def test_leftovers_are_noted_but_no_fault(folder: Path) -> None:
    (folder / "shards" / "x.h5.01.tmp").write_bytes(b"half")

    report = verify_bank(folder)

    assert report.faults == ()
    assert "1 files of a writer that was stopped" in report.notes[0]


def test_an_unfinished_bank_is_accepted_and_said_to_be(
    reader: DatasetReader, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        build_bank(reader, tmp_path / "bank", progress=stop)

    report = verify_bank(tmp_path / "bank")

    assert report.faults == ()
    assert "the build is not finished: 1 of" in report.notes[0]


def test_reindexing_an_unfinished_bank_leaves_what_resuming_would_take_over(
    reader: DatasetReader, tmp_path: Path
) -> None:
    def stop(progress: Progress) -> None:
        raise InterruptedError

    out = tmp_path / "bank"
    with pytest.raises(InterruptedError):
        build_bank(reader, out, progress=stop)
    manifest = read_manifest(out)
    replace_manifest(out, replace(manifest, shards=()))

    with pytest.raises(BankError, match="is not finished: 0 of"):
        reindex_bank(out)

    assert files(out) == {manifest.shards[0].name}


def test_a_bank_without_its_shards_is_reported_shard_by_shard(folder: Path) -> None:
    names = files(folder)
    shutil.rmtree(folder / "shards")

    report = verify_bank(folder)

    assert {str(fault) for fault in report.faults} == {f"shards/{n}: is missing" for n in names}


@pytest.mark.parametrize(
    ("kind", "is_fault"), [("stale", False), ("foreign", False), ("damaged", True)]
)
def test_only_a_damaged_index_is_a_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: ProblemKind, is_fault: bool
) -> None:
    (folder / "index").mkdir()
    # The sentence says another thing than the kind, which is what counts.
    problem = IndexProblem(kind, folder / "index", "the file is_stale.faiss is stale and damaged")
    monkeypatch.setattr(
        "scenequilt.memory_bank.index.index_problems", lambda index_dir, fingerprint: [problem]
    )

    report = verify_bank(folder)

    assert [fault.message for fault in report.faults] == [problem.message] * is_fault
    assert len(report.notes) == (not is_fault)
    assert all("scenequilt bank reindex" in note for note in report.notes)


def test_a_removed_photograph_is_gone(folder: Path) -> None:
    before = MemoryBank.open(folder)
    name = before.sources()[1].source_id
    count = before.segments_by_source()[name]

    report = remove_from_bank(folder, sources=[name])

    after = MemoryBank.open(folder)
    assert (report.sources, report.segments) == (1, count)
    assert len(after) == len(before) - count
    assert after.fingerprint == report.fingerprint != before.fingerprint
    with pytest.raises(KeyError):
        after.source(name)


def test_a_removed_segment_is_gone_and_its_neighbours_stay(folder: Path) -> None:
    before = MemoryBank.open(folder)
    number = int(before.segment_ids()[7])

    remove_from_bank(folder, segments=[number])

    after = MemoryBank.open(folder)
    np.testing.assert_array_equal(after.segment_ids(), np.delete(before.segment_ids(), 7))
    with pytest.raises(KeyError, match=f"holds no segment {number}"):
        after.segment(number)


def test_verifying_tells_removed_segments_from_the_others(folder: Path) -> None:
    before = verify_bank(folder)
    gone = remove_from_bank(folder, sources=[MemoryBank.open(folder).sources()[0].source_id])

    after = verify_bank(folder)

    assert gone.segments > 0
    assert (before.segments, before.removed) == (after.segments, 0)
    assert after.removed == gone.segments


def test_removing_by_sequence_takes_its_photographs(folder: Path) -> None:
    sequences = describe_bank(folder).sequences
    name, count = next(iter(sequences.items()))

    report = remove_from_bank(folder, sequences=[name])

    assert report.sources == count
    assert name not in describe_bank(folder).sequences


def test_removing_by_licence_takes_its_photographs(folder: Path) -> None:
    report = remove_from_bank(folder, licences=["CC0-1.0"])

    assert report.sources == 16
    assert len(MemoryBank.open(folder)) == 0


def test_a_dry_run_of_removing_changes_nothing(folder: Path) -> None:
    before = (folder / "manifest.json").read_bytes()

    report = remove_from_bank(folder, licences=["CC0-1.0"], dry_run=True)

    assert report.sources == 16
    assert (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"sources": ["moon"]}, "has no photograph moon, or it was removed before; nothing was"),
        ({"licences": ["GPL"]}, "has no licence GPL"),
        ({"sequences": ["apollo"]}, "has no sequence apollo"),
        ({"segments": [5]}, "has no segment 5"),
        ({"segments": [10**20 - 1]}, "has no segment 99999999999999999999"),
        ({"segments": [-1]}, "has no segment -1"),
    ],
)
def test_removing_what_is_not_there_is_refused(
    folder: Path, named: dict[str, list[object]], message: str
) -> None:
    before = fingerprint(folder)

    with pytest.raises(BankError, match=message):
        remove_from_bank(folder, **named)  # type: ignore[arg-type]

    assert fingerprint(folder) == before


def test_removing_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="name at least one photograph, licence, sequence or"):
        remove_from_bank(folder)


def test_what_was_removed_comes_back_by_adding(folder: Path, reader: DatasetReader) -> None:
    before = fingerprint(folder)
    names = [source.source_id for source in MemoryBank.open(folder).sources()[:3]]
    remove_from_bank(folder, sources=names)

    add_photographs(reader, folder)
    remove_from_bank(folder, sources=names)
    report = add_photographs(reader, folder)

    assert report.photographs == 3
    assert fingerprint(folder) == before
    assert verify_bank(folder).faults == ()


def test_compacting_keeps_the_content_and_frees_the_disk(folder: Path) -> None:
    sources = MemoryBank.open(folder).sources()
    remove_from_bank(folder, sequences=[sources[0].sequence])
    left = MemoryBank.open(folder).segment_ids().tolist()
    remove_from_bank(folder, segments=left[::5])
    before = MemoryBank.open(folder)
    kept = {number: before.segment(number) for number in before.segment_ids().tolist()}

    report = compact_bank(folder)

    after = MemoryBank.open(folder)
    assert after.fingerprint == before.fingerprint
    assert report.bytes_after < report.bytes_before
    assert describe_bank(folder).removed_segments == 0
    assert verify_bank(folder).faults == ()
    assert verify_bank(folder).notes == ()
    for number, segment in kept.items():
        np.testing.assert_array_equal(after.segment(number).color, segment.color)
        np.testing.assert_array_equal(after.segment(number).mask, segment.mask)
    np.testing.assert_array_equal(
        after.label_map(after.sources()[-1].source_id),
        before.label_map(before.sources()[-1].source_id),
    )


def test_compacting_a_bank_without_removals_changes_nothing(folder: Path) -> None:
    names = files(folder)

    report = compact_bank(folder)

    assert report.shards == 0
    assert files(folder) == names


def test_compacting_away_everything_leaves_an_empty_bank(folder: Path) -> None:
    remove_from_bank(folder, licences=["CC0-1.0"])

    compact_bank(folder)

    assert files(folder) == set()
    assert verify_bank(folder).faults == ()
    assert len(MemoryBank.open(folder)) == 0


def test_compacting_a_damaged_shard_is_refused(folder: Path) -> None:
    bank = MemoryBank.open(folder)
    shard, row = bank.locate(int(bank.segment_ids()[0]))
    neighbour = int(shard.segments["segment_id"][0 if row else 1])
    remove_from_bank(folder, segments=[neighbour])
    spoil_color(shard, row)

    with pytest.raises(BankCorruptError, match="color crop has another crc32"):
        compact_bank(folder)


def test_merging_the_parts_gives_the_whole(
    reader: DatasetReader, built: Path, tmp_path: Path
) -> None:
    train = build_part(reader, tmp_path / "train", "train")
    val = build_part(reader, tmp_path / "val", "val")

    report = merge_banks([train, val], tmp_path / "both")

    assert report.doubled == 0
    assert report.fingerprint == fingerprint(built)
    assert verify_bank(tmp_path / "both").faults == ()


def test_merging_takes_what_both_hold_once(
    reader: DatasetReader, built: Path, tmp_path: Path
) -> None:
    val = build_part(reader, tmp_path / "val", "val")

    report = merge_banks([built, val], tmp_path / "both")

    assert report.doubled == len(MemoryBank.open(val)) > 0
    assert report.fingerprint == fingerprint(built)
    assert describe_bank(tmp_path / "both").sources == 16


def test_the_order_of_merging_does_not_matter(
    reader: DatasetReader, built: Path, tmp_path: Path
) -> None:
    val = build_part(reader, tmp_path / "val", "val")

    report = merge_banks([val, built], tmp_path / "both")

    assert report.fingerprint == fingerprint(built)


def test_merging_does_not_bring_back_what_was_removed(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    name = MemoryBank.open(folder).sources()[0].source_id
    remove_from_bank(folder, sources=[name])
    remove_from_bank(copy, sources=[name])

    report = merge_banks([folder, copy], tmp_path / "both")

    assert report.fingerprint == fingerprint(folder)
    with pytest.raises(KeyError):
        MemoryBank.open(tmp_path / "both").source(name)


def test_what_one_bank_has_removed_comes_from_the_other(
    folder: Path, built: Path, tmp_path: Path
) -> None:
    name = MemoryBank.open(folder).sources()[0].source_id
    remove_from_bank(folder, sources=[name])

    report = merge_banks([folder, built], tmp_path / "both")

    assert report.fingerprint == fingerprint(built)
    assert verify_bank(tmp_path / "both").faults == ()


def test_merged_photographs_of_one_name_are_told_apart(built: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", count=8, seed=8, size_hw=(128, 192))
    build_bank(open_dataset(tmp_path / "data"), tmp_path / "other")
    same = {source.source_id for source in MemoryBank.open(built).sources()}
    same &= {source.source_id for source in MemoryBank.open(tmp_path / "other").sources()}

    merge_banks([built, tmp_path / "other"], tmp_path / "both")

    bank = MemoryBank.open(tmp_path / "both")
    renamed = [source for source in bank.sources() if "~" in source.source_id]
    assert len(bank.sources()) == 24
    assert len(renamed) == len(same) > 0
    assert renamed[0].source_id.endswith(renamed[0].image_sha256[:8])
    assert verify_bank(tmp_path / "both").faults == ()


def test_merging_other_frames_is_refused_with_the_remedy(
    reader: DatasetReader, built: Path, tmp_path: Path
) -> None:
    build_bank(reader, tmp_path / "other", frame_hw=(64, 96))

    with pytest.raises(BankError, match=r"frame 64x96 and 128x192; build .* --frame 128x192"):
        merge_banks([built, tmp_path / "other"], tmp_path / "both")


def test_merging_into_a_bank_is_refused(built: Path, folder: Path) -> None:
    with pytest.raises(BankError, match="is a memory bank already; choose another folder"):
        merge_banks([built, built], folder)


def test_merging_into_a_folder_of_shards_is_refused_and_they_stay(
    built: Path, folder: Path
) -> None:
    (folder / "manifest.json").unlink()
    names = files(folder)

    with pytest.raises(BankError, match=r"has shards/ but no manifest\.json.*another folder"):
        merge_banks([built, built], folder)

    assert files(folder) == names


def test_a_merge_that_was_stopped_begins_again(
    folder: Path, built: Path, reader: DatasetReader, tmp_path: Path
) -> None:
    out = tmp_path / "both"
    last = read_manifest(folder).shards[-1]
    whole = (folder / "shards" / last.name).read_bytes()
    flip(folder / "shards" / last.name, 0.9)
    with pytest.raises(BankCorruptError, match="scenequilt bank verify"):
        merge_banks([folder, built], out)
    assert files(out)

    report = verify_bank(out)
    assert report.faults == ()
    assert "the merge is not finished: its merge was stopped; give the command" in report.notes[0]
    with pytest.raises(BankError, match="is not finished: its merge was stopped"):
        MemoryBank.open(out)
    with pytest.raises(BankError, match="is a merge that was stopped, no build to resume"):
        build_bank(reader, out, resume=True)

    (folder / "shards" / last.name).write_bytes(whole)
    assert merge_banks([folder, built], out).fingerprint == fingerprint(built)
    assert verify_bank(out).notes == ()


def test_merging_one_bank_is_refused(built: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least two banks, got 1"):
        merge_banks([built], tmp_path / "both")


def test_a_damaged_shard_is_not_merged(folder: Path, built: Path, tmp_path: Path) -> None:
    flip(min((folder / "shards").iterdir()), 0.9)

    with pytest.raises(BankCorruptError, match="scenequilt bank verify"):
        merge_banks([folder, built], tmp_path / "both")


def test_writers_wait_for_nobody(folder: Path, reader: DatasetReader) -> None:
    name = MemoryBank.open(folder).sources()[0].source_id
    with writing_to(folder):
        with pytest.raises(BankLockedError, match="is writing to this bank"):
            remove_from_bank(folder, sources=[name])
        with pytest.raises(BankLockedError, match="is writing to this bank"):
            compact_bank(folder)
        with pytest.raises(BankLockedError, match="is writing to this bank"):
            add_photographs(reader, folder)


def test_a_reader_keeps_what_it_opened_while_a_writer_works(folder: Path) -> None:
    bank = MemoryBank.open(folder)
    number = int(bank.segment_ids()[0])
    pixels = bank.segment(number).color.copy()
    bank = MemoryBank.open(folder)

    remove_from_bank(folder, licences=["CC0-1.0"])
    compact_bank(folder)

    np.testing.assert_array_equal(bank.segment(number).color, pixels)
