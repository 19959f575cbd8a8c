"""Answers into rates: intervals of published tables, careless people, files that do not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scenequilt.tools.people.answers import (
    AnswerSheet,
    Key,
    Preference,
    StudyScore,
    luck_in_words,
    read_answers,
    read_key,
    score_answers,
    score_in_words,
)
from scenequilt.tools.people.page import key_path, write_study
from scenequilt.tools.people.pictures import System
from scenequilt.tools.people.study import SPOILT, Study

MakeStudy = Callable[..., Study]


@pytest.fixture(scope="module")
def key(study_of: MakeStudy, systems: tuple[System, ...], tmp_path_factory: pytest.TempPathFactory) -> Key:  # fmt: skip
    """Two systems, ten pairs and ten sentinels."""
    page = tmp_path_factory.mktemp("study") / "page.html"
    write_study(page, study_of(systems=systems[:2], pairs=10, sentinels=10), systems[:2])
    return read_key(key_path(page))


def _answer_file(
    folder: Path, key: Key, prefers_first: int, *, person: str = "ada", wrong: int = 0
) -> Path:
    """Write answers that prefer the first system in so many pairs, with so many wrong sentinels."""
    pairs = [trial for trial in key.trials.values() if trial.kind == "pair"]
    sentinels = [trial for trial in key.trials.values() if trial.kind == "sentinel"]
    lefts = {
        trial.trial_id: (trial.left == key.systems[0]) == (place < prefers_first)
        for place, trial in enumerate(pairs)
    }
    lefts |= {
        trial.trial_id: (trial.good == "left") != (place < wrong)
        for place, trial in enumerate(sentinels)
    }
    rows = [
        {
            "trial": trial_id,
            "left": key.pictures[trial_id][0],
            "right": key.pictures[trial_id][1],
            "choice": "left" if left else "right",
            "response_ms": 1500.0,
            "shown_ms": 1500.0 if asked_ms is None else asked_ms + 3.0,
            "asked_ms": asked_ms,
            "shows": 1,
        }
        for trial_id, left in lefts.items()
        for asked_ms in [key.trials[trial_id].asked_ms]
    ]
    return _write(folder / f"{person}.json", key, rows, person=person)


def _write(path: Path, key: Key, rows: list[dict[str, Any]], **changes: object) -> Path:
    found = {
        "format": "scenequilt answers",
        "version": 1,
        "study": key.study,
        "plan_sha256": key.plan_sha256,
        "person": "ada",
        "answers": rows,
    } | changes
    path.write_text(json.dumps(found))
    return path


def _sheet(
    folder: Path, key: Key, prefers_first: int, *, person: str = "ada", wrong: int = 0
) -> AnswerSheet:
    return read_answers(_answer_file(folder, key, prefers_first, person=person, wrong=wrong), key)


def _only(score: StudyScore) -> Preference:
    (preference,) = score.preferences
    return preference


@pytest.mark.parametrize(
    ("preferred", "low", "high", "p_value"),
    [
        (0, 0.0, 0.3085, 2 / 1024),
        (5, 0.1871, 0.8129, 1.0),
        (8, 0.4439, 0.9748, 112 / 1024),
        (10, 0.6915, 1.0, 2 / 1024),
    ],
)
def test_intervals_and_tests_of_ten_answers_are_those_of_tables(
    tmp_path: Path, key: Key, preferred: int, low: float, high: float, p_value: float
) -> None:
    """Bounds of Clopper & Pearson 1934 for n = 10; p by counting the 1024 outcomes by hand."""
    found = _only(score_answers([_sheet(tmp_path, key, preferred)], key))

    assert (found.system, found.other) == ("quokka", "zebrafinch")
    assert (found.preferred, found.answers, found.rate) == (preferred, 10, preferred / 10)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert found.p_value == pytest.approx(p_value)


def test_answers_of_several_people_are_counted_together(tmp_path: Path, key: Key) -> None:
    sheets = [_sheet(tmp_path, key, 3), _sheet(tmp_path, key, 8, person="bob")]

    found = _only(score_answers(sheets, key))

    assert (found.preferred, found.answers, found.people, found.layouts) == (11, 20, 2, 10)
    assert found.median_response_ms == 1500


def test_one_wrong_sentinel_of_ten_is_forgiven(tmp_path: Path, key: Key) -> None:
    score = score_answers([_sheet(tmp_path, key, 4, wrong=1)], key)

    assert score.dropped == ()
    assert score.people[0].sentinel_errors == 1


def test_a_careless_person_is_left_out_and_named(tmp_path: Path, key: Key) -> None:
    sheets = [_sheet(tmp_path, key, 2), _sheet(tmp_path, key, 10, person="bob", wrong=2)]

    score = score_answers(sheets, key)

    assert [person.person for person in score.dropped] == ["bob"]
    assert _only(score).preferred == 2
    assert "left out: bob, 2 of 10 sentinels wrong, more than 10 %" in score_in_words(score)


def test_the_share_of_errors_can_be_chosen(tmp_path: Path, key: Key) -> None:
    sheet = _sheet(tmp_path, key, 2, wrong=3)

    assert score_answers([sheet], key, max_sentinel_errors=0.3).dropped == ()
    assert len(score_answers([sheet], key, max_sentinel_errors=0.29).dropped) == 1


def test_who_answered_no_sentinel_is_left_out(tmp_path: Path, key: Key) -> None:
    path = _answer_file(tmp_path, key, 5)
    rows = [
        row
        for row in json.loads(path.read_text())["answers"]
        if key.trials[row["trial"]].kind == "pair"
    ]

    score = score_answers([read_answers(_write(path, key, rows), key)], key)

    assert score.people[0].dropped.startswith("answered no sentinel")
    assert score.preferences == ()
    assert "nobody's answers count" in score_in_words(score)


@pytest.mark.parametrize(
    ("sentinels", "share", "chance"),
    [
        (1, 0.1, "50 %"),
        (4, 0.1, "6.25 %"),
        (5, 0.1, None),
        (10, 0.1, None),
        (5, 0.2, "18.8 %"),
        (10, 0.5, "62.3 %"),
    ],
)
def test_the_chance_to_pass_by_luck_is_said_where_it_is_high(
    sentinels: int, share: float, chance: str | None
) -> None:
    """1/2, 1/16, 6/32 and 638/1024 by counting outcomes of fair coins by hand."""
    said = luck_in_words(sentinels, max_sentinel_errors=share)

    assert said is None if chance is None else said and f"with a chance of {chance}" in said


def test_who_met_few_sentinels_makes_the_score_say_so(tmp_path: Path, key: Key) -> None:
    path = _answer_file(tmp_path, key, 5)
    rows = json.loads(path.read_text())["answers"][: 10 + 2]

    score = score_answers([read_answers(_write(path, key, rows), key)], key)

    assert any("2 sentinels, none of them wrong at most" in note for note in score.notes)


def test_answers_that_stop_halfway_count_and_are_said_to(tmp_path: Path, key: Key) -> None:
    path = _answer_file(tmp_path, key, 10)
    rows = json.loads(path.read_text())["answers"][3:]

    score = score_answers([read_answers(_write(path, key, rows), key)], key)

    assert _only(score).answers == 7
    assert "Not finished: ada (17 of 20)." in score.notes


def test_rates_are_by_exposure(
    tmp_path: Path, study_of: MakeStudy, systems: tuple[System, ...]
) -> None:
    page = tmp_path / "page.html"
    study = study_of(systems=systems[:2], pairs=8, sentinels=1, times_ms=(500, 125))
    write_study(page, study, systems[:2])
    key = read_key(key_path(page))
    path = _answer_file(tmp_path, key, 0)
    rows = json.loads(path.read_text())["answers"]
    for row in rows:
        trial = key.trials[row["trial"]]
        if trial.asked_ms == 125:
            row["choice"] = "left" if trial.left == "quokka" else "right"
    slow = next(row for row in rows if row["asked_ms"] == 500)
    slow |= {"shown_ms": 545.0, "shows": 2}

    score = score_answers([read_answers(_write(path, key, rows), key)], key)

    assert [(item.asked_ms, item.preferred, item.answers) for item in score.preferences] == [
        (125, 4, 4),
        (500, 0, 4),
    ]
    assert score.preferences[0].median_shown_ms == 128
    assert "1 of 9 exposures were off by more than 40 ms." in score.notes
    assert any(note.startswith("1 of 9 timed pairs were shown more than") for note in score.notes)


def test_it_is_said_that_answers_depend_on_each_other(tmp_path: Path, key: Key) -> None:
    text = score_in_words(score_answers([_sheet(tmp_path, key, 5)], key))

    assert "Answers of one person are not" in text
    assert "quokka over zebrafinch" in text
    assert "18.7 to 81.3" in text


def test_a_score_as_json_holds_plain_values(tmp_path: Path, key: Key) -> None:
    found = json.loads(json.dumps(score_answers([_sheet(tmp_path, key, 5)], key).as_json()))

    assert found["format"] == "scenequilt study score"
    assert found["preferences"][0]["rate"] == 0.5
    assert found["people"][0]["person"] == "ada"


def test_two_files_of_one_person_are_refused(tmp_path: Path, key: Key) -> None:
    sheet = _sheet(tmp_path, key, 5)

    with pytest.raises(ValueError, match=r"are both of person 'ada', expected one file a person"):
        score_answers([sheet, sheet], key)


def test_a_share_that_is_none_is_refused(tmp_path: Path, key: Key) -> None:
    with pytest.raises(ValueError, match=r"max_sentinel_errors is 10, expected a share"):
        score_answers([_sheet(tmp_path, key, 5)], key, max_sentinel_errors=10)


@pytest.mark.parametrize("name", ["study", "plan_sha256"])
def test_answers_to_another_study_are_refused(tmp_path: Path, key: Key, name: str) -> None:
    path = _answer_file(tmp_path, key, 5)
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: "abc"}))

    with pytest.raises(ValueError, match=rf"answers to another study \({name} 'abc'\)"):
        read_answers(path, key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trial": "ffff"}, r"answer 1 is to trial 'ffff', which is none of the 23"),
        ({"left": "ffff"}, r"answer 1, to trial .* is about pictures \('ffff'"),
        ({"asked_ms": 250}, "asked_ms is 250, expected None"),
        ({"choice": "both"}, "choice is 'both', expected 'left' or 'right'"),
        ({"response_ms": -1}, "response_ms is -1, expected a number of at least 0"),
        ({"shown_ms": "long"}, "shown_ms is 'long', expected a number of at least 0"),
        ({"shows": True}, "shows is True, expected a number"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(
    tmp_path: Path, key: Key, change: dict[str, object], message: str
) -> None:
    path = _answer_file(tmp_path, key, 5)
    rows = json.loads(path.read_text())["answers"]
    rows[0] |= change

    with pytest.raises(ValueError, match=message):
        read_answers(_write(path, key, rows), key)


def test_an_answer_to_practice_is_refused(tmp_path: Path, key: Key) -> None:
    practice = next(trial for trial in key.trials.values() if trial.kind == "practice")
    path = _answer_file(tmp_path, key, 5)
    rows = json.loads(path.read_text())["answers"]
    rows[0]["trial"] = practice.trial_id

    with pytest.raises(ValueError, match="which is none of the"):
        read_answers(_write(path, key, rows), key)


def test_two_answers_to_one_trial_are_refused(tmp_path: Path, key: Key) -> None:
    path = _answer_file(tmp_path, key, 5)
    rows = json.loads(path.read_text())["answers"]

    with pytest.raises(ValueError, match="two answers to trial .*, expected one"):
        read_answers(_write(path, key, [*rows, rows[0]]), key)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"person": "a\u001b[31m"}, "expected a code of 1 to 32 letters"),
        ({"answers": []}, "holds no answer"),
        ({"answers": [3]}, "answer 1 is 3, expected an object"),
        ({"version": 2}, "version 2 of 'scenequilt answers', this program reads 1"),
        ({"format": "scenequilt study key"}, "give the key with --key"),
        ({"format": "holiday"}, "format is 'holiday', expected 'scenequilt answers'"),
    ],
)
def test_a_file_that_holds_no_answers_is_refused(
    tmp_path: Path, key: Key, changes: dict[str, object], message: str
) -> None:
    path = _write(tmp_path / "a.json", key, [], **changes)

    with pytest.raises(ValueError, match=message):
        read_answers(path, key)


def test_a_file_that_is_no_json_or_not_there_is_named(tmp_path: Path, key: Key) -> None:
    (tmp_path / "a.json").write_text("{")

    with pytest.raises(ValueError, match=r"a\.json: cannot be read as JSON"):
        read_key(tmp_path / "a.json")
    with pytest.raises(ValueError, match=r"b\.json: no such file, expected a file that the page"):
        read_answers(tmp_path / "b.json", key)


def test_answers_given_as_key_are_told_apart(tmp_path: Path, key: Key) -> None:
    with pytest.raises(ValueError, match="answers stand before --key"):
        read_key(_answer_file(tmp_path, key, 5))


def test_a_key_with_parts_missing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.key.json"
    path.write_text(json.dumps({"format": "scenequilt study key", "version": 1, "study": "x"}))

    with pytest.raises(ValueError, match="the key is incomplete"):
        read_key(path)


def test_the_key_reads_back_what_was_planned(key: Key) -> None:
    kinds = [trial.kind for trial in key.trials.values()]

    assert (kinds.count("pair"), kinds.count("sentinel"), kinds.count("practice")) == (10, 10, 3)
    assert all((trial.good is None) == (trial.kind == "pair") for trial in key.trials.values())
    assert any(SPOILT in (trial.left, trial.right) for trial in key.trials.values())
