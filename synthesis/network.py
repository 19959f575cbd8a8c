"""CanvasGenerator: the synthesis network of SIMS, an encoder with VGG's layout and a CRN decoder."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.synthesis.interface import Conditions, checked_layout

ENCODER = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512), (3, 512))
"""Convolutions and channels of each block; a pooling follows each."""

DECODER = (512, 512, 512, 512, 512, 256)
"""Channels of the modules from the coarsest up; one at full size follows."""

FULL_SIZE = 256
"""Channels of the last module of the 256-line network."""

REFINED = 128
"""Channels at 512 lines."""

BASE_LINES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasGeneratorSettings:
    """What a CanvasGenerator is built with.

    Attributes:
        width: Factor on every channel count; 1.0 is the paper's.
        lines: 256, 512 or 1024: how many octaves the encoder is below the picture (0, 1, 2). Any
            size may be given to each; this is what it is meant for.
        elided_channel: Give the network the elided pixels as a mask of their own. The paper's has
            one mask only, of what is present.
        residual: The network adds to the canvas, its open pixels filled by averages of what is
            around, instead of painting every pixel anew as the paper's does.

    Raises:
        ValueError: If width is not in (0, 2], or lines is another number.
    """

    width: float = 0.25
    lines: int = 256
    elided_channel: bool = True
    residual: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.width <= 2:
            raise ValueError(f"width is {self.width}, expected more than 0 and at most 2")
        if self.lines not in (256, 512, 1024):
            raise ValueError(f"lines is {self.lines}, expected 256, 512 or 1024")

    @classmethod
    def paper(cls, lines: int = 256) -> "CanvasGeneratorSettings":
        """Return the settings of the paper."""
        return cls(width=1.0, lines=lines, elided_channel=False, residual=False)


class CanvasGenerator(nn.Module):
    """From canvas and layout to a photograph.

    At width 1.0 in the paper's form, 19 classes: 55,671,319 parameters at 256 lines, 56,138,903 at
    512, 56,138,987 at 1024, the semantic head included.

    Differs from the published code on purpose: RGB throughout, where that trains on BGR; the input
    is brought to each module's size by area averaging, where that samples points and loses small
    classes; masks say what is open and elided, where black and white pixels do there.

    Args:
        classes: K.
        settings: Width, lines and form.

    Source:
        Qi, Chen, Jia and Koltun 2018, "Semi-parametric Image Synthesis", section 5; Chen and Koltun
        2017, "Photographic Image Synthesis with Cascaded Refinement Networks".
    """

    name = "sims"

    def __init__(self, classes: int, settings: CanvasGeneratorSettings | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.settings = settings = settings or CanvasGeneratorSettings()
        given = classes + 1 + 3 + 1 + settings.elided_channel

        def wide(channels: int) -> int:
            return max(4, round(settings.width * channels))

        self.encoder = nn.ModuleList()
        before = given
        skips = []
        for count, channels in ENCODER:
            self.encoder.append(_block(before, wide(channels), count))
            before = wide(channels)
            skips.append(before)
        self.decoder = nn.ModuleList()
        above = 0
        for channels, skip in zip(DECODER, reversed(skips), strict=True):
            self.decoder.append(_block(given + skip + above, wide(channels), 2))
            above = wide(channels)
        self.full_size = _block(given + above, wide(FULL_SIZE), 2)
        above = wide(FULL_SIZE)
        self.refinement: nn.Module | None = None
        if settings.lines > BASE_LINES:
            self.refinement = _block(given + above, wide(REFINED), 2)
            above = wide(REFINED)
        self.rgb = nn.Conv2d(above, 3, 1)
        self.semantic = nn.Conv2d(above, classes + 1, 1)
        self.blend = nn.Conv2d(given + 3, 3, 1) if settings.lines == 1024 else None
        self._draw()

    def _draw(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.settings.residual:
            # It starts as the canvas itself, and every step from there is an improvement.
            last = self.rgb if self.blend is None else self.blend
            nn.init.zeros_(last.weight)

    def forward(
        self, layout: Tensor, canvas: Tensor, coverage: Tensor, elided: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Paint a picture.

        Args:
            layout: (B, K + 1, H, W) float one-hot, void last.
            canvas: (B, 3, H, W) float RGB in [0, 1].
            coverage: (B, 1, H, W) bool.
            elided: (B, 1, H, W) bool.

        Returns:
            (B, 3, H, W) RGB, meant to be in [0, 1] and not clipped, and (B, K + 1, h, w) class
            logits of what is seen, at the size of the last module.
        """
        base = None
        present = coverage & ~elided
        seen = canvas * present
        if self.settings.residual:
            base = seen = fill_from_around(canvas, present)
        parts = [layout, seen, present.to(layout.dtype)]
        if self.settings.elided_channel:
            parts.append((elided & coverage).to(layout.dtype))
        given = torch.cat(parts, 1).to(memory_format=torch.channels_last)
        given = given.to(self.rgb.weight.dtype)
        painted, logits = self._paint(given)
        painted = painted.to(canvas.dtype)
        picture = (painted + 1) / 2 if base is None else base + painted
        return picture, logits

    def generate(self, conditions: Conditions, *, seed: int = 0) -> Tensor:
        """Return (B, 3, H, W) RGB in [0, 1]. It draws nothing, so the seed changes nothing.

        Raises:
            MissingConditionError: Without canvas, coverage or elided.
            ValueError: If the layout has another number of classes.
        """
        canvas, coverage, elided = (
            conditions.needed(name, self.name) for name in ("canvas", "coverage", "elided")
        )
        layout = checked_layout(conditions.layout, self.classes)
        with torch.inference_mode():
            picture, _ = self.forward(layout, canvas, coverage, elided)
        return picture.clamp(0, 1)

    def _paint(self, given: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, 3, H, W) of the last layer and (B, K + 1, h, w) logits."""
        octaves = {256: 0, 512: 1, 1024: 2}[self.settings.lines]
        at_octave = [given]
        for _ in range(octaves):
            at_octave.append(halved(at_octave[-1]))
        features = self._base(at_octave[octaves])
        if self.refinement is not None:
            half = at_octave[octaves - 1]
            features = self.refinement(torch.cat([half, resized(features, half)], 1))
        painted, logits = self.rgb(features), self.semantic(features)
        if self.blend is not None:
            painted = self.blend(torch.cat([given, resized(painted, given)], 1))
        return painted, logits

    def _base(self, given: Tensor) -> Tensor:
        """Return the features of the module at the full size of its input."""
        sizes, skips = [given], []
        features = given
        for block in self.encoder:
            features = pooled(block(features))
            skips.append(features)
            sizes.append(halved(sizes[-1]))
        up: Tensor | None = None
        for block, skip, small in zip(
            self.decoder, reversed(skips), reversed(sizes[1:]), strict=True
        ):
            parts = [small, skip] if up is None else [small, skip, resized(up, small)]
            up = block(torch.cat(parts, 1))
        assert up is not None
        painted: Tensor = self.full_size(torch.cat([given, resized(up, given)], 1))
        return painted


def one_hot(label_maps: Tensor, classes: int) -> Tensor:
    """Return (B, K + 1, H, W) float of (B, H, W) class ids; void and whatever is above K go last."""
    labels = label_maps.long().clamp(max=classes)
    channels = torch.arange(classes + 1, device=labels.device).view(1, -1, 1, 1)
    return (labels[:, None] == channels).float()


def fill_from_around(canvas: Tensor, present: Tensor) -> Tensor:
    """Fill what is not present by averages over ever larger surroundings.

    Args:
        canvas: (B, 3, H, W) float.
        present: (B, 1, H, W) bool.

    Returns:
        (B, 3, H, W), equal to canvas where present; 0.5 where nothing is present at all.

    Source:
        Gortler et al. 1996, "The Lumigraph", section 3.4 (pull-push).
    """
    weight = present.to(canvas.dtype)
    # Far below the share of a lone pixel in the largest picture.
    least = torch.finfo(canvas.dtype).tiny
    colors, weights = [canvas * weight], [weight]
    while min(colors[-1].shape[2:]) > 1 and not bool((weights[-1] > 0).all()):
        # The sums keep their own weights, so that a lone pixel counts as what it is.
        colors.append(F.avg_pool2d(colors[-1], 2, ceil_mode=True, count_include_pad=False))
        weights.append(F.avg_pool2d(weights[-1], 2, ceil_mode=True, count_include_pad=False))
    total = weights[-1].sum((2, 3), keepdim=True)
    mean = colors[-1].sum((2, 3), keepdim=True) / total.clamp(min=least)
    mean = torch.where(total > 0, mean, torch.full_like(mean, 0.5))
    filled = torch.where(weights[-1] > 0, colors[-1] / weights[-1].clamp(min=least), mean)
    for color, weight in zip(reversed(colors[:-1]), reversed(weights[:-1]), strict=True):
        around = resized(filled, color)
        filled = torch.where(weight > 0, color / weight.clamp(min=least), around)
    return torch.where(present, canvas, filled)


def load_matching(network: nn.Module, state: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Load the tensors that a network has under the same name and of the same shape.

    A network for more lines starts from one for fewer this way.

    Returns:
        Names that were loaded, and names of the network that were not.
    """
    own = network.state_dict()
    fits = {name: value for name, value in state.items() if name in own}
    fits = {name: value for name, value in fits.items() if value.shape == own[name].shape}
    network.load_state_dict(own | fits)
    return sorted(fits), sorted(set(own) - set(fits))


def pooled(features: Tensor) -> Tensor:
    """Halve a size by 3x3 averages, rounding up; pixels beyond the border do not count."""
    odd = (features.shape[2] % 2, features.shape[3] % 2)
    return F.avg_pool2d(features, 3, 2, odd, ceil_mode=True, count_include_pad=False)


def halved(given: Tensor) -> Tensor:
    """Halve a size by 2x2 averages, rounding up."""
    return F.avg_pool2d(given, 2, ceil_mode=True, count_include_pad=False)


def resized(features: Tensor, like: Tensor) -> Tensor:
    """Enlarge to the size of another tensor, bilinearly."""
    return F.interpolate(features, like.shape[2:], mode="bilinear", align_corners=False)


def _block(inputs: int, channels: int, count: int) -> nn.Sequential:
    """Return convolutions of 3x3, each with layer norm and LeakyReLU."""
    layers: list[nn.Module] = []
    for place in range(count):
        layers += [
            nn.Conv2d(channels if place else inputs, channels, 3, padding=1, bias=False),
            # One group is layer norm over channels, height and width, with a gain a channel.
            nn.GroupNorm(1, channels),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return nn.Sequential(*layers)
