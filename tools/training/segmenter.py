"""Training the segmenter that pictures are judged by, called by programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.results import SegmentationScore
from scenequilt.tools.evaluation.segmenter import NetworkSegmenter
from scenequilt.tools.progress import Progress
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import CheckpointCard
from scenequilt.tools.training.jobs.segmenter import (
    NETWORK,
    PREPROCESSING,
    PieceSettings,
    class_ids_of,
    score_of,
    scores_of,
    segmenter_job,
)
from scenequilt.tools.training.outputs import check_out
from scenequilt.tools.training.plan import TrainingPlan, plan_job
from scenequilt.tools.training.segmenter_samples import SampleSource
from scenequilt.tools.training.trainer import TrainingSettings, check_device, train_job


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterSettings:
    """What decides a segmenter's weights, together with the photographs; as configs/segmenter.toml.

    Attributes:
        total_steps: Length of the training in optimiser steps.
        batch_size: Pieces of photographs a step.
        crop_hw: (height, width) in pixels of a piece; None takes two thirds of most photographs'.
        seed: Of the first weights, of the order of photographs and of everything done to them.
        rate: Greatest learning rate.
        warm_up: Share of the steps until it is reached.
        weight_decay: Of AdamW.
        average_decay: How much of the averaged weights a step leaves, in [0, 1).
        scale_range: Least and greatest factor by which photographs are enlarged.
        color_jitter: Strength of the changes of colour; 1 suits other streets and cameras, 0 is
            none.

    Raises:
        ValueError: If a value is out of range.
    """

    total_steps: int = 2000
    batch_size: int = 8
    crop_hw: tuple[int, int] | None = None
    seed: int = 0
    rate: float = 2e-3
    warm_up: float = 0.1
    weight_decay: float = 1e-4
    average_decay: float = 0.99
    scale_range: tuple[float, float] = (0.6, 1.8)
    color_jitter: float = 1.0

    def __post_init__(self) -> None:
        # Both refuse what is out of range.
        self.training()
        self.pieces()

    def training(
        self, *, log_every: int = 25, save_every: int = 250, validate_every: int | None = None
    ) -> TrainingSettings:
        """Return how the network is trained."""
        return TrainingSettings(
            total_steps=self.total_steps,
            batch_size=self.batch_size,
            seed=self.seed,
            optimizer="adamw",
            rate=self.rate,
            weight_decay=self.weight_decay,
            schedule="one_cycle",
            warm_up=self.warm_up,
            average_decay=self.average_decay,
            log_every=log_every,
            save_every=save_every,
            validate_every=validate_every,
        )

    def pieces(self) -> PieceSettings:
        """Return what pieces of photographs it sees."""
        return PieceSettings(
            crop_hw=self.crop_hw, scale_range=self.scale_range, color_jitter=self.color_jitter
        )

    def as_json(self) -> dict[str, Any]:
        """Return the settings as they read back from JSON."""
        return as_json(self)


@dataclass(frozen=True, eq=False)
class TrainedSegmenter(NetworkSegmenter):
    """A segmenter and how it came about.

    Attributes:
        card: What it was made of.
        state: Its weights by name, as they are written.
        validation: How well it does on photographs it has not seen, None if not tried.
    """

    card: CheckpointCard
    state: Mapping[str, Tensor]
    validation: SegmentationScore | None


def train_segmenter(
    samples: SampleSource,
    taxonomy: Taxonomy,
    out: Path | None,
    *,
    settings: SegmenterSettings,
    validation: SampleSource | None = None,
    origin: Mapping[str, Any] | None = None,
    log_every: int = 25,
    save_every: int = 250,
    validate_every: int | None = None,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> TrainedSegmenter:
    """Train CGNet on labelled photographs.

    On the CPU, same samples, settings, machine and number of threads: same weights, bit for bit,
    and the same file; whether the run was broken off and gone on with makes no difference.

    Args:
        samples: What to train on.
        taxonomy: The classes of their label maps.
        out: File for the weights, as for train_job; None writes nothing.
        settings: What decides the weights.
        validation: What to try the network on at the end.
        origin: Where the photographs are from, for the card; JSON.
        log_every: Steps between two lines of the log.
        save_every: Steps between two states.
        validate_every: Steps between two trials before the end, None for none.
        resume: Go on with the run whose state lies beside out.
        force: Replace what is there.
        device: "cpu", "cuda", ...
        progress: Called after every step.

    Returns:
        The segmenter as it is written, in half precision where that is.

    Raises:
        CheckpointError: If a run of other settings, classes or photographs is to be gone on with.
        KeyboardInterrupt: After an interrupt from the keyboard, once the state is saved.
        ValueError: If there is nothing to train on, the crop does not fit, device is not there, or
            out must not be written.
    """
    if out is not None:
        # Before the photographs are looked at.
        check_out(out, resume=resume, force=force)
    check_device(device)
    job = segmenter_job(
        samples,
        taxonomy,
        pieces=settings.pieces(),
        batch_size=settings.batch_size,
        seed=settings.seed,
        validation=validation,
        origin=origin,
    )
    trained = train_job(
        job,
        settings.training(
            log_every=log_every, save_every=save_every, validate_every=validate_every
        ),
        out,
        resume=resume,
        force=force,
        device=device,
        progress=progress,
        tell_run=False,
    )
    return TrainedSegmenter(
        name=NETWORK if out is None else out.stem,
        network=NETWORK,
        sha256=trained.sha256,
        scores=scores_of(trained.network),
        preprocessing=PREPROCESSING,
        class_ids=class_ids_of(taxonomy),
        card=trained.card,
        state=trained.network.state_dict(),
        validation=None if trained.validation is None else score_of(trained.validation),
    )


def plan_training(
    samples: SampleSource,
    taxonomy: Taxonomy,
    *,
    settings: SegmenterSettings,
    validation: SampleSource | None = None,
    steps_done: int = 0,
    device: str = "cpu",
    progress: Progress | None = None,
) -> TrainingPlan:
    """Look at the photographs, take a few steps on a throw-away network, and say what it will take.

    Args:
        samples: What to train on; CheckedSamples are not read again by the training.
        taxonomy: The classes of their label maps.
        settings: What decides the weights.
        validation: What the network will be tried on.
        steps_done: That a run which is gone on with has behind it.
        device: "cpu", "cuda", ...
        progress: Called after every photograph of samples that is looked at.

    Raises:
        ValueError: If there is nothing to train on, the crop does not fit or device is not there.
    """
    check_device(device)
    job = segmenter_job(
        samples,
        taxonomy,
        pieces=settings.pieces(),
        batch_size=settings.batch_size,
        seed=settings.seed,
        validation=validation,
        progress=progress,
    )
    return plan_job(job, settings.training(), steps_done=steps_done, device=device)
