"""The job "aligner": from a segment and its query to the affine map between them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenequilt.alignment.learned import LearnedAligner
from scenequilt.alignment.network import AlignmentNet, AlignmentNetSettings, warp
from scenequilt.alignment.objective import AlignmentObjective, AlignmentWeights, soft_iou
from scenequilt.alignment.samples import AlignmentBatch, AlignmentSamples, PairSettings
from scenequilt.alignment.view import ViewSettings
from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.errors import DatasetError
from scenequilt.memory_bank.manifest import read_manifest
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import Checkpoint
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.restoring import restore_network, settings_of, taxonomy_of

NETWORK = "sims_alignment"

SETTINGS: dict[str, type] = {
    "network": AlignmentNetSettings,
    "view": ViewSettings,
    "samples": PairSettings,
    "loss": AlignmentWeights,
}

TRIED = 128
"""Pairs that a trial looks at."""

SHOWN = 8
"""Pairs on a sample sheet."""


def build_job(request: TrainingRequest) -> TrainingJob[AlignmentBatch]:
    """Return the job: a network that starts as the identity, and pairs of segments and queries.

    Raises:
        BankError: If the bank cannot be read.
        DatasetError: If a file of the dataset is missing, or the bank is of other classes.
        ValueError: If there is no dataset or no photograph, or real pairs are asked for without a
            bank.
    """
    reader = request.dataset()
    network_settings = request.table("network", AlignmentNetSettings)
    view = request.table("view", ViewSettings)
    pairs = request.table("samples", PairSettings)
    weights = request.table("loss", AlignmentWeights)
    bank = request.bank if pairs.real_share > 0 else None

    def samples(entries: Sequence[Entry], batch_size: int) -> AlignmentSamples:
        return AlignmentSamples(
            reader,
            entries,
            batch_size=batch_size,
            seed=request.seed,
            view=view,
            settings=pairs,
            bank=bank,
        )

    batches = samples(request.training, request.batch_size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        network = AlignmentNet(len(reader.taxonomy), network_settings, view)
    # Convolutions on the CPU are faster in this order of memory.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shown = samples(request.held_out or request.training, SHOWN)
    return TrainingJob(
        network=NETWORK,
        settings={
            "network": as_json(network_settings),
            "view": as_json(view),
            "samples": as_json(pairs),
            "loss": as_json(weights),
        },
        taxonomy=reader.taxonomy,
        preprocessing={"range": [0, 1]},
        data={
            **request.origin,
            "photographs": len(request.training),
            "bank": None if bank is None else _fingerprint(bank, reader),
            "sha256": _files_sha256(reader, request.training),
        },
        objective=AlignmentObjective(network, weights),
        batches=batches,
        validate=(lambda trained: _trial(trained, samples(request.held_out, TRIED)))
        if request.held_out
        else None,
        sheet=lambda trained: _sheet(trained, shown.batch(1)),
    )


def restore(checkpoint: Checkpoint) -> AlignmentNet:
    """Return the network of a checkpoint, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    return restore_network(checkpoint, network=NETWORK, job="aligner", build=_built)


def _built(checkpoint: Checkpoint) -> AlignmentNet:
    return AlignmentNet(
        len(taxonomy_of(checkpoint)),
        settings_of(checkpoint, "network", AlignmentNetSettings),
        settings_of(checkpoint, "view", ViewSettings),
    )


def restore_aligner(
    checkpoint: Checkpoint, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> LearnedAligner:
    """Return what places segments with the weights of a checkpoint.

    Args:
        checkpoint: Of this network.
        dtype: Of the network's convolutions.
        device: Where the network works.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    return LearnedAligner(restore(checkpoint).to(device), dtype=dtype)


def _trial(network: nn.Module, samples: AlignmentSamples) -> Mapping[str, float]:
    """Return the mean soft IoU of held-out pairs on their views, before the network and after."""
    batch = samples.batch(1)
    _, after = _aligned(network, batch)
    masks = {"iou_before": batch.segment_mask, "iou_after": after}
    return {
        name: float(soft_iou(mask * batch.inside, batch.query_mask).mean())
        for name, mask in masks.items()
    }


def _sheet(network: nn.Module, batch: AlignmentBatch) -> NDArray[np.uint8]:
    """Return the segments of a batch over their queries in grey, above before, below after."""
    color, mask = _aligned(network, batch)
    rows = [
        torch.where(covered > 0.5, shown, 0.3 * batch.query_mask).permute(2, 0, 3, 1).flatten(1, 2)
        for shown, covered in ((batch.color, batch.segment_mask), (color, mask))
    ]
    return np.asarray((255 * torch.cat(rows)).round().to(torch.uint8).numpy())


def _aligned(network: nn.Module, batch: AlignmentBatch) -> tuple[Tensor, Tensor]:
    """Return colour (B, 3, H, W) and mask (B, 1, H, W) of the segments after the network."""
    device = next(network.parameters()).device
    theta = network(
        batch.color.to(device), batch.query_mask.to(device), batch.label_map.to(device)
    ).cpu()
    return warp(batch.color, theta).clamp(0, 1), warp(batch.segment_mask, theta)


def _fingerprint(bank: Path, reader: DatasetReader) -> str:
    """Return the fingerprint of a bank, whose classes must be the dataset's."""
    manifest = read_manifest(bank)
    ours = [entry.name for entry in reader.taxonomy.classes]
    theirs = [entry.name for entry in manifest.taxonomy.classes]
    if ours != theirs:
        raise DatasetError(
            f"{bank} has the classes {', '.join(theirs)}, but the photographs "
            f"{', '.join(ours)}; give a bank of the same dataset"
        )
    return manifest.fingerprint


def _files_sha256(reader: DatasetReader, entries: Sequence[Entry]) -> str:
    """Return a hash over all files that the photographs depend on, in hex.

    Raises:
        DatasetError: If one is missing.
    """
    digest = hashlib.sha256()
    # Photographs may share a file, e.g. the annotations of their split.
    for path in dict.fromkeys(path for entry in entries for path in reader.files(entry)):
        if not path.is_file():
            raise DatasetError(f"{path} is missing, expected for a photograph; add it")
        digest.update(path.read_bytes())
    return digest.hexdigest()
