"""Mending: void is closed, other classes are not; others' shadows are left behind."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Segment
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.synthesis.choice import ChoiceSettings
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.finish import NoFinish
from scenequilt.synthesis.mending import ShadowPlaces, mend_mask, take_out_shadows
from scenequilt.synthesis.stages import Bank, ComposeSettings

SIZE = (72, 96)

TOWN = (200, 300)
"""A frame on which shadows reach 5 pixels, and 2 upwards."""

ROAD, SKY, CAR, POLE, SIGN = range(5)

TAXONOMY = Taxonomy(
    "town",
    (
        ClassInfo(0, "road_main", (1, 1, 1), "stuff"),
        ClassInfo(1, "sky", (2, 2, 2), "stuff"),
        ClassInfo(2, "car", (3, 3, 3), "thing"),
        ClassInfo(3, "pole", (4, 4, 4), "thing", thin=True),
        ClassInfo(4, "billboard", (5, 5, 5), "thing", text=True),
    ),
)

EMPTY = Layout(np.full(TOWN, ROAD, np.uint8), np.zeros(TOWN, np.int32), TAXONOMY)
"""A street on which nothing is asked for."""

ONE_PIECE = ComposeSettings(choice=ChoiceSettings(stuff_pieces=1, texture_pieces=0))


def road(mask: np.ndarray) -> Segment:
    box = (0, 0, *SIZE)
    return Segment(1, 0, "a", box, box, np.zeros((*SIZE, 3), np.uint8), mask, SIZE, True)


def cracked(value: int) -> tuple[Segment, np.ndarray]:
    """Return a road with a crack one pixel wide, of some class."""
    label_map = np.zeros(SIZE, np.uint8)
    label_map[:, 40] = value
    return road(label_map == 0), label_map


def test_a_crack_of_void_is_closed() -> None:
    segment, label_map = cracked(VOID)

    assert mend_mask(segment, label_map).mask.all()


def test_a_pole_is_not() -> None:
    segment, label_map = cracked(3)

    assert mend_mask(segment, label_map) is segment


def test_a_wide_void_is_not() -> None:
    label_map = np.zeros(SIZE, np.uint8)
    label_map[:, 30:50] = VOID

    segment = road(label_map == 0)

    assert mend_mask(segment, label_map) is segment


def test_a_smaller_label_map_mends_nothing_for_a_pole_may_stand_between_its_samples() -> None:
    label_map = np.zeros(SIZE, np.uint8)
    label_map[:, 40:42] = VOID
    label_map[20:, 41] = 3
    segment = road(label_map == 0)

    assert (label_map[::2, ::2] != 3).all()
    assert mend_mask(segment, label_map[::2, ::2]) is segment


def without_shadows(segment: Segment, label_map: np.ndarray, layout: Layout) -> Segment:
    return take_out_shadows(segment, ShadowPlaces(layout, lambda source_id: label_map))


def standing(
    class_id: int, *, ground: int = ROAD, box: tuple[int, int, int, int] = (100, 100, 120, 140)
) -> tuple[Segment, np.ndarray]:
    """Return ground all over a photograph but for one object, and its label map."""
    label_map = np.full(TOWN, ground, np.uint8)
    label_map[box[0] : box[2], box[1] : box[3]] = class_id
    frame = (0, 0, *TOWN)
    color = np.zeros((*TOWN, 3), np.uint8)
    mask = label_map == ground
    return Segment(1, ground, "a", frame, frame, color, mask, TOWN, True), label_map


def test_what_is_below_and_beside_a_car_is_taken_out_and_less_above() -> None:
    segment, label_map = standing(CAR)

    lit = without_shadows(segment, label_map, EMPTY).mask

    expected = np.ones(TOWN, np.bool_)
    expected[98:125, 95:145] = False
    assert np.array_equal(lit, expected)


def test_what_is_between_its_wheels_goes_with_it() -> None:
    segment, label_map = standing(CAR)
    label_map[112:120, 110:130] = ROAD
    segment.mask[112:120, 110:130] = True

    lit = without_shadows(segment, label_map, EMPTY).mask

    assert not lit[98:125, 95:145].any()


def test_the_ground_between_two_distant_cars_stays() -> None:
    segment, label_map = standing(CAR)
    label_map[100:120, 200:240] = CAR

    lit = without_shadows(segment, label_map, EMPTY).mask

    assert lit[100:120, 145:195].all()


@pytest.mark.parametrize("class_id", [POLE, SIGN, SKY, VOID])
def test_only_objects_that_stand_on_the_ground_throw_shadows(class_id: int) -> None:
    segment, label_map = standing(class_id)

    assert without_shadows(segment, label_map, EMPTY) is segment


def test_the_shadow_stays_where_an_object_is_asked_for() -> None:
    segment, label_map = standing(CAR)
    asked = Layout(label_map[::2, ::2].copy(), np.zeros((100, 150), np.int32), TAXONOMY)

    assert without_shadows(segment, label_map, asked) is segment


def test_the_rest_of_an_object_that_is_partly_covered_throws_its_shadow() -> None:
    segment, label_map = standing(CAR)
    above = label_map.copy()
    above[110:120] = ROAD
    asked = Layout(above, np.zeros(TOWN, np.int32), TAXONOMY)

    lit = without_shadows(segment, label_map, asked).mask

    assert not lit[120:125, 95:145].any()
    assert lit[100:108, :100].all()


def test_a_photograph_is_looked_at_once() -> None:
    segment, label_map = standing(CAR)
    asked_for = []

    def label_map_of(source_id: str) -> np.ndarray:
        asked_for.append(source_id)
        return label_map

    shadows = ShadowPlaces(EMPTY, label_map_of)
    first, second = (take_out_shadows(segment, shadows) for _ in range(2))

    assert np.array_equal(first.mask, second.mask)
    assert asked_for == ["a"]


def test_only_ground_loses_anything() -> None:
    segment, label_map = standing(CAR, ground=SKY)

    assert without_shadows(segment, label_map, EMPTY) is segment


def test_a_segment_that_is_mostly_shadow_is_kept() -> None:
    segment, label_map = standing(CAR, box=(8, 8, 192, 292))

    assert without_shadows(segment, label_map, EMPTY) is segment


def test_a_smaller_label_map_is_laid_over_the_crop_and_the_box_follows_the_mask() -> None:
    segment, label_map = standing(CAR, box=(0, 100, 90, 300))
    cut = Segment(
        1,
        ROAD,
        "a",
        (90, 80, 200, 300),
        (80, 60, 200, 300),
        segment.color[80:, 60:],
        np.pad(segment.mask[90:, 80:], ((10, 0), (20, 0))),
        TOWN,
        True,
    )

    lit = without_shadows(cut, label_map[1::2, 1::2], EMPTY)

    expected = cut.mask.copy()
    expected[: 94 - 80, 96 - 60 :] = False
    assert np.array_equal(lit.mask, expected)
    assert lit.box == (90, 80, 200, 300)
    assert lit.crop_box == cut.crop_box


def test_the_box_shrinks_with_the_mask() -> None:
    segment, label_map = standing(CAR, box=(0, 0, 20, 300))

    assert without_shadows(segment, label_map, EMPTY).box == (25, 0, 200, 300)


def test_a_road_is_composed_without_the_shadow_of_a_car_that_is_not_asked_for(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    make_bank: Callable[..., Bank],
) -> None:
    street = make_street(size_hw=(80, 120), car=(40, 50))
    empty = make_street(size_hw=(80, 120), car=None)
    bank = make_bank([("with_car", make_photograph(street, 1), street)], street.taxonomy)

    made = compose(empty, bank, finish=NoFinish(), settings=ONE_PIECE)

    shadow = np.zeros((80, 120), np.bool_)
    shadow[39:50, 48:64] = True
    assert np.array_equal(made.coverage, ~shadow)
