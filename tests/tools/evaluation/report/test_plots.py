"""Plots as SVG elements."""

import itertools
import re
from xml.etree import ElementTree

import pytest

from scenequilt.tools.evaluation.report.plots import (
    RowInterval,
    interval_plot,
    spectrum_plot,
    states_plot,
)
from scenequilt.tools.evaluation.results import Interval, Spectrum

ROWS = [
    RowInterval("ours", 0, Interval(36.2, 33.5, 39.6)),
    RowInterval("real <&>", 1, Interval(3.2, 2.8, 3.9)),
]
FREQUENCY = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
SPECTRA = {
    "ours": Spectrum(0.3, FREQUENCY, [0.0, 200.0, 80.0, 30.0, 12.0, 8.0]),
    "real": Spectrum(0.0, FREQUENCY, [0.0, 100.0, 40.0, 15.0, 6.0, 4.0]),
}


def intervals(name: str = "plot") -> str:
    return interval_plot(ROWS, axis="lower is better", name=name, alt="ours 36, real 3")


def words(svg: str) -> list[str]:
    """Texts of a plot; what refers to namespaces is taken away, as an HTML parser does."""
    root = ElementTree.fromstring(svg.replace("xlink:", ""))
    return ["".join(element.itertext()).strip() for element in root.iter("text")]


def test_a_row_is_named_beside_its_dot() -> None:
    assert {"ours", "real <&>", "lower is better"} <= set(words(intervals()))


@pytest.mark.parametrize("name", ["costs $x$ and $y$", "道路"])
def test_a_name_stands_as_it_is(name: str) -> None:
    svg = interval_plot(
        [RowInterval(name, 0, Interval(1.0, 0.5, 2.0))], axis="", name="plot", alt=""
    )

    assert name in words(svg)


def test_a_long_name_is_cut_in_the_middle_and_leaves_room_for_the_plot() -> None:
    name = "an experiment of last week with every setting in its name"
    row = RowInterval(name, 0, Interval(1.0, 0.5, 2.0))

    shown = words(interval_plot([row], axis="", name="plot", alt=""))

    assert "an experim…in its name" in shown
    assert {"0.0", "1.0", "2.0"} <= set(shown)


def test_the_same_figures_give_the_same_bytes() -> None:
    assert intervals() == intervals()


def test_a_plot_takes_its_colours_from_the_page() -> None:
    svg = intervals()

    assert "var(--row-0)" in svg
    assert "var(--row-1)" in svg
    assert "currentColor" in svg
    assert re.findall(r"#(?:fa|fb)00\w\w", svg) == []


def test_a_plot_has_no_background_address_or_style_of_its_own() -> None:
    svg = intervals()

    assert "http" not in svg
    assert "<style" not in svg
    assert "#ffffff" not in svg


def test_what_two_plots_of_a_page_refer_to_differs() -> None:
    one, other = (set(re.findall(r' id="([^"]+)"', intervals(name))) for name in ("a", "b"))

    assert one
    assert not one & other


def test_every_reference_of_a_plot_is_to_one_of_its_parts() -> None:
    svg = spectrum_plot(SPECTRA, name="radial", alt="")

    ids = set(re.findall(r' id="([^"]+)"', svg))
    assert set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", svg)) == ids


def test_what_a_plot_shows_is_said_to_those_who_do_not_see_it() -> None:
    assert 'role="img" aria-label="ours 36, real 3"' in intervals()


def test_the_lines_of_a_spectrum_are_named_at_their_end() -> None:
    assert {"ours", "real", "cycles a pixel", "10²"} <= set(
        words(spectrum_plot(SPECTRA, name="radial", alt=""))
    )


def test_names_of_lines_that_end_together_do_not_overlap() -> None:
    same = {name: SPECTRA["real"] for name in ("one", "two", "three", "four", "five")}

    svg = spectrum_plot(same, name="radial", alt="")

    root = ElementTree.fromstring(svg.replace("xlink:", ""))
    heights = sorted(
        float(text.get("y", "nan"))
        for text in root.iter("text")
        if "".join(text.itertext()).strip() in same
    )
    assert len(heights) == 5
    assert all(lower - upper >= 12 for upper, lower in itertools.pairwise(heights))


def test_relative_to_the_photographs_twice_the_power_stands_at_two() -> None:
    svg = spectrum_plot(SPECTRA, name="ratio", alt="", relative_to="real")

    assert {"1", "2", "mean power, real = 1"} <= set(words(svg))


def test_spectra_of_other_frequencies_are_not_divided() -> None:
    other = {**SPECTRA, "small": Spectrum(0.1, [0.0, 0.5], [1.0, 1.0])}

    with pytest.raises(ValueError, match="spectrum of small is at other frequencies than .* real"):
        spectrum_plot(other, name="ratio", alt="", relative_to="real")


def test_a_spectrum_with_a_power_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="spectrum of ours: 2 frequencies and 1 powers"):
        spectrum_plot({"ours": Spectrum(0.1, [0.1, 0.5], [1.0])}, name="radial", alt="")


def test_spectra_without_any_power_are_an_empty_plot() -> None:
    svg = spectrum_plot({"black": Spectrum(None, FREQUENCY, [0.0] * 6)}, name="radial", alt="")

    assert "black" not in words(svg)


def test_large_states_are_written_into_their_bar_and_small_ones_are_not() -> None:
    states = {"ours": {"copied": 0.57, "blended": 0.40, "synthesised": 0.03}}

    svg = states_plot(states, {"copied": (120, 190, 160)}, name="states", alt="")

    assert {"57", "40"} <= set(words(svg))
    assert "3" not in words(svg)
    assert "#78bea0" in svg
