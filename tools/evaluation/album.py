"""Photographs with label maps that rows are made of: a bank's, or those that are judged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.cut import MIN_AREA_PX
from scenequilt.memory_bank.extract import derive_instances, extract_regions
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.tools.evaluation.bank_photographs import BankPhotographs, own_photographs
from scenequilt.tools.evaluation.file_hash import file_sha256
from scenequilt.tools.evaluation.label_maps import matching_ids
from scenequilt.tools.evaluation.picture_set import PictureSet

CELLS_HW = (4, 8)
"""Cells in which classes are counted to rule photographs out that cannot agree best."""

ALBUM_PHOTOGRAPHS = 64
ALBUM_BYTES = 128 << 20
"""Most photographs, and bytes of them, that segments are cut from where there is no bank."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A segment as it is pasted at random.

    Attributes:
        source_id: Its photograph.
        color: (h, w, 3) uint8 RGB over its box.
        mask: (h, w) bool, True on the segment.
    """

    source_id: str
    color: NDArray[np.uint8]
    mask: NDArray[np.bool_]


class Album(Protocol):
    """Photographs with their label maps and segments, in the classes of the set that is judged."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the photographs."""
        ...

    @property
    def title(self) -> str:
        """What it is, in words."""
        ...

    @property
    def frame_hw(self) -> tuple[int, int]:
        """Size at which label maps are compared."""
        ...

    def own(self, layout: int) -> Collection[int]:
        """Return the photographs that are the own one of the layout at a place."""
        ...

    def label_map(self, photograph: int) -> NDArray[np.uint8]:
        """Return the label map of a photograph at frame_hw."""
        ...

    def check(self, photograph: int) -> None:
        """Refuse a photograph that cannot be read as what it was."""
        ...

    def image(self, photograph: int) -> NDArray[np.uint8]:
        """Read a photograph at the size of the set."""
        ...

    def draw(self, class_id: int, layout: int, random: np.random.Generator) -> Cut | None:
        """Draw a segment of a class, each with the same chance, none of the layout's own."""
        ...


class BankAlbum:
    """The photographs and segments of a bank."""

    def __init__(self, judged: PictureSet, bank: MemoryBank, folder: Path | None) -> None:
        self.title = f"the bank {bank.path.resolve().name}"
        self._bank = bank
        self._ids = matching_ids(
            bank.taxonomy,
            judged.taxonomy,
            their_name=f"the bank {bank.path}",
            our_name="what is judged",
        )
        self._photographs = BankPhotographs(bank, judged.size_hw, folder)
        self.names = self._photographs.names
        self.frame_hw = bank.frame_hw
        place_of = {name: place for place, name in enumerate(self.names)}
        self._own = [
            sorted(place_of[name] for name in names) for names in own_photographs(judged, bank)
        ]
        self._segments = _segments_by_class(bank, self._ids, place_of)

    def own(self, layout: int) -> Collection[int]:
        return self._own[layout]

    def label_map(self, photograph: int) -> NDArray[np.uint8]:
        labels: NDArray[np.uint8] = self._ids[self._bank.label_map(self.names[photograph])]
        return labels

    def check(self, photograph: int) -> None:
        self._photographs.check(photograph)

    def image(self, photograph: int) -> NDArray[np.uint8]:
        return self._photographs.read(photograph)

    def draw(self, class_id: int, layout: int, random: np.random.Generator) -> Cut | None:
        if class_id not in self._segments:
            return None
        segment_ids, photographs = self._segments[class_id]
        place = _draw(photographs, self._own[layout], random)
        if place is None:
            return None
        segment = self._bank.segment(int(segment_ids[place]))
        top, left, bottom, right = segment.box
        rows = slice(top - segment.crop_box[0], bottom - segment.crop_box[0])
        columns = slice(left - segment.crop_box[1], right - segment.crop_box[1])
        return Cut(segment.source_id, segment.color[rows, columns], segment.mask[rows, columns])


class SetAlbum:
    """The photographs of the layouts themselves; segments are cut from at most 64 of them.

    Regions below the least area of a bank's segments are left out.
    """

    title = "the other layouts' photographs"

    def __init__(self, judged: PictureSet) -> None:
        self._judged = judged
        self.names = judged.layouts
        self.frame_hw = judged.size_hw
        paths = [item.photograph_path for item in judged.items]
        files = [file_sha256(path) for path in paths if path is not None]
        places: dict[str, list[int]] = {}
        for place, file in enumerate(files):
            places.setdefault(file, []).append(place)
        self._own = [places[file] for file in files]
        self._cuts, self._photographs = _cut_evenly(judged)

    def own(self, layout: int) -> Collection[int]:
        return self._own[layout]

    def label_map(self, photograph: int) -> NDArray[np.uint8]:
        return self._judged.requested(photograph)

    def check(self, photograph: int) -> None:
        """Nothing to compare with: the photograph is what was given."""

    def image(self, photograph: int) -> NDArray[np.uint8]:
        image = self._judged.photograph(photograph)
        assert image is not None, "an album is made of sets with photographs only"
        return image

    def draw(self, class_id: int, layout: int, random: np.random.Generator) -> Cut | None:
        if class_id not in self._cuts:
            return None
        place = _draw(self._photographs[class_id], self._own[layout], random)
        return None if place is None else self._cuts[class_id][place]


class LayoutSearch:
    """Finds the photograph whose label map agrees best with a layout.

    Agreement is the number of pixels that are not void in the layout whose class is the same; of
    equals the first photograph wins.

    Classes are counted in a few cells of every label map beforehand. The sum of the smaller counts
    of layout and photograph is at least what they agree on, so that most photographs need not be
    compared pixel by pixel.

    Args:
        album: The photographs.
        classes: Classes of their label maps.
    """

    def __init__(self, album: Album, classes: int) -> None:
        self._album = album
        self._classes = classes
        height, width = album.frame_hw
        rows = np.arange(height) * CELLS_HW[0] // height
        columns = np.arange(width) * CELLS_HW[1] // width
        self._cell_offset = (rows[:, None] * CELLS_HW[1] + columns) * (classes + 1)
        self._counts = np.stack(
            [self._count(album.label_map(place)) for place in range(len(album.names))]
        )

    def nearest(self, requested: NDArray[np.uint8], own: Collection[int]) -> int | None:
        """Return the place of the best photograph, None if all of them are the layout's own.

        Args:
            requested: The layout at the album's frame_hw, class ids, 255 = void.
            own: Photographs that are not to be found.
        """
        bounds = np.minimum(self._counts, self._count(requested)).sum(axis=1)
        known = requested != VOID
        best, best_agreement = None, -1
        for place in np.argsort(-bounds, kind="stable").tolist():
            if bounds[place] < best_agreement:
                break
            if place in own:
                continue
            agreement = int(np.count_nonzero((self._album.label_map(place) == requested) & known))
            if agreement > best_agreement or (
                agreement == best_agreement and best is not None and place < best
            ):
                best, best_agreement = place, agreement
        return best

    def _count(self, labels: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Return (cells * classes,) int32 pixels of each class in each cell, void left out."""
        slots = self._classes + 1
        of_slot = self._cell_offset + np.minimum(labels, self._classes)
        counts = np.bincount(of_slot.ravel(), minlength=CELLS_HW[0] * CELLS_HW[1] * slots)
        return counts.reshape(-1, slots)[:, :-1].ravel().astype(np.int32)


def _segments_by_class(
    bank: MemoryBank, ids: NDArray[np.uint8], place_of: Mapping[str, int]
) -> dict[int, tuple[NDArray[np.int64], NDArray[np.intp]]]:
    """Return numbers and photographs of the segments of each class, ascending by number."""
    numbers = [np.zeros(0, np.int64)]
    classes = [np.zeros(0, np.uint8)]
    places = [np.zeros(0, np.intp)]
    for source, rows in bank.rows():
        numbers.append(rows["segment_id"])
        classes.append(ids[rows["class_id"]])
        places.append(np.full(len(rows), place_of[source.source_id], np.intp))
    number, class_id, place = (np.concatenate(each) for each in (numbers, classes, places))
    order = np.argsort(number, kind="stable")
    number, class_id, place = number[order], class_id[order], place[order]
    return {
        int(each): (number[class_id == each], place[class_id == each])
        for each in np.unique(class_id)
    }


def _cut_evenly(
    judged: PictureSet,
) -> tuple[dict[int, list[Cut]], dict[int, NDArray[np.intp]]]:
    """Cut the regions of photographs that are spread evenly over a set, by class."""
    height, width = judged.size_hw
    wanted = max(2, min(ALBUM_PHOTOGRAPHS, ALBUM_BYTES // (3 * height * width)))
    count = min(wanted, len(judged.items))
    cuts: dict[int, list[Cut]] = {}
    photographs: dict[int, list[int]] = {}
    for step in range(count):
        place = step * len(judged.items) // count
        requested, image = judged.requested(place), judged.photograph(place)
        assert image is not None, "an album is made of sets with photographs only"
        instances = derive_instances(requested, judged.taxonomy)
        layout = Layout(requested, instances, judged.taxonomy)
        for region in extract_regions(layout, min_area_px=MIN_AREA_PX):
            top, left, bottom, right = region.box
            cut = Cut(judged.items[place].name, image[top:bottom, left:right], region.mask)
            cuts.setdefault(region.class_id, []).append(cut)
            photographs.setdefault(region.class_id, []).append(place)
    return cuts, {key: np.array(places, np.intp) for key, places in photographs.items()}


def _draw(
    photographs: NDArray[np.intp], own: Collection[int], random: np.random.Generator
) -> int | None:
    """Draw one of the segments whose photograph is none of the own ones."""
    if not own:
        return int(random.integers(len(photographs)))
    allowed = np.flatnonzero(~np.isin(photographs, list(own)))
    return int(allowed[random.integers(len(allowed))]) if len(allowed) else None
