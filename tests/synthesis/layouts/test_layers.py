"""Layers: a layout taken apart and put together again."""

from collections.abc import Callable

import numpy as np
import pytest

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.synthesis.layouts.layers import (
    LayoutObject,
    mirrored,
    moved,
    resized,
    split_layers,
)

BUILDING, ROAD, CAR, PERSON, POLE, SIGN = 1, 2, 4, 5, 6, 7

MakeTown = Callable[..., Layout]


def test_layers_put_together_again_are_the_layout(make_town: MakeTown) -> None:
    layout = make_town([(CAR, 60, 70, 80, 100), (PERSON, 55, 90, 90, 100), (POLE, 5, 60, 70, 62)])

    again = split_layers(layout).flatten()

    np.testing.assert_array_equal(again.label_map, layout.label_map)
    pairs = np.unique(np.stack([layout.instance_map, again.instance_map]).reshape(2, -1), axis=1)
    assert pairs.shape[1] == len(np.unique(layout.instance_map)), "one number, one object"


def test_nearer_objects_come_later(make_town: MakeTown) -> None:
    layout = make_town([(PERSON, 55, 90, 90, 100), (CAR, 60, 70, 80, 88)])

    layers = split_layers(layout)

    assert [item.class_id for item in layers.objects] == [CAR, PERSON]


def test_behind_objects_the_stuff_goes_on(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(CAR, 40, 70, 80, 100)]))

    np.testing.assert_array_equal(layers.background, make_town([]).label_map)


def test_void_stays_void(make_town: MakeTown) -> None:
    layout = make_town([(CAR, 60, 70, 80, 100)])
    layout.label_map[100:, :] = VOID

    layers = split_layers(layout)

    assert (layers.background[100:] == VOID).all()
    assert (layers.background[:100] != VOID).all()


def test_a_car_goes_on_behind_a_pole_in_front_of_it(make_town: MakeTown) -> None:
    layout = make_town([(CAR, 60, 70, 80, 100), (POLE, 10, 84, 86, 86)])

    car, pole = split_layers(layout).objects

    assert (car.class_id, pole.class_id) == (CAR, POLE)
    assert car.mask.all(), "the two columns behind the pole are the car's as well"


def test_a_car_in_front_of_a_pole_is_not_behind_it(make_town: MakeTown) -> None:
    layout = make_town([(CAR, 60, 70, 90, 100), (POLE, 10, 84, 70, 86)])

    pole, car = split_layers(layout).objects

    assert (pole.class_id, car.class_id) == (POLE, CAR)
    assert np.count_nonzero(~car.mask) == 2 * 10


def test_a_sign_moves_with_its_pole(make_town: MakeTown) -> None:
    layout = make_town([(POLE, 10, 30, 60, 32), (SIGN, 12, 26, 20, 36), (SIGN, 12, 90, 20, 100)])

    objects = split_layers(layout).objects

    labels = [np.unique(item.labels[item.mask]).tolist() for item in objects]
    assert labels == [[SIGN], [POLE, SIGN]]
    assert all(item.thin for item in objects)


def test_a_rider_moves_with_the_bicycle() -> None:
    taxonomy = Taxonomy(
        "riders",
        (
            ClassInfo(0, "road", (0, 0, 1), "stuff"),
            ClassInfo(1, "rider", (0, 1, 0), "thing"),
            ClassInfo(2, "bicycle", (1, 0, 0), "thing"),
            ClassInfo(3, "person", (1, 1, 0), "thing"),
        ),
    )
    label_map = np.zeros((20, 30), np.uint8)
    label_map[2:8, 5:8], label_map[8:12, 3:10], label_map[2:12, 10:13] = 1, 2, 3
    layout = Layout(label_map, label_map.astype(np.int32), taxonomy)

    objects = split_layers(layout).objects

    assert sorted(np.unique(item.labels[item.mask]).tolist() for item in objects) == [[1, 2], [3]]


def test_twice_mirrored_is_as_before(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(CAR, 60, 70, 80, 100), (POLE, 5, 60, 70, 62)]))

    once, twice = layers.mirrored(), layers.mirrored().mirrored()

    np.testing.assert_array_equal(once.flatten().label_map, layers.flatten().label_map[:, ::-1])
    assert [item.box for item in twice.objects] == [item.box for item in layers.objects]


def test_an_object_is_put_behind_what_is_nearer(make_town: MakeTown) -> None:
    layers = split_layers(make_town([(CAR, 60, 70, 90, 100)]))
    person = split_layers(make_town([(PERSON, 50, 75, 80, 85)])).objects[0]

    together = layers.with_object(person).flatten()

    assert (together.label_map[60:80, 75:85] == CAR).all()
    assert (together.label_map[50:60, 75:85] == PERSON).all()


@pytest.mark.parametrize(("scale", "size"), [(0.5, (10, 15)), (2.0, (40, 60)), (1.0, (20, 30))])
def test_a_box_stays_a_box_at_another_scale(
    make_town: MakeTown, scale: float, size: tuple[int, int]
) -> None:
    car = split_layers(make_town([(CAR, 60, 70, 80, 100)])).objects[0]

    other = resized(car, scale)

    assert other.labels.shape == size
    assert other.mask.all()
    assert other.box == (0, 0, *size)


def test_moving_and_mirroring_keep_the_pixels(make_town: MakeTown) -> None:
    car = split_layers(make_town([(CAR, 60, 70, 80, 100), (CAR, 55, 70, 60, 80)])).objects[0]

    other = moved(mirrored(car), 5, -7)

    assert other.box == (car.box[0] + 5, car.box[1] - 7, car.box[2] + 5, car.box[3] - 7)
    np.testing.assert_array_equal(other.mask, car.mask[:, ::-1])


def test_a_box_of_another_size_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"box \(0, 0, 2, 3\) is \(2, 3\), but labels are \(2, 2\)"
    ):
        LayoutObject(0, (0, 0, 2, 3), np.zeros((2, 2), np.uint8), np.zeros((2, 2), np.int32), False)
