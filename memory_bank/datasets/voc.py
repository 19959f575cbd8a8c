"""Pascal VOC segmentation: palette PNGs, 255 = the border around objects."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from scenequilt.memory_bank.datasets.classes import class_info
from scenequilt.memory_bank.datasets.files import Color
from scenequilt.memory_bank.datasets.folder import FolderReader, companion, files_by_name
from scenequilt.memory_bank.datasets.interface import Entry, Repair
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy

_THINGS = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "dining_table",
    "dog",
    "horse",
    "motorbike",
    "person",
    "potted_plant",
    "sheep",
    "sofa",
    "train",
    "tv_monitor",
]


def voc_taxonomy() -> Taxonomy:
    """Return background and the 20 classes (Everingham et al., IJCV 2010), 255 = void.

    Colours are the published ones but for the background, whose black is our void.
    """
    background = ClassInfo(0, "background", (32, 32, 32), "stuff")
    things = (
        class_info(value, name, _published_color(value), "thing")
        for value, name in enumerate(_THINGS, start=1)
    )
    return Taxonomy("voc21", (background, *things), (255,))


@dataclass(frozen=True)
class VocReader(FolderReader):
    """Reads JPEGImages, SegmentationClass, SegmentationObject, listed in ImageSets/Segmentation.

    A photograph that several lists name belongs to the first of train, val, test, others.
    """

    form = "voc"
    expects = (
        "JPEGImages/NAME.jpg, SegmentationClass/NAME.png (and SegmentationObject/NAME.png), "
        "ImageSets/Segmentation/train.txt and val.txt"
    )

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return True for a folder with JPEGImages and SegmentationClass."""
        return (root / "JPEGImages").is_dir() and (root / "SegmentationClass").is_dir()

    @classmethod
    def open(cls, root: Path, repair: Repair = "none") -> Self:
        """Make a reader of a folder.

        Raises:
            DatasetError: If there is no list in ImageSets/Segmentation.
        """
        if not _lists(root):
            raise DatasetError(
                f"{root / 'ImageSets' / 'Segmentation'}: no list of photographs; expected "
                "train.txt, val.txt with a name a line"
            )
        return cls(root, voc_taxonomy(), repair)

    def list_entries(self) -> Iterator[Entry]:
        """Yield the photographs that the lists name."""
        images = files_by_name(self.root / "JPEGImages")
        instances = files_by_name(self.root / "SegmentationObject", (".png",))
        seen: set[str] = set()
        for path in _lists(self.root):
            for name in path.read_text(encoding="utf-8").split():
                if name in seen:
                    continue
                seen.add(name)
                yield Entry(
                    source_id=name,
                    image_path=images.get(name, self.root / "JPEGImages" / f"{name}.jpg"),
                    label_path=self.root / "SegmentationClass" / f"{name}.png",
                    instance_path=companion(
                        instances, self.root / "SegmentationObject" / "*.png", name
                    ),
                    split=path.stem,
                )


def _lists(root: Path) -> list[Path]:
    usual = ("train", "val", "test")
    lists = sorted((root / "ImageSets" / "Segmentation").glob("*.txt"))
    return sorted(lists, key=lambda path: path.stem not in usual)


def _published_color(value: int) -> Color:
    """Return the colour of a value: its bits, three at a time, from the high bits of R, G, B."""
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            channels[channel] |= (value >> (3 * place + channel) & 1) << (7 - place)
    return channels[0], channels[1], channels[2]
