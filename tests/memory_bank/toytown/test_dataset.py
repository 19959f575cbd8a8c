import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import read_taxonomy
from scenequilt.memory_bank.toytown import TOYTOWN_TAXONOMY, write_dataset

SMALL = (32, 64)
PARTS = {
    "images": ".jpg",
    "labels": ".png",
    "instances": ".png",
    "depth": ".png",
    "occlusion": ".json",
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("toytown") / "set"
    write_dataset(out, count=16, seed=5, size_hw=SMALL)
    return out


def sources(dataset: Path) -> list[dict[str, str]]:
    with (dataset / "sources.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_photograph_has_all_its_files(dataset: Path) -> None:
    for part, suffix in PARTS.items():
        files = {f"{path.parent.name}/{path.stem}" for path in (dataset / part).rglob(f"*{suffix}")}
        assert files == {f"{row['split']}/{row['name']}" for row in sources(dataset)}


def test_one_picture_in_eight_is_val_from_towns_of_its_own(dataset: Path) -> None:
    rows = sources(dataset)

    val = [row for row in rows if row["split"] == "val"]
    assert (len(rows), len(val)) == (16, 2)
    assert not {row["sequence"] for row in val} & {
        row["sequence"] for row in rows if row["split"] == "train"
    }


def test_sources_carry_licence_and_address(dataset: Path) -> None:
    first = sources(dataset)[0]

    assert first == {
        "split": "train",
        "name": "town00_000000",
        "sequence": "town-00",
        "licence": "CC0-1.0",
        "address": "scenequilt toytown",
    }


def test_the_taxonomy_comes_back(dataset: Path) -> None:
    assert read_taxonomy(dataset / "classes.json") == TOYTOWN_TAXONOMY


def test_maps_are_readable_and_fit_the_photograph(dataset: Path) -> None:
    for path in sorted((dataset / "images").rglob("*.jpg")):
        place = Path(path.parent.name) / path.stem
        image = cv2.imread(str(path))
        labels, instances, depth = (
            cv2.imread(str((dataset / part / place).with_suffix(".png")), cv2.IMREAD_UNCHANGED)
            for part in ("labels", "instances", "depth")
        )
        assert image is not None and labels is not None
        assert instances is not None and depth is not None
        assert image.shape == (*SMALL, 3)
        assert labels.shape == instances.shape == depth.shape == SMALL
        assert labels.dtype == np.uint8
        assert instances.dtype == depth.dtype == np.uint16
        assert (TOYTOWN_TAXONOMY.class_of_file_id[labels] >= 0).all()


def test_the_occlusion_order_names_every_instance(dataset: Path) -> None:
    for path in sorted((dataset / "occlusion").rglob("*.json")):
        order = json.loads(path.read_text())["back_to_front"]
        place = (dataset / "instances" / path.parent.name / path.stem).with_suffix(".png")
        instances = cv2.imread(str(place), cv2.IMREAD_UNCHANGED)
        assert instances is not None

        listed = {item["instance_id"] for item in order} - {0}
        assert listed == set(np.unique(instances).tolist()) - {0}


def test_the_same_seed_writes_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "again", count=16, seed=5, size_hw=SMALL)

    for path in sorted(dataset.rglob("*.*")):
        assert (tmp_path / "again" / path.relative_to(dataset)).read_bytes() == path.read_bytes()


def test_a_larger_dataset_begins_with_the_smaller(dataset: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "small", count=4, seed=5, size_hw=SMALL)

    for split, name in (("train", "town00_000002.jpg"), ("val", "valtown00_000000.jpg")):
        small = tmp_path / "small" / "images" / split / name
        assert small.read_bytes() == (dataset / "images" / split / name).read_bytes()


def test_nothing_unfinished_is_left(dataset: Path) -> None:
    assert not list(dataset.rglob("*.part"))


def test_a_run_that_stops_early_is_no_dataset_and_leaves_whole_files(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "set", count=6, seed=1, size_hw=SMALL, progress=stop)

    assert not (tmp_path / "set" / "classes.json").exists()
    assert not list(tmp_path.rglob("*.part"))


def test_progress_is_told_after_each_picture(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    write_dataset(
        tmp_path / "set",
        count=3,
        seed=1,
        size_hw=SMALL,
        progress=lambda done, total: told.append((done, total)),
    )

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(DatasetError, match=r"is not empty; name another folder, or remove"):
        write_dataset(tmp_path, count=1, seed=0, size_hw=SMALL)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")

    with pytest.raises(DatasetError, match=r"is a file, expected a folder to make"):
        write_dataset(tmp_path / "file", count=1, seed=0, size_hw=SMALL)


@pytest.mark.parametrize(
    ("count", "seed", "message"), [(0, 1, "count is 0"), (1, -1, "seed is -1")]
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, count: int, seed: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_dataset(tmp_path / "set", count=count, seed=seed, size_hw=SMALL)
