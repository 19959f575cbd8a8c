"""SimsFinish: the finish by a trained synthesis network."""

from dataclasses import dataclass, field

from scenequilt.synthesis.canvas import Canvas
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.finish import ClosedFinish, Finished, Surroundings
from scenequilt.synthesis.network import CanvasGenerator
from scenequilt.synthesis.painting import before_network, judge_pixels, paint_over, show_canvas


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
    before: ClosedFinish = field(default_factory=before_network)
    elides: bool = True
    name: str = "sims"

    def finish(self, canvas: Canvas, surroundings: Surroundings, *, seed: int) -> Finished:
        """Return the picture that the network paints, with the state of every pixel."""
        prepared = self.before.finish(canvas, surroundings, seed=seed)
        return self.paint(canvas, surroundings, prepared, seed=seed)

    def paint(
        self, canvas: Canvas, surroundings: Surroundings, prepared: Finished, *, seed: int
    ) -> Finished:
        """Return the picture that the network paints over what before has made of the canvas.

        What state a pixel is in is told by how far the network moved it; see judge_pixels.
        """
        shown = show_canvas(canvas, surroundings, prepared, elides=self.elides)
        painted = paint_over(self.generator, shown, seed=seed)
        return judge_pixels(canvas, prepared, shown, painted)
