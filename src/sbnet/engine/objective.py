"""What a training minimises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

# (network, batch, share of the training that is done) -> loss terms, whose sum is minimised
Losses = Callable[[nn.Module, Mapping[str, Any], float], dict[str, Tensor]]


class Objective:
    """Loss terms of a batch, and whatever the method remembers between steps: an EMA teacher, prototypes, centers.

    Subclasses define `__call__`, the rest where they need it. Where there is nothing to remember, `fit` takes a plain
    function of the same arguments instead.
    """

    def prepare(self, network: nn.Module, device: torch.device) -> None:
        """Called once, with the network as it was built, on its device, before a checkpoint's state is loaded: to make
        tensors, or a teacher (`copy.deepcopy(network)`), whose weights are not trained.
        """

    def __call__(self, network: nn.Module, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        """Scalar loss terms by name. batch: of the training set, on the device. progress: share of the steps done.

        Called `accumulate` times a step. Terms that are only to be logged must carry no gradient and are part of the
        sum all the same.
        """
        raise NotImplementedError

    def after_step(self, network: nn.Module, step: int) -> None:
        """Called after optimizer step `step`, from 1, without gradients; network as in `prepare`."""

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on: tensors, numbers, text, and lists and dictionaries of these."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave; tensors come on the CPU."""


class FunctionObjective(Objective):
    """A plain function of (network, batch, progress)."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses

    def __call__(self, network: nn.Module, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        return self._losses(network, batch, progress)
