"""Sentences of a report, and what the command prints."""

from collections.abc import Mapping
from pathlib import Path

from scenequilt.tools.evaluation.report.rounding import DASH, interval_in_digits
from scenequilt.tools.evaluation.report.tables import (
    LEAST_IOU,
    REAL,
    figure,
    main_table,
    network_names,
    provenance_table,
    seams_at_classes,
    segmenter_names,
    systems_of,
)
from scenequilt.tools.evaluation.report.text_table import plain_tables
from scenequilt.tools.evaluation.results import Evaluation, RowFigures

DASH_IN_WORDS = f"{DASH} not measured, or without meaning there."

NOTHING_IN_MAIN = "None of the figures by which systems are compared was measured."

FIDELITY_IN_WORDS = (
    "A segmenter looks at each picture; what it sees is compared with the layout that was asked "
    "for and, where a record of it came along, with the layout that is true of the picture "
    "(delivered). of real is mIoU as a share of the photographs'; a class has none where the "
    f"segmenter's IoU in the photographs is below {LEAST_IOU}."
)

DISTRIBUTION_IN_WORDS = (
    "Distances between the set of pictures and the set of photographs. The dot is the figure, the "
    "whisker its bounds with 95 % over resampled pictures. The line of the photographs, one half "
    "against the other, is what a perfect system would reach with half as many pictures."
)

PERCEPTION_IN_WORDS = (
    "Means over the pairs of a picture and the photograph whose layout it shows; between variants "
    "of one layout, higher LPIPS is more diverse. A system that is free to choose another scene "
    "of the same layout is not meant to reach the photograph itself."
)

SPECTRUM_IN_WORDS = (
    "Power of the luma over spatial frequency, mean over the pictures. The distance is the root "
    "mean square difference of log10 power to the photographs'; 0.3 is a factor of two. Power "
    "missing at the right is blur, power in excess there noise, edges or blocks."
)

SEAMS_IN_WORDS = (
    "Mean squared difference of luma in [0, 1] between neighbouring pixels: across borders of two "
    "owners, across borders of two classes, and in the interior of both. Ratios are to the "
    "photographs' energy at borders of classes; 1 is a border as visible as a real one."
)

PROVENANCE_IN_WORDS = (
    "Shares of pixels by what was done to them; photographs that own pixels of a picture and of "
    "all pictures; agreement of the delivered with the requested layout; the share of photographs "
    "that two pictures have in common (of different layouts, and by variants of one); cosine "
    "distance to the nearest photograph of the bank, and that as a share of the photographs' own, "
    "where far below 1 is copying."
)


def headline(evaluation: Evaluation) -> str:
    """Return the main finding in a sentence a system; "" where there is no segmenter."""
    sentences = [_sentence(evaluation, system) for system in systems_of(evaluation)]
    return " ".join(sentence for sentence in sentences if sentence)


def _sentence(evaluation: Evaluation, system: RowFigures) -> str:
    if not system.fidelity:
        return ""
    fidelity = system.fidelity[0]
    value, bounds = interval_in_digits(fidelity.requested.mean_iou)
    text = (
        f"In the pictures of {system.name}, the segmenter {fidelity.segmenter} finds the requested "
        f"layout with a mean IoU of {value}"
    )
    if bounds:
        text += f" ({bounds} with 95 %)"
    real = evaluation.row(REAL)
    ceilings = [
        entry.requested.mean_iou
        for entry in ([] if real is None else real.fidelity)
        if entry.segmenter == fidelity.segmenter
    ]
    if fidelity.of_real is None or not ceilings:
        return f"{text}."
    share, ceiling = figure(fidelity.of_real).text, interval_in_digits(ceilings[0])[0]
    return f"{text}, that is {share} times what it reaches in the photographs ({ceiling})."


def facts(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return what was judged, as (label, value) pairs."""
    height, width = evaluation.size_hw
    pairs = [
        ("layouts", f"{evaluation.layouts:,}"),
        ("pictures", ", ".join(f"{row.pictures:,}" for row in systems_of(evaluation))),
        ("size", f"{height} x {width} px"),
        ("segmenter", ", ".join(segmenter_names(evaluation)) or "none"),
        ("networks", ", ".join(network_names(evaluation)) or "none"),
        ("seed", str(evaluation.seed)),
        ("protocol", f"version {evaluation.protocol_version}"),
        ("program", f"scenequilt {evaluation.program}"),
        ("took", f"{evaluation.seconds:.0f} s"),
    ]
    if evaluation.left_out:
        pairs.insert(2, ("left out", f"{len(evaluation.left_out):,}"))
    return pairs


def distribution_warnings(evaluation: Evaluation, network: str) -> list[str]:
    """Return why distances in a network's features mean little: each sentence once."""
    rows_by_warning: dict[str, list[str]] = {}
    for row in evaluation.rows:
        for entry in row.distribution:
            if entry.network == network and entry.warning:
                rows_by_warning.setdefault(entry.warning, []).append(row.name)
    return [
        warning if len(rows) == len(evaluation.rows) else f"{', '.join(rows)}: {warning}"
        for warning, rows in rows_by_warning.items()
    ]


def evaluation_in_words(evaluation: Evaluation, out: Path) -> str:
    """Return what the command prints: the main table, what is missing, where the report is."""
    height, width = evaluation.size_hw
    lines = [
        f"{system.title}: {system.pictures:,} pictures of {evaluation.layouts:,} layouts at "
        f"{height} x {width} px, {evaluation.seconds:.1f} s"
        for system in systems_of(evaluation)
    ]
    if headline(evaluation):
        lines.append(headline(evaluation))
    lines += [f"warning: {warning}" for warning in evaluation.warnings]
    table = main_table(evaluation)
    if table.is_empty:
        lines.append(NOTHING_IN_MAIN)
        table = provenance_table(evaluation)
    lines += ["", plain_tables(table.without_empty_columns()), ""]
    if seams_at_classes(evaluation):
        lines.append(seams_at_classes(evaluation))
    lines += _listed("not measured", evaluation.unmeasured)
    lines += _listed("left out", evaluation.left_out)
    lines += [
        f"report  {(out / 'report.html').resolve()}",
        f"tables  {(out / 'report.md').resolve()}",
        f"record  {(out / 'metrics.json').resolve()}",
    ]
    return "\n".join(lines)


def left_out_in_words(evaluation: Evaluation, at_most: int = 10) -> list[str]:
    """Return a line for each of the first that were left out, and how many more there are."""
    names = evaluation.left_out
    lines = [f"{name}: {reason}" for name, reason in list(names.items())[:at_most]]
    if len(names) > at_most:
        lines.append(f"and {len(names) - at_most:,} more, all of them in metrics.json")
    return lines


def _listed(what: str, reasons: Mapping[str, str], at_most: int = 5) -> list[str]:
    lines = [f"{what}: {name}: {reason}" for name, reason in list(reasons.items())[:at_most]]
    if len(reasons) > at_most:
        lines.append(f"{what}: {len(reasons) - at_most} more, see the report")
    return lines
