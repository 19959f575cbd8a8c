"""Four pictures of three classes, each in its colour; jobs with linear networks; one thread."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.segmenter_samples import InMemorySamples

TAXONOMY = Taxonomy(
    "three",
    (
        ClassInfo(7, "sky", (70, 130, 180), "stuff"),
        ClassInfo(8, "road", (128, 64, 128), "stuff"),
        ClassInfo(26, "car", (200, 0, 20), "thing"),
    ),
    (0, 255),
)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tiny networks are faster without a second thread to wait for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    """Sky, road, car."""
    return TAXONOMY


@pytest.fixture(scope="session")
def pictures() -> InMemorySamples:
    """Four of 48x64: sky above road, a car, two rows of void; colours are those of the classes."""
    rng = np.random.default_rng(0)
    images, label_maps = [], []
    for place in range(4):
        label_map = np.zeros((48, 64), np.uint8)
        label_map[20 + 3 * place :] = 1
        label_map[28:44, 4 + 9 * place : 24 + 9 * place] = 2
        noise = rng.integers(-20, 21, (48, 64, 3))
        image = np.clip(TAXONOMY.palette[label_map] + noise, 0, 255).astype(np.uint8)
        label_map[:2] = VOID
        images.append(image)
        label_maps.append(label_map)
    return InMemorySamples(images, label_maps)


@dataclass(frozen=True)
class ToyBatch:
    """(B, 3) inputs and (B, 1) targets."""

    inputs: Tensor
    targets: Tensor


@dataclass
class ToyBatches:
    """Points on a plane; remembers which batches were asked for."""

    size: int = 4
    asked: list[int] = field(default_factory=list)

    def batch(self, number: int) -> ToyBatch:
        self.asked.append(number)
        inputs = torch.rand(self.size, 3, generator=torch.Generator().manual_seed(number))
        return ToyBatch(inputs, inputs @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.25)


class ToyObjective:
    """Fit a plane, disturbed by drawn noise; keeps the greatest target it has seen."""

    def __init__(self, noise: float = 0.0) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(7)
            self.networks: Mapping[str, nn.Module] = {"network": nn.Linear(3, 1)}
        self.buffers: Mapping[str, Tensor] = {"greatest": torch.zeros(())}
        self.noise = noise

    def losses(self, part: str, batch: ToyBatch) -> Mapping[str, Tensor]:
        noise = self.noise * torch.rand_like(batch.targets)
        self.buffers["greatest"].copy_(torch.maximum(self.buffers["greatest"], noise.max()))
        apart = self.networks[part](batch.inputs) + noise - batch.targets
        return {"squared": apart.square().mean(), "absolute": apart.detach().abs().mean()}


class ToyPair:
    """A generator that is to please a discriminator, both linear."""

    def __init__(self) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            self.networks: Mapping[str, nn.Module] = {
                "discriminator": nn.Linear(1, 1),
                "generator": nn.Linear(3, 1),
            }
        self.buffers: Mapping[str, Tensor] = {}

    def losses(self, part: str, batch: ToyBatch) -> Mapping[str, Tensor]:
        judge, maker = self.networks["discriminator"], self.networks["generator"]
        judged = judge(maker(batch.inputs)).mean()
        if part == "generator":
            return {"adversarial": -judged}
        return {"real": -judge(batch.targets).mean(), "made": judged}


ToyJob = Callable[..., TrainingJob[ToyBatch]]


def make_toy_job(
    *, noise: float = 0.0, pair: bool = False, settings: Mapping[str, object] | None = None
) -> TrainingJob[ToyBatch]:
    """Return a job, new weights and all."""
    return TrainingJob(
        network="toy",
        settings={"toy": {"noise": noise, **(settings or {})}},
        taxonomy=TAXONOMY,
        preprocessing={},
        data={"points": 4, "sha256": "0"},
        objective=ToyPair() if pair else ToyObjective(noise),
        batches=ToyBatches(),
        delivered="generator" if pair else "network",
        validate=lambda network: {"bias": float(next(iter(network.state_dict().values())).sum())},
        sheet=lambda network: np.full((4, 6, 3), 9, np.uint8),
    )


@pytest.fixture(scope="session")
def toy_job() -> ToyJob:
    """What makes jobs with linear networks."""
    return make_toy_job


@pytest.fixture(scope="session")
def read_board() -> Callable[[Path], Any]:
    """What reads a folder as TensorBoard does."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read(folder: Path) -> EventAccumulator:
        found = EventAccumulator(str(folder))
        found.Reload()
        return found

    return read
