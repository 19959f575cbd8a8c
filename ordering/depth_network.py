"""DepthNet: how far everything in one photograph is; NetworkDepth offers it as a DepthSource."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

ENCODER = (64, 128, 256, 512, 512)
"""Channels at each halving of the picture, at width 1."""

FINEST_DECODED = 1
"""The decoder ends at half the picture's height: depth is smooth, and edges come from layouts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthNetSettings:
    """How a depth network is built.

    Attributes:
        width: Share of the channels of ENCODER, > 0.
        size_hw: (height, width) in pixels at which it looks at pictures, multiples of 16.

    Raises:
        ValueError: If a number is out of range.
    """

    width: float = 0.25
    size_hw: tuple[int, int] = (96, 128)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_hw", tuple(self.size_hw))
        if not self.width > 0:
            raise ValueError(f"width is {self.width}, expected a positive share")
        if len(self.size_hw) != 2 or any(side < 16 or side % 16 for side in self.size_hw):
            raise ValueError(
                f"size_hw is {self.size_hw}, expected (height, width), multiples of 16"
            )


class DepthNet(nn.Module):
    """Encoder and decoder with skip connections, two convolutions a level.

    Each 3x3 convolution is followed by layer norm and leaky ReLU 0.2, as in the other networks of
    this package; the input carries the place of each pixel, since what is lower is nearer.

    Args:
        settings: How it is built; 1.22 million parameters by default.

    Source:
        The form: Ronneberger et al., "U-Net", 2015. Places as input: Liu et al. 2018 (CoordConv).
        The sizes are ours: which depth network Qi et al. 2018 used is not known.
    """

    def __init__(self, settings: DepthNetSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or DepthNetSettings()
        counts = [max(4, round(self.settings.width * channels)) for channels in ENCODER]
        self.encoder = nn.ModuleList(
            _level(before, after) for before, after in zip([5, *counts[:-1]], counts, strict=True)
        )
        self.decoder = nn.ModuleList(
            _level(counts[place + 1] + counts[place], counts[place])
            for place in range(len(counts) - 2, FINEST_DECODED - 1, -1)
        )
        self.last = nn.Conv2d(counts[FINEST_DECODED], 1, 1)
        assert self.last.bias is not None
        # It begins at about e metres everywhere.
        nn.init.ones_(self.last.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return log depth in log metres.

        Args:
            images: (B, 3, H, W) RGB in [0, 1], H and W multiples of 16.

        Returns:
            (B, H / 2, W / 2) float.

        Raises:
            ValueError: If the shape does not fit.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] % 16 or images.shape[3] % 16:
            raise ValueError(
                "images must be (B, 3, H, W) with H and W multiples of 16, "
                f"got {tuple(images.shape)}"
            )
        features = torch.cat([2 * images - 1, _places_like(images)], dim=1)
        features = features.contiguous(memory_format=torch.channels_last)
        seen = []
        for place, level in enumerate(self.encoder):
            features = level(F.avg_pool2d(features, 2) if place else features)
            seen.append(features)
        for level, skipped in zip(self.decoder, seen[-2::-1], strict=False):
            larger = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = level(torch.cat([larger, skipped], dim=1))
        log_depth: Tensor = self.last(features)
        return log_depth[:, 0]


class NetworkDepth:
    """A trained DepthNet as a DepthSource.

    Args:
        network: Trained; it stays on its device.
    """

    def __init__(self, network: DepthNet) -> None:
        self._network = network.eval()

    def depth(self, source_id: str, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return depths (H, W) float32 in metres as far as one picture tells; see DepthSource.

        Raises:
            ValueError: If image is not (H, W, 3) uint8.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
        device = next(self._network.parameters()).device
        picture = torch.from_numpy(np.ascontiguousarray(image)).to(device)
        pictures = picture.permute(2, 0, 1)[None].float() / 255
        size_hw = self._network.settings.size_hw
        with torch.inference_mode():
            small = F.interpolate(
                pictures, size=size_hw, mode="bilinear", antialias=True, align_corners=False
            )
            log_depth = self._network(small)[:, None].float()
            full = F.interpolate(
                log_depth, size=image.shape[:2], mode="bilinear", align_corners=False
            )
        depth_m: NDArray[np.float32] = full[0, 0].exp().cpu().numpy()
        return depth_m


def _level(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.GroupNorm(1, after),
        nn.LeakyReLU(0.2),
        nn.Conv2d(after, after, 3, padding=1, bias=False),
        nn.GroupNorm(1, after),
        nn.LeakyReLU(0.2),
    )


def _places_like(images: Tensor) -> Tensor:
    """Return (B, 2, H, W), x and y in [-1, 1] over the outer edges of the corner pixels."""
    batch, _, height, width = images.shape
    x = (2 * torch.arange(width, device=images.device, dtype=images.dtype) + 1) / width - 1
    y = (2 * torch.arange(height, device=images.device, dtype=images.dtype) + 1) / height - 1
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)]).expand(
        batch, -1, -1, -1
    )
