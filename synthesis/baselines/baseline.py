"""What the file of a paper offers, so that it can be trained and used as every other."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from scenequilt.synthesis.interface import Conditions
from scenequilt.synthesis.photograph_samples import ExtraMaker, PhotographBatch


class GeneratorObjective(Protocol):
    """What is minimised over batches of photographs; a generator is among its networks."""

    @property
    def networks(self) -> Mapping[str, nn.Module]:
        """Return the networks that are trained, by part; "generator" is the one that is delivered."""
        ...

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Return tensors that steps change in place and that a resumed run needs."""
        ...

    def losses(self, part: str, batch: PhotographBatch) -> Mapping[str, Tensor]:
        """Return the weighted terms of a part's loss."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Baseline:
    """One paper's generator.

    Attributes:
        name: How it is called in papers and on the command line, in lower case.
        network: Frozen dataclass of the table [network]: all that decides its shape.
        loss: Frozen dataclass of the table [loss].
        build: Makes the network of K classes; a module that satisfies ImageGenerator and has the
            attribute classes. Draws its first weights from torch's global generator.
        objective: Makes what it minimises, objective(generator, perceptual, loss, device=...) with
            the frozen classifier or None, and settings of the kind of loss; draws the first weights
            of its discriminators from torch's global generator.
        extra: Makes of a piece of a photograph what it learns from besides; None for nothing. Is
            given the settings of the network and of the loss.
        tried_with: What a network is given when it is tried on photographs; None where that is the
            layout and its instances.
        draws: Takes the settings of a network to how many pictures of one layout it can make with
            different seeds; None without end.
        told: Takes the settings of the loss to what a person should know before training, by label.
        complete: Gives a trained network, from photographs each of which comes once, what is measured
            and not learnt by gradients; None for nothing.
        published: Takes the tensors of a checkpoint as the authors publish it to those of this
            network, and its settings; None where there is no such checkpoint. Raises ValueError if
            they do not fit.
    """

    name: str
    network: type[Any]
    loss: type[Any]
    build: Callable[[int, Any], nn.Module]
    objective: Callable[..., GeneratorObjective]
    extra: Callable[[Any, Any], ExtraMaker] | None = None
    tried_with: Callable[[Any, PhotographBatch], Conditions] | None = None
    draws: Callable[[Any], int | None] = lambda _: 1
    told: Callable[[Any], Mapping[str, str]] = lambda _: {}
    complete: Callable[[Any, Iterable[PhotographBatch]], None] | None = None
    published: Callable[[Mapping[str, Tensor], int, Any], dict[str, Tensor]] | None = None
