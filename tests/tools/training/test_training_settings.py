"""How any network is trained: what is refused, and what the weights depend on."""

import pytest

from scenequilt.tools.training.training_settings import TrainingSettings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"total_steps": 0}, "total_steps must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1, got 0"),
        ({"sheet_every": 0}, "sheet_every must be at least 1 step, got 0"),
        ({"workers": -1}, "workers must be at least 0, got -1"),
        ({"warm_up": 1.0}, r"warm_up must be in \[0, 1\), got 1.0"),
        ({"betas": (0.9, 1.0)}, r"betas must be in \[0, 1\), got \(0.9, 1.0\)"),
        ({"rate": 0.0}, "rate must be more than 0, got 0.0"),
        ({"clip_norm": 0.0}, "clip_norm must be more than 0, got 0.0"),
        ({"rate_factors": {"generator": 0.0}}, "rate_factors of 'generator' must be more than 0"),
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**change)  # type: ignore[arg-type]


def test_what_decides_the_weights_leaves_out_how_they_are_watched() -> None:
    watched = TrainingSettings(
        log_every=1, save_every=1, validate_every=2, sheet_every=3, workers=4
    )

    assert watched.deciding() == TrainingSettings().deciding()
    assert TrainingSettings(rate=1.0).deciding() != TrainingSettings().deciding()


def test_two_processes_decide_as_twice_the_batches_do() -> None:
    two = TrainingSettings(seed=3, accumulate=3).deciding(processes=2)

    assert two == TrainingSettings(seed=3, accumulate=6).deciding()
