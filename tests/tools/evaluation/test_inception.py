"""Inception-v3: as large as published, sizes as in the paper, weights in their places."""

from typing import Any

import pytest
import torch
from torch import Tensor

from scenequilt.tools.evaluation.inception import (
    Block,
    BlockPlan,
    Inception,
    inception_from,
    is_inception,
    is_tensorflow_port,
)

PARTS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A state dict as the port of the TensorFlow weights has it; every tensor one number."""
    with torch.device("meta"):
        network = Inception(is_port=True)
    shapes = [tuple(value.shape) for name, value in network.state_dict().items() if _has(name)]
    names = [f"{conv}.{part}" for conv in network.published_names for part in PARTS]
    made: dict[str, Tensor] = {
        name: torch.tensor(float(place)).expand(shape)
        for place, (name, shape) in enumerate(zip(names, shapes, strict=True))
    }
    return {**made, "fc.weight": torch.zeros(1).expand(1008, 2048), "fc.bias": torch.zeros(1008)}


def _has(name: str) -> bool:
    return not name.endswith("num_batches_tracked")


def test_it_has_as_many_parameters_as_published() -> None:
    # torchvision counts 27,161,264; its auxiliary classifier has 3,326,696, the last layer 2,049,000.
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in Inception(is_port=False).parameters())

    assert count == 27_161_264 - 3_326_696 - 2_049_000


def test_sizes_are_those_of_table_1() -> None:
    network = Inception(is_port=True).eval()
    with torch.inference_mode():
        maps = network.stem(torch.zeros(1, 3, 299, 299))
        sizes = [maps.shape[1:]]
        for block in network.blocks:
            maps = block(maps)
            sizes.append(maps.shape[1:])

    assert sizes[0] == (192, 35, 35)
    assert sizes[3] == (288, 35, 35)
    assert set(sizes[4:9]) == {(768, 17, 17)}
    assert sizes[9] == (1280, 8, 8)
    assert sizes[10:] == [(2048, 8, 8)] * 2


def test_published_names_are_those_of_94_convolutions() -> None:
    names = Inception(is_port=True).published_names

    assert len(names) == len(set(names)) == 94
    assert names[:5] == (
        "Conv2d_1a_3x3",
        "Conv2d_2a_3x3",
        "Conv2d_2b_3x3",
        "Conv2d_3b_1x1",
        "Conv2d_4a_3x3",
    )
    assert {
        "Mixed_5b.branch5x5_2",
        "Mixed_6a.branch3x3dbl_3",
        "Mixed_6e.branch7x7dbl_5",
        "Mixed_7a.branch7x7x3_4",
        "Mixed_7c.branch3x3dbl_3b",
    } <= set(names)


@pytest.mark.parametrize(
    ("published", "module", "shape"),
    [
        ("Conv2d_4a_3x3.conv.weight", "stem.5.conv.weight", (192, 80, 3, 3)),
        ("Mixed_5c.branch_pool.bn.bias", "blocks.1.after_pool.norm.bias", (64,)),
        ("Mixed_6b.branch7x7_2.conv.weight", "blocks.4.branches.1.1.conv.weight", (128, 128, 1, 7)),
        (
            "Mixed_6e.branch7x7dbl_2.conv.weight",
            "blocks.7.branches.2.1.conv.weight",
            (192, 192, 7, 1),
        ),
        (
            "Mixed_7c.branch3x3_2b.conv.weight",
            "blocks.10.branches.1.1.sides.1.conv.weight",
            (384, 384, 3, 1),
        ),
    ],
)
def test_a_published_tensor_goes_to_its_own_place(
    state: dict[str, Tensor], published: str, module: str, shape: tuple[int, ...]
) -> None:
    own = inception_from(state).state_dict()[module]

    assert own.shape == state[published].shape == shape
    assert (own == state[published]).all()


def test_the_ported_weights_are_known_by_their_classifier(state: dict[str, Tensor]) -> None:
    shapes: dict[str, Any] = {name: tuple(value.shape) for name, value in state.items()}

    assert is_inception(shapes) and is_tensorflow_port(shapes)
    assert not is_tensorflow_port({**shapes, "fc.bias": (1000,)})


def test_auxiliary_classifiers_are_passed_over(state: dict[str, Tensor]) -> None:
    inception_from({**state, "AuxLogits.fc.bias": torch.zeros(1000)})


def test_an_absent_tensor_and_one_of_another_shape_are_named(state: dict[str, Tensor]) -> None:
    absent = dict(state)
    del absent["Mixed_6c.branch1x1.bn.bias"]
    other = {**state, "Conv2d_1a_3x3.conv.weight": torch.zeros(8, 3, 3, 3)}

    with pytest.raises(
        ValueError, match=r"Mixed_6c\.branch1x1\.bn\.bias must be \(192,\).*nothing"
    ):
        inception_from(absent)
    with pytest.raises(ValueError, match=r"must be \(32, 3, 3, 3\), got \(8, 3, 3, 3\)"):
        inception_from(other)


@pytest.mark.parametrize(("counts_padding", "corner"), [(True, 4 / 9), (False, 1)])
def test_the_port_leaves_padding_out_of_the_mean(counts_padding: bool, corner: float) -> None:
    block = Block(3, BlockPlan("pooling", (), "mean"), counts_padding=counts_padding)

    pooled = block(torch.ones(1, 3, 5, 5))

    assert float(pooled[0, 0, 0, 0]) == pytest.approx(corner)
    assert float(pooled[0, 0, 2, 2]) == pytest.approx(1)


def test_the_last_block_of_the_port_takes_the_maximum() -> None:
    port, other = Inception(is_port=True), Inception(is_port=False)

    assert [block.pool for block in port.blocks][-2:] == ["mean", "max"]
    assert [block.pool for block in other.blocks][-2:] == ["mean", "mean"]
