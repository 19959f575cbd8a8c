"""The layout factory: new layouts under the statistics of a dataset, weighted to rare classes."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.elision import is_ground
from scenequilt.synthesis.layouts.edits import (
    EDIT_KINDS,
    Edit,
    EditKind,
    at_corner,
    drop,
    droppable,
    foot_places,
    insert,
    recombine,
    surroundings_agree,
)
from scenequilt.synthesis.layouts.layers import (
    Layers,
    LayoutObject,
    mirrored,
    resized,
    split_layers,
)
from scenequilt.synthesis.layouts.statistics import LayoutSource, LayoutStatistics, Sighting

_KEPT_PX = 1 << 26
"""Pixels of layouts that are kept in memory taken apart, some 300 MB with their objects."""

_USUAL_GROUND = 0.05
"""Least share of a class's feet on a ground, for its objects to be put there."""

_RAGGED_SHARE = 0.25
"""Share of a class's objects that are not copied: what is hidden by stuff shows in the outline."""

_LEAST_USE = 0.0002
"""Share of the picture below which an object of a favored class is of no use: nobody learns from
it, and a bank has hardly a segment of it."""

_BASES = 20
"""Layouts that are drawn, at most, until one can be edited."""

_TALLEST_HANGING = 3.0
"""A thin object that hangs and is more times as high as wide is the upper part of a pole."""


@dataclass(frozen=True, slots=True)
class FactorySettings:
    """How much a layout is changed.

    Attributes:
        edits: Kinds of edit that may be done.
        favor: What a class counts beyond its automatic weight, by name; 1 for the others. The
            automatic weight for being inserted is one over the root of the class's share of pixels.
            Of a class that counts more than 1, objects below 0.02 % of the picture are not
            inserted where the dataset has larger ones.
        flip_share: Share of the layouts that are flipped.
        recombine_share: Share that get other stuff.
        drops: Objects that are dropped, on average.
        inserts: Objects whose insertion is tried, on average; one at least.
        scale_limits: Least and largest change of scale of an object.
        thin_shift: Standard deviation by which poles, signs and what else hangs are moved sideways,
            in shares of the width.
        trials: Places that are tried for each object that is to be inserted.
        stuff_trials: Layouts that are tried for their stuff.
        same_ground: Least overlap (IoU) of the ground of two layouts that exchange stuff.
        most_hidden: Largest share of a layout's stuff that may be hidden by its own objects, for it
            to be used under others.

    Raises:
        ValueError: If edits is empty or unknown, or a number is out of range.
    """

    edits: tuple[EditKind, ...] = EDIT_KINDS
    favor: Mapping[str, float] | None = None
    flip_share: float = 0.5
    recombine_share: float = 0.35
    drops: float = 0.7
    inserts: float = 5.0
    scale_limits: tuple[float, float] = (0.5, 1.6)
    thin_shift: float = 0.15
    trials: int = 12
    stuff_trials: int = 6
    same_ground: float = 0.6
    most_hidden: float = 0.2

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.edits if kind not in EDIT_KINDS]
        if unknown or not self.edits:
            found = repr(unknown[0]) if unknown else "nothing"
            raise ValueError(f"edits holds {found}, expected some of {', '.join(EDIT_KINDS)}")
        for name in ("flip_share", "recombine_share", "same_ground", "most_hidden"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 0 to 1")
        for name in ("drops", "thin_shift"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0")
        if self.inserts < 1:
            raise ValueError(
                f"inserts is {self.inserts}, expected at least 1; for none leave insert out of edits"
            )
        for name, weight in (self.favor or {}).items():
            if weight < 0:
                raise ValueError(f"favor of {name!r} is {weight}, expected at least 0")
        if not 0 < self.scale_limits[0] <= 1 <= self.scale_limits[1]:
            raise ValueError(f"scale_limits is {self.scale_limits}, expected one to include 1")


@dataclass(frozen=True, eq=False)
class NewLayout:
    """A layout that was made of others.

    Attributes:
        layout: The layout; without depth.
        parents: Names of the layouts that went into it, the one it was derived from first.
        edits: What was done, in order.
        no_stuff: Why other stuff was drawn for it and none was taken; "" else.
    """

    layout: Layout
    parents: tuple[str, ...]
    edits: tuple[Edit, ...]
    no_stuff: str = ""


class LayoutFactory:
    """Makes new layouts of a dataset's own, for scenes seen along a ground plane, such as streets.

    Objects keep to what is usual in the dataset: they stand on the ground that their class stands
    on, at rows where it stands, and their scale follows the distance of their foot from the horizon.
    Poles and signs keep their height in the picture and move sideways only. Where a dataset is not
    of such scenes, LayoutStatistics.placement_doubts says so.

    Attributes:
        statistics: What is usual.
        settings: How much is changed.

    Raises:
        ValueError: If the statistics are of other layouts, or a favored class does not exist or has
            no object.
    """

    def __init__(
        self,
        statistics: LayoutStatistics,
        layouts: LayoutSource,
        settings: FactorySettings | None = None,
    ) -> None:
        if statistics.layouts != len(layouts):
            raise ValueError(
                f"statistics are of {statistics.layouts} layouts, but there are {len(layouts)}; "
                "learn them from the same layouts"
            )
        self.statistics = statistics
        self.settings = settings or FactorySettings()
        self._layouts = layouts
        self._layers = lru_cache(maxsize=max(8, _KEPT_PX // statistics.largest_px))(
            lambda place: split_layers(layouts.read(place))
        )
        self._ground = is_ground(statistics.taxonomy)
        self._ground[VOID] = False
        self._places = {layouts.name(place): place for place in range(len(layouts))}
        self._donors = self._find_donors()
        self._donor_sizes = {
            class_id: np.cumsum([np.sqrt(item.height * item.width) for item in donors])
            for class_id, donors in self._donors.items()
        }
        self._weights = self._insert_weights()
        # Where favored objects are large enough, none of them is made too small on its new place.
        self._least_areas = {
            class_id: _LEAST_USE
            for class_id, donors in self._donors.items()
            if (self.settings.favor or {}).get(statistics.classes[class_id].name, 1.0) > 1
            and donors[0].area >= _LEAST_USE
        }

    def make(self, place: int, seed: int) -> NewLayout:
        """Make a layout.

        Args:
            place: Which of the layouts of this seed, from 0; those of one round through the dataset
                are derived from different layouts, unless one cannot be edited: another is
                drawn in its stead.
            seed: Same place, same seed, same layout.

        Raises:
            DatasetError: If none of the edits that are allowed can be done to any of 20 layouts that
                were drawn.
        """
        first = int(
            np.random.default_rng(seed).permutation(len(self._layouts))[place % len(self._layouts)]
        )
        made = self._edited(first, np.random.default_rng([seed, place]))
        if made is not None:
            return made
        # Of few layouts each is drawn again: chance may have been against it.
        others = np.random.default_rng([seed, place, 0]).permutation(len(self._layouts))
        for trial in range(1, _BASES):
            base = int(others[trial % len(others)])
            made = self._edited(base, np.random.default_rng([seed, place, trial]))
            if made is not None:
                return made
        raise DatasetError(
            f"layout {self._layouts.name(first)!r}: none of the edits "
            f"{', '.join(self.settings.edits)} can be done to it, nor to those that were drawn in "
            f"its stead, {_BASES} draws in all; allow flip, or give more layouts to take objects and "
            "stuff from"
        )

    def pixels(self, parent: str) -> NDArray[np.int64]:
        """Return (256,) int64: pixels of each class id of a layout of the dataset, by its name."""
        return np.asarray(self.statistics.pixels[self._places[parent]], np.int64)

    def _edited(self, base: int, rng: np.random.Generator) -> NewLayout | None:
        layers, parents, edits = self._layers(base), [self._layouts.name(base)], list[Edit]()
        kinds, flipped, no_stuff = self.settings.edits, False, ""
        if "flip" in kinds and (rng.random() < self.settings.flip_share or kinds == ("flip",)):
            layers = layers.mirrored()
            edits.append(Edit("flip"))
            flipped = True
        if "recombine" in kinds and rng.random() < self.settings.recombine_share:
            other = self._recombined(layers, base, flipped, rng)
            if isinstance(other, str):
                no_stuff = other
            else:
                layers, stuff_parent = other
                parents.append(stuff_parent)
                edits.append(Edit("recombine", parent=stuff_parent))
        if "drop" in kinds:
            for _ in range(rng.poisson(self.settings.drops)):
                layers, edit = self._dropped(layers, rng)
                edits += [edit] if edit is not None else []
        if "insert" in kinds and self._weights:
            for _ in range(1 + rng.poisson(self.settings.inserts - 1)):
                layers, edit = self._inserted(layers, rng)
                if edit is not None:
                    parents.append(edit.parent)
                    edits.append(edit)
        if not edits and "flip" in kinds:
            layers, edits = layers.mirrored(), [Edit("flip")]
        if not edits:
            return None
        return NewLayout(layers.flatten(), tuple(dict.fromkeys(parents)), tuple(edits), no_stuff)

    def _find_donors(self) -> dict[int, list[Sighting]]:
        donors: dict[int, list[Sighting]] = {}
        for item in self.statistics.sightings:
            if not item.whole:
                continue
            share = self.statistics.classes[item.class_id].grounds.get(item.ground_id)
            if share is not None and share < _USUAL_GROUND:
                continue
            on_ground = bool(self._ground[item.ground_id])
            if self.statistics.classes[item.class_id].standing and not (
                on_ground and self.statistics.is_usual(item.class_id, item.foot_row, item.height)
            ):
                continue
            if item.thin and not on_ground and item.height > _TALLEST_HANGING * item.width:
                continue
            donors.setdefault(item.class_id, []).append(item)
        favored = {name for name, weight in (self.settings.favor or {}).items() if weight > 1}
        return {
            class_id: _useful(_solid(items))
            if self.statistics.classes[class_id].name in favored
            else _solid(items)
            for class_id, items in donors.items()
        }

    def _insert_weights(self) -> dict[int, float]:
        classes = self.statistics.classes
        favor = dict(self.settings.favor or {})
        for name in favor:
            class_id = self.statistics.taxonomy.class_id(name)
            if class_id not in self._donors:
                there = ", ".join(classes[other].name for other in sorted(self._donors)) or "none"
                raise ValueError(
                    f"class {name!r} cannot be favored: no layout shows an object of it that could "
                    f"be copied; there are objects of: {there}"
                )
        weights = {
            class_id: favor.get(classes[class_id].name, 1.0)
            / float(np.sqrt(classes[class_id].pixel_share))
            for class_id in sorted(self._donors)
        }
        return {class_id: weight for class_id, weight in weights.items() if weight > 0}

    def _drawn(self, class_id: int, rng: np.random.Generator) -> Sighting:
        """Draw an object of a class, a larger one rather than a smaller: its outline says more."""
        cumulated = self._donor_sizes[class_id]
        place = np.searchsorted(cumulated, rng.random() * cumulated[-1], side="right")
        return self._donors[class_id][int(place)]

    def _dropped(self, layers: Layers, rng: np.random.Generator) -> tuple[Layers, Edit | None]:
        """Take out an object, of a common class rather than of a rare one."""
        classes, favor = self.statistics.classes, self.settings.favor or {}
        of_class: dict[int, list[int]] = {}
        for place in droppable(layers):
            of_class.setdefault(layers.objects[place].class_id, []).append(place)
        weights = np.array(
            [
                classes[class_id].pixel_share / max(favor.get(classes[class_id].name, 1.0), 1e-6)
                for class_id in of_class
            ]
        )
        if not of_class:
            return layers, None
        class_id = list(of_class)[int(rng.choice(len(of_class), p=weights / weights.sum()))]
        place = int(rng.choice(of_class[class_id]))
        edit = Edit("drop", classes[class_id].name, box=layers.objects[place].box)
        return drop(layers, place), edit

    def _inserted(self, layers: Layers, rng: np.random.Generator) -> tuple[Layers, Edit | None]:
        class_ids = list(self._weights)
        weights = np.array([self._weights[class_id] for class_id in class_ids])
        class_id = class_ids[int(rng.choice(len(class_ids), p=weights / weights.sum()))]
        horizon_row = self.statistics.horizon * layers.size_hw[0]
        for _ in range(self.settings.trials):
            donor = self._drawn(class_id, rng)
            placed = (
                self._standing(layers, donor, rng)
                if self.statistics.classes[class_id].standing
                else self._hanging(layers, donor, rng)
            )
            if placed is None or not self._is_large_enough(placed, layers):
                continue
            together = insert(layers, placed, horizon_row)
            if together is not None:
                name, parent = (
                    self.statistics.classes[class_id].name,
                    self._layouts.name(donor.place),
                )
                return together, Edit("insert", name, parent, placed.box)
        return layers, None

    def _is_large_enough(self, item: LayoutObject, layers: Layers) -> bool:
        share = np.count_nonzero(item.mask) / layers.background.size
        return bool(share >= self._least_areas.get(item.class_id, 0.0))

    def _standing(
        self, layers: Layers, donor: Sighting, rng: np.random.Generator
    ) -> LayoutObject | None:
        """Put an object on the ground where one of its class stood, at the scale of that place."""
        height, width = layers.size_hw
        spots = self._donors[donor.class_id]
        spot = spots[int(rng.integers(len(spots)))]
        horizon = self.statistics.horizon
        scale = (spot.foot_row - horizon) / (donor.foot_row - horizon)
        if not self.settings.scale_limits[0] <= scale <= self.settings.scale_limits[1]:
            return None
        if not self.statistics.is_usual(donor.class_id, spot.foot_row, donor.height * scale):
            return None
        source = self._layers(donor.place)
        item = source.objects[donor.object_place]
        item = resized(item, scale * height / source.size_hw[0])
        item = self._maybe_mirrored(item, rng)
        foot_row = round(spot.foot_row * height)
        if foot_row > height or foot_row < item.labels.shape[0] or width < item.labels.shape[1]:
            return None
        grounds = [
            ground_id
            for ground_id, share in self.statistics.classes[donor.class_id].grounds.items()
            if share >= _USUAL_GROUND
        ]
        lefts = foot_places(layers.background, item, foot_row, grounds, spot.ground_id)
        if not lefts.size:
            return None
        return at_corner(item, foot_row - item.labels.shape[0], int(rng.choice(lefts)))

    def _hanging(
        self, layers: Layers, donor: Sighting, rng: np.random.Generator
    ) -> LayoutObject | None:
        """Move a pole, a sign or what else has its own height in the picture sideways."""
        width = layers.size_hw[1]
        source = self._layers(donor.place)
        if rng.random() < 0.5:
            source = source.mirrored()
        item = source.objects[donor.object_place]
        if source.size_hw != layers.size_hw:
            return None
        shift = round(rng.normal(0, self.settings.thin_shift) * width)
        if not -item.box[1] < shift < width - item.box[3]:
            return None
        placed = at_corner(item, item.box[0], item.box[1] + shift)
        if self._ground[donor.ground_id]:
            lefts = foot_places(
                layers.background, placed, placed.foot_row, [donor.ground_id], donor.ground_id
            )
            return placed if placed.box[1] in lefts else None
        return placed if surroundings_agree(source, item, layers, placed) else None

    def _maybe_mirrored(self, item: LayoutObject, rng: np.random.Generator) -> LayoutObject:
        has_text = any(
            self.statistics.taxonomy.classes[label].text
            for label in np.unique(item.labels[item.mask]).tolist()
        )
        return mirrored(item) if not has_text and rng.random() < 0.5 else item

    def _recombined(
        self, layers: Layers, base: int, flipped: bool, rng: np.random.Generator
    ) -> tuple[Layers, str] | str:
        """Return the layers on other stuff and its layout's name, or why there is none."""
        grounds = self._ground[self.statistics.stuff_grids]
        mine = grounds[base][:, ::-1] if flipped else grounds[base]
        # Every layout may lend its stuff as it is or flipped.
        turned = np.stack([grounds, grounds[:, :, ::-1]], axis=1)
        either = np.maximum((turned | mine).sum(axis=(2, 3)), 1)
        overlap = (turned & mine).sum(axis=(2, 3)) / either
        overlap[base] = 0
        partners = np.argwhere(overlap >= self.settings.same_ground)
        if not len(partners):
            return (
                "no other layout has its ground at the same place (overlap of "
                f"{self.settings.same_ground:g} or more)"
            )
        why = "other sizes, or stuff of which objects hide too much"
        for partner, turn in rng.permutation(partners)[: self.settings.stuff_trials].tolist():
            stuff = self._layers(partner)
            hidden = np.count_nonzero(stuff.owners() >= 0) / stuff.background.size
            if hidden > self.settings.most_hidden or stuff.size_hw != layers.size_hw:
                continue
            stuff = stuff.mirrored() if turn else stuff
            together = recombine(layers, stuff)
            if 2 * len(together.objects) >= len(layers.objects):
                return together, self._layouts.name(partner)
            why = "most objects would have no place on the stuff that was tried"
        return why


def _solid(donors: Sequence[Sighting]) -> list[Sighting]:
    """Return those that are not among the quarter with the raggedest outline, poles and signs all."""
    least = float(np.quantile([item.solidity for item in donors], _RAGGED_SHARE))
    return [item for item in donors if item.thin or item.solidity >= least]


def _useful(donors: Sequence[Sighting]) -> list[Sighting]:
    """Return those that are large enough in the picture to be of use, or all if none is."""
    return [item for item in donors if item.area >= _LEAST_USE] or list(donors)


def edit_kinds(kinds: Collection[str]) -> tuple[EditKind, ...]:
    """Return kinds of edits by their names, in the order in which they are done.

    Raises:
        ValueError: If one is unknown; the message lists those there are.
    """
    unknown = sorted(set(kinds) - set(EDIT_KINDS))
    if unknown:
        raise ValueError(f"no edit {unknown[0]!r}; there are {', '.join(EDIT_KINDS)}")
    return tuple(kind for kind in EDIT_KINDS if kind in kinds)
