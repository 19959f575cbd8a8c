"""How long generators take for a picture, and how much memory, in both precisions."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from typing import Any, Literal

import torch
from torch import nn

from scenequilt.synthesis.baselines.pi_rec import PiRec
from scenequilt.synthesis.interface import Conditions, ImageGenerator
from scenequilt.synthesis.network import CanvasGenerator
from scenequilt.synthesis.registry import BASELINES, load_baseline
from scenequilt.synthesis.resail import ResailGenerator
from scenequilt.tools.benchmarks.machine import describe_machine, peak_memory_bytes
from scenequilt.tools.settings import find_config, read_tables
from scenequilt.tools.training.registry import load_job
from scenequilt.tools.training.training_settings import TrainingSettings

Precision = Literal["fp32", "bf16"]

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")

FINISHES = ("sims", "resail")
"""Generators that finish a canvas; what retrieves and pastes it is no part of their time."""

NAMES = (*sorted(BASELINES), *FINISHES)

REFERENCE = "crn"
"""What the others' times are told against, in the same run."""


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """Figures of one generator in one precision.

    Attributes:
        name: Of the generator.
        precision: Of what is computed.
        parameters: Of what is used for a picture, encoders of styles included.
        ms: Median of a picture, in milliseconds.
        memory_mb: Most memory of a process that does nothing else, program included, in 2^20 bytes.
    """

    name: str
    precision: Precision
    parameters: int
    ms: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class GeneratorBenchmark:
    """Figures of one run.

    Attributes:
        machine: What it ran on.
        size_hw: (height, width) in pixels of the pictures.
        classes: Of the layout.
        config: "small" or "paper": which settings of each.
        runs: Pictures that the median is of, after one that is not counted.
        rows: The generators.
    """

    machine: Mapping[str, str]
    size_hw: tuple[int, int]
    classes: int
    config: str
    runs: int
    rows: tuple[GeneratorFigures, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def measure_generators(
    names: Sequence[str] = NAMES,
    *,
    config: Literal["small", "paper"] = "small",
    size_hw: tuple[int, int] = (256, 512),
    classes: int = 11,
    runs: int = 5,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GeneratorBenchmark:
    """Time generators with weights drawn at random, each in a process of its own.

    Args:
        names: Which.
        config: The settings that train on a small machine, or those of the papers.
        size_hw: (height, width) in pixels.
        classes: K.
        runs: Pictures to time.
        threads: Of the processor; None for all.
        progress: Called after each row.

    Raises:
        ValueError: If there is no such generator.
    """
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise ValueError(f"no generator {unknown[0]!r}; there are {', '.join(NAMES)}")
    rows = []
    tasks = [(name, precision) for name in names for precision in PRECISIONS]
    for done, (name, precision) in enumerate(tasks, start=1):
        # A process each: the most memory that one ever held is never given back in its figures.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            row = pool.submit(
                _measure_one, name, precision, config, size_hw, classes, runs, threads
            )
            rows.append(row.result())
        if progress is not None:
            progress(done, len(tasks))
    machine = describe_machine(("torch", "numpy"))
    return GeneratorBenchmark(machine, size_hw, classes, config, runs, tuple(rows))


def build_untrained(name: str, classes: int, config: Literal["small", "paper"]) -> nn.Module:
    """Return a generator with weights drawn at random, in evaluation mode.

    Args:
        name: Of the generator.
        classes: K.
        config: Whose settings.
    """
    job = "synthesis" if name == "sims" else name
    settings = _network(f"{job}-small" if config == "small" else job)
    build: Callable[[int, Any], nn.Module] = (
        {"sims": CanvasGenerator, "resail": ResailGenerator}[name]
        if name in FINISHES
        else load_baseline(name).build
    )
    network = build(classes, settings).eval()
    if isinstance(network, PiRec):
        # Trained ones paint twice.
        network.refining.fill_(1)
    return network


def conditions_of_tiles(classes: int, size_hw: tuple[int, int]) -> Conditions:
    """Return conditions of one picture with everything in them that a generator may ask for.

    Classes lie in tiles, things are numbered, canvas and colours are grey, a quarter is open.
    """
    height, width = size_hw
    rows = torch.arange(height)[:, None] * 8 // height
    columns = torch.arange(width)[None] * 8 // width
    tiles = (rows * 8 + columns)[None]  # (1, H, W)
    layout = torch.zeros(1, classes + 1, height, width)
    layout.scatter_(1, (tiles % classes)[:, None], 1.0)
    coverage = (tiles % 4 > 0)[:, None]
    return Conditions(
        layout=layout,
        instances=(tiles + 1).to(torch.int32),
        canvas=torch.full((1, 3, height, width), 0.5),
        coverage=coverage,
        elided=torch.zeros_like(coverage),
        style=torch.full((1, 3, height, width), 0.5),
        edges=torch.zeros(1, 1, height, width, dtype=torch.bool),
        color_domain=torch.full((1, 3, height, width), 0.5),
    )


def generators_in_words(found: GeneratorBenchmark) -> str:
    """Return the figures as a table."""
    machine = ", ".join(f"{name} {value}" for name, value in found.machine.items())
    height, width = found.size_hw
    lines = [
        f"machine    {machine}",
        (
            f"pictures   {height}x{width}, {found.classes} classes, {found.config} settings, weights "
            f"drawn at random, median of {found.runs}"
        ),
        "",
        (
            f"{'':12}{'parameters':>12}{'ms fp32':>10}{'ms bf16':>10}{'of ' + REFERENCE:>9}"
            f"{'MB fp32':>10}{'MB bf16':>10}"
        ),
    ]
    by_name: dict[str, dict[Precision, GeneratorFigures]] = {}
    for row in found.rows:
        by_name.setdefault(row.name, {})[row.precision] = row
    reference = by_name.get(REFERENCE)
    for name, of in by_name.items():
        fp32, bf16 = of["fp32"], of["bf16"]
        ratio = "" if reference is None else f"{fp32.ms / reference['fp32'].ms:.2f}"
        lines.append(
            f"{name:12}{fp32.parameters:>12,}{fp32.ms:>10.0f}{bf16.ms:>10.0f}{ratio:>9}"
            f"{fp32.memory_mb:>10.0f}{bf16.memory_mb:>10.0f}"
        )
    return "\n".join(lines)


def _measure_one(
    name: str,
    precision: Precision,
    config: Literal["small", "paper"],
    size_hw: tuple[int, int],
    classes: int,
    runs: int,
    threads: int | None,
) -> GeneratorFigures:
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = build_untrained(name, classes, config)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(network, ImageGenerator)
    conditions = conditions_of_tiles(classes, size_hw)
    seconds = list(_times(network, conditions, precision, runs))
    return GeneratorFigures(
        name=name,
        precision=precision,
        parameters=sum(each.numel() for each in network.parameters()),
        ms=1000 * statistics.median(seconds),
        memory_mb=peak_memory_bytes() / 2**20,
    )


def _times(
    network: ImageGenerator, conditions: Conditions, precision: Precision, runs: int
) -> Iterator[float]:
    """Yield the seconds of pictures, after one that is not counted."""
    for number in range(runs + 1):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            network.generate(conditions, seed=number)
        if number:
            yield time.perf_counter() - began


def _network(file: str) -> Any:  # noqa: ANN401 each job has a kind of its own
    """Return the table [network] of settings that come with the program."""
    job = load_job(file.removesuffix("-small"))
    kinds: dict[str, type[Any]] = {"training": TrainingSettings, **job.SETTINGS}
    return read_tables(find_config(file), kinds, [])["network"]
