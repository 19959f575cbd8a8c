"""The files of one picture, read back."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.synthesis.composition import Composition
from scenequilt.tools.output.picture import open_classes, picture_row, write_picture
from scenequilt.tools.output.png import encode_grey
from scenequilt.tools.output.provenance import SourceOf
from scenequilt.tools.output.recipe import HASHED


@pytest.fixture
def folder(composition: Composition, source_of: SourceOf, tmp_path: Path) -> Path:
    write_picture(tmp_path, composition, source_of)
    return tmp_path


def _numbers(path: Path) -> NDArray[np.integer]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_every_file_is_there_and_nothing_else(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(HASHED)


def test_the_image_is_the_composition(folder: Path, composition: Composition) -> None:
    assert (_numbers(folder / "image.png") == composition.image).all()


def test_label_maps_hold_file_ids_with_void_as_the_taxonomy_writes_it(folder: Path) -> None:
    delivered, requested = _numbers(folder / "label.png"), _numbers(folder / "requested.png")

    assert delivered.dtype == np.uint8
    assert set(np.unique(delivered)) == {0, 7, 8}
    assert set(np.unique(requested)) == {7, 8, 26}
    assert delivered[7, 10] == 0


def test_the_ownership_map_is_16_bit_and_counts_from_one(folder: Path) -> None:
    with Image.open(folder / "ownership.png") as picture:
        mode, owner = picture.mode, np.asarray(picture)

    assert mode == "I;16"
    assert (owner[0, 0], owner[7, 0], owner[7, 11]) == (1, 2, 0)


def test_the_state_map_holds_the_states_as_grey_numbers(
    folder: Path, composition: Composition
) -> None:
    with Image.open(folder / "state.png") as picture:
        mode, state = picture.mode, np.asarray(picture)

    assert mode == "L"
    assert (state == composition.state).all()


def test_the_same_composition_gives_the_same_bytes(
    composition: Composition, source_of: SourceOf, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_picture(tmp_path / name, composition, source_of)

    for name in HASHED:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_number_that_16_bits_cannot_hold_is_refused() -> None:
    owner = np.array([[0, 65536]], np.int32)

    with pytest.raises(ValueError, match=r"ownership map: values 0 to 65536 do not fit a 16-bit"):
        encode_grey(owner, "ownership map", bits=16)


def test_a_class_without_a_segment_is_named_with_the_reason(composition: Composition) -> None:
    assert open_classes(composition) == {"car": "the bank has no segment of it"}


def test_the_row_counts_agreement_in_pixels(composition: Composition) -> None:
    row = picture_row(composition)

    assert row["pixels_by_class"]["car"] == {"requested": 4, "agreed": 0}
    assert row["pixels_by_class"]["road"] == {"requested": 44, "agreed": 42}
    assert row["agreement"] == pytest.approx(90 / 96)
    assert row["sources"] == ["noon", "dusk"]
