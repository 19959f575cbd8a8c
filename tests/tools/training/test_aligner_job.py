"""The job aligner: what it is built of, that it trains, and back from a checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenequilt.alignment.learned import LearnedAligner
from scenequilt.alignment.network import AlignmentNet, AlignmentNetSettings
from scenequilt.alignment.objective import AlignmentWeights
from scenequilt.alignment.samples import PairSettings
from scenequilt.alignment.view import ViewSettings
from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.memory_bank.manifest import read_manifest
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.checkpoint import Checkpoint, read_checkpoint
from scenequilt.tools.training.jobs import aligner
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.trainer import train_job
from scenequilt.tools.training.training_settings import TrainingSettings

TABLES = {
    "network": AlignmentNetSettings(width=1 / 128),
    "view": ViewSettings(size_hw=(32, 64), margin=0.5),
    "samples": PairSettings(min_area=0.01),
    "loss": AlignmentWeights(),
}
TWO_STEPS = TrainingSettings(total_steps=2, batch_size=4, average_decay=0.0)


def _request(dataset: Path, bank: Path | None, **tables: object) -> TrainingRequest:
    reader = open_dataset(dataset)
    return TrainingRequest(
        reader=reader,
        training=reader.entries("train")[:6],
        held_out=reader.entries("val")[:2],
        origin={"dataset": "town"},
        bank=bank,
        tables={**TABLES, **tables},
        batch_size=4,
    )


@pytest.fixture(scope="module")
def trained(
    toytown_dataset: Path, toytown_bank: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Weights after two steps."""
    out = tmp_path_factory.mktemp("weights") / "aligner.safetensors"
    train_job(aligner.build_job(_request(toytown_dataset, toytown_bank)), TWO_STEPS, out)
    return out


def _changed(path: Path, **card: object) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    return replace(checkpoint, card=replace(checkpoint.card, **card))  # type: ignore[arg-type]


def test_the_job_says_what_it_learns_from(toytown_dataset: Path, toytown_bank: Path) -> None:
    job = aligner.build_job(_request(toytown_dataset, toytown_bank))

    assert job.network == "sims_alignment"
    assert job.settings["view"] == {"size_hw": [32, 64], "whole_layout": False, "margin": 0.5}
    assert job.settings["samples"]["real_share"] == 0.5
    assert job.data["dataset"] == "town"
    assert job.data["photographs"] == 6
    assert job.data["bank"] == read_manifest(toytown_bank).fingerprint
    assert len(job.data["sha256"]) == 64
    assert job.batches.batch(1).color.shape == (4, 3, 32, 64)


def test_without_real_pairs_the_bank_does_not_matter(toytown_dataset: Path) -> None:
    displaced = PairSettings(min_area=0.01, real_share=0.0)

    job = aligner.build_job(_request(toytown_dataset, None, samples=displaced))

    assert job.data["bank"] is None
    assert job.batches.batch(1).displaced.all()


def test_what_does_not_fit_is_refused(
    toytown_dataset: Path, street_bank: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"real_share is 0.5, but there is no bank"):
        aligner.build_job(_request(toytown_dataset, None))
    with pytest.raises(DatasetError, match=r"has the classes sky, road, car, but the photographs"):
        aligner.build_job(_request(toytown_dataset, street_bank))
    request = _request(toytown_dataset, None, samples=PairSettings(real_share=0.0))
    gone = replace(request.training[0], image_path=tmp_path / "gone.png")
    with pytest.raises(DatasetError, match=r"gone.png is missing"):
        aligner.build_job(replace(request, training=[gone]))


def test_it_trains_is_tried_and_comes_back(trained: Path) -> None:
    checkpoint = read_checkpoint(trained)

    network = aligner.restore(checkpoint)

    assert isinstance(network, AlignmentNet) and not network.training
    assert network.view == TABLES["view"] and network.settings == TABLES["network"]
    assert network.last.weight.abs().max() > 0, "it is the identity no more"
    found = checkpoint.card.training["validation"]
    assert 0 < found["iou_before"] < 1 and 0 < found["iou_after"] < 1
    placed = aligner.restore_aligner(checkpoint, dtype=torch.bfloat16)
    assert isinstance(placed, LearnedAligner)


def test_the_sheet_shows_before_and_after(toytown_dataset: Path, toytown_bank: Path) -> None:
    job = aligner.build_job(_request(toytown_dataset, toytown_bank))
    assert job.sheet is not None

    with torch.no_grad():
        picture = job.sheet(job.objective.networks["network"].eval())

    assert picture.shape == (64, 8 * 64, 3) and picture.dtype == np.uint8
    np.testing.assert_allclose(picture[:32].astype(int), picture[32:], atol=1)
    assert picture.max() > 100


def test_weights_of_something_else_are_refused(trained: Path) -> None:
    with pytest.raises(CheckpointError, match=r"network 'cgnet', expected 'sims_alignment'"):
        aligner.restore(_changed(trained, network="cgnet"))
    with pytest.raises(CheckpointError, match=r"do not fit.*its card names no classes"):
        aligner.restore(_changed(trained, taxonomy=None))
    settings = read_checkpoint(trained).card.settings
    wider = {**settings, "network": {"width": 0.5}}
    with pytest.raises(CheckpointError, match=r"do not fit the network that their card names"):
        aligner.restore(_changed(trained, settings=wider))


def test_our_settings_are_read_and_the_papers_are_the_papers(tmp_path: Path) -> None:
    kinds = {"training": TrainingSettings, **aligner.SETTINGS}
    paper = read_tables(find_config("aligner"), kinds)
    small = read_tables(find_config("aligner-small"), kinds)

    assert paper["network"] == AlignmentNetSettings(width=1.0)
    assert paper["view"] == ViewSettings(size_hw=(256, 512), whole_layout=True)
    assert paper["loss"] == AlignmentWeights(overlap=0.0)
    assert (paper["training"].rate, paper["training"].schedule) == (1e-5, "constant")
    assert paper["samples"].real_share == 0
    assert small["view"] == ViewSettings() and small["network"] == AlignmentNetSettings()


def test_a_bank_of_the_same_classes_is_enough(toytown_dataset: Path, tmp_path: Path) -> None:
    build_bank(open_dataset(toytown_dataset), tmp_path / "bank", split="val", min_area_px=12)

    job = aligner.build_job(_request(toytown_dataset, tmp_path / "bank"))

    assert not job.batches.batch(1).displaced.all()
