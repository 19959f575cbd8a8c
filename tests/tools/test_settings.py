"""Settings: TOML into dataclasses, and what is refused."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from scenequilt.tools.settings import (
    Override,
    as_json,
    find_config,
    parse_override,
    read_settings,
    read_tables,
)


@dataclass(frozen=True)
class Inner:
    """A table inside of another."""

    depth: int = 2


@dataclass(frozen=True)
class Everything:
    """A field of each kind."""

    name: str
    count: int = 1
    rate: float = 0.5
    flip: bool = False
    size_hw: tuple[int, int] = (4, 6)
    shares: tuple[float, ...] = ()
    kind: Literal["linear", "cosine"] = "linear"
    limit: float | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    file: Path = Path("a")
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"count must be at least 0, got {self.count}")


KINDS: dict[str, type] = {"network": Everything, "samples": Inner}


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_every_kind_of_value_becomes_what_its_field_wants(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.toml",
        """
        [network]
        name = "wide"
        count = 3
        rate = 2
        flip = true
        size_hw = [8, 9]
        shares = [1, 0.5]
        kind = "cosine"
        limit = 1
        factors = {left = 2}
        file = "b/c"
        inner = {depth = 5}
        """,
    )

    found = read_tables(path, KINDS)

    assert found["network"] == Everything(
        "wide",
        3,
        2.0,
        True,
        (8, 9),
        (1.0, 0.5),
        "cosine",
        1.0,
        {"left": 2.0},
        Path("b/c"),
        Inner(5),
    )
    assert isinstance(found["network"].rate, float)
    assert found["samples"] == Inner(), "a table that is not there has its defaults"


def test_settings_come_back_from_json() -> None:
    settings = Everything("wide", shares=(1.0,), factors={"left": 2.0})

    assert read_settings(Everything, as_json(settings), "the card") == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[network]\nname = 'a'\nwidht = 1", r"a\.toml \[network\]: no setting 'widht'; there are c"),
        ("[network]\ncount = 1", r"\[network\]: no value for 'name', which has no default"),
        ("[netwrok]\nname = 'a'", r"a\.toml: no table \[netwrok\]; there are \[network\], \[samp"),
        ("name = 'a'", r'name is "a" \(text\), expected inside of a table: \[network\]'),
        ("[network]\nname = 3", r"\[network\]: name is 3 \(whole number\), expected text"),
        ("[network]\nname = 'a'\ncount = 1.5", r"count is 1\.5 \(fraction\), expected a whole num"),
        ("[network]\nname = 'a'\ncount = true", r"count is true \(true or false\), expected a whole"),
        ("[network]\nname = 'a'\nrate = '1'", r'rate is "1" \(text\), expected a number'),
        ("[network]\nname = 'a'\nflip = 1", r"flip is 1 \(whole number\), expected true or false"),
        ("[network]\nname = 'a'\nsize_hw = [1]", r"size_hw is \[1\] \(array\), expected an array of 2"),
        ("[network]\nname = 'a'\nsize_hw = [1, 'b']", r'size_hw\[1\] is "b" \(text\), expected a whole'),
        ("[network]\nname = 'a'\nshares = 1", r"shares is 1 .*, expected an array, each a number"),
        ("[network]\nname = 'a'\nkind = 'up'", r'kind is "up" \(text\), expected "linear" or "cosine"'),
        ("[network]\nname = 'a'\nlimit = 'x'", r'limit is "x" \(text\), expected a number'),
        ("[network]\nname = 'a'\nfactors = 1", r"factors is 1 .*, expected a table, each value a num"),
        ("[network]\nname = 'a'\nfile = 1", r"file is 1 \(whole number\), expected a path"),
        ("[network]\nname = 'a'\ninner = 1", r"inner is 1 \(whole number\), expected a table"),
        ("[network]\nname = 'a'\ninner = {d = 1}", r"\[network\] inner: no setting 'd'; there are de"),
        ("[network]\nname = 'a'\ncount = -1", r"a\.toml \[network\]: count must be at least 0, got -1"),
        ("[network", r"a\.toml cannot be read as TOML"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_file_key_and_value(
    tmp_path: Path, text: str, message: str
) -> None:
    path = written(tmp_path / "a.toml", text)

    with pytest.raises(ValueError, match=message):
        read_tables(path, KINDS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.toml does not exist; give a TOML file"):
        read_tables(tmp_path / "a.toml", KINDS)


def test_what_is_set_replaces_what_the_file_says_and_the_later_holds(tmp_path: Path) -> None:
    path = written(tmp_path / "a.toml", "[network]\nname = 'a'\ncount = 3")
    overrides = [parse_override("network.count=4"), Override("network", "count", 5, "--count")]

    found = read_tables(path, KINDS, [*overrides, parse_override("samples.depth = 9")])

    assert (found["network"].name, found["network"].count) == ("a", 5)
    assert found["samples"].depth == 9


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("netwrok.count=1", r"--set netwrok\.count=1: no table 'netwrok'; there are \[network\]"),
        ("network.cuont=1", r"--set .*: no setting 'cuont' in \[network\]; there are count, fact"),
        ("network.count=x", r'--set network\.count=x: count is "x" \(text\), expected a whole num'),
    ],
)
def test_what_is_set_wrongly_is_refused_by_who_asked(
    tmp_path: Path, text: str, message: str
) -> None:
    path = written(tmp_path / "a.toml", "[network]\nname = 'a'")

    with pytest.raises(ValueError, match=message):
        read_tables(path, KINDS, [parse_override(text)])


@pytest.mark.parametrize(
    ("written_value", "value"),
    [("2e-4", 2e-4), ("true", True), ("[1, 2]", [1, 2]), ('"a b"', "a b"), ("adam-w", "adam-w")],
)
def test_values_are_set_as_toml_writes_them_and_bare_words_are_text(
    written_value: str, value: object
) -> None:
    assert parse_override(f"a.b={written_value}").value == value


@pytest.mark.parametrize("text", ["a.b", "a=1", ".b=1", "a.=1", "a.b="])
def test_what_sets_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="sets nothing; give table.key=value, e.g. training.rate"):
        parse_override(text)


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'\[1' is no value of TOML .*; e.g. 8, 2e-4, true"):
        parse_override("a.b=[1")


def test_settings_are_found_by_file_or_by_name(tmp_path: Path) -> None:
    path = written(tmp_path / "own.toml", "")

    assert find_config(str(path)) == path
    assert find_config("segmenter").name == "segmenter.toml"
    with pytest.raises(
        ValueError, match="no settings 'abacus'; give a TOML file, or one of .*segm"
    ):
        find_config("abacus")
    with pytest.raises(ValueError, match="there are no settings '../settings'"):
        find_config("../settings")
