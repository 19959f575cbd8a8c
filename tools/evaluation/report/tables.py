"""The tables of a report, as text cells: the page, report.md and the terminal show the same ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.report.rounding import (
    DASH,
    PLACES,
    in_digits,
    in_significant_digits,
    interval_in_digits,
)
from scenequilt.tools.evaluation.results import (
    Distribution,
    Evaluation,
    Fidelity,
    Interval,
    RowFigures,
    SegmentationScore,
)

Better = Literal["", "higher", "lower", "one"]
"""Which figure is the better one: the higher, the lower, or the one nearer to 1."""

ARROWS: dict[Better, str] = {"": "", "higher": "↑", "lower": "↓", "one": "→1"}

ARROWS_IN_WORDS = (
    "↑ higher is better, ↓ lower is better, →1 nearer to 1 is better; a range is the figure's "
    "bounds with 95 %."
)

REAL = "real"
"""Name of the row of the photographs."""

LEAST_IOU = 0.05
"""Of a class that a segmenter finds less of in the photographs there is no share of theirs."""

LPIPS_HEADS = ("alexnet", "vgg16")
"""Names of the networks with heads, for tables in which none was measured."""

ROWS_IN_WORDS = {
    REAL: (
        "the photographs themselves, judged the same way: what a perfect score would be; in the "
        "distribution, one half of them against the other"
    ),
    "jpeg30": "the photographs after JPEG compression at quality 30, right in every shape",
}
"""What rows are that are the same in every evaluation; the others say it in their titles."""

CALIBRATION_ROWS = (*ROWS_IN_WORDS, "nearest", "random")
"""Names of the rows that are no system's."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell.

    Attributes:
        text: What it says; DASH where nothing was measured.
        bounds: The figure's 95 % interval, "" without.
        color: RGB of the class that it names, None for anything else.
    """

    text: str
    bounds: str = ""
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        heading: Its name.
        better: Which figure in it is the better one.
        number: False for a column of words.
    """

    heading: str
    better: Better = ""
    number: bool = True

    @property
    def in_words(self) -> str:
        """Its heading, with the arrow that says which figure is the better one."""
        return f"{self.heading} {ARROWS[self.better]}".rstrip()


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a line names the line.

    Attributes:
        title: What it holds, in words.
        columns: One entry a column.
        lines: One entry a line, each as long as columns.
    """

    title: str
    columns: tuple[Column, ...]
    lines: tuple[tuple[Cell, ...], ...]

    @property
    def has_dashes(self) -> bool:
        """True if something in it was not measured."""
        return any(cell.text == DASH for line in self.lines for cell in line)

    @property
    def is_empty(self) -> bool:
        """True if nothing in it was measured."""
        return not self.without_empty_columns().columns[1:]

    def without_empty_columns(self) -> "Table":
        """Return the table with its names and those columns in which something was measured."""
        kept = [
            place
            for place in range(len(self.columns))
            if place == 0 or any(line[place].text != DASH for line in self.lines)
        ]
        return Table(
            self.title,
            tuple(self.columns[place] for place in kept),
            tuple(tuple(line[place] for place in kept) for line in self.lines),
        )


RowFigure = Callable[[RowFigures], Cell]


def main_table(evaluation: Evaluation) -> Table:
    """Return the table that sums an evaluation up: a line a row, the first segmenter and network.

    Only mIoU stands with its bounds; those of the others are in their own tables.
    """
    segmenter = next(iter(segmenter_names(evaluation)), "none")
    first = _first_distribution(evaluation)
    network = first.network if first else "none"
    columns: list[tuple[Column, RowFigure]] = [
        (Column("mIoU", "higher"), _of_fidelity(segmenter, lambda f: f.requested.mean_iou)),
        (Column("of real", "higher"), _share_of_real(segmenter)),
        (
            Column("pixel acc.", "higher"),
            _of_fidelity(segmenter, lambda f: f.requested.pixel_accuracy),
        ),
        (
            Column(first.frechet_name if first else "Fréchet", "lower"),
            _of_distribution(network, lambda d: d.frechet),
        ),
        (
            Column(first.kernel_name if first else "kernel", "lower"),
            _of_distribution(network, lambda d: d.kernel),
        ),
    ]
    columns += [
        (Column(f"LPIPS {head}", "lower"), _lpips(head)) for head in lpips_heads(evaluation)
    ]
    columns += [
        (Column("SSIM", "higher"), lambda row: figure(row.perception.ssim)),
        (Column("PSNR dB", "higher"), lambda row: figure(row.perception.psnr_db)),
        (Column("spectrum", "lower"), lambda row: figure(row.spectrum.distance)),
        (Column("seams", "one"), lambda row: figure(row.seams.of_real)),
    ]
    miou, *others = columns
    plain = [(column, _without_bounds(cell)) for column, cell in others]
    return _by_row("All figures in one table", evaluation, [miou, *plain])


def systems_of(evaluation: Evaluation) -> list[RowFigures]:
    """Return the rows of the systems that are judged: those that are no calibration, else the first."""
    systems = [row for row in evaluation.rows if row.name not in CALIBRATION_ROWS]
    return systems or evaluation.rows[:1]


def systems_title(evaluation: Evaluation) -> str:
    """Return the titles of the systems, one after the other."""
    return ", ".join(row.title for row in systems_of(evaluation))


def rows_in_words(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return what each row of an evaluation is, as (name, words)."""
    return [
        (row.name, ROWS_IN_WORDS.get(row.name, row.title.removeprefix(f"{row.name}: ")))
        for row in evaluation.rows
    ]


def columns_in_words(evaluation: Evaluation) -> str:
    """Return what the columns of the main table hold."""
    return (
        "of real is the share of the photographs' mIoU; spectrum the distance of the mean radial "
        "power spectrum to theirs; seams the gradient energy where segments meet, as a share of the "
        f"energy at the borders of classes in photographs. {seams_at_classes(evaluation)}"
    ).rstrip()


def seams_at_classes(evaluation: Evaluation) -> str:
    """Return of which rows seams are those at borders of classes; "" where of none."""
    names = [
        row.name
        for row in evaluation.rows
        if row.seams.ownership is None and row.seams.of_real is not None
    ]
    if not names:
        return ""
    return f"Seams of {', '.join(names)}, where no two owners are known to meet: at class borders."


def fidelity_table(evaluation: Evaluation, segmenter: str) -> Table:
    """Return what one segmenter sees: against the requested and against the delivered layout."""

    def requested(value: Callable[[SegmentationScore], Interval | float]) -> RowFigure:
        return _of_fidelity(segmenter, lambda f: value(f.requested))

    def delivered(value: Callable[[SegmentationScore], Interval | float]) -> RowFigure:
        return _of_fidelity(
            segmenter, lambda f: None if f.delivered is None else value(f.delivered)
        )

    return _by_row(
        f"Layout fidelity seen by {segmenter}",
        evaluation,
        [
            (Column("mIoU", "higher"), requested(lambda score: score.mean_iou)),
            (Column("of real", "higher"), _share_of_real(segmenter)),
            (Column("mean acc.", "higher"), requested(lambda score: score.mean_accuracy)),
            (Column("pixel acc.", "higher"), requested(lambda score: score.pixel_accuracy)),
            (Column("delivered mIoU", "higher"), delivered(lambda score: score.mean_iou)),
            (Column("delivered mean acc.", "higher"), delivered(lambda score: score.mean_accuracy)),
            (
                Column("delivered pixel acc.", "higher"),
                delivered(lambda score: score.pixel_accuracy),
            ),
            (Column("pixels"), requested(lambda score: score.pixels)),
        ],
    )


def class_table(
    evaluation: Evaluation,
    segmenter: str,
    *,
    taxonomy: Taxonomy | None = None,
    against: Literal["requested", "delivered"] = "requested",
    measure: Literal["iou", "accuracy"] = "iou",
) -> Table:
    """Return a figure by class and row: a line a class, a column a row.

    Args:
        evaluation: The evaluation.
        segmenter: Its name.
        taxonomy: Gives the order and colours of the classes; None keeps the order of the record.
        against: Layout that the segmenter's view is compared with.
        measure: "iou", or "accuracy": the share of a class's pixels.

    Returns:
        The table. After each system, where there are photographs, stands its share of theirs, but
        for classes of which the segmenter finds next to nothing in them. Classes that the taxonomy
        does not name come last.
    """
    scores = [_score(row, segmenter, against) for row in evaluation.rows]
    figures = [{} if score is None else getattr(score, measure) for score in scores]
    names = list(dict.fromkeys(name for by_class in figures for name in by_class))
    colors: dict[str, tuple[int, int, int]] = {}
    if taxonomy is not None:
        colors = {entry.name: entry.color for entry in taxonomy.classes}
        order = {name: position for position, name in enumerate(colors)}
        names.sort(key=lambda name: order.get(name, len(order)))
    real: dict[str, float] = {}
    for row, score, by_class in zip(evaluation.rows, scores, figures, strict=True):
        if row.name == REAL and score is not None:
            real = {name: by_class[name] for name, iou in score.iou.items() if iou >= LEAST_IOU}
    systems = systems_of(evaluation)
    shared = [bool(real) and row in systems and row.name != REAL for row in evaluation.rows]
    columns = [Column("class", number=False)]
    for row, with_share in zip(evaluation.rows, shared, strict=True):
        columns.append(Column(row.name))
        if with_share:
            columns.append(Column("of real"))
    lines = []
    for name in names:
        cells = [Cell(name.replace("_", " "), color=colors.get(name))]
        for by_class, with_share in zip(figures, shared, strict=True):
            cells.append(figure(by_class.get(name)))
            if with_share:
                cells.append(_ratio(by_class.get(name), real.get(name)))
        lines.append(tuple(cells))
    what = "IoU by class" if measure == "iou" else "Share of a class's pixels that are seen as it"
    return Table(
        f"{what}, {segmenter} against the {against} layout",
        tuple(columns),
        tuple(lines),
    )


def distribution_table(evaluation: Evaluation, network: str) -> Table:
    """Return the distances between sets of pictures in the features of one network."""
    entry = next(
        entry for row in evaluation.rows for entry in row.distribution if entry.network == network
    )
    return _by_row(
        f"Distance to the photographs in the features of {network}",
        evaluation,
        [
            (Column(entry.frechet_name, "lower"), _of_distribution(network, lambda d: d.frechet)),
            (Column(entry.kernel_name, "lower"), _of_distribution(network, lambda d: d.kernel)),
            (Column("pictures"), _of_distribution(network, lambda d: d.samples)),
            (Column("photographs"), _of_distribution(network, lambda d: d.reference_samples)),
        ],
    )


def perception_table(evaluation: Evaluation) -> Table:
    """Return the distances picture by picture, and between variants where there are any."""
    columns: list[tuple[Column, RowFigure]] = [
        (Column(f"LPIPS {head}", "lower"), _lpips(head)) for head in lpips_heads(evaluation)
    ]
    columns += [
        (Column("SSIM", "higher"), lambda row: figure(row.perception.ssim)),
        (Column("PSNR dB", "higher"), lambda row: figure(row.perception.psnr_db)),
        (Column("pairs"), lambda row: figure(row.perception.pairs or None)),
    ]
    if any(row.perception.variant_pairs for row in evaluation.rows):
        columns += [
            (Column(f"variants {head}", "higher"), _lpips(head, variants=True))
            for head in lpips_heads(evaluation)
        ]
        columns.append((Column("variant pairs"), lambda row: figure(row.perception.variant_pairs)))
    return _by_row("Distance to the photograph of the same layout", evaluation, columns)


def spectrum_table(evaluation: Evaluation) -> Table:
    """Return the distance of every row's mean radial spectrum to that of the photographs."""
    return _by_row(
        "Mean power spectrum",
        evaluation,
        [(Column("distance", "lower"), lambda row: figure(row.spectrum.distance))],
    )


def seams_table(evaluation: Evaluation) -> Table:
    """Return gradient energies, in squared luma, and their ratios."""

    def energy(value: Callable[[RowFigures], float | None]) -> RowFigure:
        def cell(row: RowFigures) -> Cell:
            found = value(row)
            return Cell(DASH if found is None else in_significant_digits(found))

        return cell

    return _by_row(
        "Gradient energy across borders",
        evaluation,
        [
            (Column("owners"), energy(lambda row: row.seams.ownership)),
            (Column("owners, two classes"), energy(lambda row: row.seams.ownership_between)),
            (Column("owners, one class"), energy(lambda row: row.seams.ownership_within)),
            (Column("classes"), energy(lambda row: row.seams.label)),
            (Column("interior"), energy(lambda row: row.seams.interior)),
            (Column("of real", "one"), lambda row: figure(row.seams.of_real)),
            (Column("of real, same classes", "one"), lambda row: figure(row.seams.between_matched)),
        ],
    )


def provenance_table(evaluation: Evaluation) -> Table:
    """Return where pixels come from."""
    states = dict.fromkeys(
        state for row in evaluation.rows for state in row.provenance.states or {}
    )
    columns: list[tuple[Column, RowFigure]] = [(Column(state), _state(state)) for state in states]
    columns += [
        (Column("sources"), lambda row: _one_place(row.provenance.sources)),
        (Column("sources in all"), lambda row: figure(row.provenance.sources_in_all)),
        (Column("agreement", "higher"), lambda row: figure(row.provenance.agreement)),
        (Column("shared sources"), lambda row: figure(row.provenance.source_overlap)),
        (Column("by variants"), lambda row: figure(row.provenance.variant_overlap)),
        (Column("nearest"), lambda row: figure(row.provenance.nearest_distance)),
        (Column("nearest of real"), lambda row: figure(row.provenance.nearest_of_real)),
    ]
    return _by_row("Where pixels come from", evaluation, columns)


def pictures_table(evaluation: Evaluation) -> Table:
    """Return the figures of every picture of the first row."""
    row = evaluation.rows[0]
    # The figure of a picture is of the first network with heads.
    head = next(iter(row.perception.lpips), "")
    lines = tuple(
        (
            Cell(each.name),
            Cell(each.layout),
            figure(each.mean_iou),
            figure(each.pixel_accuracy),
            figure(each.lpips),
            Cell(each.nearest or DASH),
        )
        for each in row.each
    )
    return Table(
        f"Every picture of {row.name}",
        (
            Column("picture", number=False),
            Column("layout", number=False),
            Column("mIoU", "higher"),
            Column("pixel acc.", "higher"),
            Column(f"LPIPS {head}".rstrip(), "lower"),
            Column("nearest photograph", number=False),
        ),
        lines,
    )


def files_table(evaluation: Evaluation) -> Table:
    """Return the files that figures depend on, and the hashes over the pictures."""
    lines = [
        (Cell(record.role), Cell(record.name), Cell(record.path), Cell(record.sha256))
        for record in evaluation.files
    ]
    lines += [
        (Cell("pictures"), Cell(name), Cell(""), Cell(sha256))
        for name, sha256 in evaluation.pictures_sha256.items()
    ]
    headings = ("role", "name", "path", "sha256")
    return Table(
        "Files", tuple(Column(heading, number=False) for heading in headings), tuple(lines)
    )


def segmenter_names(evaluation: Evaluation) -> list[str]:
    """Return the segmenters in the order of the record, the one that is quoted first."""
    return list(dict.fromkeys(f.segmenter for row in evaluation.rows for f in row.fidelity))


def network_names(evaluation: Evaluation) -> list[str]:
    """Return the networks of the distribution in the order of the record."""
    return list(dict.fromkeys(d.network for row in evaluation.rows for d in row.distribution))


def lpips_heads(evaluation: Evaluation) -> list[str]:
    """Return the LPIPS heads that were measured; both of them where none was."""
    heads = dict.fromkeys(
        head
        for row in evaluation.rows
        for head in (*row.perception.lpips, *row.perception.variants_lpips)
    )
    return sorted(heads) or list(LPIPS_HEADS)


def figure(value: Interval | float | None) -> Cell:
    """Return a figure as a cell: counts whole, others rounded to what is known of them."""
    if value is None:
        return Cell(DASH)
    if isinstance(value, Interval):
        return Cell(*interval_in_digits(value))
    if isinstance(value, int):
        return Cell(f"{value:,}")
    return Cell(in_digits(value, PLACES))


def _without_bounds(cell_of: RowFigure) -> RowFigure:
    return lambda row: Cell(cell_of(row).text)


def _one_place(value: float | None) -> Cell:
    return Cell(DASH if value is None else in_digits(value, 1))


def _ratio(value: float | None, of: float | None) -> Cell:
    return figure(None if value is None or not of else value / of)


def _lpips(head: str, *, variants: bool = False) -> RowFigure:
    def cell(row: RowFigures) -> Cell:
        by_head = row.perception.variants_lpips if variants else row.perception.lpips
        return figure(by_head.get(head))

    return cell


def _state(state: str) -> RowFigure:
    return lambda row: figure((row.provenance.states or {}).get(state))


def _score(row: RowFigures, segmenter: str, against: str) -> SegmentationScore | None:
    fidelity = _fidelity_by(row, segmenter)
    if fidelity is None:
        return None
    return fidelity.requested if against == "requested" else fidelity.delivered


def _fidelity_by(row: RowFigures, segmenter: str) -> Fidelity | None:
    return next((entry for entry in row.fidelity if entry.segmenter == segmenter), None)


def _of_fidelity(segmenter: str, value: Callable[[Fidelity], Interval | float | None]) -> RowFigure:
    def cell(row: RowFigures) -> Cell:
        found = _fidelity_by(row, segmenter)
        return figure(None if found is None else value(found))

    return cell


def _share_of_real(segmenter: str) -> RowFigure:
    def cell(row: RowFigures) -> Cell:
        found = _fidelity_by(row, segmenter)
        # The photographs are the whole of themselves: their own share is no figure that lacks.
        if found is not None and row.name == REAL:
            return Cell("1")
        return figure(None if found is None else found.of_real)

    return cell


def _first_distribution(evaluation: Evaluation) -> Distribution | None:
    return next((row.distribution[0] for row in evaluation.rows if row.distribution), None)


def _of_distribution(network: str, value: Callable[[Distribution], Interval | float]) -> RowFigure:
    def cell(row: RowFigures) -> Cell:
        found = next((entry for entry in row.distribution if entry.network == network), None)
        return figure(None if found is None else value(found))

    return cell


def _by_row(
    title: str, evaluation: Evaluation, columns: Sequence[tuple[Column, RowFigure]]
) -> Table:
    return Table(
        title,
        (Column("row", number=False), *(column for column, _ in columns)),
        tuple((Cell(row.name), *(cell(row) for _, cell in columns)) for row in evaluation.rows),
    )
