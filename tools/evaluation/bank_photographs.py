"""The photographs that a bank's segments were cut from: found again, checked, and read."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.datasets.files import read_photograph
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.store import SourceRecord
from scenequilt.tools.evaluation.file_hash import file_sha256
from scenequilt.tools.evaluation.picture_files import PictureIndex, find_pictures, in_words
from scenequilt.tools.evaluation.picture_set import PictureSet
from scenequilt.tools.evaluation.sizes import sized_picture

REMEDY = (
    "name the folder that holds the photographs that the bank was built of with "
    "--bank-photographs DIR, or leave --bank out"
)


class BankPhotographs:
    """The photographs of a bank, in the order of their names. Threads may share it.

    Attributes:
        names: Their source ids.

    Args:
        bank: The bank.
        size_hw: (height, width) that they are read at, by sizes.RESIZE_RULE.
        folder: Where to look for them by name. None: where they were when the bank was built.

    Raises:
        DatasetError: If a photograph is not there; the message counts those, and has a remedy.
    """

    def __init__(
        self, bank: MemoryBank, size_hw: tuple[int, int], folder: Path | None = None
    ) -> None:
        self._size_hw = size_hw
        self._where = bank.path
        self._sources: list[SourceRecord] = bank.sources()
        self.names: tuple[str, ...] = tuple(source.source_id for source in self._sources)
        if folder is None:
            self._paths = [[Path(source.image_path)] for source in self._sources]
        else:
            index = PictureIndex(find_pictures(folder, "--bank-photographs"))
            self._paths = [index.find(name) for name in self.names]
        missing = [
            f"{name} ({paths[0]})" if paths else name
            for name, paths in zip(self.names, self._paths, strict=True)
            if not any(path.is_file() for path in paths)
        ]
        if missing:
            raise DatasetError(
                f"{bank.path}: {len(missing)} of {len(self.names)} photographs of the bank are not "
                f"{'where they were' if folder is None else f'in {folder}'}: {in_words(missing)}; "
                f"{REMEDY}"
            )

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for place, name in enumerate(self.names):
            yield name, self.read(place)

    def read(self, place: int) -> NDArray[np.uint8]:
        """Read the photograph at a place, (H, W, 3) uint8 RGB.

        Raises:
            DatasetError: If its file is another than when the bank was built.
        """
        return sized_picture(read_photograph(self.check(place)), self._size_hw)

    def check(self, place: int) -> Path:
        """Return the file of a photograph after comparing its bytes with what the bank recorded.

        Raises:
            DatasetError: If it is another than when the bank was built.
        """
        source = self._sources[place]
        for path in self._paths[place]:
            if path.is_file() and file_sha256(path) == source.image_sha256:
                return path
        raise DatasetError(
            f"{self._paths[place][0]}: is not the photograph {source.source_id!r} that the bank "
            f"{self._where} was built of: its sha256 is not {source.image_sha256[:12]}...; {REMEDY}"
        )


def own_photographs(judged: PictureSet, bank: MemoryBank) -> list[frozenset[str]]:
    """Return the photographs of a bank that are a layout's own, by source id, layout by layout.

    Own is one of the layout's name, with the bytes of its photograph, or with those of its label
    map. To copy or to paste it would not be composing.
    """
    sources = bank.sources()
    of_image: dict[str, set[str]] = {}
    of_label: dict[str, set[str]] = {}
    for source in sources:
        of_image.setdefault(source.image_sha256, set()).add(source.source_id)
        of_label.setdefault(source.label_sha256, set()).add(source.source_id)
    names = {source.source_id for source in sources}
    own = []
    for item in judged.items:
        found = {item.name} & names
        found |= of_label.get(file_sha256(item.label_path), set())
        if item.photograph_path is not None:
            found |= of_image.get(file_sha256(item.photograph_path), set())
        own.append(frozenset(found))
    return own
