"""SGD as the reference systems run it: four parameter groups and polynomial decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

# Of pretrained weights, pretrained biases, new weights, new biases.
DECAYED = (True, False, True, False)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    epochs: passes over the photos. batch: photos a forward pass. accumulate: passes whose gradients are summed.
    learning_rate: of the pretrained weights; new layers take `head_rate` times as much, biases twice what weights do.
    hold: optimiser steps between two updates of the learning rate (DeepLab v2: 10).
    """

    epochs: int
    batch: int
    accumulate: int
    learning_rate: float
    momentum: float
    weight_decay: float
    head_rate: float = 10.0
    power: float = 0.9
    hold: int = 1

    @classmethod
    def of(cls, settings: Any, **besides: Any) -> Self:
        """The plan in a training stage's Settings, and what not every stage's have."""
        names = ("epochs", "batch", "accumulate", "learning_rate", "momentum", "weight_decay")
        return cls(**{name: getattr(settings, name) for name in names}, **besides)

    @property
    def multipliers(self) -> tuple[float, float, float, float]:
        """Of the learning rate, in the order of DECAYED."""
        return 1.0, 2.0, self.head_rate, 2 * self.head_rate


def build_optimizer(model: nn.Module, plan: Plan) -> torch.optim.SGD:
    """SGD over `model.parameter_groups()`; empty groups are left out."""
    members_of_groups = model.parameter_groups()  # type: ignore[operator]
    groups = [
        {
            "params": [parameter for _, parameter in members],
            "lr": plan.learning_rate * multiplier,
            "multiplier": multiplier,
            "weight_decay": plan.weight_decay if decayed else 0.0,
        }
        for members, multiplier, decayed in zip(members_of_groups, plan.multipliers, DECAYED, strict=True)
        if members
    ]
    return torch.optim.SGD(groups, lr=plan.learning_rate, momentum=plan.momentum)


def set_learning_rate(optimizer: torch.optim.Optimizer, plan: Plan, step: int, steps: int) -> float:
    """Polynomial decay (1 - step/steps)^power for optimiser step `step` of `steps`; returns the base rate."""
    held = step // plan.hold * plan.hold
    rate = plan.learning_rate * (1 - held / steps) ** plan.power
    for group in optimizer.param_groups:
        group["lr"] = rate * group["multiplier"]
    return rate
