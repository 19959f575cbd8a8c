"""bench ordering: figures of orderers that are known, and what is refused."""

import json
from pathlib import Path

import pytest

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.ordering.depth_network import DepthNetSettings
from scenequilt.ordering.depth_samples import DepthSettings
from scenequilt.ordering.network import OrderNetSettings
from scenequilt.ordering.samples import PairSettings
from scenequilt.ordering.view import ViewSettings
from scenequilt.tools.cli import main
from scenequilt.tools.training.jobs import depth, orderer
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.trainer import TrainingSettings, train_job

ONE_STEP = TrainingSettings(total_steps=1, batch_size=2)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("town") / "town"
    write_dataset(folder, count=9, seed=4, size_hw=(96, 192))
    return folder


@pytest.fixture(scope="module")
def weights(town: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    reader = open_dataset(town)
    tables: dict[str, dict[str, object]] = {
        "orderer": {
            "network": OrderNetSettings(width=4 / 512),
            "view": ViewSettings(size_hw=(32, 32)),
            "samples": PairSettings(min_area_share=0.002),
            "depth": orderer.DepthOrigin(),
        },
        "depth": {
            "network": DepthNetSettings(width=4 / 512, size_hw=(32, 64)),
            "samples": DepthSettings(toytown_share=0.0),
        },
    }
    found = {}
    for name, job in (("orderer", orderer), ("depth", depth)):
        request = TrainingRequest(
            reader=reader,
            training=reader.entries("train")[:2],
            tables=tables[name],
            batch_size=2,
        )
        found[name] = folder / f"{name}.safetensors"
        train_job(job.build_job(request), ONE_STEP, found[name])
    return found


def test_every_orderer_is_measured_on_the_same_pairs(
    town: Path, weights: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(
        ["bench", "ordering", str(town), "--orderer", str(weights["orderer"])]
        + ["--depth", str(weights["depth"]), "--last", "4", "--min-area", "0.2", "--json"]
    )

    (figures,) = json.loads(capsys.readouterr().out)
    orderers = figures["orderers"]
    assert status == 0
    assert figures["pictures"] == 4
    assert set(orderers) == {
        "class order",
        "closed form without depth",
        "closed form",
        "network",
        "network and depth",
        "closed form, depth network",
        "depth network alone",
    }
    for kind in orderers["network"]["scores"]:
        assert len({each["scores"][kind]["pairs"] for each in orderers.values()}) == 1
    assert orderers["closed form"]["scores"]["all but rule"]["accuracy"] > 0.8
    assert orderers["network"]["layouts"] == 4
    assert orderers["network"]["edges"] > 20


def test_without_weights_the_closed_forms_are_measured(
    town: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["bench", "ordering", str(town), "--split", "val", "--min-area", "0.2"])

    text = capsys.readouterr().out
    assert status == 0
    assert "name town, split val" in text
    assert "closed form without depth" in text
    assert "network" not in text


def test_weights_for_none_of_the_datasets_are_refused(
    town: Path, weights: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part in ("images", "labels", "instances", "depth", "occlusion"):
        (tmp_path / part).symlink_to(town / part)
    table = json.loads((town / "classes.json").read_text())
    table["classes"][0]["name"] = "nothing"
    (tmp_path / "classes.json").write_text(json.dumps(table))

    status = main(["bench", "ordering", str(tmp_path), "--orderer", str(weights["orderer"])])

    assert status == 2
    assert "was trained on the classes of none of the datasets" in capsys.readouterr().err


def test_two_networks_for_one_dataset_are_refused(
    town: Path, weights: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(weights["orderer"].read_bytes())
    both = ["--orderer", str(weights["orderer"]), "--orderer", str(copy)]

    status = main(["bench", "ordering", str(town), *both])

    assert status == 2
    assert "has 2 networks of its classes; give one" in capsys.readouterr().err


def test_photographs_of_which_nothing_is_known_are_refused(
    town: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["bench", "ordering", str(town), "--last", "1", "--min-area", "99"])

    assert status == 2
    assert "no photograph has a pair whose order is known" in capsys.readouterr().err


def test_numbers_out_of_range_are_refused(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["bench", "ordering", str(town), "--last", "-1"])

    assert status == 2
    assert "--last is -1, expected at least 0" in capsys.readouterr().err
