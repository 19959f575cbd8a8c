"""The command replay: make a picture again from its recipe, and prove that it is the same."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_replay_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "replay",
        help="compose a picture again from its recipe and compare every byte",
        description="Compose a picture again from its recipe.json and compare the sha256 of every "
        "file with the recipe's, and those of the files that lie beside the recipe. Leaves with 0 "
        "if all are identical, 1 if one differs, and 2 if "
        "the bank, the layout or the program is not the one the recipe was made with.",
    )
    parser.add_argument(
        "recipes", type=Path, nargs="+", metavar="RECIPE",
        help="recipe.json of a picture, or a folder: that of a picture, or of a whole run",
    )  # fmt: skip
    parser.add_argument(
        "--bank", type=Path, help="folder of the bank, if it is not where it was then"
    )
    parser.add_argument("--layout", type=Path, help="the label map, if it is not where it was then")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the new files in this folder")
    parser.set_defaults(run=run_replay)


def run_replay(args: argparse.Namespace) -> Outcome:
    """Make the pictures again and say what is the same.

    Raises:
        RecipeError: If a recipe was made with another bank, layout or program.
        ValueError: If --out holds something, or a folder no recipe.
    """
    recipes = find_recipes(args.recipes)
    if len(recipes) > 1 and (args.layout is not None or args.out is not None):
        raise ValueError(
            f"--layout and --out are for one recipe, but there are {len(recipes)}; name one"
        )
    outcomes = [
        replay_in_words(recipe, bank=args.bank, layout=args.layout, out=args.out)
        for recipe in recipes
    ]
    text = "\n".join(outcome.text for outcome in outcomes)
    status = max(outcome.status for outcome in outcomes)
    if len(outcomes) > 1:
        same = sum(outcome.status == 0 for outcome in outcomes)
        text += f"\n{same} of {len(outcomes)} recipes identical"
    return Outcome(text, status)


def find_recipes(paths: Sequence[Path]) -> list[Path]:
    """Return the recipes that files and folders stand for, those of a folder by name.

    Raises:
        ValueError: If a folder holds no recipe.
    """
    recipes: dict[Path, None] = {}
    for path in paths:
        found = sorted(path.rglob("recipe.json")) if path.is_dir() else [path]
        if not found:
            raise ValueError(
                f"{path}: no recipe.json in this folder, expected that of a picture or of a run of "
                "compose, e.g. DIR/NAME/00"
            )
        recipes.update(dict.fromkeys(found))
    return list(recipes)


def replay_in_words(
    recipe: Path, *, bank: Path | None, layout: Path | None, out: Path | None
) -> Outcome:
    """Make one picture again and say what is the same.

    Raises:
        RecipeError: If the recipe was made with another bank, layout or program.
        ValueError: If out holds something.
    """
    from scenequilt.tools.output.replay import replay

    replayed = replay(recipe, bank=bank, layout=layout, out=out)
    kept = "" if out is None else f"\nthe new files are in {out.resolve()}"
    if not replayed.different and not replayed.changed:
        beside = (
            "no file of the picture lies beside the recipe"
            if replayed.alone
            else "the files beside the recipe are these"
        )
        return Outcome(
            f"identical: {recipe} gives the same bytes again ({len(replayed.same)} files: "
            f"{', '.join(replayed.same)}); {beside}" + kept
        )
    lines = []
    if replayed.different:
        count = len(replayed.different)
        lines.append(f"{recipe}: {count} file{' differs' if count == 1 else 's differ'}")
        lines += [
            f"  {found.name}: sha256 {found.found[:16]}..., the recipe says {found.expected[:16]}..."
            for found in replayed.different
        ]
        lines += [
            f"  {name} is {here or 'not installed'} here, it was {then or 'not installed'}"
            for name, then, here in replayed.other_libraries
        ]
    else:
        lines.append(f"{recipe} gives the same bytes again, but beside it")
    for found in replayed.changed:
        state = f"was changed: sha256 {found.found[:16]}..." if found.found else "is missing"
        lines.append(
            f"  {recipe.parent / found.name} {state}, the recipe says "
            f"{found.expected[:16]}...; restore it with --out"
        )
    return Outcome("\n".join(lines) + kept, status=1)
