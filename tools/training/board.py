"""What a training run shows in TensorBoard, which is optional."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """Writes figures and sample sheets to a folder that TensorBoard reads.

    Args:
        folder: Where to; it may hold a run that is gone on with. None writes nothing.
        done: Steps that are behind the run; what stands there of later ones is not shown.

    Raises:
        ValueError: If a folder is given and TensorBoard is not installed.
    """

    def __init__(self, folder: Path | None, *, done: int = 0) -> None:
        self._writer = None if folder is None else _writer(folder, done)

    def figures(self, step: int, figures: Mapping[str, Any], under: str) -> None:
        """Write every number among figures, nested ones by their path.

        Args:
            step: Steps done.
            figures: By name.
            under: What they are, e.g. "training".
        """
        if self._writer is not None:
            for name, value in _numbers(figures, f"{under}/"):
                self._writer.add_scalar(name, value, step)
            self._writer.flush()

    def sheet(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Write a sample sheet, (H, W, 3) uint8 RGB."""
        if self._writer is not None:
            self._writer.add_image("sheet", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def _writer(folder: Path, done: int) -> "SummaryWriter":
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ValueError(
            "--tensorboard needs TensorBoard; install it with: pip install "
            "'scenequilt[tensorboard]'"
        ) from error
    return SummaryWriter(str(folder), purge_step=done + 1 if done else None)


def _numbers(figures: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, float(value)
