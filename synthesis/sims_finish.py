"""SimsFinish: the finish by a trained synthesis network."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.blending import Blend
from scenequilt.synthesis.canvas import Canvas
from scenequilt.synthesis.color_transfer import TransferSettings
from scenequilt.synthesis.composition import PixelState
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.finish import ClosedFinish, Finished, Surroundings
from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.network import CanvasGenerator, one_hot

TRANSFER = TransferSettings()

UNCHANGED = 1
"""Steps of 255 up to which a pixel is left bit by bit as it was."""

REPAINTED = 64
"""Steps of 255 beyond which a pixel is no longer its segment's in other light, but painted anew."""


@dataclass(frozen=True, eq=False)
class SimsFinish:
    """Colour transfer, then the synthesis network over canvas, masks and layout.

    Attributes:
        generator: The network, in evaluation mode. Convolutions are fastest in bfloat16 and
            channels_last on processors that have it.
        elision: Bands that it was trained with; compose must elide with the same.
        before: What is done to the canvas before the network sees it: colour transfer and
            blending; it must leave open pixels open.
        elides: False lets the network see the pixels along seams as they are.
        name: How it is called on the command line.

    Source:
        Qi et al. 2018, "Semi-parametric Image Synthesis", section 5.
    """

    generator: CanvasGenerator
    elision: ElisionSettings
    before: ClosedFinish = field(default_factory=lambda: before_network())
    elides: bool = True
    name: str = "sims"

    def finish(self, canvas: Canvas, surroundings: Surroundings, *, seed: int) -> Finished:
        """Return the picture that the network paints, with the state of every pixel.

        A pixel that hardly changes keeps its bytes and is what it was before; one that was moved
        in colour is recoloured, or blended if it was; and one that the network had to paint,
        because it was open, elided, or has little of its segment left, is synthesised.
        """
        prepared = self.before.finish(canvas, surroundings, seed=seed)
        return self.paint(canvas, surroundings, prepared, seed=seed)

    def paint(
        self, canvas: Canvas, surroundings: Surroundings, prepared: Finished, *, seed: int
    ) -> Finished:
        """Return the picture that the network paints over what before has made of the canvas."""
        base = prepared.image
        labels = canvas.delivered.label_map
        labels = np.where(labels == VOID, surroundings.wanted, labels)
        elided = surroundings.elided & canvas.coverage & self.elides
        painted = self._paint(base, labels, canvas.coverage, elided, seed=seed)

        present = canvas.coverage & ~elided
        change = np.abs(painted.astype(np.int16) - base).max(axis=2)
        unchanged = present & (change <= UNCHANGED)
        image = np.where(unchanged[..., None], base, painted)
        state = np.full(labels.shape, PixelState.SYNTHESISED, np.uint8)
        state[unchanged] = prepared.state[unchanged]
        moved = present & ~unchanged & (change <= REPAINTED)
        state[moved] = np.maximum(prepared.state[moved], PixelState.RECOLOURED)
        state[canvas.coverage & (image == canvas.color).all(axis=2)] = PixelState.COPIED
        delivered = Layout(labels, canvas.delivered.instance_map, canvas.delivered.taxonomy)
        return Finished(image, delivered, state)

    def _paint(
        self,
        base: NDArray[np.uint8],
        labels: NDArray[np.uint8],
        coverage: NDArray[np.bool_],
        elided: NDArray[np.bool_],
        *,
        seed: int,
    ) -> NDArray[np.uint8]:
        """Return (H, W, 3) uint8 RGB."""
        device = next(self.generator.parameters()).device
        conditions = Conditions(
            layout=one_hot(torch.from_numpy(labels)[None].to(device), self.generator.classes),
            canvas=torch.from_numpy(base).to(device).permute(2, 0, 1)[None].float() / 255,
            coverage=torch.from_numpy(coverage)[None, None].to(device),
            elided=torch.from_numpy(elided)[None, None].to(device),
        )
        made = self.generator.generate(conditions, seed=seed)[0]
        painted = made.permute(1, 2, 0).mul(255).round().to(torch.uint8).cpu().numpy()
        return np.asarray(painted, np.uint8)


def before_network(
    *, transfer: TransferSettings | None = TRANSFER, blend: Blend = "multiband"
) -> ClosedFinish:
    """Return what is done to a canvas before the network sees it.

    Args:
        transfer: How far colours are moved; None leaves that to the network.
        blend: How segments meet.
    """
    return ClosedFinish(blend=blend, transfer=transfer, shadows=None, fill=False)
