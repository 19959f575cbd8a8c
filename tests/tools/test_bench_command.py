"""The command bench retrieval, on a bank of a few small layouts."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from scenequilt.memory_bank.manifest import Plan, read_manifest, replace_manifest
from scenequilt.tools.benchmarks.machine import (
    describe_machine,
    processor_name,
)
from scenequilt.tools.benchmarks.retrieval import ensure_bank
from scenequilt.tools.cli import main


def write_dataset(folder: Path, split: str, count: int, seed: int) -> None:
    """Write street-like layouts of 48x64 in the plain form."""
    rng = np.random.default_rng(seed)
    for kind in ("images", "labels"):
        (folder / kind / split).mkdir(parents=True)
    for n in range(count):
        label_map = np.zeros((48, 64), np.uint8)
        label_map[: int(rng.integers(10, 20))] = 1
        for _ in range(3):
            top, left = rng.integers(8, 30), rng.integers(0, 44)
            label_map[top : top + rng.integers(9, 16), left : left + rng.integers(9, 20)] = 2
        image = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / "images" / split / f"a_{n:06d}.png"), image)
        cv2.imwrite(str(folder / "labels" / split / f"a_{n:06d}.png"), label_map)
    classes = [
        {"id": 0, "name": "road", "color": [90, 90, 90], "kind": "stuff"},
        {"id": 1, "name": "sky", "color": [0, 0, 200], "kind": "stuff"},
        {"id": 2, "name": "car", "color": [200, 0, 0], "kind": "thing"},
    ]
    table = {"name": "tiny", "void_id": 255, "classes": classes}
    (folder / "classes.json").write_text(json.dumps(table))


def test_figures_of_a_small_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path / "data", "train", 8, 0)
    write_dataset(tmp_path / "data", "val", 2, 1)
    words = ["--data", str(tmp_path / "data"), "--work", str(tmp_path / "work"), "--json"]

    status = main(["bench", "retrieval", *words, "--queries", "6", "--segments", "100"])

    figures = json.loads(capsys.readouterr().out)
    assert status == 0
    assert figures["baselines"]["same_answers"] is True
    assert figures["jittered"]["segments"] >= 100
    assert figures["real"]["paths"]["exact full"]["recall_at_10"] == 1.0
    assert {"processor", "cores", "numpy", "numba"} <= set(figures["machine"])


def test_the_large_bank_is_used_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(tmp_path / "data", "train", 4, 0)
    words = ["--data", str(tmp_path / "data"), "--work", str(tmp_path / "work")]
    words += ["--query-split", "train", "--queries", "3", "--segments", "40"]

    main(["bench", "retrieval", *words])
    (manifest,) = (tmp_path / "work").glob("jittered_40_*/manifest.json")
    before = manifest.read_bytes()
    main(["bench", "retrieval", *words])

    assert manifest.read_bytes() == before
    assert "against NumPy on the real bank" in capsys.readouterr().out


def test_the_large_bank_of_another_real_one_is_not_used(tmp_path: Path) -> None:
    words = ["--work", str(tmp_path / "work"), "--queries", "3", "--segments", "40"]
    for seed, name in enumerate(("one", "other")):
        write_dataset(tmp_path / name, "train", 3, seed)
        data = ["--data", str(tmp_path / name), "--query-split", "train"]
        assert main(["bench", "retrieval", *words, *data]) == 0

    banks = sorted((tmp_path / "work").glob("jittered_40_*"))

    assert len(banks) == 2
    fingerprints = [
        read_manifest(tmp_path / "work" / f"{name}_train").fingerprint for name in ("one", "other")
    ]
    assert sorted(path.name[len("jittered_40_") :] for path in banks) == sorted(
        fingerprint[:16] for fingerprint in fingerprints
    )


def test_a_bank_of_other_photographs_in_its_place_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "here" / "data", "train", 3, 0)
    write_dataset(tmp_path / "there" / "data", "train", 3, 1)
    work = tmp_path / "work"
    work.mkdir()
    ensure_bank(tmp_path / "here" / "data", work, reader=None, split="train")
    words = ["--data", str(tmp_path / "there" / "data"), "--work", str(work)]

    status = main(["bench", "retrieval", *words, "--query-split", "train"])

    assert status == 2
    assert "data_train is finished and was built from other photographs" in capsys.readouterr().err


def test_an_unfinished_bank_is_completed(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", "train", 3, 0)
    path = ensure_bank(tmp_path / "data", tmp_path, reader=None, split="train")
    whole = read_manifest(path)
    plan = Plan(whole.settings["plan_id"], {}, len(whole.shards), 3)
    replace_manifest(path, dataclasses.replace(whole, pending=plan, fingerprint="", shards=()))

    assert ensure_bank(tmp_path / "data", tmp_path, reader=None, split="train") == path

    assert read_manifest(path).pending is None
    assert read_manifest(path).fingerprint == whole.fingerprint


def test_the_machine_is_described_without_what_is_not_installed() -> None:
    found = describe_machine(["numpy", "no-such-package"])

    assert found["numpy"] == np.__version__
    assert "no-such-package" not in found
    assert found["processor"] == processor_name() != ""


def test_memory_is_counted_in_bytes() -> None:
    """In a process of its own: memory that was freed here before may serve again."""
    script = (
        "import numpy as np\n"
        "from scenequilt.tools.benchmarks.machine import own_memory_bytes, peak_memory_bytes\n"
        "before = own_memory_bytes()\n"
        "held = np.ones(40_000_000, np.uint8)\n"
        "assert peak_memory_bytes() > len(held)\n"
        "assert before is None or (own_memory_bytes() or 0) - before > len(held) // 2\n"
    )

    subprocess.run([sys.executable, "-c", script], check=True)


def test_nothing_to_measure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["bench", "retrieval"])

    assert status == 2
    assert "name a bank (--bank) or a dataset (--data)" in capsys.readouterr().err


def test_numbers_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["bench", "retrieval", "--data", "x", "--queries", "0"])

    assert status == 2
    assert "--queries is 0, expected at least 1" in capsys.readouterr().err
