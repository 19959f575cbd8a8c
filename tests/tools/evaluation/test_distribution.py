"""Frechet and kernel distance: closed forms of normal distributions, and the library's own figures."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import poly_mmd

from scenequilt.tools.evaluation.distribution import (
    _frechet_by_roots,
    compare_features,
    frechet_distance,
    kernel_distance,
)
from scenequilt.tools.evaluation.results import Distribution, Interval

Features = NDArray[np.float64]


def normal(pictures: int, length: int, *, seed: int, mean: float = 0, scale: float = 1) -> Features:
    """Features with variances that fall off as those of networks do."""
    spread = scale / np.sqrt(np.arange(1, length + 1))
    noise = np.random.default_rng(seed).normal(size=(pictures, length))
    return np.asarray(noise * spread + mean, np.float64)


def compare(row: Features, reference: Features, *, seed: int = 0) -> Distribution:
    return compare_features(
        row,
        reference,
        network="small",
        frechet_name="FD-SMALL",
        kernel_name="KD-SMALL",
        seed=seed,
    )


def library_frechet(row: Features, reference: Features) -> float:
    extractor = torch.nn.Identity()
    extractor.register_buffer("num_features", torch.tensor(row.shape[1]))
    metric = FrechetInceptionDistance(feature=extractor)
    metric.update(torch.from_numpy(reference), real=True)
    metric.update(torch.from_numpy(row), real=False)
    return float(metric.compute())


def test_identical_sets_are_no_distance_apart() -> None:
    features = normal(40, 96, seed=1)

    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("length", [8, 96])
def test_a_shifted_copy_is_the_squared_shift_away(length: int) -> None:
    features = normal(40, length, seed=2)
    shift = np.linspace(-1, 2, length)

    assert frechet_distance(features, features + shift) == pytest.approx(shift @ shift, rel=1e-7)


def test_normal_distributions_are_as_far_apart_as_the_closed_form_says() -> None:
    row = normal(40_000, 6, seed=3, mean=0.5, scale=2)
    reference = normal(40_000, 6, seed=4)

    variances = 1 / np.arange(1, 7)
    expected = 6 * 0.5**2 + variances.sum() * (2 - 1) ** 2
    assert frechet_distance(row, reference) == pytest.approx(expected, rel=0.02)


def test_correlated_distributions_are_as_far_apart_as_the_closed_form_says() -> None:
    # Both are diagonal in one basis: variances 1 + c and 1 - c along (1, 1) and (1, -1).
    noise = np.random.default_rng(5).normal(size=(2, 60_000, 2))
    turn = np.array([[1, 1], [1, -1]]) / math.sqrt(2)
    row = noise[0] * np.sqrt([1.8, 0.2]) @ turn
    reference = noise[1] @ turn

    expected = (math.sqrt(1.8) - 1) ** 2 + (math.sqrt(0.2) - 1) ** 2
    assert frechet_distance(row, reference) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(("pictures", "others", "length"), [(60, 50, 16), (30, 45, 128)])
def test_the_frechet_distance_is_the_library_s(pictures: int, others: int, length: int) -> None:
    row = normal(pictures, length, seed=6, mean=0.1, scale=1.5)
    reference = normal(others, length, seed=7)

    found = frechet_distance(row, reference)

    assert found == pytest.approx(library_frechet(row, reference), rel=1e-6)


@pytest.mark.parametrize(("pictures", "others", "length"), [(60, 50, 16), (30, 45, 128)])
def test_the_roots_of_the_halves_give_the_library_s_frechet_distance(
    pictures: int, others: int, length: int
) -> None:
    row = normal(pictures, length, seed=8, mean=0.1)
    reference = normal(others, length, seed=9)

    found = _frechet_by_roots(torch.from_numpy(row), torch.from_numpy(reference))

    assert found == pytest.approx(library_frechet(row, reference), rel=1e-6)


def test_the_kernel_distance_is_the_library_s() -> None:
    row, reference = normal(40, 64, seed=10, mean=0.2), normal(40, 64, seed=11)

    expected = float(poly_mmd(torch.from_numpy(reference), torch.from_numpy(row)))
    assert kernel_distance(row, reference) == pytest.approx(expected, rel=1e-9)


def test_the_kernel_distance_of_sets_of_two_sizes_is_a_slow_sum_over_pairs() -> None:
    row, reference = normal(5, 7, seed=12, mean=0.2), normal(8, 7, seed=13)

    def mean(of: Features, others: Features, *, itself: bool) -> float:
        pairs = [
            (one @ other / 7 + 1) ** 3
            for place, one in enumerate(of)
            for at, other in enumerate(others)
            if itself or place != at
        ]
        return float(np.mean(pairs))

    within = mean(row, row, itself=False) + mean(reference, reference, itself=False)
    expected = within - 2 * mean(row, reference, itself=True)
    assert kernel_distance(row, reference) == pytest.approx(expected, rel=1e-9)


def test_the_kernel_distance_of_one_distribution_is_zero_on_average() -> None:
    found = [
        kernel_distance(normal(30, 8, seed=seed), normal(25, 8, seed=1000 + seed))
        for seed in range(200)
    ]

    assert np.mean(found) == pytest.approx(0, abs=3 * float(np.std(found)) / math.sqrt(200))
    assert min(found) < 0


def test_both_distances_are_the_same_from_either_side() -> None:
    row, reference = normal(30, 48, seed=14, mean=0.1), normal(40, 48, seed=15)

    assert frechet_distance(row, reference) == pytest.approx(frechet_distance(reference, row))
    assert kernel_distance(row, reference) == pytest.approx(kernel_distance(reference, row))


def test_the_order_of_pictures_changes_no_distance() -> None:
    row, reference = normal(30, 48, seed=14, mean=0.1), normal(40, 48, seed=15)

    ours, turned = compare(row, reference), compare(row[::-1], reference[::-1])

    assert turned.frechet.value == pytest.approx(ours.frechet.value, rel=1e-9)
    assert turned.kernel.value == pytest.approx(ours.kernel.value, rel=1e-9)


@pytest.mark.parametrize(
    "figure", [lambda found: found.frechet, lambda found: found.kernel], ids=["frechet", "kernel"]
)
def test_bounds_cover_the_mean_figure_at_this_size(
    figure: Callable[[Distribution], Interval],
) -> None:
    found = [
        compare_features(
            normal(50, 24, seed=seed, mean=0.12),
            normal(50, 24, seed=500 + seed),
            network="small",
            frechet_name="F",
            kernel_name="K",
            resamples=60,
        )
        for seed in range(100)
    ]

    intervals = [figure(one) for one in found]
    expected = np.mean([interval.value for interval in intervals])
    covered = np.mean([interval.low <= expected <= interval.high for interval in intervals])
    assert 0.85 <= covered <= 1


def test_bounds_narrow_with_more_pictures() -> None:
    few = compare(normal(40, 8, seed=16, mean=0.5), normal(40, 8, seed=17))
    many = compare(normal(1000, 8, seed=16, mean=0.5), normal(1000, 8, seed=17))

    for one, other in ((few.frechet, many.frechet), (few.kernel, many.kernel)):
        assert one.low < one.value < one.high
        assert one.high - one.low > 3 * (other.high - other.low)


def test_a_seed_gives_the_same_bounds() -> None:
    row, reference = normal(30, 48, seed=18), normal(30, 48, seed=19)

    assert compare(row, reference, seed=3) == compare(row, reference, seed=3)
    assert compare(row, reference, seed=3) != compare(row, reference, seed=4)


def test_names_and_numbers_are_kept() -> None:
    found = compare(normal(6, 4, seed=20), normal(9, 4, seed=21))

    assert (found.network, found.frechet_name, found.kernel_name) == (
        "small",
        "FD-SMALL",
        "KD-SMALL",
    )
    assert (found.samples, found.reference_samples) == (6, 9)


def test_fewer_pictures_than_features_are_warned_of_with_the_rank() -> None:
    found = compare(normal(6, 40, seed=20), normal(9, 40, seed=21))

    assert "6 pictures against 9: FD-SMALL is too high by chance alone" in found.warning
    assert "rank 5 of 40" in found.warning
    assert "trust KD-SMALL" in found.warning


def test_few_pictures_are_warned_of_with_what_more_would_bring() -> None:
    found = compare(normal(30, 4, seed=20), normal(45, 4, seed=21))

    assert "by about half as much with 60" in found.warning


def test_enough_pictures_are_not_warned_of() -> None:
    assert compare(normal(2000, 3, seed=22), normal(2000, 3, seed=23)).warning == ""


def test_three_pictures_have_no_bounds_and_it_is_said() -> None:
    found = compare(normal(3, 4, seed=24), normal(3, 4, seed=25))

    assert found.frechet.low == pytest.approx(found.frechet.value, rel=1e-9)
    assert found.frechet.high == pytest.approx(found.frechet.value, rel=1e-9)
    assert "fewer than 4 pictures have no bounds" in found.warning


def test_the_number_of_threads_is_left_as_it_was() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        compare(normal(6, 4, seed=26), normal(6, 4, seed=27))

        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_features_in_single_precision_are_compared_in_double() -> None:
    row, reference = normal(30, 48, seed=28), normal(30, 48, seed=29)
    singles = row.astype(np.float32), reference.astype(np.float32)

    found = compare_features(*singles, network="small", frechet_name="F", kernel_name="K")

    expected = frechet_distance(*(features.astype(np.float64) for features in singles))
    assert found.frechet.value == expected


@pytest.mark.parametrize(
    ("row", "reference", "message"),
    [
        (np.zeros((1, 4)), np.zeros((5, 4)), r"row must be \(N, D\).* at least 2.*got \(1, 4\)"),
        (np.zeros((5, 4)), np.zeros(4), r"reference must be \(N, D\).* got \(4,\)"),
        (np.zeros((5, 4)), np.zeros((5, 6)), r"4 features a picture like row, got 6; take both"),
        (np.full((5, 4), np.nan), np.zeros((5, 4)), r"row: a feature of the picture at 0 is not"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(
    row: Features, reference: Features, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compare(row, reference)


def test_no_halves_are_refused() -> None:
    with pytest.raises(ValueError, match="resamples must be at least 1, got 0"):
        compare_features(
            np.zeros((4, 2)),
            np.zeros((4, 2)),
            network="small",
            frechet_name="F",
            kernel_name="K",
            resamples=0,
        )
