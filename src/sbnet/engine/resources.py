"""What makes trainings and inference fast and keeps them within memory."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path

import torch
from torch import nn

from sbnet.backbones.fold import batch_norm_fused
from sbnet.errors import SBNetError

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # glibc's malloc.h
KEEPING = {MMAP_MAX: 0, TRIM_THRESHOLD: -1}  # large blocks come from the heap too, which never shrinks
# What glibc settles on by itself.
USUAL = {MMAP_MAX: 65536, MMAP_THRESHOLD: 32 * 2**20, TRIM_THRESHOLD: 64 * 2**20}
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


@contextmanager
def fast_steps(network: nn.Module, device: torch.device, *, compiled: bool) -> Iterator[None]:
    """Within it, training steps of `network` are taken, which is on the device with its first weights.

    compiled: by `compile_network`, which does by itself what `batch_norm_fused` would. Raises SBNetError as it does.
    """
    if compiled:
        compile_network(network, device)
    with freed_memory_kept(), nullcontext() if compiled else batch_norm_fused(network):
        yield


def compile_network(network: nn.Module, device: torch.device) -> None:
    """Have PyTorch compile `network` when it is first called, in place: names and values of its state stay. What of it
    cannot be compiled runs as it is, with a warning.

    Raises SBNetError where nothing can be compiled for the device: no C++ compiler (CPU), no Triton (GPU).
    """
    try:
        torch.compile(torch.sin)(torch.ones(2, device=device))
    except Exception as error:  # each thing that may be missing raises its own
        reason = str(error).strip().partition("\n")[0]
        needed = "Triton" if device.type == "cuda" else "a C++ compiler"
        raise SBNetError(
            f"runtime.compile: PyTorch cannot compile here ({type(error).__name__}: {reason}); "
            f"install {needed}, or set runtime.compile=false"
        ) from error
    torch._dynamo.config.suppress_errors = True
    network.compile()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Where images are processed side by side, an operation of PyTorch on several cores takes them from the others."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
