"""Checkpoints: one safetensors file with the weights and a card that says what they are."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from scenequilt.memory_bank.errors import CheckpointError

CARD_KEY = "scenequilt"
"""Under this key of the file's metadata the card stands, as JSON."""

RUNNING_STATISTICS = ("running_mean", "running_var")
"""What batch normalisation calls its averages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointCard:
    """What a file of weights holds and how it came about; all of it goes into JSON as it is.

    Attributes:
        network: Name of the architecture, e.g. "cgnet".
        settings: What the network was built and trained with.
        taxonomy: The classes as Taxonomy.as_json() gives them, None for a network without.
        preprocessing: What the network expects of a picture.
        data: What it was trained on.
        training: How far and with what result.
        program: Version of the program that wrote it.
    """

    network: str
    settings: dict[str, Any]
    taxonomy: dict[str, Any] | None
    preprocessing: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    program: str


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Weights and what they are.

    Attributes:
        state: Tensors by name, on the CPU; floating ones float32, others as they were written.
        card: What they are.
    """

    state: dict[str, Tensor]
    card: CheckpointCard


def program_version() -> str:
    """Return what a card says about the program, e.g. "scenequilt 0.1.0"."""
    return f"scenequilt {version('scenequilt')}"


def checkpoint_bytes(
    state: Mapping[str, Tensor], card: CheckpointCard, *, half: bool = False
) -> bytes:
    """Return the contents of a checkpoint's file: same weights and card, same bytes.

    Args:
        state: Tensors by name, e.g. a state dict.
        card: What they are.
        half: Write what halved gives.
    """
    tensors = {
        # Copied, since a file holds no tensor twice and networks share some.
        name: value.detach().cpu().contiguous().clone()
        for name, value in (halved(state) if half else state).items()
    }
    return save(tensors, {CARD_KEY: json.dumps(asdict(card), sort_keys=True)})


def write_checkpoint(
    path: Path, state: Mapping[str, Tensor], card: CheckpointCard, *, half: bool = False
) -> None:
    """Write weights and their card, replacing what was there; the file is whole or not there.

    Args:
        path: The file.
        state, card, half: As for checkpoint_bytes.

    Raises:
        OSError: If the folder does not exist or cannot be written to.
    """
    content = checkpoint_bytes(state, card, half=half)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            # The name must not reach the disk before the bytes do, or a power cut leaves it empty.
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def halved(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return float32 weights as float16: half the size, about three digits.

    What float16 cannot hold stays float32: tensors with a value beyond its range, and the running
    statistics of batch normalisation. Those are divided by, and a channel that hardly moves has a
    variance that float16 rounds to 0; they are a small part of the weights.
    """
    return {name: _halved(name, value) for name, value in state.items()}


def read_checkpoint(path: Path) -> Checkpoint:
    """Read weights and their card.

    Raises:
        CheckpointError: If the file is absent, truncated, of another form or without our card; the
            message names what was found, what was expected and the remedy.
    """
    if not path.is_file():
        what = "is a folder, expected a file" if path.is_dir() else "does not exist"
        raise CheckpointError(f"{path} {what}; give a .safetensors file that this program wrote")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: Mapping[str, str] = file.metadata() or {}
            card = _card_of(metadata, path)
            state = {name: _single(file.get_tensor(name)) for name in sorted(file.keys())}
    except SafetensorError as error:
        raise CheckpointError(
            f"{path}: {path.stat().st_size} bytes that are no whole safetensors file ({error}); "
            "expected a checkpoint of this program, copy or train it again"
        ) from error
    return Checkpoint(state, card)


def _card_of(metadata: Mapping[str, str], path: Path) -> CheckpointCard:
    names = [field.name for field in fields(CheckpointCard)]
    if CARD_KEY not in metadata:
        found = ", ".join(sorted(metadata)) or "none"
        raise CheckpointError(
            f"{path}: a safetensors file of another program (metadata: {found}), expected the key "
            f"{CARD_KEY!r}; give a file that this program wrote"
        )
    try:
        table = json.loads(metadata[CARD_KEY])
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path}: its card is not JSON ({error}); train it again") from error
    if not isinstance(table, dict) or set(table) != set(names):
        found = ", ".join(sorted(table)) if isinstance(table, dict) else type(table).__name__
        raise CheckpointError(
            f"{path}: its card holds {found}, expected {', '.join(sorted(names))}; it was written "
            f"by another version than this, {program_version()}: train it again"
        )
    return CheckpointCard(**table)


def _halved(name: str, value: Tensor) -> Tensor:
    if value.dtype != torch.float32 or name.endswith(RUNNING_STATISTICS):
        return value
    too_large = bool((value.abs() > torch.finfo(torch.float16).max).any())
    return value if too_large else value.half()


def _single(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
