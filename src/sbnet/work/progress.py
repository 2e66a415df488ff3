"""Progress on the terminal: a bar where there is one, now and then a line where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY = 30.0  # seconds between two lines where there is no terminal
Item = TypeVar("Item")


@contextmanager
def training_progress(
    title: str, steps: int, *, start: int = 0
) -> Iterator[Callable[[int, Mapping[str, Any]], None]]:
    """Gives `update(step, row)`, the row being one of the training log's."""
    with _progress(title, steps, start) as show:

        def update(step: int, row: Mapping[str, Any]) -> None:
            terms = list(row)[list(row).index("loss") :]
            losses = "  ".join(f"{name} {row[name]:.3g}" for name in terms)
            show(step, f"{row['images_per_second']:.1f} images/s  {losses}")

        yield update


def photo_progress(title: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    """Pass `items` through, counting them."""
    begun = time.perf_counter()
    with _progress(title, total, 0) as show:
        for done, item in enumerate(items, start=1):
            yield item
            show(done, f"{done / (time.perf_counter() - begun):.1f} images/s")


def work_through(title: str, items: Iterable[object], total: int) -> None:
    """Take all `items`, counting them."""
    for _ in photo_progress(title, items, total):
        pass


@contextmanager
def _progress(title: str, total: int, start: int) -> Iterator[Callable[[int, str], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, title, total, start)
        return
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console, transient=True) as bar:
        task = bar.add_task(title, total=total, completed=start, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)


def _lines(console: Console, title: str, total: int, start: int) -> Callable[[int, str], None]:
    begun = last = time.perf_counter()

    def show(done: int, note: str) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last < LINE_EVERY:
            return
        last = now
        left = (now - begun) / max(done - start, 1) * (total - done)
        console.print(f"{title}: {done}/{total}  {left:.0f} s left  {note}", highlight=False, soft_wrap=True)

    return show
