"""Choice: what candidates are worth, and how a zone is covered."""

from collections.abc import Callable

import numpy as np

from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Candidate, PlacedSegment, Query, Segment
from scenequilt.synthesis.choice import (
    ChoiceSettings,
    Chosen,
    Preferences,
    choose_thing,
    cover_zone,
    leftover_queries,
    rank_candidates,
    shows_a_cut,
)

SIZE = (32, 48)
PLAIN = Preferences("", {})


def candidate(number: int, score: float = 1.0, source_id: str = "a") -> Candidate:
    return Candidate(number, source_id, number, score, score, 0.0, 0.0, "frame")


def place_at(
    query: Query, masks: dict[int, np.ndarray], iou: float = 0.5
) -> Callable[[Candidate], PlacedSegment]:
    """Return a place() that puts each segment on a mask of the whole layout."""

    def place(found: Candidate) -> PlacedSegment:
        box = (0, 0, *SIZE)
        color = np.zeros((*SIZE, 3), np.uint8)
        mask = masks[found.segment_id]
        segment = Segment(
            found.segment_id, query.class_id, found.source_id, box, box, color, mask, SIZE, False
        )
        return PlacedSegment(query.query_id, segment, found, np.eye(2, 3), box, color, mask, iou)

    return place


def columns(first: int, last: int) -> np.ndarray:
    mask = np.zeros(SIZE, np.bool_)
    mask[:, first:last] = True
    return mask


def ask(layout: Layout, class_id: int) -> Query:
    return next(query for query in extract_queries(layout) if query.class_id == class_id)


def cover(query: Query, masks: dict[int, np.ndarray], **settings: int) -> Chosen:
    ranked = rank_candidates(
        query, [candidate(number) for number in masks], PLAIN, ChoiceSettings()
    )
    zone = np.ones(SIZE, np.bool_)
    return cover_zone(
        query,
        zone,
        (0, 0, *SIZE),
        ranked,
        place_at(query, masks),
        ChoiceSettings(**settings),
        margin_px=3,
    )


def ids(chosen: Chosen) -> list[int]:
    return [item.segment.segment_id for item in chosen.placed]


def test_the_best_score_comes_first_if_nothing_else_counts(
    make_street: Callable[..., Layout],
) -> None:
    query = ask(make_street(), 1)

    ranked = rank_candidates(query, [candidate(0, 0.5), candidate(1, 0.9)], PLAIN, ChoiceSettings())

    assert [entry.candidate.segment_id for entry in ranked] == [1, 0]


def test_light_like_the_picture_outweighs_a_little_score(
    make_street: Callable[..., Layout],
) -> None:
    query = ask(make_street(), 1)
    preferences = Preferences("", {"dusk": 30.0, "noon": 0.0})

    ranked = rank_candidates(
        query,
        [candidate(0, 1.0, "dusk"), candidate(1, 0.9, "noon")],
        preferences,
        ChoiceSettings(),
    )

    assert ranked[0].candidate.source_id == "noon"
    assert ranked[1].handicap == "look"


def test_what_an_earlier_variant_shows_comes_later(make_street: Callable[..., Layout]) -> None:
    query = ask(make_street(), 1)
    preferences = Preferences("", {}, used_segments={0})

    ranked = rank_candidates(
        query, [candidate(0, 1.0), candidate(1, 0.8)], preferences, ChoiceSettings()
    )

    assert [entry.candidate.segment_id for entry in ranked] == [1, 0]
    assert ranked[1].handicap == "used"


def test_a_candidate_far_below_the_best_is_taken_last(make_street: Callable[..., Layout]) -> None:
    query = ask(make_street(), 1)
    preferences = Preferences("", {"a": 40.0, "b": 0.0})

    ranked = rank_candidates(
        query, [candidate(0, 1.0, "a"), candidate(1, 0.3, "b")], preferences, ChoiceSettings()
    )

    assert ranked[0].candidate.segment_id == 0


def test_one_segment_that_covers_all_is_enough(make_street: Callable[..., Layout]) -> None:
    chosen = cover(ask(make_street(), 1), {1: columns(0, 48), 2: columns(0, 30)})

    assert ids(chosen) == [1]


def test_what_the_first_leaves_open_the_next_one_fills(make_street: Callable[..., Layout]) -> None:
    chosen = cover(
        ask(make_street(), 1), {1: columns(0, 30), 2: columns(0, 31), 3: columns(20, 48)}
    )

    assert ids(chosen)[0] in (1, 2) and ids(chosen)[1] == 3
    assert sum(np.count_nonzero(item.mask) for item in chosen.placed) == 32 * 48


def test_pieces_do_not_overlap_but_reach_further(make_street: Callable[..., Layout]) -> None:
    chosen = cover(ask(make_street(), 1), {1: columns(0, 30), 3: columns(20, 48)})

    shown = np.zeros(SIZE, int)
    reached = np.zeros(SIZE, int)
    for item, reach in zip(chosen.placed, chosen.reach, strict=True):
        top, left, bottom, right = item.box
        shown[top:bottom, left:right] += item.mask
        reached[top:bottom, left:right] += reach
    assert (shown == 1).all()
    assert reached.max() == 2


def test_a_sliver_is_not_worth_a_seam(make_street: Callable[..., Layout]) -> None:
    chosen = cover(ask(make_street(), 1), {1: columns(0, 24), 2: columns(23, 26)}, texture_pieces=0)

    assert ids(chosen) == [1]
    assert [(entry.segment_id, entry.reason) for entry in chosen.rejected] == [(2, "covered")]


def test_no_more_pieces_than_allowed(make_street: Callable[..., Layout]) -> None:
    masks = {number: columns(8 * number, 8 * number + 8) for number in range(6)}

    chosen = cover(ask(make_street(), 1), masks, stuff_pieces=3, texture_pieces=0)

    assert len(chosen.placed) == 3


def test_what_no_candidate_reaches_is_laid_over_with_their_texture(
    make_street: Callable[..., Layout],
) -> None:
    chosen = cover(ask(make_street(), 1), {1: columns(0, 24)})

    assert ids(chosen) == [1, 1]
    assert sum(np.count_nonzero(item.mask) for item in chosen.placed) == 32 * 48


def test_a_thing_takes_the_best_fit_of_the_first_few(make_street: Callable[..., Layout]) -> None:
    query = ask(make_street(car=(8, 8), size_hw=SIZE), 2)
    ranked = rank_candidates(query, [candidate(1), candidate(2, 0.99)], PLAIN, ChoiceSettings())
    fits = {1: 0.3, 2: 0.6}

    def place(found: Candidate) -> PlacedSegment:
        return place_at(query, {1: columns(0, 9), 2: columns(0, 9)}, fits[found.segment_id])(found)

    chosen = choose_thing(query, ranked, place, ChoiceSettings(small_px=1))

    assert ids(chosen) == [2]
    assert [(entry.segment_id, entry.reason) for entry in chosen.rejected] == [(1, "fit")]


def test_half_of_a_row_of_cars_is_asked_for_again(make_street: Callable[..., Layout]) -> None:
    query = ask(make_street(car=(14, 20)), 2)
    left_half = np.zeros(SIZE, np.bool_)
    left_half[14:22, 20:26] = True
    placed = place_at(query, {1: left_half})(candidate(1))

    more = leftover_queries(
        query,
        Chosen((placed,), (placed.mask,), ()),
        first_id=5,
        first_instance=9,
        settings=ChoiceSettings(small_px=10),
    )

    assert [(item.query_id, item.region.instance_id, item.region.box) for item in more] == [
        (5, 9, (14, 26, 22, 32))
    ]


def test_a_thing_that_is_covered_is_not_asked_for_again(make_street: Callable[..., Layout]) -> None:
    query = ask(make_street(car=(14, 20)), 2)
    placed = place_at(query, {1: columns(0, 48)})(candidate(1))

    assert not leftover_queries(
        query,
        Chosen((placed,), (placed.mask,), ()),
        first_id=5,
        first_instance=9,
        settings=ChoiceSettings(small_px=10),
    )


def test_what_stands_in_the_picture_already_comes_later(
    make_street: Callable[..., Layout],
) -> None:
    query = ask(make_street(), 2)

    ranked = rank_candidates(
        query, [candidate(0, 1.0), candidate(1, 0.9)], PLAIN, ChoiceSettings(), shown={0}
    )

    assert [entry.candidate.segment_id for entry in ranked] == [1, 0]


def cut_at_the_left(shift_px: float, *, mirrored: bool = False) -> PlacedSegment:
    """Return a segment that its frame cut at the left, moved to the right by some pixels."""
    box = (10, 0, 20, 12)
    color, mask = np.zeros((10, 12, 3), np.uint8), np.ones((10, 12), np.bool_)
    segment = Segment(1, 2, "a", box, box, color, mask, SIZE, True)
    source_from_target = np.array([[1.0, 0, -shift_px], [0, 1.0, 0]])
    if mirrored:
        source_from_target = np.array([[-1.0, 0, 48 - shift_px], [0, 1.0, 0]])
    return PlacedSegment(
        0, segment, candidate(1), source_from_target, (10, 12, 20, 24), color, mask, 0.5
    )


def test_a_cut_shows_only_within_the_picture() -> None:
    assert not shows_a_cut(cut_at_the_left(0), SIZE)
    assert not shows_a_cut(cut_at_the_left(-4), SIZE)
    assert shows_a_cut(cut_at_the_left(12), SIZE)


def test_a_mirrored_cut_belongs_to_the_other_side() -> None:
    assert not shows_a_cut(cut_at_the_left(0, mirrored=True), SIZE)
    assert shows_a_cut(cut_at_the_left(12, mirrored=True), SIZE)


def test_what_the_picture_shows_comes_last_whatever_it_is_worth(
    make_street: Callable[..., Layout],
) -> None:
    query = ask(make_street(), 2)
    preferences = Preferences("a", {"b": 90.0}, used_segments={2}, used_sources={"b"})
    found = [candidate(0), candidate(1), candidate(2, 0.1, "b")]

    ranked = rank_candidates(query, found, preferences, ChoiceSettings(), shown={0}, alike={0, 1})

    assert [entry.candidate.segment_id for entry in ranked] == [2, 1, 0]
    assert [entry.repeats for entry in ranked] == [0, 1, 2]
    assert [entry.handicap for entry in ranked[1:]] == ["used", "used"]


def test_stuff_may_go_on_as_what_the_picture_shows(make_street: Callable[..., Layout]) -> None:
    ranked = rank_candidates(
        ask(make_street(), 1), [candidate(0), candidate(1, 0.9)], PLAIN, ChoiceSettings(), shown={0}
    )

    assert [entry.candidate.segment_id for entry in ranked] == [0, 1]


def test_a_perfect_fit_that_the_picture_shows_loses_to_a_bad_one(
    make_street: Callable[..., Layout],
) -> None:
    query = ask(make_street(car=(8, 8), size_hw=SIZE), 2)
    fits = {1: 1.0, 2: 0.1}
    ranked = rank_candidates(
        query, [candidate(1), candidate(2, 0.2)], PLAIN, ChoiceSettings(), shown={1}
    )

    def place(found: Candidate) -> PlacedSegment:
        return place_at(query, {1: columns(0, 9), 2: columns(0, 9)}, fits[found.segment_id])(found)

    chosen = choose_thing(query, ranked, place, ChoiceSettings(small_px=1))

    assert ids(chosen) == [2]
    assert [(entry.segment_id, entry.reason) for entry in chosen.rejected] == [(1, "used")]
