"""Processes that train together: alone, and two real ones under torchrun."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from scenequilt.tools.training.checkpoint import read_checkpoint
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.log import read_log
from scenequilt.tools.training.outputs import log_path, unfinished_steps
from scenequilt.tools.training.ranks import ALONE, BUCKET_BYTES, Ranks, joined_ranks
from scenequilt.tools.training.trainer import TrainingSettings, train_job

SCRIPT = """
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import torch

from scenequilt.tools.training.ranks import joined_ranks
from scenequilt.tools.training.trainer import TrainingSettings, train_job

torch.set_num_threads(1)
spec = spec_from_file_location("toys", sys.argv[1])
toys = sys.modules["toys"] = module_from_spec(spec)
spec.loader.exec_module(toys)
out, pair, steps = Path(sys.argv[2]), sys.argv[3] == "pair", int(sys.argv[4])
settings = TrainingSettings(
    total_steps=steps, batch_size=4, rate=0.01, log_every=2, average_decay=0.5
)
with joined_ranks("cpu") as (ranks, device):
    job = toys.make_toy_job(noise=0.2, pair=pair)
    if ranks.rank == 1:
        for network in job.objective.networks.values():
            network.reset_parameters()
    trained = train_job(job, settings, out, device=device, ranks=ranks)
    assert job.batches.asked == list(range(ranks.rank + 1, 2 * steps + 1, 2)), job.batches.asked
    assert trained.validation is None or ranks.is_first
"""


class DoublingRanks(Ranks):
    """Two processes that always send the same."""

    def sum(self, tensor: torch.Tensor) -> None:
        tensor *= 2


def test_averages_go_out_in_buckets_and_come_back_to_their_tensors() -> None:
    large = BUCKET_BYTES // 4 - 10
    tensors = [torch.full((2, 3), 1.0), torch.rand(large), torch.rand(50).double(), torch.rand(4)]
    before = [each.clone() for each in tensors]
    sent: list[int] = []

    class Watched(DoublingRanks):
        def sum(self, tensor: torch.Tensor) -> None:
            sent.append(tensor.numel())
            super().sum(tensor)

    Watched(0, 2).average(tensors)

    assert all(torch.equal(one, other) for one, other in zip(tensors, before, strict=True))
    assert sent == [6 + large, 50, 4], "one message until it is full or of another type"


def test_what_happens_in_any_process_happened() -> None:
    assert DoublingRanks(0, 2).any([True, False]) == [True, False]
    assert ALONE.any([True, False]) == [True, False]


def test_without_torchrun_a_process_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    with joined_ranks("cpu") as (ranks, device):
        assert (ranks, device) == (ALONE, "cpu")


def test_several_processes_are_not_told_one_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")

    with (
        pytest.raises(ValueError, match=r"'cuda:1' would be shared by 2 processes; give cuda"),
        joined_ranks("cuda:1"),
    ):
        pass


@contextmanager
def two_processes(out: Path, kind: str, *, steps: int) -> Iterator[subprocess.Popen[bytes]]:
    """Train a job with linear networks under torchrun."""
    script = out.with_name("run.py")
    script.write_text(SCRIPT)
    toys = Path(__file__).with_name("conftest.py")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    running = subprocess.Popen(
        [*torchrun, script, toys, out, kind, str(steps)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "pair"])
def test_two_processes_are_one_with_two_batches_a_step(
    toy_job: Callable[..., TrainingJob[Any]], tmp_path: Path, kind: str
) -> None:
    out = tmp_path / "two.safetensors"

    with two_processes(out, kind, steps=6) as running:
        status = running.wait(timeout=240)

    assert status == 0

    found = read_checkpoint(out)
    settings = TrainingSettings(
        total_steps=6, batch_size=4, accumulate=2, rate=0.01, log_every=2, average_decay=0.5
    )
    alone = train_job(
        toy_job(noise=0.2, pair=kind == "pair"), settings, tmp_path / "one.safetensors"
    )
    assert found.card.settings == alone.card.settings
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(found.state[name], value, rtol=2e-3, atol=1e-3)
    logs = [read_log(log_path(tmp_path / f"{name}.safetensors")) for name in ("one", "two")]
    for one, two in zip(*logs, strict=True):
        assert one.get("figures", {}) == pytest.approx(two.get("figures", {}), rel=1e-3, abs=1e-5)
    assert found.card.training["hardware"].startswith("2 processes of ")


@pytest.mark.slow
def test_two_processes_stop_together_and_leave_a_state(tmp_path: Path) -> None:
    out = tmp_path / "two.safetensors"

    with two_processes(out, "plain", steps=10**8) as running:
        while not read_log(log_path(out)):
            assert running.poll() is None
            time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        status = running.wait(timeout=120)

    assert status != 0
    assert unfinished_steps(out) >= read_log(log_path(out))[-1]["step"]
