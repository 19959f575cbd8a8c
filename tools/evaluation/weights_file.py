"""A file of weights: what it is by its content, and its tensors by name."""

import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.tools.evaluation import cgnet, efficientnet, inception, perceptual
from scenequilt.tools.training.checkpoint import CARD_KEY

Kind = Literal["segmenter", "perceptual", "features", "unknown"]

SUFFIXES = (".npz", ".pth", ".pt", ".safetensors", ".onnx")

STATE_KEYS = ("model", "state_dict", "model_state_dict")
"""Under these keys programs save a state dict beside other things."""

CLASSIFIER = "classifier.0.conv.weight"
"""Of CGNet as its authors name it; its first length is the number of classes."""

NO_TENSOR = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    KeyError,
    AttributeError,
    TypeError,
    IndexError,
    pickle.UnpicklingError,
)
"""What torch.load raises for bytes that are no tensors, depending on where it stumbles."""

ANSI_CODE = re.compile(r"\x1b\[[0-9;]*m")
"""What a terminal takes for colours."""

READABLE = (
    "segmenters: a checkpoint of this program (.safetensors), CGNet's published state dict (.pth), "
    "TorchScript (.pt, .pth), ONNX (.onnx); features: AlexNet, VGG-16 or VGG-19 (.npz), "
    "Inception-v3 or EfficientNet-B0 (state dict, .pth, .pt, .safetensors)"
)
"""For messages."""


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """What a file of weights is.

    Attributes:
        path: The file.
        kind: What it serves for. A perceptual network serves for features too.
        network: "cgnet", "torchscript", "onnx", "alexnet", "vgg16", "vgg19", "inception-v3",
            "efficientnet-b0", or what a checkpoint's card says; "" if not known.
        holds: The same in words, for messages.
        has_heads: True for a perceptual network with LPIPS heads.
        classes: Number of classes of a segmenter, None where only running it tells.
        class_names: Their names in order, None where the file does not tell.
    """

    path: Path
    kind: Kind
    network: str
    holds: str
    has_heads: bool = False
    classes: int | None = None
    class_names: tuple[str, ...] | None = None


def inspect_weights(path: Path) -> WeightsFile:
    """Say what a file of weights is, from headers and names where its form has any.

    Raises:
        CheckpointError: If the file is absent, cannot be read, or has a suffix that is not read.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is missing or no file; read are {READABLE}")
    if path.suffix not in SUFFIXES:
        raise CheckpointError(
            f"{path} ends in {path.suffix or 'nothing'!r}, expected {', '.join(SUFFIXES)}; read "
            f"are {READABLE}"
        )
    if path.suffix == ".npz":
        return _inspect_npz(path)
    if path.suffix == ".onnx":
        return WeightsFile(path, "segmenter", "onnx", "an ONNX graph")
    if path.suffix == ".safetensors":
        card, shapes = _safetensors_header(path)
        return _inspect_card(path, card) if card is not None else _inspect_shapes(path, shapes)
    if is_torchscript(path):
        return WeightsFile(path, "segmenter", "torchscript", "a TorchScript module")
    state = _load_state(path, device="meta")
    return _inspect_shapes(path, {name: tuple(value.shape) for name, value in state.items()})


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a published state dict by name.

    Takes .safetensors and what torch.save wrote: a state dict, or one under "model", "state_dict"
    or "model_state_dict". "module." in front of every name is left out. No code in the file runs.

    Raises:
        CheckpointError: If there are no tensors to be read.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}") from error
    return _load_state(path, device="cpu")


def is_torchscript(path: Path) -> bool:
    """Return True if torch.jit.save wrote a file."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def torch_reason(error: BaseException) -> str:
    """Return in a line why torch could not read a file, without its advice to run the file's code.

    What torch says of a file that holds more than tensors tells how to load it nevertheless, in
    colours of a terminal.
    """
    text = ANSI_CODE.sub("", str(error)).strip()
    if "weights_only" in text or "Weights only" in text:
        return "it holds more than tensors"
    return text.partition("\n")[0]


def _inspect_npz(path: Path) -> WeightsFile:
    shapes = perceptual.npz_shapes(path)
    network = perceptual.network_of_shapes(shapes)
    if network is None:
        return WeightsFile(path, "unknown", "", perceptual.describe_shapes(shapes))
    has_heads = bool(perceptual.head_names(shapes))
    heads = "with LPIPS heads" if has_heads else "without LPIPS heads"
    return WeightsFile(
        path,
        "perceptual" if has_heads else "features",
        network,
        f"the convolutions of {network} {heads}",
        has_heads=has_heads,
    )


def _inspect_card(path: Path, card: Mapping[str, Any]) -> WeightsFile:
    network = str(card.get("network"))
    holds = f"a checkpoint of {network}"
    taxonomy = card.get("taxonomy")
    if network != "cgnet" or not isinstance(taxonomy, dict):
        return WeightsFile(path, "unknown", network, holds)
    names = tuple(str(entry["name"]) for entry in taxonomy.get("classes", []))
    return WeightsFile(path, "segmenter", network, holds, classes=len(names), class_names=names)


def _inspect_shapes(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> WeightsFile:
    if CLASSIFIER in shapes and cgnet.is_published(shapes):
        return WeightsFile(
            path, "segmenter", "cgnet", "CGNet's weights", classes=shapes[CLASSIFIER][0]
        )
    if inception.is_inception(shapes):
        return WeightsFile(path, "features", "inception-v3", "Inception-v3's weights")
    if efficientnet.is_efficientnet(shapes):
        return WeightsFile(path, "features", "efficientnet-b0", "EfficientNet-B0's weights")
    return WeightsFile(path, "unknown", "", perceptual.describe_shapes(shapes))


def _safetensors_header(
    path: Path,
) -> tuple[Mapping[str, Any] | None, dict[str, tuple[int, ...]]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        card = json.loads(metadata[CARD_KEY]) if CARD_KEY in metadata else None
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read as safetensors: {error}") from error
    return card, shapes


def _load_state(path: Path, *, device: str) -> dict[str, Tensor]:
    try:
        stored = torch.load(path, map_location=device, weights_only=True)
    except NO_TENSOR as error:
        raise CheckpointError(
            f"{path} holds no tensors that can be read without running code of its own "
            f"({torch_reason(error)}); save a state dict"
        ) from error
    for key in STATE_KEYS:
        if isinstance(stored, Mapping) and isinstance(stored.get(key), Mapping):
            stored = stored[key]
            break
    if not isinstance(stored, Mapping):
        raise CheckpointError(f"{path} holds a {type(stored).__name__}, expected a state dict")
    state = {str(name): value for name, value in stored.items() if isinstance(value, Tensor)}
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state
