"""The command layouts: new layouts of a dataset's own, under its statistics."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.arguments import FAVOR, favor, positive, seed
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    from scenequilt.synthesis.layouts.factory import LayoutFactory
    from scenequilt.synthesis.layouts.statistics import LayoutStatistics
    from scenequilt.tools.layout_set import LayoutSetReport

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_layouts_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "layouts",
        help="make new layouts of a dataset's own",
        description="Make new layouts of those of a dataset: flipped, with objects dropped, "
        "inserted, or put onto the stuff of another layout, each where its class stands in the "
        "dataset and at the scale of that place. Placement is made for scenes seen along a ground "
        "plane by a level camera, such as streets: height in the picture follows the row of the "
        "foot; where a dataset is not so, e.g. rooms, a warning says so, and --edits "
        "flip,drop,recombine inserts nothing. Rare classes are inserted more often. Writes "
        "labels/, instances/, classes.json (the folder is what compose takes), layouts.jsonl with "
        "the parents and edits of each, and statistics.json with the shares of the classes. Leaves "
        "with 1 if a layout could not be made.",
    )
    parser.add_argument("dataset", type=Path, help="folder of the dataset")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--count", type=positive, required=True, metavar="N", help="layouts to make"
    )
    parser.add_argument("--reader", metavar="FORM", help="form of the dataset, if not recognised")
    parser.add_argument("--split", metavar="S", help="use this split only, e.g. train")
    parser.add_argument(
        "--exclude-sequence", action="append", default=[], metavar="X",
        help="leave a film or drive out; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N",
        help="same seed, same layouts (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--favor", action="append", default=[], type=favor, metavar="CLASS[=W]",
        help=f"insert this class W times as often as its rarity says, {FAVOR:g} times without W, and "
        "none below 0.02 %% of the picture where there are larger ones; 0 never; may be given "
        "several times",
    )  # fmt: skip
    parser.add_argument(
        "--edits", default="flip,drop,insert,recombine", metavar="LIST",
        help="kinds of edit that may be done (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--contact-sheet", type=Path, metavar="FILE.png", help="draw the first layouts"
    )
    parser.add_argument("--force", action="store_true", help="replace the layouts in --out")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.set_defaults(run=run_layouts)


def run_layouts(args: argparse.Namespace) -> Outcome:
    """Make the layouts and write their folder.

    Returns:
        Status 1 if a layout could not be made; the text names it.
    """
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.memory_bank.plan import list_entries
    from scenequilt.synthesis.layouts.factory import FactorySettings, LayoutFactory, edit_kinds
    from scenequilt.synthesis.layouts.source import DatasetLayouts
    from scenequilt.synthesis.layouts.statistics import learn_statistics
    from scenequilt.tools.layout_set import LAYOUT_SET, write_layout_set
    from scenequilt.tools.progress import progress_bar

    settings = FactorySettings(
        edits=edit_kinds([kind.strip() for kind in args.edits.split(",") if kind.strip()]),
        favor=dict(args.favor),
    )
    reader = open_dataset(args.dataset, args.reader)
    entries = list_entries(reader, args.split, args.exclude_sequence)
    layouts = DatasetLayouts(reader, entries)
    for name in settings.favor or {}:
        reader.taxonomy.class_id(name)
    LAYOUT_SET.refuse_other(args.out, force=args.force)
    _refuse_sheet(args.contact_sheet, force=args.force)
    with progress_bar("looking at layouts", "layouts") as progress:
        statistics = learn_statistics(layouts, progress=progress)
    factory = LayoutFactory(statistics, layouts, settings)
    # Not before here, for what is asked for may still be refused: earlier layouts are kept then.
    LAYOUT_SET.start(args.out, force=args.force, folders=LAYOUT_SET.folders)
    request = {
        "dataset": str(args.dataset),
        "split": args.split,
        "exclude_sequence": args.exclude_sequence,
        "edits": list(settings.edits),
        "favor": dict(args.favor),
    }
    with progress_bar("making layouts", "layouts") as progress:
        report = write_layout_set(
            factory,
            args.out,
            count=args.count,
            seed=args.seed,
            request=request,
            image_path=layouts.image_path,
            progress=progress,
        )
    if args.contact_sheet is not None:
        _draw_sheet(args, factory, report)
    status = 1 if report.failures else 0
    warnings = _warnings(settings.edits, statistics, report)
    if args.json:
        return Outcome(json.dumps(_as_json(args.out, report, warnings), indent=1), status)
    return Outcome(_in_words(args, len(layouts), report, warnings), status)


def _refuse_sheet(sheet: Path | None, *, force: bool) -> None:
    """Refuse to write the contact sheet over something else, or where it cannot be written."""
    if sheet is None:
        return
    if sheet.suffix.lower() != ".png":
        raise ValueError(f"{sheet}: the contact sheet is a PNG; give --contact-sheet FILE.png")
    if sheet.exists() and not (force and sheet.is_file()):
        raise ValueError(
            f"{sheet}: is there already; choose another --contact-sheet, or --force replaces it"
        )
    if not sheet.resolve().parent.is_dir():
        raise ValueError(f"{sheet}: its folder is not there; make it, or choose another file")


def _warnings(
    edits: Sequence[str], statistics: "LayoutStatistics", report: "LayoutSetReport"
) -> list[str]:
    """Return sentences on placement that does not fit, and on an edit that was never done."""
    warnings = []
    doubts = statistics.placement_doubts()
    if "insert" in edits and doubts:
        warnings.append(
            "inserted objects may stand where none would, at a wrong scale: placement is made for "
            f"scenes seen along a ground plane, such as streets, but here {'; '.join(doubts)}. "
            "--edits flip,drop,recombine inserts nothing"
        )
    if "recombine" in edits and not report.edits.get("recombine"):
        tried = "; ".join(
            f"{reason} ({count} x)" for reason, count in sorted(report.no_stuff.items())
        )
        why = tried or "it was not drawn for any of so few layouts, ask for more with --count"
        warnings.append(f"recombine was never done: {why}")
    return warnings


def _draw_sheet(
    args: argparse.Namespace, factory: "LayoutFactory", report: "LayoutSetReport"
) -> None:
    from scenequilt.tools.commands.layouts_sheet import MAX_SHOWN, write_layouts_sheet
    from scenequilt.tools.layout_set import layout_name

    failed = {place for place, _ in report.failures}
    places = [place for place in range(args.count) if place not in failed][:MAX_SHOWN]
    made = [(layout_name(place), factory.make(place, args.seed)) for place in places]
    title = f"{len(report.names)} layouts of {args.dataset.resolve().name}, seed {args.seed}"
    write_layouts_sheet(args.contact_sheet, made, factory.statistics.taxonomy, title)


def _as_json(out: Path, report: "LayoutSetReport", warnings: Sequence[str]) -> dict[str, object]:
    return {
        "out": str(out.resolve()),
        "layouts": len(report.names),
        "edits": report.edits,
        "classes": {
            change.name: {
                "share_before": change.share_before,
                "share_after": change.share_after,
                "inserted": change.inserted,
                "dropped": change.dropped,
            }
            for change in report.changes
        },
        "warnings": list(warnings),
        "failures": [message for _, message in report.failures],
    }


def _in_words(
    args: argparse.Namespace, parents: int, report: "LayoutSetReport", warnings: Sequence[str]
) -> str:
    kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(report.edits.items()))
    lines = [
        f"{len(report.names)} layouts of {parents}: {kinds or 'no edit'}",
        "  share of the pixels, void left out: before = the layouts that these were derived from,",
        "  each as often as it was drawn; after = these",
        f"  {'class':20s} {'before':>8s} {'after':>8s}   inserted  dropped",
    ]
    lines += [
        f"  {change.name:20s} {100 * change.share_before:6.2f} % {100 * change.share_after:6.2f} %"
        f"   {change.inserted:8d} {change.dropped:8d}"
        for change in report.changes
        if change.share_before or change.share_after
    ]
    lines += [f"warning: {sentence}" for sentence in warnings]
    if report.failures:
        lines.append(f"{len(report.failures)} could not be made:")
        lines += [f"  {message}" for _, message in report.failures]
    lines.append(f"layouts        {(args.out / 'labels').resolve()}")
    if args.contact_sheet is not None:
        lines.append(f"contact sheet  {args.contact_sheet.resolve()}")
    return "\n".join(lines)
