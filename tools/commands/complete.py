"""The command complete: dense layouts from coarse, incomplete ones."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands import arguments
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    from scenequilt.memory_bank.layout import Layout
    from scenequilt.memory_bank.taxonomy import Taxonomy
    from scenequilt.synthesis.completion.completer import Completed
    from scenequilt.tools.completed_set import CompletedSetReport, Completer

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_complete_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "complete",
        help="fill the void of coarse layouts",
        description="Fill the void of coarse, incomplete layouts: what is labelled stays as it is, "
        "void becomes what a network trained on dense layouts holds most probable (scenequilt "
        "train completion), or with --closed what the nearest labelled pixel is. Writes labels/, "
        "instances/ where there are things, depth/ where every layout has it, classes.json (the "
        "folder is what compose takes), layouts.jsonl with the file and figures of each, and "
        "completion.json. Leaves with 1 if a layout was left out, which is named.",
    )
    arguments.add_layout_arguments(parser)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="weights of a completion network (.safetensors)",
    )
    how.add_argument(
        "--closed", action="store_true",
        help="no network: fill with the nearest label, the closed form",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--contact-sheet", type=Path, metavar="FILE.png",
        help="draw the first layouts before and after",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace completed layouts in --out")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.set_defaults(run=run_complete)


def run_complete(args: argparse.Namespace) -> Outcome:
    """Complete every layout and write the folder.

    Returns:
        Status 1 if a layout was left out; the text names it.
    """
    from scenequilt.tools.commands.complete_sheet import MAX_SHOWN, write_complete_sheet
    from scenequilt.tools.completed_set import COMPLETED_SET, write_completed_set
    from scenequilt.tools.layout_files import (
        classes_of_layouts,
        companions_of,
        find_layout_files,
        read_in_classes,
    )
    from scenequilt.tools.layout_parents import parent_finder
    from scenequilt.tools.progress import progress_bar

    COMPLETED_SET.refuse_other(args.out, force=args.force)
    _refuse_sheet(args.contact_sheet, force=args.force)
    files = find_layout_files(args.layouts, split=args.split, outside=args.out)[: args.limit]
    own = classes_of_layouts(args.layouts, args.classes)
    completer, taxonomy = _completer(args, own)
    shown: list[tuple[str, Layout, Completed]] = []

    def show(name: str, layout: "Layout", completed: "Completed") -> None:
        if args.contact_sheet is not None and len(shown) < MAX_SHOWN:
            shown.append((name, layout, completed))

    depths = [companions_of(file.path).depth_path for file in files]
    with progress_bar("completing", "layouts") as progress:
        report = write_completed_set(
            files,
            lambda path: read_in_classes(path, taxonomy, own, args.size, args.repair),
            completer,
            taxonomy,
            args.out,
            parents_of=parent_finder(args.layouts),
            request={
                "layouts": [str(path) for path in args.layouts],
                "weights": None if args.weights is None else str(args.weights),
                "split": args.split,
                "size_hw": args.size,
                "repair": args.repair,
            },
            with_depth=all(depths),
            force=args.force,
            show=show,
            progress=progress,
        )
    if args.contact_sheet is not None and shown:
        title = f"{len(report.rows)} layouts, void filled by {_how(args, completer)}"
        write_complete_sheet(args.contact_sheet, shown, taxonomy, title)
    status = 1 if report.failures else 0
    left_behind = 0 if all(depths) else sum(path is not None for path in depths)
    if args.json:
        return Outcome(json.dumps(_as_json(args, report, completer), indent=1), status)
    return Outcome(_in_words(args, report, completer, left_behind), status)


def _completer(args: argparse.Namespace, own: "Taxonomy | None") -> "tuple[Completer, Taxonomy]":
    """Return what fills the void, and the classes that it is filled with."""
    from scenequilt.synthesis.completion.completer import NearestCompleter

    if args.closed:
        if own is None:
            raise ValueError(
                "--closed needs to know what the layouts' values mean, and no classes.json lies "
                "with them; give one with --classes FILE"
            )
        return NearestCompleter(), own
    from scenequilt.tools.training.checkpoint import read_checkpoint
    from scenequilt.tools.training.jobs.completion import restore_completer

    completer = restore_completer(read_checkpoint(args.weights))
    return completer, completer.taxonomy


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


def _how(args: argparse.Namespace, completer: "Completer") -> str:
    if args.closed:
        return f"{completer.name} (closed form, no weights)"
    return f"{completer.name} ({args.weights.name})"


def _as_json(
    args: argparse.Namespace, report: "CompletedSetReport", completer: "Completer"
) -> dict[str, object]:
    return {
        "out": str(args.out.resolve()),
        "completer": completer.name,
        "learned": not args.closed,
        "weights": None if args.closed else str(args.weights),
        "layouts": [row.as_json() for row in report.rows],
        "failures": [message for _, message in report.failures],
    }


def _in_words(
    args: argparse.Namespace,
    report: "CompletedSetReport",
    completer: "Completer",
    left_behind: int,
) -> str:
    rows = report.rows
    lines = [f"{_count(len(rows))} completed, void filled by {_how(args, completer)}"]
    if rows:
        void = sum(row.void_share for row in rows) / len(rows)
        lines.append(f"  void before   {100 * void:5.1f} %   mean over the layouts")
        shares = [row.probability for row in rows if row.probability is not None]
        if shares:
            lines.append(
                f"  probability   {100 * sum(shares) / len(shares):5.1f} %   that the network "
                "gives what it filled in, mean over the layouts"
            )
        lines.append(f"  new objects   {sum(row.objects for row in rows):5d}")
        filled: dict[str, float] = {}
        for row in rows:
            for name, share in row.filled.items():
                filled[name] = filled.get(name, 0.0) + share / len(rows)
        most = sorted(filled.items(), key=lambda each: -each[1])
        lines += [
            f"  filled with   {100 * share:5.1f} %   {name}"
            for name, share in most
            if share >= 5e-4
        ]
    if left_behind:
        lines.append(
            f"depth is left behind: {_count(left_behind)} of {len(rows) + len(report.failures)} "
            "with a depth map, and compose wants all or none"
        )
    if report.failures:
        lines.append(f"{_count(len(report.failures))} left out:")
        lines += [f"  {message}" for _, message in report.failures]
    lines.append(f"layouts        {(args.out / 'labels').resolve()}")
    if args.contact_sheet is not None and rows:
        lines.append(f"contact sheet  {args.contact_sheet.resolve()}")
    return "\n".join(lines)


def _count(number: int) -> str:
    return f"{number} layout" if number == 1 else f"{number} layouts"
