"""CRN's cascade: its sizes and parameters, the pyramid, any picture size, gradients."""

import pytest
import torch
from torch import nn

from scenequilt.synthesis.refinement import (
    CRN_CHANNELS,
    RefinementCascade,
    RefinementModule,
    cascade_channels,
    layout_pyramid,
    one_hot_layout,
    pad_to_multiple,
)

MODULE_PARAMETERS = (
    9_625_600, 19_062_784, 19_062_784, 19_062_784, 19_062_784, 7_172_096, 4_812_800, 760_832, 51_968,
)  # fmt: skip
"""Of CRN's modules for 19 classes and void, counted in the published checkpoints."""


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_modules_have_as_many_parameters_as_the_published_ones() -> None:
    with torch.device("meta"):
        cascade = RefinementCascade(20, cascade_channels(9))

    assert tuple(_parameters(stage) for stage in cascade.stages) == MODULE_PARAMETERS


@pytest.mark.parametrize(("modules", "total"), [(7, 97_875_483), (8, 98_622_851), (9, 98_674_531)])
def test_with_its_head_crn_has_as_many_parameters_as_published(modules: int, total: int) -> None:
    images = {7: 9, 8: 1, 9: 1}[modules]

    with torch.device("meta"):
        cascade = RefinementCascade(20, cascade_channels(modules))
        head = nn.Conv2d(cascade.out_channels, 3 * images, 1)

    assert _parameters(cascade) + _parameters(head) == total


def test_width_scales_the_channels_but_not_below_four() -> None:
    assert cascade_channels(9) == CRN_CHANNELS
    assert cascade_channels(9, 1 / 32) == (32, 32, 32, 32, 32, 16, 16, 4, 4)


@pytest.mark.parametrize(
    ("modules", "width", "message"),
    [
        (0, 1.0, "modules is 0, expected 1 to 9"),
        (10, 1.0, "modules is 10, expected 1 to 9"),
        (7, 0.0, "width is 0.0, expected more than 0"),
    ],
)
def test_a_cascade_without_modules_or_channels_is_refused(
    modules: int, width: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        cascade_channels(modules, width)


def test_one_hot_has_void_last() -> None:
    label_maps = torch.tensor([[[0, 2], [255, 1]]], dtype=torch.uint8)

    one_hot = one_hot_layout(label_maps, 3)

    expected = torch.zeros(1, 4, 2, 2)
    for row, column, channel in ((0, 0, 0), (0, 1, 2), (1, 0, 3), (1, 1, 1)):
        expected[0, channel, row, column] = 1
    torch.testing.assert_close(one_hot, expected)


def test_one_hot_of_a_single_map_is_refused() -> None:
    with pytest.raises(ValueError, match=r"label_maps must be \(B, H, W\), got \(2, 2\)"):
        one_hot_layout(torch.zeros(2, 2, dtype=torch.uint8), 3)


def test_every_level_of_the_pyramid_is_the_box_mean_of_the_layout() -> None:
    layout = one_hot_layout(torch.randint(0, 4, (2, 16, 24)), 3)

    pyramid = layout_pyramid(layout, 4)

    assert [level.shape[-2:] for level in pyramid] == [(2, 3), (4, 6), (8, 12), (16, 24)]
    for level in pyramid:
        scale = 16 // level.shape[-2]
        boxes = layout.unflatten(3, (-1, scale)).unflatten(2, (-1, scale))
        torch.testing.assert_close(level, boxes.mean(dim=(3, 5)))
        torch.testing.assert_close(level.sum(1), torch.ones_like(level[:, 0]))


def test_a_pyramid_of_a_size_that_does_not_halve_is_refused() -> None:
    with pytest.raises(ValueError, match="layout is 12x24, expected multiples of 8 for 4 levels"):
        layout_pyramid(torch.zeros(1, 4, 12, 24), 4)


def test_padding_repeats_the_last_row_and_column() -> None:
    layout = torch.arange(6.0).reshape(1, 1, 2, 3)

    padded = pad_to_multiple(layout, 4)

    expected = torch.tensor([[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]])
    torch.testing.assert_close(padded[0, 0], expected.float())
    assert pad_to_multiple(padded, 4) is padded


@pytest.mark.parametrize("size_hw", [(32, 64), (30, 50), (33, 1), (4, 8)])
def test_features_have_the_size_of_the_layout(size_hw: tuple[int, int]) -> None:
    cascade = RefinementCascade(4, (4, 4, 5))

    features = cascade(one_hot_layout(torch.randint(0, 4, (2, *size_hw)), 3))

    assert features.shape == (2, 5, *size_hw)


def test_a_layout_is_refined_as_by_hand() -> None:
    cascade = RefinementCascade(3, (4, 6))
    layout = one_hot_layout(torch.randint(0, 3, (1, 4, 8)), 2)

    coarse = cascade.stages[0](nn.functional.avg_pool2d(layout, 2))
    enlarged = nn.functional.interpolate(
        coarse, scale_factor=2, mode="bilinear", align_corners=True
    )
    expected = cascade.stages[1](torch.cat([enlarged, layout], 1))

    torch.testing.assert_close(cascade(layout), expected)


def test_a_module_normalises_over_channels_and_places_together() -> None:
    module = RefinementModule(3, 4)
    seen = torch.randn(2, 3, 6, 7)

    def layer(picture: torch.Tensor, convolution: nn.Module) -> torch.Tensor:
        made: torch.Tensor = convolution(picture)
        mean = made.mean(dim=(1, 2, 3), keepdim=True)
        deviation = made.var(dim=(1, 2, 3), keepdim=True, unbiased=False).add(1e-5).sqrt()
        normal = (made - mean) / deviation
        return torch.maximum(normal, 0.2 * normal)

    by_hand = layer(layer(seen, module.layers[0]), module.layers[3])

    torch.testing.assert_close(module(seen), by_hand)


def test_gradients_reach_every_parameter_and_are_right() -> None:
    cascade = RefinementCascade(2, (2, 2)).double()
    layout = torch.rand(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)

    assert torch.autograd.gradcheck(cascade, (layout,))

    cascade(layout).square().mean().backward()
    assert all(parameter.grad is not None for parameter in cascade.parameters())


def test_a_layout_of_other_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(B, 4, H, W\), got \(1, 3, 8, 8\)"):
        RefinementCascade(4, (4,))(torch.zeros(1, 3, 8, 8))


def test_a_cascade_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="channels is empty"):
        RefinementCascade(4, ())
