"""Losses of generators: perceptual distance with balanced terms, and the adversarial hinge."""

from collections.abc import Mapping, Sequence

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


class PerceptualLoss:
    """Mean absolute differences of two pictures, of their pixels and of a classifier's maps.

    The classifier is frozen, its maps are taken after the ReLU, and its poolings are averages, as
    in the code of the papers. It is no module, so its weights are in no checkpoint.

    Args:
        weights: (weight, bias) of each convolution of VGG-16 or VGG-19, in order.

    Raises:
        ValueError: If there are neither 13 nor 16 of them.

    Source:
        Chen and Koltun 2017, "Photographic Image Synthesis with Cascaded Refinement Networks",
        eq. 1, there with VGG-19.
    """

    def __init__(self, weights: Sequence[tuple[Tensor, Tensor]]) -> None:
        if len(weights) not in BLOCKS:
            raise ValueError(
                f"there are {len(weights)} convolutions, expected the 13 of VGG-16 or the 16 of "
                "VGG-19"
            )
        self.network = f"vgg{len(weights) + 3}"
        self._weights = [
            (weight.float().contiguous(memory_format=torch.channels_last), bias.float())
            for weight, bias in weights
        ]

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
        return dict(zip(TERMS, differences, strict=True))

    def maps(self, pictures: Tensor) -> list[Tensor]:
        """Return the maps after the second convolution of each of the five blocks.

        Args:
            pictures: (B, 3, H, W) RGB around [0, 1].

        Returns:
            (B, C, h, w) each, h and w halving; C is 64, 128, 256, 512, 512.
        """
        mean = pictures.new_tensor(IMAGENET_MEAN).view(3, 1, 1)
        std = pictures.new_tensor(IMAGENET_STD).view(3, 1, 1)
        features = ((pictures - mean) / std).contiguous(memory_format=torch.channels_last)
        maps, place = [], 0
        for number, length in enumerate(BLOCKS[len(self._weights)]):
            if number:
                features = F.avg_pool2d(features, 2)
            last_block = number == len(BLOCKS[13]) - 1
            for _ in range(2 if last_block else length):
                weight, bias = self._weights[place]
                features = F.relu(F.conv2d(features, weight, bias, padding=1))
                if place in self._ends:
                    maps.append(features)
                place += 1
        return maps

    @property
    def _ends(self) -> set[int]:
        lengths = BLOCKS[len(self._weights)]
        return {sum(lengths[:number]) + 1 for number in range(len(lengths))}


class LossBalance:
    """Weights that let each term of a loss count alike, measured once.

    The terms count as they are for the first steps; then each is divided by its mean over those
    steps, relative to the first term's, and the weights never change again.

    Args:
        terms: Their names; the first keeps weight 1.
        steps: Steps that are measured; from the last of them on the weights hold.
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
            "count": torch.zeros((), dtype=torch.int64, device=device),
        }

    def weighted(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms times their weights, and measure as long as that goes on."""
        sums, weights, count = (self.buffers[name] for name in ("sums", "weights", "count"))
        if int(count) < self._steps:
            measured = [terms[name].detach().float() for name in self._terms]
            sums += torch.stack(measured).to(sums.device)
            count += 1
            if int(count) == self._steps:
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
