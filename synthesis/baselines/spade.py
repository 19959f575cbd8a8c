"""SPADE, which GauGAN runs on: the layout modulates every normalisation, coarse to fine."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from scenequilt.synthesis.baselines.baseline import Baseline
from scenequilt.synthesis.boundaries import boundary_map
from scenequilt.synthesis.interface import Conditions, checked_layout
from scenequilt.synthesis.losses import (
    FIRST_CONVOLUTIONS,
    PerceptualLoss,
    hinge_of_discriminator,
    hinge_of_generator,
    weighted_first,
)
from scenequilt.synthesis.multiscale import MultiScaleDiscriminator, feature_matching
from scenequilt.synthesis.photograph_samples import PhotographBatch
from scenequilt.synthesis.refinement import pad_to_multiple

CHANNELS = (1024, 1024, 1024, 512, 256, 128, 64, 32)
"""Of what the blocks return, the coarsest first; only "most" has the last."""

DOUBLED = {
    "normal": (False, True, False, True, True, True, True),
    "more": (False, True, True, True, True, True, True),
    "most": (False, True, True, True, True, True, True, True),
}
"""Whether features are enlarged twice before a block, by depth."""

STYLE_SIDE = 256
"""Pixels a side of what the style encoder sees; six halvings leave 4x4."""

ENCODER_CHANNELS = (64, 128, 256, 512, 512, 512)

GAIN = 0.02
"""Of the first weights after Glorot; the code calls it a variance."""

POWER_STEPS = 15
"""Of the power method at first; every training pass adds one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpadeSettings:
    """What a SpadeGenerator is built with; see PRESETS for those of the published networks.

    Attributes:
        depth: "normal" begins at 1/32 of the size, "more" at 1/64, "most" at 1/128 with one block
            more; the paper's code has them for 256 pixels, for Cityscapes, and for 512.
        width: Factor on every channel count; 1.0 is the paper's.
        hidden: Channels between layout and modulation, whatever the width: the paper's narrower and
            wider networks keep its 128.
        norm: "batch" normalises by the statistics of the batch in training and by their running
            averages after it, as published, except that several processes do not share them;
            "instance" by those of each picture at all times, for batches too small for the first.
        boundary: Show the network where objects meet, as one channel, the last.
        void_channel: "last" or "first" among the layout's channels, or "none": then a void pixel is
            0 in all of them. The released network for ADE20K has it first.
        vae: Begin with a style, drawn or taken from a photograph, instead of the layout.
        style_length: Numbers in a style.
        start_hw: (height, width) in pixels of the grid that a style is spread over; other grids are
            made of it by bilinear interpolation. (8, 8) is the code's for 256 pixels, (4, 8) for
            Cityscapes.

    Raises:
        ValueError: If a value is out of range.
    """

    depth: Literal["normal", "more", "most"] = "more"
    width: float = 1.0
    hidden: int = 128
    norm: Literal["batch", "instance"] = "batch"
    boundary: bool = True
    void_channel: Literal["none", "last", "first"] = "last"
    vae: bool = False
    style_length: int = 256
    start_hw: tuple[int, int] = (4, 8)

    def __post_init__(self) -> None:
        if not 0 < self.width <= 2:
            raise ValueError(f"width is {self.width}, expected more than 0 and at most 2")
        for name, allowed in (
            ("depth", tuple(DOUBLED)),
            ("norm", ("batch", "instance")),
            ("void_channel", ("none", "last", "first")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}"
                )
        for name in ("hidden", "style_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if min(self.start_hw) < 1:
            raise ValueError(f"start_hw is {self.start_hw}, expected at least 1 pixel a side")

    @property
    def doublings(self) -> int:
        """How often the grid of the first block is doubled."""
        return sum(DOUBLED[self.depth])

    def wide(self, channels: int) -> int:
        """Return the paper's channels times width, at least 4."""
        return max(4, round(self.width * channels))

    def channels_shown(self, classes: int) -> int:
        """S: channels of what generator and discriminator are shown of a layout of K classes."""
        return classes + (self.void_channel != "none") + self.boundary


PRESETS: Mapping[str, tuple[int, SpadeSettings]] = {
    "ade20k_256": (150, SpadeSettings(depth="normal", boundary=False, void_channel="first")),
    "coco_256": (182, SpadeSettings(depth="normal")),
    "cityscapes_512x256": (35, SpadeSettings(depth="more", void_channel="none")),
    "facades_256": (13, SpadeSettings(depth="normal", boundary=False, void_channel="none")),
}
"""Number of classes and settings of the published networks, by data set and size. Cityscapes has
the 35 raw ids as classes, COCO-Stuff its ids less 1."""


class SpectralNorm(nn.Module):
    """A weight over its largest singular value, for which training passes take one power step each.

    PyTorch's own takes its two vectors as they are. Those of a network that was averaged over its
    training are averages too, and shorter than 1: 100 steps into training a small one its averaged
    weights had a layer ten times too strong. This one brings them to length 1 when it uses them.

    Args:
        weight: (C, ...) float.

    Source:
        Miyato, Kataoka, Koyama and Yoshida 2018, "Spectral Normalization for Generative Adversarial
        Networks", section 2.1.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        rows = weight.detach().flatten(1)
        self.register_buffer("u", F.normalize(torch.randn_like(rows[:, 0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn_like(rows[0]), dim=0))
        if not rows.is_meta:
            self._step(rows, POWER_STEPS)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight that a convolution uses, of the same shape."""
        rows = weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):
            if self.training:
                self._step(rows, 1)
            u, v = F.normalize(self.u, dim=0), F.normalize(self.v, dim=0)
            return weight / torch.dot(u, torch.mv(rows, v))

    @torch.no_grad()
    def _step(self, rows: Tensor, steps: int) -> None:
        for _ in range(steps):
            self.u.copy_(F.normalize(torch.mv(rows, self.v), dim=0))
            self.v.copy_(F.normalize(torch.mv(rows.T, self.u), dim=0))


class Spade(nn.Module):
    """Spatially-adaptive normalisation: x, normalised, times 1 + gamma plus beta.

    Gamma and beta come pixel by pixel from two convolutions of what is shown of the layout, which
    is not normalised itself, so that a layout of one class alone is not lost. Spectral norm is on
    none of them, as in the code; the paper says it is on all layers.

    Args:
        channels: C of x.
        shown: S.
        hidden: Channels between.
        norm: See SpadeSettings.

    Source:
        Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive Normalization", eq. 1.
    """

    def __init__(self, channels: int, shown: int, hidden: int, norm: str) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False) if norm == "batch" else None
        self.shared = _convolution(shown, hidden, 3)
        self.gamma = _convolution(hidden, channels, 3)
        self.beta = _convolution(hidden, channels, 3)

    def forward(self, features: Tensor, shown: Tensor) -> Tensor:
        """Normalise (B, C, h, w) and modulate it by (B, S, h, w)."""
        if self.norm is not None:
            normal = self.norm(features)
        else:
            # Unlike F.instance_norm this takes maps of one pixel, which are 0 then.
            normal = torch.instance_norm(
                features, None, None, None, None, True, 0.1, 1e-5, torch.backends.cudnn.enabled
            )
        hidden = F.relu(self.shared(shown))
        modulated: Tensor = torch.addcmul(normal + self.beta(hidden), normal, self.gamma(hidden))
        return modulated


class SpadeBlock(nn.Module):
    """Residual block of two convolutions, each after SPADE and LeakyReLU.

    Where the number of channels changes, the other way is SPADE and a 1x1 convolution without bias
    or activation, as in the code; the paper's figure has a 3x3 one.
    """

    def __init__(self, before: int, after: int, shown: int, hidden: int, norm: str) -> None:
        super().__init__()
        between = min(before, after)
        self.spade_in = Spade(before, shown, hidden, norm)
        self.conv_in = _convolution(before, between, 3, spectral=True)
        self.spade_out = Spade(between, shown, hidden, norm)
        self.conv_out = _convolution(between, after, 3, spectral=True)
        self.spade_skip = Spade(before, shown, hidden, norm) if before != after else None
        self.conv_skip = (
            _convolution(before, after, 1, bias=False, spectral=True) if before != after else None
        )

    def forward(self, features: Tensor, shown: Tensor) -> Tensor:
        """Take (B, before, h, w), shown (B, S, h, w) of the layout, to (B, after, h, w)."""
        inner = self.conv_in(F.leaky_relu(self.spade_in(features, shown), 0.2))
        inner = self.conv_out(F.leaky_relu(self.spade_out(inner, shown), 0.2))
        if self.conv_skip is not None and self.spade_skip is not None:
            features = self.conv_skip(self.spade_skip(features, shown))
        summed: Tensor = features + inner
        return summed


class StyleEncoder(nn.Module):
    """From a photograph to a normal distribution over styles.

    It sees any photograph at 256x256 pixels. The code leaves its last convolution out for crops
    below 256 pixels, and then breaks off; this one always has it.

    At width 1.0 and 256 numbers a style: 10,463,424 parameters.
    """

    def __init__(self, settings: SpadeSettings) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        before = 3
        for channels in ENCODER_CHANNELS:
            wide = settings.wide(channels)
            # No bias: the instance norm takes it off again.
            self.convolutions.append(
                _convolution(before, wide, 3, stride=2, bias=False, spectral=True)
            )
            before = wide
        side = STYLE_SIDE >> len(ENCODER_CHANNELS)
        self.mean = _drawn(nn.Linear(before * side**2, settings.style_length))
        self.log_variance = _drawn(nn.Linear(before * side**2, settings.style_length))

    def forward(self, photographs: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, N) means and logarithms of variances.

        Args:
            photographs: (B, 3, H, W) RGB in [0, 1].
        """
        seen = (2 * photographs - 1).to(self.mean.weight.dtype)
        if seen.shape[-2:] != (STYLE_SIDE, STYLE_SIDE):
            seen = F.interpolate(
                seen, (STYLE_SIDE, STYLE_SIDE), mode="bilinear", align_corners=False
            )
        for convolution in self.convolutions:
            seen = F.leaky_relu(F.instance_norm(convolution(seen)), 0.2)
        flat = seen.flatten(1)
        return self.mean(flat), self.log_variance(flat)


class SpadeGenerator(nn.Module):
    """From a layout to a photograph, any size, coarse to fine.

    At width 1.0: 96,492,483 parameters for ADE20K, 97,480,899 for COCO-Stuff, 93,048,003 for
    Cityscapes, each with the settings of PRESETS; more with a style encoder.

    Where paper and code differ it follows the code: spectral norm on the convolutions of the blocks
    and the encoder alone, the blocks as drawn in SpadeBlock, first weights of Glorot times 0.02,
    which let every SPADE begin as a plain normalisation. On purpose it differs from the code in
    size: the first grid follows the layout, which is continued by repeating its last row and column
    up to a multiple of 32, 64 or 128 pixels, and the picture is cut back; theirs has the size of
    its training. The boundary channel is sampled by nearest like the classes, as published, so
    little of it is left at the coarsest blocks.

    Args:
        classes: K, void not counted.
        settings: Depth, width and what is shown.

    Source:
        Park, Liu, Wang and Zhu 2019, "Semantic Image Synthesis with Spatially-Adaptive
        Normalization".
    """

    name = "spade"

    def __init__(self, classes: int, settings: SpadeSettings | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.settings = settings = settings or SpadeSettings()
        shown = settings.channels_shown(classes)
        hidden = settings.hidden
        after = [settings.wide(each) for each in CHANNELS[: len(DOUBLED[settings.depth])]]
        self.encoder: StyleEncoder | None = None
        self.start: nn.Module
        if settings.vae:
            self.encoder = StyleEncoder(settings)
            height, width = settings.start_hw
            self.start = _drawn(nn.Linear(settings.style_length, after[0] * height * width))
        else:
            self.start = _convolution(shown, after[0], 3)
        self.blocks = nn.ModuleList(
            SpadeBlock(before, own, shown, hidden, settings.norm)
            for before, own in zip([after[0], *after[:-1]], after, strict=True)
        )
        self.rgb = _convolution(after[-1], 3, 3)

    def forward(self, shown: Tensor, style: Tensor | None = None) -> Tensor:
        """Paint pictures.

        Args:
            shown: (B, S, H, W) float, see shown_of.
            style: (B, N) float; needed with settings.vae, and not looked at without.

        Returns:
            (B, 3, H, W) RGB in [0, 1], in the dtype of shown.
        """
        height, width = shown.shape[-2:]
        doublings = self.settings.doublings
        dtype = next(self.parameters()).dtype
        padded = pad_to_multiple(shown, 2**doublings).to(dtype)
        pyramid = nearest_pyramid(padded, doublings)
        features = self._started(pyramid[0], style)
        level = 0
        for block, doubled in zip(self.blocks, DOUBLED[self.settings.depth], strict=True):
            if doubled:
                features = F.interpolate(features, scale_factor=2.0, mode="nearest")
                level += 1
            features = block(features, pyramid[level])
        # Before it is a colour: in [0.5, 1] there are but 128 numbers in bfloat16.
        painted = torch.tanh(self.rgb(F.leaky_relu(features, 0.2)).to(shown.dtype))
        return ((painted + 1) / 2)[..., :height, :width]

    def generate(self, conditions: Conditions, *, seed: int = 0) -> Tensor:
        """Return (B, 3, H, W) RGB in [0, 1], as generate_in_style does it.

        With a style encoder the look is that of conditions.style (its mean, so the seed changes
        nothing), or where that is None one drawn by the seed, the same for all pictures of a batch:
        another seed is another look. Without one nothing is drawn.

        Raises:
            MissingConditionError: Without instances where settings.boundary asks for them.
            ValueError: If the layout has another number of classes, or not one style a picture.
        """
        style = None
        if self.encoder is not None:
            if conditions.style is not None:
                style = self.style_of(conditions.style)
            else:
                style = self.drawn_style(seed).expand(len(conditions.layout), -1)
        return self.generate_in_style(conditions, style)

    def generate_in_style(self, conditions: Conditions, style: Tensor | None) -> Tensor:
        """Return pictures whose look is given by numbers, which may be interpolated.

        The network is in evaluation mode meanwhile, so that a picture does not depend on the others
        of its batch.

        Args:
            conditions: Layout, and instances where settings.boundary asks for them.
            style: (B, N) float, see style_of and drawn_style; None without a style encoder.

        Returns:
            (B, 3, H, W) RGB in [0, 1], in dtype and on the device of the layout.

        Raises:
            MissingConditionError: Without instances where settings.boundary asks for them.
            ValueError: If the layout has another number of classes, or there is not one style a
                picture.
        """
        shown = self.shown_of(conditions)
        if self.encoder is not None:
            expected = (len(shown), self.settings.style_length)
            found = None if style is None else tuple(style.shape)
            if found != expected:
                raise ValueError(f"style is {found}, expected {expected}: one for each layout")
        with torch.inference_mode(), _evaluating(self):
            picture: Tensor = self(shown, style)
        return picture.clamp(0, 1)

    def style_of(self, photographs: Tensor) -> Tensor:
        """Return (B, N), the mean style of photographs.

        Args:
            photographs: (B, 3, H, W) RGB in [0, 1].

        Raises:
            ValueError: If the network has no style encoder, or they are of another shape.
        """
        if self.encoder is None:
            raise ValueError("this network has no style encoder; train one with vae = true")
        if photographs.ndim != 4 or photographs.shape[1] != 3:
            raise ValueError(f"style must be (B, 3, H, W), got {tuple(photographs.shape)}")
        with torch.inference_mode(), _evaluating(self):
            mean, _ = self.encoder(photographs)
        return torch.as_tensor(mean)

    def drawn_style(self, seed: int) -> Tensor:
        """Return (1, N), a random style on the network's device; the same on every device."""
        draw = torch.Generator().manual_seed(seed)
        style = torch.randn(1, self.settings.style_length, generator=draw)
        return style.to(next(self.parameters()).device)

    def shown_of(self, conditions: Conditions) -> Tensor:
        """Return (B, S, H, W) of the layout's dtype: its classes, void and boundaries as settings
        have them.

        Raises:
            MissingConditionError: Without instances where settings.boundary asks for them.
            ValueError: If the layout has another number of classes.
        """
        layout = checked_layout(conditions.layout, self.classes)
        parts = [layout[:, :-1]]
        if self.settings.void_channel != "none":
            parts.insert(self.settings.void_channel == "last", layout[:, -1:])
        if self.settings.boundary:
            instances = conditions.needed("instances", self.name)
            parts.append(boundary_map(layout.argmax(1), instances).to(layout.dtype))
        return torch.cat(parts, 1)

    def _started(self, coarsest: Tensor, style: Tensor | None) -> Tensor:
        """Return what the first block is given, (B, C, h, w) at the size of the coarsest layout."""
        if not self.settings.vae:
            started: Tensor = self.start(coarsest)
            return started
        if style is None:
            raise ValueError("style is None, expected one for each layout")
        started = self.start(style.to(coarsest.dtype)).unflatten(1, (-1, *self.settings.start_hw))
        if started.shape[-2:] != coarsest.shape[-2:]:
            started = F.interpolate(
                started, coarsest.shape[-2:], mode="bilinear", align_corners=False
            )
        return started.contiguous(memory_format=torch.channels_last)


def nearest_pyramid(shown: Tensor, halvings: int) -> list[Tensor]:
    """Return a layout at every size down to 1 / 2^halvings, the coarsest first, by nearest.

    A pixel is the upper left one of those it stands for, so it has one class alone.

    Args:
        shown: (B, S, H, W); H and W are multiples of 2^halvings.
        halvings: At least 0.
    """
    # With the channels of a pixel side by side convolutions on the CPU are faster.
    return [
        shown[..., :: 2**each, :: 2**each].contiguous(memory_format=torch.channels_last)
        for each in range(halvings, -1, -1)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpadeLossSettings:
    """What counts how much beside the adversarial hinge, and who judges.

    Attributes:
        feature_matching: Weight of the differences of the discriminators' maps.
        perceptual: Weight of the differences of the classifier's maps.
        kld: Weight of the divergence of a photograph's styles from the normal distribution, which
            is summed over a style's numbers and averaged over photographs. The code has 0.05 and
            sums over the photographs of a processor too, 4 of them in the paper: 0.2 is the same.
        discriminator_width: Factor on the discriminators' channels.
        scales: K, how many discriminators there are, each at half the size of the one before.
        stages: Convolutions of each before the one that answers.

    Raises:
        ValueError: If a value is out of range.
    """

    feature_matching: float = 10.0
    perceptual: float = 10.0
    kld: float = 0.2
    discriminator_width: float = 1.0
    scales: int = 2
    stages: int = 4

    def __post_init__(self) -> None:
        for name in ("feature_matching", "perceptual", "kld"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0")
        if not 0 < self.discriminator_width <= 2:
            raise ValueError(
                f"discriminator_width is {self.discriminator_width}, expected more than 0 and at "
                "most 2"
            )
        if self.scales < 1:
            raise ValueError(f"scales is {self.scales}, expected at least 1")
        if self.stages < 2:
            raise ValueError(f"stages is {self.stages}, expected at least 2")


class SpadeObjective:
    """Hinge of discriminators at two scales, matched maps of theirs and of a classifier, styles.

    The hinge is averaged over scales, where pix2pixHD sums. The generator, its style encoder with
    it, makes its step before the discriminator, which sees pictures made anew. Without a classifier
    the perceptual term is left out, which the paper has among its ablations.

    Args:
        generator: The network.
        perceptual: The frozen classifier, VGG-19 in the paper; None for none.
        settings: Weights and form of the discriminators.
        device: Where the networks will be trained.

    Source:
        Park et al. 2019, section 3 and appendix A, with the weights of the code.
    """

    def __init__(
        self,
        generator: SpadeGenerator,
        perceptual: PerceptualLoss | None,
        settings: SpadeLossSettings | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self._generator = generator
        self._settings = settings = settings or SpadeLossSettings()
        self._perceptual: PerceptualLoss | None = None
        if perceptual is not None and settings.perceptual:
            self._perceptual = perceptual.comparing(
                FIRST_CONVOLUTIONS, pooling="max", standardised=False
            )
        self._discriminator = MultiScaleDiscriminator(
            generator.settings.channels_shown(generator.classes) + 3,
            width=settings.discriminator_width,
            scales=settings.scales,
            stages=settings.stages,
            spectral=True,
            bias_before_norm=False,
        )
        _draw_discriminator(self._discriminator)
        self._discriminator.to(device)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the generator and the discriminators, in the order of the code's steps."""
        return {"generator": self._generator, "discriminator": self._discriminator}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return nothing: no step changes any."""
        return {}

    def losses(self, part: str, batch: PhotographBatch) -> Mapping[str, Tensor]:
        """Return the weighted terms of the generator's or the discriminator's loss."""
        shown, real = (
            self._generator.shown_of(batch.conditions(self._generator.classes)),
            batch.real,
        )
        if part == "discriminator":
            return self._of_discriminator(shown, real)
        made, losses = self._made(shown, real)
        of_made = self._judged(shown, made)
        answers = [hinge_of_generator(maps[-1].float()) for maps in of_made]
        losses["adversarial"] = torch.stack(answers).mean()
        if self._settings.feature_matching:
            with torch.no_grad():
                of_real = self._judged(shown, real)
            losses["feature_matching"] = self._settings.feature_matching * feature_matching(
                of_real, of_made
            )
        if self._perceptual is not None:
            total = weighted_first(self._perceptual.terms(made, real))
            losses["perceptual"] = self._settings.perceptual * total
        return losses

    def _of_discriminator(self, shown: Tensor, real: Tensor) -> Mapping[str, Tensor]:
        with torch.no_grad():
            made, _ = self._made(shown, real)
        # In one batch, as in the code: both are seen with the same weights.
        maps = self._judged(torch.cat([shown, shown]), torch.cat([real, made]))
        hinges = [hinge_of_discriminator(*each[-1].float().chunk(2)) for each in maps]
        return {"hinge": torch.stack(hinges).mean()}

    def _made(self, shown: Tensor, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return pictures, and what the styles they were made with cost."""
        if self._generator.encoder is None:
            return self._generator(shown), {}
        mean, log_variance = (each.float() for each in self._generator.encoder(real))
        style = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        cost = self._settings.kld * divergence_from_normal(mean, log_variance)
        return self._generator(shown, style), {"kld": cost} if self._settings.kld else {}

    def _judged(self, shown: Tensor, pictures: Tensor) -> list[list[Tensor]]:
        maps: list[list[Tensor]] = self._discriminator(torch.cat([shown, 2 * pictures - 1], 1))
        return maps


def _draw_discriminator(network: nn.Module) -> None:
    """Draw first weights as the generator's. Where there is spectral norm an instance norm follows,
    so nothing is lost by its vectors being those of the weights before."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight
            if is_parametrized(module, "weight"):
                weight = module.get_parameter("parametrizations.weight.original")
            nn.init.xavier_normal_(weight, gain=GAIN)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def divergence_from_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of normal distributions from the standard one.

    Args:
        mean, log_variance: (B, N) float.

    Returns:
        A scalar: summed over N, averaged over B.

    Source:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", appendix B.
    """
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return terms.sum(1).mean() / 2


BLOCK_NAMES = ("head_0", "G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3", "up_4")
"""What the published networks call our blocks."""

PART_NAMES = {
    **{name: f"blocks.{place}" for place, name in enumerate(BLOCK_NAMES)},
    **{f"layer{place + 1}": f"encoder.convolutions.{place}" for place in range(6)},
    "conv_0": "conv_in",
    "conv_1": "conv_out",
    "conv_s": "conv_skip",
    "norm_0": "spade_in",
    "norm_1": "spade_out",
    "norm_s": "spade_skip",
    "param_free_norm": "norm",
    "mlp_shared": "shared",
    "mlp_gamma": "gamma",
    "mlp_beta": "beta",
    "fc": "start",
    "fc_mu": "encoder.mean",
    "fc_var": "encoder.log_variance",
    "conv_img": "rgb",
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0.u",
    "weight_v": "parametrizations.weight.0.v",
}
"""The same of every part of a name that is another here."""


def published(
    state: Mapping[str, Tensor], classes: int, settings: SpadeSettings
) -> dict[str, Tensor]:
    """Return the tensors of a network of NVlabs/SPADE under the names that they have here.

    For a network with a style encoder put the tensors of both files, net_G and net_E, in one
    mapping.

    Args:
        state: As torch.load gives it.
        classes: K, void not counted.
        settings: Of the network that they are for; PRESETS has those of the released ones.

    Raises:
        ValueError: If a tensor is missing, unknown or of another shape; the message names it.
    """
    mapped: dict[str, Tensor] = {}
    theirs: dict[str, str] = {}
    for name, value in state.items():
        own = _own_name(name)
        mapped[own], theirs[own] = value, name
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        wanted = SpadeGenerator(classes, settings).state_dict()
    for own in wanted.keys() - mapped.keys():
        if own.endswith("num_batches_tracked"):
            # Older versions of PyTorch did not count; nothing depends on it.
            mapped[own] = torch.zeros((), dtype=torch.long)
        elif own.endswith(".0.v"):
            # Nor did they keep this one, which follows from the other.
            weight, u = (mapped.get(own.replace("0.v", each)) for each in ("original", "0.u"))
            if weight is not None and u is not None and len(weight) == len(u):
                mapped[own] = F.normalize(weight.flatten(1).T @ u, dim=0, eps=1e-12)
    missing, unknown = sorted(wanted.keys() - mapped.keys()), sorted(mapped.keys() - wanted.keys())
    if missing or unknown:
        raise ValueError(
            f"this is no SPADE generator of depth {settings.depth!r}, norm {settings.norm!r} and "
            f"vae {settings.vae}: {len(missing)} tensors are missing ({_some(missing)}), "
            f"{len(unknown)} are not known ({_some([theirs[each] for each in unknown])})"
        )
    for own, value in wanted.items():
        if mapped[own].shape != value.shape:
            raise ValueError(
                f"{theirs.get(own, own)} is {tuple(mapped[own].shape)}, expected "
                f"{tuple(value.shape)} for {classes} classes, width {settings.width}, boundary "
                f"{settings.boundary} and void_channel {settings.void_channel!r}"
            )
    return {own: mapped[own] for own in wanted}


def _own_name(name: str) -> str:
    """Return the name that a published tensor has here; a "0" in theirs says nothing."""
    return ".".join(PART_NAMES.get(part, part) for part in name.split(".") if part != "0")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") if names else "none"


Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def _convolution(
    before: int,
    after: int,
    kernel: int,
    *,
    stride: int = 1,
    bias: bool = True,
    spectral: bool = False,
) -> nn.Conv2d:
    """Return a convolution whose maps have the size of what it sees, over stride."""
    made = _drawn(nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=bias))
    if spectral:
        # Only now: once the weight is a result of other tensors, what is drawn into it is lost. And
        # unsafe leaves out a trial, which a network on the meta device would fail.
        register_parametrization(made, "weight", SpectralNorm(made.weight), unsafe=True)
    return made


def _drawn(layer: Layer) -> Layer:
    """Draw the first weights of a layer."""
    nn.init.xavier_normal_(layer.weight, gain=GAIN)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode while the block runs."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


BASELINE = Baseline(
    name="spade",
    network=SpadeSettings,
    loss=SpadeLossSettings,
    build=SpadeGenerator,
    objective=SpadeObjective,
    draws=lambda settings: None if settings.vae else 1,
    published=published,
)
