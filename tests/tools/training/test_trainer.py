"""Training a job as a whole, with networks that are linear."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.tools.training.checkpoint import read_checkpoint
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.log import read_log
from scenequilt.tools.training.memory import TrainingMemoryError
from scenequilt.tools.training.outputs import log_path, sheet_path, state_path, unfinished_steps
from scenequilt.tools.training.ranks import Ranks
from scenequilt.tools.training.trainer import TrainingSettings, train_job

Job = Callable[..., TrainingJob[Any]]

SETTINGS = TrainingSettings(
    total_steps=20, batch_size=4, seed=1, rate=0.05, average_decay=0.5, log_every=4
)


def break_off(job: TrainingJob[Any], out: Path, settings: TrainingSettings, *, after: int) -> None:
    """Train, and press Ctrl-C during a step, the second or a later one."""

    def interrupt(done: int, total: int) -> None:
        if done == after - 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train_job(job, settings, out, progress=interrupt)


def test_the_loss_falls_and_the_card_tells_of_the_run(toy_job: Job, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"

    trained = train_job(toy_job(), SETTINGS, out)

    losses = [line["figures"]["squared"] for line in read_log(log_path(out)) if "figures" in line]
    assert len(losses) == 5
    assert losses[-1] < 0.5 * losses[0]
    card = read_checkpoint(out).card
    assert card == trained.card
    assert card.settings["training"]["rate"] == 0.05
    assert card.settings["toy"] == {"noise": 0.0}
    assert card.training["steps"] == 20
    assert card.training["seconds"] > 0
    assert card.training["hardware"].endswith("1 threads")
    assert card.training["figures"]["squared"] == losses[-1]
    assert card.training["validation"] == trained.validation
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.log.jsonl", "a.safetensors"]


def test_what_is_returned_is_what_the_file_holds(toy_job: Job, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"

    trained = train_job(toy_job(), SETTINGS, out)

    state = read_checkpoint(out).state
    assert not trained.network.training
    assert all(torch.equal(state[k], value) for k, value in trained.network.state_dict().items())
    assert state["weight"].half().float().equal(state["weight"]), "in half precision"
    assert trained.validation == {"bias": pytest.approx(float(state["weight"].sum()))}


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_that_was_broken_off_ends_in_the_same_bytes(
    toy_job: Job, tmp_path: Path, pair: bool, accumulate: int
) -> None:
    unbroken, broken = tmp_path / "unbroken.safetensors", tmp_path / "broken.safetensors"
    settings = replace(SETTINGS, accumulate=accumulate, schedule="cosine", clip_norm=1.0)
    watched = replace(settings, validate_every=3, sheet_every=5, log_every=1)

    whole = train_job(toy_job(noise=0.2, pair=pair), watched, unbroken, tell_run=False)
    break_off(toy_job(noise=0.2, pair=pair), broken, settings, after=7)
    assert unfinished_steps(broken) == 7
    later = train_job(toy_job(noise=0.2, pair=pair), settings, broken, resume=True, tell_run=False)

    assert broken.read_bytes() == unbroken.read_bytes()
    assert whole.sha256 == later.sha256
    assert not state_path(broken).exists()
    steps = [line["step"] for line in read_log(log_path(broken)) if "figures" in line]
    assert steps == [4, 8, 12, 16, 20]


def test_going_on_takes_the_batches_that_are_left(toy_job: Job, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    settings = replace(SETTINGS, accumulate=2)
    break_off(toy_job(), out, settings, after=17)
    job = toy_job()

    train_job(job, settings, out, resume=True)

    assert job.batches.asked == [35, 36, 37, 38, 39, 40]  # type: ignore[attr-defined]


def test_the_seconds_before_a_break_are_counted(toy_job: Job, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    break_off(toy_job(), out, SETTINGS, after=3)
    before = read_checkpoint(state_path(out)).card.training["seconds"]

    trained = train_job(toy_job(), SETTINGS, out, resume=True)

    assert trained.seconds >= before


def test_sheets_and_trials_come_as_often_as_asked_for_and_at_the_end(
    toy_job: Job, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"

    train_job(toy_job(), replace(SETTINGS, validate_every=8, sheet_every=15), out)

    lines = read_log(log_path(out))
    assert [line["step"] for line in lines if "validation" in line] == [8, 16, 20]
    sheets = sorted(sheet_path(out, 0).parent.iterdir())
    assert sheets == [sheet_path(out, 15), sheet_path(out, 20)]


def test_tensorboard_and_the_log_hold_the_same(
    toy_job: Job, tmp_path: Path, read_board: Callable[[Path], Any]
) -> None:
    out = tmp_path / "a.safetensors"

    train_job(toy_job(), replace(SETTINGS, sheet_every=10), out, tensorboard=tmp_path / "board")

    board = read_board(tmp_path / "board")
    logged = {e["step"]: e["figures"]["squared"] for e in read_log(log_path(out))[:-1]}
    shown = {each.step: each.value for each in board.Scalars("training/squared")}
    assert shown == pytest.approx(logged, abs=1e-5)
    assert [each.step for each in board.Images("sheet")] == [10, 20]
    assert [each.step for each in board.Scalars("validation/bias")] == [20]


def test_without_a_file_nothing_is_written(
    toy_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    train_job(toy_job(), replace(SETTINGS, sheet_every=5), None)

    assert list(tmp_path.iterdir()) == []


def test_only_the_first_process_logs_and_writes(
    toy_job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ranks, "sum", lambda self, tensor: None)
    monkeypatch.setattr(Ranks, "share", lambda self, tensors: None)

    trained = train_job(toy_job(), SETTINGS, tmp_path / "a.safetensors", ranks=Ranks(1, 2))

    assert trained.validation is None
    assert list(tmp_path.iterdir()) == []


def test_only_the_same_run_is_gone_on_with(toy_job: Job, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    break_off(toy_job(), out, SETTINGS, after=2)
    faster, wider = replace(SETTINGS, rate=0.5), toy_job(settings={"width": 2})
    other_points = replace(toy_job(), data={"points": 9, "sha256": "1"})
    no_classes = replace(toy_job(), taxonomy=None)

    with pytest.raises(CheckpointError, match=r"training\.rate 0\.05, now it is 0\.5; go on with"):
        train_job(toy_job(), faster, out, resume=True)
    with pytest.raises(CheckpointError, match=r"with toy\.width None, now it is 2"):
        train_job(wider, SETTINGS, out, resume=True)
    with pytest.raises(CheckpointError, match="on 4 points, these are 9 and not the same"):
        train_job(other_points, SETTINGS, out, resume=True)
    with pytest.raises(CheckpointError, match="other classes than these"):
        train_job(no_classes, SETTINGS, out, resume=True)
    with pytest.raises(CheckpointError, match="holds 'toy in training', expected 'other in"):
        train_job(replace(toy_job(), network="other"), SETTINGS, out, resume=True)


def test_tuples_in_the_settings_of_a_job_are_no_other_settings(
    toy_job: Job, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"
    break_off(toy_job(settings={"size_hw": (4, 6)}), out, SETTINGS, after=2)

    trained = train_job(toy_job(settings={"size_hw": (4, 6)}), SETTINGS, out, resume=True)

    assert trained.card.settings["toy"]["size_hw"] == [4, 6]


def test_how_a_run_is_watched_may_change_when_it_is_gone_on_with(
    toy_job: Job, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"
    break_off(toy_job(), out, SETTINGS, after=2)

    train_job(toy_job(), replace(SETTINGS, log_every=3, save_every=5), out, resume=True)

    assert out.is_file()


def test_running_out_of_memory_is_advised_on_and_keeps_the_last_state(
    toy_job: Job, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"
    job = toy_job()
    whole = job.batches.batch

    def batch_of(number: int) -> object:
        if number == 6:
            raise MemoryError("Unable to allocate 3.00 GiB for an array")
        return whole(number)

    job.batches.batch = batch_of  # type: ignore[method-assign]
    with pytest.raises(TrainingMemoryError, match=r"3.00 GiB more were asked for in a step of bat"):
        train_job(job, replace(SETTINGS, save_every=2), out)

    assert unfinished_steps(out) == 4


def test_a_loss_that_is_no_number_ends_the_run(toy_job: Job, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"squared is (nan|inf) in step \d+, expected a number"):
        train_job(toy_job(), replace(SETTINGS, rate=1e30), tmp_path / "a.safetensors")


def test_what_cannot_be_trained_is_refused_before_the_first_step(
    toy_job: Job, tmp_path: Path
) -> None:
    taken = tmp_path / "taken.safetensors"
    taken.touch()

    with pytest.raises(ValueError, match=r"taken\.safetensors exists; .*--force"):
        train_job(toy_job(), SETTINGS, taken)
    with pytest.raises(ValueError, match="device 'abacus' cannot be used: .*; try cpu"):
        train_job(toy_job(), SETTINGS, None, device="abacus")
    with pytest.raises(ValueError, match="resume needs out"):
        train_job(toy_job(), SETTINGS, None, resume=True)
