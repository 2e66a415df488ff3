"""Work photo by photo on several threads, in bounded memory, losing nothing when one photo fails.

Threads serve, not processes: the compiled kernels, the PNG and zip coders and the network release Python's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_unordered(work: Callable[[Item], Result], items: Iterable[Item], *, workers: int) -> Iterator[Result]:
    """Results of `work` as they come. At most `2 * workers` items are under way, so `items` is read no faster.

    The first error is raised after the work already under way has ended; what was finished stays finished.
    """
    pending: set[Future[Result]] = set()
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for item in items:
            pending.add(pool.submit(work, item))
            if len(pending) >= 2 * max(1, workers):
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
