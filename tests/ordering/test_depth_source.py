"""Depth maps that users bring: each kind, and what is said of those that do not fit."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.ordering.depth_source import DepthFolder, DepthKind, with_depth

PHOTOGRAPH = np.zeros((2, 3, 3), np.uint8)


def write(folder: Path, files: Mapping[str, NDArray[np.generic]]) -> Path:
    for name, values in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, values)
        else:
            Image.fromarray(values).save(path)
    return folder


def depth_of(
    folder: Path, kind: DepthKind, name: str, values: NDArray[np.generic]
) -> NDArray[np.float32]:
    source = DepthFolder(write(folder, {name: values}), kind)
    return source.depth(Path(name).stem, PHOTOGRAPH)


def test_a_png_holds_millimetres(tmp_path: Path) -> None:
    values = np.array([[0, 500, 1000], [1500, 2000, 65535]], np.uint16)

    depth_m = depth_of(tmp_path, "metric", "a.png", values)

    assert depth_m.dtype == np.float32
    assert depth_m == pytest.approx(np.array([[0, 0.5, 1], [1.5, 2, 65.535]]))


def test_an_array_holds_metres(tmp_path: Path) -> None:
    values = np.array([[0.0, 0.5, np.nan], [np.inf, 2, 80]], np.float16)

    depth_m = depth_of(tmp_path, "metric", "a.npy", values)

    assert depth_m == pytest.approx(np.array([[0, 0.5, 0], [0, 2, 80]]))


def test_relative_depth_is_taken_as_it_is(tmp_path: Path) -> None:
    values = np.array([[0, 1, 2], [3, 4, 5]], np.uint16)

    assert np.array_equal(depth_of(tmp_path, "relative", "a.png", values), values)


def test_inverse_depth_is_turned_and_keeps_its_order(tmp_path: Path) -> None:
    values = np.array([[-1.0, 0.0, 1.0], [2.0, 3.0, 4.0]], np.float32)

    depth = depth_of(tmp_path, "inverse", "a.npy", values)

    assert (np.diff(depth.ravel()) < 0).all()
    assert depth.min() == pytest.approx(1)
    assert depth.max() == pytest.approx(20)


def test_inverse_depth_does_not_depend_on_scale_and_shift(tmp_path: Path) -> None:
    values = np.array([[0.5, 0.0, 1.0], [2.0, 3.0, 4.0]])

    one = depth_of(tmp_path / "one", "inverse", "a.npy", values)
    other = depth_of(tmp_path / "other", "inverse", "a.npy", 7 * values + 3)

    assert one == pytest.approx(other, rel=1e-5)


def test_0_of_an_inverse_png_is_unknown(tmp_path: Path) -> None:
    values = np.array([[0, 100, 200], [300, 400, 500]], np.uint16)

    depth = depth_of(tmp_path, "inverse", "a.png", values)

    assert depth[0, 0] == 0
    assert depth[0, 1] == pytest.approx(20)


def test_an_array_may_have_a_channel_of_its_own(tmp_path: Path) -> None:
    values = np.arange(1, 7, dtype=np.float32).reshape(1, 2, 3)

    assert np.array_equal(depth_of(tmp_path, "metric", "a.npy", values), values[0])


def test_maps_may_lie_in_folders_of_their_split(tmp_path: Path) -> None:
    source = DepthFolder(write(tmp_path, {"val/a.npy": np.ones((2, 3))}))

    assert np.array_equal(source.depth("a", PHOTOGRAPH), np.ones((2, 3)))


def test_depth_enters_a_layout() -> None:
    taxonomy = Taxonomy("t", (ClassInfo(0, "road", (1, 2, 3), "stuff"),))
    layout = Layout(np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.int32), taxonomy)

    seen = with_depth(layout, np.ones((2, 3), np.float32))

    assert seen.depth_m is not None
    assert layout.depth_m is None
    with pytest.raises(ValueError, match=r"depth_m must be \(2, 3\), got \(3, 2\)"):
        with_depth(layout, np.ones((3, 2), np.float32))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DatasetError, match="nowhere does not exist; give the folder"):
        DepthFolder(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="file is a file; give the folder"):
        DepthFolder(tmp_path / "file")
    with pytest.raises(DatasetError, match=r"holds no depth map; expected NAME.png \(16 bits\)"):
        DepthFolder(tmp_path)


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind is 'disparity', expected metric, relative or inv"):
        DepthFolder(tmp_path, "disparity")  # type: ignore[arg-type]


def test_a_photograph_without_a_map_is_named(tmp_path: Path) -> None:
    source = DepthFolder(write(tmp_path, {"a.npy": np.ones((2, 3)), "b.npy": np.ones((2, 3))}))

    with pytest.raises(DatasetError, match=r"no depth map c.png or c.npy, only 2 others \(a, b"):
        source.depth("c", PHOTOGRAPH)


def test_two_maps_of_one_photograph_are_refused(tmp_path: Path) -> None:
    files = {"a.npy": np.ones((2, 3)), "val/a.npy": np.ones((2, 3))}

    with pytest.raises(DatasetError, match="a has 2 depth maps, a.npy and a.npy among them; keep"):
        DepthFolder(write(tmp_path, files)).depth("a", PHOTOGRAPH)


def test_a_map_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"is 3x2, but its photograph is 2x3 \(height x width\)"):
        depth_of(tmp_path, "metric", "a.npy", np.ones((3, 2)))


def test_eight_bits_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="has mode L, expected a 16-bit PNG of one channel"):
        depth_of(tmp_path, "metric", "a.png", np.ones((2, 3), np.uint8))


def test_whole_numbers_in_an_array_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"array is \(2, 3\) int64, expected \(H, W\) of floats"):
        depth_of(tmp_path, "metric", "a.npy", np.ones((2, 3), np.int64))


def test_negative_depths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='holds -2, expected no negative .* kind is "inverse"'):
        depth_of(tmp_path, "relative", "a.npy", np.array([[1.0, -2, 1], [1, 1, 1]]))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "b.npy").write_bytes(b"no array")
    source = DepthFolder(tmp_path)

    with pytest.raises(DatasetError, match="a.png is no PNG"):
        source.depth("a", PHOTOGRAPH)
    with pytest.raises(DatasetError, match="b.npy is no .npy file of numbers"):
        source.depth("b", PHOTOGRAPH)
