"""What is usual in a dataset's layouts: which things, how often, where they stand and how large."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.elision import is_ground
from scenequilt.synthesis.layouts.layers import Layers, LayoutObject, owners_of, split_layers

STUFF_GRID_HW = (18, 24)
"""Size at which backgrounds are compared."""

LEAST_DONOR_PX = 40
"""Objects of fewer pixels are not copied: of so few, the outline says nothing."""

SAME_GROUND = 0.6
"""Share of what is seen below a foot that has to be of one class, for the foot to be seen."""

TOUCH_SHARE = 0.15
"""Share of an object's outline that may touch nearer objects, for it to be seen whole."""

SPREAD_LIMIT = 2.0
"""Spreads from the usual height within which an object is of usual height."""

LEAST_MEASURED = 5
"""Objects of a class of which a height per row can be told."""

LEAST_ON_GROUND = 0.5
"""Share of the things that stand on ground, below which a dataset is not of such scenes."""

LEAST_FIT = 0.3
"""Share of the spread of heights that the foot row explains, below which scale does not follow it.
Street scenes come to about 0.5, rooms to about 0.1."""


class LayoutSource(Protocol):
    """The layouts of a dataset, read one at a time."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        ...

    def __len__(self) -> int:
        """Return how many layouts there are."""
        ...

    def name(self, place: int) -> str:
        """Return the name of a layout, unique among them."""
        ...

    def read(self, place: int) -> Layout:
        """Read a layout; same place, same layout."""
        ...


@dataclass(frozen=True, slots=True)
class Sighting:
    """One object of the dataset. Lengths and rows are shares of its layout's height.

    Attributes:
        place: Of its layout.
        object_place: Among the objects of the split layout.
        class_id: Its class.
        thin: True for poles and signs.
        foot_row: Its lowest row.
        height: From its highest to its lowest row.
        width: From its leftmost to its rightmost column, in shares of the height too.
        ground_id: Class that is seen below its foot, VOID if none or several.
        whole: True if no frame and nothing nearer hides a part of it; of a thin object, if its foot
            is seen.
        solidity: Share of its convex hull that it fills; one that is partly hidden fills less.
        area: Share of the pixels of its layout.
    """

    place: int
    object_place: int
    class_id: int
    thin: bool
    foot_row: float
    height: float
    width: float
    ground_id: int
    whole: bool
    solidity: float
    area: float


@dataclass(frozen=True, slots=True)
class ClassStatistics:
    """What is usual for a class.

    Attributes:
        name: Of the class.
        pixel_share: Share of all pixels that are not void.
        objects: How many objects; 0 for stuff.
        layouts: In how many layouts it is seen.
        standing: True if most of its objects whose foot is seen stand on ground; the others hang
            on something, or lie.
        grounds: Share of the classes below the feet that are seen, by class id.
        height_per_row: Height per row of the foot below the horizon.
        height_spread: Standard deviation of the logarithm of the height around that, robust.
    """

    name: str
    pixel_share: float
    objects: int
    layouts: int
    standing: bool
    grounds: dict[int, float]
    height_per_row: float
    height_spread: float


@dataclass(frozen=True, eq=False)
class LayoutStatistics:
    """What is usual in a dataset's layouts.

    Attributes:
        taxonomy: The classes.
        layouts: How many were looked at.
        horizon: Row at which an object on the ground would have no height, in shares of the height
            of a layout.
        classes: One entry a class id.
        sightings: Every object.
        stuff_grids: (N, 18, 24) uint8, the backgrounds, coarse.
        largest_px: Pixels of the largest layout.
        pixels: (N, 256) int64, pixels of each class id of each layout.
        on_ground: Share of the things that stand on ground, of those below whose foot one class is
            seen, poles and signs left out; None without any.
        height_fit: Share of the spread of heights within a class (mean absolute logarithm) that the
            distance of the foot row from the horizon explains; 1 if all of it, below 0 if heights
            follow something else. None if no class has five things that stand on ground whole.
    """

    taxonomy: Taxonomy
    layouts: int
    horizon: float
    classes: tuple[ClassStatistics, ...]
    sightings: tuple[Sighting, ...]
    stuff_grids: NDArray[np.uint8]
    largest_px: int
    pixels: NDArray[np.int64]
    on_ground: float | None
    height_fit: float | None

    def usual_height(self, class_id: int, foot_row: float) -> float:
        """Return the height of a standing class at a foot row, in shares of the layout's height."""
        return self.classes[class_id].height_per_row * max(foot_row - self.horizon, 0.0)

    def is_usual(self, class_id: int, foot_row: float, height: float) -> bool:
        """Return True if an object of such a height may stand with its foot at a row."""
        usual = self.usual_height(class_id, foot_row)
        if usual <= 0 or height <= 0:
            return False
        gap = abs(float(np.log(height / usual)))
        return gap <= SPREAD_LIMIT * max(self.classes[class_id].height_spread, 0.1)

    def placement_doubts(self) -> tuple[str, ...]:
        """Return sentences on why objects should not be placed by a horizon here; none if they may.

        Objects are placed as they stand along a ground plane that is seen from a level camera, as
        in streets. Of rooms, seen from anywhere and with things on top of each other, that is not
        true.
        """
        doubts = []
        if self.on_ground is not None and self.on_ground < LEAST_ON_GROUND:
            doubts.append(
                f"{100 * self.on_ground:.0f} % of the things stand on ground, expected "
                f"{100 * LEAST_ON_GROUND:.0f} % or more"
            )
        if self.height_fit is None:
            doubts.append(
                f"no class has {LEAST_MEASURED} things that stand on ground whole, so there is no "
                "telling how height follows the foot row"
            )
        elif self.height_fit < LEAST_FIT:
            doubts.append(
                f"the foot row explains {100 * max(self.height_fit, 0.0):.0f} % of how heights "
                f"differ within a class, expected {100 * LEAST_FIT:.0f} % or more"
            )
        return tuple(doubts)

    def as_json(self) -> dict[str, Any]:
        """Return what statistics.json holds: everything but the single objects and backgrounds."""
        names = [entry.name for entry in self.taxonomy.classes]
        classes = []
        for entry in self.classes:
            table = asdict(entry)
            table["grounds"] = {names[key]: share for key, share in entry.grounds.items()}
            classes.append(table)
        return {
            "layouts": self.layouts,
            "horizon": self.horizon,
            "on_ground": self.on_ground,
            "height_fit": self.height_fit,
            "classes": classes,
        }


def learn_statistics(
    layouts: LayoutSource, *, progress: Callable[[int, int], None] | None = None
) -> LayoutStatistics:
    """Learn what is usual in a dataset's layouts, in one pass over them.

    Args:
        layouts: The layouts.
        progress: Called with (layouts done, layouts) after each.

    Raises:
        ValueError: If there is no layout, or none of them shows a class.
    """
    if not len(layouts):
        raise ValueError("layouts is empty; statistics are of at least one layout")
    taxonomy = layouts.taxonomy
    pixels = np.empty((len(layouts), 256), np.int64)
    sightings: list[Sighting] = []
    grids = np.empty((len(layouts), *STUFF_GRID_HW), np.uint8)
    largest_px = 0
    for place in range(len(layouts)):
        layout = layouts.read(place)
        largest_px = max(largest_px, layout.label_map.size)
        pixels[place] = np.bincount(layout.label_map.ravel(), minlength=256)
        layers = split_layers(layout)
        grids[place] = _coarse(layers.background)
        sightings += _sightings(layers, layout, place)
        if progress is not None:
            progress(place + 1, len(layouts))
    totals, shown = pixels.sum(axis=0), np.count_nonzero(pixels, axis=0)
    known = int(totals[:VOID].sum())
    if not known:
        raise ValueError(f"none of {len(layouts)} layouts shows a class, all is void")
    horizon = _horizon(sightings, taxonomy)
    classes = tuple(
        _class_statistics(
            taxonomy,
            class_id,
            [item for item in sightings if item.class_id == class_id],
            float(totals[class_id] / known),
            int(shown[class_id]),
            horizon,
        )
        for class_id in range(len(taxonomy))
    )
    return LayoutStatistics(
        taxonomy=taxonomy,
        layouts=len(layouts),
        horizon=horizon,
        classes=classes,
        sightings=tuple(sightings),
        stuff_grids=grids,
        largest_px=largest_px,
        pixels=pixels,
        on_ground=_on_ground(sightings, taxonomy),
        height_fit=_height_fit(sightings, taxonomy, horizon),
    )


def seen_below(
    item: LayoutObject, label_map: NDArray[np.uint8], *, depth_px: int = 2
) -> NDArray[np.int64]:
    """Return (256,) int64: pixels of each class that are seen right below an object's foot.

    Args:
        item: The object.
        label_map: (H, W) uint8 class ids of the whole layout.
        depth_px: How many rows below the foot count.
    """
    strip = label_map[item.foot_row : item.foot_row + depth_px, item.foot_columns]
    return np.bincount(strip.ravel(), minlength=256)


def _coarse(background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = background.shape
    rows = ((np.arange(STUFF_GRID_HW[0]) + 0.5) * height / STUFF_GRID_HW[0]).astype(np.intp)
    columns = ((np.arange(STUFF_GRID_HW[1]) + 0.5) * width / STUFF_GRID_HW[1]).astype(np.intp)
    return np.asarray(background[rows][:, columns], np.uint8)


def _sightings(layers: Layers, layout: Layout, place: int) -> list[Sighting]:
    height = layers.size_hw[0]
    owners = owners_of(layers.objects, layers.size_hw)
    found = []
    for object_place, item in enumerate(layers.objects):
        below = seen_below(item, layout.label_map)
        ground_id = int(below.argmax())
        if not below.sum() or below[ground_id] < SAME_GROUND * below.sum():
            ground_id = VOID
        found.append(
            Sighting(
                place,
                object_place,
                item.class_id,
                item.thin,
                item.foot_row / height,
                item.labels.shape[0] / height,
                item.labels.shape[1] / height,
                ground_id,
                _is_whole(layers, owners, object_place) and ground_id != VOID,
                _solidity(item),
                np.count_nonzero(item.mask) / layout.label_map.size,
            )
        )
    return found


def _is_whole(layers: Layers, owners: NDArray[np.int32], place: int) -> bool:
    item = layers.objects[place]
    height, width = layers.size_hw
    top, left, bottom, right = item.box
    at_side = left == 0 or right == width or bottom == height
    if at_side or (top == 0 and not item.thin):
        return False
    if np.count_nonzero(item.mask) < LEAST_DONOR_PX:
        return False
    if item.thin:
        return True
    box = (max(top - 1, 0), left - 1, bottom + 1, right + 1)
    seen = owners[box[0] : box[2], box[1] : box[3]]
    inside = seen == place
    outline = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~inside
    nearer = (seen > place) & outline
    return bool(np.count_nonzero(nearer) <= TOUCH_SHARE * np.count_nonzero(outline))


def _solidity(item: LayoutObject) -> float:
    mask = item.mask.astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(np.concatenate(outlines)), 1)
    return float(np.count_nonzero(mask) / np.count_nonzero(filled | mask))


def _horizon(sightings: Sequence[Sighting], taxonomy: Taxonomy) -> float:
    """Return the row from which heights grow in proportion, whatever the class.

    With the camera level, height on the picture is (height / camera height) * (foot row - horizon);
    of the rows that could be the horizon, this is the one that leaves the least spread.
    """
    ground = is_ground(taxonomy)
    groups = _measured(_standing_whole(sightings, ground))
    if not groups:
        return 0.5
    least = min(float(np.percentile(group[:, 0], 2)) for group in groups)
    rows = np.arange(0.0, max(least, 0.01), 0.005)
    costs = []
    for row in rows:
        gaps = []
        for group in groups:
            ratio = np.log(group[:, 1] / np.maximum(group[:, 0] - row, 0.005))
            gaps.append(np.abs(ratio - np.median(ratio)))
        costs.append(np.concatenate(gaps).mean())
    return float(rows[int(np.argmin(costs))])


def _on_ground(sightings: Sequence[Sighting], taxonomy: Taxonomy) -> float | None:
    ground = is_ground(taxonomy)
    seen = [item for item in sightings if not item.thin and item.ground_id != VOID]
    return float(np.mean([ground[item.ground_id] for item in seen])) if seen else None


def _height_fit(sightings: Sequence[Sighting], taxonomy: Taxonomy, horizon: float) -> float | None:
    whole = _standing_whole(sightings, is_ground(taxonomy))
    groups = _measured([item for item in whole if item.foot_row > horizon + 0.01])
    if not groups:
        return None
    left, total = [], []
    for group in groups:
        heights = np.log(group[:, 1])
        ratios = heights - np.log(group[:, 0] - horizon)
        left.append(np.abs(ratios - np.median(ratios)))
        total.append(np.abs(heights - np.median(heights)))
    spread = float(np.concatenate(total).mean())
    # Where all are of one height there is nothing to explain.
    return 1.0 - float(np.concatenate(left).mean()) / spread if spread else 0.0


def _measured(sightings: Sequence[Sighting]) -> list[NDArray[np.float64]]:
    """Return (N, 2) float64, foot row and height, of each class that has enough objects."""
    groups: dict[int, list[tuple[float, float]]] = {}
    for item in sightings:
        groups.setdefault(item.class_id, []).append((item.foot_row, item.height))
    return [
        np.array(groups[class_id])
        for class_id in sorted(groups)
        if len(groups[class_id]) >= LEAST_MEASURED
    ]


def _standing_whole(sightings: Sequence[Sighting], ground: NDArray[np.bool_]) -> list[Sighting]:
    return [
        item
        for item in sightings
        if item.whole and not item.thin and item.ground_id != VOID and ground[item.ground_id]
    ]


def _class_statistics(
    taxonomy: Taxonomy,
    class_id: int,
    sightings: Sequence[Sighting],
    pixel_share: float,
    layouts: int,
    horizon: float,
) -> ClassStatistics:
    entry = taxonomy.classes[class_id]
    ground = is_ground(taxonomy)
    stuff = {i for i, other in enumerate(taxonomy.classes) if other.kind == "stuff"}
    feet = [item.ground_id for item in sightings if item.ground_id in stuff]
    on_ground = [found for found in feet if ground[found]]
    grounds = {found: on_ground.count(found) / len(feet) for found in sorted(set(on_ground))}
    standing = 2 * len(on_ground) > len(feet) and not entry.thin
    ratios = np.array(
        [
            np.log(item.height / (item.foot_row - horizon))
            for item in _standing_whole(sightings, ground)
            if item.foot_row > horizon + 0.01
        ]
    )
    center = float(np.median(ratios)) if ratios.size else 0.0
    # 1.48 times the median absolute deviation is the standard deviation of a normal distribution.
    spread = 1.48 * float(np.median(np.abs(ratios - center))) if ratios.size else 0.0
    return ClassStatistics(
        name=entry.name,
        pixel_share=pixel_share,
        objects=len(sightings),
        layouts=layouts,
        standing=standing,
        grounds=grounds,
        height_per_row=float(np.exp(center)) if ratios.size else 0.0,
        height_spread=spread,
    )
