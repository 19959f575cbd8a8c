"""What the completion network is trained to do: say the class of every labelled pixel."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.completion.network import CompletionNet
from scenequilt.synthesis.completion.samples import CompletionBatch


class CompletionObjective:
    """Cross entropy over the pixels that are labelled in the dense layout.

    Args:
        network: Trained in place.
    """

    def __init__(self, network: CompletionNet) -> None:
        self._network = network

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the one network."""
        return {"network": self._network}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return nothing: no step leaves anything behind but weights."""
        return {}

    def losses(self, part: str, batch: CompletionBatch) -> Mapping[str, Tensor]:
        """Return "cross_entropy", in nats, and "filled_accuracy", which is watched only.

        The latter is over the pixels that are void in the coarse layout and labelled in the dense
        one, 1 if there are none.
        """
        logits = self._network(batch.coarse, batch.nearest)
        truth = batch.truth.long()
        with torch.no_grad():
            asked = (batch.coarse == VOID) & (batch.truth != VOID)
            right = (logits.argmax(1) == truth) & asked
            accuracy = torch.where(asked.any(), right.sum() / asked.sum().clamp(min=1), 1.0)
        return {"cross_entropy": layout_cross_entropy(logits, truth), "filled_accuracy": accuracy}


def layout_cross_entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the mean cross entropy over labelled pixels, 0 if every pixel is void.

    Args:
        logits: (B, K, H, W) float.
        truth: (B, H, W) int64 class ids, 255 = void.

    Returns:
        A scalar, in nats.
    """
    labelled = (truth != VOID).sum().clamp(min=1)
    return F.cross_entropy(logits.float(), truth, ignore_index=VOID, reduction="sum") / labelled
