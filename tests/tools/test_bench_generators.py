"""The benchmark of generators: rows, words, refusals."""

import json

import pytest

from scenequilt.tools.benchmarks.generators import (
    NAMES,
    GeneratorBenchmark,
    GeneratorFigures,
    build_untrained,
    conditions_of_tiles,
    generators_in_words,
    measure_generators,
)
from scenequilt.tools.cli import build_parser


def test_a_run_has_a_row_a_precision() -> None:
    found = measure_generators(["crn"], size_hw=(64, 96), classes=3, runs=1, threads=1)

    assert [(row.name, row.precision) for row in found.rows] == [("crn", "fp32"), ("crn", "bf16")]
    assert all(row.ms > 0 and row.memory_mb > 50 for row in found.rows)
    assert found.rows[0].parameters == found.rows[1].parameters > 0


@pytest.mark.parametrize("name", NAMES)
def test_every_generator_has_small_settings_and_paints_the_benchmarks_conditions(name: str) -> None:
    network = build_untrained(name, 3, "small")

    made = network.generate(conditions_of_tiles(3, (64, 64)))  # type: ignore[operator]

    assert made.shape == (1, 3, 64, 64)


def test_words_tell_times_beside_the_reference() -> None:
    rows = tuple(
        GeneratorFigures(name, precision, 1000, ms, 300.0)
        for name, ms in (("crn", 200.0), ("spade", 500.0))
        for precision in ("fp32", "bf16")
    )
    found = GeneratorBenchmark({"cores": "2"}, (256, 512), 11, "small", 5, rows)

    lines = generators_in_words(found).splitlines()

    assert "256x512" in lines[1]
    assert lines[-1].split() == ["spade", "1,000", "500", "500", "2.50", "300", "300"]
    assert json.loads(json.dumps(found.as_json()))["rows"][0]["name"] == "crn"


def test_an_unknown_generator_is_answered_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no generator 'dalle'; there are .*spade"):
        measure_generators(["dalle"])


def test_the_command_line_knows_it() -> None:
    args = build_parser().parse_args(["bench", "generators", "crn", "--size", "64x96"])

    assert args.names == ["crn"] and args.size == (64, 96)
