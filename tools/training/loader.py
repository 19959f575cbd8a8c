"""Batches by number, made here or by other processes; which ones make them changes nothing."""

import os
import pickle
import signal
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from scenequilt.tools.training.job import BatchSource
from scenequilt.tools.training.ranks import ALONE, Ranks

Batch = TypeVar("Batch")
Kept = TypeVar("Kept")


def batches_of_steps(
    source: BatchSource[Batch],
    *,
    first_step: int,
    last_step: int,
    accumulate: int,
    workers: int = 0,
    ranks: Ranks = ALONE,
) -> Iterator[tuple[Batch, ...]]:
    """Yield the batches that this process takes in each of some steps.

    Over all processes, a step takes accumulate * ranks.world batches with consecutive numbers.

    Args:
        source: The batches.
        first_step, last_step: Of which steps, counted from 1.
        accumulate: Batches a step and process.
        workers: Processes that make them; 0 makes them in this one. They are started afresh, since
            a fork of a process whose threads have run can hang, so source must be picklable.
        ranks: This process among those that train together.

    Raises:
        ValueError: If workers are asked for and source cannot be sent to them.
    """
    if workers:
        _check_picklable(source)
    a_step = accumulate * ranks.world
    first = (first_step - 1) * a_step + ranks.rank + 1
    loader: DataLoader[Batch] = DataLoader(
        _Numbered(source),
        batch_size=None,
        sampler=range(first, last_step * a_step + 1, ranks.world),
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_begin_worker,
        multiprocessing_context="spawn" if workers else None,
        # The global generator is left where it is.
        generator=torch.Generator(),
    )
    batches = iter(loader)
    for _ in range(first_step, last_step + 1):
        yield tuple(next(batches) for _ in range(accumulate))


def moved(batch: Kept, device: torch.device) -> Kept:
    """Return a batch with its tensors on a device; dataclasses, tuples, lists and mappings are
    looked into, all else stays as it is."""
    found: Any = batch
    if isinstance(batch, Tensor):
        found = batch.to(device, non_blocking=True)
    elif is_dataclass(batch) and not isinstance(batch, type):
        changed = {each.name: moved(getattr(batch, each.name), device) for each in fields(batch)}
        found = replace(batch, **changed)
    elif isinstance(batch, Mapping):
        found = {name: moved(value, device) for name, value in batch.items()}
    elif isinstance(batch, list | tuple):
        found = type(batch)(moved(value, device) for value in batch)
    return found  # type: ignore[no-any-return]


class _Numbered(Dataset[Batch], Generic[Batch]):
    """The batches of a source, as DataLoader asks for them."""

    def __init__(self, source: BatchSource[Batch]) -> None:
        self._source = source

    def __getitem__(self, number: int) -> Batch:
        return self._source.batch(number)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _begin_worker(number: int) -> None:
    """Leave Ctrl-C to the training, which takes its last step first and then ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _check_picklable(source: object) -> None:
    try:
        with open(os.devnull, "wb") as nowhere:
            pickle.dump(source, nowhere)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{type(source).__name__} cannot be sent to other processes ({error}), so workers must "
            "be 0"
        ) from error
