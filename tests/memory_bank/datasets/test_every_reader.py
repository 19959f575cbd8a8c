"""What holds for the readers of all forms."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.datasets.open import READERS, open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.extract import extract_regions
from scenequilt.memory_bank.taxonomy import VOID


def test_form_is_recognised(form: str, dataset: Path) -> None:
    assert open_dataset(dataset).form == form


def test_form_can_be_named(form: str, dataset: Path) -> None:
    assert isinstance(open_dataset(dataset, form), READERS[form])


def test_entries_are_sorted_by_split_and_name(dataset: Path) -> None:
    entries = open_dataset(dataset).entries()

    keys = [(entry.split, entry.source_id) for entry in entries]
    assert keys == sorted(keys)
    assert [entry.source_id[-2:] for entry in entries] == ["01", "02", "03"]


def test_entries_of_a_split(dataset: Path) -> None:
    reader = open_dataset(dataset)
    split = reader.entries()[-1].split

    assert [entry.source_id[-4:] for entry in reader.entries(split)] == ["b_03"]


def test_unknown_split_is_refused_with_those_there_are(dataset: Path) -> None:
    reader = open_dataset(dataset)
    split = reader.entries()[-1].split

    with pytest.raises(
        DatasetError, match=rf"split 'nope' does not exist .*there are .*{split} \(1\)"
    ):
        reader.entries("nope")


def test_read_gives_photograph_and_layout_of_one_size(dataset: Path) -> None:
    reader = open_dataset(dataset)

    for entry in reader.entries():
        photograph = reader.read(entry)

        assert photograph.image.shape == (4, 6, 3)
        assert photograph.layout.size_hw == (4, 6)


def test_label_map_holds_stuff_then_a_thing_then_void(dataset: Path) -> None:
    reader = open_dataset(dataset)

    layout = reader.read(reader.entries()[0]).layout

    stuff, thing = (reader.taxonomy.classes[int(layout.label_map[0, x])] for x in (0, 4))
    assert (stuff.kind, thing.kind) == ("stuff", "thing")
    assert thing.name == "car"
    assert (layout.label_map[:, 5] == VOID).all()


def test_instance_map_numbers_the_thing_and_nothing_else(dataset: Path) -> None:
    reader = open_dataset(dataset)

    instance_map = reader.read(reader.entries()[0]).layout.instance_map

    assert (instance_map[:, 3:5] > 0).all()
    assert not instance_map[:, [0, 1, 2, 5]].any()


def test_layout_has_two_regions(dataset: Path) -> None:
    reader = open_dataset(dataset)

    regions = extract_regions(reader.read(reader.entries()[0]).layout)

    assert [region.area_px for region in regions] in ([12, 8], [8, 12])


def test_reader_can_be_pickled(dataset: Path) -> None:
    reader = open_dataset(dataset)

    assert pickle.loads(pickle.dumps(reader)) == reader


def test_photograph_without_label_map_is_listed_and_named_when_read(dataset: Path) -> None:
    reader = open_dataset(dataset)
    missing = reader.entries()[0]
    missing.label_path.unlink()

    first = reader.entries()[0]

    assert first.source_id == missing.source_id
    with pytest.raises(
        DatasetError, match=r"photograph without label map; expected .*\.png: add it"
    ):
        reader.read(first)


def test_label_map_without_photograph_is_listed_and_named_when_read(dataset: Path) -> None:
    reader = open_dataset(dataset)
    missing = reader.entries()[0]
    missing.image_path.unlink()

    first = reader.entries()[0]

    assert first.source_id == missing.source_id
    with pytest.raises(DatasetError, match=r"label map without photograph; expected .*: add it"):
        reader.read(first)


def test_label_map_of_another_size_is_refused(dataset: Path) -> None:
    reader = open_dataset(dataset)
    entry = reader.entries()[0]
    Image.new("RGB", (12, 8)).save(entry.image_path)

    with pytest.raises(
        DatasetError, match=r"label map is 6x4, but the photograph .* is 12x8; make"
    ):
        reader.read(entry)


def test_size_message_names_an_exif_orientation(dataset: Path) -> None:
    reader = open_dataset(dataset)
    entry = reader.entries()[0]
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 6)).save(entry.image_path, exif=exif)

    with pytest.raises(DatasetError, match=r"is 4x6 \(its EXIF orientation is not applied: store"):
        reader.read(entry)


def test_truncated_photograph_is_refused(dataset: Path) -> None:
    reader = open_dataset(dataset)
    entry = reader.entries()[0]
    entry.image_path.write_bytes(entry.image_path.read_bytes()[:-30])

    with pytest.raises(DatasetError, match=rf"{entry.image_path.name}: photograph is truncated"):
        reader.read(entry)


def test_truncated_label_map_is_refused(dataset: Path) -> None:
    reader = open_dataset(dataset)
    entry = reader.entries()[0]
    entry.label_path.write_bytes(entry.label_path.read_bytes()[:-22])

    with pytest.raises(DatasetError, match=rf"{entry.label_path.name}: label map is truncated"):
        reader.read(entry)


def test_reading_twice_gives_the_same(dataset: Path) -> None:
    reader = open_dataset(dataset)
    entry = reader.entries()[0]

    once, again = reader.read(entry), reader.read(entry)

    assert np.array_equal(once.image, again.image)
    assert np.array_equal(once.layout.label_map, again.layout.label_map)
    assert np.array_equal(once.layout.instance_map, again.layout.instance_map)


@pytest.mark.parametrize("form", sorted(READERS.keys() - {"voc"}))
def test_dataset_without_photographs_is_refused(dataset: Path) -> None:
    reader = open_dataset(dataset)
    for entry in reader.entries():
        entry.image_path.unlink()

    with pytest.raises(DatasetError, match="no photograph with a label map; expected "):
        reader.entries()
