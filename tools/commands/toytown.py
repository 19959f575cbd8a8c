"""The command toytown: write pictures of a street world of our own, with labels."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.arguments import size_hw
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_toytown_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "toytown",
        help="write a dataset of rendered streets with labels, instances, depth and occlusion",
        description="Write pictures of a street world of our own as a plain dataset folder: "
        "photographs, label maps, instance maps, depth and the exact occlusion order. "
        "The same seed gives the same pictures.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--count", type=int, default=40, metavar="N", help="pictures (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="0 or more (default: %(default)s)"
    )
    parser.add_argument(
        "--size",
        type=size_hw,
        default="256x512",
        metavar="HxW",
        help="height x width in pixels (default: %(default)s)",
    )
    parser.set_defaults(run=run_toytown)


def run_toytown(args: argparse.Namespace) -> Outcome:
    """Write the dataset and say what it is."""
    from scenequilt.memory_bank.toytown import write_dataset
    from scenequilt.tools.progress import progress_bar

    with progress_bar("drawing", "pictures") as update:
        summary = write_dataset(
            args.out,
            count=args.count,
            seed=args.seed,
            size_hw=args.size,
            progress=update,
        )
    height, width = args.size
    return Outcome(
        f"{summary.folder}: {summary.train + summary.val} pictures of {height}x{width} from "
        f"{summary.sequences} towns, {summary.train} train and {summary.val} val\n"
        f"  with labels, instances, depth and occlusion order; licence CC0-1.0, seed {args.seed}"
    )
