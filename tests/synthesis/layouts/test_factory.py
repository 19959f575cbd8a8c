"""The layout factory: same seed, same layout; objects where and as large as they are in the dataset."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.layouts.factory import FactorySettings, LayoutFactory, edit_kinds
from scenequilt.synthesis.layouts.source import DatasetLayouts
from scenequilt.synthesis.layouts.statistics import LayoutSource, learn_statistics

ROAD, PAVEMENT, CAR, PERSON, POLE, SIGN = 2, 3, 4, 5, 6, 7


def _factory(layouts: LayoutSource, **settings: object) -> LayoutFactory:
    return LayoutFactory(learn_statistics(layouts), layouts, FactorySettings(**settings))  # type: ignore[arg-type]


def test_same_seed_same_layouts(streets: LayoutSource) -> None:
    one, other = _factory(streets), _factory(streets)

    for place in range(4):
        first, again = one.make(place, 3), other.make(place, 3)
        np.testing.assert_array_equal(first.layout.label_map, again.layout.label_map)
        np.testing.assert_array_equal(first.layout.instance_map, again.layout.instance_map)
        assert (first.parents, first.edits) == (again.parents, again.edits)


def test_a_layout_does_not_depend_on_those_before(streets: LayoutSource) -> None:
    factory = _factory(streets)
    for place in range(3):
        factory.make(place, 0)

    np.testing.assert_array_equal(
        factory.make(3, 0).layout.label_map, _factory(streets).make(3, 0).layout.label_map
    )


def test_one_round_derives_from_every_layout_once(streets: LayoutSource) -> None:
    factory = _factory(streets, edits=("flip",))

    parents = [factory.make(place, 5).parents for place in range(12)]

    assert sorted(parents) == sorted((f"street{place}",) for place in range(12))


def test_flip_alone_is_the_mirror_image(streets: LayoutSource) -> None:
    made = _factory(streets, edits=("flip",)).make(0, 0)

    source = streets.read(int(made.parents[0].removeprefix("street")))
    np.testing.assert_array_equal(made.layout.label_map, source.label_map[:, ::-1])


def test_inserted_objects_stand_on_their_ground_at_the_scale_of_the_place(
    streets: LayoutSource,
) -> None:
    factory = _factory(streets, edits=("insert",), inserts=3.0)

    seen = 0
    for place in range(12):
        made = factory.make(place, 1)
        for edit in made.edits:
            assert edit.box is not None
            top, left, bottom, right = edit.box
            assert (top >= 0, left >= 0, bottom <= 120, right <= 160) == (True,) * 4
            if edit.class_name in ("car", "person"):
                assert bottom - top == pytest.approx(bottom - 40, rel=0.25)
                ground = PAVEMENT if edit.class_name == "person" else ROAD
                below = made.layout.label_map[min(bottom, 119), left:right]
                assert np.isin(below, [ground, CAR, PERSON, POLE, SIGN]).mean() >= 0.8
                seen += 1
    assert seen > 5


def test_what_was_put_in_is_in_the_layout_with_a_number_of_its_own(streets: LayoutSource) -> None:
    made = _factory(streets, edits=("insert",), favor={"person": 100.0}).make(0, 2)

    persons = made.layout.label_map == PERSON
    numbers = np.unique(made.layout.instance_map[persons])
    inserted = sum(edit.class_name == "person" for edit in made.edits)
    assert inserted > 0
    assert len(numbers) == 1 + inserted
    assert 0 not in numbers


def test_parents_name_every_layout_that_went_in(streets: LayoutSource) -> None:
    made = _factory(streets).make(2, 7)

    assert {edit.parent for edit in made.edits if edit.parent} <= set(made.parents)
    assert len(set(made.parents)) == len(made.parents)


def test_a_favored_class_is_inserted_more_often(streets: LayoutSource) -> None:
    def count(factory: LayoutFactory) -> int:
        made = [factory.make(place, 0) for place in range(12)]
        return sum(edit.class_name == "car" for each in made for edit in each.edits)

    usual = count(_factory(streets, edits=("insert",)))
    favored = count(_factory(streets, edits=("insert",), favor={"car": 50.0}))
    never = count(_factory(streets, edits=("insert",), favor={"car": 0.0}))

    assert never == 0
    assert favored > usual


def test_recombining_takes_the_stuff_of_another_layout(
    streets: LayoutSource, fixed_layouts: Callable[..., LayoutSource]
) -> None:
    layouts = [streets.read(place) for place in range(3)]
    for number, layout in enumerate(layouts):
        layout.label_map[: 5 + number][layout.label_map[: 5 + number] == 0] = 1
    factory = _factory(
        fixed_layouts(layouts), edits=("recombine",), recombine_share=1.0, most_hidden=0.5
    )

    made = factory.make(0, 0)

    stuff = layouts[int(made.parents[1].removeprefix("street"))]
    upper = slice(0, 5 + int(made.parents[1].removeprefix("street")))
    assert made.edits[0].parent == made.parents[1] != made.parents[0]
    wall = stuff.label_map[upper] == 1
    assert (made.layout.label_map[upper][wall] == 1).all() or (
        made.layout.label_map[upper][wall[:, ::-1]] == 1
    ).all()


def test_another_layout_is_drawn_for_one_that_cannot_be_edited(
    make_town: Callable[..., Layout], fixed_layouts: Callable[..., LayoutSource]
) -> None:
    towns = [make_town([]), make_town([]), make_town([(CAR, 60, 70, 80, 100)]), make_town([])]
    factory = _factory(fixed_layouts(towns), edits=("drop",))

    made = [factory.make(place, 0) for place in range(4)]

    assert [each.parents for each in made] == [("street2",)] * 4
    again = _factory(fixed_layouts(towns), edits=("drop",)).make(1, 0)
    assert again.edits == made[1].edits


def test_why_no_other_stuff_was_taken_is_said(
    streets: LayoutSource, fixed_layouts: Callable[..., LayoutSource]
) -> None:
    alone = _factory(
        fixed_layouts([streets.read(0)]), edits=("flip", "recombine"), recombine_share=1.0
    )

    made = alone.make(0, 0)

    # Its own mirror image does not count as another layout.
    assert made.no_stuff == (
        "no other layout has its ground at the same place (overlap of 0.6 or more)"
    )


@pytest.mark.parametrize("weight", [1.0, 5.0])
def test_favored_objects_are_as_large_as_is_of_use(
    make_town: Callable[..., Layout], fixed_layouts: Callable[..., LayoutSource], weight: float
) -> None:
    """Of 1000 x 1000 pixels 200 are 0.02 %; half of the cars have 64, half have more."""
    layouts = []
    for number in range(10):
        town = make_town([])
        rows = np.repeat(town.label_map, 10, axis=0)[:1000]
        label_map = np.repeat(rows, 10, axis=1)[:, :1000].copy()
        side = 8 if number % 2 else 32
        label_map[700 - side : 700, 600 + 5 * number : 600 + 5 * number + side] = CAR
        numbers = (label_map == CAR).astype(np.int32)
        layouts.append(Layout(label_map, numbers, town.taxonomy))
    factory = _factory(
        fixed_layouts(layouts), edits=("insert",), favor={"car": weight}, scale_limits=(0.2, 5.0)
    )

    boxes = [edit.box for place in range(10) for edit in factory.make(place, 0).edits]

    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in boxes if box is not None]
    assert len(areas) > 5
    assert (min(areas) >= 200) == (weight > 1)


def test_favored_objects_may_be_small_where_there_are_no_larger_ones(
    make_town: Callable[..., Layout], fixed_layouts: Callable[..., LayoutSource]
) -> None:
    layouts = []
    for number in range(6):
        rows = np.repeat(make_town([]).label_map, 10, axis=0)[:1000]
        label_map = np.repeat(rows, 10, axis=1)[:, :1000].copy()
        label_map[692:700, 600 + 5 * number : 608 + 5 * number] = CAR
        numbers = (label_map == CAR).astype(np.int32)
        layouts.append(Layout(label_map, numbers, make_town([]).taxonomy))
    factory = _factory(fixed_layouts(layouts), edits=("insert",), favor={"car": 5.0})

    assert all(factory.make(place, 0).edits for place in range(6))


def test_a_dataset_where_nothing_can_be_done_is_named(
    make_town: Callable[..., Layout], fixed_layouts: Callable[..., LayoutSource]
) -> None:
    factory = _factory(fixed_layouts([make_town([])]), edits=("drop", "insert"))

    with pytest.raises(
        DatasetError, match=r"layout 'street0': none of the edits drop, insert can .*20 draws"
    ):
        factory.make(0, 0)


def test_a_class_that_cannot_be_favored_is_refused(streets: LayoutSource) -> None:
    with pytest.raises(ValueError, match="no class 'tram'; there are sky, building"):
        _factory(streets, favor={"tram": 2.0})
    with pytest.raises(ValueError, match=r"'sky' cannot be favored.*there are objects of: .*car"):
        _factory(streets, favor={"sky": 2.0})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"edits": ()}, "edits holds nothing, expected some of flip"),
        ({"edits": ("turn",)}, "edits holds 'turn'"),
        ({"flip_share": 1.5}, "flip_share is 1.5, expected 0 to 1"),
        ({"inserts": 0.5}, "inserts is 0.5, expected at least 1; for none leave insert out"),
        ({"favor": {"car": -1.0}}, "favor of 'car' is -1.0"),
        ({"scale_limits": (1.1, 2.0)}, "expected one to include 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FactorySettings(**settings)  # type: ignore[arg-type]


def test_edits_are_named_and_ordered() -> None:
    assert edit_kinds(["insert", "flip"]) == ("flip", "insert")
    with pytest.raises(ValueError, match="no edit 'turn'; there are flip, recombine, drop, insert"):
        edit_kinds(["turn"])


def test_statistics_of_other_layouts_are_refused(
    streets: LayoutSource, fixed_layouts: Callable[..., LayoutSource]
) -> None:
    statistics = learn_statistics(streets)

    with pytest.raises(ValueError, match="statistics are of 12 layouts, but there are 1"):
        LayoutFactory(statistics, fixed_layouts([streets.read(0)]))


@pytest.mark.realdata
def test_rare_classes_of_real_streets_become_less_rare(real_data: Path) -> None:
    reader = open_dataset(real_data / "camvid")
    entries = [entry for entry in reader.entries("train") if entry.sequence == "0001TP"]
    layouts = DatasetLayouts(reader, entries)
    factory = _factory(layouts)

    made = [factory.make(place, 0) for place in range(12)]

    bicyclist = reader.taxonomy.class_id("bicyclist")
    place_of = {layouts.name(place): place for place in range(len(layouts))}
    bases = [layouts.read(place_of[item.parents[0]]) for item in made]
    before = sum(np.count_nonzero(item.label_map == bicyclist) for item in bases)
    after = sum(np.count_nonzero(item.layout.label_map == bicyclist) for item in made)
    assert after > before
