"""The command replay: make a picture again from its recipe, and prove that it is the same."""

import argparse
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
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="recipe.json of a picture")
    parser.add_argument(
        "--bank", type=Path, help="folder of the bank, if it is not where it was then"
    )
    parser.add_argument("--layout", type=Path, help="the label map, if it is not where it was then")
    parser.add_argument("--out", type=Path, metavar="DIR", help="keep the new files in this folder")
    parser.set_defaults(run=run_replay)


def run_replay(args: argparse.Namespace) -> Outcome:
    """Make the picture again and say what is the same.

    Raises:
        RecipeError: If the recipe was made with another bank, layout or program.
        ValueError: If --out holds something.
    """
    from scenequilt.tools.output.replay import replay

    replayed = replay(args.recipe, bank=args.bank, layout=args.layout, out=args.out)
    kept = "" if args.out is None else f"\nthe new files are in {args.out.resolve()}"
    if not replayed.different and not replayed.changed:
        beside = (
            "no file of the picture lies beside the recipe"
            if replayed.alone
            else "the files beside the recipe are these"
        )
        return Outcome(
            f"identical: {args.recipe} gives the same bytes again ({len(replayed.same)} files: "
            f"{', '.join(replayed.same)}); {beside}" + kept
        )
    lines = []
    if replayed.different:
        count = len(replayed.different)
        lines.append(f"{args.recipe}: {count} file{' differs' if count == 1 else 's differ'}")
        lines += [
            f"  {found.name}: sha256 {found.found[:16]}..., the recipe says {found.expected[:16]}..."
            for found in replayed.different
        ]
        lines += [
            f"  {name} is {here or 'not installed'} here, it was {then or 'not installed'}"
            for name, then, here in replayed.other_libraries
        ]
    else:
        lines.append(f"{args.recipe} gives the same bytes again, but beside it")
    for found in replayed.changed:
        state = f"was changed: sha256 {found.found[:16]}..." if found.found else "is missing"
        lines.append(
            f"  {args.recipe.parent / found.name} {state}, the recipe says "
            f"{found.expected[:16]}...; restore it with --out"
        )
    return Outcome("\n".join(lines) + kept, status=1)
