"""Sets of canvases: written, read back, refused."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.synthesis.canvas_set import CanvasSet, CanvasSetWriter

TAXONOMY = Taxonomy(
    "two",
    (
        ClassInfo(0, "sky", (70, 130, 180), "stuff"),
        ClassInfo(7, "car", (0, 0, 142), "thing"),
    ),
)
SETTINGS = {"variants": 2, "stencil": {"elision": {"inner_band": 0.0125}}}

Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]


def _arrays(seed: int, size_hw: tuple[int, int] = (12, 17)) -> Arrays:
    """Return colours, labels, and two masks."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(np.array([0, 1, VOID], np.uint8), size_hw)
    color = rng.integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    return color, labels, rng.random(size_hw) < 0.7, rng.random(size_hw) < 0.2


def _write(
    path: Path, *, held_out: tuple[bool, ...] = (False, True, False), seed: int = 0
) -> CanvasSet:
    """Write photographs with two canvases each."""
    with CanvasSetWriter(path, TAXONOMY, settings=SETTINGS, bank_fingerprint="f" * 64) as writer:
        for number, is_held_out in enumerate(held_out):
            image, labels, _, _ = _arrays(seed + 10 * number)
            writer.add_photograph(f"town_{number}", image, labels, held_out=is_held_out)
            for variant in (1, 2):
                color, _, coverage, elided = _arrays(seed + 10 * number + variant)
                writer.add_canvas(color, coverage, elided)
    return CanvasSet(path)


def test_there_and_back(tmp_path: Path) -> None:
    canvases = _write(tmp_path / "a.h5")

    assert (len(canvases), canvases.photographs) == (6, 3)
    assert canvases.taxonomy == TAXONOMY
    assert canvases.settings == SETTINGS
    assert canvases.bank_fingerprint == "f" * 64
    for place in range(6):
        number, variant = divmod(place, 2)
        pair = canvases.read(place)
        image, labels, _, _ = _arrays(10 * number)
        color, _, coverage, elided = _arrays(10 * number + variant + 1)
        assert pair.photograph == f"town_{number}"
        for found, expected in (
            (pair.image, image),
            (pair.label_map, labels),
            (pair.canvas, color),
            (pair.coverage, coverage),
            (pair.elided, elided),
        ):
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)


def test_canvases_are_held_out_by_their_photograph(tmp_path: Path) -> None:
    canvases = _write(tmp_path / "a.h5")

    assert canvases.places(held_out=True) == [2, 3]
    assert canvases.places(held_out=False) == [0, 1, 4, 5]


def test_more_than_ten_keep_their_order(tmp_path: Path) -> None:
    canvases = _write(tmp_path / "a.h5", held_out=(False,) * 12)

    assert [canvases.read(2 * number).photograph for number in (0, 2, 10, 11)] == [
        "town_0",
        "town_2",
        "town_10",
        "town_11",
    ]


def test_an_open_set_can_be_sent_to_another_process(tmp_path: Path) -> None:
    canvases = _write(tmp_path / "a.h5")
    expected = canvases.read(3)

    there = pickle.loads(pickle.dumps(canvases))

    assert np.array_equal(there.read(3).canvas, expected.canvas)
    assert np.array_equal(canvases.read(3).canvas, expected.canvas), "this one is open still"


def test_the_hash_is_of_what_is_learned_from(tmp_path: Path) -> None:
    first = _write(tmp_path / "a.h5")
    same = _write(tmp_path / "b.h5")
    others = _write(tmp_path / "c.h5", seed=1)
    divided = _write(tmp_path / "d.h5", held_out=(True, False, False))

    assert first.sha256 == same.sha256
    assert len({first.sha256, others.sha256, divided.sha256}) == 3


def test_what_is_there_is_replaced_at_the_end_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    before = _write(path).sha256

    with CanvasSetWriter(path, TAXONOMY, settings={}, bank_fingerprint="") as writer:
        writer.add_photograph("one", *_arrays(0)[:2], held_out=False)
        assert CanvasSet(path).sha256 == before

    assert len(CanvasSet(path)) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_nothing_behind(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with (
        pytest.raises(error),
        CanvasSetWriter(tmp_path / "a.h5", TAXONOMY, settings={}, bank_fingerprint="") as writer,
    ):
        writer.add_photograph("one", *_arrays(0)[:2], held_out=False)
        raise error

    assert list(tmp_path.iterdir()) == []


def test_an_absent_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.h5 does not exist; make it with: scenequilt canv"):
        CanvasSet(tmp_path / "a.h5")


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "a.h5"
    text.write_text("a poem")

    with pytest.raises(DatasetError, match=r"a\.h5 is no whole set of canvases .*make it with"):
        CanvasSet(text)


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["format"] = 9
    with h5py.File(tmp_path / "b.h5", "w"):
        pass

    with pytest.raises(DatasetError, match="canvases of format 9, this program reads 1; make them"):
        CanvasSet(tmp_path / "a.h5")
    with pytest.raises(DatasetError, match="canvases of format None, this program reads 1"):
        CanvasSet(tmp_path / "b.h5")


def test_a_file_that_was_broken_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    _write(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(DatasetError, match=r"a\.h5 is no whole set of canvases .*truncated"):
        CanvasSet(path)


def test_a_set_without_its_canvases_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    _write(path)
    with h5py.File(path, "r+") as file:
        del file["canvases"]

    with pytest.raises(DatasetError, match=r"a\.h5 is no whole set of canvases .*canvases"):
        CanvasSet(path)


def test_a_damaged_canvas_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    _write(path)
    with h5py.File(path) as file:
        chunk = file["canvases/000003/color"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    content[middle : middle + 8] = bytes(8)
    path.write_bytes(content)
    canvases = CanvasSet(path)

    canvases.read(2)
    with pytest.raises(
        DatasetError, match=r"a\.h5: canvas 3 of 'town_1' cannot be read .*canvases"
    ):
        canvases.read(3)
