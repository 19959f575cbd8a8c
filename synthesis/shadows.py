"""Contact shadows: the dark under an object, without which it floats."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scenequilt.synthesis.canvas import Canvas
from scenequilt.synthesis.elision import is_ground


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """How dark, how far.

    Attributes:
        depth: Share of the light that is lost right under an object, in [0, 1].
        reach: How far the shadow goes, in shares of the object's height.
        foot: Lowest part of an object that throws it, in shares of its height.

    Raises:
        ValueError: If depth is not in [0, 1], or another is not in (0, 1].
    """

    depth: float = 0.55
    reach: float = 0.08
    foot: float = 0.22

    def __post_init__(self) -> None:
        if not 0 <= self.depth <= 1:
            raise ValueError(f"depth must be in [0, 1], got {self.depth}")
        for name in ("reach", "foot"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in (0, 1], got {getattr(self, name)}")


def cast_contact_shadows(
    image: NDArray[np.uint8], canvas: Canvas, settings: ShadowSettings
) -> NDArray[np.uint8]:
    """Darken the ground where objects stand on it.

    Sky light does not reach under a car or between two shoes, whatever the sun does: ground beside
    the foot of an object loses light, the more the closer. Poles and signs, whose foot is thin or in
    the air, throw none.

    Args:
        image: (H, W, 3) uint8 RGB, the picture of the canvas.
        canvas: Whose pixel is whose.
        settings: How dark, how far.

    Returns:
        (H, W, 3) uint8 RGB; only pixels of ground classes differ.
    """
    taxonomy = canvas.delivered.taxonomy
    ground = is_ground(taxonomy)[canvas.delivered.label_map] & canvas.coverage
    if not ground.any() or settings.depth == 0:
        return image
    light = np.ones(canvas.ownership.shape, np.float32)
    for place in canvas.visible:
        item = canvas.placed[place]
        entry = taxonomy.classes[item.segment.class_id]
        if entry.kind == "stuff" or entry.thin or entry.text:
            continue
        rows = np.flatnonzero(item.mask.any(axis=1))
        if not rows.size:
            continue
        height = int(rows[-1] + 1 - rows[0])
        reach = max(2, round(settings.reach * height))
        foot_top = item.box[0] + int(rows[-1]) + 1 - max(1, round(settings.foot * height))
        top, bottom = foot_top, min(item.box[0] + int(rows[-1]) + 1 + 2 * reach, image.shape[0])
        left, right = max(item.box[1] - 2 * reach, 0), min(item.box[3] + 2 * reach, image.shape[1])
        foot = np.zeros((bottom - top, right - left), np.float32)
        own = item.mask[top - item.box[0] :][: bottom - top]
        foot[: own.shape[0], item.box[1] - left : item.box[3] - left] = own
        side = 2 * reach + 1
        for _ in range(2):
            foot = np.asarray(cv2.blur(foot, (side, max(3, side // 2 | 1))), np.float32)
        owned = canvas.ownership[top:bottom, left:right] == place
        lost = settings.depth * np.minimum(foot * np.float32(1.6), 1)
        np.minimum(
            light[top:bottom, left:right],
            np.where(owned, 1, 1 - lost),
            out=light[top:bottom, left:right],
        )
    dark = ground & (light < 1 - 1 / 64)
    result = image.copy()
    result[dark] = np.rint(image[dark] * light[dark][:, None]).astype(np.uint8)
    return result
