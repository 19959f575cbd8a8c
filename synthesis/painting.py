"""What finishes by a network share: showing it a canvas, and saying what it did to every pixel."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.blending import Blend
from scenequilt.synthesis.canvas import Canvas
from scenequilt.synthesis.color_transfer import TransferSettings
from scenequilt.synthesis.composition import PixelState
from scenequilt.synthesis.finish import ClosedFinish, Finished, Surroundings
from scenequilt.synthesis.interface import Conditions, ImageGenerator
from scenequilt.synthesis.network import one_hot

TRANSFER = TransferSettings()

UNCHANGED = 1
"""Steps of 255 up to which a pixel is left bit by bit as it was."""

REPAINTED = 64
"""Steps of 255 beyond which a pixel is no longer its segment's in other light, but painted anew."""


@runtime_checkable
class PaintingNetwork(ImageGenerator, Protocol):
    """A trained network that makes a picture of a canvas."""

    @property
    def classes(self) -> int:
        """K of the layouts that it was trained on."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return its weights; the first tells the device."""
        ...


@dataclass(frozen=True, eq=False)
class ShownCanvas:
    """What a network is shown of a canvas, all (H, W).

    Attributes:
        color: (H, W, 3) uint8 RGB, the canvas after colour transfer and blending.
        label_map: uint8 class ids of what is there, and of what is wanted where nothing is.
        coverage: bool.
        elided: bool, covered pixels that are withheld.
    """

    color: NDArray[np.uint8]
    label_map: NDArray[np.uint8]
    coverage: NDArray[np.bool_]
    elided: NDArray[np.bool_]

    @property
    def present(self) -> NDArray[np.bool_]:
        """(H, W) bool, the pixels whose colour it sees."""
        return self.coverage & ~self.elided


def before_network(
    *, transfer: TransferSettings | None = TRANSFER, blend: Blend = "multiband"
) -> ClosedFinish:
    """Return what is done to a canvas before the network sees it.

    Args:
        transfer: How far colours are moved; None leaves that to the network.
        blend: How segments meet.
    """
    return ClosedFinish(blend=blend, transfer=transfer, shadows=None, fill=False)


def show_canvas(
    canvas: Canvas, surroundings: Surroundings, prepared: Finished, *, elides: bool
) -> ShownCanvas:
    """Return what a network is shown of a canvas.

    Args:
        canvas: As it was pasted.
        surroundings: What is wanted where it is open, and what lies along seams.
        prepared: What was made of it before the network.
        elides: Withhold what lies along seams.
    """
    labels = canvas.delivered.label_map
    labels = np.where(labels == VOID, surroundings.wanted, labels)
    elided = surroundings.elided & canvas.coverage & elides
    return ShownCanvas(prepared.image, labels, canvas.coverage, elided)


def paint_over(network: PaintingNetwork, shown: ShownCanvas, *, seed: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 RGB, the picture that a network makes of a canvas."""
    device = next(network.parameters()).device
    conditions = Conditions(
        layout=one_hot(torch.from_numpy(shown.label_map)[None].to(device), network.classes),
        canvas=torch.from_numpy(shown.color).to(device).permute(2, 0, 1)[None].float() / 255,
        coverage=torch.from_numpy(shown.coverage)[None, None].to(device),
        elided=torch.from_numpy(shown.elided)[None, None].to(device),
    )
    made = network.generate(conditions, seed=seed)[0]
    painted = made.permute(1, 2, 0).mul(255).round().to(torch.uint8).cpu().numpy()
    return np.asarray(painted, np.uint8)


def judge_pixels(
    canvas: Canvas, prepared: Finished, shown: ShownCanvas, painted: NDArray[np.uint8]
) -> Finished:
    """Return a painted picture with the state of every pixel, told by how far it was moved.

    A pixel that hardly changes keeps its bytes and is what it was before; one that was moved in
    colour is recoloured, or blended if it was; and one that the network had to paint, because it
    was open, elided, or has little of its segment left, is synthesised.

    Args:
        canvas: As it was pasted.
        prepared: What was made of it before the network, with states.
        shown: What the network saw.
        painted: (H, W, 3) uint8 RGB, what came of it.
    """
    present = shown.present
    change = np.abs(painted.astype(np.int16) - shown.color).max(axis=2)
    unchanged = present & (change <= UNCHANGED)
    image = np.where(unchanged[..., None], shown.color, painted)
    state = np.full(shown.label_map.shape, PixelState.SYNTHESISED, np.uint8)
    state[unchanged] = prepared.state[unchanged]
    moved = present & ~unchanged & (change <= REPAINTED)
    state[moved] = np.maximum(prepared.state[moved], PixelState.RECOLOURED)
    state[canvas.coverage & (image == canvas.color).all(axis=2)] = PixelState.COPIED
    delivered = Layout(shown.label_map, canvas.delivered.instance_map, canvas.delivered.taxonomy)
    return Finished(image, delivered, state)
