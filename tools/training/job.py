"""What a network must offer to be trained: an objective, batches, and what is shown of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from scenequilt.memory_bank.taxonomy import Taxonomy

Batch = TypeVar("Batch")
Batch_co = TypeVar("Batch_co", covariant=True)
Batch_contra = TypeVar("Batch_contra", contravariant=True)


class Objective(Protocol[Batch_contra]):
    """What is minimised. Optimisers, precision, averages and saving are the trainer's business."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the networks that are trained, by part, in the order in which a step improves them.

        A plain network is {"network": ...}; an adversarial pair {"discriminator": ..., "generator":
        ...}. Frozen networks, such as a perceptual loss's, are not among them.
        """
        ...

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return tensors that steps change in place and that a resumed run needs; {} for most."""
        ...

    def losses(self, part: str, batch: Batch_contra) -> Mapping[str, Tensor]:
        """Return the terms of a part's loss, weighted, as scalars by name.

        Those that need a gradient are added up and minimised over the part's parameters alone;
        all of them are logged.
        """
        ...


class BatchSource(Protocol[Batch_co]):
    """An endless row of batches. A batch is a frozen dataclass whose fields are tensors or plain."""

    def batch(self, number: int) -> Batch_co:
        """Return the batch of a number, from 1; it depends on the seed and the number alone.

        Must run in a worker process: files are opened there, lazily, and kept open.
        """
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class JobReport:
    """What a job tells of itself beside what holds for every job; all of it may be left out.

    Attributes:
        facts: Of what it learns from, for the plan as JSON.
        lines: The same for a person, by label, e.g. {"photographs": "21, most of them 64x128"}.
        samples: What a batch holds, in the plural, e.g. "pieces of 32x32".
        unread_bytes: Memory that samples will take which are not read yet.
        validation: Takes what validate found to lines for a person.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, str] = field(default_factory=dict)
    samples: str = "samples"
    unread_bytes: int = 0
    validation: Callable[[Mapping[str, Any]], list[str]] | None = None


@dataclass(frozen=True, eq=False)
class TrainingJob(Generic[Batch]):
    """One network, what it learns from, and what is written and shown of it.

    Attributes:
        network: Name of the architecture on the card, e.g. "sims_synthesis".
        settings: What network and batches were built with, as it goes into JSON.
        taxonomy: The classes, None for a network without.
        preprocessing: What the network expects of a picture, JSON.
        data: What it is trained on, JSON; "sha256" is over all that it learns from.
        objective: What is minimised.
        batches: What it is minimised over.
        delivered: Part of objective.networks that is written in the end.
        validate: Takes the averaged delivered network in evaluation mode to figures by name, JSON;
            None where nothing is held out.
        sheet: Takes the same to a (H, W, 3) uint8 RGB picture that shows a person how far it has
            come; None for none.
        complete: Gives the same, once it is trained, what is measured and not learnt by gradients;
            None for nothing.
        report: What it tells of itself.
    """

    network: str
    settings: Mapping[str, Any]
    taxonomy: Taxonomy | None
    preprocessing: Mapping[str, Any]
    data: Mapping[str, Any]
    objective: Objective[Batch]
    batches: BatchSource[Batch]
    delivered: str = "network"
    validate: Callable[[nn.Module], Mapping[str, Any]] | None = None
    sheet: Callable[[nn.Module], NDArray[np.uint8]] | None = None
    complete: Callable[[nn.Module], None] | None = None
    report: JobReport = field(default_factory=JobReport)
