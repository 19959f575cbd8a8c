"""Samples in a fixed ratio, whatever the numbers of photographs and of added pictures."""

import numpy as np
import pytest

from scenequilt.tools.experiments.added_pictures import MixedSamples

Sample = tuple[np.ndarray, np.ndarray]


def _real(place: int) -> Sample:
    return np.full((2, 2, 3), place, np.uint8), np.zeros((2, 2), np.uint8)


def _added(place: int) -> Sample:
    return np.full((2, 2, 3), 100 + place, np.uint8), np.ones((2, 2), np.uint8)


@pytest.mark.parametrize(("real", "added"), [(8, 8), (8, 2), (2, 8), (1, 1), (5, 3)])
@pytest.mark.parametrize("share", [0.5, 0.25])
def test_the_ratio_holds_and_all_are_seen(real: int, added: int, share: float) -> None:
    samples = MixedSamples((real, _real), (added, _added), share)

    seen = [int(samples.read(place)[0][0, 0, 0]) for place in range(len(samples))]

    found = sum(value >= 100 for value in seen) / len(seen)
    assert found == pytest.approx(share, abs=0.5 / len(seen) + 0.1 / len(seen))
    assert set(seen) == {*range(real), *range(100, 100 + added)}


def test_no_pictures_and_impossible_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="there are 3 photographs and 0 added pictures"):
        MixedSamples((3, _real), (0, _added), 0.5)
    with pytest.raises(ValueError, match="share is 1.0, expected more than 0 and less than 1"):
        MixedSamples((3, _real), (3, _added), 1.0)
