"""Checkpoints: there and back, what half precision keeps, and files that are none."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.tools.training.checkpoint import (
    CheckpointCard,
    program_version,
    read_checkpoint,
    write_checkpoint,
)

CARD = CheckpointCard(
    network="cgnet",
    settings={"total_steps": 20, "crop_hw": [32, 40]},
    taxonomy={"name": "three", "classes": []},
    preprocessing={"mean": [0.5, 0.5, 0.5]},
    data={"photographs": 4},
    training={"steps": 20, "validation": None},
    program=program_version(),
)


def test_weights_and_card_come_back_as_they_were(tmp_path: Path) -> None:
    state = {
        "weight": torch.rand(3, 4, 5, 6).to(memory_format=torch.channels_last),
        "count": torch.tensor(2**40),
    }

    write_checkpoint(tmp_path / "a.safetensors", state, CARD)

    found = read_checkpoint(tmp_path / "a.safetensors")
    assert found.card == CARD
    assert found.state["count"].dtype == torch.int64
    assert all(torch.equal(found.state[name], value) for name, value in state.items())


def test_half_precision_rounds_weights_and_is_read_as_float32(tmp_path: Path) -> None:
    weight = torch.tensor([1.0, 1 / 3, -2.5])

    write_checkpoint(tmp_path / "a.safetensors", {"weight": weight}, CARD, half=True)

    assert load_file(tmp_path / "a.safetensors")["weight"].dtype == torch.float16
    read = read_checkpoint(tmp_path / "a.safetensors").state["weight"]
    assert read.dtype == torch.float32
    assert read.tolist() == [1.0, 0.333251953125, -2.5]


def test_half_precision_leaves_what_it_cannot_hold(tmp_path: Path) -> None:
    norm = nn.BatchNorm2d(2)
    norm.running_var = torch.tensor([1e-9, 1.0])
    state = norm.state_dict() | {"large": torch.tensor([7e4])}

    write_checkpoint(tmp_path / "a.safetensors", state, CARD, half=True)

    read = read_checkpoint(tmp_path / "a.safetensors").state
    assert read["running_var"].tolist() == pytest.approx([1e-9, 1.0], rel=1e-6)
    assert read["large"].tolist() == [7e4]
    assert read["num_batches_tracked"].dtype == torch.int64


def test_tensors_that_share_memory_are_written_each(tmp_path: Path) -> None:
    shared = torch.arange(6.0)

    write_checkpoint(tmp_path / "a.safetensors", {"all": shared, "tail": shared[3:]}, CARD)

    assert read_checkpoint(tmp_path / "a.safetensors").state["tail"].tolist() == [3, 4, 5]


def test_same_weights_and_card_are_the_same_bytes(tmp_path: Path) -> None:
    state = {"b": torch.ones(2), "a": torch.zeros(3)}

    write_checkpoint(tmp_path / "one.safetensors", state, CARD)
    write_checkpoint(tmp_path / "two.safetensors", dict(reversed(state.items())), CARD)

    one, two = (tmp_path / f"{name}.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_write_that_fails_leaves_the_file_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"weight": torch.ones(2)}, CARD)

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_checkpoint(path, {"weight": torch.zeros(2)}, CARD)

    assert read_checkpoint(path).state["weight"].tolist() == [1, 1]
    assert list(tmp_path.iterdir()) == [path]


def test_an_absent_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none\.safetensors does not exist; give a "):
        read_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match="is a folder, expected a file"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("left", [0, 5, 200, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, left: int) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, {"weight": torch.ones(100)}, CARD)
    path.write_bytes(path.read_bytes()[:left])

    with pytest.raises(CheckpointError, match="bytes that are no whole safetensors file"):
        read_checkpoint(path)


def test_a_file_of_torch_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(2)}, tmp_path / "a.safetensors")

    with pytest.raises(CheckpointError, match="are no whole safetensors file"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_the_file_of_another_program_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "a.safetensors", {"format": "pt"})

    with pytest.raises(CheckpointError, match=r"another program \(metadata: format\), expected"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_the_card_of_another_version_is_refused(tmp_path: Path) -> None:
    table = dataclasses.asdict(CARD)
    del table["training"]
    path = tmp_path / "a.safetensors"
    save_file({"weight": torch.ones(2)}, path, {"scenequilt": json.dumps(table)})

    with pytest.raises(CheckpointError, match=r"its card holds .*expected .*training.*train it"):
        read_checkpoint(path)

    save_file({"weight": torch.ones(2)}, path, {"scenequilt": "{"})
    with pytest.raises(CheckpointError, match="its card is not JSON"):
        read_checkpoint(path)
