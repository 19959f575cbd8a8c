"""Pairs for training: what is read of photographs, and what a batch is."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.ordering.pair_labels import PairLabel
from scenequilt.ordering.samples import (
    PairPicture,
    PairSamples,
    PairSettings,
    hash_of_pairs,
    read_pairs,
    render_pairs,
)
from scenequilt.ordering.view import RegionMap, ViewSettings

VIEW = ViewSettings(size_hw=(32, 32), around="picture")
SMALL = PairSettings(min_area_share=0.002)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("town") / "town"
    write_dataset(folder, count=4, seed=4, size_hw=(96, 192))
    return folder


def picture(*labels: PairLabel) -> PairPicture:
    """Return a picture whose left half is query 0, of class 0, and whose right half is query 1."""
    regions = np.zeros((64, 64), np.int16)
    regions[:, 32:] = 1
    boxes = {0: (0, 0, 64, 32), 1: (0, 32, 64, 64)}
    areas_px = {0: 2048, 1: 2048}
    return PairPicture("p", RegionMap(regions.astype(np.uint8), regions, boxes, areas_px), labels)


def samples(
    *labels: PairLabel, batch_size: int = 64, settings: PairSettings = SMALL
) -> PairSamples:
    return PairSamples([picture(*labels)], VIEW, settings, batch_size=batch_size, seed=5)


def test_a_batch_depends_on_seed_and_number_alone() -> None:
    label = PairLabel(0, 1, 1.0, "depth")
    batches = [samples(label).batch(number) for number in (1, 2, 1)]

    for name in ("masks", "label_map", "places", "extents", "outline_logits", "in_front", "weight"):
        assert torch.equal(getattr(batches[0], name), getattr(batches[2], name))
    assert not torch.equal(batches[0].places, batches[1].places)


def test_a_batch_shows_its_pairs() -> None:
    batch = samples(PairLabel(0, 1, 1.0, "depth"), PairLabel(1, 0, 0.0, "depth")).batch(1)

    # Class 0 is the left half, query 0, which is in front.
    assert torch.equal(batch.masks[:, 0] ^ batch.masks[:, 1], batch.masks.any(dim=1))
    for seen, masks, in_front in zip(batch.label_map, batch.masks, batch.in_front, strict=True):
        assert bool((seen[masks[0]] == (0 if in_front == 1 else 1)).all())


def test_pairs_known_by_the_layout_count_less() -> None:
    settings = PairSettings(layout_weight=0.25)
    batch = samples(
        PairLabel(0, 1, 1.0, "depth"), PairLabel(0, 1, 0.9, "layout"), settings=settings
    ).batch(1)

    sure = (batch.in_front == 0) | (batch.in_front == 1)
    assert torch.equal(batch.weight, torch.where(sure, 1.0, 0.25))


def test_every_pair_is_as_likely() -> None:
    labels = [PairLabel(0, 1, chance, "layout") for chance in (0.6, 0.7, 0.8, 0.9)]
    batch = samples(*labels, batch_size=2000).batch(1)

    sure = torch.maximum(batch.in_front, 1 - batch.in_front)
    counts = Counter(round(float(value), 3) for value in sure)
    assert set(counts) == {0.6, 0.7, 0.8, 0.9}
    assert max(counts.values()) < 1.25 * min(counts.values())


def test_pairs_of_a_town_are_known_exactly(town: Path) -> None:
    reader = open_dataset(town)

    pictures = read_pairs(reader, reader.entries(), SMALL)

    truths = Counter(label.truth for each in pictures for label in each.labels)
    assert len(pictures) == 4
    assert truths["occlusion"] > truths["layout"] > 0
    same = [
        label
        for each in pictures
        for label in each.labels
        if each.region_map.label_map[each.region_map.regions == label.first][0]
        == each.region_map.label_map[each.region_map.regions == label.second][0]
    ]
    assert same


def test_weak_pairs_can_be_left_out(town: Path) -> None:
    reader = open_dataset(town)

    pictures = read_pairs(
        reader, reader.entries(), PairSettings(min_area_share=0.002, layout_weight=0)
    )

    assert {label.truth for each in pictures for label in each.labels} <= {
        "occlusion",
        "rule",
        "depth",
    }


def test_depth_is_asked_for_where_there_is_none(town: Path, tmp_path: Path) -> None:
    class Slope:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def depth(self, source_id: str, image: NDArray[np.uint8]) -> NDArray[np.float32]:
            self.asked.append(source_id)
            rows = np.linspace(30, 2, image.shape[0], dtype=np.float32)
            return np.broadcast_to(rows[:, None], image.shape[:2])

    for part in ("images", "labels", "classes.json"):
        (tmp_path / part).symlink_to(town / part)
    reader, slope = open_dataset(tmp_path), Slope()

    pictures = read_pairs(reader, reader.entries(), SMALL, depth=slope)

    assert slope.asked == [entry.source_id for entry in reader.entries()]
    assert any(label.truth == "depth" for each in pictures for label in each.labels)


def test_large_pictures_are_kept_smaller(town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenequilt.ordering.samples.KEPT_LINES", 48)
    reader = open_dataset(town)

    pictures = read_pairs(reader, reader.entries(), SMALL)

    for each in pictures:
        region_map = each.region_map
        assert region_map.label_map.shape == (48, 96)
        for label in each.labels:
            for number in (label.first, label.second):
                top, left, bottom, right = region_map.boxes[number]
                inside = region_map.regions[top:bottom, left:right] == number
                assert np.count_nonzero(inside) == region_map.areas_px[number]
                assert np.count_nonzero(region_map.regions == number) == region_map.areas_px[number]
                assert inside[0].any() and inside[:, 0].any()


def camvid_like() -> Taxonomy:
    names = ["pole", "tree", "sign_symbol", "road", "sky", "building", "pedestrian", "car"]
    things = {"pole", "sign_symbol", "pedestrian", "car"}
    return Taxonomy(
        "camvid",
        tuple(
            ClassInfo(number, name, (number, 0, 0), "thing" if name in things else "stuff")
            for number, name in enumerate(names)
        ),
    )


def test_scenes_of_toytown_come_in_the_classes_of_a_dataset() -> None:
    settings = PairSettings(min_area_share=0.002, toytown_scenes=2, layout_weight=0)

    pictures = render_pairs(camvid_like(), settings, seed=1)

    labels = [label for each in pictures for label in each.labels]
    exact = [label for label in labels if label.truth == "occlusion"]
    assert len(pictures) == 2
    assert len(exact) > len(labels) / 2
    assert set(np.unique(pictures[0].region_map.label_map)) <= {*range(8), 255}
    # Trees are there, and pavements, which the dataset has no class for, are void.
    assert (pictures[0].region_map.label_map == 1).any()
    assert (pictures[0].region_map.label_map == 255).mean() > 0.01
    assert hash_of_pairs(pictures) == hash_of_pairs(render_pairs(camvid_like(), settings, seed=1))


def test_a_share_of_the_pairs_is_of_the_scenes() -> None:
    batch = PairSamples(
        [picture(PairLabel(0, 1, 1.0, "depth"))],
        VIEW,
        PairSettings(toytown_share=0.25),
        batch_size=400,
        seed=0,
        others=[picture(PairLabel(0, 1, 0.0, "occlusion"))],
    ).batch(1)

    assert 0.7 < float(batch.in_front.mean()) < 0.8


def test_rooms_have_no_scenes_of_toytown() -> None:
    rooms = Taxonomy("rooms", (ClassInfo(0, "wall", (0, 0, 0), "stuff"),))

    with pytest.raises(ValueError, match="is 5, but only 0 of the classes of 'rooms' are found in"):
        render_pairs(rooms, PairSettings(toytown_scenes=5), seed=0)


def test_the_hash_is_of_regions_and_labels() -> None:
    one, other = PairLabel(0, 1, 1.0, "depth"), PairLabel(0, 1, 0.0, "depth")

    assert hash_of_pairs([picture(one)]) == hash_of_pairs([picture(one)])
    assert hash_of_pairs([picture(one)]) != hash_of_pairs([picture(other)])


def test_photographs_without_pairs_are_refused(town: Path) -> None:
    reader = open_dataset(town)

    with pytest.raises(DatasetError, match="none of 4 photographs .* 90.00% of the picture; lower"):
        read_pairs(reader, reader.entries(), PairSettings(min_area_share=0.9))


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="there are no pairs to train on"):
        PairSamples([], VIEW, SMALL, batch_size=1, seed=0)
    with pytest.raises(ValueError, match="batch_size is 0, expected at least 1"):
        samples(PairLabel(0, 1, 1.0, "depth"), batch_size=0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("min_area_share", 1.0, "min_area_share is 1.0, expected 0 to below 1"),
        ("nearer_by", 1.0, "nearer_by is 1.0, expected a ratio above 1"),
        ("layout_weight", 2.0, "layout_weight is 2.0, expected 0 to 1"),
        ("zoom", 0.0, r"zoom is 0.0, expected a share in \(0, 1\]"),
        ("toytown_scenes", -1, "toytown_scenes is -1, expected at least 0"),
        ("toytown_share", 1.0, "toytown_share is 1.0, expected 0 to below 1"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PairSettings(**{name: value})  # type: ignore[arg-type]
