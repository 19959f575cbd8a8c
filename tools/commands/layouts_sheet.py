"""The contact sheet of new layouts: in the taxonomy's colours, with what was put in and taken out."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.layouts.factory import NewLayout

MAX_SHOWN = 24
COLUMNS = 4
CELL_WIDTH_PX = 400
GAP_PX = 16
CAPTION_PX = 30
LEGEND_ROW_PX = 28
LEGEND_COLUMN_PX = 180

PAPER = (250, 249, 246)
INK = (32, 33, 36)
INSERTED = (255, 255, 255)
DROPPED = (255, 220, 0)


def write_layouts_sheet(
    path: Path, made: Sequence[tuple[str, NewLayout]], taxonomy: Taxonomy, title: str
) -> None:
    """Draw layouts, four a row; white boxes are round inserted objects, yellow ones round dropped.

    Args:
        path: The PNG to write; its folder is made.
        made: Names and layouts, the first 24 are drawn.
        taxonomy: The classes, for colours and legend.
        title: Said at the top.

    Raises:
        ValueError: If there is no layout.
    """
    if not made:
        raise ValueError("no layout was made, so there is nothing for a contact sheet")
    cells = [_cell(name, layout) for name, layout in made[:MAX_SHOWN]]
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    columns = min(COLUMNS, len(cells))
    width = GAP_PX + columns * (CELL_WIDTH_PX + GAP_PX)
    shown = np.zeros(256, np.int64)
    for _, layout in made[:MAX_SHOWN]:
        shown += np.bincount(layout.layout.label_map.ravel(), minlength=256)
    classes = np.flatnonzero(shown).tolist()
    in_line = max(1, (width - 2 * GAP_PX) // LEGEND_COLUMN_PX)
    lines = -(-len(classes) // in_line)
    heights = [max(cell.height for cell in row) + GAP_PX for row in rows]
    head = 56
    # The last line of the legend is that of the boxes.
    sheet = Image.new(
        "RGB", (width, head + sum(heights) + (lines + 1) * LEGEND_ROW_PX + 2 * GAP_PX), PAPER
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, 16), title, INK, ImageFont.load_default(22))
    top = head
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (GAP_PX + column * (CELL_WIDTH_PX + GAP_PX), top))
        top += height
    for place, label in enumerate(classes):
        line, column = divmod(place, in_line)
        left, y = GAP_PX + column * LEGEND_COLUMN_PX, top + GAP_PX + line * LEGEND_ROW_PX
        color = tuple(taxonomy.palette[label].tolist())
        name = "void" if label == VOID else taxonomy.classes[label].name.replace("_", " ")
        draw.rectangle((left, y, left + 18, y + 18), color, INK)
        draw.text((left + 26, y), name, INK, ImageFont.load_default(15))
    _draw_box_legend(draw, top + GAP_PX + lines * LEGEND_ROW_PX)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _draw_box_legend(draw: ImageDraw.ImageDraw, y: int) -> None:
    left, font = GAP_PX, ImageFont.load_default(15)
    for color, words in ((INSERTED, "box: inserted"), (DROPPED, "box: dropped")):
        # On a dark ground, for white on paper is not seen.
        draw.rectangle((left, y, left + 18, y + 18), INK)
        draw.rectangle((left + 3, y + 3, left + 15, y + 15), outline=color, width=2)
        draw.text((left + 26, y), words, INK, font)
        left += LEGEND_COLUMN_PX


def _cell(name: str, made: NewLayout) -> Image.Image:
    height, width = made.layout.size_hw
    scale = CELL_WIDTH_PX / width
    size = (CELL_WIDTH_PX, max(1, round(height * scale)))
    colored = Image.fromarray(made.layout.colored()).resize(size, Image.Resampling.BOX)
    cell = Image.new("RGB", (size[0], size[1] + CAPTION_PX), PAPER)
    cell.paste(colored, (0, 0))
    draw = ImageDraw.Draw(cell)
    for edit in made.edits:
        if edit.box is not None:
            top, left, bottom, right = (round(side * scale) for side in edit.box)
            color = INSERTED if edit.kind == "insert" else DROPPED
            draw.rectangle((left - 2, top - 2, right + 1, bottom + 1), outline=color)
    caption = f"{name}   {_in_words(made)}"
    font = ImageFont.load_default(13)
    draw.text((0, size[1] + 4), _cut_to(caption, size[0], font), INK, font)
    return cell


def _cut_to(text: str, width_px: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= width_px:
        return text
    ends = (
        end for end in range(len(text), 0, -1) if font.getlength(text[:end] + "...") <= width_px
    )
    return text[: next(ends, 0)] + "..."


def _in_words(made: NewLayout) -> str:
    signs = {"insert": "+", "drop": "-"}
    counts = Counter(
        signs.get(edit.kind, "") + (edit.class_name or edit.kind) for edit in made.edits
    )
    return "  ".join(name if count == 1 else f"{name} x{count}" for name, count in counts.items())
