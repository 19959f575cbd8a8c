"""A small composition made by hand, and a run folder that holds pictures of it."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

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
