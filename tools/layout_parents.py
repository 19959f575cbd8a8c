"""The photographs that layouts are of, or were derived from, so that a bank can leave them out."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scenequilt.memory_bank.datasets.folder import files_by_name
from scenequilt.memory_bank.datasets.open import READERS, open_dataset
from scenequilt.memory_bank.errors import LabelError
from scenequilt.memory_bank.store import sha256_of


class BankPhotograph(Protocol):
    """What is compared of a photograph in a bank; store.SourceRecord has it."""

    @property
    def source_id(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def image_sha256(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Parents:
    """The photographs whose layouts went into a derived one.

    Attributes:
        names: As the dataset has them; with the split in front where two splits share a name.
        image_sha256: Of the files of those photographs, where it is on record.
    """

    names: frozenset[str]
    image_sha256: frozenset[str]

    def sources(self, photographs: Iterable[BankPhotograph]) -> list[str]:
        """Return the ids that the parents have in a bank, by their bytes or by their name.

        A bank of resized copies has other bytes, and a bank that met two photographs of one name
        calls the second NAME~12345678; neither may feed a picture that it is a parent of.
        """
        return [
            found.source_id
            for found in photographs
            if found.image_sha256 in self.image_sha256 or self.names & _dataset_names(found)
        ]


def read_parents(folder: Path) -> dict[str, Parents]:
    """Read which photographs the layouts of a folder were derived from, by name of the layout.

    Args:
        folder: The folder of label maps; layouts.jsonl lies beside it.

    Returns:
        Nothing if there is no layouts.jsonl.

    Raises:
        LabelError: If layouts.jsonl cannot be read.
    """
    path = folder.parent / "layouts.jsonl"
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        return {row["name"]: _parents_of(row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelError(
            f"{path}: cannot be read ({type(error).__name__}: {error}), expected a line for each "
            'layout with "name" and "parents", as scenequilt layouts writes it: it says which '
            "photographs the layouts beside it were derived from; make the layouts again, or move "
            "the file away"
        ) from error


def parent_finder(layouts: Sequence[Path]) -> Callable[[Path], Parents]:
    """Return a function from a label map to the photographs whose layout it is.

    compose --exclude-own leaves them out, and could not tell from the bytes of a derived layout.

    Args:
        layouts: Label maps, folders of them, and folders of datasets.
    """
    photographs: dict[Path, tuple[str, Path]] = {}
    for folder in layouts:
        has_images = not (folder / "labels").is_dir() or (folder / "images").is_dir()
        if (
            folder.is_dir()
            and has_images
            and any(reader.recognises(folder) for reader in READERS.values())
        ):
            for entry in open_dataset(folder).entries():
                photographs[entry.label_path.resolve()] = (entry.source_id, entry.image_path)

    def parents_of(path: Path) -> Parents:
        derived = read_parents(path.parent).get(path.stem)
        if derived is not None:
            return derived
        found = photographs.get(path.resolve())
        for labels in (path.parent, path.parent.parent):
            if found is None and labels.name == "labels":
                images = (labels.parent / "images" / path.relative_to(labels)).parent
                image = files_by_name(images).get(path.stem)
                found = None if image is None else (path.stem, image)
        if found is None or not found[1].is_file():
            return Parents(frozenset(), frozenset())
        return Parents(frozenset({found[0]}), frozenset({sha256_of(found[1])}))

    return parents_of


def parents_as_json(parents: Parents) -> dict[str, Any]:
    """Return what read_parents reads; hashes are numbered, for their names may be several's."""
    hashes = {str(number): each for number, each in enumerate(sorted(parents.image_sha256))}
    return {"parents": sorted(parents.names), "image_sha256": hashes}


def _parents_of(row: Mapping[str, Any]) -> Parents:
    names = row["parents"]
    if not isinstance(names, list):
        raise TypeError(f"parents is {names!r}, expected a list of names")
    return Parents(frozenset(names), frozenset(row.get("image_sha256", {}).values()))


def _dataset_names(photograph: BankPhotograph) -> set[str]:
    """Return what a dataset may call a photograph of a bank."""
    name = photograph.source_id.removesuffix(f"~{photograph.image_sha256[:8]}")
    return {photograph.source_id, name, f"{photograph.split}-{name}"}
