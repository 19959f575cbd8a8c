"""Sums over a row's pictures: what they come to, and what is left out where a record is missing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.tools.evaluation.features import FeatureNetwork
from scenequilt.tools.evaluation.judges import Judges
from scenequilt.tools.evaluation.measure import MeasuredLayout, MeasuredPicture, measure_layouts
from scenequilt.tools.evaluation.perceptual import PerceptualNetwork
from scenequilt.tools.evaluation.rows import Row, View
from scenequilt.tools.evaluation.segmenter import Segmenter
from scenequilt.tools.evaluation.tally import RowTally

Tally = Callable[..., RowTally]


@pytest.fixture
def tally_of(street_taxonomy: Taxonomy) -> Tally:
    """Count pictures of 16x16 that somebody has measured already."""

    def count(row: Row, judges: Judges, *layouts: MeasuredLayout) -> RowTally:
        size_hw = layouts[0].pictures[0].view.requested.shape
        tally = RowTally(row, judges, street_taxonomy, (size_hw[0], size_hw[1]))
        for layout in layouts:
            tally.add(layout)
        return tally

    return count


def stripes(*classes: int) -> NDArray[np.uint8]:
    """(16, 16) class ids: as many stripes of one height as classes."""
    return np.repeat(np.array(classes, np.uint8), 16 // len(classes))[:, None].repeat(16, axis=1)


def measured(
    seen: NDArray[np.uint8],
    *,
    delivered: NDArray[np.uint8] | None = None,
    psnr_db: float | None = 20.0,
) -> MeasuredLayout:
    """One grey picture of sky above road, and what a segmenter sees in it."""
    image = np.full((16, 16, 3), 90, np.uint8)
    view = View("one", "one", image, stripes(0, 1), delivered=delivered, real=image)
    return MeasuredLayout((MeasuredPicture(view, (seen,), (), {}, 0.5, psnr_db),))


def test_fidelity_is_that_of_the_joint_matrix_and_a_share_of_the_photographs(
    tally_of: Tally, photographs: Row, color_segmenter: Segmenter
) -> None:
    # Of two pictures one is right; in the other a quarter of the sky is seen as road.
    judges = Judges([color_segmenter])
    wrong, right = measured(stripes(0, 0, 0, 1, 1, 1, 1, 1)), measured(stripes(0, 1))

    ours = tally_of(photographs, judges, wrong, right)
    real = tally_of(photographs, judges, right, right)
    (fidelity,) = ours.fidelity(real, seed=0)
    (ceiling,) = real.fidelity(real, seed=0)

    assert fidelity.requested.iou == pytest.approx({"sky": 7 / 8, "road": 8 / 9})
    assert fidelity.requested.pixel_accuracy == pytest.approx(15 / 16)
    assert fidelity.of_real == pytest.approx((7 / 8 + 8 / 9) / 2)
    assert ceiling.requested.mean_iou.value == 1
    assert ceiling.of_real is None


def test_without_photographs_there_is_no_share(
    tally_of: Tally, photographs: Row, color_segmenter: Segmenter
) -> None:
    ours = tally_of(photographs, Judges([color_segmenter]), measured(stripes(0, 1)))

    assert ours.fidelity(None, seed=0)[0].of_real is None


def test_a_segmenter_that_sees_nothing_right_in_photographs_gives_no_share(
    tally_of: Tally, photographs: Row, color_segmenter: Segmenter
) -> None:
    judges = Judges([color_segmenter])
    ours = tally_of(photographs, judges, measured(stripes(0, 1)))
    real = tally_of(photographs, judges, measured(stripes(1, 0)))

    assert ours.fidelity(real, seed=0)[0].of_real is None


def test_delivered_layouts_are_judged_where_every_picture_has_one(
    tally_of: Tally, photographs: Row, color_segmenter: Segmenter
) -> None:
    judges = Judges([color_segmenter])
    with_one = measured(stripes(1, 1), delivered=stripes(1, 1))
    without = measured(stripes(0, 1))

    (all_have,) = tally_of(photographs, judges, with_one, with_one).fidelity(None, seed=0)
    (some_have,) = tally_of(photographs, judges, with_one, without).fidelity(None, seed=0)

    assert all_have.delivered is not None
    assert all_have.delivered.pixel_accuracy == 1
    assert all_have.requested.pixel_accuracy == 0.5
    assert some_have.delivered is None


def test_delivered_layouts_of_nothing_but_void_are_not_judged(
    tally_of: Tally, photographs: Row, color_segmenter: Segmenter
) -> None:
    empty = measured(stripes(0, 1), delivered=np.full((16, 16), VOID, np.uint8))

    (fidelity,) = tally_of(photographs, Judges([color_segmenter]), empty).fidelity(None, seed=0)

    assert fidelity.delivered is None
    assert fidelity.requested.pixel_accuracy == 1


def test_one_equal_pair_leaves_no_mean_of_decibels(
    tally_of: Tally, photographs: Row, color_segmenter: Segmenter
) -> None:
    judges = Judges([color_segmenter])
    apart, equal = measured(stripes(0, 1)), measured(stripes(0, 1), psnr_db=None)

    with_equal = tally_of(photographs, judges, apart, equal).perception(seed=0)
    without = tally_of(photographs, judges, apart, apart).perception(seed=0)

    assert (with_equal.psnr_db, with_equal.pairs) == (None, 2)
    assert without.psnr_db is not None
    assert (without.psnr_db.value, without.psnr_db.low) == (20, 20)


def test_pictures_are_listed_in_their_order_with_what_was_found(
    tally_of: Tally,
    photographs: Row,
    color_segmenter: Segmenter,
    mean_colors: FeatureNetwork,
    alexnet: PerceptualNetwork,
) -> None:
    judges = Judges([color_segmenter], [alexnet], [mean_colors])
    (layouts,) = measure_layouts([photographs], range(5), judges)

    tally = tally_of(photographs, judges, *layouts)
    listed = tally.each(["a", "b", "c", "d", "e"])

    assert [(each.name, each.nearest) for each in listed] == [
        ("scene0", "a"), ("scene1", "b"), ("scene2", "c"), ("scene3", "d"), ("scene4", "e"),
    ]  # fmt: skip
    for place, each in enumerate(listed):
        (view,) = photographs.views(place)
        known = view.requested != VOID
        right = color_segmenter.predict(view.image[None])[0] == view.requested
        assert each.pixel_accuracy == pytest.approx(right[known].mean())
        assert each.lpips == pytest.approx(0, abs=1e-9)
    assert [matrix.shape for matrix in tally.features] == [(5, 3), (5, 256)]
    assert len(tally) == 5


def test_without_networks_pictures_have_no_figures(tally_of: Tally, photographs: Row) -> None:
    (layouts,) = measure_layouts([photographs], range(5), Judges())

    tally = tally_of(photographs, Judges(), *layouts)

    assert tally.fidelity(None, seed=0) == []
    assert tally.perception(seed=0).lpips == {}
    (first, *_) = tally.each([])
    assert (first.mean_iou, first.pixel_accuracy, first.lpips, first.nearest) == (
        None, None, None, "",
    )  # fmt: skip


def test_pairs_of_variants_are_counted_once_for_all_networks(
    tally_of: Tally, photographs: Row, alexnet: PerceptualNetwork
) -> None:
    judges = Judges((), [alexnet])
    (layouts,) = measure_layouts([photographs], range(2), judges)
    three = replace(layouts[0], variants_lpips={"alexnet": [0.1, 0.2, 0.6]})

    perception = tally_of(photographs, judges, three, layouts[1]).perception(seed=0)

    assert perception.variant_pairs == 3
    assert perception.variants_lpips["alexnet"].value == pytest.approx(0.3)
