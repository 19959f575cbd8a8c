"""The plan of a study: balanced, seeded, with sentinels, and blind."""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scenequilt.tools.people.pictures import System
from scenequilt.tools.people.study import (
    EXPOSURES_MS,
    PHOTOGRAPH,
    SENTINEL_MS,
    SPOILT,
    Plan,
    Study,
    StudyRequest,
    draw_plan,
    make_study,
)

MakeStudy = Callable[..., Study]
SYSTEMS = ["one", "two", PHOTOGRAPH]
LAYOUTS = [f"layout {number}" for number in range(40)]


def _plan(seed: int = 0, **changes: object) -> Plan:
    return draw_plan(SYSTEMS, LAYOUTS, random.Random(seed), **changes)  # type: ignore[arg-type]


def test_unlimited_time_has_a_hundred_pairs_in_equal_shares_and_ten_sentinels() -> None:
    kinds = Counter(trial.kind for trial in _plan().trials)

    assert kinds == {"pair": 102, "sentinel": 10}, "102 is the next multiple of three"


def test_timed_is_the_published_job_of_105_pairs() -> None:
    """Chen & Koltun showed 3 pairs of systems x 7 times x 5 repetitions."""
    plan = _plan(times_ms=EXPOSURES_MS)

    cells = Counter(
        (frozenset((trial.left, trial.right)), trial.asked_ms)
        for trial in plan.trials
        if trial.kind == "pair"
    )
    assert len(cells) == 21
    assert set(cells.values()) == {5}


@pytest.mark.parametrize("seed", range(5))
def test_either_system_is_on_the_left_equally_often(seed: int) -> None:
    plan = _plan(seed, times_ms=(250, 1000), pairs=53)

    for pair in itertools.combinations(SYSTEMS, 2):
        for time_ms in (250, 1000):
            lefts = Counter(
                trial.left
                for trial in plan.trials
                if {trial.left, trial.right} == set(pair) and trial.asked_ms == time_ms
            )
            assert abs(lefts[pair[0]] - lefts[pair[1]]) <= 1


def test_a_number_of_pairs_that_does_not_divide_is_kept_and_shared_out() -> None:
    counts = Counter(
        frozenset((trial.left, trial.right)) for trial in _plan(pairs=20, sentinels=0).trials
    )

    assert sorted(counts.values()) == [6, 7, 7]


def test_a_pair_of_systems_goes_through_all_layouts_before_one_comes_again() -> None:
    counts = Counter(
        (trial.layout, frozenset((trial.left, trial.right)))
        for trial in _plan(pairs=3 * 60, sentinels=0).trials
    )

    assert set(counts.values()) == {1, 2}, "60 of each pair over 40 layouts"


@pytest.mark.parametrize(("seed", "sentinels"), [(0, 10), (1, 3), (2, 1)])
def test_one_sentinel_lies_in_each_stretch(seed: int, sentinels: int) -> None:
    plan = _plan(seed, sentinels=sentinels)

    places = [place for place, trial in enumerate(plan.trials) if trial.kind == "sentinel"]
    stretches = [place * sentinels // len(plan.trials) for place in places]
    assert stretches == list(range(sentinels))


def test_a_sentinel_shows_a_photograph_beside_a_spoilt_picture() -> None:
    sentinels = [trial for trial in _plan().trials if trial.kind == "sentinel"]

    assert {frozenset((trial.left, trial.right)) for trial in sentinels} == {
        frozenset((PHOTOGRAPH, SPOILT))
    }
    assert Counter(trial.good for trial in sentinels) == {"left": 5, "right": 5}
    assert all(
        (trial.left if trial.good == "left" else trial.right) == PHOTOGRAPH for trial in sentinels
    )


@pytest.mark.parametrize("seed", range(4))
def test_no_sentinel_gives_a_picture_of_a_pair_away(seed: int) -> None:
    plan = _plan(seed, pairs=60, sentinels=5)

    in_pairs = {
        (system, trial.layout)
        for trial in plan.trials
        if trial.kind == "pair"
        for system in (trial.left, trial.right)
    }
    known = {(PHOTOGRAPH, trial.layout) for trial in (*plan.practice, *plan.trials) if trial.good}
    assert len(known) == 8, "every one of another layout"
    assert not known & in_pairs


def test_sentinels_of_a_timed_study_are_shown_for_4_s() -> None:
    plan = _plan(times_ms=(125,))

    assert {trial.asked_ms for trial in plan.trials if trial.kind == "sentinel"} == {SENTINEL_MS}


def test_without_photographs_the_systems_are_the_good_side_in_turn() -> None:
    plan = draw_plan(["one", "two"], LAYOUTS, random.Random(0))

    good = Counter(
        trial.left if trial.good == "left" else trial.right
        for trial in plan.trials
        if trial.kind == "sentinel"
    )
    assert good == {"one": 5, "two": 5}


def test_practice_shows_no_pair_that_counts() -> None:
    plan = _plan()

    assert len(plan.practice) == 3
    assert all(SPOILT in (trial.left, trial.right) for trial in plan.practice)


def test_every_trial_has_an_id_of_its_own() -> None:
    plan = _plan()

    ids = {trial.trial_id for trial in (*plan.practice, *plan.trials)}
    assert len(ids) == len(plan.practice) + len(plan.trials)


def test_the_same_seed_gives_the_same_study(study_of: MakeStudy) -> None:
    assert study_of(seed=4) == study_of(seed=4)
    assert study_of(seed=4).plan != study_of(seed=5).plan


def test_the_plan_cannot_be_drawn_again_without_the_pictures(
    study_of: MakeStudy, systems: tuple[System, ...]
) -> None:
    renamed = (replace(systems[0], name="another"), *systems[1:])

    assert [trial.layout for trial in study_of().plan.trials] != [
        trial.layout for trial in study_of(systems=renamed).plan.trials
    ], "names and bytes of the pictures go into the seed"


def test_what_goes_on_the_page_holds_neither_names_nor_layouts(study_of: MakeStudy) -> None:
    text = str(study_of().page_plan())

    for word in ("quokka", "zebrafinch", PHOTOGRAPH, SPOILT, "harbour"):
        assert word not in text


def test_the_key_tells_system_layout_and_side_of_every_picture(
    study_of: MakeStudy, systems: tuple[System, ...]
) -> None:
    study = study_of()

    key = study.key(systems)

    assert [system["name"] for system in key["systems"]] == ["quokka", "zebrafinch", PHOTOGRAPH]
    for trial_id, left, right, asked_ms in study.page_plan()["trials"]:
        row = key["trials"][trial_id]
        assert row["pictures"] == [left, right]
        assert key["pictures"][left] == {"system": row["left"], "layout": row["layout"]}
        assert key["pictures"][right] == {"system": row["right"], "layout": row["layout"]}
        assert row["asked_ms"] == asked_ms


def test_another_picture_makes_another_plan_hash(study_of: MakeStudy) -> None:
    study = study_of()
    changed = replace(study, jpegs={name: jpeg + b"0" for name, jpeg in study.jpegs.items()})

    assert changed.plan_sha256 != study.plan_sha256
    assert study.study_id == study.plan_sha256[:12]


def test_bad_pictures_stand_on_the_bad_side_of_sentinels(
    study_of: MakeStudy, systems: tuple[System, ...]
) -> None:
    bad = study_of(systems=systems[:2], bad=systems[2], size_hw=(48, 64))
    plain = study_of(size_hw=(48, 64))

    spoilt = {
        (layout, bad.jpegs[name])
        for (system, layout), name in bad.picture_ids.items()
        if system == SPOILT
    }
    photographs = {
        (layout, plain.jpegs[name])
        for (system, layout), name in plain.picture_ids.items()
        if system == PHOTOGRAPH
    }
    assert spoilt & photographs, "the same layouts have the same bytes in both"


def test_missing_pictures_are_counted_and_named(systems: tuple[System, ...]) -> None:
    fewer = replace(systems[0], files=dict(list(systems[0].files.items())[2:]))

    with pytest.raises(
        ValueError,
        match=r"quokka: no picture of 2 of 12 layouts, e\.g\. harbour_00, harbour_01; .*--partial",
    ):
        make_study(StudyRequest((fewer, *systems[1:])))


def test_partial_goes_on_with_what_all_have(systems: tuple[System, ...]) -> None:
    fewer = replace(systems[0], files=dict(list(systems[0].files.items())[2:]))

    study = make_study(StudyRequest((fewer, *systems[1:]), pairs=6, partial=True))

    assert study.left_out == ("harbour_00", "harbour_01")
    assert not {layout for _, layout in study.picture_ids} & set(study.left_out)


def test_photographs_of_other_layouts_do_no_harm(systems: tuple[System, ...]) -> None:
    more = replace(systems[2], files=systems[2].files | {"elsewhere": Path("elsewhere.png")})

    assert make_study(StudyRequest((*systems[:2], more), pairs=6)).left_out == ()


def test_folders_without_a_common_layout_are_refused(systems: tuple[System, ...]) -> None:
    other = replace(systems[0], files={"elsewhere": Path("elsewhere.png")})

    with pytest.raises(ValueError, match=r"no layout has a picture of every system: .*elsewhere"):
        make_study(StudyRequest((other, systems[1]), partial=True))


def test_two_systems_of_the_same_pictures_are_refused(systems: tuple[System, ...]) -> None:
    copy = replace(systems[0], name="copy")

    with pytest.raises(
        ValueError, match=r"\(quokka\) and .* \(copy\) hold the same pictures.* of all 12 layouts"
    ):
        make_study(StudyRequest((systems[0], systems[1], copy)))


def test_pictures_that_two_systems_share_are_counted(systems: tuple[System, ...]) -> None:
    shared = dict(list(systems[0].files.items())[:5])
    partly = replace(systems[1], files=systems[1].files | shared)

    study = make_study(StudyRequest((systems[0], partly, systems[2]), pairs=6))

    assert study.same == {("quokka", "zebrafinch"): 5}
    assert study.layouts == 12


def test_a_sentinel_of_two_photographs_is_refused(systems: tuple[System, ...]) -> None:
    bad = replace(systems[2], name=SPOILT)

    with pytest.raises(ValueError, match=rf"\({PHOTOGRAPH}\) and .* \({SPOILT}\) hold the same"):
        make_study(StudyRequest(systems, bad=bad))


def test_a_poor_system_may_be_the_bad_side_beside_photographs(
    systems: tuple[System, ...],
) -> None:
    bad = replace(systems[0], name=SPOILT)

    assert make_study(StudyRequest(systems, bad=bad, pairs=6)).same == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pairs": 0}, "pairs: 0 given, expected at least 1"),
        ({"sentinels": -1}, "sentinels: -1 given, expected at least 0"),
        ({"times_ms": (0,)}, "times_ms: 0 given, expected at least 1"),
        ({"times_ms": (250, 250)}, "holds a time twice"),
        ({"title": "Is Quokka better?"}, "holds 'quokka', the name of a system"),
        ({"title": "quokka_vs_others"}, "holds 'quokka', the name of a system"),
    ],
)
def test_settings_that_make_no_study_are_refused(
    systems: tuple[System, ...], changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StudyRequest(systems, **changes)  # type: ignore[arg-type]


def test_one_system_is_refused(systems: tuple[System, ...]) -> None:
    with pytest.raises(ValueError, match="systems: 1 given, expected two or more"):
        StudyRequest(systems[:1])


def test_two_systems_of_one_name_are_refused(systems: tuple[System, ...]) -> None:
    with pytest.raises(ValueError, match="two systems are called 'quokka'.*NAME=DIR"):
        StudyRequest((systems[0], systems[0]))
