"""Shards: what is written is read, and what is damaged is named."""

import hashlib
import multiprocessing
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from scenequilt.memory_bank.cut import cut_photograph, join_contents
from scenequilt.memory_bank.datasets.interface import Entry, LabelledPhotograph
from scenequilt.memory_bank.descriptor import resample_labels
from scenequilt.memory_bank.errors import BankCorruptError, BankFormatError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.store import (
    CROP_MARGIN_PX,
    Shard,
    ShardContents,
    SourceRecord,
    box_of,
    encode_color,
    encode_mask,
    pack_mask,
    seal,
    segment_id_of,
    sha256_of,
    write_shard,
)
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy

TAXONOMY = Taxonomy(
    "two", (ClassInfo(0, "sky", (0, 0, 200), "stuff"), ClassInfo(1, "car", (200, 0, 0), "thing"))
)
FRAME = (40, 60)
HASH = hashlib.sha256(b"photograph").hexdigest()


def smooth_image(height: int, width: int) -> NDArray[np.uint8]:
    """Return a picture that JPEG keeps to within a few grey values."""
    y, x = np.mgrid[:height, :width]
    channels = [x * 200 / width + 20, y * 200 / height + 20, (x + y) * 200 / (height + width)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def photograph(name: str = "a") -> LabelledPhotograph:
    """Sky above, two cars below, void at the bottom; 80 x 120 pixels."""
    label_map = np.full((80, 120), VOID, np.uint8)
    label_map[:40] = 0
    label_map[40:70, 10:50] = 1
    label_map[45:70, 60:119] = 1
    instance_map = np.zeros((80, 120), np.int32)
    instance_map[40:70, 10:50] = 1
    instance_map[45:70, 60:119] = 2
    entry = Entry(name, Path("images") / f"{name}.png", Path("labels") / f"{name}.png")
    return LabelledPhotograph(
        entry, smooth_image(80, 120), Layout(label_map, instance_map, TAXONOMY)
    )


def source_record(name: str = "a") -> SourceRecord:
    image_sha256 = hashlib.sha256(name.encode()).hexdigest()
    return SourceRecord(
        name, (80, 120), "train", "one", "CC0-1.0", "", image_sha256, HASH, f"images/{name}.png"
    )


def two_photographs() -> ShardContents:
    parts = [
        cut_photograph(photograph(name), source_record(name), FRAME, min_area_px=1)
        for name in ("a", "b")
    ]
    return seal(join_contents(FRAME, parts))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "one.h5"


@pytest.fixture
def shard(path: Path) -> Shard:
    write_shard(path, two_photographs())
    return Shard(path)


def test_segment_number_is_half_a_blake2b_of_photograph_class_box_and_mask() -> None:
    packed = np.array([0b10110000], np.uint8)
    text = bytes.fromhex(HASH)
    text += b"".join(number.to_bytes(4, "little") for number in (3, 5, 6, 7, 8))

    expected = hashlib.blake2b(text + b"\xb0", digest_size=8).digest()

    number = segment_id_of(HASH, 3, (5, 6, 7, 8), packed)
    assert number == int.from_bytes(expected, "little") // 2
    assert 0 <= number < 2**63


@pytest.mark.parametrize(
    ("image_sha256", "class_id", "box", "bits"),
    [
        (HASH[::-1], 3, (5, 6, 7, 8), 176),
        (HASH, 4, (5, 6, 7, 8), 176),
        (HASH, 3, (4, 6, 6, 8), 176),
        (HASH, 3, (5, 6, 7, 8), 177),
    ],
)
def test_segment_number_changes_with_each_of_its_parts(
    image_sha256: str, class_id: int, box: tuple[int, int, int, int], bits: int
) -> None:
    first = segment_id_of(HASH, 3, (5, 6, 7, 8), np.array([176], np.uint8))

    other = segment_id_of(image_sha256, class_id, box, np.array([bits], np.uint8))

    assert first != other


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_masks_come_back_bit_for_bit(mask: NDArray[np.bool_]) -> None:
    packed = np.frombuffer(zlib.decompress(encode_mask(pack_mask(mask))), np.uint8)

    back = np.unpackbits(packed, count=mask.size).reshape(mask.shape).astype(bool)

    np.testing.assert_array_equal(back, mask)


def test_png_keeps_every_pixel_up_to_the_margin() -> None:
    import cv2

    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    mask = np.zeros((200, 300), bool)
    mask[90:110, 140:160] = True

    encoded = np.frombuffer(encode_color(image, mask, "png"), np.uint8)
    decoded = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))

    margin = CROP_MARGIN_PX
    near = np.s_[90 - margin : 110 + margin, 140 - margin : 160 + margin]
    np.testing.assert_array_equal(decoded[near], image[near])
    assert (decoded[:48] == 128).all(), "what is far from the mask is grey"


def test_unknown_codec_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="codec 'webp'; there are jpeg95, png"):
        encode_color(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool), "webp")  # type: ignore[arg-type]


def test_a_shard_holds_what_was_cut(shard: Shard) -> None:
    assert len(shard) == 6
    assert [source.source_id for source in shard.sources] == ["a", "b"]
    assert shard.segments["class_id"].tolist() == [0, 1, 1] * 2
    assert shard.segments["box"][:3].tolist() == [
        [0, 0, 40, 120], [40, 10, 70, 50], [45, 60, 70, 119]
    ]  # fmt: skip
    assert shard.segments["area_px"][:3].tolist() == [4800, 1200, 1475]
    assert shard.segments["cut_by_frame"][:3].tolist() == [True, False, False]


def test_masks_of_a_shard_are_those_of_the_layout(shard: Shard) -> None:
    instance_map = photograph().layout.instance_map
    top, left, bottom, right = box_of(shard.segments["crop_box"][1])

    mask = shard.mask(1)

    np.testing.assert_array_equal(mask, instance_map[top:bottom, left:right] == 1)


def test_colours_are_the_photographs_on_the_mask_and_around_it(shard: Shard) -> None:
    top, left, bottom, right = box_of(shard.segments["crop_box"][1])
    assert (top, left, bottom, right) == (24, 0, 80, 66), "the box and 16 px, within the frame"

    color = shard.color(1)

    expected = photograph().image[top:bottom, left:right]
    assert np.abs(color.astype(int) - expected).max() <= 6


def test_colour_statistics_are_those_of_the_segments_own_pixels(shard: Shard) -> None:
    from skimage.color import rgb2lab

    photo = photograph()
    own = rgb2lab(photo.image)[photo.layout.instance_map == 2]

    row = shard.segments[2]

    np.testing.assert_allclose(row["lab_mean"], own.mean(axis=0), atol=0.2)
    np.testing.assert_allclose(row["lab_std"], own.std(axis=0), atol=0.2)


def test_layouts_come_back_from_their_runs(shard: Shard) -> None:
    expected = resample_labels(photograph().layout.label_map, FRAME)

    np.testing.assert_array_equal(shard.label_map(1), expected)


def test_arrays_are_views_of_the_file_on_word_boundaries(shard: Shard) -> None:
    for array in (shard.segments, shard.words, shard.cells, shard.shapes, shard.run_row_offset):
        assert not array.flags.writeable
        assert not array.flags.owndata
        assert array.ctypes.data % 8 == 0


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_shard(tmp_path / "one.h5", two_photographs(), task_id="t")

    second = write_shard(tmp_path / "two.h5", two_photographs(), task_id="t")

    assert first == second
    assert first.sha256 == sha256_of(tmp_path / "one.h5")


def test_a_shard_without_segments_can_be_read(path: Path) -> None:
    write_shard(path, seal(join_contents(FRAME, [])))

    assert len(Shard(path)) == 0
    assert list(Shard(path).faults()) == []


def test_nothing_is_left_of_a_write_that_fails(path: Path) -> None:
    broken = replace(two_photographs(), words=np.array(["no number"]))

    with pytest.raises((TypeError, ValueError)):
        write_shard(path, broken)

    assert list(path.parent.iterdir()) == []


def test_digests_do_not_depend_on_where_the_photograph_was(path: Path) -> None:
    moved = replace(source_record(), image_path="elsewhere/a.png")
    here = seal(cut_photograph(photograph(), source_record(), FRAME))
    there = seal(cut_photograph(photograph(), moved, FRAME))

    np.testing.assert_array_equal(here.segments["digest"], there.segments["digest"])


def test_digests_do_not_depend_on_how_the_label_file_is_encoded() -> None:
    other = replace(source_record(), label_sha256="0" * 64)
    here = seal(cut_photograph(photograph(), source_record(), FRAME))
    there = seal(cut_photograph(photograph(), other, FRAME))

    np.testing.assert_array_equal(here.segments["digest"], there.segments["digest"])


@pytest.mark.parametrize(
    "changed",
    [
        replace(source_record(), licence="CC-BY"),
        replace(source_record(), sequence="two"),
        replace(source_record(), split="val"),
        replace(source_record(), source_id="z"),
    ],
)
def test_digests_depend_on_what_is_known_of_the_photograph(changed: SourceRecord) -> None:
    before = seal(cut_photograph(photograph(), source_record(), FRAME))
    after = seal(cut_photograph(photograph(), changed, FRAME))

    assert (before.segments["digest"] != after.segments["digest"]).any(axis=1).all()


def test_an_undamaged_shard_has_no_faults(shard: Shard) -> None:
    assert list(shard.faults()) == []


def flip(path: Path, position: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(position)
        byte = stream.read(1)[0]
        stream.seek(position)
        stream.write(bytes([byte ^ 0xFF]))


def place_of(path: Path, dataset: str) -> tuple[int, int]:
    with h5py.File(path) as file:
        return file[dataset].id.get_offset(), file[dataset].nbytes


@pytest.mark.parametrize(
    ("dataset", "record"),
    [
        ("segments", "segment"),
        ("color", "segment"),
        ("mask", "segment"),
        ("words", "segment"),
        ("cells", "segment"),
        ("shapes", "segment"),
        ("sources", "source"),
        ("source_crc", "source"),
        ("run_row_offset", "source"),
        ("run_end", "source"),
        ("run_label", "source"),
    ],
)
@pytest.mark.parametrize("where", [0.0, 0.37, 0.99])
def test_a_flipped_byte_is_found_and_its_record_named(
    path: Path, shard: Shard, dataset: str, record: str, where: float
) -> None:
    start, length = place_of(path, dataset)

    flip(path, start + int(where * length))

    faults = [str(fault) for fault in Shard(path).faults()]
    assert faults
    assert faults[0].startswith("shards/one.h5: ")
    assert record in faults[0]


@pytest.mark.parametrize(("dataset", "read"), [("color", "color"), ("mask", "mask")])
def test_a_damaged_segment_is_refused_when_it_is_read(
    path: Path, shard: Shard, dataset: str, read: str
) -> None:
    flip(path, place_of(path, dataset)[0] + 5)
    number = shard.segments["segment_id"][0]

    with pytest.raises(BankCorruptError, match=rf"one\.h5: segment {number}: {read} has crc32"):
        getattr(Shard(path), read)(0)


@pytest.mark.parametrize(
    ("dataset", "record"),
    [
        ("segments", "segment in row"),
        ("words", "segment in row"),
        ("cells", "segment in row"),
        ("shapes", "segment in row"),
        ("source_offset", "source"),
        ("source_crc", "source"),
        ("sources", "source"),
        ("run_offset", "source"),
        ("run_row_offset", "source"),
        ("run_end", "source"),
        ("run_label", "source"),
    ],
)
@pytest.mark.parametrize("where", [0.0, 0.37, 0.99])
def test_what_a_search_compares_is_refused_if_it_is_damaged(
    path: Path, shard: Shard, dataset: str, record: str, where: float
) -> None:
    shard.check_arrays()
    start, length = place_of(path, dataset)
    flip(path, start + int(where * length))

    with pytest.raises(BankCorruptError, match=rf"one\.h5: .*{record}.*; bring the file back"):
        Shard(path).check_arrays()


def test_a_damaged_row_is_refused_before_its_numbers_are_used(path: Path, shard: Shard) -> None:
    start, length = place_of(path, "segments")
    flip(path, start + length // len(shard))  # the number of the second segment

    for read in (Shard(path).row, Shard(path).color, Shard(path).mask, Shard(path).box_mask):
        with pytest.raises(BankCorruptError, match=r"one\.h5: segment in row 1 has another crc32"):
            read(1)
    assert Shard(path).row(0)["area_px"] == 4800


def test_a_damaged_layout_is_refused_when_it_is_read(path: Path, shard: Shard) -> None:
    flip(path, place_of(path, "run_row_offset")[0])

    with pytest.raises(BankCorruptError, match=r"one\.h5: source in row 0 has another crc32"):
        Shard(path).label_map(0)
    assert Shard(path).label_map(1).shape == FRAME


def test_a_cut_off_file_is_refused(path: Path, shard: Shard) -> None:
    path.write_bytes(path.read_bytes()[:5000])

    with pytest.raises(BankCorruptError, match=r"one\.h5 cannot be read as a shard"):
        Shard(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BankCorruptError, match=r"gone\.h5 is missing; bring it back"):
        Shard(tmp_path / "gone.h5")


def test_another_version_is_refused_with_the_remedy(path: Path, shard: Shard) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 7

    with pytest.raises(BankFormatError, match=r"version 7, this program reads .* build the bank"):
        Shard(path)


def _colors_in_child(shard: Shard, out: "multiprocessing.Queue[int]") -> None:
    out.put(int(shard.color(1).sum()))


def test_a_shard_may_cross_a_fork(shard: Shard) -> None:
    import warnings

    context = multiprocessing.get_context("fork")
    out = context.Queue()
    child = context.Process(target=_colors_in_child, args=(shard, out))
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork while threads run.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()

    assert out.get(timeout=30) == shard.color(1).sum()
    child.join()
