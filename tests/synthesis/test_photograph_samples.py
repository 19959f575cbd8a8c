"""Pieces of labelled photographs: all maps cut alike, depending on seed and number alone."""

import pickle
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.synthesis.photograph_samples import (
    PhotographBatches,
    PhotographSampleSettings,
    Piece,
    as_photograph_batch,
    cut_piece,
)

TAXONOMY = Taxonomy(
    "many",
    tuple(ClassInfo(number, f"class{number}", (0, 0, number), "thing") for number in range(4)),
)
SETTINGS = PhotographSampleSettings(crop_hw=(32, 48), enlarge=1.5)


class Photographs:
    """Photographs in which each place's colours, labels and numbers say the same."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.sizes = sizes
        self.seen: list[int] = []

    def __len__(self) -> int:
        return len(self.sizes)

    def read(self, place: int) -> tuple[NDArray[np.uint8], Layout]:
        self.seen.append(place)
        height, width = self.sizes[place]
        rows, columns = np.mgrid[:height, :width]
        labels = ((rows // 24 + columns // 24) % 4).astype(np.uint8)
        image = np.stack([labels * 60] * 3, axis=-1).astype(np.uint8)
        return image, Layout(labels, (labels + 1).astype(np.int32), TAXONOMY)


def test_what_is_cut_belongs_together() -> None:
    image, layout = Photographs([(96, 144)]).read(0)

    piece = cut_piece(image, layout, SETTINGS, np.random.default_rng(3))

    assert piece.image.shape == (32, 48, 3) and piece.label_map.shape == (32, 48)
    assert (piece.instance_map == piece.label_map + 1).all()
    # Bicubic filters blur across borders, and overshoot beside them.
    apart = np.abs(piece.image[..., 0].astype(int) - 60 * piece.label_map)
    assert np.median(apart) <= 2


@pytest.mark.parametrize("size", [(32, 48), (20, 100), (100, 20), (33, 47)])
def test_photographs_of_any_size_give_a_piece(size: tuple[int, int]) -> None:
    image, layout = Photographs([size]).read(0)

    piece = cut_piece(image, layout, SETTINGS, np.random.default_rng(0))

    assert piece.label_map.shape == (32, 48)


def test_without_changes_a_photograph_of_the_size_of_the_piece_stays_as_it_is() -> None:
    image, layout = Photographs([(32, 48)]).read(0)
    plain = PhotographSampleSettings(crop_hw=(32, 48), mirror=False)

    piece = cut_piece(image, layout, plain, np.random.default_rng(0))

    assert (piece.image == image).all() and (piece.label_map == layout.label_map).all()


def test_half_of_the_pieces_are_mirrored() -> None:
    image, layout = Photographs([(32, 48)]).read(0)
    settings = PhotographSampleSettings(crop_hw=(32, 48))
    rng = np.random.default_rng(0)

    mirrored = 0
    for _ in range(100):
        piece = cut_piece(image, layout, settings, rng)
        mirrored += bool((piece.label_map == layout.label_map[:, ::-1]).all())

    assert 35 < mirrored < 65


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    def batches(seed: int) -> PhotographBatches:
        source = Photographs([(64, 80), (48, 72)])
        return PhotographBatches(source, SETTINGS, batch_size=2, seed=seed)

    first, again, other = batches(1), batches(1), batches(2)
    first.batch(1)

    assert first.batch(5).photograph.equal(again.batch(5).photograph)
    assert not first.batch(5).photograph.equal(other.batch(5).photograph)
    assert first.batch(5).number == 5


def test_every_photograph_is_seen_once_before_one_is_seen_twice() -> None:
    source = Photographs([(40, 60)] * 5)
    batches = PhotographBatches(source, SETTINGS, batch_size=2, seed=0)

    for number in range(1, 6):
        batches.batch(number)

    assert sorted(source.seen[:5]) == sorted(source.seen[5:]) == [0, 1, 2, 3, 4]


def _inverted(piece: Piece, rng: np.random.Generator) -> Mapping[str, NDArray[np.generic]]:
    return {"inverted": 255 - piece.image.transpose(2, 0, 1)}


def test_what_is_made_of_a_piece_goes_along() -> None:
    source = Photographs([(40, 60)])
    batches = PhotographBatches(source, SETTINGS, extra=_inverted, batch_size=2)

    batch = pickle.loads(pickle.dumps(batches)).batch(1)

    assert batch.extra["inverted"].equal(255 - batch.photograph)


def test_conditions_have_void_last_and_instances() -> None:
    labels = np.array([[0, VOID]], np.uint8)
    piece = Piece(np.zeros((1, 2, 3), np.uint8), labels, np.array([[7, 0]], np.int32))

    conditions = as_photograph_batch([piece], [{}]).conditions(2)

    assert conditions.layout[0, :, 0].T.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert conditions.instances is not None
    assert conditions.instances.tolist() == [[[7, 0]]]


def test_a_photograph_goes_to_unit_range() -> None:
    piece = Piece(
        np.full((1, 1, 3), 255, np.uint8), np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.int32)
    )

    assert as_photograph_batch([piece], [{}]).real.equal(torch.ones(1, 3, 1, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop_hw": (31, 64)}, r"crop_hw must be at least 32 pixels a side, got \(31, 64\)"),
        ({"enlarge": 0.9}, "enlarge is 0.9, expected at least 1"),
    ],
)
def test_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PhotographSampleSettings(**settings)  # type: ignore[arg-type]


def test_no_photographs_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no photographs to learn from"):
        PhotographBatches(Photographs([]), SETTINGS, batch_size=1)
