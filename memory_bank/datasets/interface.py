"""What every dataset reader offers, and what it yields."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import Taxonomy

Repair = Literal["none", "nearest"]
"""What to do with a label file whose values are not ids: refuse it, or take the nearest colour."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One photograph and its files, not read yet. Entries are small and can be pickled.

    Attributes:
        source_id: Name of the photograph within the dataset, without split or suffix.
        image_path: The photograph.
        label_path: Its label map.
        instance_path: Its instance map, or None.
        depth_path: Its depth map (16-bit PNG, millimetres), or None.
        split: "train", "val", ...; "" where the dataset has none.
        sequence: Film, drive or room it belongs to; "" if not known.
        licence: Name or address of its licence; "" if not known.
        address: Where it comes from, e.g. a URL; "" if not known.
    """

    source_id: str
    image_path: Path
    label_path: Path
    instance_path: Path | None = None
    depth_path: Path | None = None
    split: str = ""
    sequence: str = ""
    licence: str = ""
    address: str = ""


@dataclass(frozen=True, eq=False)
class LabelledPhotograph:
    """A photograph and what it shows.

    Attributes:
        entry: Where it came from.
        image: (H, W, 3) uint8 RGB.
        layout: Label map, instance map (derived where the dataset has none) and depth, all (H, W).
    """

    entry: Entry
    image: NDArray[np.uint8]
    layout: Layout


class DatasetReader(Protocol):
    """Reads one form of dataset. Readers hold paths and settings only and can be pickled."""

    @property
    def form(self) -> str:
        """Name of the form on the command line, e.g. "cityscapes"."""
        ...

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        ...

    def entries(self, split: str | None = None) -> list[Entry]:
        """List the photographs of a split, or of all, sorted by split and source_id.

        A photograph without a label map is listed, and refused when it is read, so that one bad
        file never stops a build. A split of photographs only, or of layouts only, is not listed.

        Raises:
            DatasetError: If the split does not exist or is empty; the message lists those there
                are.
        """
        ...

    def files(self, entry: Entry) -> list[Path]:
        """List every file that what read(entry) returns depends on, missing ones included.

        A build that is resumed is refused if one of them is another one meanwhile.
        """
        ...

    def read(self, entry: Entry) -> LabelledPhotograph:
        """Read one photograph with its layout.

        Raises:
            DatasetError: If a file is unreadable, sizes differ, or a value is unknown; the message
                names the file, the value found, the value expected and the remedy.
        """
        ...
