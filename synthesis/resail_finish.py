"""ResailFinish: the finish by a retrieval-guided generator, which can leave good pixels alone."""

from dataclasses import dataclass, field
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from scenequilt.synthesis.canvas import Canvas
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.finish import ClosedFinish, Finished, Surroundings
from scenequilt.synthesis.painting import before_network, judge_pixels, paint_over, show_canvas
from scenequilt.synthesis.resail import ResailGenerator, copied_share, kept_pixels

Kept = Literal["exact", "harmonise", "free"]
"""What becomes of pixels that need no change: "exact" leaves them as the network was shown them, bit
for bit; "harmonise" moves their colours, slowly from place to place, towards the painted picture's;
"free" takes the painted picture everywhere."""


@dataclass(frozen=True, eq=False)
class ResailFinish:
    """Colour transfer, then the retrieval-guided generator where something has to be painted.

    Kept is a pixel that is covered and not elided, and so far from everything that is not, and from
    every border between segments, that no seam runs through it.

    Attributes:
        generator: The network, in evaluation mode.
        elision: Bands that it was trained with; compose must elide with the same.
        before: What is done to the canvas before the network sees it: colour transfer and blending;
            it must leave open pixels open, and what it leaves alone can be copied.
        elides: False lets the network see the pixels along seams as they are; borders between
            segments are painted all the same.
        kept: What becomes of kept pixels.
        margin_px: How far kept pixels are off, in pixels; over as many the canvas fades outside of
            them.
        radius: Standard deviation of what "harmonise" calls slowly, as a share of the height.
        name: How it is called on the command line.

    Raises:
        ValueError: If kept is another word, margin_px below 1 or radius not above 0.

    Source:
        Shi et al. 2022, "Retrieval-based Spatially Adaptive Normalization for Semantic Image
        Synthesis"; keeping pixels is not in the paper.
    """

    generator: ResailGenerator
    elision: ElisionSettings
    before: ClosedFinish = field(default_factory=before_network)
    elides: bool = True
    kept: Kept = "exact"
    margin_px: int = 3
    radius: float = 0.04
    name: str = "resail"

    def __post_init__(self) -> None:
        if self.kept not in get_args(Kept):
            raise ValueError(f"kept is {self.kept!r}, expected {', '.join(get_args(Kept))}")
        if self.margin_px < 1:
            raise ValueError(f"margin_px is {self.margin_px}, expected at least 1")
        if not self.radius > 0:
            raise ValueError(f"radius is {self.radius}, expected more than 0")

    def finish(self, canvas: Canvas, surroundings: Surroundings, *, seed: int) -> Finished:
        """Return the picture made of the canvas, with the state of every pixel."""
        prepared = self.before.finish(canvas, surroundings, seed=seed)
        return self.paint(canvas, surroundings, prepared, seed=seed)

    def paint(
        self, canvas: Canvas, surroundings: Surroundings, prepared: Finished, *, seed: int
    ) -> Finished:
        """Return the picture painted over what before has made of the canvas.

        What state a pixel is in is told by how far it was moved; see judge_pixels. A kept one of
        "exact" was not, so it is in the state that before left it in.
        """
        shown = show_canvas(canvas, surroundings, prepared, elides=self.elides)
        painted = paint_over(self.generator, shown, seed=seed)
        if self.kept != "free":
            present = torch.from_numpy(shown.present)[None, None]
            seams = torch.from_numpy(_seams(canvas.ownership))[None, None]
            keep = kept_pixels(present & ~seams, self.margin_px)
            share = copied_share(present, keep, self.margin_px)[0, 0, :, :, None].numpy()
            base = shown.color.astype(np.float32)
            if self.kept == "harmonise":
                base += self._slow(painted - base, keep[0, 0].numpy())
            mixed = share * base + (1 - share) * painted
            painted = np.asarray(np.rint(mixed).clip(0, 255), np.uint8)
        return judge_pixels(canvas, prepared, shown, painted)

    def _slow(
        self, difference: NDArray[np.float32], keep: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return (H, W, 3), the part of a difference that changes slowly, by kept pixels alone."""
        sigma = self.radius * keep.shape[0]
        weight = keep.astype(np.float32)
        total = cv2.GaussianBlur(difference * weight[..., None], (0, 0), sigma)
        count = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
        return np.asarray(total / np.maximum(count, 1e-6), np.float32)


def _seams(ownership: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return (H, W) bool, the pixels beside one of another owner; the frame is no seam."""
    # Exact: float32 holds every place of a segment up to 2^24.
    owner = ownership.astype(np.float32)
    cross = np.asarray(cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), np.uint8)
    seams: NDArray[np.bool_] = cv2.dilate(owner, cross) != cv2.erode(owner, cross)
    return seams
