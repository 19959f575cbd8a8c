"""Colour transfer: moving segments towards the light of the picture they come into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import PlacedSegment
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.synthesis.canvas import lay_on
from scenequilt.synthesis.look import Look, SourceLooks, lab_of, light_between, rgb_of

IMPERCEPTIBLE = 1.0
"""A change below this, in Lab units, is left undone: the pixels stay bit by bit what they were."""

FADE_L = 15.0
"""Lightness below which (and, for highlights, above 100 less which) a change fades out."""

SKY_NAMES = frozenset(["sky"])

SEE_THROUGH_NAMES = frozenset(["tree", "vegetation", "plant", "bush", "branch", "pole", "fence"])
"""Classes whose segments hold much of the sky behind them: labels follow crowns, not leaves."""

SKY_LIKE_LAB = 16.0
"""Distance in Lab units to the mean of its photograph's sky at which a pixel is half sky."""

BLUE_LAB = (-6.0, -14.0)
"""From and to which b a bright pixel among leaves is taken for blue sky."""

SKY_DETAIL = 0.3
"""How much of its own difference to a plain sky a pixel of sky between leaves keeps."""

SMOOTH_L = 8.0
"""Spread of lightness at which half of a segment's difference to its like is taken for light."""

LOCAL_NOISE = 12.0
"""Grey levels of spread at which the difference of two overlapping pieces is half texture: what is
left of it after matching is made up for place by place only where both are smooth, as skies are."""

LOCAL_SCALE = 4
"""The field of local differences is computed at this fraction of the size."""

MIN_SHARED_PX = 40
"""Pixels that two pieces must share for their difference there to be trusted."""


@dataclass(frozen=True, eq=False)
class SkySwap:
    """The sky behind a segment in its photograph, and in the picture; (3,) mean Lab colours."""

    there: NDArray[np.floating]
    here: NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """How far colours may be moved.

    Attributes:
        strength: Share of the estimated change of light that is made, in [0, 1].
        material: Share of a stuff class's remaining difference in mean colour to the anchor that
            is taken for light too, in [0, 1]; the rest is material and stays. For smooth segments,
            such as skies, it rises towards joint.
        joint: Share of the difference to the pieces of the same region before it that a further
            piece makes up for, in [0, 1]: they are to look like one.
        max_lightness: Greatest change of L, of 100; a further piece may change twice as much, and
            so may a smooth segment; sky seen through a tree becomes the picture's sky.
        max_chroma: Greatest change of a and of b; likewise.

    Raises:
        ValueError: If a value is out of its range.
    """

    strength: float = 0.9
    material: float = 0.35
    joint: float = 0.9
    max_lightness: float = 12.0
    max_chroma: float = 7.0

    def __post_init__(self) -> None:
        for name in ("strength", "material", "joint"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        for name in ("max_lightness", "max_chroma"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")

    @property
    def limit(self) -> NDArray[np.float64]:
        """(3,) greatest change of L, a and b."""
        return np.array([self.max_lightness, self.max_chroma, self.max_chroma])


def shifts_towards(
    anchor: Look,
    placed: Sequence[PlacedSegment],
    looks: Mapping[str, Look] | SourceLooks,
    segment_means: NDArray[np.floating],
    segment_spreads: NDArray[np.floating],
    taxonomy: Taxonomy,
    settings: TransferSettings,
) -> NDArray[np.float64]:
    """Return what to add to each placed segment's Lab colours, so that it suits the anchor.

    A segment changes by the difference of light between its photograph and the anchor: for a thing
    that is how its surroundings there differ from those it comes into. Stuff also changes by a
    share of what is then still missing to the colour of its class: of the anchor for the largest
    segment of the class, of that segment for the others, the larger a share the smoother it is.

    Args:
        anchor: Light and colour that the picture is to have.
        placed: P segments.
        looks: Look of each photograph, by source id.
        segment_means: (P, 3) mean Lab colour of each segment.
        segment_spreads: (P,) standard deviation of L of each.
        taxonomy: The classes.
        settings: Limits.

    Returns:
        (P, 3) float64, limited by the settings.
    """
    light = {
        source_id: light_between(looks[source_id], anchor)
        for source_id in sorted({item.segment.source_id for item in placed})
    }
    smooth = 1 / (1 + (np.asarray(segment_spreads, np.float64) / SMOOTH_L) ** 2)
    shifts = np.zeros((len(placed), 3))
    target = {c: anchor.class_mean[c] for c in np.flatnonzero(anchor.class_share).tolist()}
    areas = np.array([np.count_nonzero(item.mask) for item in placed])
    for place in np.argsort(-areas, kind="stable").tolist():
        item = placed[place]
        class_id = item.segment.class_id
        shift, limit = settings.strength * light[item.segment.source_id], settings.limit
        if taxonomy.classes[class_id].kind == "stuff":
            share = settings.material + smooth[place] * (settings.joint - settings.material)
            if class_id in target:
                shift = shift + share * (target[class_id] - segment_means[place] - shift)
            limit = limit * (1 + smooth[place])
            shift = np.clip(shift, -limit, limit)
            target[class_id] = segment_means[place] + shift
        shifts[place] = np.clip(shift, -limit, limit)
    return shifts


@dataclass(frozen=True, eq=False)
class Recolored:
    """Colours of placed segments in the light of a picture, and what they depend on.

    Attributes:
        placed: P segments.
        reach: Their reach.
        shifts: (P, 3) what each was to move by.
        skies: What may show through each.
        colors: For each (h, w, 3) uint8 RGB over its box.
    """

    placed: tuple[PlacedSegment, ...]
    reach: tuple[NDArray[np.bool_], ...]
    shifts: NDArray[np.float64]
    skies: tuple[SkySwap | None, ...]
    colors: tuple[NDArray[np.uint8], ...]

    def of_query(self) -> dict[int, list[int]]:
        """Return the places of the pieces of each query, by query id."""
        places: dict[int, list[int]] = {}
        for place, item in enumerate(self.placed):
            places.setdefault(item.query_id, []).append(place)
        return places


def recolor_placed(
    placed: Sequence[PlacedSegment],
    reach: Sequence[NDArray[np.bool_]],
    anchor: Look,
    looks: Mapping[str, Look] | SourceLooks,
    segment_means: NDArray[np.floating],
    segment_spreads: NDArray[np.floating],
    taxonomy: Taxonomy,
    size_hw: tuple[int, int],
    settings: TransferSettings,
    *,
    band_px: int,
    earlier: Recolored | None = None,
) -> Recolored:
    """Return the colours of placed segments in the light of the picture.

    Every segment moves as shifts_towards says. A further piece of a region is then matched to the
    pieces before it where they overlap beside its own part, as a seam shows the least difference.
    What looks like sky within a tree becomes the sky of the picture.

    Args:
        placed: P segments, the pieces of a region one after the other, as they were chosen.
        reach: For each (h, w) bool over its box, where its colour is its own photograph's.
        anchor: Light and colour that the picture is to have.
        looks: Look of each photograph, by source id.
        segment_means: (P, 3) mean Lab colour of each segment.
        segment_spreads: (P,) standard deviation of L of each.
        taxonomy: The classes.
        size_hw: (height, width) of the picture.
        settings: Limits.
        band_px: How far from a piece's own part its overlap with earlier ones is compared.
        earlier: What came of other segments, with the same settings: where the pieces of a query
            are the same objects, and move alike, their colours are taken from there.

    Returns:
        The colours; where a change is imperceptible, and beyond the reach, the same bytes as
        before.
    """
    shifts = shifts_towards(
        anchor, placed, looks, segment_means, segment_spreads, taxonomy, settings
    )
    sky = _SkyBehind(placed, shifts, anchor, looks, segment_means, taxonomy)
    skies = tuple(sky.swap_in(item) for item in placed)
    wanted = Recolored(tuple(placed), tuple(reach), shifts, skies, ())
    known = _known_colors(wanted, earlier) if earlier is not None else {}
    pieces_of = np.bincount([item.query_id for item in placed])
    before = np.zeros((*size_hw, 3), np.uint8)
    region = np.full(size_hw, -1, np.int32)
    colors = []
    for place, (item, own) in enumerate(zip(placed, reach, strict=True)):
        if place in known:
            colors.append(known[place])
            continue
        is_stuff = taxonomy.classes[item.segment.class_id].kind == "stuff"
        top, left, bottom, right = item.box
        under, in_region = before[top:bottom, left:right], region[top:bottom, left:right]
        shift = shifts[place]
        near = own
        if is_stuff and pieces_of[item.query_id] > 1:
            near = own & _widen(item.mask, band_px)
            shared = near & _narrow(in_region == item.query_id)
            at = np.flatnonzero(shared)
            shift = _matched(item.color, under, at, shift, settings)
        color = item.color
        changed = recolor(color[near], shift, keep_highlights=not is_stuff, sky=skies[place])
        if changed is not None:
            color = color.copy()
            color[near] = changed
        if near is not own:
            color = _matched_locally(color, under, near, at, band_px, settings)
            fresh = near & (in_region != item.query_id)
            lay_on(under, color, fresh)
            in_region[fresh] = item.query_id
        colors.append(color)
    return replace(wanted, colors=tuple(colors))


def _known_colors(wanted: Recolored, earlier: Recolored) -> dict[int, NDArray[np.uint8]]:
    """Return the colours, by place, of the queries whose pieces have not changed at all."""
    before_of = earlier.of_query()
    known: dict[int, NDArray[np.uint8]] = {}
    for query_id, places in wanted.of_query().items():
        before = before_of.get(query_id, [])
        if len(before) == len(places) and all(
            wanted.placed[here] is earlier.placed[there]
            and wanted.reach[here] is earlier.reach[there]
            and np.array_equal(wanted.shifts[here], earlier.shifts[there])
            and _same_sky(wanted.skies[here], earlier.skies[there])
            for here, there in zip(places, before, strict=True)
        ):
            known.update(
                (here, earlier.colors[there]) for here, there in zip(places, before, strict=True)
            )
    return known


def _same_sky(one: SkySwap | None, other: SkySwap | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one.there, other.there) and np.array_equal(one.here, other.here)


def recolor(
    colors: NDArray[np.uint8],
    shift: NDArray[np.floating],
    *,
    keep_highlights: bool = False,
    sky: SkySwap | None = None,
) -> NDArray[np.uint8] | None:
    """Move colours in Lab.

    The move fades out towards black, which has no hue to lend and is what tyres and gaps are made
    of; with keep_highlights towards white too, for lamps and glints. A sky, which may be white
    all over, is moved without.

    Args:
        colors: (N, 3) uint8 RGB.
        shift: (3,) to add to L (0 to 100), a and b.
        keep_highlights: True if white stays white.
        sky: The sky that may show through and what becomes of it, or None.

    Returns:
        (N, 3) uint8 RGB; None if no change would be perceptible.
    """
    if (np.linalg.norm(shift) < IMPERCEPTIBLE and sky is None) or not len(colors):
        return None
    lab = lab_of(colors)
    room = np.minimum(lab[:, 0], 100 - lab[:, 0]) if keep_highlights else lab[:, 0]
    fade = np.clip(room / np.float32(FADE_L), 0, 1)
    change = fade[:, None] * np.asarray(shift, np.float32)
    if sky is not None:
        here = np.asarray(sky.here, np.float32) - lab
        share = np.float32(1 - SKY_DETAIL) * _likeness_to_sky(lab, sky.there)[:, None]
        change += share * (here - change)
    lab += change
    np.clip(lab[:, 0], 0, 100, out=lab[:, 0])
    moved = rgb_of(lab)
    np.square(change, out=change)
    unseen = np.sqrt(change[:, 0] + change[:, 1] + change[:, 2]) < IMPERCEPTIBLE
    moved[unseen] = colors[unseen]
    return moved


def _likeness_to_sky(
    lab: NDArray[np.float32], sky_mean: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return (N,) in [0, 1], how much pixels of a tree or pole look like sky behind it."""
    gap = np.asarray(sky_mean, np.float32) - lab
    np.maximum(gap[:, 0], 0, out=gap[:, 0])  # the sun makes sky brighter, nothing else does
    near = 1 / (1 + (np.linalg.norm(gap, axis=1) / np.float32(SKY_LIKE_LAB)) ** 4)
    first, last = BLUE_LAB
    blue = np.clip((lab[:, 2] - first) / (last - first), 0, 1)
    blue *= np.clip((lab[:, 0] - 40) / 20, 0, 1)
    return np.asarray(np.maximum(near, blue), np.float32)


class _SkyBehind:
    """The sky of the picture, for what stands before it."""

    def __init__(
        self,
        placed: Sequence[PlacedSegment],
        shifts: NDArray[np.float64],
        anchor: Look,
        looks: Mapping[str, Look] | SourceLooks,
        segment_means: NDArray[np.floating],
        taxonomy: Taxonomy,
    ) -> None:
        self._looks = looks
        classes = taxonomy.classes
        self._sky = next((c for c, entry in enumerate(classes) if entry.known_as(SKY_NAMES)), None)
        self._through = {
            c for c, entry in enumerate(classes) if entry.thin or entry.known_as(SEE_THROUGH_NAMES)
        }
        self._here: NDArray[np.float64] | None = None
        if self._sky is None:
            return
        skies = [n for n, item in enumerate(placed) if item.segment.class_id == self._sky]
        if skies:
            largest = max(skies, key=lambda n: np.count_nonzero(placed[n].mask))
            self._here = segment_means[largest] + shifts[largest]
        elif anchor.class_share[self._sky] > 0:
            self._here = anchor.class_mean[self._sky]

    def swap_in(self, item: PlacedSegment) -> SkySwap | None:
        """Return which sky may show through a segment and what it becomes; None if none does."""
        if self._sky is None or self._here is None or item.segment.class_id not in self._through:
            return None
        look = self._looks[item.segment.source_id]
        if look.class_share[self._sky] == 0:
            return None
        return SkySwap(look.class_mean[self._sky], self._here)


def _matched(
    color: NDArray[np.uint8],
    before: NDArray[np.uint8],
    shared: NDArray[np.int64],
    shift: NDArray[np.float64],
    settings: TransferSettings,
) -> NDArray[np.float64]:
    """Return the shift that takes a piece to what was there before it, where both have colour.

    shared (N,) are the places of those pixels in the two pictures (h, w, 3), flattened.
    """
    if len(shared) < MIN_SHARED_PX:
        return shift
    some = np.unravel_index(shared[:: 1 + len(shared) // 4000], color.shape[:2])
    gap = np.median(lab_of(before[some]) - lab_of(color[some]), axis=0)
    matched = shift + settings.joint * (gap.astype(np.float64) - shift)
    limited: NDArray[np.float64] = np.clip(matched, -2 * settings.limit, 2 * settings.limit)
    return limited


def _matched_locally(
    color: NDArray[np.uint8],
    before: NDArray[np.uint8],
    near: NDArray[np.bool_],
    shared: NDArray[np.int64],
    band_px: int,
    settings: TransferSettings,
) -> NDArray[np.uint8]:
    """Take out what is still different from place to place, if both pieces are smooth."""
    if len(shared) < MIN_SHARED_PX:
        return color
    step = 1 + len(shared) // 4000
    at = np.unravel_index(shared, near.shape)
    gap = before[at].astype(np.float32) - color[at]
    middle = np.median(gap[::step], axis=0)
    noise = 1.48 * np.median(np.abs(gap[::step] - middle), axis=0) + 1
    np.clip(gap, middle - 3 * noise, middle + 3 * noise, out=gap)
    smooth = settings.joint / (1 + float(noise.max() / LOCAL_NOISE) ** 2)
    height, width = near.shape
    small = (max(1, width // LOCAL_SCALE), max(1, height // LOCAL_SCALE))
    field = np.zeros((height, width, 4), np.float32)
    flat = field.reshape(-1, 4)
    flat[shared, :3] = gap
    flat[shared, 3] = 1
    field = np.asarray(cv2.resize(field, small, interpolation=cv2.INTER_AREA), np.float32)
    side = 2 * max(1, band_px // LOCAL_SCALE) + 1
    for _ in range(2):
        field = np.asarray(cv2.blur(field, (side, side)), np.float32)
    # Where nothing is shared for far around, the field fades to the overall gap, which is near 0.
    field = (field[..., :3] + 1e-3 * gap.mean(axis=0)) / (field[..., 3:] + 1e-3)
    field = np.asarray(cv2.resize(field, (width, height)), np.float32)
    limit = np.float32(2 * settings.max_lightness * 2.55)
    change = smooth * np.clip(field[near], -limit, limit)
    result = color.copy()
    result[near] = np.clip(np.rint(color[near] + change), 0, 255).astype(np.uint8)
    return result


def _narrow(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Leave out the rim, whose colour is half that of what stood beside it in the photograph."""
    narrower: NDArray[np.bool_] = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return narrower


def _widen(mask: NDArray[np.bool_], by_px: int) -> NDArray[np.bool_]:
    side = 2 * by_px + 1
    wider: NDArray[np.bool_] = (
        cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    )
    return wider
