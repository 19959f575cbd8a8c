"""index.html of a run: every picture, and the photograph behind every pixel, in one page."""

import base64
import html
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.output.atomic import write_atomically
from scenequilt.tools.output.page_template import fill_template, json_in_html
from scenequilt.tools.output.picture import STATE_COLORS, STATE_NAMES
from scenequilt.tools.output.png import decode_numbers, decode_rgb, encode_indexed
from scenequilt.tools.output.run_folder import PAGE_FOLDER, Row

MANY_PICTURES = 120
MAP_PX = 512
MAP_PX_OF_MANY = 256
THUMBNAIL_PX = 640
JPEG_QUALITY = 88

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What the head of the page says of a run.

    Attributes:
        title: Name of the run.
        bank: Name of the bank.
        figures: (label, value) pairs, ready to be read.
        failures: (layout file, message) of each layout that no picture could be made of.
    """

    title: str
    bank: str
    figures: tuple[tuple[str, str], ...]
    failures: tuple[tuple[str, str], ...] = ()


def write_page(run: Path, rows: Sequence[Row], taxonomy: Taxonomy, summary: RunSummary) -> Path:
    """Write index.html and the small pictures it shows.

    The page needs no network and no server. The maps of every picture (requested and delivered
    layout, owner and state of every pixel) and its provenance lie in it, packed; photographs are
    read from the files beside it.

    Args:
        run: Folder of the run, its pictures finished.
        rows: Lines of its manifest.
        taxonomy: The classes.
        summary: For the head of the page.

    Returns:
        Path of index.html.
    """
    (run / PAGE_FOLDER).mkdir(exist_ok=True)
    map_px = MAP_PX if len(rows) <= MANY_PICTURES else MAP_PX_OF_MANY
    groups = [(name, list(group)) for name, group in groupby(rows, key=lambda row: row["layout"])]
    sections = [_section(run, name, group, taxonomy) for name, group in groups]
    packs = [_pack_element(run, row, taxonomy, map_px) for row in rows]
    asked_for = {name for row in rows for name in row["pixels_by_class"]}
    legend = {
        "classes": [[entry.name, list(entry.color)] for entry in taxonomy.classes],
        "asked_for": [entry.name in asked_for for entry in taxonomy.classes],
        "states": [
            [name, list(color)] for name, color in zip(STATE_NAMES, STATE_COLORS, strict=True)
        ],
    }
    page = fill_template(
        (HERE / "page.html").read_text(encoding="utf-8"),
        {
            "title": html.escape(summary.title),
            "bank": html.escape(summary.bank),
            "style": (HERE / "page.css").read_text(encoding="utf-8"),
            "script": (HERE / "page.js").read_text(encoding="utf-8"),
            "figures": "".join(_figure_of_merit(*pair) for pair in summary.figures),
            "failures": _failures(summary.failures),
            "sources": _source_options(rows),
            "sections": "\n".join(sections),
            "legend": json_in_html(legend),
            "packs": "\n".join(packs),
        },
    )
    write_atomically(run / "index.html", page)
    return run / "index.html"


def _section(run: Path, name: str, rows: Sequence[Row], taxonomy: Taxonomy) -> str:
    small = run / PAGE_FOLDER / name
    small.mkdir(exist_ok=True)
    requested = _class_ids(run / rows[0]["folder"] / "requested.png", taxonomy)
    colors = [(int(r), int(g), int(b)) for r, g, b in taxonomy.palette]
    write_atomically(
        small / "requested.png",
        encode_indexed(_nearest(requested, THUMBNAIL_PX).astype(np.uint8), colors),
    )
    height, width = rows[0]["size_hw"]
    label = html.escape(name)
    asked = (
        f'<figure class="asked"><div class="frame" style="aspect-ratio:{width}/{height}">'
        f'<img src="{_url(PAGE_FOLDER, name, "requested.png")}" loading="lazy" '
        f'width="{width}" height="{height}" alt="Requested layout of {label}"></div>'
        "<figcaption>requested layout</figcaption></figure>"
    )
    figures = [asked]
    for row in rows:
        thumbnail = f"{row['variant']:02d}.jpg"
        write_atomically(small / thumbnail, _thumbnail(run / row["folder"] / "image.png"))
        figures.append(_figure(row, name, thumbnail))
    sources = sorted({source for row in rows for source in row["sources"]})
    diversity = rows[0].get("diversity")
    about = f"{height} x {width} pixels"
    if len(rows) > 1:
        about += f" &middot; {len(rows)} variants"
    if diversity:
        about += f" &middot; {_diversity_in_words(diversity)}"
    return (
        f'<section class="layout" data-name="{label}" '
        f'data-sources="{html.escape(json.dumps(sources))}">'
        f"<header><h2>{label}</h2><p>{about}</p></header>"
        f'<div class="row">{"".join(figures)}</div></section>'
    )


def _figure(row: Row, name: str, thumbnail: str) -> str:
    height, width = row["size_hw"]
    folder = html.escape(row["folder"])
    what = f"{html.escape(name)}, variant {row['variant']:02d}"
    return (
        f'<figure class="picture" data-folder="{folder}">'
        f'<a class="frame" href="{_url(row["folder"], "image.png")}" '
        f'style="aspect-ratio:{width}/{height}" aria-label="Open {what}">'
        f'<img src="{_url(PAGE_FOLDER, name, thumbnail)}" loading="lazy" width="{width}" '
        f'height="{height}" alt="Photograph composed for {what}"><canvas></canvas></a>'
        f"<figcaption><b>variant {row['variant']:02d}</b> "
        f"<span>covered {_percent(row['coverage'])}</span> "
        f"<span>agrees {_percent(row['agreement'])}</span> "
        f"<span>{_count(len(row['sources']), 'photograph')}</span>{_without(row)}"
        "</figcaption></figure>"
    )


def _without(row: Row) -> str:
    """Return the classes that the bank had no segment for, in words."""
    if not row["open_classes"]:
        return ""
    names = ", ".join(name.replace("_", " ") for name in row["open_classes"])
    return f' <span class="without">no segment of {html.escape(names)}</span>'


def _pack_element(run: Path, row: Row, taxonomy: Taxonomy, map_px: int) -> str:
    pack = base64.b64encode(pack_picture(run / row["folder"], taxonomy, map_px)).decode("ascii")
    folder = html.escape(row["folder"])
    return f'<script type="application/octet-stream" data-pack="{folder}">{pack}</script>'


def pack_picture(folder: Path, taxonomy: Taxonomy, map_px: int) -> bytes:
    """Pack the maps and the provenance of a picture for the page's script.

    zlib over: the length of a JSON text as 32-bit little-endian number; the text; then, over h x w
    map cells ("map_hw" in the text), requested classes (uint8), delivered classes (uint8), states
    (uint8) and numbers of placed segments (uint16, little-endian). A cell shows the picture's
    pixel under its centre.

    Args:
        folder: Folder of the picture.
        taxonomy: The classes of its label maps.
        map_px: Longest side of the maps.
    """
    table = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    requested = _nearest(_class_ids(folder / "requested.png", taxonomy), map_px)
    delivered = _nearest(_class_ids(folder / "label.png", taxonomy), map_px)
    state = _nearest(decode_numbers(folder / "state.png"), map_px)
    owner = _nearest(decode_numbers(folder / "ownership.png"), map_px)
    text = json.dumps(
        {
            "size_hw": table["size_hw"],
            "map_hw": list(requested.shape),
            "placed": [_placed_row(item) for item in table["placed"] if item["pixels"]],
        },
        separators=(",", ":"),
    ).encode("utf-8")
    return zlib.compress(
        b"".join(
            [
                np.array(len(text), "<u4").tobytes(),
                text,
                requested.astype(np.uint8).tobytes(),
                delivered.astype(np.uint8).tobytes(),
                state.astype(np.uint8).tobytes(),
                owner.astype("<u2").tobytes(),
            ]
        ),
        level=6,
    )


def _placed_row(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n": item["number"],
        "segment": item["segment_id"],
        "class": item["class"],
        "source": item["source_id"],
        "licence": item["licence"],
        "address": item["address"],
        "split": item["split"],
        "sequence": item["sequence"],
        "m": [round(value, 5) for line in item["source_from_target"] for value in line],
        "score": round(item["score"], 3),
        "mask": round(item["mask_iou"], 3),
        "context": round(item["context_iou"], 3),
        "shape": round(item["shape_iou"], 3),
        "match": item["match"],
        "rank": item["rank"],
        "px": item["pixels"],
    }


def _class_ids(path: Path, taxonomy: Taxonomy) -> NDArray[np.int16]:
    return taxonomy.class_of_file_id[decode_numbers(path)]


def _nearest(numbers: NDArray[Any], longest_px: int) -> NDArray[Any]:
    height, width = numbers.shape
    scale = min(1.0, longest_px / max(height, width))
    rows = _centres(height, max(1, round(height * scale)))
    columns = _centres(width, max(1, round(width * scale)))
    return numbers[rows[:, None], columns[None, :]]


def _centres(length: int, wanted: int) -> NDArray[np.intp]:
    return ((np.arange(wanted) + 0.5) * length / wanted).astype(np.intp)


def _thumbnail(path: Path) -> bytes:
    pixels = decode_rgb(path)
    height, width = pixels.shape[:2]
    scale = min(1.0, THUMBNAIL_PX / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, blob = cv2.imencode(
        ".jpg",
        cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR),
        [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
    )
    assert done, "JPEG takes any 8-bit RGB array"
    return bytes(blob)


def _diversity_in_words(diversity: Mapping[str, float]) -> str:
    return (
        f"mean colour difference {diversity['lab_difference']:.0f} (CIE Lab) &middot; "
        f"structure {diversity['dissimilarity']:.2f} (1 - SSIM) &middot; "
        f"{_percent(diversity['unshared_sources'])} of the photographs not shared"
    )


def _figure_of_merit(label: str, value: str) -> str:
    return f"<div><dt>{html.escape(label)}</dt><dd>{html.escape(value)}</dd></div>"


def _failures(failures: Sequence[tuple[str, str]]) -> str:
    if not failures:
        return ""
    items = "".join(
        f"<li><code>{html.escape(layout)}</code> {html.escape(message)}</li>"
        for layout, message in failures
    )
    what = _count(len(failures), "layout")
    return (
        f'<details class="failures"><summary>{what} without a picture</summary>'
        f"<ul>{items}</ul></details>"
    )


def _source_options(rows: Sequence[Row]) -> str:
    pictures: dict[str, int] = {}
    for row in rows:
        for source in row["sources"]:
            pictures[source] = pictures.get(source, 0) + 1
    return "".join(
        f'<option value="{html.escape(source)}">{html.escape(source)} '
        f"({_count(pictures[source], 'picture')})</option>"
        for source in sorted(pictures)
    )


def _url(*parts: str) -> str:
    return html.escape(quote("/".join(parts)))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}&#8239;%"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
