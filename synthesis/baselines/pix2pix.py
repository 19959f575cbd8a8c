"""pix2pix: a U-Net against a discriminator of patches, and L1."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.synthesis.baselines.baseline import Baseline
from scenequilt.synthesis.interface import Conditions, checked_layout
from scenequilt.synthesis.losses import PerceptualLoss
from scenequilt.synthesis.photograph_samples import PhotographBatch
from scenequilt.synthesis.refinement import pad_to_multiple

CHANNELS = 64
"""Of the first layer of either network; they double from layer to layer."""

MOST_CHANNELS = 512
"""Of any layer."""

UNDROPPED_LEVELS = 4
"""The outermost levels of the decoder have no dropout, and neither has the innermost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pix2PixSettings:
    """What the U-Net is built with.

    Attributes:
        levels: Halvings down to the bottleneck, 2 to 10; 8, the paper's, brings 256 pixels to 1.
            Pictures are padded to multiples of 2^levels pixels, so give what divides their sides.
        width: Factor on every channel count; 1.0 is the paper's.
        dropout: Share of values that is dropped in the inner levels of the decoder, in [0, 1): all
            the noise there is. With 5 levels and fewer there is no inner one.

    Raises:
        ValueError: If a value is out of range.
    """

    levels: int = 8
    width: float = 1.0
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if not 2 <= self.levels <= 10:
            raise ValueError(f"levels is {self.levels}, expected 2 to 10")
        if not 0 < self.width <= 2:
            raise ValueError(f"width is {self.width}, expected more than 0 and at most 2")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, expected at least 0 and less than 1")

    @property
    def drops(self) -> bool:
        """True if anything is dropped."""
        return self.dropout > 0 and self.levels > UNDROPPED_LEVELS + 1


class Pix2PixGenerator(nn.Module):
    """From a layout to a photograph, by a U-Net.

    At width 1.0 with 8 levels, for 34 classes and void: 54,446,723 parameters.

    Batch norm has the statistics of each picture, as in the paper, which trains and tests one
    picture at a time: so a picture in a batch is the same as alone, nothing is kept from training,
    and training and use are the same. Differs from the paper's code as its authors' later PyTorch
    code does: no norm at the bottleneck, where a map of one pixel would become 0, and dropout in
    levels 2, 3 and 4 of the decoder instead of 1, 2 and 3; other numbers of levels keep the four
    outermost and the innermost without. Differs from both in that the layout is one-hot instead of
    a picture of colours.

    Args:
        classes: K.
        settings: Levels, width and dropout.

    Source:
        Isola, Zhu, Zhou and Efros 2017, "Image-to-Image Translation with Conditional Adversarial
        Networks", sections 3.2 and 6.1.
    """

    name = "pix2pix"

    def __init__(self, classes: int, settings: Pix2PixSettings | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.settings = settings = settings or Pix2PixSettings()
        wide = [_wide(settings.width, level) for level in range(settings.levels)]
        self.encoder = nn.ModuleList()
        before = classes + 1
        for level, channels in enumerate(wide):
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if level else []
            layers.append(nn.Conv2d(before, channels, 4, 2, 1, bias=False))
            if 0 < level < settings.levels - 1:
                layers.append(_norm(channels))
            self.encoder.append(nn.Sequential(*layers))
            before = channels
        self.decoder = nn.ModuleList()
        for channels in reversed(wide[:-1]):
            deconvolution = nn.ConvTranspose2d(before, channels, 4, 2, 1, bias=False)
            self.decoder.append(nn.Sequential(nn.ReLU(), deconvolution, _norm(channels)))
            before = 2 * channels  # of this level and of the encoder's
        self.head = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(before, 3, 4, 2, 1), nn.Tanh())
        _draw(self)

    def forward(self, layout: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Paint a picture; values are dropped whether in training or not.

        Args:
            layout: (B, K + 1, H, W) float one-hot, void last.
            noise: On the CPU; says which values are dropped, the same ones in every picture. None
                draws from torch's global generator, for each picture anew.

        Returns:
            (B, 3, H, W) RGB in [0, 1], dtype of layout.

        Raises:
            ValueError: If the layout has another number of classes.
        """
        checked_layout(layout, self.classes)
        height, width = layout.shape[2:]
        features = pad_to_multiple(layout, 2**self.settings.levels)
        features = features.to(next(self.parameters()).dtype)
        skips: list[Tensor] = []
        for encode in self.encoder:
            features = encode(features)
            skips.append(features)
        skips.pop()
        for place, decode in enumerate(self.decoder):
            features = decode(features)
            if 0 < place < self.settings.levels - UNDROPPED_LEVELS:
                features = _dropped(features, self.settings.dropout, noise)
            features = torch.cat([features, skips.pop()], 1)
        painted: Tensor = self.head(features)[..., :height, :width]
        return (painted.to(layout.dtype) + 1) / 2

    def generate(self, conditions: Conditions, *, seed: int = 0) -> Tensor:
        """Return (B, 3, H, W) RGB in [0, 1]; the seed says which values are dropped.

        Raises:
            ValueError: If the layout has another number of classes.
        """
        noise = torch.Generator("cpu").manual_seed(seed)
        with torch.inference_mode():
            return self.forward(conditions.layout, noise)


class PatchGAN(nn.Module):
    """Answers for overlapping patches whether they are of a photograph, given the layout.

    Convolutions of 4x4: some that halve, one that does not, and one to a single channel; batch norm
    with the statistics of each picture in all but the first and the last.

    Args:
        layout_channels: K + 1.
        n_layers: Convolutions that halve, 1 to 5: patches of 16, 34, 70, 142 or 286 pixels a side.
        width: Factor on the channels; 1.0 is the paper's, 2,768,705 parameters for 3 layout
            channels and 3 halvings.

    Source:
        Isola et al. 2017, sections 3.2.2 and 6.1.2.
    """

    def __init__(self, layout_channels: int, *, n_layers: int = 3, width: float = 1.0) -> None:
        super().__init__()
        before = _wide(width, 0)
        layers: list[nn.Module] = [
            nn.Conv2d(layout_channels + 3, before, 4, 2, 1),
            nn.LeakyReLU(0.2),
        ]
        for place in range(1, n_layers + 1):
            channels = _wide(width, place)
            stride = 2 if place < n_layers else 1
            convolution = nn.Conv2d(before, channels, 4, stride, 1, bias=False)
            layers += [convolution, _norm(channels), nn.LeakyReLU(0.2)]
            before = channels
        layers.append(nn.Conv2d(before, 1, 4, 1, 1))
        self.layers = nn.Sequential(*layers)
        _draw(self)

    def forward(self, layout: Tensor, pictures: Tensor) -> Tensor:
        """Return (B, 1, h, w) logits, above 0 where a patch is taken for real.

        Args:
            layout: (B, K + 1, H, W) float one-hot.
            pictures: (B, 3, H, W) RGB in [0, 1].
        """
        answers: Tensor = self.layers(torch.cat([layout, 2 * pictures - 1], 1))
        return answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Pix2PixLossSettings:
    """What counts how much.

    Attributes:
        adversarial: Weight of the adversarial term; 0 trains without a discriminator, the paper's
            "L1".
        l1: Weight of the mean absolute difference of colours in [-1, 1]; 0 is the paper's "cGAN".
        n_layers: Convolutions of the discriminator that halve, 1 to 5, see PatchGAN.
        discriminator_width: Factor on the discriminator's channels.

    Raises:
        ValueError: If a value is out of range, or nothing is left to minimise.
    """

    adversarial: float = 1.0
    l1: float = 100.0
    n_layers: int = 3
    discriminator_width: float = 1.0

    def __post_init__(self) -> None:
        for name in ("adversarial", "l1"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0")
        if not (self.adversarial or self.l1):
            raise ValueError("adversarial and l1 are 0, expected one of them above 0")
        if not 1 <= self.n_layers <= 5:
            raise ValueError(f"n_layers is {self.n_layers}, expected 1 to 5")
        if not 0 < self.discriminator_width <= 2:
            raise ValueError(
                f"discriminator_width is {self.discriminator_width}, expected more than 0 and at "
                "most 2"
            )


class Pix2PixObjective:
    """Make a picture near the photograph that its discriminator takes for one.

    As in the authors' PyTorch code where that and the one of the paper part: the discriminator's
    loss is halved, it answers in logits, and the generator learns from the updated one. Each part's
    turn drops other values of the generator, where the authors paint one picture for both.

    Args:
        generator: The network.
        perceptual: Not looked at: the paper has no classifier in its loss.
        settings: Weights, and the discriminator's shape.
        device: Where the networks will be trained; nothing here is kept there.

    Source:
        Isola et al. 2017, eq. 4 and section 3.3.
    """

    def __init__(
        self,
        generator: Pix2PixGenerator,
        perceptual: PerceptualLoss | None,
        settings: Pix2PixLossSettings,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self._generator = generator
        self._settings = settings
        self._discriminator: PatchGAN | None = None
        if settings.adversarial:
            self._discriminator = PatchGAN(
                generator.classes + 1,
                n_layers=settings.n_layers,
                width=settings.discriminator_width,
            )

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the generator, after the discriminator if there is one."""
        if self._discriminator is None:
            return {"generator": self._generator}
        return {"discriminator": self._discriminator, "generator": self._generator}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return nothing: steps change the networks alone."""
        return {}

    def losses(self, part: str, batch: PhotographBatch) -> Mapping[str, Tensor]:
        """Return the weighted terms of the generator's or the discriminator's loss."""
        layout = batch.conditions(self._generator.classes).layout
        if part == "discriminator":
            assert self._discriminator is not None
            with torch.no_grad():
                made = self._generator(layout)
            of_real = logistic(self._discriminator(layout, batch.real), real=True)
            of_made = logistic(self._discriminator(layout, made), real=False)
            return {"real": of_real / 2, "made": of_made / 2}
        made = self._generator(layout)
        losses = {}
        if self._discriminator is not None:
            fooled = logistic(self._discriminator(layout, made), real=True)
            losses["adversarial"] = self._settings.adversarial * fooled
        if self._settings.l1:
            # Colours in [-1, 1] lie twice as far apart as ours.
            losses["l1"] = self._settings.l1 * 2 * (made - batch.real).abs().mean()
        return losses


def logistic(logits: Tensor, *, real: bool) -> Tensor:
    """Return the mean cross entropy of a discriminator's logits, any shape, with one answer."""
    logits = logits.float()
    wanted = torch.ones_like(logits) if real else torch.zeros_like(logits)
    return F.binary_cross_entropy_with_logits(logits, wanted)


def _wide(width: float, level: int) -> int:
    """Return the channels of a level, from 0."""
    return max(4, round(width * min(CHANNELS << level, MOST_CHANNELS)))


def _norm(channels: int) -> nn.Module:
    """Return batch norm as it is at batch 1, in training and in use."""
    return nn.InstanceNorm2d(channels, affine=True)


def _dropped(features: Tensor, share: float, noise: torch.Generator | None) -> Tensor:
    """Set a share of (B, C, h, w) features to 0, and enlarge the others by as much."""
    if noise is None:
        return F.dropout(features, share, training=True)
    kept = torch.rand(features.shape[1:], generator=noise, device="cpu") >= share
    return features * kept.to(features) / (1 - share)


def _draw(network: nn.Module) -> None:
    """Draw first weights: N(0, 0.02) of convolutions, N(1, 0.02) of gains, biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.InstanceNorm2d):
            gain = isinstance(module, nn.InstanceNorm2d)
            nn.init.normal_(module.weight, float(gain), 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


BASELINE = Baseline(
    name="pix2pix",
    network=Pix2PixSettings,
    loss=Pix2PixLossSettings,
    build=Pix2PixGenerator,
    objective=Pix2PixObjective,
    draws=lambda settings: None if settings.drops else 1,
)
