"""LearnedAligner: what it makes of a network's answer, and when it does not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scenequilt.alignment.affine import identity, invert, translation
from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.alignment.fit import fit_frame
from scenequilt.alignment.learned import LearnedAligner
from scenequilt.alignment.limits import LimitsByKind, PlacementLimits
from scenequilt.alignment.network import AlignmentNet, AlignmentNetSettings
from scenequilt.alignment.view import ViewSettings
from scenequilt.alignment.warp import warp_segment
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Query, Region, Segment
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy

TAXONOMY = Taxonomy(
    "street",
    (
        ClassInfo(0, "road", (128, 64, 128), "stuff"),
        ClassInfo(1, "car", (0, 0, 142), "thing"),
    ),
)
ROAD, CAR = range(2)
SIZE_HW = (60, 80)

LEFT_THERE = ClosedFormAligner(allow_flip=False, min_gain=0.999, rounds=0)
"""A closed form that hardly anything moves, so that there is something to correct."""

WHOLE = ViewSettings(size_hw=(32, 32), whole_layout=True)


def answering(
    theta: NDArray[np.float64] | list[list[float]],
    view: ViewSettings = WHOLE,
) -> AlignmentNet:
    """Return a network that answers every question with one map."""
    network = AlignmentNet(len(TAXONOMY), AlignmentNetSettings(width=1 / 128), view)
    with torch.no_grad():
        network.last.bias.copy_(torch.tensor(np.asarray(theta) - np.eye(2, 3)).flatten())
    return network


def rectangle(box: Box) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE_HW, bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    return mask


def query_of(mask: NDArray[np.bool_], class_id: int = CAR) -> Query:
    rows, columns = np.nonzero(mask)
    box = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    label_map = np.where(mask, np.uint8(class_id), np.uint8(255))
    layout = Layout(label_map, np.zeros(mask.shape, np.int32), TAXONOMY)
    region = Region(class_id, 0, box, mask[box[0] : box[2], box[1] : box[3]], False)
    return Query(7, region, layout)


def segment_of(mask: NDArray[np.bool_], class_id: int = CAR) -> Segment:
    region = query_of(mask, class_id).region
    rows, columns = slice(region.box[0], region.box[2]), slice(region.box[1], region.box[3])
    photograph = np.random.default_rng(1).integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8)
    return Segment(
        11, class_id, "photograph", region.box, region.box, photograph[rows, columns],
        region.mask, SIZE_HW, False,
    )  # fmt: skip


CANDIDATE = Candidate(11, "photograph", 0, 1.0, 0.5, 0.5, 0.5, "frame")
QUERY = query_of(rectangle((20, 30, 40, 60)))
SEGMENT = segment_of(rectangle((20, 22, 40, 52)))
EIGHT_TO_THE_RIGHT = translation(-8 / 40, 0)
"""Of 80 columns: what is wanted 8 further to the right is read 8 further to the left."""


def assert_traceable(placed: PlacedSegment) -> None:
    """Colour and mask are what the recorded matrix reads out of the photograph."""
    segment = placed.segment
    patch = warp_segment(
        segment.color, segment.mask, segment.crop_box, placed.source_from_target, SIZE_HW
    )
    assert patch.box == placed.box
    np.testing.assert_array_equal(patch.mask, placed.mask)
    np.testing.assert_array_equal(patch.color, placed.color)


def cover(query: Query, placed: PlacedSegment) -> float:
    """Return the share of a query that a placed mask covers."""
    where = np.zeros(SIZE_HW, bool)
    where[placed.box[0] : placed.box[2], placed.box[1] : placed.box[3]] = placed.mask
    top, left, bottom, right = query.region.box
    return float(where[top:bottom, left:right][query.region.mask].mean())


def test_a_network_that_changes_nothing_leaves_the_closed_form_its_say() -> None:
    closed = ClosedFormAligner().place(QUERY, SEGMENT, CANDIDATE)

    placed = LearnedAligner(answering(np.eye(2, 3))).place(QUERY, SEGMENT, CANDIDATE)

    np.testing.assert_array_equal(placed.source_from_target, closed.source_from_target)
    np.testing.assert_array_equal(placed.color, closed.color)


def test_a_network_that_knows_better_is_heeded() -> None:
    before = LEFT_THERE.place(QUERY, SEGMENT, CANDIDATE)

    placed = LearnedAligner(answering(EIGHT_TO_THE_RIGHT), LEFT_THERE).place(
        QUERY, SEGMENT, CANDIDATE
    )

    assert before.iou == pytest.approx(22 / 38)
    assert placed.iou > 0.99
    np.testing.assert_allclose(placed.source_from_target, translation(-8, 0), atol=1e-5)
    assert (placed.query_id, placed.candidate) == (7, CANDIDATE)
    assert_traceable(placed)


def test_in_a_window_the_same_shift_is_a_larger_share() -> None:
    """The window is 45 wide and 30 high; 8 of 22.5 to the right."""
    window = ViewSettings(size_hw=(32, 32), margin=0.25)
    network = answering([[1, 0, -8 / 22.5], [0, 1, 0]], window)

    placed = LearnedAligner(network, LEFT_THERE).place(QUERY, SEGMENT, CANDIDATE)

    np.testing.assert_allclose(placed.source_from_target, translation(-8, 0), atol=1e-5)


def test_the_answer_comes_after_the_closed_form() -> None:
    """The photograph is twice as large: half a pixel of the layout is one of the photograph."""
    large = Segment(
        11, CAR, "photograph", (40, 44, 80, 104), (40, 44, 80, 104),
        np.zeros((40, 60, 3), np.uint8), np.ones((40, 60), bool), (120, 160), False,
    )  # fmt: skip

    placed = LearnedAligner(answering(EIGHT_TO_THE_RIGHT), LEFT_THERE).place(
        QUERY, large, CANDIDATE
    )

    np.testing.assert_allclose(placed.source_from_target, [[2, 0, -16], [0, 2, 0]], atol=1e-4)


@pytest.mark.parametrize(
    ("theta", "why"),
    [
        ([[1, 0, 8 / 40], [0, 1, 0]], "the IoU falls"),
        ([[1, 0, -0.1 / 40], [0, 1, 0]], "the gain is less than a hundredth"),
        ([[1, 0, 9.0], [0, 1, 0]], "it leaves the layout"),
        ([[1, 0, 0], [0, 0, 0]], "it is flat"),
        ([[-1, 0, 0], [0, 1, 0]], "it is mirrored"),
        ([[float("nan"), 0, 0], [0, 1, 0]], "it is no number"),
        ([[1, 0, float("inf")], [0, 1, 0]], "it is infinite"),
    ],
)
def test_an_answer_that_is_no_good_is_not_heeded(theta: list[list[float]], why: str) -> None:
    before = LEFT_THERE.place(QUERY, SEGMENT, CANDIDATE)

    (placed,) = LearnedAligner(answering(theta), LEFT_THERE).refine([QUERY], [before])

    assert placed is before, why


def test_part_of_an_answer_that_goes_too_far_is_taken() -> None:
    """Asked for is a shift by 8, answered one by 25: three tenths of it is the best share."""
    before = LEFT_THERE.place(QUERY, SEGMENT, CANDIDATE)
    network = answering([[1, 0, -25 / 40], [0, 1, 0]])

    (placed,) = LearnedAligner(network, LEFT_THERE).refine([QUERY], [before])

    np.testing.assert_allclose(placed.source_from_target, translation(-7.5, 0), atol=1e-5)


def test_a_gain_counts_from_min_gain_on() -> None:
    before = LEFT_THERE.place(QUERY, SEGMENT, CANDIDATE)
    network = answering([[1, 0, -1 / 40], [0, 1, 0]])  # one pixel: 23 of 37 shared, a gain of 0.043

    heeded = LearnedAligner(network, LEFT_THERE, min_gain=0.04).refine([QUERY], [before])
    not_heeded = LearnedAligner(network, LEFT_THERE, min_gain=0.05).refine([QUERY], [before])

    assert heeded[0].iou == pytest.approx(23 / 37)
    assert not_heeded[0] is before


def test_stuff_is_not_uncovered_for_the_sake_of_the_iou() -> None:
    """A road that overflows is shrunk as far as it still covers, a thing until it fits best."""
    limits = PlacementLimits(3, 3, 3, 10)
    closed = ClosedFormAligner(
        LimitsByKind(limits, limits, limits), allow_flip=False, min_gain=0.999, stuff_excess=0.02
    )
    query = query_of(rectangle((20, 20, 40, 60)), ROAD)
    segment = segment_of(rectangle((10, 10, 50, 70)), ROAD)
    shrunk = answering([[1.8, 0, 0], [0, 1.8, 0]])
    before = closed.place(query, segment, CANDIDATE)

    (placed,) = LearnedAligner(shrunk, closed).refine([query], [before])
    as_a_thing = query_of(rectangle((20, 20, 40, 60)), CAR)
    (thing,) = LearnedAligner(shrunk, closed).refine([as_a_thing], [before])

    assert before.iou == pytest.approx(1 / 3)
    assert thing.iou > placed.iou > 0.7
    assert cover(query, thing) < 0.95
    assert cover(query, placed) == 1


def test_a_learned_answer_stays_within_the_limits() -> None:
    """Twice as large is asked for, 1.25 times allowed, about what lies in the query's middle."""
    limits = PlacementLimits(1.25, 4, 1.2, 4)
    closed = ClosedFormAligner(
        LimitsByKind(limits, limits, limits), allow_flip=False, min_gain=0.999, rounds=0
    )
    query = query_of(rectangle((10, 20, 50, 60)))
    segment = segment_of(rectangle((20, 30, 40, 50)))

    placed = LearnedAligner(answering([[0.5, 0, 0], [0, 0.5, 0]]), closed).place(
        query, segment, CANDIDATE
    )

    expected = [[0.8, 0, 40 - 0.8 * 40], [0, 0.8, 30 - 0.8 * 30]]
    np.testing.assert_allclose(placed.source_from_target, expected, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(-0.7, 0.7), min_size=6, max_size=6),
    st.tuples(st.integers(0, 40), st.integers(0, 50), st.integers(4, 20), st.integers(4, 30)),
    st.sampled_from([ROAD, CAR]),
)
def test_whatever_the_network_says_the_laws_hold(
    change: list[float], place: tuple[int, int, int, int], class_id: int
) -> None:
    top, left, height, width = place
    query = query_of(rectangle((top, left, top + height, left + width)), class_id)
    segment = segment_of(rectangle((25, 30, 45, 60)), class_id)
    closed = ClosedFormAligner(rounds=0)
    before = closed.place(query, segment, CANDIDATE)
    network = answering(np.eye(2, 3) + np.reshape(change, (2, 3)))

    (placed,) = LearnedAligner(network, closed).refine([query], [before])

    if placed is not before:
        assert placed.iou >= before.iou + 0.01
        limits = closed.limits.of(TAXONOMY.classes[class_id])
        assert limits.allows(invert(placed.source_from_target), fit_frame(SIZE_HW, SIZE_HW))
        assert_traceable(placed)


def test_many_at_once_are_placed_as_one_by_one() -> None:
    network = answering(EIGHT_TO_THE_RIGHT)
    torch.nn.init.normal_(network.last.weight, std=0.02, generator=torch.Generator().manual_seed(0))
    aligner = LearnedAligner(network, LEFT_THERE)
    queries = [query_of(rectangle((20, left, 40, left + 30))) for left in range(10, 40, 4)]
    placed = [LEFT_THERE.place(query, SEGMENT, CANDIDATE) for query in queries]

    together = aligner.refine(queries, placed)

    alone = [aligner.place(query, SEGMENT, CANDIDATE) for query in queries]
    assert any(after is not before for after, before in zip(together, placed, strict=True))
    for first, second in zip(together, alone, strict=True):
        np.testing.assert_allclose(
            first.source_from_target, second.source_from_target, rtol=1e-4, atol=1e-4
        )


def test_what_fits_already_is_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    fitting = segment_of(rectangle((20, 30, 40, 60)))
    aligner = LearnedAligner(answering(EIGHT_TO_THE_RIGHT))
    monkeypatch.setattr(AlignmentNet, "forward", None)

    placed = aligner.place(QUERY, fitting, CANDIDATE)

    assert placed.iou == 1
    np.testing.assert_array_equal(placed.source_from_target, identity())
    assert aligner.refine([], []) == []


def test_half_precision_answers_the_same_and_leaves_the_network_alone() -> None:
    network = answering(EIGHT_TO_THE_RIGHT)

    placed = LearnedAligner(network, LEFT_THERE, dtype=torch.bfloat16).place(
        QUERY, SEGMENT, CANDIDATE
    )

    np.testing.assert_allclose(placed.source_from_target, translation(-8, 0), atol=1e-4)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}


def test_what_does_not_fit_is_refused() -> None:
    before = LEFT_THERE.place(QUERY, SEGMENT, CANDIDATE)
    aligner = LearnedAligner(answering(np.eye(2, 3)))

    with pytest.raises(ValueError, match=r"min_gain is 1, expected 0 to 1"):
        LearnedAligner(answering(np.eye(2, 3)), min_gain=1)
    with pytest.raises(ValueError, match=r"must be of one number, got 2 and 1"):
        aligner.refine([QUERY, QUERY], [before])
    with pytest.raises(ValueError, match=r"'street' has 2 classes, but the network.* trained on 5"):
        LearnedAligner(AlignmentNet(5)).refine([QUERY], [before])
