"""What a completer is tried on, and how it is scored."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.completion.coarse import CoarseSettings
from scenequilt.synthesis.completion.completer import Completed, NearestCompleter, fill_void
from scenequilt.tools.evaluation.completion_trial import MAX_TRIED, CompletionTrial

COARSE = CoarseSettings(
    erode=(0.1, 0.1), simplify=(0.0, 0.0), smallest=(0.0, 0.0), drop_things=0.0, drop_stuff=0.0,
    blobs=(0, 0),
)  # fmt: skip


@dataclass(frozen=True)
class Listed:
    """Layouts in a list."""

    layouts: list[Layout]

    def __len__(self) -> int:
        return len(self.layouts)

    def read(self, place: int) -> Layout:
        """Return the layout at a place."""
        return self.layouts[place]


@dataclass(frozen=True)
class SaysAlways:
    """Fills void with one class."""

    class_id: int

    def complete(self, layout: Layout) -> Completed:
        """Return the layout with its void filled."""
        guess = np.full(layout.size_hw, self.class_id, np.uint8)
        return Completed(fill_void(layout, guess), layout.label_map == VOID)


def _halves(taxonomy: Taxonomy, horizon: int = 50) -> Layout:
    """Sky above a row, road below, 100x60; the last row is void in truth."""
    label_map = np.zeros((100, 60), np.uint8)
    label_map[horizon:] = 1
    label_map[99] = VOID
    return Layout(label_map, np.zeros((100, 60), np.int32), taxonomy)


def test_only_what_was_void_and_is_known_in_truth_counts(street_taxonomy: Taxonomy) -> None:
    trial = CompletionTrial(Listed([_halves(street_taxonomy)]), street_taxonomy, COARSE)

    score = trial.score(SaysAlways(1))

    # Erosion by 10 pixels leaves 20 rows open round the horizon, half of them sky, and the 10 above
    # the row that is void in truth, which does not count itself.
    assert score.pixels == (20 + 10) * 60
    assert score.pixel_accuracy == pytest.approx(2 / 3)
    assert score.iou == {"sky": 0.0, "road": pytest.approx(2 / 3)}


def test_figures_stand_beside_those_of_the_nearest_label(street_taxonomy: Taxonomy) -> None:
    trial = CompletionTrial(Listed([_halves(street_taxonomy)]), street_taxonomy, COARSE)

    figures = trial.figures(SaysAlways(1))

    assert figures["completed_pixel_accuracy"] == pytest.approx(2 / 3)
    assert figures["completed_mean_iou"] == pytest.approx(1 / 3)
    assert figures["nearest_pixel_accuracy"] == figures["nearest_mean_iou"] == 1.0


def test_coarse_layouts_are_the_same_each_time_and_not_each_others(
    street_taxonomy: Taxonomy,
) -> None:
    layouts = Listed([_halves(street_taxonomy)] * 2)
    settings = replace(COARSE, erode=(0.0, 0.1))
    trial = CompletionTrial(layouts, street_taxonomy, settings)

    first, again, other = (trial.pair(place)[1].label_map for place in (0, 0, 1))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_of_many_layouts_some_are_tried_evenly_spread(street_taxonomy: Taxonomy) -> None:
    trial = CompletionTrial(
        Listed([_halves(street_taxonomy)] * (2 * MAX_TRIED + 1)), street_taxonomy, COARSE
    )

    places = trial.places()

    assert len(places) == MAX_TRIED
    assert (places[0], places[-1]) == (0, 2 * MAX_TRIED)
    assert len(set(np.diff(places).tolist())) <= 2


def test_a_sheet_shows_coarse_nearest_completed_and_true(street_taxonomy: Taxonomy) -> None:
    tall = _halves(street_taxonomy)
    small = Layout(tall.label_map[:50, :40], tall.instance_map[:50, :40], street_taxonomy)
    trial = CompletionTrial(Listed([tall, small]), street_taxonomy, COARSE)

    sheet = trial.sheet(SaysAlways(1))

    assert sheet.shape == (100 + 4 + 50, 4 * 60 + 3 * 4, 3)
    dense, coarse = trial.pair(0)
    np.testing.assert_array_equal(sheet[:100, :60], coarse.colored())
    nearest = NearestCompleter().complete(coarse).layout
    np.testing.assert_array_equal(sheet[:100, 64:124], nearest.colored())
    np.testing.assert_array_equal(sheet[:100, 192:252], dense.colored())


def test_a_trial_without_layouts_is_refused(street_taxonomy: Taxonomy) -> None:
    with pytest.raises(ValueError, match="no layouts to try a completer on, expected at least 1"):
        CompletionTrial(Listed([]), street_taxonomy, COARSE)
