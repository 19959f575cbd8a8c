"""PI-REC: one generator in three phases, four losses, lines and colours of several sources."""

import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scenequilt.memory_bank.errors import MissingConditionError
from scenequilt.synthesis.baselines.pi_rec import (
    BASELINE,
    DrawingMaker,
    PiRec,
    PiRecDiscriminator,
    PiRecGenerator,
    PiRecLossSettings,
    PiRecObjective,
    PiRecSettings,
    draw_strokes,
    gram,
)
from scenequilt.synthesis.drawing import (
    ConfusionSettings,
    color_domain,
    colors_of_classes,
    conditions_of_canvas,
    conditions_of_drawing,
    conditions_of_photograph,
    edges_of_layout,
    edges_of_photograph,
)
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.losses import BLOCKS, FIRST_CONVOLUTIONS, PerceptualLoss
from scenequilt.synthesis.photograph_samples import (
    PhotographBatch,
    PhotographSampleSettings,
    Piece,
    as_photograph_batch,
)
from scenequilt.tools.settings import CONFIGS, read_tables
from scenequilt.tools.training.step import ObjectiveStep
from scenequilt.tools.training.training_settings import TrainingSettings

Source = Literal["layout", "photograph"]

CLASSES = 3
TINY = 1 / 64
"""The least width, 4 channels throughout."""

COLORS = np.array([[200, 40, 40], [60, 160, 60], [40, 80, 220], [120, 120, 120]], np.uint8)
"""Of the photographs' classes, void last."""

SHORT = PiRecLossSettings(imitation_batches=2, generating_batches=3, discriminator_width=TINY)
"""Batches 1 and 2 imitate, 3 to 5 generate, 6 and on refine."""

TRAINING = TrainingSettings(rate=1e-3, average_decay=0.5)


def _model(
    seed: int = 0, *, width: float = TINY, source: Source = "layout", refine: bool = True
) -> PiRec:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PiRec(CLASSES, PiRecSettings(width=width, source=source, refine=refine))


def _piece(size_hw: tuple[int, int] = (32, 64), seed: int = 0) -> Piece:
    """Return two regions and an object, in the colours of their classes with some noise."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    label_map = np.zeros(size_hw, np.uint8)
    label_map[height // 2 :] = 1
    top, left = int(rng.integers(4, height // 2)), int(rng.integers(4, width // 2))
    label_map[top : top + height // 3, left : left + width // 4] = 2
    label_map[:2, :2] = 255
    noise = rng.integers(-15, 16, (*size_hw, 3))
    color = COLORS[np.minimum(label_map, 3)].astype(int) + noise
    return Piece(color.clip(0, 255).astype(np.uint8), label_map, (label_map == 2).astype(np.int32))


def _batch(
    number: int = 1,
    *,
    source: Source = "layout",
    batch: int = 1,
    loss: PiRecLossSettings = SHORT,
    size_hw: tuple[int, int] = (32, 64),
) -> PhotographBatch:
    maker = BASELINE.extra
    assert maker is not None
    make = maker(PiRecSettings(source=source), loss)
    pieces = [_piece(size_hw, seed) for seed in range(batch)]
    extras = [make(piece, np.random.default_rng(seed)) for seed, piece in enumerate(pieces)]
    return as_photograph_batch(pieces, extras, number=number)


def _perceptual(convolutions: int = 13) -> PerceptualLoss:
    """Return a classifier that was never trained, a few channels wide."""
    draw = torch.Generator().manual_seed(1)
    weights, before = [], 3
    for length in BLOCKS[convolutions]:
        for _ in range(length):
            weights.append((torch.randn(4, before, 3, 3, generator=draw) / 3, torch.zeros(4)))
            before = 4
    return PerceptualLoss(weights)


def _objective(
    model: PiRec,
    perceptual: PerceptualLoss | None = None,
    settings: PiRecLossSettings = SHORT,
) -> PiRecObjective:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return PiRecObjective(model, perceptual, settings)


def _step(
    model: PiRec,
    settings: PiRecLossSettings = SHORT,
    training: TrainingSettings = TRAINING,
) -> ObjectiveStep[PhotographBatch]:
    return ObjectiveStep(_objective(model, settings=settings), training, delivered="generator")


def _drawn(size_hw: tuple[int, int] = (32, 64), batch: int = 1, seed: int = 0) -> Conditions:
    """Return conditions with lines and colours given."""
    draw = torch.Generator().manual_seed(seed)
    layout = torch.zeros(batch, CLASSES + 1, *size_hw)
    layout[:, 0] = 1
    return Conditions(
        layout=layout,
        edges=torch.rand(batch, 1, *size_hw, generator=draw) < 0.1,
        color_domain=torch.rand(batch, 3, *size_hw, generator=draw),
    )


def _count(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def _weights(network: nn.Module | None) -> dict[str, Tensor]:
    assert network is not None
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def _assert_same(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, msg=name)


# Networks


def test_parameters_at_full_width_are_the_papers() -> None:
    with torch.device("meta"):
        model = PiRec(19)
        discriminator = PiRecDiscriminator()

    assert _count(model.generator) == 10_545_219
    assert model.refiner is not None and _count(model.refiner) == 10_545_219
    assert _count(model.generator.encoder) == 668_352
    assert _count(model.generator.middle) == 9_441_280
    assert _count(model.generator.decoder) == 435_587
    assert _count(discriminator) == 2_763_776


def test_without_refiner_there_is_one_generator() -> None:
    with torch.device("meta"):
        model = PiRec(19, PiRecSettings(refine=False))

    assert model.refiner is None
    assert _count(model) == 10_545_219


def test_first_weights_are_normal_of_deviation_2_percent() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = [PiRecGenerator(0.25), PiRecDiscriminator(0.25)]

    for network in networks:
        for name, parameter in network.named_parameters():
            value = parameter.detach()
            if name.endswith("bias"):
                assert not value.any()
            elif value.numel() > 2000:
                assert 0.019 < float(value.std()) < 0.021, name
                assert abs(float(value.mean())) < 0.002, name


def test_a_place_of_the_middle_looks_at_208_pixels() -> None:
    network = PiRecGenerator(TINY)
    for sequence in [each for each in network.modules() if isinstance(each, nn.Sequential)]:
        for place, layer in enumerate(sequence):
            # Norms look at the whole picture.
            if isinstance(layer, nn.InstanceNorm2d | nn.ReLU):
                sequence[place] = nn.Identity()
    for value in network.parameters():
        nn.init.constant_(value, 0.1)
    given = torch.rand(1, 4, 256, 16, requires_grad=True)

    features = network.middle(network.encoder(given))
    features[0, 0, 32, 2].backward()

    assert given.grad is not None
    seen = torch.nonzero(given.grad[0].abs().sum((0, 2))).flatten()
    assert int(seen[-1] - seen[0]) + 1 == 208


def test_an_answer_of_the_discriminator_is_about_70_pixels() -> None:
    network = PiRecDiscriminator(TINY)
    given = torch.rand(1, 3, 128, 128, requires_grad=True)

    answers = network(given)
    answers[0, 0, 7, 7].backward()

    assert answers.shape == (1, 1, 14, 14)
    assert given.grad is not None
    seen = torch.nonzero(given.grad[0].abs().sum(0))
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


def test_answers_are_probabilities_and_weights_have_norm_1() -> None:
    network = PiRecDiscriminator(0.05)
    for _ in range(30):
        answers = network(torch.rand(2, 3, 32, 64))

    assert ((answers > 0) & (answers < 1)).all()
    convolutions = [each for each in network.modules() if isinstance(each, nn.Conv2d)]
    assert len(convolutions) == 5
    for convolution in convolutions:
        norm = torch.linalg.matrix_norm(convolution.weight.flatten(1), 2)
        torch.testing.assert_close(norm, torch.tensor(1.0), atol=0.05, rtol=0)


@pytest.mark.parametrize("size_hw", [(32, 64), (33, 61), (5, 7), (16, 16), (1, 40), (20, 130)])
def test_pictures_have_the_size_of_the_conditions(size_hw: tuple[int, int]) -> None:
    picture = _model().generate(_drawn(size_hw, batch=2))

    assert picture.shape == (2, 3, *size_hw)
    assert picture.dtype == torch.float32
    assert ((picture >= 0) & (picture <= 1)).all()


def test_padding_repeats_borders() -> None:
    model, given = _model(), _drawn((30, 61))
    assert given.edges is not None and given.color_domain is not None

    picture = model.reconstruct(given.edges, given.color_domain)

    rows = torch.arange(32).clamp(max=29)[:, None]
    columns = torch.arange(64).clamp(max=60)
    whole = model(given.edges[..., rows, columns], given.color_domain[..., rows, columns])
    torch.testing.assert_close(picture, whole[..., :30, :61])


def test_a_picture_of_a_batch_is_that_of_its_conditions_alone() -> None:
    model, both = _model(), _drawn(batch=2)
    assert both.edges is not None and both.color_domain is not None
    second = Conditions(both.layout[1:], edges=both.edges[1:], color_domain=both.color_domain[1:])

    torch.testing.assert_close(
        model.generate(both)[1:], model.generate(second), atol=1e-5, rtol=1e-5
    )


def test_weights_of_16_bits_paint_about_the_same() -> None:
    model, given = _model(), _drawn()
    expected = model.generate(given)

    picture = model.to(torch.bfloat16).generate(given)

    assert picture.dtype == torch.float32
    assert float((picture - expected).abs().mean()) < 0.02


def test_the_seed_changes_nothing_and_the_global_generator_stays() -> None:
    model, given = _model(), _drawn()
    before = torch.get_rng_state()

    first, second = model.generate(given, seed=0), model.generate(given, seed=9)

    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_lines_and_colours_both_matter() -> None:
    model, given = _model(), _drawn()
    picture = model.generate(given)

    for name in ("edges", "color_domain"):
        other = replace(given, **{name: getattr(_drawn(seed=3), name)})
        assert not torch.allclose(model.generate(other), picture), name


def test_colours_come_before_lines() -> None:
    generator = PiRecGenerator(TINY)
    colors, edges = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 16, 16)
    seen: list[Tensor] = []
    generator.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))

    generator(edges, colors)

    torch.testing.assert_close(seen[0], torch.cat([colors, edges], 1))


# Conditions


def test_a_layout_is_enough_for_a_network_of_layouts() -> None:
    model = _model()
    model.class_colors.copy_(torch.from_numpy(COLORS) / 255)
    batch = _batch()
    conditions = batch.conditions(CLASSES)

    filled = model.conditions_of_layout(conditions)

    assert filled.edges is not None and filled.color_domain is not None
    torch.testing.assert_close(filled.edges, edges_of_layout(batch.label_map, batch.instance_map))
    torch.testing.assert_close(
        filled.color_domain, colors_of_classes(batch.label_map, model.class_colors)
    )
    torch.testing.assert_close(
        model.generate(conditions), model.reconstruct(filled.edges, filled.color_domain)
    )


def test_lines_and_colours_that_are_given_are_kept() -> None:
    given = _drawn()

    kept = _model().conditions_of_layout(given)
    half = _model().conditions_of_layout(replace(given, edges=None))

    assert kept.edges is given.edges and kept.color_domain is given.color_domain
    assert half.edges is not None and half.color_domain is given.color_domain


@pytest.mark.parametrize("name", ["edges", "color_domain"])
def test_a_network_of_photographs_asks_for_lines_and_colours(name: str) -> None:
    without: dict[str, Any] = {name: None}

    with pytest.raises(MissingConditionError, match=f"'pi_rec' needs the condition '{name}'"):
        _model(source="photograph").generate(replace(_drawn(), **without))


@pytest.mark.parametrize("source", ["layout", "photograph"])
def test_it_paints_from_a_photograph_a_canvas_and_a_drawing(source: Source) -> None:
    model, piece = _model(source=source), _piece()
    photograph = torch.from_numpy(piece.image).permute(2, 0, 1)[None].float() / 255
    layout = Conditions(_batch().conditions(CLASSES).layout)
    canvas = replace(layout, canvas=photograph, coverage=photograph[:, :1] > 0.2)
    lines = (np.random.default_rng(0).random((32, 64)) < 0.1).astype(np.uint8) * 255

    pictures = [
        model.generate(conditions)
        for conditions in (
            conditions_of_photograph(layout, photograph),
            conditions_of_canvas(canvas, model.class_colors),
            conditions_of_drawing(lines, piece.image, classes=CLASSES),
        )
    ]

    assert [picture.shape for picture in pictures] == [(1, 3, 32, 64)] * 3
    assert not torch.allclose(pictures[0], pictures[2])


def test_a_layout_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"layout must be \(B, 4, H, W\), got \(1, 6, 32, 64\)"):
        _model().generate(Conditions(torch.zeros(1, 6, 32, 64)))


def test_lines_that_do_not_fit_the_colours_are_refused() -> None:
    with pytest.raises(ValueError, match=r"edges are \(1, 1, 8, 8\) and color_domain is \(1, 3, 8"):
        _model().reconstruct(torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 9))


def test_a_training_that_starts_from_refined_weights_begins_with_the_first_phase() -> None:
    model = _model()
    model.refining.fill_(1)

    _objective(model)

    assert model.refining == 0


def test_the_refiner_paints_over_the_painting_once_it_has_learnt() -> None:
    model, given = _model(), _drawn()
    assert given.edges is not None and given.color_domain is not None
    first = model(given.edges, given.color_domain)
    torch.testing.assert_close(model.generate(given), first)

    model.refining.fill_(1)

    refined = model(given.edges, first, refined=True)
    torch.testing.assert_close(model.generate(given), refined)
    assert not torch.allclose(first, refined)
    torch.testing.assert_close(
        model.reconstruct(given.edges, given.color_domain, refine=False), first
    )


# Samples


def test_a_sample_of_a_layout_has_its_lines_strokes_and_labels() -> None:
    loss = replace(SHORT, confusion=ConfusionSettings(edge_drop=0.0, jitter_px=0))
    piece = _piece()

    found = DrawingMaker(source="layout", loss=loss)(piece, np.random.default_rng(0))

    assert {name: (each.shape, str(each.dtype)) for name, each in found.items()} == {
        "edges": ((1, 32, 64), "bool"),
        "strokes": ((1, 32, 64), "bool"),
        "label_map": ((1, 32, 64), "uint8"),
    }
    expected = edges_of_layout(
        torch.from_numpy(piece.label_map)[None], torch.from_numpy(piece.instance_map)[None]
    )
    np.testing.assert_array_equal(found["edges"], expected[0].numpy())
    np.testing.assert_array_equal(found["label_map"][0], piece.label_map)


def test_lines_and_labels_are_shifted_together_by_at_most_a_pixel() -> None:
    loss = replace(SHORT, confusion=ConfusionSettings(edge_drop=0.0, jitter_px=1))
    piece = _piece()
    padded = np.pad(piece.label_map, 1, mode="edge")
    seen = set()
    for seed in range(40):
        found = DrawingMaker(source="layout", loss=loss)(piece, np.random.default_rng(seed))
        shifts = {
            (down, right)
            for down in (-1, 0, 1)
            for right in (-1, 0, 1)
            if np.array_equal(
                found["label_map"][0], padded[1 + down : 33 + down, 1 + right : 65 + right]
            )
        }
        assert shifts
        seen |= shifts
        lines = edges_of_layout(torch.from_numpy(found["label_map"].astype(np.int64)))
        np.testing.assert_array_equal(found["edges"], lines[0].numpy())

    assert len(seen) == 9


def test_a_sample_of_a_photograph_has_its_lines_and_plan() -> None:
    confusion = ConfusionSettings(
        sigma=(2.5, 2.5), blur_px=(5, 5), clusters=(3, 3), soften_px=(1,), edge_drop=0.0
    )
    piece = _piece((64, 64))
    make = DrawingMaker(source="photograph", loss=replace(SHORT, confusion=confusion))

    found = make(piece, np.random.default_rng(0))

    assert found["color_domain"].shape == (3, 64, 64)
    assert found["color_domain"].dtype == np.uint8
    np.testing.assert_array_equal(found["edges"][0], edges_of_photograph(piece.image, 2.5))
    again = color_domain(piece.image, clusters=3, blur_px=5, soften_px=1, seed=1)
    difference = found["color_domain"].transpose(1, 2, 0).astype(int) - again
    assert np.abs(difference).mean() < 2


@pytest.mark.parametrize("source", ["layout", "photograph"])
def test_confusion_draws_other_samples_of_one_photograph(source: Source) -> None:
    make, piece = DrawingMaker(source=source, loss=SHORT), _piece((64, 64))

    first, same, other = (make(piece, np.random.default_rng(seed)) for seed in (1, 1, 2))

    for name in first:
        np.testing.assert_array_equal(first[name], same[name])
    assert any((first[name] != other[name]).any() for name in ("edges", "strokes"))


def test_the_maker_can_be_sent_to_a_worker() -> None:
    make = DrawingMaker(source="layout", loss=SHORT)

    assert pickle.loads(pickle.dumps(make)) == make


@pytest.mark.parametrize("seed", range(30))
def test_strokes_hide_no_more_than_the_greatest_share(seed: int) -> None:
    hidden = draw_strokes((48, 64), (0.1, 0.7), np.random.default_rng(seed))

    assert hidden.shape == (48, 64)
    assert 0.05 < hidden.mean() <= 0.7


def test_strokes_hide_few_and_many_pixels() -> None:
    shares = [
        draw_strokes((48, 64), (0.1, 0.7), np.random.default_rng(seed)).mean() for seed in range(60)
    ]

    assert min(shares) < 0.25 and max(shares) > 0.55


# Losses


@pytest.mark.parametrize(
    ("number", "phase"),
    [(1, "imitation"), (2, "imitation"), (3, "generating"), (5, "generating"), (6, "refinement")],
)
def test_the_phase_follows_from_the_number_of_the_batch(number: int, phase: str) -> None:
    assert SHORT.phase(number) == phase


def _seen_by(network: nn.Module | None) -> list[tuple[Tensor, Tensor]]:
    """Return a list that fills with the lines and colours which a network is given."""
    assert network is not None
    seen: list[tuple[Tensor, Tensor]] = []
    network.register_forward_pre_hook(lambda _, given: seen.append((given[0], given[1])))
    return seen


def test_the_first_phase_is_shown_the_photograph_under_white_strokes() -> None:
    model, batch = _model(), _batch(1)
    seen, of_refiner = _seen_by(model.generator), _seen_by(model.refiner)

    _objective(model).losses("generator", batch)

    strokes = batch.extra["strokes"].expand(1, 3, 32, 64)
    edges, colors = seen[0]
    torch.testing.assert_close(edges, batch.extra["edges"].float())
    assert strokes.any() and (colors[strokes] == 1).all()
    torch.testing.assert_close(colors[~strokes], batch.real[~strokes])
    assert not of_refiner


def test_the_second_phase_is_shown_the_colours_of_the_classes() -> None:
    model, batch = _model(), _batch(3)
    seen = _seen_by(model.generator)
    objective = _objective(model)
    objective.losses("discriminator", batch)
    seen.clear()

    objective.losses("generator", batch)

    plan = colors_of_classes(batch.extra["label_map"][:, 0], model.class_colors)
    torch.testing.assert_close(seen[0][1], plan)


def test_the_second_phase_is_shown_the_plan_of_the_photograph() -> None:
    model, batch = _model(source="photograph"), _batch(3, source="photograph")
    seen = _seen_by(model.generator)

    _objective(model).losses("generator", batch)

    torch.testing.assert_close(seen[0][1], batch.extra["color_domain"].float() / 255)


def test_the_third_phase_is_shown_the_painting_of_the_second() -> None:
    model, batch = _model(source="photograph"), _batch(6, source="photograph")
    seen = _seen_by(model.refiner)

    _objective(model).losses("generator", batch)

    edges, colors = seen[0]
    painting = model.generator(edges, batch.extra["color_domain"].float() / 255)
    torch.testing.assert_close(colors, painting)
    assert not colors.requires_grad
    torch.testing.assert_close(edges, batch.extra["edges"].float())


def test_without_refiner_the_second_phase_goes_on() -> None:
    model, batch = _model(refine=False), _batch(6)
    objective = _objective(model)

    objective.losses("discriminator", batch)
    losses = objective.losses("generator", batch)
    losses["pixel"].backward()

    assert all(each.grad is not None for each in model.generator.parameters())


def test_the_terms_of_pixels_and_discriminator_by_hand() -> None:
    model, batch = _model(), _batch(4)
    settings = replace(SHORT, pixel=(1.0, 3.0, 1.0), adversarial=(0.0, 0.25, 0.0))
    objective = _objective(model, settings=settings)
    discriminator = objective.networks["discriminator"].eval()
    of_discriminator = objective.losses("discriminator", batch)

    losses = objective.losses("generator", batch)

    plan = colors_of_classes(batch.extra["label_map"][:, 0], model.class_colors)
    made = model.generator(batch.extra["edges"].float(), plan)
    real = batch.photograph / 255
    mean = (made - real).abs().sum() / made.numel()
    answers = discriminator(made)
    torch.testing.assert_close(losses["pixel"], 3 * mean)
    torch.testing.assert_close(losses["raw_pixel"], mean.detach())
    torch.testing.assert_close(losses["adversarial"], 0.25 * ((answers - 1) ** 2).mean())
    assert set(losses) == {"pixel", "adversarial", "raw_pixel", "raw_adversarial"}
    torch.testing.assert_close(
        of_discriminator["real"], 0.5 * ((discriminator(real) - 1) ** 2).mean()
    )
    torch.testing.assert_close(of_discriminator["made"], 0.5 * (answers**2).mean())


def test_the_gram_matrix_by_hand() -> None:
    maps = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])

    torch.testing.assert_close(gram(maps), torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4)


@pytest.mark.parametrize(
    ("convolutions", "style"),
    [
        (13, ("conv2_2", "conv3_3", "conv4_3", "conv5_2")),
        (16, ("conv2_2", "conv3_4", "conv4_4", "conv5_2")),
    ],
)
def test_the_terms_of_the_classifier_by_another_route(
    convolutions: int, style: tuple[str, ...]
) -> None:
    model, batch, perceptual = _model(), _batch(6), _perceptual(convolutions)
    settings = replace(SHORT, feature=(0.0, 0.0, 2.0), style=(0.0, 0.0, 70.0))
    objective = _objective(model, perceptual, settings)
    objective.losses("discriminator", batch)

    losses = objective.losses("generator", batch)

    plan = colors_of_classes(batch.extra["label_map"][:, 0], model.class_colors)
    edges = batch.extra["edges"].float()
    made = model(edges, model(edges, plan), refined=True)

    def maps(pictures: Tensor, layers: tuple[str, ...]) -> list[Tensor]:
        seen = perceptual.comparing(layers, pooling="max", standardised=False)
        # So that 2 * x - 1 is the picture.
        return seen.maps(pictures / 2 + 0.5)

    feature = torch.stack(
        [
            (mine - wanted).abs().mean()
            for mine, wanted in zip(
                maps(made, FIRST_CONVOLUTIONS), maps(batch.real, FIRST_CONVOLUTIONS), strict=True
            )
        ]
    ).sum()
    differences = []
    for mine, wanted in zip(maps(made, style), maps(batch.real, style), strict=True):
        channels, height, width = mine.shape[1:]
        products = [torch.einsum("ahw,bhw->ab", each[0], each[0]) for each in (mine, wanted)]
        size = channels * height * width
        differences.append((products[0] - products[1]).abs().mean() / size)
    torch.testing.assert_close(losses["feature"], 2 * feature)
    torch.testing.assert_close(losses["style"], 70 * torch.stack(differences).sum())


def test_every_phase_has_its_own_weights() -> None:
    model, perceptual = _model(), _perceptual()
    objective = _objective(model, perceptual)

    for number, phase in ((1, 0), (3, 1), (6, 2)):
        batch = _batch(number)
        objective.losses("discriminator", batch)
        losses = objective.losses("generator", batch)
        for name in ("pixel", "adversarial", "feature", "style"):
            weight = getattr(SHORT, name)[phase]
            assert losses[name].item() == pytest.approx(weight * losses[f"raw_{name}"].item())


def test_gradients_reach_every_parameter_that_learns_and_no_other() -> None:
    model = _model()
    objective = _objective(model, _perceptual())
    discriminator = objective.networks["discriminator"]

    for number, learns, rests in (
        (1, model.generator, model.refiner),
        (3, model.generator, model.refiner),
        (6, model.refiner, model.generator),
    ):
        model.zero_grad()
        discriminator.zero_grad()
        batch = _batch(number)
        sum(objective.losses("discriminator", batch).values(), torch.zeros(())).backward()
        assert all(each.grad is not None for each in discriminator.parameters())
        assert all(each.grad is None for each in model.parameters()), "it teaches itself alone"
        losses = objective.losses("generator", batch)
        sum((each for each in losses.values() if each.requires_grad), torch.zeros(())).backward()

        assert learns is not None and rests is not None
        for name, value in learns.named_parameters():
            assert value.grad is not None, name
            # Norms take what biases before them add.
            assert name.endswith("bias") or bool(value.grad.any()), name
        assert all(each.grad is None for each in rests.parameters())


def test_a_weight_of_zero_leaves_the_discriminator_out() -> None:
    settings = replace(SHORT, adversarial=(0.0, 0.0, 0.0))
    objective = _objective(_model(), settings=settings)

    losses = objective.losses("generator", _batch(1))

    assert list(objective.networks) == ["generator"]
    assert set(losses) == {"pixel", "raw_pixel"}


def test_the_generator_comes_last() -> None:
    assert list(_objective(_model()).networks) == ["discriminator", "generator"]


def test_a_batch_without_drawings_is_refused() -> None:
    objective = _objective(_model(source="photograph"))

    with pytest.raises(ValueError, match="no 'color_domain' beside .* there are edges, strokes"):
        objective.losses("generator", _batch(1, source="layout"))


def test_colours_of_classes_are_the_means_over_all_their_pixels() -> None:
    model = _model()
    objective = _objective(model)
    batches = [_batch(1, size_hw=(32, 64)), _batch(2, batch=2, size_hw=(32, 64))]

    for batch in batches:
        for part in objective.networks:
            objective.losses(part, batch)

    # The mean of a batch's means counts each batch alike.
    expected = torch.full((CLASSES + 1, 3), 0.5)
    for class_id in range(CLASSES + 1):
        sums, shares = torch.zeros(3), 0.0
        for batch in batches:
            inside = batch.label_map.long().clamp(max=CLASSES) == class_id
            sums += (batch.real.permute(0, 2, 3, 1)[inside].sum(0)) / inside.numel()
            shares += float(inside.sum()) / inside.numel()
        expected[class_id] = sums / shares
    torch.testing.assert_close(model.class_colors, expected)


def test_a_class_that_was_never_seen_is_grey() -> None:
    model = PiRec(CLASSES + 2, PiRecSettings(width=TINY))

    _objective(model).losses("discriminator", _batch(1))

    assert (model.class_colors[CLASSES : CLASSES + 2] == 0.5).all()
    assert not (model.class_colors[[0, 1, 2, CLASSES + 2]] == 0.5).any()


def test_colours_of_classes_stay_once_the_refiner_learns() -> None:
    model = _model()
    objective = _objective(model)
    objective.losses("discriminator", _batch(5))
    before = model.class_colors.clone()
    darker = replace(_batch(6), photograph=torch.zeros_like(_batch(6).photograph))

    objective.losses("discriminator", darker)

    torch.testing.assert_close(model.class_colors, before, rtol=0, atol=0)


# Training


def test_the_refiner_begins_as_the_generator_and_learns_alone() -> None:
    model = _model()
    step = _step(model)
    for number in range(1, 6):
        step([_batch(number)])
    generator, before = _weights(model.generator), _weights(model.refiner)
    # The discriminator is first in a step, and by it the refiner begins.
    step([_batch(6)])

    _assert_same(_weights(model.generator), generator)
    refiner = _weights(model.refiner)
    assert any(not torch.equal(refiner[name], before[name]) for name in refiner)
    moved = max(float((refiner[name] - generator[name]).abs().max()) for name in refiner)
    assert 0 < moved < 0.0011, "one step of Adam from where the generator is"


def test_the_generators_weights_stay_while_the_refiner_learns() -> None:
    model = _model()
    step = _step(model, training=replace(TRAINING, weight_decay=0.1, optimizer="adamw"))
    for number in range(1, 6):
        step([_batch(number)])
    before = _weights(model.generator)
    refiner = _weights(model.refiner)

    for number in range(6, 10):
        step([_batch(number)])

    _assert_same(_weights(model.generator), before)
    changed = _weights(model.refiner)
    assert all(
        not torch.equal(changed[name], refiner[name]) for name in changed if "weight" in name
    )


def test_a_run_that_is_gone_on_with_is_the_run() -> None:
    whole = _step(_model())
    states = {}
    for number in range(1, 10):
        whole([_batch(number)])
        states[number] = {name: value.clone() for name, value in whole.state_dict().items()}

    for kept in (2, 5, 7):
        resumed = _step(_model(seed=8))
        resumed.load_state_dict(states[kept])
        for number in range(kept + 1, 10):
            resumed([_batch(number)])

        _assert_same(resumed.state_dict(), states[9])


def test_averaged_weights_of_the_refiner_begin_with_the_generators() -> None:
    step = _step(_model(), training=replace(TRAINING, average_decay=0.999))
    assert isinstance(step.average, PiRec)
    for number in range(1, 6):
        step([_batch(number)])

    generator, refiner = _weights(step.average.generator), _weights(step.average.refiner)

    # The refiner is a step behind.
    for name in generator:
        assert float((generator[name] - refiner[name]).abs().max()) < 0.003, name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_loss_falls_in_20_steps(precision: Literal["fp32", "bf16"]) -> None:
    settings = replace(SHORT, imitation_batches=0, generating_batches=1000)
    training = replace(TRAINING, precision=precision, rate=3e-3)
    step = _step(_model(width=0.06, source="photograph"), settings, training)
    batch = _batch(1, source="photograph", loss=settings)

    raw = [step([batch])["generator/raw_pixel"] for _ in range(20)]

    assert raw[-1] < 0.75 * raw[0]


@pytest.mark.slow
@pytest.mark.parametrize("source", ["layout", "photograph"])
def test_it_learns_one_picture_by_heart(source: Source) -> None:
    settings = replace(SHORT, imitation_batches=60, generating_batches=240)
    model = _model(width=0.125, source=source)
    step = _step(model, settings, replace(TRAINING, rate=2e-3, average_decay=0.9))
    for number in range(1, 401):
        step([_batch(number, source=source, loss=settings)])

    batch = _batch(1, source=source, loss=settings)
    conditions = batch.conditions(CLASSES)
    if source == "photograph":
        conditions = conditions_of_photograph(conditions, batch.real)
    assert isinstance(step.average, PiRec)
    picture = step.average.generate(conditions)

    plain = (batch.real - batch.real.mean((2, 3), keepdim=True)).abs().mean()
    error = (picture - batch.real).abs().mean()
    assert error < 0.3 * plain, (float(error), float(plain))


# Settings


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (PiRecSettings, {"width": 0}, "width is 0, expected more than 0 and at most 2"),
        (PiRecSettings, {"source": "canvas"}, "source is 'canvas', expected 'layout' or 'photo"),
        (PiRecLossSettings, {"imitation_batches": -1}, "imitation_batches is -1, expected at lea"),
        (PiRecLossSettings, {"generating_batches": -2}, "generating_batches is -2, expected at l"),
        (
            PiRecLossSettings,
            {"imitation_batches": 0, "generating_batches": 0},
            "are 0, so that there is nothing to refine; give at least one",
        ),
        (PiRecLossSettings, {"style": (1, -1, 0)}, r"style is \(1, -1, 0\), expected at least 0"),
        (PiRecLossSettings, {"pixel": (1, 1, 0)}, r"pixel is \(1, 1, 0\), expected more than 0"),
        (PiRecLossSettings, {"masked": (0.5, 0.8)}, "masked goes from 0.5 to 0.8, expected ascend"),
        (PiRecLossSettings, {"masked": (0.5, 0.2)}, "masked goes from 0.5 to 0.2, expected ascend"),
        (PiRecLossSettings, {"discriminator_width": 3}, "discriminator_width is 3, expected more"),
    ],
)
def test_settings_out_of_range_are_refused(
    kind: type[Any], wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**wrong)


@pytest.mark.parametrize("name", ["pi_rec", "pi_rec-small"])
def test_the_files_of_settings_can_be_read(name: str) -> None:
    tables = read_tables(
        CONFIGS / f"{name}.toml",
        {
            "training": TrainingSettings,
            "network": PiRecSettings,
            "loss": PiRecLossSettings,
            "samples": PhotographSampleSettings,
        },
    )

    loss = tables["loss"]
    assert loss.imitation_batches + loss.generating_batches < tables["training"].total_steps
    if name == "pi_rec":
        assert (tables["network"], loss) == (PiRecSettings(), PiRecLossSettings())


def test_the_record_builds_what_it_says() -> None:
    model = BASELINE.build(CLASSES, PiRecSettings(width=TINY))

    assert isinstance(model, PiRec)
    assert (BASELINE.name, model.name, model.classes) == ("pi_rec", "pi_rec", CLASSES)
    objective = BASELINE.objective(model, None, SHORT, device="cpu")
    assert list(objective.networks)[-1] == "generator"
    assert objective.networks["generator"] is model
