"""Packed masks, counts, shapes and runs against plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scenequilt.memory_bank.descriptor import (
    Descriptions,
    Runs,
    cell_counts,
    cell_edges,
    coarse_step_px,
    describe,
    encode_runs,
    largest_cell_px,
    resample_labels,
    sampling,
)
from scenequilt.memory_bank.segment import Region


def region_of(mask: NDArray[np.bool_], top: int = 0, left: int = 0) -> Region:
    return Region(0, 0, (top, left, top + mask.shape[0], left + mask.shape[1]), mask, False)


def unpack(found: Descriptions, n: int, frame_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Return mask n over the whole frame, from the documented form of the words."""
    top, left, bottom, right = (int(edge) for edge in found.frame_box[n])
    mask = np.zeros(frame_hw, np.bool_)
    at = int(found.word_offset[n])
    for y in range(top, bottom):
        for w in range(left // 64, (right - 1) // 64 + 1):
            word = int(found.words[at])
            at += 1
            for i in range(64):
                if word >> i & 1:
                    mask[y, 64 * w + i] = True
    assert at == found.word_offset[n + 1]
    return mask


def random_region(rng: np.random.Generator, size_hw: tuple[int, int]) -> Region:
    height, width = size_hw
    h, w = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
    mask = rng.random((h, w)) < rng.uniform(0.05, 1)
    mask[rng.integers(h)] = mask[:, rng.integers(w)] = True
    top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
    return region_of(mask, top, left)


def test_a_small_mask_by_hand() -> None:
    mask = np.array([[True, False, True], [False, True, False]])

    found = describe([region_of(mask, 1, 62)], (4, 70), (4, 70))

    assert found.frame_box.tolist() == [[1, 62, 3, 65]]
    assert found.frame_area.tolist() == [3]
    assert found.words.tolist() == [1 << 62, 1, 1 << 63, 0]
    assert found.word_offset.tolist() == [0, 4]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size_hw=st.tuples(st.integers(1, 70), st.integers(1, 150)),
    frame_hw=st.tuples(st.integers(1, 70), st.integers(1, 150)),
)
def test_words_are_the_mask_resampled_by_nearest_with_a_pixel_kept(
    seed: int, size_hw: tuple[int, int], frame_hw: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    regions = [random_region(rng, size_hw) for _ in range(3)]

    found = describe(regions, size_hw, frame_hw)

    for n, region in enumerate(regions):
        whole = np.zeros(size_hw, np.bool_)
        top, left, bottom, right = region.box
        whole[top:bottom, left:right] = region.mask
        rows, columns = sampling(size_hw[0], frame_hw[0]), sampling(size_hw[1], frame_hw[1])
        expected = whole[rows][:, columns]
        got = unpack(found, n, frame_hw)
        assert got.sum() == found.frame_area[n] == max(1, expected.sum())
        assert not expected.any() or np.array_equal(got, expected)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    frame_hw=st.tuples(st.integers(1, 90), st.integers(1, 150)),
)
def test_cells_never_fall_short_and_exceed_by_less_than_a_step(
    seed: int, frame_hw: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    regions = [random_region(rng, frame_hw) for _ in range(3)]

    found = describe(regions, frame_hw, frame_hw)

    step = largest_cell_px(frame_hw) / 255
    rows, columns = cell_edges(frame_hw)
    counts = cell_counts(found, frame_hw)
    for n in range(3):
        mask = unpack(found, n, frame_hw)
        plain = [
            [int(mask[rows[r] : rows[r + 1], columns[c] : columns[c + 1]].sum()) for c in range(16)]
            for r in range(8)
        ]
        assert counts[n].tolist() == plain
        over = found.cells[n] * step - counts[n]
        assert over.min() >= -1e-9
        assert over.max() < step


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_shape_is_the_mask_at_32_by_32_points_of_its_box(seed: int) -> None:
    region = random_region(np.random.default_rng(seed), (90, 90))

    found = describe([region], (90, 90), (90, 90))

    height, width = region.mask.shape
    rows, columns = (2 * np.arange(32) + 1) * height // 64, (2 * np.arange(32) + 1) * width // 64
    bits = np.unpackbits(found.shape[0].view(np.uint8), bitorder="little").reshape(32, 32)
    assert np.array_equal(bits.astype(np.bool_), region.mask[rows][:, columns])


def test_a_region_between_the_frames_pixels_keeps_one() -> None:
    mask = np.ones((1, 1), np.bool_)

    found = describe([region_of(mask, 999, 1999)], (1000, 2000), (10, 20))

    assert found.frame_box.tolist() == [[9, 19, 10, 20]]
    assert found.frame_area.tolist() == [1]


def test_no_regions_have_empty_descriptions() -> None:
    found = describe([], (10, 10), (10, 10))

    assert len(found) == 0
    assert found.cells.shape == (0, 8, 16)
    assert found.word_offset.tolist() == [0]


def plain_labels(runs: Runs) -> NDArray[np.uint8]:
    """Draw every run, one after another, from the documented form."""
    height, width = len(runs.row_offset) - 1, int(runs.end[-1])
    label_map = np.empty((height, width), np.uint8)
    for y in range(height):
        x = 0
        for j in range(int(runs.row_offset[y]), int(runs.row_offset[y + 1])):
            label_map[y, x : int(runs.end[j])] = runs.label[j]
            x = int(runs.end[j])
    return label_map


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size_hw=st.tuples(st.integers(1, 40), st.integers(1, 90)),
    classes=st.integers(1, 4),
)
def test_runs_there_and_back(seed: int, size_hw: tuple[int, int], classes: int) -> None:
    rng = np.random.default_rng(seed)
    label_map = rng.integers(0, classes, size_hw).astype(np.uint8)
    label_map[rng.random(size_hw) < 0.2] = 255

    runs = encode_runs(label_map)

    assert np.array_equal(plain_labels(runs), label_map)
    assert len(runs.row_offset) == size_hw[0] + 1
    assert (runs.end[runs.row_offset[1:] - 1] == size_hw[1]).all()


def test_runs_by_hand() -> None:
    runs = encode_runs(np.array([[3, 3, 255], [7, 7, 7]], np.uint8))

    assert runs.row_offset.tolist() == [0, 2, 3]
    assert runs.end.tolist() == [2, 3, 3]
    assert runs.label.tolist() == [3, 255, 7]


def test_labels_are_resampled_as_masks_are() -> None:
    label_map = np.arange(24, dtype=np.uint8).reshape(4, 6)

    assert resample_labels(label_map, (2, 3)).tolist() == [[7, 9, 11], [19, 21, 23]]
    assert resample_labels(label_map, (4, 6)) is label_map


@pytest.mark.parametrize(
    ("frame_hw", "step"),
    [((4, 4), 1), ((2048, 4080), 1), ((2048, 4096), 2), ((32767, 32767), 129)],
)
def test_a_cell_of_any_frame_counts_in_16_bits(frame_hw: tuple[int, int], step: int) -> None:
    assert coarse_step_px(frame_hw) == step
    assert -(-largest_cell_px(frame_hw) // step) < 1 << 16


def test_an_empty_mask_is_refused() -> None:
    regions = [region_of(np.ones((2, 2), np.bool_)), region_of(np.zeros((2, 2), np.bool_))]

    with pytest.raises(ValueError, match=r"region 1 with box \(0, 0, 2, 2\) has no pixel"):
        describe(regions, (9, 9), (9, 9))


def test_a_box_outside_the_layout_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"box \(8, 0, 10, 2\) is empty or leaves the layout of 9x9"
    ):
        describe([region_of(np.ones((2, 2), np.bool_), 8, 0)], (9, 9), (9, 9))


def test_a_frame_that_run_ends_cannot_count_is_refused() -> None:
    with pytest.raises(ValueError, match=r"frame is \(10, 40000\), expected sides of 1 to 32767"):
        describe([], (10, 10), (10, 40000))


def test_a_label_map_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(H, W\) uint8, got \(2, 2\) int32"):
        encode_runs(np.zeros((2, 2), np.int32))
