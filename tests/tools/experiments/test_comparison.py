"""Comparing trainings: IoU by hand, pairing by law, coverage of the bounds by simulation."""

import numpy as np
import pytest

from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.tools.experiments.comparison import MEAN, blocks_of, compare

TWO = Taxonomy(
    "two", (ClassInfo(0, "road", (0, 0, 1), "stuff"), ClassInfo(1, "car", (0, 1, 0), "thing"))
)


def _picture(road: int, road_as_car: int, car: int, car_as_road: int) -> list[list[int]]:
    return [[road, road_as_car, 0], [car_as_road, car, 0]]


def _noisy(
    level: float, rng: np.random.Generator, seeds: int = 3, pictures: int = 40
) -> np.ndarray:
    """Return counts of pictures of 100 pixels a class of which about a share is seen rightly."""
    right = rng.binomial(100, level, (seeds, pictures, 2))
    table = np.zeros((seeds, pictures, 2, 3), np.int64)
    table[..., 0, 0], table[..., 0, 1] = right[..., 0], 100 - right[..., 0]
    table[..., 1, 1], table[..., 1, 0] = right[..., 1], 100 - right[..., 1]
    return table


def test_iou_is_of_all_pictures_together_and_the_mean_over_seeds() -> None:
    table = np.array(
        [
            [_picture(6, 2, 1, 1), _picture(4, 0, 2, 0)],
            [_picture(8, 0, 2, 0), _picture(4, 0, 2, 0)],
        ]
    )

    found = compare({"real": table}, TWO, [], np.array([0, 1]))

    # Seed 0: road 10 right, 2 as car, 1 car as road; car 3 right. Seed 1: all right.
    assert found.of_seeds["real"]["road"] == pytest.approx((10 / 13, 1.0))
    assert found.of_seeds["real"]["car"] == pytest.approx((3 / 6, 1.0))
    assert found.iou["real"]["car"].value == pytest.approx(0.75)
    assert found.iou["real"][MEAN].value == pytest.approx((10 / 13 + 3 / 6 + 2) / 4)


def test_a_class_that_no_photograph_shows_is_left_out() -> None:
    table = np.array([[_picture(6, 2, 0, 0)]])

    found = compare({"real": table}, TWO, [], np.array([0]))

    assert list(found.iou["real"]) == ["road", MEAN]


def test_differences_are_paired() -> None:
    table = np.stack([_noisy(0.7, np.random.default_rng(0))] * 1)[0]

    found = compare({"a": table, "b": table}, TWO, [("a", "b")], np.arange(40))

    for entry in found.differences["a", "b"].values():
        assert (entry.interval.value, entry.interval.low, entry.interval.high) == (0, 0, 0)
        assert entry.verdict == "open"
    assert found.iou["a"][MEAN].low < found.iou["a"][MEAN].high


def test_what_is_better_is_found_in_both_directions() -> None:
    rng = np.random.default_rng(1)
    arms = {"a": _noisy(0.8, rng), "b": _noisy(0.7, rng)}

    found = compare(arms, TWO, [("a", "b"), ("b", "a")], np.arange(40))

    assert found.differences["a", "b"]["car"].verdict == "better"
    assert found.differences["b", "a"]["car"].verdict == "worse"
    assert found.differences["a", "b"]["car"].interval.value == pytest.approx(
        -found.differences["b", "a"]["car"].interval.value
    )


def test_two_seeds_decide_nothing() -> None:
    rng = np.random.default_rng(1)
    arms = {"a": _noisy(0.9, rng, seeds=2), "b": _noisy(0.5, rng, seeds=2)}

    found = compare(arms, TWO, [("a", "b")], np.arange(40))

    assert found.differences["a", "b"]["car"].interval.low > 0
    assert found.differences["a", "b"]["car"].verdict == "open"


def test_a_seed_that_says_otherwise_leaves_it_open() -> None:
    rng = np.random.default_rng(1)
    better, worse = _noisy(0.9, rng, seeds=4), _noisy(0.5, rng, seeds=4)
    better[3], worse[3] = worse[3].copy(), better[3].copy()

    found = compare({"a": better, "b": worse}, TWO, [("a", "b")], np.arange(40))

    assert found.differences["a", "b"]["car"].interval.value > 0
    assert found.differences["a", "b"]["car"].verdict == "open"


def test_equal_arms_are_seldom_told_apart() -> None:
    told = 0
    for trial in range(40):
        rng = np.random.default_rng(trial)
        arms = {"a": _noisy(0.7, rng), "b": _noisy(0.7, rng)}
        found = compare(arms, TWO, [("a", "b")], np.arange(40), resamples=300)
        told += found.differences["a", "b"]["car"].verdict != "open"

    assert told <= 6, "of 40 differences that are none, 5 % are 2"


def test_bounds_of_three_seeds_are_those_of_students_t() -> None:
    """All pictures alike, so that only the seeds vary; t of two degrees of freedom is 4.303."""

    def arm(*right: int) -> np.ndarray:
        pictures = [[[100, 0, 0], [0, number, 100 - number]] for number in right]
        return np.array([[picture] * 4 for picture in pictures])

    found = compare({"a": arm(60, 70, 80), "b": arm(50, 50, 50)}, TWO, [("a", "b")], np.arange(4))

    # What is no car is never taken for one: the IoU of cars is the share that is seen rightly.
    car = found.differences["a", "b"]["car"]
    half = 4.3027 * 0.1 / 3**0.5
    assert car.of_seeds == pytest.approx((0.1, 0.2, 0.3))
    assert car.interval.value == pytest.approx(0.2)
    assert (car.interval.low, car.interval.high) == pytest.approx(
        (0.2 - half, 0.2 + half), abs=1e-4
    )
    assert car.verdict == "open", "that three of three agree is chance in one of four"
    iou = found.iou["a"]["car"]
    assert (iou.low, iou.high) == pytest.approx((0.7 - half, 0.7 + half), abs=1e-4)


def test_a_share_has_bounds_between_0_and_1() -> None:
    table = np.array([[_picture(100, 0, number, 100 - number)] * 4 for number in (10, 90, 100)])

    interval = compare({"a": table}, TWO, [], np.arange(4)).iou["a"]["car"]

    assert (interval.low, interval.high) == (0, 1)


def test_chance_between_seeds_is_seldom_taken_for_a_difference() -> None:
    told = 0
    for trial in range(60):
        rng = np.random.default_rng(trial)
        arms = {
            name: np.concatenate([_noisy(level, rng, 1) for level in rng.normal(0.7, 0.03, 3)])
            for name in ("a", "b")
        }
        found = compare(arms, TWO, [("a", "b")], np.arange(40), resamples=100)
        told += found.differences["a", "b"]["car"].verdict != "open"

    assert told <= 7, "of 60 differences that are none, 5 % are 3"


def test_blocks_are_neighbours_of_one_film() -> None:
    sequences = ["a"] * 7 + ["b"] * 6

    assert blocks_of(sequences).tolist() == [0] * 5 + [1] * 2 + [2] * 5 + [3]


def test_pictures_that_show_the_same_count_as_few() -> None:
    alike = np.repeat(_noisy(0.7, np.random.default_rng(0), pictures=8), 5, axis=1)
    # Pictures differ among themselves, so that resampling them matters.
    alike[:, :20, 1] = [[90, 10, 0]]

    single = compare({"a": alike}, TWO, [], np.arange(40)).iou["a"]["car"]
    blocks = compare({"a": alike}, TWO, [], np.arange(40) // 5).iou["a"]["car"]

    assert blocks.high - blocks.low > 1.5 * (single.high - single.low)


def test_arms_that_do_not_fit_are_refused() -> None:
    table = _noisy(0.7, np.random.default_rng(0))
    with pytest.raises(ValueError, match="arms must have one shape"):
        compare({"a": table, "b": table[:2]}, TWO, [], np.arange(40))
    with pytest.raises(ValueError, match="40 pictures and 2 classes, but there are 39 blocks"):
        compare({"a": table}, TWO, [], np.arange(39))
    with pytest.raises(ValueError, match="no pixel was counted"):
        compare({"a": np.zeros_like(table)}, TWO, [], np.arange(40))
