"""The command demo: the main job on toytown, from nothing to a page of pictures."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.commands.stages import add_stage_arguments, stages_of

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

PICTURES = 144
LAYOUTS = 8
VARIANTS = 3

FOLDERS = ("toytown", "toytown_bank", "pictures")
"""Dataset, bank and run of compose."""

MARK = "demo.json"
"""File that says a folder was made by this command, so that it may be made anew."""


def add_demo_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="the main job on toytown: dataset, bank, eight layouts in three variants, a page",
        description="Draw a small dataset of toytown streets, build a memory bank from its train "
        f"split, compose {LAYOUTS} layouts of its val split in {VARIANTS} variants each, and say "
        "where the pictures, the contact sheet and the page are. Needs nothing but the program, and "
        "weights for the learned stages; an earlier demo in the same folder is replaced.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="another town (default: %(default)s)"
    )
    add_stage_arguments(parser)
    parser.set_defaults(run=run_demo)


def run_demo(args: argparse.Namespace) -> Outcome:
    """Make dataset, bank and pictures, saying what is being done on standard error.

    Raises:
        ValueError: If --out holds something that is no earlier demo.
    """
    from scenequilt.memory_bank.build import build_bank
    from scenequilt.memory_bank.datasets.open import open_dataset
    from scenequilt.memory_bank.toytown import write_dataset
    from scenequilt.tools.commands.compose import run_in_words
    from scenequilt.tools.layout_files import find_layout_files
    from scenequilt.tools.output.recipe import ComposeChoices
    from scenequilt.tools.output.run import RunRequest, write_run
    from scenequilt.tools.output.run_folder import RESERVED_NAMES
    from scenequilt.tools.progress import progress_bar

    started = time.perf_counter()
    stages = stages_of(args)
    out = args.out.resolve()
    make_room(out, seed=args.seed)
    dataset, bank, pictures = (out / name for name in FOLDERS)

    _say(f"1 of 3  drawing {PICTURES} labelled pictures of toytown")
    with progress_bar("drawing", "pictures") as progress:
        write_dataset(dataset, count=PICTURES, seed=args.seed, progress=progress)

    _say("2 of 3  cutting the train pictures into segments, for the memory bank")
    with progress_bar("cutting", "pictures") as progress:
        built = build_bank(
            open_dataset(dataset),
            bank,
            split="train",
            workers=None,
            progress=lambda step: progress(step.photographs, step.total),
        )

    _say(f"3 of 3  composing {LAYOUTS} val layouts in {VARIANTS} variants each")
    layouts = find_layout_files([dataset / "labels" / "val"], reserved=RESERVED_NAMES)
    chosen = [layouts[place * len(layouts) // LAYOUTS] for place in range(LAYOUTS)]
    request = RunRequest(
        tuple(chosen),
        bank,
        ComposeChoices(seed=args.seed, variants=VARIANTS, **stages.choices),
        weights=stages.weights,
    )
    with progress_bar("composing", "pictures") as progress:
        report = write_run(request, pictures, progress=progress)

    text = (
        f"{run_in_words(request, report, pictures)}\n"
        f"pictures       {pictures}\n"
        f"bank           {bank}   {built.segments} segments\n"
        f"dataset        {dataset}   {PICTURES} labelled pictures\n"
        f"all of it took {time.perf_counter() - started:.0f} s"
    )
    return Outcome(text, 1 if report.failures else 0)


def make_room(out: Path, *, seed: int) -> None:
    """Make the folder of a demo, and clear an earlier demo out of it.

    Raises:
        ValueError: If the folder holds something and no mark of an earlier demo.
    """
    import json
    import shutil

    from scenequilt.tools.output.atomic import write_atomically

    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file, expected a folder to write; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise ValueError(
            f"{out}: not empty and no earlier demo (it has no {MARK}), so nothing is written "
            "there; choose another --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / MARK, json.dumps({"format": "scenequilt demo", "seed": seed}) + "\n")
    for name in FOLDERS:
        if (out / name).is_dir():
            shutil.rmtree(out / name)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
