"""What the networks say of a few layouts' pictures: whose is whose, and nothing twice."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scenequilt.tools.evaluation.features import FeatureNetwork
from scenequilt.tools.evaluation.judges import Judges
from scenequilt.tools.evaluation.measure import measure_layouts
from scenequilt.tools.evaluation.perceptual import Activations, PerceptualNetwork
from scenequilt.tools.evaluation.rows import Row
from scenequilt.tools.evaluation.segmenter import Segmenter

RowOf = Callable[..., Row]


class CountingNetwork(PerceptualNetwork):
    """A network that remembers how many pictures it has looked at."""

    def __init__(self, network: PerceptualNetwork) -> None:
        self.__dict__.update(network.__dict__)
        self.looked_at = 0

    def activations(self, images: NDArray[np.uint8]) -> Activations:
        self.looked_at += len(images)
        return super().activations(images)


def copies(photographs: Row, row_of: RowOf, count: int = 1) -> Row:
    """Pictures that are the photographs, 10 brighter with every variant."""
    return row_of(
        "copies",
        [
            tuple(
                replace(
                    view,
                    image=np.clip(view.image.astype(int) + 10 * variant, 0, 255).astype(np.uint8),
                    name=f"{view.name}/{variant:02d}",
                )
                for variant in range(count)
            )
            for place in range(5)
            for view in photographs.views(place)
        ],
    )


def test_every_picture_keeps_its_own_findings_in_a_batch(
    photographs: Row,
    row_of: RowOf,
    color_segmenter: Segmenter,
    mean_colors: FeatureNetwork,
    alexnet: PerceptualNetwork,
) -> None:
    judges = Judges([color_segmenter], [alexnet], [mean_colors])
    row = copies(photographs, row_of, count=2)

    (together,) = measure_layouts([row], range(5), judges)

    assert [[each.view.name for each in layout.pictures] for layout in together] == [
        [f"scene{place}/00", f"scene{place}/01"] for place in range(5)
    ]
    for place, layout in enumerate(together):
        for picture, view in zip(layout.pictures, row.views(place), strict=True):
            stack = view.image[None]
            activations = alexnet.activations(stack)
            assert view.real is not None
            photograph = alexnet.activations(view.real[None])
            assert np.array_equal(picture.seen[0], color_segmenter.predict(stack)[0])
            assert np.allclose(picture.features[0], stack.mean(axis=(0, 1, 2)) / 255)
            assert np.allclose(picture.features[1], activations.features[0], atol=1e-5)
            expected = alexnet.lpips(activations, photograph)[0]
            assert picture.lpips["alexnet"] == pytest.approx(expected, abs=1e-6)


def test_features_are_in_the_order_of_the_feature_networks(
    photographs: Row, row_of: RowOf, mean_colors: FeatureNetwork, alexnet: PerceptualNetwork
) -> None:
    judges = Judges((), [alexnet], [mean_colors])

    ((layout,),) = measure_layouts([copies(photographs, row_of)], [0], judges)

    lengths = [len(features) for features in layout.pictures[0].features]
    assert lengths == [network.dims for network in judges.feature_networks] == [3, 256]


def test_a_photograph_is_looked_at_once_for_all_rows(
    photographs: Row, row_of: RowOf, alexnet: PerceptualNetwork
) -> None:
    network = CountingNetwork(alexnet)
    rows = [photographs, copies(photographs, row_of), copies(photographs, row_of)]

    measure_layouts(rows, range(5), Judges((), [network]))

    assert network.looked_at == 15


def test_a_copy_of_the_photograph_is_at_distance_0(
    photographs: Row, row_of: RowOf, alexnet: PerceptualNetwork
) -> None:
    (found,) = measure_layouts([copies(photographs, row_of)], range(5), Judges((), [alexnet]))

    for layout in found:
        (picture,) = layout.pictures
        assert picture.lpips["alexnet"] == pytest.approx(0, abs=1e-9)
        assert picture.ssim == pytest.approx(1)
        assert picture.psnr_db is None


def test_each_pair_of_variants_has_a_distance(
    photographs: Row, row_of: RowOf, alexnet: PerceptualNetwork
) -> None:
    row = copies(photographs, row_of, count=3)

    ((layout,),) = measure_layouts([row], [2], Judges((), [alexnet]))

    first, second, third = (alexnet.activations(view.image[None]) for view in row.views(2))
    expected = [
        float(alexnet.lpips(*pair)[0])
        for pair in ((first, second), (first, third), (second, third))
    ]
    assert layout.variants_lpips["alexnet"] == pytest.approx(expected, abs=1e-6)
    assert expected[1] > expected[0] > 0


def test_without_photographs_nothing_is_compared_with_them(
    photographs: Row, row_of: RowOf, alexnet: PerceptualNetwork
) -> None:
    row = row_of(
        "alone", [(replace(photographs.views(place)[0], real=None),) for place in range(5)]
    )

    (found,) = measure_layouts([row], range(5), Judges((), [alexnet]))

    for layout in found:
        (picture,) = layout.pictures
        assert (picture.lpips, picture.ssim, picture.psnr_db) == ({}, None, None)
        assert picture.features[0].shape == (256,)


def test_a_network_without_heads_gives_features_only(
    photographs: Row, row_of: RowOf, alexnet: PerceptualNetwork
) -> None:
    generator = torch.Generator().manual_seed(4)
    weights = [
        (torch.randn(part.shape, generator=generator), torch.zeros(part.shape[0]))
        for part in alexnet.plan
    ]
    headless = PerceptualNetwork("alexnet", weights)

    (found,) = measure_layouts([photographs], range(5), Judges((), [headless]))

    for place, layout in enumerate(found):
        (picture,) = layout.pictures
        expected = headless.features(photographs.views(place)[0].image[None])[0]
        assert np.allclose(picture.features[0], expected, rtol=1e-3, atol=1e-3)
        assert (picture.lpips, layout.variants_lpips) == ({}, {})
