"""What is particular to each form."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.datasets.ade20k import ade20k_taxonomy
from scenequilt.memory_bank.datasets.cityscapes import cityscapes_taxonomy
from scenequilt.memory_bank.datasets.coco_stuff import coco_stuff_taxonomy
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.datasets.plain import sequence_of
from scenequilt.memory_bank.datasets.voc import voc_taxonomy
from scenequilt.memory_bank.errors import DatasetError, LabelError
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy

Write = Callable[[str, Path], Path]


def save(path: Path, values: object, dtype: type = np.uint8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "sequence"),
    [("0016E5_07959", "0016E5"), ("0006R0_f00930", "0006R0"), ("0338", ""), ("a_b", "")]
    + [("frankfurt_000000_000576", "frankfurt_000000")],
)
def test_sequence_is_what_stands_before_the_number(name: str, sequence: str) -> None:
    assert sequence_of(name) == sequence


def test_plain_without_split_folders(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(
        json.dumps(cityscapes_taxonomy("labelTrainIds").as_json())
    )
    save(tmp_path / "images" / "a.JPEG", np.zeros((2, 2, 3)))
    save(tmp_path / "labels" / "a.png", [[0, 0], [0, 0]])

    (entry,) = open_dataset(tmp_path).entries()

    assert (entry.source_id, entry.split, entry.sequence) == ("a", "", "")


def test_plain_takes_instances_and_depth(tmp_path: Path, write: Write) -> None:
    root = write("plain", tmp_path)
    save(root / "instances" / "val" / "b_03.png", np.full((4, 6), 300), np.uint16)
    save(root / "depth" / "val" / "b_03.png", np.full((4, 6), 2500), np.uint16)
    reader = open_dataset(root)

    layout = reader.read(reader.entries("val")[0]).layout

    assert layout.instance_map[0].tolist() == [0, 0, 0, 300, 300, 0]
    assert layout.depth_m is not None and (layout.depth_m == 2.5).all()


def test_plain_misses_an_instance_file_where_others_have_one(tmp_path: Path, write: Write) -> None:
    root = write("plain", tmp_path)
    save(root / "instances" / "train" / "a_01.png", np.zeros((4, 6)), np.uint16)
    reader = open_dataset(root)

    with pytest.raises(
        DatasetError, match=r"instances.train.a_02\.png: instance map is missing; add"
    ):
        reader.read(reader.entries("train")[1])


def test_sources_csv_gives_sequence_licence_and_address(tmp_path: Path, write: Write) -> None:
    root = write("plain", tmp_path)
    (root / "sources.csv").write_text(
        "split,name,sequence,licence,address\ntrain,a_01.jpg,film,CC-BY-4.0,http://here/1\n"
    )

    first, second, _ = open_dataset(root).entries()

    assert (first.sequence, first.licence, first.address) == ("film", "CC-BY-4.0", "http://here/1")
    assert (second.sequence, second.licence) == ("a", "")


def test_sources_csv_without_a_column_is_refused(tmp_path: Path, write: Write) -> None:
    root = write("plain", tmp_path)
    (root / "sources.csv").write_text("file,licence\na_01,CC0\n")

    with pytest.raises(DatasetError, match=r"sources\.csv: no column 'split', expected split,name"):
        open_dataset(root).entries()


def test_sources_csv_with_a_doubled_row_is_refused(tmp_path: Path, write: Write) -> None:
    root = write("plain", tmp_path)
    (root / "sources.csv").write_text("split,name\ntrain,a_01\ntrain,a_01\n")

    with pytest.raises(DatasetError, match="line 3: split 'train' name 'a_01' is there twice"):
        open_dataset(root).entries()


def test_sources_csv_row_of_no_photograph_is_warned_of(
    tmp_path: Path, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    root = write("plain", tmp_path)
    (root / "sources.csv").write_text("split,name\ntrain,a_99\n")

    with caplog.at_level(logging.WARNING):
        open_dataset(root).entries()

    assert "1 rows name no photograph, the first is split 'train' name 'a_99'" in caplog.text


@pytest.mark.parametrize(
    ("kind", "twin", "names"),
    [
        ("images", "a_01.png", r"a_01\.jpg and a_01\.png"),
        ("labels", "a_01.jpg", r"a_01\.jpg and a_01\.png"),
        ("labels", "a_01.PNG", r"a_01\.PNG and a_01\.png"),
    ],
)
def test_two_files_of_one_name_are_refused_when_they_are_read_and_stop_no_other(
    tmp_path: Path, write: Write, kind: str, twin: str, names: str
) -> None:
    root = write("plain", tmp_path)
    save(root / kind / "train" / "same.png", np.zeros((4, 6, 3))).rename(
        root / kind / "train" / twin
    )
    (root / kind / "train" / "a_01.txt").write_text("notes")
    reader = open_dataset(root, "plain")

    twice, once, other = reader.entries()

    with pytest.raises(DatasetError, match=f"train: {names} have the same name; keep one of them"):
        reader.read(twice)
    assert reader.read(once).entry.source_id == "a_02"
    assert reader.read(other).entry.source_id == "b_03"


def test_split_of_layouts_without_photographs_is_not_listed(tmp_path: Path, write: Write) -> None:
    root = write("plain", tmp_path)
    save(root / "labels" / "test" / "c_04.png", np.zeros((4, 6)))
    reader = open_dataset(root)

    assert {entry.split for entry in reader.entries()} == {"train", "val"}
    with pytest.raises(
        DatasetError, match=r"split 'test' does not exist or has no photograph with"
    ):
        reader.entries("test")


def test_a_split_of_a_dataset_without_splits_is_refused_as_such(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    save(labels / "a.png", np.zeros((4, 6)))
    save(tmp_path / "images" / "a.png", np.zeros((4, 6, 3)))
    (tmp_path / "classes.json").write_text(
        '{"void_id": 9, "classes": [{"id": 0, "name": "sky", "color": [0, 0, 0], "kind": "stuff"}]}'
    )

    with pytest.raises(DatasetError, match=r"'val' is asked for, but this dataset has no splits"):
        open_dataset(tmp_path).entries("val")


def test_one_label_file_of_colors_among_ids_is_refused(tmp_path: Path, write: Write) -> None:
    root = write("plain", tmp_path)
    save(root / "labels" / "train" / "a_02.png", np.full((4, 6, 3), (0, 0, 142)))
    reader = open_dataset(root)

    with pytest.raises(LabelError, match=r"a_02\.png: .* --reader rgb_masks"):
        reader.read(reader.entries("train")[1])


def test_rgb_masks_take_void_colors_of_classes_json(tmp_path: Path, write: Write) -> None:
    root = write("rgb_masks", tmp_path)
    table = json.loads((root / "classes.json").read_text())
    (root / "classes.json").write_text(json.dumps({**table, "void_colors": [[255, 255, 255]]}))
    save(root / "labels" / "val" / "b_03.png", np.full((4, 6, 3), 255))
    reader = open_dataset(root)

    assert (reader.read(reader.entries("val")[0]).layout.label_map == VOID).all()


def test_rgb_masks_refuse_wrong_void_colors(tmp_path: Path, write: Write) -> None:
    root = write("rgb_masks", tmp_path)
    table = json.loads((root / "classes.json").read_text())
    (root / "classes.json").write_text(json.dumps({**table, "void_colors": [0, 0, 0]}))

    with pytest.raises(
        DatasetError, match=r"void_colors is \[0, 0, 0\], expected a list of \[r, g"
    ):
        open_dataset(root)


def test_rgb_masks_refuse_two_classes_of_one_color(tmp_path: Path, write: Write) -> None:
    root = write("rgb_masks", tmp_path)
    table = json.loads((root / "classes.json").read_text())
    table["classes"][0]["color"] = [0, 0, 142]
    (root / "classes.json").write_text(json.dumps(table))

    with pytest.raises(
        DatasetError, match=r"colour \(0, 0, 142\) is that of sky and car, expected"
    ):
        open_dataset(root)


def test_cityscapes_has_the_19_evaluation_classes() -> None:
    taxonomy = cityscapes_taxonomy()

    assert len(taxonomy) == 19
    assert [entry.name for entry in taxonomy.classes if entry.thin] == [
        "pole",
        "traffic_light",
        "traffic_sign",
    ]


def test_cityscapes_reads_every_published_value() -> None:
    assert (cityscapes_taxonomy().class_of_file_id[[*range(34), 255]] >= 0).all()


def test_cityscapes_ids_and_train_ids_name_the_same_classes() -> None:
    by_label_id, by_train_id = cityscapes_taxonomy("labelIds"), cityscapes_taxonomy("labelTrainIds")

    assert [e.name for e in by_label_id.classes] == [e.name for e in by_train_id.classes]


def test_cityscapes_sequence_is_the_city(tmp_path: Path, write: Write) -> None:
    entries = open_dataset(write("cityscapes", tmp_path)).entries()

    assert [entry.sequence for entry in entries] == ["aachen", "aachen", "ulm"]


def test_cityscapes_takes_numbers_from_instance_ids(tmp_path: Path, write: Write) -> None:
    reader = open_dataset(write("cityscapes", tmp_path))

    assert reader.read(reader.entries()[0]).layout.instance_map.max() == 26004


def test_cityscapes_reads_train_ids_where_label_ids_are_not(tmp_path: Path, write: Write) -> None:
    root = write("cityscapes", tmp_path)
    for path in list(root.rglob("*_labelIds.png")):
        path.unlink()
    reader = open_dataset(root)

    layout = reader.read(reader.entries()[0]).layout

    assert reader.taxonomy.name == "cityscapes19_train_ids"
    assert layout.label_map[0].tolist() == [10, 10, 10, 13, 13, VOID]


def test_cityscapes_flat_form(tmp_path: Path, write: Write) -> None:
    tree = write("cityscapes", tmp_path / "tree")
    flat = tmp_path / "flat"
    for pattern, folder in (("leftImg8bit", "img"), ("labelIds", "label"), ("instanceIds", "inst")):
        (flat / f"train_{folder}").mkdir(parents=True)
        for path in tree.rglob(f"*_{pattern}.png"):
            path.rename(flat / f"train_{folder}" / path.name)
    reader = open_dataset(flat)

    assert reader.form == "cityscapes"
    assert [entry.split for entry in reader.entries()] == ["train"] * 3
    assert reader.read(reader.entries()[0]).layout.instance_map.max() == 26004


def test_cityscapes_without_label_files_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "leftImg8bit/train/ulm/ulm_0_leftImg8bit.png", np.zeros((2, 2, 3)))
    (tmp_path / "gtFine").mkdir()

    with pytest.raises(
        DatasetError, match=r"no \*_gtFine_labelIds\.png or \*_gtFine_labelTrainIds"
    ):
        open_dataset(tmp_path)


def test_ade20k_has_150_classes_50_of_them_stuff() -> None:
    taxonomy = ade20k_taxonomy()

    assert [entry.file_id for entry in taxonomy.classes] == list(range(1, 151))
    assert sum(entry.kind == "stuff" for entry in taxonomy.classes) == 50


@pytest.mark.parametrize(("value", "name"), [(1, "wall"), (21, "car"), (94, "pole"), (150, "flag")])
def test_ade20k_names_are_the_published_ones(value: int, name: str) -> None:
    assert ade20k_taxonomy().classes[value - 1].name == name


def test_ade20k_takes_names_from_object_info(tmp_path: Path, write: Write) -> None:
    root = write("ade20k", tmp_path)
    lines = ["Idx\tRatio\tTrain\tVal\tName"]
    lines += [f"{value}\t0.1\t1\t1\tthing {value}, other" for value in range(1, 151)]
    (root / "objectInfo150.txt").write_text("\n".join(lines))

    assert open_dataset(root).taxonomy.classes[20].name == "thing_21"


def test_ade20k_refuses_a_short_object_info(tmp_path: Path, write: Write) -> None:
    root = write("ade20k", tmp_path)
    (root / "objectInfo150.txt").write_text("Idx\tName\n1\twall\n")

    with pytest.raises(
        DatasetError, match=r"objectInfo150\.txt: 1 classes, expected a header and 150"
    ):
        open_dataset(root)


def test_panoptic_carries_licence_and_address(tmp_path: Path, write: Write) -> None:
    entry = open_dataset(write("coco_panoptic", tmp_path)).entries()[0]

    assert (entry.licence, entry.address) == ("Attribution License", "http://flickr/a_01.jpg")


def test_panoptic_classes_are_the_categories_of_the_json(tmp_path: Path, write: Write) -> None:
    taxonomy = open_dataset(write("coco_panoptic", tmp_path)).taxonomy

    assert [(entry.file_id, entry.name, entry.kind) for entry in taxonomy.classes] == [
        (3, "car", "thing"),
        (187, "sky_other_merged", "stuff"),
    ]


def edit_panoptic(root: Path, change: Callable[[dict[str, object]], None]) -> None:
    path = root / "annotations" / "panoptic_train2017.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


def test_panoptic_crowd_has_no_number(tmp_path: Path, write: Write) -> None:
    root = write("coco_panoptic", tmp_path)
    edit_panoptic(root, lambda t: t["annotations"][0]["segments_info"][1].update(iscrowd=1))  # type: ignore[index]
    reader = open_dataset(root)

    assert not reader.read(reader.entries()[0]).layout.instance_map.any()


def test_panoptic_segment_that_is_not_listed_is_refused(tmp_path: Path, write: Write) -> None:
    root = write("coco_panoptic", tmp_path)
    edit_panoptic(root, lambda t: t["annotations"][0]["segments_info"].pop())  # type: ignore[index]
    reader = open_dataset(root)

    says = r"a_01\.png: label map holds segment 65537 at x=3 y=0 \(8 pixels\), which panoptic_train2017"
    with pytest.raises(LabelError, match=says):
        reader.read(reader.entries()[0])


def test_panoptic_category_that_is_not_listed_is_refused(tmp_path: Path, write: Write) -> None:
    root = write("coco_panoptic", tmp_path)
    edit_panoptic(root, lambda t: t["annotations"][0]["segments_info"][0].update(category_id=5))  # type: ignore[index]
    reader = open_dataset(root)

    with pytest.raises(
        DatasetError, match="segment 300 is of category 5, which categories does not"
    ):
        reader.read(reader.entries()[0])


def test_panoptic_files_of_other_categories_are_refused(tmp_path: Path, write: Write) -> None:
    root = write("coco_panoptic", tmp_path)
    edit_panoptic(root, lambda t: t["categories"].pop())  # type: ignore[attr-defined]

    with pytest.raises(
        DatasetError, match=r"panoptic_val2017\.json: categories differ from those of"
    ):
        open_dataset(root)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("{}", "no key 'images'; expected COCO's"),
        ("[]", "is not of COCO's form"),
    ],
)
def test_broken_annotation_file_is_refused(
    tmp_path: Path, write: Write, text: str, says: str
) -> None:
    root = write("coco_panoptic", tmp_path)
    (root / "annotations" / "panoptic_val2017.json").write_text(text)

    with pytest.raises(DatasetError, match=rf"panoptic_val2017\.json.*{says}"):
        open_dataset(root)


def test_panoptic_cannot_be_repaired(tmp_path: Path, write: Write) -> None:
    with pytest.raises(DatasetError, match="segment ids cannot be repaired; leave --repair out"):
        open_dataset(write("coco_panoptic", tmp_path), repair="nearest")


def test_coco_stuff_has_80_things_and_91_stuff_classes() -> None:
    kinds = [entry.kind for entry in coco_stuff_taxonomy().classes]

    assert (kinds.count("thing"), kinds.count("stuff")) == (80, 91)


@pytest.mark.parametrize(
    ("value", "name"), [(0, "person"), (89, "toothbrush"), (91, "banner"), (181, "wood")]
)
def test_coco_stuff_values_are_published_ids_less_one(value: int, name: str) -> None:
    taxonomy = coco_stuff_taxonomy()

    assert taxonomy.classes[taxonomy.class_of_file_id[value]].name == name


def test_coco_stuff_takes_objects_and_licence_from_instances_json(
    tmp_path: Path, write: Write
) -> None:
    root = write("coco_stuff", tmp_path)
    table = {
        "licenses": [{"id": 1, "url": "http://cc/by-nc/2.0/"}],
        "images": [{"id": 5, "file_name": "a_01.jpg", "license": 1, "coco_url": "http://coco/a"}],
        "annotations": [
            {"image_id": 5, "category_id": 3, "segmentation": [[0, 0, 3, 0, 3, 3, 0, 3]]},
            {"image_id": 5, "category_id": 3, "segmentation": {"counts": [], "size": [4, 6]}},
        ],
        "categories": [],
    }
    (root / "annotations").mkdir()
    (root / "annotations" / "instances_train2017.json").write_text(json.dumps(table))
    reader = open_dataset(root)
    entry = reader.entries()[0]

    layout = reader.read(entry).layout

    assert (entry.licence, entry.address) == ("http://cc/by-nc/2.0/", "http://coco/a")
    assert layout.instance_map[0].tolist() == [0, 0, 0, 1, 0, 0]


def test_coco_stuff_flat_form_numbers_objects_over_the_labels(tmp_path: Path) -> None:
    save(tmp_path / "val_img" / "1.jpg", np.zeros((1, 12, 3)))
    save(tmp_path / "val_label" / "1.png", [[156] * 2 + [2] * 10])
    save(tmp_path / "val_inst" / "1.png", [[156] * 2 + [0] * 5 + [1] * 5])
    reader = open_dataset(tmp_path)

    layout = reader.read(reader.entries()[0]).layout

    assert reader.form == "coco_stuff"
    assert layout.instance_map.tolist() == [[0] * 2 + [1] * 5 + [2] * 5]


def test_voc_has_background_and_20_things() -> None:
    taxonomy = voc_taxonomy()

    assert len(taxonomy) == 21
    assert (taxonomy.classes[15].name, taxonomy.classes[15].color) == ("person", (192, 128, 128))


def test_voc_photograph_of_two_lists_belongs_to_train_or_val(tmp_path: Path, write: Write) -> None:
    entries = open_dataset(write("voc", tmp_path)).entries()

    assert [entry.split for entry in entries] == ["train", "train", "val"]


def test_voc_list_names_what_is_missing(tmp_path: Path, write: Write) -> None:
    root = write("voc", tmp_path)
    with (root / "ImageSets" / "Segmentation" / "val.txt").open("a") as lines:
        lines.write("c_99\n")
    reader = open_dataset(root)

    with pytest.raises(
        DatasetError,
        match=r"JPEGImages.c_99\.jpg: photograph and label map .*SegmentationClass.c_99\.png are both missing; .*take 'c_99' off",
    ):
        reader.read(reader.entries("val")[1])


def test_voc_without_lists_is_refused(tmp_path: Path, write: Write) -> None:
    root = write("voc", tmp_path)
    for path in (root / "ImageSets" / "Segmentation").iterdir():
        path.unlink()

    with pytest.raises(DatasetError, match="no list of photographs; expected train.txt, val.txt"):
        open_dataset(root)


@pytest.mark.parametrize(
    "taxonomy", [cityscapes_taxonomy(), ade20k_taxonomy(), coco_stuff_taxonomy(), voc_taxonomy()]
)
def test_shipped_colors_are_distinct(taxonomy: Taxonomy) -> None:
    colors = [entry.color for entry in taxonomy.classes]

    assert len(set(colors)) == len(colors)
    assert (0, 0, 0) not in colors
