"""Train AffinityNet: labels vote in each cell of the feature grid; pairs are counted over the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sbnet import losses, ops
from sbnet.methods.affinitynet.network import AffinityNetwork
from sbnet.steps.affinity import AffinityTrainSettings
from sbnet.steps.affinity_training import train_affinity
from sbnet.steps.context import Context


def run(settings: AffinityTrainSettings, context: Context) -> dict[str, Any]:
    return train_affinity(settings, context, title="AffinityNet", objective=objective)


def objective(model: AffinityNetwork) -> Any:
    def terms(network: nn.Module, batch: Mapping[str, Tensor], _progress: float) -> dict[str, Tensor]:
        affinity = network(batch["image"].contiguous(memory_format=torch.channels_last)).affinity
        grid = ops.label_grid(batch["label"], stride=model.output_stride, classes=model.classes)
        return {"affinity": losses.affinity(affinity.float(), *ops.pair_labels(grid, radius=model.radius))}

    return terms
