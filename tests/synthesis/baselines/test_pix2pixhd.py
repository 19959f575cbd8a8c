"""pix2pixHD: published sizes and weights, styles of objects, coarse to fine, its losses by hand."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenequilt.memory_bank.errors import MissingConditionError
from scenequilt.synthesis.baselines.pix2pixhd import (
    BASELINE,
    CENTERS,
    Pix2PixHDGenerator,
    Pix2PixHDLossSettings,
    Pix2PixHDObjective,
    Pix2PixHDSettings,
    StyleClusters,
    cluster_styles,
    k_means,
    least_squares,
    mean_by_region,
    published,
    regions_of,
    shown,
)
from scenequilt.synthesis.boundaries import boundary_map
from scenequilt.synthesis.interface import Conditions, ImageGenerator
from scenequilt.synthesis.losses import FIRST_CONVOLUTIONS, PerceptualLoss
from scenequilt.synthesis.multiscale import halved_smoothly
from scenequilt.synthesis.network import load_matching
from scenequilt.synthesis.photograph_samples import PhotographBatch
from scenequilt.synthesis.refinement import one_hot_layout
from scenequilt.tools.training.step import ObjectiveStep
from scenequilt.tools.training.training_settings import TrainingSettings

CLASSES = 3
TINY = Pix2PixHDSettings(width=0.01, blocks=2, enhancer_blocks=1)
STYLED = Pix2PixHDSettings(width=0.01, blocks=2, enhancer_blocks=1, features=3)
ENHANCED = Pix2PixHDSettings(width=0.01, blocks=2, enhancer_blocks=1, features=3, enhancers=1)
TWICE = Pix2PixHDSettings(width=0.01, blocks=1, enhancer_blocks=1, enhancers=2)
SMALL_LOSS = Pix2PixHDLossSettings(discriminator_width=0.01)


def _generator(settings: Pix2PixHDSettings = TINY, *, seed: int = 0) -> Pix2PixHDGenerator:
    """Return a network with larger weights than the paper's, so that pictures differ visibly."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Pix2PixHDGenerator(CLASSES, settings)
    with torch.no_grad():
        for name, each in network.named_parameters():
            if name.endswith("weight"):
                each.mul_(10)
        if settings.features:
            # One style a class, of zeros: a generator without any is refused.
            network.style_counts.fill_(1)
    return network.eval()


def _maps(height: int = 32, width: int = 64, *, batch: int = 2) -> tuple[Tensor, Tensor]:
    """Return label maps, blocks of all classes and void, and instances 1, 2, ... of class 2."""
    draw = torch.Generator().manual_seed(3)
    blocks = torch.randint(0, CLASSES + 1, (batch, 1, 4, 8), generator=draw).float()
    labels = F.interpolate(blocks, (height, width))[:, 0].long()
    halves = torch.arange(width).mul(2).div(width, rounding_mode="floor") + 1
    return labels, torch.where(labels == 2, halves.int(), 0).int()


def _conditions(
    height: int = 32, width: int = 64, *, batch: int = 2, style: bool = False
) -> Conditions:
    labels, instances = _maps(height, width, batch=batch)
    photograph = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(4))
    return Conditions(
        layout=one_hot_layout(labels, CLASSES),
        instances=instances,
        style=photograph if style else None,
    )


def _batch(
    height: int = 32, width: int = 64, *, batch: int = 1, number: int = 1
) -> PhotographBatch:
    """Return photographs in which every class has a colour, with a slope."""
    labels, instances = _maps(height, width, batch=batch)
    colors = torch.tensor([[120, 160, 210], [90, 90, 95], [170, 40, 40], [60, 60, 60]])
    slope = torch.linspace(0, 40, width).long()
    return PhotographBatch(
        number,
        torch.where(labels == CLASSES, 255, labels).to(torch.uint8),
        instances,
        (colors[labels] + slope[None, None, :, None]).permute(0, 3, 1, 2).to(torch.uint8),
        {},
    )


def _perceptual() -> PerceptualLoss:
    draw = torch.Generator().manual_seed(0)
    shapes = [(2, 3), *[(2, 2)] * 12]
    return PerceptualLoss(
        [(torch.randn(*shape, 3, 3, generator=draw), torch.zeros(2)) for shape in shapes]
    )


def _objective(
    settings: Pix2PixHDSettings = TINY,
    loss: Pix2PixHDLossSettings = SMALL_LOSS,
    perceptual: PerceptualLoss | None = None,
) -> Pix2PixHDObjective:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Pix2PixHDObjective(Pix2PixHDGenerator(CLASSES, settings), perceptual, loss)


def _clusters(counts: tuple[int, ...] = (4, 4, 4, 4), *, features: int = 3) -> StyleClusters:
    rng = np.random.default_rng(6)
    centers = rng.uniform(-1, 1, (CLASSES + 1, CENTERS, features)).astype(np.float32)
    for class_id, count in enumerate(counts):
        centers[class_id, count:] = 0
    return StyleClusters(centers, np.array(counts))


def _with_styles(
    settings: Pix2PixHDSettings = STYLED, clusters: StyleClusters | None = None
) -> Pix2PixHDGenerator:
    network = _generator(settings)
    network.set_styles(clusters or _clusters())
    return network


def _styles_shown(network: Pix2PixHDGenerator, conditions: Conditions, **chosen: object) -> Tensor:
    """Return (B, F, H, W), the channels of style that the generator was given."""
    seen: list[Tensor] = []
    handle = network.global_generator.register_forward_hook(
        lambda module, given, made: seen.append(given[0].clone())
    )
    network.render(conditions, chosen.pop("styles", {}), **chosen)  # type: ignore[arg-type]
    handle.remove()
    return seen[0][:, -network.settings.features :]


# Sizes


@pytest.mark.parametrize(
    ("settings", "classes", "parameters"),
    [
        (Pix2PixHDSettings(void_channel=False), 35, 182_546_755),
        (Pix2PixHDSettings(), 34, 182_546_755),
        (Pix2PixHDSettings(void_channel=False), 151, 182_910_531),
        (Pix2PixHDSettings(features=3), 34, 182_556_163),
        (Pix2PixHDSettings(enhancers=1), 34, 182_857_059),
        (Pix2PixHDSettings(enhancers=1, features=3), 34, 182_871_171),
    ],
)
def test_at_width_1_it_has_the_published_number_of_parameters(
    settings: Pix2PixHDSettings, classes: int, parameters: int
) -> None:
    with torch.device("meta"):
        network = Pix2PixHDGenerator(classes, settings)

    counts = {name: each.numel() for name, each in network.named_parameters()}
    encoder = sum(count for name, count in counts.items() if name.startswith("encoder."))
    assert sum(counts.values()) - encoder == parameters
    assert encoder == (788_803 if settings.features else 0)


@pytest.mark.parametrize("settings", [TINY, STYLED, ENHANCED, TWICE])
@pytest.mark.parametrize("size_hw", [(32, 64), (96, 64), (37, 70), (5, 9)])
def test_any_size_is_painted(settings: Pix2PixHDSettings, size_hw: tuple[int, int]) -> None:
    painted = _generator(settings).generate(_conditions(*size_hw))

    assert painted.shape == (2, 3, *size_hw)
    assert painted.dtype == torch.float32
    assert 0 <= painted.min() < painted.max() <= 1


def test_a_size_that_does_not_fit_is_that_of_repeated_edges_cut_back() -> None:
    network, conditions = _generator(), _conditions(37, 70)
    rows, columns = torch.arange(48).clamp(max=36), torch.arange(80).clamp(max=69)
    assert conditions.instances is not None
    larger = Conditions(
        layout=conditions.layout[:, :, rows][..., columns],
        instances=conditions.instances[:, rows][..., columns],
    )

    torch.testing.assert_close(
        network.generate(conditions), network.generate(larger)[..., :37, :70]
    )


def test_it_is_an_image_generator_of_the_registry() -> None:
    network = BASELINE.build(CLASSES, TINY)
    assert isinstance(network, Pix2PixHDGenerator)
    generator: ImageGenerator = network

    assert generator.name == BASELINE.name == "pix2pixhd"


@pytest.mark.parametrize("settings", [TINY, ENHANCED])
def test_a_picture_in_a_batch_is_the_picture_alone(settings: Pix2PixHDSettings) -> None:
    network, conditions = _generator(settings), _conditions()
    if settings.features:
        network.set_styles(_clusters())
    assert conditions.instances is not None
    alone = Conditions(layout=conditions.layout[1:], instances=conditions.instances[1:])

    torch.testing.assert_close(
        network.generate(conditions)[1:], network.generate(alone), atol=1e-5, rtol=1e-4
    )


def test_weights_of_half_the_length_paint_about_the_same() -> None:
    network, conditions = _with_styles(), _conditions()

    exact = network.generate(conditions)
    half = network.to(torch.bfloat16).generate(conditions)

    assert half.dtype == torch.float32
    assert (half - exact).abs().mean() < 0.05


def test_first_weights_are_those_of_the_paper() -> None:
    objective = _objective(
        Pix2PixHDSettings(width=0.1, enhancers=1), Pix2PixHDLossSettings(discriminator_width=0.2)
    )
    generator, judge = (
        objective.networks[part].state_dict() for part in ("generator", "discriminator")
    )

    for weight in (
        generator["global_generator.blocks.0.layers.1.weight"],
        generator["enhancers.0.up.0.0.weight"],
        judge["scales.1.stages.2.0.weight"],
    ):
        assert float(weight.std()) == pytest.approx(0.02, rel=0.2)


# What it is shown


def test_it_sees_classes_void_and_borders_in_this_order() -> None:
    labels, instances = _maps()
    layout = one_hot_layout(labels, CLASSES)

    seen = shown(layout, instances, TINY)

    assert seen.shape[1] == TINY.shown_channels(CLASSES) == CLASSES + 2
    assert torch.equal(seen[:, :-1], layout)
    assert torch.equal(seen[:, -1:], boundary_map(labels, instances).float())


def test_without_a_channel_void_is_seen_as_no_class() -> None:
    labels, instances = _maps()
    settings = Pix2PixHDSettings(void_channel=False)

    seen = shown(one_hot_layout(labels, CLASSES), instances, settings)

    assert seen.shape[1] == settings.shown_channels(CLASSES) == CLASSES + 1
    assert torch.equal(seen[:, :-1].sum(1) == 0, labels == CLASSES)


def test_two_touching_objects_are_painted_otherwise_than_one() -> None:
    network, conditions = _generator(), _conditions()
    assert conditions.instances is not None
    merged = Conditions(layout=conditions.layout, instances=conditions.instances.clamp(max=1))

    assert not torch.equal(network.generate(conditions), network.generate(merged))


def test_missing_instances_are_refused_by_name() -> None:
    with pytest.raises(MissingConditionError, match="'pix2pixhd' needs the condition 'instances'"):
        _generator().generate(Conditions(layout=_conditions().layout))


def test_without_borders_and_styles_it_needs_no_instances() -> None:
    network = _generator(Pix2PixHDSettings(width=0.01, blocks=1, boundaries=False))

    assert network.generate(Conditions(layout=_conditions().layout)).shape == (2, 3, 32, 64)


def test_a_layout_of_other_classes_is_refused() -> None:
    conditions = Conditions(layout=torch.zeros(1, 7, 32, 64), instances=torch.zeros(1, 32, 64))

    with pytest.raises(ValueError, match=r"layout must be \(B, 4, H, W\), got \(1, 7, 32, 64\)"):
        _generator().generate(conditions)


def test_borders_without_instances_are_refused() -> None:
    with pytest.raises(ValueError, match=r"instances is None, expected \(B, H, W\)"):
        _generator()(_conditions().layout, None)


# Styles


def test_stuff_of_a_class_is_one_region_and_every_object_another() -> None:
    labels = torch.tensor([[[0, 0, 2, 2], [1, 0, 2, 3]]])
    instances = torch.tensor([[[0, 0, 7, 8], [0, 0, 7, 0]]], dtype=torch.int32)

    assert regions_of(labels, instances).tolist() == [[[-1, -1, 7, 8], [-2, -1, 7, -4]]]


def test_means_over_regions_are_those_of_a_slow_loop() -> None:
    draw = torch.Generator().manual_seed(1)
    features = torch.randn(2, 3, 6, 7, generator=draw)
    regions = torch.randint(-4, 3, (2, 6, 7), generator=draw)

    means = mean_by_region(features, regions)

    expected = features.clone()
    for place in range(2):
        for region in regions[place].unique():
            mask = regions[place] == region
            for channel in range(3):
                expected[place, channel, mask] = features[place, channel, mask].mean()
    torch.testing.assert_close(means, expected)


def test_the_gradient_of_means_over_regions_is_that_of_differences() -> None:
    regions = torch.tensor([[[0, 0, 5], [-2, 5, 5]]])
    features = torch.randn(1, 2, 2, 3, dtype=torch.double, requires_grad=True)

    assert torch.autograd.gradcheck(lambda given: mean_by_region(given, regions), features)


def test_a_photograph_gives_every_object_its_own_constant_style() -> None:
    network, conditions = _generator(STYLED), _conditions(style=True)
    assert conditions.instances is not None
    labels, _ = _maps()
    regions = regions_of(labels, conditions.instances)

    styles = _styles_shown(network, conditions)

    assert -1 <= styles.min() < styles.max() <= 1
    for place in range(2):
        vectors = set()
        for region in regions[place].unique():
            values = styles[place, :, regions[place] == region]
            torch.testing.assert_close(values, values[:, :1].expand_as(values))
            vectors.add(tuple(values[:, 0].tolist()))
        assert len(vectors) == len(regions[place].unique())


def test_styles_are_drawn_among_those_of_the_class() -> None:
    network, conditions = _with_styles(), _conditions()
    labels, _ = _maps()

    styles = _styles_shown(network, conditions)

    for class_id in range(CLASSES + 1):
        found = styles.permute(0, 2, 3, 1)[labels == class_id].unique(dim=0)
        centers = network.style_centers[class_id, :4]
        assert all((row == centers).all(1).any() for row in found)


def test_seeds_change_the_styles_and_nothing_else_is_drawn() -> None:
    network, conditions = _with_styles(), _conditions()
    before = torch.random.get_rng_state()

    pictures = [network.generate(conditions, seed=seed) for seed in (1, 1, 2)]

    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])


def test_what_is_drawn_for_an_object_does_not_depend_on_the_others() -> None:
    network, conditions = _with_styles(clusters=_clusters((10, 10, 10, 10))), _conditions()
    assert conditions.instances is not None
    more = conditions.instances.clone()
    more[:, :8] = 9

    before, after = (
        _styles_shown(network, Conditions(layout=conditions.layout, instances=each), seed=5)
        for each in (conditions.instances, more)
    )

    assert torch.equal(before[:, :, 8:], after[:, :, 8:])


def test_a_class_without_styles_has_zeros() -> None:
    network, conditions = _with_styles(clusters=_clusters((4, 0, 4, 4))), _conditions()
    labels, _ = _maps()

    styles = _styles_shown(network, conditions)

    assert (styles.permute(0, 2, 3, 1)[labels == 1] == 0).all()


@pytest.mark.parametrize("style", [False, True])
def test_the_style_of_one_object_is_chosen_and_the_others_stay(style: bool) -> None:
    network, conditions = _with_styles(), _conditions(style=style)
    assert conditions.instances is not None
    mine = conditions.instances == 1

    before = _styles_shown(network, conditions, seed=1)
    after = _styles_shown(network, conditions, styles={1: 2}, seed=1)

    assert (after.permute(0, 2, 3, 1)[mine] == network.style_centers[2, 2]).all()
    kept = ~mine[:, None].expand_as(before)
    assert torch.equal(before[kept], after[kept])


def test_the_style_of_stuff_goes_by_its_class() -> None:
    network, conditions = _with_styles(), _conditions()
    labels, _ = _maps()

    styles = _styles_shown(network, conditions, styles={-1: 3})

    assert (styles.permute(0, 2, 3, 1)[labels == 0] == network.style_centers[0, 3]).all()


def test_another_style_is_another_picture() -> None:
    network, conditions = _with_styles(), _conditions()

    one, other = (network.render(conditions, {1: choice}) for choice in (0, 1))

    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("styles", "message"),
    [
        ({7: 0}, "no instance 7; the layout has 1, 2"),
        ({1: 4}, "style 4 of instance 1 is not there: its class 2 has 4 styles"),
        ({1: -1}, "style -1 of instance 1 is not there"),
    ],
)
def test_a_style_that_is_not_there_is_refused(styles: Mapping[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _with_styles().render(_conditions(), styles)


def test_chosen_styles_are_refused_without_an_encoder() -> None:
    with pytest.raises(ValueError, match="chosen for 1 instances, but this generator has no enc"):
        _generator().render(_conditions(), {1: 0})


def test_a_style_photograph_of_another_size_is_refused() -> None:
    conditions = _conditions()
    other = Conditions(
        layout=conditions.layout, instances=conditions.instances, style=torch.rand(2, 3, 32, 32)
    )

    with pytest.raises(ValueError, match=r"style is \(2, 3, 32, 32\), expected \(2, 3, 32, 64\)"):
        _generator(STYLED).generate(other)


def test_without_an_encoder_no_style_is_read() -> None:
    network = _generator()

    assert torch.equal(
        network.generate(_conditions(style=True)), network.generate(_conditions(style=False))
    )


def test_an_encoder_without_a_photograph_is_refused_in_training() -> None:
    conditions = _conditions()

    with pytest.raises(ValueError, match="photograph or instances is None"):
        _generator(STYLED)(conditions.layout, conditions.instances)


def test_centres_are_those_of_clouds_far_apart() -> None:
    rng = np.random.default_rng(0)
    means = np.array([[-5, 0, 0], [5, 0, 0], [0, 9, 9]])
    points = np.concatenate([mean + rng.normal(0, 0.1, (20, 3)) for mean in means])

    centers = k_means(points.astype(np.float32), 3, seed=1)

    expected = points.reshape(3, 20, 3).mean(1)
    order = [int(np.square(centers - mean).sum(1).argmin()) for mean in means]
    np.testing.assert_allclose(centers[order], expected, atol=1e-5)


def test_there_are_no_more_centres_than_different_points() -> None:
    points = np.array([[1, 1], [1, 1], [2, 2]], np.float32)

    assert sorted(map(tuple, k_means(points, 10).tolist())) == [(1, 1), (2, 2)]


def _areas_batch() -> PhotographBatch:
    """Return two pictures of 32x64, where 32 pixels are a 64th: car 1 has 64, car 2 has 16."""
    labels = torch.zeros(2, 32, 64, dtype=torch.uint8)
    instances = torch.zeros(2, 32, 64, dtype=torch.int32)
    labels[0, :8, :8], instances[0, :8, :8] = 2, 1
    labels[1, :4, :4], instances[1, :4, :4] = 2, 2
    labels[1, 20:24, 20:24] = 1
    photograph = torch.randint(
        0, 255, (2, 3, 32, 64), generator=torch.Generator().manual_seed(8)
    ).to(torch.uint8)
    return PhotographBatch(1, labels, instances, photograph, {})


def test_styles_are_found_in_large_objects_else_the_mean_of_small_ones() -> None:
    network, batch = _generator(STYLED), _areas_batch()
    encoded = network.encoded(
        batch.real, one_hot_layout(batch.label_map, CLASSES), batch.instance_map
    ).detach()

    clusters = cluster_styles(network, [batch])

    assert clusters.counts.tolist() == [2, 1, 1, 0]
    np.testing.assert_allclose(clusters.centers[2, 0], encoded[0, :, 0, 0], atol=1e-5)
    np.testing.assert_allclose(clusters.centers[1, 0], encoded[1, :, 22, 22], atol=1e-5)
    skies = sorted(encoded[place, :, 31, 63].tolist() for place in (0, 1))
    np.testing.assert_allclose(sorted(clusters.centers[0, :2].tolist()), skies, atol=1e-5)


def test_styles_go_into_a_checkpoint_and_out_of_it() -> None:
    network, other = _with_styles(), _generator(STYLED)

    other.load_state_dict(network.state_dict())

    assert torch.equal(network.generate(_conditions()), other.generate(_conditions()))
    assert other.style_counts.tolist() == [4, 4, 4, 4]


def test_no_photographs_have_no_styles() -> None:
    with pytest.raises(ValueError, match="no photographs to find styles in"):
        cluster_styles(_generator(STYLED), [])


def test_without_an_encoder_there_are_no_styles() -> None:
    with pytest.raises(ValueError, match="has no encoder; train one with features = 3"):
        cluster_styles(_generator(), [_areas_batch()])
    with pytest.raises(ValueError, match="has no encoder; train one with features = 3"):
        _generator().set_styles(_clusters())


def test_styles_of_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"styles are \(4, 10, 2\), expected \(4, 10, 3\)"):
        _generator(STYLED).set_styles(_clusters(features=2))


def test_clusters_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"centers must be \(3, 10, F\), got \(4, 10, 3\)"):
        StyleClusters(np.zeros((4, 10, 3), np.float32), np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"counts must be 0 to 10, got \[11\]"):
        StyleClusters(np.zeros((1, 10, 3), np.float32), np.array([11]))


# Coarse to fine


def test_the_global_generator_sees_the_layout_at_half_size_in_shares() -> None:
    network, conditions = _generator(ENHANCED), _conditions(64, 64)
    seen: list[Tensor] = []
    network.global_generator.register_forward_hook(
        lambda module, given, made: seen.append(given[0].clone())
    )

    network.generate(conditions)

    assert conditions.instances is not None
    full = shown(conditions.layout, conditions.instances, ENHANCED)
    torch.testing.assert_close(seen[0][:, :-3], halved_smoothly(full))


def test_a_network_for_twice_the_size_starts_from_one_without_its_last_layers() -> None:
    coarse, fine = (
        _generator(),
        _generator(Pix2PixHDSettings(width=0.01, blocks=2, enhancer_blocks=1, enhancers=1), seed=1),
    )

    loaded, drawn = load_matching(fine, coarse.state_dict())

    left = set(coarse.state_dict()) - set(loaded)
    assert left == {"global_generator.last.1.weight", "global_generator.last.1.bias"}
    assert all(name.startswith("enhancers.0.") for name in drawn)
    assert all(torch.equal(fine.state_dict()[name], coarse.state_dict()[name]) for name in loaded)


def test_two_enhancers_start_from_one() -> None:
    one = Pix2PixHDSettings(width=0.01, blocks=1, enhancer_blocks=1, enhancers=1)

    loaded, drawn = load_matching(_generator(TWICE), _generator(one).state_dict())

    assert all(name.startswith("enhancers.1.") for name in drawn)
    assert "enhancers.0.up.0.0.weight" in loaded


def test_the_global_generator_learns_after_the_frozen_batches_and_at_the_same_rate() -> None:
    loss = Pix2PixHDLossSettings(discriminator_width=0.01, frozen_batches=2)
    objective = _objective(ENHANCED, loss)
    network = objective.networks["generator"]
    step = ObjectiveStep(objective, TrainingSettings(rate=1e-3), delivered="generator")

    moved, rates = [], []
    for number in (1, 2, 3):
        before = {name: each.clone() for name, each in network.named_parameters()}
        rates.append(step([_batch(64, 64, number=number)])["learning_rate"])
        weights = {name: each for name, each in network.named_parameters() if "weight" in name}
        moved.append(
            {name for name, each in weights.items() if not torch.equal(each, before[name])}
        )

    everything = {name for name, _ in network.named_parameters() if "weight" in name}
    outer = {name for name in everything if not name.startswith("global_generator.")}
    assert moved[0] == moved[1] == outer
    assert moved[2] == everything
    assert rates == [1e-3] * 3


def test_with_two_enhancers_only_the_outer_one_learns_at_first() -> None:
    loss = Pix2PixHDLossSettings(discriminator_width=0.01, frozen_batches=1)
    objective = _objective(TWICE, loss)
    network = objective.networks["generator"]

    torch.stack(list(objective.losses("generator", _batch(64, 64)).values())).sum().backward()

    learning = {name[:11] for name, each in network.named_parameters() if each.grad is not None}
    assert learning == {"enhancers.1"}


def test_frozen_batches_without_an_enhancer_are_refused() -> None:
    with pytest.raises(ValueError, match="frozen_batches is 5, but without an enhancer nothing"):
        _objective(TINY, Pix2PixHDLossSettings(frozen_batches=5))


# Losses


def test_least_squares_are_summed_over_scales() -> None:
    maps = [
        [torch.full((3,), 9.0), torch.tensor([0.0, 2.0])],
        [torch.full((3,), 9.0), torch.tensor([0.5])],
    ]

    assert least_squares(maps, 1.0) == pytest.approx(1 + 0.25)
    assert least_squares(maps, 0.0) == pytest.approx(2 + 0.25)


def _seen_by_judge(
    objective: Pix2PixHDObjective, batch: PhotographBatch
) -> tuple[Tensor, list[list[Tensor]], list[list[Tensor]]]:
    """Return the picture that is made, and the judge's maps of the photograph and of the picture."""
    networks = objective.networks
    conditions = batch.conditions(CLASSES)
    labels = conditions.layout.argmax(1)
    assert conditions.instances is not None
    borders = boundary_map(labels, conditions.instances).float()
    with torch.no_grad():
        made: Tensor = networks["generator"](conditions.layout, conditions.instances)
        real_maps, made_maps = (
            networks["discriminator"](torch.cat([conditions.layout, borders, 2 * each - 1], 1))
            for each in (batch.real, made)
        )
    return made, real_maps, made_maps


@pytest.mark.parametrize("scales", [2, 3])
def test_losses_are_those_of_the_formulas(scales: int) -> None:
    perceptual = _perceptual()
    loss = Pix2PixHDLossSettings(discriminator_width=0.01, scales=scales)
    objective, batch = _objective(TINY, loss, perceptual), _batch(64, 64)
    made, real_maps, made_maps = _seen_by_judge(objective, batch)

    of_judge = objective.losses("discriminator", batch)
    of_generator = objective.losses("generator", batch)

    pairs = list(zip(real_maps, made_maps, strict=True))
    assert len(pairs) == scales
    real = sum(float((maps[-1] - 1).square().mean()) for maps, _ in pairs)
    against = sum(float(maps[-1].square().mean()) for _, maps in pairs)
    adversarial = sum(float((maps[-1] - 1).square().mean()) for _, maps in pairs)
    matched = sum(
        10 / scales * float((wanted[layer] - mine[layer]).abs().mean())
        for wanted, mine in pairs
        for layer in range(4)
    )
    # The classifier sees colours in [-1, 1] as they are, and its poolings take the greatest.
    classifier = perceptual.comparing(FIRST_CONVOLUTIONS, pooling="max", standardised=False)
    differences = [
        float((one - other).abs().mean())
        for one, other in zip(classifier.maps(made), classifier.maps(batch.real), strict=True)
    ]
    weights = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1)
    perceived = 10 * sum(w * d for w, d in zip(weights, differences, strict=True))
    assert {name: each.item() for name, each in of_judge.items()} == pytest.approx(
        {"real": real / 2, "made": against / 2}, rel=1e-4
    )
    assert {name: each.item() for name, each in of_generator.items()} == pytest.approx(
        {"adversarial": adversarial, "feature_matching": matched, "perceptual": perceived},
        rel=1e-4,
    )


@pytest.mark.parametrize(
    ("loss", "perceptual", "terms"),
    [
        ({}, False, {"adversarial", "feature_matching"}),
        ({"feature_matching": 0.0}, True, {"adversarial", "perceptual"}),
        ({"perceptual": 0.0}, True, {"adversarial", "feature_matching"}),
    ],
)
def test_terms_can_be_left_out(loss: dict[str, float], perceptual: bool, terms: set[str]) -> None:
    settings = Pix2PixHDLossSettings(discriminator_width=0.01, **loss)  # type: ignore[arg-type]
    objective = _objective(TINY, settings, _perceptual() if perceptual else None)

    assert set(objective.losses("generator", _batch())) == terms


@pytest.mark.parametrize("settings", [TINY, ENHANCED, TWICE])
def test_gradients_reach_every_parameter(settings: Pix2PixHDSettings) -> None:
    objective = _objective(settings)

    for part, network in objective.networks.items():
        network.zero_grad()
        torch.stack(list(objective.losses(part, _batch(64, 64)).values())).sum().backward()

        for name, each in network.named_parameters():
            assert each.grad is not None, name
            # A bias before an instance norm is taken off again.
            assert name.endswith("bias") or each.grad.any(), name


def test_no_gradient_of_the_judge_reaches_the_generator() -> None:
    objective = _objective()

    torch.stack(list(objective.losses("discriminator", _batch()).values())).sum().backward()

    assert all(each.grad is None for each in objective.networks["generator"].parameters())


def _fit(settings: Pix2PixHDSettings, steps: int) -> tuple[float, float]:
    """Return the mean absolute difference from one photograph, before and after some steps."""
    loss = Pix2PixHDLossSettings(discriminator_width=0.1)
    objective, batch = _objective(settings, loss), _batch()
    training = TrainingSettings(rate=1e-3, betas=(0.5, 0.999), average_decay=0)
    step = ObjectiveStep(objective, training, delivered="generator")
    network = objective.networks["generator"]

    def difference() -> float:
        conditions = batch.conditions(CLASSES)
        photograph = batch.real if settings.features else None
        with torch.no_grad():
            made = network(conditions.layout, conditions.instances, photograph)
        return float((made - batch.real).abs().mean())

    before = difference()
    for _ in range(steps):
        step([batch])
    return before, difference()


@pytest.mark.parametrize(("enhancers", "features"), [(0, 0), (1, 3)])
def test_it_comes_nearer_to_one_photograph(enhancers: int, features: int) -> None:
    settings = Pix2PixHDSettings(
        width=0.05, blocks=1, enhancer_blocks=1, enhancers=enhancers, features=features
    )

    before, after = _fit(settings, 20)

    assert after < 0.75 * before


@pytest.mark.slow
def test_it_learns_one_photograph() -> None:
    before, after = _fit(Pix2PixHDSettings(width=0.1, blocks=2), 300)

    assert after < 0.25 * before


# Published weights


class _PublishedBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for last in (False, True):
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3)]
            layers += [nn.InstanceNorm2d(channels)] if last else [*_norm(channels)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, given: Tensor) -> Tensor:
        added: Tensor = self.conv_block(given)
        return given + added


def _norm(channels: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(channels), nn.ReLU()]


def _front(given: int, channels: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(given, channels[0], 7)]
    layers += _norm(channels[0])
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), *_norm(after)]
    return layers


def _back(channels: list[int], blocks: int) -> list[nn.Module]:
    layers: list[nn.Module] = [_PublishedBlock(channels[-1]) for _ in range(blocks)]
    for before, after in pairwise(reversed(channels)):
        up = nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)
        layers += [up, *_norm(after)]
    return layers


def _end(channels: int, made: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), nn.Conv2d(channels, made, 7), nn.Tanh()]


class _Published(nn.Module):
    """The generator as its checkpoints name it, written down from the table of its layers."""

    def __init__(
        self, given: int, *, width: float, blocks: int, enhancer_blocks: int | None
    ) -> None:
        super().__init__()

        def wide(*channels: int) -> list[int]:
            return [max(4, round(width * each)) for each in channels]

        channels = wide(64, 128, 256, 512, 1024)
        layers = [*_front(given, channels), *_back(channels, blocks)]
        if enhancer_blocks is None:
            layers += _end(channels[0], 3)
        else:
            outer = wide(32, 64)
            self.model1_1 = nn.Sequential(*_front(given, outer))
            self.model1_2 = nn.Sequential(*_back(outer, enhancer_blocks), *_end(outer[0], 3))
        self.model = nn.Sequential(*layers)
        self._enhanced = enhancer_blocks is not None

    def forward(self, given: Tensor) -> Tensor:
        if not self._enhanced:
            made: Tensor = self.model(given)
            return made
        half = F.avg_pool2d(given, 3, stride=2, padding=1, count_include_pad=False)
        made = self.model1_2(self.model1_1(given) + self.model(half))
        return made


def _reference(settings: Pix2PixHDSettings, classes: int = CLASSES) -> _Published:
    return _Published(
        settings.shown_channels(classes) + settings.features,
        width=settings.width,
        blocks=settings.blocks,
        enhancer_blocks=settings.enhancer_blocks if settings.enhancers else None,
    )


def _published_encoder(settings: Pix2PixHDSettings) -> nn.Sequential:
    channels = [max(4, round(settings.width * each)) for each in (16, 32, 64, 128, 256)]
    layers = [*_front(3, channels), *_back(channels, 0), *_end(channels[0], settings.features)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("enhancers", [0, 1])
def test_published_weights_paint_what_the_published_network_paints(enhancers: int) -> None:
    settings = Pix2PixHDSettings(
        width=0.02, blocks=3, enhancer_blocks=2, enhancers=enhancers, void_channel=False
    )
    with torch.random.fork_rng():
        torch.manual_seed(9)
        reference, network = _reference(settings), Pix2PixHDGenerator(CLASSES, settings)
    conditions = _conditions(64, 96)
    assert conditions.instances is not None

    network.load_state_dict(published(reference.state_dict(), CLASSES, settings))
    painted = network.generate(conditions)

    with torch.no_grad():
        expected = reference(shown(conditions.layout, conditions.instances, settings))
    torch.testing.assert_close(painted, (expected + 1) / 2, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("settings", "last"),
    [
        (Pix2PixHDSettings(void_channel=False), "model.38.weight"),
        (Pix2PixHDSettings(void_channel=False, enhancers=1), "model1_2.7.weight"),
    ],
)
def test_published_weights_of_full_width_fit(settings: Pix2PixHDSettings, last: str) -> None:
    with torch.device("meta"):
        state = _reference(settings, 35).state_dict()
        network = Pix2PixHDGenerator(35, settings)

    taken = published(state, 35, settings)

    assert tuple(state["model.1.weight"].shape) == (64, 36, 7, 7)
    assert tuple(state["model.16.conv_block.1.weight"].shape) == (1024, 1024, 3, 3)
    assert tuple(state["model.25.weight"].shape) == (1024, 512, 3, 3)
    assert last in state
    assert {name: value.shape for name, value in taken.items()} == {
        name: value.shape for name, value in network.state_dict().items()
    }


def test_the_published_encoder_makes_the_same_of_a_photograph() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(9)
        reference, encoder = _reference(STYLED), _published_encoder(STYLED)
        network = Pix2PixHDGenerator(CLASSES, STYLED)
    conditions = _conditions(style=True)
    assert conditions.style is not None
    assert conditions.instances is not None
    state = reference.state_dict() | {
        f"E.model.{name}": value for name, value in encoder.state_dict().items()
    }

    network.load_state_dict(published(state, CLASSES, STYLED))
    encoded = network.encoded(conditions.style, conditions.layout, conditions.instances)

    regions = regions_of(conditions.layout.argmax(1), conditions.instances)
    expected = mean_by_region(encoder(2 * conditions.style - 1), regions)
    torch.testing.assert_close(encoded, expected, atol=1e-5, rtol=1e-4)
    assert network.style_counts.tolist() == [0] * (CLASSES + 1)


def test_running_means_of_early_versions_are_left_out() -> None:
    state = _reference(TINY).state_dict()
    early = {"model.2.running_mean": torch.zeros(4), "model.2.running_var": torch.ones(4)}

    assert published(state | early, CLASSES, TINY).keys() == published(state, CLASSES, TINY).keys()


def test_styles_that_were_never_learnt_are_not_drawn() -> None:
    network = _generator(STYLED)
    network.style_counts.zero_()

    with pytest.raises(ValueError, match="an encoder and no styles to draw from; let it learn"):
        network.generate(_conditions())


def test_a_checkpoint_with_other_classes_is_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"'model.1.weight' is \(4, 5, 7, 7\), expected \(4, 6, 7, 7\) for 4 classes",
    ):
        published(_reference(TINY).state_dict(), 4, TINY)


def test_a_checkpoint_with_an_enhancer_is_refused_by_a_network_without() -> None:
    state = _reference(Pix2PixHDSettings(width=0.01, blocks=2, enhancers=1)).state_dict()

    with pytest.raises(ValueError, match=r"lacks 10 tensors, the first 'model.17.bias'.* 0 enhanc"):
        published(state, CLASSES, Pix2PixHDSettings(width=0.01, blocks=1))
    with pytest.raises(ValueError, match=r"too many, the first 'model1_1.1.bias'; set enhancers"):
        published(state | _reference(TINY).state_dict(), CLASSES, TINY)


def test_a_checkpoint_without_encoder_is_refused_by_a_network_with_one() -> None:
    with pytest.raises(ValueError, match="the first 'E.model.1.bias'.*add the encoder's tensors"):
        published(_reference(STYLED).state_dict(), CLASSES, STYLED)


# Settings


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0.0}, r"width is 0.0, expected more than 0 and at most 2"),
        ({"downsamplings": 0}, "downsamplings is 0, expected 1 to 6"),
        ({"blocks": 0}, "blocks is 0, expected 1 to 99"),
        ({"enhancers": 3}, "enhancers is 3, expected 0 to 2"),
        ({"enhancer_blocks": 0}, "enhancer_blocks is 0, expected 1 to 99"),
        ({"features": -1}, "features is -1, expected 0 to 64"),
    ],
)
def test_wrong_settings_of_the_network_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pix2PixHDSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scales": 0}, "scales is 0, expected 1 to 4"),
        ({"discriminator_width": 3.0}, "discriminator_width is 3.0, expected more than 0"),
        ({"feature_matching": -1.0}, "feature_matching is -1.0, expected at least 0"),
        ({"perceptual": -1.0}, "perceptual is -1.0, expected at least 0"),
        ({"frozen_batches": -1}, "frozen_batches is -1, expected at least 0"),
    ],
)
def test_wrong_settings_of_the_loss_are_refused(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pix2PixHDLossSettings(**wrong)
