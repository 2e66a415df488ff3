"""Work image by image on several threads, in bounded memory, losing nothing when one image fails.

Threads serve, not processes: the compiled kernels, the PNG and zip coders and the network release Python's lock.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cpu_count() -> int:
    """Cores this process may use (respects affinity masks and containers)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def in_order(
    pool: Executor, jobs: Iterable[tuple[Callable[[], Result], int]], *, most: int, weight: int
) -> Iterator[Result]:
    """Results of (job, weight), in their order, worked on by the pool while the next ones are made.

    At most `most` are with the pool at once, of no more than `weight` together; one at least.
    """
    pending: deque[tuple[Future[Result], int]] = deque()
    load = 0
    for job, its_weight in jobs:
        while pending and (len(pending) >= most or load + its_weight > weight):
            done, freed = pending.popleft()
            load -= freed
            yield done.result()
        pending.append((pool.submit(job), its_weight))
        load += its_weight
    for done, _ in pending:
        yield done.result()


class MemoryBudget:
    """`size` bytes that the work under way may take in all; who asks for more than is free waits."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._free = size
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, needed: int) -> Iterator[Callable[[int], None]]:
        """Gives a function that corrects the number once it is known better. It never waits: two that waited for more
        might wait for each other for ever. Both raise ValueError for more than the whole budget.
        """
        held = 0

        def hold(bytes_: int, *, wait: bool = False) -> None:
            nonlocal held
            if bytes_ > self.size:
                raise ValueError(f"{bytes_} bytes do not fit into {self.size}")
            with self._changed:
                if wait:
                    self._changed.wait_for(lambda: self._free >= bytes_)
                self._free += held - bytes_
                held = bytes_
                self._changed.notify_all()

        hold(needed, wait=True)
        try:
            yield hold
        finally:
            hold(0)


def available_memory() -> int:
    """Bytes that can be had without swapping, within the container's bound where there is one."""
    free = _free_in_system(Path("/proc/meminfo"))
    return max(0, min([free, *_free_in_groups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))]))


def _free_in_system(counts: Path) -> int:
    """counts: lines `MemAvailable:  N kB`, Linux's; elsewhere half of what memory there is."""
    try:
        lines = dict(line.split(":", 1) for line in counts.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


# Of a control group with these controllers, version 1 and version 2: folder, bound, use, and the cache of files.
_GROUP_FILES = {
    "memory": ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    "": ("", "memory.max", "memory.current", "inactive_file"),
}


def _free_in_groups(own: Path, mounted: Path) -> Iterator[int]:
    """Bytes left in this process's control groups and those around them, where they are bounded.

    own: lines `number:controllers:path`. The cache of files, which gives way, counts as free.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:  # not Linux
        return
    for _, controllers, path in lines:
        if controllers in _GROUP_FILES:
            folder, *names = _GROUP_FILES[controllers]
            root = mounted / folder
            inner = root / path.strip("/")
            for group in (inner, *inner.parents):
                if group.is_relative_to(root):
                    yield from _free_in_group(group, *names)


def _free_in_group(group: Path, bound: str, used: str, cache: str) -> Iterator[int]:
    try:
        limit, taken = (int((group / name).read_text()) for name in (bound, used))
        counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, seen from inside a container perhaps; or no bound ("max")
        return
    yield limit - taken + int(counts.get(cache, 0))
