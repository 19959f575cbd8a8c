"""Looks: what light adds, and how far two photographs are apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scenequilt.memory_bank.segment import Candidate
from scenequilt.synthesis.look import (
    Look,
    SourceLooks,
    lab_of,
    light_between,
    look_distance,
    look_of_photograph,
    look_of_segments,
    rgb_of,
)
from scenequilt.synthesis.stages import Bank


def look(*means: tuple[float, float, float] | None) -> Look:
    """Return a look with equal shares of the classes that have a mean."""
    shares = np.array([mean is not None for mean in means], np.float64)
    table = np.array([mean or (0, 0, 0) for mean in means], np.float64)
    return Look(table, shares / max(shares.sum(), 1), table.mean(axis=0), np.ones(3))


@given(arrays(np.uint8, (5, 3)))
def test_lab_and_back_is_the_same_colour(colors: np.ndarray) -> None:
    assert np.abs(rgb_of(lab_of(colors)).astype(int) - colors).max() <= 1


def test_white_is_lightness_100_without_hue() -> None:
    np.testing.assert_allclose(lab_of(np.full((1, 3), 255, np.uint8)), [[100, 0, 0]], atol=0.02)


def test_means_of_segments_pool_by_area() -> None:
    found = look_of_segments(
        np.array([0, 0, 2]),
        np.array([30, 10, 40]),
        np.array([[10, 0, 0], [50, 0, 0], [80, 4, 0]]),
        np.zeros((3, 3)),
        class_count=3,
    )

    np.testing.assert_allclose(found.class_mean[[0, 2], 0], [20, 80])
    np.testing.assert_allclose(found.class_share, [0.5, 0, 0.5])
    np.testing.assert_allclose(found.mean, [50, 2, 0])


def test_light_is_the_median_over_classes() -> None:
    here = look((50, 0, 0), (60, 0, 0), (40, 0, 0))
    there = look((58, 0, 0), (68, 0, 0), (90, 30, 0))

    np.testing.assert_allclose(light_between(here, there), [8, 0, 0])


def test_without_a_common_class_half_the_difference_is_light() -> None:
    here, there = look((50, 0, 0), None), look(None, (70, 0, 0))

    np.testing.assert_allclose(light_between(here, there), (there.mean - here.mean) / 2)


@given(st.lists(st.tuples(*[st.floats(-50, 50)] * 3), min_size=2, max_size=2))
def test_distance_is_symmetric_and_zero_to_itself(means: list[tuple[float, float, float]]) -> None:
    one, other = look(means[0]), look(means[1])

    assert look_distance(one, one) == 0
    assert look_distance(one, other) == pytest.approx(look_distance(other, one))


def test_a_grey_image_of_floats_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\) uint8, got \(4, 4\) float64"):
        look_of_photograph(np.zeros((4, 4)), None, 3)  # type: ignore[arg-type]


def test_a_photograph_is_known_once_a_candidate_in_the_bank_has_been_met(
    street_bank: Bank,
) -> None:
    looks = SourceLooks(street_bank)
    source_id = street_bank.segment(1000).source_id

    looks.meet([Candidate(1, source_id, 0, 1.0, 1.0, 0.0, 0.0, "frame")])
    assert source_id not in looks, "the bank holds no segment 1"
    looks.meet([Candidate(1000, source_id, 0, 1.0, 1.0, 0.0, 0.0, "frame")])

    assert source_id in looks
    assert looks[source_id].class_share.sum() == pytest.approx(1)
