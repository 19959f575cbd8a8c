"""scenequilt train, called as the command line calls it."""

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.tools import progress
from scenequilt.tools.cli import build_parser, main
from scenequilt.tools.commands import train as command
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.evaluation import allocator
from scenequilt.tools.evaluation.segmenter import load_segmenter
from scenequilt.tools.training import registry
from scenequilt.tools.training.checkpoint import Checkpoint, read_checkpoint
from scenequilt.tools.training.job import JobReport, TrainingJob
from scenequilt.tools.training.jobs import segmenter
from scenequilt.tools.training.jobs.segmenter import PieceSettings
from scenequilt.tools.training.registry import JobEntry
from scenequilt.tools.training.request import TrainingRequest


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
    assert found["plan"]["settings"]["training"]["total_steps"] == 3
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


def test_settings_come_from_a_file_and_what_is_said_beside_it(
    toytown_dataset: Path, tmp_path: Path
) -> None:
    config = tmp_path / "own.toml"
    config.write_text("[training]\nrate = 1e-3\nseed = 4\nprecision = 'bf16'\n[samples]\n")
    more = [
        "--config",
        config,
        "--set",
        "samples.color_jitter=0",
        "--seed",
        5,
        "--precision",
        "fp32",
    ]

    plan = json.loads(
        train(toytown_dataset, tmp_path / "a.safetensors", "--dry-run", "--json", *more).text
    )

    training = plan["settings"]["training"]
    assert (training["rate"], training["seed"], training["precision"]) == (1e-3, 5, "fp32")
    assert plan["settings"]["samples"]["color_jitter"] == 0
    assert plan["settings"]["samples"]["crop_hw"] == [32, 32]


def test_settings_that_are_not_known_are_refused_by_who_asked(
    toytown_dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.safetensors"

    with pytest.raises(
        ValueError, match=r"--set training\.raet=1: no setting 'raet' in \[training\]"
    ):
        train(toytown_dataset, out, "--set", "training.raet=1")
    with pytest.raises(
        ValueError, match="there are no settings 'abacus'; give a TOML file, or one"
    ):
        train(toytown_dataset, out, "--config", "abacus")
    with pytest.raises(ValueError, match="'raet' sets nothing; give table.key=value"):
        train(toytown_dataset, out, "--set", "raet")


def test_tensorboard_gets_what_the_log_gets(toytown_dataset: Path, tmp_path: Path) -> None:
    train(toytown_dataset, tmp_path / "a.safetensors", "--tensorboard", tmp_path / "board")

    assert [path.name.split(".")[0] for path in (tmp_path / "board").iterdir()] == ["events"]


class Stub:
    """A job that keeps what it was asked for, and is a segmenter's but for what it tells."""

    NETWORK = "cgnet"
    SETTINGS: ClassVar[dict[str, type]] = {"samples": PieceSettings}

    def __init__(self) -> None:
        self.requests: list[TrainingRequest] = []

    def build_job(self, request: TrainingRequest) -> TrainingJob[Any]:
        self.requests.append(request)
        pieces = PieceSettings(crop_hw=(32, 32))
        job = segmenter.build_job(replace(request, tables={"samples": pieces}))
        return replace(job, report=JobReport(), validate=lambda network: {"error": 0.125})

    def restore(self, checkpoint: Checkpoint) -> nn.Module:
        return segmenter.restore(checkpoint)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """A network "stub" that needs a bank and takes a classifier's weights."""
    module = Stub()
    entry = JobEntry(
        help="a stub",
        load=lambda: module,
        config="segmenter",
        needs=frozenset({"bank"}),
        takes=frozenset({"features"}),
    )
    monkeypatch.setattr(registry, "JOBS", {"stub": entry})
    monkeypatch.setattr(command, "JOBS", registry.JOBS)
    return module


def train_stub(dataset: Path, out: Path, *more: object) -> Outcome:
    fixed = ["--steps", 2, "--batch", 1, "--split", "train", "--validate-split", "val"]
    argv = ["train", "stub", *map(str, (dataset, "--out", out, *fixed, *more))]
    args = build_parser().parse_args(argv)
    outcome: Outcome = args.run(args)
    return outcome


def test_a_job_is_given_what_it_needs(toytown_dataset: Path, tmp_path: Path, stub: Stub) -> None:
    train_stub(
        toytown_dataset, tmp_path / "a.safetensors", "--bank", tmp_path, "--seed", 3, "--dry-run"
    )

    (request,) = stub.requests
    assert (request.bank, request.features, request.canvases) == (tmp_path, None, None)
    assert (request.batch_size, request.seed, request.device) == (1, 3, "cpu")
    assert (len(request.training), len(request.held_out)) == (21, 3)
    assert request.origin["validation_split"] == "val"


def test_without_what_it_needs_it_is_refused(
    toytown_dataset: Path, tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train_stub(toytown_dataset, tmp_path / "a.safetensors")

    assert "the following arguments are required: --bank" in capsys.readouterr().err


def test_photographs_without_depth_are_refused_where_it_is_learnt_from(
    toytown_dataset: Path, tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = replace(registry.JOBS["stub"], needs=frozenset({"depth"}))
    monkeypatch.setattr(command, "JOBS", {"stub": entry})
    plain = tmp_path / "plain"
    shutil.copytree(toytown_dataset, plain, ignore=shutil.ignore_patterns("depth"))

    with pytest.raises(
        DatasetError, match="none of the 21 photographs has a depth map, which stub"
    ):
        train_stub(plain, tmp_path / "a.safetensors")


def test_what_a_job_does_not_tell_itself_is_told_for_it(
    toytown_dataset: Path, tmp_path: Path, stub: Stub, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.safetensors"

    outcome = train_stub(toytown_dataset, out, "--bank", tmp_path)

    plan = capsys.readouterr().err
    assert "photographs  21 to learn from" in plan
    assert "validation   3 photographs" in plan
    assert "2 of 1 samples" in plan
    assert outcome.text.splitlines()[-2:] == ["on what it has not seen", "  0.125  error"]
    training = read_checkpoint(out).card.training
    assert training["hardware"].endswith("1 threads")
    assert training["validation"] == {"error": 0.125}


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
        ("--seed", "-1", "'-1' is not a whole number from 0 to below 2^63"),
    ],
)
def test_options_that_are_no_numbers_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, message: str
) -> None:
    with pytest.raises(SystemExit):
        train(tmp_path, tmp_path / "a.safetensors", f"{option}={value}")

    assert message in capsys.readouterr().err
