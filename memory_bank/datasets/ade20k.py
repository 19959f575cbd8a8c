"""ADE20K scene parsing: 150 classes, 0 = everything else."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scenequilt.memory_bank.datasets.classes import class_info, distinct_color
from scenequilt.memory_bank.datasets.folder import FolderReader, files_by_name, paired, subfolders
from scenequilt.memory_bank.datasets.interface import Entry, Repair
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import Taxonomy

_NAMES = """
    wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk,
    person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf,
    house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub,
    railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, sink,
    skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
    screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill,
    bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar,
    arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth,
    television, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman, bottle,
    buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
    swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food,
    step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket,
    sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate,
    monitor, bulletin board, shower, radiator, glass, clock, flag
"""
"""Values 1 to 150 of the benchmark (Zhou et al., CVPR 2017); of synonyms the first."""

_STUFF = frozenset(
    [1, 2, 3, 4, 5, 6, 7, 10, 12, 14, 17, 18, 22, 26, 27, 29, 30, 35, 41, 47, 49, 52, 53, 55, 60]
    + [61, 62, 64, 69, 78, 80, 85, 92, 95, 97, 100, 101, 102, 106, 107, 110, 114, 115, 118, 123]
    + [129, 132, 141, 142, 146]
)
"""Values of the 50 classes without instances in the benchmark's instance part."""


def ade20k_taxonomy(names: tuple[str, ...] | None = None) -> Taxonomy:
    """Return the 150 classes, with other names if given; 0 is void."""
    if names is None:
        names = tuple(" ".join(name.split()) for name in _NAMES.split(","))
    return Taxonomy(
        "ade20k150",
        tuple(
            class_info(value, name, distinct_color(value), "stuff" if value in _STUFF else "thing")
            for value, name in enumerate(names, start=1)
        ),
        (0,),
    )


@dataclass(frozen=True)
class Ade20kReader(FolderReader):
    """Reads images/SPLIT/*.jpg and annotations/SPLIT/*.png; objects are derived."""

    form = "ade20k"
    expects = (
        "images/training, images/validation with NAME.jpg and annotations/training, "
        "annotations/validation with NAME.png (0 = other, 1-150)"
    )

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return True for a folder with images and annotations for training or validation."""
        return any(
            (root / "images" / split).is_dir() and (root / "annotations" / split).is_dir()
            for split in ("training", "validation")
        )

    @classmethod
    def open(cls, root: Path, repair: Repair = "none") -> Self:
        """Make a reader of a folder; names come from objectInfo150.txt where it is.

        Raises:
            DatasetError: If objectInfo150.txt is there and does not list 150 names.
        """
        table = root / "objectInfo150.txt"
        names = _read_names(table) if table.is_file() else None
        return cls(root, ade20k_taxonomy(names), repair)

    def list_entries(self) -> Iterator[Entry]:
        """Yield the photographs of all splits."""
        for images in subfolders(self.root / "images"):
            labels = self.root / "annotations" / images.name
            for name, image_path, label_path in paired(
                files_by_name(images),
                files_by_name(labels, (".png",)),
                images / "*.jpg",
                labels / "*.png",
            ):
                yield Entry(name, image_path, label_path, split=images.name)


def _read_names(path: Path) -> tuple[str, ...]:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    names = tuple(line.split("\t")[-1].split(",")[0].strip() for line in lines if line.strip())
    if len(names) != 150:
        raise DatasetError(
            f"{path}: {len(names)} classes, expected a header and 150 lines, the name last after a "
            "tab; take the file away to use the published names"
        )
    return names
