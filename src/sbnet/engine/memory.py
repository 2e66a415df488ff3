"""Memory: the GPU's where it runs out, and what the C library does with what was freed."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

from sbnet.errors import SBNetError

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # glibc's malloc.h
MIB = 2**20
KEEPING = {MMAP_MAX: 0, TRIM_THRESHOLD: -1}  # large blocks come from the heap too, which never shrinks
USUAL = {
    MMAP_MAX: 65536,
    MMAP_THRESHOLD: 32 * MIB,
    TRIM_THRESHOLD: 64 * MIB,
}  # what glibc settles on by itself
OF_USER = ("MALLOC_", "GLIBC_TUNABLES")  # environment variables by which a user sets the same


@contextmanager
def gpu_memory_told(what: str | Path, remedy: str) -> Iterator[None]:
    """Within it, PyTorch's error that the GPU is out of memory becomes an SBNetError with the remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        wanted = ". ".join(str(error).split(". ")[:3]).rstrip(".")  # the rest is about PyTorch's allocator
        raise SBNetError(
            f"{what}: not enough GPU memory ({wanted}): {remedy}, or stop other programs that use the GPU"
        ) from error


@contextmanager
def freed_memory_kept() -> Iterator[bool]:
    """Within it, glibc keeps what is freed, instead of giving large tensors back to the system at once.

    A training step allocates again what the last one freed, gigabytes, and the system clears every page that it hands
    out. At the end all that is free goes back. False, and nothing done, where the C library is another, or the user's
    environment configures malloc.
    """
    libc = _glibc()
    if libc is None or any(name.startswith(OF_USER) for name in os.environ):
        yield False
        return
    try:
        yield _set(libc, KEEPING)
    finally:
        _set(libc, USUAL)
        libc.malloc_trim(0)


def _set(libc: ctypes.CDLL, options: dict[int, int]) -> bool:
    """Whether malloc took all of them."""
    return sum(libc.mallopt(option, value) for option, value in options.items()) == len(options)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library that this process runs on, where it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None)
    return libc if hasattr(libc, "gnu_get_libc_version") else None
