"""Answers of people, turned into preference rates with exact binomial intervals."""

import itertools
import json
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from scenequilt.tools.people.study import KEY_FORMAT, Side, Trial

ANSWERS_FORMAT = "scenequilt answers"
SCORE_FORMAT = "scenequilt study score"
VERSION = 1
CONFIDENCE = 0.95

MAX_SENTINEL_ERRORS = 0.1
"""Share of the sentinels that a person may get wrong."""

LUCK = 0.05
"""A chance to pass the sentinels unseen that is pointed out; fewer than 5 have it, or more errors
forgiven."""

EXPOSURE_SLACK_MS = 40.0
"""An exposure that was off by more is pointed out: two frames and a half at 60 Hz."""

DEPENDENCE = (
    "The intervals treat answers as independent. Answers of one person are not, nor are answers to "
    "the same layout, so true intervals are wider; many people with few answers each are worth "
    "more than the same number of answers of few."
)


@dataclass(frozen=True, slots=True)
class Key:
    """Which picture is of which system.

    Attributes:
        study: Id of the study.
        plan_sha256: Hash of what its page shows.
        systems: In the order in which they were given.
        trials: Pairs and sentinels, by id.
        pictures: (left, right) ids of a trial's pictures, by trial id.
    """

    study: str
    plan_sha256: str
    systems: tuple[str, ...]
    trials: dict[str, Trial]
    pictures: dict[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice.

    Attributes:
        trial_id: Of the trial.
        choice: The side that looked more realistic.
        response_ms: From the moment at which an answer was possible to the answer, in ms.
        shown_ms: How long the pair was visible, in ms, measured.
        shows: How often it was put on the screen; more than 1 after a reload, an undo or a pause.
    """

    trial_id: str
    choice: Side
    response_ms: float
    shown_ms: float
    shows: int


@dataclass(frozen=True, slots=True)
class AnswerSheet:
    """All choices of one person.

    Attributes:
        path: The file.
        person: Code of the person.
        answers: In the order in which they were given.
    """

    path: Path
    person: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class PersonFigures:
    """How one person answered.

    Attributes:
        person: Code of the person.
        pairs: Answers to pairs that count.
        sentinels: Answers to sentinels.
        sentinel_errors: Those of them that were wrong.
        median_response_ms: Over the pairs; None without one.
        dropped: Why the answers are left out, "" if they are not.
    """

    person: str
    pairs: int
    sentinels: int
    sentinel_errors: int
    median_response_ms: float | None
    dropped: str


@dataclass(frozen=True, slots=True)
class Preference:
    """How often one system was preferred to another.

    Attributes:
        system: The one whose rate it is.
        other: The one it was shown beside.
        asked_ms: Exposure in ms; None for unlimited time.
        answers: How many the rate rests on.
        preferred: Those in which system was chosen.
        rate: Their share.
        low: Lower bound of the exact 95 % interval (Clopper & Pearson 1934).
        high: Its upper bound.
        p_value: Of the exact two-sided binomial test against 1/2.
        people: How many gave these answers.
        layouts: How many layouts they are about.
        median_response_ms: Of the answers.
        median_shown_ms: Measured exposure; in unlimited time how long the pair was looked at.
    """

    system: str
    other: str
    asked_ms: int | None
    answers: int
    preferred: int
    rate: float
    low: float
    high: float
    p_value: float
    people: int
    layouts: int
    median_response_ms: float
    median_shown_ms: float


@dataclass(frozen=True, slots=True)
class StudyScore:
    """What people preferred.

    Attributes:
        study: Id of the study.
        preferences: By pair of systems, then by exposure.
        people: Everybody who answered, also those whose answers are dropped.
        max_sentinel_errors: Share of sentinels beyond which a person's answers are dropped.
        notes: What a reader of the rates should know, in sentences.
    """

    study: str
    preferences: tuple[Preference, ...]
    people: tuple[PersonFigures, ...]
    max_sentinel_errors: float
    notes: tuple[str, ...]

    @property
    def dropped(self) -> tuple[PersonFigures, ...]:
        """Those whose answers are left out."""
        return tuple(person for person in self.people if person.dropped)

    def as_json(self) -> dict[str, Any]:
        """Return the score as JSON values."""
        return {"format": SCORE_FORMAT, "version": VERSION, **asdict(self)}


def read_key(path: Path) -> Key:
    """Read the key of a study.

    Raises:
        ValueError: If the file is no such key, or of another version.
    """
    found = _read_json(path, KEY_FORMAT, "the .key.json beside the page", key=True)
    try:
        return Key(
            study=str(found["study"]),
            plan_sha256=str(found["plan_sha256"]),
            systems=tuple(str(system["name"]) for system in found["systems"]),
            trials={
                trial_id: Trial(
                    trial_id=trial_id,
                    kind=row["kind"],
                    layout=row["layout"],
                    left=row["left"],
                    right=row["right"],
                    asked_ms=row["asked_ms"],
                )
                for trial_id, row in found["trials"].items()
            },
            pictures={
                trial_id: (row["pictures"][0], row["pictures"][1])
                for trial_id, row in found["trials"].items()
            },
        )
    except (KeyError, TypeError, IndexError, AttributeError) as reason:
        raise ValueError(
            f"{path}: the key is incomplete ({type(reason).__name__}: {reason}); take the file that "
            "study make wrote beside the page"
        ) from reason


def read_answers(path: Path, key: Key) -> AnswerSheet:
    """Read the answers of one person.

    Raises:
        ValueError: If the file holds no answers, those of another study, an answer to a trial that
            the study has not, or two to one.
    """
    found = _read_json(path, ANSWERS_FORMAT, "a file that the page of the study saved", key=False)
    for name, expected in (("study", key.study), ("plan_sha256", key.plan_sha256)):
        if found.get(name) != expected:
            raise ValueError(
                f"{path}: answers to another study ({name} {found.get(name)!r}), expected "
                f"{expected!r}; give the --key that was made with their page"
            )
    person = found.get("person")
    if not isinstance(person, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,32}", person):
        raise ValueError(
            f"{path}: person {person!r}, expected a code of 1 to 32 letters, digits, '.', '_' or '-'"
        )
    rows = found.get("answers")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"{path}: holds no answer, expected some; leave the file out")
    answers = tuple(_answer(path, place, row, key) for place, row in enumerate(rows, start=1))
    seen: set[str] = set()
    for answer in answers:
        if answer.trial_id in seen:
            raise ValueError(
                f"{path}: two answers to trial {answer.trial_id!r}, expected one; the file was "
                "edited or put together, take the one that the page saved"
            )
        seen.add(answer.trial_id)
    return AnswerSheet(path, person, answers)


def score_answers(
    sheets: Sequence[AnswerSheet],
    key: Key,
    *,
    max_sentinel_errors: float = MAX_SENTINEL_ERRORS,
) -> StudyScore:
    """Turn answers into preference rates.

    A person is left out who got more than a share of the sentinels wrong that they answered, or
    answered none though the study has some.

    Args:
        sheets: One a person.
        key: Of the study.
        max_sentinel_errors: The share, in [0, 1].

    Raises:
        ValueError: If two sheets are of one person, there is no sheet, or the share is none.
    """
    if not 0 <= max_sentinel_errors <= 1:
        raise ValueError(
            f"max_sentinel_errors is {max_sentinel_errors}, expected a share in [0, 1]"
        )
    if not sheets:
        raise ValueError("sheets is empty; rates are of at least one file of answers")
    by_person: dict[str, AnswerSheet] = {}
    for sheet in sheets:
        if sheet.person in by_person:
            raise ValueError(
                f"{by_person[sheet.person].path} and {sheet.path} are both of person "
                f"{sheet.person!r}, expected one file a person; leave one out, or if two people "
                "chose one code, change it in one file"
            )
        by_person[sheet.person] = sheet

    people = tuple(_judge(sheet, key, max_sentinel_errors) for sheet in sheets)
    kept = [sheet for sheet, person in zip(sheets, people, strict=True) if not person.dropped]
    times = sorted(
        {trial.asked_ms for trial in key.trials.values() if trial.kind == "pair"},
        key=lambda asked_ms: asked_ms or 0,
    )
    found = [
        _preference(kept, key, system, other, asked_ms)
        for system, other in itertools.combinations(key.systems, 2)
        for asked_ms in times
    ]
    return StudyScore(
        study=key.study,
        preferences=tuple(preference for preference in found if preference is not None),
        people=people,
        max_sentinel_errors=max_sentinel_errors,
        notes=tuple(_notes(kept, key, max_sentinel_errors)),
    )


def refuse_score_file(out: Path, inputs: Sequence[Path]) -> None:
    """Refuse to write a score over anything but an earlier one; call it early.

    Args:
        out: Where the score is to go.
        inputs: Files that it is made of: answers and the key, which nothing can bring back.

    Raises:
        ValueError: If out is an input, a folder, or a file that is no score.
        OSError: If nothing can be told of it, as its folder is closed to the reader.
    """
    if not out.exists():
        return
    if any(path.exists() and out.samefile(path) for path in inputs):
        raise ValueError(
            f"--out {out} is one of the files that the score is made of, expected another; give a "
            "new name, e.g. --out score.json"
        )
    if out.is_dir():
        raise ValueError(f"--out {out} is a folder, expected a file; give --out {out}/score.json")
    try:
        found = json.loads(out.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("format") != SCORE_FORMAT:
        raise ValueError(
            f"--out {out} is there already and no score of a study, expected a new file or an "
            "earlier score; give another --out, or take the file away"
        )


def luck_in_words(
    sentinels: int, *, max_sentinel_errors: float = MAX_SENTINEL_ERRORS
) -> str | None:
    """Return what is to be said of careless people who pass; None where few enough do.

    Args:
        sentinels: How many a person answers.
        max_sentinel_errors: Share that a person may get wrong, in [0, 1].
    """
    if sentinels == 0:
        return "The study has no sentinels, so careless answers cannot be told from others."
    forgiven = _forgiven(sentinels, max_sentinel_errors)
    chance = sum(math.comb(sentinels, wrong) for wrong in range(forgiven + 1)) / 2**sentinels
    if chance <= LUCK:
        return None
    return (
        f"Careless people can pass by luck: who chooses at random passes "
        f"{_count(sentinels, 'sentinel')}, {forgiven or 'none'} of them wrong at most, with a "
        f"chance of {100 * chance:.3g} %."
    )


def score_in_words(score: StudyScore) -> str:
    """Return a score as tables of text."""
    kept = len(score.people) - len(score.dropped)
    lines = [f"study {score.study}: {_count(kept, 'person', 'people')} counted"]
    lines += [f"left out: {person.person}, {person.dropped}" for person in score.dropped]
    if score.preferences:
        longest = max(len(f"{item.system} over {item.other}") for item in score.preferences)
        head = (
            f"{'preferred':<{longest}}  {'shown':>9}  {'rate':>7}  {'95 % interval':>16}  "
            f"{'p':>8}  {'of':>5}  {'people':>6}  {'layouts':>7}  {'response':>8}"
        )
        lines += ["", head]
        lines += [_preference_line(item, longest) for item in score.preferences]
    else:
        lines += ["", "no rate: nobody's answers count"]
    longest = max(len("person"), *(len(person.person) for person in score.people))
    lines += [
        "",
        f"{'person':<{longest}}  {'pairs':>5}  {'sentinels wrong':>15}  {'response':>8}",
    ]
    lines += [
        f"{person.person:<{longest}}  {person.pairs:>5}  "
        f"{f'{person.sentinel_errors} of {person.sentinels}':>15}  "
        f"{_seconds(person.median_response_ms):>8}" + ("  left out" if person.dropped else "")
        for person in score.people
    ]
    lines += ["", *score.notes]
    return "\n".join(lines)


def _preference_line(item: Preference, longest: int) -> str:
    shown = "unlimited" if item.asked_ms is None else f"{item.asked_ms} ms"
    interval = f"{100 * item.low:.1f} to {100 * item.high:.1f}"
    p_value = f"{item.p_value:.3f}" if item.p_value >= 0.001 else "< 0.001"
    return (
        f"{f'{item.system} over {item.other}':<{longest}}  {shown:>9}  {100 * item.rate:>5.1f} %  "
        f"{interval:>16}  {p_value:>8}  {item.answers:>5}  {item.people:>6}  {item.layouts:>7}  "
        f"{_seconds(item.median_response_ms):>8}"
    )


def _judge(sheet: AnswerSheet, key: Key, max_sentinel_errors: float) -> PersonFigures:
    goods = [
        (answer.choice, key.trials[answer.trial_id].good)
        for answer in sheet.answers
        if key.trials[answer.trial_id].kind == "sentinel"
    ]
    wrong = sum(choice != good for choice, good in goods)
    times = [
        answer.response_ms for answer in sheet.answers if key.trials[answer.trial_id].kind == "pair"
    ]
    dropped = ""
    if wrong > _forgiven(len(goods), max_sentinel_errors):
        dropped = (
            f"{wrong} of {_count(len(goods), 'sentinel')} wrong, more than "
            f"{100 * max_sentinel_errors:g} %"
        )
    elif not goods and any(trial.kind == "sentinel" for trial in key.trials.values()):
        dropped = "answered no sentinel, so the answers are unchecked"
    median = statistics.median(times) if times else None
    return PersonFigures(sheet.person, len(times), len(goods), wrong, median, dropped)


def _forgiven(sentinels: int, max_sentinel_errors: float) -> int:
    """Return how many sentinels of some a person may get wrong."""
    # Shares such as 0.1 * 10 are not exact in binary.
    return math.floor(max_sentinel_errors * sentinels + 1e-9)


def _preference(
    sheets: Sequence[AnswerSheet], key: Key, system: str, other: str, asked_ms: int | None
) -> Preference | None:
    # Here, since it costs half a second and only scoring needs it.
    from scipy.stats import binomtest

    chosen: list[tuple[Answer, Trial, str]] = [
        (answer, key.trials[answer.trial_id], sheet.person)
        for sheet in sheets
        for answer in sheet.answers
        if key.trials[answer.trial_id].kind == "pair"
        and {key.trials[answer.trial_id].left, key.trials[answer.trial_id].right} == {system, other}
        and key.trials[answer.trial_id].asked_ms == asked_ms
    ]
    if not chosen:
        return None
    preferred = sum(
        (trial.left if answer.choice == "left" else trial.right) == system
        for answer, trial, _ in chosen
    )
    test = binomtest(preferred, len(chosen), 0.5)
    interval = test.proportion_ci(CONFIDENCE, method="exact")
    return Preference(
        system=system,
        other=other,
        asked_ms=asked_ms,
        answers=len(chosen),
        preferred=preferred,
        rate=preferred / len(chosen),
        low=float(interval.low),
        high=float(interval.high),
        p_value=float(test.pvalue),
        people=len({person for _, _, person in chosen}),
        layouts=len({trial.layout for _, trial, _ in chosen}),
        median_response_ms=statistics.median(answer.response_ms for answer, _, _ in chosen),
        median_shown_ms=statistics.median(answer.shown_ms for answer, _, _ in chosen),
    )


def _notes(sheets: Sequence[AnswerSheet], key: Key, max_sentinel_errors: float) -> list[str]:
    notes = [DEPENDENCE]
    trials = sum(trial.kind != "practice" for trial in key.trials.values())
    partial = [sheet for sheet in sheets if len(sheet.answers) < trials]
    if partial:
        notes.append(
            "Not finished: "
            + ", ".join(f"{sheet.person} ({len(sheet.answers)} of {trials})" for sheet in partial)
            + "."
        )
    # Who has not finished has met fewer sentinels than the study has.
    fewest = min(
        (
            sum(key.trials[answer.trial_id].kind == "sentinel" for answer in sheet.answers)
            for sheet in sheets
        ),
        default=sum(trial.kind == "sentinel" for trial in key.trials.values()),
    )
    if luck := luck_in_words(fewest, max_sentinel_errors=max_sentinel_errors):
        notes.append(luck)
    timed = [
        (answer, key.trials[answer.trial_id].asked_ms)
        for sheet in sheets
        for answer in sheet.answers
        if key.trials[answer.trial_id].asked_ms is not None
    ]
    off = [
        answer
        for answer, asked_ms in timed
        if asked_ms is not None and abs(answer.shown_ms - asked_ms) > EXPOSURE_SLACK_MS
    ]
    if off:
        notes.append(
            f"{len(off)} of {len(timed)} exposures were off by more than {EXPOSURE_SLACK_MS:.0f} ms."
        )
    again = sum(answer.shows > 1 for answer, _ in timed)
    if again:
        notes.append(
            f"{again} of {len(timed)} timed pairs were shown more than once, after a pause or a "
            "reload."
        )
    return notes


def _answer(path: Path, place: int, row: object, key: Key) -> Answer:
    where = f"{path}: answer {place}"
    if not isinstance(row, dict) or "trial" not in row:
        raise ValueError(f"{where} is {row!r}, expected an object with a trial")
    trial = key.trials.get(str(row["trial"]))
    if trial is None or trial.kind == "practice":
        raise ValueError(
            f"{where} is to trial {row.get('trial')!r}, which is none of the {len(key.trials)} of "
            "the key; take the file that the page saved, and the key made with the page"
        )
    shown = (row.get("left"), row.get("right"))
    if shown != key.pictures[trial.trial_id]:
        raise ValueError(
            f"{where}, to trial {trial.trial_id!r}, is about pictures {shown}, expected "
            f"{key.pictures[trial.trial_id]}; take the file that the page saved"
        )
    if row.get("asked_ms") != trial.asked_ms:
        raise ValueError(
            f"{where}, to trial {trial.trial_id!r}: asked_ms is {row.get('asked_ms')!r}, expected "
            f"{trial.asked_ms!r}; take the file that the page saved"
        )
    choice = row.get("choice")
    if choice != "left" and choice != "right":
        raise ValueError(f"{where}: choice is {choice!r}, expected 'left' or 'right'")
    side: Side = "left" if choice == "left" else "right"
    numbers: dict[str, float] = {}
    for name in ("response_ms", "shown_ms", "shows"):
        value = row.get(name)
        if not _is_number(value) or not math.isfinite(value) or value < 0:
            raise ValueError(f"{where}: {name} is {value!r}, expected a number of at least 0")
        numbers[name] = float(value)
    return Answer(
        trial.trial_id, side, numbers["response_ms"], numbers["shown_ms"], int(numbers["shows"])
    )


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read_json(path: Path, expected: str, what: str, *, key: bool) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as reason:
        raise ValueError(f"{path}: no such file, expected {what}") from reason
    except IsADirectoryError as reason:
        remedy = "the file in it" if key else f"the files in it, e.g. {path}/*.json"
        raise ValueError(f"{path}: a folder, expected {what}; name {remedy}") from reason
    except OSError as reason:
        raise ValueError(
            f"{path}: cannot be read ({reason.strerror}), expected {what}; see to its name and to "
            "the right to read it"
        ) from reason
    except (UnicodeDecodeError, json.JSONDecodeError) as reason:
        raise ValueError(f"{path}: cannot be read as JSON ({reason}), expected {what}") from reason
    kind = found.get("format") if isinstance(found, dict) else type(found).__name__
    if not isinstance(found, dict) or kind != expected:
        swapped = {KEY_FORMAT, ANSWERS_FORMAT} - {expected}
        hint = ""
        if kind in swapped:
            hint = "; give the key with --key" if not key else "; answers stand before --key"
        raise ValueError(f"{path}: format is {kind!r}, expected {expected!r}, {what}{hint}")
    if found.get("version") != VERSION:
        raise ValueError(
            f"{path}: version {found.get('version')!r} of {expected!r}, this program reads "
            f"{VERSION}; score it with the program that made the study"
        )
    return found


def _seconds(ms: float | None) -> str:
    return "–" if ms is None else f"{ms / 1000:.1f} s"


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
