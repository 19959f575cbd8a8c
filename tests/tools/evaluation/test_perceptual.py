"""Perceptual networks: LPIPS by a slow formula and by published values, files told by shapes."""

import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.tools.evaluation.perceptual import (
    PLANS,
    Activations,
    PerceptualNetwork,
    as_batch,
    network_of_shapes,
    read_perceptual,
    resized,
    shrunk,
)

PUBLISHED_LPIPS = [0.3497, 0.3494, 0.3473, 0.3558, 0.3437, 0.3366, 0.3716, 0.3516, 0.3472, 0.3413]
"""LPIPS 0.1 with VGG heads, as users of the authors' package printed it for the ten pairs below."""


def random_weights(name: str) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    weights = []
    for part in PLANS[name]:
        spread = (2 / np.prod(part.shape[1:])) ** 0.5
        weight = torch.randn(part.shape, generator=generator) * spread
        weights.append((weight, torch.randn(part.shape[0], generator=generator) * 0.1))
    return weights


def random_heads(name: str) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    widths = [part.shape[0] for part in PLANS[name] if part.is_level]
    return [torch.rand(width, generator=generator) for width in widths]


@pytest.fixture(scope="module")
def alexnet() -> PerceptualNetwork:
    return PerceptualNetwork("alexnet", random_weights("alexnet"), random_heads("alexnet"))


@pytest.fixture(scope="module")
def alexnet_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "net.npz"
    np.savez(path, **alexnet_arrays())
    return path


def alexnet_arrays() -> dict[str, Any]:
    arrays = {}
    for place, (weight, bias) in enumerate(random_weights("alexnet")):
        arrays[f"conv{place}.weight"] = weight.half().numpy()
        arrays[f"conv{place}.bias"] = bias.half().numpy()
    for level, head in enumerate(random_heads("alexnet")):
        arrays[f"lpips_lin{level}"] = head.half().numpy()
    return arrays


def noise(count: int, size_hw: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, *size_hw, 3), np.uint8)


def levels_of_alexnet(
    image: NDArray[np.uint8], weights: list[tuple[Tensor, Tensor]]
) -> list[Tensor]:
    """The five levels of one picture in double precision, each layer written out."""
    scaled = torch.from_numpy(image / 127.5 - 1).permute(2, 0, 1)[None]
    shift = torch.tensor([-0.030, -0.088, -0.188]).double().reshape(3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).double().reshape(3, 1, 1)
    (w0, b0), (w1, b1), (w2, b2), (w3, b3), (w4, b4) = [
        (w.double(), b.double()) for w, b in weights
    ]
    one = F.relu(F.conv2d((scaled - shift) / scale, w0, b0, stride=4, padding=2))
    two = F.relu(F.conv2d(F.max_pool2d(one, 3, 2), w1, b1, padding=2))
    three = F.relu(F.conv2d(F.max_pool2d(two, 3, 2), w2, b2, padding=1))
    four = F.relu(F.conv2d(three, w3, b3, padding=1))
    five = F.relu(F.conv2d(four, w4, b4, padding=1))
    return [one, two, three, four, five]


def test_lpips_equals_the_formula_pixel_by_pixel(alexnet: PerceptualNetwork) -> None:
    first, second = noise(1, (50, 70)), noise(1, (50, 70), seed=1)
    weights, heads = random_weights("alexnet"), random_heads("alexnet")
    expected = 0.0
    pairs = zip(
        levels_of_alexnet(first[0], weights), levels_of_alexnet(second[0], weights), strict=True
    )
    for (a, b), head in zip(pairs, heads, strict=True):
        of_pixels = []
        for y in range(a.shape[2]):
            for x in range(a.shape[3]):
                one, other = a[0, :, y, x], b[0, :, y, x]
                apart = one / one.norm() - other / other.norm()
                of_pixels.append(float((head.double() * apart**2).sum()))
        expected += float(np.mean(of_pixels))

    found = alexnet.lpips(alexnet.activations(first), alexnet.activations(second))

    assert found == pytest.approx([expected], rel=1e-4)


def test_the_last_vgg_level_has_a_pixel_for_sixteen() -> None:
    network = PerceptualNetwork("vgg16", random_weights("vgg16"))

    seen = network.activations(noise(1, (32, 48)))

    sizes = [tuple(level.shape[1:]) for level in seen.maps]
    assert sizes == [(64, 32, 48), (128, 16, 24), (256, 8, 12), (512, 4, 6), (512, 2, 3)]
    assert seen.features.shape == (1, 512) and network.dims == 512


def test_equal_pictures_have_distance_zero_and_others_more(alexnet: PerceptualNetwork) -> None:
    seen = alexnet.activations(noise(3, (40, 40)))
    others = alexnet.activations(noise(3, (40, 40), seed=1))

    assert (alexnet.lpips(seen, seen) == 0).all()
    assert (alexnet.lpips(seen, others) > 0.01).all()
    np.testing.assert_allclose(alexnet.lpips(seen, others), alexnet.lpips(others, seen), rtol=1e-6)


def test_a_picture_is_seen_alike_alone_and_in_a_batch(alexnet: PerceptualNetwork) -> None:
    images = noise(5, (48, 64))

    together = alexnet.activations(images)
    alone = [alexnet.activations(images[place : place + 1]) for place in range(5)]

    for place, one in enumerate(alone):
        np.testing.assert_allclose(together.features[place], one.features[0], rtol=1e-4, atol=1e-5)
        assert alexnet.lpips(one, together[place : place + 1]) == pytest.approx([0], abs=1e-8)


def test_one_photograph_is_compared_with_many(alexnet: PerceptualNetwork) -> None:
    images = noise(3, (40, 40))
    many, one = alexnet.activations(images), alexnet.activations(noise(1, (40, 40), seed=2))

    distances = alexnet.lpips(many, one)

    each = [float(alexnet.lpips(many[place : place + 1], one)[0]) for place in range(3)]
    assert distances.dtype == np.float64
    np.testing.assert_allclose(distances, each, rtol=1e-6)


def test_features_are_the_mean_of_the_last_level(alexnet: PerceptualNetwork) -> None:
    images = noise(2, (50, 70))
    expected = [
        levels_of_alexnet(image, random_weights("alexnet"))[-1].mean((2, 3))[0] for image in images
    ]

    features = alexnet.features(images)

    assert features.dtype == np.float32 and features.shape == (2, alexnet.dims)
    np.testing.assert_allclose(features, np.stack(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(features, alexnet.activations(images).features)


def test_maps_have_unit_length(alexnet: PerceptualNetwork) -> None:
    for level in alexnet.activations(noise(1, (40, 40))).maps:
        torch.testing.assert_close(level.norm(dim=1), torch.ones(1, *level.shape[2:]))


def test_a_picture_without_texture_has_finite_distances(alexnet: PerceptualNetwork) -> None:
    black = PerceptualNetwork(
        "alexnet",
        [(weight * 0, bias * 0) for weight, bias in random_weights("alexnet")],
        random_heads("alexnet"),
    )
    seen = black.activations(np.zeros((1, 40, 40, 3), np.uint8))

    assert black.lpips(seen, seen) == 0


def test_resizing_is_that_of_pillow() -> None:
    images = noise(2, (90, 120))
    expected = [
        np.asarray(Image.fromarray(image).resize((80, 60), Image.Resampling.BICUBIC))
        for image in images
    ]

    small = resized(as_batch(images), (60, 80)).permute(0, 2, 3, 1).numpy()

    assert np.abs(small.astype(int) - np.stack(expected).astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("size_hw", "short_side", "expected"),
    [
        ((360, 480), 256, (256, 341)),
        ((480, 360), 256, (341, 256)),
        ((200, 480), 256, (200, 480)),
        ((360, 480), None, (360, 480)),
    ],
)
def test_pictures_are_shrunk_to_a_short_side_and_never_enlarged(
    size_hw: tuple[int, int], short_side: int | None, expected: tuple[int, int]
) -> None:
    pictures = torch.zeros(1, 3, *size_hw, dtype=torch.uint8)

    assert tuple(shrunk(pictures, short_side).shape[2:]) == expected


def test_a_large_picture_is_seen_at_the_short_side() -> None:
    at_40 = PerceptualNetwork("alexnet", random_weights("alexnet"), short_side=40)
    as_is = PerceptualNetwork("alexnet", random_weights("alexnet"), short_side=None)
    images = noise(1, (80, 100))
    small = resized(as_batch(images), (40, 50)).permute(0, 2, 3, 1).numpy()

    np.testing.assert_array_equal(at_40.features(images), as_is.features(small))


def test_a_file_gives_the_network_its_heads_and_its_hash(
    alexnet_file: Path, alexnet: PerceptualNetwork
) -> None:
    network = read_perceptual(alexnet_file)

    assert (network.name, network.has_heads, network.dims) == ("alexnet", True, 256)
    assert (network.frechet_name, network.kernel_name) == ("FD-AlexNet", "KD-AlexNet")
    assert network.sha256 == hashlib.sha256(alexnet_file.read_bytes()).hexdigest()
    images = noise(1, (40, 40))
    np.testing.assert_allclose(network.features(images), alexnet.features(images), atol=0.02)


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "vgg19"])
def test_a_network_is_known_by_its_shapes(name: str) -> None:
    shapes: dict[str, tuple[int, ...]] = {
        f"conv{place}.weight": part.shape for place, part in enumerate(PLANS[name])
    }

    assert network_of_shapes(shapes) == name
    assert network_of_shapes({**shapes, "conv2.weight": (1, 2, 3, 3)}) is None


def test_convolutions_are_counted_as_published() -> None:
    # Of torchvision's alexnet, vgg16 and vgg19, without their classifiers.
    counts = {
        name: sum(int(np.prod(part.shape)) + part.shape[0] for part in plan)
        for name, plan in PLANS.items()
    }

    assert counts == {"alexnet": 2_469_696, "vgg16": 14_714_688, "vgg19": 20_024_384}


def test_a_file_of_another_network_is_refused_with_what_was_found(tmp_path: Path) -> None:
    convolutions, other, empty = (tmp_path / f"{name}.npz" for name in ("resnet", "table", "empty"))
    arrays: dict[str, Any] = {"conv0.weight": np.zeros((64, 3, 7, 7), np.float16)}
    np.savez(convolutions, **arrays)
    np.savez(other, mean=np.zeros(3), std=np.ones(3))
    np.savez(empty)

    with pytest.raises(
        CheckpointError, match=r"1 convolutions, the first 64x3x7x7; expected.*vgg16"
    ):
        read_perceptual(convolutions)
    with pytest.raises(CheckpointError, match=r"2 arrays \(mean, std\); expected convolutions"):
        read_perceptual(other)
    with pytest.raises(CheckpointError, match=r"no arrays; expected"):
        read_perceptual(empty)


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.npz").write_bytes(b"nothing")

    with pytest.raises(CheckpointError, match=r"net\.npz is no \.npz"):
        read_perceptual(tmp_path / "net.npz")
    with pytest.raises(CheckpointError, match=r"gone\.npz is missing"):
        read_perceptual(tmp_path / "gone.npz")


def test_a_file_without_a_bias_or_a_head_is_refused(tmp_path: Path) -> None:
    arrays = alexnet_arrays()
    np.savez(
        tmp_path / "bias.npz", **{name: arrays[name] for name in arrays if name != "conv3.bias"}
    )
    np.savez(tmp_path / "head.npz", **{name: arrays[name] for name in arrays if name[-1] != "4"})

    with pytest.raises(CheckpointError, match=r"bias\.npz cannot be read as alexnet.*conv3\.bias"):
        read_perceptual(tmp_path / "bias.npz")
    with pytest.raises(CheckpointError, match=r"lpips_lin3 found, LPIPS over alexnet has 5 heads"):
        read_perceptual(tmp_path / "head.npz")


def test_lpips_without_heads_is_refused() -> None:
    network = PerceptualNetwork("alexnet", random_weights("alexnet"))
    seen = network.activations(noise(1, (40, 40)))

    assert not network.has_heads
    with pytest.raises(ValueError, match=r"alexnet came without LPIPS heads.*lpips_lin4"):
        network.lpips(seen, seen)


def test_activations_that_do_not_fit_are_refused(alexnet: PerceptualNetwork) -> None:
    seen = alexnet.activations(noise(1, (40, 40)))
    wider = alexnet.activations(noise(1, (40, 60)))
    foreign = Activations("vgg16", seen.maps, seen.features)

    with pytest.raises(ValueError, match=r"of one size.*\(9, 9\) and \(9, 14\)"):
        alexnet.lpips(seen, wider)
    with pytest.raises(ValueError, match="must be of alexnet, got alexnet and vgg16"):
        alexnet.lpips(seen, foreign)


def test_pictures_that_do_not_fit_are_refused(alexnet: PerceptualNetwork) -> None:
    with pytest.raises(ValueError, match=r"\(B, H, W, 3\) uint8 RGB, got \(1, 40, 40, 4\)"):
        alexnet.activations(np.zeros((1, 40, 40, 4), np.uint8))
    with pytest.raises(ValueError, match="got .* float64"):
        alexnet.activations(np.zeros((1, 40, 40, 3)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="30x90 px are too small for alexnet, which needs 31 px"):
        alexnet.features(noise(1, (30, 90)))
    assert alexnet.features(noise(1, (31, 31))).shape == (1, 256)


def test_an_unknown_network_and_foreign_weights_are_refused() -> None:
    with pytest.raises(
        ValueError, match="no perceptual network 'resnet'; there are alexnet, vgg16"
    ):
        PerceptualNetwork("resnet", [])
    with pytest.raises(ValueError, match="vgg16 has convolutions"):
        PerceptualNetwork("vgg16", random_weights("alexnet"))
    with pytest.raises(ValueError, match=r"heads of alexnet have lengths \[64, 192.*got \[3\]"):
        PerceptualNetwork("alexnet", random_weights("alexnet"), [torch.ones(3)])


@pytest.mark.realweights
def test_vgg_lpips_is_the_published_value(real_weights: Path) -> None:
    """Ten pairs of noise of 100x100 from NumPy's legacy generator, seed 123, not rounded to bytes.

    The values were printed by the authors' package; the weights here are rounded to 16 bits.
    """
    network = read_perceptual(real_weights / "vgg16_conv_lpips_fp16.npz")
    random = np.random.RandomState(123)
    first = torch.from_numpy(random.rand(10, 3, 100, 100)).float()
    second = torch.from_numpy(random.rand(10, 3, 100, 100)).float()

    found = network.lpips(
        network.activations_of_floats(first), network.activations_of_floats(second)
    )

    np.testing.assert_allclose(found, PUBLISHED_LPIPS, atol=1.5e-4)
    assert found.mean() == pytest.approx(0.3494, abs=1e-4)


@pytest.mark.realweights
@pytest.mark.parametrize(("file", "theirs"), [("alexnet", "alex"), ("vgg16", "vgg")])
def test_heads_are_those_that_torchmetrics_brings(
    real_weights: Path, file: str, theirs: str
) -> None:
    found = importlib.util.find_spec("torchmetrics")
    assert found is not None and found.origin is not None
    published = torch.load(
        Path(found.origin).parent / "functional" / "image" / "lpips_models" / f"{theirs}.pth",
        map_location="cpu",
        weights_only=True,
    )
    with np.load(real_weights / f"{file}_conv_lpips_fp16.npz") as stored:
        for level in range(5):
            expected = published[f"lin{level}.model.1.weight"].flatten().numpy()
            np.testing.assert_allclose(stored[f"lpips_lin{level}"], expected, rtol=1e-3, atol=1e-6)
