"""CRN's cascade: each module refines what a coarser one saw, shown the layout at its own size."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CRN_CHANNELS = (1024, 1024, 1024, 1024, 1024, 512, 512, 128, 32)
"""Channels of the modules at 4x8, 8x16, ..., 1024x2048 pixels (Chen & Koltun 2017, code)."""

LEAST_CHANNELS = 4
"""No module is narrower than this, however small the width factor."""


def cascade_channels(modules: int, width: float = 1.0) -> tuple[int, ...]:
    """Return the channels of a cascade's modules, the coarsest first.

    Args:
        modules: How many there are, 1 to 9; 7 end at 256 lines if the first has 4.
        width: Factor on the paper's channels.

    Raises:
        ValueError: If either is out of range.
    """
    if not 1 <= modules <= len(CRN_CHANNELS):
        raise ValueError(f"modules is {modules}, expected 1 to {len(CRN_CHANNELS)}")
    if not width > 0:
        raise ValueError(f"width is {width}, expected more than 0")
    return tuple(max(LEAST_CHANNELS, round(width * each)) for each in CRN_CHANNELS[:modules])


def one_hot_layout(label_maps: Tensor, classes: int) -> Tensor:
    """Return label maps with a channel a class, void last.

    Args:
        label_maps: (B, H, W) integer class ids; K and above, such as 255, is void.
        classes: K.

    Returns:
        (B, K + 1, H, W) float32 of 0 and 1 that sum to 1 in every pixel.

    Raises:
        ValueError: If label_maps is not (B, H, W).
    """
    if label_maps.ndim != 3:
        raise ValueError(f"label_maps must be (B, H, W), got {tuple(label_maps.shape)}")
    channel_of = label_maps.long().clamp(max=classes).unsqueeze(1)  # (B, 1, H, W)
    batch, _, height, width = channel_of.shape
    one_hot = torch.zeros((batch, classes + 1, height, width), device=label_maps.device)
    return one_hot.scatter_(1, channel_of, 1.0)


def layout_pyramid(layout: Tensor, levels: int) -> list[Tensor]:
    """Return a layout at several sizes, each half of the next, the coarsest first.

    Each level is the box mean of the one above it, so every pixel holds the shares of the classes
    under it and the channels go on summing to 1.

    Args:
        layout: (B, C, H, W) float; H and W are multiples of 2^(levels - 1).
        levels: How many there shall be, the layout itself included.

    Raises:
        ValueError: If the size cannot be halved that often.

    Source:
        Chen & Koltun 2017, "Photographic Image Synthesis with Cascaded Refinement Networks", code.
    """
    height, width = layout.shape[-2:]
    multiple = 2 ** (levels - 1)
    if height % multiple or width % multiple:
        raise ValueError(
            f"layout is {height}x{width}, expected multiples of {multiple} for {levels} levels; "
            "pad it with pad_to_multiple"
        )
    pyramid = [layout]
    for _ in range(levels - 1):
        pyramid.insert(0, F.avg_pool2d(pyramid[0], 2))
    return pyramid


def pad_to_multiple(layout: Tensor, multiple: int) -> Tensor:
    """Repeat a layout's last row and column until its height and width are multiples of a number.

    Args:
        layout: (B, C, H, W) float.
        multiple: At least 1.

    Returns:
        (B, C, H', W'), the layout itself in its upper left corner.
    """
    height, width = layout.shape[-2:]
    below, right = -height % multiple, -width % multiple
    if not below and not right:
        return layout
    return F.pad(layout, (0, right, 0, below), mode="replicate")


class RefinementModule(nn.Module):
    """Two 3x3 convolutions, each with layer norm over H, W and C and LeakyReLU 0.2.

    Args:
        in_channels: Of what it is given.
        channels: Of what it returns, and between the two.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layer(in_channels, channels), *_layer(channels, channels))

    def forward(self, seen: Tensor) -> Tensor:
        """Take (B, in_channels, H, W) to (B, channels, H, W)."""
        refined: Tensor = self.layers(seen)
        return refined


class RefinementCascade(nn.Module):
    """From a layout to features of its size, coarse to fine: CRN without its last projection.

    The first module sees the layout alone; each further one sees the features of the one before,
    enlarged twice, and the layout at its own size. Layouts of any size are padded until the first
    module's is a whole number of pixels, and features are cut back.

    Args:
        layout_channels: C, of the layout: its classes and void, and what else is shown.
        channels: Of each module, the coarsest first; see cascade_channels.

    Source:
        Chen & Koltun 2017, "Photographic Image Synthesis with Cascaded Refinement Networks",
        section 3. Layer norm has statistics over the whole picture, so a network does best at
        about the size that it was trained at.
    """

    def __init__(self, layout_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        if not channels:
            raise ValueError("channels is empty, expected those of at least 1 module")
        below = [0, *channels[:-1]]
        self.layout_channels = layout_channels
        self.out_channels = channels[-1]
        self.stages = nn.ModuleList(
            RefinementModule(layout_channels + coarser, own)
            for coarser, own in zip(below, channels, strict=True)
        )

    def forward(self, layout: Tensor) -> Tensor:
        """Return features of a layout.

        Args:
            layout: (B, C, H, W) float, one-hot or shares of classes.

        Returns:
            (B, channels of the last module, H, W).

        Raises:
            ValueError: If layout has other channels than the cascade was built for.
        """
        if layout.ndim != 4 or layout.shape[1] != self.layout_channels:
            raise ValueError(
                f"layout must be (B, {self.layout_channels}, H, W), got {tuple(layout.shape)}"
            )
        height, width = layout.shape[-2:]
        levels = len(self.stages)
        if layout.device.type == "cpu":
            # With the channels of a pixel side by side a CPU takes two thirds of the time.
            layout = layout.contiguous(memory_format=torch.channels_last)
        pyramid = layout_pyramid(pad_to_multiple(layout, 2 ** (levels - 1)), levels)
        features: Tensor = self.stages[0](pyramid[0])
        for stage, shown in zip(self.stages[1:], pyramid[1:], strict=True):
            enlarged = F.interpolate(
                features, size=shown.shape[-2:], mode="bilinear", align_corners=True
            )
            features = stage(torch.cat([enlarged, shown], 1))  # (B, below + C, h, w)
        return features[..., :height, :width]


def _layer(in_channels: int, channels: int) -> list[nn.Module]:
    # No bias: the norm takes it out again. One group of all channels is layer norm over H, W and C.
    convolution = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
    nn.init.xavier_uniform_(convolution.weight)
    return [convolution, nn.GroupNorm(1, channels), nn.LeakyReLU(0.2)]
