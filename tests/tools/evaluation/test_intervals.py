"""Bounds of figures: what is known of a mean's spread, and that order changes nothing."""

import math

import numpy as np
import pytest

from scenequilt.tools.evaluation.intervals import (
    mean_interval,
    percentile_interval,
    resampled_sums,
)


def test_one_value_is_its_own_bounds() -> None:
    found = mean_interval([0.25])

    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


def test_equal_values_have_no_width() -> None:
    found = mean_interval([3.0] * 20)

    assert (found.value, found.low, found.high) == (3.0, 3.0, 3.0)


def test_bounds_of_a_mean_are_those_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)

    found = mean_interval(values, resamples=4000)

    error = values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean(), rel=1e-12)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_bounds_cover_the_true_mean_as_often_as_they_say() -> None:
    generator = np.random.default_rng(2)
    samples = generator.normal(1.0, 1.0, (200, 50))

    found = [mean_interval(values, resamples=300) for values in samples]

    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in found])
    assert 0.89 <= covered <= 0.99


def test_the_order_of_values_changes_nothing() -> None:
    values = np.random.default_rng(3).random(37)

    assert mean_interval(values) == mean_interval(values[::-1])


def test_a_seed_gives_the_same_bounds_and_another_seed_others() -> None:
    values = np.random.default_rng(4).random(37)

    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_every_resample_draws_as_many_rows_as_there_are() -> None:
    counts = np.array([[1, 10], [1, 20], [1, 30]])

    sums = resampled_sums(counts, seed=0, resamples=50)

    assert sums.shape == (50, 2)
    assert (sums[:, 0] == 3).all()
    assert set(sums[:, 1]) <= {10.0 * total for total in range(3, 10)}
    assert len(set(sums[:, 1])) > 3


def test_columns_are_drawn_together() -> None:
    column = np.arange(9.0)

    sums = resampled_sums(np.stack([column, 2 * column], axis=1), seed=0, resamples=20)

    np.testing.assert_array_equal(sums[:, 1], 2 * sums[:, 0])


def test_quantiles_are_the_bounds() -> None:
    found = percentile_interval(50.0, np.arange(101.0))

    assert (found.value, found.low, found.high) == (50.0, 2.5, 97.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"values must be \(N,\) with N at least 1, got \(0,\)"),
        ([[1.0, 2.0]], r"values must be \(N,\) with N at least 1, got \(1, 2\)"),
        ([1.0, math.nan], r"values must be finite, but the one at 1 is nan"),
    ],
)
def test_what_has_no_mean_is_refused(values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_interval(values)


def test_no_resamples_are_refused() -> None:
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        mean_interval([1.0, 2.0], resamples=0)


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no picture to resample"):
        resampled_sums(np.zeros((0, 3)), seed=0, resamples=5)
