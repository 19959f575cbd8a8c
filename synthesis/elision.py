"""Boundary elision: which pixels along seams a learned finish should repaint."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import PlacedSegment
from scenequilt.memory_bank.taxonomy import GROUND_NAMES, VOID, Taxonomy
from scenequilt.synthesis.canvas import Canvas

PIECES = 16
"""Pieces of a query that lots are drawn for; a further one shares the lot of an earlier one."""


@dataclass(frozen=True, slots=True)
class ElisionSettings:
    """Bands of elision, as shares of the picture's height.

    Attributes:
        inner_band: Reach inside each segment from its border.
        inner_ratio: Least and greatest share of the inner band that is taken out; the share is
            drawn anew for every segment.
        outer_band: Reach around an object, over ground and void.
        overhang: How far below and beside an object the outer band goes, in shares of its height
            and width; it never goes above the object.

    Raises:
        ValueError: If a band is negative or the ratio is not within [0, 1] in rising order.
    """

    inner_band: float = 0.025
    inner_ratio: tuple[float, float] = (0.4, 0.8)
    outer_band: float = 0.04
    overhang: float = 0.125

    def __post_init__(self) -> None:
        low, high = self.inner_ratio
        if not 0 <= low <= high <= 1:
            raise ValueError(f"inner_ratio must be rising within [0, 1], got {self.inner_ratio}")
        for name in ("inner_band", "outer_band", "overhang"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")


def elide_borders(
    canvas: Canvas, *, seed: int, settings: ElisionSettings | None = None
) -> NDArray[np.bool_]:
    """Choose the pixels along segment borders that are to be repainted.

    The canvas itself is not changed: where something is elided is a mask, never a colour.

    Args:
        canvas: The pasted segments, (H, W).
        seed: Same canvas, same seed, same pixels.
        settings: The bands.

    Returns:
        (H, W) bool. Inner elision takes a random share of a band inside every segment's border,
        outer elision all covered ground and void in a band around every object.

    Source:
        Qi et al. 2018, "Semi-parametric Image Synthesis", section 4: boundary elision.
    """
    settings = settings or ElisionSettings()
    height = canvas.ownership.shape[0]
    rng = np.random.default_rng([seed, 0xE11D])
    distance = _distance_to_border(canvas.ownership)
    lots = rng.random(canvas.ownership.shape, dtype=np.float32)
    ratio = _ratios(canvas.placed, settings.inner_ratio, rng)
    elided: NDArray[np.bool_] = distance <= settings.inner_band * height
    elided &= (lots < ratio[canvas.ownership]) & canvas.coverage

    ground = is_ground(canvas.delivered.taxonomy)[canvas.delivered.label_map]
    band = max(1, round(settings.outer_band * height)) if settings.outer_band else 0
    for place, item in enumerate(canvas.placed):
        if canvas.delivered.taxonomy.classes[item.segment.class_id].kind != "thing":
            continue
        extent = cv2.boundingRect(item.mask.astype(np.uint8))
        left, top = item.box[1] + extent[0], item.box[0] + extent[1]
        right, bottom = left + extent[2], top + extent[3]
        below = round(settings.overhang * (bottom - top))
        beside = round(settings.overhang * (right - left))
        rows = slice(top, min(bottom + below, height))
        columns = slice(max(left - beside, 0), min(right + beside, elided.shape[1]))
        owned = canvas.ownership[rows, columns] == place
        if owned.any():
            around = cv2.distanceTransform((~owned).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3)
            elided[rows, columns] |= (around <= band) & ground[rows, columns] & ~owned
    return elided


def _ratios(
    placed: Sequence[PlacedSegment], within: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (P + 1,) the share that each segment loses of its band, and a last one for nobody.

    A share belongs to the number of a query and of its piece, so that it stays what it is where
    another query is answered by more pieces than before.
    """
    queries = max((item.query_id for item in placed), default=0) + 1
    drawn = rng.uniform(*within, size=(queries, PIECES)).astype(np.float32)
    ratios = np.zeros(len(placed) + 1, np.float32)
    pieces: Counter[int] = Counter()
    for place, item in enumerate(placed):
        ratios[place] = drawn[item.query_id, pieces[item.query_id] % PIECES]
        pieces[item.query_id] += 1
    return ratios


def _distance_to_border(ownership: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return (H, W) distance in px to the nearest pixel beside another owner; frame is none."""
    inside = np.ones(ownership.shape, np.uint8)
    change = ownership[:, 1:] != ownership[:, :-1]
    inside[:, 1:][change] = 0
    inside[:, :-1][change] = 0
    change = ownership[1:] != ownership[:-1]
    inside[1:][change] = 0
    inside[:-1][change] = 0
    if inside.all():
        return np.full(ownership.shape, np.inf, np.float32)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_3)
    return np.asarray(distance, np.float32)


def is_ground(taxonomy: Taxonomy) -> NDArray[np.bool_]:
    """Return (256,) bool by class id: True for what objects stand on, and for void."""
    ground = np.zeros(256, np.bool_)
    ground[VOID] = True
    for class_id, entry in enumerate(taxonomy.classes):
        ground[class_id] = entry.known_as(GROUND_NAMES)
    return ground
