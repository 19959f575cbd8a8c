"""The command line as a whole: statuses, and output that nobody reads."""

import subprocess
import sys
from pathlib import Path

import pytest

from scenequilt.tools.cli import main

COMMAND = Path(sys.executable).with_name("scenequilt")


def test_a_refusal_goes_to_standard_error_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["inspect", str(tmp_path / "nowhere")])

    printed = capsys.readouterr()
    assert (status, printed.out) == (2, "")
    assert printed.err.startswith(f"scenequilt: {tmp_path / 'nowhere'} does not exist")


def test_output_that_is_closed_early_is_no_error(tmp_path: Path) -> None:
    script = f"{COMMAND} toytown --out {tmp_path / 'town'} --count 2 --size 32x64 | true; "

    done = subprocess.run(
        ["bash", "-c", script + 'echo "${PIPESTATUS[0]}"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert (done.stderr, done.stdout) == ("", "0\n")
