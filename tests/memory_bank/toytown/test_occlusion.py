import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scenequilt.memory_bank.toytown.camera import Camera
from scenequilt.memory_bank.toytown.occlusion import back_to_front
from scenequilt.memory_bank.toytown.world import Footprint

CAMERA = Camera((100, 200), 160.0, (100.0, 40.0), 1.5, 0.0)


def test_nothing_to_sort() -> None:
    assert back_to_front([], CAMERA) == []


def test_the_nearer_of_two_comes_later() -> None:
    near, far = Footprint(-1, 1, 5, 6), Footprint(-1, 1, 9, 10)

    assert back_to_front([near, far], CAMERA) == [1, 0]


def test_a_long_car_hides_the_post_beside_it_though_its_middle_is_farther() -> None:
    car, post = Footprint(-3.9, -2.1, 8.0, 12.6), Footprint(-4.5, -4.4, 10.0, 10.1)

    assert back_to_front([car, post], CAMERA) == [1, 0]


@given(
    st.lists(
        st.tuples(st.floats(-9, 9), st.floats(0.1, 3), st.floats(2, 60), st.floats(0.1, 6)),
        min_size=1,
        max_size=12,
    )
)
def test_every_object_is_drawn_once(boxes: list[tuple[float, float, float, float]]) -> None:
    footprints = [Footprint(x, x + wide, z, z + deep) for x, wide, z, deep in boxes]

    order = back_to_front(footprints, CAMERA)

    assert sorted(order) == list(range(len(boxes)))


def test_boards_one_behind_the_other_come_out_by_depth() -> None:
    depths = np.random.default_rng(3).permutation(np.arange(4.0, 40.0, 2.0))
    footprints = [Footprint(-1, 1, z, z + 0.5) for z in depths]

    order = back_to_front(footprints, CAMERA)

    assert depths[order].tolist() == sorted(depths, reverse=True)
