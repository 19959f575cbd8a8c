"""A progress bar on standard error, for commands that take a while."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are in all."""


@contextmanager
def progress_bar(doing: str, unit: str) -> Iterator[Progress]:
    """Show a bar with rate and time left while the block runs; nothing where nobody looks.

    Args:
        doing: What is going on, e.g. "composing".
        unit: What is counted, in the plural, e.g. "pictures".
    """
    with progress_bars(unit) as stage:
        yield stage(doing)


@contextmanager
def progress_bars(unit: str) -> Iterator[Callable[[str], Progress]]:
    """Show a bar for each stage of what the block does, from its first count on.

    Yields a function that takes what is going on to what is told of it.

    Args:
        unit: What is counted, in the plural.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    with Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    ) as bar:
        tasks: dict[str, TaskID] = {}

        def stage(doing: str) -> Progress:
            def update(done: int, total: int) -> None:
                if doing not in tasks:
                    tasks[doing] = bar.add_task(doing, total=total, rate="")
                task = tasks[doing]
                speed = next(each.speed for each in bar.tasks if each.id == task)
                rate = f"{speed:.1f} {unit}/s" if speed else ""
                bar.update(task, completed=done, total=total, rate=rate)

            return update

        yield stage
