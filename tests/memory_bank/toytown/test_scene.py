import numpy as np
import pytest

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.memory_bank.toytown import TOYTOWN_TAXONOMY, render_full_masks, render_scene
from scenequilt.memory_bank.toytown.classes import ROAD, SKY, VEGETATION
from scenequilt.memory_bank.toytown.light import make_light
from scenequilt.memory_bank.toytown.painter import Painter
from scenequilt.memory_bank.toytown.plan import draw_plan
from scenequilt.memory_bank.toytown.plants import Tree

SMALL = (64, 128)


def test_the_same_seed_gives_the_same_scene() -> None:
    first, second = render_scene(4, SMALL), render_scene(4, SMALL)

    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.layout.label_map, second.layout.label_map)
    np.testing.assert_array_equal(first.object_map, second.object_map)
    assert first.occlusion_order == second.occlusion_order


def test_other_scenes_between_do_not_change_a_scene() -> None:
    first = render_scene(4, SMALL)
    render_scene(5, (48, 200))

    np.testing.assert_array_equal(render_scene(4, SMALL).image, first.image)


def test_other_seeds_give_other_pictures() -> None:
    images = [render_scene(seed, SMALL).image for seed in range(4)]

    assert len({image.tobytes() for image in images}) == 4


def test_scenes_of_one_street_share_hour_and_weather() -> None:
    scenes = [render_scene(seed, SMALL, street_seed=77) for seed in range(4)]

    assert len({(scene.time_of_day, scene.weather) for scene in scenes}) == 1
    assert len({scene.image.tobytes() for scene in scenes}) == 4


@pytest.mark.parametrize(
    "size_hw", [(64, 128), (97, 61), (61, 211), (16, 16), (33, 300), (200, 50)]
)
def test_any_size(size_hw: tuple[int, int]) -> None:
    scene = render_scene(9, size_hw)

    assert scene.image.shape == (*size_hw, 3)
    assert scene.layout.size_hw == size_hw
    assert scene.object_map.min() >= 1


def test_a_size_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match=r"size_hw is 8x64, expected at least 16 pixels"):
        render_scene(0, (8, 64))


@pytest.mark.parametrize(
    ("seed", "street_seed", "name"), [(-1, None, "seed"), (0, -3, "street_seed")]
)
def test_a_negative_seed_is_refused(seed: int, street_seed: int | None, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} is -\d, expected 0 or more"):
        render_scene(seed, SMALL, street_seed=street_seed)


@pytest.mark.parametrize("seed", range(6))
def test_labels_are_classes_or_void(seed: int) -> None:
    labels = np.unique(render_scene(seed, SMALL).layout.label_map)

    assert ((labels < len(TOYTOWN_TAXONOMY)) | (labels == VOID)).all()


def test_every_class_and_void_occurs() -> None:
    seen: set[int] = set()
    for seed in range(24):
        seen.update(np.unique(render_scene(seed, (96, 192)).layout.label_map).tolist())

    assert seen == {*range(len(TOYTOWN_TAXONOMY)), VOID}


@pytest.mark.parametrize("seed", range(6))
def test_an_instance_has_one_class_and_stuff_has_none(seed: int) -> None:
    layout = render_scene(seed, SMALL).layout
    things = [number for number, c in enumerate(TOYTOWN_TAXONOMY.classes) if c.kind == "thing"]

    np.testing.assert_array_equal(layout.instance_map > 0, np.isin(layout.label_map, things))
    for instance_id in np.unique(layout.instance_map)[1:]:
        assert len(np.unique(layout.label_map[layout.instance_map == instance_id])) == 1


@pytest.mark.parametrize("seed", range(6))
def test_depth_is_known_everywhere_but_in_the_sky(seed: int) -> None:
    layout = render_scene(seed, SMALL).layout

    assert layout.depth_m is not None
    np.testing.assert_array_equal(layout.depth_m > 0, layout.label_map != SKY)
    assert np.isfinite(layout.depth_m).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_road_comes_nearer_down_every_column(seed: int) -> None:
    layout = render_scene(seed, SMALL).layout
    assert layout.depth_m is not None

    for column in range(0, SMALL[1], 7):
        depth = layout.depth_m[layout.label_map[:, column] == ROAD, column]
        assert (np.diff(depth) < 0).all()


@pytest.mark.parametrize("seed", [0, 3, 8, 12])
def test_the_last_object_in_the_order_that_covers_a_pixel_owns_it(seed: int) -> None:
    scene = render_scene(seed, SMALL)
    masks = render_full_masks(seed, SMALL)

    expected = np.zeros(SMALL, np.int32)
    for object_id, mask in masks.items():  # back to front
        expected[mask] = object_id

    np.testing.assert_array_equal(scene.object_map, expected)


@pytest.mark.parametrize("seed", [0, 3, 8])
def test_the_order_lists_what_is_seen_back_to_front(seed: int) -> None:
    scene = render_scene(seed, SMALL)

    listed = [item.object_id for item in scene.occlusion_order]
    seen, counts = np.unique(scene.object_map, return_counts=True)
    assert listed == seen.tolist()
    assert [item.visible_px for item in scene.occlusion_order] == counts.tolist()


def test_the_order_names_the_class_of_each_object() -> None:
    scene = render_scene(3, SMALL)

    for item in scene.occlusion_order:
        own = scene.object_map == item.object_id
        assert (scene.layout.label_map[own] == item.class_id).all()


def test_one_sees_through_a_tree() -> None:
    camera = draw_plan(0, (128, 128), 0).camera
    light = make_light("noon", "clear", np.random.default_rng(0))
    tree = Tree(0.0, 12.0, 7.0, 5.0, 2.0, "round", np.array([90.0, 130.0, 60.0]), 0.8, 5)
    painter = Painter(camera)
    painter.begin_object(1)

    tree.draw(painter, light)

    mask = painter.surfaces().object_map == 1
    rows, columns = np.nonzero(mask)
    box = mask[rows.min() : rows.max(), columns.min() : columns.max()]
    crown = box[: int(len(box) * 0.6)]
    holes = ~crown
    left = np.logical_or.accumulate(crown, axis=1)
    right = np.logical_or.accumulate(crown[:, ::-1], axis=1)[:, ::-1]
    assert (holes & left & right).sum() > 20  # with leaves on both sides
    assert crown.mean() > 0.3
    assert tree.class_id == VEGETATION


def test_no_sun_shines_through_a_closed_sky() -> None:
    sunny = make_light("noon", "clear", np.random.default_rng(0))
    dull = make_light("noon", "overcast", np.random.default_rng(0))

    assert sunny.sunny
    assert not dull.sunny
