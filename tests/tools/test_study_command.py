"""The command study: from folders to a page, and from answers to rates."""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.commands.study import add_study_command


def study(*words: object) -> Outcome:
    parser = argparse.ArgumentParser()
    add_study_command(parser.add_subparsers())
    args = parser.parse_args(["study", *map(str, words)])
    outcome: Outcome = args.run(args)
    return outcome


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Five pictures of 24x32 each: a run, two folders of pictures, photographs."""
    root = tmp_path_factory.mktemp("folders")
    draw = np.random.default_rng(0)
    for name in ("run", "other", "third", "photographs"):
        for number in range(5):
            layout = f"street_{number}"
            path = root / name / (f"{layout}/00/image.png" if name == "run" else f"{layout}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(draw.integers(0, 256, (24, 32, 3)).astype(np.uint8)).save(path)
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def page(folders: dict[str, Path], tmp_path: Path) -> Path:
    study(
        "make", "--a", f"ours={folders['run']}", "--b", folders["other"], "--out",
        tmp_path / "page.html", "--pairs", 4, "--sentinels", 2,
    )  # fmt: skip
    return tmp_path / "page.html"


def _answers(key_file: Path, person: str, *, careful: bool = True) -> Path:
    """Write answers that always prefer "ours"."""
    key: dict[str, Any] = json.loads(key_file.read_text())
    rows = [
        {
            "trial": trial_id,
            "left": row["pictures"][0],
            "right": row["pictures"][1],
            "choice": "left"
            if (row["left"] == "ours" and row["kind"] == "pair")
            or (row["kind"] == "sentinel" and (row["right"] == "sentinel") == careful)
            else "right",
            "response_ms": 900,
            "shown_ms": 900,
            "asked_ms": None,
            "shows": 1,
        }
        for trial_id, row in key["trials"].items()
        if row["kind"] != "practice"
    ]
    path = key_file.with_name(f"{person}.json")
    found = {
        "format": "scenequilt answers", "version": 1, "study": key["study"],
        "plan_sha256": key["plan_sha256"], "person": person, "answers": rows,
    }  # fmt: skip
    path.write_text(json.dumps(found))
    return path


def test_make_says_what_the_study_is_of(folders: dict[str, Path], tmp_path: Path) -> None:
    made = study(
        "make", "--a", f"ours={folders['run']}", "--b", folders["other"], "--c", folders["third"],
        "--real", folders["photographs"], "--out", tmp_path / "page.html", "--timed",
    )  # fmt: skip

    assert made.status == 0
    assert "126 pairs and 10 sentinels, shown for 125, 250, 500, 1000, 2000, 4000, 8000 ms" in made.text  # fmt: skip
    assert "systems   ours, other, third, photograph" in made.text
    assert "only 30 of the pairs are different ones" in made.text
    assert (tmp_path / "page.key.json").is_file()


def test_photographs_are_enough_to_compare_one_system_with(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    dataset = tmp_path / "dataset"
    shutil.copytree(folders["photographs"], dataset / "images" / "val")
    (dataset / "labels" / "val").mkdir(parents=True)

    made = study(
        "make", "--a", f"ours={folders['run']}", "--real", dataset, "--out",
        tmp_path / "page.html", "--pairs", 5,
    )  # fmt: skip

    assert made.status == 0
    assert "systems   ours, photograph" in made.text
    assert "layouts   5\n" in made.text


def test_one_system_alone_is_refused_with_the_remedy(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"is the only system.*--b DIR .*--real DIR"):
        study("make", "--a", folders["run"], "--out", tmp_path / "page.html")


def test_a_copy_as_a_system_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(folders["photographs"], tmp_path / "copy")

    with pytest.raises(ValueError, match=r"hold the same pictures, byte by byte, of all 5 layouts"):
        study(
            "make", "--a", copy, "--real", folders["photographs"], "--out", tmp_path / "page.html"
        )
    assert not (tmp_path / "page.html").exists()


def test_pictures_that_are_the_same_are_warned_of(folders: dict[str, Path], tmp_path: Path) -> None:
    partly = shutil.copytree(folders["other"], tmp_path / "partly")
    shutil.copy(folders["third"] / "street_1.png", partly)

    made = study("make", "--a", partly, "--b", folders["third"], "--out", tmp_path / "page.html")

    assert made.status == 0
    assert (
        "partly and third have the same picture, byte by byte, of 1 of the 5 layouts" in made.text
    )


def test_few_pairs_and_few_sentinels_are_explained(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    made = study(
        "make", "--a", folders["other"], "--b", folders["third"], "--out", tmp_path / "page.html",
        "--pairs", 3, "--sentinels", 2,
    )  # fmt: skip

    assert "layouts   3 of 5: each of the 3 pairs shows one, drawn by chance" in made.text
    assert "who chooses at random passes 2 sentinels" in made.text
    assert "with a chance of 25 %" in made.text


@pytest.mark.parametrize("verb", ["make", "score"])
def test_help_says_what_a_sentinel_is_before_it_speaks_of_one(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        study(verb, "--help")

    told = " ".join(capsys.readouterr().out.split("options:")[0].split())
    assert "pairs with an obvious answer" in told
    assert "%%" not in told


def test_times_and_size_can_be_chosen(folders: dict[str, Path], tmp_path: Path) -> None:
    made = study(
        "make", "--a", folders["run"], "--b", folders["other"], "--out", tmp_path / "page.html",
        "--times", "500,125", "--size", "16x40", "--pairs", 4,
    )  # fmt: skip

    assert "shown for 125, 500 ms" in made.text
    assert "at 16x40 (height x width)" in made.text


def test_a_layout_that_is_missing_is_left_out_only_on_request(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    fewer = shutil.copytree(folders["other"], tmp_path / "fewer")
    (fewer / "street_3.png").unlink()
    words = ("make", "--a", folders["run"], "--b", fewer, "--out", tmp_path / "page.html")

    with pytest.raises(ValueError, match=r"fewer: no picture of 1 of 5 layouts, e\.g\. street_3"):
        study(*words)
    made = study(*words, "--partial")

    assert made.status == 1
    assert "left out, as not all folders have them: 1 of the layouts, street_3" in made.text


def test_variants_gathered_by_hand_pair_with_a_run_and_with_nested_pictures(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    for number in range(5):
        variants = tmp_path / "variants" / f"street_{number}"
        variants.mkdir(parents=True)
        for variant, name in enumerate(("other", "third")):
            shutil.copy(folders[name] / f"street_{number}.png", variants / f"{variant:02d}.png")
    shutil.copytree(folders["photographs"], tmp_path / "nested" / "val" / "town")

    made = study(
        "make", "--a", tmp_path / "variants", "--b", folders["run"], "--c", tmp_path / "nested",
        "--out", tmp_path / "page.html", "--pairs", 15,
    )  # fmt: skip

    assert made.status == 0
    assert "systems   variants, run, nested" in made.text
    assert "layouts   5\n" in made.text
    assert "variants: of several variants of a layout the first is shown; 5 further" in made.text


def test_a_page_that_cannot_be_written_is_named(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ValueError, match=r"--out .*page\.html: cannot be written .*; name a file"):
        study(
            "make", "--a", folders["other"], "--b", folders["third"],
            "--out", tmp_path / "file" / "page.html", "--pairs", 2,
        )  # fmt: skip


def test_score_prints_rates(page: Path) -> None:
    key = page.with_name("page.key.json")

    scored = study("score", _answers(key, "ada"), _answers(key, "bob"), "--key", key)

    assert scored.status == 0
    assert "ours over other" in scored.text
    assert "100.0 %" in scored.text
    assert "63.1 to 100.0" in scored.text, "the exact interval of 8 of 8"
    assert "0.008" in scored.text, "2 / 256"


def test_score_names_who_is_left_out_and_leaves_with_1(page: Path) -> None:
    key = page.with_name("page.key.json")

    scored = study("score", _answers(key, "bob", careful=False), "--key", key)

    assert scored.status == 1
    assert "left out: bob, 2 of 2 sentinels wrong, more than 10 %" in scored.text


def test_score_as_json_and_to_a_file_are_the_same(page: Path, tmp_path: Path) -> None:
    key = page.with_name("page.key.json")

    scored = study(
        "score", _answers(key, "ada"), "--key", key, "--json", "--out", tmp_path / "score.json"
    )

    found = json.loads(scored.text)
    assert found == json.loads((tmp_path / "score.json").read_text())
    assert found["preferences"][0]["preferred"] == 4
    assert found["preferences"][0]["answers"] == 4


def test_score_overwrites_neither_the_key_nor_answers(page: Path) -> None:
    key = page.with_name("page.key.json")
    ada, bob = _answers(key, "ada"), _answers(key, "bob")
    link = key.with_name("link.json")
    link.symlink_to(bob)
    before = {path: path.read_bytes() for path in (key, ada, bob)}

    for out in (key, ada, bob, link):
        with pytest.raises(ValueError, match=r"is one of the files that the score is made of"):
            study("score", ada, bob, "--key", key, "--out", out)
    with pytest.raises(ValueError, match=r"bob\.json is there already and no score of a study"):
        study("score", ada, "--key", key, "--out", bob)

    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("content", [b"my notes", b"\xff\xfe", b"[]", b'{"format": "other"}', b""])
def test_score_overwrites_no_other_file(page: Path, content: bytes) -> None:
    key = page.with_name("page.key.json")
    out = page.with_name("notes.json")
    out.write_bytes(content)

    with pytest.raises(ValueError, match=r"notes\.json is there already.*give another --out"):
        study("score", _answers(key, "ada"), "--key", key, "--out", out)

    assert out.read_bytes() == content


def test_score_replaces_an_earlier_score(page: Path) -> None:
    key = page.with_name("page.key.json")
    out = page.with_name("scores") / "score.json"

    study("score", _answers(key, "ada"), "--key", key, "--out", out)
    study("score", _answers(key, "ada"), _answers(key, "bob"), "--key", key, "--out", out)

    assert [person["person"] for person in json.loads(out.read_text())["people"]] == ["ada", "bob"]


def test_an_out_that_cannot_be_written_is_named_with_the_remedy(page: Path) -> None:
    key = page.with_name("page.key.json")
    ada = _answers(key, "ada")

    with pytest.raises(
        ValueError, match=r"is a folder, expected a file; give --out .*/score\.json"
    ):
        study("score", ada, "--key", key, "--out", page.parent)
    with pytest.raises(ValueError, match=r"score\.json: cannot be written .*; name a file"):
        study("score", ada, "--key", key, "--out", page / "score.json")


def test_a_folder_in_place_of_answers_or_key_is_named_with_the_remedy(page: Path) -> None:
    key = page.with_name("page.key.json")

    with pytest.raises(ValueError, match=r"a folder, expected a file that .*e\.g\. .*/\*\.json"):
        study("score", page.parent, "--key", key)
    with pytest.raises(
        ValueError, match=r"a folder, expected the \.key\.json.*name the file in it"
    ):
        study("score", _answers(key, "ada"), "--key", page.parent)
    with pytest.raises(ValueError, match=r"cannot be read \(Not a directory\), expected a file"):
        study("score", page / "ada.json", "--key", key)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--times", "250,fast"), "'250,fast' is not a list of times in ms"),
        (("--size", "big"), "'big' is not a size"),
        (("--c", "=x"), "'=x' is not NAME=DIR"),
        (("--seed", "-1"), "'-1' is not a whole number from 0 to below 2^63"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        study("make", "--a", "x", "--b", "y", "--out", "z.html", *words)

    assert message in capsys.readouterr().err
