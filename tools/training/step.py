"""One step of training any network: every part of an objective is improved by its gradient."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from scenequilt.tools.training.job import Objective
from scenequilt.tools.training.loader import moved
from scenequilt.tools.training.ranks import ALONE, Ranks
from scenequilt.tools.training.rates import learning_rate
from scenequilt.tools.training.training_settings import TrainingSettings

Batch = TypeVar("Batch")

GROWING_DECAY = 10
"""The average of the weights reaches back over at most a tenth of the steps so far: (1 + n) /
(10 + n) is its decay in step n until that exceeds the one asked for."""


class ObjectiveStep(Generic[Batch]):
    """Improves the networks of an objective, part by part, by the batches of a step.

    For every part in turn: the gradients of its loss by its own parameters, averaged over the
    batches and the processes; shortened if asked for; one step of its optimiser. Then the averaged
    weights follow. Numbers that losses draw from torch's global generator depend on the seed, the
    part and the number of the batch alone, so that a run which is gone on with draws the same.

    Args:
        objective: What is minimised; its networks are moved to device, all else lies there.
        settings: How.
        delivered: Part whose weights are averaged.
        device: Where batches are moved to.
        ranks: This process among those that train together; all begin with the first one's weights.

    Attributes:
        average: The delivered network with averaged weights and buffers, in evaluation mode: the one
            to be used.

    Raises:
        ValueError: If delivered or a part of settings.rate_factors is none of the objective's.
    """

    def __init__(
        self,
        objective: Objective[Batch],
        settings: TrainingSettings,
        *,
        delivered: str,
        device: str | torch.device = "cpu",
        ranks: Ranks = ALONE,
    ) -> None:
        networks = dict(objective.networks)
        for name, asker in [(delivered, "delivered"), *_askers(settings)]:
            if name not in networks:
                raise ValueError(f"{asker} names {name!r}; the parts are {', '.join(networks)}")
        for network in networks.values():
            network.to(device).train()
            ranks.share([*network.parameters(), *network.buffers()])
        ranks.share(list(objective.buffers.values()))
        self._objective = objective
        self._settings = settings
        self._device = torch.device(device)
        self._ranks = ranks
        self._networks = networks
        self._delivered = delivered
        self._parameters = {
            part: [each for each in network.parameters() if each.requires_grad]
            for part, network in networks.items()
        }
        self._optimizers = {
            part: _optimizer(parameters, settings) for part, parameters in self._parameters.items()
        }
        self._steps_done = 0
        self.average = copy.deepcopy(networks[delivered]).eval().requires_grad_(False)
        if settings.compile:
            for network in networks.values():
                network.compile()

    @property
    def parameter_counts(self) -> dict[str, int]:
        """How many numbers each part is made of, frozen ones included."""
        return {
            part: sum(each.numel() for each in network.parameters())
            for part, network in self._networks.items()
        }

    def __call__(self, batch: Sequence[Batch]) -> Mapping[str, float]:
        """Take one step.

        Args:
            batch: settings.accumulate batches.

        Returns:
            Mean of every term over batches and processes, "part/term" where there are several
            parts; the learning rate; the norm of each gradient if it is limited.
        """
        rate = learning_rate(self._steps_done + 1, self._settings)
        figures: dict[str, Tensor] = {}
        for place, part in enumerate(self._networks):
            prefix = f"{part}/" if len(self._networks) > 1 else ""
            figures |= self._improve(place, part, batch, rate, prefix)
        self._average_buffers()
        self._steps_done += 1
        self._update_average()
        return {**self._over_ranks(figures), "learning_rate": rate}

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that a later step depends on, as flat names."""
        state: dict[str, Tensor] = {}
        for part, network in self._networks.items():
            state |= _named(f"network.{part}.", network.state_dict())
            for place, moments in self._optimizers[part].state_dict()["state"].items():
                state |= _named(f"optimizer.{part}.{place}.", moments)
        state |= _named("average.", self.average.state_dict())
        state |= _named("buffer.", self._objective.buffers)
        return state | {"steps_done": torch.tensor(self._steps_done)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a state.

        Raises:
            RuntimeError: If it is of another network.
        """
        for part, network in self._networks.items():
            network.load_state_dict(_under(f"network.{part}.", state))
            self._load_moments(part, _under(f"optimizer.{part}.", state))
        self.average.load_state_dict(_under("average.", state))
        for name, buffer in self._objective.buffers.items():
            buffer.copy_(state[f"buffer.{name}"])
        self._steps_done = int(state["steps_done"])

    def _improve(
        self, place: int, part: str, batches: Sequence[Batch], rate: float, prefix: str
    ) -> dict[str, Tensor]:
        """Take a part's step; return its figures, still on the device."""
        parameters, optimizer = self._parameters[part], self._optimizers[part]
        optimizer.zero_grad(set_to_none=True)
        seen: list[Mapping[str, Tensor]] = []
        for micro, batch in enumerate(batches):
            with self._drawing(place, micro, len(batches)):
                with self._precision():
                    terms = self._objective.losses(part, moved(batch, self._device))
                loss = _sum_of(part, terms)
                # Of this part alone: what it is minimised through learns in its own turn.
                torch.autograd.backward(loss / len(batches), inputs=parameters)
            seen.append({name: value.detach() for name, value in terms.items()})
        self._average_gradients(parameters)

        figures = {
            prefix + name: torch.stack([terms[name].float() for terms in seen]).mean()
            for name in seen[0]
        }
        if self._settings.clip_norm is not None:
            figures[f"{prefix}gradient_norm"] = nn.utils.clip_grad_norm_(
                parameters, self._settings.clip_norm
            )
        for group in optimizer.param_groups:
            group["lr"] = rate * self._settings.rate_factors.get(part, 1.0)
        optimizer.step()
        return figures

    @contextmanager
    def _drawing(self, place: int, micro: int, batches: int) -> Iterator[None]:
        """Seed torch's global generators by the number of a batch while the block runs."""
        cards = [self._device] if self._device.type == "cuda" else []
        micros = (self._steps_done * batches + micro) * self._ranks.world + self._ranks.rank
        with torch.random.fork_rng(devices=cards):
            torch.manual_seed(_mixed(self._settings.seed, place, micros))
            yield

    @contextmanager
    def _precision(self) -> Iterator[None]:
        if self._settings.precision == "fp32":
            yield
        else:
            with torch.autocast(self._device.type, dtype=torch.bfloat16):
                yield

    def _average_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        if self._ranks.world == 1:
            return
        # A parameter without gradient stays so only if no process has one; all send the same.
        has_gradient = self._ranks.any([each.grad is not None for each in parameters])
        gradients = []
        for parameter, sent in zip(parameters, has_gradient, strict=True):
            if sent and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if sent and parameter.grad is not None:
                gradients.append(parameter.grad)
        self._ranks.average(gradients)

    def _average_buffers(self) -> None:
        """Let running statistics be the same in every process."""
        if self._ranks.world > 1:
            buffers = [each for network in self._networks.values() for each in network.buffers()]
            buffers += self._objective.buffers.values()
            self._ranks.average([each for each in buffers if each.is_floating_point()])

    def _over_ranks(self, figures: Mapping[str, Tensor]) -> dict[str, float]:
        values = torch.stack([each.float() for each in figures.values()])
        self._ranks.average([values])
        return dict(zip(figures, values.tolist(), strict=True))

    @torch.no_grad()
    def _update_average(self) -> None:
        grown = (1 + self._steps_done) / (GROWING_DECAY + self._steps_done)
        share = 1 - min(self._settings.average_decay, grown)
        current = self._networks[self._delivered].state_dict()
        for name, averaged in self.average.state_dict().items():
            if averaged.is_floating_point():
                averaged.lerp_(current[name], share)
            else:
                averaged.copy_(current[name])

    def _load_moments(self, part: str, state: Mapping[str, Tensor]) -> None:
        parameters = self._parameters[part]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            place, _, moment = name.partition(".")
            parameter = parameters[int(place)]
            if value.shape == parameter.shape:
                # In the parameter's order of memory: sums in another order end in other bits.
                value = torch.empty_like(parameter).copy_(value)
            moments.setdefault(int(place), {})[moment] = value
        groups = self._optimizers[part].state_dict()["param_groups"]
        self._optimizers[part].load_state_dict({"state": moments, "param_groups": groups})


def _askers(settings: TrainingSettings) -> list[tuple[str, str]]:
    return [(part, "rate_factors") for part in settings.rate_factors]


def _optimizer(
    parameters: Sequence[nn.Parameter], settings: TrainingSettings
) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(
        parameters, lr=settings.rate, betas=settings.betas, weight_decay=settings.weight_decay
    )


def _sum_of(part: str, terms: Mapping[str, Tensor]) -> Tensor:
    """Return the sum of the terms that can be minimised."""
    minimised = [each for each in terms.values() if each.requires_grad]
    if not minimised:
        found = ", ".join(terms) or "none"
        raise ValueError(
            f"no term of the loss of {part!r} has a gradient, found {found}; look whether its "
            "parameters are frozen"
        )
    total = minimised[0]
    for term in minimised[1:]:
        total = total + term
    return total


def _mixed(seed: int, place: int, number: int) -> int:
    """Return a seed of 63 bits in which none of the three is lost (splitmix64's last lines)."""
    mixed = (seed * 0x9E3779B97F4A7C15 + place * 0xD1B54A32D192ED03 + number) % 2**64
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
    return (mixed ^ (mixed >> 31)) >> 1


def _named(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
