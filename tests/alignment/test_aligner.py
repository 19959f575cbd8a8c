"""ClosedFormAligner: what it finds, what it refuses to do, what it undoes."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scenequilt.alignment.affine import identity, invert, take_apart, transform
from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.alignment.fit import fit_frame
from scenequilt.alignment.limits import THING_LIMITS, LimitsByKind, PlacementLimits
from scenequilt.alignment.warp import warp_mask
from scenequilt.memory_bank.extract import derive_instances, extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Box, Candidate, Query, Region, Segment
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy, read_taxonomy

TAXONOMY = Taxonomy(
    "street",
    (
        ClassInfo(0, "road", (128, 64, 128), "stuff"),
        ClassInfo(1, "car", (0, 0, 142), "thing"),
        ClassInfo(2, "pole", (153, 153, 153), "thing", thin=True),
        ClassInfo(3, "sign", (220, 220, 0), "thing", text=True),
    ),
)
ROAD, CAR, POLE, SIGN = range(4)


def query_of(mask: NDArray[np.bool_], class_id: int) -> Query:
    """Make a query of a mask (H, W) over the whole layout."""
    rows, columns = np.nonzero(mask)
    box = (
        int(rows.min()),
        int(columns.min()),
        int(rows.max()) + 1,
        int(columns.max()) + 1,
    )
    label_map = np.where(mask, np.uint8(class_id), np.uint8(255))
    layout = Layout(label_map, np.zeros(mask.shape, np.int32), TAXONOMY)
    cut = bool(box[0] == 0 or box[1] == 0 or box[2] == mask.shape[0] or box[3] == mask.shape[1])
    region = Region(class_id, 0, box, mask[box[0] : box[2], box[1] : box[3]], cut)
    return Query(7, region, layout)


def segment_of(mask: NDArray[np.bool_], class_id: int, margin_px: int = 4) -> Segment:
    """Cut a segment with a mask (H, W) out of a photograph of noise."""
    height, width = mask.shape
    region = query_of(mask, class_id).region
    top, left, bottom, right = region.box
    crop_box: Box = (
        max(top - margin_px, 0),
        max(left - margin_px, 0),
        min(bottom + margin_px, height),
        min(right + margin_px, width),
    )
    photograph = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows, columns = slice(crop_box[0], crop_box[2]), slice(crop_box[1], crop_box[3])
    return Segment(
        11,
        class_id,
        "photograph",
        region.box,
        crop_box,
        photograph[rows, columns],
        mask[rows, columns],
        (height, width),
        region.cut_by_frame,
    )


def candidate(segment_id: int = 11) -> Candidate:
    return Candidate(segment_id, "photograph", 0, 1.0, 0.5, 0.5, 0.5, "shape")


def rectangle(size_hw: tuple[int, int], box: Box) -> NDArray[np.bool_]:
    mask = np.zeros(size_hw, bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    return mask


def wedge(size_hw: tuple[int, int], box: Box) -> NDArray[np.bool_]:
    """Return a triangle with its right angle at the lower left."""
    mask = np.zeros(size_hw, bool)
    height, width = box[2] - box[0], box[3] - box[1]
    y, x = np.mgrid[0:height, 0:width]
    mask[box[0] : box[2], box[1] : box[3]] = (x + 0.5) / width < (y + 0.5) / height
    return mask


def test_a_segment_that_fits_where_it_stands_is_copied() -> None:
    mask = rectangle((40, 60), (20, 0, 40, 60))
    segment = segment_of(mask, ROAD)

    placed = ClosedFormAligner().place(query_of(mask, ROAD), segment, candidate())

    assert placed.iou == 1
    np.testing.assert_array_equal(placed.source_from_target, identity())
    np.testing.assert_array_equal(placed.color, segment.color)


def test_a_moved_segment_of_the_same_shape_is_copied_to_its_place() -> None:
    segment = segment_of(rectangle((60, 60), (10, 10, 30, 30)), CAR)
    query = query_of(rectangle((60, 60), (25, 33, 45, 53)), CAR)

    placed = ClosedFormAligner().place(query, segment, candidate())

    assert placed.iou == 1
    assert placed.source_from_target.tolist() == [[1, 0, -23], [0, 1, -15]]
    assert placed.box == (21, 29, 49, 57)
    np.testing.assert_array_equal(placed.color, segment.color)


def test_a_car_is_enlarged_to_a_near_one() -> None:
    segment = segment_of(rectangle((60, 60), (10, 10, 20, 26)), CAR)
    query = query_of(rectangle((60, 60), (30, 20, 50, 52)), CAR)

    placed = ClosedFormAligner().place(query, segment, candidate())

    assert placed.iou > 0.98
    np.testing.assert_allclose(placed.source_from_target[:, :2], [[0.5, 0], [0, 0.5]])


def test_a_photograph_of_another_size_stays_in_the_frame() -> None:
    segment = segment_of(rectangle((80, 160), (40, 0, 80, 160)), ROAD)
    query = query_of(rectangle((40, 60), (20, 0, 40, 60)), ROAD)

    placed = ClosedFormAligner().place(query, segment, candidate())

    assert placed.iou == 1
    np.testing.assert_allclose(placed.source_from_target, invert(fit_frame((40, 60), (80, 160))))


def test_a_mirrored_shape_is_mirrored() -> None:
    segment = segment_of(wedge((60, 60), (20, 20, 40, 40)), CAR)
    query = query_of(wedge((60, 60), (20, 20, 40, 40))[:, ::-1], CAR)

    placed = ClosedFormAligner().place(query, segment, candidate())

    assert placed.iou > 0.95
    assert take_apart(placed.source_from_target).mirrored


def test_a_class_that_bears_text_is_never_mirrored() -> None:
    segment = segment_of(wedge((60, 60), (20, 20, 40, 40)), SIGN)
    query = query_of(wedge((60, 60), (20, 20, 40, 40))[:, ::-1], SIGN)

    placed = ClosedFormAligner().place(query, segment, candidate())

    assert not take_apart(placed.source_from_target).mirrored


def test_nothing_is_mirrored_where_flips_are_not_allowed() -> None:
    segment = segment_of(wedge((60, 60), (20, 20, 40, 40)), CAR)
    query = query_of(wedge((60, 60), (20, 20, 40, 40))[:, ::-1], CAR)

    placed = ClosedFormAligner(allow_flip=False).place(query, segment, candidate())

    assert not take_apart(placed.source_from_target).mirrored


def test_a_whole_car_overflows_the_border_that_cuts_the_query() -> None:
    segment = segment_of(rectangle((100, 100), (20, 20, 40, 60)), CAR)
    query = query_of(rectangle((100, 100), (50, 0, 70, 15)), CAR)

    placed = ClosedFormAligner().place(query, segment, candidate())

    assert placed.iou == 1
    np.testing.assert_allclose(placed.source_from_target[:, :2], np.eye(2))
    assert placed.box[1] == 0, "the box is clipped to the layout"


def test_a_gain_of_a_few_pixels_does_not_move_stuff() -> None:
    segment = segment_of(rectangle((100, 100), (50, 0, 100, 100)), ROAD)
    asked = rectangle((100, 100), (50, 0, 100, 100))
    asked[50, :40] = False

    placed = ClosedFormAligner().place(query_of(asked, ROAD), segment, candidate())

    np.testing.assert_array_equal(placed.source_from_target, identity())


def test_proportions_stay_within_the_limits() -> None:
    segment = segment_of(rectangle((100, 100), (20, 20, 40, 60)), CAR)
    query = query_of(rectangle((100, 100), (40, 40, 80, 60)), CAR)

    placed = ClosedFormAligner().place(query, segment, candidate())

    stretch = take_apart(placed.source_from_target).stretch
    assert stretch == pytest.approx(THING_LIMITS.max_stretch)


def test_with_limits_of_one_a_segment_only_moves() -> None:
    nothing = PlacementLimits(1, 1, 1, 0)
    aligner = ClosedFormAligner(LimitsByKind(nothing, nothing, nothing))
    segment = segment_of(rectangle((100, 100), (20, 20, 40, 60)), CAR)
    query = query_of(rectangle((100, 100), (40, 30, 70, 90)), CAR)

    placed = aligner.place(query, segment, candidate())

    np.testing.assert_allclose(placed.source_from_target[:, :2], np.eye(2), atol=1e-9)
    assert placed.iou > 0


@st.composite
def blobs(draw: st.DrawFn, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw a mask of one to three rectangles and wedges."""
    mask = np.zeros(size_hw, bool)
    for _ in range(draw(st.integers(1, 3))):
        top = draw(st.integers(0, size_hw[0] - 4))
        left = draw(st.integers(0, size_hw[1] - 4))
        bottom = draw(st.integers(top + 3, size_hw[0]))
        right = draw(st.integers(left + 3, size_hw[1]))
        shape = rectangle if draw(st.booleans()) else wedge
        mask |= shape(size_hw, (top, left, bottom, right))
    return mask


@settings(deadline=None, max_examples=80)
@given(blobs((50, 70)), blobs((40, 40)), st.sampled_from([ROAD, CAR, POLE, SIGN]))
def test_placing_never_lowers_the_iou_of_leaving_it(
    asked: NDArray[np.bool_], given_mask: NDArray[np.bool_], class_id: int
) -> None:
    query, segment = query_of(asked, class_id), segment_of(given_mask, class_id)

    placed = ClosedFormAligner().place(query, segment, candidate())

    frame = invert(fit_frame((50, 70), (40, 40)))
    box, mask = warp_mask(segment.mask, segment.crop_box, frame, (50, 70))
    left = np.zeros_like(asked)
    left[box[0] : box[2], box[1] : box[3]] = mask
    assert placed.iou >= (left & asked).sum() / (left | asked).sum()


@settings(deadline=None, max_examples=60)
@given(blobs((50, 70)), blobs((40, 40)), st.sampled_from([ROAD, CAR, POLE, SIGN]))
def test_what_is_placed_is_within_the_limits_and_the_layout(
    asked: NDArray[np.bool_], given_mask: NDArray[np.bool_], class_id: int
) -> None:
    query, segment = query_of(asked, class_id), segment_of(given_mask, class_id)

    placed = ClosedFormAligner().place(query, segment, candidate())

    limits = LimitsByKind().of(TAXONOMY.classes[class_id])
    frame = fit_frame((50, 70), (40, 40))
    assert limits.allows(invert(placed.source_from_target), frame)
    top, left, bottom, right = placed.box
    assert 0 <= top < bottom <= 50
    assert 0 <= left < right <= 70


@settings(deadline=None, max_examples=60)
@given(blobs((50, 70)), blobs((40, 40)))
def test_the_stated_iou_is_that_of_the_placed_mask(
    asked: NDArray[np.bool_], given_mask: NDArray[np.bool_]
) -> None:
    placed = ClosedFormAligner().place(
        query_of(asked, CAR), segment_of(given_mask, CAR), candidate()
    )

    whole = np.zeros_like(asked)
    whole[placed.box[0] : placed.box[2], placed.box[1] : placed.box[3]] = placed.mask
    assert placed.iou == pytest.approx((whole & asked).sum() / (whole | asked).sum())


def test_color_can_be_traced_to_the_photograph() -> None:
    y, x = np.mgrid[0:60, 0:60]
    photograph = np.stack([2 * x + 1, 2 * y + 1, 0 * x], axis=-1).astype(np.uint8)
    mask = wedge((60, 60), (10, 12, 40, 45))
    segment = segment_of(mask, CAR)
    crop = segment.crop_box
    segment = Segment(
        segment.segment_id,
        CAR,
        "ramp",
        segment.box,
        crop,
        photograph[crop[0] : crop[2], crop[1] : crop[3]],
        segment.mask,
        (60, 60),
        False,
    )
    query = query_of(wedge((90, 90), (30, 20, 80, 77))[:, ::-1], CAR)

    placed = ClosedFormAligner().place(query, segment, candidate())

    rows, columns = np.nonzero(placed.mask)
    centers = np.stack([columns + placed.box[1] + 0.5, rows + placed.box[0] + 0.5], axis=-1)
    traced = transform(placed.source_from_target, centers)
    told = placed.color[rows, columns, :2].astype(float) / 2
    assert np.abs(told - traced).max() < 0.6


def test_the_record_names_query_segment_and_candidate() -> None:
    mask = rectangle((40, 60), (20, 10, 30, 50))
    segment, proposed = segment_of(mask, CAR), candidate()

    placed = ClosedFormAligner().place(query_of(mask, CAR), segment, proposed)

    assert placed.query_id == 7
    assert placed.segment is segment
    assert placed.candidate is proposed


def test_another_segment_than_the_candidates_is_refused() -> None:
    mask = rectangle((40, 60), (20, 10, 30, 50))

    with pytest.raises(ValueError, match="candidate is segment 12, but segment 11 came with it"):
        ClosedFormAligner().place(query_of(mask, CAR), segment_of(mask, CAR), candidate(12))


def test_a_gain_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="min_gain is 1.5, expected 0 to 1"):
        ClosedFormAligner(min_gain=1.5)


@pytest.mark.realdata
def test_real_segments_are_placed_better_than_left(real_data: Path) -> None:
    folder = real_data / "camvid"
    taxonomy = read_taxonomy(folder / "classes.json")
    layouts = []
    for name in ("0006R0_f00930", "0016E5_01050"):
        file_ids = cv2.imread(str(folder / "labels/train" / f"{name}.png"), cv2.IMREAD_UNCHANGED)
        assert file_ids is not None
        label_map = taxonomy.class_of_file_id[file_ids].astype(np.uint8)
        layouts.append(Layout(label_map, derive_instances(label_map, taxonomy), taxonomy))
    size_hw = layouts[1].size_hw
    gains = []
    for query in extract_queries(layouts[0], min_area_px=300):
        for other in extract_queries(layouts[1], min_area_px=300):
            if other.class_id != query.class_id:
                continue
            region = other.region
            color = np.zeros((*region.mask.shape, 3), np.uint8)
            segment = Segment(
                11,
                region.class_id,
                "0016E5_01050",
                region.box,
                region.box,
                color,
                region.mask,
                size_hw,
                region.cut_by_frame,
            )
            placed = ClosedFormAligner().place(query, segment, candidate())
            left = warp_mask(segment.mask, segment.crop_box, identity(), size_hw)
            gains.append(placed.iou - overlap_of(query, *left))

    assert len(gains) > 20
    assert min(gains) >= 0
    assert np.mean(gains) > 0.1


def overlap_of(query: Query, box: Box, mask: NDArray[np.bool_]) -> float:
    """Return the IoU of a mask over a box with the query's, on the whole layout."""
    whole = np.zeros((2, *query.layout.size_hw), bool)
    region = query.region
    whole[0, box[0] : box[2], box[1] : box[3]] = mask
    whole[1, region.box[0] : region.box[2], region.box[1] : region.box[3]] = region.mask
    return float(whole.all(axis=0).sum() / whole.any(axis=0).sum())


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"stuff_excess": -0.5}, "stuff_excess is -0.5, expected 0 to 1"),
        ({"rounds": -1}, "rounds is -1, expected at least 0"),
    ],
)
def test_other_settings_out_of_range_are_refused(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClosedFormAligner(**settings_)


def test_stuff_would_rather_overflow_than_leave_open() -> None:
    # A square for a square with a tail: by IoU the tail stays open.
    asked = rectangle((100, 100), (20, 20, 60, 60)) | rectangle((100, 100), (38, 60, 44, 90))
    segment = segment_of(rectangle((100, 100), (25, 25, 65, 65)), ROAD)
    query = query_of(asked, ROAD)

    covered = []
    for stuff_excess in (1.0, 0.2):
        placed = ClosedFormAligner(stuff_excess=stuff_excess).place(query, segment, candidate())
        whole = np.zeros_like(asked)
        whole[placed.box[0] : placed.box[2], placed.box[1] : placed.box[3]] = placed.mask
        covered.append((whole & asked).sum() / asked.sum())

    assert covered[1] > covered[0]
