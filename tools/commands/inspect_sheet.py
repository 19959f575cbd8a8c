"""The contact sheet of a dataset: photographs beside their coloured layouts, and a legend."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scenequilt.memory_bank.datasets.interface import LabelledPhotograph
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy

_PAPER = (250, 249, 246)
_INK = (38, 38, 42)
_FAINT_INK = (120, 118, 114)
_TILE_WIDTH = 380
_MARGIN = 28
_GAP = 22
_CAPTION_HEIGHT = 34
_LEGEND_ROW = 27
_LEGEND_COLUMN = 190


def write_sheet(
    path: Path, title: str, photographs: Sequence[LabelledPhotograph], taxonomy: Taxonomy
) -> None:
    """Write photographs beside their layouts, two pairs a row, and the colours of the classes.

    Args:
        path: The PNG to write; its folder is made.
        title: Said at the top.
        photographs: At least one.
        taxonomy: Whose names and colours the legend gives; only classes that occur are in it.

    Raises:
        ValueError: If there are no photographs.
    """
    if not photographs:
        raise ValueError("no photograph could be read, so there is nothing for a contact sheet")
    columns = min(2, len(photographs))
    tiles = [_pair(photograph) for photograph in photographs]
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    pair_width = tiles[0].width
    width = 2 * _MARGIN + columns * pair_width + (columns - 1) * _GAP
    heights = [max(tile.height for tile in row) + _CAPTION_HEIGHT for row in rows]
    classes = _classes_shown(photographs)
    legend_columns = max(1, (width - 2 * _MARGIN) // _LEGEND_COLUMN)
    legend_rows = -(-len(classes) // legend_columns)
    top = 78
    sheet = Image.new(
        "RGB",
        (width, top + sum(heights) + legend_rows * _LEGEND_ROW + 2 * _MARGIN),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 24), title, _INK, ImageFont.load_default(26))

    names = iter(photographs)
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            left = _MARGIN + column * (pair_width + _GAP)
            sheet.paste(tile, (left, top))
            entry = next(names).entry
            caption = f"{entry.source_id}   {entry.split}" if entry.split else entry.source_id
            at = (left, top + tile.height + 5)
            draw.text(at, caption, _FAINT_INK, ImageFont.load_default(15))
        top += height

    top += _MARGIN // 2
    for place, label in enumerate(classes):
        row_at, column = divmod(place, legend_columns)
        left = _MARGIN + column * _LEGEND_COLUMN
        y = top + row_at * _LEGEND_ROW
        color = tuple(taxonomy.palette[label].tolist())
        name = "void" if label == VOID else taxonomy.classes[label].name
        draw.rounded_rectangle((left, y, left + 26, y + 17), 3, color, _INK)
        draw.text((left + 35, y - 1), name, _INK, ImageFont.load_default(16))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _pair(photograph: LabelledPhotograph) -> Image.Image:
    """Return a photograph and its coloured layout side by side."""
    height, width = photograph.layout.size_hw
    size = (_TILE_WIDTH, max(1, round(height * _TILE_WIDTH / width)))
    image = Image.fromarray(photograph.image).resize(size, Image.Resampling.LANCZOS)
    colored = photograph.layout.colored()
    colored[_outlines(photograph)] //= 2
    layout = Image.fromarray(colored).resize(size, Image.Resampling.BOX)
    pair = Image.new("RGB", (2 * size[0] + 4, size[1]), _PAPER)
    pair.paste(image, (0, 0))
    pair.paste(layout, (size[0] + 4, 0))
    return pair


def _outlines(photograph: LabelledPhotograph) -> NDArray[np.bool_]:
    """Return (H, W) bool, True along the borders between objects."""
    instance_map = photograph.layout.instance_map
    outlines = np.zeros(instance_map.shape, np.bool_)
    outlines[:, 1:] |= instance_map[:, 1:] != instance_map[:, :-1]
    outlines[1:] |= instance_map[1:] != instance_map[:-1]
    return outlines


def _classes_shown(photographs: Sequence[LabelledPhotograph]) -> list[int]:
    counts = np.zeros(256, np.int64)
    for photograph in photographs:
        counts += np.bincount(photograph.layout.label_map.ravel(), minlength=256)
    return np.flatnonzero(counts).tolist()
