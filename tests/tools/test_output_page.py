"""index.html and the contact sheet of a run made by hand."""

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.synthesis.composition import Composition
from scenequilt.tools.output.contact_sheet import contact_sheet
from scenequilt.tools.output.page import RunSummary, write_page
from scenequilt.tools.output.run_folder import RunFolder

VOID_ELEMENTS = {"meta", "link", "img", "input", "br"}
SUMMARY = RunSummary(
    "1 layout, 2 pictures", "a <bank>", (("pictures", "2"),), (("b.png", "holds </script> 9"),)
)


class _Structure(HTMLParser):
    """Notes what is open, what was referred to, and what was closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.references: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID_ELEMENTS:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href") and value:
                self.references.append(value)
            if name == "id" and value:
                self.ids.append(value)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture
def taxonomy(composition: Composition) -> Taxonomy:
    return composition.requested.taxonomy


@pytest.fixture
def page(hand_made_run: RunFolder, taxonomy: Taxonomy) -> Path:
    return write_page(hand_made_run.path, list(hand_made_run.rows.values()), taxonomy, SUMMARY)


@pytest.fixture
def structure(page: Path) -> _Structure:
    found = _Structure()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def test_elements_are_closed_in_order(structure: _Structure) -> None:
    assert structure.wrong == []
    assert structure.open == []


def test_no_id_is_used_twice(structure: _Structure) -> None:
    assert len(structure.ids) == len(set(structure.ids))


def test_the_page_names_no_address_of_the_network(page: Path) -> None:
    assert re.findall(r"(?:https?:)?//[a-z]", page.read_text(encoding="utf-8")) == []


def test_every_file_it_refers_to_lies_beside_it(page: Path, structure: _Structure) -> None:
    files = [name for name in structure.references if name != "data:,"]

    assert len(files) == 5
    assert all((page.parent / name).is_file() for name in files)


def test_names_and_messages_cannot_end_an_element(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert "a &lt;bank&gt;" in text
    assert "holds &lt;/script&gt; 9" in text


def test_maps_and_provenance_lie_in_the_page(page: Path, composition: Composition) -> None:
    pack = re.search(r'data-pack="street/00">([^<]+)<', page.read_text(encoding="utf-8"))
    assert pack is not None
    blob = zlib.decompress(base64.b64decode(pack[1]))
    length = int.from_bytes(blob[:4], "little")
    table = json.loads(blob[4 : 4 + length])
    maps = np.frombuffer(blob[4 + length :], np.uint8)

    cells = 8 * 12
    assert table["map_hw"] == table["size_hw"] == [8, 12]
    assert (maps[:cells].reshape(8, 12) == composition.requested.label_map).all()
    owner = maps[3 * cells :].view("<u2").reshape(8, 12)
    assert (owner == composition.ownership + 1).all()
    assert [item["source"] for item in table["placed"]] == ["noon", "dusk"]
    assert table["placed"][1]["m"] == [1, 0, 5, 0, 1, -2]


def test_a_page_without_pictures_says_what_failed(tmp_path: Path, taxonomy: Taxonomy) -> None:
    page = write_page(tmp_path, [], taxonomy, SUMMARY)

    assert "1 layout without a picture" in page.read_text(encoding="utf-8")


def test_the_contact_sheet_has_a_column_for_the_layout_and_each_variant(
    hand_made_run: RunFolder, taxonomy: Taxonomy
) -> None:
    rows = list(hand_made_run.rows.values())

    both = contact_sheet(hand_made_run.path, rows, taxonomy, "title")
    one = contact_sheet(hand_made_run.path, rows[:1], taxonomy, "title")

    assert both.shape[1] - one.shape[1] == 400 + 16
    assert both.dtype == np.uint8


def test_the_contact_sheet_shows_the_layout_in_the_classes_colours(
    hand_made_run: RunFolder, taxonomy: Taxonomy
) -> None:
    sheet = contact_sheet(hand_made_run.path, list(hand_made_run.rows.values()), taxonomy, "title")

    column = sheet[:, 40]
    for entry in taxonomy.classes[:2]:
        assert (column == entry.color).all(axis=1).sum() > 50


def test_a_run_without_pictures_has_a_contact_sheet(tmp_path: Path, taxonomy: Taxonomy) -> None:
    assert contact_sheet(tmp_path, [], taxonomy, "nothing").ndim == 3
