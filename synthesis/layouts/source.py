"""The layouts of a dataset's photographs, read one at a time."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import Taxonomy


class DatasetLayouts:
    """The layouts of some photographs of a dataset.

    Attributes:
        entries: The photographs, by place.
    """

    def __init__(self, reader: DatasetReader, entries: Sequence[Entry]) -> None:
        self.entries = tuple(entries)
        self._reader = reader
        uses = Counter(entry.source_id for entry in entries)
        self._names = [
            entry.source_id if uses[entry.source_id] == 1 else f"{entry.split}-{entry.source_id}"
            for entry in entries
        ]

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        return self._reader.taxonomy

    def __len__(self) -> int:
        """Return how many layouts there are."""
        return len(self.entries)

    def name(self, place: int) -> str:
        """Return the name of a photograph, with its split where two splits share it."""
        return self._names[place]

    def image_path(self, name: str) -> Path:
        """Return the file of the photograph whose layout has a name."""
        return self.entries[self._names.index(name)].image_path

    def read(self, place: int) -> Layout:
        """Read a layout.

        Raises:
            DatasetError: If a file of the photograph is unreadable.
        """
        return self._reader.read(self.entries[place]).layout
