"""Losses: perceptual terms by another route, their balance and the hinge by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenequilt.synthesis.losses import (
    TERMS,
    LossBalance,
    PerceptualLoss,
    hinge_of_discriminator,
    hinge_of_generator,
)

LENGTHS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}

Weights = list[tuple[Tensor, Tensor]]


def _weights(network: str, *, seed: int = 0) -> Weights:
    """Return convolutions of a network in which blocks have 2 to 4 channels."""
    draw = torch.Generator().manual_seed(seed)
    weights, before = [], 3
    for block, length in enumerate(LENGTHS[network]):
        after = (2, 3, 4, 3, 2)[block]
        for _ in range(length):
            # Large enough for differences to last through all averages.
            weight = torch.randn(after, before, 3, 3, generator=draw) / (2 * before) ** 0.5
            weights.append((weight, 0.1 * torch.randn(after, generator=draw)))
            before = after
    return weights


def _convolved(
    maps: NDArray[np.float64], weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (O, H, W) of (I, H, W): a 3x3 convolution with zeros around, then ReLU."""
    height, width = maps.shape[1:]
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
    made = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for down in range(3):
        for across in range(3):
            shifted = padded[:, down : down + height, across : across + width]
            made += np.einsum("oi,ihw->ohw", weight[:, :, down, across], shifted)
    return np.maximum(made, 0)


def _slow_maps(
    picture: NDArray[np.float64], weights: Weights, lengths: Sequence[int]
) -> list[NDArray[np.float64]]:
    """Return all that VGG sees of a picture, block by block, with average pooling."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    maps = (picture - mean[:, None, None]) / std[:, None, None]
    seen, remaining = [], list(weights)
    for block, length in enumerate(lengths):
        if block:
            channels, height, width = maps.shape
            cells = maps.reshape(channels, height // 2, 2, width // 2, 2)
            maps = cells.mean(axis=(2, 4))
        for place in range(length):
            weight, bias = remaining.pop(0)
            maps = _convolved(maps, weight.double().numpy(), bias.double().numpy())
            if place == 1:
                seen.append(maps)
    return seen


def _pictures(*, batch: int = 1, seed: int = 5) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    made, real = torch.rand(2, batch, 3, 32, 48, generator=draw)
    return made, real


@pytest.mark.parametrize("network", ["vgg16", "vgg19"])
def test_the_terms_by_another_route(network: str) -> None:
    weights = _weights(network)
    made, real = _pictures()

    terms = PerceptualLoss(weights).terms(made, real)

    expected = {"image": np.abs((made - real).numpy()).mean()}
    both = (
        _slow_maps(picture[0].double().numpy(), weights, LENGTHS[network])
        for picture in (made, real)
    )
    for block, (one, other) in enumerate(zip(*both, strict=True), start=1):
        assert one.shape[1:] == (32 >> (block - 1), 48 >> (block - 1))
        expected[f"conv{block}_2"] = np.abs(one - other).mean()
    assert tuple(terms) == TERMS == tuple(expected)
    for name, value in terms.items():
        assert float(value) == pytest.approx(expected[name], rel=1e-3), name


def test_which_network_it_is_shows_in_the_number_of_convolutions() -> None:
    assert PerceptualLoss(_weights("vgg16")).network == "vgg16"
    assert PerceptualLoss(_weights("vgg19")).network == "vgg19"


def test_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="there are 5 convolutions, expected the 13 of VGG-16 or"):
        PerceptualLoss(_weights("vgg16")[:5])


def test_a_picture_is_like_itself_and_differences_have_no_direction() -> None:
    loss = PerceptualLoss(_weights("vgg16"))
    made, real = _pictures(batch=2)

    there, back = loss.terms(made, real), loss.terms(real, made)

    assert not any(loss.terms(real, real).values())
    assert all(float(there[name]) == pytest.approx(float(back[name])) for name in TERMS)


def test_a_batch_counts_as_the_mean_of_its_pictures() -> None:
    loss = PerceptualLoss(_weights("vgg16"))
    made, real = _pictures(batch=2)

    whole = loss.terms(made, real)
    single = [loss.terms(made[n : n + 1], real[n : n + 1]) for n in range(2)]

    for name, value in whole.items():
        assert float(value) == pytest.approx(float(single[0][name] + single[1][name]) / 2, rel=1e-5)


def test_the_gradient_goes_into_what_was_made_and_nowhere_else() -> None:
    weights = _weights("vgg16")
    made, real = (each.requires_grad_() for each in _pictures())

    sum(PerceptualLoss(weights).terms(made, real).values(), torch.zeros(())).backward()

    assert made.grad is not None
    assert made.grad.abs().min() > 0
    assert real.grad is not None, "the pixels' own term alone"
    torch.testing.assert_close(real.grad.abs(), torch.full_like(real, 1 / real.numel()))
    assert not any(each.requires_grad for pair in weights for each in pair)


def test_a_step_against_the_gradient_makes_pictures_more_alike() -> None:
    loss = PerceptualLoss(_weights("vgg16"))
    made, real = _pictures()
    made.requires_grad_()
    before = sum(loss.terms(made, real).values(), torch.zeros(()))
    before.backward()
    assert made.grad is not None

    with torch.no_grad():
        step = 1e-4 * made.grad
        after = sum(loss.terms(made - step, real).values(), torch.zeros(()))

    # Of so small a step the fall is length times slope, but for corners of ReLU and of |x|.
    expected = (step * made.grad).sum().item()
    assert before.item() - after.item() == pytest.approx(expected, rel=0.2)


def _terms(first: float, second: float) -> dict[str, Tensor]:
    return {"image": torch.tensor(first), "maps": torch.tensor(second)}


def test_the_balance_by_hand() -> None:
    """Means over two steps of 2 and 4: the second term is halved for ever after."""
    balance = LossBalance(["image", "maps"], steps=2)

    first = balance.weighted(_terms(1, 5))
    balance.weighted(_terms(3, 3))
    later = balance.weighted(_terms(10, 7))

    assert first == {"image": 1, "maps": 5}
    assert later == {"image": 10, "maps": 3.5}
    assert balance.buffers["weights"].tolist() == [1, 0.5]
    assert balance.buffers["count"] == 2


def test_processes_that_begin_to_measure_at_different_steps_end_in_the_same_weights() -> None:
    """Two of them, averaged after every step as the trainer does; the second begins a step later."""
    both = [LossBalance(("image", "other"), steps=3) for _ in range(2)]
    terms = {"image": torch.tensor(1.0), "other": torch.tensor(10.0)}

    for step in range(6):
        for late, balance in enumerate(both):
            if step >= late:
                balance.weighted(terms)
        for name in ("sums", "weights", "count"):
            mean = torch.stack([each.buffers[name] for each in both]).mean(0)
            for each in both:
                each.buffers[name].copy_(mean)

    for each in both:
        torch.testing.assert_close(each.buffers["weights"], torch.tensor([1.0, 0.1]))


def test_the_weights_never_change_again() -> None:
    balance = LossBalance(["image", "maps"], steps=1)
    balance.weighted(_terms(1, 2))

    for value in (9.0, 0.1, 40.0):
        assert balance.weighted(_terms(1, value))["maps"] == pytest.approx(value / 2)


def test_balanced_terms_count_alike() -> None:
    balance = LossBalance(["image", "maps"], steps=3)
    draw = np.random.default_rng(0)
    seen = [_terms(*draw.uniform(0.1, 5, 2)) for _ in range(3)]

    for terms in seen:
        balance.weighted(terms)

    weights = balance.buffers["weights"]
    sums = [sum(float(terms[name]) for terms in seen) for name in ("image", "maps")]
    assert float(weights[0] * sums[0]) == pytest.approx(float(weights[1] * sums[1]))


def test_a_balance_that_goes_on_from_its_buffers_is_the_one_it_would_have_been() -> None:
    unbroken, resumed = (LossBalance(["image", "maps"], steps=3) for _ in range(2))
    unbroken.weighted(_terms(1, 2))
    for name, value in unbroken.buffers.items():
        resumed.buffers[name].copy_(value)

    for later in (3.0, 4.0, 5.0):
        assert unbroken.weighted(_terms(1, later)) == resumed.weighted(_terms(1, later))


def test_a_weight_is_no_part_of_the_gradient() -> None:
    balance = LossBalance(["image", "maps"], steps=1)
    value = torch.tensor(4.0, requires_grad=True)

    balance.weighted({"image": torch.tensor(1.0), "maps": value})["maps"].backward()

    assert value.grad == 0.25


def test_a_term_that_is_always_zero_does_no_harm() -> None:
    balance = LossBalance(["image", "maps"], steps=1)
    balance.weighted(_terms(1, 0))

    assert balance.weighted(_terms(1, 0)) == {"image": 1, "maps": 0}


def test_the_hinge_by_hand() -> None:
    real, made = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.5])

    # (0 + 0.5) / 2 of what is real, (0 + 1.5) / 2 of what is made.
    assert hinge_of_discriminator(real, made) == 1.0
    assert hinge_of_generator(made) == 1.25


def test_the_gradients_of_the_hinge() -> None:
    real, made = torch.randn(2, 1, 3, 4, dtype=torch.float64).unbind()
    inputs = (real.clone().requires_grad_(), made.clone().requires_grad_())

    assert torch.autograd.gradcheck(hinge_of_discriminator, inputs)
    assert torch.autograd.gradcheck(hinge_of_generator, inputs[1:])
