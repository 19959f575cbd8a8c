"""Segmenters of every form: what they see, in which classes, and what is refused."""

import hashlib
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy, read_taxonomy
from scenequilt.tools.evaluation.cgnet import CGNet, from_published
from scenequilt.tools.evaluation.segmenter import (
    PUBLISHED_CGNET_MEAN,
    NetworkSegmenter,
    Preprocessing,
    class_ids_of,
    load_segmenter,
)
from scenequilt.tools.training.checkpoint import CheckpointCard, write_checkpoint

RED, GREEN, BLUE = (200, 10, 20), (0, 180, 40), (30, 20, 90)


def taxonomy_of(*names: str) -> Taxonomy:
    classes = (ClassInfo(place, name, (0, 0, 0), "stuff") for place, name in enumerate(names))
    return Taxonomy("colours", tuple(classes))


COLOURS = taxonomy_of("red", "green", "blue")


class StrongestColour(nn.Module):
    """Scores are the three colours themselves, at half the size if asked."""

    def __init__(self, shrink: int = 1) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(shrink)

    def forward(self, pictures: Tensor) -> Tensor:
        scores: Tensor = self.pool(pictures)
        return scores


class Flattened(nn.Module):
    """A classifier of whole pictures."""

    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean((2, 3))


def write_torchscript(path: Path, module: nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(module).save(str(path))
    return path


def write_onnx(path: Path, *, shape: tuple[int | str, ...] = ("b", 3, "h", "w")) -> Path:
    """A graph whose scores are the three colours themselves."""
    from onnx import TensorProto, checker, helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model)
    save(model, str(path))
    return path


def torchscript_colours(folder: Path) -> Path:
    return write_torchscript(folder / "colours.pt", StrongestColour())


def onnx_colours(folder: Path) -> Path:
    return write_onnx(folder / "colours.onnx")


every_graph = pytest.mark.parametrize("write", [torchscript_colours, onnx_colours])


def quarters(size_hw: tuple[int, int] = (20, 30)) -> NDArray[np.uint8]:
    """(1, H, W, 3): red in the upper left, green in the upper right, blue below."""
    image = np.empty((1, *size_hw, 3), np.uint8)
    image[:] = BLUE
    image[:, : size_hw[0] // 2] = GREEN
    image[:, : size_hw[0] // 2, : size_hw[1] // 2] = RED
    return image


def corners(seen: NDArray[np.uint8]) -> list[int]:
    return [int(seen[0, 0, 0]), int(seen[0, 0, -1]), int(seen[0, -1, 0])]


@every_graph
def test_a_graph_sees_the_strongest_colour(write: Callable[[Path], Path], tmp_path: Path) -> None:
    path = write(tmp_path)

    segmenter = load_segmenter(path, COLOURS)
    seen = segmenter.predict(quarters())

    assert seen.dtype == np.uint8 and seen.shape == (1, 20, 30)
    assert corners(seen) == [0, 1, 2]
    assert (np.bincount(seen.reshape(-1)) == [150, 150, 300]).all()
    assert (segmenter.name, segmenter.classes) == ("colours", 3)
    assert segmenter.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@every_graph
def test_classes_in_another_order_are_matched_by_name(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write(tmp_path)
    sidecar = path.with_name(f"{path.name}.json")
    sidecar.write_text(json.dumps({"classes": ["Red", "green", "blue"]}))

    seen = load_segmenter(path, taxonomy_of("blue", "red", "green")).predict(quarters())

    assert corners(seen) == [1, 2, 0]


@every_graph
def test_a_sidecar_says_what_is_taken_off_a_picture(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write(tmp_path)
    # 200 - 195 for red is less than its blue, 20; 180 / 10 for green less than its blue, 40.
    table = {"mean": [195, 0, 0], "std": [1, 10, 1], "scale": 255}
    path.with_name(f"{path.name}.json").write_text(json.dumps(table))

    assert corners(load_segmenter(path, COLOURS).predict(quarters())) == [2, 2, 2]


def test_smaller_scores_are_brought_to_the_size_of_the_picture(tmp_path: Path) -> None:
    path = write_torchscript(tmp_path / "half.pt", StrongestColour(4))

    seen = load_segmenter(path, COLOURS).predict(quarters((48, 80)))

    assert seen.shape == (1, 48, 80)
    assert corners(seen) == [0, 1, 2]


def test_a_graph_of_one_size_and_one_picture_sees_others_too(tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "fixed.onnx", shape=(1, 3, 16, 24))
    images = np.concatenate([quarters((40, 60)), quarters((40, 60))[:, ::-1]])

    seen = load_segmenter(path, COLOURS).predict(images)

    assert seen.shape == (2, 40, 60)
    assert (corners(seen[:1]), corners(seen[1:])) == ([0, 1, 2], [2, 2, 0])


@every_graph
def test_another_number_of_classes_is_refused_with_both(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"3 classes apart, taxonomy 'colours' has 2; give"):
        load_segmenter(write(tmp_path), taxonomy_of("a", "b"))


@every_graph
def test_other_class_names_are_refused_with_both(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write(tmp_path)
    path.with_name(f"{path.name}.json").write_text('{"classes": ["red", "grey", "blue"]}')

    with pytest.raises(CheckpointError, match="missing: green, too many: grey"):
        load_segmenter(path, COLOURS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"average": [0, 0, 0]}', "no key 'average'; there are mean, std, scale, classes"),
        ('{"scale": 100}', "scale must be 1 or 255, got 100"),
        ('{"std": [1, 0, 1]}', "std must be above 0"),
        ('{"mean": [1, 2]}', "not enough values"),
        ("[1]", "expected an object, got list"),
        ("{", "Expecting property name"),
    ],
)
def test_a_sidecar_that_makes_no_sense_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = torchscript_colours(tmp_path)
    path.with_name(f"{path.name}.json").write_text(text)

    with pytest.raises(CheckpointError, match=rf"colours\.pt\.json: {message}"):
        load_segmenter(path, COLOURS)


def test_a_graph_without_a_score_for_each_pixel_is_refused(tmp_path: Path) -> None:
    path = write_torchscript(tmp_path / "flat.pt", Flattened())

    with pytest.raises(CheckpointError, match=r"gives \(1, 3\).*expected scores \(1, K, h, w\)"):
        load_segmenter(path, COLOURS)


def test_a_graph_that_does_not_take_pictures_is_refused(tmp_path: Path) -> None:
    script = write_torchscript(tmp_path / "wide.pt", nn.Conv2d(8, 3, 1))
    graph = write_onnx(tmp_path / "wide.onnx", shape=("b", 8, "h", "w"))

    for path in (script, graph):
        with pytest.raises(CheckpointError, match=r"wide.* does not take \(B, 3, H, W\) float"):
            load_segmenter(path, COLOURS)


def test_onnx_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = onnx_colours(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(CheckpointError, match=r"needs onnxruntime.*'scenequilt\[onnx\]'"):
        load_segmenter(path, COLOURS)


def test_broken_files_are_named(tmp_path: Path) -> None:
    for name, what in (
        ("a.onnx", "as ONNX"),
        ("b.pth", "no tensors"),
        ("c.safetensors", "as safe"),
    ):
        (tmp_path / name).write_bytes(b"these are no weights")
        with pytest.raises(CheckpointError, match=rf"{name}.* {what}"):
            load_segmenter(tmp_path / name, COLOURS)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save(StrongestColour(), tmp_path / "module.pth")

    with pytest.raises(CheckpointError, match="without running code of its own.*save a state dict"):
        load_segmenter(tmp_path / "module.pth", COLOURS)


def test_files_that_are_no_segmenter_are_refused_with_what_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "net.npz", mean=np.zeros(3))
    torch.save({"weight": torch.zeros(3)}, tmp_path / "line.pth")
    torch.save([1, 2], tmp_path / "list.pth")

    with pytest.raises(CheckpointError, match=r"1 arrays \(mean\); expected a segmenter.*ONNX"):
        load_segmenter(tmp_path / "net.npz", COLOURS)
    with pytest.raises(CheckpointError, match=r"1 arrays \(weight\); expected a segmenter"):
        load_segmenter(tmp_path / "line.pth", COLOURS)
    with pytest.raises(CheckpointError, match="holds a list, expected a state dict"):
        load_segmenter(tmp_path / "list.pth", COLOURS)
    with pytest.raises(CheckpointError, match=r"ends in '\.h5', expected \.npz, \.pth"):
        (tmp_path / "net.h5").write_bytes(b"")
        load_segmenter(tmp_path / "net.h5", COLOURS)
    with pytest.raises(CheckpointError, match=r"gone\.pth is missing.*segmenters: "):
        load_segmenter(tmp_path / "gone.pth", COLOURS)


@pytest.fixture(scope="module")
def cgnet() -> CGNet:
    torch.manual_seed(0)
    network = CGNet(3).eval()
    # Larger than initialised, so that pictures show more than one class.
    nn.init.normal_(network.classifier.weight)
    return network


def write_card(path: Path, weights: CGNet, *names: str, **changes: object) -> Path:
    fields: dict[str, object] = {
        "network": "cgnet",
        "settings": {},
        "taxonomy": taxonomy_of(*names).as_json(),
        "preprocessing": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]},
        "data": {},
        "training": {},
        "program": "scenequilt",
    }
    card = CheckpointCard(**{**fields, **changes})  # type: ignore[arg-type]
    write_checkpoint(path, weights.state_dict(), card)
    return path


def noise(count: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 6, 3), np.uint8)
    return coarse.repeat(12, 1).repeat(12, 2)


def test_a_checkpoint_of_ours_sees_what_its_network_sees(cgnet: CGNet, tmp_path: Path) -> None:
    path = write_card(tmp_path / "own.safetensors", cgnet, "red", "green", "blue")
    images = noise(2)
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    with torch.inference_mode():
        expected = cgnet((pictures - mean[:, None, None]) / std[:, None, None]).argmax(1)

    segmenter = load_segmenter(path, COLOURS)
    other = load_segmenter(path, taxonomy_of("blue", "red", "green"))

    assert (segmenter.name, segmenter.network, segmenter.classes) == ("own", "cgnet", 3)
    assert len(expected.unique()) > 1
    assert (segmenter.predict(images) == expected.numpy()).mean() > 0.999
    np.testing.assert_array_equal(
        other.predict(images), np.array([1, 2, 0])[segmenter.predict(images)]
    )


def test_a_checkpoint_of_other_classes_or_of_another_network_is_refused(
    cgnet: CGNet, tmp_path: Path
) -> None:
    path = write_card(tmp_path / "own.safetensors", cgnet, "red", "green", "grey")
    foreign = write_card(tmp_path / "foreign.safetensors", cgnet, "red", network="spade")

    with pytest.raises(CheckpointError, match="has 3 classes .*missing: blue, too many: grey"):
        load_segmenter(path, COLOURS)
    with pytest.raises(CheckpointError, match="a checkpoint of spade; expected a segmenter"):
        load_segmenter(foreign, COLOURS)


def test_a_checkpoint_whose_card_and_weights_disagree_is_refused(
    cgnet: CGNet, tmp_path: Path
) -> None:
    four = write_card(tmp_path / "four.safetensors", cgnet, "red", "green", "blue", "grey")
    unscaled = write_card(
        tmp_path / "scale.safetensors", cgnet, "red", "green", "blue", preprocessing={"mean": [0]}
    )

    with pytest.raises(CheckpointError, match="is not CGNet of 4 classes"):
        load_segmenter(four, taxonomy_of("red", "green", "blue", "grey"))
    with pytest.raises(CheckpointError, match=r"preprocessing is \{'mean': \[0\]\}, expected mean"):
        load_segmenter(unscaled, COLOURS)


def test_a_picture_is_seen_alike_alone_and_in_a_batch(cgnet: CGNet, tmp_path: Path) -> None:
    path = write_card(tmp_path / "own.safetensors", cgnet, "red", "green", "blue")
    segmenter = load_segmenter(path, COLOURS)
    images = noise(5)

    alone = np.concatenate([segmenter.predict(images[place : place + 1]) for place in range(5)])

    assert (segmenter.predict(images) == alone).mean() > 0.9999


@pytest.fixture
def published_state(cgnet: CGNet, cgnet_published_names: list[str]) -> dict[str, Tensor]:
    """The network's tensors under the names of the authors' program."""
    own = cgnet.state_dict()
    own_names = from_published(dict.fromkeys(cgnet_published_names, torch.empty(0)))
    return {
        theirs: own[name] for theirs, name in zip(cgnet_published_names, own_names, strict=True)
    }


@pytest.mark.parametrize("form", ["bare", "model", "parallel"])
def test_a_published_state_dict_sees_bytes_less_the_mean(
    cgnet: CGNet, published_state: dict[str, Tensor], tmp_path: Path, form: str
) -> None:
    state = published_state
    stored = {
        "bare": state,
        "model": {"epoch": 3, "model": state},
        "parallel": {"model": {f"module.{name}": value for name, value in state.items()}},
    }[form]
    torch.save(stored, tmp_path / "theirs.pth")
    images = noise(2)
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        expected = cgnet(pictures - torch.tensor(PUBLISHED_CGNET_MEAN)[:, None, None]).argmax(1)

    segmenter = load_segmenter(tmp_path / "theirs.pth", COLOURS)

    assert (segmenter.name, segmenter.network) == ("theirs", "cgnet")
    assert (segmenter.predict(images) == expected.numpy()).mean() > 0.999


def test_a_published_state_dict_of_other_classes_is_refused(
    published_state: dict[str, Tensor], tmp_path: Path
) -> None:
    torch.save(published_state, tmp_path / "theirs.pth")

    with pytest.raises(CheckpointError, match=r"3 classes apart, taxonomy 'colours' has 2"):
        load_segmenter(tmp_path / "theirs.pth", taxonomy_of("a", "b"))


def test_pictures_of_another_kind_are_refused() -> None:
    segmenter = NetworkSegmenter(
        "same",
        "torchscript",
        "",
        lambda pictures: pictures,
        Preprocessing(),
        np.arange(3, dtype=np.uint8),
    )

    with pytest.raises(ValueError, match=r"must be \(B, H, W, 3\) uint8 RGB, got \(4, 5, 3\)"):
        segmenter.predict(np.zeros((4, 5, 3), np.uint8))


def test_names_that_are_fewer_than_the_scores_are_refused() -> None:
    with pytest.raises(CheckpointError, match="gives scores of 4 classes, but names 3: red, green"):
        class_ids_of(["red", "green", "blue"], 4, COLOURS, "net.pt")


@pytest.mark.realdata
@pytest.mark.realweights
def test_the_published_network_sees_camvid_in_rgb(real_data: Path, real_weights: Path) -> None:
    camvid = real_data / "camvid"
    segmenter = load_segmenter(
        real_weights / "cgnet_camvid.pth", read_taxonomy(camvid / "classes.json")
    )
    photographs = sorted((camvid / "images" / "val").iterdir())[::40]
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in photographs])
    labels = np.stack(
        [np.asarray(Image.open(camvid / "labels" / "val" / f"{p.stem}.png")) for p in photographs]
    )

    seen, swapped = segmenter.predict(images), segmenter.predict(images[..., ::-1])

    counted = labels != 11
    assert (seen == labels)[counted].mean() > 0.9
    assert (seen == labels)[counted].mean() > (swapped == labels)[counted].mean() + 0.02
