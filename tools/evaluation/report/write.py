"""The folder of an evaluation: metrics.json, report.md, report.html, each there whole or not."""

import json
import math
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.report.gallery import Gallery
from scenequilt.tools.evaluation.report.markdown import report_md
from scenequilt.tools.evaluation.report.page import report_html
from scenequilt.tools.evaluation.results import Evaluation
from scenequilt.tools.output.atomic import write_atomically

REPORT_FILES = ("metrics.json", "report.md", "report.html")


def write_report(
    out: Path,
    evaluation: Evaluation,
    gallery: Gallery,
    taxonomy: Taxonomy,
    *,
    force: bool = False,
) -> None:
    """Write what an evaluation leaves behind. Same evaluation, same bytes.

    Args:
        out: Folder to write; made if it is not there.
        evaluation: What was found, one row at least.
        gallery: Pictures to look at.
        taxonomy: The classes, for their order and colours.
        force: Replace an earlier report in the folder.

    Raises:
        ValueError: If the folder is refused (see refuse_other_folder), there is no row, or a
            figure is not finite.
    """
    refuse_other_folder(out, force=force)
    if not evaluation.rows:
        raise ValueError("evaluation.rows is empty; a report is of at least one row")
    contents = (
        metrics_json(evaluation),
        report_md(evaluation, gallery, taxonomy),
        report_html(evaluation, gallery, taxonomy),
    )
    out.mkdir(parents=True, exist_ok=True)
    for leftover in _leftovers(out):
        leftover.unlink()
    # metrics.json, which marks the folder as ours, is replaced and never away; the reports go
    # first, so that none of an earlier evaluation stands beside the figures of a later one.
    for name in REPORT_FILES[1:]:
        (out / name).unlink(missing_ok=True)
    for name, content in zip(REPORT_FILES, contents, strict=True):
        write_atomically(out / name, content)


def refuse_other_folder(out: Path, *, force: bool) -> None:
    """Refuse to write where somebody else's files or an earlier report are; call it early.

    Raises:
        ValueError: If out is a file or cannot be looked into, or holds files and no metrics.json
            of an evaluation, or an earlier evaluation and force is not given.
    """
    try:
        _refuse_contents(out, force=force)
    except OSError as error:
        raise _not_writable(out, error) from error


def try_folder(out: Path) -> None:
    """Write in a folder that is to hold a report later, and leave everything as it was.

    Raises:
        ValueError: If nothing can be written there.
    """
    made: list[Path] = []
    try:
        for folder in reversed([out, *out.parents]):
            if not folder.exists():
                folder.mkdir()
                made.append(folder)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise _not_writable(out, error) from error
    finally:
        for folder in reversed(made):
            folder.rmdir()


def _not_writable(out: Path, error: OSError) -> ValueError:
    return ValueError(
        f"{out}: cannot be written ({error.strerror}), expected a folder that can; choose another "
        "--out"
    )


def _refuse_contents(out: Path, *, force: bool) -> None:
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out}: is a file, expected a folder to write; choose another --out")
    if not out.is_dir():
        return
    if _is_ours(out):
        if not force:
            raise ValueError(f"{out}: holds an earlier evaluation; --force replaces it")
    elif set(out.iterdir()) - set(_leftovers(out)):
        raise ValueError(
            f"{out}: not empty and no folder of an earlier evaluation (it has no metrics.json of "
            "one), so nothing is written there; choose another --out"
        )


def metrics_json(evaluation: Evaluation) -> str:
    """Return metrics.json: every figure as it is, lists of numbers on one line.

    Raises:
        ValueError: If a figure is not finite; the message names it.
    """
    contents = evaluation.as_json()
    for where, value in _numbers(contents):
        if not math.isfinite(value):
            raise ValueError(
                f"metrics.json: {where} is {value}, expected a finite number, or None for what "
                "was not measured"
            )
    text = json.dumps(contents, indent=1, ensure_ascii=False, allow_nan=False)
    # A line break after "[" stands in no string of JSON, so that only lists are joined.
    joined = re.sub(
        r"\[\n[-\s\d.,e+]*\]",
        lambda found: "[" + " ".join(found[0][1:-1].split()) + "]",
        text,
        flags=re.IGNORECASE,
    )
    return joined + "\n"


def _numbers(value: object, where: str = "") -> Iterator[tuple[str, float]]:
    """Yield every number of a JSON value with where it stands, e.g. "rows[0].seams.label"."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _numbers(each, f"{where}.{key}" if where else str(key))
    elif isinstance(value, (list, tuple)):
        for place, each in enumerate(value):
            yield from _numbers(each, f"{where}[{place}]")
    elif isinstance(value, float):
        yield where, value


def _is_ours(out: Path) -> bool:
    try:
        contents = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return False
    return isinstance(contents, dict) and contents.get("format") == "scenequilt evaluation"


def _leftovers(out: Path) -> list[Path]:
    """Return what a killed run left of our files, under their temporary names."""
    return [path for name in REPORT_FILES for path in out.glob(f".{name}.*.partial")]
