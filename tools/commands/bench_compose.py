"""The command bench compose: time, coverage and agreement on streets that the bank does not know."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands import arguments
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_compose_benchmark(benchmarks: "Commands") -> None:
    """Add the benchmark to those of the command bench."""
    parser = benchmarks.add_parser(
        "compose",
        help="compose the layouts of one sequence from a bank of the others",
        description="Build a bank of a dataset without one sequence, compose the layouts of that "
        "sequence, and say how long it takes, stage by stage, and to change one segment of a "
        "picture, how much of a layout is covered before anything is filled, and how far the "
        "picture agrees with it; beside the same figures of the simplest "
        "compositor (nearest segments where they stood, plain inpainting), in the same run.",
    )
    parser.add_argument("dataset", type=Path, help="folder of the dataset")
    parser.add_argument(
        "--hold-out", required=True, metavar="SEQUENCE",
        help="sequence that is composed and that the bank leaves out",
    )  # fmt: skip
    parser.add_argument("--reader", metavar="FORM", help="form of the dataset (default: found out)")
    parser.add_argument("--split", metavar="S", help="take bank and layouts from this split only")
    parser.add_argument(
        "--pictures", type=int, default=0, metavar="N",
        help="compose this many of the layouts, evenly spread; 0: all (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=arguments.size_hw, metavar="HxW",
        help="bring the layouts to this size in pixels (default: their own)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N",
        help="processes for building the bank (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--work", type=Path, metavar="DIR",
        help="folder for the bank, which must not be there yet and stays (default: a temporary one)",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=Path, metavar="DIR",
        help="finish by the synthesis network of this folder, and time the full-width network of "
        "the paper beside, its weights drawn at random, both tuned alike",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=run_compose_benchmark)


def run_compose_benchmark(args: argparse.Namespace) -> Outcome:
    """Run the benchmark.

    Raises:
        CheckpointError: If the weights are not there, or of other classes.
        DatasetError: If the dataset cannot be read or has no such sequence.
        ValueError: If a number is negative.
    """
    import sys
    import tempfile

    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.tools.benchmarks.compose import measure_compose

    if args.pictures < 0 or args.workers < 1:
        raise ValueError(
            f"--pictures is {args.pictures}, expected at least 0; "
            f"--workers is {args.workers}, expected at least 1"
        )
    reader = open_dataset(args.dataset, args.reader)
    finish, references = None, None
    if args.weights is not None:
        from scenequilt.tools.benchmarks.synthesis import full_width_network
        from scenequilt.tools.evaluation.allocator import keep_freed_buffers
        from scenequilt.tools.learned_stages import StageWeights, load_finish

        keep_freed_buffers()
        finish = load_finish(StageWeights(args.weights).path("finish"), reader.taxonomy)
        references = {"SIMS synthesis at full width": full_width_network(len(reader.taxonomy))}
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure_compose(
            reader,
            args.work or Path(temporary),
            split=args.split,
            hold_out=args.hold_out,
            pictures=args.pictures,
            workers=args.workers,
            size_hw=args.size,
            finish=finish,
            references=references,
            progress=lambda text: print(text, file=sys.stderr, flush=True),
        )
    return Outcome(json.dumps(figures.as_json(), indent=1) if args.json else figures.as_text())
