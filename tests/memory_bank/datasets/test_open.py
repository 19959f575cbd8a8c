"""Finding the reader of a folder, and what is said where there is none."""

import json
from pathlib import Path

import pytest

from scenequilt.memory_bank.datasets.open import READERS, open_dataset
from scenequilt.memory_bank.errors import DatasetError


def test_no_form_fits_names_every_form_tried(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match="no dataset of a known form; name one with --reader"
    ) as told:
        open_dataset(tmp_path)

    assert all(f"\n  {form}: " in str(told.value) for form in READERS)


def test_unknown_form_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no reader 'kitti'; there are cityscapes, .*plain"):
        open_dataset(tmp_path, "kitti")


def test_unknown_repair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="repair must be 'none' or 'nearest', got 'all'"):
        open_dataset(tmp_path, repair="all")  # type: ignore[arg-type]


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match="nowhere does not exist; give the folder of the dataset"
    ):
        open_dataset(tmp_path / "nowhere")


def test_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    path.touch()

    with pytest.raises(DatasetError, match=r"data\.zip is a file, expected a folder"):
        open_dataset(path)


def test_plain_folder_without_classes_json_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()

    with pytest.raises(DatasetError, match=r"classes\.json is missing; write one with void_id and"):
        open_dataset(tmp_path)


def test_empty_plain_folder_is_refused_when_listed(tmp_path: Path) -> None:
    table = {"void_id": 1, "classes": [{"id": 0, "name": "a", "color": [1, 1, 1], "kind": "stuff"}]}
    (tmp_path / "classes.json").write_text(json.dumps(table))

    with pytest.raises(
        DatasetError, match=r"no photograph with a label map; expected classes\.json"
    ):
        open_dataset(tmp_path).entries()


def test_path_may_be_a_string(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no dataset"):
        open_dataset(str(tmp_path))
