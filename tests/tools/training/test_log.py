"""The log of a training run."""

from pathlib import Path

from scenequilt.tools.training.log import TrainingLog, read_log


def test_a_line_is_there_as_soon_as_it_is_written(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log.jsonl")

    log.figures(5, {"loss": 1.25})

    (line,) = read_log(tmp_path / "log.jsonl")
    assert (line["step"], line["figures"]) == (5, {"loss": 1.25})
    assert line["seconds"] >= 0
    assert line["steps_per_second"] > 0


def test_trials_stand_between_the_figures(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "log.jsonl")

    log.figures(5, {"loss": 1.25})
    log.validation(5, {"mean_iou": 0.5})

    assert [sorted(line) for line in read_log(tmp_path / "log.jsonl")] == [
        ["figures", "seconds", "step", "steps_per_second"],
        ["seconds", "step", "validation"],
    ]


def test_going_on_cuts_off_what_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    first = TrainingLog(path)
    for step in (2, 4, 6):
        first.figures(step, {"loss": 1.0})
    with path.open("a") as file:
        file.write('{"step": 8, "fig')

    TrainingLog(path, done=5).figures(6, {"loss": 2.0})

    found = [(line["step"], line["figures"]["loss"]) for line in read_log(path)]
    assert found == [(2, 1.0), (4, 1.0), (6, 2.0)]


def test_a_new_run_begins_a_new_log(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    TrainingLog(path).figures(2, {"loss": 1.0})

    TrainingLog(path)

    assert read_log(path) == []


def test_a_run_without_a_file_logs_nothing(tmp_path: Path) -> None:
    TrainingLog(None).figures(1, {"loss": 1.0})

    assert list(tmp_path.iterdir()) == []
    assert read_log(tmp_path / "none.jsonl") == []
