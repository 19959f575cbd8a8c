"""What stands in a street: houses, plants, furniture, cars and people in their places."""

import math

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.toytown.camera import Camera
from scenequilt.memory_bank.toytown.facades import GroundFloor, House, Wall
from scenequilt.memory_bank.toytown.furniture import (
    Bin,
    Fence,
    FenceKind,
    LampPost,
    Sign,
    SignKind,
    SignPost,
)
from scenequilt.memory_bank.toytown.ground import (
    KERB_M,
    Street,
)
from scenequilt.memory_bank.toytown.light import (
    pick,
)
from scenequilt.memory_bank.toytown.painter import Color
from scenequilt.memory_bank.toytown.people import Cyclist, Facing, Outfit, Walker
from scenequilt.memory_bank.toytown.plants import Habit, Hedge, Tree, TreeLine
from scenequilt.memory_bank.toytown.style import LEAF_COLORS, RowKind, Style
from scenequilt.memory_bank.toytown.vehicles import PAINTS, Body, Car
from scenequilt.memory_bank.toytown.world import Footprint, WorldObject

_WALL_COLORS: dict[Wall, NDArray[np.float64]] = {
    "brick": np.array(
        [
            (168, 92, 70),
            (148, 82, 66),
            (182, 118, 84),
            (196, 158, 116),
            (134, 92, 78),
            (176, 104, 72),
        ],
        float,
    ),
    "plaster": np.array(
        [
            (236, 226, 204),
            (232, 206, 160),
            (214, 176, 146),
            (190, 206, 204),
            (226, 190, 178),
            (206, 214, 188),
            (240, 238, 232),
            (170, 188, 206),
            (222, 166, 110),
        ],
        float,
    ),
    "stone": np.array([(198, 186, 162), (182, 174, 160), (206, 196, 176), (168, 160, 148)], float),
    "panel": np.array([(188, 190, 190), (160, 168, 176), (204, 198, 188)], float),
}
_TRIM_COLORS = np.array([(236, 232, 222), (222, 212, 192), (204, 196, 184), (240, 240, 238)], float)
_ROOF_COLORS = np.array(
    [(92, 86, 90), (150, 84, 64), (126, 74, 62), (80, 84, 92), (110, 92, 80)], float
)
_FENCE_COLORS: dict[FenceKind, NDArray[np.float64]] = {
    "boards": np.array([(150, 112, 76), (120, 92, 68), (92, 110, 92)], float),
    "wall": np.array([(164, 98, 76), (190, 180, 160), (150, 90, 72)], float),
    "pickets": np.array([(236, 234, 228), (206, 200, 186)], float),
    "railing": np.array([(40, 46, 48), (30, 60, 48)], float),
}

_PARKED_M = 2.1
"""What parked cars take of the road's width on each side."""


def lane_x(road_width_m: float) -> float:
    """Return how far from the middle of the road cars drive, clear of those parked at the kerb."""
    return (road_width_m / 2 - _PARKED_M) / 2


def _apart(places: NDArray[np.float64], least_m: float) -> list[float]:
    """Return the places, sorted, that are at least so far from the one before."""
    kept: list[float] = []
    for place in sorted(places.tolist()):
        if not kept or place - kept[-1] >= least_m:
            kept.append(place)
    return kept


class StreetFurnisher:
    """Fills a street with what stands in it.

    Attributes:
        standing: What was placed, in no order.
        lamps: x, z below the street lamps.
        taken: Ground that what moves must keep clear of.
    """

    def __init__(
        self, style: Style, street: Street, camera: Camera, rng: np.random.Generator
    ) -> None:
        self.style = style
        self.street = street
        self.camera = camera
        self.rng = rng
        self.standing: list[WorldObject] = []
        self.lamps: list[tuple[float, float]] = []
        self.taken: list[Footprint] = []
        self.row_heights_m = (self._row_height(0), self._row_height(1))

    def furnish(self) -> None:
        """Place houses, plants, furniture, cars and people."""
        for side in (-1, 1):
            if self._kind(side) == "park":
                self._place_park(side)
            else:
                self._place_row(side)
            self._place_street_trees(side)
            self._place_lamps(side)
        self._place_end()
        self._place_signs()
        self.taken.extend(item.footprint for item in self.standing)
        for side in (-1, 1):
            self._place_parked_cars(side)
        self._place_traffic()
        self._place_people()

    def _seed(self) -> int:
        return int(self.rng.integers(2**31))

    def _kind(self, side: int) -> RowKind:
        return self.style.rows[0 if side < 0 else 1]

    def _outer_x(self, side: int) -> float:
        return self.street.walk_left if side < 0 else self.street.walk_right

    def _kerb_x(self, side: int) -> float:
        return self.street.road_left if side < 0 else self.street.road_right

    def _row_height(self, row: int) -> float:
        kind = self.style.rows[row]
        return {"terrace": 9.5, "high street": 11.0, "villas": 6.5, "park": 0.0}[kind]

    def _visible_from(self, x: float) -> float:
        """Return the z at which something at x comes into view."""
        slope = (
            self.camera.size_hw[1] * 0.5 / self.camera.focal_px + abs(self.camera.yaw_rad) + 0.08
        )
        return max(3.5, abs(x) / slope - 1.0)

    def _strip(self, side: int, inner: float, depth: float, near: float, far: float) -> Footprint:
        """Return ground from a distance `inner` beyond the pavement outwards."""
        first = self._outer_x(side) + side * inner
        second = first + side * depth
        return Footprint(min(first, second), max(first, second), near, far)

    def _shade_below(self, side: int) -> float:
        """Return how high the shadow of the row opposite climbs up this side's fronts."""
        light = self.style.light
        toward_x, toward_y, _ = light.toward_sun.tolist()
        if not light.sunny or toward_x * side >= -0.05:
            return 0.0  # the sun is not behind the row opposite
        opposite = self.row_heights_m[1 if side < 0 else 0]
        across = self.street.walk_right - self.street.walk_left
        return max(0.0, opposite - across * float(toward_y / abs(toward_x)))

    def _in_sun(self, x: float) -> bool:
        """Return whether the ground at x is out of the shadow of the rows."""
        light = self.style.light
        if not light.sunny:
            return False
        toward_x, toward_y, _ = light.toward_sun.tolist()
        side = 1 if toward_x > 0 else -1
        reach = self.row_heights_m[0 if side < 0 else 1] * abs(toward_x) / toward_y
        return bool(abs(self._outer_x(side) - x) > reach)

    def _place_row(self, side: int) -> None:
        rng, kind = self.rng, self._kind(side)
        villas = kind == "villas"
        setback = rng.uniform(2.5, 4.5) if villas else 0.0
        z = self._visible_from(self._outer_x(side) + side * setback) - rng.uniform(0, 6)
        z = max(z, 3.2)
        neighbor_m = 0.0
        while z < self.street.end_z:
            width = rng.uniform(8.5, 13.0) if villas else rng.uniform(5.5, 12.5)
            house = self._house(side, setback, z, z + width, neighbor_m)
            self.standing.append(house)
            gap, neighbor_m = 0.0, house.height_m
            if villas:
                gap = rng.uniform(1.5, 5.0)
            elif rng.random() < 0.12:
                gap = rng.uniform(3.0, 7.0)
            if gap > 3.5 and rng.random() < 0.8:
                self._place_garden_tree(side, setback + rng.uniform(3.0, 6.0), z + width + gap / 2)
            if gap > 1.4 and not villas:
                self._place_fence(side, 0.15, z + width + 0.05, z + width + gap - 0.05)
            if gap > 0:
                neighbor_m = 0.0
            z += width + gap
        if villas:
            self._place_front_gardens(side, setback)

    def _house(
        self, side: int, setback: float, near: float, far: float, neighbor_m: float = 0.0
    ) -> House:
        rng, style, kind = self.rng, self.style, self._kind(side)
        low, high = style.storeys
        storeys = 2 if kind == "villas" else int(rng.integers(low, high + 1))
        floor_m = rng.uniform(2.9, 3.35)
        shop = kind == "high street" and rng.random() < 0.85
        ground_floor: GroundFloor = "shop" if shop or rng.random() < 0.06 else "door"
        wall = style.walls[rng.integers(len(style.walls))]
        pitched = kind == "villas" or rng.random() < 0.72
        depth = rng.uniform(8, 10)
        return House(
            side=side,
            place=self._strip(side, setback, depth, near, far),
            height_m=storeys * floor_m + 0.6,
            roof_m=rng.uniform(2.4, 3.8) if pitched else 0.0,
            storeys=storeys,
            wall=wall,
            wall_color=pick(rng, _WALL_COLORS[wall]),
            trim_color=pick(rng, _TRIM_COLORS),
            roof_color=pick(rng, _ROOF_COLORS),
            ground_floor=ground_floor,
            window_m=(rng.uniform(0.95, 1.45), rng.uniform(1.35, 1.8)),
            bay_m=rng.uniform(2.1, 3.2),
            shade_below_m=self._shade_below(side),
            end_above_m=neighbor_m,
            seed=self._seed(),
        )

    def _place_front_gardens(self, side: int, setback: float) -> None:
        rng = self.rng
        z = 3.0
        while z < min(self.street.end_z, 80.0):
            length = rng.uniform(7, 14)
            kind = rng.random()
            if kind < 0.38:
                place = self._strip(side, 0.1, 0.7, z, z + length)
                self.standing.append(
                    Hedge(side, place, rng.uniform(0.8, 1.5), self._leaf(0.85), self._seed())
                )
            elif kind < 0.9:
                self._place_fence(side, 0.1, z, z + length)
            if setback > 3 and rng.random() < 0.5:
                self._place_garden_tree(
                    side, rng.uniform(1.3, setback - 1.0), z + rng.uniform(1, length)
                )
            z += length + rng.choice([0.0, 1.2])

    def _place_fence(self, side: int, inner: float, near: float, far: float) -> None:
        rng = self.rng
        kinds: tuple[FenceKind, ...] = ("boards", "wall", "pickets")
        kind = kinds[rng.integers(3)]
        tall = {"boards": (1.3, 1.8), "wall": (0.8, 1.6), "pickets": (0.9, 1.2), "railing": (1, 1)}[
            kind
        ]
        self.standing.append(
            Fence(
                side,
                self._strip(side, inner, 0.16, near, far),
                rng.uniform(*tall),
                kind,
                pick(rng, _FENCE_COLORS[kind]),
                self._seed(),
            )
        )

    def _leaf(self, tone: float = 1.0) -> Color:
        color: Color = self.style.leaf_color * tone * self.rng.uniform(0.86, 1.1)
        return color + self.rng.normal(0, 5, 3)

    def _garden_leaf(self) -> Color:
        palette = LEAF_COLORS["summer" if self.style.season == "autumn" else self.style.season]
        return pick(self.rng, palette)

    def _tree(self, x: float, z: float, height: float, habit: Habit, leaf: Color) -> Tree:
        rng = self.rng
        slim = {"round": 0.72, "oval": 0.6, "poplar": 0.26, "conifer": 0.42}[habit]
        trunk = {"round": 0.28, "oval": 0.26, "poplar": 0.1, "conifer": 0.1}[habit]
        return Tree(
            x=x,
            z=z,
            height_m=height,
            crown_m=height * slim * rng.uniform(0.88, 1.1),
            trunk_m=height * trunk * rng.uniform(0.85, 1.15),
            habit=habit,
            leaf_color=leaf,
            density=rng.uniform(0.5, 0.9)
            if self.style.season == "autumn"
            else rng.uniform(0.75, 1.1),
            seed=self._seed(),
        )

    def _place_garden_tree(self, side: int, inner: float, z: float) -> None:
        habits: tuple[Habit, ...] = ("round", "oval", "conifer")
        x = self._outer_x(side) + side * inner
        if z < self._visible_from(x):
            return
        habit = habits[self.rng.integers(3)]
        self.standing.append(
            self._tree(x, z, self.rng.uniform(3.5, 7.5), habit, self._garden_leaf())
        )

    def _place_park(self, side: int) -> None:
        rng = self.rng
        outer = self._outer_x(side)
        self._place_park_edge(side)
        for _ in range(16):
            z = rng.uniform(9, self.street.end_z + 10)
            x = outer + side * rng.uniform(2.0, 9.0 + z * 0.5)
            if z > self._visible_from(x):
                habits: tuple[Habit, ...] = ("round", "round", "oval", "conifer", "poplar")
                habit = habits[rng.integers(5)]
                self.standing.append(
                    self._tree(x, z, rng.uniform(5, 12), habit, self._garden_leaf())
                )

    def _place_park_edge(self, side: int) -> None:
        rng = self.rng
        kind = rng.random()
        z = 3.0
        while z < 75:
            length = rng.uniform(8, 12)
            if kind < 0.35:
                place = self._strip(side, 0.1, 0.12, z, z + length)
                color = pick(rng, _FENCE_COLORS["railing"])
                self.standing.append(Fence(side, place, 1.1, "railing", color, self._seed()))
            elif kind < 0.7:
                place = self._strip(side, 0.2, 0.8, z, z + length)
                self.standing.append(
                    Hedge(side, place, rng.uniform(0.7, 1.1), self._leaf(0.85), self._seed())
                )
            else:
                self._place_fence(side, 0.1, z, z + length)
            z += length + (0.1 if rng.random() < 0.85 else 2.0)

    def _place_street_trees(self, side: int) -> None:
        rng = self.rng
        if rng.random() < 0.3:
            return
        x = self._kerb_x(side) + side * 0.75
        height = rng.uniform(5.0, 8.5)
        z = max(8.0, self._visible_from(x)) + rng.uniform(0, self.style.tree_spacing_m)
        while z < min(self.street.end_z, 75.0):
            tree_height = height * rng.uniform(0.88, 1.1)
            self.standing.append(self._tree(x, z, tree_height, self.style.habit, self._leaf()))
            z += self.style.tree_spacing_m * rng.uniform(0.92, 1.08)

    def _place_lamps(self, side: int) -> None:
        rng, style = self.rng, self.style
        x = self._kerb_x(side) + side * 0.4
        z = rng.uniform(6, 24)
        while z < min(self.street.end_z, 85.0):
            height = rng.uniform(6.4, 6.8) if style.lamp_arms else 3.9
            arm = -side * 1.5 if style.lamp_arms else 0.0
            self.standing.append(LampPost(x, z, height, arm, style.lamp_color))
            self.lamps.append((x + arm, z))
            z += rng.uniform(22, 27)

    def _place_parked_cars(self, side: int) -> None:
        rng = self.rng
        share = rng.choice([0.0, 0.3, 0.62, 0.85], p=[0.2, 0.25, 0.3, 0.25])
        x = self._kerb_x(side) - side * 1.16
        z = rng.uniform(4.0, 9.0) if side < 0 or abs(x) > 2.4 else rng.uniform(9.0, 13.0)
        while z < min(self.street.end_z - 6, 52):
            crossing = self.street.crossing_z
            free = not crossing or abs(z + 2.3 - crossing) > 6.0
            if free and rng.random() < share:
                heading = 0.0 if side > 0 else math.pi
                if rng.random() < 0.2:
                    heading += math.pi
                self._place_car(
                    x + rng.uniform(-0.08, 0.08), z + 2.4, heading + rng.uniform(-0.03, 0.03), False
                )
            z += rng.uniform(5.2, 6.2)

    def _place_if_free(self, item: WorldObject, margin_m: float) -> None:
        foot = item.footprint
        if not any(foot.overlaps(taken, margin_m) for taken in self.taken):
            self.standing.append(item)
            self.taken.append(foot)

    def _place_car(self, x: float, z: float, heading: float, driving: bool) -> None:
        rng = self.rng
        bodies: tuple[Body, ...] = ("hatchback", "saloon", "estate", "suv", "van")
        car = Car(
            x=x,
            z=z,
            heading_rad=heading,
            body=bodies[rng.choice(5, p=[0.32, 0.22, 0.18, 0.18, 0.1])],
            paint=pick(rng, PAINTS, 5),
            in_sun=self._in_sun(x),
            driving=driving,
            seed=self._seed(),
        )
        self._place_if_free(car, 0.1)

    def _place_traffic(self) -> None:
        rng, street = self.rng, self.street
        offset = lane_x(street.road_right - street.road_left)
        lanes = ((street.center_x + offset, 0.0), (street.center_x - offset, math.pi))
        for x, heading in lanes:
            z = rng.uniform(11, 34) if heading == 0 else rng.uniform(8, 30)
            while z < street.end_z:
                clear = not street.crossing_z or abs(z - street.crossing_z) > 4.4
                if clear and rng.random() < 0.5 * self.style.bustle + 0.1:
                    self._place_car(
                        x + rng.normal(0, 0.12), z, heading + rng.normal(0, 0.015), True
                    )
                z += rng.uniform(12, 34)

    def _place_end(self) -> None:
        rng, street = self.rng, self.street
        palette = LEAF_COLORS["summer"]
        self.standing.append(
            TreeLine(
                street.end_z + 160, rng.uniform(14, 24), pick(rng, palette) * 0.9, self._seed()
            )
        )
        if self.style.end == "houses":
            x = street.walk_left - 26.0
            far = street.end_z + 22
            while x < street.walk_right + 26:
                width = rng.uniform(9, 15)
                house = self._house(1, 0.0, far, far + width)
                place = Footprint(x, x + width, far, far + 9)
                self.standing.append(
                    House(
                        side=0,
                        place=place,
                        height_m=house.height_m,
                        roof_m=house.roof_m,
                        storeys=house.storeys,
                        wall=house.wall,
                        wall_color=house.wall_color,
                        trim_color=house.trim_color,
                        roof_color=house.roof_color,
                        ground_floor=house.ground_floor,
                        window_m=house.window_m,
                        bay_m=house.bay_m,
                        shade_below_m=0.0,
                        end_above_m=0.0,
                        seed=house.seed,
                    )
                )
                x += width
        else:
            for _ in range(6):
                x = rng.uniform(street.walk_left - 26, street.walk_right + 26)
                z = street.end_z + rng.uniform(16, 60)
                self.standing.append(
                    self._tree(x, z, rng.uniform(7, 12), "round", self._garden_leaf())
                )

    def _place_signs(self) -> None:
        rng, street = self.rng, self.street
        if street.crossing_z:
            lights = rng.random() < 0.6
            lit = int(rng.choice([0, 1, 2], p=[0.45, 0.1, 0.45]))
            for side in (-1, 1):
                x = self._kerb_x(side) + side * 0.35
                z = street.crossing_z + side * -1.9
                if lights:
                    self.standing.append(SignPost(x, z, 3.2))
                    self.standing.append(Sign(x, z, 2.85, "lights", side < 0, lit))
                else:
                    self.standing.append(SignPost(x, z, 2.7))
                    self.standing.append(Sign(x, z, 2.5, "crossing"))
        kinds: tuple[SignKind, ...] = ("limit", "warning", "stop", "parking", "no entry", "name")
        for side in (-1, 1):
            for z in _apart(rng.uniform(7, 44, int(rng.integers(1, 4))), 5.0):
                if street.crossing_z and abs(z - street.crossing_z) < 5:
                    continue
                x = self._kerb_x(side) + side * rng.uniform(0.3, 0.5)
                kind = kinds[rng.choice(6, p=[0.28, 0.22, 0.08, 0.24, 0.08, 0.1])]
                middle = rng.uniform(2.2, 2.6)
                self.standing.append(SignPost(x, z, middle + 0.2))
                away = bool(side < 0 and kind != "name" and rng.random() < 0.6)
                self.standing.append(Sign(x, z, middle, kind, away))
            if rng.random() < 0.6:
                x = self._kerb_x(side) + side * 0.55
                color = pick(rng, np.array([(40, 70, 52), (60, 62, 66), (150, 40, 36)], float))
                self.standing.append(Bin(x, rng.uniform(6, 26), color))

    def _place_people(self) -> None:
        rng, street = self.rng, self.street
        for side in (-1, 1):
            kerb, outer = self._kerb_x(side), self._outer_x(side)
            busy = 5.0 if self._kind(side) == "high street" else 2.8
            for _ in range(rng.poisson(busy * self.style.bustle)):
                near = max(6.0, self._visible_from((kerb + outer) / 2))
                z = near + rng.gamma(1.6, 9.0)
                x = rng.uniform(min(kerb, outer) + 0.5, max(kerb, outer) - 0.4)
                along = rng.random()
                facing: Facing = "camera" if along < 0.4 else "away" if along < 0.76 else "left"
                if facing == "left" and rng.random() < 0.5:
                    facing = "right"
                self._place_walker(x, KERB_M, z, facing)
                if rng.random() < 0.3 and facing in ("camera", "away"):
                    beside = x + rng.choice([-0.62, 0.62])
                    if min(kerb, outer) + 0.3 < beside < max(kerb, outer) - 0.3:
                        self._place_walker(beside, KERB_M, z + rng.uniform(-0.15, 0.15), facing)
        if street.crossing_z and rng.random() < 0.75:
            for _ in range(int(rng.integers(1, 4))):
                x = rng.uniform(street.road_left + 0.6, street.road_right - 0.6)
                z = street.crossing_z + rng.uniform(-1.2, 1.2)
                self._place_walker(x, 0.0, z, "left" if rng.random() < 0.5 else "right")
        if self.style.weather != "rain" or rng.random() < 0.4:
            for _ in range(rng.poisson(0.9)):
                side = int(rng.choice([-1, 1]))
                x = self._kerb_x(side) - side * rng.uniform(2.5, 2.9)
                z = rng.uniform(8, 34)
                riding: Facing = "away" if side > 0 else "camera"
                if rng.random() < 0.4:
                    riding = "left" if rng.random() < 0.5 else "right"
                    x = rng.uniform(street.road_left + 1.2, street.road_right - 1.2)
                rider = Cyclist(x, 0.0, z, riding, rng.random(), self._in_sun(x), self._seed())
                self._place_if_free(rider, 0.3)

    def _place_walker(self, x: float, y: float, z: float, facing: Facing) -> None:
        rng = self.rng
        outfits: tuple[Outfit, ...] = ("trousers", "skirt", "coat", "shorts")
        warm = self.style.season == "summer" and self.style.weather in ("clear", "cloudy")
        odds = [0.5, 0.2, 0.08, 0.22] if warm else [0.56, 0.12, 0.3, 0.02]
        child = rng.random() < 0.12
        walker = Walker(
            x=x,
            y=y,
            z=z,
            height_m=rng.uniform(1.05, 1.4) if child else rng.normal(1.71, 0.07),
            facing=facing,
            outfit=outfits[rng.choice(4, p=odds)],
            stride=rng.random(),
            umbrella=bool(self.style.weather == "rain" and not child and rng.random() < 0.6),
            bag=bool(rng.random() < 0.4),
            in_sun=self._in_sun(x),
            seed=self._seed(),
        )
        self._place_if_free(walker, 0.05)
