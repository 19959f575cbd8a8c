"""Depth for photographs that come without: from files, or from a network of ours."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout

DepthKind = Literal["metric", "relative", "inverse"]
"""What a depth map's values mean.

metric: millimetres in a PNG, metres in an .npy. relative: larger is farther, up to a factor that is
not known. inverse: larger is nearer, up to a factor and a shift that are not known, as networks
give it that learned from several datasets at once.
"""

_NEAREST_TO_FARTHEST = 20.0
"""Ratio of depths that an inverse map is stretched to, since its shift is not known."""

_SUFFIXES = (".png", ".npy")


class DepthSource(Protocol):
    """Says how far everything in a photograph is."""

    def depth(self, source_id: str, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (H, W) float32 depths, 0 = unknown.

        In metres if the source knows them, else up to a factor: an order needs no more.

        Args:
            source_id: Name of the photograph.
            image: (H, W, 3) uint8 RGB.

        Raises:
            DatasetError: If there is no depth for this photograph, or it does not fit.
        """
        ...


@dataclass(frozen=True)
class DepthFolder:
    """Depth maps that some network wrote: NAME.png of 16 bits or NAME.npy of floats.

    They lie in the folder or one level below it, named like the photographs. Infinite, not a
    number and 0 are unknown; so is the value 0 of an inverse PNG.

    Attributes:
        folder: Where they lie.
        kind: What their values mean.

    Raises:
        DatasetError: If the folder does not exist or holds no depth map.
        ValueError: If there is no such kind.
    """

    folder: Path
    kind: DepthKind = "metric"

    def __post_init__(self) -> None:
        if self.kind not in ("metric", "relative", "inverse"):
            raise ValueError(f"kind is {self.kind!r}, expected metric, relative or inverse")
        if not self.folder.is_dir():
            what = "is a file" if self.folder.exists() else "does not exist"
            raise DatasetError(f"{self.folder} {what}; give the folder of the depth maps")
        if not self._files:
            raise DatasetError(
                f"{self.folder} holds no depth map; expected NAME.png (16 bits) or NAME.npy "
                "(floats), named like the photographs"
            )

    def depth(self, source_id: str, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the depth map (H, W) of a photograph; see DepthSource.

        Raises:
            DatasetError: If there is none, there are two, or it is not of the photograph's size.
        """
        paths = self._files.get(source_id, ())
        if not paths:
            there = ", ".join(sorted(self._files)[:3])
            raise DatasetError(
                f"{self.folder}: no depth map {source_id}.png or {source_id}.npy, only "
                f"{len(self._files)} others ({there}, ...); run the depth network on this "
                "photograph too, or leave depth out"
            )
        if len(paths) > 1:
            raise DatasetError(
                f"{self.folder}: {source_id} has {len(paths)} depth maps, {paths[0].name} and "
                f"{paths[1].name} among them; keep one"
            )
        path = paths[0]
        values = _read(path, self.kind)
        if values.shape != image.shape[:2]:
            raise DatasetError(
                f"{path}: depth map is {values.shape[0]}x{values.shape[1]}, but its photograph is "
                f"{image.shape[0]}x{image.shape[1]} (height x width); resize it by nearest neighbour"
            )
        return values

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in sorted([*self.folder.glob("*"), *self.folder.glob("*/*")]):
            if path.suffix.lower() in _SUFFIXES and not path.name.startswith("."):
                found.setdefault(path.stem, []).append(path)
        return found


def with_depth(layout: Layout, depth_m: NDArray[np.float32]) -> Layout:
    """Return a layout with depth, which the orderers then go by.

    Raises:
        ValueError: If sizes differ.
    """
    return replace(layout, depth_m=depth_m)


def _read(path: Path, kind: DepthKind) -> NDArray[np.float32]:
    if path.suffix.lower() == ".npy":
        values = _read_array(path)
    else:
        values = _read_png(path)
    known = np.isfinite(values)
    if kind == "inverse":
        # 0 is far away where floats say it, and nothing where a PNG does.
        known &= values != 0 if path.suffix.lower() == ".png" else True
        return _from_inverse(values, known)
    known &= values > 0
    negative = np.isfinite(values) & (values < 0)
    if negative.any():
        raise DatasetError(
            f"{path}: depth map holds {values[negative].min():g}, expected no negative values for "
            f'{kind} depth; if larger means nearer, its kind is "inverse"'
        )
    unit = 1000.0 if kind == "metric" and path.suffix.lower() == ".png" else 1.0
    return np.where(known, values / unit, 0).astype(np.float32)


def _read_array(path: Path) -> NDArray[np.float64]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is no .npy file of numbers: {error}") from error
    if values.ndim == 3 and 1 in (values.shape[0], values.shape[2]):
        values = values.reshape([side for side in values.shape if side > 1])
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.floating):
        raise DatasetError(
            f"{path}: array is {values.shape} {values.dtype}, expected (H, W) of floats"
        )
    return np.asarray(values, np.float64)


def _read_png(path: Path) -> NDArray[np.float64]:
    try:
        with Image.open(path) as picture:
            mode, values = picture.mode, np.asarray(picture)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise DatasetError(f"{path} is no PNG: {error}") from error
    if mode not in ("I;16", "I;16B", "I"):
        raise DatasetError(
            f"{path}: depth map has mode {mode}, expected a 16-bit PNG of one channel; 8 bits are "
            "too few to tell depths apart"
        )
    return values.astype(np.float64)


def _from_inverse(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return depths from 1 (nearest) to _NEAREST_TO_FARTHEST, 0 where nothing is known."""
    if not known.any():
        return np.zeros(values.shape, np.float32)
    low, high = values[known].min(), values[known].max()
    nearness = (values - low) / max(high - low, np.finfo(np.float64).tiny)
    least = 1 / _NEAREST_TO_FARTHEST
    inverse = least + (1 - least) * np.where(known, nearness, 1.0)
    return np.where(known, 1 / inverse, 0).astype(np.float32)
