"""Building: the same content however it came about, and nothing lost without a word."""

import json
import shutil
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import active_children, get_context
from pathlib import Path

import numpy as np
import pytest

from scenequilt.memory_bank.build import (
    BuildReport,
    Progress,
    ShardResult,
    add_photographs,
    build_bank,
    build_shard,
    estimate_build,
    write_bank,
)
from scenequilt.memory_bank.datasets.interface import DatasetReader
from scenequilt.memory_bank.datasets.open import open_dataset
from scenequilt.memory_bank.errors import BankError, DatasetError
from scenequilt.memory_bank.maintenance import verify_bank
from scenequilt.memory_bank.manifest import open_shards, read_manifest
from scenequilt.memory_bank.plan import ShardTask, choose_frame
from scenequilt.memory_bank.store import segment_id_of
from scenequilt.memory_bank.toytown import write_dataset


@pytest.fixture(scope="session")
def toytown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures of 128 x 192 pixels, in two splits."""
    folder = tmp_path_factory.mktemp("toytown") / "data"
    write_dataset(folder, count=12, seed=3, size_hw=(128, 192))
    return folder


@pytest.fixture
def dataset(toytown: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(toytown, tmp_path / "data")


@pytest.fixture(scope="session")
def built(toytown: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildReport:
    return build_bank(open_dataset(toytown), tmp_path_factory.mktemp("built") / "bank")


def images(dataset: Path) -> list[Path]:
    return sorted(path for path in (dataset / "images").rglob("*") if path.is_file())


def fingerprint(dataset: Path, out: Path, **settings: object) -> str:
    return build_bank(open_dataset(dataset), out, **settings).manifest.fingerprint  # type: ignore[arg-type]


class Stop(Exception):
    """Stands for whatever ends a build."""


class StopAfter:
    """Ends a build when a number of shards is registered."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __call__(self, progress: Progress) -> None:
        self.left -= 1
        if self.left == 0:
            raise Stop


def test_a_build_takes_every_photograph(built: BuildReport) -> None:
    assert built.photographs == 12
    assert built.skipped == ()
    assert built.segments == sum(shard.segments for shard in built.manifest.shards) > 24
    assert len(built.manifest.shards) > 1


def test_segment_numbers_follow_from_the_content(
    built: BuildReport, toytown: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bank"
    build_bank(open_dataset(toytown), out)
    shard = open_shards(out, read_manifest(out))[0]

    for row, segment in enumerate(shard.segments):
        source = shard.sources[segment["source_row"]]
        mask = np.packbits(shard.box_mask(row))
        top, left, bottom, right = segment["box"].tolist()
        expected = segment_id_of(
            source.image_sha256, segment["class_id"], (top, left, bottom, right), mask
        )
        assert segment["segment_id"] == expected


def test_building_twice_gives_the_same_bytes(
    built: BuildReport, toytown: Path, tmp_path: Path
) -> None:
    again = build_bank(open_dataset(toytown), tmp_path / "bank").manifest

    assert [shard.sha256 for shard in again.shards] == [
        shard.sha256 for shard in built.manifest.shards
    ]
    assert again.fingerprint == built.manifest.fingerprint


def test_threads_give_the_same_bank(built: BuildReport, toytown: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as executor:
        report = build_bank(open_dataset(toytown), tmp_path / "bank", executor=executor)

    assert report.manifest.fingerprint == built.manifest.fingerprint


@pytest.mark.slow
def test_spawned_processes_give_the_same_bank(
    built: BuildReport, toytown: Path, tmp_path: Path
) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        report = build_bank(open_dataset(toytown), tmp_path / "bank", executor=executor)

    assert report.manifest.shards == built.manifest.shards
    assert report.manifest.fingerprint == built.manifest.fingerprint


@pytest.mark.slow
def test_processes_of_our_own_give_the_same_bank(
    built: BuildReport, toytown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenequilt.memory_bank.build._WORTH_PROCESSES_PX", 0)

    report = build_bank(open_dataset(toytown), tmp_path / "bank", workers=4)

    assert report.manifest.fingerprint == built.manifest.fingerprint


@pytest.mark.slow
def test_processes_of_our_own_end_with_the_build(
    built: BuildReport, toytown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenequilt.memory_bank.build._WORTH_PROCESSES_PX", 0)

    with pytest.raises(Stop):
        build_bank(open_dataset(toytown), tmp_path / "bank", workers=2, progress=StopAfter(1))

    assert active_children() == []
    report = build_bank(open_dataset(toytown), tmp_path / "bank", resume=True)
    assert report.manifest.fingerprint == built.manifest.fingerprint


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_bank(built: BuildReport, toytown: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        client.get_executor() as executor,
    ):
        report = build_bank(open_dataset(toytown), tmp_path / "bank", executor=executor)

    assert report.manifest.fingerprint == built.manifest.fingerprint


def test_a_build_that_was_stopped_is_completed_to_the_same_content(
    built: BuildReport, toytown: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bank"
    with pytest.raises(Stop):
        build_bank(open_dataset(toytown), out, progress=StopAfter(2))
    begun = read_manifest(out)
    seen: list[Progress] = []

    report = build_bank(open_dataset(toytown), out, resume=True, progress=seen.append)

    assert begun.pending is not None
    assert len(begun.shards) == 2
    assert seen[0].resumed == sum(shard.sources for shard in begun.shards)
    assert seen[-1].photographs == seen[-1].total == 12
    assert report.manifest.fingerprint == built.manifest.fingerprint
    assert report.manifest.pending is None


def test_a_finished_shard_that_is_not_registered_is_taken_over(
    toytown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bank"
    build_bank(open_dataset(toytown), out)
    names = {path.name: path.stat().st_mtime_ns for path in (out / "shards").iterdir()}
    whole = read_manifest(out).fingerprint
    (out / "manifest.json").unlink()

    report = build_bank(open_dataset(toytown), out, resume=True)

    assert report.manifest.fingerprint == whole
    assert {path.name: path.stat().st_mtime_ns for path in (out / "shards").iterdir()} == names


def test_a_damaged_shard_that_is_not_registered_is_made_again(
    built: BuildReport, toytown: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bank"
    build_bank(open_dataset(toytown), out)
    (out / "manifest.json").unlink()
    path = next((out / "shards").iterdir())
    spoilt = bytearray(path.read_bytes())
    spoilt[len(spoilt) // 2] ^= 255
    path.write_bytes(spoilt)

    report = build_bank(open_dataset(toytown), out)

    assert report.manifest.shards == built.manifest.shards


def test_leftovers_of_a_killed_writer_are_cleared_away(toytown: Path, tmp_path: Path) -> None:
    out = tmp_path / "bank"
    (out / "shards").mkdir(parents=True)
    (out / "shards" / "x.h5.0123.tmp").write_bytes(b"half")
    (out / "shards" / "other.h5").write_bytes(b"of another plan")

    report = build_bank(open_dataset(toytown), out)

    there = {path.name for path in (out / "shards").iterdir()}
    assert there == {shard.name for shard in report.manifest.shards}


def test_resuming_a_finished_build_changes_nothing(toytown: Path, tmp_path: Path) -> None:
    out = tmp_path / "bank"
    build_bank(open_dataset(toytown), out)
    before = (out / "manifest.json").read_bytes()

    build_bank(open_dataset(toytown), out, resume=True)

    assert (out / "manifest.json").read_bytes() == before


def test_resuming_with_other_settings_is_refused_by_name(toytown: Path, tmp_path: Path) -> None:
    out = tmp_path / "bank"
    with pytest.raises(Stop):
        build_bank(open_dataset(toytown), out, progress=StopAfter(1))

    with pytest.raises(BankError, match="was begun with min_area_px 50, now it is 99; resume with"):
        build_bank(open_dataset(toytown), out, resume=True, min_area_px=99)


def test_resuming_with_other_photographs_is_refused(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "bank"
    with pytest.raises(Stop):
        build_bank(open_dataset(dataset), out, progress=StopAfter(1))
    images(dataset)[0].write_bytes(images(dataset)[0].read_bytes() + b"\0")

    with pytest.raises(BankError, match="was begun from other photographs"):
        build_bank(open_dataset(dataset), out, resume=True)


def test_a_bank_in_the_way_is_refused_with_the_remedy(toytown: Path, tmp_path: Path) -> None:
    build_bank(open_dataset(toytown), tmp_path / "bank")

    with pytest.raises(BankError, match=r"is a memory bank already; .*--resume.*bank add"):
        build_bank(open_dataset(toytown), tmp_path / "bank")


def test_a_folder_of_something_else_is_refused(toytown: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(BankError, match="exists and is not a memory bank"):
        build_bank(open_dataset(toytown), tmp_path)


def test_a_bad_photograph_is_skipped_and_named(dataset: Path, tmp_path: Path) -> None:
    bad = images(dataset)[3]
    bad.write_bytes(bad.read_bytes()[:200])

    report = build_bank(open_dataset(dataset), tmp_path / "bank")

    assert report.photographs == 11
    assert [skipped.source_id for skipped in report.skipped] == [bad.stem]
    assert str(bad) in report.skipped[0].message
    assert read_manifest(tmp_path / "bank").skipped == report.skipped


def test_a_skipped_photograph_is_not_forgotten_by_resuming(dataset: Path, tmp_path: Path) -> None:
    bad = images(dataset)[0]
    bad.write_bytes(b"no picture")
    out = tmp_path / "bank"
    build_bank(open_dataset(dataset), out)
    (out / "manifest.json").unlink()

    report = build_bank(open_dataset(dataset), out)

    assert [skipped.source_id for skipped in report.skipped] == [bad.stem]


def test_a_photograph_that_is_there_twice_is_read_once(dataset: Path, tmp_path: Path) -> None:
    first = images(dataset)[0]
    split = first.parent.name
    label = dataset / "labels" / split / f"{first.stem}.png"
    shutil.copy(first, first.with_stem("zz_000001"))
    shutil.copy(label, label.with_stem("zz_000001"))

    report = build_bank(open_dataset(dataset), tmp_path / "bank")

    assert (report.photographs, report.present) == (12, 1)


def test_photographs_of_one_name_are_told_apart(dataset: Path, tmp_path: Path) -> None:
    train, val = (sorted((dataset / "images" / split).iterdir()) for split in ("train", "val"))
    for folder in ("images", "labels", "instances", "depth"):
        suffix = val[0].suffix if folder == "images" else ".png"
        old = dataset / folder / "val" / f"{val[0].stem}{suffix}"
        if old.exists():
            old.rename(old.with_stem(train[0].stem))
    (dataset / "sources.csv").unlink(missing_ok=True)

    build_bank(open_dataset(dataset), tmp_path / "bank")

    shards = open_shards(tmp_path / "bank", read_manifest(tmp_path / "bank"))
    names = [source.source_id for shard in shards for source in shard.sources]
    assert len(set(names)) == 12
    assert sum(name.startswith(f"{train[0].stem}~") for name in names) == 1


def test_excluded_sequences_are_left_out(toytown: Path, tmp_path: Path) -> None:
    reader = open_dataset(toytown)
    entries = reader.entries("train")
    name = entries[0].sequence
    others = [entry for entry in reader.entries() if entry.sequence != name]

    report = build_bank(reader, tmp_path / "bank", exclude_sequence=[name])

    assert report.photographs == len(others) > 0


def test_a_sequence_that_does_not_exist_is_refused(toytown: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no sequence 'moon' to exclude; there are: .*town"):
        build_bank(open_dataset(toytown), tmp_path / "bank", exclude_sequence=["moon"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_area_px": 0}, "min_area_px must be at least 1, got 0"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"codec": "gif"}, "codec 'gif'; there are jpeg95, png"),
        ({"frame_hw": (4, 4)}, "frame_hw must be 8 to 32767 pixels each way"),
    ],
)
def test_settings_out_of_range_are_refused(
    toytown: Path, tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fingerprint(toytown, tmp_path / "bank", **settings)


def test_smaller_regions_are_left_out(toytown: Path, tmp_path: Path) -> None:
    build_bank(open_dataset(toytown), tmp_path / "bank", min_area_px=400)

    shards = open_shards(tmp_path / "bank", read_manifest(tmp_path / "bank"))
    assert min(shard.segments["area_px"].min() for shard in shards) >= 400


def test_lossless_colours_are_the_photographs(toytown: Path, tmp_path: Path) -> None:
    reader = open_dataset(toytown)
    build_bank(reader, tmp_path / "bank", codec="png")
    shard = open_shards(tmp_path / "bank", read_manifest(tmp_path / "bank"))[0]
    entries = {entry.source_id: entry for entry in reader.entries()}
    segment = shard.segments[0]
    photo = reader.read(entries[shard.sources[segment["source_row"]].source_id]).image
    top, left, bottom, right = segment["crop_box"].tolist()

    mask, color = shard.mask(0), shard.color(0)

    np.testing.assert_array_equal(color[mask], photo[top:bottom, left:right][mask])


@pytest.mark.parametrize(
    ("sizes", "frame"),
    [
        ([(360, 480)], (360, 480)),
        ([(360, 480), (360, 480), (256, 512)], (360, 480)),
        ([(1024, 2048)], (256, 512)),
        ([(1080, 1920)], (360, 640)),
        ([(512, 512), (256, 256)], (512, 512)),
        ([(1021, 2039), (0, 0)], (362, 723)),
    ],
)
def test_the_frame_is_the_commonest_size_within_limits(
    sizes: list[tuple[int, int]], frame: tuple[int, int]
) -> None:
    assert choose_frame(sizes) == frame


def test_a_frame_of_unreadable_photographs_is_refused() -> None:
    with pytest.raises(DatasetError, match="none of 2 photographs can be read"):
        choose_frame([(0, 0), (0, 0)])


def test_an_estimate_over_everything_is_exact(built: BuildReport, toytown: Path) -> None:
    estimate = estimate_build(open_dataset(toytown), sample=0)

    assert estimate.segments == built.segments
    assert estimate.photographs == 12
    size = sum(shard.size_bytes for shard in built.manifest.shards)
    assert estimate.size_bytes == pytest.approx(size, rel=0.25)


def test_adding_gives_what_building_at_once_gives(
    built: BuildReport, toytown: Path, tmp_path: Path
) -> None:
    reader = open_dataset(toytown)
    build_bank(reader, tmp_path / "bank", split="val", frame_hw=(128, 192))

    report = add_photographs(reader, tmp_path / "bank")

    assert report.present > 0
    assert report.photographs + report.present == 12
    assert report.manifest.fingerprint == built.manifest.fingerprint


def test_adding_what_is_there_changes_nothing(toytown: Path, tmp_path: Path) -> None:
    build_bank(open_dataset(toytown), tmp_path / "bank")
    before = (tmp_path / "bank" / "manifest.json").read_bytes()

    report = add_photographs(open_dataset(toytown), tmp_path / "bank")

    assert (report.photographs, report.present) == (0, 12)
    assert (tmp_path / "bank" / "manifest.json").read_bytes() == before


def test_adding_other_classes_is_refused(dataset: Path, tmp_path: Path) -> None:
    build_bank(open_dataset(dataset), tmp_path / "bank")
    table = json.loads((dataset / "classes.json").read_text())
    table["classes"][2]["name"] = "cobbles"
    (dataset / "classes.json").write_text(json.dumps(table))

    with pytest.raises(BankError, match="class 2 of taxonomy .* is cobbles"):
        add_photographs(open_dataset(dataset), tmp_path / "bank")


def test_adding_to_an_unfinished_bank_is_refused(toytown: Path, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        build_bank(open_dataset(toytown), tmp_path / "bank", progress=StopAfter(1))

    with pytest.raises(BankError, match=r"is not finished: 1 of \d+ shards .* --resume"):
        add_photographs(open_dataset(toytown), tmp_path / "bank")


def test_shards_made_elsewhere_become_a_bank(
    built: BuildReport, toytown: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bank"
    build_bank(open_dataset(toytown), out)
    manifest = read_manifest(out)
    contents = [shard.contents() for shard in open_shards(out, manifest)]

    copied = write_bank(tmp_path / "copy", manifest.taxonomy, manifest.frame_hw, contents)

    assert copied.fingerprint == built.manifest.fingerprint


def _one_task(reader: DatasetReader, folder: Path) -> ShardTask:
    from scenequilt.memory_bank.plan import divide_photographs, plan_photographs

    (folder / "shards").mkdir(parents=True)
    photographs, _ = plan_photographs(reader.entries(), {}, set())
    return divide_photographs(
        reader, photographs, folder, "0" * 64, frame_hw=(128, 192), min_area_px=50, codec="jpeg95"
    )[0]


def test_a_task_is_a_pure_function_of_what_it_names(toytown: Path, tmp_path: Path) -> None:
    task = _one_task(open_dataset(toytown), tmp_path)
    first = build_shard(task)
    task.path.unlink()

    assert build_shard(task) == first


def test_tasks_do_not_depend_on_workers(toytown: Path, tmp_path: Path) -> None:
    def run(executor: Executor, folder: Path) -> ShardResult:
        return executor.submit(build_shard, _one_task(open_dataset(toytown), folder)).result()

    with ThreadPoolExecutor(1) as executor:
        one = run(executor, tmp_path / "one")
        two = run(executor, tmp_path / "two")

    assert replace(one.record, name="") == replace(two.record, name="")


@pytest.mark.realdata
def test_large_real_photographs_fill_a_bank(real_data: Path, tmp_path: Path) -> None:
    report = build_bank(open_dataset(real_data / "cityscapes_sample"), tmp_path / "bank")

    assert report.photographs == 8
    assert report.manifest.frame_hw == (256, 512), "a quarter of 1024 x 2048"
    assert report.skipped == ()
    assert report.segments > 400
    assert verify_bank(tmp_path / "bank").faults == ()
