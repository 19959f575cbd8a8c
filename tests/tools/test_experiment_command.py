"""The command experiment augment on a toytown of 64x128, with the real segmenter and few steps."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from scenequilt.tools.commands.experiment import add_experiment_command
from scenequilt.tools.commands.outcome import Outcome


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Of more, a small network on a busy machine spends its time waiting for the others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _run(*argv: str | Path | int) -> Outcome:
    parser = argparse.ArgumentParser()
    add_experiment_command(parser.add_subparsers(required=True))
    args = parser.parse_args(["experiment", "augment", *(str(item) for item in argv)])
    outcome: Outcome = args.run(args)
    return outcome


def _arguments(dataset: Path, bank: Path) -> list[str | Path | int]:
    return [
        "--dataset", dataset, "--bank", bank, "--split", "train", "--test-split", "val",
        "--count", 1, "--steps", 1, "--batch", 2, "--crop", "32x64", "--seeds", "0",
    ]  # fmt: skip


def test_it_trains_tests_and_reports(
    toytown_dataset: Path, toytown_bank: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = _arguments(toytown_dataset, toytown_bank)

    outcome = _run(*arguments, "--out", out, "--json")
    again = _run(*arguments, "--out", out, "--json", "--resume")

    table = json.loads(outcome.text)
    assert outcome.status == 0
    assert len(table["finding"]) == 3
    assert all("better for no class and worse for no class" in line for line in table["finding"])
    assert "with 1 seeds nothing is called better or worse" in table["warnings"][0]
    assert table["plan"]["training"]["total_steps"] == 1
    assert json.loads(again.text)["iou"] == table["iou"]
    for name in ("experiment.md", "examples.png", "plan.json", "runs/real-0.safetensors"):
        assert (out / name).is_file()


def test_a_dry_run_says_how_long_it_takes_and_writes_nothing(
    toytown_dataset: Path, toytown_bank: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    outcome = _run(*_arguments(toytown_dataset, toytown_bank), "--out", out, "--dry-run")

    assert "21 photographs to train on, 3 to test on, 1 added pictures of each kind" in outcome.text
    assert "3 trainings of 1 steps" in outcome.text
    assert not out.exists()


def test_bad_arguments_are_refused_by_name(
    toytown_dataset: Path,
    toytown_bank: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = _arguments(toytown_dataset, toytown_bank)
    with pytest.raises(SystemExit):
        _run(*arguments, "--seeds", "one")
    assert "'one' is no list of seeds" in capsys.readouterr().err
    with pytest.raises(ValueError, match="crop 128x128 is larger than most photographs"):
        _run(*arguments, "--crop", "128x128", "--out", tmp_path / "out")
    with pytest.raises(ValueError, match="no class 'tram'"):
        _run(*arguments, "--favor", "tram=2", "--out", tmp_path / "other")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--crop", "64x999", r"crop 64x999 is larger than most photographs, which are 64x128"),
        ("--device", "abacus", r"device 'abacus' cannot be used"),
    ],
)
def test_what_no_training_can_do_is_refused_before_anything_is_written(
    option: str,
    value: str,
    message: str,
    toytown_dataset: Path,
    toytown_bank: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"

    with pytest.raises(ValueError, match=message):
        _run(*_arguments(toytown_dataset, toytown_bank), "--out", out, option, value)

    assert not out.exists()


def test_going_on_with_other_settings_names_the_one_that_differs(
    toytown_dataset: Path, toytown_bank: Path, tmp_path: Path
) -> None:
    arguments = [*_arguments(toytown_dataset, toytown_bank), "--out", tmp_path / "out"]
    _run(*arguments)

    with pytest.raises(ValueError, match="had training total_steps 1, this one has 2"):
        _run(*arguments, "--resume", "--steps", 2)
