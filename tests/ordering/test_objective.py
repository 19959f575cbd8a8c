"""The loss of an ordering network against its formula, and whether it falls."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenequilt.ordering.network import OrderNet, OrderNetSettings
from scenequilt.ordering.objective import PairObjective
from scenequilt.ordering.pair_labels import PairLabel
from scenequilt.ordering.samples import PairPicture, PairSamples, PairSettings
from scenequilt.ordering.view import RegionMap, ViewSettings

VIEW = ViewSettings(size_hw=(32, 32), around="picture")


def low_and_high() -> PairSamples:
    """Return pairs of a low and a high region, of which the lower is in front."""
    regions = np.full((64, 64), -1, np.int16)
    regions[8:24, 16:48], regions[40:56, 16:48] = 0, 1
    region_map = RegionMap(
        np.zeros((64, 64), np.uint8),
        regions,
        {0: (8, 16, 24, 48), 1: (40, 16, 56, 48)},
        {0: 512, 1: 512},
    )
    picture = PairPicture("p", region_map, (PairLabel(0, 1, 0.0, "depth"),))
    return PairSamples([picture], VIEW, PairSettings(zoom=0.9), batch_size=8, seed=0)


def test_the_loss_is_the_weighted_cross_entropy() -> None:
    torch.manual_seed(0)
    network = OrderNet(2, OrderNetSettings(width=4 / 512, dropout=0.0))
    drawn = low_and_high().batch(1)
    in_front = torch.linspace(0, 1, 8)
    weight = torch.linspace(1, 0.3, 8)
    closed = torch.randn(8, 3)
    batch = replace(drawn, outline_logits=closed, in_front=in_front, weight=weight)

    losses = PairObjective(network).losses("network", batch)

    with torch.no_grad():
        seen = (batch.label_map, batch.places)
        there = network(batch.masks, *seen, batch.extents)
        back = network(batch.masks.flip(1), *seen, batch.extents.flip(1))
        probability = torch.sigmoid((there - back) / 2 + closed.sum(dim=1))
    expected = -(
        weight * (in_front * probability.log() + (1 - in_front) * (1 - probability).log())
    ).mean()
    assert set(losses) == {"cross_entropy"}
    assert losses["cross_entropy"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_twenty_steps_learn_that_the_lower_is_in_front() -> None:
    torch.manual_seed(0)
    network = OrderNet(2, OrderNetSettings(width=4 / 512, dropout=0.0))
    objective, samples = PairObjective(network), low_and_high()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for number in range(1, 21):
        loss = objective.losses("network", samples.batch(number))["cross_entropy"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    assert losses[-1] < 0.5 * losses[0]


def test_swapping_pairs_changes_nothing() -> None:
    torch.manual_seed(0)
    network = OrderNet(2, OrderNetSettings(width=4 / 512, dropout=0.0))
    batch = low_and_high().batch(1)
    swapped = replace(
        batch,
        masks=batch.masks.flip(1),
        extents=batch.extents.flip(1),
        outline_logits=-batch.outline_logits,
        in_front=1 - batch.in_front,
    )

    losses = [PairObjective(network).losses("network", each) for each in (batch, swapped)]

    assert losses[0]["cross_entropy"].item() == pytest.approx(losses[1]["cross_entropy"].item())


def test_an_unknown_part_is_refused() -> None:
    objective = PairObjective(OrderNet(2, OrderNetSettings(width=4 / 512)))

    assert list(objective.networks) == ["network"]
    assert objective.buffers == {}
    with pytest.raises(ValueError, match="no part 'generator'; there is \"network\""):
        objective.losses("generator", low_and_high().batch(1))
