"""Composing real streets: a bank of two film sequences, layouts of a third."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry, LabelledPhotograph
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.composition import Composition

pytestmark = pytest.mark.realdata

HELD_OUT = "0006R0"


@dataclass
class SomeOf:
    """A few photographs of a dataset, none of the sequence that is held out."""

    reader: DatasetReader
    form: str
    taxonomy: Taxonomy
    step: int

    def entries(self, split: str | None = None) -> list[Entry]:
        """List every step-th photograph."""
        entries = self.reader.entries(split)
        return [entry for entry in entries if HELD_OUT not in entry.source_id][:: self.step]

    def files(self, entry: Entry) -> list[Path]:
        """List the files of one."""
        return self.reader.files(entry)

    def read(self, entry: Entry) -> LabelledPhotograph:
        """Read one."""
        return self.reader.read(entry)


@pytest.fixture(scope="module")
def camvid(real_data: Path) -> DatasetReader:
    return open_dataset(real_data / "camvid")


@pytest.fixture(scope="module")
def bank(camvid: DatasetReader, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemoryBank]:
    folder = tmp_path_factory.mktemp("camvid") / "bank"
    build_bank(SomeOf(camvid, camvid.form, camvid.taxonomy, 8), folder, split="train")
    with MemoryBank.open(folder) as opened:
        yield opened


@pytest.fixture(scope="module")
def layouts(camvid: DatasetReader) -> list[Layout]:
    held_out = [entry for entry in camvid.entries("train") if HELD_OUT in entry.source_id]
    return [camvid.read(entry).layout for entry in held_out[::40]]


@pytest.fixture(scope="module")
def pictures(bank: MemoryBank, layouts: list[Layout]) -> list[Composition]:
    return [compose(layout, bank) for layout in layouts]


def test_most_of_a_street_is_covered_before_any_filling(pictures: list[Composition]) -> None:
    assert np.mean([picture.coverage_share for picture in pictures]) >= 0.90


def test_the_street_shows_what_was_asked_for(pictures: list[Composition]) -> None:
    assert np.mean([picture.agreement for picture in pictures]) >= 0.92


def test_no_pixel_is_of_the_street_that_is_held_out(pictures: list[Composition]) -> None:
    for picture in pictures:
        assert not any(source_id.startswith(HELD_OUT) for source_id in picture.sources)


def test_the_picture_is_in_one_light(pictures: list[Composition], bank: MemoryBank) -> None:
    for picture in pictures:
        label_map, image = picture.delivered.label_map, picture.image
        road = image[label_map == bank.taxonomy.class_id("road")].mean(axis=1)

        assert road.std() < 45


def test_the_same_seed_gives_the_same_picture(
    pictures: list[Composition], layouts: list[Layout], bank: MemoryBank
) -> None:
    again = compose(layouts[0], bank)

    assert np.array_equal(again.image, pictures[0].image)
    assert np.array_equal(again.ownership, pictures[0].ownership)
