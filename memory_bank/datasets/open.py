"""Finding the reader for a folder."""

from pathlib import Path

from scenequilt.memory_bank.datasets.ade20k import Ade20kReader
from scenequilt.memory_bank.datasets.cityscapes import CityscapesReader
from scenequilt.memory_bank.datasets.coco_panoptic import CocoPanopticReader
from scenequilt.memory_bank.datasets.coco_stuff import CocoStuffReader
from scenequilt.memory_bank.datasets.folder import FolderReader
from scenequilt.memory_bank.datasets.interface import DatasetReader, Repair
from scenequilt.memory_bank.datasets.plain import PlainReader
from scenequilt.memory_bank.datasets.rgb_masks import RgbMasksReader
from scenequilt.memory_bank.datasets.voc import VocReader
from scenequilt.memory_bank.errors import DatasetError

READERS: dict[str, type[FolderReader]] = {
    reader.form: reader
    for reader in (
        CityscapesReader,
        CocoPanopticReader,
        VocReader,
        Ade20kReader,
        CocoStuffReader,
        RgbMasksReader,
        PlainReader,
    )
}
"""Readers by the name of their form, in the order in which they are tried."""


def open_dataset(
    path: Path | str, form: str | None = None, *, repair: Repair = "none"
) -> DatasetReader:
    """Make the reader of a folder of labelled photographs.

    Args:
        path: The folder.
        form: Name of its form; None tries all of READERS and takes the first that fits.
        repair: What to do with label values that are no class: "none" refuses the file, "nearest"
            takes the nearest class.

    Raises:
        DatasetError: If the folder does not exist, no form fits, or the form's files are wrong.
        ValueError: If there is no such form; the message lists those there are.
    """
    root = Path(path)
    if form is not None and form not in READERS:
        raise ValueError(f"no reader {form!r}; there are {', '.join(READERS)}")
    if repair not in ("none", "nearest"):
        raise ValueError(f"repair must be 'none' or 'nearest', got {repair!r}")
    if not root.is_dir():
        what = "is a file, expected a folder" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {what}; give the folder of the dataset")
    chosen = READERS[form] if form is not None else _recognised(root)
    return chosen.open(root, repair)


def _recognised(root: Path) -> type[FolderReader]:
    for reader in READERS.values():
        if reader.recognises(root):
            return reader
    tried = "\n".join(f"  {form}: {reader.expects}" for form, reader in READERS.items())
    raise DatasetError(
        f"{root} is no dataset of a known form; name one with --reader, or bring it into one of "
        f"those that were tried:\n{tried}"
    )
