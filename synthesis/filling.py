"""Filling what no segment covers: texture of the same class first, inpainting last."""

from collections.abc import Collection
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.canvas import differing

TILES_PX = {48: 14, 24: 8, 12: 4, 6: 2}
"""Sides of the patches that texture is laid in, the largest first, and how far each reaches over
what is there, to choose it by and to mix it in. No patch is larger than its hole; a class that is
nowhere as wide as a patch, like a distant pavement, is laid in smaller ones."""

MIN_SOURCES = 12
"""Places that patches of a size must be found at for the size to be used."""

NEAR_PX = 6
"""Half of the places are drawn at most this far above or below."""

DRAWS = 32
"""Places that are compared for each patch."""

ROW_COST = 0.02
"""Squared colour error a channel that a patch is charged a squared pixel of vertical distance: a
texture seen in perspective is only like itself at its own height in the picture."""

MAX_TINT = 12.0
"""Most that a patch's colour is moved, of 255, to go on from what is around."""

LEAST_KEPT = np.float32(0.5)
"""Least that the colour of a pixel weighs in it when texture is mixed in beside a hole."""

INPAINT_RADIUS_PX = 3.0

REACH_PX = max(TILES_PX.values())
"""How far beside a hole its texture is mixed in at most."""


@dataclass(frozen=True, eq=False)
class Filled:
    """A picture without holes, as far as there was something to fill them with.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        label_map: (H, W) uint8, class whose texture each pixel shows now.
        textured: (H, W) bool, filled with patches of the class that was wanted.
        inpainted: (H, W) bool, filled from the pixels around; labelled like the nearest stuff.
        mixed: (H, W) bool, pixels around a hole that texture was mixed into; however many patches
            reach them, what was there keeps at least half of the weight.
    """

    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    textured: NDArray[np.bool_]
    inpainted: NDArray[np.bool_]
    mixed: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EarlierFill:
    """A picture that was filled before, and is now to be filled again after a change.

    Attributes:
        image: (H, W, 3) uint8 RGB, before it was filled.
        label_map: (H, W) uint8, likewise.
        open_pixels: (H, W) bool, its holes.
        filled: What they were filled with.
    """

    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    open_pixels: NDArray[np.bool_]
    filled: Filled


def fill_holes(
    image: NDArray[np.uint8],
    label_map: NDArray[np.uint8],
    open_pixels: NDArray[np.bool_],
    wanted: NDArray[np.uint8],
    *,
    seed: int,
    stuff: Collection[int] | None = None,
    min_texture_px: int = 12,
    earlier: EarlierFill | None = None,
) -> Filled:
    """Fill open pixels.

    A hole is tiled with patches of its own class from elsewhere in the picture, chosen by how well
    they go on from what is around and by standing at the same height, and mixed in over their
    rim (image quilting with a soft seam). A class that is nowhere in the picture is replaced by
    the nearest stuff, and the label says so. What is too small for a patch is inpainted and takes
    the label of the nearest stuff, void if there is none: it is never part of an object.

    Args:
        image: (H, W, 3) uint8 RGB, whatever colour where open.
        label_map: (H, W) uint8 class ids, true where not open.
        open_pixels: (H, W) bool.
        wanted: (H, W) uint8 class id that each open pixel should show, void if none.
        seed: Same input, same seed, same bytes.
        stuff: Classes that may stand in for another; all if None.
        min_texture_px: Holes of fewer pixels are inpainted at once.
        earlier: The same picture before a change, with the same wanted: a hole with nothing new
            within reach of its texture stays filled as it was, byte by byte. Filled anew it would
            look otherwise, as patches are drawn from all over the picture.

    Source:
        Efros and Freeman 2001, "Image quilting for texture synthesis and transfer";
        Telea 2004, "An image inpainting technique based on the fast marching method".
    """
    textured = np.zeros(open_pixels.shape, np.bool_)
    kept = (~open_pixels).astype(np.float32)
    if open_pixels.all() or not open_pixels.any():
        return Filled(image, label_map, textured, textured, textured)
    rng = np.random.default_rng([seed, 0xF111])
    before, image, label_map = image, image.copy(), label_map.copy()
    inpainted, todo = textured.copy(), open_pixels
    if earlier is not None:
        stays = _unchanged_holes(before, label_map, open_pixels, earlier)
        rim = _near(stays, REACH_PX) & earlier.filled.mixed & ~open_pixels
        image[stays | rim] = earlier.filled.image[stays | rim]
        label_map[stays] = earlier.filled.label_map[stays]
        kept[rim] = LEAST_KEPT
        textured, inpainted = earlier.filled.textured & stays, earlier.filled.inpainted & stays
        todo = open_pixels & ~stays
    _lay_texture(image, label_map, todo, open_pixels, wanted, textured, kept, rng, min_texture_px)
    missing = todo & ~textured
    usable = ~open_pixels | textured
    if stuff is not None:
        usable &= np.isin(label_map, sorted(stuff))
    if missing.any() and usable.any():
        instead = _nearest_labels(label_map, usable)
        _lay_texture(
            image, label_map, missing, missing | inpainted, instead, textured, kept, rng,
            min_texture_px,
        )  # fmt: skip
    mixed = ~open_pixels & differing(image, before)
    missing = todo & ~textured
    if missing.any():
        usable &= ~missing
        nearest = _nearest_labels(label_map, usable) if usable.any() else np.full_like(wanted, VOID)
        label_map[missing] = nearest[missing]
        image = _inpaint(image, missing)
    return Filled(image, label_map, textured, inpainted | missing, mixed)


def _unchanged_holes(
    image: NDArray[np.uint8],
    label_map: NDArray[np.uint8],
    open_pixels: NDArray[np.bool_],
    earlier: EarlierFill,
) -> NDArray[np.bool_]:
    """Return the open pixels of holes that are as they were, with what is within reach of them."""
    changed = differing(image, earlier.image)
    changed |= (label_map != earlier.label_map) | (open_pixels != earlier.open_pixels)
    near = _near(changed, REACH_PX)
    _, numbers = cv2.connectedComponents(open_pixels.astype(np.uint8), connectivity=8)
    touched = np.unique(numbers[near & open_pixels])
    stays: NDArray[np.bool_] = open_pixels & ~np.isin(numbers, touched)
    return stays


def _near(mask: NDArray[np.bool_], reach_px: int) -> NDArray[np.bool_]:
    side = 2 * reach_px + 1
    near: NDArray[np.bool_] = cv2.dilate(mask.astype(np.uint8), np.ones((side, side))) > 0
    return near


def _lay_texture(
    image: NDArray[np.uint8],
    label_map: NDArray[np.uint8],
    todo: NDArray[np.bool_],
    made_up: NDArray[np.bool_],
    wanted: NDArray[np.uint8],
    textured: NDArray[np.bool_],
    kept: NDArray[np.float32],
    rng: np.random.Generator,
    min_texture_px: int,
) -> None:
    """Lay texture where it is to do; image, label_map, textured and kept are kept up.

    made_up is (H, W) bool, where no texture may be cut from.
    """
    for class_id in np.unique(wanted[todo]).tolist():
        if class_id == VOID:
            continue
        ours = (label_map == class_id) & ~made_up
        holes = (todo & (wanted == class_id)).astype(np.uint8)
        known = ours | (textured & (label_map == class_id))
        sources: dict[int, NDArray[np.int64]] = {}
        for box, mask in _pieces(holes, min_texture_px):
            top, left, height, width = box[0], box[1], box[2] - box[0], box[3] - box[1]
            tile_px = _largest_tile(ours, max(width, height), sources)
            if not tile_px:
                continue
            hole = np.zeros(holes.shape, np.bool_)
            hole[top : box[2], left : box[3]] = mask
            for y in range(top, top + height, tile_px):
                for x in range(left, left + width, tile_px):
                    part = hole[
                        y : min(y + tile_px, top + height), x : min(x + tile_px, left + width)
                    ]
                    if part.any():
                        box = (y, x, y + part.shape[0], x + part.shape[1])
                        overlap_px = TILES_PX[tile_px]
                        _lay_patch(image, hole, known, kept, sources[tile_px], box, overlap_px, rng)
            textured |= hole
            label_map[hole] = class_id


def _pieces(holes: NDArray[np.uint8], least_px: int) -> list[tuple[Box, NDArray[np.bool_]]]:
    """Return box and mask of each connected piece of at least so many pixels."""
    rows, columns = np.flatnonzero(holes.any(axis=1)), np.flatnonzero(holes.any(axis=0))
    # OpenCV numbers pieces by blocks of two by two pixels: the window begins with a whole one.
    top, left = int(rows[0]) // 2 * 2, int(columns[0]) // 2 * 2
    window = holes[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    count, numbers, stats, _ = cv2.connectedComponentsWithStats(window, connectivity=8)
    pieces = []
    for number in range(1, count):
        x, y, width, height, area = stats[number].tolist()
        if area >= least_px:
            mask = numbers[y : y + height, x : x + width] == number
            pieces.append(((top + y, left + x, top + y + height, left + x + width), mask))
    return pieces


def _largest_tile(
    ours: NDArray[np.bool_], extent_px: int, sources: dict[int, NDArray[np.int64]]
) -> int:
    """Return the side of the largest patch that suits a hole, 0 if none can be cut anywhere.

    What it can be cut around, (S, 2) centres by side, is added to sources when first asked for.
    """
    for tile_px, overlap_px in TILES_PX.items():
        if tile_px > max(extent_px, min(TILES_PX)):
            continue
        if tile_px not in sources:
            kernel = np.ones((tile_px + 2 * overlap_px,) * 2, np.uint8)
            full = cv2.erode(
                ours.astype(np.uint8), kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0
            )
            sources[tile_px] = np.stack(np.divmod(np.flatnonzero(full), full.shape[1]), axis=1)
        if len(sources[tile_px]) >= MIN_SOURCES:
            return tile_px
    return 0


def _lay_patch(
    image: NDArray[np.uint8],
    hole: NDArray[np.bool_],
    known: NDArray[np.bool_],
    kept: NDArray[np.float32],
    sources: NDArray[np.int64],
    box: Box,
    overlap_px: int,
    rng: np.random.Generator,
) -> None:
    """Cover the hole within a box, at most a tile; image, known and kept are kept up."""
    top, left, bottom, right = box
    center = np.array([(top + bottom) // 2, (left + right) // 2])
    low = np.maximum((top - overlap_px, left - overlap_px), 0)
    high = np.minimum((bottom + overlap_px, right + overlap_px), image.shape[:2])
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    drawn = sources[_draw(sources, int(center[0]), rng)]
    rows = np.arange(low[0], high[0]) - center[0]
    columns = np.arange(low[1], high[1]) - center[1]
    patches = image[
        drawn[:, 0, None, None] + rows[None, :, None],
        drawn[:, 1, None, None] + columns[None, None, :],
    ]  # (D, h, w, 3)
    there = known[window]
    cost = ROW_COST * (drawn[:, 0] - center[0]).astype(np.float64) ** 2
    if there.any():
        error = patches[:, there].astype(np.float32) - image[window][there].astype(np.float32)
        cost = cost + (error**2).mean(axis=(1, 2))
    best = int(np.argmin(cost))
    patch = patches[best].astype(np.float32)
    if there.any():
        patch -= np.clip(error[best].mean(axis=0), -MAX_TINT, MAX_TINT)
    todo = hole[window] & ~there
    share = _rim(todo, overlap_px)
    share[~(todo | there)] = 0
    weight = kept[window]
    pasted = weight > 0
    share[pasted] = np.clip(share[pasted], 0, 1 - np.minimum(LEAST_KEPT / weight[pasted], 1))
    weight *= 1 - share
    target = image[window]
    mixture = share[..., None] * patch + (1 - share[..., None]) * target
    changed = share > 0
    target[changed] = np.clip(np.rint(mixture[changed]), 0, 255).astype(np.uint8)
    known[window] |= todo


def _draw(sources: NDArray[np.int64], row: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Choose places to compare: half of them anywhere, half near the row."""
    count = len(sources)
    if count <= DRAWS:
        return np.arange(count)
    anywhere = rng.integers(0, count, DRAWS // 2)
    first, last = np.searchsorted(sources[:, 0], [row - NEAR_PX, row + NEAR_PX + 1])
    if first == last:
        return anywhere
    near = rng.integers(first, last, DRAWS - DRAWS // 2)
    return np.concatenate([near, anywhere])


def _rim(todo: NDArray[np.bool_], overlap_px: int) -> NDArray[np.float32]:
    """Return 1 on what is to be covered, falling to 0 over the overlap around it."""
    outside = cv2.distanceTransform((~todo).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
    return np.asarray(np.clip(1 - outside / overlap_px, 0, 1), np.float32)


def _nearest_labels(label_map: NDArray[np.uint8], known: NDArray[np.bool_]) -> NDArray[np.uint8]:
    _, nearest = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label_of = np.zeros(int(nearest.max()) + 1, np.uint8)
    label_of[nearest[known]] = label_map[known]
    labels: NDArray[np.uint8] = label_of[nearest]
    return labels


def _inpaint(image: NDArray[np.uint8], holes: NDArray[np.bool_]) -> NDArray[np.uint8]:
    inpainted = cv2.inpaint(image, holes.astype(np.uint8), INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    result = image.copy()
    result[holes] = np.asarray(inpainted, np.uint8)[holes]
    return result
