from itertools import combinations

import pytest

from scenequilt.memory_bank.toytown.classes import BICYCLIST, CAR, PERSON
from scenequilt.memory_bank.toytown.plan import Plan, draw_plan


def plans() -> list[Plan]:
    return [draw_plan(seed, (256, 512), seed) for seed in range(16)]


@pytest.mark.parametrize("plan", plans())
def test_nobody_stands_in_a_car_or_in_somebody_else(plan: Plan) -> None:
    moving = [item for item in plan.standing if item.class_id in (CAR, PERSON, BICYCLIST)]

    for first, second in combinations(moving, 2):
        assert not first.footprint.overlaps(second.footprint)


@pytest.mark.parametrize("plan", plans())
def test_cars_stay_between_the_kerbs(plan: Plan) -> None:
    for item in plan.standing:
        if item.class_id == CAR:
            assert item.footprint.left > plan.street.road_left - 0.1
            assert item.footprint.right < plan.street.road_right + 0.1


@pytest.mark.parametrize("plan", plans())
def test_everything_stands_in_front_of_the_camera(plan: Plan) -> None:
    for item in plan.standing:
        assert plan.camera.depth_of(*item.footprint.center) > 0
