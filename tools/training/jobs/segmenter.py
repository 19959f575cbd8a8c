"""The segmenter that pictures are judged by: CGNet on random pieces of photographs."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.cgnet import CGNet
from scenequilt.tools.evaluation.results import Interval, SegmentationScore
from scenequilt.tools.evaluation.segmentation_score import ConfusionMatrix
from scenequilt.tools.evaluation.segmenter import NetworkSegmenter, Preprocessing
from scenequilt.tools.evaluation.sizes import in_words
from scenequilt.tools.progress import Progress
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import Checkpoint
from scenequilt.tools.training.job import JobReport, TrainingJob
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.segmenter_objective import (
    MEAN,
    STD,
    SegmenterObjective,
    build_network,
    class_weights,
)
from scenequilt.tools.training.segmenter_samples import (
    CACHE_BYTES,
    Augmentation,
    CheckedSamples,
    DatasetSamples,
    SampleSource,
    SegmenterBatch,
    SegmenterBatches,
    Survey,
    survey_samples,
)

NETWORK = "cgnet"
PREPROCESSING = Preprocessing(mean=(MEAN, MEAN, MEAN), std=(STD, STD, STD))
LEAST_CROP_PX = 32
"""At an eighth of it batch normalisation still has a few values of every channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceSettings:
    """What pieces of photographs a segmenter sees.

    Attributes:
        crop_hw: (height, width) in pixels of a piece; None takes two thirds of most photographs'.
        scale_range: Least and greatest factor by which photographs are enlarged.
        color_jitter: Strength of the changes of colour; 1 suits other streets and cameras, 0 is
            none.

    Raises:
        ValueError: If a value is out of range.
    """

    crop_hw: tuple[int, int] | None = None
    scale_range: tuple[float, float] = (0.6, 1.8)
    color_jitter: float = 1.0

    def __post_init__(self) -> None:
        if self.color_jitter < 0:
            raise ValueError(f"color_jitter must be at least 0, got {self.color_jitter}")
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(f"scale_range must be 0 < least <= greatest, got {self.scale_range}")
        if self.crop_hw is not None and min(self.crop_hw) < LEAST_CROP_PX:
            raise ValueError(
                f"crop_hw must be at least {LEAST_CROP_PX} pixels on a side, got {self.crop_hw}"
            )


SETTINGS: dict[str, type] = {"samples": PieceSettings}


def build_job(request: TrainingRequest) -> TrainingJob[SegmenterBatch]:
    """Return the job of a request: the photographs are looked at, the network is drawn.

    Raises:
        DatasetError: If a photograph cannot be read.
        ValueError: If there is nothing to train on, or the crop does not fit.
    """
    reader = request.dataset()
    held_out = request.held_out
    return segmenter_job(
        DatasetSamples(reader, request.training),
        reader.taxonomy,
        pieces=request.table("samples", PieceSettings),
        batch_size=request.batch_size,
        seed=request.seed,
        validation=DatasetSamples(reader, held_out) if held_out else None,
        origin=request.origin,
        progress=request.progress,
    )


def segmenter_job(
    samples: SampleSource,
    taxonomy: Taxonomy,
    *,
    pieces: PieceSettings,
    batch_size: int,
    seed: int,
    validation: SampleSource | None = None,
    origin: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> TrainingJob[SegmenterBatch]:
    """Return the job of learning labelled photographs.

    Args:
        samples: What to train on; CheckedSamples that were read are not read again.
        taxonomy: The classes of their label maps.
        pieces: What is cut out of them.
        batch_size: Pieces in a batch.
        seed: Of the first weights, of the order of photographs and of everything done to them.
        validation: What to try the network on, None for nothing.
        origin: Where the photographs are from, for the card; JSON.
        progress: Called after every photograph of samples that is looked at.

    Raises:
        ValueError: If there is nothing to train or validate on, a label is no class, or the crop
            does not fit.
    """
    samples = _checked(samples, taxonomy)
    survey = survey_samples(samples, len(taxonomy), progress=progress)
    if validation is not None:
        if len(validation) == 0:
            raise ValueError("there are no photographs to validate on, expected at least 1")
        validation = _checked(validation, taxonomy)
        # Faults show before the long work.
        survey_samples(validation, len(taxonomy))
    pieces, crop_hw = _with_crop(pieces, survey)
    return TrainingJob(
        network=NETWORK,
        settings={"samples": as_json(pieces)},
        taxonomy=taxonomy,
        preprocessing={"mean": list(PREPROCESSING.mean), "std": list(PREPROCESSING.std)},
        data={**(origin or {}), "photographs": survey.photographs, "sha256": survey.sha256},
        objective=SegmenterObjective(
            build_network(len(taxonomy), seed=seed), class_weights(survey.class_pixels)
        ),
        batches=SegmenterBatches(
            samples,
            Augmentation(
                crop_hw=crop_hw, scale_range=pieces.scale_range, color_jitter=pieces.color_jitter
            ),
            batch_size=batch_size,
            seed=seed,
        ),
        validate=None if validation is None else _Trial(validation, taxonomy),
        report=_report(survey, taxonomy, crop_hw, validation),
    )


def restore(checkpoint: Checkpoint) -> nn.Module:
    """Return the network of a checkpoint, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: If the checkpoint is of another network.
    """
    card = checkpoint.card
    if card.network != NETWORK or card.taxonomy is None:
        raise CheckpointError(
            f"the checkpoint holds {card.network!r}, expected {NETWORK!r} with its classes; give "
            "the weights of a segmenter"
        )
    network = CGNet(len(card.taxonomy["classes"]))
    try:
        network.load_state_dict(checkpoint.state)
    except RuntimeError as error:
        # Torch names every tensor, of which there are hundreds.
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"the weights do not fit {NETWORK}: {reason} ...; train it again"
        ) from error
    return network.eval()


def scores_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return what a segmenter is made of: pictures and scores on the CPU, wherever network is."""
    device = next(network.parameters()).device

    def scores(pictures: Tensor) -> Tensor:
        found: Tensor = network(pictures.to(device)).cpu()
        return found

    return scores


def class_ids_of(taxonomy: Taxonomy) -> NDArray[np.uint8]:
    """Return (K,) uint8, the class of each score."""
    return np.arange(len(taxonomy), dtype=np.uint8)


def score_of(validation: Mapping[str, Any]) -> SegmentationScore:
    """Return what a trial found, from how it goes on the card."""
    return SegmentationScore(**{**validation, "mean_iou": Interval(**validation["mean_iou"])})


@dataclass(frozen=True, eq=False)
class _Trial:
    """Compares what a network sees with the labels."""

    samples: SampleSource
    taxonomy: Taxonomy

    def __call__(self, network: nn.Module) -> dict[str, Any]:
        segmenter = NetworkSegmenter(
            NETWORK, NETWORK, "", scores_of(network), PREPROCESSING, class_ids_of(self.taxonomy)
        )
        matrix = ConfusionMatrix(len(self.taxonomy))
        for place in range(len(self.samples)):
            image, label_map = self.samples.read(place)
            matrix.add(label_map, segmenter.predict(image[None])[0])
        return asdict(matrix.score(self.taxonomy))


def _checked(samples: SampleSource, taxonomy: Taxonomy) -> SampleSource:
    if isinstance(samples, CheckedSamples):
        return samples
    return CheckedSamples(samples, len(taxonomy))


def _with_crop(pieces: PieceSettings, survey: Survey) -> tuple[PieceSettings, tuple[int, int]]:
    """Return settings with the crop that is chosen, and that."""
    height, width = survey.size_hw
    # Multiples of 8, the factor by which CGNet shrinks.
    rows, columns = (max(side * 2 // 3 // 8 * 8, LEAST_CROP_PX) for side in (height, width))
    crop_hw = pieces.crop_hw or (rows, columns)
    if crop_hw[0] > height or crop_hw[1] > width:
        raise ValueError(
            f"crop {in_words(crop_hw)} is larger than most photographs, which are "
            f"{height}x{width} (height x width in pixels); give a crop inside of them"
        )
    return replace(pieces, crop_hw=crop_hw), crop_hw


def _report(
    survey: Survey,
    taxonomy: Taxonomy,
    crop_hw: tuple[int, int],
    validation: SampleSource | None,
) -> JobReport:
    validated = 0 if validation is None else len(validation)
    names = [entry.name for entry in taxonomy.classes]
    pixels = dict(zip(names, survey.class_pixels.tolist(), strict=True))
    unseen = [name for name, count in pixels.items() if count == 0]
    absent = f"; in no photograph: {', '.join(unseen)}" if unseen else ""
    looked = "" if survey.surveyed == survey.photographs else f", {survey.surveyed} looked at"
    unread = survey.mean_bytes * (survey.photographs - survey.surveyed)

    def in_lines(found: Mapping[str, Any]) -> list[str]:
        score = score_of(found)
        bounds = score.mean_iou
        summary = (
            f"mean IoU {bounds.value:.3f} ({bounds.low:.3f} to {bounds.high:.3f} with 95 %), pixel "
            f"accuracy {score.pixel_accuracy:.3f}, on {validated} photographs it has not seen"
        )
        return [summary, *(f"  {iou:.3f}  {name}" for name, iou in score.iou.items())]

    return JobReport(
        facts={
            "photographs": survey.photographs,
            "surveyed": survey.surveyed,
            "size_hw": list(survey.size_hw),
            "class_pixels": pixels,
            "void_share": survey.void_share,
            "validation_photographs": validated,
        },
        lines={
            "photographs": (
                f"{survey.photographs}{looked}, most of them {in_words(survey.size_hw)}, "
                f"{100 * survey.void_share:.1f} % void"
            ),
            "classes": f"{len(taxonomy)} of {taxonomy.name}{absent}",
            "validation": f"{validated or 'no'} photographs",
        },
        samples=f"pieces of {in_words(crop_hw)}",
        unread_bytes=int(min(unread, CACHE_BYTES)),
        validation=in_lines,
    )
