"""Discriminators over scales: the published table, their order, and matched maps by hand."""

import pytest
import torch
from torch import Tensor, nn

from scenequilt.synthesis.multiscale import (
    MultiScaleDiscriminator,
    feature_matching,
    halved_smoothly,
)
from scenequilt.synthesis.network import load_matching


def _tiny(*, scales: int = 2, spectral: bool = False, seed: int = 0) -> MultiScaleDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MultiScaleDiscriminator(5, width=0.01, scales=scales, spectral=spectral)


def _stages(network: MultiScaleDiscriminator, scale: int = 0) -> list[nn.Sequential]:
    return [each for each in network.scales[scale].modules() if isinstance(each, nn.Sequential)]


def _seen(height: int = 32, width: int = 64, *, batch: int = 2) -> Tensor:
    return torch.randn(batch, 5, height, width, generator=torch.Generator().manual_seed(1))


def _reached(network: MultiScaleDiscriminator, scale: int, side: int) -> int:
    """Return how many rows an answer in the middle depends on; norms reach all and are left out."""
    seen = torch.zeros(1, 5, side, side, requires_grad=True)
    answers = network(seen)[scale][-1]
    middle = answers.shape[2] // 2
    answers[0, 0, middle, middle].backward()
    assert seen.grad is not None
    return int(seen.grad.abs().sum((0, 1, 3)).gt(0).sum())


@pytest.mark.parametrize(("scales", "parameters"), [(2, 5_603_202), (3, 8_404_803)])
def test_at_width_1_it_has_the_published_number_of_parameters(scales: int, parameters: int) -> None:
    with torch.device("meta"):
        network = MultiScaleDiscriminator(39, scales=scales)

    assert sum(each.numel() for each in network.parameters()) == parameters


def test_maps_have_the_published_sizes() -> None:
    with torch.device("meta"):
        maps = MultiScaleDiscriminator(39)(torch.zeros(1, 39, 512, 1024))

    assert [tuple(each.shape[1:]) for each in maps[-1]] == [
        (64, 257, 513),
        (128, 129, 257),
        (256, 65, 129),
        (512, 66, 130),
        (1, 67, 131),
    ]
    assert maps[0][0].shape[2:] == (129, 257)


@pytest.mark.parametrize(("scale", "reach"), [(2, 70), (1, 141), (0, 283)])
def test_an_answer_is_about_70_pixels_of_its_scale(scale: int, reach: int) -> None:
    """Averages over 3 pixels add one: 2 * (70 - 1) + 3 at half, 2 * (141 - 1) + 3 at a quarter."""
    network = _tiny(scales=3)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    for each in range(3):
        for stage in _stages(network, each):
            if len(stage) == 3:
                stage[1] = nn.Identity()

    assert _reached(network, scale, 352) == reach


def test_a_half_is_the_mean_of_three_by_three_pixels_that_are_there() -> None:
    picture = torch.arange(20.0).view(1, 1, 4, 5)

    half = halved_smoothly(picture)

    corner, edge, inner = (0 + 1 + 5 + 6) / 4, (1 + 2 + 3 + 6 + 7 + 8) / 6, 12.0
    assert half.shape == (1, 1, 2, 3)
    assert half[0, 0, 0, 0] == corner
    assert half[0, 0, 0, 1] == edge
    assert half[0, 0, 1, 1] == inner


def test_the_last_scale_sees_the_picture_itself_and_the_first_the_smallest() -> None:
    network, seen = _tiny(scales=3), _seen()

    maps = network(seen)

    for scale, expected in zip(
        (2, 1, 0),
        (seen, halved_smoothly(seen), halved_smoothly(halved_smoothly(seen))),
        strict=True,
    ):
        alone = network.scales[scale](expected)
        assert all(torch.equal(one, other) for one, other in zip(maps[scale], alone, strict=True))


def test_one_for_a_size_is_the_beginning_of_one_for_twice_that() -> None:
    two, three, seen = _tiny(scales=2), _tiny(scales=3, seed=1), _seen(64, 96)

    loaded, _ = load_matching(three, two.state_dict())

    assert len(loaded) == len(two.state_dict())
    of_half = two(halved_smoothly(seen))
    for one, other in zip(three(seen)[:2], of_half, strict=True):
        assert torch.equal(one[-1], other[-1])


def test_maps_are_after_the_relu_and_answers_are_not() -> None:
    network, seen = _tiny(scales=1), _seen()
    first = _stages(network)[0][0]

    maps = network(seen)[0]

    expected = torch.where(first(seen) > 0, first(seen), 0.2 * first(seen))
    torch.testing.assert_close(maps[0], expected)
    assert torch.equal(maps[-1], _stages(network)[-1](maps[-2]))


def test_pictures_of_a_batch_do_not_know_each_other() -> None:
    network, seen = _tiny(), _seen()

    together, alone = network(seen), network(seen[1:])

    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one[-1][1:], other[-1])


def test_spectral_norm_is_on_the_layers_with_instance_norm() -> None:
    network = _tiny(scales=1, spectral=True)

    normed = [hasattr(stage[0], "parametrizations") for stage in _stages(network)]

    assert normed == [False, True, True, True, False]


def test_a_bias_that_the_norm_takes_off_may_be_left_out() -> None:
    network = MultiScaleDiscriminator(5, width=0.01, bias_before_norm=False)

    kept = [stage[0].bias is not None for stage in _stages(network)]

    assert kept == [True, False, False, False, True]


@pytest.mark.parametrize("spectral", [False, True])
def test_gradients_reach_every_weight(spectral: bool) -> None:
    network = _tiny(spectral=spectral)

    torch.stack([maps[-1].square().mean() for maps in network(_seen())]).sum().backward()

    weights = {name: each for name, each in network.named_parameters() if "bias" not in name}
    assert len(weights) == 10
    assert all(each.grad is not None and each.grad.any() for each in weights.values())


def test_maps_are_matched_over_layers_and_averaged_over_scales() -> None:
    real = [[torch.zeros(2), torch.zeros(4), torch.zeros(1)]] * 2
    made = [
        [torch.tensor([1.0, -3.0]), torch.full((4,), 0.5), torch.tensor([100.0])],
        [torch.tensor([0.0, 1.0]), torch.full((4,), -1.0), torch.tensor([100.0])],
    ]

    assert feature_matching(real, made) == pytest.approx((2 + 0.5 + 0.5 + 1) / 2)


def test_no_gradient_of_matching_flows_into_the_photograph() -> None:
    real, made = torch.rand(3, requires_grad=True), torch.rand(3, requires_grad=True)

    feature_matching([[real, real]], [[made, made]]).backward()

    assert real.grad is None
    assert made.grad is not None


def test_no_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="scales is 0, expected at least 1"):
        MultiScaleDiscriminator(5, scales=0)


def test_one_stage_is_refused() -> None:
    with pytest.raises(ValueError, match="stages is 1, expected at least 2"):
        MultiScaleDiscriminator(5, stages=1)
