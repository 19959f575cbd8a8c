"""The pictures that are added to real photographs: compositions, and random copy-paste of the same."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.datasets.plain import PlainReader
from scenequilt.memory_bank.errors import DatasetError, EmptyClassError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.memory_bank.where import Where
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.composition import Composition
from scenequilt.synthesis.layouts.factory import LayoutFactory
from scenequilt.synthesis.look import SourceLooks
from scenequilt.tools.experiments.copy_paste import paste_at_random
from scenequilt.tools.layout_set import layout_name
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.picture import label_bits
from scenequilt.tools.output.png import encode_grey, encode_rgb
from scenequilt.tools.progress import Progress

COMPOSED, PASTED = "composed", "pasted"


@dataclass(frozen=True, slots=True)
class AddedPictures:
    """Two folders of pictures, each a dataset in the plain form, picture by picture of one origin.

    Attributes:
        folder: Holds composed/ and pasted/.
        names: Of the pictures, the same in both.
        failures: (name, message) of each layout that could not be made or composed.
    """

    folder: Path
    names: tuple[str, ...]
    failures: tuple[tuple[str, str], ...]

    def entries(self, kind: str) -> tuple[DatasetReader, list[Entry]]:
        """Return the reader and the entries of COMPOSED or PASTED, in the order of the names."""
        reader = PlainReader.open(self.folder / kind)
        found = {entry.source_id: entry for entry in reader.entries()}
        return reader, [found[name] for name in self.names]


def make_added_pictures(
    factory: LayoutFactory,
    bank: MemoryBank,
    photographs: tuple[DatasetReader, Sequence[Entry]],
    own_sources: Mapping[str, Sequence[str]],
    folder: Path,
    *,
    count: int,
    seed: int,
    progress: Progress | None = None,
) -> AddedPictures:
    """Compose layouts of the factory, and paste the things of each composition at random.

    What is finished is kept, so that a call that was broken off goes on where it was. A composition
    uses no segment of the photographs whose layouts went into its own: it is no copy of them. The
    things that it shows are then pasted at random onto one random photograph, out of their own
    photographs.

    Args:
        factory: Makes the layouts.
        bank: What compositions are made of.
        photographs: Reader and entries of what is pasted onto.
        own_sources: Names that the photograph of a layout has in the bank, by the layout's name.
        folder: Where composed/ and pasted/ are made.
        count: How many of each.
        seed: What everything is drawn with.
        progress: Called after each.
    """
    taxonomy = factory.statistics.taxonomy
    for kind in (COMPOSED, PASTED):
        for part in ("images", "labels", "records"):
            (folder / kind / part).mkdir(parents=True, exist_ok=True)
        text = json.dumps(taxonomy.as_json(), indent=1) + "\n"
        write_atomically(folder / kind / "classes.json", text)
    looks = SourceLooks(bank)
    names, failures = [], []
    for place in range(count):
        name = layout_name(place)
        try:
            if not _is_finished(folder / PASTED, name):
                made = factory.make(place, seed)
                own = tuple(
                    source for parent in made.parents for source in own_sources.get(parent, ())
                )
                where = replace(Where(), not_sources=own)
                composition = compose(made.layout, bank, seed=seed, where=where, looks=looks)
                record = {
                    "parents": list(made.parents),
                    "edits": [edit.as_json() for edit in made.edits],
                    "sources": list(composition.sources),
                    "things": [str(segment_id) for segment_id in _things(composition)],
                }
                _write(
                    folder / COMPOSED,
                    name,
                    composition.image,
                    composition.delivered.label_map,
                    taxonomy,
                    record,
                )
                _paste(folder, name, composition, bank, photographs, [seed, 1, place])
            names.append(name)
        except (DatasetError, EmptyClassError) as error:
            failures.append((name, str(error)))
        if progress is not None:
            progress(place + 1, count)
    return AddedPictures(folder, tuple(names), tuple(failures))


def record_of(folder: Path, name: str) -> dict[str, Any]:
    """Return what is on record of a picture in composed/ or pasted/."""
    record: dict[str, Any] = json.loads((folder / "records" / f"{name}.json").read_text("utf-8"))
    return record


def _things(composition: Composition) -> list[int]:
    """Return the segments of things that are seen, the furthest back first."""
    classes = composition.requested.taxonomy.classes
    return [
        composition.placed[place].segment.segment_id
        for place in composition.order.back_to_front
        if composition.owned_px[place]
        and classes[composition.placed[place].segment.class_id].kind == "thing"
    ]


def _paste(
    folder: Path,
    name: str,
    composition: Composition,
    bank: MemoryBank,
    photographs: tuple[DatasetReader, Sequence[Entry]],
    seed: Sequence[int],
) -> None:
    reader, entries = photographs
    rng = np.random.default_rng(seed)
    entry = entries[int(rng.integers(len(entries)))]
    photograph = reader.read(entry)
    image, label_map, pastings = paste_at_random(
        photograph.image,
        photograph.layout.label_map,
        [bank.segment(segment_id) for segment_id in _things(composition)],
        reader.taxonomy,
        rng,
    )
    record = {
        "photograph": entry.source_id,
        "things": [
            {**asdict(pasting), "segment_id": str(pasting.segment_id)} for pasting in pastings
        ],
    }
    _write(folder / PASTED, name, image, label_map, reader.taxonomy, record)


def _is_finished(folder: Path, name: str) -> bool:
    return (folder / "records" / f"{name}.json").is_file()


def _write(
    folder: Path,
    name: str,
    image: NDArray[np.uint8],
    label_map: NDArray[np.uint8],
    taxonomy: Taxonomy,
    record: Mapping[str, Any],
) -> None:
    labels = encode_grey(taxonomy.encode(label_map), "label map", bits=label_bits(taxonomy))
    write_atomically(folder / "images" / f"{name}.png", encode_rgb(image))
    write_atomically(folder / "labels" / f"{name}.png", labels)
    # Last: it marks the picture as finished.
    write_atomically(folder / "records" / f"{name}.json", json.dumps(record, indent=1) + "\n")


ReadSample = Callable[[int], tuple[NDArray[np.uint8], NDArray[np.uint8]]]


class MixedSamples:
    """Real photographs and added pictures in a fixed ratio, whatever their numbers.

    Each is gone through in rounds: where there are fewer than the ratio asks for they are seen more
    often.

    Args:
        real: (number of photographs, what reads one).
        added: The same of the added pictures.
        share: Of the added pictures, in (0, 1).

    Raises:
        ValueError: If there are none of one, or the share is out of range.
    """

    def __init__(
        self, real: tuple[int, ReadSample], added: tuple[int, ReadSample], share: float
    ) -> None:
        if not 0 < share < 1:
            raise ValueError(f"share is {share}, expected more than 0 and less than 1")
        if real[0] < 1 or added[0] < 1:
            raise ValueError(
                f"there are {real[0]} photographs and {added[0]} added pictures, expected at least "
                "1 of each"
            )
        self._real, self._added = real, added
        length = max(real[0] / (1 - share), added[0] / share)
        self._real_places = max(1, round(length * (1 - share)))
        self._length = self._real_places + max(1, round(length * share))

    def __len__(self) -> int:
        """Return how many places there are in a round."""
        return self._length

    def read(self, place: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return picture and label map at a place: real ones first."""
        if place < self._real_places:
            number, read = self._real
            return read(place % number)
        number, read = self._added
        return read((place - self._real_places) % number)
