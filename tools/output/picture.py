"""The folder of one picture: the files themselves, and the row that sums them up."""

from pathlib import Path
from typing import Any

import numpy as np

from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.composition import Composition, PixelState
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.png import encode_grey, encode_rgb
from scenequilt.tools.output.provenance import (
    SourceOf,
    attribution_csv,
    attributions,
    provenance_json,
)

STATE_COLORS: tuple[tuple[int, int, int], ...] = (
    (0, 0, 0),
    (120, 190, 160),
    (240, 200, 90),
    (90, 150, 220),
    (215, 80, 110),
)
"""Colour of each PixelState, for looking at."""


def write_picture(folder: Path, composition: Composition, source_of: SourceOf) -> None:
    """Write every file of a picture but its recipe into a folder.

    image.png is RGB; label.png (delivered) and requested.png hold file ids of the taxonomy, 8 bit
    or, where an id needs it, 16; instances.png (delivered) and ownership.png are 16 bit;
    state.png holds the PixelState, 8 bit; provenance.json names its values.

    Raises:
        ValueError: If there are more objects or placed segments than 16 bits can number.
    """
    taxonomy = composition.requested.taxonomy
    bits = label_bits(taxonomy)
    delivered, requested = composition.delivered, composition.requested
    files: dict[str, bytes | str] = {
        "image.png": encode_rgb(composition.image),
        "label.png": encode_grey(taxonomy.encode(delivered.label_map), "label map", bits=bits),
        "requested.png": encode_grey(taxonomy.encode(requested.label_map), "label map", bits=bits),
        "instances.png": encode_grey(delivered.instance_map, "instance map", bits=16),
        "ownership.png": encode_grey(composition.ownership + 1, "ownership map", bits=16),
        "state.png": encode_grey(composition.state, "state map", bits=8),
        "provenance.json": provenance_json(composition, source_of),
        "attribution.csv": attribution_csv(attributions(composition, source_of)),
    }
    for name, content in files.items():
        write_atomically(folder / name, content)


def label_bits(taxonomy: Taxonomy) -> int:
    """Return the depth of label files that holds every file id: 8, or 16 where one needs it."""
    values = [*(entry.file_id for entry in taxonomy.classes), *taxonomy.void_file_ids]
    return 8 if max(values) < 256 else 16


def picture_row(composition: Composition) -> dict[str, Any]:
    """Return what the manifest says of a picture's content; shares are in [0, 1]."""
    height, width = composition.image.shape[:2]
    return {
        "size_hw": [height, width],
        "coverage": composition.coverage_share,
        "agreement": composition.agreement,
        "agreement_by_class": composition.agreement_by_class,
        "pixels_by_class": _pixels_by_class(composition),
        "states": composition.state_shares,
        "segments": int(np.count_nonzero(composition.owned_px)),
        "sources": list(composition.sources),
        "open_classes": open_classes(composition),
    }


def open_classes(composition: Composition) -> dict[str, str]:
    """Return the classes that the bank had no segment for, and why, by name."""
    answered = {
        query.class_id
        for query in composition.queries
        if composition.retrievals[query.query_id].candidates
    }
    reasons: dict[str, str] = {}
    for query in composition.queries:
        if query.class_id in answered:
            continue
        retrieval = composition.retrievals[query.query_id]
        if retrieval.in_class == 0:
            reason = "the bank has no segment of it"
        else:
            taken = ", ".join(
                f"{name} {count}" for name, count in retrieval.removed.items() if count
            )
            reason = f"the filters removed all {retrieval.in_class} segments: {taken}"
        reasons[composition.requested.taxonomy.classes[query.class_id].name] = reason
    return reasons


def _pixels_by_class(composition: Composition) -> dict[str, dict[str, int]]:
    asked = composition.requested.label_map
    agreed = composition.delivered.label_map == asked
    of_class = np.bincount(asked.ravel(), minlength=VOID + 1)
    agreed_of_class = np.bincount(asked[agreed], minlength=VOID + 1)
    return {
        entry.name: {"requested": int(of_class[class_id]), "agreed": int(agreed_of_class[class_id])}
        for class_id, entry in enumerate(composition.requested.taxonomy.classes)
        if of_class[class_id]
    }


STATE_NAMES = tuple(state.name.lower() for state in PixelState)
