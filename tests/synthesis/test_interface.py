"""Conditions: what a generator needs and is not given, it names."""

import pytest
import torch

from scenequilt.memory_bank.errors import MissingConditionError, ScenequiltError
from scenequilt.synthesis.interface import Conditions, ImageGenerator
from scenequilt.synthesis.network import CanvasGenerator, CanvasGeneratorSettings

NAMES = ["instances", "canvas", "coverage", "elided", "style"]


@pytest.mark.parametrize("name", NAMES)
def test_a_condition_that_is_not_given_is_named_with_its_generator(name: str) -> None:
    conditions = Conditions(layout=torch.zeros(1, 4, 8, 8))

    with pytest.raises(
        MissingConditionError, match=rf"generator 'sims' needs the condition '{name}', which is"
    ):
        conditions.needed(name, "sims")


@pytest.mark.parametrize("name", ["layout", *NAMES])
def test_a_condition_that_is_given_is_returned_itself(name: str) -> None:
    value = torch.zeros(1, 3, 8, 8)
    given = {"layout": torch.zeros(1, 4, 8, 8), name: value}

    assert Conditions(**given).needed(name, "sims") is value


def test_a_missing_condition_is_an_error_of_this_program() -> None:
    assert issubclass(MissingConditionError, ScenequiltError)


def test_the_canvas_generator_is_an_image_generator() -> None:
    generator: ImageGenerator = CanvasGenerator(3, CanvasGeneratorSettings(width=0.01))

    assert generator.name == "sims"
