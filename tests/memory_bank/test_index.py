"""The FAISS index: it proposes well, and notices what is not its own."""

import dataclasses
import importlib.metadata
import importlib.util
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scenequilt.memory_bank.descriptor import describe, encode_runs
from scenequilt.memory_bank.errors import FaissError
from scenequilt.memory_bank.index import (
    IndexProblem,
    IndexSettings,
    check_faiss,
    index_problems,
    load_index,
)
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.rerank import ShapeLimits
from scenequilt.memory_bank.search import Searcher
from scenequilt.memory_bank.segment import Query, Region
from scenequilt.memory_bank.store import SEGMENT_DTYPE, SourceRecord
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.memory_bank.where import Where

FRAME = (64, 96)
TAXONOMY = Taxonomy(
    "two", (ClassInfo(0, "wall", (9, 9, 9), "stuff"), ClassInfo(1, "cup", (200, 0, 0), "thing"))
)


def ellipse(rng: np.random.Generator, class_id: int) -> Region:
    h, w = int(rng.integers(6, 40)), int(rng.integers(6, 60))
    top, left = int(rng.integers(0, FRAME[0] - h + 1)), int(rng.integers(0, FRAME[1] - w + 1))
    y, x = np.ogrid[:h, :w]
    mask = ((y + 0.5) / h - 0.5) ** 2 + ((x + 0.5) / w - 0.5) ** 2 <= 0.27
    cut = top == 0 or left == 0 or top + h == FRAME[0] or left + w == FRAME[1]
    return Region(class_id, 0, (top, left, top + h, left + w), mask, cut)


def make_layout(rng: np.random.Generator, regions: list[Region]) -> Layout:
    label_map = rng.integers(0, 2, (8, 12)).astype(np.uint8)
    label_map = np.kron(label_map, np.ones((8, 8), np.uint8))
    for region in regions:
        top, left, bottom, right = region.box
        label_map[top:bottom, left:right][region.mask] = region.class_id
    return Layout(label_map, np.zeros(FRAME, np.int32), TAXONOMY)


def make_searcher(index_dir: Path | None, fingerprint: str = "f" * 64, seed: int = 0) -> Searcher:
    """Make a bank in memory of 1,500 ellipses, all but a few of class 0."""
    rng = np.random.default_rng(seed)
    regions = [ellipse(rng, int(n % 20 == 0)) for n in range(1500)]
    runs = [
        encode_runs(make_layout(rng, regions[at : at + 50]).label_map) for at in range(0, 1500, 50)
    ]
    found = describe(regions, FRAME, FRAME)
    segments = np.zeros(1500, SEGMENT_DTYPE)
    segments["segment_id"] = np.arange(1500)
    segments["class_id"] = [region.class_id for region in regions]
    segments["source_row"] = np.arange(1500) // 50
    segments["frame_box"], segments["frame_area"] = found.frame_box, found.frame_area
    segments["word_offset"] = found.word_offset[:-1]
    shard = SimpleNamespace(
        segments=segments,
        sources=[
            SourceRecord(f"photo{n}", FRAME, "train", f"film{n % 3}", "", "", "", "", "")
            for n in range(30)
        ],
        words=found.words,
        cells=found.cells,
        shapes=found.shape,
        run_offset=np.cumsum([0] + [len(entry.end) for entry in runs]),
        run_row_offset=np.stack([entry.row_offset for entry in runs]),
        run_end=np.concatenate([entry.end for entry in runs]),
        run_label=np.concatenate([entry.label for entry in runs]),
    )
    live = [np.ones(1500, np.bool_)]
    return Searcher([shard], live, TAXONOMY, FRAME, index_dir=index_dir, fingerprint=fingerprint)


def make_queries(count: int) -> list[Query]:
    rng = np.random.default_rng(99)
    regions = [ellipse(rng, 0) for _ in range(count)]
    layout = make_layout(rng, regions)
    return [Query(n, region, layout) for n, region in enumerate(regions)]


@pytest.mark.parametrize("flat_rows", [10_000, 100], ids=["flat", "inverted lists"])
def test_proposals_hold_nearly_all_of_the_exact_ten(tmp_path: Path, flat_rows: int) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index(settings=IndexSettings(flat_rows=flat_rows, proposals=100, list_rows=32))
    queries = make_queries(40)
    limits = ShapeLimits(enabled=False)

    exact = searcher.retrieve_many(queries, search="exact", limits=limits)
    proposed = searcher.retrieve_many(queries, search="faiss", limits=limits)

    shared = [
        len({c.segment_id for c in a.candidates} & {c.segment_id for c in b.candidates})
        for a, b in zip(exact, proposed, strict=True)
    ]
    assert np.mean(shared) / 10 >= 0.95


def test_what_is_proposed_has_its_exact_score(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index()
    query = make_queries(1)[0]

    every = searcher.retrieve(query, 1500, search="exact")
    scores = {found.segment_id: found.score for found in every.candidates}
    proposed = searcher.retrieve(query, 10, search="faiss")

    assert proposed.compared < every.compared
    assert all(scores[found.segment_id] == found.score for found in proposed.candidates)


@pytest.mark.parametrize("flat_rows", [10_000, 100], ids=["flat", "inverted lists"])
def test_filters_apply_before_proposing(tmp_path: Path, flat_rows: int) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index(settings=IndexSettings(flat_rows=flat_rows, proposals=50))
    where = Where(sequences=("film1",))
    query = make_queries(1)[0]

    answer = searcher.retrieve(query, 10, search="faiss", where=where)

    assert len(answer.candidates) == 10
    assert {int(found.source_id[5:]) % 3 for found in answer.candidates} == {1}


def test_a_filter_that_few_pass_gets_its_k_from_as_many_lists_as_it_takes(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index(settings=IndexSettings(flat_rows=10, list_rows=16, probes=1, proposals=40))
    where = Where(sources=("photo3", "photo7"))

    for query in make_queries(10):
        answer = searcher.retrieve(query, 10, search="faiss", where=where)

        assert answer.search == "faiss"
        assert len(answer.candidates) == 10
        assert answer.compared >= 10


def test_more_proposals_than_the_lists_hold_open_more_lists(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index(settings=IndexSettings(flat_rows=10, list_rows=16, probes=1, proposals=40))

    answer = searcher.retrieve(make_queries(1)[0], 300, search="faiss")

    assert (answer.search, len(answer.candidates)) == ("faiss", 300)


def test_proposals_that_the_filter_rejects_leave_the_exact_search(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index(settings=IndexSettings(proposals=40))
    where = Where(sources=("photo3", "photo7"))
    query = make_queries(1)[0]
    searcher.retrieve(query, search="faiss")
    # As on a GPU, which proposes without a selector.
    assert searcher._index is not None
    for key, found in searcher._index.classes.items():
        searcher._index.classes[key] = dataclasses.replace(found, on_gpu=True)

    answer = searcher.retrieve(query, 10, search="faiss", where=where)

    exact = searcher.retrieve(query, 10, search="exact", where=where)
    assert (answer.search, answer.candidates) == ("exact", exact.candidates)


def test_an_index_of_another_bank_is_stale(tmp_path: Path) -> None:
    make_searcher(tmp_path / "index").build_index()
    changed = make_searcher(tmp_path / "index", fingerprint="e" * 64)

    with pytest.raises(FaissError, match="stale: it was made for the bank of fingerprint ffff"):
        changed.retrieve(make_queries(1)[0], search="faiss")


def test_an_index_of_other_rows_is_stale_whatever_its_fingerprint(tmp_path: Path) -> None:
    make_searcher(tmp_path / "index").build_index()
    other = make_searcher(tmp_path / "index")
    other.table(0).segment_id[[0, 1]] = other.table(0).segment_id[[1, 0]]

    with pytest.raises(FaissError, match="its segments of class 'wall' are not the bank's"):
        other.retrieve(make_queries(1)[0], search="faiss")


def test_a_flipped_byte_is_noticed_and_its_file_named(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index()
    path = tmp_path / "index" / "class_000_frame.faiss"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    with pytest.raises(FaissError, match=r"class_000_frame.faiss is not what was written"):
        make_searcher(tmp_path / "index").retrieve(make_queries(1)[0], search="faiss")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    make_searcher(tmp_path / "index").build_index()
    (tmp_path / "index" / "class_001_shape.npy").unlink()

    (problem,) = index_problems(tmp_path / "index", "f" * 64)

    path = tmp_path / "index" / "class_001_shape.npy"
    assert problem == IndexProblem("damaged", path, f"{path} is missing")


def test_any_flipped_byte_of_the_manifest_is_noticed(tmp_path: Path) -> None:
    make_searcher(tmp_path / "index").build_index()
    path = tmp_path / "index" / "index.json"
    content = path.read_bytes()

    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        (problem,) = index_problems(tmp_path / "index", "f" * 64)

        assert (problem.kind, problem.path) == ("damaged", path)
        assert problem.message.startswith(f"{path} ")


def test_an_index_of_another_state_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    make_searcher(tmp_path / "index").build_index()

    (problem,) = index_problems(tmp_path / "index", "e" * 64)

    assert (problem.kind, problem.path) == ("stale", tmp_path / "index")
    assert "it was made for the bank of fingerprint ffff" in problem.message


def test_no_index_is_said_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(FaissError, match="the bank has no index in .*make it anew: scenequilt"):
        make_searcher(tmp_path / "index").retrieve(make_queries(1)[0], search="faiss")


def test_no_index_is_no_problem(tmp_path: Path) -> None:
    assert index_problems(tmp_path / "index", "f") == []


def test_a_file_that_is_no_index_is_named(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("{}")

    (problem,) = index_problems(tmp_path, "f")

    assert problem.kind == "foreign"
    assert "is of format None version None, expected 'scenequilt index'" in problem.message


@pytest.mark.parametrize("text", [b"", b"[1]", b"\xff\xfe", b'{"format": '])
def test_a_manifest_that_is_no_object_is_damaged(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "index.json").write_bytes(text)

    (problem,) = index_problems(tmp_path, "f")

    assert problem.kind == "damaged"
    assert "index.json cannot be read as an index (" in problem.message


def test_an_index_of_another_version_is_refused(tmp_path: Path) -> None:
    make_searcher(tmp_path / "index").build_index()
    path = tmp_path / "index" / "index.json"
    manifest = json.loads(path.read_text())
    del manifest["checksum"]
    path.write_text(json.dumps(manifest | {"version": 1}))

    (problem,) = index_problems(tmp_path / "index", "f" * 64)

    assert problem.kind == "foreign"
    assert "version 1, expected 'scenequilt index' version 2" in problem.message
    with pytest.raises(FaissError, match="version 1, expected .* version 2; make it anew: sceneq"):
        make_searcher(tmp_path / "index").retrieve(make_queries(1)[0], search="faiss")


def test_building_again_replaces_the_index_and_leaves_nothing_else(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index()
    first = {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}

    report = searcher.build_index()

    second = {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}
    assert first == second
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert (report.classes, report.segments) == (2, 1500)


def test_a_build_that_fails_leaves_the_old_index(tmp_path: Path) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index()

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        searcher.build_index(progress=stop)

    assert index_problems(tmp_path / "index", "f" * 64) == []
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_searcher_without_a_folder_builds_no_index() -> None:
    with pytest.raises(ValueError, match="index_dir is None; name the folder"):
        make_searcher(None).build_index()


def test_auto_does_without_faiss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("scenequilt.memory_bank.search.AUTO_EXACT_ROWS", 10)

    answer = make_searcher(None).retrieve(make_queries(1)[0])

    assert len(answer.candidates) == 10
    assert answer.search == "exact"


def test_auto_asks_the_index_of_a_large_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searcher = make_searcher(tmp_path / "index")
    searcher.build_index(settings=IndexSettings(proposals=50))
    query = make_queries(1)[0]

    below = searcher.retrieve(query)
    monkeypatch.setattr("scenequilt.memory_bank.search.AUTO_EXACT_ROWS", 10)
    above = searcher.retrieve(query)

    assert (below.search, above.search) == ("exact", "faiss")


def test_an_index_that_auto_cannot_use_is_read_and_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_searcher(tmp_path / "index").build_index(settings=IndexSettings(proposals=50))
    changed = make_searcher(tmp_path / "index", fingerprint="e" * 64)
    monkeypatch.setattr("scenequilt.memory_bank.search.AUTO_EXACT_ROWS", 10)
    reads = []

    def counted(*args: Any, **options: Any) -> Any:  # noqa: ANN401
        reads.append(args)
        return load_index(*args, **options)

    monkeypatch.setattr("scenequilt.memory_bank.search.load_index", counted)
    with caplog.at_level(logging.WARNING, "scenequilt.memory_bank.search"):
        answers = [changed.retrieve(query) for query in make_queries(3)]

    assert [answer.search for answer in answers] == ["exact"] * 3
    assert len(reads) == 1
    (record,) = caplog.records
    assert "every segment of a class is compared: the index in" in record.message
    assert "is stale: it was made for the bank of fingerprint ffff" in record.message
    changed.build_index(settings=IndexSettings(proposals=50))
    assert changed.retrieve(make_queries(1)[0]).search == "faiss"


def pretend_installed(monkeypatch: pytest.MonkeyPatch, names: set[str]) -> None:
    def version(name: str) -> str:
        if name not in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.15.1"

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_absent_faiss_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch, set())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(FaissError, match=r"not installed; install one of: .*scenequilt\[cpu\]"):
        check_faiss()


def test_two_installs_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_installed(monkeypatch, {"faiss-cpu", "faiss-gpu"})

    with pytest.raises(
        FaissError, match=r"twice \(faiss-cpu and faiss-gpu\).*pip uninstall -y faiss-cpu faiss-gpu"
    ):
        check_faiss()


def broken_import(name: str) -> ModuleType:
    raise OSError("libfaiss.so: cannot open shared object file")


def empty_folder(name: str) -> ModuleType:
    return ModuleType(name)


@pytest.mark.parametrize(
    ("imported", "message"),
    [
        (broken_import, r"cannot be imported \(libfaiss.so.*--force-reinstall --no-deps faiss-cpu"),
        (empty_folder, r"is broken: the folder is there, but its files are gone.*faiss-cpu"),
    ],
    ids=["no library", "empty folder"],
)
def test_a_broken_install_is_named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, imported: Callable[[str], ModuleType], message: str
) -> None:
    pretend_installed(monkeypatch, {"faiss-cpu"})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(importlib, "import_module", imported)

    with pytest.raises(FaissError, match=message):
        check_faiss()


def test_a_gpu_is_asked_for_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_searcher(tmp_path / "index").build_index()
    # The GPU build of FAISS says so on a machine without a GPU; the CPU build has no such function.
    monkeypatch.setattr(check_faiss(), "get_num_gpus", lambda: 0, raising=False)

    with pytest.raises(FaissError, match=r"no GPU that FAISS can use.*or use device='cpu'"):
        load_index(tmp_path / "index", "f" * 64, device="gpu")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("probes", 0, "probes is 0, expected at least 1"),
        ("dimensions", 300, "dimensions is 300, expected at most 256"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, value: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IndexSettings(**{name: value})


def test_faiss_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, scenequilt.memory_bank.search as search\n"
        "assert 'faiss' not in sys.modules and 'h5py' not in sys.modules, sorted(sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
