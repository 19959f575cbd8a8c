"""One picture of a whole run: each layout beside the photographs made of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.tools.output.png import decode_numbers, decode_rgb, encode_rgb
from scenequilt.tools.output.run_folder import Row

MAX_LAYOUTS = 24
MAX_VARIANTS = 4
CELL_WIDTH_PX = 400
MAX_CELL_HEIGHT_PX = 600
GAP_PX = 16
MARGIN_PX = 32

PAPER = (250, 249, 246)
INK = (32, 33, 36)
FAINT = (110, 112, 118)


@dataclass(frozen=True, slots=True)
class _Cell:
    pixels: NDArray[np.uint8]
    caption: str


def contact_sheet(
    run: Path, rows: Sequence[Row], taxonomy: Taxonomy, title: str
) -> NDArray[np.uint8]:
    """Draw the pictures of a run side by side: a row a layout, first the layout, then its variants.

    Args:
        run: Folder of the run.
        rows: Lines of its manifest; the first 24 layouts and four variants of each are drawn, and
            the sheet says how many are left out.
        taxonomy: The classes, for the layouts' colours and the legend.
        title: For the head of the sheet.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    groups = [list(group) for _, group in groupby(rows, key=lambda row: str(row["layout"]))]
    shown = groups[:MAX_LAYOUTS]
    columns = 1 + max((len(group[:MAX_VARIANTS]) for group in shown), default=1)
    heading, caption = ImageFont.load_default(20), ImageFont.load_default(15)
    width = 2 * MARGIN_PX + columns * CELL_WIDTH_PX + (columns - 1) * GAP_PX
    strips = [_text_strip(title, ImageFont.load_default(28), width, 64, INK)]
    note = _left_out(groups)
    if note:
        strips.append(_text_strip(note, caption, width, 30, FAINT))
    in_use = np.zeros(256, bool)
    for group in shown:
        requested = taxonomy.class_of_file_id[
            decode_numbers(run / group[0]["folder"] / "requested.png")
        ].astype(np.uint8)
        in_use |= np.bincount(requested.ravel(), minlength=256) > 0
        cells = [_Cell(_shrunk(taxonomy.palette[requested]), "requested layout")]
        cells += [
            _Cell(_shrunk(decode_rgb(run / row["folder"] / "image.png")), _caption_of(row))
            for row in group[:MAX_VARIANTS]
        ]
        strips.append(_text_strip(str(group[0]["layout"]), heading, width, 40, INK))
        strips.append(_strip_of(cells, width, caption))
    strips.append(_legend(taxonomy, in_use, width, caption))
    return np.concatenate(strips)


def contact_sheet_png(run: Path, rows: Sequence[Row], taxonomy: Taxonomy, title: str) -> bytes:
    """Return the contact sheet of a run as PNG."""
    return encode_rgb(contact_sheet(run, rows, taxonomy, title))


def _caption_of(row: Row) -> str:
    photographs = len(row["sources"])
    return (
        f"variant {row['variant']:02d}   covered {100 * row['coverage']:.0f} %   "
        f"agrees {100 * row['agreement']:.0f} %   {photographs} photograph"
        + ("" if photographs == 1 else "s")
    )


def _left_out(groups: Sequence[Sequence[Row]]) -> str:
    notes = []
    if len(groups) > MAX_LAYOUTS:
        notes.append(f"the first {MAX_LAYOUTS} of {len(groups)} layouts")
    most = max((len(group) for group in groups), default=0)
    if most > MAX_VARIANTS:
        notes.append(f"the first {MAX_VARIANTS} of {most} variants")
    return f"Shown: {', '.join(notes)}. All are in index.html." if notes else ""


def _shrunk(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    scale = min(CELL_WIDTH_PX / width, MAX_CELL_HEIGHT_PX / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, size, interpolation=method), np.uint8)


def _strip_of(
    cells: Sequence[_Cell], width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> NDArray[np.uint8]:
    height = max(cell.pixels.shape[0] for cell in cells)
    strip = Image.new("RGB", (width, height + 40), PAPER)
    draw = ImageDraw.Draw(strip)
    for column, cell in enumerate(cells):
        left = MARGIN_PX + column * (CELL_WIDTH_PX + GAP_PX)
        strip.paste(Image.fromarray(cell.pixels), (left, 0))
        draw.text((left, cell.pixels.shape[0] + 6), cell.caption, INK, font)
    return np.asarray(strip, np.uint8)


def _text_strip(
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: int,
    height: int,
    color: tuple[int, int, int],
) -> NDArray[np.uint8]:
    strip = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(strip).text((MARGIN_PX, height // 2), text, color, font, anchor="lm")
    return np.asarray(strip, np.uint8)


def _legend(
    taxonomy: Taxonomy,
    in_use: NDArray[np.bool_],
    width: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> NDArray[np.uint8]:
    entries = [
        (entry.name.replace("_", " "), entry.color)
        for class_id, entry in enumerate(taxonomy.classes)
        if in_use[class_id]
    ]
    if in_use[VOID]:
        entries.append(("void", (0, 0, 0)))
    swatch_px, line_px = 16, 28
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    spots: list[tuple[int, int]] = []
    left, top = MARGIN_PX, 16
    for name, _ in entries:
        needs = swatch_px + 8 + int(ruler.textlength(name, font)) + 24
        if left + needs > width - MARGIN_PX and left > MARGIN_PX:
            left, top = MARGIN_PX, top + line_px
        spots.append((left, top))
        left += needs
    strip = Image.new("RGB", (width, top + line_px + 20), PAPER)
    draw = ImageDraw.Draw(strip)
    for (name, color), (left, top) in zip(entries, spots, strict=True):
        draw.rectangle((left, top, left + swatch_px, top + swatch_px), color, FAINT)
        draw.text((left + swatch_px + 8, top + swatch_px // 2), name, INK, font, anchor="lm")
    return np.asarray(strip, np.uint8)
