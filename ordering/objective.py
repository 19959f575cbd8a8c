"""What an ordering network is trained to: being as sure as it is right."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.ordering.network import OrderNet
from scenequilt.ordering.samples import PairBatch


class PairObjective:
    """Cross-entropy between the network's probability and what is known of each pair.

    It is asked both ways in training as at test. With pairs swapped at random, as is usual, it has
    to learn first that the layout alone says nothing, which took it a thousand steps on toytown;
    here what both ways have in common cancels out, and swapping a pair changes nothing.

    Args:
        network: What is trained.
    """

    def __init__(self, network: OrderNet) -> None:
        self._network = network

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the network as "network"."""
        return {"network": self._network}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return nothing: steps change nothing else in place."""
        return {}

    def losses(self, part: str, batch: PairBatch) -> Mapping[str, Tensor]:
        """Return "cross_entropy", a scalar, in nats for each pair of full weight.

        Raises:
            ValueError: If there is no such part.
        """
        if part != "network":
            raise ValueError(f'no part {part!r}; there is "network"')
        correction = self._network.correction(
            batch.masks, batch.label_map, batch.places, batch.extents
        )
        logits = self._network.weighed(correction, batch.outline_logits)
        losses = F.binary_cross_entropy_with_logits(
            logits.float(), batch.in_front, reduction="none"
        )
        return {"cross_entropy": (batch.weight * losses).mean()}
