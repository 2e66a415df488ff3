"""What a machine may refuse: to read a folder (for root too, who may read any), and memory of a GPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

GPU_IS_FULL = (  # as PyTorch says it
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.11 GiB of which 10.12 MiB is "
    "free. Process 4021 has 79.09 GiB memory in use. Of the allocated memory 78.02 GiB is allocated by PyTorch, and "
    "300.61 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
_VERSION = 0x20080522  # of Linux's capability.h, with two sets of 32 bits
_OVERRIDES = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Bits(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


@contextmanager
def unreadable(folder: Path, mode: int = 0) -> Iterator[None]:
    """Within it neither this thread, nor those that it starts, can list or enter the folder; 0o444: enter it."""
    before = folder.stat().st_mode
    folder.chmod(mode)
    try:
        with _without_overrides():
            try:
                os.stat(os.path.join(folder, "."))
            except PermissionError:
                pass
            else:
                pytest.skip("this user may read whatever there is")
            yield
    finally:
        folder.chmod(before)


@contextmanager
def _without_overrides() -> Iterator[None]:
    """Root's leave to pass over permissions given up, for as long."""
    libc, header, bits = ctypes.CDLL(None, use_errno=True), _Header(_VERSION, 0), (_Bits * 2)()
    if not hasattr(libc, "capset") or libc.capget(ctypes.byref(header), bits):  # not Linux
        yield
        return
    before = bits[0].effective
    bits[0].effective = before & ~_OVERRIDES
    libc.capset(ctypes.byref(header), bits)
    try:
        yield
    finally:
        bits[0].effective = before
        libc.capset(ctypes.byref(header), bits)
