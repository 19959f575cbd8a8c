"""Processes that train one network together, each on its own batches.

Started by torchrun, which tells each process its number by the environment. Gradients are averaged
here, by one all_reduce over flat buckets a part and step, and not by DistributedDataParallel: that
averages in hooks of one module's backward pass, whereas a part of an adversarial pair is minimised
through the other one, whose parameters get no gradient then; and it would average in every one of
accumulated batches. Nothing overlaps with the backward pass, which costs a few percent on cards.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

BUCKET_BYTES = 32 * 2**20
"""Tensors are sent together up to this; one message a tensor would mostly wait."""

PATIENCE = timedelta(hours=6)
"""How long processes wait for the first one while it validates or plans."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: Its number, from 0; the first one logs, validates and writes.
        world: How many there are.
        device: Where messages between them lie, "cpu" or "cuda:N".
    """

    rank: int = 0
    world: int = 1
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """True for the process that logs and writes."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their means over the processes, which all call with the same shapes.

        Args:
            tensors: Floating, of one device.
        """
        if self.world > 1:
            for bucket in _buckets(tensors):
                flat = torch.cat([each.reshape(-1) for each in bucket])
                self.sum(flat)
                flat /= self.world
                _spread(flat, bucket)

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        for tensor in tensors if self.world > 1 else ():
            kept = tensor.detach()
            sent = kept.contiguous()
            dist.broadcast(sent, src=0)
            kept.copy_(sent)

    def any(self, happened: Sequence[bool]) -> list[bool]:
        """Return for each place whether it happened in any of the processes."""
        if self.world == 1:
            return list(happened)
        counted = torch.tensor(happened, dtype=torch.float32, device=self.device)
        self.sum(counted)
        return [count > 0 for count in counted.tolist()]

    def sum(self, tensor: Tensor) -> None:
        """Replace a tensor by its sum over the processes."""
        dist.all_reduce(tensor)


ALONE = Ranks()


@contextmanager
def joined_ranks(device: str) -> Iterator[tuple[Ranks, str]]:
    """Join the processes that torchrun started, if it did; leave them when the block ends.

    Args:
        device: "cpu", "cuda", ...

    Yields:
        This process among them, and its own device: of "cuda" each takes another card.

    Raises:
        ValueError: If each process of several is told the same card.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield ALONE, device
        return
    on_cards = torch.device(device).type == "cuda"
    if on_cards:
        if device != "cuda":
            raise ValueError(
                f"device {device!r} would be shared by {world} processes; give cuda, of which each "
                "takes its own card"
            )
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_cards else "gloo", timeout=PATIENCE)
    try:
        yield Ranks(dist.get_rank(), world, device if on_cards else "cpu"), device
    finally:
        dist.destroy_process_group()


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size_bytes = 0
    for tensor in tensors:
        if bucket and (
            size_bytes + tensor.nbytes > BUCKET_BYTES or tensor.dtype != bucket[0].dtype
        ):
            yield bucket
            bucket, size_bytes = [], 0
        bucket.append(tensor)
        size_bytes += tensor.nbytes
    if bucket:
        yield bucket


def _spread(flat: Tensor, bucket: Sequence[Tensor]) -> None:
    pieces = flat.split([each.numel() for each in bucket])
    for tensor, piece in zip(bucket, pieces, strict=True):
        tensor.copy_(piece.view(tensor.shape))
