"""What is summed up over the pictures of a row, and the figures that come of it."""

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.intervals import mean_interval
from scenequilt.tools.evaluation.judges import Judges
from scenequilt.tools.evaluation.measure import MeasuredLayout
from scenequilt.tools.evaluation.power_spectrum import PowerSpectrum, SpectrumMean
from scenequilt.tools.evaluation.provenance_score import ProvenanceTally
from scenequilt.tools.evaluation.results import Fidelity, Interval, Perception, PictureFigures
from scenequilt.tools.evaluation.rows import Row
from scenequilt.tools.evaluation.seams import SeamEnergy
from scenequilt.tools.evaluation.segmentation_score import ConfusionMatrix


class RowTally:
    """Sums over the pictures of a row. Layouts are added in their order, one thread.

    Attributes:
        row: Where the pictures come from.
        names: (name of the picture, name of its layout), in the order in which they came.
        spectrum: Mean power spectrum.
        seams: Gradient energies.
        provenance: Owners, states and sources.
    """

    def __init__(
        self, row: Row, judges: Judges, taxonomy: Taxonomy, size_hw: tuple[int, int]
    ) -> None:
        self.row = row
        self.names: list[tuple[str, str]] = []
        self.spectrum = SpectrumMean(size_hw)
        self.seams = SeamEnergy()
        self.provenance = ProvenanceTally()
        self._judges = judges
        self._taxonomy = taxonomy
        self._requested = [ConfusionMatrix(len(taxonomy)) for _ in judges.segmenters]
        self._delivered = [ConfusionMatrix(len(taxonomy)) for _ in judges.segmenters]
        self._features: list[list[NDArray[np.float32]]] = [[] for _ in judges.feature_networks]
        self._lpips: dict[str, list[float]] = {network.name: [] for network in judges.heads}
        self._variants: dict[str, list[float]] = {network.name: [] for network in judges.heads}
        self._ssim: list[float] = []
        self._psnr_db: list[float | None] = []

    def add(self, layout: MeasuredLayout) -> None:
        """Add the pictures of a layout."""
        for picture in layout.pictures:
            view = picture.view
            self.names.append((view.name, view.layout))
            for matrix, seen in zip(self._requested, picture.seen, strict=True):
                matrix.add(view.requested, seen)
            if view.delivered is not None:
                for matrix, seen in zip(self._delivered, picture.seen, strict=True):
                    matrix.add(view.delivered, seen)
            for column, features in zip(self._features, picture.features, strict=True):
                column.append(features)
            for network, distance in picture.lpips.items():
                self._lpips[network].append(distance)
            if picture.ssim is not None:
                self._ssim.append(picture.ssim)
                self._psnr_db.append(picture.psnr_db)
            self.spectrum.add(view.image)
            self.seams.add(view.image, view.requested, view.ownership, view.delivered)
            self.provenance.add(view)
        for network, distances in layout.variants_lpips.items():
            self._variants[network] += distances

    def __len__(self) -> int:
        return len(self.names)

    @property
    def features(self) -> list[NDArray[np.float32]]:
        """(N, D) float32 of all pictures, one a feature network."""
        return [np.stack(column) for column in self._features]

    def power(self) -> PowerSpectrum:
        """Return the mean power spectrum of the pictures."""
        return self.spectrum.spectrum()

    def fidelity(self, real: "RowTally | None", *, seed: int) -> list[Fidelity]:
        """Return what each segmenter sees; as a share of what it sees in the photographs."""
        found = []
        for place, segmenter in enumerate(self._judges.segmenters):
            requested = self._requested[place].score(self._taxonomy, seed=seed)
            delivered = self._delivered[place]
            # Layouts came with every picture, and hold more than void.
            is_delivered = len(delivered) == len(self) and delivered.counted_px > 0
            share = None
            if real is not None and real is not self:
                ceiling = real._requested[place].score(self._taxonomy, seed=seed).mean_iou.value
                share = requested.mean_iou.value / ceiling if ceiling else None
            found.append(
                Fidelity(
                    segmenter.name,
                    requested,
                    delivered.score(self._taxonomy, seed=seed) if is_delivered else None,
                    share,
                )
            )
        return found

    def perception(self, *, seed: int) -> Perception:
        """Return the distances to the photographs and between variants."""
        decibels = [value for value in self._psnr_db if value is not None]
        return Perception(
            lpips=_means(self._lpips, seed),
            ssim=mean_interval(self._ssim, seed=seed) if self._ssim else None,
            psnr_db=mean_interval(decibels, seed=seed)
            if decibels and len(decibels) == len(self._psnr_db)
            else None,
            pairs=len(self._ssim),
            variants_lpips=_means(self._variants, seed),
            variant_pairs=max((len(values) for values in self._variants.values()), default=0),
        )

    def each(self, nearest: list[str]) -> list[PictureFigures]:
        """Return the figures of each picture.

        Args:
            nearest: Nearest photograph of each, or [] where it was not looked for.
        """
        first = next(iter(self._judges.heads), None)
        distances = self._lpips[first.name] if first is not None else []
        rows = []
        for place, (name, layout) in enumerate(self.names):
            scores = self._requested[0].of_picture(place) if self._requested else (None, None)
            rows.append(
                PictureFigures(
                    name,
                    layout,
                    scores[0],
                    scores[1],
                    distances[place] if len(distances) == len(self) else None,
                    nearest[place] if nearest else "",
                )
            )
        return rows


def _means(values: dict[str, list[float]], seed: int) -> dict[str, Interval]:
    return {name: mean_interval(each, seed=seed) for name, each in values.items() if each}
