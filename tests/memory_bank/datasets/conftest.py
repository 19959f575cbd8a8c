"""Tiny datasets of exactly the published folder forms: two photographs in train, one in val."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

SIZE_HW = (4, 6)

CLASSES = {
    "name": "two",
    "void_id": 9,
    "classes": [
        {"id": 0, "name": "sky", "color": [70, 130, 180], "kind": "stuff"},
        {"id": 7, "name": "car", "color": [0, 0, 142], "kind": "thing"},
    ],
}


def save(path: Path, values: Any, dtype: type = np.uint8) -> Path:  # noqa: ANN401
    """Write an array as an image file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(values, dtype)).save(path)
    return path


def photograph(path: Path) -> Path:
    """Write a photograph of SIZE_HW."""
    return save(path, np.random.default_rng(3).integers(0, 255, (*SIZE_HW, 3)))


def halves(left: object, right: object, void: object) -> list[list[object]]:
    """Return a map of SIZE_HW: left, right, and a last column of void."""
    return [[left] * 3 + [right] * 2 + [void] for _ in range(SIZE_HW[0])]


SPLITS = (("train", "a_01"), ("train", "a_02"), ("val", "b_03"))


def write_plain(root: Path) -> None:
    """Write classes.json, images/SPLIT, labels/SPLIT."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "classes.json").write_text(json.dumps(CLASSES))
    for split, name in SPLITS:
        photograph(root / "images" / split / f"{name}.jpg")
        save(root / "labels" / split / f"{name}.png", halves(0, 7, 9))


def write_rgb_masks(root: Path) -> None:
    """Write the plain form with colours."""
    write_plain(root)
    for split, name in SPLITS:
        colors = halves((70, 130, 180), (0, 0, 142), (0, 0, 0))
        save(root / "labels" / split / f"{name}.png", colors)


def write_cityscapes(root: Path) -> None:
    """Write leftImg8bit and gtFine."""
    for split, name in SPLITS:
        city = "aachen" if split == "train" else "ulm"
        stem = f"{city}_{name}"
        photograph(root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
        labels = root / "gtFine" / split / city
        save(labels / f"{stem}_gtFine_labelIds.png", halves(23, 26, 3))
        save(labels / f"{stem}_gtFine_labelTrainIds.png", halves(10, 13, 255))
        save(labels / f"{stem}_gtFine_instanceIds.png", halves(23, 26004, 3), np.uint16)
        save(labels / f"{stem}_gtFine_color.png", halves((1, 1, 1), (2, 2, 2), (0, 0, 0)))


def write_ade20k(root: Path) -> None:
    """Write images and annotations for training and validation."""
    for split, name in SPLITS:
        folder = {"train": "training", "val": "validation"}[split]
        photograph(root / "images" / folder / f"{name}.jpg")
        save(root / "annotations" / folder / f"{name}.png", halves(3, 21, 0))
    (root / "sceneCategories.txt").write_text("a_01 street\n")


def write_coco_panoptic(root: Path) -> None:
    """Write annotations/panoptic_SPLIT2017.json, its PNGs, and SPLIT2017."""
    categories = [
        {"id": 3, "name": "car", "isthing": 1, "color": [0, 0, 142], "supercategory": "vehicle"},
        {"id": 187, "name": "sky-other-merged", "isthing": 0, "color": [70, 130, 180]},
    ]
    for split in ("train", "val"):
        names = [name for each, name in SPLITS if each == split]
        for name in names:
            photograph(root / f"{split}2017" / f"{name}.jpg")
            colors = halves((44, 1, 0), (1, 0, 1), (0, 0, 0))
            save(root / "annotations" / f"panoptic_{split}2017" / f"{name}.png", colors)
        table = {
            "licenses": [{"id": 4, "name": "Attribution License", "url": "http://cc/by/2.0/"}],
            "images": [
                {
                    "id": number,
                    "file_name": f"{name}.jpg",
                    "license": 4,
                    "flickr_url": f"http://flickr/{name}.jpg",
                    "coco_url": f"http://coco/{name}.jpg",
                }
                for number, name in enumerate(names)
            ],
            "annotations": [
                {
                    "image_id": number,
                    "file_name": f"{name}.png",
                    "segments_info": [
                        {"id": 300, "category_id": 187, "iscrowd": 0},
                        {"id": 65537, "category_id": 3, "iscrowd": 0},
                    ],
                }
                for number, name in enumerate(names)
            ],
            "categories": categories,
        }
        (root / "annotations" / f"panoptic_{split}2017.json").write_text(json.dumps(table))


def write_coco_stuff(root: Path) -> None:
    """Write images/SPLIT2017 and stuffthingmaps/SPLIT2017."""
    for split, name in SPLITS:
        photograph(root / "images" / f"{split}2017" / f"{name}.jpg")
        save(root / "stuffthingmaps" / f"{split}2017" / f"{name}.png", halves(156, 2, 255))


def write_voc(root: Path) -> None:
    """Write JPEGImages, palette PNGs, and ImageSets/Segmentation."""
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, name in SPLITS:
        photograph(root / "JPEGImages" / f"{name}.jpg")
        for folder, right in (("SegmentationClass", 7), ("SegmentationObject", 1)):
            path = root / folder / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            picture = Image.fromarray(np.array(halves(0, right, 255), np.uint8))
            picture.putpalette([value // 2 for value in range(256) for _ in range(3)])
            picture.save(path)
        for each in (split, "trainval"):
            with (lists / f"{each}.txt").open("a") as lines:
                lines.write(f"{name}\n")


WRITERS: dict[str, Callable[[Path], None]] = {
    "plain": write_plain,
    "rgb_masks": write_rgb_masks,
    "cityscapes": write_cityscapes,
    "ade20k": write_ade20k,
    "coco_panoptic": write_coco_panoptic,
    "coco_stuff": write_coco_stuff,
    "voc": write_voc,
}


@pytest.fixture(params=sorted(WRITERS))
def form(request: pytest.FixtureRequest) -> str:
    """Name of each form in turn."""
    return str(request.param)


@pytest.fixture
def dataset(form: str, tmp_path: Path) -> Path:
    """Folder of the form."""
    root = tmp_path / "dataset"
    WRITERS[form](root)
    return root


@pytest.fixture
def write() -> Callable[[str, Path], Path]:
    """Write a tiny dataset of a form to a folder."""

    def writer(form: str, root: Path) -> Path:
        WRITERS[form](root)
        return root

    return writer
