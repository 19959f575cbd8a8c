"""The calibration rows: what each shows, on photographs whose every pixel is known."""

import dataclasses
import io
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.composition import PixelState
from scenequilt.tools.evaluation.calibration import CalibrationRows, make_calibration_rows
from scenequilt.tools.evaluation.compose_run import ComposeRun
from scenequilt.tools.evaluation.picture_set import PictureSet, open_picture_set
from scenequilt.tools.evaluation.rows import Row, View


@pytest.fixture
def judged(street: Path) -> PictureSet:
    return open_picture_set(street / "made", real=street)


@pytest.fixture
def bank(street_bank: Path) -> Iterator[MemoryBank]:
    with MemoryBank.open(street_bank) as opened:
        yield opened


def _same(found: NDArray[Any] | None, expected: NDArray[Any] | None) -> bool:
    return found is not None and expected is not None and np.array_equal(found, expected)


def _row(made: CalibrationRows, name: str) -> Row:
    return next(row for row in made.rows if row.name == name)


def _view(row: Row, place: int) -> View:
    (view,) = row.views(place)
    return view


def test_every_row_is_made_with_photographs_alone(judged: PictureSet) -> None:
    made = make_calibration_rows(judged)

    assert [row.name for row in made.rows] == ["real", "jpeg30", "nearest", "random"]
    assert made.unmade == {}
    assert all("other layouts' photographs" in row.title for row in made.rows[2:])


def test_every_row_shows_every_layout_once(judged: PictureSet, bank: MemoryBank) -> None:
    for row in make_calibration_rows(judged, bank=bank).rows:
        views = [_view(row, place) for place in range(4)]
        assert tuple(view.layout for view in views) == judged.layouts
        for place, view in enumerate(views):
            assert np.array_equal(view.requested, judged.requested(place))
            assert _same(view.real, judged.photograph(place))


def test_jpeg_30_is_what_pillow_writes(judged: PictureSet) -> None:
    view = _view(_row(make_calibration_rows(judged), "jpeg30"), 2)

    blob = io.BytesIO()
    assert view.real is not None
    Image.fromarray(view.real).save(blob, "JPEG", quality=30)
    assert np.array_equal(view.image, np.array(Image.open(blob)))
    assert _same(view.delivered, view.requested)


@pytest.mark.parametrize("of_bank", [True, False])
def test_the_nearest_photograph_is_copied_whole_with_its_label_map(
    judged: PictureSet, bank: MemoryBank, of_bank: bool
) -> None:
    row = _row(make_calibration_rows(judged, bank=bank if of_bank else None), "nearest")

    view = _view(row, 0)

    assert view.sources == ("dusk",), "a horizon at row 8 agrees best with one at row 6"
    assert _same(view.image, judged.photograph(1))
    assert _same(view.delivered, judged.requested(1))
    assert view.ownership is not None and not view.ownership.any()
    assert view.state is not None and (view.state == PixelState.COPIED).all()


def test_the_nearest_of_each_layout_is_another_photograph(judged: PictureSet) -> None:
    row = _row(make_calibration_rows(judged), "nearest")

    nearest = [_view(row, place).sources[0] for place in range(4)]

    # dusk differs from dawn and night by two rows of sky each, and dawn comes first by name.
    assert nearest == ["dusk", "dawn", "dusk", "night"]


def test_rows_of_a_bank_name_it(judged: PictureSet, bank: MemoryBank) -> None:
    made = make_calibration_rows(judged, bank=bank)

    for name in ("nearest", "random"):
        assert f"the bank {bank.path.name}" in _row(made, name).title
    assert "synthesised, under provenance" in _row(made, "random").title


def test_random_segments_keep_to_the_layout(judged: PictureSet, bank: MemoryBank) -> None:
    for made in (make_calibration_rows(judged, bank=bank), make_calibration_rows(judged)):
        for place in range(4):
            view = _view(_row(made, "random"), place)
            assert view.ownership is not None and view.delivered is not None
            is_pasted = view.ownership >= 0
            assert np.array_equal(view.delivered[is_pasted], view.requested[is_pasted])
            assert (view.delivered[~is_pasted] == VOID).all()
            is_sky = is_pasted & (view.requested == 0)
            assert is_sky.any() and (view.image[is_sky][:, 2] >= 155).all(), "blue as sky is"
            is_road = is_pasted & (view.requested == 1)
            assert is_road.any() and (view.image[is_road][:, 2] < 125).all()


def test_a_random_segment_is_stretched_onto_its_region(judged: PictureSet) -> None:
    view = _view(_row(make_calibration_rows(judged), "random"), 0)

    assert view.ownership is not None
    assert (view.ownership[:6] == 0).all(), "sky of any horizon covers sky of this one"
    assert judged.layouts[0] not in view.sources


def test_what_no_segment_covers_is_inpainted(judged: PictureSet) -> None:
    view = _view(_row(make_calibration_rows(judged), "random"), 3)

    assert view.ownership is not None and view.state is not None
    car = (slice(19, 23), slice(4, 17))
    assert (view.ownership[car] == -1).all(), "the one car is in the layout's own photograph"
    assert (view.state[car] == PixelState.SYNTHESISED).all()
    assert (view.image[car] > 0).any(axis=2).all(), "and nothing stays black"


def test_random_segments_follow_from_the_seed_and_the_layouts_name(
    street: Path, judged: PictureSet, bank: MemoryBank
) -> None:
    first = _row(make_calibration_rows(judged, bank=bank, seed=1), "random")
    again = _row(make_calibration_rows(judged, bank=bank, seed=1), "random")
    other = _row(make_calibration_rows(judged, bank=bank, seed=2), "random")
    (street / "made" / "dawn.png").unlink()
    fewer = open_picture_set(street / "made", real=street, partial=True)
    without_dawn = _row(make_calibration_rows(fewer, bank=bank, seed=1), "random")

    images = [_view(first, place).image for place in range(4)]
    assert np.array_equal(images[2], _view(again, 2).image)
    assert any(not np.array_equal(images[p], _view(other, p).image) for p in range(4))
    assert np.array_equal(images[2], _view(without_dawn, 1).image)


def test_several_threads_read_the_same_bytes(judged: PictureSet, bank: MemoryBank) -> None:
    for row in make_calibration_rows(judged, bank=bank).rows:
        alone = [_view(row, place).image for place in range(4)]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(row.views, [0, 1, 2, 3] * 3))
        for number, views in enumerate(together):
            assert np.array_equal(views[0].image, alone[number % 4])


def test_without_photographs_the_rows_of_them_are_named(street: Path, bank: MemoryBank) -> None:
    judged = open_picture_set(
        street / "made", labels=street / "labels", classes=street / "classes.json"
    )

    with_bank, without = make_calibration_rows(judged, bank=bank), make_calibration_rows(judged)

    assert [row.name for row in with_bank.rows] == ["nearest", "random"]
    assert list(with_bank.unmade) == ["real", "jpeg30"]
    assert "--real" in with_bank.unmade["real"]
    assert without.rows == ()
    assert "--bank or --real" in without.unmade["random"]


def test_without_another_photograph_there_is_no_nearest_one(street: Path) -> None:
    for name in ("dawn", "dusk", "night"):
        shutil.copy(street / "images" / "noon.png", street / "images" / f"{name}.png")
    judged = open_picture_set(street / "made", real=street)

    made = make_calibration_rows(judged)

    assert [row.name for row in made.rows] == ["real", "jpeg30", "random"]
    assert "own one of 4 layouts (dawn, dusk, night, ...)" in made.unmade["nearest"]
    assert "--bank" in made.unmade["nearest"]


def test_a_chosen_photograph_that_changed_is_refused_at_once(
    street: Path, bank: MemoryBank
) -> None:
    judged = open_picture_set(
        street / "made", labels=street / "labels", classes=street / "classes.json"
    )
    shutil.copy(street / "made" / "noon.png", street / "images" / "dusk.png")

    with pytest.raises(DatasetError, match="is not the photograph 'dusk'.*--bank-photographs DIR"):
        make_calibration_rows(judged, bank=bank)


def test_a_bank_of_other_classes_is_refused(street: Path, bank: MemoryBank) -> None:
    table = json.loads((street / "classes.json").read_text())
    table["classes"][2]["name"] = "wagon"
    (street / "classes.json").write_text(json.dumps(table))
    judged = open_picture_set(street / "made", real=street)

    with pytest.raises(
        DatasetError, match=r"the bank .* has 3 classes .*first: car; only in the second: wagon"
    ):
        make_calibration_rows(judged, bank=bank)


def test_a_bank_whose_classes_stand_in_another_order_serves(
    street: Path, judged: PictureSet, bank: MemoryBank
) -> None:
    table = json.loads((street / "classes.json").read_text())
    table["classes"] = table["classes"][::-1]
    (street / "classes.json").write_text(json.dumps(table))
    turned = open_picture_set(street / "made", real=street)

    one, other = (make_calibration_rows(each, bank=bank) for each in (judged, turned))

    assert np.array_equal(_view(one.rows[2], 0).image, _view(other.rows[2], 0).image)
    sky = _view(other.rows[3], 0)
    assert (sky.image[:6, :, 2] >= 155).all() and (sky.requested[:6] == 2).all()


def test_a_run_of_another_bank_is_noted(judged: PictureSet, bank: MemoryBank) -> None:
    def run_of(fingerprint: str) -> PictureSet:
        run = ComposeRun(
            Path("run"), "1.0", judged.taxonomy, "old.bank", fingerprint, (), 1, "closed", {}, {}
        )  # fmt: skip
        return dataclasses.replace(judged, run=run)

    same = make_calibration_rows(run_of(bank.fingerprint), bank=bank)
    other = make_calibration_rows(run_of("ab"), bank=bank)

    assert same.notes == ()
    assert "composed from another bank (old.bank)" in other.notes[0]


def test_a_negative_seed_is_refused(judged: PictureSet) -> None:
    with pytest.raises(ValueError, match="seed is -1, expected 0 or more"):
        make_calibration_rows(judged, seed=-1)


@pytest.mark.realdata
def test_rows_of_camvid_keep_to_their_layouts(real_data: Path, tmp_path: Path) -> None:
    for path in sorted((real_data / "camvid" / "images" / "val").glob("*.jpg"))[:40:10]:
        shutil.copy(path, tmp_path)
    judged = open_picture_set(tmp_path, real=real_data / "camvid", partial=True)

    made = make_calibration_rows(judged)

    for row in made.rows:
        for place in range(4):
            view = _view(row, place)
            known = view.requested != VOID
            assert view.delivered is not None
            agreement = (view.delivered == view.requested)[known].mean()
            assert agreement > (0.99 if row.name in ("real", "jpeg30") else 0.3)
