"""How often each orderer is right about who is in front, how sure it is, and what contradicts itself."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.extract import extract_queries
from scenequilt.memory_bank.segment import Candidate, PlacedSegment, Query, Segment
from scenequilt.ordering.calibration import PairScore, score_pairs
from scenequilt.ordering.class_order import class_ranks
from scenequilt.ordering.depth_source import DepthSource, with_depth
from scenequilt.ordering.evidence import LAYOUT_SOURCES, Evidence, LayoutEvidence, Source
from scenequilt.ordering.learned import LearnedOrderer, ask_network
from scenequilt.ordering.network import OrderNet
from scenequilt.ordering.orderer import ClosedFormOrderer, Order
from scenequilt.ordering.pair_labels import (
    PairLabel,
    find_neighbours,
    label_pairs,
    read_painted_objects,
)
from scenequilt.ordering.view import map_regions
from scenequilt.tools.benchmarks.machine import describe_machine

GROWN_PER_HEIGHT = 1 / 64
"""Segments never fit exactly: so far, in shares of the height, each is grown over its neighbours."""

CLEARLY_NEARER_BY = 1.1
"""Ratio of depths that a second figure of the pairs known by depth is restricted to."""

_BLIND: frozenset[Source] = LAYOUT_SOURCES - {"depth"}
_TIE = 1e-9

Judge = Callable[[Sequence[Query], Sequence[PairLabel]], NDArray[np.float64]]
"""Log odds (N,) that the first of each pair is in front."""


@dataclass(frozen=True)
class OrdererFigures:
    """One orderer on one dataset.

    Attributes:
        scores: Of pairs, by how their order is known; "all" together leaves the rule out, which is
            right by definition. What is a tie to it is decided as its order would be.
        layouts: Ordered as a whole, all regions grown by a 64th of the height.
        layouts_with_cycle: Of those, in how many pairs contradicted each other.
        edges: Pairs of overlapping segments in all of them.
        broken_edges: Of those, how many were given up.
        median_ms: Time of one order; 0 where none was made.
    """

    scores: dict[str, PairScore]
    layouts: int
    layouts_with_cycle: int
    edges: int
    broken_edges: int
    median_ms: float


@dataclass(frozen=True)
class OrderingBenchmark:
    """Figures of one dataset.

    Attributes:
        machine: Processor, cores, versions.
        dataset: Its taxonomy, split and which part of it.
        pictures: Photographs that were looked at.
        min_area_share: Regions of a smaller share of the picture were left out.
        orderers: Figures by orderer.
    """

    machine: dict[str, str]
    dataset: dict[str, str]
    pictures: int
    min_area_share: float
    orderers: dict[str, OrdererFigures]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        return dataclasses.asdict(self)

    def as_text(self) -> str:
        """Return the figures for a person."""
        lines = [
            f"machine  {', '.join(f'{key} {value}' for key, value in self.machine.items())}",
            (
                f"data     {', '.join(f'{key} {value}' for key, value in self.dataset.items())}, "
                f"{self.pictures} pictures, regions from {100 * self.min_area_share:.2f} %"
            ),
        ]
        kinds = list(next(iter(self.orderers.values())).scores)
        for kind in kinds:
            first = next(iter(self.orderers.values())).scores[kind]
            lines += ["", f"{kind}: {first.pairs} pairs{'right':>22}{'nll':>8}{'ECE':>8}"]
            for name, figures in self.orderers.items():
                score = figures.scores[kind]
                lines.append(
                    f"  {name:<32}{score.accuracy:>7.3f}{score.nll:>8.3f}"
                    f"{score.calibration_error:>8.3f}"
                )
        layouts = next(iter(self.orderers.values())).layouts
        lines += [
            "",
            f"orders of {layouts} layouts{'edges':>12}{'broken':>8}{'cycles':>8}{'ms':>8}",
        ]
        for name, figures in self.orderers.items():
            if figures.layouts == 0:
                continue
            lines.append(
                f"  {name:<26}{figures.edges:>8}{figures.broken_edges:>8}"
                f"{figures.layouts_with_cycle:>8}{figures.median_ms:>8.1f}"
            )
        return "\n".join(lines)


def measure_ordering(
    reader: DatasetReader,
    entries: Sequence[Entry],
    *,
    network: OrderNet | None = None,
    depth: DepthSource | None = None,
    min_area_share: float = 0.0076,
    nearer_by: float = 1.03,
    described: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> OrderingBenchmark:
    """Measure orderers on photographs whose depth or occlusion is known.

    Args:
        reader: The dataset.
        entries: Its photographs; nothing should have been trained on them.
        network: A trained network of its classes.
        depth: Asked for depth, which the closed form then goes by in place of the dataset's own.
        min_area_share: Regions of a smaller share of the picture are left out.
        nearer_by: Ratio of two depths from which they count as different.
        described: Which dataset, split and part this is.
        progress: Called with (photographs done, all) after each.

    Raises:
        DatasetError: If a photograph cannot be read.
        ValueError: If no photograph has a pair whose order is known.
    """
    ranks = class_ranks(reader.taxonomy)
    judges: dict[str, Judge] = {
        "class order": _closed_judge(ranks, ["class"]),
        "closed form without depth": _closed_judge(ranks, _BLIND),
        "closed form": _closed_judge(ranks, LAYOUT_SOURCES),
    }
    orderers: dict[str, ClosedFormOrderer | LearnedOrderer] = {
        "class order": ClosedFormOrderer(sources=["class"]),
        "closed form without depth": ClosedFormOrderer(sources=_BLIND),
        "closed form": ClosedFormOrderer(),
    }
    if network is not None:
        by_network = _network_judge(network)
        by_measured = _closed_judge(ranks, ["depth"])
        judges["network"] = by_network
        judges["network and depth"] = lambda *pairs: by_network(*pairs) + by_measured(*pairs)
        orderers["network"] = LearnedOrderer(network, reader.taxonomy, depth=False)
        orderers["network and depth"] = LearnedOrderer(network, reader.taxonomy)
    by_depth: dict[str, Judge] = {}
    if depth is not None:
        by_depth["closed form, depth network"] = _closed_judge(ranks, LAYOUT_SOURCES)
        by_depth["depth network alone"] = _closed_judge(ranks, ["depth"])
    tally = _Tally([*judges, *by_depth])
    for done, entry in enumerate(entries, start=1):
        photograph = reader.read(entry)
        layout = photograph.layout
        least_px = max(1, round(min_area_share * layout.label_map.size))
        queries = extract_queries(layout, min_area_px=least_px)
        neighbours = find_neighbours(queries, painted=read_painted_objects(entry))
        labels = label_pairs(neighbours, nearer_by=nearer_by)
        tally.add_truth(queries, labels)
        for name, judge in judges.items():
            tally.add(name, _untied(judge(queries, labels), queries, labels, ranks))
        if depth is not None:
            seen = with_depth(layout, depth.depth(entry.source_id, photograph.image))
            looked = extract_queries(seen, min_area_px=least_px)
            for name, judge in by_depth.items():
                tally.add(name, _untied(judge(looked, labels), looked, labels, ranks))
        placed = grow_regions(queries)
        for name, orderer in orderers.items():
            started = time.perf_counter()
            order = orderer.sort(placed, queries)
            tally.add_order(name, order, 1e3 * (time.perf_counter() - started))
        if progress is not None:
            progress(done, len(entries))
    return OrderingBenchmark(
        machine=describe_machine(["torch", "numpy", "opencv-python-headless"]),
        dataset={"classes": reader.taxonomy.name, **(described or {})},
        pictures=len(entries),
        min_area_share=min_area_share,
        orderers=tally.figures(),
    )


def grow_regions(queries: Sequence[Query]) -> list[PlacedSegment]:
    """Return a segment on each query, grown by a 64th of the height: it overlaps its neighbours."""
    if not queries:
        return []
    height, width = queries[0].layout.size_hw
    reach = max(1, round(GROWN_PER_HEIGHT * height))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    placed = []
    for query in queries:
        top, left, bottom, right = query.region.box
        framed = np.pad(query.region.mask.astype(np.uint8), reach)
        grown = np.asarray(cv2.dilate(framed, square), np.uint8).astype(bool)
        box = (
            max(top - reach, 0),
            max(left - reach, 0),
            min(bottom + reach, height),
            min(right + reach, width),
        )
        from_row, from_column = box[0] - (top - reach), box[1] - (left - reach)
        mask = grown[
            from_row : from_row + box[2] - box[0], from_column : from_column + box[3] - box[1]
        ]
        color = np.zeros((*mask.shape, 3), np.uint8)
        number = query.query_id
        segment = Segment(number, query.class_id, "", box, box, color, mask, (height, width), False)
        candidate = Candidate(number, "", 0, 1.0, 1.0, 1.0, 1.0, "frame")
        placed.append(
            PlacedSegment(number, segment, candidate, np.eye(2, 3), box, color, mask, 1.0)
        )
    return placed


def _closed_judge(
    ranks: NDArray[np.float64], sources: Sequence[Source] | frozenset[Source]
) -> Judge:
    def judge(queries: Sequence[Query], labels: Sequence[PairLabel]) -> NDArray[np.float64]:
        evidence = LayoutEvidence(queries, ranks, sources)
        return np.array(
            [_logit_of(evidence.between(label.first, label.second)) for label in labels]
        )

    return judge


def _network_judge(network: OrderNet) -> Judge:
    def judge(queries: Sequence[Query], labels: Sequence[PairLabel]) -> NDArray[np.float64]:
        if not labels:
            return np.zeros(0)
        pairs = [(label.first, label.second) for label in labels]
        weights = network.outline_weight.detach().double().cpu().numpy()
        closed = np.array([label.outline_logits for label in labels]) @ weights
        corrections = ask_network(network, map_regions(queries), pairs)
        found: NDArray[np.float64] = (corrections + closed) / float(network.temperature)
        return found

    return judge


def _untied(
    logits: NDArray[np.float64],
    queries: Sequence[Query],
    labels: Sequence[PairLabel],
    ranks: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Decide ties as an order does: by class rank, then by lower edge."""
    decided = logits.copy()
    for place in np.flatnonzero(logits == 0).tolist():
        ends = [queries[labels[place].first], queries[labels[place].second]]
        keys = [(float(ranks[query.class_id]), query.region.box[2]) for query in ends]
        decided[place] = _TIE * ((keys[0] > keys[1]) - (keys[0] < keys[1]))
    return decided


def _logit_of(evidence: Sequence[Evidence]) -> float:
    return sum(math.log(each.probability / (1 - each.probability)) for each in evidence)


class _Tally:
    """Truth, answers and orders of one picture after another."""

    def __init__(self, names: Sequence[str]) -> None:
        self._logits: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
        self._in_front: list[float] = []
        self._kinds: dict[str, list[bool]] = {}
        self._orders: dict[str, list[Order]] = {name: [] for name in names}
        self._ms: dict[str, list[float]] = {name: [] for name in names}

    def add_truth(self, queries: Sequence[Query], labels: Sequence[PairLabel]) -> None:
        clear = math.log(CLEARLY_NEARER_BY)
        for label in labels:
            first, second = queries[label.first], queries[label.second]
            by_depth = label.truth == "depth"
            self._in_front.append(label.first_in_front)
            kinds = {
                "all but rule": label.truth != "rule",
                "occlusion": label.truth == "occlusion",
                "depth by 3 %": by_depth,
                "depth by 10 %": by_depth and abs(label.log_depth_ratio) >= clear,
                "two things": label.truth != "rule" and first.is_thing and second.is_thing,
                "one class": label.truth != "rule" and first.class_id == second.class_id,
                "rule": label.truth == "rule",
            }
            for kind, holds in kinds.items():
                self._kinds.setdefault(kind, []).append(holds)

    def add(self, name: str, logits: NDArray[np.float64]) -> None:
        self._logits[name].append(logits)

    def add_order(self, name: str, order: Order, ms: float) -> None:
        self._orders[name].append(order)
        self._ms[name].append(ms)

    def figures(self) -> dict[str, OrdererFigures]:
        in_front = np.array(self._in_front)
        chosen = {kind: np.array(holds) for kind, holds in self._kinds.items() if any(holds)}
        if not chosen:
            raise ValueError(
                "no photograph has a pair whose order is known; measure on a dataset with depth/ or "
                "occlusion/, or lower the least area"
            )
        found = {}
        for name, parts in self._logits.items():
            logits = np.concatenate(parts)
            orders = self._orders[name]
            found[name] = OrdererFigures(
                {kind: score_pairs(logits[here], in_front[here]) for kind, here in chosen.items()},
                layouts=len(orders),
                layouts_with_cycle=sum(bool(order.broken) for order in orders),
                edges=sum(len(order.edges) + len(order.broken) for order in orders),
                broken_edges=sum(len(order.broken) for order in orders),
                median_ms=statistics.median(self._ms[name]) if orders else 0.0,
            )
        return found
