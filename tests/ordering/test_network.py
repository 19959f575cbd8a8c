"""OrderNet: its size against the paper's table, its answers, and what it refuses."""

import pytest
import torch
from torch import nn

from scenequilt.ordering.network import OrderNet, OrderNetSettings, PaperOrderNet

TINY = OrderNetSettings(width=4 / 512, dropout=0.0)


def parameters_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def parameters_by_table(inputs: int, logits: int, *, told: int = 0) -> int:
    """Count the published table: 64,64 | 128,128 | 256 x 3 | 512 x 3 | 512 x 3 | 1024 | logits.

    3x3 convolutions without bias, a scale and a shift for each channel that is normalised, and a
    bias for each logit; told counts what the layer of 1024 gets beside the features.
    """
    channels = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    convolutions = sum(
        9 * before * after for before, after in zip([inputs, *channels], channels, strict=False)
    )
    norms = 2 * (sum(channels) + 1024)
    return convolutions + norms + (512 + told) * 1024 + 1024 * logits + logits


def pair(batch: int = 2, size: tuple[int, int] = (32, 64), classes: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(batch, 2, *size, generator=generator) > 0.7
    label_map = torch.randint(0, classes, (batch, *size), generator=generator).to(torch.uint8)
    places = torch.rand(batch, 2, *size, generator=generator) * 2 - 1
    extents = torch.rand(batch, 2, 5, generator=generator) * 2 - 1
    return [masks, label_map, places, extents]


def test_the_original_has_the_papers_size() -> None:
    assert parameters_of(PaperOrderNet()) == parameters_by_table(6, 20)
    assert parameters_by_table(6, 20) == 15_267_476


def test_at_width_one_it_has_the_table_with_masks_and_layout() -> None:
    # Cityscapes: two masks, two coordinates, 19 classes and void; boxes and areas; three weights.
    network = OrderNet(19, OrderNetSettings(width=1.0))

    assert parameters_of(network) == parameters_by_table(2 + 2 + 20, 1, told=10) + 3 == 15_268_612


def test_the_slim_default_is_a_sixteenth() -> None:
    assert 0.9e6 < parameters_of(OrderNet(19)) < 1.0e6


def test_the_original_does_not_see_the_right_quarter() -> None:
    torch.manual_seed(0)
    network = PaperOrderNet().eval()
    seen = []
    network.pool.register_forward_hook(lambda _, given, made: seen.append((given[0], made)))

    with torch.inference_mode():
        answer = network(torch.rand(1, 6, 256, 512))

    ((given, made),) = seen
    assert answer.shape == (1, 20)
    assert given.shape == (1, 512, 8, 16)
    assert torch.allclose(made[:, :, 0, 0], given[..., :12].mean(dim=(2, 3)), atol=1e-6)


@pytest.mark.parametrize("size", [(32, 64), (48, 64), (33, 47)])
def test_one_logit_a_pair_at_any_size(size: tuple[int, int]) -> None:
    network = OrderNet(3, TINY)

    assert network(*pair(5, size)).shape == (5,)


def test_swapping_the_two_turns_the_sign() -> None:
    torch.manual_seed(1)
    network = OrderNet(3, TINY).eval()
    masks, label_map, places, extents = pair()

    there = network.correction(masks, label_map, places, extents)
    back = network.correction(masks.flip(1), label_map, places, extents.flip(1))

    assert torch.equal(there, -back)
    assert not torch.equal(there, torch.zeros(2))


def test_the_correction_is_added_to_what_the_closed_form_says() -> None:
    network = OrderNet(3, TINY)
    with torch.no_grad():
        network.outline_weight.copy_(torch.tensor([2.0, 1.0, 0.5]))

    logits = network.weighed(torch.tensor([0.5, -1.0]), torch.tensor([[1.0, 0, 0], [0, 3, 2]]))

    assert logits.tolist() == [2.5, 3.0]


def test_temperature_is_saved_with_the_weights() -> None:
    network, other = OrderNet(3, TINY), OrderNet(3, TINY)
    network.temperature.fill_(1.5)

    other.load_state_dict(network.state_dict())

    assert float(other.temperature) == 1.5


def test_void_is_a_class_of_its_own() -> None:
    torch.manual_seed(0)
    network = OrderNet(3, TINY).eval()
    masks, _, places, extents = pair(1)
    void = torch.full((1, 32, 64), 255, dtype=torch.uint8)

    with torch.inference_mode():
        answers = {
            float(network(masks, label_map, places, extents))
            for label_map in (void, torch.zeros_like(void), torch.full_like(void, 2))
        }

    assert len(answers) == 3


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    network = OrderNet(3, TINY)

    logits = network.weighed(network.correction(*pair(3)), torch.ones(3, 3))
    logits.square().sum().backward()

    # The last bias is in both answers and cancels out.
    assert all(
        parameter.grad is not None and parameter.grad.abs().sum() > 0
        for name, parameter in network.named_parameters()
        if name != "head.4.bias"
    )


def test_the_gradient_is_that_of_the_answer() -> None:
    torch.manual_seed(0)
    network = OrderNet(2, TINY).double().eval()
    masks, label_map, places, extents = pair(1, (32, 32), 2)
    places, extents = places.double().requires_grad_(), extents.double().requires_grad_()

    # Along a few directions: 2048 inputs one by one would take a minute.
    assert torch.autograd.gradcheck(
        lambda *given: network.correction(masks, label_map, *given),
        (places, extents),
        fast_mode=True,
    )


def test_half_precision_says_nearly_the_same() -> None:
    torch.manual_seed(0)
    network = OrderNet(3, OrderNetSettings(width=8 / 512, dropout=0.0)).eval()

    with torch.inference_mode():
        full = network(*pair(4))
        network.trunk.to(torch.bfloat16)
        half = network(*pair(4))

    assert half.dtype == torch.float32
    assert torch.allclose(half, full, atol=0.05)
    assert not torch.equal(half, full)


def test_an_unknown_class_is_refused() -> None:
    masks, label_map, places, extents = pair()

    with pytest.raises(ValueError, match="holds class 7, but the network knows 3; use 255"):
        OrderNet(3, TINY)(masks, torch.full_like(label_map, 7), places, extents)


def test_misfitting_shapes_are_refused() -> None:
    masks, label_map, places, extents = pair()
    network = OrderNet(3, TINY)

    with pytest.raises(ValueError, match=r"masks must be \(B, 2, H, W\), got \(2, 1, 32, 64\)"):
        network(masks[:, :1], label_map, places, extents)
    with pytest.raises(ValueError, match=r"label_map must be \(2, 32, 64\) .* got \(1, 32, 64\)"):
        network(masks, label_map[:1], places, extents)
    with pytest.raises(ValueError, match=r"places must be \(2, 2, 32, 64\) .* \(2, 1, 32, 64\)"):
        network(masks, label_map, places[:, :1], extents)
    with pytest.raises(ValueError, match=r"extents must be \(2, 2, 5\) .* got \(2, 5\)"):
        network(masks, label_map, places, extents[:, 0])


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="width is 0, expected a positive share"):
        OrderNetSettings(width=0)
    with pytest.raises(ValueError, match=r"dropout is 1.0, expected a share in \[0, 1\)"):
        OrderNetSettings(dropout=1.0)
    with pytest.raises(ValueError, match="classes is 0, expected at least 1"):
        OrderNet(0)
