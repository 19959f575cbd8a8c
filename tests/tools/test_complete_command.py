"""The command complete on the street of three classes and on toytown."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenequilt.memory_bank.build import build_bank
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy, read_taxonomy
from scenequilt.synthesis.completion.network import CompletionNet, CompletionNetSettings
from scenequilt.tools.cli import main
from scenequilt.tools.commands.complete import add_complete_command
from scenequilt.tools.commands.complete_sheet import write_complete_sheet
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.layout_files import find_layout_files, read_layout_file
from scenequilt.tools.layout_parents import read_parents
from scenequilt.tools.output.png import decode_numbers, decode_rgb
from scenequilt.tools.training.checkpoint import CheckpointCard, program_version, write_checkpoint

SETTINGS = {"modules": 3, "width": 1 / 256, "start": "nearest"}


def _run(*argv: str | Path | int) -> Outcome:
    parser = argparse.ArgumentParser()
    add_complete_command(parser.add_subparsers(required=True))
    args = parser.parse_args(["complete", *(str(item) for item in argv)])
    outcome: Outcome = args.run(args)
    return outcome


def _weights(path: Path, taxonomy: Taxonomy) -> Path:
    """Write a network that has learnt nothing yet, so it gives the nearest label."""
    network = CompletionNet(
        len(taxonomy), CompletionNetSettings(modules=3, width=1 / 256, start="nearest")
    )
    with torch.no_grad():
        network.head.weight.zero_()
        assert network.head.bias is not None
        network.head.bias.zero_()
    card = CheckpointCard(
        network="completion", settings={"network": SETTINGS}, taxonomy=taxonomy.as_json(),
        preprocessing={"height_px": 24}, data={}, training={}, program=program_version(),
    )  # fmt: skip
    write_checkpoint(path, network.state_dict(), card)
    return path


@pytest.fixture
def weights(tmp_path: Path, street_taxonomy: Taxonomy) -> Path:
    """Weights for the street's classes."""
    return _weights(tmp_path / "street.safetensors", street_taxonomy)


@pytest.fixture
def coarse(street: Path) -> Path:
    """The street's label maps with a band of void round the horizon, in labels/ of their own."""
    labels = street.parent / "coarse" / "labels"
    labels.mkdir(parents=True)
    (labels.parent / "classes.json").write_text((street / "classes.json").read_text())
    for path in sorted((street / "labels").glob("*.png")):
        numbers = np.asarray(Image.open(path)).copy()
        horizon = int(np.flatnonzero((numbers != 7).all(axis=1))[0])
        numbers[horizon - 2 : horizon + 1] = 0
        Image.fromarray(numbers).save(labels / path.name)
    return labels.parent


def _labels(folder: Path) -> dict[str, np.ndarray]:
    return {path.stem: decode_numbers(path) for path in sorted((folder / "labels").glob("*.png"))}


def test_closed_fills_with_the_nearest_label_and_says_so(coarse: Path, tmp_path: Path) -> None:
    outcome = _run(coarse, "--closed", "--out", tmp_path / "done")

    assert outcome.status == 0
    assert "4 layouts completed, void filled by nearest label (closed form, no weights)" in (
        outcome.text
    )
    done = _labels(tmp_path / "done")
    for name, before in _labels(coarse).items():
        given = before != 0
        np.testing.assert_array_equal(done[name][given], before[given])
        assert set(np.unique(done[name])) <= {7, 8, 26}
        # Of three rows of void the upper two are nearer to the sky, or as near as to the road.
        first = int(np.flatnonzero((~given).all(axis=1))[0])
        assert (done[name][first] == 7).all() and (done[name][first + 2] != 7).all()


def test_weights_fill_with_what_the_network_says(
    coarse: Path, weights: Path, tmp_path: Path
) -> None:
    outcome = _run(coarse, "--weights", weights, "--out", tmp_path / "done")
    _run(coarse, "--closed", "--out", tmp_path / "closed")

    assert "void filled by completion network (street.safetensors)" in outcome.text
    assert "probability" in outcome.text
    # At the layouts' own height a network that corrects nothing is the closed form.
    closed = _labels(tmp_path / "closed")
    for name, labels in _labels(tmp_path / "done").items():
        np.testing.assert_array_equal(labels, closed[name])


def test_the_folder_is_what_compose_reads(coarse: Path, tmp_path: Path) -> None:
    out = tmp_path / "done"
    _run(coarse, "--closed", "--out", out)

    files = find_layout_files([out])

    taxonomy = read_taxonomy(out / "classes.json")
    assert [file.name for file in files] == ["dawn", "dusk", "night", "noon"]
    for file in files:
        layout = read_layout_file(file.path, taxonomy)
        assert (layout.label_map != VOID).all()
        numbers = decode_numbers(out / "instances" / f"{file.name}.png")
        np.testing.assert_array_equal(layout.instance_map, numbers)
        np.testing.assert_array_equal(numbers > 0, layout.label_map == 2)


def test_every_layout_has_a_line_with_what_was_filled(coarse: Path, tmp_path: Path) -> None:
    out = tmp_path / "done"
    outcome = _run(coarse, "--closed", "--out", out, "--json")

    rows = [json.loads(line) for line in (out / "layouts.jsonl").read_text().splitlines()]
    about = json.loads((out / "completion.json").read_text())
    printed = json.loads(outcome.text)
    assert [row["name"] for row in rows] == ["dawn", "dusk", "night", "noon"]
    for row in rows:
        assert row["size_hw"] == [24, 36]
        assert row["void_share"] == pytest.approx((4 if row["name"] == "noon" else 3) / 24)
        assert sum(row["filled"].values()) == pytest.approx(row["void_share"])
        assert row["probability"] is None
    assert about["completer"] == printed["completer"] == "nearest label"
    assert printed["learned"] is False
    assert printed["failures"] == about["failures"] == []
    assert [row["name"] for row in printed["layouts"]] == [row["name"] for row in rows]


def test_probability_of_what_the_network_filled_is_on_record(
    coarse: Path, weights: Path, tmp_path: Path
) -> None:
    outcome = _run(coarse, "--weights", weights, "--out", tmp_path / "done", "--json")

    printed = json.loads(outcome.text)
    assert printed["learned"] is True
    # Three classes, of which one has a logit of 2.
    expected = np.exp(2) / (np.exp(2) + 2)
    for row in printed["layouts"]:
        assert row["probability"] == pytest.approx(expected, abs=0.1)


def test_photographs_of_a_dataset_are_named_as_parents(street: Path, tmp_path: Path) -> None:
    _run(street, "--closed", "--out", tmp_path / "done")
    build_bank(open_dataset(street), tmp_path / "bank", codec="png")

    parents = read_parents(tmp_path / "done" / "labels")

    assert {name: parent.names for name, parent in parents.items()} == {
        name: {name} for name in ("dawn", "dusk", "night", "noon")
    }
    again = tmp_path / "again"
    _run(tmp_path / "done", "--closed", "--out", again)
    assert read_parents(again / "labels") == parents


def test_a_single_file_of_a_dataset_knows_its_photograph_and_classes(
    street: Path, tmp_path: Path
) -> None:
    _run(street / "labels" / "dusk.png", "--closed", "--out", tmp_path / "done")

    assert read_parents(tmp_path / "done" / "labels")["dusk"].names == {"dusk"}


def test_a_layout_of_no_photograph_has_no_parents(coarse: Path, tmp_path: Path) -> None:
    _run(coarse, "--closed", "--out", tmp_path / "done")

    assert all(not each.names for each in read_parents(tmp_path / "done" / "labels").values())


def test_toytown_keeps_objects_and_depth(toytown_dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "done"
    outcome = _run(toytown_dataset, "--split", "val", "--limit", 2, "--closed", "--out", out)

    taxonomy = read_taxonomy(out / "classes.json")
    assert "2 layouts completed" in outcome.text
    for file in find_layout_files([out]):
        name = file.path.name
        before = read_layout_file(toytown_dataset / "labels" / "val" / name, taxonomy)
        after = read_layout_file(file.path, taxonomy)
        given = before.label_map != VOID
        np.testing.assert_array_equal(after.instance_map[given], before.instance_map[given])
        assert before.depth_m is not None and after.depth_m is not None
        np.testing.assert_allclose(after.depth_m, before.depth_m, atol=1e-3)


def test_layouts_are_brought_to_a_size_first(coarse: Path, tmp_path: Path) -> None:
    _run(coarse, "--closed", "--out", tmp_path / "done", "--size", "48x72", "--limit", 1)

    assert {each.shape for each in _labels(tmp_path / "done").values()} == {(48, 72)}


def test_a_contact_sheet_shows_before_and_after(coarse: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    outcome = _run(coarse, "--closed", "--out", tmp_path / "done", "--contact-sheet", sheet)

    assert f"contact sheet  {sheet.resolve()}" in outcome.text
    pixels = decode_rgb(sheet)
    assert pixels.shape[1] == 16 + 2 * (2 * 400 + 2 * 16)
    colors = {tuple(color) for color in pixels[56:300].reshape(-1, 3).tolist()}
    assert {(70, 130, 180), (128, 64, 128), (0, 0, 0)} <= colors


def test_a_sheet_of_nothing_is_refused(street_taxonomy: Taxonomy, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no layout was completed"):
        write_complete_sheet(tmp_path / "sheet.png", [], street_taxonomy, "none")


def test_what_cannot_be_completed_is_named_and_the_rest_is_done(
    coarse: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.zeros((24, 36), np.uint8)).save(coarse / "labels" / "fog.png")
    Image.fromarray(np.full((24, 36), 99, np.uint8)).save(coarse / "labels" / "glitch.png")

    outcome = _run(coarse, "--closed", "--out", tmp_path / "done")

    assert outcome.status == 1
    assert "4 layouts completed" in outcome.text and "2 layouts left out:" in outcome.text
    assert "fog.png: every pixel is void, so there is nothing to go on from" in outcome.text
    assert "glitch.png" in outcome.text and "99" in outcome.text
    assert sorted(_labels(tmp_path / "done")) == ["dawn", "dusk", "night", "noon"]


def _other_classes(path: Path, rename: dict[str, str]) -> Path:
    table = json.loads(path.read_text())
    table["name"] = "other"
    for number, entry in enumerate(table["classes"]):
        entry["name"] = rename.get(entry["name"], entry["name"])
        entry["id"] = number + 1
    table["classes"].reverse()
    out = path.with_name("other.json")
    out.write_text(json.dumps(table))
    return out


def test_classes_are_matched_by_name(coarse: Path, weights: Path, tmp_path: Path) -> None:
    labels = tmp_path / "renumbered"
    labels.mkdir()
    before = _labels(coarse)["noon"]
    renumbered = np.select([before == 7, before == 8, before == 26], [1, 2, 3], 0)
    Image.fromarray(renumbered.astype(np.uint8)).save(labels / "noon.png")
    classes = _other_classes(coarse / "classes.json", {})

    _run(labels, "--weights", weights, "--classes", classes, "--out", tmp_path / "done")

    done = _labels(tmp_path / "done")["noon"]
    np.testing.assert_array_equal(done[before != 0], before[before != 0])


def test_a_class_that_the_weights_do_not_know_is_refused_by_name(
    coarse: Path, weights: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "renumbered"
    labels.mkdir()
    Image.fromarray(np.full((4, 4), 3, np.uint8)).save(labels / "tram.png")
    classes = _other_classes(coarse / "classes.json", {"car": "tram"})

    outcome = _run(labels, "--weights", weights, "--classes", classes, "--out", tmp_path / "done")

    assert outcome.status == 1
    assert (
        "tram.png: taxonomy 'other' has class 'tram', but the weights are of taxonomy 'three' "
        "with sky, road, car; give weights that were trained on the layout's classes"
    ) in outcome.text


def test_closed_must_know_what_the_values_mean(coarse: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    file = alone / "dusk.png"
    file.write_bytes((coarse / "labels" / "dusk.png").read_bytes())

    with pytest.raises(ValueError, match=r"no classes\.json lies with them; give one with"):
        _run(file, "--closed", "--out", tmp_path / "done")
    _run(file, "--closed", "--classes", coarse / "classes.json", "--out", tmp_path / "done")

    assert "dusk" in _labels(tmp_path / "done")


def test_layouts_of_several_taxonomies_are_refused(
    coarse: Path, toytown_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="mean different classes .*one dataset after the other"):
        _run(coarse, toytown_dataset, "--closed", "--out", tmp_path / "done")


def test_nothing_is_written_over(coarse: Path, tmp_path: Path) -> None:
    out = tmp_path / "done"
    out.mkdir()
    (out / "diary.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty and no folder of completed layouts"):
        _run(coarse, "--closed", "--out", out)
    with pytest.raises(ValueError, match="not empty and no folder of completed layouts"):
        _run(coarse, "--closed", "--out", out, "--force")
    with pytest.raises(ValueError, match="is a file, expected a folder to write"):
        _run(coarse, "--closed", "--out", out / "diary.txt")
    assert [path.name for path in out.iterdir()] == ["diary.txt"]


def test_an_earlier_set_is_replaced_by_force_alone(coarse: Path, tmp_path: Path) -> None:
    out = tmp_path / "done"
    _run(coarse, "--closed", "--out", out)
    (out / "notes.txt").write_text("mine")

    with pytest.raises(ValueError, match="holds completed layouts already; --force replaces them"):
        _run(coarse, "--closed", "--out", out)
    _run(coarse / "labels" / "dusk.png", "--closed", "--out", out, "--force")

    assert sorted(_labels(out)) == ["dusk"]
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "sheet.jpg", "the contact sheet is a PNG"),
        (lambda folder: folder / "there.png", "is there already; choose another"),
        (lambda folder: folder / "no" / "sheet.png", "its folder is not there"),
    ],
)
def test_a_sheet_that_cannot_be_written_is_refused_first(
    make: Callable[[Path], Path], message: str, coarse: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.png").write_text("mine")

    with pytest.raises(ValueError, match=message):
        _run(coarse, "--closed", "--out", tmp_path / "done", "--contact-sheet", make(tmp_path))

    assert not (tmp_path / "done").exists()


def test_weights_of_another_network_are_refused(
    coarse: Path, weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="does not exist; give a .safetensors file"):
        _run(coarse, "--weights", tmp_path / "no.safetensors", "--out", tmp_path / "done")

    assert not (tmp_path / "done").exists()


def test_the_command_is_on_the_command_line(
    coarse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["complete", str(coarse), "--closed", "--out", str(tmp_path / "done")])

    assert status == 0
    assert "closed form, no weights" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["complete", str(coarse), "--out", str(tmp_path / "again")])
    assert "one of the arguments --weights --closed is required" in capsys.readouterr().err
