"""Compiled passes over a layout: connected components, and the components that thin classes cut."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def compiled(kernel: Kernel) -> Kernel:
    """Compile a function of arrays to machine code on its first call, cached on disk."""
    return cast(Kernel, numba.njit(cache=True, nogil=True)(kernel))


@compiled
def root_of(parents: NDArray[np.int32], node: int) -> int:
    """Return the smallest member of a node's set, and shorten the way to it."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@compiled
def unite(parents: NDArray[np.int32], one: int, other: int) -> None:
    """Make one set of two; its root is its smallest member."""
    one, other = root_of(parents, one), root_of(parents, other)
    if one < other:
        parents[other] = one
    else:
        parents[one] = other


@compiled
def label_components(
    label_map: NDArray[np.uint8],
    instance_map: NDArray[np.int32],
    is_thing: NDArray[np.bool_],
    void: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Find the 8-connected pieces of equal class and, for things, equal instance.

    Args:
        label_map: (H, W) class ids and void.
        instance_map: (H, W); what it says of stuff is not looked at.
        is_thing: (256,) by class id.
        void: The label that belongs to no piece.

    Returns:
        (H, W) number of each pixel's piece, 0 for void, 1..n in the raster order of first pixels;
        and (n + 1,) flat position of each piece's first pixel.
    """
    height, width = label_map.shape
    pieces = np.zeros((height, width), np.int32)
    parents = np.zeros(height * width + 1, np.int32)
    count = 0
    for y in range(height):
        for x in range(width):
            label = label_map[y, x]
            if label == void:
                continue
            thing = is_thing[label]
            piece = 0
            # The neighbours that raster order has passed: west, north-west, north, north-east.
            for dy, dx in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):
                v, u = y + dy, x + dx
                if v < 0 or u < 0 or u >= width or label_map[v, u] != label:
                    continue
                if thing and instance_map[v, u] != instance_map[y, x]:
                    continue
                neighbour = pieces[v, u]
                if piece == 0:
                    piece = neighbour
                elif piece != neighbour:
                    unite(parents, piece, neighbour)
            if piece == 0:
                count += 1
                piece = count
                parents[piece] = piece
            pieces[y, x] = piece

    number_of = np.zeros(count + 1, np.int32)
    found = 0
    for piece in range(1, count + 1):
        root = root_of(parents, piece)
        if root == piece:
            found += 1
            number_of[piece] = found
        else:
            number_of[piece] = number_of[root]
    first_pixel = np.full(found + 1, -1, np.int32)
    for y in range(height):
        for x in range(width):
            piece = number_of[pieces[y, x]]
            pieces[y, x] = piece
            if piece > 0 and first_pixel[piece] < 0:
                first_pixel[piece] = y * width + x
    return pieces, first_pixel


@compiled
def cluster_thin(
    pieces: NDArray[np.int32], is_thin: NDArray[np.bool_]
) -> tuple[NDArray[np.int32], int]:
    """Find the connected sets of pixels of any thin classes.

    Args:
        pieces: (H, W) from label_components.
        is_thin: (n + 1,) True for pieces of a thin class.

    Returns:
        (n + 1,) cluster of each piece, 0 if it is not thin; and the number of clusters.
    """
    height, width = pieces.shape
    parents = np.arange(len(is_thin)).astype(np.int32)
    for y in range(height):
        for x in range(width):
            here = pieces[y, x]
            if not is_thin[here]:
                continue
            for dy, dx in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):
                v, u = y + dy, x + dx
                if v < 0 or u < 0 or u >= width:
                    continue
                there = pieces[v, u]
                if there != here and is_thin[there]:
                    unite(parents, here, there)
    clusters = np.zeros(len(is_thin), np.int32)
    count = 0
    for piece in range(1, len(is_thin)):
        if is_thin[piece]:
            root = root_of(parents, piece)
            if root == piece:
                count += 1
                clusters[piece] = count
            else:
                clusters[piece] = clusters[root]
    return clusters, count


@compiled
def join_across_thin(
    pieces: NDArray[np.int32],
    class_of: NDArray[np.uint8],
    is_thin: NDArray[np.bool_],
    may_join: NDArray[np.bool_],
    parents: NDArray[np.int32],
) -> None:
    """Unite pieces of one class that touch the same cluster of thin pixels.

    For each class this joins what would be one component of "own class or thin" (Qi et al. 2018,
    code).

    Args:
        pieces: (H, W) from label_components.
        class_of: (n + 1,) class id of each piece.
        is_thin: (n + 1,) True for pieces of a thin class.
        may_join: (n + 1,) False for void and for pieces of an object that has a number.
        parents: (n + 1,) sets of pieces; changed in place.
    """
    height, width = pieces.shape
    clusters, count = cluster_thin(pieces, is_thin)
    first_at = np.zeros((count + 1, 256), np.int32)
    for y in range(height):
        for x in range(width):
            here = pieces[y, x]
            for dy, dx in ((0, -1), (-1, -1), (-1, 0), (-1, 1)):
                v, u = y + dy, x + dx
                if v < 0 or u < 0 or u >= width:
                    continue
                there = pieces[v, u]
                if is_thin[here] == is_thin[there]:
                    continue
                thin, other = (here, there) if is_thin[here] else (there, here)
                if not may_join[other]:
                    continue
                first = first_at[clusters[thin], class_of[other]]
                if first == 0:
                    first_at[clusters[thin], class_of[other]] = other
                elif first != other:
                    unite(parents, first, other)


@compiled
def measure_regions(
    pieces: NDArray[np.int32], region_of: NDArray[np.int32], count: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]:
    """Number the pixels by region and measure the regions.

    Args:
        pieces: (H, W) from label_components.
        region_of: (n + 1,) region of each piece, 0 for none.
        count: Number of regions; they are 1..count.

    Returns:
        (H, W) region of each pixel; (count + 1, 4) top, left, bottom, right; (count + 1,) area.
    """
    height, width = pieces.shape
    regions = np.zeros((height, width), np.int32)
    boxes = np.zeros((count + 1, 4), np.int32)
    boxes[:, 0] = height
    boxes[:, 1] = width
    area_px = np.zeros(count + 1, np.int64)
    for y in range(height):
        for x in range(width):
            region = region_of[pieces[y, x]]
            regions[y, x] = region
            if region == 0:
                continue
            area_px[region] += 1
            boxes[region, 0] = min(boxes[region, 0], y)
            boxes[region, 1] = min(boxes[region, 1], x)
            boxes[region, 2] = y + 1
            boxes[region, 3] = max(boxes[region, 3], x + 1)
    return regions, boxes, area_px


@compiled
def grow_numbers(
    label_map: NDArray[np.uint8], numbers: NDArray[np.int32], is_open: NDArray[np.bool_], steps: int
) -> NDArray[np.int32]:
    """Give open pixels the number of a neighbour of their class, as often as there are steps.

    Args:
        label_map: (H, W) class ids.
        numbers: (H, W), 0 on open pixels.
        is_open: (H, W) True where a number may be given.
        steps: How far numbers grow, in pixels.

    Returns:
        (H, W) numbers after growing.
    """
    height, width = label_map.shape
    grown = numbers.copy()
    for _ in range(steps):
        before = grown.copy()
        for y in range(height):
            for x in range(width):
                if not is_open[y, x] or before[y, x] != 0:
                    continue
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        v, u = y + dy, x + dx
                        if v < 0 or u < 0 or v >= height or u >= width:
                            continue
                        if before[v, u] != 0 and label_map[v, u] == label_map[y, x]:
                            grown[y, x] = before[v, u]
    return grown


@compiled
def mark_between(values: NDArray[np.unsignedinteger]) -> tuple[NDArray[np.bool_], int, int]:
    """Find the pixels whose value lies between those of their two neighbours in a row or column.

    Args:
        values: (H, W) of an unsigned type.

    Returns:
        (H, W) bool, True where it does; how often it does; and how often two such neighbours have
        a value between them at all.
    """
    height, width = values.shape
    between = np.zeros((height, width), np.bool_)
    found = 0
    borders = 0
    for y in range(height):
        for x in range(width):
            here = np.int64(values[y, x])
            for dy, dx in ((0, 1), (1, 0)):
                if y < dy or x < dx or y + dy >= height or x + dx >= width:
                    continue
                low, high = np.int64(values[y - dy, x - dx]), np.int64(values[y + dy, x + dx])
                if low > high:
                    low, high = high, low
                if high - low < 2:
                    continue
                borders += 1
                if low < here < high:
                    between[y, x] = True
                    found += 1
    return between, found, borders
