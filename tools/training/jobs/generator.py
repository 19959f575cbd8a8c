"""The jobs of the generators without a bank: from layouts to the photographs they are of."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from scenequilt.memory_bank.datasets.interface import DatasetReader, Entry
from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.synthesis.baselines.baseline import Baseline
from scenequilt.synthesis.interface import ImageGenerator
from scenequilt.synthesis.losses import PerceptualLoss
from scenequilt.synthesis.photograph_samples import (
    PhotographBatch,
    PhotographBatches,
    PhotographSampleSettings,
    Piece,
    as_photograph_batch,
    cut_piece,
)
from scenequilt.synthesis.registry import load_baseline
from scenequilt.tools.settings import as_json
from scenequilt.tools.training.checkpoint import Checkpoint
from scenequilt.tools.training.job import JobReport, TrainingJob
from scenequilt.tools.training.loader import moved
from scenequilt.tools.training.loss_network import load_perceptual
from scenequilt.tools.training.request import TrainingRequest
from scenequilt.tools.training.restoring import restore_network, settings_of, taxonomy_of
from scenequilt.tools.training.segmenter_samples import CACHE_BYTES
from scenequilt.tools.training.start import StartSettings, start_from

SHOWN = 4
"""Photographs on a sample sheet."""


class GeneratorPhotographs:
    """The photographs of a dataset with their layouts, kept once read as long as there is room.

    Args:
        reader: The dataset.
        entries: Which of them.
        limit_bytes: Room for what is kept.
    """

    def __init__(
        self,
        reader: DatasetReader,
        entries: Sequence[Entry],
        *,
        limit_bytes: int = CACHE_BYTES,
    ) -> None:
        self._reader = reader
        self._entries = list(entries)
        self._limit_bytes = limit_bytes
        self._room_bytes = limit_bytes
        self._kept: dict[int, tuple[NDArray[np.uint8], Layout]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Another process reads its own share.
        return self.__dict__ | {"_kept": {}, "_room_bytes": self._limit_bytes}

    def __len__(self) -> int:
        return len(self._entries)

    def read(self, place: int) -> tuple[NDArray[np.uint8], Layout]:
        """Return (H, W, 3) uint8 RGB and its layout.

        Raises:
            DatasetError: If a file cannot be read; the message names it.
        """
        if place in self._kept:
            return self._kept[place]
        photograph = self._reader.read(self._entries[place])
        size_bytes = _bytes_of(photograph.image, photograph.layout)
        if size_bytes <= self._room_bytes:
            self._room_bytes -= size_bytes
            self._kept[place] = photograph.image, photograph.layout
        return photograph.image, photograph.layout

    @property
    def unread_bytes(self) -> int:
        """Memory that they will take, if all are as large as the first."""
        each = _bytes_of(*self.read(0)) if self._entries else 0
        return min(each * len(self._entries), self._limit_bytes)

    @property
    def derived_instances(self) -> int:
        """How many have no instance map, so that their things are connected components."""
        return sum(entry.instance_path is None for entry in self._entries)

    def sha256(self) -> str:
        """Return a hash over the files, in hex."""
        digest = hashlib.sha256()
        for entry in self._entries:
            for path in (entry.image_path, entry.label_path, entry.instance_path):
                if path is not None:
                    digest.update(path.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class GeneratorJob:
    """The job of one generator.

    Attributes:
        baseline: What the file of its paper offers.
    """

    baseline: Baseline

    @property
    def NETWORK(self) -> str:
        """Name of the architecture on the card."""
        return self.baseline.name

    @property
    def SETTINGS(self) -> Mapping[str, type[Any]]:
        """TOML tables of its own."""
        return {
            "network": self.baseline.network,
            "samples": PhotographSampleSettings,
            "loss": self.baseline.loss,
            "start": StartSettings,
        }

    def build_job(self, request: TrainingRequest) -> TrainingJob[PhotographBatch]:
        """Return the job: a network with its first weights, and labelled photographs.

        Raises:
            CheckpointError: If the classifier's weights, or those to start from, cannot be read.
            ValueError: If there is no dataset, or a setting does not fit.
        """
        reader = request.dataset()
        classes = len(reader.taxonomy)
        network_settings = request.table("network", self.baseline.network)
        samples = request.table("samples", PhotographSampleSettings)
        loss = request.table("loss", self.baseline.loss)
        start = request.table("start", StartSettings)
        perceptual = None
        if request.features is not None:
            perceptual = load_perceptual(request.features).to(request.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(request.seed)
            network = self.baseline.build(classes, network_settings)
            started = start_from(network, start, reader.taxonomy)
            objective = self.baseline.objective(network, perceptual, loss, device=request.device)
        # Convolutions on the CPU are faster in this order of memory.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        photographs = GeneratorPhotographs(reader, request.training)
        held_out = GeneratorPhotographs(reader, request.held_out)
        shown = held_out if len(held_out) else photographs
        extra = None
        if self.baseline.extra is not None:
            extra = self.baseline.extra(network_settings, loss)
        trial = _Trial(self.baseline, held_out, samples, perceptual)
        return TrainingJob(
            network=self.baseline.name,
            settings={
                "network": as_json(network_settings),
                "samples": as_json(samples),
                "loss": as_json(loss),
                "start": start.on_card(),
                "classifier": None if perceptual is None else perceptual.network,
            },
            taxonomy=reader.taxonomy,
            preprocessing={"range": [0, 1], "size_hw": list(samples.crop_hw)},
            data={
                **request.origin,
                "photographs": len(photographs),
                "derived_instances": photographs.derived_instances,
                "sha256": photographs.sha256(),
            },
            objective=objective,
            batches=PhotographBatches(
                photographs,
                samples,
                extra=extra,
                batch_size=request.batch_size,
                seed=request.seed,
            ),
            delivered="generator",
            validate=trial if len(held_out) else None,
            sheet=lambda trained: _sheet(self.baseline, trained, shown, samples, reader.taxonomy),
            complete=self._completion(photographs, samples),
            report=JobReport(
                samples=f"pieces of {samples.crop_hw[0]}x{samples.crop_hw[1]}",
                unread_bytes=photographs.unread_bytes,
                lines={**started, **self.baseline.told(loss)},
            ),
        )

    def _completion(
        self, photographs: GeneratorPhotographs, samples: PhotographSampleSettings
    ) -> Callable[[nn.Module], None] | None:
        complete = self.baseline.complete
        if complete is None:
            return None
        return lambda trained: complete(
            trained,
            (shown_batch(photographs, place, samples) for place in range(len(photographs))),
        )

    def restore(self, checkpoint: Checkpoint) -> nn.Module:
        """Return the network of a checkpoint, on the CPU, in evaluation mode.

        Raises:
            CheckpointError: If the checkpoint is of another network, or damaged.
        """
        return restore_network(
            checkpoint, network=self.baseline.name, job=self.baseline.name, build=self._built
        )

    def _built(self, checkpoint: Checkpoint) -> nn.Module:
        settings = settings_of(checkpoint, "network", self.baseline.network)
        return self.baseline.build(len(taxonomy_of(checkpoint)), settings)


def _bytes_of(image: NDArray[np.uint8], layout: Layout) -> int:
    return image.nbytes + layout.label_map.nbytes + layout.instance_map.nbytes


def generator_job(name: str) -> GeneratorJob:
    """Return the job of a generator.

    Raises:
        ValueError: If there is no such generator.
    """
    return GeneratorJob(load_baseline(name))


def shown_batch(
    photographs: GeneratorPhotographs, place: int, samples: PhotographSampleSettings
) -> PhotographBatch:
    """Return a photograph as a network sees it when it is tried: the same piece each time."""
    image, layout = photographs.read(place)
    plain = PhotographSampleSettings(crop_hw=samples.crop_hw, mirror=False)
    rng = np.random.default_rng(place)
    piece: Piece = cut_piece(image, layout, plain, rng)
    return as_photograph_batch([piece], [{}])


def made_of(baseline: Baseline, network: nn.Module, batch: PhotographBatch) -> torch.Tensor:
    """Return (B, 3, H, W) float RGB in [0, 1], what a generator makes of photographs' layouts, on the
    CPU."""
    assert isinstance(network, ImageGenerator) and isinstance(network.classes, int)
    conditions = batch.conditions(network.classes)
    if baseline.tried_with is not None:
        conditions = baseline.tried_with(network, batch)
    conditions = moved(conditions, next(network.parameters()).device)
    return network.generate(conditions, seed=0).float().cpu()


@dataclass(frozen=True, eq=False)
class _Trial:
    """Mean differences to the photographs that are held out."""

    baseline: Baseline
    photographs: GeneratorPhotographs
    samples: PhotographSampleSettings
    perceptual: PerceptualLoss | None

    def __call__(self, trained: nn.Module) -> Mapping[str, float]:
        sums: dict[str, float] = {}
        for place in range(len(self.photographs)):
            batch = shown_batch(self.photographs, place, self.samples)
            made = made_of(self.baseline, trained, batch)
            figures = {"image": float((made - batch.real).abs().mean())}
            if self.perceptual is not None:
                device = next(trained.parameters()).device
                with torch.no_grad():
                    terms = self.perceptual.terms(made.to(device), batch.real.to(device))
                figures |= {name: float(value) for name, value in terms.items()}
            for name, value in figures.items():
                sums[name] = sums.get(name, 0.0) + value / len(self.photographs)
        return sums


def _sheet(
    baseline: Baseline,
    trained: nn.Module,
    photographs: GeneratorPhotographs,
    samples: PhotographSampleSettings,
    taxonomy: Taxonomy,
) -> NDArray[np.uint8]:
    """Return rows of layout, what was made of it, and photograph."""
    rows = []
    for number in range(min(SHOWN, len(photographs))):
        place = number * len(photographs) // min(SHOWN, len(photographs))
        batch = shown_batch(photographs, place, samples)
        made = made_of(baseline, trained, batch)[0].permute(1, 2, 0).mul(255).round().byte().numpy()
        photograph = batch.photograph[0].permute(1, 2, 0).numpy()
        rows.append(np.hstack([taxonomy.palette[batch.label_map[0].numpy()], made, photograph]))
    return np.vstack(rows)
