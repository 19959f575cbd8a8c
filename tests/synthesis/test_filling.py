"""Filling: holes get texture of their class, and nothing else changes but their rim."""

import numpy as np
import pytest

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.filling import (
    MAX_TINT,
    REACH_PX,
    TILES_PX,
    EarlierFill,
    Filled,
    fill_holes,
)

SIZE = (80, 100)


@pytest.fixture
def image() -> np.ndarray:
    noise = np.random.default_rng(0).integers(-20, 21, (*SIZE, 3))
    base = np.full((*SIZE, 3), 120)
    base[40:] = (200, 60, 60)
    return np.asarray(np.clip(base + noise, 0, 255), np.uint8)


@pytest.fixture
def label_map() -> np.ndarray:
    labels = np.zeros(SIZE, np.uint8)
    labels[40:] = 1
    return labels


def fill(
    image: np.ndarray, labels: np.ndarray, hole: np.ndarray, wanted: int, seed: int = 0
) -> Filled:
    labels = np.where(hole, VOID, labels).astype(np.uint8)
    return fill_holes(image, labels, hole, np.full(SIZE, wanted, np.uint8), seed=seed)


def hole_at(rows: slice, columns: slice) -> np.ndarray:
    hole = np.zeros(SIZE, np.bool_)
    hole[rows, columns] = True
    return hole


def test_a_hole_gets_the_colour_and_the_grain_of_its_class(
    image: np.ndarray, label_map: np.ndarray
) -> None:
    hole = hole_at(slice(5, 20), slice(40, 70))

    filled = fill(image, label_map, hole, 0)

    assert (filled.textured == hole).all()
    assert (filled.label_map[hole] == 0).all()
    assert abs(filled.image[hole].mean() - 120) < 6
    assert filled.image[hole].std() > 6, "not a smear"


def test_outside_only_the_rim_changes_and_is_said_to(
    image: np.ndarray, label_map: np.ndarray
) -> None:
    hole = hole_at(slice(5, 20), slice(40, 70))

    filled = fill(image, label_map, hole, 0)

    changed = (filled.image != image).any(axis=2)
    assert (changed & ~hole == filled.mixed).all()
    rows, columns = np.nonzero(filled.mixed)
    assert rows.max() < 20 + TILES_PX[24] and columns.min() >= 40 - TILES_PX[24]


def test_a_class_that_is_nowhere_is_replaced_by_the_nearest_and_labelled_so(
    image: np.ndarray, label_map: np.ndarray
) -> None:
    hole = hole_at(slice(60, 70), slice(40, 60))

    filled = fill(image, label_map, hole, 7)

    assert (filled.textured == hole).all()
    assert (filled.label_map[hole] == 1).all()
    assert filled.image[hole].std() > 6


def test_a_speck_is_inpainted(image: np.ndarray, label_map: np.ndarray) -> None:
    hole = hole_at(slice(10, 12), slice(10, 12))

    assert (fill(image, label_map, hole, 0).inpainted == hole).all()


def test_what_is_inpainted_is_never_part_of_an_object(
    image: np.ndarray, label_map: np.ndarray
) -> None:
    hole = hole_at(slice(39, 41), slice(10, 12))
    open_labels = np.where(hole, VOID, label_map).astype(np.uint8)

    by_stuff = fill_holes(image, open_labels, hole, open_labels, seed=0, stuff=[1])
    without = fill_holes(image, open_labels, hole, open_labels, seed=0, stuff=[])

    assert (by_stuff.label_map[hole] == 1).all()
    assert (without.label_map[hole] == VOID).all()


def test_a_narrow_class_is_laid_in_smaller_patches(image: np.ndarray) -> None:
    labels = np.zeros(SIZE, np.uint8)
    labels[30:42] = 1
    hole = hole_at(slice(30, 42), slice(40, 60))

    filled = fill(image, labels, hole, 1)

    assert (filled.textured == hole).all()
    assert (filled.label_map[hole] == 1).all()


def test_without_holes_nothing_changes(image: np.ndarray, label_map: np.ndarray) -> None:
    filled = fill(image, label_map, np.zeros(SIZE, np.bool_), 0)

    assert np.array_equal(filled.image, image)


def test_a_picture_of_holes_only_is_left(image: np.ndarray, label_map: np.ndarray) -> None:
    filled = fill(image, label_map, np.ones(SIZE, np.bool_), 0)

    assert not filled.textured.any() and not filled.inpainted.any()


def test_the_same_seed_fills_alike(image: np.ndarray, label_map: np.ndarray) -> None:
    hole = hole_at(slice(5, 30), slice(20, 90))

    first, second = (fill(image, label_map, hole, 0, seed=4) for _ in range(2))

    assert np.array_equal(first.image, second.image)


def test_another_seed_fills_differently(image: np.ndarray) -> None:
    labels = np.zeros(SIZE, np.uint8)
    hole = hole_at(slice(5, 20), slice(60, 90))

    first, second = (fill(image, labels, hole, 0, seed=seed) for seed in (1, 2))

    assert not np.array_equal(first.image, second.image)


def test_what_was_beside_a_hole_keeps_half_of_its_weight() -> None:
    black_or_white = np.random.default_rng(2).integers(0, 2, (*SIZE, 1)).astype(np.uint8) * 255
    image = np.repeat(black_or_white, 3, axis=2)
    holes = hole_at(slice(5, 20), slice(20, 36)) | hole_at(slice(5, 20), slice(40, 70))

    filled = fill(image, np.zeros(SIZE, np.uint8), holes, 0)

    after, before = filled.image[filled.mixed], image[filled.mixed]
    assert (after != before).any()
    most = (255 + MAX_TINT) / 2 + 1
    assert np.abs(after.astype(float) - before).max() <= most


def fill_again(
    image: np.ndarray, labels: np.ndarray, hole: np.ndarray, earlier: EarlierFill
) -> Filled:
    labels = np.where(hole, VOID, labels).astype(np.uint8)
    wanted = np.zeros(SIZE, np.uint8)
    return fill_holes(image, labels, hole, wanted, seed=0, earlier=earlier)


@pytest.fixture
def two_holes() -> np.ndarray:
    holes: np.ndarray = hole_at(slice(5, 20), slice(8, 30))
    return np.asarray(holes | hole_at(slice(8, 22), slice(70, 90)))


def filled_before(image: np.ndarray, labels: np.ndarray, hole: np.ndarray) -> EarlierFill:
    open_labels = np.where(hole, VOID, labels).astype(np.uint8)
    return EarlierFill(image, open_labels, hole, fill(image, labels, hole, 0))


def test_a_hole_with_nothing_new_around_it_stays_as_it_was(
    image: np.ndarray, label_map: np.ndarray, two_holes: np.ndarray
) -> None:
    earlier = filled_before(image, label_map, two_holes)
    changed = image.copy()
    changed[2:5, 78:84] = 10

    filled = fill_again(changed, label_map, two_holes, earlier)

    assert np.array_equal(filled.image[:, :50], earlier.filled.image[:, :50])
    assert (filled.textured | filled.inpainted)[two_holes].all()
    assert np.array_equal(filled.mixed[:, :50], earlier.filled.mixed[:, :50])
    assert not np.array_equal(filled.image[8:22, 70:90], earlier.filled.image[8:22, 70:90])


def test_without_a_change_every_hole_stays(
    image: np.ndarray, label_map: np.ndarray, two_holes: np.ndarray
) -> None:
    earlier = filled_before(image, label_map, two_holes)

    filled = fill_again(image, label_map, two_holes, earlier)

    assert np.array_equal(filled.image, earlier.filled.image)
    assert np.array_equal(filled.label_map, earlier.filled.label_map)


def test_a_hole_that_has_gone_leaves_nothing_behind(
    image: np.ndarray, label_map: np.ndarray, two_holes: np.ndarray
) -> None:
    earlier = filled_before(image, label_map, two_holes)
    left = two_holes.copy()
    left[:, 60:] = False

    filled = fill_again(image, label_map, left, earlier)

    assert np.array_equal(filled.image[:, 50:], image[:, 50:])
    assert np.array_equal(filled.image[:, :50], earlier.filled.image[:, :50])


def test_a_pixel_that_was_mixed_already_is_not_mixed_again(
    image: np.ndarray, label_map: np.ndarray
) -> None:
    hole = hole_at(slice(5, 20), slice(8, 30))
    earlier = filled_before(image, label_map, hole)
    beside = hole | hole_at(slice(5, 20), slice(30 + 2 * REACH_PX, 70))

    filled = fill_again(image, label_map, beside, earlier)

    assert np.array_equal(filled.image[:, :30], earlier.filled.image[:, :30])
    kept = earlier.filled.mixed
    kept[:, 30 + REACH_PX :] = False
    assert np.array_equal(filled.image[kept], earlier.filled.image[kept])
