"""The completion network: its size, what it starts from, gradients."""

from typing import Any

import pytest
import torch

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.completion.network import CompletionNet, CompletionNetSettings

TINY = CompletionNetSettings(modules=3, width=1 / 256)
TINY_NEAR = CompletionNetSettings(modules=3, width=1 / 256, start="nearest")


def _label_maps(*size: int) -> torch.Tensor:
    label_maps = torch.randint(0, 4, size, dtype=torch.uint8)
    return torch.where(torch.rand(size) < 0.4, VOID, label_maps).to(torch.uint8)


def test_at_the_widths_of_the_paper_it_is_crn_with_a_head_of_the_classes() -> None:
    with torch.device("meta"):
        network = CompletionNet(19, CompletionNetSettings())

    trunk = 97_875_483 - 13_851
    assert sum(each.numel() for each in network.parameters()) == trunk + 512 * 19 + 19


@pytest.mark.parametrize("settings", [TINY, TINY_NEAR])
@pytest.mark.parametrize("size_hw", [(32, 64), (30, 45)])
def test_every_pixel_gets_a_logit_of_every_class(
    settings: CompletionNetSettings, size_hw: tuple[int, int]
) -> None:
    coarse = _label_maps(2, *size_hw)

    logits = CompletionNet(4, settings)(coarse, coarse)

    assert logits.shape == (2, 4, *size_hw)


def test_it_starts_from_the_nearest_label() -> None:
    network = CompletionNet(4, TINY_NEAR)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()  # type: ignore[union-attr]
    nearest = torch.randint(0, 4, (1, 32, 64), dtype=torch.uint8)

    logits = network(_label_maps(1, 32, 64), nearest)

    torch.testing.assert_close(logits.argmax(1).to(torch.uint8), nearest)


def test_a_layout_that_is_all_void_has_no_nearest_label_to_start_from() -> None:
    network = CompletionNet(4, TINY_NEAR)
    void = torch.full((1, 32, 64), VOID, dtype=torch.uint8)
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.zero_()  # type: ignore[union-attr]

    assert (network(void, void) == 0).all()


def test_the_network_of_the_paper_does_not_look_at_the_nearest_label() -> None:
    network = CompletionNet(4, TINY)
    coarse = _label_maps(1, 32, 64)

    torch.testing.assert_close(network(coarse, coarse), network(coarse, _label_maps(1, 32, 64)))


@pytest.mark.parametrize("settings", [TINY, TINY_NEAR])
def test_gradients_reach_every_parameter(settings: CompletionNetSettings) -> None:
    network = CompletionNet(4, settings)
    coarse = _label_maps(1, 32, 64)

    network(coarse, coarse.clamp(max=3)).square().mean().backward()

    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_gradients_are_those_of_finite_differences() -> None:
    network = CompletionNet(2, CompletionNetSettings(modules=2, width=1 / 1024, start="nearest"))
    network = network.double()
    coarse = torch.tensor([[[0, 255], [1, 255]]], dtype=torch.uint8)
    nearest = torch.tensor([[[0, 0], [1, 1]]], dtype=torch.uint8)
    weights = torch.nn.Parameter(network.head.weight.detach().clone())

    def logits(weight: torch.Tensor, nearest_logit: torch.Tensor) -> torch.Tensor:
        changed = {"head.weight": weight, "nearest_logit": nearest_logit}
        result: torch.Tensor = torch.func.functional_call(network, changed, (coarse, nearest))
        return result

    assert torch.autograd.gradcheck(logits, (weights, network.nearest_logit))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modules": 0}, "modules is 0, expected 1 to 9"),
        ({"width": -1.0}, "width is -1.0, expected more than 0"),
        ({"start": "void"}, 'start is \'void\', expected "nothing" or "nearest"'),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompletionNetSettings(**change)


def test_a_map_without_batch_is_refused() -> None:
    flat = torch.zeros(32, 64, dtype=torch.uint8)

    with pytest.raises(ValueError, match=r"must be \(B, H, W\), got \(32, 64\)"):
        CompletionNet(4, TINY)(flat, flat)
