"""Losses of generators: perceptual distance with balanced terms, and the adversarial hinge."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of RGB in [0, 1], for the classifiers' published weights."""

BLOCKS = {13: (2, 2, 3, 3, 3), 16: (2, 2, 4, 4, 4)}
"""Convolutions in each block of VGG-16 and VGG-19, by how many there are in all."""

TERMS = ("image", "conv1_2", "conv2_2", "conv3_2", "conv4_2", "conv5_2")
"""What pictures are compared by; all but the first are maps of the classifier."""

FIRST_CONVOLUTIONS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
"""The maps that pix2pixHD and its successors compare by."""


FIRST_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""What their terms count, in the code of pix2pixHD and SPADE."""


class PerceptualLoss:
    """Mean absolute differences of two pictures, of their pixels and of a classifier's maps.

    The classifier is frozen, its maps are taken after the ReLU, and its poolings are averages, as
    in the code of CRN and SIMS. It is no module, so its weights are in no checkpoint.

    Args:
        weights: (weight, bias) of each convolution of VGG-16 or VGG-19, in order.
        layers: Maps that pictures are compared by, "convB_N" for the N-th convolution of block B, in
            the order of the network.
        pooling: "average", or "max" as the classifier was trained.
        standardised: Bring colours to the mean and deviation that the classifier was trained with;
            False shows it colours in [-1, 1], as the code of pix2pixHD does.

    Raises:
        ValueError: If there are neither 13 nor 16 convolutions, or no such layer.

    Source:
        Chen and Koltun 2017, "Photographic Image Synthesis with Cascaded Refinement Networks",
        eq. 1, there with VGG-19.
    """

    def __init__(
        self,
        weights: Sequence[tuple[Tensor, Tensor]],
        *,
        layers: Sequence[str] = TERMS[1:],
        pooling: Literal["average", "max"] = "average",
        standardised: bool = True,
    ) -> None:
        if len(weights) not in BLOCKS:
            raise ValueError(
                f"there are {len(weights)} convolutions, expected the 13 of VGG-16 or the 16 of "
                "VGG-19"
            )
        there = layer_names(len(weights))
        unknown = [layer for layer in layers if layer not in there]
        if unknown or list(layers) != sorted(layers, key=there.index):
            raise ValueError(
                f"layers are {', '.join(layers)}, expected some of {', '.join(there)}, in this order"
            )
        self.network = f"vgg{len(weights) + 3}"
        self.layers = tuple(layers)
        self._pooling = pooling
        self._standardised = standardised
        self._weights = [
            (weight.float().contiguous(memory_format=torch.channels_last), bias.float())
            for weight, bias in weights
        ]

    def comparing(
        self,
        layers: Sequence[str],
        *,
        pooling: Literal["average", "max"] = "average",
        standardised: bool = True,
    ) -> "PerceptualLoss":
        """Return a loss of the same classifier, which shares its weights, by other maps.

        Raises:
            ValueError: If there is no such layer.
        """
        return PerceptualLoss(
            self._weights, layers=layers, pooling=pooling, standardised=standardised
        )

    def to(self, device: torch.device | str) -> "PerceptualLoss":
        """Move the classifier to a device."""
        self._weights = [(weight.to(device), bias.to(device)) for weight, bias in self._weights]
        return self

    def terms(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        """Return the mean absolute difference of each term, unweighted, as scalars by name.

        Args:
            made: (B, 3, H, W) RGB around [0, 1]; the gradient flows into it.
            real: (B, 3, H, W) RGB in [0, 1].
        """
        with torch.no_grad():
            expected = self.maps(real)
        return self.terms_of_maps(made, real, self.maps(made), expected)

    def terms_of_maps(
        self, made: Tensor, real: Tensor, found: Sequence[Tensor], expected: Sequence[Tensor]
    ) -> dict[str, Tensor]:
        """Return the same of pictures whose maps are there already."""
        differences = [(made.float() - real.float()).abs().mean()]
        for mine, wanted in zip(found, expected, strict=True):
            differences.append((mine.float() - wanted.float()).abs().mean())
        return dict(zip(("image", *self.layers), differences, strict=True))

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """Return the maps of the layers, after the ReLU.

        Args:
            pictures: (B, 3, H, W) RGB around [0, 1].

        Returns:
            (B, C, h, w) each; h and w halve from block to block, C is 64, 128, 256, 512, 512 there.
        """
        if self._standardised:
            mean = pictures.new_tensor(IMAGENET_MEAN).view(3, 1, 1)
            std = pictures.new_tensor(IMAGENET_STD).view(3, 1, 1)
            features = (pictures - mean) / std
        else:
            features = 2 * pictures - 1
        features = features.contiguous(memory_format=torch.channels_last)
        maps: list[Tensor] = []
        for (weight, bias), name in zip(
            self._weights, layer_names(len(self._weights)), strict=True
        ):
            if len(maps) == len(self.layers):
                break
            if name.endswith("_1") and name != "conv1_1":
                pool = F.avg_pool2d if self._pooling == "average" else F.max_pool2d
                features = pool(features, 2)
            features = F.relu(F.conv2d(features, weight, bias, padding=1))
            if name in self.layers:
                maps.append(features)
        return maps


def weighted_first(terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the terms of FIRST_CONVOLUTIONS, each times its weight."""
    weighted = zip(FIRST_WEIGHTS, FIRST_CONVOLUTIONS, strict=True)
    return torch.stack([weight * terms[name] for weight, name in weighted]).sum()


def layer_names(convolutions: int) -> list[str]:
    """Return the names of VGG's convolutions, "conv1_1" to "conv5_3" for the 13 of VGG-16."""
    return [
        f"conv{block}_{number}"
        for block, length in enumerate(BLOCKS[convolutions], start=1)
        for number in range(1, length + 1)
    ]


class LossBalance:
    """Weights that let each term of a loss count alike, measured once.

    The terms count as they are for the first steps; then each is divided by its mean over those
    steps, relative to the first term's, and the weights never change again.

    Args:
        terms: Their names; the first keeps weight 1.
        steps: Batches that each process measures; from the last of them on the weights hold.
        device: Where the buffers lie: where the terms do, if several processes train.

    Attributes:
        buffers: "sums" and "weights", (T,) float32 as checkpoints keep them, and "count".

    Source:
        Chen and Koltun 2017, section 3, where the weights are rescaled after 100 epochs.
    """

    def __init__(
        self, terms: Sequence[str], *, steps: int, device: torch.device | str = "cpu"
    ) -> None:
        self._terms = tuple(terms)
        self._steps = steps
        self.buffers = {
            "sums": torch.zeros(len(terms), device=device),
            "weights": torch.ones(len(terms), device=device),
            # A fraction, so that processes which train together can average it and go on alike.
            "count": torch.zeros((), device=device),
        }

    def weighted(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms times their weights, and measure as long as that goes on."""
        sums, weights, count = (self.buffers[name] for name in ("sums", "weights", "count"))
        if float(count) < self._steps:
            measured = [terms[name].detach().float() for name in self._terms]
            sums += torch.stack(measured).to(sums.device)
            count += 1
            if float(count) >= self._steps:
                weights.copy_(sums[0] / sums.clamp(min=1e-12))
        return {name: terms[name] * float(weights[place]) for place, name in enumerate(self._terms)}


def hinge_of_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """Return the hinge loss of a discriminator's answers, any shape: real above 1, made below -1.

    Source:
        Lim and Ye 2017, "Geometric GAN"; Park et al. 2019, "Semantic Image Synthesis with
        Spatially-Adaptive Normalization".
    """
    return F.relu(1 - real).mean() + F.relu(1 + made).mean()


def hinge_of_generator(made: Tensor) -> Tensor:
    """Return what a generator minimises of a discriminator's answers to its pictures."""
    return -made.mean()
