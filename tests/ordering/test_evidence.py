"""Evidence held against measured depth, and against the exact order of toytown."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from scenequilt.memory_bank.extract import derive_instances, extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Query
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy, read_taxonomy
from scenequilt.memory_bank.toytown.scene import render_full_masks, render_scene
from scenequilt.ordering.class_order import class_ranks
from scenequilt.ordering.evidence import Evidence, LayoutEvidence, combine

NEARER_BY = 1.1
"""Ratio of depths from which a pair has a true order."""


def rooms(folder: Path) -> list[Layout]:
    """Read 20 of the labelled frames, spread over all rooms."""
    taxonomy = read_taxonomy(folder / "classes.json")
    layouts = []
    for label_path in sorted((folder / "labels").glob("*.png"))[::40]:
        file_ids = cv2.imread(str(label_path), cv2.IMREAD_UNCHANGED)
        depth_mm = cv2.imread(str(folder / "depth" / label_path.name), cv2.IMREAD_UNCHANGED)
        assert file_ids is not None
        assert depth_mm is not None
        label_map = taxonomy.class_of_file_id[file_ids].astype(np.uint8)
        layouts.append(
            Layout(
                label_map,
                derive_instances(label_map, taxonomy),
                taxonomy,
                (depth_mm / 1000).astype(np.float32),
            )
        )
    return layouts


def depth_at_border(query: Query, other: Query) -> float:
    """Return the mean depth of a query within 8 pixels of another, by a slow route; 0 if apart."""
    depth_m = query.layout.depth_m
    assert depth_m is not None
    masks = []
    for region in (query.region, other.region):
        mask = np.zeros(query.layout.size_hw, np.uint8)
        mask[region.box[0] : region.box[2], region.box[1] : region.box[3]] = region.mask
        masks.append(mask)
    near = np.asarray(cv2.dilate(masks[1], np.ones((17, 17), np.uint8)), np.uint8)
    depths = depth_m[(masks[0] & near).astype(bool) & (depth_m > 0)]
    return float(depths.mean()) if depths.size >= 30 else 0.0


@pytest.mark.realdata
def test_the_usual_order_agrees_with_measured_depth(real_data: Path) -> None:
    right: dict[str, list[bool]] = {"class": [], "ground": [], "together": []}
    for layout in rooms(real_data / "nyuv2"):
        queries = extract_queries(layout, min_area_px=1500)
        without_depth = LayoutEvidence(
            queries, class_ranks(layout.taxonomy), ["class", "ground", "enclosure"]
        )
        for first in queries:
            for second in queries[first.query_id + 1 :]:
                near, far = depth_at_border(first, second), depth_at_border(second, first)
                if near == 0 or far == 0 or abs(math.log(far / near)) < math.log(NEARER_BY):
                    continue
                evidence = without_depth.between(first.query_id, second.query_id)
                said = [*evidence, Evidence("class", combine(evidence))]
                for name, statement in zip(
                    [*(entry.source for entry in evidence), "together"], said, strict=True
                ):
                    if name in right and statement.probability != 0.5:
                        right[name].append((statement.probability > 0.5) == (far > near))

    assert len(right["together"]) > 100
    assert np.mean(right["class"]) > 0.75
    assert np.mean(right["ground"]) > 0.8
    assert np.mean(right["together"]) >= np.mean(right["class"])


def test_things_of_toytown_are_ordered_as_they_stand() -> None:
    right: dict[str, list[bool]] = {"without depth": [], "with depth": []}
    for seed in range(8):
        scene = render_scene(seed)
        full_masks = render_full_masks(seed)
        place = {item.object_id: n for n, item in enumerate(scene.occlusion_order)}
        queries = extract_queries(scene.layout, min_area_px=60)
        things = [query for query in queries if query.is_thing]
        evidence = LayoutEvidence(queries, class_ranks(scene.layout.taxonomy))
        for first in things:
            for second in things:
                ids = first.region.instance_id, second.region.instance_id
                shared = full_masks[ids[0]] & full_masks[ids[1]]
                if first.query_id >= second.query_id or np.count_nonzero(shared) < 10:
                    continue
                first_in_front = place[ids[0]] > place[ids[1]]
                said = evidence.between(first.query_id, second.query_id)
                blind = [statement for statement in said if statement.source != "depth"]
                right["with depth"].append((combine(said) > 0.5) == first_in_front)
                right["without depth"].append((combine(blind) > 0.5) == first_in_front)

    assert len(right["with depth"]) > 60
    assert np.mean(right["without depth"]) > 0.9
    assert np.mean(right["with depth"]) > 0.97


def evidence_of(left: ClassInfo, right: ClassInfo) -> dict[str, float]:
    """Return what speaks for the left of two neighbours being in front; the right reaches lower."""
    taxonomy = Taxonomy("two", (left, right))
    label_map = np.full((40, 40), VOID, np.uint8)
    label_map[10:24, 5:20] = 0
    label_map[10:30, 20:35] = 1
    layout = Layout(label_map, derive_instances(label_map, taxonomy), taxonomy)
    queries = extract_queries(layout)
    left_id, right_id = sorted(range(2), key=lambda number: queries[number].class_id)
    found = LayoutEvidence(queries, class_ranks(taxonomy)).between(left_id, right_id)
    return {entry.source: entry.probability for entry in found}


@pytest.mark.parametrize("surface", ["lane_marking", "pavement_merged", "dirt", "dirt_road"])
def test_a_thing_is_in_front_of_what_it_stands_on_by_any_name(surface: str) -> None:
    found = evidence_of(
        ClassInfo(0, surface, (0, 0, 0), "stuff"), ClassInfo(1, "window", (0, 0, 0), "thing")
    )

    assert found["class"] == pytest.approx(1 / (1 + math.exp(2.5)))


@pytest.mark.parametrize(
    ("name", "stands"),
    [("street_light", True), ("table_lamp", False), ("potted_plant", True), ("comic_book", False)],
)
def test_what_stands_is_known_by_longer_names_too(name: str, stands: bool) -> None:
    found = evidence_of(
        ClassInfo(0, name, (0, 0, 0), "thing"), ClassInfo(1, "car", (0, 0, 0), "thing")
    )

    assert ("ground" in found) == stands


def boxes_with_depth(
    first: tuple[slice, slice], second: tuple[slice, slice], *, kinds: str = "tt"
) -> LayoutEvidence:
    """Return the evidence of two boxes on 64x64 pixels, 4 and 8 metres away.

    Kinds: t a thing, g the ground, h a house.
    """
    taxonomy = Taxonomy(
        "t",
        (
            ClassInfo(0, "car", (0, 0, 0), "thing"),
            ClassInfo(1, "road", (0, 0, 0), "stuff"),
            ClassInfo(2, "house", (0, 0, 0), "stuff"),
        ),
    )
    label_map = np.full((64, 64), VOID, np.uint8)
    instance_map, depth_m = np.zeros((64, 64), np.int32), np.zeros((64, 64), np.float32)
    for number, (box, kind, metres) in enumerate(
        zip((first, second), kinds, (4, 8), strict=True), start=1
    ):
        label_map[box] = "tgh".index(kind)
        instance_map[box] = number if kind == "t" else 0
        depth_m[box] = metres
    queries = extract_queries(Layout(label_map, instance_map, taxonomy, depth_m))
    return LayoutEvidence(queries, class_ranks(taxonomy), ["depth"])


LEFT, RIGHT = np.s_[10:40, 0:20], np.s_[10:40, 20:40]


def test_the_depth_ratio_turns_its_sign_with_the_pair() -> None:
    evidence = boxes_with_depth(LEFT, RIGHT)

    assert evidence.log_depth_ratio(0, 1) == pytest.approx(math.log(2))
    assert evidence.log_depth_ratio(1, 0) == pytest.approx(-math.log(2))


@pytest.mark.parametrize(("kinds", "known"), [("tg", False), ("gh", False), ("th", True)])
def test_the_ground_and_what_stands_on_it_have_no_depth_ratio(kinds: str, known: bool) -> None:
    evidence = boxes_with_depth(LEFT, RIGHT, kinds=kinds)

    assert (evidence.log_depth_ratio(0, 1) is not None) == known


@pytest.mark.parametrize(("gap", "near"), [(0, True), (1, True), (2, False), (10, False)])
def test_near_is_within_the_strip_along_a_border(gap: int, near: bool) -> None:
    # 5/256 of 64 lines is a pixel, but the strip has two at least: one of the gap, one beyond.
    evidence = boxes_with_depth(LEFT, np.s_[10:40, 20 + gap : 40])

    assert evidence.are_near(0, 1) == near
    assert evidence.are_near(1, 0) == near
