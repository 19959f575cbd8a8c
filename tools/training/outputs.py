"""The files of a training: weights, and beside them log, sample sheets and the unfinished state."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenequilt.tools.training.checkpoint import read_checkpoint

SUFFIX = ".safetensors"

SHEET_NAME = re.compile(r"\d{6,}\.png")


def state_path(out: Path) -> Path:
    """Return where the state of an unfinished run lies that will end in a file."""
    return out.with_name(f"{out.stem}.resume{SUFFIX}")


def log_path(out: Path) -> Path:
    """Return where the log of a run lies that will end in a file."""
    return out.with_name(f"{out.stem}.log.jsonl")


def sheet_path(out: Path, steps: int) -> Path:
    """Return where the sample sheet after some steps lies, e.g. NAME.sheets/000500.png."""
    return out.with_name(f"{out.stem}.sheets") / f"{steps:06d}.png"


def check_out(out: Path, *, resume: bool = False, force: bool = False) -> None:
    """Refuse a file that must not be written, or a run that cannot be gone on with.

    Raises:
        ValueError: If the name does not end in .safetensors, the folder does not exist, a finished
            or unfinished run is there and neither resume nor force is given, or resume is and
            there is none.
    """
    unfinished = state_path(out)
    if out.suffix != SUFFIX:
        raise ValueError(f"{out}: weights are written as {SUFFIX}; give a name that ends so")
    if not out.parent.is_dir():
        raise ValueError(f"{out.parent} is no folder; make it first")
    if resume and force:
        raise ValueError("--resume goes on and --force begins anew; give one of them")
    if resume and not unfinished.is_file():
        if out.exists():
            raise ValueError(f"{out} is finished, there is nothing to go on with; see --force")
        raise ValueError(
            f"{unfinished} does not exist, so there is no run to go on with; leave --resume out"
        )
    if not resume and not force and unfinished.exists():
        raise ValueError(
            f"{unfinished} holds an unfinished run; go on with it by --resume, or begin anew by "
            "--force"
        )
    if not resume and not force and out.exists():
        raise ValueError(f"{out} exists; give another name, or replace it by --force")


def begin_anew(out: Path) -> None:
    """Remove the unfinished state and the sample sheets of a run before."""
    state_path(out).unlink(missing_ok=True)
    folder = sheet_path(out, 0).parent
    for path in folder.glob("*.png") if folder.is_dir() else ():
        if SHEET_NAME.fullmatch(path.name):
            path.unlink()


def write_sheet(out: Path, steps: int, picture: NDArray[np.uint8]) -> None:
    """Write the sample sheet after some steps.

    Args:
        out: File that the weights will be written to.
        steps: That are behind it.
        picture: (H, W, 3) uint8 RGB.
    """
    path = sheet_path(out, steps)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(picture).save(path)


def unfinished_steps(out: Path) -> int:
    """Return how many steps the unfinished run beside a file has behind it.

    Raises:
        CheckpointError: If its state cannot be read.
    """
    return int(read_checkpoint(state_path(out)).card.training.get("steps", 0))
