"""What a composition was made from, kept so that one of its choices can be changed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenequilt.ordering.orderer import FixedPair
from scenequilt.synthesis.canvas import Canvas
from scenequilt.synthesis.choice import Chosen, Preferences
from scenequilt.synthesis.finish import Finish, Finished, Surroundings
from scenequilt.synthesis.stages import Aligner, ComposeSettings, Orderer

if TYPE_CHECKING:
    from scenequilt.synthesis.finishing import ClosedWork


@dataclass(frozen=True, eq=False)
class Groundwork:
    """What compose knew when it was done.

    Attributes:
        aligner: That bent the segments.
        orderer: That said who is in front.
        finish: That made the picture.
        settings: How it was composed.
        fixed: Pairs of queries whose order was given.
        zones: (H, W) int32 query id of the stuff behind each pixel.
        preferences: What candidates were ranked by.
        chosen: What is pasted for each query, by query_id.
        canvas: What was pasted.
        surroundings: What the finish knew beside.
        finished: What it made of them.
        closed_work: What the closed finish can take up again; None for other finishes.
    """

    aligner: Aligner
    orderer: Orderer
    finish: Finish
    settings: ComposeSettings
    fixed: tuple[FixedPair, ...]
    zones: NDArray[np.int32]
    preferences: Preferences
    chosen: tuple[Chosen, ...]
    canvas: Canvas
    surroundings: Surroundings
    finished: Finished
    closed_work: "ClosedWork | None"
