"""Streets simple enough to know every answer: sky, building, pavement, road, and things on them."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy

SKY, BUILDING, ROAD, PAVEMENT, CAR, PERSON, POLE, SIGN = range(8)
HORIZON = 40
SIZE_HW = (120, 160)

TAXONOMY = Taxonomy(
    "street",
    (
        ClassInfo(0, "sky", (70, 130, 180), "stuff"),
        ClassInfo(1, "building", (70, 70, 70), "stuff"),
        ClassInfo(2, "road", (128, 64, 128), "stuff"),
        ClassInfo(3, "pavement", (244, 35, 232), "stuff"),
        ClassInfo(4, "car", (0, 0, 142), "thing"),
        ClassInfo(5, "person", (220, 20, 60), "thing"),
        ClassInfo(6, "pole", (153, 153, 153), "thing", thin=True),
        ClassInfo(7, "sign", (220, 220, 0), "thing", thin=True, text=True),
    ),
)

Thing = tuple[int, int, int, int, int]
"""(class id, top, left, bottom, right)"""


def street(things: Sequence[Thing] = ()) -> Layout:
    """Return sky over a building over a road, pavement on the left; things are painted in turn."""
    label_map = np.full(SIZE_HW, ROAD, np.uint8)
    label_map[:20] = SKY
    label_map[20 : HORIZON + 10] = BUILDING
    label_map[HORIZON + 10 :, :50] = PAVEMENT
    instance_map = np.zeros(SIZE_HW, np.int32)
    for number, (class_id, top, left, bottom, right) in enumerate(things, start=1):
        label_map[top:bottom, left:right] = class_id
        instance_map[top:bottom, left:right] = number
    return Layout(label_map, instance_map, TAXONOMY)


class FixedLayouts:
    """Layouts in memory."""

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self._layouts = list(layouts)
        self.taxonomy = TAXONOMY

    def __len__(self) -> int:
        return len(self._layouts)

    def name(self, place: int) -> str:
        return f"street{place}"

    def read(self, place: int) -> Layout:
        return self._layouts[place]


def car_at(foot_row: int, left: int) -> Thing:
    """Return a car as high as its foot is below the horizon, and half as wide again."""
    height = foot_row - HORIZON
    return CAR, foot_row - height, left, foot_row, left + height * 3 // 2


def person_at(foot_row: int, left: int) -> Thing:
    """Return a person as high as its foot is below the horizon, and a third as wide."""
    height = foot_row - HORIZON
    return PERSON, foot_row - height, left, foot_row, left + max(height // 3, 3)


@pytest.fixture(scope="session")
def streets() -> FixedLayouts:
    """Twelve streets of a car on the road, a person on the pavement, a pole with a sign, a sign."""
    layouts = []
    for number in range(12):
        shift = 3 * number
        layouts.append(
            street(
                [
                    (SIGN, 26, 100 + number, 36, 112 + number),
                    (POLE, 10, 30 + number, 56, 32 + number),
                    (SIGN, 12, 28 + number, 20, 36 + number),
                    car_at(64 + shift, 70 + number),
                    person_at(60 + 2 * number, 4 + number),
                ]
            )
        )
    return FixedLayouts(layouts)


@pytest.fixture(scope="session")
def make_town() -> Callable[[Sequence[Thing]], Layout]:
    """Makes a street of 120x160 with things (class id, top, left, bottom, right) on it.

    Rows 0-19 are sky (0), 20-49 building (1), below is road (2), left of column 50 pavement (3);
    car is 4, person 5, pole 6, sign 7. The horizon is row 40.
    """
    return street


@pytest.fixture(scope="session")
def fixed_layouts() -> Callable[[Sequence[Layout]], FixedLayouts]:
    """Makes a source of layouts in memory, named street0, street1, ..."""
    return FixedLayouts
