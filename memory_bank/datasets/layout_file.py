"""A layout from a label file, with or without the instance and depth files beside it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scenequilt.memory_bank.datasets.files import (
    OWN_CLASSES,
    Color,
    InstanceForm,
    decode_colors,
    decode_depth,
    decode_ids,
    decode_instances,
    read_raster,
)
from scenequilt.memory_bank.datasets.interface import Repair
from scenequilt.memory_bank.errors import LabelError
from scenequilt.memory_bank.extract import derive_instances
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import Taxonomy

LabelForm = Literal["ids", "colors", "either"]
"""What a label file holds: class ids, the classes' colours, or what its channels say."""


@dataclass(frozen=True, slots=True)
class Companions:
    """What lies beside a label file.

    Attributes:
        instance_path: Its instance map, or None.
        depth_path: Its depth map, or None.
    """

    instance_path: Path | None = None
    depth_path: Path | None = None


def read_layout(
    path: Path,
    taxonomy: Taxonomy,
    *,
    instance_path: Path | None = None,
    depth_path: Path | None = None,
    repair: Repair = "none",
    label_form: LabelForm = "either",
    instance_form: InstanceForm | None = None,
    void_colors: tuple[Color, ...] = ((0, 0, 0),),
    unknown_remedy: str = OWN_CLASSES,
) -> Layout:
    """Read a layout.

    Args:
        path: The label file.
        taxonomy: Its classes.
        instance_path: Its instance file; without one the objects are derived.
        depth_path: Its depth file: 16 bits, millimetres, 0 = unknown.
        repair: What to do with values that are no class.
        label_form: What the label file holds.
        instance_form: What the instance file's values mean; None: what its name says
            (*_instanceIds: Cityscapes; a folder *_inst: over the labels; else plain numbers).
        void_colors: Colours that mean void, for a label file of colours.
        unknown_remedy: What a user can do about a value that is no class, for the message.

    Returns:
        Label map, instance map and depth, all of one size.

    Raises:
        LabelError: If a file is unreadable, sizes differ, or a value is unknown.
    """
    raster = read_raster(path, "label map")
    _refuse_other_cityscapes_ids(path, taxonomy)
    if label_form == "colors" or (label_form == "either" and raster.mode in ("RGB", "RGBA")):
        label_map = decode_colors(raster, taxonomy, void_colors, repair)
    else:
        label_map = decode_ids(raster, taxonomy, repair, remedy=unknown_remedy)
    if instance_path is None:
        instance_map = derive_instances(label_map, taxonomy)
    else:
        instance_map = decode_instances(
            read_raster(instance_path, "instance map"),
            label_map,
            taxonomy,
            instance_form or _instance_form_of(instance_path),
        )
    depth_m = None
    if depth_path is not None:
        depth_m = decode_depth(read_raster(depth_path, "depth map"), raster.size_hw)
    return Layout(label_map, instance_map, taxonomy, depth_m)


def companions(label_path: Path) -> Companions:
    """Find the instance and depth files that belong to a label file, by the known folder forms.

    labels/[split/]NAME.png has instances/ and depth/ beside labels/; *_gtFine_labelIds.png has
    *_gtFine_instanceIds.png in the same folder; X_label/ has X_inst/ beside it.
    """
    found: dict[str, Path | None] = {"instances": None, "depth": None}
    folder = label_path.parent
    for labels in (folder, folder.parent):
        if labels.name == "labels":
            for kind in found:
                other = labels.parent / kind / label_path.relative_to(labels)
                found[kind] = other.with_suffix(".png") if _is_png(other) else None
            return Companions(found["instances"], found["depth"])
    instance_name = re.sub(r"_label(Train)?Ids\.png$", "_instanceIds.png", label_path.name)
    beside = folder
    if folder.name.endswith("_label"):
        beside = folder.with_name(folder.name.removesuffix("_label") + "_inst")
    instance_path = beside / instance_name
    if instance_path == label_path or not instance_path.is_file():
        return Companions()
    return Companions(instance_path=instance_path)


def _is_png(path: Path) -> bool:
    return path.with_suffix(".png").is_file()


def _instance_form_of(path: Path) -> InstanceForm:
    if path.stem.endswith("_instanceIds"):
        return "cityscapes"
    return "over_labels" if path.parent.name.endswith("_inst") else "numbers"


def _refuse_other_cityscapes_ids(path: Path, taxonomy: Taxonomy) -> None:
    """Label ids and train ids overlap: read as the other they would be other classes silently."""
    if not taxonomy.name.startswith("cityscapes"):
        return
    has = "labelTrainIds" if taxonomy.classes[0].file_id == 0 else "labelIds"
    other = "labelIds" if has == "labelTrainIds" else "labelTrainIds"
    if path.stem.endswith(f"_{other}"):
        raise LabelError(
            f"{path}: label map holds Cityscapes {other}, but the classes of {taxonomy.name!r} are "
            f"{has}; give the file *_{has}.png"
        )
