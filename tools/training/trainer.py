"""Training any network: from a job and settings to a file of weights."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.tools.benchmarks.machine import processor_name
from scenequilt.tools.progress import Progress
from scenequilt.tools.training.board import Board
from scenequilt.tools.training.checkpoint import (
    CheckpointCard,
    checkpoint_bytes,
    halved,
    program_version,
    read_checkpoint,
    write_checkpoint,
)
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.loader import batches_of_steps
from scenequilt.tools.training.log import TrainingLog
from scenequilt.tools.training.loop import Schedule, train
from scenequilt.tools.training.memory import memory_advice
from scenequilt.tools.training.outputs import (
    begin_anew,
    check_out,
    log_path,
    state_path,
    write_sheet,
)
from scenequilt.tools.training.ranks import ALONE, Ranks
from scenequilt.tools.training.step import ObjectiveStep
from scenequilt.tools.training.training_settings import TrainingSettings

__all__ = ["TrainedNetwork", "TrainingSettings", "check_device", "train_job"]

Batch = TypeVar("Batch")


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network and how it came about.

    Attributes:
        network: With averaged weights as they are written, in evaluation mode.
        card: What it was made of.
        sha256: Of the file, whether or not it was written.
        validation: How well it does on what it has not seen, None if not tried.
        seconds: That its training took, before it was broken off included.
    """

    network: nn.Module
    card: CheckpointCard
    sha256: str
    validation: Mapping[str, Any] | None
    seconds: float


def train_job(
    job: TrainingJob[Batch],
    settings: TrainingSettings,
    out: Path | None,
    *,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    ranks: Ranks = ALONE,
    tensorboard: Path | None = None,
    progress: Progress | None = None,
    tell_run: bool = True,
) -> TrainedNetwork:
    """Train the networks of a job and write the one that it delivers.

    On the CPU, same job, settings, machine and number of threads: same weights, bit for bit;
    whether the run was broken off and gone on with makes no difference, nor do workers, trials and
    sheets. On a card sums are in no fixed order. Processes that train together see what one process
    with as many more accumulated batches sees, and end in its weights but for rounding.

    Args:
        job: What is trained; its networks are changed.
        settings: How.
        out: File for the weights, in half precision. Beside it lie a log, sample sheets and, until
            the end, the state from which a run that was broken off goes on. None writes nothing.
        resume: Go on with the run whose state lies beside out.
        force: Replace what is there.
        device: "cpu", "cuda", ...
        ranks: This process among those that train together; the first one writes.
        tensorboard: Folder for TensorBoard, None for none.
        progress: Called after every step.
        tell_run: Write on the card how the run went: seconds, hardware, last figures. Without, the
            same weights come in the same bytes.

    Returns:
        The network as it is written, in half precision where that is.

    Raises:
        CheckpointError: If a run of other settings, classes or data is to be gone on with.
        KeyboardInterrupt: After an interrupt from the keyboard, once the state is saved.
        TrainingMemoryError: If memory does not suffice.
        ValueError: If settings do not fit the job, device is not there, out must not be written, or
            the loss is no number.
    """
    if out is not None and ranks.is_first:
        check_out(out, resume=resume, force=force)
    elif out is None and resume:
        raise ValueError("resume needs out, the file beside which the state of the run lies")
    check_device(device)
    card = _card_of(job, settings, ranks)
    with memory_advice(settings, job.settings, device):
        step = ObjectiveStep(
            job.objective, settings, delivered=job.delivered, device=device, ranks=ranks
        )
    done, seconds_before = 0, 0.0
    if out is not None and resume:
        done, seconds_before = _go_on(step, state_path(out), card)
    elif out is not None and ranks.is_first:
        begin_anew(out)
    run = _Run(job, card, step, ranks, out, tensorboard, done, seconds_before)
    try:
        with memory_advice(settings, job.settings, device):
            train(
                step,
                batches_of_steps(
                    job.batches,
                    first_step=done + 1,
                    last_step=settings.total_steps,
                    accumulate=settings.accumulate,
                    workers=settings.workers,
                    ranks=ranks,
                ),
                Schedule(
                    total_steps=settings.total_steps,
                    log_every=settings.log_every,
                    save_every=settings.save_every,
                    validate_every=settings.validate_every,
                    sheet_every=settings.sheet_every,
                ),
                log=run.log,
                save=run.save,
                validate=run.validate if ranks.is_first else None,
                sheet=run.sheet if ranks.is_first else None,
                progress=progress if ranks.is_first else None,
                steps_done=done,
                anywhere=lambda here: ranks.any([here])[0],
            )
        if job.complete is not None:
            job.complete(step.average)
        # Rounded first, so that what is tried and returned is what is read back from the file.
        step.average.load_state_dict(halved(step.average.state_dict()))
        if ranks.is_first:
            run.validate(settings.total_steps)
            if settings.sheet_every is not None:
                run.sheet(settings.total_steps)
    finally:
        run.board.close()
    training: dict[str, Any] = {"steps": settings.total_steps, "validation": run.validation}
    if tell_run:
        training |= {
            "seconds": round(run.seconds, 3),
            "hardware": hardware_in_words(device, ranks),
            "figures": run.last_figures,
        }
    card = replace(card, training=training)
    state = step.average.state_dict()
    if out is not None and ranks.is_first:
        write_checkpoint(out, state, card, half=True)
        state_path(out).unlink()
    return TrainedNetwork(
        network=step.average,
        card=card,
        sha256=hashlib.sha256(checkpoint_bytes(state, card, half=True)).hexdigest(),
        validation=run.validation,
        seconds=run.seconds,
    )


def check_device(device: str) -> None:
    """Refuse a device on which nothing can be computed.

    Raises:
        ValueError: If it is not there; the message says why.
    """
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        # Torch built without CUDA answers with an AssertionError.
        raise ValueError(f"device {device!r} cannot be used: {error}; try cpu") from error


def hardware_in_words(device: str, ranks: Ranks = ALONE) -> str:
    """Return what a network was trained on, e.g. "AMD EPYC 7763, 2 threads"."""
    several = f"{ranks.world} processes of " if ranks.world > 1 else ""
    if torch.device(device).type == "cuda":
        return several + torch.cuda.get_device_name(device)
    return f"{several}{processor_name()}, {torch.get_num_threads()} threads"


class _Run:
    """What becomes of a step's figures, its state and its averaged network."""

    def __init__(
        self,
        job: TrainingJob[Any],
        card: CheckpointCard,
        step: ObjectiveStep[Any],
        ranks: Ranks,
        out: Path | None,
        tensorboard: Path | None,
        done: int,
        seconds_before: float,
    ) -> None:
        self.validation: Mapping[str, Any] | None = None
        self.last_figures: dict[str, float] = {}
        if not ranks.is_first:
            out = tensorboard = None
        self.board = Board(tensorboard, done=done)
        self._job, self._card, self._step, self._out = job, card, step, out
        self._log = TrainingLog(None if out is None else log_path(out), done=done)
        self._started = time.perf_counter() - seconds_before

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._started

    def log(self, steps: int, figures: Mapping[str, float]) -> None:
        self.last_figures = {name: round(value, 6) for name, value in figures.items()}
        self._log.figures(steps, figures)
        self.board.figures(steps, figures, "training")

    def save(self, steps: int, state: Mapping[str, Tensor]) -> None:
        if self._out is not None:
            card = _unfinished(self._card, steps, self.seconds)
            write_checkpoint(state_path(self._out), state, card)

    def validate(self, steps: int) -> None:
        if self._job.validate is not None:
            with torch.no_grad():
                self.validation = dict(self._job.validate(self._step.average))
            self._log.validation(steps, self.validation)
            self.board.figures(steps, self.validation, "validation")

    def sheet(self, steps: int) -> None:
        if self._job.sheet is not None:
            with torch.no_grad():
                picture = self._job.sheet(self._step.average)
            self.board.sheet(steps, picture)
            if self._out is not None:
                write_sheet(self._out, steps, picture)


def _card_of(job: TrainingJob[Any], settings: TrainingSettings, ranks: Ranks) -> CheckpointCard:
    return CheckpointCard(
        network=job.network,
        settings=_json({"training": settings.deciding(ranks.world), **job.settings}),
        taxonomy=None if job.taxonomy is None else job.taxonomy.as_json(),
        preprocessing=_json(job.preprocessing),
        data=_json(job.data),
        training={},
        program=program_version(),
    )


def _json(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table as it reads back from a file."""
    found: dict[str, Any] = json.loads(json.dumps(table))
    return found


def _unfinished(card: CheckpointCard, steps: int, seconds: float) -> CheckpointCard:
    network = f"{card.network} in training"
    return replace(card, network=network, training={"steps": steps, "seconds": round(seconds, 3)})


def _go_on(step: ObjectiveStep[Any], path: Path, card: CheckpointCard) -> tuple[int, float]:
    """Load the state of a run into step; return the steps and seconds it has behind it."""
    checkpoint = read_checkpoint(path)
    found = checkpoint.card
    expected = _unfinished(card, 0, 0)
    if found.network != expected.network:
        raise CheckpointError(
            f"{path} holds {found.network!r}, expected {expected.network!r}; begin anew by --force"
        )
    _compare_settings(found.settings, expected.settings, path)
    if found.taxonomy != expected.taxonomy:
        raise CheckpointError(
            f"{path} was trained on other classes than these; go on with those, or begin anew by "
            "--force"
        )
    if found.data.get("sha256") != expected.data.get("sha256"):
        raise CheckpointError(
            f"{path} was trained on {_amounts(found.data)}, these are "
            f"{_amounts(expected.data, named=False)} and not the same; go on with those, or begin "
            "anew by --force"
        )
    step.load_state_dict(checkpoint.state)
    return int(found.training.get("steps", 0)), float(found.training.get("seconds", 0))


def _compare_settings(
    found: Mapping[str, Any], expected: Mapping[str, Any], path: Path, prefix: str = ""
) -> None:
    for name in [*expected, *(found.keys() - expected.keys())]:
        there, wanted = found.get(name), expected.get(name)
        if isinstance(there, Mapping) and isinstance(wanted, Mapping):
            _compare_settings(there, wanted, path, f"{prefix}{name}.")
        elif there != wanted:
            raise CheckpointError(
                f"{path} was trained with {prefix}{name} {there}, now it is {wanted}; go on with "
                f"{there}, or begin anew by --force"
            )


def _amounts(data: Mapping[str, Any], *, named: bool = True) -> str:
    """Return how much data a card tells of, e.g. "4 photographs"."""
    counts = {name: value for name, value in data.items() if type(value) is int}
    return ", ".join(f"{value} {name}" if named else str(value) for name, value in counts.items())
