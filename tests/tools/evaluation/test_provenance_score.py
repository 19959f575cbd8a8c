"""Provenance: shares and overlaps counted by hand, and nearest photographs by a slow search."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.composition import PixelState
from scenequilt.tools.evaluation.provenance_score import ProvenanceTally, nearest
from scenequilt.tools.evaluation.results import Interval, ProvenanceFigures
from scenequilt.tools.evaluation.rows import View


def view(
    name: str = "a",
    *,
    layout: str = "a",
    requested: list[list[int]] | None = None,
    delivered: list[list[int]] | None = None,
    state: list[list[int]] | None = None,
    sources: tuple[str, ...] = (),
) -> View:
    asked = np.array(requested or [[0, 0]], np.uint8)
    return View(
        name,
        layout,
        np.zeros((*asked.shape, 3), np.uint8),
        asked,
        delivered=None if delivered is None else np.array(delivered, np.uint8),
        state=None if state is None else np.array(state, np.uint8),
        sources=sources,
    )


def tally(*views: View) -> ProvenanceFigures:
    counted = ProvenanceTally()
    for one in views:
        counted.add(one)
    return counted.figures()


def test_pictures_without_records_have_no_figures() -> None:
    assert tally(view()) == ProvenanceFigures(None, None, None, None, None, None, None, None)


def test_states_are_shares_of_all_pixels() -> None:
    copied, blended = int(PixelState.COPIED), int(PixelState.BLENDED)

    found = tally(
        view(state=[[copied, blended]]),
        view(requested=[[0] * 6], state=[[copied] * 5 + [int(PixelState.SYNTHESISED)]]),
    )

    assert found.states == {
        "open": 0,
        "copied": 6 / 8,
        "recoloured": 0,
        "blended": 1 / 8,
        "synthesised": 1 / 8,
    }


def test_agreement_is_over_all_pixels_that_are_not_void() -> None:
    found = tally(
        view(requested=[[0, 1], [1, VOID]], delivered=[[0, 2], [VOID, 1]]),
        view(requested=[[3, 3]], delivered=[[3, 3]]),
        view(requested=[[1, 1]]),
    )

    assert found.agreement == 3 / 5


def test_sources_are_counted_a_picture_and_in_all() -> None:
    found = tally(
        view(sources=("p", "q", "r")), view(layout="b", sources=("r", "s", "t", "u", "p")), view()
    )

    assert (found.sources, found.sources_in_all) == (4, 6)


def test_overlaps_tell_variants_from_other_layouts() -> None:
    found = tally(
        view("a0", layout="a", sources=("p", "q")),
        view("a1", layout="a", sources=("q", "r")),
        view("b0", layout="b", sources=("p", "q", "r", "s")),
    )

    assert found.variant_overlap == pytest.approx(1 / 3)
    assert found.source_overlap == pytest.approx((2 / 4 + 2 / 4) / 2)


def test_one_picture_overlaps_with_none() -> None:
    found = tally(view(sources=("p",)))

    assert (found.source_overlap, found.variant_overlap) == (None, None)


def test_the_same_photograph_everywhere_is_a_whole_overlap() -> None:
    found = tally(*(view(layout=layout, sources=("p",)) for layout in "abc"))

    assert (found.source_overlap, found.variant_overlap) == (1, None)


def test_overlaps_equal_a_slow_loop_over_pairs() -> None:
    generator = np.random.default_rng(1)
    views = [
        view(
            f"v{place}",
            layout=f"l{place // 2}",
            sources=tuple(f"s{number}" for number in generator.choice(12, 4, replace=False)),
        )
        for place in range(12)
    ]

    found = tally(*views)

    overlaps: dict[bool, list[float]] = {True: [], False: []}
    for one, other in itertools.combinations(views, 2):
        shared = set(one.sources) & set(other.sources)
        together = set(one.sources) | set(other.sources)
        overlaps[one.layout == other.layout].append(len(shared) / len(together))
    assert found.source_overlap == pytest.approx(np.mean(overlaps[False]))
    assert found.variant_overlap == pytest.approx(np.mean(overlaps[True]))


def test_the_order_of_pictures_changes_nothing() -> None:
    generator = np.random.default_rng(2)
    views = [
        view(
            f"v{place}",
            layout=f"l{place // 3}",
            delivered=[generator.integers(0, 2, 2).tolist()],
            state=[generator.integers(0, 5, 2).tolist()],
            sources=tuple(f"s{number}" for number in generator.choice(40, 1 + place % 7)),
        )
        for place in range(30)
    ]

    assert tally(*views) == tally(*views[::-1])


def test_distances_that_a_tally_does_not_know_are_passed_on() -> None:
    found = ProvenanceTally().figures(nearest_distance=Interval(3, 2, 4), nearest_of_real=0.5)

    assert (found.nearest_distance, found.nearest_of_real) == (Interval(3, 2, 4), 0.5)


def test_a_state_that_does_not_exist_is_refused_with_the_picture() -> None:
    with pytest.raises(ValueError, match=r"street/00: state map holds 7, expected 0 to 4 \(open"):
        ProvenanceTally().add(view("street/00", state=[[0, 7]]))


BANK = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]])


def test_the_nearest_is_the_one_of_the_smallest_angle() -> None:
    places, distances = nearest(np.array([[5.0, 0.1], [1.0, 1.2], [-1.0, 0.0]]), BANK)

    assert places.tolist() == [0, 2, 1]
    assert distances == pytest.approx([1 - 5 / np.hypot(5, 0.1), 1 - 2.2 / np.sqrt(4.88), 1])


def test_what_is_excluded_is_not_found() -> None:
    places, distances = nearest(BANK, BANK, exclude=[[0], [1], [2]])

    assert places.tolist() == [2, 2, 0]
    assert distances == pytest.approx(1 - np.sqrt(0.5))


def test_a_photograph_is_nearest_to_itself_at_no_distance() -> None:
    bank = np.random.default_rng(3).normal(size=(20, 8)).astype(np.float32)

    places, distances = nearest(bank, bank)

    assert places.tolist() == list(range(20))
    assert distances == pytest.approx(0, abs=1e-12)
    assert (distances >= 0).all()


def test_what_only_rounding_tells_apart_is_at_no_distance() -> None:
    one = np.random.default_rng(5).normal(size=(1, 64))

    _, same = nearest(one * 3, one / 7)
    _, other = nearest(np.array([[1.0, 0.0]]), np.array([[1.0, 1e-3]]))

    assert same.tolist() == [0]
    assert other == pytest.approx(5e-7, rel=1e-3)


def test_nearest_equals_a_slow_search() -> None:
    generator = np.random.default_rng(4)
    features, bank = generator.normal(size=(6, 5)), generator.normal(size=(9, 5))

    places, distances = nearest(features, bank, exclude=[[place] for place in range(6)])

    for place, one in enumerate(features):
        cosine = {
            at: one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            for at, other in enumerate(bank)
            if at != place
        }
        assert places[place] == max(cosine, key=lambda at: cosine[at])
        assert distances[place] == pytest.approx(1 - max(cosine.values()))


def test_of_equally_near_ones_the_first_is_taken() -> None:
    places, _ = nearest(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0]]))

    assert places.tolist() == [1]


def test_features_of_nothing_are_at_distance_one() -> None:
    _, distances = nearest(np.zeros((1, 2)), BANK)

    assert distances.tolist() == [1]


@pytest.mark.parametrize(
    ("features", "exclude", "message"),
    [
        (np.zeros((2, 3)), None, r"\(N, D\) and \(M, D\), got \(2, 3\) and \(3, 2\); take both"),
        (np.ones((2, 2)), [[0]], "exclude must have 2 entries, got 1"),
        (np.ones((1, 2)), [[0, 1, 2]], "no photograph among 3 that is not its own; give more"),
    ],
)
def test_what_has_no_nearest_is_refused(
    features: NDArray[np.float64], exclude: list[list[int]] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        nearest(features, BANK, exclude)
