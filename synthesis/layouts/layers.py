"""Layers: a layout taken apart into what stands behind everything and the objects in front of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.extract import extract_queries, extract_regions
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Box, size_of
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.zones import stuff_zones, zone_labels

RIDER_NAMES = frozenset({"rider", "cyclist", "bicyclist", "motorcyclist"})
RIDDEN_NAMES = frozenset({"bicycle", "bike", "motorcycle", "motorbike", "horse"})
"""Without what they ride, riders would float: where both are classes they move as one object."""

LEAST_SEED_PX = 30
"""Stuff of fewer pixels does not go on behind an object."""

FOOT_SHARE = 0.1
"""Lowest part of an object, in shares of its height, that stands on the ground."""


@dataclass(frozen=True, eq=False)
class LayoutObject:
    """Something that can be taken out of a layout or put into one, all of a piece.

    It is one instance of a thing class; or all poles and signs that touch each other, for a sign
    hangs on its pole; or riders with what they ride.

    Attributes:
        class_id: Its class; of several, the one with most pixels.
        box: (top, left, bottom, right) in layout pixels, end exclusive.
        labels: (h, w) uint8 class ids over the box, VOID where the object is not.
        instances: (h, w) int32 numbers of the layout that it was found in, 0 where it is not.
        thin: True for poles and signs.
    """

    class_id: int
    box: Box
    labels: NDArray[np.uint8]
    instances: NDArray[np.int32]
    thin: bool

    def __post_init__(self) -> None:
        if not self.labels.shape == self.instances.shape == size_of(self.box):
            raise ValueError(
                f"box {self.box} is {size_of(self.box)}, but labels are {self.labels.shape} and "
                f"instances {self.instances.shape}"
            )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(h, w) bool over the box, True on the object, parts behind thin things included."""
        return np.asarray(self.labels != VOID, np.bool_)

    @property
    def foot_row(self) -> int:
        """Row below its lowest pixel."""
        return self.box[2]

    @property
    def foot_columns(self) -> NDArray[np.intp]:
        """Columns of the layout that its lowest part covers, ascending."""
        low = max(1, round(FOOT_SHARE * self.labels.shape[0]))
        return np.flatnonzero(self.mask[-low:].any(axis=0)) + self.box[1]


@dataclass(frozen=True, eq=False)
class Layers:
    """A layout as a background and objects on it.

    Attributes:
        background: (H, W) uint8 class ids of stuff, gone on behind the objects; VOID where the
            layout was void, and wherever there is no stuff at all.
        objects: Back to front: the higher a foot in the picture, the further away.
        taxonomy: The classes.
    """

    background: NDArray[np.uint8]
    objects: tuple[LayoutObject, ...]
    taxonomy: Taxonomy

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.background.shape
        return height, width

    def owners(self) -> NDArray[np.int32]:
        """Return (H, W) int32, place in objects of what is seen at a pixel, -1 = background."""
        return owners_of(self.objects, self.size_hw)

    def flatten(self) -> Layout:
        """Return the layout that is seen; objects are numbered anew, back to front."""
        label_map = self.background.copy()
        instance_map = np.zeros(self.size_hw, np.int32)
        given = 0
        for item in self.objects:
            top, left, bottom, right = item.box
            numbers, places = np.unique(item.instances, return_inverse=True)
            fresh = np.where(numbers > 0, np.cumsum(numbers > 0) + given, 0).astype(np.int32)
            given = max(given, int(fresh.max()))
            np.copyto(label_map[top:bottom, left:right], item.labels, where=item.mask)
            np.copyto(
                instance_map[top:bottom, left:right],
                fresh[places].reshape(item.instances.shape),
                where=item.mask,
            )
        return Layout(label_map, instance_map, self.taxonomy)

    def mirrored(self) -> "Layers":
        """Return the layers with left and right exchanged."""
        width = self.size_hw[1]
        objects = []
        for item in self.objects:
            flipped = mirrored(item)
            top, left, bottom, right = item.box
            objects.append(replace(flipped, box=(top, width - right, bottom, width - left)))
        return replace(self, background=self.background[:, ::-1].copy(), objects=tuple(objects))

    def with_object(self, item: LayoutObject) -> "Layers":
        """Return the layers with one object more, in front of all whose foot is higher up."""
        place = sum(other.foot_row <= item.foot_row for other in self.objects)
        return self.with_objects((*self.objects[:place], item, *self.objects[place:]))

    def with_objects(self, objects: Sequence[LayoutObject]) -> "Layers":
        """Return the layers with other objects, given back to front."""
        return replace(self, objects=tuple(objects))


def owners_of(objects: Sequence[LayoutObject], size_hw: tuple[int, int]) -> NDArray[np.int32]:
    """Return (H, W) int32, place of the object that is seen at a pixel, -1 = none.

    Args:
        objects: Back to front.
        size_hw: (height, width) of the layout.
    """
    owners = np.full(size_hw, -1, np.int32)
    for place, item in enumerate(objects):
        top, left, bottom, right = item.box
        np.copyto(owners[top:bottom, left:right], np.int32(place), where=item.mask)
    return owners


def split_layers(layout: Layout) -> Layers:
    """Take a layout apart.

    Behind an object the stuff around it goes on, a horizon level. Behind a thin object an object
    goes on that is seen left and right of it at the same height, if its foot is no nearer.
    """
    queries = extract_queries(layout, min_area_px=LEAST_SEED_PX)
    if all(query.is_thing for query in queries):
        queries = extract_queries(layout)
    behind = zone_labels(stuff_zones(layout, queries), queries)
    things = np.zeros(256, np.bool_)
    things[: len(layout.taxonomy)] = [entry.kind == "thing" for entry in layout.taxonomy.classes]
    is_thing = things[layout.label_map]
    objects = sorted(_found_objects(layout), key=lambda item: (item.foot_row, item.thin))
    objects = _gone_on_behind_thin(objects, layout.size_hw)
    return Layers(
        np.where(is_thing, behind, layout.label_map).astype(np.uint8),
        tuple(objects),
        layout.taxonomy,
    )


def mirrored(item: LayoutObject) -> LayoutObject:
    """Return an object with left and right exchanged, in the same box."""
    return replace(
        item, labels=item.labels[:, ::-1].copy(), instances=item.instances[:, ::-1].copy()
    )


def moved(item: LayoutObject, down_px: int, right_px: int) -> LayoutObject:
    """Return an object moved by whole pixels."""
    top, left, bottom, right = item.box
    return replace(item, box=(top + down_px, left + right_px, bottom + down_px, right + right_px))


def resized(item: LayoutObject, scale: float) -> LayoutObject:
    """Return an object at another scale, its outline smoothed, its box at (0, 0).

    Args:
        item: The object.
        scale: Of height and width, above 0.
    """
    height, width = (max(1, round(scale * side)) for side in item.labels.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cover = cv2.resize(item.mask.astype(np.float32), (width, height), interpolation=method)
    # Very thin objects cover no pixel by half: of those, the pixels that they cover most.
    inside = cover >= min(0.5, float(cover.max()))
    rows = ((np.arange(height) + 0.5) * item.labels.shape[0] / height).astype(np.intp)
    columns = ((np.arange(width) + 0.5) * item.labels.shape[1] / width).astype(np.intp)
    labels, instances = item.labels[rows][:, columns], item.instances[rows][:, columns]
    # Where the smoothed outline lies outside the old one, the object's main class goes on.
    number = item.instances[item.labels == item.class_id].max()
    new = inside & (labels == VOID)
    labels = np.where(inside, labels, VOID)
    instances = np.where(inside, instances, 0)
    labels[new], instances[new] = item.class_id, number
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    tight = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return replace(
        item,
        box=(0, 0, len(labels[tight]), labels[tight].shape[1]),
        labels=labels[tight].astype(np.uint8),
        instances=instances[tight].astype(np.int32),
    )


def _found_objects(layout: Layout) -> Iterator[LayoutObject]:
    thin, riding = _moving_together(layout.taxonomy)
    for together in (thin, riding):
        members = together[layout.label_map]
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(
            members.astype(np.uint8), connectivity=8
        )
        for piece in range(1, count):
            left, top, width, height, _ = stats[piece].tolist()
            box = (top, left, top + height, left + width)
            inside = pieces[top : top + height, left : left + width] == piece
            yield _object(layout, box, inside, thin=together is thin)
    for region in extract_regions(layout):
        is_thing = layout.taxonomy.classes[region.class_id].kind == "thing"
        if is_thing and not (thin | riding)[region.class_id]:
            yield _object(layout, region.box, region.mask, thin=False)


def _moving_together(taxonomy: Taxonomy) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (256,) bool by class id for thin things, and for riders and what they ride."""
    thin, riders, ridden = (np.zeros(256, np.bool_) for _ in range(3))
    for class_id, entry in enumerate(taxonomy.classes):
        if entry.kind == "thing" and entry.thin:
            thin[class_id] = True
        elif entry.kind == "thing":
            riders[class_id] = entry.known_as(RIDER_NAMES)
            ridden[class_id] = entry.known_as(RIDDEN_NAMES)
    return thin, (riders | ridden if riders.any() and ridden.any() else np.zeros(256, np.bool_))


def _object(layout: Layout, box: Box, inside: NDArray[np.bool_], *, thin: bool) -> LayoutObject:
    top, left, bottom, right = box
    labels = np.where(inside, layout.label_map[top:bottom, left:right], VOID).astype(np.uint8)
    instances = np.where(inside, layout.instance_map[top:bottom, left:right], 0).astype(np.int32)
    class_id = int(np.bincount(labels[inside], minlength=1).argmax())
    return LayoutObject(class_id, box, labels, instances, thin)


def _gone_on_behind_thin(
    objects: Sequence[LayoutObject], size_hw: tuple[int, int]
) -> list[LayoutObject]:
    owners = owners_of(objects, size_hw)
    is_thin = np.array([False, *(item.thin for item in objects)])[owners + 1]
    columns = np.arange(size_hw[1])
    before = np.maximum.accumulate(np.where(is_thin, -1, columns), axis=1)
    after = np.minimum.accumulate(np.where(is_thin, size_hw[1], columns)[:, ::-1], axis=1)[:, ::-1]
    both = is_thin & (before >= 0) & (after < size_hw[1])
    rows, places = np.nonzero(both)
    left = owners[rows, before[both]]
    same = (left == owners[rows, after[both]]) & (left >= 0)
    rows, places, left = rows[same], places[same], left[same]
    foot = np.array([item.foot_row for item in objects], np.int64)
    no_nearer = foot[left] <= foot[owners[rows, places]]
    rows, places, left = rows[no_nearer], places[no_nearer], left[no_nearer]
    completed = list(objects)
    for place in np.unique(left).tolist():
        item = objects[place]
        labels, instances = item.labels.copy(), item.instances.copy()
        mine = left == place
        hidden = (rows[mine] - item.box[0], places[mine] - item.box[1])
        beside = (rows[mine] - item.box[0], before[rows[mine], places[mine]] - item.box[1])
        labels[hidden], instances[hidden] = labels[beside], instances[beside]
        completed[place] = replace(item, labels=labels, instances=instances)
    return completed
