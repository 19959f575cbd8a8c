"""Ratings against masks that are really warped, and windows against plain counting."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.alignment.affine import Affine, compose, invert, numbers_of, rotation, scaling
from scenequilt.alignment.affine import translation as moved_by
from scenequilt.alignment.fit import moments_of
from scenequilt.alignment.fit_kernels import Matrix, Place
from scenequilt.alignment.rating_kernels import (
    LARGEST_GRID,
    Asked,
    Given,
    Grid,
    count_between,
    rate,
)
from scenequilt.memory_bank.kernels import Array, compiled

SIZE = (48, 64)


@compiled
def rating_of(matrix: Matrix, asked: Asked, given: Given, at_column: Array) -> float:
    return rate(matrix, asked, given, at_column)


@compiled
def counted(given: Given, top: int, bottom: int, left: int, right: int) -> int:
    return count_between(given, top, bottom, left, right)


def whole(mask: NDArray[np.bool_]) -> tuple[Place, int]:
    """Return what fits know of a mask over the whole of a frame."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    moments = moments_of(mask, (0, 0, *mask.shape))
    return Place(box, moments.numbers, *SIZE, False), int(mask.sum())


def asked_for(mask: NDArray[np.bool_], excess_cost: float) -> Asked:
    """Ask for a mask, sampled at every pixel of its box, which is at most a grid large."""
    place, area_px = whole(mask)
    top, left, bottom, right = place.box
    rows, columns = np.nonzero(mask[top:bottom, left:right])
    grid = Grid(float(top), float(left), bottom - top, right - left, 1.0, 1.0)
    starts = np.searchsorted(rows, np.arange(grid.rows + 1)).astype(np.int32)
    layout = Grid(0.0, 0.0, *SIZE, 1.0, 1.0)
    return Asked(place, area_px, False, grid, starts, columns.astype(np.int32), layout, excess_cost)


def given_by(mask: NDArray[np.bool_]) -> Given:
    place, area_px = whole(mask)
    return Given(place, area_px, mask.view(np.uint8), 0, 0)


def blob(seed: int) -> NDArray[np.bool_]:
    """Return a connected shape somewhere in the frame."""
    rng = np.random.default_rng(seed)
    drawn = np.zeros(SIZE, np.uint8)
    corners = rng.integers((4, 4), (60, 44), (7, 2)).astype(np.int32)
    cv2.fillPoly(drawn, [cv2.convexHull(corners)], 1)
    return drawn.astype(np.bool_)


def tversky(asked: NDArray[np.bool_], there: NDArray[np.bool_], excess_cost: float) -> float:
    shared = int((asked & there).sum())
    return float(shared / (asked.sum() + excess_cost * (there & ~asked).sum()))


@pytest.mark.parametrize("excess_cost", [1.0, 0.4])
@pytest.mark.parametrize(
    "bend",
    [
        moved_by(3, -2),
        moved_by(-20, 9),
        compose(moved_by(8, 0), scaling(-1, 1, (32, 0))),
        rotation(0.2, (32, 24)),
    ],
    ids=["moved", "moved out", "mirrored", "turned"],
)
def test_a_rating_is_that_of_the_warped_mask(bend: Affine, excess_cost: float) -> None:
    asked, mask = blob(1), blob(2)

    rating = rating_of(
        numbers_of(bend),
        asked_for(asked, excess_cost),
        given_by(mask),
        np.empty(LARGEST_GRID, np.int64),
    )

    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]] + 0.5
    (a, b, u), (c, d, v) = invert(bend).tolist()
    rows, columns = np.floor(c * x + d * y + v).astype(int), np.floor(a * x + b * y + u).astype(int)
    inside = (rows >= 0) & (rows < SIZE[0]) & (columns >= 0) & (columns < SIZE[1])
    there = np.zeros(SIZE, np.bool_)
    there[inside] = mask[rows[inside], columns[inside]]
    assert rating == pytest.approx(tversky(asked, there, excess_cost), abs=0.02)


def test_a_map_that_misses_the_query_is_worth_nothing() -> None:
    asked, mask = np.zeros(SIZE, np.bool_), np.zeros(SIZE, np.bool_)
    asked[:8, :8] = mask[30:40, 40:60] = True

    rating = rating_of(
        numbers_of(moved_by(0, 0)),
        asked_for(asked, 1.0),
        given_by(mask),
        np.empty(LARGEST_GRID, np.int64),
    )

    assert rating == 0


@pytest.mark.parametrize("seed", range(4))
def test_pixels_between_rows_and_columns_are_counted_either_way(seed: int) -> None:
    given = given_by(blob(seed))
    top, left, bottom, right = given.place.box
    rng = np.random.default_rng(seed)

    for _ in range(50):
        first_row, end_row = sorted(rng.integers(top, bottom + 1, 2).tolist())
        first_column, end_column = sorted(rng.integers(left, right + 1, 2).tolist())
        window = given.mask[first_row:end_row, first_column:end_column]
        found = counted(given, first_row, end_row, first_column, end_column)
        assert found == window.sum()
