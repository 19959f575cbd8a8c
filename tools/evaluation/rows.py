"""What is judged: a row of the table gives pictures for each layout, read one layout at a time."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class View:
    """One picture with everything that it is judged against, all at the evaluation's size (H, W).

    Attributes:
        name: Of the picture, unique in its row.
        layout: Name of the layout it shows; variants of one layout share it.
        image: (H, W, 3) uint8 RGB, the picture.
        requested: (H, W) uint8 class ids of the layout that was asked for, 255 = void.
        delivered: The same of the layout that is true of the picture, or None where no such record
            came with it.
        real: (H, W, 3) uint8 RGB, the photograph whose label map was asked for, or None.
        ownership: (H, W) int32, which pasted segment owns a pixel, -1 = none; or None.
        state: (H, W) uint8 PixelState of every pixel, or None.
        sources: Photographs that own pixels; () where not known.
    """

    name: str
    layout: str
    image: NDArray[np.uint8]
    requested: NDArray[np.uint8]
    delivered: NDArray[np.uint8] | None = None
    real: NDArray[np.uint8] | None = None
    ownership: NDArray[np.int32] | None = None
    state: NDArray[np.uint8] | None = None
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = self.requested.shape
        for what in ("image", "real"):
            pixels = getattr(self, what)
            if pixels is not None and pixels.shape != (*size, 3):
                raise ValueError(
                    f"{self.name}: {what} must be {(*size, 3)} like its layout, got {pixels.shape}"
                )
        for what in ("delivered", "ownership", "state"):
            numbers = getattr(self, what)
            if numbers is not None and numbers.shape != size:
                raise ValueError(
                    f"{self.name}: {what} must be {size} like its layout, got {numbers.shape}"
                )


class Row(Protocol):
    """A row of the table: pictures of one origin, for the same layouts as every other row."""

    @property
    def name(self) -> str:
        """Short name, unique in the table: "real", "nearest", "random", "jpeg30", or the system's."""
        ...

    @property
    def title(self) -> str:
        """The same in words."""
        ...

    def views(self, place: int) -> tuple[View, ...]:
        """Read the pictures of the layout at a place: one, or its variants.

        Safe to call from several threads; same place, same bytes.
        """
        ...
