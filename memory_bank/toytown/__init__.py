"""A procedural street world with exact labels, instances, depth and occlusion."""

from scenequilt.memory_bank.toytown.classes import TOYTOWN_TAXONOMY
from scenequilt.memory_bank.toytown.dataset import ToytownSummary, write_dataset
from scenequilt.memory_bank.toytown.scene import (
    SceneObject,
    ToytownScene,
    render_full_masks,
    render_scene,
)

__all__ = [
    "TOYTOWN_TAXONOMY",
    "SceneObject",
    "ToytownScene",
    "ToytownSummary",
    "render_full_masks",
    "render_scene",
    "write_dataset",
]
