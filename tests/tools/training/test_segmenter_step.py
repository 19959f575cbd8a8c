"""One step of training a segmenter, piece by piece."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.tools.training.segmenter_samples import SegmenterBatch
from scenequilt.tools.training.segmenter_step import (
    SegmenterStep,
    build_network,
    class_weights,
    normalized,
    one_cycle,
    segmentation_loss,
)


def small_step(*, average_decay: float = 0.9, total_steps: int = 10) -> SegmenterStep:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 1)
        )
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return SegmenterStep(
        network,
        torch.tensor([1.0, 2.0, 3.0]),
        total_steps=total_steps,
        peak_rate=0.01,
        warm_up=0.1,
        weight_decay=1e-4,
        average_decay=average_decay,
    )


def batch(seed: int) -> SegmenterBatch:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (2, 8, 8), generator=generator)
    return SegmenterBatch(torch.rand(2, 3, 8, 8, generator=generator), labels)


def test_class_weights_by_hand() -> None:
    weights = class_weights(np.array([300, 100, 0]))

    expected = [1 / math.log(1.85), 1 / math.log(1.35), 1 / math.log(1.1)]
    assert weights.tolist() == pytest.approx(expected)
    assert weights.dtype == torch.float32


def test_class_weights_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="0 for every class, expected at least one labelled pixel"):
        class_weights(np.zeros(3, np.int64))


def test_the_rate_rises_to_its_peak_and_falls_to_nearly_nothing() -> None:
    rates = [one_cycle(step, total_steps=100, peak=1.0, warm_up=0.1) for step in range(1, 101)]

    assert rates[4] == pytest.approx((1 + 1 / 25) / 2), "half way up after half the warm-up"
    assert rates[9] == pytest.approx(1)
    assert rates[54] == pytest.approx(0.5, abs=1e-5), "half way down"
    assert rates[99] == pytest.approx(1 / 250_000)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)


def test_the_loss_by_hand() -> None:
    scores = torch.tensor([[[[0.0, 0.0]], [[math.log(3), 0.0]]]])  # (1, 2, 1, 2)
    labels = torch.tensor([[[1, 0]]])

    loss = segmentation_loss(scores, labels, torch.tensor([3.0, 1.0]))

    # The first pixel is right with 3/4 and weighs 1, the second with 1/2 and weighs 3.
    assert loss.item() == pytest.approx((math.log(4 / 3) + 3 * math.log(2)) / 4)


def test_the_loss_is_the_weighted_mean_of_torch() -> None:
    scores, weights = torch.randn(2, 3, 4, 5), torch.tensor([0.5, 2.0, 1.0])
    labels = torch.randint(0, 3, (2, 4, 5))
    labels[0, :2] = VOID

    loss = segmentation_loss(scores, labels, weights)

    torch.testing.assert_close(loss, F.cross_entropy(scores, labels, weights, ignore_index=VOID))


def test_void_does_not_count() -> None:
    scores = torch.randn(1, 3, 4, 4)
    labels = torch.randint(0, 3, (1, 4, 4))
    labels[0, 1] = VOID
    otherwise = scores.clone()
    otherwise[0, :, 1] = 100 * torch.randn(3, 4)

    weights = torch.ones(3)
    assert segmentation_loss(scores, labels, weights) == segmentation_loss(
        otherwise, labels, weights
    )


def test_a_batch_of_nothing_but_void_teaches_nothing() -> None:
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)

    loss = segmentation_loss(scores, torch.full((1, 4, 4), VOID), torch.ones(3))
    loss.backward()

    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()


def test_normalized_pictures_are_around_zero() -> None:
    assert normalized(torch.tensor([0.45, 0.7, 0.2])).tolist() == pytest.approx([0, 1, -1])


def test_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    one, two, other = (build_network(3, seed=seed).state_dict() for seed in (1, 1, 2))

    assert torch.equal(torch.rand(1), expected), "the global generator is where it was"
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert not torch.equal(one["classifier.weight"], other["classifier.weight"])


def test_the_average_follows_the_weights_by_its_decay() -> None:
    step = small_step(average_decay=0.15)
    before = {name: value.clone() for name, value in step.network.state_dict().items()}

    step(batch(0))

    after, average = step.network.state_dict(), step.average.state_dict()
    for name in ("0.weight", "1.running_mean", "1.running_var", "2.bias"):
        expected = 0.15 * before[name] + 0.85 * after[name]
        torch.testing.assert_close(average[name], expected)
    assert average["1.num_batches_tracked"] == 1


def test_the_average_does_not_reach_back_to_the_start_of_a_short_run() -> None:
    step = small_step(average_decay=0.99)
    before = step.network.state_dict()["0.weight"].clone()

    step(batch(0))

    decay = (1 + 1) / (10 + 1)
    expected = decay * before + (1 - decay) * step.network.state_dict()["0.weight"]
    torch.testing.assert_close(step.average.state_dict()["0.weight"], expected)


def test_a_step_that_goes_on_from_a_state_is_the_step_it_would_have_been() -> None:
    unbroken, resumed = small_step(), small_step()
    for seed in range(3):
        unbroken(batch(seed))
    state = {name: value.clone() for name, value in unbroken.state_dict().items()}

    resumed.load_state_dict(state)
    figures = [(unbroken(batch(seed)), resumed(batch(seed))) for seed in range(3, 7)]

    assert all(one == other for one, other in figures)
    ends, others = unbroken.state_dict(), resumed.state_dict()
    assert ends.keys() == others.keys()
    assert all(torch.equal(value, others[name]) for name, value in ends.items())


def test_a_state_of_another_network_is_refused() -> None:
    state = small_step().state_dict()
    del state["network.2.bias"]

    with pytest.raises(RuntimeError, match=r'Missing key.*"2\.bias"'):
        small_step().load_state_dict(state)
