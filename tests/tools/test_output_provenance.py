"""provenance.json and attribution.csv of a composition whose every pixel is known."""

import json
from typing import Any

import numpy as np
import pytest

from scenequilt.synthesis.composition import Composition
from scenequilt.tools.output.provenance import (
    SourceOf,
    attribution_csv,
    attributions,
    provenance,
    provenance_json,
)


@pytest.fixture
def table(composition: Composition, source_of: SourceOf) -> dict[str, Any]:
    return provenance(composition, source_of)


def test_segments_are_numbered_as_in_the_ownership_map(table: dict[str, Any]) -> None:
    assert [item["number"] for item in table["placed"]] == [1, 2]


def test_a_segment_id_beyond_53_bits_survives_a_reader_that_knows_doubles_only(
    table: dict[str, Any],
) -> None:
    assert table["placed"][0]["segment_id"] == "1152921504606846977"


def test_a_segment_names_its_photograph_and_licence(table: dict[str, Any]) -> None:
    sky = table["placed"][0]

    assert (sky["class"], sky["source_id"], sky["licence"]) == ("sky", "noon", "CC0-1.0")
    assert (sky["split"], sky["sequence"]) == ("train", "film")


def test_the_matrix_leads_from_the_picture_to_the_photograph(table: dict[str, Any]) -> None:
    road = table["placed"][1]

    point = np.array(road["source_from_target"]) @ [0.5, 4.5, 1.0]

    assert point.tolist() == [5.5, 2.5]
    assert "source_from_target is the 2x3 matrix M" in table["coordinates"]


def test_pixels_and_states_of_a_segment_are_counted(table: dict[str, Any]) -> None:
    road = table["placed"][1]

    assert road["pixels"] == 4 * 12 - 2
    assert road["states"] == {
        "open": 0, "copied": 34, "recoloured": 0, "blended": 12, "synthesised": 0,
    }  # fmt: skip


def test_every_pixel_is_in_a_segment_or_counted_as_without(table: dict[str, Any]) -> None:
    owned = sum(item["pixels"] for item in table["placed"])

    assert owned + table["without_segment"]["pixels"] == table["pixels"]["all"] == 96
    assert table["without_segment"]["states"]["synthesised"] == 2


def test_the_text_is_the_table(
    composition: Composition, source_of: SourceOf, table: dict[str, Any]
) -> None:
    text = provenance_json(composition, source_of)

    assert json.loads(text) == table


def test_the_photograph_with_the_largest_share_comes_first(
    composition: Composition, source_of: SourceOf
) -> None:
    rows = attributions(composition, source_of)

    assert [(row.source_id, row.segments, row.pixels) for row in rows] == [
        ("noon", 1, 48),
        ("dusk", 1, 46),
    ]


def test_attribution_csv_has_a_line_a_photograph(
    composition: Composition, source_of: SourceOf
) -> None:
    text = attribution_csv(attributions(composition, source_of))

    assert text.splitlines() == [
        "source,licence,address,segments,pixels,share",
        "noon,CC0-1.0,,1,48,0.500000",
        "dusk,,,1,46,0.479167",
    ]
