"""EfficientNet-B0: as large as published, named as published, weights in their places."""

import pytest
import torch

from scenequilt.tools.evaluation.efficientnet import (
    ChannelWeights,
    EfficientNet,
    efficientnet_from,
    is_efficientnet,
)


def test_it_has_as_many_parameters_as_published() -> None:
    # torchvision counts 5,288,548, of which the classifier has 1,280 * 1,000 + 1,000.
    count = sum(parameter.numel() for parameter in EfficientNet().parameters())

    assert count == 5_288_548 - 1_281_000


def test_names_and_shapes_are_the_published_ones() -> None:
    shapes = {name: tuple(value.shape) for name, value in EfficientNet().state_dict().items()}

    # Two more are the classifier's.
    assert len(shapes) == 360 - 2
    assert shapes["features.0.0.weight"] == (32, 3, 3, 3)
    assert shapes["features.1.0.block.0.0.weight"] == (32, 1, 3, 3)
    assert shapes["features.1.0.block.2.0.weight"] == (16, 32, 1, 1)
    assert shapes["features.2.0.block.0.0.weight"] == (96, 16, 1, 1)
    assert shapes["features.2.0.block.2.fc1.weight"] == (4, 96, 1, 1)
    assert shapes["features.6.3.block.1.0.weight"] == (1152, 1, 5, 5)
    assert shapes["features.7.0.block.3.1.running_var"] == (320,)
    assert shapes["features.8.0.weight"] == (1280, 320, 1, 1)


def test_it_looks_at_a_32nd_of_the_size() -> None:
    network = EfficientNet().eval()

    with torch.inference_mode():
        assert network.features(torch.zeros(1, 3, 64, 96)).shape == (1, 1280, 2, 3)
        assert network(torch.zeros(2, 3, 64, 96)).shape == (2, 1280)


def test_channel_weights_are_one_for_a_whole_map() -> None:
    maps = torch.rand(1, 8, 4, 6)

    ratio = ChannelWeights(8, 2)(maps) / maps

    torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio))


def test_a_published_state_dict_makes_the_same_network() -> None:
    network = EfficientNet().eval()
    state = {
        **network.state_dict(),
        "classifier.1.weight": torch.zeros(1000, 1280),
        "classifier.1.bias": torch.zeros(1000),
    }
    image = torch.rand(1, 3, 32, 32)

    assert is_efficientnet({name: tuple(value.shape) for name, value in state.items()})
    with torch.inference_mode():
        torch.testing.assert_close(efficientnet_from(state)(image), network(image))


def test_a_larger_efficientnet_is_refused_by_name() -> None:
    state = EfficientNet().state_dict()
    state["features.1.1.block.0.0.weight"] = torch.zeros(16, 1, 3, 3)

    with pytest.raises(ValueError, match=r"features\.1\.1\.block\.0\.0\.weight is no part of"):
        efficientnet_from(state)


def test_an_absent_tensor_is_named() -> None:
    state = EfficientNet().state_dict()
    del state["features.3.1.block.3.0.weight"]

    with pytest.raises(ValueError, match=r"features\.3\.1\.block\.3\.0\.weight must be .*nothing"):
        efficientnet_from(state)
