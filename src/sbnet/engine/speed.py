"""What makes the steps of a training fast."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn

from sbnet.engine.memory import freed_memory_kept
from sbnet.errors import SBNetError
from sbnet.backbones.fold import batch_norm_fused

# (network, batch, share of the training that is done) -> loss terms
Losses = Callable[[nn.Module, Mapping[str, Tensor], float], dict[str, Tensor]]


@contextmanager
def fast_steps(network: nn.Module, device: torch.device, *, compiled: bool) -> Iterator[None]:
    """Within it the steps of training `network`, which lies on the device as it is to start from, are taken.

    compiled: by `compile_network`, which sees by itself what `batch_norm_fused` would do. Raises SBNetError as it does.
    """
    if compiled:
        compile_network(network, device)
    with freed_memory_kept(), nullcontext() if compiled else batch_norm_fused(network):
        yield


def loss_terms(
    losses: Losses, network: nn.Module, batch: Mapping[str, Tensor], done: float, device: torch.device
) -> dict[str, Tensor]:
    """`losses(network, batch, done)`, for which weights are cast to half precision once.

    The network's own autocast would cast them in every pass: of two views, twice. Around it stands one that is off;
    what was cast is dropped when the outermost ends.
    """
    with torch.autocast(device.type, enabled=False):
        return losses(network, batch, done)


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
            f"install {needed}, or leave out runtime.compile"
        ) from error
    torch._dynamo.config.suppress_errors = True
    network.compile()
