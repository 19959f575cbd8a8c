"""What must be read before the figures: where they say little."""

from collections.abc import Sequence

from scenequilt.tools.evaluation.results import Fidelity, RowFigures

LEAST_SHARE_OF_RANDOM = 1.5
"""A segmenter that reaches less in photographs, as a multiple of random segments, sees little."""

FEW_PICTURES = 100
"""Below this, distances between sets of pictures are mostly those of their size."""


def cautions(rows: Sequence[RowFigures], systems: int) -> list[str]:
    """Return a sentence for each reason for which figures say little.

    Args:
        rows: The systems' first, then the calibration rows.
        systems: How many of them are systems.
    """
    return [*_weak_segmenters(rows), *_few_pictures(rows, systems)]


def _weak_segmenters(rows: Sequence[RowFigures]) -> list[str]:
    of_photographs, of_random = _fidelity(rows, "real"), _fidelity(rows, "random")
    sentences = []
    for segmenter, entry in of_photographs.items():
        if segmenter not in of_random:
            continue
        real, random = entry.requested.mean_iou, of_random[segmenter].requested.mean_iou
        if random.high >= real.low or real.value < LEAST_SHARE_OF_RANDOM * random.value:
            sentences.append(
                f"the segmenter {segmenter} reaches a mean IoU of only {real.value:.3f} in "
                f"photographs and {random.value:.3f} in random segments: what it sees says little"
            )
    return sentences


def _fidelity(rows: Sequence[RowFigures], name: str) -> dict[str, Fidelity]:
    return {entry.segmenter: entry for row in rows if row.name == name for entry in row.fidelity}


def _few_pictures(rows: Sequence[RowFigures], systems: int) -> list[str]:
    compared = [entry for row in rows[:systems] for entry in row.distribution]
    if not compared:
        return []
    fewest = min(entry.samples for entry in compared)
    if fewest >= FEW_PICTURES:
        return []
    halves = ""
    if any(row.name == "real" and row.distribution for row in rows):
        halves = (
            ", and most in the row real, which compares two halves of the photographs with half as "
            "many pictures each, so that a system may come out below it"
        )
    sentence = (
        f"{fewest} pictures are few for Fréchet distances, which grow as pictures get fewer"
        f"{halves}: compare systems of equally many pictures only"
    )
    return [sentence]
