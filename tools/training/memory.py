"""What to do when memory does not suffice for a training, in numbers."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from scenequilt.memory_bank.errors import ScenequiltError
from scenequilt.tools.training.training_settings import TrainingSettings

CAUSES = ("not enough memory", "DefaultCPUAllocator", "out of memory", "Killed")
"""In what torch says when there is none left; the last of a worker that the system ended."""

ASKED = re.compile(r"(?i:tried to|unable to) allocate ([\d.]+) ?(bytes|[KMGT]iB)")

NAMED = ("size_hw", "crop_hw", "height", "width")
"""Settings of a network or its samples that memory grows with."""


class TrainingMemoryError(ScenequiltError):
    """There is not enough memory for a step of a training."""


@contextmanager
def memory_advice(
    settings: TrainingSettings, job_settings: Mapping[str, Any], device: str
) -> Iterator[None]:
    """Raise what runs out of memory in the block as TrainingMemoryError, with advice.

    Args:
        settings: What is trained by.
        job_settings: Of network and samples, as they go on the card.
        device: Whose memory it is.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or any(cause in str(error) for cause in CAUSES):
            raise TrainingMemoryError(advice(str(error), settings, job_settings, device)) from error
        raise


def advice(
    reason: str, settings: TrainingSettings, job_settings: Mapping[str, Any], device: str
) -> str:
    """Return what was asked of which memory by what, and how to ask for less."""
    asked = ASKED.search(reason)
    more = f"{_amount(*asked.groups())} more were asked for" if asked else "there is none left"
    shapes = [f"{name} {value}" for name, value in _named(job_settings, "")]
    trained = [f"batch_size {settings.batch_size}", *shapes, settings.precision]
    said = (
        f"not enough memory: {more} in a step of {', '.join(trained)}, on {device}"
        f"{_in_all(device)}; "
    )
    if settings.batch_size > 1:
        smaller = halved(settings)
        said += (
            "half a batch at a time comes to the same training: --set training.batch_size="
            f"{smaller.batch_size} --set training.accumulate={smaller.accumulate}"
        )
    else:
        said += "a batch is one sample already: take smaller samples or a narrower network"
    if settings.precision == "fp32":
        said += "; --precision bf16 takes about half as much for what lies between layers"
    return said


def halved(settings: TrainingSettings) -> TrainingSettings:
    """Return settings with half the batch (or the largest part that divides it) and more of them.

    The samples of a step stay as many as they were.
    """
    parts = next(
        each for each in range(2, settings.batch_size + 1) if not settings.batch_size % each
    )
    return replace(
        settings,
        batch_size=settings.batch_size // parts,
        accumulate=settings.accumulate * parts,
    )


def _named(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _named(value, f"{prefix}{name}.")
        elif name in NAMED:
            words = "x".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield prefix + name, words


def _amount(number: str, unit: str) -> str:
    if unit.lower() == "bytes":
        return f"{float(number) / 2**20:.0f} MiB"
    return f"{number} {unit}"


def _in_all(device: str) -> str:
    """Return how much memory a device has, "" where it does not tell."""
    if torch.device(device).type == "cuda" and torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info(device)
        return f" of {total / 2**30:.1f} GiB, {free / 2**30:.1f} of them free"
    if torch.device(device).type == "cpu" and hasattr(os, "sysconf"):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return f" of {total / 2**30:.1f} GiB"
    return ""
