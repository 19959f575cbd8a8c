"""The nearest labelled pixel: the closed form of completion, and a start for the network."""

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import VOID


def nearest_known(known: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the nearest known pixel of each is, by Euclidean distance.

    Args:
        known: (H, W) bool, True somewhere.

    Returns:
        Its row and its column, (H, W) each; a known pixel is its own nearest.
    """
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(~known, return_distances=False, return_indices=True)
    return rows, columns


def nearest_labels(label_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a label map whose void is labelled like the nearest pixel that is not.

    Args:
        label_map: (H, W) uint8 class ids, 255 = void.

    Returns:
        (H, W) uint8; all void if label_map is.
    """
    known = label_map != VOID
    return label_map[nearest_known(known)] if known.any() else label_map
