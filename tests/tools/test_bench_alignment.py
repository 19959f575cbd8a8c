"""bench alignment: what it measures, by hand and by law, and what it refuses."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.segment import Candidate, PlacedSegment, Query, Segment
from scenequilt.tools.benchmarks.alignment import measure_alignment
from scenequilt.tools.cli import main


@dataclass(frozen=True)
class ThingsFitted:
    """Stands for a network that makes every thing its query, and leaves stuff alone."""

    def place(self, query: Query, segment: Segment, candidate: Candidate) -> PlacedSegment:
        (placed,) = self.refine([query], [ClosedFormAligner().place(query, segment, candidate)])
        return placed

    def refine(
        self, queries: Sequence[Query], placed: Sequence[PlacedSegment]
    ) -> list[PlacedSegment]:
        return [
            PlacedSegment(
                item.query_id, item.segment, item.candidate, item.source_from_target,
                query.region.box, np.zeros((*query.region.mask.shape, 3), np.uint8),
                query.region.mask, 1.0,
            )
            if query.is_thing
            else item
            for query, item in zip(queries, placed, strict=True)
        ]  # fmt: skip


def test_figures_are_means_over_pairs_of_what_is_held_out(
    toytown_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["bench", "alignment", str(toytown_dataset), "--hold-out", "town-00", "--workers", "1"]

    status = main([*argv, "--pictures", "3", "--work", str(tmp_path), "--json"])

    figures = json.loads(capsys.readouterr().out)
    assert status == 0
    assert figures["pictures"] == 3
    assert figures["dataset"]["held out"] == "town-00"
    kinds = figures["kinds"]
    assert kinds["all"]["pairs"] == kinds["thing"]["pairs"] + kinds["stuff"]["pairs"]
    for kind in kinds.values():
        assert 0 <= kind["frame"]["iou"] <= kind["closed"]["iou"] <= 1
        assert kind["closed"]["iou"] <= kind["closed"]["coverage"] <= 1
        assert kind["learned"] is None and kind["kept"] is None
    with MemoryBank.open(tmp_path / "bank-without-town-00") as bank:
        assert "town-00" not in {source.sequence for source in bank.sources()}


def test_a_learned_aligner_is_measured_beside_the_closed_form(
    toytown_dataset: Path, tmp_path: Path
) -> None:
    figures = measure_alignment(
        open_dataset(toytown_dataset), tmp_path, ThingsFitted(), split="train",
        hold_out_last=4, candidates=2,
    )  # fmt: skip

    things, stuff = figures.kinds["thing"], figures.kinds["stuff"]
    assert things.learned is not None
    assert (things.learned.iou, things.learned.coverage, things.kept) == (1, 1, 1)
    assert (stuff.learned, stuff.kept) == (stuff.closed, 0)
    assert figures.pictures == 4
    assert figures.learned_ms is not None and figures.learned_ms > 0
    text = figures.as_text()
    assert "last-4" in text and "the network adds" in text
    assert f"{things.pairs:>7}{things.frame.iou:>9.4f}{things.closed.iou:>9.4f}   1.0000" in text


def test_a_bank_of_the_rest_knows_nothing_of_the_last(
    toytown_dataset: Path, tmp_path: Path
) -> None:
    reader = open_dataset(toytown_dataset)
    last = {entry.source_id for entry in reader.entries("train")[-3:]}

    measure_alignment(reader, tmp_path, split="train", hold_out_last=3, pictures=1)

    with MemoryBank.open(tmp_path / "bank-without-last-3") as bank:
        sources = {source.source_id for source in bank.sources()}
    assert len(sources) == len(reader.entries("train")) - 3
    assert not sources & last


def test_what_cannot_be_measured_is_refused(toytown_dataset: Path, tmp_path: Path) -> None:
    reader = open_dataset(toytown_dataset)

    with pytest.raises(DatasetError, match=r"0006R0 of 24 .* cannot be held out.*town-00, town-01"):
        measure_alignment(reader, tmp_path, hold_out="0006R0")
    with pytest.raises(DatasetError, match=r"last-24 of 24 photographs cannot be held out"):
        measure_alignment(reader, tmp_path, hold_out_last=24)
    with pytest.raises(ValueError, match=r"hold_out is None and hold_out_last 0; give one of them"):
        measure_alignment(reader, tmp_path)
    with pytest.raises(ValueError, match=r"none of 1 pictures has a region of at least 99.00%"):
        measure_alignment(reader, tmp_path, hold_out_last=2, pictures=1, min_area=0.99)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--candidates", "0"], "--candidates is 0, expected at least 1"),
        (["--min-area", "1"], "--min-area is 1.0, expected a share from 0 to 1"),
    ],
)
def test_numbers_out_of_range_are_refused(
    toytown_dataset: Path, capsys: pytest.CaptureFixture[str], option: list[str], message: str
) -> None:
    status = main(["bench", "alignment", str(toytown_dataset), "--hold-out", "town-00", *option])

    assert status == 2
    assert message in capsys.readouterr().err


def test_weights_that_are_none_are_refused_before_the_bank_is_built(
    toytown_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["bench", "alignment", str(toytown_dataset), "--hold-out", "town-00"]

    status = main([*argv, "--aligner", str(tmp_path / "no.safetensors"), "--work", str(tmp_path)])

    assert status == 2
    assert "no.safetensors does not exist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
