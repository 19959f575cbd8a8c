"""Figures as text: two digits of half an interval, signs, dashes, decimal points in line."""

import pytest

from scenequilt.tools.evaluation.report.rounding import (
    aligned,
    in_digits,
    in_significant_digits,
    interval_in_digits,
)
from scenequilt.tools.evaluation.results import Interval


@pytest.mark.parametrize(
    ("interval", "value", "bounds"),
    [
        (Interval(0.51234, 0.49834, 0.52734), "0.512", "0.498–0.527"),
        (Interval(0.51234, 0.50254, 0.52214), "0.5123", "0.5025–0.5221"),
        (Interval(36.217, 33.1, 39.5), "36.2", "33.1–39.5"),
        (Interval(291.4, 245.2, 341.9), "291", "245–342"),
        (Interval(4321.0, 3300.0, 5200.0), "4321", "3300–5200"),
    ],
)
def test_a_figure_keeps_two_digits_of_half_its_interval(
    interval: Interval, value: str, bounds: str
) -> None:
    assert interval_in_digits(interval) == (value, bounds)


def test_bounds_below_zero_are_not_joined_by_a_dash() -> None:
    value, bounds = interval_in_digits(Interval(-0.00012, -0.00071, 0.00083))

    assert value == "−0.00012"
    assert bounds == "−0.00071 to 0.00083"


def test_an_interval_of_no_width_has_no_bounds() -> None:
    assert interval_in_digits(Interval(1.0, 1.0, 1.0)) == ("1.000", "")


def test_figures_too_small_for_decimals_stand_in_powers_of_ten() -> None:
    assert interval_in_digits(Interval(3.21e-7, 2.98e-7, 3.52e-7)) == (
        "3.2e−07",
        "3.0e−07–3.5e−07",
    )


def test_rounding_never_gives_a_negative_zero() -> None:
    assert in_digits(-0.0004) == "0.000"
    assert in_digits(-0.0006) == "−0.001"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.00711, "0.00711"), (0.000417, "0.000417"), (12.345, "12.3"), (1234.5, "1234"), (0.0, "0")],
)
def test_significant_digits_do_not_depend_on_the_unit(value: float, text: str) -> None:
    assert in_significant_digits(value) == text


def test_what_is_left_of_rounding_is_zero() -> None:
    assert in_significant_digits(3e-17) == "0"


def test_decimal_points_come_to_stand_in_one_column() -> None:
    padded = aligned(["36.2", "3.22", "1", "−0.5"])
    width = max(len(text) for text in padded)
    columns = [text.rjust(width) for text in padded]

    points = [text.index(".") for text in columns if "." in text]
    assert len(set(points)) == 1
    assert columns[2][points[0] - 1] == "1", "a whole number ends where the points stand"


def test_what_is_no_number_is_not_padded() -> None:
    assert aligned(["–", "0.25"]) == ["–", "0.25"]
