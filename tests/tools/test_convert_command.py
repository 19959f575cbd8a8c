"""The command convert: a checkpoint with published names becomes one of this program."""

import argparse
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.commands.convert import add_convert_command
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.training.checkpoint import read_checkpoint
from scenequilt.tools.training.jobs.generator import generator_job

CHANNELS = (4, 4, 4, 4, 4)
SMALL = ("--set", "network.width=0.001", "--set", "network.blocks=1")


def _run(*argv: str | Path) -> Outcome:
    parser = argparse.ArgumentParser()
    add_convert_command(parser.add_subparsers(required=True))
    args = parser.parse_args(["convert", *(str(item) for item in argv)])
    outcome: Outcome = args.run(args)
    return outcome


def _published(given: int) -> dict[str, torch.Tensor]:
    """Return tensors by the names and shapes that pix2pixHD's authors give a generator of 4 channels
    and one block: pad, 7x7, four that halve, a block, four that double, pad, 7x7."""
    layers: list[nn.Module] = [nn.Identity(), nn.Conv2d(given, 4, 7), nn.Identity(), nn.Identity()]
    for _ in CHANNELS[1:]:
        layers += [nn.Conv2d(4, 4, 3), nn.Identity(), nn.Identity()]
    block = nn.Module()
    block.conv_block = nn.Sequential(
        nn.Identity(), nn.Conv2d(4, 4, 3), nn.Identity(), nn.Identity(), nn.Identity(),
        nn.Conv2d(4, 4, 3), nn.Identity(),
    )  # fmt: skip
    layers.append(block)
    for _ in CHANNELS[1:]:
        layers += [nn.ConvTranspose2d(4, 4, 3), nn.Identity(), nn.Identity()]
    layers += [nn.Identity(), nn.Conv2d(4, 3, 7), nn.Identity()]
    return {f"model.{name}": value for name, value in nn.Sequential(*layers).state_dict().items()}


@pytest.fixture
def classes(tmp_path: Path, street_taxonomy: Taxonomy) -> Path:
    """The street's three classes."""
    path = tmp_path / "classes.json"
    path.write_text(json.dumps(street_taxonomy.as_json()))
    return path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A generator of three classes, void and borders."""
    path = tmp_path / "latest_net_G.pth"
    torch.save(_published(5), path)
    return path


def test_what_is_converted_generates(published: Path, classes: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.safetensors"

    outcome = _run("pix2pixhd", published, "--classes", classes, *SMALL, "--out", out)

    checkpoint = read_checkpoint(out)
    network = generator_job("pix2pixhd").restore(checkpoint)
    assert "pix2pixHD (Wang et al. 2018) of 3 classes" in outcome.text
    assert list(checkpoint.card.data["published"]) == ["latest_net_G.pth"]
    first = torch.load(published, weights_only=True)["model.1.weight"]
    assert any(value.shape == first.shape and value.equal(first) for value in network.parameters())


def test_a_network_of_other_classes_is_refused_by_its_file(classes: Path, tmp_path: Path) -> None:
    path = tmp_path / "other_net_G.pth"
    torch.save(_published(9), path)

    with pytest.raises(CheckpointError, match=r"other_net_G\.pth: .*\(4, 9, 7, 7\), expected"):
        _run("pix2pixhd", path, "--classes", classes, *SMALL, "--out", tmp_path / "a.safetensors")

    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip", "is no state dict of tensors"),
        ({"epoch": 3}, "holds dict, expected a state dict of tensors by name"),
    ],
)
def test_another_file_is_refused(
    content: bytes | dict[str, int], message: str, classes: Path, tmp_path: Path
) -> None:
    path = tmp_path / "net.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)

    with pytest.raises(CheckpointError, match=message):
        _run("pix2pixhd", path, "--classes", classes, "--out", tmp_path / "a.safetensors")


def test_a_missing_file_and_one_that_is_there_are_refused(
    published: Path, classes: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.pth does not exist"):
        _run(
            "spade",
            tmp_path / "gone.pth",
            "--classes",
            classes,
            "--out",
            tmp_path / "a.safetensors",
        )
    (tmp_path / "a.safetensors").write_bytes(b"")

    with pytest.raises(ValueError, match="exists; give another name, or replace it by --force"):
        _run("pix2pixhd", published, "--classes", classes, "--out", tmp_path / "a.safetensors")
