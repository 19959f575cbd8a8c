"""Diversity: making the variants of a layout differ, and measuring by how much they do."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.segment import Query, Retrieval
from scenequilt.synthesis.composition import Composition
from scenequilt.synthesis.look import Look, SourceLooks, look_distance

THUMBNAIL_HW = (32, 64)
"""Size at which pictures are compared: hue and light of regions, not texture."""

SHORTLIST = 24
"""Photographs that are considered for the anchor, those that suit the layout best."""

FAR_LAB = 25.0
"""Distance of two looks, in Lab units, beyond which they are simply different."""


@dataclass(frozen=True, slots=True)
class SetDiversity:
    """How much the pictures of one layout differ, each a mean over all pairs; 0 for one picture.

    Attributes:
        lab_difference: Mean distance of the pixels in CIE Lab, on thumbnails: hue and light.
        dissimilarity: 1 - SSIM of the luminance at full size (Wang et al. 2004, "Image quality
            assessment: from error visibility to structural similarity"), in [0, 2]: texture and
            outlines. 0 for pictures of fewer than 3 px on a side, which have no structure.
        unshared_sources: Share of the photographs in either picture that the other does not use,
            in [0, 1] (Jaccard distance).
    """

    lab_difference: float
    dissimilarity: float
    unshared_sources: float


def measure_diversity(compositions: Sequence[Composition]) -> SetDiversity:
    """Measure how much pictures of one layout differ.

    Raises:
        ValueError: If there is no picture.
    """
    if not compositions:
        raise ValueError("compositions is empty; diversity is of at least one picture")
    thumbnails = [_thumbnail(item.image) for item in compositions]
    sources = [set(item.sources) for item in compositions]
    pairs = [(i, j) for j in range(len(compositions)) for i in range(j)]
    if not pairs:
        return SetDiversity(0.0, 0.0, 0.0)
    lab = [np.linalg.norm(thumbnails[i] - thumbnails[j], axis=2).mean() for i, j in pairs]
    luminance = [
        np.asarray(cv2.cvtColor(item.image, cv2.COLOR_RGB2GRAY), np.uint8) for item in compositions
    ]
    structure = [_dissimilarity(luminance[i], luminance[j]) for i, j in pairs]
    unshared = [
        1 - len(sources[i] & sources[j]) / max(len(sources[i] | sources[j]), 1) for i, j in pairs
    ]
    return SetDiversity(float(np.mean(lab)), float(np.mean(structure)), float(np.mean(unshared)))


def support_of_sources(
    queries: Sequence[Query], retrievals: Sequence[Retrieval]
) -> dict[str, float]:
    """Return how much of a layout's stuff each photograph could make, best first.

    A photograph earns for each stuff region its share of the area, times its best candidate's
    score in shares of the region's best. 1 is a photograph that answers every region best. Where
    no stuff is asked for, or the bank has none, the same is said of the things.
    """
    answered = [
        (query, retrieval)
        for query, retrieval in zip(queries, retrievals, strict=True)
        if retrieval.candidates
    ]
    things_only = all(query.is_thing for query, _ in answered)
    total = sum(query.region.area_px for query in queries if query.is_thing == things_only)
    support: dict[str, float] = {}
    for query, retrieval in answered:
        if query.is_thing != things_only:
            continue
        best = max(retrieval.candidates[0].score, 1e-9)
        seen: set[str] = set()
        for candidate in retrieval.candidates:
            if candidate.source_id not in seen:
                seen.add(candidate.source_id)
                earned = candidate.score / best * query.region.area_px / total
                support[candidate.source_id] = support.get(candidate.source_id, 0.0) + earned
    return dict(sorted(support.items(), key=lambda item: (-item[1], item[0])))


def choose_anchor(
    support: Mapping[str, float],
    looks: Mapping[str, Look] | SourceLooks,
    *,
    earlier: Collection[str] = (),
    spread: float = 0.6,
    style: Look | None = None,
) -> str:
    """Choose the photograph whose light a picture is to follow.

    The first picture takes the one that supports the layout best; each later one trades support
    against the distance of its look from all earlier ones (farthest point first).

    Args:
        support: Of each photograph, best first, as support_of_sources returns it.
        looks: Of the bank's photographs.
        earlier: Anchors of the variants before this one; those that looks does not hold, "" for
            one, are passed over.
        spread: What a wholly different look is worth, in units of support.
        style: Look to come near to, or None.

    Returns:
        A source id; "" if no photograph supports the layout.
    """
    best, best_worth = "", -np.inf
    before = sorted({source_id for source_id in earlier if source_id in looks})
    shortlist = list(support) if style is not None else list(support)[:SHORTLIST]
    fresh = [source_id for source_id in shortlist if source_id not in before]
    for source_id in fresh or shortlist:
        worth = support[source_id]
        look = looks[source_id]
        if style is not None:
            worth -= min(style_distance(look, style) / FAR_LAB, 2)
        if before:
            nearest = min(look_distance(look, looks[other]) for other in before)
            worth += spread * min(nearest / FAR_LAB, 1)
        if worth > best_worth:
            best, best_worth = source_id, worth
    return best


def style_distance(look: Look, style: Look) -> float:
    """Return how far a photograph's colours are from a style, in Lab units.

    By class where the style has classes, else by mean and spread of all pixels.
    """
    if style.class_share.any() and np.minimum(look.class_share, style.class_share).any():
        return look_distance(look, style)
    return float(np.hypot(*(np.linalg.norm(look.mean - style.mean), _spread_gap(look, style))))


def _spread_gap(look: Look, style: Look) -> float:
    return float(np.linalg.norm(look.std - style.std))


def _dissimilarity(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    if min(one.shape) < 3:
        return 0.0
    # Here, since it costs 0.3 s and only sets of variants are compared.
    from skimage.metrics import structural_similarity

    # The published window is 11 x 11; a picture may be smaller, and its side must be odd.
    window = min(11, (min(one.shape) - 1) // 2 * 2 + 1)
    return 1 - float(structural_similarity(one, other, win_size=window, data_range=255))


def _thumbnail(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = THUMBNAIL_HW
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    scaled = small.astype(np.float32) * np.float32(1 / 255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2Lab), np.float32)
