"""The records that cross the borders between the packages.

layout -> Query -> Candidate -> Segment -> PlacedSegment. Coordinates are continuous: pixel (x, y)
covers [x, x + 1) by [y, y + 1) and its centre is (x + 0.5, y + 0.5).
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout

Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels, end exclusive."""

Match = Literal["frame", "shape"]
"""How a candidate was compared: where it stands in the frame, or by its shape alone."""


@dataclass(frozen=True, eq=False)
class Region:
    """One connected piece of one class in a layout; pieces cut apart by thin classes are one.

    Attributes:
        class_id: Its class.
        instance_id: Number in the instance map, 0 for stuff.
        box: Smallest box around the mask, in layout pixels.
        mask: (h, w) bool over the box, True on the region.
        cut_by_frame: True if it touches the border of the picture.
    """

    class_id: int
    instance_id: int
    box: Box
    mask: NDArray[np.bool_]
    cut_by_frame: bool

    def __post_init__(self) -> None:
        if self.mask.shape != size_of(self.box):
            raise ValueError(
                f"box {self.box} is {size_of(self.box)}, but mask is {self.mask.shape}"
            )

    @cached_property
    def area_px(self) -> int:
        """Pixels of the region."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, eq=False)
class Query:
    """A segment-shaped request: a region of a layout that wants a photograph's pixels.

    Attributes:
        query_id: Its place among the queries of its layout, from 0.
        region: Class, box, mask, instance.
        layout: The layout it was taken from: its surroundings are the context.
    """

    query_id: int
    region: Region
    layout: Layout

    @property
    def class_id(self) -> int:
        """Class id in the layout's taxonomy."""
        return self.region.class_id

    @property
    def is_thing(self) -> bool:
        """True if the class is countable."""
        return self.layout.taxonomy.classes[self.region.class_id].kind == "thing"


@dataclass(frozen=True, eq=False)
class Segment:
    """One region of a photograph, ready to be pasted elsewhere.

    Attributes:
        segment_id: Stable 64-bit number of the segment, never reused.
        class_id: Class id in the bank's taxonomy.
        source_id: Photograph it was cut from, e.g. "aachen_000012_000019".
        box: Smallest box around the mask, in source pixels.
        crop_box: What color and mask cover: the box and a margin, within the photograph.
        color: (h, w, 3) uint8 RGB over crop_box. Near the mask, outside of it, this is the
            photograph, so that a warp interpolates real colour; further away it is arbitrary.
        mask: (h, w) bool over crop_box, True on the segment.
        source_size_hw: (height, width) of the photograph.
        cut_by_frame: True if the segment touches the border of its photograph.

    Raises:
        ValueError: If crop_box, color and mask do not have one size.
    """

    segment_id: int
    class_id: int
    source_id: str
    box: Box
    crop_box: Box
    color: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    source_size_hw: tuple[int, int]
    cut_by_frame: bool

    def __post_init__(self) -> None:
        size = size_of(self.crop_box)
        if self.mask.shape != size or self.color.shape != (*size, 3):
            raise ValueError(
                f"segment {self.segment_id}: crop_box {self.crop_box} is {size[0]}x{size[1]} "
                f"pixels, but mask is {self.mask.shape} and color is {self.color.shape}"
            )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A bank segment proposed for a query, with the parts of its score.

    Attributes:
        segment_id: The segment.
        source_id: Its photograph.
        rank: 0 for the best.
        score: w_mask * max(mask_iou, shape_iou where match is "shape") + w_context * context_iou;
            in [0, w_mask + w_context], higher is better.
        mask_iou: Overlap of the masks where they stand in the frame, in [0, 1].
        context_iou: Agreement of the layouts around both, in [0, 1].
        shape_iou: Overlap after both boxes are stretched to one square; 0 for stuff, and where
            scale or stretch pass the limits.
        match: "frame" if the segment fits where it stands, "shape" if it has to be moved.
    """

    segment_id: int
    source_id: str
    rank: int
    score: float
    mask_iou: float
    context_iou: float
    shape_iou: float
    match: Match


@dataclass(frozen=True, eq=False)
class Retrieval:
    """The answer to one query.

    Attributes:
        candidates: Best first, at most k.
        in_class: Segments of the class in the bank.
        removed: Segments that each filter took away, by its name, in the order they were applied.
        compared: Segments whose exact score was computed.
        search: "exact" if the whole class was compared or ruled out by bounds, "faiss" if the index
            proposed what was compared.
    """

    candidates: tuple[Candidate, ...]
    in_class: int
    removed: dict[str, int] = field(default_factory=dict)
    compared: int = 0
    search: Literal["exact", "faiss"] = "exact"


@dataclass(frozen=True, eq=False)
class PlacedSegment:
    """A segment after its warp, on the layout's pixels.

    Attributes:
        query_id: The query it answers.
        segment: What was placed.
        candidate: Why it was.
        source_from_target: (2, 3) float64. Takes a point (x, y, 1) of the layout to the point of
            the source photograph that it is read from; a mirrored segment has a negative
            determinant.
        box: What color and mask cover, in layout pixels; within the layout.
        color: (h, w, 3) uint8 RGB over the box; meaningful on the mask and a few pixels around it.
        mask: (h, w) bool over the box, True where the warped segment is.
        iou: Overlap of the placed mask with the query's, in [0, 1].
    """

    query_id: int
    segment: Segment
    candidate: Candidate
    source_from_target: NDArray[np.float64]
    box: Box
    color: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    iou: float

    def __post_init__(self) -> None:
        size = size_of(self.box)
        if self.mask.shape != size or self.color.shape != (*size, 3):
            raise ValueError(
                f"placed segment {self.segment.segment_id}: box {self.box} is {size[0]}x{size[1]} "
                f"pixels, but mask is {self.mask.shape} and color is {self.color.shape}"
            )


def size_of(box: Box) -> tuple[int, int]:
    """Return (height, width) of a box."""
    top, left, bottom, right = box
    return bottom - top, right - left
