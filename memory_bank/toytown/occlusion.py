"""Back to front: the order in which what stands on the ground can be drawn."""

from collections.abc import Sequence

import numpy as np

from scenequilt.memory_bank.toytown.camera import Camera
from scenequilt.memory_bank.toytown.world import Footprint


def back_to_front(footprints: Sequence[Footprint], camera: Camera) -> list[int]:
    """Sort objects so that each one is drawn after all that it can hide.

    Where a plane along or across the street parts two footprints, what is on the camera's side of
    it hides the other and never the reverse (Fuchs, Kedem and Naylor 1980); where none does, the
    farther centre comes first. Ties and cycles are broken by depth, farthest first.

    Returns:
        The N indices, back to front.
    """
    if not footprints:
        return []
    left, right, near, far = np.array([(f.left, f.right, f.near, f.far) for f in footprints]).T
    depth = np.array([camera.depth_of(*f.center) for f in footprints])
    # row cannot hide column: a plane parts them and the camera is on column's side.
    shielded = far[None, :] <= near[:, None]
    shielded |= (right[None, :] <= left[:, None]) & (left[:, None] >= 0)
    shielded |= (right[:, None] <= left[None, :]) & (right[:, None] <= 0)
    unsure = ~shielded & ~shielded.T
    hides = (~shielded & shielded.T) | (unsure & (depth[:, None] < depth[None, :]))
    np.fill_diagonal(hides, False)

    waiting = hides.sum(axis=1)  # row waits for everything that it hides
    order: list[int] = []
    left_over = np.ones(len(footprints), bool)
    while len(order) < len(footprints):
        ready = left_over & (waiting == 0)
        if not ready.any():
            ready = left_over
        chosen = int(np.argmax(np.where(ready, depth, -np.inf)))
        order.append(chosen)
        left_over[chosen] = False
        waiting = waiting - hides[:, chosen]
    return order
