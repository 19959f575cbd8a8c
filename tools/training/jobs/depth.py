"""The job "depth": from a photograph to how far everything in it is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scenequilt.ordering.depth_network import DepthNet, DepthNetSettings
from scenequilt.ordering.depth_objective import DepthObjective, score_depth
from scenequilt.ordering.depth_samples import (
    DepthBatch,
    DepthPicture,
    DepthSamples,
    DepthSettings,
    hash_of_depth,
    read_depth_pictures,
    render_depth_pictures,
    view_depth,
)
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import Checkpoint
from scenequilt.tools.training.job import JobReport, TrainingJob
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.restoring import restore_network, settings_of

NETWORK = "depth"

SETTINGS: dict[str, type] = {"network": DepthNetSettings, "samples": DepthSettings}

TRIED_AT_ONCE = 16

SHOWN = 6
"""Pictures on a sample sheet."""


def build_job(request: TrainingRequest) -> TrainingJob[DepthBatch]:
    """Return the job: photographs with depth are read, scenes of toytown rendered beside them.

    Raises:
        DatasetError: If a photograph cannot be read or has no depth map.
        ValueError: If there is no dataset or no photograph.
    """
    reader = request.dataset()
    network_settings = request.table("network", DepthNetSettings)
    samples = request.table("samples", DepthSettings)
    size_hw = network_settings.size_hw
    pictures = read_depth_pictures(reader, request.training, size_hw, progress=request.progress)
    scenes = samples.toytown_scenes if samples.toytown_share > 0 else 0
    others = render_depth_pictures(scenes, request.seed, size_hw)
    held_out = read_depth_pictures(reader, request.held_out, size_hw)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        network = DepthNet(network_settings)
    # Convolutions on the CPU are faster in this order of memory.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    shown = view_depth(
        (held_out or pictures)[:: max(1, len(held_out or pictures) // SHOWN)], size_hw
    )
    return TrainingJob(
        network=NETWORK,
        settings={"network": as_json(network_settings), "samples": as_json(samples)},
        taxonomy=None,
        preprocessing={"range": [0, 1], "size_hw": list(size_hw)},
        data={
            **request.origin,
            "photographs": len(pictures),
            "scenes": len(others),
            "sha256": hash_of_depth([*pictures, *others]),
        },
        objective=DepthObjective(
            network, invariance=samples.invariance, gradient_weight=samples.gradient_weight
        ),
        batches=DepthSamples(
            pictures,
            others,
            size_hw,
            samples,
            batch_size=request.batch_size,
            seed=request.seed,
        ),
        validate=(lambda trained: _trial(trained, held_out, size_hw)) if held_out else None,
        sheet=lambda trained: _sheet(trained, shown),
        report=JobReport(
            facts={"photographs": len(pictures), "scenes": len(others)},
            lines={
                "photographs": f"{len(pictures)}, and {len(others)} scenes of toytown",
                "validation": f"{len(held_out) or 'no'} photographs",
            },
            samples="pictures of {}x{}".format(*size_hw),
            validation=_in_lines,
        ),
    )


def restore(checkpoint: Checkpoint) -> DepthNet:
    """Return the network of a checkpoint, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    return restore_network(checkpoint, network=NETWORK, job="depth", build=_built)


def _built(checkpoint: Checkpoint) -> DepthNet:
    return DepthNet(settings_of(checkpoint, "network", DepthNetSettings))


def _trial(
    network: nn.Module, pictures: Sequence[DepthPicture], size_hw: tuple[int, int]
) -> Mapping[str, float]:
    answers, truths = [], []
    for start in range(0, len(pictures), TRIED_AT_ONCE):
        batch = view_depth(pictures[start : start + TRIED_AT_ONCE], size_hw)
        answers.append(_asked(network, batch))
        truths.append(batch.depth_m)
    return asdict(score_depth(torch.cat(answers), torch.cat(truths)))


def _asked(network: nn.Module, batch: DepthBatch) -> Tensor:
    """Return log depth (B, H / 2, W / 2) on the CPU."""
    device = next(network.parameters()).device
    answer: Tensor = network(batch.images.to(device)).float().cpu()
    return answer


def _in_lines(found: Mapping[str, float]) -> list[str]:
    return [
        (
            f"off by {100 * found['relative_error']:.1f} % on average, within a quarter on "
            f"{100 * found['within_quarter']:.1f} % of the pixels it has not seen, and by "
            f"{found['scale_free_error']:.3f} in log depth with the scale of each picture known"
        )
    ]


def _sheet(network: nn.Module, batch: DepthBatch) -> NDArray[np.uint8]:
    """Return pictures one under the other: photograph, its depth, the network's; near is light."""
    answers = _asked(network, batch).exp()
    rows = []
    for image, truth, answer in zip(batch.images, batch.depth_m, answers, strict=True):
        grey = []
        for depth_m in (truth, answer):
            nearness = torch.where(depth_m > 0, 1 / (1 + depth_m), 0)
            grey.append(nearness.repeat_interleave(2, 0).repeat_interleave(2, 1).expand(3, -1, -1))
        rows.append(torch.cat([image, *grey], dim=2))
    sheet = torch.cat(rows, dim=1).permute(1, 2, 0).clamp(0, 1)
    return np.asarray((255 * sheet).round().to(torch.uint8).numpy())
