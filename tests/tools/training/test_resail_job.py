"""The job of the retrieval-guided generator: trained, broken off, gone on with, restored."""

import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.synthesis.canvas_set import CanvasSet, CanvasSetWriter
from scenequilt.synthesis.resail import (
    PRESETS,
    ResailGenerator,
    ResailLossSettings,
    ResailSettings,
)
from scenequilt.synthesis.samples import CanvasSampleSettings
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training import loss_network
from scenequilt.tools.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.jobs.resail import SETTINGS, build_job, restore
from scenequilt.tools.training.jobs.synthesis import (
    PictureSettings,
    finished,
)
from scenequilt.tools.training.log import read_log
from scenequilt.tools.training.outputs import log_path, sheet_path, state_path
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.start import StartSettings
from scenequilt.tools.training.trainer import TrainingSettings, train_job

TINY = ResailSettings(channels=(8, 8, 4), hidden=(4, 4, 4), encoder=(6, 4, 4))
LOSS = ResailLossSettings(image=10, regression=3, discriminator_width=0.02)
TRAINING = TrainingSettings(
    total_steps=6, batch_size=2, seed=1, rate=4e-3, betas=(0.0, 0.9), average_decay=0.5, log_every=1
)
ELISION = {"inner_band": 0.0125, "inner_ratio": [0.4, 0.8], "outer_band": 0.025, "overhang": 0.125}
HELD_OUT = 3


@pytest.fixture(scope="module")
def canvases(taxonomy: Taxonomy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four canvases of 36x48, the last one held out: smooth pictures, 30 levels too dark."""
    path = tmp_path_factory.mktemp("canvases") / "canvases.h5"
    rng = np.random.default_rng(0)
    making = {"variants": 1, "stencil": {"elision": ELISION}}
    with CanvasSetWriter(path, taxonomy, settings=making, bank_fingerprint="f" * 64) as writer:
        for number in range(4):
            rows, columns = np.mgrid[:36, :48]
            image = np.stack([60 + 4 * rows, 60 + 3 * columns, np.full_like(rows, 90)], axis=-1)
            labels = np.where(rows < 10 + 3 * number, 0, 1).astype(np.uint8)
            labels[15:25, 5 * number : 5 * number + 9] = 2
            coverage = rng.random((36, 48)) < 0.9
            color = (image - 30) * coverage[..., None]
            writer.add_photograph(
                f"street_{number}", image.astype(np.uint8), labels, held_out=number == HELD_OUT
            )
            elided = (rng.random((36, 48)) < 0.1) & coverage
            writer.add_canvas(color.astype(np.uint8), coverage, elided)
    return path


def _request(canvases: Path | None, **tables: object) -> TrainingRequest:
    settings = {
        "network": TINY,
        "samples": CanvasSampleSettings(crop_hw=(32, 40)),
        "loss": LOSS,
        "start": StartSettings(),
        "pictures": PictureSettings(),
    }
    return TrainingRequest(canvases=canvases, tables=settings | tables, batch_size=2, seed=1)


@pytest.fixture
def tiny_classifier(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of weights that is read as VGG-16 with 2 channels everywhere."""

    def read(path: Path, *, short_side: int | None) -> SimpleNamespace:
        draw = torch.Generator().manual_seed(0)
        shapes = [(2, 3), *[(2, 2)] * 12]
        weights = [
            (torch.randn(*each, 3, 3, generator=draw) / 2, torch.zeros(2)) for each in shapes
        ]
        return SimpleNamespace(convolutions=tuple(weights))

    monkeypatch.setattr(loss_network, "read_perceptual", read)
    return Path("vgg.npz")


def _job(canvases: Path, features: Path | None = None, **tables: object) -> TrainingJob[Any]:
    return build_job(replace(_request(canvases, **tables), features=features))


def test_the_loss_falls_and_the_card_says_what_it_is(canvases: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"

    trained = train_job(_job(canvases), replace(TRAINING, total_steps=25), out)

    lines = [line["figures"] for line in read_log(log_path(out)) if "figures" in line]
    losses = [figures["generator/image"] for figures in lines]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])
    assert {"discriminator/hinge", "generator/gate"} <= lines[0].keys()
    assert "generator/adversarial" not in lines[2]
    assert "generator/adversarial" in lines[3]
    card = read_checkpoint(out).card
    assert card.network == "resail"
    assert card.settings["network"] == {
        "channels": [8, 8, 4], "hidden": [4, 4, 4], "encoder": [6, 4, 4], "norm": "group",
    }  # fmt: skip
    assert card.settings["loss"]["empty"] == 0.1
    assert card.preprocessing == {"range": [0, 1], "elision": ELISION}
    assert card.data["sha256"] == CanvasSet(canvases).sha256
    assert card.settings["classifier"] is None
    assert trained.validation is not None
    assert trained.validation.keys() == {"image", "image_where_made"}


def test_a_run_that_was_broken_off_ends_in_the_same_bytes(
    canvases: Path, tmp_path: Path, tiny_classifier: Path
) -> None:
    """Broken off in the regression, whose length is counted."""
    unbroken, broken = tmp_path / "unbroken.safetensors", tmp_path / "broken.safetensors"

    def interrupt(done: int, total: int) -> None:
        if done == 1:
            signal.raise_signal(signal.SIGINT)

    train_job(_job(canvases, tiny_classifier), TRAINING, unbroken, tell_run=False)
    with pytest.raises(KeyboardInterrupt):
        train_job(_job(canvases, tiny_classifier), TRAINING, broken, progress=interrupt)
    state = read_checkpoint(state_path(broken)).state
    job = _job(canvases, tiny_classifier)
    train_job(job, TRAINING, broken, resume=True, tell_run=False)

    assert state["buffer.batches"] == 2
    assert int(job.objective.buffers["batches"]) == 6
    assert broken.read_bytes() == unbroken.read_bytes()


def test_bfloat16_trains_too(canvases: Path, tiny_classifier: Path) -> None:
    settings = replace(TRAINING, precision="bf16", total_steps=5)

    trained = train_job(_job(canvases, tiny_classifier), settings, None)

    state = trained.network.state_dict()
    assert all(value.isfinite().all() for value in state.values())
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_first_weights_come_from_the_seed_alone(canvases: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    states = [
        {
            f"{part}.{name}": value
            for part, network in build_job(
                replace(_request(canvases), seed=seed)
            ).objective.networks.items()
            for name, value in network.state_dict().items()
        }
        for seed in (1, 1, 2)
    ]

    assert torch.equal(torch.rand(1), expected), "the global generator is where it was"
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    for weight in ("generator.start.weight", "discriminator.scales.0.stages.0.0.weight"):
        assert not torch.equal(states[0][weight], states[2][weight])


def test_what_is_restored_paints_what_was_trained(canvases: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    trained = train_job(_job(canvases), TRAINING, out).network
    pair = CanvasSet(canvases).read(0)

    restored = restore(read_checkpoint(out))

    assert not restored.training
    assert isinstance(trained, ResailGenerator)
    assert np.array_equal(finished(restored, pair), finished(trained, pair))


def test_the_trial_and_the_sheet_are_of_what_is_held_out(
    canvases: Path, tmp_path: Path, tiny_classifier: Path, taxonomy: Taxonomy
) -> None:
    out = tmp_path / "a.safetensors"
    job = _job(canvases, tiny_classifier)
    network = job.objective.networks["generator"].eval()
    assert isinstance(network, ResailGenerator)
    assert job.validate is not None
    assert job.sheet is not None

    figures, sheet = job.validate(network), job.sheet(network)
    train_job(_job(canvases), replace(TRAINING, total_steps=2, sheet_every=2), out)

    pair = CanvasSet(canvases).read(HELD_OUT)
    made = finished(network, pair)
    apart = np.abs(made.astype(float) - pair.image).mean(axis=2) / 255
    assert figures["image"] == pytest.approx(apart.mean())
    assert figures["image_where_made"] == pytest.approx(apart[~pair.coverage | pair.elided].mean())
    assert {f"conv{block}_2" for block in range(1, 6)} < figures.keys()
    assert job.settings["classifier"] == "vgg16"
    assert sheet.shape == (36, 4 * 48, 3)
    assert np.array_equal(sheet[:, :48], taxonomy.palette[pair.label_map])
    assert np.array_equal(sheet[:, 96:144], made)
    assert sheet_path(out, 2).is_file()


def test_it_starts_from_weights_of_its_kind(canvases: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    train_job(_job(canvases), replace(TRAINING, total_steps=1), out)

    job = _job(canvases, start=StartSettings(weights=str(out)))

    found = job.objective.networks["generator"].state_dict()
    for name, value in read_checkpoint(out).state.items():
        assert torch.equal(found[name], value)


def test_weights_of_which_nothing_fits_are_refused(canvases: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    train_job(_job(canvases), replace(TRAINING, total_steps=1), out)
    checkpoint = read_checkpoint(out)
    others = {f"other.{name}": value for name, value in checkpoint.state.items()}
    write_checkpoint(out, others, checkpoint.card)

    with pytest.raises(CheckpointError, match=r"a\.safetensors: none of its tensors fits this net"):
        _job(canvases, start=StartSettings(weights=str(out)))


def test_pictures_may_be_elided_otherwise_than_canvases(canvases: Path) -> None:
    job = _job(canvases, pictures=PictureSettings(inner_ratio=(0.1, 0.2)))

    assert job.preprocessing["elision"] == ELISION | {"inner_ratio": [0.1, 0.2]}


def test_without_canvases_it_says_how_to_make_them() -> None:
    with pytest.raises(ValueError, match="simulated canvases; make them with: scenequilt canvases"):
        build_job(_request(None))


def test_canvases_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.h5 does not exist"):
        build_job(_request(tmp_path / "none.h5"))


def test_a_regression_without_a_loss_is_refused(canvases: Path) -> None:
    with pytest.raises(ValueError, match="regression is 3, but nothing is compared in those"):
        _job(canvases, loss=replace(LOSS, image=0))


def test_weights_of_another_network_are_refused(canvases: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    train_job(_job(canvases), replace(TRAINING, total_steps=1), out)
    checkpoint = read_checkpoint(out)
    other = replace(checkpoint, card=replace(checkpoint.card, network="sims_synthesis"))

    with pytest.raises(CheckpointError, match="network 'sims_synthesis', expected 'resail'; give"):
        restore(other)


def test_weights_that_are_not_those_of_their_card_are_refused(
    canvases: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"
    train_job(_job(canvases), replace(TRAINING, total_steps=1), out)
    checkpoint = read_checkpoint(out)
    cards = [
        replace(checkpoint.card, settings={**checkpoint.card.settings, "network": {}}),
        replace(checkpoint.card, settings={"network": {"depth": 3}}),
        replace(checkpoint.card, settings={}),
        replace(checkpoint.card, taxonomy=None),
    ]

    for card in cards:
        with pytest.raises(CheckpointError, match="do not fit the network that their card names"):
            restore(Checkpoint(checkpoint.state, card))


@pytest.mark.parametrize(("name", "preset"), [("resail", "published"), ("resail-small", "slim")])
def test_the_settings_that_come_with_the_program_can_be_read(name: str, preset: str) -> None:
    tables = read_tables(find_config(name), {"training": TrainingSettings, **SETTINGS})

    assert tables["network"] == PRESETS[preset]
    loss = tables["loss"]
    assert (loss.adversarial, loss.feature_matching, loss.perceptual) == (1, 10, 10)
    assert tables["training"].betas == (0, 0.9)
