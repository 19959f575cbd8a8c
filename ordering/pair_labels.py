"""Which of two regions of a photograph is in front: exactly, by its depth, or by what its layout says."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scenequilt.memory_bank.datasets.interface import Entry
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.segment import Query
from scenequilt.memory_bank.taxonomy import GROUND_NAMES
from scenequilt.ordering.class_order import class_ranks
from scenequilt.ordering.evidence import OUTLINE_SOURCES, LayoutEvidence
from scenequilt.ordering.junctions import count_junctions
from scenequilt.ordering.view import map_regions

Truth = Literal["occlusion", "rule", "depth", "layout"]
"""How the order of a pair is known.

occlusion: the dataset says in which order its objects hide each other. rule: the sky is in front of
nothing, and a thing is in front of the ground, whatever depth says where they meet. depth: medians
along the common border differ. layout: from label map and instances alone, a probability, no truth.
"""

SKY_NAMES = frozenset(["sky", "clouds", "fog"])
"""What can be in front of nothing; its depth, where one is given, is noise."""

# Fitted as log odds on NYU v2 and toytown, whose depth and occlusion say what is true.
_PER_JUNCTION = 0.65
_JUNCTION_CAP = 2.0
_CLASS_CAP = 3.0
_PRIOR_PAIRS = 100.0


@dataclass(frozen=True, slots=True)
class PairLabel:
    """A pair of queries of one layout and who is in front.

    Attributes:
        first: Query of the one.
        second: Query of the other, > first.
        first_in_front: 1 or 0; a probability where truth is "layout".
        truth: How it is known.
        log_depth_ratio: log of the second's depth over the first's along their border, 0 where it
            is not known.
        outline_logits: What the closed form says by each of evidence.OUTLINE_SOURCES: log odds that
            the first is in front.
    """

    first: int
    second: int
    first_in_front: float
    truth: Truth
    log_depth_ratio: float = 0.0
    outline_logits: tuple[float, ...] = (0.0,) * len(OUTLINE_SOURCES)


@dataclass(frozen=True, slots=True)
class PaintedObject:
    """An object of a picture whose exact occlusion is known.

    Attributes:
        class_name: Its class; "void" where it has none.
        instance_id: Its number in the instance map, 0 for stuff.
    """

    class_name: str
    instance_id: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Two queries of one layout that are near each other, and all that is known of their order.

    Attributes:
        first: Query of the one.
        second: Query of the other, > first.
        first_class: Class id of the first.
        second_class: Class id of the second.
        painted_later: Whether the first is painted after all of the second; None where unknown.
        by_rule: Whether the first is in front because the second is sky, or a ground that a thing
            stands on; None where neither is the case.
        log_depth_ratio: log of the second's depth over the first's where they meet, or None.
        outline_logits: Log odds that the first is in front, by each of evidence.OUTLINE_SOURCES.
        junction_logit: The same by T-junctions.
    """

    first: int
    second: int
    first_class: int
    second_class: int
    painted_later: bool | None
    by_rule: bool | None
    log_depth_ratio: float | None
    outline_logits: tuple[float, ...]
    junction_logit: float

    @property
    def name_logit(self) -> float:
        """Log odds by the usual order of classes of these names."""
        return self.outline_logits[OUTLINE_SOURCES.index("class")]

    @property
    def shape_logit(self) -> float:
        """Log odds by ground contact, enclosure and T-junctions."""
        return sum(self.outline_logits) - self.name_logit + self.junction_logit


def find_neighbours(
    queries: Sequence[Query], *, painted: Sequence[PaintedObject] = ()
) -> list[Neighbours]:
    """List the pairs of regions that have pixels within 5/256 of the height of each other.

    Args:
        queries: All of one layout, numbered from 0; depth is the layout's.
        painted: The objects of the picture from back to front, where that is known.
    """
    if not queries:
        return []
    ranks = class_ranks(queries[0].layout.taxonomy)
    evidence = LayoutEvidence(queries, ranks, OUTLINE_SOURCES)
    junctions = count_junctions(map_regions(queries).regions)
    places = [_places_of(query, painted) for query in queries]
    found = []
    for first in range(len(queries)):
        for second in range(first + 1, len(queries)):
            if not evidence.are_near(first, second):
                continue
            votes = _PER_JUNCTION * (junctions[first, second] - junctions[second, first])
            found.append(
                Neighbours(
                    first,
                    second,
                    queries[first].class_id,
                    queries[second].class_id,
                    _painted_later(places[first], places[second]),
                    _by_rule(queries[first], queries[second]),
                    evidence.log_depth_ratio(first, second),
                    tuple(evidence.logits(first, second).values()),
                    _capped(votes, _JUNCTION_CAP),
                )
            )
    return found


class ClassStatistics:
    """How often regions of one class were in front of another's, by label maps alone.

    Counted are neighbours of two classes about which ground contact, enclosure or T-junctions say
    something; a statement counts as much as it is sure. What the names of the classes say counts as
    a hundred pairs more: where names are known it is the better guide (README), and where they are
    not it says nothing.

    Args:
        classes: K.

    Attributes:
        behind_in_front: (K, K) float64 counts, row = class behind, column = class in front.
    """

    def __init__(self, classes: int) -> None:
        self.behind_in_front = np.zeros((classes, classes))

    def add(self, neighbours: Sequence[Neighbours]) -> None:
        """Count the neighbours of one layout."""
        for pair in neighbours:
            if pair.shape_logit == 0 or pair.first_class == pair.second_class:
                continue
            in_front = _sigmoid(pair.shape_logit)
            self.behind_in_front[pair.second_class, pair.first_class] += in_front
            self.behind_in_front[pair.first_class, pair.second_class] += 1 - in_front

    def logit(self, pair: Neighbours) -> float:
        """Return the log odds that the first is in front, by the classes of the two alone."""
        in_front = float(self.behind_in_front[pair.second_class, pair.first_class])
        behind = float(self.behind_in_front[pair.first_class, pair.second_class])
        prior = _PRIOR_PAIRS * _sigmoid(pair.name_logit)
        odds = (in_front + prior) / (behind + _PRIOR_PAIRS - prior)
        return _capped(math.log(odds), _CLASS_CAP)


def label_pairs(
    neighbours: Sequence[Neighbours],
    *,
    statistics: ClassStatistics | None = None,
    nearer_by: float = 1.03,
) -> list[PairLabel]:
    """Say which of two neighbours is in front, by the surest source that knows.

    Occlusion, then the rule (the sky is behind all, the ground behind what stands on it), then
    depth, then the layout. Unlike the original's, strips along borders do not run along the frame,
    pairs of one class are among them, and no pair is counted twice.

    Args:
        neighbours: Of one layout.
        statistics: For pairs of which nothing else is known; None leaves those out.
        nearer_by: Ratio of two depths from which they count as different, > 1.

    Raises:
        ValueError: If nearer_by is not above 1.

    Source:
        Qi et al. 2018, "Semi-parametric Image Synthesis", training data of the ordering network,
        and its code.
    """
    if not nearer_by > 1:
        raise ValueError(f"nearer_by is {nearer_by}, expected a ratio above 1")
    labels = []
    for pair in neighbours:
        log_ratio = pair.log_depth_ratio or 0.0
        truth: Truth
        if pair.painted_later is not None:
            in_front, truth = float(pair.painted_later), "occlusion"
        elif pair.by_rule is not None:
            in_front, truth = float(pair.by_rule), "rule"
        elif abs(log_ratio) >= math.log(nearer_by):
            in_front, truth = float(log_ratio > 0), "depth"
        elif statistics is not None:
            in_front, truth = _sigmoid(pair.shape_logit + statistics.logit(pair)), "layout"
        else:
            continue
        labels.append(
            PairLabel(pair.first, pair.second, in_front, truth, log_ratio, pair.outline_logits)
        )
    return labels


def read_painted_objects(entry: Entry) -> list[PaintedObject]:
    """Read the order in which the objects of a picture hide each other.

    It lies in occlusion/[SPLIT/]NAME.json beside labels/, as toytown writes it.

    Returns:
        The objects from back to front; [] if there is no such file.

    Raises:
        DatasetError: If the file is not what it should be.
    """
    folder = entry.label_path.parent
    parts = (entry.split,) if entry.split and folder.name == entry.split else ()
    root = folder.parents[len(parts)]
    path = root.joinpath("occlusion", *parts, f"{entry.source_id}.json")
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["back_to_front"]
        return [PaintedObject(str(row["class"]), int(row["instance_id"])) for row in rows]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path}: no order of objects ({error!r}); expected back_to_front, a list of objects "
            "with class and instance_id; write the dataset again, or remove the folder occlusion"
        ) from error


def _places_of(query: Query, painted: Sequence[PaintedObject]) -> list[int]:
    """Return the places in the painting order of the objects that a region may consist of."""
    instance_id = query.region.instance_id
    if instance_id and query.is_thing:
        return [place for place, item in enumerate(painted) if item.instance_id == instance_id]
    name = query.layout.taxonomy.classes[query.class_id].name
    return [
        place
        for place, item in enumerate(painted)
        if item.instance_id == 0 and item.class_name == name
    ]


def _painted_later(first: list[int], second: list[int]) -> bool | None:
    """Return who is in front; None where either may have objects on both sides of the other."""
    if not first or not second:
        return None
    if min(first) > max(second):
        return True
    return False if min(second) > max(first) else None


def _by_rule(first: Query, second: Query) -> bool | None:
    entries = [query.layout.taxonomy.classes[query.class_id] for query in (first, second)]
    skies = [entry.known_as(SKY_NAMES) for entry in entries]
    if skies[0] != skies[1]:
        return skies[1]
    if entries[0].kind != entries[1].kind:
        surface = entries[1] if entries[0].kind == "thing" else entries[0]
        if surface.known_as(GROUND_NAMES):
            return entries[0].kind == "thing"
    return None


def _capped(logit: float, cap: float) -> float:
    return min(max(logit, -cap), cap)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
