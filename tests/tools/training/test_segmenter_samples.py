"""Samples for a segmenter: where they come from, and what becomes of them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scenequilt.memory_bank.datasets.interface import Entry, LabelledPhotograph
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.tools.training.segmenter_samples import (
    Augmentation,
    CheckedSamples,
    DatasetSamples,
    InMemorySamples,
    SegmenterBatches,
    augment,
    divide_entries,
    recolor,
    survey_samples,
)

WHOLE = Augmentation(crop_hw=(48, 64), scale_range=(1, 1), color_jitter=0)


class CountingSamples:
    """Samples that know how often they were read."""

    def __init__(self, sizes: list[tuple[int, int]]) -> None:
        self.sizes = sizes
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(self.sizes)

    def read(self, place: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        self.reads.append(place)
        image = np.full((*self.sizes[place], 3), place % 256, np.uint8)
        return image, np.zeros(self.sizes[place], np.uint8)


class ListedReader:
    """A dataset that is its list of entries."""

    form = "listed"

    def __init__(self, taxonomy: Taxonomy, *names: str) -> None:
        self.taxonomy = taxonomy
        self._entries = []
        for name in names:
            split, sequence, _ = name.split("/")
            path = Path(f"{name}.png")
            self._entries.append(Entry(name, path, path, split=split, sequence=sequence))

    def entries(self, split: str | None = None) -> list[Entry]:
        return [entry for entry in self._entries if split in (None, entry.split)]

    def files(self, entry: Entry) -> list[Path]:
        return []

    def read(self, entry: Entry) -> LabelledPhotograph:
        place = self._entries.index(entry)
        layout = Layout(np.full((2, 3), place, np.uint8), np.zeros((2, 3), np.int32), self.taxonomy)
        return LabelledPhotograph(entry, np.full((2, 3, 3), 10 * place, np.uint8), layout)


@pytest.fixture
def reader(taxonomy: Taxonomy) -> ListedReader:
    return ListedReader(taxonomy, "train/north/1", "train/south/2", "val/south/3")


def names(entries: list[Entry]) -> list[str]:
    return [entry.source_id for entry in entries]


def test_a_dataset_is_read_place_by_place(reader: ListedReader) -> None:
    samples = DatasetSamples(reader, reader.entries())

    image, label_map = samples.read(2)

    assert len(samples) == 3
    assert (image[0, 0].tolist(), label_map[0, 0]) == ([20, 20, 20], 2)


def test_as_many_label_maps_as_images_are_needed() -> None:
    with pytest.raises(ValueError, match="must be of one number, got 1 and 0"):
        InMemorySamples([np.zeros((4, 4, 3), np.uint8)], [])


def test_a_sequence_that_is_validated_on_is_not_trained_on(reader: ListedReader) -> None:
    training, validation = divide_entries(reader, validate_sequence="south")

    assert names(training) == ["train/north/1"]
    assert names(validation) == ["train/south/2", "val/south/3"]


def test_a_split_that_is_validated_on_is_not_trained_on(reader: ListedReader) -> None:
    training, validation = divide_entries(reader, validate_split="val")

    assert names(training) == ["train/north/1", "train/south/2"]
    assert names(validation) == ["val/south/3"]


def test_excluded_sequences_and_other_splits_are_not_trained_on(reader: ListedReader) -> None:
    training, validation = divide_entries(reader, split="train", exclude_sequence=["north"])

    assert (names(training), validation) == (["train/south/2"], [])


def test_what_cannot_be_divided_is_refused_with_what_there_is(reader: ListedReader) -> None:
    with pytest.raises(ValueError, match="'val' is trained on, so it cannot be validated on"):
        divide_entries(reader, split="val", validate_split="val")
    with pytest.raises(DatasetError, match="no sequence 'west' to validate on; there are: north, "):
        divide_entries(reader, validate_sequence="west")
    with pytest.raises(DatasetError, match="no sequence 'west' to exclude"):
        divide_entries(reader, exclude_sequence=["west"])
    with pytest.raises(DatasetError, match="nothing is left to train on: all 1 photographs"):
        divide_entries(reader, split="val", validate_sequence="south")


def test_what_fits_into_memory_is_read_once() -> None:
    source = CountingSamples([(8, 8), (8, 8), (8, 8)])
    samples = CheckedSamples(source, 3, limit_bytes=2 * 8 * 8 * 4)

    for place in (0, 1, 2, 0, 1, 2):
        image, _ = samples.read(place)
        assert image[0, 0, 0] == place

    assert source.reads == [0, 1, 2, 2]


def test_samples_that_are_none_are_refused_by_number() -> None:
    image, label_map = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)
    unknown = label_map.copy()
    unknown[1, 1] = 3

    with pytest.raises(ValueError, match=r"sample 0: image must be \(H, W, 3\) uint8, got .*float"):
        CheckedSamples(InMemorySamples([image.astype(float)], [label_map]), 3).read(0)
    with pytest.raises(ValueError, match=r"sample 0: label map must be \(4, 6\) uint8"):
        CheckedSamples(InMemorySamples([image], [label_map.T]), 3).read(0)
    with pytest.raises(ValueError, match="holds class id 3, but there are 3 classes; use 255"):
        CheckedSamples(InMemorySamples([image], [unknown]), 3).read(0)


def test_a_survey_counts_every_pixel_once() -> None:
    first = np.array([[0, 0, 1], [VOID, 1, 1]], np.uint8)
    second = np.array([[1]], np.uint8)
    maps = [first, second, first]
    images = [np.zeros((*label_map.shape, 3), np.uint8) for label_map in maps]

    survey = survey_samples(InMemorySamples(images, maps), 3)

    assert (survey.photographs, survey.surveyed, survey.size_hw) == (3, 3, (2, 3))
    assert survey.class_pixels.tolist() == [4, 7, 0]
    assert survey.void_share == 2 / 13
    assert survey.mean_bytes == 4 * 13 / 3


def test_a_survey_tells_photographs_apart_by_their_pixels() -> None:
    image, label_map = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
    other = image.copy()
    other[3, 3, 2] = 1

    one, two = (
        survey_samples(InMemorySamples([pixels], [label_map]), 3).sha256
        for pixels in (image, other)
    )

    assert one != two


def test_a_survey_of_many_photographs_looks_at_some() -> None:
    source = CountingSamples([(1, 1)] * 1300)
    told: list[tuple[int, int]] = []

    survey = survey_samples(source, 3, progress=lambda done, total: told.append((done, total)))

    assert (survey.photographs, survey.surveyed) == (1300, 500)
    assert (source.reads[0], source.reads[-1]) == (0, 1299)
    assert told[-1] == (500, 500)


def test_nothing_to_learn_from_is_refused() -> None:
    void = np.full((4, 4), VOID, np.uint8)

    with pytest.raises(ValueError, match="no photographs to train on, expected at least 1"):
        survey_samples(InMemorySamples([], []), 3)
    with pytest.raises(ValueError, match="all 1 label maps are void, expected pixels of the 3"):
        survey_samples(InMemorySamples([np.zeros((4, 4, 3), np.uint8)], [void]), 3)


def test_without_any_change_a_photograph_is_itself_or_its_mirror(
    pictures: InMemorySamples,
) -> None:
    image, label_map = pictures.read(1)
    seen = set()

    for seed in range(8):
        piece, labels = augment(image, label_map, WHOLE, np.random.default_rng(seed))
        mirrored = not np.array_equal(labels, label_map)
        seen.add(mirrored)
        flip = slice(None, None, -1 if mirrored else 1)
        np.testing.assert_array_equal(labels, label_map[:, flip])
        np.testing.assert_allclose(piece, image[:, flip] / 255, atol=1e-6)

    assert seen == {True, False}


def test_labels_stay_on_their_pixels(taxonomy: Taxonomy) -> None:
    label_map = np.zeros((60, 90), np.uint8)
    label_map[25:, 10:70] = 1
    label_map[33:49, 31:58] = 2
    image = taxonomy.palette[label_map]
    changes = Augmentation(crop_hw=(32, 40), scale_range=(0.6, 1.8), color_jitter=0)

    wrong = [
        np.abs(255 * piece - taxonomy.palette[labels]).max(axis=2) > 64
        for piece, labels in (
            augment(image, label_map, changes, np.random.default_rng(seed)) for seed in range(40)
        )
    ]

    # Colours mix at borders only: half a pixel of shift would make all of them wrong.
    assert np.mean(wrong) < 0.01


def test_a_photograph_smaller_than_the_crop_is_enlarged() -> None:
    image, label_map = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30), np.uint8)
    changes = Augmentation(crop_hw=(32, 40), scale_range=(0.5, 0.6), color_jitter=1)

    piece, labels = augment(image, label_map, changes, np.random.default_rng(0))

    assert (piece.shape, labels.shape) == ((32, 40, 3), (32, 40))


def test_colors_change_but_stay_colors(pictures: InMemorySamples) -> None:
    image, _ = pictures.read(0)

    changed = [recolor(image, np.random.default_rng(seed), strength=1) for seed in range(20)]

    assert all(each.dtype == np.float32 for each in changed)
    assert all(0 <= each.min() and each.max() <= 1 for each in changed)
    means = np.array([each.mean(axis=(0, 1)) for each in changed])
    assert (means.std(axis=0) > 0.03).all()


def test_every_sample_is_seen_once_before_one_is_seen_twice() -> None:
    source = CountingSamples([(32, 32)] * 5)
    changes = Augmentation(crop_hw=(32, 32), scale_range=(1, 1), color_jitter=0)
    batches = SegmenterBatches(source, changes, batch_size=2, seed=3)

    for number in range(1, 11):
        batches.batch(number)

    rounds = [source.reads[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(each) == [0, 1, 2, 3, 4] for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1, "each round has its own order"


def test_a_batch_depends_on_the_seed_and_its_number_alone(pictures: InMemorySamples) -> None:
    changes = Augmentation(crop_hw=(32, 40), scale_range=(0.6, 1.8), color_jitter=1)
    from_start = SegmenterBatches(pictures, changes, batch_size=3, seed=7)
    later = SegmenterBatches(pictures, changes, batch_size=3, seed=7)
    other = SegmenterBatches(pictures, changes, batch_size=3, seed=8)

    expected = [from_start.batch(number) for number in range(1, 5)][3]
    fourth, different = later.batch(4), other.batch(4)

    assert torch.equal(fourth.images, expected.images)
    assert torch.equal(fourth.label_maps, expected.label_maps)
    assert not torch.equal(fourth.images, different.images)
    assert fourth.images.shape == (3, 3, 32, 40)
    assert fourth.label_maps.dtype == torch.int64


def test_what_is_kept_is_not_sent_to_other_processes(pictures: InMemorySamples) -> None:
    image, label_map = pictures.read(0)
    room = image.nbytes + label_map.nbytes
    samples = CheckedSamples(pictures, 3, limit_bytes=room)
    empty_bytes = len(pickle.dumps(samples))
    samples.read(0)

    sent = pickle.dumps(samples)

    assert len(sent) == empty_bytes
    elsewhere = pickle.loads(sent)
    assert elsewhere.read(1)[0] is elsewhere.read(1)[0], "it has its room again"
