"""The job "resail": a retrieval-guided generator, from canvases to photographs."""

import torch

from scenequilt.synthesis.canvas_set import CanvasSet
from scenequilt.synthesis.objective import SynthesisBatch
from scenequilt.synthesis.resail import (
    ResailGenerator,
    ResailLossSettings,
    ResailObjective,
    ResailSettings,
)
from scenequilt.synthesis.samples import CanvasBatches, CanvasSampleSettings
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import Checkpoint
from scenequilt.tools.training.job import JobReport, TrainingJob
from scenequilt.tools.training.jobs.synthesis import (
    PictureSettings,
    elision_of_pictures,
    facts_of,
    sheet_of_finishes,
    try_finish,
)
from scenequilt.tools.training.loss_network import load_perceptual
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.restoring import restore_network, settings_of, taxonomy_of
from scenequilt.tools.training.start import StartSettings, start_from

NETWORK = "resail"

SETTINGS: dict[str, type] = {
    "network": ResailSettings,
    "samples": CanvasSampleSettings,
    "loss": ResailLossSettings,
    "start": StartSettings,
    "pictures": PictureSettings,
}


def build_job(request: TrainingRequest) -> TrainingJob[SynthesisBatch]:
    """Return the job: a network with its first weights, and simulated canvases.

    Raises:
        CheckpointError: If the classifier's weights, or those to start from, cannot be read.
        DatasetError: If the set of canvases cannot be read.
        ValueError: If no canvases were given, or the first batches would have no loss.
    """
    if request.canvases is None:
        raise ValueError(
            "this network learns from simulated canvases; make them with: scenequilt canvases"
        )
    canvases = CanvasSet(request.canvases)
    network_settings = request.table("network", ResailSettings)
    samples = request.table("samples", CanvasSampleSettings)
    loss = request.table("loss", ResailLossSettings)
    start = request.table("start", StartSettings)
    pictures = request.table("pictures", PictureSettings)
    perceptual = None
    if request.features is not None:
        perceptual = load_perceptual(request.features).to(request.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        network = ResailGenerator(len(canvases.taxonomy), network_settings)
        objective = ResailObjective(network, perceptual, loss, device=request.device)
    started = start_from(network, start, canvases.taxonomy)
    for part in objective.networks.values():
        # Convolutions on the CPU are faster in this order of memory.
        part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    held_out = canvases.places(held_out=True)
    shown = held_out or canvases.places(held_out=False)
    return TrainingJob(
        network=NETWORK,
        settings={
            "network": as_json(network_settings),
            "samples": as_json(samples),
            "loss": as_json(loss),
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


def restore(checkpoint: Checkpoint) -> ResailGenerator:
    """Return the network of a checkpoint, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    return restore_network(checkpoint, network=NETWORK, job="resail", build=_built)


def _built(checkpoint: Checkpoint) -> ResailGenerator:
    return ResailGenerator(
        len(taxonomy_of(checkpoint)), settings_of(checkpoint, "network", ResailSettings)
    )
