"""compose: the whole path, its laws of conservation, and what it refuses."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.errors import EmptyClassError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.segment import Segment
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.memory_bank.where import Where
from scenequilt.ordering.orderer import FixedPair, Order
from scenequilt.synthesis.blending import BLENDS, Blend
from scenequilt.synthesis.compose import compose, compose_variants
from scenequilt.synthesis.composition import Composition, PixelState
from scenequilt.synthesis.finish import ClosedFinish, NoFinish
from scenequilt.synthesis.stages import Bank, ComposeSettings


@pytest.fixture(scope="module")
def variants(make_street: Callable[..., Layout], street_bank: Bank) -> list[Composition]:
    return compose_variants(make_street(horizon=13, car=(15, 22)), street_bank, variants=3)


def every(variants: Sequence[Composition]) -> list[Composition]:
    assert variants
    return list(variants)


def test_every_pixel_has_exactly_one_state(variants: list[Composition]) -> None:
    for made in every(variants):
        assert set(np.unique(made.state)) <= set(PixelState)
        assert sum(made.state_shares.values()) == pytest.approx(1)


def test_coverage_is_where_somebody_owns(variants: list[Composition]) -> None:
    for made in every(variants):
        assert ((made.ownership >= 0) == made.coverage).all()
        assert ((made.segment_ids >= 0) == made.coverage).all()


def test_nothing_is_copied_where_nobody_owns(variants: list[Composition]) -> None:
    for made in every(variants):
        own = np.isin(made.state, [PixelState.COPIED, PixelState.RECOLOURED])
        assert made.coverage[own].all()
        assert (made.state[~made.coverage] == PixelState.SYNTHESISED).all()


def test_copied_pixels_are_those_of_the_placed_segment(variants: list[Composition]) -> None:
    for made in every(variants):
        for place, item in enumerate(made.placed):
            top, left, bottom, right = item.box
            window = (slice(top, bottom), slice(left, right))
            copied = (made.state[window] == PixelState.COPIED) & (made.ownership[window] == place)
            assert (made.image[window][copied] == item.color[copied]).all()


def test_copied_pixels_are_found_in_the_source_through_the_warp(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    make_bank: Callable[..., Bank],
) -> None:
    layout = make_street()
    image = make_photograph(layout, 3)
    bank = make_bank([("only", image, layout)], layout.taxonomy)

    made = compose(layout, bank)

    rows, columns = np.nonzero(made.state == PixelState.COPIED)
    assert rows.size > 1000
    for y, x in zip(rows[::17].tolist(), columns[::17].tolist(), strict=True):
        item = made.placed[made.ownership[y, x]]
        source_x, source_y = item.source_from_target @ [x + 0.5, y + 0.5, 1]
        assert (made.image[y, x] == image[int(source_y), int(source_x)]).all()


def test_a_layout_of_the_bank_comes_back_as_its_photograph(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    make_bank: Callable[..., Bank],
) -> None:
    layout = make_street()
    image = make_photograph(layout, 3)

    made = compose(layout, make_bank([("only", image, layout)], layout.taxonomy), finish=NoFinish())

    assert made.agreement == 1
    assert (made.delivered.instance_map == layout.instance_map).all()
    assert np.array_equal(made.image, image)


def test_delivered_is_the_class_of_the_owner(variants: list[Composition]) -> None:
    for made in every(variants):
        classes = np.array([item.segment.class_id for item in made.placed])
        owned = made.coverage
        assert (made.delivered.label_map[owned] == classes[made.ownership[owned]]).all()


def test_the_bars_are_passed(variants: list[Composition]) -> None:
    for made in every(variants):
        assert made.coverage_share >= 0.9
        assert made.agreement >= 0.92


@pytest.mark.parametrize("blend", BLENDS)
def test_the_same_seed_gives_the_same_bytes(
    make_street: Callable[..., Layout], street_bank: Bank, blend: Blend
) -> None:
    first, second = (
        compose_variants(
            make_street(car=(12, 30)),
            street_bank,
            finish=ClosedFinish(blend=blend),
            variants=2,
            seed=5,
        )
        for _ in range(2)
    )

    for one, other in zip(first, second, strict=True):
        for name in ("image", "ownership", "state", "elided", "coverage"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert one.chosen_ids == other.chosen_ids


def test_fewer_variants_are_the_first_of_more(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    two = compose_variants(make_street(), street_bank, variants=2)
    three = compose_variants(make_street(), street_bank, variants=3)

    for one, other in zip(two, three, strict=False):
        assert np.array_equal(one.image, other.image)


def test_without_a_finish_open_pixels_are_black_and_void(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    settings = ComposeSettings(choice=replace(ComposeSettings().choice, stuff_pieces=1))
    layout = make_street(horizon=20, car=None)

    made = compose(layout, street_bank, finish=NoFinish(), settings=settings)

    gaps = made.state == PixelState.OPEN
    assert gaps.any()
    assert (made.image[gaps] == 0).all()
    assert (made.delivered.label_map[gaps] == VOID).all()
    assert set(np.unique(made.state)) == {PixelState.OPEN, PixelState.COPIED}


def test_with_a_finish_nothing_is_open(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    settings = ComposeSettings(choice=replace(ComposeSettings().choice, stuff_pieces=1))

    made = compose(make_street(horizon=20, car=None), street_bank, settings=settings)

    assert (made.state != PixelState.OPEN).all()
    assert (made.state == PixelState.SYNTHESISED).any()
    assert (made.delivered.label_map != VOID).all()


def test_where_a_class_has_no_segments_stuff_stands_in(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    make_bank: Callable[..., Bank],
) -> None:
    empty = make_street(car=None)
    bank = make_bank([("empty", make_photograph(empty, 1), empty)], empty.taxonomy)

    made = compose(make_street(car=(14, 20)), bank)

    assert made.agreement_by_class["car"] == 0
    assert (made.delivered.label_map != VOID).all()


def test_one_car_of_two_frames_does_not_stand_in_a_picture_twice(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    make_bank: Callable[..., Bank],
) -> None:
    left, right = make_street(car=(16, 4)), make_street(car=(16, 30))
    other = make_photograph(right, 3)
    other[right.label_map == 2] = (30, 140, 60)
    frames = [
        ("frame_1", make_photograph(left, 1), left),
        ("frame_2", make_photograph(right, 2), right),
        ("other", other, make_street(car=(16, 29))),
    ]
    label_map = np.where(right.label_map == 2, right.label_map, left.label_map)
    instance_map = np.where(right.label_map == 2, 8, left.instance_map).astype(np.int32)
    both = Layout(label_map, instance_map, left.taxonomy)

    made = compose(both, make_bank(frames, left.taxonomy))

    cars = {item.segment.source_id for item in made.placed if item.segment.class_id == 2}
    assert cars in ({"frame_1", "other"}, {"frame_2", "other"})


def test_filters_that_leave_nothing_are_an_error(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    with pytest.raises(EmptyClassError, match=r"no segment for any of the classes car, road, sky"):
        compose(make_street(), street_bank, where=Where(sources=("nobody",)))


def test_a_layout_of_void_is_an_error(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    layout = make_street()
    nothing = Layout(
        np.full(layout.size_hw, VOID, np.uint8), np.zeros(layout.size_hw, np.int32), layout.taxonomy
    )

    with pytest.raises(
        EmptyClassError, match="no region of 16 pixels to ask for, the rest is void"
    ):
        compose(nothing, street_bank)


def test_a_layout_of_other_classes_is_refused(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    layout = make_street()
    other = replace(layout.taxonomy, name="other", classes=layout.taxonomy.classes[::-1])

    with pytest.raises(ValueError, match=r"'other' with classes car, road, sky.*'tiny' with sky"):
        compose(replace(layout, taxonomy=other), street_bank)


def test_a_style_makes_the_picture_like_it(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    street_bank: Bank,
) -> None:
    layout = make_street()
    bright, dark = make_photograph(layout, 90, light=45), make_photograph(layout, 91, light=-20)

    in_bright = compose(layout, street_bank, style=bright)
    in_dark = compose(layout, street_bank, style=dark)

    assert in_bright.image.mean() > in_dark.image.mean() + 20


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "k is 0, expected at least 1"),
        ({"style_strength": 2.0}, "style_strength is 2.0, expected 0 to 1"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ComposeSettings(**wrong)


def test_no_variants_are_refused(make_street: Callable[..., Layout], street_bank: Bank) -> None:
    with pytest.raises(ValueError, match="variants is 0, expected at least 1"):
        compose_variants(make_street(), street_bank, variants=0)


def test_a_fixed_pair_is_painted_as_the_caller_says(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    layout = make_street(horizon=13, car=(15, 22))
    plain = compose(layout, street_bank)
    car = next(query.query_id for query in plain.queries if query.is_thing)
    assert isinstance(plain.order, Order)
    edge = next(edge for edge in plain.order.edges if plain.placed[edge.front].query_id == car)
    behind = plain.placed[edge.back].query_id

    turned = compose(layout, street_bank, fixed=[FixedPair(front=behind, back=car)])

    places = {item.query_id: place for place, item in enumerate(turned.placed)}
    order = turned.order.back_to_front
    assert order.index(places[behind]) > order.index(places[car])


class Painted:
    """A bank in which one photograph is magenta; nothing else about it differs."""

    def __init__(self, bank: Bank, source_id: str) -> None:
        self._bank = bank
        self._source_id = source_id

    def __getattr__(self, name: str) -> object:
        """Return what the bank has."""
        found: object = getattr(self._bank, name)
        return found

    def segment(self, segment_id: int) -> Segment:
        """Load a segment, magenta if it is of the photograph."""
        segment = self._bank.segment(segment_id)
        if segment.source_id != self._source_id:
            return segment
        return replace(segment, color=np.full_like(segment.color, (255, 0, 255)))


def audited(
    layout: Layout, bank: Bank, finish: ClosedFinish, settings: ComposeSettings | None = None
) -> tuple[set[str], set[str]]:
    """Return the photographs that are listed, and those that change the picture if painted."""
    made = compose(layout, bank, finish=finish, settings=settings)
    of_bank = {bank.segment(segment_id).source_id for segment_id in bank.segment_ids().tolist()}
    telling = set()
    for source_id in of_bank:
        painted = cast(Bank, Painted(bank, source_id))
        other = compose(layout, painted, finish=finish, settings=settings)
        if not np.array_equal(other.image, made.image):
            telling.add(source_id)
    return set(made.sources), telling


def test_a_piece_that_is_wholly_hidden_lends_no_colour(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    make_bank: Callable[..., Bank],
) -> None:
    layout, empty = make_street(car=(14, 20)), make_street(car=None)
    photographs = [
        ("with_car", make_photograph(layout, 1), layout),
        ("without", make_photograph(empty, 2), empty),
    ]
    bank = make_bank(photographs, layout.taxonomy)
    finish = ClosedFinish(band=0.1)

    made = compose(layout, bank, finish=finish)
    listed, telling = audited(layout, bank, finish)

    hidden = [item for item, px in zip(made.placed, made.owned_px, strict=True) if px == 0]
    assert [item.segment.source_id for item in hidden] == ["without"], "the road under the car"
    assert listed == telling == {"with_car"}


@pytest.mark.parametrize("stuff_pieces", [1, 4], ids=["with holes", "without"])
@pytest.mark.parametrize("blend", BLENDS)
def test_only_photographs_that_are_listed_lend_colour(
    make_street: Callable[..., Layout], street_bank: Bank, blend: Blend, stuff_pieces: int
) -> None:
    choice = replace(ComposeSettings().choice, stuff_pieces=stuff_pieces)
    settings, finish = ComposeSettings(choice=choice), ClosedFinish(blend=blend, band=0.1)
    for horizon, left in ((20, 6), (14, 30)):
        listed, telling = audited(
            make_street(horizon=horizon, car=(22, left)),
            street_bank,
            finish,
            settings,
        )

        assert telling <= listed


def test_no_variant_shows_an_object_twice_while_there_are_others(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    make_bank: Callable[..., Bank],
) -> None:
    photographs = []
    for number in range(3):
        layout = make_street(car=(16, 23), size_hw=(32, 64))
        image = make_photograph(layout, number)
        image[layout.label_map == 2] = (90 * number, 255 - 90 * number, 128)
        photographs.append((f"street_{number}", image, layout))
    layout = make_street(car=(16, 16), size_hw=(32, 64))
    label_map, instance_map = layout.label_map.copy(), layout.instance_map.copy()
    label_map[16:24, 30:42], instance_map[16:24, 30:42] = 2, 8
    both = Layout(label_map, instance_map, layout.taxonomy)

    made = compose_variants(both, make_bank(photographs, layout.taxonomy), variants=4)

    for variant in every(made):
        cars = [item.segment.segment_id for item in variant.placed if item.segment.class_id == 2]
        assert len(set(cars)) == 2


def test_an_earlier_anchor_that_may_not_be_used_is_still_kept_away_from(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    layout = make_street()
    first = compose(layout, street_bank)
    others = tuple(f"street_{n}" for n in range(6) if f"street_{n}" != first.anchor_source_id)

    second = compose(layout, street_bank, where=Where(sources=others), earlier=[first])

    assert second.anchor_source_id in others
    assert abs(second.image.mean() - first.image.mean()) > 10, "the other one of the two lights"


def test_an_earlier_anchor_that_is_no_longer_in_the_bank_is_passed_over(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    make_bank: Callable[..., Bank],
    street_bank: Bank,
) -> None:
    layout = make_street()
    bank = make_bank([("only", make_photograph(layout, 1), layout)], layout.taxonomy)
    first = compose(layout, street_bank)
    gone = replace(first, retrievals=(), anchor_source_id="gone")
    nameless = replace(first, retrievals=(), anchor_source_id="")

    assert compose(layout, bank, earlier=[gone, nameless]).anchor_source_id == "only"


def test_a_style_counts_where_a_layout_has_no_stuff(
    make_street: Callable[..., Layout],
    make_photograph: Callable[..., NDArray[np.uint8]],
    street_bank: Bank,
) -> None:
    street = make_street(car=(14, 20))
    things = np.where(street.label_map == 2, street.label_map, VOID).astype(np.uint8)
    layout = Layout(things, street.instance_map, street.taxonomy)
    bright, dark = (make_photograph(street, 90, light=light) for light in (45, -20))

    in_bright, in_dark = (compose(layout, street_bank, style=style) for style in (bright, dark))

    assert in_bright.anchor_source_id and in_dark.anchor_source_id
    shown = in_bright.coverage & in_dark.coverage
    assert in_bright.image[shown].mean() > in_dark.image[shown].mean() + 10


def test_a_layout_of_specks_is_refused_with_the_limit(
    make_street: Callable[..., Layout], street_bank: Bank
) -> None:
    street = make_street()
    specks = Layout(street.label_map[:3, :3], street.instance_map[:3, :3], street.taxonomy)

    with pytest.raises(EmptyClassError, match=r"no region of 16 pixels .* at a larger size"):
        compose(specks, street_bank)
