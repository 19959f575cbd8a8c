"""Labels of pairs: which source decides, by hand, and how good what the layout says is."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scenequilt.memory_bank.datasets.interface import Entry
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Query
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.ordering.class_order import class_ranks
from scenequilt.ordering.evidence import OUTLINE_SOURCES, LayoutEvidence
from scenequilt.ordering.pair_labels import (
    ClassStatistics,
    Neighbours,
    PaintedObject,
    PairLabel,
    find_neighbours,
    label_pairs,
    read_painted_objects,
)

TAXONOMY = Taxonomy(
    "street",
    (
        ClassInfo(0, "sky", (70, 130, 180), "stuff"),
        ClassInfo(1, "building", (70, 70, 70), "stuff"),
        ClassInfo(2, "road", (128, 64, 128), "stuff"),
        ClassInfo(3, "car", (0, 0, 142), "thing"),
    ),
)
SKY, BUILDING, ROAD, CAR = range(4)

NEAR, FAR = 8.0, 10.0


def street(depth: bool = True) -> list[Query]:
    """Return sky, building, road and two cars side by side, the left one nearer; in that order."""
    label_map = np.full((100, 100), SKY, np.uint8)
    label_map[20:60], label_map[60:] = BUILDING, ROAD
    label_map[45:70, 20:80] = CAR
    instance_map = np.zeros((100, 100), np.int32)
    instance_map[45:70, 20:50], instance_map[45:70, 50:80] = 1, 2
    depth_m = np.full((100, 100), FAR, np.float32)
    depth_m[instance_map == 1], depth_m[:20] = NEAR, 3.0
    layout = Layout(label_map, instance_map, TAXONOMY, depth_m if depth else None)
    return extract_queries(layout)


def known(labels: list[PairLabel]) -> dict[tuple[int, int], tuple[float, str]]:
    return {(label.first, label.second): (label.first_in_front, label.truth) for label in labels}


def test_regions_that_are_apart_are_no_neighbours() -> None:
    pairs = {(pair.first, pair.second) for pair in find_neighbours(street())}

    # Neither the road nor a car is near the sky.
    assert pairs == {(0, 1), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)}


def test_depth_decides_where_no_rule_does() -> None:
    labels = label_pairs(find_neighbours(street()))

    assert known(labels) == {
        (0, 1): (0, "rule"),
        (1, 3): (0, "depth"),
        (2, 3): (0, "rule"),
        (2, 4): (0, "rule"),
        (3, 4): (1, "depth"),
    }
    assert labels[-1].log_depth_ratio == pytest.approx(math.log(FAR / NEAR))


def test_depths_that_hardly_differ_decide_nothing() -> None:
    neighbours = find_neighbours(street())

    barely = known(label_pairs(neighbours, nearer_by=1.24))
    not_quite = known(label_pairs(neighbours, nearer_by=1.26))

    assert (3, 4) in barely
    assert (3, 4) not in not_quite


def test_exact_occlusion_overrules_depth_and_rule() -> None:
    painted = [
        PaintedObject("sky", 0),
        PaintedObject("building", 0),
        PaintedObject("car", 1),
        PaintedObject("road", 0),
        PaintedObject("car", 2),
    ]

    labels = known(label_pairs(find_neighbours(street(), painted=painted)))

    assert labels == {
        (0, 1): (0, "occlusion"),
        (1, 2): (0, "occlusion"),
        (1, 3): (0, "occlusion"),
        (1, 4): (0, "occlusion"),
        (2, 3): (1, "occlusion"),
        (2, 4): (0, "occlusion"),
        (3, 4): (0, "occlusion"),
    }


def test_stuff_of_several_objects_is_not_decided_by_occlusion_if_they_are_on_both_sides() -> None:
    painted = [PaintedObject("building", 0), PaintedObject("car", 1), PaintedObject("building", 0)]

    labels = known(label_pairs(find_neighbours(street(), painted=painted)))

    assert labels[1, 3] == (0, "depth")


def test_without_depth_the_layout_gives_a_probability() -> None:
    neighbours = find_neighbours(street(depth=False))

    sure = known(label_pairs(neighbours))
    with_layout = known(label_pairs(neighbours, statistics=ClassStatistics(4)))

    assert {truth for _, truth in sure.values()} == {"rule"}
    probability, truth = with_layout[1, 3]
    assert truth == "layout"
    assert 0 < probability < 0.2


def test_statistics_count_what_shapes_say() -> None:
    # Twice a car half in front of a building by its shape, once a building in front of a car.
    def pair(first_class: int, second_class: int, logit: float) -> Neighbours:
        return Neighbours(0, 1, first_class, second_class, None, None, None, (0.0, logit, 0.0), 0.0)

    statistics = ClassStatistics(4)

    statistics.add([pair(CAR, BUILDING, 20), pair(BUILDING, CAR, -20), pair(BUILDING, CAR, 20)])
    statistics.add([pair(CAR, CAR, 20), pair(CAR, ROAD, 0)])

    assert statistics.behind_in_front[BUILDING, CAR] == pytest.approx(2)
    assert statistics.behind_in_front[CAR, BUILDING] == pytest.approx(1)
    assert statistics.behind_in_front.sum() == pytest.approx(3)
    assert statistics.logit(pair(CAR, BUILDING, 0)) == pytest.approx(math.log(52 / 51))
    assert statistics.logit(pair(BUILDING, CAR, 0)) == pytest.approx(-math.log(52 / 51))


def test_without_counts_names_decide() -> None:
    pair = Neighbours(0, 1, CAR, BUILDING, None, None, None, (1.5, 0.0, 0.0), 0.0)

    assert ClassStatistics(4).logit(pair) == pytest.approx(1.5)


def test_labels_carry_what_the_closed_form_says() -> None:
    queries = street()
    closed = LayoutEvidence(queries, class_ranks(TAXONOMY), OUTLINE_SOURCES)

    for label in label_pairs(find_neighbours(queries)):
        said = closed.logits(label.first, label.second)
        assert label.outline_logits == (said["class"], said["ground"], said["enclosure"])


def test_no_queries_have_no_neighbours() -> None:
    assert find_neighbours([]) == []


def test_a_ratio_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="nearer_by is 1, expected a ratio above 1"):
        label_pairs([], nearer_by=1)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("town") / "town"
    write_dataset(folder, count=9, seed=4, size_hw=(96, 192))
    return folder


def test_toytown_tells_its_occlusion(town: Path) -> None:
    reader = open_dataset(town)

    for entry in reader.entries():
        painted = read_painted_objects(entry)
        layout = reader.read(entry).layout
        numbers = set(np.unique(layout.instance_map).tolist()) - {0}
        assert {item.instance_id for item in painted} - {0} == numbers
        assert painted[0].class_name == "sky"


def test_what_the_layout_of_a_town_says_is_mostly_true(town: Path) -> None:
    right, pairs = 0, 0
    reader = open_dataset(town)
    for entry in reader.entries():
        layout = reader.read(entry).layout
        queries = extract_queries(layout, min_area_px=20)
        neighbours = find_neighbours(queries, painted=read_painted_objects(entry))
        truths = label_pairs(neighbours)
        blind = [
            replace(pair, painted_later=None, by_rule=None, log_depth_ratio=None)
            for pair in neighbours
        ]
        said = known(label_pairs(blind, statistics=ClassStatistics(len(reader.taxonomy))))
        for label in truths:
            probability, truth = said[label.first, label.second]
            assert truth == "layout"
            pairs += 1
            right += (probability > 0.5) == (label.first_in_front > 0.5)

    assert pairs > 150
    assert right / pairs > 0.8


def test_a_dataset_without_occlusion_tells_none(tmp_path: Path) -> None:
    entry = Entry("a", tmp_path / "images/a.jpg", tmp_path / "labels/a.png")

    assert read_painted_objects(entry) == []


def test_a_damaged_order_is_refused(tmp_path: Path) -> None:
    entry = Entry("a", tmp_path / "images/val/a.jpg", tmp_path / "labels/val/a.png", split="val")
    path = tmp_path / "occlusion/val/a.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"back_to_front": [{"class": "car"}]}))

    with pytest.raises(DatasetError, match=r"a.json: no order of objects .*'instance_id'"):
        read_painted_objects(entry)
