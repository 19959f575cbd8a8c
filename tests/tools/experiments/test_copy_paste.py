"""Random copy-paste: labels follow the pixels, wherever they go."""

import numpy as np
import pytest

from scenequilt.memory_bank.segment import Segment
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.tools.experiments.copy_paste import SCALE_LIMITS, paste_at_random

TAXONOMY = Taxonomy(
    "three",
    (
        ClassInfo(0, "road", (0, 0, 1), "stuff"),
        ClassInfo(1, "car", (0, 1, 0), "thing"),
        ClassInfo(2, "sign", (1, 0, 0), "thing", text=True),
    ),
)
GREY = 100


def _segment(segment_id: int, class_id: int, level: int) -> Segment:
    """Return 6x8 pixels of one grey level on the right half, and of 150 beside the mask."""
    mask = np.zeros((6, 8), bool)
    mask[:, 4:] = True
    color = np.where(mask[..., None], level, 150).astype(np.uint8).repeat(3, axis=2)
    return Segment(
        segment_id, class_id, "noon", (0, 0, 6, 8), (0, 0, 6, 8), color, mask, (20, 30), False
    )


def _street() -> tuple[np.ndarray, np.ndarray]:
    return np.full((40, 60, 3), GREY, np.uint8), np.zeros((40, 60), np.uint8)


@pytest.mark.parametrize("seed", range(8))
def test_labels_change_where_pixels_do(seed: int) -> None:
    image, label_map = _street()

    pasted, labels, _ = paste_at_random(
        image, label_map, [_segment(5, 1, 200)], TAXONOMY, np.random.default_rng(seed)
    )

    np.testing.assert_array_equal(labels == 1, (pasted != GREY).any(axis=2))
    assert (labels == 1).any()


def test_the_given_arrays_stay_as_they_are() -> None:
    image, label_map = _street()

    paste_at_random(image, label_map, [_segment(5, 1, 200)], TAXONOMY, np.random.default_rng(0))

    assert (image == GREY).all()
    assert not label_map.any()


def test_places_scales_and_sides_vary_within_their_limits() -> None:
    image, label_map = _street()
    segments = [_segment(number, 1, 200) for number in range(200)]

    _, _, pastings = paste_at_random(image, label_map, segments, TAXONOMY, np.random.default_rng(0))

    scales = np.array([pasting.scale for pasting in pastings])
    assert SCALE_LIMITS[0] <= scales.min() < 0.6
    assert 1.7 < scales.max() <= SCALE_LIMITS[1]
    assert 60 < sum(pasting.mirrored for pasting in pastings) < 140
    middles = np.array([(box[0] + box[2]) / 2 for box in (pasting.box for pasting in pastings)])
    assert middles.min() < 5
    assert middles.max() > 35
    assert [pasting.segment_id for pasting in pastings] == list(range(200))


def test_text_is_not_mirrored() -> None:
    image, label_map = _street()
    segments = [_segment(number, 2, 200) for number in range(30)]

    _, _, pastings = paste_at_random(image, label_map, segments, TAXONOMY, np.random.default_rng(0))

    assert not any(pasting.mirrored for pasting in pastings)


def test_the_last_one_is_on_top() -> None:
    image, label_map = np.full((1, 1, 3), GREY, np.uint8), np.zeros((1, 1), np.uint8)
    full = np.ones((6, 8), bool)
    segments = [
        Segment(n, n, "noon", (0, 0, 6, 8), (0, 0, 6, 8), np.full((6, 8, 3), 50 * n, np.uint8),
                full, (20, 30), False)
        for n in (1, 2)
    ]  # fmt: skip

    pasted, labels, _ = paste_at_random(
        image, label_map, segments, TAXONOMY, np.random.default_rng(0)
    )

    assert (labels[0, 0], pasted[0, 0, 0]) == (2, 100)


def test_a_label_map_of_another_size_is_refused() -> None:
    image, label_map = _street()

    with pytest.raises(ValueError, match=r"image must be \(39, 60, 3\) like its label map"):
        paste_at_random(image, label_map[1:], [], TAXONOMY, np.random.default_rng(0))
