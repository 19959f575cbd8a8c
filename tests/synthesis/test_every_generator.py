"""What holds for every generator of the registry: a new one is in when this passes."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from scenequilt.memory_bank.errors import MissingConditionError
from scenequilt.synthesis.interface import Conditions, ImageGenerator
from scenequilt.synthesis.registry import BASELINES, load_baseline

CLASSES = 3

NEEDS = {
    "crn": (),
    "pi_rec": (),
    "pix2pix": (),
    "pix2pixhd": ("instances",),
    "spade": ("instances",),
}
"""What each cannot do without beside the layout."""

TINY: dict[str, dict[str, Any]] = {
    "crn": {"modules": 4, "width": 1 / 256},
    "pi_rec": {"width": 1 / 16},
    "pix2pix": {"levels": 5, "width": 1 / 16},
    "pix2pixhd": {"width": 1 / 16},
    "spade": {"width": 1 / 16},
}

Network = Any  # a module that satisfies ImageGenerator


def build(name: str, seed: int = 0) -> Network:
    baseline = load_baseline(name)
    torch.manual_seed(seed)
    return baseline.build(CLASSES, baseline.network(**TINY[name])).eval()


def conditions(size: tuple[int, int], batch: int = 1, seed: int = 0) -> Conditions:
    draw = torch.Generator().manual_seed(seed)
    height, width = size
    coarse = torch.randint(0, CLASSES + 1, (batch, 1, 4, 4), generator=draw).float()
    labels = nn.functional.interpolate(coarse, size, mode="nearest").long()
    layout = torch.zeros(batch, CLASSES + 1, height, width).scatter_(1, labels, 1.0)
    instances = torch.where(labels[:, 0] == 2, 1, 0).to(torch.int32)
    instances[..., width // 2 :] *= 2
    return Conditions(layout=layout, instances=instances)


def one_of(whole: Conditions, place: int) -> Conditions:
    assert whole.instances is not None
    return Conditions(
        layout=whole.layout[place : place + 1], instances=whole.instances[place : place + 1]
    )


DEVICES = ["cpu", *["cuda"] * torch.cuda.is_available()]
"""Those of this machine; a graphics card is tried where there is one."""

every_generator = pytest.mark.parametrize("name", sorted(BASELINES))


def test_every_generator_has_its_line_here() -> None:
    assert NEEDS.keys() == TINY.keys() == BASELINES.keys()


@every_generator
def test_it_is_a_generator_with_its_name(name: str) -> None:
    network = build(name)

    assert network.classes == CLASSES
    assert isinstance(network, ImageGenerator)
    assert network.name == name == load_baseline(name).name


@every_generator
@pytest.mark.parametrize("size", [(64, 64), (40, 72), (37, 70), (33, 64)])
def test_a_picture_has_the_size_of_its_layout(name: str, size: tuple[int, int]) -> None:
    made = build(name).generate(conditions(size))

    assert made.shape == (1, 3, *size)
    assert made.dtype == torch.float32
    assert 0 <= made.min() and made.max() <= 1
    assert not made.requires_grad


@every_generator
def test_same_seed_same_picture_and_nobodys_randomness_is_touched(name: str) -> None:
    network, shown = build(name), conditions((32, 64))
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)

    first = network.generate(shown, seed=3)

    assert torch.rand(1).equal(expected)
    assert network.generate(shown, seed=3).equal(first)


@every_generator
def test_a_picture_in_a_batch_is_the_picture_alone(name: str) -> None:
    network, shown = build(name), conditions((32, 64), batch=3)

    together = network.generate(shown, seed=1)

    for place in range(3):
        alone = network.generate(one_of(shown, place), seed=1)
        torch.testing.assert_close(together[place : place + 1], alone, atol=2e-5, rtol=0)


@every_generator
@pytest.mark.parametrize("device", DEVICES)
def test_a_picture_lies_where_its_layout_does_and_is_the_same_there(name: str, device: str) -> None:
    network, shown = build(name), conditions((32, 64))
    expected = network.generate(shown, seed=2)
    assert shown.instances is not None
    moved = Conditions(layout=shown.layout.to(device), instances=shown.instances.to(device))

    made = network.to(device).generate(moved, seed=2)

    assert made.device == moved.layout.device
    torch.testing.assert_close(made.cpu(), expected, atol=1e-3, rtol=0)


@every_generator
def test_another_layout_is_another_picture(name: str) -> None:
    network = build(name)

    first, second = (network.generate(conditions((32, 64), seed=seed)) for seed in (0, 1))

    assert not first.equal(second)


@every_generator
def test_conditions_stay_as_they_are(name: str) -> None:
    shown, kept = conditions((32, 64)), conditions((32, 64))

    build(name).generate(shown)

    assert shown.layout.equal(kept.layout)
    assert shown.instances is not None and kept.instances is not None
    assert shown.instances.equal(kept.instances)


@every_generator
def test_weights_of_half_the_size_paint_nearly_the_same(name: str) -> None:
    network, shown = build(name), conditions((32, 64))
    exact = network.generate(shown)

    rough = network.to(torch.bfloat16).generate(shown)

    assert (rough.float() - exact).abs().mean() < 0.03


@every_generator
@pytest.mark.parametrize("training", [False, True])
def test_the_mode_is_left_alone(name: str, training: bool) -> None:
    network = build(name).train(training)

    made = network.generate(conditions((32, 64)))

    assert network.training == training and not made.requires_grad


@every_generator
def test_what_it_needs_is_asked_for_by_name(name: str) -> None:
    layout = conditions((32, 64)).layout
    for needed in NEEDS[name]:
        with pytest.raises(MissingConditionError, match=f"'{name}' needs the condition '{needed}'"):
            build(name).generate(Conditions(layout=layout))


@every_generator
def test_a_layout_of_other_classes_is_refused(name: str) -> None:
    shown = conditions((32, 64))
    other = replace(shown, layout=shown.layout[:, :2])

    with pytest.raises(ValueError, match=rf"layout must be \(B, {CLASSES + 1}, H, W\)"):
        build(name).generate(other)


@every_generator
def test_weights_drawn_with_a_seed_are_the_same(name: str) -> None:
    first, again, other = build(name, 1), build(name, 1), build(name, 2)

    assert all(
        one.equal(two)
        for one, two in zip(first.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert any(
        not one.equal(two) for one, two in zip(first.parameters(), other.parameters(), strict=True)
    )
