"""Whose light a picture follows, and what its segments should be like."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Query, Retrieval
from scenequilt.synthesis.choice import Preferences
from scenequilt.synthesis.composition import Composition
from scenequilt.synthesis.diversity import choose_anchor, support_of_sources
from scenequilt.synthesis.look import (
    Look,
    SourceLooks,
    light_between,
    look_distance,
    look_of_photograph,
)
from scenequilt.synthesis.stages import Bank, ComposeSettings


def prefer(
    queries: Sequence[Query],
    retrievals: Sequence[Retrieval],
    bank: Bank,
    looks: SourceLooks,
    settings: ComposeSettings,
    style: NDArray[np.uint8] | None,
    seed: int,
    earlier: Sequence[Composition],
) -> tuple[Preferences, Look | None]:
    """Choose the picture's light, and say what its segments should be like.

    Args:
        queries: The queries of the layout.
        retrievals: What the bank answered to them; looks has met the candidates' photographs.
        bank: Where the segments come from.
        looks: Looks of the bank's photographs.
        settings: Strength of the style, numbers of candidates.
        style: (h, w, 3) uint8 RGB photograph whose light is preferred, or None.
        seed: Draws lots among near equals, for all variants but the first.
        earlier: Variants made before: their segments, photographs and anchors are avoided.

    Returns:
        What candidates are ranked by, and the look that colours are moved towards; None for the
        look where there is no candidate.
    """
    wanted = None
    if style is not None:
        wanted = (
            look_of_photograph(style, None, len(queries[0].layout.taxonomy)) if queries else None
        )
    anchor = choose_anchor(
        support_of_sources(queries, retrievals),
        looks,
        earlier=[item.anchor_source_id for item in earlier],
        style=wanted,
    )
    look = looks[anchor] if anchor else None
    if look is not None and wanted is not None:
        change = settings.style_strength * (wanted.mean - look.mean)
        look = replace(look, class_mean=look.class_mean + change, mean=look.mean + change)
    sources = sorted({c.source_id for retrieval in retrievals for c in retrieval.candidates})
    gaps = {source: look_distance(looks[source], look) for source in sources} if look else {}
    material_gaps = _material_gaps(queries, retrievals, looks, look, bank) if look else {}
    lots = None
    if earlier and queries:
        rng = np.random.default_rng([seed, len(earlier), 0xD1CE])
        lots = rng.standard_normal((len(queries), settings.k + settings.anchor_k))
    preferences = Preferences(
        anchor,
        gaps,
        frozenset(segment_id for item in earlier for segment_id in item.chosen_ids),
        frozenset(source_id for item in earlier for source_id in item.sources),
        lots,
        material_gaps,
    )
    return preferences, look


def _material_gaps(
    queries: Sequence[Query],
    retrievals: Sequence[Retrieval],
    looks: SourceLooks,
    look: Look,
    bank: Bank,
) -> dict[int, float]:
    """Return how far each stuff candidate's colour would be from the picture's of its class."""
    light: dict[str, NDArray[np.float64]] = {}
    gaps: dict[int, float] = {}
    for query, retrieval in zip(queries, retrievals, strict=True):
        if query.is_thing or not look.class_share[query.class_id]:
            continue
        for candidate in retrieval.candidates:
            source_id = candidate.source_id
            if source_id not in light:
                light[source_id] = light_between(looks[source_id], look)
            shard, row = bank.locate(candidate.segment_id)
            seen = shard.segments["lab_mean"][row] + light[source_id]
            gaps[candidate.segment_id] = float(
                np.linalg.norm(seen - look.class_mean[query.class_id])
            )
    return gaps
