"""Photographs and their depth for training a depth network."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.errors import DatasetError

KEPT_PER_VIEW = 1.5
"""Pictures are kept in memory this many times larger than what the network sees."""

GAIN, GAMMA, BALANCE = 0.15, 0.2, 0.05
"""Standard deviations of the log of brightness, gamma and the balance of each colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthSettings:
    """What a depth network learns from, and what is done to it.

    Attributes:
        toytown_scenes: Scenes of toytown that are rendered beside the dataset; 0 for none.
        toytown_share: Share of the pictures of a batch that are of them, in [0, 1).
        zoom: Least share of a picture's height and width that is left by cutting, in (0, 1].
        invariance: lambda of the scale-invariant loss, in [0, 1].
        gradient_weight: What differences between neighbours count in the loss, >= 0.

    Raises:
        ValueError: If a setting is out of range.
    """

    toytown_scenes: int = 150
    toytown_share: float = 0.3
    zoom: float = 0.7
    invariance: float = 0.5
    gradient_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.toytown_scenes < 0:
            raise ValueError(f"toytown_scenes is {self.toytown_scenes}, expected at least 0")
        if not 0 <= self.toytown_share < 1:
            raise ValueError(f"toytown_share is {self.toytown_share}, expected 0 to below 1")
        if not 0 < self.zoom <= 1:
            raise ValueError(f"zoom is {self.zoom}, expected a share in (0, 1]")
        if not 0 <= self.invariance <= 1:
            raise ValueError(f"invariance is {self.invariance}, expected 0 to 1")
        if not self.gradient_weight >= 0:
            raise ValueError(f"gradient_weight is {self.gradient_weight}, expected at least 0")


@dataclass(frozen=True, eq=False)
class DepthPicture:
    """A picture and its depth.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        depth_m: (h, w) float32 metres, 0 = unknown.
    """

    image: NDArray[np.uint8]
    depth_m: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DepthBatch:
    """B pictures and their depth at half the size.

    Attributes:
        images: (B, 3, H, W) float32 RGB in [0, 1].
        depth_m: (B, H / 2, W / 2) float32 metres, 0 = unknown.
    """

    images: Tensor
    depth_m: Tensor


def read_depth_pictures(
    reader: DatasetReader,
    entries: Sequence[Entry],
    size_hw: tuple[int, int],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[DepthPicture]:
    """Read photographs with their depth maps.

    Args:
        reader: The dataset.
        entries: Its photographs.
        size_hw: (height, width) in pixels that the network sees; they are kept a bit larger.
        progress: Called with (photographs done, all) after each.

    Raises:
        DatasetError: If a photograph cannot be read or comes without depth.
    """
    pictures = []
    for done, entry in enumerate(entries, start=1):
        photograph = reader.read(entry)
        if photograph.layout.depth_m is None:
            raise DatasetError(
                f"{entry.image_path} has no depth map; a depth network learns from photographs "
                "with depth/NAME.png (16 bits, millimetres)"
            )
        pictures.append(_reduced(photograph.image, photograph.layout.depth_m, size_hw))
        if progress is not None:
            progress(done, len(entries))
    return pictures


def render_depth_pictures(count: int, seed: int, size_hw: tuple[int, int]) -> list[DepthPicture]:
    """Render scenes of toytown, twice as wide as they are high, with their exact depth.

    Args:
        count: How many.
        seed: What they are drawn from, >= 0.
        size_hw: (height, width) in pixels that the network sees; scenes are rendered a bit larger.
    """
    from scenequilt.memory_bank.toytown.scene import render_scene

    height = round(KEPT_PER_VIEW * size_hw[0])
    pictures = []
    for number in range(count):
        scene_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        scene = render_scene(scene_seed, (height, 2 * height))
        assert scene.layout.depth_m is not None
        pictures.append(DepthPicture(scene.image, scene.layout.depth_m))
    return pictures


class DepthSamples:
    """Endless batches of pictures with depth, cut, mirrored and recoloured at random.

    A cut keeps the network's ratio of width to height, so that a wide picture is not squeezed.

    Args:
        pictures: What they are drawn from.
        others: The pictures that settings.toytown_share of a batch are drawn from.
        size_hw: (height, width) in pixels of the images.
        settings: What is done to them.
        batch_size: Pictures in a batch.
        seed: What everything is drawn with.

    Raises:
        ValueError: If there are no pictures, or batch_size is below 1.
    """

    def __init__(
        self,
        pictures: Sequence[DepthPicture],
        others: Sequence[DepthPicture],
        size_hw: tuple[int, int],
        settings: DepthSettings,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        if not pictures:
            raise ValueError("there are no pictures to train on, expected at least 1")
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        self._pictures, self._others = list(pictures), list(others)
        self._size_hw, self._settings = size_hw, settings
        self._batch_size, self._seed = batch_size, seed

    def batch(self, number: int) -> DepthBatch:
        """Return the batch of a number, from 1."""
        random = np.random.default_rng([self._seed, number])
        images, depths = [], []
        for _ in range(self._batch_size):
            from_others = bool(self._others) and random.random() < self._settings.toytown_share
            source = self._others if from_others else self._pictures
            picture = source[int(random.integers(len(source)))]
            image, depth_m = _cut(picture, self._size_hw, random, self._settings.zoom)
            if random.random() < 0.5:
                image, depth_m = image[:, ::-1], depth_m[:, ::-1]
            images.append(_recolored(image, random))
            depths.append(depth_m)
        return DepthBatch(
            torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
            torch.from_numpy(np.stack(depths)),
        )


def view_depth(pictures: Sequence[DepthPicture], size_hw: tuple[int, int]) -> DepthBatch:
    """Return pictures whole, at the size that the network sees, for measuring."""
    images, depths = [], []
    for picture in pictures:
        height, width = picture.depth_m.shape
        box = (0.0, 0.0, float(width), float(height))
        image, depth_m = _sampled(picture, box, size_hw)
        images.append(image.astype(np.float32) / 255)
        depths.append(depth_m)
    return DepthBatch(
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack(depths)),
    )


def hash_of_depth(pictures: Sequence[DepthPicture]) -> str:
    """Return the SHA-256, in hex, over all that is learned from."""
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(picture.image.tobytes())
        digest.update(picture.depth_m.tobytes())
    return digest.hexdigest()


def _reduced(
    image: NDArray[np.uint8], depth_m: NDArray[np.float32], size_hw: tuple[int, int]
) -> DepthPicture:
    height, width = depth_m.shape
    share = min(1.0, KEPT_PER_VIEW * size_hw[0] / height)
    rows, columns = round(share * height), round(share * width)
    smaller = Image.fromarray(image).resize((columns, rows), Image.Resampling.BOX)
    return DepthPicture(
        np.asarray(smaller), _nearest(depth_m, (0.0, 0.0, width, height), (rows, columns))
    )


def _cut(
    picture: DepthPicture, size_hw: tuple[int, int], random: np.random.Generator, zoom: float
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    height, width = picture.depth_m.shape
    share = random.uniform(zoom, 1)
    ratio = size_hw[1] / size_hw[0]
    cut_h = share * min(height, width / ratio)
    cut_w = cut_h * ratio
    left, top = random.random(2) * (width - cut_w, height - cut_h)
    return _sampled(picture, (left, top, left + cut_w, top + cut_h), size_hw)


def _sampled(
    picture: DepthPicture, box: tuple[float, float, float, float], size_hw: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a box (left, top, right, bottom): image at size_hw, depth at half of it."""
    resized = Image.fromarray(picture.image).resize(
        size_hw[::-1], Image.Resampling.BILINEAR, box=box
    )
    return np.asarray(resized), _nearest(picture.depth_m, box, (size_hw[0] // 2, size_hw[1] // 2))


def _nearest(
    depth_m: NDArray[np.float32], box: tuple[float, float, float, float], size_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """Sample by nearest neighbour: a mean over an edge is the depth of nothing."""
    left, top, right, bottom = box
    rows = top + (np.arange(size_hw[0]) + 0.5) * (bottom - top) / size_hw[0]
    columns = left + (np.arange(size_hw[1]) + 0.5) * (right - left) / size_hw[1]
    return depth_m[np.ix_(rows.astype(np.intp), columns.astype(np.intp))]


def _recolored(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.float32]:
    gamma = np.exp(GAMMA * random.standard_normal())
    gains = np.exp(GAIN * random.standard_normal() + BALANCE * random.standard_normal(3))
    return np.asarray(((image / 255.0) ** gamma * gains).clip(0, 1), np.float32)
