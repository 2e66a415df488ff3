"""Checkpoints of a training under way. Imports no PyTorch before it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbnet.data.io.files import atomic_write
from sbnet.errors import SBNetError

CHECKPOINT = "checkpoint.pt"  # in a training step's folder, until the step is done


def save_checkpoint(path: Path, step: int, parts: Mapping[str, Any]) -> None:
    """All that the next step depends on: `step`, the parts' `state_dict()`s, random states. Written whole or not at all."""
    import torch

    state = {
        **{name: part.state_dict() for name, part in parts.items()},
        "step": step,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    with atomic_write(path, durable=True) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, parts: Mapping[str, Any]) -> int:
    """Restore what `save_checkpoint` wrote into the same parts; returns the number of steps done, 0 without a file.

    Raises SBNetError for a file that is no checkpoint of this training.
    """
    import torch

    if not path.exists():
        return 0
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        return int(state["step"])
    except Exception as error:
        raise SBNetError(
            f"{path}: not a checkpoint of this training ({error}); delete it to train this step from scratch"
        ) from error
