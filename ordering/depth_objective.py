"""The scale-invariant loss of depth, and how far depth is off."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scenequilt.ordering.depth_network import DepthNet
from scenequilt.ordering.depth_samples import DepthBatch


def scale_invariant_log_loss(
    log_depth: Tensor, log_truth: Tensor, known: Tensor, *, invariance: float = 0.5
) -> Tensor:
    """Return the mean over pictures of mean(d^2) - invariance * mean(d)^2, d the log difference.

    At 0 it is the mean square in log depth; at 1 a factor on all depths of a picture costs nothing.

    Args:
        log_depth: (B, H, W) log depth.
        log_truth: (B, H, W), anything where not known.
        known: (B, H, W) bool; a picture without any counts as 0.
        invariance: lambda of the paper, in [0, 1].

    Raises:
        ValueError: If shapes differ, or invariance is out of range.

    Source:
        Eigen, Puhrsch and Fergus, "Depth Map Prediction from a Single Image using a Multi-Scale
        Deep Network", 2014, eq. 4.
    """
    if not log_depth.shape == log_truth.shape == known.shape or log_depth.ndim != 3:
        raise ValueError(
            "log_depth, log_truth and known must be of one shape (B, H, W), got "
            f"{tuple(log_depth.shape)}, {tuple(log_truth.shape)} and {tuple(known.shape)}"
        )
    if not 0 <= invariance <= 1:
        raise ValueError(f"invariance is {invariance}, expected 0 to 1")
    difference = torch.where(known, log_depth - log_truth, 0)
    count = known.sum(dim=(1, 2)).clamp(min=1)
    mean = difference.sum(dim=(1, 2)) / count
    mean_square = difference.square().sum(dim=(1, 2)) / count
    return (mean_square - invariance * mean.square()).mean()


class DepthObjective:
    """The scale-invariant loss, and the same of neighbouring differences, so that edges are sharp.

    Args:
        network: What is trained.
        invariance: lambda of the scale-invariant loss.
        gradient_weight: What the differences count.

    Source:
        Eigen et al. 2014; the differences: Eigen and Fergus, "Predicting Depth, Surface Normals and
        Semantic Labels with a Common Multi-Scale Convolutional Architecture", 2015, eq. 1.
    """

    def __init__(
        self, network: DepthNet, *, invariance: float = 0.5, gradient_weight: float = 1.0
    ) -> None:
        self._network = network
        self._invariance, self._gradient_weight = invariance, gradient_weight

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the network as "network"."""
        return {"network": self._network}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return nothing: steps change nothing else in place."""
        return {}

    def losses(self, part: str, batch: DepthBatch) -> Mapping[str, Tensor]:
        """Return "depth" and "gradient" as scalars, weighted.

        Raises:
            ValueError: If there is no such part.
        """
        if part != "network":
            raise ValueError(f'no part {part!r}; there is "network"')
        log_depth = self._network(batch.images).float()
        log_truth = batch.depth_m.clamp(min=1e-3).log()
        known = batch.depth_m > 0
        return {
            "depth": scale_invariant_log_loss(
                log_depth, log_truth, known, invariance=self._invariance
            ),
            "gradient": self._gradient_weight * gradient_loss(log_depth, log_truth, known),
        }


def gradient_loss(log_depth: Tensor, log_truth: Tensor, known: Tensor) -> Tensor:
    """Return the mean square difference of steps between neighbours, down and along.

    Args:
        log_depth, log_truth, known: As for scale_invariant_log_loss.
    """
    difference = torch.where(known, log_depth - log_truth, 0)
    total = log_depth.new_zeros(())
    for dim in (1, 2):
        length = difference.shape[dim] - 1
        step = difference.narrow(dim, 1, length) - difference.narrow(dim, 0, length)
        both = known.narrow(dim, 1, length) & known.narrow(dim, 0, length)
        total = total + torch.where(both, step, 0).square().sum() / both.sum().clamp(min=1)
    return total


@dataclass(frozen=True, slots=True)
class DepthScore:
    """How far depths are off, over the known pixels of some pictures.

    Attributes:
        relative_error: Mean of |depth - truth| / truth.
        within_quarter: Share of pixels whose depth is within a factor of 1.25.
        scale_free_error: Root of the mean of the variance of the log difference, which no factor
            on a picture's depths changes.
    """

    relative_error: float
    within_quarter: float
    scale_free_error: float


def score_depth(log_depth: Tensor, depth_m: Tensor) -> DepthScore:
    """Measure log depths (B, H, W) against depths (B, H, W) in metres, 0 = unknown.

    Raises:
        ValueError: If nothing is known.

    Source:
        Eigen et al. 2014, section 4.
    """
    known = depth_m > 0
    if not known.any():
        raise ValueError("no depth is known, expected at least one pixel above 0")
    log_truth = depth_m.clamp(min=1e-6).log()
    difference = (log_depth - log_truth)[known]
    free = scale_invariant_log_loss(log_depth, log_truth, known, invariance=1.0)
    return DepthScore(
        float((difference.exp() - 1).abs().mean()),
        float((difference.abs() < float(torch.log(torch.tensor(1.25)))).float().mean()),
        float(free.clamp(min=0).sqrt()),
    )
