"""What the networks say of a few layouts' pictures; a pure function that several threads run."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scenequilt.tools.evaluation.judges import Judges
from scenequilt.tools.evaluation.pairs import psnr_db, ssim
from scenequilt.tools.evaluation.perceptual import Activations
from scenequilt.tools.evaluation.rows import Row, View


@dataclass(frozen=True, eq=False)
class MeasuredPicture:
    """A picture and what was found about it.

    Attributes:
        view: The picture.
        seen: (H, W) uint8 class ids, one a segmenter.
        features: (D,) float32, one a feature network.
        lpips: Distance to the real photograph by network; {} without a photograph or heads.
        ssim: To the real photograph, None without.
        psnr_db: To the real photograph, None without, or where both are equal.
    """

    view: View
    seen: tuple[NDArray[np.uint8], ...]
    features: tuple[NDArray[np.float32], ...]
    lpips: dict[str, float]
    ssim: float | None
    psnr_db: float | None


@dataclass(frozen=True, eq=False)
class MeasuredLayout:
    """The pictures of one layout in one row.

    Attributes:
        pictures: Its variants.
        variants_lpips: Distance of each pair of variants, by network.
    """

    pictures: tuple[MeasuredPicture, ...]
    variants_lpips: dict[str, list[float]] = field(default_factory=dict)


def measure_layouts(
    rows: Sequence[Row], places: Sequence[int], judges: Judges
) -> list[list[MeasuredLayout]]:
    """Read the pictures of some layouts in every row and show them to the networks.

    The photograph of a layout is looked at once for all rows.

    Args:
        rows: The rows of the table.
        places: Of the layouts; their pictures go through the networks in one batch a row.
        judges: The networks.

    Returns:
        For each row, one entry a place.
    """
    views = [[row.views(place) for place in places] for row in rows]
    real = _activations_of_reals(views, judges)
    return [_measure_row(of_row, real, judges) for of_row in views]


def _activations_of_reals(
    views: Sequence[Sequence[tuple[View, ...]]], judges: Judges
) -> dict[str, dict[str, Activations]]:
    """Return what each network with heads sees in the photographs, by network and layout."""
    photographs: dict[str, NDArray[np.uint8]] = {}
    for view in itertools.chain.from_iterable(itertools.chain.from_iterable(views)):
        if view.real is not None:
            photographs.setdefault(view.layout, view.real)
    if not photographs:
        return {network.name: {} for network in judges.heads}
    stack = np.stack(list(photographs.values()))
    seen = {}
    for network in judges.heads:
        activations = network.activations(stack)
        seen[network.name] = {
            layout: activations[place : place + 1] for place, layout in enumerate(photographs)
        }
    return seen


def _measure_row(
    views: Sequence[tuple[View, ...]],
    real: dict[str, dict[str, Activations]],
    judges: Judges,
) -> list[MeasuredLayout]:
    flat = list(itertools.chain.from_iterable(views))
    stack = np.stack([view.image for view in flat])
    # The row of the photographs has been looked at already: nothing is measured twice.
    are_real = all(view.image is view.real for view in flat)
    seen = [segmenter.predict(stack) for segmenter in judges.segmenters]
    activations: dict[str, list[Activations]] = {}
    features = [network.features(stack) for network in judges.features]
    for network in judges.perceptual:
        if are_real and network.has_heads:
            activations[network.name] = [real[network.name][view.layout] for view in flat]
        elif network.has_heads:
            whole = network.activations(stack)
            activations[network.name] = [whole[place : place + 1] for place in range(len(flat))]
        if network.has_heads:
            features.append(np.concatenate([each.features for each in activations[network.name]]))
        else:
            features.append(network.features(stack))

    measured = []
    for place, view in enumerate(flat):
        lpips = {}
        if view.real is not None:
            for network in judges.heads:
                pair = activations[network.name][place], real[network.name][view.layout]
                lpips[network.name] = float(network.lpips(*pair)[0])
        measured.append(
            MeasuredPicture(
                view,
                tuple(each[place] for each in seen),
                tuple(each[place] for each in features),
                lpips,
                None if view.real is None else ssim(view.image, view.real),
                None if view.real is None else psnr_db(view.image, view.real),
            )
        )

    layouts = []
    first = 0
    for group in views:
        own = range(first, first + len(group))
        first += len(group)
        between = {
            network.name: [
                float(network.lpips(activations[network.name][a], activations[network.name][b])[0])
                for a, b in itertools.combinations(own, 2)
            ]
            for network in judges.heads
        }
        layouts.append(MeasuredLayout(tuple(measured[place] for place in own), between))
    return layouts
