"""The manifest: the truth about a bank, replaced as a whole and checked as a whole."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scenequilt.memory_bank.errors import (
    BankCorruptError,
    BankError,
    BankFormatError,
    BankLockedError,
)
from scenequilt.memory_bank.lock import writing_to
from scenequilt.memory_bank.manifest import (
    LicenceCount,
    Manifest,
    Plan,
    ShardRecord,
    Skipped,
    check_same_classes,
    fingerprint_of,
    read_manifest,
    replace_manifest,
)
from scenequilt.memory_bank.taxonomy import ClassInfo, Kind, Taxonomy


def taxonomy(*names: str, kind: Kind = "stuff") -> Taxonomy:
    classes = [ClassInfo(n, name, (n, n, n), kind) for n, name in enumerate(names)]
    return Taxonomy("some", tuple(classes))


RECORD = ShardRecord(
    "one.h5", "ab" * 32, 1234, 5, 2, {"sky": 5}, {"": LicenceCount(2, 5)}, ("a",), (7, 9)
)
MANIFEST = Manifest(
    taxonomy("sky", "road"),
    (40, 60),
    {"min_area_px": 50, "codec": "jpeg95"},
    shards=(RECORD,),
    skipped=(Skipped("b", "images/b.png", "is no picture"),),
    fingerprint="cd" * 32,
    pending=Plan("ef" * 32, {"split": None}, 3, 12),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = replace_manifest(tmp_path, MANIFEST)

    assert read_manifest(tmp_path) == written
    assert written.shards == MANIFEST.shards
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.json"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255))
def test_a_flipped_byte_anywhere_is_noticed(tmp_path: Path, share: float, flipped: int) -> None:
    replace_manifest(tmp_path, MANIFEST)
    path = tmp_path / "manifest.json"
    text = bytearray(path.read_bytes())

    text[int(share * len(text))] ^= flipped
    path.write_bytes(text)

    with pytest.raises(BankCorruptError, match=r"manifest\.json .*(damaged|not what was written)"):
        read_manifest(tmp_path)


def test_a_folder_without_manifest_is_no_bank(tmp_path: Path) -> None:
    with pytest.raises(BankFormatError, match=r"no memory bank.*if it is a dataset.*bank build"):
        read_manifest(tmp_path)


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(BankFormatError, match=r"nowhere does not exist.*bank build DATASET --out"):
        read_manifest(tmp_path / "nowhere")


def test_another_version_is_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenequilt.memory_bank.manifest.BANK_VERSION", 9)
    replace_manifest(tmp_path, MANIFEST)
    monkeypatch.undo()

    with pytest.raises(BankFormatError, match="version 9, this program reads .* version 1; build"):
        read_manifest(tmp_path)


def test_another_json_file_is_no_bank(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "webpack"}))

    with pytest.raises(BankFormatError, match="format 'webpack', expected 'scenequilt bank'"):
        read_manifest(tmp_path)


def test_a_shard_of_the_same_name_is_replaced() -> None:
    whole = ShardRecord("one.h5", "ab" * 32, 1234, 5, 2, {"sky": 5}, {"": LicenceCount(2, 5)})

    assert MANIFEST.with_shard(whole).shards == (whole,)


def test_shards_stand_in_the_order_of_their_names() -> None:
    earlier = ShardRecord("a.h5", "ab" * 32, 1, 0, 0, {}, {})

    assert [shard.name for shard in MANIFEST.with_shard(earlier).shards] == ["a.h5", "one.h5"]


def test_fingerprint_depends_on_classes_and_frame(tmp_path: Path) -> None:
    settings = {"min_area_px": 1}
    prints = {
        fingerprint_of(tmp_path, Manifest(classes, frame, settings))
        for classes in (taxonomy("sky"), taxonomy("sky", "road"))
        for frame in ((40, 60), (60, 40))
    }

    assert len(prints) == 4


def test_a_class_of_another_name_is_named() -> None:
    with pytest.raises(
        BankError, match=r"here: class 1 .* is road \(stuff\), .* has car \(stuff\)"
    ):
        check_same_classes(taxonomy("sky", "road"), taxonomy("sky", "car"), "here")


def test_a_class_too_many_is_named() -> None:
    with pytest.raises(BankError, match="has 2 classes, the bank's taxonomy 'some' has 1"):
        check_same_classes(taxonomy("sky", "road"), taxonomy("sky"), "here")


def test_a_second_writer_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with (
        writing_to(tmp_path),
        pytest.raises(BankLockedError, match=rf"process {os.getpid()} on .* is writing"),
        writing_to(tmp_path),
    ):
        pass


def test_a_writer_that_is_done_stands_in_nobodys_way(tmp_path: Path) -> None:
    with writing_to(tmp_path):
        pass

    with writing_to(tmp_path):
        pass


def test_a_killed_writer_stands_in_nobodys_way(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from scenequilt.memory_bank.lock import writing_to\n"
        "with writing_to(Path(sys.argv[1])):\n"
        "    print('holding', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"holding\n"
        with pytest.raises(BankLockedError, match=f"process {holder.pid} on"), writing_to(tmp_path):
            pass

        holder.kill()
        holder.wait()

    with writing_to(tmp_path):
        pass
