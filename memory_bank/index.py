"""The FAISS index of a bank: a cache of its shards, tied to them by a fingerprint."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.descriptor import Runs
from scenequilt.memory_bank.errors import FaissError
from scenequilt.memory_bank.kernels import (
    QueryTable,
    SourceTable,
    Table,
    count_context,
    describe_layouts,
    describe_masks,
    describe_shape,
    describe_shapes,
    enlarge_boxes,
)
from scenequilt.memory_bank.rerank import ScoreWeights
from scenequilt.memory_bank.table import address_of

INDEX_FORMAT = "scenequilt index"
INDEX_VERSION = 2
MANIFEST_NAME = "index.json"

MASK_GRID = (16, 32)
"""Rows and columns of the grid in which a descriptor counts a mask's pixels."""

CONTEXT_GRID = (4, 8)
"""Rows and columns of the grid in which it counts the classes of the enlarged box."""

SAMPLE_ROWS = 8192
"""Segments of a class that the projection is fitted to."""

TRAIN_PER_LIST = 64
"""Segments a list of the inverted file that its centres are fitted to."""

CHUNK_ROWS = 16384

Device = Literal["cpu", "gpu"]

ProblemKind = Literal["stale", "damaged", "foreign"]

Kind = Literal["frame", "shape"]
"""What a descriptor tells beside the layout around a segment."""

DISTRIBUTIONS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12", "faiss-gpu-cuvs", "faiss-cuda")
"""What installs the folder "faiss"; any two of them overwrite each other."""


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """How an index is built and asked.

    Attributes:
        dimensions: Numbers that a descriptor is projected to; each is stored in a byte.
        flat_rows: Classes of fewer segments are compared one by one, others by inverted lists.
        list_rows: Segments an inverted list, on average.
        probes: Lists looked into a query.
        proposals: Segments proposed a query, whose exact scores are then computed.
        seed: Of the samples that projection and lists are fitted to.

    Raises:
        ValueError: If a number is below 1, or more than 256 dimensions are asked for.
    """

    dimensions: int = 96
    flat_rows: int = 8192
    list_rows: int = 128
    probes: int = 32
    proposals: int = 1500
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dimensions", "flat_rows", "list_rows", "probes", "proposals"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.dimensions > 256:
            raise ValueError(f"dimensions is {self.dimensions}, expected at most 256")


@dataclass(frozen=True, eq=False)
class DescriptorIndex:
    """The descriptors of one class and kind, searchable.

    Attributes:
        projection: (dimensions, D) float32.
        searcher: The FAISS index; it holds the projected descriptors of the table's rows in order.
        probes: Lists to look into; 0 for a flat index.
        on_gpu: True if it lies on a GPU, where FAISS knows no selectors.
    """

    projection: NDArray[np.float32]
    searcher: Any
    probes: int
    on_gpu: bool

    def propose(
        self, descriptor: NDArray[np.float32], count: int, allowed: NDArray[np.uint8]
    ) -> NDArray[np.int64]:
        """Return (count,) int64 rows whose descriptors are nearest, -1 where there are no more.

        Where the lists looked into hold fewer that may answer, as under a filter that few pass,
        four times as many are looked into, until there are enough or no lists are left. On a GPU
        neither is done: rows that may not answer are proposed as well, and the caller sorts them
        out.

        Args:
            descriptor: (D,) of the query.
            count: Rows to propose.
            allowed: (N,) uint8, rows that may answer; empty if all may.
        """
        faiss: Any = importlib.import_module("faiss")
        projected = np.ascontiguousarray(self.projection @ descriptor, np.float32)[None]
        if self.on_gpu:
            _, rows = self.searcher.search(projected, count)
            return np.asarray(rows[0], np.int64)
        chosen: dict[str, Any] = {}
        if len(allowed):
            bits = np.packbits(allowed, bitorder="little")
            chosen["sel"] = faiss.IDSelectorBitmap(bits)
        # OpenMP keeps this number for each thread of the program; ours is put back.
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            if not self.probes:
                parameters = faiss.SearchParameters(**chosen)
                _, rows = self.searcher.search(projected, count, params=parameters)
                return np.asarray(rows[0], np.int64)
            lists = int(self.searcher.nlist)
            probes = self.probes
            while True:
                parameters = faiss.SearchParametersIVF(nprobe=probes, **chosen)
                _, rows = self.searcher.search(projected, count, params=parameters)
                # Those that are missing stand at the end.
                if rows[0, -1] >= 0 or probes >= lists:
                    return np.asarray(rows[0], np.int64)
                probes = min(4 * probes, lists)
        finally:
            faiss.omp_set_num_threads(threads)


@dataclass(frozen=True, slots=True)
class IndexProblem:
    """Why an index cannot be used.

    Attributes:
        kind: "stale" if it was made for another state of the bank: of no use, but no damage;
            "damaged" if a file is missing or not what was written; "foreign" if this program does
            not read its format or version.
        path: The file, or the folder of the index.
        message: A sentence that names it.
    """

    kind: ProblemKind
    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What building an index made.

    Attributes:
        classes: Classes indexed.
        segments: Segments indexed.
        size_bytes: Of all files.
    """

    classes: int
    segments: int
    size_bytes: int


@dataclass(frozen=True, eq=False)
class Index:
    """The index of a bank, opened.

    Attributes:
        classes: By class id, and by what is described: "frame" where a segment stands in the
            frame, "shape" its shape alone (things only), either with the layout around it.
        settings: What it was built with.
    """

    classes: dict[tuple[int, Kind], DescriptorIndex]
    settings: IndexSettings = field(default_factory=IndexSettings)


def check_faiss() -> Any:  # noqa: ANN401
    """Return the module faiss, if it can be used.

    Raises:
        FaissError: If FAISS is absent, installed twice, or broken; the message has the remedy.
    """
    installed = [name for name in DISTRIBUTIONS if _is_installed(name)]
    if len(installed) > 1:
        raise FaissError(
            f"FAISS is installed twice ({' and '.join(installed)}), and one overwrites the other; "
            f"run: pip uninstall -y {' '.join(installed)}, then install one: "
            "pip install 'scenequilt[cpu]' or pip install 'scenequilt[gpu]'"
        )
    if importlib.util.find_spec("faiss") is None:
        raise FaissError(
            "FAISS is not installed; install one of: pip install 'scenequilt[cpu]', "
            "pip install 'scenequilt[gpu]' (or search exactly, which needs no FAISS)"
        )
    name = installed[0] if installed else "faiss-cpu"
    remedy = f"install it again: pip install --force-reinstall --no-deps {name}"
    try:
        faiss = importlib.import_module("faiss")
    except Exception as error:
        # A broken extension module may raise anything, an OSError of the loader included.
        raise FaissError(f"FAISS cannot be imported ({error}); {remedy}") from error
    if not hasattr(faiss, "IndexFlatL2"):
        raise FaissError(
            f"FAISS is broken: the folder is there, but its files are gone, as after removing one "
            f"of two installs; {remedy}"
        )
    return faiss


def build_index(
    tables: Callable[[int], Table],
    class_ids: list[int],
    sources: SourceTable,
    frame_hw: tuple[int, int],
    classes: int,
    index_dir: Path,
    fingerprint: str,
    *,
    settings: IndexSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> IndexReport:
    """Build the index of every class and put it in place of what is there.

    Args:
        tables: Gives the segments of a class.
        class_ids: The classes that the bank has segments of.
        sources: Where the layouts are.
        frame_hw: Size at which masks and layouts are compared.
        classes: Classes of the taxonomy.
        index_dir: Folder of the index; a killed build leaves the old one or none.
        fingerprint: Of the bank's content.
        settings: How to build it.
        progress: Called with the segments done so far.

    Raises:
        FaissError: If FAISS cannot be used.
    """
    faiss = check_faiss()
    settings = settings or IndexSettings()
    draft = index_dir.with_name(f"{index_dir.name}.{os.getpid()}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    entries = []
    done = 0
    threads = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(1)
        for class_id in class_ids:
            table = tables(class_id)
            parts = {}
            for kind in kinds_of(table):
                projection, searcher, probes = _fit(
                    faiss, table, sources, frame_hw, classes, settings, class_id, kind
                )
                stem = draft / f"class_{class_id:03d}_{kind}"
                np.save(stem.with_suffix(".npy"), projection)
                faiss.write_index(searcher, str(stem.with_suffix(".faiss")))
                files = [stem.with_suffix(suffix) for suffix in (".npy", ".faiss")]
                for path in files:
                    _flush(path)
                parts[kind] = {
                    "probes": probes,
                    "files": {path.name: _sha256(path) for path in files},
                }
            done += len(table.area)
            entries.append(
                {
                    "class_id": class_id,
                    "rows": len(table.area),
                    "order": order_digest(table),
                    "kinds": parts,
                }
            )
            if progress is not None:
                progress(done)
        manifest = {
            "format": INDEX_FORMAT,
            "version": INDEX_VERSION,
            "fingerprint": fingerprint,
            "frame_hw": list(frame_hw),
            "faiss": str(faiss.__version__),
            "settings": asdict(settings),
            "classes": entries,
        }
        (draft / MANIFEST_NAME).write_bytes(_with_checksum(manifest))
        _flush(draft / MANIFEST_NAME)
        _replace_folder(draft, index_dir)
    finally:
        faiss.omp_set_num_threads(threads)
        shutil.rmtree(draft, ignore_errors=True)
    size = sum(path.stat().st_size for path in index_dir.iterdir())
    return IndexReport(len(entries), done, size)


def rebuild_remedy(index_dir: Path | None) -> str:
    """Return what a user can do about an index that is absent, stale or damaged."""
    bank = "BANK" if index_dir is None else index_dir.parent
    return f"make it anew: scenequilt bank reindex {bank} (or search exactly, which needs no index)"


def load_index(
    index_dir: Path | None, fingerprint: str, *, device: Device = "cpu"
) -> tuple[Index, dict[int, str]]:
    """Open the index of a bank; its lists are mapped, not read.

    Returns:
        The index, and by class id the digest of the table's order that it was made for.

    Raises:
        FaissError: If FAISS cannot be used, there is no index, it is of another bank or version, a
            byte of it is not what was written, or there is no GPU where one is asked for.
    """
    faiss = check_faiss()
    if index_dir is None or not (index_dir / MANIFEST_NAME).is_file():
        where = "" if index_dir is None else f" in {index_dir}"
        raise FaissError(f"the bank has no index{where}; {rebuild_remedy(index_dir)}")
    manifest, problems = _examine(index_dir, fingerprint)
    if problems:
        raise FaissError(f"{problems[0].message}; {rebuild_remedy(index_dir)}")
    resources = None
    if device == "gpu":
        if not hasattr(faiss, "StandardGpuResources") or faiss.get_num_gpus() < 1:
            raise FaissError(
                "no GPU that FAISS can use; it needs the extra 'gpu' (pip install "
                "'scenequilt[gpu]' in place of 'cpu') and a CUDA device; or use device='cpu'"
            )
        resources = faiss.StandardGpuResources()
    classes: dict[tuple[int, Kind], DescriptorIndex] = {}
    orders: dict[int, str] = {}
    flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY
    for entry in manifest["classes"]:
        class_id = int(entry["class_id"])
        orders[class_id] = str(entry["order"])
        for kind, part in entry["kinds"].items():
            stem = index_dir / f"class_{class_id:03d}_{kind}"
            probes = int(part["probes"])
            try:
                projection = np.load(stem.with_suffix(".npy"))
                searcher = faiss.read_index(str(stem.with_suffix(".faiss")), flags)
                if probes:
                    # Mapped lists are fetched ahead by 32 threads: ten times the search itself.
                    faiss.downcast_InvertedLists(searcher.invlists).prefetch_nthread = 0
                if resources is not None:
                    searcher = faiss.index_cpu_to_gpu(resources, 0, searcher)
                    if probes:
                        searcher.nprobe = probes
            except (OSError, RuntimeError, ValueError) as error:
                raise FaissError(
                    f"{stem} cannot be read ({error}); {rebuild_remedy(index_dir)}"
                ) from error
            found = DescriptorIndex(projection, searcher, probes, resources is not None)
            classes[class_id, kind] = found
    return Index(classes, IndexSettings(**manifest["settings"])), orders


def index_problems(index_dir: Path, fingerprint: str) -> list[IndexProblem]:
    """Return what is wrong with an index; nothing if it is absent or in order.

    FAISS itself need not be installed.
    """
    if not (index_dir / MANIFEST_NAME).is_file():
        return []
    return _examine(index_dir, fingerprint)[1]


def order_digest(table: Table) -> str:
    """Return a digest of which segment stands in which row of a class's table."""
    return hashlib.blake2b(table.segment_id.tobytes(), digest_size=16).hexdigest()


def kinds_of(table: Table) -> tuple[Kind, ...]:
    """Return what is described of a class: shapes of things only."""
    return ("frame", "shape") if len(table.shape_area) else ("frame",)


def describe_rows(
    table: Table,
    sources: SourceTable,
    frame_hw: tuple[int, int],
    classes: int,
    kind: Kind,
) -> NDArray[np.float32]:
    """Return (N, D) float32 descriptors: mask or shape, and context, of unit length each."""
    count = len(table.area)
    if kind == "frame":
        masks = np.zeros((count, *MASK_GRID), np.float32)
        describe_masks(table.box, table.word_at, *_grid(MASK_GRID, frame_hw), masks)
        first = masks.reshape(count, -1)
    else:
        shapes = np.zeros((count, 64), np.float32)
        describe_shapes(table.source, table.row, sources, shapes)
        first = np.concatenate(
            [unit_rows(shapes), unit_rows(_box_cells(table.box, frame_hw))], axis=1
        )
    contexts = np.zeros((count, CONTEXT_GRID[0] * CONTEXT_GRID[1], classes), np.int32)
    edges = _grid(CONTEXT_GRID, frame_hw)
    describe_layouts(table.box, table.source, sources, *edges, contexts)
    return np.concatenate([unit_rows(first), unit_rows(contexts.reshape(count, -1))], axis=1)


def describe_query(
    query: QueryTable,
    runs: Runs,
    weights: ScoreWeights,
    frame_hw: tuple[int, int],
    classes: int,
    kind: Kind,
) -> NDArray[np.float32]:
    """Return (D,) float32: its product with a row's descriptor stands for the weighted score."""
    box = np.array([query.box], np.int64)
    if kind == "frame":
        masks = np.zeros((1, *MASK_GRID), np.float32)
        word_at = np.array([address_of(query.words)])
        describe_masks(box, word_at, *_grid(MASK_GRID, frame_hw), masks)
        first = masks.reshape(1, -1)
    else:
        shapes = np.zeros((1, 64), np.float32)
        describe_shape(query.shape, shapes)
        first = np.concatenate([unit_rows(shapes), unit_rows(_box_cells(box, frame_hw))], axis=1)
    contexts = np.zeros((1, CONTEXT_GRID[0] * CONTEXT_GRID[1], classes), np.int32)
    layout = (address_of(runs.row_offset), address_of(runs.end), address_of(runs.label))
    count_context(query.context_box, *layout, *_grid(CONTEXT_GRID, frame_hw), contexts, 0)
    return np.concatenate(
        [
            weights.mask * unit_rows(first)[0],
            weights.context * unit_rows(contexts.reshape(1, -1))[0],
        ]
    ).astype(np.float32)


def _box_cells(boxes: NDArray[Any], frame_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return (N, cells) float32 pixels of the enlarged boxes in the cells of MASK_GRID.

    How two layouts agree around things depends first on how far their boxes overlap.
    """
    enlarged = np.empty((len(boxes), 4), np.int64)
    enlarge_boxes(boxes, *frame_hw, enlarged)
    sides = []
    for edges, low, high in zip(_grid(MASK_GRID, frame_hw), (0, 1), (2, 3), strict=True):
        begin = np.maximum(enlarged[:, low, None], edges[:-1])
        end = np.minimum(enlarged[:, high, None], edges[1:])
        sides.append(np.maximum(end - begin, 0).astype(np.float32))
    rows, columns = sides
    cells: NDArray[np.float32] = rows[:, :, None] * columns[:, None, :]
    return cells.reshape(len(boxes), -1)


def unit_rows(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the rows at unit length, float32; a row of zeros stays one."""
    rows = values.astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", rows, rows))
    rows /= np.maximum(lengths, 1e-12)[:, None]
    return rows


def _grid(
    grid: tuple[int, int], frame_hw: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows, columns = (
        np.arange(count + 1, dtype=np.int64) * side // count
        for count, side in zip(grid, frame_hw, strict=True)
    )
    return rows, columns


def _fit(
    faiss: Any,  # noqa: ANN401
    table: Table,
    sources: SourceTable,
    frame_hw: tuple[int, int],
    classes: int,
    settings: IndexSettings,
    class_id: int,
    kind: Kind,
) -> tuple[NDArray[np.float32], Any, int]:
    """Fit projection and lists of one class, and add every row."""
    count = len(table.area)
    rng = np.random.default_rng([settings.seed, class_id])
    order = rng.permutation(count)

    def described(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        chosen = table._replace(
            box=table.box[rows],
            area=table.area[rows],
            word_at=table.word_at[rows],
            source=table.source[rows],
            row=table.row[rows],
        )
        return describe_rows(chosen, sources, frame_hw, classes, kind)

    sample = described(np.sort(order[:SAMPLE_ROWS]))
    # Not centred: what is kept of the inner product is what the scores are made of.
    projection = _leading_directions(sample, settings.dimensions, rng)
    width = len(projection)
    bytes_each = faiss.ScalarQuantizer.QT_8bit
    if count <= settings.flat_rows:
        searcher = faiss.IndexScalarQuantizer(width, bytes_each, faiss.METRIC_INNER_PRODUCT)
        probes = 0
        train = sample @ projection.T
    else:
        lists = max(1, count // settings.list_rows)
        coarse = faiss.IndexFlatIP(width)
        searcher = faiss.IndexIVFScalarQuantizer(
            coarse, width, lists, bytes_each, faiss.METRIC_INNER_PRODUCT
        )
        searcher.cp.seed = settings.seed + 1234
        searcher.cp.niter = 10
        probes = min(settings.probes, lists)
        chosen = np.sort(order[: max(SAMPLE_ROWS, TRAIN_PER_LIST * lists)])
        train = np.concatenate(
            [
                described(chosen[at : at + CHUNK_ROWS]) @ projection.T
                for at in range(0, len(chosen), CHUNK_ROWS)
            ]
        )
    searcher.train(np.ascontiguousarray(train))
    for at in range(0, count, CHUNK_ROWS):
        rows = np.arange(at, min(at + CHUNK_ROWS, count))
        searcher.add(np.ascontiguousarray(described(rows) @ projection.T))
    return projection, searcher, probes


def _leading_directions(
    sample: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return (count, D) float32 orthonormal directions that hold most of the sample's length.

    Subspace iteration: ten products with the second moments, of which all but the leading
    directions hardly survive.
    """
    moments = (sample.T @ sample).astype(np.float64)
    basis = rng.standard_normal((len(moments), min(count, len(moments))))
    for _ in range(10):
        basis, _ = np.linalg.qr(moments @ basis)
    return np.ascontiguousarray(basis.T, np.float32)


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _with_checksum(manifest: dict[str, Any]) -> bytes:
    """Return the bytes of index.json: the manifest and the SHA-256 of its own text."""
    checksum = hashlib.sha256(_as_text(manifest)).hexdigest()
    return _as_text({**manifest, "checksum": checksum})


def _as_text(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1).encode()


def _examine(index_dir: Path, fingerprint: str) -> tuple[dict[str, Any], list[IndexProblem]]:
    """Return what index.json holds, and what is wrong with the index; all bytes are read."""
    path = index_dir / MANIFEST_NAME
    text = path.read_bytes()
    try:
        manifest = json.loads(text)
    except ValueError as error:
        message = f"{path} cannot be read as an index ({error})"
        return {}, [IndexProblem("damaged", path, message)]
    if not isinstance(manifest, dict):
        message = f"{path} cannot be read as an index (it holds no JSON object)"
        return {}, [IndexProblem("damaged", path, message)]
    found = manifest.get("format"), manifest.get("version")
    unsigned = {key: value for key, value in manifest.items() if key != "checksum"}
    ours = found == (INDEX_FORMAT, INDEX_VERSION)
    if (ours or "checksum" in manifest) and _with_checksum(unsigned) != text:
        message = f"{path} is not what was written: its checksum differs"
        return {}, [IndexProblem("damaged", path, message)]
    if not ours:
        message = (
            f"{path} is of format {found[0]!r} version {found[1]!r}, "
            f"expected {INDEX_FORMAT!r} version {INDEX_VERSION}"
        )
        return {}, [IndexProblem("foreign", path, message)]
    return manifest, _problems(index_dir, manifest, fingerprint)


def _problems(index_dir: Path, manifest: dict[str, Any], fingerprint: str) -> list[IndexProblem]:
    problems = []
    if manifest["fingerprint"] != fingerprint:
        message = (
            f"the index in {index_dir} is stale: it was made for the bank of fingerprint "
            f"{manifest['fingerprint'][:16]}, but the bank's is {fingerprint[:16]}"
        )
        problems.append(IndexProblem("stale", index_dir, message))
    parts = [part for entry in manifest["classes"] for part in entry["kinds"].values()]
    for part in parts:
        for name, sha256 in part["files"].items():
            path = index_dir / name
            if not path.is_file():
                problems.append(IndexProblem("damaged", path, f"{path} is missing"))
            elif _sha256(path) != sha256:
                message = f"{path} is not what was written: its sha256 differs"
                problems.append(IndexProblem("damaged", path, message))
    return problems


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _replace_folder(draft: Path, target: Path) -> None:
    """Put a folder in another's place; between the two renames there is no index, which is legal."""
    old = target.with_name(f"{target.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    draft.rename(target)
    shutil.rmtree(old, ignore_errors=True)
