"""Settings of an experiment: one TOML file, read into one frozen dataclass a table."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings")

CONFIGS = Path(__file__).parent / "configs"
"""Where the settings lie that come with the program."""

BARE_WORD = re.compile(r"[A-Za-z_][\w-]*")
"""What --set takes for text without quotes; TOML wants them, and shells eat them."""


@dataclass(frozen=True, slots=True)
class Override:
    """A setting that replaces a file's.

    Attributes:
        table, key: Which one.
        value: As TOML gives it.
        where: Who asked for it, for messages, e.g. "--steps".
    """

    table: str
    key: str
    value: Any
    where: str


def read_settings(kind: type[Settings], table: Mapping[str, Any], where: str) -> Settings:
    """Make a settings dataclass of a TOML table.

    Arrays become tuples, and whole numbers do for fractions.

    Args:
        kind: A dataclass whose fields are bool, int, float, str, Path, Literal, tuples, mappings by
            name, other such dataclasses, or None beside one of them; None stands where TOML has no
            value.
        table: The table.
        where: The file and the table, for messages.

    Raises:
        ValueError: If a key is not known, one without default is missing, a value is of another
            type or out of range; the message names where, key, what was found and what expected.
    """
    hints = get_type_hints(kind)
    known: dict[str, Field[Any]] = {each.name: each for each in _fields(kind)}
    for key in table:
        if key not in known:
            raise ValueError(
                f"{where}: no setting {key!r}; there are {', '.join(sorted(known)) or 'none'}"
            )
    for name, field in known.items():
        required = field.default is MISSING and field.default_factory is MISSING
        if required and name not in table:
            raise ValueError(f"{where}: no value for {name!r}, which has no default; add it")
    values = {key: _converted(hints[key], value, where, key) for key, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def read_tables(
    path: Path, kinds: Mapping[str, type[Any]], overrides: Sequence[Override] = ()
) -> dict[str, Any]:
    """Read the file of an experiment: a settings dataclass a table.

    Args:
        path: The TOML file.
        kinds: Every table it may have, with its dataclass; one that is not there has its defaults.
        overrides: What replaces settings of the file; of two for one setting the later holds.

    Returns:
        The settings by table, all of kinds.

    Raises:
        ValueError: If the file cannot be read, has another table, or a setting does not fit.
    """
    try:
        file = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path} does not exist; give a TOML file of settings") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path} cannot be read as TOML: {error}") from error
    there = ", ".join(f"[{name}]" for name in sorted(kinds))
    tables = {name: dict(table) for name, table in file.items() if isinstance(table, dict)}
    for name, value in file.items():
        if name not in tables:
            raise ValueError(
                f"{path}: {name} is {_found(value)}, expected inside of a table: {there}"
            )
        if name not in kinds:
            raise ValueError(f"{path}: no table [{name}]; there are {there}")
    for override in overrides:
        if override.table not in kinds:
            raise ValueError(f"{override.where}: no table {override.table!r}; there are {there}")
        _check_one(kinds[override.table], override)
        tables.setdefault(override.table, {})[override.key] = override.value
    return {
        name: read_settings(kind, tables.get(name, {}), f"{path} [{name}]")
        for name, kind in kinds.items()
    }


def parse_override(text: str) -> Override:
    """Read "table.key=value", the value as TOML; a bare word is text.

    Raises:
        ValueError: If it is not of this form.
    """
    place, equals, written = text.partition("=")
    table, dot, key = place.strip().partition(".")
    if not (equals and dot and table and key and written.strip()):
        raise ValueError(f"{text!r} sets nothing; give table.key=value, e.g. training.rate=2e-4")
    try:
        value = tomllib.loads(f"value = {written}")["value"]
    except tomllib.TOMLDecodeError as error:
        if not BARE_WORD.fullmatch(written.strip()):
            raise ValueError(
                f"{text!r}: {written!r} is no value of TOML ({error}); e.g. 8, 2e-4, true, "
                "[256, 512], {generator = 0.5}"
            ) from error
        value = written.strip()
    return Override(table, key, value, f"--set {text}")


def find_config(name: str) -> Path:
    """Return the file of settings that a name stands for.

    Args:
        name: A file, or the name of one that comes with the program, e.g. "segmenter".

    Raises:
        ValueError: If there is neither; the message lists those that come with the program.
    """
    path = Path(name)
    if path.is_file():
        return path
    shipped = CONFIGS / f"{name}.toml"
    if path.name == name and shipped.is_file():
        return shipped
    names = ", ".join(sorted(each.stem for each in CONFIGS.glob("*.toml")))
    raise ValueError(f"there are no settings {name!r}; give a TOML file, or one of {names}")


def as_json(settings: "DataclassInstance") -> dict[str, Any]:
    """Return a settings dataclass as it reads back from JSON."""
    table: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))
    return table


def _fields(kind: type[Any]) -> tuple[Field[Any], ...]:
    return tuple(each for each in fields(kind) if each.init)


def _check_one(kind: type[Any], override: Override) -> None:
    """Refuse a key or a type by the name of who asked for it, not of the file."""
    known = sorted(each.name for each in _fields(kind))
    if override.key not in known:
        raise ValueError(
            f"{override.where}: no setting {override.key!r} in [{override.table}]; there are "
            f"{', '.join(known) or 'none'}"
        )
    _converted(get_type_hints(kind)[override.key], override.value, override.where, override.key)


def _converted(hint: object, value: object, where: str, key: str) -> object:
    """Return a value of TOML as the type of a field wants it."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        # TOML has no None, what is not given is; cards have.
        if value is None and NoneType in parts:
            return None
        choices = [part for part in parts if part is not NoneType]
        if len(choices) == 1:
            return _converted(choices[0], value, where, key)
        for part in choices:
            if type(value) is part:
                return value
    elif isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        if isinstance(value, Mapping):
            return read_settings(hint, value, f"{where} {key}")
    elif origin is Literal:
        if any(value == part and type(value) is type(part) for part in parts):
            return value
    elif origin is tuple:
        kinds = _kinds_of_tuple(parts, len(value)) if isinstance(value, list | tuple) else None
        if kinds is not None and isinstance(value, list | tuple):
            return tuple(
                _converted(part, each, where, f"{key}[{place}]")
                for place, (part, each) in enumerate(zip(kinds, value, strict=True))
            )
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            return {
                name: _converted(parts[1], each, where, f"{key}.{name}")
                for name, each in value.items()
            }
    elif hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif hint is Path:
        if isinstance(value, str):
            return Path(value)
    elif type(value) is hint:
        return value
    raise ValueError(f"{where}: {key} is {_found(value)}, expected {_expected(hint)}")


def _kinds_of_tuple(parts: tuple[Any, ...], length: int) -> tuple[Any, ...] | None:
    """Return the type of each element, None if there must be another number of them."""
    if len(parts) == 2 and parts[1] is Ellipsis:
        return (parts[0],) * length
    return parts if len(parts) == length else None


def _found(value: object) -> str:
    words = {bool: "true or false", int: "whole number", float: "fraction", str: "text"}
    kind = words.get(type(value), "array" if isinstance(value, list | tuple) else "table")
    return f"{json.dumps(value, default=str)} ({kind})"


def _expected(hint: object) -> str:
    """Return a type in words, as somebody who writes TOML knows them."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_expected(part) for part in parts if part is not NoneType)
    if origin is Literal:
        return " or ".join(json.dumps(part) for part in parts)
    if origin is tuple:
        if len(parts) == 2 and parts[1] is Ellipsis:
            return f"an array, each {_expected(parts[0])}"
        return f"an array of {len(parts)}, each {_expected(parts[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a table, each value {_expected(parts[1])}"
    words: dict[object, str] = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path",
    }
    return words.get(hint, "a table")
