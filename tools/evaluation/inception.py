"""Inception-v3 up to its pooled features, from published state dicts (Szegedy et al. 2016)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH_NORM_EPS = 1e-3

INPUT_HW = (299, 299)

FEATURE_DIMS = 2048

PORT_CLASSES = 1008
"""Outputs of the classifier of the 2015 TensorFlow graph that FID is defined with; others have
1000."""

Pool = Literal["mean", "max", "halving max"]


@dataclass(frozen=True, slots=True)
class ConvPlan:
    """One convolution: its published name in its block, its width, and how it looks.

    Attributes:
        name: In published state dicts, without the block's.
        width: Outputs.
        kernel: (height, width) in pixels.
        stride: In pixels.
        pads: True if the size is kept, False to use whole windows only.
    """

    name: str
    width: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    pads: bool = True


Fork = tuple[ConvPlan, ConvPlan]
Branch = tuple[ConvPlan | Fork, ...]


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """Branches side by side, a pooled one last.

    Attributes:
        name: In published state dicts.
        branches: Chains of convolutions; a pair at the end of a chain is a fork, joined again.
        pool: What the last branch does.
        pool_conv: What follows it there, None for nothing.
    """

    name: str
    branches: tuple[Branch, ...]
    pool: Pool
    pool_conv: ConvPlan | None = None


def _halving(name: str, width: int) -> ConvPlan:
    return ConvPlan(name, width, (3, 3), stride=2, pads=False)


def _block_35(name: str, pool_width: int) -> BlockPlan:
    """Figure 5 of the paper: 5x5 as two 3x3."""
    return BlockPlan(
        name,
        (
            (ConvPlan("branch1x1", 64),),
            (ConvPlan("branch5x5_1", 48), ConvPlan("branch5x5_2", 64, (5, 5))),
            (
                ConvPlan("branch3x3dbl_1", 64),
                ConvPlan("branch3x3dbl_2", 96, (3, 3)),
                ConvPlan("branch3x3dbl_3", 96, (3, 3)),
            ),
        ),
        "mean",
        ConvPlan("branch_pool", pool_width),
    )


def _block_17(name: str, width: int) -> BlockPlan:
    """Figure 6: 7x7 as 1x7 and 7x1."""
    return BlockPlan(
        name,
        (
            (ConvPlan("branch1x1", 192),),
            (
                ConvPlan("branch7x7_1", width),
                ConvPlan("branch7x7_2", width, (1, 7)),
                ConvPlan("branch7x7_3", 192, (7, 1)),
            ),
            (
                ConvPlan("branch7x7dbl_1", width),
                ConvPlan("branch7x7dbl_2", width, (7, 1)),
                ConvPlan("branch7x7dbl_3", width, (1, 7)),
                ConvPlan("branch7x7dbl_4", width, (7, 1)),
                ConvPlan("branch7x7dbl_5", 192, (1, 7)),
            ),
        ),
        "mean",
        ConvPlan("branch_pool", 192),
    )


def _block_8(name: str, pool: Pool) -> BlockPlan:
    """Figure 7: branches that fork at their end."""
    return BlockPlan(
        name,
        (
            (ConvPlan("branch1x1", 320),),
            (
                ConvPlan("branch3x3_1", 384),
                (
                    ConvPlan("branch3x3_2a", 384, (1, 3)),
                    ConvPlan("branch3x3_2b", 384, (3, 1)),
                ),
            ),
            (
                ConvPlan("branch3x3dbl_1", 448),
                ConvPlan("branch3x3dbl_2", 384, (3, 3)),
                (
                    ConvPlan("branch3x3dbl_3a", 384, (1, 3)),
                    ConvPlan("branch3x3dbl_3b", 384, (3, 1)),
                ),
            ),
        ),
        pool,
        ConvPlan("branch_pool", 192),
    )


STEM: tuple[ConvPlan | Literal["pool"], ...] = (
    _halving("Conv2d_1a_3x3", 32),
    ConvPlan("Conv2d_2a_3x3", 32, (3, 3), pads=False),
    ConvPlan("Conv2d_2b_3x3", 64, (3, 3)),
    "pool",
    ConvPlan("Conv2d_3b_1x1", 80),
    ConvPlan("Conv2d_4a_3x3", 192, (3, 3), pads=False),
    "pool",
)


def _blocks(last_pool: Pool) -> tuple[BlockPlan, ...]:
    return (
        _block_35("Mixed_5b", 32),
        _block_35("Mixed_5c", 64),
        _block_35("Mixed_5d", 64),
        BlockPlan(
            "Mixed_6a",
            (
                (_halving("branch3x3", 384),),
                (
                    ConvPlan("branch3x3dbl_1", 64),
                    ConvPlan("branch3x3dbl_2", 96, (3, 3)),
                    _halving("branch3x3dbl_3", 96),
                ),
            ),
            "halving max",
        ),
        _block_17("Mixed_6b", 128),
        _block_17("Mixed_6c", 160),
        _block_17("Mixed_6d", 160),
        _block_17("Mixed_6e", 192),
        BlockPlan(
            "Mixed_7a",
            (
                (ConvPlan("branch3x3_1", 192), _halving("branch3x3_2", 320)),
                (
                    ConvPlan("branch7x7x3_1", 192),
                    ConvPlan("branch7x7x3_2", 192, (1, 7)),
                    ConvPlan("branch7x7x3_3", 192, (7, 1)),
                    _halving("branch7x7x3_4", 192),
                ),
            ),
            "halving max",
        ),
        _block_8("Mixed_7b", "mean"),
        _block_8("Mixed_7c", last_pool),
    )


class Inception(nn.Module):
    """Inception-v3 without its classifiers.

    Takes (B, 3, 299, 299) float RGB in [-1, 1] and returns (B, 2048) float.

    Args:
        is_port: True for the weights of the 2015 TensorFlow graph. Its mean pooling leaves the
            padding out of the mean, and the pooled branch of its last block takes the maximum.

    Source:
        Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2016, "Rethinking the Inception Architecture for
        Computer Vision", table 1 and figures 5 to 7, 10.
    """

    def __init__(self, *, is_port: bool) -> None:
        super().__init__()
        self.is_port = is_port
        stem: list[nn.Module] = []
        names: list[str] = []
        width = 3
        for part in STEM:
            if part == "pool":
                stem.append(nn.MaxPool2d(3, stride=2))
            else:
                stem.append(ConvNorm(width, part))
                names.append(part.name)
                width = part.width
        self.stem = nn.Sequential(*stem)
        blocks = []
        for plan in _blocks("max" if is_port else "mean"):
            block = Block(width, plan, counts_padding=not is_port)
            blocks.append(block)
            names += [f"{plan.name}.{name}" for name in block.published_names]
            width = block.width
        self.blocks = nn.Sequential(*blocks)
        self.published_names = tuple(names)

    def forward(self, image: Tensor) -> Tensor:
        maps: Tensor = self.blocks(self.stem(image))  # (B, 2048, 8, 8)
        return maps.mean((2, 3))


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, plan: ConvPlan) -> None:
        super().__init__()
        height, width = plan.kernel
        padding = (height // 2, width // 2) if plan.pads else 0
        self.conv = nn.Conv2d(inputs, plan.width, plan.kernel, plan.stride, padding, bias=False)
        self.norm = nn.BatchNorm2d(plan.width, eps=BATCH_NORM_EPS)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(maps)), inplace=True)


class Fan(nn.Module):
    """Two convolutions of the same maps, side by side."""

    def __init__(self, inputs: int, plans: Fork) -> None:
        super().__init__()
        self.sides = nn.ModuleList(ConvNorm(inputs, plan) for plan in plans)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([side(maps) for side in self.sides], 1)


class Block(nn.Module):
    """The branches of a plan, side by side."""

    def __init__(self, inputs: int, plan: BlockPlan, *, counts_padding: bool) -> None:
        super().__init__()
        self.pool = plan.pool
        self.counts_padding = counts_padding
        self.branches = nn.ModuleList()
        self.width = 0
        names: list[str] = []
        for branch in plan.branches:
            chain: list[nn.Module] = []
            width = inputs
            for part in branch:
                if isinstance(part, ConvPlan):
                    chain.append(ConvNorm(width, part))
                    names.append(part.name)
                    width = part.width
                else:
                    chain.append(Fan(width, part))
                    names += [side.name for side in part]
                    width = sum(side.width for side in part)
            self.branches.append(nn.Sequential(*chain))
            self.width += width
        self.after_pool: nn.Module = nn.Identity()
        if plan.pool_conv is None:
            self.width += inputs
        else:
            self.after_pool = ConvNorm(inputs, plan.pool_conv)
            names.append(plan.pool_conv.name)
            self.width += plan.pool_conv.width
        self.published_names = tuple(names)

    def forward(self, maps: Tensor) -> Tensor:
        pooled = self.after_pool(self._pooled(maps))
        return torch.cat([*(branch(maps) for branch in self.branches), pooled], 1)

    def _pooled(self, maps: Tensor) -> Tensor:
        if self.pool == "halving max":
            return F.max_pool2d(maps, 3, stride=2)
        if self.pool == "max":
            return F.max_pool2d(maps, 3, stride=1, padding=1)
        return F.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=self.counts_padding)


PUBLISHED_PARTS = {
    "conv.weight": "conv.weight",
    "bn.weight": "norm.weight",
    "bn.bias": "norm.bias",
    "bn.running_mean": "norm.running_mean",
    "bn.running_var": "norm.running_var",
}
"""Names inside a convolution: published, and here."""


def is_inception(names: Iterable[str]) -> bool:
    """Return True if a published state dict with these names is Inception-v3's."""
    return {"Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.conv.weight"} <= set(names)


def is_tensorflow_port(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return True if Inception-v3's weights are those of the 2015 graph, by their classifier."""
    return shapes.get("fc.bias") == (PORT_CLASSES,)


def inception_from(state: Mapping[str, Tensor]) -> Inception:
    """Return the network of a published state dict; classifiers in it are passed over.

    Args:
        state: Names as torchvision's inception_v3 and the ported weights of FID have them.

    Raises:
        ValueError: If a tensor is absent or of another shape; the message names it.
    """
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    with torch.device("meta"):
        network = Inception(is_port=is_tensorflow_port(shapes))
    own_names = [name for name, part in network.named_modules() if isinstance(part, ConvNorm)]
    expected = network.state_dict()
    own = {name: torch.zeros(()) for name in expected if name.endswith("num_batches_tracked")}
    for own_name, published in zip(own_names, network.published_names, strict=True):
        for theirs, ours in PUBLISHED_PARTS.items():
            name, target = f"{published}.{theirs}", f"{own_name}.{ours}"
            if shapes.get(name) != tuple(expected[target].shape):
                found = shapes.get(name, "nothing of that name")
                raise ValueError(f"{name} must be {tuple(expected[target].shape)}, got {found}")
            own[target] = state[name].float()
    network.load_state_dict(own, assign=True)
    return network.eval()
