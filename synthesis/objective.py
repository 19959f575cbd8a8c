"""SynthesisObjective: what the synthesis network of SIMS minimises."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.synthesis.discriminator import FeatureDiscriminator, PatchDiscriminator
from scenequilt.synthesis.losses import (
    TERMS,
    LossBalance,
    PerceptualLoss,
    hinge_of_discriminator,
    hinge_of_generator,
)
from scenequilt.synthesis.network import CanvasGenerator, one_hot


@dataclass(frozen=True, eq=False)
class SynthesisBatch:
    """Simulated canvases and the photographs behind them. B scenes of H x W pixels.

    Attributes:
        label_map: (B, H, W) uint8 class ids, 255 = void.
        canvas: (B, 3, H, W) uint8 RGB.
        coverage: (B, 1, H, W) bool.
        elided: (B, 1, H, W) bool.
        photograph: (B, 3, H, W) uint8 RGB.
    """

    label_map: Tensor
    canvas: Tensor
    coverage: Tensor
    elided: Tensor
    photograph: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SynthesisLossSettings:
    """What counts how much.

    Attributes:
        balance_steps: Steps after which the perceptual terms are balanced.
        semantic: Weight of the cross entropy of the semantic head; the paper's code has 10 beside
            colours of 0 to 255, which is 10 / 255 beside ours of 0 to 1.
        adversarial: Weight of the adversarial term beside the balanced terms; 0, the paper's,
            trains without a discriminator.
        discriminator: "patch" judges pixels, "features" the classifier's maps, which learns much
            faster.
        discriminator_width: Factor on the discriminator's channels.

    Raises:
        ValueError: If a value is out of range.
    """

    balance_steps: int = 100
    semantic: float = 10 / 255
    adversarial: float = 0.0
    discriminator: Literal["patch", "features"] = "features"
    discriminator_width: float = 0.25

    def __post_init__(self) -> None:
        if self.balance_steps < 1:
            raise ValueError(f"balance_steps is {self.balance_steps}, expected at least 1")
        for name in ("semantic", "adversarial"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0")
        if self.discriminator not in ("patch", "features"):
            raise ValueError(
                f"discriminator is {self.discriminator!r}, expected 'patch' or 'features'"
            )
        if not 0 < self.discriminator_width <= 2:
            raise ValueError(
                f"discriminator_width is {self.discriminator_width}, expected more than 0 and at "
                "most 2"
            )


class SynthesisObjective:
    """Make of a simulated canvas the photograph that it was made from.

    Args:
        generator: The network.
        perceptual: The frozen classifier; None compares pixels alone, which blurs.
        settings: Weights.
        discriminator: Needed where settings.adversarial is above 0.
        device: Where the networks will be trained.

    Source:
        Qi et al. 2018, "Semi-parametric Image Synthesis", section 5; the semantic term is in their
        code alone.
    """

    def __init__(
        self,
        generator: CanvasGenerator,
        perceptual: PerceptualLoss | None,
        settings: SynthesisLossSettings,
        discriminator: PatchDiscriminator | FeatureDiscriminator | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        if settings.adversarial and discriminator is None:
            raise ValueError(
                f"adversarial is {settings.adversarial}, which needs a discriminator; give one, or 0"
            )
        if isinstance(discriminator, FeatureDiscriminator) and perceptual is None:
            raise ValueError(
                "a discriminator over features needs the classifier of the perceptual loss; give "
                "its weights, or take the discriminator 'patch'"
            )
        self._generator = generator
        self._discriminator = discriminator if settings.adversarial else None
        self._perceptual = perceptual
        self._settings = settings
        terms = TERMS if perceptual is not None else TERMS[:1]
        self._balance = LossBalance(terms, steps=settings.balance_steps, device=device)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the generator, after the discriminator if there is one."""
        if self._discriminator is None:
            return {"generator": self._generator}
        return {"discriminator": self._discriminator, "generator": self._generator}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return what the balance of the terms was measured from, and its weights."""
        return self._balance.buffers

    def losses(self, part: str, batch: SynthesisBatch) -> Mapping[str, Tensor]:
        """Return the weighted terms of the generator's or the discriminator's loss."""
        layout = one_hot(batch.label_map, self._generator.classes)
        real = batch.photograph.float() / 255
        if part == "discriminator":
            return self._of_discriminator(layout, batch, real)
        made, logits = self._made(layout, batch)
        maps: list[Tensor] = []
        if self._perceptual is None:
            terms = {"image": (made.float() - real).abs().mean()}
        else:
            maps = self._perceptual.maps(made)
            with torch.no_grad():
                expected = self._perceptual.maps(real)
            terms = self._perceptual.terms_of_maps(made, real, maps, expected)
        losses = self._balance.weighted(terms)
        if self._settings.semantic:
            labels = _shrunk_labels(batch.label_map, logits).clamp(max=self._generator.classes)
            entropy = F.cross_entropy(logits.float(), labels)
            losses["semantic"] = self._settings.semantic * entropy
        if self._discriminator is not None:
            answers = self._judged(layout, made, maps)
            losses["adversarial"] = self._settings.adversarial * hinge_of_generator(answers)
        return losses

    def _of_discriminator(
        self, layout: Tensor, batch: SynthesisBatch, real: Tensor
    ) -> Mapping[str, Tensor]:
        with torch.no_grad():
            made, _ = self._made(layout, batch)
            looked = isinstance(self._discriminator, FeatureDiscriminator)
            of_real = self._perceptual.maps(real) if looked and self._perceptual else []
            of_made = self._perceptual.maps(made) if looked and self._perceptual else []
        return {
            "hinge": hinge_of_discriminator(
                self._judged(layout, real, of_real), self._judged(layout, made, of_made)
            )
        }

    def _judged(self, layout: Tensor, pictures: Tensor, maps: list[Tensor]) -> Tensor:
        """Return the discriminator's answers to pictures, or to the classifier's maps of them."""
        if isinstance(self._discriminator, FeatureDiscriminator):
            answers: Tensor = self._discriminator(layout, maps)
        else:
            assert self._discriminator is not None
            answers = self._discriminator(layout, pictures.float())
        return answers.float()

    def _made(self, layout: Tensor, batch: SynthesisBatch) -> tuple[Tensor, Tensor]:
        made: tuple[Tensor, Tensor] = self._generator(
            layout, batch.canvas.float() / 255, batch.coverage, batch.elided
        )
        return made


def _shrunk_labels(label_map: Tensor, logits: Tensor) -> Tensor:
    """Return (B, h, w) int64 labels at the size of the logits, by nearest."""
    labels = label_map[:, None].float()
    return F.interpolate(labels, logits.shape[2:], mode="nearest-exact")[:, 0].long()
