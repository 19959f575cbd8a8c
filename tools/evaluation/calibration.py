"""Rows that show what figures mean: photographs, JPEG, the nearest one copied, random segments."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.extract import derive_instances, extract_queries
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.composition import PixelState
from scenequilt.tools.evaluation.album import Album, BankAlbum, LayoutSearch, SetAlbum
from scenequilt.tools.evaluation.picture_files import in_words
from scenequilt.tools.evaluation.picture_set import PictureSet
from scenequilt.tools.evaluation.rows import Row, View
from scenequilt.tools.evaluation.sizes import sized_map

JPEG_QUALITY = 30
INPAINT_RADIUS_PX = 1


@dataclass(frozen=True)
class CalibrationRows:
    """The rows that could be made.

    Attributes:
        rows: In the order of the table: real, jpeg30, nearest, random.
        unmade: Why a row could not be made, by its name, with the remedy.
        notes: What a reader should know, in sentences.
        own: By layout, the names of the photographs that are its own, among those that rows are
            made of; {} where there are none.
    """

    rows: tuple[Row, ...]
    unmade: Mapping[str, str]
    notes: tuple[str, ...]
    own: Mapping[str, frozenset[str]]


def make_calibration_rows(
    judged: PictureSet,
    *,
    bank: MemoryBank | None = None,
    seed: int = 0,
    bank_photographs: Path | None = None,
) -> CalibrationRows:
    """Make the calibration rows for the layouts of a set.

    A layout's own photograph is never copied and never pasted from, also not a copy of its file.
    Without a bank the photographs of the other layouts take its place.

    Args:
        judged: Layouts and photographs.
        bank: Where nearest photographs and random segments come from; it must stay open as long
            as the rows are read.
        seed: Of the random segments; at least 0.
        bank_photographs: Folder of the bank's photographs, if they are not where they were.

    Raises:
        DatasetError: If the bank's classes are not the set's, or its photographs are not found.
        ValueError: If the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}, expected 0 or more")
    rows: list[Row] = []
    unmade: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    real = judged.real
    if real is not None:
        rows += [real, JpegRow(judged)]
    else:
        reason = "no photographs were given; name their folder with --real"
        unmade |= {"real": reason, f"jpeg{JPEG_QUALITY}": reason}
    album: Album
    if bank is not None:
        album = BankAlbum(judged, bank, bank_photographs)
        notes = _other_bank(judged, bank)
    elif judged.has_photographs:
        album = SetAlbum(judged)
    else:
        reason = "neither a bank nor photographs were given; name one with --bank or --real"
        unmade |= {"nearest": reason, "random": reason}
        return CalibrationRows(tuple(rows), unmade, notes, {})
    chosen = nearest_photographs(judged, album)
    alone = [name for name, place in zip(judged.layouts, chosen, strict=True) if place is None]
    if alone:
        unmade["nearest"] = (
            f"{album.title} holds no photograph but the own one of {len(alone)} layouts "
            f"({in_words(alone)}); give others with --bank"
        )
    else:
        rows.append(NearestRow(judged, album, [place for place in chosen if place is not None]))
    rows.append(RandomRow(judged, album, seed=seed))
    own = {
        name: frozenset(album.names[photograph] for photograph in album.own(place))
        for place, name in enumerate(judged.layouts)
    }
    return CalibrationRows(tuple(rows), unmade, notes, own)


class JpegRow:
    """The photographs through JPEG of quality 30 with 4:2:0 chroma, as Pillow writes it."""

    name = f"jpeg{JPEG_QUALITY}"
    title = f"the real photographs through JPEG of quality {JPEG_QUALITY}"

    def __init__(self, judged: PictureSet) -> None:
        self._judged = judged

    def views(self, place: int) -> tuple[View, ...]:
        """Read the photograph of the layout at a place and compress it, in memory."""
        photograph = self._judged.photograph(place)
        assert photograph is not None, "the row is made of sets with photographs only"
        requested, name = self._judged.requested(place), self._judged.items[place].name
        image = through_jpeg(photograph, JPEG_QUALITY)
        return (View(name, name, image, requested, delivered=requested, real=photograph),)


def through_jpeg(image: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Return an (H, W, 3) uint8 picture after JPEG of a quality (1 to 95) and back."""
    blob = io.BytesIO()
    Image.fromarray(image).save(blob, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(blob) as compressed:
        return np.array(compressed.convert("RGB"))


def nearest_photographs(judged: PictureSet, album: Album) -> list[int | None]:
    """Return for each layout the photograph whose label map agrees best with it.

    Agreement is the share of the pixels that are not void in the layout whose class is the same,
    at the album's frame size; of equals the first by name. None where an album holds nothing but
    the layout's own photograph.
    """
    search = LayoutSearch(album, len(judged.taxonomy))
    return [
        search.nearest(sized_map(judged.requested(place), album.frame_hw), album.own(place))
        for place in range(len(judged.items))
    ]


class NearestRow:
    """For each layout one photograph, copied whole with its own label map.

    Attributes:
        chosen: Places of the photographs in the album, layout by layout.

    Raises:
        DatasetError: If a photograph's file is another than it was.
    """

    name = "nearest"

    def __init__(self, judged: PictureSet, album: Album, chosen: Sequence[int]) -> None:
        self._judged = judged
        self._album = album
        self.title = (
            f"for each layout the photograph whose layout agrees best with it, of {album.title}, "
            "copied whole"
        )
        self.chosen = tuple(chosen)
        for photograph in sorted(set(self.chosen)):
            album.check(photograph)

    def views(self, place: int) -> tuple[View, ...]:
        """Read the photograph that was chosen for the layout at a place."""
        judged, photograph = self._judged, self.chosen[place]
        name = judged.items[place].name
        return (
            View(
                name=name,
                layout=name,
                image=self._album.image(photograph),
                requested=judged.requested(place),
                delivered=sized_map(self._album.label_map(photograph), judged.size_hw),
                real=judged.photograph(place),
                ownership=np.zeros(judged.size_hw, np.int32),
                state=np.full(judged.size_hw, PixelState.COPIED, np.uint8),
                sources=(self._album.names[photograph],),
            ),
        )


class RandomRow:
    """For each region of a layout a random segment of its class: right classes, wrong content.

    Every segment of the class has the same chance. Its box is stretched onto the region's box, and
    what of it lies on the region is kept, so that no region reaches into another and the order of
    pasting is of no account; what stays open is inpainted (Telea 2004) and void in the delivered
    layout. Regions are those of the label map alone: things that touch are one. What is drawn
    depends on the seed and the layout's name, not on the other layouts.
    """

    name = "random"

    def __init__(self, judged: PictureSet, album: Album, *, seed: int) -> None:
        self._judged = judged
        self._album = album
        self._seed = seed
        self.title = (
            f"random segments of the right class from {album.title}, pasted where the layout asks "
            "for one; what they leave open is inpainted (its share: synthesised, under provenance)"
        )

    def views(self, place: int) -> tuple[View, ...]:
        """Paste segments on the layout at a place."""
        judged, name = self._judged, self._judged.items[place].name
        requested = judged.requested(place)
        image, ownership, sources = self._paste(requested, place, name)
        is_pasted = ownership >= 0
        return (
            View(
                name=name,
                layout=name,
                image=_inpainted(image, ~is_pasted),
                requested=requested,
                delivered=np.where(is_pasted, requested, np.uint8(VOID)),
                real=judged.photograph(place),
                ownership=ownership,
                state=np.where(
                    is_pasted, np.uint8(PixelState.COPIED), np.uint8(PixelState.SYNTHESISED)
                ),
                sources=sources,
            ),
        )

    def _paste(
        self, requested: NDArray[np.uint8], place: int, name: str
    ) -> tuple[NDArray[np.uint8], NDArray[np.int32], tuple[str, ...]]:
        import cv2

        taxonomy = self._judged.taxonomy
        layout = Layout(requested, derive_instances(requested, taxonomy), taxonomy)
        random = np.random.default_rng([self._seed, _number_of(name)])
        image = np.zeros((*requested.shape, 3), np.uint8)
        ownership = np.full(requested.shape, -1, np.int32)
        pixels: dict[str, int] = {}
        for query in extract_queries(layout):
            cut = self._album.draw(query.class_id, place, random)
            if cut is None:
                continue
            top, left, bottom, right = query.region.box
            size_wh = (right - left, bottom - top)
            color = cv2.resize(cut.color, size_wh, interpolation=cv2.INTER_LINEAR)
            mask = cv2.resize(
                cut.mask.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST_EXACT
            )
            kept = query.region.mask & (mask > 0)
            image[top:bottom, left:right][kept] = color[kept]
            ownership[top:bottom, left:right][kept] = query.query_id
            count = int(np.count_nonzero(kept))
            if count:
                pixels[cut.source_id] = pixels.get(cut.source_id, 0) + count
        return image, ownership, tuple(sorted(pixels, key=lambda each: (-pixels[each], each)))


def _number_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def _inpainted(image: NDArray[np.uint8], is_open: NDArray[np.bool_]) -> NDArray[np.uint8]:
    if not is_open.any():
        return image
    import cv2

    holes = is_open.astype(np.uint8)
    return np.asarray(cv2.inpaint(image, holes, INPAINT_RADIUS_PX, cv2.INPAINT_TELEA), np.uint8)


def _other_bank(judged: PictureSet, bank: MemoryBank) -> tuple[str, ...]:
    if judged.run is None or judged.run.bank_fingerprint in ("", bank.fingerprint):
        return ()
    note = (
        f"The run was composed from another bank ({judged.run.bank_path}) than the one that it is "
        f"compared with ({bank.path}): their fingerprints differ."
    )
    return (note,)
