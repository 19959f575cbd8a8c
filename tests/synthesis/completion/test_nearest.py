"""The nearest labelled pixel."""

import numpy as np

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.completion.nearest import nearest_known, nearest_labels


def test_void_takes_the_label_of_the_nearest_pixel() -> None:
    label_map = np.full((3, 7), VOID, np.uint8)
    label_map[1, 0], label_map[1, 6] = 4, 9

    labels = nearest_labels(label_map)

    assert labels.dtype == np.uint8
    assert (labels[:, :3] == 4).all()
    assert (labels[:, 4:] == 9).all()


def test_distances_are_those_of_a_slow_search() -> None:
    known = np.random.default_rng(2).random((12, 15)) < 0.1

    rows, columns = nearest_known(known)

    places = np.argwhere(known)
    for row in range(12):
        for column in range(15):
            least = np.square(places - (row, column)).sum(axis=1).min()
            assert known[rows[row, column], columns[row, column]]
            found = (rows[row, column] - row) ** 2 + (columns[row, column] - column) ** 2
            assert found == least


def test_what_is_known_stays_and_nothing_stays_nothing() -> None:
    label_map = np.random.default_rng(0).integers(0, 3, (6, 6)).astype(np.uint8)
    void = np.full((4, 4), VOID, np.uint8)

    np.testing.assert_array_equal(nearest_labels(label_map), label_map)
    np.testing.assert_array_equal(nearest_labels(void), void)
