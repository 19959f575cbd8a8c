"""The frozen classifier that perceptual losses compare by, from the file a user names."""

from pathlib import Path

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.synthesis.losses import PerceptualLoss
from scenequilt.tools.evaluation.perceptual import read_perceptual


def load_perceptual(path: Path) -> PerceptualLoss:
    """Read VGG-16 or VGG-19.

    Raises:
        CheckpointError: If the file cannot be read, or is another network.
    """
    try:
        return PerceptualLoss(read_perceptual(path, short_side=None).convolutions)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: {error}; give the weights of one of those by --features"
        ) from error
