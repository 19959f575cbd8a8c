"""When figures say little."""

import pytest

from scenequilt.tools.evaluation.cautions import cautions
from scenequilt.tools.evaluation.results import (
    Distribution,
    Fidelity,
    Interval,
    Perception,
    ProvenanceFigures,
    RowFigures,
    Seams,
    SegmentationScore,
    Spectrum,
)


def row(name: str, miou: tuple[float, float, float] | None = None, samples: int = 0) -> RowFigures:
    """A row with a mean IoU, as (value, low, high), or with a distance of so many pictures."""
    fidelity = []
    if miou is not None:
        score = SegmentationScore(0.5, 0.5, Interval(*miou), {}, {}, 1)
        fidelity = [Fidelity("cgnet", score, None, None)]
    one = Interval(1, 1, 1)
    distribution = (
        [Distribution("vgg16", "FD", "KD", one, one, samples, samples, "")] if samples else []
    )
    return RowFigures(
        name=name,
        title=name,
        pictures=samples,
        fidelity=fidelity,
        distribution=distribution,
        perception=Perception({}, None, None, 0, {}, 0),
        spectrum=Spectrum(None, [], []),
        seams=Seams(None, None, None, None, None, None, None),
        provenance=ProvenanceFigures(None, None, None, None, None, None, None, None),
        each=[],
    )


@pytest.mark.parametrize(
    ("real", "random", "is_weak"),
    [
        ((0.60, 0.58, 0.62), (0.20, 0.18, 0.22), False),
        ((0.60, 0.40, 0.80), (0.35, 0.25, 0.41), True),
        ((0.29, 0.28, 0.30), (0.20, 0.19, 0.21), True),
        ((0.31, 0.30, 0.32), (0.20, 0.19, 0.21), False),
    ],
)
def test_a_segmenter_that_reaches_little_more_in_photographs_than_in_random_is_named(
    real: tuple[float, float, float], random: tuple[float, float, float], is_weak: bool
) -> None:
    found = cautions([row("ours", real), row("real", real), row("random", random)], 1)

    sentence = (
        f"the segmenter cgnet reaches a mean IoU of only {real[0]:.3f} in photographs and "
        f"{random[0]:.3f} in random segments: what it sees says little"
    )
    assert found == [sentence] * is_weak


def test_without_either_row_nothing_is_said_of_segmenters() -> None:
    low = (0.1, 0.1, 0.1)

    assert cautions([row("ours", low), row("real", low)], 1) == []
    assert cautions([row("ours", low), row("random", low)], 1) == []


def test_few_pictures_are_named_with_the_halves_of_the_photographs() -> None:
    (found,) = cautions([row("a", samples=12), row("b", samples=9), row("real", samples=6)], 2)

    assert found.startswith("9 pictures are few for Fréchet distances")
    assert "two halves of the photographs with half as many pictures each" in found
    assert "halves" not in cautions([row("a", samples=3), row("real")], 1)[0]
    assert cautions([row("a", samples=100), row("real", samples=50)], 1) == []
