"""What a layout looks like after somebody drew it in a hurry: a simulation of coarse annotation."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Region
from scenequilt.memory_bank.taxonomy import VOID

KEPT_RADIUS = 0.6
"""Share of a piece's inner radius that erosion takes at most: people draw narrow things too."""

BLOB_CORNERS = 9
"""Of the polygons that void blobs are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseSettings:
    """How coarse the annotation is. Pairs are least and greatest of what is drawn evenly.

    The defaults leave about two thirds of the pixels labelled, as coarse annotations of Cityscapes
    have (67.5 %: Cordts et al. 2016, "The Cityscapes Dataset", table 1).

    Attributes:
        erode: Distance that a polygon keeps from the border of what it is drawn around, in heights
            of the picture, drawn for each piece.
        simplify: Distance that a polygon's sides may stray from its outline, in heights of the
            picture, drawn for each piece.
        smallest: Area under which pieces are not drawn at all, and holes drawn over, in areas of
            the picture, drawn for each picture.
        drop_things: Chance that an object is left out.
        drop_stuff: Chance that a piece of stuff is left out.
        blobs: How many blobs of void there are beside.
        blob_radius: Their radius in heights of the picture.

    Raises:
        ValueError: If a number is out of range.
    """

    erode: tuple[float, float] = (0.0, 0.045)
    simplify: tuple[float, float] = (0.002, 0.015)
    smallest: tuple[float, float] = (0.0, 0.002)
    drop_things: float = 0.15
    drop_stuff: float = 0.05
    blobs: tuple[int, int] = (0, 4)
    blob_radius: tuple[float, float] = (0.03, 0.2)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.startswith("drop"):
                if not 0 <= value <= 1:
                    raise ValueError(f"{field.name} is {value}, expected a chance from 0 to 1")
            elif len(value) != 2 or not 0 <= value[0] <= value[1]:
                raise ValueError(
                    f"{field.name} is {tuple(value)}, expected least and greatest, both at least 0"
                )


def simulate_coarse(layout: Layout, settings: CoarseSettings, rng: np.random.Generator) -> Layout:
    """Draw a layout again as a coarse annotator would.

    Every piece of stuff and every object becomes polygons inside of its outline, which do not
    shrink from the picture's frame; large ones are painted first. Some pieces are left out, and
    blobs of void are thrown on top.

    Args:
        layout: The dense layout.
        settings: How coarse.
        rng: Decides what is drawn how.

    Returns:
        A layout of the same size. What is labelled is mostly right; the rest is void.
    """
    from scenequilt.memory_bank.extract import extract_regions

    height, width = layout.size_hw
    smallest_px = rng.uniform(*settings.smallest) * height * width
    is_thing = [entry.kind == "thing" for entry in layout.taxonomy.classes]
    label_map = np.full((height, width), VOID, np.uint8)
    instance_map = np.zeros((height, width), np.int32)
    regions = extract_regions(layout)
    for region in sorted(regions, key=lambda region: -np.count_nonzero(region.mask)):
        # Drawn whether used or not, so that a piece more or less changes no other piece.
        dropped, erode, simplify = rng.random(), rng.uniform(*settings.erode), rng.random()
        chance = settings.drop_things if is_thing[region.class_id] else settings.drop_stuff
        if np.count_nonzero(region.mask) < smallest_px or dropped < chance:
            continue
        least, greatest = settings.simplify
        tolerance_px = height * (least + simplify * (greatest - least))
        drawn = _drawn(region, (height, width), height * erode, tolerance_px, smallest_px)
        top, left, bottom, right = region.box
        label_map[top:bottom, left:right][drawn] = region.class_id
        instance_map[top:bottom, left:right][drawn] = region.instance_id
    blobs = _blobs((height, width), settings, rng)
    label_map[blobs] = VOID
    instance_map[blobs] = 0
    return Layout(label_map, instance_map, layout.taxonomy, layout.depth_m)


def _drawn(
    region: Region,
    size_hw: tuple[int, int],
    erode_px: float,
    tolerance_px: float,
    smallest_px: float,
) -> NDArray[np.bool_]:
    """Return (h, w) bool on the region's box: the polygons drawn inside of it."""
    import cv2

    top, left, bottom, right = region.box
    # A margin of what is outside; where the frame cuts the region it goes on into the margin.
    piece = np.pad(region.mask, 1)
    beyond = np.pad(region.mask, 1, mode="edge")
    at_frame = (top == 0, bottom == size_hw[0], left == 0, right == size_hw[1])
    whole = slice(None)
    sides: list[tuple[int | slice, int | slice]] = [
        (0, whole), (-1, whole), (whole, 0), (whole, -1),
    ]  # fmt: skip
    for side, touches in zip(sides, at_frame, strict=True):
        if touches:
            piece[side] = beyond[side]
    _, gaps, stats, _ = cv2.connectedComponentsWithStats((~piece).astype(np.uint8), connectivity=4)
    overlooked = stats[:, cv2.CC_STAT_AREA] < smallest_px
    # Component 0 is the piece itself, and what reaches the margin lies beside it, not in it.
    for side in sides:
        overlooked[gaps[side]] = False
    overlooked[0] = False
    piece |= overlooked[gaps]
    distance = cv2.distanceTransform(piece.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    distance = distance[1:-1, 1:-1]
    radius = float(distance.max())
    kept = (distance > min(erode_px, KEPT_RADIUS * radius)).astype(np.uint8)
    contours, _ = cv2.findContours(kept, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    tolerance = min(tolerance_px, radius / 2)
    polygons = [cv2.approxPolyDP(contour, tolerance, True) for contour in contours]
    # Holes are contours as well: filled together, by parity, they stay open.
    canvas = np.zeros(kept.shape, np.uint8)
    cv2.fillPoly(canvas, polygons, 1)
    return canvas.astype(bool)


def _blobs(
    size_hw: tuple[int, int], settings: CoarseSettings, rng: np.random.Generator
) -> NDArray[np.bool_]:
    import cv2

    height, width = size_hw
    canvas = np.zeros(size_hw, np.uint8)
    least, most = settings.blobs
    for _ in range(rng.integers(least, most + 1)):
        radius = rng.uniform(*settings.blob_radius) * height
        center = rng.uniform(0, (width, height))
        angles = np.linspace(0, 2 * np.pi, BLOB_CORNERS, endpoint=False)
        reach = radius * rng.uniform(0.5, 1.0, BLOB_CORNERS)
        corners = center + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]
        cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    return canvas.astype(bool)
