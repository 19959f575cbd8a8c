"""Learning rates: a function of the step, and nothing else."""

import math

from scenequilt.tools.training.training_settings import TrainingSettings

CYCLE_START, CYCLE_END = 1 / 25, 1 / 250_000
"""First and last learning rate of a cycle as a share of the peak."""


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """Return the learning rate of a step.

    It rises along a line until warm_up of the steps are behind it, and is greatest then. "linear"
    and "cosine" fall from there, "constant_linear" from half of all steps on, so that the step after
    the last would have rate 0.

    Args:
        step: 1 to settings.total_steps.
        settings: Names the schedule and the greatest rate.
    """
    total = settings.total_steps
    if settings.schedule == "one_cycle":
        return one_cycle(step, total_steps=total, peak=settings.rate, warm_up=settings.warm_up)
    top = max(round(settings.warm_up * total), 1)
    if step < top:
        return settings.rate * step / top
    if settings.schedule == "constant":
        return settings.rate
    if settings.schedule == "constant_linear":
        top = max(top, total // 2)
        if step <= top:
            return settings.rate
    fallen = (step - top) / (total - top + 1)
    if settings.schedule in ("linear", "constant_linear"):
        return settings.rate * (1 - fallen)
    return settings.rate * (1 + math.cos(math.pi * fallen)) / 2


def one_cycle(step: int, *, total_steps: int, peak: float, warm_up: float) -> float:
    """Return the learning rate of a step: up along half a cosine, then down along another.

    Args:
        step: 1 to total_steps.
        total_steps: Length of the cycle.
        peak: Greatest rate.
        warm_up: Share of the steps until the peak.

    Source:
        Smith and Topin 2018, "Super-Convergence: Very Fast Training of Neural Networks Using Large
        Learning Rates".
    """
    top = max(warm_up * total_steps, 1)
    if step <= top:
        low, risen = CYCLE_START, step / top
    else:
        low, risen = CYCLE_END, (total_steps - step) / max(total_steps - top, 1)
    return peak * (low + (1 - low) * (1 - math.cos(math.pi * risen)) / 2)
