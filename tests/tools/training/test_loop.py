"""The training loop, with a step that only counts."""

import itertools
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import Tensor

from scenequilt.tools.training.loop import Schedule, train


class AddingStep:
    """Adds up what it is given; its loss is a function of the batch."""

    def __init__(self, loss: Callable[[int], float]) -> None:
        self.loss = loss
        self.total = 0

    def __call__(self, batch: int) -> Mapping[str, float]:
        self.total += batch
        return {"loss": self.loss(batch)}

    def state_dict(self) -> dict[str, Tensor]:
        return {"total": torch.tensor(self.total)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.total = int(state["total"])


class Record:
    """What the loop called, in order."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.saved: list[tuple[int, int]] = []
        self.validated: list[int] = []
        self.sheets: list[int] = []
        self.progress: list[tuple[int, int]] = []

    def log(self, done: int, figures: Mapping[str, float]) -> None:
        self.logged.append((done, dict(figures)))

    def save(self, done: int, state: Mapping[str, Tensor]) -> None:
        self.saved.append((done, int(state["total"])))

    def run(
        self,
        batches: Iterator[int],
        schedule: Schedule,
        *,
        loss: Callable[[int], float] = float,
        steps_done: int = 0,
    ) -> None:
        train(
            AddingStep(loss),
            batches,
            schedule,
            log=self.log,
            save=self.save,
            validate=self.validated.append,
            sheet=self.sheets.append,
            progress=lambda done, total: self.progress.append((done, total)),
            steps_done=steps_done,
        )


def test_everything_happens_when_the_schedule_says() -> None:
    record = Record()

    record.run(
        itertools.count(1),
        Schedule(total_steps=7, log_every=3, save_every=4, validate_every=2, sheet_every=3),
    )

    assert [done for done, _ in record.logged] == [3, 6, 7]
    assert record.saved == [(4, 1 + 2 + 3 + 4), (7, 28)]
    assert record.validated == [2, 4, 6]
    assert record.sheets == [3, 6]
    assert record.progress == [(done, 7) for done in range(8)]


def test_what_is_logged_is_the_mean_since_the_last_line() -> None:
    record = Record()

    record.run(itertools.count(1), Schedule(total_steps=5, log_every=3))

    assert record.logged == [(3, {"loss": 2.0}), (5, {"loss": 4.5})]


def test_a_run_that_is_gone_on_with_counts_from_where_it_stopped() -> None:
    record = Record()

    record.run(itertools.count(5), Schedule(total_steps=6, log_every=2, save_every=3), steps_done=4)

    assert record.logged == [(6, {"loss": 5.5})]
    assert record.saved == [(6, 5 + 6)]


def test_a_run_with_nothing_left_takes_no_batch() -> None:
    record = Record()

    record.run(iter(()), Schedule(total_steps=4), steps_done=4)

    assert (record.logged, record.saved) == ([], [])


def test_batches_that_end_too_early_are_an_error() -> None:
    with pytest.raises(RuntimeError, match="ended after 2 steps, 3 were asked for"):
        Record().run(iter([1, 1]), Schedule(total_steps=3))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_run_unsaved(value: float) -> None:
    record = Record()

    with pytest.raises(ValueError, match=r"loss is (nan|inf) in step 3, .*lower learning rate"):
        record.run(
            iter([1, 2, 3]),
            Schedule(total_steps=3, save_every=2),
            loss=lambda batch: value if batch == 3 else 1.0,
        )

    assert [done for done, _ in record.saved] == [2]


def interrupting(at: int, times: int, number: int = signal.SIGINT) -> Iterator[int]:
    for batch in itertools.count(1):
        if batch == at:
            for _ in range(times):
                signal.raise_signal(number)
        yield batch


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_for_the_end_of_the_step_and_for_its_state(number: int) -> None:
    record = Record()

    with pytest.raises(KeyboardInterrupt):
        record.run(interrupting(at=3, times=1, number=number), Schedule(total_steps=9))

    assert record.saved == [(3, 6)]


def test_a_second_interrupt_does_not_wait() -> None:
    record = Record()

    with pytest.raises(KeyboardInterrupt):
        record.run(interrupting(at=3, times=2), Schedule(total_steps=9))

    assert record.saved == []


def test_one_of_each_kind_waits_as_torchrun_sends_both() -> None:
    record = Record()

    def both() -> Iterator[int]:
        for batch in interrupting(at=3, times=1):
            if batch == 3:
                signal.raise_signal(signal.SIGTERM)
            yield batch

    with pytest.raises(KeyboardInterrupt):
        record.run(both(), Schedule(total_steps=9))

    assert record.saved == [(3, 6)]


def test_processes_stop_after_the_same_step() -> None:
    record = Record()
    elsewhere = iter([False, True])

    with pytest.raises(KeyboardInterrupt):
        train(
            AddingStep(float),
            itertools.count(1),
            Schedule(total_steps=9),
            log=record.log,
            save=record.save,
            anywhere=lambda here: here or next(elsewhere),
        )

    assert record.saved == [(2, 3)]


def test_interrupts_are_handled_afterwards_as_they_were_before() -> None:
    before = signal.getsignal(signal.SIGINT)

    Record().run(itertools.count(1), Schedule(total_steps=2))

    assert signal.getsignal(signal.SIGINT) is before


def test_training_runs_in_a_thread_which_gets_no_signals() -> None:
    record = Record()
    thread = threading.Thread(target=record.run, args=(itertools.count(1), Schedule(total_steps=2)))

    thread.start()
    thread.join()

    assert record.saved == [(2, 3)]


@pytest.mark.parametrize(
    "name", ["total_steps", "log_every", "save_every", "validate_every", "sheet_every"]
)
def test_a_schedule_of_no_steps_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1 step, got 0"):
        Schedule(**({"total_steps": 5} | {name: 0}))
