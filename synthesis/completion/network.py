"""The network that says which class every pixel of an incomplete layout is."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from scenequilt.synthesis.refinement import RefinementCascade, cascade_channels, one_hot_layout

NEAREST_LOGIT = 2.0
"""What the nearest label's class starts with: that it is right in two cases of three."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionNetSettings:
    """How large the network is.

    Attributes:
        modules: Of the cascade; the first sees the layout at 1 / 2^(modules - 1) of its size.
        width: Factor on the channels of the paper.
        start: What its answer starts from: "nothing", as in the paper, or the "nearest" label of
            each pixel, which it is then shown beside the coarse layout and learns to correct.

    Raises:
        ValueError: If a number is out of range.
    """

    modules: int = 7
    width: float = 1.0
    start: Literal["nothing", "nearest"] = "nothing"

    def __post_init__(self) -> None:
        cascade_channels(self.modules, self.width)
        if self.start not in ("nothing", "nearest"):
            raise ValueError(f'start is {self.start!r}, expected "nothing" or "nearest"')


class CompletionNet(nn.Module):
    """A cascaded refinement network with a channel a class in place of a picture.

    Args:
        classes: K.
        settings: How large it is.

    Source:
        Qi et al. 2018, "Semi-parametric Image Synthesis": a cascaded refinement network completes
        coarse layouts. Its head is ours, for the authors did not publish theirs.
    """

    def __init__(self, classes: int, settings: CompletionNetSettings) -> None:
        super().__init__()
        self.classes = classes
        self.settings = settings
        channels = cascade_channels(settings.modules, settings.width)
        self.starts_near = settings.start == "nearest"
        shown = 2 * classes + 1 if self.starts_near else classes + 1
        self.cascade = RefinementCascade(shown, channels)
        self.head = nn.Conv2d(self.cascade.out_channels, classes, 1)
        if self.starts_near:
            self.nearest_logit = nn.Parameter(torch.tensor(NEAREST_LOGIT))

    def forward(self, coarse: Tensor, nearest: Tensor) -> Tensor:
        """Return what each pixel may be.

        Args:
            coarse: (B, H, W) uint8 class ids, 255 = void.
            nearest: (B, H, W) uint8, the same with its void labelled like the nearest labelled
                pixel; looked at only by a network that starts from it.

        Returns:
            (B, K, H, W) logits of the classes; void is no answer.

        Raises:
            ValueError: If coarse is not (B, H, W).
        """
        precision = self.head.weight.dtype
        given = one_hot_layout(coarse, self.classes).to(precision)  # (B, K + 1, H, W)
        if not self.starts_near:
            logits: Tensor = self.head(self.cascade(given))
            return logits
        near = one_hot_layout(nearest, self.classes)[:, :-1].to(precision)  # (B, K, H, W)
        corrections: Tensor = self.head(self.cascade(torch.cat([given, near], 1)))
        return corrections + self.nearest_logit * near
