"""OrderNet: from two regions and the layout around them to which one is in front."""

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.ordering.evidence import OUTLINE_SOURCES
from scenequilt.ordering.view import ViewSettings

BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Output channels and convolutions of each block at width 1 (Qi et al. 2018, code)."""

HEAD_CHANNELS = 1024
"""Of the layer before the last, at width 1 (Qi et al. 2018, code)."""

OTHER_CHANNELS = 4
"""Of the input beside the layout: the two masks, and where in the picture each point is."""

EXTENTS = 10
"""Numbers that the head is told of the two regions, since the view may cut them off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNetSettings:
    """How an ordering network is built.

    Attributes:
        width: Share of the paper's channels in each layer, > 0.
        dropout: Share of the last features that is dropped in training, in [0, 1).

    Raises:
        ValueError: If a number is out of range.
    """

    width: float = 0.25
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(
                f"width is {self.width}, expected a positive share of the paper's channels"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, expected a share in [0, 1)")


class OrderNet(nn.Module):
    """Looks at two regions of a layout, and answers whether the first is in front.

    Five blocks of 3x3 convolutions without bias, each followed by layer norm (all channels and
    places of a sample together) and leaky ReLU 0.2; 3x3 pooling of stride 2 after each, an average
    after the first and maxima then; the average of the last map; a layer of 1024 and one logit.

    The original (PaperOrderNet) is shown colours and asked for the class in front, which cannot
    tell two cars apart. Here masks and one-hot layout go in, one logit comes out, it is asked both
    ways, and what it says corrects what the closed form says of the pair: the log odds of class,
    ground contact and enclosure, times a learned weight each, plus the correction. With the 19
    classes of Cityscapes it has 15,268,612 parameters at width 1 (the original 15,267,476), and
    0.96 million at 0.25.

    Args:
        classes: K, void not counted.
        settings: How it is built.
        view: How pairs are shown to it; it takes any size, but knows only what it has seen.

    Attributes:
        outline_weight: (S,) parameter, what the closed form counts, by evidence.OUTLINE_SOURCES.
        temperature: () buffer, > 0; what a logit is divided by before it is a probability.

    Raises:
        ValueError: If there is no class.

    Source:
        Qi, Chen, Jia and Koltun, "Semi-parametric Image Synthesis", CVPR 2018, and its code; the
        temperature: Guo et al., "On Calibration of Modern Neural Networks", 2017; places as input:
        Liu et al., "An Intriguing Failing of Convolutional Neural Networks and the CoordConv
        Solution", 2018.
    """

    temperature: Tensor

    def __init__(
        self,
        classes: int,
        settings: OrderNetSettings | None = None,
        view: ViewSettings | None = None,
    ) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f"classes is {classes}, expected at least 1")
        self.classes = classes
        self.settings = settings or OrderNetSettings()
        self.view = view or ViewSettings()
        width = self.settings.width
        self.trunk = _Trunk(OTHER_CHANNELS + classes + 1, width)
        head = _scaled(HEAD_CHANNELS, width)
        self.head = nn.Sequential(
            nn.Linear(self.trunk.channels + EXTENTS, head, bias=False),
            nn.LayerNorm(head),
            nn.LeakyReLU(0.2),
            nn.Dropout(self.settings.dropout),
            nn.Linear(head, 1),
        )
        self.outline_weight = nn.Parameter(torch.ones(len(OUTLINE_SOURCES)))
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, masks: Tensor, label_map: Tensor, places: Tensor, extents: Tensor) -> Tensor:
        """Return an answer for B pairs seen one way; see correction.

        Args:
            masks: (B, 2, H, W) bool, first and second.
            label_map: (B, H, W) integers, classes of the layout; 255 = void.
            places: (B, 2, H, W) float, x and y of each point in the picture, in [-1, 1] over the
                outer edges of its corner pixels.
            extents: (B, 2, 5) float, box and area of first and second; see view.PairView.

        Returns:
            (B,) float.

        Raises:
            ValueError: If a shape does not fit, or label_map holds a class that is none.
        """
        _refuse_misfits(masks, label_map, places, extents)
        dtype = self.trunk.dtype
        features = torch.cat(
            [masks.to(dtype), places.to(dtype), self._one_hot(label_map, dtype)], dim=1
        )
        features = self.trunk(features.contiguous(memory_format=torch.channels_last))
        # The trunk may be in half precision; the head is small, and its answers are compared.
        pooled = features.mean(dim=(2, 3)).to(self.temperature.dtype)
        told = extents.flatten(1).to(self.temperature.dtype)
        logit: Tensor = self.head(torch.cat([pooled, told], dim=1))
        return logit[:, 0]

    def correction(
        self, masks: Tensor, label_map: Tensor, places: Tensor, extents: Tensor
    ) -> Tensor:
        """Return half the difference of the answers both ways, (B,), for arguments as of forward.

        It is added to the closed form's log odds. Swapping the two turns its sign.
        """
        there: Tensor = self(masks, label_map, places, extents)
        back: Tensor = self(masks.flip(1), label_map, places, extents.flip(1))
        return (there - back) / 2

    def weighed(self, correction: Tensor, outline_logits: Tensor) -> Tensor:
        """Return the log odds (B,) that the first is in front, not divided by temperature.

        Args:
            correction: (B,) float.
            outline_logits: (B, S) float, the closed form's log odds by evidence.OUTLINE_SOURCES.
        """
        return correction.float() + outline_logits.to(self.outline_weight) @ self.outline_weight

    def _one_hot(self, label_map: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (B, K + 1, H, W), void last."""
        kinds = label_map.long()
        kinds = torch.where(kinds == VOID, self.classes, kinds)
        if kinds.numel() and (int(kinds.max()) > self.classes or int(kinds.min()) < 0):
            raise ValueError(
                f"label_map holds class {int(kinds.max())}, but the network knows {self.classes}; "
                "use 255 for void"
            )
        one_hot = torch.zeros(
            (kinds.shape[0], self.classes + 1, *kinds.shape[1:]), dtype=dtype, device=kinds.device
        )
        one_hot.scatter_(1, kinds[:, None], 1)
        return one_hot


class PaperOrderNet(nn.Module):
    """The original, for comparing sizes: colours in, the class in front out.

    Its last average has a window and stride of 8x12, which on the 8x16 map of a 256x512 picture
    leaves out the right quarter.

    Source:
        Qi et al. 2018, code; 15.27 million parameters.
    """

    def __init__(self, logits: int = 20) -> None:
        super().__init__()
        self.trunk = _Trunk(6, 1.0)
        self.pool = nn.AvgPool2d((8, 12), (8, 12))
        self.head = nn.Sequential(
            nn.Conv2d(self.trunk.channels, HEAD_CHANNELS, 1, bias=False),
            nn.GroupNorm(1, HEAD_CHANNELS),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.5),
            nn.Conv2d(HEAD_CHANNELS, logits, 1),
        )

    def forward(self, colors: Tensor) -> Tensor:
        """Return (B, logits) for colours (B, 6, 256, 512) in [0, 1]: the pair, then the layout."""
        logits: Tensor = self.head(self.pool(self.trunk(colors)))
        return logits.flatten(1)


class _Trunk(nn.Module):
    """The blocks; (B, C, H, W) to (B, channels, H / 32, W / 32), rounded up."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        counts = [_scaled(channels, width) for channels, _ in BLOCKS]
        self.channels = counts[-1]
        self.blocks = nn.ModuleList(
            _block(before, after, count)
            for (before, after), (_, count) in zip(pairwise([inputs, *counts]), BLOCKS, strict=True)
        )

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the convolutions."""
        return next(self.parameters()).dtype

    def forward(self, features: Tensor) -> Tensor:
        for place, block in enumerate(self.blocks):
            features = block(features)
            if place == 0:
                features = F.avg_pool2d(features, 3, 2, padding=1, count_include_pad=False)
            else:
                features = F.max_pool2d(features, 3, 2, padding=1)
        return features


def _block(before: int, after: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(count):
        layers += [
            nn.Conv2d(after if number else before, after, 3, padding=1, bias=False),
            nn.GroupNorm(1, after),
            nn.LeakyReLU(0.2),
        ]
    return nn.Sequential(*layers)


def _scaled(channels: int, width: float) -> int:
    return max(4, round(width * channels))


def _refuse_misfits(masks: Tensor, label_map: Tensor, places: Tensor, extents: Tensor) -> None:
    if masks.ndim != 4 or masks.shape[1] != 2:
        raise ValueError(f"masks must be (B, 2, H, W), got {tuple(masks.shape)}")
    size = (masks.shape[0], *masks.shape[2:])
    for name, value, expected in (
        ("label_map", label_map, size),
        ("places", places, tuple(masks.shape)),
        ("extents", extents, (masks.shape[0], 2, 5)),
    ):
        if tuple(value.shape) != expected:
            raise ValueError(
                f"{name} must be {expected} for masks {tuple(masks.shape)}, "
                f"got {tuple(value.shape)}"
            )
