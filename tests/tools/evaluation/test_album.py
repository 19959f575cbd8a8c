"""Albums: the nearest layout found as by comparing all, and segments drawn evenly."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.memory_bank.bank import MemoryBank
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.tools.evaluation.album import Album, BankAlbum, LayoutSearch, SetAlbum
from scenequilt.tools.evaluation.picture_set import PictureSet, open_picture_set


class Maps:
    """An album of label maps and nothing else; counts how often one is read."""

    title = "maps"

    def __init__(self, maps: list[NDArray[np.uint8]]) -> None:
        self.names = [str(place) for place in range(len(maps))]
        self.frame_hw = (maps[0].shape[0], maps[0].shape[1])
        self.reads = 0
        self._maps = maps

    def own(self, layout: int) -> list[int]:
        return []

    def label_map(self, photograph: int) -> NDArray[np.uint8]:
        self.reads += 1
        return self._maps[photograph]

    def check(self, photograph: int) -> None: ...

    def image(self, photograph: int) -> NDArray[np.uint8]:
        raise AssertionError("a search looks at label maps only")

    def draw(self, class_id: int, layout: int, random: np.random.Generator) -> None:
        return None


def _blobs(seed: int, count: int) -> list[NDArray[np.uint8]]:
    """Return label maps of 30x50 in blocks, of 5 classes and void."""
    random = np.random.default_rng(seed)
    values = np.array([0, 1, 2, 3, 4, VOID], np.uint8)
    small = values[random.integers(0, 6, (count, 3, 5))]
    return list(small.repeat(10, axis=1).repeat(10, axis=2))


def test_the_nearest_layout_is_that_of_comparing_all() -> None:
    maps, wanted = _blobs(1, 60), _blobs(2, 12)
    search = LayoutSearch(Maps(maps), 5)

    for requested in wanted:
        agree = [int(((each == requested) & (requested != VOID)).sum()) for each in maps]
        assert search.nearest(requested, own=[]) == int(np.argmax(agree)), "the first of the best"


def test_most_photographs_are_ruled_out_without_being_read() -> None:
    album = Maps(_blobs(1, 60))
    search = LayoutSearch(album, 5)
    album.reads = 0

    search.nearest(_blobs(1, 60)[17], own=[])

    assert album.reads <= 3


def test_void_of_the_layout_is_not_compared() -> None:
    requested = np.full((4, 8), VOID, np.uint8)
    requested[0, 0] = 1
    all_void, one_right = requested.copy(), np.zeros((4, 8), np.uint8)
    all_void[0, 0], one_right[0, 0] = 0, 1

    assert LayoutSearch(Maps([all_void, one_right]), 2).nearest(requested, own=[]) == 1


def test_the_own_photograph_is_never_the_nearest() -> None:
    maps = _blobs(1, 6)
    search = LayoutSearch(Maps(maps), 5)

    assert search.nearest(maps[3], own=[3]) != 3
    assert search.nearest(maps[3], own=range(6)) is None


@pytest.fixture
def judged(street: Path) -> PictureSet:
    return open_picture_set(street / "made", real=street)


@pytest.fixture
def bank(street_bank: Path) -> Iterator[MemoryBank]:
    with MemoryBank.open(street_bank) as opened:
        yield opened


@pytest.fixture(params=["bank", "set"])
def album(request: pytest.FixtureRequest, judged: PictureSet, bank: MemoryBank) -> Album:
    """Albums of the same four photographs: of a bank of them, and of the set itself."""
    make: dict[str, Callable[[], Album]] = {
        "bank": lambda: BankAlbum(judged, bank, None),
        "set": lambda: SetAlbum(judged),
    }
    return make[request.param]()


def test_an_album_shows_its_photographs(album: Album, street: Path, judged: PictureSet) -> None:
    with Image.open(street / "images" / "dusk.png") as picture:
        assert np.array_equal(album.image(1), np.array(picture))
    assert list(album.names) == ["dawn", "dusk", "night", "noon"]
    assert np.array_equal(album.label_map(3), judged.requested(3))
    album.check(1)


def test_a_segment_is_the_photograph_within_its_mask(album: Album) -> None:
    cut = album.draw(0, 3, np.random.default_rng(0))

    assert cut is not None
    image = album.image(list(album.names).index(cut.source_id))
    height, width = cut.mask.shape
    assert cut.mask.all(), "sky is a rectangle at the top"
    assert np.array_equal(cut.color, image[:height, :width])


def test_every_segment_of_other_photographs_has_the_same_chance(album: Album) -> None:
    random = np.random.default_rng(4)

    cuts = [album.draw(1, 0, random) for _ in range(600)]

    drawn = Counter(cut.source_id for cut in cuts if cut is not None)
    assert set(drawn) == {"dusk", "night", "noon"}, "dawn is the layout's own"
    assert min(drawn.values()) > 150, "200 each, give or take 4 standard deviations"


def test_a_class_of_the_own_photograph_alone_has_no_segment(album: Album) -> None:
    random = np.random.default_rng(0)

    assert album.draw(2, 3, random) is None, "the one car is noon's own"
    assert album.draw(2, 0, random) is not None


def test_a_class_that_no_photograph_shows_has_no_segment(album: Album) -> None:
    assert album.draw(17, 0, np.random.default_rng(0)) is None


def test_a_copy_of_the_own_photograph_is_own_too(street: Path) -> None:
    (street / "images" / "night.png").write_bytes((street / "images" / "dawn.png").read_bytes())
    judged = open_picture_set(street / "made", real=street)

    assert list(SetAlbum(judged).own(0)) == [0, 2]
