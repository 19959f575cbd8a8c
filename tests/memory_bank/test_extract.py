"""Regions of layouts: known answers on small ones, and laws on any."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scenequilt.memory_bank.extract import derive_instances, extract_queries, extract_regions
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Region
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy

SKY, CAR, POLE, LIGHT = range(4)
TAXONOMY = Taxonomy(
    "four",
    (
        ClassInfo(0, "sky", (0, 0, 200), "stuff"),
        ClassInfo(1, "car", (200, 0, 0), "thing"),
        ClassInfo(2, "pole", (90, 90, 90), "thing", thin=True),
        ClassInfo(3, "traffic_light", (90, 200, 90), "stuff", thin=True),
    ),
)
LETTERS = {"s": SKY, "c": CAR, "p": POLE, "l": LIGHT, ".": VOID}


def labels(*rows: str) -> NDArray[np.uint8]:
    return np.array([[LETTERS[letter] for letter in row] for row in rows], np.uint8)


def layout_of(label_map: NDArray[np.uint8], instances: NDArray[np.int32] | None = None) -> Layout:
    return Layout(
        label_map, np.zeros(label_map.shape, np.int32) if instances is None else instances, TAXONOMY
    )


def covered(region: Region, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the region's mask on the whole picture."""
    top, left, bottom, right = region.box
    full = np.zeros(shape, np.bool_)
    full[top:bottom, left:right] = region.mask
    return full


@st.composite
def any_layout(draw: st.DrawFn) -> Layout:
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    pixels = st.lists(
        st.sampled_from([SKY, CAR, POLE, LIGHT, VOID]),
        min_size=height * width,
        max_size=height * width,
    )
    numbers = st.lists(st.integers(0, 3), min_size=height * width, max_size=height * width)
    return Layout(
        np.array(draw(pixels), np.uint8).reshape(height, width),
        np.array(draw(numbers), np.int32).reshape(height, width),
        TAXONOMY,
    )


def regions_by_flooding(label_map: NDArray[np.uint8], class_id: int) -> set[frozenset[int]]:
    """Find a class's regions by flooding "own or thin" from every pixel, as the paper's code does."""
    thin = np.isin(label_map, [POLE, LIGHT])
    own = label_map == class_id
    work = own if class_id in (POLE, LIGHT) else own | thin
    seen = np.zeros(label_map.shape, np.bool_)
    found = set()
    for start in zip(*np.nonzero(work), strict=True):
        component, queue = [], deque([start])
        while queue:
            y, x = queue.popleft()
            if not (0 <= y < work.shape[0] and 0 <= x < work.shape[1]):
                continue
            if seen[y, x] or not work[y, x]:
                continue
            seen[y, x] = True
            component.append((y, x))
            queue.extend((y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
        pixels = frozenset(int(y * work.shape[1] + x) for y, x in component if own[y, x])
        if pixels:
            found.add(pixels)
    return found


def test_stuff_is_one_region_a_connected_component() -> None:
    regions = extract_regions(layout_of(labels("ss.s", "ss.s")))

    assert [region.box for region in regions] == [(0, 0, 2, 2), (0, 3, 2, 4)]


def test_diagonal_neighbours_are_connected() -> None:
    regions = extract_regions(layout_of(labels("s.", ".s")))

    assert [region.mask.tolist() for region in regions] == [[[True, False], [False, True]]]


def test_stuff_cut_by_a_pole_is_one_region_without_the_pole() -> None:
    sky, pole = extract_regions(layout_of(labels("sps", "sps")))

    assert sky.mask.tolist() == [[True, False, True]] * 2
    assert pole.class_id == POLE


def test_stuff_is_joined_across_touching_thin_classes() -> None:
    regions = extract_regions(layout_of(labels("spls")))

    assert [region.class_id for region in regions] == [SKY, POLE, LIGHT]


def test_thin_class_is_not_joined_across_another() -> None:
    regions = extract_regions(layout_of(labels("plp")))

    assert [region.class_id for region in regions] == [POLE, POLE, LIGHT]


def test_small_piece_beside_a_large_pole_is_kept() -> None:
    regions = extract_regions(layout_of(labels("spp", ".pp")))

    assert [region.area_px for region in regions] == [1, 4]


def test_cars_on_both_sides_of_a_pole_are_derived_as_one() -> None:
    instances = derive_instances(labels("cpc.c"), TAXONOMY)

    assert instances.tolist() == [[1, 3, 1, 0, 2]]


def test_stuff_and_void_get_no_instance() -> None:
    instances = derive_instances(labels("s.l"), TAXONOMY)

    assert instances.tolist() == [[0, 0, 0]]


def test_derived_instances_are_int32() -> None:
    assert derive_instances(labels("c"), TAXONOMY).dtype == np.int32


def test_derive_refuses_what_is_no_label_map() -> None:
    with pytest.raises(ValueError, match=r"label_map must be \(H, W\) uint8, got \(2,\) float64"):
        derive_instances(np.zeros(2), TAXONOMY)  # type: ignore[arg-type]


def test_instance_cut_by_an_occluder_is_one_region() -> None:
    numbers = np.array([[5, 0, 5]], np.int32)

    car, sky = reversed(extract_regions(layout_of(labels("csc"), numbers)))

    assert (car.instance_id, car.mask.tolist()) == (5, [[True, False, True]])
    assert sky.area_px == 1


def test_touching_instances_are_two_regions() -> None:
    numbers = np.array([[1, 2]], np.int32)

    regions = extract_regions(layout_of(labels("cc"), numbers))

    assert [region.instance_id for region in regions] == [1, 2]


def test_numbered_things_are_not_joined_across_a_pole() -> None:
    numbers = np.array([[1, 9, 2]], np.int32)

    regions = extract_regions(layout_of(labels("cpc"), numbers))

    assert [region.instance_id for region in regions] == [1, 2, 9]


def test_instance_number_on_stuff_is_not_looked_at() -> None:
    numbers = np.array([[1, 2]], np.int32)

    (region,) = extract_regions(layout_of(labels("ss"), numbers))

    assert (region.instance_id, region.area_px) == (0, 2)


def test_one_number_on_two_classes_is_two_regions() -> None:
    numbers = np.array([[4, 4]], np.int32)

    regions = extract_regions(layout_of(labels("cp"), numbers))

    assert [(region.class_id, region.instance_id) for region in regions] == [(CAR, 4), (POLE, 4)]


@pytest.mark.parametrize(
    ("rows", "cut"), [(("...", ".s.", "..."), False), ((".s.", "...", "..."), True)]
)
def test_cut_by_frame_where_it_touches_the_border(rows: tuple[str, ...], cut: bool) -> None:
    (region,) = extract_regions(layout_of(labels(*rows)))

    assert region.cut_by_frame is cut


def test_smaller_regions_are_left_out() -> None:
    regions = extract_regions(layout_of(labels("ss.s")), min_area_px=2)

    assert [region.area_px for region in regions] == [2]


def test_min_area_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="min_area_px must be at least 1, got 0"):
        extract_regions(layout_of(labels("s")), min_area_px=0)


def test_layout_of_void_has_no_region() -> None:
    assert extract_regions(layout_of(labels("..", ".."))) == []


def test_queries_are_numbered_from_zero_and_know_their_layout() -> None:
    layout = layout_of(labels("s.c"))

    queries = extract_queries(layout)

    assert [query.query_id for query in queries] == [0, 1]
    assert all(query.layout is layout for query in queries)


def test_view_of_a_larger_array_gives_the_same_regions() -> None:
    label_map = labels("scs", "ppp", "s.c")

    regions = extract_regions(layout_of(np.asfortranarray(label_map)[::-1]))

    assert [r.box for r in regions] == [
        r.box for r in extract_regions(layout_of(label_map[::-1].copy()))
    ]


@given(any_layout())
@settings(deadline=None)
def test_regions_partition_what_is_not_void(layout: Layout) -> None:
    times = np.zeros(layout.size_hw, np.int64)
    for region in extract_regions(layout):
        times += covered(region, layout.size_hw)

    assert (times == (layout.label_map != VOID)).all()


@given(any_layout())
@settings(deadline=None)
def test_region_holds_one_class_in_its_smallest_box(layout: Layout) -> None:
    for region in extract_regions(layout):
        top, left, bottom, right = region.box
        within = layout.label_map[top:bottom, left:right]

        assert (within[region.mask] == region.class_id).all()
        assert region.mask[[0, -1]].any(axis=1).all() and region.mask[:, [0, -1]].any(axis=0).all()


@given(any_layout())
@settings(deadline=None)
def test_regions_are_in_order_of_class_and_first_pixel(layout: Layout) -> None:
    keys = [
        (region.class_id, int(covered(region, layout.size_hw).argmax()))
        for region in extract_regions(layout)
    ]

    assert keys == sorted(keys)


@given(any_layout())
@settings(deadline=None)
def test_regions_agree_with_flooding(layout: Layout) -> None:
    found: dict[int, set[frozenset[int]]] = {class_id: set() for class_id in range(4)}
    for region in extract_regions(layout_of(layout.label_map)):
        pixels = np.flatnonzero(covered(region, layout.size_hw)).tolist()
        found[region.class_id].add(frozenset(pixels))

    assert found == {
        class_id: regions_by_flooding(layout.label_map, class_id) for class_id in range(4)
    }


@given(any_layout())
@settings(deadline=None)
def test_derived_instances_give_the_same_regions_as_none(layout: Layout) -> None:
    without = layout_of(layout.label_map)
    derived = layout_of(layout.label_map, derive_instances(layout.label_map, TAXONOMY))

    assert [(r.class_id, r.box, r.area_px) for r in extract_regions(derived)] == [
        (r.class_id, r.box, r.area_px) for r in extract_regions(without)
    ]
