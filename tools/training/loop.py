"""The training loop: one for all networks, what differs is the step."""

import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Protocol, TypeVar

from torch import Tensor

from scenequilt.tools.progress import Progress

HELD_BACK = (signal.SIGINT, signal.SIGTERM)
"""What a keyboard and what a system sends to end a program; torchrun sends the second after the
first."""

Batch = TypeVar("Batch")
Batch_contra = TypeVar("Batch_contra", contravariant=True)


class TrainStep(Protocol[Batch_contra]):
    """Improves its networks by one batch; optimisers, averages and rates are its own business."""

    def __call__(self, batch: Batch_contra) -> Mapping[str, float]:
        """Take one step and return figures by name, among them every loss."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that a later step depends on."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state: the next step is what it would have been."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When what happens; all counts are optimiser steps.

    Attributes:
        total_steps: When training ends.
        log_every: How often the means of the figures are logged.
        save_every: How often the state is saved; it is saved at the end in any case.
        validate_every: How often the network is tried before the end; None for not at all.
        sheet_every: How often a sample sheet is made before the end; None for not at all.

    Raises:
        ValueError: If a count is not positive.
    """

    total_steps: int
    log_every: int = 25
    save_every: int = 250
    validate_every: int | None = None
    sheet_every: int | None = None

    def __post_init__(self) -> None:
        for name in (
            "total_steps",
            "log_every",
            "save_every",
            "validate_every",
            "sheet_every",
        ):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1 step, got {count}")


def train(
    step: TrainStep[Batch],
    batches: Iterable[Batch],
    schedule: Schedule,
    *,
    log: Callable[[int, Mapping[str, float]], None],
    save: Callable[[int, Mapping[str, Tensor]], None],
    validate: Callable[[int], None] | None = None,
    sheet: Callable[[int], None] | None = None,
    progress: Progress | None = None,
    steps_done: int = 0,
    anywhere: Callable[[bool], bool] = bool,
) -> None:
    """Run step over batches until the schedule ends.

    An interrupt from the keyboard, or the request to end that systems send (SIGTERM), is heeded
    between two steps, so that what is saved then can be gone on from; a second one of its kind is
    heeded at once.

    Args:
        step: What to do with a batch.
        batches: Of the steps after steps_done, in order.
        schedule: When to log, save and stop.
        log: Called with the number of steps done and the mean figures since the last call.
        save: Called with the number of steps done and the state of step.
        validate: Called with the number of steps done as the schedule says, but not at the end.
        sheet: The same for sample sheets.
        progress: Called after every step.
        steps_done: Steps that the state of step has behind it.
        anywhere: Takes whether this process is to stop to whether any is, so that those that train
            together stop after the same step.

    Raises:
        KeyboardInterrupt: After an interrupt or the request to end, once the state is saved.
        RuntimeError: If the batches end before the schedule.
        ValueError: If a figure is not finite; nothing is saved then.
    """
    if steps_done >= schedule.total_steps:
        return
    if progress is not None:
        progress(steps_done, schedule.total_steps)
    done = steps_done
    since_log: list[Mapping[str, float]] = []
    with _interrupts_wait() as interrupted:
        for batch in batches:
            figures = step(batch)
            done += 1
            _check_finite(figures, done)
            since_log.append(figures)

            at_end, stopping = done == schedule.total_steps, anywhere(interrupted())
            if done % schedule.log_every == 0 or at_end:
                log(done, _means(since_log))
                since_log.clear()
            if progress is not None:
                progress(done, schedule.total_steps)
            if done % schedule.save_every == 0 or at_end or stopping:
                save(done, step.state_dict())
            if stopping:
                raise KeyboardInterrupt
            if at_end:
                return
            if schedule.validate_every and validate and done % schedule.validate_every == 0:
                validate(done)
            if schedule.sheet_every and sheet and done % schedule.sheet_every == 0:
                sheet(done)

    raise RuntimeError(
        f"the batches ended after {done} steps, {schedule.total_steps} were asked for; "
        "give train() an endless stream of batches"
    )


@contextmanager
def _interrupts_wait() -> Iterator[Callable[[], bool]]:
    """Hold the first signal of each of HELD_BACK back; yields whether there was one."""
    # Only the main thread gets signals, and only there may a handler be set.
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    happened = threading.Event()
    before = {number: signal.getsignal(number) for number in HELD_BACK}

    def remember(number: int, frame: FrameType | None) -> None:
        happened.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in HELD_BACK:
        signal.signal(number, remember)
    try:
        yield happened.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_finite(figures: Mapping[str, float], done: int) -> None:
    for name, value in figures.items():
        if not math.isfinite(value):
            raise ValueError(
                f"{name} is {value} in step {done}, expected a number: training has come apart; "
                "begin anew with a lower learning rate or another seed"
            )


def _means(figures: list[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(each[name] for each in figures) / len(figures) for name in figures[0]}
