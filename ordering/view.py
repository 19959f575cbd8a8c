"""What an ordering network sees of a pair: both masks, the layout, and where in the picture."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box, Query

_LEAST_SIDE_PER_HEIGHT = 1 / 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSettings:
    """How a pair is shown.

    Attributes:
        size_hw: (height, width) in pixels that a view is sampled to, at least 32 each.
        around: "smaller" cuts the view around the smaller of the two regions, since that is where
            they meet; "picture" shows all of the picture, as the original does.
        margin: To each side of the smaller region, as a share of the longer side of its box, which
            counts as an eighth of the picture's height at least.

    Raises:
        ValueError: If a setting is out of range.
    """

    size_hw: tuple[int, int] = (48, 64)
    around: Literal["smaller", "picture"] = "smaller"
    margin: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_hw", tuple(self.size_hw))
        if len(self.size_hw) != 2 or min(self.size_hw) < 32:
            raise ValueError(f"size_hw is {self.size_hw}, expected (height, width), at least 32")
        if self.around not in ("smaller", "picture"):
            raise ValueError(f'around is {self.around!r}, expected "smaller" or "picture"')
        if not self.margin >= 0:
            raise ValueError(f"margin is {self.margin}, expected at least 0")


@dataclass(frozen=True, eq=False)
class PairView:
    """One pair as the network sees it.

    Attributes:
        masks: (2, h, w) bool, first and second; never empty.
        label_map: (h, w) uint8 class ids, 255 = void.
        places: (2, h, w) float32, x and y in the picture, in [-1, 1] over the outer edges of its
            corner pixels.
        extents: (2, 5) float32 of first and second, since the view may cut them: top, left, bottom
            and right of the box in the same coordinates, and half the log of the share of the
            picture's area.
    """

    masks: NDArray[np.bool_]
    label_map: NDArray[np.uint8]
    places: NDArray[np.float32]
    extents: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RegionMap:
    """The regions of a layout, ready to be looked at in pairs.

    Attributes:
        label_map: (H, W) uint8 class ids, 255 = void.
        regions: (H, W) int16, query of each pixel, -1 where there is none.
        boxes: Box of each query, by query_id.
        areas_px: Pixels of each query, by query_id.
    """

    label_map: NDArray[np.uint8]
    regions: NDArray[np.int16]
    boxes: Mapping[int, Box]
    areas_px: Mapping[int, int]


def map_regions(queries: Sequence[Query]) -> RegionMap:
    """Draw the regions of queries, all of one layout, into one map.

    Raises:
        ValueError: If there is no query, or a query_id does not fit 16 bits.
    """
    if not queries:
        raise ValueError("there are no queries to draw, expected at least 1")
    layout = queries[0].layout
    regions = np.full(layout.size_hw, -1, np.int16)
    for query in queries:
        if not 0 <= query.query_id <= np.iinfo(np.int16).max:
            raise ValueError(f"query_id is {query.query_id}, expected 0 to 32767")
        top, left, bottom, right = query.region.box
        regions[top:bottom, left:right][query.region.mask] = query.query_id
    boxes = {query.query_id: query.region.box for query in queries}
    areas_px = {query.query_id: query.region.area_px for query in queries}
    return RegionMap(layout.label_map, regions, boxes, areas_px)


def view_pair(
    region_map: RegionMap,
    first: int,
    second: int,
    settings: ViewSettings,
    *,
    random: np.random.Generator | None = None,
    zoom: float = 1.0,
) -> PairView:
    """Show a pair, sampled by nearest neighbour.

    A region that no sample meets, since it is thin or outside of the view, is drawn where its
    pixels would be, or at the edge nearest to them: no mask is empty.

    Args:
        region_map: The layout's regions.
        first: Query of the one.
        second: Query of the other.
        settings: What is shown.
        random: If given, the view is mirrored by chance and cut down by chance.
        zoom: Least share of the view's height and width that is left of it then, in (0, 1].
    """
    height, width = region_map.label_map.shape
    top, left, bottom, right = _window(region_map, first, second, settings)
    if random is not None:
        share = random.uniform(zoom, 1)
        down, along = random.random(2) * (1 - share)
        top, bottom = top + down * (bottom - top), top + (down + share) * (bottom - top)
        left, right = left + along * (right - left), left + (along + share) * (right - left)
    rows = _centres(top, bottom, settings.size_hw[0])
    columns = _centres(left, right, settings.size_hw[1])
    mirrored = random is not None and random.random() < 0.5
    if mirrored:
        # The picture as a whole is mirrored: what was on its left is on its right.
        columns = columns[::-1]
    grid = np.ix_(rows.astype(np.intp), columns.astype(np.intp))
    regions = region_map.regions[grid]
    masks = np.stack([regions == first, regions == second])
    for mask, number in zip(masks, (first, second), strict=True):
        if not mask.any():
            _draw_thin(mask, region_map, number, rows, columns)
    y_of, x_of = 2 * rows / height - 1, 2 * columns / width - 1
    places = np.empty((2, *settings.size_hw), np.float32)
    places[0], places[1] = x_of[None, :], y_of[:, None]
    extents = np.array([_extent(region_map, number) for number in (first, second)], np.float32)
    if mirrored:
        places[0] *= -1
        extents[:, [1, 3]] = -extents[:, [3, 1]]
    return PairView(masks, region_map.label_map[grid], places, extents)


def _window(
    region_map: RegionMap, first: int, second: int, settings: ViewSettings
) -> tuple[float, float, float, float]:
    height, width = region_map.label_map.shape
    if settings.around == "picture":
        return 0.0, 0.0, float(height), float(width)
    # By its box, too, so that both views of a pair are one, whichever is first.
    boxes = [region_map.boxes[first], region_map.boxes[second]]
    top, left, bottom, right = min(boxes, key=lambda box: (_area_of(box), box))
    margin = settings.margin * max(bottom - top, right - left, _LEAST_SIDE_PER_HEIGHT * height)
    return (
        max(top - margin, 0.0),
        max(left - margin, 0.0),
        min(bottom + margin, float(height)),
        min(right + margin, float(width)),
    )


def _extent(region_map: RegionMap, number: int) -> tuple[float, ...]:
    height, width = region_map.label_map.shape
    top, left, bottom, right = region_map.boxes[number]
    share = region_map.areas_px[number] / (height * width)
    return (
        2 * top / height - 1,
        2 * left / width - 1,
        2 * bottom / height - 1,
        2 * right / width - 1,
        0.5 * math.log(share),
    )


def _area_of(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _centres(start: float, end: float, count: int) -> NDArray[np.float64]:
    """Return the centres of count equal pieces of [start, end)."""
    return start + (np.arange(count) + 0.5) * (end - start) / count


def _draw_thin(
    mask: NDArray[np.bool_],
    region_map: RegionMap,
    number: int,
    rows: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> None:
    top, left, bottom, right = region_map.boxes[number]
    y, x = np.nonzero(region_map.regions[top:bottom, left:right] == number)
    mask[_nearest(rows, y + top + 0.5), _nearest(columns, x + left + 0.5)] = True


def _nearest(centres: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return which of evenly spaced centres is nearest to each point; the outermost beyond them."""
    places = np.rint((points - centres[0]) / (centres[1] - centres[0]))
    return np.asarray(places.clip(0, len(centres) - 1), np.intp)
