"""The command bench ordering: how often each orderer is right about who is in front."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_ordering_benchmark(benchmarks: "Commands") -> None:
    """Add the benchmark to those of the command bench."""
    parser = benchmarks.add_parser(
        "ordering",
        help="ask each orderer who is in front, where depth or occlusion is known",
        description="Ask the class order, the closed form and a trained network which of two "
        "neighbouring regions is in front, on photographs whose depth or exact occlusion is known, "
        "and order whole layouts: how often each is right, how well its probabilities are "
        "calibrated, and how many cycles were met.",
    )
    parser.add_argument("datasets", type=Path, nargs="+", help="folders of datasets")
    parser.add_argument(
        "--orderer", type=Path, action="append", default=[], metavar="FILE.safetensors",
        help="weights of an ordering network, for the dataset of its classes; may be given often",
    )  # fmt: skip
    parser.add_argument(
        "--depth", type=Path, metavar="FILE.safetensors",
        help="weights of a depth network, whose depth the closed form then goes by as well",
    )  # fmt: skip
    parser.add_argument("--split", metavar="S", help="photographs of this split only")
    parser.add_argument(
        "--last", type=int, default=0, metavar="N",
        help="the last N of them by name only, a block that no training saw; 0: all "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--min-area", type=float, default=0.76, metavar="PERCENT",
        help="leave out regions of a smaller share of the picture (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=run_ordering_benchmark)


def run_ordering_benchmark(args: argparse.Namespace) -> Outcome:
    """Run the benchmark.

    Raises:
        CheckpointError: If weights cannot be read.
        DatasetError: If a dataset cannot be read.
        ValueError: If a number is out of range, a network fits none of the datasets, or nothing is
            known of any pair.
    """
    if args.last < 0 or not 0 <= args.min_area < 100:
        raise ValueError(
            f"--last is {args.last}, expected at least 0; --min-area is {args.min_area}, expected "
            "0 to below 100"
        )
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.ordering.depth_network import NetworkDepth
    from scenequilt.tools.benchmarks.ordering import measure_ordering
    from scenequilt.tools.progress import progress_bar
    from scenequilt.tools.training.checkpoint import read_checkpoint
    from scenequilt.tools.training.jobs import depth, orderer

    networks = {path: orderer.restore_orderer(read_checkpoint(path)) for path in args.orderer}
    readers = {folder: open_dataset(folder) for folder in args.datasets}
    source = None
    if args.depth is not None:
        source = NetworkDepth(depth.restore(read_checkpoint(args.depth)))
    fitting = {
        folder: [path for path, each in networks.items() if each.knows(reader.taxonomy)]
        for folder, reader in readers.items()
    }
    idle = set(networks) - {path for paths in fitting.values() for path in paths}
    if idle:
        raise ValueError(
            f"{min(idle)} was trained on the classes of none of the datasets; leave it out, or add "
            "its dataset"
        )
    crowded = [folder for folder, paths in fitting.items() if len(paths) > 1]
    if crowded:
        raise ValueError(
            f"{crowded[0]} has {len(fitting[crowded[0]])} networks of its classes; give one"
        )
    figures = []
    for folder, reader in readers.items():
        entries = reader.entries(args.split)[-args.last :]
        paths = fitting[folder]
        with progress_bar(f"ordering {folder.name}", "photographs") as progress:
            figures.append(
                measure_ordering(
                    reader,
                    entries,
                    network=networks[paths[0]].network if paths else None,
                    depth=source,
                    min_area_share=args.min_area / 100,
                    described={
                        "name": folder.name,
                        "split": args.split or "all",
                        "from": entries[0].source_id,
                        "to": entries[-1].source_id,
                        "weights": paths[0].name if paths else "none",
                    },
                    progress=progress,
                )
            )
    if args.json:
        return Outcome(json.dumps([each.as_json() for each in figures], indent=1))
    return Outcome("\n\n\n".join(each.as_text() for each in figures))
