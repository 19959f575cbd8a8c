"""What an evaluation finds, as plain records: metrics.json is these and nothing else."""

from dataclasses import asdict, dataclass
from typing import Any

PROTOCOL_VERSION = 1
"""Changes whenever a figure of the same pictures would."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the bounds that it has with 95 % over resampled pictures.

    Attributes:
        value: The figure.
        low: Its lower bound.
        high: Its upper bound.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SegmentationScore:
    """How far a segmenter sees what a layout asks for; one confusion matrix over all pictures.

    Attributes:
        pixel_accuracy: Share of the pixels that are not void in the layout.
        mean_accuracy: Mean over the classes of the layouts.
        mean_iou: Mean over the classes of the layouts, with bounds.
        iou: By class name; classes that no layout shows are left out.
        accuracy: The same for the share of a class's pixels.
        pixels: Counted pixels, all pictures together.
    """

    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: Interval
    iou: dict[str, float]
    accuracy: dict[str, float]
    pixels: int


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Layout fidelity by one segmenter.

    Attributes:
        segmenter: Its name.
        requested: Against the layout that was asked for.
        delivered: Against the layout that came with the picture, or None.
        of_real: mean_iou against the requested layout as a share of the photographs'; None on the
            row of the photographs, or without them.
    """

    segmenter: str
    requested: SegmentationScore
    delivered: SegmentationScore | None
    of_real: float | None


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distance between two sets of pictures in the features of one network.

    Attributes:
        network: Its name, e.g. "vgg16".
        frechet_name: What the Frechet distance is called over this network: "FID" over Inception-v3,
            else e.g. "FD-VGG16".
        kernel_name: "KID", or e.g. "KD-VGG16".
        frechet: Frechet distance between normal distributions.
        kernel: Unbiased squared maximum mean discrepancy, cubic kernel.
        samples: Pictures of the row.
        reference_samples: Photographs they are compared with.
        warning: Why the figures mean little, "" if nothing is against them.
    """

    network: str
    frechet_name: str
    kernel_name: str
    frechet: Interval
    kernel: Interval
    samples: int
    reference_samples: int
    warning: str


@dataclass(frozen=True, slots=True)
class Perception:
    """Distance to the real photograph, picture by picture, and between variants; means.

    Attributes:
        lpips: To the real photograph, by network with heads: "alexnet", "vgg16".
        ssim: To the real photograph, None without.
        psnr_db: To the real photograph, None without, or where pictures are equal.
        pairs: Pictures with a real photograph.
        variants_lpips: Between variants of one layout, by network; {} without variants.
        variant_pairs: Pairs of variants.
    """

    lpips: dict[str, Interval]
    ssim: Interval | None
    psnr_db: Interval | None
    pairs: int
    variants_lpips: dict[str, Interval]
    variant_pairs: int


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Mean power spectrum of a row.

    Attributes:
        distance: Root mean square difference of log10 radial power to the photographs', over the
            frequencies; 0 on the row of the photographs, None without them.
        frequency: Cycles a pixel, (R,) ascending.
        radial: Mean power at each, (R,).
    """

    distance: float | None
    frequency: list[float]
    radial: list[float]


@dataclass(frozen=True, slots=True)
class Seams:
    """Gradient energy across borders: mean squared difference of luma in [0, 1] of neighbours.

    Attributes:
        ownership: Across borders between two owners, None without ownership maps.
        ownership_between: Those of them where the class changes too.
        ownership_within: Those of them inside one class.
        label: Across borders of the requested layout.
        interior: Between neighbours of one class, and one owner where that is known.
        of_real: ownership as a share of the photographs' label; label's where there is no
            ownership; None without photographs.
        between_matched: ownership_between as a share of the photographs' energy at borders of the
            same pairs of classes; None without.
    """

    ownership: float | None
    ownership_between: float | None
    ownership_within: float | None
    label: float | None
    interior: float | None
    of_real: float | None
    between_matched: float | None


@dataclass(frozen=True, slots=True)
class ProvenanceFigures:
    """Where pixels come from. Each is None where the pictures carry no such record.

    Attributes:
        states: Share of pixels by state: copied, recoloured, blended, synthesised, open.
        sources: Photographs that own pixels of a picture, mean.
        sources_in_all: Different photographs over the row.
        agreement: Share of the requested pixels whose delivered class is the same.
        source_overlap: Jaccard index of the photographs of two pictures of different layouts, mean
            over the pairs.
        variant_overlap: The same for two variants of one layout.
        nearest_distance: Cosine distance to the nearest photograph of the bank in the features of
            the first network, mean; without a bank, to the nearest other photograph.
        nearest_of_real: The same as a share of the real photographs' own.
    """

    states: dict[str, float] | None
    sources: float | None
    sources_in_all: int | None
    agreement: float | None
    source_overlap: float | None
    variant_overlap: float | None
    nearest_distance: Interval | None
    nearest_of_real: float | None


@dataclass(frozen=True, slots=True)
class PictureFigures:
    """One picture, for finding the worst and the best.

    Attributes:
        name: Of the picture.
        layout: Of its layout.
        mean_iou: By the first segmenter, over the classes of its layout; None without a segmenter.
        pixel_accuracy: The same.
        lpips: To the real photograph by the first network with heads; None without.
        nearest: Nearest photograph in features, "" where it was not looked for.
    """

    name: str
    layout: str
    mean_iou: float | None
    pixel_accuracy: float | None
    lpips: float | None
    nearest: str


@dataclass(frozen=True, slots=True)
class RowFigures:
    """All figures of a row.

    Attributes:
        name: Of the row.
        title: The same in words.
        pictures: How many.
        fidelity: One entry a segmenter, the one that figures are quoted with first.
        distribution: One entry a network.
        perception: Distances picture by picture.
        spectrum: Mean power spectrum.
        seams: Gradient energy across borders.
        provenance: Where pixels come from.
        each: Picture by picture, in the order of the layouts.
    """

    name: str
    title: str
    pictures: int
    fidelity: list[Fidelity]
    distribution: list[Distribution]
    perception: Perception
    spectrum: Spectrum
    seams: Seams
    provenance: ProvenanceFigures
    each: list[PictureFigures]


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file that figures depend on.

    Attributes:
        role: "segmenter", "features", "features, LPIPS", "classes", "bank".
        name: What it holds, e.g. "cgnet", "vgg16".
        path: As it was given.
        sha256: Of its bytes, in hex; a bank's fingerprint.
    """

    role: str
    name: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that an evaluation found.

    Attributes:
        protocol_version: PROTOCOL_VERSION.
        program: Version of the program.
        libraries: Versions of the libraries that figures depend on.
        size_hw: Size at which pictures were judged, (height, width).
        rules: What was done to sizes, void and so on: name -> sentence.
        seed: Of resampling, halves and pasting.
        layouts: How many.
        left_out: What --partial left out: name -> reason.
        unmeasured: What was not measured and why: name -> sentence with the remedy.
        warnings: Sentences.
        files: What figures depend on.
        pictures_sha256: Hash over names and bytes of the files: by the names of the systems, of
            "labels" and of "real".
        rows: The systems' first, then the calibration rows.
        seconds: Of the whole evaluation.
    """

    protocol_version: int
    program: str
    libraries: dict[str, str]
    size_hw: tuple[int, int]
    rules: dict[str, str]
    seed: int
    layouts: int
    left_out: dict[str, str]
    unmeasured: dict[str, str]
    warnings: list[str]
    files: list[FileRecord]
    pictures_sha256: dict[str, str]
    rows: list[RowFigures]
    seconds: float = 0.0

    def row(self, name: str) -> RowFigures | None:
        """Return a row by its name, or None."""
        return next((row for row in self.rows if row.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """Return the contents of metrics.json."""
        return {"format": "scenequilt evaluation", **asdict(self)}
