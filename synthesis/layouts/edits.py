"""Single edits of a layout: flip, drop an object, insert one, put all objects onto other stuff."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.elision import is_ground
from scenequilt.synthesis.layouts.layers import FOOT_SHARE, Layers, LayoutObject, moved, owners_of

EditKind = Literal["flip", "drop", "insert", "recombine"]
EDIT_KINDS: tuple[EditKind, ...] = ("flip", "recombine", "drop", "insert")
"""In the order in which they are done: a box in a record is valid in the finished layout."""

ON_GROUND = 0.8
"""Share of an object's foot that has to be on ground that its class stands on."""

SAME_AROUND = 0.75
"""Share of the pixels around a hanging object that have to be of the class they were of."""

LEAST_SEEN = 0.6
"""Share of an inserted object that nearer ones may not hide."""

LEAST_LEFT = 0.5
"""Share of what is seen of an object that an inserted one may not hide."""

LEAST_LEFT_THIN = 0.3
"""The same for poles and signs, whose top is enough to tell them."""

SAME_DEPTH = 1.12
"""Two things whose distances differ by less than this factor are beside each other."""

BESIDE_OVERLAP = 0.25
"""Share of the narrower one's width by which things beside each other may overlap."""

HIDES_SHARE = 0.15
"""Share of an object's outline that may touch things behind it: dropped, it would leave those
with its own outline cut out of them."""

LARGEST_DROP = 0.12
"""Share of the picture beyond which nobody can say what is behind an object."""

_RING_PX = 3


@dataclass(frozen=True, slots=True)
class Edit:
    """What was done to a layout.

    Attributes:
        kind: What.
        class_name: Class of the object that was dropped or inserted, "" for the other kinds.
        parent: Layout that the inserted object, or the stuff, was taken from; "" for the others.
        box: (top, left, bottom, right) of that object in pixels, or None.
    """

    kind: EditKind
    class_name: str = ""
    parent: str = ""
    box: Box | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the edit as layouts.jsonl holds it."""
        table: dict[str, Any] = {"kind": self.kind}
        if self.class_name:
            table["class"] = self.class_name
        if self.parent:
            table["parent"] = self.parent
        if self.box is not None:
            table["box"] = list(self.box)
        return table


def droppable(layers: Layers) -> list[int]:
    """Return the places of the objects that can be taken out without leaving a trace.

    Left where they are: objects so large that nobody knows what is behind them, and those in front
    of another thing, of which they would leave a torso.
    """
    owners = layers.owners()
    total = owners.size
    found = []
    for place, item in enumerate(layers.objects):
        if np.count_nonzero(item.mask) > LARGEST_DROP * total:
            continue
        if item.thin or _touching(layers.objects, owners, place)[0] <= HIDES_SHARE:
            found.append(place)
    return found


def drop(layers: Layers, place: int) -> Layers:
    """Return the layers without an object."""
    return layers.with_objects([*layers.objects[:place], *layers.objects[place + 1 :]])


def insert(layers: Layers, item: LayoutObject, horizon_row: float) -> Layers | None:
    """Return the layers with an object, or None if it would not look right there.

    It hides what is further away and is hidden by what is nearer. It does not look right if hardly
    seen, if it hides most of another one, or if it stands where another one stands.

    Args:
        layers: The layout.
        item: The object, its box within the layout.
        horizon_row: Row of the horizon in pixels.
    """
    if any(_interpenetrate(item, other, horizon_row) for other in layers.objects):
        return None
    together = layers.with_object(item)
    place = next(i for i, other in enumerate(together.objects) if other is item)
    seen = np.bincount(together.owners().ravel() + 1, minlength=len(together.objects) + 1)[1:]
    before = np.bincount(layers.owners().ravel() + 1, minlength=len(layers.objects) + 1)[1:]
    if seen[place] < LEAST_SEEN * np.count_nonzero(item.mask):
        return None
    others = np.delete(seen, place)
    least = [LEAST_LEFT_THIN if other.thin else LEAST_LEFT for other in layers.objects]
    return None if (others < np.array(least) * before).any() else together


def foot_places(
    background: NDArray[np.uint8],
    item: LayoutObject,
    foot_row: int,
    grounds: Collection[int],
    center_id: int,
) -> NDArray[np.intp]:
    """Return the left columns at which an object stands on ground with its foot at a row.

    Args:
        background: (H, W) uint8 class ids.
        item: The object; where it is does not matter.
        foot_row: Row below its lowest pixel, at most H.
        grounds: Classes that it may stand on.
        center_id: Class below the middle of its foot.
    """
    height, width = background.shape
    item_height, item_width = item.labels.shape
    allowed = np.zeros(256, np.bool_)
    allowed[list(grounds)] = True
    first, last = int(item.foot_columns[0]) - item.box[1], int(item.foot_columns[-1]) - item.box[1]
    span = last - first + 1
    low = max(1, round(FOOT_SHARE * item_height))
    lefts = np.arange(0, width - item_width + 1)
    good = np.ones(len(lefts), np.bool_)
    for row in {max(foot_row - low, 0), foot_row - 1, min(foot_row, height - 1)}:
        sums = np.concatenate([[0], np.cumsum(allowed[background[row]])])
        share = (sums[lefts + last + 1] - sums[lefts + first]) / span
        good &= share >= ON_GROUND
    center = background[foot_row - 1, lefts + (first + last) // 2]
    return np.asarray(lefts[good & (center == center_id)], np.intp)


def surroundings_agree(
    source: Layers, item: LayoutObject, target: Layers, placed: LayoutObject
) -> bool:
    """Return True if a hanging object has around it what it had where it came from.

    Args:
        source: The layout that it came from.
        item: The object there.
        target: The layout that it is to hang in.
        placed: The same object there, of the same size.
    """
    ring, origin = _ring(item, source.size_hw)
    expected = np.where(
        owners_of(source.objects, source.size_hw)[ring] < 0, source.background[ring], VOID
    )
    rows = ring[0] - origin[0] + placed.box[0]
    columns = ring[1] - origin[1] + placed.box[1]
    height, width = target.size_hw
    known = (expected != VOID) & (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    if not known.any():
        return False
    rows, columns, expected = rows[known], columns[known], expected[known]
    free = owners_of(target.objects, target.size_hw)[rows, columns] < 0
    same = free & (target.background[rows, columns] == expected)
    below = rows >= placed.foot_row
    enough = np.count_nonzero(same) >= SAME_AROUND * len(same)
    return bool(enough and (not below.any() or same[below].mean() >= SAME_AROUND))


def recombine(objects: Layers, stuff: Layers) -> Layers:
    """Return the objects of one layout on the stuff of another, those that have a place there.

    An object on the ground needs ground below its foot; one that hangs needs around it what it had.
    One that is in front of others is not left out without them.

    Args:
        objects: The layout whose objects are taken.
        stuff: The layout whose background is taken, of the same size.

    Raises:
        ValueError: If the sizes differ.
    """
    if objects.size_hw != stuff.size_hw:
        raise ValueError(
            f"objects come from a layout of {objects.size_hw}, stuff from one of {stuff.size_hw}; "
            "choose two of one size"
        )
    bare = stuff.with_objects(())
    owners = objects.owners()
    kept: list[int] = []
    left_out: set[int] = set()
    for place in reversed(range(len(objects.objects))):
        item = objects.objects[place]
        _, in_front = _touching(objects.objects, owners, place)
        if not item.thin and left_out & in_front:
            left_out.add(place)
        elif _has_place(objects, place, in_front, bare, owners):
            kept.append(place)
        else:
            left_out.add(place)
    return bare.with_objects([objects.objects[place] for place in sorted(kept)])


def _has_place(
    objects: Layers, place: int, in_front: set[int], bare: Layers, owners: NDArray[np.int32]
) -> bool:
    item = objects.objects[place]
    height = objects.size_hw[0]
    ground = is_ground(objects.taxonomy)
    ground[VOID] = False
    if item.foot_row == height:
        strip = bare.background[height - 1, item.foot_columns]
        return bool(ground[strip].mean() >= ON_GROUND)
    below = owners[item.foot_row, item.foot_columns]
    # Where a nearer object hides the ground below the foot, there is no telling and no seeing.
    open_columns = item.foot_columns[below < 0]
    if not open_columns.size:
        return bool(in_front)
    was_ground = ground[objects.background[item.foot_row, open_columns]].mean() >= 0.5
    if was_ground:
        rows = np.array([item.foot_row - 1, item.foot_row])[:, None]
        return bool(ground[bare.background[rows, open_columns]].mean() >= ON_GROUND)
    return surroundings_agree(objects, item, bare, item)


def _touching(
    objects: Sequence[LayoutObject], owners: NDArray[np.int32], place: int
) -> tuple[float, set[int]]:
    """Return the share of an object's outline where things behind it are, and which are in front."""
    item = objects[place]
    height, width = owners.shape
    top, left, bottom, right = item.box
    rows = slice(max(top - 1, 0), min(bottom + 1, height))
    columns = slice(max(left - 1, 0), min(right + 1, width))
    around = owners[rows, columns]
    inside = around == place
    outline = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~inside
    others = around[outline]
    if not others.size:
        return 0.0, set()
    thin = np.array([False, *(other.thin for other in objects)])
    behind = (others >= 0) & (others < place) & ~thin[others + 1]
    in_front = others[(others > place) & ~thin[others + 1]]
    return float(behind.mean()), set(np.unique(in_front).tolist())


def _interpenetrate(item: LayoutObject, other: LayoutObject, horizon_row: float) -> bool:
    if item.thin or other.thin:
        return False
    near = max(item.foot_row, other.foot_row) - horizon_row
    far = min(item.foot_row, other.foot_row) - horizon_row
    if far <= 0 or near > SAME_DEPTH * far:
        return False
    (_, left, _, right), (_, other_left, _, other_right) = item.box, other.box
    overlap = min(right, other_right) - max(left, other_left)
    return overlap > BESIDE_OVERLAP * min(right - left, other_right - other_left)


def _ring(
    item: LayoutObject, size_hw: tuple[int, int]
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], tuple[int, int]]:
    """Return (rows, columns) of the pixels around an object within a layout, and its corner."""
    padded = np.pad(item.mask.astype(np.uint8), _RING_PX)
    kernel = np.ones((2 * _RING_PX + 1,) * 2, np.uint8)
    rows, columns = np.nonzero(cv2.dilate(padded, kernel) > padded)
    rows, columns = rows + item.box[0] - _RING_PX, columns + item.box[1] - _RING_PX
    inside = (rows >= 0) & (rows < size_hw[0]) & (columns >= 0) & (columns < size_hw[1])
    return (rows[inside], columns[inside]), (item.box[0], item.box[1])


def at_corner(item: LayoutObject, top: int, left: int) -> LayoutObject:
    """Return an object with its box's corner at a pixel."""
    return moved(item, top - item.box[0], left - item.box[1])
