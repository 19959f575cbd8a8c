"""SPADE: its sizes as published, its layer and losses by hand, and published weights through it."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.flop_counter import FlopCounterMode

from scenequilt.memory_bank.errors import MissingConditionError
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.baselines.spade import (
    BASELINE,
    PRESETS,
    Spade,
    SpadeGenerator,
    SpadeLossSettings,
    SpadeObjective,
    SpadeSettings,
    SpectralNorm,
    divergence_from_normal,
    nearest_pyramid,
    published,
)
from scenequilt.synthesis.boundaries import boundary_map
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.losses import FIRST_CONVOLUTIONS, FIRST_WEIGHTS, PerceptualLoss
from scenequilt.synthesis.multiscale import MultiScaleDiscriminator
from scenequilt.synthesis.photograph_samples import PhotographBatch, PhotographSampleSettings
from scenequilt.synthesis.refinement import one_hot_layout
from scenequilt.synthesis.registry import load_baseline
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.step import ObjectiveStep
from scenequilt.tools.training.training_settings import TrainingSettings

Depth = Literal["normal", "more", "most"]
Norm = Literal["batch", "instance"]
VoidChannel = Literal["none", "last", "first"]

CLASSES = 3
TINY = SpadeSettings(depth="normal", width=0.02, hidden=4, norm="instance")
WITH_STYLE = replace(TINY, vae=True, style_length=6, start_hw=(1, 2))
SLIM_LOSS = SpadeLossSettings(discriminator_width=0.05)


def _generator(settings: SpadeSettings = TINY, *, seed: int = 0) -> SpadeGenerator:
    """Return a generator with weights large enough for every condition to show in its pictures."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        generator = SpadeGenerator(CLASSES, settings)
        for name, parameter in generator.named_parameters():
            if name.endswith("weight"):
                nn.init.xavier_normal_(parameter)
    return generator


def _objective(
    generator: SpadeGenerator,
    settings: SpadeLossSettings = SLIM_LOSS,
    perceptual: PerceptualLoss | None = None,
) -> SpadeObjective:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return SpadeObjective(generator, perceptual, settings)


def _perceptual() -> PerceptualLoss:
    draw = torch.Generator().manual_seed(0)
    shapes = [(2, 3), *[(2, 2)] * 12]
    return PerceptualLoss(
        [(torch.randn(*shape, 3, 3, generator=draw), torch.zeros(2)) for shape in shapes]
    )


def _batch(height: int = 32, width: int = 64, *, batch: int = 2, seed: int = 2) -> PhotographBatch:
    """Return smooth photographs over blocks of classes, a few void, each block an object."""
    draw = torch.Generator().manual_seed(seed)
    rows, columns = -(-height // 8), -(-width // 8)
    blocks = torch.randint(0, CLASSES + 1, (batch, rows, columns), generator=draw)
    labels = blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width]
    numbers = torch.arange(rows * columns, dtype=torch.int32).view(1, rows, columns)
    instances = numbers.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width]
    small = torch.rand(batch, 3, 4, 4, generator=draw)
    photograph = F.interpolate(small, (height, width), mode="bilinear").mul(255).to(torch.uint8)
    return PhotographBatch(
        number=1,
        label_map=torch.where(labels == CLASSES, VOID, labels).to(torch.uint8),
        instance_map=instances.expand(batch, -1, -1).contiguous(),
        photograph=photograph,
        extra={},
    )


def _conditions(height: int = 32, width: int = 64, *, batch: int = 2, seed: int = 2) -> Conditions:
    return _batch(height, width, batch=batch, seed=seed).conditions(CLASSES)


def _of_one(conditions: Conditions, place: int) -> Conditions:
    """Return the conditions of one picture of a batch."""
    assert conditions.instances is not None
    style = None if conditions.style is None else conditions.style[place : place + 1]
    return Conditions(
        layout=conditions.layout[place : place + 1],
        instances=conditions.instances[place : place + 1],
        style=style,
    )


def _count(network: nn.Module | None) -> int:
    assert network is not None
    return sum(each.numel() for each in network.parameters())


def _judge(objective: SpadeObjective) -> MultiScaleDiscriminator:
    judge = objective.networks["discriminator"]
    assert isinstance(judge, MultiScaleDiscriminator)
    return judge


# Sizes as published


@pytest.mark.parametrize(
    ("preset", "plain", "start_hw", "with_style", "of_discriminator"),
    [
        ("ade20k_256", 96_492_483, (8, 8), 111_942_595, 5_836_930),
        ("coco_256", 97_480_899, (8, 8), 112_626_883, 5_904_514),
        ("cityscapes_512x256", 93_048_003, (4, 8), 101_136_579, 5_601_410),
        ("facades_256", 92_359_107, (8, 8), 109_081_027, 5_554_306),
    ],
)
def test_as_many_parameters_as_published(
    preset: str,
    plain: int,
    start_hw: tuple[int, int],
    with_style: int,
    of_discriminator: int,
) -> None:
    classes, settings = PRESETS[preset]

    with torch.device("meta"):
        generator = SpadeGenerator(classes, settings)
        styled = SpadeGenerator(classes, replace(settings, vae=True, start_hw=start_hw))
        objective = SpadeObjective(generator, None, device="meta")

    assert _count(generator) == plain
    assert _count(styled) - _count(styled.encoder) == with_style
    assert _count(styled.encoder) == 10_463_424
    assert _count(objective.networks["discriminator"]) == of_discriminator


def test_as_many_of_them_modulate_as_published() -> None:
    classes, settings = PRESETS["ade20k_256"]

    with torch.device("meta"):
        generator = SpadeGenerator(classes, settings)

    assert (
        sum(_count(each) for each in generator.modules() if isinstance(each, Spade)) == 28_370_304
    )


def test_deeper_ones_have_as_many_parameters_but_for_the_last_block() -> None:
    with torch.device("meta"):
        normal, more, most = (
            SpadeGenerator(150, SpadeSettings(depth=depth, boundary=False))
            for depth in ("normal", "more", "most")
        )

    # 1728 + 3 go to colours from 64 channels, 864 + 3 from 32.
    assert _count(normal) == _count(more) == _count(most) - _count(most.blocks[-1]) + 1728 - 864


@pytest.mark.parametrize(
    ("preset", "depth", "size_hw", "billions"),
    [
        ("ade20k_256", "normal", (256, 256), 181.2),
        ("ade20k_256", "more", (256, 256), 175.3),
        ("cityscapes_512x256", "more", (256, 512), 281.3),
    ],
)
def test_every_block_works_at_the_published_size(
    preset: str, depth: Depth, size_hw: tuple[int, int], billions: float
) -> None:
    """Multiplications for a picture tell where features are enlarged."""
    classes, settings = PRESETS[preset]
    settings = replace(settings, depth=depth)

    with FakeTensorMode(), torch.no_grad():
        generator = SpadeGenerator(classes, settings).eval()
        shown = torch.zeros(1, settings.channels_shown(classes), *size_hw)
        with FlopCounterMode(display=False) as counter:
            generator(shown)

    assert counter.get_total_flops() / 2e9 == pytest.approx(billions, abs=0.05)


def test_the_discriminators_maps_have_the_published_sizes() -> None:
    judge = _judge(_objective(_generator()))
    shown = torch.zeros(1, TINY.channels_shown(CLASSES) + 3, 256, 256)

    small, large = judge(shown)

    assert [each.shape[2] for each in large] == [129, 65, 33, 34, 35]
    assert [each.shape[2] for each in small] == [65, 33, 17, 18, 19]
    assert all(each.shape[2] == each.shape[3] for each in (*small, *large))
    assert [each.shape[1] for each in (small[-1], large[-1])] == [1, 1]


@pytest.mark.parametrize(("scale", "seen_px"), [(1, 70), (0, 141)])
def test_the_discriminators_see_70_pixels_of_their_scale(scale: int, seen_px: int) -> None:
    """At half the size 70 pixels are means over 3x3, one every 2: 2 * 69 + 3 of the full."""
    judge = copy.deepcopy(_judge(_objective(_generator())))
    for stage in [each for each in judge.modules() if isinstance(each, nn.Sequential)]:
        for place, layer in enumerate(stage):
            if isinstance(layer, nn.InstanceNorm2d):
                # Its mean and deviation see the whole picture.
                stage[place] = nn.Identity()
            if isinstance(layer, nn.Conv2d):
                nn.init.ones_(
                    layer.get_parameter("parametrizations.weight.original")
                    if is_parametrized(layer)
                    else layer.weight
                )
    picture = torch.ones(1, TINY.channels_shown(CLASSES) + 3, 256, 256, requires_grad=True)

    answers = judge(picture)[scale][-1]
    answers[0, 0, answers.shape[2] // 2, answers.shape[3] // 2].backward()

    assert picture.grad is not None
    seen = picture.grad.abs().sum((0, 1)) > 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (seen_px, seen_px)


# The layer


def _spade(channels: int = 5, norm: str = "batch") -> Spade:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        layer = Spade(channels, CLASSES, 4, norm)
        for each in (layer.shared, layer.gamma, layer.beta):
            nn.init.xavier_normal_(each.weight)
    return layer


def _random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_without_modulation_it_is_plain_normalisation(norm: str) -> None:
    layer, features = _spade(norm=norm), _random(2, 5, 6, 7)
    for each in (layer.gamma, layer.beta):
        nn.init.zeros_(each.weight)

    normal = layer(features, torch.zeros(2, CLASSES, 6, 7))

    over = (0, 2, 3) if norm == "batch" else (2, 3)
    mean = features.mean(over, keepdim=True)
    variance = features.var(over, unbiased=False, keepdim=True)
    torch.testing.assert_close(normal, (features - mean) / (variance + 1e-5).sqrt())


def test_the_layout_modulates_pixel_by_pixel() -> None:
    """Equation 1 of the paper, with gamma + 1 as in its code."""
    layer, features = _spade().eval(), _random(1, 5, 6, 7)
    assert layer.norm is not None
    layer.norm.running_mean = _random(5)
    layer.norm.running_var = _random(5).square() + 0.5
    shown = one_hot_layout(torch.randint(0, CLASSES, (1, 6, 7)), CLASSES - 1)

    modulated = layer(features, shown)

    hidden = layer.shared(shown).clamp(min=0)
    gamma, beta = layer.gamma(hidden), layer.beta(hidden)
    mean, variance = (
        each.view(1, 5, 1, 1) for each in (layer.norm.running_mean, layer.norm.running_var)
    )
    normal = (features - mean) / (variance + 1e-5).sqrt()
    torch.testing.assert_close(modulated, normal * (1 + gamma) + beta)


def test_a_layout_of_one_class_is_not_lost_as_where_it_is_normalised() -> None:
    """The defining property: which class a uniform layout has stays visible."""
    layer, features = _spade(norm="instance"), _random(1, 5, 8, 8)
    layouts = [one_hot_layout(torch.full((1, 8, 8), each), CLASSES - 1) for each in range(2)]
    conv = nn.Conv2d(CLASSES, 5, 1)

    first, second = (layer(features, each) for each in layouts)
    washed = [F.instance_norm(conv(each)) for each in layouts]

    torch.testing.assert_close(washed[0], washed[1], atol=1e-3, rtol=0)
    assert (first - second).abs().mean() > 0.1


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_another_class_everywhere_is_another_picture(norm: Norm) -> None:
    generator = _generator(replace(TINY, norm=norm, boundary=False))
    first, second = (
        generator.generate(Conditions(one_hot_layout(torch.full((1, 32, 64), each), CLASSES)))
        for each in range(2)
    )

    assert (first - second).abs().mean() > 0.01


def test_the_layout_is_made_smaller_by_nearest() -> None:
    layout = one_hot_layout(torch.randint(0, CLASSES + 1, (2, 32, 64)), CLASSES)

    pyramid = nearest_pyramid(layout, 4)

    assert [tuple(each.shape[2:]) for each in pyramid] == [
        (2, 4),
        (4, 8),
        (8, 16),
        (16, 32),
        (32, 64),
    ]
    for level in pyramid:
        torch.testing.assert_close(level.sum(1), torch.ones_like(level[:, 0]))
        assert set(level.unique().tolist()) == {0.0, 1.0}
        assert torch.equal(level, F.interpolate(layout, level.shape[2:], mode="nearest"))


# Spectral norm and first weights


def test_convolutions_of_blocks_and_encoder_alone_have_spectral_norm() -> None:
    generator = _generator(WITH_STYLE)
    normed: set[str] = set()
    plain: set[str] = set()
    for name, module in generator.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            last = name.rpartition(".")[2]
            kind = "encoder convolution" if "encoder.convolutions" in name else last
            (normed if is_parametrized(module) else plain).add(kind)

    assert normed == {"conv_in", "conv_out", "conv_skip", "encoder convolution"}
    assert plain == {"start", "shared", "gamma", "beta", "rgb", "mean", "log_variance"}


def test_the_first_and_last_convolution_of_a_discriminator_have_no_spectral_norm() -> None:
    for net in _judge(_objective(_generator())).scales:
        convolutions = [each for each in net.modules() if isinstance(each, nn.Conv2d)]

        assert [is_parametrized(each) for each in convolutions] == [False, True, True, True, False]
        assert [each.bias is not None for each in convolutions] == [True, False, False, False, True]


@pytest.mark.parametrize("of", ["generator", "discriminator"])
def test_first_weights_are_a_fiftieth_of_glorots(of: str) -> None:
    """In wrapped layers too, where drawing into the weight would be lost."""
    torch.manual_seed(0)
    generator = SpadeGenerator(CLASSES, replace(WITH_STYLE, width=0.06))
    network = SpadeObjective(generator, None, SLIM_LOSS).networks[of]
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        name = "parametrizations.weight.original" if is_parametrized(module) else "weight"
        weight = module.get_parameter(name)
        if weight.numel() < 2000:
            continue
        fans = (weight.shape[0] + weight.shape[1]) * weight[0, 0].numel()
        assert weight.std().item() == pytest.approx(0.02 * (2 / fans) ** 0.5, rel=0.08)
        assert module.bias is None or not module.bias.any()


def test_a_weight_has_the_largest_singular_value_1() -> None:
    norm, weight = SpectralNorm(_random(6, 4, 3, 3)), _random(6, 4, 3, 3)

    for _ in range(200):
        found = norm(weight)

    assert torch.linalg.matrix_norm(found.flatten(1), 2).item() == pytest.approx(1, rel=1e-4)
    torch.testing.assert_close(found / found[0, 0, 0, 0], weight / weight[0, 0, 0, 0])
    before = norm.u.clone()
    torch.testing.assert_close(norm.eval()(weight), found, rtol=1e-4, atol=1e-6)
    assert torch.equal(norm.u, before)


def test_averaged_vectors_weaken_no_weight() -> None:
    norm, weight = SpectralNorm(_random(6, 4, 3, 3)).eval(), _random(6, 4, 3, 3)
    expected = norm(weight)

    norm.u.mul_(0.3)
    norm.v.mul_(0.4)

    torch.testing.assert_close(norm(weight), expected)


# Pictures


@pytest.mark.parametrize("depth", ["normal", "more", "most"])
@pytest.mark.parametrize("size_hw", [(32, 64), (33, 70), (100, 31), (1, 1)])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_pictures_have_the_size_of_the_layout(
    depth: Depth, size_hw: tuple[int, int], norm: Norm
) -> None:
    generator = _generator(replace(TINY, depth=depth, norm=norm))

    made = generator.generate(_conditions(*size_hw))

    assert made.shape == (2, 3, *size_hw)
    assert made.dtype == torch.float32
    assert (made >= 0).all() and (made <= 1).all() and made.std() > 0


def test_a_layout_between_two_sizes_is_continued_by_its_last_row_and_column() -> None:
    generator, conditions = _generator(replace(TINY, boundary=False)), _conditions(27, 61)
    continued = Conditions(layout=F.pad(conditions.layout, (0, 3, 0, 5), mode="replicate"))

    torch.testing.assert_close(
        generator.generate(conditions), generator.generate(continued)[..., :27, :61]
    )


@pytest.mark.parametrize("settings", [TINY, replace(TINY, norm="batch"), WITH_STYLE])
def test_a_picture_of_a_batch_is_the_picture_alone(settings: SpadeSettings) -> None:
    generator, conditions = _generator(settings), _conditions(batch=3)
    conditions = replace(conditions, style=_batch(batch=3, seed=9).real)
    for _ in range(3):
        generator(generator.shown_of(conditions), torch.zeros(3, 6))

    together = generator.generate(conditions, seed=4)

    for place in range(3):
        alone = generator.generate(_of_one(conditions, place), seed=4)
        torch.testing.assert_close(alone, together[place : place + 1], rtol=1e-4, atol=1e-5)


def test_generating_leaves_the_network_and_torchs_random_numbers_as_they_were() -> None:
    generator = _generator(replace(WITH_STYLE, norm="batch")).train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    state = torch.random.get_rng_state()

    generator.generate(_conditions(), seed=7)

    assert generator.training and all(each.training for each in generator.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, value in generator.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_running_statistics_follow_in_training() -> None:
    generator = _generator(replace(TINY, norm="batch"))
    norm = generator.blocks[0].get_submodule("spade_in.norm")
    assert isinstance(norm, nn.BatchNorm2d) and norm.momentum == 0.1

    generator(generator.shown_of(_conditions()))

    assert norm.running_mean is not None and norm.running_mean.abs().sum() > 0


@pytest.mark.parametrize("settings", [TINY, WITH_STYLE])
def test_weights_of_half_the_length_make_about_the_same_picture(settings: SpadeSettings) -> None:
    generator, conditions = _generator(settings), _conditions()
    expected = generator.generate(conditions)

    made = generator.to(torch.bfloat16).generate(conditions)

    assert made.dtype == torch.float32
    assert (made - expected).abs().mean() < 0.03


def test_void_and_boundaries_are_shown_where_settings_say_so() -> None:
    conditions = _conditions()
    assert conditions.instances is not None
    classes, void = conditions.layout[:, :-1], conditions.layout[:, -1:]
    edges = boundary_map(conditions.layout.argmax(1), conditions.instances).float()
    expected: dict[tuple[VoidChannel, bool], list[Tensor]] = {
        ("none", False): [classes],
        ("none", True): [classes, edges],
        ("last", False): [classes, void],
        ("last", True): [classes, void, edges],
        ("first", False): [void, classes],
        ("first", True): [void, classes, edges],
    }

    for (void_channel, boundary), parts in expected.items():
        settings = replace(TINY, void_channel=void_channel, boundary=boundary)
        shown = _generator(settings).shown_of(conditions)

        assert torch.equal(shown, torch.cat(parts, 1))
        assert shown.shape[1] == settings.channels_shown(CLASSES)


# Styles


def test_another_seed_is_another_look() -> None:
    generator, conditions = _generator(WITH_STYLE), _conditions()

    first, again, second = (generator.generate(conditions, seed=each) for each in (0, 0, 1))

    assert torch.equal(first, again)
    assert (first - second).abs().mean() > 0.01


def test_without_a_style_encoder_there_is_one_picture_of_a_layout() -> None:
    generator, conditions = _generator(), _conditions()
    styled = replace(conditions, style=_batch(seed=9).real)

    pictures = [
        generator.generate(conditions, seed=0),
        generator.generate(conditions, seed=1),
        generator.generate(styled),
    ]

    assert torch.equal(pictures[0], pictures[1])
    assert torch.equal(pictures[0], pictures[2])


@pytest.mark.parametrize("size_hw", [(32, 64), (128, 128), (256, 256), (300, 500)])
def test_a_photograph_of_any_size_gives_its_look(size_hw: tuple[int, int]) -> None:
    """The code breaks off where it was trained on crops below 256 pixels."""
    generator, conditions = _generator(WITH_STYLE), _conditions()
    looks = [_batch(*size_hw, seed=seed).real for seed in (8, 9)]

    first, second = (generator.generate(replace(conditions, style=each)) for each in looks)

    assert (first - second).abs().mean() > 1e-3
    assert torch.equal(first, generator.generate(replace(conditions, style=looks[0]), seed=5))
    style = generator.style_of(looks[0])
    assert style.shape == (2, 6)
    assert torch.equal(first, generator.generate_in_style(conditions, style))


def test_styles_may_be_interpolated() -> None:
    generator, conditions = _generator(WITH_STYLE), _conditions(batch=1)
    start, end = generator.drawn_style(0), generator.drawn_style(1)

    pictures = [
        generator.generate_in_style(conditions, torch.lerp(start, end, share))
        for share in (0.0, 0.01, 1.0)
    ]

    assert torch.equal(pictures[0], generator.generate(conditions, seed=0))
    moved = [(each - pictures[0]).abs().mean() for each in pictures]
    assert 0 < moved[1] < moved[2] / 10


def test_a_style_is_spread_over_the_grid_of_the_training_and_enlarged_from_there() -> None:
    generator = _generator(replace(WITH_STYLE, start_hw=(1, 2)))
    style = generator.drawn_style(0)
    seen: list[Tensor] = []
    generator.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))

    for size_hw in ((32, 64), (64, 128)):
        generator.generate_in_style(_conditions(*size_hw, batch=1), style)

    own = generator.start(style).view(1, -1, 1, 2)
    torch.testing.assert_close(seen[0], own)
    torch.testing.assert_close(
        seen[1], F.interpolate(own, (2, 4), mode="bilinear", align_corners=False)
    )


# Losses


def test_the_divergence_is_that_of_torch() -> None:
    mean, log_variance = _random(4, 6), _random(8, 6)[4:]
    found = torch.distributions.Normal(mean, (log_variance / 2).exp())
    wanted = torch.distributions.Normal(torch.zeros(4, 6), torch.ones(4, 6))

    expected = torch.distributions.kl_divergence(found, wanted).sum(1).mean()

    torch.testing.assert_close(divergence_from_normal(mean, log_variance), expected)
    assert divergence_from_normal(torch.zeros(2, 6), torch.zeros(2, 6)) == 0


def test_a_discriminator_that_answers_0_costs_2_and_its_generator_0() -> None:
    objective = _objective(_generator())
    for net in _judge(objective).scales:
        for parameter in net.get_submodule("stages.4").parameters():
            nn.init.zeros_(parameter)

    assert objective.losses("discriminator", _batch())["hinge"].item() == 2
    assert objective.losses("generator", _batch())["adversarial"].item() == 0


def test_every_term_by_hand() -> None:
    generator, batch, perceptual = _generator(), _batch(), _perceptual()
    objective = _objective(generator, SLIM_LOSS, perceptual)
    judge = _judge(objective).eval()
    generator.eval()

    of_generator = objective.losses("generator", batch)
    of_discriminator = objective.losses("discriminator", batch)

    shown = generator.shown_of(batch.conditions(CLASSES))
    made = generator(shown)
    of_real, of_made = (judge(torch.cat([shown, 2 * each - 1], 1)) for each in (batch.real, made))
    hinge = torch.stack([(1 - each[-1]).clamp(min=0).mean() for each in of_real]).mean()
    hinge = hinge + torch.stack([(1 + each[-1]).clamp(min=0).mean() for each in of_made]).mean()
    torch.testing.assert_close(of_discriminator, {"hinge": hinge})
    matched = sum(
        (first - second).abs().mean()
        for scale in range(2)
        for first, second in zip(of_real[scale][:4], of_made[scale][:4], strict=True)
    )
    compared = perceptual.comparing(FIRST_CONVOLUTIONS, pooling="max", standardised=False)
    terms = compared.terms(made, batch.real)
    assert list(FIRST_WEIGHTS) == [0.03125, 0.0625, 0.125, 0.25, 1.0]
    expected = {
        "adversarial": -(of_made[0][-1].mean() + of_made[1][-1].mean()) / 2,
        "feature_matching": torch.as_tensor(10 / 2 * matched),
        "perceptual": 10
        * (
            terms["conv1_1"] / 32
            + terms["conv2_1"] / 16
            + terms["conv3_1"] / 8
            + terms["conv4_1"] / 4
            + terms["conv5_1"]
        ),
    }
    assert set(of_generator) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(of_generator[name], value, rtol=1e-4, atol=1e-6)


def test_styles_are_drawn_from_the_photograph_and_cost_their_divergence() -> None:
    generator, batch = _generator(WITH_STYLE), _batch()
    objective = _objective(generator)
    generator.eval()
    assert generator.encoder is not None

    torch.manual_seed(6)
    first = objective.losses("generator", batch)
    torch.manual_seed(7)
    second = objective.losses("generator", batch)

    mean, log_variance = generator.encoder(batch.real)
    torch.testing.assert_close(first["kld"], 0.2 * divergence_from_normal(mean, log_variance))
    assert first["kld"] == second["kld"]
    assert first["feature_matching"] != second["feature_matching"]


def test_a_weight_of_zero_or_no_classifier_leaves_a_term_out() -> None:
    def terms(settings: SpadeLossSettings, perceptual: PerceptualLoss | None) -> set[str]:
        return set(
            _objective(_generator(WITH_STYLE), settings, perceptual).losses("generator", _batch())
        )

    bare = replace(SLIM_LOSS, feature_matching=0, perceptual=0, kld=0)

    assert terms(SLIM_LOSS, None) == {"adversarial", "feature_matching", "kld"}
    assert terms(SLIM_LOSS, _perceptual()) == {
        "adversarial",
        "feature_matching",
        "kld",
        "perceptual",
    }
    assert terms(bare, _perceptual()) == {"adversarial"}


def test_the_generator_steps_before_the_discriminator() -> None:
    objective = _objective(_generator())

    assert list(objective.networks) == ["generator", "discriminator"]
    assert objective.buffers == {}


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("vae", [False, True])
def test_gradients_reach_every_parameter_of_every_part(norm: Norm, vae: bool) -> None:
    generator = _generator(replace(WITH_STYLE, norm=norm, vae=vae))
    objective = _objective(generator, SLIM_LOSS, _perceptual())
    batch = _batch(64, 64)

    # Answers within 1 of 0 pull the last bias up as much as down, so it would have no gradient.
    with torch.no_grad():
        for name, each in objective.networks["discriminator"].named_parameters():
            if name.endswith("stages.4.0.bias"):
                each.fill_(2.0)

    for part, network in objective.networks.items():
        loss = torch.stack(list(objective.losses(part, batch).values())).sum()
        parameters = dict(network.named_parameters())
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            assert gradient is not None, f"{part}: nothing reaches {name}"
            assert gradient.isfinite().all() and gradient.any(), f"{part}: {name}"


def test_the_discriminators_loss_teaches_the_generator_nothing() -> None:
    generator = _generator(WITH_STYLE)

    _objective(generator).losses("discriminator", _batch())["hinge"].backward()

    assert all(each.grad is None for each in generator.parameters())


def _learned(settings: SpadeSettings, steps: int, loss: SpadeLossSettings) -> list[float]:
    """Return the mean difference to one photograph before each step of training on it alone."""
    torch.manual_seed(0)
    generator = SpadeGenerator(CLASSES, settings)
    objective, batch = _objective(generator, loss), _batch(32, 64, batch=1)
    factors = {"generator": 1.0, "discriminator": 4.0}
    optimizers = {
        part: torch.optim.Adam(network.parameters(), lr=5e-4 * factors[part], betas=(0.0, 0.9))
        for part, network in objective.networks.items()
    }
    shown, style = generator.shown_of(batch.conditions(CLASSES)), None
    differences = []
    for _ in range(steps):
        for part, optimizer in optimizers.items():
            optimizer.zero_grad()
            torch.stack(list(objective.losses(part, batch).values())).sum().backward()
            optimizer.step()
        with torch.no_grad():
            if generator.encoder is not None:
                style, _ = generator.encoder(batch.real)
            differences.append(float((generator(shown, style) - batch.real).abs().mean()))
    return differences


def test_the_difference_to_a_photograph_falls_in_40_steps() -> None:
    differences = _learned(replace(TINY, width=0.06), 40, SLIM_LOSS)

    # The contest with the discriminator sways it to and fro, how far depends on the last bits.
    assert min(differences) < 0.93 * differences[0]


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_trainer_delivers_an_average_that_makes_the_same_pictures(norm: Norm) -> None:
    """In bf16, with a style encoder; the average of hardly moving weights is close to the last."""
    generator = _generator(replace(WITH_STYLE, norm=norm))
    settings = TrainingSettings(
        precision="bf16", rate=1e-7, average_decay=0.9, rate_factors={"discriminator": 4.0}
    )
    step = ObjectiveStep(_objective(generator), settings, delivered="generator")

    figures = [step([_batch(seed=seed)]) for seed in range(40)]

    assert {f"generator/{each}" for each in ("adversarial", "feature_matching", "kld")} < set(
        figures[0]
    )
    average = step.average
    assert isinstance(average, SpadeGenerator)
    expected = generator.generate(_conditions(), seed=3)
    assert (average.generate(_conditions(), seed=3) - expected).abs().mean() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("vae", [False, True])
def test_it_learns_one_photograph_by_heart(vae: bool) -> None:
    settings = replace(TINY, width=0.06, vae=vae, start_hw=(1, 2))

    differences = _learned(settings, 200, SLIM_LOSS)

    assert min(differences[-5:]) < differences[0] / 2.5


# Published weights


def _published_state(
    shown: int, blocks: list[tuple[str, int, int]], hidden: int, make: Callable[..., Tensor]
) -> dict[str, Tensor]:
    """Return tensors as NVlabs/SPADE names and shapes those of a generator without styles."""
    state: dict[str, Tensor] = {}

    def plain(name: str, after: int, before: int, kernel: int = 3) -> None:
        state[f"{name}.weight"] = make(after, before, kernel, kernel)
        state[f"{name}.bias"] = make(after)

    def spectral(name: str, after: int, before: int, kernel: int, bias: bool) -> None:
        if bias:
            state[f"{name}.bias"] = make(after)
        state[f"{name}.weight_orig"] = make(after, before, kernel, kernel)
        state[f"{name}.weight_u"] = make(after)
        state[f"{name}.weight_v"] = make(before * kernel**2)

    def spade(name: str, channels: int) -> None:
        state[f"{name}.param_free_norm.running_mean"] = make(channels)
        state[f"{name}.param_free_norm.running_var"] = make(channels)
        state[f"{name}.param_free_norm.num_batches_tracked"] = torch.tensor(7)
        plain(f"{name}.mlp_shared.0", hidden, shown)
        plain(f"{name}.mlp_gamma", channels, hidden)
        plain(f"{name}.mlp_beta", channels, hidden)

    plain("fc", blocks[0][1], shown)
    for name, before, after in blocks:
        between = min(before, after)
        spectral(f"{name}.conv_0", between, before, 3, True)
        spectral(f"{name}.conv_1", after, between, 3, True)
        spade(f"{name}.norm_0", before)
        spade(f"{name}.norm_1", between)
        if before != after:
            spectral(f"{name}.conv_s", after, before, 1, False)
            spade(f"{name}.norm_s", before)
    plain("conv_img", 3, blocks[-1][2])
    return state


def _published_blocks(ngf: int, depth: str) -> list[tuple[str, int, int]]:
    wide = 16 * ngf
    blocks = [(name, wide, wide) for name in ("head_0", "G_middle_0", "G_middle_1")]
    for place in range(5 if depth == "most" else 4):
        blocks.append((f"up_{place}", wide >> place, wide >> place + 1))
    return blocks


def _encoder_state(ndf: int, style_length: int, make: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Return tensors as NVlabs/SPADE names and shapes those of its style encoder."""
    state, before = {}, 3
    for place, after in enumerate((ndf, 2 * ndf, 4 * ndf, 8 * ndf, 8 * ndf, 8 * ndf), start=1):
        state[f"layer{place}.0.weight_orig"] = make(after, before, 3, 3)
        state[f"layer{place}.0.weight_u"] = make(after)
        state[f"layer{place}.0.weight_v"] = make(before * 9)
        before = after
    for name in ("fc_mu", "fc_var"):
        state[f"{name}.weight"] = make(style_length, before * 16)
        state[f"{name}.bias"] = make(style_length)
    return state


def _settled(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Let spectral norm's vectors be those of the weights, and variances positive."""
    for name, value in state.items():
        if name.endswith("weight_orig"):
            left, _, right = torch.linalg.svd(value.flatten(1), full_matrices=False)
            state[name.replace("_orig", "_u")] = left[:, 0]
            state[name.replace("_orig", "_v")] = right[0]
        elif name.endswith("running_var"):
            state[name] = value.square() + 0.5
    return state


def _drawing(seed: int) -> Callable[..., Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=draw, dtype=torch.float64) * 0.3


DOUBLED_BEFORE = {
    "normal": ("G_middle_0", "up_0", "up_1", "up_2", "up_3"),
    "more": ("G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3"),
    "most": ("G_middle_0", "G_middle_1", "up_0", "up_1", "up_2", "up_3", "up_4"),
}


def _painted(
    state: Mapping[str, Tensor], depth: str, shown: Tensor, started: Tensor | None = None
) -> Tensor:
    """Return (B, 3, H, W) in [-1, 1]: the published network written out over its tensors."""

    def conv(name: str, given: Tensor) -> Tensor:
        if f"{name}.weight" in state:
            weight = state[f"{name}.weight"]
        else:
            weight = state[f"{name}.weight_orig"]
            weight = weight / torch.linalg.matrix_norm(weight.flatten(1), 2)
        return F.conv2d(given, weight, state.get(f"{name}.bias"), padding=weight.shape[2] // 2)

    def spade(name: str, given: Tensor) -> Tensor:
        segmap = F.interpolate(shown, given.shape[2:], mode="nearest")
        norm = f"{name}.param_free_norm"
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        normal = (given - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
        hidden = conv(f"{name}.mlp_shared.0", segmap).relu()
        return normal * (1 + conv(f"{name}.mlp_gamma", hidden)) + conv(f"{name}.mlp_beta", hidden)

    def leaky(given: Tensor) -> Tensor:
        return torch.where(given > 0, given, 0.2 * given)

    size = [side >> len(DOUBLED_BEFORE[depth]) for side in shown.shape[2:]]
    features = (
        conv("fc", F.interpolate(shown, size, mode="nearest")) if started is None else started
    )
    names = dict.fromkeys(name.partition(".")[0] for name in state)
    for name in [each for each in names if each.startswith(("head", "G_middle", "up"))]:
        if name in DOUBLED_BEFORE[depth]:
            features = features.repeat_interleave(2, 2).repeat_interleave(2, 3)
        inner = conv(f"{name}.conv_0", leaky(spade(f"{name}.norm_0", features)))
        inner = conv(f"{name}.conv_1", leaky(spade(f"{name}.norm_1", inner)))
        if f"{name}.conv_s.weight_orig" in state:
            features = conv(f"{name}.conv_s", spade(f"{name}.norm_s", features))
        features = features + inner
    return conv("conv_img", leaky(features)).tanh()


SMALL_PUBLISHED = SpadeSettings(width=1 / 8, hidden=16)
"""ngf is 8; 128 channels in the widest blocks, and 16 between layout and modulation."""


@pytest.mark.parametrize("depth", ["normal", "more", "most"])
@pytest.mark.parametrize("void_channel", ["none", "last", "first"])
def test_published_weights_make_the_published_picture(
    depth: Depth, void_channel: VoidChannel
) -> None:
    settings = replace(SMALL_PUBLISHED, depth=depth, void_channel=void_channel)
    shown = settings.channels_shown(CLASSES)
    state = _settled(_published_state(shown, _published_blocks(8, depth), 16, _drawing(1)))
    # In float64, since random weights make of rounding what can be seen.
    generator = SpadeGenerator(CLASSES, settings).double()
    conditions = _conditions(128, 128, batch=1)
    conditions = replace(conditions, layout=conditions.layout.double())

    generator.load_state_dict(published(state, CLASSES, settings))
    made = generator.generate(conditions)

    expected = _painted(state, depth, generator.shown_of(conditions))
    torch.testing.assert_close(made, (expected + 1) / 2)
    assert made.std() > 0.05


def test_published_weights_with_a_style_encoder_make_the_published_picture() -> None:
    settings = replace(SMALL_PUBLISHED, vae=True, style_length=5, start_hw=(1, 2))
    shown, make = settings.channels_shown(CLASSES), _drawing(1)
    state = _published_state(shown, _published_blocks(8, "more"), 16, make)
    state |= {"fc.weight": make(128 * 2, 5), "fc.bias": make(128 * 2)}
    state = _settled(state)
    of_encoder = _settled(_encoder_state(8, 5, make))
    generator, conditions = (
        SpadeGenerator(CLASSES, settings).double(),
        _conditions(64, 128, batch=1),
    )
    conditions = replace(conditions, layout=conditions.layout.double())
    photograph = _batch(256, 256, batch=1).real.double()

    generator.load_state_dict(published(state | of_encoder, CLASSES, settings))
    made = generator.generate(replace(conditions, style=photograph))

    seen = 2 * photograph - 1
    for place in range(1, 7):
        weight = of_encoder[f"layer{place}.0.weight_orig"]
        weight = weight / torch.linalg.matrix_norm(weight.flatten(1), 2)
        seen = F.conv2d(seen, weight, stride=2, padding=1)
        mean, variance = seen.mean((2, 3), keepdim=True), seen.var((2, 3), False, keepdim=True)
        seen = (seen - mean) / (variance + 1e-5).sqrt()
        seen = torch.where(seen > 0, seen, 0.2 * seen)
    style = F.linear(seen.flatten(1), of_encoder["fc_mu.weight"], of_encoder["fc_mu.bias"])
    torch.testing.assert_close(generator.style_of(photograph), style)
    started = F.linear(style, state["fc.weight"], state["fc.bias"]).view(1, 128, 1, 2)
    expected = _painted(state, "more", generator.shown_of(conditions), started)
    torch.testing.assert_close(made, (expected + 1) / 2)


@pytest.mark.parametrize(("preset", "tensors"), [("ade20k_256", 234), ("cityscapes_512x256", 234)])
def test_names_and_shapes_of_a_published_network_fit_at_full_width(
    preset: str, tensors: int
) -> None:
    """78 in the three blocks of equal width, 38 in each other, 2 before them and 2 after."""
    classes, settings = PRESETS[preset]
    with torch.device("meta"):
        blocks = _published_blocks(64, settings.depth)
        state = _published_state(settings.channels_shown(classes), blocks, 128, torch.empty)
        wanted = SpadeGenerator(classes, settings).state_dict()

    mapped = published(state, classes, settings)

    assert len(state) == tensors
    assert {name: value.shape for name, value in mapped.items()} == {
        name: value.shape for name, value in wanted.items()
    }


def _small_state() -> dict[str, Tensor]:
    shown = SMALL_PUBLISHED.channels_shown(CLASSES)
    return _settled(_published_state(shown, _published_blocks(8, "more"), 16, _drawing(1)))


def test_what_older_versions_of_pytorch_did_not_write_is_made_up_for() -> None:
    state = _small_state()
    old = {
        name: value
        for name, value in state.items()
        if not name.endswith(("weight_v", "num_batches_tracked"))
    }

    found, expected = (published(each, CLASSES, SMALL_PUBLISHED) for each in (old, state))

    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(found[name], value)


def test_a_checkpoint_of_something_else_is_refused_by_its_names() -> None:
    state = _small_state()
    del state["up_2.conv_1.weight_orig"], state["fc.bias"]
    state["model.0.weight"] = torch.zeros(1)

    with pytest.raises(
        ValueError,
        match=r"of depth 'more', norm 'batch' and vae False: 2 tensors are missing \(blocks\."
        r"5\.conv_out\.parametrizations\.weight\.original, start\.bias\), 1 are not known \(model",
    ):
        published(state, CLASSES, SMALL_PUBLISHED)


def test_a_checkpoint_of_other_settings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"norm 'batch' and vae True: .* missing \(encoder\.conv"):
        published(_small_state(), CLASSES, replace(SMALL_PUBLISHED, vae=True))
    with pytest.raises(ValueError, match=r"depth 'most'.* tensors are missing \(blocks\.7\."):
        published(_small_state(), CLASSES, replace(SMALL_PUBLISHED, depth="most"))


@pytest.mark.parametrize(
    ("classes", "settings", "message"),
    [
        (
            4,
            SMALL_PUBLISHED,
            r"fc\.weight is \(128, 5, 3, 3\), expected \(128, 6, 3, 3\) for 4 cl",
        ),
        (
            3,
            replace(SMALL_PUBLISHED, boundary=False),
            r"width 0\.125, boundary False and void_channel",
        ),
    ],
)
def test_a_checkpoint_of_another_shape_is_refused(
    classes: int, settings: SpadeSettings, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        published(_small_state(), classes, settings)


# Refusals and what is offered


def test_a_network_that_is_shown_boundaries_needs_instances() -> None:
    layout = _conditions().layout

    with pytest.raises(MissingConditionError, match="'spade' needs the condition 'instances'"):
        _generator().generate(Conditions(layout))

    assert _generator(replace(TINY, boundary=False)).generate(Conditions(layout)).shape[0] == 2


def test_a_layout_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"layout must be \(B, 4, H, W\), got \(1, 3, 32, 32\)"):
        _generator().generate(Conditions(torch.zeros(1, 3, 32, 32)))


def test_styles_that_do_not_fit_are_refused() -> None:
    generator, conditions = _generator(WITH_STYLE), _conditions()
    with pytest.raises(ValueError, match=r"style is \(1, 6\), expected \(2, 6\): one for each lay"):
        generator.generate(replace(conditions, style=torch.zeros(1, 3, 32, 64)))
    with pytest.raises(ValueError, match=r"style must be \(B, 3, H, W\), got \(2, 1, 32, 64\)"):
        generator.generate(replace(conditions, style=torch.zeros(2, 1, 32, 64)))
    with pytest.raises(ValueError, match=r"style is None, expected \(2, 6\)"):
        generator.generate_in_style(conditions, None)
    with pytest.raises(ValueError, match="style is None, expected one for each layout"):
        generator(generator.shown_of(conditions))
    with pytest.raises(ValueError, match="has no style encoder; train one with vae = true"):
        _generator().style_of(torch.zeros(1, 3, 32, 64))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0.0}, r"width is 0\.0, expected more than 0 and at most 2"),
        ({"width": 3.0}, r"width is 3\.0, expected more than 0 and at most 2"),
        ({"depth": "least"}, "depth is 'least', expected one of normal, more, most"),
        ({"norm": "layer"}, "norm is 'layer', expected one of batch, instance"),
        ({"void_channel": "yes"}, "void_channel is 'yes', expected one of none, last, first"),
        ({"hidden": 0}, "hidden is 0, expected at least 1"),
        ({"style_length": 0}, "style_length is 0, expected at least 1"),
        ({"start_hw": (0, 8)}, r"start_hw is \(0, 8\), expected at least 1 pixel a side"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpadeSettings(**wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"feature_matching": -1.0}, r"feature_matching is -1\.0, expected at least 0"),
        ({"perceptual": -1.0}, r"perceptual is -1\.0, expected at least 0"),
        ({"kld": -1.0}, r"kld is -1\.0, expected at least 0"),
        ({"discriminator_width": 0}, "discriminator_width is 0, expected more than 0 and at most"),
        ({"scales": 0}, "scales is 0, expected at least 1"),
        ({"stages": 1}, "stages is 1, expected at least 2"),
    ],
)
def test_loss_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpadeLossSettings(**wrong)


def test_it_is_found_by_its_name() -> None:
    assert load_baseline("spade") is BASELINE
    assert _generator().name == BASELINE.name == "spade"
    assert BASELINE.network is SpadeSettings and BASELINE.loss is SpadeLossSettings


@pytest.mark.parametrize("config", ["spade", "spade-vae", "spade-small"])
def test_the_settings_that_come_with_it_are_read(config: str) -> None:
    kinds: dict[str, type[Any]] = {
        "training": TrainingSettings,
        "network": BASELINE.network,
        "loss": BASELINE.loss,
        "samples": PhotographSampleSettings,
    }

    tables = read_tables(find_config(config), kinds)

    assert tables["training"].rate_factors == {"discriminator": 4.0}
    assert tables["training"].betas == (0.0, 0.9)
    if config != "spade-small":
        assert tables["network"] == SpadeSettings(vae=config == "spade-vae")
        assert tables["loss"] == SpadeLossSettings()
