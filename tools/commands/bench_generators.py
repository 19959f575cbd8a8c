"""The command bench generators: what a picture costs with each generator."""

import argparse
import json
from typing import TYPE_CHECKING

from scenequilt.tools.commands.arguments import positive, size_hw
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_generators_benchmark(benchmarks: "Commands") -> None:
    """Add the benchmark to those of the command bench."""
    parser = benchmarks.add_parser(
        "generators",
        help="time every generator, in both precisions",
        description="Time one picture of every generator, with weights drawn at random, which cost "
        "what trained ones do: the baselines, and the networks that finish a canvas (what retrieves "
        "and pastes the canvas is no part of their time, see bench compose). Each has a process of "
        "its own, whose most memory is told. Times are beside those of CRN in the same run.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    parser.add_argument(
        "--config", choices=["small", "paper"], default="small",
        help="settings that train on a small machine, or those of the papers (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=size_hw, default=(256, 512), metavar="HxW",
        help="height and width of the pictures in pixels (default: 256x512)",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=positive, default=11, metavar="K", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=positive, default=5, metavar="N",
        help="pictures to time, after one that is not counted (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="of the processor (default: all)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=run_generators_benchmark)


def run_generators_benchmark(args: argparse.Namespace) -> Outcome:
    """Run the benchmark.

    Raises:
        ValueError: If there is no such generator.
    """
    from scenequilt.tools.benchmarks.generators import (
        NAMES,
        generators_in_words,
        measure_generators,
    )
    from scenequilt.tools.progress import progress_bar

    with progress_bar("timing", "rows") as progress:
        found = measure_generators(
            args.names or NAMES,
            config=args.config,
            size_hw=args.size,
            classes=args.classes,
            runs=args.runs,
            threads=args.threads,
            progress=progress,
        )
    return Outcome(
        json.dumps(found.as_json(), indent=1) if args.json else generators_in_words(found)
    )
