"""What composing asks of the bank, the aligner and the orderer, and its settings."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.rerank import ScoreWeights
from scenequilt.memory_bank.search import Search
from scenequilt.memory_bank.segment import Candidate, PlacedSegment, Query, Retrieval, Segment
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.memory_bank.where import Where
from scenequilt.ordering.orderer import FixedPair
from scenequilt.synthesis.choice import ChoiceSettings
from scenequilt.synthesis.composition import PaintingOrder
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.look import ShardRows


class Bank(Protocol):
    """What composing asks of a memory bank."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The classes."""
        ...

    def retrieve_many(
        self,
        queries: Sequence[Query],
        k: int = 10,
        *,
        where: Where | None = None,
        weights: ScoreWeights | None = None,
        search: Search = "auto",
        allow_empty: bool = False,
    ) -> list[Retrieval]:
        """Find the k segments that fit each query best."""
        ...

    def segment(self, segment_id: int) -> Segment:
        """Load a segment."""
        ...

    def segment_ids(self) -> NDArray[np.int64]:
        """Return the numbers of all segments, ascending."""
        ...

    def label_map(self, source_id: str) -> NDArray[np.uint8]:
        """Return the layout of a photograph at the bank's frame size."""
        ...

    def locate(self, segment_id: int) -> tuple[ShardRows, int]:
        """Return the shard of a segment and its row there."""
        ...


class Aligner(Protocol):
    """Bends a segment to a query."""

    def place(self, query: Query, segment: Segment, candidate: Candidate) -> PlacedSegment:
        """Return the segment on the layout's pixels."""
        ...


class Orderer(Protocol):
    """Says who is in front."""

    def sort(
        self,
        placed: Sequence[PlacedSegment],
        queries: Sequence[Query],
        *,
        fixed: Sequence[FixedPair] = (),
    ) -> PaintingOrder:
        """Return the order in which the segments are painted; fixed pairs of queries hold."""
        ...


@dataclass(frozen=True, slots=True)
class ComposeSettings:
    """How a layout is composed.

    Attributes:
        k: Candidates asked of the bank for each region.
        anchor_k: Candidates asked of the anchor photograph beside, for each stuff region.
        min_area_px: Smaller regions of the layout are not asked for; what is around covers them.
        weights: What mask and context count in retrieval.
        search: How the bank searches.
        choice: How candidates are chosen.
        elision: Bands for a learned finish.
        style_strength: Share of the way from the anchor's overall colour to a style's that the
            picture goes, in [0, 1].

    Raises:
        ValueError: If a number is out of range.
    """

    k: int = 20
    anchor_k: int = 2
    min_area_px: int = 16
    weights: ScoreWeights = field(default_factory=ScoreWeights)
    search: Search = "auto"
    choice: ChoiceSettings = field(default_factory=ChoiceSettings)
    elision: ElisionSettings = field(default_factory=ElisionSettings)
    style_strength: float = 0.7

    def __post_init__(self) -> None:
        for name, least in (("k", 1), ("anchor_k", 0), ("min_area_px", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if not 0 <= self.style_strength <= 1:
            raise ValueError(f"style_strength is {self.style_strength}, expected 0 to 1")
