"""CRN: a cascade of refinement modules, trained by regression in a classifier's features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.synthesis.baselines.baseline import Baseline
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.losses import TERMS, LossBalance, PerceptualLoss
from scenequilt.synthesis.photograph_samples import PhotographBatch
from scenequilt.synthesis.refinement import RefinementCascade, cascade_channels

BEST, ALL = 0.999, 0.001
"""Shares of the best image and of the mean over all images in the diversity loss, as coded; without
the second no gradient would reach an image that is never the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CRNSettings:
    """What a CRN is built with.

    Attributes:
        modules: Of the cascade, 1 to 9. The first should see 4 to 8 lines, since each further one
            sees twice as many: 7 for 256 lines, 8 for 512, 9 for 1024, 6 for 192.
        width: Factor on every channel count; 1.0 is the paper's.
        images: Made of one layout, k; 1 is the model of all comparisons in the paper, 9 that of its
            diverse collections.

    Raises:
        ValueError: If a value is out of range.
    """

    modules: int = 7
    width: float = 1.0
    images: int = 1

    def __post_init__(self) -> None:
        cascade_channels(self.modules, self.width)
        if self.images < 1:
            raise ValueError(f"images is {self.images}, expected at least 1")


class CRNGenerator(nn.Module):
    """From a layout to a photograph, or to k of them.

    At width 1.0 for 19 classes: 97,863,171 parameters at 256 lines (97,875,483 with 9 images),
    98,622,851 at 512, 98,674,531 at 1024. The paper speaks of 105 million, which its own channels
    do not add up to.

    It sees the layout alone and draws no noise. Image u is channels 3u to 3u + 2 of the last layer,
    as the paper words it; in its code they are u, k + u and 2k + u.

    Args:
        classes: K.
        settings: Modules, width and images.

    Source:
        Chen and Koltun 2017, "Photographic Image Synthesis with Cascaded Refinement Networks",
        section 3.
    """

    name = "crn"

    def __init__(self, classes: int, settings: CRNSettings | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.settings = settings = settings or CRNSettings()
        channels = cascade_channels(settings.modules, settings.width)
        self.cascade = RefinementCascade(classes + 1, channels)
        self.head = nn.Conv2d(channels[-1], 3 * settings.images, 1)
        nn.init.xavier_uniform_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, layout: Tensor) -> Tensor:
        """Paint k pictures.

        Args:
            layout: (B, K + 1, H, W) float one-hot, void last.

        Returns:
            (B, k, 3, H, W) RGB, meant to be in [0, 1] and not clipped, dtype of layout.

        Raises:
            ValueError: If the layout has another number of classes.
        """
        painted: Tensor = self.head(self.cascade(layout.to(self.head.weight.dtype)))
        images: Tensor = painted.to(layout.dtype).unflatten(1, (self.settings.images, 3))
        return (images + 1) / 2

    def generate(self, conditions: Conditions, *, seed: int = 0) -> Tensor:
        """Return (B, 3, H, W) RGB in [0, 1]: image (seed modulo k) of the k, image 0 for seed 0.

        Raises:
            ValueError: If the layout has another number of classes.
        """
        return self.styles(conditions)[:, seed % self.settings.images]

    def styles(self, conditions: Conditions) -> Tensor:
        """Return all images of each layout, (B, k, 3, H, W) RGB in [0, 1].

        Raises:
            ValueError: If the layout has another number of classes.
        """
        with torch.inference_mode():
            return self.forward(conditions.layout).clamp(0, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CRNLossSettings:
    """What is compared, and how the terms are balanced. A batch is one of the training's.

    Attributes:
        balance_after: Batches before the terms are measured; they count as plain means until then.
            The paper's authors measured the 100th epoch, so that 99 of 2975 come before.
        balance_steps: Batches that the terms are measured over; from the last of them on each is
            divided by its mean over these, relative to the image term's.
        pooling: Of the classifier: "average" as in the code, or "max" as it was trained.
        trained_modules: How many of the finest modules learn beside the last layer; None for all,
            as the paper says. Its code trains 2 of the 9 for 1024 lines, since memory was short.

    Raises:
        ValueError: If a value is out of range.
    """

    balance_after: int = 294_525
    balance_steps: int = 2975
    pooling: Literal["average", "max"] = "average"
    trained_modules: int | None = None

    def __post_init__(self) -> None:
        if self.balance_after < 0:
            raise ValueError(f"balance_after is {self.balance_after}, expected at least 0")
        if self.balance_steps < 1:
            raise ValueError(f"balance_steps is {self.balance_steps}, expected at least 1")
        if self.pooling not in ("average", "max"):
            raise ValueError(f"pooling is {self.pooling!r}, expected 'average' or 'max'")
        if self.trained_modules is not None and self.trained_modules < 1:
            raise ValueError(f"trained_modules is {self.trained_modules}, expected at least 1")


class CRNObjective:
    """Make a picture whose pixels and features are those of the layout's photograph.

    Paper and code part in two places. Weights of the terms are fixed numbers in the code, from the
    first step; here they are measured, as the paper says, since they belong to one classifier's
    weights. With several images the loss is the code's, of means and with a small share of all
    images, where the paper has sums and the best alone; its terms are those of the images chosen,
    which is also what the balance measures. Photographs are taken as they are, where the code makes
    them brighter and richer in contrast for 512 and 1024 lines.

    Args:
        generator: The network. Modules that are not to learn are frozen for good.
        perceptual: The frozen classifier, compared by the second convolution of each block; None
            compares pixels alone, the paper's "image-space loss", which blurs.
        settings: Balance, pooling, and what learns.
        device: Where the network will be trained.

    Raises:
        ValueError: If settings.trained_modules is more than the generator has.

    Source:
        Chen and Koltun 2017, eq. 1 and 3.
    """

    def __init__(
        self,
        generator: CRNGenerator,
        perceptual: PerceptualLoss | None,
        settings: CRNLossSettings,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        stages = generator.cascade.stages
        trained = len(stages) if settings.trained_modules is None else settings.trained_modules
        if trained > len(stages):
            raise ValueError(
                f"trained_modules is {trained}, expected at most the {len(stages)} of the generator"
            )
        for stage in stages[: len(stages) - trained]:
            stage.requires_grad_(False)
        self._generator = generator
        self._perceptual = (
            None
            if perceptual is None
            else perceptual.comparing(TERMS[1:], pooling=settings.pooling)
        )
        self._settings = settings
        self._terms = TERMS if perceptual is not None else TERMS[:1]
        self._balance = LossBalance(self._terms, steps=settings.balance_steps, device=device)

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the generator; there is no discriminator."""
        return {"generator": self._generator}

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return what the balance of the terms was measured from, and its weights."""
        return self._balance.buffers

    def losses(self, part: str, batch: PhotographBatch) -> Mapping[str, Tensor]:
        """Return the weighted terms of the loss, of the pixels and of each map."""
        layout = batch.conditions(self._generator.classes).layout
        real = batch.real
        made: Tensor = self._generator(layout)
        if self._generator.settings.images > 1:
            weights = self._balance.buffers["weights"].to(layout.device)
            compared = diversity_terms(
                self._seen(made.flatten(0, 1)), self._seen_real(real), layout, weights
            )
            terms = dict(zip(self._terms, compared.unbind(), strict=True))
        elif self._perceptual is not None:
            terms = self._perceptual.terms(made[:, 0], real)
        else:
            terms = {"image": (made[:, 0].float() - real).abs().mean()}
        if batch.number <= self._settings.balance_after:
            return terms
        return self._balance.weighted(terms)

    def _seen(self, pictures: Tensor) -> list[Tensor]:
        """Return what pictures are compared by: themselves and their maps."""
        return [pictures, *(self._perceptual.maps(pictures) if self._perceptual else [])]

    @torch.no_grad()
    def _seen_real(self, real: Tensor) -> list[Tensor]:
        return self._seen(real)


def diversity_terms(
    made: Sequence[Tensor], real: Sequence[Tensor], layout: Tensor, weights: Tensor
) -> Tensor:
    """Return the terms of the loss that lets every class choose the best of k images.

    An image's error in a class is the weighted sum over terms of its mean absolute difference,
    counted where the class is. The loss is 0.999 times the least error of each class over the
    images and 0.001 times the mean one, summed over classes and averaged over layouts. A class thus
    counts by its area, and for k = 1 all of it is the plain perceptual loss.

    Args:
        made: What the images are compared by, one tensor a term: (B * k, C, h, w) each, the images
            of a layout one after the other.
        real: The same of the photographs, (B, C, h, w) each.
        layout: (B, P, H, W) float, one-hot; brought to the size of each term by area averages.
        weights: (T,) of the terms, by which images are chosen.

    Returns:
        (T,) unweighted terms; their sum times weights is the loss.

    Source:
        Chen and Koltun 2017, eq. 3 and its code.
    """
    batch = layout.shape[0]
    errors = []
    # These sums run over a whole picture, more than bfloat16 can add up.
    with torch.autocast(layout.device.type, enabled=False):
        for mine, wanted in zip(made, real, strict=True):
            difference = mine.float().unflatten(0, (batch, -1)) - wanted.float().unsqueeze(1)
            by_pixel = difference.abs().mean(2)  # (B, k, h, w)
            height, width = by_pixel.shape[2:]
            shares = F.adaptive_avg_pool2d(layout.float(), (height, width))  # (B, P, h, w)
            by_class = torch.einsum("bkhw,bphw->bkp", by_pixel, shares)
            errors.append(by_class / (height * width))
        error = torch.stack(errors)  # (T, B, k, P)
        best = torch.einsum("t,tbkp->bkp", weights, error).argmin(1, keepdim=True)  # (B, 1, P)
        least = error.gather(2, best.expand(len(errors), -1, -1, -1)).squeeze(2)  # (T, B, P)
        return (BEST * least + ALL * error.mean(2)).sum(2).mean(1)


BASELINE = Baseline(
    name="crn",
    network=CRNSettings,
    loss=CRNLossSettings,
    build=CRNGenerator,
    objective=CRNObjective,
    draws=lambda settings: settings.images,
)
