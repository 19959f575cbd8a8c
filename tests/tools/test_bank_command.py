"""scenequilt bank, called as the command line calls it."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scenequilt.memory_bank.datasets.interface import DatasetReader
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import BankError, BankLockedError, DatasetError
from scenequilt.memory_bank.lock import writing_to
from scenequilt.memory_bank.toytown import write_dataset
from scenequilt.tools.commands.bank import add_bank_command
from scenequilt.tools.commands.outcome import Outcome


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toytown") / "data"
    write_dataset(folder, count=10, seed=11, size_hw=(96, 160))
    return folder


@pytest.fixture(scope="session")
def built(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("built") / "bank"
    assert bank("build", dataset, "--out", out).status == 0
    return out


@pytest.fixture(scope="session")
def indexed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("faiss")
    folder = shutil.copytree(built, tmp_path_factory.mktemp("indexed") / "bank")
    assert "indexed" in bank("reindex", folder).text
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy of the bank that a test may spoil."""
    return shutil.copytree(built, tmp_path / "bank")


def bank(*words: object) -> Outcome:
    parser = argparse.ArgumentParser()
    add_bank_command(parser.add_subparsers())
    args = parser.parse_args(["bank", *map(str, words)])
    outcome: Outcome = args.run(args)
    return outcome


def table(*words: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(bank(*words, "--json").text)
    return found


def test_building_says_what_it_made(dataset: Path, tmp_path: Path) -> None:
    outcome = bank("build", dataset, "--out", tmp_path / "bank")

    assert outcome.status == 0
    assert "segments of 10 photographs" in outcome.text
    assert "fingerprint " in outcome.text


def test_building_as_json_carries_what_is_promised(dataset: Path, tmp_path: Path) -> None:
    found = table("build", dataset, "--out", tmp_path / "bank", "--split", "train")

    assert found["sources"] == 9
    assert found["segments"] == sum(found["classes"].values())  # type: ignore[attr-defined]
    assert found["skipped"] == []
    assert found["splits"] == {"train": 9}


def test_info_as_json_carries_what_is_promised(built: Path) -> None:
    found = table("info", built)

    assert found["finished"] is True
    assert found["sources"] == 10
    assert found["frame_hw"] == [96, 160]
    assert len(str(found["fingerprint"])) == 64
    size = sum(path.stat().st_size for path in built.rglob("*") if path.name != ".lock")
    folders = sum(path.stat().st_size for path in built.rglob("*") if path.is_dir())
    assert found["bytes"] == size - folders
    assert set(found) >= {"segments", "classes", "licences", "taxonomy", "settings", "removed"}


def test_info_is_for_reading_too(built: Path) -> None:
    text = bank("info", built).text

    assert "segments of 10 photographs in" in text
    assert "CC0-1.0" in text
    assert "  road" in text


def test_a_dry_run_writes_nothing(dataset: Path, tmp_path: Path) -> None:
    outcome = bank("build", dataset, "--out", tmp_path / "bank", "--dry-run")

    assert "would hold about" in outcome.text
    assert "nothing was written" in outcome.text
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_notices_that_the_place_is_taken(
    dataset: Path, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")

    with pytest.raises(BankError, match="is a memory bank already"):
        bank("build", dataset, "--out", folder, "--dry-run")
    with pytest.raises(BankError, match="exists and is not a memory bank; choose another folder"):
        bank("build", dataset, "--out", tmp_path / "other", "--dry-run")
    assert bank("build", dataset, "--out", folder, "--dry-run", "--resume").status == 0


def test_a_dry_run_opens_the_dataset_once(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def count(*args: Any, **settings: Any) -> DatasetReader:  # noqa: ANN401
        opened.append(args)
        return open_dataset(*args, **settings)

    monkeypatch.setattr("scenequilt.memory_bank.datasets.open.open_dataset", count)

    bank("build", dataset, "--out", tmp_path / "bank", "--dry-run")

    assert len(opened) == 1


def test_a_dry_run_of_everything_counts_exactly(dataset: Path, built: Path, tmp_path: Path) -> None:
    found = table("build", dataset, "--out", tmp_path / "bank", "--dry-run")

    assert found["segments"] == table("info", built)["segments"]
    assert found["dry_run"] is True


def test_a_bad_photograph_is_named_and_the_status_says_so(dataset: Path, tmp_path: Path) -> None:
    data = shutil.copytree(dataset, tmp_path / "data")
    bad = min(path for path in (data / "images").rglob("*") if path.is_file())
    bad.write_bytes(b"no picture")

    outcome = bank("build", data, "--out", tmp_path / "bank")

    assert outcome.status == 1
    assert "skipped 1 photograph:" in outcome.text
    assert str(bad) in outcome.text
    assert "skipped 1 photograph:" in bank("info", tmp_path / "bank").text


def test_a_bank_in_the_way_is_refused(dataset: Path, folder: Path) -> None:
    with pytest.raises(BankError, match="is a memory bank already"):
        bank("build", dataset, "--out", folder)


def test_resuming_what_is_finished_says_so(dataset: Path, folder: Path) -> None:
    outcome = bank("build", dataset, "--out", folder, "--resume")

    assert outcome.status == 0
    assert "is finished: there was nothing left to do" in outcome.text


def test_a_frame_that_is_no_size_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        bank("build", dataset, "--out", tmp_path / "bank", "--frame", "256,512")

    assert refused.value.code == 2
    assert (
        "'256,512' is not a size; give height x width in pixels, e.g. 256x512"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize("size", ["0x0", "256x0", "0x512"])
def test_a_frame_without_pixels_is_refused(
    dataset: Path, tmp_path: Path, size: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        bank("build", dataset, "--out", tmp_path / "bank", "--frame", size)

    assert refused.value.code == 2
    assert f"'{size}' is not a size; give height x width" in capsys.readouterr().err


def test_a_reader_that_does_not_exist_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no reader 'kitti'; there are"):
        bank("build", dataset, "--out", tmp_path / "bank", "--reader", "kitti")


def test_a_split_that_does_not_exist_is_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="dawn"):
        bank("build", dataset, "--out", tmp_path / "bank", "--split", "dawn")

    assert bank("build", dataset, "--out", tmp_path / "bank").status == 0


def test_listing_shows_photographs(built: Path) -> None:
    lines = bank("list", built).text.splitlines()

    assert lines[0].split() == ["source_id", "segments", "size_hw", "split", "sequence", "licence"]
    assert len(lines) == 11


def test_listing_segments_of_a_class(built: Path) -> None:
    rows = [
        json.loads(line)
        for line in bank("list", built, "--class", "road", "--json").text.splitlines()
    ]

    assert {row["class"] for row in rows} == {"road"}
    assert len(rows) == table("info", built)["classes"]["road"]  # type: ignore[index]


def test_listing_filters(built: Path) -> None:
    text = bank("list", built, "--where", "split=val", "--json").text
    assert [json.loads(line)["split"] for line in text.splitlines()] == ["val"]

    large = bank("list", built, "--segments", "--where", "area>=900", "--json").text
    assert min(json.loads(line)["area_px"] for line in large.splitlines()) >= 900


def test_listing_knows_its_limit(built: Path) -> None:
    assert len(bank("list", built, "--limit", 3, "--json").text.splitlines()) == 3


def test_filters_on_segments_need_segments(built: Path) -> None:
    with pytest.raises(ValueError, match="list them with --segments"):
        bank("list", built, "--where", "area>=900")


def test_a_class_that_does_not_exist_is_refused(built: Path) -> None:
    with pytest.raises(ValueError, match="no class 'moon'; there are"):
        bank("list", built, "--class", "moon")


def test_verifying_an_undamaged_bank(built: Path) -> None:
    outcome = bank("verify", built)

    assert outcome.status == 0
    assert "is as it was written" in outcome.text
    assert table("verify", built)["ok"] is True


def test_verifying_a_damaged_bank_names_the_record_and_leaves_with_1(folder: Path) -> None:
    shard = min((folder / "shards").iterdir())
    spoilt = bytearray(shard.read_bytes())
    spoilt[len(spoilt) // 2] ^= 1
    shard.write_bytes(spoilt)

    outcome = bank("verify", folder)

    assert outcome.status == 1
    assert "is damaged: 1 fault; looked at" in outcome.text
    assert f"shards/{shard.name}: segment " in outcome.text


def test_adding_what_is_there(dataset: Path, folder: Path) -> None:
    outcome = bank("add", dataset, "--bank", folder)

    assert outcome.status == 0
    assert "0 segments of 0 photographs added, 10 photographs were there already" in outcome.text


def test_adding_what_was_removed_says_so(dataset: Path, folder: Path) -> None:
    name = json.loads(bank("list", folder, "--json").text.splitlines()[0])["source_id"]
    bank("remove", folder, "--source", name)
    spare = shutil.copytree(folder, folder.with_name("spare"))

    assert (
        "brought back 1 photograph that had been removed"
        in bank("add", dataset, "--bank", folder).text
    )
    assert "brought back" not in bank("add", dataset, "--bank", folder).text
    assert table("add", dataset, "--bank", spare)["returned"] == 1


def test_verifying_says_how_many_segments_are_removed(folder: Path) -> None:
    before = table("info", folder)["segments"]
    name = json.loads(bank("list", folder, "--json").text.splitlines()[0])["source_id"]
    gone = table("remove", folder, "--source", name)["segments"]

    outcome = bank("verify", folder)

    assert f"{before} segments ({gone} of them removed) in " in outcome.text
    assert table("verify", folder)["removed"] == gone


def test_one_photograph_that_is_there_twice_is_singular(dataset: Path, tmp_path: Path) -> None:
    data = shutil.copytree(dataset, tmp_path / "data")
    for kind in ("images", "labels", "instances", "depth"):
        first = min(path for path in (data / kind / "train").iterdir())
        shutil.copy(first, first.with_stem("zz_000001"))

    dry = bank("build", data, "--out", tmp_path / "bank", "--dry-run").text
    text = bank("build", data, "--out", tmp_path / "bank").text

    assert "1 photograph is there more than once" in dry
    assert "1 photograph is there more than once, and read once" in text


def test_a_dry_run_says_with_how_many_workers(dataset: Path, tmp_path: Path) -> None:
    words = ("build", dataset, "--out", tmp_path / "bank", "--dry-run")

    assert table(*words)["workers"] == 1
    assert table(*words, "--workers", 2)["workers"] == 2


def test_removing_and_compacting(folder: Path) -> None:
    before = table("info", folder)
    name = json.loads(bank("list", folder, "--json").text.splitlines()[0])["source_id"]

    dry = table("remove", folder, "--source", name, "--dry-run")
    assert table("info", folder)["fingerprint"] == before["fingerprint"]
    removed = table("remove", folder, "--source", name)
    assert (removed["segments"], removed["sources"]) == (dry["segments"], dry["sources"])
    assert "still on disk" in bank("info", folder).text
    assert "written anew or dropped" in bank("compact", folder).text
    assert table("info", folder)["segments"] == before["segments"] - removed["segments"]  # type: ignore[operator]


def test_removing_a_number_that_no_segment_has_is_refused(folder: Path) -> None:
    with pytest.raises(BankError, match="has no segment 99999999999999999999"):
        bank("remove", folder, "--segment", "99999999999999999999")


def test_removing_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="name at least one"):
        bank("remove", folder)


def test_merging(dataset: Path, built: Path, tmp_path: Path) -> None:
    bank("build", dataset, "--out", tmp_path / "val", "--split", "val", "--frame", "96x160")

    found = table("merge", built, tmp_path / "val", "--out", tmp_path / "both")

    assert found["fingerprint"] == table("info", built)["fingerprint"]
    assert found["doubled"] == table("info", tmp_path / "val")["segments"]


def test_a_stale_index_is_noticed(indexed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(indexed, tmp_path / "bank")
    assert bank("verify", folder).status == 0
    name = json.loads(bank("list", folder, "--json").text.splitlines()[0])["source_id"]

    bank("remove", folder, "--source", name)

    outcome = bank("verify", folder)
    assert outcome.status == 0
    assert "is stale" in outcome.text
    assert "scenequilt bank reindex" in outcome.text


def test_a_damaged_index_is_found(indexed: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(indexed, tmp_path / "bank")
    file = max((folder / "index").iterdir(), key=lambda path: path.stat().st_size)
    spoilt = bytearray(file.read_bytes())
    spoilt[-1] ^= 1
    file.write_bytes(spoilt)

    outcome = bank("verify", folder)

    assert outcome.status == 1
    assert file.name in outcome.text


def test_a_second_writer_is_refused_by_the_pid_of_the_first(dataset: Path, folder: Path) -> None:
    with (
        writing_to(folder),
        pytest.raises(BankLockedError, match=f"process {os.getpid()} on"),
    ):
        bank("add", dataset, "--bank", folder)


def test_two_processes_may_read_one_bank(built: Path) -> None:
    with writing_to(built):
        assert bank("verify", built).status == 0
        assert bank("info", built).status == 0


STOPPED = """
import argparse, signal, sys, os
from scenequilt.memory_bank import build
from scenequilt.tools.commands.bank import add_bank_command

make = build.build_shard
def stop_at_the_second(task):
    if task.task_id.endswith("-1"):
        os.kill(os.getpid(), signal.SIGINT)
    return make(task)
build.build_shard = stop_at_the_second
parser = argparse.ArgumentParser()
add_bank_command(parser.add_subparsers())
args = parser.parse_args(sys.argv[1:])
try:
    args.run(args)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_says_how_to_go_on(dataset: Path, built: Path, tmp_path: Path) -> None:
    out = tmp_path / "bank"
    words = ["bank", "build", str(dataset), "--out", str(out)]

    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED, *words], capture_output=True, text=True, check=False
    )

    assert stopped.returncode == 130
    assert f"{out} is not finished; go on with the same command and --resume" in stopped.stderr
    assert "NOT FINISHED" in bank("info", out).text
    assert "the build is not finished" in bank("verify", out).text
    assert bank("build", dataset, "--out", out, "--resume").status == 0
    assert table("info", out)["fingerprint"] == table("info", built)["fingerprint"]


def test_help_is_there_for_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("build", "info", "list", "verify", "add", "remove", "compact", "merge", "reindex"):
        with pytest.raises(SystemExit) as left:
            bank(verb, "--help")
        assert left.value.code == 0
        assert f"bank {verb}" in capsys.readouterr().out
