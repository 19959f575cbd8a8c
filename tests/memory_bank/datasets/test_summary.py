"""Counts over a dataset."""

import json
from collections.abc import Callable
from pathlib import Path

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.datasets.summary import ClassSummary, summarise


def test_classes_are_counted(tmp_path: Path, write: Callable[[str, Path], Path]) -> None:
    reader = open_dataset(write("plain", tmp_path))

    summary = summarise(reader, reader.entries())

    assert summary.photographs == 3
    assert summary.classes == (ClassSummary(36, 3, 3, 12), ClassSummary(24, 3, 3, 8))
    assert summary.void_px == 12


def test_sizes_splits_and_values_are_counted(
    tmp_path: Path, write: Callable[[str, Path], Path]
) -> None:
    reader = open_dataset(write("plain", tmp_path))

    summary = summarise(reader, reader.entries())

    assert summary.sizes == {(4, 6): 3}
    assert summary.splits == {"train": 2, "val": 1}
    assert summary.sequences == {"a": 2, "b": 1}
    assert summary.values == {0: 36, 7: 24, 9: 12}


def test_unreadable_files_are_named_and_passed(
    tmp_path: Path, write: Callable[[str, Path], Path]
) -> None:
    reader = open_dataset(write("plain", tmp_path))
    (tmp_path / "images" / "train" / "a_01.jpg").write_bytes(b"\xff\xd8\xff")

    summary = summarise(reader, reader.entries())

    assert summary.photographs == 2
    assert [bad.source_id for bad in summary.unreadable] == ["a_01"]
    assert "a_01.jpg: photograph is" in summary.unreadable[0].message


def test_every_entry_is_reported_as_it_is_done(
    tmp_path: Path, write: Callable[[str, Path], Path]
) -> None:
    reader = open_dataset(write("plain", tmp_path))
    done = []

    summarise(reader, reader.entries(), lambda count, photograph: done.append(count))

    assert done == [1, 2, 3]


def test_summary_is_json(tmp_path: Path, write: Callable[[str, Path], Path]) -> None:
    reader = open_dataset(write("plain", tmp_path))

    table = json.loads(json.dumps(summarise(reader, reader.entries()).as_json()))

    assert table["sizes"] == [{"width": 6, "height": 4, "photographs": 3}]
    assert table["classes"][1]["name"] == "car"
