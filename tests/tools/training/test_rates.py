"""Learning rates, by hand."""

import math

import pytest

from scenequilt.tools.training.rates import learning_rate, one_cycle
from scenequilt.tools.training.training_settings import TrainingSettings


def rates(**changes: object) -> list[float]:
    settings = TrainingSettings(**({"total_steps": 10, "rate": 2.0} | changes))  # type: ignore[arg-type]
    return [learning_rate(step, settings) for step in range(1, settings.total_steps + 1)]


def test_a_constant_rate_stays() -> None:
    assert rates(schedule="constant") == [2.0] * 10


def test_a_warm_up_rises_along_a_line() -> None:
    assert rates(schedule="constant", warm_up=0.4) == [0.5, 1.0, 1.5, *[2.0] * 7]


def test_a_linear_rate_falls_by_equal_parts_and_would_then_be_zero() -> None:
    assert rates(schedule="linear", total_steps=4) == [2.0, 1.5, 1.0, 0.5]


def test_a_rate_is_constant_for_half_of_the_steps_and_then_falls_by_equal_parts() -> None:
    found = rates(schedule="constant_linear", total_steps=8)

    assert found == pytest.approx([2.0, 2.0, 2.0, 2.0, 1.6, 1.2, 0.8, 0.4])


def test_a_cosine_is_half_way_down_in_the_middle() -> None:
    found = rates(schedule="cosine", total_steps=8)

    assert found[0] == 2.0
    assert found[4] == pytest.approx(1.0)
    assert found[7] == pytest.approx(1 + math.cos(math.pi * 7 / 8))


def test_a_rise_comes_before_every_fall() -> None:
    for schedule in ("linear", "constant_linear", "cosine", "one_cycle"):
        found = rates(schedule=schedule, total_steps=50, warm_up=0.2)
        assert found[9] == pytest.approx(2.0)
        assert found == sorted(found[:10]) + sorted(found[10:], reverse=True)


def test_the_rate_of_a_cycle_rises_to_its_peak_and_falls_to_nearly_nothing() -> None:
    found = [one_cycle(step, total_steps=100, peak=1.0, warm_up=0.1) for step in range(1, 101)]

    assert found[4] == pytest.approx((1 + 1 / 25) / 2), "half way up after half the warm-up"
    assert found[9] == pytest.approx(1)
    assert found[54] == pytest.approx(0.5, abs=1e-5), "half way down"
    assert found[99] == pytest.approx(1 / 250_000)
    assert found == sorted(found[:10]) + sorted(found[10:], reverse=True)
