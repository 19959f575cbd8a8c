"""scenequilt inspect: what is in a folder of labelled photographs."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry, LabelledPhotograph
    from scenequilt.memory_bank.datasets.summary import DatasetSummary

_SHEET_PHOTOGRAPHS = 8
_LONGEST_LIST = 12


def add_inspect_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of the command."""
    parser = commands.add_parser(
        "inspect",
        help="what is in a folder of labelled photographs",
        description="Read a folder of labelled photographs and report its classes, sizes, values, "
        "regions, splits and licences, and every file that cannot be read. Leaves with status 1 if "
        "there is one.",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="the folder")
    parser.add_argument(
        "--reader",
        metavar="R",
        help="form of the folder: plain, rgb_masks, cityscapes, ade20k, coco_panoptic, coco_stuff, "
        "voc (default: found out)",
    )
    parser.add_argument("--split", metavar="S", help="only this split, e.g. train")
    parser.add_argument(
        "--repair",
        choices=("none", "nearest"),
        default="none",
        help="label values that are no class: refuse the file, or take the nearest class "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="read N photographs only, spread over the dataset"
    )
    parser.add_argument(
        "--contact-sheet",
        type=Path,
        metavar="FILE.png",
        help="write photographs beside their coloured layouts to this file",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_inspect)


def run_inspect(args: argparse.Namespace) -> Outcome:
    """Read the dataset and report on it.

    Raises:
        DatasetError: If the folder is no dataset, or the split does not exist.
        ValueError: If an argument makes no sense.
    """
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.memory_bank.datasets.summary import summarise
    from scenequilt.tools.commands.inspect_sheet import write_sheet
    from scenequilt.tools.progress import progress_bar

    if args.limit is not None and args.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {args.limit}")
    if args.contact_sheet is not None and args.contact_sheet.suffix.lower() != ".png":
        raise ValueError(f"--contact-sheet must end in .png, got {args.contact_sheet}")

    with _warnings_kept() as warnings:
        reader = open_dataset(args.dataset, args.reader, repair=args.repair)
        listed = reader.entries(args.split)
        entries = _spread(listed, args.limit or len(listed))
        shown: dict[int, LabelledPhotograph] = {}

        with progress_bar("reading", "photographs") as update:

            def on_read(done: int, photograph: LabelledPhotograph | None) -> None:
                update(done, len(entries))
                # The first of each eighth that can be read.
                place = (done - 1) * _SHEET_PHOTOGRAPHS // len(entries)
                if args.contact_sheet and photograph:
                    shown.setdefault(place, photograph)

            summary = summarise(reader, entries, on_read)
    if shown:
        title = f"{args.dataset.resolve().name}: {len(listed)} photographs, {reader.taxonomy.name}"
        write_sheet(args.contact_sheet, title, list(shown.values()), reader.taxonomy)

    status = 1 if summary.unreadable else 0
    if args.json:
        table = {
            "dataset": str(args.dataset),
            "reader": reader.form,
            "listed": len(listed),
            "inspected": len(entries),
            **summary.as_json(),
            "warnings": warnings,
        }
        if args.contact_sheet:
            table["contact_sheet"] = str(args.contact_sheet) if shown else None
        return Outcome(json.dumps(table, indent=2), status)
    text = _report(args.dataset, reader, summary, len(listed), warnings)
    if args.contact_sheet:
        written = args.contact_sheet if shown else "not written, as no photograph can be read"
        text += f"\n\ncontact sheet: {written}"
    return Outcome(text, status)


def _spread(sequence: Sequence[Entry], count: int) -> list[Entry]:
    """Return count entries, evenly spread, in their order; all if there are fewer."""
    if len(sequence) <= count:
        return list(sequence)
    return [sequence[place * len(sequence) // count] for place in range(count)]


class _Kept(logging.Handler):
    """Keeps the messages of the library, to show them with the result."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.messages.append(record.getMessage())


@contextmanager
def _warnings_kept() -> Iterator[list[str]]:
    """Collect what the readers warn of while the block runs, instead of letting it be printed."""
    logger = logging.getLogger("scenequilt.memory_bank.datasets")
    handler, propagate = _Kept(), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield handler.messages
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


def _report(
    dataset: Path,
    reader: DatasetReader,
    summary: DatasetSummary,
    listed: int,
    warnings: Sequence[str],
) -> str:
    """Return the report as text, in colour where standard output is a terminal."""
    from rich.console import Console
    from rich.text import Text

    of = "" if summary.photographs == listed else f" of {listed}"
    facts = [
        ("dataset", str(dataset)),
        ("form", reader.form),
        ("classes", f"{len(reader.taxonomy)} ({reader.taxonomy.name})"),
        ("photographs", f"{summary.photographs}{of} read"),
        ("objects", _where_from(summary.with_instances, summary.photographs, "derived")),
        ("depth", _where_from(summary.with_depth, summary.photographs, "none")),
        ("sizes", _counted({f"{w}x{h}": n for (h, w), n in summary.sizes.items()})),
        ("splits", _counted(summary.splits)),
        ("sequences", _counted(summary.sequences)),
        ("licences", _counted(summary.licences)),
    ]
    parts: list[RenderableType] = [
        _facts(facts),
        _class_table(reader, summary),
        Text(
            "regions: objects of a thing, connected pieces of stuff; median: of their pixels;\n"
            "*: thin, what it cuts in two counts as one\n",
            style="dim",
        ),
    ]
    absent = [
        entry.name
        for entry, counted in zip(reader.taxonomy.classes, summary.classes, strict=True)
        if not counted.pixels
    ]
    if absent:
        names = ", ".join(absent[:_LONGEST_LIST])
        more = f" and {len(absent) - _LONGEST_LIST} more" if len(absent) > _LONGEST_LIST else ""
        parts.append(Text(f"classes that do not occur: {len(absent)} ({names}{more})\n"))
    if summary.values:
        parts.append(_value_table(reader, summary))
    if warnings:
        parts.append(Text(f"warnings: {len(warnings)}", style="bold"))
        parts.extend(Text(f"  {message}", overflow="fold") for message in warnings)
        parts.append(Text())
    if summary.unreadable:
        parts.append(Text(f"cannot be read: {len(summary.unreadable)}", style="bold"))
        parts.extend(Text(f"  {bad.message}", overflow="fold") for bad in summary.unreadable)
    else:
        parts.append(Text("every file can be read"))

    terminal = sys.stdout.isatty()
    console = Console(
        file=StringIO(),
        force_terminal=terminal,
        width=min(get_terminal_size((80, 24)).columns, 100) if terminal else 80,
        highlight=False,
    )
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _where_from(count: int, photographs: int, otherwise: str) -> str:
    if count == photographs and count:
        return "from files"
    return f"from files for {count}, {otherwise} for the others" if count else otherwise


def _counted(counts: Mapping[str, int]) -> str:
    """Return "name (count), ..." by falling count; "" is said in words."""
    by_count = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    if [name for name, _ in by_count] == [""]:
        return "none given"
    shown = [f"{name or 'none given'} ({count})" for name, count in by_count[:_LONGEST_LIST]]
    if len(by_count) > _LONGEST_LIST:
        shown.append(f"and {len(by_count) - _LONGEST_LIST} more")
    return ", ".join(shown)


def _facts(facts: Sequence[tuple[str, str]]) -> Table:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    return table


def _class_table(reader: DatasetReader, summary: DatasetSummary) -> Table:
    """Return the classes that occur, by falling number of pixels."""
    from rich.text import Text

    table = _table("value", "class", "kind", "pixels", "photographs", "regions", "median")
    total = summary.void_px + sum(counted.pixels for counted in summary.classes)
    by_pixels = sorted(
        zip(reader.taxonomy.classes, summary.classes, strict=True),
        key=lambda pair: -pair[1].pixels,
    )
    for entry, counted in by_pixels:
        if not counted.pixels:
            continue
        red, green, blue = entry.color
        kind = f"{entry.kind}*" if entry.thin else entry.kind
        table.add_row(
            str(entry.file_id),
            Text.assemble(("\u25a0 ", f"rgb({red},{green},{blue})"), entry.name),
            kind,
            f"{counted.pixels / total:.2%}",
            f"{counted.photographs:,}",
            f"{counted.regions:,}",
            f"{counted.median_area_px:,}",
        )
    if total:
        table.add_row("", "void", "", f"{summary.void_px / total:.2%}", "", "", "")
    return table


def _value_table(reader: DatasetReader, summary: DatasetSummary) -> Table:
    """Return the values of the label files and the pixels that hold each."""
    table = _table("value", "pixels", "means", "share")
    total = sum(summary.values.values())
    most = max(summary.values.values())
    class_ids = reader.taxonomy.class_of_file_id
    for value, count in sorted(summary.values.items()):
        class_id = int(class_ids[value])
        known = 0 <= class_id < len(reader.taxonomy)
        name = reader.taxonomy.classes[class_id].name if known else "void"
        bar = "#" * round(24 * count / most)
        table.add_row(str(value), f"{count:,}", name, f"{count / total:7.2%} {bar}")
    return table


def _table(*headings: str) -> Table:
    """Return a table whose text columns are to the left and whose numbers are to the right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in headings:
        left = heading in ("class", "kind", "means", "share")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    return table
