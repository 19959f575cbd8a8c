"""Painting ranks of classes: the published order, names of other datasets, counts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenequilt.memory_bank.taxonomy import ClassInfo, Kind, Taxonomy
from scenequilt.ordering.class_order import BACK_TO_FRONT, class_ranks, class_ranks_from_counts

CITYSCAPES: tuple[tuple[str, Kind], ...] = (
    ("road", "stuff"),
    ("sidewalk", "stuff"),
    ("building", "stuff"),
    ("wall", "stuff"),
    ("fence", "stuff"),
    ("pole", "thing"),
    ("traffic_light", "thing"),
    ("traffic_sign", "thing"),
    ("vegetation", "stuff"),
    ("terrain", "stuff"),
    ("sky", "stuff"),
    ("person", "thing"),
    ("rider", "thing"),
    ("car", "thing"),
    ("truck", "thing"),
    ("bus", "thing"),
    ("train", "thing"),
    ("motorcycle", "thing"),
    ("bicycle", "thing"),
)

# Row behind, column in front, in the order of CITYSCAPES: constants published with Qi et al. 2018.
COUNTS = """
0 681 29 0 3 83 0 5 33 76 0 744 9 4949 64 104 6 0 115
3024 0 58 3 8 162 0 0 35 3 0 684 0 1186 0 0 1 2 156
1009 1968 0 69 256 117 11 106 5864 47 476 720 29 3671 83 99 59 0 102
6 225 5 0 6 4 0 0 24 5 0 5 0 29 0 0 0 0 1
31 253 30 12 0 7 0 1 66 8 0 12 0 52 1 0 0 0 0
3 30 9 0 1 0 0 0 8 1 0 1 0 0 0 0 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
1 0 3 0 0 1 0 0 1 0 0 0 0 2 0 0 0 0 0
418 543 1831 103 262 102 5 90 0 177 449 226 15 2189 74 104 37 0 8
370 190 0 4 0 3 0 0 22 0 0 0 0 65 0 0 0 0 0
0 0 2472 0 0 13 2 12 2394 0 0 13 0 15 3 1 0 0 0
76 192 11 0 0 1 0 0 3 0 0 0 0 12 0 1 0 0 5
1 0 2 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0
2459 222 66 1 6 10 0 2 125 7 0 67 4 0 9 0 0 0 15
30 0 5 0 0 0 0 1 3 0 0 5 0 22 0 0 0 0 0
44 0 1 0 0 0 0 0 2 0 0 2 0 5 0 0 0 0 1
4 1 3 0 0 1 0 0 1 0 0 3 0 0 0 1 0 0 0
0 0 0 0 0 0 0 0 0 0 0 0 2 0 0 0 0 0 0
41 96 9 0 0 2 0 0 1 0 0 4 2 6 0 0 0 0 0
"""

PUBLISHED_ORDER = [
    "sky",
    "building",
    "terrain",
    "wall",
    "sidewalk",
    "road",
    "fence",
    "vegetation",
    "motorcycle",
    "bicycle",
    "truck",
    "car",
    "bus",
    "train",
    "person",
    "pole",
    "rider",
    "traffic_sign",
    "traffic_light",
]


def taxonomy_of(*classes: tuple[str, Kind]) -> Taxonomy:
    entries = (
        ClassInfo(number, name, (0, 0, 0), kind) for number, (name, kind) in enumerate(classes)
    )
    return Taxonomy("test", tuple(entries))


def rank_of(name: str, kind: Kind) -> float:
    return float(class_ranks(taxonomy_of((name, kind)))[0])


def published_counts() -> np.ndarray:
    return np.array([line.split() for line in COUNTS.split("\n") if line], np.int64)


def test_published_counts_without_prior_give_the_published_order() -> None:
    ranks = class_ranks_from_counts(published_counts(), prior_pairs=0)

    names = [CITYSCAPES[class_id][0] for class_id in np.argsort(ranks)]
    assert names == PUBLISHED_ORDER


def test_ranks_by_name_give_the_published_order_but_for_the_wall() -> None:
    ranks = class_ranks(taxonomy_of(*CITYSCAPES))

    names = [CITYSCAPES[class_id][0] for class_id in np.argsort(ranks)]
    names.remove("wall")
    assert names == [name for name in PUBLISHED_ORDER if name != "wall"]


def test_ranks_lie_between_zero_and_one() -> None:
    ranks = class_ranks(taxonomy_of(("sky", "stuff"), ("books", "thing"), ("car", "thing")))

    assert ranks.min() == 0
    assert ranks.max() == 1


@pytest.mark.parametrize(
    ("name", "same_as", "kind"),
    [
        ("pavement", "sidewalk", "stuff"),
        ("tree", "vegetation", "stuff"),
        ("pedestrian", "person", "thing"),
        ("bicyclist", "rider", "thing"),
        ("sign", "traffic_sign", "thing"),
        ("wall_brick", "wall", "stuff"),
        ("floor_other_merged", "floor", "stuff"),
        ("office_chair", "chair", "thing"),
        ("sky_other", "sky", "stuff"),
    ],
)
def test_other_names_of_a_class_have_its_rank(name: str, same_as: str, kind: Kind) -> None:
    assert rank_of(name, kind) == rank_of(same_as, kind)


@pytest.mark.parametrize(
    ("back", "front"),
    [
        (("wall", "stuff"), ("picture", "thing")),
        (("wall", "stuff"), ("window", "thing")),
        (("window", "thing"), ("curtain", "stuff")),
        (("floor", "stuff"), ("bed", "thing")),
        (("bed", "thing"), ("pillow", "thing")),
        (("table", "thing"), ("books", "thing")),
        (("ceiling", "stuff"), ("lamp", "thing")),
        (("never_heard_of_stuff", "stuff"), ("never_heard_of_thing", "thing")),
        (("never_heard_of_stuff", "stuff"), ("car", "thing")),
    ],
)
def test_what_stands_behind_what(back: tuple[str, Kind], front: tuple[str, Kind]) -> None:
    assert rank_of(*back) < rank_of(*front)


def test_no_name_stands_in_two_rows() -> None:
    names = [name for row in BACK_TO_FRONT for name in row]

    assert len(names) == len(set(names))


def test_a_class_seen_in_few_pairs_is_drawn_to_the_middle() -> None:
    counts = np.array([[0, 2], [0, 0]])

    assert class_ranks_from_counts(counts, prior_pairs=0).tolist() == [0, 1]
    assert class_ranks_from_counts(counts, prior_pairs=2).tolist() == [0.25, 0.75]


def test_a_class_without_pairs_stands_in_the_middle() -> None:
    assert class_ranks_from_counts(np.zeros((2, 2)), prior_pairs=0).tolist() == [0.5, 0.5]


@given(st.lists(st.integers(0, 1000), min_size=9, max_size=9), st.floats(0, 100))
def test_exchanging_behind_and_in_front_turns_ranks_around(
    values: list[int], prior_pairs: float
) -> None:
    counts = np.array(values).reshape(3, 3)

    ranks = class_ranks_from_counts(counts, prior_pairs=prior_pairs)
    turned = class_ranks_from_counts(counts.T, prior_pairs=prior_pairs)

    np.testing.assert_allclose(ranks + turned, 1)


def test_counts_that_are_no_square_are_refused() -> None:
    with pytest.raises(ValueError, match=r"behind_in_front must be \(K, K\), got \(2, 3\)"):
        class_ranks_from_counts(np.zeros((2, 3)))


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="finite counts of at least 0"):
        class_ranks_from_counts(np.array([[-1]]))


def test_a_negative_prior_is_refused() -> None:
    with pytest.raises(ValueError, match="prior_pairs is -1, expected at least 0"):
        class_ranks_from_counts(np.zeros((2, 2)), prior_pairs=-1)
