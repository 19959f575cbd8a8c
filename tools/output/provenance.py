"""Where every pixel of a picture comes from, as JSON and as a list of photographs."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.store import SourceRecord
from scenequilt.synthesis.composition import Composition, PixelState

COORDINATES = (
    "Points are (x, y) in pixels; pixel (column, row) covers [column, column + 1) by "
    "[row, row + 1) and its centre is (column + 0.5, row + 0.5). source_from_target is the 2x3 "
    "matrix M: the point (x, y) of this picture shows the point M @ (x, y, 1) of the source "
    "photograph; a negative determinant of its first two columns means mirrored. A box is "
    "[top, left, bottom, right], end exclusive."
)


SourceOf = Callable[[str], SourceRecord]
"""Takes a source_id to what the bank records of that photograph."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """What one photograph gave to a picture.

    Attributes:
        source_id: The photograph.
        licence: Its licence, "" if not known.
        address: Where it came from, "" if not known.
        segments: Segments of it that own a pixel.
        pixels: Pixels that they own.
        share: Of all pixels of the picture, in [0, 1].
    """

    source_id: str
    licence: str
    address: str
    segments: int
    pixels: int
    share: float


def provenance(composition: Composition, source_of: SourceOf) -> dict[str, Any]:
    """Return the contents of provenance.json: every placed segment, by its number in ownership.png.

    Segment ids are decimal strings: they take up to 63 bits, and many readers of JSON hold numbers
    as doubles, which round from 53 bits on.
    """
    height, width = composition.image.shape[:2]
    states = np.zeros((len(composition.placed) + 1, len(PixelState)), np.int64)
    np.add.at(states, (composition.ownership.ravel() + 1, composition.state.ravel()), 1)
    classes = composition.requested.taxonomy.classes
    placed = []
    for place, item in enumerate(composition.placed):
        source = source_of(item.segment.source_id)
        placed.append(
            {
                "number": place + 1,
                "segment_id": str(item.segment.segment_id),
                "class": classes[item.segment.class_id].name,
                "source_id": source.source_id,
                "split": source.split,
                "sequence": source.sequence,
                "licence": source.licence,
                "address": source.address,
                "source_sha256": source.image_sha256,
                "source_size_hw": list(item.segment.source_size_hw),
                "box_in_source": list(item.segment.box),
                "box_in_picture": list(item.box),
                "source_from_target": [[float(v) for v in row] for row in item.source_from_target],
                "query": item.query_id,
                "rank": item.candidate.rank,
                "score": item.candidate.score,
                "mask_iou": item.candidate.mask_iou,
                "context_iou": item.candidate.context_iou,
                "shape_iou": item.candidate.shape_iou,
                "match": item.candidate.match,
                "placed_iou": item.iou,
                "pixels": int(states[place + 1].sum()),
                "states": _by_state(states[place + 1]),
            }
        )
    return {
        "format": "scenequilt provenance",
        "version": 1,
        "size_hw": [height, width],
        "coordinates": COORDINATES,
        "ownership": "ownership.png, 16 bit: 0 = no segment, n = the placed segment of number n",
        "states": {str(state.value): state.name.lower() for state in PixelState},
        "pixels": {"all": height * width, **_by_state(states.sum(axis=0))},
        "without_segment": {
            "pixels": int(states[0].sum()),
            "states": _by_state(states[0]),
            "made_of": "colour and texture of other pixels of this picture, if synthesised",
        },
        "back_to_front": [place + 1 for place in composition.order.back_to_front],
        "placed": placed,
    }


def provenance_json(composition: Composition, source_of: SourceOf) -> str:
    """Return provenance.json, a line a placed segment."""
    table = provenance(composition, source_of)
    placed = ",\n  ".join(json.dumps(item) for item in table.pop("placed"))
    head = json.dumps(table, indent=1).removesuffix("\n}")
    return f'{head},\n "placed": [\n  {placed}\n ]\n}}\n'


def attributions(composition: Composition, source_of: SourceOf) -> list[Attribution]:
    """Return what each photograph gave to a picture, the largest share first."""
    pixels: dict[str, int] = {}
    segments: dict[str, int] = {}
    for item, owned in zip(composition.placed, composition.owned_px, strict=True):
        if owned:
            source_id = item.segment.source_id
            pixels[source_id] = pixels.get(source_id, 0) + int(owned)
            segments[source_id] = segments.get(source_id, 0) + 1
    rows = []
    for source_id in composition.sources:
        source = source_of(source_id)
        share = pixels[source_id] / composition.ownership.size
        rows.append(
            Attribution(
                source_id,
                source.licence,
                source.address,
                segments[source_id],
                pixels[source_id],
                share,
            )
        )
    return rows


def attribution_csv(rows: list[Attribution]) -> str:
    """Return attribution.csv: source, licence, address, segments, pixels, share."""
    text = StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["source", "licence", "address", "segments", "pixels", "share"])
    for row in rows:
        table.writerow(
            [row.source_id, row.licence, row.address, row.segments, row.pixels, f"{row.share:.6f}"]
        )
    return text.getvalue()


def _by_state(counts: NDArray[np.int64]) -> dict[str, int]:
    return {state.name.lower(): int(counts[state]) for state in PixelState}
