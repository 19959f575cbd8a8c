"""Which segments may answer: filters on their source and their size, applied before ranking."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

KEYS = ("licence", "split", "sequence", "source", "area", "cut")

NAMES_SHOWN = 3
"""Names of the bank that a refused filter is shown beside its own."""

_FORM = re.compile(r"^\s*([A-Za-z_]+)\s*(!=|>=|<=|=|>|<)\s*(.*?)\s*$", re.DOTALL)
_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^",\s][^,]*|))\s*(,|\Z)')
_HELP = (
    "expected KEY=VALUE[,VALUE...] or KEY!=VALUE with key licence, split, sequence or source, a "
    'value with a comma in it as "VALUE"; area>=PIXELS or area<=PIXELS; cut=yes or cut=no'
)


@dataclass(frozen=True, slots=True)
class Where:
    """Filters on the bank's segments, whatever their class; a segment must pass all of them.

    Names are compared as they stand in the bank; "" is the name of what a dataset does not say.
    check_where refuses those that the bank does not know.

    Attributes:
        licences: Licences allowed, or None for any.
        not_licences: Licences refused.
        splits: Splits allowed, or None for any.
        not_splits: Splits refused.
        sequences: Sequences allowed, or None for any.
        not_sequences: Sequences refused.
        sources: Ids of the photographs allowed, or None for any.
        not_sources: Ids of the photographs refused.
        min_area_px: Least area in pixels of the photograph, or None.
        max_area_px: Largest area in pixels of the photograph, or None.
        cut_by_frame: True for segments that touch the border of their photograph, False for
            those that do not, None for both.

    Raises:
        ValueError: If an area is negative, or the least is larger than the largest, or no name at
            all is allowed.
        TypeError: If names come as one string.
    """

    licences: tuple[str, ...] | None = None
    not_licences: tuple[str, ...] = ()
    splits: tuple[str, ...] | None = None
    not_splits: tuple[str, ...] = ()
    sequences: tuple[str, ...] | None = None
    not_sequences: tuple[str, ...] = ()
    sources: tuple[str, ...] | None = None
    not_sources: tuple[str, ...] = ()
    min_area_px: int | None = None
    max_area_px: int | None = None
    cut_by_frame: bool | None = None

    def __post_init__(self) -> None:
        for key in ("licences", "splits", "sequences", "sources"):
            for name in (key, f"not_{key}"):
                value = getattr(self, name)
                if isinstance(value, str):
                    raise TypeError(f"{name} is {value!r}, expected a tuple of names")
                if value is not None:
                    object.__setattr__(self, name, tuple(sorted(set(value))))
            if getattr(self, key) == ():
                raise ValueError(f"{key} is empty, so no segment can pass; None allows every one")
        for name in ("min_area_px", "max_area_px"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is {value}, expected at least 0")
        if (
            self.min_area_px is not None
            and self.max_area_px is not None
            and self.min_area_px > self.max_area_px
        ):
            raise ValueError(
                f"min_area_px {self.min_area_px} is larger than max_area_px {self.max_area_px}; "
                "no segment can pass"
            )

    @property
    def is_empty(self) -> bool:
        """True if every segment passes."""
        return self == Where()

    def source_filters(self) -> tuple["SourceFilter", ...]:
        """Return the filters on the photograph, in the order of application."""
        found: list[SourceFilter] = []
        for key in ("licence", "split", "sequence", "source"):
            allowed, refused = getattr(self, f"{key}s"), getattr(self, f"not_{key}s")
            if allowed is not None:
                found.append(SourceFilter(key, frozenset(allowed), True))
            if refused:
                found.append(SourceFilter(key, frozenset(refused), False))
        return tuple(found)

    def segment_filters(self) -> tuple["SegmentFilter", ...]:
        """Return the filters on the segment itself, applied after those on the photograph."""
        found: list[SegmentFilter] = []
        if self.min_area_px is not None:
            text = f"area>={self.min_area_px}"
            found.append(SegmentFilter(text, "area_px", least=self.min_area_px))
        if self.max_area_px is not None:
            text = f"area<={self.max_area_px}"
            found.append(SegmentFilter(text, "area_px", largest=self.max_area_px))
        if self.cut_by_frame is not None:
            cut = int(self.cut_by_frame)
            text = f"cut={'yes' if cut else 'no'}"
            found.append(SegmentFilter(text, "cut_by_frame", least=cut, largest=cut))
        return tuple(found)

    def expressions(self) -> tuple[str, ...]:
        """Return the filters in the form that parse_where reads, in the order of application."""
        sources = [found.expression for found in self.source_filters()]
        return (*sources, *(found.expression for found in self.segment_filters()))


class SourceNames(Protocol):
    """What the filters read of a photograph's record; store.SourceRecord has it."""

    @property
    def source_id(self) -> str: ...
    @property
    def split(self) -> str: ...
    @property
    def sequence(self) -> str: ...
    @property
    def licence(self) -> str: ...


@dataclass(frozen=True, slots=True)
class SourceFilter:
    """One filter on the photographs.

    Attributes:
        key: licence, split, sequence or source.
        names: The names it speaks of.
        allow: True lets only these pass, False all others.
    """

    key: str
    names: frozenset[str]
    allow: bool

    @property
    def expression(self) -> str:
        """The filter as parse_where reads it."""
        names = ",".join(_quoted(name) for name in sorted(self.names))
        return f"{self.key}{'=' if self.allow else '!='}{names}"

    def name_of(self, source: SourceNames) -> str:
        """Return the photograph's name that the filter looks at."""
        name: str = getattr(source, "source_id" if self.key == "source" else self.key)
        return name

    def passes(self, source: SourceNames) -> bool:
        """Say if the photograph's segments pass."""
        return (self.name_of(source) in self.names) == self.allow


@dataclass(frozen=True, slots=True)
class SegmentFilter:
    """One filter on a number of the segment.

    Attributes:
        expression: The filter as parse_where reads it.
        field: area_px or cut_by_frame, a column of the segment table.
        least: Smallest value that passes, or None.
        largest: Largest value that passes, or None.
    """

    expression: str
    field: str
    least: int | None = None
    largest: int | None = None

    def passes(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Say which of the column's values pass."""
        passing = np.ones(len(values), np.bool_)
        if self.least is not None:
            passing &= values >= self.least
        if self.largest is not None:
            passing &= values <= self.largest
        return passing


def check_where(where: Where, sources: Iterable[SourceNames]) -> None:
    """Refuse filters that name what none of the photographs has.

    Such a name is misspelt or meant for another bank. To refuse a sequence that is called otherwise
    in the bank would keep nothing out of a picture, without a word.

    Args:
        where: The filters.
        sources: The photographs of the bank.

    Raises:
        ValueError: If a name is not among them; the message has the filter, the name, and the
            nearest names that are.
    """
    photographs = list(sources)
    for found in where.source_filters():
        known = {found.name_of(source) for source in photographs}
        unknown = sorted(found.names - known)
        if unknown:
            name = unknown[0]
            # By likeness of the letters; where nothing is alike, the first of all names.
            near = difflib.get_close_matches(name, sorted(known), NAMES_SHOWN)
            shown = near or sorted(known)[:NAMES_SHOWN]
            raise ValueError(
                f"filter {found.expression!r}: no photograph of the bank has the {found.key} "
                f"{name!r}; {'the nearest' if near else 'some'} of {len(known)} there are: "
                f"{', '.join(repr(other) for other in shown) or 'none'}"
            )


def parse_where(expressions: Iterable[str]) -> Where:
    """Read filters such as "split=train", "sequence!=0006R0,0016E5", "area>=200", "cut=no".

    A key given several times allows, or refuses, the names of all its expressions. A name with a
    comma, or with space at its ends, stands in double quotes, and a quote in it twice:
    'licence="CC BY 4.0, Smith"'.

    Raises:
        ValueError: If an expression is none of these; the message names it and the forms.
    """
    where = Where()
    for expression in expressions:
        form = _FORM.match(expression)
        if form is None:
            raise ValueError(f"filter {expression!r} cannot be read; {_HELP}")
        key, operator, text = form[1].lower(), form[2], form[3]
        if key not in KEYS:
            raise ValueError(f"filter {expression!r} has the unknown key {form[1]!r}; {_HELP}")
        if key == "area":
            where = _with_area(where, expression, operator, text)
        elif key == "cut":
            where = _with_cut(where, expression, operator, text)
        else:
            where = _with_names(where, expression, key, operator, text)
    return where


def _with_area(where: Where, expression: str, operator: str, text: str) -> Where:
    if not text.isdecimal() or operator in ("=", "!="):
        raise ValueError(f"filter {expression!r}: area takes >=, <=, > or < and pixels; {_HELP}")
    value = int(text)
    if operator in (">=", ">"):
        least = value + (operator == ">")
        return replace(where, min_area_px=max(least, where.min_area_px or 0))
    largest = value - (operator == "<")
    if largest < 0:
        raise ValueError(f"filter {expression!r}: no segment is smaller than 0 pixels")
    if where.max_area_px is not None:
        largest = min(largest, where.max_area_px)
    return replace(where, max_area_px=largest)


def _with_cut(where: Where, expression: str, operator: str, text: str) -> Where:
    answers = {"yes": True, "true": True, "no": False, "false": False}
    if text.lower() not in answers or operator not in ("=", "!="):
        raise ValueError(f"filter {expression!r}: cut is yes or no; {_HELP}")
    cut = answers[text.lower()] == (operator == "=")
    if where.cut_by_frame is not None and where.cut_by_frame != cut:
        raise ValueError(f"filter {expression!r} contradicts another one; no segment can pass")
    return replace(where, cut_by_frame=cut)


def _with_names(where: Where, expression: str, key: str, operator: str, text: str) -> Where:
    if operator not in ("=", "!="):
        raise ValueError(f"filter {expression!r}: {key} takes = or !=; {_HELP}")
    names = _split_names(expression, text)
    attribute = f"{key}s" if operator == "=" else f"not_{key}s"
    before = getattr(where, attribute)
    changed: dict[str, Any] = {attribute: (before or ()) + names}
    return replace(where, **changed)


def _split_names(expression: str, text: str) -> tuple[str, ...]:
    """Read names that commas part; what stands in double quotes is one name."""
    names = []
    at = 0
    while True:
        form = _NAME.match(text, at)
        if form is None:
            raise ValueError(
                f"filter {expression!r}: the double quotes do not enclose whole names; {_HELP}"
            )
        quoted, plain = form[1], form[2]
        names.append(plain.strip() if quoted is None else quoted.replace('""', '"'))
        if not form[3]:
            return tuple(names)
        at = form.end()


def _quoted(name: str) -> str:
    """Return a name as _split_names reads it."""
    if "," in name or name.startswith('"') or name != name.strip():
        return '"' + name.replace('"', '""') + '"'
    return name
