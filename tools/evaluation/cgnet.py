"""CGNet, the light segmentation network that pictures are judged by (Wu et al. 2018, M3N21)."""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH_NORM_EPS = 1e-3
FIRST_WIDTH, SECOND_WIDTH, THIRD_WIDTH = 32, 64, 128
SECOND_BLOCKS, THIRD_BLOCKS = 3, 21
"""M and N of the paper: blocks of the second and third stage, the one that shrinks included."""


class CGNet(nn.Module):
    """Context guided network: three stages to an eighth of the size, one linear classifier.

    Takes (B, 3, H, W) float RGB in [0, 1] and returns (B, K, H, W) float scores before the softmax.
    What the network was trained to see is preprocessing's business: see Segmenter.

    Args:
        classes: K.

    Source:
        Wu, Tang, Zhang, Cao and Zhang 2018, "CGNet: A Light-weight Context Guided Network for
        Semantic Segmentation", figures 2 to 4 and table 1; M = 3 and N = 21.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.first = nn.Sequential(
            ConvNormAct(3, FIRST_WIDTH, kernel_size=3, stride=2),
            ConvNormAct(FIRST_WIDTH, FIRST_WIDTH, kernel_size=3),
            ConvNormAct(FIRST_WIDTH, FIRST_WIDTH, kernel_size=3),
        )
        self.first_norm = NormAct(FIRST_WIDTH + 3)
        self.second_down = ContextGuidedDown(FIRST_WIDTH + 3, SECOND_WIDTH, dilation=2, squeeze=8)
        self.second = nn.Sequential(
            *(
                ContextGuidedBlock(SECOND_WIDTH, dilation=2, squeeze=8)
                for _ in range(SECOND_BLOCKS - 1)
            )
        )
        self.second_norm = NormAct(2 * SECOND_WIDTH + 3)
        self.third_down = ContextGuidedDown(
            2 * SECOND_WIDTH + 3, THIRD_WIDTH, dilation=4, squeeze=16
        )
        self.third = nn.Sequential(
            *(
                ContextGuidedBlock(THIRD_WIDTH, dilation=4, squeeze=16)
                for _ in range(THIRD_BLOCKS - 1)
            )
        )
        self.third_norm = NormAct(2 * THIRD_WIDTH)
        self.classifier = nn.Conv2d(2 * THIRD_WIDTH, classes, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        half = F.avg_pool2d(image, 3, stride=2, padding=1)  # (B, 3, H/2, W/2)
        quarter = F.avg_pool2d(half, 3, stride=2, padding=1)  # (B, 3, H/4, W/4)

        first = self.first_norm(torch.cat([self.first(image), half], 1))
        second_in = self.second_down(first)  # (B, 64, H/4, W/4)
        second = torch.cat([self.second(second_in), second_in, quarter], 1)
        third_in = self.third_down(self.second_norm(second))  # (B, 128, H/8, W/8)
        third = torch.cat([third_in, self.third(third_in)], 1)

        scores = self.classifier(self.third_norm(third))  # (B, K, H/8, W/8)
        return F.interpolate(scores, image.shape[2:], mode="bilinear", align_corners=False)


class NormAct(nn.Sequential):
    """Batch normalisation and PReLU, one slope a channel."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.BatchNorm2d(width, eps=BATCH_NORM_EPS), nn.PReLU(width))


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch normalisation, PReLU."""

    def __init__(self, inputs: int, width: int, *, kernel_size: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, width, kernel_size, stride, kernel_size // 2, bias=False),
            NormAct(width),
        )


class SurroundingContext(nn.Module):
    """A pixel's own neighbourhood and a wider one, side by side, each channel for itself."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.local = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.surround = nn.Conv2d(
            width, width, 3, padding=dilation, dilation=dilation, groups=width, bias=False
        )
        self.norm = NormAct(2 * width)

    def forward(self, features: Tensor) -> Tensor:
        both = torch.cat([self.local(features), self.surround(features)], 1)
        context: Tensor = self.norm(both)
        return context


class GlobalContext(nn.Module):
    """Channels weighted by what the whole picture holds."""

    def __init__(self, width: int, squeeze: int) -> None:
        super().__init__()
        self.weigh = nn.Sequential(
            nn.Linear(width, width // squeeze),
            nn.ReLU(),
            nn.Linear(width // squeeze, width),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        weights: Tensor = self.weigh(features.mean((2, 3)))  # (B, C)
        return features * weights[:, :, None, None]


class ContextGuidedBlock(nn.Module):
    """Learns a residual from local, surrounding and global context at one size."""

    def __init__(self, width: int, *, dilation: int, squeeze: int) -> None:
        super().__init__()
        self.reduce = ConvNormAct(width, width // 2, kernel_size=1)
        self.context = SurroundingContext(width // 2, dilation)
        self.whole = GlobalContext(width, squeeze)

    def forward(self, features: Tensor) -> Tensor:
        residual: Tensor = self.whole(self.context(self.reduce(features)))
        return features + residual


class ContextGuidedDown(nn.Module):
    """Halves the size; no residual, since the sizes differ."""

    def __init__(self, inputs: int, width: int, *, dilation: int, squeeze: int) -> None:
        super().__init__()
        self.shrink = ConvNormAct(inputs, width, kernel_size=3, stride=2)
        self.context = SurroundingContext(width, dilation)
        self.reduce = nn.Conv2d(2 * width, width, 1, bias=False)
        self.whole = GlobalContext(width, squeeze)

    def forward(self, features: Tensor) -> Tensor:
        weighted: Tensor = self.whole(self.reduce(self.context(self.shrink(features))))
        return weighted


PUBLISHED_STAGES = {
    "level1_0": "first.0",
    "level1_1": "first.1",
    "level1_2": "first.2",
    "b1": "first_norm",
    "level2_0": "second_down",
    "level2": "second",
    "bn_prelu_2": "second_norm",
    "level3_0": "third_down",
    "level3": "third",
    "bn_prelu_3": "third_norm",
    "classifier.0": "classifier",
}
PUBLISHED_PARTS = {
    "conv1x1.": "{first}.",
    "F_loc.conv.": "context.local.",
    "F_sur.conv.": "context.surround.",
    "bn_prelu.": "context.norm.",
    "reduce.conv.": "reduce.",
    "F_glo.fc.": "whole.weigh.",
    "bn.": "context.norm.0.",
    "act.": "context.norm.1.",
}
"""How the authors' program names the same things, in its blocks."""


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of the authors' program under the names of this one.

    Args:
        state: Their names and tensors, e.g. "level2_0.F_loc.conv.weight".

    Raises:
        ValueError: If a name is not one of theirs.
    """
    return {_own_name(name): value for name, value in state.items()}


def is_published(names: Iterable[str]) -> bool:
    """Return True if a state dict with these names is one of the authors' program."""
    return "level1_0.conv.weight" in set(names)


def _own_name(name: str) -> str:
    published = next((each for each in PUBLISHED_STAGES if name.startswith(f"{each}.")), None)
    if published is None:
        raise ValueError(f"{name!r} is no parameter of CGNet as its authors name them")
    stage, rest = PUBLISHED_STAGES[published], name.removeprefix(f"{published}.")
    if published.endswith("_0") and published != "level1_0":
        return f"{stage}.{_own_part(rest, 'shrink')}"
    if published in ("level2", "level3"):
        number, _, rest = rest.partition(".")
        return f"{stage}.{number}.{_own_part(rest, 'reduce')}"
    return f"{stage}.{_own_layer(rest, has_conv=published.startswith('level1'))}"


def _own_part(rest: str, first: str) -> str:
    for theirs, ours in PUBLISHED_PARTS.items():
        if rest.startswith(theirs):
            inner = rest.removeprefix(theirs)
            if theirs == "conv1x1.":
                return f"{first}.{_own_layer(inner, has_conv=True)}"
            if theirs == "bn_prelu.":
                return f"{ours}{_own_layer(inner, has_conv=False)}"
            return f"{ours}{inner}"
    raise ValueError(f"{rest!r} is no part of a block of CGNet as its authors name them")


def _own_layer(rest: str, *, has_conv: bool) -> str:
    kind, _, parameter = rest.partition(".")
    norm = {"bn": "0", "act": "1"}
    if kind == "conv":
        return f"0.{parameter}" if has_conv else parameter
    return f"1.{norm[kind]}.{parameter}" if has_conv else f"{norm[kind]}.{parameter}"
