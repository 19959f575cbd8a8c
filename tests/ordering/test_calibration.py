"""Temperature scaling against a search by hand, and the calibration error against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenequilt.ordering.calibration import calibration_error, fit_temperature, score_pairs


def test_overconfident_logits_get_back_their_temperature() -> None:
    # Truth is drawn with the probability that half the logit says.
    random = np.random.default_rng(0)
    logits = random.normal(0, 4, 20000)
    in_front = (random.random(20000) < 1 / (1 + np.exp(-logits / 2))).astype(float)

    assert fit_temperature(logits, in_front) == pytest.approx(2.0, rel=0.05)


def test_the_temperature_is_the_best_of_a_fine_grid() -> None:
    random = np.random.default_rng(1)
    logits, in_front = random.normal(0, 2, 50), (random.random(50) < 0.5).astype(float)
    logits += 2 * in_front - 1

    def nll(temperature: float) -> float:
        probability = 1 / (1 + np.exp(-logits / temperature))
        return float(-np.log(np.where(in_front == 1, probability, 1 - probability)).mean())

    grid = np.exp(np.linspace(-1.5, 3, 2001))
    best = grid[np.argmin([nll(temperature) for temperature in grid])]

    assert fit_temperature(logits, in_front) == pytest.approx(best, rel=5e-3)


def test_where_only_a_probability_is_known_that_is_matched() -> None:
    logits = np.array([2.0, -2.0, 4.0])

    assert fit_temperature(logits, 1 / (1 + np.exp(-logits / 3))) == pytest.approx(3, rel=1e-3)


def test_answers_that_are_all_right_are_as_sure_as_allowed() -> None:
    assert fit_temperature(np.array([1.0, -1.0]), np.array([1.0, 0.0])) == pytest.approx(0.01)


def test_the_error_by_hand() -> None:
    # Two bins: 0.6, 0.6 (one right) and 0.9, 0.8 both right, one of them said of the second.
    probabilities = np.array([0.6, 0.6, 0.9, 0.2])
    in_front = np.array([1.0, 0.0, 1.0, 0.0])

    error = calibration_error(probabilities, in_front, bins=2)

    assert error == pytest.approx((abs(1.2 - 1) + abs(1.7 - 2)) / 4)


def test_a_probability_that_is_met_exactly_has_no_error() -> None:
    probabilities = np.array([0.1, 0.3, 0.8, 0.95])

    assert calibration_error(probabilities, probabilities) == pytest.approx(0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-80, 80), st.booleans()), min_size=1, max_size=40))
def test_scores_stay_in_range_and_do_not_depend_on_who_is_first(
    answers: list[tuple[int, bool]],
) -> None:
    logits = np.array([logit / 4 for logit, _ in answers])
    in_front = np.array([float(ahead) for _, ahead in answers])

    there, back = score_pairs(logits, in_front), score_pairs(-logits, 1 - in_front)

    assert there.pairs == len(answers)
    assert 0 <= there.accuracy <= 1
    assert 0 <= there.calibration_error <= 1
    assert there.nll >= 0
    assert there.accuracy == back.accuracy
    assert there.nll == pytest.approx(back.nll)
    assert there.calibration_error == pytest.approx(back.calibration_error, abs=1e-9)


def test_ties_are_coins() -> None:
    score = score_pairs(np.zeros(4), np.array([1.0, 1.0, 1.0, 0.0]))

    assert score.accuracy == 0.5
    assert score.nll == pytest.approx(math.log(2))
    assert score.calibration_error == pytest.approx(0)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match=r"with at least one, got \(0,\) and \(0,\)"):
        score_pairs(np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match=r"got \(3,\) and \(2,\)"):
        fit_temperature(np.zeros(3), np.zeros(2))
    with pytest.raises(ValueError, match="bins is 0, expected at least 1"):
        calibration_error(np.zeros(1), np.zeros(1), bins=0)
