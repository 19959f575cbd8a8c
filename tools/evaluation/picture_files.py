"""Pictures and label maps on disk, found and paired by name."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from scenequilt.memory_bank.datasets.interface import DatasetReader
from scenequilt.memory_bank.datasets.open import READERS
from scenequilt.memory_bank.datasets.plain import PlainReader
from scenequilt.memory_bank.errors import DatasetError

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

ENDINGS = ("_leftImg8bit", "_gtFine_labelIds", "_gtFine_labelTrainIds")
"""What Cityscapes adds to a name to say what a file holds; names are compared without it."""

_PARENTS = 3
"""Folders above a file that may be part of its name, as where two splits use one name."""


def plain_name(stem: str) -> str:
    """Return a name without what Cityscapes adds to it."""
    for ending in ENDINGS:
        stem = stem.removesuffix(ending)
    return stem


def dataset_at(folder: Path) -> DatasetReader | None:
    """Return the reader of the dataset in a folder, None if it is no dataset.

    A folder with a classes.json and no images/ counts as none: runs of compose have one too.

    Raises:
        DatasetError: If it is a dataset whose files are wrong.
    """
    for reader in READERS.values():
        if reader.recognises(folder):
            if reader is PlainReader and not (folder / "images").is_dir():
                return None
            return reader.open(folder)
    return None


def check_folder(folder: Path, argument: str) -> None:
    """Refuse what is no folder; arguments as for find_pictures.

    Raises:
        DatasetError: If it is a file or does not exist.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DatasetError(f"{argument} {folder} {what}; expected a folder of pictures")


def find_pictures(folder: Path, argument: str) -> list[Path]:
    """List the pictures of a folder and below, sorted; of a dataset, its photographs.

    Args:
        folder: The folder.
        argument: Its name on the command line, for messages, e.g. "--real".

    Raises:
        DatasetError: If the folder does not exist or holds no picture.
    """
    check_folder(folder, argument)
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        found = _pictures_below(folder / "images")
    elif reader := dataset_at(folder):
        found = [entry.image_path for entry in reader.entries() if entry.image_path.is_file()]
    else:
        found = _pictures_below(folder)
    if not found:
        raise DatasetError(
            f"{argument} {folder}: no picture in this folder or below, expected "
            f"{', '.join(f'*{suffix}' for suffix in PICTURE_SUFFIXES)}; name the folder that holds "
            "them"
        )
    return found


class PictureIndex:
    """Pictures by every name that they may be asked for by.

    A picture goes by its file's name without suffix (and without what Cityscapes adds), and, since
    two splits may use one name, by the same with its folders in front: "0001" and "val-0001".

    Args:
        paths: The pictures.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths: defaultdict[str, list[Path]] = defaultdict(list)
        for path in paths:
            for name in names_of(path):
                self._paths[name].append(path)

    def find(self, name: str) -> list[Path]:
        """Return the pictures of a name, in the order given; more than one is for the caller."""
        return list(self._paths.get(name, ()))


def names_of(path: Path) -> list[str]:
    """Return the names that a picture goes by, the shortest first."""
    parents = path.absolute().parts[:-1]
    stem = plain_name(path.stem)
    return ["-".join([*parents[len(parents) - depth :], stem]) for depth in range(_PARENTS + 1)]


def in_words(names: Sequence[str], shown: int = 3) -> str:
    """Return the first names of a list, and that there are more, e.g. "a, b, c, ..."."""
    return ", ".join([*names[:shown], *(["..."] if len(names) > shown else [])])


def _pictures_below(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not path.is_dir()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
