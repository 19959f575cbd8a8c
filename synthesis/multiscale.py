"""Discriminators over several scales, and the loss that matches what they see."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

FIRST_CHANNELS, MOST_CHANNELS = 64, 512
"""Of the first stage; they double from stage to stage up to the second number."""


class ScaleDiscriminator(nn.Module):
    """Answers for overlapping patches of 70 pixels of one scale; shows all its maps.

    Convolutions of 4x4 with 2 pixels of zeros around, which makes maps a pixel larger than a half:
    64, 128, 256 and 512 channels, the last of them with stride 1, then one to a single channel. All
    but the first and last with instance norm; LeakyReLU of 0.2 after all but the last.

    Args:
        in_channels: Of condition and picture together.
        width: Factor on the channels.
        stages: Convolutions before the one to a single channel, the last of them with stride 1.
        spectral: Spectral norm on those with instance norm.
        bias_before_norm: They keep a bias, though the norm takes it off again.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        width: float = 1.0,
        stages: int = 4,
        spectral: bool = False,
        bias_before_norm: bool = True,
    ) -> None:
        super().__init__()
        if stages < 2:
            raise ValueError(f"stages is {stages}, expected at least 2")
        self.stages = nn.ModuleList()
        before = in_channels
        for place in range(stages):
            wide = max(4, round(width * min(FIRST_CHANNELS * 2**place, MOST_CHANNELS)))
            stride = 2 if place < stages - 1 else 1
            normed = place > 0
            conv = nn.Conv2d(before, wide, 4, stride, 2, bias=bias_before_norm or not normed)
            layers: list[nn.Module] = [spectral_norm(conv) if spectral and normed else conv]
            if normed:
                layers.append(nn.InstanceNorm2d(wide))
            # Not in place: the maps are compared as they are after it, and by both losses.
            layers.append(nn.LeakyReLU(0.2))
            self.stages.append(nn.Sequential(*layers))
            before = wide
        self.stages.append(nn.Sequential(nn.Conv2d(before, 1, 4, padding=2)))

    def forward(self, condition_and_picture: Tensor) -> list[Tensor]:
        """Return the map of each stage; the last, (B, 1, h, w), are the answers.

        Args:
            condition_and_picture: (B, C, H, W).
        """
        maps = [condition_and_picture]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


class MultiScaleDiscriminator(nn.Module):
    """Discriminators of one kind, each with weights of its own, over a picture and its halves.

    The last looks at full size, the first at the smallest. So a discriminator keeps its absolute
    resolution when one for twice the size is put behind it, as the code of pix2pixHD does it.

    At width 1.0 with spectral False, 39 channels given: 5,603,202 parameters at 2 scales, 8,404,803
    at 3.

    Args:
        in_channels: Of condition and picture together.
        width: Factor on the channels.
        scales: K, how many of them.
        stages: Convolutions of each before the one to a single channel.
        spectral: Spectral norm on the layers with instance norm.
        bias_before_norm: Convolutions before an instance norm keep their bias.

    Raises:
        ValueError: If scales is below 1, or stages below 2.

    Source:
        Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with Conditional
        GANs", section 3.2; Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive
        Normalization", appendix A, with spectral norm.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        width: float = 1.0,
        scales: int = 2,
        stages: int = 4,
        spectral: bool = False,
        bias_before_norm: bool = True,
    ) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"scales is {scales}, expected at least 1")
        self.scales = nn.ModuleList(
            ScaleDiscriminator(
                in_channels,
                width=width,
                stages=stages,
                spectral=spectral,
                bias_before_norm=bias_before_norm,
            )
            for _ in range(scales)
        )

    def forward(self, condition_and_picture: Tensor) -> list[list[Tensor]]:
        """Return the maps of each scale, the smallest first; the last map of each are its answers.

        Args:
            condition_and_picture: (B, C, H, W), colours in [-1, 1].
        """
        pyramid = [condition_and_picture]
        for _ in self.scales[1:]:
            pyramid.append(halved_smoothly(pyramid[-1]))
        return [net(seen) for net, seen in zip(self.scales, reversed(pyramid), strict=True)]


def halved_smoothly(given: Tensor) -> Tensor:
    """Halve a size, rounding up, by averages over 3x3 pixels; those beyond the border do not count.

    Args:
        given: (B, C, H, W) float.
    """
    return F.avg_pool2d(given, 3, 2, 1, count_include_pad=False)


def feature_matching(
    real_maps: Sequence[Sequence[Tensor]], made_maps: Sequence[Sequence[Tensor]]
) -> Tensor:
    """Return the mean absolute difference of maps, summed over layers, averaged over scales.

    The answers are left out. The paper sums over scales; its code divides by their number, as here,
    which is what its weight of 10 goes with.

    Args:
        real_maps: Of a photograph, by scale and layer, the answers last; no gradient flows into
            them.
        made_maps: The same of a made picture.

    Source:
        Wang et al. 2018, eq. 4.
    """
    differences = [
        F.l1_loss(mine.float(), wanted.detach().float())
        for of_made, of_real in zip(made_maps, real_maps, strict=True)
        for mine, wanted in zip(of_made[:-1], of_real[:-1], strict=True)
    ]
    return torch.stack(differences).sum() / len(made_maps)
