"""Layouts found, named and read, and what is said of those that cannot be."""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenequilt.memory_bank.errors import LabelError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.tools.layout_files import (
    find_layout_files,
    in_taxonomy,
    read_layout_file,
)
from scenequilt.tools.layout_parents import read_parents

TAXONOMY = Taxonomy(
    "two",
    (
        ClassInfo(7, "sky", (70, 130, 180), "stuff"),
        ClassInfo(26, "car", (0, 0, 142), "thing"),
    ),
    (0,),
)
OTHERS = Taxonomy(
    "others",
    (
        ClassInfo(0, "car", (1, 1, 1), "thing"),
        ClassInfo(1, "sky", (2, 2, 2), "stuff"),
        ClassInfo(2, "whale", (3, 3, 3), "thing"),
    ),
    (255,),
)


def _write(path: Path, labels: list[list[int]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.array(labels, np.uint8))
    return path


def _layout(labels: list[list[int]], taxonomy: Taxonomy = TAXONOMY) -> Layout:
    label_map = np.array(labels, np.uint8)
    return Layout(label_map, (label_map == 1).astype(np.int32), taxonomy)


def test_a_split_of_a_dataset_stands_for_its_label_maps(toytown_dataset: Path) -> None:
    val = find_layout_files([toytown_dataset], split="val")
    everything = find_layout_files([toytown_dataset])

    assert {file.path.parent.name for file in val} == {"val"}
    assert 0 < len(val) < len(everything) == 24


def test_a_split_of_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"split 'val' is asked for, but this is no dataset's"):
        find_layout_files([tmp_path], split="val")


def test_a_folder_stands_for_its_label_maps_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", "notes.txt"):
        _write(tmp_path / name, [[7]]) if name.endswith("png") else (tmp_path / name).touch()

    assert [file.name for file in find_layout_files([tmp_path])] == ["a", "b"]


def test_a_dataset_stands_for_its_labels_only(tmp_path: Path) -> None:
    for folder in ("images", "labels/val", "instances/val"):
        _write(tmp_path / folder / "a.png", [[7]])

    found = find_layout_files([tmp_path])

    assert [file.path for file in found] == [tmp_path / "labels" / "val" / "a.png"]


def test_what_lies_beside_cityscapes_label_maps_is_left_out(tmp_path: Path) -> None:
    for kind in ("labelIds", "instanceIds", "color"):
        _write(tmp_path / f"ulm_000_gtFine_{kind}.png", [[7]])

    assert [file.name for file in find_layout_files([tmp_path])] == ["ulm_000_gtFine_labelIds"]


def test_a_file_given_twice_is_composed_once(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.png", [[7]])

    assert len(find_layout_files([path, tmp_path])) == 1


def test_files_of_one_name_get_their_folders_in_front(tmp_path: Path) -> None:
    for path in ("train/0001.png", "val/0001.png", "val/0002.png"):
        _write(tmp_path / path, [[7]])

    names = [file.name for file in find_layout_files([tmp_path])]

    assert names == ["train-0001", "val-0001", "0002"]


def test_names_that_differ_in_case_only_are_told_apart(tmp_path: Path) -> None:
    _write(tmp_path / "x" / "Street.png", [[7]])
    _write(tmp_path / "y" / "street.png", [[7]])

    assert [file.name for file in find_layout_files([tmp_path])] == ["x-Street", "y-street"]


def test_a_layout_cannot_take_a_name_of_the_run(tmp_path: Path) -> None:
    _write(tmp_path / "mine" / "page_files.png", [[7]])

    names = [file.name for file in find_layout_files([tmp_path], reserved=("page_files",))]

    assert names == ["mine-page_files"]


def test_what_a_run_writes_into_the_folder_of_its_layouts_is_no_layout(tmp_path: Path) -> None:
    _write(tmp_path / "a.png", [[7]])
    _write(tmp_path / "out" / "a" / "00" / "label.png", [[7]])

    assert [file.name for file in find_layout_files([tmp_path], outside=tmp_path / "out")] == ["a"]


def test_an_absent_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere.png: no such file or folder, expected a label"):
        find_layout_files([tmp_path / "nowhere.png"])


def test_a_folder_without_label_maps_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no label map in this folder, expected \*.png"):
        find_layout_files([tmp_path])


def test_a_label_map_is_read_in_the_classes_of_the_bank(tmp_path: Path) -> None:
    layout = read_layout_file(_write(tmp_path / "a.png", [[7, 26], [0, 26]]), TAXONOMY)

    assert layout.label_map.tolist() == [[0, 1], [VOID, 1]]


def test_an_unknown_value_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.png", [[7, 99]])

    with pytest.raises(LabelError, match=r"a.png.*99"):
        read_layout_file(path, TAXONOMY)


def test_a_layout_of_void_alone_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.png", [[0, 0]])

    with pytest.raises(LabelError, match=r"a.png: every pixel is void, expected a class of 'two'"):
        read_layout_file(path, TAXONOMY)


def test_a_missing_instance_map_is_named_where_instances_lie_beside(tmp_path: Path) -> None:
    path = _write(tmp_path / "labels" / "val" / "a.png", [[7]])
    (tmp_path / "instances" / "val").mkdir(parents=True)

    with pytest.raises(LabelError, match=r"instances/val/a.png is missing, expected because.*add"):
        read_layout_file(path, TAXONOMY)


def test_an_instance_map_of_another_size_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path / "labels" / "a.png", [[7, 26]])
    _write(tmp_path / "instances" / "a.png", [[0, 1, 1]])

    with pytest.raises(LabelError, match=r"instances/a.png.*(1x3|3x1).*(1x2|2x1)"):
        read_layout_file(path, TAXONOMY)


@dataclass(frozen=True)
class _Photograph:
    source_id: str
    split: str = "train"
    image_sha256: str = "0" * 64


def test_parents_are_found_in_a_bank_by_their_bytes_and_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    row: dict[str, object] = {"name": "layout_00000", "parents": ["street", "val-park"]}
    row |= {"image_sha256": {"street": "a" * 64}}
    (tmp_path / "layouts.jsonl").write_text(json.dumps(row) + "\n")
    photographs = [
        _Photograph("renamed", image_sha256="a" * 64),
        _Photograph("street", image_sha256="b" * 64),
        _Photograph("street~cccccccc", image_sha256="c" * 64),
        _Photograph("park", split="val"),
        _Photograph("park", split="train"),
        _Photograph("other"),
    ]

    parents = read_parents(tmp_path / "labels")

    assert parents["layout_00000"].sources(photographs) == [
        "renamed", "street", "street~cccccccc", "park",
    ]  # fmt: skip


def test_layouts_without_a_record_have_no_parents(tmp_path: Path) -> None:
    assert read_parents(tmp_path / "labels") == {}


@pytest.mark.parametrize("text", ["{", '{"id": 3}', "3", '{"name": "a", "parents": "street"}'])
def test_a_record_of_parents_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "layouts.jsonl").write_text(text)

    with pytest.raises(LabelError, match=r'layouts.jsonl: cannot be read .*"name" and "parents"'):
        read_parents(tmp_path / "labels")


def test_classes_are_matched_by_name() -> None:
    layout = in_taxonomy(_layout([[0, 1], [1, VOID]], OTHERS), TAXONOMY, where="a.png")

    assert layout.label_map.tolist() == [[1, 0], [0, VOID]]
    assert layout.taxonomy is TAXONOMY


def test_a_class_that_the_bank_has_not_is_named_with_those_it_has() -> None:
    with pytest.raises(
        LabelError, match=r"a.png: holds class 'whale' \(value 2\).* has sky, car; "
    ):
        in_taxonomy(_layout([[2]], OTHERS), TAXONOMY, where="a.png")


def test_a_class_that_the_layout_does_not_show_need_not_be_known() -> None:
    assert in_taxonomy(_layout([[1]], OTHERS), TAXONOMY, where="a.png").label_map.tolist() == [[0]]


def test_half_the_size_takes_the_pixels_under_the_centres() -> None:
    layout = _layout([[0, 0, 1, 1], [0, VOID, 1, 0]]).resized((1, 2))

    assert layout.label_map.tolist() == [[VOID, 0]]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4))
def test_a_multiple_of_the_size_repeats_every_pixel(height: int, width: int, times: int) -> None:
    labels = (np.arange(height * width) % 2).reshape(height, width).astype(np.uint8)

    layout = _layout(labels.tolist()).resized((height * times, width * times))

    assert (layout.label_map == labels.repeat(times, axis=0).repeat(times, axis=1)).all()
    assert (layout.instance_map == (layout.label_map == 1)).all()
