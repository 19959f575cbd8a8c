"""The command demo: what it refuses and replaces, and (slow) all of it."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from scenequilt.tools.commands.demo import FOLDERS, MARK, make_room
from scenequilt.tools.commands.outcome import Outcome


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bank").mkdir()

    with pytest.raises(ValueError, match=r"not empty and no earlier demo .*choose another --out"):
        make_room(tmp_path, seed=0)
    assert (tmp_path / "bank").is_dir()


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").touch()

    with pytest.raises(ValueError, match="is a file, expected a folder"):
        make_room(tmp_path / "demo", seed=0)


def test_an_earlier_demo_makes_room_and_strangers_stay(tmp_path: Path) -> None:
    make_room(tmp_path / "demo", seed=0)
    for name in (*FOLDERS, "mine"):
        (tmp_path / "demo" / name).mkdir()

    make_room(tmp_path / "demo", seed=1)

    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == [MARK, "mine"]


@pytest.mark.slow
def test_eight_layouts_in_three_variants_under_a_minute(
    run_command: Callable[..., Outcome], tmp_path: Path
) -> None:
    started = time.perf_counter()

    outcome = run_command("demo", "--out", tmp_path / "demo")

    assert time.perf_counter() - started < 60
    assert outcome.status == 0
    rows = (tmp_path / "demo" / "pictures" / "manifest.jsonl").read_text().splitlines()
    assert len(rows) == 24
    assert len({json.loads(row)["layout"] for row in rows}) == 8
    assert str(tmp_path / "demo" / "pictures" / "index.html") in outcome.text
