"""AlignmentNet: from a segment and its query to the affine map between them."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.alignment.view import ViewSettings
from scenequilt.memory_bank.taxonomy import VOID

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Output channels and convolutions of each block at width 1 (Qi et al. 2018, code)."""

OTHER_CHANNELS = 4
"""Of the input beside the layout: red, green and blue of the segment, mask of the query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentNetSettings:
    """How large the network is.

    Attributes:
        width: Share of the paper's channels in each layer, > 0.

    Raises:
        ValueError: If width is not positive.
    """

    width: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.width < math.inf:
            raise ValueError(
                f"width is {self.width}, expected a positive share of the paper's channels"
            )


class AlignmentNet(nn.Module):
    """Looks at a segment and its query, and answers where each point of the query comes from.

    Five blocks of 3x3 convolutions without bias, each followed by layer norm (all channels and
    places of a sample together) and leaky ReLU 0.2; 3x3 pooling of stride 2 after each, an average
    after the first and maxima then; the average of the last map; one linear layer, which begins as
    the identity map. Takes any size, since the last map is averaged whatever its size.

    The original counts its translation in pixels around the middle of the picture, so that a model
    is bound to one resolution; ours is in the view's normalised coordinates.

    Args:
        classes: K, void not counted.
        settings: How large it is; at width 1.0 and 19 classes it has 14.73 million parameters.
        view: What of a layout it is shown; kept with the network, since it learns from such views.

    Raises:
        ValueError: If there is no class.

    Source:
        Qi, Chen, Jia and Koltun, "Semi-parametric Image Synthesis", CVPR 2018, and its code;
        Jaderberg et al., "Spatial Transformer Networks", 2015.
    """

    def __init__(
        self,
        classes: int,
        settings: AlignmentNetSettings | None = None,
        view: ViewSettings | None = None,
    ) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes is {classes}, expected at least 1")
        self.classes = classes
        self.settings = settings or AlignmentNetSettings()
        self.view = view or ViewSettings()
        channels = [max(4, round(self.settings.width * count)) for count, _ in BLOCKS]
        ends = pairwise([OTHER_CHANNELS + classes + 1, *channels])
        self.blocks = nn.ModuleList(
            _block(before, after, count)
            for (before, after), (_, count) in zip(ends, BLOCKS, strict=True)
        )
        self.last = nn.Linear(channels[-1], 6)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, color: Tensor, mask: Tensor, label_map: Tensor) -> Tensor:
        """Return theta for each of B queries.

        Args:
            color: (B, 3, H, W) RGB in [0, 1], the segment on the view; 0 where it is not.
            mask: (B, 1, H, W) in [0, 1], the query's.
            label_map: (B, H, W) integers, the layout's classes, each below K; 255 = void.

        Returns:
            (B, 2, 3) source_from_target: takes a point (x, y, 1) of the view to the point that
            color is to be read from, both in [-1, 1] over the outer edges of the corner pixels.

        Raises:
            ValueError: If a shape does not fit.
        """
        size = (color.shape[0], *color.shape[2:])
        if color.ndim != 4 or color.shape[1] != 3:
            raise ValueError(f"color must be (B, 3, H, W), got {tuple(color.shape)}")
        if mask.shape != (size[0], 1, *size[1:]):
            raise ValueError(
                f"mask must be {(size[0], 1, *size[1:])} for color {tuple(color.shape)}, "
                f"got {tuple(mask.shape)}"
            )
        if label_map.shape != size:
            raise ValueError(
                f"label_map must be {size} for color {tuple(color.shape)}, "
                f"got {tuple(label_map.shape)}"
            )
        features = torch.cat([color, mask, self._one_hot(label_map, color.dtype)], dim=1)
        features = features.contiguous(memory_format=torch.channels_last)
        for place, block in enumerate(self.blocks):
            features = block(features)
            if place == 0:
                features = F.avg_pool2d(features, 3, 2, padding=1, count_include_pad=False)
            else:
                features = F.max_pool2d(features, 3, 2, padding=1)
        change: Tensor = self.last(features.mean(dim=(2, 3)).to(self.last.weight.dtype))
        # The identity is added here, not in the layer's bias, so that half precision rounds the
        # change alone: next to 1, bfloat16 knows a hundredth.
        change = change.to(torch.promote_types(change.dtype, torch.float32)).view(-1, 2, 3)
        return change + torch.eye(2, 3, dtype=change.dtype, device=change.device)

    def _one_hot(self, label_map: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (B, K + 1, H, W), void last."""
        places = torch.where(label_map == VOID, self.classes, label_map.long())
        count, height, width = places.shape
        one_hot = torch.zeros(
            (count, self.classes + 1, height, width), dtype=dtype, device=places.device
        )
        return one_hot.scatter_(1, places[:, None], 1)


def warp(image: Tensor, source_from_target: Tensor) -> Tensor:
    """Sample images where affine maps say each pixel comes from.

    Coordinates run from -1 to 1 over the outer edges of the corner pixels, x to the right, y down
    (align_corners=False), so that the identity keeps every row and column. Samples outside of an
    image are 0. Differentiable in both tensors.

    Args:
        image: (B, C, H, W) float, any range.
        source_from_target: (B, 2, 3) float. Takes an output point (x, y, 1) to the input point
            that it is read from: the inverse of the motion that the picture seems to make.

    Returns:
        (B, C, H, W) of image's dtype.

    Raises:
        ValueError: If a shape does not fit.

    Source:
        Jaderberg et al. 2015, "Spatial Transformer Networks", eq. 1 and 5.
    """
    if image.ndim != 4:
        raise ValueError(f"image must be (B, C, H, W), got {tuple(image.shape)}")
    if source_from_target.shape != (image.shape[0], 2, 3):
        raise ValueError(
            f"source_from_target must be {(image.shape[0], 2, 3)} for a batch of "
            f"{image.shape[0]}, got {tuple(source_from_target.shape)}"
        )
    grid = F.affine_grid(source_from_target.to(image.dtype), list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, padding_mode="zeros", align_corners=False)


def _block(before: int, after: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [
            nn.Conv2d(after if number else before, after, 3, padding=1, bias=False),
            nn.GroupNorm(1, after),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers)
