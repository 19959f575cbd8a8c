"""The compiled inner loops of the closed-form aligner: rating fits, and climbing to better ones."""

from typing import NamedTuple

import numpy as np

from scenequilt.alignment.fit_kernels import (
    Bounds,
    Matrix,
    Place,
    boxes_fit,
    chained,
    inverse,
    is_allowed,
    mirror_image,
    moments_fit,
    shift_fit,
    sides_fit,
    within_bounds,
)
from scenequilt.memory_bank.kernels import Array, compiled, inlined
from scenequilt.memory_bank.segment import Box

LARGEST_GRID = 64
"""Most samples along a side when fits are compared; smaller queries are compared exactly."""

MOST_FITS = 16


class Grid(NamedTuple):
    """Cells over a box of the layout; the centre of a cell is its sample.

    Attributes:
        top: Of the box, in layout pixels.
        left: Likewise.
        rows: Cells from top to bottom.
        columns: From left to right.
        step_x: Width of a cell in layout pixels.
        step_y: Its height.
    """

    top: float
    left: float
    rows: int
    columns: int
    step_x: float
    step_y: float


class Asked(NamedTuple):
    """A query as fits are rated against it.

    Attributes:
        place: Where it is in the layout.
        area_px: Its pixels.
        is_thing: True if its class is countable.
        grid: Over its box.
        row_start: (rows + 1,) int32, first entry of each grid row in columns, and the end.
        columns: (N,) int32, columns of the cells whose sample falls on the query, row by row.
        layout_grid: Over the whole layout.
        excess_cost: What a pixel of the segment outside of the query costs.
    """

    place: Place
    area_px: int
    is_thing: bool
    grid: Grid
    row_start: Array
    columns: Array
    layout_grid: Grid
    excess_cost: float


class Given(NamedTuple):
    """A segment as its fits are rated.

    Attributes:
        place: Where it is in its photograph.
        area_px: Its pixels.
        mask: (h, w) uint8 over the crop.
        crop_top: First row of the crop in the photograph.
        crop_left: Its first column.
    """

    place: Place
    area_px: int
    mask: Array
    crop_top: int
    crop_left: int


class Climbing(NamedTuple):
    """How a map is improved by small moves and stretches.

    Attributes:
        rounds: Most rounds of all eight of them.
        first_step: Size of the first ones, as a share of the query's box; it is halved after a
            round without a gain.
        last_step: Smallest size.
        least_gain: What a rating must rise by: below it, it may be the sampling's.
    """

    rounds: int
    first_step: float
    last_step: float
    least_gain: float


@inlined
def in_single(number: float) -> float:
    """Return a number as single precision holds it."""
    return float(np.float32(number))


@inlined
def nearest(cell: int, factor: float, start: float) -> int:
    """Return the pixel whose centre is nearest to start + cell * factor.

    Rounded once to single precision, and half to even: what OpenCV 5 does where it works on vectors.
    """
    return int(np.rint(np.float32(cell * factor + start)))


@inlined
def at_samples(source_from_target: Matrix, grid: Grid, given: Given) -> Matrix:
    """Return the map from grid cells to pixels of the crop, whole numbers at the centres of both.

    In single precision, which is what OpenCV 5 samples the nearest pixel with.
    """
    a, b, x, c, d, y = source_from_target
    start_x, start_y = grid.left + grid.step_x / 2, grid.top + grid.step_y / 2
    return (
        in_single(a * grid.step_x),
        in_single(b * grid.step_y),
        in_single(a * start_x + b * start_y + x - given.crop_left - 0.5),
        in_single(c * grid.step_x),
        in_single(d * grid.step_y),
        in_single(c * start_x + d * start_y + y - given.crop_top - 0.5),
    )


@inlined
def shared_cells(crop_from_cell: Matrix, asked: Asked, mask: Array, at_column: Array) -> int:
    """Count the cells whose sample falls on both the query and the mask.

    at_column (LARGEST_GRID,) int64 is working space.
    """
    a, b, x, c, d, y = crop_from_cell
    height, width = mask.shape
    count = 0
    if b == 0 and c == 0:
        for column in range(asked.grid.columns):
            at_column[column] = nearest(column, a, x)
        for row in range(asked.grid.rows):
            at_y = nearest(row, d, y)
            if 0 <= at_y < height:
                for n in range(asked.row_start[row], asked.row_start[row + 1]):
                    at_x = at_column[asked.columns[n]]
                    if 0 <= at_x < width:
                        count += mask[at_y, at_x]
        return count
    for row in range(asked.grid.rows):
        from_x, from_y = in_single(row * b + x), in_single(row * d + y)
        for n in range(asked.row_start[row], asked.row_start[row + 1]):
            column = asked.columns[n]
            at_x, at_y = nearest(column, a, from_x), nearest(column, c, from_y)
            if 0 <= at_x < width and 0 <= at_y < height:
                count += mask[at_y, at_x]
    return count


@inlined
def covered_cells(crop_from_cell: Matrix, grid: Grid, mask: Array) -> int:
    """Count the cells of a grid whose sample falls on the mask."""
    a, b, x, c, d, y = crop_from_cell
    height, width = mask.shape
    count = 0
    for row in range(grid.rows):
        from_x, from_y = in_single(row * b + x), in_single(row * d + y)
        for column in range(grid.columns):
            at_x, at_y = nearest(column, a, from_x), nearest(column, c, from_y)
            if 0 <= at_x < width and 0 <= at_y < height:
                count += mask[at_y, at_x]
    return count


@inlined
def pixels_between(first: float, second: float, low: int, high: int) -> tuple[int, int]:
    """Return first and end of the pixels between two coordinates, within low and high."""
    start, end = int(np.rint(min(first, second))), int(np.rint(max(first, second)))
    return min(max(start, low), high), min(max(end, low), high)


@inlined
def count_window(mask: Array, top: int, bottom: int, left: int, right: int) -> int:
    """Count the pixels of a mask within a window."""
    count = 0
    for y in range(top, bottom):
        for x in range(left, right):
            count += mask[y, x]
    return count


@inlined
def count_between(
    given: Given, first_row: int, end_row: int, first_column: int, end_column: int
) -> int:
    """Count the segment's pixels in rows and columns of its photograph, within its box.

    What is outside is counted instead where that is less to read.
    """
    mask, up, back = given.mask, given.crop_top, given.crop_left
    top, left, bottom, right = given.place.box
    window_px = (end_row - first_row) * (end_column - first_column)
    if 2 * window_px < (bottom - top) * (right - left):
        return count_window(
            mask, first_row - up, end_row - up, first_column - back, end_column - back
        )
    outside = count_window(mask, top - up, first_row - up, left - back, right - back)
    outside += count_window(mask, end_row - up, bottom - up, left - back, right - back)
    outside += count_window(mask, first_row - up, end_row - up, left - back, first_column - back)
    outside += count_window(mask, first_row - up, end_row - up, end_column - back, right - back)
    return given.area_px - outside


@inlined
def area_within(matrix: Matrix, source_from_target: Matrix, asked: Asked, given: Given) -> float:
    """Return the pixels of the segment that fall within the layout."""
    a, b, x, c, d, y = matrix
    width, height = asked.place.width, asked.place.height
    top, left, bottom, right = given.place.box
    center_x, center_y = (left + right) / 2, (top + bottom) / 2
    half_x, half_y = (right - left) / 2, (bottom - top) / 2
    middle_x, middle_y = a * center_x + b * center_y + x, c * center_x + d * center_y + y
    reach_x = abs(a) * half_x + abs(b) * half_y
    reach_y = abs(c) * half_x + abs(d) * half_y
    if reach_x <= middle_x <= width - reach_x and reach_y <= middle_y <= height - reach_y:
        return abs(a * d - b * c) * given.area_px
    if abs(b) + abs(c) < 1e-9:
        across, _, from_x, _, down, from_y = source_from_target
        first_row, end_row = pixels_between(from_y, from_y + down * height, top, bottom)
        first_column, end_column = pixels_between(from_x, from_x + across * width, left, right)
        return abs(a * d) * count_between(given, first_row, end_row, first_column, end_column)
    grid = asked.layout_grid
    count = covered_cells(at_samples(source_from_target, grid, given), grid, given.mask)
    return count * (grid.step_x * grid.step_y)


@inlined
def rate(matrix: Matrix, asked: Asked, given: Given, at_column: Array) -> float:
    """Return how well a map meets the query, in [0, 1].

    It is shared / (shared + open + excess_cost * excess), areas of: segment and query, query alone,
    segment alone (Tversky 1977, "Features of similarity"); with excess_cost = 1 it is the IoU. What
    is shared is counted where the grid samples it. The segment's area is that in the photograph
    times the change of area; of a segment that overflows the layout, the part that falls within,
    which a turned one is sampled for.
    """
    source_from_target = inverse(matrix)
    crop_from_cell = at_samples(source_from_target, asked.grid, given)
    cells = shared_cells(crop_from_cell, asked, given.mask, at_column)
    shared_px = cells * (asked.grid.step_x * asked.grid.step_y)
    if shared_px == 0:
        return 0.0
    excess_px = max(area_within(matrix, source_from_target, asked, given) - shared_px, 0.0)
    total_px = max(asked.area_px, shared_px) + asked.excess_cost * excess_px
    return shared_px / total_px


@inlined
def nudge_of(n: int, box: Box, step: float) -> Matrix:
    """Return small move or stretch n of 8 of a box, either way along both axes."""
    height, width = box[2] - box[0], box[3] - box[1]
    if n == 0:
        return 1.0, 0.0, step * width, 0.0, 1.0, 0.0
    if n == 1:
        return 1.0, 0.0, -step * width, 0.0, 1.0, 0.0
    if n == 2:
        return 1.0, 0.0, 0.0, 0.0, 1.0, step * height
    if n == 3:
        return 1.0, 0.0, 0.0, 0.0, 1.0, -step * height
    center_x, center_y = (box[1] + box[3]) / 2, (box[0] + box[2]) / 2
    factor = 1 + step if n % 2 == 0 else 1 / (1 + step)
    across, down = (factor, 1.0) if n < 6 else (1.0, factor)
    return across, 0.0, center_x * (1 - across), 0.0, down, center_y * (1 - down)


@inlined
def climb(
    matrix: Matrix,
    value: float,
    asked: Asked,
    given: Given,
    bounds: Bounds,
    climbing: Climbing,
    at_column: Array,
) -> tuple[Matrix, float]:
    """Move and scale a map as long as its rating rises; return the map and its rating."""
    step = climbing.first_step
    for _ in range(climbing.rounds):
        risen = False
        for n in range(8):
            nudged = chained(nudge_of(n, asked.place.box, step), matrix)
            if not is_allowed(nudged, bounds):
                continue
            nudged_value = rate(nudged, asked, given, at_column)
            if nudged_value > value + climbing.least_gain:
                value, matrix, risen = nudged_value, nudged, True
        if not risen:
            step /= 2
        if step < climbing.last_step:
            break
    return matrix, value


@inlined
def write_fit(matrix: Matrix, group: int, fits: Array, groups: Array, n: int) -> int:
    """Write fit n, and the group it is of; return how many there are now."""
    for number in range(6):
        fits[n, number] = matrix[number]
    groups[n] = group
    return n + 1


@inlined
def fit_at(fits: Array, n: int) -> Matrix:
    """Return fit n."""
    return fits[n, 0], fits[n, 1], fits[n, 2], fits[n, 3], fits[n, 4], fits[n, 5]


@inlined
def write_bent(
    asked: Asked, given: Place, bounds: Bounds, group: int, fits: Array, groups: Array, n: int
) -> int:
    """Write the fits that change size or proportions; return how many there are now."""
    matrix, x, y = sides_fit(asked.place, given)
    n = write_fit(within_bounds(matrix, bounds, x, y), group, fits, groups, n)
    x, y = given.moments.centroid_x, given.moments.centroid_y
    if not asked.is_thing:
        matrix = boxes_fit(asked.place.box, given.box)
        n = write_fit(within_bounds(matrix, bounds, x, y), group, fits, groups, n)
    if asked.place.cut == given.cut or not asked.is_thing:
        for rotate in range(2):
            matrix = moments_fit(asked.place.moments, given.moments, rotate == 1)
            n = write_fit(within_bounds(matrix, bounds, x, y), group, fits, groups, n)
    return n


@compiled
def choose_fit(
    asked: Asked,
    given: Given,
    bounds: Bounds,
    min_gain: float,
    may_mirror: bool,
    climbing: Climbing,
) -> tuple[Matrix, bool]:
    """Choose the map from the photograph to the layout that meets the query best.

    A segment is left in the frame, moved, bent, or mirrored and all of these; each of the four has
    to gain min_gain in rating over the best of those before it, and so has what climbing finds.

    Returns the map, and True if it is the one that leaves the segment in the frame.
    """
    fits = np.empty((MOST_FITS, 6), np.float64)
    groups = np.empty(MOST_FITS, np.int64)
    at_column = np.empty(LARGEST_GRID, np.int64)
    moments, frame = asked.place.moments, bounds.frame
    n = write_fit(frame, 0, fits, groups, 0)
    n = write_fit(shift_fit(moments, given.place.moments, frame), 1, fits, groups, n)
    n = write_bent(asked, given.place, bounds, 2, fits, groups, n)
    if may_mirror:
        mirrored, first = mirror_image(given.place), n
        n = write_fit(frame, 3, fits, groups, n)
        n = write_fit(shift_fit(moments, mirrored.moments, frame), 3, fits, groups, n)
        n = write_bent(asked, mirrored, bounds, 3, fits, groups, n)
        mirror = (-1.0, 0.0, float(given.place.width), 0.0, 1.0, 0.0)
        for place in range(first, n):
            write_fit(chained(fit_at(fits, place), mirror), 3, fits, groups, place)

    best, value = 0, rate(frame, asked, given, at_column)
    place = 1
    while place < n:
        group, group_best, group_value = groups[place], place, -1.0
        while place < n and groups[place] == group:
            rating = rate(fit_at(fits, place), asked, given, at_column)
            if rating > group_value:
                group_best, group_value = place, rating
            place += 1
        if group_value >= value + min_gain:
            best, value = group_best, group_value
    chosen = fit_at(fits, best)
    climbed, climbed_value = climb(chosen, value, asked, given, bounds, climbing, at_column)
    if climbed_value >= value + min_gain:
        return climbed, False
    return chosen, best == 0
