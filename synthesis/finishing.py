"""Finishing a canvas, and again after a change with as little work as the change allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.synthesis.blending import Blended, Layer, blend_layers
from scenequilt.synthesis.canvas import NO_OWNER, Canvas, differing
from scenequilt.synthesis.color_transfer import Recolored, recolor_placed
from scenequilt.synthesis.composition import PixelState
from scenequilt.synthesis.filling import EarlierFill, Filled, fill_holes
from scenequilt.synthesis.finish import (
    ClosedFinish,
    Finish,
    Finished,
    Surroundings,
    visible_places,
)
from scenequilt.synthesis.groundwork import Groundwork
from scenequilt.synthesis.shadows import cast_contact_shadows


@runtime_checkable
class WindowedFinish(Finish, Protocol):
    """A finish that can take up its own picture where the canvas has changed."""

    def refinish(
        self,
        canvas: Canvas,
        surroundings: Surroundings,
        earlier: Finished,
        changed: NDArray[np.bool_],
        *,
        seed: int,
    ) -> Finished:
        """Return the picture of a canvas that is new only where changed (H, W) is True.

        Args:
            canvas: As it is now.
            surroundings: Likewise.
            earlier: What this finish made of the canvas before.
            changed: Where another segment is pasted, another class wanted, or another pixel elided.
            seed: That earlier was made with.
        """
        ...


@runtime_checkable
class PaintedFinish(Finish, Protocol):
    """A finish that paints over what the closed finish has prepared."""

    @property
    def before(self) -> ClosedFinish:
        """What is done to the canvas before."""
        ...

    def paint(
        self, canvas: Canvas, surroundings: Surroundings, prepared: Finished, *, seed: int
    ) -> Finished:
        """Return the picture painted over what before has made of the canvas."""
        ...


def finish_canvas(
    finish: Finish, canvas: Canvas, surroundings: Surroundings, *, seed: int
) -> tuple[Finished, "ClosedWork | None"]:
    """Finish a canvas.

    Args:
        finish: How.
        canvas: What was pasted.
        surroundings: What the finish may know beside.
        seed: Same canvas, same seed, same bytes.

    Returns:
        The picture, and what the closed finish can take up the next time; None for finishes
        that do without it.
    """
    if isinstance(finish, ClosedFinish):
        return finish_closed(finish, canvas, surroundings, seed=seed)
    if isinstance(finish, PaintedFinish):
        prepared, work = finish_closed(finish.before, canvas, surroundings, seed=seed)
        return finish.paint(canvas, surroundings, prepared, seed=seed), work
    return finish.finish(canvas, surroundings, seed=seed), None


def refinish(
    canvas: Canvas, surroundings: Surroundings, before: Groundwork, *, seed: int
) -> tuple[Finished, "ClosedWork | None"]:
    """Finish a canvas of which an earlier state was finished already.

    A finish that has a window is handed what changed; the closed finish takes up what it worked
    out before; any other finishes the whole.

    Args:
        canvas: As it is now.
        surroundings: Likewise.
        before: The canvas as it was, with its picture.
        seed: That its picture was made with.

    Returns:
        The picture, and what the closed finish can take up the next time; None for finishes
        that do without it.
    """
    finish = before.finish
    if isinstance(finish, WindowedFinish):
        changed = changed_pixels(canvas, surroundings, before)
        return finish.refinish(canvas, surroundings, before.finished, changed, seed=seed), None
    if isinstance(finish, ClosedFinish) and before.closed_work is not None:
        earlier = (before.canvas, before.closed_work, before.finished)
        return finish_closed(finish, canvas, surroundings, seed=seed, earlier=earlier)
    if isinstance(finish, PaintedFinish) and before.closed_work is not None:
        earlier = (before.canvas, before.closed_work, before.finished)
        prepared, work = finish_closed(
            finish.before, canvas, surroundings, seed=seed, earlier=earlier
        )
        return finish.paint(canvas, surroundings, prepared, seed=seed), work
    return finish_canvas(finish, canvas, surroundings, seed=seed)


def changed_pixels(
    canvas: Canvas, surroundings: Surroundings, before: Groundwork
) -> NDArray[np.bool_]:
    """Return (H, W) bool, where a canvas differs from what it was before.

    That is where another placed segment owns the pixel, or the same one under another number, and
    where another class is wanted behind it or another pixel is elided.
    """
    number_of = {id(item): place for place, item in enumerate(canvas.placed)}
    gone = len(canvas.placed)
    now = [number_of.get(id(item), gone) for item in before.canvas.placed] + [NO_OWNER]
    changed = np.array(now, np.int32)[before.canvas.ownership] != canvas.ownership
    changed |= canvas.delivered.label_map != before.canvas.delivered.label_map
    changed |= canvas.delivered.instance_map != before.canvas.delivered.instance_map
    changed |= surroundings.wanted != before.surroundings.wanted
    result: NDArray[np.bool_] = changed | (surroundings.elided != before.surroundings.elided)
    return result


@dataclass(frozen=True, eq=False)
class ClosedWork:
    """What the closed finish works out before it fills holes.

    Attributes:
        recolored: The visible segments in the light of the picture; None if they keep their own.
        blended: Their picture.
        image: (H, W, 3) uint8 RGB, with shadows, before any hole is filled.
    """

    recolored: Recolored | None
    blended: Blended
    image: NDArray[np.uint8]


def work_up_to_holes(
    finish: ClosedFinish,
    canvas: Canvas,
    surroundings: Surroundings,
    earlier: ClosedWork | None = None,
) -> ClosedWork:
    """Do what the closed finish does before it fills holes.

    Args:
        finish: How.
        canvas: What was pasted.
        surroundings: What is known beside.
        earlier: Of another canvas; what is made of the very same segments is taken from there.
    """
    classes = canvas.delivered.taxonomy.classes
    band_px = max(1, round(finish.band * canvas.ownership.shape[0]))
    visible = visible_places(canvas)
    placed = [canvas.placed[place] for place in visible]
    reach = [canvas.reach[place] for place in visible]
    colors: Sequence[NDArray[np.uint8]] = [item.color for item in placed]
    recolored = None
    if finish.transfer is not None and surroundings.look is not None:
        recolored = recolor_placed(
            placed,
            reach,
            surroundings.look,
            surroundings.looks,
            surroundings.segment_means[visible],
            surroundings.segment_spreads[visible],
            canvas.delivered.taxonomy,
            canvas.delivered.size_hw,
            finish.transfer,
            band_px=2 * band_px,
            earlier=earlier.recolored if earlier is not None else None,
        )
        colors = recolored.colors
    layers = []
    for number, (item, own) in enumerate(zip(placed, reach, strict=True)):
        class_id = item.segment.class_id
        group = class_id if classes[class_id].kind == "stuff" else len(classes) + number
        layers.append(Layer(item.box, colors[number], own, item.mask, group))
    layer_of = {place: number for number, place in enumerate(visible)}
    blended = blend_layers(
        layers,
        [layer_of[place] for place in canvas.order.back_to_front if place in layer_of],
        canvas.delivered.size_hw,
        how=finish.blend,
        band_px=band_px,
        earlier=earlier.blended if earlier is not None else None,
    )
    image = blended.image
    if finish.shadows is not None:
        image = cast_contact_shadows(image, canvas, finish.shadows)
    return ClosedWork(recolored, blended, image)


def finish_closed(
    finish: ClosedFinish,
    canvas: Canvas,
    surroundings: Surroundings,
    *,
    seed: int,
    earlier: tuple[Canvas, ClosedWork, Finished] | None = None,
) -> tuple[Finished, ClosedWork]:
    """Make the picture that the closed finish makes of a canvas.

    With an earlier state it is that of finishing the whole, but for holes that nothing has touched:
    they keep their texture, where a whole finish would draw it anew.

    Args:
        finish: How.
        canvas: What was pasted.
        surroundings: What is known beside.
        seed: Same canvas, same seed, same bytes.
        earlier: The canvas before a change, what was worked out for it, and its picture.
    """
    work = work_up_to_holes(finish, canvas, surroundings, earlier[1] if earlier else None)
    changed = differing(work.image, canvas.color)
    state = np.full(canvas.ownership.shape, PixelState.OPEN, np.uint8)
    state[canvas.coverage] = PixelState.COPIED
    state[changed & canvas.coverage] = PixelState.RECOLOURED
    state[changed & work.blended.mixed] = PixelState.BLENDED
    if not finish.fill:
        return Finished(work.image, canvas.delivered, state), work
    classes = canvas.delivered.taxonomy.classes
    filled = fill_holes(
        work.image,
        canvas.delivered.label_map,
        ~canvas.coverage,
        surroundings.wanted,
        seed=seed,
        stuff=[c for c, entry in enumerate(classes) if entry.kind == "stuff"],
        earlier=_earlier_fill(*earlier) if earlier is not None else None,
    )
    state[filled.textured | filled.inpainted] = PixelState.SYNTHESISED
    state[filled.mixed] = PixelState.BLENDED
    delivered = Layout(filled.label_map, canvas.delivered.instance_map, canvas.delivered.taxonomy)
    return Finished(filled.image, delivered, state), work


def _earlier_fill(canvas: Canvas, work: ClosedWork, finished: Finished) -> EarlierFill:
    holes = ~canvas.coverage
    mixed = canvas.coverage & differing(finished.image, work.image)
    filled = Filled(
        finished.image, finished.delivered.label_map, holes, np.zeros_like(holes), mixed
    )
    return EarlierFill(work.image, canvas.delivered.label_map, holes, filled)
