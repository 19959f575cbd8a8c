"""The command canvases on a toytown of 64x128."""

import argparse
import json
from itertools import pairwise
from pathlib import Path

import pytest

from scenequilt.memory_bank.errors import BankError, DatasetError
from scenequilt.synthesis.canvas_set import CanvasSet
from scenequilt.tools.cli import build_parser
from scenequilt.tools.commands.canvases import add_canvases_command
from scenequilt.tools.commands.outcome import Outcome
from scenequilt.tools.evaluation import allocator


def _run(*argv: str | Path) -> Outcome:
    parser = argparse.ArgumentParser()
    add_canvases_command(parser.add_subparsers(required=True))
    args = parser.parse_args(["canvases", *(str(item) for item in argv)])
    outcome: Outcome = args.run(args)
    return outcome


def _few(dataset: Path, bank: Path, out: Path, *more: str) -> Outcome:
    """Make one canvas of each of the 3 pictures of val, in little."""
    return _run(
        dataset, "--bank", bank, "--out", out, "--split", "val", "--variants", "1",
        "--size", "32x64", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def few(
    toytown_dataset: Path, toytown_bank: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Outcome]:
    out = tmp_path_factory.mktemp("few") / "a.h5"
    return out, _few(toytown_dataset, toytown_bank, out)


def test_it_says_what_was_made(few: tuple[Path, Outcome]) -> None:
    out, outcome = few

    assert outcome.status == 0
    megabytes = out.stat().st_size / 1e6
    assert outcome.text == (
        f"{out}: 3 canvases of 3 photographs, 0 of them held out, {megabytes:.0f} MB"
    )


def test_the_file_holds_what_was_asked_for(few: tuple[Path, Outcome]) -> None:
    canvases = CanvasSet(few[0])

    assert len(canvases) == canvases.photographs == 3
    assert canvases.read(0).image.shape == (32, 64, 3)
    making = canvases.settings
    assert (making["variants"], making["seed"], making["size_hw"]) == (1, 0, [32, 64])
    elision = making["stencil"]["elision"]
    assert (elision["inner_band"], elision["outer_band"]) == (0.0125, 0.025)


def test_as_json_it_is_one_object(
    few: tuple[Path, Outcome], toytown_dataset: Path, toytown_bank: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.h5"

    outcome = _few(toytown_dataset, toytown_bank, out, "--json", "--inner-band", "0.05")

    assert json.loads(outcome.text) == {
        "out": str(out),
        "canvases": 3,
        "held_out": 0,
        "left_out": [],
        "bytes": out.stat().st_size,
    }
    assert CanvasSet(out).settings["stencil"]["elision"]["inner_band"] == 0.05
    assert CanvasSet(out).read(0).elided.mean() > CanvasSet(few[0]).read(0).elided.mean()


def test_what_is_held_out_is_evenly_spread(
    toytown_dataset: Path, toytown_bank: Path, tmp_path: Path
) -> None:
    """One film of 10 pictures is learned from, and 3 of the 10 of another held out."""
    films = sorted(
        {line.split(",")[2] for line in (toytown_dataset / "sources.csv").read_text().split()[1:]
         if line.startswith("train,")}
    )  # fmt: skip
    sizes = {
        film: (toytown_dataset / "sources.csv").read_text().count(f",{film},") for film in films
    }
    one, other = (film for film in films if sizes[film] == 10)
    rest = next(film for film in films if sizes[film] < 10)

    outcome = _run(
        toytown_dataset, "--bank", toytown_bank, "--out", tmp_path / "a.h5", "--split", "train",
        "--exclude-sequence", one, "--validate-sequence", other, "--validate-count", "3",
        "--variants", "1", "--size", "32x64",
    )  # fmt: skip

    canvases = CanvasSet(tmp_path / "a.h5")
    held_out = canvases.places(held_out=True)
    assert f"{sizes[rest] + 3} photographs, 3 of them held out" in outcome.text
    assert len(canvases.places(held_out=False)) == sizes[rest]
    names = [canvases.read(place).photograph for place in held_out]
    assert len(set(names)) == 3
    numbers = [int(name.rsplit("_", 1)[1]) for name in names]
    assert {later - earlier for earlier, later in pairwise(numbers)} == {3}


def test_a_file_is_not_overwritten_by_mistake(
    few: tuple[Path, Outcome], toytown_dataset: Path, toytown_bank: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.h5"
    out.write_text("something dear")

    with pytest.raises(
        ValueError, match=r"a\.h5 exists; give another name, or replace it by --for"
    ):
        _few(toytown_dataset, toytown_bank, out)
    assert out.read_text() == "something dear"
    _few(toytown_dataset, toytown_bank, out, "--force")

    assert CanvasSet(out).sha256 == CanvasSet(few[0]).sha256


def test_a_folder_that_is_not_there_is_named(
    toytown_dataset: Path, toytown_bank: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="none is no folder; make it first"):
        _few(toytown_dataset, toytown_bank, tmp_path / "none" / "a.h5")


def test_a_split_or_a_bank_that_is_not_there_is_named(
    toytown_dataset: Path, toytown_bank: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="test"):
        _run(toytown_dataset, "--bank", toytown_bank, "--out", tmp_path / "a.h5", "--split", "test")
    with pytest.raises(BankError, match="none"):
        _few(toytown_dataset, tmp_path / "none", tmp_path / "a.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants", "0"], "'0' is not a whole number of at least 1"),
        (["--size", "big"], "'big' is not a size"),
        (["--validate-split", "a", "--validate-sequence", "b"], "not allowed with argument"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        _run("town", "--bank", "b", "--out", "c.h5", *arguments)

    assert message in capsys.readouterr().err


def test_a_band_that_is_none_is_refused_before_anything_is_read(
    toytown_dataset: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"inner_band must not be negative, got -1\.0"):
        _few(toytown_dataset, tmp_path / "none", tmp_path / "a.h5", "--inner-band", "-1")


def test_from_canvases_to_a_picture_by_the_commands(
    few: tuple[Path, Outcome],
    toytown_bank: Path,
    toytown_layouts: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What canvases writes is what train reads, and what train writes is what compose takes."""
    # The tests of other commands measure memory in this process.
    monkeypatch.setattr(allocator, "keep_freed_buffers", lambda: False)
    (tmp_path / "weights").mkdir()

    def run(*argv: object) -> Outcome:
        args = build_parser().parse_args([str(word) for word in argv])
        outcome: Outcome = args.run(args)
        return outcome

    settings = ["network.width=0.01", "loss.adversarial=0.1", "loss.discriminator=patch"]
    trained = run(
        "train", "synthesis", "--canvases", few[0], "--steps", 2, "--batch", 1, "--crop", "32x48",
        "--out", tmp_path / "weights" / "synthesis.safetensors", "--precision", "fp32",
        *(word for each in settings for word in ("--set", each)),
    )  # fmt: skip
    composed = run(
        "compose", toytown_layouts[0], "--bank", toytown_bank, "--weights", tmp_path / "weights",
        "--out", tmp_path / "out",
    )  # fmt: skip

    assert trained.status == composed.status == 0
    assert "finish sims" in composed.text
    assert run("replay", tmp_path / "out").status == 0
