"""Layout files without a photograph, and what lies beside them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.datasets.cityscapes import cityscapes_taxonomy
from scenequilt.memory_bank.datasets.layout_file import Companions, companions, read_layout
from scenequilt.memory_bank.errors import LabelError
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy

TAXONOMY = Taxonomy(
    "two",
    (
        ClassInfo(0, "sky", (70, 130, 180), "stuff"),
        ClassInfo(7, "car", (0, 0, 142), "thing"),
    ),
)


def saved(path: Path, values: object, dtype: type = np.uint8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(path)
    return path


def test_objects_are_derived_without_an_instance_file(tmp_path: Path) -> None:
    layout = read_layout(saved(tmp_path / "a.png", [[7, 0, 7]]), TAXONOMY)

    assert layout.instance_map.tolist() == [[1, 0, 2]]


def test_instances_and_depth_are_read_from_their_files(tmp_path: Path) -> None:
    layout = read_layout(
        saved(tmp_path / "a.png", [[7, 0]]),
        TAXONOMY,
        instance_path=saved(tmp_path / "i.png", [[300, 9]], np.uint16),
        depth_path=saved(tmp_path / "d.png", [[2000, 0]], np.uint16),
    )

    assert layout.instance_map.tolist() == [[300, 0]]
    assert layout.depth_m is not None and layout.depth_m.tolist() == [[2.0, 0.0]]


def test_painted_layout_is_read_by_its_colors(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", [[(0, 0, 142), (0, 0, 0)]])

    assert read_layout(path, TAXONOMY).label_map.tolist() == [[1, VOID]]


def test_colors_are_refused_where_ids_are_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", [[(0, 0, 142), (0, 0, 0)]])

    with pytest.raises(LabelError, match="mode RGB, expected class ids"):
        read_layout(path, TAXONOMY, label_form="ids")


def test_depth_of_another_size_is_refused(tmp_path: Path) -> None:
    label_path = saved(tmp_path / "a.png", [[7, 0]])
    depth_path = saved(tmp_path / "d.png", [[1]], np.uint16)

    with pytest.raises(LabelError, match=r"d\.png: depth map is 1x1, but the label map is 2x1"):
        read_layout(label_path, TAXONOMY, depth_path=depth_path)


def test_instance_values_follow_the_name_of_the_file(tmp_path: Path) -> None:
    label_path = saved(tmp_path / "x_gtFine_labelIds.png", [[26, 26, 7]])
    instance_path = saved(tmp_path / "x_gtFine_instanceIds.png", [[26001, 26, 7]], np.uint16)

    layout = read_layout(label_path, cityscapes_taxonomy(), instance_path=instance_path)

    assert layout.instance_map.tolist() == [[26001, 0, 0]]


@pytest.mark.parametrize(
    ("read", "given"), [("labelIds", "labelTrainIds"), ("labelTrainIds", "labelIds")]
)
def test_other_cityscapes_ids_are_refused(tmp_path: Path, read: str, given: str) -> None:
    path = saved(tmp_path / f"x_gtFine_{given}.png", [[7, 8]])
    taxonomy = cityscapes_taxonomy("labelIds" if read == "labelIds" else "labelTrainIds")

    with pytest.raises(
        LabelError, match=rf"holds Cityscapes {given}, but .* give the file \*_{read}"
    ):
        read_layout(path, taxonomy)


@pytest.mark.parametrize("split", ["", "val"])
def test_companions_of_a_plain_label_file(tmp_path: Path, split: str) -> None:
    label_path = saved(tmp_path / "labels" / split / "a.png", [[0]])
    instance_path = saved(tmp_path / "instances" / split / "a.png", [[0]])
    depth_path = saved(tmp_path / "depth" / split / "a.png", [[0]])

    assert companions(label_path) == Companions(instance_path, depth_path)


def test_companion_of_a_cityscapes_label_file(tmp_path: Path) -> None:
    label_path = saved(tmp_path / "gtFine/val/ulm/ulm_0_gtFine_labelIds.png", [[0]])
    instance_path = saved(tmp_path / "gtFine/val/ulm/ulm_0_gtFine_instanceIds.png", [[0]])

    assert companions(label_path) == Companions(instance_path)


def test_companion_in_flat_folders(tmp_path: Path) -> None:
    label_path = saved(tmp_path / "val_label" / "a.png", [[0]])
    instance_path = saved(tmp_path / "val_inst" / "a.png", [[0]])

    assert companions(label_path) == Companions(instance_path)


def test_no_companions_is_no_error(tmp_path: Path) -> None:
    assert companions(saved(tmp_path / "a.png", [[0]])) == Companions()
