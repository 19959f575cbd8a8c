"""CanvasSet: simulated canvases with their photographs in one HDF5 file, to train a finish on.

Layout of the file, all of it compressed:
    attributes          format, taxonomy (JSON), settings (JSON), bank (fingerprint)
    photographs/000000  image (H, W, 3) uint8 RGB; label_map (H, W) uint8; attributes name, held_out
    canvases/000000     color (H, W, 3) uint8 RGB; flags (H, W) uint8: 1 coverage, 2 elided;
                        attribute photograph, a number
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import Taxonomy, taxonomy_from_json

FORMAT = 1
COVERED, ELIDED = 1, 2


@dataclass(frozen=True, eq=False)
class CanvasPair:
    """A simulated canvas and its true picture, all (H, W).

    Attributes:
        photograph: Name of the photograph.
        image: (H, W, 3) uint8 RGB, the photograph.
        label_map: (H, W) uint8 class ids, 255 = void.
        canvas: (H, W, 3) uint8 RGB.
        coverage: (H, W) bool.
        elided: (H, W) bool.
    """

    photograph: str
    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    canvas: NDArray[np.uint8]
    coverage: NDArray[np.bool_]
    elided: NDArray[np.bool_]


class CanvasSet:
    """The canvases of a file. Opened lazily and once a process, so it may cross a fork.

    Args:
        path: The file.

    Raises:
        DatasetError: If the file is absent, or no set of canvases of this format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise DatasetError(
                f"{path} does not exist; make it with: scenequilt canvases DATASET --bank BANK "
                f"--out {path}"
            )
        try:
            with h5py.File(path) as file:
                found = file.attrs.get("format")
                if found != FORMAT:
                    raise DatasetError(
                        f"{path}: canvases of format {found}, this program reads {FORMAT}; make "
                        "them again with scenequilt canvases"
                    )
                self.taxonomy: Taxonomy = taxonomy_from_json(
                    json.loads(file.attrs["taxonomy"]), str(path)
                )
                self.settings: dict[str, Any] = json.loads(file.attrs["settings"])
                self.bank_fingerprint: str = file.attrs["bank"]
                self._names = [
                    str(file["photographs"][number].attrs["name"])
                    for number in sorted(file["photographs"])
                ]
                self._photograph_of = [
                    int(file["canvases"][number].attrs["photograph"])
                    for number in sorted(file["canvases"])
                ]
                self._held_out = [
                    bool(file["photographs"][number].attrs["held_out"])
                    for number in sorted(file["photographs"])
                ]
                self._sizes: list[tuple[int, int]] = [
                    file["photographs"][number]["label_map"].shape
                    for number in sorted(file["photographs"])
                ]
                self.sha256: str = file.attrs["sha256"]
        except (OSError, KeyError) as error:
            raise DatasetError(
                f"{path} is no whole set of canvases ({error}); make it with scenequilt canvases"
            ) from error
        self._file: h5py.File | None = None

    def __len__(self) -> int:
        return len(self._photograph_of)

    def __getstate__(self) -> dict[str, Any]:
        # An open file cannot be pickled, nor used on the other side of a fork.
        return self.__dict__ | {"_file": None}

    def places(self, *, held_out: bool) -> list[int]:
        """Return the numbers of the canvases that are held out, or of those that are not."""
        return [
            place
            for place, number in enumerate(self._photograph_of)
            if self._held_out[number] == held_out
        ]

    @property
    def photographs(self) -> int:
        """How many photographs they were made of."""
        return len(self._names)

    def size_hw(self, place: int) -> tuple[int, int]:
        """Return the (height, width) in pixels of one of them; none is decoded."""
        return self._sizes[self._photograph_of[place]]

    def read(self, place: int) -> CanvasPair:
        """Read one of them, 0 to len - 1.

        Raises:
            DatasetError: If the file is damaged there.
        """
        number = self._photograph_of[place]
        try:
            if self._file is None:
                self._file = h5py.File(self.path)
            group = self._file["canvases"][f"{place:06d}"]
            photograph = self._file["photographs"][f"{number:06d}"]
            flags = group["flags"][()]
            return CanvasPair(
                photograph=self._names[number],
                image=photograph["image"][()],
                label_map=photograph["label_map"][()],
                canvas=group["color"][()],
                coverage=(flags & COVERED) > 0,
                elided=(flags & ELIDED) > 0,
            )
        except (OSError, KeyError) as error:
            raise DatasetError(
                f"{self.path}: canvas {place} of {self._names[number]!r} cannot be read ({error}); "
                "copy the file again, or make it again with scenequilt canvases"
            ) from error


class CanvasSetWriter:
    """Writes a set of canvases under a temporary name, which it gets rid of at the end.

    Use it as a context: a block that raises leaves nothing behind.

    Args:
        path: The file; what is there is replaced at the end.
        taxonomy: Of the label maps.
        settings: What the canvases were made with, JSON.
        bank_fingerprint: Of the bank that the outlines come from.
    """

    def __init__(
        self,
        path: Path,
        taxonomy: Taxonomy,
        *,
        settings: Mapping[str, Any],
        bank_fingerprint: str,
    ) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.partial")
        self._file = h5py.File(self._partial, "w")
        self._file.attrs["taxonomy"] = json.dumps(taxonomy.as_json())
        self._file.attrs["settings"] = json.dumps(dict(settings), sort_keys=True)
        self._file.attrs["bank"] = bank_fingerprint
        self._file.create_group("photographs")
        self._file.create_group("canvases")
        self._digest = hashlib.sha256()
        self._photographs = 0
        self._canvases = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._file.attrs["sha256"] = self._digest.hexdigest()
            # Last, so that a file that was broken off is known by its absence.
            self._file.attrs["format"] = FORMAT
        self._file.close()
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink()

    def add_photograph(
        self,
        name: str,
        image: NDArray[np.uint8],
        label_map: NDArray[np.uint8],
        *,
        held_out: bool,
    ) -> None:
        """Write a photograph; the canvases that are added next are made of it."""
        group = self._file["photographs"].create_group(f"{self._photographs:06d}")
        group.attrs["name"] = name
        group.attrs["held_out"] = held_out
        # Part of what is learned from: the same pictures, otherwise divided, teach something else.
        self._digest.update(json.dumps([name, bool(held_out)]).encode())
        self._write(group, "image", image)
        self._write(group, "label_map", label_map)
        self._photographs += 1

    def add_canvas(
        self,
        color: NDArray[np.uint8],
        coverage: NDArray[np.bool_],
        elided: NDArray[np.bool_],
    ) -> None:
        """Write a canvas of the photograph that was added last."""
        group = self._file["canvases"].create_group(f"{self._canvases:06d}")
        group.attrs["photograph"] = self._photographs - 1
        flags = coverage.astype(np.uint8) * COVERED + elided.astype(np.uint8) * ELIDED
        self._write(group, "color", color)
        self._write(group, "flags", flags)
        self._canvases += 1

    def _write(self, group: h5py.Group, name: str, array: NDArray[np.uint8]) -> None:
        self._digest.update(array.tobytes())
        group.create_dataset(
            name, data=array, chunks=array.shape, compression="gzip", compression_opts=1
        )
