"""Networks out of checkpoints: the right kind, with the settings that their card names."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.memory_bank.taxonomy import Taxonomy, taxonomy_from_json
from scenequilt.tools.settings import read_settings
from scenequilt.tools.training.checkpoint import Checkpoint

Network = TypeVar("Network", bound=nn.Module)
Settings = TypeVar("Settings")


def restore_network(
    checkpoint: Checkpoint, *, network: str, job: str, build: Callable[[Checkpoint], Network]
) -> Network:
    """Return the network of a checkpoint, on the CPU, in evaluation mode.

    Args:
        checkpoint: Weights and card.
        network: Name that the card must have.
        job: Name by which scenequilt train trains such a network.
        build: Makes the network that the card tells of, with any weights; it may use settings_of
            and taxonomy_of.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    if checkpoint.card.network != network:
        raise CheckpointError(
            f"the weights are of the network {checkpoint.card.network!r}, expected {network!r}; give "
            f"a file that scenequilt train {job} wrote"
        )
    try:
        built = build(checkpoint)
        built.load_state_dict(checkpoint.state)
    except (DatasetError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"the weights do not fit the network that their card names ({error}); train it again"
        ) from error
    return built.eval()


def settings_of(checkpoint: Checkpoint, table: str, kind: type[Settings]) -> Settings:
    """Return a table of the settings that a network was built with.

    Raises:
        KeyError: If the card has no such table.
        ValueError: If it does not fit.
    """
    return read_settings(kind, checkpoint.card.settings[table], f"[{table}]")


def taxonomy_of(checkpoint: Checkpoint) -> Taxonomy:
    """Return the classes that a network was trained on.

    Raises:
        ValueError: If the card names none.
    """
    if checkpoint.card.taxonomy is None:
        raise ValueError("its card names no classes")
    return taxonomy_from_json(checkpoint.card.taxonomy, "the card")
