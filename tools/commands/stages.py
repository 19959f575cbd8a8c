"""Arguments that say which stages of composing are closed and which are learned."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenequilt.tools.learned_stages import StageWeights


@dataclass(frozen=True, slots=True)
class StageChoice:
    """What a command line says about the stages.

    Attributes:
        choices: Fields of ComposeChoices.
        weights: File of each stage that the folder of weights has one for.
    """

    choices: dict[str, Any]
    weights: Mapping[str, Path]


def add_stage_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments to a command that composes."""
    parser.add_argument(
        "--weights", type=Path, metavar="DIR",
        help="folder with any of aligner.safetensors, orderer.safetensors, synthesis.safetensors, "
        "resail.safetensors; stages that it has weights for run learned, unless told otherwise",
    )  # fmt: skip
    parser.add_argument(
        "--align", choices=["closed", "learned"],
        help="how segments are bent (default: learned where there are weights)",
    )  # fmt: skip
    parser.add_argument(
        "--order", choices=["closed", "learned"],
        help="how it is said who is in front (default: learned where there are weights)",
    )  # fmt: skip
    parser.add_argument(
        "--finish", choices=["none", "closed", "sims", "resail"],
        help="none stops at the canvas; closed moves colours, blends, fills; sims lets the "
        "synthesis network paint, resail the retrieval-guided generator (default: the first of "
        "sims, resail that there are weights for, else closed)",
    )  # fmt: skip
    parser.add_argument(
        "--kept", choices=["exact", "harmonise", "free"], default="exact",
        help="what resail does with pixels that need no change: exact leaves them bit for bit, "
        "harmonise moves their colours slowly from place to place, free paints them too "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--blend", choices=["hard", "feathered", "multiband"],
        help="how segments meet (default: the finish's own)",
    )  # fmt: skip
    parser.add_argument(
        "--color-transfer", action=argparse.BooleanOptionalAction, default=True,
        help="move colours towards the light of the picture",
    )  # fmt: skip
    parser.add_argument(
        "--elision", action=argparse.BooleanOptionalAction, default=True,
        help="let the synthesis network repaint what lies along seams",
    )  # fmt: skip
    parser.add_argument(
        "--context", type=float, default=1.0, metavar="W",
        help="what the surroundings count in retrieval, beside 1 for the outline "
        "(default: %(default)s)",
    )  # fmt: skip


def stages_of(args: argparse.Namespace) -> StageChoice:
    """Return what the arguments say; a stage that was not named is learned if there are weights.

    Raises:
        CheckpointError: If there is no such folder, or a stage that was named has no weights in it.
    """
    from scenequilt.tools.learned_stages import FILES, FINISHES, StageWeights

    weights = None if args.weights is None else StageWeights(args.weights)
    finish = args.finish or (weights and weights.finish) or "closed"
    choices = {
        "align": args.align or ("learned" if _has(weights, "align") else "closed"),
        "order": args.order or ("learned" if _has(weights, "order") else "closed"),
        "finish": finish,
        "kept": args.kept,
        "blend": args.blend,
        "color_transfer": args.color_transfer,
        "elision": args.elision,
        "context": args.context,
    }
    learned = {
        "align": args.align == "learned",
        "order": args.order == "learned",
        "finish": finish in FINISHES,
    }
    files = {}
    if weights is not None:
        painter = finish if finish in FINISHES else "sims"
        files = {
            stage: weights.path(stage, painter)
            for stage in FILES
            if weights.has(stage, painter) or learned[stage]
        }
    return StageChoice(choices, files)


def _has(weights: "StageWeights | None", stage: str) -> bool:
    return weights is not None and weights.has(stage)
