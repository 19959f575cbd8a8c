"""DepthNet: shapes, size, gradients; NetworkDepth: from a photograph to its depth."""

import numpy as np
import pytest
import torch

from scenequilt.ordering.depth_network import DepthNet, DepthNetSettings, NetworkDepth

TINY = DepthNetSettings(width=4 / 512, size_hw=(32, 64))


def test_it_has_the_size_that_its_channels_give() -> None:
    # Two 3x3 convolutions a level, a scale and a shift a channel, one 1x1 convolution at the end.
    encoder = [(5, 16), (16, 32), (32, 64), (64, 128), (128, 128)]
    decoder = [(128 + 128, 128), (128 + 64, 64), (64 + 32, 32)]
    expected = (
        32
        + 1
        + sum(9 * (before + after) * after + 4 * after for before, after in [*encoder, *decoder])
    )

    found = sum(parameter.numel() for parameter in DepthNet().parameters())

    assert found == expected


@pytest.mark.parametrize("size", [(32, 64), (48, 48), (16, 16)])
def test_depth_comes_at_half_the_size(size: tuple[int, int]) -> None:
    assert DepthNet(TINY)(torch.rand(2, 3, *size)).shape == (2, size[0] // 2, size[1] // 2)


def test_it_begins_within_a_room() -> None:
    torch.manual_seed(0)

    with torch.no_grad():
        depth_m = DepthNet()(torch.rand(1, 3, 32, 64)).exp()

    assert 0.2 < float(depth_m.min()) < float(depth_m.max()) < 20


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = DepthNet(TINY)

    network(torch.rand(2, 3, 32, 64)).square().mean().backward()

    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for parameter in network.parameters()
    )


def test_a_photograph_of_any_size_gets_its_depth() -> None:
    torch.manual_seed(0)
    network = DepthNet(TINY)
    image = np.random.default_rng(0).integers(0, 256, (50, 75, 3), np.uint8)

    depth_m = NetworkDepth(network).depth("a", image)

    assert depth_m.shape == (50, 75)
    assert depth_m.dtype == np.float32
    assert (depth_m > 0).all()


def test_at_its_own_size_a_photograph_is_seen_as_it_is() -> None:
    torch.manual_seed(0)
    network = DepthNet(TINY).eval()
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)

    depth_m = NetworkDepth(network).depth("a", image)

    with torch.no_grad():
        picture = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
        small = network(picture)[0].numpy()
    # An odd pixel is a quarter of the way from one centre to the next, each way.
    rows = 0.75 * small[:-1] + 0.25 * small[1:]
    expected = 0.75 * rows[:, :-1] + 0.25 * rows[:, 1:]
    assert np.log(depth_m[1:-1:2, 1:-1:2]) == pytest.approx(expected, abs=1e-5)


def test_misfits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 16, got \(1, 3, 32, 40\)"):
        DepthNet(TINY)(torch.rand(1, 3, 32, 40))
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8, got \(4, 4\) uint8"):
        NetworkDepth(DepthNet(TINY)).depth("a", np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match=r"size_hw is \(40, 64\), .* multiples of 16"):
        DepthNetSettings(size_hw=(40, 64))
    with pytest.raises(ValueError, match="width is 0, expected a positive share"):
        DepthNetSettings(width=0)
