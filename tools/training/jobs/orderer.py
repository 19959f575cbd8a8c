"""The job "orderer": from two regions of a layout to which one is in front."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.ordering.calibration import fit_temperature, score_pairs
from scenequilt.ordering.depth_network import NetworkDepth
from scenequilt.ordering.depth_source import DepthFolder, DepthKind, DepthSource
from scenequilt.ordering.learned import LearnedOrderer, ask_network
from scenequilt.ordering.network import OrderNet, OrderNetSettings
from scenequilt.ordering.objective import PairObjective
from scenequilt.ordering.samples import (
    PairBatch,
    PairPicture,
    PairSamples,
    PairSettings,
    hash_of_pairs,
    read_pairs,
    render_pairs,
)
from scenequilt.ordering.view import ViewSettings, view_pair
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import Checkpoint, read_checkpoint
from scenequilt.tools.training.job import JobReport, TrainingJob
from scenequilt.tools.training.jobs import depth as depth_job
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.restoring import restore_network, settings_of, taxonomy_of

NETWORK = "sims_ordering"

SHOWN = 8
"""Pairs on a sample sheet."""

SCENES_TRIED = 6
"""One scene of toytown in so many is not trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthOrigin:
    """Where depth comes from for photographs that have none; at most one of the two.

    Attributes:
        maps: Folder of depth maps that some network wrote.
        kind: What their values mean; see depth_source.DepthKind.
        weights: Weights of our own depth network.

    Raises:
        ValueError: If both are given.
    """

    maps: Path | None = None
    kind: DepthKind = "metric"
    weights: Path | None = None

    def __post_init__(self) -> None:
        if self.maps is not None and self.weights is not None:
            raise ValueError("maps and weights are both given, expected at most one of them")

    def source(self) -> DepthSource | None:
        """Return what gives depth, None for nothing.

        Raises:
            CheckpointError: If the weights cannot be read.
            DatasetError: If there are no maps in the folder.
        """
        if self.weights is not None:
            return NetworkDepth(depth_job.restore(read_checkpoint(self.weights)))
        return None if self.maps is None else DepthFolder(self.maps, self.kind)

    def as_json(self) -> dict[str, Any]:
        """Return it for a card, without the folders of this machine."""
        return {
            "maps": None if self.maps is None else self.maps.name,
            "kind": self.kind,
            "weights": None if self.weights is None else self.weights.name,
        }


SETTINGS: dict[str, type] = {
    "network": OrderNetSettings,
    "view": ViewSettings,
    "samples": PairSettings,
    "depth": DepthOrigin,
}


def build_job(request: TrainingRequest) -> TrainingJob[PairBatch]:
    """Return the job: the pairs of the photographs are labelled, the network is drawn.

    Of what is held out the first half fits the temperature, the second is measured on; so it is
    with the last sixth of the scenes of toytown, since streets without depth know no truth.

    Raises:
        CheckpointError: If the weights of the depth network cannot be read.
        DatasetError: If a photograph or its depth cannot be read, or there is no pair.
        ValueError: If there is no dataset.
    """
    reader = request.dataset()
    network_settings = request.table("network", OrderNetSettings)
    view = request.table("view", ViewSettings)
    pairs = request.table("samples", PairSettings)
    origin = request.table("depth", DepthOrigin)
    source = origin.source()
    pictures = read_pairs(reader, request.training, pairs, depth=source, progress=request.progress)
    held_out = read_pairs(reader, request.held_out, pairs, depth=source) if request.held_out else []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(request.seed)
        network = OrderNet(len(reader.taxonomy), network_settings, view)
    # Convolutions on the CPU are faster in this order of memory.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    scenes = render_pairs(reader.taxonomy, pairs, request.seed) if pairs.toytown_scenes else []
    others = scenes[: len(scenes) - len(scenes) // SCENES_TRIED]
    fitted, measured = _halves(held_out, scenes[len(others) :])
    batches = PairSamples(
        pictures, view, pairs, batch_size=request.batch_size, seed=request.seed, others=others
    )
    known: Counter[str] = Counter(
        label.truth for picture in (*pictures, *others) for label in picture.labels
    )
    return TrainingJob(
        network=NETWORK,
        settings={
            "network": as_json(network_settings),
            "view": as_json(view),
            "samples": as_json(pairs),
            "depth": origin.as_json(),
        },
        taxonomy=reader.taxonomy,
        preprocessing={"view": as_json(view)},
        data={
            **request.origin,
            "photographs": len(pictures),
            "scenes": len(others),
            "pairs": len(batches),
            "pairs_by_truth": dict(sorted(known.items())),
            "sha256": hash_of_pairs([*pictures, *others]),
        },
        objective=PairObjective(network),
        batches=batches,
        validate=(lambda trained: _trial(trained, fitted, measured)) if measured else None,
        sheet=lambda trained: _sheet(trained, measured or pictures, reader.taxonomy),
        report=JobReport(
            facts={"photographs": len(pictures), "pairs": len(batches), **known},
            lines={
                "photographs": f"{len(pictures)} with pairs, of {len(request.training)}"
                + (f", and {len(others)} scenes of toytown" if others else ""),
                "pairs": f"{len(batches)}: "
                + ", ".join(f"{count} by {truth}" for truth, count in sorted(known.items())),
                "validation": f"{len(held_out) or 'no'} photographs"
                + (f" and {len(scenes) - len(others)} scenes" if scenes else ""),
            },
            samples="pairs of regions",
            validation=_in_lines,
        ),
    )


def restore(checkpoint: Checkpoint) -> OrderNet:
    """Return the network of a checkpoint, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    return restore_network(checkpoint, network=NETWORK, job="orderer", build=_built)


def _built(checkpoint: Checkpoint) -> OrderNet:
    return OrderNet(
        len(taxonomy_of(checkpoint)),
        settings_of(checkpoint, "network", OrderNetSettings),
        settings_of(checkpoint, "view", ViewSettings),
    )


def restore_orderer(
    checkpoint: Checkpoint, *, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> LearnedOrderer:
    """Return what puts segments in order with the weights of a checkpoint.

    Args:
        checkpoint: Of this network.
        dtype: Of the network's convolutions.
        device: Where the network works.

    Raises:
        CheckpointError: If the checkpoint is of another network, or damaged.
    """
    network = restore(checkpoint).to(device)
    network.trunk.to(dtype)
    # Convolutions on the CPU are faster in this order of memory.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return LearnedOrderer(network, taxonomy_of(checkpoint))


def _halves(*parts: Sequence[PairPicture]) -> tuple[list[PairPicture], list[PairPicture]]:
    first = [picture for part in parts for picture in part[: len(part) // 2]]
    second = [picture for part in parts for picture in part[len(part) // 2 :]]
    return first, second


def _trial(
    network: nn.Module, fitted: Sequence[PairPicture], measured: Sequence[PairPicture]
) -> Mapping[str, Any]:
    """Set the network's temperature by some pictures and measure on others."""
    assert isinstance(network, OrderNet)
    if fitted:
        logits, in_front, _ = _answers(network, fitted)
        # In the precision in which it is written, so that what is measured is what is read back.
        network.temperature.fill_(float(np.float16(fit_temperature(logits, in_front))))
    logits, in_front, truths = _answers(network, measured)
    found: dict[str, Any] = asdict(score_pairs(logits / float(network.temperature), in_front))
    found["temperature"] = float(network.temperature)
    for truth in sorted(set(truths)):
        chosen = np.array(truths) == truth
        found[f"accuracy_{truth}"] = score_pairs(logits[chosen], in_front[chosen]).accuracy
    return found


def _answers(
    network: OrderNet, pictures: Sequence[PairPicture]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Return logits, truth and how it is known, for pairs known by occlusion or depth if any are."""
    sure = any(label.truth in ("occlusion", "depth") for p in pictures for label in p.labels)
    logits, in_front, truths = [np.zeros(0)], list[float](), list[str]()
    weights = network.outline_weight.detach().double().cpu().numpy()
    for picture in pictures:
        labels = [
            label for label in picture.labels if label.truth in ("occlusion", "depth") or not sure
        ]
        pairs = [(label.first, label.second) for label in labels]
        closed = np.array([label.outline_logits for label in labels]).reshape(-1, len(weights))
        logits.append(ask_network(network, picture.region_map, pairs) + closed @ weights)
        in_front += [label.first_in_front for label in labels]
        truths += [label.truth for label in labels]
    return np.concatenate(logits), np.array(in_front, np.float64), truths


def _in_lines(found: Mapping[str, Any]) -> list[str]:
    return [
        (
            f"right in {100 * found['accuracy']:.1f} % of {found['pairs']} pairs it has not seen, "
            f"calibration error {100 * found['calibration_error']:.1f} %, temperature "
            f"{found['temperature']:.2f}"
        )
    ]


def _sheet(
    network: nn.Module, pictures: Sequence[PairPicture], taxonomy: Taxonomy
) -> NDArray[np.uint8]:
    """Return pairs one under the other: the first red, the second blue, and who is in front.

    The bar below is as long as the network is sure; green where it is right, else grey.
    """
    assert isinstance(network, OrderNet)
    rows = []
    for picture in [pictures[len(pictures) * n // SHOWN] for n in range(SHOWN)]:
        label = picture.labels[0]
        seen = view_pair(picture.region_map, label.first, label.second, network.view)
        weights = network.outline_weight.detach().cpu().numpy()
        logit = ask_network(network, picture.region_map, [(label.first, label.second)])[0]
        logit += np.array(label.outline_logits) @ weights
        color = taxonomy.palette[seen.label_map] // 3
        for mask, channel in zip(seen.masks, (0, 2), strict=True):
            color[mask, channel] = 255
        probability = 1 / (1 + np.exp(-np.clip(logit / float(network.temperature), -30, 30)))
        bar = np.zeros((6, color.shape[1], 3), np.uint8)
        ahead = 0 if probability > 0.5 else 2
        bar[1:3, : round(abs(2 * probability - 1) * color.shape[1]), ahead] = 255
        right = (probability > 0.5) == (label.first_in_front > 0.5)
        bar[4:, :] = (0, 200, 0) if right else (90, 90, 90)
        rows += [color, bar]
    sheet = np.concatenate(rows)
    enlarged = cv2.resize(sheet, None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    return np.asarray(enlarged, np.uint8)
