"""Editing what a picture shows, object by object: add, remove, relabel, change a style."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID
from scenequilt.synthesis.layouts.layers import split_layers


@dataclass(frozen=True, eq=False)
class Scene:
    """A layout, and the styles that were chosen for some of its objects.

    Every edit gives a new one and leaves the old one as it was: keep it to go back.

    Attributes:
        layout: What the picture shall show.
        styles: Place among the styles of its class, by number of the instance, as the render method
            of a generator with styles takes them; objects that are not named have theirs drawn.
        edited: Number of the instance that the last edit made or changed, 0 = none.

    Raises:
        ValueError: If a style is below 0, or is that of an instance that is not there.
    """

    layout: Layout
    styles: Mapping[int, int] = field(default_factory=dict)
    edited: int = 0

    def __post_init__(self) -> None:
        there = set(self.instances)
        for instance_id, style in self.styles.items():
            if instance_id not in there:
                raise ValueError(_no_instance(instance_id, self.instances))
            if style < 0:
                raise ValueError(f"style of instance {instance_id} is {style}, expected 0 or more")

    @property
    def instances(self) -> list[int]:
        """Numbers of the instances, ascending."""
        numbers: list[int] = np.unique(self.layout.instance_map).tolist()
        return [number for number in numbers if number != 0]


def add_object(
    scene: Scene,
    mask: NDArray[np.bool_],
    corner: tuple[int, int],
    class_name: str,
    *,
    style: int | None = None,
) -> Scene:
    """Paste an object in front of all that is there; what reaches out of the frame is cut off.

    Args:
        scene: What it is pasted into.
        mask: (h, w) bool, its outline, such as object_mask gives it.
        corner: (top, left) of the mask in pixels of the layout; may be negative.
        class_name: Its class. Of a stuff class it is a region, not an object, and has no number.
        style: Its style; None lets it be drawn.

    Returns:
        The scene with it; edited is its number, one above those there were.

    Raises:
        ValueError: If there is no such class, the mask is no (h, w) bool, nothing of it lies inside
            of the frame, or a style is given for stuff.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask must be (h, w) bool, got {mask.shape} {mask.dtype}")
    inside = np.zeros(scene.layout.size_hw, np.bool_)
    rows, columns = np.nonzero(mask)
    rows, columns = rows + corner[0], columns + corner[1]
    height, width = inside.shape
    seen = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    inside[rows[seen], columns[seen]] = True
    if not inside.any():
        raise ValueError(
            f"nothing of the mask of {mask.shape[0]}x{mask.shape[1]} pixels at {corner} lies inside "
            f"of the layout of {height}x{width}; move it, or give one that is True somewhere"
        )
    return _painted(scene, inside, class_name, style=style)


def remove_instance(scene: Scene, instance_id: int, *, class_name: str | None = None) -> Scene:
    """Take an object out.

    Args:
        scene: What it is taken out of.
        instance_id: Its number.
        class_name: Stuff class that is seen in its place; None lets the stuff around it go on behind
            it, a horizon level.

    Raises:
        ValueError: If there is no such instance, the class is none or of things, or there is no
            stuff that could go on.
    """
    layout = scene.layout
    gone = _pixels(scene, instance_id)
    labels = layout.label_map.copy()
    if class_name is not None:
        class_id = layout.taxonomy.class_id(class_name)
        if layout.taxonomy.classes[class_id].kind == "thing":
            raise ValueError(
                f"{class_name!r} is a class of things, expected stuff in the place of instance "
                f"{instance_id}; use relabel_instance to make another object of it"
            )
        labels[gone] = class_id
    else:
        labels[gone] = split_layers(layout).background[gone]
        if (labels[gone] == VOID).any():
            raise ValueError(
                f"the layout has no stuff that could go on behind instance {instance_id}; name the "
                "class that shall be seen there"
            )
    return _with_maps(scene, labels, np.where(gone, 0, layout.instance_map), gone)


def relabel_instance(
    scene: Scene, instance_id: int, class_name: str, *, style: int | None = None
) -> Scene:
    """Make of an object one of another class, with a new number, so that its style is drawn anew.

    Args:
        scene: What it is in.
        instance_id: Its number.
        class_name: What it becomes; as stuff it is an object no more.
        style: Its new style; None lets it be drawn.

    Returns:
        The scene; edited is the new number, 0 for stuff.

    Raises:
        ValueError: If there is no such instance or class, or a style is given for stuff.
    """
    return _painted(scene, _pixels(scene, instance_id), class_name, style=style)


def restyle_instance(scene: Scene, instance_id: int, style: int | None) -> Scene:
    """Choose the style of an object, or leave it to be drawn again with None.

    Whether its class has that many styles is known to the generator alone, which refuses.

    Raises:
        ValueError: If there is no such instance, or the style is below 0.
    """
    _pixels(scene, instance_id)
    styles = {key: value for key, value in scene.styles.items() if key != instance_id}
    if style is not None:
        styles[instance_id] = style
    return Scene(scene.layout, styles, instance_id)


def object_mask(layout: Layout, instance_id: int) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Return what add_object takes of an object that is there: its (h, w) mask and (top, left).

    Raises:
        ValueError: If there is no such instance.
    """
    pixels = _pixels(Scene(layout), instance_id)
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    mask = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return mask, (int(rows[0]), int(columns[0]))


def _painted(
    scene: Scene, pixels: NDArray[np.bool_], class_name: str, *, style: int | None
) -> Scene:
    """Return the scene with other pixels of one class, as a new instance if it is of things."""
    layout = scene.layout
    class_id = layout.taxonomy.class_id(class_name)
    is_thing = layout.taxonomy.classes[class_id].kind == "thing"
    if style is not None and not is_thing:
        raise ValueError(
            f"style is {style}, but {class_name!r} is stuff, whose style is that of all its pixels; "
            "expected None"
        )
    number = max(scene.instances, default=0) + 1 if is_thing else 0
    return _with_maps(
        scene,
        np.where(pixels, class_id, layout.label_map).astype(np.uint8),
        np.where(pixels, number, layout.instance_map),
        pixels,
        edited=number,
        styles={} if style is None else {number: style},
    )


def _with_maps(
    scene: Scene,
    labels: NDArray[np.uint8],
    instances: NDArray[np.int32],
    changed: NDArray[np.bool_],
    *,
    edited: int = 0,
    styles: Mapping[int, int] | None = None,
) -> Scene:
    """Return a scene with new maps; how far away the changed pixels are is unknown."""
    depth = scene.layout.depth_m
    layout = Layout(
        labels,
        instances.astype(np.int32),
        scene.layout.taxonomy,
        None if depth is None else np.where(changed, 0, depth).astype(np.float32),
    )
    left = set(np.unique(layout.instance_map).tolist())
    kept = {key: style for key, style in scene.styles.items() if key in left}
    return Scene(layout, kept | dict(styles or {}), edited)


def _pixels(scene: Scene, instance_id: int) -> NDArray[np.bool_]:
    """Return (H, W) bool of an instance."""
    pixels = np.asarray(scene.layout.instance_map == instance_id, np.bool_)
    if instance_id == 0 or not pixels.any():
        raise ValueError(_no_instance(instance_id, scene.instances))
    return pixels


def _no_instance(instance_id: int, there: list[int]) -> str:
    listed = ", ".join(str(number) for number in there) or "none"
    return f"there is no instance {instance_id}; the layout has {listed}"
