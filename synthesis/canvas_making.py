"""Making a set of simulated canvases of a dataset's photographs and a bank."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.errors import EmptyClassError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.where import Where
from scenequilt.synthesis.canvas_set import CanvasSetWriter
from scenequilt.synthesis.compose import compose
from scenequilt.synthesis.composition import Composition
from scenequilt.synthesis.finish import NoFinish
from scenequilt.synthesis.look import SourceLooks
from scenequilt.synthesis.stencil import SimulatedCanvas, StencilSettings, simulate_canvas


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasMaking:
    """What is made of each photograph.

    Attributes:
        variants: Canvases of it, from other segments each.
        size_hw: (height, width) in pixels that photographs are brought to; None leaves them.
        seed: Same seed, same canvases.
        stencil: How a photograph is made to look like a canvas.

    Raises:
        ValueError: If variants is below 1.
    """

    variants: int = 3
    size_hw: tuple[int, int] | None = None
    seed: int = 0
    stencil: StencilSettings = field(default_factory=StencilSettings)

    def __post_init__(self) -> None:
        if self.variants < 1:
            raise ValueError(f"variants is {self.variants}, expected at least 1")


@dataclass(frozen=True, eq=False)
class _Made:
    entry: Entry
    image: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    canvases: list[SimulatedCanvas]


def make_canvases(
    reader: DatasetReader,
    training: Sequence[Entry],
    held_out: Sequence[Entry],
    bank: Path,
    out: Path,
    making: CanvasMaking,
    *,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, list[str]]:
    """Compose every photograph's layout from a bank without it, and write simulated canvases.

    The photograph's whole sequence is left out where the bank holds others, since the next frame
    of a film is nearly the same picture; else the photograph alone.

    Args:
        reader: The dataset, in the bank's taxonomy.
        training: Photographs to learn from.
        held_out: Photographs to validate on.
        bank: Folder of the bank that the outlines come from.
        out: File to write.
        making: How many and of what.
        workers: Processes.
        progress: Called with photographs done and in all.

    Returns:
        The number of canvases, and the names of photographs for whose layout the bank has nothing.

    Raises:
        BankError: If the bank cannot be opened.
        DatasetError: If a file cannot be read.
        ValueError: If there is nothing to train on.
    """
    if not training:
        raise ValueError("there are no photographs to train on, expected at least 1")
    entries = [(entry, False) for entry in training] + [(entry, True) for entry in held_out]
    with MemoryBank.open(bank) as opened:
        taxonomy, fingerprint = opened.taxonomy, opened.fingerprint
    work = partial(_canvases_of, reader, bank, making)
    count, left_out = 0, []
    settings = asdict(making)
    with CanvasSetWriter(out, taxonomy, settings=settings, bank_fingerprint=fingerprint) as writer:
        results = _mapped(work, [entry for entry, _ in entries], workers)
        for done, (made, (entry, is_held_out)) in enumerate(
            zip(results, entries, strict=True), start=1
        ):
            if made is None:
                left_out.append(entry.source_id)
            else:
                writer.add_photograph(
                    entry.source_id, made.image, made.label_map, held_out=is_held_out
                )
                for canvas in made.canvases:
                    writer.add_canvas(canvas.color, canvas.coverage, canvas.elided)
                    count += 1
            if progress is not None:
                progress(done, len(entries))
    return count, left_out


def _mapped(
    work: Callable[[Entry], _Made | None], entries: Sequence[Entry], workers: int
) -> Iterator[_Made | None]:
    if workers == 1:
        yield from map(work, entries)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(work, entries)
        except BaseException:
            # Of a keyboard too: what is queued is not waited for, what was begun is.
            pool.shutdown(cancel_futures=True)
            raise


def _canvases_of(
    reader: DatasetReader, bank_path: Path, making: CanvasMaking, entry: Entry
) -> _Made | None:
    changed_ns = (bank_path / "manifest.json").stat().st_mtime_ns
    bank, looks, sequences = _opened(bank_path, changed_ns)
    photograph = reader.read(entry)
    image, layout = photograph.image, photograph.layout
    if making.size_hw is not None:
        image, layout = _resized(image, layout, making.size_hw)
    others = sequences - {entry.sequence}
    where = (
        Where(not_sequences=(entry.sequence,))
        if entry.sequence in sequences and others
        else Where(not_sources=(entry.source_id,))
    )
    # Of the name, so that a photograph gets the same canvases whatever else is in the set.
    seed = zlib.crc32(f"{making.seed}/{entry.split}/{entry.source_id}".encode())
    earlier: list[Composition] = []
    canvases: list[SimulatedCanvas] = []
    for variant in range(making.variants):
        try:
            composition = compose(
                layout,
                bank,
                finish=NoFinish(),
                where=where,
                seed=seed,
                earlier=earlier,
                looks=looks,
            )
        except EmptyClassError:
            return None
        earlier.append(composition)
        canvases.append(
            simulate_canvas(image, composition, looks, seed=seed + variant, settings=making.stencil)
        )
    return _Made(entry, image, layout.label_map, canvases)


@lru_cache(maxsize=1)
def _opened(path: Path, changed_ns: int) -> tuple[MemoryBank, SourceLooks, set[str]]:
    """Return a bank that stays open, since a worker makes many canvases, until it changes."""
    bank = MemoryBank.open(path)
    return bank, SourceLooks(bank), {source.sequence for source in bank.sources()}


def _resized(
    image: NDArray[np.uint8], layout: Layout, size_hw: tuple[int, int]
) -> tuple[NDArray[np.uint8], Layout]:
    """Bring a photograph and its layout to a size: by areas, and by nearest."""
    if layout.size_hw == size_hw:
        return image, layout
    size = size_hw[::-1]
    shrinks = size_hw[0] < layout.size_hw[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    small = np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
    return small, layout.resized(size_hw)
