"""scenequilt train: train any network of the program."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenequilt.tools.commands.arguments import positive, seed, size_hw
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.settings import Override, find_config, parse_override, read_tables
from scenequilt.tools.training.registry import INPUTS, JOBS, JobEntry, JobModule, load_job

if TYPE_CHECKING:
    from scenequilt.tools.training.job import TrainingJob
    from scenequilt.tools.training.ranks import Ranks
    from scenequilt.tools.training.request import TrainingRequest
    from scenequilt.tools.training.trainer import TrainedNetwork, TrainingSettings

_READERS = "plain, rgb_masks, cityscapes, ade20k, coco_panoptic, coco_stuff, voc"

_FILES = """
Beside FILE.safetensors lies FILE.log.jsonl, with --sheet-every the folder FILE.sheets, and until the
end FILE.resume.safetensors, from which --resume goes on. Several processes train together under
torchrun --nproc-per-node N --no-python scenequilt train ... Leaves with 0 if the weights are
written, 2 if refused, 130 if stopped from the keyboard."""


def add_train_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parsers of the command and of every network it trains."""
    parser = commands.add_parser(
        "train",
        help="train a network",
        description="Train a network. A run that was broken off is gone on with by --resume, and "
        "ends in the same weights.",
    )
    networks = parser.add_subparsers(title="networks", metavar="NETWORK", required=True)
    for name, entry in JOBS.items():
        _add_network(networks, name, entry)


def _add_network(
    networks: argparse._SubParsersAction[argparse.ArgumentParser], name: str, entry: JobEntry
) -> None:
    parser = networks.add_parser(
        name, help=entry.help, description=f"Train {entry.help}.", epilog=_FILES
    )
    parser.set_defaults(run=run_train, network=name)
    if entry.dataset:
        _add_dataset_arguments(parser)
    for option in sorted((entry.needs | entry.takes) - {"depth"}):
        needed = option in entry.needs
        parser.add_argument(
            f"--{option}", type=Path, required=needed, metavar="PATH",
            help=INPUTS[option] + ("" if needed else " (default: none)"),
        )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.safetensors", help="file to write"
    )
    settings = parser.add_argument_group("settings")
    settings.add_argument(
        "--config", default=entry.config, metavar="FILE.toml",
        help="file of settings, or the name of one that comes with the program "
        "(default: %(default)s)",
    )  # fmt: skip
    settings.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE",
        help="replace a setting of the file, e.g. training.rate=1e-4; may be repeated",
    )  # fmt: skip
    settings.add_argument("--steps", type=positive, metavar="N", help="training.total_steps")
    settings.add_argument("--batch", type=positive, metavar="N", help="training.batch_size")
    if entry.crop is not None:
        settings.add_argument(
            "--crop", type=size_hw, metavar="HxW",
            help=f"{entry.crop}, height and width of a piece in pixels",
        )  # fmt: skip
    settings.add_argument(
        "--seed", type=seed, metavar="N", help="training.seed: same seed, same weights"
    )
    settings.add_argument(
        "--precision", choices=("fp32", "bf16"), help="training.precision of what is computed"
    )
    settings.add_argument(
        "--workers", type=seed, metavar="N", help="training.workers, processes that make batches"
    )
    settings.add_argument(
        "--validate-every", type=positive, metavar="N",
        help="training.validate_every: try the network every N steps too",
    )  # fmt: skip
    settings.add_argument(
        "--sheet-every", type=positive, metavar="N",
        help="training.sheet_every: a picture of what it makes, every N steps",
    )  # fmt: skip
    parser.add_argument(
        "--device", default="cpu", metavar="D", help="cpu, cuda, cuda:1, ... (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="of the processor (default: all)"
    )
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help="log for TensorBoard too")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with a run that was broken off")
    again.add_argument("--force", action="store_true", help="replace FILE and any unfinished run")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what it would do and take, and write nothing"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder of the photographs")
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
        "--repair", choices=("none", "nearest"), default="none",
        help="label values that are no class: refuse the file, or take the nearest class "
        "(default: %(default)s)",
    )  # fmt: skip


def run_train(args: argparse.Namespace) -> Outcome:
    """Train a network, or say what that would take.

    Raises:
        CheckpointError: If a run of other settings or data is to be gone on with.
        DatasetError: If there is no such split or sequence, or a file cannot be read.
        TrainingMemoryError: If memory does not suffice.
        ValueError: If the file must not be written, a setting is not known or does not fit, or
            torch is not installed.
    """
    missing = [name for name in ("torch", "safetensors") if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"training needs {' and '.join(missing)}; install with: pip install "
            "'scenequilt[training]'"
        )
    import torch

    from scenequilt.tools.evaluation.allocator import keep_freed_buffers
    from scenequilt.tools.progress import progress_bar
    from scenequilt.tools.training.outputs import check_out
    from scenequilt.tools.training.ranks import joined_ranks
    from scenequilt.tools.training.trainer import check_device

    keep_freed_buffers()
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    module = load_job(args.network)
    with joined_ranks(args.device) as (ranks, device):
        if ranks.is_first:
            check_out(args.out, resume=args.resume, force=args.force)
        check_device(device)
        settings, tables = _settings(args, module)
        with progress_bar("reading", "photographs") as progress:
            request = replace(
                _request(args, settings, tables),
                device=device,
                progress=progress if ranks.is_first else None,
            )
            job = module.build_job(request)
        return _train(args, _with_counts(job, request), settings, ranks, device)


def _train(
    args: argparse.Namespace,
    job: TrainingJob[Any],
    settings: TrainingSettings,
    ranks: Ranks,
    device: str,
) -> Outcome:
    from scenequilt.tools import progress
    from scenequilt.tools.training.outputs import log_path, state_path, unfinished_steps
    from scenequilt.tools.training.plan import in_duration, plan_in_words, plan_job
    from scenequilt.tools.training.trainer import train_job

    plan = None
    if ranks.is_first:
        done = unfinished_steps(args.out) if args.resume else 0
        plan = plan_job(job, settings, steps_done=done, device=device, ranks=ranks)
        if not args.dry_run:
            print(plan_in_words(plan), file=sys.stderr, flush=True)
    if args.dry_run:
        if plan is None:
            return Outcome("")
        if args.json:
            return Outcome(json.dumps(plan.as_json()))
        return Outcome(f"{plan_in_words(plan)}\nnothing was written")

    started = time.perf_counter()
    try:
        with progress.progress_bar("training", "steps") as steps:
            trained = train_job(
                job,
                settings,
                args.out,
                resume=args.resume,
                force=args.force,
                device=device,
                ranks=ranks,
                tensorboard=args.tensorboard,
                progress=steps,
                tell_run=JOBS[args.network].tell_run,
            )
    except KeyboardInterrupt:
        if ranks.is_first and state_path(args.out).is_file():
            print(
                f"scenequilt: stopped after step {unfinished_steps(args.out)} of "
                f"{settings.total_steps}; go on with the same command and --resume",
                file=sys.stderr,
            )
        raise
    seconds = time.perf_counter() - started
    if plan is None:
        return Outcome("")
    if args.json:
        table = {
            "out": str(args.out),
            "log": str(log_path(args.out)),
            "sha256": trained.sha256,
            "bytes": args.out.stat().st_size,
            "seconds": round(seconds, 3),
            "plan": plan.as_json(),
            "validation": trained.validation,
        }
        return Outcome(json.dumps(table))
    of_classes = "" if job.taxonomy is None else f" of {len(job.taxonomy)} classes"
    lines = [
        (
            f"{args.out}: {job.network}{of_classes} after {settings.total_steps} steps, "
            f"{args.out.stat().st_size / 2**20:.1f} MiB, in {in_duration(seconds)}"
        ),
        f"log {log_path(args.out)}",
        *_validation_lines(job, trained),
    ]
    return Outcome("\n".join(lines))


def _settings(
    args: argparse.Namespace, module: JobModule
) -> tuple[TrainingSettings, dict[str, Any]]:
    """Return how to train, and the settings of the job's own tables."""
    from scenequilt.tools.training.trainer import TrainingSettings

    overrides = [parse_override(text) for text in args.set]
    given = {
        "--steps": ("training", "total_steps", args.steps),
        "--batch": ("training", "batch_size", args.batch),
        "--seed": ("training", "seed", args.seed),
        "--precision": ("training", "precision", args.precision),
        "--workers": ("training", "workers", args.workers),
        "--validate-every": ("training", "validate_every", args.validate_every),
        "--sheet-every": ("training", "sheet_every", args.sheet_every),
    }
    crop = JOBS[args.network].crop
    if crop is not None:
        given["--crop"] = (*crop.split("."), args.crop)
    overrides += [
        Override(table, key, value, option)
        for option, (table, key, value) in given.items()
        if value is not None
    ]
    kinds: dict[str, type[Any]] = {"training": TrainingSettings, **module.SETTINGS}
    tables = read_tables(find_config(args.config), kinds, overrides)
    return tables.pop("training"), tables


def _request(
    args: argparse.Namespace, settings: TrainingSettings, tables: dict[str, Any]
) -> TrainingRequest:
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.memory_bank.errors import DatasetError
    from scenequilt.tools.training.request import TrainingRequest
    from scenequilt.tools.training.segmenter_samples import divide_entries

    entry = JOBS[args.network]
    files = {name: getattr(args, name) for name in (entry.needs | entry.takes) - {"depth"}}
    request = TrainingRequest(
        tables=tables, batch_size=settings.batch_size, seed=settings.seed, **files
    )
    if not entry.dataset:
        return request
    reader = open_dataset(args.dataset, args.reader, repair=args.repair)
    training, held_out = divide_entries(
        reader,
        split=args.split,
        exclude_sequence=args.exclude_sequence,
        validate_split=args.validate_split,
        validate_sequence=args.validate_sequence,
    )
    if "depth" in entry.needs and not any(each.depth_path for each in training):
        raise DatasetError(
            f"{args.dataset}: none of the {len(training)} photographs has a depth map, which "
            f"{args.network} learns from; expected them where the form of the dataset says"
        )
    origin = {
        "dataset": args.dataset.resolve().name,
        "form": reader.form,
        "split": args.split,
        "excluded_sequences": sorted(args.exclude_sequence),
        "validation_split": args.validate_split,
        "validation_sequence": args.validate_sequence,
    }
    return replace(request, reader=reader, training=training, held_out=held_out, origin=origin)


def _with_counts(job: TrainingJob[Any], request: TrainingRequest) -> TrainingJob[Any]:
    """Return a job whose report tells how many photographs there are, if it does not itself."""
    if request.reader is None:
        return job
    report = job.report
    training, held_out = len(request.training), len(request.held_out)
    facts = {"photographs": training, "validation_photographs": held_out, **report.facts}
    lines = {
        "photographs": f"{training} to learn from",
        "validation": f"{held_out or 'no'} photographs",
        **report.lines,
    }
    return replace(job, report=replace(report, facts=facts, lines=lines))


def _validation_lines(job: TrainingJob[Any], trained: TrainedNetwork) -> list[str]:
    found = trained.validation
    if found is None:
        return []
    if job.report.validation is not None:
        return job.report.validation(found)
    numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
    return [
        "on what it has not seen",
        *(f"  {value:.4g}  {name}" for name, value in numbers.items()),
    ]
