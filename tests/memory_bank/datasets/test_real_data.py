"""The readers on real photographs."""

from pathlib import Path

import pytest

from scenequilt.memory_bank.datasets.layout_file import companions, read_layout
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.extract import extract_queries, extract_regions
from scenequilt.memory_bank.taxonomy import VOID

pytestmark = pytest.mark.realdata

DATASETS = {
    "camvid": ("plain", 468, {"train", "val"}),
    "nyuv2": ("plain", 795, {""}),
    "cityscapes_sample": ("cityscapes", 8, {"train"}),
    "cocostuff_sample": ("coco_stuff", 21, {"train", "val"}),
}


@pytest.mark.parametrize("name", DATASETS)
def test_dataset_is_recognised_and_listed(real_data: Path, name: str) -> None:
    form, count, splits = DATASETS[name]
    reader = open_dataset(real_data / name)

    entries = reader.entries()

    assert (reader.form, len(entries)) == (form, count)
    assert {entry.split for entry in entries} == splits


@pytest.mark.parametrize("name", DATASETS)
def test_regions_of_photographs_partition_what_is_not_void(real_data: Path, name: str) -> None:
    reader = open_dataset(real_data / name)
    entries = reader.entries()

    for entry in entries[:: max(1, len(entries) // 4)]:
        layout = reader.read(entry).layout
        covered = sum(region.area_px for region in extract_regions(layout))
        assert covered == (layout.label_map != VOID).sum()


def test_camvid_sequences_are_the_films(real_data: Path) -> None:
    entries = open_dataset(real_data / "camvid").entries("train")

    assert {entry.sequence for entry in entries} == {"0001TP", "0006R0", "0016E5"}


def test_nyuv2_brings_depth_within_a_room(real_data: Path) -> None:
    reader = open_dataset(real_data / "nyuv2")

    depth_m = reader.read(reader.entries()[0]).layout.depth_m

    assert depth_m is not None and 0.5 < depth_m.max() < 12


def test_cityscapes_layout_without_photograph_is_read_with_its_instances(real_data: Path) -> None:
    path = min((real_data / "cityscapes_sample" / "test_label").glob("*_labelIds.png"))
    taxonomy = open_dataset(real_data / "cityscapes_sample").taxonomy

    layout = read_layout(path, taxonomy, instance_path=companions(path).instance_path)

    queries = extract_queries(layout, min_area_px=1000)
    assert {query.region.instance_id > 0 for query in queries if query.is_thing} == {True}
