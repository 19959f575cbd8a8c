"""Regions of a layout: the pieces that become segments of a bank, or queries to one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.extract_kernels import (
    join_across_thin,
    label_components,
    measure_regions,
    root_of,
    unite,
)
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Query, Region
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy


def derive_instances(label_map: NDArray[np.uint8], taxonomy: Taxonomy) -> NDArray[np.int32]:
    """Number the objects of a label map that comes without an instance map.

    An object is an 8-connected component of a thing class. Of a class that is not thin, pieces
    joined through pixels of thin classes (poles, signs) are one object, whose pixels are those of
    its own class only (Qi et al., "Semi-parametric Image Synthesis", CVPR 2018, code).

    Args:
        label_map: (H, W) uint8 class ids, 255 = void.
        taxonomy: The classes.

    Returns:
        (H, W) int32, 0 for stuff and void, then 1, 2, ... by class id and by first pixel.

    Raises:
        ValueError: If label_map is not (H, W) uint8.
    """
    if label_map.ndim != 2 or label_map.dtype != np.uint8:
        raise ValueError(f"label_map must be (H, W) uint8, got {label_map.shape} {label_map.dtype}")
    found = _find_regions(label_map, np.zeros(label_map.shape, np.int32), taxonomy)
    is_thing = _things(taxonomy)[found.class_of]
    number_of = np.where(is_thing, np.cumsum(is_thing), 0).astype(np.int32)
    # Regions are in the order of class ids, so the things among them are too.
    return number_of[found.regions]


def extract_regions(layout: Layout, *, min_area_px: int = 1) -> list[Region]:
    """Cut a layout into regions.

    A thing is one region an instance, also where an occluder cuts it into pieces. Stuff, and
    things that the instance map does not number, are 8-connected components of their class, and
    pieces that thin classes cut apart are one. Void is no region. With min_area_px = 1 the regions
    partition the pixels that are not void.

    Args:
        layout: What to cut.
        min_area_px: Regions of fewer pixels are left out.

    Returns:
        Regions by class id, then by first pixel in raster order.

    Raises:
        ValueError: If min_area_px is below 1.
    """
    if min_area_px < 1:
        raise ValueError(f"min_area_px must be at least 1, got {min_area_px}")
    height, width = layout.size_hw
    found = _find_regions(layout.label_map, layout.instance_map, layout.taxonomy)
    regions = []
    for number in np.flatnonzero(found.area_px >= min_area_px).tolist():
        top, left, bottom, right = found.boxes[number].tolist()
        regions.append(
            Region(
                class_id=int(found.class_of[number]),
                instance_id=int(found.instance_of[number]),
                box=(top, left, bottom, right),
                mask=found.regions[top:bottom, left:right] == number,
                cut_by_frame=top == 0 or left == 0 or bottom == height or right == width,
            )
        )
    return regions


def extract_queries(layout: Layout, *, min_area_px: int = 1) -> list[Query]:
    """Return what a layout asks a bank for: its regions, numbered from 0.

    Args:
        layout: The layout to be photographed.
        min_area_px: Regions of fewer pixels are not asked for. Qi et al. 2018 ask from 0.76 % of
            the picture.

    Raises:
        ValueError: If min_area_px is below 1.
    """
    regions = extract_regions(layout, min_area_px=min_area_px)
    return [Query(query_id, region, layout) for query_id, region in enumerate(regions)]


@dataclass(frozen=True, eq=False)
class _Found:
    """Regions of a layout; n of them, numbered from 1, by class id and first pixel.

    Attributes:
        regions: (H, W) int32, 0 = void.
        boxes: (n + 1, 4) int32 top, left, bottom, right.
        area_px: (n + 1,) int64, 0 for region 0.
        class_of: (n + 1,) uint8, VOID for region 0.
        instance_of: (n + 1,) int32, 0 for stuff.
    """

    regions: NDArray[np.int32]
    boxes: NDArray[np.int32]
    area_px: NDArray[np.int64]
    class_of: NDArray[np.uint8]
    instance_of: NDArray[np.int32]


def _find_regions(
    label_map: NDArray[np.uint8], instance_map: NDArray[np.int32], taxonomy: Taxonomy
) -> _Found:
    is_thing = _things(taxonomy)
    label_map = np.ascontiguousarray(label_map)
    instance_map = np.ascontiguousarray(instance_map)
    pieces, first_pixel = label_components(label_map, instance_map, is_thing, VOID)

    class_of = label_map.ravel()[first_pixel]
    class_of[0] = VOID
    instance_of = np.where(is_thing[class_of], instance_map.ravel()[first_pixel], 0)
    parents = np.arange(len(class_of), dtype=np.int32)
    _join_instances(parents, class_of, instance_of)
    is_thin = np.zeros(256, np.bool_)
    is_thin[: len(taxonomy)] = [entry.thin for entry in taxonomy.classes]
    if is_thin[class_of].any():
        may_join = (instance_of == 0) & (class_of != VOID)
        join_across_thin(pieces, class_of, is_thin[class_of], may_join, parents)

    # A root is the smallest piece of its region, so it holds the region's first pixel.
    root = np.array([root_of(parents, piece) for piece in range(len(parents))], np.int32)
    roots = np.unique(root[1:])
    roots = roots[np.argsort(class_of[roots], kind="stable")]
    number_of = np.zeros(len(root), np.int32)
    number_of[roots] = np.arange(1, len(roots) + 1)
    regions, boxes, area_px = measure_regions(pieces, number_of[root], len(roots))
    with_none = np.concatenate([[0], roots])
    return _Found(regions, boxes, area_px, class_of[with_none], instance_of[with_none])


def _join_instances(
    parents: NDArray[np.int32], class_of: NDArray[np.uint8], instance_of: NDArray[np.int32]
) -> None:
    """Unite the pieces of each instance; one number on two classes is two objects."""
    first_of: dict[tuple[int, int], int] = {}
    for piece in np.flatnonzero(instance_of).tolist():
        first = first_of.setdefault((int(class_of[piece]), int(instance_of[piece])), piece)
        if first != piece:
            unite(parents, first, piece)


def _things(taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Return (256,) bool by label, True for the classes that can be counted."""
    things = np.zeros(256, np.bool_)
    things[: len(taxonomy)] = [entry.kind == "thing" for entry in taxonomy.classes]
    return things
