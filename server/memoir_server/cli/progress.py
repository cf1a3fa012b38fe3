"""Progress bars of the command line. They go to standard error and vanish when the step is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from memoir_server.adapters.embedder.model_files import Progress as StepProgress
from memoir_server.cli.render import messages


@contextmanager
def counting(label: str, total: int, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """A bar over `total` things; call what is yielded with the number of things done since the last call."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Where nobody sees a bar, it would still write an empty line.
    hidden = quiet or not messages.is_terminal
    with Progress(*columns, console=messages, transient=True, disable=hidden) as progress:
        task = progress.add_task(label, total=total)
        yield lambda step: progress.advance(task, step)


@contextmanager
def model_steps(console: Console = messages) -> Iterator[StepProgress]:
    """One bar per step of fetching or verifying a model; a step of unknown size pulses. Where standard error is no
    terminal, one line when a step begins."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
                if not console.is_terminal:
                    console.print(f"model: {step} ...")
            progress.update(tasks[step], completed=done, total=total)

        yield advance
