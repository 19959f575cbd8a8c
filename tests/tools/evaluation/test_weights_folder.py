"""A folder of weights: every file told by what it holds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy, read_taxonomy
from scenequilt.tools.evaluation.perceptual import PLANS
from scenequilt.tools.evaluation.weights_folder import find_networks
from scenequilt.tools.training.checkpoint import CheckpointCard, write_checkpoint


def taxonomy_of(*names: str) -> Taxonomy:
    classes = (ClassInfo(place, name, (0, 0, 0), "stuff") for place, name in enumerate(names))
    return Taxonomy("few", tuple(classes))


ROAD_AND_SKY = taxonomy_of("road", "sky")


def write_alexnet(path: Path, *, heads: bool) -> None:
    arrays: dict[str, Any] = {
        f"conv{place}.weight": np.zeros(part.shape, np.float16)
        for place, part in enumerate(PLANS["alexnet"])
    }
    if heads:
        arrays |= {f"lpips_lin{level}": np.zeros(1, np.float16) for level in range(5)}
    np.savez_compressed(path, **arrays)


def write_cgnet(path: Path, classes: int) -> None:
    weights = {
        "level1_0.conv.weight": torch.zeros(1),
        "classifier.0.conv.weight": torch.zeros(classes, 256, 1, 1),
    }
    torch.save({"epoch": 1, "model": weights}, path)


def write_own(path: Path, network: str, taxonomy: Taxonomy) -> None:
    card = CheckpointCard(
        network=network,
        settings={},
        taxonomy=taxonomy.as_json(),
        preprocessing={},
        data={},
        training={},
        program="",
    )
    write_checkpoint(path, {"weight": torch.zeros(1)}, card)


def test_files_are_told_by_content_and_sorted_by_name(tmp_path: Path) -> None:
    write_alexnet(tmp_path / "z.npz", heads=True)
    write_alexnet(tmp_path / "a.npz", heads=False)
    write_cgnet(tmp_path / "vgg16.pth", classes=2)
    write_own(tmp_path / "own.safetensors", "cgnet", taxonomy_of("sky", "road"))
    (tmp_path / "net.onnx").write_bytes(b"\x08\x08")
    (tmp_path / "README.md").write_text("what is here")
    (tmp_path / "folder.npz").mkdir()

    found = find_networks(tmp_path, ROAD_AND_SKY)

    assert [path.name for path in found.segmenters] == ["net.onnx", "own.safetensors", "vgg16.pth"]
    assert [path.name for path in found.perceptual] == ["z.npz"]
    assert [path.name for path in found.features] == ["a.npz"]
    assert found.unknown == {}


def test_what_serves_for_nothing_is_named_with_the_reason(tmp_path: Path) -> None:
    write_alexnet(tmp_path / "alexnet.npz", heads=True)
    np.savez(tmp_path / "table.npz", mean=np.zeros(3))
    write_cgnet(tmp_path / "eleven.pth", classes=11)
    write_own(tmp_path / "indoor.safetensors", "cgnet", taxonomy_of("wall", "floor"))
    write_own(tmp_path / "spade.safetensors", "spade", ROAD_AND_SKY)
    (tmp_path / "broken.pt").write_bytes(b"nothing")

    found = find_networks(tmp_path, ROAD_AND_SKY)

    reasons = {path.name: reason for path, reason in found.unknown.items()}
    assert found.segmenters == found.features == ()
    assert reasons.keys() == {
        "broken.pt",
        "eleven.pth",
        "indoor.safetensors",
        "spade.safetensors",
        "table.npz",
    }
    assert "holds 1 arrays (mean)" in reasons["table.npz"]
    assert "11 classes apart, taxonomy 'few' has 2" in reasons["eleven.pth"]
    assert "missing: road, sky" in reasons["indoor.safetensors"]
    assert "a checkpoint of spade" in reasons["spade.safetensors"]
    assert "no tensors" in reasons["broken.pt"]


def test_a_folder_without_networks_is_refused_with_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no file of weights is there\. Looked for are segm"):
        find_networks(tmp_path, ROAD_AND_SKY)

    write_cgnet(tmp_path / "eleven.pth", classes=11)
    with pytest.raises(CheckpointError, match=r"pictures of 2 classes: .*11 classes apart.*VGG-16"):
        find_networks(tmp_path, ROAD_AND_SKY)
    with pytest.raises(CheckpointError, match="gone does not exist; expected a file of weights"):
        find_networks(tmp_path / "gone", ROAD_AND_SKY)


def test_a_file_serves_as_a_folder_with_it_alone(tmp_path: Path) -> None:
    write_alexnet(tmp_path / "alexnet.npz", heads=True)
    write_cgnet(tmp_path / "eleven.pth", classes=11)

    found = find_networks(tmp_path / "alexnet.npz", ROAD_AND_SKY)

    assert [path.name for path in found.perceptual] == ["alexnet.npz"]
    assert found.segmenters == found.features == ()
    assert found.unknown == {}
    with pytest.raises(CheckpointError, match=r"eleven\.pth has no network .*11 classes apart"):
        find_networks(tmp_path / "eleven.pth", ROAD_AND_SKY)


@pytest.mark.realdata
@pytest.mark.realweights
def test_published_weights_are_told_apart(real_data: Path, real_weights: Path) -> None:
    found = find_networks(real_weights, read_taxonomy(real_data / "camvid" / "classes.json"))

    assert [path.name for path in found.segmenters] == ["cgnet_camvid.pth"]
    assert [path.name for path in found.perceptual] == [
        "alexnet_conv_lpips_fp16.npz",
        "vgg16_conv_lpips_fp16.npz",
    ]
    assert (found.features, found.unknown) == ((), {})
