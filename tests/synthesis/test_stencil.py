"""Simulated canvases: outlines of the bank, colours of the photograph, labels that are true."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.alignment.affine import is_whole_pixel_shift
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Candidate, PlacedSegment, Segment
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.composition import Composition
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.finish import NoFinish
from scenequilt.synthesis.look import SourceLooks, look_of_photograph
from scenequilt.synthesis.stages import Bank
from scenequilt.synthesis.stencil import (
    LEAST_HOLE_PX,
    StencilSettings,
    resampled,
    simulate_canvas,
    stencil_ownership,
)

MakeLayout = Callable[..., Layout]
MakePhotograph = Callable[..., NDArray[np.uint8]]

NO_ELISION = ElisionSettings(inner_band=0, outer_band=0, inner_ratio=(0, 0))
AS_IT_IS = StencilSettings(recolored=0, keep_hole=1, elision=NO_ELISION)


@dataclass(frozen=True, eq=False)
class Scene:
    """A photograph, what was composed for its layout, and the looks of the bank."""

    image: NDArray[np.uint8]
    composition: Composition
    looks: SourceLooks


@pytest.fixture
def scene(make_street: MakeLayout, make_photograph: MakePhotograph, street_bank: Bank) -> Scene:
    """A street with a car that is not in the bank, darker than a half of the bank."""
    layout = make_street(horizon=13, car=(15, 19))
    looks = SourceLooks(street_bank)
    composition = compose(layout, street_bank, finish=NoFinish(), looks=looks)
    return Scene(make_photograph(layout, 77), composition, looks)


def _placed(
    box: tuple[int, int, int, int],
    class_id: int,
    matrix: list[list[float]] | None = None,
    source_size_hw: tuple[int, int] = (32, 48),
) -> PlacedSegment:
    """Return a segment that fills its box, by default one that stands where it stood."""
    size = (box[2] - box[0], box[3] - box[1])
    color, mask = np.zeros((*size, 3), np.uint8), np.ones(size, np.bool_)
    segment = Segment(1, class_id, "a", box, box, color, mask, source_size_hw, False)
    return PlacedSegment(
        0,
        segment,
        Candidate(1, "a", 0, 1.0, 1.0, 0.0, 0.0, "frame"),
        np.array(matrix if matrix is not None else [[1.0, 0, 0], [0, 1, 0]]),
        box,
        color,
        mask,
        1.0,
    )


@dataclass(frozen=True)
class _Order:
    back_to_front: tuple[int, ...]


def test_a_pixel_goes_to_the_frontmost_segment_of_its_own_class(
    scene: Scene, make_street: MakeLayout
) -> None:
    """Sky, road and car over 4x6, each offered more than it is asked for."""
    label_map = np.array([[0, 0, 0, 0, 0, 0], [0, 0, 2, 2, 0, 0], [1] * 6, [1] * 6], np.uint8)
    layout = Layout(label_map, np.zeros((4, 6), np.int32), make_street().taxonomy)
    placed = (
        _placed((0, 0, 3, 6), 0),
        _placed((0, 0, 2, 3), 0),
        _placed((1, 1, 4, 5), 1),
        _placed((0, 0, 4, 3), 2),
    )
    composition = replace(
        scene.composition, requested=layout, placed=placed, order=_Order((3, 1, 0, 2))
    )

    ownership = stencil_ownership(composition)

    assert ownership.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 3, -1, 0, 0],
        [-1, 2, 2, 2, 2, -1],
        [-1, 2, 2, 2, 2, -1],
    ]


def test_every_owner_is_of_the_class_that_the_pixel_shows(scene: Scene) -> None:
    canvas = simulate_canvas(scene.image, scene.composition, scene.looks, seed=1)

    placed = scene.composition.placed
    for place, item in enumerate(placed):
        labels = scene.composition.requested.label_map[canvas.ownership == place]
        assert (labels == item.segment.class_id).all()
    assert set(np.unique(canvas.ownership)) <= set(range(-1, len(placed) + 1))
    assert np.array_equal(canvas.coverage, canvas.ownership >= 0)


def test_unmoved_segments_in_their_own_light_show_the_photograph(
    make_street: MakeLayout, make_photograph: MakePhotograph, make_bank: Callable[..., Bank]
) -> None:
    """The bank holds the same street, so that every segment stands where it stood."""
    layout = make_street()
    bank = make_bank([("twin", make_photograph(layout, 1, light=20), layout)], layout.taxonomy)
    looks = SourceLooks(bank)
    composition = compose(layout, bank, finish=NoFinish(), looks=looks)
    image = make_photograph(layout, 2)

    canvas = simulate_canvas(image, composition, looks, seed=1, settings=AS_IT_IS)

    assert all(is_whole_pixel_shift(item.source_from_target) for item in composition.placed)
    assert canvas.coverage.mean() > 0.9
    assert np.array_equal(canvas.color[canvas.coverage], image[canvas.coverage])
    assert not canvas.color[~canvas.coverage].any()


def test_what_is_not_recolored_stays_near_the_photograph(scene: Scene) -> None:
    canvas = simulate_canvas(scene.image, scene.composition, scene.looks, seed=1, settings=AS_IT_IS)

    apart = np.abs(canvas.color.astype(int) - scene.image)[canvas.coverage]
    # Noise of up to 12 levels a side is all that a warp there and back can lose.
    assert apart.mean() < 6
    assert apart.mean() < np.abs(scene.composition.image.astype(int) - scene.image).mean()


def test_without_holes_the_photograph_fills_what_no_segment_covers(scene: Scene) -> None:
    settings = replace(AS_IT_IS, keep_hole=0)

    canvas = simulate_canvas(scene.image, scene.composition, scene.looks, seed=1, settings=settings)

    stencil = stencil_ownership(scene.composition)
    own = canvas.ownership == len(scene.composition.placed)
    assert canvas.coverage.all()
    assert np.array_equal(own, stencil == -1)
    assert np.array_equal(canvas.color[own], scene.image[own])


def _with_holes(scene: Scene) -> Composition:
    """Return a composition of one sky and one road that leave holes of 100, 12 and 11 pixels."""
    label_map = np.zeros((32, 48), np.uint8)
    label_map[16:] = 1
    layout = replace(scene.composition.requested, label_map=label_map)
    sky, road = _placed((0, 0, 16, 48), 0), _placed((16, 0, 32, 48), 1)
    offered = sky.mask.copy()
    offered[2:12, 3:13] = False
    offered[5:9, 20:23] = False
    offered[5, 30:41] = False
    placed = (replace(sky, mask=offered), road)
    return replace(
        scene.composition, requested=layout, placed=placed, order=_Order((0, 1)), queries=()
    )


def test_holes_stay_as_asked_for_but_for_tiny_ones(scene: Scene) -> None:
    assert LEAST_HOLE_PX == 12
    composition = _with_holes(scene)

    canvas = simulate_canvas(scene.image, composition, scene.looks, seed=1, settings=AS_IT_IS)

    assert np.count_nonzero(~canvas.coverage) == 100 + 12
    assert not canvas.color[~canvas.coverage].any()
    assert (canvas.ownership[5, 30:41] == 2).all()
    assert np.array_equal(canvas.color[5, 30:41], scene.image[5, 30:41])


def test_a_share_of_the_holes_stays(scene: Scene) -> None:
    composition = _with_holes(scene)
    settings = replace(AS_IT_IS, keep_hole=0.3)

    open_px = [
        np.count_nonzero(
            ~simulate_canvas(
                scene.image, composition, scene.looks, seed=seed, settings=settings
            ).coverage
        )
        for seed in range(60)
    ]

    assert set(open_px) == {0, 12, 100, 112}, "each of the two stays or not"
    assert 0.15 < np.mean([count >= 100 for count in open_px]) < 0.45


def test_what_fills_a_hole_casts_no_shadow_but_has_a_seam(scene: Scene) -> None:
    settings = replace(
        AS_IT_IS,
        keep_hole=0,
        elision=ElisionSettings(inner_band=1 / 32, inner_ratio=(1, 1), outer_band=0.2),
    )

    canvas = simulate_canvas(
        scene.image, _with_holes(scene), scene.looks, seed=1, settings=settings
    )

    assert canvas.elided[1:3, 5:10].all(), "on both sides of a hole's border"
    assert not canvas.elided[5:9, 6:10].any(), "the middle of a hole"
    assert not canvas.elided[20:].any(), "the road below, which no object stands on"


def test_what_is_elided_is_covered_and_keeps_its_colour(scene: Scene) -> None:
    settings = replace(AS_IT_IS, elision=ElisionSettings())

    plain = simulate_canvas(scene.image, scene.composition, scene.looks, seed=1, settings=AS_IT_IS)
    elided = simulate_canvas(scene.image, scene.composition, scene.looks, seed=1, settings=settings)

    assert elided.elided.any()
    assert not (elided.elided & ~elided.coverage).any()
    assert np.array_equal(elided.color, plain.color)


def test_a_segment_goes_towards_the_light_of_its_donor(scene: Scene) -> None:
    """By its class's mean colour, as far as limits allow; the bank is as dark, or 35 levels up."""
    settings = replace(AS_IT_IS, recolored=1, strength=(1, 1))
    plain = simulate_canvas(scene.image, scene.composition, scene.looks, seed=1, settings=AS_IT_IS)

    canvas = simulate_canvas(scene.image, scene.composition, scene.looks, seed=1, settings=settings)

    layout = scene.composition.requested
    own = look_of_photograph(scene.image, layout, len(layout.taxonomy))
    moved = 0
    for place, item in enumerate(scene.composition.placed):
        donor = scene.looks[item.segment.source_id]
        mine = canvas.ownership == place
        if not mine.any():
            continue
        change = (_lightness(canvas.color) - _lightness(plain.color))[mine].mean()
        wanted = float(donor.mean[0] - own.mean[0])
        limited = np.clip(wanted, -settings.transfer.max_lightness, settings.transfer.max_lightness)
        assert change == pytest.approx(limited, abs=3)
        moved += abs(wanted) > 8
    assert moved, "some donor is in another light"


def _lightness(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    return np.asarray(lab[..., 0], np.float32)


def test_a_strength_of_zero_moves_nothing(scene: Scene) -> None:
    idle = replace(AS_IT_IS, recolored=1, strength=(0, 0))

    plain, same = (
        simulate_canvas(scene.image, scene.composition, scene.looks, seed=1, settings=settings)
        for settings in (AS_IT_IS, idle)
    )

    assert np.array_equal(plain.color, same.color)


def test_the_same_seed_gives_the_same_canvas_and_another_another(scene: Scene) -> None:
    one, same, other = (
        simulate_canvas(scene.image, scene.composition, scene.looks, seed=seed)
        for seed in (3, 3, 4)
    )

    for name in ("color", "coverage", "elided", "ownership"):
        assert np.array_equal(getattr(one, name), getattr(same, name)), name
    assert not np.array_equal(one.elided, other.elided)


def test_a_photograph_of_another_size_is_refused(scene: Scene) -> None:
    with pytest.raises(
        ValueError, match=r"photograph is \(8, 8, 3\), expected \(32, 48, 3\) as its layout"
    ):
        simulate_canvas(np.zeros((8, 8, 3), np.uint8), scene.composition, scene.looks, seed=0)


def _waves(height: int, width: int) -> NDArray[np.uint8]:
    """Return a smooth picture."""
    rows, columns = np.mgrid[:height, :width]
    waves = [127 + 90 * np.sin(rows / 7 + k) * np.cos(columns / 9 - k) for k in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


@pytest.mark.parametrize("shift", [(0, 0), (5, -3), (-40, 70)])
def test_a_shift_by_whole_pixels_copies(shift: tuple[int, int]) -> None:
    image = _waves(32, 48)
    item = _placed((4, 6, 20, 30), 0, [[1.0, 0, shift[1]], [0, 1, shift[0]]])

    piece = resampled(image, item, (32, 48))

    assert np.array_equal(piece, image[4:20, 6:30])
    piece[:] = 0
    assert image[4:20, 6:30].any(), "a copy"


@pytest.mark.parametrize(
    "matrix",
    [
        [[1.0, 0, 0.5], [0, 1, 0.5]],
        [[0.7, 0.1, 4], [-0.1, 0.7, 5]],
        [[1.6, 0, -8], [0, 1.5, -6]],
        [[-1.0, 0, 47.3], [0, 1, 0.4]],
    ],
)
def test_a_smooth_picture_is_read_there_and_back_unharmed(matrix: list[list[float]]) -> None:
    image = _waves(32, 48)
    item = _placed((6, 8, 26, 40), 0, matrix)

    piece = resampled(image, item, (32, 48))

    apart = np.abs(piece.astype(int) - image[6:26, 8:40])
    assert apart.mean() < 1.5
    assert apart.max() <= 12


def test_noise_gets_as_soft_as_the_warp_makes_it() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    box = (6, 8, 26, 40)

    stands = resampled(image, _placed(box, 0), (32, 48))
    moves = resampled(image, _placed(box, 0, [[1.0, 0, 0.5], [0, 1, 0.5]]), (32, 48))
    shrunk = resampled(image, _placed(box, 0, [[0.6, 0, 3], [0, 0.6, 3]]), (32, 48))

    # Half a pixel off, or of 0.6 source pixels a pixel, a segment has no finest detail to show.
    fine = [np.abs(np.diff(piece.astype(int), axis=1)).mean() for piece in (stands, moves, shrunk)]
    assert fine[0] > 1.5 * max(fine[1:])


def test_what_the_donors_photograph_does_not_hold_stays_sharp() -> None:
    """Read from half a pixel right: the frame of the source ends within the box."""
    image = _waves(32, 48)
    item = _placed((6, 8, 26, 40), 0, [[1.0, 0, 0.5], [0, 1, 0]], source_size_hw=(32, 24))

    piece = resampled(image, item, (32, 48))

    assert np.array_equal(piece[:, 17:], image[6:26, 25:40])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"recolored": 1.5}, "recolored is 1.5, expected 0 to 1"),
        ({"keep_hole": -0.1}, "keep_hole is -0.1, expected 0 to 1"),
        ({"strength": (0.8, 0.2)}, r"strength must rise within \[0, 1\], got \(0.8, 0.2\)"),
        ({"strength": (0.0, 1.2)}, r"strength must rise within \[0, 1\], got \(0.0, 1.2\)"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StencilSettings(**wrong)
