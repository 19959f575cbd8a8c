"""Pairing and checking: every rule of names and sizes, and every message before long work."""

import hashlib
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.memory_bank.errors import DatasetError, LabelError
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.composition import Composition
from scenequilt.tools.evaluation.picture_set import (
    RULES,
    VOID_RULE,
    PictureSet,
    open_picture_set,
)
from scenequilt.tools.evaluation.rows import Row
from scenequilt.tools.evaluation.sizes import RESIZE_RULE
from scenequilt.tools.output.run_folder import RunFolder

NAMES = ("dawn", "dusk", "night", "noon")


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.array(picture)


def _open(street: Path) -> PictureSet:
    return open_picture_set(street / "made", real=street)


def _real(judged: PictureSet) -> Row:
    assert judged.real is not None
    return judged.real


def _change_classes(street: Path, name: str) -> Path:
    table = json.loads((street / "classes.json").read_text())
    table["classes"][2]["name"] = name
    (street / "other.json").write_text(json.dumps(table))
    return street / "other.json"


def test_layouts_are_sorted_by_name_and_paired_with_everything(street: Path) -> None:
    judged = _open(street)

    assert judged.layouts == NAMES
    assert judged.size_hw == (24, 36)
    assert (judged.name, judged.title) == ("made", "the pictures in made")
    (view,) = judged.generated.views(3)
    assert view.name == view.layout == "noon"
    assert np.array_equal(view.image, _pixels(street / "made" / "noon.png"))
    assert view.real is not None
    assert np.array_equal(view.real, _pixels(street / "images" / "noon.png"))
    assert view.requested[[0, 18, 19, 23], 5].tolist() == [0, 1, 2, VOID]
    assert view.delivered is None
    assert view.ownership is None
    assert view.state is None
    assert view.sources == ()


def test_the_row_of_the_photographs_shows_and_delivers_what_was_asked(street: Path) -> None:
    (view,) = _real(_open(street)).views(1)

    assert view.name == "dusk"
    assert np.array_equal(view.image, _pixels(street / "images" / "dusk.png"))
    assert view.delivered is view.requested
    assert view.real is view.image


def test_a_folder_judged_against_itself_shows_the_same_pictures_twice(street: Path) -> None:
    judged = open_picture_set(street / "images", real=street)

    for place in range(4):
        (made,), (real,) = judged.generated.views(place), _real(judged).views(place)
        assert np.array_equal(made.image, real.image)


def test_pictures_in_a_folder_named_as_a_layout_are_its_variants(street: Path) -> None:
    (street / "made" / "dusk").mkdir()
    shutil.move(street / "made" / "dusk.png", street / "made" / "dusk" / "01.png")
    shutil.copy(street / "made" / "noon.png", street / "made" / "dusk" / "00.png")

    judged = _open(street)

    assert [view.name for view in judged.generated.views(1)] == ["dusk/00", "dusk/01"]
    assert {view.layout for view in judged.generated.views(1)} == {"dusk"}
    assert judged.pictures == 5


def test_pictures_in_any_other_folder_are_paired_by_their_own_names(street: Path) -> None:
    (street / "made" / "town").mkdir()
    for name in NAMES:
        shutil.move(street / "made" / f"{name}.png", street / "made" / "town" / f"{name}.png")

    assert [view.name for view in _open(street).generated.views(0)] == ["dawn"]


def test_names_of_cityscapes_pair_without_their_endings(street: Path, tmp_path: Path) -> None:
    for name in NAMES:
        for folder, ending in (("labels", "gtFine_labelIds"), ("images", "leftImg8bit")):
            path = street / folder / f"{name}.png"
            path.rename(path.with_name(f"{name}_{ending}.png"))

    judged = open_picture_set(
        street / "made",
        real=street / "images",
        labels=street / "labels",
        classes=street / "classes.json",
    )

    assert judged.layouts == NAMES


def test_photographs_of_no_layout_are_not_used(street: Path) -> None:
    (street / "labels" / "noon.png").unlink()
    (street / "made" / "noon.png").unlink()

    judged = open_picture_set(street / "made", real=street / "images", labels=street / "labels",
                              classes=street)  # fmt: skip

    assert judged.layouts == ("dawn", "dusk", "night")
    assert judged.left_out == {}


def test_of_a_dataset_only_splits_with_a_picture_are_asked_for(street: Path) -> None:
    for kind in ("images", "labels"):
        for name, split in zip(NAMES, ("train", "train", "val", "val"), strict=True):
            (street / kind / split).mkdir(exist_ok=True)
            shutil.move(street / kind / f"{name}.png", street / kind / split / f"{name}.png")
    for name in ("dawn", "dusk"):
        (street / "made" / f"{name}.png").unlink()

    assert _open(street).layouts == ("night", "noon")


def test_layouts_of_two_splits_may_share_a_name(street: Path) -> None:
    for kind in ("images", "labels", "made"):
        for name, split in zip(NAMES, ("train", "train", "val", "val"), strict=True):
            number = "1" if name in ("dawn", "night") else "2"
            (street / kind / split).mkdir(exist_ok=True)
            shutil.move(street / kind / f"{name}.png", street / kind / split / f"{number}.png")

    judged = _open(street)

    assert judged.layouts == ("train-1", "train-2", "val-1", "val-2")
    (view,) = judged.generated.views(3)
    assert np.array_equal(view.image, _pixels(street / "made" / "val" / "2.png"))
    assert view.real is not None
    assert np.array_equal(view.real, _pixels(street / "images" / "val" / "2.png"))


def test_without_photographs_there_is_no_row_of_them_and_a_note(street: Path) -> None:
    judged = open_picture_set(
        street / "made", labels=street / "labels", classes=street / "classes.json"
    )

    assert judged.real is None
    assert any("No photographs were given (--real)" in note for note in judged.notes)
    assert judged.generated.views(0)[0].real is None


def test_everything_is_brought_to_the_size_asked_for(street: Path) -> None:
    Image.fromarray(_pixels(street / "made" / "noon.png")).resize((72, 48)).save(
        street / "made" / "noon.png"
    )

    judged = open_picture_set(street / "made", real=street, size_hw=(12, 18))

    (view,) = judged.generated.views(3)
    assert view.image.shape == (12, 18, 3)
    assert view.requested[:, 2].tolist() == [0] * 9 + [2] * 2 + [VOID]


def test_several_threads_read_the_same_bytes(street: Path) -> None:
    row = _open(street).generated
    alone = [row.views(place)[0].image for place in range(4)]

    with ThreadPoolExecutor(4) as pool:
        together = [views[0].image for views in pool.map(row.views, [0, 1, 2, 3] * 4)]

    for place, image in enumerate(together):
        assert np.array_equal(image, alone[place % 4])


def test_missing_pairs_are_counted_named_and_have_a_remedy(street: Path) -> None:
    for name in ("dawn", "dusk"):
        (street / "made" / f"{name}.png").unlink()
    (street / "images" / "night.png").unlink()
    shutil.copy(street / "made" / "noon.png", street / "made" / "odd.png")

    with pytest.raises(
        DatasetError,
        match=r"2 layouts have no picture in .*made \(dawn, dusk\); 1 picture has no label map in "
        r".*labels \(odd\); 1 layout has no photograph in .*images \(night\); .*add what is",
    ):
        open_picture_set(
            street / "made",
            real=street / "images",
            labels=street / "labels",
            classes=street / "classes.json",
        )


def test_where_some_pairs_exist_the_message_offers_to_go_on_with_them(street: Path) -> None:
    (street / "made" / "dawn.png").unlink()

    with pytest.raises(DatasetError, match="or go on with the 3 complete ones by --partial"):
        open_picture_set(street / "made", real=street, labels=street / "labels")


def test_of_a_dataset_those_layouts_are_judged_that_have_a_picture(street: Path) -> None:
    (street / "made" / "dawn.png").unlink()

    judged = _open(street)

    assert judged.layouts == ("dusk", "night", "noon")
    assert judged.left_out == {}
    assert any(
        note.startswith("1 layout of the dataset") and note.endswith("of the 3 that have one.")
        for note in judged.notes
    )


def test_pictures_of_no_layout_of_a_dataset_are_still_refused(street: Path) -> None:
    shutil.copy(street / "made" / "noon.png", street / "made" / "odd.png")

    with pytest.raises(DatasetError, match=r"1 picture has no label map in .*street \(odd\)"):
        _open(street)


def test_classes_of_a_folder_are_those_of_the_dataset_of_the_photographs(
    street: Path, tmp_path: Path
) -> None:
    labels = shutil.copytree(street / "labels", tmp_path / "other" / "labels")

    judged = open_picture_set(street / "made", real=street, labels=labels)

    assert judged.taxonomy.name == "three"


def test_a_given_name_stands_in_the_title(street: Path) -> None:
    judged = open_picture_set(street / "made", real=street, name="ours")

    assert (judged.name, judged.title) == ("ours", "ours: the pictures in made")


def test_pictures_of_one_name_that_are_left_out_are_told_apart(street: Path) -> None:
    for folder in ("one", "two"):
        (street / "made" / folder).mkdir()
        shutil.copy(street / "made" / "noon.png", street / "made" / folder / "00.png")

    judged = open_picture_set(street / "made", real=street, partial=True)

    assert list(judged.left_out) == ["one/00", "two/00"]


def test_partial_goes_on_and_says_what_was_left_out(street: Path) -> None:
    (street / "made" / "dawn.png").unlink()
    shutil.copy(street / "made" / "noon.png", street / "made" / "odd.png")

    judged = open_picture_set(street / "made", real=street, labels=street / "labels", partial=True)

    assert judged.layouts == ("dusk", "night", "noon")
    assert list(judged.left_out) == ["dawn", "odd"]
    assert judged.left_out["dawn"].endswith("made has no picture of this name")
    assert any("2 layouts or pictures were left out" in note for note in judged.notes)


def test_fewer_than_two_layouts_are_refused(street: Path) -> None:
    for name in NAMES[1:]:
        (street / "made" / f"{name}.png").unlink()

    with pytest.raises(
        ValueError, match=r"1 of 4 layouts can be judged, expected at least 2.*'dusk'"
    ):
        open_picture_set(street / "made", real=street, labels=street / "labels", partial=True)


def test_a_folder_that_pairs_with_nothing_is_refused(street: Path) -> None:
    (street / "labels").rename(street / "elsewhere")
    (street / "labels").mkdir()
    for name in "abcd":
        shutil.copy(street / "elsewhere" / "noon.png", street / "labels" / f"{name}.png")

    with pytest.raises(
        DatasetError, match=r"4 layouts have no picture in .*made \(a, b, c, \.\.\.\)"
    ):
        open_picture_set(street / "made", labels=street / "labels", classes=street / "classes.json")


@pytest.mark.parametrize(("folder", "what"), [("made", "picture"), ("images", "photograph")])
def test_sizes_that_differ_are_named_and_have_a_remedy(
    street: Path, folder: str, what: str
) -> None:
    Image.new("RGB", (48, 20)).save(street / folder / "dusk.png")

    with pytest.raises(
        DatasetError,
        match=rf"1 of 4 {what}s are not 24x36 \(height x width\) like their label maps: 'dusk' "
        "20x48; --size 24x36 brings all to one size",
    ):
        _open(street)


def test_a_picture_of_16_bits_is_refused_before_long_work(street: Path) -> None:
    Image.fromarray(np.zeros((24, 36), np.uint16)).save(street / "made" / "dusk.png")

    with pytest.raises(DatasetError, match=r"dusk\.png: picture has mode I;16, expected 8-bit"):
        _open(street)


def test_label_maps_of_several_sizes_are_refused(street: Path) -> None:
    Image.new("L", (48, 20), 7).save(street / "labels" / "night.png")

    with pytest.raises(
        DatasetError, match=r"1 of 4 label maps are not 24x36 .*'night' is 20x48; .*--size HxW"
    ):
        _open(street)


def test_a_class_table_that_differs_is_refused(street: Path) -> None:
    with pytest.raises(
        DatasetError, match="only in the first: car; only in the second: wagon; bring both"
    ):
        open_picture_set(street / "made", real=street, classes=_change_classes(street, "wagon"))


def test_a_value_that_is_no_class_is_found_before_long_work(street: Path) -> None:
    Image.new("L", (36, 24), 9).save(street / "labels" / "noon.png")

    with pytest.raises(LabelError, match=r"noon\.png: label map holds value 9"):
        _open(street)


def test_a_layout_of_nothing_but_void_is_refused(street: Path) -> None:
    Image.new("L", (36, 24), 0).save(street / "labels" / "noon.png")

    with pytest.raises(LabelError, match=r"noon\.png: every pixel is void, expected a class"):
        _open(street)


def test_two_pictures_of_one_name_are_refused(street: Path) -> None:
    shutil.copy(street / "made" / "noon.png", street / "made" / "noon.bmp")

    with pytest.raises(DatasetError, match=r"2 pictures of layout 'noon' .*a folder noon/"):
        _open(street)


def test_two_photographs_of_one_name_are_refused(street: Path) -> None:
    (street / "images" / "old").mkdir()
    shutil.copy(street / "images" / "noon.png", street / "images" / "old" / "noon.png")

    with pytest.raises(DatasetError, match="2 photographs are named 'noon'.*folder of one split"):
        open_picture_set(
            street / "made",
            real=street / "images",
            labels=street / "labels",
            classes=street / "classes.json",
        )


def test_label_maps_that_nothing_names_are_asked_for(street: Path) -> None:
    with pytest.raises(ValueError, match="--labels is not given, .*no run of compose.*no dataset"):
        open_picture_set(street / "made", real=street / "images")


def test_a_folder_without_classes_is_refused(street: Path) -> None:
    with pytest.raises(DatasetError, match=r"--classes .*made: no classes\.json in this folder"):
        open_picture_set(street / "made", real=street, classes=street / "made")


def test_a_system_may_not_be_called_as_a_calibration_row(street: Path) -> None:
    with pytest.raises(ValueError, match="--name 'nearest' is taken by a calibration row"):
        open_picture_set(street / "made", real=street, name="nearest")


def test_a_folder_called_as_a_calibration_row_gets_another_name(street: Path) -> None:
    (street / "made").rename(street / "real")

    assert open_picture_set(street / "real", real=street).name == "generated"


def test_label_maps_are_counted_while_they_are_read(street: Path) -> None:
    told: list[tuple[int, int]] = []

    open_picture_set(
        street / "made", real=street, progress=lambda done, total: told.append((done, total))
    )

    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_hashes_follow_from_names_and_bytes_alone(street: Path, tmp_path: Path) -> None:
    before = _open(street).hashes()
    moved = tmp_path / "moved"
    street.rename(moved)
    after = _open(moved).hashes()
    Image.new("RGB", (36, 24)).save(moved / "images" / "noon.png")
    changed = _open(moved).hashes()

    lines = "".join(
        f"{name}\0{hashlib.sha256((moved / 'made' / f'{name}.png').read_bytes()).hexdigest()}\n"
        for name in NAMES
    )
    assert before == after
    assert before["generated"] == hashlib.sha256(lines.encode()).hexdigest()
    assert {role for role in before if before[role] != changed[role]} == {"real"}


def test_rules_are_sentences(street: Path) -> None:
    assert RULES == {"size": RESIZE_RULE, "void": VOID_RULE}
    assert all(rule.endswith(".") for rule in RULES.values())


@pytest.fixture
def run(hand_made_run: RunFolder, composition: Composition) -> Path:
    """A run with the layouts "street" and "lane" of 8x12, street in two variants."""
    path = hand_made_run.path
    table = composition.requested.taxonomy.as_json()
    (path / "classes.json").write_text(json.dumps(table))
    plan = json.loads((path / "run.json").read_text())
    plan["layouts"].append({"name": "lane", "path": "labels/lane.png"})
    (path / "run.json").write_text(json.dumps(plan))
    shutil.copytree(path / "street" / "00", path / "lane" / "00")
    row = json.loads((path / "manifest.jsonl").read_text().splitlines()[0])
    with (path / "manifest.jsonl").open("a") as manifest:
        manifest.write(json.dumps({**row, "layout": "lane", "folder": "lane/00"}) + "\n")
    return path


def test_a_run_brings_its_label_maps_classes_and_records(
    run: Path, composition: Composition
) -> None:
    judged = open_picture_set(run)

    assert judged.layouts == ("lane", "street")
    assert judged.taxonomy == composition.requested.taxonomy
    first, second = judged.generated.views(1)
    assert (first.name, second.name) == ("street/00", "street/01")
    assert np.array_equal(first.requested, composition.requested.label_map)
    assert first.delivered is not None and first.ownership is not None and first.state is not None
    assert np.array_equal(first.delivered, composition.delivered.label_map)
    assert np.array_equal(first.ownership, composition.ownership)
    assert np.array_equal(first.state, composition.state)
    assert first.sources == ("noon", "dusk")


def test_maps_of_a_run_are_resized_with_its_pictures(run: Path) -> None:
    (view, _) = open_picture_set(run, size_hw=(16, 24)).generated.views(1)

    assert view.ownership is not None
    assert view.ownership.shape == (16, 24)
    assert sorted(np.unique(view.ownership).tolist()) == [-1, 0, 1]


def test_a_layout_that_a_run_failed_on_is_missing(run: Path) -> None:
    shutil.rmtree(run / "lane")

    with pytest.raises(DatasetError, match=r"1 layout has no picture in .*run \(lane\)"):
        open_picture_set(run)
    with pytest.raises(ValueError, match="'lane': the run ended before it"):
        open_picture_set(run, partial=True)


def test_the_classes_of_a_run_are_compared_with_those_given(run: Path, street: Path) -> None:
    classes = _change_classes(street, "wagon")

    with pytest.raises(DatasetError, match="only in the first: car; only in the second: wagon"):
        open_picture_set(run, classes=classes)


def test_a_run_may_be_judged_by_label_maps_of_a_folder(run: Path, tmp_path: Path) -> None:
    labels = tmp_path / "asked"
    labels.mkdir()
    for name in ("street", "lane"):
        Image.new("L", (12, 8), 8).save(labels / f"{name}.png")

    judged = open_picture_set(run, labels=labels)

    assert (judged.requested(0) == 1).all()


def test_a_folder_may_be_judged_by_the_label_maps_of_a_run(
    run: Path, composition: Composition, tmp_path: Path
) -> None:
    made = tmp_path / "by_another"
    made.mkdir()
    for name in ("street", "lane"):
        Image.new("RGB", (12, 8)).save(made / f"{name}.jpg")

    judged = open_picture_set(made, labels=run)

    assert judged.layouts == ("lane", "street")
    assert np.array_equal(judged.requested(1), composition.requested.label_map)


def test_label_maps_of_a_run_with_a_damaged_manifest_are_refused(run: Path, street: Path) -> None:
    manifest = run / "manifest.jsonl"
    manifest.write_text(manifest.read_text()[:-5])

    with pytest.raises(DatasetError, match="manifest is damaged: its last line is cut off"):
        open_picture_set(street / "made", labels=run)


def test_a_picture_of_a_run_without_a_label_map_is_missing(run: Path, tmp_path: Path) -> None:
    labels = tmp_path / "asked"
    labels.mkdir()
    Image.new("L", (12, 8), 8).save(labels / "street.png")

    with pytest.raises(DatasetError, match=r"1 picture has no label map in .*asked \(lane\)"):
        open_picture_set(run, labels=labels)


@pytest.mark.parametrize("folder", ["made", "images", "labels"])
def test_a_damaged_file_is_refused_or_its_layout_left_out(street: Path, folder: str) -> None:
    what = {"made": "picture", "images": "photograph", "labels": "label map"}[folder]
    path = street / folder / "dusk.png"
    path.write_bytes(path.read_bytes()[:-30])

    with pytest.raises(
        DatasetError, match=rf"dusk\.png: {what} is damaged .*with the 3 others by --partial"
    ):
        _open(street)
    judged = open_picture_set(street / "made", real=street, partial=True)

    assert judged.layouts == ("dawn", "night", "noon")
    assert f"{what} is damaged" in judged.left_out["dusk"]


def test_damaged_files_of_several_layouts_are_counted(street: Path) -> None:
    for name in ("dusk", "noon"):
        (street / "made" / f"{name}.png").write_bytes(b"")

    with pytest.raises(
        DatasetError,
        match=r"2 layouts have a file that cannot .*dusk\.png.*noon\.png.*the 2 others",
    ):
        _open(street)


def test_an_empty_map_of_a_run_is_found_before_long_work(run: Path) -> None:
    (run / "street" / "01" / "ownership.png").write_bytes(b"")

    with pytest.raises(DatasetError, match=r"01/ownership\.png: ownership map"):
        open_picture_set(run)


def test_label_maps_are_refused_without_options_of_other_commands(street: Path) -> None:
    Image.new("L", (36, 24), 9).save(street / "labels" / "noon.png")

    with pytest.raises(LabelError, match="value 9 .*write the file again") as refused:
        _open(street)

    assert "--repair" not in str(refused.value) and "--reader" not in str(refused.value)


def test_a_record_that_some_pictures_of_a_run_lack_is_noted(run: Path) -> None:
    for name in ("state.png", "provenance.json"):
        (run / "street" / "01" / name).unlink()

    notes = open_picture_set(run).notes

    assert (
        "1 of 3 pictures have no state.png (street/01): shares of what was done to pixels are of "
        "the other 2." in notes
    )
    assert any(note.startswith("1 of 3 pictures have no provenance.json") for note in notes)
    assert not any("ownership.png" in note for note in notes)


def test_a_run_with_a_damaged_manifest_is_refused_or_judged_by_what_it_lists(run: Path) -> None:
    shutil.copytree(run / "street" / "00", run / "night" / "00")
    plan = json.loads((run / "run.json").read_text())
    plan["layouts"].append({"name": "night", "path": "labels/night.png"})
    (run / "run.json").write_text(json.dumps(plan))

    with pytest.raises(DatasetError, match="manifest is damaged: it lists 3 of 4 .*--resume"):
        open_picture_set(run)
    judged = open_picture_set(run, partial=True)

    assert judged.layouts == ("lane", "street")
    assert "--resume" in judged.left_out["night"]
    assert any("manifest is damaged" in note for note in judged.notes)


@pytest.mark.realdata
def test_camvid_pairs_with_itself(real_data: Path, tmp_path: Path) -> None:
    for path in sorted((real_data / "camvid" / "images" / "val").glob("*.jpg"))[:3]:
        shutil.copy(path, tmp_path)

    judged = open_picture_set(tmp_path, real=real_data / "camvid", partial=True, name="copies")

    assert len(judged.layouts) == 3
    assert judged.size_hw == (360, 480)
    for place in range(3):
        (view,) = judged.generated.views(place)
        assert view.real is not None
        assert np.array_equal(view.image, view.real)
        assert len(np.unique(view.requested)) > 4
