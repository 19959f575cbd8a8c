"""report.html: one file with tables, plots and pictures, that needs nothing beside it."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.report.gallery import Gallery, GalleryItem
from scenequilt.tools.evaluation.report.pictures import data_uri
from scenequilt.tools.evaluation.report.plots import (
    RowInterval,
    interval_plot,
    spectrum_plot,
    states_plot,
)
from scenequilt.tools.evaluation.report.rounding import aligned, in_digits
from scenequilt.tools.evaluation.report.tables import (
    ARROWS,
    ARROWS_IN_WORDS,
    CALIBRATION_ROWS,
    REAL,
    Cell,
    Column,
    Table,
    class_table,
    columns_in_words,
    distribution_table,
    fidelity_table,
    figure,
    files_table,
    lpips_heads,
    main_table,
    network_names,
    perception_table,
    pictures_table,
    provenance_table,
    rows_in_words,
    seams_table,
    segmenter_names,
    spectrum_table,
    systems_title,
)
from scenequilt.tools.evaluation.report.words import (
    DASH_IN_WORDS,
    DISTRIBUTION_IN_WORDS,
    FIDELITY_IN_WORDS,
    NOTHING_IN_MAIN,
    PERCEPTION_IN_WORDS,
    PROVENANCE_IN_WORDS,
    SEAMS_IN_WORDS,
    SPECTRUM_IN_WORDS,
    distribution_warnings,
    facts,
    headline,
    left_out_in_words,
)
from scenequilt.tools.evaluation.results import Evaluation, Interval

HERE = Path(__file__).parent

FIGURE_SPACE, PUNCTUATION_SPACE = "\N{FIGURE SPACE}", "\N{PUNCTUATION SPACE}"


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of the page: its address in it, its heading, the heading's short form, its HTML."""

    name: str
    heading: str
    short: str
    body: str


def report_html(evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy) -> str:
    """Return report.html.

    Args:
        evaluation: What was found, one row at least.
        gallery: Pictures to look at.
        taxonomy: The classes, for their order and colours.
    """
    sections = list(_sections(evaluation, gallery, taxonomy))
    values = {
        "title": f"Evaluation of {_text(systems_title(evaluation))}",
        "headline": _text(headline(evaluation)),
        "style": (HERE / "page.css").read_text(encoding="utf-8"),
        "facts": "".join(
            f"<div><dt>{_text(label)}</dt><dd>{_text(value)}</dd></div>"
            for label, value in facts(evaluation)
        ),
        "notices": _notices(evaluation),
        "contents": "".join(
            f'<li><a href="#{section.name}">{_text(section.short)}</a></li>' for section in sections
        ),
        "sections": "\n".join(
            f'<section id="{section.name}"><h2>{_text(section.heading)}</h2>{section.body}</section>'
            for section in sections
        ),
    }
    template = (HERE / "page.html").read_text(encoding="utf-8")
    # One pass, so that a value that happens to hold a placeholder is left as it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def _sections(evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy) -> Iterator[_Section]:
    yield _Section("results", "Results", "Results", _results(evaluation))
    if segmenter_names(evaluation):
        body = _fidelity(evaluation, taxonomy)
        yield _Section("fidelity", "Layout fidelity", "Fidelity", body)
    if network_names(evaluation):
        body = _distribution(evaluation)
        yield _Section("distribution", "Distribution", "Distribution", body)
    if not perception_table(evaluation).is_empty:
        yield _Section(
            "perception",
            "Distance to the photographs, picture by picture",
            "Perception",
            _perception(evaluation),
        )
    if gallery.spectra or any(row.spectrum.radial for row in evaluation.rows):
        body = _spectrum(evaluation, gallery)
        yield _Section("spectrum", "Mean power spectrum", "Spectrum", body)
    if not seams_table(evaluation).is_empty:
        body = _reading(SEAMS_IN_WORDS) + _table(seams_table(evaluation))
        yield _Section("seams", "Seams", "Seams", body)
    if not provenance_table(evaluation).is_empty:
        yield _Section("provenance", "Provenance", "Provenance", _provenance(evaluation))
    if gallery.worst or gallery.best or evaluation.rows[0].each:
        body = _pictures(evaluation, gallery)
        yield _Section("pictures", "Worst and best pictures", "Pictures", body)
    yield _Section("record", "Rules, files and versions", "Record", _record(evaluation))


def _notices(evaluation: Evaluation) -> str:
    blocks = []
    if evaluation.warnings:
        blocks.append(_notice("Warnings", evaluation.warnings, "notice"))
    if evaluation.unmeasured:
        reasons = [f"{name}: {reason}" for name, reason in evaluation.unmeasured.items()]
        blocks.append(_notice("Not measured", reasons, "notice quiet"))
    if evaluation.left_out:
        reasons = left_out_in_words(evaluation)
        count = len(evaluation.left_out)
        blocks.append(
            f"<details><summary>Left out: {count:,} {'layout' if count == 1 else 'layouts'}"
            f"</summary>{_notice('Left out', reasons, 'notice quiet')}</details>"
        )
    return "\n".join(blocks)


def _notice(heading: str, sentences: Sequence[str], kind: str) -> str:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return f'<div class="{kind}"><h2>{heading}</h2><ul>{items}</ul></div>'


def _results(evaluation: Evaluation) -> str:
    rows = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(words)}</dd>"
        for name, words in rows_in_words(evaluation)
    )
    reading = f"{ARROWS_IN_WORDS} {columns_in_words(evaluation)}"
    return "\n".join(
        [
            _table(main_table(evaluation)),
            _reading(NOTHING_IN_MAIN if main_table(evaluation).is_empty else reading),
            f'<dl class="rows">{rows}</dl>',
        ]
    )


def _fidelity(evaluation: Evaluation, taxonomy: Taxonomy) -> str:
    parts = [_reading(FIDELITY_IN_WORDS)]
    for place, segmenter in enumerate(segmenter_names(evaluation)):
        opinion = "The segmenter that is quoted" if place == 0 else "Another opinion"
        parts.append(f"<h3>{opinion}: {_text(segmenter)}</h3>")
        parts.append(_table(fidelity_table(evaluation, segmenter)))
        intervals = {
            row.name: entry.requested.mean_iou
            for row in evaluation.rows
            for entry in row.fidelity
            if entry.segmenter == segmenter
        }
        plot = _interval_figure(
            evaluation, f"miou-{place}", f"mIoU, {segmenter}", intervals, axis="higher is better"
        )
        parts.append(f'<div class="plots">{plot}</div>')
        parts.append(_table(class_table(evaluation, segmenter, taxonomy=taxonomy)))
        rest = [
            class_table(evaluation, segmenter, taxonomy=taxonomy, measure="accuracy"),
            class_table(evaluation, segmenter, taxonomy=taxonomy, against="delivered"),
            class_table(
                evaluation, segmenter, taxonomy=taxonomy, against="delivered", measure="accuracy"
            ),
        ]
        tables = "".join(_table(table) for table in rest if table.lines)
        parts.append(
            f"<details><summary>By class: accuracy, and against the delivered layout "
            f"({_text(segmenter)})</summary>{tables}</details>"
        )
    return "\n".join(parts)


def _distribution(evaluation: Evaluation) -> str:
    parts = [_reading(DISTRIBUTION_IN_WORDS)]
    for place, network in enumerate(network_names(evaluation)):
        found = {
            row.name: entry
            for row in evaluation.rows
            for entry in row.distribution
            if entry.network == network
        }
        table = distribution_table(evaluation, network)
        plots = [
            _interval_figure(
                evaluation,
                f"{kind}-{place}",
                table.columns[column].heading,
                {row: getattr(entry, kind) for row, entry in found.items()},
            )
            for column, kind in enumerate(("frechet", "kernel"), start=1)
        ]
        parts.append(f"<h3>{_text(network)}</h3>")
        parts += [
            f'<p class="footnote">{_text(warning)}</p>'
            for warning in distribution_warnings(evaluation, network)
        ]
        parts.append(f'<div class="plots">{"".join(plots)}</div>{_table(table)}')
    return "\n".join(parts)


def _perception(evaluation: Evaluation) -> str:
    plots = []
    for head in lpips_heads(evaluation):
        intervals = {
            row.name: row.perception.lpips[head]
            for row in evaluation.rows
            if head in row.perception.lpips
        }
        if intervals:
            plots.append(_interval_figure(evaluation, f"lpips-{head}", f"LPIPS {head}", intervals))
    return "\n".join(
        [
            _reading(PERCEPTION_IN_WORDS),
            _table(perception_table(evaluation)),
            f'<div class="plots">{"".join(plots)}</div>' if plots else "",
        ]
    )


def _spectrum(evaluation: Evaluation, gallery: Gallery) -> str:
    spectra = {row.name: row.spectrum for row in evaluation.rows if row.spectrum.radial}
    plots = []
    if spectra:
        names = ", ".join(spectra)
        power = spectrum_plot(
            spectra,
            name="radial",
            alt=f"Mean power over spatial frequency, a line each for {names}",
        )
        plots.append(_plot_figure("Mean radial power", power))
    real = spectra.get(REAL)
    if real is not None and all(s.frequency == real.frequency for s in spectra.values()):
        ratio = spectrum_plot(
            spectra,
            name="radial-ratio",
            alt=f"The same as a ratio to the photographs: {names}",
            relative_to=REAL,
        )
        plots.append(_plot_figure("The same, as a ratio to the photographs", ratio))
    pictures = []
    for name, pixels in gallery.spectra.items():
        row = evaluation.row(name)
        distance = "" if row is None else figure(row.spectrum.distance).text
        pictures.append(
            f'<figure><img src="{data_uri(pixels)}" alt="Mean power spectrum of {_text(name)}, '
            f'lowest frequencies in the middle" width="{pixels.shape[1]}" '
            f'height="{pixels.shape[0]}">'
            f"<figcaption><b>{_text(name)}</b> distance {distance}</figcaption></figure>"
        )
    return "\n".join(
        [
            _reading(SPECTRUM_IN_WORDS),
            f'<div class="plots">{"".join(plots)}</div>' if plots else "",
            _table(spectrum_table(evaluation)),
            f'<h3>Over both directions</h3><div class="row small">{"".join(pictures)}</div>'
            if pictures
            else "",
        ]
    )


def _provenance(evaluation: Evaluation) -> str:
    # Here, since the colours lie beside code that opens OpenCV.
    from scenequilt.tools.output.picture import STATE_COLORS, STATE_NAMES

    states = {row.name: row.provenance.states for row in evaluation.rows if row.provenance.states}
    parts = [_reading(PROVENANCE_IN_WORDS)]
    if states:
        colors = dict(zip(STATE_NAMES, STATE_COLORS, strict=True))
        shown = dict.fromkeys(
            state for shares in states.values() for state, share in shares.items() if share
        )
        words = "; ".join(
            f"{row}: "
            + ", ".join(f"{state} {in_digits(100 * share, 1)} %" for state, share in shares.items())
            for row, shares in states.items()
        )
        plot = states_plot(states, colors, name="states", alt=f"Shares of pixels. {words}")
        legend = "".join(
            f"<li>{_swatch(colors.get(state, (128, 128, 128)))}{_text(state)}</li>"
            for state in shown
        )
        parts.append(
            f'<div class="plots">{_plot_figure("What was done to pixels", plot)}</div>'
            f'<ul class="legend">{legend}</ul>'
        )
    parts.append(_table(provenance_table(evaluation)))
    return "\n".join(parts)


def _pictures(evaluation: Evaluation, gallery: Gallery) -> str:
    parts = [_reading(f"By {gallery.ranked_by}.")] if gallery.ranked_by else []
    for heading, items in (("Worst", gallery.worst), ("Best", gallery.best)):
        if items:
            parts.append(f"<h3>{heading}</h3>" + "".join(_item(item) for item in items))
    table = pictures_table(evaluation)
    if table.lines:
        parts.append(
            f"<details><summary>{_text(table.title)}</summary>"
            f"{_table(table, kind='scroll tall')}</details>"
        )
    return "\n".join(parts)


def _item(item: GalleryItem) -> str:
    figures = "".join(
        f'<figure><img src="{data_uri(pixels)}" alt="{_text(caption)} of {_text(item.name)}" '
        f'width="{pixels.shape[1]}" height="{pixels.shape[0]}" decoding="async">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
        for caption, pixels in item.pictures.items()
    )
    return (
        f'<article class="item"><h4>{_text(item.name)}<span>{_text(item.figures)}</span></h4>'
        f'<div class="row">{figures}</div></article>'
    )


def _record(evaluation: Evaluation) -> str:
    rules = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(rule)}</dd>" for name, rule in evaluation.rules.items()
    )
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.libraries.items())
    return "\n".join(
        [
            f'<dl class="rules">{rules}</dl>' if rules else "",
            _table(files_table(evaluation)),
            f'<h3>Libraries</h3><p class="reading">{_text(versions)}</p>' if versions else "",
        ]
    )


def _table(table: Table, *, kind: str = "scroll") -> str:
    """Return a table in a box that scrolls sideways where it is too wide; systems are marked in it.

    Args:
        table: The table.
        kind: Classes of the box.

    Returns:
        Without the columns in which nothing was measured; "" where that is all of them.
    """
    table = table.without_empty_columns()
    if not table.columns[1:]:
        return ""
    lines_are_rows = table.columns[0].heading == "row"
    texts = [
        aligned(
            [line[place].text for line in table.lines],
            digit=FIGURE_SPACE,
            point=PUNCTUATION_SPACE,
        )
        for place in range(len(table.columns))
    ]
    head = "".join(
        f'<th scope="col"{_kind(column.number)}>{_heading(column)}</th>' for column in table.columns
    )
    body = []
    for number, line in enumerate(table.lines):
        cells = "".join(
            _cell(cell, texts[place][number], table.columns[place].heading, place, table)
            for place, cell in enumerate(line)
        )
        mark = ' class="system"' if lines_are_rows and line[0].text not in CALIBRATION_ROWS else ""
        body.append(f"<tr{mark}>{cells}</tr>")
    footnote = f'<p class="footnote">{_text(DASH_IN_WORDS)}</p>' if table.has_dashes else ""
    return (
        f'<div class="{kind}" role="region" tabindex="0" aria-label="{_text(table.title)}">'
        f"<table><caption><span>{_text(table.title)}</span></caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>{footnote}"
    )


def _cell(cell: Cell, text: str, heading: str, place: int, table: Table) -> str:
    swatch = "" if cell.color is None else _swatch(cell.color)
    if place == 0:
        return f'<th scope="row">{swatch}{_text(text)}</th>'
    bounds = f"<small>{_text(cell.bounds)}</small>" if cell.bounds else ""
    if table.columns[place].number:
        return f'<td class="number">{_text(text)}{bounds}</td>'
    return f'<td class="{"hash" if heading == "sha256" else "long"}">{_text(text)}</td>'


def _heading(column: Column) -> str:
    # Words are kept whole, and the arrow with the last one, wherever the heading is broken.
    *first, last = column.heading.split(" ")
    words = [*first, f"{last} {ARROWS[column.better]}".rstrip()]
    return " ".join(f"<span>{_text(word)}</span>" for word in words)


def _kind(is_number: bool) -> str:
    return ' class="number"' if is_number else ""


def _swatch(color: tuple[int, int, int]) -> str:
    red, green, blue = color
    return f'<i class="swatch" style="background:rgb({red},{green},{blue})"></i>'


def _interval_figure(
    evaluation: Evaluation,
    name: str,
    what: str,
    intervals: Mapping[str, Interval],
    *,
    axis: str = "lower is better",
) -> str:
    rows = [
        RowInterval(row.name, place, intervals[row.name])
        for place, row in enumerate(evaluation.rows)
        if row.name in intervals
    ]
    words = ", ".join(f"{row.name} {figure(row.interval).text}" for row in rows)
    plot = interval_plot(rows, axis=axis, name=name, alt=f"{what}: {words}")
    return _plot_figure(what, plot)


def _plot_figure(caption: str, plot: str) -> str:
    return f"<figure><figcaption>{_text(caption)}</figcaption>{plot}</figure>"


def _reading(sentences: str) -> str:
    return f'<p class="reading">{_text(sentences)}</p>'


def _text(text: str) -> str:
    return html.escape(text)
