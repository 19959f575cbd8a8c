"""A process killed at any instant leaves a bank that is whole, and that can be gone on with."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from scenequilt.memory_bank.build import add_photographs, build_bank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.maintenance import compact_bank, remove_from_bank, verify_bank
from scenequilt.memory_bank.manifest import is_bank, read_manifest

WORK = """
import os, signal, sys
from pathlib import Path
import cv2, h5py
import scenequilt.memory_bank.descriptor, scenequilt.memory_bank.extract
from scenequilt.memory_bank.build import add_photographs, build_bank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.maintenance import compact_bank, remove_from_bank

verb, dataset, bank, fatal_step, workers = sys.argv[1:]
steps = 0

def dies_at_fatal_step(act):
    def step(*args, **kwargs):
        global steps
        steps += 1
        if steps == int(fatal_step):
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*args, **kwargs)
    return step

# All that reaches the disk for good goes through these.
os.fsync = dies_at_fatal_step(os.fsync)
Path.replace = dies_at_fatal_step(Path.replace)
Path.unlink = dies_at_fatal_step(Path.unlink)
reader, bank = open_dataset(Path(dataset)), Path(bank)
print("at work", flush=True)
if verb == "build":
    build_bank(reader, bank, resume=True, split="train", workers=int(workers))
elif verb == "add":
    add_photographs(reader, bank, workers=int(workers))
elif verb == "remove":
    remove_from_bank(bank, sequences=["one"])
elif verb == "compact":
    compact_bank(bank)
"""


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain dataset: 30 pictures of 96 x 128 pixels in three sequences, sky, road and cars."""
    folder = tmp_path_factory.mktemp("kill") / "data"
    classes = [
        {"id": 0, "name": "sky", "color": [70, 130, 180], "kind": "stuff"},
        {"id": 1, "name": "road", "color": [128, 64, 128], "kind": "stuff"},
        {"id": 2, "name": "car", "color": [0, 0, 142], "kind": "thing"},
    ]
    table = {"name": "three", "void_id": 255, "classes": classes}
    for kind in ("images", "labels"):
        for split in ("train", "val"):
            (folder / kind / split).mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps(table))
    random = np.random.default_rng(4)
    for number in range(30):
        label_map = np.zeros((96, 128), np.uint8)
        label_map[48:] = 1
        for left in random.choice(np.arange(4, 112, 18), 4, replace=False):
            top = random.integers(40, 70)
            label_map[top : top + 16, left : left + 14] = 2
        shades = random.integers(0, 256, (3, 3))
        image = shades[label_map] + random.integers(-9, 10, (96, 128, 3))
        split = "val" if number % 5 == 0 else "train"
        name = f"{('one', 'two', 'three')[number % 3]}_{number:06d}.png"
        cv2.imwrite(str(folder / "images" / split / name), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / "labels" / split / name), label_map)
    return folder


@pytest.fixture(scope="session")
def undisturbed(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bank of the split train, built without a disturbance."""
    bank = tmp_path_factory.mktemp("undisturbed") / "bank"
    build_bank(open_dataset(dataset), bank, split="train")
    return bank


def fingerprint(bank: Path) -> str:
    return read_manifest(bank).fingerprint


def work(
    verb: str, dataset: Path, bank: Path, *, fatal_step: int = 0, workers: int = 1
) -> "subprocess.Popen[bytes]":
    """Start a process that does something to a bank, and wait until it is at work."""
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, verb, dataset, bank, str(fatal_step), str(workers)],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"at work\n"
    return process


def killed_at_step(verb: str, dataset: Path, bank: Path, step: int) -> bool:
    """Let a process die at its nth step towards the disk; return False if it was done before."""
    with work(verb, dataset, bank, fatal_step=step) as process:
        status = process.wait(timeout=60)
    assert status in (0, -signal.SIGKILL)
    return status != 0


def assert_whole(bank: Path) -> None:
    if is_bank(bank):
        assert verify_bank(bank).faults == ()


def finish(dataset: Path, bank: Path) -> str:
    return build_bank(open_dataset(dataset), bank, split="train", resume=True).manifest.fingerprint


@pytest.mark.parametrize("step", [4, 11])
def test_a_build_killed_at_a_step_is_completed(
    dataset: Path, undisturbed: Path, tmp_path: Path, step: int
) -> None:
    bank = tmp_path / "bank"
    assert killed_at_step("build", dataset, bank, step)

    assert_whole(bank)
    assert finish(dataset, bank) == fingerprint(undisturbed)
    assert verify_bank(bank).faults == ()
    assert verify_bank(bank).notes == ()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_build_killed_at_every_step_is_completed(
    dataset: Path, undisturbed: Path, tmp_path: Path
) -> None:
    step = 0
    while True:
        step += 1
        bank = tmp_path / str(step)
        if not killed_at_step("build", dataset, bank, step):
            break
        assert_whole(bank)
        assert finish(dataset, bank) == fingerprint(undisturbed)

    assert step > 20, "there were steps to die at"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("workers", "seed"), [(1, 0), (1, 1), (2, 2)])
def test_a_build_killed_at_random_instants_is_completed(
    dataset: Path, undisturbed: Path, tmp_path: Path, workers: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    with work("build", dataset, tmp_path / "timed", workers=workers) as process:
        started = time.perf_counter()
        process.wait()
        duration_s = time.perf_counter() - started
    kills = midway = 0
    for trial in range(60):
        if kills >= 17:
            break
        bank = tmp_path / str(trial)
        # Killed, and killed again when it goes on, until it gets through.
        for _ in range(3):
            with work("build", dataset, bank, workers=workers) as process:
                time.sleep(random.uniform(0, duration_s))
                process.kill()
                killed = process.wait() == -signal.SIGKILL
            kills += killed
            assert_whole(bank)
            midway += is_bank(bank) and read_manifest(bank).pending is not None
            if not killed:
                break

        assert finish(dataset, bank) == fingerprint(undisturbed)
        assert verify_bank(bank).notes == ()

    assert kills >= 17
    assert midway > 0, "some of them hit the build in the middle"


@pytest.mark.parametrize(
    ("verb", "steps"),
    [
        ("add", [3]),
        ("remove", [2]),
        ("compact", [8]),
        pytest.param("add", range(1, 60), marks=pytest.mark.slow),
        pytest.param("remove", range(1, 60), marks=pytest.mark.slow),
        pytest.param("compact", range(1, 60), marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(900)
def test_a_change_that_is_killed_is_made_wholly_or_not_at_all(
    dataset: Path, undisturbed: Path, tmp_path: Path, verb: str, steps: "range | list[int]"
) -> None:
    before = shutil.copytree(undisturbed, tmp_path / "before")
    if verb == "compact":
        remove_from_bank(before, sequences=["one"])
    after = shutil.copytree(before, tmp_path / "after")
    change(verb, dataset, after)

    for step in steps:
        bank = shutil.copytree(before, tmp_path / f"killed-{step}")
        if not killed_at_step(verb, dataset, bank, step):
            break
        assert verify_bank(bank).faults == ()
        assert fingerprint(bank) in (fingerprint(before), fingerprint(after))
        if verb != "remove" or fingerprint(bank) == fingerprint(before):
            change(verb, dataset, bank)
        assert fingerprint(bank) == fingerprint(after)
        names = {path.name for path in (bank / "shards").iterdir()}
        assert names == {record.name for record in read_manifest(bank).shards}
    else:
        assert len(steps) < 10, "it was followed to its end"


def change(verb: str, dataset: Path, bank: Path) -> None:
    """Do undisturbed what a killed process was at."""
    if verb == "add":
        add_photographs(open_dataset(dataset), bank)
    elif verb == "remove":
        remove_from_bank(bank, sequences=["one"])
    else:
        compact_bank(bank)


@pytest.mark.slow
def test_workers_end_when_the_process_that_started_them_is_killed(
    dataset: Path, tmp_path: Path
) -> None:
    # One of three workers is a thread of that process.
    with work("build", dataset, tmp_path / "bank", workers=3) as process:
        deadline = time.monotonic() + 20
        # Two workers, and the process that watches over shared resources.
        while len(children(process.pid)) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        workers = children(process.pid)
        process.kill()

    deadline = time.monotonic() + 20
    while any(is_running(worker) for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers) >= 2
    assert not any(is_running(worker) for worker in workers)


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
