"""Seams: energies added up by hand, and what leaves them out."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.tools.evaluation.results import Seams
from scenequilt.tools.evaluation.seams import SeamEnergy


def grey(shades: list[list[int]]) -> NDArray[np.uint8]:
    """A grey picture whose luma is shade / 255, so that 51 is 0.2."""
    return np.repeat(np.array(shades, np.uint8)[..., None], 3, axis=2)


def labels(rows: list[list[int]]) -> NDArray[np.uint8]:
    return np.array(rows, np.uint8)


def owners(rows: list[list[int]]) -> NDArray[np.int32]:
    return np.array(rows, np.int32)


IMAGE = grey(
    [
        [0, 0, 51, 51],
        [0, 0, 51, 51],
        [102, 102, 102, 102],
        [102, 102, 204, 204],
    ]
)
REQUESTED = labels(
    [
        [0, 0, 0, 0],
        [0, 0, 0, 0],
        [1, 1, 1, 1],
        [1, 1, 2, 2],
    ]
)
OWNERSHIP = owners(
    [
        [0, 0, 1, 1],
        [0, 0, 1, 1],
        [2, 2, 2, 2],
        [2, 2, 3, -1],
    ]
)
"""Owners 0 and 1 meet inside class 0 twice, 0.2 apart. Classes 0 and 1 meet four times, 0.4, 0.4,
0.2 and 0.2 apart. Classes 1 and 2 meet three times, 0.4 apart, once where nobody owns a pixel."""


def figures_of(
    image: NDArray[np.uint8] = IMAGE,
    requested: NDArray[np.uint8] = REQUESTED,
    ownership: NDArray[np.int32] | None = None,
    delivered: NDArray[np.uint8] | None = None,
    reference: SeamEnergy | None = None,
) -> Seams:
    energy = SeamEnergy()
    energy.add(image, requested, ownership, delivered)
    return energy.figures(reference)


def photographs() -> SeamEnergy:
    energy = SeamEnergy()
    energy.add(IMAGE, REQUESTED)
    return energy


def test_energies_of_a_picture_added_up_by_hand() -> None:
    found = figures_of(ownership=OWNERSHIP)

    assert found.label == pytest.approx((2 * 0.16 + 2 * 0.04 + 3 * 0.16) / 7)
    assert found.ownership_between == pytest.approx((2 * 0.16 + 2 * 0.04 + 2 * 0.16) / 6)
    assert found.ownership_within == pytest.approx(0.04)
    assert found.ownership == pytest.approx((2 * 0.16 + 2 * 0.04 + 2 * 0.16 + 2 * 0.04) / 8)
    assert found.interior == 0


def test_without_owners_the_interior_is_all_of_a_class() -> None:
    found = figures_of()

    assert (found.ownership, found.ownership_between, found.ownership_within) == (None, None, None)
    assert found.label == pytest.approx(0.88 / 7)
    # Class 0 has 4 + 6 pairs of which 2 are 0.2 apart; class 1 has 3 + 1 + 2, class 2 has 1.
    assert found.interior == pytest.approx(2 * 0.04 / (10 + 6 + 1))


def test_a_photograph_is_itself_its_reference() -> None:
    found = figures_of(reference=photographs())

    assert found.of_real == 1
    assert found.between_matched is None, "it has no owners"


def test_without_photographs_there_are_no_shares() -> None:
    found = figures_of(ownership=OWNERSHIP)

    assert (found.of_real, found.between_matched) == (None, None)


def test_the_share_of_the_photographs_is_that_of_the_energy_between_owners() -> None:
    found = figures_of(ownership=OWNERSHIP, reference=photographs())

    assert found.of_real == pytest.approx((0.8 / 8) / (0.88 / 7))


def test_without_owners_the_share_is_that_of_the_energy_between_classes() -> None:
    half = (IMAGE // 2).astype(np.uint8)
    half[IMAGE == 51] = 51 // 2

    found = figures_of(image=half, reference=photographs())

    assert found.of_real == pytest.approx(0.25, rel=0.03)


def test_matched_energy_weighs_the_photographs_by_the_pairs_of_classes() -> None:
    found = figures_of(ownership=OWNERSHIP, reference=photographs())

    # The photograph has 0.1 a pair between classes 0 and 1, 0.16 between 1 and 2.
    assert found.between_matched == pytest.approx(0.72 / (4 * 0.1 + 2 * 0.16))


def test_matched_energy_leaves_out_pairs_of_classes_that_no_photograph_shows() -> None:
    reference = SeamEnergy()
    reference.add(IMAGE[:3], REQUESTED[:3])

    found = figures_of(ownership=OWNERSHIP, reference=reference)

    assert found.between_matched == pytest.approx(0.4 / (4 * 0.1))


def test_matched_energy_does_not_ask_which_class_comes_first() -> None:
    found = figures_of(
        image=IMAGE[::-1].copy(),
        requested=REQUESTED[::-1].copy(),
        ownership=OWNERSHIP[::-1].copy(),
        reference=photographs(),
    )

    assert found.between_matched == pytest.approx(1)


def test_classes_between_owners_are_those_delivered() -> None:
    delivered = REQUESTED.copy()
    delivered[:2, 2:] = 4

    found = figures_of(ownership=OWNERSHIP, delivered=delivered)

    assert found.ownership_within is None
    assert found.ownership_between == pytest.approx((0.72 + 2 * 0.04) / 8)
    assert found.label == pytest.approx(0.88 / 7), "asked for, not delivered"


def test_void_neighbours_are_left_out() -> None:
    requested = REQUESTED.copy()
    requested[3, 2:] = VOID

    found = figures_of(requested=requested, ownership=OWNERSHIP)

    assert found.label == found.ownership_between == pytest.approx(0.4 / 4)
    assert found.interior == 0


def test_pixels_of_no_owner_are_left_out() -> None:
    found = figures_of(ownership=np.full((4, 4), -1, np.int32))

    assert (found.ownership, found.interior) == (None, None)
    assert found.label == pytest.approx(0.88 / 7)


def test_one_owner_of_everything_has_no_seams_and_is_judged_by_its_label_borders() -> None:
    found = figures_of(ownership=np.zeros((4, 4), np.int32), reference=photographs())

    assert found.ownership is None
    assert found.of_real == 1


def test_pictures_add_up_in_any_order() -> None:
    generator = np.random.default_rng(1)
    pictures = [
        (
            generator.integers(0, 256, (9, 7, 3), dtype=np.uint8),
            generator.choice(np.array([0, 1, 5, VOID], np.uint8), (9, 7)),
            generator.integers(-1, 4, (9, 7), dtype=np.int32),
        )
        for _ in range(5)
    ]
    one, other = SeamEnergy(), SeamEnergy()
    for picture in pictures:
        one.add(*picture)
    for picture in pictures[::-1]:
        other.add(*picture)

    first, second = one.figures(photographs()), other.figures(photographs())

    for name in Seams.__slots__:
        assert getattr(first, name) == pytest.approx(getattr(second, name), rel=1e-12)


def test_energies_equal_a_slow_loop_over_pixels() -> None:
    generator = np.random.default_rng(2)
    image = generator.integers(0, 256, (8, 11, 3), dtype=np.uint8)
    requested = generator.choice(np.array([0, 1, 5, VOID], np.uint8), (8, 11))
    ownership = generator.integers(-1, 3, (8, 11), dtype=np.int32)

    found = figures_of(image=image, requested=requested, ownership=ownership)

    luma = image @ np.array([0.2126, 0.7152, 0.0722]) / 255
    kinds: dict[str, list[float]] = {"label": [], "between": [], "within": [], "interior": []}
    for y in range(8):
        for x in range(11):
            for v, u in ((y + 1, x), (y, x + 1)):
                if v == 8 or u == 11 or VOID in (requested[y, x], requested[v, u]):
                    continue
                energy = (luma[y, x] - luma[v, u]) ** 2
                same = requested[y, x] == requested[v, u]
                owned = ownership[y, x] >= 0 and ownership[v, u] >= 0
                seam = owned and ownership[y, x] != ownership[v, u]
                if not same:
                    kinds["label"].append(energy)
                if seam:
                    kinds["within" if same else "between"].append(energy)
                if same and owned and not seam:
                    kinds["interior"].append(energy)
    assert found.label == pytest.approx(np.mean(kinds["label"]))
    assert found.ownership_between == pytest.approx(np.mean(kinds["between"]))
    assert found.ownership_within == pytest.approx(np.mean(kinds["within"]))
    assert found.ownership == pytest.approx(np.mean(kinds["between"] + kinds["within"]))
    assert found.interior == pytest.approx(np.mean(kinds["interior"]))


def test_maps_of_another_size_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"ownership must be \(4, 4\) like requested.*\(3, 4\)"):
        figures_of(ownership=OWNERSHIP[:3])
    with pytest.raises(ValueError, match=r"image must be \(4, 4, 3\) like requested.*\(3, 4, 3\)"):
        figures_of(image=IMAGE[:3])
