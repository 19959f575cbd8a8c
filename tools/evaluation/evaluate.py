"""From rows of pictures to figures: the whole evaluation on one screen."""

import os
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.distribution import compare_features
from scenequilt.tools.evaluation.features import FeatureNetwork
from scenequilt.tools.evaluation.intervals import mean_interval
from scenequilt.tools.evaluation.judges import Judges
from scenequilt.tools.evaluation.measure import MeasuredLayout, measure_layouts
from scenequilt.tools.evaluation.power_spectrum import PowerSpectrum, radial_distance
from scenequilt.tools.evaluation.provenance_score import nearest
from scenequilt.tools.evaluation.results import (
    Distribution,
    ProvenanceFigures,
    RowFigures,
    Spectrum,
)
from scenequilt.tools.evaluation.rows import Row
from scenequilt.tools.evaluation.tally import RowTally
from scenequilt.tools.progress import Progress

REAL = "real"
"""Name of the row of real photographs, which the others are compared with."""

LEAST_HALVED = 4
"""Photographs whose two halves still have a covariance each."""

Job = TypeVar("Job")
Found = TypeVar("Found")


class Photographs(Protocol):
    """Photographs that a picture may come too near to, e.g. those of a bank."""

    @property
    def names(self) -> Sequence[str]:
        """Of N photographs."""
        ...

    def read(self, place: int) -> NDArray[np.uint8]:
        """Read one, (H, W, 3) uint8 at the evaluation's size; called from several threads."""
        ...


@dataclass(frozen=True, eq=False)
class Measured:
    """Every row's figures, and its mean spectrum for looking at.

    Attributes:
        rows: In the order in which they were given.
        spectra: By name of the row.
    """

    rows: list[RowFigures]
    spectra: dict[str, PowerSpectrum]


def evaluate(
    rows: Sequence[Row],
    layouts: int,
    judges: Judges,
    taxonomy: Taxonomy,
    size_hw: tuple[int, int],
    *,
    reference: Photographs | None = None,
    own: Mapping[str, Collection[str]] | None = None,
    seed: int = 0,
    batch: int = 1,
    workers: int | None = None,
    progress: Callable[[str], Progress] = lambda stage: lambda done, total: None,
) -> Measured:
    """Measure rows of pictures.

    What can be wrong with the reference shows before the rows are looked at, which takes long.

    Args:
        rows: The rows of the table; the one named "real" is what the others are compared with.
        layouts: How many layouts each row has pictures of.
        judges: The networks.
        taxonomy: Classes of the layouts.
        size_hw: (height, width) of all pictures.
        reference: Photographs for the distance to the nearest; None: the real ones of the other
            layouts.
        own: Photographs of the reference that do not count for a layout, by its name; None: those
            of the layout's name.
        seed: Of the two halves and of resampling.
        batch: Layouts whose pictures go through a network together. Figures do not depend on it.
        workers: Threads; None: one a processor. Figures do not depend on it.
        progress: Takes the name of a stage to a function that is told how far it is.
    """
    tallies = [RowTally(row, judges, taxonomy, size_hw) for row in rows]
    real = next((tally for tally in tallies if tally.row.name == REAL), None)
    near = _Nearest(judges, reference, own or {}, workers, progress)
    chunks = [range(start, min(start + batch, layouts)) for start in range(0, layouts, batch)]

    def measure(places: range) -> list[list[MeasuredLayout]]:
        return measure_layouts(rows, places, judges)

    done = 0
    told = progress("judging layouts")
    with closing(in_order(measure, chunks, workers)) as measured:
        for of_rows in measured:
            for tally, of_row in zip(tallies, of_rows, strict=True):
                for layout in of_row:
                    tally.add(layout)
            done += len(of_rows[0])
            told(done, layouts)
    near.compare_with(real)
    figures = [_figures(tally, real, near, judges, seed) for tally in tallies]
    return Measured(figures, {tally.row.name: tally.power() for tally in tallies})


def in_order(
    work: Callable[[Job], Found], jobs: Iterable[Job], workers: int | None
) -> Generator[Found, None, None]:
    """Yield work(job) of each job in the order of the jobs, several at a time.

    The workers share the threads that networks have, and give them back when this is closed:
    pictures are many, and two networks side by side wait less for each other than two halves of
    one.

    Args:
        work: Called from several threads.
        jobs: What it is called with.
        workers: Threads; None: one a processor.
    """
    workers = workers or os.cpu_count() or 1
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // workers))
    waiting: list[Future[Found]] = []
    jobs = iter(jobs)
    pool = ThreadPoolExecutor(workers)
    try:
        # No more in flight than keeps the workers busy: a picture's record holds megabytes.
        waiting += [pool.submit(work, job) for job in islice(jobs, 2 * workers)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(work, job) for job in islice(jobs, 1)]
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _figures(
    tally: RowTally, real: RowTally | None, near: "_Nearest", judges: Judges, seed: int
) -> RowFigures:
    provenance, nearest_names = near.figures(tally, seed)
    power = tally.power()
    return RowFigures(
        name=tally.row.name,
        title=tally.row.title,
        pictures=len(tally),
        fidelity=tally.fidelity(real, seed=seed),
        distribution=_distribution(tally, real, judges, seed),
        perception=tally.perception(seed=seed),
        spectrum=Spectrum(
            None if real is None else radial_distance(power, real.power()),
            power.frequency.tolist(),
            power.radial.tolist(),
        ),
        seams=tally.seams.figures(None if real is None else real.seams),
        provenance=provenance,
        each=tally.each(nearest_names),
    )


def _distribution(
    tally: RowTally, real: RowTally | None, judges: Judges, seed: int
) -> list[Distribution]:
    if real is None or min(len(tally), len(real)) < (LEAST_HALVED if tally is real else 2):
        return []
    found = []
    for network, row, photographs in zip(
        judges.feature_networks, tally.features, real.features, strict=True
    ):
        if tally is real:
            # Photographs against photographs: one random half against the other.
            shuffled = np.random.default_rng(seed).permutation(len(row))
            half = len(row) // 2
            row, photographs = row[shuffled[:half]], row[shuffled[half:]]
        found.append(
            compare_features(
                row,
                photographs,
                network=network.name,
                frechet_name=network.frechet_name,
                kernel_name=network.kernel_name,
                seed=seed,
            )
        )
    return found


class _Nearest:
    """How near pictures come to photographs, in the features of the first network."""

    def __init__(
        self,
        judges: Judges,
        reference: Photographs | None,
        own: Mapping[str, Collection[str]],
        workers: int | None,
        progress: Callable[[str], Progress],
    ) -> None:
        self._own = own
        self._is_asked = bool(judges.feature_networks)
        self._real: RowTally | None = None
        self._names: list[str] = []
        self._features: NDArray[np.float32] | None = None
        self._distances: NDArray[np.float64] | None = None
        if self._is_asked and reference is not None:
            self._names = list(reference.names)
            told = progress("looking at the bank's photographs")
            self._features = _features_of(reference, judges.feature_networks[0], workers, told)

    def compare_with(self, real: RowTally | None) -> None:
        """Take the real photographs for the reference if there is none, and their own distance."""
        self._real = real
        if real is None or not self._is_asked:
            return
        if self._features is None:
            self._names = [layout for _, layout in real.names]
            self._features = real.features[0]
        found = self._look(real)
        self._distances = None if found is None else found[1]

    def figures(self, tally: RowTally, seed: int) -> tuple[ProvenanceFigures, list[str]]:
        """Return a row's provenance, and the nearest photograph of each of its pictures."""
        found = self._look(tally)
        if found is None:
            return tally.provenance.figures(), []
        places, distances = found
        of_real = None
        if self._distances is not None and tally is not self._real and self._distances.any():
            of_real = float(distances.mean() / self._distances.mean())
        provenance = tally.provenance.figures(
            nearest_distance=mean_interval(distances, seed=seed), nearest_of_real=of_real
        )
        return provenance, [self._names[place] for place in places]

    def _look(self, tally: RowTally) -> tuple[NDArray[np.intp], NDArray[np.float64]] | None:
        """Return place and distance of each picture's nearest; None if one has none but its own."""
        if self._features is None:
            return None
        places = {name: place for place, name in enumerate(self._names)}
        exclude = [
            [places[name] for name in self._own.get(layout, (layout,)) if name in places]
            for _, layout in tally.names
        ]
        if any(len(set(left_out)) == len(self._names) for left_out in exclude):
            return None
        return nearest(tally.features[0], self._features, exclude)


def _features_of(
    photographs: Photographs, network: FeatureNetwork, workers: int | None, progress: Progress
) -> NDArray[np.float32]:
    def look(place: int) -> NDArray[np.float32]:
        return network.features(photographs.read(place)[None])

    count = len(photographs.names)
    found = []
    with closing(in_order(look, range(count), workers)) as looked:
        for features in looked:
            found.append(features)
            progress(len(found), count)
    return np.concatenate(found)
