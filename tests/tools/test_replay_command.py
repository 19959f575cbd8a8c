"""The command replay: identical, different, refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from scenequilt.memory_bank.errors import RecipeError
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.output.png import decode_numbers
from scenequilt.tools.output.recipe import HASHED

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def finished(
    run_command: Run,
    toytown_dataset: Path,
    toytown_bank: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder that is ours to change: labels/, instances/, depth/, and a run in out/."""
    folder = tmp_path_factory.mktemp("replay")
    name = min(path.name for path in (toytown_dataset / "labels" / "val").iterdir())
    for kind in ("labels", "instances", "depth"):
        (folder / kind).mkdir()
        shutil.copy(toytown_dataset / kind / "val" / name, folder / kind / name)
    run_command(
        "compose", folder / "labels", "--bank", toytown_bank, "--out", folder / "out",
        "--variants", 2, "--seed", 5,
    )  # fmt: skip
    return folder


@pytest.fixture
def recipe(finished: Path, tmp_path: Path) -> Path:
    """A copy of the recipe of the second variant."""
    path = tmp_path / "recipe.json"
    shutil.copy(next((finished / "out").glob("*/01/recipe.json")), path)
    return path


def _change(recipe: Path, change: Callable[[dict[str, Any]], None]) -> None:
    table = json.loads(recipe.read_text())
    change(table)
    recipe.write_text(json.dumps(table))


def test_a_replay_is_identical(run_command: Run, recipe: Path) -> None:
    outcome = run_command("replay", recipe)

    assert outcome.status == 0
    assert outcome.text.startswith(f"identical: {recipe}")
    assert all(name in outcome.text for name in HASHED)


def test_the_new_files_can_be_kept(run_command: Run, recipe: Path, tmp_path: Path) -> None:
    run_command("replay", recipe, "--out", tmp_path / "again")

    assert {path.name for path in (tmp_path / "again").iterdir()} == {*HASHED, "recipe.json"}


def test_a_run_is_replayed_whole(run_command: Run, finished: Path) -> None:
    outcome = run_command("replay", finished / "out")

    assert outcome.status == 0
    assert outcome.text.endswith("2 of 2 recipes identical")


def test_a_folder_without_a_recipe_is_refused(run_command: Run, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no recipe.json in this folder, expected that of"):
        run_command("replay", tmp_path)


@pytest.fixture(scope="module")
def painted(
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    toytown_weights: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder that is ours to change: weights/, and a run in out/ that was finished by them."""
    folder = tmp_path_factory.mktemp("painted")
    shutil.copytree(toytown_weights, folder / "weights")
    run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", folder / "out",
        "--variants", 2, "--weights", folder / "weights",
    )  # fmt: skip
    return folder


def test_a_run_with_weights_is_replayed_to_the_same_bytes(run_command: Run, painted: Path) -> None:
    outcome = run_command("replay", painted / "out")

    assert outcome.status == 0
    assert outcome.text.endswith("2 of 2 recipes identical")


@pytest.mark.parametrize("gone", [False, True])
def test_weights_that_changed_or_are_gone_are_refused(
    run_command: Run, painted: Path, tmp_path: Path, gone: bool
) -> None:
    file = tmp_path / "synthesis.safetensors"
    shutil.copy(painted / "weights" / file.name, file)
    recipe = tmp_path / "recipe.json"
    shutil.copy(next((painted / "out").glob("*/00/recipe.json")), recipe)
    _change(recipe, lambda table: table["weights"]["finish"].update(path=str(file)))
    assert run_command("replay", recipe).status == 0

    if gone:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes() + b" ")

    what = "is missing" if gone else "has changed: sha256 is"
    with pytest.raises(
        RecipeError, match=rf"weights of the stage 'finish' .*{what}.*put the file of then back"
    ):
        run_command("replay", recipe)


def test_what_differs_is_named_with_both_hashes(run_command: Run, recipe: Path) -> None:
    def claim_other_bytes(table: dict[str, Any]) -> None:
        table["outputs"]["image.png"] = "0" * 64
        table["libraries"]["numpy"] = "1.9"

    _change(recipe, claim_other_bytes)

    outcome = run_command("replay", recipe)

    assert outcome.status == 1
    assert "1 file differs" in outcome.text
    assert "image.png: sha256 " in outcome.text
    assert "the recipe says 0000000000000000..." in outcome.text
    assert "it was 1.9" in outcome.text
    assert "label.png" not in outcome.text


def test_files_beside_the_recipe_are_compared_too(
    run_command: Run, finished: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture"
    shutil.copytree(next((finished / "out").glob("*/01")), picture)
    whole = run_command("replay", picture / "recipe.json")
    with (picture / "attribution.csv").open("a") as file:
        file.write("another\n")
    (picture / "state.png").unlink()

    touched = run_command("replay", picture / "recipe.json")

    assert whole.status == 0
    assert whole.text.endswith("the files beside the recipe are these")
    assert touched.status == 1
    assert "attribution.csv was changed: sha256 " in touched.text
    assert "state.png is missing, the recipe says " in touched.text
    assert "image.png" not in touched.text


def test_a_list_of_segments_that_was_changed_is_noticed(run_command: Run, recipe: Path) -> None:
    _change(recipe, lambda table: table["segments"].reverse())

    outcome = run_command("replay", recipe)

    assert outcome.status == 1
    assert "segments: sha256 " in outcome.text


@pytest.mark.parametrize(("name", "value"), [("seed", "x"), ("seed", -1), ("variants", 0)])
def test_a_choice_that_is_no_number_is_named(
    run_command: Run, recipe: Path, name: str, value: object
) -> None:
    _change(recipe, lambda table: table["choices"].update({name: value}))

    with pytest.raises(RecipeError, match=rf"recipe.json: {name} is {value!r}, expected a whole"):
        run_command("replay", recipe)


def test_another_bank_is_refused_with_both_fingerprints(run_command: Run, recipe: Path) -> None:
    _change(recipe, lambda table: table["bank"].update(fingerprint="e" * 64))

    with pytest.raises(RecipeError, match=r"has fingerprint .*made with eeeeeeeeeeeeeeee.*--bank"):
        run_command("replay", recipe)


def test_an_absent_bank_is_refused_with_the_remedy(run_command: Run, recipe: Path) -> None:
    _change(recipe, lambda table: table["bank"].update(path="/nowhere/bank"))

    with pytest.raises(RecipeError, match=r"bank /nowhere/bank is missing; say where.*--bank"):
        run_command("replay", recipe)


def test_a_bank_that_moved_can_be_named(run_command: Run, recipe: Path, toytown_bank: Path) -> None:
    _change(recipe, lambda table: table["bank"].update(path="/nowhere/bank"))

    assert run_command("replay", recipe, "--bank", toytown_bank).status == 0


def test_a_layout_that_moved_can_be_named(
    run_command: Run, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "moved", ignore=shutil.ignore_patterns("out"))
    _change(recipe, lambda table: table["layout"].update(path="/nowhere/a.png"))
    layout = next((tmp_path / "moved" / "labels").iterdir())

    with pytest.raises(RecipeError, match=r"layout /nowhere/a.png is missing; .*--layout"):
        run_command("replay", recipe)
    assert run_command("replay", recipe, "--layout", layout).status == 0


def test_a_changed_layout_is_refused(
    run_command: Run, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "moved", ignore=shutil.ignore_patterns("out"))
    layout = next((tmp_path / "moved" / "labels").iterdir())
    labels = decode_numbers(layout)
    labels[:5] = labels[0, 0]
    labels[0, 1] = labels[-1, -1]
    cv2.imwrite(str(layout), labels.astype(np.uint8))

    with pytest.raises(
        RecipeError, match=r"its layout .* has changed: sha256 is .*the recipe says"
    ):
        run_command("replay", recipe, "--layout", layout)


def test_an_instance_map_that_is_gone_is_named(
    run_command: Run, recipe: Path, finished: Path, tmp_path: Path
) -> None:
    layout = tmp_path / "moved.png"
    shutil.copy(next((finished / "labels").iterdir()), layout)

    with pytest.raises(RecipeError, match=r"its instance map .* is missing beside the layout"):
        run_command("replay", recipe, "--layout", layout)


def test_another_program_is_refused(run_command: Run, recipe: Path) -> None:
    _change(recipe, lambda table: table.update(program="9.9"))

    with pytest.raises(RecipeError, match=r"made with scenequilt 9\.9, this is"):
        run_command("replay", recipe)


def test_an_out_folder_that_is_not_empty_is_refused(run_command: Run, recipe: Path) -> None:
    with pytest.raises(ValueError, match="not an empty folder; choose another --out"):
        run_command("replay", recipe, "--out", recipe.parent)
