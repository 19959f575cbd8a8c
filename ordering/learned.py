"""LearnedOrderer: who occludes whom, by a trained network."""

import math
from collections.abc import Collection, Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Box, PlacedSegment, Query
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.ordering.class_order import class_ranks
from scenequilt.ordering.evidence import Evidence, LayoutEvidence, Source
from scenequilt.ordering.network import OrderNet
from scenequilt.ordering.orderer import (
    FixedPair,
    Order,
    put_in_order,
    refuse_unknown_sources,
)
from scenequilt.ordering.samples import stack_views
from scenequilt.ordering.view import RegionMap, map_regions, view_pair

_LOGIT_CAP = 8.0
"""A network is never certain: 0.9997 at most, so that its word can be outweighed."""

_PAIRS_AT_ONCE = 64

UNSEEN: frozenset[Source] = frozenset(["depth"])
"""What the network cannot see; the other sources look at what it looks at."""

_Region = tuple[int, int, Box, int]
_Said = dict[tuple[_Region, _Region], Evidence]


class LearnedOrderer:
    """Sorts placed segments by what a trained network says about the pairs that overlap.

    It looks at the queries, as the closed form does. What it said of a layout is remembered as long
    as the layout is there, so that another choice of segments asks only about new pairs.

    Args:
        network: Trained; it stays on its device.
        taxonomy: The classes it was trained on.
        ranks: (K,) in [0, 1], painting rank of each class, for segments that do not overlap; by the
            classes' names where None.
        sources: Which of class, ground, depth and enclosure speak beside the network, as
            independent of it.

    Attributes:
        network: In evaluation mode.

    Raises:
        ValueError: If the network has another number of classes, or a source does not look at the
            layout.
    """

    def __init__(
        self,
        network: OrderNet,
        taxonomy: Taxonomy,
        *,
        ranks: NDArray[np.float64] | None = None,
        sources: Collection[Source] = UNSEEN,
    ) -> None:
        if network.classes != len(taxonomy):
            raise ValueError(
                f"the network knows {network.classes} classes, but taxonomy {taxonomy.name!r} has "
                f"{len(taxonomy)}; give the classes it was trained on"
            )
        refuse_unknown_sources(sources)
        self.network = network.eval()
        self._names = [entry.name for entry in taxonomy.classes]
        self._ranks = class_ranks(taxonomy) if ranks is None else ranks
        self._sources = frozenset(sources)
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
        beside = LayoutEvidence(queries, self._ranks, self._sources)

        def judge(pairs: Sequence[tuple[Query, Query]]) -> list[tuple[Evidence, ...]]:
            return [
                (said, *beside.between(first.query_id, second.query_id))
                for said, (first, second) in zip(self._ask(pairs, queries), pairs, strict=True)
            ]

        return put_in_order(placed, queries, judge, self._ranks, fixed=fixed)

    def _ask(
        self, pairs: Sequence[tuple[Query, Query]], queries: Sequence[Query]
    ) -> list[Evidence]:
        said = self._said.setdefault(queries[0].layout, {})
        keys = [(_region_of(first), _region_of(second)) for first, second in pairs]
        unknown = [place for place, key in enumerate(keys) if key not in said]
        if unknown:
            logits = ask_network(
                self.network,
                map_regions(queries),
                [(pairs[place][0].query_id, pairs[place][1].query_id) for place in unknown],
            )
            # Rounded, since the last bits depend on which other pairs were asked about.
            logits = (logits / float(self.network.temperature)).round(3)
            for place, logit in zip(unknown, logits.clip(-_LOGIT_CAP, _LOGIT_CAP), strict=True):
                said[keys[place]] = Evidence("network", 1 / (1 + math.exp(-logit)))
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
    network: OrderNet,
    region_map: RegionMap,
    pairs: Sequence[tuple[int, int]],
) -> NDArray[np.float64]:
    """Return the antisymmetric logits (N,) that the first of each pair is in front.

    They are not divided by the network's temperature.

    Args:
        network: In evaluation mode; asked on its device, at most 64 pairs at once.
        region_map: The regions of a layout.
        pairs: N pairs of query ids.
    """
    device = next(network.parameters()).device
    logits = [np.zeros(0)]
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        views = [
            view_pair(region_map, first, second, network.view)
            for first, second in pairs[start : start + _PAIRS_AT_ONCE]
        ]
        with torch.inference_mode():
            answers = network.antisymmetric_logit(
                *(tensor.to(device) for tensor in stack_views(views))
            )
        logits.append(answers.double().cpu().numpy())
    return np.concatenate(logits)


def _region_of(query: Query) -> _Region:
    region = query.region
    return region.class_id, region.instance_id, region.box, region.area_px
