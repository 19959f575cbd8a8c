"""Single files: what is decoded, what is refused with which words, and what is repaired."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.memory_bank.datasets.files import (
    FIXED_CLASSES,
    check_size,
    decode_colors,
    decode_depth,
    decode_ids,
    decode_instances,
    read_photograph,
    read_raster,
)
from scenequilt.memory_bank.errors import DatasetError, LabelError
from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy

SKY, CAR = 0, 1
TAXONOMY = Taxonomy(
    "two",
    (
        ClassInfo(0, "sky", (70, 130, 180), "stuff"),
        ClassInfo(7, "car", (0, 0, 142), "thing"),
    ),
    (11,),
)


def saved(path: Path, values: NDArray[Any], **how: Any) -> Path:  # noqa: ANN401
    Image.fromarray(values).save(path, **how)
    return path


def ids(tmp_path: Path, *rows: list[int]) -> Path:
    return saved(tmp_path / "a.png", np.array(rows, np.uint8))


def test_photograph_is_rgb(tmp_path: Path) -> None:
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 0] = 200

    assert (read_photograph(saved(tmp_path / "a.png", red)) == red).all()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_other_eight_bit_photographs_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (3, 2), (255, 255, 255)).convert(mode).save(path)

    assert (read_photograph(path) == 255).all()


def test_photograph_is_read_as_stored_whatever_its_exif_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.jpg", np.zeros((2, 4, 3), np.uint8), exif=exif)

    assert read_photograph(path).shape == (2, 4, 3)


def test_cmyk_photograph_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (4, 4)).save(path)

    with pytest.raises(DatasetError, match=r"a\.jpg: photograph has mode CMYK, expected 8-bit RGB"):
        read_photograph(path)


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_photograph_is_refused(tmp_path: Path, channels: int) -> None:
    import cv2

    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((4, 4, channels), np.uint16))

    with pytest.raises(DatasetError, match="photograph has 16 bits a channel, expected 8-bit RGB"):
        read_photograph(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_photograph_is_refused_without_a_word_on_stderr(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, kept: float
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = saved(tmp_path / f"a{suffix}", noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])

    with pytest.raises(DatasetError, match=r"a\.\w+: photograph is (truncated|no image)"):
        read_photograph(path)

    assert capfd.readouterr().err == ""


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()

    with pytest.raises(DatasetError, match=r"a\.jpg: photograph is empty \(0 bytes\); copy it"):
        read_photograph(path)


def test_text_is_no_photograph(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_text("version https://git-lfs")

    with pytest.raises(DatasetError, match="photograph is no image that can be decoded; expected"):
        read_photograph(path)


def test_missing_label_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"a\.png: label map is missing"):
        read_raster(tmp_path / "a.png", "label map")


def test_ids_become_class_ids_and_void(tmp_path: Path) -> None:
    raster = read_raster(ids(tmp_path, [0, 7, 11]), "label map")

    assert decode_ids(raster, TAXONOMY).tolist() == [[SKY, CAR, VOID]]


def test_palette_files_are_read_as_indices(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 7]], np.uint8), "P")
    picture.putpalette([9, 9, 9] * 256)
    picture.save(tmp_path / "a.png")

    raster = read_raster(tmp_path / "a.png", "label map")

    assert decode_ids(raster, TAXONOMY).tolist() == [[SKY, CAR]]


def test_sixteen_bit_ids_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.array([[0, 7]], np.uint16))

    assert decode_ids(read_raster(path, "label map"), TAXONOMY).tolist() == [[SKY, CAR]]


def test_unknown_id_is_refused_with_place_count_and_remedy(tmp_path: Path) -> None:
    raster = read_raster(ids(tmp_path, [0, 7, 3], [3, 5, 0]), "label map")

    says = (
        r"a\.png: label map holds value 3 at x=2 y=0, also 5 \(3 pixels\), "
        r"expected 0, 7 \(classes of 'two'\) or 11 \(void\); list it in classes\.json .*"
        r"--reader.*--repair nearest"
    )
    with pytest.raises(LabelError, match=says):
        decode_ids(raster, TAXONOMY)


def test_255_that_is_not_void_is_refused_with_its_own_remedy(tmp_path: Path) -> None:
    raster = read_raster(ids(tmp_path, [0, 255]), "label map")

    with pytest.raises(
        LabelError,
        match=r"value 255 at .*list it in .* void_ids.*--repair nearest takes 255 for void",
    ):
        decode_ids(raster, TAXONOMY)


def test_colors_where_ids_are_expected_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.array([[[70, 130, 180]]], np.uint8))

    with pytest.raises(LabelError, match=r"mode RGB, expected class ids .* --reader rgb_masks"):
        decode_ids(read_raster(path, "label map"), TAXONOMY)


def test_grey_saved_as_rgb_has_its_own_remedy(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.full((2, 2, 3), 7, np.uint8))

    with pytest.raises(
        LabelError, match="its channels are equal: save one of them as an 8-bit PNG"
    ):
        decode_ids(read_raster(path, "label map"), TAXONOMY)


@pytest.mark.parametrize("repair", ["none", "nearest"])
def test_jpeg_of_ids_is_refused(tmp_path: Path, repair: Any) -> None:  # noqa: ANN401
    path = saved(tmp_path / "a.jpg", np.full((8, 8), 7, np.uint8))

    with pytest.raises(LabelError, match="is a JPEG, which changes class ids beyond repair"):
        decode_ids(read_raster(path, "label map"), TAXONOMY, repair)


def test_float_label_map_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tiff"
    Image.new("F", (2, 2)).save(path)

    with pytest.raises(
        LabelError, match=r"label map has mode F \(float32\), expected class ids of 8"
    ):
        decode_ids(read_raster(path, "label map"), TAXONOMY)


def test_repair_gives_unknown_ids_the_class_of_the_nearest_pixel(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raster = read_raster(ids(tmp_path, [0, 0, 3, 5, 7, 7]), "label map")

    with caplog.at_level(logging.WARNING):
        repaired = decode_ids(raster, TAXONOMY, "nearest")

    assert repaired.tolist() == [[SKY, SKY, SKY, CAR, CAR, CAR]]
    assert "a.png: 2 of 6 pixels were no class and took the nearest" in caplog.text


def test_repair_makes_255_void(tmp_path: Path) -> None:
    raster = read_raster(ids(tmp_path, [0, 255, 255, 7]), "label map")

    assert decode_ids(raster, TAXONOMY, "nearest").tolist() == [[SKY, VOID, VOID, CAR]]


CONTIGUOUS = Taxonomy(
    "ten", tuple(ClassInfo(value, f"c{value}", (value, 0, 1), "stuff") for value in range(10))
)


def blocks() -> NDArray[np.uint8]:
    """Return a map of 12 blocks with values 0 to 9."""
    values = np.random.default_rng(5).integers(0, 10, (3, 4), np.uint8)
    return np.repeat(np.repeat(values, 20, axis=0), 20, axis=1)


def smoothed(tmp_path: Path) -> Path:
    picture = Image.fromarray(blocks())
    picture.resize((160, 120), Image.Resampling.BILINEAR).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_smoothed_ids_are_refused_though_each_is_a_class(tmp_path: Path) -> None:
    raster = read_raster(smoothed(tmp_path), "label map")

    says = r"a\.png: label map was smoothed: at \d\d% of its borders .*--repair nearest"
    with pytest.raises(LabelError, match=says):
        decode_ids(raster, CONTIGUOUS)


def test_hard_borders_between_distant_ids_are_accepted(tmp_path: Path) -> None:
    raster = read_raster(saved(tmp_path / "a.png", blocks()), "label map")

    assert (decode_ids(raster, CONTIGUOUS) == blocks()).all()


def test_repair_undoes_the_smoothing_of_ids(tmp_path: Path) -> None:
    raster = read_raster(smoothed(tmp_path), "label map")

    repaired = decode_ids(raster, CONTIGUOUS, "nearest")

    truth = np.repeat(np.repeat(blocks(), 2, axis=0), 2, axis=1)
    assert (repaired == truth).mean() > 0.98


def test_repair_refuses_labels_of_another_dataset(tmp_path: Path) -> None:
    raster = read_raster(ids(tmp_path, [0, 3, 4, 5]), "label map")

    with pytest.raises(
        LabelError, match="75% of the label map is no class, too much to be repaired"
    ):
        decode_ids(raster, TAXONOMY, "nearest")


def colored(*colors: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.array([colors], np.uint8)


def test_colors_become_class_ids_and_void(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", colored((70, 130, 180), (0, 0, 142), (0, 0, 0)))

    label_map = decode_colors(read_raster(path, "label map"), TAXONOMY)

    assert label_map.tolist() == [[SKY, CAR, VOID]]


def test_unknown_color_is_refused_with_the_nearest_class(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", colored((70, 130, 180), (1, 0, 140)))

    says = (
        r"holds colour \(1, 0, 140\) at x=1 y=0 \(in all 1 colours of no class on 1 pixels\), "
        r".* nearest is \(0, 0, 142\) car; .*anti-aliasing.*--repair nearest"
    )
    with pytest.raises(LabelError, match=says):
        decode_colors(read_raster(path, "label map"), TAXONOMY)


def test_jpeg_of_colors_is_named_as_the_cause(tmp_path: Path) -> None:
    mask = np.zeros((16, 16, 3), np.uint8)
    mask[:, :7] = (70, 130, 180)
    path = saved(tmp_path / "a.jpg", mask)

    with pytest.raises(LabelError, match="as JPEG changes colours, read with --repair nearest"):
        decode_colors(read_raster(path, "label map"), TAXONOMY)


def test_repair_undoes_a_jpeg_of_colors(tmp_path: Path) -> None:
    mask = np.zeros((16, 16, 3), np.uint8)
    mask[:, :8] = (70, 130, 180)
    mask[:, 8:] = (0, 0, 142)
    path = saved(tmp_path / "a.jpg", mask, quality=90)

    repaired = decode_colors(read_raster(path, "label map"), TAXONOMY, repair="nearest")

    assert (repaired == [[SKY] * 8 + [CAR] * 8]).all()


def test_repair_refuses_what_is_no_mask(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", np.full((4, 4, 3), (255, 255, 0), np.uint8))

    with pytest.raises(LabelError, match="16 of 16 pixels are far from every colour of 'two'"):
        decode_colors(read_raster(path, "label map"), TAXONOMY, repair="nearest")


def test_ids_where_colors_are_expected_are_refused(tmp_path: Path) -> None:
    raster = read_raster(ids(tmp_path, [0, 7]), "label map")

    with pytest.raises(LabelError, match="mode L, expected RGB colours; .* --reader plain"):
        decode_colors(raster, TAXONOMY)


LABELS = np.array([[SKY, CAR, CAR, VOID]], np.uint8)


def instances(tmp_path: Path, values: list[int], dtype: type = np.uint16) -> Path:
    return saved(tmp_path / "i.png", np.array([values], dtype))


@pytest.mark.parametrize(
    ("form", "values", "expected"),
    [
        ("numbers", [3, 3, 900, 3], [0, 3, 900, 0]),
        ("cityscapes", [7, 7, 7001, 7002], [0, 0, 7001, 0]),
        ("over_labels", [0, 0, 4, 11], [0, 1, 5, 0]),
    ],
)
def test_instance_values_are_read_by_their_form(
    tmp_path: Path,
    form: Any,  # noqa: ANN401
    values: list[int],
    expected: list[int],
) -> None:
    raster = read_raster(instances(tmp_path, values), "instance map")

    assert decode_instances(raster, LABELS, TAXONOMY, form).tolist() == [expected]


def test_rim_without_number_joins_the_object_it_surrounds(tmp_path: Path) -> None:
    label_map = np.full((1, 12), CAR, np.uint8)
    values = [7, 7, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7]

    numbers = decode_instances(
        read_raster(instances(tmp_path, values), "instance map"), label_map, TAXONOMY, "over_labels"
    )

    assert numbers.tolist() == [[1] * 12]


def test_object_without_number_beside_another_stays_without(tmp_path: Path) -> None:
    label_map = np.full((1, 12), CAR, np.uint8)
    values = [0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7]

    numbers = decode_instances(
        read_raster(instances(tmp_path, values), "instance map"), label_map, TAXONOMY, "over_labels"
    )

    assert numbers.tolist() == [[1] * 5 + [0] * 7]


def test_eight_bit_cityscapes_instances_are_refused(tmp_path: Path) -> None:
    raster = read_raster(instances(tmp_path, [0, 1, 1, 0], np.uint8), "instance map")

    with pytest.raises(LabelError, match=r"has 8 bits, expected 16: .* file id \* 1000 \+ number"):
        decode_instances(raster, LABELS, TAXONOMY, "cityscapes")


def test_colored_instances_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "i.png", np.zeros((1, 4, 3), np.uint8))

    with pytest.raises(LabelError, match="instance map is of mode RGB, expected one channel"):
        decode_instances(read_raster(path, "instance map"), LABELS, TAXONOMY, "numbers")


def test_instances_of_another_size_are_refused(tmp_path: Path) -> None:
    raster = read_raster(instances(tmp_path, [0, 1]), "instance map")

    with pytest.raises(
        LabelError, match="instance map is 2x1, but the label map is 4x1; make them"
    ):
        decode_instances(raster, LABELS, TAXONOMY, "numbers")


def test_depth_is_in_metres(tmp_path: Path) -> None:
    path = saved(tmp_path / "d.png", np.array([[0, 1500]], np.uint16))

    depth_m = decode_depth(read_raster(path, "depth map"), (1, 2))

    assert depth_m.tolist() == [[0.0, 1.5]]
    assert depth_m.dtype == np.float32


def test_eight_bit_depth_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "d.png", np.zeros((1, 2), np.uint8))

    with pytest.raises(LabelError, match=r"depth map has mode L \(uint8\), expected a 16-bit PNG"):
        decode_depth(read_raster(path, "depth map"), (1, 2))


def test_check_size_accepts_the_same_size(tmp_path: Path) -> None:
    check_size(read_raster(ids(tmp_path, [0, 7]), "label map"), (1, 2), "label map", "photograph")


def test_the_remedy_for_an_unknown_value_is_the_forms_own(tmp_path: Path) -> None:
    raster = read_raster(ids(tmp_path, [0, 200]), "label map")

    with pytest.raises(LabelError, match=r"value 200 .*; the values of this form are fixed: name"):
        decode_ids(raster, TAXONOMY, remedy=FIXED_CLASSES)
