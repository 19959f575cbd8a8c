"""What it takes to make a picture again, and the check that it still can be made."""

import dataclasses
import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from scenequilt.memory_bank.datasets.interface import Repair
from scenequilt.memory_bank.errors import RecipeError
from scenequilt.memory_bank.search import Search
from scenequilt.synthesis.blending import Blend
from scenequilt.tools.learned_stages import FINISHES, StageName

RECIPE_FORMAT = "scenequilt recipe"
RECIPE_VERSION = 2

LIBRARIES = (
    "numpy",
    "opencv-python-headless",
    "scikit-image",
    "scipy",
    "numba",
    "h5py",
    "pillow",
    "faiss-cpu",
    "faiss-gpu",
    "torch",
)
"""Libraries whose version can change a picture."""

FinishName = Literal["none", "closed", "sims", "resail"]
"""Where a picture is left: "none" at the canvas, "closed" after the finish without weights, "sims"
after the synthesis network, "resail" after the retrieval-guided generator."""

KeptName = Literal["exact", "harmonise", "free"]
"""What "resail" does with pixels that need no change."""

HASHED = (
    "image.png",
    "label.png",
    "requested.png",
    "instances.png",
    "ownership.png",
    "state.png",
    "provenance.json",
    "attribution.csv",
)
"""Files of a picture that a replay must give again, byte for byte."""


@dataclass(frozen=True, slots=True)
class FileStamp:
    """A file and what was in it.

    Attributes:
        path: Where it was.
        sha256: Of its content, in hex.
    """

    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class ComposeChoices:
    """What a user chose for a run of compose; the same choices give the same pictures.

    Attributes:
        seed: What random choices are drawn with.
        variants: Pictures of each layout.
        size_hw: (height, width) to bring layouts to, or None for their own.
        finish: "none" stops at the canvas, "closed" finishes without weights, "sims" and "resail" by
            a network.
        kept: What "resail" does with pixels that need no change: "exact" leaves them, "harmonise"
            moves their colours slowly from place to place, "free" paints them too.
        align: How segments are bent, "closed" or "learned".
        order: How they are put in order, "closed" or "learned".
        blend: "hard", "feathered" or "multiband"; None for the finish's own.
        color_transfer: Move colours towards the light of the picture.
        elision: Let the network repaint what lies along seams.
        context: What the surroundings count in retrieval, beside 1 for the outline.
        where: Filters on the bank, e.g. "split=train".
        search: "auto", "exact" or "faiss".
        k: Candidates a query, or None for the default.
        repair: What to do with values in label files that are no ids.
        exclude_own: Leave the photographs out that a layout is the label map of, or was derived from.

    Raises:
        ValueError: If seed or variants is no whole number, or too small.
    """

    seed: int = 0
    variants: int = 1
    size_hw: tuple[int, int] | None = None
    finish: FinishName = "closed"
    kept: KeptName = "exact"
    align: StageName = "closed"
    order: StageName = "closed"
    blend: Blend | None = None
    color_transfer: bool = True
    elision: bool = True
    context: float = 1.0
    where: tuple[str, ...] = ()
    search: Search = "auto"
    k: int | None = None
    repair: Repair = "none"
    exclude_own: bool = False

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("variants", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(
                    f"{name} is {value!r}, expected a whole number of at least {least}"
                )
        if not 0 <= self.context < float("inf"):
            raise ValueError(f"context is {self.context}, expected at least 0")
        if self.blend is not None and self.finish == "none":
            raise ValueError(
                f"blend {self.blend!r} needs finish 'closed' or that of a network: 'none' stops at "
                "the canvas"
            )
        if self.kept != "exact" and self.finish != "resail":
            raise ValueError(
                f"kept {self.kept!r} needs finish 'resail', got {self.finish!r}; leave it out, or "
                "add --finish resail"
            )

    @property
    def learned(self) -> tuple[str, ...]:
        """The stages that need weights, of "align", "order" and "finish"."""
        asked = {
            "align": self.align == "learned",
            "order": self.order == "learned",
            "finish": self.finish in FINISHES,
        }
        return tuple(stage for stage, is_learned in asked.items() if is_learned)

    def as_json(self) -> dict[str, Any]:
        """Return the choices as JSON holds them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one picture was made.

    Attributes:
        program: Version of scenequilt.
        libraries: Version of each library that can change a picture, and of Python.
        bank: The bank's folder, and its fingerprint.
        taxonomy: Name of the bank's classes.
        layout: The label map.
        instances: The instance map beside it, or None.
        depth: The depth map beside it, or None.
        classes: File with the meaning of the label map's values, or None.
        style: Photograph whose light and colour were preferred, or None.
        weights: The file of each learned stage, by "align", "order" and "finish".
        choices: What the user chose.
        variant: Which of the variants it is, from 0.
        settings: Everything compose was given, defaults included, for reading only.
        segments: Segment ids of the placed segments, by number, as decimal strings.
        outputs: sha256 of each file of the picture.
    """

    program: str
    libraries: dict[str, str]
    bank: FileStamp
    taxonomy: str
    layout: FileStamp
    instances: FileStamp | None
    depth: FileStamp | None
    classes: FileStamp | None
    style: FileStamp | None
    weights: dict[str, FileStamp]
    choices: ComposeChoices
    variant: int
    settings: dict[str, Any]
    segments: tuple[str, ...]
    outputs: dict[str, str]

    def as_text(self) -> str:
        """Return the contents of recipe.json."""
        table = dataclasses.asdict(self)
        table["bank"] = {"path": self.bank.path, "fingerprint": self.bank.sha256}
        table["choices"] = self.choices.as_json()
        table["segments"] = list(self.segments)
        return (
            json.dumps({"format": RECIPE_FORMAT, "version": RECIPE_VERSION, **table}, indent=1)
            + "\n"
        )


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.json.

    Raises:
        RecipeError: If the file is absent, no recipe, or of another version.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(
            f"{path}: no such file; give the recipe.json that lies in a picture's folder"
        ) from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RecipeError(f"{path}: not JSON ({error}); expected a recipe.json") from error
    found = table.get("format") if isinstance(table, dict) else None
    if found != RECIPE_FORMAT:
        raise RecipeError(f"{path}: format is {found!r}, expected {RECIPE_FORMAT!r}")
    if table["version"] != RECIPE_VERSION:
        raise RecipeError(
            f"{path}: recipe of version {table['version']!r}, this program reads version "
            f"{RECIPE_VERSION}; replay it with scenequilt {table.get('program', 'of its time')}"
        )
    try:
        return _recipe_from_json(table)
    except KeyError as error:
        raise RecipeError(
            f"{path}: no key {error.args[0]!r}; the recipe is not complete"
        ) from error
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {error}; the recipe was changed by hand?") from error


def check_program(recipe: Recipe, where: Path) -> None:
    """Refuse a recipe of another version of the program.

    Raises:
        RecipeError: Naming both versions.
    """
    here = version("scenequilt")
    if recipe.program != here:
        raise RecipeError(
            f"{where}: made with scenequilt {recipe.program}, this is {here}; "
            f"install scenequilt=={recipe.program} to replay it"
        )


def check_stamp(stamp: FileStamp, path: Path, what: str, where: Path, remedy: str) -> None:
    """Refuse a file that is not the one a recipe was made with.

    Args:
        stamp: What the recipe says.
        path: The file as it is found now.
        what: What the file is, e.g. "layout".
        where: The recipe, for messages.
        remedy: What the user can do about it.

    Raises:
        RecipeError: If it is absent or its content is another; the message names both hashes.
    """
    if not path.is_file():
        raise RecipeError(f"{where}: its {what} {path} is missing; {remedy}")
    found = sha256_of(path)
    if found != stamp.sha256:
        raise RecipeError(
            f"{where}: its {what} {path} has changed: sha256 is {found[:16]}..., the recipe says "
            f"{stamp.sha256[:16]}...; {remedy}"
        )


def stamp_of(path: Path | None) -> FileStamp | None:
    """Return where a file is and the hash of what is in it; None of None."""
    return None if path is None else FileStamp(str(path.resolve()), sha256_of(path))


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file in hex."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed libraries that can change a picture."""
    versions = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def _recipe_from_json(table: Mapping[str, Any]) -> Recipe:
    choices = dict(table["choices"])
    if choices.get("size_hw") is not None:
        choices["size_hw"] = tuple(choices["size_hw"])
    choices["where"] = tuple(choices.get("where", ()))
    return Recipe(
        program=table["program"],
        libraries=dict(table["libraries"]),
        bank=FileStamp(table["bank"]["path"], table["bank"]["fingerprint"]),
        taxonomy=table["taxonomy"],
        layout=FileStamp(table["layout"]["path"], table["layout"]["sha256"]),
        instances=_stamp(table["instances"]),
        depth=_stamp(table["depth"]),
        classes=_stamp(table["classes"]),
        style=_stamp(table["style"]),
        weights={
            stage: FileStamp(stamp["path"], stamp["sha256"])
            for stage, stamp in table["weights"].items()
        },
        choices=ComposeChoices(**choices),
        variant=int(table["variant"]),
        settings=dict(table["settings"]),
        segments=tuple(table["segments"]),
        outputs=dict(table["outputs"]),
    )


def _stamp(table: Mapping[str, str] | None) -> FileStamp | None:
    return None if table is None else FileStamp(table["path"], table["sha256"])
