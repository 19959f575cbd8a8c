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
from scenequilt.synthesis.samples import CanvasSampleSettings
from scenequilt.tools.training.checkpoint import Checkpoint
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.jobs.synthesis import PictureSettings, canvas_job
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
    loss = request.table("loss", ResailLossSettings)
    start = request.table("start", StartSettings)
    perceptual = None
    if request.features is not None:
        perceptual = load_perceptual(request.features).to(request.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        network = ResailGenerator(len(canvases.taxonomy), network_settings)
        objective = ResailObjective(network, perceptual, loss, device=request.device)
    started = start_from(network, start, canvases.taxonomy)
    return canvas_job(
        request,
        canvases,
        network=NETWORK,
        tables={"network": network_settings, "loss": loss},
        objective=objective,
        perceptual=perceptual,
        started=started,
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
