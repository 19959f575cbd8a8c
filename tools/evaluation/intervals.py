"""Bounds of a figure over resampled pictures: the bootstrap that every part of an evaluation shares."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scenequilt.tools.evaluation.results import Interval

BOUNDS = (0.025, 0.975)
"""Quantiles between which a figure lies in 95 % of the resamples."""

_DRAWS_AT_ONCE = 4_000_000


def mean_interval(values: ArrayLike, *, seed: int = 0, resamples: int = 1000) -> Interval:
    """Return a mean with its percentile bootstrap bounds.

    The values' order does not matter. One value alone is its own bounds.

    Args:
        values: (N,) float, one a picture.
        seed: Of the resampling.
        resamples: How often the values are drawn anew, with repeats.

    Raises:
        ValueError: If there is no value, one is not finite, or resamples is less than 1.

    Source:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 13.3.
    """
    column = np.asarray(values, np.float64)
    if column.ndim != 1 or not column.size:
        raise ValueError(f"values must be (N,) with N at least 1, got {column.shape}")
    if not np.isfinite(column).all():
        place = int(np.flatnonzero(~np.isfinite(column))[0])
        raise ValueError(f"values must be finite, but the one at {place} is {column[place]}")
    means = resampled_sums(column[:, None], seed=seed, resamples=resamples)[:, 0] / len(column)
    return percentile_interval(float(np.sort(column).mean()), means)


def resampled_sums(
    counts: NDArray[np.float64] | NDArray[np.int64], *, seed: int, resamples: int
) -> NDArray[np.float64]:
    """Sum the rows of a table over resamples of its rows, drawn with repeats.

    Rows are sorted first, so that what is drawn does not depend on the order in which they came.

    Args:
        counts: (N, C), what each picture adds to C sums.
        seed: Of the resampling.
        resamples: R, how often N rows are drawn.

    Returns:
        (R, C) float64.

    Raises:
        ValueError: If there is no row or resamples is less than 1.
    """
    pictures = len(counts)
    if not pictures:
        raise ValueError("there is no picture to resample, expected at least 1")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    rows = np.asarray(counts, np.float64)
    rows = rows[np.lexsort(rows.T[::-1])]
    generator = np.random.default_rng(seed)
    at_once = max(1, _DRAWS_AT_ONCE // pictures)
    sums = np.empty((resamples, rows.shape[1]))
    for start in range(0, resamples, at_once):
        block = sums[start : start + at_once]
        drawn = generator.integers(0, pictures, (len(block), pictures))
        bins = drawn + np.arange(len(block))[:, None] * pictures
        weights = np.bincount(bins.ravel(), minlength=len(block) * pictures)
        block[:] = weights.reshape(len(block), pictures).astype(np.float64) @ rows
    return sums


def percentile_interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    """Return a figure between the 2.5 % and 97.5 % quantiles of its resampled values (R,)."""
    low, high = np.quantile(resampled, BOUNDS)
    return Interval(value, float(low), float(high))
