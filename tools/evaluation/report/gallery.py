"""Pictures that a report shows: the worst, the best, and the mean spectra."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class GalleryItem:
    """One picture of the system beside what it is judged against.

    Attributes:
        name: Of the picture.
        figures: What was found about it, in words, e.g. "mIoU 0.31, pixel accuracy 0.62".
        pictures: Caption -> (H, W, 3) uint8 RGB, in the order in which they are looked at: layout
            in colours, picture, photograph, what the segmenter sees.
    """

    name: str
    figures: str
    pictures: dict[str, NDArray[np.uint8]]

    def __post_init__(self) -> None:
        for caption, pixels in self.pictures.items():
            _refuse_no_picture(f"{self.name}, {caption}", pixels)


@dataclass(frozen=True, eq=False)
class Gallery:
    """Everything to look at.

    Attributes:
        worst: The pictures with the lowest score, the lowest first.
        best: Those with the highest, the highest first.
        ranked_by: What that score is, e.g. "mean IoU seen by cgnet"; "" where there is none.
        spectra: Name of a row -> (h, w, 3) uint8 RGB, its 2-D mean power spectrum, all on one
            scale of colours.
    """

    worst: list[GalleryItem] = field(default_factory=list)
    best: list[GalleryItem] = field(default_factory=list)
    spectra: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    ranked_by: str = ""

    def __post_init__(self) -> None:
        for row, pixels in self.spectra.items():
            _refuse_no_picture(f"spectrum of {row}", pixels)


def _refuse_no_picture(what: str, pixels: NDArray[np.uint8]) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size or pixels.dtype != np.uint8:
        raise ValueError(
            f"{what}: expected (H, W, 3) uint8 with at least one pixel, "
            f"got {pixels.shape} {pixels.dtype}"
        )
