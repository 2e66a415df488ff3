"""What makes training steps fast, and PyTorch's threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from sbnet.backbones.fold import batch_norm_fused
from sbnet.engine.memory import freed_memory_kept
from sbnet.errors import SBNetError


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
