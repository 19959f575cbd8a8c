"""Mean power spectrum: signals whose spectrum is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.tools.evaluation.power_spectrum import (
    PowerSpectrum,
    SpectrumMean,
    log10_range,
    luma,
    radial_distance,
    spectrum_picture,
)


def grey(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A grey picture of values in [0, 1]."""
    return np.repeat(np.rint(values * 255).astype(np.uint8)[..., None], 3, axis=2)


def spectrum_of(*images: NDArray[np.uint8]) -> PowerSpectrum:
    height, width, _ = images[0].shape
    mean = SpectrumMean((height, width))
    for image in images:
        mean.add(image)
    return mean.spectrum()


def noise(size_hw: tuple[int, int], *, seed: int, spread: float = 0.1) -> NDArray[np.uint8]:
    return grey(np.clip(np.random.default_rng(seed).normal(0.5, spread, size_hw), 0, 1))


def wave(size_hw: tuple[int, int], cycles_yx: tuple[int, int]) -> NDArray[np.uint8]:
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    phase = 2 * np.pi * (cycles_yx[0] * y / size_hw[0] + cycles_yx[1] * x / size_hw[1])
    return grey(0.5 + 0.4 * np.cos(phase))


@pytest.mark.parametrize("size_hw", [(48, 64), (48, 63), (45, 64), (45, 63)])
@pytest.mark.parametrize("cycles_yx", [(0, 9), (7, 0), (7, 9), (-7, 9)])
def test_a_wave_has_its_peaks_at_its_frequency(
    size_hw: tuple[int, int], cycles_yx: tuple[int, int]
) -> None:
    power = spectrum_of(wave(size_hw, cycles_yx)).power

    centre = np.array(size_hw) // 2
    peaks = {tuple(centre + cycles_yx), tuple(centre - cycles_yx)}
    found = np.argsort(power.ravel())[-2:]
    assert {tuple(place) for place in zip(*np.unravel_index(found, size_hw), strict=True)} == peaks


def test_a_wave_has_its_radial_peak_at_its_cycles_a_pixel() -> None:
    found = spectrum_of(wave((60, 80), (0, 16)))

    assert found.frequency[np.argmax(found.radial)] == pytest.approx(16 / 80)


def test_the_power_of_white_noise_is_its_variance_at_every_frequency() -> None:
    found = spectrum_of(*(noise((64, 96), seed=seed) for seed in range(40)))

    np.testing.assert_allclose(found.radial[2:], 0.1**2, rtol=0.1)
    assert found.radial[2:].mean() == pytest.approx(0.1**2, rel=0.02)


def test_size_does_not_change_the_power_of_white_noise() -> None:
    small = spectrum_of(*(noise((32, 48), seed=seed) for seed in range(40)))
    large = spectrum_of(*(noise((128, 96), seed=seed) for seed in range(10)))

    assert small.radial[2:].mean() == pytest.approx(large.radial[2:].mean(), rel=0.02)


def test_brightness_alone_has_no_power() -> None:
    dark, bright = noise((32, 32), seed=1, spread=0.05), noise((32, 32), seed=1, spread=0.05) + 60

    assert radial_distance(spectrum_of(dark), spectrum_of(bright)) == pytest.approx(0, abs=1e-9)


def test_doubled_contrast_is_log_4_away() -> None:
    values = np.random.default_rng(2).integers(0, 64, (40, 56))
    flat = np.repeat(values[..., None], 3, axis=2).astype(np.uint8)

    distance = radial_distance(spectrum_of(2 * flat), spectrum_of(flat))

    assert distance == pytest.approx(np.log10(4), abs=1e-9)


def test_the_spectrum_of_a_transposed_picture_is_transposed() -> None:
    image = noise((48, 48), seed=3)
    image[:, 10:20] = 0

    upright, lying = spectrum_of(image), spectrum_of(image.transpose(1, 0, 2))

    np.testing.assert_allclose(lying.power, upright.power.T, atol=1e-15)
    np.testing.assert_allclose(lying.radial, upright.radial)


def test_the_rings_of_a_transposed_picture_are_the_same_when_it_is_not_square() -> None:
    image = noise((40, 60), seed=4)

    upright, lying = spectrum_of(image), spectrum_of(image.transpose(1, 0, 2))

    np.testing.assert_allclose(lying.radial, upright.radial)
    assert radial_distance(lying, upright) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("size_hw", [(8, 12), (9, 12), (9, 7)])
def test_the_spectrum_is_that_of_the_full_transform(size_hw: tuple[int, int]) -> None:
    image = noise(size_hw, seed=5)

    found = spectrum_of(image).power

    values = image[..., 0] / 255
    rows, columns = (np.sin(np.pi * np.arange(side) / side) ** 2 for side in size_hw)
    window = np.outer(rows, columns)
    full = np.abs(np.fft.fftshift(np.fft.fft2((values - values.mean()) * window))) ** 2
    np.testing.assert_allclose(found, full / (window**2).sum(), atol=1e-12)


@pytest.mark.parametrize("size_hw", [(40, 60), (41, 60), (60, 41)])
def test_frequencies_go_up_to_half_a_cycle_a_pixel(size_hw: tuple[int, int]) -> None:
    found = spectrum_of(noise(size_hw, seed=6))

    assert found.frequency[0] == 1 / min(size_hw)
    assert 0.5 - 1 / min(size_hw) < found.frequency[-1] <= 0.5
    assert (np.diff(found.frequency) > 0).all()
    assert np.isfinite(found.radial).all() and found.radial.shape == found.frequency.shape


def test_a_mean_is_between_its_pictures() -> None:
    one, other = noise((32, 40), seed=7, spread=0.02), noise((32, 40), seed=8, spread=0.2)

    both = spectrum_of(one, other)

    np.testing.assert_allclose(both.power, (spectrum_of(one).power + spectrum_of(other).power) / 2)
    assert both.pictures == 2


def test_luma_is_weighted_as_the_eye_does() -> None:
    colors = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)

    np.testing.assert_allclose(luma(colors), [[0.2126, 0.7152, 0.0722, 1.0]])


def test_a_picture_of_one_colour_is_finitely_far_from_a_photograph() -> None:
    plain = spectrum_of(grey(np.full((16, 16), 0.5)))

    distance = radial_distance(plain, spectrum_of(noise((16, 16), seed=9)))

    assert 5 < distance < 15


def test_pictures_of_two_spectra_share_their_scale() -> None:
    weak = spectrum_of(noise((32, 40), seed=10, spread=0.02)).power
    strong = spectrum_of(noise((32, 40), seed=11, spread=0.2)).power
    low, high = log10_range(weak, strong)

    one, other = (
        spectrum_picture(power, low_log10=low, high_log10=high) for power in (weak, strong)
    )

    assert one.shape == other.shape == (32, 40, 3)
    assert one.dtype == np.uint8
    assert one.mean() < other.mean()
    assert one.min() == 0 or other.min() == 0
    assert low < np.log10(np.median(weak)) < np.log10(np.median(strong)) < high


def test_what_is_beyond_the_scale_is_drawn_at_its_end() -> None:
    drawn = spectrum_picture(np.array([[1e-9, 1e-3, 1.0]]), low_log10=-4, high_log10=-2)

    ends = spectrum_picture(np.array([[1e-4, 1e-3, 1e-2]]), low_log10=-4, high_log10=-2)
    np.testing.assert_array_equal(drawn, ends)


def test_an_empty_scale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"low_log10 must be less than high_log10, got 2, 2"):
        spectrum_picture(np.ones((4, 4)), low_log10=2, high_log10=2)


def test_a_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"image must be \(8, 8, 3\) uint8, got \(8, 9, 3\) uint8"):
        SpectrumMean((8, 8)).add(np.zeros((8, 9, 3), np.uint8))


def test_spectra_of_two_sizes_are_refused_with_both() -> None:
    one, other = spectrum_of(noise((16, 24), seed=1)), spectrum_of(noise((20, 24), seed=1))

    with pytest.raises(ValueError, match="pictures of 16x24, but reference of 20x24; bring both"):
        radial_distance(one, other)


def test_no_pictures_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no picture was added"):
        SpectrumMean((8, 8)).spectrum()


def test_a_picture_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 4 pixels on a side, got \(3, 80\)"):
        SpectrumMean((3, 80))
