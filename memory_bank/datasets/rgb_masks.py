"""Plain folders whose label files hold a colour for each class."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image, UnidentifiedImageError

from scenequilt.memory_bank.datasets.files import Color
from scenequilt.memory_bank.datasets.folder import files_by_name, subfolders
from scenequilt.memory_bank.datasets.interface import Entry, Repair
from scenequilt.memory_bank.datasets.layout_file import read_layout
from scenequilt.memory_bank.datasets.plain import PlainReader
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import read_taxonomy


@dataclass(frozen=True)
class RgbMasksReader(PlainReader):
    """Reads the plain form with colours in labels/: classes.json says whose they are.

    Void is black unless a class is; "void_colors" in classes.json, a list of [r, g, b], names
    others. The ids in classes.json are what label maps are written with.

    Attributes:
        void_colors: Colours that mean void.
    """

    form = "rgb_masks"
    expects = (
        "classes.json with a colour a class (and void_colors), images/[SPLIT/]NAME.jpg or .png, "
        "labels/[SPLIT/]NAME.png with those colours"
    )

    void_colors: tuple[Color, ...] = ((0, 0, 0),)

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return True for a plain folder whose first label file is RGB."""
        if not (root / "classes.json").is_file():
            return False
        for folder in [root / "labels", *subfolders(root / "labels")]:
            for path in files_by_name(folder, (".png", ".jpg", ".jpeg")).values():
                try:
                    with Image.open(path) as picture:
                        return picture.mode in ("RGB", "RGBA")
                except (UnidentifiedImageError, OSError):
                    continue
        return False

    @classmethod
    def open(cls, root: Path, repair: Repair = "none") -> Self:
        """Make a reader of a folder.

        Raises:
            DatasetError: If classes.json is missing or wrong, or two classes have one colour.
        """
        path = root / "classes.json"
        taxonomy = read_taxonomy(path)
        counts = Counter(entry.color for entry in taxonomy.classes)
        color, count = counts.most_common(1)[0]
        if count > 1:
            names = [entry.name for entry in taxonomy.classes if entry.color == color]
            raise DatasetError(
                f"{path}: colour {color} is that of {' and '.join(names)}, expected a colour for "
                "each class; change one of them"
            )
        return cls(root, taxonomy, repair, _void_colors(path))

    def files(self, entry: Entry) -> list[Path]:
        """List the files of an entry, and classes.json, which says what colours are void."""
        return [*super().files(entry), self.root / "classes.json"]

    def read_layout(self, entry: Entry) -> Layout:
        """Read the layout of an entry from its colours.

        Raises:
            LabelError: If a file is unreadable, sizes differ, or a colour is unknown.
        """
        return read_layout(
            entry.label_path,
            self.taxonomy,
            instance_path=entry.instance_path,
            depth_path=entry.depth_path,
            repair=self.repair,
            label_form="colors",
            void_colors=self.void_colors,
        )


def _void_colors(path: Path) -> tuple[Color, ...]:
    table = json.loads(path.read_text(encoding="utf-8"))
    colors = table.get("void_colors", [[0, 0, 0]])
    try:
        return tuple((int(red), int(green), int(blue)) for red, green, blue in colors)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: void_colors is {colors!r}, expected a list of [r, g, b]"
        ) from error
