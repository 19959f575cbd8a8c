import argparse
import sys
from pathlib import Path
from subprocess import run

import pytest

from scenequilt.tools.commands.toytown import add_toytown_command


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_toytown_command(parser.add_subparsers())
    return parser.parse_args(["toytown", *words])


def test_the_command_writes_a_dataset_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "town"
    args = parse("--out", str(out), "--count", "9", "--seed", "3", "--size", "32x64")

    outcome = args.run(args)

    assert outcome.status == 0
    assert outcome.text.startswith(f"{out}: 9 pictures of 32x64 from 2 towns, 8 train and 1 val")
    assert len(list(out.rglob("*.jpg"))) == 9


def test_the_size_defaults_to_256x512() -> None:
    assert parse("--out", "x").size == (256, 512)


@pytest.mark.parametrize("size", ["big", "0x0", "0x64"])
def test_a_size_that_is_none_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--out", "x", "--size", size)

    assert (
        f"'{size}' is not a size; give height x width in pixels, e.g. 256x512"
        in capsys.readouterr().err
    )


def test_help_loads_no_heavy_library() -> None:
    program = (
        "import sys; import scenequilt.tools.commands.toytown; "
        "print([name for name in ('cv2', 'numpy', 'rich') if name in sys.modules])"
    )

    done = run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
