"""The folder of a run that compose left, read for what it was asked and what it made."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.datasets.files import decode_ids, read_photograph, read_raster
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import Taxonomy, read_taxonomy
from scenequilt.tools.evaluation.picture_files import in_words
from scenequilt.tools.output.run_folder import PAGE_FOLDER, RUN_FORMAT, RUN_VERSION

RUN_MARKS = ("manifest.jsonl", "failures.csv", PAGE_FOLDER)
"""What a folder has that is a run's, whether or not its run.json can be read."""


@dataclass(frozen=True)
class RunPicture:
    """One picture of a run. Maps are (H, W) at the run's size; None where its folder has none.

    Attributes:
        name: Layout and variant, e.g. "street/00".
        folder: Where its files are.
        taxonomy: The run's classes.
        sources: Photographs that own pixels, the largest share first.
    """

    name: str
    folder: Path
    taxonomy: Taxonomy
    sources: tuple[str, ...]

    @property
    def image_path(self) -> Path:
        """The picture."""
        return self.folder / "image.png"

    @property
    def requested_path(self) -> Path:
        """The label map that was asked for, at the run's size."""
        return self.folder / "requested.png"

    def image(self) -> NDArray[np.uint8]:
        """Read the picture, (H, W, 3) uint8 RGB."""
        return read_photograph(self.image_path)

    def delivered(self) -> NDArray[np.uint8] | None:
        """Read the label map that is true of the picture: the run's class ids, 255 = void."""
        return self._labels("label.png")

    def ownership(self) -> NDArray[np.int32] | None:
        """Read which placed segment owns a pixel, int32 from 0, -1 = none."""
        numbers = self._numbers("ownership.png", "ownership map")
        return None if numbers is None else numbers - 1

    def state(self) -> NDArray[np.uint8] | None:
        """Read the PixelState of every pixel, uint8."""
        numbers = self._numbers("state.png", "state map")
        return None if numbers is None else numbers.astype(np.uint8)

    def _labels(self, name: str) -> NDArray[np.uint8] | None:
        path = self.folder / name
        if not path.is_file():
            return None
        return decode_ids(read_raster(path, "label map"), self.taxonomy)

    def _numbers(self, name: str, what: str) -> NDArray[np.int32] | None:
        path = self.folder / name
        if not path.is_file():
            return None
        return read_raster(path, what).values.astype(np.int32)


@dataclass(frozen=True)
class ComposeRun:
    """What a run was asked for and what it made.

    Attributes:
        path: Its folder.
        program: Version of the program that made it.
        taxonomy: Classes of its label maps.
        bank_path: Folder of its bank, as it was given; "" if it had none.
        bank_fingerprint: Of that bank, "" if it had none.
        asked: Names of the layouts it was asked for, in that order.
        variants: Pictures it was asked for of each.
        finish: What it was finished by, "none" for canvases.
        pictures: Its pictures by layout, variants in order; layouts without a picture are absent.
        failures: What the run says of layouts without a picture, by name.
        damage: What is wrong with its manifest, in words; "" if nothing is.
        unlisted: Pictures of it on disk that the manifest does not list, e.g. "street/01".
    """

    path: Path
    program: str
    taxonomy: Taxonomy
    bank_path: str
    bank_fingerprint: str
    asked: tuple[str, ...]
    variants: int
    finish: str
    pictures: Mapping[str, tuple[RunPicture, ...]]
    failures: Mapping[str, str]
    damage: str = ""
    unlisted: tuple[str, ...] = ()

    def refuse_damage(self) -> None:
        """Refuse a run whose manifest is damaged.

        Raises:
            DatasetError: With what is wrong, and the remedy.
        """
        if self.damage:
            raise DatasetError(
                f"{self.damage}; compose --resume, with the arguments of the run, writes it anew"
            )

    def why_missing(self, layout: str) -> str:
        """Say why there is no picture of a layout."""
        if any(name.rpartition("/")[0] == layout for name in self.unlisted):
            return f"{self.damage}; compose --resume writes it anew"
        return self.failures.get(layout, "the run ended before it; go on with it by --resume")


def is_compose_run(folder: Path) -> bool:
    """Return True if a folder is that of a run: its run.json says so.

    Raises:
        DatasetError: If it holds what runs hold, but no run.json that can be read: its pictures
            would be taken for those of a plain folder, previews included.
    """
    plan = _read_plan(folder)
    if plan is not None and plan.get("format") == RUN_FORMAT:
        return True
    marks = [name for name in RUN_MARKS if (folder / name).exists()]
    if marks:
        what = "cannot be read" if (folder / "run.json").exists() else "is missing"
        raise DatasetError(
            f"{folder}: looks like a run of compose (it has {', '.join(marks)}), but its run.json "
            f'{what}; expected JSON with format "{RUN_FORMAT}": restore it, or give the folders of '
            "pictures alone"
        )
    return False


def open_compose_run(folder: Path) -> ComposeRun:
    """Read what a run was asked for and what it made; no picture is opened.

    Raises:
        DatasetError: If the folder is no run, of another format version, or damaged.
    """
    plan = _read_plan(folder)
    if plan is None or plan.get("format") != RUN_FORMAT:
        raise DatasetError(
            f'{folder}: is no run, expected a run.json with format "{RUN_FORMAT}"; give the folder '
            "that compose wrote with --out"
        )
    if plan.get("version") != RUN_VERSION:
        raise DatasetError(
            f"{folder}: run of format version {plan.get('version')}, this program reads "
            f"{RUN_VERSION}; compose it again with this program"
        )
    try:
        taxonomy = read_taxonomy(folder / "classes.json")
        layouts = [(str(layout["name"]), str(layout["path"])) for layout in plan["layouts"]]
        bank = plan.get("bank") or {}
        pictures = _read_pictures(folder, taxonomy)
        unlisted = _unlisted(folder, [name for name, _ in layouts], pictures)
        return ComposeRun(
            path=folder,
            program=str(plan.get("program", "")),
            taxonomy=taxonomy,
            bank_path=str(bank.get("path", "")),
            bank_fingerprint=str(bank.get("fingerprint", "")),
            asked=tuple(name for name, _ in layouts),
            variants=int((plan.get("choices") or {}).get("variants", 1)),
            finish=str((plan.get("choices") or {}).get("finish", "")),
            pictures=pictures,
            failures=_read_failures(folder, layouts),
            damage=_damage(folder, sum(map(len, pictures.values())), unlisted),
            unlisted=unlisted,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DatasetError(
            f"{folder}: run.json or manifest.jsonl is damaged ({error!r}); compose it again with "
            "--force"
        ) from error


def _read_plan(folder: Path) -> dict[str, Any] | None:
    try:
        plan = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return None
    return plan if isinstance(plan, dict) else None


def _read_pictures(folder: Path, taxonomy: Taxonomy) -> dict[str, tuple[RunPicture, ...]]:
    found: dict[str, dict[int, RunPicture]] = {}
    manifest = folder / "manifest.jsonl"
    text = manifest.read_text(encoding="utf-8") if manifest.is_file() else ""
    for line in text.splitlines(keepends=True):
        # A run killed while it wrote leaves half a line, of a picture that does not count yet.
        if not line.endswith("\n"):
            continue
        row = json.loads(line)
        place = folder / row["folder"]
        if (place / "image.png").is_file():
            sources = tuple(str(name) for name in row.get("sources", ()))
            picture = RunPicture(row["folder"], place, taxonomy, sources)
            # A run that was gone on with has two lines of what it made twice; the later holds.
            found.setdefault(row["layout"], {})[row["variant"]] = picture
    return {
        layout: tuple(pictures[variant] for variant in sorted(pictures))
        for layout, pictures in found.items()
    }


def _unlisted(
    folder: Path, asked: list[str], pictures: Mapping[str, tuple[RunPicture, ...]]
) -> tuple[str, ...]:
    """Return the pictures of a run on disk that its manifest does not list, sorted."""
    listed = {picture.name for of_layout in pictures.values() for picture in of_layout}
    there = [
        f"{layout}/{path.parent.name}"
        for layout in asked
        for path in (folder / layout).glob("*/image.png")
        if path.parent.name.isdecimal()
    ]
    return tuple(sorted(set(there) - listed))


def _damage(folder: Path, listed: int, unlisted: tuple[str, ...]) -> str:
    """Say what is wrong with a manifest: it is cut off, or lists fewer pictures than there are."""
    manifest = folder / "manifest.jsonl"
    content = manifest.read_bytes() if manifest.is_file() else b""
    wrong = []
    if not manifest.is_file() and unlisted:
        wrong.append("it is missing")
    if content and not content.endswith(b"\n"):
        wrong.append("its last line is cut off")
    if unlisted:
        wrong.append(
            f"it lists {listed} of {listed + len(unlisted)} pictures that are on disk (not "
            f"{in_words(unlisted)})"
        )
    return f"{manifest}: the manifest is damaged: {' and '.join(wrong)}" if wrong else ""


def _read_failures(folder: Path, layouts: list[tuple[str, str]]) -> dict[str, str]:
    path = folder / "failures.csv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as lines:
        messages = {row["layout"]: row["message"] for row in csv.DictReader(lines)}
    return {name: messages[file] for name, file in layouts if file in messages}
