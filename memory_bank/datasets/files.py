"""Decoding of single files: photographs, label maps, instance maps and depth maps."""

import io
import logging
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from scenequilt.memory_bank.datasets.interface import Repair
from scenequilt.memory_bank.errors import DatasetError, LabelError
from scenequilt.memory_bank.extract_kernels import grow_numbers, label_components, mark_between
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy

Color = tuple[int, int, int]

InstanceForm = Literal["numbers", "cityscapes", "over_labels"]
"""What the values of an instance file mean.

numbers: 0 = no object, else the object's number. cityscapes: file id * 1000 + number for an object,
below 1000 for everything else. over_labels: the label map with each object's number, from 0,
written over it, as it is done for COCO-Stuff.
"""

PHOTOGRAPH_SUFFIXES = (".jpg", ".jpeg", ".png")

_PHOTOGRAPH_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}
_BROKEN_IMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for damaged files."""

_FAR_FROM_EVERY_COLOR = 60.0
_RIM_PX = 4
_ENOUGH_BORDERS = 256
_SMOOTHED_SHARE = 0.15
"""True label maps of CamVid, NYU, Cityscapes and COCO-Stuff have at most 0.02, resized ones 0.03,
and linear or cubic resizing gives 0.27 to 0.83."""
_EXIF_ORIENTATION = 0x0112

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Raster:
    """A decoded image file.

    Attributes:
        path: The file.
        is_jpeg: True if the file's compression changes values.
        mode: How Pillow calls its channels, e.g. "L", "P", "RGB", "I;16".
        values: (H, W) or (H, W, C); palette files hold indices, not colours.
    """

    path: Path
    is_jpeg: bool
    mode: str
    values: NDArray[Any]

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.values.shape[:2]
        return height, width


def read_photograph(path: Path) -> NDArray[np.uint8]:
    """Read a photograph as (H, W, 3) uint8 RGB.

    Pixels are taken as they are stored; an EXIF orientation is not applied, because label maps are
    drawn on stored pixels. Grey becomes RGB, and transparency is dropped.

    Raises:
        DatasetError: If the file is missing, truncated or no image, or has 16 bits a channel or
            channels that are not RGB (CMYK).
    """
    picture, encoded = _open(path, "photograph", DatasetError)
    bits = _png_bits(encoded)
    if bits == 16 or picture.mode not in _PHOTOGRAPH_MODES:
        found = "16 bits a channel" if bits == 16 else f"mode {picture.mode}"
        raise DatasetError(
            f"{path}: photograph has {found}, expected 8-bit RGB or grey; convert it to 8-bit RGB"
        )
    return np.array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def read_raster(path: Path, what: str) -> Raster:
    """Decode a label, instance or depth file without touching its values.

    Args:
        path: The file.
        what: What it is, for messages, e.g. "label map".

    Raises:
        LabelError: If it is missing, truncated, or no image.
    """
    picture, _ = _open(path, what, LabelError)
    values = np.array(picture)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8)
    return Raster(path, picture.format == "JPEG", picture.mode, values)


OWN_CLASSES = (
    "list it in classes.json as a class or in void_ids, or name another form with --reader"
)
"""Remedy for an unknown value where the dataset brings its own list of classes."""

FIXED_CLASSES = (
    "the values of this form are fixed: name another form with --reader, or bring the dataset into "
    "the plain form, whose classes.json lists its own"
)
"""Remedy for an unknown value in a published form."""


def decode_ids(
    raster: Raster, taxonomy: Taxonomy, repair: Repair = "none", *, remedy: str = OWN_CLASSES
) -> NDArray[np.uint8]:
    """Turn the file ids of a label file into class ids.

    A map whose ids were blended along its borders is refused even if every blend is a class: in a
    true one hardly any pixel lies between the values of its neighbours. With repair "nearest"
    blends and values that are no class take the class of the nearest pixel that is neither, and
    255 becomes void; how many pixels changed is logged as a warning.

    Args:
        raster: One channel of 8 or 16 bits.
        taxonomy: The classes and their file ids.
        repair: What to do with blends, and with values that are neither a class nor void.
        remedy: What a user can do about a value that is no class, for the message.

    Returns:
        (H, W) uint8 class ids, 255 = void.

    Raises:
        LabelError: If the file holds colours, is a JPEG, has another bit depth, or holds blends or
            values that are no class, and repair is "none" or cannot help.
    """
    path, values = raster.path, raster.values
    if values.ndim == 3:
        raise LabelError(_colors_instead_of_ids(raster))
    if values.dtype.kind not in "ui":
        raise LabelError(
            f"{path}: label map has mode {raster.mode} ({values.dtype}), expected class ids of 8 or "
            "16 bits; save it as an 8-bit PNG of one channel"
        )
    if raster.is_jpeg:
        raise LabelError(
            f"{path}: label map is a JPEG, which changes class ids beyond repair; export it again "
            "as PNG"
        )
    if values.min() < 0 or values.max() > 65535:
        raise LabelError(
            f"{path}: label map holds {values.min()} to {values.max()}, expected "
            f"{_expected_ids(taxonomy)}; save the class ids as an 8-bit PNG"
        )

    table = taxonomy.class_of_file_id
    counts = np.bincount(values.ravel())
    present = np.flatnonzero(counts)
    unknown = present[table[present] < 0]
    if unknown.size and repair == "none":
        raise LabelError(
            _unknown_ids(raster, taxonomy, unknown, int(counts[unknown].sum()), remedy)
        )
    between, found, borders = mark_between(np.ascontiguousarray(values))
    is_smoothed = borders >= _ENOUGH_BORDERS and found > _SMOOTHED_SHARE * borders
    if is_smoothed and repair == "none":
        raise LabelError(_smoothed(raster, between, found / borders))
    if unknown.size or is_smoothed:
        return _repaired(raster, taxonomy, table[values], between & is_smoothed)
    label_map: NDArray[np.uint8] = table.astype(np.uint8)[values]
    return label_map


def decode_colors(
    raster: Raster,
    taxonomy: Taxonomy,
    void_colors: tuple[Color, ...] = ((0, 0, 0),),
    repair: Repair = "none",
) -> NDArray[np.uint8]:
    """Turn the colours of a label file into class ids.

    With repair "nearest" a colour that is in no class takes the nearest colour of the table, which
    undoes anti-aliasing and JPEG; how many pixels changed is logged as a warning.

    Args:
        raster: RGB, or a palette of RGB.
        taxonomy: The classes and their colours.
        void_colors: Colours that mean void, unless a class has them.
        repair: What to do with colours that are in neither.

    Returns:
        (H, W) uint8 class ids, 255 = void.

    Raises:
        LabelError: If the file holds one channel, or colours that are no class, and repair is
            "none" or cannot help.
    """
    path, values = raster.path, raster.values
    if raster.mode not in ("RGB", "RGBA"):
        raise LabelError(
            f"{path}: label map has mode {raster.mode}, expected RGB colours; if it holds class "
            "ids, read it with --reader plain"
        )
    colors = [entry.color for entry in taxonomy.classes]
    class_ids = list(range(len(colors)))
    for color in void_colors:
        if color not in colors:
            colors.append(color)
            class_ids.append(VOID)
    table = np.array(colors, np.int64)
    codes = _color_codes(table)
    in_order = np.argsort(codes)
    pixels = _color_codes(values)
    place = in_order[np.searchsorted(codes[in_order], pixels).clip(max=len(codes) - 1)]
    wrong = codes[place] != pixels
    if wrong.any():
        if repair == "none":
            raise LabelError(_unknown_colors(raster, taxonomy, wrong))
        place[wrong], far = _nearest_colors(values[wrong][:, :3], table)
        if far > 0.25 * wrong.size:
            raise LabelError(
                f"{path}: {far} of {wrong.size} pixels are far from every colour of "
                f"{taxonomy.name!r}, too many to be smoothed edges; expected a mask of the colours "
                "in classes.json"
            )
        _warn_repaired(path, int(np.count_nonzero(wrong)), wrong.size)
    label_map: NDArray[np.uint8] = np.array(class_ids, np.uint8)[place]
    return label_map


def decode_instances(
    raster: Raster, label_map: NDArray[np.uint8], taxonomy: Taxonomy, form: InstanceForm
) -> NDArray[np.int32]:
    """Turn an instance file into an instance map; what it says of stuff and void is dropped.

    Args:
        raster: One channel.
        label_map: (H, W) class ids of the same picture.
        taxonomy: The classes.
        form: What the values mean.

    Returns:
        (H, W) int32, 0 = stuff, void, or a thing without a number.

    Raises:
        LabelError: If the file has another size, several channels, or another bit depth.
    """
    path, values = raster.path, raster.values
    check_size(raster, label_map.shape, "instance map", "label map")
    if values.ndim == 3 or values.dtype.kind not in "ui" or raster.is_jpeg:
        kind = "a JPEG" if raster.is_jpeg else f"of mode {raster.mode}"
        raise LabelError(
            f"{path}: instance map is {kind}, expected one channel of 8 or 16 bits in a PNG"
        )
    if form == "cityscapes" and values.dtype == np.uint8:
        raise LabelError(
            f"{path}: instance map has 8 bits, expected 16: its values are file id * 1000 + number"
        )
    numbers = values.astype(np.int32)
    if form == "cityscapes":
        numbers[numbers < 1000] = 0
    elif form == "over_labels":
        numbers = np.where(numbers == taxonomy.encode(label_map), 0, numbers + 1)
    is_thing = np.zeros(256, np.bool_)
    is_thing[: len(taxonomy)] = [entry.kind == "thing" for entry in taxonomy.classes]
    numbers = (numbers * is_thing[label_map]).astype(np.int32)
    if form == "over_labels":
        numbers = _close_rims(label_map, numbers, is_thing)
    return numbers


def decode_depth(raster: Raster, size_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Turn a depth file of 16 bits, in millimetres, into (H, W) float32 metres, 0 = unknown.

    Raises:
        LabelError: If the file has another size or another bit depth.
    """
    check_size(raster, size_hw, "depth map", "label map")
    if raster.values.ndim == 3 or raster.values.dtype not in (np.uint16, np.int32):
        raise LabelError(
            f"{raster.path}: depth map has mode {raster.mode} ({raster.values.dtype}), expected a "
            "16-bit PNG of one channel, in millimetres, 0 = unknown"
        )
    return raster.values.astype(np.float32) / np.float32(1000.0)


def check_size(raster: Raster, size_hw: tuple[int, ...], what: str, other: str) -> None:
    """Refuse a file that does not have the size of its companion.

    Raises:
        LabelError: If the sizes differ.
    """
    if raster.size_hw != tuple(size_hw):
        height, width = raster.size_hw
        raise LabelError(
            f"{raster.path}: {what} is {width}x{height}, but the {other} is "
            f"{size_hw[1]}x{size_hw[0]}; make them one size (label, instance and depth maps by "
            "nearest neighbour)"
        )


def has_exif_rotation(path: Path) -> bool:
    """Return True if viewers turn this photograph, by its EXIF orientation."""
    with Image.open(path) as picture:
        return int(picture.getexif().get(_EXIF_ORIENTATION, 1)) != 1


def _open(path: Path, what: str, error: type[DatasetError]) -> tuple[Image.Image, bytes]:
    try:
        encoded = path.read_bytes()
    except FileNotFoundError as reason:
        raise error(f"{path}: {what} is missing; add it, as the others have one") from reason
    except OSError as reason:
        raise error(f"{path}: {what} cannot be read: {reason.strerror}") from reason
    if not encoded:
        raise error(f"{path}: {what} is empty (0 bytes); copy it again")
    try:
        picture = Image.open(io.BytesIO(encoded))
        picture.load()
    except UnidentifiedImageError as reason:
        raise error(
            f"{path}: {what} is no image that can be decoded; expected JPEG or PNG: copy it again"
        ) from reason
    except _BROKEN_IMAGE as reason:
        raise error(f"{path}: {what} is truncated or damaged ({reason}); copy it again") from reason
    return picture, encoded


def _png_bits(encoded: bytes) -> int:
    """Return the bits a channel of a PNG, which Pillow does not tell for colours; 8 for others."""
    return encoded[24] if encoded.startswith(b"\x89PNG") else 8


def _expected_ids(taxonomy: Taxonomy) -> str:
    """Return the values of a label file in words, e.g. "0-10 (classes) or 11 (void)"."""
    classes = _ranges([entry.file_id for entry in taxonomy.classes])
    return f"{classes} (classes of {taxonomy.name!r}) or {_ranges(taxonomy.void_file_ids)} (void)"


def _ranges(values: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(f"{low}-{high}" if low < high else f"{low}" for low, high in runs)


def _unknown_ids(
    raster: Raster, taxonomy: Taxonomy, unknown: NDArray[np.intp], pixels: int, remedy: str
) -> str:
    first = int(unknown[0])
    y, x = np.argwhere(raster.values == first)[0].tolist()
    others = ", ".join(str(value) for value in unknown[1:6])
    more = f", also {others}" + (", ..." if unknown.size > 6 else "") if others else ""
    found = f"value {first} at x={x} y={y}{more} ({pixels} pixels)"
    if unknown.tolist() == [VOID]:
        remedy += "; --repair nearest takes 255 for void"
    else:
        remedy += "; if anti-aliasing or resizing made it, read with --repair nearest"
    return f"{raster.path}: label map holds {found}, expected {_expected_ids(taxonomy)}; {remedy}"


def _colors_instead_of_ids(raster: Raster) -> str:
    if raster.mode in ("LA", "RGB", "RGBA") and (
        raster.mode == "LA" or not np.ptp(raster.values[..., :3], axis=2).any()
    ):
        remedy = "its channels are equal: save one of them as an 8-bit PNG"
    else:
        remedy = "if each class has its colour in classes.json, read with --reader rgb_masks"
    return (
        f"{raster.path}: label map has mode {raster.mode}, expected class ids in one channel; "
        f"{remedy}"
    )


def _unknown_colors(raster: Raster, taxonomy: Taxonomy, wrong: NDArray[np.bool_]) -> str:
    y, x = np.argwhere(wrong)[0].tolist()
    color = tuple(raster.values[y, x, :3].tolist())
    distance = [np.abs(np.subtract(entry.color, color)).sum() for entry in taxonomy.classes]
    nearest = taxonomy.classes[int(np.argmin(distance))]
    count = len(np.unique(_color_codes(raster.values[wrong])))
    cause = "JPEG changes colours" if raster.is_jpeg else "anti-aliasing or resizing makes such"
    return (
        f"{raster.path}: label map holds colour {color} at x={x} y={y} (in all {count} colours of "
        f"no class on {np.count_nonzero(wrong)} pixels), expected the colours in classes.json, the "
        f"nearest is {nearest.color} {nearest.name}; add it there, or, as {cause}, read with "
        "--repair nearest"
    )


def _color_codes(colors: NDArray[Any]) -> NDArray[np.int64]:
    """Return (...) one number a colour of (..., 3 or more)."""
    wide = colors.astype(np.int64)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _nearest_colors(
    colors: NDArray[np.uint8], table: NDArray[np.int64]
) -> tuple[NDArray[np.intp], int]:
    """Return the row of the table nearest to each colour, and how many are far from all."""
    _, first, inverse = np.unique(_color_codes(colors), return_index=True, return_inverse=True)
    distinct = colors[first].astype(np.int64)
    nearest = np.empty(len(distinct), np.intp)
    far = np.empty(len(distinct), np.bool_)
    for row, color in enumerate(distinct):
        squared = np.square(table - color).sum(axis=1)
        nearest[row] = squared.argmin()
        far[row] = squared[nearest[row]] > _FAR_FROM_EVERY_COLOR**2
    return nearest[inverse], int(np.count_nonzero(far[inverse]))


def _smoothed(raster: Raster, between: NDArray[np.bool_], share: float) -> str:
    y, x = np.argwhere(between)[0].tolist()
    return (
        f"{raster.path}: label map was smoothed: at {share:.0%} of its borders a pixel has a value "
        f"between those beside it, e.g. {raster.values[y, x]} at x={x} y={y}, expected class ids "
        "with hard borders; resize it by nearest neighbour, or read with --repair nearest"
    )


def _repaired(
    raster: Raster,
    taxonomy: Taxonomy,
    class_ids: NDArray[np.int16],
    blended: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Give what is no class, and what is blended, the class of the nearest pixel that is neither."""
    from scipy.ndimage import distance_transform_edt

    wrong = (class_ids < 0) | blended
    changed = int(np.count_nonzero(wrong))
    if taxonomy.class_of_file_id[VOID] < 0:
        is_void = raster.values == VOID
        class_ids = np.where(is_void, np.int16(VOID), class_ids)
        wrong &= ~is_void
    share = np.count_nonzero(wrong) / wrong.size
    if share > 0.5:
        raise LabelError(
            f"{raster.path}: {share:.0%} of the label map is no class, too much to be repaired "
            f"from its neighbours; expected {_expected_ids(taxonomy)}: these are labels of another "
            "dataset"
        )
    _warn_repaired(raster.path, changed, wrong.size)
    if wrong.any():
        rows, columns = distance_transform_edt(wrong, return_distances=False, return_indices=True)
        class_ids = class_ids[rows, columns]
    return class_ids.astype(np.uint8)


def _close_rims(
    label_map: NDArray[np.uint8], numbers: NDArray[np.int32], is_thing: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Number the rims of objects whose outlines were drawn a little inside their labels.

    A piece without a number takes those of its class beside it if all of it is that near; what is
    further away is an object of its own.
    """
    is_open = is_thing[label_map] & (numbers == 0)
    if not is_open.any():
        return numbers
    grown = grow_numbers(label_map, numbers, is_open, _RIM_PX)
    pieces, first_pixel = label_components(
        np.where(is_open, label_map, VOID).astype(np.uint8), numbers, is_thing, VOID
    )
    left = np.bincount(pieces[grown == 0], minlength=len(first_pixel))
    return np.where(left[pieces] == 0, grown, numbers)


def _warn_repaired(path: Path, pixels: int, of_pixels: int) -> None:
    logger.warning(
        "%s: %d of %d pixels were no class and took the nearest", path, pixels, of_pixels
    )
