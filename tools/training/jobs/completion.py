"""The job "completion": from coarse layouts to dense ones."""

import hashlib
from collections.abc import Sequence

import torch
from torch import nn

from scenequilt.memory_bank.datasets.interface import Entry
from scenequilt.memory_bank.errors import CheckpointError, DatasetError
from scenequilt.synthesis.completion.coarse import CoarseSettings
from scenequilt.synthesis.completion.completer import LayoutCompleter
from scenequilt.synthesis.completion.network import CompletionNet, CompletionNetSettings
from scenequilt.synthesis.completion.objective import CompletionObjective
from scenequilt.synthesis.completion.samples import (
    CompletionBatch,
    CompletionBatches,
    CompletionSampleSettings,
)
from scenequilt.synthesis.layouts.source import DatasetLayouts
from scenequilt.tools.evaluation.completion_trial import CompletionTrial
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import Checkpoint
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.restoring import restore_network, settings_of, taxonomy_of

NETWORK = "completion"

SETTINGS: dict[str, type] = {
    "network": CompletionNetSettings,
    "samples": CompletionSampleSettings,
    "coarse": CoarseSettings,
}


def build_job(request: TrainingRequest) -> TrainingJob[CompletionBatch]:
    """Return the job: a network with its first weights, and pairs of dense and coarse layouts.

    Raises:
        ValueError: If there is no dataset, or none of its layouts is to be learnt from.
        DatasetError: If a label map is missing.
    """
    reader = request.dataset()
    network_settings = request.table("network", CompletionNetSettings)
    samples = request.table("samples", CompletionSampleSettings)
    coarse = request.table("coarse", CoarseSettings)
    batches = CompletionBatches(
        DatasetLayouts(reader, request.training),
        samples,
        coarse,
        batch_size=request.batch_size,
        seed=request.seed,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        network = CompletionNet(len(reader.taxonomy), network_settings)
    tried = DatasetLayouts(reader, request.held_out or request.training)
    trial = CompletionTrial(tried, reader.taxonomy, coarse)

    def completer(trained: nn.Module) -> LayoutCompleter:
        assert isinstance(trained, CompletionNet)
        return LayoutCompleter(trained, reader.taxonomy, height_px=samples.size_hw[0])

    return TrainingJob(
        network=NETWORK,
        settings={
            "network": as_json(network_settings),
            "samples": as_json(samples),
            "coarse": as_json(coarse),
        },
        taxonomy=reader.taxonomy,
        preprocessing={"height_px": samples.size_hw[0]},
        data={
            **request.origin,
            "layouts": len(request.training),
            "sha256": _label_files_sha256(request.training),
        },
        objective=CompletionObjective(network),
        batches=batches,
        validate=(lambda trained: trial.figures(completer(trained))) if request.held_out else None,
        sheet=lambda trained: trial.sheet(completer(trained)),
    )


def restore(checkpoint: Checkpoint) -> CompletionNet:
    """Return the network of a checkpoint, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    return restore_network(checkpoint, network=NETWORK, job="completion", build=_built)


def _built(checkpoint: Checkpoint) -> CompletionNet:
    return CompletionNet(
        len(taxonomy_of(checkpoint)), settings_of(checkpoint, "network", CompletionNetSettings)
    )


def restore_completer(checkpoint: Checkpoint, *, device: str = "cpu") -> LayoutCompleter:
    """Return what completes layouts with the weights of a checkpoint.

    Args:
        checkpoint: Of this network.
        device: Where it works.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    network = restore(checkpoint).to(device)
    height_px = checkpoint.card.preprocessing.get("height_px")
    if not isinstance(height_px, int):
        raise CheckpointError(
            f"the card's preprocessing has height_px {height_px!r}, expected the height in pixels "
            "that the network was trained at; train it again"
        )
    return LayoutCompleter(network, taxonomy_of(checkpoint), height_px=height_px)


def _label_files_sha256(entries: Sequence[Entry]) -> str:
    """Return a hash over the label and instance files of photographs, in hex: all that is learnt from.

    Raises:
        DatasetError: If a label map is missing.
    """
    digest = hashlib.sha256()
    for entry in entries:
        for path in (entry.label_path, entry.instance_path):
            if path is None:
                continue
            if not path.is_file():
                raise DatasetError(f"{path} is missing, expected beside {entry.image_path}; add it")
            digest.update(path.read_bytes())
    return digest.hexdigest()
