"""Sets of canvases made of toytown: without the photograph's own film, and reproducibly."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry, LabelledPhotograph
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import BankError, DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.synthesis import canvas_making
from scenequilt.synthesis.canvas_making import CanvasMaking, make_canvases
from scenequilt.synthesis.canvas_set import CanvasSet
from scenequilt.synthesis.composition import Composition
from scenequilt.synthesis.look import SourceLooks
from scenequilt.synthesis.stencil import SimulatedCanvas, StencilSettings, simulate_canvas

MAKING = CanvasMaking(variants=2, seed=3)


@dataclass(frozen=True)
class Town:
    """Toytown in 14 pictures of 48x96, 2 of them val, and a bank of the other 12."""

    reader: DatasetReader
    bank: Path
    training: list[Entry]
    held_out: list[Entry]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Town:
    folder = tmp_path_factory.mktemp("town")
    write_dataset(folder / "town", count=14, seed=1, size_hw=(48, 96))
    reader = open_dataset(folder / "town")
    build_bank(reader, folder / "bank", split="train", min_area_px=12)
    return Town(reader, folder / "bank", reader.entries("train"), reader.entries("val"))


@pytest.fixture(scope="module")
def made(town: Town, tmp_path_factory: pytest.TempPathFactory) -> CanvasSet:
    """Two canvases of each of two photographs, one of them held out."""
    out = tmp_path_factory.mktemp("made") / "a.h5"
    make_canvases(town.reader, town.training[:1], town.held_out[:1], town.bank, out, MAKING)
    return CanvasSet(out)


def test_every_photograph_gets_its_canvases(town: Town, made: CanvasSet) -> None:
    assert (len(made), made.photographs) == (4, 2)
    assert made.places(held_out=True) == [2, 3]
    assert made.taxonomy == town.reader.taxonomy
    assert made.settings["variants"] == 2
    assert made.settings["stencil"]["keep_hole"] == MAKING.stencil.keep_hole
    for place, entry in ((0, town.training[0]), (2, town.held_out[0])):
        pair, photograph = made.read(place), town.reader.read(entry)
        assert pair.photograph == entry.source_id
        assert np.array_equal(pair.image, photograph.image)
        assert np.array_equal(pair.label_map, photograph.layout.label_map)
        assert pair.coverage.mean() > 0.5
        assert 0 < pair.elided.mean() < 0.9


def test_variants_are_of_other_segments(made: CanvasSet) -> None:
    assert not np.array_equal(made.read(0).canvas, made.read(1).canvas)
    assert not np.array_equal(made.read(0).elided, made.read(1).elided)


def test_a_canvas_is_nearer_to_its_photograph_than_another_photograph_is(made: CanvasSet) -> None:
    one, other = made.read(0), made.read(2)

    apart = np.abs(one.canvas.astype(int) - one.image)[one.coverage].mean()

    assert apart < 0.5 * np.abs(other.image.astype(int) - one.image)[one.coverage].mean()


@pytest.mark.parametrize("several_films", [True, False])
def test_neither_the_photograph_nor_its_film_lends_an_outline(
    town: Town, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several_films: bool
) -> None:
    """A bank of one film alone may lend other photographs of it."""
    bank, own = town.bank, town.training[0]
    if not several_films:
        only = tmp_path / "bank"
        left_out = [entry.sequence for entry in town.training if entry.sequence != own.sequence]
        build_bank(
            town.reader, only, split="train", exclude_sequence=sorted(set(left_out)),
            min_area_px=12,
        )  # fmt: skip
        bank = only
    lenders: set[str] = set()

    def watch(
        image: NDArray[np.uint8],
        composition: Composition,
        looks: SourceLooks,
        *,
        seed: int,
        settings: StencilSettings,
    ) -> SimulatedCanvas:
        lenders.update(item.segment.source_id for item in composition.placed)
        return simulate_canvas(image, composition, looks, seed=seed, settings=settings)

    monkeypatch.setattr(canvas_making, "simulate_canvas", watch)

    make_canvases(town.reader, [own], [], bank, tmp_path / "a.h5", MAKING)

    film = {entry.source_id for entry in town.training if entry.sequence == own.sequence}
    assert lenders
    assert own.source_id not in lenders
    assert lenders.isdisjoint(film) if several_films else lenders <= film


def test_a_photograph_gets_the_same_canvases_whatever_else_is_made(
    town: Town, made: CanvasSet, tmp_path: Path
) -> None:
    make_canvases(
        town.reader, [town.held_out[0], town.training[1]], [], town.bank, tmp_path / "a.h5", MAKING
    )

    again = CanvasSet(tmp_path / "a.h5")
    for variant in range(2):
        expected, found = made.read(2 + variant), again.read(variant)
        assert np.array_equal(found.canvas, expected.canvas)
        assert np.array_equal(found.elided, expected.elided)


def test_several_processes_make_the_same(town: Town, made: CanvasSet, tmp_path: Path) -> None:
    make_canvases(
        town.reader, town.training[:1], town.held_out[:1], town.bank, tmp_path / "a.h5", MAKING,
        workers=2,
    )  # fmt: skip

    assert CanvasSet(tmp_path / "a.h5").sha256 == made.sha256


def test_another_seed_makes_others(town: Town, made: CanvasSet, tmp_path: Path) -> None:
    make_canvases(
        town.reader, town.training[:1], town.held_out[:1], town.bank, tmp_path / "a.h5",
        replace(MAKING, seed=4),
    )  # fmt: skip

    assert not np.array_equal(CanvasSet(tmp_path / "a.h5").read(0).canvas, made.read(0).canvas)


@pytest.mark.parametrize(
    ("size_hw", "how"), [((24, 48), cv2.INTER_AREA), ((96, 192), cv2.INTER_CUBIC)]
)
def test_photographs_are_brought_to_a_size(
    town: Town, tmp_path: Path, size_hw: tuple[int, int], how: int
) -> None:
    making = CanvasMaking(variants=1, size_hw=size_hw)

    make_canvases(town.reader, town.training[:1], [], town.bank, tmp_path / "a.h5", making)

    pair, photograph = CanvasSet(tmp_path / "a.h5").read(0), town.reader.read(town.training[0])
    assert np.array_equal(
        pair.image, cv2.resize(photograph.image, size_hw[::-1], interpolation=how)
    )
    assert np.array_equal(pair.label_map, photograph.layout.resized(size_hw).label_map)
    assert pair.canvas.shape == (*size_hw, 3)


@dataclass(frozen=True)
class Changed:
    """A reader whose layouts are changed; all else is the town's."""

    town: Town
    change: Callable[[Layout], Layout]

    def read(self, entry: Entry) -> LabelledPhotograph:
        """Return a photograph with another layout."""
        found = self.town.reader.read(entry)
        return replace(found, layout=self.change(found.layout))


def _all_void_but(layout: Layout) -> Layout:
    """Return a layout that asks for less than the bank is ever asked for: 15 pixels."""
    label_map = np.full(layout.size_hw, VOID, np.uint8)
    label_map[:3, :5] = layout.label_map[0, 0]
    return Layout(label_map, np.zeros(layout.size_hw, np.int32), layout.taxonomy)


def test_a_photograph_for_which_the_bank_has_nothing_is_named(town: Town, tmp_path: Path) -> None:
    reader: Any = Changed(town, _all_void_but)
    done: list[tuple[int, int]] = []

    count, left_out = make_canvases(
        reader, town.training[:1], town.held_out[:1], town.bank, tmp_path / "a.h5", MAKING,
        progress=lambda *each: done.append(each),
    )  # fmt: skip

    assert count == 0
    assert left_out == [town.training[0].source_id, town.held_out[0].source_id]
    assert CanvasSet(tmp_path / "a.h5").photographs == 0
    assert done == [(1, 2), (2, 2)]


def test_a_photograph_that_cannot_be_read_leaves_no_file(town: Town, tmp_path: Path) -> None:
    gone = replace(town.training[1], image_path=tmp_path / "gone.jpg")

    with pytest.raises(DatasetError, match=r"gone\.jpg"):
        make_canvases(
            town.reader, [town.training[0], gone], [], town.bank, tmp_path / "a.h5", MAKING
        )

    assert list(tmp_path.iterdir()) == []


def test_without_a_bank_nothing_is_begun(town: Town, tmp_path: Path) -> None:
    with pytest.raises(BankError, match="nowhere"):
        make_canvases(
            town.reader, town.training[:1], [], tmp_path / "nowhere", tmp_path / "a.h5", MAKING
        )

    assert list(tmp_path.iterdir()) == []


def test_nothing_to_train_on_is_refused(town: Town, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no photographs to train on, expected at least 1"):
        make_canvases(town.reader, [], town.held_out, town.bank, tmp_path / "a.h5", MAKING)


def test_no_variants_are_refused() -> None:
    with pytest.raises(ValueError, match="variants is 0, expected at least 1"):
        CanvasMaking(variants=0, stencil=StencilSettings())
