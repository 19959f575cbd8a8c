"""The command bench alignment: closed form and learned aligner on photographs the bank leaves out."""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_alignment_benchmark(benchmarks: "Commands") -> None:
    """Add the benchmark to those of the command bench."""
    parser = benchmarks.add_parser(
        "alignment",
        help="how well segments meet their queries: in the frame, in closed form, learned",
        description="Build a bank of a dataset without some photographs, retrieve segments for the "
        "regions of those, and say how far each segment overlaps its region where it stands in "
        "the frame, as the closed form places it and as a learned aligner does, for things and for "
        "stuff, how often the network's answer is kept, and what both cost.",
    )
    parser.add_argument("dataset", type=Path, help="folder of the dataset")
    held_out = parser.add_mutually_exclusive_group(required=True)
    held_out.add_argument(
        "--hold-out", metavar="SEQUENCE",
        help="sequence whose regions are asked for and that the bank leaves out",
    )  # fmt: skip
    held_out.add_argument(
        "--hold-out-last", type=int, default=0, metavar="N",
        help="for datasets without sequences: the last N photographs by name",
    )  # fmt: skip
    parser.add_argument(
        "--aligner", type=Path, metavar="FILE.safetensors",
        help="weights that scenequilt train aligner wrote, trained without what is held out "
        "(default: measure the closed form alone)",
    )  # fmt: skip
    parser.add_argument("--reader", metavar="FORM", help="form of the dataset (default: found out)")
    parser.add_argument("--split", metavar="S", help="take bank and regions from this split only")
    parser.add_argument(
        "--pictures", type=int, default=0, metavar="N",
        help="regions of this many pictures, evenly spread; 0: all (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--candidates", type=int, default=3, metavar="N",
        help="segments of the bank that each region is paired with (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--min-area", type=float, default=0.002, metavar="SHARE",
        help="smaller regions are left out, as a share of the picture (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N",
        help="processes for building the bank (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--work", type=Path, metavar="DIR",
        help="folder for the bank, which must not be there yet and stays (default: a temporary one)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=run_alignment_benchmark)


def run_alignment_benchmark(args: argparse.Namespace) -> Outcome:
    """Run the benchmark.

    Raises:
        CheckpointError: If the weights cannot be read, or are of other classes.
        DatasetError: If the dataset cannot be read or has no such sequence.
        ValueError: If a number is out of range, or torch is not installed.
    """
    import sys
    import tempfile

    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.tools.benchmarks.alignment import measure_alignment
    from scenequilt.tools.learned_stages import load_aligner

    for name, least in (("hold_out_last", 0), ("pictures", 0), ("candidates", 1), ("workers", 1)):
        if getattr(args, name) < least:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} is {getattr(args, name)}, expected at least {least}")
    if not 0 <= args.min_area < 1:
        raise ValueError(f"--min-area is {args.min_area}, expected a share from 0 to 1")
    reader = open_dataset(args.dataset, args.reader)
    aligner = None
    if args.aligner is not None:
        if find_spec("torch") is None:
            raise ValueError(
                "a learned aligner needs torch, which is not installed; install with: pip install "
                "'scenequilt[training]', or leave --aligner out"
            )
        aligner = load_aligner(args.aligner, reader.taxonomy)
    with tempfile.TemporaryDirectory() as temporary:
        figures = measure_alignment(
            reader,
            args.work or Path(temporary),
            aligner,
            split=args.split,
            hold_out=args.hold_out,
            hold_out_last=args.hold_out_last,
            pictures=args.pictures,
            candidates=args.candidates,
            min_area=args.min_area,
            workers=args.workers,
            progress=lambda text: print(text, file=sys.stderr, flush=True),
        )
    return Outcome(json.dumps(figures.as_json(), indent=1) if args.json else figures.as_text())
