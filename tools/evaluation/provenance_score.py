"""Provenance: what was done to the pixels, whose they are, and how near the nearest photograph is."""

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.composition import PixelState
from scenequilt.tools.evaluation.results import Interval, ProvenanceFigures
from scenequilt.tools.evaluation.rows import View

SAME_WITHIN = 1e-9
"""Cosine distances below this are those of rounding: the features are the same."""


class ProvenanceTally:
    """Counts states, sources and agreement over the pictures of a row, in any order."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self._states = np.zeros(len(PixelState), np.int64)
        self._agreeing_px = 0
        self._asked_px = 0
        self._sources: list[tuple[str, frozenset[str]]] = []

    def add(self, view: View) -> None:
        """Count a picture. What it carries no record of is left out of that figure.

        Raises:
            ValueError: If its state map holds a value that is no PixelState; the message names the
                picture.
        """
        if view.state is not None:
            counts = np.bincount(view.state.ravel(), minlength=len(PixelState))
            if len(counts) > len(PixelState):
                raise ValueError(
                    f"{view.name}: state map holds {len(counts) - 1}, expected 0 to "
                    f"{len(PixelState) - 1} ({', '.join(_state_names())})"
                )
            self._states += counts
        if view.delivered is not None:
            asked = view.requested != VOID
            self._asked_px += int(np.count_nonzero(asked))
            self._agreeing_px += int(np.count_nonzero((view.delivered == view.requested) & asked))
        if view.sources:
            self._sources.append((view.layout, frozenset(view.sources)))

    def figures(
        self,
        *,
        nearest_distance: Interval | None = None,
        nearest_of_real: float | None = None,
    ) -> ProvenanceFigures:
        """Return the figures of the pictures so far.

        Args:
            nearest_distance: To the nearest photograph in features, which a tally of records does
                not know.
            nearest_of_real: The same as a share of the real photographs' own.
        """
        counted = int(self._states.sum())
        shares = (self._states / max(counted, 1)).tolist()
        used = [sources for _, sources in self._sources]
        source_overlap, variant_overlap = self._overlaps()
        return ProvenanceFigures(
            states=dict(zip(_state_names(), shares, strict=True)) if counted else None,
            sources=sum(map(len, used)) / len(used) if used else None,
            sources_in_all=len(frozenset().union(*used)) if used else None,
            agreement=self._agreeing_px / self._asked_px if self._asked_px else None,
            source_overlap=source_overlap,
            variant_overlap=variant_overlap,
            nearest_distance=nearest_distance,
            nearest_of_real=nearest_of_real,
        )

    def _overlaps(self) -> tuple[float | None, float | None]:
        # Of pairs of pictures of two layouts, and of one. Sorted, so that sums do not depend on
        # the order in which the pictures came.
        known = sorted(self._sources, key=lambda entry: (entry[0], sorted(entry[1])))
        names = sorted(frozenset().union(*(sources for _, sources in known)))
        column = {name: place for place, name in enumerate(names)}
        uses = np.zeros((len(known), len(names)))
        for place, (_, sources) in enumerate(known):
            uses[place, [column[name] for name in sources]] = 1
        layouts = np.array([layout for layout, _ in known])
        overlaps: dict[bool, list[NDArray[np.float64]]] = {False: [], True: []}
        for place in range(len(known) - 1):
            rest = uses[place + 1 :]
            shared = rest @ uses[place]
            jaccard = shared / (rest.sum(axis=1) + uses[place].sum() - shared)
            same = layouts[place + 1 :] == layouts[place]
            overlaps[False].append(jaccard[~same])
            overlaps[True].append(jaccard[same])
        return _mean_of(overlaps[False]), _mean_of(overlaps[True])


def nearest(
    features: NDArray[np.float32] | NDArray[np.float64],
    bank: NDArray[np.float32] | NDArray[np.float64],
    exclude: Sequence[Collection[int]] | None = None,
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find the nearest photograph of each picture by the cosine of their features.

    Of equally near ones the first is taken. Features that are all 0 are at distance 1 of any.

    Args:
        features: (N, D) of the pictures.
        bank: (M, D) of the photographs.
        exclude: N collections of places in the bank that do not count, e.g. that of the picture's
            own photograph; None for none.

    Returns:
        (N,) place in the bank, and (N,) float64 distance 1 - cosine, in [0, 2]; 0 below
        SAME_WITHIN.

    Raises:
        ValueError: If shapes do not fit, or a picture has no photograph left.
    """
    if features.ndim != 2 or bank.ndim != 2 or features.shape[1] != bank.shape[1]:
        raise ValueError(
            f"features and bank must be (N, D) and (M, D), got {features.shape} and {bank.shape}; "
            "take both from the same network"
        )
    left_out = [()] * len(features) if exclude is None else exclude
    if len(left_out) != len(features):
        raise ValueError(f"exclude must have {len(features)} entries, got {len(left_out)}")
    cosine = _unit(features) @ _unit(bank).T
    for row, places in zip(cosine, left_out, strict=True):
        row[list(places)] = -np.inf
    if cosine.size < len(features) or np.isneginf(cosine).all(axis=1).any():
        raise ValueError(
            f"a picture has no photograph among {len(bank)} that is not its own; give more"
        )
    places = cosine.argmax(axis=1)
    best = np.take_along_axis(cosine, places[:, None], axis=1)[:, 0]
    distances = np.clip(1 - best, 0, 2)
    distances[distances < SAME_WITHIN] = 0
    return places, distances


def _state_names() -> list[str]:
    return [state.name.lower() for state in PixelState]


def _mean_of(parts: list[NDArray[np.float64]]) -> float | None:
    values = np.concatenate(parts) if parts else np.zeros(0)
    return float(values.mean()) if values.size else None


def _unit(features: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    doubles = features.astype(np.float64)
    length = np.linalg.norm(doubles, axis=1, keepdims=True)
    return np.asarray(doubles / np.where(length > 0, length, 1), np.float64)
