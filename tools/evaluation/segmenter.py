"""Segmenters: networks that say what class every pixel of a picture shows."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.cgnet import CGNet, from_published
from scenequilt.tools.evaluation.file_hash import file_sha256
from scenequilt.tools.evaluation.perceptual import as_batch
from scenequilt.tools.evaluation.weights_file import (
    CLASSIFIER,
    READABLE,
    WeightsFile,
    inspect_weights,
    read_state,
    torch_reason,
)
from scenequilt.tools.training.checkpoint import read_checkpoint

PUBLISHED_CGNET_MEAN = (105.65775, 103.329834, 99.625404)
"""RGB in 0 to 255, what the authors' program takes off a CamVid picture; it divides by nothing."""

PROBE_HW = (64, 96)
"""Size of the empty picture that a graph is tried with when it is loaded."""

SIDECAR_KEYS = ("mean", "std", "scale", "classes")


class Segmenter(Protocol):
    """Says what class every pixel of a picture shows."""

    @property
    def name(self) -> str:
        """Short name: of its file, without the suffix."""
        ...

    @property
    def network(self) -> str:
        """Of the architecture: "cgnet", "torchscript" or "onnx"."""
        ...

    @property
    def classes(self) -> int:
        """How many it tells apart: those of the taxonomy it was loaded for."""
        ...

    @property
    def sha256(self) -> str:
        """Of the file of weights, in hex."""
        ...

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (B, H, W) uint8 class ids of (B, H, W, 3) uint8 RGB, of any size.

        A picture's classes do not depend on the pictures beside it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a segmenter expects of a picture: (RGB * scale / 255 - mean) / std.

    Attributes:
        mean: Of red, green and blue, on the scale.
        std: The same.
        scale: What white is: 1 or 255.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    scale: int = 1

    def __post_init__(self) -> None:
        if self.scale not in (1, 255):
            raise ValueError(f"scale must be 1 or 255, got {self.scale!r}")
        for name in ("mean", "std"):
            if len(getattr(self, name)) != 3:
                raise ValueError(f"{name} must be three numbers, got {getattr(self, name)}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {self.std}")

    def apply(self, pictures: Tensor) -> Tensor:
        """Return (B, 3, H, W) float32 of (B, 3, H, W) uint8 RGB."""
        mean = torch.tensor(self.mean).reshape(3, 1, 1)
        std = torch.tensor(self.std).reshape(3, 1, 1)
        return pictures.float().mul_(self.scale / 255).sub_(mean).div_(std)


@dataclass(frozen=True, eq=False)
class NetworkSegmenter:
    """A segmenter made of a function from pictures to scores.

    Attributes:
        name: As in Segmenter.
        network: As in Segmenter.
        sha256: As in Segmenter.
        scores: (B, 3, H, W) float -> (B, K, h, w) float, at the picture's size or smaller.
        preprocessing: What scores expects.
        class_ids: (K,) uint8, class id in the taxonomy of each of its classes.
        is_by_number: True if its file names no classes, so that they were taken by number.
    """

    name: str
    network: str
    sha256: str
    scores: Callable[[Tensor], Tensor]
    preprocessing: Preprocessing
    class_ids: NDArray[np.uint8]
    is_by_number: bool = field(default=False, kw_only=True)

    @property
    def classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.class_ids)

    @torch.inference_mode()
    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (B, H, W) uint8 class ids of (B, H, W, 3) uint8 RGB."""
        pictures = as_batch(images)
        scores = self.scores(self.preprocessing.apply(pictures))  # (B, K, h, w)
        if scores.shape[2:] != pictures.shape[2:]:
            scores = F.interpolate(scores, pictures.shape[2:], mode="bilinear", align_corners=False)
        return np.take(self.class_ids, scores.argmax(1).numpy())


def load_segmenter(path: Path, taxonomy: Taxonomy) -> NetworkSegmenter:
    """Read a segmenter: our checkpoint, CGNet's published state dict, TorchScript or ONNX.

    TorchScript and ONNX take (B, 3, H, W) float and give (B, K, h, w) scores. A file beside them,
    of the same name and ".json", may say what they expect: {"mean": [r, g, b], "std": [r, g, b],
    "scale": 1 or 255, "classes": [names in order]}; without it pictures are RGB in [0, 1] and
    classes are the taxonomy's by number.

    Args:
        path: The file.
        taxonomy: Classes that predictions are to be in; those of the file are matched by name
            where it knows names, else by number.

    Raises:
        CheckpointError: If the file is no segmenter, or its classes are not the taxonomy's.
    """
    found = inspect_weights(path)
    if found.kind != "segmenter":
        raise CheckpointError(
            f"{path} holds {found.holds}; expected a segmenter. Read are {READABLE}"
        )
    check_classes(found, taxonomy)
    if found.network == "torchscript":
        return _from_graph(found, _torchscript(path), taxonomy)
    if found.network == "onnx":
        return _from_graph(found, _onnx(path), taxonomy)
    if path.suffix == ".safetensors" and found.class_names is not None:
        return _from_checkpoint(path, taxonomy)
    return _from_published(path, taxonomy)


def check_classes(file: WeightsFile, taxonomy: Taxonomy) -> None:
    """Compare the classes of a segmenter's file with a taxonomy, as far as its header tells.

    Raises:
        CheckpointError: If they differ; the message has both.
    """
    names = file.class_names
    if file.network in ("torchscript", "onnx"):
        names = _read_sidecar(file.path)[1]
    if names is not None or file.classes is not None:
        class_ids_of(names, file.classes or len(names or ()), taxonomy, str(file.path))


def class_ids_of(
    names: Sequence[str] | None, count: int, taxonomy: Taxonomy, where: str
) -> NDArray[np.uint8]:
    """Return (K,) uint8: the class id of each of a segmenter's classes.

    Args:
        names: Of its classes in order; None if not known, then they go by number.
        count: How many it has, K.
        taxonomy: The classes that are wanted.
        where: The file, for messages.

    Raises:
        CheckpointError: If a class is on one side only, or the counts differ.
    """
    wanted = [entry.name for entry in taxonomy.classes]
    if names is None:
        if count != len(wanted):
            raise CheckpointError(
                f"{where} tells {count} classes apart, taxonomy {taxonomy.name!r} has "
                f"{len(wanted)}; give a segmenter of these classes"
            )
        return np.arange(count, dtype=np.uint8)
    own = [name.strip().lower().replace(" ", "_").replace("-", "_") for name in names]
    missing = [name for name in wanted if name not in own]
    extra = [name for name in own if name not in wanted]
    if len(own) != len(wanted):
        raise CheckpointError(
            f"{where} has {len(own)} classes, taxonomy {taxonomy.name!r} has {len(wanted)}; give a "
            "segmenter of these classes"
        )
    if missing or extra:
        raise CheckpointError(
            f"{where} has {len(own)} classes as has taxonomy {taxonomy.name!r}, but of other names; "
            f"missing: {', '.join(missing) or 'none'}, too many: {', '.join(extra) or 'none'}; give "
            "a segmenter of these classes"
        )
    if len(own) != count:
        raise CheckpointError(
            f"{where} gives scores of {count} classes, but names {len(own)}: {', '.join(own)}"
        )
    return np.array([wanted.index(name) for name in own], np.uint8)


def _from_checkpoint(path: Path, taxonomy: Taxonomy) -> NetworkSegmenter:
    checkpoint = read_checkpoint(path)
    table = checkpoint.card.taxonomy or {}
    names = [str(entry["name"]) for entry in table["classes"]]
    try:
        preprocessing = Preprocessing(
            _triple(checkpoint.card.preprocessing["mean"]),
            _triple(checkpoint.card.preprocessing["std"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: its card's preprocessing is {checkpoint.card.preprocessing}, expected mean "
            "and std, three numbers each"
        ) from error
    class_ids = class_ids_of(names, len(names), taxonomy, str(path))
    return NetworkSegmenter(
        path.stem,
        "cgnet",
        file_sha256(path),
        _cgnet(path, checkpoint.state, len(names)),
        preprocessing,
        class_ids,
    )


def _from_published(path: Path, taxonomy: Taxonomy) -> NetworkSegmenter:
    state = read_state(path)
    classes = len(state[CLASSIFIER])
    try:
        own = from_published(state)
    except ValueError as error:
        raise CheckpointError(f"{path} is not CGNet's: {error}") from error
    return NetworkSegmenter(
        path.stem,
        "cgnet",
        file_sha256(path),
        _cgnet(path, own, classes),
        Preprocessing(mean=PUBLISHED_CGNET_MEAN, scale=255),
        class_ids_of(None, classes, taxonomy, str(path)),
        is_by_number=True,
    )


def _cgnet(path: Path, state: Mapping[str, Tensor], classes: int) -> Callable[[Tensor], Tensor]:
    network = CGNet(classes)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is not CGNet of {classes} classes: {error}") from error
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def _from_graph(
    found: WeightsFile, scores: Callable[[Tensor], Tensor], taxonomy: Taxonomy
) -> NetworkSegmenter:
    preprocessing, names = _read_sidecar(found.path)
    # Tried now, since what a graph gives shows only when it runs.
    with torch.inference_mode():
        given = scores(torch.zeros(1, 3, *PROBE_HW))
    if not isinstance(given, Tensor) or given.ndim != 4 or len(given) != 1:
        shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise CheckpointError(
            f"{found.path} gives {shape} for one picture, expected scores (1, K, h, w)"
        )
    class_ids = class_ids_of(names, given.shape[1], taxonomy, str(found.path))
    return NetworkSegmenter(
        found.path.stem,
        found.network,
        file_sha256(found.path),
        scores,
        preprocessing,
        class_ids,
        is_by_number=names is None,
    )


def _torchscript(path: Path) -> Callable[[Tensor], Tensor]:
    with warnings.catch_warnings():
        # torch announces the end of TorchScript; files of it will be around for longer.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            module = torch.jit.load(str(path), map_location="cpu")
        except (RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{path} cannot be read as TorchScript: {torch_reason(error)}"
            ) from error
    module.eval()

    def scores(pictures: Tensor) -> Tensor:
        try:
            given: Tensor = module(pictures)
        except RuntimeError as error:
            last = str(error).strip().rpartition("\n")[2]
            raise CheckpointError(
                f"{path} does not take (B, 3, H, W) float pictures: {last}"
            ) from error
        return given

    return scores


def _onnx(path: Path) -> Callable[[Tensor], Tensor]:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise CheckpointError(
            f"{path}: reading ONNX needs onnxruntime; install it with: "
            "pip install 'scenequilt[onnx]'"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises classes of its own that it does not export
        raise CheckpointError(f"{path} cannot be read as ONNX: {error}") from error
    (given,) = session.get_inputs()[:1]
    fixed_batch, _, *fixed_hw = given.shape if len(given.shape) == 4 else (None, 3, None, None)

    def scores(pictures: Tensor) -> Tensor:
        # A graph may be written for one size or for one picture at a time.
        size = tuple(
            fixed if isinstance(fixed, int) else own
            for fixed, own in zip(fixed_hw, pictures.shape[2:], strict=True)
        )
        if size != tuple(pictures.shape[2:]):
            pictures = F.interpolate(pictures, size, mode="bilinear", antialias=True)
        step = fixed_batch if isinstance(fixed_batch, int) else len(pictures)
        try:
            parts = [
                session.run(None, {given.name: part.contiguous().numpy()})[0]
                for part in pictures.split(step)
            ]
        except Exception as error:  # as above
            raise CheckpointError(
                f"{path} does not take (B, 3, H, W) float pictures: {error}"
            ) from error
        return torch.from_numpy(np.concatenate(parts))

    return scores


def _read_sidecar(path: Path) -> tuple[Preprocessing, tuple[str, ...] | None]:
    sidecar = path.with_name(f"{path.name}.json")
    if not sidecar.is_file():
        return Preprocessing(), None
    try:
        table: Any = json.loads(sidecar.read_text(encoding="utf-8"))
        if not isinstance(table, dict):
            raise TypeError(f"expected an object, got {type(table).__name__}")
        unknown = sorted(table.keys() - set(SIDECAR_KEYS))
        if unknown:
            raise ValueError(f"no key {unknown[0]!r}; there are {', '.join(SIDECAR_KEYS)}")
        preprocessing = Preprocessing(
            _triple(table.get("mean", (0, 0, 0))),
            _triple(table.get("std", (1, 1, 1))),
            table.get("scale", 1),
        )
        names = table.get("classes")
        return preprocessing, None if names is None else tuple(str(name) for name in names)
    except (OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{sidecar}: {error}") from error


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
