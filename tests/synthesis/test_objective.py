"""The objective of the synthesis network: its terms by hand, and that it can be met."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.discriminator import FeatureDiscriminator, PatchDiscriminator
from scenequilt.synthesis.losses import (
    TERMS,
    PerceptualLoss,
    hinge_of_discriminator,
    hinge_of_generator,
)
from scenequilt.synthesis.network import (
    CanvasGenerator,
    CanvasGeneratorSettings,
    fill_from_around,
    one_hot,
)
from scenequilt.synthesis.objective import (
    SynthesisBatch,
    SynthesisLossSettings,
    SynthesisObjective,
)

CLASSES = 3
TINY = CanvasGeneratorSettings(width=0.01)
PLAIN = SynthesisLossSettings(semantic=0)
ADVERSARIAL = SynthesisLossSettings(adversarial=0.5, discriminator="patch", balance_steps=1000)


class TinyFeatureDiscriminator(FeatureDiscriminator):
    """For the maps of a classifier with 2 channels everywhere."""

    CHANNELS = (2, 2, 2, 2, 2)


def _generator(settings: CanvasGeneratorSettings = TINY, *, seed: int = 0) -> CanvasGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CanvasGenerator(CLASSES, settings)


def _discriminator() -> PatchDiscriminator:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return PatchDiscriminator(CLASSES, width=0.01)


def _judge(kind: str) -> PatchDiscriminator | FeatureDiscriminator:
    if kind == "patch":
        return _discriminator()
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return TinyFeatureDiscriminator(CLASSES, width=0.01)


def _adversarial(kind: str, generator: CanvasGenerator) -> SynthesisObjective:
    return SynthesisObjective(generator, _perceptual(), ADVERSARIAL, _judge(kind))


KINDS = pytest.mark.parametrize("kind", ["patch", "features"])


def _values(losses: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: value.item() for name, value in losses.items()}


def _perceptual() -> PerceptualLoss:
    draw = torch.Generator().manual_seed(0)
    shapes = [(2, 3), *[(2, 2)] * 12]
    return PerceptualLoss(
        [(torch.randn(*shape, 3, 3, generator=draw), torch.zeros(2)) for shape in shapes]
    )


def _batch(height: int = 32, width: int = 64, *, batch: int = 2) -> SynthesisBatch:
    """Return canvases of smooth pictures with holes, a third of the labels void."""
    draw = torch.Generator().manual_seed(2)
    labels = torch.randint(0, CLASSES + 1, (batch, height // 8, width // 8), generator=draw)
    labels = labels.repeat_interleave(8, 1).repeat_interleave(8, 2)
    labels = torch.where(labels == CLASSES, VOID, labels).to(torch.uint8)
    small = torch.rand(batch, 3, 4, 4, generator=draw)
    photograph = F.interpolate(small, (height, width), mode="bilinear").mul(255).to(torch.uint8)
    coverage = torch.rand(batch, 1, height, width, generator=draw) < 0.8
    elided = (torch.rand(batch, 1, height, width, generator=draw) < 0.2) & coverage
    canvas = (photograph.float() * 0.8 * coverage).to(torch.uint8)
    return SynthesisBatch(labels, canvas, coverage, elided, photograph)


def _made(generator: CanvasGenerator, batch: SynthesisBatch) -> tuple[Tensor, Tensor]:
    made: tuple[Tensor, Tensor] = generator(
        one_hot(batch.label_map, CLASSES),
        batch.canvas.float() / 255,
        batch.coverage,
        batch.elided,
    )
    return made


def test_the_difference_of_pixels_by_hand() -> None:
    batch = _batch()
    objective = SynthesisObjective(_generator(), None, PLAIN)

    losses = objective.losses("generator", batch)

    # A residual network starts as the canvas, filled from around.
    start = fill_from_around(batch.canvas.float() / 255, batch.coverage & ~batch.elided)
    expected = (start - batch.photograph.float() / 255).abs().mean()
    assert _values(losses) == {"image": pytest.approx(expected.item())}


def test_the_semantic_term_by_hand() -> None:
    """Void counts as a class of its own, the last, as in the original."""
    generator, batch = _generator(), _batch()
    objective = SynthesisObjective(generator, None, SynthesisLossSettings(semantic=3))

    found = objective.losses("generator", batch)["semantic"]

    _, logits = _made(generator, batch)
    shares = logits.softmax(1).movedim(1, -1).reshape(-1, CLASSES + 1)
    labels = [CLASSES if label == VOID else label for label in batch.label_map.flatten().tolist()]
    right = shares[torch.arange(len(labels)), torch.tensor(labels)]
    assert VOID in batch.label_map
    assert found.item() == pytest.approx(-3 * right.log().mean().item(), rel=1e-5)


def test_labels_shrink_to_where_the_semantic_head_looks() -> None:
    generator, batch = _generator(replace(TINY, lines=1024)), _batch(64, 96)
    objective = SynthesisObjective(generator, None, SynthesisLossSettings(semantic=1))

    found = objective.losses("generator", batch)["semantic"]

    _, logits = _made(generator, batch)
    assert logits.shape[2:] == (32, 48)
    # Labels come in blocks of 8 pixels, so every second one is any nearest one.
    labels = batch.label_map[:, ::2, ::2].long().clamp(max=CLASSES)
    torch.testing.assert_close(found, F.cross_entropy(logits, labels))


def test_the_terms_of_the_classifier_are_balanced() -> None:
    generator, batch, perceptual = _generator(), _batch(), _perceptual()
    objective = SynthesisObjective(generator, perceptual, replace(PLAIN, balance_steps=1))
    objective.losses("generator", batch)

    losses = _values(objective.losses("generator", batch))

    made, _ = _made(generator, batch)
    raw = _values(perceptual.terms(made, batch.photograph.float() / 255))
    assert tuple(losses) == TERMS
    assert losses["image"] == pytest.approx(raw["image"])
    assert list(losses.values()) == pytest.approx([raw["image"]] * 6)
    assert objective.buffers["count"] == 1


def test_what_is_measured_lies_where_the_networks_are_trained() -> None:
    objective = SynthesisObjective(_generator(), None, PLAIN, device="meta")

    assert {each.device.type for each in objective.buffers.values()} == {"meta"}


def test_a_weight_of_zero_leaves_a_term_out() -> None:
    whole = SynthesisObjective(_generator(), None, ADVERSARIAL, _discriminator())
    plain = SynthesisObjective(_generator(), None, PLAIN, _discriminator())

    assert set(whole.losses("generator", _batch())) == {"image", "semantic", "adversarial"}
    assert set(plain.losses("generator", _batch())) == {"image"}
    assert list(plain.networks) == ["generator"]


@KINDS
def test_the_discriminator_learns_first(kind: str) -> None:
    assert list(_adversarial(kind, _generator()).networks) == ["discriminator", "generator"]


@KINDS
def test_the_adversarial_terms_by_hand(kind: str) -> None:
    generator, batch, perceptual, judge = _generator(), _batch(), _perceptual(), _judge(kind).eval()
    objective = SynthesisObjective(generator, perceptual, ADVERSARIAL, judge)

    of_judge = _values(objective.losses("discriminator", batch))
    of_generator = _values(objective.losses("generator", batch))

    layout, real = one_hot(batch.label_map, CLASSES), batch.photograph.float() / 255
    made, _ = _made(generator, batch)
    if kind == "features":
        of_real, of_made = (judge(layout, perceptual.maps(each)) for each in (real, made))
    else:
        of_real, of_made = judge(layout, real), judge(layout, made)
    expected = hinge_of_discriminator(of_real, of_made).item()
    assert of_judge == {"hinge": pytest.approx(expected, rel=1e-4)}
    expected = 0.5 * hinge_of_generator(of_made).item()
    assert of_generator["adversarial"] == pytest.approx(expected, rel=1e-4)


@KINDS
def test_the_discriminators_loss_teaches_the_generator_nothing(kind: str) -> None:
    generator = _generator()
    objective = _adversarial(kind, generator)

    objective.losses("discriminator", _batch())["hinge"].backward()

    assert all(each.grad is None for each in generator.parameters())
    judge = objective.networks["discriminator"]
    assert any(each.grad is not None and each.grad.any() for each in judge.parameters())


@KINDS
def test_the_adversarial_term_reaches_the_generator(kind: str) -> None:
    generator = _generator()
    nn.init.normal_(generator.rgb.weight, std=0.1)

    _adversarial(kind, generator).losses("generator", _batch())["adversarial"].backward()

    first = generator.encoder[0].get_parameter("0.weight").grad
    assert first is not None
    assert first.any()


@pytest.mark.parametrize("residual", [True, False])
def test_it_learns_one_picture_by_heart(residual: bool) -> None:
    """In 80 steps of a network with 4 channels a third of the first difference is left."""
    generator = _generator(
        CanvasGeneratorSettings(width=0.03, residual=residual, elided_channel=residual)
    )
    objective = SynthesisObjective(generator, None, PLAIN)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.01)
    batch = _batch(32, 32, batch=1)

    differences = []
    for _ in range(80):
        optimizer.zero_grad()
        loss = objective.losses("generator", batch)["image"]
        loss.backward()
        optimizer.step()
        differences.append(loss.item())

    assert min(differences[-5:]) < differences[0] / 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"balance_steps": 0}, "balance_steps is 0, expected at least 1"),
        ({"semantic": -1.0}, "semantic is -1.0, expected at least 0"),
        ({"adversarial": -0.5}, "adversarial is -0.5, expected at least 0"),
        ({"discriminator": "both"}, "discriminator is 'both', expected 'patch' or 'features'"),
        ({"discriminator_width": 0}, "discriminator_width is 0, expected more than 0 and at most"),
        ({"discriminator_width": 3}, "discriminator_width is 3, expected more than 0 and at most"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SynthesisLossSettings(**wrong)


def test_an_adversarial_term_needs_somebody_who_judges() -> None:
    with pytest.raises(ValueError, match=r"adversarial is 0\.5, which needs a discriminator; give"):
        SynthesisObjective(_generator(), None, ADVERSARIAL)


def test_a_discriminator_over_features_needs_a_classifier() -> None:
    with pytest.raises(ValueError, match="needs the classifier of the perceptual loss; give its"):
        SynthesisObjective(_generator(), None, ADVERSARIAL, _judge("features"))
