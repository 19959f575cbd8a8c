"""What a segmenter learns by: cross entropy over the labelled pixels, weighted by class."""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.tools.evaluation.cgnet import CGNet
from scenequilt.tools.training.segmenter_samples import SegmenterBatch

MEAN, STD = 0.45, 0.25
"""Of photographs in [0, 1], roughly and for all channels: what the network sees is near 0 and 1."""

WEIGHT_OFFSET = 1.1
"""At which a class that fills every picture weighs 1.35 and one that is hardly there 10.5."""


def build_network(classes: int, *, seed: int) -> CGNet:
    """Build CGNet for training, its weights drawn by seed alone; the global generator is untouched.

    Convolutions are drawn after He et al. 2015, "Delving Deep into Rectifiers".
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CGNet(classes)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    # Depthwise convolutions on the CPU are several times faster in this order of memory.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def normalized(images: Tensor) -> Tensor:
    """Return pictures in [0, 1], any shape, as the network is trained to see them."""
    return (images - MEAN) / STD


def class_weights(class_pixels: NDArray[np.int64]) -> Tensor:
    """Return what a pixel of each class weighs in the loss: 1 / ln(1.1 + share of the pixels).

    Args:
        class_pixels: (K,) labelled pixels of each class.

    Returns:
        (K,) float32.

    Raises:
        ValueError: If no class has a pixel.

    Source:
        Paszke et al. 2016, "ENet: A Deep Neural Network Architecture for Real-Time Semantic
        Segmentation", section 5.1, there with 1.02.
    """
    if not class_pixels.any():
        raise ValueError("class_pixels is 0 for every class, expected at least one labelled pixel")
    share = class_pixels / class_pixels.sum()
    return torch.from_numpy(1 / np.log(WEIGHT_OFFSET + share)).float()


def segmentation_loss(scores: Tensor, label_maps: Tensor, weights: Tensor) -> Tensor:
    """Return the mean cross entropy over the labelled pixels, weighted by class.

    Args:
        scores: (B, K, H, W) before the softmax.
        label_maps: (B, H, W) int64, 255 = void, which does not count.
        weights: (K,) of each class.

    Returns:
        A scalar; 0 where all is void.
    """
    summed = F.cross_entropy(scores, label_maps, weights, ignore_index=VOID, reduction="sum")
    total = F.pad(weights, (0, VOID + 1 - len(weights)))[label_maps].sum()
    # A mean over nothing would be NaN, and with it all weights.
    return summed / total.clamp(min=1e-6)


class SegmenterObjective:
    """Learn the class of every pixel: weighted cross entropy.

    Args:
        network: Taking normalized pictures.
        weights: (K,) of each class.
    """

    def __init__(self, network: nn.Module, weights: Tensor) -> None:
        self.networks: Mapping[str, nn.Module] = {"network": network}
        self.buffers: Mapping[str, Tensor] = {}
        self._weights = weights

    def losses(self, part: str, batch: SegmenterBatch) -> Mapping[str, Tensor]:
        """Return the cross entropy of a batch."""
        images = normalized(batch.images).contiguous(memory_format=torch.channels_last)
        scores = self.networks[part](images)
        weights = self._weights.to(scores.device)
        return {"cross_entropy": segmentation_loss(scores.float(), batch.label_maps, weights)}
