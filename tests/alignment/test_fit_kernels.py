"""The compiled arithmetic of fits against that of affine.py and of the standard library."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scenequilt.alignment.affine import compose, invert, numbers_of, take_apart
from scenequilt.alignment.fit_kernels import Matrix, apart, chained, hypotenuse, inverse
from scenequilt.memory_bank.kernels import compiled


@compiled
def hypotenuse_of(x: float, y: float) -> float:
    return hypotenuse(x, y)


@compiled
def arithmetic(one: Matrix, other: Matrix) -> tuple[Matrix, Matrix, float, float, float]:
    scale, stretch, rotation_rad, _, _ = apart(one)
    return chained(one, other), inverse(one), scale, stretch, rotation_rad


def test_the_hypotenuse_is_that_of_the_standard_library_to_the_last_bit() -> None:
    numbers = np.random.default_rng(0).normal(size=(20000, 2)) * [1, 30]

    for x, y in numbers.tolist():
        assert hypotenuse_of(x, y) == math.hypot(x, y)
    assert hypotenuse_of(0.0, 0.0) == 0


@settings(deadline=None)  # the first example may compile
@given(st.lists(st.floats(-4, 4), min_size=12, max_size=12))
def test_matrices_are_those_of_the_affine_module(numbers: list[float]) -> None:
    one, other = np.array(numbers).reshape(2, 2, 3)
    one[:, :2] += np.eye(2) * 9

    product, back, scale, stretch, rotation_rad = arithmetic(numbers_of(one), numbers_of(other))

    parts = take_apart(one)
    assert product == numbers_of(compose(one, other))
    assert back == numbers_of(invert(one))
    assert (scale, stretch, rotation_rad) == (parts.scale, parts.stretch, parts.rotation_rad)
