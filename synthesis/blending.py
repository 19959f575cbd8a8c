"""Blending: what happens to colour along the borders between segments."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Box
from scenequilt.synthesis.canvas import lay_on

Blend = Literal["hard", "feathered", "multiband"]
BLENDS: tuple[Blend, ...] = ("hard", "feathered", "multiband")

OUTLINE_MIX = 0.35
"""Most that a neighbour may weigh in a pixel beside an outline, so that a thin pole stays."""

HALF = np.float32(0.5)

PYRAMID_MARGIN = 6
"""How far a pyramid's colour comes from, in pixels of its coarsest level; 4 would do."""

NEGLIGIBLE = 1 / 512
"""A share below which a colour cannot change a byte by more than rounding."""


@dataclass(frozen=True, eq=False)
class Layer:
    """The colour of one segment, ready to be mixed.

    Attributes:
        box: What the arrays cover, in picture pixels.
        color: (h, w, 3) uint8 RGB.
        reach: (h, w) bool, True where the colour may be used.
        offered: (h, w) bool within reach, True where the segment was pasted.
        group: Layers of one group go on into each other, as pieces of one road do; a border
            between two groups is an outline.
    """

    box: Box
    color: NDArray[np.uint8]
    reach: NDArray[np.bool_]
    offered: NDArray[np.bool_]
    group: int


@dataclass(frozen=True, eq=False)
class Blended:
    """A picture after blending.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        mixed: (H, W) bool, True where more than one layer went into a pixel.
        sheets: What each group became.
    """

    image: NDArray[np.uint8]
    mixed: NDArray[np.bool_]
    sheets: tuple["Sheet", ...] = ()


def blend_layers(
    layers: Sequence[Layer],
    back_to_front: Sequence[int],
    size_hw: tuple[int, int],
    *,
    how: Blend,
    band_px: int,
    earlier: Blended | None = None,
) -> Blended:
    """Put layers together, and soften the seams where the layers themselves have the colour for it.

    Pieces of one group are mixed across a seam wherever both have colour: feathered over band_px
    on either side, or by a Laplacian pyramid of about that reach. Along an outline between groups
    the mixing is one pixel wide, and only with what is really behind; an object never mixes with
    the background it had in its own photograph. Pixels further from a border stay bit by bit what
    their layer holds.

    Args:
        layers: In any order.
        back_to_front: Every place in layers once, the furthest back first.
        size_hw: (height, width) of the picture.
        how: "hard" mixes nothing.
        band_px: Reach of the mixing on either side of a seam.
        earlier: What came of other layers by the same band: a group of the very same arrays is
            taken from there.

    Returns:
        The picture, black where there is no layer.

    Source:
        Burt and Adelson 1983, "A multiresolution spline with application to image mosaics".
    """
    if how not in BLENDS:
        raise ValueError(f"no blend {how!r}; there are {', '.join(BLENDS)}")
    groups = sorted({layer.group for layer in layers})
    members = {
        group: [place for place in back_to_front if layers[place].group == group]
        for group in groups
    }
    kept = earlier.sheets if earlier is not None else ()
    sheets = [
        _joined([layers[place] for place in members[group]], how, band_px, kept) for group in groups
    ]
    sheet_of = np.empty(len(layers), np.int32)
    for number, group in enumerate(groups):
        sheet_of[members[group]] = number

    top_sheet = np.full(size_hw, -1, np.int32)
    for place in back_to_front:
        top, left, bottom, right = layers[place].box
        view = top_sheet[top:bottom, left:right]
        np.copyto(view, sheet_of[place], where=layers[place].offered)
    image = np.zeros((*size_hw, 3), np.uint8)
    mixed = np.zeros(size_hw, np.bool_)
    for number, sheet in enumerate(sheets):
        top, left, bottom, right = sheet.box
        mine = top_sheet[top:bottom, left:right] == number
        lay_on(image[top:bottom, left:right], sheet.color, mine)
        mixed[top:bottom, left:right] |= mine & sheet.mixed
    if how != "hard":
        _soften_outlines(image, mixed, top_sheet, sheets)
    return Blended(image, mixed, tuple(sheets))


@dataclass(frozen=True, eq=False)
class Sheet:
    """All layers of a group in one.

    Attributes:
        pieces: The layers, the furthest back first.
        box: Around all of them.
        color: (h, w, 3) uint8 RGB.
        reach: (h, w) bool, where it has colour.
        mixed: (h, w) bool, where it is a mixture.
    """

    pieces: tuple[Layer, ...]
    box: Box
    color: NDArray[np.uint8]
    reach: NDArray[np.bool_]
    mixed: NDArray[np.bool_]

    def is_of(self, pieces: Sequence[Layer]) -> bool:
        """Return True if it was made of these very arrays."""
        return len(pieces) == len(self.pieces) and all(
            one.color is other.color
            and one.reach is other.reach
            and one.offered is other.offered
            and one.box == other.box
            for one, other in zip(self.pieces, pieces, strict=True)
        )


def _joined(pieces: Sequence[Layer], how: Blend, band_px: int, kept: Sequence[Sheet]) -> Sheet:
    """Return the sheet of a group: one that is kept, if it is of the same pieces, or a new one."""
    found = next((sheet for sheet in kept if sheet.is_of(pieces)), None)
    return found or _join(pieces, how, band_px)


def _join(pieces: Sequence[Layer], how: Blend, band_px: int) -> Sheet:
    """Lay the pieces of a group over each other, each mixed with those before it."""
    if len(pieces) == 1:
        piece = pieces[0]
        nowhere = np.zeros(piece.reach.shape, np.bool_)
        return Sheet((piece,), piece.box, piece.color, piece.reach, nowhere)
    boxes = np.array([piece.box for piece in pieces])
    top, left = boxes[:, :2].min(axis=0).tolist()
    bottom, right = boxes[:, 2:].max(axis=0).tolist()
    shape = (bottom - top, right - left)
    color = np.zeros((*shape, 3), np.uint8)
    reach = np.zeros(shape, np.bool_)
    mixed = np.zeros(shape, np.bool_)
    for piece in pieces:
        window = (
            slice(piece.box[0] - top, piece.box[2] - top),
            slice(piece.box[1] - left, piece.box[3] - left),
        )
        under, known = color[window], reach[window]
        share = _share_of(piece.offered, 0 if how == "hard" else band_px)
        mix = known & piece.reach & (share > 0) & (share < 1)
        mixture = None
        if mix.any():
            blend = _splice if how == "multiband" else _feather
            mixture = blend(piece, under, known, share, band_px, mix)
        lay_on(under, piece.color, piece.offered | (piece.reach & ~known))
        if mixture is not None:
            under[mix] = mixture
        mixed[window] &= ~piece.offered
        mixed[window] |= mix
        known |= piece.reach
    return Sheet(tuple(pieces), (top, left, bottom, right), color, reach, mixed)


def _share_of(offered: NDArray[np.bool_], band_px: int) -> NDArray[np.float32]:
    """Return how much a piece weighs: 1 inside, a half on its border, 0 beyond the band.

    It never weighs less than the others on its own pixels, however few they are.
    """
    size = 2 * (band_px // 2) + 1
    share = offered.astype(np.float32)
    for _ in range(2):
        share = np.asarray(
            cv2.blur(share, (size, size), borderType=cv2.BORDER_REPLICATE), np.float32
        )
    share[share < NEGLIGIBLE] = 0
    share[share > 1 - NEGLIGIBLE] = 1
    return np.where(offered, np.maximum(share, HALF), np.minimum(share, HALF))


def _feather(
    piece: Layer,
    under: NDArray[np.uint8],
    known: NDArray[np.bool_],
    share: NDArray[np.float32],
    band_px: int,
    mix: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Return (N, 3) uint8 RGB, the mixture where mix is True."""
    below = under[mix]
    mixture = below + share[mix][:, None] * (piece.color[mix].astype(np.float32) - below)
    return np.rint(mixture).astype(np.uint8)


def _splice(
    piece: Layer,
    under: NDArray[np.uint8],
    known: NDArray[np.bool_],
    share: NDArray[np.float32],
    band_px: int,
    mix: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Mix band by band, the coarse ones over a wider border than the fine ones.

    Where only one of the two has colour the other borrows it, so that no pyramid sees a hole.
    Returns (N, 3) uint8 RGB, the mixture where mix is True.
    """
    levels = max(1, int(np.log2(max(band_px, 2))))
    window = _window_of(mix, levels)
    mix, known, reach = mix[window], known[window], piece.reach[window]
    over, below = under[window].copy(), piece.color[window].copy()
    lay_on(over, piece.color[window], reach)
    lay_on(below, under[window], known)
    difference = cv2.subtract(over, below, dtype=cv2.CV_32F)
    mask = piece.offered[window].astype(np.float32)
    bands = []
    for band in _laplacian(np.asarray(difference, np.float32), levels):
        bands.append(band * mask[..., None])
        mask = np.asarray(cv2.pyrDown(mask), np.float32)
    mixture = bands[-1]
    for band in reversed(bands[:-1]):
        mixture = _larger(mixture, band) + band
    return np.clip(np.rint(below[mix] + mixture[mix]), 0, 255).astype(np.uint8)


def _window_of(mix: NDArray[np.bool_], levels: int) -> tuple[slice, slice]:
    """Return the window that a pyramid has to cover to be right where mix is True.

    It begins at a pixel that is one on every level too.
    """
    cell_px = 2**levels
    window = []
    for axis in (1, 0):
        at = np.flatnonzero(mix.any(axis=axis))
        first = max(int(at[0]) - PYRAMID_MARGIN * cell_px, 0) // cell_px * cell_px
        window.append(slice(first, int(at[-1]) + 1 + PYRAMID_MARGIN * cell_px))
    return window[0], window[1]


def _laplacian(color: NDArray[np.float32], levels: int) -> list[NDArray[np.float32]]:
    bands = []
    for _ in range(levels):
        smaller = np.asarray(cv2.pyrDown(color), np.float32)
        bands.append(color - _larger(smaller, color))
        color = smaller
    return [*bands, color]


def _larger(color: NDArray[np.float32], like: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a pyramid's level at the size of the next finer one."""
    return np.asarray(cv2.pyrUp(color, dstsize=(like.shape[1], like.shape[0])), np.float32)


def _soften_outlines(
    image: NDArray[np.uint8],
    mixed: NDArray[np.bool_],
    top_sheet: NDArray[np.int32],
    sheets: Sequence[Sheet],
) -> None:
    """Mix pixels beside an outline with what is behind them there, one pixel wide."""
    kernel = np.ones((3, 3), np.uint8)
    number = (top_sheet + 1).astype(np.float32)
    beside = cv2.dilate(number, kernel) != cv2.erode(number, kernel)
    beside &= top_sheet >= 0
    rows, columns = np.nonzero(beside)
    if not rows.size:
        return
    padded = np.pad(top_sheet, 1, mode="edge")
    smoothing = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
    place = np.arange(rows.size)
    other_weight = np.zeros(rows.size, np.float32)
    other_color = np.zeros((rows.size, 3), np.float32)
    own = top_sheet[rows, columns]
    neighbours = np.stack(
        [padded[rows + dy, columns + dx] for dy in range(3) for dx in range(3)]
    )  # (9, N)
    taps = smoothing.ravel()
    for sheet_number in np.unique(own):
        sheet = sheets[sheet_number]
        top, left, bottom, right = sheet.box
        weight = ((neighbours == sheet_number) * taps[:, None]).sum(axis=0)
        may = (own != sheet_number) & (weight > 0)
        may &= (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
        at = place[may]
        y, x = rows[at] - top, columns[at] - left
        has = sheet.reach[y, x]
        at, y, x = at[has], y[has], x[has]
        other_weight[at] += weight[at]
        other_color[at] += weight[at, None] * sheet.color[y, x]
    some = other_weight > 0
    y, x = rows[some], columns[some]
    share = np.minimum(other_weight[some], OUTLINE_MIX)[:, None]
    behind = other_color[some] / other_weight[some][:, None]
    image[y, x] = np.rint((1 - share) * image[y, x] + share * behind).astype(np.uint8)
    mixed[y, x] = True
