"""Boundaries of objects and regions, as generators without a bank are shown them."""

import torch
from torch import Tensor


def boundary_map(label_map: Tensor, instance_map: Tensor) -> Tensor:
    """Return where a pixel and one beside, above or below it belong to different objects or classes.

    Both sides of a border are on, so it is two pixels wide.

    Args:
        label_map: (B, H, W) integer class ids.
        instance_map: (B, H, W) integer numbers of objects, 0 = stuff.

    Returns:
        (B, 1, H, W) bool.

    Source:
        Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with Conditional
        GANs", section 3.3.
    """
    differ_x = (label_map[:, :, 1:] != label_map[:, :, :-1]) | (
        instance_map[:, :, 1:] != instance_map[:, :, :-1]
    )
    differ_y = (label_map[:, 1:] != label_map[:, :-1]) | (
        instance_map[:, 1:] != instance_map[:, :-1]
    )
    edges = torch.zeros(label_map.shape, dtype=torch.bool, device=label_map.device)
    edges[:, :, 1:] |= differ_x
    edges[:, :, :-1] |= differ_x
    edges[:, 1:] |= differ_y
    edges[:, :-1] |= differ_y
    return edges[:, None]
