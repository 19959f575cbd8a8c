"""The command generate on the street of three classes."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.memory_bank.taxonomy import Taxonomy, read_taxonomy
from scenequilt.synthesis.baselines.crn import CRNSettings
from scenequilt.synthesis.baselines.pi_rec import PiRecSettings
from scenequilt.synthesis.baselines.pix2pixhd import Pix2PixHDSettings
from scenequilt.synthesis.registry import load_baseline
from scenequilt.tools.commands.generate import add_generate_command
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.layout_parents import read_parents
from scenequilt.tools.output.png import decode_numbers, decode_rgb
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import (
    CheckpointCard,
    program_version,
    read_checkpoint,
    write_checkpoint,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Run = Callable[..., Outcome]


def _run(*argv: str | Path | int) -> Outcome:
    parser = argparse.ArgumentParser()
    add_generate_command(parser.add_subparsers(required=True))
    args = parser.parse_args(["generate", *(str(item) for item in argv)])
    outcome: Outcome = args.run(args)
    return outcome


def _weights(path: Path, name: str, settings: "DataclassInstance", taxonomy: Taxonomy) -> Path:
    torch.manual_seed(0)
    network = load_baseline(name).build(len(taxonomy), settings)
    card = CheckpointCard(
        network=name, settings={"network": as_json(settings)}, taxonomy=taxonomy.as_json(),
        preprocessing={}, data={}, training={}, program=program_version(),
    )  # fmt: skip
    write_checkpoint(path, network.state_dict(), card)
    return path


@pytest.fixture
def crn(tmp_path: Path, street_taxonomy: Taxonomy) -> Path:
    """CRN that shows three images of the street's classes, and has learnt nothing."""
    settings = CRNSettings(modules=3, width=1 / 256, images=3)
    return _weights(tmp_path / "crn.safetensors", "crn", settings, street_taxonomy)


def test_pictures_come_with_the_layouts_they_show(street: Path, crn: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    outcome = _run("crn", street, "--weights", crn, "--out", out)

    assert outcome.status == 0
    assert "4 pictures of 4 layouts by CRN" in outcome.text
    for name in ("dawn", "dusk", "night", "noon"):
        assert decode_rgb(out / "images" / f"{name}.png").shape == (24, 36, 3)
        expected = np.asarray(Image.open(street / "labels" / f"{name}.png"))
        np.testing.assert_array_equal(decode_numbers(out / "labels" / f"{name}.png"), expected)
    assert decode_numbers(out / "instances" / "noon.png").max() == 1


def test_the_folder_is_a_dataset_and_knows_whose_layouts_they_are(
    street: Path, crn: Path, tmp_path: Path
) -> None:
    _run("crn", street, "--weights", crn, "--out", tmp_path / "out")

    reader = open_dataset(tmp_path / "out")

    assert [entry.source_id for entry in reader.entries()] == ["dawn", "dusk", "night", "noon"]
    rows = [json.loads(row) for row in (tmp_path / "out/layouts.jsonl").read_text().splitlines()]
    assert rows[1]["parents"] == ["dusk"] and rows[1]["seeds"] == [0]
    assert read_parents(tmp_path / "nowhere") == {}


def test_several_samples_have_seeds_in_a_row(street: Path, crn: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    outcome = _run("crn", street, "--limit", 1, "--weights", crn, "--samples", 3, "--seed", 1, "--out", out)  # fmt: skip
    _run("crn", street, "--limit", 1, "--weights", crn, "--seed", 2, "--out", tmp_path / "one")

    pictures = [decode_rgb(out / "images" / "dawn" / f"0{number}.png") for number in range(3)]
    assert "3 pictures of 1 layouts" in outcome.text
    assert not (pictures[0] == pictures[1]).all()
    assert (pictures[1] == decode_rgb(tmp_path / "one" / "images" / "dawn.png")).all()


def test_what_was_asked_for_is_written_down(street: Path, crn: Path, tmp_path: Path) -> None:
    outcome = _run("crn", street, "--weights", crn, "--size", "32x64", "--out", tmp_path / "out", "--json")  # fmt: skip

    about = json.loads((tmp_path / "out" / "generated.json").read_text())
    assert about["generator"] == "crn" and about["size_hw"] == [32, 64]
    assert len(about["weights"]["sha256"]) == 64 and about["failures"] == []
    table = json.loads(outcome.text)
    assert [row["name"] for row in table["layouts"]] == ["dawn", "dusk", "night", "noon"]
    assert table["layouts"][0]["size_hw"] == [32, 64]


def test_a_layout_that_cannot_be_read_is_named_and_the_others_are_made(
    street: Path, crn: Path, tmp_path: Path
) -> None:
    (street / "labels" / "dusk.png").write_bytes(b"no picture")

    outcome = _run("crn", street / "labels", "--weights", crn, "--out", tmp_path / "out")

    assert outcome.status == 1
    assert "1 layouts left out" in outcome.text and "dusk.png" in outcome.text
    assert len(list((tmp_path / "out" / "images").iterdir())) == 3


def test_weights_of_another_generator_are_refused_before_anything_is_written(
    street: Path, crn: Path, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"crn\.safetensors: .*'crn', expected 'pix2pix'"):
        _run("pix2pix", street, "--weights", crn, "--out", tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_an_earlier_set_is_replaced_by_force_alone(street: Path, crn: Path, tmp_path: Path) -> None:
    _run("crn", street, "--weights", crn, "--out", tmp_path / "out")

    with pytest.raises(ValueError, match="holds generated pictures already; --force replaces"):
        _run("crn", street, "--weights", crn, "--out", tmp_path / "out")
    _run("crn", street, "--limit", 1, "--weights", crn, "--out", tmp_path / "out", "--force")

    assert [each.name for each in (tmp_path / "out" / "images").iterdir()] == ["dawn.png"]


def test_layouts_of_other_classes_are_left_out_by_name(
    street: Path, crn: Path, tmp_path: Path
) -> None:
    table = json.loads((street / "classes.json").read_text())
    table["classes"][1]["name"] = "canal"
    (street / "classes.json").write_text(json.dumps(table))

    outcome = _run("crn", street, "--weights", crn, "--out", tmp_path / "out")

    assert outcome.status == 1 and "4 layouts left out" in outcome.text
    assert "has class 'canal'" in outcome.text


@pytest.fixture
def pix2pixhd(tmp_path: Path, street_taxonomy: Taxonomy) -> Path:
    """A pix2pixHD with an encoder and styles that differ."""
    settings = Pix2PixHDSettings(width=0.02, blocks=1, features=3)
    path = _weights(tmp_path / "hd.safetensors", "pix2pixhd", settings, street_taxonomy)
    checkpoint = read_checkpoint(path)
    state = dict(checkpoint.state)
    state["style_counts"] = torch.full_like(state["style_counts"], 2)
    state["style_centers"][:, 1] = 1.0
    write_checkpoint(path, state, checkpoint.card)
    return path


@pytest.fixture
def pi_rec(tmp_path: Path, street_taxonomy: Taxonomy) -> Path:
    """A PI-REC that paints layouts, or what else it is given."""
    return _weights(
        tmp_path / "pi_rec.safetensors", "pi_rec", PiRecSettings(width=1 / 16), street_taxonomy
    )


def _noon(out: Path) -> np.ndarray:
    return decode_rgb(out / "images" / "noon.png")


def test_an_object_is_taken_out_of_the_layout_and_of_the_picture(
    street: Path, crn: Path, tmp_path: Path
) -> None:
    noon = street / "labels" / "noon.png"
    _run("crn", noon, "--weights", crn, "--out", tmp_path / "with")

    outcome = _run("crn", noon, "--weights", crn, "--remove", 1, "--out", tmp_path / "without")

    assert outcome.status == 0
    labels = decode_numbers(tmp_path / "without" / "labels" / "noon.png")
    assert 26 not in labels and 26 in decode_numbers(tmp_path / "with" / "labels" / "noon.png")
    assert not (_noon(tmp_path / "with") == _noon(tmp_path / "without")).all()
    about = json.loads((tmp_path / "without" / "generated.json").read_text())
    assert about["edits"]["remove"] == [1]


def test_an_object_is_pasted_and_another_made_of_one(
    street: Path, crn: Path, tmp_path: Path
) -> None:
    mask = np.zeros((6, 5, 3), np.uint8)
    mask[1:, :, :] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")

    outcome = _run(
        "crn", street / "labels" / "noon.png", "--weights", crn, "--out", tmp_path / "out",
        "--relabel", "1=road", "--add", f"car={tmp_path / 'mask.png'}@2,30",
    )  # fmt: skip

    assert outcome.status == 0, outcome.text
    labels = decode_numbers(tmp_path / "out" / "labels" / "noon.png")
    assert (labels[19:23, 4:17] == 8).all(), "the car is road"
    assert (labels[3:8, 30:35] == 26).all() and (labels[2, 30:35] == 7).all()
    assert decode_numbers(tmp_path / "out" / "instances" / "noon.png")[5, 32] > 0


def test_one_object_changes_its_style_and_everything_else_keeps_its(
    street: Path, pix2pixhd: Path, tmp_path: Path
) -> None:
    noon = street / "labels" / "noon.png"
    for style in (0, 1):
        _run("pix2pixhd", noon, "--weights", pix2pixhd, "--restyle", f"1={style}", "--out", tmp_path / str(style))  # fmt: skip

    assert not (_noon(tmp_path / "0") == _noon(tmp_path / "1")).all()


def test_styles_are_refused_by_a_generator_without(street: Path, crn: Path, tmp_path: Path) -> None:
    outcome = _run("crn", street / "labels" / "noon.png", "--weights", crn, "--restyle", "1=0", "--out", tmp_path / "o")  # fmt: skip

    assert outcome.status == 1 and "crn has none to choose from" in outcome.text


def test_an_object_that_is_not_there_is_named(street: Path, crn: Path, tmp_path: Path) -> None:
    outcome = _run("crn", street / "labels" / "noon.png", "--weights", crn, "--remove", 9, "--out", tmp_path / "o")  # fmt: skip

    assert outcome.status == 1 and "there is no instance 9; the layout has 1" in outcome.text


@pytest.mark.parametrize("text", ["--relabel=3", "--restyle=a=1", "--add=car=m.png", "--add=m.png@1,2"])  # fmt: skip
def test_edits_that_cannot_be_read_are_refused(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _run("crn", "x.png", "--weights", "w", "--out", "o", text)

    assert "is none of" in capsys.readouterr().err


def test_pi_rec_paints_layouts_and_drawings_differently(
    street: Path, pi_rec: Path, tmp_path: Path
) -> None:
    lines = np.zeros((24, 36), np.uint8)
    lines[10] = 255
    Image.fromarray(lines).save(tmp_path / "lines.png")
    noon = street / "labels" / "noon.png"
    drawing: list[str | Path] = [
        "--lines",
        tmp_path / "lines.png",
        "--colors",
        street / "made" / "noon.png",
    ]

    _run("pi_rec", noon, "--weights", pi_rec, "--out", tmp_path / "layout")
    outcome = _run("pi_rec", noon, "--weights", pi_rec, *drawing, "--out", tmp_path / "drawing")

    assert outcome.status == 0, outcome.text
    assert not (_noon(tmp_path / "layout") == _noon(tmp_path / "drawing")).all()


@pytest.fixture
def oracle(tmp_path: Path, street_taxonomy: Taxonomy) -> Path:
    """A PI-REC that paints lines and colours of photographs."""
    settings = PiRecSettings(width=1 / 16, source="photograph")
    return _weights(tmp_path / "oracle.safetensors", "pi_rec", settings, street_taxonomy)


def test_pi_rec_paints_the_photographs_of_a_dataset_and_of_a_folder_alike(
    street: Path, oracle: Path, tmp_path: Path
) -> None:
    noon = street / "labels" / "noon.png"
    for name, given in {"dataset": street, "folder": street / "images"}.items():
        outcome = _run("pi_rec", noon, "--weights", oracle, "--photographs", given, "--out", tmp_path / name)  # fmt: skip
        assert outcome.status == 0, outcome.text
    _run("pi_rec", noon, "--weights", oracle, "--photographs", street / "made", "--out", tmp_path / "other")  # fmt: skip

    assert (_noon(tmp_path / "dataset") == _noon(tmp_path / "folder")).all()
    assert not (_noon(tmp_path / "dataset") == _noon(tmp_path / "other")).all()


def test_pi_rec_is_not_given_what_it_was_not_trained_on(
    street: Path, pi_rec: Path, oracle: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="trained on layouts, so it has never seen lines"):
        _run(
            "pi_rec", street, "--weights", pi_rec, "--photographs", street, "--out", tmp_path / "o"
        )
    with pytest.raises(ValueError, match="a layout has neither; give --photographs, --lines"):
        _run("pi_rec", street, "--weights", oracle, "--out", tmp_path / "o")

    assert not (tmp_path / "o").exists()


def test_pi_rec_finishes_the_canvases_of_a_run(
    toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path, run_command: Run
) -> None:
    run_command("compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path / "run", "--finish", "none")  # fmt: skip
    taxonomy = read_taxonomy(tmp_path / "run" / "classes.json")
    settings = PiRecSettings(width=1 / 16, source="photograph")
    weights = _weights(tmp_path / "p.safetensors", "pi_rec", settings, taxonomy)

    outcome = _run("pi_rec", "--canvas", tmp_path / "run", "--weights", weights, "--out", tmp_path / "out")  # fmt: skip

    assert outcome.status == 0, outcome.text
    name = toytown_layouts[0].stem
    delivered = decode_numbers(tmp_path / "run" / name / "00" / "label.png")
    np.testing.assert_array_equal(decode_numbers(tmp_path / "out" / "labels" / f"{name}.png"), delivered)  # fmt: skip
    assert decode_rgb(tmp_path / "out" / "images" / f"{name}.png").shape[:2] == delivered.shape
    numbers = decode_numbers(tmp_path / "run" / name / "00" / "instances.png")
    np.testing.assert_array_equal(decode_numbers(tmp_path / "out" / "instances" / f"{name}.png"), numbers)  # fmt: skip
    row = json.loads((tmp_path / "out" / "layouts.jsonl").read_text())
    assert row["parents"], "the photographs that the canvas is made of"
    with pytest.raises(ValueError, match="--canvas brings layouts of its own"):
        _run("pi_rec", "--canvas", tmp_path / "run", "--remove", 1, "--weights", weights, "--out", tmp_path / "o")  # fmt: skip


def test_a_finished_run_is_no_canvas(
    toytown_bank: Path, toytown_layouts: list[Path], pi_rec: Path, tmp_path: Path, run_command: Run
) -> None:
    run_command("compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path / "run")

    with pytest.raises(ValueError, match="run finished by 'closed', expected canvases"):
        _run("pi_rec", "--canvas", tmp_path / "run", "--weights", pi_rec, "--out", tmp_path / "o")


def test_a_style_is_refused_by_a_generator_without_encoder(
    street: Path, crn: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="this crn reads no style; train spade with"):
        _run("crn", street, "--weights", crn, "--style", street / "images", "--out", tmp_path / "o")


def test_more_samples_than_seeds_can_make_are_refused(
    street: Path, crn: Path, pi_rec: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="--samples is 4, but seeds give this crn 3 picture"):
        _run("crn", street, "--weights", crn, "--samples", 4, "--out", tmp_path / "o")
    with pytest.raises(ValueError, match="--samples is 2, but seeds give this pi_rec 1 picture"):
        _run("pi_rec", street, "--weights", pi_rec, "--samples", 2, "--out", tmp_path / "o")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--photographs"], "crn reads no photograph; only pi_rec does"),
        (["--lines", "--colors"], "crn reads no colors, lines; only pi_rec does"),
    ],
)
def test_what_a_generator_does_not_read_is_refused(
    options: list[str], message: str, street: Path, crn: Path, tmp_path: Path
) -> None:
    given = [each for option in options for each in (option, street / "images")]

    with pytest.raises(ValueError, match=message):
        _run("crn", street, "--weights", crn, "--out", tmp_path / "out", *given)


def test_half_a_drawing_and_two_sources_are_refused(
    street: Path, oracle: Path, tmp_path: Path
) -> None:
    images = street / "images"

    with pytest.raises(ValueError, match="a drawing is lines and colors; give both, or neither"):
        _run("pi_rec", street, "--weights", oracle, "--out", tmp_path / "o", "--lines", images)
    with pytest.raises(ValueError, match="give one of a photograph, a drawing and the canvases"):
        _run("pi_rec", street, "--weights", oracle, "--out", tmp_path / "o", "--lines", images, "--colors", images, "--photographs", images)  # fmt: skip


def test_no_layouts_and_a_missing_picture_are_named(
    street: Path, pi_rec: Path, oracle: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no layout was given; name label maps"):
        _run("pi_rec", "--weights", pi_rec, "--out", tmp_path / "out")
    with pytest.raises(DatasetError, match="gone does not exist; give a picture or a folder"):
        _run("pi_rec", street, "--weights", oracle, "--photographs", tmp_path / "gone", "--out", tmp_path / "out")  # fmt: skip
    (street / "made" / "noon.png").unlink()

    outcome = _run("pi_rec", street / "labels" / "noon.png", "--weights", oracle, "--photographs", street / "made", "--out", tmp_path / "out")  # fmt: skip

    assert outcome.status == 1 and "made: no picture 'noon', expected a file" in outcome.text
