"""What a segmenter learns by, piece by piece."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.tools.training.segmenter_objective import (
    SegmenterObjective,
    build_network,
    class_weights,
    normalized,
    segmentation_loss,
)
from scenequilt.tools.training.segmenter_samples import SegmenterBatch


def test_class_weights_by_hand() -> None:
    weights = class_weights(np.array([300, 100, 0]))

    expected = [1 / math.log(1.85), 1 / math.log(1.35), 1 / math.log(1.1)]
    assert weights.tolist() == pytest.approx(expected)
    assert weights.dtype == torch.float32


def test_class_weights_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="0 for every class, expected at least one labelled pixel"):
        class_weights(np.zeros(3, np.int64))


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


def test_the_objective_is_the_loss_of_its_networks_scores() -> None:
    network = nn.Conv2d(3, 3, 1)
    weights = torch.tensor([1.0, 2.0, 3.0])
    labels = torch.randint(0, 3, (2, 8, 8))
    images = torch.rand(2, 3, 8, 8)

    terms = SegmenterObjective(network, weights).losses("network", SegmenterBatch(images, labels))

    expected = segmentation_loss(network((images - 0.45) / 0.25), labels, weights)
    torch.testing.assert_close(terms["cross_entropy"], expected)
    assert list(terms) == ["cross_entropy"]
