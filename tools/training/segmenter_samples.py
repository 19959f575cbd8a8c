"""Labelled photographs for a segmenter in training: where they come from, and what is made of them."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.plan import list_entries
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.tools.progress import Progress

CACHE_BYTES = 2 * 2**30
"""Memory that photographs may take; beyond it they are read again each time."""

SURVEYED = 500
"""Photographs that are looked at before training starts, evenly spread, if there are more."""

GAMMA, CONTRAST, BRIGHTNESS, SATURATION, BALANCE = 0.25, 0.2, 0.08, 0.3, 0.06
"""Standard deviations of the changes of colour: brightness in units of white, the others of the
logarithm of a factor. Wide enough that the light of one street says little about its classes."""

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""(H, W, 3) uint8 RGB and (H, W) uint8 class ids, 255 = void."""


class SampleSource(Protocol):
    """Labelled photographs by number. Same place, same bytes."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def read(self, place: int) -> Sample:
        """Return photograph and label map at a place, 0 to len - 1; sizes may differ."""
        ...


class InMemorySamples:
    """Labelled photographs that are there already.

    Args:
        images: (H, W, 3) uint8 RGB each.
        label_maps: (H, W) uint8 class ids each, 255 = void.

    Raises:
        ValueError: If the numbers of the two differ.
    """

    def __init__(
        self, images: Sequence[NDArray[np.uint8]], label_maps: Sequence[NDArray[np.uint8]]
    ) -> None:
        if len(images) != len(label_maps):
            raise ValueError(
                f"images and label_maps must be of one number, got {len(images)} and "
                f"{len(label_maps)}"
            )
        self._pairs = list(zip(images, label_maps, strict=True))

    def __len__(self) -> int:
        return len(self._pairs)

    def read(self, place: int) -> Sample:
        """Return photograph and label map at a place."""
        return self._pairs[place]


class DatasetSamples:
    """The photographs of a dataset, read when they are asked for."""

    def __init__(self, reader: DatasetReader, entries: Sequence[Entry]) -> None:
        self._reader = reader
        self._entries = list(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, place: int) -> Sample:
        """Return photograph and label map at a place.

        Raises:
            DatasetError: If a file cannot be read; the message names it.
        """
        photograph = self._reader.read(self._entries[place])
        return photograph.image, photograph.layout.label_map


def divide_entries(
    reader: DatasetReader,
    *,
    split: str | None = None,
    exclude_sequence: Sequence[str] = (),
    validate_split: str | None = None,
    validate_sequence: str | None = None,
) -> tuple[list[Entry], list[Entry]]:
    """Divide a dataset into what is trained on and what is validated on; nothing is in both.

    Args:
        reader: The dataset.
        split: To train on; None for all but validate_split.
        exclude_sequence: Sequences that are not trained on.
        validate_split: To validate on.
        validate_sequence: To validate on, whatever the split; it is not trained on.

    Returns:
        Entries to train on, and entries to validate on; the latter are [] if nothing is named.

    Raises:
        DatasetError: If a split or a sequence does not exist, or nothing is left to train on.
        ValueError: If one split is to be both.
    """
    if split is not None and split == validate_split:
        raise ValueError(
            f"split {split!r} is trained on, so it cannot be validated on as well; name another"
        )
    training = list_entries(reader, split, exclude_sequence)
    validation: list[Entry] = []
    if validate_split is not None:
        validation = reader.entries(validate_split)
    if validate_sequence is not None:
        everything = reader.entries()
        validation = [entry for entry in everything if entry.sequence == validate_sequence]
        if not validation:
            there = ", ".join(sorted({entry.sequence for entry in everything} - {""})) or "none"
            raise DatasetError(
                f"no sequence {validate_sequence!r} to validate on; there are: {there}"
            )
    held_out = {(entry.split, entry.source_id) for entry in validation}
    left = [entry for entry in training if (entry.split, entry.source_id) not in held_out]
    if not left:
        raise DatasetError(
            f"nothing is left to train on: all {len(training)} photographs are validated on"
        )
    return left, validation


class CheckedSamples:
    """Samples that are checked when they are read first, and kept as long as there is room.

    Args:
        source: Where they come from.
        classes: K; a label map may hold 0 to K - 1 and 255.
        limit_bytes: Room for what is kept.
    """

    def __init__(
        self, source: SampleSource, classes: int, *, limit_bytes: int = CACHE_BYTES
    ) -> None:
        self._source = source
        self._classes = classes
        self._limit_bytes = limit_bytes
        self._room_bytes = limit_bytes
        self._kept: dict[int, Sample] = {}

    def __len__(self) -> int:
        return len(self._source)

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads its own share; sent along, what is kept would be there many times.
        return self.__dict__ | {"_kept": {}, "_room_bytes": self._limit_bytes}

    def read(self, place: int) -> Sample:
        """Return photograph and label map at a place.

        Raises:
            ValueError: If their sizes or types do not fit, or a label is no class.
        """
        if place in self._kept:
            return self._kept[place]
        image, label_map = self._source.read(place)
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"sample {place}: image must be (H, W, 3) uint8, got {image.shape} {image.dtype}"
            )
        if label_map.dtype != np.uint8 or label_map.shape != image.shape[:2]:
            raise ValueError(
                f"sample {place}: label map must be {image.shape[:2]} uint8 like its image, got "
                f"{label_map.shape} {label_map.dtype}"
            )
        unknown = np.unique(label_map[(label_map >= self._classes) & (label_map != VOID)])
        if unknown.size:
            raise ValueError(
                f"sample {place}: label map holds class id {unknown[0]}, but there are "
                f"{self._classes} classes; use {VOID} for void"
            )
        size_bytes = image.nbytes + label_map.nbytes
        if size_bytes <= self._room_bytes:
            self._room_bytes -= size_bytes
            self._kept[place] = image, label_map
        return image, label_map


@dataclass(frozen=True, eq=False)
class Survey:
    """What there is to learn from.

    Attributes:
        photographs: How many there are.
        surveyed: How many of them were looked at.
        size_hw: (height, width) in pixels that most of them have.
        class_pixels: (K,) int64, labelled pixels of each class.
        void_share: Share of pixels without a class.
        mean_bytes: Of a photograph with its label map.
        sha256: Over what was looked at, in hex.
    """

    photographs: int
    surveyed: int
    size_hw: tuple[int, int]
    class_pixels: NDArray[np.int64]
    void_share: float
    mean_bytes: float
    sha256: str


def survey_samples(
    samples: SampleSource, classes: int, *, progress: Progress | None = None
) -> Survey:
    """Look at samples, or at SURVEYED of them evenly spread.

    Raises:
        ValueError: If there are none, or all that is seen is void.
    """
    if len(samples) == 0:
        raise ValueError("there are no photographs to train on, expected at least 1")
    places = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), SURVEYED)).astype(int))
    counts = np.zeros(256, np.int64)
    sizes: Counter[tuple[int, int]] = Counter()
    digest = hashlib.sha256()
    for done, place in enumerate(places, start=1):
        image, label_map = samples.read(int(place))
        counts += np.bincount(label_map.ravel(), minlength=256)
        sizes[label_map.shape[0], label_map.shape[1]] += 1
        digest.update(image.tobytes())
        digest.update(label_map.tobytes())
        if progress is not None:
            progress(done, len(places))
    if not counts[:classes].any():
        raise ValueError(
            f"all {len(places)} label maps are void, expected pixels of the {classes} classes; "
            "look whether the classes are those of the label files"
        )
    return Survey(
        photographs=len(samples),
        surveyed=len(places),
        size_hw=max(sizes, key=lambda size: (sizes[size], size)),
        class_pixels=counts[:classes],
        void_share=float(counts[VOID] / counts.sum()),
        mean_bytes=float(4 * counts.sum() / len(places)),
        sha256=digest.hexdigest(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How a photograph is changed each time it is seen.

    Attributes:
        crop_hw: (height, width) in pixels of what the network sees.
        scale_range: Least and greatest factor by which a photograph is enlarged before it is cut;
            one that would be smaller than the crop is enlarged until it is not.
        color_jitter: Strength of the changes of gamma, contrast, brightness, saturation and white
            balance; 0 leaves colours alone.
    """

    crop_hw: tuple[int, int]
    scale_range: tuple[float, float]
    color_jitter: float


def augment(
    image: NDArray[np.uint8],
    label_map: NDArray[np.uint8],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Cut a random piece of random scale, mirror it or not, change its colours.

    Args:
        image: (H, W, 3) uint8 RGB.
        label_map: (H, W) uint8 class ids.
        augmentation: What may happen.
        rng: Decides what does.

    Returns:
        (h, w, 3) float32 RGB in [0, 1] and (h, w) uint8 class ids of its pixels.
    """
    height, width = label_map.shape
    crop_height, crop_width = augmentation.crop_hw
    least, greatest = np.log(augmentation.scale_range)
    scale = max(
        float(np.exp(rng.uniform(least, greatest))), crop_height / height, crop_width / width
    )
    seen_height = min(crop_height / scale, height)
    seen_width = min(crop_width / scale, width)
    top = rng.uniform(0, height - seen_height)
    left = rng.uniform(0, width - seen_width)
    box = (left, top, min(left + seen_width, width), min(top + seen_height, height))

    # Pillow takes boxes in fractions of pixels, the same for both, and averages where it shrinks.
    size = (crop_width, crop_height)
    piece = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box))
    labels = np.asarray(Image.fromarray(label_map).resize(size, Image.Resampling.NEAREST, box))
    if rng.random() < 0.5:
        piece, labels = piece[:, ::-1], labels[:, ::-1]
    return recolor(piece, rng, strength=augmentation.color_jitter), labels


def recolor(
    image: NDArray[np.uint8], rng: np.random.Generator, *, strength: float
) -> NDArray[np.float32]:
    """Change light and colours of a photograph as another camera, street or hour would.

    Args:
        image: (H, W, 3) uint8 RGB.
        rng: Decides by how much.
        strength: Factor on every change; 0 changes nothing.

    Returns:
        (H, W, 3) float32 in [0, 1].
    """
    gamma, contrast, saturation = np.exp(
        strength * rng.normal(0, (GAMMA, CONTRAST, SATURATION))
    ).astype(np.float32)
    brightness = np.float32(strength * rng.normal(0, BRIGHTNESS))
    balance = np.exp(strength * rng.normal(0, BALANCE, 3)).astype(np.float32)

    curve = (np.arange(256, dtype=np.float32) / 255) ** gamma
    light = curve[image]
    middle = light.mean()
    light = (light - middle) * contrast + middle + brightness
    gray = light.mean(axis=2, keepdims=True)
    light = (gray + (light - gray) * saturation) * balance
    return np.asarray(np.clip(light, 0, 1), np.float32)


@dataclass(frozen=True, eq=False)
class SegmenterBatch:
    """What a segmenter learns from in one step.

    Attributes:
        images: (B, 3, h, w) float32 RGB in [0, 1].
        label_maps: (B, h, w) int64 class ids, 255 = void.
    """

    images: Tensor
    label_maps: Tensor


class SegmenterBatches:
    """Random pieces of photographs, by number of the batch.

    A batch depends on the seed and its number alone. Every sample is seen once before one is seen
    twice.

    Args:
        samples: Where pieces are cut from.
        augmentation: How.
        batch_size: B.
        seed: Of the order of samples and of what is done to them.
    """

    def __init__(
        self, samples: SampleSource, augmentation: Augmentation, *, batch_size: int, seed: int
    ) -> None:
        self._samples = samples
        self._augmentation = augmentation
        self._batch_size = batch_size
        self._seed = seed

    def batch(self, number: int) -> SegmenterBatch:
        """Return the batch of a number, from 1."""
        rng = np.random.default_rng((self._seed, 1, number))
        first = (number - 1) * self._batch_size
        pieces = [
            augment(*self._samples.read(place), self._augmentation, rng)
            for place in _places(first, self._batch_size, len(self._samples), self._seed)
        ]
        images = torch.from_numpy(np.stack([image for image, _ in pieces]))  # (B, h, w, 3)
        label_maps = np.stack([labels for _, labels in pieces]).astype(np.int64)
        return SegmenterBatch(images.permute(0, 3, 1, 2), torch.from_numpy(label_maps))


def _places(first: int, number: int, samples: int, seed: int) -> list[int]:
    """Return places first to first + number of a row of shuffled rounds over the samples."""
    chosen: list[int] = []
    while len(chosen) < number:
        round_number, start = divmod(first + len(chosen), samples)
        order = np.random.default_rng((seed, 0, round_number)).permutation(samples)
        chosen += order[start : start + number - len(chosen)].tolist()
    return chosen
