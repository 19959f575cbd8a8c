"""LearnedOrderer: who occludes whom, by a trained network."""

import math
from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Box, PlacedSegment, Query
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.ordering.class_order import class_ranks
from scenequilt.ordering.evidence import (
    LAYOUT_SOURCES,
    OUTLINE_SOURCES,
    Evidence,
    LayoutEvidence,
    Source,
)
from scenequilt.ordering.network import OrderNet
from scenequilt.ordering.orderer import FixedPair, Order, put_in_order
from scenequilt.ordering.samples import stack_views
from scenequilt.ordering.view import RegionMap, map_regions, view_pair

_LOGIT_CAP = 8.0
"""A network is never certain: 0.9997 at most, so that its word can be outweighed."""

_PAIRS_AT_ONCE = 64

_Region = tuple[int, int, Box, int]
_Said = dict[tuple[_Region, _Region], float]


class LearnedOrderer:
    """Sorts placed segments by what a trained network says about the pairs that overlap.

    The network corrects the closed form, and the evidence of an edge says so: class, ground and
    enclosure as it weighs them, its own word beside them, and depth, which it does not see.

    It looks at the queries, as the closed form does. What it said of a layout is remembered as long
    as the layout is there, so that another choice of segments asks only about new pairs.

    Args:
        network: Trained; it stays on its device.
        taxonomy: The classes it was trained on.
        depth: Heed the layout's depth where there is one.

    Attributes:
        network: In evaluation mode.

    Raises:
        ValueError: If the network has another number of classes.
    """

    def __init__(self, network: OrderNet, taxonomy: Taxonomy, *, depth: bool = True) -> None:
        if network.classes != len(taxonomy):
            raise ValueError(
                f"the network knows {network.classes} classes, but taxonomy {taxonomy.name!r} has "
                f"{len(taxonomy)}; give the classes it was trained on"
            )
        self.network = network.eval()
        self._names = [entry.name for entry in taxonomy.classes]
        self._ranks = class_ranks(taxonomy)
        self._sources = LAYOUT_SOURCES if depth else frozenset(OUTLINE_SOURCES)
        self._said: WeakKeyDictionary[Layout, _Said] = WeakKeyDictionary()

    def sort(
        self,
        placed: Sequence[PlacedSegment],
        queries: Sequence[Query],
        *,
        fixed: Sequence[FixedPair] = (),
    ) -> Order:
        """Put placed segments in order; arguments and outcome as for ClosedFormOrderer.sort.

        Raises:
            ValueError: If a placed segment or a fixed pair names a query that is not there, fixed
                pairs contradict each other, or the layout is of other classes than the network.
        """
        if queries and not self.knows(queries[0].layout.taxonomy):
            raise ValueError(self._other_classes(queries[0].layout.taxonomy))
        closed = LayoutEvidence(queries, self._ranks, self._sources)
        weights = {
            source: float(weight)
            for source, weight in zip(
                OUTLINE_SOURCES, self.network.outline_weight.detach(), strict=True
            )
        }
        temperature = float(self.network.temperature)

        def judge(pairs: Sequence[tuple[Query, Query]]) -> list[tuple[Evidence, ...]]:
            judged = []
            for correction, (first, second) in zip(self._ask(pairs, queries), pairs, strict=True):
                logits: dict[Source, float] = {"network": correction / temperature}
                for source, logit in closed.logits(first.query_id, second.query_id).items():
                    # Depth is measured, not learned: what it says is taken as it is.
                    scale = weights[source] / temperature if source in weights else 1.0
                    logits[source] = scale * logit
                judged.append(_in_evidence(logits))
            return judged

        return put_in_order(placed, queries, judge, self._ranks, fixed=fixed)

    def _ask(self, pairs: Sequence[tuple[Query, Query]], queries: Sequence[Query]) -> list[float]:
        said = self._said.setdefault(queries[0].layout, {})
        keys = [(_region_of(first), _region_of(second)) for first, second in pairs]
        unknown = [place for place, key in enumerate(keys) if key not in said]
        if unknown:
            corrections = ask_network(
                self.network,
                map_regions(queries),
                [(pairs[place][0].query_id, pairs[place][1].query_id) for place in unknown],
            )
            # Rounded, since the last bits depend on which other pairs were asked about.
            for place, correction in zip(unknown, corrections.round(3).tolist(), strict=True):
                said[keys[place]] = correction
        return [said[key] for key in keys]

    def knows(self, taxonomy: Taxonomy) -> bool:
        """Return True if the network was trained on classes of these names in this order."""
        return [entry.name for entry in taxonomy.classes] == self._names

    def _other_classes(self, taxonomy: Taxonomy) -> str:
        names = ", ".join(entry.name for entry in taxonomy.classes)
        return (
            f"the layout has the classes {names} ({taxonomy.name!r}), but the ordering network was "
            f"trained on {', '.join(self._names)}; train one on this dataset, or order without a "
            "network"
        )


def ask_network(
    network: OrderNet, region_map: RegionMap, pairs: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Return the network's corrections (N,) of the log odds that the first of a pair is in front.

    Args:
        network: In evaluation mode; asked on its device, at most 64 pairs at once.
        region_map: The regions of a layout.
        pairs: N pairs of query ids.
    """
    device = next(network.parameters()).device
    corrections = [np.zeros(0)]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        views = [
            view_pair(region_map, first, second, network.view)
            for first, second in pairs[start : start + _PAIRS_AT_ONCE]
        ]
        with torch.inference_mode():
            answers = network.correction(*(tensor.to(device) for tensor in stack_views(views)))
        corrections.append(answers.double().cpu().numpy())
    return np.concatenate(corrections)


def _in_evidence(logits: Mapping[Source, float]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(source, 1 / (1 + math.exp(-min(max(logit, -_LOGIT_CAP), _LOGIT_CAP))))
        for source, logit in logits.items()
        if logit != 0
    )


def _region_of(query: Query) -> _Region:
    region = query.region
    return region.class_id, region.instance_id, region.box, region.area_px
