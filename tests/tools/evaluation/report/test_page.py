"""report.html of a made-up evaluation."""

import dataclasses
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.report.gallery import Gallery, GalleryItem
from scenequilt.tools.evaluation.report.page import report_html
from scenequilt.tools.evaluation.results import Evaluation

VOID_ELEMENTS = {"meta", "link", "img", "br"}


class _Structure(HTMLParser):
    """Notes what is open, what was closed in the wrong order, and what the elements hold."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)
        self.elements.append((tag, dict(attrs)))
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("src", "href") and value:
                self.links.append(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip() and "style" not in self.open:
            self.texts.append(data.strip("\N{FIGURE SPACE}\N{PUNCTUATION SPACE} \n"))


def parsed(page: str) -> _Structure:
    structure = _Structure()
    structure.feed(page)
    return structure


@pytest.fixture(scope="module")
def page(evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy) -> str:
    return report_html(evaluation, gallery, taxonomy)


@pytest.fixture(scope="module")
def structure(page: str) -> _Structure:
    return parsed(page)


def figures_of(record: object) -> Iterator[float]:
    """Every figure of a record, but those of curves and of single pictures."""
    if isinstance(record, float | int):
        yield record
    elif isinstance(record, dict):
        for name, value in record.items():
            if name not in ("frequency", "radial", "each"):
                yield from figures_of(value)
    elif isinstance(record, list):
        for value in record:
            yield from figures_of(value)


def test_elements_are_closed_in_order_and_ids_are_unique(structure: _Structure) -> None:
    assert structure.wrong == []
    assert structure.open == []
    assert len(structure.ids) == len(set(structure.ids))


def test_the_page_names_no_address_and_no_file(page: str, structure: _Structure) -> None:
    without_pictures = re.sub(r"base64,[^\"]*", "", page)

    assert re.findall(r"(?:https?:)?//[a-z]", without_pictures) == []
    assert all(link.startswith(("data:", "#")) for link in structure.links)


def test_every_link_leads_to_a_part_of_the_page(structure: _Structure) -> None:
    places = {link[1:] for link in structure.links if link.startswith("#")}

    assert {"results", "fidelity", "distribution", "spectrum", "seams", "record"} <= places
    assert places <= set(structure.ids)


def test_every_figure_of_the_record_stands_in_the_page(
    evaluation: Evaluation, structure: _Structure
) -> None:
    texts = {text.replace("−", "-").replace(",", "") for text in structure.texts}
    ends = {end for text in texts for end in re.split(r"–| to ", text)}

    missing = [
        value
        for row in evaluation.rows
        for value in figures_of(dataclasses.asdict(row))
        if not {f"{value:.{places}f}" for places in range(7)} & ends
    ]

    assert missing == []


def test_the_pictures_of_the_system_are_listed(structure: _Structure) -> None:
    assert {"0006R0_f00030", "0016E5_00001", "0.411", "0.831", "0.271"} <= set(structure.texts)


def test_what_was_judged_left_out_and_not_measured_is_said(structure: _Structure) -> None:
    said = " ".join(structure.texts)

    assert "360 x 480 px" in said
    assert "cgnet 0016E5+0001TP, cgnet camvid" in said
    assert "FID: no Inception-v3 weights were given; name a folder" in said
    assert "0006R0_f00930: no picture of this layout in generated/" in said
    assert "Pixels that are void in the requested layout are not counted." in said
    assert "3f" * 32 in said
    assert "torchmetrics 1.9.0" in said


def test_nothing_measured_leaves_no_empty_part_and_no_dash(
    bare: Evaluation, taxonomy: Taxonomy
) -> None:
    structure = parsed(report_html(bare, Gallery(), taxonomy))

    assert structure.wrong == structure.open == []
    assert structure.texts.count("–") == 0
    assert [name for name in structure.ids if not name.startswith("_")] == ["results", "record"]
    assert "None of the figures by which systems are compared was measured." in structure.texts


def test_a_column_in_which_nothing_was_measured_is_left_out(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    rows = [
        replace(row, perception=replace(row.perception, psnr_db=None)) for row in evaluation.rows
    ]

    page = report_html(replace(evaluation, rows=rows), gallery, taxonomy)

    assert "<span>PSNR</span>" not in page
    assert "<span>SSIM ↑</span>" in page


def test_a_long_list_of_what_was_left_out_is_cut_with_a_count(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    many = {f"layout{number}": "no picture" for number in range(40)}

    structure = parsed(report_html(replace(evaluation, left_out=many), gallery, taxonomy))

    assert "Left out: 40 layouts" in structure.texts
    assert sum(text.endswith(": no picture") for text in structure.texts) == 10
    assert "and 30 more, all of them in metrics.json" in structure.texts


def test_the_page_says_by_what_pictures_are_the_worst(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    ranked = replace(gallery, ranked_by="mean IoU of each picture, seen by cgnet")

    structure = parsed(report_html(evaluation, ranked, taxonomy))

    assert "By mean IoU of each picture, seen by cgnet." in structure.texts
    assert ["LPIPS", "alex ↓"] in [structure.texts[i : i + 2] for i in range(len(structure.texts))]


def test_warnings_stand_before_the_main_table(page: str) -> None:
    assert 0 < page.index("101 pictures: distances between sets") < page.index("<table>")


def test_names_cannot_end_an_element(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    nasty = '<b>&"quote"\'{{style}}'
    row = replace(evaluation.rows[0], name=nasty, title=nasty)
    item = gallery.worst[0]
    named = GalleryItem(nasty, nasty, {nasty: item.pictures["layout"]})
    evil = replace(
        evaluation,
        rows=[row, *evaluation.rows[1:]],
        warnings=[nasty],
        unmeasured={nasty: nasty},
        left_out={nasty: nasty},
        rules={nasty: nasty},
    )
    spectra = {nasty: gallery.spectra["real"]}

    page = report_html(evil, Gallery(worst=[named], spectra=spectra), taxonomy)
    structure = parsed(page)

    assert nasty not in page
    assert structure.wrong == structure.open == []
    assert structure.texts.count(nasty) > 10


def test_every_system_is_marked_and_no_calibration(
    evaluation: Evaluation, gallery: Gallery, taxonomy: Taxonomy
) -> None:
    second = replace(evaluation.rows[0], name="spade")
    both = replace(evaluation, rows=[evaluation.rows[0], second, *evaluation.rows[1:]])

    page = report_html(both, gallery, taxonomy)

    marked = re.findall(r'<tr class="system"><th scope="row">(.*?)</th>', page)
    assert set(marked) == {"closed form", "spade"}
    assert marked.count("closed form") == marked.count("spade")


def test_a_table_says_what_its_cells_belong_to(structure: _Structure) -> None:
    headers = [attrs for tag, attrs in structure.elements if tag == "th"]
    tables = [tag for tag, _ in structure.elements if tag == "table"]
    captions = [tag for tag, _ in structure.elements if tag == "caption"]

    assert all(attrs.get("scope") in ("col", "row") for attrs in headers)
    assert len(tables) == len(captions) > 10


def test_boxes_that_scroll_are_named_and_reached_by_key(structure: _Structure) -> None:
    boxes = [
        a for tag, a in structure.elements if tag == "div" and "scroll" in (a.get("class") or "")
    ]

    assert boxes
    assert all(box.get("tabindex") == "0" and box.get("aria-label") for box in boxes)


def test_every_picture_and_plot_is_described(structure: _Structure) -> None:
    pictures = [attrs for tag, attrs in structure.elements if tag == "img"]
    plots = [attrs for tag, attrs in structure.elements if tag == "svg"]

    assert len(pictures) == 4 * 4 + 5
    assert len(plots) == 2 + 4 + 2 + 2 + 1
    assert all(attrs.get("alt") for attrs in pictures)
    assert all(attrs.get("aria-label") for attrs in plots)


def test_the_classes_have_the_colours_of_the_taxonomy(page: str) -> None:
    assert '<i class="swatch" style="background:rgb(128,64,128)"></i>road</th>' in page


def test_light_dark_and_print_are_provided_for(page: str) -> None:
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


@pytest.mark.browser
def test_the_page_opens_without_complaint_and_fits_a_telephone(
    page: str, chromium: str, tmp_path: Path
) -> None:
    from playwright.sync_api import sync_playwright

    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": 420, "height": 900})
        window.on("console", lambda message: complaints.append(message.text))
        window.on("pageerror", lambda error: complaints.append(str(error)))
        window.on("request", lambda request: complaints.extend(_beyond_the_page(request.url)))
        window.goto((tmp_path / "report.html").as_uri())
        width = window.evaluate("document.documentElement.scrollWidth")
        undrawn = window.evaluate(
            "Array.from(document.images).filter(image => image.naturalWidth === 0).length"
        )
        browser.close()

    assert complaints == []
    assert width == 420
    assert undrawn == 0


def _beyond_the_page(address: str) -> list[str]:
    return [] if address.startswith(("file:", "data:")) else [address]
