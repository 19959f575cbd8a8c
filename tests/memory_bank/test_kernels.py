"""Compiled loops against plain ones, where retrieval's own tests do not reach them."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scenequilt.memory_bank import kernels
from scenequilt.memory_bank.descriptor import cell_edges, encode_runs
from scenequilt.memory_bank.table import address_of, block_order


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_popcount(word: int) -> None:
    shapes = np.zeros((1, 16), np.uint64)
    shapes[0, 5] = word

    assert kernels.shape_areas(shapes)[0] == word.bit_count()


@settings(deadline=None)
@given(st.lists(st.floats(0, 2), min_size=1, max_size=300))
def test_falling_order_is_a_permutation_that_falls_by_buckets(values: list[float]) -> None:
    bounds = np.array(values)

    order = kernels.falling_order(bounds, 2.0)

    assert sorted(order.tolist()) == list(range(len(values)))
    assert (np.diff(bounds[order]) <= 2.0 / 1023).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 8))
def test_insert_keeps_the_best_as_a_sort_does(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.permutation(30).astype(np.int64)
    given_scores = rng.integers(0, 6, 30) / 5
    scores, places, parts = np.empty(k), np.empty(k, np.int64), np.empty((k, 3))
    found = 0

    for place in rng.permutation(30):
        part = np.full(3, given_scores[place])
        score = given_scores[place]
        found = kernels.insert(scores, places, parts, found, ids, score, place, part)

    expected = np.lexsort((ids, -given_scores))[:k]
    assert found == k
    assert places.tolist() == expected.tolist()
    assert scores.tolist() == given_scores[expected].tolist()
    assert parts[:, 2].tolist() == scores.tolist()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size_hw=st.tuples(st.integers(1, 40), st.integers(1, 80)),
)
def test_classes_are_counted_by_cell_within_a_box(seed: int, size_hw: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    label_map = rng.integers(0, 4, size_hw).astype(np.uint8)
    label_map[label_map == 3] = 255
    top, left = int(rng.integers(size_hw[0])), int(rng.integers(size_hw[1]))
    bottom, right = int(rng.integers(top, size_hw[0])) + 1, int(rng.integers(left, size_hw[1])) + 1
    runs = encode_runs(label_map)
    layout = (address_of(runs.row_offset), address_of(runs.end), address_of(runs.label))
    rows, columns = cell_edges(size_hw)
    counts = np.zeros((1, 128, 3), np.int32)

    total = kernels.count_context((top, left, bottom, right), *layout, rows, columns, counts, 0)

    inside = np.full(size_hw, 255, np.uint8)
    inside[top:bottom, left:right] = label_map[top:bottom, left:right]
    expected = [
        np.bincount(
            inside[rows[r] : rows[r + 1], columns[c] : columns[c + 1]].ravel(), minlength=256
        )[:3].tolist()
        for r in range(8)
        for c in range(16)
    ]
    assert counts[0].tolist() == expected
    assert total == counts.sum()


def random_boxes(rng: np.random.Generator, count: int) -> NDArray[np.int16]:
    low = rng.integers(0, 300, (count, 2))
    return np.concatenate([low, low + rng.integers(1, 80, (count, 2))], axis=1).astype(np.int16)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 400), by_shape=st.booleans())
def test_blocks_are_a_permutation(seed: int, count: int, by_shape: bool) -> None:
    order = block_order(random_boxes(np.random.default_rng(seed), count), by_shape)

    assert sorted(order.tolist()) == list(range(count))


def test_blocks_are_tighter_than_chance() -> None:
    boxes = random_boxes(np.random.default_rng(0), 3200)

    def hulls(order: NDArray[np.int64]) -> float:
        blocks = boxes[order].reshape(-1, kernels.BLOCK_ROWS, 4).astype(np.int64)
        sides = blocks[:, :, 2:].max(axis=1) - blocks[:, :, :2].min(axis=1)
        return float(np.prod(sides, axis=1).mean())

    assert hulls(block_order(boxes, False)) < hulls(np.arange(3200)) / 4
    assert hulls(block_order(boxes, True)) < hulls(np.arange(3200)) / 4


def test_blocks_of_things_are_alike_in_stretch_and_scale() -> None:
    boxes = random_boxes(np.random.default_rng(0), 3200)
    sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    logs = np.stack([np.log(sides[:, 0] / sides[:, 1]), np.log(sides.prod(axis=1)) / 2], axis=1)

    def spread(order: NDArray[np.int64]) -> float:
        return float(np.ptp(logs[order].reshape(-1, kernels.BLOCK_ROWS, 2), axis=1).mean())

    assert spread(block_order(boxes, True)) < 0.75 * spread(block_order(boxes, False))


def test_without_a_place_for_machine_code_it_is_compiled_anew_and_said() -> None:
    code = (
        "import logging, sys\n"
        "from scenequilt.memory_bank import kernels\n"
        "logging.basicConfig(stream=sys.stdout)\n"
        "calls = []\n"
        "def njit(**options):\n"
        "    calls.append(options)\n"
        "    if options.get('cache'):\n"
        "        raise RuntimeError('no locator available')\n"
        "    return lambda function: function\n"
        "kernels.numba.njit = njit\n"
        "assert kernels.compiled(len) is len\n"
        "assert 'cache' not in calls[1]\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "no locator available; set NUMBA_CACHE_DIR" in done.stdout


def test_an_enlarged_box_grows_by_an_eighth_at_each_side_within_the_frame() -> None:
    assert kernels.enlarge((10, 20, 26, 29), 100, 100) == (8, 18, 28, 31)
    assert kernels.enlarge((0, 95, 16, 100), 17, 100) == (0, 94, 17, 100)


@pytest.mark.parametrize(
    ("shared", "first", "second", "expected"), [(0, 0, 0, 0.0), (2, 4, 3, 0.4), (5, 5, 5, 1.0)]
)
def test_ratio(shared: int, first: int, second: int, expected: float) -> None:
    assert kernels.ratio(shared, first, second) == expected
