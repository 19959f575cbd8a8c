"""Diversity: anchors far from each other, and a measure that says so."""

from collections.abc import Callable

import numpy as np
import pytest

from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.compose import compose, compose_variants
from scenequilt.synthesis.diversity import choose_anchor, measure_diversity
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
