"""Batches by number: who gets which, and where they are made."""

import threading
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from scenequilt.tools.training.loader import batches_of_steps, moved
from scenequilt.tools.training.ranks import Ranks
from scenequilt.tools.training.segmenter_samples import (
    Augmentation,
    InMemorySamples,
    SegmenterBatches,
)


class Counting:
    """Batches that are their numbers."""

    def batch(self, number: int) -> int:
        return number


def test_a_step_takes_the_batches_of_its_numbers() -> None:
    found = list(batches_of_steps(Counting(), first_step=3, last_step=5, accumulate=2))

    assert found == [(5, 6), (7, 8), (9, 10)]


def test_ranks_and_accumulation_see_the_same_batches_a_step() -> None:
    alone = list(batches_of_steps(Counting(), first_step=1, last_step=4, accumulate=6))
    ranks = [
        list(
            batches_of_steps(
                Counting(), first_step=1, last_step=4, accumulate=2, ranks=Ranks(rank, 3)
            )
        )
        for rank in range(3)
    ]

    together = [tuple(sorted(sum(each, ()))) for each in zip(*ranks, strict=True)]
    assert together == alone


def test_making_batches_leaves_the_global_generator_where_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    list(batches_of_steps(Counting(), first_step=1, last_step=2, accumulate=1))

    assert torch.equal(torch.rand(1), expected)


class Opened:
    """Batches behind a lock, which cannot be pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def batch(self, number: int) -> int:
        return number


def test_what_cannot_be_sent_to_workers_is_refused_by_name() -> None:
    batches = batches_of_steps(Opened(), first_step=1, last_step=2, accumulate=1, workers=1)

    with pytest.raises(ValueError, match="Opened cannot be sent to other processes .*workers must"):
        next(batches)


@pytest.mark.slow
def test_batches_of_workers_are_those_made_here(pictures: InMemorySamples) -> None:
    changes = Augmentation(crop_hw=(32, 40), scale_range=(0.6, 1.8), color_jitter=1)
    source = SegmenterBatches(pictures, changes, batch_size=2, seed=7)

    here, there = (
        list(batches_of_steps(source, first_step=2, last_step=4, accumulate=2, workers=workers))
        for workers in (0, 2)
    )

    assert len(there) == 3
    for one, other in zip(here, there, strict=True):
        assert all(torch.equal(a.images, b.images) for a, b in zip(one, other, strict=True))


@dataclass(frozen=True)
class Inner:
    values: Tensor


@dataclass(frozen=True)
class Outer:
    inner: Inner
    names: tuple[str, ...]
    pair: tuple[Tensor, Tensor]
    table: dict[str, Tensor]
    none: None = None


def test_all_tensors_of_a_batch_are_moved_and_all_else_is_kept() -> None:
    one = torch.ones(2)
    batch = Outer(Inner(one), ("a", "b"), (one, one), {"c": one})

    found = moved(batch, torch.device("meta"))

    tensors = [found.inner.values, *found.pair, found.table["c"]]
    assert {each.device.type for each in tensors} == {"meta"}
    assert (found.names, found.none) == (("a", "b"), None)
    assert batch.inner.values.device.type == "cpu", "the batch itself is as it was"
