"""Distances of two pictures pixel by pixel: SSIM and PSNR."""

import numpy as np
from numpy.typing import NDArray

_SIGMA_PX = 1.5

_REACH_PX = 5
"""Of the Gaussian window to each side: 11 pixels in all."""

LEAST_SIDE_PX = 2 * _REACH_PX + 1
"""Of pictures that SSIM can be told of."""

_LUMINANCE_CONSTANT = (0.01 * 255) ** 2

_CONTRAST_CONSTANT = (0.03 * 255) ** 2


def ssim(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Return the structural similarity of two pictures, 1 for equal ones.

    The mean over red, green and blue, and over the pixels whose whole window lies in the picture:
    the figure of scikit-image's structural_similarity with Gaussian weights, but with OpenCV's
    filters and one channel at a time, in a sixth of its time.

    Args:
        first: (H, W, 3) uint8 RGB.
        second: The same.

    Raises:
        ValueError: If sizes or types differ, or a side is less than 11 pixels.

    Source:
        Wang et al. 2004, "Image quality assessment: from error visibility to structural
        similarity", eq. 13, with its window and constants.
    """
    _check(first, second)
    if min(first.shape[:2]) < LEAST_SIDE_PX:
        raise ValueError(
            f"pictures must be at least {LEAST_SIDE_PX} pixels on a side for the window of "
            f"SSIM, got {first.shape}"
        )
    return float(np.mean([_similarity(first[..., rgb], second[..., rgb]) for rgb in range(3)]))


def psnr_db(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float | None:
    """Return the peak signal-to-noise ratio of two pictures in decibels, None for equal ones.

    Args:
        first: (H, W, 3) uint8 RGB.
        second: The same.

    Raises:
        ValueError: If sizes or types differ.
    """
    _check(first, second)
    error = float(np.mean((first.astype(np.int32) - second) ** 2))
    return float(10 * np.log10(255**2 / error)) if error else None


def _check(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> None:
    for what, image in (("first", first), ("second", second)):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"{what} must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if first.shape != second.shape:
        raise ValueError(f"second must be {first.shape} like first, got {second.shape}")


def _similarity(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    # Of one channel, (H, W) each. Arrays that are done with are written over: new ones of this
    # size would take most of the time.
    import cv2

    offset = np.arange(-_REACH_PX, _REACH_PX + 1)
    weights = np.exp(-(offset**2) / (2 * _SIGMA_PX**2))
    weights /= weights.sum()
    inside = slice(_REACH_PX, -_REACH_PX)

    def windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.sepFilter2D(values, -1, weights, weights)[inside, inside], np.float64)

    x, y = first.astype(np.float64), second.astype(np.float64)
    mean_x, mean_y = windowed(x), windowed(y)
    means = mean_x * mean_y
    squares = mean_x**2 + mean_y**2
    covariance = windowed(x * y) - means
    variances = windowed(x * x + y * y) - squares

    means *= 2
    means += _LUMINANCE_CONSTANT
    covariance *= 2
    covariance += _CONTRAST_CONSTANT
    squares += _LUMINANCE_CONSTANT
    variances += _CONTRAST_CONSTANT
    means *= covariance
    squares *= variances
    means /= squares
    return float(means.mean())
