"""Files of layouts, decoded once before anything is measured, so that a damaged one shows first."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from scenequilt.memory_bank.errors import DatasetError, LabelError
from scenequilt.tools.evaluation.pairing import LayoutItem, Pairing, Picture, Problem
from scenequilt.tools.evaluation.remedies import without_reader_options
from scenequilt.tools.evaluation.sizes import PICTURE_MODES, check_decodes

_SHOWN = 3


def readable_only(pairing: Pairing, *, partial: bool) -> Pairing:
    """Decode every file of every layout, on all processors.

    Args:
        pairing: Layouts with their files.
        partial: Leave layouts with a damaged file out, and name them under problems.

    Raises:
        DatasetError: If a file cannot be decoded and partial is not given; the message names it.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(_problem_of, pairing.items))
    problems = [problem for problem in found if problem is not None]
    if not problems:
        return pairing
    items = [item for item, problem in zip(pairing.items, found, strict=True) if problem is None]
    if not partial:
        raise DatasetError(_in_words(problems, len(items)))
    return Pairing(
        items,
        sorted([*pairing.problems, *problems], key=lambda each: each.name),
        pairing.unasked,
    )


def _problem_of(item: LayoutItem) -> Problem | None:
    """Return what is wrong with the first damaged file of a layout, None if all can be decoded."""
    try:
        check_decodes(item.label_path, "label map")
    except DatasetError as error:
        return Problem(item.name, "label map", str(error))
    for picture in item.pictures:
        try:
            check_decodes(picture.image_path, "picture", modes=PICTURE_MODES)
            _read_maps(picture)
        except (DatasetError, LabelError) as error:
            return Problem(item.name, "picture", without_reader_options(str(error)))
    if item.photograph_path is None:
        return None
    try:
        check_decodes(item.photograph_path, "photograph", modes=PICTURE_MODES)
    except DatasetError as error:
        return Problem(item.name, "photograph", str(error))
    return None


def _read_maps(picture: Picture) -> None:
    picture.delivered()
    picture.ownership()
    picture.state()


def _in_words(problems: Sequence[Problem], complete: int) -> str:
    shown = "; ".join(problem.reason for problem in problems[:_SHOWN])
    if len(problems) > 1:
        more = ", the first" if len(problems) > _SHOWN else ""
        shown = f"{len(problems)} layouts have a file that cannot be used{more}: {shown}"
    remedy = f", or go on with the {complete} others by --partial" if complete > 1 else ""
    return shown + remedy
