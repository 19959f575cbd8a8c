"""Label maps of a folder and of a dataset, and tables of classes that must say the same."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.datasets.cityscapes import cityscapes_taxonomy
from scenequilt.memory_bank.errors import DatasetError, LabelError
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy, read_taxonomy
from scenequilt.tools.evaluation.label_maps import find_label_maps, matching_ids


@pytest.fixture
def taxonomy(street: Path) -> Taxonomy:
    return read_taxonomy(street / "classes.json")


def test_label_maps_of_a_folder_are_read_by_the_table_given(
    street: Path, taxonomy: Taxonomy
) -> None:
    maps = find_label_maps(street / "labels", taxonomy)
    labels = maps.read(maps.paths["noon"])

    assert list(maps.paths) == ["dawn", "dusk", "night", "noon"]
    assert labels[[0, 18, 19, 23], 5].tolist() == [0, 1, 2, VOID]


def test_a_dataset_says_itself_what_its_values_mean(street: Path) -> None:
    maps = find_label_maps(street, None)

    assert maps.taxonomy.name == "three"
    assert maps.split_of == {"dawn": "", "dusk": "", "night": "", "noon": ""}
    assert maps.read(maps.paths["dawn"])[[5, 6], 0].tolist() == [0, 1]


def test_layouts_without_photographs_bring_their_own_table(street: Path) -> None:
    shutil.rmtree(street / "images")

    maps = find_label_maps(street, None)

    assert list(maps.paths) == ["dawn", "dusk", "night", "noon"]
    assert maps.taxonomy.name == "three"


def test_label_maps_of_colours_are_read(street: Path, taxonomy: Taxonomy) -> None:
    (street / "colours").mkdir()
    Image.new("RGB", (3, 2), (128, 64, 128)).save(street / "colours" / "a.png")

    maps = find_label_maps(street / "colours", taxonomy)

    assert np.array_equal(maps.read(maps.paths["a"]), np.ones((2, 3), np.uint8))


def test_of_two_files_of_cityscapes_the_one_with_the_ids_of_the_table_is_read(
    tmp_path: Path,
) -> None:
    Image.new("L", (3, 2), 7).save(tmp_path / "x_gtFine_labelIds.png")
    Image.new("L", (3, 2), 1).save(tmp_path / "x_gtFine_labelTrainIds.png")
    Image.new("L", (3, 2), 0).save(tmp_path / "x_gtFine_instanceIds.png")

    by_id = find_label_maps(tmp_path, cityscapes_taxonomy())
    by_train_id = find_label_maps(tmp_path, cityscapes_taxonomy("labelTrainIds"))

    assert by_id.read(by_id.paths["x"])[0, 0] == 0, "7 is the road, class 0"
    assert by_train_id.read(by_train_id.paths["x"])[0, 0] == 1


def test_a_value_that_is_no_class_is_refused(street: Path, taxonomy: Taxonomy) -> None:
    Image.new("L", (3, 2), 9).save(street / "labels" / "odd.png")
    maps = find_label_maps(street / "labels", taxonomy)

    with pytest.raises(LabelError, match=r"odd\.png: label map holds value 9 .*--classes FILE"):
        maps.read(maps.paths["odd"])


def test_values_without_a_table_are_refused(street: Path) -> None:
    (street / "classes.json").unlink()

    with pytest.raises(
        ValueError, match=r"--labels .*nothing says what the values mean.*--classes"
    ):
        find_label_maps(street / "labels", None)


def test_a_table_beside_the_folder_is_read_unless_another_is_given(
    street: Path, taxonomy: Taxonomy
) -> None:
    other = dataclasses.replace(taxonomy, name="other")

    assert find_label_maps(street / "labels", None).taxonomy == taxonomy
    assert find_label_maps(street / "labels", None, other).taxonomy == taxonomy
    assert find_label_maps(street / "labels", other).taxonomy == other
    (street / "classes.json").unlink()
    assert find_label_maps(street / "labels", None, other).taxonomy == other


def test_a_folder_that_is_not_there_is_refused(street: Path) -> None:
    with pytest.raises(DatasetError, match=r"--labels .*gone does not exist"):
        find_label_maps(street / "gone", None)
    with pytest.raises(DatasetError, match=r"--labels .*classes\.json is a file"):
        find_label_maps(street / "classes.json", None)


def test_tables_in_another_order_are_matched_by_name(taxonomy: Taxonomy) -> None:
    turned = dataclasses.replace(taxonomy, classes=taxonomy.classes[::-1])

    ids = matching_ids(turned, taxonomy, their_name="the bank", our_name="the set")

    assert ids[[0, 1, 2, VOID]].tolist() == [2, 1, 0, VOID]


def test_tables_with_other_names_are_refused_with_names_and_counts(taxonomy: Taxonomy) -> None:
    fewer = dataclasses.replace(taxonomy, name="two", classes=taxonomy.classes[:2])

    with pytest.raises(
        DatasetError,
        match=r"the bank has 2 classes \('two'\), the set has 3 \('three'\); only in the first: "
        r"none; only in the second: car",
    ):
        matching_ids(fewer, taxonomy, their_name="the bank", our_name="the set")
