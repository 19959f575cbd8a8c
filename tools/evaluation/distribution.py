"""Distance between two sets of pictures in the features of a network: Frechet and kernel distance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenequilt.tools.evaluation.intervals import BOUNDS
from scenequilt.tools.evaluation.results import Distribution, Interval

FEW_PICTURES = 2000
"""Fewest pictures on a side for which the Frechet distance comes without a warning.

It is never negative, so that chance alone sets two samples of one distribution apart. Of 512
features, normal with variances 1/k and 1 in all, two samples of 200 are 0.44 apart, of 400 0.26,
of 800 0.13, of 1600 0.07: half as much with twice as many, once there are more than features.
"""

if TYPE_CHECKING:
    # torch and torchmetrics cost seconds, so the functions that need them import them.
    from torch import Tensor

Features = NDArray[np.float64]


def compare_features(
    row: NDArray[np.float32] | Features,
    reference: NDArray[np.float32] | Features,
    *,
    network: str,
    frechet_name: str,
    kernel_name: str,
    seed: int = 0,
    resamples: int = 200,
) -> Distribution:
    """Compare two sets of pictures by their features.

    Bounds are the figure plus the 2.5 % and 97.5 % quantiles of its deviations over halves of
    both sets, drawn without repeats and independently. Over halves a smooth figure deviates from
    its mean as much as over new sets of the full size (Shao and Wu 1989, "A general theory for
    jackknife variance estimation"), and up to 1.7 times as much where both sets are alike, where
    the bounds are therefore wide rather than narrow. The usual resampling with repeats would not
    do: a picture that is drawn twice makes a set narrower than it is, which adds about the
    distance's own bias once more, so that its quantiles lie above the figure itself. The bounds
    are those of the figure for sets of these sizes, and hold its bias as it does.

    The order of rows does not matter to the figures; to the bounds only as another seed would.

    Args:
        row: (N, D) features of the pictures.
        reference: (M, D) features of the photographs.
        network: Name of the network that the features come from.
        frechet_name: What the Frechet distance over it is called, e.g. "FID".
        kernel_name: What the kernel distance over it is called, e.g. "KID".
        seed: Of the halves.
        resamples: How many halves.

    Raises:
        ValueError: If a set has fewer than 2 pictures, lengths differ, a feature is not finite,
            or resamples is less than 1.
    """
    features = _checked("row", row)
    others = _checked("reference", reference)
    if features.shape[1] != others.shape[1]:
        raise ValueError(
            f"reference must have {features.shape[1]} features a picture like row, "
            f"got {others.shape[1]}; take both from the same network"
        )
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    halves = _draw_halves(len(features), len(others), seed=seed, resamples=resamples)
    frechet = frechet_distance(features, others)
    kernel = kernel_distance(features, others)
    frechet_bounds = _bounds(frechet, _frechet_of_halves(features, others, *halves))
    return Distribution(
        network=network,
        frechet_name=frechet_name,
        kernel_name=kernel_name,
        frechet=Interval(frechet, max(frechet_bounds[0], 0.0), frechet_bounds[1]),
        kernel=Interval(kernel, *_bounds(kernel, _kernel_of_halves(features, others, *halves))),
        samples=len(features),
        reference_samples=len(others),
        warning=_warning(len(features), len(others), features.shape[1], frechet_name, kernel_name),
    )


def frechet_distance(row: Features, reference: Features) -> float:
    """Return the Frechet distance between the normal distributions of two sets of features.

    Computed by torchmetrics in float64, after a rotation into the space that the features span:
    it changes no distance, and where there are fewer pictures than features it leaves out the
    directions in which nothing varies.

    Args:
        row: (N, D).
        reference: (M, D).

    Source:
        Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium", section 4.
    """
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    with _one_thread():
        features, others = _in_span(row, reference)
        extractor = torch.nn.Identity()
        extractor.register_buffer("num_features", torch.tensor(features.shape[1]))
        metric = FrechetInceptionDistance(feature=extractor)
        metric.update(others, real=True)
        metric.update(features, real=False)
        return max(float(metric.compute()), 0.0)


def kernel_distance(row: Features, reference: Features) -> float:
    """Return the unbiased squared maximum mean discrepancy with the kernel (x.y / D + 1)^3.

    Over all pairs of pictures, where the usual code averages over random subsets of pairs. It can
    be below 0, as what is unbiased and 0 on average must be.

    Args:
        row: (N, D).
        reference: (M, D).

    Source:
        Binkowski et al. 2018, "Demystifying MMD GANs", section 4; Gretton et al. 2012, "A Kernel
        Two-Sample Test", eq. 3.
    """
    own, between, theirs = _kernels(row, reference)
    everything = np.ones((1, len(row))), np.ones((1, len(reference)))
    return float(_discrepancy(own, between, theirs, *everything)[0])


def _checked(what: str, features: NDArray[np.float32] | Features) -> Features:
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(
            f"{what} must be (N, D) features of at least 2 pictures, got {features.shape}"
        )
    if not np.isfinite(features).all():
        place = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise ValueError(f"{what}: a feature of the picture at {place} is not finite")
    return np.ascontiguousarray(features, np.float64)


def _warning(samples: int, others: int, length: int, frechet_name: str, kernel_name: str) -> str:
    fewest = min(samples, others)
    if fewest >= FEW_PICTURES and fewest > length:
        return ""
    if fewest > length:
        why = f"by about half as much with {2 * fewest}"
    else:
        why = f"their covariance has rank {fewest - 1} of {length}"
    unbounded = "; fewer than 4 pictures have no bounds" if fewest < 4 else ""
    return (
        f"{samples} pictures against {others}: {frechet_name} is too high by chance alone, {why}; "
        f"compare it at equal numbers only, and trust {kernel_name}, which is unbiased{unbounded}"
    )


def _bounds(value: float, of_halves: Features) -> tuple[float, float]:
    low, high = np.quantile(of_halves - of_halves.mean(), BOUNDS)
    return value + float(min(low, 0.0)), value + float(max(high, 0.0))


def _draw_halves(
    samples: int, others: int, *, seed: int, resamples: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    # (R, N) and (R, M), True on the pictures of a half. Fewer than 4 pictures have no two halves
    # of 2, the least that has a covariance: all of them are taken.
    generator = np.random.default_rng(seed)
    drawn = []
    for count in (samples, others):
        rank = generator.random((resamples, count)).argsort(axis=1).argsort(axis=1)
        drawn.append(rank < (count // 2 if count >= 4 else count))
    return drawn[0], drawn[1]


@contextmanager
def _one_thread() -> Iterator[None]:
    # Matrices this small are slower on several threads, on a busy machine a hundred times so; and
    # sums are the same on every machine.
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _in_span(row: Features, reference: Features) -> tuple[Tensor, Tensor]:
    # Both sets around their common mean, in coordinates of the space that they span.
    import torch

    both = torch.from_numpy(np.vstack([row, reference]))
    both = both - both.mean(dim=0)
    if len(both) < both.shape[1]:
        both = both @ torch.linalg.qr(both.T)[0]  # (N + M, N + M)
    return both[: len(row)], both[len(row) :]


def _frechet_of_halves(
    row: Features, reference: Features, in_row: NDArray[np.bool_], in_reference: NDArray[np.bool_]
) -> Features:
    import torch

    with _one_thread():
        features, others = _in_span(row, reference)
        halves = zip(torch.from_numpy(in_row), torch.from_numpy(in_reference), strict=True)
        return np.array([_frechet_by_roots(features[one], others[other]) for one, other in halves])


def _frechet_by_roots(row: Tensor, reference: Tensor) -> float:
    # With covariances A'A and B'B, the trace of the root of their product is the sum of the
    # singular values of AB': no matrix of D x D is needed where there are fewer pictures.
    import torch

    gap = row.mean(dim=0) - reference.mean(dim=0)
    root, other = _root_of_covariance(row), _root_of_covariance(reference)
    common = torch.linalg.svdvals(root @ other.T).sum()
    return float(gap @ gap + root.square().sum() + other.square().sum() - 2 * common)


def _root_of_covariance(features: Tensor) -> Tensor:
    import torch

    centred = (features - features.mean(dim=0)) / float(np.sqrt(len(features) - 1))
    if len(centred) > centred.shape[1]:
        centred = torch.linalg.qr(centred, mode="r")[1]
    return centred


def _kernels(row: Features, reference: Features) -> tuple[Features, Features, Features]:
    # Within the row, between row and reference, within the reference.
    import torch
    from torchmetrics.image.kid import poly_kernel

    features, others = torch.from_numpy(row), torch.from_numpy(reference)
    pairs = ((features, features), (features, others), (others, others))
    with _one_thread():
        own, between, theirs = (poly_kernel(*pair, degree=3, coef=1.0).numpy() for pair in pairs)
    return own, between, theirs


def _kernel_of_halves(
    row: Features, reference: Features, in_row: NDArray[np.bool_], in_reference: NDArray[np.bool_]
) -> Features:
    weights = in_row.astype(np.float64), in_reference.astype(np.float64)
    return _discrepancy(*_kernels(row, reference), *weights)


def _discrepancy(
    own: Features, between: Features, theirs: Features, in_row: Features, in_reference: Features
) -> Features:
    # (R,), of the pictures that weigh 1 in (R, N) and (R, M). A picture is not paired with itself.
    samples, others = in_row.sum(axis=1), in_reference.sum(axis=1)
    within = _pair_sums(own, in_row) / (samples * (samples - 1))
    within += _pair_sums(theirs, in_reference) / (others * (others - 1))
    across = ((in_row @ between) * in_reference).sum(axis=1) / (samples * others)
    return np.asarray(within - 2 * across, np.float64)


def _pair_sums(kernel: Features, weights: Features) -> Features:
    both = ((weights @ kernel) * weights).sum(axis=1)
    return np.asarray(both - weights @ np.diagonal(kernel), np.float64)
