"""The contact sheet of completed layouts: before and after, in the taxonomy's colours."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.completion.completer import Completed

MAX_SHOWN = 24
PAIRS_A_ROW = 2
CELL_WIDTH_PX = 400
GAP_PX = 16
CAPTION_PX = 30
HEAD_PX = 56
LEGEND_ROW_PX = 28
LEGEND_COLUMN_PX = 180

PAPER = (250, 249, 246)
INK = (32, 33, 36)


def write_complete_sheet(
    path: Path,
    made: Sequence[tuple[str, Layout, Completed]],
    taxonomy: Taxonomy,
    title: str,
) -> None:
    """Draw layouts as they were and, beside, as they are, two pairs a row.

    Args:
        path: The PNG to write.
        made: Name, layout, and what came of it; the first 24 are drawn.
        taxonomy: The classes, for colours and legend.
        title: Said at the top.

    Raises:
        ValueError: If there is no layout.
    """
    if not made:
        raise ValueError("no layout was completed, so there is nothing for a contact sheet")
    cells = [_pair(*each) for each in made[:MAX_SHOWN]]
    rows = [cells[start : start + PAIRS_A_ROW] for start in range(0, len(cells), PAIRS_A_ROW)]
    heights = [max(cell.height for cell in row) + GAP_PX for row in rows]
    width = GAP_PX + max(len(row) for row in rows) * (2 * CELL_WIDTH_PX + 2 * GAP_PX)
    legend = _legend(made[:MAX_SHOWN], taxonomy, width)
    sheet = Image.new("RGB", (width, HEAD_PX + sum(heights) + legend.height), PAPER)
    ImageDraw.Draw(sheet).text((GAP_PX, 16), title, INK, ImageFont.load_default(22))
    top = HEAD_PX
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (GAP_PX + column * (2 * CELL_WIDTH_PX + 2 * GAP_PX), top))
        top += height
    sheet.paste(legend, (0, top))
    sheet.save(path)


def _pair(name: str, layout: Layout, completed: Completed) -> Image.Image:
    before, after = _shrunk(layout.colored()), _shrunk(completed.layout.colored())
    cell = Image.new("RGB", (2 * CELL_WIDTH_PX + GAP_PX, before.height + CAPTION_PX), PAPER)
    cell.paste(before, (0, 0))
    cell.paste(after, (CELL_WIDTH_PX + GAP_PX, 0))
    draw, font = ImageDraw.Draw(cell), ImageFont.load_default(13)
    share = 100 * float(completed.filled.mean())
    sure = ""
    if completed.probability is not None and completed.filled.any():
        sure = f", probability {100 * float(completed.probability[completed.filled].mean()):.0f} %"
    draw.text((0, before.height + 4), name, INK, font)
    caption = f"{share:.0f} % filled{sure}"
    draw.text((CELL_WIDTH_PX + GAP_PX, before.height + 4), caption, INK, font)
    return cell


def _shrunk(colors: NDArray[np.uint8]) -> Image.Image:
    height, width = colors.shape[:2]
    size = (CELL_WIDTH_PX, max(1, round(height * CELL_WIDTH_PX / width)))
    return Image.fromarray(colors).resize(size, Image.Resampling.BOX)


def _legend(
    made: Sequence[tuple[str, Layout, Completed]], taxonomy: Taxonomy, width: int
) -> Image.Image:
    shown = np.zeros(256, np.int64)
    for _, layout, completed in made:
        for each in (layout, completed.layout):
            shown += np.bincount(each.label_map.ravel(), minlength=256)
    labels = np.flatnonzero(shown).tolist()
    in_line = max(1, (width - 2 * GAP_PX) // LEGEND_COLUMN_PX)
    lines = -(-len(labels) // in_line)
    legend = Image.new("RGB", (width, lines * LEGEND_ROW_PX + 2 * GAP_PX), PAPER)
    draw, font = ImageDraw.Draw(legend), ImageFont.load_default(15)
    for place, label in enumerate(labels):
        line, column = divmod(place, in_line)
        left, top = GAP_PX + column * LEGEND_COLUMN_PX, GAP_PX + line * LEGEND_ROW_PX
        color = tuple(taxonomy.palette[label].tolist())
        name = "void" if label == VOID else taxonomy.classes[label].name.replace("_", " ")
        draw.rectangle((left, top, left + 18, top + 18), color, INK)
        draw.text((left + 26, top), name, INK, font)
    return legend
