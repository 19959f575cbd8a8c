"""EfficientNet-B0 up to its pooled features, from a published state dict (Tan and Le 2019)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

STEM_WIDTH = 32

FEATURE_DIMS = 1280

SQUEEZE = 4
"""A block's inputs for each channel that its weighing is squeezed to."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks of one width.

    Attributes:
        expansion: Width inside a block for each of its inputs.
        kernel_size: Of the convolution channel by channel, in pixels.
        stride: Of the first block.
        width: Outputs.
        blocks: How many.
    """

    expansion: int
    kernel_size: int
    stride: int
    width: int
    blocks: int


STAGES = (
    Stage(expansion=1, kernel_size=3, stride=1, width=16, blocks=1),
    Stage(expansion=6, kernel_size=3, stride=2, width=24, blocks=2),
    Stage(expansion=6, kernel_size=5, stride=2, width=40, blocks=2),
    Stage(expansion=6, kernel_size=3, stride=2, width=80, blocks=3),
    Stage(expansion=6, kernel_size=5, stride=1, width=112, blocks=3),
    Stage(expansion=6, kernel_size=5, stride=2, width=192, blocks=4),
    Stage(expansion=6, kernel_size=3, stride=1, width=320, blocks=1),
)
"""Stages 2 to 8 of the paper's table 1."""


class EfficientNet(nn.Module):
    """EfficientNet-B0 without its classifier.

    Takes (B, 3, H, W) float RGB, ImageNet-normalised, and returns (B, 1280) float. The attributes
    are nested so that a published state dict has the same names.

    Source:
        Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        table 1; blocks of Sandler et al. 2018, "MobileNetV2", with the weighing of Hu et al. 2018,
        "Squeeze-and-Excitation Networks".
    """

    def __init__(self) -> None:
        super().__init__()
        parts: list[nn.Module] = [ConvNorm(3, STEM_WIDTH, kernel_size=3, stride=2)]
        width = STEM_WIDTH
        for stage in STAGES:
            blocks = []
            for place in range(stage.blocks):
                blocks.append(Block(width, stage, stride=stage.stride if place == 0 else 1))
                width = stage.width
            parts.append(nn.Sequential(*blocks))
        parts.append(ConvNorm(width, FEATURE_DIMS))
        self.features = nn.Sequential(*parts)

    def forward(self, image: Tensor) -> Tensor:
        maps: Tensor = self.features(image)  # (B, 1280, H/32, W/32)
        return maps.mean((2, 3))


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch normalisation and, unless it is linear, SiLU."""

    def __init__(
        self,
        inputs: int,
        width: int,
        *,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        is_linear: bool = False,
    ) -> None:
        conv = nn.Conv2d(
            inputs, width, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
        )
        norm = nn.BatchNorm2d(width)
        super().__init__(*([conv, norm] if is_linear else [conv, norm, nn.SiLU(inplace=True)]))


class ChannelWeights(nn.Module):
    """Channels weighted by what the whole picture holds."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(width, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, width, 1)

    def forward(self, maps: Tensor) -> Tensor:
        seen = maps.mean((2, 3), keepdim=True)  # (B, C, 1, 1)
        return maps * torch.sigmoid(self.fc2(nn.functional.silu(self.fc1(seen))))


class Block(nn.Module):
    """Widens, looks channel by channel, weighs, narrows; adds its input where sizes allow."""

    def __init__(self, inputs: int, stage: Stage, *, stride: int) -> None:
        super().__init__()
        inside = inputs * stage.expansion
        parts: list[nn.Module] = [ConvNorm(inputs, inside)] if stage.expansion > 1 else []
        parts += [
            ConvNorm(inside, inside, kernel_size=stage.kernel_size, stride=stride, groups=inside),
            ChannelWeights(inside, inputs // SQUEEZE),
            ConvNorm(inside, stage.width, is_linear=True),
        ]
        self.block = nn.Sequential(*parts)
        self.is_residual = stride == 1 and inputs == stage.width

    def forward(self, maps: Tensor) -> Tensor:
        made: Tensor = self.block(maps)
        return maps + made if self.is_residual else made


def is_efficientnet(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return True if a published state dict with these shapes is EfficientNet-B0's."""
    return (
        shapes.get("features.0.0.weight") == (STEM_WIDTH, 3, 3, 3)
        and "features.1.0.block.1.fc1.weight" in shapes
        and shapes.get("features.8.0.weight") == (FEATURE_DIMS, STAGES[-1].width, 1, 1)
    )


def efficientnet_from(state: Mapping[str, Tensor]) -> EfficientNet:
    """Return the network of a published state dict; its classifier is passed over.

    Args:
        state: Names as torchvision's efficientnet_b0 has them.

    Raises:
        ValueError: If a tensor is absent or of another shape; the message names it.
    """
    with torch.device("meta"):
        network = EfficientNet()
    expected = network.state_dict()
    own = {name: torch.zeros(()) for name in expected if name.endswith("num_batches_tracked")}
    for name, target in expected.items():
        if name in own:
            continue
        found = tuple(state[name].shape) if name in state else "nothing of that name"
        if found != tuple(target.shape):
            raise ValueError(f"{name} must be {tuple(target.shape)}, got {found}")
        own[name] = state[name].float()
    unknown = _unknown(state, expected)
    if unknown:
        raise ValueError(f"{unknown[0]} is no part of EfficientNet-B0; {len(unknown)} such names")
    network.load_state_dict(own, assign=True)
    return network.eval()


def _unknown(names: Iterable[str], known: Iterable[str]) -> list[str]:
    rest = set(names) - set(known)
    return sorted(name for name in rest if not name.startswith("classifier."))
