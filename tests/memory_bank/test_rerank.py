"""Weights and limits refuse what makes no sense."""

import math

import pytest

from scenequilt.memory_bank.rerank import ScoreWeights, ShapeLimits


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_a_weight_is_a_number_of_at_least_zero(value: float) -> None:
    with pytest.raises(
        ValueError, match="weight of context is .*, expected a number of at least 0"
    ):
        ScoreWeights(mask=1, context=value)


def test_both_weights_cannot_be_zero() -> None:
    with pytest.raises(ValueError, match="both weights are 0; raise one of mask and context"):
        ScoreWeights(mask=0, context=0)


def test_a_limit_is_a_ratio_of_at_least_one() -> None:
    with pytest.raises(ValueError, match="max_scale is 0.5, expected a ratio of at least 1"):
        ShapeLimits(max_scale=0.5)
    with pytest.raises(ValueError, match="max_stretch is nan, expected a ratio of at least 1"):
        ShapeLimits(max_stretch=math.nan)
