"""Whether probabilities mean what they say: temperature scaling, and the error that is left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LOG_RANGE = np.log(100.0)
_STEPS = 60


@dataclass(frozen=True, slots=True)
class PairScore:
    """How good probabilities of pairs are.

    Attributes:
        pairs: How many there were.
        accuracy: Share of the pairs whose order is right; a tie counts half.
        nll: Mean negative log likelihood in nats; log 2 for a coin.
        calibration_error: Expected calibration error, in [0, 1].
    """

    pairs: int
    accuracy: float
    nll: float
    calibration_error: float


def fit_temperature(logits: NDArray[np.floating], in_front: NDArray[np.floating]) -> float:
    """Return the temperature in [0.01, 100] by which divided logits have the least mean nll.

    The nll is convex in the inverse temperature, so a golden section finds the least one.

    Args:
        logits: (N,) log odds that the first of a pair is in front.
        in_front: (N,) 1 where it is, 0 where not, between where only a probability is known.

    Raises:
        ValueError: If there is no pair, or the two do not have one shape.

    Source:
        Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2.
    """
    _refuse_misfits(logits, in_front)

    def loss(log_temperature: float) -> float:
        return _nll(np.asarray(logits, np.float64) * np.exp(-log_temperature), in_front)

    low, high = -_LOG_RANGE, _LOG_RANGE
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(_STEPS):
        lower, upper = high - golden * (high - low), low + golden * (high - low)
        if loss(lower) <= loss(upper):
            high = upper
        else:
            low = lower
    return float(np.exp((low + high) / 2))


def calibration_error(
    probabilities: NDArray[np.floating], in_front: NDArray[np.floating], *, bins: int = 10
) -> float:
    """Return the expected calibration error of binary probabilities, in [0, 1].

    A pair is taken the way it was answered: its confidence is the larger of p and 1 - p, in
    [0.5, 1]; in bins of equal width the mean confidence is held against the share that was right,
    and the differences are weighted by how many pairs each bin has.

    Args:
        probabilities: (N,) in [0, 1] that the first of a pair is in front.
        in_front: (N,) 1 where it is, 0 where not, between where only a probability is known: the
            share that was right is then what is expected of it.
        bins: Bins over [0.5, 1], at least 1.

    Raises:
        ValueError: If there is no pair or bin, or the two do not have one shape.

    Source:
        Guo et al. 2017, eq. 3, with 10 bins.
    """
    _refuse_misfits(probabilities, in_front)
    if bins < 1:
        raise ValueError(f"bins is {bins}, expected at least 1")
    probabilities = np.asarray(probabilities, np.float64)
    confidence = np.maximum(probabilities, 1 - probabilities)
    right = _chance_right(probabilities - 0.5, in_front)
    place = ((confidence - 0.5) * 2 * bins).astype(int).clip(0, bins - 1)
    gaps = np.zeros(bins)
    np.add.at(gaps, place, confidence - right)
    return float(np.abs(gaps).sum() / len(probabilities))


def score_pairs(logits: NDArray[np.floating], in_front: NDArray[np.floating]) -> PairScore:
    """Measure log odds against the truth.

    Args:
        logits: (N,) log odds that the first of a pair is in front, calibrated or not.
        in_front: (N,) 1 where it is, 0 where not.

    Raises:
        ValueError: If there is no pair, or the two do not have one shape.
    """
    _refuse_misfits(logits, in_front)
    logits = np.asarray(logits, np.float64)
    # Both ends stay finite: exp(-700) is the least that float64 holds comfortably.
    probabilities = 1 / (1 + np.exp(-logits.clip(-700, 700)))
    return PairScore(
        len(logits),
        float(_right(logits, in_front).mean()),
        _nll(logits, in_front),
        calibration_error(probabilities, in_front),
    )


def _nll(logits: NDArray[np.floating], in_front: NDArray[np.floating]) -> float:
    truth = np.asarray(in_front, np.float64)
    return float((truth * np.logaddexp(0, -logits) + (1 - truth) * np.logaddexp(0, logits)).mean())


def _right(signed: NDArray[np.floating], in_front: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return 1 where the sign fits the truth, 0 where not, one half for a tie."""
    return np.where(signed == 0, 0.5, (signed > 0) == (np.asarray(in_front) > 0.5)).astype(float)


def _chance_right(
    signed: NDArray[np.floating], in_front: NDArray[np.floating]
) -> NDArray[np.float64]:
    truth = np.asarray(in_front, np.float64)
    return np.where(signed == 0, 0.5, np.where(signed > 0, truth, 1 - truth))


def _refuse_misfits(values: NDArray[np.floating], in_front: NDArray[np.floating]) -> None:
    if values.ndim != 1 or len(values) == 0 or values.shape != in_front.shape:
        raise ValueError(
            f"expected as many answers as truths, (N,) with at least one, got {values.shape} and "
            f"{in_front.shape}"
        )
