"""Layout fidelity: scores counted by hand, by another route, and of a segmenter that guesses."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.tools.evaluation.segmentation_score import ConfusionMatrix


def taxonomy_of(*names: str) -> Taxonomy:
    return Taxonomy(
        "few",
        tuple(ClassInfo(place, name, (place, 0, 0), "stuff") for place, name in enumerate(names)),
    )


FEW = taxonomy_of("sky", "road", "car", "whale")

TRUTH = np.array(
    [
        [0, 0, 0, 0],
        [0, 0, 2, 2],
        [1, 1, 1, 1],
        [1, 1, VOID, VOID],
    ],
    np.uint8,
)
SEEN = np.array(
    [
        [0, 0, 0, 0],
        [0, 2, 2, 0],
        [1, 1, 1, 3],
        [1, VOID, 0, 2],
    ],
    np.uint8,
)
"""Right: sky 5 of 6, car 1 of 2, road 4 of 6. Wrong outside: sky 1, car 1, whale 1, no class 1."""


def test_a_picture_counted_by_hand() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(TRUTH, SEEN)

    score = matrix.score(FEW)

    assert score.pixels == 14
    assert score.iou == pytest.approx({"sky": 5 / 7, "road": 4 / 6, "car": 1 / 3})
    assert score.accuracy == pytest.approx({"sky": 5 / 6, "road": 4 / 6, "car": 1 / 2})
    assert score.pixel_accuracy == pytest.approx(10 / 14)
    assert score.mean_accuracy == pytest.approx((5 / 6 + 4 / 6 + 1 / 2) / 3)
    assert score.mean_iou.value == pytest.approx((5 / 7 + 4 / 6 + 1 / 3) / 3)


def test_the_matrix_of_a_picture_has_a_column_for_no_class() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(TRUTH, SEEN)

    assert matrix.pictures.tolist() == [
        [[5, 0, 1, 0, 0], [0, 4, 0, 1, 1], [1, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    ]


def test_pictures_keep_their_own_matrix_and_pixels_add_up() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(TRUTH, SEEN)
    matrix.add(np.full((2, 3), 3, np.uint8), np.full((2, 3), 1, np.uint8))

    assert matrix.pictures.shape == (2, 4, 5)
    assert matrix.pictures.sum(axis=(1, 2)).tolist() == [14, 6]
    assert matrix.pictures[1, 3, 1] == 6
    assert matrix.counted_px == 20


def test_pictures_of_many_classes_take_little_memory() -> None:
    matrix = ConfusionMatrix(171)
    for place in range(40):
        matrix.add(TRUTH + np.uint8(place), SEEN + np.uint8(place))

    assert len(pickle.dumps(matrix)) < 40 * 10_000, "a whole table has 235 kB"


def test_one_picture_is_scored_over_the_classes_of_its_layout() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(np.zeros((2, 2), np.uint8), np.array([[0, 0], [0, 3]], np.uint8))
    matrix.add(TRUTH, SEEN)

    assert matrix.of_picture(0) == (0.75, 0.75)
    assert matrix.of_picture(1) == pytest.approx(((5 / 7 + 4 / 6 + 1 / 3) / 3, 10 / 14))


def test_a_picture_of_void_alone_has_nothing_wrong() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(np.full((2, 2), VOID, np.uint8), np.zeros((2, 2), np.uint8))

    assert matrix.of_picture(0) == (1.0, 1.0)


def test_pictures_share_one_matrix() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(np.full((1, 3), 0, np.uint8), np.array([[0, 0, 1]], np.uint8))
    matrix.add(np.full((1, 1), 1, np.uint8), np.array([[1]], np.uint8))

    score = matrix.score(FEW)

    assert score.iou == pytest.approx({"sky": 2 / 3, "road": 1 / 2})
    assert len(matrix) == 2


def test_what_is_seen_as_asked_scores_one() -> None:
    matrix = ConfusionMatrix(4)
    for _ in range(3):
        matrix.add(TRUTH, TRUTH)

    score = matrix.score(FEW)

    assert (score.pixel_accuracy, score.mean_accuracy) == (1, 1)
    assert (score.mean_iou.low, score.mean_iou.value, score.mean_iou.high) == (1, 1, 1)


@pytest.mark.parametrize("classes", [2, 5, 19])
def test_random_numbers_score_what_chance_gives(classes: int) -> None:
    generator = np.random.default_rng(classes)
    matrix = ConfusionMatrix(classes)
    for _ in range(8):
        truth, seen = generator.integers(0, classes, (2, 200, 250), dtype=np.uint8)
        matrix.add(truth, seen)

    score = matrix.score(taxonomy_of(*(f"c{place}" for place in range(classes))))

    assert score.pixel_accuracy == pytest.approx(1 / classes, abs=0.003)
    assert score.mean_accuracy == pytest.approx(1 / classes, abs=0.003)
    assert score.mean_iou.value == pytest.approx(1 / (2 * classes - 1), abs=0.003)
    assert max(score.iou.values()) < 1 / (2 * classes - 1) + 0.01


def test_scores_equal_a_slow_count() -> None:
    generator = np.random.default_rng(7)
    truths = generator.choice(np.array([0, 1, 3, VOID], np.uint8), (5, 12, 9))
    seen = generator.choice(np.array([0, 1, 2, 3, 9, VOID], np.uint8), (5, 12, 9))
    matrix = ConfusionMatrix(4)
    for one, other in zip(truths, seen, strict=True):
        matrix.add(one, other)

    score = matrix.score(FEW)

    counted = truths != VOID
    slow = {}
    for class_id, entry in enumerate(FEW.classes):
        wanted, found = truths == class_id, (seen == class_id) & counted
        if wanted.any():
            slow[entry.name] = (wanted & found).sum() / (wanted | found).sum()
    assert score.iou == pytest.approx(slow)
    assert score.mean_iou.value == pytest.approx(np.mean(list(slow.values())))
    assert score.pixel_accuracy == pytest.approx((truths == seen)[counted].mean())


def _noisy(
    share_right: Callable[[int], float],
) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    generator = np.random.default_rng(11)
    pairs = []
    for place in range(30):
        truth = generator.integers(0, 4, (16, 16), dtype=np.uint8)
        wrong = generator.random((16, 16)) > share_right(place)
        pairs.append((truth, np.where(wrong, (truth + 1) % 4, truth).astype(np.uint8)))
    return pairs


def _score_of(pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]], seed: int = 0) -> object:
    matrix = ConfusionMatrix(4)
    for truth, seen in pairs:
        matrix.add(truth, seen)
    return matrix.score(FEW, seed=seed, resamples=200)


def test_the_order_of_pictures_changes_nothing() -> None:
    pairs = _noisy(lambda place: place / 30)

    assert _score_of(pairs) == _score_of(pairs[::-1])


def test_bounds_are_wider_where_pictures_differ_more() -> None:
    alike, unlike = ConfusionMatrix(4), ConfusionMatrix(4)
    for truth, seen in _noisy(lambda place: 0.5):
        alike.add(truth, seen)
    for truth, seen in _noisy(lambda place: place % 2):
        unlike.add(truth, seen)

    narrow, wide = alike.score(FEW).mean_iou, unlike.score(FEW).mean_iou

    assert narrow.low < narrow.value < narrow.high
    assert wide.high - wide.low > 4 * (narrow.high - narrow.low)


def test_a_class_of_one_picture_does_not_count_where_it_is_not_drawn() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(np.full((2, 2), 2, np.uint8), np.zeros((2, 2), np.uint8))
    for _ in range(3):
        matrix.add(np.full((2, 2), 1, np.uint8), np.ones((2, 2), np.uint8))

    bounds = matrix.score(FEW).mean_iou

    assert bounds.value == 0.5
    assert bounds.high == 1.0, "a resample without the car has only the road"


@pytest.mark.parametrize(
    ("truth", "seen", "message"),
    [
        (np.zeros((2, 2), np.int32), SEEN, r"truth must be \(H, W\) uint8, got \(2, 2\) int32"),
        (TRUTH, np.zeros(4, np.uint8), r"seen must be \(H, W\) uint8, got \(4,\) uint8"),
        (TRUTH, np.zeros((4, 5), np.uint8), r"seen must be \(4, 4\) like truth, got \(4, 5\)"),
        (np.full((4, 4), 9, np.uint8), SEEN, r"truth holds class id 9, but there are 4 classes"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    truth: NDArray[np.uint8], seen: NDArray[np.uint8], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ConfusionMatrix(4).add(truth, seen)


def test_another_taxonomy_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="'few' has 4 classes, but 11 were counted"):
        ConfusionMatrix(11).score(FEW)


@pytest.mark.parametrize("classes", [0, 256])
def test_a_number_of_classes_that_cannot_be_is_refused(classes: int) -> None:
    with pytest.raises(ValueError, match=f"classes must be 1 to 255, got {classes}"):
        ConfusionMatrix(classes)


def test_nothing_counted_has_no_score() -> None:
    matrix = ConfusionMatrix(4)
    matrix.add(np.full((2, 2), VOID, np.uint8), TRUTH[:2, :2])

    with pytest.raises(ValueError, match="no pixel was counted in 1 pictures; add a layout"):
        matrix.score(FEW)
