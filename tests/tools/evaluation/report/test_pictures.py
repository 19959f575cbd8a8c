"""Pictures inside a page."""

import base64
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from scenequilt.tools.evaluation.report.gallery import Gallery, GalleryItem
from scenequilt.tools.evaluation.report.pictures import data_uri


def decoded(uri: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(uri.partition("base64,")[2])))


def test_a_layout_in_flat_colours_comes_back_exactly() -> None:
    layout = np.zeros((40, 60, 3), np.uint8)
    layout[:20] = (128, 64, 128)
    layout[20:, 30:] = (70, 130, 180)

    uri = data_uri(layout)

    assert uri.startswith("data:image/png;base64,")
    assert (np.asarray(decoded(uri).convert("RGB")) == layout).all()


def test_a_photograph_is_a_jpeg() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)

    assert data_uri(photograph).startswith("data:image/jpeg;base64,")


def test_a_large_picture_is_reduced_and_keeps_its_shape() -> None:
    ramp = np.linspace(0, 255, 1280, dtype=np.uint8)
    photograph = np.stack(
        [np.tile(ramp, (320, 1)), np.tile(ramp[::4], (1280, 1)).T, np.zeros((320, 1280))], 2
    )

    assert decoded(data_uri(photograph.astype(np.uint8))).size == (640, 160)


def test_a_reduced_layout_holds_no_colour_in_between() -> None:
    layout = np.zeros((300, 900, 3), np.uint8)
    layout[:, 451:] = 255

    small = np.asarray(decoded(data_uri(layout)).convert("RGB"))

    assert small.shape == (213, 640, 3)
    assert set(np.unique(small)) == {0, 255}


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (np.zeros((4, 4), np.uint8), r"\(4, 4\) uint8"),
        (np.zeros((4, 4, 3)), r"\(4, 4, 3\) float64"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\) uint8"),
    ],
)
def test_a_gallery_refuses_what_is_no_picture(pixels: NDArray[Any], found: str) -> None:
    with pytest.raises(ValueError, match=rf"street, layout: expected \(H, W, 3\).*got {found}"):
        GalleryItem("street", "", {"layout": pixels})
    with pytest.raises(ValueError, match=rf"spectrum of real: expected .*got {found}"):
        Gallery(spectra={"real": pixels})
