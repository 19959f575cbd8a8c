"""From a dataset to shards: what to build is planned first, then each shard is made by itself."""

import heapq
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from itertools import islice
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from scenequilt.memory_bank.cut import MIN_AREA_PX, cut_photograph, join_contents
from scenequilt.memory_bank.datasets.interface import DatasetReader
from scenequilt.memory_bank.errors import BankError, DatasetError
from scenequilt.memory_bank.lock import writing_to
from scenequilt.memory_bank.manifest import (
    MANIFEST_NAME,
    Beginner,
    LicenceCount,
    Manifest,
    Plan,
    ShardRecord,
    Skipped,
    check_finished,
    check_free,
    check_same_classes,
    fingerprint_of,
    is_bank,
    open_shards,
    read_manifest,
    replace_manifest,
)
from scenequilt.memory_bank.plan import (
    LARGEST_FRAME_PX,
    PlannedPhotograph,
    ShardTask,
    choose_frame,
    divide_photographs,
    list_entries,
    plan_id_of,
    plan_photographs,
)
from scenequilt.memory_bank.store import (
    CODECS,
    Codec,
    Shard,
    ShardContents,
    ShardFile,
    SourceRecord,
    seal,
    sha256_of,
    sync_folder,
    write_shard,
)
from scenequilt.memory_bank.taxonomy import Taxonomy

_WORKER_PX = 1 << 25
"""Another worker process pays if each has this much to cut, twice what is cut while it starts."""

_SHARD_WRITE_S = 0.02
"""Writing a shard, flushing it and registering it take about so long on a disk without heads."""

_CROWDED_CUTS = 8
"""So many photographs are cut by several processes at once to see how they slow each other down."""


@dataclass(frozen=True)
class ShardResult:
    """What became of a task.

    Attributes:
        record: The finished shard, for the manifest.
        skipped: Photographs that could not be used.
        photographs: How many it was to read.
    """

    record: ShardRecord
    skipped: tuple[Skipped, ...]
    photographs: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is.

    Attributes:
        photographs: Read so far, skipped ones included.
        total: To read in all.
        segments: Cut so far.
        resumed: How many of photographs an earlier run had read.
    """

    photographs: int
    total: int
    segments: int
    resumed: int = 0


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes:
        manifest: The bank after it.
        photographs: Used.
        segments: Cut.
        present: Photographs left out because the bank has them already.
        skipped: Photographs that could not be used.
        returned: How many of photographs had been removed from the bank and are back.
    """

    manifest: Manifest
    photographs: int
    segments: int
    present: int
    skipped: tuple[Skipped, ...]
    returned: int = 0


@dataclass(frozen=True)
class Estimate:
    """What a build would do, judged by a sample.

    Attributes:
        photographs: It would read.
        sample: How many of them were read for this.
        segments: It would cut.
        size_bytes: The bank would take.
        seconds: It would take, by the clock, in a process of its own that has yet to start.
        workers: Processes it would take.
        frame_hw: Size at which masks and layouts would be compared.
        present: Photographs that are there twice, and would be left out.
        skipped: Photographs of the sample that could not be used.
    """

    photographs: int
    sample: int
    segments: int
    size_bytes: int
    seconds: float
    workers: int
    frame_hw: tuple[int, int]
    present: int
    skipped: tuple[Skipped, ...]


def build_bank(
    reader: DatasetReader,
    out: Path,
    *,
    split: str | None = None,
    exclude_sequence: Sequence[str] = (),
    min_area_px: int = MIN_AREA_PX,
    frame_hw: tuple[int, int] | None = None,
    codec: Codec = "jpeg95",
    workers: int | None = 1,
    executor: Executor | None = None,
    resume: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> BuildReport:
    """Cut a dataset into segments and write them as a memory bank.

    A process killed at any instant leaves a folder that resume=True completes to the same content
    as an undisturbed build. A photograph that cannot be used is skipped and named in the report.
    A build that is refused leaves nothing.

    Args:
        reader: The dataset.
        out: Folder of the bank; it must not hold one, unless resume is set.
        split: "train", "val", ...; None for all.
        exclude_sequence: Sequences to leave out.
        min_area_px: Regions of fewer pixels are left out.
        frame_hw: (height, width) at which masks and layouts are compared; by default the commonest
            size of the photographs, made smaller to at most 2^18 pixels.
        codec: How colour crops are stored: "jpeg95" or "png".
        workers: Processes; None: as many as pay, see workers_that_pay.
        executor: Runs build_shard instead of processes of our own. Any concurrent.futures.Executor
            will do; its workers must find dataset and out under the paths given here.
        resume: Go on with a build that was interrupted. A finished one is left as it is.
        progress: Called after each shard.

    Raises:
        BankError: If out holds a bank and resume is not set, or resume is and the bank was begun
            from other photographs or with other settings.
        BankLockedError: If another process writes to out.
        DatasetError: If nothing is left to read.
        ValueError: If an argument is out of range.
    """
    _check_settings(min_area_px, codec, workers, frame_hw)
    check_out(out, resume=resume)
    if is_bank(out):
        # Refused before every file is hashed, not after, if another process is at work.
        with writing_to(out):
            pass
    photographs, present = plan_photographs(
        reader, list_entries(reader, split, exclude_sequence), {}, set()
    )
    frame_hw = frame_hw or choose_frame([photo.size_hw for photo in photographs])
    settings: dict[str, Any] = {
        "form": reader.form,
        "split": split,
        "exclude_sequence": sorted(exclude_sequence),
        "min_area_px": min_area_px,
        "codec": codec,
        "frame_hw": list(frame_hw),
        "repair": getattr(reader, "repair", "none"),
        "program": version("scenequilt"),
    }
    plan_id = plan_id_of(settings, reader.taxonomy, photographs)
    tasks = divide_photographs(
        reader, photographs, out, plan_id, frame_hw=frame_hw, min_area_px=min_area_px, codec=codec
    )
    plan = Plan(plan_id, settings, len(tasks), len(photographs))
    (out / "shards").mkdir(parents=True, exist_ok=True)
    with writing_to(out):
        # Again: another process may have written here since.
        check_out(out, resume=resume)
        if is_bank(out):
            manifest = read_manifest(out)
            if manifest.pending is None:
                _check_finished(out, manifest, plan)
                return BuildReport(manifest, 0, 0, present + len(photographs), manifest.skipped)
            _check_same_plan(out, manifest.pending, plan)
        else:
            manifest = replace_manifest(
                out,
                Manifest(
                    reader.taxonomy,
                    frame_hw,
                    {"min_area_px": min_area_px, "codec": codec, "plan_id": plan_id},
                    pending=plan,
                ),
            )
        clear_leftovers(out, manifest, keep={task.path.name for task in tasks})
        registered = {record.name for record in manifest.shards}
        tasks_left = [task for task in tasks if task.path.name not in registered]
        resumed = len(photographs) - sum(len(task.photographs) for task in tasks_left)
        done = Progress(
            resumed, len(photographs), sum(record.segments for record in manifest.shards), resumed
        )
        with closing(_results(tasks_left, workers, executor)) as results:
            for result in results:
                manifest = replace_manifest(out, manifest.with_shard(result.record, result.skipped))
                done = _tell(progress, done, result)
        skipped = tuple(sorted(manifest.skipped, key=lambda one: (one.source_id, one.path)))
        manifest = replace(manifest, pending=None, skipped=skipped)
        manifest = replace(manifest, fingerprint=fingerprint_of(out, manifest))
        manifest = replace_manifest(out, manifest)
    return BuildReport(
        manifest, len(photographs) - len(skipped), done.segments, present, manifest.skipped
    )


def add_photographs(
    reader: DatasetReader,
    bank: Path,
    *,
    split: str | None = None,
    exclude_sequence: Sequence[str] = (),
    workers: int | None = 1,
    executor: Executor | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> BuildReport:
    """Add a dataset's photographs to a bank; those that it has already, by hash, are left out.

    The bank changes at once at the end: a process killed before leaves it as it was, and the same
    call goes on with the shards that were finished. Photographs that were removed come back, and
    are counted in the report unless the bank was compacted since.

    Raises:
        BankError: If the bank is not finished, or its classes are not the dataset's.
        BankLockedError: If another process writes to the bank.
        DatasetError: If there is nothing to read.
    """
    _check_settings(1, "jpeg95", workers, None)
    read_manifest(bank)
    with writing_to(bank):
        manifest = read_manifest(bank)
        check_finished(bank, manifest)
        check_same_classes(reader.taxonomy, manifest.taxonomy, f"cannot add to {bank}")
        names, hashes, removed = _present(bank, manifest)
        entries = list_entries(reader, split, exclude_sequence)
        photographs, present = plan_photographs(reader, entries, names, hashes)
        if not photographs:
            return BuildReport(manifest, 0, 0, present, ())
        settings = {
            "min_area_px": manifest.settings["min_area_px"],
            "codec": manifest.settings["codec"],
            "frame_hw": list(manifest.frame_hw),
            "form": reader.form,
            "repair": getattr(reader, "repair", "none"),
            "program": version("scenequilt"),
        }
        tasks = divide_photographs(
            reader,
            photographs,
            bank,
            plan_id_of(settings, reader.taxonomy, photographs),
            frame_hw=manifest.frame_hw,
            min_area_px=int(settings["min_area_px"]),
            codec=settings["codec"],
        )
        clear_leftovers(bank, manifest, keep={task.path.name for task in tasks})
        done = Progress(0, len(photographs), 0)
        skipped: list[Skipped] = []
        with closing(_results(tasks, workers, executor)) as results:
            for result in results:
                manifest = manifest.with_shard(result.record, result.skipped)
                skipped += result.skipped
                done = _tell(progress, done, result)
        manifest = replace(manifest, fingerprint=fingerprint_of(bank, manifest))
        manifest = replace_manifest(bank, manifest)
    skipped.sort(key=lambda one: (one.source_id, one.path))
    unused = {one.source_id for one in skipped}
    return BuildReport(
        manifest,
        len(photographs) - len(skipped),
        done.segments,
        present,
        tuple(skipped),
        sum(
            photo.image_sha256 in removed and photo.source_id not in unused for photo in photographs
        ),
    )


def workers_that_pay(pixels: int) -> int:
    """Return how many processes to cut photographs of so many pixels with.

    A process takes about 1.5 s of CPU time until it cuts its first photograph, and must have twice
    as much to do; there are never more than cores that this process may use.
    """
    return max(1, min(pixels // _WORKER_PX, _cores()))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_out(out: Path, *, resume: bool = False) -> None:
    """Refuse a folder that build_bank would not write to.

    Raises:
        BankError: If it holds a bank and resume is not set, or something else.
    """
    if not is_bank(out):
        check_free(out)
    elif not resume:
        raise BankError(
            f"{out} is a memory bank already; go on with an interrupted build by --resume, add "
            f"photographs with: scenequilt bank add DATASET --bank {out}, or choose another folder"
        )


def estimate_build(
    reader: DatasetReader,
    *,
    split: str | None = None,
    exclude_sequence: Sequence[str] = (),
    min_area_px: int = MIN_AREA_PX,
    frame_hw: tuple[int, int] | None = None,
    codec: Codec = "jpeg95",
    workers: int | None = 1,
    sample: int = 24,
    progress: Callable[[Progress], None] | None = None,
) -> Estimate:
    """Judge by a sample what a build would give. Writes nothing.

    As many processes are started as would help, one at least, to see how long they take to start
    and how much they slow each other down.

    Args:
        reader, split, exclude_sequence, min_area_px, frame_hw, codec, workers: As for build_bank.
        sample: How many photographs to read, evenly spread; 0 for all.
        progress: Called after each photograph.

    Raises:
        DatasetError: If nothing is left to read, or nothing of the sample can be read.
        ValueError: If an argument is out of range.
    """
    _check_settings(min_area_px, codec, workers, frame_hw)
    begun = time.perf_counter()
    photographs, present = plan_photographs(
        reader, list_entries(reader, split, exclude_sequence), {}, set()
    )
    planning_s = time.perf_counter() - begun
    frame_hw = frame_hw or choose_frame([photo.size_hw for photo in photographs])
    count = min(sample, len(photographs)) or len(photographs)
    chosen = [photographs[n * len(photographs) // count] for n in range(count)]
    skipped: list[Skipped] = []
    seconds_of_cuts = []
    segments = size_bytes = 0
    # The first one also loads and compiles what all of them need, so it is not timed.
    _timed_cut(reader, chosen[0], frame_hw, min_area_px, codec)
    for read, photo in enumerate(chosen, start=1):
        cut, seconds = _timed_cut(reader, photo, frame_hw, min_area_px, codec)
        seconds_of_cuts.append(seconds)
        if isinstance(cut, Skipped):
            skipped.append(cut)
        else:
            segments += len(cut.segments)
            size_bytes += cut.size_bytes
        if progress is not None:
            progress(Progress(read, count, segments))
    if len(skipped) == len(chosen):
        raise DatasetError(
            f"none of {len(chosen)} photographs of the sample can be used; the first: "
            f"{skipped[0].message}"
        )
    scale = len(photographs) / count
    tasks = divide_photographs(
        reader, photographs, Path(), "", frame_hw=frame_hw, min_area_px=min_area_px, codec=codec
    )
    workers = _workers_for(tasks, workers)
    few = chosen[:_CROWDED_CUTS]

    start_s, crowded_s = _start_and_crowd(
        max(1, workers - 1),
        partial(_seconds_to_cut, reader, few[:1], frame_hw, min_area_px, codec),
        partial(_seconds_to_cut, reader, few, frame_hw, min_area_px, codec),
    )
    crowding = max(1.0, crowded_s / sum(seconds_of_cuts[: len(few)])) if workers > 1 else 1.0
    a_cut_s = crowding * sum(seconds_of_cuts) / count
    makespan_s = _makespan(
        [a_cut_s * len(task.photographs) + _SHARD_WRITE_S for task in tasks],
        workers,
        crowding * start_s,
    )
    return Estimate(
        photographs=len(photographs),
        sample=count,
        segments=round(segments * scale),
        size_bytes=round(size_bytes * scale),
        seconds=planning_s + start_s + makespan_s,
        workers=workers,
        frame_hw=frame_hw,
        present=present,
        skipped=tuple(skipped),
    )


def _timed_cut(
    reader: DatasetReader,
    photo: PlannedPhotograph,
    frame_hw: tuple[int, int],
    min_area_px: int,
    codec: Codec,
) -> tuple[ShardContents | Skipped, float]:
    """Cut a photograph as a build does but for writing it; return the seconds it took too."""
    begun = time.perf_counter()
    with _one_thread():
        cut = _cut(reader, photo, frame_hw, min_area_px, codec)
    if isinstance(cut, ShardContents):
        cut = seal(cut)
    return cut, time.perf_counter() - begun


def _seconds_to_cut(
    reader: DatasetReader,
    photographs: Sequence[PlannedPhotograph],
    frame_hw: tuple[int, int],
    min_area_px: int,
    codec: Codec,
) -> float:
    return sum(_timed_cut(reader, photo, frame_hw, min_area_px, codec)[1] for photo in photographs)


def _start_and_crowd(
    others: int, first: Callable[[], float], work: Callable[[], float]
) -> tuple[float, float]:
    """Return the seconds until other processes have done first, and those of work amid them."""
    begun = time.perf_counter()
    with _other_processes(others) as processes:
        with _born_deaf_to_interrupts():
            started = [processes.submit(first) for _ in range(others)]
        wait_for(started)
        start_s = time.perf_counter() - begun
        at_work = [processes.submit(work) for _ in range(others)]
        crowded_s = work()
        for done in [*started, *at_work]:
            done.result()
    return start_s, crowded_s


def _makespan(seconds_of_tasks: Sequence[float], workers: int, start_s: float) -> float:
    """Return when the last task is done, of one process at hand and others that start."""
    waiting = iter(seconds_of_tasks)
    # As _in_processes hands them out: one to each that starts, then to whoever is free.
    free_at = [start_s + task for task in islice(waiting, workers - 1)]
    free_at.append(next(waiting, 0.0))
    heapq.heapify(free_at)
    for task in waiting:
        heapq.heapreplace(free_at, free_at[0] + task)
    return max(free_at)


def build_shard(task: ShardTask) -> ShardResult:
    """Make one shard of a list of photographs: the unit of work of every build.

    It depends on nothing but the task, so that any process on any machine that sees the files can
    run it. A finished shard of the same task that lies there already is checked and taken over.

    Raises:
        OSError: If the shard cannot be written.
    """
    return _make_shard(task, threading.Event())


def _make_shard(task: ShardTask, stop: threading.Event) -> ShardResult:
    """Make one shard, unless stop is set before its last photograph is begun."""
    adopted = _adopt(task)
    if adopted is not None:
        return adopted
    cuts = []
    with _one_thread():
        for photo in task.photographs:
            if stop.is_set():
                raise InterruptedError(f"{task.path} was given up, for the build was stopped")
            cuts.append(_cut(task.reader, photo, task.frame_hw, task.min_area_px, task.codec))
    skipped = tuple(cut for cut in cuts if isinstance(cut, Skipped))
    contents = seal(
        join_contents(task.frame_hw, [cut for cut in cuts if isinstance(cut, ShardContents)])
    )
    notes = json.dumps([asdict(one) for one in skipped]).encode()
    written = write_shard(task.path, contents, task_id=task.task_id, notes=notes)
    record = record_of(task.path.name, contents, written, task.reader.taxonomy)
    return ShardResult(record, skipped, len(task.photographs))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep OpenCV to one thread: there are as many processes as shall be at work."""
    import cv2

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def write_bank(
    folder: Path,
    taxonomy: Taxonomy,
    frame_hw: tuple[int, int],
    shards: Iterable[ShardContents],
) -> Manifest:
    """Write a bank of shards that were made elsewhere, e.g. for a benchmark.

    A process that is killed leaves a bank that is not finished; the same call begins it again.

    Args:
        folder: Must not hold a bank, nor anything else.
        taxonomy: The classes.
        frame_hw: Frame size of every shard.
        shards: Their contents; digests and checksums are filled in here.

    Raises:
        BankError: If folder holds a bank, or something else.
        ValueError: If the frame is too large, or a shard has another one.
    """
    _check_frame(frame_hw)
    with beginning(folder, "write"):
        manifest = Manifest(taxonomy, frame_hw, {"min_area_px": 1, "codec": "jpeg95"})
        replace_manifest(folder, replace(manifest, pending=Plan("", {}, 0, 0, "write")))
        for number, contents in enumerate(shards):
            if contents.frame_hw != frame_hw:
                raise ValueError(f"shard {number} has frame {contents.frame_hw}, not {frame_hw}")
            contents = seal(contents)
            path = folder / "shards" / f"given-{number:05d}.h5"
            written = write_shard(path, contents)
            manifest = manifest.with_shard(record_of(path.name, contents, written, taxonomy))
        manifest = replace(manifest, fingerprint=fingerprint_of(folder, manifest))
        return replace_manifest(folder, manifest)


@contextmanager
def beginning(out: Path, begun_by: Beginner) -> Iterator[None]:
    """Hold the right to write a new bank that is not resumed; what a killed one left is deleted.

    Args:
        out: Folder of the bank; it is made.
        begun_by: What begins it, to know its own leftovers by.

    Raises:
        BankError: If out holds a bank that something else began, or no bank but something else.
        BankLockedError: If another process writes to out.
    """
    _check_begun_by(out, begun_by)
    (out / "shards").mkdir(parents=True, exist_ok=True)
    with writing_to(out):
        # Again: another process may have written a bank since, and let go of the lock.
        left = _check_begun_by(out, begun_by)
        if left is not None:
            clear_leftovers(out, left)
        yield


def _check_begun_by(out: Path, begun_by: Beginner) -> Manifest | None:
    """Return the manifest of a bank that the same act began and did not finish, if it lies there."""
    if not is_bank(out):
        check_free(out)
        return None
    manifest = read_manifest(out)
    if manifest.pending is None or manifest.pending.begun_by != begun_by:
        raise BankError(f"{out} is a memory bank already; choose another folder for the new one")
    return manifest


def record_of(
    name: str, contents: ShardContents, written: ShardFile, taxonomy: Taxonomy
) -> ShardRecord:
    """Return what the manifest says of a shard."""
    by_class = np.bincount(contents.segments["class_id"], minlength=256).tolist()
    rows = np.bincount(contents.segments["source_row"], minlength=len(contents.sources)).tolist()
    sources: Counter[str] = Counter(source.licence for source in contents.sources)
    segments: Counter[str] = Counter()
    for source, count in zip(contents.sources, rows, strict=True):
        segments[source.licence] += count
    return ShardRecord(
        name=name,
        sha256=written.sha256,
        size_bytes=written.size_bytes,
        segments=len(contents.segments),
        sources=len(contents.sources),
        classes={
            entry.name: by_class[n] for n, entry in enumerate(taxonomy.classes) if by_class[n]
        },
        licences={name: LicenceCount(sources[name], segments[name]) for name in sorted(sources)},
    )


def leftover_files(folder: Path, manifest: Manifest) -> list[Path]:
    """List the shards that the manifest does not name, and what was not renamed yet."""
    known = {record.name for record in manifest.shards}
    shards = folder / "shards"
    unknown = [path for path in shards.glob("*.h5") if path.name not in known]
    return [*unknown, *shards.glob("*.h5.*.tmp"), *folder.glob(f"{MANIFEST_NAME}.*.tmp")]


def clear_leftovers(folder: Path, manifest: Manifest, keep: set[str] | None = None) -> None:
    """Delete what a killed writer left behind. The folder's lock must be held.

    Args:
        folder: The bank.
        manifest: Names the shards that belong to it.
        keep: Shards that may stay though the manifest does not name them.
    """
    (folder / "shards").mkdir(exist_ok=True)
    for path in leftover_files(folder, manifest):
        if path.name not in (keep or set()):
            path.unlink(missing_ok=True)
    for pattern in ("index.*.tmp", "index.*.old"):
        for path in folder.glob(pattern):
            shutil.rmtree(path)
    sync_folder(folder / "shards")


def _check_settings(
    min_area_px: int, codec: str, workers: int | None, frame_hw: tuple[int, int] | None
) -> None:
    if min_area_px < 1:
        raise ValueError(f"min_area_px must be at least 1, got {min_area_px}")
    if codec not in CODECS:
        raise ValueError(f"codec {codec!r}; there are {', '.join(CODECS)}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if frame_hw is not None:
        _check_frame(frame_hw)


def _check_frame(frame_hw: tuple[int, int]) -> None:
    height, width = frame_hw
    if not all(8 <= side <= 32767 for side in frame_hw):
        raise ValueError(f"frame_hw must be 8 to 32767 pixels each way, got {frame_hw}")
    if height * width > LARGEST_FRAME_PX:
        raise ValueError(
            f"frame_hw {frame_hw} has {height * width} pixels, expected at most {LARGEST_FRAME_PX} "
            "(e.g. 4096x4096): masks are compared at that size, crops keep the photograph's"
        )


def _present(bank: Path, manifest: Manifest) -> tuple[dict[str, str], set[str], set[str]]:
    """Return photographs' hashes by name, hashes of those that are there, and of those removed."""
    names: dict[str, str] = {}
    hashes: set[str] = set()
    removed: set[str] = set()
    for record, shard in zip(manifest.shards, open_shards(bank, manifest), strict=True):
        live = record.live_sources(shard).tolist()
        for source, is_live in zip(shard.sources, live, strict=True):
            names[source.source_id] = source.image_sha256
            (hashes if is_live else removed).add(source.image_sha256)
    return names, hashes, removed - hashes


def _check_same_plan(out: Path, begun: Plan, plan: Plan) -> None:
    if begun.plan_id == plan.plan_id:
        return
    if begun.begun_by != "build":
        raise BankError(
            f"{out} is a {begun.begun_by} that was stopped, no build to resume; give the command "
            "that began it again, or build into another folder"
        )
    for name, value in plan.settings.items():
        if begun.settings.get(name) != value:
            raise BankError(
                f"{out} was begun with {name} {begun.settings.get(name)!r}, now it is {value!r}; "
                "resume with the same settings, or build into another folder"
            )
    raise BankError(
        f"{out} was begun from other photographs, labels or classes ({begun.photographs}, now "
        f"{plan.photographs}); put them back as they were, or build into another folder"
    )


def _check_finished(out: Path, manifest: Manifest, plan: Plan) -> None:
    if manifest.settings.get("plan_id") != plan.plan_id:
        raise BankError(
            f"{out} is finished and was built from other photographs or settings: nothing to "
            f"resume; add photographs with: scenequilt bank add DATASET --bank {out}"
        )


def _tell(
    progress: Callable[[Progress], None] | None, done: Progress, result: ShardResult
) -> Progress:
    done = replace(
        done,
        photographs=done.photographs + result.photographs,
        segments=done.segments + result.record.segments,
    )
    if progress is not None:
        progress(done)
    return done


def _adopt(task: ShardTask) -> ShardResult | None:
    """Return the result of an earlier run of the task, if its shard lies there undamaged."""
    if not task.path.exists():
        return None
    try:
        shard = Shard(task.path)
        if shard.task_id != task.task_id or any(shard.faults()):
            return None
        skipped = tuple(Skipped(**one) for one in json.loads(shard.notes))
        contents = shard.contents()
    except (BankError, ValueError, TypeError):
        # Not readable, so not adopted: it is made again in its place.
        return None
    written = ShardFile(sha256_of(task.path), task.path.stat().st_size)
    record = record_of(task.path.name, contents, written, task.reader.taxonomy)
    return ShardResult(record, skipped, len(task.photographs))


def _cut(
    reader: DatasetReader,
    photo: PlannedPhotograph,
    frame_hw: tuple[int, int],
    min_area_px: int,
    codec: Codec,
) -> ShardContents | Skipped:
    entry = photo.entry
    try:
        labelled = reader.read(entry)
    except (DatasetError, OSError) as error:
        return Skipped(photo.source_id, str(entry.image_path), str(error))
    source = SourceRecord(
        source_id=photo.source_id,
        size_hw=labelled.layout.size_hw,
        split=entry.split,
        sequence=entry.sequence,
        licence=entry.licence,
        address=entry.address,
        image_sha256=photo.image_sha256,
        label_sha256=photo.label_sha256,
        image_path=str(entry.image_path),
    )
    return cut_photograph(labelled, source, frame_hw, min_area_px=min_area_px, codec=codec)


def _results(
    tasks: Sequence[ShardTask], workers: int | None, executor: Executor | None
) -> Generator[ShardResult, None, None]:
    """Yield what becomes of tasks, as they are done; closed early, what is not done is dropped."""
    if executor is not None:
        yield from _in_executor(executor, tasks)
        return
    workers = _workers_for(tasks, workers)
    if workers == 1:
        yield from map(build_shard, tasks)
    else:
        yield from _in_processes(workers, tasks)


def _workers_for(tasks: Sequence[ShardTask], workers: int | None) -> int:
    if workers is None:
        sizes = [photo.size_hw for task in tasks for photo in task.photographs]
        workers = workers_that_pay(sum(height * width for height, width in sizes))
    return max(1, min(workers, len(tasks)))


def _in_executor(
    executor: Executor, tasks: Sequence[ShardTask]
) -> Generator[ShardResult, None, None]:
    futures = [executor.submit(build_shard, task) for task in tasks]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()


def _in_processes(workers: int, tasks: Sequence[ShardTask]) -> Generator[ShardResult, None, None]:
    """Cut in this process, which has loaded what cutting needs, and in workers - 1 others."""
    with ThreadPoolExecutor(1) as thread, _other_processes(workers - 1) as processes:
        stop = threading.Event()
        waiting = iter(tasks)
        at_work: dict[Future[ShardResult], Executor] = {}

        def submit_to(executor: Executor) -> None:
            task = next(waiting, None)
            if task is not None and executor is thread:
                at_work[thread.submit(_make_shard, task, stop)] = thread
            elif task is not None:
                at_work[executor.submit(build_shard, task)] = executor

        try:
            with _born_deaf_to_interrupts():
                for executor in [*[processes] * (workers - 1), thread]:
                    submit_to(executor)
            while at_work:
                done = wait_for(at_work, return_when=FIRST_COMPLETED).done
                for future in done:
                    submit_to(at_work.pop(future))
                for future in done:
                    yield future.result()
        finally:
            stop.set()


@contextmanager
def _other_processes(count: int) -> Iterator[ProcessPoolExecutor]:
    """Have worker processes that end with this block, at once if it is left by an error."""
    spawn = multiprocessing.get_context("spawn")
    # Workers end when the other end of this closes: by us, or with us, however we end.
    lifeline, our_end = spawn.Pipe(duplex=False)
    with (
        lifeline,
        our_end,
        ProcessPoolExecutor(
            count, mp_context=spawn, initializer=_begin_worker, initargs=(lifeline,)
        ) as processes,
    ):
        try:
            yield processes
        except BrokenProcessPool as error:
            raise BankError(
                "a worker process died, perhaps for want of memory; what is finished is kept: give "
                "the same command again, with --resume if it is a build, and fewer --workers"
            ) from error
        except BaseException:
            # A shard is whole or absent, so nobody needs to wait for those at work.
            our_end.close()
            raise


@contextmanager
def _born_deaf_to_interrupts() -> Iterator[None]:
    """Let processes that start here leave Ctrl-C to this one, from their first instruction on."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_worker(lifeline: Connection) -> None:
    """Make a worker process leave Ctrl-C to its parent, and end when its parent does or says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after, args=[lifeline], daemon=True).start()


def _end_after(lifeline: Connection) -> None:
    wait([lifeline])
    os._exit(1)
