"""Looks: the light and colour of a photograph, class by class, in CIE Lab."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Candidate
from scenequilt.memory_bank.taxonomy import Taxonomy


@dataclass(frozen=True, eq=False)
class Look:
    """Light and colour of one photograph. K classes; CIE Lab with L in 0 to 100.

    Attributes:
        class_mean: (K, 3) mean colour of each class.
        class_share: (K,) share of the photograph's labelled pixels; 0 where the class is absent,
            and then its mean means nothing.
        mean: (3,) mean colour of all pixels.
        std: (3,) standard deviation of all pixels.
    """

    class_mean: NDArray[np.float64]
    class_share: NDArray[np.float64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]


def look_of_segments(
    class_ids: NDArray[np.integer],
    areas_px: NDArray[np.integer],
    lab_means: NDArray[np.floating],
    lab_stds: NDArray[np.floating],
    *,
    class_count: int,
) -> Look:
    """Return the look of a photograph of which only segment statistics are known.

    Args:
        class_ids: (N,) class of each segment, N at least 1.
        areas_px: (N,) pixels of each.
        lab_means: (N, 3) mean Lab colour of each.
        lab_stds: (N, 3) standard deviation of each.
        class_count: K.
    """
    weight = np.asarray(areas_px, np.float64)
    means = np.asarray(lab_means, np.float64)
    area = np.bincount(class_ids, weights=weight, minlength=class_count)
    totals = [
        np.bincount(class_ids, weights=weight * means[:, c], minlength=class_count)
        for c in range(3)
    ]
    class_mean = np.stack(totals, axis=1) / np.maximum(area, 1)[:, None]
    mean = np.average(means, axis=0, weights=weight)
    spread = np.asarray(lab_stds, np.float64) ** 2 + (means - mean) ** 2
    return Look(
        class_mean, area / area.sum(), mean, np.sqrt(np.average(spread, axis=0, weights=weight))
    )


def look_of_photograph(image: NDArray[np.uint8], layout: Layout | None, class_count: int) -> Look:
    """Return the look of a photograph.

    Args:
        image: (H, W, 3) uint8 RGB.
        layout: What it shows, (H, W), or None: then only its overall colour is known.
        class_count: K.

    Raises:
        ValueError: If image is not (H, W, 3) uint8, or the layout is of another size.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if layout is not None and layout.size_hw != image.shape[:2]:
        raise ValueError(f"layout is {layout.size_hw}, but the photograph is {image.shape[:2]}")
    lab = lab_of(image.reshape(-1, 3)).astype(np.float64)
    class_mean = np.zeros((class_count, 3))
    area = np.zeros(class_count)
    if layout is not None:
        labels = layout.label_map.ravel()
        area = np.bincount(labels, minlength=256)[:class_count].astype(np.float64)
        for class_id in np.flatnonzero(area):
            class_mean[class_id] = lab[labels == class_id].mean(axis=0)
    return Look(class_mean, area / max(area.sum(), 1), lab.mean(axis=0), lab.std(axis=0))


def light_between(here: Look, there: Look) -> NDArray[np.float64]:
    """Estimate what the change of light from one photograph to another adds to a colour.

    The same class is taken to be of the same material: classes that both show vote, each with its
    smaller share, and the component-wise median of the votes decides, so that one odd class (a
    brick wall against a white one) does not. Without a common class it is half of the overall
    difference, as the other half may be of material.

    Returns:
        (3,) in Lab: here + result looks as there.
    """
    vote = np.minimum(here.class_share, there.class_share)
    shared = vote > 0
    if not shared.any():
        half: NDArray[np.float64] = (there.mean - here.mean) / 2
        return half
    difference = there.class_mean[shared] - here.class_mean[shared]
    return np.array([_weighted_median(difference[:, c], vote[shared]) for c in range(3)])


def look_distance(here: Look, there: Look) -> float:
    """Return how unlike two photographs are lit, in Lab units; 0 for the same.

    The mean colour difference of the classes that both show, each with its smaller share; of the
    overall colour where there is no such class.
    """
    vote = np.minimum(here.class_share, there.class_share)
    if not vote.any():
        return float(np.linalg.norm(there.mean - here.mean))
    difference = np.linalg.norm(there.class_mean - here.class_mean, axis=1)
    return float(np.average(difference, weights=vote))


def lab_of(colors: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (N, 3) float32 CIE Lab (L 0 to 100) of (N, 3) uint8 RGB colours."""
    scaled = colors.astype(np.float32)[None] * np.float32(1 / 255)
    lab: NDArray[np.float32] = cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab)[0]
    return lab


def rgb_of(lab: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (N, 3) uint8 RGB of (N, 3) float32 CIE Lab; what no screen can show is clipped."""
    rgb = cv2.cvtColor(lab[None], cv2.COLOR_Lab2RGB)[0]
    clipped: NDArray[np.uint8] = np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)
    return clipped


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    by_value = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[by_value])
    return float(values[by_value][np.searchsorted(reached, reached[-1] / 2)])


class ShardRows(Protocol):
    """What SourceLooks reads of a shard."""

    @property
    def segments(self) -> NDArray[Any]:
        """(N,) rows with segment_id, source_row, class_id, area_px, lab_mean and lab_std."""
        ...


class LookedUpBank(Protocol):
    """What SourceLooks asks of a bank."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        ...

    def segment_ids(self) -> NDArray[np.int64]:
        """Return the numbers of all segments, ascending."""
        ...

    def locate(self, segment_id: int) -> tuple[ShardRows, int]:
        """Return the shard of a segment and its row there."""
        ...


class SourceLooks:
    """Looks of a bank's photographs, computed when they are first asked for, and kept.

    A photograph is known once a candidate of it has been met. Segments that are not in the bank,
    or no longer, do not count.
    """

    def __init__(self, bank: LookedUpBank) -> None:
        self._bank = bank
        self._live = bank.segment_ids()
        self._examples: dict[str, int] = {}
        self._looks: dict[str, Look] = {}

    def meet(self, candidates: Iterable[Candidate]) -> None:
        """Make the photographs known that candidates come from, if the bank holds the candidates."""
        for candidate in candidates:
            known = candidate.source_id in self._examples
            if not known and self._is_live(np.array([candidate.segment_id])).all():
                self._examples[candidate.source_id] = candidate.segment_id

    def __contains__(self, source_id: object) -> bool:
        """Return True if a candidate of the photograph has been met."""
        return source_id in self._examples

    def __getitem__(self, source_id: str) -> Look:
        """Return the look of a photograph that a candidate came from."""
        if source_id not in self._looks:
            shard, row = self._bank.locate(self._examples[source_id])
            rows = shard.segments[shard.segments["source_row"] == shard.segments["source_row"][row]]
            rows = rows[self._is_live(rows["segment_id"])]
            self._looks[source_id] = look_of_segments(
                rows["class_id"],
                rows["area_px"],
                rows["lab_mean"],
                rows["lab_std"],
                class_count=len(self._bank.taxonomy),
            )
        return self._looks[source_id]

    def _is_live(self, segment_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        if not len(self._live):
            return np.zeros(segment_ids.shape, np.bool_)
        at = np.searchsorted(self._live, segment_ids).clip(max=len(self._live) - 1)
        live: NDArray[np.bool_] = self._live[at] == segment_ids
        return live
