"""The command compose: photographs from layouts, with the source of every pixel on record."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands import arguments
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.commands.stages import add_stage_arguments, stages_of

if TYPE_CHECKING:
    from scenequilt.tools.output.run import RunReport, RunRequest

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_compose_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "compose",
        help="compose photographs from layouts",
        description="Compose photographs from layouts out of the segments of a bank. Writes a "
        "folder NAME/00, NAME/01, ... for each layout and variant (image, true labels, the source "
        "of every pixel, a recipe that replays it), and over the whole run a contact sheet, a "
        "page (index.html), manifest.jsonl and failures.csv. Leaves with 0 if all of it was made, "
        "1 if a layout was left out or a class has no segment (both are named), 2 if refused.",
    )
    parser.add_argument(
        "layouts", type=Path, nargs="+", metavar="LAYOUT",
        help="label map (PNG of the bank's file ids, or of its colours), a folder of them, or the "
        "folder of a dataset",
    )  # fmt: skip
    parser.add_argument("--split", metavar="S", help="of a dataset, this split only, e.g. val")
    parser.add_argument(
        "--limit", type=arguments.positive, metavar="N", help="the first N layouts only"
    )
    parser.add_argument(
        "--exclude-own", action="store_true",
        help="leave the photograph out whose own label map a layout is, and all those that a layout "
        "of scenequilt layouts was derived from (layouts.jsonl beside labels/ names them)",
    )  # fmt: skip
    parser.add_argument("--bank", type=Path, required=True, help="folder of the memory bank")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--seed", type=arguments.seed, default=0, metavar="N",
        help="same seed, same bytes (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--variants", type=arguments.positive, default=1, metavar="K",
        help="pictures of each layout, drawn so that they differ (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=arguments.size_hw, metavar="HxW",
        help="bring layouts to this height and width in pixels, by nearest, first",
    )  # fmt: skip
    parser.add_argument(
        "--style", type=Path, metavar="PHOTO",
        help="prefer segments of the light and colour of this photograph",
    )  # fmt: skip
    add_stage_arguments(parser)
    parser.add_argument(
        "--where", action="append", default=[], metavar="EXPR",
        help="use only such segments, e.g. split=train, sequence!=0006R0, licence=CC0-1.0, "
        "area>=200, cut=no; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--search", choices=["auto", "exact", "faiss"], default="auto",
        help="how the bank is searched (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--k", type=arguments.positive, metavar="N", help="candidates looked at for each region"
    )
    parser.add_argument(
        "--classes", type=Path, metavar="FILE",
        help="classes.json with the meaning of the layouts' values, if they are not the bank's; "
        "classes are matched by name",
    )  # fmt: skip
    parser.add_argument(
        "--repair", choices=["none", "nearest"], default="none",
        help="nearest: take the nearest class where a value is none (default: %(default)s)",
    )  # fmt: skip
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", action="store_true", help="go on with a run that was broken off in --out"
    )
    again.add_argument("--force", action="store_true", help="replace the earlier run in --out")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.set_defaults(run=run_compose)


def run_compose(args: argparse.Namespace) -> Outcome:
    """Compose every layout and write the run's folder.

    Returns:
        Status 1 if a layout was left out, or a class had no segment; the text names them.
    """
    from scenequilt.tools.layout_files import find_layout_files
    from scenequilt.tools.output.recipe import ComposeChoices
    from scenequilt.tools.output.run import RunRequest, write_run
    from scenequilt.tools.output.run_folder import RESERVED_NAMES
    from scenequilt.tools.progress import progress_bar

    stages = stages_of(args)
    request = RunRequest(
        layouts=tuple(
            find_layout_files(
                args.layouts, split=args.split, reserved=RESERVED_NAMES, outside=args.out
            )[: args.limit]
        ),
        bank=args.bank,
        choices=ComposeChoices(
            seed=args.seed,
            variants=args.variants,
            size_hw=args.size,
            **stages.choices,
            where=tuple(args.where),
            search=args.search,
            k=args.k,
            repair=args.repair,
            exclude_own=args.exclude_own,
        ),
        classes=args.classes,
        style=args.style,
        weights=stages.weights,
    )
    with progress_bar("composing", "pictures") as progress:
        report = write_run(
            request, args.out, force=args.force, resume=args.resume, progress=progress
        )
    status = 1 if report.failures or report.open_classes() else 0
    if args.json:
        return Outcome(json.dumps(report.as_json(args.out), indent=1), status)
    return Outcome(run_in_words(request, report, args.out), status)


def run_in_words(request: "RunRequest", report: "RunReport", out: Path) -> str:
    """Return what came of a run, for a person."""
    pictures = len(report.rows)
    choices = request.choices
    lines = [
        f"{_count(pictures, 'picture')} of {_count(len(request.layouts), 'layout')} in "
        f"{report.seconds:.1f} s"
        + (f", {report.kept} of them kept from the earlier run" if report.kept else "")
    ]
    coverage, agreement, diversity = (
        report.mean("coverage"),
        report.mean("agreement"),
        report.diversity(),
    )
    if coverage is not None and agreement is not None:
        lines += [
            f"  covered before filling  {100 * coverage:5.1f} %   mean over the pictures, of what is not void",
            f"  agrees with the layout  {100 * agreement:5.1f} %",
            f"  photographs used        {len(report.sources()):5d}",
            f"  seconds a picture       {report.median_seconds()['all']:5.2f}     median",
            f"  memory at most          {report.peak_memory_bytes / 2**20:5.0f} MiB",
        ]
    if diversity is not None:
        lines.append(
            f"  variants differ by      {diversity['lab_difference']:5.1f} units of Lab, "
            f"{diversity['dissimilarity']:.2f} of structure (1 - SSIM), and in "
            f"{100 * diversity['unshared_sources']:.0f} % of their photographs"
        )
    lines.append(
        f"stages: align {choices.align}, order {choices.order}, finish {choices.finish}"
        + ("" if choices.learned else " (no weights needed)")
    )
    if report.fed_by_own():
        lines.append(
            f"{report.fed_by_own()} of these layouts are of photographs in the bank, or derived from "
            "such, and mostly get them back: leave those out with --exclude-own"
        )
    derived = report.derived_instances()
    if derived:
        lines.append(
            f"{_count(derived, 'layout')} without an instance map: things that touch count as one"
        )
    by_reason: dict[str, list[str]] = {}
    for name, reason in report.open_classes().items():
        by_reason.setdefault(reason, []).append(name)
    for reason, names in by_reason.items():
        lines.append(f"left without a segment: {', '.join(names)} ({reason})")
    if report.failures:
        lines.append(f"{_count(len(report.failures), 'layout')} left out, see failures.csv:")
        lines += [f"  {message}" for _, message in report.failures]
    lines += [
        f"page           {(out / 'index.html').resolve()}",
        f"contact sheet  {(out / 'contact_sheet.png').resolve()}",
    ]
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
