"""SSIM and PSNR: the library's figures, and answers that follow from the formula."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from scenequilt.tools.evaluation.pairs import psnr_db, ssim


def picture(seed: int, size_hw: tuple[int, int] = (24, 31)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)


def shade(value: int) -> NDArray[np.uint8]:
    return np.full((16, 16, 3), value, np.uint8)


def noisy(image: NDArray[np.uint8], spread: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(9).integers(-spread, spread + 1, image.shape)
    return np.asarray(np.clip(image.astype(np.int64) + noise, 0, 255), np.uint8)


@pytest.mark.parametrize("spread", [1, 30, 200])
@pytest.mark.parametrize("size_hw", [(24, 31), (11, 40)])
def test_ssim_is_the_library_s(size_hw: tuple[int, int], spread: int) -> None:
    first = picture(1, size_hw)
    second = noisy(first, spread)

    expected = structural_similarity(
        first,
        second,
        channel_axis=2,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(first, second) == pytest.approx(expected, abs=1e-10)


def test_equal_pictures_are_wholly_similar() -> None:
    assert ssim(picture(2), picture(2)) == pytest.approx(1, abs=1e-12)


def test_plain_pictures_differ_in_luminance_only() -> None:
    constant = (0.01 * 255) ** 2

    expected = (2 * 50 * 200 + constant) / (50**2 + 200**2 + constant)
    assert ssim(shade(50), shade(200)) == pytest.approx(expected)


def test_similarity_falls_with_noise_and_is_the_same_either_way() -> None:
    clean = picture(3)

    found = [ssim(clean, noisy(clean, spread)) for spread in (5, 50, 150)]

    assert found == sorted(found, reverse=True)
    assert ssim(noisy(clean, 50), clean) == pytest.approx(found[1], abs=1e-12)


def test_psnr_of_a_constant_error_follows_from_it() -> None:
    assert psnr_db(shade(100), shade(110)) == pytest.approx(20 * math.log10(255 / 10))
    assert psnr_db(shade(0), shade(255)) == pytest.approx(0)


def test_psnr_is_the_library_s() -> None:
    first, second = picture(4), picture(5)

    expected = peak_signal_noise_ratio(first, second, data_range=255)
    assert psnr_db(first, second) == pytest.approx(expected)


def test_equal_pictures_have_no_noise_to_relate_to() -> None:
    assert psnr_db(picture(6), picture(6)) is None


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (
            picture(1),
            picture(1)[:20],
            r"second must be \(24, 31, 3\) like first, got \(20, 31, 3\)",
        ),
        (picture(1)[..., 0], picture(1), r"first must be \(H, W, 3\) uint8, got \(24, 31\) uint8"),
        (picture(1), picture(1) / 255, r"second must be \(H, W, 3\) uint8.* float64"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(
    first: NDArray[np.uint8], second: NDArray[np.uint8], message: str
) -> None:
    for measure in (ssim, psnr_db):
        with pytest.raises(ValueError, match=message):
            measure(first, second)


def test_pictures_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 11 pixels on a side.* got \(10, 40, 3\)"):
        ssim(picture(7, (10, 40)), picture(8, (10, 40)))
