"""Layout fidelity: how far the classes that a segmenter sees are those that a layout asks for."""

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import MAX_CLASSES, VOID, Taxonomy
from scenequilt.tools.evaluation.intervals import percentile_interval, resampled_sums
from scenequilt.tools.evaluation.results import SegmentationScore


class ConfusionMatrix:
    """Counts which class is seen where which class should be, picture by picture.

    Pixels that are void in the truth are not counted. A pixel where the segmenter sees no class
    counts as wrong. Class ids are those of a taxonomy of K classes.
    """

    def __init__(self, classes: int) -> None:
        """Count nothing yet.

        Args:
            classes: K, 1 to 255.

        Raises:
            ValueError: If classes is out of range.
        """
        if not 0 < classes <= MAX_CLASSES:
            raise ValueError(f"classes must be 1 to {MAX_CLASSES}, got {classes}")
        self._classes = classes
        # A table of 171 classes takes 235 kB a picture, and few of its cells hold anything.
        self._cells: list[tuple[NDArray[np.int32], NDArray[np.int32]]] = []
        # (3, K) each: pixels of every class that are right, true and seen.
        self._marginals: list[NDArray[np.int64]] = []

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def counted_px(self) -> int:
        """Pixels counted so far, all pictures together."""
        return sum(int(true.sum()) for _, true, _ in self._marginals)

    @property
    def pictures(self) -> NDArray[np.int64]:
        """(N, K, K + 1) int64, pixels of each picture by true and seen class, no class last."""
        tables = np.zeros((len(self), self._classes, self._classes + 1), np.int64)
        for table, (places, counts) in zip(tables, self._cells, strict=True):
            table.ravel()[places] = counts
        return tables

    def add(self, truth: NDArray[np.uint8], seen: NDArray[np.uint8]) -> None:
        """Count one picture; its place is the number of pictures counted before.

        Args:
            truth: (H, W) uint8 class ids, 255 = void.
            seen: (H, W) uint8 class ids; any other value is no class.

        Raises:
            ValueError: If sizes or types differ, or truth holds a value that is no class.
        """
        for what, labels in (("truth", truth), ("seen", seen)):
            if labels.ndim != 2 or labels.dtype != np.uint8:
                raise ValueError(f"{what} must be (H, W) uint8, got {labels.shape} {labels.dtype}")
        if truth.shape != seen.shape:
            raise ValueError(f"seen must be {truth.shape} like truth, got {seen.shape}")
        columns = self._classes + 1
        pair = truth.astype(np.uint16) * np.uint16(columns)
        pair += np.minimum(seen, self._classes)
        counts = np.bincount(pair.ravel(), minlength=(VOID + 1) * columns)
        table = counts.reshape(VOID + 1, columns)
        unknown = np.flatnonzero(table[self._classes : VOID].any(axis=1))
        if unknown.size:
            raise ValueError(
                f"truth holds class id {self._classes + unknown[0]}, but there are "
                f"{self._classes} classes; use {VOID} for void"
            )
        counted = table[: self._classes]
        places = np.flatnonzero(counted)
        self._cells.append((places.astype(np.int32), counted.ravel()[places].astype(np.int32)))
        self._marginals.append(
            np.stack([np.diagonal(counted), counted.sum(axis=1), counted.sum(axis=0)[:-1]])
        )

    def of_picture(self, place: int) -> tuple[float, float]:
        """Return mean IoU, over the classes of its layout, and pixel accuracy of one picture.

        Both are 1 for a picture of which nothing is counted.
        """
        right, true, seen = self._marginals[place]
        if not true.any():
            return 1.0, 1.0
        mean_iou = _mean_iou(right[None], true[None], seen[None])[0]
        return float(mean_iou), float(right.sum() / true.sum())

    def score(
        self, taxonomy: Taxonomy, *, seed: int = 0, resamples: int = 1000
    ) -> SegmentationScore:
        """Score all pictures by their joint matrix.

        Means are over the classes that the layouts show. The bounds of mean IoU are those of a
        percentile bootstrap over pictures; a resample's mean is over the classes that it shows.

        Args:
            taxonomy: The K classes.
            seed: Of the resampling.
            resamples: How many.

        Raises:
            ValueError: If the taxonomy has another number of classes, or no pixel was counted.
        """
        if len(taxonomy) != self._classes:
            raise ValueError(
                f"taxonomy {taxonomy.name!r} has {len(taxonomy)} classes, "
                f"but {self._classes} were counted"
            )
        if not self.counted_px:
            raise ValueError(
                f"no pixel was counted in {len(self)} pictures; "
                "add a layout with a pixel that is not void"
            )
        marginals = np.stack(self._marginals)  # (N, 3, K)
        sums = resampled_sums(marginals.reshape(len(self), -1), seed=seed, resamples=resamples)
        resampled = _mean_iou(*np.split(sums, 3, axis=1))
        right, true, seen = marginals.sum(axis=0)
        shown = np.flatnonzero(true)
        names = [taxonomy.classes[class_id].name for class_id in shown]
        iou = right[shown] / (true + seen - right)[shown]
        accuracy = right[shown] / true[shown]
        return SegmentationScore(
            pixel_accuracy=float(right.sum() / true.sum()),
            mean_accuracy=float(accuracy.mean()),
            mean_iou=percentile_interval(float(iou.mean()), resampled[np.isfinite(resampled)]),
            iou=dict(zip(names, iou.tolist(), strict=True)),
            accuracy=dict(zip(names, accuracy.tolist(), strict=True)),
            pixels=int(true.sum()),
        )


def _mean_iou(
    right: NDArray[np.float64] | NDArray[np.int64],
    true: NDArray[np.float64] | NDArray[np.int64],
    seen: NDArray[np.float64] | NDArray[np.int64],
) -> NDArray[np.float64]:
    # (R, K) each -> (R,), over the classes with true pixels; NaN without any.
    shown = true > 0
    iou = right / np.maximum(true + seen - right, 1)
    with np.errstate(invalid="ignore"):
        return np.asarray((iou * shown).sum(axis=1) / shown.sum(axis=1), np.float64)
