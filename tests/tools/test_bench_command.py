"""The command bench retrieval, on a bank of a few small layouts."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

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
    manifest = tmp_path / "work" / "jittered_40" / "manifest.json"
    before = manifest.read_bytes()
    main(["bench", "retrieval", *words])

    assert manifest.read_bytes() == before
    assert "against NumPy on the real bank" in capsys.readouterr().out


def test_nothing_to_measure_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["bench", "retrieval"])

    assert status == 2
    assert "name a bank (--bank) or a dataset (--data)" in capsys.readouterr().err


def test_numbers_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["bench", "retrieval", "--data", "x", "--queries", "0"])

    assert status == 2
    assert "--queries is 0, expected at least 1" in capsys.readouterr().err
