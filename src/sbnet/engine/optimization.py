"""How a network is trained: the settings, and the optimizer, rate and weight average that they amount to.

Imports no PyTorch before it is needed.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sbnet.settings import Count, Crop, ModelFile, NotNegative, Positive, Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

POWER = 0.9  # of the polynomial decay, as in DeepLab v2
Below1 = Annotated[float, Field(ge=0, lt=1)]


class TrainSettings(Settings):
    """What every training has."""

    epochs: Count = 8
    """Passes over the images."""
    batch: Count = 8
    """Images in a forward pass."""
    accumulate: Count = 1
    """Forward passes whose gradients are averaged in one step."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """`sgd` (with momentum; biases at twice the rate of weights) or `adamw`, for transformers."""
    learning_rate: Positive = 0.01
    """Learning rate of the pretrained weights; new layers have a multiple of it."""
    schedule: Literal["poly", "cosine"] = "poly"
    """Decay of the learning rate to 0: `poly`, (1 - progress)^0.9, or `cosine`."""
    warmup: Below1 = 0.0
    """Share of the steps over which the learning rate first rises from 0."""
    momentum: Below1 = 0.9
    """Momentum of SGD, or first beta of AdamW (the second is 0.999)."""
    weight_decay: NotNegative = 5e-4
    """Weight decay; biases have none, and with AdamW neither have norms (parameters of one dimension)."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor on the learning rate per block of the backbone, from the last block to the first (with 0.75: 0.75 for the last,
    0.56 for the one before); 1: none.
    """
    clip: NotNegative = 0.0
    """Maximum norm of the gradient; 0: no limit."""
    ema: Below1 = 0.0
    """Decay of the moving average of the weights, which is saved instead of the last weights (0.999 averages about 1000
    steps); 0: none.
    """
    crop: Crop = 448
    """Side of the square crop, pixels."""
    augmentation: Literal["fast", "exact"] = "fast"
    """`fast` (color changes as one matrix, large JPEGs decoded smaller) or `exact` (one by one, with Pillow)."""
    network: ModelFile = ""
    """A trained network to use instead of training: a model file of sbnet, or weights of the reference."""
    checkpoint_every: Count = 100
    """Steps between two checkpoints; no effect on the result."""


def build_optimizer(
    model: nn.Module, settings: TrainSettings, *, head_rate: float = 10.0
) -> torch.optim.Optimizer:
    """Over `model.parameter_groups()`: pretrained weights, pretrained biases, new weights, new biases; empty groups are
    left out. New layers learn `head_rate` times as fast.

    A group's `multiplier` is its share of the learning rate.
    """
    import torch

    adam = settings.optimizer == "adamw"
    groups: dict[tuple[int, float, float], list[nn.Parameter]] = {}
    depths = _depths(model) if settings.layer_decay < 1 else {}
    for index, members in enumerate(model.parameter_groups()):  # type: ignore[operator]
        new, bias = divmod(index, 2)
        for name, parameter in members:
            multiplier = (head_rate if new else 1.0) * (2.0 if bias and not adam else 1.0)
            multiplier *= settings.layer_decay ** depths.get(name, 0)
            decay = 0.0 if bias or (adam and parameter.ndim < 2) else settings.weight_decay
            groups.setdefault((index, multiplier, decay), []).append(parameter)
    listed = [
        {"params": params, "lr": settings.learning_rate * share, "multiplier": share, "weight_decay": decay}
        for (_, share, decay), params in groups.items()
    ]
    if adam:
        return torch.optim.AdamW(listed, lr=settings.learning_rate, betas=(settings.momentum, 0.999))
    return torch.optim.SGD(listed, lr=settings.learning_rate, momentum=settings.momentum)


def _depths(model: nn.Module) -> dict[str, int]:
    """Of each parameter of the backbone: how many blocks it lies below the heads, 1 for the last.

    A block is what a numbered name begins (`blocks.3`, `layer2`, `b4_1`); what stands before the first (stem, position
    embeddings) is a block, and what stands after the last belongs to that.
    """
    blocks: list[str] = [""]
    found: dict[str, int] = {}
    for name, parameter in model.backbone.named_parameters():  # type: ignore[union-attr]
        if not parameter.requires_grad:
            continue
        numbered = re.match(r"(?:[^\d.]+\.)*?[^.]*\d[^.]*", name.rpartition(".")[0])
        if numbered and numbered[0] not in blocks:
            blocks.append(numbered[0])
        found[f"backbone.{name}"] = blocks.index(numbered[0]) if numbered else len(blocks) - 1
    return {name: len(blocks) - depth for name, depth in found.items()}


def set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: TrainSettings, step: int, steps: int, *, hold: int = 1
) -> float:
    """The rate of optimizer step `step` (from 0) of `steps`; returns that of the pretrained weights.

    hold: steps between two updates of the decay (DeepLab v2: 10).
    """
    done = step // hold * hold / steps
    rate = settings.learning_rate
    rate *= (1 - done) ** POWER if settings.schedule == "poly" else (1 + math.cos(math.pi * done)) / 2
    if settings.warmup:
        rate *= min(1.0, (step + 1) / (settings.warmup * steps))
    for group in optimizer.param_groups:
        group["lr"] = rate * group["multiplier"]
    return rate


class WeightAverage:
    """Exponential moving average of what a model trains, and of its running statistics.

    The decay rises to its value, (1 + step) / (10 + step) at first, so that the initial weights do not linger.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._model, self._decay = model, decay
        self.values = {name: value.detach().clone() for name, value in self._averaged()}

    def _averaged(self) -> list[tuple[str, Tensor]]:
        trained = [(name, value) for name, value in self._model.named_parameters() if value.requires_grad]
        return trained + [
            (name, value) for name, value in self._model.named_buffers() if value.is_floating_point()
        ]

    def update(self, step: int) -> None:
        """After optimizer step `step`, from 1."""
        import torch

        decay = min(self._decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in self._averaged():
                self.values[name].lerp_(value, 1 - decay)

    def state_dict(self) -> dict[str, Tensor]:
        return self.values

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """From whatever device."""
        for name, value in self.values.items():
            value.copy_(state[name])

    def apply(self) -> None:
        """Give the model the averaged weights."""
        import torch

        with torch.no_grad():
            for name, value in self._averaged():
                value.copy_(self.values[name])
