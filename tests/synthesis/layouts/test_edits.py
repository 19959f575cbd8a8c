"""Single edits: what may be dropped, what may be inserted where, what finds a place on other stuff."""

from collections.abc import Callable

import numpy as np
import pytest

from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.layouts.edits import (
    Edit,
    at_corner,
    drop,
    droppable,
    foot_places,
    insert,
    recombine,
    surroundings_agree,
)
from scenequilt.synthesis.layouts.layers import LayoutObject, split_layers

ROAD, PAVEMENT, CAR, PERSON, POLE, SIGN = 2, 3, 4, 5, 6, 7
HORIZON_ROW = 40

MakeTown = Callable[..., Layout]


def _only(make_town: MakeTown, *thing: int) -> LayoutObject:
    return split_layers(make_town([thing])).objects[0]


def test_what_is_dropped_leaves_the_street_without_it(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(CAR, 60, 70, 80, 100), (PERSON, 60, 10, 90, 20)]))

    left = drop(layers, 0).flatten()

    np.testing.assert_array_equal(left.label_map, make_town([(PERSON, 60, 10, 90, 20)]).label_map)


def test_an_object_in_front_of_another_is_not_dropped(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(CAR, 60, 70, 80, 100), (PERSON, 55, 90, 90, 100)]))

    assert [layers.objects[place].class_id for place in droppable(layers)] == [CAR]


def test_a_pole_in_front_of_a_car_is_dropped_without_a_trace(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(CAR, 60, 70, 80, 100), (POLE, 10, 84, 86, 86)]))

    left = drop(layers, 1).flatten()

    np.testing.assert_array_equal(left.label_map, make_town([(CAR, 60, 70, 80, 100)]).label_map)


def test_an_object_that_fills_the_picture_is_not_dropped(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(CAR, 30, 10, 110, 90)]))

    assert droppable(layers) == []


def test_an_object_hidden_by_a_nearer_one_is_not_inserted(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(CAR, 60, 70, 110, 140)]))

    assert insert(layers, _only(make_town, PERSON, 55, 80, 75, 88), HORIZON_ROW) is None


def test_an_object_that_would_hide_most_of_another_is_not_inserted(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(PERSON, 50, 82, 70, 92)]))

    assert insert(layers, _only(make_town, CAR, 40, 60, 110, 90), HORIZON_ROW) is None


def test_two_objects_do_not_stand_in_one_place(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(CAR, 60, 70, 90, 110)]))
    behind = _only(make_town, CAR, 40, 65, 60, 100)
    beside = _only(make_town, CAR, 62, 112, 92, 150)

    assert insert(layers, _only(make_town, CAR, 62, 95, 92, 135), HORIZON_ROW) is None
    assert insert(layers, beside, HORIZON_ROW) is not None
    assert insert(layers, behind, HORIZON_ROW) is not None


def test_feet_are_put_on_the_ground_asked_for(make_town: MakeTown) -> None:
    background = make_town([]).label_map
    person = _only(make_town, PERSON, 60, 10, 90, 20)

    on_pavement = foot_places(background, person, 90, [PAVEMENT], PAVEMENT)
    at_building = foot_places(background, person, 48, [PAVEMENT], PAVEMENT)

    assert (on_pavement.min(), on_pavement.max()) == (0, 42), "two of ten columns may be beside it"
    assert at_building.size == 0


def test_a_sign_hangs_only_where_it_has_around_it_what_it_had(make_town: MakeTown) -> None:
    source = split_layers(make_town([(SIGN, 30, 100, 36, 112)]))
    target = split_layers(make_town([]))
    sign = source.objects[0]

    assert surroundings_agree(source, sign, target, at_corner(sign, 30, 20))
    assert not surroundings_agree(source, sign, target, at_corner(sign, 5, 100)), "in the sky"
    assert not surroundings_agree(source, sign, target, at_corner(sign, 80, 100)), "on the road"


def test_objects_find_their_place_on_other_stuff(make_town: MakeTown) -> None:
    objects = split_layers(
        make_town([(CAR, 60, 70, 80, 100), (PERSON, 60, 10, 90, 20), (SIGN, 30, 100, 36, 112)])
    )
    other = make_town([])
    other.label_map[20:50, 80:] = 0
    other.label_map[50:95, :45] = 1

    together = recombine(objects, split_layers(other))

    assert [item.class_id for item in together.objects] == [CAR], "no pavement, no wall"
    np.testing.assert_array_equal(together.background, other.label_map)


def test_what_a_missing_object_hid_is_missing_too(make_town: MakeTown) -> None:
    objects = split_layers(make_town([(CAR, 60, 30, 80, 70), (PERSON, 55, 20, 100, 40)]))
    other = make_town([])
    other.label_map[90:, :45] = 1

    together = recombine(objects, split_layers(other))

    assert together.objects == ()


def test_stuff_of_another_size_is_refused(make_town: MakeTown) -> None:
    layers = split_layers(make_town([]))
    small = Layout(layers.background[:60].copy(), np.zeros((60, 160), np.int32), layers.taxonomy)

    with pytest.raises(ValueError, match=r"objects come from a layout of \(120, 160\), stuff"):
        recombine(layers, split_layers(small))


def test_an_edit_says_in_json_what_it_did() -> None:
    assert Edit("flip").as_json() == {"kind": "flip"}
    assert Edit("insert", "car", "street7", (1, 2, 3, 4)).as_json() == {
        "kind": "insert",
        "class": "car",
        "parent": "street7",
        "box": [1, 2, 3, 4],
    }
