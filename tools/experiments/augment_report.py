"""What the experiment on added pictures found: in words, in tables, and the pictures to look at."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scenequilt.tools.experiments.added_pictures import COMPOSED, PASTED, record_of
from scenequilt.tools.experiments.augment import (
    ARM_TITLES,
    ARMS,
    EXPERIMENT_FORMAT,
    EXPERIMENT_VERSION,
    PAIRS,
    REAL,
    AugmentResult,
)
from scenequilt.tools.experiments.comparison import BLOCK, LEAST_SEEDS, MEAN, RESAMPLES, Difference
from scenequilt.tools.output.atomic import write_atomically

EXAMPLES = 8
CELL_WIDTH_PX = 320
GAP_PX = 12
CAPTION_PX = 26

PAPER = (250, 249, 246)
INK = (32, 33, 36)

_SHORT = {REAL: "real", PASTED: "copy-paste", COMPOSED: "compositions"}


def write_report(result: AugmentResult, out: Path) -> None:
    """Write experiment.json, experiment.md and examples.png into a folder."""
    table = {
        "format": EXPERIMENT_FORMAT,
        "version": EXPERIMENT_VERSION,
        "program": version("scenequilt"),
        "plan": dict(result.plan),
        "finding": finding(result),
        "method": method(result),
        "warnings": list(result.warnings),
        "failures": [
            {"layout": name, "message": message} for name, message in result.added.failures
        ],
        **result.comparison.as_json(),
    }
    _write_examples(result, out / "examples.png")
    write_atomically(out / "experiment.md", in_markdown(result))
    write_atomically(out / "experiment.json", json.dumps(table, indent=1) + "\n")


def finding(result: AugmentResult) -> list[str]:
    """Return, a sentence a pair of arms, which is better for which classes."""
    return [
        _sentence(arm, other, result.comparison.differences[arm, other]) for arm, other in PAIRS
    ]


def method(result: AugmentResult) -> str:
    """Return how the figures came about."""
    plan, comparison = result.plan, result.comparison
    seen = f"{100 * plan['share']:.0f} %"
    return (
        f"Same network, steps and seeds for every arm; {plan['trained_on']} real photographs, "
        f"{len(result.added.names)} added pictures of each kind, {seen} of what a training with "
        f"them sees; tested on {comparison.pictures} held-out real photographs. Random copy-paste "
        "pastes the things that each composition shows onto a random training photograph. "
        f"Brackets are 95 % intervals of Student's t, from the variance between the seeds "
        f"({comparison.seeds}) and that of {RESAMPLES} bootstrap resamples of blocks of {BLOCK} "
        "neighbouring photographs, both paired over the arms. A class counts as "
        "better or worse if the brackets leave 0 out and every seed, of at least "
        f"{LEAST_SEEDS}, says the same; of twenty classes that do not differ, about one may still "
        "look so by chance."
    )


def in_markdown(result: AugmentResult) -> str:
    """Return experiment.md."""
    comparison = result.comparison
    names = list(next(iter(comparison.iou.values())))
    lines = ["# Do compositions help a segmenter?", "", *finding(result), "", method(result), ""]
    lines += [f"Warning: {warning}." for warning in result.warnings]
    lines += ["", "## IoU on held-out photographs, in %, mean over the seeds", ""]
    lines += [_row(["class", *(ARM_TITLES[arm] for arm in ARMS)]), _row(["---", *["---:"] * 3])]
    for name in names:
        cells = []
        for arm in ARMS:
            found = comparison.iou[arm][name]
            cells.append(f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]")
        lines.append(_row([name, *cells]))
    lines += ["", "## Differences in points of IoU, paired", ""]
    titles = [f"{_SHORT[arm]} - {_SHORT[other]}" for arm, other in PAIRS]
    lines += [_row(["class", *titles]), _row(["---", *["---:"] * len(PAIRS)])]
    for name in names:
        cells = [_cell(comparison.differences[pair][name]) for pair in PAIRS]
        lines.append(_row([name, *cells]))
    return "\n".join(lines) + "\n"


def _sentence(arm: str, other: str, table: dict[str, Difference]) -> str:
    def listed(verdict: str) -> str:
        return ", ".join(
            f"{name} ({100 * entry.interval.value:+.1f})"
            for name, entry in table.items()
            if entry.verdict == verdict and name != MEAN
        )

    better, worse, mean = listed("better"), listed("worse"), table[MEAN]
    overall = {
        "better": f"{ARM_TITLES[arm]} beats {ARM_TITLES[other]} in mean IoU",
        "worse": f"{ARM_TITLES[arm]} is worse than {ARM_TITLES[other]} in mean IoU",
        "open": f"no difference in mean IoU can be told between {ARM_TITLES[arm]} and "
        f"{ARM_TITLES[other]}",
    }[mean.verdict]
    numbers = (
        f"{100 * mean.interval.value:+.1f} points [{100 * mean.interval.low:+.1f}, "
        f"{100 * mean.interval.high:+.1f}]"
    )
    classes = [
        f"better for {better}" if better else "better for no class",
        f"worse for {worse}" if worse else "worse for no class",
    ]
    sentence = f"{overall} ({numbers}); it is {' and '.join(classes)}."
    return sentence[0].upper() + sentence[1:]


def _cell(entry: Difference) -> str:
    interval = entry.interval
    text = f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
    return text if entry.verdict == "open" else f"**{text}** {entry.verdict}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _write_examples(result: AugmentResult, path: Path) -> None:
    """Draw the first added pictures of both kinds beside their labels."""
    names = result.added.names[:EXAMPLES]
    columns = []
    for kind in (PASTED, COMPOSED):
        reader, entries = result.added.entries(kind)
        columns.append([reader.read(entry) for entry in entries[: len(names)]])
    rows = list(zip(names, *columns, strict=True))
    heights = [
        max(
            round(photograph.image.shape[0] * CELL_WIDTH_PX / photograph.image.shape[1])
            for photograph in pair
        )
        for _, *pair in rows
    ]
    width = GAP_PX + 4 * (CELL_WIDTH_PX + GAP_PX)
    sheet = Image.new("RGB", (width, GAP_PX + sum(heights) + len(rows) * CAPTION_PX), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    top = GAP_PX
    for (name, pasted, composed), height in zip(rows, heights, strict=True):
        onto = record_of(result.added.folder / PASTED, name)["photograph"]
        parent = record_of(result.added.folder / COMPOSED, name)["parents"][0]
        captions = [f"random copy-paste on {onto}", "its labels"]
        captions += [f"composition of {name}, from {parent}", "delivered labels"]
        cells = [pasted.image, pasted.layout.colored(), composed.image, composed.layout.colored()]
        for column, (pixels, caption) in enumerate(zip(cells, captions, strict=True)):
            left = GAP_PX + column * (CELL_WIDTH_PX + GAP_PX)
            scaled = (CELL_WIDTH_PX, round(pixels.shape[0] * CELL_WIDTH_PX / pixels.shape[1]))
            method = Image.Resampling.LANCZOS if column % 2 == 0 else Image.Resampling.BOX
            sheet.paste(
                Image.fromarray(np.ascontiguousarray(pixels)).resize(scaled, method), (left, top)
            )
            draw.text((left, top + height + 4), caption, INK, font)
        top += height + CAPTION_PX
    sheet.save(path)
