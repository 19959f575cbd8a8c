"""swap: one choice is changed, what it does not touch stays, and the whole is what it would be."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Candidate, PlacedSegment, Query, Segment
from scenequilt.ordering.orderer import FixedPair, Order
from scenequilt.synthesis.blending import BLENDS, Blend
from scenequilt.synthesis.canvas import Canvas
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.composition import Composition, PixelState, Swap
from scenequilt.synthesis.finish import ClosedFinish, Finished, NoFinish, Surroundings
from scenequilt.synthesis.finishing import WindowedFinish
from scenequilt.synthesis.recompose import swap
from scenequilt.synthesis.stages import Bank, ComposeSettings

SKY, ROAD, CAR = 0, 1, 2


@pytest.fixture(scope="module")
def made(make_street: Callable[..., Layout], street_bank: Bank) -> Composition:
    return compose(make_street(horizon=13, car=(15, 22)), street_bank)


def query_of(made: Composition, class_id: int) -> int:
    return next(query.query_id for query in made.queries if query.class_id == class_id)


def shown_by(made: Composition, query_id: int) -> list[int]:
    return [item.segment.segment_id for item in made.placed if item.query_id == query_id]


def finished_whole(made: Composition) -> Finished:
    """Finish the canvas of a composition from nothing."""
    work = made.groundwork
    assert work is not None
    return work.finish.finish(work.canvas, work.surroundings, seed=made.seed)


def is_filled(state: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return np.isin(state, [PixelState.SYNTHESISED, PixelState.BLENDED])


@pytest.mark.parametrize("class_id", [SKY, ROAD, CAR])
def test_the_next_match_comes_instead(made: Composition, street_bank: Bank, class_id: int) -> None:
    query_id = query_of(made, class_id)

    changed = swap(made, street_bank, query_id)

    before, now = shown_by(made, query_id)[0], shown_by(changed, query_id)[0]
    assert now != before
    assert changed.swaps == (Swap(query_id, now, before),)
    for other in made.queries:
        if other.query_id != query_id:
            assert shown_by(changed, other.query_id) == shown_by(made, other.query_id)


@pytest.mark.parametrize("blend", BLENDS)
@pytest.mark.parametrize("class_id", [SKY, ROAD, CAR])
def test_the_picture_is_that_of_finishing_the_whole(
    make_street: Callable[..., Layout], street_bank: Bank, class_id: int, blend: Blend
) -> None:
    layout = make_street(horizon=13, car=(15, 22))
    made = compose(layout, street_bank, finish=ClosedFinish(blend=blend))

    changed = swap(swap(made, street_bank, query_of(made, class_id)), street_bank, 0)

    whole = finished_whole(changed)
    assert np.array_equal(changed.image, whole.image)
    assert np.array_equal(changed.state, whole.state)
    assert np.array_equal(changed.delivered.label_map, whole.delivered.label_map)


def test_a_fill_apart_the_picture_of_a_street_with_holes_is_that_of_the_whole(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    choice = replace(ComposeSettings().choice, stuff_pieces=1, texture_pieces=0)
    layout = make_street(horizon=20, car=(22, 6))
    made = compose(layout, street_bank, settings=ComposeSettings(choice=choice))
    assert (made.state == PixelState.SYNTHESISED).any()

    changed = swap(made, street_bank, query_of(made, CAR))

    whole = finished_whole(changed)
    differs = (changed.image != whole.image).any(axis=2)
    assert (is_filled(changed.state) | is_filled(whole.state))[differs].all()


def test_what_it_does_not_touch_stays(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    layout = make_street(horizon=13, car=(18, 60), size_hw=(32, 96))
    choice = replace(ComposeSettings().choice, stuff_pieces=1, texture_pieces=0)
    made = compose(layout, street_bank, settings=ComposeSettings(choice=choice))

    changed = swap(made, street_bank, query_of(made, CAR))

    far = np.s_[:, :24]
    for name in ("image", "state", "ownership", "coverage", "elided"):
        assert np.array_equal(getattr(changed, name)[far], getattr(made, name)[far]), name


def test_the_record_is_true_after_a_swap(made: Composition, street_bank: Bank) -> None:
    changed = swap(made, street_bank, query_of(made, ROAD))

    assert ((changed.ownership >= 0) == changed.coverage).all()
    for place, item in enumerate(changed.placed):
        top, left, bottom, right = item.box
        window = np.s_[top:bottom, left:right]
        copied = (changed.state[window] == PixelState.COPIED) & (changed.ownership[window] == place)
        assert (changed.image[window][copied] == item.color[copied]).all()
    classes = np.array([item.segment.class_id for item in changed.placed])
    owned = changed.coverage
    assert (changed.delivered.label_map[owned] == classes[changed.ownership[owned]]).all()
    assert {entry.query_id for entry in changed.rejected} <= set(range(len(changed.queries)))
    gone = changed.swaps[0].instead_of
    reasons = {entry.segment_id: entry.reason for entry in changed.rejected if entry.query_id == 1}
    assert gone in shown_by(changed, 1) or reasons[gone] == "swapped"


def test_swapping_goes_through_the_candidates_and_round(
    made: Composition, street_bank: Bank
) -> None:
    query_id = query_of(made, CAR)
    count = len(made.retrievals[query_id].candidates)
    seen, changed = [shown_by(made, query_id)[0]], made
    for _ in range(count + 1):
        changed = swap(changed, street_bank, query_id)
        seen.append(shown_by(changed, query_id)[0])

    assert len(set(seen[:count])) == count
    assert seen[count] in seen[:count]
    assert seen[count + 1] != seen[count]


def test_the_same_swaps_give_the_same_bytes(made: Composition, street_bank: Bank) -> None:
    car, road = query_of(made, CAR), query_of(made, ROAD)

    first = swap(swap(made, street_bank, car), street_bank, road)
    second = made
    for each in first.swaps:
        second = swap(second, street_bank, each.query_id, each.segment_id)

    assert second.swaps == first.swaps
    for name in ("image", "ownership", "state", "elided"):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name


def test_a_fixed_pair_still_holds(make_street: Callable[..., Layout], street_bank: Bank) -> None:
    layout = make_street(horizon=13, car=(15, 22))
    plain = compose(layout, street_bank)
    assert isinstance(plain.order, Order)
    car = query_of(plain, CAR)
    edge = next(edge for edge in plain.order.edges if plain.placed[edge.front].query_id == car)
    behind = plain.placed[edge.back].query_id
    made = compose(layout, street_bank, fixed=[FixedPair(front=behind, back=car)])

    changed = swap(made, street_bank, behind)

    places = {item.query_id: place for place, item in enumerate(changed.placed)}
    order = changed.order.back_to_front
    assert order.index(places[behind]) > order.index(places[car])


@pytest.mark.parametrize(
    "finish",
    [
        ClosedFinish(),
        ClosedFinish(blend="hard", transfer=None, shadows=None),
        ClosedFinish(blend="feathered", band=0.1, fill=False),
    ],
    ids=["all", "without transfer and shadows", "without filling"],
)
def test_compose_keeps_what_the_closed_finish_worked_out_and_makes_its_picture(
    make_street: Callable[..., Layout], street_bank: Bank, finish: ClosedFinish
) -> None:
    choice = replace(ComposeSettings().choice, stuff_pieces=1)
    settings = ComposeSettings(choice=choice)

    made = compose(make_street(horizon=20), street_bank, finish=finish, settings=settings)

    whole = finished_whole(made)
    assert np.array_equal(made.image, whole.image)
    assert np.array_equal(made.state, whole.state)
    assert np.array_equal(made.delivered.label_map, whole.delivered.label_map)
    assert made.groundwork is not None and made.groundwork.closed_work is not None


class CountingAligner:
    """Places as the closed form does, and counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def place(self, query: Query, segment: Segment, candidate: Candidate) -> PlacedSegment:
        """Return the segment on the layout's pixels."""
        self.asked.append(query.query_id)
        return ClosedFormAligner().place(query, segment, candidate)


def test_only_the_query_that_is_swapped_is_aligned_anew(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    aligner = CountingAligner()
    made = compose(make_street(horizon=13, car=(15, 22)), street_bank, aligner)
    car = query_of(made, CAR)
    aligner.asked.clear()

    swap(made, street_bank, car)

    assert aligner.asked == [car]


class Windowed:
    """A finish without a finish that remembers what it was handed."""

    name = "windowed"

    def __init__(self) -> None:
        self.changed: list[NDArray[np.bool_]] = []

    def finish(self, canvas: Canvas, surroundings: Surroundings, *, seed: int) -> Finished:
        """Return the canvas as it is."""
        return NoFinish().finish(canvas, surroundings, seed=seed)

    def refinish(
        self,
        canvas: Canvas,
        surroundings: Surroundings,
        earlier: Finished,
        changed: NDArray[np.bool_],
        *,
        seed: int,
    ) -> Finished:
        """Return the earlier picture where nothing has changed, and the canvas where it has."""
        self.changed.append(changed)
        anew = self.finish(canvas, surroundings, seed=seed)
        image = np.where(changed[..., None], anew.image, earlier.image)
        return replace(anew, image=image)


def test_a_finish_with_a_window_is_handed_what_changed(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    finish = Windowed()
    assert isinstance(finish, WindowedFinish)
    made = compose(make_street(horizon=13, car=(15, 22)), street_bank, finish=finish)

    changed = swap(made, street_bank, query_of(made, CAR))

    (window,) = finish.changed
    assert np.array_equal(changed.image, finished_whole(changed).image)
    assert window.any() and not window.all()
    assert not (made.image != changed.image).any(axis=2)[~window].any()


def test_a_finish_without_one_finishes_the_whole(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    made = compose(make_street(horizon=13, car=(15, 22)), street_bank, finish=NoFinish())

    changed = swap(made, street_bank, query_of(made, CAR))

    assert np.array_equal(changed.image, finished_whole(changed).image)


def test_what_cannot_be_swapped_is_refused(
    made: Composition,
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    make_bank: Callable[..., Bank],
    street_bank: Bank,
) -> None:
    with pytest.raises(ValueError, match=r"no query 9; there are 0 to 2"):
        swap(made, street_bank, 9)
    with pytest.raises(ValueError, match=r"segment 5 is none of the 6 candidates of query 2"):
        swap(made, street_bank, query_of(made, CAR), 5)
    with pytest.raises(ValueError, match="no groundwork; swap one that compose has made"):
        swap(replace(made, groundwork=None), street_bank, 0)
    layout = make_street()
    bank = make_bank([("only", make_photograph(layout, 1), layout)], layout.taxonomy)
    with pytest.raises(ValueError, match="query 0 has no other candidate; compose with a larger k"):
        swap(compose(layout, bank), bank, 0)
