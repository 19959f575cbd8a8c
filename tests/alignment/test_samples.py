"""Pairs to learn from: what is drawn, what the network would have to answer, and what is refused."""

import pickle
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scenequilt.alignment.affine import identity, scaling, take_apart, transform
from scenequilt.alignment.network import warp
from scenequilt.alignment.objective import soft_iou
from scenequilt.alignment.samples import AlignmentSamples, PairSettings, draw_displacement
from scenequilt.alignment.view import ViewSettings
from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.interface import DatasetReader
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.toytown import write_dataset

STILL = PairSettings(
    scale=(1, 1), stretch=1, shear=0, rotation_deg=0, shift=0, crop=0, min_area=0.01, real_share=0
)
"""Nothing is displaced, nothing cropped."""

VIEW = ViewSettings(size_hw=(32, 64))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Toytown in 12 pictures of 48x96 and a bank of it."""
    folder = tmp_path_factory.mktemp("town")
    write_dataset(folder / "town", count=12, seed=3, size_hw=(48, 96))
    build_bank(open_dataset(folder / "town"), folder / "bank", min_area_px=12)
    yield folder


@pytest.fixture(scope="module")
def reader(town: Path) -> DatasetReader:
    return open_dataset(town / "town")


def samples(
    reader: DatasetReader, pairs: PairSettings, *, batch_size: int = 6, bank: Path | None = None
) -> AlignmentSamples:
    return AlignmentSamples(
        reader,
        reader.entries(None),
        batch_size=batch_size,
        seed=5,
        view=VIEW,
        settings=pairs,
        bank=bank,
    )


def test_with_all_ranges_zero_nothing_is_displaced() -> None:
    random = np.random.default_rng(0)

    np.testing.assert_allclose(draw_displacement((3, 5, 20, 40), STILL, random), identity())


def test_a_scale_holds_the_middle_of_the_box() -> None:
    doubled = replace(STILL, scale=(2, 2))

    drawn = draw_displacement((10, 20, 30, 60), doubled, np.random.default_rng(0))

    np.testing.assert_allclose(drawn, scaling(2, 2, (40, 20)))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_displacements_stay_within_their_ranges(seed: int, strength: float) -> None:
    pairs = PairSettings()
    box = (10, 20, 30, 60)

    drawn = draw_displacement(box, pairs, np.random.default_rng(seed), strength)

    ((x, y),) = transform(drawn, np.array([[40.0, 20.0]])).tolist()
    assert abs(x - 40) <= strength * 0.1 * 40 + 1e-9
    assert abs(y - 20) <= strength * 0.1 * 20 + 1e-9
    parts = take_apart(drawn)
    assert 0.85 - 1e-9 <= parts.scale <= 1.15 + 1e-9
    # A shear of s turns by about s / 2 and stretches by about 1 + s.
    assert abs(np.degrees(parts.rotation_rad)) <= 5 + np.degrees(0.05)
    assert parts.stretch <= 1.1 * 1.06
    assert not parts.mirrored


def test_of_strength_zero_nothing_is_displaced() -> None:
    drawn = draw_displacement((3, 5, 20, 40), PairSettings(), np.random.default_rng(0), 0.0)

    np.testing.assert_allclose(drawn, identity(), atol=1e-12)


def test_a_pair_that_is_not_displaced_is_its_own_target(reader: DatasetReader) -> None:
    batch = samples(reader, STILL).batch(1)

    torch.testing.assert_close(batch.color, batch.target)
    torch.testing.assert_close(batch.segment_mask, batch.query_mask)
    assert batch.displaced.tolist() == [1] * 6
    assert (batch.color * (1 - batch.query_mask)).abs().max() == 0


def test_the_map_that_displaced_is_the_one_to_answer(reader: DatasetReader) -> None:
    """Enlarged by 1.2 about the middle of the view: the network has to say 1.2."""
    batch = samples(reader, replace(STILL, scale=(1.2, 1.2))).batch(1)

    theta = 1.2 * torch.eye(2, 3).expand(6, 2, 3)
    before = soft_iou(batch.segment_mask * batch.inside, batch.query_mask)
    after = soft_iou(warp(batch.segment_mask, theta) * batch.inside, batch.query_mask)
    assert (after > before).all()
    assert after.mean() > 0.93


def test_a_cropped_segment_lacks_a_strip_and_its_query_does_not(reader: DatasetReader) -> None:
    whole = samples(reader, STILL).batch(1)
    batch = samples(reader, replace(STILL, crop=0.2)).batch(1)

    shares = batch.segment_mask.sum(dim=(1, 2, 3)) / batch.query_mask.sum(dim=(1, 2, 3))
    assert ((shares > 0.5) & (shares <= 1)).all() and shares.min() < 0.98
    assert (batch.segment_mask <= batch.query_mask).all()
    assert whole.color.shape == batch.color.shape == (6, 3, 32, 64)


def test_the_number_of_a_batch_is_all_that_it_depends_on(reader: DatasetReader, town: Path) -> None:
    source = samples(reader, PairSettings(min_area=0.01), bank=town / "bank")
    first, _ = source.batch(1), source.batch(2)
    again = pickle.loads(pickle.dumps(source)).batch(1)

    for field in fields(first):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name)), field.name
    assert not torch.equal(source.batch(2).color, first.color)


def test_batches_are_what_the_network_takes(reader: DatasetReader, town: Path) -> None:
    batch = samples(reader, PairSettings(min_area=0.01), bank=town / "bank").batch(3)

    for mask in (batch.segment_mask, batch.query_mask, batch.inside):
        assert mask.shape == (6, 1, 32, 64)
        assert set(mask.unique().tolist()) <= {0, 1}
    assert 0 <= batch.color.min() and 0.2 < batch.color.max() <= 1
    labels = batch.label_map[batch.query_mask[:, 0] > 0]
    assert labels.max() < len(reader.taxonomy)
    assert (batch.label_map[batch.inside[:, 0] == 0] == 255).all()


def test_real_pairs_are_of_other_photographs(reader: DatasetReader, town: Path) -> None:
    """Where they are not displaced, their colours are not those of their own photograph."""
    pairs = replace(STILL, real_share=1.0)

    batch = samples(reader, pairs, batch_size=16, bank=town / "bank").batch(1)
    own = samples(reader, STILL, batch_size=16).batch(1)

    assert batch.displaced.sum() < 4, "almost every region has a segment in the bank"
    real = batch.displaced == 0
    assert batch.target[real].abs().max() == 0
    iou = soft_iou(batch.segment_mask * batch.inside, batch.query_mask)[real]
    assert 0.3 < iou.mean() < 0.999
    assert own.displaced.all()


def test_settings_that_cannot_be_are_refused() -> None:
    for values, message in (
        ({"scale": (1.1, 0.9)}, r"scale is \(1.1, 0.9\), expected two positive factors"),
        ({"stretch": 0.5}, r"stretch is 0.5, expected at least 1"),
        ({"crop": 1.0}, r"crop is 1.0, expected 0 to 1"),
        ({"rotation_deg": 90}, r"rotation_deg is 90, expected 0 to 90"),
        ({"real_share": 1.5}, r"real_share is 1.5, expected 0 to 1"),
        ({"candidates": 0}, r"candidates is 0, expected at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            PairSettings(**values)


def test_what_gives_no_pairs_is_refused(reader: DatasetReader) -> None:
    with pytest.raises(ValueError, match=r"real_share is 0.5, but there is no bank.*--bank"):
        samples(reader, PairSettings())
    with pytest.raises(ValueError, match=r"batch_size is 0, expected at least 1"):
        samples(reader, STILL, batch_size=0)
    with pytest.raises(ValueError, match=r"no photographs to make pairs of"):
        AlignmentSamples(reader, [], batch_size=1, seed=0, view=VIEW, settings=STILL)
    with pytest.raises(ValueError, match=r"none of 12 photographs gives a pair.*min_area 0.99"):
        samples(reader, replace(STILL, min_area=0.99)).batch(1)


def test_a_shift_is_drawn_in_boxes() -> None:
    wide = replace(STILL, shift=0.5)

    moved = [
        draw_displacement((0, 0, 10, 100), wide, np.random.default_rng(seed)) for seed in range(99)
    ]

    shifts = np.abs([matrix[:, 2] for matrix in moved])
    np.testing.assert_allclose([matrix[:, :2] for matrix in moved], [np.eye(2)] * 99, atol=1e-12)
    assert 40 < shifts[:, 0].max() <= 50 and 4 < shifts[:, 1].max() <= 5
