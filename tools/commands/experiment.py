"""The command experiment: whether compositions are of use."""

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.arguments import FAVOR, favor, positive, seed, size_hw
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    from scenequilt.tools.experiments.augment import AugmentResult, AugmentSetting
    from scenequilt.tools.progress import Progress
    from scenequilt.tools.training.segmenter import SegmenterSettings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

TRIED = 8
"""Photographs that a few throw-away steps are taken on before anything is written."""


def add_experiment_command(commands: "Commands") -> None:
    """Add the parsers of the command and its experiments."""
    parser = commands.add_parser(
        "experiment",
        help="ask whether compositions are of use",
        description="Experiments whose answer may be no.",
    )
    experiments = parser.add_subparsers(title="experiments", metavar="EXPERIMENT", required=True)
    _add_augment(experiments)


def _add_augment(experiments: "Commands") -> None:
    parser = experiments.add_parser(
        "augment",
        help="train a segmenter on photographs, with copy-paste, and with compositions",
        description="Train the segmenter on real photographs, on these and random copy-paste, and "
        "on these and compositions of new layouts with their delivered labels: the same network, "
        "steps and seeds, as many added pictures, of the same things. Test on real photographs "
        "that neither bank nor training have seen. Writes experiment.json, experiment.md, "
        "examples.png, the added pictures as datasets, and one file a training.",
    )
    parser.add_argument("--dataset", type=Path, required=True, metavar="D", help="its folder")
    parser.add_argument(
        "--bank", type=Path, required=True, metavar="B",
        help="bank of the photographs that are trained on",
    )  # fmt: skip
    parser.add_argument("--reader", metavar="FORM", help="form of the dataset, if not recognised")
    parser.add_argument(
        "--split", metavar="S", help="train on this split (default: on all that is not tested on)"
    )
    parser.add_argument(
        "--hold-out-sequence", action="append", default=[], metavar="X",
        help="test on this film or drive, whatever its split; may be given several times",
    )  # fmt: skip
    parser.add_argument("--test-split", metavar="S", help="test on this split instead")
    parser.add_argument(
        "--count", type=positive, metavar="N",
        help="added pictures of each kind (default: as many as photographs)",
    )  # fmt: skip
    parser.add_argument(
        "--share", type=float, default=0.5, metavar="P",
        help="share of added pictures in what a training sees (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--favor", action="append", default=[], type=favor, metavar="CLASS[=W]",
        help=f"insert this class W times as often into layouts, {FAVOR:g} times without W; may be "
        "given several times",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=positive, default=2000, metavar="N",
        help="of each training (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--batch", type=positive, default=8, metavar="N",
        help="pieces of pictures a step (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--crop", type=size_hw, metavar="HxW",
        help="size of a piece in pixels (default: two thirds of the photographs')",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=_seeds, default=(0, 1, 2), metavar="LIST",
        help="of the trainings, one of each arm a seed (default: 0,1,2)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N",
        help="of layouts, compositions and pasting (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--device", default="cpu", help="cpu, cuda, ... (default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("experiment"), metavar="DIR",
        help="folder to write (default: %(default)s)",
    )  # fmt: skip
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with the experiment in --out")
    again.add_argument("--force", action="store_true", help="begin the experiment in --out anew")
    parser.add_argument(
        "--dry-run", action="store_true",
        help="check everything, take a few steps, say how long it will take, and write nothing",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.set_defaults(run=run_augment_command)


def run_augment_command(args: argparse.Namespace) -> Outcome:
    """Run the experiment and write its report.

    Returns:
        Status 1 if a layout could not be composed; the text names the first.
    """
    from scenequilt.tools.evaluation.allocator import keep_freed_buffers
    from scenequilt.tools.experiments.augment import AugmentRequest, look_at, run_augment
    from scenequilt.tools.experiments.augment_report import write_report
    from scenequilt.tools.experiments.segmenter_trainer import SegmenterTrainer
    from scenequilt.tools.training.segmenter import SegmenterSettings, plan_training
    from scenequilt.tools.training.segmenter_samples import DatasetSamples

    settings = SegmenterSettings(total_steps=args.steps, batch_size=args.batch, crop_hw=args.crop)
    request = AugmentRequest(
        dataset=args.dataset,
        bank=args.bank,
        reader=args.reader,
        split=args.split,
        hold_out_sequences=tuple(args.hold_out_sequence),
        test_split=args.test_split,
        count=args.count,
        share=args.share,
        seeds=args.seeds,
        seed=args.seed,
        favor=dict(args.favor),
    )
    setting = look_at(request)
    for name in request.favor or {}:
        setting.reader.taxonomy.class_id(name)
    keep_freed_buffers()
    if args.dry_run:
        return _dry_run(setting, settings, args)
    table = settings.as_json()
    # Each training has its own.
    del table["seed"]
    # A crop or a device that cannot be used is found now, not after all pictures have been made.
    plan_training(
        DatasetSamples(setting.reader, setting.training[:TRIED]),
        setting.reader.taxonomy,
        settings=settings,
        device=args.device,
    )
    try:
        with _bars() as say:
            trainer = SegmenterTrainer(
                setting.reader.taxonomy, args.out / "runs", settings, args.device, say
            )
            result = run_augment(
                setting,
                args.out,
                trainer,
                training={**table, "device": args.device},
                resume=args.resume,
                force=args.force,
                say=say,
            )
    except KeyboardInterrupt:
        return Outcome(f"stopped; go on with the same command and --resume ({args.out})", 130)
    write_report(result, args.out)
    status = 1 if result.added.failures else 0
    if args.json:
        return Outcome((args.out / "experiment.json").read_text(encoding="utf-8").strip(), status)
    return Outcome(_in_words(result, args.out), status)


def _dry_run(
    setting: "AugmentSetting", settings: "SegmenterSettings", args: argparse.Namespace
) -> Outcome:
    from scenequilt.tools.experiments.augment import ARMS
    from scenequilt.tools.training.segmenter import plan_training
    from scenequilt.tools.training.segmenter_samples import DatasetSamples

    samples = DatasetSamples(setting.reader, setting.training)
    plan = plan_training(samples, setting.reader.taxonomy, settings=settings, device=args.device)
    trainings = len(ARMS) * len(args.seeds)
    seconds = trainings * plan.seconds_a_step * settings.total_steps
    table = {
        "trained_on": len(setting.training),
        "tested_on": len(setting.testing),
        "added_pictures": setting.count,
        "trainings": trainings,
        "steps": settings.total_steps,
        "seconds_a_step": plan.seconds_a_step,
        "training_seconds": seconds,
        "warnings": list(setting.warnings),
    }
    if args.json:
        return Outcome(json.dumps(table, indent=1))
    photographs = f"{len(setting.training)} photographs to train on, {len(setting.testing)} to test"
    lines = [f"{photographs} on, {setting.count} added pictures of each kind"]
    lines.append(
        f"{trainings} trainings of {settings.total_steps} steps, {plan.seconds_a_step:.2f} s a "
        f"step here: about {seconds / 3600:.1f} hours, and the compositions"
    )
    lines += [f"warning: {warning}" for warning in setting.warnings]
    return Outcome("\n".join(lines))


def _in_words(result: "AugmentResult", out: Path) -> str:
    from scenequilt.tools.experiments.augment_report import finding

    lines = [*finding(result), *(f"warning: {warning}" for warning in result.warnings)]
    lines += [
        f"tables    {(out / 'experiment.md').resolve()}",
        f"examples  {(out / 'examples.png').resolve()}",
    ]
    return "\n".join(lines)


@contextmanager
def _bars() -> "Iterator[Callable[[str], Progress]]":
    """Show one bar after the other; what is yielded begins the next one."""
    from scenequilt.tools.progress import progress_bar

    with ExitStack() as last:

        def say(doing: str) -> "Progress":
            last.close()
            unit = "steps" if doing.startswith("training") else "pictures"
            return last.enter_context(progress_bar(doing, unit))

        yield say


def _seeds(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of seeds; give whole numbers of at least 0, e.g. 0,1,2"
        )
    return tuple(int(part) for part in parts)
