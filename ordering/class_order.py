"""The painting rank of classes: which kind of thing usually stands behind which."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy

BACK_TO_FRONT: tuple[tuple[str, ...], ...] = (
    ("sky", "clouds", "fog"),
    ("mountain", "hill", "sea", "lake", "waterfall"),
    ("ceiling",),
    ("building", "house", "skyscraper", "tower", "bridge", "tunnel", "roof", "hovel"),
    ("wall",),
    ("terrain", "earth", "ground", "dirt", "mud", "field", "snow", "land"),
    ("grass", "sand", "gravel", "water", "river", "swimming_pool", "leaves", "moss"),
    ("sidewalk", "pavement", "path", "platform", "parking", "runway"),
    ("road", "street", "railroad", "rail_track", "ground_other", "lane_marking"),
    ("floor", "carpet", "rug", "floor_mat", "mat", "stairs", "stairway", "stage"),
    ("window", "windowpane", "door", "screen_door", "garage", "mirror", "fireplace"),
    ("picture", "painting", "whiteboard", "blackboard", "bulletin_board", "poster", "clock"),
    ("fence", "railing", "guard_rail", "banister", "net", "cage", "otherstructure", "structural"),
    ("vegetation", "tree", "bush", "palm", "hedge"),
    ("curtain", "blinds", "blind", "shower_curtain", "window_blind"),
    ("cabinet", "wardrobe", "closet", "cupboard", "refrigerator", "oven", "dishwasher"),
    ("bookshelf", "shelves", "shelf", "bookcase", "dresser", "chest_of_drawers"),
    ("bathtub", "toilet", "shower", "washer", "microwave", "radiator"),
    ("furniture", "otherfurniture"),
    ("motorcycle", "motorbike", "minibike"),
    ("bicycle", "bike"),
    ("truck", "van", "caravan", "trailer", "boat", "ship", "airplane"),
    ("car", "vehicle", "other_vehicle", "suv"),
    ("bus",),
    ("train", "tram"),
    ("table", "desk", "dining_table", "coffee_table", "night_stand", "counter", "countertop"),
    ("sofa", "couch", "bed", "chair", "armchair", "bench", "stool", "ottoman", "seat", "sink"),
    ("television", "tv", "monitor", "screen", "computer", "laptop", "crt_screen"),
    ("person", "pedestrian", "child", "horse", "cow", "elephant", "giraffe", "zebra", "bear"),
    ("dog", "cat", "sheep", "bird", "animal"),
    ("pillow", "cushion", "blanket", "towel", "clothes", "clothing", "cloth"),
    ("pole", "column", "column_pole", "polegroup", "street_light", "lamp_post", "streetlight"),
    ("rider", "bicyclist", "cyclist", "motorcyclist"),
    ("sign", "traffic_sign", "sign_symbol", "street_sign", "stop_sign", "signboard"),
    ("traffic_light", "fire_hydrant", "parking_meter"),
    ("box", "bag", "basket", "suitcase", "backpack", "handbag", "plant", "potted_plant"),
    ("lamp", "chandelier", "light", "vase", "bottle", "cup", "bowl", "plate", "food"),
    ("books", "book", "paper", "flower", "remote", "cell_phone", "keyboard", "mouse"),
)
"""Classes from furthest back to furthest in front; those of one row are of equal rank.

The street classes stand in the canonical order of Qi et al. 2018, except that wall stands before
terrain, since indoors it is what everything stands in front of.
"""

_UNKNOWN_STUFF = "grass"
_UNKNOWN_THING = "chair"


def class_ranks(taxonomy: Taxonomy) -> NDArray[np.float64]:
    """Return (K,) float64 in [0, 1], the painting rank of each class, 0 = furthest back.

    Classes are known by name, longer ones by a part of it (ClassInfo.known_name). Unknown stuff
    lies behind things.

    Source:
        Qi et al. 2018, "Semi-parametric Image Synthesis", order of the published constants; the
        indoor classes are ours.
    """
    return np.array([_rank_of(entry) for entry in taxonomy.classes], np.float64)


def class_ranks_from_counts(
    behind_in_front: NDArray[np.integer] | NDArray[np.floating], *, prior_pairs: float = 10.0
) -> NDArray[np.float64]:
    """Return (K,) float64 ranks in [0, 1] from how often a class lay behind another.

    The share of pairs in which a class is in front, drawn towards one half by prior_pairs pairs
    that went either way, since a class seen in five pairs says little.

    Args:
        behind_in_front: (K, K) counts, row = class behind, column = class in front.
        prior_pairs: Weight of the prior in pairs, >= 0. At 0 a class without pairs has rank 0.5.

    Raises:
        ValueError: If the counts are no square of finite numbers >= 0, or prior_pairs is negative.

    Source:
        Qi et al. 2018, published constants; there without the prior.
    """
    counts = np.asarray(behind_in_front, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"behind_in_front must be (K, K), got {counts.shape}")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError("behind_in_front must hold finite counts of at least 0")
    if prior_pairs < 0:
        raise ValueError(f"prior_pairs is {prior_pairs}, expected at least 0")
    in_front = counts.sum(axis=0) + prior_pairs / 2
    pairs = counts.sum(axis=0) + counts.sum(axis=1) + prior_pairs
    ranks = np.full(len(counts), 0.5)
    np.divide(in_front, pairs, out=ranks, where=pairs > 0)
    return ranks


@cache
def _row_of_name() -> dict[str, int]:
    return {name: row for row, names in enumerate(BACK_TO_FRONT) for name in names}


def _rank_of(entry: ClassInfo) -> float:
    rows = _row_of_name()
    unknown = _UNKNOWN_THING if entry.kind == "thing" else _UNKNOWN_STUFF
    return rows[entry.known_name(rows) or unknown] / (len(BACK_TO_FRONT) - 1)
