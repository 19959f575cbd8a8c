"""The evaluation of rows in memory: known answers, and figures that nothing but pictures decide."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.tools.evaluation.evaluate import Measured, evaluate, in_order
from scenequilt.tools.evaluation.features import FeatureNetwork
from scenequilt.tools.evaluation.judges import Judges
from scenequilt.tools.evaluation.perceptual import PerceptualNetwork
from scenequilt.tools.evaluation.results import RowFigures
from scenequilt.tools.evaluation.rows import Row, View
from scenequilt.tools.evaluation.segmenter import Segmenter

RowOf = Callable[..., Row]
Evaluate = Callable[..., Measured]


@pytest.fixture
def evaluated(street_taxonomy: Taxonomy) -> Evaluate:
    """Evaluate rows of five layouts of 48x64."""

    def run(rows: Sequence[Row], judges: Judges, **more: Any) -> Measured:  # noqa: ANN401
        return evaluate(rows, 5, judges, street_taxonomy, (48, 64), **more)

    return run


@pytest.fixture
def judges(
    color_segmenter: Segmenter, alexnet: PerceptualNetwork, mean_colors: FeatureNetwork
) -> Judges:
    return Judges([color_segmenter], [alexnet], [mean_colors])


@dataclass(frozen=True, eq=False)
class ListedPhotographs:
    """Photographs of a bank that are there already."""

    names: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]

    def read(self, place: int) -> NDArray[np.uint8]:
        return self.images[place]


def changed(
    photographs: Row, row_of: RowOf, change: Callable[[View], View], name: str = "ours"
) -> Row:
    """The row of the photographs with something done to each view."""
    return row_of(name, [(change(photographs.views(place)[0]),) for place in range(5)])


def variants(photographs: Row, row_of: RowOf, told: Callable[[int], None]) -> Row:
    """One, two or three noisy copies of each photograph."""
    random = np.random.default_rng(8)

    def noisy(view: View, variant: int) -> View:
        noise = random.integers(-30, 31, view.image.shape)
        image = np.clip(view.image.astype(int) + noise, 0, 255).astype(np.uint8)
        return replace(view, image=image, name=f"{view.name}/{variant:02d}", delivered=None)

    layouts = [
        tuple(noisy(view, variant) for variant in range(1 + place % 3))
        for place in range(5)
        for view in photographs.views(place)
    ]
    return row_of("ours", layouts, told)


def test_identical_pictures_give_zero_one_and_the_ceiling(
    photographs: Row, row_of: RowOf, judges: Judges, evaluated: Evaluate
) -> None:
    ours = changed(photographs, row_of, lambda view: replace(view, image=view.image.copy()))

    row, real = evaluated([ours, photographs], judges).rows

    (fidelity,), (ceiling,) = row.fidelity, real.fidelity
    assert 0.5 < ceiling.requested.mean_iou.value < 0.99
    assert fidelity.requested == ceiling.requested
    assert fidelity.of_real == 1
    assert [entry.frechet.value for entry in row.distribution] == pytest.approx([0, 0], abs=1e-6)
    assert row.perception.lpips["alexnet"].value == pytest.approx(0, abs=1e-9)
    assert row.perception.ssim is not None
    assert row.perception.ssim.value == pytest.approx(1)
    assert row.perception.psnr_db is None
    assert row.spectrum.distance == 0
    assert row.seams.of_real == 1
    assert row.provenance.agreement == 1
    assert row.provenance.nearest_of_real == pytest.approx(1)
    assert real.provenance.nearest_of_real is None
    for figures in (row, real):
        assert all(each.nearest not in ("", each.layout) for each in figures.each)


def test_pictures_in_the_colours_of_their_classes_are_seen_as_asked(
    photographs: Row, row_of: RowOf, judges: Judges, evaluated: Evaluate, street_taxonomy: Taxonomy
) -> None:
    palette = street_taxonomy.palette
    painted = changed(
        photographs, row_of, lambda view: replace(view, image=palette[view.requested])
    )

    row, real = evaluated([painted, photographs], judges).rows

    score = row.fidelity[0].requested
    assert (score.pixel_accuracy, score.mean_accuracy, score.mean_iou.value) == (1, 1, 1)
    assert score.pixels == 5 * 48 * 64 - 64
    assert row.fidelity[0].of_real == 1 / real.fidelity[0].requested.mean_iou.value


def test_void_of_the_layout_is_not_counted(
    photographs: Row, row_of: RowOf, judges: Judges, evaluated: Evaluate
) -> None:
    def spoilt(view: View) -> View:
        image = view.image.copy()
        image[view.requested == VOID] = (0, 0, 142)
        return replace(view, image=image)

    row, real = evaluated([changed(photographs, row_of, spoilt), photographs], judges).rows

    assert row.fidelity[0].requested == real.fidelity[0].requested


def test_a_shift_of_one_colour_is_its_square_in_frechet_distance(
    photographs: Row, row_of: RowOf, mean_colors: FeatureNetwork, evaluated: Evaluate
) -> None:
    def flat(view: View, green: int = 0) -> View:
        middle = view.image.mean(axis=(0, 1)).astype(np.uint8) // 2 + np.array(
            [0, green, 0], np.uint8
        )
        return replace(view, image=np.broadcast_to(middle, view.image.shape).copy())

    real = changed(photographs, row_of, flat, "real")
    greener = changed(photographs, row_of, lambda view: flat(view, 51))

    row, _ = evaluated([greener, real], Judges((), (), [mean_colors])).rows

    (distribution,) = row.distribution
    assert distribution.frechet.value == pytest.approx(0.2**2, rel=1e-5)
    assert (distribution.samples, distribution.reference_samples) == (5, 5)
    assert (distribution.frechet_name, distribution.kernel_name) == (
        "FD-mean-colors", "KD-mean-colors",
    )  # fmt: skip


def test_photographs_are_compared_with_themselves_by_halves(
    photographs: Row, mean_colors: FeatureNetwork, evaluated: Evaluate
) -> None:
    (row,) = evaluated([photographs], Judges((), (), [mean_colors])).rows

    (distribution,) = row.distribution
    assert (distribution.samples, distribution.reference_samples) == (2, 3)
    assert distribution.frechet.value > 0


def _numbers(row: RowFigures) -> Iterator[tuple[str, float]]:
    def walk(where: str, value: object) -> Iterator[tuple[str, float]]:
        if isinstance(value, dict):
            for key, each in value.items():
                yield from walk(f"{where}.{key}", each)
        elif isinstance(value, list):
            for place, each in enumerate(value):
                yield from walk(f"{where}[{place}]", each)
        elif isinstance(value, int | float):
            yield where, value

    return walk(row.name, asdict(row))


@pytest.mark.parametrize(("batch", "workers"), [(2, 1), (3, 1), (1, 2), (1, 4), (2, 2), (5, None)])
def test_figures_depend_neither_on_batch_size_nor_on_workers(
    photographs: Row,
    row_of: RowOf,
    judges: Judges,
    evaluated: Evaluate,
    batch: int,
    workers: int | None,
) -> None:
    def late_first(place: int) -> None:
        time.sleep(0.02 * (4 - place))

    row = variants(photographs, row_of, late_first)
    alone = evaluated([row, photographs], judges, batch=1, workers=1)

    together = evaluated([row, photographs], judges, batch=batch, workers=workers)

    for one, other in zip(alone.rows, together.rows, strict=True):
        assert [each.name for each in one.each] == [each.name for each in other.each]
        assert [each.nearest for each in one.each] == [each.nearest for each in other.each]
        expected, found = dict(_numbers(one)), dict(_numbers(other))
        assert len(expected) > 100
        assert found == pytest.approx(expected, rel=5e-5, abs=1e-9)
        assert np.array_equal(together.spectra[one.name].power, alone.spectra[one.name].power)


def test_variants_are_counted_each_and_compared_in_pairs(
    photographs: Row, row_of: RowOf, judges: Judges, evaluated: Evaluate
) -> None:
    row, real = evaluated(
        [variants(photographs, row_of, lambda place: None), photographs], judges
    ).rows

    assert (row.pictures, real.pictures) == (1 + 2 + 3 + 1 + 2, 5)
    assert row.perception.variant_pairs == 0 + 1 + 3 + 0 + 1
    assert row.perception.variants_lpips["alexnet"].value > 0
    assert row.perception.pairs == 9
    assert [each.layout for each in row.each] == [
        f"scene{place}" for place in (0, 1, 1, 2, 2, 2, 3, 4, 4)
    ]
    assert real.perception.variants_lpips == {}


def test_without_photographs_there_is_no_ceiling(
    photographs: Row, row_of: RowOf, judges: Judges, evaluated: Evaluate
) -> None:
    alone = changed(photographs, row_of, lambda view: replace(view, real=None))

    (row,) = evaluated([alone], judges).rows

    assert row.fidelity[0].of_real is None
    assert row.distribution == []
    assert (row.perception.pairs, row.perception.ssim) == (0, None)
    assert row.spectrum.distance is None
    assert row.seams.of_real is None
    assert row.provenance.nearest_distance is None


def test_without_networks_the_rest_is_measured(
    photographs: Row, row_of: RowOf, evaluated: Evaluate
) -> None:
    darker = changed(
        photographs, row_of, lambda view: replace(view, image=view.image // np.uint8(2))
    )

    row, _ = evaluated([darker, photographs], Judges()).rows

    assert (row.fidelity, row.distribution, row.perception.lpips) == ([], [], {})
    assert row.perception.psnr_db is not None
    # Half the luma has a quarter of the power, but for rounding.
    assert row.spectrum.distance == pytest.approx(np.log10(4), abs=0.01)
    assert row.each[0].nearest == ""


def test_the_nearest_photograph_of_a_bank_is_found_but_not_the_own_one(
    photographs: Row, mean_colors: FeatureNetwork, evaluated: Evaluate
) -> None:
    images = [photographs.views(place)[0].image for place in range(5)]
    bank = ListedPhotographs(
        ("b", "c", "d"), (images[0], np.full((48, 64, 3), (0, 255, 0), np.uint8), images[4])
    )

    (row,) = evaluated(
        [photographs],
        Judges((), (), [mean_colors]),
        reference=bank,
        own={"scene0": ["b"], "scene4": ["elsewhere"]},
    ).rows

    assert row.provenance.nearest_distance is not None
    assert row.each[0].nearest == "d"
    assert row.each[4].nearest == "d"
    assert row.provenance.nearest_distance.low >= 0


def test_a_bank_of_nothing_but_the_own_photograph_leaves_the_nearest_out(
    photographs: Row, mean_colors: FeatureNetwork, evaluated: Evaluate
) -> None:
    bank = ListedPhotographs(("b",), (photographs.views(0)[0].image,))

    (row,) = evaluated(
        [photographs], Judges((), (), [mean_colors]), reference=bank, own={"scene0": ["b"]}
    ).rows

    assert row.provenance.nearest_distance is None
    assert {each.nearest for each in row.each} == {""}


def test_a_broken_photograph_of_the_bank_shows_before_rows_are_read(
    photographs: Row, row_of: RowOf, mean_colors: FeatureNetwork, evaluated: Evaluate
) -> None:
    class Broken(ListedPhotographs):
        def read(self, place: int) -> NDArray[np.uint8]:
            raise DatasetError("b.jpg: is not the photograph")

    read: list[int] = []
    row = row_of("real", [photographs.views(place) for place in range(5)], read.append)

    with pytest.raises(DatasetError, match=r"b\.jpg: is not the photograph"):
        evaluated([row], Judges((), (), [mean_colors]), reference=Broken(("b",), ()))

    assert read == []


def test_progress_names_the_stages_and_reaches_the_end(
    photographs: Row, judges: Judges, evaluated: Evaluate
) -> None:
    told: list[tuple[str, int, int]] = []

    def stage(name: str) -> Callable[[int, int], None]:
        return lambda done, total: told.append((name, done, total))

    bank = ListedPhotographs(("b",), (photographs.views(0)[0].image,))
    evaluated([photographs], judges, reference=bank, batch=2, progress=stage)

    assert told == [
        ("looking at the bank's photographs", 1, 1),
        ("judging layouts", 2, 5),
        ("judging layouts", 4, 5),
        ("judging layouts", 5, 5),
    ]


def test_work_comes_back_in_the_order_of_the_jobs() -> None:
    def work(job: int) -> int:
        time.sleep(0.01 * (6 - job))
        return 10 * job

    assert list(in_order(work, range(6), 4)) == [0, 10, 20, 30, 40, 50]


def test_no_more_is_begun_than_keeps_the_workers_busy() -> None:
    begun: list[int] = []

    with closing(in_order(begun.append, range(100), 3)) as found:
        next(found)
        time.sleep(0.05)

    assert len(begun) <= 7


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_an_error_in_a_worker_is_raised_and_threads_are_given_back() -> None:
    def work(job: int) -> None:
        if job == 2:
            raise DatasetError("the third is broken")

    with pytest.raises(DatasetError, match="the third is broken"):
        list(in_order(work, range(50), 2))

    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_workers_share_the_threads_and_give_them_back() -> None:
    with closing(in_order(lambda job: torch.get_num_threads(), range(20), 2)) as found:
        assert next(found) == 2

    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_threads_are_given_back_where_a_picture_cannot_be_counted(
    photographs: Row, row_of: RowOf, evaluated: Evaluate
) -> None:
    odd = changed(
        photographs, row_of, lambda view: replace(view, state=np.full((48, 64), 9, np.uint8))
    )

    with pytest.raises(ValueError, match="scene0: state map holds 9") as caught:
        evaluated([odd], Judges(), workers=2)

    # The traceback keeps every frame alive, and must not keep the threads.
    assert caught.tb is not None
    assert torch.get_num_threads() == 4
