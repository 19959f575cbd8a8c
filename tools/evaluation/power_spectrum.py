"""Mean power spectrum: how much of every frequency a set of pictures holds."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LUMA_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""Of red, green and blue (ITU-R BT.709), on gamma-encoded values as displayed."""

_LEAST_POWER = 1e-12
"""Stands for no power at all, so that its logarithm is finite: a millionth of 8-bit rounding."""


@dataclass(frozen=True, eq=False)
class PowerSpectrum:
    """Mean power spectrum of the luma of a set of pictures of one size.

    Power is in units of luma squared: white noise of variance v has power v at every frequency,
    whatever the size.

    Attributes:
        power: (H, W) float64, zero frequency at (H // 2, W // 2), vertical frequency along H.
        frequency: (R,) cycles a pixel, ascending to at most 0.5; zero is left out.
        radial: (R,) mean power over all directions at each.
        pictures: How many.
    """

    power: NDArray[np.float64]
    frequency: NDArray[np.float64]
    radial: NDArray[np.float64]
    pictures: int


class SpectrumMean:
    """Adds up the power spectra of pictures of one size.

    Each picture's luma in [0, 1] loses its mean and fades out under a Hann window before the
    transform; the power is divided by that of the window.

    Source:
        Torralba and Oliva 2003, "Statistics of natural image categories"; of composed pictures, Qi
        et al. 2018, "Semi-parametric Image Synthesis".
    """

    def __init__(self, size_hw: tuple[int, int]) -> None:
        """Add nothing yet.

        Args:
            size_hw: (height, width) of the pictures in pixels.

        Raises:
            ValueError: If a side is less than 4.
        """
        height, width = size_hw
        if min(height, width) < 4:
            raise ValueError(f"size_hw must be at least 4 pixels on a side, got {size_hw}")
        self._size_hw = size_hw
        window = _hann(height)[:, None] * _hann(width)
        self._window = window / np.sqrt((window**2).sum())
        self._sum = np.zeros((height, width // 2 + 1))
        self._pictures = 0

    def add(self, image: NDArray[np.uint8]) -> None:
        """Add a picture.

        Args:
            image: (H, W, 3) uint8 RGB.

        Raises:
            ValueError: If it has another size or type.
        """
        if image.shape != (*self._size_hw, 3) or image.dtype != np.uint8:
            raise ValueError(
                f"image must be {(*self._size_hw, 3)} uint8, got {image.shape} {image.dtype}"
            )
        brightness = luma(image)
        amplitude = np.fft.rfft2((brightness - brightness.mean()) * self._window)
        self._sum += amplitude.real**2 + amplitude.imag**2
        self._pictures += 1

    def spectrum(self) -> PowerSpectrum:
        """Return the mean over the pictures.

        Raises:
            ValueError: If there are none.
        """
        if not self._pictures:
            raise ValueError("no picture was added; a mean is of at least one")
        power = _both_halves(self._sum / self._pictures, self._size_hw[1])
        frequency, radial = _over_directions(power)
        return PowerSpectrum(np.fft.fftshift(power), frequency, radial, self._pictures)


def luma(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the luma (H, W) in [0, 1] of a picture (H, W, 3) uint8 RGB."""
    return np.asarray(image @ (np.array(LUMA_WEIGHTS) / 255), np.float64)


def radial_distance(spectrum: PowerSpectrum, reference: PowerSpectrum) -> float:
    """Return the root mean square difference of log10 radial power over the frequencies.

    0.3 is a factor of 2 in power.

    Raises:
        ValueError: If the frequencies differ, as they do where the shorter sides do.
    """
    if not np.array_equal(spectrum.frequency, reference.frequency):
        sizes = "x".join(map(str, spectrum.power.shape)), "x".join(map(str, reference.power.shape))
        raise ValueError(
            f"spectrum is of pictures of {sizes[0]}, but reference of {sizes[1]}; "
            "bring both to one size"
        )
    gap = _log10(spectrum.radial) - _log10(reference.radial)
    return float(np.sqrt(np.mean(gap**2)))


def log10_range(*powers: NDArray[np.float64]) -> tuple[float, float]:
    """Return the least and the greatest log10 power of some spectra, the scale of their pictures.

    Args:
        powers: (H, W) each; the frequency zero, which holds nothing, is left out.
    """
    logs = [np.delete(_log10(power).ravel(), _place_of_zero(power)) for power in powers]
    return float(min(log.min() for log in logs)), float(max(log.max() for log in logs))


def spectrum_picture(
    power: NDArray[np.float64], *, low_log10: float, high_log10: float
) -> NDArray[np.uint8]:
    """Draw a spectrum in the colours of a perceptually uniform map, by the logarithm of its power.

    Args:
        power: (H, W).
        low_log10: log10 power that is drawn darkest.
        high_log10: log10 power that is drawn brightest; one scale makes pictures comparable.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: If the scale is empty.
    """
    if not low_log10 < high_log10:
        raise ValueError(f"low_log10 must be less than high_log10, got {low_log10}, {high_log10}")
    # Here, since it costs half a second to import.
    from matplotlib import colormaps

    share = (_log10(power) - low_log10) / (high_log10 - low_log10)
    return np.asarray(colormaps["magma"](np.clip(share, 0, 1), bytes=True)[..., :3], np.uint8)


def _hann(length: int) -> NDArray[np.float64]:
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def _both_halves(half: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    # (H, W // 2 + 1) -> (H, W): a real signal has the same power at f and -f.
    rest = (width - 1) // 2
    mirrored = np.roll(half[::-1], 1, axis=0)[:, rest:0:-1]
    return np.hstack([half, mirrored])


def _over_directions(
    power: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # Rings one step of the shorter side wide, since a narrower one would miss its frequencies.
    height, width = power.shape
    shorter = min(height, width)
    distance = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    ring = np.rint(distance * shorter).astype(np.intp).ravel()
    rings = shorter // 2
    total = np.bincount(ring, power.ravel())[1 : rings + 1]
    return np.arange(1, rings + 1) / shorter, total / np.bincount(ring)[1 : rings + 1]


def _log10(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log10(np.maximum(power, _LEAST_POWER)), np.float64)


def _place_of_zero(power: NDArray[np.float64]) -> int:
    height, width = power.shape
    return int(height // 2 * width + width // 2)
