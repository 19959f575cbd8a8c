"""From an incomplete layout to a dense one: what is labelled stays, what is void is filled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scenequilt.memory_bank.layout import Layout
from scenequilt.memory_bank.taxonomy import VOID, Taxonomy
from scenequilt.synthesis.completion.nearest import nearest_known, nearest_labels

if TYPE_CHECKING:
    from scenequilt.synthesis.completion.network import CompletionNet


@dataclass(frozen=True, eq=False)
class Completed:
    """A layout without void, and what of it was filled.

    Attributes:
        layout: Every pixel labelled; as it was where it was labelled.
        filled: (H, W) bool, True where the layout was void.
        probability: (H, W) float32 in [0, 1], what the network gives the class of a filled pixel;
            1 where the layout was labelled. None from the closed form, which knows none.
    """

    layout: Layout
    filled: NDArray[np.bool_]
    probability: NDArray[np.float32] | None = None


class NearestCompleter:
    """The closed form: what is void becomes what the nearest labelled pixel is."""

    name = "nearest label"

    def complete(self, layout: Layout) -> Completed:
        """Fill the void of a layout; see fill_void for its objects.

        Raises:
            ValueError: If every pixel is void.
        """
        filled = layout.label_map == VOID
        if filled.all():
            raise ValueError(
                "every pixel of the layout is void, so no label is nearest; label some of it"
            )
        return Completed(fill_void(layout, nearest_labels(layout.label_map)), filled)


class LayoutCompleter:
    """The learned form: what is void becomes what the network holds most probable.

    Args:
        network: Trained; put into evaluation mode. It works where its weights are.
        taxonomy: The classes that it was trained on.
        height_px: The height that it was trained at; layouts are brought to it, by nearest pixel
            and without a change of shape, and its answer back.

    Raises:
        ValueError: If the network has another number of classes, or the height is not positive.
    """

    name = "completion network"

    def __init__(self, network: CompletionNet, taxonomy: Taxonomy, *, height_px: int) -> None:
        if network.classes != len(taxonomy):
            raise ValueError(
                f"the network knows {network.classes} classes, but taxonomy {taxonomy.name!r} has "
                f"{len(taxonomy)}; give the taxonomy that it was trained on"
            )
        if height_px < 1:
            raise ValueError(f"height_px is {height_px}, expected at least 1")
        self.taxonomy = taxonomy
        self.height_px = height_px
        self._network = network.eval()

    def complete(self, layout: Layout) -> Completed:
        """Fill the void of a layout; see fill_void for its objects.

        Args:
            layout: Of any size. Of depth nothing is learnt; it is kept.

        Raises:
            ValueError: If the layout has other classes; the message names both taxonomies.
        """
        refuse_other_taxonomy(layout.taxonomy, self.taxonomy)
        filled = layout.label_map == VOID
        if not filled.any():
            return Completed(layout, filled, np.ones(layout.size_hw, np.float32))
        guess, probability = self._predict(layout)
        probability[~filled] = 1
        return Completed(fill_void(layout, guess), filled, probability)

    def _predict(self, layout: Layout) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Return the most probable class of every pixel, and its probability."""
        import torch
        import torch.nn.functional as F

        height, width = layout.size_hw
        seen_width = max(1, round(width * self.height_px / height))
        seen = layout.resized((self.height_px, seen_width)).label_map
        device = next(self._network.parameters()).device
        with torch.inference_mode():
            coarse, nearest = (
                torch.from_numpy(each).to(device)[None] for each in (seen, nearest_labels(seen))
            )
            logits = self._network(coarse, nearest)
            shares = logits.float().softmax(1)  # (1, K, h, w)
            shares = F.interpolate(shares, (height, width), mode="bilinear", align_corners=False)
            probability, guess = shares[0].max(0)  # (H, W) each
        return guess.to(torch.uint8).cpu().numpy(), probability.cpu().numpy()


def refuse_other_taxonomy(found: Taxonomy, known: Taxonomy) -> None:
    """Refuse a layout whose class ids mean other classes than the network's.

    Args:
        found: The layout's classes.
        known: The network's classes.

    Raises:
        ValueError: If their names differ, in number or in order.
    """
    names = [[entry.name for entry in each.classes] for each in (found, known)]
    if names[0] != names[1]:
        raise ValueError(
            f"the layout has taxonomy {found.name!r} with {', '.join(names[0])}, but these weights "
            f"complete taxonomy {known.name!r} with {', '.join(names[1])}; use weights that were "
            "trained on the layout's classes"
        )


def fill_void(layout: Layout, guess: NDArray[np.uint8]) -> Layout:
    """Put a guess where a layout is void, and say which object each filled pixel belongs to.

    A filled pixel of a thing class that is connected, within its class, to an object of the layout
    belongs to the nearest such object, or to none if what it is connected to has no number. What
    touches nothing of its class is a new object, an 8-connected component each. Stuff has 0.

    Args:
        layout: The layout.
        guess: (H, W) uint8 class ids, no void where the layout is void; the rest is not looked at.

    Returns:
        The layout with labels and objects of the pixels that were void; the others stay.

    Raises:
        ValueError: If the guess has another size, or leaves void or unknown classes.
    """
    if guess.shape != layout.label_map.shape or guess.dtype != np.uint8:
        raise ValueError(
            f"guess must be {layout.label_map.shape} uint8, got {guess.shape} {guess.dtype}"
        )
    void = layout.label_map == VOID
    outside = guess[void & (guess >= len(layout.taxonomy))]
    if outside.size:
        raise ValueError(
            f"guess holds {outside[0]} where the layout is void, expected class ids below "
            f"{len(layout.taxonomy)}"
        )
    label_map = np.where(void, guess, layout.label_map)
    instance_map = layout.instance_map.copy()
    for class_id, entry in enumerate(layout.taxonomy.classes):
        if entry.kind == "thing":
            _number_filled(instance_map, label_map == class_id, void)
    return Layout(label_map, instance_map, layout.taxonomy, layout.depth_m)


def _number_filled(
    instance_map: NDArray[np.int32], of_class: NDArray[np.bool_], void: NDArray[np.bool_]
) -> None:
    """Number the pixels of a class that were void, in place."""
    if not (of_class & void).any():
        return
    import cv2

    _, pieces, stats, _ = cv2.connectedComponentsWithStats(of_class.astype(np.uint8))
    for piece in np.unique(pieces[of_class & void]).tolist():
        left, top, width, height = stats[piece, :4].tolist()
        box = slice(top, top + height), slice(left, left + width)
        here = pieces[box] == piece
        filled, given = here & void[box], here & ~void[box]
        numbers = instance_map[box]
        if given.any():
            numbers[filled] = numbers[nearest_known(given)][filled]
        else:
            numbers[filled] = instance_map.max() + 1
