"""Checkpoints of a training under way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from sbnet.data.io.files import atomic_write
from sbnet.errors import SBNetError

CHECKPOINT = "checkpoint.pt"  # in a training step's folder, until the step is done


def save_checkpoint(path: Path, model: nn.Module, optimizer: Any, step: int) -> None:
    """Everything that the next step depends on; written whole or not at all."""
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    with atomic_write(path, durable=True) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, model: nn.Module, optimizer: Any) -> int:
    """Restore what `save_checkpoint` wrote; returns the number of optimiser steps that were done."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except Exception as error:
        raise SBNetError(
            f"{path}: not a checkpoint of this training ({error}); delete it to start the step anew"
        ) from error
    torch.set_rng_state(state["random"])
    if state["random_cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["random_cuda"])
    return int(state["step"])
