"""Retrieval against a plain NumPy sort over full-resolution overlaps, and its laws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scenequilt.memory_bank.descriptor import describe, encode_runs, resample_labels
from scenequilt.memory_bank.errors import BankCorruptError, EmptyClassError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.rerank import ScoreWeights, ShapeLimits
from scenequilt.memory_bank.search import Searcher
from scenequilt.memory_bank.segment import Candidate, Query, Region
from scenequilt.memory_bank.store import SEGMENT_DTYPE, SourceRecord
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.memory_bank.where import Where, parse_where

TAXONOMY = Taxonomy(
    "small",
    (
        ClassInfo(0, "road", (90, 90, 90), "stuff"),
        ClassInfo(1, "car", (200, 0, 0), "thing"),
        ClassInfo(2, "sky", (0, 0, 200), "stuff"),
    ),
)


@dataclass(frozen=True, eq=False)
class MemoryShard:
    """A shard whose arrays were never on disk."""

    segments: NDArray[Any]
    sources: list[SourceRecord]
    words: NDArray[np.uint64]
    cells: NDArray[np.uint8]
    shapes: NDArray[np.uint64]
    run_offset: NDArray[np.int64]
    run_row_offset: NDArray[np.uint32]
    run_end: NDArray[np.uint16]
    run_label: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Scene:
    """One photograph's layout and the regions cut from it."""

    layout: Layout
    regions: list[Region]


def make_scene(rng: np.random.Generator, size_hw: tuple[int, int], count: int) -> Scene:
    """Scatter ragged blobs over a layout with void in it; regions may overlap, as things do."""
    height, width = size_hw
    label_map = rng.choice(np.array([0, 2, 255], np.uint8), size=(height // 4 + 1, width // 4 + 1))
    label_map = np.kron(label_map, np.ones((4, 4), np.uint8))[:height, :width].copy()
    regions = []
    for _ in range(count):
        h, w = int(rng.integers(1, height // 2 + 1)), int(rng.integers(1, width // 2 + 1))
        top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        mask = rng.random((h, w)) < rng.uniform(0.3, 1.0)
        mask[rng.integers(h), :] = True
        mask[:, rng.integers(w)] = True
        class_id = int(rng.integers(0, 3))
        label_map[top : top + h, left : left + w][mask] = class_id
        cut = top == 0 or left == 0 or top + h == height or left + w == width
        regions.append(Region(class_id, 0, (top, left, top + h, left + w), mask, cut))
    instance_map = np.zeros(size_hw, np.int32)
    return Scene(Layout(label_map, instance_map, TAXONOMY), regions)


def make_shard(
    scenes: Sequence[Scene], frame_hw: tuple[int, int], first_id: int = 0, split: str = "train"
) -> MemoryShard:
    """Store scenes as one shard; ids count from first_id."""
    tables, words, cells, shapes, runs, first_word = [], [], [], [], [], 0
    for place, scene in enumerate(scenes):
        found = describe(scene.regions, scene.layout.size_hw, frame_hw)
        table = np.zeros(len(scene.regions), SEGMENT_DTYPE)
        table["class_id"] = [region.class_id for region in scene.regions]
        table["area_px"] = [region.area_px for region in scene.regions]
        table["cut_by_frame"] = [region.cut_by_frame for region in scene.regions]
        table["source_row"] = place
        table["frame_box"], table["frame_area"] = found.frame_box, found.frame_area
        table["word_offset"] = found.word_offset[:-1] + first_word
        first_word += len(found.words)
        tables.append(table)
        words.append(found.words)
        cells.append(found.cells)
        shapes.append(found.shape)
        runs.append(encode_runs(resample_labels(scene.layout.label_map, frame_hw)))
    segments = np.concatenate(tables)
    segments["segment_id"] = first_id + np.arange(len(segments))
    return MemoryShard(
        segments,
        [
            SourceRecord(
                f"{split}_{first_id}_{n}",
                s.layout.size_hw,
                split,
                f"film{n % 2}",
                "",
                "",
                "",
                "",
                "",
            )
            for n, s in enumerate(scenes)
        ],
        np.concatenate(words),
        np.concatenate(cells),
        np.concatenate(shapes),
        np.cumsum([0] + [len(entry.end) for entry in runs]),
        np.stack([entry.row_offset for entry in runs]),
        np.concatenate([entry.end for entry in runs]),
        np.concatenate([entry.label for entry in runs]),
    )


def searcher_of(
    shards: Sequence[MemoryShard],
    frame_hw: tuple[int, int],
    **options: Any,  # noqa: ANN401
) -> Searcher:
    live = [np.ones(len(shard.segments), np.bool_) for shard in shards]
    return Searcher(shards, live, TAXONOMY, frame_hw, **options)


def full_mask(region: Region, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(size_hw, np.bool_)
    top, left, bottom, right = region.box
    mask[top:bottom, left:right] = region.mask
    return mask


def plain_iou(shared: int, first: int, second: int) -> float:
    union = first + second - shared
    return shared / union if union else 0.0


def context_of(region: Region, label_map: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Labels within the box enlarged by an eighth at each side, -1 elsewhere and on void."""
    top, left, bottom, right = region.box
    dy, dx = -(-(bottom - top) // 8), -(-(right - left) // 8)
    context = np.full(label_map.shape, -1, np.int16)
    inside = np.s_[max(0, top - dy) : bottom + dy, max(0, left - dx) : right + dx]
    context[inside] = label_map[inside]
    context[context == 255] = -1
    return context


def shape_of(region: Region) -> NDArray[np.bool_]:
    height, width = region.mask.shape
    rows = (2 * np.arange(32) + 1) * height // 64
    columns = (2 * np.arange(32) + 1) * width // 64
    shape: NDArray[np.bool_] = region.mask[rows][:, columns]
    return shape


def sides_of(region: Region, size_hw: tuple[int, int]) -> tuple[bool, bool, bool, bool]:
    top, left, bottom, right = region.box
    return top == 0, left == 0, bottom == size_hw[0], right == size_hw[1]


def plain_parts(
    query: Query, scene: Scene, region: Region, limits: ShapeLimits
) -> tuple[float, float, float]:
    """Mask, context and shape IoU by whole boolean images, one pair at a time."""
    size_hw = scene.layout.size_hw
    a, b = full_mask(query.region, size_hw), full_mask(region, size_hw)
    mask_iou = plain_iou(int((a & b).sum()), int(a.sum()), int(b.sum()))
    c = context_of(query.region, query.layout.label_map)
    d = context_of(region, scene.layout.label_map)
    agreed = int(((c == d) & (c >= 0)).sum())
    context_iou = plain_iou(agreed, int((c >= 0).sum()), int((d >= 0).sum()))
    (qh, qw), (sh, sw) = query.region.mask.shape, region.mask.shape
    allowed = (
        query.is_thing
        and limits.enabled
        and qh * qw <= sh * sw * limits.max_scale**2
        and sh * sw <= qh * qw * limits.max_scale**2
        and qh * sw <= qw * sh * limits.max_stretch
        and qw * sh <= qh * sw * limits.max_stretch
        and sides_of(query.region, size_hw) == sides_of(region, size_hw)
    )
    e, f = shape_of(query.region), shape_of(region)
    shape_iou = plain_iou(int((e & f).sum()), int(e.sum()), int(f.sum())) if allowed else 0.0
    return mask_iou, context_iou, shape_iou


def plain_search(
    query: Query, scenes: Sequence[Scene], k: int, weights: ScoreWeights, limits: ShapeLimits
) -> list[tuple[int, float, float, float, float]]:
    """Every segment of the class, scored and sorted; ids count through the scenes."""
    rows, segment_id = [], 0
    for scene in scenes:
        for region in scene.regions:
            if region.class_id == query.class_id:
                mask_iou, context_iou, shape_iou = plain_parts(query, scene, region, limits)
                score = weights.mask * max(mask_iou, shape_iou) + weights.context * context_iou
                rows.append((segment_id, score, mask_iou, context_iou, shape_iou))
            segment_id += 1
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:k]


def as_rows(candidates: Sequence[Candidate]) -> list[tuple[int, float, float, float, float]]:
    return [
        (found.segment_id, found.score, found.mask_iou, found.context_iou, found.shape_iou)
        for found in candidates
    ]


def queries_of(scene: Scene) -> list[Query]:
    return [Query(n, region, scene.layout) for n, region in enumerate(scene.regions)]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size_hw=st.tuples(st.integers(8, 90), st.integers(8, 150)),
    weights=st.sampled_from([(1.0, 1.0), (1.0, 0.0), (0.3, 0.7), (0.0, 1.0)]),
    max_scale=st.sampled_from([1.0, 1.7, 4.0]),
    k=st.integers(1, 40),
)
def test_exact_search_is_a_plain_sort_to_the_last_place(
    seed: int,
    size_hw: tuple[int, int],
    weights: tuple[float, float],
    max_scale: float,
    k: int,
) -> None:
    rng = np.random.default_rng(seed)
    scenes = [make_scene(rng, size_hw, 30) for _ in range(4)]
    searcher = searcher_of(
        [make_shard(scenes[:2], size_hw), make_shard(scenes[2:], size_hw, 60)], size_hw
    )
    asked = ScoreWeights(*weights)
    limits = ShapeLimits(max_scale=max_scale)
    queries = queries_of(make_scene(rng, size_hw, 4)) + queries_of(scenes[0])[:4]

    answers = searcher.retrieve_many(queries, k, weights=asked, limits=limits, search="exact")

    for query, answer in zip(queries, answers, strict=True):
        assert as_rows(answer.candidates) == plain_search(query, scenes, k, asked, limits)


@settings(max_examples=10, deadline=None)
@example(seed=431, sizes=((60, 90), (30, 45)))
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.sampled_from([((60, 90), (30, 45)), ((20, 30), (55, 70))]),
)
def test_a_segment_finds_itself_first_at_any_frame_size(
    seed: int, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    size_hw, frame_hw = sizes
    scene = make_scene(np.random.default_rng(seed), size_hw, 12)
    searcher = searcher_of([make_shard([scene], frame_hw)], frame_hw)

    answers = searcher.retrieve_many(queries_of(scene), 1)

    assert [answer.candidates[0].mask_iou for answer in answers] == [1.0] * 12
    # A strip of one row may have nothing but void around it on a smaller frame (seed 431): of two
    # empty surroundings nothing agrees.
    labels = resample_labels(scene.layout.label_map, frame_hw)
    expected = []
    for top, left, bottom, right in describe(scene.regions, size_hw, frame_hw).frame_box.tolist():
        dy, dx = -(-(bottom - top) // 8), -(-(right - left) // 8)
        around = labels[max(0, top - dy) : bottom + dy, max(0, left - dx) : right + dx]
        expected.append(float((around != 255).any()))
    found = [answer.candidates[0].context_iou for answer in answers]
    assert found == pytest.approx(expected)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_scores_fall_and_stay_in_their_range(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = [make_scene(rng, (40, 60), 40) for _ in range(2)]
    searcher = searcher_of([make_shard(scenes, (40, 60))], (40, 60))

    answer = searcher.retrieve(queries_of(scenes[0])[0], 80, weights=ScoreWeights(2.0, 0.5))

    scores = [found.score for found in answer.candidates]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= min(scores) and max(scores) <= 2.5
    assert [found.rank for found in answer.candidates] == list(range(len(scores)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_answers_do_not_depend_on_the_order_of_the_shards(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = [make_scene(rng, (40, 60), 40) for _ in range(3)]
    shards = [make_shard([scene], (40, 60), 40 * n) for n, scene in enumerate(scenes)]
    queries = queries_of(make_scene(rng, (40, 60), 5))

    one = searcher_of(shards, (40, 60)).retrieve_many(queries)
    other = searcher_of(shards[::-1], (40, 60)).retrieve_many(queries)

    assert [answer.candidates for answer in one] == [answer.candidates for answer in other]


def small_world() -> tuple[Searcher, list[Query]]:
    rng = np.random.default_rng(7)
    scenes = [make_scene(rng, (48, 64), 30) for _ in range(4)]
    shards = [
        make_shard(scenes[:2], (48, 64), 0, "train"),
        make_shard(scenes[2:], (48, 64), 60, "val"),
    ]
    return searcher_of(shards, (48, 64)), queries_of(make_scene(rng, (48, 64), 20))


def test_threads_change_nothing() -> None:
    searcher, queries = small_world()

    alone = searcher.retrieve_many(queries, threads=1)
    together = searcher.retrieve_many(queries, threads=3)

    assert [answer.candidates for answer in alone] == [answer.candidates for answer in together]


def test_an_answer_says_whether_it_stands_in_the_frame_or_is_moved() -> None:
    mask = np.ones((10, 10), np.bool_)
    mask[:3, :3] = False
    label_map = np.zeros((64, 64), np.uint8)
    here = Region(1, 0, (5, 5, 15, 15), mask, False)
    there = Region(1, 0, (40, 40, 50, 50), mask, False)
    layout = Layout(label_map, np.zeros((64, 64), np.int32), TAXONOMY)
    searcher = searcher_of([make_shard([Scene(layout, [there])], (64, 64))], (64, 64))

    moved = searcher.retrieve(Query(0, here, layout)).candidates[0]
    still = searcher.retrieve(Query(0, there, layout)).candidates[0]

    assert (moved.match, moved.mask_iou, moved.shape_iou) == ("shape", 0.0, 1.0)
    assert (still.match, still.mask_iou, still.shape_iou) == ("frame", 1.0, 1.0)


@pytest.mark.parametrize(
    ("box", "allowed"),
    [
        ((20, 20, 30, 30), True),
        ((20, 20, 50, 50), False),
        ((20, 20, 29, 40), False),
        ((0, 20, 10, 30), False),
    ],
    ids=["same size", "three times as large", "stretched", "cut by the frame"],
)
def test_shapes_are_compared_within_the_limits_only(
    box: tuple[int, int, int, int], allowed: bool
) -> None:
    layout = Layout(np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.int32), TAXONOMY)
    stored = Region(1, 0, box, np.ones((box[2] - box[0], box[3] - box[1]), np.bool_), box[0] == 0)
    asked = Region(1, 0, (50, 50, 60, 60), np.ones((10, 10), np.bool_), False)
    searcher = searcher_of([make_shard([Scene(layout, [stored])], (64, 64))], (64, 64))

    found = searcher.retrieve(Query(0, asked, layout)).candidates[0]

    assert found.shape_iou == (1.0 if allowed else 0.0)


@pytest.mark.parametrize("frame_hw", [(2048, 4080), (2048, 4096)], ids=["65280", "65536"])
def test_cells_of_any_size_bound_the_context(frame_hw: tuple[int, int]) -> None:
    mask = np.ones((768, 768), np.bool_)
    slightly, clearly = mask.copy(), mask.copy()
    slightly[:60], clearly[:150] = False, False
    slightly[0, 0] = clearly[0, 0] = True
    plain = Layout(np.zeros(frame_hw, np.uint8), np.zeros(frame_hw, np.int32), TAXONOMY)
    striped_map = np.zeros(frame_hw, np.uint8)
    striped_map[:, ::2] = 2
    striped = Layout(striped_map, np.zeros(frame_hw, np.int32), TAXONOMY)
    box = (256, 256, 1024, 1024)
    scenes = [
        Scene(striped, [Region(0, 0, box, slightly, False)]),
        Scene(plain, [Region(0, 0, box, clearly, False)]),
    ]
    searcher = searcher_of([make_shard(scenes, frame_hw)], frame_hw)

    answer = searcher.retrieve(Query(0, Region(0, 0, box, mask, False), plain), 1, search="exact")

    # The cells of the plain layout are full of one class: that many pixels must be countable.
    (found,) = answer.candidates
    assert (found.segment_id, found.context_iou) == (1, 1.0)


def test_stuff_is_never_moved() -> None:
    layout = Layout(np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.int32), TAXONOMY)
    mask = np.ones((10, 10), np.bool_)
    stored = Region(0, 0, (40, 40, 50, 50), mask, False)
    searcher = searcher_of([make_shard([Scene(layout, [stored])], (64, 64))], (64, 64))

    found = searcher.retrieve(Query(0, Region(0, 0, (5, 5, 15, 15), mask, False), layout))

    assert found.candidates[0].shape_iou == 0.0


def test_removed_segments_do_not_answer() -> None:
    scene = make_scene(np.random.default_rng(3), (48, 64), 20)
    shard = make_shard([scene], (48, 64))
    live = np.ones(20, np.bool_)
    query = queries_of(scene)[4]
    live[4] = False

    searcher = Searcher([shard], [live], TAXONOMY, (48, 64))
    answer = searcher.retrieve(query, 20, allow_empty=True)

    assert len(searcher) == 19
    assert 4 not in [found.segment_id for found in answer.candidates]


def test_filters_apply_before_ranking_and_say_what_they_removed() -> None:
    searcher, queries = small_world()
    where = parse_where(["split=train", "sequence!=film0", "area>=40"])

    answer = searcher.retrieve(queries[0], 100, where=where, allow_empty=True)
    everything = searcher.retrieve(queries[0], 100)

    expected = [
        found.segment_id
        for found in everything.candidates
        if found.source_id == "train_0_1" and searcher_area(searcher, found.segment_id) >= 40
    ]
    assert [found.segment_id for found in answer.candidates] == expected
    assert list(answer.removed) == ["split=train", "sequence!=film0", "area>=40"]
    assert answer.in_class - sum(answer.removed.values()) == len(expected)


def searcher_area(searcher: Searcher, segment_id: int) -> int:
    for shard in searcher._shards:
        rows = np.flatnonzero(shard.segments["segment_id"] == segment_id)
        if len(rows):
            return int(shard.segments["area_px"][rows[0]])
    raise KeyError(segment_id)


def test_excluded_sources_do_not_answer_and_are_counted() -> None:
    searcher, queries = small_world()

    answer = searcher.retrieve(queries[0], 100, exclude_sources=["train_0_0"])

    assert "train_0_0" not in {found.source_id for found in answer.candidates}
    assert answer.removed["exclude_sources"] > 0
    assert answer.in_class == len(answer.candidates) + answer.removed["exclude_sources"]


def test_an_emptied_list_names_the_class_and_the_filter_that_emptied_it() -> None:
    searcher, queries = small_world()
    query = next(query for query in queries if query.class_id == 1)
    where = parse_where(["split=train", "area>=100000", "cut=no"])

    with pytest.raises(
        EmptyClassError,
        match=r"no segment of class 'car' is left of \d+: split=train removed \d+; "
        r"area>=100000 removed \d+, the last ones; loosen area>=100000$",
    ):
        searcher.retrieve(query, where=where)


def test_an_emptied_list_is_empty_on_request() -> None:
    searcher, queries = small_world()

    answer = searcher.retrieve(queries[0], where=Where(splits=("test",)), allow_empty=True)

    assert answer.candidates == ()
    assert answer.removed["split=test"] == answer.in_class


def test_a_class_that_the_bank_lacks_is_named() -> None:
    layout = Layout(np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.int32), TAXONOMY)
    road = Region(0, 0, (5, 5, 15, 15), np.ones((10, 10), np.bool_), False)
    sky = Region(2, 0, (5, 5, 15, 15), np.ones((10, 10), np.bool_), False)
    searcher = searcher_of([make_shard([Scene(layout, [road])], (32, 32))], (32, 32))

    with pytest.raises(EmptyClassError, match="no segment of class 'sky'; add photographs"):
        searcher.retrieve(Query(0, sky, layout))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k is 0, expected at least 1"),
        ({"threads": 0}, "threads is 0, expected at least 1"),
        ({"search": "nearest"}, "search is 'nearest', expected one of exact, faiss, auto"),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], message: str) -> None:
    searcher, queries = small_world()

    with pytest.raises(ValueError, match=message):
        searcher.retrieve_many(queries, **options)


def test_a_layout_of_other_classes_is_refused() -> None:
    searcher, _ = small_world()
    other = Taxonomy("other", (ClassInfo(0, "lake", (0, 0, 9), "stuff"),))
    layout = Layout(np.zeros((48, 64), np.uint8), np.zeros((48, 64), np.int32), other)
    region = Region(0, 0, (0, 0, 5, 5), np.ones((5, 5), np.bool_), True)

    with pytest.raises(ValueError, match="classes are lake, but the bank's are road, car, sky"):
        searcher.retrieve(Query(0, region, layout))


def test_a_shard_that_contradicts_itself_is_refused() -> None:
    scene = make_scene(np.random.default_rng(3), (48, 64), 20)
    shard = make_shard([scene], (48, 64))
    shard.segments["word_offset"][7] = 10**6
    class_id = int(shard.segments["class_id"][7])
    query = next(query for query in queries_of(scene) if query.class_id == class_id)

    with pytest.raises(BankCorruptError, match="row 7 points outside the frame or the stored"):
        searcher_of([shard], (48, 64)).retrieve(query)


def test_layouts_of_another_frame_are_refused() -> None:
    shard = make_shard([make_scene(np.random.default_rng(3), (48, 64), 5)], (48, 64))

    with pytest.raises(BankCorruptError, match="not of the bank's frame, 48x32"):
        searcher_of([shard], (48, 32))


def test_resident_arrays_stay_below_300_bytes_a_segment() -> None:
    rng = np.random.default_rng(5)
    scenes = [make_scene(rng, (48, 64), 70) for _ in range(40)]
    searcher = searcher_of([make_shard(scenes, (48, 64))], (48, 64))

    for class_id in range(3):
        searcher.table(class_id)

    assert searcher.resident_bytes() / len(searcher) < 300


def test_nothing_is_left_out_when_all_scores_are_equal() -> None:
    layout = Layout(np.full((64, 64), 255, np.uint8), np.zeros((64, 64), np.int32), TAXONOMY)
    mask = np.ones((4, 4), np.bool_)
    far = [Region(0, 0, (40, 4 * n, 44, 4 * n + 4), mask, False) for n in range(1, 12)]
    searcher = searcher_of([make_shard([Scene(layout, far)], (64, 64))], (64, 64))

    answer = searcher.retrieve(Query(0, Region(0, 0, (1, 1, 5, 5), mask, False), layout), 5)

    assert [found.segment_id for found in answer.candidates] == [0, 1, 2, 3, 4]
    assert [found.score for found in answer.candidates] == [0.0] * 5
