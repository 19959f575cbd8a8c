"""AlignmentNet: its size, its beginning, its inputs; and warp, which reads where it says."""

import numpy as np
import pytest
import torch
from torch import Tensor

from scenequilt.alignment.network import AlignmentNet, AlignmentNetSettings, warp

TINY = AlignmentNetSettings(width=1 / 128)


def inputs(
    count: int = 2, size_hw: tuple[int, int] = (32, 64), classes: int = 3
) -> tuple[Tensor, Tensor, Tensor]:
    """Draw colour, mask and label map."""
    random = torch.Generator().manual_seed(0)
    color = torch.rand(count, 3, *size_hw, generator=random)
    mask = (torch.rand(count, 1, *size_hw, generator=random) < 0.5).float()
    label_map = torch.randint(0, classes, (count, *size_hw), generator=random)
    return color, mask, label_map.to(torch.uint8)


def trained(classes: int = 3) -> AlignmentNet:
    """Return a network that is no identity any more."""
    torch.manual_seed(0)
    network = AlignmentNet(classes, TINY).eval()
    torch.nn.init.normal_(network.last.weight, std=0.05)
    return network


def identities(count: int) -> Tensor:
    return torch.eye(2, 3).expand(count, 2, 3)


def test_parameters_at_full_width_are_those_of_the_paper() -> None:
    """Table of sims.md 5.1: 24 input channels, 3x3 convolutions without bias, layer norm, fc."""
    table = [
        (24, 64), (64, 64),
        (64, 128), (128, 128),
        (128, 256), (256, 256), (256, 256),
        (256, 512), (512, 512), (512, 512),
        (512, 512), (512, 512), (512, 512),
    ]  # fmt: skip
    expected = sum(9 * before * after + 2 * after for before, after in table) + 512 * 6 + 6

    network = AlignmentNet(19, AlignmentNetSettings(width=1.0))

    assert expected == 14_734_086
    assert sum(parameter.numel() for parameter in network.parameters()) == expected


@pytest.mark.parametrize(
    ("classes", "size_hw"), [(1, (32, 32)), (11, (64, 64)), (39, (40, 56)), (182, (33, 71))]
)
def test_a_fresh_network_leaves_everything_in_place(classes: int, size_hw: tuple[int, int]) -> None:
    color, mask, label_map = inputs(2, size_hw, classes)

    theta = AlignmentNet(classes, TINY)(color, mask, label_map)

    torch.testing.assert_close(theta, identities(2), rtol=0, atol=0)


def test_what_it_says_depends_on_each_input() -> None:
    network = trained()
    color, mask, label_map = inputs()

    theta = network(color, mask, label_map)

    others = (
        (1 - color, mask, label_map),
        (color, 1 - mask, label_map),
        (color, mask, 2 - label_map),
    )
    for other in others:
        assert (network(*other) - theta).abs().max() > 1e-4


def test_samples_of_a_batch_do_not_know_each_other() -> None:
    network = trained()
    color, mask, label_map = inputs(3)

    theta = network(color, mask, label_map)

    alone = torch.cat([network(color[i : i + 1], mask[i : i + 1], label_map[i : i + 1])
                       for i in range(3)])  # fmt: skip
    torch.testing.assert_close(theta, alone, rtol=1e-4, atol=1e-5)


def test_void_is_a_class_of_its_own() -> None:
    network = trained()
    color, mask, _ = inputs(1)
    void = torch.full((1, 32, 64), 255, dtype=torch.uint8)

    answers = [network(color, mask, void)]
    answers += [network(color, mask, torch.full_like(void, label)) for label in range(3)]

    for place, answer in enumerate(answers[:-1]):
        for other in answers[place + 1 :]:
            assert (answer - other).abs().max() > 1e-5


def test_half_precision_rounds_the_change_and_not_the_place() -> None:
    network = trained()
    color, mask, label_map = inputs()
    theta = network(color, mask, label_map)

    network.blocks.to(torch.bfloat16)
    rounded = network(color.bfloat16(), mask.bfloat16(), label_map)

    assert rounded.dtype == torch.float32
    change = (theta - identities(2)).abs().max()
    assert change > 0.01
    assert (rounded - theta).abs().max() < 0.05 * change


def test_its_gradient_is_that_of_what_it_computes() -> None:
    network = trained().double()
    color, mask, label_map = inputs(1, (32, 32))
    color = color.double().requires_grad_()

    assert torch.autograd.gradcheck(
        lambda pixels: network(pixels, mask.double(), label_map), (color,), fast_mode=True
    )


@pytest.mark.parametrize(
    ("place", "wrong", "message"),
    [
        (0, torch.zeros(2, 4, 32, 64), r"color must be \(B, 3, H, W\), got \(2, 4, 32, 64\)"),
        (1, torch.zeros(2, 32, 64), r"mask must be \(2, 1, 32, 64\).*got \(2, 32, 64\)"),
        (2, torch.zeros(2, 32, 32), r"label_map must be \(2, 32, 64\).*got \(2, 32, 32\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(place: int, wrong: Tensor, message: str) -> None:
    given = list(inputs())
    given[place] = wrong

    with pytest.raises(ValueError, match=message):
        AlignmentNet(3, TINY)(*given)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"width is 0, expected a positive share"):
        AlignmentNetSettings(width=0)
    with pytest.raises(ValueError, match=r"classes is 0, expected at least 1"):
        AlignmentNet(0)


def test_identity_keeps_every_row_and_column() -> None:
    image = torch.rand(2, 3, 5, 7, dtype=torch.float64)

    torch.testing.assert_close(warp(image, identities(2).double()), image)


@pytest.mark.parametrize("pixels", [1, 2, 5])
def test_a_whole_pixel_shift_equals_slicing(pixels: int) -> None:
    image = torch.rand(1, 3, 4, 8, dtype=torch.float64)
    shift = identities(1).double().clone()
    shift[:, 0, 2] = -2 * pixels / 8

    moved = warp(image, shift)

    torch.testing.assert_close(moved[..., pixels:], image[..., :-pixels])
    assert (moved[..., :pixels].abs() < 1e-9).all(), "what comes from outside the image is 0"


def test_warping_reads_where_the_matrix_says() -> None:
    """On a ramp the value is the place; slow loop over pixels in plain numbers."""
    height, width = 6, 9
    ramp = torch.from_numpy((np.arange(width) + 0.5) / width * 2 - 1).expand(1, 1, height, width)
    theta = torch.tensor([[[0.8, 0.1, 0.05], [-0.1, 0.7, 0.0]]], dtype=torch.float64)

    warped = warp(ramp, theta)[0, 0]

    for row in range(height):
        for column in range(width):
            at_x, at_y = (column + 0.5) / width * 2 - 1, (row + 0.5) / height * 2 - 1
            expected = 0.8 * at_x + 0.1 * at_y + 0.05
            if abs(expected) < 1 - 1 / width:
                assert warped[row, column].item() == pytest.approx(expected)


def test_gradients_of_warping_are_right() -> None:
    random = torch.Generator().manual_seed(0)
    image = torch.rand(1, 2, 5, 6, dtype=torch.float64, generator=random, requires_grad=True)
    theta = torch.tensor([[[0.83, 0.07, 0.03], [-0.06, 0.91, 0.02]]], dtype=torch.float64)

    assert torch.autograd.gradcheck(warp, (image, theta.requires_grad_()))


def test_matrices_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(2, 2, 3\).*got \(1, 2, 3\)"):
        warp(torch.rand(2, 3, 4, 4), identities(1))
    with pytest.raises(ValueError, match=r"image must be \(B, C, H, W\), got \(3, 4, 4\)"):
        warp(torch.rand(3, 4, 4), identities(1))
