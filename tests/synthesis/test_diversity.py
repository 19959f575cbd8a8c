"""Diversity: anchors far from each other, and a measure that says so."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.compose import compose, compose_variants
from scenequilt.synthesis.diversity import choose_anchor, measure_diversity, support_of_sources
from scenequilt.synthesis.look import Look
from scenequilt.synthesis.stages import Bank


def look(lightness: float) -> Look:
    mean = np.array([lightness, 0.0, 0.0])
    return Look(mean[None], np.ones(1), mean, np.ones(3))


LOOKS = {"noon": look(80), "also_noon": look(79), "dusk": look(40)}
SUPPORT = {"noon": 0.9, "also_noon": 0.89, "dusk": 0.6}


def test_the_first_anchor_supports_the_layout_best() -> None:
    assert choose_anchor(SUPPORT, LOOKS) == "noon"


def test_the_next_anchor_is_of_another_light() -> None:
    assert choose_anchor(SUPPORT, LOOKS, earlier=["noon"]) == "dusk"


def test_a_style_outweighs_support() -> None:
    assert choose_anchor(SUPPORT, LOOKS, style=look(38)) == "dusk"


def test_no_support_is_no_anchor() -> None:
    assert choose_anchor({}, LOOKS) == ""


def test_one_picture_has_no_diversity(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    found = measure_diversity([compose(make_street(), street_bank)])

    assert (found.lab_difference, found.dissimilarity, found.unshared_sources) == (0, 0, 0)


def test_variants_differ_more_than_seeds_do(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    layout = make_street()
    seeds = [compose(layout, street_bank, seed=seed) for seed in range(3)]

    variants = compose_variants(layout, street_bank, variants=3)

    assert measure_diversity(variants).lab_difference > measure_diversity(seeds).lab_difference + 3
    assert measure_diversity(variants).unshared_sources > 0.5
    assert measure_diversity(variants).dissimilarity > measure_diversity(seeds).dissimilarity


def test_no_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="compositions is empty"):
        measure_diversity([])


def test_an_earlier_anchor_that_is_not_known_is_passed_over() -> None:
    assert choose_anchor(SUPPORT, LOOKS, earlier=["", "gone"]) == "noon"


def test_an_anchor_is_used_again_only_when_all_were() -> None:
    two = {"noon": 0.9, "dusk": 0.6}

    assert choose_anchor(two, LOOKS, earlier=["noon", "noon"]) == "dusk"
    assert choose_anchor(two, LOOKS, earlier=["noon", "dusk"]) == "noon"


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 64), (64, 2)])
def test_a_picture_of_two_pixels_has_no_structure(
    make_street: Callable[..., Layout], street_bank: Bank, size_hw: tuple[int, int]
) -> None:
    made = compose(make_street(), street_bank)
    black, white = (
        replace(made, image=np.full((*size_hw, 3), shade, np.uint8)) for shade in (0, 255)
    )

    found = measure_diversity([black, white])

    assert found.dissimilarity == 0
    assert found.lab_difference == pytest.approx(100, abs=0.1)


def test_support_is_of_the_stuff_and_of_things_only_where_there_is_no_stuff(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    queries = extract_queries(make_street())
    answers = street_bank.retrieve_many(queries, 20)
    things = [query.is_thing for query in queries]
    no_stuff = [
        answer if thing else replace(answer, candidates=())
        for answer, thing in zip(answers, things, strict=True)
    ]

    assert max(support_of_sources(queries, answers).values()) <= 1
    best_car = answers[things.index(True)].candidates[0].source_id
    of_things = support_of_sources(queries, no_stuff)
    assert (next(iter(of_things)), of_things[best_car]) == (best_car, 1)
