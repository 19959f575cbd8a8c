"""Four pictures of three classes, each in its colour, and one thread."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.taxonomy import VOID, ClassInfo, Taxonomy
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
