"""A small composition made by hand and a run of it; a dataset of four hand-made photographs, a bank
of it, and stand-ins for the networks that pictures are judged by."""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import (
    Candidate,
    PlacedSegment,
    Query,
    Region,
    Retrieval,
    Segment,
)
from scenequilt.memory_bank.store import SourceRecord
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.synthesis.composition import Composition, PixelState
from scenequilt.tools.commands.compose import add_compose_command
from scenequilt.tools.commands.demo import add_demo_command
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.commands.replay import add_replay_command
from scenequilt.tools.output.picture import picture_row, write_picture
from scenequilt.tools.output.provenance import SourceOf
from scenequilt.tools.output.run_folder import RunFolder

TAXONOMY = Taxonomy(
    "three",
    (
        ClassInfo(7, "sky", (70, 130, 180), "stuff"),
        ClassInfo(8, "road", (128, 64, 128), "stuff"),
        ClassInfo(26, "car", (0, 0, 142), "thing"),
    ),
    (0, 255),
)


@dataclass(frozen=True)
class FixedOrder:
    """An order that is known."""

    back_to_front: tuple[int, ...]


def _placed(
    query_id: int, class_id: int, segment_id: int, source_id: str, top: int
) -> PlacedSegment:
    color = np.full((4, 12, 3), 40 + 90 * class_id, np.uint8)
    mask = np.ones((4, 12), bool)
    segment = Segment(
        segment_id, class_id, source_id, (2, 5, 6, 17), (2, 5, 6, 17), color, mask, (20, 30), False
    )
    return PlacedSegment(
        query_id,
        segment,
        Candidate(segment_id, source_id, 0, 1.5, 0.9, 0.6, 0.0, "frame"),
        np.array([[1.0, 0.0, 5.0], [0.0, 1.0, -2.0]]),
        (top, 0, top + 4, 12),
        color,
        mask,
        0.9,
    )


def _source(source_id: str, licence: str) -> SourceRecord:
    return SourceRecord(
        source_id, (20, 30), "train", "film", licence, "", "a" * 64, "b" * 64, f"{source_id}.jpg"
    )


@pytest.fixture
def composition() -> Composition:
    """A composition of 8x12 pixels, every one known.

    Rows 0-3 are sky from photograph "noon" (segment 2**60 + 1), rows 4-7 road from "dusk" (segment
    12); both are read 5 to the right and 2 above. The last two columns of row 7 are synthesised. A
    car of 2x2 was asked for at row 4, column 5, and the bank has none.
    """
    asked = np.zeros((8, 12), np.uint8)
    asked[4:] = 1
    asked[4:6, 5:7] = 2
    instances = np.where(asked == 2, 1, 0).astype(np.int32)
    delivered = np.zeros((8, 12), np.uint8)
    delivered[4:] = 1
    delivered[7, 10:] = VOID
    placed = (
        _placed(0, 0, 2**60 + 1, "noon", 0),
        _placed(1, 1, 12, "dusk", 4),
    )
    ownership = np.repeat(np.array([0, 1], np.int32), 4)[:, None].repeat(12, axis=1)
    ownership[7, 10:] = -1
    state = np.full((8, 12), PixelState.COPIED, np.uint8)
    state[3:5] = PixelState.BLENDED
    state[7, 10:] = PixelState.SYNTHESISED
    image = np.zeros((8, 12, 3), np.uint8)
    image[:4], image[4:] = 40, 130
    requested = Layout(asked, instances, TAXONOMY)
    boxes = [(0, 0, 4, 12), (4, 0, 8, 12), (4, 5, 6, 7)]
    queries = tuple(
        Query(
            place,
            Region(
                place,
                int(place == 2),
                box,
                np.ones((box[2] - box[0], box[3] - box[1]), bool),
                place < 2,
            ),
            requested,
        )
        for place, box in enumerate(boxes)
    )
    return Composition(
        image=image,
        requested=requested,
        delivered=Layout(delivered, np.zeros((8, 12), np.int32), TAXONOMY),
        ownership=ownership,
        placed=placed,
        order=FixedOrder((0, 1)),
        queries=queries,
        retrievals=(
            Retrieval((placed[0].candidate,), 4),
            Retrieval((placed[1].candidate,), 3),
            Retrieval((), 0),
        ),
        rejected=(),
        state=state,
        coverage=ownership >= 0,
        elided=np.zeros((8, 12), bool),
        seconds={"retrieve": 0.25, "paste": 0.5},
        seed=3,
        variant=0,
        anchor_source_id="",
        finish_name="closed",
    )


@pytest.fixture
def source_of() -> SourceOf:
    """What a bank would say of the photographs of the composition."""
    sources = {"noon": _source("noon", "CC0-1.0"), "dusk": _source("dusk", "")}
    return sources.__getitem__


@pytest.fixture
def hand_made_run(composition: Composition, source_of: SourceOf, tmp_path: Path) -> RunFolder:
    """The folder of a run with one layout, "street", in two variants."""
    layouts = [{"name": "street", "path": "labels/street.png"}]
    run = RunFolder.start(tmp_path / "run", {"choices": {"seed": 3}, "layouts": layouts})
    for variant in (0, 1):
        _add_picture(run, composition, source_of, variant)
    run.close([])
    return run


def _add_picture(
    run: RunFolder, composition: Composition, source_of: SourceOf, variant: int
) -> None:
    workplace = run.workplace("street", variant)
    write_picture(workplace, composition, source_of)
    (workplace / "recipe.json").write_text("{}")
    run.finish(
        workplace,
        {
            "layout": "street",
            "variant": variant,
            "folder": f"street/{variant:02d}",
            **picture_row(composition),
            "own_photographs": [],
            "seconds": composition.seconds,
            "diversity": {"lab_difference": 12.0, "dissimilarity": 0.4, "unshared_sources": 0.5},
        },
    )


@pytest.fixture(scope="session")
def toytown_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toytown in 24 pictures of 64x128, 3 of them val."""
    dataset = tmp_path_factory.mktemp("toytown") / "dataset"
    write_dataset(dataset, count=24, seed=1, size_hw=(64, 128))
    return dataset


@pytest.fixture(scope="session")
def toytown_layouts(toytown_dataset: Path) -> list[Path]:
    """The label maps of toytown's val split."""
    return sorted((toytown_dataset / "labels" / "val").glob("*.png"))


@pytest.fixture(scope="session")
def toytown_bank(toytown_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of toytown's train split."""
    bank = tmp_path_factory.mktemp("bank") / "bank"
    build_bank(open_dataset(toytown_dataset), bank, split="train", min_area_px=12)
    return bank


@pytest.fixture(scope="session")
def toytown_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of a finish for toytown: drawn, not trained, and tiny."""
    import torch

    from scenequilt.memory_bank.toytown.classes import TOYTOWN_TAXONOMY
    from scenequilt.synthesis.network import CanvasGenerator, CanvasGeneratorSettings
    from scenequilt.tools.training.checkpoint import CheckpointCard, write_checkpoint

    with torch.random.fork_rng():
        torch.manual_seed(0)
        settings = CanvasGeneratorSettings(width=0.01)
        network = CanvasGenerator(len(TOYTOWN_TAXONOMY), settings)
        torch.nn.init.normal_(network.rgb.weight, std=0.05)
    card = CheckpointCard(
        network="sims_synthesis",
        settings={"network": {"width": 0.01}},
        taxonomy=TOYTOWN_TAXONOMY.as_json(),
        preprocessing={"range": [0, 1], "elision": {"inner_band": 0.03, "outer_band": 0.05}},
        data={},
        training={},
        program="a test",
    )
    folder = tmp_path_factory.mktemp("weights")
    write_checkpoint(folder / "synthesis.safetensors", network.state_dict(), card, half=True)
    return folder


@pytest.fixture(scope="session")
def toytown_resail_weights(toytown_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of the retrieval-guided generator alone."""
    import torch

    from scenequilt.memory_bank.toytown.classes import TOYTOWN_TAXONOMY
    from scenequilt.synthesis.resail import ResailGenerator, ResailSettings
    from scenequilt.tools.training.checkpoint import read_checkpoint, write_checkpoint

    settings = ResailSettings(channels=(8, 4), hidden=(4, 4), encoder=(4, 4))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ResailGenerator(len(TOYTOWN_TAXONOMY), settings)
    table = {name: list(getattr(settings, name)) for name in ("channels", "hidden", "encoder")}
    card = read_checkpoint(toytown_weights / "synthesis.safetensors").card
    card = replace(card, network="resail", settings={"network": table})
    folder = tmp_path_factory.mktemp("resail")
    write_checkpoint(folder / "resail.safetensors", network.state_dict(), card, half=True)
    return folder


Run = Callable[..., Outcome]


@pytest.fixture(scope="session")
def run_command() -> Run:
    """Run compose, replay or demo as the command line would, without its catching of errors."""

    def run(*argv: str | Path) -> Outcome:
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers(required=True)
        add_compose_command(commands)
        add_replay_command(commands)
        add_demo_command(commands)
        args = parser.parse_args([str(item) for item in argv])
        outcome: Outcome = args.run(args)
        return outcome

    return run


STREET_TAXONOMY = Taxonomy(
    "three",
    (
        ClassInfo(7, "sky", (70, 130, 180), "stuff"),
        ClassInfo(8, "road", (128, 64, 128), "stuff"),
        ClassInfo(26, "car", (0, 0, 142), "thing"),
    ),
    (0, 255),
)

HORIZONS = {"dawn": 6, "dusk": 8, "night": 10, "noon": 18}


@dataclass(frozen=True)
class ColorSegmenter:
    """Sees in every pixel the class of the street whose colour is nearest."""

    name: str = "colors"
    network: str = "colors"
    classes: int = 3
    sha256: str = "c" * 64

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return (B, H, W) class ids of (B, H, W, 3)."""
        palette = STREET_TAXONOMY.palette[: self.classes].astype(np.int32)
        apart = np.square(images[..., None, :].astype(np.int32) - palette).sum(axis=-1)
        return np.asarray(apart.argmin(axis=-1), np.uint8)


@dataclass(frozen=True)
class MeanColors:
    """Features of a picture: its mean red, green and blue, 1 for white."""

    name: str = "mean-colors"
    frechet_name: str = "FD-mean-colors"
    kernel_name: str = "KD-mean-colors"
    dims: int = 3
    sha256: str = "d" * 64

    def features(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return (B, 3) of (B, H, W, 3)."""
        return np.asarray(images.mean(axis=(1, 2)) / 255, np.float32)


@pytest.fixture(scope="session")
def street_taxonomy() -> Taxonomy:
    """Sky, road, car: classes and colours of the street."""
    return STREET_TAXONOMY


@pytest.fixture(scope="session")
def color_segmenter() -> ColorSegmenter:
    """A segmenter of the street that reads the class off the colour."""
    return ColorSegmenter()


@pytest.fixture(scope="session")
def mean_colors() -> MeanColors:
    """A network for features that takes the mean colours."""
    return MeanColors()


@pytest.fixture
def street_segmenter(tmp_path: Path) -> Path:
    """A file of a segmenter: road where red is the strongest colour, car for green, sky for blue."""
    from onnx import TensorProto, helper, save

    shape = ("b", 3, "h", "w")
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path / "strongest.onnx"
    save(model, str(path))
    names = json.dumps({"classes": ["road", "car", "sky"]})
    path.with_name("strongest.onnx.json").write_text(names)
    return path


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """A plain dataset of four layouts of 24x36, and made/ with a picture of each.

    Of "dawn", "dusk", "night" and "noon" sky stands above row 6, 8, 10 and 18, road below; noon has
    a car of 4x13 at row 19, column 4, and a void row at the bottom. Photographs and pictures are
    noise, each of its own, all PNG; sky is bluer than 160, everything else darker than 120. Label
    files hold 7 for sky, 8 for road, 26 for car and 0 for void.
    """
    root = tmp_path / "street"
    for folder in ("images", "labels", "made"):
        (root / folder).mkdir(parents=True)
    (root / "classes.json").write_text(json.dumps(STREET_TAXONOMY.as_json()))
    random = np.random.default_rng(5)
    for name, horizon in HORIZONS.items():
        labels = np.full((24, 36), 8, np.uint8)
        labels[:horizon] = 7
        if name == "noon":
            labels[19:23, 4:17] = 26
            labels[23] = 0
        Image.fromarray(labels).save(root / "labels" / f"{name}.png")
        for folder in ("images", "made"):
            pixels = random.integers(40, 120, (24, 36, 3)).astype(np.uint8)
            pixels[:horizon, :, 2] += 120
            Image.fromarray(pixels).save(root / folder / f"{name}.png")
    return root


@pytest.fixture
def street_bank(street: Path, tmp_path: Path) -> Path:
    """A bank of all photographs of the street, colours without loss."""
    bank = tmp_path / "bank"
    build_bank(open_dataset(street), bank, codec="png")
    return bank
