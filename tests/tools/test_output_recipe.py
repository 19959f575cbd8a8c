"""Recipes: written, read back, refused."""

import dataclasses
import json
from pathlib import Path

import pytest

from scenequilt.memory_bank.errors import RecipeError
from scenequilt.tools.output.recipe import (
    ComposeChoices,
    FileStamp,
    FinishName,
    Recipe,
    check_program,
    check_stamp,
    read_recipe,
    sha256_of,
)

RECIPE = Recipe(
    program="0.0.7",
    libraries={"numpy": "2.0"},
    bank=FileStamp("bank", "f" * 64),
    taxonomy="three",
    layout=FileStamp("labels/a.png", "a" * 64),
    instances=None,
    depth=FileStamp("depth/a.png", "d" * 64),
    classes=None,
    style=None,
    weights={"finish": FileStamp("weights/synthesis.safetensors", "b" * 64)},
    choices=ComposeChoices(
        seed=4, variants=2, size_hw=(64, 128), finish="sims", where=("split=train",), k=5
    ),
    variant=1,
    settings={"compose": {"k": 5}},
    segments=("1152921504606846977", "12"),
    outputs={"image.png": "0" * 64},
)


def _write(path: Path, **changes: object) -> Path:
    table = {**json.loads(RECIPE.as_text()), **changes}
    path.write_text(json.dumps(table))
    return path


def test_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(RECIPE.as_text())

    assert read_recipe(path) == RECIPE


def test_an_absent_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"recipe.json: no such file; give the recipe.json that"):
        read_recipe(tmp_path / "recipe.json")


def test_another_json_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text('{"format": "scenequilt bank"}')

    with pytest.raises(RecipeError, match="format is 'scenequilt bank', expected 'scenequilt reci"):
        read_recipe(path)


def test_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_bytes(b"\x89PNG")

    with pytest.raises(RecipeError, match=r"not JSON .*expected a recipe.json"):
        read_recipe(path)


def test_a_recipe_of_another_version_says_which_program_reads_it(tmp_path: Path) -> None:
    path = _write(tmp_path / "recipe.json", version=9)

    with pytest.raises(RecipeError, match=r"version 9.*replay it with scenequilt 0\.0\.7"):
        read_recipe(path)


@pytest.mark.parametrize("finish", ["none", "closed", "sims"])
def test_what_is_kept_is_a_choice_of_one_finish_alone(finish: FinishName) -> None:
    assert ComposeChoices(finish="resail", kept="free").learned == ("finish",)
    with pytest.raises(ValueError, match=f"kept 'free' needs finish 'resail', got '{finish}'"):
        ComposeChoices(finish=finish, kept="free")


def test_choices_from_before_there_was_anything_to_keep_are_read(tmp_path: Path) -> None:
    table = json.loads(RECIPE.as_text())
    del table["choices"]["kept"]
    path = _write(tmp_path / "recipe.json", choices=table["choices"])

    assert read_recipe(path) == RECIPE


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    table = json.loads(RECIPE.as_text())
    del table["bank"]
    path.write_text(json.dumps(table))

    with pytest.raises(RecipeError, match="no key 'bank'"):
        read_recipe(path)


def test_an_unknown_choice_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "recipe.json", choices={"colour": "red"})

    with pytest.raises(RecipeError, match="colour"):
        read_recipe(path)


def test_a_recipe_of_another_program_names_both(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"made with scenequilt 0\.0\.7, this is \d.*install"):
        check_program(RECIPE, tmp_path / "recipe.json")


def test_a_changed_file_is_refused_with_both_hashes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"new")

    with pytest.raises(
        RecipeError, match=r"layout .*a.png has changed: sha256 is .*aaaaaaaa.*--lay"
    ):
        check_stamp(
            RECIPE.layout, path, "layout", tmp_path / "recipe.json", "give it with --layout"
        )


def test_an_absent_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"its layout .*a.png is missing; give it with --layout"):
        check_stamp(RECIPE.layout, tmp_path / "a.png", "layout", tmp_path, "give it with --layout")


def test_an_unchanged_file_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"same")
    stamp = dataclasses.replace(RECIPE.layout, sha256=sha256_of(path))

    check_stamp(stamp, path, "layout", tmp_path, "")
