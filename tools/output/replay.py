"""Making a picture again from its recipe, and comparing it byte by byte."""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scenequilt.memory_bank.errors import RecipeError
from scenequilt.tools.layout_files import LayoutFile
from scenequilt.tools.output.recipe import (
    FileStamp,
    Recipe,
    check_program,
    check_stamp,
    library_versions,
    read_recipe,
    sha256_of,
)
from scenequilt.tools.output.run import ComposeSession, LayoutStamps, RunRequest


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not what it was.

    Attributes:
        name: The file.
        expected: Its sha256 in the recipe.
        found: Its sha256 now.
    """

    name: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay.

    Attributes:
        same: Files that come out byte for byte as the recipe says.
        different: Files that do not, and the list of segments if it does not.
        changed: Files beside the recipe that are not those it tells of; what was found is "" for
            one that is missing.
        alone: True if no file of the picture lies beside the recipe.
        other_libraries: (name, version then, version here) of each library whose version changed;
            "" where it is not installed.
    """

    same: tuple[str, ...]
    different: tuple[Difference, ...]
    changed: tuple[Difference, ...]
    alone: bool
    other_libraries: tuple[tuple[str, str, str], ...]


def replay(
    recipe_path: Path,
    *,
    bank: Path | None = None,
    layout: Path | None = None,
    out: Path | None = None,
) -> Replayed:
    """Compose the picture of a recipe again and compare its files with the recipe's hashes.

    The files that lie beside the recipe are compared with its hashes as well.

    Args:
        recipe_path: The recipe.json.
        bank: The bank's folder; where the recipe says, if None.
        layout: The label map; where the recipe says, if None.
        out: Folder to keep the new files in; none are kept if None.

    Raises:
        RecipeError: If bank, layout, a file beside it, or the program is not the recipe's.
        BankError: If the bank cannot be opened.
        ValueError: If out is not empty.
    """
    recipe = read_recipe(recipe_path)
    check_program(recipe, recipe_path)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: not an empty folder; choose another --out")
    layout_path = layout or Path(recipe.layout.path)
    stamps = _checked_inputs(recipe, recipe_path, layout_path)
    bank_path = bank or Path(recipe.bank.path)
    if not bank_path.is_dir():
        raise RecipeError(
            f"{recipe_path}: its bank {bank_path} is missing; say where it is with --bank"
        )
    request = RunRequest(
        (LayoutFile("replay", layout_path),),
        bank_path,
        recipe.choices,
        classes=None if recipe.classes is None else Path(recipe.classes.path),
        style=None if recipe.style is None else Path(recipe.style.path),
        weights={stage: Path(stamp.path) for stage, stamp in recipe.weights.items()},
    )
    with ExitStack() as stack:
        session = stack.enter_context(ComposeSession(request))
        if session.bank.fingerprint != recipe.bank.sha256:
            raise RecipeError(
                f"{recipe_path}: bank {bank_path} has fingerprint {session.bank.fingerprint[:16]}"
                f"..., the recipe was made with {recipe.bank.sha256[:16]}...; give the bank as it "
                "was then with --bank"
            )
        if out is None:
            out = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        out.mkdir(parents=True, exist_ok=True)
        compositions = session.compose(
            session.read(layout_path), stamps, variants=recipe.variant + 1
        )
        again = session.write(out, compositions[recipe.variant], stamps)
    different = _differences(recipe.outputs, again.outputs)
    others = {found.name for found in different}
    if again.segments != recipe.segments:
        listed = Difference("segments", _digest(recipe.segments), _digest(again.segments))
        different = (*different, listed)
    beside = {
        name: sha256_of(recipe_path.parent / name)
        for name in recipe.outputs
        if (recipe_path.parent / name).is_file()
    }
    return Replayed(
        tuple(name for name in recipe.outputs if name not in others),
        different,
        _differences(recipe.outputs, beside) if beside else (),
        not beside,
        _other_libraries(recipe),
    )


def _differences(expected: Mapping[str, str], found: Mapping[str, str]) -> tuple[Difference, ...]:
    return tuple(
        Difference(name, value, found.get(name, ""))
        for name, value in expected.items()
        if found.get(name) != value
    )


def _digest(segments: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(segments).encode()).hexdigest()


def _checked_inputs(recipe: Recipe, where: Path, layout_path: Path) -> LayoutStamps:
    check_stamp(
        recipe.layout, layout_path, "layout", where, "give the file as it was then with --layout"
    )
    stamps = LayoutStamps.of(layout_path)
    for what, expected, found in (
        ("instance map", recipe.instances, stamps.instances),
        ("depth map", recipe.depth, stamps.depth),
    ):
        _refuse_other_companion(what, expected, found, where)
    files = [("classes file", recipe.classes), ("style photograph", recipe.style)]
    files += [(f"weights of the stage {stage!r}", each) for stage, each in recipe.weights.items()]
    for what, stamp in files:
        if stamp is not None:
            check_stamp(stamp, Path(stamp.path), what, where, "put the file of then back")
    return stamps


def _refuse_other_companion(
    what: str, expected: FileStamp | None, found: FileStamp | None, where: Path
) -> None:
    if expected is None and found is not None:
        raise RecipeError(
            f"{where}: the layout had no {what} then, now there is {found.path}; give a copy of "
            "the label map without it with --layout"
        )
    if expected is not None and found is None:
        raise RecipeError(
            f"{where}: its {what} {expected.path} is missing beside the layout; put it back"
        )
    if expected is not None and found is not None:
        check_stamp(expected, Path(found.path), what, where, "put the file of then back")


def _other_libraries(recipe: Recipe) -> tuple[tuple[str, str, str], ...]:
    here = library_versions()
    return tuple(
        (name, recipe.libraries.get(name, ""), here.get(name, ""))
        for name in sorted(recipe.libraries.keys() | here.keys())
        if recipe.libraries.get(name) != here.get(name)
    )
