"""A study: which pairs of pictures people compare, in which order, side and for how long.

The protocol is that of Chen & Koltun 2017, "Photographic Image Synthesis with Cascaded Refinement
Networks", section 5, which Qi et al. 2018, "Semi-parametric Image Synthesis", took over: two
pictures of one layout side by side, sides and order drawn at random, sentinel pairs among them that
find careless answers, and either unlimited time or exposures of 1/8 to 8 seconds.
"""

import hashlib
import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scenequilt.tools.people.pictures import (
    System,
    common_size,
    encode_jpeg,
    mask_picture,
    picture_size,
    read_at_size,
    spoil,
)

EXPOSURES_MS = (125, 250, 500, 1000, 2000, 4000, 8000)
"""How long a pair is shown in a timed study, in the published protocol."""

SENTINEL_MS = 4000
"""How long sentinels are shown in a timed study: long enough that nobody who looks is wrong."""

PAIRS = 100
"""Pairs of a study, sentinels aside, if not asked for otherwise; rounded up so that each pair of
systems is shown equally often at each time."""

SENTINELS = 10
PRACTICE = 3
WIDEST_PX = 560
LARGE_PAGE_BYTES = 60_000_000

PHOTOGRAPH = "photograph"
"""Name of the photographs as a system."""

SPOILT = "sentinel"
"""What the key calls the bad side of a sentinel."""

KEY_FORMAT = "scenequilt study key"
QUESTION = "Which picture is more realistic?"

Kind = Literal["pair", "sentinel", "practice"]
Side = Literal["left", "right"]


def tells(text: str, name: str) -> bool:
    """Return True if a text holds the name of a system as a word; "_" parts words."""
    return bool(re.search(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", text, re.IGNORECASE))


@dataclass(frozen=True, slots=True)
class Trial:
    """Two pictures of one layout that a person chooses between.

    Attributes:
        trial_id: Anonymous.
        kind: A pair that counts, a sentinel, or practice.
        layout: What both pictures show.
        left: System of the picture on the left; SPOILT on the bad side of a sentinel.
        right: The same on the right.
        asked_ms: How long it is shown, in ms; None for as long as it takes.
    """

    trial_id: str
    kind: Kind
    layout: str
    left: str
    right: str
    asked_ms: int | None

    @property
    def good(self) -> Side | None:
        """Which side is the right answer; None where none is."""
        if SPOILT not in (self.left, self.right):
            return None
        return "left" if self.right == SPOILT else "right"


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a person is shown, in its order.

    Attributes:
        practice: Trials before those that are kept.
        trials: Pairs with sentinels among them.
    """

    practice: tuple[Trial, ...]
    trials: tuple[Trial, ...]

    def pictures(self) -> list[tuple[str, str]]:
        """Return (system, layout) of every picture that is shown, sorted."""
        return sorted(
            {
                (system, trial.layout)
                for trial in (*self.practice, *self.trials)
                for system in (trial.left, trial.right)
            }
        )


@dataclass(frozen=True, slots=True)
class StudyRequest:
    """What a study is to be made of.

    Attributes:
        systems: Two or more, all with pictures of the layouts; photographs among them if wanted.
        bad: Pictures for the bad side of sentinels; None spoils the good side.
        pairs: How many, sentinels aside; None takes PAIRS, rounded up to equal shares.
        sentinels: How many.
        times_ms: Exposures of a timed study in ms; () for unlimited time.
        seed: Same seed and pictures, same bytes.
        size_hw: (height, width) of all pictures; None takes the smallest, at most WIDEST_PX wide.
        title: Head of the page.
        partial: Go on with the layouts that all systems have.
    """

    systems: tuple[System, ...]
    bad: System | None = None
    pairs: int | None = None
    sentinels: int = SENTINELS
    times_ms: tuple[int, ...] = ()
    seed: int = 0
    size_hw: tuple[int, int] | None = None
    title: str = QUESTION
    partial: bool = False

    def __post_init__(self) -> None:
        names = [system.name for system in self.systems]
        if len(names) < 2:
            raise ValueError(f"systems: {len(names)} given, expected two or more to compare")
        for name in names:
            if names.count(name) > 1 or name == SPOILT:
                raise ValueError(
                    f"two systems are called {name!r}, expected names that differ from each other "
                    f"and from {SPOILT!r}; name them with NAME=DIR"
                )
            if tells(self.title, name):
                raise ValueError(
                    f"title {self.title!r} holds {name!r}, the name of a system, expected nothing "
                    "that tells what is compared; give another --title"
                )
        for what, number, least in (
            ("pairs", self.pairs, 1),
            ("sentinels", self.sentinels, 0),
            *(("times_ms", time_ms, 1) for time_ms in self.times_ms),
        ):
            if number is not None and number < least:
                raise ValueError(f"{what}: {number} given, expected at least {least}")
        if len(set(self.times_ms)) < len(self.times_ms):
            raise ValueError(f"times_ms: {self.times_ms} holds a time twice; give each once")


@dataclass(frozen=True, slots=True)
class Study:
    """A study that is ready to be written as a page.

    Attributes:
        plan: What is shown.
        title: Head of the page.
        size_hw: (height, width) that pictures are shown at, in pixels.
        picture_ids: Anonymous id of each (system, layout).
        jpegs: By anonymous id.
        mask: The mask picture as JPEG.
        layouts: How many every system has; fewer are shown where pairs are fewer.
        left_out: Layouts that not every system has.
        same: Of how many layouts two systems have the same picture, byte by byte, where of some.
        seed: It was drawn with.
    """

    plan: Plan
    title: str
    size_hw: tuple[int, int]
    picture_ids: dict[tuple[str, str], str]
    jpegs: dict[str, bytes]
    mask: bytes
    layouts: int
    left_out: tuple[str, ...]
    same: dict[tuple[str, str], int]
    seed: int

    def sides(self, trial: Trial) -> tuple[str, str]:
        """Return the anonymous ids of the pictures on the left and on the right."""
        return (
            self.picture_ids[trial.left, trial.layout],
            self.picture_ids[trial.right, trial.layout],
        )

    def page_plan(self) -> dict[str, Any]:
        """Return what the page shows, by anonymous ids only."""

        def rows(trials: Sequence[Trial]) -> list[list[str | int | None]]:
            return [[trial.trial_id, *self.sides(trial), trial.asked_ms] for trial in trials]

        return {
            "size": list(self.size_hw),
            "practice": rows(self.plan.practice),
            "trials": rows(self.plan.trials),
        }

    @property
    def plan_sha256(self) -> str:
        """Hash of everything that is shown: the plan by anonymous ids, and every picture."""
        shown = {
            "plan": self.page_plan(),
            "pictures": {
                picture_id: hashlib.sha256(jpeg).hexdigest()
                for picture_id, jpeg in sorted(self.jpegs.items())
            },
            "mask": hashlib.sha256(self.mask).hexdigest(),
        }
        return hashlib.sha256(json.dumps(shown, sort_keys=True).encode("ascii")).hexdigest()

    @property
    def study_id(self) -> str:
        """Name of the study in files of answers."""
        return self.plan_sha256[:12]

    def key(self, systems: Sequence[System]) -> dict[str, Any]:
        """Return what tells which picture is of which system; it never goes to people."""
        return {
            "format": KEY_FORMAT,
            "version": 1,
            "study": self.study_id,
            "plan_sha256": self.plan_sha256,
            "title": self.title,
            "seed": self.seed,
            "size_hw": list(self.size_hw),
            "systems": [{"name": system.name, "folder": str(system.folder)} for system in systems],
            "pictures": {
                picture_id: {"system": system, "layout": layout}
                for (system, layout), picture_id in sorted(self.picture_ids.items())
            },
            "trials": {
                trial.trial_id: {
                    **{name: value for name, value in asdict(trial).items() if name != "trial_id"},
                    "pictures": list(self.sides(trial)),
                }
                for trial in (*self.plan.practice, *self.plan.trials)
            },
        }


def make_study(request: StudyRequest) -> Study:
    """Draw a plan and make the pictures it shows.

    All random choices follow from the seed and from names and bytes of the pictures together, so
    whoever has the page and knows the program and the seed still cannot draw the plan again.

    Raises:
        ValueError: If systems have other layouts than each other, or pictures other shapes, or if
            two systems are the same pictures.
        DatasetError: If a picture cannot be read.
    """
    layouts, left_out = _shared_layouts(request)
    sources = {system.name: system.files for system in request.systems}
    hashes = {
        (system.name, layout): hashlib.sha256(system.files[layout].read_bytes()).digest()
        for system in _needed(request)
        for layout in layouts
    }
    same = _count_same(request, layouts, hashes)
    digest = hashlib.sha256(str(request.seed).encode("ascii"))
    for name in sources:
        for layout in layouts:
            digest.update(f"\n{name}\n{layout}\n".encode())
            digest.update(hashes[name, layout])
    draw = random.Random(digest.hexdigest())

    size_hw = request.size_hw or common_size(
        {files[layout]: picture_size(files[layout]) for files in sources.values() for layout in layouts},
        WIDEST_PX,
    )  # fmt: skip
    plan = draw_plan(
        [system.name for system in request.systems],
        layouts,
        draw,
        pairs=request.pairs,
        sentinels=request.sentinels,
        times_ms=request.times_ms,
    )
    images: dict[tuple[str, str], NDArray[np.uint8]] = {}
    for trial in (*plan.practice, *plan.trials):
        for system in (trial.left, trial.right):
            if system != SPOILT and (system, trial.layout) not in images:
                images[system, trial.layout] = read_at_size(sources[system][trial.layout], size_hw)
    mask = mask_picture([images[place] for place in sorted(images)], draw)
    for trial in (*plan.practice, *plan.trials):
        if trial.good is None or (SPOILT, trial.layout) in images:
            continue
        good = trial.left if trial.good == "left" else trial.right
        images[SPOILT, trial.layout] = (
            spoil(images[good, trial.layout], draw)
            if request.bad is None
            else read_at_size(request.bad.files[trial.layout], size_hw)
        )
    ids = _fresh_ids(len(images), draw)
    picture_ids = dict(zip(sorted(images), ids, strict=True))
    return Study(
        plan=plan,
        title=request.title,
        size_hw=size_hw,
        picture_ids=picture_ids,
        jpegs={picture_ids[place]: encode_jpeg(image) for place, image in images.items()},
        mask=encode_jpeg(mask),
        layouts=len(layouts),
        left_out=left_out,
        same=same,
        seed=request.seed,
    )


def draw_plan(
    systems: Sequence[str],
    layouts: Sequence[str],
    draw: random.Random,
    *,
    pairs: int | None = None,
    sentinels: int = SENTINELS,
    times_ms: Sequence[int] = (),
) -> Plan:
    """Draw which pairs are shown, where, when and for how long.

    Every pair of systems is shown equally often at every time, or once more or less, and with
    either system on the left equally often, or once more or less; a pair of systems goes through
    all layouts before one comes again. One sentinel lies in each of as many equal stretches of the
    study as there are sentinels. Practice is by sentinels of its own, so that it shows no pair that
    counts.

    Args:
        systems: Names; photographs, if among them, are the good side of every sentinel, else the
            systems are in turn.
        layouts: Names.
        draw: Source of the random choices.
        pairs: How many, sentinels aside; None takes PAIRS, rounded up to equal shares.
        sentinels: How many.
        times_ms: Exposures in ms; () for unlimited time.
    """
    times: list[int | None] = list(times_ms) or [None]
    cells = [(pair, time_ms) for pair in itertools.combinations(systems, 2) for time_ms in times]
    total = pairs if pairs is not None else -(-PAIRS // len(cells)) * len(cells)
    extra = set(draw.sample(range(len(cells)), total % len(cells)))
    counts = [total // len(cells) + (place in extra) for place in range(len(cells))]

    drawn: list[tuple[Kind, str, str, str, int | None]] = []
    decks = {pair: _Deck(layouts, draw) for pair, _ in cells}
    flips = {pair: draw.random() < 0.5 for pair in decks}
    for (pair, time_ms), count in zip(cells, counts, strict=True):
        for _ in range(count):
            first, second = pair if flips[pair] else pair[::-1]
            flips[pair] = not flips[pair]
            drawn.append(("pair", decks[pair].deal(), first, second, time_ms))
    draw.shuffle(drawn)

    shown = Counter((system, layout) for _, layout, *sides, _ in drawn for system in sides)
    taken, ties = Counter[str](), {layout: draw.random() for layout in layouts}

    def spare_layout(good: str) -> str:
        # The good side of a sentinel is known at once: where its picture stood in a pair as well,
        # it would unblind that pair, so layouts come first whose picture of it no pair shows.
        layout = min(layouts, key=lambda name: (taken[name], shown[good, name], ties[name]))
        taken[layout] += 1
        return layout

    good_sides = itertools.cycle([PHOTOGRAPH] if PHOTOGRAPH in systems else systems)
    lefts = [place % 2 == 0 for place in range(sentinels)]
    draw.shuffle(lefts)
    length = total + sentinels
    for place, good_left in enumerate(lefts):
        stretch = range(place * length // sentinels, (place + 1) * length // sentinels)
        good = next(good_sides)
        sides = (good, SPOILT) if good_left else (SPOILT, good)
        time = SENTINEL_MS if times_ms else None
        drawn.insert(draw.choice(stretch), ("sentinel", spare_layout(good), *sides, time))

    practice_times: list[int | None] = [None] * PRACTICE
    if times_ms:
        ordered = sorted(times_ms)
        practice_times = [ordered[-1], ordered[len(ordered) // 2], ordered[0]]
    practice: list[tuple[Kind, str, str, str, int | None]] = []
    for time in practice_times:
        good = next(good_sides)
        sides = (good, SPOILT) if draw.random() < 0.5 else (SPOILT, good)
        practice.append(("practice", spare_layout(good), *sides, time))

    ids = _fresh_ids(len(practice) + len(drawn), draw)
    made = [Trial(trial_id, *row) for trial_id, row in zip(ids, practice + drawn, strict=True)]
    return Plan(tuple(made[: len(practice)]), tuple(made[len(practice) :]))


class _Deck:
    """Deals all layouts in random order, then all again."""

    def __init__(self, layouts: Sequence[str], draw: random.Random) -> None:
        self._layouts = list(layouts)
        self._draw = draw
        self._left: list[str] = []

    def deal(self) -> str:
        if not self._left:
            self._left = self._draw.sample(self._layouts, len(self._layouts))
        return self._left.pop()


def _shared_layouts(request: StudyRequest) -> tuple[list[str], tuple[str, ...]]:
    compared = [system for system in request.systems if system.name != PHOTOGRAPH]
    every = sorted({layout for system in compared for layout in system.files})
    # Photographs and bad pictures may be of many more layouts than the systems were asked for.
    needed = _needed(request)
    missing = [
        (system, [layout for layout in every if layout not in system.files]) for system in needed
    ]
    shared = [layout for layout in every if all(layout in system.files for system in needed)]
    if not shared:
        raise ValueError(
            "no layout has a picture of every system: "
            + "; ".join(_examples(system) for system in needed)
            + "; expected pictures named alike, apart from the suffix"
        )
    for system, layouts in missing:
        if layouts and not request.partial:
            raise ValueError(
                f"{system.folder}: no picture of {len(layouts)} of {len(every)} layouts, e.g. "
                f"{', '.join(layouts[:3])}; add them, or go on with the {len(shared)} that all "
                "have with --partial"
            )
    return shared, tuple(layout for layout in every if layout not in set(shared))


def _needed(request: StudyRequest) -> list[System]:
    """Return the systems, and the bad pictures where they are given."""
    return [*request.systems, *([request.bad] if request.bad is not None else [])]


def _count_same(
    request: StudyRequest, layouts: Sequence[str], hashes: dict[tuple[str, str], bytes]
) -> dict[tuple[str, str], int]:
    """Count layouts of which two systems have the same picture; refuse where they have no other.

    Bad pictures are held against what stands beside them only: a poor system that is compared may
    be the bad side of sentinels as well.
    """
    compared = list(itertools.combinations(request.systems, 2))
    if request.bad is not None:
        photographs = [system for system in request.systems if system.name == PHOTOGRAPH]
        compared += [(good, request.bad) for good in photographs or request.systems]
    same: dict[tuple[str, str], int] = {}
    for one, other in compared:
        count = sum(hashes[one.name, layout] == hashes[other.name, layout] for layout in layouts)
        if count == len(layouts):
            raise ValueError(
                f"{one.folder} ({one.name}) and {other.folder} ({other.name}) hold the same "
                f"pictures, byte by byte, of all {count} layouts, expected different ones; one is "
                "a copy of the other, or the same folder: name another"
            )
        if count:
            same[one.name, other.name] = count
    return same


def _examples(system: System) -> str:
    names = sorted(system.files)
    return f"{system.folder} has {', '.join(names[:2])}{', ...' if len(names) > 2 else ''}"


def _fresh_ids(count: int, draw: random.Random) -> list[str]:
    ids: dict[str, None] = {}
    while len(ids) < count:
        ids[f"{draw.getrandbits(40):010x}"] = None
    return list(ids)
