"""Colour transfer: identity where nothing differs, limited where much does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scenequilt.memory_bank.segment import Candidate, PlacedSegment, Segment
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.synthesis.color_transfer import (
    Recolored,
    TransferSettings,
    recolor,
    recolor_placed,
    shifts_towards,
)
from scenequilt.synthesis.look import Look, lab_of

TAXONOMY = Taxonomy(
    "three",
    (
        ClassInfo(0, "sky", (0, 0, 1), "stuff"),
        ClassInfo(1, "tree", (0, 1, 0), "stuff"),
        ClassInfo(2, "car", (1, 0, 0), "thing"),
    ),
)
SIZE = (16, 24)


def look(sky: float, tree: float, car: float) -> Look:
    table = np.array([[sky, 0, 0], [tree, 0, 0], [car, 0, 0]], np.float64)
    return Look(table, np.full(3, 1 / 3), table.mean(axis=0), np.ones(3))


def place(
    class_id: int,
    source_id: str,
    color: np.ndarray,
    *,
    query_id: int = 0,
    columns: slice = slice(None),
) -> PlacedSegment:
    box = (0, 0, *SIZE)
    mask = np.zeros(SIZE, np.bool_)
    mask[:, columns] = True
    segment = Segment(1, class_id, source_id, box, box, color, mask, SIZE, False)
    candidate = Candidate(1, source_id, 0, 1.0, 1.0, 0.0, 0.0, "frame")
    return PlacedSegment(query_id, segment, candidate, np.eye(2, 3), box, color, mask, 1.0)


def grey(shade: int) -> np.ndarray:
    return np.full((*SIZE, 3), shade, np.uint8)


def recolored(
    placed: list[PlacedSegment], anchor: Look, taxonomy: Taxonomy = TAXONOMY, **looks: Look
) -> list[np.ndarray]:
    means = np.array([lab_of(item.color[item.mask]).mean(axis=0) for item in placed])
    spreads = np.array([lab_of(item.color[item.mask])[:, 0].std() for item in placed])
    reach = [np.ones(SIZE, np.bool_) for _ in placed]
    return list(
        recolor_placed(
            placed,
            reach,
            anchor,
            looks,
            means,
            spreads,
            taxonomy,
            SIZE,
            TransferSettings(),
            band_px=6,
        ).colors
    )


def test_identical_statistics_are_left_bit_by_bit() -> None:
    color = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    own = look(80, 40, 50)

    (result,) = recolored([place(2, "a", color)], own, a=own)

    assert np.array_equal(result, color)


def test_a_thing_moves_with_the_light_of_its_photograph() -> None:
    shifts = shifts_towards(
        look(88, 48, 58),
        [place(2, "a", grey(90))],
        {"a": look(80, 40, 50)},
        np.array([[30.0, 0, 0]]),
        np.array([5.0]),
        TAXONOMY,
        TransferSettings(strength=1.0),
    )

    np.testing.assert_allclose(shifts, [[8, 0, 0]])


def test_a_change_is_limited() -> None:
    shifts = shifts_towards(
        look(99, 99, 99),
        [place(2, "a", grey(90))],
        {"a": look(10, 10, 10)},
        np.array([[30.0, 0, 0]]),
        np.array([5.0]),
        TAXONOMY,
        TransferSettings(max_lightness=12),
    )

    assert shifts[0, 0] == 12


@given(arrays(np.uint8, (6, 3)), st.tuples(*[st.floats(-20, 20)] * 3))
def test_black_stays_black(colors: np.ndarray, shift: tuple[float, float, float]) -> None:
    colors[0] = 0

    moved = recolor(colors, np.array(shift))

    assert moved is None or (moved[0] == 0).all()


def test_highlights_are_kept_where_asked() -> None:
    white = np.full((1, 3), 255, np.uint8)

    kept = recolor(white, np.array([-10, 0, 0]), keep_highlights=True)
    moved = recolor(white, np.array([-10, 0, 0]))

    assert kept is not None and (kept == 255).all()
    assert moved is not None and (moved < 240).all()


def test_an_imperceptible_change_is_none() -> None:
    assert recolor(np.full((2, 3), 90, np.uint8), np.array([0.3, 0.2, 0.0])) is None


def test_a_second_piece_takes_the_colour_of_the_first_beside_the_seam() -> None:
    own = look(60, 40, 50)
    placed = [
        place(0, "a", grey(150), columns=slice(0, 12)),
        place(0, "b", grey(165), columns=slice(12, 24)),
    ]

    first, second = recolored(placed, own, a=own, b=own)

    assert np.abs(second[:, 12:].astype(int) - first[0, 0]).max() <= 3


def test_sky_within_a_tree_becomes_the_sky_of_the_picture() -> None:
    tree = grey(40)
    tree[::2] = 235
    there = look(float(lab_of(np.full((1, 3), 235, np.uint8))[0, 0]), 20, 50)
    sky = place(0, "here", np.full((*SIZE, 3), (150, 190, 230), np.uint8), query_id=0)
    here = Look(
        np.array([lab_of(sky.color[0, :1])[0], [20, 0, 0], [50, 0, 0]]),
        np.full(3, 1 / 3),
        np.zeros(3),
        np.ones(3),
    )

    _, result = recolored([sky, place(1, "there", tree, query_id=1)], here, here=here, there=there)

    assert result[0, 0, 2] > result[0, 0, 0] + 20, "what was white sky is blue"
    assert np.ptp(result[1, 0]) <= 4, "what is tree takes no blue"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strength": 1.5}, r"strength must be in \[0, 1\], got 1.5"),
        ({"max_chroma": -1.0}, r"max_chroma must not be negative, got -1.0"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TransferSettings(**wrong)


def test_sky_and_tree_are_known_by_longer_names_too() -> None:
    names = ("sky_other_merged", "tree_merged", "car")
    merged = Taxonomy(
        "merged",
        tuple(replace(TAXONOMY.classes[n], name=name) for n, name in enumerate(names)),
    )
    tree = grey(40)
    tree[::2] = 235
    there, here = look(93, 20, 50), look(60, 20, 50)
    placed = [place(0, "here", grey(145), query_id=0), place(1, "there", tree, query_id=1)]

    short, long = (
        recolored(placed, here, taxonomy, here=here, there=there) for taxonomy in (TAXONOMY, merged)
    )

    assert short[1][0, 0, 0] < 200, "white sky between leaves became grey sky"
    assert np.array_equal(short[1], long[1])


def test_what_has_not_changed_is_taken_from_before() -> None:
    rng = np.random.default_rng(0)
    colors = [rng.integers(60, 200, (*SIZE, 3)).astype(np.uint8) for _ in range(3)]
    placed = [
        place(1, "a", colors[0], query_id=0, columns=slice(0, 14)),
        place(1, "a", colors[1], query_id=0, columns=slice(10, 24)),
        place(2, "a", colors[2], query_id=1),
    ]
    reach = [np.ones(SIZE, np.bool_) for _ in placed]
    anchor, looks = look(80, 40, 50), {"a": look(70, 35, 48)}

    def moved(items: list[PlacedSegment], earlier: Recolored | None = None) -> Recolored:
        means = np.array([lab_of(item.color[item.mask]).mean(axis=0) for item in items])
        spreads = np.full(len(items), 9.0)
        return recolor_placed(
            items, reach, anchor, looks, means, spreads, TAXONOMY, SIZE, TransferSettings(),
            band_px=6, earlier=earlier,
        )  # fmt: skip

    before = moved(placed)
    other = [*placed[:2], place(2, "a", grey(90), query_id=1)]
    now = moved(other, before)

    assert all(
        np.array_equal(one, whole)
        for one, whole in zip(now.colors, moved(other).colors, strict=True)
    )
    assert now.colors[0] is before.colors[0] and now.colors[1] is before.colors[1]
    assert now.colors[2] is not before.colors[2]
