"""The jobs of the generators: built for every one of them; trained, broken off, restored with one."""

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.synthesis.photograph_samples import PhotographSampleSettings
from scenequilt.synthesis.registry import BASELINES
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.checkpoint import (
    CheckpointCard,
    halved,
    read_checkpoint,
    write_checkpoint,
)
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.jobs.generator import GeneratorPhotographs, generator_job
from scenequilt.tools.training.log import read_log
from scenequilt.tools.training.outputs import log_path
from scenequilt.tools.training.registry import GENERATOR_TITLES, JOBS
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.start import StartSettings
from scenequilt.tools.training.trainer import TrainingSettings, train_job

TINY: dict[str, dict[str, Any]] = {
    "crn": {"modules": 4, "width": 1 / 256},
    "pi_rec": {"width": 1 / 16},
    "pix2pix": {"levels": 5, "width": 1 / 16},
    "pix2pixhd": {"width": 1 / 16},
    "spade": {"width": 1 / 16},
}
SAMPLES = PhotographSampleSettings(crop_hw=(32, 64))
TRAINING = TrainingSettings(
    total_steps=6, batch_size=2, seed=1, rate=1e-3, average_decay=0.5, log_every=1, save_every=2
)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of toytown at 64x128, one of them in val."""
    folder = tmp_path_factory.mktemp("towns") / "town"
    write_dataset(folder, count=6, size_hw=(64, 128), seed=3)
    return folder


def request(name: str, town: Path, *, held_out: bool = True, **changes: Any) -> TrainingRequest:  # noqa: ANN401
    job = generator_job(name)
    reader = open_dataset(town)
    given = TrainingRequest(
        reader=reader,
        training=reader.entries("train")[:4],
        held_out=reader.entries("val")[:1] if held_out else [],
        origin={"dataset": "town"},
        tables={
            "network": job.SETTINGS["network"](**TINY[name]),
            "samples": SAMPLES,
            "loss": job.SETTINGS["loss"](),
            "start": StartSettings(),
        },
        batch_size=2,
        seed=1,
    )
    return replace(given, **changes)


def built(name: str, town: Path, **changes: Any) -> TrainingJob[Any]:  # noqa: ANN401
    return generator_job(name).build_job(request(name, town, **changes))


every_generator = pytest.mark.parametrize("name", sorted(BASELINES))


def test_every_generator_is_a_job_with_a_title() -> None:
    assert GENERATOR_TITLES.keys() == BASELINES.keys() == TINY.keys()
    assert BASELINES.keys() <= JOBS.keys()


@every_generator
@pytest.mark.parametrize("suffix", ["", "-small"])
def test_its_settings_can_be_read(name: str, suffix: str) -> None:
    job = generator_job(name)

    tables = read_tables(
        find_config(name + suffix), {"training": TrainingSettings, **job.SETTINGS}, []
    )

    assert isinstance(tables["network"], job.SETTINGS["network"])


@every_generator
def test_a_step_changes_the_weights_and_every_loss_is_a_number(
    name: str, town: Path, tmp_path: Path
) -> None:
    job = built(name, town)
    before = {
        key: value.clone()
        for key, value in job.objective.networks["generator"].state_dict().items()
    }

    trained = train_job(job, replace(TRAINING, total_steps=2), tmp_path / "net.safetensors")

    log = read_log(log_path(tmp_path / "net.safetensors"))
    assert all(np.isfinite(list(row["losses"].values())).all() for row in log if "losses" in row)
    after, rounded = trained.network.state_dict(), halved(before)
    assert any(not after[key].equal(rounded[key].to(after[key])) for key in before)


@every_generator
def test_what_was_trained_is_restored_with_its_classes(
    name: str, town: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.safetensors"
    trained = train_job(built(name, town), replace(TRAINING, total_steps=1), out)

    network = generator_job(name).restore(read_checkpoint(out))

    assert not network.training
    for key, value in trained.network.state_dict().items():
        assert network.state_dict()[key].equal(value), key


@every_generator
def test_a_run_that_is_gone_on_with_ends_in_the_same_weights(
    name: str, town: Path, tmp_path: Path
) -> None:
    whole = train_job(
        built(name, town), replace(TRAINING, total_steps=4), tmp_path / "a.safetensors"
    )
    out = tmp_path / "b.safetensors"

    def interrupt(done: int, _total: int) -> None:
        if done == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_job(built(name, town), replace(TRAINING, total_steps=4), out, progress=interrupt)
    resumed = train_job(built(name, town), replace(TRAINING, total_steps=4), out, resume=True)

    for key, value in whole.network.state_dict().items():
        assert resumed.network.state_dict()[key].equal(value), key


@every_generator
def test_a_trial_and_a_sheet_are_of_what_is_held_out(name: str, town: Path) -> None:
    job = built(name, town)
    assert job.validate is not None and job.sheet is not None

    network = job.objective.networks["generator"].eval()

    assert 0 < job.validate(network)["image"] < 1
    assert job.sheet(network).shape == (32, 3 * 64, 3)


def test_a_pix2pixhd_with_an_encoder_ends_with_the_styles_of_its_photographs(
    town: Path, tmp_path: Path
) -> None:
    asked = request("pix2pixhd", town)
    network = generator_job("pix2pixhd").SETTINGS["network"](**TINY["pix2pixhd"], features=3)
    job = generator_job("pix2pixhd").build_job(
        replace(asked, tables={**asked.tables, "network": network})
    )

    train_job(job, replace(TRAINING, total_steps=1), tmp_path / "net.safetensors")

    state = read_checkpoint(tmp_path / "net.safetensors").state
    shown = [int(count) > 0 for count in state["style_counts"]]
    reader = open_dataset(town)
    present = np.unique(
        np.concatenate([reader.read(entry).layout.label_map.ravel() for entry in asked.training])
    )
    assert all(shown[class_id] for class_id in present if class_id < len(reader.taxonomy))
    assert state["style_centers"].abs().max() > 0


def test_a_pi_rec_of_photographs_is_tried_with_their_lines_and_colours(town: Path) -> None:
    asked = request("pi_rec", town)
    network = generator_job("pi_rec").SETTINGS["network"](**TINY["pi_rec"], source="photograph")

    job = generator_job("pi_rec").build_job(
        replace(asked, tables={**asked.tables, "network": network})
    )

    assert job.validate is not None and job.sheet is not None
    trained = job.objective.networks["generator"].eval()
    assert 0 < job.validate(trained)["image"] < 1
    assert job.sheet(trained).shape == (32, 3 * 64, 3)


def test_without_held_out_photographs_there_is_no_trial_but_a_sheet(town: Path) -> None:
    job = built("crn", town, held_out=False)

    assert job.validate is None
    assert job.sheet is not None
    assert job.sheet(job.objective.networks["generator"].eval()).shape == (4 * 32, 3 * 64, 3)


def test_the_card_says_what_it_learnt_from(town: Path) -> None:
    job = built("crn", town)

    assert job.data["dataset"] == "town" and job.data["photographs"] == 4
    assert job.preprocessing == {"range": [0, 1], "size_hw": [32, 64]}
    assert job.settings["classifier"] is None
    other = built("crn", town, training=open_dataset(town).entries("train")[:3])
    assert other.data["sha256"] != job.data["sha256"]


def test_same_seed_same_first_weights_and_nobodys_dice_are_thrown(town: Path) -> None:
    before = torch.random.get_rng_state()

    first, again, other = (
        built("spade", town, seed=seed).objective.networks["generator"].state_dict()
        for seed in (1, 1, 2)
    )

    assert torch.random.get_rng_state().equal(before)
    assert all(first[key].equal(again[key]) for key in first)
    assert any(not first[key].equal(other[key]) for key in first)


def test_weights_to_start_from_are_taken_over(town: Path, tmp_path: Path) -> None:
    out = tmp_path / "first.safetensors"
    trained = train_job(built("pix2pix", town), replace(TRAINING, total_steps=1), out)
    asked = request("pix2pix", town)
    tables = {**asked.tables, "start": StartSettings(weights=str(out))}

    job = generator_job("pix2pix").build_job(replace(asked, tables=tables))

    state = job.objective.networks["generator"].state_dict()
    assert all(state[key].equal(value) for key, value in trained.network.state_dict().items())


def test_weights_of_other_classes_are_refused(town: Path, tmp_path: Path) -> None:
    out = tmp_path / "first.safetensors"
    train_job(built("pix2pix", town), replace(TRAINING, total_steps=1), out)
    found = read_checkpoint(out)
    assert found.card.taxonomy is not None
    taxonomy = json.loads(json.dumps(found.card.taxonomy).replace('"road"', '"canal"'))
    write_checkpoint(out, found.state, replace(found.card, taxonomy=taxonomy))
    asked = request("pix2pix", town)
    tables = {**asked.tables, "start": StartSettings(weights=str(out))}

    with pytest.raises(CheckpointError, match="classes sky, building, canal.*this network is on"):
        generator_job("pix2pix").build_job(replace(asked, tables=tables))


def test_weights_of_another_kind_are_refused(town: Path, tmp_path: Path) -> None:
    out = tmp_path / "first.safetensors"
    train_job(built("crn", town), replace(TRAINING, total_steps=1), out)
    asked = request("pix2pix", town)
    tables = {**asked.tables, "start": StartSettings(weights=str(out))}

    with pytest.raises(CheckpointError, match="none of its tensors fits this network"):
        generator_job("pix2pix").build_job(replace(asked, tables=tables))
    with pytest.raises(CheckpointError, match="of the network 'crn', expected 'pix2pix'"):
        generator_job("pix2pix").restore(read_checkpoint(out))


def test_a_damaged_card_is_refused(tmp_path: Path) -> None:
    card = CheckpointCard(
        network="crn",
        settings={},
        taxonomy=None,
        preprocessing={},
        data={},
        training={},
        program="",
    )
    write_checkpoint(tmp_path / "net.safetensors", {"a": torch.zeros(1)}, card)

    with pytest.raises(CheckpointError, match="do not fit the network that their card names"):
        generator_job("crn").restore(read_checkpoint(tmp_path / "net.safetensors"))


def test_an_unknown_generator_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no generator 'dalle'; there are crn, "):
        generator_job("dalle")


def test_photographs_are_read_once_and_not_sent_to_workers(town: Path) -> None:
    reader = open_dataset(town)
    photographs = GeneratorPhotographs(reader, reader.entries("train"))

    first = photographs.read(0)

    assert photographs.read(0)[0] is first[0]
    assert photographs.__getstate__()["_kept"] == {}
    assert first[1].instance_map.any()


def test_photographs_beyond_the_room_are_read_again(town: Path) -> None:
    reader = open_dataset(town)
    photographs = GeneratorPhotographs(reader, reader.entries("train"), limit_bytes=1000)

    first, again = photographs.read(0), photographs.read(0)

    assert first[0] is not again[0] and (first[0] == again[0]).all()
    assert photographs.unread_bytes == 1000
