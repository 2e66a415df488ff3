"""SGD as the reference systems run it: four parameter groups and polynomial decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import nn

# Learning-rate multipliers and weight decay of: pretrained weights, pretrained biases, new weights, new biases.
MULTIPLIERS = (1.0, 2.0, 10.0, 20.0)
DECAYED = (True, False, True, False)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train.

    epochs: passes over the photos. batch: photos a forward pass. accumulate: passes whose gradients are summed.
    learning_rate: of the pretrained weights; biases take 2x, new layers 10x, their biases 20x.
    hold: optimiser steps between two updates of the learning rate (DeepLab v2: 10).
    """

    epochs: int
    batch: int
    accumulate: int
    learning_rate: float
    momentum: float
    weight_decay: float
    power: float = 0.9
    hold: int = 1

    @classmethod
    def of(cls, settings: Any, *, hold: int = 1) -> Self:
        """The plan in a training stage's Settings."""
        names = ("epochs", "batch", "accumulate", "learning_rate", "momentum", "weight_decay")
        return cls(**{name: getattr(settings, name) for name in names}, hold=hold)


def build_optimizer(model: nn.Module, plan: Plan) -> torch.optim.SGD:
    """SGD over `model.parameter_groups()`; empty groups are left out."""
    groups = [
        {
            "params": [parameter for _, parameter in members],
            "lr": plan.learning_rate * multiplier,
            "multiplier": multiplier,
            "weight_decay": plan.weight_decay if decayed else 0.0,
        }
        for members, multiplier, decayed in zip(model.parameter_groups(), MULTIPLIERS, DECAYED, strict=True)  # type: ignore[operator]
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
