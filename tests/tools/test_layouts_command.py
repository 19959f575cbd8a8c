"""The command layouts on a toytown of 64x128."""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import read_taxonomy
from scenequilt.memory_bank.toytown.classes import TOYTOWN_TAXONOMY
from scenequilt.synthesis.layouts.edits import Edit
from scenequilt.synthesis.layouts.factory import NewLayout
from scenequilt.tools.commands.layouts import add_layouts_command
from scenequilt.tools.commands.layouts_sheet import (
    DROPPED,
    GAP_PX,
    INSERTED,
    LEGEND_ROW_PX,
    write_layouts_sheet,
)
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.layout_files import find_layout_files, read_layout_file
from scenequilt.tools.output.png import decode_numbers, decode_rgb


def _run(*argv: str | Path | int) -> Outcome:
    parser = argparse.ArgumentParser()
    add_layouts_command(parser.add_subparsers(required=True))
    args = parser.parse_args(["layouts", *(str(item) for item in argv)])
    outcome: Outcome = args.run(args)
    return outcome


@pytest.fixture(scope="module")
def made(toytown_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six layouts of toytown's train split, with a contact sheet."""
    out = tmp_path_factory.mktemp("layouts") / "set"
    outcome = _run(
        toytown_dataset, "--split", "train", "--out", out, "--count", 6, "--seed", 3,
        "--contact-sheet", out.parent / "sheet.png",
    )  # fmt: skip
    assert outcome.status == 0
    return out


def test_the_folder_is_what_compose_reads(made: Path) -> None:
    taxonomy = read_taxonomy(made / "classes.json")

    files = find_layout_files([made])

    assert [file.name for file in files] == [f"layout_{place:05d}" for place in range(6)]
    for file in files:
        layout = read_layout_file(file.path, taxonomy)
        numbers = decode_numbers(made / "instances" / f"{file.name}.png")
        np.testing.assert_array_equal(layout.instance_map > 0, numbers > 0)


def test_every_layout_has_a_line_with_parents_and_edits(made: Path, toytown_dataset: Path) -> None:
    rows = [json.loads(line) for line in (made / "layouts.jsonl").read_text().splitlines()]

    known = {entry.source_id for entry in open_dataset(toytown_dataset).entries("train")}
    assert [row["name"] for row in rows] == [f"layout_{place:05d}" for place in range(6)]
    for row in rows:
        assert row["size_hw"] == [64, 128]
        assert set(row["parents"]) <= known
        assert row["edits"]
        assert set(row["image_sha256"]) == set(row["parents"])
        for name, sha256 in row["image_sha256"].items():
            photograph = toytown_dataset / "images" / "train" / f"{name}.jpg"
            assert hashlib.sha256(photograph.read_bytes()).hexdigest() == sha256


def test_statistics_give_shares_before_and_after(made: Path) -> None:
    table = json.loads((made / "statistics.json").read_text())

    after = np.zeros(256)
    for path in (made / "labels").glob("*.png"):
        after += np.bincount(decode_numbers(path).ravel(), minlength=256)
    after /= after[:11].sum()
    for entry in read_taxonomy(made / "classes.json").classes:
        assert table["shares"][entry.name]["after"] == pytest.approx(after[entry.file_id])
    assert sum(share["before"] for share in table["shares"].values()) == pytest.approx(1)


def test_before_is_of_the_layouts_that_were_drawn(made: Path, toytown_dataset: Path) -> None:
    table = json.loads((made / "statistics.json").read_text())
    rows = [json.loads(line) for line in (made / "layouts.jsonl").read_text().splitlines()]

    before = np.zeros(256)
    for row in rows:
        path = toytown_dataset / "labels" / "train" / f"{row['parents'][0]}.png"
        before += np.bincount(decode_numbers(path).ravel(), minlength=256)
    before /= before[:11].sum()
    for entry in read_taxonomy(made / "classes.json").classes:
        assert table["shares"][entry.name]["before"] == pytest.approx(before[entry.file_id])


def test_flips_alone_change_no_share(toytown_dataset: Path, tmp_path: Path) -> None:
    outcome = _run(
        toytown_dataset, "--out", tmp_path / "set", "--count", 3, "--edits", "flip", "--json"
    )

    for shares in json.loads(outcome.text)["classes"].values():
        assert shares["share_after"] == pytest.approx(shares["share_before"])


def test_what_before_and_after_are_of_is_said(toytown_dataset: Path, tmp_path: Path) -> None:
    outcome = _run(toytown_dataset, "--out", tmp_path / "set", "--count", 1, "--edits", "flip")

    assert "share of the pixels, void left out: before = the layouts that these were derived" in (
        outcome.text
    )
    assert "warning" not in outcome.text


def test_things_that_stand_on_no_ground_are_warned_of(tmp_path: Path) -> None:
    taxonomy = TOYTOWN_TAXONOMY
    wall, person = taxonomy.class_id("building"), taxonomy.class_id("person")
    dataset = tmp_path / "rooms"
    for kind in ("images", "labels"):
        (dataset / kind).mkdir(parents=True)
    (dataset / "classes.json").write_text(json.dumps(taxonomy.as_json()))
    for number in range(4):
        label_map = np.full((60, 80), wall, np.uint8)
        label_map[20 + number : 32, 20 : 30 + number] = person
        Image.fromarray(taxonomy.encode(label_map)).save(dataset / "labels" / f"{number}.png")
        Image.new("RGB", (80, 60)).save(dataset / "images" / f"{number}.png")

    outcome = _run(dataset, "--out", tmp_path / "set", "--count", 1)
    still = _run(dataset, "--out", tmp_path / "still", "--count", 1, "--edits", "flip,drop")

    assert outcome.status == 0
    assert "warning: inserted objects may stand where none would" in outcome.text
    assert "scenes seen along a ground plane, such as streets, but here 0 %" in outcome.text
    assert "warning" not in still.text, "nothing is placed, so nothing is placed wrongly"


def test_recombining_that_never_came_about_is_explained(
    toytown_dataset: Path, tmp_path: Path
) -> None:
    outcome = _run(
        toytown_dataset, "--out", tmp_path / "set", "--count", 1, "--seed", 1,
        "--edits", "flip,recombine", "--json",
    )  # fmt: skip

    table = json.loads(outcome.text)
    assert outcome.status == 0
    assert "recombine" not in table["edits"]
    assert any("recombine was never done: " in sentence for sentence in table["warnings"])


def test_the_contact_sheet_shows_all_six(made: Path) -> None:
    sheet = decode_rgb(made.parent / "sheet.png")

    assert sheet.shape[1] == 16 + 4 * 416
    assert sheet.shape[0] > 2 * 200


def test_the_contact_sheet_says_what_the_boxes_are(made: Path) -> None:
    sheet = decode_rgb(made.parent / "sheet.png")

    line = sheet[-GAP_PX - LEGEND_ROW_PX :]
    for color in (INSERTED, DROPPED):
        assert (line == color).all(axis=2).any()


def test_a_caption_of_many_edits_is_cut_short(tmp_path: Path) -> None:
    label_map = np.zeros((20, 40), np.uint8)
    layout = Layout(label_map, label_map.astype(np.int32), TOYTOWN_TAXONOMY)
    edits = tuple(Edit("insert", f"class_{number}") for number in range(60))

    write_layouts_sheet(
        tmp_path / "sheet.png",
        [("layout", NewLayout(layout, ("street",), edits))],
        TOYTOWN_TAXONOMY,
        "one layout",
    )

    assert decode_rgb(tmp_path / "sheet.png").shape[1] == 16 + 416


def test_same_seed_same_files(made: Path, toytown_dataset: Path, tmp_path: Path) -> None:
    _run(toytown_dataset, "--split", "train", "--out", tmp_path, "--count", 3, "--seed", 3)

    for kind in ("labels", "instances"):
        for path in (tmp_path / kind).iterdir():
            assert path.read_bytes() == (made / kind / path.name).read_bytes()


def test_only_force_replaces_layouts(toytown_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    _run(toytown_dataset, "--out", out, "--count", 3, "--edits", "flip")

    with pytest.raises(ValueError, match="holds layouts already; --force replaces them"):
        _run(toytown_dataset, "--out", out, "--count", 1)
    outcome = _run(toytown_dataset, "--out", out, "--count", 1, "--edits", "flip", "--force")

    assert outcome.text.startswith("1 layouts of 24: 1 x flip")
    assert [path.name for path in (out / "labels").iterdir()] == ["layout_00000.png"]


def test_a_request_that_is_refused_leaves_earlier_layouts(
    toytown_dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    _run(toytown_dataset, "--out", out, "--count", 2, "--edits", "flip")

    with pytest.raises(ValueError, match="'sky' cannot be favored"):
        _run(toytown_dataset, "--out", out, "--count", 1, "--favor", "sky", "--force")

    assert len(list((out / "labels").iterdir())) == 2


def test_nothing_is_written_into_a_folder_of_something_else(
    toytown_dataset: Path, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(ValueError, match="not empty and no folder of layouts"):
        _run(toytown_dataset, "--out", tmp_path, "--count", 1, "--force")
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        _run(toytown_dataset, "--out", tmp_path / "thesis.txt", "--count", 1)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_json_has_the_summary(toytown_dataset: Path, tmp_path: Path) -> None:
    outcome = _run(
        toytown_dataset, "--out", tmp_path / "set", "--count", 2, "--favor", "person=5", "--json"
    )

    table = json.loads(outcome.text)
    assert table["layouts"] == 2
    assert table["failures"] == []
    assert set(table["classes"]["person"]) == {"share_before", "share_after", "inserted", "dropped"}


def test_bad_arguments_are_refused_by_name(
    toytown_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    with pytest.raises(ValueError, match="no edit 'turn'; there are flip"):
        _run(toytown_dataset, "--out", out, "--count", 1, "--edits", "turn")
    with pytest.raises(ValueError, match="no class 'tram'; there are sky"):
        _run(toytown_dataset, "--out", out, "--count", 1, "--favor", "tram")
    with pytest.raises(DatasetError, match="split 'test'"):
        _run(toytown_dataset, "--out", out, "--count", 1, "--split", "test")
    with pytest.raises(SystemExit):
        _run(toytown_dataset, "--out", out, "--count", 1, "--favor", "car=much")

    assert "'car=much' is no favor; give CLASS or CLASS=W" in capsys.readouterr().err
    assert not out.exists()


def test_a_contact_sheet_is_written_over_nothing(toytown_dataset: Path, tmp_path: Path) -> None:
    photograph, notes = tmp_path / "holiday.jpg", tmp_path / "holiday.png"
    for path in (photograph, notes):
        path.write_bytes(b"mine")
    arguments: list[str | Path | int] = [
        toytown_dataset, "--out", tmp_path / "set", "--count", 1, "--contact-sheet"
    ]  # fmt: skip

    with pytest.raises(ValueError, match=r"holiday\.jpg: the contact sheet is a PNG"):
        _run(*arguments, photograph)
    with pytest.raises(ValueError, match=r"holiday\.png: is there already; .* --force replaces it"):
        _run(*arguments, notes)
    with pytest.raises(ValueError, match=r"nowhere/sheet\.png: its folder is not there"):
        _run(*arguments, tmp_path / "nowhere" / "sheet.png")

    assert photograph.read_bytes() == notes.read_bytes() == b"mine"
    assert not (tmp_path / "set").exists()
