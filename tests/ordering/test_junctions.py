"""T-junctions drawn by hand."""

import numpy as np
import pytest

from scenequilt.ordering.junctions import count_junctions

ROAD, SKY, CAR, POLE = 0, 1, 2, 3


def two_halves() -> "np.ndarray[tuple[int, int], np.dtype[np.int16]]":
    scene = np.full((100, 100), ROAD, np.int16)
    scene[:50] = SKY
    return scene


def test_what_interrupts_a_border_is_in_front_of_both_sides() -> None:
    scene = two_halves()
    scene[30:70, 40:70] = CAR

    votes = count_junctions(scene)

    # Where the horizon meets the car, once on each side.
    assert votes == {(CAR, ROAD): 2, (CAR, SKY): 2}


def test_a_corner_is_no_junction() -> None:
    scene = two_halves()
    scene[50:70, 40:70] = CAR

    votes = count_junctions(scene)

    # The horizon runs straight through at both corners of the car: the sky has half of the circle.
    assert set(votes) == {(SKY, CAR), (SKY, ROAD)}


def test_what_is_thinner_than_the_circle_says_nothing() -> None:
    scene = two_halves()
    scene[20:80, 50:52] = POLE

    assert not count_junctions(scene)


def test_unknown_regions_and_the_frame_say_nothing() -> None:
    scene = two_halves()
    scene[30:70, :3] = CAR
    void = two_halves()
    void[30:70, 40:70] = -1

    assert not count_junctions(scene)
    assert not count_junctions(void)


def test_renumbering_renumbers_the_answer() -> None:
    scene = two_halves()
    scene[30:70, 40:70] = CAR

    votes = count_junctions(10 - scene)

    assert votes == {(10 - CAR, 10 - ROAD): 2, (10 - CAR, 10 - SKY): 2}


def test_a_map_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"region_map must be \(H, W\), got \(3, 4, 5\)"):
        count_junctions(np.zeros((3, 4, 5), np.int16))
