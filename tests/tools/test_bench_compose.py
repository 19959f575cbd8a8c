"""bench compose: what it measures, and what it leaves alone."""

import json
from pathlib import Path

import numpy as np
import pytest

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import BankError, DatasetError
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.synthesis.finish import NoFinish
from scenequilt.tools.benchmarks.compose import compose_crudely, measure_compose
from scenequilt.tools.cli import main


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("town") / "town"
    write_dataset(folder, count=24, seed=3, size_hw=(48, 96))
    return folder


def test_figures_are_shares_of_the_pictures_that_were_asked_for(
    town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["bench", "compose", str(town), "--split", "train", "--hold-out", "town-00"]

    argv += ["--pictures", "3", "--size", "32x64", "--workers", "1"]

    status = main([*argv, "--work", str(tmp_path), "--json"])

    figures = json.loads(capsys.readouterr().out)
    assert status == 0
    assert figures["pictures"] == 3
    assert figures["size_hw"] == [32, 64]
    assert figures["finish"] == "closed"
    assert 0 < figures["but_finish_ms"] < figures["ours"]["median_ms"]
    assert figures["swaps"]["count"] > 0
    assert figures["swaps"]["median_ms"] > 0
    assert set(figures["swaps"]["stages_ms"]) == {"choose", "align", "order", "paste", "finish"}
    assert figures["references"] == []
    for side in ("ours", "crude"):
        assert 0 < figures[side]["coverage"] <= 1
        assert 0 < figures[side]["agreement"] <= 1
        assert figures[side]["median_ms"] > 0
    assert sum(figures["states"].values()) == pytest.approx(1)
    with MemoryBank.open(tmp_path / "bank-without-town-00") as bank:
        assert {source.sequence for source in bank.sources()} == {"town-01", "town-02"}


def test_a_crude_composition_of_a_photograph_in_the_bank_is_that_photograph(
    town: Path, tmp_path: Path
) -> None:
    reader = open_dataset(town)
    photograph = reader.read(reader.entries("train")[0])
    build_bank(reader, tmp_path / "bank", split="train", min_area_px=16)

    with MemoryBank.open(tmp_path / "bank") as bank:
        image, label_map, coverage = compose_crudely(photograph.layout, bank)

    known = coverage & (photograph.layout.label_map != 255)
    assert np.mean(label_map[known] == photograph.layout.label_map[known]) > 0.99
    difference = np.abs(image[known].astype(int) - photograph.image[known])
    assert np.median(difference) <= 2


def test_a_bank_that_is_there_is_not_touched(town: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bank-without-town-00"
    build_bank(open_dataset(town), folder, split="val")
    before = (folder / "manifest.json").read_bytes()

    with pytest.raises(BankError, match=r"bank-without-town-00"):
        measure_compose(
            open_dataset(town), tmp_path, split="train", hold_out="town-00", pictures=1, workers=1
        )

    assert (folder / "manifest.json").read_bytes() == before


def test_a_sequence_that_is_not_there_is_answered_with_those_that_are(
    town: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"'0006R0' cannot be held out.*town-00, town-01"):
        measure_compose(
            open_dataset(town), tmp_path, split="train", hold_out="0006R0", pictures=1, workers=1
        )


def test_a_network_is_timed_beside_at_the_size_of_the_pictures(town: Path, tmp_path: Path) -> None:
    sizes: list[tuple[int, int]] = []

    figures = measure_compose(
        open_dataset(town),
        tmp_path,
        split="train",
        hold_out="town-00",
        pictures=1,
        workers=1,
        size_hw=(32, 64),
        finish=NoFinish(),
        references={"a network": sizes.append},
    )

    assert sizes == [(32, 64)] * 6, "once unmeasured, and five times"
    (reference,) = figures.references
    assert reference.name == "a network" and reference.median_ms >= 0
    assert "beside        a network:" in figures.as_text()
    assert "finish        none" in figures.as_text()
    assert "one change" in figures.as_text()
