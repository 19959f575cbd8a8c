"""Edits of a layout object by object: what changes, what stays, and what is refused."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.synthesis.manipulation import (
    Scene,
    add_object,
    object_mask,
    relabel_instance,
    remove_instance,
    restyle_instance,
)

SKY, ROAD, CAR, BUS = 0, 1, 2, 3

TAXONOMY = Taxonomy(
    "edited",
    (
        ClassInfo(0, "sky", (70, 130, 180), "stuff"),
        ClassInfo(1, "road", (128, 64, 128), "stuff"),
        ClassInfo(2, "car", (0, 0, 142), "thing"),
        ClassInfo(3, "bus", (0, 60, 100), "thing"),
    ),
)

HORIZON = 8


def _street() -> Layout:
    """Return sky over road, 20x30, with car 4 across the horizon and car 6 on the road."""
    labels = np.full((20, 30), ROAD, np.uint8)
    labels[:HORIZON] = SKY
    instances = np.zeros(labels.shape, np.int32)
    labels[5:12, 4:12], instances[5:12, 4:12] = CAR, 4
    labels[13:18, 18:26], instances[13:18, 18:26] = CAR, 6
    return Layout(labels, instances, TAXONOMY, np.full(labels.shape, 9, np.float32))


SCENE_EDITS = pytest.mark.parametrize(
    "edit",
    [
        lambda scene: add_object(scene, np.ones((3, 4), np.bool_), (1, 1), "bus", style=2),
        lambda scene: remove_instance(scene, 4),
        lambda scene: remove_instance(scene, 4, class_name="road"),
        lambda scene: relabel_instance(scene, 4, "bus"),
        lambda scene: restyle_instance(scene, 4, 3),
    ],
    ids=["add", "remove", "remove as", "relabel", "restyle"],
)


@SCENE_EDITS
def test_the_given_scene_stays_as_it_was(edit: Callable[[Scene], Scene]) -> None:
    scene, untouched = Scene(_street(), {4: 1, 6: 0}), _street()

    edit(scene)

    np.testing.assert_array_equal(scene.layout.label_map, untouched.label_map)
    np.testing.assert_array_equal(scene.layout.instance_map, untouched.instance_map)
    assert scene.layout.depth_m is not None
    assert (scene.layout.depth_m == 9).all()
    assert scene.styles == {4: 1, 6: 0}


@SCENE_EDITS
def test_no_edit_touches_another_object(edit: Callable[[Scene], Scene]) -> None:
    scene = Scene(_street(), {6: 5})

    edited = edit(scene)

    mine = scene.layout.instance_map == 6
    assert (edited.layout.instance_map[mine] == 6).all()
    assert (edited.layout.label_map[mine] == CAR).all()
    assert edited.styles[6] == 5


def test_an_added_object_has_a_fresh_number_its_class_and_its_style() -> None:
    mask = np.array([[False, True], [True, True]])

    edited = add_object(Scene(_street()), mask, (2, 20), "bus", style=1)

    assert edited.edited == 7
    assert edited.instances == [4, 6, 7]
    assert edited.styles == {7: 1}
    pixels = np.argwhere(edited.layout.instance_map == 7).tolist()
    assert pixels == [[2, 21], [3, 20], [3, 21]]
    assert (edited.layout.label_map[edited.layout.instance_map == 7] == BUS).all()
    assert edited.layout.label_map[2, 20] == SKY
    assert edited.layout.depth_m is not None
    assert edited.layout.depth_m[3, 21] == 0
    assert edited.layout.depth_m[2, 20] == 9


def test_two_added_cars_do_not_merge() -> None:
    mask = np.ones((3, 3), np.bool_)

    edited = add_object(Scene(_street()), mask, (1, 20), "car")
    edited = add_object(edited, mask, (1, 23), "car")

    assert edited.layout.instance_map[2, 20] == 7
    assert edited.layout.instance_map[2, 23] == 8


@pytest.mark.parametrize(
    ("corner", "area"), [((-2, -1), 1 * 3), ((18, 27), 2 * 3), ((0, 28), 3 * 2)]
)
def test_what_reaches_out_of_the_frame_is_cut_off(corner: tuple[int, int], area: int) -> None:
    edited = add_object(Scene(_street()), np.ones((3, 4), np.bool_), corner, "bus")

    assert np.count_nonzero(edited.layout.instance_map == edited.edited) == area


def test_an_object_that_is_wholly_hidden_loses_its_style() -> None:
    edited = add_object(Scene(_street(), {4: 1}), np.ones((9, 12), np.bool_), (4, 2), "bus")

    assert edited.instances == [6, 7]
    assert edited.styles == {}


def test_added_stuff_is_no_object() -> None:
    edited = add_object(Scene(_street()), np.ones((2, 2), np.bool_), (14, 20), "road")

    assert edited.edited == 0
    assert (edited.layout.instance_map[14:16, 20:22] == 0).all()
    assert (edited.layout.label_map[14:16, 20:22] == ROAD).all()


def test_behind_a_removed_object_the_stuff_goes_on_and_the_horizon_is_level() -> None:
    edited = remove_instance(Scene(_street(), {4: 2}), 4)

    assert edited.instances == [6]
    assert edited.styles == {}
    assert (edited.layout.label_map[:HORIZON] == SKY).all()
    assert (edited.layout.label_map[HORIZON:12] == ROAD).all()


def test_a_removed_object_leaves_the_class_that_is_named() -> None:
    edited = remove_instance(Scene(_street()), 4, class_name="road")

    assert (edited.layout.label_map[5:12, 4:12] == ROAD).all()
    assert (edited.layout.instance_map[5:12, 4:12] == 0).all()


def test_a_relabelled_object_is_another_one_of_the_same_shape() -> None:
    scene = Scene(_street(), {4: 2, 6: 1})

    edited = relabel_instance(scene, 4, "bus")

    assert edited.edited == 7
    assert edited.styles == {6: 1}, "the old style went with the old object"
    np.testing.assert_array_equal(edited.layout.instance_map == 7, scene.layout.instance_map == 4)
    assert (edited.layout.label_map[edited.layout.instance_map == 7] == BUS).all()


def test_an_object_may_become_stuff() -> None:
    edited = relabel_instance(Scene(_street()), 6, "road")

    assert edited.edited == 0
    assert edited.instances == [4]


def test_a_style_is_chosen_and_given_back() -> None:
    scene = restyle_instance(Scene(_street()), 6, 3)

    assert (scene.styles, scene.edited) == ({6: 3}, 6)
    assert restyle_instance(scene, 6, None).styles == {}


def test_an_object_can_be_copied() -> None:
    layout = _street()

    mask, corner = object_mask(layout, 6)
    edited = add_object(Scene(layout), mask, (corner[0] - 12, corner[1]), "car")

    assert (mask.shape, corner) == ((5, 8), (13, 18))
    assert np.count_nonzero(edited.layout.instance_map == 7) == 40


def test_a_removed_object_put_back_is_the_scene_it_was() -> None:
    layout = _street()
    mask, corner = object_mask(layout, 6)

    edited = add_object(remove_instance(Scene(layout), 6), mask, corner, "car")

    np.testing.assert_array_equal(edited.layout.label_map, layout.label_map)


@pytest.mark.parametrize("instance_id", [0, 5])
@pytest.mark.parametrize(
    "edit",
    [
        lambda scene, number: remove_instance(scene, number),
        lambda scene, number: relabel_instance(scene, number, "bus"),
        lambda scene, number: restyle_instance(scene, number, 1),
        lambda scene, number: object_mask(scene.layout, number),
        lambda scene, number: Scene(scene.layout, {number: 1}),
    ],
    ids=["remove", "relabel", "restyle", "mask", "scene"],
)
def test_an_object_that_is_not_there_is_refused_with_those_there_are(
    edit: Callable[[Scene, int], object], instance_id: int
) -> None:
    with pytest.raises(ValueError, match=f"no instance {instance_id}; the layout has 4, 6"):
        edit(Scene(_street()), instance_id)


@pytest.mark.parametrize(
    ("mask", "corner", "message"),
    [
        (np.zeros((2, 2), np.bool_), (0, 0), r"nothing of the mask of 2x2 pixels at \(0, 0\)"),
        (np.ones((2, 2), np.bool_), (20, 0), r"at \(20, 0\) lies inside of the layout of 20x30"),
        (np.ones((2, 2), np.uint8), (0, 0), r"must be \(h, w\) bool, got \(2, 2\) uint8"),
    ],
)
def test_a_mask_without_pixels_is_refused(
    mask: NDArray[np.bool_], corner: tuple[int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        add_object(Scene(_street()), mask, corner, "car")


def test_an_unknown_class_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no class 'tram'; there are sky, road, car, bus"):
        relabel_instance(Scene(_street()), 4, "tram")


def test_a_thing_in_the_place_of_a_removed_one_is_refused() -> None:
    with pytest.raises(ValueError, match="'bus' is a class of things, expected stuff"):
        remove_instance(Scene(_street()), 4, class_name="bus")


def test_a_style_of_stuff_is_refused() -> None:
    with pytest.raises(ValueError, match="style is 2, but 'road' is stuff"):
        relabel_instance(Scene(_street()), 4, "road", style=2)


def test_a_negative_style_is_refused() -> None:
    with pytest.raises(ValueError, match="style of instance 4 is -1, expected 0 or more"):
        restyle_instance(Scene(_street()), 4, -1)


def test_without_stuff_nothing_can_go_on_behind_an_object() -> None:
    labels = np.full((8, 8), CAR, np.uint8)
    instances = np.ones((8, 8), np.int32)
    instances[:, 4:] = 2

    with pytest.raises(ValueError, match="no stuff that could go on behind instance 2; name"):
        remove_instance(Scene(Layout(labels, instances, TAXONOMY)), 2)
