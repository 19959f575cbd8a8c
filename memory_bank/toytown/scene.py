"""One picture of toytown with everything that is true of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.memory_bank.toytown.classes import TOYTOWN_TAXONOMY
from scenequilt.memory_bank.toytown.ground import shade_ground
from scenequilt.memory_bank.toytown.lens import expose
from scenequilt.memory_bank.toytown.light import TimeOfDay, Weather
from scenequilt.memory_bank.toytown.occlusion import back_to_front
from scenequilt.memory_bank.toytown.painter import SAMPLES, Painter
from scenequilt.memory_bank.toytown.plan import Plan, draw_plan
from scenequilt.memory_bank.toytown.world import WorldObject

MIN_SIZE_PX = 16


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object of a picture, stuff or thing.

    Attributes:
        object_id: Its number in object_map; for things also in the layout's instance map.
        class_id: Class id in TOYTOWN_TAXONOMY, or 255 for what has no class.
        depth_m: Depth of the middle of its foot; 0 for the sky and the ground.
        visible_px: Pixels that it owns.
    """

    object_id: int
    class_id: int
    depth_m: float
    visible_px: int


@dataclass(frozen=True, eq=False)
class ToytownScene:
    """A picture of toytown.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        layout: Label map, instance map and depth in metres along the view axis; the depth of the
            sky is 0, unknown.
        object_map: (H, W) int32 object id of every pixel, stuff included; never 0.
        occlusion_order: Every object that owns a pixel, back to front: where two overlap, the
            later one owns the pixels.
        seed: What the scene was drawn from.
        street_seed: What its hour, weather and style were drawn from.
        weather: As in light.WEATHERS.
        time_of_day: As in light.TIMES_OF_DAY.
    """

    image: NDArray[np.uint8]
    layout: Layout
    object_map: NDArray[np.int32]
    occlusion_order: tuple[SceneObject, ...]
    seed: int
    street_seed: int
    weather: Weather
    time_of_day: TimeOfDay


def render_scene(
    seed: int, size_hw: tuple[int, int] = (256, 512), *, street_seed: int | None = None
) -> ToytownScene:
    """Render a picture of toytown. Same arguments, same picture.

    Args:
        seed: What the camera, the houses and everybody in the street are drawn from; >= 0.
        size_hw: (height, width) of the picture in pixels, at least 16 each.
        street_seed: What hour, weather and the style of the street are drawn from, >= 0; pictures
            that share it look like one walk through one town. None for the seed itself.

    Raises:
        ValueError: If a seed is negative or a size is under 16 pixels.
    """
    plan, drawn = _planned(seed, size_hw, street_seed)
    painter = Painter(plan.camera)
    _draw(painter, plan, drawn)
    surfaces = painter.surfaces()
    object_map = surfaces.object_map
    ground = (object_map > 1) & (object_map <= 1 + len(plan.ground))
    image = expose(painter.picture(), surfaces.depth_m, ground, plan.light, plan.camera, seed)

    class_of = np.array([VOID, *(item.class_id for item in drawn)], np.uint8)
    is_thing = np.array([False, *(_is_thing(item.class_id) for item in drawn)])
    layout = Layout(
        class_of[object_map],
        np.where(is_thing[object_map], object_map, 0).astype(np.int32),
        TOYTOWN_TAXONOMY,
        surfaces.depth_m,
    )
    visible = np.bincount(object_map.ravel(), minlength=len(drawn) + 1)
    grounds = 1 + len(plan.ground)
    order = tuple(
        SceneObject(
            object_id,
            item.class_id,
            0.0 if object_id <= grounds else plan.camera.depth_of(*item.footprint.center),
            int(visible[object_id]),
        )
        for object_id, item in enumerate(drawn, start=1)
        if visible[object_id]
    )
    return ToytownScene(
        image,
        layout,
        object_map,
        order,
        seed,
        plan.street_seed,
        plan.weather,
        plan.time_of_day,
    )


def render_full_masks(
    seed: int, size_hw: tuple[int, int] = (256, 512), *, street_seed: int | None = None
) -> dict[int, NDArray[np.bool_]]:
    """Return the (H, W) bool mask that each object of a scene would have if nothing hid it.

    Args:
        seed, size_hw, street_seed: As for render_scene.

    Returns:
        Mask by object id, for every object of the scene's plan; some are seen nowhere.
    """
    plan, drawn = _planned(seed, size_hw, street_seed)
    masks = {}
    for object_id, item in enumerate(drawn, start=1):
        painter = Painter(plan.camera)
        painter.begin_object(object_id)
        item.draw(painter, plan.light)
        masks[object_id] = painter.surface[::SAMPLES, ::SAMPLES] > 0
    return masks


def _planned(
    seed: int, size_hw: tuple[int, int], street_seed: int | None
) -> tuple[Plan, list[WorldObject]]:
    """Return the plan and its objects back to front."""
    if min(size_hw) < MIN_SIZE_PX:
        raise ValueError(
            f"size_hw is {size_hw[0]}x{size_hw[1]}, expected at least {MIN_SIZE_PX} pixels each way"
        )
    for name, value in (("seed", seed), ("street_seed", street_seed)):
        if value is not None and value < 0:
            raise ValueError(f"{name} is {value}, expected 0 or more")
    plan = draw_plan(seed, size_hw, seed if street_seed is None else street_seed)
    order = back_to_front([item.footprint for item in plan.standing], plan.camera)
    return plan, [plan.sky, *plan.ground, *(plan.standing[index] for index in order)]


def _draw(painter: Painter, plan: Plan, drawn: Sequence[WorldObject]) -> None:
    grounds = 1 + len(plan.ground)
    for object_id, item in enumerate(drawn[:grounds], start=1):
        painter.begin_object(object_id)
        item.draw(painter, plan.light)
    sunny = plan.light.sunny
    shadows = [s for item in plan.standing if sunny for s in item.shadows(plan.light)]
    contacts = [item.footprint for item in plan.standing]
    shade_ground(painter, plan.street, plan.light, shadows, contacts, plan.lamps)
    for object_id, item in enumerate(drawn[grounds:], start=grounds + 1):
        painter.begin_object(object_id)
        item.draw(painter, plan.light)


def _is_thing(class_id: int) -> bool:
    return class_id != VOID and TOYTOWN_TAXONOMY.classes[class_id].kind == "thing"
