"""The page of a study: one HTML file that shows the pairs, takes the answers and saves them."""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path

from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.page_template import fill_template, json_in_html
from scenequilt.tools.people.pictures import System
from scenequilt.tools.people.study import QUESTION, Study, tells

HERE = Path(__file__).parent


def key_path(page: Path) -> Path:
    """Return where the key of a page lies: FILE.key.json beside FILE.html."""
    return page.with_suffix(".key.json")


def write_study(
    page: Path, study: Study, systems: Sequence[System], *, force: bool = False
) -> tuple[Path, Path]:
    """Write the page, and beside it the key.

    Args:
        page: File that ends in .html.
        study: What the page shows.
        systems: Whose pictures they are, for the key.
        force: Replace a page and a key that are there.

    Returns:
        Paths of page and key.

    Raises:
        ValueError: If the page is refused (see refuse_page).
    """
    refuse_page(page, systems, force=force)
    key = key_path(page)
    page.parent.mkdir(parents=True, exist_ok=True)
    # The key first: a page without its key would gather answers that nobody can read.
    write_atomically(key, json.dumps(study.key(systems), indent=1) + "\n")
    write_atomically(page, page_html(study))
    return page, key


def refuse_page(page: Path, systems: Sequence[System], *, force: bool) -> None:
    """Refuse to write where answers may be under way, or under a name that unblinds; call it early.

    Raises:
        ValueError: If the name does not end in .html or holds that of a system, or page or key is
            there already and force is False.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{page}: expected a file that ends in .html; give --out FILE.html")
    for system in systems:
        if tells(page.stem, system.name):
            raise ValueError(
                f"{page}: the name of the page holds {system.name!r}, the name of a system, and "
                "those who take part see it; give another --out"
            )
    for path in (page, key_path(page)):
        if path.exists() and not force:
            raise ValueError(
                f"{path} is there already, and answers to it may be under way; give another --out, "
                "or replace page and key with --force"
            )


def page_html(study: Study) -> str:
    """Return the page. It holds anonymous ids and pictures, and loads nothing."""
    height, width = study.size_hw
    pictures = {
        **{picture_id: _base64(jpeg) for picture_id, jpeg in sorted(study.jpegs.items())},
        "mask": _base64(study.mask),
    }
    about = {
        "study": study.study_id,
        "plan_sha256": study.plan_sha256,
        "timed": any(trial.asked_ms is not None for trial in study.plan.trials),
        **study.page_plan(),
    }
    return fill_template(
        (HERE / "page.html").read_text(encoding="utf-8"),
        {
            "title": html.escape(study.title),
            "question": html.escape(QUESTION),
            "width": str(width),
            "height": str(height),
            "style": (HERE / "page.css").read_text(encoding="utf-8"),
            "script": (HERE / "page.js").read_text(encoding="utf-8"),
            "study": json_in_html(about),
            "pictures": json_in_html(pictures),
        },
    )


def _base64(blob: bytes) -> str:
    return base64.b64encode(blob).decode("ascii")
