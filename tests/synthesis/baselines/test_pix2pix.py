"""pix2pix: layers and sizes as published, patches, dropout by seed, the losses by hand."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.synthesis.baselines.pix2pix import (
    BASELINE,
    PatchGAN,
    Pix2PixGenerator,
    Pix2PixLossSettings,
    Pix2PixObjective,
    Pix2PixSettings,
    logistic,
)
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.losses import PerceptualLoss
from scenequilt.synthesis.photograph_samples import PhotographBatch, PhotographSampleSettings
from scenequilt.synthesis.refinement import one_hot_layout
from scenequilt.synthesis.registry import load_baseline
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.training_settings import TrainingSettings

CLASSES = 3
TINY = Pix2PixSettings(levels=5, width=0.01)
DROPPING = Pix2PixSettings(levels=6, width=0.1)
TINY_LOSS = Pix2PixLossSettings(discriminator_width=0.01, n_layers=1)


def _generator(settings: Pix2PixSettings = TINY, *, seed: int = 0) -> Pix2PixGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Pix2PixGenerator(CLASSES, settings)


def _objective(
    settings: Pix2PixLossSettings = TINY_LOSS, network: Pix2PixSettings = TINY
) -> Pix2PixObjective:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Pix2PixObjective(_generator(network), None, settings)


def _layout(height: int = 32, width: int = 64, *, batch: int = 1, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES + 1, (batch, height, width), generator=draw)
    return one_hot_layout(labels, CLASSES)


def _batch(*, batch: int = 1, size_hw: tuple[int, int] = (32, 64)) -> PhotographBatch:
    draw = torch.Generator().manual_seed(5)
    labels = torch.randint(0, CLASSES + 1, (batch, *size_hw), generator=draw).to(torch.uint8)
    return PhotographBatch(
        number=1,
        label_map=labels,
        instance_map=torch.zeros(batch, *size_hw, dtype=torch.int32),
        photograph=torch.randint(0, 256, (batch, 3, *size_hw), generator=draw).to(torch.uint8),
        extra={},
    )


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _sum(losses: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(losses.values())).sum()


def _gradients(network: nn.Module) -> list[Tensor]:
    return [each.grad.clone() for each in network.parameters() if each.grad is not None]


def _discriminator(objective: Pix2PixObjective) -> PatchGAN:
    discriminator = objective.networks["discriminator"]
    assert isinstance(discriminator, PatchGAN)
    return discriminator


@pytest.mark.parametrize(
    ("channels", "levels", "total"),
    [(3, 8, 54_413_955), (35, 8, 54_446_723), (36, 8, 54_447_747), (3, 7, 41_828_995)],
)
def test_the_u_net_has_as_many_parameters_as_published(
    channels: int, levels: int, total: int
) -> None:
    """Of 3, 35 and 36 channels in; 41.8 million for the U-Net of 128 pixels."""
    with torch.device("meta"):
        generator = Pix2PixGenerator(channels - 1, Pix2PixSettings(levels=levels))

    assert _parameters(generator) == total


@pytest.mark.parametrize(
    ("channels", "n_layers", "total"),
    [
        (6, 1, 139_585),
        (6, 2, 666_433),
        (6, 3, 2_768_705),
        (38, 3, 2_801_473),
        (6, 4, 6_964_033),
        (6, 5, 11_159_361),
    ],
)
def test_the_discriminator_has_as_many_parameters_as_published(
    channels: int, n_layers: int, total: int
) -> None:
    with torch.device("meta"):
        discriminator = PatchGAN(channels - 3, n_layers=n_layers)

    assert _parameters(discriminator) == total


def test_levels_of_the_u_net_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        generator = Pix2PixGenerator(2)
        seen: list[tuple[int, ...]] = []
        for level in (*generator.encoder, *generator.decoder, generator.head):
            level.register_forward_hook(
                lambda _, given, made: seen.append(
                    (given[0].shape[1], made.shape[1], made.shape[2])
                )
            )
        made = generator(torch.zeros(1, 3, 256, 256))

    assert seen == [
        (3, 64, 128), (64, 128, 64), (128, 256, 32), (256, 512, 16),
        (512, 512, 8), (512, 512, 4), (512, 512, 2), (512, 512, 1),
        (512, 512, 2), (1024, 512, 4), (1024, 512, 8), (1024, 512, 16),
        (1024, 256, 32), (512, 128, 64), (256, 64, 128), (128, 3, 256),
    ]  # fmt: skip
    assert made.shape == (1, 3, 256, 256)


def test_norms_and_biases_are_where_the_authors_have_them() -> None:
    with torch.device("meta"):
        generator, discriminator = Pix2PixGenerator(2), PatchGAN(3)

    def normed(levels: nn.ModuleList) -> list[bool]:
        return [
            any(isinstance(each, nn.InstanceNorm2d) for each in level.children())
            for level in levels
        ]

    assert normed(generator.encoder) == [False, True, True, True, True, True, True, False]
    assert normed(generator.decoder) == [True] * 7
    convolutions = [
        each
        for each in (*generator.modules(), *discriminator.modules())
        if isinstance(each, nn.Conv2d | nn.ConvTranspose2d)
    ]
    biased = [each.bias is not None for each in convolutions]
    assert biased == [False] * 15 + [True] + [True, False, False, False, True]


def test_two_levels_are_a_u_net_by_hand() -> None:
    generator, layout = _generator(Pix2PixSettings(levels=2, width=0.1)), _layout(8, 12)
    outer, inner, up, gain, _, last, bias = generator.parameters()

    skip = F.conv2d(layout, outer, stride=2, padding=1)
    bottom = F.conv2d(F.leaky_relu(skip, 0.2), inner, stride=2, padding=1)
    risen = F.conv_transpose2d(bottom.relu(), up, stride=2, padding=1)
    mean = risen.mean((2, 3), keepdim=True)
    deviation = (risen.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    risen = (risen - mean) / deviation * gain.view(1, -1, 1, 1)
    both = torch.cat([risen, skip], 1).relu()
    painted = F.conv_transpose2d(both, last, bias, stride=2, padding=1)

    torch.testing.assert_close(generator(layout), (torch.tanh(painted) + 1) / 2)


@pytest.mark.parametrize("n_layers", [1, 2, 3, 4, 5])
def test_the_discriminator_sees_patches_of_the_published_size(n_layers: int) -> None:
    patch, map_side = {1: (16, 126), 2: (34, 62), 3: (70, 30), 4: (142, 14), 5: (286, 6)}[n_layers]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        discriminator = PatchGAN(1, n_layers=n_layers, width=0.01).double()
    side = 2 * patch + 64
    picture = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    layout = torch.ones(1, 1, side, side, dtype=torch.float64)

    square = torch.zeros(1, 4, 256, 256, dtype=torch.float64)
    assert discriminator(square[:, :1], square[:, 1:]).shape[2:] == (map_side, map_side)
    for place, layer in enumerate(discriminator.layers):
        if isinstance(layer, nn.InstanceNorm2d):
            # Its statistics are of the whole picture, which would hide what a patch is.
            discriminator.layers[place] = nn.Identity()
    answers = discriminator(layout, picture)
    answers[0, 0, answers.shape[2] // 2, answers.shape[3] // 2].backward()

    assert picture.grad is not None
    seen = picture.grad[0].abs().sum(0) > 0
    assert int(seen.any(1).sum()) == int(seen.any(0).sum()) == patch


@pytest.mark.parametrize("size_hw", [(32, 64), (64, 32), (30, 50), (33, 7)])
@pytest.mark.parametrize("levels", [3, 6])
def test_pictures_have_the_size_of_the_layout_and_colours_in_range(
    size_hw: tuple[int, int], levels: int
) -> None:
    generator = _generator(Pix2PixSettings(levels=levels, width=0.01))
    with torch.no_grad():
        *_, bias = generator.parameters()
        bias.copy_(torch.tensor([-99.0, 0.0, 99.0]))

    made = generator.generate(Conditions(_layout(*size_hw, batch=2)))

    assert made.shape == (2, 3, *size_hw)
    assert made.min() == 0 and made.max() == 1


@pytest.mark.parametrize(
    ("levels", "dropping"), [(8, {2, 3, 4}), (7, {2, 3}), (6, {2}), (5, set())]
)
def test_half_is_dropped_in_the_inner_levels_of_the_decoder(
    levels: int, dropping: set[int]
) -> None:
    generator = _generator(Pix2PixSettings(levels=levels, width=0.1))
    shares: list[float] = []
    for level in (*generator.decoder[1:], generator.head):
        level.register_forward_pre_hook(
            lambda _, given: shares.append(
                (given[0][:, : given[0].shape[1] // 2] == 0).float().mean().item()
            )
        )

    generator.generate(Conditions(_layout(2**levels, 2 ** (levels + 1))))

    for level, share in enumerate(shares, start=1):
        assert share == (pytest.approx(0.5, abs=0.06) if level in dropping else 0), level


def test_what_is_kept_is_enlarged_by_as_much_as_is_dropped() -> None:
    settings = Pix2PixSettings(levels=6, width=0.1, dropout=0.75)
    seen: dict[str, Tensor] = {}
    generator = _generator(settings)
    generator.decoder[1].register_forward_hook(
        lambda _, __, made: seen.update(before=made.detach().clone())
    )
    generator.decoder[2].register_forward_pre_hook(
        lambda _, given: seen.update(after=given[0].detach().clone())
    )

    generator.generate(Conditions(_layout(64, 64)))

    before, after = seen["before"], seen["after"][:, : seen["before"].shape[1]]
    kept = after != 0
    assert kept.float().mean().item() == pytest.approx(0.25, abs=0.05)
    torch.testing.assert_close(after[kept], 4 * before[kept])


def test_the_seed_says_which_values_are_dropped() -> None:
    generator, conditions = _generator(DROPPING), Conditions(_layout(64, 64))
    state = torch.get_rng_state()

    first, again, other = (generator.generate(conditions, seed=seed) for seed in (3, 3, 4))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state()), "torch's own generator was drawn from"


def test_in_training_noise_comes_from_torch_and_differs_from_picture_to_picture() -> None:
    generator, layout = _generator(DROPPING), _layout(64, 64).repeat(2, 1, 1, 1)

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        first = generator(layout)
        other = generator(layout)
        torch.manual_seed(0)
        again = generator(layout)

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_without_dropout_the_seed_changes_nothing() -> None:
    generator = _generator(Pix2PixSettings(levels=6, width=0.1, dropout=0))
    conditions = Conditions(_layout(64, 64))

    assert torch.equal(
        generator.generate(conditions, seed=0), generator.generate(conditions, seed=1)
    )


def test_a_picture_in_a_batch_is_the_same_as_alone_in_training_and_in_use() -> None:
    generator, layout = _generator(DROPPING), _layout(64, 128, batch=3)

    whole = generator.train().generate(Conditions(layout), seed=2)

    alone = generator.eval().generate(Conditions(layout[1:2]), seed=2)
    torch.testing.assert_close(whole[1:2], alone, atol=1e-5, rtol=1e-5)
    assert not list(generator.buffers()), "nothing is kept of the pictures seen in training"


def test_weights_of_bfloat16_make_a_picture_of_the_layouts_dtype() -> None:
    generator, conditions = _generator(DROPPING), Conditions(_layout())

    exact = generator.generate(conditions)
    rough = generator.bfloat16().generate(conditions)

    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, atol=0.1, rtol=0)


def test_first_weights_are_drawn_as_published() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = _generator(Pix2PixSettings(width=0.25)), PatchGAN(4, width=0.5)

    for network in networks:
        for name, parameter in network.named_parameters():
            if parameter.ndim == 4 and parameter.numel() > 1000:
                assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name
                assert abs(parameter.mean().item()) < 0.002, name
            elif name.endswith("bias"):
                assert not parameter.any(), name
        gains = torch.cat(
            [each.weight for each in network.modules() if isinstance(each, nn.InstanceNorm2d)]
        )
        assert gains.mean().item() == pytest.approx(1, abs=0.005)
        assert gains.std().item() == pytest.approx(0.02, rel=0.2)


def test_the_discriminator_is_shown_the_layout_and_colours_around_zero() -> None:
    discriminator = _discriminator(_objective())
    layout, pictures = _layout(batch=2), torch.rand(2, 3, 32, 64)

    answers = discriminator(layout, pictures)

    by_hand = discriminator.layers(torch.cat([layout, 2 * pictures - 1], 1))
    torch.testing.assert_close(answers, by_hand)


def test_the_logistic_loss_by_hand() -> None:
    logits = torch.tensor([0.0, 2.0])

    as_real, as_made = logistic(logits, real=True), logistic(logits, real=False)

    assert as_real.item() == pytest.approx((math.log(2) + math.log(1 + math.exp(-2))) / 2)
    assert as_made.item() == pytest.approx((math.log(2) + math.log(1 + math.exp(2))) / 2)


def test_a_discriminator_that_cannot_tell_loses_ln_2() -> None:
    objective, batch = _objective(), _batch()
    *_, last, _ = _discriminator(objective).parameters()
    nn.init.zeros_(last)

    judged = objective.losses("discriminator", batch)
    painted = objective.losses("generator", batch)

    for name in ("real", "made"):
        assert judged[name].item() == pytest.approx(math.log(2) / 2), "both halves count half"
    assert painted["adversarial"].item() == pytest.approx(math.log(2))


def test_a_new_discriminator_hardly_can_tell() -> None:
    objective = _objective(Pix2PixLossSettings(discriminator_width=0.125))

    judged = objective.losses("discriminator", _batch(size_hw=(64, 64)))

    assert _sum(judged).item() == pytest.approx(math.log(2), abs=0.1)


def test_losses_of_both_parts_by_hand() -> None:
    objective, batch = _objective(), _batch(batch=2)
    generator, discriminator = objective.networks["generator"], _discriminator(objective)
    layout = batch.conditions(CLASSES).layout
    made = generator(layout)  # no level of TINY drops anything

    judged = objective.losses("discriminator", batch)
    painted = objective.losses("generator", batch)

    of_real, of_made = discriminator(layout, batch.real), discriminator(layout, made)
    apart = ((2 * made - 1) - (2 * batch.photograph.float() / 255 - 1)).abs().mean()
    expected = {
        "real": 0.5 * -F.logsigmoid(of_real).mean(),
        "made": 0.5 * -torch.log(1 - torch.sigmoid(of_made)).mean(),
        "adversarial": -F.logsigmoid(of_made).mean(),
        "l1": 100 * apart,
    }
    for name, value in {**judged, **painted}.items():
        assert value.item() == pytest.approx(expected[name].item(), rel=1e-4), name


def test_terms_of_no_weight_are_left_out() -> None:
    l1 = _objective(Pix2PixLossSettings(adversarial=0))
    cgan = _objective(Pix2PixLossSettings(l1=0, adversarial=2, discriminator_width=0.01))

    assert list(l1.networks) == ["generator"]
    assert list(l1.losses("generator", _batch(size_hw=(32, 32)))) == ["l1"]
    assert list(cgan.networks) == ["discriminator", "generator"]
    assert list(cgan.losses("generator", _batch())) == ["adversarial"]


def test_a_classifier_is_not_looked_at() -> None:
    shapes = [(2, 3), *[(2, 2)] * 12]
    perceptual = PerceptualLoss([(torch.rand(*each, 3, 3), torch.zeros(2)) for each in shapes])

    objective = Pix2PixObjective(_generator(), perceptual, TINY_LOSS)

    assert list(objective.losses("generator", _batch())) == ["adversarial", "l1"]
    assert objective.buffers == {}


def test_gradients_reach_every_parameter_of_the_part_whose_turn_it_is() -> None:
    objective = _objective(network=Pix2PixSettings(levels=6, width=0.05))
    batch = _batch(batch=2, size_hw=(64, 128))

    for part, network in objective.networks.items():
        losses = objective.losses(part, batch)
        parameters = list(network.parameters())
        torch.autograd.backward(_sum(losses), inputs=parameters)
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), f"{part} {name}"


def test_the_discriminators_loss_does_not_reach_the_generator_nor_the_other_way() -> None:
    objective, batch = _objective(), _batch()
    discriminator, generator = objective.networks.values()

    _sum(objective.losses("discriminator", batch)).backward()

    assert all(each.grad is None for each in generator.parameters())
    before = _gradients(discriminator)
    loss = _sum(objective.losses("generator", batch))
    torch.autograd.backward(loss, inputs=list(generator.parameters()))
    after = _gradients(discriminator)
    assert all(map(torch.equal, before, after)) and len(before) == len(after) > 0


def test_a_layout_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"layout must be \(B, 4, H, W\), got \(1, 6, 32, 64\)"):
        _generator().generate(Conditions(torch.zeros(1, 6, 32, 64)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"levels": 1}, "levels is 1, expected 2 to 10"),
        ({"levels": 11}, "levels is 11, expected 2 to 10"),
        ({"width": 0.0}, "width is 0.0, expected more than 0 and at most 2"),
        ({"dropout": 1.0}, "dropout is 1.0, expected at least 0 and less than 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pix2PixSettings(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adversarial": -1.0}, "adversarial is -1.0, expected at least 0"),
        ({"l1": -1.0}, "l1 is -1.0, expected at least 0"),
        ({"l1": 0.0, "adversarial": 0.0}, "adversarial and l1 are 0, expected one of them above 0"),
        ({"n_layers": 0}, "n_layers is 0, expected 1 to 5"),
        ({"n_layers": 6}, "n_layers is 6, expected 1 to 5"),
        ({"discriminator_width": 3.0}, "discriminator_width is 3.0, expected more than 0"),
    ],
)
def test_loss_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pix2PixLossSettings(**settings)


def _learned(width: float, steps: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return the first and the last terms of a training on one pair: stripes in flat colours."""
    labels = (torch.arange(64) // 16).expand(1, 32, 64).to(torch.uint8)
    colors = torch.tensor([[20, 60, 200], [200, 60, 20], [60, 200, 20], [240, 240, 240]])
    photograph = colors[labels.long()].permute(0, 3, 1, 2).to(torch.uint8)
    instances = torch.zeros(1, 32, 64, dtype=torch.int32)
    batch = PhotographBatch(1, labels, instances, photograph, {})
    objective = _objective(network=Pix2PixSettings(levels=5, width=width))
    optimizers = {
        part: torch.optim.Adam(network.parameters(), 2e-3, (0.5, 0.999))
        for part, network in objective.networks.items()
    }
    rows = []
    for _ in range(steps):
        row: dict[str, float] = {}
        for part, optimizer in optimizers.items():
            losses = objective.losses(part, batch)
            optimizer.zero_grad()
            parameters = list(objective.networks[part].parameters())
            torch.autograd.backward(_sum(losses), inputs=parameters)
            optimizer.step()
            row |= {name: value.item() for name, value in losses.items()}
        rows.append(row)
    return rows[0], rows[-1]


def test_the_loss_falls() -> None:
    first, last = _learned(0.05, 20)

    assert last["l1"] < 0.8 * first["l1"]


@pytest.mark.slow
def test_one_pair_is_learned_by_heart() -> None:
    first, last = _learned(0.1, 600)

    assert last["l1"] < 0.1 * first["l1"]


def test_the_registry_offers_it_and_its_experiments_can_be_read() -> None:
    assert load_baseline("pix2pix") is BASELINE
    kinds: dict[str, type[Any]] = {
        "training": TrainingSettings,
        "network": BASELINE.network,
        "loss": BASELINE.loss,
        "samples": PhotographSampleSettings,
    }

    published = read_tables(find_config("pix2pix"), kinds)
    small = read_tables(find_config("pix2pix-small"), kinds)

    assert published["network"] == Pix2PixSettings()
    assert published["loss"] == Pix2PixLossSettings()
    assert small["samples"].crop_hw == (192, 256)
