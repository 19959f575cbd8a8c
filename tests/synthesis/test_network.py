"""The synthesis network: size, shapes, gradients, and the averages it is built from."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from scenequilt.memory_bank.errors import MissingConditionError
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.network import (
    CanvasGenerator,
    CanvasGeneratorSettings,
    fill_from_around,
    halved,
    load_matching,
    one_hot,
    pooled,
    resized,
)

CLASSES = 3
TINY = CanvasGeneratorSettings(width=0.01)
TINY_PAPER = replace(TINY, elided_channel=False, residual=False)

# Layers of the original at 256 lines for 19 classes: 20 maps, 3 colours and 1 mask are 24 channels.
GIVEN = 19 + 1 + 3 + 1
ENCODER = [
    *[(GIVEN, 64), (64, 64)],
    *[(64, 128), (128, 128)],
    *[(128, 256), (256, 256), (256, 256)],
    *[(256, 512), (512, 512), (512, 512)],
    *[(512, 512), (512, 512), (512, 512)],
    *[(512, 512), (512, 512), (512, 512)],
]
DECODER = [
    *[(536, 512), (512, 512)],
    *[(1048, 512), (512, 512)],
    *[(1048, 512), (512, 512)],
    *[(792, 512), (512, 512)],
    *[(664, 512), (512, 512)],
    *[(600, 256), (256, 256)],
    *[(280, 256), (256, 256)],
]
REFINED = [(280, 128), (128, 128)]


def _count(convolutions: list[tuple[int, int]]) -> int:
    """3x3, no bias, a gain and a shift a channel."""
    return sum(9 * before * after + 2 * after for before, after in convolutions)


def _heads(channels: int) -> int:
    return (channels + 1) * 3 + (channels + 1) * 20


def _paper(lines: int) -> CanvasGenerator:
    with torch.device("meta"):
        return CanvasGenerator(19, CanvasGeneratorSettings.paper(lines))


def _parameters(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


@pytest.mark.parametrize(
    ("lines", "expected", "millions"),
    [
        (256, _count(ENCODER) + _count(DECODER) + _heads(256), 55.67),
        (512, _count(ENCODER) + _count(DECODER) + _count(REFINED) + _heads(128), 56.14),
        (1024, _count(ENCODER) + _count(DECODER) + _count(REFINED) + _heads(128) + 84, 56.14),
    ],
)
def test_at_width_1_it_has_the_parameters_of_the_paper(
    lines: int, expected: int, millions: float
) -> None:
    count = _parameters(_paper(lines))

    assert count == expected
    assert round(count / 1e6, 2) == millions
    assert f"{count:,}" in (CanvasGenerator.__doc__ or "")


def test_encoder_and_decoder_divide_them_as_the_original_does() -> None:
    network = _paper(256)

    encoder = _parameters(network.encoder)
    # The decoder counts everything else, the heads too.
    decoder = _parameters(network) - encoder

    assert (encoder, decoder) == (_count(ENCODER), _count(DECODER) + _heads(256))
    assert f"{encoder / 1e6:.2f}" == "21.81"
    assert decoder / 1e6 == pytest.approx(33.85, abs=0.01)


def test_the_convolutions_are_those_of_the_table() -> None:
    network = _paper(512)

    found = [
        tuple(each.weight.shape)
        for each in network.modules()
        if isinstance(each, nn.Conv2d) and each.kernel_size == (3, 3)
    ]

    table = [*ENCODER, *DECODER, *REFINED]
    assert found == [(after, before, 3, 3) for before, after in table]


def test_a_width_is_a_factor_on_every_channel_count() -> None:
    half = CanvasGenerator(19, CanvasGeneratorSettings(width=0.02, residual=False))

    widths = [
        each.weight.shape[0] for each in half.encoder.modules() if isinstance(each, nn.Conv2d)
    ]

    # 0.02 of 64, 128, 256 and 512, and never below 4.
    assert widths == [4, 4, 4, 4, 5, 5, 5, *[10] * 9]


def _scene(
    height: int, width: int, *, batch: int = 1, seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a random layout, canvas, coverage and elided."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES + 1, (batch, height, width), generator=draw)
    canvas = torch.rand(batch, 3, height, width, generator=draw, dtype=dtype)
    coverage = torch.rand(batch, 1, height, width, generator=draw) < 0.8
    elided = torch.rand(batch, 1, height, width, generator=draw) < 0.3
    return one_hot(labels, CLASSES).to(dtype), canvas, coverage, elided


def _network(settings: CanvasGeneratorSettings, *, seed: int = 0) -> CanvasGenerator:
    """Return a network whose last layer, too, has drawn weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = CanvasGenerator(CLASSES, settings)
        last = network.rgb if network.blend is None else network.blend
        nn.init.normal_(last.weight, std=0.1)
    return network


@pytest.mark.parametrize("form", [TINY, TINY_PAPER])
@pytest.mark.parametrize("lines", [256, 512, 1024])
@pytest.mark.parametrize("size_hw", [(64, 64), (64, 96), (37, 70), (51, 33)])
def test_a_picture_is_of_its_layouts_size(
    form: CanvasGeneratorSettings, lines: int, size_hw: tuple[int, int]
) -> None:
    network = CanvasGenerator(CLASSES, replace(form, lines=lines))

    picture, logits = network(*_scene(*size_hw, batch=2))

    seen = tuple(math.ceil(side / 2) for side in size_hw) if lines == 1024 else size_hw
    assert picture.shape == (2, 3, *size_hw)
    assert logits.shape == (2, CLASSES + 1, *seen)


@pytest.mark.parametrize("lines", [256, 512, 1024])
def test_every_resolution_is_painted_at_its_own_lines(lines: int) -> None:
    network = CanvasGenerator(CLASSES, replace(TINY, lines=lines))
    sizes: list[tuple[int, int]] = []
    network.encoder[0].register_forward_hook(
        lambda module, given, made: sizes.append(tuple(given[0].shape[2:]))
    )

    with torch.no_grad():
        picture, logits = network(*_scene(lines, 2 * lines))

    assert picture.shape[2:] == (lines, 2 * lines)
    assert logits.shape[2:] == (min(lines, 512), 2 * min(lines, 512))
    assert sizes == [(256, 512)]


@pytest.mark.parametrize("lines", [256, 512, 1024])
@pytest.mark.parametrize("form", [TINY, TINY_PAPER])
def test_gradients_reach_every_parameter(form: CanvasGeneratorSettings, lines: int) -> None:
    network = _network(replace(form, lines=lines))

    picture, logits = network(*_scene(64, 96, batch=2))
    (picture.square().sum() + logits.square().sum()).backward()

    without = [
        name
        for name, each in network.named_parameters()
        if each.grad is None or not each.grad.any()
    ]
    assert without == []


@pytest.mark.parametrize("form", [TINY, TINY_PAPER])
@pytest.mark.parametrize("lines", [256, 1024])
def test_gradients_are_those_of_differences(form: CanvasGeneratorSettings, lines: int) -> None:
    network = _network(replace(form, lines=lines)).double()
    layout, canvas, coverage, elided = _scene(9, 12, dtype=torch.float64)
    weights = {name: each.detach() for name, each in network.named_parameters()}
    first = "encoder.0.0.weight"

    def paint(layout: Tensor, canvas: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        made: tuple[Tensor, Tensor] = functional_call(
            network, weights | {first: weight}, (layout, canvas, coverage, elided)
        )
        return made

    inputs = (layout, canvas, weights[first])
    assert torch.autograd.gradcheck(
        paint, tuple(each.clone().requires_grad_() for each in inputs), fast_mode=True
    )


@pytest.mark.parametrize("lines", [256, 512, 1024])
def test_a_residual_network_starts_as_the_canvas_filled_from_around(lines: int) -> None:
    network = CanvasGenerator(CLASSES, replace(TINY, lines=lines))
    layout, canvas, coverage, elided = _scene(40, 56)

    picture, _ = network(layout, canvas, coverage, elided)

    assert torch.equal(picture, fill_from_around(canvas, coverage & ~elided))


def test_the_papers_network_paints_from_minus_one_to_one() -> None:
    network = CanvasGenerator(CLASSES, TINY_PAPER)
    nn.init.zeros_(network.rgb.weight)
    with torch.no_grad():
        network.rgb.bias.copy_(torch.tensor([-1.0, 0.0, 1.0]))  # type: ignore[union-attr]

    picture, _ = network(*_scene(32, 32))

    assert picture[0, :, 5, 7].tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("form", [TINY, TINY_PAPER])
def test_what_the_canvas_holds_where_nothing_is_present_does_not_matter(
    form: CanvasGeneratorSettings,
) -> None:
    network = _network(form)
    layout, canvas, coverage, elided = _scene(32, 48)
    other = torch.where(coverage & ~elided, canvas, 1 - canvas)

    expected, found = (network(layout, each, coverage, elided)[0] for each in (canvas, other))

    assert not torch.equal(canvas, other)
    assert torch.equal(found, expected)


def test_the_paper_has_one_mask_and_ours_may_tell_elided_from_open() -> None:
    layout, canvas, coverage, elided = _scene(32, 48)
    present, none = coverage & ~elided, torch.zeros_like(elided)

    one, two = _network(TINY_PAPER), _network(TINY)

    assert torch.equal(
        one(layout, canvas, coverage, elided)[0], one(layout, canvas, present, none)[0]
    )
    assert not torch.equal(
        two(layout, canvas, coverage, elided)[0], two(layout, canvas, present, none)[0]
    )


def test_elided_counts_only_where_the_canvas_is_covered() -> None:
    network = _network(TINY)
    layout, canvas, coverage, elided = _scene(32, 48)

    expected = network(layout, canvas, coverage, elided & coverage)[0]

    assert torch.equal(network(layout, canvas, coverage, elided)[0], expected)


@pytest.mark.parametrize("form", [TINY, TINY_PAPER])
def test_scenes_of_a_batch_do_not_know_each_other(form: CanvasGeneratorSettings) -> None:
    network = _network(form)
    scenes = _scene(32, 48, batch=3)

    whole, _ = network(*scenes)
    alone, _ = network(*(each[1:2] for each in scenes))

    torch.testing.assert_close(whole[1:2], alone, atol=1e-5, rtol=1e-4)


def test_generate_clips_and_draws_nothing() -> None:
    network = _network(TINY)
    nn.init.constant_(network.rgb.bias, 5.0)  # type: ignore[arg-type]
    layout, canvas, coverage, elided = _scene(32, 48)
    conditions = Conditions(layout, canvas=canvas, coverage=coverage, elided=elided)

    first, second = network.generate(conditions), network.generate(conditions, seed=9)

    assert first.min() == first.max() == 1
    assert torch.equal(first, second)
    assert not first.requires_grad


@pytest.mark.parametrize("name", ["canvas", "coverage", "elided"])
def test_generate_names_what_it_needs(name: str) -> None:
    layout, *others = _scene(32, 48)
    given = dict(zip(("canvas", "coverage", "elided"), others, strict=True))
    del given[name]

    with pytest.raises(MissingConditionError, match=f"'sims' needs the condition '{name}'"):
        CanvasGenerator(CLASSES, TINY).generate(Conditions(layout, **given))


def test_a_layout_of_other_classes_is_refused() -> None:
    layout, canvas, coverage, elided = _scene(32, 48)
    conditions = Conditions(layout, canvas=canvas, coverage=coverage, elided=elided)

    with pytest.raises(ValueError, match=r"layout must be \(B, 8, H, W\), got"):
        CanvasGenerator(7, TINY).generate(conditions)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0}, "width is 0, expected more than 0 and at most 2"),
        ({"width": 2.5}, "width is 2.5, expected more than 0 and at most 2"),
        ({"lines": 300}, "lines is 300, expected 256, 512 or 1024"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CanvasGeneratorSettings(**wrong)  # type: ignore[arg-type]


def test_one_hot_by_hand() -> None:
    layout = one_hot(torch.tensor([[[0, 2, 255, 3]]], dtype=torch.uint8), 3)

    assert layout[0, :, 0].T.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert layout.dtype == torch.float32


def test_pooling_by_hand() -> None:
    """Even sizes are padded behind alone, odd ones on both sides; padding does not count."""
    even, odd = torch.tensor([[[[1.0, 2, 3, 5]]]]), torch.tensor([[[[1.0, 2, 3, 4, 6]]]])

    assert pooled(even)[0, 0, 0].tolist() == [2, 4]
    assert pooled(odd)[0, 0, 0].tolist() == [1.5, 3, 5]


def _same_pooled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """TensorFlow's average pooling of 3x3, stride 2, SAME, from its rule of padding."""

    def windows(length: int) -> list[range]:
        count = math.ceil(length / 2)
        before = max((count - 1) * 2 + 3 - length, 0) // 2
        starts = (2 * place - before for place in range(count))
        return [range(max(start, 0), min(start + 3, length)) for start in starts]

    rows, columns = (windows(length) for length in values.shape)
    return np.array([[values[np.ix_(row, column)].mean() for column in columns] for row in rows])


@pytest.mark.parametrize("height", range(1, 8))
@pytest.mark.parametrize("width", [1, 2, 5, 6, 9])
def test_pooling_is_tensorflows_at_every_size(height: int, width: int) -> None:
    values = np.random.default_rng(height).normal(size=(height, width))

    found = pooled(torch.from_numpy(values)[None, None])[0, 0].numpy()

    np.testing.assert_allclose(found, _same_pooled(values), atol=1e-12)


def test_halving_by_hand() -> None:
    assert halved(torch.tensor([[[[1.0, 2, 3]]]]))[0, 0, 0].tolist() == [1.5, 3]
    assert halved(torch.tensor([[[[1.0, 2], [5, 8]]]]))[0, 0].tolist() == [[4]]


@pytest.mark.parametrize("size_hw", [(8, 12), (7, 12), (5, 9), (1, 3), (1, 1)])
def test_what_is_given_shrinks_to_the_sizes_of_the_pooled_features(
    size_hw: tuple[int, int],
) -> None:
    given = torch.rand(1, 2, *size_hw)

    found = halved(given)

    assert found.shape == pooled(given).shape


def test_area_averages_keep_the_share_of_every_class() -> None:
    layout = one_hot(torch.randint(0, 4, (1, 16, 32)), CLASSES)

    small = layout
    for _ in range(4):
        small = halved(small)

    assert small.shape == (1, 4, 1, 2)
    torch.testing.assert_close(small.mean((2, 3)), layout.mean((2, 3)))


def test_enlarging_by_hand() -> None:
    """Pixel centres a quarter of a pixel off, and beyond the outermost centre what is there."""
    wide = resized(torch.tensor([[[[0.0, 1.0]]]]), torch.zeros(1, 1, 1, 4))

    assert wide[0, 0, 0].tolist() == [0, 0.25, 0.75, 1]


def _gray(rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows).expand(1, 3, -1, -1)


def test_a_hole_gets_the_mean_of_what_is_around_it() -> None:
    canvas = _gray([[0.1, 0.2], [0.9, 0.6]])
    present = torch.tensor([[[[True, True], [False, True]]]])

    filled = fill_from_around(canvas, present)

    torch.testing.assert_close(filled, _gray([[0.1, 0.2], [0.3, 0.6]]))


def test_a_gap_goes_from_one_side_to_the_other() -> None:
    canvas = _gray([[0.0, 0.7, 0.7, 1.0]] * 4)
    present = torch.tensor([[[[True, False, False, True]] * 4]])

    filled = fill_from_around(canvas, present)

    torch.testing.assert_close(filled, _gray([[0, 0.25, 0.75, 1]] * 4))


def test_nothing_at_all_is_gray() -> None:
    filled = fill_from_around(torch.rand(1, 3, 9, 14), torch.zeros(1, 1, 9, 14, dtype=torch.bool))

    torch.testing.assert_close(filled, torch.full_like(filled, 0.5))


@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
@pytest.mark.parametrize("size_hw", [(32, 64), (37, 70), (1, 50), (50, 1)])
def test_filling_keeps_what_is_there_and_stays_within_its_range(
    share: float, size_hw: tuple[int, int]
) -> None:
    draw = torch.Generator().manual_seed(3)
    canvas = torch.rand(2, 3, *size_hw, generator=draw)
    present = torch.rand(2, 1, *size_hw, generator=draw) < share
    present[:, :, -1, -1] = True

    filled = fill_from_around(canvas, present)

    kept = present.expand_as(canvas)
    assert torch.equal(filled[kept], canvas[kept])
    for scene, mask, found in zip(canvas, present, filled, strict=True):
        there = scene[:, mask[0]]
        low, high = there.amin(1)[:, None, None], there.amax(1)[:, None, None]
        assert ((found >= low - 1e-5) & (found <= high + 1e-5)).all()


def test_filling_knows_no_left_or_up() -> None:
    canvas, present = torch.rand(1, 3, 32, 64), torch.rand(1, 1, 32, 64) < 0.1

    filled = fill_from_around(canvas, present)
    turned = fill_from_around(canvas.flip(2, 3), present.flip(2, 3))

    torch.testing.assert_close(turned.flip(2, 3), filled)


def test_scenes_are_filled_as_if_alone() -> None:
    canvas = torch.rand(2, 3, 33, 50)
    present = torch.rand(2, 1, 33, 50) < 0.5
    present[1] = False
    present[1, :, 4, 4] = True

    filled = fill_from_around(canvas, present)

    for place in range(2):
        alone = fill_from_around(canvas[place : place + 1], present[place : place + 1])
        torch.testing.assert_close(filled[place : place + 1], alone)


def test_a_lone_pixel_colors_a_large_picture_as_it_is() -> None:
    canvas, present = torch.zeros(1, 3, 1024, 2048), torch.zeros(1, 1, 1024, 2048, dtype=torch.bool)
    canvas[..., 700, 1500] = 0.8
    present[..., 700, 1500] = True

    filled = fill_from_around(canvas, present)

    torch.testing.assert_close(filled, torch.full_like(filled, 0.8))


def test_a_network_for_more_lines_starts_from_one_for_fewer() -> None:
    smaller, larger = _network(TINY), _network(replace(TINY, lines=512), seed=1)
    before = {name: value.clone() for name, value in larger.state_dict().items()}

    loaded, left = load_matching(larger, smaller.state_dict())

    after = larger.state_dict()
    assert sorted([*loaded, *left]) == sorted(after)
    assert {name.split(".")[0] for name in loaded} >= {"encoder", "decoder", "full_size"}
    assert {name.split(".")[0] for name in left} >= {"refinement"}
    assert all(torch.equal(after[name], smaller.state_dict()[name]) for name in loaded)
    assert all(torch.equal(after[name], before[name]) for name in left)


def test_a_tensor_of_another_shape_is_left() -> None:
    network = _network(TINY)

    loaded, left = load_matching(network, _network(TINY_PAPER, seed=1).state_dict())

    assert "encoder.0.0.weight" in left
    assert "encoder.0.3.weight" in loaded
