"""What holds for everything that can stand in a street."""

import math
from typing import get_args

import numpy as np
import pytest

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.memory_bank.toytown import TOYTOWN_TAXONOMY
from scenequilt.memory_bank.toytown.camera import Camera
from scenequilt.memory_bank.toytown.facades import GroundFloor, House, Wall
from scenequilt.memory_bank.toytown.furniture import (
    Bin,
    Fence,
    FenceKind,
    LampPost,
    Sign,
    SignKind,
    SignPost,
)
from scenequilt.memory_bank.toytown.light import gray, make_light, rgb
from scenequilt.memory_bank.toytown.painter import Painter
from scenequilt.memory_bank.toytown.people import Cyclist, Facing, Outfit, Walker
from scenequilt.memory_bank.toytown.plants import Habit, Hedge, Tree, TreeLine
from scenequilt.memory_bank.toytown.vehicles import Body, Car
from scenequilt.memory_bank.toytown.world import Footprint, WorldObject

CAMERA = Camera((96, 192), 150.0, (96.0, 45.0), 1.6, 0.04)
GREEN = rgb(90, 130, 60)


def house(side: int, wall: Wall, ground_floor: GroundFloor, roof_m: float) -> House:
    place = {
        -1: Footprint(-16, -7, 14, 24),
        0: Footprint(-6, 6, 30, 39),
        1: Footprint(7, 16, 14, 24),
    }[side]
    return House(
        side=side,
        place=place,
        height_m=7.0,
        roof_m=roof_m,
        storeys=2,
        wall=wall,
        wall_color=rgb(170, 100, 80),
        trim_color=gray(230),
        roof_color=gray(90),
        ground_floor=ground_floor,
        window_m=(1.1, 1.5),
        bay_m=2.6,
        shade_below_m=2.0,
        end_above_m=0.0,
        seed=7,
    )


def every_object() -> dict[str, WorldObject]:
    objects: dict[str, WorldObject] = {
        "hedge": Hedge(1, Footprint(4, 5, 8, 14), 1.2, GREEN, 3),
        "tree line": TreeLine(120.0, 16.0, GREEN, 3),
        "lamp with an arm": LampPost(2.0, 10.0, 6.5, -1.5, gray(60)),
        "lantern": LampPost(2.0, 10.0, 3.9, 0.0, gray(60)),
        "post": SignPost(1.0, 9.0, 2.6),
        "bin": Bin(1.0, 9.0, gray(60)),
    }
    for side in (-1, 0, 1):
        for number, wall in enumerate(get_args(Wall)):
            floor = get_args(GroundFloor)[number % 3]
            objects[f"house {side} {wall}"] = house(side, wall, floor, 3.0 * (number % 2))
    for habit in get_args(Habit):
        objects[f"tree {habit}"] = Tree(0.0, 15.0, 6.0, 4.0, 1.5, habit, GREEN, 0.8, 4)
    for fence in get_args(FenceKind):
        objects[f"fence {fence}"] = Fence(-1, Footprint(-4, -3.8, 8, 14), 1.2, fence, gray(120), 5)
    for sign in get_args(SignKind):
        objects[f"sign {sign}"] = Sign(1.0, 7.0, 2.4, sign)
    for facing in get_args(Facing):
        for outfit in get_args(Outfit):
            objects[f"walker {facing} {outfit}"] = Walker(
                0.5, 0.0, 8.0, 1.7, facing, outfit, 0.2, facing == "left", True, True, 6
            )
        objects[f"cyclist {facing}"] = Cyclist(-0.5, 0.0, 9.0, facing, 0.3, True, 6)
    for body in get_args(Body):
        for turn in (0.0, 1.2, math.pi, -2.0):
            objects[f"car {body} {turn:.1f}"] = Car(
                -1.5, 11.0, turn, body, rgb(160, 30, 30), True, turn > 0, 8
            )
    return objects


OBJECTS = every_object()
LIGHTS = {
    "sun": make_light("golden hour", "clear", np.random.default_rng(2)),
    "dusk": make_light("dusk", "rain", np.random.default_rng(2)),
}


def drawn(item: WorldObject, light: str) -> Painter:
    painter = Painter(CAMERA)
    painter.begin_object(5)
    item.draw(painter, LIGHTS[light])
    return painter


@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("name", OBJECTS)
def test_it_is_seen(name: str, light: str) -> None:
    object_map = drawn(OBJECTS[name], light).surfaces().object_map

    assert (object_map == 5).sum() >= 8
    assert np.isin(object_map, (0, 5)).all()


@pytest.mark.parametrize("name", OBJECTS)
def test_its_class_is_of_the_taxonomy_or_void(name: str) -> None:
    class_id = OBJECTS[name].class_id

    assert class_id == VOID or 0 <= class_id < len(TOYTOWN_TAXONOMY)


@pytest.mark.parametrize("name", OBJECTS)
def test_nothing_is_coloured_that_it_does_not_own(name: str) -> None:
    painter = drawn(OBJECTS[name], "sun")

    assert not painter.color[painter.surface == 0].any()


@pytest.mark.parametrize("name", OBJECTS)
def test_what_was_drawn_before_does_not_change_it(name: str) -> None:
    alone = drawn(OBJECTS[name], "sun")
    over = Painter(CAMERA)
    over.color[:] = 200
    over.begin_object(1)
    over.begin_board(500.0)
    over.surface[:] = over.current_surface

    over.begin_object(5)
    OBJECTS[name].draw(over, LIGHTS["sun"])

    own = alone.surface > 0
    np.testing.assert_array_equal(over.surfaces().object_map == 5, alone.surfaces().object_map == 5)
    np.testing.assert_array_equal(over.color[own], alone.color[own])


@pytest.mark.parametrize("name", [name for name in OBJECTS if not name.startswith("tree line")])
def test_its_depth_is_that_of_its_footprint(name: str) -> None:
    item = OBJECTS[name]
    surfaces = drawn(item, "sun").surfaces()
    foot = item.footprint
    corners = [
        CAMERA.depth_of(x, z) for x in (foot.left, foot.right) for z in (foot.near, foot.far)
    ]

    depth = surfaces.depth_m[surfaces.object_map == 5]

    # Eaves and verges overhang, and a lamp's arm reaches out.
    assert depth.min() >= min(corners) - 0.6
    assert depth.max() <= max(corners) + 0.6


@pytest.mark.parametrize("name", OBJECTS)
def test_its_shadows_are_flat_polygons(name: str) -> None:
    for outline in OBJECTS[name].shadows(LIGHTS["sun"]):
        assert outline.ndim == 2
        assert outline.shape[1] == 2
        assert len(outline) >= 3
        assert np.isfinite(outline).all()
