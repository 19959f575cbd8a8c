"""Simulated canvases: a photograph cut up as the bank's segments would be, with its own colours."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.alignment.affine import invert, is_whole_pixel_shift
from scenequilt.alignment.warp import warp_segment
from scenequilt.memory_bank.segment import PlacedSegment, Segment, size_of
from scenequilt.synthesis.canvas import NO_OWNER, Canvas
from scenequilt.synthesis.color_transfer import TransferSettings, recolor
from scenequilt.synthesis.composition import Composition
from scenequilt.synthesis.elision import ElisionSettings, elide_borders
from scenequilt.synthesis.look import Look, SourceLooks, light_between, look_of_photograph

LEAST_HOLE_PX = 12
"""Smaller holes are always filled: labels are no finer."""


@dataclass(frozen=True, slots=True)
class StencilSettings:
    """How a photograph is made to look like a canvas.

    Attributes:
        recolored: Share of the segments whose colours are moved towards their donor's light.
        strength: Least and greatest share of the way to it, drawn for each of them.
        keep_hole: Share of the holes that stay open; what the segments of a finished picture leave
            open is covered by others, which a photograph has not got.
        elision: Bands, as for a picture.
        transfer: Limits of the moves.

    Raises:
        ValueError: If a share is not in [0, 1], or strength does not rise within it.
    """

    recolored: float = 0.75
    strength: tuple[float, float] = (0.0, 1.0)
    keep_hole: float = 0.3
    elision: ElisionSettings = field(default_factory=ElisionSettings)
    transfer: TransferSettings = field(default_factory=TransferSettings)

    def __post_init__(self) -> None:
        for name in ("recolored", "keep_hole"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 to 1")
        if not 0 <= self.strength[0] <= self.strength[1] <= 1:
            raise ValueError(f"strength must rise within [0, 1], got {self.strength}")


@dataclass(frozen=True, eq=False)
class SimulatedCanvas:
    """A canvas whose true picture is known.

    Attributes:
        color: (H, W, 3) uint8 RGB, black where open.
        coverage: (H, W) bool.
        elided: (H, W) bool.
        ownership: (H, W) int32, place among the placed segments, their number for what the
            photograph itself fills, -1 = none.
    """

    color: NDArray[np.uint8]
    coverage: NDArray[np.bool_]
    elided: NDArray[np.bool_]
    ownership: NDArray[np.int32]


def simulate_canvas(
    image: NDArray[np.uint8],
    composition: Composition,
    looks: SourceLooks,
    *,
    seed: int,
    settings: StencilSettings | None = None,
) -> SimulatedCanvas:
    """Cut a photograph up by the segments that were composed for its layout.

    Every pixel goes to the frontmost placed segment of the pixel's own class, so that the outlines
    are those of real retrieved segments (stenciling) and the labels stay true. Its colour is the
    photograph's, read through the segment's warp and back, so that it is as soft as a warped one,
    and moved towards the light of the segment's photograph. Borders are elided by the same code as
    a picture's.

    Args:
        image: (H, W, 3) uint8 RGB, the photograph.
        composition: Of its own layout, from a bank without it.
        looks: Looks of the bank's photographs.
        seed: Same arguments, same seed, same canvas.
        settings: How.

    Raises:
        ValueError: If the photograph is not of the layout's size.

    Source:
        Qi et al. 2018, "Semi-parametric Image Synthesis", section 5: stenciling, colour transfer,
        boundary elision.
    """
    settings = settings or StencilSettings()
    layout = composition.requested
    if image.shape != (*layout.size_hw, 3):
        raise ValueError(
            f"the photograph is {image.shape}, expected {(*layout.size_hw, 3)} as its layout"
        )
    rng = np.random.default_rng([seed, 0x57E])
    ownership = stencil_ownership(composition)
    own_look = look_of_photograph(image, layout, len(layout.taxonomy))
    color = np.zeros_like(image)
    for place, item in enumerate(composition.placed):
        top, left, bottom, right = item.box
        mine = ownership[top:bottom, left:right] == place
        if not mine.any():
            continue
        piece = resampled(image, item, layout.size_hw)
        if rng.random() < settings.recolored:
            donor = looks[item.segment.source_id]
            shift = rng.uniform(*settings.strength) * _shift(own_look, donor, item, settings)
            moved = recolor(piece[mine], shift)
            if moved is not None:
                piece[mine] = moved
        color[top:bottom, left:right][mine] = piece[mine]
    ownership = _with_holes_filled(ownership, len(composition.placed), rng, settings)
    own = ownership == len(composition.placed)
    color[own] = image[own]
    placed = (*composition.placed, _photograph_itself(image, own, composition))
    canvas = Canvas(
        placed=placed,
        reach=tuple(item.mask for item in placed),
        order=composition.order,
        color=color,
        coverage=ownership != NO_OWNER,
        ownership=ownership,
        delivered=layout,
    )
    elided = elide_borders(canvas, seed=seed, settings=settings.elision)
    return SimulatedCanvas(color, canvas.coverage, elided & canvas.coverage, ownership)


def stencil_ownership(composition: Composition) -> NDArray[np.int32]:
    """Return (H, W) int32, the frontmost placed segment of each pixel's requested class, or -1."""
    label_map = composition.requested.label_map
    ownership = np.full(label_map.shape, NO_OWNER, np.int32)
    for place in composition.order.back_to_front:
        item = composition.placed[place]
        top, left, bottom, right = item.box
        fits = item.mask & (label_map[top:bottom, left:right] == item.segment.class_id)
        np.copyto(ownership[top:bottom, left:right], np.int32(place), where=fits)
    return ownership


def resampled(
    image: NDArray[np.uint8], item: PlacedSegment, size_hw: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return the photograph over a placed segment's box, as soft as that segment was warped.

    It is read into the segment's own photograph's pixels and back again. Where the way there leaves
    that photograph, it is as it was.

    Args:
        image: (H, W, 3) uint8 RGB.
        item: The placed segment.
        size_hw: (H, W).

    Returns:
        (h, w, 3) uint8 RGB over item.box, a copy.
    """
    top, left, bottom, right = item.box
    piece = image[top:bottom, left:right].copy()
    if is_whole_pixel_shift(item.source_from_target):
        return piece
    everything = np.ones(size_of(item.box), np.bool_)
    there = warp_segment(
        piece,
        everything,
        item.box,
        invert(item.source_from_target),
        item.segment.source_size_hw,
    )
    back = warp_segment(there.color, there.mask, there.box, item.source_from_target, size_hw)
    rows = slice(max(back.box[0], top), min(back.box[2], bottom))
    columns = slice(max(back.box[1], left), min(back.box[3], right))
    here = piece[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    from_back = (
        slice(rows.start - back.box[0], rows.stop - back.box[0]),
        slice(columns.start - back.box[1], columns.stop - back.box[1]),
    )
    np.copyto(here, back.color[from_back], where=back.mask[from_back][..., None])
    return piece


def _shift(
    own: Look, donor: Look, item: PlacedSegment, settings: StencilSettings
) -> NDArray[np.float64]:
    """Return (3,) what takes the photograph's colours of a class to the donor's, within limits."""
    shift = light_between(own, donor)
    class_id = item.segment.class_id
    if own.class_share[class_id] and donor.class_share[class_id]:
        whole = donor.class_mean[class_id] - own.class_mean[class_id]
        shift = shift + settings.transfer.material * (whole - shift)
    limit = settings.transfer.limit
    clipped: NDArray[np.float64] = np.clip(shift, -limit, limit)
    return clipped


def _photograph_itself(
    image: NDArray[np.uint8], own: NDArray[np.bool_], composition: Composition
) -> PlacedSegment:
    """Return what fills holes as one more placed segment, of a class that casts no shadow."""
    first = composition.placed[0]
    layout = composition.requested
    kinds = [entry.kind for entry in layout.taxonomy.classes]
    box = (0, 0, *layout.size_hw)
    segment = Segment(
        segment_id=-1,
        class_id=kinds.index("stuff") if "stuff" in kinds else 0,
        source_id="",
        box=box,
        crop_box=box,
        color=image,
        mask=own,
        source_size_hw=layout.size_hw,
        cut_by_frame=True,
    )
    return replace(
        first,
        segment=segment,
        source_from_target=np.eye(2, 3),
        box=box,
        color=image,
        mask=own,
    )


def _with_holes_filled(
    ownership: NDArray[np.int32],
    owner: int,
    rng: np.random.Generator,
    settings: StencilSettings,
) -> NDArray[np.int32]:
    """Give most holes to the photograph itself, which is the owner of a number."""
    filled = ownership.copy()
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(
        (ownership == NO_OWNER).astype(np.uint8), connectivity=4
    )
    keep = np.asarray(rng.random(count) < settings.keep_hole)
    keep[statistics[:, cv2.CC_STAT_AREA] < LEAST_HOLE_PX] = False
    keep[0] = True
    filled[~keep[pieces]] = owner
    return filled
