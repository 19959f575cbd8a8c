"""One step of training any network, with networks that are linear."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scenequilt.tools.training.job import TrainingJob
from scenequilt.tools.training.ranks import Ranks
from scenequilt.tools.training.step import ObjectiveStep
from scenequilt.tools.training.training_settings import TrainingSettings

Job = Callable[..., TrainingJob[Any]]


def settings(**changes: object) -> TrainingSettings:
    fixed = {"total_steps": 8, "batch_size": 4, "rate": 0.01, "average_decay": 0.9}
    return TrainingSettings(**(fixed | changes))  # type: ignore[arg-type]


def step_of(job: TrainingJob[Any], **changes: object) -> ObjectiveStep[Any]:
    return ObjectiveStep(job.objective, settings(**changes), delivered=job.delivered)


def state_of(step: ObjectiveStep[Any]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in step.state_dict().items()}


def test_a_step_is_the_optimisers_along_the_gradient(toy_job: Job) -> None:
    job, by_hand = toy_job(), toy_job().objective.networks["network"]
    batch = job.batches.batch(1)
    loss = (by_hand(batch.inputs) - batch.targets).square().mean()
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.01, weight_decay=0.1)
    loss.backward()
    optimizer.step()

    figures = step_of(job, optimizer="adamw", weight_decay=0.1)([batch])

    expected, found = by_hand.state_dict(), job.objective.networks["network"].state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert figures["squared"] == loss.item()
    assert figures["learning_rate"] == 0.01


def test_terms_without_gradient_are_told_and_not_minimised(toy_job: Job) -> None:
    figures = step_of(toy_job())([toy_job().batches.batch(1)])

    assert list(figures) == ["squared", "absolute", "learning_rate"]


def test_two_accumulated_batches_are_one_of_both(toy_job: Job) -> None:
    apart, together = toy_job(), toy_job()
    first, second = apart.batches.batch(1), apart.batches.batch(2)
    both = type(first)(
        torch.cat([first.inputs, second.inputs]), torch.cat([first.targets, second.targets])
    )

    one = step_of(apart, accumulate=2)([first, second])
    other = step_of(together)([both])

    assert one == pytest.approx(other)
    for name, value in apart.objective.networks["network"].state_dict().items():
        torch.testing.assert_close(value, together.objective.networks["network"].state_dict()[name])


def test_each_part_learns_in_its_turn_and_alone(toy_job: Job) -> None:
    """Adam's first step is the rate times the sign of the gradient."""
    job = toy_job(pair=True)
    judge, maker = job.objective.networks.values()
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    batch = job.batches.batch(1)
    made, real = maker(batch.inputs).mean().item(), batch.targets.mean().item()

    figures = step_of(job, rate=0.5, rate_factors={"discriminator": 0.1})([batch])

    moved = judge.state_dict()["weight"] - before["weight"]
    assert moved.item() == pytest.approx(0.05 if real > made else -0.05, rel=1e-4)
    torch.testing.assert_close(judge.state_dict()["bias"], before["bias"])
    assert list(figures) == [
        "discriminator/real",
        "discriminator/made",
        "generator/adversarial",
        "learning_rate",
    ]
    # The generator's loss is by the discriminator as it has become.
    improved = (judge.state_dict()["weight"] * made + judge.state_dict()["bias"]).item()
    assert figures["generator/adversarial"] == pytest.approx(-improved, rel=1e-4)


def test_the_gradient_is_shortened_to_the_norm_asked_for(toy_job: Job) -> None:
    job = toy_job()
    step = step_of(job, clip_norm=0.01)

    figures = step([job.batches.batch(1)])

    gradients = [each.grad for each in job.objective.networks["network"].parameters()]
    norm = torch.cat([each.flatten() for each in gradients if each is not None]).norm()
    assert norm.item() == pytest.approx(0.01, rel=1e-3)
    assert figures["gradient_norm"] > 0.01, "as long as it was"


def test_the_average_follows_the_weights_by_its_decay(toy_job: Job) -> None:
    job = toy_job()
    job.objective.networks = {"network": nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))}  # type: ignore[misc]
    step = step_of(job, average_decay=0.15)
    network = job.objective.networks["network"]
    before = {name: value.clone() for name, value in network.state_dict().items()}

    step([job.batches.batch(1)])

    after, average = network.state_dict(), step.average.state_dict()
    for name in ("0.weight", "0.running_mean", "0.running_var", "1.bias"):
        torch.testing.assert_close(average[name], 0.15 * before[name] + 0.85 * after[name])
    assert average["0.num_batches_tracked"] == 1
    assert not step.average.training


def test_the_average_does_not_reach_back_to_the_start_of_a_short_run(toy_job: Job) -> None:
    job = toy_job()
    step = step_of(job, average_decay=0.99)
    before = job.objective.networks["network"].state_dict()["weight"].clone()

    step([job.batches.batch(1)])

    decay = (1 + 1) / (10 + 1)
    after = job.objective.networks["network"].state_dict()["weight"]
    torch.testing.assert_close(
        step.average.state_dict()["weight"], decay * before + (1 - decay) * after
    )


@pytest.mark.parametrize("pair", [False, True])
def test_a_step_that_goes_on_from_a_state_is_the_step_it_would_have_been(
    toy_job: Job, pair: bool
) -> None:
    job = toy_job(noise=0.3, pair=pair)
    unbroken, resumed = step_of(job), step_of(toy_job(noise=0.3, pair=pair))
    for number in range(1, 4):
        unbroken([job.batches.batch(number)])
    state = state_of(unbroken)

    torch.manual_seed(99)
    resumed.load_state_dict(state)
    batches = [job.batches.batch(number) for number in range(4, 8)]
    figures = [(unbroken([batch]), resumed([batch])) for batch in batches]

    assert all(one == other for one, other in figures)
    ends, others = unbroken.state_dict(), resumed.state_dict()
    assert ends.keys() == others.keys()
    assert all(torch.equal(value, others[name]) for name, value in ends.items())
    if not pair:
        assert ends["buffer.greatest"] > 0


def test_moments_come_back_in_the_parameters_order_of_memory() -> None:
    class Convolution:
        def __init__(self) -> None:
            network = nn.Conv2d(4, 4, 3)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.networks: Mapping[str, nn.Module] = {"network": network}
            self.buffers: Mapping[str, Tensor] = {}

        def losses(self, part: str, batch: Tensor) -> Mapping[str, Tensor]:
            return {"loss": self.networks[part](batch).square().mean()}

    first, second = (
        ObjectiveStep(Convolution(), settings(), delivered="network") for _ in range(2)
    )
    first([torch.rand(1, 4, 5, 5)])
    contiguous = {name: value.contiguous() for name, value in first.state_dict().items()}

    second.load_state_dict(contiguous)

    moment = second.state_dict()["optimizer.network.0.exp_avg"]
    assert moment.is_contiguous(memory_format=torch.channels_last)


def test_a_state_of_another_network_is_refused(toy_job: Job) -> None:
    state = step_of(toy_job()).state_dict()
    del state["network.network.bias"]

    with pytest.raises(RuntimeError, match=r'Missing key.*"bias"'):
        step_of(toy_job()).load_state_dict(state)


def test_what_losses_draw_leaves_the_global_generator_where_it_was(toy_job: Job) -> None:
    job = toy_job(noise=0.3)
    step = step_of(job)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)

    step([job.batches.batch(1)])

    assert torch.equal(torch.rand(1), expected)


def test_another_seed_draws_otherwise(toy_job: Job) -> None:
    one, other = (
        step_of(toy_job(noise=0.3), seed=seed)([toy_job().batches.batch(1)]) for seed in (1, 2)
    )

    assert one["squared"] != other["squared"]


def test_half_precision_computes_in_bfloat16_and_keeps_weights_whole() -> None:
    seen: list[torch.dtype] = []

    class Watched:
        networks: Mapping[str, nn.Module] = {"network": nn.Linear(3, 1)}
        buffers: Mapping[str, Tensor] = {}

        def losses(self, part: str, batch: Tensor) -> Mapping[str, Tensor]:
            scores = self.networks[part](batch)
            seen.append(scores.dtype)
            return {"loss": scores.float().square().mean()}

    step = ObjectiveStep(Watched(), settings(precision="bf16"), delivered="network")
    step([torch.rand(4, 3)])

    assert seen == [torch.bfloat16]
    assert all(each.dtype == torch.float32 for each in step.average.parameters())


def test_networks_are_compiled_if_asked_for(toy_job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))
    job = toy_job(pair=True)

    step_of(job, compile=True)

    assert compiled == list(job.objective.networks.values())


def test_parts_that_are_not_there_are_refused(toy_job: Job) -> None:
    with pytest.raises(ValueError, match="delivered names 'generator'; the parts are network"):
        ObjectiveStep(toy_job().objective, settings(), delivered="generator")
    with pytest.raises(ValueError, match="rate_factors names 'judge'; the parts are network"):
        step_of(toy_job(), rate_factors={"judge": 0.5})


def test_a_loss_that_cannot_be_minimised_is_refused(toy_job: Job) -> None:
    job = toy_job()
    step = step_of(job)
    job.objective.networks["network"].requires_grad_(False)

    with pytest.raises(ValueError, match="'network' has a gradient, found squared, absolute"):
        step([job.batches.batch(1)])


@dataclass
class Meeting:
    """Where threads exchange what processes would."""

    barrier: threading.Barrier
    sums: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ThreadRanks(Ranks):
    """Ranks that are threads of one process."""

    meeting: Meeting = field(default_factory=lambda: Meeting(threading.Barrier(2)))

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Both begin alike."""

    def sum(self, tensor: Tensor) -> None:
        self.meeting.sums.append(tensor.clone())
        self.meeting.barrier.wait()
        total = torch.stack(self.meeting.sums).sum(dim=0)
        self.meeting.barrier.wait()
        if self.is_first:
            self.meeting.sums.clear()
        self.meeting.barrier.wait()
        tensor.copy_(total)


@pytest.mark.parametrize("pair", [False, True])
def test_two_ranks_are_one_process_with_two_batches_a_step(toy_job: Job, pair: bool) -> None:
    alone = toy_job(pair=pair)
    one = step_of(alone, accumulate=2, clip_norm=0.5)
    meeting = Meeting(threading.Barrier(2, timeout=60))
    steps = [
        ObjectiveStep(
            job.objective,
            settings(clip_norm=0.5),
            delivered=job.delivered,
            ranks=ThreadRanks(rank, 2, meeting=meeting),
        )
        for rank, job in enumerate([toy_job(pair=pair), toy_job(pair=pair)])
    ]
    figures: list[list[Mapping[str, float]]] = [[], []]

    def run(rank: int) -> None:
        for number in (1, 3, 5):
            figures[rank].append(steps[rank]([alone.batches.batch(number + rank)]))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [one([alone.batches.batch(n), alone.batches.batch(n + 1)]) for n in (1, 3, 5)]

    assert figures[0] == figures[1]
    for found, wanted in zip(figures[0], expected, strict=True):
        assert found == pytest.approx(wanted, rel=1e-4)
    first, second, together = (each.state_dict() for each in (*steps, one))
    for name, value in together.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value)
