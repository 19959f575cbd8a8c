"""One thread, five scenes of known classes, a random AlexNet, and the names of CGNet's parts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.tools.evaluation.perceptual import PLANS, PerceptualNetwork
from scenequilt.tools.evaluation.rows import Row, View


@dataclass(frozen=True, eq=False)
class ListRow:
    """A row whose pictures are there already; told is called with the place that is read."""

    name: str
    layouts: Sequence[tuple[View, ...]]
    told: Callable[[int], None] = lambda place: None

    @property
    def title(self) -> str:
        """Return the name."""
        return self.name

    def views(self, place: int) -> tuple[View, ...]:
        """Return the pictures of the layout at a place."""
        self.told(place)
        return self.layouts[place]


@pytest.fixture(scope="session")
def row_of() -> Callable[..., Row]:
    """Make a row of its name, the pictures of each layout, and who is told what is read."""
    return ListRow


@pytest.fixture(scope="session")
def photographs(street_taxonomy: Taxonomy) -> Row:
    """The row "real": scene0 to scene4, of 48x64, the classes' colours under noise.

    Sky stands above row 8, 12, 16, 20, 24, road below, and a car; scene0 has a void row.
    """
    random = np.random.default_rng(3)
    layouts = []
    for place in range(5):
        requested = np.ones((48, 64), np.uint8)
        requested[: 8 + 4 * place] = 0
        requested[30:40, 10 * place : 10 * place + 14] = 2
        noise = random.integers(-60, 61, (48, 64, 3))
        image = np.clip(street_taxonomy.palette[requested] + noise, 0, 255).astype(np.uint8)
        if place == 0:
            requested[47] = VOID
        name = f"scene{place}"
        layouts.append((View(name, name, image, requested, delivered=requested, real=image),))
    return ListRow("real", layouts)


@pytest.fixture(scope="session")
def alexnet() -> PerceptualNetwork:
    """AlexNet with heads, all of it random."""
    generator = torch.Generator().manual_seed(0)
    weights = []
    for part in PLANS["alexnet"]:
        spread = (2 / np.prod(part.shape[1:])) ** 0.5
        weight = torch.randn(part.shape, generator=generator) * spread
        weights.append((weight, torch.randn(part.shape[0], generator=generator) * 0.1))
    heads = [
        torch.rand(part.shape[0], generator=generator) for part in PLANS["alexnet"] if part.is_level
    ]
    return PerceptualNetwork("alexnet", weights, heads)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small pictures are seen faster without a second thread to wait for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def cgnet_published_names() -> list[str]:
    """Names of the state dict of CGNet's authors, written out from the parts of their program."""
    norm = ["bn.weight", "bn.bias", "bn.running_mean", "bn.running_var", "bn.num_batches_tracked"]
    norm_act = [*norm, "act.weight"]
    conv = ["conv.weight", *norm_act]
    around = ["F_loc.conv.weight", "F_sur.conv.weight"]
    whole = [f"F_glo.fc.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")]
    first = [f"conv1x1.{part}" for part in conv]
    down = [*first, *around, *norm_act, "reduce.conv.weight", *whole]
    block = [*first, *around, *(f"bn_prelu.{part}" for part in norm_act), *whole]
    stages = {
        **{f"level1_{place}": conv for place in range(3)},
        **{stage: norm_act for stage in ("b1", "bn_prelu_2", "bn_prelu_3")},
        "level2_0": down,
        "level3_0": down,
        **{f"level2.{place}": block for place in range(2)},
        **{f"level3.{place}": block for place in range(20)},
        "classifier.0": ["conv.weight"],
    }
    return [f"{stage}.{part}" for stage, parts in stages.items() for part in parts]
