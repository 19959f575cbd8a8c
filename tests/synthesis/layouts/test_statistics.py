"""Layout statistics: the horizon, heights and grounds of streets that were drawn by them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.layouts.source import DatasetLayouts
from scenequilt.synthesis.layouts.statistics import LayoutSource, learn_statistics

ROAD, PAVEMENT, CAR, PERSON, POLE, SIGN = 2, 3, 4, 5, 6, 7


def test_the_horizon_is_where_heights_vanish(streets: LayoutSource) -> None:
    statistics = learn_statistics(streets)

    assert statistics.horizon == pytest.approx(40 / 120, abs=0.01)


def test_heights_follow_the_foot_row(streets: LayoutSource) -> None:
    statistics = learn_statistics(streets)

    for class_id in (CAR, PERSON):
        assert statistics.classes[class_id].height_per_row == pytest.approx(1, abs=0.05)
    assert statistics.usual_height(CAR, 0.5) == pytest.approx(20 / 120, rel=0.1)
    assert statistics.is_usual(CAR, 0.5, 20 / 120)
    assert not statistics.is_usual(CAR, 0.5, 40 / 120), "twice as high as cars are there"
    assert not statistics.is_usual(CAR, 0.2, 0.1), "above the horizon"


def test_classes_stand_on_what_is_below_their_feet(streets: LayoutSource) -> None:
    classes = learn_statistics(streets).classes

    assert classes[CAR].grounds == {ROAD: 1.0}
    assert classes[PERSON].grounds == {PAVEMENT: 1.0}
    assert (classes[CAR].standing, classes[SIGN].standing) == (True, False)


def test_shares_and_counts_are_those_of_the_pixels(streets: LayoutSource) -> None:
    statistics = learn_statistics(streets)

    pixels = sum(
        np.bincount(streets.read(place).label_map.ravel(), minlength=8) for place in range(12)
    )
    shares = [entry.pixel_share for entry in statistics.classes]
    np.testing.assert_allclose(shares, pixels / np.sum(pixels))
    assert statistics.classes[CAR].objects == 12
    assert statistics.classes[CAR].layouts == 12


def test_objects_cut_or_hidden_are_not_whole(
    make_town: Callable[..., Layout], fixed_layouts: Callable[..., LayoutSource]
) -> None:
    things = [
        (CAR, 60, 0, 80, 30),
        (CAR, 60, 70, 80, 100),
        (PERSON, 50, 90, 100, 110),
        (CAR, 100, 60, 120, 90),
    ]

    statistics = learn_statistics(fixed_layouts([make_town(things)]))

    found = {item.foot_row * 120: item.whole for item in statistics.sightings if item.class_id == 4}
    assert found == {80: False, 120: False}, "cut by the left frame, hidden; cut by the lower frame"
    assert [item.whole for item in statistics.sightings if item.class_id == PERSON] == [True]


def test_streets_raise_no_doubt_on_placement(streets: LayoutSource) -> None:
    statistics = learn_statistics(streets)

    assert statistics.height_fit == pytest.approx(1, abs=0.1), "drawn by the horizon, all explained"
    assert statistics.placement_doubts() == ()


def test_things_on_walls_and_of_any_height_raise_doubts(
    make_town: Callable[..., Layout], fixed_layouts: Callable[..., LayoutSource]
) -> None:
    """Cars of random height on the road, three persons each on the building."""
    rng = np.random.default_rng(0)
    towns = []
    for _ in range(12):
        foot, height = int(rng.integers(60, 118)), int(rng.integers(6, 40))
        walls = [(PERSON, 26, left, 36, left + 6) for left in (60, 120, 140)]
        towns.append(make_town([*walls, (CAR, foot - height, 80, foot, 110)]))

    statistics = learn_statistics(fixed_layouts(towns))

    on_ground, fit = statistics.placement_doubts()
    assert on_ground == "25 % of the things stand on ground, expected 50 % or more"
    assert "of how heights differ within a class, expected 30 % or more" in fit
    assert statistics.height_fit is not None
    assert statistics.height_fit < 0.3


def test_too_few_things_to_tell_heights_are_a_doubt(
    make_town: Callable[..., Layout], fixed_layouts: Callable[..., LayoutSource]
) -> None:
    statistics = learn_statistics(fixed_layouts([make_town([(CAR, 60, 70, 80, 100)])]))

    assert statistics.height_fit is None
    assert "no class has 5 things that stand on ground whole" in statistics.placement_doubts()[0]


def test_pixels_are_counted_layout_by_layout(streets: LayoutSource) -> None:
    pixels = learn_statistics(streets).pixels

    for place in range(12):
        counts = np.bincount(streets.read(place).label_map.ravel(), minlength=256)
        np.testing.assert_array_equal(pixels[place], counts)


@pytest.mark.realdata
def test_real_rooms_raise_doubts_and_real_streets_none(real_data: Path) -> None:
    def doubts(name: str, step: int) -> tuple[str, ...]:
        reader = open_dataset(real_data / name)
        return learn_statistics(DatasetLayouts(reader, reader.entries()[::step])).placement_doubts()

    assert doubts("nyuv2", 20)
    assert doubts("cityscapes_sample", 1) == ()
    assert doubts("camvid", 20) == ()


def test_statistics_as_json_name_the_classes(streets: LayoutSource) -> None:
    table = learn_statistics(streets).as_json()

    assert table["layouts"] == 12
    assert table["classes"][CAR]["name"] == "car"
    assert table["classes"][CAR]["grounds"] == {"road": 1.0}


def test_no_layout_and_nothing_but_void_are_refused(
    make_town: Callable[..., Layout], fixed_layouts: Callable[..., LayoutSource]
) -> None:
    with pytest.raises(ValueError, match="layouts is empty"):
        learn_statistics(fixed_layouts([]))
    void = make_town([])
    void.label_map[:] = VOID
    with pytest.raises(ValueError, match="none of 1 layouts shows a class, all is void"):
        learn_statistics(fixed_layouts([void]))
