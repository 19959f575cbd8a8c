"""One run of compose: every layout read, composed and written, and what came of it."""

import dataclasses
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.errors import BankCorruptError, FaissError, LabelError, ScenequiltError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.rerank import ScoreWeights
from scenequilt.memory_bank.taxonomy import Taxonomy, read_taxonomy
from scenequilt.memory_bank.where import Where, check_where, parse_where
from scenequilt.synthesis.compose import compose_variants
from scenequilt.synthesis.composition import Composition
from scenequilt.synthesis.diversity import measure_diversity
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.finish import Finish
from scenequilt.synthesis.look import SourceLooks
from scenequilt.synthesis.stages import ComposeSettings
from scenequilt.tools.benchmarks.machine import peak_memory_bytes
from scenequilt.tools.layout_files import (
    LayoutFile,
    companions_of,
    read_layout_file,
)
from scenequilt.tools.layout_parents import Parents, read_parents
from scenequilt.tools.learned_stages import load_stages
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.contact_sheet import contact_sheet_png
from scenequilt.tools.output.page import RunSummary, write_page
from scenequilt.tools.output.picture import picture_row, write_picture
from scenequilt.tools.output.recipe import (
    HASHED,
    ComposeChoices,
    FileStamp,
    Recipe,
    library_versions,
    sha256_of,
    stamp_of,
)
from scenequilt.tools.output.run_folder import Row, RunFolder
from scenequilt.tools.progress import Progress


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run of compose is asked for.

    Attributes:
        layouts: The label maps.
        bank: The bank's folder.
        choices: Seed, variants and so on.
        classes: File with the meaning of the label maps' values, or None for the bank's file ids.
        style: Photograph whose light and colour are preferred, or None.
        weights: File of each learned stage, by "align", "order" and "finish".
    """

    layouts: tuple[LayoutFile, ...]
    bank: Path
    choices: ComposeChoices
    classes: Path | None = None
    style: Path | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunReport:
    """What came of a run.

    Attributes:
        rows: Lines of the manifest, in the order of the layouts.
        failures: (layout file, message) of each layout that no picture could be made of.
        kept: Pictures that an earlier run had finished already.
        seconds: Time of the whole run.
        peak_memory_bytes: Most memory that the process held at once.
    """

    rows: tuple[Row, ...]
    failures: tuple[tuple[str, str], ...]
    kept: int
    seconds: float
    peak_memory_bytes: int

    def median_seconds(self) -> dict[str, float]:
        """Return the median time of each stage over the pictures, and of a picture in all."""
        stages: dict[str, list[float]] = {}
        for row in self.rows:
            for stage, seconds in row["seconds"].items():
                stages.setdefault(stage, []).append(seconds)
        totals = [sum(row["seconds"].values()) for row in self.rows]
        medians = {stage: statistics.median(values) for stage, values in stages.items()}
        return {**medians, "all": statistics.median(totals)} if totals else medians

    def mean(self, key: str) -> float | None:
        """Return the mean of "coverage" or "agreement" over the pictures; None without any."""
        return statistics.fmean(row[key] for row in self.rows) if self.rows else None

    def agreement_by_class(self) -> dict[str, float]:
        """Return the share of each class's requested pixels, over all pictures, that agree."""
        counts: dict[str, list[int]] = {}
        for row in self.rows:
            for name, pixels in row["pixels_by_class"].items():
                total = counts.setdefault(name, [0, 0])
                total[0] += pixels["agreed"]
                total[1] += pixels["requested"]
        return {name: agreed / requested for name, (agreed, requested) in counts.items()}

    def diversity(self) -> dict[str, float] | None:
        """Return the mean diversity over the layouts, or None if there was one variant of each."""
        of_layout = {row["layout"]: row["diversity"] for row in self.rows if row["diversity"]}
        if not of_layout:
            return None
        keys = next(iter(of_layout.values()))
        return {key: statistics.fmean(each[key] for each in of_layout.values()) for key in keys}

    def open_classes(self) -> dict[str, str]:
        """Return the classes that no segment could be found for, and why, by name."""
        found: dict[str, str] = {}
        for row in self.rows:
            for name, reason in row["open_classes"].items():
                found.setdefault(name, reason)
        return found

    def derived_instances(self) -> int:
        """Return how many layouts brought no instance map: things that touch are one there."""
        return len({row["layout"] for row in self.rows if row["inputs"]["instances"] is None})

    def fed_by_own(self) -> int:
        """Return how many layouts are of photographs, or derived of such, that feed the picture."""
        return len(
            {row["layout"] for row in self.rows if set(row["own_photographs"]) & {*row["sources"]}}
        )

    def sources(self) -> set[str]:
        """Return the photographs that any picture uses."""
        return {source for row in self.rows for source in row["sources"]}

    def as_json(self, out: Path) -> dict[str, Any]:
        """Return the summary that --json prints."""
        return {
            "out": str(out.resolve()),
            "layouts": len({row["layout"] for row in self.rows}),
            "pictures": len(self.rows),
            "pictures_kept": self.kept,
            "failures": [
                {"layout": layout, "message": message} for layout, message in self.failures
            ],
            "median_seconds": self.median_seconds(),
            "seconds": self.seconds,
            "coverage": self.mean("coverage"),
            "agreement": self.mean("agreement"),
            "agreement_by_class": self.agreement_by_class(),
            "diversity": self.diversity(),
            "sources": len(self.sources()),
            "open_classes": self.open_classes(),
            "derived_instances": self.derived_instances(),
            "fed_by_own": self.fed_by_own(),
            "peak_memory_bytes": self.peak_memory_bytes,
        }


def write_run(
    request: RunRequest,
    out: Path,
    *,
    force: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> RunReport:
    """Compose every layout of a request and write the run's folder.

    A layout that cannot be composed is listed in failures.csv and in the report; the others go on.

    Raises:
        BankError: If the bank cannot be opened, or a byte of it is not what was written.
        DatasetError: If the classes file is none.
        FaissError: If FAISS is asked for and cannot be used.
        ValueError: If out holds something else, a filter cannot be read or names what is not in the
            bank, or style is no picture.
    """
    started = time.perf_counter()
    with ComposeSession(request) as session:
        folder = RunFolder.start(out, session.plan(), force=force, resume=resume)
        taxonomy = session.bank.taxonomy
        write_atomically(folder.path / "classes.json", json.dumps(taxonomy.as_json(), indent=1))
        failures: list[tuple[str, str]] = []
        kept = done = 0
        total = len(request.layouts) * request.choices.variants
        for file in request.layouts:
            try:
                stamps = LayoutStamps.of(file.path)
                if _is_finished(folder, file.name, stamps, request.choices.variants):
                    kept += request.choices.variants
                else:
                    folder.discard(file.name)
                    _compose_one(session, folder, file, stamps)
            except (BankCorruptError, FaissError):
                # No fault of the layout: the next one would fail alike.
                raise
            except (ScenequiltError, ValueError) as error:
                failures.append((str(file.path), _in_one_line(error, file.path)))
            done += request.choices.variants
            if progress is not None:
                progress(done, total)
        folder.close(failures)
        report = RunReport(
            tuple(folder.rows.values()),
            tuple(failures),
            kept,
            time.perf_counter() - started,
            peak_memory_bytes(),
        )
        _write_overview(folder.path, report, taxonomy, request.bank.resolve().name)
    return report


@dataclass(frozen=True, slots=True)
class LayoutStamps:
    """A label map and what lies beside it, with what was in the files.

    Attributes:
        layout: The label map.
        instances: Its instance map, or None.
        depth: Its depth map, or None.
    """

    layout: FileStamp
    instances: FileStamp | None
    depth: FileStamp | None

    @classmethod
    def of(cls, path: Path) -> "LayoutStamps":
        """Return the stamps of a label map and its companions.

        Raises:
            LabelError: If a file cannot be read, or a companion is missing that should be there.
        """
        beside = companions_of(path)
        try:
            return cls(
                FileStamp(str(path), sha256_of(path)),
                stamp_of(beside.instance_path),
                stamp_of(beside.depth_path),
            )
        except OSError as error:
            raise LabelError(
                f"{error.filename or path}: cannot be read ({error.strerror}), expected a label "
                "map; mend the file or its rights, or leave it out"
            ) from error


class ComposeSession:
    """An open bank, and everything else that all layouts of a run are composed with.

    Attributes:
        request: What the run is asked for.
        bank: The bank, open until the session is closed.

    Raises:
        BankError: If the bank cannot be opened.
        CheckpointError: If weights cannot be read, or are of other classes than the bank's.
        DatasetError: If the classes file is none.
        ValueError: If a filter cannot be read or names what no photograph of the bank has, a
            setting is out of range, or style is no picture.
    """

    def __init__(self, request: RunRequest) -> None:
        self.request = request
        choices = request.choices
        self._where = parse_where(choices.where)
        self._classes = None if request.classes is None else read_taxonomy(request.classes)
        self._style = None if request.style is None else _read_photograph(request.style)
        self.bank = MemoryBank.open(request.bank)
        self._stages = load_stages(choices, request.weights, self.bank.taxonomy)
        self._settings = settings_of(choices, self._stages.finish)
        self._sources = self.bank.sources()
        check_where(self._where, self._sources)
        self._looks = SourceLooks(self.bank)
        self._weights = {
            stage: FileStamp(str(path.resolve()), sha256_of(path))
            for stage, path in request.weights.items()
            if stage in choices.learned
        }
        self._photographs_of: dict[str, list[str]] = {}
        for source in self._sources:
            self._photographs_of.setdefault(source.label_sha256, []).append(source.source_id)
        self._parents: dict[Path, dict[str, Parents]] = {}
        self._own: dict[FileStamp, list[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.bank.close()

    def plan(self) -> dict[str, Any]:
        """Return what the run is asked for, as run.json holds it."""
        stamps = {
            "classes": stamp_of(self.request.classes),
            "style": stamp_of(self.request.style),
            **{f"weights_{stage}": stamp for stage, stamp in self._weights.items()},
        }
        return {
            "program": version("scenequilt"),
            "bank": {
                "path": str(self.request.bank.resolve()),
                "fingerprint": self.bank.fingerprint,
            },
            **{key: stamp and dataclasses.asdict(stamp) for key, stamp in stamps.items()},
            "choices": self.request.choices.as_json(),
            "layouts": [
                {"name": file.name, "path": str(file.path)} for file in self.request.layouts
            ],
        }

    def read(self, path: Path) -> Layout:
        """Read a label map as the request says.

        Raises:
            LabelError: As read_layout_file.
        """
        choices = self.request.choices
        return read_layout_file(
            path,
            self.bank.taxonomy,
            classes=self._classes,
            size_hw=choices.size_hw,
            repair=choices.repair,
        )

    def own_photographs(self, stamps: LayoutStamps) -> list[str]:
        """Return the photographs in the bank whose own label map the layout is, or derived from.

        Own is a label map byte for byte; layouts.jsonl beside the folder of label maps says what a
        layout was derived from.

        Raises:
            LabelError: If they are to be left out and layouts.jsonl cannot be read.
        """
        if stamps.layout not in self._own:
            path = Path(stamps.layout.path)
            own = self._photographs_of.get(stamps.layout.sha256, [])
            parents = self._parents_in(path.parent).get(path.stem)
            derived = [] if parents is None else parents.sources(self._sources)
            self._own[stamps.layout] = list(dict.fromkeys([*own, *derived]))
        return self._own[stamps.layout]

    def _parents_in(self, folder: Path) -> dict[str, Parents]:
        if folder not in self._parents:
            try:
                self._parents[folder] = read_parents(folder)
            except LabelError:
                # Somebody else's file of that name is in the way of nothing else.
                if self.request.choices.exclude_own:
                    raise
                self._parents[folder] = {}
        return self._parents[folder]

    def compose(self, layout: Layout, stamps: LayoutStamps, *, variants: int) -> list[Composition]:
        """Compose the first variants of a layout; fewer are the first of more.

        Raises:
            EmptyClassError: If the bank has no segment for any region of the layout.
        """
        where = self._where
        if self.request.choices.exclude_own:
            own = tuple(self.own_photographs(stamps))
            where = dataclasses.replace(where, not_sources=where.not_sources + own)
        return compose_variants(
            layout,
            self.bank,
            self._stages.aligner,
            self._stages.orderer,
            self._stages.finish,
            variants=variants,
            settings=self._settings,
            seed=self.request.choices.seed,
            where=where,
            style=self._style,
            looks=self._looks,
        )

    def write(self, folder: Path, composition: Composition, stamps: LayoutStamps) -> Recipe:
        """Write every file of a picture into a folder, its recipe last, and return the recipe."""
        write_picture(folder, composition, self.bank.source)
        recipe = Recipe(
            program=version("scenequilt"),
            libraries=library_versions(),
            bank=FileStamp(str(self.request.bank.resolve()), self.bank.fingerprint),
            taxonomy=self.bank.taxonomy.name,
            layout=stamps.layout,
            instances=stamps.instances,
            depth=stamps.depth,
            classes=stamp_of(self.request.classes),
            style=stamp_of(self.request.style),
            weights=self._weights,
            choices=self._choices_for(stamps),
            variant=composition.variant,
            settings={
                "compose": dataclasses.asdict(self._settings),
                "finish": self._stages.finish_settings(),
            },
            segments=tuple(str(segment_id) for segment_id in composition.chosen_ids),
            outputs={name: sha256_of(folder / name) for name in HASHED},
        )
        write_atomically(folder / "recipe.json", recipe.as_text())
        return recipe

    def _choices_for(self, stamps: LayoutStamps) -> ComposeChoices:
        """Return the choices of a picture, with the photographs that were left out as a filter.

        The recipe names them, so that it can be replayed where layouts.jsonl does not lie beside
        the label map.
        """
        choices = self.request.choices
        own = self.own_photographs(stamps) if choices.exclude_own else []
        left_out = Where(not_sources=tuple(own)).expressions()
        return dataclasses.replace(choices, where=tuple(dict.fromkeys((*choices.where, *left_out))))


def settings_of(choices: ComposeChoices, finish: Finish) -> ComposeSettings:
    """Return the settings of compose that a user's choices stand for.

    Args:
        choices: What the user chose.
        finish: With its own bands of elision where it is a trained one.

    Raises:
        ValueError: If one is out of range.
    """
    settings = ComposeSettings(
        search=choices.search,
        weights=ScoreWeights(context=choices.context),
        elision=getattr(finish, "elision", ElisionSettings()),
    )
    return settings if choices.k is None else dataclasses.replace(settings, k=choices.k)


def _compose_one(
    session: ComposeSession, folder: RunFolder, file: LayoutFile, stamps: LayoutStamps
) -> None:
    started = time.perf_counter()
    layout = session.read(file.path)
    read_seconds = time.perf_counter() - started
    compositions = session.compose(layout, stamps, variants=session.request.choices.variants)
    diversity = (
        dataclasses.asdict(measure_diversity(compositions)) if len(compositions) > 1 else None
    )
    for composition in compositions:
        started = time.perf_counter()
        workplace = folder.workplace(file.name, composition.variant)
        session.write(workplace, composition, stamps)
        seconds = {
            "read": read_seconds if composition.variant == 0 else 0.0,
            **composition.seconds,
            "write": time.perf_counter() - started,
        }
        folder.finish(
            workplace,
            {
                "layout": file.name,
                "variant": composition.variant,
                "seed": composition.seed,
                "folder": f"{file.name}/{composition.variant:02d}",
                "layout_path": stamps.layout.path,
                "inputs": _inputs(stamps),
                "own_photographs": session.own_photographs(stamps),
                **picture_row(composition),
                "seconds": seconds,
                "diversity": diversity,
            },
        )


def _is_finished(folder: RunFolder, name: str, stamps: LayoutStamps, variants: int) -> bool:
    rows = [folder.rows.get((name, variant)) for variant in range(variants)]
    return all(row is not None and row["inputs"] == _inputs(stamps) for row in rows)


def _inputs(stamps: LayoutStamps) -> dict[str, str | None]:
    return {
        "label": stamps.layout.sha256,
        "instances": None if stamps.instances is None else stamps.instances.sha256,
        "depth": None if stamps.depth is None else stamps.depth.sha256,
    }


def _write_overview(run: Path, report: RunReport, taxonomy: Taxonomy, bank_name: str) -> None:
    layouts = len({row["layout"] for row in report.rows})
    title = f"{_count(layouts, 'layout')}, {_count(len(report.rows), 'picture')}"
    sheet = contact_sheet_png(run, report.rows, taxonomy, f"{title} from bank {bank_name}")
    write_atomically(run / "contact_sheet.png", sheet)
    write_page(
        run, report.rows, taxonomy, RunSummary(title, bank_name, _figures(report), report.failures)
    )


def _figures(report: RunReport) -> tuple[tuple[str, str], ...]:
    coverage, agreement, diversity = (
        report.mean("coverage"),
        report.mean("agreement"),
        report.diversity(),
    )
    if coverage is None or agreement is None:
        return (("pictures", "0"),)
    figures = [
        ("photographs used", str(len(report.sources()))),
        ("covered before filling", f"{100 * coverage:.1f} %"),
        ("agree with the layout", f"{100 * agreement:.1f} %"),
        ("seconds a picture", f"{report.median_seconds()['all']:.2f}"),
    ]
    if diversity is not None:
        shared = f"{100 * diversity['unshared_sources']:.0f} %"
        figures.append(("photographs that variants do not share", shared))
    return tuple(figures)


def _read_photograph(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as photograph:
            return np.asarray(photograph.convert("RGB"), np.uint8)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: no such file, expected a photograph for --style") from error
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(
            f"{path}: cannot be read as a picture ({error}), expected a photograph for --style"
        ) from error


def _in_one_line(error: Exception, path: Path) -> str:
    message = " ".join(str(error).split())
    return message if str(path) in message else f"{path}: {message}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
