"""Batches of canvases: pieces that stay together, and what is drawn for them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.synthesis.canvas_set import CanvasPair, CanvasSet, CanvasSetWriter
from scenequilt.synthesis.samples import (
    CanvasBatches,
    CanvasSampleSettings,
    as_batch,
    canvas_piece,
)

TAXONOMY = Taxonomy("one", (ClassInfo(0, "sky", (70, 130, 180), "stuff"),))
WHOLE = CanvasSampleSettings(crop_hw=(40, 56), mirror=False, light=0)


def _pair(number: int = 0) -> CanvasPair:
    """Return a canvas of 40x56 in which every pixel tells where it is, and its number in blue."""
    rows, columns = np.mgrid[:40, :56].astype(np.uint8)
    place = np.stack([rows, columns, np.full_like(rows, 10 * number)], axis=-1)
    return CanvasPair(
        photograph=str(number),
        image=place,
        label_map=rows,
        canvas=place + np.uint8(100),
        coverage=(rows + columns) % 3 > 0,
        elided=(rows + columns) % 5 == 0,
    )


@pytest.fixture
def canvases(tmp_path: Path) -> CanvasSet:
    """Seven canvases, as _pair makes them."""
    path = tmp_path / "canvases.h5"
    with CanvasSetWriter(path, TAXONOMY, settings={}, bank_fingerprint="") as writer:
        for number in range(7):
            pair = _pair(number)
            writer.add_photograph(pair.photograph, pair.image, pair.label_map, held_out=False)
            writer.add_canvas(pair.canvas, pair.coverage, pair.elided)
    return CanvasSet(path)


def _batches(
    canvases: CanvasSet,
    settings: CanvasSampleSettings = WHOLE,
    *,
    batch_size: int = 3,
    seed: int = 1,
) -> CanvasBatches:
    places = canvases.places(held_out=False)
    return CanvasBatches(canvases, places, settings, batch_size=batch_size, seed=seed)


def test_a_batch_holds_what_the_file_holds(canvases: CanvasSet) -> None:
    batch = _batches(canvases).batch(1)

    for place in range(3):
        pair = canvases.read(int(batch.photograph[place, 2, 0, 0]) // 10)
        assert torch.equal(batch.photograph[place].permute(1, 2, 0), torch.from_numpy(pair.image))
        assert torch.equal(batch.canvas[place].permute(1, 2, 0), torch.from_numpy(pair.canvas))
        assert torch.equal(batch.label_map[place], torch.from_numpy(pair.label_map))
        assert torch.equal(batch.coverage[place, 0], torch.from_numpy(pair.coverage))
        assert torch.equal(batch.elided[place, 0], torch.from_numpy(pair.elided))
    assert batch.label_map.dtype == batch.canvas.dtype == batch.photograph.dtype == torch.uint8
    assert batch.coverage.dtype == batch.elided.dtype == torch.bool


def test_every_canvas_is_seen_once_before_one_is_seen_twice(canvases: CanvasSet) -> None:
    batches = _batches(canvases)

    seen = [
        int(blue) // 10
        for number in range(1, 8)
        for blue in batches.batch(number).photograph[:, 2, 0, 0]
    ]

    rounds = [seen[start : start + 7] for start in (0, 7, 14)]
    assert [sorted(each) for each in rounds] == [list(range(7))] * 3
    assert rounds[0] != rounds[1]


def test_a_batch_depends_on_the_seed_and_its_number_alone(canvases: CanvasSet) -> None:
    settings = CanvasSampleSettings(crop_hw=(32, 40), light=0.3)
    first, later = _batches(canvases, settings), _batches(canvases, settings)
    for number in range(1, 4):
        first.batch(number)

    fourth, same = first.batch(4), later.batch(4)
    other = _batches(canvases, settings, seed=2).batch(4)

    assert fourth.canvas.shape == (3, 3, 32, 40)
    for name in ("label_map", "canvas", "coverage", "elided", "photograph"):
        assert torch.equal(getattr(fourth, name), getattr(same, name)), name
    assert not torch.equal(fourth.canvas, other.canvas)


def test_half_the_batches_of_twice_the_size_see_the_same_canvases(canvases: CanvasSet) -> None:
    small, large = _batches(canvases, batch_size=2), _batches(canvases, batch_size=4)

    pieces = [small.batch(number).photograph for number in (1, 2, 3, 4)]

    assert torch.equal(torch.cat(pieces[:2]), large.batch(1).photograph)
    assert torch.equal(torch.cat(pieces[2:]), large.batch(2).photograph)


def test_batches_can_be_made_in_another_process(canvases: CanvasSet) -> None:
    batches = _batches(canvases)
    expected = batches.batch(2)

    there = pickle.loads(pickle.dumps(batches))

    assert torch.equal(there.batch(2).canvas, expected.canvas)


def test_only_the_places_that_are_named_are_seen(canvases: CanvasSet) -> None:
    batches = CanvasBatches(canvases, [2, 5], WHOLE, batch_size=4)

    assert sorted(batches.batch(1).photograph[:, 2, 0, 0].tolist()) == [20, 20, 50, 50]


@pytest.mark.parametrize("mirror", [False, True])
def test_all_arrays_of_a_piece_are_cut_and_mirrored_together(mirror: bool) -> None:
    settings = CanvasSampleSettings(crop_hw=(32, 33), mirror=mirror, light=0)
    mirrored, corners = 0, set()

    for seed in range(40):
        piece = canvas_piece(_pair(), settings, np.random.default_rng(seed))

        rows, columns = (piece.image[..., channel].astype(int) for channel in (0, 1))
        assert piece.image.shape == (32, 33, 3)
        assert (np.diff(rows, axis=0) == 1).all()
        assert np.unique(np.diff(columns, axis=1)).tolist() in ([1], [-1])
        assert np.array_equal(piece.canvas, piece.image + np.uint8(100))
        assert np.array_equal(piece.label_map, rows)
        assert np.array_equal(piece.coverage, (rows + columns) % 3 > 0)
        assert np.array_equal(piece.elided, (rows + columns) % 5 == 0)
        mirrored += int(columns[0, 0] > columns[0, 1])
        corners.add((rows.min(), columns.min()))

    assert 10 < mirrored < 30 if mirror else mirrored == 0
    assert {0, 8} <= {top for top, _ in corners}, "the whole canvas is seen"
    assert max(left for _, left in corners) > 20


def test_canvas_and_photograph_get_the_same_light() -> None:
    settings = CanvasSampleSettings(crop_hw=(32, 32), mirror=False, light=0.3)
    gray = np.full((32, 32, 3), 100, np.uint8)
    pair = CanvasPair("", gray, gray[..., 0], gray, gray[..., 0] > 0, gray[..., 0] > 0)

    lights = []
    for seed in range(300):
        piece = canvas_piece(pair, settings, np.random.default_rng(seed))
        assert piece.canvas.min() == piece.canvas.max() == piece.image.min() == piece.image.max()
        assert piece.label_map.max() == 100
        lights.append(np.log(piece.image[0, 0, 0] / 100))

    assert np.mean(lights) == pytest.approx(0, abs=0.06)
    assert np.std(lights) == pytest.approx(0.3, abs=0.05)


def test_light_that_no_picture_can_hold_is_clipped() -> None:
    settings = CanvasSampleSettings(crop_hw=(32, 32), light=2)
    white = np.full((32, 32, 3), 200, np.uint8)
    pair = CanvasPair("", white, white[..., 0], white, white[..., 0] > 0, white[..., 0] > 0)

    values = {
        int(canvas_piece(pair, settings, np.random.default_rng(seed)).image[0, 0, 0])
        for seed in range(20)
    }

    assert 255 in values
    assert min(values) < 100


def test_a_batch_is_stacked() -> None:
    batch = as_batch([_pair(0), _pair(4)])

    assert batch.photograph.shape == batch.canvas.shape == (2, 3, 40, 56)
    assert batch.coverage.shape == batch.elided.shape == (2, 1, 40, 56)
    assert batch.photograph[1, :, 7, 9].tolist() == [7, 9, 40]


def test_a_piece_that_is_larger_than_the_canvases_is_refused(canvases: CanvasSet) -> None:
    with pytest.raises(ValueError, match=r"crop_hw is \(48, 56\), but canvas 0 of .* is 40x56"):
        _batches(canvases, CanvasSampleSettings(crop_hw=(48, 56)))


def test_nothing_to_learn_from_is_refused(canvases: CanvasSet) -> None:
    with pytest.raises(ValueError, match=r"canvases\.h5 holds no canvas to learn from, expected"):
        CanvasBatches(canvases, [], WHOLE, batch_size=1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"crop_hw": (31, 64)}, r"crop_hw must be at least 32 pixels a side, got \(31, 64\)"),
        ({"light": -0.1}, "light is -0.1, expected at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CanvasSampleSettings(**wrong)
