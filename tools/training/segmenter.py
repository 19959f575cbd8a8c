"""Training the segmenter that pictures are judged by, on labelled photographs of any dataset."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.benchmarks.machine import peak_memory_bytes
from scenequilt.tools.evaluation.results import SegmentationScore
from scenequilt.tools.evaluation.segmentation_score import ConfusionMatrix
from scenequilt.tools.evaluation.segmenter import NetworkSegmenter, Preprocessing
from scenequilt.tools.progress import Progress
from scenequilt.tools.training.checkpoint import (
    CheckpointCard,
    checkpoint_bytes,
    halved,
    program_version,
    read_checkpoint,
    write_checkpoint,
)
from scenequilt.tools.training.log import TrainingLog
from scenequilt.tools.training.loop import Schedule, train
from scenequilt.tools.training.segmenter_samples import (
    CACHE_BYTES,
    Augmentation,
    CheckedSamples,
    SampleSource,
    Survey,
    segmenter_batches,
    survey_samples,
)
from scenequilt.tools.training.segmenter_step import (
    MEAN,
    STD,
    SegmenterStep,
    build_network,
    class_weights,
)

NETWORK = "cgnet"
SUFFIX = ".safetensors"
PREPROCESSING = Preprocessing(mean=(MEAN, MEAN, MEAN), std=(STD, STD, STD))
LEAST_CROP_PX = 32
"""At an eighth of it batch normalisation still has a few values of every channel."""

TIMED_STEPS = 3
"""Steps that are taken on a throw-away network to see how long one takes, after a first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterSettings:
    """What decides the weights, together with the photographs.

    Attributes:
        total_steps: Length of the training in optimiser steps.
        batch_size: Pieces of photographs a step.
        crop_hw: (height, width) in pixels of a piece; None takes two thirds of most photographs'.
        seed: Of the first weights, of the order of photographs and of everything done to them.
        peak_rate: Greatest learning rate.
        warm_up: Share of the steps until the peak.
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
    peak_rate: float = 2e-3
    warm_up: float = 0.1
    weight_decay: float = 1e-4
    average_decay: float = 0.99
    scale_range: tuple[float, float] = (0.6, 1.8)
    color_jitter: float = 1.0

    def __post_init__(self) -> None:
        for name in ("total_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "weight_decay", "color_jitter"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("warm_up", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if self.peak_rate <= 0:
            raise ValueError(f"peak_rate must be more than 0, got {self.peak_rate}")
        if not 0 < self.scale_range[0] <= self.scale_range[1]:
            raise ValueError(f"scale_range must be 0 < least <= greatest, got {self.scale_range}")
        if self.crop_hw is not None and min(self.crop_hw) < LEAST_CROP_PX:
            raise ValueError(
                f"crop_hw must be at least {LEAST_CROP_PX} pixels on a side, got {self.crop_hw}"
            )

    def as_json(self) -> dict[str, Any]:
        """Return the settings as they read back from JSON."""
        table: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return table


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


@dataclass(frozen=True)
class TrainingPlan:
    """What a training is going to be and to take.

    Attributes:
        settings: With the crop that was chosen.
        survey: Of the photographs.
        taxonomy: The classes.
        parameters: Of the network.
        validation_photographs: How many it is tried on, 0 for none.
        steps_left: Of settings.total_steps.
        seconds_a_step: Median over a few steps on a throw-away network.
        memory_bytes: That the program will hold at most, photographs included.
    """

    settings: SegmenterSettings
    survey: Survey
    taxonomy: Taxonomy
    parameters: int
    validation_photographs: int
    steps_left: int
    seconds_a_step: float
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """Of the steps that are left, trials not included."""
        return self.steps_left * self.seconds_a_step

    def as_json(self) -> dict[str, Any]:
        """Return what the command prints as JSON."""
        names = [entry.name for entry in self.taxonomy.classes]
        return {
            "network": NETWORK,
            "settings": self.settings.as_json(),
            "photographs": self.survey.photographs,
            "surveyed": self.survey.surveyed,
            "size_hw": list(self.survey.size_hw),
            "class_pixels": dict(zip(names, self.survey.class_pixels.tolist(), strict=True)),
            "void_share": self.survey.void_share,
            "parameters": self.parameters,
            "validation_photographs": self.validation_photographs,
            "steps_left": self.steps_left,
            "seconds_a_step": self.seconds_a_step,
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
        }


def state_path(out: Path) -> Path:
    """Return where the state of an unfinished run lies that will end in a file."""
    return out.with_name(f"{out.stem}.resume{SUFFIX}")


def log_path(out: Path) -> Path:
    """Return where the log of a run lies that will end in a file."""
    return out.with_name(f"{out.stem}.log.jsonl")


def check_out(out: Path, *, resume: bool = False, force: bool = False) -> None:
    """Refuse a file that must not be written, or a run that cannot be gone on with.

    Raises:
        ValueError: If the name does not end in .safetensors, the folder does not exist, a finished
            or unfinished run is there and neither resume nor force is given, or resume is and
            there is none.
    """
    unfinished = state_path(out)
    if out.suffix != SUFFIX:
        raise ValueError(f"{out}: weights are written as {SUFFIX}; give a name that ends so")
    if not out.parent.is_dir():
        raise ValueError(f"{out.parent} is no folder; make it first")
    if resume and force:
        raise ValueError("--resume goes on and --force begins anew; give one of them")
    if resume and not unfinished.is_file():
        if out.exists():
            raise ValueError(f"{out} is finished, there is nothing to go on with; see --force")
        raise ValueError(
            f"{unfinished} does not exist, so there is no run to go on with; leave --resume out"
        )
    if not resume and not force and unfinished.exists():
        raise ValueError(
            f"{unfinished} holds an unfinished run; go on with it by --resume, or begin anew by "
            "--force"
        )
    if not resume and not force and out.exists():
        raise ValueError(f"{out} exists; give another name, or replace it by --force")


def unfinished_steps(out: Path) -> int:
    """Return how many steps the unfinished run beside a file has behind it.

    Raises:
        CheckpointError: If its state cannot be read.
    """
    return _steps_of(read_checkpoint(state_path(out)).card)


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
    and the same file; whether the run was broken off and gone on with makes no difference. On a
    GPU sums are in no fixed order.

    Args:
        samples: What to train on.
        taxonomy: The classes of their label maps.
        out: File for the weights, in half precision. Beside it lie a log and, until the end, the
            state from which a run that was broken off goes on. None writes nothing.
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
        check_out(out, resume=resume, force=force)
    elif resume:
        raise ValueError("resume needs out, the file beside which the state of the run lies")
    schedule = Schedule(
        total_steps=settings.total_steps,
        log_every=log_every,
        save_every=save_every,
        validate_every=validate_every,
    )
    samples, validation, survey = _looked_at(samples, validation, taxonomy)
    settings = _with_crop(settings, survey)
    card = CheckpointCard(
        network=NETWORK,
        settings=settings.as_json(),
        taxonomy=taxonomy.as_json(),
        preprocessing={"mean": list(PREPROCESSING.mean), "std": list(PREPROCESSING.std)},
        data={**(origin or {}), "photographs": survey.photographs, "sha256": survey.sha256},
        training={},
        program=program_version(),
    )
    step = _build_step(settings, survey, device)
    done = 0
    if out is not None and resume:
        done = _go_on(step, state_path(out), card)
    elif out is not None:
        state_path(out).unlink(missing_ok=True)
    scores: list[SegmentationScore] = []
    log = TrainingLog(None if out is None else log_path(out), done=done)

    def save(steps: int, state: Mapping[str, Tensor]) -> None:
        if out is not None:
            write_checkpoint(state_path(out), state, _unfinished(card, steps))

    def validate(steps: int) -> None:
        if validation is not None:
            scores.append(_score(step.average, validation, taxonomy))
            log.validation(steps, asdict(scores[-1]))

    batches = segmenter_batches(
        samples,
        _augmentation(settings),
        batch_size=settings.batch_size,
        seed=settings.seed,
        first_step=done + 1,
    )
    train(
        step,
        batches,
        schedule,
        log=log.figures,
        save=save,
        validate=validate,
        progress=progress,
        steps_done=done,
    )

    # Rounded first, so that what is tried and returned is what is read back from the file.
    step.average.load_state_dict(halved(step.average.state_dict()))
    validate(settings.total_steps)
    score = scores[-1] if scores else None
    found = None if score is None else asdict(score)
    card = replace(card, training={"steps": settings.total_steps, "validation": found})
    state = step.average.state_dict()
    content = checkpoint_bytes(state, card, half=True)
    if out is not None:
        write_checkpoint(out, state, card, half=True)
        state_path(out).unlink()
    return TrainedSegmenter(
        name=NETWORK if out is None else out.stem,
        network=NETWORK,
        sha256=hashlib.sha256(content).hexdigest(),
        scores=_scores_of(step.average),
        preprocessing=PREPROCESSING,
        class_ids=_class_ids(taxonomy),
        card=card,
        state=state,
        validation=score,
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
    samples, validation, survey = _looked_at(samples, validation, taxonomy, progress)
    settings = _with_crop(settings, survey)
    step = _build_step(settings, survey, device)
    batches = segmenter_batches(
        samples, _augmentation(settings), batch_size=settings.batch_size, seed=settings.seed
    )
    seconds = []
    for _ in range(TIMED_STEPS + 1):
        started = time.perf_counter()
        step(next(batches))
        seconds.append(time.perf_counter() - started)
    unread = min(survey.mean_bytes * (survey.photographs - survey.surveyed), CACHE_BYTES)
    return TrainingPlan(
        settings=settings,
        survey=survey,
        taxonomy=taxonomy,
        parameters=sum(parameter.numel() for parameter in step.network.parameters()),
        validation_photographs=0 if validation is None else len(validation),
        steps_left=max(settings.total_steps - steps_done, 0),
        # The first step is left out: it also plans the convolutions and makes the optimiser's state.
        seconds_a_step=float(np.median(seconds[1:])),
        memory_bytes=peak_memory_bytes() + int(unread),
    )


def _looked_at(
    samples: SampleSource,
    validation: SampleSource | None,
    taxonomy: Taxonomy,
    progress: Progress | None = None,
) -> tuple[SampleSource, SampleSource | None, Survey]:
    """Return both as checked samples, looked at so that faults show before the long work."""
    samples = _checked(samples, taxonomy)
    survey = survey_samples(samples, len(taxonomy), progress=progress)
    if validation is not None:
        if len(validation) == 0:
            raise ValueError("there are no photographs to validate on, expected at least 1")
        validation = _checked(validation, taxonomy)
        survey_samples(validation, len(taxonomy))
    return samples, validation, survey


def _checked(samples: SampleSource, taxonomy: Taxonomy) -> SampleSource:
    if isinstance(samples, CheckedSamples):
        return samples
    return CheckedSamples(samples, len(taxonomy))


def _with_crop(settings: SegmenterSettings, survey: Survey) -> SegmenterSettings:
    height, width = survey.size_hw
    if settings.crop_hw is None:
        # Multiples of 8, the factor by which CGNet shrinks.
        rows, columns = (max(side * 2 // 3 // 8 * 8, LEAST_CROP_PX) for side in (height, width))
        settings = replace(settings, crop_hw=(rows, columns))
    assert settings.crop_hw is not None
    if settings.crop_hw[0] > height or settings.crop_hw[1] > width:
        raise ValueError(
            f"crop {settings.crop_hw[0]}x{settings.crop_hw[1]} is larger than most photographs, "
            f"which are {height}x{width} (height x width in pixels); give a crop inside of them"
        )
    return settings


def _augmentation(settings: SegmenterSettings) -> Augmentation:
    assert settings.crop_hw is not None
    return Augmentation(
        crop_hw=settings.crop_hw,
        scale_range=settings.scale_range,
        color_jitter=settings.color_jitter,
    )


def _build_step(settings: SegmenterSettings, survey: Survey, device: str) -> SegmenterStep:
    try:
        network = build_network(len(survey.class_pixels), seed=settings.seed).to(device)
    except (RuntimeError, AssertionError) as error:
        # Torch built without CUDA answers with an AssertionError.
        raise ValueError(f"device {device!r} cannot be used: {error}; try cpu") from error
    return SegmenterStep(
        network,
        class_weights(survey.class_pixels),
        total_steps=settings.total_steps,
        peak_rate=settings.peak_rate,
        warm_up=settings.warm_up,
        weight_decay=settings.weight_decay,
        average_decay=settings.average_decay,
    )


def _unfinished(card: CheckpointCard, steps: int) -> CheckpointCard:
    return replace(card, network=f"{card.network} in training", training={"steps": steps})


def _steps_of(card: CheckpointCard) -> int:
    return int(card.training.get("steps", 0))


def _go_on(step: SegmenterStep, path: Path, card: CheckpointCard) -> int:
    """Load the state of a run into step; return how many steps it has behind it."""
    checkpoint = read_checkpoint(path)
    found = checkpoint.card
    steps = _steps_of(found)
    expected = _unfinished(card, steps)
    if found.network != expected.network:
        raise CheckpointError(
            f"{path} holds {found.network!r}, expected {expected.network!r}; begin anew by --force"
        )
    for name, wanted in expected.settings.items():
        there = found.settings.get(name)
        if there != wanted:
            raise CheckpointError(
                f"{path} was trained with {name} {there}, now it is {wanted}; go on with "
                f"{there}, or begin anew by --force"
            )
    if found.taxonomy != expected.taxonomy:
        raise CheckpointError(
            f"{path} was trained on other classes than these; go on with those, or begin anew by "
            "--force"
        )
    if found.data.get("sha256") != expected.data["sha256"]:
        raise CheckpointError(
            f"{path} was trained on {found.data.get('photographs')} photographs, these are "
            f"{expected.data['photographs']} and not the same; go on with those, or begin anew by "
            "--force"
        )
    step.load_state_dict(checkpoint.state)
    return steps


def _score(network: nn.Module, validation: SampleSource, taxonomy: Taxonomy) -> SegmentationScore:
    segmenter = NetworkSegmenter(
        NETWORK, NETWORK, "", _scores_of(network), PREPROCESSING, _class_ids(taxonomy)
    )
    matrix = ConfusionMatrix(len(taxonomy))
    for place in range(len(validation)):
        image, label_map = validation.read(place)
        matrix.add(label_map, segmenter.predict(image[None])[0])
    return matrix.score(taxonomy)


def _scores_of(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return what a segmenter is made of: pictures and scores on the CPU, wherever network is."""
    device = next(network.parameters()).device

    def scores(pictures: Tensor) -> Tensor:
        found: Tensor = network(pictures.to(device)).cpu()
        return found

    return scores


def _class_ids(taxonomy: Taxonomy) -> NDArray[np.uint8]:
    return np.arange(len(taxonomy), dtype=np.uint8)
