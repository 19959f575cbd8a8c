"""Files of weights: told by headers and names, read without running their code."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.tools.evaluation.perceptual import PLANS
from scenequilt.tools.evaluation.weights_file import inspect_weights, read_state

CGNET = {
    "level1_0.conv.weight": torch.zeros(32, 3, 3, 3),
    "classifier.0.conv.weight": torch.zeros(11, 256, 1, 1),
}


@pytest.mark.parametrize("heads", [0, 5])
def test_convolutions_are_for_lpips_only_with_heads(tmp_path: Path, heads: int) -> None:
    arrays: dict[str, Any] = {
        f"conv{place}.weight": np.zeros(part.shape, np.float16)
        for place, part in enumerate(PLANS["alexnet"])
    }
    arrays |= {f"lpips_lin{level}": np.zeros(1, np.float16) for level in range(heads)}
    np.savez_compressed(tmp_path / "net.npz", **arrays)

    found = inspect_weights(tmp_path / "net.npz")

    assert (found.network, found.has_heads) == ("alexnet", heads > 0)
    assert found.kind == ("perceptual" if heads else "features")


@pytest.mark.parametrize("legacy", [True, False])
def test_a_published_segmenter_tells_its_classes(tmp_path: Path, legacy: bool) -> None:
    path = tmp_path / "net.pth"
    torch.save({"epoch": 1, "model": CGNET}, path, _use_new_zipfile_serialization=not legacy)

    found = inspect_weights(path)

    assert (found.kind, found.network) == ("segmenter", "cgnet")
    assert (found.classes, found.class_names) == (11, None)


@pytest.mark.parametrize("key", ["model", "state_dict", "model_state_dict"])
def test_tensors_are_found_beside_other_things(tmp_path: Path, key: str) -> None:
    torch.save({"epoch": 1, key: {"module.a": torch.ones(2)}}, tmp_path / "net.pth")

    assert read_state(tmp_path / "net.pth")["a"].tolist() == [1, 1]


def test_safetensors_of_another_program_are_read_by_name(tmp_path: Path) -> None:
    save_file(CGNET, tmp_path / "net.safetensors", {"format": "pt"})

    assert inspect_weights(tmp_path / "net.safetensors").network == "cgnet"
    assert read_state(tmp_path / "net.safetensors").keys() == CGNET.keys()


def test_broken_files_are_named(tmp_path: Path) -> None:
    for suffix in (".pth", ".pt", ".safetensors", ".npz"):
        path = tmp_path / f"net{suffix}"
        path.write_bytes(b"")
        with pytest.raises(CheckpointError, match=rf"net\{suffix} (holds no|cannot be|is no)"):
            inspect_weights(path)
    with pytest.raises(CheckpointError, match=r"net\.pth holds no tensors"):
        read_state(tmp_path / "net.pth")


def test_what_torch_advises_is_not_repeated(tmp_path: Path) -> None:
    torch.save({"model": CGNET, "made by": Path("x")}, tmp_path / "net.pth")

    for read in (inspect_weights, read_state):
        with pytest.raises(
            CheckpointError, match=r"\(it holds more than tensors\); save"
        ) as refused:
            read(tmp_path / "net.pth")
        assert "weights_only" not in str(refused.value) and "\x1b" not in str(refused.value)


def test_a_folder_is_no_file_of_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is missing or no file; read are segmenters:"):
        inspect_weights(tmp_path)
