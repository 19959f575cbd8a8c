"""A made-up evaluation such as a street scene system might get, and pictures to go with it."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from scenequilt.memory_bank.taxonomy import ClassInfo, Taxonomy
from scenequilt.tools.evaluation.report.gallery import Gallery, GalleryItem
from scenequilt.tools.evaluation.results import (
    PROTOCOL_VERSION,
    Distribution,
    Evaluation,
    Fidelity,
    FileRecord,
    Interval,
    Perception,
    PictureFigures,
    ProvenanceFigures,
    RowFigures,
    Seams,
    SegmentationScore,
    Spectrum,
)

CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign_symbol": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}

ROWS = {
    "closed form": ("Closed-form compositions of CamVid 0006R0", 0.88, 33.0),
    "real": ("Photographs", 1.0, 0.0),
    "jpeg30": ("Photographs through JPEG 30", 0.97, 6.1),
    "nearest": ("Nearest photograph of the bank", 0.62, 24.0),
    "random": ("Random segments of the same class", 0.53, 118.0),
}


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    """The eleven classes of a street."""
    entries = tuple(
        ClassInfo(number, name, color, "stuff")
        for number, (name, color) in enumerate(CLASSES.items())
    )
    return Taxonomy("street11", entries, (11,))


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """Five rows, eleven classes, two segmenters, two networks, and what calibration rows lack."""
    rows = [
        _row(place, name, title, quality, distance)
        for place, (name, (title, quality, distance)) in enumerate(ROWS.items())
    ]
    return Evaluation(
        protocol_version=PROTOCOL_VERSION,
        program="0.1.0",
        libraries={"numpy": "2.4.1", "torch": "2.13.0", "torchmetrics": "1.9.0"},
        size_hw=(360, 480),
        rules={
            "size": "Pictures are judged at the size of the label maps, reduced by bicubic.",
            "void": "Pixels that are void in the requested layout are not counted.",
        },
        seed=7,
        layouts=101,
        left_out={"0006R0_f00930": "no picture of this layout in generated/"},
        unmeasured={
            "FID": "no Inception-v3 weights were given; name a folder that has them by --weights"
        },
        warnings=["101 pictures: distances between sets of under 2,048 pictures are biased."],
        files=[
            FileRecord("segmenter", "cgnet", "weights/cgnet_0016E5.pth", "3f" * 32),
            FileRecord("features", "vgg16", "weights/vgg16.pth", "a0" * 32),
            FileRecord("bank", "street", "street.bank", "5b" * 32),
        ],
        pictures_sha256={"generated": "11" * 32, "real": "22" * 32, "labels": "33" * 32},
        rows=rows,
        seconds=151.4,
    )


@pytest.fixture(scope="session")
def bare(evaluation: Evaluation) -> Evaluation:
    """The first row alone, with nothing measured that can go without."""
    row = evaluation.rows[0]
    bare_row = replace(
        row,
        fidelity=[],
        distribution=[],
        perception=Perception({}, None, None, 0, {}, 0),
        spectrum=Spectrum(None, [], []),
        seams=Seams(None, None, None, None, None, None, None),
        provenance=ProvenanceFigures(None, None, None, None, None, None, None, None),
        each=[],
    )
    return replace(evaluation, rows=[bare_row], files=[], rules={}, warnings=[], left_out={})


@pytest.fixture(scope="session")
def gallery() -> Gallery:
    """Two worst and two best pictures in noise and flat colours, and a spectrum a row."""
    generator = np.random.default_rng(5)

    def item(name: str, score: float) -> GalleryItem:
        colors = np.array(list(CLASSES.values()), np.uint8)
        layout = np.repeat(np.repeat(colors[generator.integers(11, size=(6, 8))], 10, 0), 10, 1)
        return GalleryItem(
            name,
            f"mIoU {score:.2f}, pixel accuracy {score + 0.3:.2f}",
            {
                "layout": layout,
                "picture": _noise(generator),
                "photograph": _noise(generator),
                "what cgnet sees": layout[::-1].copy(),
            },
        )

    return Gallery(
        worst=[item("0006R0_f01200", 0.31), item("0006R0_f02130", 0.33)],
        best=[item("0006R0_f03090", 0.64), item("0006R0_f03120", 0.63)],
        spectra={name: _noise(generator) for name in ROWS},
    )


def _noise(generator: np.random.Generator) -> NDArray[np.uint8]:
    return generator.integers(0, 256, (60, 80, 3), np.uint8)


def _score(quality: float, shift: float) -> SegmentationScore:
    iou = {
        name: quality * value + shift
        for name, value in zip(
            CLASSES,
            (0.93, 0.81, 0.27, 0.94, 0.78, 0.72, 0.31, 0.44, 0.83, 0.42, 0.51),
            strict=True,
        )
    }
    mean = float(np.mean(list(iou.values())))
    return SegmentationScore(
        pixel_accuracy=0.91 * quality**0.3 + shift,
        mean_accuracy=mean + 0.0917,
        mean_iou=Interval(mean, mean - 0.0143, mean + 0.0132),
        iou=iou,
        accuracy={name: value**0.7 for name, value in iou.items()},
        pixels=16_983_412,
    )


def _row(place: int, name: str, title: str, quality: float, distance: float) -> RowFigures:
    is_real, is_system = name == "real", name == "closed form"
    fidelity = [
        Fidelity(
            segmenter,
            _score(quality, shift),
            None if name == "jpeg30" else _score(quality, shift + 0.0123),
            None if is_real else quality + shift / 10,
        )
        for segmenter, shift in (("cgnet 0016E5+0001TP", 0.0), ("cgnet camvid", 0.0371))
    ]
    distribution = [
        Distribution(
            network,
            f"FD-{network.upper()}",
            f"KD-{network.upper()}",
            Interval(
                scale * (distance + 3.217),
                scale * (0.93 * distance + 2.81),
                scale * (1.08 * distance + 3.94),
            ),
            Interval(
                scale * distance / 700 - 0.00012,
                scale * distance / 760 - 0.00071,
                scale * distance / 640 + 0.00083,
            ),
            50 if is_real else 101,
            51 if is_real else 101,
            "101 pictures span less than 512 dimensions" if network == "vgg16" else "",
        )
        for network, scale in (("vgg16", 1.0), ("alexnet", 2.4))
    ]
    lpips = 0.0 if is_real else 0.11 + distance / 300
    perception = Perception(
        {
            head: Interval(lpips * factor, lpips * factor * 0.981, lpips * factor * 1.017)
            for head, factor in (("alex", 1.0), ("vgg", 1.13))
        },
        Interval(1 - lpips, 1 - lpips * 1.03, 1 - lpips * 0.97),
        None if is_real else Interval(28 - distance / 9, 27.1 - distance / 9, 28.7 - distance / 9),
        101,
        {"alex": Interval(0.2871, 0.2713, 0.3022)} if is_system else {},
        202 if is_system else 0,
    )
    frequency = np.linspace(0, 0.5, 181)
    slope = 2.0 + (0 if is_real else distance / 600 - 0.04)
    radial = 40 * (frequency + 0.004) ** -slope
    return RowFigures(
        name=name,
        title=title,
        pictures=101,
        fidelity=fidelity,
        distribution=distribution,
        perception=perception,
        spectrum=Spectrum(
            0.0 if is_real else 0.0312 + distance / 900, frequency.tolist(), radial.tolist()
        ),
        seams=Seams(
            0.00711 if is_system else None,
            0.00884 if is_system else None,
            0.00092 if is_system else None,
            0.00813 + place / 1e4,
            0.000417,
            0.8746 if is_system else 1.0 + place / 17,
            0.9631 if is_system else None,
        ),
        provenance=ProvenanceFigures(
            {
                "open": 0.0,
                "copied": 0.5123,
                "recoloured": 0.3311,
                "blended": 0.1204,
                "synthesised": 0.0362,
            }
            if is_system
            else None,
            23.4 if is_system else None,
            311 if is_system else None,
            0.9534 if is_system else None,
            0.0713 if is_system else None,
            0.1922 if is_system else None,
            None if name == "random" else Interval(0.1841, 0.1789, 0.1893),
            None if is_real else 1.0712,
        ),
        each=[
            PictureFigures(
                f"0006R0_f{30 * number:05d}",
                f"0006R0_f{30 * number:05d}",
                0.41 + number / 1000,
                0.83 + number / 1000,
                0.27 + number / 1000,
                f"0016E5_{number:05d}",
            )
            for number in range(1, 9)
        ],
    )
