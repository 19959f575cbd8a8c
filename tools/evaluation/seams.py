"""Seams: gradient energy where pasted segments meet, against that where real objects do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.tools.evaluation.power_spectrum import luma
from scenequilt.tools.evaluation.results import Seams

Pixel = TypeVar("Pixel", bound=np.generic)

_IDS = 256


class SeamEnergy:
    """Adds up gradient energy over pairs of neighbours, by what lies between the two.

    The energy of two pixels side by side or one above the other is the squared difference of their
    luma in [0, 1]. Pairs with a void pixel are left out, and where owners are told apart, pairs
    with a pixel that no segment owns.
    """

    def __init__(self) -> None:
        """Add nothing yet."""
        self._label = _ByClasses()
        self._between = _ByClasses()
        self._within = _Energy()
        self._interior = _Energy()

    def add(
        self,
        image: NDArray[np.uint8],
        requested: NDArray[np.uint8],
        ownership: NDArray[np.int32] | None = None,
        delivered: NDArray[np.uint8] | None = None,
    ) -> None:
        """Add a picture.

        Args:
            image: (H, W, 3) uint8 RGB.
            requested: (H, W) uint8 class ids, 255 = void: where borders are asked for.
            ownership: (H, W) int32, which segment owns a pixel, -1 = none; None where not known.
            delivered: (H, W) uint8 class ids of what is in the picture; None takes requested. They
                tell the classes on both sides of a border between owners.

        Raises:
            ValueError: If a size differs.
        """
        size = requested.shape
        for what, pixels in (("ownership", ownership), ("delivered", delivered)):
            if pixels is not None and pixels.shape != size:
                raise ValueError(f"{what} must be {size} like requested, got {pixels.shape}")
        if image.shape != (*size, 3):
            raise ValueError(f"image must be {(*size, 3)} like requested, got {image.shape}")
        brightness = luma(image)
        there = requested if delivered is None else delivered
        for axis in (0, 1):
            energy = np.diff(brightness, axis=axis) ** 2
            asked, other_asked = _neighbours(requested, axis)
            known = (asked != VOID) & (other_asked != VOID)
            self._label.add(energy, asked, other_asked, known & (asked != other_asked))
            shown, other_shown = _neighbours(there, axis)
            known = (shown != VOID) & (other_shown != VOID)
            same = known & (shown == other_shown)
            if ownership is not None:
                owner, other_owner = _neighbours(ownership, axis)
                owned = (owner >= 0) & (other_owner >= 0)
                seam = owned & (owner != other_owner)
                self._between.add(energy, shown, other_shown, known & ~same & seam)
                self._within.add(energy, same & seam)
                same &= owned & ~seam
            self._interior.add(energy, same)

    def figures(self, reference: SeamEnergy | None) -> Seams:
        """Return mean energies, and shares of those of the photographs.

        Args:
            reference: The energies of the photographs at the borders of their layouts; None
                without photographs.
        """
        between = self._between.total
        ownership = (between + self._within).mean
        label = self._label.total.mean
        real = None if reference is None else reference._label.total.mean
        ours = label if ownership is None else ownership
        return Seams(
            ownership=ownership,
            ownership_between=between.mean,
            ownership_within=self._within.mean,
            label=label,
            interior=self._interior.mean,
            of_real=ours / real if ours is not None and real else None,
            between_matched=None if reference is None else self._between.of(reference._label),
        )


@dataclass
class _Energy:
    """Energy of some pairs of neighbours."""

    energy: float = 0.0
    pairs: int = 0

    def add(self, energy: NDArray[np.float64], chosen: NDArray[np.bool_]) -> None:
        self.energy += float((energy * chosen).sum())
        self.pairs += int(np.count_nonzero(chosen))

    def __add__(self, other: _Energy) -> _Energy:
        return _Energy(self.energy + other.energy, self.pairs + other.pairs)

    @property
    def mean(self) -> float | None:
        return self.energy / self.pairs if self.pairs else None


def _no_classes() -> NDArray[np.float64]:
    return np.zeros(_IDS * _IDS)


@dataclass
class _ByClasses:
    """Energy of some pairs of neighbours by their two classes, in no order."""

    energy: NDArray[np.float64] = field(default_factory=_no_classes)
    pairs: NDArray[np.float64] = field(default_factory=_no_classes)

    def add(
        self,
        energy: NDArray[np.float64],
        classes: NDArray[np.uint8],
        others: NDArray[np.uint8],
        chosen: NDArray[np.bool_],
    ) -> None:
        one, other = classes[chosen].astype(np.intp), others[chosen].astype(np.intp)
        pair = np.minimum(one, other) * _IDS + np.maximum(one, other)
        self.energy += np.bincount(pair, energy[chosen], minlength=_IDS * _IDS)
        self.pairs += np.bincount(pair, minlength=_IDS * _IDS)

    @property
    def total(self) -> _Energy:
        return _Energy(float(self.energy.sum()), int(self.pairs.sum()))

    def of(self, reference: _ByClasses) -> float | None:
        """Return the energy as a share of what the reference has at as many pairs of each kind."""
        shared = (self.pairs > 0) & (reference.pairs > 0)
        means = reference.energy[shared] / reference.pairs[shared]
        expected = float((means * self.pairs[shared]).sum())
        return float(self.energy[shared].sum()) / expected if expected else None


def _neighbours(pixels: NDArray[Pixel], axis: int) -> tuple[NDArray[Pixel], NDArray[Pixel]]:
    if axis == 0:
        return pixels[:-1], pixels[1:]
    return pixels[:, :-1], pixels[:, 1:]
