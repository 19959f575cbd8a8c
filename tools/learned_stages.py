"""The learned stages of a folder of weights, and which stages of a run are closed or learned."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

from scenequilt.alignment.aligner import ClosedFormAligner
from scenequilt.memory_bank.errors import CheckpointError
from scenequilt.memory_bank.taxonomy import Taxonomy
from scenequilt.ordering.orderer import ClosedFormOrderer
from scenequilt.synthesis.color_transfer import TransferSettings
from scenequilt.synthesis.elision import ElisionSettings
from scenequilt.synthesis.finish import ClosedFinish, Finish, NoFinish
from scenequilt.synthesis.stages import Aligner, Orderer

if TYPE_CHECKING:
    import torch
    from _typeshed import DataclassInstance
    from torch import nn

    from scenequilt.alignment.learned import LearnedAligner
    from scenequilt.ordering.learned import LearnedOrderer
    from scenequilt.synthesis.resail_finish import Kept, ResailFinish
    from scenequilt.synthesis.sims_finish import SimsFinish
    from scenequilt.tools.output.recipe import ComposeChoices
    from scenequilt.tools.training.checkpoint import Checkpoint

Network = TypeVar("Network", bound="nn.Module")

StageName = Literal["closed", "learned"]
"""How a stage runs: by its closed form, or by a trained network."""

FILES = {
    "align": "aligner.safetensors",
    "order": "orderer.safetensors",
    "finish": "synthesis.safetensors",
}
"""What a folder of weights holds for each stage; each of them may be absent."""

FINISHES = {"sims": FILES["finish"], "resail": "resail.safetensors"}
"""The same for each finish by a network. Of several in a folder the first is taken if none is named."""

NAMES = tuple(dict.fromkeys((*FILES.values(), *FINISHES.values())))
"""Every file that a folder of weights may hold."""


@dataclass(frozen=True, slots=True)
class StageWeights:
    """A folder of weights.

    Attributes:
        folder: The folder.
    """

    folder: Path

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise CheckpointError(
                f"{self.folder} is no folder; give one with any of {', '.join(NAMES)}"
            )
        if not any((self.folder / name).is_file() for name in NAMES):
            raise CheckpointError(
                f"{self.folder} holds none of {', '.join(NAMES)}; put there what "
                "scenequilt train wrote"
            )

    def path(self, stage: str, finish: str = "sims") -> Path:
        """Return the file of a stage.

        Args:
            stage: One of FILES.
            finish: One of FINISHES, where that is the stage.

        Raises:
            CheckpointError: If it is absent.
        """
        path = self.folder / file_of(stage, finish)
        if not path.is_file():
            raise CheckpointError(
                f"{path} is missing, which the learned stage {stage!r} needs; train it with "
                "scenequilt train, or run the closed form"
            )
        return path

    def has(self, stage: str, finish: str = "sims") -> bool:
        """Return True if the folder holds weights for a stage."""
        return (self.folder / file_of(stage, finish)).is_file()

    @property
    def finish(self) -> str | None:
        """The finish by a network that is taken if none is named, None if there are no weights."""
        return next((finish for finish in FINISHES if self.has("finish", finish)), None)


def file_of(stage: str, finish: str = "sims") -> str:
    """Return the name of a stage's file in a folder of weights.

    Args:
        stage: One of FILES.
        finish: One of FINISHES, where that is the stage.
    """
    return FINISHES[finish] if stage == "finish" else FILES[stage]


@dataclass(frozen=True, eq=False)
class Stages:
    """The stages that a run is composed with.

    Attributes:
        aligner: Bends segments.
        orderer: Says who is in front.
        finish: Makes a picture of the canvas.
    """

    aligner: Aligner
    orderer: Orderer
    finish: Finish

    def finish_settings(self) -> dict[str, Any]:
        """Return the name and the settings of the finish, as a recipe holds them."""
        values = {
            field.name: getattr(self.finish, field.name)
            for field in fields(cast("DataclassInstance", self.finish))
            # Weights are known by the hash of their file.
            if field.name != "generator"
        }
        return {
            name: asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            for name, value in values.items()
        }


def load_stages(
    choices: "ComposeChoices", weights: Mapping[str, Path], taxonomy: Taxonomy
) -> Stages:
    """Return the stages that a user's choices stand for.

    Args:
        choices: Which stages are learned, and how the finish works.
        weights: File of each learned stage, by name of the stage.
        taxonomy: The bank's.

    Raises:
        CheckpointError: If a learned stage has no file, or the file does not fit.
    """
    for stage in choices.learned:
        if stage not in weights:
            raise CheckpointError(
                f"the learned stage {stage!r} needs {file_of(stage, choices.finish)}, and no "
                "weights were given; "
                "name their folder with --weights, or run the closed form"
            )
    if choices.learned:
        from scenequilt.tools.evaluation.allocator import keep_freed_buffers

        keep_freed_buffers()
    transfer = TransferSettings() if choices.color_transfer else None
    finish: Finish = NoFinish()
    if choices.finish == "closed":
        finish = ClosedFinish(transfer=transfer)
        if choices.blend is not None:
            finish = replace(finish, blend=choices.blend)
    elif choices.finish in FINISHES:
        from scenequilt.synthesis.painting import before_network

        before = before_network(transfer=transfer)
        if choices.blend is not None:
            before = replace(before, blend=choices.blend)
        path, elides = weights["finish"], choices.elision
        if choices.finish == "sims":
            finish = load_finish(path, taxonomy, before=before, elides=elides)
        else:
            finish = load_resail(path, taxonomy, before=before, elides=elides, kept=choices.kept)
    return Stages(
        aligner=load_aligner(weights["align"], taxonomy)
        if choices.align == "learned"
        else ClosedFormAligner(),
        orderer=load_orderer(weights["order"], taxonomy)
        if choices.order == "learned"
        else ClosedFormOrderer(),
        finish=finish,
    )


def load_aligner(path: Path, taxonomy: Taxonomy) -> "LearnedAligner":
    """Load the learned aligner, in the fastest precision of this machine.

    Raises:
        CheckpointError: If the file is another network's, or of other classes than the bank's.
    """
    from scenequilt.tools.training.jobs.aligner import restore_aligner

    checkpoint = _checked(path, taxonomy)
    with _naming(path):
        return restore_aligner(checkpoint, dtype=inference_dtype())


def load_orderer(path: Path, taxonomy: Taxonomy) -> "LearnedOrderer":
    """Load the learned orderer, in the fastest precision of this machine.

    Raises:
        CheckpointError: If the file is another network's, or of other classes than the bank's.
    """
    from scenequilt.tools.training.jobs.orderer import restore_orderer

    checkpoint = _checked(path, taxonomy)
    with _naming(path):
        return restore_orderer(checkpoint, dtype=inference_dtype())


def load_finish(
    path: Path, taxonomy: Taxonomy, *, before: ClosedFinish | None = None, elides: bool = True
) -> "SimsFinish":
    """Load the finish by the synthesis network, in the fastest precision of this machine.

    Args:
        path: The file.
        taxonomy: The bank's.
        before: What is done to the canvas before the network sees it; the finish's own if None.
        elides: Let it repaint what lies along seams.

    Raises:
        CheckpointError: If the file is another network's, or of other classes than the bank's.
    """
    from scenequilt.synthesis.painting import before_network
    from scenequilt.synthesis.sims_finish import SimsFinish
    from scenequilt.tools.training.jobs.synthesis import restore

    network, elision = _painter(path, taxonomy, restore)
    return SimsFinish(network, elision, before or before_network(), elides)


def load_resail(
    path: Path,
    taxonomy: Taxonomy,
    *,
    before: ClosedFinish | None = None,
    elides: bool = True,
    kept: "Kept" = "exact",
) -> "ResailFinish":
    """Load the finish by the retrieval-guided generator, in the fastest precision of this machine.

    Args:
        path: The file.
        taxonomy: The bank's.
        before: What is done to the canvas before the network sees it; the finish's own if None.
        elides: Let it repaint what lies along seams.
        kept: What becomes of pixels that need no change.

    Raises:
        CheckpointError: If the file is another network's, or of other classes than the bank's.
    """
    from scenequilt.synthesis.painting import before_network
    from scenequilt.synthesis.resail_finish import ResailFinish
    from scenequilt.tools.training.jobs.resail import restore

    network, elision = _painter(path, taxonomy, restore)
    return ResailFinish(network, elision, before or before_network(), elides, kept)


def _painter(
    path: Path, taxonomy: Taxonomy, restore: "Callable[[Checkpoint], Network]"
) -> "tuple[Network, ElisionSettings]":
    """Return the network of a finish, and the bands that it was trained with."""
    import torch

    from scenequilt.tools.settings import read_settings

    checkpoint = _checked(path, taxonomy)
    with _naming(path):
        network = restore(checkpoint)
        if "elision" not in checkpoint.card.preprocessing:
            raise CheckpointError(
                "its card does not say which bands it was trained with; train it again"
            )
        elision = read_settings(
            ElisionSettings, checkpoint.card.preprocessing["elision"], "preprocessing"
        )
    network.to(dtype=inference_dtype()).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network, elision


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file in front of what is wrong with it."""
    try:
        yield
    except (CheckpointError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error


def inference_dtype() -> "torch.dtype":
    """Return bfloat16 where this processor multiplies in it, float32 elsewhere.

    Elsewhere bfloat16 is emulated, and slower than float32.
    """
    import torch

    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def _checked(path: Path, taxonomy: Taxonomy) -> "Checkpoint":
    """Read a checkpoint and refuse one of other classes than the bank's."""
    from scenequilt.memory_bank.taxonomy import taxonomy_from_json
    from scenequilt.tools.training.checkpoint import read_checkpoint

    checkpoint = read_checkpoint(path)
    if checkpoint.card.taxonomy is None:
        raise CheckpointError(f"{path}: its card names no classes; train it again")
    theirs = taxonomy_from_json(checkpoint.card.taxonomy, str(path))
    names = [entry.name for entry in theirs.classes]
    expected = [entry.name for entry in taxonomy.classes]
    if names != expected:
        raise CheckpointError(
            f"{path} was trained on the classes {', '.join(names)}, but the bank has "
            f"{', '.join(expected)}; give weights trained on the bank's dataset"
        )
    return checkpoint
