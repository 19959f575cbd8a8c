"""The job "synthesis": from canvases to photographs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from scenequilt.synthesis.canvas_set import CanvasPair, CanvasSet
from scenequilt.synthesis.discriminator import FeatureDiscriminator, PatchDiscriminator
from scenequilt.synthesis.losses import PerceptualLoss
from scenequilt.synthesis.network import (
    CanvasGenerator,
    CanvasGeneratorSettings,
)
from scenequilt.synthesis.objective import (
    SynthesisBatch,
    SynthesisLossSettings,
    SynthesisObjective,
)
from scenequilt.synthesis.painting import PaintingNetwork, ShownCanvas, paint_over
from scenequilt.synthesis.samples import CanvasBatches, CanvasSampleSettings
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import Checkpoint
from scenequilt.tools.training.job import JobReport, Objective, TrainingJob
from scenequilt.tools.training.loss_network import load_perceptual
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.restoring import restore_network, settings_of, taxonomy_of
from scenequilt.tools.training.start import StartSettings, start_from

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

NETWORK = "sims_synthesis"

SHOWN = 4
"""Canvases on a sample sheet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSettings:
    """How the finished network is used on pictures, as its card tells.

    Attributes:
        inner_ratio: Least and greatest share of the inner band that is elided; None elides as the
            canvases were. Training on more than this makes the network paint, a picture needs
            less of it.

    Raises:
        ValueError: If it does not rise within [0, 1].
    """

    inner_ratio: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if (
            self.inner_ratio is not None
            and not 0 <= self.inner_ratio[0] <= self.inner_ratio[1] <= 1
        ):
            raise ValueError(f"inner_ratio must rise within [0, 1], got {self.inner_ratio}")


SETTINGS: dict[str, type] = {
    "network": CanvasGeneratorSettings,
    "samples": CanvasSampleSettings,
    "loss": SynthesisLossSettings,
    "start": StartSettings,
    "pictures": PictureSettings,
}


def build_job(request: TrainingRequest) -> TrainingJob[SynthesisBatch]:
    """Return the job: a network with its first weights, and simulated canvases.

    Raises:
        CheckpointError: If the classifier's weights, or those to start from, cannot be read.
        DatasetError: If the set of canvases cannot be read.
        ValueError: If no canvases were given.
    """
    if request.canvases is None:
        raise ValueError(
            "this network learns from simulated canvases; make them with: scenequilt canvases"
        )
    canvases = CanvasSet(request.canvases)
    network_settings = request.table("network", CanvasGeneratorSettings)
    loss = request.table("loss", SynthesisLossSettings)
    start = request.table("start", StartSettings)
    perceptual = None
    if request.features is not None:
        perceptual = load_perceptual(request.features).to(request.device)
    classes = len(canvases.taxonomy)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        network = CanvasGenerator(classes, network_settings)
        discriminator: PatchDiscriminator | FeatureDiscriminator | None = None
        if loss.adversarial and loss.discriminator == "patch":
            discriminator = PatchDiscriminator(classes, width=loss.discriminator_width)
        elif loss.adversarial:
            discriminator = FeatureDiscriminator(classes, width=loss.discriminator_width)
    started = start_from(network, start, canvases.taxonomy)
    return canvas_job(
        request,
        canvases,
        network=NETWORK,
        tables={"network": network_settings, "loss": loss},
        objective=SynthesisObjective(
            network, perceptual, loss, discriminator, device=request.device
        ),
        perceptual=perceptual,
        started=started,
    )


def canvas_job(
    request: TrainingRequest,
    canvases: CanvasSet,
    *,
    network: str,
    tables: "Mapping[str, DataclassInstance]",
    objective: Objective[SynthesisBatch],
    perceptual: PerceptualLoss | None,
    started: Mapping[str, str],
) -> TrainingJob[SynthesisBatch]:
    """Return the job of a network that makes photographs of canvases, once it is built.

    Args:
        request: With the tables [samples], [start] and [pictures].
        canvases: What it learns from, and what of it is held out.
        network: Its name on the card.
        tables: Its settings, by table.
        objective: What is minimised; "generator" is delivered.
        perceptual: The classifier that pictures are tried by too, None for none.
        started: What it starts from, for a person.
    """
    samples = request.table("samples", CanvasSampleSettings)
    start = request.table("start", StartSettings)
    pictures = request.table("pictures", PictureSettings)
    for part in objective.networks.values():
        # Convolutions on the CPU are faster in this order of memory.
        part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    held_out = canvases.places(held_out=True)
    shown = held_out or canvases.places(held_out=False)
    return TrainingJob(
        network=network,
        settings={
            **{name: as_json(table) for name, table in tables.items()},
            "samples": as_json(samples),
            "start": start.on_card(),
            "pictures": as_json(pictures),
            "classifier": None if perceptual is None else perceptual.network,
        },
        taxonomy=canvases.taxonomy,
        preprocessing={"range": [0, 1], "elision": elision_of_pictures(canvases, pictures)},
        data=facts_of(canvases),
        objective=objective,
        batches=CanvasBatches(
            canvases,
            canvases.places(held_out=False),
            samples,
            batch_size=request.batch_size,
            seed=request.seed,
        ),
        delivered="generator",
        validate=(lambda trained: try_finish(trained, canvases, held_out, perceptual))
        if held_out
        else None,
        sheet=lambda trained: sheet_of_finishes(trained, canvases, shown),
        report=JobReport(lines=started),
    )


def restore(checkpoint: Checkpoint) -> CanvasGenerator:
    """Return the network of a checkpoint, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    return restore_network(checkpoint, network=NETWORK, job="synthesis", build=_built)


def _built(checkpoint: Checkpoint) -> CanvasGenerator:
    return CanvasGenerator(
        len(taxonomy_of(checkpoint)), settings_of(checkpoint, "network", CanvasGeneratorSettings)
    )


def elision_of_pictures(canvases: CanvasSet, pictures: PictureSettings) -> dict[str, Any]:
    """Return the bands that pictures are elided with, as a card tells them."""
    elision: dict[str, Any] = dict(canvases.settings["stencil"]["elision"])
    if pictures.inner_ratio is not None:
        elision["inner_ratio"] = list(pictures.inner_ratio)
    return elision


def facts_of(canvases: CanvasSet) -> dict[str, Any]:
    """Return what a network is trained on, as a card tells it."""
    return {
        "canvases": len(canvases),
        "photographs": canvases.photographs,
        "bank": canvases.bank_fingerprint,
        "making": canvases.settings,
        "sha256": canvases.sha256,
    }


def finished(network: PaintingNetwork, pair: CanvasPair) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB, what a network makes of a simulated canvas."""
    shown = ShownCanvas(pair.canvas, pair.label_map, pair.coverage, pair.elided)
    return paint_over(network, shown, seed=0)


def try_finish(
    trained: nn.Module,
    canvases: CanvasSet,
    places: list[int],
    perceptual: PerceptualLoss | None,
) -> Mapping[str, float]:
    """Return mean differences to the photographs that are held out, where pixels were to be made
    too.

    Args:
        trained: A network that makes pictures of canvases.
        canvases: The set.
        places: Which of them.
        perceptual: Tells the differences of its maps too; None does not.
    """
    assert isinstance(trained, PaintingNetwork)
    sums: dict[str, float] = {}
    for place in places:
        pair = canvases.read(place)
        made = finished(trained, pair)
        gone = ~pair.coverage | pair.elided
        apart = np.abs(made.astype(np.float64) - pair.image).mean(axis=2) / 255
        figures = {
            "image": float(apart.mean()),
            "image_where_made": float(apart[gone].mean()) if gone.any() else 0.0,
        }
        if perceptual is not None:
            device = next(trained.parameters()).device
            both = torch.from_numpy(np.stack([made, pair.image])).permute(0, 3, 1, 2)
            first, second = (both.float().div(255).to(device)).chunk(2)
            with torch.no_grad():
                terms = perceptual.terms(first, second)
            figures |= {name: float(value) for name, value in terms.items() if name != "image"}
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) + value / len(places)
    return sums


def sheet_of_finishes(
    trained: nn.Module, canvases: CanvasSet, places: list[int]
) -> NDArray[np.uint8]:
    """Return rows of layout, canvas with what is taken out white, finish and photograph."""
    assert isinstance(trained, PaintingNetwork)
    rows = []
    for number in range(min(SHOWN, len(places))):
        pair = canvases.read(places[number * len(places) // min(SHOWN, len(places))])
        canvas = pair.canvas.copy()
        canvas[pair.elided] = 255
        layout = canvases.taxonomy.palette[pair.label_map]
        rows.append(np.hstack([layout, canvas, finished(trained, pair), pair.image]))
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])
