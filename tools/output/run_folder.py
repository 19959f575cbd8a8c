"""The folder of one run of compose: what belongs to it, what is finished, what failed."""

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from scenequilt.tools.output.atomic import write_atomically

RUN_FORMAT = "scenequilt run"
RUN_VERSION = 1

PAGE_FOLDER = "page_files"
RUN_FILES = (
    "manifest.jsonl",
    "failures.csv",
    "contact_sheet.png",
    "index.html",
    "classes.json",
)
RESERVED_NAMES = ("run", PAGE_FOLDER, *RUN_FILES)
"""Names that no layout may have, because the run itself uses them."""

Row = dict[str, Any]
"""One line of manifest.jsonl."""


class RunFolder:
    """The folder of one run of compose.

    run.json says what the run was asked for and marks the folder as ours. A picture belongs to
    the run when its folder NAME/00 is complete and manifest.jsonl has its line: the folder is
    renamed into place first, the line is appended after. A run that is killed at any instant can
    therefore go on (resume) or be thrown away (force) without touching anybody else's files.

    Attributes:
        path: The folder.
        rows: Lines of manifest.jsonl so far, by layout name and variant.
    """

    def __init__(
        self, path: Path, plan: Mapping[str, Any], rows: dict[tuple[str, int], Row]
    ) -> None:
        self.path = path
        self.rows = rows
        self._plan = dict(plan)

    @classmethod
    def start(
        cls, path: Path, plan: Mapping[str, Any], *, force: bool = False, resume: bool = False
    ) -> "RunFolder":
        """Make the folder of a run, or take up one that was broken off.

        Args:
            path: The folder; made if it is not there.
            plan: What the run is asked for, as JSON holds it; "layouts" lists {"name", "path"}.
            force: Throw the pictures of an earlier run in this folder away first.
            resume: Go on with the earlier run in this folder.

        Raises:
            ValueError: If the folder holds something else, or an earlier run and neither force nor
                resume is given, or resume is given and the earlier run was asked for other things.
        """
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path}: is a file, expected a folder to write; choose another --out")
        earlier = _read_plan(path)
        if earlier is None and path.is_dir() and any(path.iterdir()):
            raise ValueError(
                f"{path}: not empty and no folder of an earlier run (it has no run.json), so "
                "nothing is written there; choose another --out"
            )
        if earlier is not None and not (force or resume):
            raise ValueError(
                f"{path}: holds an earlier run; --resume goes on with it, --force replaces it"
            )
        rows: dict[tuple[str, int], Row] = {}
        if earlier is not None and resume:
            _refuse_other_plan(path, earlier, plan)
            rows = _read_rows(path)
        elif earlier is not None:
            _clear(path, earlier)
        path.mkdir(parents=True, exist_ok=True)
        for leftover in path.glob(".*.partial"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        folder = cls(path, plan, rows)
        write_atomically(path / "run.json", _as_text(plan))
        folder._rewrite_manifest()
        return folder

    def workplace(self, name: str, variant: int) -> Path:
        """Return an empty folder to write a picture in; finish() moves it into place."""
        place = self.path / f".{name}-{variant:02d}.partial"
        if place.exists():
            shutil.rmtree(place)
        place.mkdir()
        return place

    def finish(self, workplace: Path, row: Row) -> None:
        """Move a complete picture into place and enter it in the manifest.

        Args:
            workplace: What workplace() returned, with every file of the picture in it.
            row: Its line; "layout", "variant" and "folder" say which picture and where.
        """
        place = self.path / row["folder"]
        if place.exists():
            shutil.rmtree(place)
        place.parent.mkdir(exist_ok=True)
        workplace.rename(place)
        self.rows[row["layout"], row["variant"]] = row
        with (self.path / "manifest.jsonl").open("a", encoding="utf-8") as manifest:
            manifest.write(json.dumps(row) + "\n")

    def discard(self, name: str) -> None:
        """Throw away what there is of a layout, before it is made anew."""
        for key in [key for key in self.rows if key[0] == name]:
            del self.rows[key]
        if (self.path / name).is_dir():
            shutil.rmtree(self.path / name)

    def close(self, failures: Sequence[tuple[str, str]]) -> None:
        """Put the manifest in the order of the layouts and write failures.csv.

        Args:
            failures: (layout file, message) of each layout that no picture could be made of.
        """
        self._rewrite_manifest()
        text = StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(["layout", "message"])
        table.writerows(failures)
        write_atomically(self.path / "failures.csv", text.getvalue())

    def _rewrite_manifest(self) -> None:
        places = {layout["name"]: place for place, layout in enumerate(self._plan["layouts"])}
        self.rows = {
            key: self.rows[key]
            for key in sorted(self.rows, key=lambda key: (places.get(key[0], -1), key[1]))
            if key[0] in places
        }
        lines = "".join(json.dumps(row) + "\n" for row in self.rows.values())
        write_atomically(self.path / "manifest.jsonl", lines)


def _read_plan(path: Path) -> dict[str, Any] | None:
    try:
        plan = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (UnicodeDecodeError, json.JSONDecodeError):
        return None
    if not isinstance(plan, dict) or plan.get("format") != RUN_FORMAT:
        return None
    return plan


def _read_rows(path: Path) -> dict[tuple[str, int], Row]:
    rows: dict[tuple[str, int], Row] = {}
    manifest = path / "manifest.jsonl"
    if not manifest.is_file():
        return rows
    for line in manifest.read_text(encoding="utf-8").splitlines(keepends=True):
        # A run killed while it wrote leaves half a line, of a picture that is then made again.
        if not line.endswith("\n"):
            continue
        row = json.loads(line)
        if (path / row["folder"] / "recipe.json").is_file():
            rows[row["layout"], row["variant"]] = row
    return rows


def _refuse_other_plan(path: Path, earlier: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    then, now = _settings(earlier), _settings(plan)
    for key in sorted(then.keys() | now.keys()):
        if then.get(key) != now.get(key):
            raise ValueError(
                f"{path}: the earlier run had {key} {then.get(key)!r}, this one has "
                f"{now.get(key)!r}; give the same arguments to --resume, or --force to replace it"
            )
    paths = {layout["name"]: layout["path"] for layout in plan["layouts"]}
    for layout in earlier["layouts"]:
        found = paths.get(layout["name"], "no more asked for")
        if found != layout["path"]:
            raise ValueError(
                f"{path}: in the earlier run {layout['name']!r} was {layout['path']}, now it is "
                f"{found}; give at least the same layouts to --resume, or --force to replace it"
            )


def _settings(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything but the layouts, with names a reader of a message understands."""
    settings: dict[str, Any] = {}
    for key, value in plan.items():
        if key in ("layouts", "format", "version"):
            continue
        if isinstance(value, Mapping):
            prefix = "" if key == "choices" else f"{key} "
            settings.update({f"{prefix}{name}": each for name, each in value.items()})
        else:
            settings[key] = value
    return settings


def _clear(path: Path, plan: Mapping[str, Any]) -> None:
    # run.json goes last, by being replaced: until then the folder is still known as ours.
    for name in (*RUN_FILES, PAGE_FOLDER, *(layout["name"] for layout in plan["layouts"])):
        place = path / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _as_text(plan: Mapping[str, Any]) -> str:
    return json.dumps({"format": RUN_FORMAT, "version": RUN_VERSION, **plan}, indent=1) + "\n"
