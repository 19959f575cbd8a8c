"""Perceptual networks: VGG and AlexNet up to their last convolution, LPIPS over their levels."""

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.tools.evaluation.file_hash import file_sha256

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB in [0, 1]. On [-1, 1] this is the shift and the scale of the authors of LPIPS."""

SHORT_SIDE = 224
"""Pictures with a longer short side are shrunk to it before a network sees them, in pixels."""

NETWORK_RULE = (
    f"Networks for LPIPS and features see pictures with a short side of at most {SHORT_SIDE} px, "
    "shrunk to it where it is longer; Inception-v3 sees 299 x 299 px. Both by an antialiased bicubic filter, "
    "rounded to 8 bits. Segmenters see pictures as they are."
)
"""What networks see, as reports say it."""

LPIPS_EPS = 1e-10
"""Added to the length of a pixel's vector, as the authors' program does."""


@dataclass(frozen=True, slots=True)
class Convolution:
    """One convolution with its ReLU.

    Attributes:
        shape: Of the weight, (outputs, inputs, height, width).
        stride: In pixels.
        padding: In pixels, on every side.
        pool: Side of the window of the maximum pooling, stride 2, in front of it; 0 for none.
        is_level: True if LPIPS looks at what comes out of its ReLU.
    """

    shape: tuple[int, int, int, int]
    stride: int = 1
    padding: int = 1
    pool: int = 0
    is_level: bool = False


def _vgg(block_lengths: Iterable[int]) -> tuple[Convolution, ...]:
    plan: list[Convolution] = []
    inputs = 3
    for width, length in zip((64, 128, 256, 512, 512), block_lengths, strict=True):
        for place in range(length):
            pool = 2 if plan and place == 0 else 0
            last = place == length - 1
            plan.append(Convolution((width, inputs, 3, 3), pool=pool, is_level=last))
            inputs = width
    return tuple(plan)


PLANS: dict[str, tuple[Convolution, ...]] = {
    "alexnet": (
        Convolution((64, 3, 11, 11), stride=4, padding=2, is_level=True),
        Convolution((192, 64, 5, 5), padding=2, pool=3, is_level=True),
        Convolution((384, 192, 3, 3), pool=3, is_level=True),
        Convolution((256, 384, 3, 3), is_level=True),
        Convolution((256, 256, 3, 3), is_level=True),
    ),
    "vgg16": _vgg((2, 2, 3, 3, 3)),
    "vgg19": _vgg((2, 2, 4, 4, 4)),
}
"""Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", and Simonyan
and Zisserman 2015, configurations D and E, without what follows the last ReLU."""

SMALLEST_SIDE = {"alexnet": 31, "vgg16": 16, "vgg19": 16}
"""Pixels that leave one at the last level."""


@dataclass(frozen=True, eq=False)
class Activations:
    """What a perceptual network sees in B pictures.

    Attributes:
        network: Name of the network.
        maps: One a level, (B, C, h, w) float32: maps after the ReLU, each pixel's vector scaled to
            unit length.
        features: (B, D) float32, mean over the pixels of the last level before that scaling.
    """

    network: str
    maps: tuple[Tensor, ...]
    features: NDArray[np.float32]

    def __getitem__(self, places: slice) -> "Activations":
        """Return those of a part of the batch, without a copy."""
        return Activations(
            self.network, tuple(level[places] for level in self.maps), self.features[places]
        )


class PerceptualNetwork:
    """Convolutions of AlexNet, VGG-16 or VGG-19, and the LPIPS heads if they came along.

    One pass over a picture serves LPIPS and features. Pictures are first brought to a short side of
    short_side pixels where theirs is longer (see shrunk).

    Args:
        network: "alexnet", "vgg16" or "vgg19".
        weights: (weight, bias) of each convolution, in order; float of any kind.
        heads: Weight of each channel, (C,) a level, not negative; () without heads.
        sha256: Of the file, in hex.
        short_side: In pixels; None leaves pictures as they are.

    Raises:
        ValueError: If there is no such network, or a shape is not the network's.

    Source:
        Zhang, Isola, Efros, Shechtman and Wang 2018, "The Unreasonable Effectiveness of Deep
        Features as a Perceptual Metric", eq. 1; version 0.1 of their weights.
    """

    def __init__(
        self,
        network: str,
        weights: Iterable[tuple[Tensor, Tensor]],
        heads: Iterable[Tensor] = (),
        *,
        sha256: str = "",
        short_side: int | None = SHORT_SIDE,
    ) -> None:
        if network not in PLANS:
            raise ValueError(f"no perceptual network {network!r}; there are {', '.join(PLANS)}")
        self.name = network
        self.sha256 = sha256
        self.short_side = short_side
        self.plan = PLANS[network]
        self._weights = tuple(
            (weight.float().contiguous(memory_format=torch.channels_last), bias.float())
            for weight, bias in weights
        )
        self._heads = tuple(head.float().reshape(-1) for head in heads)
        found = [tuple(weight.shape) for weight, _ in self._weights]
        expected = [part.shape for part in self.plan]
        if found != expected:
            raise ValueError(f"{network} has convolutions {expected}, got {found}")
        widths = [part.shape[0] for part in self.plan if part.is_level]
        lengths = [len(head) for head in self._heads]
        if lengths and lengths != widths:
            raise ValueError(f"heads of {network} have lengths {widths}, got {lengths}")

    @property
    def frechet_name(self) -> str:
        """What the Frechet distance over its features is called, e.g. "FD-VGG16"."""
        return f"FD-{TITLES[self.name]}"

    @property
    def kernel_name(self) -> str:
        """What the kernel distance over its features is called, e.g. "KD-VGG16"."""
        return f"KD-{TITLES[self.name]}"

    @property
    def dims(self) -> int:
        """Length of a feature vector."""
        return self.plan[-1].shape[0]

    @property
    def convolutions(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """(weight, bias) of each convolution, in order."""
        return self._weights

    @property
    def has_heads(self) -> bool:
        """True if lpips() can be asked."""
        return bool(self._heads)

    def activations(self, images: NDArray[np.uint8]) -> Activations:
        """Look at pictures.

        Args:
            images: (B, H, W, 3) uint8 RGB.

        Raises:
            ValueError: If images are of another shape or type, or too small for the network.
        """
        pictures = shrunk(as_batch(images), self.short_side)
        return self.activations_of_floats(pictures.float().div_(255))

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (B, D) float32: the features of activations(), without keeping the maps."""
        pictures = shrunk(as_batch(images), self.short_side).float().div_(255)
        with torch.inference_mode():
            for level in self._levels(pictures):
                last = level
            return _pixel_mean(last)

    @torch.inference_mode()
    def activations_of_floats(self, pictures: Tensor) -> Activations:
        """Look at pictures as they are, without a resize.

        Args:
            pictures: (B, 3, H, W) float RGB in [0, 1].
        """
        maps = []
        for level in self._levels(pictures):
            last = level
            length = torch.linalg.vector_norm(level, dim=1, keepdim=True)  # (B, 1, h, w)
            maps.append(level / length.add_(LPIPS_EPS))
        return Activations(self.name, tuple(maps), _pixel_mean(last))

    @torch.inference_mode()
    def lpips(self, first: Activations, second: Activations) -> NDArray[np.float64]:
        """Return (B,) float64 distances, 0 for equal pictures: LPIPS 0.1 with this network's heads.

        Args:
            first: Of B pictures.
            second: Of B pictures, or of one that all are compared with.

        Raises:
            ValueError: If there are no heads, a network is another, or the sizes differ.
        """
        if not self._heads:
            raise ValueError(
                f"{self.name} came without LPIPS heads; give a file with lpips_lin0 to "
                f"lpips_lin{len([part for part in self.plan if part.is_level]) - 1}"
            )
        if {first.network, second.network} != {self.name}:
            raise ValueError(
                f"activations must be of {self.name}, got {first.network} and {second.network}"
            )
        distance = torch.zeros(len(first.features), dtype=torch.float64)
        for one, other, head in zip(first.maps, second.maps, self._heads, strict=True):
            if one.shape[1:] != other.shape[1:]:
                raise ValueError(
                    "pictures must be of one size, their maps are "
                    f"{tuple(one.shape[2:])} and {tuple(other.shape[2:])}"
                )
            # The mean over the pixels first: the head is linear.
            apart = (one - other).square_().mean((2, 3))  # (B, C)
            distance += apart.double() @ head.double()
        return distance.numpy()

    def _levels(self, pictures: Tensor) -> Iterable[Tensor]:
        smallest = SMALLEST_SIDE[self.name]
        if min(pictures.shape[2:]) < smallest:
            raise ValueError(
                f"pictures of {pictures.shape[2]}x{pictures.shape[3]} px are too small for "
                f"{self.name}, which needs {smallest} px a side"
            )
        mean = torch.tensor(IMAGENET_MEAN).reshape(3, 1, 1)
        std = torch.tensor(IMAGENET_STD).reshape(3, 1, 1)
        maps = (pictures - mean).div_(std).contiguous(memory_format=torch.channels_last)
        for part, (weight, bias) in zip(self.plan, self._weights, strict=True):
            if part.pool:
                maps = F.max_pool2d(maps, part.pool, stride=2)
            maps = F.conv2d(maps, weight, bias, part.stride, part.padding).relu_()
            if part.is_level:
                yield maps


TITLES = {"alexnet": "AlexNet", "vgg16": "VGG16", "vgg19": "VGG19"}


def read_perceptual(path: Path, *, short_side: int | None = SHORT_SIDE) -> PerceptualNetwork:
    """Read conv0.weight, conv0.bias, ... and, if there, lpips_lin0 to lpips_lin4 from a .npz.

    Which network it is shows in the shapes.

    Raises:
        CheckpointError: If the file cannot be read, or holds something else; the message says what
            was found and what was expected.
    """
    shapes = npz_shapes(path)
    network = network_of_shapes(shapes)
    if network is None:
        raise CheckpointError(f"{path} holds {describe_shapes(shapes)}; expected {expected_npz()}")
    count = len(PLANS[network])
    heads = head_names(shapes)
    levels = sum(part.is_level for part in PLANS[network])
    if heads and len(heads) != levels:
        raise CheckpointError(
            f"{path}: {', '.join(heads)} found, LPIPS over {network} has {levels} heads"
        )
    try:
        with np.load(path) as stored:
            weights = [
                (
                    torch.from_numpy(stored[f"conv{place}.weight"]),
                    torch.from_numpy(stored[f"conv{place}.bias"]),
                )
                for place in range(count)
            ]
            channels = [torch.from_numpy(stored[head]) for head in heads]
        return PerceptualNetwork(
            network, weights, channels, sha256=file_sha256(path), short_side=short_side
        )
    except (KeyError, OSError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read as {network}: {error}") from error


def npz_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a .npz's arrays by name, from their headers alone.

    Raises:
        CheckpointError: If the file is absent or no .npz.
    """
    shapes = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    with archive.open(member) as file:
                        version = np.lib.format.read_magic(file)
                        read = (
                            np.lib.format.read_array_header_1_0
                            if version == (1, 0)
                            else np.lib.format.read_array_header_2_0
                        )
                        shapes[member.removesuffix(".npy")] = read(file)[0]
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is no .npz: {error}") from error
    return shapes


def network_of_shapes(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Return which network the convolutions conv0.weight, conv1.weight, ... make, None if none."""
    found = [shapes[name] for name in _convolution_names(shapes)]
    for network, plan in PLANS.items():
        if found == [part.shape for part in plan]:
            return network
    return None


def head_names(shapes: Iterable[str]) -> list[str]:
    """Return the names of the LPIPS heads among some, in order."""
    names = set(shapes)
    return [f"lpips_lin{level}" for level in range(len(names)) if f"lpips_lin{level}" in names]


def describe_shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Say in words what a file's arrays are."""
    convolutions = _convolution_names(shapes)
    if convolutions:
        first = "x".join(str(side) for side in shapes[convolutions[0]])
        return f"{len(convolutions)} convolutions, the first {first}"
    names = sorted(shapes)
    listed = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return f"{len(names)} arrays ({listed})" if names else "no arrays"


def expected_npz() -> str:
    """Say in words what a .npz of a perceptual network holds."""
    counts = ", ".join(f"{len(plan)} of {network}" for network, plan in PLANS.items())
    return (
        f"convolutions conv0.weight, conv0.bias and so on ({counts}) and, for LPIPS, lpips_lin0 to "
        "lpips_lin4"
    )


def as_batch(images: NDArray[np.uint8]) -> Tensor:
    """Return (B, H, W, 3) uint8 RGB as (B, 3, H, W) uint8, channels last in memory, not copied.

    Raises:
        ValueError: If images are of another shape or type.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(
            f"images must be (B, H, W, 3) uint8 RGB, got {images.shape} {images.dtype}"
        )
    # Arrays of files may be read-only, which torch warns of although nothing here writes to them.
    writable = images if images.flags.writeable else images.copy()
    return torch.from_numpy(np.ascontiguousarray(writable)).permute(0, 3, 1, 2)


def shrunk(pictures: Tensor, short_side: int | None) -> Tensor:
    """Shrink pictures to a short side in pixels where theirs is longer; never enlarge.

    Args:
        pictures: (B, 3, H, W) uint8.
        short_side: In pixels; None leaves pictures as they are.
    """
    height, width = pictures.shape[2:]
    if short_side is None or min(height, width) <= short_side:
        return pictures
    scale = short_side / min(height, width)
    return resized(pictures, (round(height * scale), round(width * scale)))


def resized(pictures: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Resize pictures to (height, width): bicubic, antialiased, rounded to 8 bits.

    Aliased resizing changes Frechet distances by more than systems differ (Parmar, Zhang and Zhu
    2022, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation").

    Args:
        pictures: (B, 3, H, W) uint8.
        size_hw: In pixels.
    """
    if tuple(pictures.shape[2:]) == size_hw:
        return pictures
    return F.interpolate(pictures, size_hw, mode="bicubic", antialias=True)


def _pixel_mean(maps: Tensor) -> NDArray[np.float32]:
    return maps.mean((2, 3)).numpy()


def _convolution_names(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    numbered = (f"conv{place}.weight" for place in range(len(shapes)))
    return [name for name in numbered if name in shapes]
