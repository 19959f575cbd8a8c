"""Discriminators: they judge whether patches are photographs, given the layout."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

CHANNELS = (64, 128, 256, 512)


class PatchDiscriminator(nn.Module):
    """Answers for overlapping patches of 70 pixels whether they look real.

    Four convolutions of 4x4, the last of them with stride 1, and one to a single channel, all but
    the first and last with instance norm, all with spectral norm.

    Args:
        classes: K of the layout, void not counted.
        width: Factor on the channels 64, 128, 256 and 512.

    Source:
        Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"; Miyato
        et al. 2018, "Spectral Normalization for Generative Adversarial Networks".
    """

    def __init__(self, classes: int, *, width: float = 1.0) -> None:
        super().__init__()
        before = classes + 1 + 3
        layers: list[nn.Module] = []
        for place, channels in enumerate(CHANNELS):
            wide = max(4, round(width * channels))
            stride = 2 if place < len(CHANNELS) - 1 else 1
            layers.append(spectral_norm(nn.Conv2d(before, wide, 4, stride, padding=1)))
            if place:
                layers.append(nn.InstanceNorm2d(wide))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            before = wide
        layers.append(spectral_norm(nn.Conv2d(before, 1, 4, padding=1)))
        self.layers = nn.Sequential(*layers)

    def forward(self, layout: Tensor, pictures: Tensor) -> Tensor:
        """Return (B, 1, h, w), above 0 where a patch is taken for real.

        Args:
            layout: (B, K + 1, H, W) float one-hot.
            pictures: (B, 3, H, W) RGB around [0, 1].
        """
        answers: Tensor = self.layers(torch.cat([layout, 2 * pictures - 1], 1))
        return answers


class FeatureDiscriminator(nn.Module):
    """Answers for places on a frozen classifier's maps whether they are those of a photograph.

    Starting from maps that know textures already, it tells blur from grain within some hundred
    steps, where a discriminator over pixels needs thousands.

    Args:
        classes: K of the layout, void not counted.
        levels: Which of the maps it looks at, 0 for those of the first block.
        width: Factor on its 256 channels.

    Source:
        Sauer, Chitta, Mueller and Geiger 2021, "Projected GANs Converge Faster".
    """

    CHANNELS = (64, 128, 256, 512, 512)

    def __init__(
        self, classes: int, *, levels: Sequence[int] = (1, 2, 3), width: float = 0.25
    ) -> None:
        super().__init__()
        self.levels = tuple(levels)
        wide = max(4, round(256 * width))
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(self.CHANNELS[level] + classes + 1, wide, 1)),
                nn.LeakyReLU(0.2, inplace=True),
                spectral_norm(nn.Conv2d(wide, wide, 3, padding=1)),
                nn.LeakyReLU(0.2, inplace=True),
                spectral_norm(nn.Conv2d(wide, 1, 3, padding=1)),
            )
            for level in self.levels
        )

    def forward(self, layout: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Return (N,), above 0 where a place is taken for real; all levels one after the other.

        Args:
            layout: (B, K + 1, H, W) float one-hot.
            maps: (B, C, h, w) of each block of the classifier, as PerceptualLoss.maps gives them.
        """
        answers = []
        for level, head in zip(self.levels, self.heads, strict=True):
            seen = maps[level].float()
            # Lengths of these vectors differ by orders of magnitude between levels and places.
            # Added inside of the root, which has no gradient at 0, where a classifier sees nothing.
            length = seen.square().mean(1, keepdim=True).add(1e-6).sqrt()
            classes = F.adaptive_avg_pool2d(layout, (seen.shape[2], seen.shape[3]))
            answers.append(head(torch.cat([seen / length, classes], 1)).flatten())
        return torch.cat(answers)
