"""Tables in plain characters: for Markdown, and for a terminal."""

import re
from collections.abc import Callable, Sequence

from scenequilt.tools.evaluation.report.rounding import aligned
from scenequilt.tools.evaluation.report.tables import Table

WIDTH = 120
"""Columns of a terminal; a wider table goes on in a second one."""

Cells = list[str]
"""Heading and cells of one column."""


def pipe_tables(table: Table, width: int = WIDTH) -> str:
    """Return a table as one pipe table or, where it is wider than width, as several.

    Every one of them starts with the names of the lines. Nothing in a cell is taken for Markdown.
    """
    return "\n\n".join(_pipe_table(part, words) for part, words in _parts(table, width, 3, escaped))


def plain_tables(table: Table, width: int = WIDTH) -> str:
    """Return the same with blanks between the columns, for a terminal."""
    return "\n\n".join(_plain_table(part, words) for part, words in _parts(table, width, 2, str))


def escaped(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    text = re.sub(r"([\\`*\[\]<>|]|(?<!\w)_|_(?!\w))", r"\\\1", text)
    return " ".join(text.splitlines())


def _parts(
    table: Table, width: int, gap: int, written: Callable[[str], str]
) -> list[tuple[list[Cells], list[bool]]]:
    """Return the columns that stand side by side, and which of them hold words, for each part."""
    names = _cells(table, 0, written)
    parts: list[tuple[list[Cells], list[bool]]] = []
    left = 0
    for place in range(1, len(table.columns)):
        cells = _cells(table, place, written)
        needs = _width(cells) + gap
        if not parts or needs > left:
            parts.append(([names], [True]))
            left = width - _width(names) - gap - 1
        parts[-1][0].append(cells)
        parts[-1][1].append(not table.columns[place].number)
        left -= needs
    return parts or [([names], [True])]


def _cells(table: Table, place: int, written: Callable[[str], str]) -> Cells:
    values = aligned([line[place].text for line in table.lines])
    cells = [
        f"{value} ({line[place].bounds})" if line[place].bounds else value
        for value, line in zip(values, table.lines, strict=True)
    ]
    return [written(text) for text in (table.columns[place].in_words, *cells)]


def _width(cells: Cells) -> int:
    return max(len(text) for text in cells)


def _padded(columns: Sequence[Cells], words: Sequence[bool]) -> list[list[str]]:
    """Return the lines, every cell as wide as its column: words to the left, numbers right."""
    padded = [
        [text.ljust(_width(cells)) if of_words else text.rjust(_width(cells)) for text in cells]
        for cells, of_words in zip(columns, words, strict=True)
    ]
    return [list(line) for line in zip(*padded, strict=True)]


def _pipe_table(columns: Sequence[Cells], words: Sequence[bool]) -> str:
    heading, *lines = _padded(columns, words)
    rule = [
        "-" * len(text) if of_words else "-" * (len(text) - 1) + ":"
        for text, of_words in zip(heading, words, strict=True)
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (heading, rule, *lines))


def _plain_table(columns: Sequence[Cells], words: Sequence[bool]) -> str:
    return "\n".join("  ".join(line).rstrip() for line in _padded(columns, words))
