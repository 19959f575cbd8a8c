"""report.md: the tables of an evaluation as pipe tables that are read in a terminal, too."""

from collections.abc import Iterator, Sequence

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.report.gallery import Gallery, GalleryItem
from scenequilt.tools.evaluation.report.tables import (
    ARROWS_IN_WORDS,
    Table,
    class_table,
    columns_in_words,
    distribution_table,
    fidelity_table,
    files_table,
    main_table,
    network_names,
    perception_table,
    provenance_table,
    rows_in_words,
    seams_table,
    segmenter_names,
    spectrum_table,
    systems_title,
)
from scenequilt.tools.evaluation.report.text_table import escaped, pipe_tables
from scenequilt.tools.evaluation.report.words import (
    DASH_IN_WORDS,
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
from scenequilt.tools.evaluation.results import Evaluation


def report_md(evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy) -> str:
    """Return report.md."""
    return "\n\n".join(_blocks(evaluation, gallery, taxonomy)) + "\n"


def _blocks(evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy) -> Iterator[str]:
    yield f"# Evaluation of {escaped(systems_title(evaluation))}"
    if headline(evaluation):
        yield escaped(headline(evaluation))
    yield "## What was judged"
    yield _items([f"{label}: {value}" for label, value in facts(evaluation)])
    if evaluation.warnings:
        yield "Warnings:"
        yield _items(evaluation.warnings)
    if evaluation.unmeasured:
        yield "Not measured:"
        yield _items([f"{name}: {reason}" for name, reason in evaluation.unmeasured.items()])
    if evaluation.left_out:
        yield f"Left out ({len(evaluation.left_out)}):"
        yield _items(left_out_in_words(evaluation))

    yield "## Results"
    if main_table(evaluation).is_empty:
        yield NOTHING_IN_MAIN
    else:
        yield _with_footnote(main_table(evaluation))
        yield f"{ARROWS_IN_WORDS} {columns_in_words(evaluation)}"
    yield _items([f"{name}: {words}" for name, words in rows_in_words(evaluation)])
    for segmenter in segmenter_names(evaluation):
        yield f"## Layout fidelity seen by {escaped(segmenter)}"
        yield _with_footnote(fidelity_table(evaluation, segmenter))
        yield _with_footnote(class_table(evaluation, segmenter, taxonomy=taxonomy))
    for network in network_names(evaluation):
        table = distribution_table(evaluation, network)
        yield f"## {escaped(table.title)}"
        yield _with_footnote(table)
        if distribution_warnings(evaluation, network):
            yield _items(distribution_warnings(evaluation, network))
    for table, reading in (
        (perception_table(evaluation), PERCEPTION_IN_WORDS),
        (spectrum_table(evaluation), SPECTRUM_IN_WORDS),
        (seams_table(evaluation), SEAMS_IN_WORDS),
        (provenance_table(evaluation), PROVENANCE_IN_WORDS),
    ):
        if not table.is_empty:
            yield f"## {table.title}"
            yield _with_footnote(table)
            yield reading
    for heading, items in (("Worst pictures", gallery.worst), ("Best pictures", gallery.best)):
        if items:
            yield f"## {heading}"
            if gallery.ranked_by:
                yield escaped(f"By {gallery.ranked_by}.")
            yield _pictures(items)
    yield "## Rules"
    yield _items([f"{name}: {rule}" for name, rule in evaluation.rules.items()])
    yield "## Files"
    # Hashes do not fit a table of this width: a line each, in full.
    yield _items(
        [
            ", ".join(cell.text for cell in line[:-1] if cell.text) + f": {line[-1].text}"
            for line in files_table(evaluation).lines
        ]
    )
    yield "## Libraries"
    yield _items([f"{name} {version}" for name, version in evaluation.libraries.items()])


def _pictures(items: Sequence[GalleryItem]) -> str:
    return _items([f"{item.name}: {item.figures}" for item in items])


def _items(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(sentence)}" for sentence in sentences) or "None."


def _with_footnote(table: Table) -> str:
    table = table.without_empty_columns()
    text = pipe_tables(table)
    return f"{text}\n\n{DASH_IN_WORDS}" if table.has_dashes else text
