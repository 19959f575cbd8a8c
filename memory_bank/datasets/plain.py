"""Plain folders: classes.json, images/, labels/, and what else there is beside them."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scenequilt.memory_bank.datasets.files import OWN_CLASSES, PHOTOGRAPH_SUFFIXES
from scenequilt.memory_bank.datasets.folder import (
    FolderReader,
    companion,
    files_by_name,
    logger,
    paired,
    subfolders,
)
from scenequilt.memory_bank.datasets.interface import Entry, Repair
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import read_taxonomy

_COLUMNS = ("split", "name", "sequence", "licence", "address")
_NUMBERED = re.compile(r"(.+)_[A-Za-z]?\d+")


@dataclass(frozen=True)
class PlainReader(FolderReader):
    """Reads classes.json, images/[SPLIT/]NAME.jpg and labels/[SPLIT/]NAME.png.

    instances/ and depth/ are laid out like labels/ and may be left out, each for itself.
    sources.csv gives split, name, sequence, licence and address of photographs. Without it a
    sequence is what a name has before its last "_" and number.
    """

    form = "plain"
    unknown_remedy = OWN_CLASSES
    expects = (
        "classes.json, images/[SPLIT/]NAME.jpg or .png, labels/[SPLIT/]NAME.png with class ids "
        "(and, if you have them, instances/, depth/, sources.csv)"
    )

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return True for a folder with images/ and labels/, or with classes.json."""
        pair = (root / "images").is_dir() and (root / "labels").is_dir()
        return pair or (root / "classes.json").is_file()

    @classmethod
    def open(cls, root: Path, repair: Repair = "none") -> Self:
        """Make a reader of a folder.

        Raises:
            DatasetError: If classes.json is missing or wrong.
        """
        return cls(root, read_taxonomy(root / "classes.json"), repair)

    def list_entries(self) -> Iterator[Entry]:
        """Yield the photographs of all splits."""
        sources = _read_sources(self.root / "sources.csv")
        for split in ["", *_splits(self.root)]:
            instance_folder = self.root / "instances" / split
            instances = files_by_name(instance_folder, (".png",))
            depth_folder = self.root / "depth" / split
            depths = files_by_name(depth_folder, (".png",))
            image_folder, label_folder = self.root / "images" / split, self.root / "labels" / split
            for name, image_path, label_path in paired(
                files_by_name(image_folder),
                files_by_name(label_folder, (".png", ".jpg", ".jpeg")),
                image_folder / "*.jpg",
                label_folder / "*.png",
            ):
                source = sources.pop((split, name), None)
                yield Entry(
                    source_id=name,
                    image_path=image_path,
                    label_path=label_path,
                    instance_path=companion(instances, instance_folder / "*.png", name),
                    depth_path=companion(depths, depth_folder / "*.png", name),
                    split=split,
                    sequence=sequence_of(name) if source is None else source["sequence"],
                    licence="" if source is None else source["licence"],
                    address="" if source is None else source["address"],
                )
        if sources:
            split, name = next(iter(sources))
            logger.warning(
                "%s: %d rows name no photograph, the first is split %r name %r",
                self.root / "sources.csv",
                len(sources),
                split,
                name,
            )


def sequence_of(name: str) -> str:
    """Return the film or drive that a numbered name belongs to, "" if it has no number.

    "0016E5_07959" belongs to "0016E5", "0006R0_f00930" to "0006R0".
    """
    numbered = _NUMBERED.fullmatch(name)
    return numbered[1] if numbered else ""


def _splits(root: Path) -> list[str]:
    names = {folder.name for kind in ("images", "labels") for folder in subfolders(root / kind)}
    return sorted(names)


def _read_sources(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Return the rows of sources.csv by split and name; none if there is no such file."""
    if not path.is_file():
        return {}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            table = csv.DictReader(lines)
            missing = [column for column in _COLUMNS[:2] if column not in (table.fieldnames or [])]
            if missing:
                raise DatasetError(
                    f"{path}: no column {missing[0]!r}, expected {','.join(_COLUMNS)}"
                )
            for row in table:
                name = row["name"] or ""
                if Path(name).suffix.lower() in PHOTOGRAPH_SUFFIXES:
                    name = Path(name).stem
                key = (row["split"] or "", name)
                if key in rows:
                    raise DatasetError(
                        f"{path}: line {table.line_num}: split {key[0]!r} name {name!r} is there "
                        "twice; keep one"
                    )
                rows[key] = {
                    "sequence": row.get("sequence") or sequence_of(name),
                    "licence": row.get("licence") or "",
                    "address": row.get("address") or "",
                }
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path} is not CSV in UTF-8: {error}") from error
    return rows
