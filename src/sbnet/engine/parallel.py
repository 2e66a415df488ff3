"""Work photo by photo on several threads, in bounded memory, losing nothing when one photo fails.

Threads serve, not processes: the compiled kernels, the PNG and zip coders and the network release Python's lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

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


class MemoryBudget:
    """Bytes that the work under way may take in all; who asks for more than is free waits.

    size: bytes, as `reserve` counts them.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, needed: int) -> Iterator[None]:
        """Raises ValueError for more than the whole budget, which would wait for ever."""
        if needed > self.size:
            raise ValueError(f"{needed} bytes do not fit into {self.size}")
        with self._changed:
            self._changed.wait_for(lambda: self._free >= needed)
            self._free -= needed
        try:
            yield
        finally:
            with self._changed:
                self._free += needed
                self._changed.notify_all()


def available_memory() -> int:
    """Bytes that can be had without swapping, within the container's bound where there is one."""
    values = {}
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            values[name] = int(value.split()[0]) * 1024
        available = values["MemAvailable"]
    except (OSError, KeyError):  # not Linux: half of what there is
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    try:
        group = Path("/sys/fs/cgroup")
        bound = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such group, or "max"
        return available
    return max(0, min(available, bound))


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Where photos are worked on side by side, an operation of PyTorch on several cores takes them from the others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
