"""What a training is going to be and to take, before it starts."""

import copy
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from scenequilt.tools.benchmarks.machine import peak_memory_bytes
from scenequilt.tools.training.job import JobReport, TrainingJob
from scenequilt.tools.training.loader import batches_of_steps
from scenequilt.tools.training.memory import memory_advice
from scenequilt.tools.training.ranks import ALONE, Ranks
from scenequilt.tools.training.step import ObjectiveStep
from scenequilt.tools.training.training_settings import TrainingSettings

Batch = TypeVar("Batch")

TIMED_STEPS = 3
"""Steps that are taken on throw-away networks to see how long one takes, after a first."""

ENOUGH_SECONDS = 30
"""After so many no further step is timed."""


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """What a training is going to be and to take.

    Attributes:
        network: Name of the architecture.
        settings: What is trained by.
        job_settings: What network and samples are built with, by table; JSON.
        parameters: How many numbers each part of the objective is made of.
        steps_left: Of settings.total_steps.
        processes: That train together.
        seconds_a_step: Median over a few steps on throw-away networks, batches included.
        memory_bytes: At most held by the program, samples included; on a card by what lies there.
        device: Where it is trained.
        report: What the job tells of itself.
    """

    network: str
    settings: TrainingSettings
    job_settings: Mapping[str, Any]
    parameters: Mapping[str, int]
    steps_left: int
    processes: int
    seconds_a_step: float
    memory_bytes: int
    device: str
    report: JobReport

    @property
    def seconds(self) -> float:
        """Of the steps that are left, trials not included."""
        return self.steps_left * self.seconds_a_step

    def as_json(self) -> dict[str, Any]:
        """Return what the command prints as JSON."""
        return {
            "network": self.network,
            "settings": {"training": self.settings.deciding(self.processes), **self.job_settings},
            **self.report.facts,
            "parameters": sum(self.parameters.values()),
            "parameters_by_part": dict(self.parameters),
            "steps_left": self.steps_left,
            "processes": self.processes,
            "seconds_a_step": self.seconds_a_step,
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
            "device": self.device,
        }


def plan_job(
    job: TrainingJob[Batch],
    settings: TrainingSettings,
    *,
    steps_done: int = 0,
    device: str = "cpu",
    ranks: Ranks = ALONE,
) -> TrainingPlan:
    """Take a few steps with copies of a job's networks, and say what the training will take.

    The job's own networks and buffers keep their values, and so does the global random state.

    Args:
        job: What is trained.
        settings: How.
        steps_done: That a run which is gone on with has behind it.
        device: "cpu", "cuda", ...
        ranks: This process among those that train together; only it takes the steps, alone.

    Raises:
        TrainingMemoryError: If memory does not suffice for a step.
        ValueError: If settings do not fit the job.
    """
    on_card = torch.device(device).type == "cuda"
    with memory_advice(settings, job.settings, device):
        if on_card:
            torch.cuda.reset_peak_memory_stats(device)
        step = ObjectiveStep(
            copy.deepcopy(job.objective), settings, delivered=job.delivered, device=device
        )
        batches = batches_of_steps(
            job.batches,
            first_step=1,
            last_step=TIMED_STEPS + 1,
            accumulate=settings.accumulate,
            # Where the training takes them from: what opens files here must not be copied there.
            workers=settings.workers,
        )
        seconds: list[float] = []
        while len(seconds) <= TIMED_STEPS and sum(seconds) < ENOUGH_SECONDS:
            started = time.perf_counter()
            step(next(batches))
            seconds.append(time.perf_counter() - started)
    parameters = step.parameter_counts
    memory = torch.cuda.max_memory_allocated(device) if on_card else peak_memory_bytes()
    if on_card:
        del step
        torch.cuda.empty_cache()
    return TrainingPlan(
        network=job.network,
        settings=settings,
        job_settings=job.settings,
        parameters=parameters,
        steps_left=max(settings.total_steps - steps_done, 0),
        processes=ranks.world,
        # The first step is left out: it also plans the convolutions and makes the optimiser's state.
        seconds_a_step=statistics.median(seconds[1:] or seconds),
        memory_bytes=memory + (0 if on_card else job.report.unread_bytes),
        device=device,
        report=job.report,
    )


def plan_in_words(plan: TrainingPlan) -> str:
    """Return what a training is going to be, for a person."""
    settings = plan.settings
    parts = [
        f"{count:,} parameters" + (f" of the {part}" if len(plan.parameters) > 1 else "")
        for part, count in plan.parameters.items()
    ]
    batches = settings.accumulate * plan.processes
    several = f"{batches} batches of " if batches > 1 else ""
    steps = f"{settings.total_steps} of {several}{settings.batch_size} {plan.report.samples}"
    if plan.processes > 1:
        steps += f" over {plan.processes} processes"
    if plan.steps_left < settings.total_steps:
        steps += f", {plan.steps_left} of them left"
    memory = "memory" if torch.device(plan.device).type == "cpu" else f"memory of {plan.device}"
    lines = {
        **plan.report.lines,
        "steps": steps,
        "will take": (
            f"about {in_duration(plan.seconds)} at {plan.seconds_a_step:.2f} s a step, and "
            f"{plan.memory_bytes / 2**20:.0f} MiB of {memory}"
        ),
    }
    head = f"{plan.network}, {', '.join(parts)}, from seed {settings.seed}"
    return "\n".join([head, *(f"  {label:<12} {text}" for label, text in lines.items())])


def in_duration(seconds: float) -> str:
    """Return a time for a person: seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
