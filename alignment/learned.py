"""LearnedAligner: the closed form's placement, corrected by a network where that raises the IoU."""

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scenequilt.alignment.affine import Affine, compose, identity, invert, transform
from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.alignment.fit import fit_frame
from scenequilt.alignment.network import AlignmentNet
from scenequilt.alignment.view import View
from scenequilt.alignment.warp import WarpedSegment, warp_mask
from scenequilt.memory_bank.segment import Box, Candidate, PlacedSegment, Query, Segment

_SHARES = (1.0, 0.6, 0.3)
"""Of the network's change that are tried. It knows the direction better than the distance: with
the whole alone half as many answers help."""

_LEAST_DETERMINANT = 0.05
"""Of the network's map on the view; below it the segment would be spread over everything."""


class LearnedAligner:
    """Places segments as the closed form does, then asks a network what to correct.

    The network sees query and placed segment, and answers with an affine map on its view. The
    closed form's map after that one, or after a part of the way to it, is brought within the
    limits. The best is kept where the IoU with the query rises by min_gain and, for stuff, what the
    closed form rates by does not fall; else what the closed form placed is returned.

    Args:
        network: Copied, to be run in dtype; device is the network's.
        closed: Where the network starts from, and whose limits hold.
        min_gain: What the IoU must rise by, in [0, 1). The original compares intersections, a test
            that any enlargement passes.
        dtype: Of the network's convolutions. bfloat16 is fastest where the processor has it.

    Raises:
        ValueError: If min_gain is out of range.
    """

    def __init__(
        self,
        network: AlignmentNet,
        closed: ClosedFormAligner | None = None,
        *,
        min_gain: float = 0.01,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not 0 <= min_gain < 1:
            raise ValueError(f"min_gain is {min_gain}, expected 0 to 1")
        self._network = deepcopy(network).eval()
        self._network.blocks.to(dtype)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._dtype = dtype
        self._closed = closed or ClosedFormAligner()
        self._min_gain = min_gain

    def place(self, query: Query, segment: Segment, candidate: Candidate) -> PlacedSegment:
        """Bend a segment to a query.

        The mask's IoU with the query is at least that of the closed form's.

        Raises:
            ValueError: If the candidate is another segment, a mask is empty, or the layout has
                another number of classes than the network was trained on.
        """
        return self.refine([query], [self._closed.place(query, segment, candidate)])[0]

    def refine(
        self, queries: Sequence[Query], placed: Sequence[PlacedSegment]
    ) -> list[PlacedSegment]:
        """Correct segments that are placed already, all in one pass of the network.

        Args:
            queries: One for each segment.
            placed: What the closed form placed for them.

        Returns:
            In the same order; those that are not corrected are the same objects.

        Raises:
            ValueError: If the numbers differ, or a layout has another number of classes than the
                network was trained on.
        """
        if len(queries) != len(placed):
            raise ValueError(
                f"queries and placed must be of one number, got {len(queries)} and {len(placed)}"
            )
        for query in queries:
            if len(query.layout.taxonomy) != self._network.classes:
                raise ValueError(
                    f"the layout's taxonomy {query.layout.taxonomy.name!r} has "
                    f"{len(query.layout.taxonomy)} classes, but the network was trained on "
                    f"{self._network.classes}; give weights trained on the layout's dataset"
                )
        # What cannot gain enough is not shown to the network.
        asked = [place for place, item in enumerate(placed) if item.iou + self._min_gain <= 1]
        refined = list(placed)
        if not asked:
            return refined
        views = [
            View.of(queries[place].region.box, queries[place].layout.size_hw, self._network.view)
            for place in asked
        ]
        thetas = self._ask(
            views, [queries[place] for place in asked], [placed[place] for place in asked]
        )
        for place, view, theta in zip(asked, views, thetas, strict=True):
            refined[place] = self._corrected(queries[place], placed[place], view, theta)
        return refined

    def _ask(
        self, views: Sequence[View], queries: Sequence[Query], placed: Sequence[PlacedSegment]
    ) -> list[Affine]:
        """Return the network's map of each view, from and to points in [-1, 1]."""
        colors, masks, label_maps = [], [], []
        for view, query, item in zip(views, queries, placed, strict=True):
            segment = item.segment
            color, _ = view.segment(
                segment.color, segment.mask, segment.crop_box, item.source_from_target
            )
            colors.append(color)
            masks.append(view.mask(query.region.mask, query.region.box))
            label_maps.append(view.label_map(query.layout.label_map))
        device = self._network.last.weight.device
        with torch.inference_mode():
            theta: Tensor = self._network(
                torch.from_numpy(np.stack(colors)).permute(0, 3, 1, 2).to(device, self._dtype)
                / 255,
                torch.from_numpy(np.stack(masks))[:, None].to(device, self._dtype),
                torch.from_numpy(np.stack(label_maps)).to(device),
            )
        return list(theta.cpu().numpy().astype(np.float64))

    def _corrected(
        self, query: Query, placed: PlacedSegment, view: View, theta: Affine
    ) -> PlacedSegment:
        """Return the best of some shares of the way to the network's map, or what was placed."""
        if not np.isfinite(theta).all():
            return placed
        best = placed
        least_iou = placed.iou + self._min_gain
        for share in _SHARES:
            attempt = self._attempt(
                query, placed, view.in_layout(identity() + share * (theta - identity()))
            )
            if attempt is not None and attempt.iou >= max(least_iou, best.iou):
                best = attempt
        return best

    def _attempt(
        self, query: Query, placed: PlacedSegment, placed_from_target: Affine
    ) -> PlacedSegment | None:
        """Return the segment after a further map of the layout, None where it is no good."""
        if np.linalg.det(placed_from_target[:, :2]) < _LEAST_DETERMINANT:
            return None
        segment, size_hw = placed.segment, query.layout.size_hw
        source_from_target = compose(placed.source_from_target, placed_from_target)
        frame = fit_frame(size_hw, segment.source_size_hw)
        limits = self._closed.limits.of(query.layout.taxonomy.classes[query.class_id])
        top, left, bottom, right = query.region.box
        middle = transform(source_from_target, np.array([[(left + right) / 2, (top + bottom) / 2]]))
        fixed_xy = (float(middle[0, 0]), float(middle[0, 1]))
        source_from_target = invert(limits.clamp(invert(source_from_target), frame, fixed_xy))
        try:
            box, mask = warp_mask(segment.mask, segment.crop_box, source_from_target, size_hw)
        except ValueError:  # moved out of the layout
            return None
        areas = _Areas.of(query, box, mask)
        if not query.is_thing:
            cost = self._closed.stuff_excess
            if areas.rating(cost) < _Areas.of(query, placed.box, placed.mask).rating(cost):
                return None
        return WarpedSegment(
            placed.query_id,
            segment,
            placed.candidate,
            source_from_target,
            box,
            None,
            mask,
            areas.iou,
        )


class _Areas(NamedTuple):
    """Pixels of a placed mask and a query: of both, of the mask alone, of the query alone."""

    shared_px: int
    excess_px: int
    open_px: int

    @classmethod
    def of(cls, query: Query, box: Box, mask: NDArray[np.bool_]) -> "_Areas":
        region = query.region
        top, left = max(box[0], region.box[0]), max(box[1], region.box[1])
        bottom, right = min(box[2], region.box[2]), min(box[3], region.box[3])
        shared_px = 0
        if top < bottom and left < right:
            ours, asked = (
                where[top - start_y : bottom - start_y, left - start_x : right - start_x]
                for where, (start_y, start_x, _, _) in ((mask, box), (region.mask, region.box))
            )
            shared_px = int(np.count_nonzero(ours & asked))
        return cls(shared_px, int(np.count_nonzero(mask)) - shared_px, region.area_px - shared_px)

    @property
    def iou(self) -> float:
        return self.rating(1.0)

    def rating(self, excess_cost: float) -> float:
        """Return what the closed form goes by: IoU for a cost of 1, else Tversky's index."""
        total_px = self.shared_px + self.open_px + excess_cost * self.excess_px
        return self.shared_px / total_px
