"""Lines and plans of colours: of photographs, layouts, canvases and drawings by hand."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenequilt.memory_bank.errors import MissingConditionError
from scenequilt.synthesis.drawing import (
    ConfusionSettings,
    DrawingSettings,
    color_domain,
    colors_of_classes,
    conditions_of_canvas,
    conditions_of_drawing,
    conditions_of_photograph,
    draw_settings,
    drop_edges,
    edges_of_layout,
    edges_of_photograph,
    thinned,
)
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.refinement import one_hot_layout

RED, GREEN, BLUE = (200, 20, 30), (10, 180, 40), (30, 40, 220)

CLASS_COLORS = torch.tensor([[0.8, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 1.0], [0.2, 0.2, 0.2]])


def _halves(left: tuple[int, int, int] = RED, right: tuple[int, int, int] = BLUE) -> NDArray[Any]:
    """Return 32x64 pixels of two colours."""
    image = np.empty((32, 64, 3), np.uint8)
    image[:, :32], image[:, 32:] = left, right
    return image


def _noise(size_hw: tuple[int, int] = (48, 64), seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3))
    return cv2.GaussianBlur(noise.astype(np.uint8), (0, 0), 2).astype(np.uint8)


def _labels(text: str) -> Tensor:
    """Return (1, H, W) class ids, a row a word."""
    return torch.tensor([[int(label) for label in row] for row in text.split()])[None]


def _lines(text: str) -> Tensor:
    """Return (1, 1, H, W) bool, a row a word, # on lines."""
    return torch.tensor([[place == "#" for place in row] for row in text.split()])[None, None]


def _blobs(seed: int) -> Tensor:
    """Return (1, 64, 96) class ids of smooth regions."""
    noise = np.random.default_rng(seed).random((3, 64, 96)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(each, (0, 0), 6) for each in noise])
    return torch.from_numpy(smooth.argmax(0))[None]


def _colors(image: NDArray[np.uint8]) -> set[tuple[int, ...]]:
    return {tuple(int(level) for level in color) for color in image.reshape(-1, 3)}


def _conditions(batch: int = 1) -> Conditions:
    """Return halves of class 0 and 1, 32x64 pixels."""
    labels = torch.zeros(batch, 32, 64, dtype=torch.uint8)
    labels[..., 32:] = 1
    return Conditions(layout=one_hot_layout(labels, 3))


def _with_canvas(image: NDArray[np.uint8]) -> Conditions:
    return replace(
        _conditions(),
        canvas=torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255,
        coverage=torch.ones(1, 1, 32, 64, dtype=torch.bool),
    )


# Photographs


def test_the_line_of_a_photograph_is_where_its_halves_meet() -> None:
    image = _halves((0, 0, 0), (255, 255, 255))
    # Steepest there alone; of two columns that are as steep as each other, both would be lines.
    image[:, 32] = 128

    edges = edges_of_photograph(image, sigma=2.5)

    assert edges.shape == (32, 64) and edges.dtype == np.bool_
    rows, columns = np.nonzero(edges[4:-4])
    assert rows.tolist() == list(range(24)), "one pixel wide"
    assert set(columns) == {32}


def test_a_photograph_without_contrast_has_no_lines() -> None:
    assert not edges_of_photograph(_halves(RED, RED), sigma=2.5).any()


def test_a_wider_blur_leaves_fewer_lines() -> None:
    image = _noise()

    assert edges_of_photograph(image, 0.5).sum() > edges_of_photograph(image, 1.5).sum() > 0


def test_the_plan_of_flat_colours_is_the_picture() -> None:
    image = np.concatenate([_halves(), np.full((32, 64, 3), GREEN, np.uint8)])

    plan = color_domain(image, clusters=3, blur_px=1, soften_px=1)

    np.testing.assert_array_equal(plan, image)


@pytest.mark.parametrize("clusters", [1, 2, 3, 5])
def test_a_plan_has_at_most_so_many_colours_before_the_last_median(clusters: int) -> None:
    plan = color_domain(_noise(), clusters=clusters, blur_px=15, soften_px=1)

    assert len(_colors(plan)) == clusters


def test_a_plan_of_one_colour_asked_for_three_has_one() -> None:
    assert _colors(color_domain(_halves(RED, RED), clusters=3, blur_px=3, soften_px=3)) == {RED}


def test_the_first_median_takes_specks_away() -> None:
    image = _halves(RED, RED)
    image[10:13, 20:23] = BLUE

    assert _colors(color_domain(image, clusters=2, blur_px=15, soften_px=1)) == {RED}
    assert _colors(color_domain(image, clusters=2, blur_px=1, soften_px=1)) == {RED, BLUE}


def test_the_last_median_rounds_a_corner() -> None:
    image = _halves(RED, RED)
    image[8:20, 20:40] = BLUE

    plan = color_domain(image, clusters=2, blur_px=1, soften_px=5)

    assert tuple(plan[8, 20]) == RED
    assert tuple(plan[12, 25]) == BLUE


def test_a_seed_gives_one_plan_whatever_was_drawn_before() -> None:
    image = _noise()
    first = color_domain(image, clusters=5, blur_px=15, soften_px=3, seed=4)
    cv2.setRNGSeed(99)

    np.testing.assert_array_equal(
        color_domain(image, clusters=5, blur_px=15, soften_px=3, seed=4), first
    )


def test_few_pixels_decide_almost_as_well_as_all(monkeypatch: pytest.MonkeyPatch) -> None:
    image = _noise((256, 320))
    blurred = cv2.medianBlur(image, 15)

    def error() -> float:
        plan = color_domain(image, clusters=5, blur_px=15, soften_px=1)
        return float(np.square(blurred.astype(float) - plan).sum(2).mean())

    few = error()
    monkeypatch.setattr("scenequilt.synthesis.drawing.FITTED_PX", 10**9)

    assert few <= 1.02 * error()


def test_the_conditions_of_a_photograph_hold_its_lines_and_plan() -> None:
    images = [_halves(), _noise((32, 64))]
    photographs = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    settings = DrawingSettings(sigma=2.5, blur_px=5, clusters=2, soften_px=3)

    found = conditions_of_photograph(_conditions(2), photographs, settings, seed=3)

    assert found.edges is not None and found.color_domain is not None
    for place, image in enumerate(images):
        plan = color_domain(image, clusters=2, blur_px=5, soften_px=3, seed=3)
        np.testing.assert_array_equal(
            found.edges[place, 0].numpy(), edges_of_photograph(image, 2.5)
        )
        torch.testing.assert_close(
            found.color_domain[place], torch.from_numpy(plan).permute(2, 0, 1) / 255
        )


def test_photographs_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(1, 3, 32, 64\), got \(1, 3, 32, 32\)"):
        conditions_of_photograph(_conditions(), torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize("image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3), np.float32)])
def test_what_is_no_picture_is_refused(image: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8 RGB, got \(8, 8"):
        edges_of_photograph(image, 2.5)
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8 RGB, got \(8, 8"):
        color_domain(image, clusters=3, blur_px=3, soften_px=1)


@pytest.mark.parametrize(
    ("module", "package"), [("skimage.feature", "scikit-image"), ("cv2", "opencv-python-headless")]
)
def test_a_missing_package_is_named(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(ImportError, match=f"need {package}, which is not installed; install it"):
        conditions_of_photograph(_conditions(), torch.rand(1, 3, 32, 64))


# Confusion


def test_every_draw_lies_in_its_range_and_every_value_comes() -> None:
    rng = np.random.default_rng(0)

    drawn = [draw_settings(ConfusionSettings(), rng) for _ in range(1000)]

    assert {each.sigma for each in drawn} == {round(2.5 + tenth / 10, 6) for tenth in range(30)}
    assert {each.blur_px for each in drawn} == set(range(15, 36, 2))
    assert {each.clusters for each in drawn} == {2, 3, 4, 5}
    assert {each.soften_px for each in drawn} == {1, 3, 5}


def test_the_same_generator_draws_the_same() -> None:
    first, second = (draw_settings(ConfusionSettings(), np.random.default_rng(7)) for _ in range(2))

    assert first == second


def test_eight_percent_of_a_full_map_are_dropped() -> None:
    kept = drop_edges(np.ones((256, 256), np.bool_), 0.08, np.random.default_rng(0))

    assert abs((1 - kept.mean()) - 0.08) < 0.01


def test_nothing_is_added_where_edges_are_dropped() -> None:
    edges = np.random.default_rng(1).random((64, 64)) < 0.5

    kept = drop_edges(edges, 0.3, np.random.default_rng(2))

    assert not (kept & ~edges).any()
    np.testing.assert_array_equal(drop_edges(edges, 0.0, np.random.default_rng(2)), edges)


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (DrawingSettings, {"sigma": 0}, "sigma is 0 pixels, expected more than 0"),
        (DrawingSettings, {"clusters": 0}, "clusters is 0, expected at least 1"),
        (DrawingSettings, {"blur_px": 4}, "blur_px is 4 pixels, expected an odd number"),
        (DrawingSettings, {"soften_px": -1}, "soften_px is -1 pixels, expected an odd number"),
        (ConfusionSettings, {"sigma": (3.0, 2.0)}, "sigma goes from 3.0 to 2.0, expected"),
        (ConfusionSettings, {"clusters": (0, 2)}, "clusters goes from 0 to 2, expected more"),
        (ConfusionSettings, {"blur_px": (15, 36)}, "blur_px is 36 pixels, expected an odd"),
        (ConfusionSettings, {"soften_px": ()}, "soften_px is empty, expected at least one"),
        (ConfusionSettings, {"soften_px": (1, 2)}, "soften_px is 2 pixels, expected an odd"),
        (ConfusionSettings, {"edge_drop": 1.0}, "edge_drop is 1.0, expected at least 0 and below"),
        (ConfusionSettings, {"jitter_px": -1}, "jitter_px is -1, expected at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(
    kind: type[Any], wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**wrong)


# Layouts


def test_the_lines_of_a_layout_by_hand() -> None:
    edges = edges_of_layout(_labels("000000 001100 001100 000000"))

    torch.testing.assert_close(edges, _lines("..#... .#.#.. ..#... ......"))


def test_two_objects_of_one_class_have_a_line_between_them() -> None:
    labels = _labels("0000 0000")

    edges = edges_of_layout(labels, _labels("1122 1122"))

    torch.testing.assert_close(edges, _lines(".#.. .#.."))
    assert not edges_of_layout(labels).any()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("#.... ##... .##.. ..##. ...##", "#.... .#... ..#.. ...#. ....#"),
        ("....# ...## ..##. .##.. ##...", "....# ....# ...#. ..#.. ##..."),
        ("..#.. ..#.. ##### ..#.. ..#..", "..#.. ..#.. ##### ..#.. ..#.."),
        ("##... ##... ..... .###. .....", "#.... .#... ..... .###. ....."),
    ],
)
def test_thinning_by_hand(rows: str, expected: str) -> None:
    torch.testing.assert_close(thinned(_lines(rows)), _lines(expected))


@pytest.mark.parametrize("seed", range(6))
def test_lines_of_a_layout_are_one_pixel_wide_and_hang_together(seed: int) -> None:
    labels = _blobs(seed)
    wide = torch.zeros(1, 1, *labels.shape[1:], dtype=torch.bool)
    wide[0, 0, :, :-1] |= labels[0, :, 1:] != labels[0, :, :-1]
    wide[0, 0, :-1] |= labels[0, 1:] != labels[0, :-1]

    edges = edges_of_layout(labels)

    def parts(lines: Tensor) -> int:
        return int(cv2.connectedComponents(lines[0, 0].numpy().astype(np.uint8))[0])

    assert parts(edges) == parts(wide)
    assert not (edges & ~wide).any()
    corners = _corners(edges)
    assert corners < 0.05 * int(edges.sum())
    assert _corners(wide) > 3 * corners


def _corners(lines: Tensor) -> int:
    """Return how many pixels have one neighbour beside and one above or below, and no other."""
    on = np.pad(lines[0, 0].numpy(), 1)
    up, down, left, right = on[:-2, 1:-1], on[2:, 1:-1], on[1:-1, :-2], on[1:-1, 2:]
    return int((on[1:-1, 1:-1] & (up ^ down) & (left ^ right)).sum())


def test_a_batch_of_layouts_is_drawn_as_each_alone() -> None:
    labels = torch.cat([_blobs(0), _blobs(1)])

    both = edges_of_layout(labels)

    torch.testing.assert_close(both[1:], edges_of_layout(labels[1:]))


def test_every_pixel_has_the_colour_of_its_class() -> None:
    labels = torch.tensor([[[0, 2, 255]]], dtype=torch.uint8)

    colors = colors_of_classes(labels, CLASS_COLORS)

    torch.testing.assert_close(colors[0, :, 0].T, CLASS_COLORS[[0, 2, 3]])


# Canvases


def test_the_plan_of_a_canvas_has_the_classes_colours_where_it_is_open() -> None:
    conditions = _with_canvas(_halves(GREEN, GREEN))
    assert conditions.coverage is not None
    conditions.coverage[..., 32:] = False

    found = conditions_of_canvas(
        conditions, CLASS_COLORS, DrawingSettings(clusters=2, blur_px=3, soften_px=1)
    )

    assert found.color_domain is not None
    plan = (found.color_domain * 255).round().to(torch.uint8)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(plan, _halves(GREEN, (0, 153, 0)))


def test_elided_pixels_of_a_canvas_count_as_open() -> None:
    conditions = _with_canvas(_halves(RED, RED))
    elided = torch.zeros(1, 1, 32, 64, dtype=torch.bool)
    elided[..., 32:] = True
    settings = DrawingSettings(clusters=2, blur_px=3, soften_px=1)

    found = conditions_of_canvas(replace(conditions, elided=elided), CLASS_COLORS, settings)

    assert found.color_domain is not None
    torch.testing.assert_close(
        found.color_domain[0, :, 5, 50], CLASS_COLORS[1], atol=1 / 255, rtol=0
    )


def test_lines_of_a_canvas_are_drawn_inside_of_regions_only() -> None:
    canvas = _halves((0, 0, 0), (255, 255, 255))
    canvas[:, 48:] = 0
    conditions = _with_canvas(canvas)

    with_canvas = conditions_of_canvas(conditions, CLASS_COLORS, DrawingSettings(sigma=1.5))
    without = conditions_of_canvas(conditions, CLASS_COLORS, canvas_edges=False)

    assert with_canvas.edges is not None and without.edges is not None
    border = edges_of_layout(conditions.layout.argmax(1))
    torch.testing.assert_close(without.edges, border)
    torch.testing.assert_close(with_canvas.edges[..., :44], border[..., :44])
    assert with_canvas.edges[0, 0, 16, 46:50].any(), "a line inside of the region on the right"


def test_a_rim_of_open_pixels_is_no_line() -> None:
    conditions = _with_canvas(_halves((255, 255, 255), (255, 255, 255)))
    assert conditions.coverage is not None
    conditions.coverage[..., 10:14, 40:50] = False

    found = conditions_of_canvas(conditions, CLASS_COLORS, DrawingSettings(sigma=1.0))

    assert found.edges is not None
    torch.testing.assert_close(found.edges, edges_of_layout(conditions.layout.argmax(1)))


def test_a_canvas_is_needed_by_name() -> None:
    with pytest.raises(MissingConditionError, match="needs the condition 'canvas'"):
        conditions_of_canvas(_conditions(), CLASS_COLORS)


# Drawings


def test_a_drawing_is_parted_at_127_and_has_no_layout() -> None:
    lines = np.zeros((32, 64), np.uint8)
    lines[4], lines[8] = 127, 128

    found = conditions_of_drawing(lines, _halves(), classes=3)

    assert found.edges is not None and found.color_domain is not None
    assert found.edges.shape == (1, 1, 32, 64)
    assert torch.nonzero(found.edges[0, 0].any(1)).flatten().tolist() == [8]
    torch.testing.assert_close(found.layout, one_hot_layout(torch.full((1, 32, 64), 255), 3))
    assert (found.color_domain[0, :, 0, 0] * 255).round().int().tolist() == list(RED)


def test_a_drawing_in_colours_is_read_by_the_mean_of_its_channels() -> None:
    lines = np.zeros((32, 64, 3), np.uint8)
    lines[4] = (255, 0, 0)
    lines[8] = (255, 255, 0)

    found = conditions_of_drawing(lines, _halves(), classes=3)

    assert found.edges is not None
    assert torch.nonzero(found.edges[0, 0].any(1)).flatten().tolist() == [8]


def test_a_drawing_is_brought_to_a_size() -> None:
    lines = np.zeros((16, 16), np.uint8)
    lines[4] = 255

    found = conditions_of_drawing(lines, _halves(), classes=3, size_hw=(32, 48))

    assert found.edges is not None and found.color_domain is not None
    assert torch.nonzero(found.edges[0, 0].any(1)).flatten().tolist() == [8, 9]
    assert found.color_domain.shape == (1, 3, 32, 48)
    assert found.layout.shape == (1, 4, 32, 48)


def test_black_lines_on_white_are_refused() -> None:
    lines = np.full((32, 64), 255, np.uint8)
    lines[4] = 0

    with pytest.raises(ValueError, match="on in 97% of the pixels, expected white lines on black"):
        conditions_of_drawing(lines, _halves(), classes=3)


@pytest.mark.parametrize(
    ("lines", "colors", "message"),
    [
        (np.zeros((4, 4)), _halves(), r"lines must be \(h, w\) or .* got \(4, 4\) float64"),
        (np.zeros((4, 4), np.uint8), _halves()[..., 0], r"colors must be .* got \(32, 64\) uint8"),
    ],
)
def test_a_drawing_of_another_form_is_refused(
    lines: NDArray[Any], colors: NDArray[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        conditions_of_drawing(lines, colors, classes=3)


@pytest.mark.realdata
def test_a_street_has_some_lines_and_a_plan_of_its_colours(real_data: Path) -> None:
    path = min((real_data / "camvid" / "images").rglob("*.jpg"))
    image = np.asarray(Image.open(path).convert("RGB").resize((256, 192)))

    edges = edges_of_photograph(image, 3.5)
    plan = color_domain(image, clusters=3, blur_px=25, soften_px=3)

    assert 0.005 < edges.mean() < 0.15
    blurred = cv2.medianBlur(image, 25).astype(float)
    around_the_mean = np.square(blurred - blurred.mean((0, 1))).sum(2).mean()
    assert np.square(blurred - plan).sum(2).mean() < 0.4 * around_the_mean
