"""Cross entropy over labelled pixels, and that a few steps of it complete a street."""

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.completion.coarse import CoarseSettings, simulate_coarse
from scenequilt.synthesis.completion.nearest import nearest_labels
from scenequilt.synthesis.completion.network import CompletionNet, CompletionNetSettings
from scenequilt.synthesis.completion.objective import CompletionObjective, layout_cross_entropy
from scenequilt.synthesis.completion.samples import CompletionBatch

TINY = CompletionNetSettings(modules=4, width=1 / 128)


def _batch(street: Layout) -> CompletionBatch:
    coarse = simulate_coarse(street, CoarseSettings(), np.random.default_rng(0)).label_map
    maps = (coarse, nearest_labels(coarse), street.label_map)
    return CompletionBatch(*(torch.from_numpy(each)[None] for each in maps))


def test_cross_entropy_is_the_mean_over_labelled_pixels() -> None:
    logits = torch.randn(1, 3, 2, 2)
    truth = torch.tensor([[[2, VOID], [0, VOID]]])

    loss = layout_cross_entropy(logits, truth)

    shares = logits.softmax(1)
    by_hand = -(shares[0, 2, 0, 0].log() + shares[0, 0, 1, 0].log()) / 2
    torch.testing.assert_close(loss, by_hand)


def test_nothing_labelled_costs_nothing() -> None:
    truth = torch.full((1, 2, 2), VOID)

    assert layout_cross_entropy(torch.randn(1, 3, 2, 2), truth) == 0


def test_gradients_of_the_loss_are_right() -> None:
    logits = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    truth = torch.tensor([[[2, VOID], [0, 1]]])

    def loss(given: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(given, truth, ignore_index=VOID)

    loss(logits).backward()
    expected = logits.grad
    logits.grad = None
    layout_cross_entropy(logits, truth).backward()

    torch.testing.assert_close(logits.grad, expected, rtol=1e-5, atol=1e-7)


def test_accuracy_counts_what_was_void_and_is_labelled_in_truth(street: Layout) -> None:
    batch = _batch(street)
    network = CompletionNet(4, TINY)

    losses = CompletionObjective(network).losses("network", batch)

    asked = (batch.coarse == VOID) & (batch.truth != VOID)
    answer = network(batch.coarse, batch.nearest).argmax(1)
    expected = (answer == batch.truth)[asked].float().mean()
    torch.testing.assert_close(losses["filled_accuracy"], expected)
    assert losses["cross_entropy"].requires_grad
    assert not losses["filled_accuracy"].requires_grad


def test_a_layout_without_void_has_all_its_void_right(street: Layout) -> None:
    truth = torch.from_numpy(street.label_map)[None]

    losses = CompletionObjective(CompletionNet(4, TINY)).losses(
        "network", CompletionBatch(truth, truth, truth)
    )

    assert losses["filled_accuracy"] == 1


@pytest.mark.parametrize("start", ["nothing", "nearest"])
def test_one_street_is_learnt_by_heart(street: Layout, start: str) -> None:
    torch.manual_seed(0)
    settings = CompletionNetSettings(modules=4, width=1 / 128, start=start)  # type: ignore[arg-type]
    objective = CompletionObjective(CompletionNet(4, settings))
    batch = _batch(street)
    optimizer = torch.optim.Adam(objective.networks["network"].parameters(), 1e-2)
    first = objective.losses("network", batch)["cross_entropy"].item()

    for _ in range(60):
        optimizer.zero_grad()
        objective.losses("network", batch)["cross_entropy"].backward()
        optimizer.step()

    last = objective.losses("network", batch)
    assert last["cross_entropy"].item() < 0.3 * first
    assert last["filled_accuracy"].item() > 0.9


def test_the_network_is_all_there_is_to_train_and_save() -> None:
    network = CompletionNet(4, TINY)

    objective = CompletionObjective(network)

    assert dict(objective.networks) == {"network": network}
    assert dict(objective.buffers) == {}
