"""The job completion: what it is built of, that it trains, and back from a checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.synthesis.completion.coarse import CoarseSettings, simulate_coarse
from scenequilt.synthesis.completion.network import CompletionNet, CompletionNetSettings
from scenequilt.synthesis.completion.samples import CompletionSampleSettings
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.checkpoint import Checkpoint, CheckpointCard, read_checkpoint
from scenequilt.tools.training.jobs import completion
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.trainer import train_job
from scenequilt.tools.training.training_settings import TrainingSettings

TABLES = {
    "network": CompletionNetSettings(modules=4, width=1 / 128, start="nearest"),
    "samples": CompletionSampleSettings(size_hw=(32, 64)),
    "coarse": CoarseSettings(),
}
TWO_STEPS = TrainingSettings(total_steps=2, batch_size=2, average_decay=0.0)


def _request(dataset: Path, *, held_out: bool = True, seed: int = 0) -> TrainingRequest:
    reader = open_dataset(dataset)
    return TrainingRequest(
        reader=reader,
        training=reader.entries("train")[:4],
        held_out=reader.entries("val")[:2] if held_out else [],
        origin={"dataset": "town"},
        tables=TABLES,
        batch_size=2,
        seed=seed,
    )


@pytest.fixture(scope="module")
def trained(toytown_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights after two steps."""
    out = tmp_path_factory.mktemp("weights") / "completion.safetensors"
    train_job(completion.build_job(_request(toytown_dataset)), TWO_STEPS, out)
    return out


def _changed(path: Path, **card: object) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    changed: CheckpointCard = replace(checkpoint.card, **card)  # type: ignore[arg-type]
    return replace(checkpoint, card=changed)


def test_the_job_says_what_it_learns_from(toytown_dataset: Path) -> None:
    job = completion.build_job(_request(toytown_dataset))

    assert job.network == "completion"
    assert job.settings["network"] == {"modules": 4, "width": 1 / 128, "start": "nearest"}
    assert job.settings["samples"]["size_hw"] == [32, 64]
    assert job.preprocessing == {"height_px": 32}
    assert job.data["dataset"] == "town"
    assert job.data["layouts"] == 4
    assert len(job.data["sha256"]) == 64
    assert job.batches.batch(1).truth.shape == (2, 32, 64)


def test_same_seed_same_first_weights_and_nobodys_dice_are_thrown(toytown_dataset: Path) -> None:
    before = torch.random.get_rng_state()

    first, again, other = (
        completion.build_job(_request(toytown_dataset, seed=seed)).objective.networks["network"]
        for seed in (1, 1, 2)
    )

    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [network.state_dict()["head.weight"] for network in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_trial_says_how_it_does_beside_the_nearest_label(toytown_dataset: Path) -> None:
    job = completion.build_job(_request(toytown_dataset))
    assert job.validate is not None and job.sheet is not None

    network = job.objective.networks["network"]
    figures = job.validate(network)
    sheet = job.sheet(network)

    assert set(figures) == {
        "completed_mean_iou", "completed_pixel_accuracy", "nearest_mean_iou",
        "nearest_pixel_accuracy",
    }  # fmt: skip
    assert all(0 <= figure <= 1 for figure in figures.values())
    assert sheet.shape == (2 * 64 + 4, 4 * 128 + 3 * 4, 3)


def test_without_held_out_layouts_there_is_no_trial_but_a_sheet(toytown_dataset: Path) -> None:
    job = completion.build_job(_request(toytown_dataset, held_out=False))

    assert job.validate is None
    assert job.sheet is not None
    assert job.sheet(job.objective.networks["network"]).shape[0] == 4 * 64 + 3 * 4


def test_other_label_files_are_other_data(toytown_dataset: Path) -> None:
    request = _request(toytown_dataset)

    fewer = completion.build_job(replace(request, training=request.training[:3]))

    assert fewer.data["sha256"] != completion.build_job(request).data["sha256"]


def test_a_missing_label_map_is_named(toytown_dataset: Path, tmp_path: Path) -> None:
    request = _request(toytown_dataset)
    gone = replace(request.training[0], label_path=tmp_path / "gone.png")

    with pytest.raises(DatasetError, match=r"gone\.png is missing, expected beside .*; add it"):
        completion.build_job(replace(request, training=[gone]))


def test_what_was_trained_completes_layouts(trained: Path, toytown_dataset: Path) -> None:
    reader = open_dataset(toytown_dataset)
    layout = reader.read(reader.entries("val")[0]).layout
    coarse = simulate_coarse(layout, CoarseSettings(), np.random.default_rng(0))

    completer = completion.restore_completer(read_checkpoint(trained))
    completed = completer.complete(coarse)

    assert completer.height_px == 32
    assert completer.taxonomy == reader.taxonomy
    assert (completed.layout.label_map < len(reader.taxonomy)).all()


def test_a_network_comes_back_as_it_was_written(trained: Path) -> None:
    checkpoint = read_checkpoint(trained)

    network = completion.restore(checkpoint)

    assert isinstance(network, CompletionNet) and not network.training
    assert network.settings == TABLES["network"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, checkpoint.state[name])


def test_weights_of_another_network_are_refused(trained: Path) -> None:
    with pytest.raises(CheckpointError, match="are of the network 'cgnet', expected 'completion'"):
        completion.restore(_changed(trained, network="cgnet"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taxonomy": None}, "its card names no classes"),
        ({"settings": {}}, r"do not fit the network that their card names \('network'\)"),
        ({"settings": {"network": {"modules": 5}}}, "do not fit the network that their card names"),
    ],
)
def test_a_card_that_does_not_fit_its_weights_is_refused(
    trained: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        completion.restore(_changed(trained, **change))


def test_a_card_without_a_height_is_refused(trained: Path) -> None:
    with pytest.raises(CheckpointError, match="has height_px None, expected the height in pixels"):
        completion.restore_completer(_changed(trained, preprocessing={}))


@pytest.mark.parametrize("name", ["completion", "completion-small"])
def test_settings_that_come_with_the_program_are_read(name: str) -> None:
    tables = read_tables(find_config(name), {"training": TrainingSettings, **completion.SETTINGS})

    assert tables["network"].modules == 7
    assert tables["network"].start == ("nearest" if name == "completion-small" else "nothing")
