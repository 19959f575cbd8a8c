import numpy as np
import pytest

from scenequilt.memory_bank.toytown.light import (
    TIMES_OF_DAY,
    WEATHERS,
    TimeOfDay,
    Weather,
    make_light,
)


@pytest.mark.parametrize("time_of_day", TIMES_OF_DAY)
@pytest.mark.parametrize("weather", WEATHERS)
def test_every_hour_and_weather_has_a_light(time_of_day: TimeOfDay, weather: Weather) -> None:
    light = make_light(time_of_day, weather, np.random.default_rng(1))

    assert np.linalg.norm(light.toward_sun) == pytest.approx(1.0)
    assert light.toward_sun[1] > 0
    assert light.ambient.min() > 0.2


def test_a_wall_turned_to_the_sun_is_brighter_than_one_turned_away() -> None:
    light = make_light("afternoon", "clear", np.random.default_rng(1))
    x, _, z = light.toward_sun.tolist()

    assert light.on((x, 0.0, z)).sum() > 1.2 * light.on((-x, 0.0, -z)).sum()


def test_a_low_sun_throws_longer_shadows() -> None:
    noon = make_light("noon", "clear", np.random.default_rng(1))
    golden = make_light("golden hour", "clear", np.random.default_rng(1))

    assert np.hypot(*golden.shadow_offset(1.0)) > 2 * np.hypot(*noon.shadow_offset(1.0))


def test_a_shadow_lies_away_from_the_sun() -> None:
    light = make_light("noon", "clear", np.random.default_rng(1))

    x, z = light.shadow_offset(2.0)

    assert np.sign(x) == -np.sign(light.toward_sun[0])
    assert np.sign(z) == -np.sign(light.toward_sun[2])
