"""The command study: a blind comparison of pictures by people, and what came of it."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from scenequilt.tools.commands.arguments import seed, size_hw
from scenequilt.tools.commands.outcome import Outcome

if TYPE_CHECKING:
    from scenequilt.tools.people.pictures import System
    from scenequilt.tools.people.study import Study

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def add_study_command(commands: "Commands") -> None:
    """Add the parsers of the command and its verbs."""
    parser = commands.add_parser(
        "study",
        help="let people compare pictures blindly",
        description="Make a page on which people choose the more realistic of two pictures, "
        "without a trace of which system made which, and turn their answers into rates.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_make(verbs)
    _add_score(verbs)


def _add_make(verbs: "Commands") -> None:
    parser = verbs.add_parser(
        "make",
        help="make the page, and the key to it",
        description="Write one HTML file that shows pairs of pictures of the same layouts, works "
        "without a network, and saves the answers to a file; and beside it FILE.key.json, which "
        "tells what is what and is not for those who take part. A folder is a run of compose, or "
        "holds pictures, itself or in folders below, named alike for all systems; of variants "
        "LAYOUT/00.png, LAYOUT/01.png, ... the first is shown. NAME=DIR gives a system another name than its "
        "folder's. Among the pairs lie sentinels: pairs with an obvious answer, a good picture "
        "beside a spoilt one, which find careless people.",
    )
    parser.add_argument(
        "--a", type=_named, required=True, metavar="[NAME=]DIR", help="pictures of a system"
    )
    parser.add_argument(
        "--b", type=_named, metavar="[NAME=]DIR",
        help="pictures of another; not needed with --real, against which --a is compared then",
    )  # fmt: skip
    parser.add_argument(
        "--c", type=_named, nargs="+", action="extend", default=[], metavar="[NAME=]DIR",
        help="pictures of further systems",
    )  # fmt: skip
    parser.add_argument(
        "--real", type=Path, metavar="DIR",
        help="photographs of the layouts, or a dataset (images/ below): a further system, and the "
        "good side of every sentinel",
    )  # fmt: skip
    parser.add_argument(
        "--bad", type=Path, metavar="DIR",
        help="pictures for the bad side of sentinels (default: the good side, spoilt beyond doubt)",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="the page")
    parser.add_argument(
        "--pairs", type=int, metavar="N",
        help="how many pairs beside the sentinels (default: 100, or a little more so that every "
        "two systems are shown equally often at each time)",
    )  # fmt: skip
    parser.add_argument(
        "--sentinels", type=int, metavar="N",
        help="pairs with an obvious answer, which find careless people; with fewer than 5, more "
        "than 1 in 20 who choose at random pass (default: 10)",
    )  # fmt: skip
    times = parser.add_mutually_exclusive_group()
    times.add_argument(
        "--timed", action="store_true",
        help="show pairs for 125, 250, 500, 1000, 2000, 4000 and 8000 ms, then a mask (default: "
        "unlimited time)",
    )  # fmt: skip
    times.add_argument(
        "--times", type=_times, metavar="MS,...", help="the same with these times, in ms"
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N",
        help="same seed and pictures, same bytes (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=size_hw, metavar="HxW",
        help="height and width in pixels at which all pictures are shown (default: the smallest of "
        "theirs, at most 560 wide)",
    )  # fmt: skip
    parser.add_argument("--title", metavar="T", help="head of the page; must not unblind")
    parser.add_argument(
        "--partial", action="store_true", help="go on with the layouts that all folders have"
    )
    parser.add_argument("--force", action="store_true", help="replace a page and its key")
    parser.set_defaults(run=run_make)


def _add_score(verbs: "Commands") -> None:
    parser = verbs.add_parser(
        "score",
        help="turn answers into preference rates",
        description="Rates at which each system was preferred to each other, by exposure time, "
        "with exact 95 % binomial intervals (Clopper-Pearson) and the exact two-sided test "
        "against one half. People who fail sentinels, the pairs with an obvious answer, are left "
        "out and named; the status is then 1.",
    )
    parser.add_argument(
        "answers", type=Path, nargs="+", metavar="ANSWERS.json", help="one file a person"
    )
    parser.add_argument(
        "--key", type=Path, required=True, metavar="KEY.json", help="written beside the page"
    )
    parser.add_argument(
        "--max-sentinel-errors", type=float, metavar="SHARE",
        help="leave people out who get more than this share of the sentinels wrong (default: 0.1, "
        "1 of 10)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--out", type=Path, metavar="FILE",
        help="write that JSON object to a file, a new one or an earlier score",
    )  # fmt: skip
    parser.set_defaults(run=run_score)


def run_make(args: argparse.Namespace) -> Outcome:
    """Make a study.

    Returns:
        Status 1 if layouts were left out.

    Raises:
        ValueError: If folders do not go together, or files are there already.
        DatasetError: If a picture cannot be read.
    """
    from scenequilt.tools.people.page import refuse_page, write_study
    from scenequilt.tools.people.pictures import find_photographs, find_system
    from scenequilt.tools.people.study import (
        EXPOSURES_MS,
        PHOTOGRAPH,
        QUESTION,
        SENTINELS,
        SPOILT,
        StudyRequest,
        make_study,
    )

    given = [args.a, *([] if args.b is None else [args.b]), *args.c]
    if len(given) == 1 and args.real is None:
        raise ValueError(
            f"--a {args.a[1]} is the only system, expected another to compare it with; add --b DIR "
            "for its pictures, or --real DIR for photographs"
        )
    systems = [find_system(name, folder) for name, folder in given]
    if args.real is not None:
        layouts = {layout for system in systems for layout in system.files}
        systems.append(find_photographs(PHOTOGRAPH, args.real, layouts))
    refuse_page(args.out, systems, force=args.force)
    request = StudyRequest(
        systems=tuple(systems),
        bad=None if args.bad is None else find_system(SPOILT, args.bad),
        pairs=args.pairs,
        sentinels=SENTINELS if args.sentinels is None else args.sentinels,
        times_ms=EXPOSURES_MS if args.timed else args.times or (),
        seed=args.seed,
        size_hw=args.size,
        title=QUESTION if args.title is None else args.title,
        partial=args.partial,
    )
    study = make_study(request)
    try:
        page, key = write_study(args.out, study, systems, force=args.force)
    except OSError as reason:
        raise _unwritable(args.out, reason) from reason
    return Outcome(study_in_words(study, systems, page, key), 1 if study.left_out else 0)


def study_in_words(study: "Study", systems: "list[System]", page: Path, key: Path) -> str:
    """Return what a study is of, for a person."""
    from scenequilt.tools.people.answers import luck_in_words
    from scenequilt.tools.people.study import LARGE_PAGE_BYTES

    counted = [trial for trial in study.plan.trials if trial.kind == "pair"]
    times = sorted({trial.asked_ms for trial in counted if trial.asked_ms is not None})
    different = {(trial.layout, frozenset((trial.left, trial.right))) for trial in counted}
    height, width = study.size_hw
    size = page.stat().st_size
    lines = [
        f"study {study.study_id}: {len(counted)} pairs and "
        f"{len(study.plan.trials) - len(counted)} sentinels, "
        + (f"shown for {', '.join(map(str, times))} ms" if times else "unlimited time"),
        f"  systems   {', '.join(system.name for system in systems)}",
        f"  layouts   {_layouts_in_words(study)}",
        f"  pictures  {len(study.jpegs)} at {height}x{width} (height x width)",
        f"  page      {page.resolve()} ({size / 1e6:.1f} MB), for those who take part",
        f"  key       {key.resolve()}, not for them",
    ]
    if len(different) < len(counted):
        lines.append(
            f"only {len(different)} of the pairs are different ones; more layouts would be better"
        )
    for (one, other), count in study.same.items():
        lines.append(
            f"warning: {one} and {other} have the same picture, byte by byte, of {count} of the "
            f"{study.layouts} layouts; between those one can only guess"
        )
    if luck := luck_in_words(len(study.plan.trials) - len(counted)):
        lines.append(f"warning: {luck[0].lower()}{luck[1:]} Better take 10: --sentinels 10.")
    for system in systems:
        if system.left_aside:
            lines.append(
                f"{system.name}: of several variants of a layout the first is shown; "
                f"{system.left_aside} further left aside"
            )
    if study.left_out:
        lines.append(
            f"left out, as not all folders have them: {len(study.left_out)} of the layouts, "
            + ", ".join(study.left_out[:5])
            + (", ..." if len(study.left_out) > 5 else "")
        )
    if size > LARGE_PAGE_BYTES:
        lines.append(
            f"the page is large ({size / 1e6:.0f} MB) and will load slowly, above all on phones; "
            "make pictures smaller with --size, or take fewer --pairs"
        )
    return "\n".join(lines)


def _layouts_in_words(study: "Study") -> str:
    counted = [trial for trial in study.plan.trials if trial.kind == "pair"]
    shown = len({trial.layout for trial in counted})
    if shown == study.layouts:
        return str(shown)
    return (
        f"{shown} of {study.layouts}: each of the {len(counted)} pairs shows one, drawn by chance; "
        "more --pairs show more of them"
    )


def run_score(args: argparse.Namespace) -> Outcome:
    """Score answers.

    Returns:
        Status 1 if somebody's answers were left out; the text names them.

    Raises:
        ValueError: If a file is no key or no answers to its study, or --out is a file that is no
            score or cannot be written.
    """
    from scenequilt.tools.output.atomic import write_atomically
    from scenequilt.tools.people.answers import (
        MAX_SENTINEL_ERRORS,
        read_answers,
        read_key,
        refuse_score_file,
        score_answers,
        score_in_words,
    )

    if args.out is not None:
        try:
            refuse_score_file(args.out, [args.key, *args.answers])
        except OSError as reason:
            raise _unwritable(args.out, reason) from reason
    key = read_key(args.key)
    score = score_answers(
        [read_answers(path, key) for path in args.answers],
        key,
        max_sentinel_errors=(
            MAX_SENTINEL_ERRORS if args.max_sentinel_errors is None else args.max_sentinel_errors
        ),
    )
    found = json.dumps(score.as_json(), indent=1)
    if args.out is not None:
        try:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(args.out, found + "\n")
        except OSError as reason:
            raise _unwritable(args.out, reason) from reason
    return Outcome(found if args.json else score_in_words(score), 1 if score.dropped else 0)


def _unwritable(path: Path, reason: OSError) -> ValueError:
    return ValueError(
        f"--out {path}: cannot be written ({reason.strerror}); name a file in a folder that you may "
        "write to"
    )


def _named(text: str) -> tuple[str, Path]:
    """Return name and folder of NAME=DIR, or of DIR, which is called after its last part."""
    name, equals, folder = text.partition("=")
    if not equals or Path(text).is_dir():
        return Path(text).resolve().name, Path(text)
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=DIR; give both, or DIR alone")
    return name, Path(folder)


def _times(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a list of times in ms; give e.g. 250,500,1000"
        )
    return tuple(int(part) for part in parts)
