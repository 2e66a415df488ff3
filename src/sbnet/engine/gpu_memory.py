"""What is said where a GPU has too little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from sbnet.errors import SBNetError


@contextmanager
def gpu_memory_told(what: str | Path, remedy: str) -> Iterator[None]:
    """Within it PyTorch's error that the GPU's memory does not suffice is an SBNetError, with the remedy."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        wanted = ". ".join(str(error).split(". ")[:3]).rstrip(".")  # and on: how PyTorch's allocator stands
        raise SBNetError(
            f"{what}: the GPU's memory does not suffice ({wanted}): {remedy}, or end what else uses the GPU"
        ) from error
