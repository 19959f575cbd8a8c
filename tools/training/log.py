"""What a training run says of itself while it runs: one JSON object a line."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TrainingLog:
    """Writes a line a call, at once, so that a run can be followed while it goes on.

    A line of figures is {"step", "figures", "seconds", "steps_per_second"}, one of a trial on other
    data is {"step", "validation", "seconds"}. Seconds are counted from the start of this program,
    steps_per_second since the line of figures before.

    Args:
        path: The file; None writes nothing.
        done: Steps that are behind the run: lines up to there are kept, later ones cut off, since
            their steps are taken again. 0 begins anew.
    """

    def __init__(self, path: Path | None, *, done: int = 0) -> None:
        self._path = path
        self._started = time.perf_counter()
        self._last_seconds = 0.0
        self._last_step = done
        if path is not None:
            kept = [line for line in read_log(path) if line["step"] <= done] if done else []
            path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def figures(self, step: int, figures: Mapping[str, float]) -> None:
        """Write mean figures of the steps up to this one."""
        seconds = time.perf_counter() - self._started
        rate = (step - self._last_step) / max(seconds - self._last_seconds, 1e-9)
        self._write(
            {
                "step": step,
                "figures": {name: round(value, 6) for name, value in figures.items()},
                "seconds": round(seconds, 3),
                "steps_per_second": round(rate, 4),
            }
        )
        self._last_step, self._last_seconds = step, seconds

    def validation(self, step: int, figures: Mapping[str, Any]) -> None:
        """Write what a trial on other data found after this step."""
        seconds = time.perf_counter() - self._started
        self._write({"step": step, "validation": dict(figures), "seconds": round(seconds, 3)})

    def _write(self, line: Mapping[str, Any]) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a log; a last line that was broken off, or no file at all, is no error."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
