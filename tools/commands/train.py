"""scenequilt train: train a network on labelled photographs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.arguments import positive, seed, size_hw
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    from scenequilt.tools.evaluation.results import SegmentationScore
    from scenequilt.tools.training.segmenter import SegmenterSettings, TrainingPlan

_READERS = "plain, rgb_masks, cityscapes, ade20k, coco_panoptic, coco_stuff, voc"


def add_train_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parsers of the command and of every network it trains."""
    parser = commands.add_parser(
        "train",
        help="train a network on labelled photographs",
        description="Train a network. A run that was broken off is gone on with by --resume, and "
        "ends in the same weights.",
    )
    networks = parser.add_subparsers(title="networks", metavar="NETWORK", required=True)
    _add_segmenter(networks)


def _add_segmenter(networks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = networks.add_parser(
        "segmenter",
        help="the network that says which class every pixel is",
        description="Train CGNet on a dataset. Beside FILE.safetensors lies FILE.log.jsonl, and "
        "until the end FILE.resume.safetensors, from which --resume goes on. Leaves with 0 if the "
        "weights are written, 2 if refused, 130 if stopped from the keyboard.",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder of the photographs")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.safetensors", help="file to write"
    )
    parser.add_argument(
        "--reader", metavar="F", help=f"form of the dataset: {_READERS} (default: found out)"
    )
    parser.add_argument(
        "--split", metavar="S",
        help="train on this split only, e.g. train (default: on all but that of --validate-split)",
    )  # fmt: skip
    parser.add_argument(
        "--exclude-sequence", action="append", default=[], metavar="X",
        help="leave this sequence out; may be repeated",
    )  # fmt: skip
    tried = parser.add_mutually_exclusive_group()
    tried.add_argument("--validate-split", metavar="S", help="try the network on this split")
    tried.add_argument(
        "--validate-sequence", metavar="X",
        help="try the network on this sequence, whatever its split, and do not train on it",
    )  # fmt: skip
    parser.add_argument(
        "--validate-every", type=positive, metavar="N",
        help="try it every N steps too (default: at the end only)",
    )  # fmt: skip
    parser.add_argument(
        "--repair", choices=("none", "nearest"), default="none",
        help="label values that are no class: refuse the file, or take the nearest class "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--steps", type=positive, metavar="N", help="length of the training (default: 2000)"
    )
    parser.add_argument(
        "--batch", type=positive, metavar="N", help="pieces of photographs a step (default: 8)"
    )
    parser.add_argument(
        "--crop", type=size_hw, metavar="HxW",
        help="height and width of a piece in pixels (default: two thirds of most photographs')",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=seed, metavar="N", help="same seed, same weights (default: 0)"
    )
    parser.add_argument(
        "--device", default="cpu", metavar="D", help="cpu, cuda, cuda:1, ... (default: %(default)s)"
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with a run that was broken off")
    again.add_argument("--force", action="store_true", help="replace FILE and any unfinished run")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what it would do and take, and write nothing"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run_train_segmenter)


def run_train_segmenter(args: argparse.Namespace) -> Outcome:
    """Train a segmenter, or say what that would take.

    Raises:
        CheckpointError: If a run of other settings or photographs is to be gone on with.
        DatasetError: If there is no such split or sequence, or a file cannot be read.
        ValueError: If the file must not be written, a setting does not fit the photographs, or
            torch is not installed.
    """
    missing = [name for name in ("torch", "safetensors") if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"training needs {' and '.join(missing)}; install with: pip install "
            "'scenequilt[training]'"
        )
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.tools.evaluation.allocator import keep_freed_buffers
    from scenequilt.tools.progress import progress_bar
    from scenequilt.tools.training.segmenter import (
        check_out,
        log_path,
        plan_training,
        state_path,
        train_segmenter,
        unfinished_steps,
    )
    from scenequilt.tools.training.segmenter_samples import (
        CheckedSamples,
        DatasetSamples,
        divide_entries,
    )

    keep_freed_buffers()
    check_out(args.out, resume=args.resume, force=args.force)
    settings = _settings(args)
    reader = open_dataset(args.dataset, args.reader, repair=args.repair)
    training, held_out = divide_entries(
        reader,
        split=args.split,
        exclude_sequence=args.exclude_sequence,
        validate_split=args.validate_split,
        validate_sequence=args.validate_sequence,
    )
    classes = len(reader.taxonomy)
    samples = CheckedSamples(DatasetSamples(reader, training), classes)
    validation = CheckedSamples(DatasetSamples(reader, held_out), classes) if held_out else None
    with progress_bar("reading", "photographs") as progress:
        plan = plan_training(
            samples,
            reader.taxonomy,
            settings=settings,
            validation=validation,
            steps_done=unfinished_steps(args.out) if args.resume else 0,
            device=args.device,
            progress=progress,
        )
    if args.dry_run:
        text = json.dumps(plan.as_json()) if args.json else plan_in_words(plan)
        return Outcome(text if args.json else f"{text}\nnothing was written")
    print(plan_in_words(plan), file=sys.stderr, flush=True)

    started = time.perf_counter()
    try:
        with progress_bar("training", "steps") as progress:
            trained = train_segmenter(
                samples,
                reader.taxonomy,
                args.out,
                settings=settings,
                validation=validation,
                origin={
                    "dataset": args.dataset.resolve().name,
                    "form": reader.form,
                    "split": args.split,
                    "excluded_sequences": sorted(args.exclude_sequence),
                    "validation_split": args.validate_split,
                    "validation_sequence": args.validate_sequence,
                },
                validate_every=args.validate_every,
                resume=args.resume,
                force=args.force,
                device=args.device,
                progress=progress,
            )
    except KeyboardInterrupt:
        if state_path(args.out).is_file():
            print(
                f"scenequilt: stopped after step {unfinished_steps(args.out)} of "
                f"{settings.total_steps}; go on with the same command and --resume",
                file=sys.stderr,
            )
        raise
    seconds = time.perf_counter() - started
    if args.json:
        table = {
            "out": str(args.out),
            "log": str(log_path(args.out)),
            "sha256": trained.sha256,
            "bytes": args.out.stat().st_size,
            "seconds": round(seconds, 3),
            "plan": plan.as_json(),
            "validation": None if trained.validation is None else asdict(trained.validation),
        }
        return Outcome(json.dumps(table))
    lines = [
        (
            f"{args.out}: {trained.network} of {trained.classes} classes after "
            f"{settings.total_steps} steps, {args.out.stat().st_size / 2**20:.1f} MiB, in "
            f"{_duration(seconds)}"
        ),
        f"log {log_path(args.out)}",
    ]
    if trained.validation is not None:
        lines += _score_lines(trained.validation, plan.validation_photographs)
    return Outcome("\n".join(lines))


def plan_in_words(plan: TrainingPlan) -> str:
    """Return what a training is going to be, for a person."""
    from scenequilt.tools.evaluation.sizes import in_words

    survey, settings = plan.survey, plan.settings
    assert settings.crop_hw is not None
    counted = zip(plan.taxonomy.classes, survey.class_pixels, strict=True)
    unseen = [entry.name for entry, pixels in counted if pixels == 0]
    absent = f"; in no photograph: {', '.join(unseen)}" if unseen else ""
    looked = "" if survey.surveyed == survey.photographs else f", {survey.surveyed} looked at"
    steps = (
        f"{settings.total_steps} of {settings.batch_size} pieces of {in_words(settings.crop_hw)}"
    )
    if plan.steps_left < settings.total_steps:
        steps += f", {plan.steps_left} of them left"
    lines = [
        f"cgnet, {plan.parameters:,} parameters, from seed {settings.seed}",
        (
            f"  photographs  {survey.photographs}{looked}, most of them {in_words(survey.size_hw)}, "
            f"{100 * survey.void_share:.1f} % void"
        ),
        f"  classes      {len(plan.taxonomy)} of {plan.taxonomy.name}{absent}",
        f"  steps        {steps}",
        f"  validation   {plan.validation_photographs or 'no'} photographs",
        (
            f"  will take    about {_duration(plan.seconds)} at {plan.seconds_a_step:.2f} s a step, "
            f"and {plan.memory_bytes / 2**20:.0f} MiB of memory"
        ),
    ]
    return "\n".join(lines)


def _score_lines(score: SegmentationScore, photographs: int) -> list[str]:
    bounds = score.mean_iou
    summary = (
        f"mean IoU {bounds.value:.3f} ({bounds.low:.3f} to {bounds.high:.3f} with 95 %), pixel "
        f"accuracy {score.pixel_accuracy:.3f}, on {photographs} photographs it has not seen"
    )
    return [summary, *(f"  {iou:.3f}  {name}" for name, iou in score.iou.items())]


def _settings(args: argparse.Namespace) -> SegmenterSettings:
    from scenequilt.tools.training.segmenter import SegmenterSettings

    given = {
        "total_steps": args.steps,
        "batch_size": args.batch,
        "crop_hw": args.crop,
        "seed": args.seed,
    }
    return SegmenterSettings(**{name: value for name, value in given.items() if value is not None})


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
