"""Taxonomies: ids, names, JSON, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import (
    VOID,
    ClassInfo,
    Kind,
    Taxonomy,
    read_taxonomy,
    taxonomy_from_json,
)

SKY = ClassInfo(0, "sky", (70, 130, 180), "stuff")
CAR = ClassInfo(7, "car", (0, 0, 142), "thing")
TABLE: dict[str, Any] = {
    "name": "two",
    "void_id": 11,
    "classes": [
        {"id": 0, "name": "sky", "color": [70, 130, 180], "kind": "stuff"},
        {"id": 7, "name": "traffic_sign", "color": [0, 0, 142], "kind": "thing"},
    ],
}


def test_class_id_is_the_place_of_a_name() -> None:
    assert Taxonomy("two", (SKY, CAR)).class_id("car") == 1


def test_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'two' has no class 'cat'; there are sky, car"):
        Taxonomy("two", (SKY, CAR)).class_id("cat")


def test_palette_is_black_for_void() -> None:
    palette = Taxonomy("two", (SKY, CAR)).palette

    assert palette[1].tolist() == [0, 0, 142]
    assert palette[VOID].tolist() == [0, 0, 0]


def test_class_of_file_id_knows_class_void_and_unknown() -> None:
    table = Taxonomy("two", (SKY, CAR), (11, 255)).class_of_file_id

    assert table[[0, 7, 11, 255, 3]].tolist() == [0, 1, VOID, VOID, -1]


@given(
    st.lists(st.integers(0, 65535), min_size=2, max_size=20, unique=True),
    st.integers(0, 2**32 - 1),
)
def test_class_of_file_id_undoes_encode(file_ids: list[int], seed: int) -> None:
    void, *others = file_ids
    classes = (ClassInfo(file_id, f"c{file_id}", (1, 2, 3), "stuff") for file_id in others)
    taxonomy = Taxonomy("any", tuple(classes), (void,))
    choices = [*range(len(taxonomy)), VOID]
    label_map = np.random.default_rng(seed).choice(choices, (4, 5)).astype(np.uint8)

    decoded = taxonomy.class_of_file_id[taxonomy.encode(label_map)]

    assert (decoded == label_map).all()


@pytest.mark.parametrize(
    ("classes", "void", "says"),
    [
        ((SKY, ClassInfo(0, "car", (1, 1, 1), "thing")), (255,), "file_id 0 is used twice"),
        ((SKY, ClassInfo(1, "sky", (1, 1, 1), "thing")), (255,), "name 'sky' is used twice"),
        ((SKY,), (0,), "value 0 is a class and void at once"),
        ((SKY,), (), "names no value for void"),
        ((), (255,), "has 0 classes, expected 1 to 255"),
    ],
)
def test_contradiction_is_refused(
    classes: tuple[ClassInfo, ...], void: tuple[int, ...], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Taxonomy("bad", classes, void)


def test_json_there_and_back_is_the_same() -> None:
    taxonomy = taxonomy_from_json(TABLE, "classes.json")

    assert taxonomy_from_json(taxonomy.as_json(), "classes.json") == taxonomy


def test_thin_and_text_follow_from_the_name() -> None:
    sign = taxonomy_from_json(TABLE, "classes.json").classes[1]

    assert sign.thin and sign.text


def test_missing_key_is_named() -> None:
    table = {"void_id": 11, "classes": [{"id": 0, "name": "sky", "kind": "stuff"}]}

    with pytest.raises(DatasetError, match=r"classes\.json: no key 'color'; expected void_id"):
        taxonomy_from_json(table, "classes.json")


def test_missing_file_is_named_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"classes\.json is missing; write one with void_id"):
        read_taxonomy(tmp_path / "classes.json")


@pytest.mark.parametrize(
    ("text", "says"), [("{", "is not JSON"), (json.dumps([1]), "expected an object")]
)
def test_wrong_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "classes.json"
    path.write_text(text)

    with pytest.raises(DatasetError, match=says):
        read_taxonomy(path)


@pytest.mark.parametrize("value", [-1, 65536])
def test_a_value_that_no_label_file_holds_is_refused(value: int) -> None:
    sky = ClassInfo(0, "sky", (0, 0, 0), "stuff")

    with pytest.raises(ValueError, match=rf"value {value} cannot stand.*expected 0 to 65535"):
        Taxonomy("test", (sky,), void_file_ids=(value,))


@pytest.mark.parametrize(
    ("name", "kind", "known"),
    [
        ("road", "stuff", "road"),
        ("road_marking_white", "stuff", "road_marking"),
        ("road_side", "stuff", "road"),
        ("dirt_road", "stuff", "road"),
        ("railroad", "stuff", None),
        ("lamp_road", "stuff", "lamp"),
        ("floor_lamp", "thing", "lamp"),
        ("lamp_post", "thing", None),
        ("road", "thing", "road"),
    ],
)
def test_a_class_goes_by_whole_words_stuff_by_its_first_things_by_their_last(
    name: str, kind: Kind, known: str | None
) -> None:
    entry = ClassInfo(0, name, (0, 0, 0), kind)
    names = {"road", "road_marking", "lamp"}

    assert entry.known_name(names) == known
    assert entry.known_as(names) == (known is not None)
