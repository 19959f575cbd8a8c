"""Finishes: what state a pixel is in, and what they refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.composition import PixelState
from scenequilt.synthesis.finish import ClosedFinish, NoFinish
from scenequilt.synthesis.stages import Bank


def test_no_finish_copies_and_leaves_open(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    made = compose(make_street(), street_bank, finish=NoFinish())

    assert made.finish_name == "none"
    assert set(np.unique(made.state)) <= {PixelState.OPEN, PixelState.COPIED}


def test_a_finish_that_does_nothing_is_no_finish(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    idle = ClosedFinish(blend="hard", transfer=None, shadows=None, fill=False)

    made = compose(make_street(), street_bank, finish=idle)
    plain = compose(make_street(), street_bank, finish=NoFinish())

    assert np.array_equal(made.image, plain.image)
    assert np.array_equal(made.state, plain.state)


def test_a_finish_changes_no_owner(make_street: Callable[..., Layout], street_bank: Bank) -> None:
    made = compose(make_street(), street_bank)
    plain = compose(make_street(), street_bank, finish=NoFinish())

    assert np.array_equal(made.ownership, plain.ownership)


def test_hard_seams_leave_nothing_blended(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    made = compose(make_street(), street_bank, finish=ClosedFinish(blend="hard", fill=False))

    assert not (made.state == PixelState.BLENDED).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"blend": "soft"}, "no blend 'soft'; there are hard, feathered, multiband"),
        ({"band": 0.5}, r"band must be in \[0, 0.25\] of the height, got 0.5"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClosedFinish(**wrong)
