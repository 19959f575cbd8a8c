"""Which files reading a photograph depends on: a build that is resumed compares their hashes."""

from collections import Counter
from pathlib import Path

from scenequilt.memory_bank.datasets.open import open_dataset

EXPECTED = {
    "ade20k": ["a_01.jpg", "a_01.png"],
    "cityscapes": [
        "aachen_a_01_leftImg8bit.png",
        "aachen_a_01_gtFine_labelIds.png",
        "aachen_a_01_gtFine_instanceIds.png",
    ],
    "coco_panoptic": ["a_01.jpg", "a_01.png", "panoptic_train2017.json"],
    "coco_stuff": ["a_01.jpg", "a_01.png", "instances_train2017.json"],
    "plain": ["a_01.jpg", "a_01.png"],
    "rgb_masks": ["a_01.jpg", "a_01.png", "classes.json"],
    "voc": ["a_01.jpg", "a_01.png", "a_01.png"],
}


def test_all_that_a_photograph_is_read_from_is_listed(form: str, dataset: Path) -> None:
    reader = open_dataset(dataset)

    files = reader.files(reader.entries()[0])

    assert Counter(path.name for path in files) == Counter(EXPECTED[form])
    assert len(set(files)) == len(files)
