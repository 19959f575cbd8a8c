"""Cityscapes: the official tree, and flat folders of its files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from scenequilt.memory_bank.datasets.classes import class_info
from scenequilt.memory_bank.datasets.files import Color
from scenequilt.memory_bank.datasets.folder import (
    FolderReader,
    companion,
    files_by_name,
    paired,
    subfolders,
)
from scenequilt.memory_bank.datasets.interface import Entry, Repair
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import Kind, Taxonomy

LabelIds = Literal["labelIds", "labelTrainIds"]

_CLASSES: tuple[tuple[int, str, Color, Kind], ...] = (
    (7, "road", (128, 64, 128), "stuff"),
    (8, "sidewalk", (244, 35, 232), "stuff"),
    (11, "building", (70, 70, 70), "stuff"),
    (12, "wall", (102, 102, 156), "stuff"),
    (13, "fence", (190, 153, 153), "stuff"),
    (17, "pole", (153, 153, 153), "stuff"),
    (19, "traffic light", (250, 170, 30), "stuff"),
    (20, "traffic sign", (220, 220, 0), "stuff"),
    (21, "vegetation", (107, 142, 35), "stuff"),
    (22, "terrain", (152, 251, 152), "stuff"),
    (23, "sky", (70, 130, 180), "stuff"),
    (24, "person", (220, 20, 60), "thing"),
    (25, "rider", (255, 0, 0), "thing"),
    (26, "car", (0, 0, 142), "thing"),
    (27, "truck", (0, 0, 70), "thing"),
    (28, "bus", (0, 60, 100), "thing"),
    (31, "train", (0, 80, 100), "thing"),
    (32, "motorcycle", (0, 0, 230), "thing"),
    (33, "bicycle", (119, 11, 32), "thing"),
)
"""Label id, name, colour and kind of the evaluation classes (Cordts et al., CVPR 2016)."""

_IMAGE_ENDING = "_leftImg8bit"


def cityscapes_taxonomy(label_ids: LabelIds = "labelIds") -> Taxonomy:
    """Return the 19 evaluation classes; everything else in the label files is void."""
    if label_ids == "labelTrainIds":
        by_train_id = (
            class_info(train_id, name, color, kind)
            for train_id, (_, name, color, kind) in enumerate(_CLASSES)
        )
        return Taxonomy("cityscapes19_train_ids", tuple(by_train_id), (255,))
    classes = tuple(class_info(*entry) for entry in _CLASSES)
    void = set(range(34)) - {entry.file_id for entry in classes}
    # The licence plate is -1 in the published table, which an 8-bit file holds as 255.
    return Taxonomy("cityscapes19", classes, (*sorted(void), 255))


@dataclass(frozen=True)
class CityscapesReader(FolderReader):
    """Reads leftImg8bit/SPLIT/CITY and gtFine/SPLIT/CITY, or SPLIT_img, SPLIT_label, SPLIT_inst.

    The sequence of a photograph is its city.

    Attributes:
        label_ids: Which of the label files are read.
    """

    form = "cityscapes"
    expects = (
        "leftImg8bit/SPLIT/CITY/*_leftImg8bit.png with gtFine/SPLIT/CITY/*_gtFine_labelIds.png or "
        "*_gtFine_labelTrainIds.png (and *_gtFine_instanceIds.png), or the same files in "
        "SPLIT_img/, SPLIT_label/ (and SPLIT_inst/)"
    )

    label_ids: LabelIds = "labelIds"

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return True for the official tree or its flat form."""
        official = (root / "leftImg8bit").is_dir() and (root / "gtFine").is_dir()
        return official or _holds_flat(root, "labelIds") or _holds_flat(root, "labelTrainIds")

    @classmethod
    def open(cls, root: Path, repair: Repair = "none") -> Self:
        """Make a reader of a folder; label ids are taken where both kinds of label files are.

        Raises:
            DatasetError: If the folder has no label files of either kind.
        """
        for label_ids in _LABEL_IDS:
            in_tree = next((root / "gtFine").glob(f"*/*/*_gtFine_{label_ids}.png"), None)
            if in_tree is not None or _holds_flat(root, label_ids):
                return cls(root, cityscapes_taxonomy(label_ids), repair, label_ids)
        raise DatasetError(
            f"{root}: no *_gtFine_labelIds.png or *_gtFine_labelTrainIds.png; expected "
            f"{cls.expects}"
        )

    def list_entries(self) -> Iterator[Entry]:
        """Yield the photographs of all splits."""
        for folder in subfolders(self.root / "leftImg8bit"):
            for city in subfolders(folder):
                labels = self.root / "gtFine" / folder.name / city.name
                yield from self._entries_of(folder.name, city, labels, labels)
        for images in subfolders(self.root):
            if images.name.endswith("_img"):
                split = images.name.removesuffix("_img")
                labels, instances = (self.root / f"{split}_{kind}" for kind in ("label", "inst"))
                yield from self._entries_of(split, images, labels, instances)

    def _entries_of(
        self, split: str, images: Path, labels: Path, instances: Path
    ) -> Iterator[Entry]:
        label_ending = f"_gtFine_{self.label_ids}"
        instance_paths = files_by_name(instances, (".png",), "_gtFine_instanceIds")
        for name, image_path, label_path in paired(
            files_by_name(images, ending=_IMAGE_ENDING),
            files_by_name(labels, (".png",), label_ending),
            images / f"*{_IMAGE_ENDING}.png",
            labels / f"*{label_ending}.png",
        ):
            yield Entry(
                source_id=name,
                image_path=image_path,
                label_path=label_path,
                instance_path=companion(
                    instance_paths, instances / "*_gtFine_instanceIds.png", name
                ),
                split=split,
                sequence=name.split("_")[0],
            )


_LABEL_IDS: tuple[LabelIds, ...] = ("labelIds", "labelTrainIds")


def _holds_flat(root: Path, label_ids: LabelIds) -> bool:
    return next(root.glob(f"*_label/*_gtFine_{label_ids}.png"), None) is not None
