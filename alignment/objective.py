"""What the alignment network minimises: colours apart, and masks apart."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scenequilt.alignment.network import AlignmentNet, warp
from scenequilt.alignment.samples import AlignmentBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentWeights:
    """What the terms count.

    Attributes:
        color: Of the masked difference of colours; pairs of two photographs have no such term.
        overlap: Of 1 - soft IoU; 0 leaves it out, as Qi et al. 2018 do.
        stuff_excess: What a pixel of stuff outside of its query costs in that IoU, in [0, 1]; of
            things it costs 1. The closed form holds it at 0.4, the IoU that decides in the end at
            1; what lies between serves both.

    Raises:
        ValueError: If a weight is negative, both are 0, or stuff_excess is out of range.
    """

    color: float = 1.0
    overlap: float = 1.0
    stuff_excess: float = 0.7

    def __post_init__(self) -> None:
        if min(self.color, self.overlap) < 0 or self.color + self.overlap == 0:
            raise ValueError(
                f"weights are color {self.color} and overlap {self.overlap}, expected two numbers "
                "of at least 0, not both 0"
            )
        if not 0 <= self.stuff_excess <= 1:
            raise ValueError(f"stuff_excess is {self.stuff_excess}, expected 0 to 1")


class AlignmentObjective:
    """Trains one AlignmentNet.

    Args:
        network: What is trained.
        weights: What the terms count.
    """

    def __init__(self, network: AlignmentNet, weights: AlignmentWeights) -> None:
        self._network = network
        self._weights = weights

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return {"network": ...}."""
        return {"network": self._network}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return {}: nothing is kept between two steps."""
        return {}

    def losses(self, part: str, batch: AlignmentBatch) -> Mapping[str, Tensor]:
        """Return the terms by name; those whose weight is 0 are not there."""
        theta = self._network(batch.color, batch.query_mask, batch.label_map)
        terms = {}
        if self._weights.color > 0:
            apart = color_difference(warp(batch.color, theta), batch.target, batch.query_mask)
            count = batch.displaced.sum().clamp(min=1)
            terms["color"] = self._weights.color * (apart * batch.displaced).sum() / count
        if self._weights.overlap > 0:
            placed = warp(batch.segment_mask, theta) * batch.inside
            cost = batch.thing + (1 - batch.thing) * self._weights.stuff_excess
            rating = match(placed, batch.query_mask, cost)
            terms["overlap"] = self._weights.overlap * (1 - rating).mean()
        return terms


def color_difference(color: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the masked L1 difference of colours.

    Mean over the channels, sum over the mask, divided by its area + 1.

    Args:
        color: (B, 3, H, W) in [0, 1].
        target: (B, 3, H, W) in [0, 1].
        mask: (B, 1, H, W), 0 or 1.

    Returns:
        (B,) in [0, 1].

    Source:
        Qi et al., "Semi-parametric Image Synthesis", CVPR 2018, section on the transformation
        network, and its code; there in units of 1/255, and the segments of a picture are added up
        first.
    """
    apart = (color - target).abs().mean(dim=1, keepdim=True) * mask
    return apart.sum(dim=(1, 2, 3)) / (mask.sum(dim=(1, 2, 3)) + 1)


def match(placed: Tensor, query: Tensor, excess_cost: Tensor) -> Tensor:
    """Return how well masks whose values lie in [0, 1] meet their queries; 0 where both are empty.

    shared / (shared + open + excess_cost * excess): for a cost of 1 the soft IoU.

    Args:
        placed: (B, 1, H, W).
        query: (B, 1, H, W).
        excess_cost: (B,), what a pixel of the first outside of the second costs.

    Returns:
        (B,) in [0, 1].

    Source:
        Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks for Image
        Segmentation", 2016, eq. 2 and 3; the cost of excess after Salehi et al., "Tversky loss
        function for image segmentation", 2017.
    """
    shared = (placed * query).sum(dim=(1, 2, 3))
    excess = placed.sum(dim=(1, 2, 3)) - shared
    total = query.sum(dim=(1, 2, 3)) + excess_cost * excess
    return shared / total.clamp(min=torch.finfo(total.dtype).tiny)


def soft_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU of masks (B, 1, H, W) whose values lie in [0, 1]: (B,), 0 where both are empty."""
    return match(first, second, torch.ones_like(first[:, 0, 0, 0]))
