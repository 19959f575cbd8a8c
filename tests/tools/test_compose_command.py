"""The command compose on a toytown of 64x128."""

import argparse
import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.errors import (
    BankCorruptError,
    BankError,
    CheckpointError,
    DatasetError,
)
from scenequilt.tools.commands.layouts import add_layouts_command
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.output.png import decode_numbers, decode_rgb
from scenequilt.tools.output.recipe import HASHED, FileStamp, read_recipe, sha256_of
from scenequilt.tools.training.checkpoint import read_checkpoint, write_checkpoint

Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def finished(
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a run over two layouts in two variants."""
    out = tmp_path_factory.mktemp("finished") / "out"
    run_command(
        "compose", *toytown_layouts[:2], "--bank", toytown_bank, "--out", out, "--variants", 2
    )
    return out


def _rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_every_picture_has_its_files(finished: Path) -> None:
    for row in _rows(finished):
        files = sorted(path.name for path in (finished / row["folder"]).iterdir())
        assert files == sorted([*HASHED, "recipe.json"])


def test_the_run_has_its_files(finished: Path, toytown_layouts: list[Path]) -> None:
    assert sorted(path.name for path in finished.iterdir()) == sorted(
        [
            "classes.json",
            "contact_sheet.png",
            "failures.csv",
            "index.html",
            "manifest.jsonl",
            "page_files",
            "run.json",
            *(path.stem for path in toytown_layouts[:2]),
        ]
    )


def test_the_manifest_has_a_row_a_picture(finished: Path, toytown_layouts: list[Path]) -> None:
    rows = _rows(finished)

    assert [(row["layout"], row["variant"], row["folder"]) for row in rows] == [
        (path.stem, variant, f"{path.stem}/{variant:02d}")
        for path in toytown_layouts[:2]
        for variant in (0, 1)
    ]
    for row in rows:
        assert 0 < row["coverage"] <= 1
        assert 0 < row["agreement"] <= 1
        assert row["sources"]
        assert row["seconds"]["write"] > 0
        assert set(row["diversity"]) == {"lab_difference", "dissimilarity", "unshared_sources"}


def test_a_pixel_leads_to_its_photograph(finished: Path, toytown_dataset: Path) -> None:
    """Read a copied pixel of the picture from the photograph, by ownership and matrix alone."""
    folder = finished / _rows(finished)[0]["folder"]
    image = decode_rgb(folder / "image.png")
    owner = decode_numbers(folder / "ownership.png")
    copied = decode_numbers(folder / "state.png") == 1
    placed = json.loads((folder / "provenance.json").read_text())["placed"]

    item = max(placed, key=lambda item: item["states"]["copied"])
    rows, columns = np.nonzero((owner == item["number"]) & copied)
    points = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))])
    x, y = (np.array(item["source_from_target"]) @ points).astype(np.float32)
    photograph = decode_rgb(toytown_dataset / "images" / item["split"] / f"{item['source_id']}.jpg")
    expected = cv2.remap(
        photograph, x[None] - 0.5, y[None] - 0.5, cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )[0]  # fmt: skip

    difference = np.abs(image[rows, columns].astype(int) - expected.astype(int)).max(axis=1)
    # Segments are stored as JPEG of quality 95, so a pixel may be off by a few grey levels.
    assert np.median(difference) <= 4


def test_the_attribution_names_each_photograph_and_its_share(finished: Path) -> None:
    row = _rows(finished)[0]

    with (finished / row["folder"] / "attribution.csv").open(newline="") as file:
        table = list(csv.DictReader(file))

    assert [entry["source"] for entry in table] == row["sources"]
    assert {entry["licence"] for entry in table} == {"CC0-1.0"}
    assert 0 < sum(float(entry["share"]) for entry in table) <= 1


def test_variants_are_of_other_photographs(finished: Path) -> None:
    first, second = _rows(finished)[:2]

    assert set(first["sources"]) != set(second["sources"])


def test_the_same_seed_gives_the_same_bytes(
    finished: Path,
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    tmp_path: Path,
) -> None:
    arguments = [*toytown_layouts[:2], "--bank", toytown_bank, "--variants", 2]
    run_command("compose", *arguments, "--out", tmp_path / "out")

    for row in _rows(finished):
        for name in [*HASHED, "recipe.json"]:
            ours = (tmp_path / "out" / row["folder"] / name).read_bytes()
            assert ours == (finished / row["folder"] / name).read_bytes(), name


def test_json_is_one_object_with_what_was_measured(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    outcome = run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path, "--json"
    )

    summary = json.loads(outcome.text)
    assert (summary["layouts"], summary["pictures"]) == (1, 1)
    assert summary["median_seconds"]["all"] > 0
    assert summary["peak_memory_bytes"] > 1 << 20
    assert summary["agreement_by_class"]
    assert summary["diversity"] is None


def test_a_bad_layout_is_listed_and_the_others_are_made(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    cv2.imwrite(str(bad), np.full((64, 128), 77, np.uint8))

    outcome = run_command(
        "compose", bad, toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path / "out"
    )

    assert outcome.status == 1
    assert "1 layout left out" in outcome.text
    with (tmp_path / "out" / "failures.csv").open(newline="") as file:
        failures = list(csv.DictReader(file))
    assert [failure["layout"] for failure in failures] == [str(bad)]
    assert "77" in failures[0]["message"]
    assert "say what its values mean with --classes FILE" in failures[0]["message"]
    assert len(_rows(tmp_path / "out")) == 1


def test_a_link_to_nothing_is_listed_and_a_folder_named_png_is_no_layout(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    asked.mkdir()
    shutil.copy(toytown_layouts[0], asked)
    (asked / "gone.png").symlink_to(tmp_path / "nothing.png")
    (asked / "folder.png").mkdir()

    outcome = run_command("compose", asked, "--bank", toytown_bank, "--out", tmp_path / "out")

    assert outcome.status == 1
    failures = (tmp_path / "out" / "failures.csv").read_text()
    assert "nothing.png: cannot be read (No such file or directory)" in failures
    assert "folder.png" not in failures
    assert len(_rows(tmp_path / "out")) == 1


def test_a_damaged_bank_ends_the_run_and_is_not_put_down_to_a_layout(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    bank = tmp_path / "bank"
    shutil.copytree(toytown_bank, bank)
    for shard in (bank / "shards").glob("*.h5"):
        content = bytearray(shard.read_bytes())
        middle = slice(len(content) // 8, len(content) * 7 // 8)
        content[middle] = bytes(middle.stop - middle.start)
        shard.write_bytes(content)

    with pytest.raises(BankCorruptError, match=r"shards.*\.h5"):
        run_command("compose", *toytown_layouts[:2], "--bank", bank, "--out", tmp_path / "out")


def test_a_layout_of_the_bank_is_said_and_its_photograph_can_be_left_out(
    run_command: Run, toytown_bank: Path, toytown_dataset: Path, tmp_path: Path
) -> None:
    layout = min((toytown_dataset / "labels" / "train").glob("*.png"))
    argv = ["compose", layout, "--bank", toytown_bank, "--out"]

    plain = run_command(*argv, tmp_path / "plain")
    honest = run_command(*argv, tmp_path / "honest", "--exclude-own")

    assert "1 of these layouts are of photographs in the bank" in plain.text
    assert layout.stem in _rows(tmp_path / "plain")[0]["sources"]
    assert "--exclude-own" not in honest.text
    assert layout.stem not in _rows(tmp_path / "honest")[0]["sources"]
    assert run_command("replay", tmp_path / "honest").status == 0


@pytest.fixture
def derived(toytown_dataset: Path, tmp_path: Path) -> Path:
    """A folder of two layouts that were derived from photographs of the bank."""
    parser = argparse.ArgumentParser()
    add_layouts_command(parser.add_subparsers(required=True))
    args = parser.parse_args(
        ["layouts", str(toytown_dataset), "--split", "train", "--out", str(tmp_path / "derived"),
         "--count", "2", "--edits", "flip,insert"]
    )  # fmt: skip
    args.run(args)
    return tmp_path / "derived"


def test_the_parents_of_a_derived_layout_can_be_left_out(
    run_command: Run, toytown_bank: Path, derived: Path, tmp_path: Path
) -> None:
    lines = (derived / "layouts.jsonl").read_text().splitlines()
    parents = {row["name"]: set(row["parents"]) for row in map(json.loads, lines)}
    argv = ["compose", derived, "--bank", toytown_bank, "--out"]

    plain = run_command(*argv, tmp_path / "plain")
    honest = run_command(*argv, tmp_path / "honest", "--exclude-own")

    assert "2 of these layouts are of photographs in the bank, or derived from such" in plain.text
    assert "--exclude-own" not in honest.text
    for row in _rows(tmp_path / "honest"):
        assert set(row["own_photographs"]) == parents[row["layout"]]
        assert not parents[row["layout"]] & set(row["sources"])
    assert any(parents[row["layout"]] & set(row["sources"]) for row in _rows(tmp_path / "plain"))


def test_a_picture_without_its_parents_is_replayed_from_a_layout_that_was_moved(
    run_command: Run, toytown_bank: Path, derived: Path, tmp_path: Path
) -> None:
    run_command(
        "compose", derived, "--bank", toytown_bank, "--out", tmp_path / "out", "--exclude-own",
        "--limit", 1,
    )  # fmt: skip
    recipe = tmp_path / "out" / "layout_00000" / "00" / "recipe.json"
    moved = tmp_path / "moved"
    for kind in ("labels", "instances"):
        shutil.copytree(derived / kind, moved / kind)

    beside = run_command("replay", recipe)
    alone = run_command("replay", recipe, "--layout", moved / "labels" / "layout_00000.png")

    assert (beside.status, alone.status) == (0, 0)


def test_a_record_of_parents_that_cannot_be_read_stops_only_who_asks_for_it(
    run_command: Run, toytown_bank: Path, derived: Path, tmp_path: Path
) -> None:
    (derived / "layouts.jsonl").write_text("not ours")
    argv = ["compose", derived, "--bank", toytown_bank, "--out"]

    plain = run_command(*argv, tmp_path / "plain")
    honest = run_command(*argv, tmp_path / "honest", "--exclude-own")

    assert plain.status == 0
    assert honest.status == 1
    assert "layouts.jsonl: cannot be read" in honest.text


def test_a_class_without_a_segment_is_named(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    bank = tmp_path / "bank"
    shutil.copytree(toytown_bank, bank)
    outcome = run_command(
        "compose", toytown_layouts[0], "--bank", bank, "--out", tmp_path / "out",
        "--where", "area>=1500",
    )  # fmt: skip

    row = _rows(tmp_path / "out")[0]
    assert row["open_classes"]
    reason = next(iter(row["open_classes"].values()))
    assert outcome.status == 1
    assert "left without a segment: " in outcome.text
    assert f"({reason})" in outcome.text
    assert "area>=1500" in reason


def test_a_layout_for_which_the_bank_has_nothing_fails(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    outcome = run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path / "out",
        "--where", "area>=100000",
    )  # fmt: skip

    assert outcome.status == 1
    assert "0 pictures of 1 layout" in outcome.text
    assert "area>=100000" in (tmp_path / "out" / "failures.csv").read_text()


def test_a_filter_that_names_nothing_in_the_bank_is_refused(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"sequence!=town-0'.* nearest .*'town-00'"):
        run_command(
            "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path / "out",
            "--where", "sequence!=town-0",
        )  # fmt: skip

    assert not (tmp_path / "out").exists()


def test_size_brings_the_layout_to_that_size(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path, "--size", "48x80"
    )

    with Image.open(tmp_path / _rows(tmp_path)[0]["folder"] / "image.png") as picture:
        assert picture.size == (80, 48)


def test_finish_none_stops_at_the_canvas(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path, "--finish", "none"
    )

    states = _rows(tmp_path)[0]["states"]
    assert states["recoloured"] == states["blended"] == states["synthesised"] == 0


def test_without_weights_it_says_that_everything_is_closed(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    outcome = run_command("compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path)

    lines = outcome.text.splitlines()
    assert "stages: align closed, order closed, finish closed (no weights needed)" in lines
    assert not any(key.startswith("weights") for key in _plan(tmp_path))


@pytest.fixture(scope="module")
def painted(
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    toytown_weights: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, Outcome]:
    """The folder of a run over a layout in two variants, finished by weights, and its outcome."""
    out = tmp_path_factory.mktemp("painted") / "out"
    outcome = run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", out, "--variants", 2,
        "--weights", toytown_weights,
    )  # fmt: skip
    return out, outcome


def _plan(out: Path) -> dict[str, Any]:
    plan: dict[str, Any] = json.loads((out / "run.json").read_text())
    return plan


def test_stages_that_there_are_weights_for_run_learned(
    painted: tuple[Path, Outcome], toytown_weights: Path
) -> None:
    out, outcome = painted
    file = toytown_weights / "synthesis.safetensors"

    stamp = {"path": str(file), "sha256": sha256_of(file)}
    assert "stages: align closed, order closed, finish sims" in outcome.text.splitlines()
    assert _plan(out)["weights_finish"] == stamp
    for row in _rows(out):
        recipe = read_recipe(out / row["folder"] / "recipe.json")
        assert recipe.weights == {"finish": FileStamp(**stamp)}
        assert (recipe.choices.finish, recipe.choices.align) == ("sims", "closed")
        assert recipe.settings["compose"]["elision"]["inner_band"] == 0.03, "as it was trained with"
        assert recipe.settings["finish"]["name"] == "sims"
        assert row["states"]["synthesised"] > 0
        assert row["states"]["open"] == 0


def test_variants_keep_differing_after_the_network(painted: tuple[Path, Outcome]) -> None:
    one, other = (
        decode_rgb(painted[0] / row["folder"] / "image.png").astype(int)
        for row in _rows(painted[0])
    )

    assert np.abs(one - other).mean() > 3


@pytest.mark.parametrize(
    ("arguments", "finish"),
    [
        (["--finish", "closed"], "closed"),
        (["--blend", "hard"], "sims"),
        (["--no-elision"], "sims"),
    ],
)
def test_what_is_asked_for_goes_before_weights(
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    toytown_weights: Path,
    tmp_path: Path,
    arguments: list[str],
    finish: str,
) -> None:
    outcome = run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path,
        "--weights", toytown_weights, *arguments,
    )  # fmt: skip

    assert f"finish {finish}" in outcome.text
    assert ("weights_finish" in _plan(tmp_path)) == (finish == "sims")


def test_the_retrieval_guided_finish_copies_what_needs_no_change(
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    toytown_resail_weights: Path,
    tmp_path: Path,
) -> None:
    """Found by its weights, replayed to the same bytes; painted too, nothing would be copied."""
    states = {}
    for kept in ("exact", "free"):
        outcome = run_command(
            "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path / kept,
            "--weights", toytown_resail_weights, "--no-color-transfer", "--kept", kept,
        )  # fmt: skip
        assert "stages: align closed, order closed, finish resail" in outcome.text.splitlines()
        states[kept] = _rows(tmp_path / kept)[0]["states"]
    replayed = run_command("replay", tmp_path / "exact")

    recipe = read_recipe(
        tmp_path / "exact" / _rows(tmp_path / "exact")[0]["folder"] / "recipe.json"
    )
    assert recipe.weights["finish"].path.endswith("resail.safetensors")
    assert (recipe.choices.finish, recipe.choices.kept) == ("resail", "exact")
    assert recipe.settings["finish"]["margin_px"] == 3
    assert states["exact"]["copied"] > 10 * states["free"].get("copied", 0)
    assert replayed.status == 0


def test_without_elision_less_is_painted(
    painted: tuple[Path, Outcome],
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    toytown_weights: Path,
    tmp_path: Path,
) -> None:
    run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path,
        "--weights", toytown_weights, "--no-elision", "--no-color-transfer",
    )  # fmt: skip

    with_elision, without = (_rows(out)[0]["states"] for out in (painted[0], tmp_path))
    assert without["synthesised"] < with_elision["synthesised"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--finish", "sims"], r"'finish' needs synthesis\.safetensors, and no weights.*--weights"),
        (["--finish", "resail"], r"'finish' needs resail\.safetensors, and no weights.*--weights"),
        (["--align", "learned"], r"'align' needs aligner\.safetensors, and no weights.*--weights"),
        (["--weights", "nowhere"], "nowhere is no folder; give one with any of aligner"),
    ],
)
def test_a_learned_stage_without_weights_is_refused_with_the_remedy(
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    out = tmp_path / "out"

    with pytest.raises(CheckpointError, match=message):
        run_command("compose", toytown_layouts[0], "--bank", toytown_bank, "--out", out, *arguments)

    assert not out.exists()


def test_a_stage_that_a_folder_of_weights_lacks_is_named(
    run_command: Run, toytown_bank: Path, toytown_weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        CheckpointError, match=r"orderer\.safetensors is missing, which the learned stage 'order'"
    ):
        run_command(
            "compose", "a.png", "--bank", toytown_bank, "--out", tmp_path / "out",
            "--weights", toytown_weights, "--order", "learned",
        )  # fmt: skip


def test_going_on_with_other_weights_is_refused(
    painted: tuple[Path, Outcome],
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    toytown_weights: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(painted[0], tmp_path / "out")
    checkpoint = read_checkpoint(toytown_weights / "synthesis.safetensors")
    (tmp_path / "weights").mkdir()
    write_checkpoint(
        tmp_path / "weights" / "synthesis.safetensors", checkpoint.state, checkpoint.card
    )

    with pytest.raises(ValueError, match="weights_finish"):
        run_command(
            "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path / "out",
            "--variants", 2, "--weights", tmp_path / "weights", "--resume",
        )  # fmt: skip


def test_weights_of_other_classes_are_refused(
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    toytown_weights: Path,
    tmp_path: Path,
) -> None:
    checkpoint = read_checkpoint(toytown_weights / "synthesis.safetensors")
    taxonomy = json.loads(json.dumps(checkpoint.card.taxonomy))
    taxonomy["classes"][0]["name"] = "heaven"
    write_checkpoint(
        tmp_path / "synthesis.safetensors",
        checkpoint.state,
        dataclasses.replace(checkpoint.card, taxonomy=taxonomy),
    )

    with pytest.raises(CheckpointError, match="trained on the classes heaven, .*bank has sky, "):
        run_command(
            "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path / "out",
            "--weights", tmp_path,
        )  # fmt: skip


def test_context_counts_in_retrieval(
    finished: Path,
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    tmp_path: Path,
) -> None:
    run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path, "--context", 0
    )

    with_context, without = (_rows(out)[0] for out in (finished, tmp_path))
    recipe = read_recipe(tmp_path / without["folder"] / "recipe.json")
    assert recipe.settings["compose"]["weights"]["context"] == 0
    placed = json.loads((tmp_path / without["folder"] / "provenance.json").read_text())["placed"]
    assert placed
    assert with_context["sources"] != without["sources"]


def test_a_style_photograph_changes_the_picture(
    finished: Path,
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    toytown_dataset: Path,
    tmp_path: Path,
) -> None:
    row = _rows(finished)[0]
    used = set(row["sources"])
    style = next(
        path
        for path in sorted((toytown_dataset / "images" / "train").iterdir(), reverse=True)
        if path.stem not in used
    )

    run_command(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path, "--style", style
    )

    assert (tmp_path / row["folder"] / "image.png").read_bytes() != (
        finished / row["folder"] / "image.png"
    ).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--where", "colour=red"], ValueError, "unknown key 'colour'"),
        (["--finish", "none", "--blend", "hard"], ValueError, "'hard' needs finish 'closed' or"),
        (["--kept", "free"], ValueError, "kept 'free' needs finish 'resail', got 'closed'"),
        (["--context", "-1"], ValueError, r"context is -1\.0, expected at least 0"),
        (["--style", "nowhere.jpg"], ValueError, "nowhere.jpg: no such file, expected a photo"),
        (["--classes", "nowhere.json"], DatasetError, "nowhere.json is missing"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_written(
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    tmp_path: Path,
    arguments: list[str],
    error: type[Exception],
    message: str,
) -> None:
    out = tmp_path / "out"

    with pytest.raises(error, match=message):
        run_command("compose", toytown_layouts[0], "--bank", toytown_bank, "--out", out, *arguments)

    assert not out.exists()


def test_a_style_that_is_no_picture_is_refused(
    run_command: Run, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    style = tmp_path / "style.jpg"
    style.write_text("a poem")

    with pytest.raises(ValueError, match=r"style.jpg: cannot be read as a picture .*for --style"):
        run_command(
            "compose", toytown_layouts[0], "--bank", toytown_bank, "--out", tmp_path / "out",
            "--style", style,
        )  # fmt: skip


def test_a_folder_that_is_no_bank_is_named(
    run_command: Run, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(BankError, match="empty"):
        run_command(
            "compose", toytown_layouts[0], "--bank", tmp_path / "empty", "--out", tmp_path / "out"
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "large"], "'large' is not a size; give height x width in pixels"),
        (["--size", "0x20"], "'0x20' is not a size"),
        (["--seed", "-1"], "'-1' is not a whole number from 0 to below 2^63"),
        (["--variants", "0"], "'0' is not a whole number of at least 1"),
        (["--resume", "--force"], "not allowed with argument"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused(
    run_command: Run, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        run_command("compose", "a.png", "--bank", "b", "--out", "c", *arguments)

    assert message in capsys.readouterr().err


def test_other_class_numbers_are_matched_by_name(
    finished: Path,
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    toytown_dataset: Path,
    tmp_path: Path,
) -> None:
    """The same layout with every id 100 higher, and a classes.json that says so."""
    table = json.loads((toytown_dataset / "classes.json").read_text())
    table["name"] = "shifted"
    for entry in table["classes"]:
        entry["id"] += 100
    (tmp_path / "classes.json").write_text(json.dumps(table))
    labels = decode_numbers(toytown_layouts[0])
    shifted = np.where(np.isin(labels, table["void_ids"]), labels, labels + 100)
    name = toytown_layouts[0].name
    for kind in ("instances", "depth"):
        (tmp_path / kind).mkdir()
        shutil.copy(toytown_dataset / kind / "val" / name, tmp_path / kind / name)
    (tmp_path / "labels").mkdir()
    cv2.imwrite(str(tmp_path / "labels" / name), shifted.astype(np.uint8))

    run_command(
        "compose", tmp_path / "labels" / name, "--bank", toytown_bank, "--out", tmp_path / "out",
        "--classes", tmp_path / "classes.json",
    )  # fmt: skip

    ours, theirs = _rows(tmp_path / "out")[0]["folder"], _rows(finished)[0]["folder"]
    assert (tmp_path / "out" / ours / "image.png").read_bytes() == (
        finished / theirs / "image.png"
    ).read_bytes()


def test_resume_makes_only_what_is_missing(
    finished: Path,
    run_command: Run,
    toytown_bank: Path,
    toytown_layouts: list[Path],
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    rows = _rows(out)
    shutil.rmtree(out / rows[0]["folder"])
    kept = (out / rows[2]["folder"] / "image.png").stat().st_mtime_ns

    outcome = run_command(
        "compose", *toytown_layouts[:2], "--bank", toytown_bank, "--out", out, "--variants", 2,
        "--resume",
    )  # fmt: skip

    assert "4 pictures of 2 layouts" in outcome.text
    assert "2 of them kept" in outcome.text
    assert (out / rows[2]["folder"] / "image.png").stat().st_mtime_ns == kept
    for row in rows:
        for name in HASHED:
            ours = (out / row["folder"] / name).read_bytes()
            assert ours == (finished / row["folder"] / name).read_bytes(), name


def test_the_python_path_is_the_same_code(
    finished: Path, toytown_bank: Path, toytown_layouts: list[Path]
) -> None:
    from scenequilt.memory_bank.datasets.layout_file import companions, read_layout
    from scenequilt.synthesis.compose import compose

    beside = companions(toytown_layouts[0])
    with MemoryBank.open(toytown_bank) as bank:
        layout = read_layout(
            toytown_layouts[0],
            bank.taxonomy,
            instance_path=beside.instance_path,
            depth_path=beside.depth_path,
        )
        composition = compose(layout, bank)

    with Image.open(finished / _rows(finished)[0]["folder"] / "image.png") as picture:
        assert (np.asarray(picture) == composition.image).all()


@pytest.mark.slow
def test_a_run_killed_at_any_instant_goes_on_to_the_same_bytes(
    finished: Path, toytown_bank: Path, toytown_layouts: list[Path], tmp_path: Path
) -> None:
    arguments = [
        str(Path(sys.executable).with_name("scenequilt")), "compose",
        *map(str, toytown_layouts[:2]), "--bank", str(toytown_bank), "--variants", "2",
        "--out", str(tmp_path / "out"), "--resume",
    ]  # fmt: skip
    started = time.perf_counter()
    subprocess.run([*arguments[:-2], str(tmp_path / "whole")], check=True, capture_output=True)
    whole_s = time.perf_counter() - started
    rng = np.random.default_rng(7)

    for _ in range(8):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        with subprocess.Popen(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            time.sleep(rng.uniform(0.5, 1.0) * whole_s)
            process.kill()
        subprocess.run(arguments, check=True, capture_output=True)

        assert len(_rows(tmp_path / "out")) == 4
        assert not list((tmp_path / "out").glob(".*"))
        for row in _rows(finished):
            for name in HASHED:
                ours = (tmp_path / "out" / row["folder"] / name).read_bytes()
                assert ours == (finished / row["folder"] / name).read_bytes(), name


def test_from_pictures_to_a_replay_by_the_installed_command(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("scenequilt")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def run(*argv: str) -> str:
        done = subprocess.run(
            [str(command), *argv], cwd=tmp_path, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("toytown", "--out", "town", "--count", "16", "--seed", "2", "--size", "64x128")
    run("bank", "build", "town", "--out", "bank", "--split", "train", "--min-area", "12")
    run("compose", "town/labels/val", "--bank", "bank", "--out", "pictures")
    recipe = next((tmp_path / "pictures").glob("*/00/recipe.json"))

    assert run("replay", str(recipe)).startswith("identical: ")
