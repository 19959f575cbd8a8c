"""The command generate: pictures of layouts by a generator without a bank."""

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands import arguments
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.commands.scene_edits import add_edit_arguments, edits_of
from scenequilt.tools.training.registry import GENERATOR_TITLES

if TYPE_CHECKING:
    from scenequilt.memory_bank.taxonomy import Taxonomy
    from scenequilt.tools.evaluation.compose_run import ComposeRun
    from scenequilt.tools.generated_set import GeneratedSetReport
    from scenequilt.tools.layout_files import LayoutFile
    from scenequilt.tools.layout_parents import Parents

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_generate_command(commands: "Commands") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "generate",
        help="make pictures of layouts by a generator without a bank",
        description="Make pictures of layouts by one of the generators that the retrieval is "
        "compared with: "
        + ", ".join(f"{name} is {title}" for name, title in GENERATOR_TITLES.items())
        + ". Writes images/, labels/, instances/ and classes.json (a dataset, but for --samples), "
        "layouts.jsonl with a line a layout and generated.json. Things without an instance map are "
        "numbered by connected components. Leaves with 1 if a layout was left out, which is named.",
    )
    parser.add_argument("generator", choices=sorted(GENERATOR_TITLES), metavar="NAME")
    arguments.add_layout_arguments(parser, nargs="*", more="; none with --canvas, which has them")
    parser.add_argument(
        "--weights", type=Path, required=True, metavar="FILE",
        help="weights that scenequilt train NAME wrote",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--samples", type=arguments.positive, default=1, metavar="N",
        help="pictures of each layout, with the seeds from --seed on: images/NAME/00.png, ... as "
        "evaluate reads variants (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=arguments.seed, default=0, metavar="N",
        help="same seed, same pictures (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--style", type=Path, metavar="PATH",
        help="photograph whose look is wanted, or a folder of them named as the layouts: spade with "
        "an encoder takes its style, pix2pixhd with an encoder that of each object of its own layout",
    )  # fmt: skip
    parser.add_argument(
        "--photographs", type=Path, metavar="PATH",
        help="pi_rec: photographs, named as the layouts, of which it draws lines and colours to paint "
        "from; it has then seen the answer",
    )  # fmt: skip
    parser.add_argument(
        "--lines", type=Path, metavar="PATH",
        help="pi_rec: white lines on black that a person drew, with --colors",
    )  # fmt: skip
    parser.add_argument(
        "--colors", type=Path, metavar="PATH", help="pi_rec: the flat colours of that drawing"
    )
    parser.add_argument(
        "--canvas", type=Path, metavar="RUN",
        help="pi_rec: finish the canvases of a run of compose --finish none, the first variant of "
        "each layout, showing what the canvas delivers",
    )  # fmt: skip
    parser.add_argument(
        "--precision", choices=["fp32", "bf16"], default="fp32",
        help="of what is computed (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--device", default="cpu", metavar="D", help="cpu, cuda, cuda:1, ... (default: %(default)s)"
    )
    add_edit_arguments(parser)
    parser.add_argument("--force", action="store_true", help="replace generated pictures in --out")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.set_defaults(run=run_generate)


def run_generate(args: argparse.Namespace) -> Outcome:
    """Make the pictures and write the folder.

    Returns:
        Status 1 if a layout was left out; the text names it.
    """
    from scenequilt.tools.evaluation.allocator import keep_freed_buffers
    from scenequilt.tools.evaluation.file_hash import file_sha256
    from scenequilt.tools.generated_set import GENERATED_SET, write_generated_set
    from scenequilt.tools.generator_painter import Given, PictureFinder, load_painter
    from scenequilt.tools.layout_files import read_in_classes
    from scenequilt.tools.progress import progress_bar
    from scenequilt.tools.settings import as_json
    from scenequilt.tools.training.trainer import check_device

    edits = edits_of(args)
    GENERATED_SET.refuse_other(args.out, force=args.force)
    check_device(args.device)
    asked = _asked_layouts(args)
    given: dict[Given, Path | None] = {
        "style": args.style,
        "photograph": args.photographs,
        "lines": args.lines,
        "colors": args.colors,
    }
    keep_freed_buffers()
    painter = load_painter(
        args.generator,
        args.weights,
        pictures={name: PictureFinder(path) for name, path in given.items() if path is not None},
        run=asked.run,
        bf16=args.precision == "bf16",
        device=args.device,
    )
    if painter.draws is not None and args.samples > painter.draws:
        raise ValueError(
            f"--samples is {args.samples}, but seeds give this {args.generator} "
            f"{painter.draws or 'no'} picture of a layout; give --samples {painter.draws}"
        )
    seeds = [args.seed + number for number in range(args.samples)]
    about = {
        "generator": args.generator,
        "weights": {"path": str(args.weights), "sha256": file_sha256(args.weights)},
        "layouts": [str(path) for path in args.layouts],
        "split": args.split,
        "size_hw": args.size,
        "seeds": seeds,
        "given": {name: str(path) for name, path in given.items() if path is not None},
        "canvas": None if args.canvas is None else str(args.canvas),
        "edits": as_json(edits),
        "precision": args.precision,
    }
    with progress_bar("painting", "layouts") as progress:
        report = write_generated_set(
            asked.files,
            lambda path: edits.applied(
                read_in_classes(
                    path,
                    painter.taxonomy,
                    asked.classes,
                    args.size,
                    args.repair,
                    instance_path=asked.instances.get(path),
                )
            ),
            painter,
            painter.taxonomy,
            args.out,
            seeds=seeds,
            parents_of=asked.parents_of,
            about=about,
            force=args.force,
            progress=progress,
        )
    status = 1 if report.failures else 0
    if args.json:
        return Outcome(json.dumps(_as_json(args, report), indent=1), status)
    return Outcome(_in_words(args, report), status)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is painted.

    Attributes:
        files: The layouts.
        classes: What their values mean, if that is known.
        parents_of: Finds the photographs that a layout is of.
        run: The run whose canvases they are, None for none.
        instances: Instance maps by label map, where they do not lie as they do in datasets.
    """

    files: "Sequence[LayoutFile]"
    classes: "Taxonomy | None"
    parents_of: "Callable[[Path], Parents]"
    run: "ComposeRun | None" = None
    instances: "Mapping[Path, Path]" = field(default_factory=dict)


def _asked_layouts(args: argparse.Namespace) -> _Asked:
    from scenequilt.tools.evaluation.compose_run import open_compose_run
    from scenequilt.tools.layout_files import LayoutFile, classes_of_layouts, find_layout_files
    from scenequilt.tools.layout_parents import Parents, parent_finder

    if args.canvas is None:
        if not args.layouts:
            raise ValueError("no layout was given; name label maps, folders of them, or --canvas")
        files = find_layout_files(args.layouts, split=args.split, outside=args.out)
        return _Asked(
            files[: args.limit],
            classes_of_layouts(args.layouts, args.classes),
            parent_finder(args.layouts),
        )
    others = [args.size, args.split, args.classes, *args.remove, *args.relabel, *args.add]
    if args.layouts or any(each is not None for each in (*others, *args.restyle)):
        raise ValueError(
            "--canvas brings layouts of its own, which its pixels show; leave out LAYOUT, --size, "
            "--split, --classes and edits"
        )
    run = open_compose_run(args.canvas)
    run.refuse_damage()
    if run.finish != "none":
        raise ValueError(
            f"{args.canvas} is a run finished by {run.finish!r}, expected canvases; compose them with "
            "--finish none"
        )
    pictures = {each[0].folder / "label.png": each[0] for each in run.pictures.values()}
    return _Asked(
        [LayoutFile(path.parent.parent.name, path) for path in pictures][: args.limit],
        run.taxonomy,
        lambda path: Parents(frozenset(pictures[path].sources), frozenset()),
        run,
        {path: path.with_name("instances.png") for path in pictures},
    )


def _as_json(args: argparse.Namespace, report: "GeneratedSetReport") -> dict[str, object]:
    return {
        "out": str(args.out.resolve()),
        "generator": args.generator,
        "layouts": [{**row.as_json(), "seconds": list(row.seconds)} for row in report.rows],
        "failures": [message for _, message in report.failures],
    }


def _in_words(args: argparse.Namespace, report: "GeneratedSetReport") -> str:
    pictures = sum(len(row.images) for row in report.rows)
    title = GENERATOR_TITLES[args.generator]
    lines = [f"{pictures} pictures of {len(report.rows)} layouts by {title}"]
    if report.rows:
        seconds = [each for row in report.rows for each in row.seconds]
        lines.append(f"  {1000 * statistics.median(seconds):.0f} ms a picture (median)")
    if report.failures:
        lines.append(f"{len(report.failures)} layouts left out:")
        lines += [f"  {message}" for _, message in report.failures]
    lines.append(f"pictures       {args.out.resolve() / 'images'}")
    return "\n".join(lines)
