"""How any network is trained: the table [training] of an experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scenequilt.tools.settings import as_json

UNDECIDING = ("workers", "log_every", "save_every", "validate_every", "sheet_every")
"""Settings that the weights do not depend on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How a network is trained, whichever it is. A step is one of the optimiser's.

    Attributes:
        total_steps: Length of the training in steps.
        batch_size: Samples in a batch: what is in memory at once.
        accumulate: Batches a step and process, whose gradients are averaged.
        seed: Of the first weights, of the samples and of what is drawn in losses.
        optimizer: "adam" or "adamw"; they differ in what weight_decay does.
        rate: Greatest learning rate.
        betas: Decay a step of the averages of gradient and squared gradient.
        weight_decay: Adam: added to the gradient, times the weight; AdamW: share of the weight that
            a step of rate 1 takes off.
        schedule: How the rate goes on after the warm-up: "constant"; "linear" or half a "cosine"
            down to 0; "constant_linear", constant for the first half of all steps, then linear;
            "one_cycle", see rates.learning_rate.
        warm_up: Share of the steps until the rate is greatest, in [0, 1).
        clip_norm: Greatest norm of a part's gradient; longer ones are shortened. None for none.
        rate_factors: By part of the objective, what its rate is multiplied by; 1 where not named.
        average_decay: How much of the averaged weights a step leaves, in [0, 1); 0 writes the last
            weights.
        precision: "fp32", or "bf16" for what autocast computes in it; weights stay float32.
        compile: Compile the networks; pays after minutes, and changes the last bits.
        workers: Processes that make batches; 0 makes them in the training's own.
        log_every: Steps between two lines of the log.
        save_every: Steps between two states from which a run can be gone on with.
        validate_every: Steps between two trials before the end, None for the end only.
        sheet_every: Steps between two sample sheets, None for none.

    Raises:
        ValueError: If a value is out of range.
    """

    total_steps: int = 2000
    batch_size: int = 8
    accumulate: int = 1
    seed: int = 0
    optimizer: Literal["adam", "adamw"] = "adam"
    rate: float = 2e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    schedule: Literal["constant", "linear", "constant_linear", "cosine", "one_cycle"] = "constant"
    warm_up: float = 0.0
    clip_norm: float | None = None
    rate_factors: Mapping[str, float] = field(default_factory=dict)
    average_decay: float = 0.999
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    workers: int = 0
    log_every: int = 25
    save_every: int = 250
    validate_every: int | None = None
    sheet_every: int | None = None

    def __post_init__(self) -> None:
        for name in ("total_steps", "batch_size", "accumulate", "log_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("validate_every", "sheet_every"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1 step, got {count}")
        for name in ("seed", "weight_decay", "workers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in ("warm_up", "average_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be in [0, 1), got {self.betas}")
        if self.rate <= 0:
            raise ValueError(f"rate must be more than 0, got {self.rate}")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError(f"clip_norm must be more than 0, got {self.clip_norm}")
        for part, factor in self.rate_factors.items():
            if factor <= 0:
                raise ValueError(f"rate_factors of {part!r} must be more than 0, got {factor}")

    def deciding(self, processes: int = 1) -> dict[str, Any]:
        """Return what the weights depend on, as it goes on a card.

        Args:
            processes: That train together; accumulate then counts the batches of all of them, since
                two processes see what one with twice the batches sees.
        """
        table = {name: value for name, value in as_json(self).items() if name not in UNDECIDING}
        return table | {"accumulate": self.accumulate * processes}
