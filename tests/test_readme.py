"""The commands of the README do what it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """Code blocks of a language, in the README's order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_links_point_at_files() -> None:
    links = re.findall(r"\]\((?!http)([^)]+)\)", README)

    assert [link for link in links if not (ROOT / link).exists()] == []


def test_commands_run_as_written(tmp_path: Path) -> None:
    """In one shell, in their order, as a newcomer types them; DATA is the town they make first."""
    script = "\n".join(["set -eux", *blocks("sh")])
    script = script.replace("source .venv/bin/activate\n", "")
    script = script.replace("scenequilt inspect $DATA", "DATA=town\nscenequilt inspect $DATA", 1)

    (tmp_path / "docs").symlink_to(ROOT / "docs")

    done = run_shell(script, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "pictures" / "index.html").is_file()
    assert len(list((tmp_path / "painted").glob("*/02/image.png"))) >= 3
    assert len(list((tmp_path / "pictures").glob("*/02/image.png"))) >= 3


def test_python_example_runs_as_written(tmp_path: Path) -> None:
    town = "scenequilt toytown --out town --count 16 --size 64x128\n"
    bank = "scenequilt bank build town --split train --out town.bank\n"
    (tmp_path / "example.py").write_text(blocks("python")[0])

    done = run_shell(f"set -e\n{town}{bank}{sys.executable} example.py", tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.parametrize(("name", "pictures"), [("nyuv2", 12), ("cocostuff_sample", 9)])
def test_own_photographs_section_holds_for_real_datasets(
    name: str, pictures: int, tmp_path: Path, real_data: Path
) -> None:
    own = [block for block in blocks("sh") if "$DATA" in block]
    # Without -e: compose leaves with 1 where a small bank has no segment of a class. One of the
    # four layouts of COCO-Stuff is all oven, and no other photograph has one.
    script = f"set -ux\nDATA={real_data.resolve() / name}\n" + "\n".join(own)

    done = run_shell(script, tmp_path)

    assert "every file can be read" in done.stdout, done.stdout + done.stderr
    assert f"{pictures} of {pictures} recipes identical" in done.stdout, done.stdout + done.stderr
    assert len(list((tmp_path / "mine").glob("*/*/image.png"))) == pictures


def run_shell(script: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script with the installed command on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        # Tests run side by side: more threads than processors wait for each other.
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
