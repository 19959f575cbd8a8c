"""Discriminators: patches of 70 pixels, places on a classifier's maps, weights of norm 1."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from scenequilt.synthesis.discriminator import FeatureDiscriminator, PatchDiscriminator
from scenequilt.synthesis.network import one_hot

CLASSES = 3


def _scene(height: int = 48, width: int = 64, *, batch: int = 2) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(0, CLASSES + 1, (batch, height, width), generator=draw)
    return one_hot(labels, CLASSES), torch.rand(batch, 3, height, width, generator=draw)


def _tiny(seed: int = 0) -> PatchDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PatchDiscriminator(CLASSES, width=0.01)


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [each for each in network.modules() if isinstance(each, nn.Conv2d)]


def test_at_width_1_it_is_the_discriminator_of_pix2pix() -> None:
    network = PatchDiscriminator(19)

    shapes = [tuple(each.weight.shape) for each in _convolutions(network)]
    strides = [each.stride[0] for each in _convolutions(network)]

    channels = [20 + 3, 64, 128, 256, 512, 1]
    assert shapes == [(after, before, 4, 4) for before, after in pairwise(channels)]
    assert strides == [2, 2, 2, 1, 1]


def test_an_answer_is_about_70_pixels() -> None:
    reach, step = 1, 1
    for each in _convolutions(_tiny()):
        reach += (each.kernel_size[0] - 1) * step
        step *= each.stride[0]

    assert reach == 70


@pytest.mark.parametrize(
    ("size_hw", "expected"), [((48, 64), (4, 6)), ((64, 64), (6, 6)), ((37, 70), (2, 6))]
)
def test_there_is_an_answer_every_8_pixels(
    size_hw: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert _tiny()(*_scene(*size_hw)).shape == (2, 1, *expected)


def test_it_looks_at_layout_and_picture() -> None:
    network = _tiny().eval()
    layout, picture = _scene()

    answers = network(layout, picture)

    assert not torch.equal(answers, network(layout.roll(1, dims=1), picture))
    assert not torch.equal(answers, network(layout, 1 - picture))


def test_scenes_of_a_batch_do_not_know_each_other() -> None:
    network = _tiny().eval()
    layout, picture = _scene()

    answers = network(layout, picture)

    torch.testing.assert_close(answers[1:], network(layout[1:], picture[1:]))


def _maps(*, batch: int = 2) -> list[Tensor]:
    """Return what a classifier might see of a scene."""
    draw = torch.Generator().manual_seed(2)
    return [
        torch.rand(batch, channels, 48 >> level, 64 >> level, generator=draw)
        for level, channels in enumerate(FeatureDiscriminator.CHANNELS)
    ]


def _over_maps(seed: int = 0) -> FeatureDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return FeatureDiscriminator(CLASSES, width=0.01)


@pytest.mark.parametrize("over_maps", [False, True])
def test_no_convolution_stretches_by_more_than_1(over_maps: bool) -> None:
    network: nn.Module = _over_maps() if over_maps else _tiny()
    layout, pictures = _scene()
    for _ in range(50):
        network(layout, _maps() if over_maps else pictures)

    norms = [
        float(torch.linalg.matrix_norm(each.weight.detach().flatten(1), 2))
        for each in _convolutions(network.eval())
    ]

    assert norms == pytest.approx([1] * len(norms), abs=0.02)


def test_gradients_reach_every_weight() -> None:
    network = _tiny()

    network(*_scene()).square().sum().backward()

    weights = [
        each for name, each in network.named_parameters() if name.endswith("weight.original")
    ]
    assert len(weights) == 5
    assert all(each.grad is not None and each.grad.any() for each in weights)


def test_the_gradient_by_the_picture_is_that_of_differences() -> None:
    network = _tiny().eval().double()
    layout, picture = _scene(32, 40, batch=1)

    assert torch.autograd.gradcheck(
        lambda given: network(layout.double(), given),
        picture.double().requires_grad_(),
        fast_mode=True,
    )


def test_places_on_three_maps_are_judged() -> None:
    layout, _ = _scene()

    answers = _over_maps()(layout, _maps())

    assert answers.shape == (2 * (24 * 32 + 12 * 16 + 6 * 8),)


def test_how_bright_a_place_is_does_not_count() -> None:
    """Maps differ by orders of magnitude; what counts are the shares of the channels."""
    network, (layout, _) = _over_maps().eval(), _scene()

    answers = network(layout, _maps())

    brighter = network(layout, [1000 * each for each in _maps()])
    torch.testing.assert_close(brighter, answers, atol=2e-3, rtol=2e-3)


def test_a_judge_over_maps_looks_at_the_layout() -> None:
    network, (layout, _) = _over_maps().eval(), _scene()

    assert not torch.equal(network(layout, _maps()), network(layout.roll(1, dims=1), _maps()))


def test_gradients_reach_every_parameter_over_maps_and_the_maps_it_looks_at() -> None:
    network, (layout, _) = _over_maps(), _scene()
    maps = [each.requires_grad_() for each in _maps()]

    network(layout, maps).square().sum().backward()

    assert all(each.grad is not None and each.grad.any() for each in network.parameters())
    assert [each.grad is not None for each in maps] == [False, True, True, True, False]


def test_where_the_classifier_sees_nothing_there_is_an_answer_and_a_gradient() -> None:
    network, (layout, _) = _over_maps(), _scene()
    maps = [torch.zeros_like(each).requires_grad_() for each in _maps()]

    answers = network(layout, maps)
    answers.sum().backward()

    assert answers.isfinite().all()
    for level in network.levels:
        gradient = maps[level].grad
        assert gradient is not None
        assert gradient.isfinite().all()
