"""CGNet: as large as its authors say, and their state dict fits name by name."""

import pytest
import torch
from torch import Tensor

from scenequilt.tools.evaluation.cgnet import (
    CGNet,
    ContextGuidedBlock,
    GlobalContext,
    SurroundingContext,
    from_published,
    is_published,
)


@pytest.fixture
def numbered_state(cgnet_published_names: list[str]) -> dict[str, Tensor]:
    return {name: torch.tensor(float(place)) for place, name in enumerate(cgnet_published_names)}


def test_it_has_as_many_parameters_as_its_authors_count_for_cityscapes() -> None:
    assert sum(parameter.numel() for parameter in CGNet(19).parameters()) == 496_306


@pytest.mark.parametrize("size_hw", [(32, 64), (45, 61), (8, 8)])
def test_scores_have_the_size_of_the_picture(size_hw: tuple[int, int]) -> None:
    with torch.inference_mode():
        assert CGNet(5).eval()(torch.rand(2, 3, *size_hw)).shape == (2, 5, *size_hw)


def test_published_names_become_those_of_the_network(numbered_state: dict[str, Tensor]) -> None:
    own = from_published(numbered_state)

    assert is_published(numbered_state)
    assert own.keys() == CGNet(19).state_dict().keys()
    assert len(own) == len(numbered_state) == 498


@pytest.mark.parametrize(
    ("published", "own"),
    [
        ("level1_1.act.weight", "first.1.1.1.weight"),
        ("b1.bn.running_var", "first_norm.0.running_var"),
        ("level2_0.conv1x1.conv.weight", "second_down.shrink.0.weight"),
        ("level2_0.act.weight", "second_down.context.norm.1.weight"),
        ("level3.19.F_sur.conv.weight", "third.19.context.surround.weight"),
        ("level3.0.bn_prelu.bn.bias", "third.0.context.norm.0.bias"),
        ("level3.7.F_glo.fc.2.bias", "third.7.whole.weigh.2.bias"),
        ("classifier.0.conv.weight", "classifier.weight"),
    ],
)
def test_a_published_tensor_goes_to_its_own_place(
    numbered_state: dict[str, Tensor], published: str, own: str
) -> None:
    assert from_published(numbered_state)[own] == numbered_state[published]


@pytest.mark.parametrize("name", ["level9.conv.weight", "level2_0.F_new.conv.weight"])
def test_a_name_of_another_network_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"'(level9|F_new)\.conv.*as its authors name them"):
        from_published({name: torch.zeros(1)})


def test_the_surroundings_reach_as_far_as_the_dilation() -> None:
    context = SurroundingContext(1, dilation=4).eval()
    torch.nn.init.ones_(context.local.weight)
    torch.nn.init.ones_(context.surround.weight)
    dot = torch.zeros(1, 1, 17, 17)
    dot[..., 8, 8] = 1

    local, surround = context(dot)[0]

    assert local.nonzero().amin() == 7 and local.nonzero().amax() == 9
    assert surround.nonzero().amin() == 4 and surround.nonzero().amax() == 12
    assert (surround > 0).sum() == 9


def test_the_whole_picture_weighs_every_pixel_of_a_channel_alike() -> None:
    whole = GlobalContext(8, squeeze=4)
    features = torch.rand(1, 8, 4, 6)

    ratio = whole(features) / features

    torch.testing.assert_close(ratio, ratio[..., :1, :1].expand_as(ratio))
    assert (0 < ratio).all() and (ratio < 1).all()


def test_a_block_without_weights_passes_its_input_on() -> None:
    block = ContextGuidedBlock(16, dilation=2, squeeze=8).eval()
    torch.nn.init.zeros_(block.context.local.weight)
    torch.nn.init.zeros_(block.context.surround.weight)
    features = torch.randn(1, 16, 5, 5)

    torch.testing.assert_close(block(features), features)
