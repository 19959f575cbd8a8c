"""How well void is filled: dense layouts, coarse versions of them, and a score for completers."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.completion.coarse import CoarseSettings, simulate_coarse
from scenequilt.synthesis.completion.completer import Completed, NearestCompleter
from scenequilt.tools.evaluation.results import SegmentationScore
from scenequilt.tools.evaluation.segmentation_score import ConfusionMatrix

MAX_TRIED = 100
"""Layouts that a completer is tried on, evenly spread, if there are more."""

GAP_PX = 4
"""Between the pictures of a sheet."""


class Layouts(Protocol):
    """Dense layouts by number; synthesis.layouts.source.DatasetLayouts is one."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def read(self, place: int) -> Layout:
        """Return the layout at a place, 0 to len - 1."""
        ...


class Completer(Protocol):
    """Fills the void of a layout."""

    def complete(self, layout: Layout) -> Completed:
        """Return the layout without void."""
        ...


class CompletionTrial:
    """Dense layouts and their coarse versions, the same each time.

    Args:
        layouts: The dense ones.
        taxonomy: Their classes.
        coarse: How the coarse ones are simulated.
        seed: Of the simulation.

    Raises:
        ValueError: If there is no layout.
    """

    def __init__(
        self, layouts: Layouts, taxonomy: Taxonomy, coarse: CoarseSettings, *, seed: int = 0
    ) -> None:
        if len(layouts) == 0:
            raise ValueError("there are no layouts to try a completer on, expected at least 1")
        self.taxonomy = taxonomy
        self._layouts = layouts
        self._coarse = coarse
        self._seed = seed
        self._nearest: dict[str, float] | None = None

    def places(self, most: int = MAX_TRIED) -> Sequence[int]:
        """Return which layouts are tried."""
        count = min(len(self._layouts), most)
        return [int(place) for place in np.linspace(0, len(self._layouts) - 1, count)]

    def pair(self, place: int) -> tuple[Layout, Layout]:
        """Return the dense and the coarse layout at a place."""
        dense = self._layouts.read(place)
        rng = np.random.default_rng((self._seed, 2, place))
        return dense, simulate_coarse(dense, self._coarse, rng)

    def score(self, completer: Completer) -> SegmentationScore:
        """Score what a completer makes of pixels void in the coarse layout, labelled in the dense.

        Raises:
            ValueError: If there is no such pixel.
        """
        matrix = ConfusionMatrix(len(self.taxonomy))
        for place in self.places():
            dense, coarse = self.pair(place)
            completed = completer.complete(coarse)
            asked = np.where(completed.filled, dense.label_map, VOID).astype(np.uint8)
            matrix.add(asked, completed.layout.label_map)
        return matrix.score(self.taxonomy)

    def figures(self, completer: Completer) -> dict[str, float]:
        """Return the mean IoU and pixel accuracy of score(), beside those of the nearest label."""
        if self._nearest is None:
            self._nearest = _figures("nearest", self.score(NearestCompleter()))
        return {**_figures("completed", self.score(completer)), **self._nearest}

    def sheet(self, completer: Completer, *, most: int = 4) -> NDArray[np.uint8]:
        """Draw layouts in their colours: coarse, by nearest label, completed, true; one a row.

        Returns:
            (H, W, 3) uint8 RGB, as wide as the widest row.
        """
        rows = []
        for place in self.places(most):
            dense, coarse = self.pair(place)
            nearest = NearestCompleter().complete(coarse).layout
            shown = [coarse, nearest, completer.complete(coarse).layout, dense]
            rows.append(_joined([layout.colored() for layout in shown], axis=1))
        widest = max(row.shape[1] for row in rows)
        padded = [
            np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=255)
            for row in rows
        ]
        return _joined(padded, axis=0)


def _figures(what: str, score: SegmentationScore) -> dict[str, float]:
    return {
        f"{what}_mean_iou": score.mean_iou.value,
        f"{what}_pixel_accuracy": score.pixel_accuracy,
    }


def _joined(pictures: Sequence[NDArray[np.uint8]], *, axis: int) -> NDArray[np.uint8]:
    """Put pictures of one height (axis 1) or width (axis 0) side by side, white between them."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP_PX
    gap = np.full(shape, 255, np.uint8)
    between = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(between[1:], axis=axis)
