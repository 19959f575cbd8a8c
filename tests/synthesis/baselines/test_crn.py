"""CRN: sizes as published, the loss of several images by hand, how its terms are balanced."""

import math
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from scenequilt.synthesis.baselines.crn import (
    BASELINE,
    CRNGenerator,
    CRNLossSettings,
    CRNObjective,
    CRNSettings,
    diversity_terms,
)
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.losses import TERMS, PerceptualLoss
from scenequilt.synthesis.photograph_samples import PhotographBatch, PhotographSampleSettings
from scenequilt.synthesis.refinement import one_hot_layout
from scenequilt.synthesis.registry import load_baseline
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.training_settings import TrainingSettings

CLASSES = 3
TINY = CRNSettings(modules=4, width=0.002)
DIVERSE = CRNSettings(modules=4, width=0.002, images=3)
PLAIN = CRNLossSettings(balance_after=1000)


def _generator(settings: CRNSettings = TINY, *, seed: int = 0) -> CRNGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CRNGenerator(CLASSES, settings)


def _layout(height: int = 32, width: int = 64, *, batch: int = 1, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES + 1, (batch, height, width), generator=draw)
    return one_hot_layout(labels, CLASSES)


def _batch(
    *, number: int = 1, batch: int = 1, size_hw: tuple[int, int] = (32, 64)
) -> PhotographBatch:
    draw = torch.Generator().manual_seed(number)
    labels = torch.randint(0, CLASSES + 1, (batch, *size_hw), generator=draw).to(torch.uint8)
    return PhotographBatch(
        number=number,
        label_map=labels,
        instance_map=torch.zeros(batch, *size_hw, dtype=torch.int32),
        photograph=torch.randint(0, 256, (batch, 3, *size_hw), generator=draw).to(torch.uint8),
        extra={},
    )


def _perceptual() -> PerceptualLoss:
    draw = torch.Generator().manual_seed(0)
    shapes = [(2, 3), *[(2, 2)] * 12]
    return PerceptualLoss(
        [(torch.randn(*shape, 3, 3, generator=draw) / 3, torch.zeros(2)) for shape in shapes]
    )


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("modules", "images", "total"),
    [(7, 9, 97_875_483), (8, 1, 98_622_851), (9, 1, 98_674_531), (7, 1, 97_863_171)],
)
def test_it_has_as_many_parameters_as_the_published_checkpoints(
    modules: int, images: int, total: int
) -> None:
    """The last of these is no published one; its head alone is smaller: 512 * 24 + 24."""
    with torch.device("meta"):
        generator = CRNGenerator(19, CRNSettings(modules=modules, images=images))

    assert _parameters(generator) == total


def test_at_1024_lines_it_starts_from_4x8_pixels() -> None:
    with torch.device("meta"):
        generator = CRNGenerator(19, CRNSettings(modules=9))
        seen: list[tuple[int, ...]] = []
        for stage in generator.cascade.stages:
            stage.register_forward_hook(lambda _, __, made: seen.append(tuple(made.shape[1:])))
        made = generator(torch.zeros(1, 20, 1024, 2048))

    channels = (1024, 1024, 1024, 1024, 1024, 512, 512, 128, 32)
    assert seen == [(wide, 4 << place, 8 << place) for place, wide in enumerate(channels)]
    assert made.shape == (1, 1, 3, 1024, 2048)


@pytest.mark.parametrize("size_hw", [(32, 64), (64, 32), (30, 50), (17, 9), (4, 8)])
def test_pictures_have_the_size_of_the_layout(size_hw: tuple[int, int]) -> None:
    generator = _generator(DIVERSE)
    conditions = Conditions(_layout(*size_hw, batch=2))

    assert generator(conditions.layout).shape == (2, 3, 3, *size_hw)
    assert generator.styles(conditions).shape == (2, 3, 3, *size_hw)
    assert generator.generate(conditions).shape == (2, 3, *size_hw)


@torch.no_grad()
def test_image_u_is_three_channels_in_a_row_brought_from_minus_one_to_zero() -> None:
    generator = _generator(DIVERSE)
    weight, bias = generator.head.parameters()
    weight.zero_()
    bias.copy_(torch.arange(9.0))

    made = generator(_layout())

    torch.testing.assert_close(made[0, :, :, 5, 5], (torch.arange(9.0).view(3, 3) + 1) / 2)


@torch.no_grad()
def test_colours_are_clipped_in_use_and_not_in_training() -> None:
    generator = _generator()
    weight, bias = generator.head.parameters()
    weight.zero_()
    bias.copy_(torch.tensor([-9.0, 0.0, 9.0]))
    layout = _layout()

    assert generator(layout)[0, 0, :, 0, 0].tolist() == [-4, 0.5, 5]
    assert generator.generate(Conditions(layout))[0, :, 0, 0].tolist() == [0, 0.5, 1]


def test_the_seed_chooses_the_image() -> None:
    generator, conditions = _generator(DIVERSE), Conditions(_layout(batch=2))

    styles = generator.styles(conditions)

    for seed, image in [(0, 0), (1, 1), (2, 2), (3, 0), (10, 1)]:
        made = generator.generate(conditions, seed=seed)
        assert torch.equal(made, styles[:, image]), f"seed {seed}"
    assert not torch.equal(styles[:, 0], styles[:, 1])


def test_a_picture_in_a_batch_is_the_same_as_alone() -> None:
    generator, layout = _generator(), _layout(batch=3)

    whole = generator.generate(Conditions(layout))

    alone = generator.generate(Conditions(layout[1:2]))
    torch.testing.assert_close(whole[1:2], alone, atol=1e-5, rtol=1e-5)


def test_weights_of_bfloat16_make_a_picture_of_the_layouts_dtype() -> None:
    generator, conditions = _generator(), Conditions(_layout())

    exact = generator.generate(conditions)
    rough = generator.bfloat16().generate(conditions)

    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0.1, rtol=0)


def test_the_last_layer_starts_as_glorot_wrote() -> None:
    weight, bias = _generator(CRNSettings(modules=1, width=0.25)).head.parameters()

    assert weight.abs().max().item() == pytest.approx(math.sqrt(6 / (256 + 3)), rel=0.02)
    assert not bias.any()


def test_a_layout_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"layout must be \(B, 4, H, W\), got \(1, 6, 32, 64\)"):
        _generator().generate(Conditions(torch.zeros(1, 6, 32, 64)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modules": 10}, "modules is 10, expected 1 to 9"),
        ({"width": 0.0}, "width is 0.0, expected more than 0"),
        ({"images": 0}, "images is 0, expected at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CRNSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"balance_after": -1}, "balance_after is -1, expected at least 0"),
        ({"balance_steps": 0}, "balance_steps is 0, expected at least 1"),
        ({"pooling": "least"}, "pooling is 'least', expected 'average' or 'max'"),
        ({"trained_modules": 0}, "trained_modules is 0, expected at least 1"),
    ],
)
def test_loss_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CRNLossSettings(**settings)


def test_every_class_chooses_the_best_of_two_images_by_hand() -> None:
    """Two pixels, of one class each. Image 0 is off by 1 and 4 there, image 1 by 3 and 2."""
    layout = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    made, real = torch.tensor([[[[1.0, 4.0]]], [[[3.0, 2.0]]]]), torch.zeros(1, 1, 1, 2)

    (loss,) = diversity_terms([made], [real], layout, torch.ones(1))

    # Of the pixel means the least are 1/2 and 2/2, and the means over images (1 + 3)/4, (4 + 2)/4.
    assert loss.item() == pytest.approx(0.999 * (0.5 + 1) + 0.001 * (1 + 1.5), rel=1e-6)


def test_weights_of_the_terms_decide_which_image_is_best() -> None:
    layout = torch.ones(1, 1, 1, 1)
    made = [torch.tensor([1.0, 2.0]).view(2, 1, 1, 1), torch.tensor([5.0, 3.0]).view(2, 1, 1, 1)]
    real = [torch.zeros(1, 1, 1, 1)] * 2

    first = diversity_terms(made, real, layout, torch.tensor([1.0, 0.1]))
    second = diversity_terms(made, real, layout, torch.tensor([1.0, 1.0]))

    share = 0.001 * torch.tensor([1.5, 4.0])
    torch.testing.assert_close(first, 0.999 * torch.tensor([1.0, 5.0]) + share)
    torch.testing.assert_close(second, 0.999 * torch.tensor([2.0, 3.0]) + share)


def test_the_loss_of_several_images_is_equation_3_by_loops() -> None:
    draw = torch.Generator().manual_seed(0)
    layout, weights = _layout(8, 12, batch=2), torch.tensor([1.0, 0.5])
    sizes = [(3, 8, 12), (5, 4, 6)]
    made = [torch.rand(2 * 3, *size, generator=draw) for size in sizes]
    real = [torch.rand(2, *size, generator=draw) for size in sizes]

    found = (diversity_terms(made, real, layout, weights) * weights).sum()

    expected = 0.0
    for scene in range(2):
        for channel in range(CLASSES + 1):
            errors = []
            for image in range(3):
                error = 0.0
                for term, scale in ((0, 1), (1, 2)):
                    share = nn.functional.avg_pool2d(layout[scene, channel][None], scale)[0]
                    off = (made[term][3 * scene + image] - real[term][scene]).abs().mean(0)
                    error += float(weights[term] * (share * off).mean())
                errors.append(error)
            expected += 0.999 * min(errors) + 0.001 * sum(errors) / len(errors)
    assert found.item() == pytest.approx(expected / 2, rel=1e-5)


@pytest.mark.parametrize("size_hw", [(32, 64), (34, 50)])
@pytest.mark.parametrize("autocast", [False, True])
def test_with_one_image_it_is_the_plain_perceptual_loss(
    size_hw: tuple[int, int], autocast: bool
) -> None:
    perceptual, layout = _perceptual(), _layout(*size_hw, batch=2)
    draw = torch.Generator().manual_seed(3)
    made, real = (torch.rand(2, 3, *size_hw, generator=draw) for _ in range(2))

    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        plain = perceptual.terms(made, real)
        seen, wanted = ([each, *perceptual.maps(each)] for each in (made, real))
        found = diversity_terms(seen, wanted, layout, torch.ones(6))

    for name, value in zip(TERMS, found, strict=True):
        assert value.item() == pytest.approx(plain[name].item(), rel=1e-6, abs=1e-6), name


def test_an_image_that_is_never_the_best_learns_a_little() -> None:
    layout, real = torch.ones(1, 1, 1, 1), [torch.zeros(1, 1, 1, 1)]
    made = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1).requires_grad_()

    diversity_terms([made], real, layout, torch.ones(1)).sum().backward()

    assert made.grad is not None
    torch.testing.assert_close(made.grad.flatten(), torch.tensor([0.999 + 0.0005, 0.0005]))


def test_without_a_classifier_pixels_alone_are_compared() -> None:
    generator, batch = _generator(), _batch()

    losses = CRNObjective(generator, None, PLAIN).losses("generator", batch)

    expected = (generator(_layout_of(batch))[:, 0] - batch.photograph / 255).abs().mean()
    assert {name: value.item() for name, value in losses.items()} == {
        "image": pytest.approx(expected.item(), rel=1e-6)
    }


def test_several_images_without_a_classifier_are_compared_by_class() -> None:
    generator, batch = _generator(DIVERSE), _batch()

    losses = CRNObjective(generator, None, PLAIN).losses("generator", batch)

    made = generator(_layout_of(batch)).flatten(0, 1)
    expected = diversity_terms([made], [batch.real], _layout_of(batch), torch.ones(1))
    assert losses["image"].item() == pytest.approx(expected.item(), rel=1e-6)
    assert list(losses) == ["image"]


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_terms_are_plain_means_before_the_balance(
    pooling: Literal["average", "max"],
) -> None:
    generator, batch = _generator(), _batch()
    settings = CRNLossSettings(balance_after=1000, pooling=pooling)

    losses = CRNObjective(generator, _perceptual(), settings).losses("generator", batch)

    perceptual = _perceptual().comparing(TERMS[1:], pooling=pooling)
    expected = perceptual.terms(generator(_layout_of(batch))[:, 0], batch.real)
    assert tuple(losses) == TERMS
    for name in TERMS:
        assert losses[name].item() == pytest.approx(expected[name].item(), rel=1e-6), name


def test_after_the_balance_every_term_counts_as_much_as_the_pixels() -> None:
    generator = _generator()
    objective = CRNObjective(
        generator, _perceptual(), CRNLossSettings(balance_after=2, balance_steps=2)
    )
    plain = CRNObjective(generator, _perceptual(), PLAIN)

    with torch.no_grad():
        means = {number: plain.losses("generator", _batch(number=number)) for number in range(1, 6)}
        found = {
            number: objective.losses("generator", _batch(number=number)) for number in range(1, 6)
        }

    for name in TERMS:
        measured = means[3][name] + means[4][name]
        weight = (means[3]["image"] + means[4]["image"]) / measured
        for number in (1, 2, 3):
            assert found[number][name].item() == pytest.approx(means[number][name].item())
        for number in (4, 5):
            expected = (weight * means[number][name]).item()
            assert found[number][name].item() == pytest.approx(expected, rel=1e-5)
    assert int(objective.buffers["count"]) == 2


@pytest.mark.parametrize("settings", [TINY, DIVERSE], ids=["one image", "three images"])
def test_gradients_reach_every_parameter(settings: CRNSettings) -> None:
    generator = _generator(settings)

    losses = CRNObjective(generator, _perceptual(), PLAIN).losses("generator", _batch(batch=2))
    torch.stack(list(losses.values())).sum().backward()

    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), name


def test_coarse_modules_can_be_left_as_they_are() -> None:
    generator = _generator()

    CRNObjective(generator, None, CRNLossSettings(trained_modules=2))

    learning = {
        name.rsplit(".layers")[0]
        for name, parameter in generator.named_parameters()
        if parameter.requires_grad
    }
    assert learning == {"cascade.stages.2", "cascade.stages.3", "head.weight", "head.bias"}


def test_more_trained_modules_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match="trained_modules is 5, expected at most the 4"):
        CRNObjective(_generator(), None, CRNLossSettings(trained_modules=5))


def _layout_of(batch: PhotographBatch) -> Tensor:
    return batch.conditions(CLASSES).layout


def _learned(settings: CRNSettings, steps: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the first and the last terms of a training on one pair: stripes in flat colours."""
    labels = (torch.arange(64) // 16).expand(1, 32, 64).to(torch.uint8)
    colors = torch.tensor([[20, 60, 200], [200, 60, 20], [60, 200, 20], [240, 240, 240]])
    photograph = colors[labels.long()].permute(0, 3, 1, 2).to(torch.uint8)
    instances = torch.zeros(1, 32, 64, dtype=torch.int32)
    batch = PhotographBatch(1, labels, instances, photograph, {})
    generator = _generator(settings)
    objective = CRNObjective(generator, _perceptual(), PLAIN)
    optimizer = torch.optim.Adam(generator.parameters(), 1e-2)
    slowing = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, steps)
    rows = []
    for _ in range(steps):
        losses = objective.losses("generator", batch)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimizer.step()
        slowing.step()
        rows.append({name: value.item() for name, value in losses.items()})
    return rows[0], rows[-1]


@pytest.mark.parametrize("settings", [TINY, DIVERSE], ids=["one image", "three images"])
def test_the_loss_falls(settings: CRNSettings) -> None:
    first, last = _learned(settings, 20)

    assert sum(last.values()) < 0.7 * sum(first.values())


@pytest.mark.slow
def test_one_pair_is_learned_by_heart() -> None:
    first, last = _learned(CRNSettings(modules=4, width=0.02), 800)

    for name in TERMS:
        assert last[name] < 0.1 * first[name], name


def test_the_registry_offers_it_and_its_experiments_can_be_read() -> None:
    assert load_baseline("crn") is BASELINE
    kinds: dict[str, type[Any]] = {
        "training": TrainingSettings,
        "network": BASELINE.network,
        "loss": BASELINE.loss,
        "samples": PhotographSampleSettings,
    }

    published = read_tables(find_config("crn"), kinds)
    small = read_tables(find_config("crn-small"), kinds)

    assert published["network"] == CRNSettings() and published["loss"] == CRNLossSettings()
    assert small["samples"].crop_hw == (192, 256)
