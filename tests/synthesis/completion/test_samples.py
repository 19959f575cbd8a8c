"""Batches of coarse and dense layouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.completion.coarse import CoarseSettings
from scenequilt.synthesis.completion.nearest import nearest_labels
from scenequilt.synthesis.completion.samples import (
    CompletionBatches,
    CompletionSampleSettings,
    layout_piece,
)


@dataclass
class Listed:
    """Layouts in a list, and how often each was read."""

    layouts: Sequence[Layout]

    def __post_init__(self) -> None:
        self.reads = [0] * len(self.layouts)

    def __len__(self) -> int:
        return len(self.layouts)

    def read(self, place: int) -> Layout:
        """Return the layout at a place."""
        self.reads[place] += 1
        return self.layouts[place]


SMALL = CompletionSampleSettings(size_hw=(32, 64))
WHOLE = CompletionSampleSettings(size_hw=(64, 128), least_share=1.0, mirror=False)


def _plain(class_id: int, taxonomy: Taxonomy) -> Layout:
    label_map = np.full((64, 128), class_id, np.uint8)
    return Layout(label_map, np.zeros(label_map.shape, np.int32), taxonomy)


def test_a_batch_is_of_the_asked_size_and_a_coarse_version_of_its_truth(street: Layout) -> None:
    batches = CompletionBatches(Listed([street]), SMALL, CoarseSettings(), batch_size=3)

    batch = batches.batch(1)

    for maps in (batch.coarse, batch.nearest, batch.truth):
        assert maps.shape == (3, 32, 64)
        assert maps.dtype == torch.uint8
    given = batch.coarse != VOID
    assert 0.2 < given.float().mean() < 0.95
    assert (batch.coarse == batch.truth)[given].float().mean() > 0.95
    for coarse, nearest in zip(batch.coarse, batch.nearest, strict=True):
        np.testing.assert_array_equal(nearest.numpy(), nearest_labels(coarse.numpy()))


def test_a_batch_depends_on_seed_and_number_alone(street: Layout) -> None:
    def batches(seed: int) -> CompletionBatches:
        layouts = Listed([street, street])
        return CompletionBatches(layouts, SMALL, CoarseSettings(), batch_size=2, seed=seed)

    first = batches(1)
    first.batch(1)

    assert torch.equal(first.batch(2).coarse, batches(1).batch(2).coarse)
    assert not torch.equal(first.batch(2).coarse, first.batch(3).coarse)
    assert not torch.equal(first.batch(2).coarse, batches(2).batch(2).coarse)


def test_every_layout_is_seen_once_before_one_is_seen_twice(taxonomy: Taxonomy) -> None:
    layouts = Listed([_plain(class_id, taxonomy) for class_id in (0, 1, 2)])
    batches = CompletionBatches(layouts, WHOLE, CoarseSettings(), batch_size=2)

    seen = [int(truth[0, 0]) for number in (1, 2, 3) for truth in batches.batch(number).truth]

    assert sorted(seen[:3]) == [0, 1, 2]
    assert sorted(seen[3:]) == [0, 1, 2]


def test_layouts_are_kept_as_long_as_there_is_room(street: Layout) -> None:
    kept, reread = Listed([street]), Listed([street])
    room_bytes = street.label_map.nbytes + street.instance_map.nbytes

    for layouts, limit in ((kept, room_bytes), (reread, room_bytes - 1)):
        batches = CompletionBatches(
            layouts, SMALL, CoarseSettings(), batch_size=4, limit_bytes=limit
        )
        batches.batch(1)

    assert (kept.reads, reread.reads) == ([1], [4])


def test_no_layouts_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no layouts to learn from, expected at least 1"):
        CompletionBatches(Listed([]), SMALL, CoarseSettings(), batch_size=1)


def test_a_whole_piece_is_the_layout(street: Layout) -> None:
    piece = layout_piece(street, WHOLE, np.random.default_rng(0))

    np.testing.assert_array_equal(piece.label_map, street.label_map)
    np.testing.assert_array_equal(piece.instance_map, street.instance_map)


def test_half_of_the_pieces_are_mirrored(street: Layout) -> None:
    settings = CompletionSampleSettings(size_hw=(64, 128), least_share=1.0)
    rng = np.random.default_rng(0)

    pieces = [layout_piece(street, settings, rng).label_map for _ in range(40)]

    straight = sum(np.array_equal(piece, street.label_map) for piece in pieces)
    mirrored = sum(np.array_equal(piece, street.label_map[:, ::-1]) for piece in pieces)
    assert straight + mirrored == 40
    assert 10 < mirrored < 30


def test_pieces_of_another_shape_are_cut_not_squeezed(taxonomy: Taxonomy) -> None:
    label_map = np.full((60, 120), VOID, np.uint8)
    label_map[:, ::2] = 1
    layout = Layout(label_map, np.zeros((60, 120), np.int32), taxonomy)
    settings = CompletionSampleSettings(size_hw=(60, 60), least_share=1.0, mirror=False)

    piece = layout_piece(layout, settings, np.random.default_rng(0)).label_map

    # Columns go on alternating: none was left out, and the height is whole.
    assert (piece[:, 1:] != piece[:, :-1]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size_hw": (0, 4)}, r"size_hw is \(0, 4\), expected height and width of at least 1"),
        ({"least_share": 0.0}, "least_share is 0.0, expected above 0, at most 1"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompletionSampleSettings(**change)
