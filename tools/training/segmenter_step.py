"""One step of training a segmenter: weighted cross entropy, AdamW, one cycle, averaged weights."""

import copy
import math
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

CYCLE_START, CYCLE_END = 1 / 25, 1 / 250_000
"""First and last learning rate as a share of the peak."""

GROWING_DECAY = 10
"""The average of the weights reaches back over at most a tenth of the steps so far: (1 + n) /
(10 + n) is its decay in step n until that exceeds the one asked for."""


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


class SegmenterStep:
    """Learn the class of every pixel.

    Args:
        network: Taking normalized pictures; in training mode and on one device.
        weights: (K,) of each class.
        total_steps: Length of the cycle of learning rates.
        peak_rate: Greatest learning rate.
        warm_up: Share of the steps until the peak.
        weight_decay: Of AdamW.
        average_decay: How much of the averaged weights a step leaves, in [0, 1).

    Attributes:
        average: The network with averaged weights and statistics, in evaluation mode: the one to
            be used.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: Tensor,
        *,
        total_steps: int,
        peak_rate: float,
        warm_up: float,
        weight_decay: float,
        average_decay: float,
    ) -> None:
        self.network = network
        self.average = copy.deepcopy(network).eval().requires_grad_(False)
        self._parameters = list(network.parameters())
        self._device = self._parameters[0].device
        self._weights = weights.to(self._device)
        self._optimizer = torch.optim.AdamW(
            self._parameters, lr=peak_rate, weight_decay=weight_decay
        )
        self._total_steps = total_steps
        self._peak_rate = peak_rate
        self._warm_up = warm_up
        self._average_decay = average_decay
        self._steps_done = 0

    def __call__(self, batch: SegmenterBatch) -> Mapping[str, float]:
        """Take one step; figures are the cross entropy and the learning rate."""
        rate = one_cycle(
            self._steps_done + 1,
            total_steps=self._total_steps,
            peak=self._peak_rate,
            warm_up=self._warm_up,
        )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        images = normalized(batch.images.to(self._device))
        scores = self.network(images.contiguous(memory_format=torch.channels_last))
        loss = segmentation_loss(scores, batch.label_maps.to(self._device), self._weights)

        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()

        self._steps_done += 1
        self._update_average()
        return {"cross_entropy": loss.item(), "learning_rate": rate}

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that a later step depends on, as flat names."""
        state = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        state |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for place, moments in self._optimizer.state_dict()["state"].items():
            state |= {f"optimizer.{place}.{name}": value for name, value in moments.items()}
        return state | {"steps_done": torch.tensor(self._steps_done)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            RuntimeError: If it is of another network.
        """
        self.network.load_state_dict(_under("network.", state))
        self.average.load_state_dict(_under("average.", state))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", state).items():
            place, _, moment = name.partition(".")
            parameter = self._parameters[int(place)]
            if value.shape == parameter.shape:
                # In the parameter's order of memory: sums in another order end in other bits.
                value = torch.empty_like(parameter).copy_(value)
            moments.setdefault(int(place), {})[moment] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._steps_done = int(state["steps_done"])

    @torch.no_grad()
    def _update_average(self) -> None:
        grown = (1 + self._steps_done) / (GROWING_DECAY + self._steps_done)
        share = 1 - min(self._average_decay, grown)
        current = self.network.state_dict()
        for name, averaged in self.average.state_dict().items():
            if averaged.is_floating_point():
                averaged.lerp_(current[name], share)
            else:
                averaged.copy_(current[name])


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
