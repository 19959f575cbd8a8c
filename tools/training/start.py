"""The table [start] of an experiment: what weights a network starts from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.synthesis.network import load_matching
from scenequilt.tools.training.checkpoint import read_checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSettings:
    """What the weights start from.

    Attributes:
        weights: Checkpoint of a network of fewer lines, or of another form, of which all is taken
            that fits by name and shape; None draws all weights.
    """

    weights: str | None = None

    def on_card(self) -> dict[str, Any]:
        """Return it as a card tells of it, without the folder, which is nobody else's business."""
        return {"weights": None if self.weights is None else Path(self.weights).name}


def start_from(network: nn.Module, start: StartSettings, taxonomy: Taxonomy) -> dict[str, str]:
    """Take over all weights that fit by name and shape, if any are named.

    Args:
        network: Takes them.
        start: Names them.
        taxonomy: The classes that the network is trained on.

    Returns:
        What a person is told of it, by label; {} where nothing is named.

    Raises:
        CheckpointError: If the file cannot be read, is of other classes, or nothing fits.
    """
    if start.weights is None:
        return {}
    path = Path(start.weights)
    checkpoint = read_checkpoint(path)
    theirs = [each["name"] for each in (checkpoint.card.taxonomy or {}).get("classes", [])]
    expected = [each.name for each in taxonomy.classes]
    if theirs and theirs != expected:
        raise CheckpointError(
            f"{path} was trained on the classes {', '.join(theirs)}, this network is on "
            f"{', '.join(expected)}; start from weights of the same classes, or from none"
        )
    loaded, _ = load_matching(network, checkpoint.state)
    if not loaded:
        raise CheckpointError(
            f"{path}: none of its tensors fits this network by name and shape; start from a network "
            "of the same kind and width, or from none"
        )
    return {"starts from": f"{path.name}, {len(loaded)} of {len(network.state_dict())} tensors"}
