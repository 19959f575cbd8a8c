"""The command canvases: simulated canvases, on which a finish is trained."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands import arguments
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    from scenequilt.memory_bank.datasets.interface import Entry

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_canvases_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "canvases",
        help="make simulated canvases, to train a finish on",
        description="Cut photographs up as the segments that a bank has for their layouts would be: "
        "real outlines, colours moved, borders elided, holes. Writes one HDF5 file that holds the "
        "photographs too, all that scenequilt train synthesis needs. Leaves with 0 if all of it "
        "was made, 1 if the bank has nothing for a photograph (named), 2 if refused.",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder of the photographs")
    parser.add_argument("--bank", type=Path, required=True, help="folder of the memory bank")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.h5", help="file to write")
    parser.add_argument("--reader", metavar="F", help="form of the dataset (default: found out)")
    parser.add_argument("--split", metavar="S", help="learn from this split only, e.g. train")
    parser.add_argument(
        "--exclude-sequence", action="append", default=[], metavar="X",
        help="leave this sequence out; may be repeated",
    )  # fmt: skip
    tried = parser.add_mutually_exclusive_group()
    tried.add_argument("--validate-split", metavar="S", help="hold this split out")
    tried.add_argument(
        "--validate-sequence", metavar="X", help="hold this sequence out, whatever its split"
    )
    parser.add_argument(
        "--validate-count", type=arguments.positive, default=24, metavar="N",
        help="photographs held out at most, evenly spread (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--variants", type=arguments.positive, default=3, metavar="K",
        help="canvases of each photograph, of other segments each (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=arguments.size_hw, metavar="HxW",
        help="bring photographs to this height and width in pixels first",
    )  # fmt: skip
    parser.add_argument(
        "--inner-band", type=float, default=0.0125, metavar="SHARE",
        help="reach of the elision inside of segments, of the height (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--outer-band", type=float, default=0.025, metavar="SHARE",
        help="reach of the elision around objects, of the height (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=arguments.seed, default=0, metavar="N",
        help="same seed, same canvases (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=arguments.positive, default=1, metavar="N",
        help="processes (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace FILE.h5")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_canvases)


def run_canvases(args: argparse.Namespace) -> Outcome:
    """Make the canvases of a dataset.

    Returns:
        Status 1 if the bank has nothing for a photograph; the text names it.

    Raises:
        DatasetError: If there is no such split or sequence, or a file cannot be read.
        ValueError: If the file must not be written.
    """
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.synthesis.canvas_making import CanvasMaking, make_canvases
    from scenequilt.synthesis.elision import ElisionSettings
    from scenequilt.synthesis.stencil import StencilSettings
    from scenequilt.tools.progress import progress_bar
    from scenequilt.tools.training.segmenter_samples import divide_entries

    if args.out.exists() and not args.force:
        raise ValueError(f"{args.out} exists; give another name, or replace it by --force")
    if not args.out.parent.is_dir():
        raise ValueError(f"{args.out.parent} is no folder; make it first")
    reader = open_dataset(args.dataset, args.reader)
    training, held_out = divide_entries(
        reader,
        split=args.split,
        exclude_sequence=args.exclude_sequence,
        validate_split=args.validate_split,
        validate_sequence=args.validate_sequence,
    )
    held_out = _evenly_spread(held_out, args.validate_count)
    making = CanvasMaking(
        variants=args.variants,
        size_hw=args.size,
        seed=args.seed,
        stencil=StencilSettings(
            elision=ElisionSettings(inner_band=args.inner_band, outer_band=args.outer_band)
        ),
    )
    with progress_bar("simulating", "photographs") as progress:
        count, left_out = make_canvases(
            reader,
            training,
            held_out,
            args.bank,
            args.out,
            making,
            workers=args.workers,
            progress=progress,
        )
    size_bytes = args.out.stat().st_size
    tried = sum(entry.source_id not in left_out for entry in held_out)
    if args.json:
        table = {
            "out": str(args.out),
            "canvases": count,
            "held_out": tried,
            "left_out": left_out,
            "bytes": size_bytes,
        }
        return Outcome(json.dumps(table), 1 if left_out else 0)
    lines = [
        (
            f"{args.out}: {count} canvases of {len(training) + len(held_out) - len(left_out)} "
            f"photographs, {tried} of them held out, {size_bytes / 1e6:.0f} MB"
        )
    ]
    if left_out:
        lines.append(f"the bank has nothing for: {', '.join(left_out)}")
    return Outcome("\n".join(lines), 1 if left_out else 0)


def _evenly_spread(entries: "list[Entry]", count: int) -> "list[Entry]":
    if len(entries) <= count:
        return entries
    return [entries[number * len(entries) // count] for number in range(count)]
