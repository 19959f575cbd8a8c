"""The job "depth": from a small town to weights, and back from their file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.ordering.depth_network import DepthNetSettings
from scenequilt.ordering.depth_samples import DepthSettings
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.checkpoint import Checkpoint, read_checkpoint
from scenequilt.tools.training.jobs import depth
from scenequilt.tools.training.jobs.depth import build_job, restore
from scenequilt.tools.training.registry import JOBS, load_job
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.trainer import TrainingSettings, train_job


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("town") / "town"
    write_dataset(folder, count=6, seed=4, size_hw=(48, 96))
    return folder


def request(town: Path) -> TrainingRequest:
    reader = open_dataset(town)
    entries = reader.entries("train")
    return TrainingRequest(
        reader=reader,
        training=entries[:3],
        held_out=entries[3:],
        origin={"dataset": "town"},
        tables={
            "network": DepthNetSettings(width=4 / 512, size_hw=(32, 64)),
            "samples": DepthSettings(toytown_scenes=2),
        },
        batch_size=3,
        seed=3,
    )


@pytest.fixture(scope="module")
def trained(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    out = tmp_path_factory.mktemp("weights") / "depth.safetensors"
    settings = TrainingSettings(total_steps=2, batch_size=3, average_decay=0.5)
    train_job(build_job(request(town)), settings, out)
    return read_checkpoint(out)


def test_the_card_says_what_was_learned_from(trained: Checkpoint) -> None:
    card = trained.card

    assert card.network == "depth"
    assert card.taxonomy is None
    assert (card.data["photographs"], card.data["scenes"]) == (3, 2)
    assert set(card.training["validation"]) == {
        "relative_error",
        "within_quarter",
        "scale_free_error",
    }


def test_the_network_comes_back_as_it_was(trained: Checkpoint) -> None:
    network = restore(trained)

    assert not network.training
    assert network.settings.size_hw == (32, 64)
    assert all(
        torch.equal(network.state_dict()[name], value) for name, value in trained.state.items()
    )


def test_a_sheet_shows_photograph_truth_and_answer(town: Path) -> None:
    job = build_job(request(town))
    assert job.sheet is not None

    sheet = job.sheet(job.objective.networks["network"].eval())

    assert sheet.shape == (2 * 32, 3 * 64, 3)
    assert sheet.dtype == np.uint8


def test_without_a_share_no_scene_is_rendered(town: Path) -> None:
    asked = request(town)
    tables = {**asked.tables, "samples": DepthSettings(toytown_share=0.0)}

    assert build_job(replace(asked, tables=tables)).data["scenes"] == 0


def test_the_shipped_settings_can_be_read() -> None:
    for name in ("depth", "depth-small"):
        tables = read_tables(find_config(name), {**depth.SETTINGS, "training": TrainingSettings})
        assert isinstance(tables["samples"], DepthSettings)
    assert load_job("depth") is depth
    assert JOBS["depth"].needs == {"depth"}


def test_weights_of_another_network_are_refused(trained: Checkpoint) -> None:
    other = replace(trained, card=replace(trained.card, network="cgnet"))

    with pytest.raises(CheckpointError, match="of the network 'cgnet', expected 'depth'; give"):
        restore(other)
    with pytest.raises(CheckpointError, match="do not fit the network that their card names"):
        restore(replace(trained, state={}))


def test_photographs_without_depth_are_refused(town: Path, tmp_path: Path) -> None:
    for part in ("images", "labels", "classes.json"):
        (tmp_path / part).symlink_to(town / part)

    with pytest.raises(DatasetError, match="has no depth map; a depth network learns from"):
        build_job(request(tmp_path))
