"""The bank as its users see it."""

import pickle
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from scenequilt.memory_bank.bank import MemoryBank, describe_bank
from scenequilt.memory_bank.build import Progress, build_bank
from scenequilt.memory_bank.datasets.interface import DatasetReader
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.descriptor import resample_labels
from scenequilt.memory_bank.errors import BankCorruptError, BankError, BankFormatError
from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.toytown import write_dataset


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> DatasetReader:
    folder = tmp_path_factory.mktemp("toytown") / "data"
    write_dataset(folder, count=10, seed=5, size_hw=(128, 192))
    return open_dataset(folder)


@pytest.fixture(scope="session")
def folder(reader: DatasetReader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "bank"
    build_bank(reader, out)
    return out


@pytest.fixture
def bank(folder: Path) -> MemoryBank:
    return MemoryBank.open(folder)


def test_opening_tells_what_is_there(bank: MemoryBank, reader: DatasetReader) -> None:
    assert bank.taxonomy == reader.taxonomy
    assert bank.frame_hw == (128, 192)
    assert len(bank.fingerprint) == 64
    assert len(bank) == len(bank.segment_ids()) == len(set(bank.segment_ids().tolist()))


def test_a_segment_is_its_photographs_pixels(bank: MemoryBank, reader: DatasetReader) -> None:
    photographs = {entry.source_id: reader.read(entry) for entry in reader.entries()}

    for number in bank.segment_ids()[:40].tolist():
        segment = bank.segment(number)
        photo = photographs[segment.source_id]
        top, left, bottom, right = segment.crop_box
        labels = photo.layout.label_map[top:bottom, left:right]
        assert (labels[segment.mask] == segment.class_id).all()
        difference = segment.color.astype(int) - photo.image[top:bottom, left:right]
        assert np.abs(difference[segment.mask]).mean() < 4


@pytest.mark.parametrize("dataset", ["segments", "words", "cells", "shapes", "run_row_offset"])
def test_a_damaged_bank_is_refused_before_it_is_searched(
    folder: Path, reader: DatasetReader, tmp_path: Path, dataset: str
) -> None:
    spoilt = shutil.copytree(folder, tmp_path / "spoilt")
    path = max((spoilt / "shards").iterdir())
    with h5py.File(path) as file:
        place = file[dataset].id.get_offset() + file[dataset].nbytes // 2
    data = bytearray(path.read_bytes())
    data[place] ^= 0x10
    path.write_bytes(data)
    query = extract_queries(reader.read(reader.entries()[0]).layout)[0]
    message = rf"{path.name}: .* scenequilt bank verify .*spoilt; bring the file back .* again"

    with pytest.raises(BankCorruptError, match=message):
        MemoryBank.open(spoilt).retrieve(query)
    with pytest.raises(BankCorruptError, match=message):
        MemoryBank.open(spoilt).segment_ids()
    with pytest.raises(BankCorruptError, match=message):
        list(MemoryBank.open(spoilt).rows())


def test_a_segment_cannot_be_written_to(bank: MemoryBank) -> None:
    segment = bank.segment(int(bank.segment_ids()[0]))

    with pytest.raises(ValueError, match="read-only"):
        segment.color[0, 0] = 0
    with pytest.raises(ValueError, match="read-only"):
        segment.mask[0, 0] = False


def test_a_number_that_is_not_there_is_named(bank: MemoryBank) -> None:
    with pytest.raises(KeyError, match="holds no segment 12345"):
        bank.segment(12345)


def test_a_row_says_what_the_segment_is(bank: MemoryBank) -> None:
    number = int(bank.segment_ids()[-1])

    row = bank.row(number)

    assert row["segment_id"] == number
    assert row["area_px"] == np.count_nonzero(bank.segment(number).mask)


def test_sources_are_found_by_name(bank: MemoryBank, reader: DatasetReader) -> None:
    names = sorted(entry.source_id for entry in reader.entries())

    assert [source.source_id for source in bank.sources()] == names
    source = bank.source(names[0])
    assert source.size_hw == (128, 192)
    assert source.licence == "CC0-1.0"


def test_a_photograph_that_is_not_there_is_named(bank: MemoryBank) -> None:
    with pytest.raises(KeyError, match="holds no photograph 'moon'"):
        bank.source("moon")


def test_rows_by_source_add_up(bank: MemoryBank) -> None:
    assert sum(bank.segments_by_source().values()) == len(bank)


def test_the_layout_of_a_source_is_at_hand(bank: MemoryBank, reader: DatasetReader) -> None:
    entry = reader.entries()[0]
    expected = resample_labels(reader.read(entry).layout.label_map, bank.frame_hw)

    np.testing.assert_array_equal(bank.label_map(entry.source_id), expected)


def test_a_segment_retrieves_itself_first(bank: MemoryBank, reader: DatasetReader) -> None:
    entry = reader.entries()[2]
    queries = extract_queries(reader.read(entry).layout, min_area_px=50)

    answers = bank.retrieve_many(queries, k=3)

    assert len(answers) == len(queries) > 0
    for query, answer in zip(queries, answers, strict=True):
        best = answer.candidates[0]
        assert best.source_id == entry.source_id
        assert best.mask_iou == best.context_iou == 1
        assert bank.segment(best.segment_id).box == query.region.box
    assert bank.retrieve(queries[0], k=3).candidates == answers[0].candidates


def test_the_cache_keeps_to_its_limit(folder: Path) -> None:
    bank = MemoryBank(folder, cache_bytes=300_000)
    numbers = bank.segment_ids().tolist()

    for number in numbers:
        bank.segment(number)

    kept = [bank.segment(number) for number in numbers if number in bank._cache]
    assert 0 < sum(segment.color.nbytes + segment.mask.nbytes for segment in kept) <= 300_000


def test_a_cached_segment_is_not_decoded_again(bank: MemoryBank) -> None:
    number = int(bank.segment_ids()[3])

    assert bank.segment(number) is bank.segment(number)


def test_threads_may_share_a_bank(folder: Path) -> None:
    bank = MemoryBank(folder, cache_bytes=200_000)
    numbers = bank.segment_ids().tolist()
    sums: list[list[int]] = []

    def read() -> None:
        sums.append([int(bank.segment(number).color.sum()) for number in numbers])

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(sums) == 4
    assert all(one == sums[0] for one in sums)


def test_a_bank_can_be_pickled(bank: MemoryBank) -> None:
    number = int(bank.segment_ids()[0])

    copy = pickle.loads(pickle.dumps(bank))

    assert copy.fingerprint == bank.fingerprint
    np.testing.assert_array_equal(copy.segment(number).color, bank.segment(number).color)


def test_a_closed_bank_answers_nothing(folder: Path, reader: DatasetReader) -> None:
    with MemoryBank.open(folder) as bank:
        number = int(bank.segment_ids()[0])
        name = bank.sources()[0].source_id
        shape = bank.segment(number)
    query = extract_queries(reader.read(reader.entries()[0]).layout)[0]
    bank.close()

    asked: list[Callable[[], object]] = [
        lambda: bank.segment(number),
        lambda: bank.row(number),
        lambda: bank.locate(number),
        bank.segment_ids,
        bank.sources,
        lambda: list(bank.rows()),
        bank.segments_by_source,
        lambda: bank.source(name),
        lambda: bank.label_map(name),
        lambda: bank.retrieve(query),
        lambda: bank.retrieve_many([query]),
        lambda: len(bank),
        bank.info,
    ]
    for ask in asked:
        with pytest.raises(ValueError, match=r"the bank .* was closed; open it again"):
            ask()
    assert shape.color.any()


@pytest.mark.parametrize("number", [-1, 2**63, 10**20])
def test_numbers_that_no_segment_has_are_refused(bank: MemoryBank, number: int) -> None:
    with pytest.raises(KeyError, match=f"holds no segment {number}"):
        bank.segment(number)


def test_a_bank_that_lost_its_manifest_is_told_from_no_bank(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "lost")
    (copy / "manifest.json").unlink()

    with pytest.raises(
        BankFormatError,
        match=r"lost has shards/ but no manifest\.json, .* bring manifest\.json back from a copy, or "
        "build the bank again elsewhere: scenequilt bank build DATASET --out OTHER",
    ):
        MemoryBank.open(copy)


def test_info_counts_add_up(bank: MemoryBank) -> None:
    info = bank.info()

    assert info.finished
    assert info.segments == len(bank) == sum(info.classes.values())
    assert info.sources == 10 == sum(info.splits.values()) == sum(info.sequences.values())
    assert info.licences["CC0-1.0"].segments == len(bank)
    on_disk = sum(path.stat().st_size for path in bank.path.rglob("*") if path.is_file())
    lock = (bank.path / ".lock").stat().st_size
    assert info.size_bytes == on_disk - lock


def test_no_bank_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(BankFormatError, match=r"is no memory bank.*scenequilt bank build"):
        MemoryBank.open(tmp_path)


def test_no_threads_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, got 0"):
        MemoryBank.open(folder, threads=0)


def test_an_unfinished_bank_is_refused_but_described(reader: DatasetReader, tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        build_bank(reader, tmp_path / "bank", progress=stop)

    assert not describe_bank(tmp_path / "bank").finished
    with pytest.raises(BankError, match=r"is not finished: 1 of \d+ shards .*--resume"):
        MemoryBank.open(tmp_path / "bank")


def test_a_missing_shard_is_named(reader: DatasetReader, tmp_path: Path) -> None:
    build_bank(reader, tmp_path / "bank")
    shard = next((tmp_path / "bank" / "shards").iterdir())
    shard.unlink()

    with pytest.raises(BankCorruptError, match=f"{shard.name} is missing"):
        MemoryBank.open(tmp_path / "bank")
