"""What is said when memory does not suffice."""

import re

import pytest
import torch

from scenequilt.tools.training.memory import TrainingMemoryError, advice, halved, memory_advice
from scenequilt.tools.training.training_settings import TrainingSettings

SETTINGS = TrainingSettings(batch_size=8, accumulate=3)
JOB = {"network": {"width": 0.25, "levels": 7}, "samples": {"size_hw": [256, 512]}}

REASONS = [
    (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a"),
        "2.50 GiB more were asked for",
    ),
    (
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 3145728 bytes. Error code 12 (Cannot allocate memory)"
        ),
        "3 MiB more were asked for",
    ),
    (MemoryError("Unable to allocate 1.2 GiB for an array with shape (9,)"), "1.2 GiB more were"),
    (MemoryError(), "there is none left"),
]


@pytest.mark.parametrize(("reason", "said"), REASONS)
def test_what_was_asked_for_and_by_what_is_said_in_numbers(reason: Exception, said: str) -> None:
    with (
        pytest.raises(TrainingMemoryError, match=f"not enough memory: {said}") as caught,
        memory_advice(SETTINGS, JOB, "cpu"),
    ):
        raise reason

    message = str(caught.value)
    assert "batch_size 8, network.width 0.25, samples.size_hw 256x512, fp32, on cpu of" in message
    assert "--set training.batch_size=4 --set training.accumulate=6" in message
    assert "--precision bf16 takes about half" in message
    assert caught.value.__cause__ is reason


def test_a_real_request_that_cannot_be_met_is_advised_on() -> None:
    with (
        pytest.raises(TrainingMemoryError, match=r"\d+ MiB more were asked for in a step of batch"),
        memory_advice(SETTINGS, JOB, "cpu"),
    ):
        torch.empty(2**57, dtype=torch.uint8)


def test_other_errors_are_left_as_they_are() -> None:
    with (
        pytest.raises(RuntimeError, match="^size mismatch$"),
        memory_advice(SETTINGS, JOB, "cpu"),
    ):
        raise RuntimeError("size mismatch")


@pytest.mark.parametrize(("batch", "expected"), [(8, (4, 6)), (9, (3, 9)), (7, (1, 21))])
def test_a_smaller_batch_keeps_the_samples_of_a_step(batch: int, expected: tuple[int, int]) -> None:
    smaller = halved(TrainingSettings(batch_size=batch, accumulate=3))

    assert (smaller.batch_size, smaller.accumulate) == expected


def test_a_batch_of_one_sample_is_advised_otherwise() -> None:
    settings = TrainingSettings(batch_size=1, precision="bf16")

    message = advice("", settings, {}, "cpu")

    assert re.search("one sample already: take smaller samples or a narrower network$", message)
