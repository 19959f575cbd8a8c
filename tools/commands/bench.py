"""The command bench: figures of this program on this machine, against their bars."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.bench_alignment import add_alignment_benchmark
from scenequilt.tools.commands.bench_compose import add_compose_benchmark
from scenequilt.tools.commands.bench_generators import add_generators_benchmark
from scenequilt.tools.commands.bench_ordering import add_ordering_benchmark
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_bench_command(commands: "Commands") -> None:
    """Add the command to those of the program."""
    parser = commands.add_parser("bench", help="measure stages on this machine")
    benchmarks = parser.add_subparsers(title="benchmarks", metavar="BENCHMARK", required=True)
    add_alignment_benchmark(benchmarks)
    add_compose_benchmark(benchmarks)
    add_generators_benchmark(benchmarks)
    add_ordering_benchmark(benchmarks)
    retrieval = benchmarks.add_parser(
        "retrieval",
        help="time a query against plain NumPy, and on a million segments",
        description="Ask a bank for the segments that fit the regions of some layouts: by exact "
        "search and by FAISS with exact scores, beside the original's search stated in NumPy and "
        "the best that NumPy does over packed bits, in the same run. Then the same on a large bank "
        "made by jittering the real one's layouts. Set OMP_NUM_THREADS=1 for quiet figures.",
    )
    retrieval.add_argument(
        "--bank", type=Path, metavar="BANK",
        help="the real bank (default: one is built of --data, kept in --work)",
    )  # fmt: skip
    retrieval.add_argument(
        "--data", type=Path, metavar="DATASET",
        help="dataset that the queries come from (default: the bank's own photographs)",
    )  # fmt: skip
    retrieval.add_argument("--reader", metavar="FORM", help="form of the dataset (default: found)")
    retrieval.add_argument(
        "--split", default="train", metavar="S", help="split for the bank (default: %(default)s)"
    )
    retrieval.add_argument(
        "--query-split", default="val", metavar="S",
        help="split for the queries (default: %(default)s)",
    )  # fmt: skip
    retrieval.add_argument(
        "--queries", type=int, default=200, metavar="N",
        help="queries, spread over the classes (default: %(default)s)",
    )  # fmt: skip
    retrieval.add_argument(
        "--segments", type=int, default=1_000_000, metavar="N",
        help="size of the large bank, about 2.5 kB a segment on disk; 0 leaves it out "
        "(default: %(default)s)",
    )  # fmt: skip
    retrieval.add_argument(
        "--work", type=Path, metavar="DIR",
        help="folder for the banks, which stay there and are used again (default: a temporary one)",
    )  # fmt: skip
    retrieval.add_argument("--json", action="store_true", help="print the figures as JSON")
    retrieval.set_defaults(run=run_retrieval_benchmark)


def run_retrieval_benchmark(args: argparse.Namespace) -> Outcome:
    """Measure retrieval.

    Raises:
        ValueError: If neither bank nor dataset is given, or a number is out of range.
        BankError: If the bank cannot be opened.
        DatasetError: If the dataset cannot be read.
    """
    import sys
    import tempfile

    from scenequilt.tools.benchmarks.retrieval import (
        ensure_bank,
        layouts_of_bank,
        layouts_of_dataset,
        measure_retrieval,
    )
    from scenequilt.tools.progress import progress_bar

    if args.bank is None and args.data is None:
        raise ValueError("nothing to measure on; name a bank (--bank) or a dataset (--data)")
    if args.queries < 1 or args.segments < 0:
        raise ValueError(
            f"--queries is {args.queries}, expected at least 1; "
            f"--segments is {args.segments}, expected at least 0"
        )

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        bank = args.bank
        if bank is None:
            bank = ensure_bank(args.data, work, reader=args.reader, split=args.split, tell=tell)
        if args.data is None:
            layouts = layouts_of_bank(bank)
        else:
            layouts = layouts_of_dataset(args.data, reader=args.reader, split=args.query_split)
        with progress_bar("jittering", "segments") as progress:
            figures = measure_retrieval(
                bank,
                layouts,
                work,
                queries=args.queries,
                segments=args.segments,
                tell=tell,
                progress=progress,
            )
    return Outcome(json.dumps(figures.as_json(), indent=1) if args.json else figures.as_text())
