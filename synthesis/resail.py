"""RESAIL's idea as a finish: layout and canvas modulate the normalisation side by side."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.synthesis.interface import Conditions, checked_layout
from scenequilt.synthesis.losses import (
    FIRST_CONVOLUTIONS,
    PerceptualLoss,
    hinge_of_discriminator,
    hinge_of_generator,
    weighted_first,
)
from scenequilt.synthesis.multiscale import MultiScaleDiscriminator, feature_matching
from scenequilt.synthesis.network import one_hot
from scenequilt.synthesis.objective import SynthesisBatch
from scenequilt.synthesis.refinement import layout_pyramid, pad_to_multiple

HEAD_GAIN = 0.05
"""What the heads of gamma and beta, the gates and the last convolution start with, beside 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResailSettings:
    """What a ResailGenerator is built with. One number an octave, the coarsest first.

    The defaults are the slim network; see PRESETS.

    Attributes:
        channels: Of the picture's features; the last octave is the picture's own size, each before
            it half of the next.
        hidden: Channels between what an octave is shown and its modulation.
        encoder: Channels of the canvas's features.
        norm: What is modulated: "group" norms each picture by itself, "batch" by the batch in
            training and by averages over batches after; that wants a batch of 8 and more.

    Raises:
        ValueError: If the three differ in length, there is no octave, a number is below 1 or there
            is no such norm.
    """

    channels: tuple[int, ...] = (128, 128, 96, 64, 32, 16)
    hidden: tuple[int, ...] = (32, 32, 32, 24, 16, 12)
    encoder: tuple[int, ...] = (96, 64, 48, 32, 24, 16)
    norm: Literal["group", "batch"] = "group"

    def __post_init__(self) -> None:
        lengths = len(self.channels), len(self.hidden), len(self.encoder)
        if len(set(lengths)) > 1 or not self.channels:
            raise ValueError(
                f"channels, hidden and encoder are of {lengths} octaves, expected the same number, "
                "at least 1"
            )
        for name in ("channels", "hidden", "encoder"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1 each")
        if self.norm not in ("group", "batch"):
            raise ValueError(f"norm is {self.norm!r}, expected 'group' or 'batch'")


PRESETS: Mapping[str, ResailSettings] = {
    "slim": ResailSettings(),
    "medium": ResailSettings(
        channels=(256, 256, 128, 64, 32, 24),
        hidden=(48, 48, 48, 32, 24, 16),
        encoder=(128, 96, 64, 48, 32, 24),
    ),
    "large": ResailSettings(
        channels=(384, 384, 256, 128, 64, 32),
        hidden=(64, 64, 64, 48, 32, 24),
        encoder=(192, 128, 96, 64, 48, 32),
    ),
    "published": ResailSettings(
        channels=(1024, 1024, 1024, 512, 256, 128, 64),
        hidden=(128,) * 7,
        encoder=(128,) * 6 + (64,),
    ),
}
"""Sizes by name. "published" has the channels of the paper's code at ngf 64 for 256x512 pixels."""


class ResailGenerator(nn.Module):
    """From layout and canvas to a photograph: SPADE's generator with the canvas beside the layout.

    In every norm, out = norm(x) * (1 + gamma) + beta, where (gamma, beta) are those of the layout
    and those of the canvas, mixed pixel by pixel by a gate. Out of reach of the canvas the gate is
    0, so a layout alone is enough, and a canvas that misleads can be learned away.

    Differs from the published code, on purpose:
    - The canvas is encoded once a picture, by convolutions with a receptive field that reaches into
      holes, and not anew by three convolutions in every norm; layout and gate of an octave likewise.
    - There is no instance norm between canvas and gamma: it erases how bright the canvas is.
    - A gate of pixels takes the place of one learned number a norm, and the masks say where there
      is something, where that code has black.
    - Canvas and layout come to an octave's size by averages, those of the canvas over what is there;
      that code samples points.
    - Weights of convolutions are standardised, where that code has spectral norm: same bound, but
      with no state beside the weights, which averaged weights would not fit.
    - Heads start at 0.05 of the usual deviation; as published they start 1e4 below the layout's.
    - No vector of class areas modulates the canvas, and no noise is drawn.

    For 11 classes: 2,663,477 parameters slim, 7,179,781 medium, 16,486,197 large, 120,185,480
    published.

    Args:
        classes: K.
        settings: Channels and norm.

    Source:
        Shi et al. 2022, "Retrieval-based Spatially Adaptive Normalization for Semantic Image
        Synthesis"; Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive
        Normalization"; Qiao et al. 2019, "Micro-Batch Training with Batch-Channel Normalization and
        Weight Standardization".
    """

    name = "resail"

    def __init__(self, classes: int, settings: ResailSettings | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.settings = settings = settings or ResailSettings()
        layout = classes + 1
        fine_first = settings.encoder[::-1]
        self.encoder = nn.ModuleList(
            _encoder_stage(before, after, halves=place > 0)
            for place, (before, after) in enumerate(pairwise((layout + 5, *fine_first)))
        )
        self.sights = nn.ModuleList(
            _Sight(layout, encoded, hidden)
            for encoded, hidden in zip(settings.encoder, settings.hidden, strict=True)
        )
        self.start = StandardisedConv2d(layout, settings.channels[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            _Block(before, after, hidden, settings.norm)
            for (before, after), hidden in zip(
                pairwise((settings.channels[0], *settings.channels)), settings.hidden, strict=True
            )
        )
        self.rgb = _head(settings.channels[-1], 3)

    def forward(
        self, layout: Tensor, canvas: Tensor, coverage: Tensor, elided: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Paint a picture.

        Args:
            layout: (B, K + 1, H, W) float one-hot, void last.
            canvas: (B, 3, H, W) float RGB in [0, 1], anything where not covered or elided.
            coverage: (B, 1, H, W) bool; may be False everywhere, or True.
            elided: (B, 1, H, W) bool.

        Returns:
            (B, 3, H, W) RGB in [0, 1], and (B,) mean of the gates where the canvas is covered, 0
            where nothing is: how far the network trusts it.
        """
        height, width = layout.shape[2:]
        dtype, levels = self.rgb.weight.dtype, len(self.blocks)
        present = (coverage & ~elided).to(layout.dtype)
        withheld = (coverage & elided).to(layout.dtype)
        colors = torch.where(present > 0, 2 * canvas - 1, torch.zeros_like(canvas))
        given = torch.cat([layout, colors, present, withheld], 1)
        given = pad_to_multiple(given, 2 ** (levels - 1)).to(memory_format=torch.channels_last)
        pyramid = layout_pyramid(given, levels)
        encoded = given.to(dtype)
        features: list[Tensor] = []
        for stage in self.encoder:
            encoded = stage(encoded)
            features.insert(0, encoded)
        reaches = _reaches(given[:, -2:].sum(1, keepdim=True), levels)

        x: Tensor = self.start(pyramid[0][:, : self.classes + 1].to(dtype))
        trust: list[Tensor] = []
        covered: list[Tensor] = []
        for sight, block, shown, feature, reach in zip(
            self.sights, self.blocks, pyramid, features, reaches, strict=True
        ):
            if trust:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            seen = sight(shown, feature, reach)
            x = block(x, *seen)
            share = shown[:, -2:].sum(1, keepdim=True)
            trust.append((seen[2] * share).sum((1, 2, 3)))
            covered.append(share.sum((1, 2, 3)))
        painted = self.rgb(F.leaky_relu(x, 0.2))[..., :height, :width]
        picture = (torch.tanh(painted.to(canvas.dtype)) + 1) / 2
        means = [a / b.clamp(min=1e-6) for a, b in zip(trust, covered, strict=True)]
        return picture, torch.stack(means).mean(0)

    def generate(self, conditions: Conditions, *, seed: int = 0) -> Tensor:
        """Return (B, 3, H, W) RGB in [0, 1]. It draws nothing, so the seed changes nothing.

        Raises:
            MissingConditionError: Without canvas, coverage or elided; a layout alone is asked for by
                a coverage that is False everywhere.
            ValueError: If the layout has another number of classes.
        """
        canvas, coverage, elided = (
            conditions.needed(name, self.name) for name in ("canvas", "coverage", "elided")
        )
        layout = checked_layout(conditions.layout, self.classes)
        with torch.inference_mode():
            picture, _ = self.forward(layout, canvas, coverage, elided)
        return picture


class StandardisedConv2d(nn.Conv2d):
    """A convolution whose weights have mean 0 and deviation gain / sqrt(inputs) for every output.

    So what comes out is about as large as what goes in, however the weights were trained, and no
    statistic of a picture is taken off it.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, bias: As of nn.Conv2d.
        gain: What the learned gain of every output starts at; sqrt(2) undoes a ReLU before.

    Source:
        Qiao et al. 2019, "Micro-Batch Training with Batch-Channel Normalization and Weight
        Standardization"; Brock, De and Smith 2021, "Characterizing signal propagation to close the
        performance gap in unnormalized ResNets".
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        gain: float = math.sqrt(2),
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, padding=padding, bias=bias
        )
        nn.init.kaiming_normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.gain = nn.Parameter(torch.full((out_channels, 1, 1, 1), gain))

    def standardised(self) -> Tensor:
        """Return (out, in, k, k), the weights that it convolves with."""
        weight = self.weight.float()
        variance, mean = torch.var_mean(weight, (1, 2, 3), correction=0, keepdim=True)
        inputs = weight[0].numel()
        standard = (weight - mean) * torch.rsqrt(inputs * variance + 1e-6)
        return (standard * self.gain.float()).to(self.weight.dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Take (B, in, H, W) to (B, out, h, w)."""
        return F.conv2d(input, self.standardised(), self.bias, self.stride, self.padding)


class _Sight(nn.Module):
    """What an octave sees of layout and canvas, and how far it trusts the canvas."""

    def __init__(self, layout: int, encoded: int, hidden: int) -> None:
        super().__init__()
        self.layout_channels = layout
        self.of_layout = StandardisedConv2d(layout, hidden, 3, padding=1)
        self.of_canvas = StandardisedConv2d(encoded + 5, hidden, 3, padding=1)
        self.gate = _head(encoded + 2 + hidden, 1)
        nn.init.ones_(self.gate.bias)  # type: ignore[arg-type]

    def forward(
        self, shown: Tensor, encoded: Tensor, reach: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (B, hidden, h, w) of the layout, the same of the canvas, and the (B, 1, h, w) gate.

        Args:
            shown: (B, K + 1 + 3 + 2, h, w) means of layout, colours in [-1, 1], present, elided.
            encoded: (B, encoded, h, w) features of the canvas.
            reach: (B, 1, h, w) 1 where the gate may open, else 0.
        """
        layout, colors, masks = shown.split([self.layout_channels, 3, 2], 1)
        # Of what is there alone: a colour must not fade towards the border of what is open.
        colors = colors / masks[:, :1].clamp(min=1e-6)
        layout, colors, masks = (each.to(encoded.dtype) for each in (layout, colors, masks))
        of_layout = F.relu(self.of_layout(layout))
        of_canvas = F.relu(self.of_canvas(torch.cat([encoded, colors, masks], 1)))
        logit = self.gate(torch.cat([masks, encoded, of_layout.to(encoded.dtype)], 1))
        return of_layout, of_canvas, torch.sigmoid(logit) * reach.to(logit.dtype)


class _Modulation(nn.Module):
    """A norm without weights, scaled and shifted by layout and canvas pixel by pixel."""

    def __init__(self, channels: int, hidden: int, norm: Literal["group", "batch"]) -> None:
        super().__init__()
        # At most 8 groups, of at least 4 channels: norms of single ones would wash flat labels out.
        groups = math.gcd(channels, min(8, max(1, channels // 4)))
        self.norm = (
            nn.GroupNorm(groups, channels, affine=False)
            if norm == "group"
            else nn.BatchNorm2d(channels, affine=False)
        )
        self.of_layout = _head(hidden, 2 * channels)
        self.of_canvas = _head(hidden, 2 * channels)

    def forward(self, x: Tensor, layout: Tensor, canvas: Tensor, gate: Tensor) -> Tensor:
        """Return x, (B, C, h, w), normed and modulated; see _Sight for the rest."""
        both = torch.lerp(self.of_layout(layout), self.of_canvas(canvas), gate)
        gamma, beta = both.chunk(2, 1)
        normed: Tensor = self.norm(x)
        return normed * (1 + gamma) + beta


class _Block(nn.Module):
    """SPADE's residual block, with both modulations."""

    def __init__(
        self, before: int, after: int, hidden: int, norm: Literal["group", "batch"]
    ) -> None:
        super().__init__()
        between = min(before, after)
        self.first = _Modulation(before, hidden, norm)
        self.first_conv = StandardisedConv2d(before, between, 3, padding=1)
        self.second = _Modulation(between, hidden, norm)
        self.second_conv = StandardisedConv2d(between, after, 3, padding=1)
        self.aside: _Modulation | None = None
        if before != after:
            self.aside = _Modulation(before, hidden, norm)
            self.aside_conv = StandardisedConv2d(before, after, 1, bias=False, gain=1.0)

    def forward(self, x: Tensor, layout: Tensor, canvas: Tensor, gate: Tensor) -> Tensor:
        """Take (B, before, h, w) to (B, after, h, w)."""
        seen = layout, canvas, gate
        y: Tensor = self.first_conv(F.leaky_relu(self.first(x, *seen), 0.2))
        y = self.second_conv(F.leaky_relu(self.second(y, *seen), 0.2))
        if self.aside is not None:
            x = self.aside_conv(self.aside(x, *seen))
        return x + y


def _head(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return a convolution of 3x3 that starts near 0."""
    head = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    nn.init.kaiming_normal_(head.weight)
    with torch.no_grad():
        head.weight *= HEAD_GAIN
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return head


def _encoder_stage(before: int, after: int, *, halves: bool) -> nn.Sequential:
    return nn.Sequential(
        StandardisedConv2d(before, after, 3, stride=2 if halves else 1, padding=1),
        nn.LeakyReLU(0.2),
        StandardisedConv2d(after, after, 3, padding=1),
        nn.LeakyReLU(0.2),
    )


def _reaches(covered: Tensor, levels: int) -> list[Tensor]:
    """Return where gates may open, the coarsest first: at what is covered and one pixel beside.

    Args:
        covered: (B, 1, H, W) 0 or 1.
        levels: How many octaves there are.
    """
    reaches: list[Tensor] = []
    for level in range(levels):
        covered = F.max_pool2d(covered, 2) if level else covered
        reaches.insert(0, F.max_pool2d(covered, 3, 1, 1))
    return reaches


def kept_pixels(present: Tensor, margin_px: int) -> Tensor:
    """Return the pixels that are kept as they are: those with nothing missing around.

    Args:
        present: (B, 1, H, W) bool.
        margin_px: Nothing is missing up to so many pixels off, diagonally too.

    Returns:
        (B, 1, H, W) bool; beyond the frame nothing is missed.
    """
    missing = (~present).float()
    return F.max_pool2d(missing, 2 * margin_px + 1, 1, margin_px) == 0


def copied_share(present: Tensor, keep: Tensor, feather_px: int) -> Tensor:
    """Return how much of the canvas is in each pixel of a composite.

    Args:
        present: (B, 1, H, W) bool, where the canvas has a colour.
        keep: (B, 1, H, W) bool, where it is kept as it is.
        feather_px: Pixels over which it fades outside of keep.

    Returns:
        (B, 1, H, W) float32: 1 on keep, falling in equal steps to 0, and 0 where nothing is present.
    """
    share = keep.float()
    for distance in range(1, feather_px + 1):
        near = F.max_pool2d(keep.float(), 2 * distance + 1, 1, distance)
        share = torch.maximum(share, near * (1 - distance / (feather_px + 1)))
    return share * present


@dataclass(frozen=True, slots=True, kw_only=True)
class ResailLossSettings:
    """What counts how much.

    Attributes:
        adversarial: Weight of the hinge.
        feature_matching: Weight of the difference between what the discriminator sees of the picture
            and of the photograph.
        perceptual: Weight of the difference of the classifier's maps; without a classifier the term
            is left out.
        image: Weight of the mean absolute difference of colours in [0, 1]; not in the paper.
        regression: Batches before the discriminator counts, in which it learns already.
        composite: Share of the pictures that are shown to the discriminator with kept pixels put
            back, as the finish delivers them; the others it sees as the network paints them.
        margin_px: How far kept pixels are off what is open or elided, in pixels.
        empty: Share of the canvases of which nothing is shown, so that the layout alone suffices.
        discriminator_width: Factor on the discriminator's channels; 1.0 starts at 64.

    Raises:
        ValueError: If a value is out of range, or the first batches have no loss.
    """

    adversarial: float = 1.0
    feature_matching: float = 10.0
    perceptual: float = 10.0
    image: float = 0.0
    regression: int = 0
    composite: float = 0.5
    margin_px: int = 3
    empty: float = 0.1
    discriminator_width: float = 1.0

    def __post_init__(self) -> None:
        for name in ("adversarial", "feature_matching", "perceptual", "image", "regression"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0")
        for name in ("composite", "empty"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 to 1")
        if self.margin_px < 1:
            raise ValueError(f"margin_px is {self.margin_px}, expected at least 1")
        if not 0 < self.discriminator_width <= 2:
            raise ValueError(
                f"discriminator_width is {self.discriminator_width}, expected more than 0 and at "
                "most 2"
            )


class ResailObjective:
    """Make of a simulated canvas the photograph that it was made from, judged by a discriminator.

    All canvases are made of their photograph's own segments, distorted. The paper's second kind,
    canvases retrieved for a photograph's layout, has no photograph to compare with; it is left out.
    The discriminator sees picture and layout, never the canvas.

    Draws the discriminator's first weights from torch's global generator, and in losses which
    canvases are emptied and which pictures composed.

    Args:
        generator: The network.
        perceptual: The frozen classifier, or None.
        settings: Weights.
        device: Where the networks will be trained.

    Raises:
        ValueError: If the first batches have no loss: neither image nor perceptual.

    Source:
        Shi et al. 2022, section 3.4, with the weights of their code; Wang et al. 2018 and Park et
        al. 2019 for the terms.
    """

    def __init__(
        self,
        generator: ResailGenerator,
        perceptual: PerceptualLoss | None,
        settings: ResailLossSettings,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        if settings.regression and not (settings.image or (perceptual and settings.perceptual)):
            raise ValueError(
                f"regression is {settings.regression}, but nothing is compared in those batches; "
                "give a classifier, or an image weight above 0"
            )
        self._generator = generator
        self._settings = settings
        self._perceptual = None
        if perceptual is not None:
            self._perceptual = perceptual.comparing(
                FIRST_CONVOLUTIONS, pooling="max", standardised=False
            )
        self.discriminator = MultiScaleDiscriminator(
            generator.classes + 1 + 3,
            width=settings.discriminator_width,
            spectral=True,
            bias_before_norm=False,
        )
        self._batches = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the discriminator and then the generator."""
        return {"discriminator": self.discriminator, "generator": self._generator}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return how many batches the generator has seen."""
        return {"batches": self._batches}

    def losses(self, part: str, batch: SynthesisBatch) -> Mapping[str, Tensor]:
        """Return the weighted terms of a part's loss; "gate" is shown only, and has no gradient."""
        batch = self._some_emptied(batch)
        layout = one_hot(batch.label_map, self._generator.classes)
        real = batch.photograph.float() / 255
        if part == "discriminator":
            with torch.no_grad():
                made, _ = self._made(layout, batch)
                shown = self._shown(made, batch)
            of_real, of_made = self._maps(layout, real), self._maps(layout, shown)
            pairs = zip(of_real, of_made, strict=True)
            hinges = [hinge_of_discriminator(a[-1].float(), b[-1].float()) for a, b in pairs]
            return {"hinge": torch.stack(hinges).mean()}
        settings = self._settings
        made, gates = self._made(layout, batch)
        terms: dict[str, Tensor] = {}
        if settings.image:
            terms["image"] = settings.image * (made - real).abs().mean()
        if self._perceptual is not None and settings.perceptual:
            distance = weighted_first(self._perceptual.terms(made, real))
            terms["perceptual"] = settings.perceptual * distance
        if int(self._batches) >= settings.regression:
            terms |= self._adversarial(layout, real, self._shown(made, batch))
        self._batches += 1
        open_gates = gates.detach()[gates.detach() > 0]
        terms["gate"] = open_gates.mean() if len(open_gates) else gates.new_zeros(())
        return terms

    def _adversarial(self, layout: Tensor, real: Tensor, shown: Tensor) -> dict[str, Tensor]:
        of_made = self._maps(layout, shown)
        with torch.no_grad():
            of_real = self._maps(layout, real)
        answers = torch.stack([hinge_of_generator(maps[-1].float()) for maps in of_made])
        return {
            "adversarial": self._settings.adversarial * answers.mean(),
            "feature_matching": self._settings.feature_matching
            * feature_matching(of_real, of_made),
        }

    def _made(self, layout: Tensor, batch: SynthesisBatch) -> tuple[Tensor, Tensor]:
        made: tuple[Tensor, Tensor] = self._generator(
            layout, batch.canvas.float() / 255, batch.coverage, batch.elided
        )
        return made

    def _maps(self, layout: Tensor, pictures: Tensor) -> list[list[Tensor]]:
        maps: list[list[Tensor]] = self.discriminator(torch.cat([layout, 2 * pictures - 1], 1))
        return maps

    def _some_emptied(self, batch: SynthesisBatch) -> SynthesisBatch:
        """Take all of the canvas away of some of a batch."""
        stays = self._drawn(len(batch.coverage), batch.coverage.device) >= self._settings.empty
        return replace(batch, coverage=batch.coverage & stays, elided=batch.elided & stays)

    def _shown(self, made: Tensor, batch: SynthesisBatch) -> Tensor:
        """Return what the discriminator sees of pictures: some of them with kept pixels put back."""
        present = batch.coverage & ~batch.elided
        keep = kept_pixels(present, self._settings.margin_px)
        share = copied_share(present, keep, self._settings.margin_px)
        share = share * (self._drawn(len(made), made.device) < self._settings.composite)
        return torch.lerp(made, batch.canvas.float() / 255, share.to(made.dtype))

    @staticmethod
    def _drawn(count: int, device: torch.device) -> Tensor:
        """Return (count, 1, 1, 1) in [0, 1), the same on every device."""
        return torch.rand(count, 1, 1, 1).to(device)
