"""Features of pictures by a network, for distances between sets of pictures."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.tools.evaluation import efficientnet, inception
from scenequilt.tools.evaluation.file_hash import file_sha256
from scenequilt.tools.evaluation.perceptual import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    SHORT_SIDE,
    as_batch,
    read_perceptual,
    resized,
    shrunk,
)
from scenequilt.tools.evaluation.weights_file import READABLE, inspect_weights, read_state


class FeatureNetwork(Protocol):
    """Turns pictures into vectors."""

    @property
    def name(self) -> str:
        """Of the network, e.g. "vgg16"."""
        ...

    @property
    def frechet_name(self) -> str:
        """What the Frechet distance over its features is called: "FID", or e.g. "FD-VGG16"."""
        ...

    @property
    def kernel_name(self) -> str:
        """What the kernel distance is called: "KID", or e.g. "KD-VGG16"."""
        ...

    @property
    def dims(self) -> int:
        """Length of a feature vector."""
        ...

    @property
    def sha256(self) -> str:
        """Of the file of weights, in hex."""
        ...

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (B, D) float32 for (B, H, W, 3) uint8 RGB, of any size.

        A picture's vector does not depend on the pictures beside it.
        """
        ...


@dataclass(frozen=True, eq=False)
class PooledNetwork:
    """A network that ends in one vector a picture.

    Attributes:
        name: As in FeatureNetwork.
        frechet_name: As in FeatureNetwork.
        kernel_name: As in FeatureNetwork.
        dims: As in FeatureNetwork.
        sha256: As in FeatureNetwork.
        module: (B, 3, h, w) float -> (B, D) float.
        prepare: (B, 3, H, W) uint8 -> what the module takes.
    """

    name: str
    frechet_name: str
    kernel_name: str
    dims: int
    sha256: str
    module: nn.Module
    prepare: Callable[[Tensor], Tensor]

    @torch.inference_mode()
    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (B, D) float32 for (B, H, W, 3) uint8 RGB."""
        made: Tensor = self.module(self.prepare(as_batch(images)))
        return made.numpy()


def load_features(path: Path, *, short_side: int | None = SHORT_SIDE) -> FeatureNetwork:
    """Read a network for features; which one shows in the file.

    Args:
        path: .npz of AlexNet, VGG-16 or VGG-19 (see read_perceptual), or a state dict of
            Inception-v3 or EfficientNet-B0.
        short_side: Pictures are shrunk to it first, in pixels; None leaves them as they are.
            Inception-v3 always sees 299 x 299.

    Raises:
        CheckpointError: If the file is something else; the message says what, and what is read.
    """
    found = inspect_weights(path)
    if path.suffix == ".npz":
        return read_perceptual(path, short_side=short_side)
    if found.network == "inception-v3":
        return _inception(path)
    if found.network == "efficientnet-b0":
        return _efficientnet(path, short_side)
    purpose = ", a segmenter" if found.kind == "segmenter" else ""
    raise CheckpointError(
        f"{path} holds {found.holds}{purpose}; expected a network for features. Read are {READABLE}"
    )


def _inception(path: Path) -> PooledNetwork:
    try:
        network = inception.inception_from(read_state(path))
    except ValueError as error:
        raise CheckpointError(f"{path} is not whole as Inception-v3: {error}") from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    # Published FIDs are made with the port's weights; other weights give other figures.
    names = ("FID", "KID") if network.is_port else ("FD-Inception-v3", "KD-Inception-v3")
    return PooledNetwork(
        "inception-v3",
        *names,
        inception.FEATURE_DIMS,
        file_sha256(path),
        network,
        lambda pictures: resized(pictures, inception.INPUT_HW).float().div_(127.5).sub_(1),
    )


def _efficientnet(path: Path, short_side: int | None) -> PooledNetwork:
    try:
        network = efficientnet.efficientnet_from(read_state(path))
    except ValueError as error:
        raise CheckpointError(f"{path} is not whole as EfficientNet-B0: {error}") from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).reshape(3, 1, 1)
    return PooledNetwork(
        "efficientnet-b0",
        "FD-EfficientNet-B0",
        "KD-EfficientNet-B0",
        efficientnet.FEATURE_DIMS,
        file_sha256(path),
        network,
        lambda pictures: shrunk(pictures, short_side).float().div_(255).sub_(mean).div_(std),
    )
