"""Comparing trainings: per-class IoU over seeds and pictures, and paired differences with bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.results import Interval

BLOCK = 5
"""Pictures that follow each other in a film and are resampled together: they show the same things."""

RESAMPLES = 2000

LEAST_SEEDS = 3
"""Of fewer trainings nobody can tell how much chance there is in one."""

CONFIDENCE = 0.95

MEAN = "mean"
"""Name of the mean over the classes, beside theirs."""

Verdict = Literal["better", "worse", "open"]


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much one arm's IoU is above another's.

    Attributes:
        interval: Mean over the seeds, with bounds.
        of_seeds: Each seed's own.
        verdict: "better" or "worse" if the bounds leave 0 out and every seed, of three or more, says
            the same; else "open".
    """

    interval: Interval
    of_seeds: tuple[float, ...]
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """What the trainings of all arms have come to.

    Attributes:
        iou: By arm, then by class name and MEAN: mean over the seeds, with bounds.
        of_seeds: The same, each seed's own.
        differences: By (arm, other arm), then by class name and MEAN.
        pictures: How many were tested.
        seeds: How often each arm was trained.
    """

    iou: dict[str, dict[str, Interval]]
    of_seeds: dict[str, dict[str, tuple[float, ...]]]
    differences: dict[tuple[str, str], dict[str, Difference]]
    pictures: int
    seeds: int

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as experiment.json holds it."""
        return {
            "pictures": self.pictures,
            "seeds": self.seeds,
            "iou": {
                arm: {
                    name: {**asdict(interval), "of_seeds": list(self.of_seeds[arm][name])}
                    for name, interval in table.items()
                }
                for arm, table in self.iou.items()
            },
            "differences": {
                f"{arm} - {other}": {
                    name: {
                        **asdict(entry.interval),
                        "of_seeds": list(entry.of_seeds),
                        "verdict": entry.verdict,
                    }
                    for name, entry in table.items()
                }
                for (arm, other), table in self.differences.items()
            },
        }


def compare(
    confusions: Mapping[str, NDArray[np.int64]],
    taxonomy: Taxonomy,
    pairs: Sequence[tuple[str, str]],
    blocks: NDArray[np.intp],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Comparison:
    """Compare arms that were trained with the same seeds and tested on the same pictures.

    The IoU of a training is that of all pictures together; an arm's is the mean over its seeds.
    Its variance is that of the seeds, over their number, and that of a bootstrap that draws blocks
    of pictures with repeats; differences are taken seed by seed and draw by draw, so that they are
    paired. Bounds are those of Student's t at the degrees of freedom that the two have together:
    with three seeds they are wide where seeds vary, as they must be, while resampling three seeds
    would leave 0 out whenever all three agree. Classes that no tested picture shows are left out.

    Args:
        confusions: (S, N, K, K + 1) int64 by arm: pixels of each picture by true and seen class, no
            class last, for each seed.
        taxonomy: The K classes.
        pairs: (arm, other arm) whose differences are asked for.
        blocks: (N,) number of the block of each picture, from 0.
        seed: Of the resampling.
        resamples: How many.

    Raises:
        ValueError: If arms differ in seeds, pictures or classes, or nothing was counted.

    Source:
        Efron and Tibshirani 1993, "An Introduction to the Bootstrap", section 8.6; Satterthwaite
        1946, "An Approximate Distribution of Estimates of Variance Components".
    """
    shapes = {arm: table.shape for arm, table in confusions.items()}
    if len(set(shapes.values())) != 1:
        raise ValueError(f"arms must have one shape (seeds, pictures, K, K + 1), got {shapes}")
    seeds, pictures, classes, _ = next(iter(shapes.values()))
    if classes != len(taxonomy) or len(blocks) != pictures:
        raise ValueError(
            f"confusions are of {pictures} pictures and {classes} classes, but there are "
            f"{len(blocks)} blocks and {len(taxonomy)} classes in taxonomy {taxonomy.name!r}"
        )
    shown = np.flatnonzero(next(iter(confusions.values())).sum(axis=(0, 1, 3)))
    if not shown.size:
        raise ValueError("no pixel was counted; test on photographs that are not all void")
    names = [taxonomy.classes[class_id].name for class_id in shown] + [MEAN]
    rng = np.random.default_rng(seed)
    count = int(blocks.max()) + 1
    of_blocks = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = of_blocks[:, blocks].astype(np.float64)  # (R, N)
    single = np.ones((1, pictures))

    own = {arm: _iou(table[:, :, shown], shown, single)[0] for arm, table in confusions.items()}
    drawn = {
        arm: _iou(table[:, :, shown], shown, weights).mean(axis=1)  # (R, C + 1)
        for arm, table in confusions.items()
    }
    return Comparison(
        iou={
            arm: {
                name: _within_shares(_interval(own[arm][:, place], drawn[arm][:, place], count))
                for place, name in enumerate(names)
            }
            for arm in confusions
        },
        of_seeds={
            arm: {name: tuple(own[arm][:, place].tolist()) for place, name in enumerate(names)}
            for arm in confusions
        },
        differences={
            (arm, other): {
                name: _difference(
                    own[arm][:, place] - own[other][:, place],
                    drawn[arm][:, place] - drawn[other][:, place],
                    count,
                )
                for place, name in enumerate(names)
            }
            for arm, other in pairs
        },
        pictures=pictures,
        seeds=seeds,
    )


def blocks_of(sequences: Sequence[str]) -> NDArray[np.intp]:
    """Return (N,) the number of each picture's block: BLOCK neighbours of one sequence.

    Args:
        sequences: Of each picture, in the order of the film.
    """
    blocks, number, filled = [], -1, BLOCK
    for place, sequence in enumerate(sequences):
        if filled == BLOCK or sequence != sequences[place - 1]:
            number, filled = number + 1, 0
        blocks.append(number)
        filled += 1
    return np.array(blocks, np.intp)


def _iou(
    table: NDArray[np.int64], shown: NDArray[np.intp], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    # (S, N, C, K + 1) and (R, N) -> (R, S, C + 1), the mean over the classes last; NaN for a class
    # that a resample does not show.
    right = np.stack([table[:, :, row, class_id] for row, class_id in enumerate(shown)], axis=2)
    true = table.sum(axis=3)
    seen = table.sum(axis=2)[:, :, shown]
    right, true, seen = (np.einsum("rn,snc->rsc", weights, each) for each in (right, true, seen))
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.where(true > 0, right / (true + seen - right), np.nan)
    kept = ~np.isnan(iou)
    mean = np.where(kept, iou, 0).sum(axis=2) / np.maximum(kept.sum(axis=2), 1)
    return np.concatenate([iou, mean[..., None]], axis=2)


def _interval(of_seeds: NDArray[np.float64], drawn: NDArray[np.float64], blocks: int) -> Interval:
    # Here, since only the end of an experiment needs it and it takes half a second.
    from scipy.stats import t

    value, seeds = float(of_seeds.mean()), len(of_seeds)
    by_seeds = float(of_seeds.var(ddof=1)) / seeds if seeds > 1 else 0.0
    by_pictures = float(drawn[np.isfinite(drawn)].var())
    variance = by_seeds + by_pictures
    if not variance:
        return Interval(value, value, value)
    freedom = variance**2 / (by_seeds**2 / max(seeds - 1, 1) + by_pictures**2 / max(blocks - 1, 1))
    half = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * variance**0.5
    return Interval(value, value - half, value + half)


def _within_shares(interval: Interval) -> Interval:
    return replace(interval, low=max(interval.low, 0.0), high=min(interval.high, 1.0))


def _difference(
    of_seeds: NDArray[np.float64], drawn: NDArray[np.float64], blocks: int
) -> Difference:
    interval = _interval(of_seeds, drawn, blocks)
    verdict: Verdict = "open"
    if len(of_seeds) < LEAST_SEEDS:
        return Difference(interval, tuple(of_seeds.tolist()), verdict)
    if interval.low > 0 and (of_seeds > 0).all():
        verdict = "better"
    elif interval.high < 0 and (of_seeds < 0).all():
        verdict = "worse"
    return Difference(interval, tuple(of_seeds.tolist()), verdict)
