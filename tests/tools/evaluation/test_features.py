"""Feature networks: told by content, named after what they are, others refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.tools.evaluation.efficientnet import EfficientNet
from scenequilt.tools.evaluation.features import PooledNetwork, load_features
from scenequilt.tools.evaluation.inception import Inception
from scenequilt.tools.evaluation.perceptual import PLANS, PerceptualNetwork

PARTS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


def inception_state(classes: int) -> dict[str, Tensor]:
    """A state dict with published names; its features are half the mean of the last bias."""
    with torch.device("meta"):
        network = Inception(is_port=True)
    own = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    names = [f"{conv}.{part}" for conv in network.published_names for part in PARTS]
    state = {
        name: torch.zeros(value.shape, dtype=torch.float16)
        for name, value in zip(names, own.values(), strict=True)
    }
    for name, value in state.items():
        if name.endswith("bn.running_var"):
            value.fill_(1)
        if name.startswith("Mixed_7c") and name.endswith("bn.bias"):
            value.fill_(0.5)
    state["fc.bias"] = torch.zeros(classes)
    return state


def noise(count: int, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, *size_hw, 3), np.uint8)


@pytest.mark.parametrize(
    ("classes", "frechet_name", "kernel_name"),
    [(1008, "FID", "KID"), (1000, "FD-Inception-v3", "KD-Inception-v3")],
)
def test_only_the_port_of_the_2015_graph_gives_fid(
    tmp_path: Path, classes: int, frechet_name: str, kernel_name: str
) -> None:
    torch.save(inception_state(classes), tmp_path / "net.pth")

    network = load_features(tmp_path / "net.pth")

    assert (network.name, network.dims) == ("inception-v3", 2048)
    assert (network.frechet_name, network.kernel_name) == (frechet_name, kernel_name)
    features = network.features(noise(1, (40, 60)))
    assert features.dtype == np.float32
    # Every convolution of the last block gives its bias, 0.5, whatever the picture shows.
    np.testing.assert_array_equal(features, np.full((1, 2048), 0.5, np.float32))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_efficientnet_is_known_in_either_form(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"net{suffix}"
    expected = EfficientNet().eval()
    if suffix == ".pth":
        torch.save(expected.state_dict(), path)
    else:
        save_file(expected.state_dict(), path)
    images = noise(2, (40, 60))
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]

    network = load_features(path)

    assert (network.name, network.dims) == ("efficientnet-b0", 1280)
    assert (network.frechet_name, network.kernel_name) == (
        "FD-EfficientNet-B0",
        "KD-EfficientNet-B0",
    )
    with torch.inference_mode():
        of_module = expected((scaled - mean) / std).numpy()
    np.testing.assert_allclose(network.features(images), of_module, rtol=1e-3, atol=1e-4)


def test_an_npz_of_convolutions_gives_a_perceptual_network(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {}
    for place, part in enumerate(PLANS["alexnet"]):
        arrays[f"conv{place}.weight"] = np.ones(part.shape, np.float16)
        arrays[f"conv{place}.bias"] = np.ones(part.shape[0], np.float16)
    np.savez(tmp_path / "net.npz", **arrays)

    network = load_features(tmp_path / "net.npz", short_side=64)

    assert isinstance(network, PerceptualNetwork)
    assert (network.name, network.short_side, network.has_heads) == ("alexnet", 64, False)


def test_features_of_a_picture_do_not_depend_on_its_batch() -> None:
    torch.manual_seed(0)
    module = EfficientNet().eval()
    network = PooledNetwork(
        "n", "F", "K", 1280, "", module, lambda pictures: pictures.float() / 255
    )
    images = noise(3, (32, 64))

    alone = np.concatenate([network.features(images[place : place + 1]) for place in range(3)])

    np.testing.assert_allclose(network.features(images), alone, rtol=1e-3, atol=1e-5)


def test_a_segmenter_is_refused_by_what_it_is(tmp_path: Path) -> None:
    state = {
        "level1_0.conv.weight": torch.zeros(32, 3, 3, 3),
        "classifier.0.conv.weight": torch.zeros(11, 256, 1, 1),
    }
    torch.save({"epoch": 1, "model": state}, tmp_path / "net.pth")

    with pytest.raises(
        CheckpointError, match="holds CGNet's weights, a segmenter; expected a network for features"
    ):
        load_features(tmp_path / "net.pth")


def test_weights_of_an_unknown_network_are_refused_with_what_is_read(tmp_path: Path) -> None:
    torch.save({"layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "resnet.pth")

    with pytest.raises(CheckpointError, match=r"1 arrays \(layer1\.0.*Read are.*EfficientNet-B0"):
        load_features(tmp_path / "resnet.pth")


def test_incomplete_weights_are_refused_by_the_tensor(tmp_path: Path) -> None:
    state = inception_state(1008)
    del state["Mixed_6a.branch3x3.bn.running_var"]
    torch.save(state, tmp_path / "inception.pth")
    other = EfficientNet().state_dict()
    del other["features.5.1.block.1.1.bias"]
    torch.save(other, tmp_path / "efficientnet.pth")

    with pytest.raises(
        CheckpointError, match=r"not whole as Inception-v3: Mixed_6a\.branch3x3\.bn"
    ):
        load_features(tmp_path / "inception.pth")
    with pytest.raises(
        CheckpointError, match=r"not whole as EfficientNet-B0: features\.5\.1\.block"
    ):
        load_features(tmp_path / "efficientnet.pth")
