"""What the alignment network minimises: terms by hand, gradients, and that it learns by them."""

import pytest
import torch
from torch import Tensor

from scenequilt.alignment.network import AlignmentNet, AlignmentNetSettings, warp
from scenequilt.alignment.objective import (
    AlignmentObjective,
    AlignmentWeights,
    color_difference,
    match,
    soft_iou,
)
from scenequilt.alignment.samples import AlignmentBatch


def rectangles(shifts: list[int], size: int = 32) -> Tensor:
    """Return (B, 1, size, size) masks of a rectangle, moved to the right by some pixels."""
    masks = torch.zeros(len(shifts), 1, size, size)
    for place, shift in enumerate(shifts):
        masks[place, :, 10:24, 8 + shift : 20 + shift] = 1
    return masks


def batch_of(shifts: list[int], *, displaced: float = 1.0, thing: float = 1.0) -> AlignmentBatch:
    """Return pairs whose segment, of one noisy texture, stands beside where it is wanted."""
    asked = rectangles([0] * len(shifts))
    texture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    target = texture * asked
    color = torch.cat([target[i : i + 1].roll(shift, dims=3) for i, shift in enumerate(shifts)])
    return AlignmentBatch(
        color=color,
        segment_mask=rectangles(shifts),
        query_mask=asked,
        label_map=asked[:, 0].to(torch.uint8),
        inside=torch.ones_like(asked),
        target=target if displaced else torch.zeros_like(target),
        displaced=torch.full((len(shifts),), displaced),
        thing=torch.full((len(shifts),), thing),
    )


def objective(**weights: float) -> AlignmentObjective:
    torch.manual_seed(0)
    network = AlignmentNet(2, AlignmentNetSettings(width=1 / 16))
    return AlignmentObjective(network, AlignmentWeights(**weights))


def test_colours_are_compared_on_the_mask_alone() -> None:
    target = torch.zeros(1, 3, 2, 2)
    color = torch.tensor([0.3, 0.6, 0.0])[None, :, None, None].expand(1, 3, 2, 2)
    mask = torch.tensor([[[[1.0, 0.0], [1.0, 1.0]]]])

    apart = color_difference(color, target, mask)

    # Mean over the channels 0.3, over three pixels, divided by three and one.
    assert apart.tolist() == pytest.approx([0.3 * 3 / 4])


def test_soft_iou_of_whole_masks_is_the_iou() -> None:
    first = torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]], [[[0.0, 0.0, 0.0, 0.0]]]])
    second = torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]], [[[0.0, 0.0, 0.0, 0.0]]]])

    assert soft_iou(first, second).tolist() == pytest.approx([1 / 3, 0])


def test_soft_iou_counts_parts_of_pixels() -> None:
    first = torch.tensor([[[[0.5, 1.0]]]])
    second = torch.tensor([[[[1.0, 0.0]]]])

    # Shared 0.5, together 1.5 + 1 - 0.5.
    assert soft_iou(first, second).item() == pytest.approx(0.25)


def test_excess_that_costs_less_weighs_less() -> None:
    first = torch.tensor([[[[1.0, 1.0, 1.0]]]]).expand(2, 1, 1, 3)
    second = torch.tensor([[[[1.0, 0.0, 0.0]]]]).expand(2, 1, 1, 3)

    rated = match(first, second, torch.tensor([1.0, 0.5]))

    # One shared, two in excess.
    assert rated.tolist() == pytest.approx([1 / 3, 1 / 2])


def test_gradients_of_the_terms_are_right() -> None:
    random = torch.Generator().manual_seed(0)
    color, target = (
        torch.rand(2, 3, 3, 4, dtype=torch.float64, generator=random) for _ in range(2)
    )
    mask, other = (torch.rand(2, 1, 3, 4, dtype=torch.float64, generator=random) for _ in range(2))
    cost = torch.tensor([1.0, 0.4], dtype=torch.float64)

    assert torch.autograd.gradcheck(
        lambda image: color_difference(image, target, mask), (color.requires_grad_(),)
    )
    assert torch.autograd.gradcheck(
        lambda image: match(image, other, cost), (mask.requires_grad_(),)
    )


def test_of_a_fresh_network_the_terms_are_those_of_leaving_it() -> None:
    batch = batch_of([0, 6])

    losses = objective(color=2.0, overlap=3.0).losses("network", batch)

    # 12 columns, 6 of them shared: IoU 6 / 18.
    assert losses["overlap"].item() == pytest.approx(3 * (0 + 1 - 6 / 18) / 2)
    apart = color_difference(batch.color, batch.target, batch.query_mask)
    assert losses["color"].item() == pytest.approx(2 * apart.mean().item())


def test_of_stuff_excess_counts_less() -> None:
    losses = objective(color=0.0, stuff_excess=0.5).losses("network", batch_of([6], thing=0.0))

    # Columns: 6 shared, 6 open, 6 in excess.
    assert losses["overlap"].item() == pytest.approx(1 - 6 / (6 + 6 + 0.5 * 6))


def test_beyond_the_border_nothing_counts() -> None:
    batch = batch_of([6])
    batch.inside[..., 20:] = 0

    losses = objective(color=0.0).losses("network", batch)

    assert losses["overlap"].item() == pytest.approx(1 - 6 / 12)


def test_real_pairs_have_no_colours_to_compare() -> None:
    losses = objective().losses("network", batch_of([3, 3], displaced=0.0))

    assert losses["color"].item() == 0
    assert losses["overlap"].item() > 0


@pytest.mark.parametrize(
    ("weights", "names"), [({"overlap": 0.0}, ["color"]), ({"color": 0.0}, ["overlap"])]
)
def test_terms_that_do_not_count_are_not_computed(
    weights: dict[str, float], names: list[str]
) -> None:
    assert list(objective(**weights).losses("network", batch_of([2]))) == names


def test_sixty_steps_bring_segments_nearer() -> None:
    learner = objective()
    network = learner.networks["network"]
    batch = batch_of([-4, -2, 2, 4])
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    totals = []
    for _ in range(60):
        total = torch.stack(list(learner.losses("network", batch).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())

    with torch.no_grad():
        theta = network(batch.color, batch.query_mask, batch.label_map)
    before = soft_iou(batch.segment_mask, batch.query_mask).mean()
    after = soft_iou(warp(batch.segment_mask, theta), batch.query_mask).mean()
    assert totals[-1] < 0.7 * totals[0]
    assert after > before + 0.1
    assert learner.buffers == {}


def test_weights_that_leave_nothing_to_learn_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"weights are color 0 and overlap 0, expected two numbers"
    ):
        AlignmentWeights(color=0, overlap=0)
    with pytest.raises(ValueError, match=r"stuff_excess is 1.5, expected 0 to 1"):
        AlignmentWeights(stuff_excess=1.5)
