"""Weights, a file or a folder of them: which can judge pictures, and as what."""

from dataclasses import dataclass
from pathlib import Path

from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.tools.evaluation.segmenter import check_classes
from scenequilt.tools.evaluation.weights_file import READABLE, SUFFIXES, inspect_weights


@dataclass(frozen=True, slots=True)
class NetworkFiles:
    """Files of weights by what they serve for, each sorted by name.

    Attributes:
        segmenters: Of the classes that were asked for.
        perceptual: Networks with LPIPS heads.
        features: Further networks for features; those with heads serve for that too.
        unknown: Files of weights that serve for nothing, and why.
    """

    segmenters: tuple[Path, ...]
    perceptual: tuple[Path, ...]
    features: tuple[Path, ...]
    unknown: dict[Path, str]


def find_networks(weights: Path, taxonomy: Taxonomy) -> NetworkFiles:
    """Look for networks that can judge pictures; by content, not by name.

    Files of a folder that have other suffixes than those of weights are passed over.

    Args:
        weights: A file, or a folder; folders in it are not looked into.
        taxonomy: Classes that a segmenter must tell apart.

    Raises:
        CheckpointError: If there is no such file or folder, or nothing in it serves; the message
            lists what was found and what is looked for.
    """
    if not weights.exists():
        raise CheckpointError(
            f"{weights} does not exist; expected a file of weights, or a folder with some"
        )
    segmenters: list[Path] = []
    perceptual: list[Path] = []
    features: list[Path] = []
    unknown: dict[Path, str] = {}
    for path in sorted(weights.iterdir()) if weights.is_dir() else [weights]:
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        try:
            found = inspect_weights(path)
            if found.kind == "segmenter":
                check_classes(found, taxonomy)
        except CheckpointError as error:
            unknown[path] = str(error)
            continue
        if found.kind == "unknown":
            unknown[path] = f"{path} holds {found.holds}"
        elif found.kind == "segmenter":
            segmenters.append(path)
        elif found.kind == "perceptual":
            perceptual.append(path)
        else:
            features.append(path)
    if not (segmenters or perceptual or features):
        reasons = "; ".join(unknown.values()) or "no file of weights is there"
        raise CheckpointError(
            f"{weights} has no network that can judge pictures of {len(taxonomy)} classes: "
            f"{reasons}. Looked for are {READABLE}"
        )
    return NetworkFiles(tuple(segmenters), tuple(perceptual), tuple(features), unknown)
