"""T-junctions: where three regions meet, the one whose border runs straight through is in front."""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

_RADIUS_PER_HEIGHT = 1 / 50
_LEAST_RADIUS_PX = 4
_POINTS = 48

_STRAIGHT_WITHIN = 0.1
"""The region in front has half of the circle around a T-junction; so far may its share be off."""

_LEAST_SHARE = 0.1
"""Of the circle, that each of the two behind must have."""


def count_junctions(region_map: NDArray[np.integer]) -> Counter[tuple[int, int]]:
    """Count for pairs of regions how often a T-junction shows one in front of the other.

    Where the outline of a region ends at the outline of another, the other one is in front: a small
    circle around that point runs through three regions, once each, and half of it lies in the one
    in front. The two that it parts are both behind it; between them nothing is said.

    Args:
        region_map: (H, W) number of the region of each pixel; negative where there is none.

    Returns:
        (front, back) -> junctions that say so; none that are nearer to the frame than the circle's
        radius, an H/50th and at least 4 pixels.

    Raises:
        ValueError: If region_map is not (H, W).

    Source:
        The cue of Guzman 1968, "Decomposition of a visual scene into three-dimensional bodies".
    """
    if region_map.ndim != 2:
        raise ValueError(f"region_map must be (H, W), got {region_map.shape}")
    height, width = region_map.shape
    radius = max(_LEAST_RADIUS_PX, round(_RADIUS_PER_HEIGHT * height))
    rows, columns = _meeting_points(region_map).T
    inside = (rows >= radius) & (columns >= radius)
    inside &= (rows + radius <= height) & (columns + radius <= width)
    angles = 2 * np.pi * (np.arange(_POINTS) + 0.5) / _POINTS
    around_y = np.floor(rows[inside, None] + radius * np.sin(angles)).astype(int)
    around_x = np.floor(columns[inside, None] + radius * np.cos(angles)).astype(int)
    circles = region_map[around_y.clip(0, height - 1), around_x.clip(0, width - 1)]  # (N, _POINTS)
    arcs = np.count_nonzero(circles != np.roll(circles, 1, axis=1), axis=1)
    found: Counter[tuple[int, int]] = Counter()
    for circle in circles[(arcs == 3) & (circles >= 0).all(axis=1)]:
        numbers, counts = np.unique(circle, return_counts=True)
        if len(numbers) < 3:
            continue
        order = np.argsort(-counts, kind="stable")
        shares = counts[order] / _POINTS
        if abs(shares[0] - 0.5) > _STRAIGHT_WITHIN or shares[2] < _LEAST_SHARE:
            continue
        if shares[1] > 0.5 - _STRAIGHT_WITHIN:
            continue
        front, *behind = (int(number) for number in numbers[order])
        found.update((front, back) for back in behind)
    return found


def _meeting_points(region_map: NDArray[np.integer]) -> NDArray[np.intp]:
    """Return (N, 2) rows and columns of the pixels' corners at which three or more regions meet."""
    corners = np.stack(
        [region_map[:-1, :-1], region_map[:-1, 1:], region_map[1:, :-1], region_map[1:, 1:]]
    )
    corners.sort(axis=0)
    kinds = 1 + np.count_nonzero(np.diff(corners, axis=0), axis=0)
    return np.argwhere(kinds >= 3) + 1
