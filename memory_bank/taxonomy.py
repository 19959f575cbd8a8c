"""The classes of a dataset: ids, names, colours, thing or stuff, thin, and what means void."""

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import DatasetError

VOID = 255
"""Value of void in every label map inside the program, whatever the files use."""

MAX_CLASSES = 255

MAX_FILE_ID = 65535
"""Largest value that a 16-bit label file holds."""

Kind = Literal["stuff", "thing"]

THIN_NAMES = frozenset(
    [
        "pole",
        "polegroup",
        "sign",
        "traffic_sign",
        "traffic_light",
        "street_light",
        "lamp_post",
        "column_pole",
    ]
)
"""Classes that cut what is behind them in two without ending it (Qi et al. 2018, code)."""

TEXT_NAMES = frozenset(
    [
        "sign",
        "traffic_sign",
        "sign_symbol",
        "stop_sign",
        "street_sign",
        "signboard",
        "billboard",
        "whiteboard",
        "books",
        "book",
        "paper",
        "poster",
        "license_plate",
        "bulletin_board",
        "screen",
        "banner",
    ]
)
"""Classes that bear text, whose segments are never mirrored."""

GROUND_NAMES = frozenset(
    [
        "road",
        "street",
        "lane_marking",
        "sidewalk",
        "pavement",
        "path",
        "parking",
        "rail_track",
        "terrain",
        "ground",
        "earth",
        "dirt",
        "sand",
        "grass",
        "floor",
        "carpet",
        "rug",
    ]
)
"""Classes that objects stand on and throw their shadows on."""


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class.

    Attributes:
        file_id: Value of the class in the dataset's label files, 0 to 65535.
        name: Its name, lower case, words joined by "_".
        color: RGB, 0 to 255 each, for pictures of a layout and for RGB label files.
        kind: "thing" if its objects can be counted, else "stuff".
        thin: True for poles and the like: what they cut in two counts as one piece.
        text: True if it bears writing; its segments are never mirrored.
    """

    file_id: int
    name: str
    color: tuple[int, int, int]
    kind: Kind
    thin: bool = False
    text: bool = False

    def known_name(self, names: Container[str]) -> str | None:
        """Return the name among some by which the class goes, None if it goes by none of them.

        Names are compared by whole words, the longest part first: stuff goes by its first words
        ("wall_brick" is a wall), by its last ones only if those say nothing ("brick_wall"); a
        thing goes by its last words ("office_chair" is a chair, "floor_lamp" is no floor).
        """
        words = self.name.split("_")
        last = ["_".join(words[start:]) for start in range(len(words))]
        first = ["_".join(words[:end]) for end in range(len(words), 0, -1)]
        parts = last if self.kind == "thing" else [*first, *last]
        return next((part for part in parts if part in names), None)

    def known_as(self, names: Container[str]) -> bool:
        """Return True if the class goes by one of some names, compared as in known_name."""
        return self.known_name(names) is not None


@dataclass(frozen=True)
class Taxonomy:
    """The classes of a dataset in a fixed order; a class id is a place in that order.

    Label maps inside the program hold class ids 0..K-1 and VOID (255). Label files hold file ids;
    decode and encode go between the two.

    Attributes:
        name: Short name, e.g. "camvid11".
        classes: The K classes, at most 255.
        void_file_ids: Values in label files that mean void; the first is the one we write.

    Raises:
        ValueError: If two classes share a file id, a name, or there are too many; or a value is
            both a class and void, or not 0 to 65535.
    """

    name: str
    classes: tuple[ClassInfo, ...]
    void_file_ids: tuple[int, ...] = field(default=(VOID,))

    def __post_init__(self) -> None:
        if not 0 < len(self.classes) <= MAX_CLASSES:
            raise ValueError(
                f"taxonomy {self.name!r} has {len(self.classes)} classes, expected 1 to {MAX_CLASSES}"
            )
        for what in ("file_id", "name"):
            uses = [getattr(entry, what) for entry in self.classes]
            doubled = sorted({value for value in uses if uses.count(value) > 1})
            if doubled:
                raise ValueError(f"taxonomy {self.name!r}: {what} {doubled[0]!r} is used twice")
        values = [*self.void_file_ids, *(entry.file_id for entry in self.classes)]
        outside = [value for value in values if not 0 <= value <= MAX_FILE_ID]
        if outside:
            raise ValueError(
                f"taxonomy {self.name!r}: value {outside[0]} cannot stand in a label file, "
                f"expected 0 to {MAX_FILE_ID}"
            )
        both = {entry.file_id for entry in self.classes} & set(self.void_file_ids)
        if both:
            raise ValueError(
                f"taxonomy {self.name!r}: value {min(both)} is a class and void at once"
            )
        if not self.void_file_ids:
            raise ValueError(f"taxonomy {self.name!r} names no value for void")

    def __len__(self) -> int:
        return len(self.classes)

    def class_id(self, name: str) -> int:
        """Return the class id of a name.

        Raises:
            ValueError: If there is no such class; the message lists those there are.
        """
        for class_id, entry in enumerate(self.classes):
            if entry.name == name:
                return class_id
        names = ", ".join(entry.name for entry in self.classes)
        raise ValueError(f"taxonomy {self.name!r} has no class {name!r}; there are {names}")

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """(256, 3) uint8 RGB by class id; void and unused ids are black."""
        palette = np.zeros((256, 3), np.uint8)
        for class_id, entry in enumerate(self.classes):
            palette[class_id] = entry.color
        return palette

    @cached_property
    def class_of_file_id(self) -> NDArray[np.int16]:
        """(65536,) int16: class id of each value of a label file, VOID for void, -1 if unknown."""
        table = np.full(MAX_FILE_ID + 1, -1, np.int16)
        for void_file_id in self.void_file_ids:
            table[void_file_id] = VOID
        for class_id, entry in enumerate(self.classes):
            table[entry.file_id] = class_id
        return table

    def encode(self, label_map: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Return the label map (H, W) of class ids as the file ids that the dataset uses."""
        table = np.full(256, self.void_file_ids[0], np.uint16)
        for class_id, entry in enumerate(self.classes):
            table[class_id] = entry.file_id
        return table[label_map]

    def as_json(self) -> dict[str, Any]:
        """Return the form of classes.json."""
        void = list(self.void_file_ids)
        return {
            "name": self.name,
            "void_id": void[0],
            "void_ids": void,
            "classes": [
                {
                    "id": entry.file_id,
                    "name": entry.name,
                    "color": list(entry.color),
                    "kind": entry.kind,
                    "thin": entry.thin,
                    "text": entry.text,
                }
                for entry in self.classes
            ],
        }


def taxonomy_from_json(table: Mapping[str, Any], where: str) -> Taxonomy:
    """Make a taxonomy of the contents of a classes.json.

    "thin" and "text" may be left out: they then follow from the class's name.

    Args:
        table: {"name", "void_id" or "void_ids", "classes": [{"id", "name", "color", "kind"}]}.
        where: The file, for messages.

    Raises:
        DatasetError: If a key is missing or a value is not what it should be.
    """
    try:
        entries: Sequence[Mapping[str, Any]] = table["classes"]
        void = table["void_ids"] if "void_ids" in table else [table["void_id"]]
        classes = tuple(_class_from_json(entry) for entry in entries)
        return Taxonomy(str(table.get("name", "classes")), classes, tuple(int(v) for v in void))
    except KeyError as error:
        raise DatasetError(
            f"{where}: no key {error.args[0]!r}; expected void_id and classes, each class with "
            'id, name, color [r, g, b] and kind "stuff" or "thing"'
        ) from error
    except (TypeError, ValueError) as error:
        raise DatasetError(f"{where}: {error}") from error


def read_taxonomy(path: Path) -> Taxonomy:
    """Read a classes.json.

    Raises:
        DatasetError: If the file is absent, no JSON, or incomplete; the message names it.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(
            f"{path} is missing; write one with void_id and classes (id, name, color, kind)"
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path} is not JSON: {error}") from error
    if not isinstance(table, dict):
        raise DatasetError(f"{path}: expected an object with void_id and classes")
    return taxonomy_from_json(table, str(path))


def _class_from_json(entry: Mapping[str, Any]) -> ClassInfo:
    name = str(entry["name"]).strip().lower().replace(" ", "_").replace("-", "_")
    kind = entry["kind"]
    if kind not in ("stuff", "thing"):
        raise ValueError(f'class {name!r} has kind {kind!r}, expected "stuff" or "thing"')
    red, green, blue = (int(value) for value in entry["color"])
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"class {name!r} has color {entry['color']}, expected three of 0 to 255")
    return ClassInfo(
        int(entry["id"]),
        name,
        (red, green, blue),
        kind,
        thin=bool(entry.get("thin", name in THIN_NAMES)),
        text=bool(entry.get("text", name in TEXT_NAMES)),
    )
