"""The job "orderer": from a small town to weights, and back from their file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.ordering.depth_source import DepthFolder
from scenequilt.ordering.network import OrderNet, OrderNetSettings
from scenequilt.ordering.samples import PairSettings
from scenequilt.ordering.view import ViewSettings
from scenequilt.tools.benchmarks.ordering import grow_regions
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.checkpoint import Checkpoint, read_checkpoint
from scenequilt.tools.training.jobs import orderer
from scenequilt.tools.training.jobs.orderer import DepthOrigin, build_job, restore, restore_orderer
from scenequilt.tools.training.registry import JOBS, load_job
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.trainer import TrainingSettings, train_job

TABLES = {
    "network": OrderNetSettings(width=4 / 512),
    "view": ViewSettings(size_hw=(32, 32)),
    "samples": PairSettings(min_area_share=0.002),
    "depth": DepthOrigin(),
}
FEW = TrainingSettings(total_steps=2, batch_size=4, average_decay=0.5)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("town") / "town"
    write_dataset(folder, count=9, seed=4, size_hw=(96, 192))
    return folder


def request(town: Path, **tables: object) -> TrainingRequest:
    reader = open_dataset(town)
    entries = reader.entries("train")
    return TrainingRequest(
        reader=reader,
        training=entries[:5],
        held_out=entries[5:],
        origin={"dataset": "town"},
        tables={**TABLES, **tables},
        batch_size=4,
        seed=3,
    )


@pytest.fixture(scope="module")
def trained(town: Path, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    out = tmp_path_factory.mktemp("weights") / "orderer.safetensors"
    train_job(build_job(request(town)), FEW, out)
    return read_checkpoint(out)


def test_the_card_says_what_was_learned_from(town: Path, trained: Checkpoint) -> None:
    card = trained.card

    assert card.network == "sims_ordering"
    assert card.data["dataset"] == "town"
    assert card.data["photographs"] == 5
    assert card.data["pairs"] == sum(card.data["pairs_by_truth"].values())
    assert card.data["pairs_by_truth"]["occlusion"] > 0
    assert card.settings["view"]["size_hw"] == [32, 32]
    assert set(card.training["validation"]) >= {
        "pairs",
        "accuracy",
        "nll",
        "calibration_error",
        "temperature",
    }


def test_the_temperature_of_the_trial_is_in_the_file(trained: Checkpoint) -> None:
    assert float(trained.state["temperature"]) == trained.card.training["validation"]["temperature"]
    assert float(trained.state["temperature"]) != 1


def test_the_network_comes_back_as_it_was(town: Path, trained: Checkpoint) -> None:
    network = restore(trained)

    assert isinstance(network, OrderNet)
    assert not network.training
    assert network.view == ViewSettings(size_hw=(32, 32))
    assert all(
        torch.equal(network.state_dict()[name], value) for name, value in trained.state.items()
    )


def test_segments_are_put_in_order_by_it(town: Path, trained: Checkpoint) -> None:
    reader = open_dataset(town)
    queries = extract_queries(reader.read(reader.entries("val")[0]).layout, min_area_px=40)

    orderer_of_file = restore_orderer(trained, dtype=torch.bfloat16)
    order = orderer_of_file.sort(grow_regions(queries), queries)

    assert sorted(order.back_to_front) == list(range(len(queries)))
    sources = {each.source for edge in order.edges for each in edge.evidence}
    assert sources >= {"network", "class", "ground"}


def test_scenes_of_toytown_are_learned_from_and_tried_on(town: Path) -> None:
    samples = PairSettings(min_area_share=0.002, toytown_scenes=12)
    job = build_job(replace(request(town, samples=samples), held_out=[]))
    assert job.validate is not None

    found = job.validate(job.objective.networks["network"].eval())

    assert job.data["scenes"] == 10
    assert found["pairs"] > 10
    assert "accuracy_occlusion" in found


def test_the_first_weights_are_of_the_seed(town: Path) -> None:
    one, again = (build_job(request(town)).objective.networks["network"] for _ in range(2))
    other = build_job(replace(request(town), seed=4)).objective.networks["network"]

    states = [network.state_dict()["head.0.weight"] for network in (one, again, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_depth_maps_of_a_user_label_pairs(town: Path, tmp_path: Path) -> None:
    for part in ("images", "labels", "classes.json"):
        (tmp_path / part).symlink_to(town / part)
    maps = tmp_path / "maps"
    maps.mkdir()
    for entry in open_dataset(town).entries():
        slope = np.linspace(30, 2, 96, dtype=np.float32)
        np.save(maps / f"{entry.source_id}.npy", np.broadcast_to(slope[:, None], (96, 192)))

    with_maps = build_job(request(tmp_path, depth=DepthOrigin(maps=maps)))
    without = build_job(request(tmp_path))

    assert with_maps.data["pairs_by_truth"]["depth"] > 0
    assert "depth" not in without.data["pairs_by_truth"]
    assert with_maps.settings["depth"] == {"maps": "maps", "kind": "metric", "weights": None}
    assert isinstance(DepthOrigin(maps=maps).source(), DepthFolder)


def test_a_sheet_shows_pairs(town: Path) -> None:
    job = build_job(request(town))
    assert job.sheet is not None

    sheet = job.sheet(job.objective.networks["network"].eval())

    assert sheet.shape == (3 * 8 * (32 + 6), 3 * 32, 3)
    assert sheet.dtype == np.uint8


def test_nothing_held_out_is_not_tried(town: Path) -> None:
    assert build_job(replace(request(town), held_out=[])).validate is None


def test_the_shipped_settings_can_be_read() -> None:
    for name in ("orderer", "orderer-small"):
        tables = read_tables(find_config(name), {**orderer.SETTINGS, "training": TrainingSettings})
        assert isinstance(tables["view"], ViewSettings)
    assert load_job("orderer") is orderer
    assert find_config(JOBS["orderer"].config).name == "orderer-small.toml"


def test_weights_of_another_network_are_refused(trained: Checkpoint) -> None:
    other = replace(trained, card=replace(trained.card, network="cgnet"))

    with pytest.raises(CheckpointError, match="of the network 'cgnet', expected 'sims_ordering'"):
        restore(other)


def test_damaged_weights_are_refused(trained: Checkpoint) -> None:
    state = {name: value for name, value in trained.state.items() if name != "temperature"}
    nameless = replace(trained.card, taxonomy=None)

    with pytest.raises(CheckpointError, match="do not fit the network that their card names"):
        restore(replace(trained, state=state))
    with pytest.raises(CheckpointError, match="its card names no classes.*train it again"):
        restore(replace(trained, card=nameless))


def test_two_origins_of_depth_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="maps and weights are both given, expected at most one"):
        DepthOrigin(maps=tmp_path, weights=tmp_path)


def test_a_dataset_without_pairs_is_refused(town: Path) -> None:
    with pytest.raises(DatasetError, match="none of 5 photographs has two regions"):
        build_job(request(town, samples=PairSettings(min_area_share=0.9)))
