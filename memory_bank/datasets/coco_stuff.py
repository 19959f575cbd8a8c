"""COCO-Stuff: pixel maps of 182 ids with gaps, 255 = unlabelled."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.datasets.classes import class_info, distinct_color
from scenequilt.memory_bank.datasets.coco_json import CocoFile, CocoObject, read_coco
from scenequilt.memory_bank.datasets.folder import (
    FolderReader,
    companion,
    files_by_name,
    paired,
    subfolders,
)
from scenequilt.memory_bank.datasets.interface import Entry, Repair
from scenequilt.memory_bank.datasets.layout_file import read_layout
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import Kind, Taxonomy

_NAMES = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light,
    fire hydrant, street sign, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow,
    elephant, bear, zebra, giraffe, hat, backpack, umbrella, shoe, eye glasses, handbag, tie,
    suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon, bowl, banana,
    apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch,
    potted plant, bed, mirror, dining table, window, desk, toilet, door, tv, laptop, mouse, remote,
    keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, blender, book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush, hair brush,
    banner, blanket, branch, bridge, building-other, bush, cabinet, cage, cardboard, carpet,
    ceiling-other, ceiling-tile, cloth, clothes, clouds, counter, cupboard, curtain, desk-stuff,
    dirt, door-stuff, fence, floor-marble, floor-other, floor-stone, floor-tile, floor-wood, flower,
    fog, food-other, fruit, furniture-other, grass, gravel, ground-other, hill, house, leaves,
    light, mat, metal, mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow,
    plant-other, plastic, platform, playingfield, railing, railroad, river, road, rock, roof, rug,
    salad, sand, sea, shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw,
    structural-other, table, tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete,
    wall-other, wall-panel, wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind,
    window-other, wood
"""
"""Ids 1 to 182 (Caesar et al., CVPR 2018); a file holds id - 1."""

_THINGS = 91
_NOT_USED = frozenset([12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91])
"""Ids that no published file uses."""


def coco_stuff_taxonomy() -> Taxonomy:
    """Return the 80 things and 91 stuff classes, by the values of the pixel maps; 255 is void."""
    names = enumerate((" ".join(name.split()) for name in _NAMES.split(",")), start=1)
    return Taxonomy(
        "coco_stuff171",
        tuple(
            class_info(published - 1, name, distinct_color(published), _kind(published))
            for published, name in names
            if published not in _NOT_USED
        ),
        (255,),
    )


@dataclass(frozen=True)
class CocoStuffReader(FolderReader):
    """Reads images/SPLIT and stuffthingmaps/SPLIT or annotations/SPLIT, or flat folders.

    Flat folders are SPLIT_img, SPLIT_label and, where objects are numbered over the labels,
    SPLIT_inst. annotations/instances_SPLIT.json gives objects, licences and addresses.
    """

    form = "coco_stuff"
    expects = (
        "images/SPLIT/NAME.jpg with stuffthingmaps/SPLIT/NAME.png or annotations/SPLIT/NAME.png "
        "(and annotations/instances_SPLIT.json), or SPLIT_img/, SPLIT_label/ (and SPLIT_inst/)"
    )

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return True for pixel maps with images beside them, in folders or flat."""
        return bool(_folders(root))

    @classmethod
    def open(cls, root: Path, repair: Repair = "none") -> Self:
        """Make a reader of a folder."""
        return cls(root, coco_stuff_taxonomy(), repair)

    def list_entries(self) -> Iterator[Entry]:
        """Yield the photographs of all splits."""
        for split, images, labels, instances in _folders(self.root):
            instance_paths = files_by_name(instances, (".png",))
            annotations = self._annotations(split)
            for name, image_path, label_path in paired(
                files_by_name(images),
                files_by_name(labels, (".png",)),
                images / "*.jpg",
                labels / "*.png",
            ):
                image = None if annotations is None else annotations.images.get(name)
                yield Entry(
                    source_id=name,
                    image_path=image_path,
                    label_path=label_path,
                    instance_path=companion(instance_paths, instances / "*.png", name),
                    split=split,
                    licence="" if image is None else image.licence,
                    address="" if image is None else image.address,
                )

    def files(self, entry: Entry) -> list[Path]:
        """List the files of an entry, and the annotations if its objects are drawn from them."""
        found = super().files(entry)
        if entry.instance_path is None:
            found.append(self._annotation_file(entry.split))
        return found

    def read_layout(self, entry: Entry) -> Layout:
        """Read the layout of an entry, with objects from its file, from polygons, or derived.

        Raises:
            DatasetError: If a file is unreadable, sizes differ, or a value is unknown.
        """
        layout = read_layout(
            entry.label_path,
            self.taxonomy,
            instance_path=entry.instance_path,
            repair=self.repair,
            label_form="ids",
            unknown_remedy=self.unknown_remedy,
            instance_form="over_labels",
        )
        annotations = self._annotations(entry.split)
        if entry.instance_path is not None or annotations is None:
            return layout
        objects = annotations.objects.get(entry.source_id, ())
        instance_map = _draw_objects(layout.label_map, objects, self.taxonomy)
        return Layout(layout.label_map, instance_map, self.taxonomy)

    def _annotation_file(self, split: str) -> Path:
        return self.root / "annotations" / f"instances_{split}.json"

    def _annotations(self, split: str) -> CocoFile | None:
        path = self._annotation_file(split)
        return read_coco(path) if path.is_file() else None


def _kind(published: int) -> Kind:
    return "thing" if published <= _THINGS else "stuff"


def _folders(root: Path) -> list[tuple[str, Path, Path, Path]]:
    """Return split, photographs, label maps and instance maps of each split that has the two."""
    found = []
    for maps in ("stuffthingmaps", "annotations"):
        for labels in subfolders(root / maps):
            for images in (root / "images" / labels.name, root / labels.name):
                if images.is_dir():
                    found.append((labels.name, images, labels, root / f"{labels.name}_inst"))
                    break
        if found:
            return found
    for images in subfolders(root):
        split = images.name.removesuffix("_img")
        labels = root / f"{split}_label"
        if images.name.endswith("_img") and labels.is_dir():
            found.append((split, images, labels, root / f"{split}_inst"))
    return found


def _draw_objects(
    label_map: NDArray[np.uint8], objects: tuple[CocoObject, ...], taxonomy: Taxonomy
) -> NDArray[np.int32]:
    """Number the pixels of each object's class within its polygons; later objects lie above."""
    import cv2

    class_ids = {entry.file_id + 1: place for place, entry in enumerate(taxonomy.classes)}
    numbers = np.zeros(label_map.shape, np.int32)
    for number, thing in enumerate(objects, start=1):
        inside = np.zeros(label_map.shape, np.uint8)
        outlines = [np.array(outline).reshape(-1, 2) for outline in thing.polygons]
        cv2.fillPoly(inside, [outline.round().astype(np.int32) for outline in outlines], 1)
        numbers[(inside == 1) & (label_map == class_ids.get(thing.category_id, -1))] = number
    return numbers
