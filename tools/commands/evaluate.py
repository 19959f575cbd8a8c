"""The command evaluate: figures of any system's pictures, beside calibration rows."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.arguments import positive, seed, size_hw
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_evaluate_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="judge pictures of any system against layouts and photographs",
        description="Judge pictures by what a segmenter sees in them, by their distance to "
        "photographs, by spectrum, seams and provenance, beside rows that show what the figures "
        "mean: the photographs themselves, the nearest photograph copied whole, random segments of "
        "the right class, photographs through JPEG. Writes report.html, report.md and metrics.json. "
        "Everything is checked before anything is measured; what there is no network or photograph "
        "for is named as not measured. Leaves with 0 if every picture was judged, 1 if --partial "
        "left something out (it is named), 2 if refused.",
    )
    parser.add_argument(
        "--generated", type=Path, nargs="+", action="extend", required=True, metavar="DIR",
        help="pictures named as the label maps (NAME.png, or NAME/00.png, NAME/01.png for variants), "
        "or a run of compose; several systems of the same layouts make one table",
    )  # fmt: skip
    parser.add_argument(
        "--name", nargs="+", action="extend", default=[], metavar="NAME",
        help="of the systems in the table, one a folder (default: the folders' names)",
    )  # fmt: skip
    parser.add_argument(
        "--real", type=Path, metavar="DIR",
        help="the photographs of the layouts, named alike: a folder, or that of a dataset",
    )  # fmt: skip
    parser.add_argument(
        "--labels", type=Path, metavar="DIR",
        help="the label maps that were asked for; of a dataset those that have a picture, of a "
        "folder all (default: those of the run, or of the dataset)",
    )  # fmt: skip
    parser.add_argument(
        "--classes", type=Path, metavar="FILE",
        help="classes.json of the label maps (default: that in or beside their folder, else that of "
        "the run or of the dataset)",
    )  # fmt: skip
    parser.add_argument(
        "--segmenter", type=Path, action="append", default=[], metavar="FILE",
        help="weights of a segmenter (.safetensors of train segmenter, CGNet's .pth, TorchScript, "
        "ONNX); may be given several times, figures are quoted with the first",
    )  # fmt: skip
    parser.add_argument(
        "--weights", type=Path, metavar="PATH",
        help="folder or file of further networks: VGG-16 or AlexNet with LPIPS heads (.npz), Inception-v3, "
        "EfficientNet, segmenters; what each file is shows in its content",
    )  # fmt: skip
    parser.add_argument(
        "--bank", type=Path, metavar="BANK",
        help="bank that nearest photographs and random segments come from (default: the other "
        "photographs of --real)",
    )  # fmt: skip
    parser.add_argument(
        "--bank-photographs", type=Path, metavar="DIR",
        help="folder of the bank's photographs, if they are not where they were",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--size", type=size_hw, metavar="HxW",
        help="bring everything to this height and width in pixels first (default: the label maps')",
    )  # fmt: skip
    parser.add_argument(
        "--partial", action="store_true",
        help="go on with the pairs that there are, and name what is left out",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N",
        help="of halves, resampling and random segments (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=positive, default=1, metavar="N",
        help="layouts that go through a network together; figures do not depend on it (default: "
        "%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=positive, metavar="N",
        help="threads; figures do not depend on it (default: one a processor)",
    )  # fmt: skip
    parser.add_argument(
        "--shown", type=int, default=4, metavar="N",
        help="pictures shown as the worst and as the best (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--force", action="store_true", help="replace an earlier report in --out")
    parser.add_argument("--json", action="store_true", help="print metrics.json instead of a table")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> Outcome:
    """Judge the pictures and write the report.

    Returns:
        Status 1 if something was left out; the text names it.
    """
    from scenequilt.tools.evaluation.allocator import keep_freed_buffers
    from scenequilt.tools.evaluation.report.words import evaluation_in_words
    from scenequilt.tools.evaluation.report.write import (
        metrics_json,
        refuse_other_folder,
        try_folder,
        write_report,
    )
    from scenequilt.tools.evaluation.run import EvaluationRequest, run_evaluation
    from scenequilt.tools.progress import progress_bars

    request = EvaluationRequest(
        generated=tuple(args.generated),
        names=tuple(args.name),
        real=args.real,
        labels=args.labels,
        classes=args.classes,
        segmenters=tuple(args.segmenter),
        weights=args.weights,
        bank=args.bank,
        bank_photographs=args.bank_photographs,
        size_hw=args.size,
        partial=args.partial,
        seed=args.seed,
        batch=args.batch,
        workers=args.workers,
        shown=args.shown,
    )
    refuse_other_folder(args.out, force=args.force)
    try_folder(args.out)
    keep_freed_buffers()
    with progress_bars("items") as progress:
        result = run_evaluation(request, progress=progress)
    write_report(args.out, result.evaluation, result.gallery, result.taxonomy, force=args.force)
    status = 1 if result.evaluation.left_out else 0
    if args.json:
        return Outcome(metrics_json(result.evaluation).rstrip("\n"), status)
    return Outcome(evaluation_in_words(result.evaluation, args.out), status)
