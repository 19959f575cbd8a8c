"""Training a segmenter as a whole, on four small pictures."""

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.tools.evaluation.segmenter import load_segmenter
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.checkpoint import (
    Checkpoint,
    CheckpointCard,
    read_checkpoint,
    write_checkpoint,
)
from scenequilt.tools.training.jobs.segmenter import PieceSettings, restore
from scenequilt.tools.training.log import read_log
from scenequilt.tools.training.outputs import log_path, state_path, unfinished_steps
from scenequilt.tools.training.segmenter import (
    SegmenterSettings,
    TrainedSegmenter,
    plan_training,
    train_segmenter,
)
from scenequilt.tools.training.segmenter_samples import InMemorySamples
from scenequilt.tools.training.trainer import TrainingSettings

SETTINGS = SegmenterSettings(total_steps=20, batch_size=2, crop_hw=(32, 40), seed=1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained")


@pytest.fixture(scope="session")
def trained(pictures: InMemorySamples, taxonomy: Taxonomy, folder: Path) -> TrainedSegmenter:
    """Trained without a break; its file is a.safetensors in folder."""
    return train_segmenter(
        pictures,
        taxonomy,
        folder / "a.safetensors",
        settings=SETTINGS,
        validation=pictures,
        origin={"dataset": "four pictures"},
        log_every=4,
        validate_every=10,
    )


def break_off(
    pictures: InMemorySamples,
    taxonomy: Taxonomy,
    out: Path,
    *,
    after: int,
) -> None:
    """Train, and press Ctrl-C during a step, the second or a later one."""

    def interrupt(done: int, total: int) -> None:
        if done == after - 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_segmenter(pictures, taxonomy, out, settings=SETTINGS, progress=interrupt)


def test_the_loss_falls(trained: TrainedSegmenter, folder: Path) -> None:
    lines = read_log(log_path(folder / "a.safetensors"))

    losses = [line["figures"]["cross_entropy"] for line in lines if "figures" in line]
    assert len(losses) == 5
    assert losses[-1] < 0.5 * losses[0]


def test_it_is_tried_as_often_as_asked_for_and_at_the_end(
    trained: TrainedSegmenter, folder: Path
) -> None:
    lines = read_log(log_path(folder / "a.safetensors"))

    assert [line["step"] for line in lines if "validation" in line] == [10, 20]
    assert trained.validation is not None
    assert lines[-1]["validation"]["mean_iou"]["value"] == trained.validation.mean_iou.value


def test_it_learns_the_colors_of_one_picture(pictures: InMemorySamples, taxonomy: Taxonomy) -> None:
    image, label_map = pictures.read(0)
    settings = SegmenterSettings(
        total_steps=30,
        batch_size=2,
        crop_hw=(48, 64),
        scale_range=(1, 1),
        color_jitter=0,
        average_decay=0,
    )

    segmenter = train_segmenter(
        InMemorySamples([image], [label_map]), taxonomy, None, settings=settings
    )

    seen = segmenter.predict(image[None])[0]
    labelled = label_map != VOID
    assert (seen[labelled] == label_map[labelled]).mean() > 0.9


def test_the_file_says_what_it_is_and_predicts_the_same(
    trained: TrainedSegmenter, pictures: InMemorySamples, taxonomy: Taxonomy, folder: Path
) -> None:
    read = load_segmenter(folder / "a.safetensors", taxonomy)

    images = np.stack([pictures.read(place)[0] for place in range(4)])
    np.testing.assert_array_equal(read.predict(images), trained.predict(images))
    assert (read.name, read.network, read.classes) == ("a", "cgnet", 3)
    assert (trained.name, trained.network, trained.classes) == ("a", "cgnet", 3)
    assert read.sha256 == trained.sha256
    assert trained.card.data["dataset"] == "four pictures"
    assert trained.card.data["photographs"] == 4
    assert trained.card.settings["samples"]["crop_hw"] == [32, 40]
    assert (folder / "a.safetensors").stat().st_size < 1.2 * 2**20
    assert not state_path(folder / "a.safetensors").exists()


def test_a_run_that_was_broken_off_ends_in_the_same_bytes(
    trained: TrainedSegmenter, pictures: InMemorySamples, taxonomy: Taxonomy, folder: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    out = tmp_path / "b.safetensors"
    break_off(pictures, taxonomy, out, after=7)
    assert unfinished_steps(out) == 7
    assert not out.exists()

    train_segmenter(
        pictures,
        taxonomy,
        out,
        settings=SETTINGS,
        validation=pictures,
        origin={"dataset": "four pictures"},
        log_every=4,
        resume=True,
    )

    assert out.read_bytes() == (folder / "a.safetensors").read_bytes()
    steps = [line["step"] for line in read_log(log_path(out)) if "figures" in line]
    assert steps[-4:] == [8, 12, 16, 20]


def test_another_seed_gives_other_weights(pictures: InMemorySamples, taxonomy: Taxonomy) -> None:
    one, two, other = (
        train_segmenter(
            pictures, taxonomy, None, settings=replace(SETTINGS, total_steps=2, seed=seed)
        )
        for seed in (1, 1, 2)
    )

    assert one.sha256 == two.sha256
    assert one.sha256 != other.sha256


def test_only_the_same_run_is_gone_on_with(
    pictures: InMemorySamples, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"
    break_off(pictures, taxonomy, out, after=2)
    image, label_map = pictures.read(0)
    fewer = InMemorySamples([image], [label_map])
    others = Taxonomy("three", (*taxonomy.classes[:2], ClassInfo(9, "bus", (1, 2, 3), "thing")))
    faster = replace(SETTINGS, rate=0.5)

    with pytest.raises(
        CheckpointError, match=r"with training\.rate 0\.002, now it is 0\.5; go on with"
    ):
        train_segmenter(pictures, taxonomy, out, settings=faster, resume=True)
    with pytest.raises(CheckpointError, match="other classes than these"):
        train_segmenter(pictures, others, out, settings=SETTINGS, resume=True)
    with pytest.raises(CheckpointError, match="trained on 4 photographs, these are 1 and not the"):
        train_segmenter(fewer, taxonomy, out, settings=SETTINGS, resume=True)


def test_the_state_of_another_network_is_not_gone_on_with(
    pictures: InMemorySamples, taxonomy: Taxonomy, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"
    card = CheckpointCard(
        network="aligner in training",
        settings={},
        taxonomy=None,
        preprocessing={},
        data={},
        training={"steps": 3},
        program="",
    )
    write_checkpoint(state_path(out), {"weight": torch.ones(1)}, card)

    with pytest.raises(CheckpointError, match="holds 'aligner in training', expected 'cgnet in"):
        train_segmenter(pictures, taxonomy, out, settings=SETTINGS, resume=True)


def test_going_on_needs_a_file(pictures: InMemorySamples, taxonomy: Taxonomy) -> None:
    with pytest.raises(ValueError, match="resume needs out"):
        train_segmenter(pictures, taxonomy, None, settings=SETTINGS, resume=True)


def test_what_cannot_be_trained_is_refused_before_the_first_step(
    pictures: InMemorySamples, taxonomy: Taxonomy
) -> None:
    nothing = InMemorySamples([], [])
    large = replace(SETTINGS, crop_hw=(64, 64))

    with pytest.raises(ValueError, match="no photographs to train on"):
        train_segmenter(nothing, taxonomy, None, settings=SETTINGS)
    with pytest.raises(ValueError, match="no photographs to validate on, expected at least 1"):
        train_segmenter(pictures, taxonomy, None, settings=SETTINGS, validation=nothing)
    with pytest.raises(ValueError, match=r"crop 64x64 is larger than most .* are 48x64 \(height"):
        train_segmenter(pictures, taxonomy, None, settings=large)
    with pytest.raises(ValueError, match="device 'abacus' cannot be used: .*; try cpu"):
        train_segmenter(pictures, taxonomy, None, settings=SETTINGS, device="abacus")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"total_steps": 0}, "total_steps must be at least 1, got 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"color_jitter": -0.5}, "color_jitter must be at least 0, got -0.5"),
        ({"average_decay": 1.0}, r"average_decay must be in \[0, 1\), got 1.0"),
        ({"rate": 0.0}, "rate must be more than 0, got 0.0"),
        ({"scale_range": (1.5, 1.0)}, r"scale_range must be .*, got \(1.5, 1.0\)"),
        ({"crop_hw": (32, 16)}, r"crop_hw must be at least 32 pixels on a side, got \(32, 16\)"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **change)  # type: ignore[arg-type]


def test_a_plan_says_what_there_is_and_takes_no_file(
    pictures: InMemorySamples, taxonomy: Taxonomy
) -> None:
    settings = SegmenterSettings(total_steps=50, batch_size=1)

    plan = plan_training(pictures, taxonomy, settings=settings, validation=pictures, steps_done=20)

    table = plan.as_json()
    assert plan.job_settings["samples"]["crop_hw"] == [32, 40], "two thirds of 48x64, in eights"
    assert (table["photographs"], table["validation_photographs"]) == (4, 4)
    assert plan.seconds == 30 * plan.seconds_a_step > 0
    assert plan.memory_bytes > 0
    # CGNet's table 1 has half a million.
    assert 480_000 < table["parameters"] < 500_000
    assert table["class_pixels"].keys() == {"sky", "road", "car"}


def test_the_settings_that_come_with_the_program_are_the_defaults() -> None:
    tables = read_tables(
        find_config("segmenter"), {"training": TrainingSettings, "samples": PieceSettings}
    )

    assert tables == {
        "training": SegmenterSettings().training(),
        "samples": SegmenterSettings().pieces(),
    }


def test_a_network_is_restored_from_its_file(trained: TrainedSegmenter, folder: Path) -> None:
    network = restore(read_checkpoint(folder / "a.safetensors"))

    assert not network.training
    assert all(
        torch.equal(trained.state[name], value) for name, value in network.state_dict().items()
    )


def test_the_weights_that_come_with_the_program_are_restored() -> None:
    shipped = Path(__file__).parents[3] / "docs" / "weights" / "camvid-street.safetensors"

    network = restore(read_checkpoint(shipped))

    assert sum(each.numel() for each in network.parameters()) > 480_000


def test_other_weights_are_not_restored(trained: TrainedSegmenter) -> None:
    other = Checkpoint({}, replace(trained.card, network="aligner"))
    damaged = Checkpoint({}, trained.card)

    with pytest.raises(CheckpointError, match="holds 'aligner', expected 'cgnet'"):
        restore(other)
    with pytest.raises(
        CheckpointError, match="the weights do not fit cgnet: .*Missing key.*train it again"
    ):
        restore(damaged)
