"""What a picture shows, or should show: label map, instance map, taxonomy, depth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import VOID, Taxonomy


@dataclass(frozen=True, eq=False)
class Layout:
    """What a picture shows, pixel by pixel.

    Attributes:
        label_map: (H, W) uint8 class ids, 255 = void.
        instance_map: (H, W) int32, 0 = stuff or void; one number, one object.
        taxonomy: The classes.
        depth_m: (H, W) float32 distance from the camera plane in metres, 0 = unknown, or None.

    Raises:
        ValueError: If sizes or types differ, or a label is no class of the taxonomy.
    """

    label_map: NDArray[np.uint8]
    instance_map: NDArray[np.int32]
    taxonomy: Taxonomy
    depth_m: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.label_map.ndim != 2 or self.label_map.dtype != np.uint8:
            raise ValueError(
                f"label_map must be (H, W) uint8, got {self.label_map.shape} {self.label_map.dtype}"
            )
        if self.instance_map.shape != self.label_map.shape or self.instance_map.dtype != np.int32:
            raise ValueError(
                f"instance_map must be {self.label_map.shape} int32, "
                f"got {self.instance_map.shape} {self.instance_map.dtype}"
            )
        if self.depth_m is not None and self.depth_m.shape != self.label_map.shape:
            raise ValueError(f"depth_m must be {self.label_map.shape}, got {self.depth_m.shape}")
        labels = np.flatnonzero(np.bincount(self.label_map.ravel(), minlength=256))
        unknown = labels[(labels >= len(self.taxonomy)) & (labels != VOID)]
        if unknown.size:
            raise ValueError(
                f"label_map holds class id {unknown[0]}, but taxonomy {self.taxonomy.name!r} has "
                f"{len(self.taxonomy)} classes; use 255 for void"
            )

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.label_map.shape
        return height, width

    def colored(self) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB in the taxonomy's colours, void black."""
        return self.taxonomy.palette[self.label_map]

    def resized(self, size_hw: tuple[int, int]) -> "Layout":
        """Return the layout at another (height, width), every pixel that of its nearest neighbour."""
        if self.size_hw == size_hw:
            return self
        height, width = size_hw
        rows = _nearest(self.size_hw[0], height)[:, None]
        columns = _nearest(self.size_hw[1], width)[None, :]
        return Layout(
            self.label_map[rows, columns],
            self.instance_map[rows, columns],
            self.taxonomy,
            None if self.depth_m is None else self.depth_m[rows, columns],
        )


def _nearest(length: int, wanted: int) -> NDArray[np.intp]:
    # The pixel under the centre of each wanted one; OpenCV's nearest takes the one under its edge,
    # which moves a layout by up to half a pixel.
    return ((np.arange(wanted) + 0.5) * length / wanted).astype(np.intp)
