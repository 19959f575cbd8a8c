"""The job of the synthesis network: trained, broken off, gone on with, restored."""

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
from scenequilt.synthesis.discriminator import FeatureDiscriminator
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.network import (
    CanvasGenerator,
    CanvasGeneratorSettings,
    fill_from_around,
    one_hot,
)
from scenequilt.synthesis.objective import SynthesisLossSettings
from scenequilt.synthesis.samples import CanvasSampleSettings, as_batch
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training import loss_network
from scenequilt.tools.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.jobs.synthesis import (
    SETTINGS,
    PictureSettings,
    build_job,
    finished,
    restore,
)
from scenequilt.tools.training.log import read_log
from scenequilt.tools.training.outputs import log_path, sheet_path, state_path
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.start import StartSettings
from scenequilt.tools.training.trainer import TrainingSettings, train_job

TINY = CanvasGeneratorSettings(width=0.01)
TRAINING = TrainingSettings(
    total_steps=8, batch_size=2, seed=1, rate=5e-3, average_decay=0.5, log_every=1
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
        "loss": SynthesisLossSettings(balance_steps=3),
        "start": StartSettings(),
        "pictures": PictureSettings(),
    }
    return TrainingRequest(canvases=canvases, tables=settings | tables, batch_size=2, seed=1)


def _tiny_classifier(path: Path, *, short_side: int | None) -> SimpleNamespace:
    """Stand in for read_perceptual: VGG-16 with 2 channels everywhere."""
    draw = torch.Generator().manual_seed(0)
    shapes = [(2, 3), *[(2, 2)] * 12]
    weights = [(torch.randn(*each, 3, 3, generator=draw) / 2, torch.zeros(2)) for each in shapes]
    return SimpleNamespace(convolutions=tuple(weights))


@pytest.fixture
def tiny_classifier(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of weights that is read as a tiny classifier."""
    monkeypatch.setattr(loss_network, "read_perceptual", _tiny_classifier)
    monkeypatch.setattr(FeatureDiscriminator, "CHANNELS", (2, 2, 2, 2, 2))
    return Path("vgg.npz")


def _job(canvases: Path, features: Path | None = None, **tables: object) -> TrainingJob[Any]:
    return build_job(replace(_request(canvases, **tables), features=features))


def test_the_loss_falls_and_the_card_says_what_it_is(canvases: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"

    trained = train_job(_job(canvases), replace(TRAINING, total_steps=25), out)

    losses = [line["figures"]["image"] for line in read_log(log_path(out)) if "figures" in line]
    assert np.mean(losses[-3:]) < 0.6 * np.mean(losses[:3])
    card = read_checkpoint(out).card
    assert card.network == "sims_synthesis"
    assert card.settings["network"] == {
        "width": 0.01, "lines": 256, "elided_channel": True, "residual": True,
    }  # fmt: skip
    assert card.preprocessing == {"range": [0, 1], "elision": ELISION}
    assert card.data["canvases"] == card.data["photographs"] == 4
    assert card.data["bank"] == "f" * 64
    assert card.data["sha256"] == CanvasSet(canvases).sha256
    assert card.settings["classifier"] is None
    assert trained.validation is not None


@pytest.mark.parametrize("judge", [None, "patch", "features"])
def test_a_run_that_was_broken_off_ends_in_the_same_bytes(
    canvases: Path, tmp_path: Path, tiny_classifier: Path, judge: str | None
) -> None:
    """Broken off after 2 of the 3 steps over which the terms are balanced."""
    loss = SynthesisLossSettings(
        balance_steps=3,
        adversarial=0.5 if judge else 0,
        discriminator=judge or "patch",  # type: ignore[arg-type]
        discriminator_width=0.01,
    )
    unbroken, broken = tmp_path / "unbroken.safetensors", tmp_path / "broken.safetensors"

    def job() -> TrainingJob[Any]:
        return _job(canvases, tiny_classifier, loss=loss)

    def interrupt(done: int, total: int) -> None:
        if done == 1:
            signal.raise_signal(signal.SIGINT)

    train_job(job(), TRAINING, unbroken, tell_run=False)
    with pytest.raises(KeyboardInterrupt):
        train_job(job(), TRAINING, broken, progress=interrupt)
    state = read_checkpoint(state_path(broken)).state
    train_job(job(), TRAINING, broken, resume=True, tell_run=False)

    assert state["buffer.count"] == 2
    assert broken.read_bytes() == unbroken.read_bytes()


def test_two_batches_a_step_are_a_batch_of_twice_the_size(canvases: Path) -> None:
    whole = replace(_request(canvases), batch_size=2)
    halves = replace(whole, batch_size=1)
    settings = replace(TRAINING, total_steps=1, average_decay=0)
    # Pieces as they are: what else is drawn for a piece goes by the number of its batch.
    same = CanvasSampleSettings(crop_hw=(36, 48), mirror=False, light=0)

    ends = [
        train_job(
            build_job(replace(request, tables={**request.tables, "samples": same})),
            replace(settings, batch_size=request.batch_size, accumulate=accumulate),
            None,
        ).network.state_dict()
        for request, accumulate in ((whole, 1), (halves, 2))
    ]

    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, atol=2e-3, rtol=1e-2)


def test_first_weights_come_from_the_seed_alone(canvases: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    one, same, other = (
        build_job(replace(_request(canvases), seed=seed)).objective.networks["generator"]
        for seed in (1, 1, 2)
    )

    assert torch.equal(torch.rand(1), expected), "the global generator is where it was"
    weight = "encoder.0.0.weight"
    assert torch.equal(one.state_dict()[weight], same.state_dict()[weight])
    assert not torch.equal(one.state_dict()[weight], other.state_dict()[weight])


def test_what_is_restored_paints_what_was_trained(canvases: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    trained = train_job(_job(canvases), TRAINING, out).network
    pair = CanvasSet(canvases).read(0)

    restored = restore(read_checkpoint(out))

    assert not restored.training
    assert isinstance(trained, CanvasGenerator)
    assert np.array_equal(finished(restored, pair), finished(trained, pair))


def test_a_finished_canvas_is_what_the_network_makes_of_it(canvases: Path) -> None:
    network = CanvasGenerator(3, TINY).eval()
    pair = CanvasSet(canvases).read(1)

    picture = finished(network, pair)

    batch = as_batch([pair])
    made = network.generate(
        Conditions(
            one_hot(batch.label_map, 3),
            canvas=batch.canvas / 255,
            coverage=batch.coverage,
            elided=batch.elided,
        )
    )
    assert picture.dtype == np.uint8
    assert np.abs(made[0].permute(1, 2, 0).numpy() * 255 - picture).max() <= 0.5 + 1e-4


def test_the_trial_by_hand(canvases: Path) -> None:
    """A new network is the canvas, filled from around."""
    job = _job(canvases)
    assert job.validate is not None

    figures = job.validate(job.objective.networks["generator"])

    pair = CanvasSet(canvases).read(HELD_OUT)
    batch = as_batch([pair])
    start = fill_from_around(batch.canvas.float() / 255, batch.coverage & ~batch.elided)[0]
    made = np.rint(start.permute(1, 2, 0).numpy() * 255)
    apart = np.abs(made - pair.image).mean(axis=2) / 255
    gone = ~pair.coverage | pair.elided
    assert figures == {
        "image": pytest.approx(apart.mean(), rel=1e-3),
        "image_where_made": pytest.approx(apart[gone].mean(), rel=1e-3),
    }


def test_the_trial_tells_of_the_classifiers_terms_too(
    canvases: Path, tiny_classifier: Path
) -> None:
    job = _job(canvases, tiny_classifier)
    assert job.validate is not None

    figures = job.validate(job.objective.networks["generator"])

    terms = {f"conv{block}_2" for block in range(1, 6)}
    assert figures.keys() == {"image", "image_where_made", *terms}
    assert all(value > 0 for value in figures.values())
    assert job.settings["classifier"] == "vgg16"


def test_the_sheet_shows_layout_canvas_finish_and_photograph(
    canvases: Path, tmp_path: Path, taxonomy: Taxonomy
) -> None:
    out = tmp_path / "a.safetensors"
    job = _job(canvases)
    assert job.sheet is not None

    sheet = job.sheet(job.objective.networks["generator"])
    train_job(_job(canvases), replace(TRAINING, total_steps=2, sheet_every=2), out)

    pair = CanvasSet(canvases).read(HELD_OUT)
    canvas = np.where(pair.elided[..., None], 255, pair.canvas)
    assert sheet.shape == (36, 4 * 48, 3)
    for place, expected in ((0, taxonomy.palette[pair.label_map]), (1, canvas), (3, pair.image)):
        assert np.array_equal(sheet[:, 48 * place : 48 * (place + 1)], expected)
    assert sheet_path(out, 2).is_file()


def test_without_held_out_canvases_nothing_is_tried(
    canvases: Path, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    pair = CanvasSet(canvases).read(0)
    making = {"stencil": {"elision": ELISION}}
    with CanvasSetWriter(
        tmp_path / "a.h5", taxonomy, settings=making, bank_fingerprint=""
    ) as writer:
        writer.add_photograph("one", pair.image, pair.label_map, held_out=False)
        writer.add_canvas(pair.canvas, pair.coverage, pair.elided)

    job = _job(tmp_path / "a.h5")

    assert job.validate is None
    assert job.sheet is not None
    assert job.sheet(job.objective.networks["generator"]).shape == (36, 4 * 48, 3)


def test_canvases_of_several_sizes_fit_on_one_sheet(taxonomy: Taxonomy, tmp_path: Path) -> None:
    making = {"stencil": {"elision": ELISION}}
    path = tmp_path / "a.h5"
    with CanvasSetWriter(path, taxonomy, settings=making, bank_fingerprint="") as writer:
        for height, width in ((32, 40), (40, 36)):
            image, labels = np.full((height, width, 3), 90, np.uint8), np.zeros((height, width))
            everywhere = np.ones((height, width), np.bool_)
            writer.add_photograph("one", image, labels.astype(np.uint8), held_out=False)
            writer.add_canvas(image, everywhere, ~everywhere)
    job = _job(path, samples=CanvasSampleSettings(crop_hw=(32, 32)))
    assert job.sheet is not None

    sheet = job.sheet(job.objective.networks["generator"])

    assert sheet.shape == (32 + 40, 4 * 40, 3)
    assert not sheet[32:, 4 * 36 :].any()


def test_a_network_for_more_lines_starts_from_a_file(canvases: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    train_job(_job(canvases), replace(TRAINING, total_steps=1), out)

    larger = _job(
        canvases, network=replace(TINY, lines=512), start=StartSettings(weights=str(out))
    ).objective.networks["generator"]

    small, state = read_checkpoint(out).state, larger.state_dict()
    assert torch.equal(state["encoder.2.3.weight"], small["encoder.2.3.weight"])
    assert torch.equal(state["full_size.0.weight"], small["full_size.0.weight"])


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
    with pytest.raises(
        ValueError, match=r"inner_ratio must rise within \[0, 1\], got \(0.5, 0.1\)"
    ):
        PictureSettings(inner_ratio=(0.5, 0.1))


def test_without_canvases_it_says_how_to_make_them() -> None:
    with pytest.raises(ValueError, match="simulated canvases; make them with: scenequilt canvases"):
        build_job(_request(None))


def test_canvases_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.h5 does not exist"):
        build_job(_request(tmp_path / "none.h5"))


def test_a_classifier_of_another_kind_is_refused(
    canvases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def five(path: Path, *, short_side: int | None) -> SimpleNamespace:
        found = _tiny_classifier(path, short_side=short_side)
        return SimpleNamespace(convolutions=found.convolutions[:5])

    monkeypatch.setattr(loss_network, "read_perceptual", five)

    with pytest.raises(
        CheckpointError, match=r"alex\.npz: there are 5 convolutions.*give the weights of one of"
    ):
        _job(canvases, Path("alex.npz"))


def _checkpoint(canvases: Path, tmp_path: Path) -> Checkpoint:
    out = tmp_path / "a.safetensors"
    train_job(_job(canvases), replace(TRAINING, total_steps=1), out)
    return read_checkpoint(out)


def test_weights_of_another_network_are_refused(canvases: Path, tmp_path: Path) -> None:
    checkpoint = _checkpoint(canvases, tmp_path)
    other = replace(checkpoint, card=replace(checkpoint.card, network="cgnet"))

    with pytest.raises(CheckpointError, match="network 'cgnet', expected 'sims_synthesis'; give"):
        restore(other)


def test_weights_that_are_not_those_of_their_card_are_refused(
    canvases: Path, tmp_path: Path
) -> None:
    checkpoint = _checkpoint(canvases, tmp_path)
    wider = {**checkpoint.card.settings, "network": {"width": 0.05}}
    cards = [
        replace(checkpoint.card, settings=wider),
        replace(checkpoint.card, settings={"network": {"depth": 3}}),
        replace(checkpoint.card, settings={}),
        replace(checkpoint.card, taxonomy=None),
    ]

    for card in cards:
        with pytest.raises(CheckpointError, match="do not fit the network that their card names"):
            restore(Checkpoint(checkpoint.state, card))


@pytest.mark.parametrize("name", ["synthesis", "synthesis-small"])
def test_the_settings_that_come_with_the_program_can_be_read(name: str) -> None:
    tables = read_tables(find_config(name), {"training": TrainingSettings, **SETTINGS})

    if name == "synthesis":
        assert tables["network"] == CanvasGeneratorSettings.paper()
    assert isinstance(tables["loss"], SynthesisLossSettings)
