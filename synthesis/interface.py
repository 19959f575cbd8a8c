"""ImageGenerator: one interface for everything that turns conditions into pictures."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from scenequilt.memory_bank.errors import MissingConditionError


@dataclass(frozen=True, eq=False)
class Conditions:
    """Everything a generator may look at. B scenes, K classes, H x W pixels.

    Attributes:
        layout: (B, K + 1, H, W) float, one-hot over the classes, void last; the delivered layout
            where there is a canvas.
        instances: (B, H, W) int32 instance map, 0 = stuff.
        canvas: (B, 3, H, W) float RGB in [0, 1], the pasted segments; anything where not covered.
        coverage: (B, 1, H, W) bool, True where the canvas holds a photograph's pixel.
        elided: (B, 1, H, W) bool, True where such a pixel was taken out again.
        style: (B, 3, H, W) float RGB in [0, 1], a picture whose look is wanted.
        edges: (B, 1, H, W) bool, True on lines one pixel wide that are to be seen.
        color_domain: (B, 3, H, W) float RGB in [0, 1], a plan in few flat colours.
    """

    layout: Tensor
    instances: Tensor | None = None
    canvas: Tensor | None = None
    coverage: Tensor | None = None
    elided: Tensor | None = None
    style: Tensor | None = None
    edges: Tensor | None = None
    color_domain: Tensor | None = None

    def needed(self, name: str, generator: str) -> Tensor:
        """Return a condition that a generator cannot do without.

        Raises:
            MissingConditionError: If it is None; the message names it and the generator.
        """
        value: Tensor | None = getattr(self, name)
        if value is None:
            raise MissingConditionError(
                f"generator {generator!r} needs the condition {name!r}, which is None; pass it in "
                "Conditions"
            )
        return value


def checked_layout(layout: Tensor, classes: int) -> Tensor:
    """Return a layout, if it is one of K classes.

    Args:
        layout: (B, K + 1, H, W) float one-hot, void last.
        classes: K.

    Raises:
        ValueError: If it has another shape.
    """
    if layout.ndim != 4 or layout.shape[1] != classes + 1:
        raise ValueError(
            f"layout must be (B, {classes + 1}, H, W), got {tuple(layout.shape)}; give it in the "
            "taxonomy that the network was trained with"
        )
    return layout


@runtime_checkable
class ImageGenerator(Protocol):
    """Turns conditions into pictures.

    Reads the conditions it was built for, ignores the others, and raises MissingConditionError when
    one that it needs is None. Same conditions, same seed, same picture.
    """

    @property
    def name(self) -> str:
        """How it is called in papers and on the command line."""
        ...

    def generate(self, conditions: Conditions, *, seed: int = 0) -> Tensor:
        """Return (B, 3, H, W) float RGB in [0, 1] on the device of conditions.layout."""
        ...
