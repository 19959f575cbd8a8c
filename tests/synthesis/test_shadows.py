"""Contact shadows: ground only, darker under an object."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.canvas import Canvas, paste
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.shadows import ShadowSettings, cast_contact_shadows
from scenequilt.synthesis.stages import Bank


@pytest.fixture(scope="module")
def canvas(make_street: Callable[..., Layout], street_bank: Bank) -> Canvas:
    made = compose(make_street(), street_bank)
    return paste(made.placed, made.order, made.requested, made.queries)


def test_only_ground_gets_darker(canvas: Canvas) -> None:
    image = np.full((*canvas.ownership.shape, 3), 200, np.uint8)

    shaded = cast_contact_shadows(image, canvas, ShadowSettings())

    changed = (shaded != image).any(axis=2)
    assert changed.any()
    assert (canvas.delivered.label_map[changed] == 1).all()
    assert (shaded <= image).all()


def test_right_below_the_car_is_darker_than_further_away(canvas: Canvas) -> None:
    image = np.full((*canvas.ownership.shape, 3), 200, np.uint8)
    rows, columns = np.nonzero(canvas.delivered.label_map == 2)
    below, middle = int(rows.max()) + 1, int(np.median(columns))

    shaded = cast_contact_shadows(image, canvas, ShadowSettings())

    assert shaded[below, middle, 0] < 180
    assert shaded[below, middle, 0] <= shaded[below + 2, middle, 0]


def test_no_depth_is_no_change(canvas: Canvas) -> None:
    image = np.full((*canvas.ownership.shape, 3), 200, np.uint8)

    assert cast_contact_shadows(image, canvas, ShadowSettings(depth=0)) is image


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"depth must be in \[0, 1\], got 2"):
        ShadowSettings(depth=2)


def test_an_object_that_is_wholly_hidden_throws_no_shadow(canvas: Canvas) -> None:
    image = np.full((*canvas.ownership.shape, 3), 200, np.uint8)
    road = next(n for n, item in enumerate(canvas.placed) if item.segment.class_id == 1)
    covered = replace(
        canvas,
        ownership=np.full_like(canvas.ownership, road),
        delivered=replace(canvas.delivered, label_map=np.full_like(canvas.delivered.label_map, 1)),
    )

    assert (cast_contact_shadows(image, covered, ShadowSettings()) == image).all()
