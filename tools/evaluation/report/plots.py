"""Plots of a report as SVG elements that stand inside a page and take its colours.

Text and axes take the page's text colour, a row's marks the custom property --row-N, N being its
place modulo ROW_COLORS, so that one picture serves a light and a dark page. Same figures, same
bytes.
"""

import html
import itertools
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from scenequilt.tools.evaluation.report.rounding import in_significant_digits
from scenequilt.tools.evaluation.results import Interval, Spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW_COLORS = 7
"""Colours of rows that the page defines; more rows than that share them."""

WIDTH_IN = 5.4
"""Width of a plot in inches; on a narrow screen a point of its text is then about a pixel."""

POINTS = 11

LONGEST_NAME = 22
"""Characters of a row's name that a plot shows."""

LINE_HEIGHT_IN = 0.31
AXIS_HEIGHT_IN = 0.7

INK, FAINT, LINE = "#fa0001", "#fa0002", "#fa0003"
"""Stand for the page's colours while matplotlib draws; the SVG holds none of them."""

PAGE_COLORS = {INK: "currentColor", FAINT: "var(--faint)", LINE: "var(--line)"}

DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.5, 1.2)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (9, 2)),
)
"""Line styles by place, so that no line is known by its colour alone."""

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": POINTS,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.solid_capstyle": "round",
    "path.simplify": False,
}


@dataclass(frozen=True, slots=True)
class RowInterval:
    """What a dot and its whisker show.

    Attributes:
        name: Of the row.
        place: Of the row in the table, for its colour.
        interval: The figure and its bounds.
    """

    name: str
    place: int
    interval: Interval


def interval_plot(rows: Sequence[RowInterval], *, axis: str, name: str, alt: str) -> str:
    """Draw a dot with a whisker for each row, the first row on top.

    Args:
        rows: At least one.
        axis: What stands under the axis.
        name: Of the plot, unique in its page: letters, digits, "-".
        alt: What the plot shows, for those who do not see it.

    Returns:
        An svg element.
    """
    import matplotlib

    with matplotlib.rc_context({**SETTINGS, "svg.hashsalt": name}):
        figure, axes = _empty_plot(AXIS_HEIGHT_IN + LINE_HEIGHT_IN * len(rows))
        for line, row in enumerate(rows):
            color = row_color(row.place)
            interval = row.interval
            ends = [interval.low, interval.high]
            axes.plot(ends, [line, line], color=color, linewidth=2, clip_on=False, zorder=3)
            axes.plot(
                [interval.value], [line], "o", color=color, markersize=7, clip_on=False, zorder=3
            )
        axes.set_yticks(range(len(rows)), [_short(row.name) for row in rows])
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.tick_params(axis="y", length=0, labelcolor=INK, pad=8)
        axes.tick_params(axis="x", labelsize=POINTS - 1)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.margins(x=0.03)
        low = min(min(row.interval.low, row.interval.value) for row in rows)
        if low >= 0:
            axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=6)
        axes.set_xlabel(axis, fontsize=POINTS - 1)
        return _as_element(figure, name, alt)


def spectrum_plot(
    spectra: Mapping[str, Spectrum],
    *,
    name: str,
    alt: str,
    relative_to: str | None = None,
) -> str:
    """Draw mean radial power over frequency, both in powers of ten, a line a row.

    Args:
        spectra: By row, in the order of the table.
        name: Of the plot, unique in its page.
        alt: What the plot shows.
        relative_to: Row whose power is 1 everywhere; None draws the power itself.

    Returns:
        An svg element, lines labelled at their right end.

    Raises:
        ValueError: If a row's frequencies and powers differ in number, or relative_to is another
            length than a row.
    """
    import matplotlib
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

    with matplotlib.rc_context({**SETTINGS, "svg.hashsalt": name}):
        figure, axes = _empty_plot(3.7)
        ends: list[tuple[float, str, int]] = []
        for place, (row, spectrum) in enumerate(spectra.items()):
            frequency, power = _curve(row, spectrum)
            if relative_to is not None:
                power = power / _power_like(spectrum, row, spectra[relative_to], relative_to)
            shown = (frequency > 0) & (power > 0) & np.isfinite(power)
            if not shown.any():
                continue
            axes.plot(
                frequency[shown],
                power[shown],
                color=row_color(place),
                linewidth=2 if place == 0 else 1.6,
                linestyle=DASHES[place % len(DASHES)],
            )
            ends.append((float(power[shown][-1]), row, place))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.margins(x=0)
        axes.xaxis.set_major_locator(FixedLocator([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        if relative_to is None:
            axes.yaxis.set_major_locator(LogLocator(numticks=7))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _power_of_ten(value)))
        else:
            bottom, top = axes.get_ylim()
            axes.yaxis.set_major_locator(FixedLocator(_ratio_ticks(bottom, top)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=POINTS - 1, length=3)
        axes.set_xlabel("cycles a pixel", fontsize=POINTS - 1)
        what = "mean power" if relative_to is None else f"mean power, {_short(relative_to)} = 1"
        axes.set_ylabel(what, fontsize=POINTS - 1)
        _label_ends(figure, axes, ends)
        return _as_element(figure, name, alt)


def states_plot(
    states: Mapping[str, Mapping[str, float]],
    colors: Mapping[str, tuple[int, int, int]],
    *,
    name: str,
    alt: str,
) -> str:
    """Draw a bar a row, divided by the states of its pixels; shares of 4 % or more are written in.

    Args:
        states: Row -> state -> share in [0, 1].
        colors: RGB of each state.
        name: Of the plot, unique in its page.
        alt: What the plot shows.
    """
    import matplotlib

    with matplotlib.rc_context({**SETTINGS, "svg.hashsalt": name}):
        figure, axes = _empty_plot(0.5 + 0.46 * len(states))
        for line, shares in enumerate(states.values()):
            left = 0.0
            for state, share in shares.items():
                color = colors.get(state, (128, 128, 128))
                axes.barh(
                    line, share, left=left, height=0.62, color=[c / 255 for c in color], linewidth=0
                )
                if share >= 0.04:
                    dark = sum(color) < 300
                    axes.text(
                        left + share / 2,
                        line,
                        f"{100 * share:.0f}",
                        color="#ffffff" if dark else "#15171a",
                        ha="center",
                        va="center",
                        fontsize=POINTS - 1,
                    )
                left += share
        axes.set_yticks(range(len(states)), [_short(row) for row in states])
        axes.set_ylim(len(states) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.tick_params(axis="y", length=0, labelcolor=INK, pad=8)
        axes.tick_params(axis="x", labelsize=POINTS - 1, length=3)
        axes.spines["left"].set_visible(False)
        return _as_element(figure, name, alt)


def row_color(place: int) -> str:
    """Return what stands for the colour of the row at a place while matplotlib draws."""
    return f"#fb00{place % ROW_COLORS:02x}"


def _empty_plot(height_in: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    engine = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02)
    figure = Figure(figsize=(WIDTH_IN, height_in), layout=engine)
    return figure, figure.add_subplot()


def _curve(row: str, spectrum: Spectrum) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    frequency, power = np.array(spectrum.frequency), np.array(spectrum.radial)
    if frequency.shape != power.shape:
        raise ValueError(
            f"spectrum of {row}: {frequency.size} frequencies and {power.size} powers, "
            "expected as many of either"
        )
    return frequency, power


def _power_like(
    spectrum: Spectrum, row: str, reference: Spectrum, name: str
) -> np.ndarray[Any, Any]:
    if spectrum.frequency != reference.frequency:
        raise ValueError(
            f"spectrum of {row} is at other frequencies than that of {name}, expected the same; "
            "bring all pictures to one size"
        )
    power = np.array(reference.radial)
    return np.where(power > 0, power, np.nan)


def _label_ends(figure: "Figure", axes: "Axes", ends: Sequence[tuple[float, str, int]]) -> None:
    """Write each line's name beside its right end, pushed apart where they would overlap."""
    if not ends:
        return
    bottom, top = (np.log10(value) for value in axes.get_ylim())
    height_pt = figure.get_figheight() * 72 * 0.82
    apart = (POINTS + 2) / height_pt
    ends = sorted(ends)
    heights = [(np.log10(power) - bottom) / (top - bottom) for power, _, _ in ends]
    for lower, upper in itertools.pairwise(range(len(heights))):
        heights[upper] = max(heights[upper], heights[lower] + apart)
    # What was pushed over the top comes down again, and pushes what is below it.
    ceiling = 1.0
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], ceiling)
        ceiling = heights[place] - apart
    for height, (_, row, place) in zip(heights, ends, strict=True):
        axes.annotate(
            _short(row),
            (1, height),
            xycoords="axes fraction",
            xytext=(7, 0),
            textcoords="offset points",
            color=row_color(place),
            va="center",
            annotation_clip=False,
        )


def _short(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    half = LONGEST_NAME // 2
    return f"{name[: half - 1]}…{name[-half:]}"


def _ratio_ticks(bottom: float, top: float) -> list[float]:
    steps = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.7, 1, 1.5, 2, 5, 10, 20, 50, 100]
    inside = [step for step in steps if bottom <= step <= top]
    return inside if len(inside) <= 7 else [step for step in inside if step not in (0.7, 1.5)]


def _power_of_ten(value: float) -> str:
    if value <= 0:
        return in_significant_digits(value)
    exponent = round(np.log10(value))
    return "10" + str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _as_element(figure: "Figure", name: str, alt: str) -> str:
    drawn = StringIO()
    # Nothing that changes from day to day, and no address, may stand in the page.
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with warnings.catch_warnings():
        # Only measured with matplotlib's font; the page's own font draws every character.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(drawn, format="svg", transparent=True, metadata=nothing)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    box = re.search(r'viewBox="[^"]*"', svg)
    assert box is not None, "matplotlib writes a viewBox"
    body = svg[svg.index(">") + 1 :]
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = _with_ids_of_its_own(body, name)
    for stands_for, color in PAGE_COLORS.items():
        body = body.replace(stands_for, color)
    body = re.sub(r"#fb00(\w\w)", lambda found: f"var(--row-{int(found[1], 16)})", body)
    body = re.sub(r"\s*\n\s*", "\n", body)
    return (
        f'<svg class="plot" role="img" aria-label="{html.escape(alt)}" {box[0]} '
        f'preserveAspectRatio="xMidYMid meet">{body}'
    )


def _with_ids_of_its_own(body: str, name: str) -> str:
    # Every plot of a page numbers its parts from 1: only those that are referred to keep an id.
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", body))

    def renamed(found: re.Match[str]) -> str:
        return f' id="{name}-{found[1]}"' if found[1] in used else ""

    body = re.sub(r' id="([^"]*)"', renamed, body)
    return re.sub(r"(url\(#|href=\"#)", rf"\g<1>{name}-", body)
