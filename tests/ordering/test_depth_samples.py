"""Pictures with depth for training: what is kept, what a batch is, and that depth stays true."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.ordering.depth_samples import (
    DepthPicture,
    DepthSamples,
    DepthSettings,
    hash_of_depth,
    read_depth_pictures,
    render_depth_pictures,
    view_depth,
)

SIZE_HW = (32, 64)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("town") / "town"
    write_dataset(folder, count=3, seed=4, size_hw=(96, 192))
    return folder


def grey(level: int, size_hw: tuple[int, int] = (48, 96)) -> DepthPicture:
    """Return a picture of one grey that is 1 + column metres deep."""
    columns = 1 + np.arange(size_hw[1], dtype=np.float32)
    return DepthPicture(
        np.full((*size_hw, 3), level, np.uint8), np.broadcast_to(columns, size_hw).copy()
    )


def samples(others: int = 1, **settings: float) -> DepthSamples:
    return DepthSamples(
        [grey(200)],
        [grey(30)] * others,
        SIZE_HW,
        DepthSettings(**settings),  # type: ignore[arg-type]
        batch_size=400,
        seed=1,
    )


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    first, second, again = (samples().batch(number) for number in (1, 2, 1))

    assert torch.equal(first.images, again.images)
    assert torch.equal(first.depth_m, again.depth_m)
    assert not torch.equal(first.images, second.images)


def test_a_batch_has_depth_at_half_the_size() -> None:
    batch = samples().batch(1)

    assert batch.images.shape == (400, 3, 32, 64)
    assert batch.images.dtype == torch.float32
    assert 0 <= float(batch.images.min()) <= float(batch.images.max()) <= 1
    assert batch.depth_m.shape == (400, 16, 32)


def test_the_share_of_toytown_is_kept() -> None:
    batch = samples(toytown_share=0.3).batch(1)

    dark = (batch.images.mean(dim=(1, 2, 3)) < 0.4).float().mean()

    assert 0.2 < float(dark) < 0.4


def test_cuts_have_the_ratio_of_the_view_and_mirrors_turn_depth_too() -> None:
    batch = DepthSamples(
        [grey(100, (60, 60))], [], SIZE_HW, DepthSettings(zoom=1.0), batch_size=20, seed=0
    ).batch(1)

    # All columns of a square picture and a half of its rows: columns step by 60 / 32 metres.
    steps = batch.depth_m[:, 0].diff(dim=1)
    assert {round(abs(float(step)), 1) for step in steps.mean(dim=1)} <= {1.8, 1.9}
    assert bool((steps.mean(dim=1) > 0).any())
    assert bool((steps.mean(dim=1) < 0).any())


def test_depth_is_never_a_mean() -> None:
    depth_m = np.where(np.arange(96) < 48, 1.0, 9.0).astype(np.float32)
    picture = DepthPicture(
        np.zeros((48, 96, 3), np.uint8), np.broadcast_to(depth_m, (48, 96)).copy()
    )

    batch = DepthSamples([picture], [], SIZE_HW, DepthSettings(), batch_size=50, seed=0).batch(1)

    assert set(batch.depth_m.unique().tolist()) == {1.0, 9.0}


def test_photographs_are_kept_a_bit_larger_than_they_are_seen(town: Path) -> None:
    reader = open_dataset(town)
    entries = reader.entries()

    pictures = read_depth_pictures(reader, entries, SIZE_HW)

    assert [picture.image.shape for picture in pictures] == [(48, 96, 3)] * 3
    full = reader.read(entries[0]).layout.depth_m
    assert full is not None
    assert np.array_equal(pictures[0].depth_m, full[1::2, 1::2])


def test_scenes_are_of_the_seed() -> None:
    one, again = (render_depth_pictures(2, 7, SIZE_HW) for _ in range(2))

    assert hash_of_depth(one) == hash_of_depth(again)
    assert hash_of_depth(one[:1]) != hash_of_depth(one[1:])
    assert one[0].image.shape == (48, 96, 3)
    assert (one[0].depth_m > 0).any()


def test_for_measuring_pictures_are_whole() -> None:
    batch = view_depth([grey(51)], SIZE_HW)

    assert torch.allclose(batch.images, torch.tensor(0.2))
    assert batch.depth_m[0, 0, [0, -1]].tolist() == [2, 95]


def test_a_photograph_without_depth_is_refused(town: Path, tmp_path: Path) -> None:
    for part in ("images", "labels", "classes.json"):
        (tmp_path / part).symlink_to(town / part)
    reader = open_dataset(tmp_path)

    with pytest.raises(DatasetError, match=r"has no depth map; .* depth/NAME.png \(16 bits"):
        read_depth_pictures(reader, reader.entries(), SIZE_HW)


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="there are no pictures to train on"):
        DepthSamples([], [], SIZE_HW, DepthSettings(), batch_size=1, seed=0)
    with pytest.raises(ValueError, match="batch_size is 0, expected at least 1"):
        DepthSamples([grey(1)], [], SIZE_HW, DepthSettings(), batch_size=0, seed=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("toytown_scenes", -1, "toytown_scenes is -1, expected at least 0"),
        ("toytown_share", 1.0, "toytown_share is 1.0, expected 0 to below 1"),
        ("zoom", 0.0, "zoom is 0.0, expected a share"),
        ("invariance", 1.5, "invariance is 1.5, expected 0 to 1"),
        ("gradient_weight", -1.0, "gradient_weight is -1.0, expected at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DepthSettings(**{name: value})  # type: ignore[arg-type]
