"""The synthesis network of the paper at its full width, as a reference for times."""

from collections.abc import Callable

import torch

from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.network import CanvasGenerator, CanvasGeneratorSettings, one_hot
from scenequilt.tools.learned_stages import inference_dtype


def full_width_network(classes: int) -> Callable[[tuple[int, int]], object]:
    """Return what paints one picture of a size with the paper's network, tuned as ours is.

    Its weights are drawn at random, which takes the same time. The network for 256 lines serves up
    to 384 lines, the one for 512 above.

    Args:
        classes: K.
    """
    networks: dict[int, CanvasGenerator] = {}

    def paint(size_hw: tuple[int, int]) -> object:
        lines = 256 if size_hw[0] <= 384 else 512
        if lines not in networks:
            network = CanvasGenerator(classes, CanvasGeneratorSettings.paper(lines)).eval()
            network.to(dtype=inference_dtype())
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            networks[lines] = network
        height, width = size_hw
        return networks[lines].generate(
            Conditions(
                layout=one_hot(torch.zeros(1, height, width, dtype=torch.uint8), classes),
                canvas=torch.full((1, 3, height, width), 0.5),
                coverage=torch.ones(1, 1, height, width, dtype=torch.bool),
                elided=torch.zeros(1, 1, height, width, dtype=torch.bool),
            )
        )

    return paint
