"""What a training is going to take, before it starts."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from scenequilt.tools.training.job import JobReport, TrainingJob
from scenequilt.tools.training.memory import TrainingMemoryError
from scenequilt.tools.training.plan import in_duration, plan_in_words, plan_job
from scenequilt.tools.training.ranks import Ranks
from scenequilt.tools.training.trainer import TrainingSettings

Job = Callable[..., TrainingJob[Any]]

SETTINGS = TrainingSettings(total_steps=50, batch_size=4, accumulate=2, seed=5)


def test_a_plan_counts_and_times(toy_job: Job) -> None:
    plan = plan_job(toy_job(), SETTINGS, steps_done=20)

    assert plan.parameters == {"network": 4}
    assert plan.steps_left == 30
    assert plan.seconds == 30 * plan.seconds_a_step > 0
    assert plan.memory_bytes > 0
    table = plan.as_json()
    assert table["settings"]["training"]["accumulate"] == 2
    assert table["settings"]["toy"] == {"noise": 0.0}


def test_planning_disturbs_nothing(toy_job: Job) -> None:
    job = toy_job(noise=0.3)
    before = copy.deepcopy(job.objective)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    plan_job(job, SETTINGS)

    assert torch.equal(torch.rand(1), expected)
    assert job.objective.buffers == before.buffers
    state = job.objective.networks["network"].state_dict()
    for name, value in before.networks["network"].state_dict().items():
        assert torch.equal(state[name], value)


def test_what_is_not_read_yet_counts_as_memory(toy_job: Job) -> None:
    report = JobReport(facts={"points": 4}, unread_bytes=2**50)

    plan = plan_job(replace(toy_job(), report=report), SETTINGS)

    assert plan.memory_bytes > 2**50
    assert plan.as_json()["points"] == 4


def test_a_plan_in_words(toy_job: Job) -> None:
    report = JobReport(lines={"points": "4, all on a plane"}, samples="points")
    plan = plan_job(replace(toy_job(pair=True), report=report), SETTINGS, steps_done=20)
    plan = replace(plan, seconds_a_step=0.5, memory_bytes=3 * 2**20, processes=2)

    lines = plan_in_words(plan).splitlines()

    assert lines == [
        "toy, 2 parameters of the discriminator, 4 parameters of the generator, from seed 5",
        "  points       4, all on a plane",
        "  steps        50 of 4 batches of 4 points over 2 processes, 30 of them left",
        "  will take    about 15.0 s at 0.50 s a step, and 3 MiB of memory",
    ]


def test_a_plan_tells_of_the_processes(toy_job: Job) -> None:
    table = plan_job(toy_job(), SETTINGS, ranks=Ranks(0, 3)).as_json()

    assert (table["processes"], table["settings"]["training"]["accumulate"]) == (3, 6)


def test_a_step_that_memory_does_not_suffice_for_is_refused_in_numbers(
    toy_job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = toy_job()

    def too_much(part: str, batch: object) -> dict[str, torch.Tensor]:
        return {"loss": torch.empty(2**57, dtype=torch.uint8)}

    monkeypatch.setattr(type(job.objective), "losses", lambda self, *args: too_much(*args))

    with pytest.raises(TrainingMemoryError, match="in a step of batch_size 4, fp32, on cpu"):
        plan_job(job, SETTINGS)


@pytest.mark.parametrize(
    ("seconds", "said"), [(99.94, "99.9 s"), (360.0, "6 min"), (7260.0, "2 h 01 min")]
)
def test_times_are_told_in_what_suits_them(seconds: float, said: str) -> None:
    assert in_duration(seconds) == said
