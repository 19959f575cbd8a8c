"""Filters: what they read, what they say, what they let pass."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenequilt.memory_bank.where import Where, check_where, parse_where


@dataclass(frozen=True)
class Photograph:
    source_id: str = "a_000001"
    split: str = "train"
    sequence: str = "a"
    licence: str = "CC0-1.0"


def test_every_form_is_read() -> None:
    where = parse_where(
        [
            "licence=CC0-1.0,CC-BY-4.0",
            "split = train",
            "sequence!=0006R0",
            "source!=a_1",
            "area>=200",
            "area<5000",
            "cut=no",
        ]
    )

    assert where == Where(
        licences=("CC-BY-4.0", "CC0-1.0"),
        splits=("train",),
        not_sequences=("0006R0",),
        not_sources=("a_1",),
        min_area_px=200,
        max_area_px=4999,
        cut_by_frame=False,
    )


def test_a_key_given_again_adds_its_names() -> None:
    where = parse_where(["split=train", "split=val", "sequence!=a", "sequence!=b"])

    assert where.splits == ("train", "val")
    assert where.not_sequences == ("a", "b")


def test_the_narrower_area_holds() -> None:
    where = parse_where(["area>=10", "area>30", "area<=90", "area<=80"])

    assert (where.min_area_px, where.max_area_px) == (31, 80)


TEXTS = st.text('aZ9_-., "=', max_size=8) | st.text(max_size=8)
NAMES = st.lists(TEXTS, min_size=1, max_size=3).map(tuple)


@given(
    st.builds(
        Where,
        licences=st.none() | NAMES,
        not_splits=st.just(()) | NAMES,
        sequences=st.none() | NAMES,
        not_sources=st.just(()) | NAMES,
        min_area_px=st.none() | st.integers(0, 50),
        max_area_px=st.none() | st.integers(50, 99),
        cut_by_frame=st.none() | st.booleans(),
    )
)
def test_expressions_there_and_back(where: Where) -> None:
    assert parse_where(where.expressions()) == where


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("train", "filter 'train' cannot be read; expected KEY=VALUE"),
        ("city=aachen", "filter 'city=aachen' has the unknown key 'city'; expected"),
        ("split>=train", "filter 'split>=train': split takes = or !="),
        ("area=200", "filter 'area=200': area takes >=, <=, > or < and pixels"),
        ("area>=large", "filter 'area>=large': area takes"),
        ("area<0", "filter 'area<0': no segment is smaller than 0 pixels"),
        ("cut=maybe", "filter 'cut=maybe': cut is yes or no"),
    ],
)
def test_what_cannot_be_read_is_named(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_where([expression])


def test_a_name_with_a_comma_stands_in_quotes() -> None:
    where = parse_where(['licence="CC BY 4.0, Smith" , CC0-1.0,"say ""no"", please"'])

    assert where.licences == ("CC BY 4.0, Smith", "CC0-1.0", 'say "no", please')


@pytest.mark.parametrize("text", ['"open', '"a"b', 'a,"b', 'a,"b"c,d'])
def test_quotes_that_enclose_no_whole_name_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the double quotes do not enclose whole names; expected"):
        parse_where([f"licence={text}"])


BANK = [Photograph("a_1", "train", "0006R0"), Photograph("b_1", "val", "0016E5", "CC-BY-4.0")]


def test_names_that_the_bank_has_are_accepted() -> None:
    check_where(parse_where(["sequence!=0006R0", "licence=CC0-1.0,CC-BY-4.0", "cut=no"]), BANK)
    check_where(Where(), [])


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (
            "sequence!=0006RO",
            "photograph of the bank has the sequence '0006RO'; the nearest of 2 there are: '0006R0'",
        ),
        ("source!=typo", "has the source 'typo'; some of 2 there are: 'a_1', 'b_1'$"),
        ("split=train,test", "has the split 'test'; some of 2 there are: 'train', 'val'$"),
        ("licence=", "has the licence ''; some of 2 there are: 'CC-BY-4.0', 'CC0-1.0'$"),
    ],
)
def test_names_that_the_bank_lacks_are_refused(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_where(parse_where([expression]), BANK)


def test_an_empty_bank_has_no_names() -> None:
    with pytest.raises(ValueError, match="has the split 'train'; some of 0 there are: none$"):
        check_where(Where(splits=("train",)), [])


def test_to_allow_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="splits is empty, so no segment can pass; None allows"):
        Where(splits=())


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValueError, match="'cut=no' contradicts another one"):
        parse_where(["cut=yes", "cut=no"])
    with pytest.raises(ValueError, match="min_area_px 9 is larger than max_area_px 3"):
        parse_where(["area>=9", "area<=3"])


def test_one_string_is_not_a_tuple_of_names() -> None:
    with pytest.raises(TypeError, match="splits is 'train', expected a tuple of names"):
        Where(splits="train")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "passes"),
    [
        ("split=train,val", True),
        ("split=val", False),
        ("sequence!=a", False),
        ("sequence!=b", True),
        ("source=a_000001", True),
        ("licence=", False),
    ],
)
def test_source_filters(expression: str, passes: bool) -> None:
    (found,) = parse_where([expression]).source_filters()

    assert found.passes(Photograph()) is passes
    assert found.expression == expression


def test_segment_filters() -> None:
    areas = np.array([10, 20, 30])
    cuts = np.array([True, False])
    least, most, cut = parse_where(["area>=20", "area<=20", "cut=yes"]).segment_filters()

    assert least.passes(areas).tolist() == [False, True, True]
    assert most.passes(areas).tolist() == [True, True, False]
    assert cut.passes(cuts).tolist() == [True, False]


def test_no_filter_is_empty() -> None:
    assert parse_where([]).is_empty
    assert not parse_where(["cut=no"]).is_empty
