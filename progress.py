"""Progress bars for work that takes over a second: on stderr, and only if that is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
FORCED = ("FORCE_COLOR", "TTY_COMPATIBLE")
"""Environment variables by which rich may take for a terminal what is none."""


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing how far along they are; silent when stderr is not a terminal."""
    if _silent():
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield from progress.track(items, total=total, description=description)


def remark(text: str) -> None:
    """A line on stderr for a person who waits; silent like `track`."""
    if _silent():
        return
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        console.print(text, markup=False, highlight=False)


@contextmanager
def gauge(description: str, total: float) -> Iterator[Callable[[float, str], None]]:
    """A bar for work measured by amount: call what it gives with the amount done so far and a remark. Silent like `track`."""
    if _silent():
        yield lambda done, remark: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, remark: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(description, total=total, remark="")
        yield lambda done, remark: progress.update(task, completed=done, remark=remark)


def _silent() -> bool:
    """Whether stderr is no terminal for sure, without loading what would know it."""
    return not any(name in os.environ for name in FORCED) and not (sys.stderr is not None and sys.stderr.isatty())
