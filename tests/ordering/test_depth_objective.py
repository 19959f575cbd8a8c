"""The scale-invariant loss against its formula and its laws, and the scores of depth."""

import math

import pytest
import torch

from scenequilt.ordering.depth_network import DepthNet, DepthNetSettings
from scenequilt.ordering.depth_objective import (
    DepthObjective,
    gradient_loss,
    scale_invariant_log_loss,
    score_depth,
)
from scenequilt.ordering.depth_samples import DepthBatch


def drawn(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    log_depth = torch.randn(2, 4, 6, generator=generator)
    log_truth = torch.randn(2, 4, 6, generator=generator)
    return log_depth, log_truth, torch.rand(2, 4, 6, generator=generator) > 0.3


@pytest.mark.parametrize("invariance", [0.0, 0.5, 1.0])
def test_the_loss_is_equation_4_pixel_by_pixel(invariance: float) -> None:
    log_depth, log_truth, known = drawn()
    expected = []
    for picture in range(2):
        differences = [
            float(log_depth[picture, y, x] - log_truth[picture, y, x])
            for y in range(4)
            for x in range(6)
            if known[picture, y, x]
        ]
        n = len(differences)
        squares = sum(d * d for d in differences)
        expected.append(squares / n - invariance * sum(differences) ** 2 / n**2)

    loss = scale_invariant_log_loss(log_depth, log_truth, known, invariance=invariance)

    assert loss.item() == pytest.approx(sum(expected) / 2, rel=1e-5)


def test_a_factor_on_all_depths_costs_nothing_at_full_invariance() -> None:
    log_depth, log_truth, known = drawn()

    def loss(shift: float, invariance: float) -> float:
        shifted = log_depth + shift
        return float(scale_invariant_log_loss(shifted, log_truth, known, invariance=invariance))

    assert loss(2.0, 1.0) == pytest.approx(loss(0.0, 1.0), rel=1e-4)
    assert loss(2.0, 0.5) > loss(0.0, 0.5)


def test_unknown_pixels_do_not_count() -> None:
    log_depth, log_truth, known = drawn()
    other = torch.where(known, log_truth, 99.0)

    assert torch.equal(
        scale_invariant_log_loss(log_depth, log_truth, known),
        scale_invariant_log_loss(log_depth, other, known),
    )
    assert scale_invariant_log_loss(log_depth, log_truth, known & False).item() == 0
    assert torch.equal(
        gradient_loss(log_depth, log_truth, known), gradient_loss(log_depth, other, known)
    )


def test_the_gradients_are_right() -> None:
    log_depth, log_truth, known = (value.double() for value in drawn())
    log_depth.requires_grad_()

    for loss in (scale_invariant_log_loss, gradient_loss):
        assert torch.autograd.gradcheck(
            lambda given, loss=loss: loss(given, log_truth, known.bool()), (log_depth,)
        )


def test_a_slope_that_is_off_costs_its_square() -> None:
    columns = torch.arange(5.0).expand(1, 3, 5)
    known = torch.ones(1, 3, 5, dtype=torch.bool)

    # 0.2 a column too steep: each step along differs by 0.2, none down.
    assert gradient_loss(1.2 * columns, columns, known).item() == pytest.approx(0.04, rel=1e-4)


def test_twenty_steps_bring_the_loss_down() -> None:
    torch.manual_seed(0)
    network = DepthNet(DepthNetSettings(width=4 / 512, size_hw=(32, 64)))
    objective = DepthObjective(network)
    depth_m = torch.linspace(10, 2, 16)[None, :, None].expand(4, 16, 32).clone()
    depth_m[:, :4] = 0
    batch = DepthBatch(torch.rand(4, 3, 32, 64), depth_m)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        terms = objective.losses("network", batch)
        optimizer.zero_grad()
        sum(terms.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
        losses.append(terms["depth"].item())

    assert set(terms) == {"depth", "gradient"}
    assert losses[-1] < 0.5 * losses[0]


def test_scores_by_hand() -> None:
    depth_m = torch.tensor([[[1.0, 2.0, 0.0, 4.0]]])
    # 10 % too far, exact, unknown, twice as far.
    found = score_depth(torch.tensor([[[1.1, 2.0, 9.0, 8.0]]]).log(), depth_m)

    differences = [math.log(1.1), 0.0, math.log(2)]
    mean = sum(differences) / 3
    variance = sum((d - mean) ** 2 for d in differences) / 3
    assert found.relative_error == pytest.approx((0.1 + 0 + 1) / 3, rel=1e-5)
    assert found.within_quarter == pytest.approx(2 / 3)
    assert found.scale_free_error == pytest.approx(math.sqrt(variance), rel=1e-4)


def test_misfits_are_refused() -> None:
    log_depth, log_truth, known = drawn()

    with pytest.raises(ValueError, match=r"of one shape .* \(2, 4, 6\), \(1, 4, 6\)"):
        scale_invariant_log_loss(log_depth, log_truth[:1], known)
    with pytest.raises(ValueError, match="invariance is 2, expected 0 to 1"):
        scale_invariant_log_loss(log_depth, log_truth, known, invariance=2)
    with pytest.raises(ValueError, match="no depth is known"):
        score_depth(log_depth, torch.zeros(2, 4, 6))
    with pytest.raises(ValueError, match="no part 'a'"):
        DepthObjective(DepthNet()).losses("a", DepthBatch(log_depth, log_truth))
