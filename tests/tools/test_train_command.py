"""scenequilt train, called as the command line calls it."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.tools import progress
from scenequilt.tools.cli import build_parser, main
from scenequilt.tools.commands import train as command
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.evaluation import allocator
from scenequilt.tools.evaluation.segmenter import load_segmenter


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks are faster without a second thread to wait for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def usual_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of other commands measure memory in this process."""
    monkeypatch.setattr(allocator, "keep_freed_buffers", lambda: False)


@contextmanager
def interrupting_bar(doing: str, unit: str) -> Iterator[progress.Progress]:
    """A progress bar at which somebody presses Ctrl-C after the first step."""

    def update(done: int, total: int) -> None:
        if doing == "training" and done == 1:
            signal.raise_signal(signal.SIGINT)

    yield update


def words(dataset: Path, out: Path, *more: object) -> list[str]:
    fixed = ["--steps", 3, "--batch", 1, "--crop", "32x32", "--split", "train"]
    return ["train", "segmenter", *map(str, (dataset, "--out", out, *fixed, *more))]


def train(dataset: Path, out: Path, *more: object) -> Outcome:
    args = build_parser().parse_args(words(dataset, out, *more))
    outcome: Outcome = args.run(args)
    return outcome


def test_it_says_what_it_will_do_then_what_came_of_it(
    toytown_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "town.safetensors"

    outcome = train(toytown_dataset, out, "--validate-split", "val")

    plan = capsys.readouterr().err
    assert "photographs  21, most of them 64x128" in plan
    assert "3 of 1 pieces of 32x32" in plan
    assert "validation   3 photographs" in plan
    assert "s a step, and" in plan
    assert outcome.status == 0
    assert outcome.text.startswith(f"{out}: cgnet of ")
    assert "on 3 photographs it has not seen" in outcome.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["town.log.jsonl", out.name]
    load_segmenter(out, open_dataset(toytown_dataset).taxonomy)


def test_as_json_it_carries_plan_and_validation(toytown_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "town.safetensors"

    found = json.loads(train(toytown_dataset, out, "--validate-split", "val", "--json").text)

    assert found["plan"]["photographs"] == 21
    assert found["plan"]["settings"]["total_steps"] == 3
    assert 0 <= found["validation"]["mean_iou"]["value"] <= 1
    assert found["bytes"] == out.stat().st_size
    assert len(found["sha256"]) == 64


def test_a_dry_run_writes_nothing(toytown_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "town.safetensors"

    outcome = train(toytown_dataset, out, "--dry-run")
    table = json.loads(train(toytown_dataset, out, "--dry-run", "--json").text)

    assert outcome.text.endswith("nothing was written")
    assert "validation   no photographs" in outcome.text
    assert table["steps_left"] == 3
    assert list(tmp_path.iterdir()) == []


def test_what_is_stopped_says_how_to_go_on_and_does(
    toytown_dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, unbroken = tmp_path / "town.safetensors", tmp_path / "unbroken.safetensors"
    train(toytown_dataset, unbroken)
    with monkeypatch.context() as patched:
        patched.setattr(progress, "progress_bar", interrupting_bar)
        status = main(words(toytown_dataset, out))

    assert status == 130
    assert "stopped after step 2 of 3; go on with the same command and --resume" in (
        capsys.readouterr().err
    )
    assert main(words(toytown_dataset, out, "--resume")) == 0
    assert "3 of 1 pieces of 32x32, 1 of them left" in capsys.readouterr().err
    assert out.read_bytes() == unbroken.read_bytes()


def test_what_cannot_be_done_is_refused_in_words(toytown_dataset: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.safetensors"
    taken.touch()
    free = tmp_path / "free.safetensors"

    with pytest.raises(ValueError, match=r"taken\.safetensors exists; .* --force"):
        train(toytown_dataset, taken)
    with pytest.raises(ValueError, match="no run to go on with"):
        train(toytown_dataset, free, "--resume")
    with pytest.raises(ValueError, match="crop 96x96 is larger than most photographs"):
        train(toytown_dataset, free, "--crop", "96x96")
    with pytest.raises(DatasetError, match="no sequence 'nowhere' to validate on"):
        train(toytown_dataset, free, "--validate-sequence", "nowhere")
    with pytest.raises(DatasetError, match="is no dataset of a known form"):
        train(tmp_path, free)


def test_without_torch_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None if name == "torch" else name)

    with pytest.raises(ValueError, match=r"training needs torch; install with: pip install 'scene"):
        train(tmp_path, tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--steps", "0", "'0' is not a whole number of at least 1"),
        ("--crop", "240", "'240' is not a size; give height x width"),
        ("--seed", "-1", "'-1' is not a whole number of at least 0"),
    ],
)
def test_options_that_are_no_numbers_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    with pytest.raises(SystemExit):
        train(tmp_path, tmp_path / "a.safetensors", f"{option}={value}")

    assert message in capsys.readouterr().err
