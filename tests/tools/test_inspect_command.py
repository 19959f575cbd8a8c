"""scenequilt inspect: the report, the contact sheet, and the status."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.tools.commands.inspect import add_inspect_command
from scenequilt.tools.commands.outcome import Outcome


def inspect(*arguments: str | Path) -> Outcome:
    parser = argparse.ArgumentParser()
    add_inspect_command(parser.add_subparsers())
    args = parser.parse_args(["inspect", *(str(argument) for argument in arguments)])
    outcome: Outcome = args.run(args)
    return outcome


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three photographs of a sky above a car, in two splits."""
    root = tmp_path / "street"
    root.mkdir()
    classes = [
        {"id": 0, "name": "sky", "color": [70, 130, 180], "kind": "stuff"},
        {"id": 7, "name": "car", "color": [0, 0, 142], "kind": "thing"},
        {"id": 8, "name": "bicyclist", "color": [119, 11, 32], "kind": "thing"},
    ]
    (root / "classes.json").write_text(
        json.dumps({"name": "street3", "void_id": 255, "classes": classes})
    )
    for split, name in (("train", "a_1"), ("train", "a_2"), ("val", "b_1")):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)
        Image.fromarray(noise).save(root / "images" / split / f"{name}.jpg")
        labels = np.zeros((20, 30), np.uint8)
        labels[12:, 4:12] = 7
        Image.fromarray(labels).save(root / "labels" / split / f"{name}.png")
    return root


def test_report_names_form_classes_sizes_and_splits(dataset: Path) -> None:
    outcome = inspect(dataset)

    for said in ("plain", "3 (street3)", "3 read", "30x20 (3)", "train (2), val (1)", "sky", "car"):
        assert said in outcome.text
    assert outcome.status == 0


def test_report_names_classes_that_do_not_occur(dataset: Path) -> None:
    assert "classes that do not occur: 1 (bicyclist)" in inspect(dataset).text


def test_report_fits_80_columns_without_colors(dataset: Path) -> None:
    text = inspect(dataset).text

    assert max(len(line) for line in text.splitlines()) <= 80
    assert "\x1b" not in text


def test_broken_file_is_named_and_gives_status_1(dataset: Path) -> None:
    path = dataset / "images" / "train" / "a_2.jpg"
    path.write_bytes(path.read_bytes()[:200])

    outcome = inspect(dataset)

    assert outcome.status == 1
    assert "cannot be read: 1" in outcome.text
    assert "a_2.jpg: photograph is truncated" in " ".join(outcome.text.split())
    assert "2 of 3 read" in outcome.text


def test_split_and_limit_choose_photographs(dataset: Path) -> None:
    table = json.loads(inspect(dataset, "--split", "train", "--limit", "1", "--json").text)

    assert (table["listed"], table["inspected"], table["photographs"]) == (2, 1, 1)


def test_json_holds_what_the_report_says(dataset: Path) -> None:
    table = json.loads(inspect(dataset, "--json").text)

    assert table["reader"] == "plain"
    assert table["values"] == {"0": 1608, "7": 192}
    assert table["classes"][1]["regions"] == 3
    assert table["unreadable"] == []


def test_repair_is_reported_with_pixels(dataset: Path) -> None:
    path = dataset / "labels" / "val" / "b_1.png"
    labels = np.array(Image.open(path))
    labels[0, :5] = 3
    Image.fromarray(labels).save(path)

    refused, repaired = inspect(dataset), inspect(dataset, "--repair", "nearest")

    assert refused.status == 1 and "--repair nearest" in " ".join(refused.text.split())
    assert repaired.status == 0
    assert "5 of 600 pixels were no class" in " ".join(repaired.text.split())


def test_contact_sheet_shows_photographs_and_layouts(dataset: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "out" / "sheet.png"

    outcome = inspect(dataset, "--contact-sheet", sheet)

    pixels = np.array(Image.open(sheet))
    assert str(sheet) in outcome.text
    assert (pixels == (70, 130, 180)).all(axis=2).sum() > 10_000


def test_contact_sheet_of_another_suffix_is_refused(dataset: Path) -> None:
    with pytest.raises(ValueError, match=r"--contact-sheet must end in \.png, got sheet\.jpg"):
        inspect(dataset, "--contact-sheet", "sheet.jpg")


def test_contact_sheet_takes_others_for_those_that_cannot_be_read(
    dataset: Path, tmp_path: Path
) -> None:
    (dataset / "images" / "train" / "a_1.jpg").write_bytes(b"")

    inspect(dataset, "--contact-sheet", tmp_path / "sheet.png")

    assert (tmp_path / "sheet.png").is_file()


def test_contact_sheet_of_nothing_is_said(dataset: Path, tmp_path: Path) -> None:
    for path in dataset.rglob("*.jpg"):
        path.write_bytes(b"")

    outcome = inspect(dataset, "--contact-sheet", tmp_path / "sheet.png")

    assert outcome.status == 1
    assert "contact sheet: not written, as no photograph can be read" in outcome.text


def test_limit_below_one_is_refused(dataset: Path) -> None:
    with pytest.raises(ValueError, match="--limit must be at least 1, got 0"):
        inspect(dataset, "--limit", "0")


def test_unknown_split_is_refused(dataset: Path) -> None:
    with pytest.raises(DatasetError, match=r"split 'test' .*there are train \(2\), val \(1\)"):
        inspect(dataset, "--split", "test")


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["camvid", "nyuv2", "cityscapes_sample", "cocostuff_sample"])
def test_real_photographs_can_all_be_read(real_data: Path, name: str) -> None:
    outcome = inspect(real_data / name, "--limit", "5")

    assert outcome.status == 0
    assert max(len(line) for line in outcome.text.splitlines()) <= 80
