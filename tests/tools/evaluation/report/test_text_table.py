"""Tables in plain characters."""

import pytest

from scenequilt.tools.evaluation.report.tables import Cell, Column, Table
from scenequilt.tools.evaluation.report.text_table import escaped, pipe_tables, plain_tables

TABLE = Table(
    "Small",
    (Column("row", number=False), Column("score", "higher"), Column("distance", "lower")),
    (
        (Cell("ours"), Cell("0.5", "0.4–0.6"), Cell("12.25")),
        (Cell("real"), Cell("1"), Cell("–")),
    ),
)


def test_a_pipe_table_by_hand() -> None:
    assert pipe_tables(TABLE).splitlines() == [
        "| row  |       score ↑ | distance ↓ |",
        "| ---- | ------------: | ---------: |",
        "| ours | 0.5 (0.4–0.6) |      12.25 |",
        "| real |           1   |          – |",
    ]


def test_a_plain_table_by_hand() -> None:
    assert plain_tables(TABLE).splitlines() == [
        "row         score ↑  distance ↓",
        "ours  0.5 (0.4–0.6)       12.25",
        "real            1             –",
    ]


def test_a_table_that_just_fits_is_one_table() -> None:
    width = len(pipe_tables(TABLE).splitlines()[0])

    assert pipe_tables(TABLE, width).count("| row") == 1
    assert pipe_tables(TABLE, width - 1).count("| row") == 2


def test_what_does_not_fit_goes_on_under_the_same_names() -> None:
    first, second = pipe_tables(TABLE, 30).split("\n\n")

    assert "score" in first and "distance" not in first
    assert [line.split("|")[1].strip() for line in second.splitlines()] == [
        "row",
        "----",
        "ours",
        "real",
    ]


def test_a_column_wider_than_the_page_still_stands() -> None:
    assert pipe_tables(TABLE, 5).count("| ours") == 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<b>*x*", r"\<b\>\*x\*"),
        ("0006R0_f00930", "0006R0_f00930"),
        ("_x_", r"\_x\_"),
        ("two\nlines", "two lines"),
    ],
)
def test_nothing_in_a_cell_is_taken_for_markdown(text: str, shown: str) -> None:
    assert escaped(text) == shown
